"""The picture of docs/architecture.md, drawn from the imports in the sources: `python tools/architecture.py` rewrites it.

Rooms are the files and folders of the package, in layers; an arrow is an import, and must point down. `imports` and `rooms` are
also what tests/contract/test_imports.py looks at.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "fastloss"
PICTURE = ROOT / "docs" / "architecture.svg"

FAMILIES = (
    *("regression", "classification", "divergence", "ordinal", "energy", "functional"),
    *("sequence", "segmentation", "embedding"),
)
# From the top: a layer's rooms import those of the layers below. `__init__`, the package's face, gathers the public names.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("cli",),
    ("evaluation", "lab"),
    ("__init__",),
    FAMILIES,
    ("_loss",),
    ("_plans",),
    ("_check",),
    ("_config",),
    ("_threads",),
    ("_engines",),
    ("_kernels",),
    ("csrc",),
)


def sources() -> list[Path]:
    """The files of the package that are written by hand, but for those that are loaded by name."""
    found = (path for suffix in ("py", "pyx", "pxd") for path in PACKAGE.rglob(f"*.{suffix}"))
    return sorted(path for path in found if room_of(path) != "_definitions")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[str]:
    """Full names of what a file imports from the package, wherever in the file; of C sources, what a .pyx or .pxd includes."""
    text = path.read_text()
    if path.suffix != ".py":
        yield from re.findall(r"^(?:from|cimport|import) (fastloss\.[\w.]+)", text, re.MULTILINE)
        yield from ("fastloss.csrc." + name for name in re.findall(r'^cdef extern from "([\w/]+)\.h"', text, re.MULTILINE))
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "fastloss")
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = path.relative_to(PACKAGE).parts[: -node.level]
                yield ".".join(("fastloss", *base, node.module or ""))
            elif node.module and node.module.split(".")[0] == "fastloss":
                yield node.module


def rooms_imported(path: Path) -> Iterator[str]:
    for target in imports(path):
        parts = target.split(".")
        yield parts[1] if len(parts) > 1 and parts[1] else "__init__"


def level(room: str) -> int:
    return next(k for k, layer in enumerate(LAYERS) if room in layer)


# ---- the picture --------------------------------------------------------------------------------------------------------

FLOORS: tuple[tuple[tuple[str, str], ...], ...] = (  # rooms side by side, and what each is for
    (("cli", "the command line"),),
    (("evaluation", "streaming evaluation"), ("lab", "custom losses, gradcheck")),
    (("families", "one function per loss: signature, docstring, checks, which plan"),),
    (("_loss", "the Loss object: call, grad, value_and_grad, hess; the registry"),),
    (("_plans", "one checked call: weights, reductions, result buffers"),),
    (("_check", "every rule about input"),),
    (("_threads", "number of threads; what runs here"),),
    (("_engines", "Cython: blocks, workspaces, types"),),
    (("_kernels", "what engines share: CPU levels, views, sums in order"),),
    (("csrc", "C: inner loops, once per CPU level"),),
)
WIDTH, LEFT, RIGHT, GAP = 980, 150, 830, 44
CHIP, LINE = 20, 16


def _floor_room(room: str) -> str:
    """The room of the picture that a room of the package is drawn in."""
    return "families" if room in FAMILIES else {"_config": "_threads", "__main__": "cli"}.get(room, room)


def _files(room: str) -> list[str]:
    """What is written in a room."""
    if room == "families":
        return list(FAMILIES)
    folder = PACKAGE / room
    if room == "csrc":
        return sorted(path.name for path in folder.iterdir() if path.is_dir())
    if folder.is_dir():
        files = {path.stem for path in folder.glob("*.p*") if path.suffix in (".py", ".pyx", ".pxd")} - {"__init__"}
        return sorted(files | {path.parent.name for path in folder.glob("*/__init__.py")})
    return ["_threads", "_config"] if room == "_threads" else []


def edges() -> Counter[tuple[str, str]]:
    """How many files of a room import another, by rooms of the picture."""
    count: Counter[tuple[str, str]] = Counter()
    for path in sources():
        own = _floor_room(room_of(path))
        for other in {_floor_room(room) for room in rooms_imported(path)} - {own, "__init__"}:
            if own != "__init__":
                count[own, other] += 1
    return count


def _box(room: str, purpose: str, x: float, y: float, width: float) -> tuple[float, list[str]]:
    """A room's height and its drawing: name, purpose, and its files in rows."""
    parts, at, line = [], x + 12, 0
    for name in _files(room):
        wide = 7.0 * len(name) + 14
        if at + wide > x + width - 8:
            at, line = x + 12, line + 1
        parts.append(
            f'<rect class="chip" x="{at:.0f}" y="{y + 32 + line * (CHIP + 4):.0f}" width="{wide:.0f}" height="{CHIP}" rx="4"/>'
            f'<text class="file" x="{at + 7:.0f}" y="{y + 46 + line * (CHIP + 4):.0f}">{escape(name)}</text>'
        )
        at += wide + 6
    height = 36 + (line + 1) * (CHIP + 4) if parts else 34
    title = (
        f'<text class="name" x="{x + 12:.0f}" y="{y + 21:.0f}">{room}<tspan class="for" dx="10">{escape(purpose)}</tspan></text>'
    )
    frame = f'<rect class="room" x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="7"/>'
    return height, [frame, title, *parts]


STYLE = """
.ground { fill: #fbfbf9; } .room { fill: #ffffff; stroke: #8a8f98; stroke-width: 1.2; } .chip { fill: #e8eef5; }
.name { font: 600 14px system-ui, sans-serif; fill: #16202c; } .for { font: 400 12px system-ui, sans-serif; fill: #4c5866; }
.file { font: 12px ui-monospace, monospace; fill: #24303d; } .arrow { stroke: #4a6f98; fill: none; opacity: 0.75; }
.head { fill: #4a6f98; } .up { stroke: #c0272d; } .count { font: 11px system-ui, sans-serif; fill: #4c5866; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #14181d; } .room { fill: #1c232b; stroke: #66707c; } .chip { fill: #2a3644; } .name { fill: #eef2f6; }
  .for, .count { fill: #a9b4c0; } .file { fill: #dbe4ee; } .arrow { stroke: #86b0e0; } .head { fill: #86b0e0; }
}
"""


def picture() -> str:
    """The SVG. Arrows to the floor below run straight, others in lanes beside the house."""
    drawing, places, y = [], {}, 20.0
    for number, floor in enumerate(FLOORS):
        width = (RIGHT - LEFT - 30 * (len(floor) - 1)) / len(floor)
        tallest = 0.0
        for k, (room, purpose) in enumerate(floor):
            x = LEFT + k * (width + 30)
            height, parts = _box(room, purpose, x, y, width)
            places[room] = (number, x, y, width, height)
            drawing += parts
            tallest = max(tallest, height)
        y += tallest + GAP
    arrows = _arrows(places)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y - GAP + 20:.0f}" role="img" '
        'aria-label="The rooms of fastloss in layers; every import points down">'
        f"<style>{STYLE}</style>"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'markerUnits="userSpaceOnUse" orient="auto"><path class="head" d="M0 0L8 4L0 8z"/></marker></defs>'
        f'<rect class="ground" width="{WIDTH}" height="{y - GAP + 20:.0f}" rx="10"/>'
        + "\n".join((*arrows, *drawing))
        + "</svg>\n"
    )


def _arrows(places: dict[str, tuple[int, float, float, float, float]]) -> list[str]:
    drawn: list[str] = []
    starts: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    lanes = [0, 0]
    for (a, b), count in sorted(edges().items(), key=lambda e: (places[e[0][1]][0] - places[e[0][0]][0], e[0])):
        floor_a, ax, ay, aw, ah = places[a]
        floor_b, bx, by, bw, _ = places[b]
        thick = 1 + min(3.0, count / 5)
        upward = "" if floor_b > floor_a else " up"
        tip = f'class="arrow{upward}" stroke-width="{thick:.1f}" marker-end="url(#head)"'
        if floor_b == floor_a + 1:
            x = max(ax, bx) + min(aw, bw, ax + aw - bx, bx + bw - ax) / 2 + 16 * ends[b]
            ends[b] += 1
            drawn.append(f'<path {tip} d="M{x:.0f} {ay + ah:.0f}V{by - 2:.0f}"/>')
            drawn.append(f'<text class="count" x="{x + 6:.0f}" y="{(ay + ah + by) / 2 + 4:.0f}">{count}</text>')
            continue
        side = int(ax > LEFT or (aw == RIGHT - LEFT and lanes[1] <= lanes[0]))
        lane = (RIGHT + 18 + 12 * lanes[1]) if side else (LEFT - 18 - 12 * lanes[0])
        lanes[side] += 1
        y1, y2 = ay + 10 + 7 * starts[a], by + 10 + 7 * ends[b]
        starts[a] += 1
        ends[b] += 1
        x1, x2 = (ax + aw, bx + bw + 2) if side else (ax, bx - 2)
        drawn.append(f'<path {tip} d="M{x1:.0f} {y1:.0f}H{lane:.0f}V{y2:.0f}H{x2:.0f}"/>')
    return drawn


def main() -> None:
    wrong = [f"{a} -> {b}" for a, b in edges() if level_of_floor(a) >= level_of_floor(b)]
    PICTURE.write_text(picture())
    if wrong:
        sys.exit(f"imports that point up: {', '.join(sorted(wrong))}")


def level_of_floor(room: str) -> int:
    return next(k for k, floor in enumerate(FLOORS) if room in dict(floor))


if __name__ == "__main__":
    main()

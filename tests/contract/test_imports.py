"""Promise: every import of the package points down, as docs/architecture.md draws it. Read from the sources."""

from __future__ import annotations

import re
from pathlib import Path

import architecture
import pytest
from architecture import PACKAGE, imports, level, room_of, rooms_imported, sources

BESIDE = ("evaluation", "lab", "_plans", "_check")  # packages whose files import one another
ENGINES_OF_ENGINES = {"lovasz": "regions"}  # errors of an image's positions


def beneath(path: Path, target: str) -> bool:
    """Whether an engine imports the one that it builds on, or a part (a .pxd file) of its own."""
    package, _, name = target.rpartition(".")
    engine = path.stem.partition("_")[0]
    return package == "fastloss._engines" and (name.startswith(f"{engine}_") or name == ENGINES_OF_ENGINES.get(engine))


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = room_of(path)
    for other in rooms_imported(path):
        assert other != "_definitions", "loaded by name, when they are asked for"
        if other == "__init__":
            assert own == "__init__", f"{path.name} imports the package's own face"
        elif other == own:
            assert own in BESIDE or path.suffix != ".py", f"{path.name} imports a file beside it"
        elif own != "__init__":
            assert level(other) > level(own), f"{path.name} imports {other}, which lies above it"


ENGINES_OF_PLANS = {
    "base": {"pointwise"},
    "weights": {"pointwise"},
    "lovasz": {"lovasz", "regions"},  # whose gradient is the regions' own
}
PLANS_OF_OTHERS = {"scores": "rows", "contrast": "mining", "lovasz": "regions"}  # labels; rows by class; arguments


@pytest.mark.parametrize("path", sorted((PACKAGE / "_plans").glob("[a-z]*.py")), ids=lambda p: p.stem)
def test_a_plan_runs_its_own_engine(path: Path) -> None:
    shared = {"base", "weights"}
    for target in imports(path):
        parts = target.split(".")
        if parts[1] == "_engines":
            assert parts[2] in ENGINES_OF_PLANS.get(path.stem, {path.stem})
        elif parts[1] == "_plans":
            assert parts[2] in shared or PLANS_OF_OTHERS.get(path.stem) == parts[2]


def test_an_engine_imports_what_all_share() -> None:
    for path in (PACKAGE / "_engines").glob("*.p[yx][xd]"):
        assert all(
            target.startswith(("fastloss._kernels", "fastloss.csrc.")) or beneath(path, target) for target in imports(path)
        ), path.name


@pytest.mark.parametrize("path", sorted((PACKAGE / "csrc").rglob("*.[ch]")), ids=lambda p: f"{p.parent.name}/{p.name}")
def test_an_engines_c_files_include_its_own_and_common_ones(path: Path) -> None:
    included = re.findall(r'^#(?:include|define FL_BODY) "(.+)"', path.read_text(), re.MULTILINE)
    for name in included:
        folder = name.split("/")[0]
        assert (PACKAGE / "csrc" / name).exists()
        assert folder == "common" or folder == path.parent.name, f"{path} includes {name}"


def test_plans_import_without_cycles() -> None:
    graph = {
        f"{p.parent.name}/{p.stem}": {
            f"{p.parent.name}/{t.split('.')[-1]}" for t in imports(p) if t.split(".")[1:2] == [p.parent.name]
        }
        for folder in BESIDE
        for p in (PACKAGE / folder).glob("*.py")
        if p.stem != "__init__"
    }
    while graph:
        leaves = [name for name, needs in graph.items() if not needs & graph.keys()]
        assert leaves, f"a cycle among {sorted(graph)}"
        for name in leaves:
            del graph[name]


def test_the_picture_is_drawn_from_these_imports() -> None:
    if not architecture.PICTURE.exists():
        pytest.skip("needs a checkout")
    assert architecture.picture() == architecture.PICTURE.read_text(), "`python tools/architecture.py` draws it anew"

"""Promise: every import of the package points down, as docs/architecture.md draws it. Read from the sources."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastloss as fl

PACKAGE = Path(fl.__file__).parent
FAMILIES = (
    *("regression", "classification", "divergence", "ordinal", "energy", "functional"),
    *("sequence", "segmentation", "embedding"),
)
LAYERS: tuple[tuple[str, ...], ...] = (  # from the top; a module may import those below its layer, and some beside it
    ("__main__",),
    ("cli",),
    ("evaluation", "lab"),
    ("__init__",),
    FAMILIES,
    ("_loss",),
    ("_plans",),
    ("_config",),
    ("_threads",),
    ("_check",),
    ("_engines",),
    ("_kernels",),
)
BESIDE = ("evaluation", "lab", "_plans", "_check")  # packages whose files import one another
# evaluation, lab and the command line use the package as its users do
FACE = ("evaluation", "lab", "cli", "__main__")


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def level(name: str) -> int:
    return next(k for k, layer in enumerate(LAYERS) if name in layer)


def targets(path: Path) -> Iterator[str]:
    """Full names of what a file of the package imports from the package, at its top level."""
    text = path.read_text()
    if path.suffix != ".py":
        yield from re.findall(r"^(?:from|cimport|import) (fastloss\.[\w.]+)", text, re.MULTILINE)
        return
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "fastloss")
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = path.relative_to(PACKAGE).parts[:-1]
                yield ".".join(("fastloss", *base, node.module or ""))
            elif node.module and node.module.split(".")[0] == "fastloss":
                yield node.module


ENGINES_OF_ENGINES = {"lovasz": "regions"}  # errors of an image's positions


def beneath(path: Path, target: str) -> bool:
    """Whether an engine imports the one that it builds on, or a part (a .pxd file) of its own."""
    package, _, name = target.rpartition(".")
    engine = path.stem.partition("_")[0]
    return package == "fastloss._engines" and (name.startswith(f"{engine}_") or name == ENGINES_OF_ENGINES.get(engine))


SOURCES = sorted(
    p
    for suffix in ("py", "pyx", "pxd")
    for p in PACKAGE.rglob(f"*.{suffix}")
    if p.relative_to(PACKAGE).parts[0] != "_definitions"
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = room(path)
    for target in targets(path):
        other = target.split(".")[1] if "." in target else "__init__"
        assert other != "_definitions", "loaded by name, when they are asked for"
        if other == "__init__":
            assert own in FACE, f"{path.name} imports the package's own face"
        elif other == own:
            assert own in BESIDE or path.name == "_kernels.pyx" or beneath(path, target), (
                f"{path.name} imports {target}, beside it"
            )
        else:
            assert level(other) > level(own), f"{path.name} imports {target}, which lies above it"


ENGINES_OF_PLANS = {
    "base": {"pointwise"},
    "weights": {"pointwise"},
    "lovasz": {"lovasz", "regions"},  # whose gradient is the regions' own
}
PLANS_OF_OTHERS = {"scores": "rows", "contrast": "mining", "lovasz": "regions"}  # labels; rows by class; arguments


@pytest.mark.parametrize("path", sorted((PACKAGE / "_plans").glob("[a-z]*.py")), ids=lambda p: p.stem)
def test_a_plan_runs_its_own_engine(path: Path) -> None:
    shared = {"base", "weights"}
    for target in targets(path):
        parts = target.split(".")
        if parts[1] == "_engines":
            assert parts[2] in ENGINES_OF_PLANS.get(path.stem, {path.stem})
        elif parts[1] == "_plans":
            assert parts[2] in shared or PLANS_OF_OTHERS.get(path.stem) == parts[2]


def test_an_engine_imports_what_all_share() -> None:
    for path in (PACKAGE / "_engines").glob("*.p[yx][xd]"):
        assert all(target == "fastloss._kernels" or beneath(path, target) for target in targets(path)), path.name


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
            f"{p.parent.name}/{t.split('.')[-1]}" for t in targets(p) if t.split(".")[1:2] == [p.parent.name]
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

"""Draws what is drawn: the guide's figures and every loss's curves, each again only if what it is made of has changed."""

import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

import fastloss as fl
from fastloss.lab import _plot, _sweeps

DOCS = Path(__file__).resolve().parents[1]
STYLE = {"svg.hashsalt": "fastloss", "font.size": 9.5, "svg.fonttype": "none", "font.family": "sans-serif"}
METADATA = {"Date": None, "Creator": None}


def guide() -> None:
    folder = DOCS / "guide" / "figures"
    sys.path.insert(0, str(folder))
    try:
        for script in sorted(folder.glob("question_*.py")):
            _draw(
                script.with_suffix(".svg"),
                _digest(script, folder / "style.py"),
                lambda s=script: importlib.import_module(s.stem).draw(),
            )
    finally:
        sys.path.remove(str(folder))


def losses(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    made_of = _digest(Path(_plot.__file__), Path(_sweeps.__file__))
    for loss in fl.LOSSES.values():
        _draw(folder / f"{loss.name}.svg", made_of, lambda loss=loss: _figure(fl.plot(loss)))
        _draw(folder / f"{loss.name}_small.svg", made_of, lambda loss=loss: _figure(fl.plot(loss, size="small")))


def _figure(axes: Any) -> Any:
    return (axes[0] if hasattr(axes, "__len__") else axes).figure


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _draw(path: Path, digest: str, make: object) -> None:
    mark = f"<!-- made of {digest}, fastloss {fl.__version__} -->\n"
    if path.exists() and path.read_text().endswith(mark):
        return
    with mpl.rc_context(STYLE):
        make().savefig(path, metadata=METADATA)
    path.write_text(path.read_text() + mark)

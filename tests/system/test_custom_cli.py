"""Promise: the command line evaluates and shows custom losses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastloss as fl

LOSSES_PY = """
import numpy as np
import fastloss as fl

def cubic(score, truth, *, scale=1.0, offset=None):
    "Cube of the distance."
    return scale * np.abs(score - truth) ** 3 + (0 if offset is None else offset)

@fl.custom(pointwise=False, name="rows", formula="sum of squares", citation="me, 2024")
def total(x):
    return (x ** 2).sum(-1)

class Kept:
    inside = fl.custom(cubic, name="inside")

number = 3

def clash(prediction, worst):
    return prediction
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "lab_losses.py").write_text(LOSSES_PY)
    (tmp_path / "lab_broken.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "lab_exits.py").write_text("raise SystemExit(0)\n")
    rng = np.random.default_rng(0)
    for name in ("score", "truth", "prediction", "target"):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=30))
    np.save(tmp_path / "x.npy", rng.normal(size=(10, 3)))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for module in ("lab_losses", "lab_broken", "lab_exits"):
        sys.modules.pop(module, None)
    while str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


def run(*arguments: object) -> Any:
    pytest.importorskip("click")
    from click.testing import CliRunner

    from fastloss.cli import main

    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_cli_evaluates_a_function_beside_a_loss(folder: Path) -> None:
    command = ["evaluate", "lab_losses:cubic", "--score", "score.npy", "mse", "--prediction", "prediction.npy"]
    done = run(*command, "--truth=truth.npy", "--target", "target.npy", "--scale", 2, "--format", "json")
    assert done.exit_code == 0, done.output
    losses = json.loads(done.stdout)["losses"]
    arrays = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    assert losses["cubic"]["mean"] == pytest.approx(2 * np.mean(np.abs(arrays["score"] - arrays["truth"]) ** 3))
    assert losses["mse"]["mean"] == pytest.approx(fl.mse(arrays["prediction"], arrays["target"]))


def test_cli_evaluates_rows_and_attributes_of_classes(folder: Path) -> None:
    done = run("evaluate", "lab_losses:rows", "--x", "x.npy")
    assert done.exit_code == 2
    assert "module lab_losses has no 'rows'" in done.output
    done = run("evaluate", "lab_losses:total", "--x", "x.npy", "--format", "json")
    assert json.loads(done.stdout)["losses"]["rows"]["mean"] == pytest.approx((np.load("x.npy") ** 2).sum(-1).mean())
    done = run("evaluate", "lab_losses:Kept.inside", "--score", "score.npy", "--truth", "truth.npy", "--offset", "1.5")
    assert done.exit_code == 0, done.output
    assert "inside" in done.stdout


def test_cli_is_the_same_in_a_process_of_its_own(folder: Path) -> None:
    """With the console script, the working directory is not on the path by itself."""
    code = "import sys; sys.path = [p for p in sys.path if p]; from fastloss.cli import main; main(prog_name='fastloss')"
    words = ["evaluate", "lab_losses:cubic", "--score", "score.npy", "--truth", "truth.npy"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "cubic" in done.stdout


def test_cli_shows(folder: Path) -> None:
    done = run("show", "lab_losses:cubic")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("cubic(score, truth, *, scale=1.0, offset=None, sample_weight=None, reduction='mean')")
    assert "Cube of the distance." in done.stdout
    assert "order 2, with respect to score (grad and hess by central differences)" in " ".join(done.stdout.split())
    assert "reference" not in done.stdout
    done = run("show", "lab_losses:total")
    assert "sum of squares" in done.stdout
    assert "me, 2024" in done.stdout
    assert "--score FILE" in run("evaluate", "lab_losses:cubic", "--help").stdout


USAGE = [
    ("lab_nowhere:f", "lab_nowhere:f: cannot import lab_nowhere: ModuleNotFoundError: No module named 'lab_nowhere'"),
    ("lab_broken:f", "cannot import lab_broken: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
    ("lab_exits:f", "cannot import lab_exits: SystemExit: 0"),
    ("lab_losses:nothing", "lab_losses:nothing: module lab_losses has no 'nothing'"),
    ("lab_losses:", "module lab_losses has no ''"),
    (":cubic", "cannot import "),
    ("lab_losses:number", "lab_losses:number: expected a loss or a function, got int"),
    ("lab_losses:np.add", "lab_losses:np.add: custom: "),
]


@pytest.mark.parametrize(("name", "text"), USAGE, ids=[name for name, _ in USAGE])
@pytest.mark.parametrize("command", ["evaluate", "show"])
def test_cli_usage_errors(folder: Path, command: str, name: str, text: str) -> None:
    done = run(command, name)
    assert done.exit_code == 2, done.output
    assert text in " ".join(done.stderr.split())
    assert not done.stdout


def test_cli_bad_data_and_bad_options(folder: Path) -> None:
    done = run("evaluate", "lab_losses:cubic", "--score", "score.npy")
    assert (done.exit_code, "expected --truth FILE, got none" in done.stderr) == (2, True)
    done = run("evaluate", "lab_losses:clash", "--prediction", "prediction.npy")
    assert (done.exit_code, "lab_losses:clash: worst: this name belongs to an option" in done.stderr) == (2, True)
    done = run("evaluate", "lab_losses:cubic", "--score", "score.npy", "--truth", "x.npy")
    assert done.exit_code == 1
    done = run("evaluate", "lab_losses:cubic", "--score", "score.npy", "--truth", "truth.npy", "--delta", 1)
    assert (done.exit_code, "--delta belongs to none of lab_losses:cubic" in done.stderr) == (2, True)

"""Promise: help(), inspect and type checkers see every loss's true signature."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import pydoc
import subprocess
import sys
import textwrap
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import LOSSES, every_loss, need

import fastloss as fl
from fastloss._loss import Array, Terms


def parameters(function: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


@every_loss
def test_loss_is_a_documented_callable(loss: fl.Loss) -> None:
    assert callable(loss)
    assert loss.__name__ == loss.__qualname__ == loss.name
    assert loss.__module__.startswith("fastloss.")
    assert parameters(loss) == parameters(loss.__wrapped__)
    assert parameters(loss)[-1].name == "reduction"
    assert inspect.unwrap(loss) is loss.__wrapped__
    assert inspect.getdoc(loss) == inspect.getdoc(loss.__wrapped__)
    assert loss.__doc__.strip().split("\n")[0].endswith(".")


@every_loss
def test_help_shows_signature_and_formula(loss: fl.Loss) -> None:
    printed = io.StringIO()
    with redirect_stdout(printed):
        pydoc.doc(loss, output=printed)
    text = printed.getvalue()
    assert loss.name in text
    assert "reduction" in text
    assert "Parameters" in text


@every_loss
def test_copies_are_the_loss_itself(loss: fl.Loss) -> None:
    assert copy.copy(loss) is loss
    assert copy.deepcopy(loss) is loss
    assert {loss: 1}[loss] == 1


@every_loss
def test_options_cannot_be_changed(loss: fl.Loss) -> None:
    with pytest.raises(TypeError):
        loss.options["axis"] = 0  # type: ignore[index]


METHODS = ("grad", "value_and_grad", "hess", "grad_and_hess", "terms")


def asymmetric(prediction: np.ndarray, target: np.ndarray, slope: float = 2.0) -> Any:
    return np.where(prediction > target, slope, 1.0) * (prediction - target) ** 2


CUSTOM = fl.custom(asymmetric, name="asymmetric")


@pytest.mark.parametrize("loss", [*LOSSES, CUSTOM], ids=lambda loss: loss.name)
def test_methods_show_the_parameters_of_their_loss(loss: fl.Loss) -> None:
    """To inspect, help() and those who count parameters; LightGBM took ``(*args, **kwargs)`` for (labels, predictions)."""
    slopes = tuple[(Array,) * len(loss.wrt)] if len(loss.wrt) > 1 else Array  # type: ignore[misc]
    returned = dict(zip(METHODS, (slopes, tuple[float | Array, slopes], slopes, tuple[slopes, slopes], Terms), strict=True))
    for name in METHODS:
        method = getattr(loss, name)
        *shown, last = parameters(method)
        if name in ("grad", "value_and_grad"):
            assert (last.name, last.kind, last.default) == ("out", last.KEYWORD_ONLY, None)
        else:
            shown.append(last)
        assert shown == parameters(loss)
        assert inspect.signature(method).return_annotation == returned[name]
        assert method.__doc__ == getattr(fl.Loss, name).__doc__
        assert (method.__name__, method.__self__, method.__module__) == (name, loss, loss.__module__)
        assert inspect.isroutine(method)
        assert f"{name}{inspect.signature(method)}" in pydoc.render_doc(method, renderer=pydoc.plaintext)
        assert getattr(loss, name) is method
        assert copy.deepcopy(method) is pickle.loads(pickle.dumps(method)) is method
        assert getattr(fl.Loss, name)(fl.mse, 3.0, 1.0) is not None
        with pytest.raises(TypeError, match=r"'detla'|no diagonal Hessian"):
            method(*(np.ones(3) for _ in loss.arrays), detla=1.0)


def test_package_is_marked_as_typed() -> None:
    assert (Path(fl.__file__).parent / "py.typed").exists()


SNIPPET = """
    import numpy as np
    import fastloss as fl

    x = np.zeros((4, 3), np.float32)
    y = np.zeros(4, np.int64)
    fl.cross_entropy(x, y, axis=-1, class_weight=None, ignore_index=None, label_smoothing=0.1)
    fl.cross_entropy(x, y, sample_weight=np.ones(4), reduction="none")
    fl.cross_entropy.grad(x, y, label_smoothing=0.1)
    fl.cross_entropy.value_and_grad(x, y)
    fl.huber.hess(x, x, delta=2.0)
    fl.huber.grad_and_hess(x, x, delta=2.0)
    fl.huber.terms(x, x)
    fl.huber.grad(x, x, delta=2.0, out=x)
    loss = fl.LOSSES["mse"]
    name: str = loss.name
    n: int = fl.get_num_threads()
    with fl.num_threads(2):
        p: float = fl.perplexity(x, y)
    fl.softmax(x, axis=0, out=x)
    reveal_type(fl.huber)
"""
WRONG = {
    "fl.huber(x, x, detla=1.0)": "call-arg",
    'fl.huber(x, x, delta="a")': "arg-type",
    "fl.huber(x)": "call-arg",
    "fl.huber.grad(x, x, detla=1.0)": "call-overload",
    "fl.huber.hess(x, x, detla=1.0)": "call-arg",
    "fl.huber.hess(x, x, out=x)": "call-arg",
    "fl.huber.grad_and_hess(x)": "call-arg",
    "fl.cross_entropy(x, y, -1)": "call-arg",
    "fl.nothing(x)": "attr-defined",
    "fl.perplexity(x, y, label_smoothing=0.1)": "call-arg",
}


@pytest.mark.slow
def test_mypy_knows_the_signatures(tmp_path: Path) -> None:
    need("mypy")
    right = textwrap.dedent(SNIPPET)
    first = right.count("\n") + 1
    source = tmp_path / "snippet.py"
    source.write_text(right + "\n".join(WRONG) + "\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-error-summary",
            "--cache-dir",
            str(tmp_path / "cache"),
            str(source),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    lines = done.stdout.splitlines()
    errors = [line for line in lines if ": error:" in line]
    for number, (code, kind) in enumerate(WRONG.items(), start=first):
        found = [e for e in errors if e.startswith(f"{source.name}:{number}:") or f"snippet.py:{number}:" in e]
        assert found, (code, lines)
        assert any(f"[{kind}]" in e for e in found), (code, found)
    assert len(errors) == len(WRONG), lines
    revealed = next(line for line in lines if "Revealed type" in line)
    assert "delta" in revealed

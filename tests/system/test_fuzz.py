"""Promise: whatever is passed, the result is documented or the error is named, and no memory is touched that should not be."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz
import numpy as np
import pytest

import fastloss as fl


def test_some_thousand_calls() -> None:
    outcomes = fuzz.fuzz(20240, calls=2000)
    assert outcomes.total() == 2000
    assert set(outcomes) == {"result", "ValueError", "TypeError", "IndexError"}
    assert outcomes["result"] > 600
    assert outcomes["ValueError"] > 300


def test_some_thousand_calls_of_ctc() -> None:
    """Labels and lengths out of range, that do not add up, of wrong types and counts; CONTRIBUTING.md has the long run."""
    outcomes = fuzz.fuzz(4, calls=3000, names=("ctc", "ctc_align", "ctc_posteriors"))
    assert outcomes["result"] > 600
    assert outcomes["ValueError"] > 300
    assert outcomes["TypeError"] > 100
    assert outcomes["IndexError"] > 20


def test_calls_from_several_threads_at_once() -> None:
    assert fuzz.fuzz_in_threads(7, 4, calls=150).total() == 600


def test_a_call_can_be_made_again() -> None:
    assert str(fuzz.draw(3, 14)) == str(fuzz.draw(3, 14)) != str(fuzz.draw(3, 15))


def test_everything_public_is_called() -> None:
    names = {name for name, _ in fuzz.SUBJECTS}
    assert set(fl.LOSSES) <= names
    assert {"perplexity", "logsumexp", "softmax", "log_softmax"} <= names
    assert {fuzz.draw(0, index).name for index in range(50 * len(names))} == names


def test_the_script_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [str(Path(fuzz.__file__)), "--seconds", "0.2", "--seed", "5"])
    fuzz.main()
    assert "calls, no finding" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [str(Path(fuzz.__file__)), "--only", "17", "--trace"])
    fuzz.main()
    assert "seed 0, call 17:" in capsys.readouterr().err


# -- It finds what is planted ---------------------------------------------------------------------------


def _writes_to_an_input(p: np.ndarray, t: np.ndarray) -> Any:
    p.flags.writeable = True
    p.reshape(-1)[:1] = 3.0


def _writes_past_the_end(p: np.ndarray, t: np.ndarray) -> Any:
    base = p
    while isinstance(base.base, np.ndarray):
        base = base.base
    base[-3] = 1


PLANTED: dict[str, tuple[Callable[..., Any], str]] = {
    "unnamed error": (lambda p, t, **kw: np.ones(2) + np.ones(3), "ValueError does not name mse"),
    "odd error": (lambda p, t, **kw: 1 / 0, "ZeroDivisionError instead of an error that is documented"),
    "array for a float": (lambda p, t, **kw: np.float64(1.0), "expected a float"),
    "input changed": (lambda p, t, **kw: _writes_to_an_input(p, t) or 1.0, "bytes were changed"),
    "guard changed": (lambda p, t, **kw: _writes_past_the_end(p, t) or 1.0, "1 bytes were changed"),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_planted_errors_are_found(planted: str) -> None:
    function, text = PLANTED[planted]
    memory = fuzz.Memory()
    args = [memory.guarded(np.zeros(5)), memory.guarded(np.ones(5))]
    memory.remember()
    call = fuzz.Call("mse", "__call__", function, args, {}, fl.mse, memory, 1)
    with pytest.raises(fuzz.Finding, match=text):
        fuzz.run(call)


@pytest.mark.parametrize(
    ("gradient", "text"),
    [
        (lambda p, t, out, **kw: out.copy(), "expected the array given as out"),
        (lambda p, t, out, **kw: out.astype(np.float32), "expected dtype float64"),
        (lambda p, t, out, **kw: out[:3], r"expected shape \(5,\)"),
    ],
)
def test_planted_errors_of_gradients_are_found(gradient: Callable[..., Any], text: str) -> None:
    memory = fuzz.Memory()
    args = [memory.guarded(np.zeros(5)), memory.guarded(np.ones(5))]
    out = memory.guarded(np.zeros(5))
    memory.remember()
    with pytest.raises(fuzz.Finding, match=text):
        fuzz.run(fuzz.Call("mse", "grad", gradient, args, {"out": out}, fl.mse, memory, 1))


def test_a_write_to_out_before_an_error_is_found() -> None:
    memory = fuzz.Memory()
    out = memory.guarded(np.zeros(5))
    memory.remember()

    def half_done(out: np.ndarray) -> Any:
        out[0] = 1.0
        raise ValueError("mse: too late")

    with pytest.raises(fuzz.Finding, match="bytes were changed"):
        fuzz.run(fuzz.Call("mse", "grad", half_done, [], {"out": out}, fl.mse, memory, 1))

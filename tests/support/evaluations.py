"""What the tests of evaluation share: losses, small inputs, chunks, and a run that is interrupted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matrix import every

import fastloss as fl
from fastloss.evaluation import EvaluationResult

LOSSES = [loss for loss in fl.LOSSES.values() if not loss.batchwise]
BATCHWISE = [loss for loss in fl.LOSSES.values() if loss not in LOSSES]
NAMES = [loss.name for loss in LOSSES]
every_loss = every("loss", LOSSES)


def inputs(loss, dtype="float64", size=257, seed=0):
    """A sample of a loss as keyword arguments."""
    arrays, options = loss.sample(np.random.default_rng(seed), dtype=dtype, size=size)
    return dict(zip(loss.arrays, arrays, strict=True)) | options


def classes(n=1000, c=7, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    logits = (3 * rng.standard_normal((n, c))).astype(dtype)
    return logits, rng.integers(0, c, n)


def bits(result: EvaluationResult) -> str:
    return result.to_json()


def chunks(array, *lengths):
    at = 0
    for length in lengths:
        yield array[at : at + length]
        at += length


class Interrupted:
    """A loss's terms that stop the run after some calls."""

    def __init__(self, monkeypatch, loss, calls, error=KeyboardInterrupt):
        terms = loss.terms

        def counted(*args, **kwargs):
            self.calls += 1
            if self.calls > calls:
                raise error
            return terms(*args, **kwargs)

        self.calls = 0
        monkeypatch.setattr(loss, "terms", counted)


def python(code, **kwargs):
    program = f"import fastloss as fl, numpy as np\n{code}"
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


def peak_memory(expression):
    """Bytes of peak resident memory of a process that evaluates an expression.

    Of its own pages: what getrusage says begins with the memory of the process that started it.
    """
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    process = python(f"{expression}\nprint(open('/proc/self/status').read())")
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    (peak,) = (line.split()[1] for line in out.splitlines() if line.startswith("VmHWM:"))
    return int(peak) * 1024


def baseline():
    return peak_memory("fl.evaluate('mse', prediction=np.zeros(3), target=0.0)")

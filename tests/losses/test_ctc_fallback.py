"""Promise: linear space decides what it can vouch for, the rest is done with logarithms, and both are exact to rounding.

The bound is in src/fastloss/csrc/ctc/linear.h. Here: samples on both sides of it, at every CPU level, against mpmath.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from conftest import at_each_level
from mpmath import mpf

import fastloss as fl

CLASSES = 6
mpmath.mp.prec = 240  # of this module's own sums: 72 digits


def redone(x: Any, y: Any, **options: Any) -> np.ndarray:
    """Which samples were done with logarithms."""
    return fl.ctc.__wrapped__(x, y, **options).redone()


def emissions(row: np.ndarray) -> list[Any]:
    return [mpmath.exp(mpf(float(v))) if np.isfinite(v) else mpf(0) for v in row]


def truth(x: np.ndarray, labels: np.ndarray) -> tuple[Any, np.ndarray]:
    """Loss of one sample's logits (blank 0), and its gradient: alpha and beta as mpmath has them, out of no range."""
    e = [emissions(row - row.max()) for row in x.astype(np.float64)]
    p = [[v / mpmath.fsum(row) for v in row] for row in e]
    states = [0] * (2 * len(labels) + 1)
    states[1::2] = [int(k) for k in labels]
    skips = [s >= 2 and c != 0 and c != states[s - 2] for s, c in enumerate(states)]

    def sweep(probabilities: list[Any], order: list[int], skip: list[bool]) -> list[list[Any]]:
        rows, row = [], [mpf(1)] + [mpf(0)] * (len(order) - 1)
        first = True
        for frame in probabilities:
            before = row
            row = [
                (
                    before[s]
                    + (before[s - 1] if s and not (first and s > 1) else 0)
                    + (before[s - 2] if s > 1 and skip[s] and not first else 0)
                )
                * frame[order[s]]
                for s in range(len(order))
            ]
            first = False
            rows.append(row)
        return rows

    back_skips = [False] * len(states)
    for s in range(2, len(states)):
        back_skips[s] = skips[len(states) - 1 - s + 2]
    alpha = sweep(p, states, skips)
    beta = sweep(p[::-1], states[::-1], back_skips)[::-1]
    total = alpha[-1][-1] + (alpha[-1][-2] if len(states) > 1 else 0)
    grad = np.array(p, dtype=object)
    for t in range(len(x)):
        for s, c in enumerate(states):
            if total and p[t][c]:
                grad[t, c] -= alpha[t][s] * beta[t][len(states) - 1 - s] / p[t][c] / total
    return (-mpmath.log(total) if total else mpmath.inf), grad


def relative(got: float, exact: Any) -> float:
    return float(abs(mpf(float(got)) - exact) / max(abs(exact), mpf(2) ** -1000))


def batch(scale: float, frames: int, labels: int, samples: int = 6, dtype: str = "float64", seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(scale=scale, size=(samples, frames, CLASSES)).astype(dtype)
    return x, rng.integers(1, CLASSES, (samples, labels))


def check(x: np.ndarray, y: np.ndarray, wanted: bool | None) -> None:
    """Values within 1e-13 (of floats 1e-8), gradients within 1e-12 of the scale of a probability."""
    exact = [truth(sample, labels) for sample, labels in zip(x, y, strict=True)]
    close, near = (1e-13, 1e-12) if x.dtype == np.float64 else (3e-8, 1e-6)
    for level in at_each_level():
        if wanted is not None:
            assert redone(x, y).tolist() == [wanted] * len(x), level
        values, grad = fl.ctc.value_and_grad(x, y, reduction="sum") if len(x) == 1 else _each(x, y)
        for n, (value, slopes) in enumerate(exact):
            assert relative(np.atleast_1d(values)[n], value) <= close, (level, n)
            assert float(np.max(np.abs(grad[n] - slopes))) <= near, (level, n)


def _each(x: np.ndarray, y: np.ndarray) -> tuple[Any, Any]:
    parts = [fl.ctc.value_and_grad(x[n : n + 1], y[n : n + 1], reduction="sum") for n in range(len(x))]
    return [v for v, _ in parts], np.concatenate([g for _, g in parts])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_ordinary_samples_stay_in_linear_space(scale: float, dtype: str) -> None:
    check(*batch(scale, 40, 7, dtype=dtype), wanted=False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1000.0, 3000.0])
def test_logits_times_a_thousand_are_done_with_logarithms(scale: float, dtype: str) -> None:
    x, y = batch(scale, 40, 7, samples=4, dtype=dtype)
    assert redone(x, y).all()
    check(x, y, wanted=True)


def test_both_ways_meet_at_the_bound() -> None:
    """The scale grows until samples fall to the other side: both sides are exact, whichever a sample is on."""
    sides = set()
    for scale in (30.0, 60.0, 90.0, 120.0, 200.0, 400.0):
        x, y = batch(scale, 24, 5, seed=int(scale))
        sides.update(redone(x, y).tolist())
        check(x, y, wanted=None)
    assert sides == {False, True}


def test_a_large_loss_alone_is_no_reason() -> None:
    """A thousand nats and more that every alignment shares, and a path that the labels leave no choice: nothing is lost."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1, 900, CLASSES))
    y = rng.integers(1, CLASSES, (1, 12))
    x[:, :, 0] -= 3.0
    assert fl.ctc(x, y) > 1500
    check(x[:, :200], y, wanted=False)
    assert not redone(x, y).any()
    alone = np.arange(1, CLASSES)[np.arange(500) % (CLASSES - 1)][None]  # as many labels as frames: one alignment
    tight = rng.normal(scale=3, size=(1, 500, CLASSES))
    assert not redone(tight, alone).any()
    logs = tight[0] - np.log(np.exp(tight[0]).sum(axis=1, keepdims=True))
    assert fl.ctc(tight, alone) == pytest.approx(-logs[np.arange(500), alone[0]].sum(), rel=1e-13)


def test_what_is_lost_early_and_wins_late_is_noticed() -> None:
    """The only alignment that reaches the end starts 1,500 nats behind: linear space has dropped it by then, and must know."""
    frames = 12
    x = np.full((1, frames, 3), -1200.0)
    x[0, :, 0] = 0.0  # blanks for sure ...
    x[0, 6:, 0] = -3000.0  # ... then anything but a blank
    x[0, 6:, 2] = 0.0
    y = np.array([[1, 2]])
    assert redone(x, y).all()
    check(x, y, wanted=True)


def test_masked_classes_are_no_loss() -> None:
    """-inf is a probability of 0: nothing falls out of range, however many classes are masked; -1e4 beside no label neither."""
    x, y = batch(2.0, 30, 5, seed=4)
    y[:] = np.where(y == 5, 1, y)
    for mask in (-np.inf, -1e4):
        masked = x.copy()
        masked[:, :, 5] = mask
        masked[:, ::3, 4] = -np.inf
        check(masked, y, wanted=False)


def test_nothing_possible_is_infinite_and_not_redone() -> None:
    x, y = batch(1.0, 20, 3, samples=2, seed=2)
    x[0, :, y[0, 1]] = -np.inf
    assert fl.ctc(x, y, reduction="none").tolist() == [np.inf, pytest.approx(float(truth(x[1], y[1])[0]), rel=1e-13)]
    assert not redone(x, y).any()


def test_one_sample_does_not_drag_its_neighbours_along() -> None:
    x, y = batch(1.0, 40, 7, samples=5)
    x[2] *= 3000
    assert redone(x, y).tolist() == [False, False, True, False, False]
    alone = [fl.ctc(x[n : n + 1], y[n : n + 1]) for n in range(5)]
    assert fl.ctc(x, y, reduction="none").tolist() == alone


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gap", [20.0, 33.0, 60.0])
def test_losses_near_zero_keep_their_digits(gap: float, dtype: str) -> None:
    """Confident frames, and one in which two alignments share the probability: what is missing from 1 is all that counts."""
    rng = np.random.default_rng(5)
    path = np.array([0, 1, 1, 0, 0, 2, 0, 3, 3, 0] * 6)
    x = rng.normal(size=(1, len(path), CLASSES))
    x[0, np.arange(len(path)), path] += gap
    x[0, 3, 1] = x[0, 3, 0] - 0.3  # the label a frame longer, or the blank
    x = x.astype(dtype)
    y = np.array([[1, 2, 3] * 6])
    value, _ = truth(x[0], y[0])
    assert value < 2e-6
    for level in at_each_level():
        assert relative(fl.ctc(x, y, reduction="sum"), value) < (1e-7 if dtype == "float32" else 1e-10), level

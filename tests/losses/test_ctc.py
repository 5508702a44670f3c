"""Promise: CTC is the sum over all alignments for any lengths, labels and confidence, and its gradient is right for both inputs.

N samples, T frames, C classes, S labels, L = 2 S + 1 states: the labels with a blank before, between and after them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import groupby, product
from typing import Any

import numpy as np
import oracle
import pytest
from cases import THREADS, every_dtype, need
from conftest import Note, at_each_level
from matrix import every

import fastloss as fl

inf = np.inf
RELATIVE = {"float32": 1e-6, "float64": 1e-12}  # of the value; of a gradient's two terms, which are probabilities
ROUNDING = 2.0**-50  # of the logarithm of a product of T probabilities, for each: what is left of a value next to 0


def allowed(truth: Any, frames: Any, dtype: str) -> Any:
    return RELATIVE[dtype] * np.abs(truth) + ROUNDING * np.asarray(frames)


def of_probabilities(loss: float, frames: int) -> float:
    """An error of chances: T roundings, and where logarithms as large as the loss were added, theirs."""
    return ROUNDING * frames + min(2.0**-50 * abs(loss), 1e-9)


def ragged(
    rng: np.random.Generator, samples: int, frames: int, labels: int, classes: int, dtype: str = "float64", scale: float = 3.0
) -> tuple[tuple[np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """A feasible batch of all lengths: labels with repeats, frames enough for them, nonsense in the padding of both."""
    logits = (scale * rng.normal(size=(samples, frames, classes))).astype(dtype)
    targets = rng.integers(1, classes, (samples, labels))
    lengths = rng.integers(0, labels + 1, samples)
    used = np.empty(samples, np.int64)
    for i, s in enumerate(lengths):
        needed = s + int((targets[i, 1:s] == targets[i, : max(0, s - 1)]).sum())
        while needed > frames:
            s = lengths[i] = s - 1
            needed = s + int((targets[i, 1:s] == targets[i, : max(0, s - 1)]).sum())
        used[i] = rng.integers(needed, frames + 1)
        targets[i, s:] = -(2**40)
        logits[i, used[i] :] = np.nan
    return (logits, targets), {"input_lengths": used, "target_lengths": lengths}


def log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


# -- The sum over all alignments ------------------------------------------------------------------------


def collapsed(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    """What a path of classes spells: repeats merged, blanks dropped."""
    return tuple(label for label, _ in groupby(path) if label != blank)


@cache
def alignments(frames: int, classes: int, blank: int) -> dict[tuple[int, ...], np.ndarray]:
    """Every labelling, with all the paths (P, T) that spell it."""
    paths: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for path in product(range(classes), repeat=frames):
        paths.setdefault(collapsed(path, blank), []).append(path)
    return {labels: np.array(each, np.intp).reshape(len(each), frames) for labels, each in paths.items()}


def labellings(classes: int, blank: int, most: int = 3) -> list[tuple[int, ...]]:
    labels = [k for k in range(classes) if k != blank]
    return [row for s in range(most + 1) for row in product(labels, repeat=s)]


def small_cases() -> Iterator[Any]:
    for frames, classes in product(range(7), (1, 2, 3)):
        for blank in {0, classes - 1}:
            yield pytest.param(frames, classes, blank, id=f"T{frames} C{classes} blank {blank}")


every_small_case = pytest.mark.parametrize(("frames", "classes", "blank"), list(small_cases()))


def small(frames: int, classes: int, blank: int, dtype: str) -> tuple[np.ndarray, tuple[Any, ...], list[tuple[int, ...]]]:
    """One matrix of logits (T, C), and a batch of it with every labelling of up to 3 labels."""
    x = np.random.default_rng([frames, classes, blank]).normal(0, 2, (frames, classes)).astype(dtype)
    rows = labellings(classes, blank)
    targets = np.full((len(rows), 3), -7)
    for i, row in enumerate(rows):
        targets[i, : len(row)] = row
    return x, (np.repeat(x[None], len(rows), axis=0), targets, np.array([len(row) for row in rows])), rows


@every("log_probs", [False, True], ("logits", "log_probs").__getitem__)
@every_dtype
@every_small_case
def test_ctc_equals_sum_over_all_alignments(frames: int, classes: int, blank: int, dtype: str, log_probs: bool, isa: str) -> None:
    """Value and gradient of every labelling of up to 3 labels in up to 6 frames, by enumeration."""
    x, (logits, targets, lengths), rows = small(frames, classes, blank, dtype)
    log_y = x.astype(np.float64) if log_probs else log_softmax(x.astype(np.float64))
    kw = {"target_lengths": lengths, "blank": blank, "log_probs": log_probs, "reduction": "none"}
    value, grad = fl.ctc.value_and_grad(logits, targets, **kw)
    assert np.array_equal(value, fl.ctc(logits, targets, **kw))
    for i, labels in enumerate(rows):
        paths = alignments(frames, classes, blank).get(labels)
        if paths is None:
            assert value[i] == inf
            assert np.isnan(grad[i]).all()
            continue
        log_p = log_y[np.arange(frames), paths].sum(axis=1)
        expected = -np.logaddexp.reduce(log_p)
        assert abs(value[i] - expected) <= allowed(expected, max(1, frames), dtype)
        chance = np.exp(log_p + expected)
        seen = np.stack([((paths == k) * chance[:, None]).sum(axis=0) for k in range(classes)], axis=1)
        slope = (0 if log_probs else np.exp(log_y)) - seen
        np.testing.assert_allclose(grad[i], slope, rtol=0, atol=2 * RELATIVE[dtype])


@every_small_case
def test_probabilities_of_all_labellings_add_to_one(frames: int, classes: int, blank: int) -> None:
    """Every path spells one labelling, so exp(-loss) is a distribution over them."""
    x = np.random.default_rng(0).normal(0, 2, (frames, classes))
    rows = labellings(classes, blank, frames)
    targets = np.zeros((len(rows), frames), np.int64)
    for i, row in enumerate(rows):
        targets[i, : len(row)] = row
    lengths = np.array([len(row) for row in rows])
    loss = fl.ctc(np.repeat(x[None], len(rows), axis=0), targets, target_lengths=lengths, blank=blank, reduction="none")
    assert np.exp(-loss).sum() == pytest.approx(1, rel=1e-13)


# -- Hostile samples, against mpmath ----------------------------------------------------------------------

Sample = tuple[np.ndarray, list[int]]


def confident(rng: np.random.Generator, frames: int, classes: int, labels: int, nats: float) -> Sample:
    """One alignment leads in every frame by so many nats."""
    target = rng.integers(1, classes, labels)
    target[1:][target[1:] == target[:-1]] = 0
    target = target[target > 0]
    target = target[np.insert(target[1:] != target[:-1], 0, True)]
    x = rng.normal(size=(frames, classes))
    path = np.zeros(frames, np.int64)
    path[np.sort(rng.choice(np.arange(0, frames, 2), len(target), replace=False))] = target
    x[np.arange(frames), path] += nats
    return x, target.tolist()


def masked(rng: np.random.Generator) -> Sample:
    """Half the classes do not exist, another half of them in each frame; the blank and one label always do."""
    x = np.where(rng.random((40, 9)) < 0.5, -inf, 3 * rng.normal(size=(40, 9)))
    x[:, [0, 3]] = rng.normal(size=(40, 2))
    x[:, 5] = -inf
    return x, [3, 3, 1, 3]


def one_way(rng: np.random.Generator) -> Sample:
    """Only one class exists in each frame."""
    path = [0, 0, 2, 2, 0, 2, 1, 1, 1, 4, 0, 0]
    x = np.full((len(path), 5), -inf)
    x[np.arange(len(path)), path] = rng.normal(0, 5, len(path))
    return x, [2, 2, 1, 4]


def a_spark(rng: np.random.Generator, nats: float) -> Sample:
    """The label is all but impossible while it may still be said; then nothing exists but what follows it."""
    x = rng.normal(size=(120, 4))
    x[:60, 1] -= nats
    x[60:, [0, 1]] = -inf
    return x, [1, 2]


def embers(rng: np.random.Generator) -> Sample:
    """The same again and again: each step of the only way through is unlikely by hundreds of nats."""
    x = rng.normal(size=(200, 6))
    labels = [1, 2, 3, 4, 5, 1, 2, 3]
    for k, label in enumerate(labels):
        x[20 * k : 20 * k + 20, label] -= 300 + 100 * k
        x[20 * k + 20, :] = -inf
        x[20 * k + 20, label] = 0.0
    return x, labels


def _normal(frames: int, classes: int, labels: int, scale: float = 1.0) -> Callable[[np.random.Generator], Sample]:
    return lambda rng: (scale * rng.normal(size=(frames, classes)), rng.integers(1, classes, labels).tolist())


HOSTILE: dict[str, Callable[[np.random.Generator], Sample]] = {
    "ordinary": _normal(50, 20, 10),
    "logits x 1000": _normal(60, 12, 8, 1000.0),
    "logits x 1000, long": _normal(250, 20, 40, 1000.0),
    "logits x 1e30": _normal(20, 5, 3, 1e30),
    "uniform": lambda rng: (np.zeros((300, 7)), [1, 2, 3]),
    "masked classes": masked,
    "one way through": one_way,
    "an impossible label": lambda rng: (np.where(np.arange(4) == 2, -inf, rng.normal(size=(9, 4))), [1, 2]),
    "a spark": lambda rng: a_spark(rng, 400.0),
    "a fainter spark": lambda rng: a_spark(rng, 900.0),
    "hardly a spark": lambda rng: a_spark(rng, 5000.0),
    "embers": embers,
    "confident by 10 nats": lambda rng: confident(rng, 300, 10, 60, 10.0),
    "confident by 30 nats": lambda rng: confident(rng, 300, 10, 60, 30.0),
    "confident by 800 nats": lambda rng: confident(rng, 300, 10, 60, 800.0),
    "confidently wrong": lambda rng: (confident(rng, 200, 10, 30, 50.0)[0], rng.integers(1, 10, 30).tolist()),
    "a single alignment": lambda rng: (rng.normal(size=(6, 9)), [1, 2, 3, 4, 5, 6]),
    "as few frames as repeats need": lambda rng: (rng.normal(size=(9, 4)), [1, 1, 2, 2, 3, 3]),
    "one frame too few": lambda rng: (rng.normal(size=(8, 4)), [1, 1, 2, 2, 3, 3]),
    "no labels": _normal(40, 5, 0),
    "no labels, confident": lambda rng: (rng.normal(size=(40, 5)) + 40 * (np.arange(5) == 0), []),
    "no frames": lambda rng: (np.zeros((0, 5)), []),
    "no frames for a label": lambda rng: (np.zeros((0, 5)), [1]),
    "all the same label": lambda rng: (rng.normal(size=(70, 6)), [4] * 30),
    "one frame, one label": _normal(1, 3, 1),
    "one class": lambda rng: (rng.normal(size=(5, 1)), []),
    "many labels": _normal(200, 20, 80),
}


@cache
def hostile(name: str, dtype: str, log_probs: bool) -> tuple[np.ndarray, list[int], oracle.Alignments]:
    x, labels = HOSTILE[name](np.random.default_rng(5))
    x = x.astype(dtype)
    return x, labels, oracle.Alignments(x, labels, log_probs=log_probs)


@every("log_probs", [False, True], ("logits", "log_probs").__getitem__)
@every_dtype
@every("name", HOSTILE)
def test_hostile_samples_are_exact(name: str, dtype: str, log_probs: bool, isa: str) -> None:
    """Value and gradient; as log-probabilities the same numbers, which then do not add up to 1."""
    x, labels, truth = hostile(name, dtype, log_probs)
    value, grad = fl.ctc.value_and_grad(x[None], np.array([labels], np.int64), log_probs=log_probs, reduction="none")
    expected = float(truth.value())
    if not truth.likelihood:
        assert value[0] == inf
        assert np.isnan(grad).all()
        return
    with np.errstate(over="ignore"):
        expected = float(np.asarray(expected).astype(dtype)) if abs(expected) > 1e30 else expected
    assert value[0] == expected or abs(value[0] - expected) <= allowed(expected, len(x), dtype)
    assert log_probs or (value[0] >= 0 and not np.signbit(value[0]))
    slope = truth.grad().astype(np.float64)
    np.testing.assert_allclose(grad[0], slope, rtol=0, atol=RELATIVE[dtype] + of_probabilities(expected, len(x)))
    assert not grad[0][np.isneginf(x)].any()


@every_dtype
@every("name", HOSTILE)
def test_hostile_samples_leave_their_neighbours_alone(name: str, dtype: str) -> None:
    """In one batch with ordinary samples, padded to a common size: everyone's bits are those of the call alone."""
    x, labels, _ = hostile(name, dtype, False)
    (logits, targets), kw = ragged(np.random.default_rng(1), 5, max(len(x), 12), max(len(labels), 4), x.shape[1] + 2, dtype)
    logits[2], targets[2] = -inf, 0
    logits[2, : len(x), : x.shape[1]] = x
    targets[2, : len(labels)] = labels
    kw["input_lengths"][2], kw["target_lengths"][2] = len(x), len(labels)
    value, grad = fl.ctc.value_and_grad(logits, targets, **kw, reduction="none")
    for i in range(5):
        t, s = kw["input_lengths"][i], kw["target_lengths"][i]
        alone, slope = fl.ctc.value_and_grad(logits[i : i + 1, :t], targets[i : i + 1, :s], reduction="none")
        assert alone.tobytes() == value[i : i + 1].tobytes()
        assert slope[0].tobytes() == grad[i, :t].tobytes()
        assert not grad[i, t:].any()


@pytest.mark.slow
@every("frames", [50, 500, 5000])
@every_dtype
def test_error_does_not_grow_with_the_number_of_frames(dtype: str, frames: int, note: Note) -> None:
    """Under 1e-6 of the value in float32, from uniform to nearly certain; the worst, in ULP, is printed by T."""
    rng = np.random.default_rng(frames)
    samples = [
        _normal(frames, 6, 8)(rng),
        _normal(frames, 6, 8, 10.0)(rng),
        *(confident(rng, frames, 6, 16, nats) for nats in (2.0, 8.0, 16.0)),
    ]
    for x, labels in samples:
        x = x.astype(dtype)
        exact = oracle.Alignments(x, labels, prec=200).value()
        for _ in at_each_level():
            got = fl.ctc(x[None], np.array([labels]), reduction="none")[0]
            relative = abs(float(oracle.mpf(float(got)) / exact - 1))
            note(f"ctc, {frames} frames", dtype, relative / np.finfo(dtype).eps)
            assert relative <= (1e-6 if dtype == "float32" else 1e-10)


@every("scale", [0.0, 1e-3, 1.0, 30.0, 1000.0])
@every_dtype
def test_ctc_is_neither_negative_nor_nan(dtype: str, scale: float, isa: str) -> None:
    rng = np.random.default_rng(0)
    for frames, labels, classes in ((1, 1, 2), (8, 3, 3), (33, 10, 5), (130, 40, 40)):
        (logits, targets), kw = ragged(rng, 40, frames, labels, classes, dtype, scale)
        logits[::2, :, 0] += 50  # the blank is nearly sure
        value = fl.ctc(logits, targets, **kw, reduction="none")
        assert (value >= 0).all()
        assert not np.signbit(value).any()
        assert np.isfinite(value).all()


def test_ctc_of_certainty_is_zero() -> None:
    x = np.full((1, 4, 3), -1e5)
    x[0, [0, 1, 2, 3], [0, 1, 2, 0]] = 0
    value, grad = fl.ctc.value_and_grad(x, [[1, 2]])
    assert str(value) == "0.0"
    assert not grad.any()


# -- What cannot be aligned --------------------------------------------------------------------------------

IMPOSSIBLE: dict[str, tuple[Any, list[int]]] = {
    "more labels than frames": (np.zeros((2, 4)), [1, 2, 3]),
    "a repeat without its blank": (np.zeros((2, 4)), [1, 1]),
    "no frames": (np.zeros((0, 4)), [1]),
    "a label that does not exist": (np.where(np.arange(4) == 2, -inf, np.zeros((5, 4))), [2]),
    "no blank, and too many frames for one label": (np.where(np.arange(4) < 1, -inf, np.zeros((5, 4))), [1, 1]),
}


@every_dtype
@every("name", IMPOSSIBLE)
def test_what_cannot_be_aligned_is_infinite(name: str, dtype: str, isa: str) -> None:
    x, labels = np.asarray(IMPOSSIBLE[name][0], dtype), IMPOSSIBLE[name][1]
    value, grad = fl.ctc.value_and_grad(x[None], [labels], reduction="none")
    assert value.tolist() == [inf]
    assert np.isnan(grad).all()
    for reduction in ("sum", "mean"):
        assert fl.ctc(x[None], [labels], reduction=reduction) == inf
        value, grad = fl.ctc.value_and_grad(x[None], [labels], zero_infinity=True, reduction=reduction)
        assert value == 0.0
        assert not grad.any()
        assert not np.isnan(grad).any()


@every_dtype
def test_zero_infinity_touches_nothing_else(dtype: str) -> None:
    (logits, targets), kw = ragged(np.random.default_rng(0), 9, 30, 8, 6, dtype)
    expected, slope = fl.ctc.value_and_grad(logits, targets, **kw, reduction="none")
    kw["input_lengths"][4], kw["target_lengths"][4] = 1, 3
    targets[4, :3] = 1
    value, grad = fl.ctc.value_and_grad(logits, targets, **kw, reduction="none", zero_infinity=True)
    others = np.arange(9) != 4
    assert np.array_equal(value[others], expected[others])
    assert np.array_equal(grad[others], slope[others])
    assert value[4] == 0
    assert not grad[4].any()
    assert fl.ctc(logits, targets, **kw, zero_infinity=True) == pytest.approx(expected[others].sum(dtype=float) / 9, rel=1e-6)


@every_dtype
def test_nan_is_not_an_infinity(dtype: str) -> None:
    """nan in a frame that is used makes that sample nan, with zero_infinity too."""
    x = np.zeros((3, 5, 4), dtype)
    x[1, 2, 3] = np.nan
    for kw in ({}, {"zero_infinity": True}):
        value, grad = fl.ctc.value_and_grad(x, [[1], [1], [1]], reduction="none", **kw)
        assert np.isnan(value).tolist() == [False, True, False]
        assert np.isnan(grad).all(axis=(1, 2)).tolist() == [False, True, False]
        assert np.isfinite(grad[[0, 2]]).all()
    x[1, 2, 3] = inf
    assert np.isnan(fl.ctc(x, [[1], [1], [1]], reduction="none")).tolist() == [False, True, False]


# -- Gradients ---------------------------------------------------------------------------------------------


@every("log_probs", [False, True], ("logits", "log_probs").__getitem__)
@pytest.mark.parametrize("length_normalize", [None, "target", "input"])
def test_gradient_passes_gradcheck(log_probs: bool, length_normalize: str | None) -> None:
    """Of the logits, and of log-probabilities that are free to add up to anything."""
    (logits, targets), kw = ragged(np.random.default_rng(3), 6, 9, 3, 4, scale=1.0)
    logits, targets = np.nan_to_num(logits), np.maximum(targets, 1)
    x = fl.log_softmax(logits) if log_probs else logits
    weight = np.random.default_rng(4).uniform(0.5, 2, 6)
    checked = fl.gradcheck(
        fl.ctc, x, targets, **kw, log_probs=log_probs, length_normalize=length_normalize, sample_weight=weight, verbose=False
    )
    assert checked, str(checked)


@every_dtype
def test_gradient_of_logits_sums_to_zero_in_every_frame(dtype: str, isa: str) -> None:
    for scale in (1.0, 30.0):
        (logits, targets), kw = ragged(np.random.default_rng(0), 20, 64, 20, 33, dtype, scale)
        grad = fl.ctc.grad(logits, targets, **kw, reduction="sum").astype(np.float64)
        assert (np.abs(grad.sum(axis=-1)) <= 4 * np.finfo(dtype).eps * np.abs(grad).sum(axis=-1) + 1e-12).all()


def test_gradient_of_log_probabilities_is_minus_the_occupation(isa: str) -> None:
    """Frame by frame -1 in all: every alignment emits something; and the gradient of the logits is p less that."""
    (logits, targets), kw = ragged(np.random.default_rng(0), 20, 64, 20, 33)
    log_p = log_softmax(logits)
    grad = fl.ctc.grad(log_p, targets, **kw, log_probs=True, reduction="sum")
    used = np.arange(64) < kw["input_lengths"][:, None]
    np.testing.assert_allclose(grad.sum(axis=-1)[used], -1, rtol=1e-12)
    slope = fl.ctc.grad(logits, targets, **kw, reduction="sum")
    np.testing.assert_allclose(slope[used], (np.exp(log_p) + grad)[used], rtol=0, atol=1e-13)
    value = fl.ctc(log_p, targets, **kw, log_probs=True, reduction="none")
    np.testing.assert_allclose(value, fl.ctc(logits, targets, **kw, reduction="none"), rtol=1e-12)


@every("nats", [-500.0, -3.0, 3.0, 500.0])
@every_dtype
def test_log_probabilities_need_not_be_normalised(dtype: str, nats: float, isa: str) -> None:
    """Adding a number to every frame subtracts it T times, past the range of exp too; the gradient does not notice."""
    rng = np.random.default_rng(0)
    x = np.round(8 * rng.normal(size=(3, 40, 6))).astype(dtype) / 8
    y = rng.integers(1, 6, (3, 9))
    value, grad = fl.ctc.value_and_grad(x, y, log_probs=True, reduction="none")
    moved, slope = fl.ctc.value_and_grad(x + np.asarray(nats, dtype), y, log_probs=True, reduction="none")
    np.testing.assert_allclose(moved, value - 40 * nats, rtol=RELATIVE[dtype])
    np.testing.assert_allclose(slope, grad, atol=RELATIVE[dtype])


@every("time_major", [False, True])
@every("reduction", ["none", "sum", "mean"])
@every("dtype", ["float16", "float32", "float64"])
def test_padded_frames_get_exactly_zero(dtype: str, reduction: str, time_major: bool, isa: str) -> None:
    """In a new array, in the caller's buffer and in place; of a sample that cannot be aligned too."""
    (logits, targets), kw = ragged(np.random.default_rng(0), 9, 40, 8, 6)
    logits = logits.astype(dtype)
    kw["target_lengths"][3], kw["input_lengths"][3], kw["input_lengths"][4], kw["target_lengths"][4] = 8, 5, 0, 0
    targets[3] = 2
    padded = np.arange(40) >= kw["input_lengths"][:, None]
    x = logits.swapaxes(0, 1).copy() if time_major else logits
    kw |= {"time_major": time_major, "reduction": reduction}
    fresh = fl.ctc.grad(x, targets, **kw)
    buffer = np.full_like(x, 7)
    fl.ctc.grad(x, targets, **kw, out=buffer)
    own = x.copy()
    fl.ctc.grad(own, targets, **kw, out=own)
    for grad in (fresh, buffer, own):
        by_sample = grad.swapaxes(0, 1) if time_major else grad
        assert (by_sample[padded] == 0).all()
        assert np.isnan(by_sample[3, :5]).all()
        assert np.isfinite(by_sample[[0, 1, 2, 5, 6, 7, 8]]).all()
        assert np.array_equal(grad, fresh, equal_nan=True)


# -- The same call in other words ---------------------------------------------------------------------------


@every("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_time_major_is_the_same(dtype: str, isa: str) -> None:
    kind = np.dtype(need("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
    (logits, targets), kw = ragged(np.random.default_rng(0), 9, 40, 8, 6)
    x = logits.astype(kind)
    value, grad = fl.ctc.value_and_grad(x, targets, **kw, reduction="none")
    for moved in (x.swapaxes(0, 1), np.ascontiguousarray(x.swapaxes(0, 1))):
        value_too, grad_too = fl.ctc.value_and_grad(moved, targets, **kw, time_major=True, reduction="none")
        assert value.tobytes() == value_too.tobytes()
        assert np.ascontiguousarray(grad_too.swapaxes(0, 1)).tobytes() == grad.tobytes()


@every("dtype", ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"])
def test_concatenated_labels_are_the_same(dtype: str, isa: str) -> None:
    (logits, targets), kw = ragged(np.random.default_rng(0), 9, 40, 8, 6)
    flat = np.concatenate([row[:s] for row, s in zip(targets, kw["target_lengths"], strict=True)])
    given = {name: v.astype(dtype) for name, v in kw.items()}
    for reduction in ("none", "mean"):
        value, grad = fl.ctc.value_and_grad(logits, targets, **kw, reduction=reduction)
        for labels in (flat.astype(dtype), np.repeat(flat, 2).astype(dtype)[::2]):
            value_too, grad_too = fl.ctc.value_and_grad(logits, labels, **given, reduction=reduction)
            assert np.asarray(value).tobytes() == np.asarray(value_too).tobytes()
            assert grad.tobytes() == grad_too.tobytes()


def test_what_stands_in_the_padding_does_not_matter(isa: str) -> None:
    """nan, huge numbers and labels out of range there are never looked at."""
    (logits, targets), kw = ragged(np.random.default_rng(0), 9, 40, 8, 6)
    value, grad = fl.ctc.value_and_grad(logits, targets, **kw, reduction="none")
    for junk, label in ((inf, 0), (-inf, 6), (1e308, -1), (0.0, 3)):
        x, y = logits.copy(), targets.copy()
        x[np.arange(40) >= kw["input_lengths"][:, None]] = junk
        y[np.arange(8) >= kw["target_lengths"][:, None]] = label
        value_too, grad_too = fl.ctc.value_and_grad(x, y, **kw, reduction="none")
        assert value.tobytes() == value_too.tobytes()
        assert grad.tobytes() == grad_too.tobytes()


def test_strides_of_every_axis(isa: str) -> None:
    (logits, targets), kw = ragged(np.random.default_rng(0), 9, 40, 8, 6)
    value, grad = fl.ctc.value_and_grad(logits, targets, **kw, reduction="none")
    wide = np.full((18, 120, 13), 99.0)
    views = [
        (wide[::2, ::3, 1:7], targets),
        (wide[::-2, 2::3, 6:0:-1], targets[::-1].copy()[::-1]),
        (wide[1::2, 1::3, ::2][..., :6], np.repeat(targets, 2, axis=1)[:, ::2]),
    ]
    for view, labels in views:
        view[...] = logits
        value_too, grad_too = fl.ctc.value_and_grad(view, labels, **kw, reduction="none")
        np.testing.assert_allclose(value_too, value, rtol=1e-14)
        np.testing.assert_allclose(grad_too, grad, atol=1e-14)
        out = np.full_like(wide, 5)[::2, ::3, 1:7]
        fl.ctc.grad(view, labels, **kw, reduction="none", out=out)
        np.testing.assert_allclose(out, grad, atol=1e-14)


def test_the_blank_may_be_any_class(isa: str) -> None:
    (logits, targets), kw = ragged(np.random.default_rng(0), 9, 40, 8, 6)
    value, grad = fl.ctc.value_and_grad(logits, targets, **kw, reduction="none")
    for blank in range(6):
        order = np.roll(np.arange(6), -blank)  # order[k] is where class k went, the blank to `blank`
        place = np.argsort(order)
        moved = logits[..., order]
        labels = np.where(targets > 0, place[np.maximum(targets, 0)], targets)
        value_too, grad_too = fl.ctc.value_and_grad(moved, labels, **kw, blank=int(place[0]), reduction="none")
        np.testing.assert_allclose(value_too, value, rtol=1e-14)
        np.testing.assert_allclose(grad_too, grad[..., order], atol=1e-14)


@every_dtype
def test_length_normalize_divides_by_labels_or_frames(dtype: str) -> None:
    (logits, targets), kw = ragged(np.random.default_rng(0), 9, 40, 8, 6, dtype)
    kw["target_lengths"][0] = 0
    value, grad = fl.ctc.value_and_grad(logits, targets, **kw, reduction="none")
    for by, lengths in (("target", kw["target_lengths"]), ("input", kw["input_lengths"])):
        value_too, grad_too = fl.ctc.value_and_grad(logits, targets, **kw, length_normalize=by, reduction="none")
        np.testing.assert_allclose(value_too, value / np.maximum(lengths, 1), rtol=RELATIVE[dtype])
        np.testing.assert_allclose(grad_too, grad / np.maximum(lengths, 1)[:, None, None], atol=RELATIVE[dtype])
        assert fl.ctc(logits, targets, **kw, length_normalize=by) == pytest.approx(value_too.mean(dtype=float), rel=1e-6)
    empty = fl.ctc(np.zeros((1, 0, 3)), np.zeros((1, 0), int), length_normalize="input", reduction="none")
    assert empty.tolist() == [0.0]


@every("samples", [0, 1])
@every_dtype
def test_batches_of_none_and_of_one(samples: int, dtype: str) -> None:
    x, y = np.zeros((samples, 4, 3), dtype), np.ones((samples, 2), np.int64)
    value, grad = fl.ctc.value_and_grad(x, y, reduction="none")
    assert (value.shape, value.dtype, grad.shape, grad.dtype) == ((samples,), dtype, x.shape, dtype)
    assert fl.ctc(x, y, reduction="sum") == pytest.approx(value.sum(dtype=float), rel=1e-6)
    empty = np.zeros(0, np.int64)
    flat = fl.ctc(x, np.ones(2 * samples, np.int64), target_lengths=np.full(samples, 2), reduction="none")
    assert np.array_equal(flat, value)
    assert fl.ctc(np.zeros((0, 4, 3)), empty, target_lengths=empty, input_lengths=empty, reduction="sum") == 0.0


# -- Threads, levels, memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("samples", "frames", "labels", "classes"), [(64, 100, 30, 20), (1, 700, 200, 30), (3, 50, 20, 6000)])
@every_dtype
def test_same_bits_for_any_number_of_threads(samples: int, frames: int, labels: int, classes: int, dtype: str, isa: str) -> None:
    (logits, targets), kw = ragged(np.random.default_rng(0), samples, frames, labels, classes, dtype)
    answers = []
    for n in THREADS:
        with fl.num_threads(n):
            value, grad = fl.ctc.value_and_grad(logits, targets, **kw, reduction="none")
            mean = fl.ctc(logits, targets, **kw)
            chances = fl.ctc_posteriors(logits, targets, **kw)
            paths, scores = fl.ctc_align(logits, targets, **kw)
            parts = (value, grad, np.float64(mean), chances, paths, scores)
            answers.append(tuple(np.ascontiguousarray(part).tobytes() for part in parts))
    assert answers == [answers[0]] * len(THREADS)


@every_dtype
def test_cpu_levels_agree(dtype: str) -> None:
    (logits, targets), kw = ragged(np.random.default_rng(0), 30, 150, 40, 37, dtype)
    answers = [fl.ctc.value_and_grad(logits, targets, **kw, reduction="none") for _ in at_each_level()]
    for value, grad in answers[1:]:
        np.testing.assert_allclose(value, answers[0][0], rtol=RELATIVE[dtype])
        np.testing.assert_allclose(grad, answers[0][1], atol=RELATIVE[dtype])


MEMORY = """
import resource, sys
import numpy as np, fastloss as fl
fl.set_num_threads(1)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
n, t, c, s = map(int, sys.argv[1:5])
x = np.zeros((n, t, c), np.float32); x += 1
y = np.ones((n, s), np.int64); y[:, ::2] = 2
out = np.empty_like(x); out[...] = 0
fl.ctc(x[:1, :2], y[:1, :1]); fl.ctc.grad(x[:1, :2], y[:1, :1])
start = peak(); fl.ctc(x, y); forward = peak() - start
fl.ctc.value_and_grad(x, y, out=out); print(x.nbytes / 2**20, forward, peak() - start)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
@pytest.mark.parametrize(("n", "t", "c", "s"), [(8, 600, 3000, 40), (1, 20_000, 20, 300)])
def test_memory_is_that_of_the_lattice_alone(n: int, t: int, c: int, s: int) -> None:
    """No copy of the logits; forward O(S), and with a gradient about 8 bytes for each frame and state."""
    done = subprocess.run([sys.executable, "-c", MEMORY, *map(str, (n, t, c, s))], capture_output=True, text=True, check=True)
    logits, forward, gradient = map(float, done.stdout.split())
    lattice = 8 * t * (2 * s + 2) / 2**20
    assert forward < min(4, logits / 2) if n > 1 else forward < 4
    assert gradient < 1.5 * lattice + 8


# -- Alignments --------------------------------------------------------------------------------------------------


@every("log_probs", [False, True], ("logits", "log_probs").__getitem__)
@every_dtype
@every_small_case
def test_the_alignment_is_the_likeliest_of_all(
    frames: int, classes: int, blank: int, dtype: str, log_probs: bool, isa: str
) -> None:
    """It spells the labels, no other path that does is likelier, and the score is its log-probability."""
    x, (logits, targets, lengths), rows = small(frames, classes, blank, dtype)
    log_y = x.astype(np.float64) if log_probs else log_softmax(x.astype(np.float64))
    paths, scores = fl.ctc_align(logits, targets, target_lengths=lengths, blank=blank, log_probs=log_probs)
    assert paths.shape == (len(rows), frames)
    assert paths.dtype.kind == "i"
    for i, labels in enumerate(rows):
        every = alignments(frames, classes, blank).get(labels)
        if every is None:
            assert scores[i] == -inf
            assert (paths[i] == -1).all()
            continue
        best = log_y[np.arange(frames), every].sum(axis=1).max()
        assert collapsed(tuple(paths[i].tolist()), blank) == labels
        own = log_y[np.arange(frames), paths[i]].sum()
        assert own == pytest.approx(best, rel=1e-12, abs=1e-12)
        assert scores[i] == pytest.approx(own, rel=RELATIVE[dtype], abs=1e-12)


@every("time_major", [False, True])
@every_dtype
def test_alignments_of_a_ragged_batch(dtype: str, time_major: bool, isa: str) -> None:
    """Each sample as if alone, -1 in the padding, and no likelier than all alignments together."""
    (logits, targets), kw = ragged(np.random.default_rng(0), 20, 90, 25, 12, dtype)
    x = logits.swapaxes(0, 1) if time_major else logits
    paths, scores = fl.ctc_align(x, targets, **kw, time_major=time_major)
    loss = fl.ctc(logits, targets, **kw, reduction="none")
    assert paths.shape == (20, 90)
    for i, (t, s) in enumerate(zip(kw["input_lengths"], kw["target_lengths"], strict=True)):
        assert (paths[i, t:] == -1).all()
        assert collapsed(tuple(paths[i, :t].tolist()), 0) == tuple(targets[i, :s].tolist())
        alone, score = fl.ctc_align(logits[i : i + 1, :t], targets[i : i + 1, :s])
        assert np.array_equal(alone[0], paths[i, :t])
        assert score[0] == scores[i]
        log_y = log_softmax(logits[i, :t].astype(np.float64))
        assert scores[i] == pytest.approx(log_y[np.arange(t), paths[i, :t]].sum(), rel=RELATIVE[dtype], abs=1e-12)
        assert scores[i] == pytest.approx(viterbi(log_y, targets[i, :s].tolist()), rel=RELATIVE[dtype], abs=1e-12)
        assert -scores[i] >= loss[i] * (1 - RELATIVE[dtype])


def viterbi(log_y: np.ndarray, labels: list[int]) -> float:
    """The largest log-probability of an alignment, state by state."""
    states = [0, *(k for label in labels for k in (label, 0))]
    best = [0.0] + [-inf] * (len(states) - 1)
    for frame in log_y:
        best = [
            max(best[max(0, s - 1 - (s % 2 == 1 and s > 1 and states[s] != states[s - 2])) : s + 1]) + frame[k]
            for s, k in enumerate(states)
        ]
    return max(best[-2:])


@every("name", HOSTILE)
def test_hostile_samples_are_aligned(name: str, isa: str) -> None:
    x, labels, truth = hostile(name, "float64", False)
    paths, scores = fl.ctc_align(x[None], np.array([labels], np.int64))
    if not truth.likelihood:
        assert scores[0] == -inf
        return
    with np.errstate(invalid="ignore"):
        log_y = log_softmax(x) if len(x) else x
    assert collapsed(tuple(paths[0].tolist()), 0) == tuple(labels)
    assert scores[0] == pytest.approx(viterbi(log_y, labels), rel=1e-12, abs=1e-12)
    assert log_y[np.arange(len(x)), paths[0]].sum() == pytest.approx(scores[0], rel=1e-12, abs=1e-12)


# -- Posteriors --------------------------------------------------------------------------------------------------


@every("time_major", [False, True])
@every("log_probs", [False, True], ("logits", "log_probs").__getitem__)
@every_dtype
def test_posteriors_are_distributions_and_make_the_gradient(dtype: str, log_probs: bool, time_major: bool, isa: str) -> None:
    (logits, targets), kw = ragged(np.random.default_rng(0), 12, 60, 15, 9, dtype)
    x = logits.swapaxes(0, 1) if time_major else logits
    chances = fl.ctc_posteriors(x, targets, **kw, log_probs=log_probs, time_major=time_major).astype(np.float64)
    assert chances.shape == (12, 60, 31)
    assert (chances >= 0).all()
    grad = fl.ctc.grad(logits, targets, **kw, log_probs=log_probs, reduction="sum")
    for i, (t, s) in enumerate(zip(kw["input_lengths"], kw["target_lengths"], strict=True)):
        np.testing.assert_allclose(chances[i, :t].sum(axis=1), 1, rtol=max(4 * np.finfo(dtype).eps, 1e-13))
        assert not chances[i, t:].any()
        assert not chances[i, :, 2 * s + 1 :].any()
        slope = np.zeros((t, 9)) if log_probs else np.exp(log_softmax(logits[i, :t].astype(np.float64)))
        states = np.zeros(2 * s + 1, np.int64)
        states[1::2] = targets[i, :s]
        for state, column in zip(states, chances[i, :t].T, strict=False):
            slope[:, state] -= column
        np.testing.assert_allclose(grad[i, :t], slope, atol=2 * RELATIVE[dtype])


@every("name", HOSTILE)
def test_posteriors_of_hostile_samples_are_exact(name: str, isa: str) -> None:
    x, labels, truth = hostile(name, "float64", False)
    chances = fl.ctc_posteriors(x[None], np.array([labels], np.int64))
    if not truth.likelihood:
        assert np.isnan(chances).all()
        return
    np.testing.assert_allclose(chances[0].sum(axis=1), 1, rtol=1e-12)
    error = RELATIVE["float64"] + of_probabilities(float(truth.value()), len(x))
    np.testing.assert_allclose(chances[0], truth.posteriors().astype(np.float64), rtol=0, atol=error)

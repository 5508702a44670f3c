"""Promise: CTC is the sum over all alignments for any lengths, labels and confidence, and its gradient is right for both inputs.

N samples, T frames, C classes, S labels, L = 2 S + 1 states: the labels with a blank before, between and after them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import oracle
import pytest
from cases import every_dtype
from conftest import Note, at_each_level
from matrix import every
from sequences import (
    HOSTILE,
    RELATIVE,
    _normal,
    alignments,
    allowed,
    confident,
    every_small_case,
    hostile,
    inf,
    labellings,
    log_softmax,
    of_probabilities,
    ragged,
    small,
)

import fastloss as fl


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

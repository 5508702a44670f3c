"""Promise: the alignment is the likeliest of all, and posteriors are the distributions that make the gradient."""

from __future__ import annotations

import numpy as np
import pytest
from cases import every_dtype
from matrix import every
from sequences import (
    HOSTILE,
    RELATIVE,
    alignments,
    collapsed,
    every_small_case,
    hostile,
    inf,
    log_softmax,
    of_probabilities,
    ragged,
    small,
)

import fastloss as fl


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

"""The plan of CTC: sequences of labels against frames, in any of their layouts.

Shapes: `N` samples, `T` frames, `C` classes, `S` labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import fastloss._check as _check
import fastloss._engines.ctc as engine
from fastloss._check import FLOAT64, Array, refuse
from fastloss._plans.base import REDUCTIONS, Plan, Result, Terms
from fastloss._plans.weights import weighed, weights_of_terms
from fastloss._threads import get_num_threads

NORMALIZATIONS = ("target", "input")


class Sequences:
    """Frames and labels of one checked call; what the kernel is asked about them."""

    __slots__ = ("blank", "counts", "frames", "given", "labels", "log_probs", "time_major", "wide", "x", "zero_infinity")

    def __init__(
        self,
        logits: Any,
        targets: Any,
        input_lengths: Any,
        target_lengths: Any,
        blank: Any,
        log_probs: Any,
        time_major: Any,
        zero_infinity: Any,
        sample_weight: Any = None,
    ) -> None:
        self.log_probs, self.zero_infinity = _check.flag("log_probs", log_probs), _check.flag("zero_infinity", zero_infinity)
        self.time_major = _check.flag("time_major", time_major)
        self.given = _check.frames("logits", logits, self.time_major)
        self.x = self.batch_major(self.given)
        self.wide = _check.is_wide(self.x.dtype, self.x.dtype)
        samples, frames, classes = self.x.shape
        self.blank = _check.integer("blank", blank)
        if not 0 <= self.blank < classes:
            refuse(ValueError, "blank", f"a class index in [0, {classes})", self.blank)
        left_out = None
        if sample_weight is not None:  # samples of weight 0 become empty: no frame and no label of theirs is read
            weight, low, _ = _check.weights("sample_weight", sample_weight, (samples,))
            left_out = weight == 0 if low == 0 else None
        self.frames = _check.lengths("input_lengths", input_lengths, samples, frames, "the frames of logits", left_out)
        self.labels, self.counts = _check.label_sequences(
            "targets", targets, "target_lengths", target_lengths, samples, classes, self.blank, left_out
        )

    def batch_major(self, a: Array) -> Array:
        return np.swapaxes(a, 0, 1) if self.time_major else a

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where the labels of each sample begin."""
        starts: npt.NDArray[np.int64] = np.cumsum(self.counts) - self.counts
        return starts

    def run(
        self,
        scale: npt.NDArray[np.float64] | None = None,
        grad: Array | None = None,
        posteriors: Array | None = None,
        paths: npt.NDArray[np.int64] | None = None,
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """The loss of each sample, nothing weighed or normalized, and which of them were done with logarithms."""
        samples = len(self.x)
        losses, redone = np.empty(samples, FLOAT64), np.zeros(samples, np.bool_)
        order = np.argsort(-self.frames * (self.counts + 8), kind="stable")
        engine.ctc(
            self.x, self.labels, self.frames, self.counts, self.starts, order, blank=self.blank,
            log_probs=self.log_probs, wide=self.wide, zero_infinity=self.zero_infinity, losses=losses, redone=redone, scale=scale,
            grad=None if grad is None else self.batch_major(grad), posteriors=posteriors, paths=paths,
            threads=get_num_threads(),
        )  # fmt: skip
        if self.zero_infinity:
            losses[np.isposinf(losses)] = 0.0
        return losses, redone


class Ctc(Plan):
    """CTC of each sample; `sequences` holds the checked arguments."""

    __slots__ = ("divisor", "sequences", "total_weight", "watched")

    def __init__(
        self, sequences: Sequences, length_normalize: Any, sample_weight: Any, reduction: str, watched: Sequence[Any]
    ) -> None:
        _check.one_of("reduction", reduction, REDUCTIONS)
        self.sequences, self.x, self.wide, self.reduction = sequences, sequences.given, sequences.wide, reduction
        self.divisor: npt.NDArray[np.float64] | None = None
        if length_normalize is not None:
            by = _check.one_of("length_normalize", length_normalize, NORMALIZATIONS)
            self.divisor = np.maximum(sequences.counts if by == "target" else sequences.frames, 1).astype(FLOAT64)
        self.sample_weight, self.total_weight, self.care = weighed(sample_weight, sequences.counts.shape, reduction)
        if self.care is not None:  # those of weight 0 are empty already
            self.care = self.care._replace(keep=None).or_none()
        self.watched = tuple(a for a in (*watched, sample_weight) if isinstance(a, np.ndarray))

    def _inputs(self) -> Sequence[Array | None]:
        return self.x, *self.watched

    def run(self, value: bool, grad: bool, hess: bool, out: Any = None) -> Result:
        if self.care is not None:
            return self._run_with_care(value, grad, hess, out)
        gradient = scale = None
        if grad:
            gradient = self._buffer(out)
            scale = self._weighed(np.full(self.sequences.counts.shape, self._scale(self.total_weight)))
        losses, _ = self.sequences.run(scale, gradient)
        if not value:
            return None, gradient, None
        return self._answer(self._weighed(losses), self.total_weight), gradient, None

    def terms(self) -> Terms:
        return self._weighed(self.sequences.run()[0]), weights_of_terms(self.sample_weight, self.sequences.counts.shape)

    def redone(self) -> npt.NDArray[np.bool_]:
        """Computes the losses and tells of which samples linear space might have lost something, so that they were done again
        with logarithms: ``fl.ctc.__wrapped__(logits, targets).redone()``."""
        return self.sequences.run()[1]

    def _weighed(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """values x sample weight / length."""
        with np.errstate(invalid="ignore"):  # inf x 0 is nan, as elsewhere
            if self.sample_weight is not None:
                values = values * self.sample_weight
        return values if self.divisor is None else values / self.divisor

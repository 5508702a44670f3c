"""The plan of CTC: sequences of labels against frames, in any of their layouts.

Shapes: `N` samples, `T` frames, `C` classes, `S` labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import fastloss._engines.ctc as engine
from fastloss._check import FLOAT64, Array, Sequences
from fastloss._plans.base import VALUE, Plan
from fastloss._threads import get_num_threads


def run(
    s: Sequences,
    *,
    zero_infinity: bool = False,
    scale: npt.NDArray[np.float64] | None = None,
    grad: Array | None = None,
    posteriors: Array | None = None,
    paths: npt.NDArray[np.int64] | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The loss of each sample, neither weighted nor normalised, and which of them were computed with logarithms.

    Fills those of the other arrays that are there: gradients, multiplied by `scale`; posteriors; the best paths.
    """
    samples = len(s.x)
    losses, redone = np.empty(samples, FLOAT64), np.zeros(samples, np.bool_)
    order = np.argsort(-s.frames * (s.counts + 8), kind="stable")  # the longest first
    engine.ctc(
        s.x, s.labels, s.frames, s.counts, s.starts, order, blank=s.blank, log_probs=s.log_probs, wide=s.wide,
        zero_infinity=zero_infinity, losses=losses, redone=redone, scale=scale,
        grad=None if grad is None else s.batch_major(grad), posteriors=posteriors, paths=paths, threads=get_num_threads(),
    )  # fmt: skip
    if zero_infinity:
        losses[np.isposinf(losses)] = 0.0
    return losses, redone


class Ctc(Plan):
    """CTC of each sample; `sequences` holds the checked arguments."""

    __slots__ = ("divisor", "no_alias", "sequences", "zero_infinity")

    def __init__(
        self,
        sequences: Sequences,
        zero_infinity: bool,
        divisor: npt.NDArray[np.float64] | None,
        sample_weight: Any,
        reduction: str,
        no_alias: Sequence[Any],
    ) -> None:
        self.sequences, self.zero_infinity, self.divisor = sequences, zero_infinity, divisor
        self.x, self.wide = sequences.given, sequences.wide
        self._weigh(sample_weight, sequences.counts.shape, reduction)
        if self.adjustments is not None:  # samples of weight 0 are empty already
            self.adjustments = self.adjustments._replace(keep=None).or_none()
        self.no_alias = tuple(a for a in (*no_alias, sample_weight) if isinstance(a, np.ndarray))

    def _inputs(self) -> Sequence[Array | None]:
        return self.x, *self.no_alias

    def _compute(
        self, want: int, values: Array | None, gradients: Sequence[Array], hessians: Sequence[Array]
    ) -> tuple[float, float]:
        scale = self._weighed(np.full(self.shape, self._scale(self.total_weight))) if gradients else None
        losses, _ = self._run(scale, gradients[0] if gradients else None)
        return (self._folded(self._weighed(losses), values) if want & VALUE else 0.0), self.total_weight

    def redone(self) -> npt.NDArray[np.bool_]:
        """Computes the losses and tells of which samples linear space might have lost something, so that they were done again
        with logarithms: ``fl.ctc.__wrapped__(logits, targets).redone()``."""
        return self._run()[1]

    def _run(
        self, scale: npt.NDArray[np.float64] | None = None, grad: Array | None = None
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        return run(self.sequences, zero_infinity=self.zero_infinity, scale=scale, grad=grad)

    def _weighed(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """values x sample weight / length."""
        with np.errstate(invalid="ignore"):  # inf x 0 is nan, as elsewhere
            if self.sample_weight is not None:
                values = values * self.sample_weight
        return values if self.divisor is None else values / self.divisor

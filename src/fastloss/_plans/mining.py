"""The plan of the losses that compare all rows of a batch, and distances between rows.

Shapes: `N` rows of `D` dimensions, `M` rows to compare with.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import fastloss._check as _check
import fastloss._engines.mining as engine
from fastloss._check import FLOAT32, FLOAT64, Array
from fastloss._plans.base import Plan, largest_magnitude
from fastloss._plans.weights import Mask, is_extreme
from fastloss._threads import get_num_threads

Floats = npt.NDArray[np.float64]
MINING = tuple(engine.MININGS)
METRICS = tuple(engine.METRICS)
AVERAGES = ("active", "valid")
MOST_ROWS = 2**24  # which a float32 still tells apart


def pairwise(x: Array, y: Array | None, metric: str, out: Any) -> Array:
    """Distances from each row of x to each of y, or of x."""
    other = x if y is None else y
    wide, threads = _check.is_wide(x.dtype, other.dtype), get_num_threads()
    shape, dtype = (len(x), len(other)), FLOAT64 if wide else FLOAT32
    result: Array = np.empty(shape, dtype) if out is None else _check.result("out", out, shape, dtype, (x, y))
    if result.size == 0:
        return result
    if x.shape[1] == 0:
        result[...] = 1.0 if metric == "cosine" else 0.0
        return result
    cosine = metric == "cosine"
    left = engine.Points(_apart(x, result), wide=wide, unit=cosine, centred=not cosine, threads=threads)
    right = left if y is None else engine.Points(_apart(y, result), wide=wide, unit=cosine, like=left, threads=threads)
    engine.distances(left, right, engine.METRICS[metric], result, threads=threads)
    return result


def _apart(x: Array, out: Array) -> Array:
    """Rows that can be read while the result is written."""
    return x.copy() if np.may_share_memory(x, out) else x


class BatchTriplet(Plan):
    """Triplets mined in a batch: one value per anchor, the sum over its triplets."""

    __slots__ = ("average", "labels", "margin", "mining", "scale", "squared")

    def __init__(
        self, x: Array, labels: Array, mining: str, margin: float, squared: bool, average: str, sample_weight: Any, reduction: str
    ) -> None:
        self.x, self.wide, self.labels = x, _check.is_wide(x.dtype, x.dtype), labels
        self.mining, self.margin, self.squared, self.average = mining, margin, squared, average
        self._weigh(sample_weight, x.shape[:1], reduction)
        if is_extreme(margin, 0.0, 1e30):
            self.widened()
        if self.adjustments is None:
            self._prepare()

    def _prepare(self) -> None:
        self.scale = _scale_of(self.x, self.wide)
        if self.sample_weight is not None:
            self.sample_weight = np.require(self.sample_weight, FLOAT64, ["C_CONTIGUOUS", "ALIGNED"])

    def _adjusted(self, wide: bool, *, mean: bool, remove: bool = True) -> Any:
        plan = super()._adjusted(wide, mean=mean, remove=remove)
        plan._prepare()
        return plan

    def _without(self, keep: Mask) -> BatchTriplet:
        plan = copy.copy(self)
        plan.x, plan.labels = self.x[keep], self.labels[keep]
        plan.shape = plan.x.shape[:1]
        plan.sample_weight = None if self.sample_weight is None else self.sample_weight[keep]
        return plan

    def _inputs(self) -> Sequence[Array | None]:
        return self.x, self.labels, self.sample_weight

    def _compute(
        self, want: int, values: Array | None, gradients: Sequence[Array], hessians: Sequence[Array]
    ) -> tuple[float, float]:
        gradient = gradients[0] if gradients else None
        batch, losses, counts = self._mine(gradient is not None, gradient)
        weight = float(counts.sum())
        if gradient is not None:
            if gradient.size == 0 or not counts.any():
                gradient[...] = 0
            else:
                batch.gradient(gradient, self._scale(weight) / (self.scale if self.squared else 1.0))
        return self._folded(losses, values), weight

    def _compute_terms(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        _, values[...], counts = self._mine(False)
        return counts

    def _reduced(self, total: float, weight: float, out: Any = None) -> float:
        """A batch without triplets has nothing to lose."""
        return super()._reduced(total, weight, out) if weight else 0.0

    def _mine(self, gradient: bool, buffer: Array | None = None) -> tuple[Any, Floats, Floats]:
        """The batch, its weighted values and how many triplets they count for. buffer: where the gradient will go."""
        threads = get_num_threads()
        if len(self.x) == 0:
            return None, np.zeros(0), np.zeros(0)
        x = self.x if self.x.size else np.zeros((len(self.x), 1), self._values_dtype())  # rows without entries are all equal
        members, starts = by_class(self.labels)
        ids = np.empty(len(x), np.int32)
        ids[members] = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        hard = self.mining == "hard"
        if hard and buffer is not None:
            x = _apart(x, buffer)
        rows = engine.Points(x, wide=self.wide, centred=True, moved=gradient and not hard, scale=self.scale, threads=threads)
        batch = engine.Batch(
            rows, ids, members.astype(np.int32), starts.astype(np.int64), engine.MININGS[self.mining],
            margin=self._rescaled(self.margin, self.scale), squared=self.squared, weight=self.sample_weight,
            gradient=gradient, threads=threads,
        )  # fmt: skip
        counts = batch.active if self.average == "active" else batch.valid
        with np.errstate(over="ignore", invalid="ignore"):  # inf x 0 is nan, as elsewhere
            values = self._rescaled(batch.value, 1 / self.scale)
            if self.sample_weight is None:
                return batch, values, counts
            return batch, values * self.sample_weight, counts * self.sample_weight

    def _rescaled(self, distance: Any, by: float) -> Any:
        return distance * by * by if self.squared else distance * by


def _scale_of(x: Array, wide: bool) -> float:
    """The power of two by which rows are multiplied, so that their squares neither overflow nor underflow; mostly 1."""
    most = largest_magnitude(x)
    far = 300 if wide else 40
    exponent = math.frexp(most)[1]
    if not 0 < most < math.inf or abs(exponent) < far:
        return 1.0
    return 2.0 ** -max(exponent, -2 * far)


def by_class(labels: Array) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The rows class by class, ascending; where each class starts among them, and how many rows there are."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    first = np.ones(len(ordered) + 1, np.bool_)
    first[1:-1] = ordered[1:] != ordered[:-1]
    return order, np.flatnonzero(first) if len(ordered) else np.zeros(1, np.intp)

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
import fastloss._kernels as _kernels
from fastloss._check import FLOAT32, FLOAT64, Array, refuse
from fastloss._plans.base import REDUCTIONS, Plan, Result, Terms
from fastloss._plans.weights import Care, is_far, weighed
from fastloss._threads import get_num_threads

Floats = npt.NDArray[np.float64]
MINING = tuple(engine.MININGS)
METRICS = tuple(engine.METRICS)
AVERAGES = ("active", "valid")
MOST_ROWS = 2**24  # which a float32 still tells apart


def pairwise(x: Array, y: Array | None, metric: str, out: Any) -> Array:
    """Distances from each row of x to each of y, or of x."""
    _check.one_of("metric", metric, METRICS)
    if y is not None and x.shape[1] != y.shape[1]:
        refuse(ValueError, "y", f"rows of {x.shape[1]} dimensions, as x has", f"shape {y.shape}")
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

    __slots__ = ("average", "labels", "margin", "mining", "squared", "unit")

    def __init__(
        self, x: Array, labels: Any, mining: Any, margin: Any, squared: Any, average: Any, sample_weight: Any, reduction: str
    ) -> None:
        _check.one_of("reduction", reduction, REDUCTIONS)
        if len(x) >= MOST_ROWS:
            refuse(ValueError, "embeddings", f"fewer than {MOST_ROWS} rows", f"shape {x.shape}")
        self.x, self.reduction, self.wide = x, reduction, _check.is_wide(x.dtype, x.dtype)
        self.labels = _check.labels("labels", labels, x.shape[:1], x.shape, "class labels", "embeddings")
        self.mining = _check.one_of("mining", mining, MINING)
        self.average = _check.one_of("average", average, AVERAGES)
        self.margin, self.squared = _check.at_least_zero("margin", margin), _check.flag("squared", squared)
        self.sample_weight, _, self.care = weighed(sample_weight, x.shape[:1], reduction)
        if is_far(self.margin, 0.0, 1e30):
            self.widened()
        if self.care is None:
            self._prepare()

    def _prepare(self) -> None:
        self.unit = _unit(self.x, self.wide)
        if self.sample_weight is not None:
            self.sample_weight = np.require(self.sample_weight, FLOAT64, ["C_CONTIGUOUS", "ALIGNED"])

    def _plan_of(self, care: Care, wide: bool, mean: bool) -> Plan:
        plan = super()._plan_of(care, wide, mean)
        assert isinstance(plan, BatchTriplet)
        plan._prepare()
        return plan

    def _without(self, keep: npt.NDArray[np.bool_]) -> BatchTriplet:
        plan = copy.copy(self)
        plan.x, plan.labels = self.x[keep], self.labels[keep]
        plan.sample_weight = None if self.sample_weight is None else self.sample_weight[keep]
        return plan

    def _inputs(self) -> Sequence[Array | None]:
        return self.x, self.labels, self.sample_weight

    def run(self, value: bool, grad: bool, hess: bool, out: Any = None) -> Result:
        if self.care is not None:
            return self._run_with_care(value, grad, hess, out)
        gradient = self._buffer(out) if grad else None
        batch, values, counts = self._mine(grad, gradient)
        total = float(counts.sum())
        if gradient is not None:
            if gradient.size == 0 or not counts.any():
                gradient[...] = 0
            else:
                batch.gradient(gradient, self._scale(total) / (self.unit if self.squared else 1.0))
        if not value:
            return None, gradient, None
        return self._answer(values, total), gradient, None

    def terms(self) -> Terms:
        if self.care is not None:
            return self._terms_with_care()
        return self._mine(False)[1:]

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
        rows = engine.Points(x, wide=self.wide, centred=True, moved=gradient and not hard, scale=self.unit, threads=threads)
        batch = engine.Batch(
            rows, ids, members.astype(np.int32), starts.astype(np.int64), engine.MININGS[self.mining],
            margin=self._rescaled(self.margin, self.unit), squared=self.squared, weight=self.sample_weight,
            gradient=gradient, threads=threads,
        )  # fmt: skip
        counts = batch.active if self.average == "active" else batch.valid
        with np.errstate(over="ignore", invalid="ignore"):  # inf x 0 is nan, as elsewhere
            values = self._rescaled(batch.value, 1 / self.unit)
            if self.sample_weight is None:
                return batch, values, counts
            return batch, values * self.sample_weight, counts * self.sample_weight

    def _rescaled(self, distance: Any, by: float) -> Any:
        return distance * by * by if self.squared else distance * by


def _unit(x: Array, wide: bool) -> float:
    """The power of two by which rows are multiplied, so that their squares neither overflow nor underflow; mostly 1."""
    most = max(map(abs, _kernels.extremes(x, get_num_threads()))) if x.size else 0.0
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

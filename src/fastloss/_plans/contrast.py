"""Plans of the contrastive losses: rows of a batch against one another, queries against keys. Imports `mining` too.

Shapes: `N` anchors, `M` candidates, `D` numbers of a row. s is a similarity: two rows' product (divided by their norms) over the
temperature. An anchor with one positive p loses softplus(gap), gap = log(sum over the others of e^s) - s_p; one with
several loses gap, where the sum takes in the positives and s_p is their mean.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import fastloss._check as _check
import fastloss._engines.contrast as engine
from fastloss._check import FLOAT64, Array
from fastloss._plans.base import NO_ARRAYS, VALUE, Plan
from fastloss._plans.mining import by_class
from fastloss._plans.weights import Mask, is_extreme
from fastloss._threads import get_num_threads

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


# ---- the arguments ------------------------------------------------------------------------------------------------------


def wide(arrays: Sequence[Array]) -> bool:
    """Whether any of several arrays asks for float64."""
    return any(_check.is_wide(arrays[0].dtype, a.dtype) for a in arrays)


@dataclass(frozen=True)
class Classes:
    """Rows sorted by class, as the kernels want them: a row's positives are its neighbours."""

    order: Integers  # the rows as they came
    starts: Integers  # where each class begins, and the number of rows
    size: Integers  # of each sorted row's class

    @classmethod
    def of(cls, labels: Array) -> Classes:
        order, starts = by_class(labels)
        sizes = np.diff(starts)
        return cls(order, starts, np.repeat(sizes, sizes))

    @classmethod
    def pairs(cls, n: int) -> Classes:
        """Row i of the first n and row i of the second."""
        order = np.arange(2 * n).reshape(2, n).T.ravel()
        return cls(order, np.arange(0, 2 * n + 1, 2), np.full(2 * n, 2))

    @property
    def low(self) -> Integers:
        return np.repeat(self.starts[:-1], np.diff(self.starts))

    @property
    def high(self) -> Integers:
        return self.low + self.size


# ---- plans --------------------------------------------------------------------------------------------------------------


class Contrast(Plan):
    """A loss of rows that are compared with one another. arguments: differentiable rows. others: rows without a gradient.
    no_alias: further arrays that `out` must not share memory with."""

    __slots__ = ("arguments", "no_alias", "normalize", "temperature")

    def __init__(
        self,
        arguments: tuple[Array, ...],
        count: int,
        temperature: float,
        normalize: bool,
        sample_weight: Any,
        reduction: str,
        others: tuple[Array, ...] = (),
        no_alias: tuple[Array, ...] = (),
    ) -> None:
        self.temperature, self.normalize = temperature, normalize
        self.arguments, self.no_alias, self.x = arguments, (*others, *no_alias), arguments[0]
        self.wide = wide((*arguments, *others))
        self._weigh(sample_weight, (count,), reduction)
        if is_extreme(temperature, 1e-3):
            self.widened()

    def _arguments(self) -> Sequence[Array]:
        return self.arguments

    def _without(self, keep: Mask) -> Any:
        plan = copy.copy(self)
        plan.arguments = tuple(a[rows] for a, rows in zip(self.arguments, self._rows_kept(keep), strict=True))
        plan.x, plan.shape = plan.arguments[0], (int(np.count_nonzero(keep)),)
        plan.sample_weight = None if self.sample_weight is None else self.sample_weight[keep]
        return plan

    def _scatter_derivatives(self, keep: Mask, parts: Sequence[Array], wholes: Sequence[Array]) -> None:
        for part, whole, rows in zip(parts, wholes, self._rows_kept(keep), strict=True):
            whole[...] = 0
            whole[rows] = part

    def _rows_kept(self, keep: Mask) -> Sequence[Mask]:
        """Which rows of each argument are kept."""
        raise NotImplementedError

    def _inputs(self) -> Sequence[Array | None]:
        return *self.arguments, *self.no_alias, self.sample_weight

    def _compute(
        self, want: int, values: Array | None, gradients: Sequence[Array], hessians: Sequence[Array]
    ) -> tuple[float, float]:
        weight = self._weights()
        total = float(weight.sum())
        losses = self._losses(weight * self._scale(total), tuple(gradients)) if weight.size else weight
        with np.errstate(invalid="ignore", over="ignore"):  # inf x 0 is nan, as elsewhere
            return self._folded(weight * losses, values), total

    def _compute_terms(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        self._compute(VALUE, values, NO_ARRAYS, NO_ARRAYS)
        return self._weights()

    def _weights(self) -> Floats:
        return np.ones(self.shape) if self.sample_weight is None else self.sample_weight.astype(FLOAT64)

    def _losses(self, scale: Floats, gradients: tuple[Array, ...]) -> Floats:
        """The values; and, if there are any, the gradients of their sum weighed by `scale`."""
        raise NotImplementedError

    def _rows(self, arrays: tuple[Array, ...], gradient: bool, order: Integers | None = None) -> engine.PackedRows:
        return engine.PackedRows(
            arrays, wide=self.wide, normalize=self.normalize, gradient=gradient, threads=get_num_threads(), order=order
        )  # fmt: skip

    def _compare(
        self, a: engine.PackedRows, b: engine.PackedRows, low: Integers | None, high: Integers | None, keep: bool
    ) -> engine.Comparison:
        return engine.Comparison(a, b, self._factor(a, b), low, high, keep=keep, threads=get_num_threads())

    def _factor(self, a: engine.PackedRows, b: engine.PackedRows) -> float:
        """Similarity per product of rows that are scaled by powers of two; no more than the computation type holds."""
        fraction, exponent = math.frexp(1 / self.temperature if self.temperature > 1e-308 else 1e308)
        exponent += a.exponent + b.exponent
        most = float(np.finfo(self._values_dtype()).max)
        return most if exponent > 1023 else min(most, math.ldexp(fraction, exponent))

    def _lanes(self, x: Floats | Array) -> Array:
        """A number for each anchor, and room for those that fill its last block."""
        lanes = np.zeros(-(-len(x) // engine.LANES) * engine.LANES, self._values_dtype())
        with np.errstate(all="ignore"):
            lanes[: len(x)] = x
        return lanes

    def _no_tops(self, n: int) -> Array:
        return self._lanes(np.full(n, math.inf))


def _gap(compared: engine.Comparison, sums: Floats, tops: Array | None, own: Floats, factor: float, of_own: float) -> Floats:
    """log(sum of e^s) - s_p from sums, tops and the products with positives."""
    if tops is None:
        part, exponent = np.frexp(sums)  # the logarithm of the power of two that all share would drown the sum's
        return np.log(part) + ((exponent + compared.exponent) * math.log(2) - own * of_own)
    if factor == of_own:
        return np.log(sums) + (tops.astype(FLOAT64) - own) * factor
    return np.log(sums) + (tops.astype(FLOAT64) * factor - own * of_own)


def _softplus(gap: Floats) -> tuple[Floats, Floats]:
    """log(1 + e^gap) and its slope, to the last digits where they are small."""
    return np.logaddexp(0.0, gap), 1 / (1 + np.exp(-gap))


def _shares(weight: Floats, sums: Floats) -> Floats:
    """weight / sums; 0 where there is nothing to be shared."""
    return np.where(sums == 0, 0.0, weight / np.where(sums == 0, 1.0, sums))


class Together(Contrast):
    """Rows of a batch against all others of it; the positives are those of the same class."""

    __slots__ = ("classes",)

    def __init__(
        self, arguments: tuple[Array, ...], classes: Classes, temperature: float, normalize: bool, sample_weight: Any,
        reduction: str, no_alias: tuple[Array, ...] = (),
    ) -> None:  # fmt: skip
        count = len(classes.order)
        super().__init__(arguments, count, temperature, normalize, sample_weight, reduction, no_alias=no_alias)
        self.classes = classes

    def _rows_kept(self, keep: Mask) -> Sequence[Mask]:
        return np.split(keep, np.cumsum([len(a) for a in self.arguments])[:-1])

    def _without(self, keep: Mask) -> Together:
        plan: Together = super()._without(keep)
        label = np.empty(len(keep), np.int64)
        label[self.classes.order] = np.repeat(np.arange(len(self.classes.starts) - 1), np.diff(self.classes.starts))
        plan.classes = Classes.of(label[keep])
        return plan

    def _weights(self) -> Floats:
        weight = super()._weights()
        weight[self.classes.order[self.classes.size < 2]] = 0.0  # nothing to be near to
        return weight

    def _losses(self, scale: Floats, gradients: tuple[Array, ...]) -> Floats:
        c = self.classes
        rows = self._rows(self.arguments, bool(gradients), c.order)
        own = engine.own_products(rows, starts=c.starts, threads=get_num_threads())
        compared = self._compare(rows, rows, c.low, c.high, bool(gradients))
        factor = self._factor(rows, rows)
        sums, tops, _ = compared.sums()
        one = c.size <= 2
        with np.errstate(all="ignore"):  # nan and infinity are answers
            gap = _gap(compared, sums, tops, own, factor, factor)
            value, share = _softplus(gap)
            loss = np.where(one, np.where(c.size < 2, 0.0, value), gap)
            if gradients:
                unit = float(np.abs(scale).max()) or 1.0
                weight = scale[c.order] / unit
                pull = weight * np.where(one, share, 1.0)
                lane = self._lanes(_shares(pull, sums))
                top = self._lanes(sums if tops is None else tops)
                away = self._lanes(pull / np.maximum(c.size - 1, 1))
                compared.slopes(gradients, unit * factor, lane, lane, top, top, away)
        values = np.empty_like(loss)
        values[c.order] = loss
        return values


class Queries(Contrast):
    """Queries against keys, of which each has its own; or against its own and a queue of others."""

    __slots__ = ("negatives", "symmetric")

    def __init__(
        self, query: Array, key: Array, negatives: Array | None, temperature: float, symmetric: bool, normalize: bool,
        sample_weight: Any, reduction: str,
    ) -> None:  # fmt: skip
        others = () if negatives is None else (negatives,)
        super().__init__((query, key), len(query), temperature, normalize, sample_weight, reduction, others)
        self.negatives, self.symmetric = negatives, symmetric

    def _rows_kept(self, keep: Mask) -> Sequence[Mask]:
        return keep, keep

    def _losses(self, scale: Floats, gradients: tuple[Array, ...]) -> Floats:
        wanted = bool(gradients)
        queries, keys = (self._rows((a,), wanted) for a in self.arguments)
        own = engine.own_products(queries, keys, threads=get_num_threads())
        with np.errstate(all="ignore"):
            if self.negatives is not None:
                return self._against_queue(queries, keys, own, scale, gradients)
            return self._against_keys(queries, keys, own, scale, gradients)

    def _against_queue(
        self, queries: engine.PackedRows, keys: engine.PackedRows, own: Floats, scale: Floats, gradients: tuple[Array, ...]
    ) -> Floats:
        assert self.negatives is not None
        queue = self._rows((self.negatives,), bool(gradients))
        compared = self._compare(queries, queue, None, None, bool(gradients))
        factor, of_own = self._factor(queries, queue), self._factor(queries, keys)
        sums, tops, _ = compared.sums()
        values, share = _softplus(_gap(compared, sums, tops, own, factor, of_own))
        if gradients:
            unit = float(np.abs(scale).max()) or 1.0
            pull = scale / unit * share
            lane, top = self._lanes(_shares(pull, sums)), self._lanes(sums if tops is None else tops)
            nothing = self._lanes(np.zeros(len(self.negatives)))
            compared.slopes(
                (gradients[0],), unit * factor, lane, nothing, top, self._no_tops(len(self.negatives)), nothing, partners=keys,
                partner=-pull * math.ldexp(1.0, min(1023, keys.exponent - queue.exponent)),
            )  # fmt: skip
            alone = self._compare(keys, self._rows((self.arguments[1][:0],), True), None, None, False)
            alone.slopes((gradients[1],), unit * of_own, lane, nothing, top, top, nothing, partners=queries, partner=-pull)
        return values

    def _against_keys(
        self, queries: engine.PackedRows, keys: engine.PackedRows, own: Floats, scale: Floats, gradients: tuple[Array, ...]
    ) -> Floats:
        n = len(own)
        low = np.arange(n)
        compared = self._compare(queries, keys, low, low + 1, bool(gradients))
        factor = self._factor(queries, keys)
        sums, tops, other_sums = compared.sums(self.symmetric and compared.bounded)
        values, share = _softplus(_gap(compared, sums, tops, own, factor, factor))
        unit = float(np.abs(scale).max()) or 1.0
        pull = scale / unit * share
        lane, top = _shares(pull, sums), sums if tops is None else tops
        row, row_top = np.zeros(n), np.full(n, math.inf)
        if self.symmetric:
            other_tops = None
            if other_sums is None:
                other_sums, other_tops, _ = self._compare(keys, queries, low, low + 1, False).sums()
            other_values, other_share = _softplus(_gap(compared, other_sums, other_tops, own, factor, factor))
            values = (values + other_values) / 2
            row = _shares(scale / unit * other_share, other_sums) / 2
            lane, pull = lane / 2, (pull + scale / unit * other_share) / 2
            row_top = other_sums if other_tops is None else other_tops
        if gradients:
            lane, row, top, row_top = (self._lanes(x) for x in (lane, row, top, row_top))
            by = unit * factor
            compared.slopes((gradients[0],), by, lane, row, top, row_top, lane, partners=keys, partner=-pull)
            compared.slopes((gradients[1],), by, row, lane, row_top, top, lane, turned=True, partners=queries, partner=-pull)
        return values

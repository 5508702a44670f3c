"""The plan of losses whose value is a sum of elementwise terms along a row. May import `base` and what it may."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import fastloss._check as _check
import fastloss._engines.sums as engine
from fastloss._check import FLOAT64, Array
from fastloss._plans.base import (
    GRAD,
    NO_SLOPES,
    REDUCTIONS,
    VALUE,
    Plan,
    Result,
    Terms,
    kept_rows,
    place_of,
    refuse_outside,
    rows_last,
    unpacked,
)
from fastloss._plans.weights import Care, weighed, weights_of_terms
from fastloss._threads import get_num_threads


class Summed(Plan):
    """A loss with one value per row along `axis`, the sum of its elements' terms: `operation` of SUMS on two arrays of one
    shape, and perhaps two more operands. Two gradients if `two`."""

    __slots__ = ("axis", "domain", "operation", "others", "parameters", "shape", "t", "total_weight", "two")

    def __init__(
        self,
        operation: int,
        rows: _check.RowsOf,
        parameters: tuple[float, ...],
        sample_weight: Any,
        reduction: str,
        *,
        two: bool = False,
        others: tuple[Array | None, Array | None] = (None, None),
        domain: tuple[tuple[str, str, float, float], ...] = (),
        far: bool = False,
    ) -> None:
        _check.one_of("reduction", reduction, REDUCTIONS)
        self.operation, self.parameters, self.reduction = operation, parameters, reduction
        self.x, self.t, self.axis, self.wide = rows
        self.two, self.others = two, others
        self.domain = domain  # (argument, what is expected, low, high) of x and t, or of t alone
        self.shape = self.x.shape[: self.axis] + self.x.shape[self.axis + 1 :]
        self.sample_weight, self.total_weight, self.care = weighed(sample_weight, self.shape, reduction)
        if far:
            self.widened()

    def _inputs(self) -> Sequence[Array | None]:
        return self.x, self.t, *self.others, self.sample_weight

    def _arguments(self) -> Sequence[Array]:
        return (self.x, self.t) if self.two else (self.x,)

    def _without(self, keep: npt.NDArray[np.bool_]) -> Summed:
        plan = copy.copy(self)
        plan.x, plan.t = (kept_rows(a, self.axis, keep) for a in (self.x, self.t))
        z, u = (None if a is None else kept_rows(a, self.axis, keep) for a in self.others)
        plan.others = z, u
        plan.sample_weight = None if self.sample_weight is None else self.sample_weight[keep]
        plan.axis, plan.shape = 1, plan.x.shape[:1]
        return plan

    def _place(self, care: Care, parts: Sequence[Array], wholes: Sequence[Array]) -> None:
        super()._place(care, parts, [np.moveaxis(whole, self.axis, -1) for whole in wholes])

    def _origin(self, care: Care, at: tuple[int, ...]) -> tuple[int, ...]:
        place = place_of(care, at[0])
        return place[: self.axis] + at[1:] + place[self.axis :]

    def run(self, value: bool, grad: bool, hess: bool, out: Any = None) -> Result:
        if self.care is not None:
            return self._run_with_care(value, grad, hess, out)
        values = None
        gradients = NO_SLOPES
        want, scale = VALUE if value else 0, 1.0
        if value and self.reduction == "none":
            values = np.empty(self.shape, self._values_dtype())
        if grad:
            want |= GRAD
            scale = self._scale(self.total_weight)
            gradients = self._buffers(out, self._arguments())
            if out is not None:
                self._check_domain()  # before anything of the caller's is written
        total = self._kernel(want, scale, values, gradients)
        if not value:
            return None, unpacked(gradients), None
        return (self._reduced(total, self.total_weight, out) if values is None else values), unpacked(gradients), None

    def terms(self) -> Terms:
        if self.care is not None:
            return self._terms_with_care()
        values = np.empty(self.shape, FLOAT64)
        self._kernel(VALUE, 1.0, values, NO_SLOPES)
        return values, weights_of_terms(self.sample_weight, self.shape)

    def _kernel(self, want: int, scale: float, values: Array | None, gradients: Sequence[Array]) -> float:
        if self.x.size == 0:
            return 0.0
        x, t, *slopes = [rows_last(a, self.axis) for a in (self.x, self.t, *gradients)]
        z, u = (None if a is None else rows_last(a, self.axis) for a in self.others)
        weight = None if self.sample_weight is None else np.require(self.sample_weight, FLOAT64, ["C_CONTIGUOUS", "ALIGNED"])
        total, *extremes = engine.sums(
            self.operation, want, x, t, z, u, weight, self.parameters, self.wide, scale, values,
            slopes[0] if slopes else None, slopes[1] if self.two and slopes else None, get_num_threads(),
        )  # fmt: skip
        for k, (_, _, low, high) in enumerate(reversed(self.domain)):  # the last is of t
            least, most = extremes[2 - 2 * k], extremes[3 - 2 * k]
            if least < low or most > high:
                self._check_domain()
        return total

    def _check_domain(self) -> None:
        for (name, expected, low, high), a in zip(reversed(self.domain), (self.t, self.x), strict=False):
            refuse_outside(name, a, low, high, expected)

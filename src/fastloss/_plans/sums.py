"""The plan of losses whose value is a sum of elementwise terms along a row. May import `base` and what it may."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

import fastloss._check as _check
import fastloss._engines.sums as engine
from fastloss._check import FLOAT64, Array, Domain
from fastloss._plans.base import Plan, index_of_kept, kept_rows, refuse_outside, rows_last
from fastloss._plans.weights import Mask
from fastloss._threads import get_num_threads


class Summed(Plan):
    """A loss with one value per row along `axis`, the sum of its elements' terms: `operation` of SUMS on two arrays of one
    shape, and perhaps two more operands. Two gradients if `two`."""

    __slots__ = ("axis", "domain", "operation", "others", "parameters", "t", "two")

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
        domain: tuple[Domain, ...] = (),
        extreme: bool = False,
    ) -> None:
        self.operation, self.parameters = operation, parameters
        self.x, self.t, self.axis, self.wide = rows
        self.two, self.others = two, others
        self.domain = domain  # of x and t, or of t alone
        self._weigh(sample_weight, self.x.shape[: self.axis] + self.x.shape[self.axis + 1 :], reduction)
        if extreme:
            self.widened()

    def _inputs(self) -> Sequence[Array | None]:
        return self.x, self.t, *self.others, self.sample_weight

    def _arguments(self) -> Sequence[Array]:
        return (self.x, self.t) if self.two else (self.x,)

    def _without(self, keep: Mask) -> Summed:
        plan = copy.copy(self)
        plan.x, plan.t = (kept_rows(a, self.axis, keep) for a in (self.x, self.t))
        z, u = (None if a is None else kept_rows(a, self.axis, keep) for a in self.others)
        plan.others = z, u
        plan.sample_weight = None if self.sample_weight is None else self.sample_weight[keep]
        plan.axis, plan.shape = 1, plan.x.shape[:1]
        return plan

    def _scatter_derivatives(self, keep: Mask, parts: Sequence[Array], wholes: Sequence[Array]) -> None:
        super()._scatter_derivatives(keep, parts, [np.moveaxis(whole, self.axis, -1) for whole in wholes])

    def _original_index(self, keep: Mask, at: tuple[int, ...]) -> tuple[int, ...]:
        place = index_of_kept(keep, at[0])
        return place[: self.axis] + at[1:] + place[self.axis :]

    def _compute(
        self, want: int, values: Array | None, gradients: Sequence[Array], hessians: Sequence[Array]
    ) -> tuple[float, float]:
        if self.x.size == 0:
            return 0.0, self.total_weight
        x, t = rows_last(self.x, self.axis), rows_last(self.t, self.axis)
        z, u = [a if a is None else rows_last(a, self.axis) for a in self.others]
        grads = [rows_last(a, self.axis) for a in gradients]
        weight = None if self.sample_weight is None else np.require(self.sample_weight, FLOAT64, ["C_CONTIGUOUS", "ALIGNED"])
        grad, grad2 = grads[0] if grads else None, grads[1] if self.two and grads else None
        scale = self._scale(self.total_weight) if grads else 1.0
        found = engine.sums(
            self.operation, want, x, t, z, u, weight, self.parameters, self.wide, scale, values, grad, grad2, get_num_threads()
        )
        place = 3  # the last domain is of t
        for domain in reversed(self.domain):
            if found[place] < domain.low or found[place + 1] > domain.high:
                self._check_before_writing()
            place -= 2
        return found[0], self.total_weight

    def _check_before_writing(self) -> None:
        for domain, a in zip(reversed(self.domain), (self.t, self.x), strict=False):
            refuse_outside(domain, a)

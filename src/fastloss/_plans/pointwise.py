"""The plan of losses with one value per element. May import `base` and what it may."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import fastloss._check as _check
import fastloss._engines.pointwise as engine
from fastloss._check import FLOAT64, Array, Domain, Refusal
from fastloss._plans.base import GRAD, HESS, NO_ARRAYS, VALUE, Plan, Result, refuse_outside, unpacked
from fastloss._plans.weights import MANY, Mask
from fastloss._threads import get_num_threads


def _fold(full: Array, into: Array) -> None:
    """Add up the slopes of an argument that was broadcast: of a scalar all of them, else those along the last axis."""
    into[...] = full.sum(axis=-1 if into.ndim else None, dtype=FLOAT64).reshape(into.shape)


def _fold_all(written: tuple[Array | None, Array | None], buffers: Sequence[Array]) -> None:
    for full, buffer in zip(written, buffers, strict=False):
        if full is not None and full is not buffer:
            _fold(full, buffer)


_PLACE = {"target": 1, "variance": 2}  # which operand an argument with a domain is; the others are the first


class Pointwise(Plan):
    """A loss with one value per element: `operation` of POINTWISE on x and target, and perhaps a third operand."""

    __slots__ = ("arguments", "broadcast", "domain", "operation", "parameters", "t", "third")

    def __init__(
        self,
        operation: int,
        pair: _check.Pair,
        parameters: tuple[float, ...],
        sample_weight: Any,
        reduction: str,
        *,
        third: Array | None = None,
        second: Array | None = None,
        domain: tuple[Domain, ...] = (),
        extreme: bool = False,
    ) -> None:
        self.operation = operation
        self.x, self.t, self.wide, scalar = pair
        self._weigh(sample_weight, self.x.shape, reduction, not self.wide)
        # derivatives have the shape and type of these; `second` as the caller gave it, before it was broadcast
        x = np.empty((), self.x.dtype) if scalar else self.x  # one scalar against many elements: their derivatives are added
        self.arguments: tuple[Array, ...] = (x,) if second is None else (x, second)
        self.broadcast = scalar or (second is not None and second.shape != self.x.shape)
        self.parameters = parameters
        self.third = third
        self.domain = domain
        if extreme:
            self.widened()

    def _inputs(self) -> Sequence[Array | None]:
        return self.x, self.t, self.third, self.sample_weight

    def _arguments(self) -> Sequence[Array]:
        return self.arguments

    def _without(self, keep: Mask) -> Pointwise:
        plan = copy.copy(self)
        plan.x, plan.t = self.x[keep], self.t[keep]
        plan.third = None if self.third is None else self.third[keep]
        plan.sample_weight = None if self.sample_weight is None else self.sample_weight[keep]
        plan.broadcast, plan.shape = False, plan.x.shape
        plan.arguments = tuple(  # of what was broadcast, one for each element
            np.empty(plan.x.shape, a.dtype if a.shape == self.x.shape else FLOAT64) for a in self.arguments
        )
        return plan

    def _scatter_derivatives(self, keep: Mask, parts: Sequence[Array], wholes: Sequence[Array]) -> None:
        for part, whole in zip(parts, wholes, strict=True):
            if whole.shape == self.x.shape:
                super()._scatter_derivatives(keep, (part,), (whole,))
            else:
                _fold(self._scatter(keep, part), whole)

    def _run_adjusted(self, want: int, out: Any) -> Result:
        if out is None and not self.broadcast and self.x.size >= MANY:
            result = self._masked(want)
            if result is not None:
                return result
        return super()._run_adjusted(want, out)

    def _masked(self, want: int) -> Result | None:
        """The results without gathering the kept samples, which takes ten times as long: a weight of 0 makes most results 0
        already. None if an element that is left out is not finite, or outside the domain."""
        assert self.adjustments is not None
        keep, _, wide = self.adjustments
        plan = self._adjusted(wide, mean=self.reduction == "mean", remove=False)
        values = np.empty(self.shape, self._values_dtype()) if want & VALUE and self.reduction == "none" else None
        gradients, hessians = (self._buffers(None, self.arguments) if want & flag else NO_ARRAYS for flag in (GRAD, HESS))
        try:
            total, weight = plan._compute(want, values, gradients, hessians)
        except Refusal:
            return None
        if want & VALUE and values is None and not math.isfinite(total):
            return None
        if keep is not None:
            lost = ~keep
            for a in (*gradients, *hessians, *(() if values is None else (values,))):
                np.copyto(a, a.dtype.type(0), where=lost)
        result = self._reduced(total, weight) if values is None else values
        return result if want & VALUE else None, unpacked(gradients), unpacked(hessians)

    def _compute_terms(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        plan = copy.copy(self)
        plan.wide = True
        return super(Pointwise, plan)._compute_terms(values)

    def _compute(
        self, want: int, values: Array | None, gradients: Sequence[Array], hessians: Sequence[Array]
    ) -> tuple[float, float]:
        if want == VALUE | GRAD | HESS:  # no kernel does all three
            self._compute(HESS, None, NO_ARRAYS, hessians)
            want, hessians = VALUE | GRAD, NO_ARRAYS
        total, weight, scale = 0.0, self.total_weight, 1.0
        grad = grad2 = hess = hess2 = None
        if gradients or hessians:
            scale = self._scale(weight)
            grad, grad2 = self._full(gradients)
            hess, hess2 = self._full(hessians)
        if self.x.size:
            found = engine.pointwise(
                self.operation, want, self.x, self.t, self.third, self.sample_weight, self.parameters, self.wide, scale, values,
                grad, hess, get_num_threads(), grad2, hess2,
            )  # fmt: skip
            total = found[0]
            for domain in self.domain:
                place = 1 + 2 * _PLACE.get(domain.argument, 0)
                if found[place] < domain.low or found[place + 1] > domain.high:
                    self._check_before_writing()
        if self.broadcast:
            _fold_all((grad, grad2), gradients)
            _fold_all((hess, hess2), hessians)
        return total, weight

    def _full(self, buffers: Sequence[Array]) -> tuple[Array | None, Array | None]:
        """What the kernel writes: these buffers, or, for an argument that was broadcast, arrays of the elements' slopes."""
        if not buffers:
            return None, None
        if self.broadcast:
            shape = self.x.shape
            buffers = [b if b.shape == shape else np.empty(shape, self._values_dtype()) for b in buffers]
        return buffers[0], (buffers[1] if len(buffers) > 1 else None)

    def _check_before_writing(self) -> None:
        for domain in self.domain:
            operand = (self.x, self.t, self.third)[_PLACE.get(domain.argument, 0)]
            assert operand is not None
            refuse_outside(domain, operand)

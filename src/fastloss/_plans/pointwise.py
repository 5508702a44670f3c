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
from fastloss._check import FLOAT32, FLOAT64, Array, Refusal
from fastloss._plans.base import GRAD, HESS, NO_SLOPES, REDUCTIONS, VALUE, Domain, Plan, Result, Terms, refuse_outside, unpacked
from fastloss._plans.weights import MANY, Care, weighed, weights_of_terms
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

    __slots__ = ("broadcast", "domain", "operation", "parameters", "slopes", "t", "third", "total_weight")

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
        far: bool = False,
    ) -> None:
        if type(reduction) is not str or reduction not in REDUCTIONS:
            _check.one_of("reduction", reduction, REDUCTIONS)
        self.operation = operation
        self.x, self.t, self.wide, scalar = pair
        # what derivatives have the shape and type of; one scalar against many elements: their slopes are added
        x = np.empty((), self.x.dtype) if scalar else self.x
        self.slopes: tuple[Array, ...] = (
            (x,) if second is None else (x, second)
        )  # `second` as the caller gave it, before it was broadcast
        self.broadcast = scalar or (second is not None and second.shape != self.x.shape)
        self.parameters = parameters
        self.reduction = reduction
        self.third = third
        self.domain = domain
        if sample_weight is None:
            self.sample_weight, self.total_weight, self.care = None, float(math.prod(self.x.shape)), None
        else:
            self.sample_weight, self.total_weight, self.care = weighed(sample_weight, self.x.shape, reduction, not self.wide)
        if far:
            self.widened()

    def _inputs(self) -> Sequence[Array | None]:
        return self.x, self.t, self.third, self.sample_weight

    def _arguments(self) -> Sequence[Array]:
        return self.slopes

    def _without(self, keep: npt.NDArray[np.bool_]) -> Pointwise:
        plan = copy.copy(self)
        plan.x, plan.t = self.x[keep], self.t[keep]
        plan.third = None if self.third is None else self.third[keep]
        plan.sample_weight = None if self.sample_weight is None else self.sample_weight[keep]
        plan.broadcast = False
        plan.slopes = tuple(  # of what was broadcast, those of every element
            np.empty(plan.x.shape, a.dtype if a.shape == self.x.shape else FLOAT64) for a in self.slopes
        )
        return plan

    def _place(self, care: Care, parts: Sequence[Array], wholes: Sequence[Array]) -> None:
        for part, whole in zip(parts, wholes, strict=True):
            if whole.shape == self.x.shape:
                super()._place(care, (part,), (whole,))
            else:
                _fold(self._spread(care, part), whole)

    def _run_with_care(self, value: bool, grad: bool, hess: bool, out: Any) -> Result:
        if out is None and not self.broadcast and self.x.size >= MANY:
            assert self.care is not None
            result = self._masked(self.care, value, grad, hess)
            if result is not None:
                return result
        return super()._run_with_care(value, grad, hess, out)

    def _masked(self, care: Care, value: bool, grad: bool, hess: bool) -> Result | None:
        """The results without gathering what is kept, which takes ten times as long: by a weight of 0 most values are 0 already.
        None if something that is left out is not finite, or outside the domain."""
        plan = self._plan_of(care._replace(keep=None), care.wide, self.reduction == "mean")
        values = np.empty(self.x.shape, self._values_dtype()) if value and self.reduction == "none" else None
        gradients, hessians = (self._buffers(None, self.slopes) if wanted else NO_SLOPES for wanted in (grad, hess))
        want = (VALUE if value else 0) | (GRAD if grad else 0) | (HESS if hess else 0)
        scale = self._scale(self.total_weight) if grad or hess else 1.0
        try:
            total = plan._kernel(want, plan.wide, scale, values, gradients, hessians)
        except Refusal:
            return None
        if value and values is None and not math.isfinite(total):
            return None
        if care.keep is not None:
            lost = ~care.keep
            for a in (*gradients, *hessians, *(() if values is None else (values,))):
                np.copyto(a, a.dtype.type(0), where=lost)
        result = self._reduced(total, self.total_weight) if values is None else values
        return result if value else None, unpacked(gradients), unpacked(hessians)

    def run(self, value: bool, grad: bool, hess: bool, out: Any = None) -> Result:
        if self.care is not None:
            return self._run_with_care(value, grad, hess, out)
        values = None
        gradients = hessians = NO_SLOPES
        want, scale = 0, 1.0
        if value:
            want = VALUE
            if self.reduction == "none":
                values = np.empty(self.x.shape, FLOAT64 if self.wide else FLOAT32)
        if grad or hess:
            scale = self._scale(self.total_weight)
            if grad:
                want |= GRAD
                gradients = self._buffers(out, self.slopes)
                if out is not None:
                    self._check_domain()  # before anything of the caller's is written
            if hess:
                want |= HESS
                hessians = self._buffers(None, self.slopes)
        total = self._kernel(want, self.wide, scale, values, gradients, hessians)
        if not value:
            return None, unpacked(gradients), unpacked(hessians)
        result = self._reduced(total, self.total_weight, out) if values is None else values
        return result, unpacked(gradients), unpacked(hessians)

    def terms(self) -> Terms:
        if self.care is not None:
            return self._terms_with_care()
        values = np.empty(self.x.shape, FLOAT64)
        self._kernel(VALUE, True, 1.0, values, NO_SLOPES, NO_SLOPES)
        return values, weights_of_terms(self.sample_weight, self.x.shape)

    def _kernel(
        self, want: int, wide: bool, scale: float, values: Array | None, grads: Sequence[Array], hesses: Sequence[Array]
    ) -> float:
        if want == VALUE | GRAD | HESS:
            want = VALUE | GRAD
            self._kernel(HESS, wide, scale, None, NO_SLOPES, hesses)
            hesses = NO_SLOPES
        grad, grad2 = self._full(grads)
        hess, hess2 = self._full(hesses)
        total: float = 0.0
        if self.x.size:
            total, *extremes = engine.pointwise(
                self.operation, want, self.x, self.t, self.third, self.sample_weight, self.parameters, wide, scale,
                values, grad, hess, get_num_threads(), grad2, hess2,
            )  # fmt: skip
            for name, _, low, high, *_ in self.domain:
                least, most = extremes[2 * _PLACE.get(name, 0) :][:2]
                if least < low or most > high:
                    self._check_domain()
        if self.broadcast:
            _fold_all((grad, grad2), grads)
            _fold_all((hess, hess2), hesses)
        return total

    def _full(self, buffers: Sequence[Array]) -> tuple[Array | None, Array | None]:
        """What the kernel writes: these buffers, or, for an argument that was broadcast, arrays of the elements' slopes."""
        if not buffers:
            return None, None
        if self.broadcast:
            shape = self.x.shape
            buffers = [b if b.shape == shape else np.empty(shape, self._values_dtype()) for b in buffers]
        return buffers[0], (buffers[1] if len(buffers) > 1 else None)

    def _check_domain(self) -> None:
        for name, expected, low, high, *size in self.domain:
            operand = (self.x, self.t, self.third)[_PLACE.get(name, 0)]
            assert operand is not None
            refuse_outside(name, operand, low, high, expected, *size)

"""What a loss body returns: its checked arrays, and which kernel runs on them. `Plan.run` is the same for all losses and the one
place where reductions, weights and result buffers are dealt with; an engine's plan adds one method, `_compute`.

Shapes: `N` samples, `C` classes. The reduced value is total / weight ("mean"), total ("sum") or, for "none", the total of the
array that is returned; derivatives are of that number.

A sample of weight 0 is left out: a plan with such weights runs another plan, of the remaining samples alone, and scatters its
results (`Adjustments`). So does a plan that needs float64 although its arrays are float32, and one whose weights are so large or
small that their sum would overflow or underflow.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import fastloss._check as _check
import fastloss._kernels as _kernels
from fastloss._check import FLOAT32, FLOAT64, Array, Domain, Refusal, refuse
from fastloss._plans.weights import SAFE_EXPONENT, Adjustments, Mask, scaled, weighed, weights_of_terms
from fastloss._threads import get_num_threads

REDUCTIONS = ("mean", "sum", "none")
VALUE, GRAD, HESS = _kernels.VALUE, _kernels.GRAD, _kernels.HESS

Derivatives = Array | tuple[Array, ...]  # one array, or one for each differentiable argument
Result = tuple[Any, Derivatives | None, Derivatives | None]  # value, gradient, Hessian; None where not asked for
Terms = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def derivative_dtype(a: Array) -> np.dtype[Any]:
    """Gradients have the input's own type; integers and bools, which have no room for one, become float64."""
    return FLOAT64 if a.dtype.kind in "iub" else a.dtype


@functools.lru_cache(maxsize=256)  # a call on ten numbers would spend a tenth of its time here
def split(x: float) -> tuple[float, float]:
    """A parameter for kernels of either type: x, and what a float does not hold of it."""
    with np.errstate(over="ignore"):
        held = float(np.float32(x))
    return x, x - held if math.isfinite(held) else 0.0


def refuse_outside(domain: Domain, a: Array) -> None:
    """Refuse entries outside a domain. A kernel finds the extremes; only if these lie outside is the entry searched for."""
    least, most = _kernels.extremes(a, get_num_threads(), domain.magnitude)
    if least < domain.low or most > domain.high:
        domain.check(a)


def largest_magnitude(a: Array) -> float:
    """The largest absolute value; 0 of no entries."""
    return max(0.0, _kernels.extremes(a, get_num_threads(), True)[1]) if a.size else 0.0


NO_ARRAYS: Sequence[Array] = ()


def unpacked(derivatives: Sequence[Array]) -> Derivatives | None:
    """What the caller gets: one array bare, several as a tuple."""
    if len(derivatives) < 2:
        return derivatives[0] if derivatives else None
    return tuple(derivatives)


class Plan:
    """One checked call of a loss. `_weigh` comes first in every constructor, and `run` and `terms` do the rest."""

    __slots__ = ("adjustments", "reduction", "sample_weight", "shape", "total_weight", "wide", "x")

    x: Array  # the first differentiable argument
    wide: bool  # compute in float64
    shape: tuple[int, ...]  # of the values: one for each sample
    reduction: str
    sample_weight: Array | None  # spread over the samples
    total_weight: float  # the sum of the weights
    adjustments: Adjustments | None  # if there are any, `run` and `terms` leave the work to another plan

    def _weigh(self, sample_weight: Any, shape: tuple[int, ...], reduction: str, narrow: bool = False) -> None:
        """Check what all losses take, for values of this shape. `narrow`: the kernel rounds weights to float32."""
        if type(reduction) is not str or reduction not in REDUCTIONS:
            _check.one_of("reduction", reduction, REDUCTIONS)
        self.reduction, self.shape = reduction, shape
        if sample_weight is None:
            self.sample_weight = self.adjustments = None
            self.total_weight = float(math.prod(shape))
        else:
            self.sample_weight, self.total_weight, self.adjustments = weighed(sample_weight, shape, reduction, narrow)

    def run(self, want: int, out: Any = None) -> Result:
        """Value, gradients and Hessians: those that `want`, a sum of VALUE, GRAD and HESS, asks for."""
        if self.adjustments is not None:
            return self._run_adjusted(want, out)
        values = None
        gradients = hessians = NO_ARRAYS
        if want & VALUE and self.reduction == "none":
            values = np.empty(self.shape, FLOAT64 if self.wide else FLOAT32)
        if want & GRAD:
            gradients = self._buffers(out, self._arguments())
            if out is not None:
                self._check_before_writing()
        if want & HESS:
            hessians = self._buffers(None, self._arguments())
        total, weight = self._compute(want, values, gradients, hessians)
        result = None
        if want & VALUE:
            result = self._reduced(total, weight, out) if values is None else values
        return result, unpacked(gradients) if gradients else None, unpacked(hessians) if hessians else None

    def terms(self) -> Terms:
        """Weighted losses and weights per sample, in float64: the mean is the quotient of their sums."""
        if self.adjustments is not None:
            return self._terms_adjusted()
        values = np.empty(self.shape, FLOAT64)
        return values, self._compute_terms(values)

    # ---- what an engine's plan says -------------------------------------------------------------------------------------

    def _compute(
        self, want: int, values: Array | None, gradients: Sequence[Array], hessians: Sequence[Array]
    ) -> tuple[float, float]:
        """Run the kernel: fill the arrays that are there, and return the sum of weighted values and the sum of weights.

        Values are weighted; derivatives are those of the reduced value (`_scale`), one array for each of `_arguments`.
        """
        raise NotImplementedError

    def _compute_terms(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Fill in the weighted values in float64, and return the weights of the samples."""
        self._compute(VALUE, values, NO_ARRAYS, NO_ARRAYS)
        return weights_of_terms(self.sample_weight, self.shape)

    def _inputs(self) -> Sequence[Array | None]:
        """All arrays of the caller's that the kernel reads: `out` may be one of them, but not overlap it otherwise."""
        raise NotImplementedError

    def _arguments(self) -> Sequence[Array]:
        """The differentiable arguments."""
        return (self.x,)

    def _check_before_writing(self) -> None:
        """Refuse what the kernel would find on its way, before anything is written to the caller's `out`."""

    # ---- adjusted plans -----------------------------------------------------------------------------------------------------

    def widened(self) -> Plan:
        """The plan, which will compute in float64 whatever the arrays are: an option is out of the range in which float32
        formulas are safe."""
        if not self.wide:
            self.adjustments = (self.adjustments or Adjustments())._replace(wide=True)
        return self

    def _run_adjusted(self, want: int, out: Any) -> Result:
        """The results of a plan without the samples of weight 0, with scaled weights, or computed in float64."""
        assert self.adjustments is not None
        keep, _, wide = self.adjustments
        gradients = self._buffers(out, self._arguments()) if want & GRAD else NO_ARRAYS  # a bad buffer is refused first
        plan = self._adjusted(wide, mean=self.reduction == "mean")
        if plan.x.shape == self.x.shape or keep is None:
            result, *derivatives = plan.run(want, out)
        else:
            result, *parts = self._with_original_index(plan.run, want)
            derivatives = [unpacked(gradients), unpacked(self._buffers(None, self._arguments())) if want & HESS else None]
            for whole, part in zip(derivatives, parts, strict=True):
                if whole is not None:
                    self._scatter_derivatives(keep, as_tuple(part), as_tuple(whole))
            if want & VALUE and self.reduction == "none":
                result = self._scatter(keep, result)
        if want & VALUE and self.reduction == "none" and result.dtype != self._values_dtype():
            with np.errstate(over="ignore"):
                result = result.astype(self._values_dtype())
        return result, *derivatives

    def _terms_adjusted(self) -> Terms:
        assert self.adjustments is not None
        keep, _, wide = self.adjustments
        plan = self._adjusted(wide, mean=False)
        values: Array
        weights: Array
        if plan.x.shape == self.x.shape or keep is None:
            values, weights = plan.terms()
            return values, weights
        values, weights = self._with_original_index(plan.terms)
        return self._scatter(keep, values), self._scatter(keep, weights)

    def _adjusted(self, wide: bool, *, mean: bool, remove: bool = True) -> Any:
        """The plan that does the work. `mean`: scale the weights; `remove`: leave out the samples of weight 0."""
        assert self.adjustments is not None
        keep, exponent, _ = self.adjustments
        plan = copy.copy(self) if keep is None or not remove else self._without(keep)
        plan.adjustments = None
        plan.wide = plan.wide or wide
        if mean:
            plan._scale_weights(exponent)
        return plan

    def _scale_weights(self, exponent: int) -> None:
        """Divide the weights by 2**exponent."""
        if exponent and self.sample_weight is not None:
            self.sample_weight = scaled(self.sample_weight, exponent)

    def _with_original_index(self, function: Any, *args: Any) -> Any:
        """What a function of the remaining samples returns; errors name the index in the caller's arrays."""
        try:
            return function(*args)
        except Refusal as refusal:
            keep = self.adjustments.keep if self.adjustments is not None else None
            if refusal.at is not None and keep is not None:
                refusal.at = tuple(map(int, self._original_index(keep, refusal.at)))
            raise

    def _scatter(self, keep: Mask, values: Array) -> Array:
        """One number for each sample, 0 for those left out."""
        full = np.zeros(keep.shape, values.dtype)
        full[keep] = values
        return full

    def _without(self, keep: Mask) -> Any:
        """A copy of the plan with the kept samples alone, along one axis."""
        raise NotImplementedError

    def _scatter_derivatives(self, keep: Mask, parts: Sequence[Array], wholes: Sequence[Array]) -> None:
        """Write derivatives of the kept samples where they belong, and 0 elsewhere."""
        for part, whole in zip(parts, wholes, strict=True):
            whole[...] = 0
            whole[keep] = part

    def _original_index(self, keep: Mask, at: tuple[int, ...]) -> tuple[int, ...]:
        """The index in the caller's arrays of an index among the kept samples."""
        return index_of_kept(keep, at[0]) + at[1:]

    # ---- buffers and reductions -----------------------------------------------------------------------------------------

    def _buffers(self, out: Any, arguments: Sequence[Array]) -> Sequence[Array]:
        """Where the gradients with respect to these go: new arrays, or the caller's after a look at them."""
        if out is None:
            return [np.empty(a.shape, derivative_dtype(a)) for a in arguments]
        given = out if isinstance(out, tuple) else (out,)
        if len(given) != len(arguments):
            expected = "one array" if len(arguments) == 1 else f"a tuple of {len(arguments)} arrays"
            refuse(ValueError, "out", expected, f"a tuple of {len(out)}" if isinstance(out, tuple) else type(out).__name__)
        for k, (buffer, a) in enumerate(zip(given, arguments, strict=True)):
            _check.result("out", buffer, a.shape, derivative_dtype(a), self._inputs())
            _check.apart("out", buffer, given[:k])
        return given

    def _values_dtype(self) -> np.dtype[Any]:
        return FLOAT64 if self.wide else FLOAT32

    def _scale(self, weight: float) -> float:
        """What each sample's derivative is multiplied by; 0 if the mean is empty (nan has no slope)."""
        if self.reduction != "mean":
            return 1.0
        return 1.0 / weight if weight else 0.0

    def _folded(self, weighted: npt.NDArray[np.float64], values: Array | None) -> float:
        """The sum of weighted values in float64; stored too if there is an array for them."""
        with np.errstate(over="ignore", invalid="ignore"):
            if values is not None:
                values[...] = weighted
            return float(np.add.reduce(weighted, axis=None))

    def _reduced(self, total: float, weight: float, out: Any = None) -> float:
        if total - total != 0 and self.wide and weight:
            return self._without_overflow(total, weight, out)
        if self.reduction == "sum":
            return total
        return total / weight if weight else math.nan

    def _without_overflow(self, total: float, weight: float, out: Any) -> float:
        """The reduction of float64 values whose sum has overflowed, or has met an infinity or nan: from values and weights that
        are scaled first. (Not if a gradient has been written over the inputs.)"""
        if out is not None and any(a is not None and np.may_share_memory(a, b) for a in self._inputs() for b in as_tuple(out)):
            return total if self.reduction == "sum" else total / weight
        plan = copy.copy(self)
        mean = self.reduction == "mean"
        if mean:
            high = 0.0 if self.sample_weight is None else float(self.sample_weight.max(initial=0))
            plan._scale_weights(math.frexp(high)[1])
        values, weights = plan.terms()
        with np.errstate(over="ignore", invalid="ignore"):
            total = float(np.ldexp(values, -SAFE_EXPONENT).sum())
            return float(np.ldexp(total / float(weights.sum()) if mean else total, SAFE_EXPONENT))


def as_tuple(derivatives: Any) -> tuple[Array, ...]:
    return derivatives if isinstance(derivatives, tuple) else (derivatives,)


def index_of_kept(keep: Mask, position: int) -> tuple[int, ...]:
    """The index of a sample of which the position among the kept ones is known."""
    return tuple(map(int, np.unravel_index(int(np.flatnonzero(keep)[position]), keep.shape)))


def kept_rows(a: Array, axis: int, keep: Mask) -> Array:
    """The kept rows of an array, one after another, along its last axis."""
    return np.moveaxis(a, axis, -1)[keep]


def rows_last(a: Array, axis: int) -> Array:
    """The array with its rows along the last axis, where they mostly lie already."""
    return a if axis == a.ndim - 1 else np.moveaxis(a, axis, -1)

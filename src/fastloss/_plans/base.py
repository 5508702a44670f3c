"""What a loss body hands over: its checked arrays and which kernel runs them. A Plan knows how to compute any of value, gradient
and Hessian, and it is the one place where weights, reductions and result buffers are dealt with.

Shapes: `N` samples, `C` classes. The reduction's number is total / weight ("mean"), total ("sum") or, for "none", the total of
the array that is returned; derivatives are of that number.

A sample of weight 0 is left out: a plan whose weights hold a 0 runs another plan, of the samples that are kept, and puts its
results where they belong (`Care`). The same way goes what needs float64 although the arrays are float32, and weights so large
or small that sums of them would overflow or underflow.
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
import fastloss._engines.pointwise as elementwise
import fastloss._kernels as _kernels
from fastloss._check import FLOAT32, FLOAT64, Array, Refusal, refuse
from fastloss._plans.weights import FAR, Care, scaled
from fastloss._threads import get_num_threads

REDUCTIONS = ("mean", "sum", "none")
VALUE, GRAD, HESS = _kernels.VALUE, _kernels.GRAD, _kernels.HESS

Domain = tuple[str, str, float, float] | tuple[str, str, float, float, bool]  # argument, what is expected, low, high, of its size
Slopes = Array | tuple[Array, ...]  # one array, or one for each differentiable argument
Result = tuple[Any, Slopes | None, Slopes | None]  # value, gradient, Hessian; None where not asked for
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


def refuse_outside(name: str, a: Array, low: float, high: float, expected: str, size: bool = False) -> None:
    """Refuse entries (`size`: absolute values) outside [low, high]; the kernel looks, and only if it finds any are they
    searched for."""
    least, most = _kernels.extremes(a, get_num_threads(), size)
    if least < low or most > high:
        _check.inside(name, a, low, high, expected, size)


def sizes(a: Array) -> tuple[float, float]:
    """Extremes of the absolute values: what the cheapest loss that looks at them has seen."""
    if a.size == 0:
        return math.inf, -math.inf
    _, _, _, least, most, *_ = elementwise.pointwise(
        elementwise.POINTWISE["perceptron"], VALUE, a, a, None, None, (), a.dtype != FLOAT32, 1.0, None, None, None,
        get_num_threads(),
    )  # fmt: skip
    return least, most


NO_SLOPES: Sequence[Array] = ()


def unpacked(slopes: Sequence[Array]) -> Slopes | None:
    """What the caller gets: one array bare, several as a tuple."""
    if len(slopes) < 2:
        return slopes[0] if slopes else None
    return tuple(slopes)


class Plan:
    """One validated call of a loss whose first differentiable argument is `x`."""

    __slots__ = ("care", "reduction", "sample_weight", "wide", "x")

    x: Array  # the first differentiable argument
    wide: bool  # compute in float64
    reduction: str
    sample_weight: Array | None  # spread over the samples
    care: Care | None  # if there is any, `run` and `terms` leave the work to another plan

    def run(self, value: bool, grad: bool, hess: bool, out: Any = None) -> Result:
        raise NotImplementedError

    def terms(self) -> Terms:
        """Weighted losses and weights per sample, in float64: the mean is the quotient of their sums."""
        raise NotImplementedError

    def _inputs(self) -> Sequence[Array | None]:
        raise NotImplementedError

    # ---- with care ------------------------------------------------------------------------------------------------------

    def widened(self) -> Plan:
        """The plan, which will compute in float64 whatever the arrays are: an option is out of the range in which float32
        formulas are safe."""
        if not self.wide:
            self.care = (self.care or Care())._replace(wide=True)
        return self

    def _run_with_care(self, value: bool, grad: bool, hess: bool, out: Any) -> Result:
        """The results of a plan without the samples of weight 0, with scaled weights, or computed in float64."""
        care = self.care
        assert care is not None
        gradients = self._buffers(out, self._arguments()) if grad else NO_SLOPES  # a bad buffer is refused first
        plan = self._plan_of(care, care.wide, self.reduction == "mean")
        if plan.x.shape == self.x.shape:
            result, *slopes = plan.run(value, grad, hess, out)
        else:
            result, *parts = self._at_home(care, plan.run, value, grad, hess)
            slopes = [unpacked(gradients), unpacked(self._buffers(None, self._arguments())) if hess else None]
            for whole, part in zip(slopes, parts, strict=True):
                if whole is not None:
                    self._place(care, as_tuple(part), as_tuple(whole))
            if value and self.reduction == "none":
                result = self._spread(care, result)
        if value and self.reduction == "none" and result.dtype != self._values_dtype():
            with np.errstate(over="ignore"):
                result = result.astype(self._values_dtype())
        return result, *slopes

    def _terms_with_care(self) -> Terms:
        care = self.care
        assert care is not None
        plan = self._plan_of(care, care.wide, False)
        values: Array
        weights: Array
        if plan.x.shape == self.x.shape:
            values, weights = plan.terms()
            return values, weights
        values, weights = self._at_home(care, plan.terms)
        return self._spread(care, values), self._spread(care, weights)

    def _plan_of(self, care: Care, wide: bool, mean: bool) -> Any:
        """The plan that does the work."""
        plan = self._without(care.keep) if care.keep is not None else copy.copy(self)
        plan.care = None
        plan.wide = plan.wide or wide
        if mean:
            plan._scale_weights(care.exponent)
        return plan

    def _scale_weights(self, exponent: int) -> None:
        """Divide the weights by 2**exponent."""
        if exponent and self.sample_weight is not None:
            self.sample_weight = scaled(self.sample_weight, exponent)

    def _at_home(self, care: Care, function: Any, *args: Any) -> Any:
        """What a function of the kept samples returns; what it refuses, by the index in the caller's arrays."""
        try:
            return function(*args)
        except Refusal as refusal:
            if refusal.at is not None and care.keep is not None:
                refusal.at = tuple(map(int, self._origin(care, refusal.at)))
            raise

    def _spread(self, care: Care, values: Array) -> Array:
        """One number for each sample, 0 for those left out."""
        assert care.keep is not None
        full = np.zeros(care.keep.shape, values.dtype)
        full[care.keep] = values
        return full

    def _arguments(self) -> Sequence[Array]:
        """The differentiable arguments."""
        return (self.x,)

    def _without(self, keep: npt.NDArray[np.bool_]) -> Any:
        """A copy of the plan with the kept samples alone, along one axis."""
        raise NotImplementedError

    def _place(self, care: Care, parts: Sequence[Array], wholes: Sequence[Array]) -> None:
        """Write derivatives of the kept samples where they belong, and 0 elsewhere."""
        for part, whole in zip(parts, wholes, strict=True):
            whole[...] = 0
            whole[care.keep] = part

    def _origin(self, care: Care, at: tuple[int, ...]) -> tuple[int, ...]:
        """The index in the caller's arrays of an index among the kept samples."""
        return place_of(care, at[0]) + at[1:]

    # ---- buffers and reductions -----------------------------------------------------------------------------------------

    def _buffer(self, out: Any) -> Array:
        """Where the gradient of a loss with one differentiable argument goes."""
        return self._buffers(out, (self.x,))[0]

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

    def _answer(self, values: npt.NDArray[np.float64], weight: float) -> Any:
        """What the caller gets for weighted values whose weights add up to `weight`."""
        if self.reduction == "none":
            with np.errstate(over="ignore"):
                return values.astype(self._values_dtype())
        with np.errstate(over="ignore", invalid="ignore"):
            total = float(values.sum())
        return self._reduced(total, weight)

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
            total = float(np.ldexp(values, -FAR).sum())
            return float(np.ldexp(total / float(weights.sum()) if mean else total, FAR))


def as_tuple(slopes: Any) -> tuple[Array, ...]:
    return slopes if isinstance(slopes, tuple) else (slopes,)


def place_of(care: Care, position: int) -> tuple[int, ...]:
    """The index of a sample of which the position among the kept ones is known."""
    assert care.keep is not None
    return tuple(map(int, np.unravel_index(int(np.flatnonzero(care.keep)[position]), care.keep.shape)))


def kept_rows(a: Array, axis: int, keep: npt.NDArray[np.bool_]) -> Array:
    """The kept rows of an array, one after another, along its last axis."""
    return np.moveaxis(a, axis, -1)[keep]


def rows_last(a: Array, axis: int) -> Array:
    """The array with its rows along the last axis, where they mostly lie already."""
    return a if axis == a.ndim - 1 else np.moveaxis(a, axis, -1)

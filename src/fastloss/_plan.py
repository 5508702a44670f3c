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
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from fastloss import _check, _kernels, _rows
from fastloss._check import FLOAT32, FLOAT64, Array, Refusal, refuse
from fastloss._threads import get_num_threads

REDUCTIONS = ("mean", "sum", "none")
VALUE, GRAD, HESS = _kernels.VALUE, _kernels.GRAD, _kernels.HESS
_KIND = _rows.KINDS

Domain = tuple[str, str, float, float] | tuple[str, str, float, float, bool]  # argument, what is expected, low, high, of its size
Slopes = Array | tuple[Array, ...]  # one array, or one for each differentiable argument
Result = tuple[Any, Slopes | None, Slopes | None]  # value, gradient, Hessian; None where not asked for
Terms = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def _derivative_dtype(a: Array) -> np.dtype[Any]:
    """Gradients have the input's own type; integers and bools, which have no room for one, become float64."""
    return FLOAT64 if a.dtype.kind in "iub" else a.dtype


@functools.lru_cache(maxsize=256)  # a call on ten numbers would spend a tenth of its time here
def split(x: float) -> tuple[float, float]:
    """A parameter for kernels of either type: x, and what a float does not hold of it."""
    with np.errstate(over="ignore"):
        held = float(np.float32(x))
    return x, x - held if math.isfinite(held) else 0.0


# Weights outside 2**-60 .. 2**60 are divided by a power of two before a mean; those that differ by more are not for float32.
# Within, neither a sum of weights nor a product of weight and derivative overflows, and what underflows is below the last digit.
FAR = 60
MANY = 1024  # elements from which on an extra pass costs more than the calls around it


class Care(NamedTuple):
    """What a call needs beyond its kernel."""

    keep: npt.NDArray[np.bool_] | None = None  # which samples have a weight other than 0; None: all
    exponent: int = 0  # for a mean, weights are divided by 2**exponent
    wide: bool = False  # computed in float64, results rounded once

    def or_none(self) -> Care | None:
        return self if self.keep is not None or self.exponent or self.wide else None


def is_far(x: float, low: float = 1e-6, high: float = 1e6) -> bool:
    """Whether an option other than 0 is so large or small that formulas with it may overflow or underflow in float32."""
    return not (low < x < high or low < -x < high or x == 0)


def exponent_of(high: float) -> int:
    """The power of two that weights up to `high` are divided by before a mean; mostly 0."""
    exponent = math.frexp(high)[1]
    return exponent if abs(exponent) > FAR else 0


def _care(weights: Array, low: float, high: float, *, mean: bool, native: bool) -> Care | None:
    """`native`: whether the kernel rounds the weights to float32."""
    keep = None if low else weights != 0
    if keep is not None and weights.size == 0:
        keep = None
    exponent = exponent_of(high) if mean else 0
    wide = False
    if native and high:
        least = low or float(weights[keep].min())
        wide = least < high * 2.0**-FAR or (not mean and exponent_of(high) != 0)
    return Care(keep, exponent, wide).or_none()


def scaled(weights: Array, exponent: int) -> npt.NDArray[np.float64]:
    """weights / 2**exponent."""
    by: npt.NDArray[np.float64] = np.ldexp(weights.astype(FLOAT64), -exponent)
    return by


def _total(weights: Array) -> float:
    """The sum of weights >= 0: their mean absolute error's, so that its bits depend on neither layout nor threads."""
    if weights.size == 0:
        return 0.0
    zeros = np.broadcast_to(FLOAT64.type(0), weights.shape)
    return _kernels.pointwise(
        _kernels.POINTWISE["mae"], VALUE, weights, zeros, None, None, (), True, 1.0, None, None, None, get_num_threads()
    )[0]


def weighed(
    sample_weight: Any, shape: tuple[int, ...], reduction: str, narrow: bool = False
) -> tuple[Array | None, float, Care | None]:
    """The weights of samples, spread over their shape (None: all weigh 1), their sum, and whether they need care; for a mean
    the sum is that of the weights that `Care` has scaled. `narrow`: the kernel rounds them to float32."""
    if sample_weight is None:
        return None, float(math.prod(shape)), None
    weights, low, high = _check.weights("sample_weight", sample_weight, shape)
    care = _care(weights, low, high, mean=reduction == "mean", native=narrow)
    return weights, _total(scaled(weights, care.exponent) if care is not None and care.exponent else weights), care


def weights_of_terms(sample_weight: Array | None, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """What `Plan.terms` gives beside the values; ones take no memory."""
    return np.broadcast_to(FLOAT64.type(1), shape) if sample_weight is None else sample_weight.astype(FLOAT64)


def _refuse_outside(name: str, a: Array, low: float, high: float, expected: str, size: bool = False) -> None:
    """Refuse entries (`size`: absolute values) outside [low, high]; the kernel looks, and only if it finds any are they
    searched for."""
    least, most = sizes(a) if size else _kernels.extremes(a, get_num_threads())
    if least < low or most > high:
        _check.inside(name, a, low, high, expected, size)


def sizes(a: Array) -> tuple[float, float]:
    """Extremes of the absolute values: what the cheapest loss that looks at them has seen."""
    if a.size == 0:
        return math.inf, -math.inf
    _, _, _, least, most, *_ = _kernels.pointwise(
        _kernels.POINTWISE["perceptron"], VALUE, a, a, None, None, (), a.dtype != FLOAT32, 1.0, None, None, None,
        get_num_threads(),
    )  # fmt: skip
    return least, most


_NO_SLOPES: Sequence[Array] = ()


def unpacked(slopes: Sequence[Array]) -> Slopes | None:
    """What the caller gets: one array bare, several as a tuple."""
    if len(slopes) < 2:
        return slopes[0] if slopes else None
    return tuple(slopes)


def _fold(full: Array, into: Array) -> None:
    """Add up the slopes of an argument that was broadcast: of a scalar all of them, else those along the last axis."""
    into[...] = full.sum(axis=-1 if into.ndim else None, dtype=FLOAT64).reshape(into.shape)


def _fold_all(written: tuple[Array | None, Array | None], buffers: Sequence[Array]) -> None:
    for full, buffer in zip(written, buffers, strict=False):
        if full is not None and full is not buffer:
            _fold(full, buffer)


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
        gradients = self._buffers(out, self._arguments()) if grad else _NO_SLOPES  # a bad buffer is refused first
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
        return _place_of(care, at[0]) + at[1:]

    # ---- buffers and reductions -----------------------------------------------------------------------------------------

    def _buffer(self, out: Any) -> Array:
        """Where the gradient of a loss with one differentiable argument goes."""
        return self._buffers(out, (self.x,))[0]

    def _buffers(self, out: Any, arguments: Sequence[Array]) -> Sequence[Array]:
        """Where the gradients with respect to these go: new arrays, or the caller's after a look at them."""
        if out is None:
            return [np.empty(a.shape, _derivative_dtype(a)) for a in arguments]
        given = out if isinstance(out, tuple) else (out,)
        if len(given) != len(arguments):
            expected = "one array" if len(arguments) == 1 else f"a tuple of {len(arguments)} arrays"
            refuse(ValueError, "out", expected, f"a tuple of {len(out)}" if isinstance(out, tuple) else type(out).__name__)
        for k, (buffer, a) in enumerate(zip(given, arguments, strict=True)):
            _check.result("out", buffer, a.shape, _derivative_dtype(a), self._inputs())
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


def _place_of(care: Care, position: int) -> tuple[int, ...]:
    """The index of a sample of which the position among the kept ones is known."""
    assert care.keep is not None
    return tuple(map(int, np.unravel_index(int(np.flatnonzero(care.keep)[position]), care.keep.shape)))


def _kept_rows(a: Array, axis: int, keep: npt.NDArray[np.bool_]) -> Array:
    """The kept rows of an array, one after another, along its last axis."""
    return np.moveaxis(a, axis, -1)[keep]


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
        gradients, hessians = (self._buffers(None, self.slopes) if wanted else _NO_SLOPES for wanted in (grad, hess))
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
        gradients = hessians = _NO_SLOPES
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
        self._kernel(VALUE, True, 1.0, values, _NO_SLOPES, _NO_SLOPES)
        return values, weights_of_terms(self.sample_weight, self.x.shape)

    def _kernel(
        self, want: int, wide: bool, scale: float, values: Array | None, grads: Sequence[Array], hesses: Sequence[Array]
    ) -> float:
        if want == VALUE | GRAD | HESS:
            want = VALUE | GRAD
            self._kernel(HESS, wide, scale, None, _NO_SLOPES, hesses)
            hesses = _NO_SLOPES
        grad, grad2 = self._full(grads)
        hess, hess2 = self._full(hesses)
        total: float = 0.0
        if self.x.size:
            total, *extremes = _kernels.pointwise(
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
            _refuse_outside(name, operand, low, high, expected, *size)


def _rows_last(a: Array, axis: int) -> Array:
    """The array with its rows along the last axis, where they mostly lie already."""
    return a if axis == a.ndim - 1 else np.moveaxis(a, axis, -1)


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
        plan.x, plan.t = (_kept_rows(a, self.axis, keep) for a in (self.x, self.t))
        z, u = (None if a is None else _kept_rows(a, self.axis, keep) for a in self.others)
        plan.others = z, u
        plan.sample_weight = None if self.sample_weight is None else self.sample_weight[keep]
        plan.axis, plan.shape = 1, plan.x.shape[:1]
        return plan

    def _place(self, care: Care, parts: Sequence[Array], wholes: Sequence[Array]) -> None:
        super()._place(care, parts, [np.moveaxis(whole, self.axis, -1) for whole in wholes])

    def _origin(self, care: Care, at: tuple[int, ...]) -> tuple[int, ...]:
        place = _place_of(care, at[0])
        return place[: self.axis] + at[1:] + place[self.axis :]

    def run(self, value: bool, grad: bool, hess: bool, out: Any = None) -> Result:
        if self.care is not None:
            return self._run_with_care(value, grad, hess, out)
        values = None
        gradients = _NO_SLOPES
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
        self._kernel(VALUE, 1.0, values, _NO_SLOPES)
        return values, weights_of_terms(self.sample_weight, self.shape)

    def _kernel(self, want: int, scale: float, values: Array | None, gradients: Sequence[Array]) -> float:
        if self.x.size == 0:
            return 0.0
        x, t, *slopes = [_rows_last(a, self.axis) for a in (self.x, self.t, *gradients)]
        z, u = (None if a is None else _rows_last(a, self.axis) for a in self.others)
        weight = None if self.sample_weight is None else np.require(self.sample_weight, FLOAT64, ["C_CONTIGUOUS", "ALIGNED"])
        total, *extremes = _kernels.sums(
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
            _refuse_outside(name, a, low, high, expected)


class Rows(Plan):
    """A loss with one value per row along `axis`; `kind` of _rows.KINDS. `special`: further arguments of _rows.rows."""

    __slots__ = ("axis", "class_weight", "ignore", "kind", "shape", "smoothing", "special", "target", "total_weight")

    def __init__(
        self,
        kind: str,
        x: Array,
        axis: int,
        target: Array,
        sample_weight: Any,
        reduction: str,
        *,
        wide: bool = False,
        class_weight: Any = None,
        ignore: int | None = None,
        smoothing: float = 0.0,
        special: Mapping[str, Any] = MappingProxyType({}),
        far: bool = False,
    ) -> None:
        _check.one_of("reduction", reduction, REDUCTIONS)
        self.special = special
        self.kind, self.x, self.axis, self.target = kind, x, axis, target
        self.wide, self.ignore, self.smoothing, self.reduction = wide, ignore, smoothing, reduction
        self.shape = x.shape[:axis] + x.shape[axis + 1 :]
        self.class_weight = None
        self.sample_weight, self.total_weight, self.care = weighed(sample_weight, self.shape, reduction)
        if far:
            self.widened()
        if class_weight is not None:
            self.class_weight = _check.class_weights("class_weight", class_weight, x.shape[axis])
            self._care_for_classes(self.class_weight)

    def _care_for_classes(self, weights: npt.NDArray[np.float64]) -> None:
        """What class weights ask for: a label of weight 0 leaves its sample out; spread targets are weighed in the type of the
        logits."""
        low, high = float(weights.min()), float(weights.max())
        care = self.care or Care()
        if low == 0 and care.keep is None and self._one_class():
            care = care._replace(keep=np.broadcast_to(np.bool_(True), self.shape))
        far = exponent_of(high) != 0
        if not self.wide and not self._one_class():
            least = low or float(weights[weights > 0].min(initial=high))
            care = care._replace(wide=care.wide or least < high * 2.0**-FAR or (far and self.reduction != "mean"))
        self.care = care if far else care.or_none()

    def _one_class(self) -> bool:
        """Whether a sample's target is one class, whose weight is the sample's."""
        return self.kind != "soft" and self.smoothing == 0

    def _scale_weights(self, exponent: int) -> None:
        super()._scale_weights(exponent)
        if self.class_weight is not None:
            high = float(self.class_weight.max(initial=0.0))
            if exponent_of(high):
                self.class_weight = scaled(self.class_weight, math.frexp(high)[1])

    def _without(self, keep: npt.NDArray[np.bool_]) -> Rows:
        """Labels of samples left out are those of an ignored class, and nothing else of them is read; rows of probabilities are
        gathered."""
        plan = copy.copy(self)
        if self.kind != "soft":
            if self.x.size:
                plan.target, plan.ignore = self._ignored(keep)
            return plan
        plan.x, plan.target = (_kept_rows(a, self.axis, keep) for a in (self.x, self.target))
        plan.sample_weight = None if self.sample_weight is None else self.sample_weight[keep]
        plan.axis, plan.shape = 1, plan.x.shape[:1]
        return plan

    def _ignored(self, keep: npt.NDArray[np.bool_]) -> tuple[Array, int]:
        """The labels, with an ignored one in place of those left out; and that one."""
        target = self.target
        if target.dtype == np.uint64:
            target = np.minimum(target, np.uint64(2**63 - 1))
        target = target.astype(np.int64)  # a copy
        if self.class_weight is not None and self._one_class():
            keep = keep & ~np.isin(target, np.flatnonzero(self.class_weight == 0))
        label = self.ignore
        if label is None:
            label = max(-(2**63), int(target[keep].min(initial=0)) - 1)  # below all that count
        target[~keep] = label
        return target, label

    def _place(self, care: Care, parts: Sequence[Array], wholes: Sequence[Array]) -> None:
        super()._place(care, parts, [np.moveaxis(whole, self.axis, -1) for whole in wholes])

    def _origin(self, care: Care, at: tuple[int, ...]) -> tuple[int, ...]:
        place = _place_of(care, at[0])
        return place[: self.axis] + at[1:] + place[self.axis :]

    def _inputs(self) -> Sequence[Array | None]:
        return self.x, self.target, self.sample_weight

    def run(self, value: bool, grad: bool, hess: bool, out: Any = None) -> Result:
        if self.care is not None:
            return self._run_with_care(value, grad, hess, out)
        values = gradient = hessian = None
        if value and self.reduction == "none":
            values = np.empty(self.shape, self._values_dtype())
        if grad:
            gradient = self._buffer(out)
        if hess:
            hessian = np.empty(self.x.shape, _derivative_dtype(self.x))
        scale, weight = 1.0, math.nan
        mixed = self._mixes_weights() and self.reduction == "mean"
        if mixed or ((grad or hess) and (self.reduction == "mean" or out is not None)):
            weight = self._denominator(out is not None)
            scale = self._scale(weight)
        total, summed = self._kernel(scale / self.special.get("temperature", 1.0), values, None, gradient, hessian)
        if not value:
            return None, gradient, hessian
        return (self._reduced(total, weight if mixed else summed, out) if values is None else values), gradient, hessian

    def terms(self) -> Terms:
        if self.care is not None:
            return self._terms_with_care()
        values = np.empty(self.shape, FLOAT64)
        if not self._weighs_one():
            weights = np.empty(self.shape, FLOAT64)
            self._kernel(1.0, values, weights, None, None)
            return values, self._per_mass(weights) if self._mixes_weights() else weights
        counted = self._kernel(1.0, values, None, None, None)[1]
        if counted == self.total_weight:
            return values, np.broadcast_to(FLOAT64.type(1), self.shape)
        return values, (self.target != self.ignore).astype(FLOAT64)

    def _mixes_weights(self) -> bool:
        """Whether a sample's weight is a mean of class weights."""
        return self.kind == "soft" and self.class_weight is not None

    def _per_mass(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """sum_j w_j t_j of each sample, divided by sum_j t_j: the mean of the class weights that its target takes, which is 1 if
        they are all 1. Of a target of nothing but zeros, that of all classes."""
        target = self.target.astype(FLOAT32) if _check.is_bfloat16(self.target.dtype) else self.target
        mass = target.sum(axis=self.axis, dtype=FLOAT64)
        assert self.class_weight is not None
        empty = mass == 0
        with np.errstate(invalid="ignore"):
            mean = weights / np.where(empty, 1.0, mass)
        if empty.any():
            own = 1.0 if self.sample_weight is None else self.sample_weight[empty]
            mean[empty] = own * self.class_weight.mean()
        return mean

    def _weighs_one(self) -> bool:
        """Whether every sample weighs 1, or 0 where it is ignored."""
        return self.class_weight is None and self.sample_weight is None

    def _denominator(self, careful: bool) -> float:
        """The sum of weights, known before the first derivative is written. `careful` also checks the whole target."""
        if self.kind == "soft":
            if careful and not self.special.get("log_target"):
                _refuse_outside("target", self.target, 0.0, 1.0, "probabilities in [0, 1]")
            if not self._mixes_weights():
                return self.total_weight
            weights = np.empty(self.shape, FLOAT64)
            self._kernel(1.0, None, weights, None, None)
            return _total(self._per_mass(weights))
        counts = self._labels_weigh()
        if not counts and not careful:
            return self.total_weight
        counted = self._kernel(1.0, None, None, None, None, kind="labels")[1]
        return counted if counts else self.total_weight

    def _labels_weigh(self) -> bool:
        """Whether a sample's weight in the mean depends on its label."""
        return self.ignore is not None or self.class_weight is not None

    def _labels(self) -> tuple[str, int]:
        """What errors call the labels, and how many there are."""
        return "class indices", self.x.shape[self.axis]

    def _kernel(
        self,
        scale: float,
        values: Array | None,
        weights: Array | None,
        grad: Array | None,
        hess: Array | None,
        kind: str | None = None,
    ) -> tuple[float, float]:
        if self.x.size == 0:
            return 0.0, 0.0
        total, weight, bad, low, high = _rows.rows(
            _KIND[kind or self.kind], self.x, self.axis, target=self.target, class_weight=self.class_weight,
            ignore_index=self.ignore, smoothing=self.smoothing, sample_weight=self.sample_weight, wide=self.wide,
            scale=scale, values=values, weights=weights, grad=grad, hess=hess, threads=get_num_threads(), **self.special,
        )  # fmt: skip
        if bad >= 0:
            self._refuse_label(bad)
        if low < 0 or high > 1:
            _refuse_outside("target", self.target, 0.0, 1.0, "probabilities in [0, 1]")
        return total, weight

    def _refuse_label(self, position: int) -> NoReturn:
        at = tuple(int(k) for k in np.unravel_index(position, self.shape))
        label, (noun, count) = int(self.target[at]), self._labels()
        refuse(IndexError, "target", f"{noun} in [0, {count})", label, at, _check.outside(label, count, self.target))

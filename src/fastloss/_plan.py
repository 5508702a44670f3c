"""What a loss body hands over: its checked arrays and which kernel runs them. A Plan knows how to compute any of value, gradient
and Hessian, and it is the one place where weights, reductions and result buffers are dealt with.

Shapes: `N` samples, `C` classes. The reduction's number is total / weight ("mean"), total ("sum") or, for "none", the total of
the array that is returned; derivatives are of that number.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from fastloss import _check, _kernels, _rows
from fastloss._check import FLOAT32, FLOAT64, Array, refuse
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
    return x, x - float(np.float32(x))


def _total(weights: Array) -> float:
    """The sum of weights >= 0: their mean absolute error's, so that its bits depend on neither layout nor threads."""
    if weights.size == 0:
        return 0.0
    zeros = np.broadcast_to(FLOAT64.type(0), weights.shape)
    return _kernels.pointwise(
        _kernels.POINTWISE["mae"], VALUE, weights, zeros, None, None, (), True, 1.0, None, None, None, get_num_threads()
    )[0]


def weighed(sample_weight: Any, shape: tuple[int, ...]) -> tuple[Array | None, float]:
    """The weights of samples, spread over their shape (None: all weigh 1), and their sum."""
    if sample_weight is None:
        return None, float(math.prod(shape))
    weights = _check.weights("sample_weight", sample_weight, shape)
    return weights, _total(weights)


def weights_of_terms(sample_weight: Array | None, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """What `Plan.terms` gives beside the values; ones take no memory."""
    return np.broadcast_to(FLOAT64.type(1), shape) if sample_weight is None else sample_weight.astype(FLOAT64)


def _refuse_outside(name: str, a: Array, low: float, high: float, expected: str, size: bool = False) -> None:
    """Refuse entries (`size`: absolute values) outside [low, high]; the kernel looks, and only if it finds any are they
    searched for."""
    least, most = _sizes(a) if size else _kernels.extremes(a, get_num_threads())
    if least < low or most > high:
        _check.inside(name, a, low, high, expected, size)


def _sizes(a: Array) -> tuple[float, float]:
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

    __slots__ = ("reduction", "wide", "x")

    x: Array  # the first differentiable argument
    wide: bool  # compute in float64
    reduction: str

    def run(self, value: bool, grad: bool, hess: bool, out: Any = None) -> Result:
        raise NotImplementedError

    def terms(self) -> Terms:
        """Weighted losses and weights per sample, in float64: the mean is the quotient of their sums."""
        raise NotImplementedError

    def _inputs(self) -> Sequence[Array | None]:
        raise NotImplementedError

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
        return self._reduced(float(values.sum()), weight)

    def _reduced(self, total: float, weight: float) -> float:
        if self.reduction == "sum":
            return total
        return total / weight if weight else math.nan


_PLACE = {"target": 1, "variance": 2}  # which operand an argument with a domain is; the others are the first


class Pointwise(Plan):
    """A loss with one value per element: `operation` of POINTWISE on x and target, and perhaps a third operand."""

    __slots__ = ("broadcast", "domain", "operation", "parameters", "sample_weight", "slopes", "t", "third", "total_weight")

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
    ) -> None:
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
        self.sample_weight, self.total_weight = weighed(sample_weight, self.x.shape)

    def _inputs(self) -> Sequence[Array | None]:
        return self.x, self.t, self.third, self.sample_weight

    def run(self, value: bool, grad: bool, hess: bool, out: Any = None) -> Result:
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
        result = self._reduced(total, self.total_weight) if values is None else values
        return result, unpacked(gradients), unpacked(hessians)

    def terms(self) -> Terms:
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

    __slots__ = ("axis", "domain", "operation", "others", "parameters", "sample_weight", "shape", "t", "total_weight", "two")

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
    ) -> None:
        _check.one_of("reduction", reduction, REDUCTIONS)
        self.operation, self.parameters, self.reduction = operation, parameters, reduction
        self.x, self.t, self.axis, self.wide = rows
        self.two, self.others = two, others
        self.domain = domain  # (argument, what is expected, low, high) of x and t, or of t alone
        self.shape = self.x.shape[: self.axis] + self.x.shape[self.axis + 1 :]
        self.sample_weight, self.total_weight = weighed(sample_weight, self.shape)

    def _inputs(self) -> Sequence[Array | None]:
        return self.x, self.t, *self.others, self.sample_weight

    def run(self, value: bool, grad: bool, hess: bool, out: Any = None) -> Result:
        values = None
        gradients = _NO_SLOPES
        want, scale = VALUE if value else 0, 1.0
        if value and self.reduction == "none":
            values = np.empty(self.shape, self._values_dtype())
        if grad:
            want |= GRAD
            scale = self._scale(self.total_weight)
            gradients = self._buffers(out, (self.x, self.t) if self.two else (self.x,))
            if out is not None:
                self._check_domain()  # before anything of the caller's is written
        total = self._kernel(want, scale, values, gradients)
        if not value:
            return None, unpacked(gradients), None
        return (self._reduced(total, self.total_weight) if values is None else values), unpacked(gradients), None

    def terms(self) -> Terms:
        values = np.empty(self.shape, FLOAT64)
        self._kernel(VALUE, 1.0, values, _NO_SLOPES)
        return values, weights_of_terms(self.sample_weight, self.shape)

    def _kernel(self, want: int, scale: float, values: Array | None, gradients: Sequence[Array]) -> float:
        if self.x.size == 0:
            return 0.0
        x, t, *slopes = [_rows_last(a, self.axis) for a in (self.x, self.t, *gradients)]
        z, u = (None if a is None else _rows_last(a, self.axis) for a in self.others)
        weight = None if self.sample_weight is None else np.ascontiguousarray(self.sample_weight, FLOAT64)
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

    __slots__ = (
        "axis", "class_weight", "ignore", "kind", "sample_weight", "shape", "smoothing", "special", "target", "total_weight",
    )  # fmt: skip

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
    ) -> None:
        _check.one_of("reduction", reduction, REDUCTIONS)
        self.special = special
        self.kind, self.x, self.axis, self.target = kind, x, axis, target
        self.wide, self.ignore, self.smoothing, self.reduction = wide, ignore, smoothing, reduction
        self.shape = x.shape[:axis] + x.shape[axis + 1 :]
        self.class_weight = None
        if class_weight is not None:
            self.class_weight = _check.class_weights("class_weight", class_weight, x.shape[axis])
        self.sample_weight, self.total_weight = weighed(sample_weight, self.shape)

    def _inputs(self) -> Sequence[Array | None]:
        return self.x, self.target, self.sample_weight

    def run(self, value: bool, grad: bool, hess: bool, out: Any = None) -> Result:
        values = gradient = hessian = None
        if value and self.reduction == "none":
            values = np.empty(self.shape, self._values_dtype())
        if grad:
            gradient = self._buffer(out)
        if hess:
            hessian = np.empty(self.x.shape, _derivative_dtype(self.x))
        scale = 1.0
        if (grad or hess) and (self.reduction == "mean" or out is not None):
            scale = self._scale(self._denominator(out is not None))
        total, weight = self._kernel(scale / self.special.get("temperature", 1.0), values, None, gradient, hessian)
        if not value:
            return None, gradient, hessian
        return (self._reduced(total, weight) if values is None else values), gradient, hessian

    def terms(self) -> Terms:
        values = np.empty(self.shape, FLOAT64)
        if not self._weighs_one():
            weights = np.empty(self.shape, FLOAT64)
            self._kernel(1.0, values, weights, None, None)
            return values, weights
        counted = self._kernel(1.0, values, None, None, None)[1]
        if counted == self.total_weight:
            return values, np.broadcast_to(FLOAT64.type(1), self.shape)
        return values, (self.target != self.ignore).astype(FLOAT64)

    def _weighs_one(self) -> bool:
        """Whether every sample weighs 1, or 0 where it is ignored."""
        return self.class_weight is None and self.sample_weight is None

    def _denominator(self, careful: bool) -> float:
        """The sum of weights, known before the first derivative is written. `careful` also checks the whole target."""
        if self.kind == "soft":
            if careful and not self.special.get("log_target"):
                _refuse_outside("target", self.target, 0.0, 1.0, "probabilities in [0, 1]")
            return self.total_weight if self.class_weight is None else self._kernel(1.0, None, None, None, None)[1]
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

"""What a loss body hands over: its checked arrays and which kernel runs them. A Plan knows how to compute any of value, gradient
and Hessian, and it is the one place where weights, reductions and result buffers are dealt with.

Shapes: `N` samples, `C` classes. The reduction's number is total / weight ("mean"), total ("sum") or, for "none", the total of
the array that is returned; derivatives are of that number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from fastloss import _check, _kernels, _rows
from fastloss._check import FLOAT32, FLOAT64, Array, refuse
from fastloss._threads import get_num_threads

REDUCTIONS = ("mean", "sum", "none")
VALUE, GRAD, HESS = _kernels.VALUE, _kernels.GRAD, _kernels.HESS
_KIND = _rows.KINDS

Result = tuple[Any, Any, Any]  # value, gradient, Hessian (a tuple of them for several arguments); None where not asked for
Terms = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def _derivative_dtype(a: Array) -> np.dtype[Any]:
    """Gradients have the input's own type; integers and bools, which have no room for one, become float64."""
    return FLOAT64 if a.dtype.kind in "iub" else a.dtype


def _total(weights: Array) -> float:
    """The sum of weights >= 0: their mean absolute error's, so that its bits depend on neither layout nor threads."""
    if weights.size == 0:
        return 0.0
    zeros = np.broadcast_to(FLOAT64.type(0), weights.shape)
    return _kernels.pointwise(
        _kernels.POINTWISE["mae"], VALUE, weights, zeros, None, None, (), True, 1.0, None, None, None, get_num_threads()
    )[0]


def _refuse_outside(name: str, a: Array, low: float, high: float, expected: str) -> None:
    """Refuse entries outside [low, high]; the kernel looks, and only if it finds any are they searched for."""
    least, most = _kernels.extremes(a, get_num_threads())
    if least < low or most > high:
        _check.inside(name, a, low, high, expected)


class Plan:
    """One validated call of a loss whose one differentiable argument is `x`."""

    __slots__ = ("reduction", "wide", "x")

    x: Array  # the differentiable argument
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
        """Where the gradient goes: a new array, or the caller's after a look at it."""
        dtype = _derivative_dtype(self.x)
        if out is None:
            return np.empty(self.x.shape, dtype)
        if isinstance(out, tuple):
            if len(out) != 1:
                refuse(ValueError, "out", "one array", f"a tuple of {len(out)}")
            out = out[0]
        return _check.result("out", out, self.x.shape, dtype, self._inputs())

    def _values_dtype(self) -> np.dtype[Any]:
        return FLOAT64 if self.wide else FLOAT32

    def _scale(self, weight: float) -> float:
        """What each sample's derivative is multiplied by; 0 if the mean is empty (nan has no slope)."""
        if self.reduction != "mean":
            return 1.0
        return 1.0 / weight if weight else 0.0

    def _reduced(self, total: float, weight: float) -> float:
        if self.reduction == "sum":
            return total
        return total / weight if weight else math.nan


class Pointwise(Plan):
    """A loss with one value per element: `operation` of POINTWISE on x and target, and perhaps a third operand."""

    __slots__ = ("collapse", "domain", "operation", "parameters", "sample_weight", "t", "third", "total_weight")

    def __init__(
        self,
        operation: int,
        pair: _check.Pair,
        parameters: tuple[float, ...],
        sample_weight: Any,
        reduction: str,
        *,
        third: Array | None = None,
        domain: tuple[tuple[str, str, float, float], ...] = (),
    ) -> None:
        _check.one_of("reduction", reduction, REDUCTIONS)
        self.operation = operation
        self.x, self.t, self.wide, self.collapse = pair  # one prediction against many targets: their slopes are added
        self.parameters = parameters
        self.reduction = reduction
        self.third = third
        self.domain = domain  # (argument, what is expected, low, high)
        self.sample_weight: Array | None = None
        self.total_weight = float(self.x.size)
        if sample_weight is not None:
            self.sample_weight = _check.weights("sample_weight", sample_weight, self.x.shape)
            self.total_weight = _total(self.sample_weight)

    def _inputs(self) -> Sequence[Array | None]:
        return self.x, self.t, self.third, self.sample_weight

    def run(self, value: bool, grad: bool, hess: bool, out: Any = None) -> Result:
        values = gradient = hessian = None
        want, scale = 0, 1.0
        if value:
            want = VALUE
            if self.reduction == "none":
                values = np.empty(self.x.shape, FLOAT64 if self.wide else FLOAT32)
        if grad or hess:
            scale = self._scale(self.total_weight)
            if grad:
                want |= GRAD
                gradient = self._buffer(None if self.collapse else out)
                if out is not None:
                    self._check_domain()  # before anything of the caller's is written
            if hess:
                want |= HESS
                hessian = np.empty(self.x.shape, _derivative_dtype(self.x))
        total = self._kernel(want, self.wide, scale, values, gradient, hessian)
        if self.collapse:
            gradient, hessian = self._collapsed(gradient, out), self._collapsed(hessian, None)
        if not value:
            return None, gradient, hessian
        return (self._reduced(total, self.total_weight) if values is None else values), gradient, hessian

    def terms(self) -> Terms:
        values = np.empty(self.x.shape, FLOAT64)
        self._kernel(VALUE, True, 1.0, values, None, None)
        if self.sample_weight is None:
            return values, np.broadcast_to(FLOAT64.type(1), self.x.shape)
        return values, self.sample_weight.astype(FLOAT64)

    def _kernel(self, want: int, wide: bool, scale: float, values: Array | None, grad: Array | None, hess: Array | None) -> float:
        if want == VALUE | GRAD | HESS:
            want = VALUE | GRAD
            self._kernel(HESS, wide, scale, None, None, hess)
            hess = None
        if self.x.size == 0:
            return 0.0
        total, x_low, x_high, t_low, t_high = _kernels.pointwise(
            self.operation, want, self.x, self.t, self.third, self.sample_weight, self.parameters, wide, scale,
            values, grad, hess, get_num_threads(),
        )  # fmt: skip
        for name, _, low, high in self.domain:
            least, most = (t_low, t_high) if name == "target" else (x_low, x_high)
            if least < low or most > high:
                self._check_domain()
        return float(total)

    def _check_domain(self) -> None:
        for name, expected, low, high in self.domain:
            _refuse_outside(name, self.t if name == "target" else self.x, low, high, expected)

    def _collapsed(self, full: Array | None, out: Any) -> Array | None:
        if full is None:
            return None
        one = np.asarray(full.sum(dtype=FLOAT64).astype(full.dtype))
        if out is None:
            return one
        buffer = _check.result("out", out[0] if isinstance(out, tuple) else out, (), full.dtype, self._inputs())
        buffer[()] = one
        return buffer


class Rows(Plan):
    """A loss with one value per row along `axis`; `kind` of _rows.KINDS."""

    __slots__ = ("axis", "class_weight", "ignore", "kind", "sample_weight", "shape", "smoothing", "target", "total_weight")

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
    ) -> None:
        _check.one_of("reduction", reduction, REDUCTIONS)
        self.kind, self.x, self.axis, self.target = kind, x, axis, target
        self.wide, self.ignore, self.smoothing, self.reduction = wide, ignore, smoothing, reduction
        self.shape = x.shape[:axis] + x.shape[axis + 1 :]
        self.class_weight = None
        if class_weight is not None:
            self.class_weight = _check.class_weights("class_weight", class_weight, x.shape[axis])
        self.sample_weight: Array | None = None
        self.total_weight = float(math.prod(self.shape))
        if sample_weight is not None:
            self.sample_weight = _check.weights("sample_weight", sample_weight, self.shape)
            self.total_weight = _total(self.sample_weight)

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
        total, weight = self._kernel(scale, values, None, gradient, hessian)
        if not value:
            return None, gradient, hessian
        return (self._reduced(total, weight) if values is None else values), gradient, hessian

    def terms(self) -> Terms:
        values, weights = np.empty(self.shape, FLOAT64), np.empty(self.shape, FLOAT64)
        self._kernel(1.0, values, weights, None, None)
        return values, weights

    def _denominator(self, careful: bool) -> float:
        """The sum of weights, known before the first derivative is written. `careful` also checks the whole target."""
        if self.kind == "soft":
            if careful:
                _refuse_outside("target", self.target, 0.0, 1.0, "probabilities in [0, 1]")
            return self.total_weight if self.class_weight is None else self._kernel(1.0, None, None, None, None)[1]
        counts = self.ignore is not None or self.class_weight is not None
        if not counts and not careful:
            return self.total_weight
        counted = self._kernel(1.0, None, None, None, None, kind="labels")[1]
        return counted if counts else self.total_weight

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
            scale=scale, values=values, weights=weights, grad=grad, hess=hess, threads=get_num_threads(),
        )  # fmt: skip
        if bad >= 0:
            self._refuse_label(bad)
        if low < 0 or high > 1:
            _refuse_outside("target", self.target, 0.0, 1.0, "probabilities in [0, 1]")
        return total, weight

    def _refuse_label(self, position: int) -> NoReturn:
        at = tuple(int(k) for k in np.unravel_index(position, self.shape))
        refuse(IndexError, "target", f"class indices in [0, {self.x.shape[self.axis]})", int(self.target[at]), at)

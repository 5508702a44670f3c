"""What gradcheck looks at: a loss or functions with derivatives, and the arrays they are evaluated at."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ._custom import CustomLoss
from ._slopes import Floats

Array = npt.NDArray[Any]


Indices = npt.NDArray[np.intp]


class Subject:
    """Anything with values and gradients, as functions of float64 arguments."""

    def __init__(self, loss: Any, args: Sequence[Any], params: Mapping[str, Any]) -> None:
        self.name = name_of(loss)
        self.value, self.gradient, self.curvature = functions_of(loss)
        self.params = dict(params)
        self.args = [as_float64(a) for a in args]
        names = argument_names(loss, self.value, len(args))
        self.converted = tuple(
            name for name, a, b in zip(names, args, self.args, strict=False) if dtype_of(a) is not None and dtype_of(a) != b.dtype
        )
        self.reductions = self._reductions()
        wrt = getattr(loss, "wrt", None)
        if isinstance(wrt, (tuple, list)) and set(wrt) <= set(names):
            self.places = [names.index(name) for name in wrt]
        else:
            self.places = list(range(len(self.gradients(self.args, self.reductions[0]))))
        self.wrt = [names[place] for place in self.places]
        for place in self.places:  # an integer argument has no slope until it is real
            self.args[place] = np.asarray(self.args[place], np.float64)
        self.pointwise = getattr(loss, "pointwise", None)
        options = getattr(loss, "options", None)
        self.axis = self.params.get("axis", options.get("axis", -1) if isinstance(options, Mapping) else -1)

    def _reductions(self) -> list[str]:
        """Those to check: the one asked for, all if there are several, or whatever comes."""
        if "reduction" in self.params:
            return [self.params.pop("reduction")]
        try:
            known = "reduction" in inspect.signature(self.value).parameters
        except (TypeError, ValueError):
            known = False
        return ["none", "sum", "mean"] if known else [""]

    def _keywords(self, reduction: str) -> dict[str, Any]:
        return {**self.params, "reduction": reduction} if reduction else self.params

    def values(self, args: Sequence[Any], reduction: str) -> Floats:
        """What the loss gives: a number, or one per sample."""
        with np.errstate(all="ignore"):
            return np.asarray(self.value(*args, **self._keywords(reduction)), np.float64)

    def gradients(self, args: Sequence[Any], reduction: str, order: int = 1) -> list[Floats]:
        """The analytic derivative with respect to each argument."""
        method = self.gradient if order == 1 else self.curvature
        assert method is not None
        with np.errstate(all="ignore"):
            got = method(*args, **self._keywords(reduction))
        parts = got if isinstance(got, (tuple, list)) else (got,)
        return [np.asarray(part, np.float64) for part in parts]

    def moved(self, place: int, where: Indices, by: Floats) -> list[Any]:
        """The arguments, with some entries of one moved."""
        x = self.args[place].copy()
        x.reshape(-1)[where] += by
        return [*self.args[:place], x, *self.args[place + 1 :]]


def name_of(loss: Any) -> str:
    if isinstance(loss, tuple) and loss:
        loss = loss[0]
    name = getattr(loss, "name", None) or getattr(loss, "__name__", None) or type(loss).__name__
    return str(name)


Derivative = Callable[..., Any]


def functions_of(loss: Any) -> tuple[Derivative, Derivative, Derivative | None]:
    """(value, gradient, diagonal Hessian or None) of a Loss, an object like one, or a pair of functions."""
    if isinstance(loss, CustomLoss):
        if "grad" in loss.numeric:
            raise TypeError(f"gradcheck: {loss.name}: expected a loss with a grad function, got one that takes differences")
        return loss, loss.grad, None if "hess" in loss.numeric else loss.hess
    if isinstance(loss, tuple) and len(loss) in (2, 3) and all(map(callable, loss)):
        return loss[0], loss[1], loss[2] if len(loss) == 3 else None
    if callable(loss) and hasattr(loss, "value_and_grad"):
        if getattr(loss, "max_order", 1) < 1:
            raise TypeError(f"gradcheck: {name_of(loss)}: expected a loss with a gradient, got one without")
        curvature = getattr(loss, "hess", None) if getattr(loss, "max_order", 2) >= 2 else None
        return loss, lambda *args, **params: loss.value_and_grad(*args, **params)[1], curvature
    raise TypeError(f"gradcheck: loss: expected a Loss, a callable with value_and_grad, or (value, grad) functions, got {loss!r}")


def argument_names(loss: Any, value: Derivative, count: int) -> list[str]:
    arrays = getattr(loss, "arrays", None)
    if not isinstance(arrays, (tuple, list)):
        try:
            arrays = list(inspect.signature(value).parameters)
        except (TypeError, ValueError):
            arrays = []
    names = [str(name) for name in arrays][:count]
    return names + [f"argument {i}" for i in range(len(names), count)]


def dtype_of(a: Any) -> Any:
    return a.dtype if isinstance(a, (np.ndarray, np.generic)) else None


def as_float64(a: Any) -> Array:
    """A contiguous copy; floats become float64."""
    a = np.asarray(a)
    narrow = a.dtype.kind == "f" or (a.dtype.kind == "V" and a.dtype.name == "bfloat16")
    return np.array(a, np.float64 if narrow else a.dtype, order="C")

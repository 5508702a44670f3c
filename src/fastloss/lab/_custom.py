"""custom: a full Loss of somebody's function. A CustomLoss binds the arguments to the function's signature; its Plan calls the
function where others call a kernel. Shapes: samples are elements (pointwise) or rows along the last axis.
"""

from __future__ import annotations

import functools
import inspect
import math
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any, get_type_hints, overload

import numpy as np
import numpy.typing as npt

import fastloss._check as _check
from fastloss._check import FLOAT32, FLOAT64, Array, refuse
from fastloss._loss import ELEMENTS, VECTORS, Loss
from fastloss._plans.base import VALUE, Plan
from fastloss._plans.weights import weights_of_terms

from . import _numeric

Floats = npt.NDArray[np.float64]
Function = Callable[..., Any]
_RESERVED = ("sample_weight", "reduction", "out", "axis")  # what losses have beside their own; rows lie along the last axis
_ORDER = ("value", "grad", "hess")


class CustomLoss(Loss[...]):
    """What `custom` makes: a Loss whose numbers come from a function of yours.

    Attributes
    ----------
    numeric : tuple of str
        Which of ``"grad"`` and ``"hess"`` are central differences.
    """

    def __init__(
        self,
        value: Function,
        grad: Function | None,
        hess: Function | None,
        *,
        name: str,
        module: str,
        wrt: str | Sequence[str] | None,
        pointwise: bool,
        sampler: Function | None,
        texts: tuple[str, str, str],
    ) -> None:
        arrays, options = _parameters(value)
        chosen = _differentiable(wrt, arrays)
        for given, function in (("grad", grad), ("hess", hess)):
            _need_same_parameters(given, function, arrays, options)
        own = [inspect.Parameter(array, inspect.Parameter.POSITIONAL_OR_KEYWORD) for array in arrays]
        keywords = {**options, "sample_weight": None, "reduction": "mean"}
        own += [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default) for key, default in keywords.items()]

        def body(*args: Any, **kwargs: Any) -> Plan:
            return CustomPlan(self, *self._bound(args, kwargs))

        functools.update_wrapper(body, value, assigned=("__doc__",), updated=())
        body.__name__ = body.__qualname__ = name
        body.__module__ = module
        body.__doc__ = value.__doc__ or f"The loss {name}, made by fastloss.custom."
        body.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        formula, range, citation = texts
        super().__init__(
            body, wrt=chosen, max_order=2, formula=formula, range=range, citation=citation, sampler="",
            samples=ELEMENTS if pointwise else VECTORS, ulp={},
        )  # fmt: skip
        self.family = "custom"
        self.functions: Mapping[str, Function | None] = MappingProxyType({"value": value, "grad": grad, "hess": hess})
        self.numeric = tuple(order for order in _ORDER if self.functions[order] is None)
        self._draw = sampler
        self._warned = False

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any], Any, str]:
        """(arrays, options, sample_weight, reduction) of a call."""
        try:
            bound = self.__signature__.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}() {error}") from None
        bound.apply_defaults()
        given = bound.arguments
        arrays = [given[name] for name in self.arrays]
        return arrays, {name: given[name] for name in self.options}, given["sample_weight"], given["reduction"]

    def warn_of_differences(self, tails: Sequence[tuple[int, ...]]) -> None:
        """Once: what the missing derivatives cost, and how exact they are."""
        if self._warned:
            return
        self._warned = True
        entries = sum(math.prod(tail) for tail in tails)
        where = "for the whole array" if self.pointwise else f"for all rows at once ({entries} entries per row)"
        lines = []
        if "grad" in self.numeric:
            lines.append(f"the gradient takes {2 * entries} evaluations of value {where} and is good to about 1e-10")
        if "hess" in self.numeric:
            of, more, error = ("value", len(tails), "1e-8") if "grad" in self.numeric else ("grad", 0, "1e-10")
            lines.append(f"the Hessian takes {2 * entries + more} evaluations of {of} {where} and is good to about {error}")
        _numeric.warn(
            f"{self.name}: {' and '.join(self.numeric)} by central differences: {'; '.join(lines)}, relative to the size of the "
            f"loss, in float64; less within a step (1e-5) of a kink. custom({', '.join(f'{n}=...' for n in self.numeric)}) "
            "takes exact ones, and this warning comes once."
        )

    @functools.cached_property
    def annotations(self) -> Mapping[str, Any]:
        """Those of the function; none if a name among them cannot be found when it is asked for."""
        try:
            return MappingProxyType(get_type_hints(self.functions["value"]))
        except (NameError, TypeError, AttributeError):
            return MappingProxyType({})

    # ---- what the registry's losses take from the library ------------------------------------------------------------

    @property
    def reference(self) -> Callable[..., tuple[Array, Array]]:
        """The function itself, in float64: (values, weights) per sample, as the library's definitions give them."""

        def reference(*args: Any, **kwargs: Any) -> tuple[Array, Array]:
            return self.terms(*args, **kwargs)

        return reference

    def sample(
        self, rng: np.random.Generator, dtype: str = "float32", size: int = 64
    ) -> tuple[tuple[Array, ...], dict[str, Any]]:
        """Draw random valid arguments with the sampler that `custom` was given."""
        if self._draw is None:
            raise TypeError(f"{self.name} has no sampler: custom(..., sampler=...) takes a function of (rng, dtype, size)")
        drawn = self._draw(rng, dtype, size)
        arrays = tuple(drawn) if isinstance(drawn, (tuple, list)) else (drawn,)
        if len(arrays) != len(self.arrays):
            raise ValueError(f"{self.name}: sampler: expected {len(self.arrays)} arrays, got {len(arrays)}")
        return arrays, {}

    def __repr__(self) -> str:
        return f"<Loss {self.__module__}.{self.name}>"

    def __copy__(self) -> CustomLoss:
        return self

    def __deepcopy__(self, memo: object) -> CustomLoss:
        return self

    def __reduce__(self) -> str:
        """Pickled by name, as functions are: the name in its module under which this very object is found."""
        module = sys.modules.get(self.__module__)
        value = self.functions["value"]
        for path in (self.name, getattr(value, "__qualname__", self.name)):
            try:
                if attrgetter(path)(module) is self:
                    return str(path)
            except AttributeError:
                pass
        for path, found in list(vars(module).items()) if module is not None else ():
            if found is self:
                return path
        raise pickle.PicklingError(
            f"{self.name}: a custom loss is pickled by name, as functions are; this one is not found as a variable of the "
            f"module {self.__module__}"
        )


class CustomPlan(Plan):
    """One checked call of a CustomLoss."""

    __slots__ = ("arrays", "given", "loss", "lost", "options")

    def __init__(
        self, loss: CustomLoss, arguments: Sequence[Any], options: dict[str, Any], sample_weight: Any, reduction: str
    ) -> None:
        self.loss, self.options = loss, options
        self.given = {name: _check.array(name, value) for name, value in zip(loss.arrays, arguments, strict=True)}
        self.x = self.given[loss.wrt[0]]
        self.wide = self._is_wide(arguments)
        self._weigh(sample_weight, self._elements() if loss.pointwise else self._rows(), reduction)
        self.lost = None  # samples of weight 0
        if self.adjustments is not None:
            self.lost = None if self.adjustments.keep is None else ~self.adjustments.keep
            self.adjustments = self.adjustments._replace(keep=None).or_none()

    def _elements(self) -> tuple[int, ...]:
        """The one shape of all arrays that are not scalars; scalars are spread over it."""
        like, shape = "", ()
        for name, a in self.given.items():
            if a.ndim and not like:
                like, shape = name, a.shape
            elif a.ndim and a.shape != shape:
                hint = (
                    " (pointwise=False makes a loss of rows)"
                    if shape[: a.ndim] == a.shape or a.shape[: len(shape)] == shape
                    else ""
                )
                refuse(ValueError, name, f"the shape of {like}, {shape}{hint}", f"shape {a.shape}")
        self.arrays = {name: np.broadcast_to(a, shape) for name, a in self.given.items()}
        return shape

    def _rows(self) -> tuple[int, ...]:
        """The leading axes that all arrays share; only the first that is differentiated says how many there are."""
        first = self.loss.wrt[0]
        if self.x.ndim == 0:
            refuse(ValueError, first, "at least one dimension", "a scalar")
        samples = self.x.shape[:-1]
        for name, a in self.given.items():
            if a.shape[: len(samples)] != samples and (a.ndim or name in self.loss.wrt):
                refuse(ValueError, name, f"a shape that starts with {samples}, the rows of {first}", f"shape {a.shape}")
        self.arrays = self.given
        return samples

    def _is_wide(self, arguments: Sequence[Any]) -> bool:
        """NumPy's promotion of the arrays; Python numbers and, in rows, integers (labels) do not count."""
        strong = [a for a, value in zip(self.given.values(), arguments, strict=True) if not _check.is_weak(value)]
        if not self.loss.pointwise:
            strong = [a for a in strong if a.dtype.kind not in "iub"]
        dtypes = {FLOAT32 if _is_half(a) else a.dtype for a in strong}
        return not dtypes or all(d.kind in "iub" for d in dtypes) or np.result_type(*dtypes) == FLOAT64

    def _inputs(self) -> Sequence[Array | None]:
        return (*self.given.values(), self.sample_weight)

    # ---- calling the user's functions ----------------------------------------------------------------------------------

    def _cast(self, dtype: np.dtype[Any]) -> list[Array]:
        """The arrays as the function gets them: of one floating type (labels stay integers), and read-only."""
        real = self.loss.wrt if not self.loss.pointwise else self.loss.arrays
        arrays = []
        for name, a in self.arrays.items():
            labels = a.dtype.kind in "iub" and name not in real
            view = (a if labels else a.astype(dtype, copy=False)).view()
            view.flags.writeable = False
            arrays.append(view)
        return arrays

    def _call(self, which: str, arrays: Sequence[Array]) -> Any:
        function = self.loss.functions[which]
        assert function is not None
        try:
            return function(*arrays, **self.options)
        except Exception as error:
            error.add_note(f"raised in the {which} function of the loss {self.loss.name}")
            raise

    def _returned(self, which: str, got: Any, shape: tuple[int, ...], what: str) -> Array:
        """What a function returned, if it is real numbers of the right shape."""
        if got is None:
            refuse(TypeError, which, "the function to return an array", "None")
        a = _check.array(which, got)
        if a.shape != shape:
            refuse(ValueError, which, f"the function to return shape {shape}, {what}", f"shape {a.shape}")
        return a.astype(FLOAT32) if _is_half(a) else a

    def _values(self, arrays: Sequence[Array]) -> Array:
        what = "one value per element" if self.loss.pointwise else "one value per row"
        if self.loss.pointwise and len(self.shape) > 1:
            what += " (pointwise=False: one per row)"
        return self._returned("value", self._call("value", arrays), self.shape, what)

    def _slopes(self, which: str, arrays: Sequence[Array]) -> list[Array]:
        """What grad or hess returned, one array for each of `wrt`."""
        got, wrt = self._call(which, arrays), self.loss.wrt
        if len(wrt) > 1 and not (isinstance(got, (tuple, list)) and len(got) == len(wrt)):
            refuse(TypeError, which, f"the function to return a tuple of {len(wrt)} arrays ({', '.join(wrt)})", _shape_of(got))
        parts = got if len(wrt) > 1 or (isinstance(got, tuple) and len(got) == 1) else (got,)
        return [
            self._returned(which, part, self.arrays[name].shape, f"that of {name}") for name, part in zip(wrt, parts, strict=True)
        ]

    def _derivatives(self, which: str) -> list[Array]:
        """Each sample's derivative, one array for each of `wrt`."""
        if self.loss.functions[which] is not None:
            return self._slopes(which, self._cast(self._values_dtype()))
        arrays, axes = self._cast(FLOAT64), len(self.shape)
        places = [self.loss.arrays.index(name) for name in self.loss.wrt]
        self.loss.warn_of_differences([arrays[place].shape[axes:] for place in places])
        from_gradient = which == "hess" and self.loss.functions["grad"] is not None
        method = _numeric.slope_of_gradient if from_gradient else _numeric.second if which == "hess" else _numeric.first
        return [
            method(functools.partial(self._moved, "grad" if from_gradient else "value", arrays, k), arrays[place], axes)
            for k, place in enumerate(places)
        ]

    def _moved(self, which: str, arrays: Sequence[Array], k: int, x: Floats) -> Floats:
        """Values, or the k-th gradient, where the k-th differentiable argument is x."""
        place = self.loss.arrays.index(self.loss.wrt[k])
        x.flags.writeable = False
        moved = [*arrays[:place], x, *arrays[place + 1 :]]
        return np.asarray(self._values(moved) if which == "value" else self._slopes("grad", moved)[k], FLOAT64)

    # ---- what a Plan does ----------------------------------------------------------------------------------------------

    def _arguments(self) -> Sequence[Array]:
        return [self.given[name] for name in self.loss.wrt]

    def _compute(
        self, want: int, values: Array | None, gradients: Sequence[Array], hessians: Sequence[Array]
    ) -> tuple[float, float]:
        total = self._store(self._values(self._cast(self._values_dtype())), values) if want & VALUE else 0.0
        derivatives = self._derivatives("grad") if gradients else []
        derivatives += self._derivatives("hess") if hessians else []
        buffers = (*gradients, *hessians)
        if any(np.may_share_memory(a, b) for a in derivatives for b in buffers):  # views of an input that is now written to
            derivatives = [derivative.copy() for derivative in derivatives]
        for derivative, buffer in zip(derivatives, buffers, strict=True):
            self._write(derivative, buffer)
        return total, self.total_weight

    def _compute_terms(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        weights = weights_of_terms(self.sample_weight, self.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            np.multiply(self._values(self._cast(FLOAT64)), weights, out=values)
        if self.lost is not None:
            values[self.lost] = 0
        return weights

    def _store(self, each: Array, values: Array | None) -> float:
        """Weigh each sample's value: written to `values` if that is there, else added up in float64."""
        if self.sample_weight is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                each = np.multiply(each, self.sample_weight, dtype=FLOAT64)
            if self.lost is not None:
                each = np.where(self.lost, 0.0, each)
        if values is None:
            return self._folded(each.astype(FLOAT64, copy=False), None)
        values[...] = each
        return 0.0

    def _write(self, derivative: Array, buffer: Array) -> None:
        """The derivative of the reduction's number, from those of the single samples."""
        factor: Any = np.float64(self._scale(self.total_weight))
        if self.sample_weight is not None:
            axes = (1,) * (derivative.ndim - len(self.shape))
            factor = factor * self.sample_weight.astype(FLOAT64).reshape(self.shape + axes)
            if self.lost is not None:
                derivative = np.where(self.lost.reshape(self.shape + axes), derivative.dtype.type(0), derivative)
        with np.errstate(all="ignore"):  # nan and infinity are answers; what the function warns of has been said
            if buffer.shape == derivative.shape:
                np.multiply(derivative, factor, out=buffer, dtype=FLOAT64, casting="unsafe")
            else:  # one number beside many: their slopes are added
                buffer[()] = np.multiply(derivative, factor, dtype=FLOAT64).sum()


def _is_half(a: Array) -> bool:
    return a.dtype == np.float16 or _check.is_bfloat16(a.dtype)


def _shape_of(got: Any) -> str:
    if isinstance(got, np.ndarray):
        return f"an array of shape {got.shape}"
    return f"a {type(got).__name__}" + (f" of {len(got)}" if isinstance(got, (tuple, list)) else "")


# ---- making one ---------------------------------------------------------------------------------------------------------


@overload
def custom(
    value: Function,
    grad: Function | None = None,
    hess: Function | None = None,
    *,
    name: str | None = None,
    wrt: str | Sequence[str] | None = None,
    pointwise: bool = True,
    sampler: Function | None = None,
    formula: str = "",
    range: str = "",
    citation: str = "",
) -> CustomLoss: ...
@overload
def custom(
    value: None = None,
    grad: Function | None = None,
    hess: Function | None = None,
    *,
    name: str | None = None,
    wrt: str | Sequence[str] | None = None,
    pointwise: bool = True,
    sampler: Function | None = None,
    formula: str = "",
    range: str = "",
    citation: str = "",
) -> Callable[[Function], CustomLoss]: ...
def custom(
    value: Function | None = None,
    grad: Function | None = None,
    hess: Function | None = None,
    *,
    name: str | None = None,
    wrt: str | Sequence[str] | None = None,
    pointwise: bool = True,
    sampler: Function | None = None,
    formula: str = "",
    range: str = "",
    citation: str = "",
) -> Any:
    """Make a full Loss of a function: reductions, weights, `out=`, all methods, evaluation and the command line.

    Also a decorator: ``@fl.custom`` or ``@fl.custom(name=..., pointwise=False)``.

    The function is called with the loss's arrays and options. Its parameters without a default are the arrays, those with a
    default the loss's options (keywords only, whatever they were in the function). `sample_weight` and `reduction` come by
    themselves: the function gives one value per sample, unweighted. Arrays arrive read-only and in one floating type, float32 or
    float64 by NumPy's promotion (float16 and bfloat16 as float32, integers as float64); integers that no row loss
    differentiates stay integers: labels. `terms`, evaluation and numeric derivatives call it with float64.

    Parameters
    ----------
    value : callable
        The loss of every sample. With ``pointwise=True`` an array of the arguments' shape; with ``pointwise=False`` one of the
        first differentiable argument's shape without its last axis.
    grad : callable, optional
        The derivative of each sample's value with respect to the differentiable argument, in its shape (a tuple of them for
        several), with the same parameters as `value`. Without it: central differences, in 2 evaluations of `value`, or 2 x `C`
        for rows of `C` entries.
    hess : callable, optional
        The diagonal of the second derivatives, likewise. Without it: differences of `grad`, or of `value` twice.
    name : str, optional
        What errors and reports call the loss; by default the function's name.
    wrt : str or sequence of str, optional
        The differentiable arguments; by default the first.
    pointwise : bool
        One value per element, of arrays of one shape (or scalars); or one per row, of arrays whose leading axes are those of the
        first differentiable argument without its last.
    sampler : callable, optional
        Gives random valid arrays for (rng, dtype, size): what `sample` returns, and `gradcheck` without arrays uses.
    formula, range, citation : str, optional
        What ``fastloss show`` prints.

    Returns
    -------
    CustomLoss
        A Loss of the family "custom". It is not in `LOSSES`, which holds the library's own. It pickles as functions do, if it
        is a variable of the module that made it.

    Raises
    ------
    TypeError, ValueError
        A function without a readable signature, with ``*args`` or reserved parameters; `wrt` that are no arrays; `grad` or
        `hess` with other parameters. Calls raise them if the function returns something else than it should.

    Warns
    -----
    NumericDerivativeWarning
        The first time that a derivative is taken by differences.

    See Also
    --------
    gradcheck : compare `grad` and `hess` with the slopes of `value`.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> def slope(prediction, target, *, a=1.0):
    ...     return a * np.expm1(a * (prediction - target))
    >>> @fl.custom(grad=slope)
    ... def linex(prediction, target, *, a=1.0):
    ...     "Varian's asymmetric loss."
    ...     return np.expm1(a * (prediction - target)) - a * (prediction - target)
    >>> value, gradient = linex.value_and_grad([1.0, 2.0], [1.0, 1.0], a=0.5)
    >>> round(value, 6), gradient.round(6)
    (0.074361, array([0.      , 0.16218]))
    >>> bool(fl.gradcheck(linex, [1.0, 2.0], [1.0, 1.0]))
    True
    """
    module = sys._getframe(1).f_globals.get("__name__", "__main__")

    def make(function: Function) -> CustomLoss:
        try:
            return CustomLoss(
                function, grad, hess, name=_name_of(name, function), module=module, wrt=wrt, pointwise=bool(pointwise),
                sampler=sampler, texts=(formula, range, citation),
            )  # fmt: skip
        except _check.Refusal as refusal:
            raise refusal.named("custom") from None

    return make if value is None else make(value)


def _name_of(name: str | None, function: Function) -> str:
    if not callable(function):
        refuse(TypeError, "value", "a function", type(function).__name__)
    chosen = getattr(function, "__name__", "") if name is None else name
    if not isinstance(chosen, str) or not chosen.isidentifier():
        refuse(ValueError, "name", "an identifier", repr(chosen))
    return chosen


def _parameters(function: Function) -> tuple[tuple[str, ...], dict[str, Any]]:
    """A function's arrays (parameters without a default) and options (those with one)."""
    arrays: list[str] = []
    options: dict[str, Any] = {}
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        refuse(TypeError, "value", "a function whose signature can be read (wrap it in one)", repr(function))
    for p in parameters:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            refuse(TypeError, "value", "named parameters", f"{p}")
        if p.name in _RESERVED:
            refuse(
                TypeError,
                "value",
                "a function of the arrays and its own options (weights, reductions and axes come by themselves)",
                p.name,
            )
        if p.default is not p.empty:
            if p.kind is p.POSITIONAL_ONLY:
                refuse(TypeError, "value", "options that can be passed by keyword", f"positional-only {p.name}")
            options[p.name] = p.default
        elif p.kind is p.KEYWORD_ONLY:
            refuse(TypeError, "value", "a default for every keyword", f"{p.name} without one")
        else:
            arrays.append(p.name)
    if not arrays:
        refuse(TypeError, "value", "a function of at least one array", "one without")
    return tuple(arrays), options


def _differentiable(wrt: str | Sequence[str] | None, arrays: tuple[str, ...]) -> tuple[str, ...]:
    """`wrt` as a tuple, in signature order."""
    chosen = (arrays[0],) if wrt is None else (wrt,) if isinstance(wrt, str) else tuple(wrt)
    if not chosen or not set(chosen) <= set(arrays):
        refuse(ValueError, "wrt", f"some of {', '.join(arrays)}", repr(wrt))
    return tuple(name for name in arrays if name in chosen)


def _need_same_parameters(which: str, function: Function | None, arrays: tuple[str, ...], options: Mapping[str, Any]) -> None:
    if function is None:
        return
    if not callable(function):
        refuse(TypeError, which, "a function", type(function).__name__)
    try:
        inspect.signature(function).bind(*arrays, **options)
    except TypeError as error:
        refuse(TypeError, which, f"a function of {', '.join((*arrays, *options))}, as value is", f"another: {error}")
    except ValueError:
        pass  # no signature to read: the first call tells

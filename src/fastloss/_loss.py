"""The Loss object and the registry of all losses. A loss is written as one function (see regression.py): it validates its
arguments and returns a Plan; the decorator here makes it a callable with methods, the way np.add is a callable with .reduce.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, Literal, ParamSpec, TypeVar, cast, get_type_hints, overload

import numpy as np
import numpy.typing as npt

from fastloss._check import Refusal
from fastloss._plans.base import GRAD, HESS, VALUE, Plan, Terms

P = ParamSpec("P")
Array = npt.NDArray[Any]

_registry: dict[str, Loss[Any]] = {}
LOSSES: Mapping[str, Loss[Any]] = MappingProxyType(_registry)
"""Every loss of the library by name: what tests, benchmarks, documentation and the command line walk."""

_COMMON = ("sample_weight", "reduction")


@dataclass(frozen=True, slots=True)
class Samples:
    """How samples lie in a loss's arrays: what evaluation asks before it cuts a batch, and who else walks the registry.

    kind: "elements", one value each; "rows", one value per row along an axis; "regions", one value per item and class, from sums
    over positions; "batch", values that depend on the whole batch, which is therefore never cut.
    """

    kind: Literal["elements", "rows", "regions", "batch"]
    axis: int | None = None  # along which a row lies, where no option `axis` of the loss says it
    shared: tuple[str, ...] = ()  # arrays without an entry for each sample: all samples share them
    beside: tuple[str, ...] = ()  # options that are arrays with an entry for each sample, such as lengths
    copies: int = 0  # arrays of the size of the first one that a call works with besides
    options: Mapping[str, Any] = field(default_factory=dict)  # with which each sample has a value of its own


ELEMENTS, ROWS, REGIONS, BATCH = (Samples(kind) for kind in ("elements", "rows", "regions", "batch"))
VECTORS = Samples("rows", axis=-1)


class Method(functools.partial[Any]):
    """A method of one loss, with the loss's own parameters for `inspect`, `help` and whoever counts them (LightGBM does): a bound
    method would show ``(*args, **kwargs)``. A partial, as that is called as quickly.
    """

    __name__: str

    def __init__(self, function: Callable[..., Any], loss: Loss[Any]) -> None:
        self.__name__ = function.__name__
        self.__qualname__ = f"{loss.__qualname__}.{function.__name__}"
        self.__module__ = loss.__module__
        self.__doc__ = function.__doc__
        self.__self__ = loss

    @functools.cached_property
    def __signature__(self) -> inspect.Signature:
        own = self.__self__.__signature__
        out = inspect.signature(self.func).parameters.get("out")
        slopes: Any = Array if len(self.__self__.wrt) == 1 else types.GenericAlias(tuple, (Array,) * len(self.__self__.wrt))
        returned = {
            "grad": slopes,
            "value_and_grad": types.GenericAlias(tuple, (float | Array, slopes)),
            "hess": slopes,
            "grad_and_hess": types.GenericAlias(tuple, (slopes, slopes)),
            "terms": Terms,
        }[self.__name__]
        return own.replace(parameters=[*own.parameters.values(), *([out] if out else [])], return_annotation=returned)

    def __repr__(self) -> str:
        return f"<{self.__name__} of {self.__self__!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.__self__, self.__name__)

    def __get__(self, instance: object, owner: type | None = None) -> Method:
        return self  # a routine to help() and inspect, as a Loss is; it is bound already


class _Unbound:
    """What stands in the class for a method: each loss gets its own when it is first asked for, and keeps it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function

    def __get__(self, loss: Loss[Any] | None, owner: type | None = None) -> Any:
        if loss is None:
            return self
        made = loss.__dict__[self._function.__name__] = Method(self._function, loss)
        return made

    def __call__(self, loss: Loss[Any], *args: Any, **kwargs: Any) -> Any:
        return getattr(loss, self._function.__name__)(*args, **kwargs)


F = TypeVar("F", bound=Callable[..., Any])


def _method(function: F) -> F:
    return cast(F, _Unbound(function))  # to type checkers it stays the method that it is


class Loss(Generic[P]):
    """A loss function: call it for the value, use its methods for derivatives.

    Attributes
    ----------
    name, family : str
        ``"huber"``, ``"regression"``.
    arrays : tuple of str
        The positional arguments' names.
    wrt : tuple of str
        The arguments that derivatives are taken with respect to.
    max_order : int
        The highest derivative: 1 for the gradient, 2 for the diagonal Hessian too.
    options : Mapping
        The loss's own keywords and their defaults.
    samples : Samples
        How samples lie in the arrays; the next six say the same one by one.
    pointwise : bool
        One value per element; otherwise one per row along ``axis``.
    regions : bool
        Not one per row: positions of an item are added up, for each class along ``axis`` or for all of them.
    copies : int
        Arrays of the size of the first one that a call works with besides.
    shared : tuple of str
        Those of `arrays` that all samples share: they are not cut where a batch is.
    beside : tuple of str
        Those of `options` that are arrays with an entry for each sample, such as lengths: they are cut where a batch is.
    batchwise : bool
        Values depend on the whole batch, which is therefore never cut.
    formula, range, citation : str
        One line each.
    ulp : Mapping
        Promised bound, in units in the last place, of the error of ``reduction="none"`` values, per computation type.
    """

    __name__: str
    __qualname__: str
    __wrapped__: Callable[P, Plan]

    def __init__(
        self,
        body: Callable[P, Plan],
        *,
        wrt: tuple[str, ...],
        max_order: int,
        formula: str,
        range: str,
        citation: str,
        sampler: str,
        samples: Samples,
        ulp: Mapping[str, float],
    ) -> None:
        functools.update_wrapper(self, body)
        signature = inspect.signature(body)
        parameters = signature.parameters.values()
        self.__signature__ = signature.replace(return_annotation=float | Array)
        self.name = body.__name__
        self.family = body.__module__.rpartition(".")[2]
        self.arrays = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        self.options: Mapping[str, Any] = MappingProxyType(
            {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in _COMMON}
        )
        self.wrt, self.max_order, self.samples = wrt, max_order, samples
        self.pointwise, self.regions, self.batchwise = (samples.kind == kind for kind in ("elements", "regions", "batch"))
        self.shared, self.beside, self.copies = samples.shared, samples.beside, samples.copies
        self.formula, self.range, self.citation = formula, range, citation
        self.ulp: Mapping[str, float] = MappingProxyType(dict(ulp))
        self._body = body
        self._sampler = sampler

    # ---- computing --------------------------------------------------------------------------------------------------
    # Each catches for itself: one more function would be a thirtieth of a call on ten numbers.

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Value: a float ("mean", "sum") or an array ("none")."""
        try:
            return self._body(*args, **kwargs).run(VALUE)[0]
        except Refusal as refusal:
            raise refusal.named(self.name) from None

    @overload
    def grad(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...
    @overload
    def grad(self, *args: Any, out: Any, **kwargs: Any) -> Any: ...
    @_method
    def grad(self, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        """Gradient of the value (for "none", of its sum) with respect to `wrt`.

        Same arguments as the loss, and `out`: a buffer for the gradient (a tuple of them for several `wrt`) with its shape
        and dtype; it may be the differentiable argument itself, which is then overwritten.
        """
        try:
            return self._body(*args, **kwargs).run(GRAD, out)[1]
        except Refusal as refusal:
            raise refusal.named(self.name) from None

    @overload
    def value_and_grad(self, *args: P.args, **kwargs: P.kwargs) -> tuple[Any, Any]: ...
    @overload
    def value_and_grad(self, *args: Any, out: Any, **kwargs: Any) -> tuple[Any, Any]: ...
    @_method
    def value_and_grad(self, *args: Any, out: Any = None, **kwargs: Any) -> tuple[Any, Any]:
        """Value and gradient in one pass; arguments as for `grad`."""
        try:
            return self._body(*args, **kwargs).run(VALUE | GRAD, out)[:2]
        except Refusal as refusal:
            raise refusal.named(self.name) from None

    @_method
    def hess(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Diagonal of the Hessian of the value with respect to `wrt`; same arguments as the loss."""
        self._need_hessian()
        try:
            return self._body(*args, **kwargs).run(HESS)[2]
        except Refusal as refusal:
            raise refusal.named(self.name) from None

    @_method
    def grad_and_hess(self, *args: P.args, **kwargs: P.kwargs) -> tuple[Any, Any]:
        """Gradient and diagonal Hessian in one pass: what gradient-boosted trees ask for."""
        self._need_hessian()
        try:
            return self._body(*args, **kwargs).run(GRAD | HESS)[1:]
        except Refusal as refusal:
            raise refusal.named(self.name) from None

    @_method
    def terms(self, *args: P.args, **kwargs: P.kwargs) -> Terms:
        """Weighted losses and weights of the single samples, in float64.

        The mean is ``numerator.sum() / denominator.sum()``, the sum ``numerator.sum()``; ignored samples are 0 in both.
        """
        try:
            return self._body(*args, **kwargs).terms()
        except Refusal as refusal:
            raise refusal.named(self.name) from None

    def _need_hessian(self) -> None:
        if self.max_order < 2:
            raise TypeError(f"{self.name} has no diagonal Hessian")

    @property
    def per_sample(self) -> tuple[str, ...]:
        """The arrays that have an entry for each sample: all but the shared ones."""
        return tuple(name for name in self.arrays if name not in self.shared)

    @functools.cached_property
    def annotations(self) -> Mapping[str, Any]:
        """What the arguments may be, by name: ``float``, ``bool | None``, ``Literal["target", "input"]``; ``Any`` for arrays."""
        return MappingProxyType(get_type_hints(self.__wrapped__))

    # ---- what tests, benchmarks, documentation and the command line ask ---------------------------------------------------

    @property
    def reference(self) -> Callable[..., tuple[Array, Array]]:
        """The textbook definition in NumPy float64: (values, weights) per sample."""
        function: Callable[..., tuple[Array, Array]] = getattr(
            importlib.import_module("fastloss._definitions.reference"), self.name
        )
        return function

    def sample(
        self, rng: np.random.Generator, dtype: str = "float32", size: int = 64
    ) -> tuple[tuple[Array, ...], dict[str, Any]]:
        """Draw random valid arguments: `size` elements (pointwise), rows or items, from inside the loss's domain, and the options
        with which each is a value of its own."""
        sampler = getattr(importlib.import_module("fastloss._definitions.samplers"), self._sampler)
        arrays: tuple[Array, ...] = sampler(rng, dtype, size)
        return arrays, dict(self.samples.options)

    # ---- being a function ---------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<Loss fastloss.{self.name}>"

    def __reduce__(self) -> str:
        return self.name  # pickled by name, as functions are

    def __get__(self, instance: object, owner: type | None = None) -> Loss[P]:
        return self  # makes help() and inspect treat a Loss as a routine; it never binds


def loss(
    *,
    wrt: tuple[str, ...],
    max_order: int,
    formula: str,
    range: str,
    citation: str,
    sampler: str,
    samples: Samples = ELEMENTS,
    ulp: Mapping[str, float] = MappingProxyType({"float32": 4, "float64": 8}),
) -> Callable[[Callable[P, Plan]], Loss[P]]:
    """Turn the function that checks a loss's arguments and plans its computation into a registered Loss."""

    def make(body: Callable[P, Plan]) -> Loss[P]:
        if body.__name__ in _registry:
            raise ValueError(f"a loss named {body.__name__!r} exists")
        made = Loss(
            body, wrt=wrt, max_order=max_order, formula=formula, range=range, citation=citation, sampler=sampler, samples=samples,
            ulp=ulp,
        )  # fmt: skip
        _registry[made.name] = made
        return made

    return make

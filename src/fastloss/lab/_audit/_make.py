"""A Subject of whatever is audited: a loss of the library or of `custom`, a function, or an object with reductions of
its own; and data of it, given, drawn by its sampler, or guessed. May import custom and the public functions of fastloss.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from fastloss._loss import LOSSES, Loss
from fastloss.lab._custom import CustomLoss, custom

from ._guess import Unguessed, explain, guess
from ._subject import ITEMS, ROWS_OF_A_BATCH, Array, Draw, Subject

RESERVED = ("reduction", "sample_weight")


class Foreign:
    """An object with reductions of its own, seen as gradcheck sees a loss: it is the object that is called."""

    def __init__(self, function: Any) -> None:
        self.__signature__ = inspect.signature(function)
        self.__name__ = self.name = _name(function)
        self.function = function
        own = [p for p in self.__signature__.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self.arrays = tuple(getattr(function, "arrays", [p.name for p in own if p.default is p.empty]))
        self.wrt = tuple(getattr(function, "wrt", self.arrays[:1]))
        self.options: Mapping[str, Any] = {}
        self.has_grad = hasattr(function, "value_and_grad") or hasattr(function, "grad")
        self.max_order = 2 if hasattr(function, "hess") else 1
        self._numeric: Any = None

    def __call__(self, *args: Any, **params: Any) -> Any:
        return self.function(*args, **params)

    def value_and_grad(self, *args: Any, **params: Any) -> tuple[Any, Any]:
        """Value and gradient, of the object itself if it has them."""
        if hasattr(self.function, "value_and_grad"):
            pair: tuple[Any, Any] = self.function.value_and_grad(*args, **params)
            return pair
        return self(*args, **params), self.grad(*args, **params)

    def grad(self, *args: Any, **params: Any) -> Any:
        """The gradient; differences of the "none" values, if there is no other."""
        if hasattr(self.function, "grad"):
            return self.function.grad(*args, **params)
        if hasattr(self.function, "value_and_grad"):
            return self.function.value_and_grad(*args, **params)[1]
        own = {name: value for name, value in params.items() if name not in RESERVED}
        return self._differences(own).grad(*args, reduction=params.get("reduction", "sum"))

    def hess(self, *args: Any, **params: Any) -> Any:
        """The object's Hessian."""
        return self.function.hess(*args, **params)

    def _differences(self, own: dict[str, Any]) -> Any:
        if self._numeric is None:

            def each(*args: Any) -> Any:
                return self.function(*args, reduction="none", **own)

            each.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
                [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in self.arrays]
            )
            self._numeric = custom(each, name="differences", wrt=self.wrt, pointwise=self.pointwise)
        return self._numeric

    pointwise = True


def subject_of(
    loss: Any, args: Sequence[Any], params: Mapping[str, Any], *, pointwise: bool | None, sampler: Any, wrt: Any, seed: int
) -> Subject:
    """Everything that the checks need to know."""
    for name in RESERVED:
        if name in params:
            raise TypeError(f"audit: {name}: audit tries all of them itself; leave it out")
    if isinstance(loss, str):
        if loss not in LOSSES:
            close = difflib.get_close_matches(loss, LOSSES, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"audit: loss: expected one of {', '.join(LOSSES)}, a loss or a function, got {loss!r}{hint}")
        loss = LOSSES[loss]
    if isinstance(loss, tuple) and loss and all(map(callable, loss)):
        loss = custom(*loss, wrt=wrt, pointwise=pointwise is not False, name=_name(loss[0]))
    if not callable(loss):
        raise TypeError(f"audit: loss: expected a loss, its name or a function, got {type(loss).__name__}")
    params = dict(params)
    args = (*args, *(params.pop(name) for name in getattr(loss, "arrays", ())[len(args) :] if name in params))
    if isinstance(loss, Loss) and not isinstance(loss, CustomLoss):
        return _of_library(loss, args, params, sampler, seed)
    if not isinstance(loss, CustomLoss) and _has_reductions(loss):
        return _of_foreign(Foreign(loss), args, params, pointwise, sampler, seed)
    return _of_custom(loss, args, params, pointwise, sampler, wrt, seed)


def _has_reductions(function: Any) -> bool:
    try:
        return "reduction" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def _of_library(loss: Loss[Any], args: Sequence[Any], params: dict[str, Any], sampler: Any, seed: int) -> Subject:
    """A loss of the registry."""
    if unable := [name for name in loss.beside if params.get(name) is not None]:
        raise TypeError(f"audit: {unable[0]}: audit looks at whole sequences; leave it out")
    kind = loss.samples.kind
    shared = frozenset(loss.arrays.index(name) for name in loss.shared)
    params = {**loss.samples.options, **params}

    def own(rng: np.random.Generator, size: int) -> Sequence[Array]:
        return loss.sample(rng, "float64", size)[0]

    chosen, origin = _source(loss, kind, args, sampler, own, shared)
    wrt = tuple(k for k, name in enumerate(loss.arrays) if name in loss.wrt and k not in shared)
    return _tried(Subject(
        loss.name, loss, loss.arrays, wrt, shared, kind, params, chosen, origin, loss.range, True, loss.max_order >= 2, None,
        f"import fastloss as fl\nloss = fl.{loss.name}", seed,
    ))  # fmt: skip


def _of_custom(
    loss: Any, args: Sequence[Any], params: dict[str, Any], pointwise: bool | None, sampler: Any, wrt: Any, seed: int
) -> Subject:
    """A function, or a loss that `custom` made of one."""
    function = loss
    if isinstance(loss, CustomLoss):
        candidates, place = [loss], _import_of(loss, _name(loss), "")
    else:
        candidates = [custom(loss, wrt=wrt, pointwise=way, name=_name(loss)) for way in _ways(pointwise)]
        place = ""
    made, draw, origin = _first_that_works(candidates, args, params, sampler)
    if not isinstance(function, CustomLoss):
        rows = "" if made.pointwise else ", pointwise=False"
        rows += "" if wrt is None else f", wrt={wrt!r}"
        place = _import_of(function, _name(function), rows)
    wrt_places = tuple(k for k, name in enumerate(made.arrays) if name in made.wrt)
    kind = "elements" if made.pointwise else "rows"
    return _tried(Subject(
        made.name, made, made.arrays, wrt_places, frozenset(), kind, params, draw, origin, made.range, "grad" not in made.numeric,
        "hess" not in made.numeric, made.functions["value"], place, seed,
    ))  # fmt: skip


def _ways(pointwise: bool | None) -> tuple[bool, ...]:
    return (True, False) if pointwise is None else (bool(pointwise),)


def _first_that_works(
    candidates: Sequence[CustomLoss], args: Sequence[Any], params: dict[str, Any], sampler: Any
) -> tuple[CustomLoss, Draw, str]:
    """One value per element, or one per row: the way that takes the data, and the data."""
    refused: list[Exception] = []
    for made in candidates:
        kind = "elements" if made.pointwise else "rows"
        has_sampler = sampler is not None or made._draw is not None
        try:
            if args or has_sampler:

                def own(rng: np.random.Generator, size: int, made: CustomLoss = made) -> Sequence[Array]:
                    return made.sample(rng, "float64", size)[0]

                draw, origin = _source(made, kind, args, sampler, own)
                made(*draw(np.random.default_rng(0), 4), reduction="none", **params)
            else:
                draw, origin = guess(made.arrays, kind, _asker(made, params))
            return made, draw, origin
        except Exception as error:
            refused.append(error)
    raise _refusal(candidates[0].name, candidates[0].arrays, refused)


def _refusal(name: str, arrays: Sequence[str], refused: Sequence[Exception]) -> Exception:
    """What is wrong with every way of looking at a function."""
    if all(isinstance(error, Unguessed) for error in refused):
        return ValueError(explain(name, arrays, [entry for error in refused for entry in getattr(error, "tried", ())]))
    return refused[0]


def _asker(made: Any, params: Mapping[str, Any]) -> Callable[[Sequence[Array]], Array]:
    """The values that a loss gives for arrays that were guessed."""

    def ask(args: Sequence[Array]) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(made(*args, reduction="none", **params), np.float64)

    return ask


def _of_foreign(
    loss: Foreign, args: Sequence[Any], params: dict[str, Any], pointwise: bool | None, sampler: Any, seed: int
) -> Subject:
    """An object with reductions of its own."""
    refused: list[Exception] = []
    for way in _ways(pointwise if pointwise is not None else getattr(loss.function, "pointwise", None)):
        kind = "elements" if way else "rows"
        try:
            if args or sampler is not None:
                draw, origin = _source(loss, kind, args, sampler, None)
            else:
                draw, origin = guess(loss.arrays, kind, _asker(loss, params))
            few = draw(np.random.default_rng(0), 4)
            x = few[loss.arrays.index(loss.wrt[0])]
            shape = np.shape(loss(*few, reduction="none", **params))
            if shape != (x.shape if way else x.shape[:-1]):
                raise ValueError(f"audit: {loss.name}: expected one value per {'element' if way else 'row'}, got shape {shape}")
        except Exception as error:
            refused.append(error)
            continue
        loss.pointwise = way
        places = tuple(k for k, name in enumerate(loss.arrays) if name in loss.wrt)
        text = str(getattr(loss.function, "range", ""))
        place = _import_of(loss.function, loss.name, None)
        return _tried(Subject(
            loss.name, loss, loss.arrays, places, frozenset(), kind, params, draw, origin, text, loss.has_grad,
            loss.max_order >= 2, None, place, seed,
        ))  # fmt: skip
    raise _refusal(loss.name, loss.arrays, refused)


def _tried(subject: Subject) -> Subject:
    """The subject, if its data have values."""
    try:
        values = subject.values(subject.args)
    except Exception as error:
        if isinstance(error, TypeError) and subject.registered:
            raise
        error.add_note(
            f"audit called {subject.name} with {subject.origin}; pass other arrays: fl.audit(loss, {', '.join(subject.arrays)}), "
            "or sampler= for random ones"
        )
        raise
    if not np.isfinite(values).all():
        i = int(np.argmin(np.isfinite(values)))
        raise ValueError(
            f"audit: {subject.name}: expected finite values, got {values[i]}{_sample(subject, i)} in {subject.origin}; pass "
            f"arrays from inside its domain: fl.audit(loss, {', '.join(subject.arrays)}), or sampler="
        )
    return subject


def _sample(subject: Subject, i: int) -> str:
    """What a sample is, if that is a few numbers."""
    if subject.kind != "elements":
        return ""
    each = (
        f"{name} {a[i]:g}"
        for k, (name, a) in enumerate(zip(subject.arrays, subject.args, strict=True))
        if k not in subject.shared
    )
    return f" for {', '.join(each)}"


# ---- data ----------------------------------------------------------------------------------------


def _source(
    loss: Any, kind: str, args: Sequence[Any], sampler: Any, own: Any, shared: frozenset[int] = frozenset()
) -> tuple[Draw, str]:
    """What draws data: the arrays given, the sampler given, or the loss's own."""
    if args:
        if len(args) != len(loss.arrays):
            raise TypeError(f"audit: {loss.name}: expected {len(loss.arrays)} arrays ({', '.join(loss.arrays)}), got {len(args)}")
        return _resampler(loss, kind, args, shared), "the arrays given"
    if sampler is not None:
        return _drawer(lambda rng, size: sampler(rng, "float64", size), kind), "the sampler given"
    return _drawer(own, kind), f"{ITEMS[kind]} {kind if kind != 'batch' else 'batches'} from its own sampler"


def _wide(a: Any) -> Array:
    """Real numbers as float64; labels as they are."""
    a = np.asarray(a)
    narrow = a.dtype.kind == "f" or (a.dtype.kind == "V" and a.dtype.name == "bfloat16")
    return np.asarray(a, np.float64) if narrow else np.asarray(a)


def _drawer(sampler: Any, kind: str) -> Draw:
    """Items from a sampler of (rng, size); a batch is an item of its own."""

    def draw(rng: np.random.Generator, items: int) -> list[Array]:
        if kind != "batch":
            drawn = sampler(rng, items)
            return [_wide(a) for a in (drawn if isinstance(drawn, (tuple, list)) else (drawn,))]
        batches = [[_wide(a) for a in sampler(rng, ROWS_OF_A_BATCH)] for _ in range(items)]
        return [np.stack(parts) for parts in zip(*batches, strict=True)]

    return draw


def _resampler(loss: Any, kind: str, args: Sequence[Any], shared: frozenset[int]) -> Draw:
    """Random items of given arrays, the first time those arrays as they are."""
    every = kind == "elements" and not shared  # of these, only rows have labels that stay integers
    whole = [
        np.asarray(a, np.float64) if every or name in loss.wrt else _wide(a) for name, a in zip(loss.arrays, args, strict=True)
    ]
    if kind == "elements":
        shape = np.broadcast_shapes(*(a.shape for k, a in enumerate(whole) if k not in shared))
        whole = [a if k in shared else np.broadcast_to(a, shape).ravel() for k, a in enumerate(whole)]
    elif whole[0].ndim == 1:
        whole = [a if k in shared else a[None] for k, a in enumerate(whole)]
    n = len(whole[0])
    if n == 0 or any(len(a) != n for k, a in enumerate(whole) if k not in shared):
        shapes = ", ".join(f"{name} {a.shape}" for name, a in zip(loss.arrays, whole, strict=True))
        raise ValueError(f"audit: {loss.name}: expected arrays with an entry for each of at least one sample, got {shapes}")

    def draw(rng: np.random.Generator, items: int) -> list[Array]:
        if kind == "batch":
            rows = min(n, ROWS_OF_A_BATCH)
            index = np.stack([rng.permutation(n)[:rows] for _ in range(items)])
        else:
            index = np.arange(n) if n == items else rng.choice(n, items, replace=items > n)
        return [a if k in shared else a[index] for k, a in enumerate(whole)]

    return draw


# ---- names ---------------------------------------------------------------------------------------


def _name(function: Any) -> str:
    name = getattr(function, "name", None) or getattr(function, "__name__", None) or type(function).__name__
    name = str(name)
    return name if name.isidentifier() else "loss"


def _import_of(found: Any, name: str, rows: str | None) -> str:
    """Code that makes `loss`; a comment, if it is no variable of a module. `rows`: what `custom` is told, if it is called."""
    module = getattr(found, "__module__", None)
    path = getattr(found, "__qualname__", name)
    is_loss = rows is None or isinstance(found, Loss)
    try:
        importable = module != "__main__" and attrgetter(path)(sys.modules[str(module)]) is found
    except (AttributeError, KeyError):
        importable = False
    if not importable or "." in path:
        return "# loss: what was audited" + ("" if is_loss else f", made a loss by fl.custom(...{rows})")
    if is_loss:
        return f"from {module} import {path} as loss"
    return f"import fastloss as fl\nfrom {module} import {path}\nloss = fl.custom({path}{rows})"

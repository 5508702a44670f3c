"""What is audited, brought into one form: values and gradients per item, and random data of it. May import the Loss
object and NumPy.

Shapes: an item is what has a value of its own: an element, a row, a region's image, or a whole batch if rows are compared with
one another. Every array has items along its first axis, but for the shared ones. `n` counts items.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fastloss._loss import Loss

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Draw = Callable[[np.random.Generator, int], list[Array]]  # (rng, items) -> arrays in float64

ITEMS = {"elements": 64, "rows": 32, "regions": 6, "batch": 3}
ROWS_OF_A_BATCH = 8
REFUSALS = (ValueError, TypeError, ArithmeticError, LookupError)  # what says that an input is outside the domain


def takes_weights(loss: Any) -> bool:
    """Whether a loss has a parameter `sample_weight`."""
    try:
        return "sample_weight" in inspect.signature(loss).parameters
    except (TypeError, ValueError):
        return False


def is_float(a: Array) -> bool:
    """Whether an array holds real numbers, rather than labels."""
    return a.dtype.kind == "f"


@dataclass
class Subject:
    """A loss and data of it."""

    name: str
    loss: Any  # callable as loss(*arrays, reduction=..., **params), with grad and perhaps hess
    arrays: tuple[str, ...]
    wrt: tuple[int, ...]  # places of the differentiable arrays, without shared ones
    shared: frozenset[int]
    kind: str
    params: Mapping[str, Any]
    draw: Draw
    origin: str  # where the data come from
    range: str = ""
    analytic: bool = True  # there is a gradient to check
    curvature: bool = True  # there is a Hessian to check
    raw: Callable[..., Any] | None = None  # the function itself, which may know long doubles
    place: str = ""  # code that makes `loss`
    seed: int = 0
    memory: dict[str, Any] = field(default_factory=dict)  # what several checks look at

    def rng(self, salt: int) -> np.random.Generator:
        """A generator of its own for every check: what one draws does not change the others."""
        return np.random.default_rng((self.seed, salt))

    @functools.cached_property
    def args(self) -> list[Array]:
        """The data that most checks look at."""
        return self.draw(self.rng(0), ITEMS[self.kind])

    @property
    def n(self) -> int:
        """How many items the data have."""
        return self.count(self.args)

    def count(self, args: Sequence[Array]) -> int:
        """The number of items of arrays."""
        return len(args[self.wrt[0]])

    def take(self, args: Sequence[Array], index: Any) -> list[Array]:
        """Some items."""
        return [a if k in self.shared else a[index] for k, a in enumerate(args)]

    def cast(self, args: Sequence[Array], dtype: Any) -> list[Array]:
        """The arrays with real numbers of another type."""
        with np.errstate(over="ignore"):
            return [a.astype(dtype) if is_float(a) else a for a in args]

    # ---- calling ------------------------------------------------------------------------------------------------------

    def call(self, args: Sequence[Array], reduction: str, method: str = "", **more: Any) -> Any:
        """One call as a user makes it, without floating-point warnings."""
        function = getattr(self.loss, method) if method else self.loss
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*args, reduction=reduction, **{**self.params, **more})

    def values(self, args: Sequence[Array]) -> Floats:
        """The value of every item."""
        if self.kind == "batch":
            return np.array([self.call(self.take(args, i), "sum") for i in range(self.count(args))], np.float64)
        each = np.asarray(self.call(args, "none"), np.float64)
        return each if each.ndim == 1 else np.asarray(each.reshape(len(each), -1).sum(axis=1))

    def each(self, args: Sequence[Array]) -> Floats:
        """Single values as "none" has them, in one row: of an item perhaps several."""
        if self.kind == "batch":
            return np.concatenate([np.ravel(self.call(self.take(args, i), "none")) for i in range(self.count(args))])
        return np.asarray(self.call(args, "none"), np.float64).ravel()

    def gradients(self, args: Sequence[Array], method: str = "grad") -> list[Floats]:
        """Each item's gradient (or diagonal Hessian) in the differentiable arrays."""
        if self.kind == "batch":
            single = [self._derivative(self.take(args, i), method) for i in range(self.count(args))]
            return [np.stack(parts) for parts in zip(*single, strict=True)]
        return self._derivative(args, method)

    def _derivative(self, args: Sequence[Array], method: str) -> list[Floats]:
        got = self.call(args, "sum", method)
        parts = got if isinstance(got, (tuple, list)) else (got,)
        return [np.asarray(part, np.float64) for part in parts[: len(self.wrt)]]

    def safe(self, args: Sequence[Array], method: str = "") -> Any:
        """Values (or gradients), where items outside the domain are nan: a refused call is made again in halves."""
        ask = functools.partial(self.gradients, method=method) if method else self.values
        try:
            return ask(args)
        except REFUSALS:
            n = self.count(args)
        if n <= 1:
            return [np.full(args[k].shape, np.nan) for k in self.wrt] if method else np.full(n, np.nan)
        halves = [self.safe(self.take(args, half), method) for half in (slice(None, n // 2), slice(n // 2, None))]
        if method:
            return [np.concatenate(parts) for parts in zip(*halves, strict=True)]
        return np.concatenate(halves)

    # ---- what the arrays mean -----------------------------------------------------------------------------------------

    def partner(self) -> int | None:
        """The place of the array that is the first one's target: of its shape, real, and where the loss is least."""
        x = self.args[self.wrt[0]]
        if self.kind == "batch":
            return None
        for k, a in enumerate(self.args):
            if k == self.wrt[0] or k in self.shared or a.shape != x.shape or not is_float(a):
                continue
            if self._is_least_at(a):
                return k
        return None

    @functools.cached_property
    def paired(self) -> int | None:
        """`partner`, unless the targets are labels."""
        return None if self.labels is not None else self.partner()

    def _is_least_at(self, target: Array) -> bool:
        at = self.safe(self.with_first(self.args, target))
        if np.isnan(at).any():
            return False
        rng = self.rng(1)
        for size in (1e-3, 0.1, 1.0):
            around = self.safe(self.with_first(self.args, target + size * rng.choice([-1.0, 1.0], target.shape)))
            if (around < at - 1e-9 * (1 + np.abs(at))).any():
                return False
        return True

    @functools.cached_property
    def labels(self) -> int | None:
        """The place of an array of labels: integers, or numbers that are mostly 0 and 1, or -1 and 1."""
        for k, a in enumerate(self.args):
            if k in self.wrt or k in self.shared:
                continue
            hard = np.isin(a, (-1, 0, 1)) if is_float(a) else np.ones(a.shape, bool)
            if a.size and hard.mean() > 0.25 and (not is_float(a) or np.unique(a[hard]).size <= 2):
                return k
        return None

    def with_first(self, args: Sequence[Array], x: Array) -> list[Array]:
        """The arrays with another prediction."""
        return [x if k == self.wrt[0] else a for k, a in enumerate(args)]

    def with_all(self, args: Sequence[Array], moved: Sequence[Array]) -> list[Array]:
        """The arrays with other differentiable ones."""
        new = dict(zip(self.wrt, moved, strict=True))
        return [new.get(k, a) for k, a in enumerate(args)]

    def predictions(self, args: Sequence[Array]) -> list[Array]:
        """The differentiable arrays."""
        return [args[k] for k in self.wrt]

    @property
    def registered(self) -> bool:
        """Whether it is a loss of the library, whose float64 values are tested against exact ones."""
        return isinstance(self.loss, Loss) and self.raw is None


def denominator(subject: Subject, args: Sequence[Array], each: Floats) -> float:
    """What a mean divides by: the loss says it, or one for each value."""
    if not hasattr(subject.loss, "terms"):
        return float(each.size)
    with np.errstate(all="ignore"):
        return float(np.asarray(subject.loss.terms(*args, **subject.params)[1]).sum())


class Lines:
    """Values along straight lines, one for each item: prediction + s x direction."""

    def __init__(self, subject: Subject, args: Sequence[Array], directions: Sequence[Array]) -> None:
        self.subject, self.args, self.directions = subject, args, directions
        self.n = subject.count(args)

    def at(self, index: Indices, s: Floats) -> list[Array]:
        """The arrays of the lines `index` at `s`."""
        some = self.subject.take(self.args, index)
        moved = []
        for k, d in zip(self.subject.wrt, self.directions, strict=False):
            moved.append(some[k] + s.reshape(-1, *(1,) * (d.ndim - 1)) * d[index])
        moved += [some[k] for k in self.subject.wrt[len(moved) :]]
        return self.subject.with_all(some, moved)

    def values(self, index: Indices, s: Floats) -> Floats:
        """Values there; nan outside the domain."""
        result: Floats = self.subject.safe(self.at(index, s))
        return result

    def slopes(self, index: Indices, s: Floats) -> Floats:
        """Derivatives along the lines, from the gradient."""
        gradients = self.subject.safe(self.at(index, s), "grad")
        with np.errstate(all="ignore"):
            each = [(g * d[index]).reshape(len(index), -1).sum(axis=1) for g, d in zip(gradients, self.directions, strict=False)]
        return np.asarray(sum(each))

    def steepness(self, index: Indices, s: Floats) -> Floats:
        """The length of the gradient in what moves."""
        gradients = self.subject.safe(self.at(index, s), "grad")[: len(self.directions)]
        with np.errstate(all="ignore"):
            return np.sqrt(sum((g.reshape(len(index), -1) ** 2).sum(axis=1) for g in gradients))  # type: ignore[no-any-return]

    def grid(self, s: Floats, what: str = "values") -> Floats:
        """All lines at all of `s`, (m,), or each at its own, (n, m)."""
        s = np.broadcast_to(s, (self.n, s.shape[-1]))
        index = np.repeat(np.arange(self.n), s.shape[1])
        result: Floats = getattr(self, what)(index, s.ravel()).reshape(s.shape)
        return result


def along_first(subject: Subject, args: Sequence[Array], origin: Array) -> Lines:
    """Lines on which the prediction itself moves, from `origin`."""
    return Lines(subject, subject.with_first(args, origin), [np.ones_like(origin)])


def segments(subject: Subject, salt: int, items: int, stretch: float = 1.0) -> Lines:
    """Lines from an item's prediction (s = 0) to another item's (s = 1): inside every convex domain."""
    starts, ends = subject.draw(subject.rng(salt), items), subject.draw(subject.rng(salt + 1), items)
    x = [stretch * a for a in subject.predictions(starts)]
    d = [stretch * a - b for a, b in zip(subject.predictions(ends), x, strict=True)]
    return Lines(subject, subject.with_all(starts, x), d)


def strays(subject: Subject, salt: int, items: int) -> Lines | None:
    """Lines from predictions (s = 0.5) in random directions, to three times as far as these lie apart; None if the domain ends
    on them."""
    args = subject.draw(subject.rng(salt), items)
    rng = subject.rng(salt + 1)
    x = subject.predictions(args)
    ways = [3.0 * float(a.std() or 1.0) * rng.normal(size=a.shape) for a in x]
    starts = [a - way for a, way in zip(x, ways, strict=True)]
    lines = Lines(subject, subject.with_all(args, starts), [2 * way for way in ways])
    return None if np.isnan(lines.grid(np.array([0.0, 0.5, 1.0]))).any() else lines


def spread(subject: Subject, count: int) -> list[Array]:
    """A few items with targets as different as there are: for labels some of each that are hard."""
    args, k = subject.args, subject.labels
    if k is not None and args[k].ndim == 1:
        targets = args[k]
        hard = np.flatnonzero(np.isin(targets, (-1, 0, 1))) if is_float(targets) else np.arange(len(targets))
        order = hard[np.argsort(targets[hard], kind="stable")]
    else:
        order = np.arange(subject.n)
    return subject.take(args, order[np.linspace(0, len(order) - 1, min(count, len(order))).astype(int)])

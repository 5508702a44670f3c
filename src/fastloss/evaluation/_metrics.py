"""What to evaluate: names and options become the distinct computations that one pass makes.

May import the public functions of fastloss and NumPy.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastloss._loss import LOSSES, Loss
from fastloss.classification import perplexity

Array = NDArray[Any]
Losses = str | Loss[Any] | Iterable[Any]  # iterables of names and losses


@dataclass(frozen=True)
class Term:
    """One loss with its options: computed once, however many metrics are made of it."""

    loss: Loss[Any]
    options: Mapping[str, Any]  # those given
    description: Mapping[str, Any]  # all of them, as JSON can hold and compare them

    def compute(self, arrays: Mapping[str, Array], sample_weight: Array | None) -> tuple[Array, Array, int | None]:
        """The weighted loss of every sample, its weight in the mean, and how many classes (or dimensions) a sample has."""
        known = {**arrays, **self.options}  # a shared array is given as an option
        inputs = (known[name] for name in self.loss.arrays)
        options = {name: value for name, value in self.options.items() if name not in self.loss.shared}
        options |= {name: arrays[name] for name in self.loss.beside if name in arrays}
        return *self.loss.terms(*inputs, **options, sample_weight=sample_weight), self._width(arrays[self.loss.arrays[0]])

    def _width(self, first: Array) -> int | None:
        axis = class_axis(self) if self.loss.family != "sequence" else -1
        return None if axis is None or np.ndim(first) == 0 else int(np.shape(first)[axis])


@dataclass(frozen=True)
class Metric:
    """One number to report: the mean of a term, or a function of that mean."""

    name: str
    term: int
    function: str | None = None

    def finish(self, mean: float) -> float:
        """The number to report for a mean."""
        return mean if self.function is None else FUNCTIONS[self.function](mean)


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


FUNCTIONS: Mapping[str, Callable[[float], float]] = {"exp": _exp}


class Derived(NamedTuple):
    """A metric that is no loss: a function of the mean of one."""

    base: str
    function: str  # of FUNCTIONS
    public: Callable[..., Any]  # what a user calls


DERIVED: Mapping[str, Derived] = {"perplexity": Derived("cross_entropy", "exp", perplexity)}


@dataclass(frozen=True)
class Metrics:
    """The metrics asked for, and the terms they need."""

    metrics: tuple[Metric, ...]
    terms: tuple[Term, ...]

    @property
    def arrays(self) -> tuple[str, ...]:
        """What the terms read, in the order of their signatures; some may do without what lies beside the others."""
        return tuple(dict.fromkeys(name for term in self.terms for name in (*term.loss.per_sample, *term.loss.beside)))

    @property
    def labels(self) -> list[str]:
        """A name for each term's samples: its loss, and if that is not enough, the metric too."""
        losses = [term.loss.name for term in self.terms]
        first = {metric.term: metric.name for metric in reversed(self.metrics)}
        return [loss if losses.count(loss) == 1 or first[i] == loss else f"{loss} of {first[i]}" for i, loss in enumerate(losses)]

    @classmethod
    def of(cls, losses: Losses, options: Mapping[str, Any]) -> Metrics:
        """Each option goes to the losses that have it; one that none has is an error."""
        arrays, beside, known = needs(losses)
        chosen = [resolve(item) for item in as_list(losses)]
        if unknown := sorted(set(options) - known):
            names = ", ".join(name for name, _, _, _ in chosen)
            all_names = ", ".join([*arrays, *beside, *sorted(known)])
            close = difflib.get_close_matches(unknown[0], [*arrays, *beside, *known], 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"evaluate: expected arrays and options of {names} ({all_names}), got {unknown[0]!r}{hint}")
        metrics: list[Metric] = []
        terms: list[Term] = []
        for name, loss, has, function in chosen:
            given = {option: value for option, value in options.items() if option in has}
            if missing := [shared for shared in loss.shared if shared not in given]:
                raise TypeError(f"{loss.name}: {missing[0]}: expected an array, got none")
            full = {option: value for option, value in {**loss.options, **given}.items() if option not in loss.beside}
            described = {option: describe(value) for option, value in sorted(full.items())}
            _refuse_pooling(loss, described)
            term = Term(loss, given, described)
            keys = [(t.loss, t.description) for t in terms]  # a custom loss may share its name with another
            if (loss, described) not in keys:
                terms.append(term)
                keys.append((loss, described))
            metrics.append(Metric(name, keys.index((loss, described)), function))
        return cls(tuple(metrics), tuple(terms))

    def describe(self) -> dict[str, Any]:
        """What two states must share to be merged, as JSON."""
        return {m.name: dict(self.terms[m.term].description) for m in self.metrics}

    def axes(self, ndims: Mapping[str, int]) -> dict[str, int | None]:
        """Along which axis each array is cut: the one that leads the shape of reduction="none".

        None for all where that shape is (): a single row of classes is not cut.
        """
        axes: dict[str, int | None] = {}
        for term in self.terms:
            for name, axis in axes_of(term, ndims).items():
                if axes.setdefault(name, axis) != axis:
                    raise ValueError(
                        f"evaluate: {name}: expected all losses to take samples along one axis, "
                        f"got axes {axes[name]} and {axis}; evaluate them one by one"
                    )
        return axes


def _refuse_pooling(loss: Loss[Any], described: Mapping[str, Any]) -> None:
    """Items that are pooled have no values of their own: what they add up to would depend on the chunks."""
    for option, own in (("batch", False), ("per_image", True)):
        if loss.regions and described.get(option, own) is not own:
            raise ValueError(f"{loss.name}: {option}: expected {own} to evaluate items, got {described[option]!r}")


def class_axis(term: Term) -> int | None:
    """The axis along which one sample lies; None if samples are single elements."""
    axis: int | None = term.description.get("axis", term.loss.samples.axis)
    return axis


def axes_of(term: Term, ndims: Mapping[str, int]) -> dict[str, int | None]:
    """Along which axis each array of one term is cut."""
    names, axis = term.loss.per_sample, class_axis(term)
    ndim = ndims[names[0]]
    if axis is not None and ndim == 1:
        return dict.fromkeys(names)
    classes_first = axis in (0, -ndim)
    axes: dict[str, int | None] = {name: int(classes_first and ndims[name] == ndim) for name in names}
    if term.loss.beside:
        for name in names[1:]:
            if ndims[name] == 1:
                raise ValueError(
                    f"evaluate: {name}: expected one row per sample, got one dimension, whose samples cannot be told"
                )
        axes |= dict.fromkeys(term.loss.beside, 0)
    if term.description.get("time_major"):
        axes[names[0]] = 1
    return axes


def as_list(losses: Losses) -> Sequence[Any]:
    """One loss or several, as a list."""
    if isinstance(losses, (str, Loss)) or not isinstance(losses, Iterable):
        return [losses]
    return list(losses)


class Needs(NamedTuple):
    """Names: the arrays that some losses read, those that may lie beside them, and their options."""

    arrays: tuple[str, ...]
    beside: tuple[str, ...]
    options: frozenset[str]


def needs(losses: Losses) -> Needs:
    """What some losses read and take."""
    chosen = [resolve(item) for item in as_list(losses)]
    if not chosen:
        raise ValueError("evaluate: losses: expected at least one loss, got none")
    names = [name for name, _, _, _ in chosen]
    for name, loss, _, _ in chosen:
        if loss.batchwise:  # chunks of the data would be batches of their own
            raise ValueError(
                f"evaluate: losses: expected losses whose samples stand alone, got {name!r}, which compares all samples of a "
                f"batch: call fastloss.{name} with the whole batch"
            )
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"evaluate: losses: expected each loss once, got {name!r} twice")
    arrays = dict.fromkeys(name for _, loss, _, _ in chosen for name in loss.per_sample)
    beside = dict.fromkeys(name for _, loss, _, _ in chosen for name in loss.beside)
    options = {option: name for name, _, has, _ in chosen for option in has}
    for name, loss, _, _ in chosen:
        if both := sorted(options.keys() & set(loss.per_sample)):
            raise ValueError(
                f"evaluate: losses: expected names that mean one thing, got {both[0]!r}: "
                f"an array of {name} and an option of {options[both[0]]}"
            )
    return Needs(tuple(arrays), tuple(beside), frozenset(options))


def _options(loss: Loss[Any]) -> frozenset[str]:
    """What is the same for all samples."""
    return frozenset((*loss.options, *loss.shared)) - set(loss.beside)


def resolve(item: Any) -> tuple[str, Loss[Any], frozenset[str], str | None]:
    """(name, loss, the options it takes, the function of the mean) of a loss or of the name of one."""
    if isinstance(item, Loss):
        return item.name, item, _options(item), None
    name = item if isinstance(item, str) else getattr(item, "__name__", repr(item))
    if not isinstance(item, str) and all(item is not derived.public for derived in DERIVED.values()):
        raise ValueError(
            f"evaluate: losses: expected names and losses of fastloss, got {item!r} (fastloss.custom makes a loss of a function)"
        )
    if name in LOSSES:
        return name, LOSSES[name], _options(LOSSES[name]), None
    if name in DERIVED:
        base, function, public = DERIVED[name]
        keywords = inspect.signature(public).parameters
        return name, LOSSES[base], frozenset(LOSSES[base].options) & set(keywords), function
    names = [*LOSSES, *DERIVED]
    close = difflib.get_close_matches(str(name), names, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"evaluate: losses: expected one of {', '.join(names)}, got {name!r}{hint}")


def describe(value: Any) -> Any:
    """An option's value as JSON, such that equal values and no others are equal."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    array = np.ascontiguousarray(value)
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "sha256": digest}

"""Evaluation: the state behind `evaluate`, fed chunk by chunk, merged in any order.

Rows are cut along the leading axis of reduction="none". May import all of this package but `_run`.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._exact import Exact, ExactSums, ratio, to_float, total
from ._metrics import Losses, Metric, Metrics
from ._reader import Reader, open_array
from ._result import EvaluationResult, Hard, Index, Key, LossResult, Summary

Array = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Terms = list[tuple[Array, Array, int | None]]
Axes = Mapping[str, int | None]
FORMAT = 1  # of state_dict


class Evaluation:
    """Losses over data that comes in pieces: update, merge, result.

    The sums are exact, so the result has the same bits whatever the pieces, and in whatever order
    they are merged.

    Parameters
    ----------
    losses : str, Loss, or a sequence of them
        What to compute; `"perplexity"` is accepted too.
    worst : int
        How many of the hardest samples to keep.
    **options
        The losses' own options; each goes to the losses that have it.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> first, second = fl.Evaluation("mse"), fl.Evaluation("mse")
    >>> first.update(prediction=np.array([1.0, 2.0]), target=np.array([1.0, 4.0]))
    >>> second.update(prediction=np.array([3.0]), target=np.array([5.0]), start=2)
    >>> first.merge(second)
    >>> first.result()["mse"].sum
    8.0
    """

    def __init__(self, losses: Losses, *, worst: int = 0, **options: Any) -> None:
        if worst < 0:
            raise ValueError(f"evaluate: worst: expected an integer >= 0, got {worst}")
        self.rows = 0
        self._metrics = Metrics.of(losses, options)
        self._worst = worst
        self._groups: dict[Key, int] | None = None  # each key's place in the sums
        self._tallies = [Tally(worst) for _ in self._metrics.terms]

    def update(
        self,
        *,
        sample_weight: ArrayLike | None = None,
        group: ArrayLike | None = None,
        start: int | None = None,
        **arrays: ArrayLike,
    ) -> None:
        """Add samples: `update(logits=..., target=...)`.

        `start` is the index of the first of them (by default they follow those already seen): the
        worst samples are reported with it. A failed update changes nothing.
        """
        require(self._metrics, arrays)
        extra = {"sample_weight": sample_weight, "group": group}
        given = arrays | {name: value for name, value in extra.items() if value is not None}
        sources = [open_array(name, value) for name, value in given.items()]
        axes = self._metrics.axes({source.name: source.ndim for source in sources})
        reader = Reader(source.along(axes.get(source.name, 0)) for source in sources)
        chunk = next(reader.chunks(max(reader.rows or 0, 1)))
        at = self.rows if start is None else start
        terms = self.compute(chunk.arrays, at, axes)
        self.absorb(terms, chunk.arrays.get("group"), at, chunk.stop - chunk.start)

    @property
    def tail(self) -> tuple[int, ...] | None:
        """The shape of one row of reduction="none"; None before the first."""
        return self._tallies[0].tail

    def compute(self, arrays: Mapping[str, Array], start: int, axes: Axes) -> Terms:
        """Every term of some rows; the state is left alone."""
        try:
            weight = arrays.get("sample_weight")
            return [term.compute(arrays, weight) for term in self._metrics.terms]
        except (ValueError, IndexError) as error:
            message = _at_row(str(error), start, axes)
            if message == str(error):
                raise
            raise type(error)(message) from None

    def absorb(self, terms: Terms, group: Array | None, start: int, rows: int) -> None:
        """Add what `compute` made of rows [start, start + rows)."""
        if group is not None:
            _check_group(group, terms)
        if self.rows and (group is None) != (self._groups is None):
            raise ValueError("evaluate: group: expected it in every update or in none")
        for tally, (values, _, width) in zip(self._tallies, terms, strict=True):
            tally.check_row(values.shape[1:], width)
        index = None if group is None else self._place(group)
        for tally, (values, weights, width) in zip(self._tallies, terms, strict=True):
            tally.grow(len(self._groups or {}))
            tally.add(values, weights, index, start)
            tally.width = width
        self.rows += rows

    def _place(self, group: Array) -> NDArray[np.intp]:
        """Where the samples' groups are in the sums; new groups get a place."""
        keys, inverse = _unique(group)
        places = self._groups = {} if self._groups is None else self._groups
        table = [places.setdefault(key, len(places)) for key in keys]
        return np.array(table, np.intp)[inverse].reshape(group.shape)

    def fresh(self) -> Evaluation:
        """An empty state of the same losses and options."""
        state = copy.copy(self)
        state.rows, state._groups = 0, None
        state._tallies = [Tally(self._worst) for _ in self._tallies]
        return state

    def merge(self, other: Evaluation) -> None:
        """Add all that `other` has seen; losses, options and `worst` must be equal."""
        if (self._metrics.describe(), self._worst) != (other._metrics.describe(), other._worst):
            raise ValueError("evaluate: expected a state of the same losses and options to merge")
        if self.rows and other.rows and (self._groups is None) != (other._groups is None):
            raise ValueError("evaluate: group: expected groups in both states or in none")
        for mine, theirs in zip(self._tallies, other._tallies, strict=True):
            mine.check_row(theirs.tail, theirs.width)
        index = None
        if other._groups is not None:
            places = self._groups = {} if self._groups is None else self._groups
            table = [places.setdefault(key, len(places)) for key in other._groups]
            index = np.array(table or [0], np.intp)
        for mine, theirs in zip(self._tallies, other._tallies, strict=True):
            mine.grow(len(self._groups or {}))
            mine.merge(theirs, index)
        self.rows += other.rows

    def result(self) -> EvaluationResult:
        """The numbers so far."""
        losses = {metric.name: self._report(metric) for metric in self._metrics.metrics}
        return EvaluationResult(self.rows, losses)

    def _report(self, metric: Metric) -> LossResult:
        tally = self._tallies[metric.term]
        sums = tally.numerator.exact(), tally.denominator.exact()
        parts = list(zip(*sums, tally.counts.tolist(), tally.nans.tolist(), strict=True))
        places = sorted((self._groups or {}).items(), key=lambda item: (str(type(item[0])), item[0]))
        groups = {key: Summary(**_summary(metric, [parts[at]])) for key, at in places}
        worst = tally.worst.report(tally.tail)
        by = self._metrics.labels[metric.term] if self._worst else ""
        return LossResult(**_summary(metric, parts), name=metric.name, groups=groups, worst=worst, worst_by=by)

    def state_dict(self) -> dict[str, Any]:
        """The state as JSON can hold it, exactly."""
        return {
            "format": FORMAT,
            "losses": self._metrics.describe(),
            "worst": self._worst,
            "rows": self.rows,
            "groups": None if self._groups is None else list(self._groups),
            "terms": [tally.state() for tally in self._tallies],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replace the state by one that `state_dict` made; losses and options must be equal."""
        mine = {"format": FORMAT, "losses": self._metrics.describe(), "worst": self._worst}
        for name, expected in mine.items():
            if (got := state.get(name)) != expected:
                raise ValueError(f"evaluate: state: expected {name} {expected!r}, got {got!r}")
        try:
            tallies = [Tally.from_state(self._worst, term) for term in state["terms"]]
            keys, rows = state["groups"], int(state["rows"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"evaluate: state: expected what state_dict made, got {error}") from error
        self._tallies, self.rows = tallies, rows
        self._groups = None if keys is None else {key: i for i, key in enumerate(keys)}


class Tally:
    """The running numbers of one term: a sum per group, or a single one."""

    def __init__(self, worst: int) -> None:
        self.numerator, self.denominator = ExactSums(), ExactSums()
        self.counts, self.nans = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self.worst = Worst(worst)
        self.tail: tuple[int, ...] | None = None  # the shape of one row
        self.width: int | None = None  # how many classes or dimensions a sample has

    def grow(self, size: int) -> None:
        """Have a place for `size` groups."""
        self.numerator.grow(size)
        self.denominator.grow(size)
        if (more := size - self.counts.size) > 0:
            self.counts, self.nans = np.pad(self.counts, (0, more)), np.pad(self.nans, (0, more))

    def add(self, values: Array, weights: Array, group: NDArray[np.intp] | None, start: int) -> None:
        """Add every sample of rows that begin at `start`; `group` broadcasts from the left."""
        self.tail = values.shape[1:]
        size, first = self.counts.size, start * math.prod(values.shape[1:])
        index = None if group is None else _spread(group, values.shape).ravel()
        weight, live = _uniform(weights), None
        flat = np.require(values, np.float64, ["C_CONTIGUOUS", "ALIGNED"]).ravel()
        ordinary = self.numerator.add(flat, index)
        if weight is not None:
            counts = _count(index, flat.size, size)
            self.denominator.add_repeated(weight, counts)
        else:
            flat_weights = np.require(weights, np.float64, ["C_CONTIGUOUS", "ALIGNED"]).ravel()
            self.denominator.add(flat_weights, index)
            live = flat_weights != 0.0
            counts = _count(None if index is None else index[live], int(np.count_nonzero(live)), size)
        self.counts += counts
        if not ordinary:
            self._count_nans(flat, index)
        self.worst.add(flat, first, live)

    def _count_nans(self, flat: Floats, index: NDArray[np.intp] | None) -> None:
        nan = np.flatnonzero(np.isnan(flat))
        if nan.size:
            at = None if index is None else index[nan]
            self.nans += _count(at, nan.size, self.counts.size)

    def check_row(self, tail: tuple[int, ...] | None, width: int | None) -> None:
        """All rows must have one shape, and as many classes."""
        if None not in (tail, self.tail) and tail != self.tail:
            raise ValueError(f"evaluate: expected chunks of rows shaped {self.tail}, got {tail}")
        if None not in (width, self.width) and width != self.width:
            raise ValueError(f"evaluate: expected chunks of rows of {self.width} numbers, as the first, got {width}")

    def merge(self, other: Tally, index: NDArray[np.intp] | None) -> None:
        """Add the numbers of `other`, whose group i is at index[i] here."""
        self.tail = other.tail if self.tail is None else self.tail
        self.width = other.width if self.width is None else self.width
        where = np.zeros(1, np.intp) if index is None else index
        self.numerator.merge(other.numerator, where)
        self.denominator.merge(other.denominator, where)
        self.counts[where] += other.counts
        self.nans[where] += other.nans
        self.worst.merge(other.worst)

    def state(self) -> dict[str, Any]:
        """As JSON can hold it, exactly."""
        return {
            "numerator": self.numerator.state(),
            "denominator": self.denominator.state(),
            "count": self.counts.tolist(),
            "nan_count": self.nans.tolist(),
            "worst_index": self.worst.index.tolist(),
            "worst_value": [value.hex() for value in self.worst.value.tolist()],
            "tail": None if self.tail is None else list(self.tail),
            "width": self.width,
        }

    @classmethod
    def from_state(cls, worst: int, state: Mapping[str, Any]) -> Tally:
        """The tally whose `state` this is."""
        tally = cls(worst)
        tally.numerator = ExactSums.from_state(state["numerator"])
        tally.denominator = ExactSums.from_state(state["denominator"])
        tally.counts = np.array(state["count"], np.int64)
        tally.nans = np.array(state["nan_count"], np.int64)
        tally.worst.index = np.array(state["worst_index"], np.int64)
        tally.worst.value = np.array([float.fromhex(v) for v in state["worst_value"]], np.float64)
        tally.tail = None if state["tail"] is None else tuple(state["tail"])
        tally.width = state.get("width")
        return tally


class Worst:
    """The `size` hardest samples, hardest first: nan before all, then by loss, then by index."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.index: Ints = np.empty(0, np.int64)
        self.value: Floats = np.empty(0)

    def add(self, values: Floats, first: int, live: NDArray[np.bool_] | None) -> None:
        """Consider values[i], of sample first + i, where `live` (all without it)."""
        if not self.size:
            return
        if self.index.size == self.size and not math.isnan(self.value[-1]):
            hard = ~(values < self.value[-1])  # ties and nans pass
            live = hard if live is None else hard & live
        at = np.arange(values.size) if live is None else np.flatnonzero(live)
        at = at[_hardest(values[at], self.size)]
        self._keep(np.append(self.value, values[at]), np.append(self.index, first + at))

    def merge(self, other: Worst) -> None:
        """Consider the hardest samples of `other`."""
        self._keep(np.append(self.value, other.value), np.append(self.index, other.index))

    def _keep(self, values: Floats, index: Ints) -> None:
        order = np.lexsort((index, -values, ~np.isnan(values)))[: self.size]
        self.value, self.index = values[order], index[order]

    def report(self, tail: tuple[int, ...] | None) -> list[Hard]:
        """With an index into the array of reduction="none"."""
        pairs = zip(self.index.tolist(), self.value.tolist(), strict=True)
        return [Hard(_unravel(i, tail or ()), value) for i, value in pairs]


def require(metrics: Metrics, given: Iterable[str]) -> None:
    """All the arrays that the losses read, and no others."""
    given = set(given)
    for term in metrics.terms:
        for name in term.loss.per_sample:
            if name not in given:
                raise TypeError(f"{term.loss.name}: {name}: expected an array, got none")
    if extra := sorted(given - set(metrics.arrays)):
        names = ", ".join(metric.name for metric in metrics.metrics)
        raise TypeError(f"evaluate: expected arrays and options of {names}, got {extra[0]!r}")


def _summary(metric: Metric, parts: Sequence[tuple[Exact, Exact, int, int]]) -> dict[str, Any]:
    numerator, denominator = total([p[0] for p in parts]), total([p[1] for p in parts])
    return {
        "mean": metric.finish(ratio(numerator, denominator)),
        "sum": to_float(numerator),
        "weight": to_float(denominator),
        "count": sum(p[2] for p in parts),
        "nan_count": sum(p[3] for p in parts),
    }


def _uniform(weights: Array) -> float | None:
    """The one weight that all samples have, if they do and it is not 0."""
    if not weights.size or (first := weights.flat[0]) == 0.0:
        return None
    return float(first) if not any(weights.strides) or weights.min() == weights.max() else None


def _count(index: NDArray[np.intp] | None, n: int, size: int) -> Ints:
    if index is None:
        return np.array([n], np.int64)
    return np.bincount(index, minlength=size).astype(np.int64)


def _spread(group: Array, shape: tuple[int, ...]) -> Array:
    """`group` broadcast from the left."""
    return np.broadcast_to(group.reshape(group.shape + (1,) * (len(shape) - group.ndim)), shape)


def _check_group(group: Array, terms: Terms) -> None:
    for values, *_ in terms:
        if np.ndim(group) == 0 or group.shape != values.shape[: group.ndim]:
            raise ValueError(
                f"evaluate: group: expected one label per sample, {values.shape} or its leading axes, got {np.shape(group)}"
            )


def _unique(group: Array) -> tuple[list[Key], NDArray[np.intp]]:
    """The distinct labels, and which of them each sample has."""
    if group.dtype.kind == "O" and all(isinstance(label, str) for label in group.flat):
        group = group.astype(str)
    if group.dtype.kind not in "biuUS":
        raise TypeError(f"evaluate: group: expected integers or strings, got {group.dtype}")
    flat = group.ravel()
    if group.dtype.kind == "b":
        flat = flat.view(np.uint8)
    if flat.size and flat.dtype.kind in "iu":
        low = int(flat.min())
        if int(flat.max()) - low < 4 * flat.size + 1024:  # a table beats sorting
            wide = flat.astype(np.int64) if flat.dtype.kind == "i" else flat  # -128..127 overflows
            offsets = (wide - wide.dtype.type(low)).astype(np.intp)
            present = np.flatnonzero(np.bincount(offsets))
            table = np.zeros(present[-1] + 1, np.intp)
            table[present] = np.arange(present.size)
            return [low + int(key) for key in present], table[offsets]
    keys, inverse = np.unique(flat, return_inverse=True)
    if keys.dtype.kind == "S":
        return [key.decode("utf-8", "replace") for key in keys.tolist()], inverse
    return keys.tolist(), inverse


def _hardest(values: Floats, k: int) -> NDArray[np.intp]:
    """Where the k hardest values are, in no order; of equal ones the first."""
    if values.size <= k:
        return np.arange(values.size)
    least = np.partition(values, values.size - k)[values.size - k]  # nan sorts above all
    if math.isnan(least):
        return np.flatnonzero(np.isnan(values))[:k]
    above = np.flatnonzero((values > least) | np.isnan(values))
    ties = np.flatnonzero(values == least)[: k - above.size]
    return np.concatenate([above, ties])


def _unravel(flat: int, tail: tuple[int, ...]) -> Index:
    index: list[int] = []
    for n in reversed(tail):
        flat, last = divmod(flat, n)
        index.insert(0, last)
    return (flat, *index) if index else flat


_AT_INDEX = re.compile(r"^\w+: (?P<name>\w+): .* at index \((?P<index>[\d, ]+)\)", re.DOTALL)


def _at_row(message: str, start: int, axes: Axes) -> str:
    """The message with its index counted from the first row of all rather than of the chunk."""
    match = _AT_INDEX.match(message)
    if start == 0 or match is None or match["name"] not in {*axes, "sample_weight"}:
        return message
    index = [int(i) for i in match["index"].split(",") if i.strip()]
    axis = axes.get(match["name"], 0)
    if axis is None or axis >= len(index):
        return message
    index[axis] += start
    return message[: match.start("index") - 1] + str(tuple(index)) + message[match.end("index") + 1 :]

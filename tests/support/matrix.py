"""Axes of the test matrix. The full tier runs every combination of their values; the quick tier as few tests as show
every pair of values. Imports nothing of the library, so that `conftest.py` can use it first.

A test names its axes with decorators (`every_variant`, `every_dtype`: see cases.py), or with `every` for one of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import pytest


class Axis(NamedTuple):
    """A parameter of a test ("a,b": several that go together), its values, and how these are called in the test's name."""

    name: str
    values: tuple[Any, ...]
    labels: tuple[str, ...]
    quick: tuple[int, ...]  # the positions of the values that the quick tier keeps


def every(
    name: str,
    values: Iterable[Any],
    label: Callable[[Any], str] = lambda value: getattr(value, "__name__", str(value)),
    quick: Callable[[Any], bool] = lambda value: True,
) -> pytest.MarkDecorator:
    """An axis of a test. `quick` says which values the quick tier keeps; those of a costly test should be few."""
    values = tuple(values)
    kept = tuple(i for i, value in enumerate(values) if quick(value))
    return pytest.mark.axis(Axis(name, values, tuple(map(label, values)), kept))


def combinations(axes: Sequence[Axis], full: bool) -> list[tuple[int, ...]]:
    """The positions of the values of each test: all combinations, or a covering array of strength two."""
    if full:
        return list(itertools.product(*(range(len(a.values)) for a in axes)))
    rows = covering_array([len(a.quick) for a in axes])
    return sorted(tuple(a.quick[i] for a, i in zip(axes, row, strict=True)) for row in rows)


def covering_array(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """Rows of len(sizes) columns in which each two columns show every pair of their values.

    Lei and Tai's in-parameter-order strategy (IPO, 1998): the two longest columns in full, then one more column after the
    other. A row takes the value that shows most pairs not seen before; pairs that are left over get rows of their own.
    """
    order = sorted(range(len(sizes)), key=lambda k: -sizes[k])
    rows = [list(row) for row in itertools.product(*(range(sizes[k]) for k in order[:2]))]
    for column in range(2, len(order)):
        size = sizes[order[column]]
        missing = [{(a, b) for a in range(sizes[order[k]]) for b in range(size)} for k in range(column)]
        for i, row in enumerate(rows):  # of equally good values, each row takes the one after the last row's
            gains = [sum((row[k], v) in missing[k] for k in range(column)) for v in range(size)]
            row.append(max(range(size), key=lambda v: (gains[v], -((v - i) % size))))
            for k in range(column):
                missing[k].discard((row[k], row[-1]))
        for k in range(column):
            for a, b in sorted(missing[k]):
                row = [a if j == k else (a + b + j) % sizes[order[j]] for j in range(column)] + [b]
                rows.append(row)
                for j in range(column):
                    missing[j].discard((row[j], b))
    back = sorted(range(len(order)), key=lambda k: order[k])
    return [tuple(row[k] for k in back) for row in rows]


def parametrize(metafunc: pytest.Metafunc, extra: Sequence[Axis], full: bool) -> None:
    """Give a test its combinations: those of its axes and of `extra`, whose values reach it through fixtures."""
    axes = [*extra, *(mark.args[0] for mark in metafunc.definition.iter_markers("axis"))]
    if not axes:
        return
    rows = combinations(axes, full)
    metafunc.parametrize(
        [name for a in axes for name in a.name.split(",")],
        [[v for a, i in zip(axes, row, strict=True) for v in (a.values[i] if "," in a.name else [a.values[i]])] for row in rows],
        ids=["-".join(a.labels[i] for a, i in zip(axes, row, strict=True)) for row in rows],
        indirect=[a.name for a in extra],
    )

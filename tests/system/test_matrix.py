"""Promise: the quick tier shows every pair of values of a test's axes, and the full tier every combination."""

from __future__ import annotations

import itertools

import pytest
from cases import VARIANTS
from matrix import Axis, combinations, covering_array, every

SIZES = [(), (1,), (5,), (2, 2), (3, 2, 2), (1, 1, 4), (2, 3, 5, 2, 3), (7, 303, 2, 3), (3, 3, 3, 3)]


def axes(*sizes: int) -> list[Axis]:
    return [every(f"axis{k}", range(size)).args[0] for k, size in enumerate(sizes)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_every_pair_is_shown(sizes: tuple[int, ...]) -> None:
    rows = covering_array(sizes)
    assert all(len(row) == len(sizes) and all(0 <= v < n for v, n in zip(row, sizes, strict=True)) for row in rows)
    for a, b in itertools.combinations(range(len(sizes)), 2):
        assert {(row[a], row[b]) for row in rows} == set(itertools.product(range(sizes[a]), range(sizes[b])))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_no_more_rows_than_needed(sizes: tuple[int, ...]) -> None:
    """The two longest axes need as many as there are pairs of their values; a few more for all others."""
    rows = covering_array(sizes)
    least = 1
    for size in sorted(sizes)[-2:]:
        least *= size
    assert least <= len(set(rows)) == len(rows) <= 1.5 * least


def test_the_full_tier_is_the_product() -> None:
    assert combinations(axes(2, 3, 4), full=True) == list(itertools.product(range(2), range(3), range(4)))


def test_the_quick_tier_keeps_what_an_axis_says() -> None:
    first, second = every("a", [10, 20, 30], quick=lambda v: v != 20).args[0], every("b", "xy").args[0]
    assert combinations([first, second], full=False) == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert len(combinations([first, second], full=True)) == 6


def test_all_variants_are_there() -> None:
    """Names are those of pytest's parameters: two variants of one name would be one test."""
    assert len({str(v) for v in VARIANTS}) == len(VARIANTS)

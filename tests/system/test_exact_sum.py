"""Sums do not round: math.fsum is the oracle, fractions are its oracle where it overflows."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from matrix import every

from fastloss.evaluation import _exact
from fastloss.evaluation._exact import UNIT, ExactSums, ratio, to_float, total

EXTREME = [0.0, -0.0, 5e-324, -5e-324, 2.3e-308, 1e-300, 0.1, 1.0, 1e16, 1e300, -1e300]
LARGEST = 1.7976931348623157e308
finite = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([*EXTREME, LARGEST])
values = st.lists(finite, max_size=60)
anything = st.lists(finite | st.sampled_from([math.inf, -math.inf, math.nan]), max_size=30)


def summed(*parts) -> ExactSums:
    sums = ExactSums()
    for part in parts:
        sums.add(np.array(part, np.float64))
    return sums


def exactly(terms) -> Fraction:
    return sum(map(Fraction, terms), Fraction(0))


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


@given(values)
def test_a_sum_is_the_exact_sum(terms):
    (whole,) = summed(terms).exact()
    assert whole * Fraction(2) ** UNIT == exactly(terms)


@given(st.lists(finite.filter(lambda x: abs(x) < 1e305), max_size=60))
def test_a_sum_rounds_as_fsum(terms):
    (whole,) = summed(terms).exact()
    assert to_float(whole) == math.fsum(terms)


@given(anything, st.randoms(use_true_random=False), st.integers(0, 30), st.integers(0, 30))
def test_order_split_and_merge_change_nothing(terms, random, i, j):
    once = summed(terms)
    shuffled = random.sample(terms, len(terms))
    i, j = sorted((i, j))
    first, second = summed(shuffled[:i], shuffled[i:j]), summed(shuffled[j:])
    second.merge(first)
    assert second.state() == once.state()


@given(anything)
def test_infinities_and_nans_add_as_floats_do(terms):
    (whole,) = summed(terms).exact()
    special = [x for x in terms if not math.isfinite(x)]
    if special:
        assert isinstance(whole, float)
        assert same(whole, sum(special))
    else:
        assert isinstance(whole, int)


@given(anything, st.lists(st.integers(0, 4), min_size=30, max_size=30))
def test_groups_are_separate_sums(terms, groups):
    index = np.array(groups[: len(terms)], np.intp)
    grouped = ExactSums(5)
    grouped.add(np.array(terms, np.float64), index)
    alone = [summed([x for x, g in zip(terms, groups, strict=False) if g == k]) for k in range(5)]
    assert grouped.state() == [sums.state()[0] for sums in alone]
    assert same(to_float(total(grouped.exact())), to_float(summed(terms).exact()[0]))


@given(anything)
def test_state_is_json_and_loses_nothing(terms):
    sums = summed(terms)
    state = json.loads(json.dumps(sums.state()))
    back = ExactSums.from_state(state)
    assert back.state() == sums.state()
    back.add(np.array([0.1]))
    sums.add(np.array([0.1]))
    assert back.state() == sums.state()


@given(finite, st.lists(st.integers(0, 5_000_000), min_size=1, max_size=3))
@settings(max_examples=50)
def test_a_repeated_value_is_multiplied_exactly(value, counts):
    sums = ExactSums(len(counts))
    sums.add_repeated(value, np.array(counts))
    expected = [Fraction(value) * n for n in counts]
    assert [whole * Fraction(2) ** UNIT for whole in sums.exact()] == expected


def test_repeated_specials_reach_only_those_who_have_them():
    sums = ExactSums(2)
    sums.add_repeated(math.nan, np.array([0, 3]))
    assert sums.exact()[0] == 0
    assert math.isnan(sums.exact()[1])


@pytest.mark.parametrize("n", [1, 2, 65535, 65536, 65537, 200_001])
@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e290])
def test_blocks_of_all_sizes(n, scale):
    rng = np.random.default_rng(n)
    terms = rng.standard_normal(n) * 10.0 ** rng.integers(-9, 9, n) * scale
    index = rng.integers(0, 3, n)
    sums = ExactSums(3)
    sums.add(terms, index)
    assert to_float(summed(terms).exact()[0]) == math.fsum(terms)
    assert [to_float(x) for x in sums.exact()] == [math.fsum(terms[index == k]) for k in range(3)]


@every("n", [1, 7, 8, 9, 2047, 2048, 2049, 10_001])
def test_blocks_are_cut_alike_at_every_level(n, isa):
    rng = np.random.default_rng(n)
    terms = rng.standard_normal(n) * 2.0 ** rng.integers(-1070, 990, n)
    assert to_float(summed(terms).exact()[0]) == math.fsum(terms)
    apart = ExactSums(2)
    apart.add(terms, np.arange(n) % 2)  # cut by NumPy
    assert total(apart.exact()) == summed(terms).exact()[0]


@every("odd", [math.inf, math.nan, LARGEST, -LARGEST])
@every("at", [0, 2047, 2048, 5000])
def test_odd_values_leave_their_neighbours_alone(odd, at, isa):
    terms = np.random.default_rng(at).standard_normal(5001)
    sums = ExactSums()
    assert sums.add(terms)
    terms[at] = odd
    assert not sums.add(terms)
    if math.isfinite(odd):
        assert sums.exact()[0] * Fraction(2) ** UNIT == exactly(terms) + exactly(np.random.default_rng(at).standard_normal(5001))
    else:
        assert same(sums.exact()[0], odd)


@given(st.lists(st.lists(finite, max_size=8), max_size=12))
def test_carrying_changes_nothing(parts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_exact, "CAPACITY", 8)  # carry at every step
        carried = summed(*parts)
        carried.merge(summed(*parts))
        for digit in carried._digits.values():
            assert abs(int(digit[0])) < 1 << 62
    plain = summed(*parts, *parts)
    assert carried.state() == plain.state()


def test_digits_survive_counts_that_would_overflow_them():
    most = np.full(1, 2.0**255 - 2.0**202)  # all bits set, in the top of a digit
    sums = summed(most)
    for _ in range(70):  # doubled until the sum has 70 more bits than int64 could add to it
        double = ExactSums.from_state(sums.state())
        double.merge(sums)
        sums = double
    assert to_float(sums.exact()[0]) == math.ldexp(most[0], 70)
    repeated = ExactSums()
    repeated.add_repeated(float(most[0]), np.array([40 << 28]))
    assert repeated.exact()[0] * Fraction(2) ** UNIT == Fraction(float(most[0])) * (40 << 28)


def test_a_small_negative_sum_does_not_borrow_from_above(monkeypatch):
    monkeypatch.setattr(_exact, "CAPACITY", 2)
    sums = summed([-5e-324], [-5e-324], [-5e-324])
    assert len(sums._digits) == 1


def test_a_sum_beyond_float64_is_infinite_but_not_lost():
    sums = summed([LARGEST, LARGEST])
    assert to_float(sums.exact()[0]) == math.inf
    assert ratio(sums.exact()[0], summed([2.0]).exact()[0]) == LARGEST
    sums.add(np.array([-LARGEST]))
    assert to_float(sums.exact()[0]) == LARGEST


def test_floating_point_errors_that_raise_are_no_trouble():
    with np.errstate(all="raise"):
        sums = summed([5e-324, 1e-310, LARGEST, math.inf, -math.inf])
    assert math.isnan(sums.exact()[0])


@pytest.mark.parametrize(
    ("numerator", "denominator", "quotient"),
    [
        (1, 3, 1 / 3),
        (0, 0, math.nan),
        (1, 0, math.inf),
        pytest.param(10**400, 1, math.inf, id="large"),
        pytest.param(-(10**400), 1, -math.inf, id="-large"),
        pytest.param(10**800, -(10**400), -math.inf, id="large/-large"),
        (-1, 0, -math.inf),
        (math.inf, -2, -math.inf),
        (math.inf, 2, math.inf),
        (math.nan, 2, math.nan),
        (math.inf, 0, math.nan),
        (1, math.inf, 0.0),
        (1, math.nan, math.nan),
        (math.inf, math.inf, math.nan),
    ],
)
def test_quotients(numerator, denominator, quotient):
    assert same(ratio(numerator, denominator), quotient)


@pytest.mark.parametrize("text", ["1.5", "0x1p-2000", "0x1p99999", "zero", "0xzzp0"])
def test_a_state_that_is_no_state_is_refused(text):
    with pytest.raises(ValueError):
        ExactSums.from_state([text])

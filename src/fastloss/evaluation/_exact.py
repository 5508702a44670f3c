"""Sums of float64 that never round, so that no split, order or merge can change them.

A sum is kept as int64 digits in base 2**32 at fixed places, and becomes a Python integer at the
end. May import NumPy and the compiled `_digits`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastloss._engines.digits import (
    BLOCK as CUT_BLOCK,
    DIGIT,
    DIGITS,
    HUGE,
    LOWEST as LOW,  # the digit that holds 2**-1074
    OFFSET,
    add_digits,
)

# Design: every float64 is an integer times 2**-1080, and that integer has at most 66 digits in
# base 2**32. Digit k of each of n values is cut off by rounding to the grid 2**(32 k - 24), largest
# digit first: a difference of floats that share a grid is exact, and so is the sum of 2**20 digits
# of 33 bits in 53. The offset -24 puts ordinary losses (below 256) into three digits. This is
# Neal's small superaccumulator (arXiv:1505.05571) turned sideways, from one value at a time to one
# digit at a time, because that is what vector instructions can do. A single sum is cut in C
# (csrc/digits/digits.c); many sums side by side, and values from HUGE on, whose digits would overflow, here.
UNIT = DIGIT * LOW + OFFSET  # exact totals are integers times 2**UNIT
BLOCK = 1 << 16  # values cut at a time: they stay in the cache
MAX_BLOCK = 1 << 20  # the most whose 33-bit digits add up exactly in float64
CAPACITY = 1 << 30  # values a digit takes before it must carry into the next

Exact = int | float  # an integer times 2**UNIT; or the float inf, -inf or nan
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class ExactSums:
    """`size` running sums of float64, each exact whatever the order and number of its terms."""

    def __init__(self, size: int = 1) -> None:
        self.size = size
        self._digits: dict[int, Ints] = {}
        self._special = np.zeros(size)  # 0, or what the infinities and nans of a sum add up to
        self._terms = 0  # no digit exceeds 2**33 times this

    def add(self, values: Floats, index: NDArray[np.intp] | None = None) -> bool:
        """Add values[i] to sum index[i]; without an index, all of them to sum 0.

        Returns whether all were ordinary: neither infinite nor nan nor huge.
        """
        return self._add_all(values) if index is None else self._add_each(values, index)

    def _add_all(self, values: Floats) -> bool:
        """Add contiguous values to sum 0."""
        start, ordinary = 0, True
        while start < values.size:
            part = values[start : start + CAPACITY // 2]
            self._make_room(part.size)
            digits = np.zeros(DIGITS, np.int64)
            done = add_digits(part, digits)
            for k in np.flatnonzero(digits).tolist():
                self._digit(k + LOW)[0] += digits[k]
            start += done
            if done < part.size:
                odd = part[done : done + CUT_BLOCK]
                ordinary &= self._add_each(odd, np.zeros(odd.size, np.intp))
                start += odd.size
        return ordinary

    def _add_each(self, values: Floats, index: NDArray[np.intp]) -> bool:
        """Add values[i] to sum index[i]."""
        ordinary = True
        block = min(max(BLOCK, 4 * self.size), MAX_BLOCK)
        work = np.empty((2, min(block, values.size)))
        with np.errstate(all="ignore"):  # infinities and denormals are data here
            for start in range(0, values.size, block):
                part = values[start : start + block]
                rest, digit = work[:, : part.size]
                rest[:] = part
                ordinary &= self._add_block(rest, digit, index[start:][: part.size])
        return ordinary

    def _add_block(self, rest: Floats, digit: Floats, index: NDArray[np.intp]) -> bool:
        """Cut `rest` into digits until nothing is left of it; `digit` is scratch."""
        self._make_room(rest.size)
        largest = _largest(rest)
        ordinary = largest < HUGE
        if not ordinary:
            self._set_aside(rest, index)
            largest = _largest(rest)
        while largest > 0.0:
            k = _place(largest)
            _cut(rest, k, out=digit)
            np.subtract(rest, digit, out=rest)
            total = np.bincount(index, digit, self.size)
            self._digit(k)[:] += np.ldexp(total, -_exponent(k)).astype(np.int64)
            largest = _largest(rest)
        return ordinary

    def _set_aside(self, rest: Floats, index: NDArray[np.intp]) -> None:
        """Take the infinities, nans and huge values out of `rest`."""
        odd = np.flatnonzero(~(np.abs(rest) < HUGE))
        values, where = rest[odd], index[odd]
        huge = np.isfinite(values)
        for i, value in zip(where[huge].tolist(), values[huge].tolist(), strict=True):
            self._add_exactly(i, _to_exact(value))
        np.add.at(self._special, where[~huge], values[~huge])  # inf - inf is nan: the answer
        rest[odd] = 0.0

    def _add_exactly(self, i: int, total: int) -> None:
        for k, digit in _digits_of(total):
            self._digit(k)[i] += digit

    def add_repeated(self, value: float, counts: Ints) -> None:
        """Add `value` counts[i] times to sum i."""
        if not math.isfinite(value):
            self._special[counts > 0] += value
            return
        for start in range(0, int(counts.max(initial=0)), MAX_BLOCK):
            repeats = np.clip(counts - start, 0, MAX_BLOCK)
            self._make_room(MAX_BLOCK)
            for k, digit in _digits_of(_to_exact(value)):
                self._digit(k)[:] += digit * repeats

    def grow(self, size: int) -> None:
        """Have at least `size` sums; the new ones are 0."""
        if (more := size - self.size) > 0:
            self._digits = {k: np.pad(d, (0, more)) for k, d in self._digits.items()}
            self._special = np.pad(self._special, (0, more))
            self.size = size

    def merge(self, other: ExactSums, index: NDArray[np.intp] | None = None) -> None:
        """Add sum i of `other` to sum index[i], or to sum i; no two of an index are equal."""
        at = np.arange(other.size) if index is None else index
        self._make_room(other._terms)
        for k, digit in other._digits.items():
            self._digit(k)[at] += digit
        with np.errstate(invalid="ignore"):
            self._special[at] += other._special

    def exact(self) -> list[Exact]:
        """Every sum, exactly."""
        totals = np.zeros(self.size, object)
        for k, digit in self._digits.items():
            totals += digit.astype(object) * (1 << DIGIT * (k - LOW))
        return [float(special) if special != 0.0 else int(total) for special, total in zip(self._special, totals, strict=True)]

    def state(self) -> list[str]:
        """Every sum as text that loses nothing: `-0x1b2p-80`, `inf`, `nan`."""
        return [_to_text(total) for total in self.exact()]

    @classmethod
    def from_state(cls, state: Sequence[str]) -> ExactSums:
        """The sums whose `state` this is."""
        sums = cls(len(state))
        for i, text in enumerate(state):
            total = _from_text(text)
            if isinstance(total, float):
                sums._special[i] = total
            else:
                sums._add_exactly(i, total)
        sums._terms = 1
        return sums

    def _digit(self, k: int) -> Ints:
        if k not in self._digits:
            self._digits[k] = np.zeros(self.size, np.int64)
        return self._digits[k]

    def _make_room(self, terms: int) -> None:
        """Carry what exceeds 32 bits into the next digit, if so many more terms could overflow."""
        if self._terms + terms > CAPACITY:
            k = min(self._digits, default=LOW)
            while k <= max(self._digits, default=k - 1):
                if k in self._digits:
                    # Round to nearest: a small negative sum must not borrow from every digit above.
                    carry = (self._digits[k] + (1 << DIGIT - 1)) >> DIGIT
                    if carry.any():
                        self._digits[k] -= carry << DIGIT
                        self._digit(k + 1)[:] += carry
                k += 1
            self._terms = 1
        self._terms += terms


def to_float(total: Exact) -> float:
    """The float64 nearest to an exact sum."""
    return ratio(total, 1 << -UNIT)


def ratio(numerator: Exact, denominator: Exact) -> float:
    """The float64 nearest to the quotient of two exact sums; nan for 0 / 0."""
    if isinstance(denominator, float):
        return 0.0 if isinstance(numerator, int) and math.isinf(denominator) else math.nan
    if isinstance(numerator, float):
        return numerator * _sign(denominator) if denominator else math.nan
    if denominator == 0:
        return _sign(numerator) * math.inf  # 0 / 0 is nan
    try:
        return numerator / denominator  # of integers: correctly rounded
    except OverflowError:
        return math.inf * _sign(numerator) * _sign(denominator)


def _sign(n: int) -> int:
    return (n > 0) - (n < 0)


def total(parts: Sequence[Exact]) -> Exact:
    """The exact sum of exact sums."""
    special = [part for part in parts if isinstance(part, float)]
    if special:
        return float(sum(special))
    return sum(part for part in parts if isinstance(part, int))


def _largest(values: Floats) -> float:
    return max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))


def _exponent(k: int) -> int:
    return DIGIT * k + OFFSET


def _place(magnitude: float) -> int:
    """Which digit holds the leading bit of `magnitude`."""
    leading = math.frexp(magnitude)[1] - 1
    return max((leading - OFFSET) // DIGIT, LOW)


def _cut(values: Floats, k: int, out: Floats) -> None:
    """Digit k of each value, times its place; |values| must be below the place of digit k + 1."""
    # The last bit of the anchor has the place of digit k, so that adding it rounds there.
    anchor = math.ldexp(1.5, 52 + _exponent(k))
    np.add(values, anchor, out=out)
    np.subtract(out, anchor, out=out)


def _to_exact(value: float) -> int:
    numerator, denominator = value.as_integer_ratio()
    return (numerator << -UNIT) // denominator


def _digits_of(total: int) -> list[tuple[int, int]]:
    """The digits of an exact sum that are not 0, with their places; all have its sign."""
    sign, rest = (-1 if total < 0 else 1), abs(total)
    digits, k = [], LOW
    while rest:
        if digit := rest & (1 << DIGIT) - 1:
            digits.append((k, sign * digit))
        rest, k = rest >> DIGIT, k + 1
    return digits


def _to_text(total: Exact) -> str:
    if isinstance(total, float):
        return repr(total)
    zeros = (total & -total).bit_length() - 1 if total else 0
    return f"{total >> zeros:#x}p{UNIT + zeros}"


def _from_text(text: str) -> Exact:
    mantissa, p, exponent = text.partition("p")
    if not p:
        special = float(text)
        if math.isfinite(special):
            raise ValueError(f"expected an exact sum such as '0x1b2p-80', got {text!r}")
        return special
    shift = int(exponent) - UNIT
    if not 0 <= shift <= 4096:
        raise ValueError(f"expected an exact sum such as '0x1b2p-80', got {text!r}")
    return int(mantissa, 16) << shift

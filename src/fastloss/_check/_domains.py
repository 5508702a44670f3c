"""Intervals that the entries of an argument must lie in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ._arrays import FLOAT64, Array
from ._refusals import refuse


@dataclass(frozen=True, slots=True)
class Domain:
    """The interval [low, high] that the entries of an argument lie in. Kernels report extremes; an entry is only searched for if
    these lie outside."""

    argument: str
    expected: str  # what errors say
    low: float
    high: float = math.inf
    magnitude: bool = False  # the bounds are those of absolute values

    def contains(self, a: Array) -> npt.NDArray[np.bool_]:
        """Which entries lie inside; nan does."""
        x = a.astype(FLOAT64)  # a bound may lie between two floats
        if self.magnitude:
            x = np.abs(x)
        return ~((x < self.low) | (x > self.high))

    def first_outside(self, a: Array) -> tuple[int, ...] | None:
        """The index of the first entry (C order) that lies outside, found without a copy of the whole array."""
        step = max(1, 2**20 // max(1, a[:1].size)) if a.ndim else 1
        for start in range(0, len(a) if a.ndim else 1, step):
            inside = self.contains(a[start : start + step] if a.ndim else a)
            if not inside.all():
                first = np.unravel_index(int(np.argmin(inside)), inside.shape)
                return tuple(map(int, first)) if a.ndim == 0 else (int(first[0]) + start, *map(int, first[1:]))
        return None

    def check(self, a: Array) -> None:
        """Refuse entries that lie outside."""
        at = self.first_outside(a)
        if at is not None:
            refuse(ValueError, self.argument, self.expected, a[at], at)


COUNTS = Domain("target", "targets >= 0", 0.0)
POSITIVE = Domain("target", "targets > 0", math.nextafter(0.0, 1.0))
PROBABILITIES = Domain("target", "probabilities in [0, 1]", 0.0, 1.0)
SIGNS = Domain("target", "labels -1 or 1 (from 0 and 1: 2 * t - 1)", 1.0, 1.0, magnitude=True)

"""Where a function of one variable is not differentiable: second differences of ever smaller intervals. May import NumPy.

An interval is halved again and again towards its largest second difference, (f(a) - 2 f(a + h) + f(a + 2h)) / h. With h a quarter
of that is left where f is smooth, all of it (the jump of the slope) at a kink, and it grows where f itself jumps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ._subject import Floats, Indices

Function = Callable[[Indices, Floats], Floats]  # (lines, places) -> values
LEVELS = 15  # halvings
BACK = 4  # levels between the two intervals that are compared: 16 times the width
EPS = float(np.finfo(np.float64).eps)
MATTERS = 1e-5  # of the slope


@dataclass
class Kinks:
    """What was found, one entry for each place on a line. `left`, `right`: slopes (values, of jumps)."""

    line: Indices
    at: Floats
    left: Floats
    right: Floats
    jump: Floats  # of the function itself; 0 for kinks

    def where(self, keep: object) -> Kinks:
        """Some of them."""
        return Kinks(*(getattr(self, name)[keep] for name in ("line", "at", "left", "right", "jump")))


@np.errstate(all="ignore")
def locate(f: Function, line: Indices, low: Floats, high: Floats, usual: float) -> Kinks:
    """Look for one kink in each interval; values of the size `usual` are what rounding is judged by."""
    a, h = low.copy(), (high - low) / 4
    history = []
    parts = np.arange(5.0)[:, None]
    for _ in range(LEVELS):
        p = f(np.tile(line, 5), (a + parts * h).ravel()).reshape(5, -1)
        seconds = np.array([p[k] - 2 * p[k + 1] + p[k + 2] for k in range(3)]) / h
        best = np.nan_to_num(np.abs(seconds), nan=-1.0).argmax(axis=0)
        history.append(np.abs(np.take_along_axis(seconds, best[None], axis=0)[0]))
        a, h = a + best * h, h / 2
    h = 2 * h  # that of the last differences: the interval is [a, a + 2h]
    points = np.concatenate([a - 2 * h, a, a + 2 * h, a + 4 * h])
    before, low_value, high_value, after = f(np.tile(line, 4), points).reshape(4, -1)
    left, right = (low_value - before) / (2 * h), (after - high_value) / (2 * h)
    now, then = history[-1], history[-1 - BACK]
    size = np.maximum(np.maximum(np.abs(low_value), np.abs(high_value)), usual)
    slope = np.maximum(np.abs(left), np.abs(right))
    noise = 64 * EPS * (size + slope * np.abs(a)) / h
    jumps = (now > 5 * then) & (now * h > np.maximum(1e-9 * size, 64 * EPS * (1 + np.abs(a)) * slope)) & (now > 100 * noise)
    kinks = ~jumps & (now > 0.35 * then) & (now > MATTERS * np.maximum(slope, 1e-6)) & (now > 100 * noise)
    kinks &= np.abs(right - left) > 0.5 * now
    crossing = (low_value - left * a - high_value + right * (a + 2 * h)) / (right - left)
    at = np.where(jumps, a + h, np.clip(crossing, a, a + 2 * h))
    found = jumps | kinks
    jump = np.where(jumps, high_value - low_value, 0.0)
    every = Kinks(line, at, np.where(jumps, low_value, left), np.where(jumps, high_value, right), jump)
    return distinct(every.where(np.flatnonzero(found)))


def distinct(kinks: Kinks) -> Kinks:
    """Neighbouring intervals see the same kink: each one once."""
    order = np.lexsort((kinks.at, kinks.line))
    kinks = kinks.where(order)
    if not len(kinks.at):
        return kinks
    near = np.abs(np.diff(kinks.at)) <= 1e-4 * np.maximum(1.0, np.abs(kinks.at[1:]))
    return kinks.where(np.r_[True, ~((np.diff(kinks.line) == 0) & near)])


def places(at: Floats) -> list[float]:
    """Different numbers in ascending order, where they agree to four digits; short ones if they are as good."""
    found: list[float] = []
    for x in np.sort(at):
        if not found or x - found[-1] > 1e-3 * max(1.0, abs(x)):
            found.append(float(x))
    return [round(x, 4) + 0.0 for x in found]

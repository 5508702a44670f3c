"""Numeric slopes of many functions of one variable at once, each with an estimate of its error. May import NumPy only.

A function here is a *line*: a value that depends on one moved number. Lines are evaluated together, so that a line costs nothing
beside the others, and each keeps its own step.

Method: central differences at steps h, h/4, h/16, ..., extrapolated to h = 0 (Richardson), of which the entry is taken that
differs least from its neighbours (Ridders, Accurate computation of F'(x) and F'(x) F''(x), 1982). A kink shows in the second
difference, (F(h) - 2 F(0) + F(-h)) / h: a quarter from step to step where F is smooth, and constant, the jump of the slope, where
it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Move = Callable[[Floats], Floats]  # signed steps, one per line -> values, one per line (ValueError: out of the domain)

EPS = float(np.finfo(np.float64).eps)
RATIO = 4.0  # of one step to the next
LEVELS = 14  # down to 4**-13 = 1.5e-8 of the first step
COLUMNS = 4  # orders of extrapolation: errors of h**8
ROUNDING = 4.0  # how many units in the last place a value may be off
STEPS_INTO_DOMAIN = 40  # quarterings until a point counts as an edge


@dataclass
class Slopes:
    """What was found out about each line."""

    value: Floats
    error: Floats  # estimated: truncation and rounding
    size: Floats  # of the terms in which the line's values are rounded
    natural: Floats  # a slope that would count: the size of the line's values over that of the number moved
    reach: Floats  # the largest step that `value` was made with
    kink: Bools  # the slope jumps, nearer than any usable step
    edge: Bools  # no room to move, or nothing finite to move from

    @property
    def resolved(self) -> Bools:
        """Where there is a slope to compare with."""
        return ~(self.kink | self.edge)


@np.errstate(all="ignore")  # beyond the domain nan and infinity are what is looked for
def slopes(move: Move, steps: Floats, size: Floats | float = 0.0, place: Floats | float = 0.0, rtol: float = 1e-6) -> Slopes:
    """Slope of every line at 0.

    `steps` are the first steps to try, `place` is the number that is moved (its rounding moves the line's values), `size` is
    that of the terms in which values are rounded, if it is more than the values show; `rtol` is the accuracy that is wanted.
    """
    middle = move(np.zeros_like(steps))
    edge = ~np.isfinite(middle)
    h = np.where(edge, 0.0, steps)
    edge |= ~_shrink_into_domain(move, h, 1e-8 * np.abs(place))
    ladder = _Ladder(middle, np.where(edge, 0.0, h), edge, np.broadcast_to(size, h.shape), np.abs(place), rtol)
    for level in range(LEVELS):
        if ladder.add(level, move):
            break
    return Slopes(ladder.best, ladder.error, ladder.size, ladder.natural, ladder.reach, ladder.suspect & ~edge, edge)


class _Ladder:
    """Differences at ever smaller steps, and each line's best slope so far."""

    def __init__(self, middle: Floats, h: Floats, edge: Bools, size: Any, place: Any, rtol: float) -> None:
        self.middle, self.h, self.rtol, self.place = middle, h, rtol, place
        self.size = np.maximum(np.where(edge, 0.0, np.abs(middle)), size)
        self.natural = np.where(edge, 0.0, np.abs(middle)) / np.maximum(1.0, place)
        self.done = edge.copy()
        self.suspect = np.zeros_like(edge)
        self.best, self.error, self.reach = np.zeros_like(h), np.full_like(h, np.inf), h.copy()
        self.row: list[Floats] = []  # the last row of the table of extrapolations
        self.jump, self.around = np.zeros_like(h), np.zeros_like(h)

    def add(self, level: int, move: Move) -> bool:
        """One more step; whether every line is done."""
        h = np.where(self.done, 0.0, self.h * RATIO**-level)
        above, below = move(h), move(-h)
        wide = np.where(h > 0, h, 1.0)  # of lines that are done, nothing is used
        difference = (above - below) / (2 * wide)
        around = np.maximum(np.abs(above), np.abs(below))
        if level == 0:  # at a minimum of 0, what the terms of the value are is seen only from afar
            afar = np.minimum(np.nan_to_num(around), 1.0)
            self.size, self.natural = np.maximum(self.size, afar), np.maximum(self.natural, afar / np.maximum(1.0, self.place))
        size = np.maximum(np.maximum(around, self.around), self.size)  # one step out: the value itself may be 0 by chance
        noise = ROUNDING * EPS * (size + np.abs(difference) * self.place) / wide
        self._extrapolate(difference, noise, h)
        jump = (above - 2 * self.middle + below) / wide
        self._look_for_kink(jump, noise)
        self.jump, self.around = jump, around
        if level >= 2:
            good = self.error <= np.maximum(1e-2 * self.rtol * np.maximum(np.abs(self.best), 1e-3 * self.natural), 4 * noise)
            self.done |= good & ~self.suspect
        return bool(self.done.all())

    def _extrapolate(self, difference: Floats, noise: Floats, h: Floats) -> None:
        """A row of the table; entries that differ least from those they are made of are kept."""
        row, reach = [difference], h
        for k, above in enumerate(self.row[:COLUMNS]):
            factor = RATIO ** (2 * (k + 1))
            entry = (factor * row[k] - above) / (factor - 1)
            error = np.maximum(np.abs(entry - row[k]), np.abs(entry - above)) + noise
            reach = reach * RATIO
            better = (error < self.error) & ~self.done
            self.best = np.where(better, entry, self.best)
            self.error = np.where(better, error, self.error)
            self.reach = np.where(better, reach, self.reach)
            row.append(entry)
        self.row = row

    def _look_for_kink(self, jump: Floats, noise: Floats) -> None:
        """Suspect lines whose second difference stays as it was, and would matter."""
        matters = np.abs(jump) > np.maximum(10 * noise, 0.1 * self.rtol * np.abs(self.best))
        stays = np.abs(jump) > 0.6 * np.abs(self.jump)
        self.suspect = np.where(self.done, self.suspect, matters & stays)


def _shrink_into_domain(move: Move, h: Floats, least: Any) -> Bools:
    """Quarter the steps (in place) of the lines that are refused, or not finite, on either side; which ones have room to move."""
    pending = h > 0
    for _ in range(STEPS_INTO_DOMAIN):
        pending = pending & ~(_accepted(move, h, pending) & _accepted(move, -h, pending))
        if not pending.any():
            break
        h[pending] /= 4
    h[pending | (h < least)] = 0.0
    return h > 0


def _accepted(move: Move, h: Floats, among: Bools) -> Bools:
    """Which of some lines can be moved by h. A refused call does not say by which: halves of it are tried on their own."""
    if not among.any():
        return among
    try:
        return among & np.isfinite(move(np.where(among, h, 0.0)))
    except ValueError:
        where = np.flatnonzero(among)
        if where.size == 1:
            return np.zeros_like(among)
    accepted = np.zeros_like(among)
    for half in np.array_split(where, 2):
        part = np.zeros_like(among)
        part.flat[half] = True
        accepted |= _accepted(move, h, part)
    return accepted

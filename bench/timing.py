"""Timing on a shared, noisy machine: contenders take turns in rounds; medians are compared.

A turn is one untimed call (it warms the caches for its owner) and then as many timed calls as fit
in the turn's length; its result is the mean of those calls. Contenders that are slow and far behind
take fewer turns. Standard library only.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

FAR_BEHIND = 4  # times the time of the fastest
SHORT = 0.1  # seconds a call: fewer turns would save little
BUDGET = 0.4  # seconds for all turns of one that is far behind, but one at least
ENDLESS = 1.0  # seconds a call: what the first takes will do


@dataclass(frozen=True)
class Time:
    """Seconds per call: the median over the rounds and the quartiles around it."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, samples: list[float]) -> "Time":
        ordered = sorted(samples)
        last = len(ordered) - 1
        return cls(
            statistics.median(ordered),
            ordered[round(last / 4)],
            ordered[round(last * 3 / 4)],
            len(ordered),
        )

    def to_json(self) -> list[float]:
        """[median, low, high, rounds], with four digits: more would be noise."""
        return [*(float(f"{seconds:.4g}") for seconds in (self.median, self.low, self.high)), self.rounds]


def interleave(
    contenders: Mapping[str, Callable[[], Any]], rounds: int, turn: float, known: Mapping[str, float] | None = None
) -> dict[str, Time]:
    """Time each contender once per round, in alternating order, for about `turn` seconds each.

    `known` is the time of a call that was made before, for contenders that should not make one more to find out.
    """
    known = known or {}
    fits = {name: (1, known[name]) if name in known else _calls_that_fit(call, turn) for name, call in contenders.items()}
    fastest = min(seconds for _, seconds in fits.values())
    turns = {name: _turns(seconds, fastest, rounds) for name, (_, seconds) in fits.items()}
    samples: dict[str, list[float]] = {name: [seconds] if turns[name] == 0 else [] for name, (_, seconds) in fits.items()}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number in range(rounds):
            names = list(contenders)[:: 1 if number % 2 == 0 else -1]
            for name in names:
                if number < turns[name]:
                    samples[name].append(_turn(contenders[name], fits[name][0]))
    finally:
        if collecting:
            gc.enable()
    return {name: Time.of(values) for name, values in samples.items()}


def _turns(seconds: float, fastest: float, rounds: int) -> int:
    """All rounds, or few for a slow contender far behind; none if the call that told so is measurement enough."""
    if seconds < max(SHORT, FAR_BEHIND * fastest):
        return rounds
    return 0 if seconds > ENDLESS else min(rounds, max(1, int(BUDGET / seconds)))


def _turn(call: Callable[[], Any], number: int) -> float:
    if number > 1:
        call()
    start = time.perf_counter()
    for _ in repeat(None, number):
        call()
    return (time.perf_counter() - start) / number


def _calls_that_fit(call: Callable[[], Any], turn: float) -> tuple[int, float]:
    """Double the number of calls until they can be measured, then scale to the turn; and the seconds of one call."""
    number = 1
    while True:
        seconds = _turn(call, number)
        if seconds * number > turn / 10:
            return max(1, int(turn / seconds)), seconds
        number *= 2

"""Timing on a shared, noisy machine: contenders take turns in rounds; medians are compared.

A turn is one untimed call (it warms the caches for its owner) and then as many timed calls as fit
in the turn's length; its result is the mean of those calls. Standard library only.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import repeat
from typing import Any


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

    def to_json(self) -> dict[str, float]:
        return asdict(self)


def interleave(contenders: Mapping[str, Callable[[], Any]], rounds: int, turn: float) -> dict[str, Time]:
    """Time each contender once per round, in alternating order, for about `turn` seconds each."""
    calls = {name: _calls_that_fit(call, turn) for name, call in contenders.items()}
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number in range(rounds):
            names = list(contenders)[:: 1 if number % 2 == 0 else -1]
            for name in names:
                samples[name].append(_turn(contenders[name], calls[name]))
    finally:
        if collecting:
            gc.enable()
    return {name: Time.of(values) for name, values in samples.items()}


def _turn(call: Callable[[], Any], number: int) -> float:
    if number > 1:
        call()
    start = time.perf_counter()
    for _ in repeat(None, number):
        call()
    return (time.perf_counter() - start) / number


def _calls_that_fit(call: Callable[[], Any], turn: float) -> int:
    """Double the number of calls until they can be measured, then scale to the turn."""
    number = 1
    while True:
        seconds = _turn(call, number)
        if seconds * number > turn / 10:
            return max(1, int(turn / seconds))
        number *= 2

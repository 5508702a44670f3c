"""What all peers share: contenders, how results are read, and why a peer is absent from a row."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from bench.rows import Array, Problem

LACKING = "has no such function"


class AbsentError(Exception):
    """This peer cannot take part in this row, and why."""


Gradient = Array | tuple[Array, ...] | None


@dataclass(frozen=True)
class Contender:
    column: str
    call: Callable[[], Any]
    read: Callable[
        [Any], tuple[Array, Gradient]
    ]  # result -> (value, gradient, or a tuple of them, or None), or (gradient, Hessian)
    compiles: bool = False  # in its first call


def need(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise AbsentError(f"{module} is not installed") from error


def have(table: dict[str, Any], problem: Problem) -> Any:
    if problem.task not in table:
        raise AbsentError(LACKING)
    return table[problem.task]


def as_arrays(result: Any, gradient: bool) -> tuple[Array, Gradient]:
    value, grad = result if gradient else (result, None)
    if isinstance(grad, tuple):
        return float64(value), tuple(map(float64, grad))
    return float64(value), None if grad is None else float64(grad)


def float64(x: Any) -> Array:
    return np.asarray(x).astype(np.float64)


class Peer(ABC):
    """One library. Constructed once per process, with the number of threads it may use."""

    packages: tuple[str, ...]  # whose versions its times depend on

    def __init__(self, threads: int) -> None:
        self.threads = threads

    @abstractmethod
    def contenders(self, problem: Problem) -> Iterator[Contender]: ...

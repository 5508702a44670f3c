from typing import Any

import numpy as np
import numpy.typing as npt

OPENMP: int
COMPILER: str
VALUE: int
GRAD: int
HESS: int
POINTWISE: dict[str, int]
SUMS: dict[str, int]

def available_isa() -> list[str]: ...
def get_isa() -> str: ...
def set_isa(name: str) -> None: ...
def set_parallel_from(ns: float = 100000) -> None: ...
def widest_team() -> int: ...
def cpu_name() -> str: ...
def extremes(x: npt.NDArray[Any], threads: int) -> tuple[float, float]: ...
def pointwise(
    op: int,
    want: int,
    x: npt.NDArray[Any],
    t: npt.NDArray[Any],
    z: npt.NDArray[Any] | None,
    w: npt.NDArray[Any] | None,
    parameters: tuple[float, ...],
    wide: bool,
    scale: float,
    value: npt.NDArray[Any] | None,
    grad: npt.NDArray[Any] | None,
    hess: npt.NDArray[Any] | None,
    threads: int,
    grad2: npt.NDArray[Any] | None = None,
    hess2: npt.NDArray[Any] | None = None,
) -> tuple[float, float, float, float, float, float, float]: ...
def sums(
    op: int,
    want: int,
    x: npt.NDArray[Any],
    t: npt.NDArray[Any],
    z: npt.NDArray[Any] | None,
    u: npt.NDArray[Any] | None,
    weight: npt.NDArray[np.float64] | None,
    parameters: tuple[float, ...],
    wide: bool,
    scale: float,
    value: npt.NDArray[Any] | None,
    grad: npt.NDArray[Any] | None,
    grad2: npt.NDArray[Any] | None,
    threads: int,
) -> tuple[float, float, float, float, float]: ...

from typing import Any

import numpy.typing as npt

OPENMP: int
COMPILER: str
VALUE: int
GRAD: int
HESS: int
POINTWISE: dict[str, int]

def available_isa() -> list[str]: ...
def get_isa() -> str: ...
def set_isa(name: str) -> None: ...
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
) -> tuple[float, float, float, float, float]: ...

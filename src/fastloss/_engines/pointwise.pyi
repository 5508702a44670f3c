from typing import Any

import numpy.typing as npt

POINTWISE: dict[str, int]

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

from typing import Any

import numpy as np
import numpy.typing as npt

SUMS: dict[str, int]

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

from typing import Any

import numpy.typing as npt

def vectors(
    loss: str,
    x: tuple[npt.NDArray[Any], ...],
    label: npt.NDArray[Any] | None,
    *,
    wide: bool,
    p: float = 2,
    eps: float = 0,
    margin: float = 0,
    power: float = 1,
    squared: bool = False,
    swap: bool = False,
    weight: npt.NDArray[Any] | None = None,
    scale: float = 1,
    values: npt.NDArray[Any] | None = None,
    grads: tuple[npt.NDArray[Any], ...] = (),
    threads: int = 1,
) -> float: ...

from typing import Any

import numpy.typing as npt

BOXES: dict[str, int]
FORMATS: dict[str, int]

def boxes(
    kind: int,
    box: npt.NDArray[Any],
    target: npt.NDArray[Any],
    *,
    form: int,
    eps: float,
    weight: npt.NDArray[Any] | None = None,
    scale: float = 1.0,
    values: npt.NDArray[Any] | None = None,
    grad: npt.NDArray[Any] | None = None,
    threads: int = 1,
) -> tuple[float, int, bool]: ...

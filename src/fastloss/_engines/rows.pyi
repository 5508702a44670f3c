from typing import Any

import numpy.typing as npt

KINDS: dict[str, int]
TRANSFORMS: dict[str, int]

def rows(
    kind: int,
    x: npt.NDArray[Any],
    axis: int,
    *,
    target: npt.NDArray[Any] | None = None,
    class_weight: npt.NDArray[Any] | None = None,
    ignore_index: int | None = None,
    smoothing: float = 0.0,
    sample_weight: npt.NDArray[Any] | None = None,
    wide: bool = False,
    scale: float = 1.0,
    values: npt.NDArray[Any] | None = None,
    weights: npt.NDArray[Any] | None = None,
    grad: npt.NDArray[Any] | None = None,
    hess: npt.NDArray[Any] | None = None,
    transform: int = 0,
    parameter: float = 0.0,
    divergence: bool = False,
    log_target: bool = False,
    temperature: float = 1.0,
    threads: int = 1,
) -> tuple[float, float, int, float, float]: ...

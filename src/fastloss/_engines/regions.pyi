from typing import Any

import numpy as np
import numpy.typing as npt

TP: int
FP: int
FN: int
VOLUME: int
ENTROPY: int
COUNTED: int
SUMS: int
SLOPES: int
TARGETS: dict[str, int]
ACTIVATIONS: dict[str | None, int]

def sums(
    x: npt.NDArray[Any],
    axis: int,
    target: npt.NDArray[Any],
    kind: int,
    activation: str | None,
    *,
    squared: bool = False,
    entropy: bool = False,
    by_class: bool = False,
    pooled: bool = False,
    ignore_index: int | None = None,
    wide: bool = False,
    threads: int = 1,
) -> tuple[npt.NDArray[np.float64], bool, int, int, float, float, float, float]: ...
def slopes(
    x: npt.NDArray[Any],
    axis: int,
    target: npt.NDArray[Any],
    kind: int,
    activation: str | None,
    coefficients: npt.NDArray[Any],
    grad: npt.NDArray[Any],
    *,
    plain: bool = False,
    squared: bool = False,
    entropy: bool = False,
    pooled: bool = False,
    ignore_index: int | None = None,
    wide: bool = False,
    given: npt.NDArray[Any] | None = None,
    threads: int = 1,
) -> None: ...
def errors(
    x: npt.NDArray[Any],
    axis: int,
    target: npt.NDArray[Any],
    kind: int,
    activation: str | None,
    *,
    pooled: bool = False,
    ignore_index: int | None = None,
    wide: bool = False,
    threads: int = 1,
) -> tuple[npt.NDArray[Any], int, int, float, float, float, float]: ...

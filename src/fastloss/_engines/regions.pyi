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
BOXES: dict[str, int]
FORMATS: dict[str, int]

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
def lovasz(
    x: npt.NDArray[Any],
    axis: int,
    target: npt.NDArray[Any],
    kind: int,
    activation: str | None,
    *,
    pooled: bool = False,
    ignore_index: int | None = None,
    only_present: bool = False,
    with_slopes: bool = False,
    wide: bool = False,
    threads: int = 1,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any] | None, int, int, float, float, float, float]: ...
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

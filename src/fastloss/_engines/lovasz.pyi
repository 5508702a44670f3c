from typing import Any

import numpy as np
import numpy.typing as npt

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

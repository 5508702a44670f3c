from typing import Any

import numpy as np
import numpy.typing as npt

METRICS: dict[str, int]
MININGS: dict[str, int]

class Points:
    wide: bool
    def __init__(
        self,
        x: npt.NDArray[Any],
        *,
        wide: bool,
        unit: bool = False,
        centred: bool = False,
        moved: bool = False,
        like: Points | None = None,
        scale: float = 1.0,
        threads: int = 1,
    ) -> None: ...

def distances(x: Points, y: Points, metric: int, out: npt.NDArray[Any], *, threads: int = 1) -> None: ...

class Batch:
    value: npt.NDArray[np.float64]
    active: npt.NDArray[np.float64]
    valid: npt.NDArray[np.float64]
    def __init__(
        self,
        x: Points,
        ids: npt.NDArray[np.int32],
        members: npt.NDArray[np.int32],
        starts: npt.NDArray[np.int64],
        mining: int,
        *,
        margin: float,
        squared: bool,
        weight: npt.NDArray[np.float64] | None = None,
        gradient: bool = False,
        threads: int = 1,
    ) -> None: ...
    def gradient(self, grad: npt.NDArray[Any], scale: float) -> None: ...

from typing import Any

import numpy as np
import numpy.typing as npt

LANES: int

class PackedRows:
    exponent: int

    def __init__(
        self,
        arrays: tuple[npt.NDArray[Any], ...],
        *,
        wide: bool,
        normalize: bool,
        gradient: bool,
        threads: int,
        order: npt.NDArray[np.int64] | None = None,
    ) -> None: ...

def own_products(
    a: PackedRows, b: PackedRows | None = None, *, starts: npt.NDArray[np.int64] | None = None, threads: int = 1
) -> npt.NDArray[np.float64]: ...

class Comparison:
    anchors: PackedRows
    candidates: PackedRows
    bounded: bool
    exponent: float

    def __init__(
        self,
        anchors: PackedRows,
        candidates: PackedRows,
        factor: float,
        low: npt.NDArray[np.int64] | None,
        high: npt.NDArray[np.int64] | None,
        *,
        keep: bool,
        threads: int,
    ) -> None: ...
    def sums(
        self, both: bool = False
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any] | None, npt.NDArray[np.float64] | None]: ...
    def slopes(
        self,
        grads: tuple[npt.NDArray[Any], ...],
        factor: float,
        lane: npt.NDArray[Any],
        row: npt.NDArray[Any],
        lane_max: npt.NDArray[Any],
        row_max: npt.NDArray[Any],
        own: npt.NDArray[Any],
        *,
        turned: bool = False,
        partners: PackedRows | None = None,
        partner: npt.NDArray[np.float64] | None = None,
    ) -> None: ...

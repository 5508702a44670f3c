from typing import Any

import numpy as np
import numpy.typing as npt

def ctc(
    x: npt.NDArray[Any],
    labels: npt.NDArray[np.int32],
    frames: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    *,
    blank: int,
    log_probs: bool,
    wide: bool,
    zero_infinity: bool = False,
    losses: npt.NDArray[np.float64],
    redone: npt.NDArray[np.bool_],
    scale: npt.NDArray[np.float64] | None = None,
    grad: npt.NDArray[Any] | None = None,
    posteriors: npt.NDArray[Any] | None = None,
    paths: npt.NDArray[np.int64] | None = None,
    threads: int = 1,
) -> None: ...

from typing import Any

import numpy.typing as npt

LOSSES: dict[str, int]
CONTRASTS: dict[str, int]
GIBBS: dict[str, int]
LINKS: dict[str, int]

def scores(
    loss: int | None,
    x: npt.NDArray[Any],
    axis: int,
    target: npt.NDArray[Any],
    *,
    levels: int,
    parameters: tuple[float, ...] = (),
    tasks: bool = False,
    class_weight: npt.NDArray[Any] | None = None,
    level_weight: npt.NDArray[Any] | None = None,
    ignore_index: int | None = None,
    sample_weight: npt.NDArray[Any] | None = None,
    wide: bool = False,
    scale: float = 1.0,
    values: npt.NDArray[Any] | None = None,
    weights: npt.NDArray[Any] | None = None,
    grad: npt.NDArray[Any] | None = None,
    hess: npt.NDArray[Any] | None = None,
    threads: int = 1,
) -> tuple[float, float, int]: ...
def cumulative_link(
    link: int,
    score: npt.NDArray[Any],
    thresholds: npt.NDArray[Any],
    target: npt.NDArray[Any],
    *,
    sample_weight: npt.NDArray[Any] | None = None,
    scale: float = 1.0,
    values: npt.NDArray[Any] | None = None,
    weights: npt.NDArray[Any] | None = None,
    grad: npt.NDArray[Any] | None = None,
    cut_grad: npt.NDArray[Any] | None = None,
    threads: int = 1,
) -> tuple[float, int]: ...

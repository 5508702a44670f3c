"""Volumes of logits and labels for the losses of regions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from cases import REGIONS
from matrix import every

import fastloss as fl

RTOL = {"float32": 3e-6, "float64": 1e-12}
GRAD_TOL = {"float32": 1e-5, "float64": 1e-11}
SHAPES = ((2, 3, 7), (2, 4, 16, 64), (3, 2, 33, 65), (1, 1, 5, 5), (2, 21, 10, 10), (2, 5, 4, 3, 9), (1, 3, 70, 71))
SOFT = tuple(loss for loss in REGIONS if loss.name != "lovasz")
every_region = every("loss", REGIONS)
every_soft = every("loss", SOFT)
nan, inf = math.nan, math.inf


def volume(shape: tuple[int, ...] = (2, 4, 16, 33), dtype: str = "float64", seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits with the classes along axis 1, and labels."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 2, shape).astype(dtype), rng.integers(0, shape[1], shape[:1] + shape[2:])


def one_hot(y: np.ndarray, classes: int) -> np.ndarray:
    return (y[:, None] == np.arange(classes).reshape(-1, *(1,) * (y.ndim - 1))).astype(np.uint8)


def pooling(loss: fl.Loss, pooled: bool) -> dict[str, bool]:
    return {"per_image": not pooled} if loss.name == "lovasz" else {"batch": pooled}


def assert_close(got: Any, expected: Any, rtol: float) -> None:
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol * np.abs(expected).max(initial=0.0))

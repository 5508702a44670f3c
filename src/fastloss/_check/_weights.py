"""Weights of samples, classes and elements: finite, none below 0."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ._arrays import Array, array, reshaped
from ._refusals import refuse


def nonnegative(name: str, value: Any) -> Array:
    """Weights: real, finite, none below 0."""
    return _weights_and_range(name, value)[0]


def _weights_and_range(name: str, value: Any) -> tuple[Array, float, float]:
    """Weights, the smallest and the largest of them; (inf, 0) of none."""
    a = array(name, value)
    if a.size == 0:
        return a, math.inf, 0.0
    low, high = a.min(), a.max()
    if not (low >= 0 and high < math.inf):
        bad = np.unravel_index(int(np.argmax(~((a >= 0) & (a < math.inf)))), a.shape)
        refuse(ValueError, name, "finite numbers >= 0", a[bad], tuple(map(int, bad)))
    return a, float(low), float(high)


def weights(name: str, value: Any, shape: tuple[int, ...]) -> tuple[Array, float, float]:
    """Weights spread over `shape` from the left (leading axes first), the smallest and the largest of them."""
    a, low, high = _weights_and_range(name, value)
    fits = a.ndim <= len(shape) and all(n in (1, m) for n, m in zip(a.shape, shape, strict=False))
    if not fits:
        hint, missing = reshaped(name, a.shape, shape), len(shape) - a.ndim
        if missing > 0 and all(n in (1, m) for n, m in zip(a.shape, shape[missing:], strict=True)):
            hint = f"along the last axes: {name}.reshape({(1,) * missing + a.shape})"
        refuse(ValueError, name, f"a shape that broadcasts to {shape} from the left", a.shape, hint=hint)
    return np.broadcast_to(a.reshape(a.shape + (1,) * (len(shape) - a.ndim)), shape), low, high


def class_weights(name: str, value: Any, classes: int) -> npt.NDArray[np.float64] | None:
    """One weight for each class, as a vector that kernels can index; None stays None."""
    if value is None:
        return None
    a = nonnegative(name, value)
    if a.shape != (classes,):
        refuse(
            ValueError, name, f"shape ({classes},), a weight for each class", a.shape, hint="weights of samples are sample_weight"
        )
    return np.require(a, np.float64, ["C_CONTIGUOUS", "ALIGNED"])


def trailing(name: str, value: Any, shape: tuple[int, ...]) -> tuple[Array, float, float]:
    """Weights that broadcast along the trailing axes, as NumPy does; the smallest and the largest of them."""
    a, low, high = _weights_and_range(name, value)
    try:
        return np.broadcast_to(a, shape), low, high
    except ValueError:
        refuse(ValueError, name, f"a shape that broadcasts to {shape}", a.shape)

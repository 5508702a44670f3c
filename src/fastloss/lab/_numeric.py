"""Central differences of fixed step, for losses that come without a derivative. May import NumPy only.

Shapes: values have one entry per sample; an argument has the same shape, or further axes whose entries are moved one at a time,
in all samples at once.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Moved = Callable[[Floats], Floats]  # the argument, moved -> a number per sample, or per entry of the argument

EPS = float(np.finfo(np.float64).eps)
FIRST, SECOND = EPS ** (1 / 3), EPS ** (1 / 4)  # where truncation and rounding are equally large


class NumericDerivativeWarning(UserWarning):
    """A derivative is computed by central differences, because the loss was made without it."""


def warn(message: str) -> None:
    """Warn at the line outside this package that asked for the derivative."""
    package, frame, level = __package__.partition(".")[0], sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, NumericDerivativeWarning, stacklevel=level)


def first(value: Moved, x: Floats, samples: int) -> Floats:
    """The slope of every sample's value in each of its own entries of x; `samples` leading axes count samples."""
    slopes = np.empty_like(x)
    for at in _positions(x.shape[samples:]):
        ahead, behind, above, below = _both_sides(value, x, at, FIRST)
        slopes[at] = (above - below) / (ahead - behind)
    return slopes


def second(value: Moved, x: Floats, samples: int) -> Floats:
    """The second derivatives, likewise."""
    middle, curvatures = value(x), np.empty_like(x)
    for at in _positions(x.shape[samples:]):
        ahead, behind, above, below = _both_sides(value, x, at, SECOND)
        half = 0.5 * (ahead - behind)
        curvatures[at] = ((above - middle) - (middle - below)) / half**2
    return curvatures


def slope_of_gradient(gradient: Moved, x: Floats, samples: int) -> Floats:
    """The second derivatives, from the first ones."""
    curvatures = np.empty_like(x)
    for at in _positions(x.shape[samples:]):
        ahead, behind, above, below = _both_sides(gradient, x, at, FIRST)
        curvatures[at] = (above[at] - below[at]) / (ahead - behind)
    return curvatures


def _positions(tail: tuple[int, ...]) -> Iterator[Any]:
    """An index for each entry of a sample, in all samples."""
    for place in np.ndindex(tail):
        yield (..., *place)


def _both_sides(function: Moved, x: Floats, at: Any, step: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Where one entry per sample is moved to, ahead and behind, and what the function gives there."""
    points, results = [], []
    for sign in (1.0, -1.0):
        moved = x.copy()
        moved[at] += sign * step * np.maximum(1.0, np.abs(x[at]))
        points.append(moved[at])
        results.append(function(moved))
    return points[0], points[1], results[0], results[1]

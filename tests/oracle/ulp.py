"""Errors in ULP, and the assertions that bound them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .exact import Exact

SMALLEST = {"float16": (-24, 11), "bfloat16": (-133, 8), "float32": (-149, 24), "float64": (-1074, 53)}

FLOOR = {"float32": 4 * 2.0**-149, "float64": 1e-300}  # a row won by 100 nats is still seen in float32
NORMAL = {"float32": 1e3 * 2.0**-126, "float64": 1e3 * 2.0**-1022}  # as a scale: sums of terms below it have few digits


def spacing(x: np.ndarray, dtype: str) -> np.ndarray:
    """One ULP of `dtype` at x, by the exponent of x; never below the smallest subnormal."""
    least, digits = SMALLEST[dtype]
    exponent = np.frexp(np.abs(x))[1].astype(np.int64)
    return np.ldexp(1.0, np.maximum(exponent - digits, least))


def ulp_error(got: ArrayLike, truth: Exact, dtype: str, scale: ArrayLike = 0.0) -> np.ndarray:
    """|got - truth| in ULPs of `dtype` at the truth, or at `scale` where that is larger; a truth past the largest number must
    come out infinite."""
    got = np.asarray(got).astype(np.float64)
    assert got.shape == truth.hi.shape, (got.shape, truth.hi.shape)
    if dtype != "float64":
        with np.errstate(over="ignore"):
            far = np.isinf(truth.hi.astype(dtype)) & np.isfinite(truth.hi)
        truth = Exact(np.where(far, np.copysign(np.inf, truth.hi), truth.hi), np.where(far, 0.0, truth.lo))
    size = np.maximum(np.abs(np.where(np.isfinite(truth.hi), truth.hi, 1.0)), scale)
    unit = np.where(np.isfinite(truth.hi), spacing(size, dtype), 1.0)
    error = np.abs(truth.minus(got)) / unit
    return np.where(np.isnan(truth.hi), np.where(np.isnan(got), 0.0, np.inf), np.where(np.isnan(error), np.inf, error))


def assert_ulps(got: ArrayLike, expected: Exact, dtype: str, bound: float, where: str = "", scale: ArrayLike = 0.0) -> float:
    """Every entry within `bound` ULPs of `dtype`; the worst error is returned, to be reported."""
    error = ulp_error(got, expected, dtype, scale)
    if error.size == 0:
        return 0.0
    at = np.unravel_index(np.argmax(error), error.shape)
    worst = float(error[at])
    assert worst <= bound, (
        f"{where}{worst:.3g} ULP of {dtype} (bound {bound}) at {tuple(map(int, at))}: "
        f"got {np.asarray(got)[at]!r}, exact {expected.hi[at]!r}"
    )
    return worst


def assert_derivative(got: ArrayLike, expected: Exact, dtype: str, tolerance: float, scale: ArrayLike, where: str = "") -> None:
    """Every entry within `tolerance` x `scale`; below FLOOR digits run out."""
    got = np.asarray(got)
    assert got.shape == expected.hi.shape, (got.shape, expected.hi.shape)
    error = np.abs(expected.minus(got))
    error = np.where(np.isnan(error), np.inf, error)
    allowed = np.broadcast_to(scale, error.shape) * tolerance + FLOOR[dtype]
    if not np.all(error <= allowed):
        at = np.unravel_index(np.argmax(error / allowed), error.shape)
        raise AssertionError(
            f"{where}derivative off by {error[at]:.3g} (allowed {allowed[at]:.3g}) "
            f"at {tuple(map(int, at))}: got {got[at]!r}, exact {expected.hi[at]!r}"
        )


def row_scale(derivative: Exact) -> np.ndarray:
    """The largest entry of each row."""
    return np.abs(derivative.hi).max(axis=-1, keepdims=True, initial=0.0)

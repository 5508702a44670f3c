"""Sample weights as plans take them: broadcast to the samples, summed, and what a kernel cannot take as it is (`Adjustments`).
May import `_check`, `_threads` and `_kernels`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import fastloss._check as _check
import fastloss._kernels as _kernels
from fastloss._check import FLOAT64, Array
from fastloss._threads import get_num_threads

# Weights outside 2**-60 .. 2**60 are divided by a power of two before a mean; those that differ by more are not for float32.
# Within, neither a sum of weights nor a product of weight and derivative overflows, and what underflows is below the last digit.
SAFE_EXPONENT = 60
MANY = 1024  # elements from which on an extra pass costs more than the calls around it

Mask = npt.NDArray[np.bool_]


class Adjustments(NamedTuple):
    """What a call needs beyond its kernel."""

    keep: Mask | None = None  # which samples have a weight other than 0; None: all
    exponent: int = 0  # for a mean, weights are divided by 2**exponent
    wide: bool = False  # computed in float64, results rounded once

    def or_none(self) -> Adjustments | None:
        return self if self.keep is not None or self.exponent or self.wide else None


def is_extreme(x: float, low: float = 1e-6, high: float = 1e6) -> bool:
    """Whether an option other than 0 is so large or small that formulas with it may overflow or underflow in float32."""
    return not (low < x < high or low < -x < high or x == 0)


def exponent_of(high: float) -> int:
    """The power of two that weights up to `high` are divided by before a mean; mostly 0."""
    exponent = math.frexp(high)[1]
    return exponent if abs(exponent) > SAFE_EXPONENT else 0


def _adjustments(weights: Array, low: float, high: float, *, mean: bool, narrow: bool) -> Adjustments | None:
    """`narrow`: whether the kernel rounds the weights to float32."""
    keep = None if low else weights != 0
    if keep is not None and weights.size == 0:
        keep = None
    exponent = exponent_of(high) if mean else 0
    wide = False
    if narrow and high:
        least = low or float(weights[keep].min())
        wide = least < high * 2.0**-SAFE_EXPONENT or (not mean and exponent_of(high) != 0)
    return Adjustments(keep, exponent, wide).or_none()


def scaled(weights: Array, exponent: int) -> npt.NDArray[np.float64]:
    """weights / 2**exponent."""
    return np.asarray(np.ldexp(weights.astype(FLOAT64), -exponent))  # an array though it be of one number


def total_of(weights: Array) -> float:
    """The sum of weights, whose bits depend on neither layout nor threads."""
    return _kernels.total(weights, get_num_threads())


def weighed(
    sample_weight: Any, shape: tuple[int, ...], reduction: str, narrow: bool = False
) -> tuple[Array, float, Adjustments | None]:
    """The weights, broadcast to the samples; their sum (for a mean, that of the scaled weights); and what must be adjusted for
    them. `narrow`: the kernel rounds them to float32."""
    weights, low, high = _check.weights("sample_weight", sample_weight, shape)
    adjustments = _adjustments(weights, low, high, mean=reduction == "mean", narrow=narrow)
    exponent = 0 if adjustments is None else adjustments.exponent
    return weights, total_of(scaled(weights, exponent) if exponent else weights), adjustments


def weights_of_terms(sample_weight: Array | None, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """What `Plan.terms` gives beside the values; ones take no memory."""
    return np.broadcast_to(FLOAT64.type(1), shape) if sample_weight is None else sample_weight.astype(FLOAT64)

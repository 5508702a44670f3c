"""Vectors along the last axis, and labels of pairs of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._arrays import Array, array
from ._domains import SIGNS, Domain
from ._labels import labels
from ._options import number
from ._refusals import refuse


def rows(names: tuple[str, ...], values: tuple[Any, ...]) -> tuple[Array, ...]:
    """Real arrays of one shape, with vectors along the last axis."""
    arrays = tuple(array(name, value) for name, value in zip(names, values, strict=True))
    first = arrays[0]
    if first.ndim == 0:
        refuse(ValueError, names[0], "vectors along the last axis", "a scalar")
    for name, a in zip(names[1:], arrays[1:], strict=True):
        if a.shape != first.shape:
            refuse(ValueError, name, f"the shape of {names[0]}, {first.shape}", f"shape {a.shape}")
    return arrays


def like(name: str, value: Any, other: Array, of: str) -> Array:
    """Rows of another array's shape."""
    a = array(name, value)
    if a.shape != other.shape:
        refuse(ValueError, name, f"the shape of {of}, {other.shape}", f"shape {a.shape}")
    return a


def bits(name: str, value: Any, of: str, shape: tuple[int, ...]) -> tuple[Array, Domain]:
    """Integers 0 and 1, or bools, one for each row."""
    a = labels(name, value, shape[:-1], shape, "labels 0 or 1", of)
    return a, Domain(name, "labels 0 or 1 (from -1 and 1: t > 0)", 0.0, 1.0)


def signs(value: Any, of: str, shape: tuple[int, ...]) -> tuple[Array, Domain]:
    """Numbers -1 and 1, one for each row."""
    a = array(SIGNS.argument, value)
    if a.shape != shape[:-1]:
        expected = f"labels -1 or 1 of shape {shape[:-1]} for {of} of shape {shape}"
        refuse(ValueError, SIGNS.argument, expected, f"shape {a.shape}")
    return a, SIGNS


def norm(name: str, value: Any) -> float:
    """The p of a p-norm: a number from 1 on, or infinity."""
    expected = "a number >= 1, or infinity"
    if isinstance(value, (float, np.floating)) and value == math.inf:
        return math.inf
    p = number(name, value, expected)
    if p < 1:
        refuse(ValueError, name, expected, p)
    return p

"""Options: numbers, flags, integers, names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._refusals import refuse


def number(name: str, value: Any, expected: str) -> float:
    """A finite real number as a float."""
    if type(value) is float:
        x = value
    else:
        if isinstance(value, (bool, np.bool_)) or not (
            isinstance(value, (int, float, np.integer, np.floating))
            or (isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf")
        ):
            refuse(TypeError, name, expected, repr(value))
        try:
            x = float(value)
        except OverflowError:
            refuse(ValueError, name, expected, "an integer too large for a float")
    if not math.isfinite(x):
        refuse(ValueError, name, expected, x)
    return x


def positive(name: str, value: Any) -> float:
    x = number(name, value, "a number > 0")
    if not x > 0:
        refuse(ValueError, name, "a number > 0", x)
    return x


def at_least_zero(name: str, value: Any) -> float:
    x = number(name, value, "a number >= 0")
    if not x >= 0:
        refuse(ValueError, name, "a number >= 0", x)
    return x


def between(name: str, value: Any, low: float, high: float) -> float:
    """A number in [low, high]."""
    expected = f"a number in [{low:g}, {high:g}]"
    x = number(name, value, expected)
    if not low <= x <= high:
        refuse(ValueError, name, expected, x)
    return x


def within(name: str, value: Any, low: float, high: float) -> float:
    """A number in (low, high)."""
    expected = f"a number in ({low:g}, {high:g})"
    x = number(name, value, expected)
    if not low < x < high:
        refuse(ValueError, name, expected, x)
    return x


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        refuse(TypeError, name, "True or False", repr(value))
    return bool(value)


def integer(name: str, value: Any) -> int:
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        refuse(TypeError, name, "an integer", repr(value))
    try:
        return int(value.__index__())
    except TypeError:
        refuse(TypeError, name, "an integer", repr(value))


def ignored_label(value: Any) -> int | None:
    """ignore_index: any integer that an int64 holds, or None."""
    if value is None:
        return None
    x = integer("ignore_index", value)
    if not -(2**63) <= x < 2**63 - 1:
        refuse(ValueError, "ignore_index", "an integer in [-2**63, 2**63 - 1), or None", x)
    return x


def one_of(name: str, value: Any, choices: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        refuse(ValueError, name, f"one of {', '.join(map(repr, choices))}", repr(value))
    return value

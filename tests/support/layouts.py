"""How the same numbers can lie in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matrix import every

Layout = Callable[[np.ndarray], np.ndarray]


def fortran(a: np.ndarray) -> np.ndarray:
    return np.asfortranarray(a)


def reversed_(a: np.ndarray) -> np.ndarray:
    """Every stride negative."""
    flip = (slice(None, None, -1),) * a.ndim
    return np.ascontiguousarray(a[flip])[flip]


def every_other(a: np.ndarray) -> np.ndarray:
    """Every stride doubled."""
    wide = np.full(tuple(2 * n for n in a.shape), 99, a.dtype)
    view = wide[(slice(None, None, 2),) * a.ndim]
    view[...] = a
    return view


def padded_rows(a: np.ndarray) -> np.ndarray:
    """A contiguous last axis inside a wider row."""
    wide = np.full((*a.shape[:-1], a.shape[-1] + 3), 99, a.dtype)
    wide[..., 1:-2] = a
    return wide[..., 1:-2]


def misaligned(a: np.ndarray) -> np.ndarray:
    """At an address that is no multiple of the item size."""
    buffer = np.empty(a.nbytes + 1, np.uint8)
    view = buffer[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    assert a.itemsize == 1 or not view.flags.aligned
    return view


def other_endian(a: np.ndarray) -> np.ndarray:
    return a.astype(a.dtype.newbyteorder())


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


LAYOUTS: dict[str, Layout] = {
    f.__name__: f for f in (fortran, reversed_, every_other, padded_rows, misaligned, other_endian, read_only)
}


every_layout = every("layout", LAYOUTS.values())

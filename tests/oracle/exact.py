"""What every oracle is made of: arrays of about 106 bits, two kinds of number to compute with, and a memory for results."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from mpmath import mp, mpf
from numpy.typing import ArrayLike

mp.prec = 160

EXTENDED = np.finfo(np.longdouble).nmant >= 63  # x86's 80-bit floats; elsewhere mpmath does it all


class Exact(NamedTuple):
    """An array of numbers of about 106 bits: the unevaluated sum of two float64 arrays."""

    hi: np.ndarray
    lo: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> Exact:
        x = np.asarray(x)
        with np.errstate(over="ignore"):
            hi = x.astype(np.float64)
        finite = np.isfinite(hi)
        rest = np.where(finite, x, 0) - np.where(finite, hi, 0.0)
        return cls(hi, rest.astype(np.float64))

    def minus(self, x: ArrayLike) -> np.ndarray:
        """self - x where x is close to self: the subtraction of hi is then exact."""
        with np.errstate(invalid="ignore", over="ignore"):
            x = np.asarray(x).astype(np.float64)
            return np.where(self.hi == x, self.lo, (self.hi - x) + self.lo)


class Truth(NamedTuple):
    """Values and derivatives (of the sum of the values, per differentiable argument) in the input's shape."""

    value: Exact
    weight: np.ndarray
    derivatives: tuple[tuple[Exact, ...], ...]  # [order - 1][argument]


def batch(derivative: Exact, rows: Any, shared: bool, factor: ArrayLike = 1.0) -> Exact:
    """The derivative of a batch made of some samples, each times a factor; a shared argument's is their sum."""
    factor = np.asarray(factor, np.float64).reshape((-1,) + (1,) * (derivative.hi.ndim - 1))
    hi, lo = derivative.hi[rows] * factor, derivative.lo[rows] * factor
    return Exact(hi.sum(axis=0), lo.sum(axis=0)) if shared else Exact(hi, lo)


# -- The two kinds of number ------------------------------------------------------------------------


class Field(NamedTuple):
    """What a definition needs of its numbers, applied to arrays."""

    lift: Callable[[Any], np.ndarray]
    exp: Callable[[np.ndarray], np.ndarray]
    log1p: Callable[[np.ndarray], np.ndarray]


def mp_exp(x: mpf) -> mpf:
    return mp.exp(x) if x > -30000 else mpf(0)  # exp(-30000) is 1e-13029: nothing to any float


def elementwise(function: Callable[..., Any], inputs: int = 1) -> Callable[..., np.ndarray]:
    ufunc = np.frompyfunc(function, inputs, 1)
    return lambda *x: np.asarray(ufunc(*x), dtype=object)


def _lift_mp(x: ArrayLike) -> np.ndarray:
    return elementwise(lambda v: mpf(float(v)))(np.asarray(x).astype(np.float64))


MP = Field(_lift_mp, elementwise(mp_exp), elementwise(mp.log1p))
LONG = Field(lambda x: np.asarray(x).astype(np.longdouble), np.exp, np.log1p)


def log(x: np.ndarray) -> np.ndarray:
    return elementwise(mp.log)(x) if x.dtype == object else np.log(x)


def root(x: np.ndarray) -> np.ndarray:
    return elementwise(mp.sqrt)(x) if x.dtype == object else np.sqrt(x)


# -- Results are kept -------------------------------------------------------------------------------

_known: dict[Any, Any] = {}  # results by their question, the longest unused first
KNOWN = 1000  # at most so many


def once(function: Callable[..., Any], args: tuple[ArrayLike, ...], options: dict[str, Any], *rest: Any) -> Any:
    """function(args, options, *rest), worked out once for the same numbers: several tests ask, at every CPU level."""
    key = (function, *rest, *sorted(options), *map(_fingerprint, args), *(_fingerprint(options[k]) for k in sorted(options)))
    known = _known.pop(key) if key in _known else function(args, options, *rest)
    _known[key] = known
    if len(_known) > KNOWN:
        del _known[next(iter(_known))]
    return known


def _fingerprint(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return repr(value)
    return value.shape, value.dtype.str, hashlib.blake2b(value.tobytes()).digest()

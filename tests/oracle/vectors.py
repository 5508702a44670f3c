"""Pairs and triplets of vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath import mp, mpf
from numpy.typing import ArrayLike

from .exact import Exact, Truth

Vector = list[mpf]


def _length(e: Vector, p: float) -> tuple[mpf, Vector]:
    """The norm and its slopes; 0 where it is 0. Of several largest entries each has its share."""
    sizes = [abs(v) for v in e]
    signs = [mpf(mp.sign(v)) for v in e]
    top = max(sizes, default=mpf(0))
    if not top:
        return mpf(0), [mpf(0)] * len(e)
    if np.isinf(p):
        leads = [v == top for v in sizes]
        return top, [s * lead / sum(leads) for s, lead in zip(signs, leads, strict=True)]
    d = mp.root(mp.fsum(v**2 for v in sizes), 2) if p == 2 else mp.fsum(v ** mpf(p) for v in sizes) ** (1 / mpf(p))
    return d, [s * ((v / d) ** (mpf(p) - 1) if v else mpf(0)) for s, v in zip(signs, sizes, strict=True)]


def contrastive_row(x1: Vector, x2: Vector, similar: mpf, margin: float = 1.0, power: float = 2) -> tuple[mpf, list[Vector]]:
    k = mpf(power)
    d, slope = _length([a - b for a, b in zip(x1, x2, strict=True)], 2)
    base = d if similar == 1 else max(mpf(0), mpf(margin) - d)
    outer = k / 2 * base ** (k - 1) if base else mpf(0)
    first = [(outer if similar == 1 else -outer) * s for s in slope]
    return base**k / 2, [first, [-v for v in first]]


def triplet_row(
    a: Vector, pos: Vector, neg: Vector, margin: float = 1.0, p: float = 2.0, swap: bool = False, squared: bool = False,
    eps: float = 1e-6,
) -> tuple[mpf, list[Vector]]:  # fmt: skip
    def distance(x: Vector, y: Vector) -> tuple[mpf, Vector]:
        d, slope = _length([u - v + mpf(eps) for u, v in zip(x, y, strict=True)], p)
        return (d**2, [2 * d * s for s in slope]) if squared else (d, slope)

    none = [mpf(0)] * len(a)
    near, pull = distance(a, pos)
    away, push, across = *distance(a, neg), none
    if swap and distance(pos, neg)[0] < away:
        away, across, push = *distance(pos, neg), none
    value = near - away + mpf(margin)
    if value <= 0:
        return mpf(0), [none, none, none]
    of_a = [u - v for u, v in zip(pull, push, strict=True)]
    of_pos = [-u - w for u, w in zip(pull, across, strict=True)]
    of_neg = [v + w for v, w in zip(push, across, strict=True)]
    return value, [of_a, of_pos, of_neg]


def cosine_row(x1: Vector, x2: Vector, target: mpf, margin: float = 0.0) -> tuple[mpf, list[Vector]]:
    n1, n2 = (mp.sqrt(mp.fsum(v**2 for v in x)) for x in (x1, x2))
    none = [mpf(0)] * len(x1)
    if not n1 or not n2:
        return mpf(1) if target == 1 else max(mpf(0), -mpf(margin)), [none, none]
    cosine = mp.fsum(u * v for u, v in zip(x1, x2, strict=True)) / (n1 * n2)
    value = 1 - cosine if target == 1 else max(mpf(0), cosine - mpf(margin))
    sign = -target if value else mpf(0)
    first = [sign * (v / n2 - cosine * u / n1) / n1 for u, v in zip(x1, x2, strict=True)]
    second = [sign * (u / n1 - cosine * v / n2) / n2 for u, v in zip(x1, x2, strict=True)]
    return value, [first, second]


VECTORS: dict[str, Callable[..., tuple[mpf, list[Vector]]]] = {
    "contrastive": contrastive_row,
    "triplet": triplet_row,
    "cosine_embedding": cosine_row,
}


def vector_truth(args: tuple[ArrayLike, ...], options: dict[str, Any], name: str) -> Truth:
    """Row by row, at a precision at which nothing cancels."""
    arrays = [np.asarray(a).astype(np.float64) for a in args]
    shape, d = arrays[0].shape[:-1], arrays[0].shape[-1]
    flat = [a.reshape(-1, d) if a.ndim > len(shape) else a.reshape(-1) for a in arrays]
    values, grads = [], [[] for a in flat if a.ndim == 2]
    with mp.workprec(700):
        for row in zip(*flat, strict=True):
            value, slopes = VECTORS[name](*([mpf(float(v)) for v in x] if np.ndim(x) else mpf(float(x)) for x in row), **options)
            values.append(value)
            for kept, slope in zip(grads, slopes, strict=True):
                kept.append(slope)
        exact = [Exact.of(np.array(g, dtype=object).reshape(*shape, d)) for g in grads]
        return Truth(Exact.of(np.array(values, dtype=object).reshape(shape)), np.ones(shape), (tuple(exact),))

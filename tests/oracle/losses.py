"""One entry point for the tests that walk the registry: the exact results of a loss, by its name."""

from __future__ import annotations

from typing import Any

import numpy as np
from mpmath import mpf
from numpy.typing import ArrayLike

from .batches import BATCHWISE, batchwise
from .boxes import box_truth
from .ctc import SEQUENCES
from .exact import MP, Exact, Field, Truth, elementwise, once
from .pointwise import POINTWISE, SUMS, pointwise_truth
from .regions import REGIONS, region_truth
from .scores import ROWS
from .thresholds import SHARED
from .vectors import VECTORS, vector_truth


def truth(
    name: str,
    args: tuple[ArrayLike, ...],
    options: dict[str, Any],
    wrt: tuple[int, ...] = (0,),
    max_order: int = 0,
    field: Field = MP,
) -> Truth:
    """The exact answers of the loss called `name`; class axis last for row losses."""
    return once(_truth, tuple(map(np.asarray, args)), options, name, wrt, max_order, field)


def _truth(
    args: tuple[np.ndarray, ...], options: dict[str, Any], name: str, wrt: tuple[int, ...], max_order: int, field: Field
) -> Truth:
    orders = range(1, max_order + 1)
    if name in SHARED or name in SEQUENCES:
        return (SHARED | SEQUENCES)[name](args, options, max_order)
    if name in REGIONS:
        return region_truth(name, args, options, max_order)
    if name in BATCHWISE:
        b = batchwise(name, args, options)
        return Truth(Exact.of(b.value), b.weight, (tuple(map(Exact.of, b.grads)),)[:max_order])
    if name == "box_iou":
        return box_truth(args, options, max_order)
    if name in VECTORS:
        return vector_truth(args, options, name)
    if name in POINTWISE:
        value = pointwise_truth(name, args, options, 0, 0)
        derivatives = tuple(tuple(pointwise_truth(name, args, options, i, k) for i in wrt) for k in orders)
        return Truth(value, np.ones(value.hi.shape), derivatives)
    if name in SUMS:
        terms = elementwise(lambda hi, lo: mpf(hi) + mpf(lo), 2)(*pointwise_truth(name, args, options, 0, 0))
        derivatives = tuple(tuple(pointwise_truth(name, args, options, i, k) for i in wrt) for k in orders)
        return Truth(Exact.of(terms.sum(axis=-1)), np.ones(terms.shape[:-1]), derivatives)
    x, target = np.asarray(args[0]), np.asarray(args[1])
    flat = target.reshape((-1, x.shape[-1]) if target.ndim == x.ndim else -1)
    r = ROWS[name](x.reshape(-1, x.shape[-1]), flat, field, **options)
    shape = x.shape[:-1]
    derivatives = [getattr(r, which) for which in ("grad", "hess")[:max_order]]
    return Truth(
        Exact(*(part.reshape(shape) for part in r.value)),
        r.weight.reshape(shape),
        tuple((Exact(*(part.reshape(x.shape) for part in d)),) for d in derivatives),
    )

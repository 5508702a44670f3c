"""Pairs of boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
from mpmath import mp, mpf
from numpy.typing import ArrayLike

from .exact import Exact, Truth


def box_iou(*numbers: mpf, kind: str = "giou", format: str = "xyxy", eps: mpf = 0) -> mpf:
    def corners(x: mpf, y: mpf, u: mpf, v: mpf) -> tuple[mpf, ...]:
        return (x, y, u, v) if format == "xyxy" else (x, y, x + u, y + v) if format == "xywh" else (
            x - u / 2, y - v / 2, x + u / 2, y + v / 2)  # fmt: skip

    a, b = corners(*numbers[:4]), corners(*numbers[4:])
    (w, h), (u, v) = ((c[2] - c[0], c[3] - c[1]) for c in (a, b))
    shared = [max(mpf(0), min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1)]
    hull = [max(a[k + 2], b[k + 2]) - min(a[k], b[k]) for k in (0, 1)]
    union = w * h + u * v - shared[0] * shared[1]
    loss = 1 - shared[0] * shared[1] / (union + eps)
    if kind == "giou":
        return loss + (hull[0] * hull[1] - union) / (hull[0] * hull[1] + eps)
    if kind == "iou":
        return loss
    far = sum(((a[k] + a[k + 2] - b[k] - b[k + 2]) / 2) ** 2 for k in (0, 1))
    away = far / (hull[0] ** 2 + hull[1] ** 2 + eps)
    if kind == "ciou":
        turn = 4 / mp.pi**2 * (mp.atan2(u, v) - mp.atan2(w, h)) ** 2
        away += turn**2 / (loss + turn + eps) if turn else 0
    return loss + away


def box_truth(args: tuple[ArrayLike, ...], options: dict[str, Any], max_order: int) -> Truth:
    rows = np.concatenate([np.asarray(a, np.float64) for a in args], axis=-1)
    shape = rows.shape[:-1]
    flat = [[mpf(float(v)) for v in row] for row in rows.reshape(-1, 8)]
    value = Exact.of(np.array([box_iou(*row, **options) for row in flat], dtype=object).reshape(shape))
    if not max_order:
        return Truth(value, np.ones(shape), ())

    def slope(row: list[mpf], k: int) -> mpf:
        return mp.diff(lambda v: box_iou(*row[:k], v, *row[k + 1 :], **options), row[k])

    slopes = [[slope(row, k) for k in range(4)] for row in flat]
    return Truth(value, np.ones(shape), ((Exact.of(np.array(slopes, dtype=object).reshape(*shape, 4)),),))

"""Batches whose samples are compared with one another, N rows of D: mined triplets and contrastive losses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .exact import EXTENDED, LONG, MP, Field, log, once, root


class Batch(NamedTuple):
    """What a batch-wise loss comes to. The gradients are those of the sum of factor x value; a scale is what rounding is
    relative to: of a value the numbers that it is a difference of, of a gradient the sum of its terms."""

    value: np.ndarray
    weight: np.ndarray
    value_scale: np.ndarray
    grads: tuple[np.ndarray, ...]
    grad_scales: tuple[np.ndarray, ...]


def _over(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x / y, and 0 where y is."""
    zero = np.equal(y, 0).astype(bool)
    return np.where(zero, 0 * x, x / np.where(zero, y + 1, y))


def _table(x: ArrayLike) -> np.ndarray:
    return np.abs(np.asarray(x).astype(np.float64))


def mined(d: np.ndarray, labels: np.ndarray, anchor: int, mining: str, margin: float) -> Iterator[tuple[int, int]]:
    """The triplets of an anchor, by a loop over them; the first of equal distances is taken."""
    positives = [int(j) for j in np.flatnonzero(labels == labels[anchor]) if j != anchor]
    negatives = [int(j) for j in np.flatnonzero(labels != labels[anchor])]
    row = d[anchor]
    if mining == "hard":
        if positives and negatives:
            yield max(positives, key=lambda j: row[j]), min(negatives, key=lambda j: row[j])
        return
    for p in positives:
        farther = [n for n in negatives if row[n] > row[p]]
        if mining == "semihard":
            if farther:
                yield p, min(farther, key=lambda j: row[j])
        elif mining == "all_semihard":
            yield from ((p, n) for n in farther if row[n] < row[p] + margin)
        else:
            yield from ((p, n) for n in negatives)


def batch_triplet(
    args: tuple[ArrayLike, ...],
    options: dict[str, Any],
    factor: np.ndarray,
    field: Field,
) -> Batch:
    """By a loop over all triplets. A distance that comes from |x|^2 + |y|^2 - 2 x.y is off by digits of (|x|^2 + |y|^2) / d."""
    o = {"mining": "hard", "margin": 0.2, "squared": False, "average": "active"} | options
    x, labels = field.lift(args[0]), np.asarray(args[1])
    n = len(x)
    e = x[:, None] - x
    d = (e * e).sum(axis=2) if o["squared"] else root((e * e).sum(axis=2))
    lengths = np.sqrt((_table(x) ** 2).sum(axis=1))
    apart = _table(d)
    sizes = lengths[:, None] ** 2 + lengths**2
    off = sizes if o["squared"] else _over(sizes, apart)
    margin = field.lift(o["margin"])[()]
    value, weight, scale = 0 * d[:, 0] if n else field.lift(np.zeros(0)), np.zeros(n), np.zeros(n)
    pull = np.zeros((n, n))  # how often a distance is to shrink, for each anchor
    for a in range(n):
        for p, q in mined(d, labels, a, o["mining"], margin):
            loss = d[a, p] - d[a, q] + margin
            active = loss > 0
            weight[a] += active or o["average"] == "valid"
            if active:
                value[a] += loss
                scale[a] += off[a, p] + off[a, q] + float(margin)
                pull[a, p] += 1
                pull[a, q] -= 1
    one = field.lift(np.ones((n, n)))
    pull = field.lift(pull) * field.lift(factor)[:, None] * (2 * one if o["squared"] else _over(one, d))
    pull = pull + pull.T
    grad = pull.sum(axis=1)[:, None] * x - pull @ x
    reach = lengths[:, None] + lengths
    terms = (_table(pull) * reach * (1 + (0 if o["squared"] else _over(reach, apart)))).sum(axis=1)
    return Batch(value, weight, scale, (grad,), (np.broadcast_to(terms[:, None], x.shape),))


class Rows:
    """Rows of an argument, divided by their lengths where that is asked for, and the way back."""

    def __init__(self, x: ArrayLike, normalize: bool, field: Field) -> None:
        x = field.lift(x)
        self.length = root((x * x).sum(axis=1))[:, None] if normalize else field.lift(np.ones((len(x), 1)))
        self.unit, self.normalize = _over(x, self.length), normalize

    def back(self, slope: np.ndarray) -> np.ndarray:
        """From the gradient of the divided row to that of the row itself."""
        if self.normalize:
            slope = slope - (slope * self.unit).sum(axis=1)[:, None] * self.unit
        return _over(slope, self.length)

    def scale(self, terms: np.ndarray) -> np.ndarray:
        return np.broadcast_to(_over(terms[:, None], _table(self.length)), self.unit.shape)

    @property
    def size(self) -> np.ndarray:
        """How long the rows are that are multiplied."""
        return np.sqrt((_table(self.unit) ** 2).sum(axis=1))


def _shares(scores: np.ndarray, among: np.ndarray, field: Field) -> tuple[np.ndarray, np.ndarray]:
    """Softmax of each row among some of its entries, and minus its logarithm."""
    some = among.any(axis=1)
    top = np.array([max(row[ok]) if any(ok) else row[0] for row, ok in zip(scores, among, strict=True)], dtype=scores.dtype)
    e = np.where(among, field.exp(np.where(among, scores - top[:, None], 0 * scores)), 0 * scores)
    total = e.sum(axis=1) if some.all() else np.where(some, e.sum(axis=1), e.sum(axis=1) + 1)
    return e / total[:, None], log(total)[:, None] + top[:, None] - scores


def _missed(share: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """share - target, at a lone target as minus the others, for it may be next to nothing; and the sizes that are subtracted."""
    at = np.greater(target, 0).astype(bool)
    lone = at & (at.sum(axis=1, keepdims=True) == 1)
    others = np.where(at, 0 * share, share).sum(axis=1)[:, None]
    slope = np.where(lone, -others, share - target)
    return slope, np.where(at & ~lone, _table(share) + _table(target), _table(slope))


def contrast(name: str, args: tuple[ArrayLike, ...], options: dict[str, Any], factor: np.ndarray, field: Field) -> Batch:
    """nt_xent, supcon and info_nce, from the scores of rows against rows: sum over t of target x -log softmax."""
    default = {"nt_xent": 0.5}.get(name, 0.07)
    o = {"temperature": default, "normalize": True, "symmetric": False, "negatives": None} | options
    rows = [Rows(a, o["normalize"], field) for a in (args[:1] if name == "supcon" else args)]
    t, queue = field.lift(o["temperature"])[()], None
    if name == "info_nce":
        left, right = rows[0].unit, rows[1].unit
        if o["negatives"] is not None:
            queue = Rows(o["negatives"], o["normalize"], field).unit
    else:
        left = right = np.concatenate([r.unit for r in rows])
    n = len(left)
    if queue is None:
        scores, among = left @ right.T / t, np.ones((n, n), bool)
        target = np.eye(n)
    else:
        scores = np.concatenate([(left * right).sum(axis=1)[:, None], left @ queue.T], axis=1) / t
        among, target = np.ones(scores.shape, bool), np.eye(1, scores.shape[1]).repeat(n, axis=0)
    if name != "info_nce":
        among = ~np.eye(n, dtype=bool)
        labels = np.tile(np.arange(n // 2), 2) if name == "nt_xent" else np.asarray(args[1])
        target = (labels[:, None] == labels) & among
    weight = target.any(axis=1).astype(np.float64)
    target = field.lift(target) / field.lift(np.maximum(target.sum(axis=1), 1))[:, None]
    share, loss = _shares(scores, among, field)
    value = (target * np.where(among, loss, 0 * loss)).sum(axis=1)
    each = field.lift(factor * weight)[:, None]
    slope, pulls = (each * part for part in _missed(share, target))
    if o["symmetric"]:
        share, loss = _shares(scores.T, among, field)
        value = (value + (target * loss).sum(axis=1)) / 2
        slope, pulls = ((a + (each * b).T) / 2 for a, b in zip((slope, pulls), _missed(share, target), strict=True))
    pulls = _table(pulls)
    reach = max((r.size.max(initial=0.0) for r in rows), default=0.0) if o["normalize"] else _table(scores).max(initial=0.0)
    reach = reach / float(t) if o["normalize"] else reach
    if queue is None:
        slopes = [slope @ right / t, slope.T @ left / t]
        terms = [pulls @ _norms(right), pulls.T @ _norms(left)]
    else:
        own, size = slope[:, :1], pulls[:, 0]
        slopes = [(own * right + slope[:, 1:] @ queue) / t, own * left / t]
        terms = [size * _norms(right) + pulls[:, 1:] @ _norms(queue), size * _norms(left)]
    if name != "info_nce":  # both sides are the same rows
        parts = np.array([0, *np.cumsum([len(r.unit) for r in rows])])
        whole, size = slopes[0] + slopes[1], terms[0] + terms[1]
        slopes, terms = ([w[i:j] for i, j in itertools.pairwise(parts)] for w in (whole, size))
    grads = tuple(r.back(s) for r, s in zip(rows, slopes, strict=True))
    scales = tuple(r.scale(s / float(t) * (1 + reach)) for r, s in zip(rows, terms, strict=True))
    return Batch(value, weight, np.full(n, reach), grads, scales)


def _norms(x: np.ndarray) -> np.ndarray:
    return np.sqrt((_table(x) ** 2).sum(axis=1))


BATCHWISE = ("batch_triplet", "nt_xent", "info_nce", "supcon")


def _batch_of(args: tuple[ArrayLike, ...], options: dict[str, Any], name: str, factor: bytes, field: Field) -> Batch:
    weights = np.frombuffer(factor)
    return (
        batch_triplet(args, options, weights, field) if name == "batch_triplet" else contrast(name, args, options, weights, field)
    )


def batchwise(
    name: str, args: tuple[ArrayLike, ...], options: dict[str, Any], factor: ArrayLike = 1.0, field: Field | None = None
) -> Batch:
    """The exact answers for a batch, each value times its factor in the gradient."""
    length = len(np.asarray(args[0])) * (2 if name == "nt_xent" else 1)
    weights = np.broadcast_to(np.asarray(factor, np.float64), length)
    return once(_batch_of, args, options, name, weights.tobytes(), field or (LONG if EXTENDED else MP))

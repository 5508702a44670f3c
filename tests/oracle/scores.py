"""Losses of a row of scores and a label: one scalar function of both each, differentiated numerically."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from mpmath import mp, mpf
from numpy.typing import ArrayLike

from .exact import MP, Exact, Field
from .pointwise import softplus
from .rows import Distillation, RowTruth, cross_entropy, nll, transformed


def multiclass_hinge(x: list[mpf], y: int, kind: str = "crammer_singer", margin: mpf = 1, p: int = 1) -> mpf:
    terms = [max(mpf(0), margin - x[y] + v) ** p for j, v in enumerate(x) if j != y] or [mpf(0)]
    return max(terms) if kind == "crammer_singer" else mp.fsum(terms) / len(x)


def _task(x: list[mpf], y: int, k: int) -> mpf:
    return softplus(-x[k] if y > k else x[k])


def coral(x: list[mpf], y: int, level_weight: ArrayLike | None = None) -> mpf:
    weight = np.ones(len(x)) if level_weight is None else np.asarray(level_weight, np.float64)
    return mp.fsum(mpf(float(w)) * _task(x, y, k) for k, w in enumerate(weight))


def corn(x: list[mpf], y: int) -> mpf:
    return mp.fsum(_task(x, y, k) for k in range(min(y + 1, len(x))))


def squared_emd(x: list[mpf], y: int) -> mpf:
    with mp.workprec(4 * mp.prec):  # 1 - CDF is taken as it stands
        e = [mp.exp(v) for v in x]
        cdf = [mp.fsum(e[: k + 1]) / mp.fsum(e) for k in range(len(x))]
        return +mp.fsum((c - (y <= k)) ** 2 for k, c in enumerate(cdf[:-1]))


def energy(x: list[mpf], y: int, kind: str = "nll", margin: mpf = 1, beta: mpf = 1) -> mpf:
    own, rival = x[y], min((v for j, v in enumerate(x) if j != y), default=mpf("inf"))
    if kind in ("nll", "mee"):
        rest = mp.fsum(mp.exp(-beta * (v - own)) for j, v in enumerate(x) if j != y)
        return mp.log1p(rest) / beta if kind == "nll" else rest / (1 + rest)
    return {
        "energy": lambda: own,
        "perceptron": lambda: own - min(x),
        "hinge": lambda: max(mpf(0), margin + own - rival),
        "log": lambda: softplus(own - rival),
        "lvq2": lambda: min(mpf(margin), max(mpf(0), own - rival)),
        "mce": lambda: 1 / (1 + mp.exp(rival - own)),
        "square_square": lambda: own**2 + max(mpf(0), margin - rival) ** 2,
        "square_exp": lambda: own**2 + beta * mp.exp(-rival),
    }[kind]()


class Scored(RowTruth):
    """Any such loss; derivatives by numeric differentiation at a higher precision."""

    def __init__(
        self,
        function: Callable[..., mpf],
        x: ArrayLike,
        target: ArrayLike,
        class_weight: ArrayLike | None = None,
        ignore_index: int | None = None,
        **options: Any,
    ) -> None:
        self.x, self.y = MP.lift(x), np.asarray(target)
        self.counted = np.ones(self.y.shape, bool) if ignore_index is None else self.y != ignore_index
        self.y = np.where(self.counted, self.y, 0)
        weight = np.ones(1 + self.y.max(initial=0)) if class_weight is None else np.asarray(class_weight, np.float64)
        self.factor = np.where(self.counted, weight[self.y], 0.0)
        self.weight = self.factor
        self.function = lambda row, y: function(row, int(y), **options)

    @cached_property
    def value(self) -> Exact:
        each = [f * self.function(list(row), y) if f else mpf(0) for f, row, y in zip(self.factor, self.x, self.y, strict=True)]
        return Exact.of(np.array(each, dtype=object))

    def derivative(self, order: int) -> Exact:
        def one(row: list[mpf], y: int, j: int) -> mpf:
            return mp.diff(lambda v: self.function([*row[:j], v, *row[j + 1 :]], y), row[j], order)

        rows = zip(self.factor, self.x, self.y, strict=True)
        table = [[f * one(list(row), y, j) if f else mpf(0) for j in range(len(row))] for f, row, y in rows]
        return Exact.of(np.array(table, dtype=object).reshape(self.x.shape))

    @cached_property
    def grad(self) -> Exact:
        return self.derivative(1)

    @cached_property
    def hess(self) -> Exact:
        return self.derivative(2)


def _scored(function: Callable[..., mpf]) -> Callable[..., RowTruth]:
    default = -100 if function is multiclass_hinge else None

    def make(x: ArrayLike, target: ArrayLike, field: Field = MP, **options: Any) -> RowTruth:
        truth = Scored(function, x, target, ignore_index=options.pop("ignore_index", default), **options)
        if function is corn:  # weighed by its tasks
            truth.weight = np.minimum(truth.y + 1.0, truth.x.shape[1])
        return truth

    return make


ROWS: dict[str, Callable[..., RowTruth]] = {
    **{f.__name__: f for f in (cross_entropy, nll)},
    **{f.__name__: _scored(f) for f in (multiclass_hinge, coral, corn, squared_emd, energy)},
    "softmax_focal": transformed("focal", "gamma", 2.0),
    "poly1_cross_entropy": transformed("poly1", "epsilon", 1.0),
    "generalized_cross_entropy": transformed("generalized", "q", 0.7),
    "kl_div_with_logits": Distillation,
}

"""Rows of logits through a softmax, without cancellation: cross-entropy, functions of it, distillation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from mpmath import mp, mpf
from numpy.typing import ArrayLike

from .exact import MP, Exact, Field, elementwise


class Softmax:
    """A batch of rows: probabilities p, their complements q = 1 - p and -log p, without cancellation."""

    def __init__(self, x: ArrayLike, field: Field = MP) -> None:
        x = x if isinstance(x, np.ndarray) and x.dtype == object else field.lift(x)
        rows = np.arange(len(x))
        top = np.argmax(np.asarray(x, dtype=np.float64), axis=1)
        m = x[rows, top][:, None]
        shift = x - m
        e = field.exp(shift)
        e[rows, top] = 0
        rest = e.sum(axis=1)[:, None]
        self.top, self.rest = m[:, 0], rest[:, 0]
        self.tail = field.log1p(rest)
        self.loss = self.tail - shift
        self.p = e / (1 + rest)
        self.p[rows, top] = 1 / (1 + self.rest)
        self.q = 1 - self.p
        self.q[rows, top] = self.rest / (1 + self.rest)
        self.field = field


def coefficients(
    target: ArrayLike,
    classes: int,
    field: Field = MP,
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """What multiplies -log p in each entry, and the row's weight, for index or probability targets."""
    target = np.asarray(target)
    cw = field.lift(np.ones(classes) if class_weight is None else class_weight)[None, :]
    s = field.lift(label_smoothing)[()]
    if target.ndim == 2:
        t = field.lift(target)
        weight = (cw * t).sum(axis=1) if class_weight is not None else field.lift(np.ones(len(t)))
        return cw * ((1 - s) * t + s / classes), weight
    counted = np.ones(target.shape, bool) if ignore_index is None else target != ignore_index
    label = np.where(counted, target, 0).astype(np.intp)
    t = field.lift(np.eye(classes)[label] if classes < 300 else _one_hot(label, classes))
    keep = field.lift(counted)
    return keep[:, None] * cw * ((1 - s) * t + s / classes), keep * cw[0][label]


def _one_hot(label: np.ndarray, classes: int) -> np.ndarray:
    t = np.zeros((len(label), classes))
    t[np.arange(len(label)), label] = 1.0
    return t


class RowTruth:
    """The exact answers for a batch of rows, worked out when asked for."""

    weight: np.ndarray  # of each row, in the mean
    value: cached_property[Exact]  # of each row
    grad: cached_property[Exact]  # of each entry
    hess: cached_property[Exact]
    terms: cached_property[np.ndarray]  # the gradient is a difference: the largest sum of its two terms in each row


class CrossEntropy(RowTruth):
    """From a softmax already made: many targets and options then share its exponentials."""

    def __init__(self, rows: Softmax, target: ArrayLike, **options: Any) -> None:
        self.rows = rows
        self.w, weight = coefficients(target, rows.p.shape[1], rows.field, **options)
        self.total = self.w.sum(axis=1)[:, None]
        self.weight = weight.astype(np.float64)

    @cached_property
    def value(self) -> Exact:
        loss = np.where(self.w == 0, 0, self.rows.loss)  # 0 log 0 = 0
        return Exact.of((self.w * loss).sum(axis=1))

    @cached_property
    def grad(self) -> Exact:
        return Exact.of(self.rows.p * (self.total - self.w) - self.w * self.rows.q)

    @cached_property
    def hess(self) -> Exact:
        return Exact.of(self.total * self.rows.p * self.rows.q)

    @cached_property
    def terms(self) -> np.ndarray:
        return (self.rows.p * self.total + self.w).astype(np.float64).max(axis=1, keepdims=True)


class Transformed(CrossEntropy):
    """A function F(l) of the classes' cross-entropies l, and its slope, in place of l itself."""

    def __init__(self, rows: Softmax, target: ArrayLike, transform: str, parameter: float, **options: Any) -> None:
        super().__init__(rows, target, **options)
        l, p, q, a = rows.loss, rows.p, rows.q, rows.field.lift(parameter)[()]  # noqa: E741 - as in the formulas
        if transform == "focal":
            power = np.where(q == 0, float(parameter == 0), np.where(q == 0, 1, q) ** a)
            self.f, self.slope = power * l, power * (1 + a * p * np.where(q == 0, 1, l / np.where(q == 0, 1, q)))
        elif transform == "poly1":
            self.f, self.slope = l + a * q, 1 + a * p
        else:
            self.f, self.slope = -_expm1(-a * l) / a, rows.field.exp(-a * l)

    @cached_property
    def value(self) -> Exact:
        return Exact.of((self.w * np.where(self.w == 0, 0, self.f)).sum(axis=1))

    @cached_property
    def grad(self) -> Exact:
        w = self.w * np.where(self.w == 0, 0, self.slope)
        return Exact.of(self.rows.p * (w.sum(axis=1)[:, None] - w) - w * self.rows.q)


class Distillation(CrossEntropy):
    """Kullback-Leibler divergence of softmax(logits / temperature) from the target."""

    def __init__(
        self, x: np.ndarray, target: ArrayLike, field: Field, temperature: float = 1.0, log_target: bool = False
    ) -> None:
        self.temperature = field.lift(temperature)[()]
        super().__init__(Softmax(field.lift(x) / self.temperature, field), np.zeros((len(x), x.shape[1])))
        t = field.lift(target)
        self.w = field.exp(t) if log_target else t
        log_t = t if log_target else elementwise(lambda v: mp.log(v) if v else mpf(0))(t)
        self.negentropy = (self.w * np.where(self.w == 0, 0, log_t)).sum(axis=1)
        self.total = self.w.sum(axis=1)[:, None]

    @cached_property
    def value(self) -> Exact:
        return Exact.of((self.w * np.where(self.w == 0, 0, self.rows.loss)).sum(axis=1) + self.negentropy)

    @cached_property
    def grad(self) -> Exact:
        return Exact.of((self.rows.p * (self.total - self.w) - self.w * self.rows.q) / self.temperature)


def _expm1(x: np.ndarray) -> np.ndarray:
    return elementwise(mp.expm1)(x) if x.dtype == object else np.expm1(x)


def transformed(transform: str, option: str, default: float) -> Callable[..., RowTruth]:
    def make(logits: ArrayLike, target: ArrayLike, field: Field = MP, **options: Any) -> RowTruth:
        return Transformed(Softmax(logits, field), target, transform, options.pop(option, default), **options)

    return make


class Nll(RowTruth):
    """Minus the entry at the label."""

    def __init__(self, x: np.ndarray, target: ArrayLike, field: Field, **options: Any) -> None:
        self.x = x
        self.w, weight = coefficients(target, x.shape[1], field, **options)
        self.weight = weight.astype(np.float64)

    @cached_property
    def value(self) -> Exact:
        return Exact.of(-(self.w * np.where(self.w == 0, 0, self.x)).sum(axis=1))

    @cached_property
    def grad(self) -> Exact:
        return Exact.of(-self.w)


def cross_entropy(logits: ArrayLike, target: ArrayLike, field: Field = MP, **options: Any) -> RowTruth:
    return CrossEntropy(Softmax(logits, field), target, **options)


def nll(log_probs: ArrayLike, target: ArrayLike, field: Field = MP, **options: Any) -> RowTruth:
    return Nll(field.lift(log_probs), target, field, **options)

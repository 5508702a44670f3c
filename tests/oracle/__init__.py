"""Ground truth: every loss from its definition, in mpmath (160 bits) or, for very many classes, 80-bit floats.

Imports nothing of fastloss, so that agreement means something. N rows, C classes. A truth is kept as two
float64 arrays, `hi + lo`: about 106 bits, far below the last digit of any float64 result.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from mpmath import mp, mpf
from numpy.typing import ArrayLike

mp.prec = 160

EXTENDED = np.finfo(np.longdouble).nmant >= 63  # x86's 80-bit floats; elsewhere mpmath does it all
SMALLEST = {"float16": (-24, 11), "bfloat16": (-133, 8), "float32": (-149, 24), "float64": (-1074, 53)}

FLOOR = {"float32": 4 * 2.0**-149, "float64": 1e-300}  # a row won by 100 nats is still seen in float32
NORMAL = {"float32": 1e3 * 2.0**-126, "float64": 1e3 * 2.0**-1022}  # as a scale: sums of terms below it have few digits


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


def spacing(x: np.ndarray, dtype: str) -> np.ndarray:
    """One ULP of `dtype` at x, by the exponent of x; never below the smallest subnormal."""
    least, digits = SMALLEST[dtype]
    exponent = np.frexp(np.abs(x))[1].astype(np.int64)
    return np.ldexp(1.0, np.maximum(exponent - digits, least))


def ulp_error(got: ArrayLike, truth: Exact, dtype: str, scale: ArrayLike = 0.0) -> np.ndarray:
    """|got - truth| in ULPs of `dtype` at the truth, or at `scale` where that is larger; a truth past the largest number must
    come out infinite."""
    got = np.asarray(got).astype(np.float64)
    assert got.shape == truth.hi.shape, (got.shape, truth.hi.shape)
    if dtype != "float64":
        with np.errstate(over="ignore"):
            far = np.isinf(truth.hi.astype(dtype)) & np.isfinite(truth.hi)
        truth = Exact(np.where(far, np.copysign(np.inf, truth.hi), truth.hi), np.where(far, 0.0, truth.lo))
    size = np.maximum(np.abs(np.where(np.isfinite(truth.hi), truth.hi, 1.0)), scale)
    unit = np.where(np.isfinite(truth.hi), spacing(size, dtype), 1.0)
    error = np.abs(truth.minus(got)) / unit
    return np.where(np.isnan(truth.hi), np.where(np.isnan(got), 0.0, np.inf), np.where(np.isnan(error), np.inf, error))


# -- The two kinds of number ------------------------------------------------------------------------


class Field(NamedTuple):
    """What a definition needs of its numbers, applied to arrays."""

    lift: Callable[[Any], np.ndarray]
    exp: Callable[[np.ndarray], np.ndarray]
    log1p: Callable[[np.ndarray], np.ndarray]


def _mp_exp(x: mpf) -> mpf:
    return mp.exp(x) if x > -30000 else mpf(0)  # exp(-30000) is 1e-13029: nothing to any float


def _objects(function: Callable[..., Any], inputs: int = 1) -> Callable[..., np.ndarray]:
    ufunc = np.frompyfunc(function, inputs, 1)
    return lambda *x: np.asarray(ufunc(*x), dtype=object)


def _lift_mp(x: ArrayLike) -> np.ndarray:
    return _objects(lambda v: mpf(float(v)))(np.asarray(x).astype(np.float64))


MP = Field(_lift_mp, _objects(_mp_exp), _objects(mp.log1p))
LONG = Field(lambda x: np.asarray(x).astype(np.longdouble), np.exp, np.log1p)


# -- Pointwise losses: one scalar function each ------------------------------------------------------


def mse(x: mpf, t: mpf) -> mpf:
    return (x - t) ** 2


def mae(x: mpf, t: mpf) -> mpf:
    return abs(x - t)


def huber(x: mpf, t: mpf, delta: mpf = 1) -> mpf:
    e = abs(x - t)
    return e**2 / 2 if e <= delta else delta * (e - delta / 2)


def smooth_l1(x: mpf, t: mpf, beta: mpf = 1) -> mpf:
    e = abs(x - t)
    return e**2 / (2 * beta) if e < beta else e - beta / 2


def binary_cross_entropy(p: mpf, t: mpf, eps: mpf = 0) -> mpf:
    def log(v: mpf) -> mpf:
        if eps:
            return mp.log(min(max(v, eps), 1 - eps))
        return max(mp.log(v), mpf(-100)) if v > 0 else mpf(-100)

    return -t * log(p) - (1 - t) * log(1 - p)


def _softplus(x: mpf) -> mpf:
    return max(x, mpf(0)) + mp.log1p(_mp_exp(-abs(x)))


def binary_cross_entropy_with_logits(x: mpf, t: mpf, pos_weight: mpf | None = None, label_smoothing: mpf = 0) -> mpf:
    t = t * (1 - label_smoothing) + mpf(label_smoothing) / 2
    weight = 1 if pos_weight is None else pos_weight
    return weight * t * _softplus(-x) + (1 - t) * _softplus(x)


def pseudo_huber(x: mpf, t: mpf, delta: mpf = 1) -> mpf:
    with mp.workprec(mp.prec + 2 * 160):  # a small error leaves little of the difference
        return mpf(delta) ** 2 * (mp.sqrt(1 + ((x - t) / delta) ** 2) - 1)


def log_cosh(x: mpf, t: mpf) -> mpf:
    with mp.workprec(mp.prec + 2 * 160):  # cosh of a small error is 1 + little
        return mp.log(mp.cosh(x - t)) if abs(x - t) < 1e4 else abs(x - t) - mp.log(2)


def quantile(x: mpf, t: mpf, q: mpf = 0.5) -> mpf:
    return max(q * (t - x), (q - 1) * (t - x))


def expectile(x: mpf, t: mpf, tau: mpf = 0.5) -> mpf:
    return abs(tau - (t < x)) * (x - t) ** 2


def mape(x: mpf, t: mpf, eps: mpf = 2.220446049250313e-16) -> mpf:
    return abs(x - t) / max(abs(t), eps)


def msle(x: mpf, t: mpf) -> mpf:
    return (mp.log1p(x) - mp.log1p(t)) ** 2


def poisson_nll(x: mpf, t: mpf, log_input: mpf = 1, full: mpf = 0, eps: mpf = 1e-8) -> mpf:
    with mp.workprec(mp.prec + 2 * 160):
        return _poisson_nll(x, t, log_input, full, eps)


def _poisson_nll(x: mpf, t: mpf, log_input: mpf, full: mpf, eps: mpf) -> mpf:
    constant = t * mp.log(t) - t + mp.log(2 * mp.pi * t) / 2 if full and t > 1 else 0
    if log_input:
        return mp.exp(x) - t * x + constant
    return x - (t * mp.log(x + eps) if t else 0) + constant


def gamma(x: mpf, t: mpf) -> mpf:
    with mp.workprec(mp.prec + 2 * 160):  # next to the optimum the terms leave the square of a rounding error
        return x + t * mp.exp(-x) - mp.log(t) - 1


def tweedie(x: mpf, t: mpf, power: mpf = 1.5) -> mpf:
    with mp.workprec(mp.prec + 2 * 160):
        return _tweedie(x, t, mpf(power))


def _tweedie(x: mpf, t: mpf, k: mpf) -> mpf:
    if k == 1:
        return (t * (mp.log(t) - x) if t else 0) - t + mp.exp(x)
    if k == 2:
        return gamma(x, t)
    return t ** (2 - k) / ((1 - k) * (2 - k)) - t * mp.exp((1 - k) * x) / (1 - k) + mp.exp((2 - k) * x) / (2 - k)


def sigmoid_focal(x: mpf, t: mpf, gamma: mpf = 2, alpha: mpf | None = 0.25) -> mpf:
    one, zero = (1, 1) if alpha is None else (mpf(alpha), 1 - mpf(alpha))
    log_p, log_q = -_softplus(-x), -_softplus(x)
    return -t * one * mp.exp(gamma * log_q) * log_p - (1 - t) * zero * mp.exp(gamma * log_p) * log_q


def hinge(x: mpf, t: mpf, margin: mpf = 1) -> mpf:
    return max(mpf(0), margin - t * x)


def squared_hinge(x: mpf, t: mpf, margin: mpf = 1) -> mpf:
    return max(mpf(0), margin - t * x) ** 2


def perceptron(x: mpf, t: mpf) -> mpf:
    return max(mpf(0), -t * x)


def soft_margin(x: mpf, t: mpf) -> mpf:
    return _softplus(-t * x)


def exponential(x: mpf, t: mpf) -> mpf:
    return mp.exp(-t * x)


def gaussian_nll(x: mpf, t: mpf, variance: mpf, full: mpf = 0, eps: mpf = 1e-6) -> mpf:
    v = max(variance, eps)
    return (mp.log(v) + (x - t) ** 2 / v + (mp.log(2 * mp.pi) if full else 0)) / 2


def contrastive_divergence(x: mpf, t: mpf, alpha: mpf = 0) -> mpf:
    return x - t + alpha * (x**2 + t**2)


def margin_ranking(x1: mpf, x2: mpf, t: mpf, margin: mpf = 0) -> mpf:
    return max(mpf(0), margin - t * (x1 - x2))


def hinge_embedding(d: mpf, t: mpf, margin: mpf = 1) -> mpf:
    return d if t == 1 else max(mpf(0), margin - d)


POINTWISE: dict[str, Callable[..., mpf]] = {
    f.__name__: f
    for f in (
        *(mse, mae, huber, smooth_l1, binary_cross_entropy, binary_cross_entropy_with_logits),
        *(pseudo_huber, log_cosh, quantile, expectile, mape, msle, poisson_nll, gamma, tweedie),
        *(sigmoid_focal, hinge, squared_hinge, perceptron, soft_margin, exponential),
        *(gaussian_nll, contrastive_divergence, margin_ranking, hinge_embedding),
    )
}


PIECEWISE_LINEAR = ("mape",)  # and divided by a number that mp.diff would see rounded


# -- Losses that sum terms along rows: the function of one term ----------------------------------------


def kl_div(x: mpf, t: mpf, log_target: mpf = 0) -> mpf:
    if log_target:
        return _mp_exp(t) * (t - x)
    return t * (mp.log(t) - x) if t else mpf(0)


def js_divergence(p: mpf, q: mpf) -> mpf:
    return sum((v * mp.log(2 * v / (p + q)) if v else mpf(0) for v in (p, q)), mpf(0)) / 2


def gaussian_kl(m: mpf, s: mpf, prior_mean: mpf = 0, prior_log_variance: mpf = 0, free_nats: mpf = 0) -> mpf:
    d = s - prior_log_variance
    return max((mp.expm1(d) - d + (m - prior_mean) ** 2 * mp.exp(-prior_log_variance)) / 2, free_nats)


SUMS: dict[str, Callable[..., mpf]] = {f.__name__: f for f in (kl_div, js_divergence, gaussian_kl)}


def pointwise(name: str, args: tuple[ArrayLike, ...], options: dict[str, Any], wrt: int, order: int) -> Exact:
    """The loss, or a term of it, (order 0), or the first or second derivative in the argument number `wrt`."""
    return _once(_pointwise, tuple(map(np.asarray, args)), options, name, wrt, order)


def _pointwise(args: tuple[np.ndarray, ...], options: dict[str, Any], name: str, wrt: int, order: int) -> Exact:
    function = (POINTWISE | SUMS)[name]
    keys = [k for k, v in options.items() if v is not None]
    absent = dict.fromkeys(options.keys() - set(keys))
    arrays = np.broadcast_arrays(*args, *(options[k] for k in keys))
    arrays = [np.asarray(a).astype(np.float64) for a in arrays]

    def one(*numbers: float) -> mpf:
        x = [mpf(float(v)) for v in numbers]
        at, extra = x[: len(args)], absent | dict(zip(keys, x[len(args) :], strict=True))
        if order == 0:
            return function(*at, **extra)
        if order == 2 and name in PIECEWISE_LINEAR:
            return mpf(0)
        return mp.diff(lambda v: function(*at[:wrt], v, *at[wrt + 1 :], **extra), at[wrt], order)

    return Exact.of(_objects(one, len(arrays))(*arrays).reshape(arrays[0].shape))


# -- Row losses --------------------------------------------------------------------------------------


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
        log_t = t if log_target else _objects(lambda v: mp.log(v) if v else mpf(0))(t)
        self.negentropy = (self.w * np.where(self.w == 0, 0, log_t)).sum(axis=1)
        self.total = self.w.sum(axis=1)[:, None]

    @cached_property
    def value(self) -> Exact:
        return Exact.of((self.w * np.where(self.w == 0, 0, self.rows.loss)).sum(axis=1) + self.negentropy)

    @cached_property
    def grad(self) -> Exact:
        return Exact.of((self.rows.p * (self.total - self.w) - self.w * self.rows.q) / self.temperature)


def _expm1(x: np.ndarray) -> np.ndarray:
    return _objects(mp.expm1)(x) if x.dtype == object else np.expm1(x)


def _transformed(transform: str, option: str, default: float) -> Callable[..., RowTruth]:
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


# -- Losses of a row of scores and a label: one scalar function of both each ------------------------


def multiclass_hinge(x: list[mpf], y: int, kind: str = "crammer_singer", margin: mpf = 1, p: int = 1) -> mpf:
    terms = [max(mpf(0), margin - x[y] + v) ** p for j, v in enumerate(x) if j != y] or [mpf(0)]
    return max(terms) if kind == "crammer_singer" else mp.fsum(terms) / len(x)


def _task(x: list[mpf], y: int, k: int) -> mpf:
    return _softplus(-x[k] if y > k else x[k])


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
        "log": lambda: _softplus(own - rival),
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
    "softmax_focal": _transformed("focal", "gamma", 2.0),
    "poly1_cross_entropy": _transformed("poly1", "epsilon", 1.0),
    "generalized_cross_entropy": _transformed("generalized", "q", 0.7),
    "kl_div_with_logits": Distillation,
}


# -- Losses of a score and of thresholds that all samples share --------------------------------------


def link_function(z: mpf, link: str) -> mpf:
    """The symmetric ones."""
    return 1 / (1 + mp.exp(-z)) if link == "logit" else mp.erfc(-z / mp.sqrt(2)) / 2


def cumulative_link(s: mpf, low: mpf | None, high: mpf | None, link: str = "logit") -> mpf:
    """Minus the logarithm of the plain difference, with 200 bits to spare; None is an infinite threshold."""
    with mp.workprec(mp.prec + 200):
        if link == "cloglog":  # e^-A - e^-B, or of 1 - e^-A and 1 - e^-B where these are small
            small, large = (None if cut is None else mp.exp(cut - s) for cut in (low, high))
            if large is None:
                return small
            if small is None:
                return -mp.log(-mp.expm1(-large)) if large < 1 else -mp.log1p(-mp.exp(-large))
            if large < 1:
                return -mp.log(mp.expm1(-small) - mp.expm1(-large))
            return -mp.log(mp.exp(-small) - mp.exp(-large))
        if high is None or (low is not None and low + high > 2 * s):  # by symmetry: the middle at or below 0
            s, low, high = -s, None if high is None else -high, None if low is None else -low
        below = mpf(0) if low is None else link_function(low - s, link)
        if high >= s:
            return -mp.log1p(-(below + link_function(s - high, link)))
        return -mp.log(link_function(high - s, link) - below)


def linked(args: tuple[ArrayLike, ...], options: dict[str, Any], max_order: int, prec: int = 160) -> Truth:
    """Values and gradients; that of the thresholds for each sample: (samples, thresholds). A gradient of 1e-300 beside a value of
    1e6 wants a high `prec`.
    """
    score, cuts, target = (np.asarray(a) for a in args)
    edges: list[mpf | None] = [None, *(mpf(float(c)) for c in cuts.astype(np.float64)), None]

    def one(s: float, y: int, wrt: int | None) -> mpf:
        """The value, or its derivative in the score (0) or in the threshold below (1) or above (2) the level."""
        at = [mpf(float(s)), edges[y], edges[y + 1]]
        if wrt is None:
            return cumulative_link(*at, **options)
        if at[wrt] is None:
            return mpf(0)
        with mp.workprec(prec):
            return mp.diff(lambda v: cumulative_link(*at[:wrt], v, *at[wrt + 1 :], **options), at[wrt])

    flat = [(s, int(y)) for s, y in zip(score.astype(np.float64).ravel(), target.ravel(), strict=True)]
    value = Exact.of(np.array([one(s, y, None) for s, y in flat], dtype=object).reshape(score.shape))
    if not max_order:
        return Truth(value, np.ones(score.shape), ())
    own = Exact.of(np.array([one(s, y, 0) for s, y in flat], dtype=object).reshape(score.shape))
    table = np.full((len(flat), len(cuts)), mpf(0), dtype=object)
    for i, (s, y) in enumerate(flat):
        for k, wrt in ((y - 1, 1), (y, 2)):
            if 0 <= k < len(cuts):
                table[i, k] = one(s, y, wrt)
    return Truth(value, np.ones(score.shape), ((own, Exact.of(table.reshape(*score.shape, len(cuts)))),))


SHARED: dict[str, Callable[..., Truth]] = {"cumulative_link": linked}


def batch(derivative: Exact, rows: Any, shared: bool, factor: ArrayLike = 1.0) -> Exact:
    """The derivative of a batch made of some samples, each times a factor; a shared argument's is their sum."""
    factor = np.asarray(factor, np.float64).reshape((-1,) + (1,) * (derivative.hi.ndim - 1))
    hi, lo = derivative.hi[rows] * factor, derivative.lo[rows] * factor
    return Exact(hi.sum(axis=0), lo.sum(axis=0)) if shared else Exact(hi, lo)


# -- Sequences: the sum over all alignments ------------------------------------------------------------


class Alignments:
    """One sample's lattice at a precision that leaves nothing to chance: alpha and beta as plain products and sums, which neither
    underflow nor cancel in mpmath. x: its frames alone (T, C); labels: its labels alone.
    """

    def __init__(self, x: np.ndarray, labels: ArrayLike, blank: int = 0, log_probs: bool = False, prec: int = 320) -> None:
        self.labels = [int(v) for v in np.asarray(labels)]
        self.states = [blank]
        for label in self.labels:
            self.states += [label, blank]
        self.frames, self.classes = x.shape
        self.prec, self.log_probs = prec, log_probs
        with mp.workprec(prec):
            self.y = [self._emissions(row) for row in x.astype(np.float64)]
            self.alpha = self._swept(self.y, self.states)
            self.likelihood = self._ends()

    def _emissions(self, row: np.ndarray) -> list[mpf]:
        top = 0.0 if self.log_probs else row.max()
        e = [mp.exp(mpf(float(v)) - mpf(float(top))) if v != -np.inf else mpf(0) for v in row]
        total = 1 if self.log_probs else mp.fsum(e)
        return [v / total for v in e]

    @staticmethod
    def _swept(y: list[list[mpf]], states: list[int]) -> list[list[mpf]]:
        """alpha: the chance of all ways to be in a state at a frame, the frame's emission included."""
        rows: list[list[mpf]] = []
        for frame in y:
            row = []
            for s, state in enumerate(states):
                if rows:
                    ways = rows[-1][s] + (rows[-1][s - 1] if s else 0)
                    if s > 1 and state != states[s - 2]:  # two blanks are one state apart from the label between them
                        ways += rows[-1][s - 2]
                else:
                    ways = mpf(s < 2)
                row.append(ways * frame[state])
            rows.append(row)
        return rows

    @cached_property
    def beta(self) -> list[list[mpf]]:
        """The same from the end."""
        with mp.workprec(self.prec):
            return [row[::-1] for row in self._swept(self.y[::-1], self.states[::-1])[::-1]]

    def _ends(self) -> mpf:
        if not self.frames:
            return mpf(not self.labels)
        return mp.fsum(self.alpha[-1][-2:])

    def posteriors(self) -> np.ndarray:
        """The chance of each state at each frame (T, 2 S + 1)."""
        with mp.workprec(self.prec):
            table = [
                [a * b / (frame[k] * self.likelihood) if a else mpf(0) for a, b, k in zip(forth, back, self.states, strict=True)]
                for forth, back, frame in zip(self.alpha, self.beta, self.y, strict=True)
            ]
        return np.array(table, dtype=object).reshape(self.frames, len(self.states))

    def value(self) -> mpf:
        with mp.workprec(self.prec):
            return -mp.log(self.likelihood) if self.likelihood else mpf("inf")

    def grad(self) -> np.ndarray:
        """With respect to the logits, or to the log-probabilities themselves (T, C); nan where there is no alignment."""
        if not self.likelihood:
            return np.full((self.frames, self.classes), mpf("nan"), dtype=object)
        with mp.workprec(self.prec):
            table = np.array(self.y, dtype=object).reshape(self.frames, self.classes) * (not self.log_probs)
            for s, column in enumerate(self.posteriors().T):
                table[:, self.states[s]] -= column
        return table


def ctc_samples(
    args: tuple[ArrayLike, ...],
    blank: int = 0,
    log_probs: bool = False,
    input_lengths: ArrayLike | None = None,
    target_lengths: ArrayLike | None = None,
    prec: int = 320,
) -> list[Alignments]:
    """Each sample of a batch (N, T, C) with padded labels (N, S)."""
    x, targets = (np.asarray(a) for a in args)
    frames = np.full(len(x), x.shape[1]) if input_lengths is None else np.asarray(input_lengths)
    lengths = np.full(len(x), targets.shape[1]) if target_lengths is None else np.asarray(target_lengths)
    each = zip(x, targets, frames, lengths, strict=True)
    return [Alignments(row[:t], labels[:s], blank, log_probs, prec) for row, labels, t, s in each]


def ctc(args: tuple[ArrayLike, ...], options: dict[str, Any], max_order: int) -> Truth:
    """Values and the gradient of their sum, 0 in the padding."""
    options = dict(options)
    by, zero = options.pop("length_normalize", None), options.pop("zero_infinity", False)
    samples = ctc_samples(args, **options)
    divisors = [max(1, {None: 1, "target": len(a.labels), "input": a.frames}[by]) for a in samples]
    values = [mpf(0) if zero and not a.likelihood else a.value() / d for a, d in zip(samples, divisors, strict=True)]
    value = Exact.of(np.array(values, dtype=object))
    if not max_order:
        return Truth(value, np.ones(len(samples)), ())
    x = np.asarray(args[0])
    grad = np.full(x.shape, mpf(0), dtype=object)
    for i, (a, d) in enumerate(zip(samples, divisors, strict=True)):
        if a.likelihood or not zero:
            grad[i, : a.frames] = a.grad() / d
    return Truth(value, np.ones(len(samples)), ((Exact.of(grad),),))


SEQUENCES: dict[str, Callable[..., Truth]] = {"ctc": ctc}


# -- Overlaps of regions: items of C classes and S positions, targets as masks (N, C, S); classes along axis 1 ---------------


class Regions:
    """Probabilities and their complements, sums over positions, and slopes by the chain rule, all without cancellation."""

    def __init__(self, x: ArrayLike, target: ArrayLike, field: Field, activation: str | None, ignore_index: int | None) -> None:
        x, target = np.asarray(x), np.asarray(target)
        n, classes = x.shape[:2]
        self.shape, self.field, self.activation = x.shape, field, activation
        x = field.lift(x).reshape(n, classes, -1)
        y = target.reshape(n, -1)
        self.counted = np.ones(y.shape, bool) if ignore_index is None else y != ignore_index
        self.keep = np.broadcast_to(self.counted[:, None], x.shape)
        self.t = (y[:, None] == np.arange(classes)[:, None]) & self.keep
        if activation == "softmax":
            shift = x - x.max(axis=1, keepdims=True)
            e = field.exp(shift)
            others = np.stack([np.delete(e, c, axis=1).sum(axis=1) for c in range(classes)], axis=1)
            total = e.sum(axis=1, keepdims=True)
            self.p, self.q = e / total, others / total
            self.away = -shift + field.log1p(total - 1) if classes == 1 else field.log1p(others / e)
        else:
            self.p, self.q = 1 / (1 + field.exp(-x)), 1 / (1 + field.exp(x))
            self.away = field.log1p(field.exp(np.where(self.t, -x, x)))
        zero = field.lift(0.0)[()]
        self.one = field.lift(np.ones(()))[()]
        self.zero = zero

    def sum(self, a: np.ndarray, where: np.ndarray) -> np.ndarray:
        return np.where(where & self.keep, a, self.zero).sum(axis=2)

    def chain(self, g: np.ndarray) -> np.ndarray:
        """From slopes in p to slopes in the logits; `size` becomes what rounding is relative to."""
        g = np.where(self.keep, g, self.zero)
        if self.activation == "sigmoid":
            slope = g * self.p * self.q
            self.size = np.abs(slope)
            return slope
        pairs = g[:, :, None] - g[:, None, :]
        size = np.abs(g) * self.p + self.p * (np.abs(g) * self.p).sum(axis=1, keepdims=True)
        self.size = np.where(self.keep, size, self.zero)
        return self.p * (pairs * self.p[:, None, :]).sum(axis=2)


def overlap(
    name: str, args: tuple[ArrayLike, ...], options: dict[str, Any], field: Field
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Values, weights, gradient of the values' weighted sum, and the scale of its errors."""
    o = {"activation": "softmax", "smooth": 0.0, "squared": False, "include_background": True, "ignore_index": None} | options
    r = Regions(*args, field, o["activation"], o["ignore_index"])
    first, classes = int(not o["include_background"]), r.p.shape[1]
    cw = np.ones(classes) if o.get("class_weight") is None else np.asarray(o["class_weight"], np.float64)
    weight = np.broadcast_to(r.counted.any(axis=1)[:, None] * cw, r.p.shape[:2])
    if name == "lovasz":
        present = o["activation"] == "softmax" if o.get("only_present") is None else o["only_present"]
        weight = weight * (r.t.any(axis=2) if present else 1.0)
        values, g = _lovasz(r)
    elif name == "generalized_dice":
        values, g, weight = _generalized(r, first, o["smooth"])
        first = 0
    else:
        values, g = _ratios(name, r, o)
    weight = weight.copy()
    weight[:, :first] = 0.0
    lifted = field.lift(weight)
    grad = r.chain(g * lifted[:, :, None])
    size = r.size
    if name == "dice_cross_entropy":
        grad, size, values = _with_entropy(r, o, cw, lifted, values, grad, size)
    values = np.where(weight == 0, r.zero, values * lifted)
    if name == "generalized_dice":
        return values[:, 0], weight[:, 0], grad.reshape(r.shape), size.reshape(r.shape)
    return values[:, first:], weight[:, first:], grad.reshape(r.shape), size.reshape(r.shape)


def _ratios(name: str, r: Regions, o: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Values wrong / (hits TP + wrong + smooth) to a power, and their slopes in each p."""
    lift = r.field.lift
    hits = 2 if name.startswith("dice") else 1
    alpha, beta = (lift(o.get(k, 0.5))[()] for k in ("alpha", "beta")) if "tversky" in name else (r.one, r.one)
    gamma = o.get("gamma", 0.75) if name == "focal_tversky" else 1.0
    k = 2 if o["squared"] else 1
    tp, fp, fn = r.sum(r.p, r.t), r.sum(r.p**k, ~r.t), r.sum(r.q**k, r.t)
    wrong, right = alpha * fp + beta * fn, hits * tp + lift(o["smooth"])[()]
    whole = wrong + right
    whole = np.where(whole == 0, r.one, whole)
    value = wrong / whole
    if gamma != 1:
        safe = np.where(value == 0, r.one, value)
        power = np.where(value == 0, r.zero, r.field.exp(lift(gamma) * _log(safe)))
        outer = lift(gamma) * power / safe
    else:
        power, outer = value, value * 0 + 1
    d_wrong, d_tp = (outer * right / whole**2)[:, :, None], (-outer * hits * wrong / whole**2)[:, :, None]
    slope_p = k * r.p ** (k - 1)
    slope_q = k * r.q ** (k - 1)
    return power, np.where(r.t, d_tp - d_wrong * beta * slope_q, d_wrong * alpha * slope_p)


def _log(x: np.ndarray) -> np.ndarray:
    return _objects(mp.log)(x) if x.dtype == object else np.log(x)


def _generalized(r: Regions, first: int, smooth: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    volume = r.t.sum(axis=2)
    present = volume > 0
    w = np.where(present, 1 / np.where(present, r.field.lift(volume), r.one) ** 2, r.zero)
    w[:, :first] = r.zero
    most = w.max(axis=1, keepdims=True)
    w = np.where(present, w, np.where(most > 0, most, r.one))
    w[:, :first] = r.zero
    wrong = (w * (r.sum(r.p, ~r.t) + r.sum(r.q, r.t))).sum(axis=1)[:, None]
    right = (w * 2 * r.sum(r.p, r.t)).sum(axis=1)[:, None] + r.field.lift(smooth)[()]
    whole = np.where(wrong + right == 0, r.one, wrong + right)
    g = np.where(r.t, (w * (-2 * wrong - right) / whole**2)[:, :, None], (w * right / whole**2)[:, :, None])
    weight = np.broadcast_to(r.counted.any(axis=1)[:, None] * 1.0, r.p.shape[:2])
    return np.broadcast_to(wrong / whole, r.p.shape[:2]), g, weight


def _with_entropy(
    r: Regions, o: dict[str, Any], cw: np.ndarray, weight: np.ndarray, dice: np.ndarray, grad: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b = (r.field.lift(o.get(k, 1.0))[()] for k in ("dice_weight", "ce_weight"))
    keep, t = r.field.lift(r.keep * 1.0), r.field.lift(r.t * 1.0)
    wrong = np.where(r.t, -r.q, r.p) * keep
    if o["activation"] == "sigmoid":
        count = keep.sum(axis=2)
        share = np.where(count == 0, r.zero, 1 / np.where(count == 0, r.one, count))
        entropy, each = np.where(r.keep, r.away, r.zero).sum(axis=2) * share, (weight * share)[:, :, None]
    else:
        of = (t * r.field.lift(cw)[:, None]).sum(axis=1, keepdims=True)  # each position's weight
        total = of.sum(axis=2, keepdims=True)
        share = np.where(total == 0, r.zero, 1 / np.where(total == 0, r.one, total))
        entropy = (np.where(r.t, r.away, r.zero) * of * share).sum(axis=(1, 2))[:, None]
        each = of * share * weight.sum(axis=1)[:, None, None]
    return a * grad + b * each * wrong, a * size + b * np.abs(each * wrong), a * dice + b * entropy


def _lovasz(r: Regions) -> tuple[np.ndarray, np.ndarray]:
    """Straight from the definition: errors in descending order, and the Jaccard loss of the sets of the largest ones."""
    values, g = np.full(r.p.shape[:2], r.zero), np.full(r.p.shape, r.zero)
    error = np.where(r.t, r.q, r.p)
    for n, c in np.ndindex(values.shape):
        places = np.flatnonzero(r.counted[n])
        order = places[np.argsort(-error[n, c, places], kind="stable")]
        mask = r.t[n, c]
        missed, spurious, total, before = 0, 0, int(mask[places].sum()), r.zero
        for at in order:
            missed, spurious = missed + mask[at], spurious + (not mask[at])
            now = r.one - r.field.lift(float(total - missed))[()] / r.field.lift(float(total + spurious))[()]
            values[n, c] += error[n, c, at] * (now - before)
            g[n, c, at] = -(now - before) if mask[at] else now - before
            before = now
    return values, g


REGIONS = ("dice", "jaccard", "tversky", "focal_tversky", "generalized_dice", "dice_cross_entropy", "lovasz")


_known: dict[Any, Any] = {}  # results by their question, the longest unused first
KNOWN = 1000  # at most so many


def _once(function: Callable[..., Any], args: tuple[ArrayLike, ...], options: dict[str, Any], *rest: Any) -> Any:
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


def _overlap_of(args: tuple[ArrayLike, ...], options: dict[str, Any], name: str, field: Field) -> Any:
    return overlap(name, args, {k: v for k, v in options.items() if k != "per_image"}, field)  # items are never pooled here


def regions(name: str, args: tuple[ArrayLike, ...], options: dict[str, Any], max_order: int, field: Field | None = None) -> Truth:
    values, weight, grad, _ = _once(_overlap_of, args, options, name, field or (LONG if EXTENDED else MP))
    return Truth(Exact.of(values), weight, ((Exact.of(grad),),) if max_order else ())


def region_scale(name: str, args: tuple[ArrayLike, ...], options: dict[str, Any]) -> np.ndarray:
    return _once(_overlap_of, args, options, name, LONG if EXTENDED else MP)[3].astype(np.float64)


# -- Pairs and triplets of vectors ---------------------------------------------------------------------------------------

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


def vectors(args: tuple[ArrayLike, ...], options: dict[str, Any], name: str) -> Truth:
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


# -- Pairs of boxes ------------------------------------------------------------------------------------------------------


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


def boxes(args: tuple[ArrayLike, ...], options: dict[str, Any], max_order: int) -> Truth:
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


# -- Batches whose samples are compared with one another: N rows of D ----------------------------------------------------------


class Batch(NamedTuple):
    """What a batch-wise loss comes to. The gradients are those of the sum of factor x value; a scale is what rounding is
    relative to: of a value the numbers that it is a difference of, of a gradient the sum of its terms."""

    value: np.ndarray
    weight: np.ndarray
    value_scale: np.ndarray
    grads: tuple[np.ndarray, ...]
    grad_scales: tuple[np.ndarray, ...]


def _root(x: np.ndarray) -> np.ndarray:
    return _objects(mp.sqrt)(x) if x.dtype == object else np.sqrt(x)


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
    d = (e * e).sum(axis=2) if o["squared"] else _root((e * e).sum(axis=2))
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
        self.length = _root((x * x).sum(axis=1))[:, None] if normalize else field.lift(np.ones((len(x), 1)))
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
    return e / total[:, None], _log(total)[:, None] + top[:, None] - scores


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
    return _once(_batch_of, args, options, name, weights.tobytes(), field or (LONG if EXTENDED else MP))


# -- One door for the tests that walk the registry ---------------------------------------------------


class Truth(NamedTuple):
    """Values and derivatives (of the sum of the values, per differentiable argument) in the input's shape."""

    value: Exact
    weight: np.ndarray
    derivatives: tuple[tuple[Exact, ...], ...]  # [order - 1][argument]


def truth(
    name: str,
    args: tuple[ArrayLike, ...],
    options: dict[str, Any],
    wrt: tuple[int, ...] = (0,),
    max_order: int = 0,
    field: Field = MP,
) -> Truth:
    """The exact answers of the loss called `name`; class axis last for row losses."""
    return _once(_truth, tuple(map(np.asarray, args)), options, name, wrt, max_order, field)


def _truth(
    args: tuple[np.ndarray, ...], options: dict[str, Any], name: str, wrt: tuple[int, ...], max_order: int, field: Field
) -> Truth:
    orders = range(1, max_order + 1)
    if name in SHARED or name in SEQUENCES:
        return (SHARED | SEQUENCES)[name](args, options, max_order)
    if name in REGIONS:
        return regions(name, args, options, max_order)
    if name in BATCHWISE:
        b = batchwise(name, args, options)
        return Truth(Exact.of(b.value), b.weight, (tuple(map(Exact.of, b.grads)),)[:max_order])
    if name == "box_iou":
        return boxes(args, options, max_order)
    if name in VECTORS:
        return vectors(args, options, name)
    if name in POINTWISE:
        value = pointwise(name, args, options, 0, 0)
        derivatives = tuple(tuple(pointwise(name, args, options, i, k) for i in wrt) for k in orders)
        return Truth(value, np.ones(value.hi.shape), derivatives)
    if name in SUMS:
        terms = _objects(lambda hi, lo: mpf(hi) + mpf(lo), 2)(*pointwise(name, args, options, 0, 0))
        derivatives = tuple(tuple(pointwise(name, args, options, i, k) for i in wrt) for k in orders)
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


# -- The comparisons ---------------------------------------------------------------------------------


def assert_ulps(got: ArrayLike, expected: Exact, dtype: str, bound: float, where: str = "", scale: ArrayLike = 0.0) -> float:
    """Every entry within `bound` ULPs of `dtype`; the worst error is returned, to be reported."""
    error = ulp_error(got, expected, dtype, scale)
    if error.size == 0:
        return 0.0
    at = np.unravel_index(np.argmax(error), error.shape)
    worst = float(error[at])
    assert worst <= bound, (
        f"{where}{worst:.3g} ULP of {dtype} (bound {bound}) at {tuple(map(int, at))}: "
        f"got {np.asarray(got)[at]!r}, exact {expected.hi[at]!r}"
    )
    return worst


def assert_derivative(got: ArrayLike, expected: Exact, dtype: str, tolerance: float, scale: ArrayLike, where: str = "") -> None:
    """Every entry within `tolerance` x `scale`; below FLOOR digits run out."""
    got = np.asarray(got)
    assert got.shape == expected.hi.shape, (got.shape, expected.hi.shape)
    error = np.abs(expected.minus(got))
    error = np.where(np.isnan(error), np.inf, error)
    allowed = np.broadcast_to(scale, error.shape) * tolerance + FLOOR[dtype]
    if not np.all(error <= allowed):
        at = np.unravel_index(np.argmax(error / allowed), error.shape)
        raise AssertionError(
            f"{where}derivative off by {error[at]:.3g} (allowed {allowed[at]:.3g}) "
            f"at {tuple(map(int, at))}: got {got[at]!r}, exact {expected.hi[at]!r}"
        )


def row_scale(derivative: Exact) -> np.ndarray:
    """The largest entry of each row."""
    return np.abs(derivative.hi).max(axis=-1, keepdims=True, initial=0.0)


def _bce_scale(p: ArrayLike, t: ArrayLike, eps: float = 0.0) -> np.ndarray:
    p, t = np.asarray(p, dtype=np.float64), np.asarray(t, dtype=np.float64)
    return t / p + (1.0 - t) / (1.0 - p)


def _bce_logits_scale(
    x: ArrayLike, t: ArrayLike, pos_weight: ArrayLike | None = None, label_smoothing: float = 0.0
) -> np.ndarray:
    x, t = np.asarray(x, dtype=np.float64), np.asarray(t, dtype=np.float64)
    t = t * (1.0 - label_smoothing) + label_smoothing / 2
    weight = 1.0 if pos_weight is None else np.asarray(pos_weight, dtype=np.float64)
    return weight * t / (1.0 + np.exp(x)) + (1.0 - t) / (1.0 + np.exp(-x))


def _hazard(score: ArrayLike, thresholds: ArrayLike, target: ArrayLike) -> np.ndarray:
    """e^a, a the lower end of the level's interval."""
    edges = np.concatenate([[-np.inf], np.asarray(thresholds, np.float64)])
    return np.exp(edges[np.asarray(target)] - np.asarray(score, np.float64))


def _float64(*arrays: ArrayLike) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(a, dtype=np.float64) for a in arrays)


def _poisson_scale(p: ArrayLike, t: ArrayLike, log_input: bool = True, full: bool = False, eps: float = 1e-8) -> np.ndarray:
    p, t = _float64(p, t)
    return np.exp(p) + t if log_input else 1.0 + t / (p + eps)


def _tweedie_terms(p: ArrayLike, t: ArrayLike, power: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    p, t = _float64(p, t)
    return np.exp((2.0 - power) * p), t * np.exp((1.0 - power) * p)


def _tweedie_scale(p: ArrayLike, t: ArrayLike, power: float = 1.5) -> np.ndarray:
    push, pull = _tweedie_terms(p, t, power)
    return push + np.abs(pull)


def _tweedie_curve(p: ArrayLike, t: ArrayLike, power: float = 1.5) -> np.ndarray:
    push, pull = _tweedie_terms(p, t, power)
    return abs(2.0 - power) * push + abs(1.0 - power) * np.abs(pull)


def _focal_sides(x: ArrayLike, t: ArrayLike, gamma: float, alpha: float | None) -> list[tuple[np.ndarray, ...]]:
    """For each label: its weight x (probability of the other)^gamma, its probability, the other's, minus its logarithm."""
    x, t = _float64(x, t)
    one, zero = (1.0, 1.0) if alpha is None else (alpha, 1.0 - alpha)
    log_p, log_q = -np.logaddexp(0.0, -x), -np.logaddexp(0.0, x)
    return [
        (w * np.exp(gamma * other), np.exp(own), np.exp(other), -own)
        for w, own, other in ((one * t, log_p, log_q), (zero * (1.0 - t), log_q, log_p))
    ]


def _focal_scale(x: ArrayLike, t: ArrayLike, gamma: float = 2.0, alpha: float | None = 0.25) -> np.ndarray:
    return sum(w * (gamma * p * log + q) for w, p, q, log in _focal_sides(x, t, gamma, alpha))


def _focal_curve(x: ArrayLike, t: ArrayLike, gamma: float = 2.0, alpha: float | None = 0.25) -> np.ndarray:
    sides = _focal_sides(x, t, gamma, alpha)
    return sum(w * p * (q * (1.0 + 2.0 * gamma) + gamma * log * (gamma * p + q)) for w, p, q, log in sides)


def _msle_curve(p: ArrayLike, t: ArrayLike) -> np.ndarray:
    p, t = _float64(p, t)
    return 2.0 * (1.0 + np.abs(np.log1p(p) - np.log1p(t))) / (1.0 + p) ** 2


def _contrastive_scale(argument: int) -> Callable[..., np.ndarray]:
    return lambda x, t, alpha=0.0: 1.0 + 2 * alpha * np.abs(np.asarray((x, t)[argument], dtype=np.float64))


def _variance_scale(order: int) -> Callable[..., np.ndarray]:
    def scale(x: ArrayLike, t: ArrayLike, variance: ArrayLike, full: bool = False, eps: float = 1e-6) -> np.ndarray:
        e, v = np.asarray(x, dtype=np.float64) - t, np.asarray(variance, dtype=np.float64)
        return (0.5 / v + 0.5 * e * e / v**2) if order == 1 else (0.5 / v**2 + e * e / v**3)

    return scale


# These gradients and Hessians are differences of two terms (with a soft target, or beside an optimum or an inflection): the
# terms' sum is what rounding is relative to.
SCALE = {
    "binary_cross_entropy": _bce_scale,
    "binary_cross_entropy_with_logits": _bce_logits_scale,
    "poisson_nll": _poisson_scale,
    "gamma": lambda p, t: _tweedie_scale(p, t, 2.0),
    "tweedie": _tweedie_scale,
    "sigmoid_focal": _focal_scale,
}
CURVE_SCALE = {"tweedie": _tweedie_curve, "sigmoid_focal": _focal_curve, "msle": _msle_curve}

# The same by (loss, order, number of the argument among those in `wrt`).
SCALE_OF = {
    ("contrastive_divergence", 1, 0): _contrastive_scale(0),
    ("contrastive_divergence", 1, 1): _contrastive_scale(1),
    ("gaussian_nll", 1, 1): _variance_scale(1),
    ("gaussian_nll", 2, 1): _variance_scale(2),
}


def textbook_scale(name: str) -> float:
    """What the rounding of a loss's reference is relative to: the textbook subtracts numbers of about 1 in double."""
    return 1.0 if name in (*VECTORS, "gamma", "tweedie") else 0.0


def value_scale(name: str, args: tuple[ArrayLike, ...], options: dict[str, Any], dtype: str) -> np.ndarray | float:
    """What a value's rounding is relative to, where that may exceed the value: the terms of a difference that is meant
    (the likelihoods of Gauss and Poisson); for deviances, as if the prediction had been moved by 2^-100 of the logarithms
    that are compared."""
    stirling = options.get("full") and options.get("log_input", True)
    if name in BATCHWISE:
        return batchwise(name, args, options).value_scale
    if name == "kl_div_with_logits":
        return _entropies(*args, **options)
    if name == "kl_div":  # whose terms have both signs
        hi, lo = pointwise(name, args, options, 0, 0)
        return np.abs(hi + lo).sum(axis=-1)
    if name == "triplet":
        return _triplet_scale(*_float64(*args), options, dtype)
    if name == "box_iou":
        return _corner_scale(*args, options.get("format", "xyxy")) if dtype == "float64" else 0.0
    if name == "ctc" and options.get("log_probs"):  # that add up to anything: their product may be next to 1
        return np.shape(args[0])[1] * (1.0 if dtype == "float64" else 2.0**-27)
    if name == "softmax_focal" and options.get("gamma", 2.0) > 2:  # a power of what is known to some digits
        return truth(name, args, options).value.hi * (options["gamma"] / 2)
    if name == "gaussian_nll":  # which is negative where the variance is small
        p, t, variance = _float64(*args)
        v = np.maximum(variance, options.get("eps", 1e-6))
        constant = np.log(2 * np.pi) if options.get("full") else 0.0
        return np.minimum(1e300, (np.abs(np.log(v)) + np.abs(p - t) / v * np.abs(p - t) + constant) / 2)
    if name == "poisson_nll":
        p, t = _float64(*args)
        rate, log = (np.exp(p), p) if options.get("log_input", True) else (p, np.log(p + options.get("eps", 1e-8)))
        direct = rate + np.abs(t * log) + (np.abs(t * np.log(np.maximum(t, 1.0)) - t) if options.get("full") else 0.0)
        return np.where(t > 1, _deviance_scale("tweedie", args, {"power": 1.0}, dtype), direct) if stirling else direct
    return _deviance_scale(name, args, options, dtype) if name in ("gamma", "tweedie") else 0.0


def _corner_scale(boxes: ArrayLike, target: ArrayLike, format: str) -> np.ndarray | float:
    """Corners that had to be added up first: their rounding, relative to the boxes' sides."""
    if format == "xyxy":
        return 0.0
    both = np.stack(_float64(boxes, target))
    return (np.abs(both[..., :2]) + both[..., 2:]).max(axis=(0, -1)) / both[..., 2:].min(axis=(0, -1))


def _triplet_scale(a: np.ndarray, pos: np.ndarray, neg: np.ndarray, options: dict[str, Any], dtype: str) -> np.ndarray:
    """Distances and margin, whose difference the loss is: 0 below 2^-90 of them, as if they were equal; powers other than squares
    are made in double."""
    p, size = options.get("p", 2), options.get("margin", 1.0)
    for x in (pos, neg):
        e = np.abs(a - x + options.get("eps", 1e-6))
        top = np.maximum(e.max(axis=-1, initial=0.0), 1e-300)
        d = top * np.linalg.norm(e / top[..., None], ord=p, axis=-1)
        size = size + (d**2 if options.get("squared") else d)
    digits = 2.0**-92 if p in (1, 2, np.inf) else 2.0**-52  # of 8 ULP
    return np.minimum(size, 1e300) * (digits / np.finfo(dtype).eps)


def _triplet_slope_scale(args: tuple[ArrayLike, ...], options: dict[str, Any]) -> np.ndarray:
    return sum(row_scale(d) for d in truth("triplet", args, options).derivatives[0])


def _cosine_slope_scale(x: ArrayLike, derivative: Exact) -> np.ndarray:
    """A row of the slopes, and what rounding leaves where a vector is parallel to the other."""
    (x,) = _float64(x)
    top = np.maximum(np.abs(x).max(axis=-1, keepdims=True, initial=0.0), 1e-300)
    length = top * np.sqrt(((x / top) ** 2).sum(axis=-1, keepdims=True))
    return row_scale(derivative) + np.where(length == 0, 0.0, 2.0**-25 / np.where(length == 0, 1.0, length))


def _entropies(x: ArrayLike, t: ArrayLike, temperature: float = 1.0, log_target: bool = False) -> np.ndarray:
    """Cross-entropy and entropy, whose difference the divergence is."""
    (x,), (t,) = _float64(x), _float64(t)
    x, t, log_t = x / temperature, np.exp(t) if log_target else t, t if log_target else np.log(np.where(t == 0, 1.0, t))
    log_q = x - x.max(-1, keepdims=True)
    log_q = log_q - np.log(np.exp(log_q).sum(-1, keepdims=True))
    return (t * np.abs(log_q)).sum(-1) + np.abs((t * log_t).sum(-1))


def _deviance_scale(name: str, args: tuple[ArrayLike, ...], options: dict[str, Any], dtype: str) -> np.ndarray:
    p, t = _float64(*args)
    with np.errstate(over="ignore"):
        push, pull = _tweedie_terms(p, t, options.get("power", 1.5 if name == "tweedie" else 2.0))
    digits = 2.0**-100 * (1.0 + np.abs(p) + np.abs(np.log(np.abs(np.where(t == 0, 1.0, t)))))
    with np.errstate(over="ignore", invalid="ignore"):
        change = digits * (np.abs(push - pull) + digits * (push + np.abs(pull)))  # next to the optimum the slope is 0
    return np.where(np.isfinite(change), change, 0.0) / np.finfo(dtype).eps


def derivative_scale(
    name: str, args: tuple[ArrayLike, ...], options: dict[str, Any], derivative: Exact, order: int, argument: int = 0
) -> np.ndarray:
    """What an error of a derivative is measured against: itself, its two terms, or its row's largest."""
    if name == "triplet":  # the anchor's are differences of the others'
        return _once(_triplet_slope_scale, args, options)
    if name == "cosine_embedding":
        return _cosine_slope_scale(args[argument], derivative)
    if name in ROWS or name in VECTORS or name == "box_iou":
        return row_scale(derivative)
    if name in REGIONS:
        return region_scale(name, args, options)
    if name in BATCHWISE:
        return batchwise(name, args, options).grad_scales[argument]
    if name in SEQUENCES:
        return row_scale(derivative) + 2.0**-8  # a difference of probabilities, known to a few of their last digits
    if options.get("link") == "cloglog" and argument == 0:
        return np.abs(derivative.hi) + 2 * _hazard(*args)  # d/(e^d - 1) - e^a: the first is e^a less the slope
    if (name, order, argument) in SCALE_OF:
        return SCALE_OF[name, order, argument](*args, **options)
    scales = SCALE if order == 1 else CURVE_SCALE
    if name in scales:
        return scales[name](*args, **options)
    return np.abs(derivative.hi)

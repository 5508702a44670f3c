"""Pointwise losses and the terms of summed ones: one scalar function each, differentiated numerically."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath import mp, mpf
from numpy.typing import ArrayLike

from .exact import Exact, elementwise, mp_exp, once


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


def softplus(x: mpf) -> mpf:
    return max(x, mpf(0)) + mp.log1p(mp_exp(-abs(x)))


def binary_cross_entropy_with_logits(x: mpf, t: mpf, pos_weight: mpf | None = None, label_smoothing: mpf = 0) -> mpf:
    t = t * (1 - label_smoothing) + mpf(label_smoothing) / 2
    weight = 1 if pos_weight is None else pos_weight
    return weight * t * softplus(-x) + (1 - t) * softplus(x)


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
    log_p, log_q = -softplus(-x), -softplus(x)
    return -t * one * mp.exp(gamma * log_q) * log_p - (1 - t) * zero * mp.exp(gamma * log_p) * log_q


def hinge(x: mpf, t: mpf, margin: mpf = 1) -> mpf:
    return max(mpf(0), margin - t * x)


def squared_hinge(x: mpf, t: mpf, margin: mpf = 1) -> mpf:
    return max(mpf(0), margin - t * x) ** 2


def perceptron(x: mpf, t: mpf) -> mpf:
    return max(mpf(0), -t * x)


def soft_margin(x: mpf, t: mpf) -> mpf:
    return softplus(-t * x)


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
        return mp_exp(t) * (t - x)
    return t * (mp.log(t) - x) if t else mpf(0)


def js_divergence(p: mpf, q: mpf) -> mpf:
    return sum((v * mp.log(2 * v / (p + q)) if v else mpf(0) for v in (p, q)), mpf(0)) / 2


def gaussian_kl(m: mpf, s: mpf, prior_mean: mpf = 0, prior_log_variance: mpf = 0, free_nats: mpf = 0) -> mpf:
    d = s - prior_log_variance
    return max((mp.expm1(d) - d + (m - prior_mean) ** 2 * mp.exp(-prior_log_variance)) / 2, free_nats)


SUMS: dict[str, Callable[..., mpf]] = {f.__name__: f for f in (kl_div, js_divergence, gaussian_kl)}


def pointwise_truth(name: str, args: tuple[ArrayLike, ...], options: dict[str, Any], wrt: int, order: int) -> Exact:
    """The loss, or a term of it, (order 0), or the first or second derivative in the argument number `wrt`."""
    return once(_pointwise, tuple(map(np.asarray, args)), options, name, wrt, order)


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

    return Exact.of(elementwise(one, len(arrays))(*arrays).reshape(arrays[0].shape))

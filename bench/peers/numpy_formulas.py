"""The pure NumPy side of the benchmarks: what a careful user writes by hand, without fastloss.

`VALUES` gives one value per sample; `GRADIENTS` the mean and its gradient in one go, sharing
work; `HESSIANS` the gradient and the diagonal Hessian of the sum, as boosted trees want them.
N rows, C classes. Imports NumPy only.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.rows import Array


def _wide(x: Array) -> Array:
    """NumPy cannot compute in two-byte floats at a reasonable speed or precision: convert first."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


def logsumexp(x: Array, *, axis: int = -1) -> Array:
    top = x.max(axis=axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.exp(x - top).sum(axis=axis))


def softmax(x: Array, *, axis: int = -1) -> Array:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    e /= e.sum(axis=axis, keepdims=True)
    return e


def log_softmax(x: Array, *, axis: int = -1) -> Array:
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def _at_label(x: Array, target: Array, axis: int) -> Array:
    return np.take_along_axis(x, np.expand_dims(target, axis), axis).squeeze(axis)


def _subtract_at_label(x: Array, target: Array, axis: int, amount: float) -> None:
    where = np.expand_dims(target, axis)
    np.put_along_axis(x, where, np.take_along_axis(x, where, axis) - amount, axis)


def cross_entropy(logits: Array, target: Array, *, axis: int = -1) -> Array:
    logits = _wide(logits)
    if target.shape == logits.shape:
        return -(target * log_softmax(logits, axis=axis)).sum(axis=axis)
    return logsumexp(logits, axis=axis) - _at_label(logits, target, axis)


def cross_entropy_gradient(logits: Array, target: Array, *, axis: int = -1) -> tuple[float, Array]:
    wide = _wide(logits)
    if target.shape == wide.shape:
        log_q = log_softmax(wide, axis=axis)
        n = target.size // target.shape[axis]
        return float(-(target * log_q).sum() / n), (np.exp(log_q) - target) / n
    top = wide.max(axis=axis, keepdims=True)
    e = np.exp(wide - top)
    total = e.sum(axis=axis, keepdims=True)
    value = np.mean((top + np.log(total)).squeeze(axis) - _at_label(wide, target, axis))
    e /= total * target.size
    _subtract_at_label(e, target, axis, 1 / target.size)
    return float(value), e.astype(logits.dtype, copy=False)


def _label_log_probability(logits: Array, target: Array) -> tuple[Array, Array]:
    """The logarithm of the label's probability, and the softmax."""
    log_p = log_softmax(logits)
    return _at_label(log_p, target, -1), np.exp(log_p)


def _transformed_gradient(p: Array, target: Array, value: Array, slope: Array) -> tuple[float, Array]:
    """From the softmax p: cross-entropy's gradient times each row's slope."""
    _subtract_at_label(p, target, -1, 1)
    p *= (slope / len(p))[:, None]
    return float(value.mean()), p


def softmax_focal(logits: Array, target: Array) -> Array:
    log_p, _ = _label_log_probability(logits, target)
    return -((1 - np.exp(log_p)) ** 2) * log_p


def softmax_focal_gradient(logits: Array, target: Array) -> tuple[float, Array]:
    log_p, softmaxes = _label_log_probability(logits, target)
    p = np.exp(log_p)
    q = 1 - p
    return _transformed_gradient(softmaxes, target, -q * q * log_p, q * q - 2 * p * q * log_p)


def poly1_cross_entropy(logits: Array, target: Array) -> Array:
    log_p, _ = _label_log_probability(logits, target)
    return 1 - np.exp(log_p) - log_p


def poly1_cross_entropy_gradient(logits: Array, target: Array) -> tuple[float, Array]:
    log_p, softmaxes = _label_log_probability(logits, target)
    p = np.exp(log_p)
    return _transformed_gradient(softmaxes, target, 1 - p - log_p, 1 + p)


def generalized_cross_entropy(logits: Array, target: Array) -> Array:
    log_p, _ = _label_log_probability(logits, target)
    return (1 - np.exp(0.7 * log_p)) / 0.7


def generalized_cross_entropy_gradient(logits: Array, target: Array) -> tuple[float, Array]:
    log_p, softmaxes = _label_log_probability(logits, target)
    power = np.exp(0.7 * log_p)
    return _transformed_gradient(softmaxes, target, (1 - power) / 0.7, power)


def kl_div_with_logits(logits: Array, target: Array) -> Array:
    return (target * (np.log(target) - log_softmax(logits))).sum(axis=-1)


def kl_div_with_logits_gradient(logits: Array, target: Array) -> tuple[float, Array]:
    log_q = log_softmax(logits)
    value = float((target * (np.log(target) - log_q)).sum() / len(logits))
    gradient = np.exp(log_q)
    gradient -= target
    gradient /= len(logits)
    return value, gradient


def nll(log_probs: Array, target: Array, *, axis: int = -1) -> Array:
    return -_at_label(log_probs, target, axis)


def nll_gradient(log_probs: Array, target: Array, *, axis: int = -1) -> tuple[float, Array]:
    gradient = np.zeros_like(log_probs)
    _subtract_at_label(gradient, target, axis, 1 / target.size)
    return float(np.mean(nll(log_probs, target, axis=axis))), gradient


def mse(prediction: Array, target: Array) -> Array:
    e = prediction - target
    return e * e


def mse_gradient(prediction: Array, target: Array) -> tuple[float, Array]:
    e = prediction - target
    value = float(np.dot(e.ravel(), e.ravel()) / e.size)
    e *= 2 / e.size
    return value, e


def mae(prediction: Array, target: Array) -> Array:
    return np.abs(prediction - target)


def mae_gradient(prediction: Array, target: Array) -> tuple[float, Array]:
    e = prediction - target
    value = float(np.mean(np.abs(e)))
    np.sign(e, out=e)
    e /= e.size
    return value, e


def huber(prediction: Array, target: Array) -> Array:
    distance = np.abs(prediction - target)
    inside = np.minimum(distance, 1)
    return inside * (distance - inside / 2)


def huber_gradient(prediction: Array, target: Array) -> tuple[float, Array]:
    e = prediction - target
    inside = np.clip(e, -1, 1)
    value = float(np.mean(inside * (e - inside / 2)))
    inside /= e.size
    return value, inside


def gaussian_nll(prediction: Array, target: Array, variance: Array) -> Array:
    v = np.maximum(variance, 1e-6)
    e = prediction - target
    return (np.log(v) + e * e / v) / 2


def gaussian_nll_gradient(prediction: Array, target: Array, variance: Array) -> tuple[float, tuple[Array, Array]]:
    v = np.maximum(variance, 1e-6)
    e = prediction - target
    pull = e / v
    e *= pull
    value = float(np.mean(np.log(v) + e) / 2)
    e -= 1
    e /= v
    e *= -0.5 / e.size
    e[variance < 1e-6] = 0
    pull /= pull.size
    return value, (pull, e)


def contrastive_divergence(positive_energy: Array, negative_energy: Array) -> Array:
    return positive_energy - negative_energy


def contrastive_divergence_gradient(positive_energy: Array, negative_energy: Array) -> tuple[float, tuple[Array, Array]]:
    value = float(np.mean(positive_energy - negative_energy))
    each = 1 / positive_energy.size
    return value, (np.full_like(positive_energy, each), np.full_like(negative_energy, -each))


def kl_div(log_probs: Array, target: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = target * (np.log(target) - log_probs)
    terms[target == 0] = 0
    return np.asarray(terms.sum(axis=-1))


def kl_div_gradient(log_probs: Array, target: Array) -> tuple[float, Array]:
    rows = target.size // target.shape[-1]
    return float(np.mean(kl_div(log_probs, target))), target * (-1 / np.float32(rows))


def _to_middle(p: Array, q: Array) -> tuple[Array, Array]:
    """log(p / m) and log(q / m), m = (p + q) / 2."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log_m = np.log((p + q) / 2)
        return np.log(p) - log_m, np.log(q) - log_m


def js_divergence(p: Array, q: Array) -> Array:
    a, b = _to_middle(p, q)
    return np.asarray((np.where(p > 0, p * a, 0) + np.where(q > 0, q * b, 0)).sum(axis=-1) / 2)


def js_divergence_gradient(p: Array, q: Array) -> tuple[float, tuple[Array, Array]]:
    a, b = _to_middle(p, q)
    rows = p.size // p.shape[-1]
    value = float((np.where(p > 0, p * a, 0) + np.where(q > 0, q * b, 0)).sum() / (2 * rows))
    a *= 0.5 / rows
    b *= 0.5 / rows
    return value, (a, b)


def gaussian_kl(mean: Array, log_variance: Array) -> Array:
    return np.asarray((np.exp(log_variance) - 1 - log_variance + mean * mean).sum(axis=-1) / 2)


def gaussian_kl_gradient(mean: Array, log_variance: Array) -> tuple[float, tuple[Array, Array]]:
    rows = mean.size // mean.shape[-1]
    grow = np.expm1(log_variance)
    value = float((grow - log_variance + mean * mean).sum() / (2 * rows))
    grow *= 0.5 / rows
    return value, (mean / np.float32(rows), grow)


def binary_cross_entropy(probs: Array, target: Array) -> Array:
    return -(target * np.log(probs) + (1 - target) * np.log1p(-probs))


def binary_cross_entropy_gradient(probs: Array, target: Array) -> tuple[float, Array]:
    value = float(np.mean(binary_cross_entropy(probs, target)))
    return value, (probs - target) / (probs * (1 - probs) * probs.size)


def binary_cross_entropy_with_logits(logits: Array, target: Array) -> Array:
    return np.maximum(logits, 0) - logits * target + np.log1p(np.exp(-np.abs(logits)))


def binary_cross_entropy_with_logits_gradient(logits: Array, target: Array) -> tuple[float, Array]:
    e = np.exp(-np.abs(logits))
    value = float(np.mean(np.maximum(logits, 0) - logits * target + np.log1p(e)))
    sigmoid = np.where(logits >= 0, 1, e) / (1 + e)
    sigmoid -= target
    sigmoid /= logits.size
    return value, sigmoid


def pseudo_huber(prediction: Array, target: Array) -> Array:
    e = prediction - target
    return np.sqrt(1 + e * e) - 1


def pseudo_huber_gradient(prediction: Array, target: Array) -> tuple[float, Array]:
    e = prediction - target
    root = np.sqrt(1 + e * e)
    return float(np.mean(root)) - 1, e / (root * e.size)


def log_cosh(prediction: Array, target: Array) -> Array:
    e = np.abs(prediction - target)
    return e + np.log1p(np.exp(-2 * e)) - np.log(e.dtype.type(2))


def log_cosh_gradient(prediction: Array, target: Array) -> tuple[float, Array]:
    return float(np.mean(log_cosh(prediction, target))), np.tanh(prediction - target) / target.size


def quantile(prediction: Array, target: Array) -> Array:
    return np.abs(prediction - target) / 2


def quantile_gradient(prediction: Array, target: Array) -> tuple[float, Array]:
    value, gradient = mae_gradient(prediction, target)
    return value / 2, gradient / 2


def expectile(prediction: Array, target: Array) -> Array:
    e = prediction - target
    return e * e / 2


def expectile_gradient(prediction: Array, target: Array) -> tuple[float, Array]:
    value, gradient = mse_gradient(prediction, target)
    return value / 2, gradient / 2


_EPS = float(np.finfo(np.float64).eps)  # a Python float: NumPy's own would make float32 arrays float64


def mape(prediction: Array, target: Array) -> Array:
    return np.abs(prediction - target) / np.maximum(np.abs(target), _EPS)


def mape_gradient(prediction: Array, target: Array) -> tuple[float, Array]:
    e, size = prediction - target, np.maximum(np.abs(target), _EPS)
    return float(np.mean(np.abs(e) / size)), np.sign(e) / (size * e.size)


def msle(prediction: Array, target: Array) -> Array:
    return (np.log1p(prediction) - np.log1p(target)) ** 2


def msle_gradient(prediction: Array, target: Array) -> tuple[float, Array]:
    d = np.log1p(prediction) - np.log1p(target)
    return float(np.mean(d * d)), 2 * d / ((1 + prediction) * d.size)


def poisson_nll(prediction: Array, target: Array) -> Array:
    return np.exp(prediction) - target * prediction


def poisson_nll_gradient(prediction: Array, target: Array) -> tuple[float, Array]:
    rate = np.exp(prediction)
    return float(np.mean(rate - target * prediction)), (rate - target) / target.size


def gamma(prediction: Array, target: Array) -> Array:
    return prediction + target * np.exp(-prediction) - np.log(target) - 1


def gamma_gradient(prediction: Array, target: Array) -> tuple[float, Array]:
    ratio = target * np.exp(-prediction)
    return float(np.mean(prediction + ratio - np.log(target))) - 1, (1 - ratio) / target.size


def tweedie(prediction: Array, target: Array) -> Array:
    half = np.exp(prediction / 2)
    return 2 * (half + target / half) - 4 * np.sqrt(target)


def tweedie_gradient(prediction: Array, target: Array) -> tuple[float, Array]:
    half = np.exp(prediction / 2)
    pull = target / half
    return float(np.mean(2 * (half + pull) - 4 * np.sqrt(target))), (half - pull) / target.size


def _focal_parts(logits: Array, target: Array) -> tuple[Array, ...]:
    """p, 1 - p, -log p, -log(1 - p), and the weights of the labels 1 and 0."""
    e = np.exp(-np.abs(logits))
    near, far, tail = 1 / (1 + e), e / (1 + e), np.log1p(e)
    positive = logits >= 0
    p, q = np.where(positive, near, far), np.where(positive, far, near)
    return p, q, np.maximum(-logits, 0) + tail, np.maximum(logits, 0) + tail, target / 4, (1 - target) * 3 / 4


def sigmoid_focal(logits: Array, target: Array) -> Array:
    p, q, log_p, log_q, one, zero = _focal_parts(logits, target)
    return one * q * q * log_p + zero * p * p * log_q


def sigmoid_focal_gradient(logits: Array, target: Array) -> tuple[float, Array]:
    p, q, log_p, log_q, one, zero = _focal_parts(logits, target)
    one *= q * q
    zero *= p * p
    slope = zero * (2 * q * log_q + p) - one * (2 * p * log_p + q)
    return float(np.mean(one * log_p + zero * log_q)), slope / target.size


def hinge(score: Array, target: Array) -> Array:
    return np.maximum(0, 1 - target * score)


def hinge_gradient(score: Array, target: Array) -> tuple[float, Array]:
    lack = 1 - target * score
    return float(np.mean(np.maximum(0, lack))), np.where(lack > 0, -target, 0) / target.size


def squared_hinge(score: Array, target: Array) -> Array:
    return np.maximum(0, 1 - target * score) ** 2


def squared_hinge_gradient(score: Array, target: Array) -> tuple[float, Array]:
    lack = np.maximum(0, 1 - target * score)
    return float(np.mean(lack * lack)), target * lack * (-2 / target.size)


def perceptron(score: Array, target: Array) -> Array:
    return np.maximum(0, -target * score)


def perceptron_gradient(score: Array, target: Array) -> tuple[float, Array]:
    lack = -target * score
    return float(np.mean(np.maximum(0, lack))), np.where(lack > 0, -target, 0) / target.size


def soft_margin(score: Array, target: Array) -> Array:
    m = target * score
    return np.maximum(-m, 0) + np.log1p(np.exp(-np.abs(m)))


def soft_margin_gradient(score: Array, target: Array) -> tuple[float, Array]:
    m = target * score
    e = np.exp(-np.abs(m))
    value = float(np.mean(np.maximum(-m, 0) + np.log1p(e)))
    return value, -target * np.where(m >= 0, e, 1) / ((1 + e) * target.size)


def exponential(score: Array, target: Array) -> Array:
    return np.exp(-target * score)


def exponential_gradient(score: Array, target: Array) -> tuple[float, Array]:
    e = np.exp(-target * score)
    return float(np.mean(e)), -target * e / target.size


def multiclass_hinge(scores: Array, target: Array, *, kind: str = "crammer_singer") -> Array:
    h = 1 + scores - _at_label(scores, target, -1)[:, None]
    np.put_along_axis(h, target[:, None], 0, -1)
    np.maximum(h, 0, out=h)
    return h.max(1) if kind == "crammer_singer" else h.sum(1) / scores.shape[1]


def multiclass_hinge_gradient(scores: Array, target: Array, *, kind: str = "crammer_singer") -> tuple[float, Array]:
    h = 1 + scores - _at_label(scores, target, -1)[:, None]
    np.put_along_axis(h, target[:, None], 0, -1)
    np.maximum(h, 0, out=h)
    if kind == "weston_watkins":
        value, slope = h.sum(1) / scores.shape[1], (h > 0) / scores.dtype.type(scores.size)
    else:
        value, slope = h.max(1), np.zeros_like(h)
        at = h.argmax(1)[:, None]
        np.put_along_axis(slope, at, (np.take_along_axis(h, at, 1) > 0) / scores.dtype.type(len(h)), 1)
    np.put_along_axis(slope, target[:, None], -slope.sum(1, keepdims=True), -1)
    return float(value.mean()), slope


def _task_logits(logits: Array, target: Array) -> tuple[Array, Array]:
    sign = np.where(target[:, None] > np.arange(logits.shape[1]), -1, 1).astype(logits.dtype)
    return sign, sign * logits


def coral(logits: Array, target: Array) -> Array:
    _, z = _task_logits(logits, target)
    return (np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))).sum(1)


def coral_gradient(logits: Array, target: Array) -> tuple[float, Array]:
    sign, z = _task_logits(logits, target)
    e = np.exp(-np.abs(z))
    value = float(np.sum(np.maximum(z, 0) + np.log1p(e)) / len(z))
    return value, sign * np.where(z >= 0, 1, e) / ((1 + e) * len(z))


def _interval(score: Array, thresholds: Array, target: Array) -> tuple[Array, Array]:
    edges = np.concatenate([[-np.inf], thresholds, [np.inf]]).astype(score.dtype)
    return tuple(1 / (1 + np.exp(score - edges[target + i])) for i in (0, 1))  # type: ignore[return-value]


def cumulative_link(score: Array, thresholds: Array, target: Array) -> Array:
    low, high = _interval(score, thresholds, target)
    return -np.log(high - low)


def cumulative_link_gradient(score: Array, thresholds: Array, target: Array) -> tuple[float, Any]:
    low, high = _interval(score, thresholds, target)
    p = high - low
    at_low, at_high = low * (1 - low) / (p * len(p)), high * (1 - high) / (p * len(p))
    levels = len(thresholds) + 1
    cuts = np.bincount(target, at_low, levels)[1:] - np.bincount(target, at_high, levels)[:-1]
    return float(-np.log(p).mean()), (at_high - at_low, cuts.astype(thresholds.dtype))


def squared_emd(logits: Array, target: Array) -> Array:
    d = np.cumsum(softmax(logits), 1) - (target[:, None] <= np.arange(logits.shape[1]))
    return (d * d).sum(1)


def squared_emd_gradient(logits: Array, target: Array) -> tuple[float, Array]:
    p = softmax(logits)
    d = np.cumsum(p, 1) - (target[:, None] <= np.arange(logits.shape[1]))
    slope = np.cumsum(d[:, ::-1], 1)[:, ::-1]
    slope -= (p * slope).sum(1, keepdims=True)
    return float((d * d).sum(1).mean()), p * slope * (2 / len(p))


def energy(energies: Array, target: Array) -> Array:
    return cross_entropy(-energies, target)


def energy_gradient(energies: Array, target: Array) -> tuple[float, Array]:
    value, gradient = cross_entropy_gradient(-energies, target)
    return value, -gradient


def _ctc_lattice(logits: Array, targets: Array) -> tuple[Array, Array, Array, Array]:
    """log-softmax (N, T, C), the classes of the states (N, 2S + 1), their emissions, and where a blank may be left out.

    In double: sums of T logarithms leave too few digits of a float.
    """
    log_p = log_softmax(_wide(logits))
    states = np.zeros((len(targets), 2 * targets.shape[1] + 1), np.int64)
    states[:, 1::2] = targets
    skip = np.zeros(states.shape, bool)
    skip[:, 3::2] = targets[:, 1:] != targets[:, :-1]
    return log_p, states, np.take_along_axis(log_p, states[:, None, :], axis=2).astype(np.float64), skip


def _ctc_forward(emissions: Array, skip: Array) -> Array:
    """log alpha (N, T, 2S + 1), all frames and labels used."""
    log_alpha = np.full(emissions.shape, -np.inf, emissions.dtype)
    log_alpha[:, 0, :2] = emissions[:, 0, :2]
    for t in range(1, emissions.shape[1]):
        before, now = log_alpha[:, t - 1], log_alpha[:, t]
        now[:] = before
        np.logaddexp(now[:, 1:], before[:, :-1], out=now[:, 1:])
        np.logaddexp(now[:, 2:], before[:, :-2], out=now[:, 2:], where=skip[:, 2:])
        now += emissions[:, t]
    return log_alpha


def ctc(logits: Array, targets: Array) -> Array:
    *_, emissions, skip = _ctc_lattice(logits, targets)
    last = _ctc_forward(emissions, skip)[:, -1]
    return -np.logaddexp(last[:, -1], last[:, -2])


def ctc_gradient(logits: Array, targets: Array) -> tuple[float, Array]:
    log_p, states, emissions, skip = _ctc_lattice(logits, targets)
    log_alpha = _ctc_forward(emissions, skip)
    back = np.zeros_like(skip)
    back[:, 2:] = skip[:, :1:-1]
    values = -np.logaddexp(log_alpha[:, -1, -1], log_alpha[:, -1, -2])
    log_alpha += _ctc_forward(emissions[:, ::-1, ::-1], back)[:, ::-1, ::-1]
    log_alpha -= emissions
    log_alpha += values[:, None, None]
    chances = np.exp(log_alpha, out=log_alpha)
    slope = np.exp(log_p)
    for i, s in np.ndindex(states.shape):
        slope[i, :, states[i, s]] -= chances[i, :, s]
    return float(values.mean()), (slope / len(values)).astype(logits.dtype, copy=False)


def _huber_hessian(prediction: Array, target: Array) -> tuple[Array, Array]:
    e = prediction - target
    return np.clip(e, -1, 1), (np.abs(e) <= 1).astype(e.dtype)


def _quantile_hessian(prediction: Array, target: Array) -> tuple[Array, Array]:
    return np.sign(prediction - target) / 2, np.zeros_like(prediction)


def _binary_hessian(logits: Array, target: Array) -> tuple[Array, Array]:
    p = 1 / (1 + np.exp(-logits))
    return p - target, p * (1 - p)


def _poisson_hessian(prediction: Array, target: Array) -> tuple[Array, Array]:
    rate = np.exp(prediction)
    return rate - target, rate


def _gamma_hessian(prediction: Array, target: Array) -> tuple[Array, Array]:
    ratio = target * np.exp(-prediction)
    return 1 - ratio, ratio


def _tweedie_hessian(prediction: Array, target: Array) -> tuple[Array, Array]:
    half = np.exp(prediction / 2)
    pull = target / half
    return half - pull, (half + pull) / 2


def _region_parts(logits: Array, target: Array, activation: str) -> tuple[Array, Array]:
    """Probabilities and masks."""
    p = softmax(logits, axis=1) if activation == "softmax" else 1 / (1 + np.exp(-logits))
    if target.shape == logits.shape:
        return p, target.astype(p.dtype, copy=False)
    classes = np.arange(logits.shape[1]).reshape((-1,) + (1,) * (logits.ndim - 2))
    return p, (target[:, None] == classes).astype(p.dtype)


def _region_sums(p: Array, t: Array) -> tuple[Array, Array]:
    axes = tuple(range(2, p.ndim))
    kept = (*p.shape[:2],) + (1,) * len(axes)
    both = (p * t).sum(axis=axes, dtype=np.float64)
    return both.reshape(kept), (p.sum(axis=axes, dtype=np.float64) + t.sum(axis=axes, dtype=np.float64)).reshape(kept)


def _through_activation(g: Array, p: Array, activation: str) -> Array:
    if activation == "sigmoid":
        return g * p * (1 - p)
    return p * (g - (g * p).sum(axis=1, keepdims=True))


def dice(logits: Array, target: Array, *, activation: str = "softmax") -> Array:
    both, size = _region_sums(*_region_parts(logits, target, activation))
    return (1 - 2 * both / size).reshape(logits.shape[:2])


def dice_gradient(logits: Array, target: Array, *, activation: str = "softmax") -> tuple[float, Array]:
    p, t = _region_parts(logits, target, activation)
    both, size = _region_sums(p, t)
    inside, outside = ((2 / both.size * x).astype(p.dtype) for x in (both / size**2, 1 / size))
    return float((1 - 2 * both / size).mean()), _through_activation(inside - t * outside, p, activation)


def _region_cross_entropy(logits: Array, t: Array, activation: str) -> float:
    if activation == "sigmoid":
        return float((np.log1p(np.exp(-np.abs(logits))) + np.maximum(logits, 0) - t * logits).mean())
    return float(-(t * log_softmax(logits, axis=1)).sum() / (t.size // t.shape[1]))


def dice_cross_entropy(logits: Array, target: Array, *, activation: str = "softmax") -> Array:
    _, t = _region_parts(logits, target, activation)
    return dice(logits, target, activation=activation) + _region_cross_entropy(logits, t, activation)


def dice_cross_entropy_gradient(logits: Array, target: Array, *, activation: str = "softmax") -> tuple[float, Array]:
    value, gradient = dice_gradient(logits, target, activation=activation)
    p, t = _region_parts(logits, target, activation)
    n = t.size // (t.shape[1] if activation == "softmax" else 1)
    return value + _region_cross_entropy(logits, t, activation), gradient + ((p - t) / n).astype(logits.dtype, copy=False)


def _sorted_errors(p: Array, mask: Array) -> tuple[Array, Array, Array]:
    """Errors in descending order, their places, and what each adds to the Jaccard loss."""
    error = np.abs(mask - p)
    order = np.argsort(-error, kind="stable")
    mask = mask[order].astype(np.float64)
    jaccard = 1 - (mask.sum() - mask.cumsum()) / (mask.sum() + (1 - mask).cumsum())
    return error[order], order, np.diff(jaccard, prepend=0.0)


def lovasz(logits: Array, target: Array) -> Array:
    p, t = _region_parts(logits, target, "softmax")
    values = []
    for c in range(p.shape[1]):
        error, _, gain = _sorted_errors(p[:, c].ravel(), t[:, c].ravel())
        values.append((error * gain).sum())
    return np.array(values)


def lovasz_gradient(logits: Array, target: Array) -> tuple[float, Array]:
    p, t = _region_parts(logits, target, "softmax")
    g, values = np.empty_like(p), []
    for c in range(p.shape[1]):
        mask = t[:, c].ravel()
        error, order, gain = _sorted_errors(p[:, c].ravel(), mask)
        values.append((error * gain).sum())
        slope = np.empty_like(mask)
        slope[order] = np.where(mask[order] > 0, -gain, gain) / p.shape[1]
        g[:, c] = slope.reshape(g[:, c].shape)
    return float(np.mean(values)), _through_activation(g, p, "softmax").astype(logits.dtype, copy=False)


def _lengths(x: Array) -> Array:
    return np.asarray(np.sqrt(np.einsum("nd,nd->n", x, x)))


def triplet(anchor: Array, positive: Array, negative: Array) -> Array:
    eps = np.float32(1e-6)
    return np.maximum(0, _lengths(anchor - positive + eps) - _lengths(anchor - negative + eps) + 1)


def triplet_gradient(anchor: Array, positive: Array, negative: Array) -> tuple[float, tuple[Array, Array, Array]]:
    eps = np.float32(1e-6)
    pull, push = anchor - positive + eps, anchor - negative + eps
    near, away = _lengths(pull), _lengths(push)
    value = np.maximum(0, near - away + 1)
    weight = (value > 0) / np.float32(len(value))
    pull *= (weight / near)[:, None]
    push *= (weight / away)[:, None]
    return float(value.mean()), (pull - push, -pull, push)


def contrastive(x1: Array, x2: Array, similar: Array) -> Array:
    d = _lengths(x1 - x2)
    return np.asarray(np.where(similar == 1, d, np.maximum(0, 1 - d)) ** 2 / 2)


def contrastive_gradient(x1: Array, x2: Array, similar: Array) -> tuple[float, tuple[Array, Array]]:
    e = x1 - x2
    d = _lengths(e)
    lack = np.maximum(0, 1 - d)
    e *= (np.where(similar == 1, 1, -lack / d) / len(d)).astype(e.dtype)[:, None]
    return float(np.mean(np.where(similar == 1, d, lack) ** 2) / 2), (e, -e)


def cosine_embedding(x1: Array, x2: Array, target: Array) -> Array:
    cosine = np.einsum("nd,nd->n", x1, x2) / (_lengths(x1) * _lengths(x2))
    return np.asarray(np.where(target == 1, 1 - cosine, np.maximum(0, cosine)))


def cosine_embedding_gradient(x1: Array, x2: Array, target: Array) -> tuple[float, tuple[Array, Array]]:
    n1, n2 = _lengths(x1), _lengths(x2)
    cosine = np.einsum("nd,nd->n", x1, x2) / (n1 * n2)
    value = np.where(target == 1, 1 - cosine, np.maximum(0, cosine))
    weight = (np.where(target == 1, -1, cosine > 0) / len(value)).astype(x1.dtype)
    across, along = (weight / (n1 * n2))[:, None], weight * cosine
    return float(value.mean()), (x2 * across - x1 * (along / n1**2)[:, None], x1 * across - x2 * (along / n2**2)[:, None])


def margin_ranking(x1: Array, x2: Array, target: Array) -> Array:
    return np.maximum(0, target * (x2 - x1))


def margin_ranking_gradient(x1: Array, x2: Array, target: Array) -> tuple[float, tuple[Array, Array]]:
    lack = target * (x2 - x1)
    slope = np.where(lack > 0, target, 0) / target.size
    return float(np.mean(np.maximum(0, lack))), (-slope, slope)


def hinge_embedding(distance: Array, target: Array) -> Array:
    return np.where(target == 1, distance, np.maximum(0, 1 - distance))


def hinge_embedding_gradient(distance: Array, target: Array) -> tuple[float, Array]:
    lack = 1 - distance
    slope = np.where(target == 1, np.float32(1), np.where(lack > 0, np.float32(-1), np.float32(0))) / target.size
    return float(np.mean(np.where(target == 1, distance, np.maximum(0, lack)))), slope


def _squares(x: Array, y: Array) -> Array:
    """Squared distances between the rows, by a product of matrices."""
    d = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)
    d -= 2 * (x @ y.T)
    return np.maximum(d, 0, out=d)


def pairwise_distances(x: Array, y: Array) -> Array:
    d = _squares(x, y)
    return np.sqrt(d, out=d)


def _triplets(d: Array, positives: Array, negatives: Array, mining: str) -> tuple[Array, Array]:
    """The pairs (p, n) that an anchor with distances d is compared with."""
    if mining == "hard":
        return positives[[d[positives].argmax()]], negatives[[d[negatives].argmin()]]
    if mining == "semihard":
        beyond = np.where(d[negatives] > d[positives, None], d[negatives], np.inf)
        some = np.isfinite(beyond).any(axis=1)
        return positives[some], negatives[beyond.argmin(axis=1)][some]
    p, n = np.repeat(positives, negatives.size), np.tile(negatives, positives.size)
    if mining == "all_semihard":
        between = (d[n] > d[p]) & (d[n] < d[p] + 0.2)
        p, n = p[between], n[between]
    return p, n


def batch_triplet_gradient(x: Array, labels: Array, *, mining: str = "hard") -> tuple[float, Array]:
    """Anchor by anchor, over arrays of its positives and negatives; the mean of the active triplets."""
    d = pairwise_distances(x, x)
    total, active, pull = 0.0, 0, np.zeros_like(d)
    rows = np.arange(len(x))
    for a in rows:
        same = labels == labels[a]
        negatives, same[a] = rows[~same], False
        positives = rows[same]
        if not positives.size or not negatives.size:
            continue
        p, n = _triplets(d[a], positives, negatives, mining)
        losses = d[a, p] - d[a, n] + 0.2
        on = losses > 0
        total += losses[on].sum()
        active += int(on.sum())
        pull[a] = np.bincount(p[on], minlength=len(x)) - np.bincount(n[on], minlength=len(x))
    pull /= np.maximum(d, 1e-30) * max(1, active)
    pull += pull.T
    return total / max(1, active), pull.sum(axis=1)[:, None] * x - pull @ x


def batch_triplet(x: Array, labels: Array, *, mining: str = "hard") -> Array:
    d = pairwise_distances(x, x)
    total, active = 0.0, 0
    same = labels == labels[:, None]
    if mining == "hard":
        positive = same & ~np.eye(len(x), dtype=bool)
        losses = np.where(positive, d, -np.inf).max(axis=1) - np.where(same, np.inf, d).min(axis=1) + 0.2
        return losses[losses > 0]
    rows = np.arange(len(x))
    for a in rows:
        negatives, positives = rows[~same[a]], rows[same[a] & (rows != a)]
        if mining == "all":
            losses = d[a, positives, None] - d[a, negatives] + 0.2
        else:
            p, n = _triplets(d[a], positives, negatives, mining)
            losses = d[a, p] - d[a, n] + 0.2
        active += np.count_nonzero(losses > 0)
        total += losses[losses > 0].sum()
    return np.asarray(total / max(1, active))


def _unit_rows(x: Array) -> tuple[Array, Array]:
    length = np.sqrt((x * x).sum(axis=1, keepdims=True))
    return x / length, length


def _through_length(slope: Array, unit: Array, length: Array) -> Array:
    return (slope - (slope * unit).sum(axis=1, keepdims=True) * unit) / length


def _other_log_shares(z: Array, temperature: float) -> Array:
    """log_softmax of each row's similarities to all other rows."""
    scores = z @ z.T
    scores /= temperature
    np.fill_diagonal(scores, -np.inf)
    return log_softmax(scores)


def _partners(z1: Array, z2: Array) -> tuple[Array, Array, tuple[Array, Array]]:
    z, length = _unit_rows(np.concatenate([z1, z2]))
    return z, length, (np.arange(len(z)), np.roll(np.arange(len(z)), len(z1)))


def nt_xent(z1: Array, z2: Array) -> Array:
    z, _, partner = _partners(z1, z2)
    return -_other_log_shares(z, 0.5)[partner]


def nt_xent_gradient(z1: Array, z2: Array) -> tuple[float, tuple[Array, Array]]:
    z, length, partner = _partners(z1, z2)
    log_p = _other_log_shares(z, 0.5)
    value = -log_p[partner].mean()
    p = np.exp(log_p, out=log_p)
    p[partner] -= 1
    p /= 0.5 * len(z)
    slope = _through_length(p @ z + p.T @ z, z, length)
    return float(value), (slope[: len(z1)], slope[len(z1) :])


def supcon(x: Array, labels: Array) -> Array:
    positive = labels == labels[:, None]
    np.fill_diagonal(positive, False)
    count = positive.sum(axis=1)
    losses = np.where(positive, -_other_log_shares(_unit_rows(x)[0], 0.07), 0).sum(axis=1)
    return losses[count > 0] / count[count > 0]


def supcon_gradient(x: Array, labels: Array) -> tuple[float, Array]:
    z, length = _unit_rows(x)
    positive = labels == labels[:, None]
    np.fill_diagonal(positive, False)
    count = positive.sum(axis=1)
    log_p = _other_log_shares(z, 0.07)
    share = positive / np.maximum(count, 1)[:, None].astype(x.dtype)
    value = -(share * np.where(positive, log_p, 0)).sum() / (count > 0).sum()
    p = np.exp(log_p, out=log_p)
    p[count == 0] = 0
    p -= share
    p /= 0.07 * (count > 0).sum()
    return float(value), _through_length(p @ z + p.T @ z, z, length)


def info_nce(query: Array, key: Array, *, symmetric: bool = False) -> Array:
    scores = _unit_rows(query)[0] @ _unit_rows(key)[0].T
    scores /= 0.07
    values = -log_softmax(scores).diagonal()
    return (values - log_softmax(scores, axis=0).diagonal()) / 2 if symmetric else values


def info_nce_gradient(query: Array, key: Array, *, symmetric: bool = False) -> tuple[float, tuple[Array, Array]]:
    (q, of_query), (k, of_key) = _unit_rows(query), _unit_rows(key)
    scores = q @ k.T
    scores /= 0.07
    log_p = log_softmax(scores)
    value, p = -log_p.diagonal().mean(), np.exp(log_p)
    if symmetric:
        log_p = log_softmax(scores, axis=0)
        value = (value - log_p.diagonal().mean()) / 2
        p += np.exp(log_p)
        p /= 2
    p[np.diag_indices(len(p))] -= 1
    p /= 0.07 * len(p)
    return float(value), (_through_length(p @ k, q, of_query), _through_length(p.T @ q, k, of_key))


_FURTHER = (
    *("softmax_focal", "poly1_cross_entropy", "generalized_cross_entropy", "kl_div_with_logits"),
    *("pseudo_huber", "log_cosh", "quantile", "expectile", "mape", "msle", "poisson_nll", "gamma", "tweedie"),
    *("dice", "dice_cross_entropy", "lovasz"),
    *("triplet", "contrastive", "cosine_embedding", "margin_ranking", "hinge_embedding"),
    *("batch_triplet", "nt_xent", "supcon", "info_nce"),
    *("sigmoid_focal", "hinge", "squared_hinge", "perceptron", "soft_margin", "exponential"),
)

VALUES: dict[str, Callable[..., Array]] = {
    f.__name__: f
    for f in (
        *(mse, mae, huber, nll, cross_entropy, logsumexp, softmax, log_softmax),
        *(binary_cross_entropy, binary_cross_entropy_with_logits),
        *(gaussian_nll, contrastive_divergence, kl_div, js_divergence, gaussian_kl),
        *(multiclass_hinge, coral, cumulative_link, squared_emd, energy, ctc, pairwise_distances),
    )
} | {"smooth_l1": huber}  # equal at delta = beta = 1, the defaults
VALUES |= {name: globals()[name] for name in _FURTHER}

GRADIENTS: dict[str, Callable[..., tuple[float, Array | tuple[Array, ...]]]] = {
    "mse": mse_gradient,
    "mae": mae_gradient,
    "huber": huber_gradient,
    "smooth_l1": huber_gradient,
    "gaussian_nll": gaussian_nll_gradient,
    "contrastive_divergence": contrastive_divergence_gradient,
    "kl_div": kl_div_gradient,
    "js_divergence": js_divergence_gradient,
    "gaussian_kl": gaussian_kl_gradient,
    "nll": nll_gradient,
    "cross_entropy": cross_entropy_gradient,
    "binary_cross_entropy": binary_cross_entropy_gradient,
    "coral": coral_gradient,
    "ctc": ctc_gradient,
    "cumulative_link": cumulative_link_gradient,
    "energy": energy_gradient,
    "multiclass_hinge": multiclass_hinge_gradient,
    "squared_emd": squared_emd_gradient,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits_gradient,
}
GRADIENTS |= {name: globals()[f"{name}_gradient"] for name in _FURTHER}

HESSIANS: dict[str, Callable[..., tuple[Array, Array]]] = {
    "huber": _huber_hessian,
    "quantile": _quantile_hessian,
    "binary_cross_entropy_with_logits": _binary_hessian,
    "poisson_nll": _poisson_hessian,
    "gamma": _gamma_hessian,
    "tweedie": _tweedie_hessian,
}

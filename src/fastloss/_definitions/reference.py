"""The textbook definition of every loss, in float64 NumPy: oracle of the tests, baseline of bench.

One function per loss, under its name, with its arrays and options. Each returns (values, weights):
every sample's loss, and every sample's weight in the mean. May import NumPy alone.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Terms = tuple[Array, Array]

_quiet = np.errstate(all="ignore")  # nan and infinity are answers here, not accidents


def _float(x: ArrayLike) -> Array:
    return np.asarray(x, dtype=np.float64)


def _uniform(values: Array) -> Terms:
    return values, np.ones_like(values)


def _times(weight: Array, loss: Array) -> Array:
    """weight x loss, where 0 x infinity is 0 (limit of -p log p): a masked class is harmless."""
    return np.where((weight == 0.0) & np.isposinf(loss), 0.0, weight * loss)


@_quiet
def reduce(
    values: Array,
    weights: Array,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Array | float:
    """Weigh and reduce; the mean is the sum of weight x loss over the sum of weight."""
    if sample_weight is not None:
        w = _float(sample_weight)
        w = w.reshape(w.shape + (1,) * (values.ndim - w.ndim))  # broadcasts from the left
        values, weights = w * values, w * weights
    if reduction == "none":
        return values
    if reduction == "sum":
        return float(values.sum())
    return float(values.sum() / weights.sum())  # 0 / 0 is nan, as NumPy's empty mean


# -- Regression: one value per element, e = prediction - target ------------------------------------


@_quiet
def mse(prediction: ArrayLike, target: ArrayLike) -> Terms:
    """e^2."""
    e = _float(prediction) - _float(target)
    return _uniform(e * e)


@_quiet
def mae(prediction: ArrayLike, target: ArrayLike) -> Terms:
    """|e|."""
    return _uniform(np.abs(_float(prediction) - _float(target)))


@_quiet
def huber(prediction: ArrayLike, target: ArrayLike, *, delta: float = 1.0) -> Terms:
    """e^2 / 2 while |e| <= delta, then delta (|e| - delta / 2)."""
    e = np.abs(_float(prediction) - _float(target))
    return _uniform(np.where(e <= delta, 0.5 * e * e, delta * (e - 0.5 * delta)))


@_quiet
def smooth_l1(prediction: ArrayLike, target: ArrayLike, *, beta: float = 1.0) -> Terms:
    """e^2 / (2 beta) while |e| < beta, then |e| - beta / 2."""
    e = np.abs(_float(prediction) - _float(target))
    return _uniform(np.where(e < beta, 0.5 * e * (e / np.float64(beta)), e - 0.5 * beta))


@_quiet
def pseudo_huber(prediction: ArrayLike, target: ArrayLike, *, delta: float = 1.0) -> Terms:
    """delta^2 (sqrt(1 + (e / delta)^2) - 1)."""
    s = ((_float(prediction) - _float(target)) / delta) ** 2
    return _uniform(delta**2 * s / (np.sqrt(1.0 + s) + 1.0))


@_quiet
def log_cosh(prediction: ArrayLike, target: ArrayLike) -> Terms:
    """log cosh e, which is log1p(2 sinh(e / 2)^2)."""
    e = np.abs(_float(prediction) - _float(target))
    return _uniform(np.where(e < 1.0, np.log1p(2.0 * np.sinh(0.5 * e) ** 2), e + np.log1p(np.exp(-2.0 * e)) - np.log(2.0)))


@_quiet
def quantile(prediction: ArrayLike, target: ArrayLike, *, q: float = 0.5) -> Terms:
    """max(q (t - p), (q - 1) (t - p))."""
    d = _float(target) - _float(prediction)
    return _uniform(np.maximum(q * d, (q - 1.0) * d))


@_quiet
def expectile(prediction: ArrayLike, target: ArrayLike, *, tau: float = 0.5) -> Terms:
    """|tau - 1[t < p]| e^2."""
    e = _float(prediction) - _float(target)
    return _uniform(np.where(e > 0.0, 1.0 - tau, tau) * e**2)


@_quiet
def mape(prediction: ArrayLike, target: ArrayLike, *, eps: float = 2.220446049250313e-16) -> Terms:
    """|e| / max(|t|, eps)."""
    t = _float(target)
    return _uniform(np.abs(_float(prediction) - t) / np.maximum(np.abs(t), eps))


@_quiet
def msle(prediction: ArrayLike, target: ArrayLike) -> Terms:
    """(log1p p - log1p t)^2, by the logarithm of the quotient."""
    p, t = _float(prediction), _float(target)
    return _uniform(np.log1p((p - t) / (1.0 + t)) ** 2)


@_quiet
def poisson_nll(
    prediction: ArrayLike, target: ArrayLike, *, log_input: bool = True, full: bool = False, eps: float = 1e-8
) -> Terms:
    """exp(p) - t p, or p - t log(p + eps); `full` adds t log t - t + log(2 pi t) / 2 where t > 1."""
    p, t = _float(prediction), _float(target)
    values = np.exp(p) - np.where(t == 0, 0.0, t * p) if log_input else p - np.where(t == 0, 0.0, t * np.log(p + eps))
    if full:
        values = values + np.where(t > 1, t * np.log(t) - t + 0.5 * np.log(2.0 * np.pi * t), 0.0)
    return _uniform(values)


@_quiet
def gamma(prediction: ArrayLike, target: ArrayLike) -> Terms:
    """p + t exp(-p) - log t - 1."""
    p, t = _float(prediction), _float(target)
    return _uniform(p + t * np.exp(-p) - np.log(t) - 1.0)


@_quiet
def tweedie(prediction: ArrayLike, target: ArrayLike, *, power: float = 1.5) -> Terms:
    """t^(2-k) / ((1-k) (2-k)) - t exp((1-k) p) / (1-k) + exp((2-k) p) / (2-k), and its limits at k = 1 and 2."""
    p, t, k = _float(prediction), _float(target), power
    if k == 1:
        return _uniform(np.where(t == 0, 0.0, t * np.log(t) - t * p) - t + np.exp(p))
    if k == 2:
        return gamma(p, t)
    a, b, v = 1.0 - k, 2.0 - k, p - np.log(np.where(t > 0, t, 1.0))
    values = np.abs(t) ** b * (np.expm1(b * v) / b - np.expm1(a * v) / a)  # the same, constants taken out of the difference
    if k == 0:
        values = 0.5 * (np.exp(p) - t) ** 2
    return _uniform(np.where(t == 0, np.exp(b * p) / b, values) if k else values)


@_quiet
def gaussian_nll(
    prediction: ArrayLike, target: ArrayLike, variance: ArrayLike, *, full: bool = False, eps: float = 1e-6
) -> Terms:
    """(log v + e^2 / v) / 2 with v = max(variance, eps), plus log(2 pi) / 2 if full."""
    e = _float(prediction) - _float(target)
    v = np.maximum(_float(variance), eps)
    if v.ndim and v.ndim == e.ndim - 1:  # one for each row
        v = v[..., np.newaxis]
    constant = 0.5 * np.log(2.0 * np.pi) if full else 0.0
    return _uniform(0.5 * (np.log(v) + e * e / v) + constant)


@_quiet
def contrastive_divergence(positive_energy: ArrayLike, negative_energy: ArrayLike, *, alpha: float = 0.0) -> Terms:
    """E+ - E- + alpha (E+^2 + E-^2)."""
    a, b = _float(positive_energy), _float(negative_energy)
    return _uniform(a - b + alpha * (a * a + b * b))


# -- Divergences: one value per row along `axis` ---------------------------------------------------


@_quiet
def kl_div(log_probs: ArrayLike, target: ArrayLike, *, log_target: bool = False, axis: int = -1) -> Terms:
    """sum of t (log t - log_probs), where 0 log 0 = 0."""
    x, log_t = _float(log_probs), _float(target)
    t = np.exp(log_t) if log_target else log_t
    log_t = log_t if log_target else np.log(log_t)
    return _uniform(np.where((t == 0.0) & ~np.isnan(x), 0.0, t * (log_t - x)).sum(axis))


def kl_div_with_logits(
    logits: ArrayLike, target: ArrayLike, *, temperature: float = 1.0, log_target: bool = False, axis: int = -1
) -> Terms:
    """kl_div of log_softmax(logits / temperature)."""
    return kl_div(log_softmax(_float(logits) / temperature, axis=axis), target, log_target=log_target, axis=axis)


@_quiet
def js_divergence(p: ArrayLike, q: ArrayLike, *, axis: int = -1) -> Terms:
    """(KL(p, m) + KL(q, m)) / 2 with m = (p + q) / 2."""
    p, q = _float(p), _float(q)
    m = (p + q) / 2.0
    terms = np.where(p == 0.0, 0.0 * q, p * np.log(p / m)) + np.where(q == 0.0, 0.0 * p, q * np.log(q / m))
    return _uniform(0.5 * terms.sum(axis))


@_quiet
def gaussian_kl(
    mean: ArrayLike,
    log_variance: ArrayLike,
    *,
    prior_mean: ArrayLike = 0.0,
    prior_log_variance: ArrayLike = 0.0,
    free_nats: float = 0.0,
    axis: int = -1,
) -> Terms:
    """sum of (v / v0 - 1 - log(v / v0) + (mean - prior_mean)^2 / v0) / 2, each at least free_nats."""
    e, d = _float(mean) - _float(prior_mean), _float(log_variance) - _float(prior_log_variance)
    terms = 0.5 * (np.expm1(d) - d + e * e * np.exp(-_float(prior_log_variance)))
    return _uniform(np.maximum(terms, free_nats).sum(axis))


# -- Binary classification: one value per element --------------------------------------------------


@_quiet
def binary_cross_entropy(probs: ArrayLike, target: ArrayLike, *, eps: float = 0.0) -> Terms:
    """-[t log p + (1 - t) log(1 - p)]; logs no lower than -100, or p within [eps, 1 - eps]."""
    p, t = _float(probs), _float(target)
    low, high = (np.log(eps), np.log1p(-eps)) if eps else (-100.0, 0.0)
    log_p, log_q = np.clip(np.log(p), low, high), np.clip(np.log1p(-p), low, high)
    return _uniform(0.0 - (t * log_p + (1.0 - t) * log_q))


@_quiet
def binary_cross_entropy_with_logits(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    pos_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
) -> Terms:
    """pos_weight t softplus(-x) + (1 - t) softplus(x); softplus is max(x, 0) + log1p(exp(-|x|))."""
    x, t = _float(logits), _float(target)
    t = (1.0 - label_smoothing) * t + 0.5 * label_smoothing
    positive = t if pos_weight is None else _float(pos_weight) * t
    tail = np.log1p(np.exp(-np.abs(x)))
    if_one, if_zero = np.maximum(-x, 0.0) + tail, np.maximum(x, 0.0) + tail
    return _uniform(_times(positive, if_one) + _times(1.0 - t, if_zero))


@_quiet
def sigmoid_focal(logits: ArrayLike, target: ArrayLike, *, gamma: float = 2.0, alpha: float | None = 0.25) -> Terms:
    """-t alpha (1 - p)^gamma log p - (1 - t) (1 - alpha) p^gamma log(1 - p), with p the sigmoid of the logit."""
    x, t = _float(logits), _float(target)
    one, zero = (1.0, 1.0) if alpha is None else (alpha, 1.0 - alpha)
    tail = np.log1p(np.exp(-np.abs(x)))
    if_one, if_zero = np.maximum(-x, 0.0) + tail, np.maximum(x, 0.0) + tail  # -log p, -log(1 - p)
    positive = np.exp(-gamma * if_zero) * if_one if gamma else if_one
    negative = np.exp(-gamma * if_one) * if_zero if gamma else if_zero
    return _uniform(_times(one * t, positive) + _times(zero * (1.0 - t), negative))


@_quiet
def hinge(score: ArrayLike, target: ArrayLike, *, margin: float = 1.0) -> Terms:
    """max(0, margin - t s)."""
    return _uniform(np.maximum(0.0, margin - _float(target) * _float(score)))


@_quiet
def squared_hinge(score: ArrayLike, target: ArrayLike, *, margin: float = 1.0) -> Terms:
    """max(0, margin - t s)^2."""
    return _uniform(np.maximum(0.0, margin - _float(target) * _float(score)) ** 2)


@_quiet
def perceptron(score: ArrayLike, target: ArrayLike) -> Terms:
    """max(0, -t s)."""
    return _uniform(np.maximum(0.0, 0.0 - _float(target) * _float(score)))


@_quiet
def soft_margin(score: ArrayLike, target: ArrayLike) -> Terms:
    """log(1 + exp(-t s))."""
    m = _float(target) * _float(score)
    return _uniform(np.maximum(-m, 0.0) + np.log1p(np.exp(-np.abs(m))))


@_quiet
def exponential(score: ArrayLike, target: ArrayLike) -> Terms:
    """exp(-t s)."""
    return _uniform(np.exp(-_float(target) * _float(score)))


# -- Rows of C classes along `axis` ----------------------------------------------------------------


def _rest(x: Array, axis: int) -> tuple[Array, Array]:
    """The maximum m of each row, and the sum of exp(x - m) over all its other entries.

    log sum exp(x) is then m + log1p(rest), which keeps every digit of a row won by a wide margin.
    """
    top = np.expand_dims(np.argmax(x, axis), axis)
    m = np.take_along_axis(x, top, axis)
    e = np.exp(x - m)
    np.put_along_axis(e, top, 0.0, axis)
    return m, e.sum(axis, keepdims=True)


@_quiet
def logsumexp(x: ArrayLike, *, axis: int = -1) -> Array:
    """log sum exp(x)."""
    m, rest = _rest(_float(x), axis)
    return np.squeeze(np.where(np.isfinite(m), m + np.log1p(rest), m), axis)


@_quiet
def log_softmax(x: ArrayLike, *, axis: int = -1) -> Array:
    """x - log sum exp(x); nan where the row's maximum is not finite."""
    x = _float(x)
    m, rest = _rest(x, axis)
    return np.where(np.isfinite(m), (x - m) - np.log1p(rest), np.nan)


@_quiet
def softmax(x: ArrayLike, *, axis: int = -1) -> Array:
    """exp(x) / sum exp(x); nan where the row's maximum is not finite."""
    x = _float(x)
    m, rest = _rest(x, axis)
    return np.where(np.isfinite(m), np.exp(x - m) / (1.0 + rest), np.nan)


def _class_weight(class_weight: ArrayLike | None, classes: int) -> Array:
    return np.ones(classes) if class_weight is None else _float(class_weight)


def _pick(
    loss: Array, target: ArrayLike, axis: int, weight: Array, ignore_index: int | None
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """The entry of each row at its label, that label's class weight, and which rows count."""
    label = np.asarray(target)
    counted = np.ones(label.shape, bool) if ignore_index is None else label != ignore_index
    label = np.where(counted, label, 0).astype(np.intp)
    value = np.squeeze(np.take_along_axis(loss, np.expand_dims(label, axis), axis), axis)
    return value, weight[label], counted


@_quiet
def nll(
    log_probs: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
) -> Terms:
    """-log_probs[target]."""
    loss = 0.0 - _float(log_probs)
    weight = _class_weight(class_weight, loss.shape[axis])
    value, weight, counted = _pick(loss, target, axis, weight, ignore_index)
    return np.where(counted, _times(weight, value), 0.0), np.where(counted, weight, 0.0)


@_quiet
def cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
) -> Terms:
    """-sum of t log softmax(logits), where smoothing has made t into (1 - s) t + s / C."""
    loss = 0.0 - log_softmax(logits, axis=axis)
    return _spread(loss, target, axis, class_weight, ignore_index, label_smoothing)


def _spread(
    loss: Array, target: ArrayLike, axis: int, class_weight: ArrayLike | None, ignore_index: int | None, s: float
) -> Terms:
    """Each row's losses of the single classes, weighed by its target (smoothed by s) and the classes' weights."""
    classes = loss.shape[axis]
    weight = _class_weight(class_weight, classes)
    along_axis = weight.reshape((-1,) + (1,) * (loss.ndim - 1 - axis % loss.ndim))

    if np.ndim(target) == loss.ndim:  # probabilities
        t = _float(target)
        values = _times(along_axis * ((1.0 - s) * t + s / classes), loss).sum(axis)
        return values, np.ones_like(values) if class_weight is None else (along_axis * t).sum(axis)

    value, weight, counted = _pick(loss, target, axis, weight, ignore_index)
    values = _times((1.0 - s) * weight, value)
    if s:
        values = values + _times(s / classes * along_axis, loss).sum(axis)
    return np.where(counted, values, 0.0), np.where(counted, weight, 0.0)


@_quiet
def softmax_focal(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    gamma: float = 2.0,
    axis: int = -1,
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
) -> Terms:
    """-sum of t (1 - p)^gamma log p over the classes, t smoothed as in cross_entropy."""
    loss = 0.0 - log_softmax(logits, axis=axis)
    focused = (0.0 - np.expm1(-loss)) ** gamma * loss
    return _spread(focused, target, axis, class_weight, ignore_index, label_smoothing)


@_quiet
def poly1_cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    epsilon: float = 1.0,
    axis: int = -1,
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
) -> Terms:
    """-log p + epsilon (1 - p), p the label's probability."""
    loss = 0.0 - log_softmax(logits, axis=axis)
    return _spread(loss - epsilon * np.expm1(-loss), target, axis, class_weight, ignore_index, 0.0)


@_quiet
def generalized_cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    q: float = 0.7,
    axis: int = -1,
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
) -> Terms:
    """(1 - p^q) / q, p the label's probability."""
    log_p = log_softmax(logits, axis=axis)
    return _spread(-np.expm1(q * log_p) / q, target, axis, class_weight, ignore_index, 0.0)


# -- Rows of scores and a label, without softmax cross-entropy -------------------------------------


def _rows(x: ArrayLike, target: ArrayLike, axis: int) -> tuple[Array, NDArray[np.intp], tuple[int, ...]]:
    """Rows (N, C), labels (N,), and the shape of one value per row."""
    x, label = np.moveaxis(_float(x), axis, -1), np.asarray(target)
    return x.reshape(-1, x.shape[-1]), label.ravel().astype(np.intp), label.shape


def _own_and_others(x: Array, label: NDArray[np.intp]) -> tuple[Array, Array]:
    """Each row's entry at its label, and the row with +inf there."""
    rows = np.arange(len(x))
    others = x.copy()
    others[rows, label] = np.inf
    return x[rows, label], others


@_quiet
def multiclass_hinge(
    scores: ArrayLike,
    target: ArrayLike,
    *,
    kind: str = "crammer_singer",
    margin: float = 1.0,
    p: int = 1,
    class_weight: ArrayLike | None = None,
    axis: int = -1,
    ignore_index: int | None = -100,
) -> Terms:
    """max(0, margin - s_y + s_j)^p over j != y: the largest, or ("weston_watkins") the sum / C."""
    x, label, shape = _rows(scores, target, axis)
    counted = np.ones(label.shape, bool) if ignore_index is None else label != ignore_index
    label = np.where(counted, label, 0)
    own, others = _own_and_others(-x, label)
    terms = np.maximum(margin + own[:, None] - others, 0.0) ** p
    values = terms.max(1) if kind == "crammer_singer" else terms.sum(1) / x.shape[1]
    weights = np.where(counted, _class_weight(class_weight, x.shape[1])[label], 0.0)
    return np.where(counted, weights * values, 0.0).reshape(shape), weights.reshape(shape)


def _tasks(x: Array, label: NDArray[np.intp]) -> Array:
    """softplus(x_k) - 1[y > k] x_k."""
    z = np.where(label[:, None] > np.arange(x.shape[1]), -x, x)
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


@_quiet
def coral(logits: ArrayLike, target: ArrayLike, *, level_weight: ArrayLike | None = None, axis: int = -1) -> Terms:
    """Sum over the thresholds of the binary cross-entropy of "y > k"."""
    x, label, shape = _rows(logits, target, axis)
    return _uniform((_class_weight(level_weight, x.shape[1]) * _tasks(x, label)).sum(1).reshape(shape))


@_quiet
def corn(logits: ArrayLike, target: ArrayLike, *, axis: int = -1) -> Terms:
    """The same sum over the tasks k <= y, weighed by their number."""
    x, label, shape = _rows(logits, target, axis)
    asked = np.arange(x.shape[1]) <= label[:, None]
    values = np.where(asked, _tasks(x, label), 0.0).sum(1)
    return values.reshape(shape), asked.sum(1).astype(np.float64).reshape(shape)


@_quiet
def squared_emd(logits: ArrayLike, target: ArrayLike, *, axis: int = -1) -> Terms:
    """Sum over the thresholds of the squared difference of the distribution functions."""
    x, label, shape = _rows(softmax(logits, axis=axis), target, axis)
    below, above = np.cumsum(x, 1), np.cumsum(x[:, ::-1], 1)[:, ::-1]  # sums up to k, and from k
    from_label = np.arange(x.shape[1] - 1) >= label[:, None]  # there 1 - CDF is the sum past k
    return _uniform((np.where(from_label, above[:, 1:], below[:, :-1]) ** 2).sum(1).reshape(shape))


def _log_normal_cdf(z: Array) -> Array:
    """log Phi(z) for z <= 0: by erfc, and where that underflows by its continued fraction."""
    erfc = np.vectorize(math.erfc, otypes=[np.float64])
    fraction = np.zeros_like(z)
    for k in range(60, 0, -1):
        fraction = k / (-z + fraction)
    far = -0.5 * z * z - np.log(-z + fraction) - 0.5 * np.log(2 * np.pi)
    log_cdf: Array = np.where(z > -20.0, np.log(0.5 * erfc(-z / np.sqrt(2.0))), far)
    return log_cdf


def _log_difference(log_big: Array, log_small: Array) -> Array:
    """log(e^log_big - e^log_small)."""
    gap = np.where(np.isneginf(log_small), np.inf, log_big - log_small)
    rest: Array = np.where(gap < 0.7, np.log(-np.expm1(-gap)), np.log1p(-np.exp(-gap)))
    return log_big + rest


@_quiet
def cumulative_link(score: ArrayLike, thresholds: ArrayLike, target: ArrayLike, *, link: str = "logit") -> Terms:
    """-log(F(theta_y - s) - F(theta_(y-1) - s)), as a difference of two logarithms in the tail that they share."""
    s, label = _float(score), np.asarray(target).astype(np.intp)
    edges = np.concatenate([[-np.inf], _float(thresholds), [np.inf]])
    a, b = edges[label] - s, edges[label + 1] - s
    if link == "cloglog":
        return _uniform(-_log_difference(-np.exp(a), -np.exp(b)))
    mirrored = a + b > 0  # both distributions are symmetric
    a, b = np.where(mirrored, -b, a), np.where(mirrored, -a, b)
    if link == "logit":
        log_a, log_b = (np.minimum(z, 0.0) - np.log1p(np.exp(-np.abs(z))) for z in (a, b))
        return _uniform(-_log_difference(log_b, log_a))
    straddling = b > 0
    log_a, log_b, log_rest = (_log_normal_cdf(z) for z in (a, np.minimum(b, 0.0), -np.abs(b)))
    return _uniform(-np.where(straddling, np.log1p(-(np.exp(log_a) + np.exp(log_rest))), _log_difference(log_b, log_a)))


# -- Segmentation: sums over the positions of an item, for each class; boxes ------------------------


def _probabilities(logits: Array, activation: str | None, axis: int | None) -> Array:
    if activation is None:
        return logits
    if activation == "softmax":
        e: Array = np.exp(logits - logits.max(axis=axis, keepdims=True))
        return np.asarray(e / e.sum(axis=axis, keepdims=True))
    return 1.0 / (1.0 + np.exp(-logits))


def _regions(
    logits: ArrayLike, target: ArrayLike, activation: str | None, axis: int | None, batch: bool, ignore_index: int | None
) -> tuple[Array, Array, Array, Array]:
    """Logits, probabilities, targets as masks, and which entries count: (items, classes, positions), one item if pooled."""
    x, t = _float(logits), np.asarray(target)
    valid = np.ones(t.shape) if ignore_index is None else (t != ignore_index).astype(np.float64)
    p = _probabilities(x, activation, axis)
    if axis is None:
        x, p, t, valid = (a[:, None] for a in (x, p, t, valid))
    else:
        x, p = np.moveaxis(x, axis, 1), np.moveaxis(p, axis, 1)
        if t.ndim == x.ndim:
            t, valid = np.moveaxis(t, axis, 1), np.moveaxis(valid, axis, 1)
        else:
            classes = np.arange(x.shape[1]).reshape((-1,) + (1,) * (x.ndim - 2))
            t, valid = (t[:, None] == classes) * 1.0, np.broadcast_to(valid[:, None], x.shape)
    t = np.where(valid > 0, t, 0.0)

    def shaped(a: Array) -> Array:
        a = a.reshape(a.shape[0], a.shape[1], int(np.prod(a.shape[2:])))
        return a.swapaxes(0, 1).reshape(1, a.shape[1], -1) if batch else a

    return shaped(x), shaped(p), shaped(t), shaped(valid)


def _overlap_terms(
    values: Array, valid: Array, class_weight: ArrayLike | None, first: int, batch: bool, axis: int | None
) -> Terms:
    """From (items, classes) to the shape of "none"; what does not count is 0."""
    weight = (valid.sum(axis=2) > 0) * _class_weight(class_weight, values.shape[1])
    values = np.where(weight == 0, 0.0, values * weight)
    values, weight = values[:, first:], weight[:, first:]
    if axis is None:
        values, weight = values[:, 0], weight[:, 0]
    return (values[0], weight[0]) if batch else (values, weight)


def _share(a: Array, b: Array) -> Array:
    """a / b, 0 where b is 0."""
    return np.where(b == 0, 0.0, a / np.where(b == 0, 1.0, b))


@_quiet
def dice(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    activation: str | None = "softmax",
    axis: int | None = 1,
    smooth: float = 0.0,
    squared: bool = False,
    batch: bool = False,
    include_background: bool = True,
    ignore_index: int | None = None,
    class_weight: ArrayLike | None = None,
) -> Terms:
    """1 - (2 sum p t + smooth) / (sum p + sum t + smooth); 0 where the denominator is."""
    _, p, t, valid = _regions(logits, target, activation, axis, batch, ignore_index)
    p = np.where(valid > 0, p, 0.0)
    k = 2 if squared else 1
    whole = (p**k).sum(axis=2) + (t**k).sum(axis=2) + smooth
    values = _share(whole - 2 * (p * t).sum(axis=2) - smooth, whole)
    return _overlap_terms(values, valid, class_weight, not include_background, batch, axis)


@_quiet
def jaccard(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    activation: str | None = "softmax",
    axis: int | None = 1,
    smooth: float = 0.0,
    squared: bool = False,
    batch: bool = False,
    include_background: bool = True,
    ignore_index: int | None = None,
    class_weight: ArrayLike | None = None,
) -> Terms:
    """1 - (intersection + smooth) / (union + smooth)."""
    _, p, t, valid = _regions(logits, target, activation, axis, batch, ignore_index)
    p = np.where(valid > 0, p, 0.0)
    k = 2 if squared else 1
    both = (p * t).sum(axis=2)
    union = (p**k).sum(axis=2) + (t**k).sum(axis=2) - both
    values = _share(union - both, union + smooth)
    return _overlap_terms(values, valid, class_weight, not include_background, batch, axis)


@_quiet
def tversky(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    activation: str | None = "softmax",
    axis: int | None = 1,
    smooth: float = 0.0,
    batch: bool = False,
    include_background: bool = True,
    ignore_index: int | None = None,
    class_weight: ArrayLike | None = None,
) -> Terms:
    """1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth)."""
    return focal_tversky(
        logits, target, alpha=alpha, beta=beta, gamma=1.0, activation=activation, axis=axis, smooth=smooth, batch=batch,
        include_background=include_background, ignore_index=ignore_index, class_weight=class_weight,
    )  # fmt: skip


@_quiet
def focal_tversky(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    gamma: float = 0.75,
    activation: str | None = "softmax",
    axis: int | None = 1,
    smooth: float = 0.0,
    batch: bool = False,
    include_background: bool = True,
    ignore_index: int | None = None,
    class_weight: ArrayLike | None = None,
) -> Terms:
    """The power gamma of tversky."""
    _, p, t, valid = _regions(logits, target, activation, axis, batch, ignore_index)
    p = np.where(valid > 0, p, 0.0)
    wrong = alpha * (p * (1 - t)).sum(axis=2) + beta * ((1 - p) * t).sum(axis=2)
    values = _share(wrong, (p * t).sum(axis=2) + wrong + smooth) ** gamma
    return _overlap_terms(values, valid, class_weight, not include_background, batch, axis)


@_quiet
def generalized_dice(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    activation: str | None = "softmax",
    axis: int | None = 1,
    smooth: float = 0.0,
    batch: bool = False,
    include_background: bool = True,
    ignore_index: int | None = None,
) -> Terms:
    """1 - (2 sum_c w sum p t + smooth) / (sum_c w (sum p + sum t) + smooth), w = 1 / (sum t)^2."""
    _, p, t, valid = _regions(logits, target, activation, axis, batch, ignore_index)
    first = int(not include_background)
    p, t, valid = np.where(valid > 0, p, 0.0)[:, first:], t[:, first:], valid[:, first:]
    volume = t.sum(axis=2)
    w = np.where(volume > 0, 1 / np.where(volume > 0, volume, 1.0) ** 2, 0.0)
    most = w.max(axis=1, keepdims=True)
    w = np.where(volume > 0, w, np.where(most > 0, most, 1.0))
    whole = (w * (p.sum(axis=2) + volume)).sum(axis=1) + smooth
    values = _share(whole - (w * 2 * (p * t).sum(axis=2)).sum(axis=1) - smooth, whole)
    weight = (valid.sum(axis=(1, 2)) > 0).astype(np.float64)
    values = np.where(weight > 0, values, 0.0)
    return (values.reshape(()), weight.reshape(())) if batch else (values, weight)


@_quiet
def dice_cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    dice_weight: float = 1.0,
    ce_weight: float = 1.0,
    activation: str = "softmax",
    axis: int | None = 1,
    smooth: float = 0.0,
    squared: bool = False,
    batch: bool = False,
    include_background: bool = True,
    ignore_index: int | None = None,
    class_weight: ArrayLike | None = None,
) -> Terms:
    """dice_weight x dice + ce_weight x mean cross-entropy of the item's positions (sigmoid: of its class's entries)."""
    x, p, t, valid = _regions(logits, target, activation, axis, batch, ignore_index)
    p, x = np.where(valid > 0, p, 0.0), np.where(valid > 0, x, 0.0)
    k = 2 if squared else 1
    whole = (p**k).sum(axis=2) + (t**k).sum(axis=2) + smooth
    overlap = _share(whole - 2 * (p * t).sum(axis=2) - smooth, whole)
    if activation == "sigmoid":
        entropy = valid * (np.logaddexp(0.0, -np.abs(x)) + np.where(x > 0, _times(1 - t, x), _times(t, -x)))
        mean = _share(entropy.sum(axis=2), valid.sum(axis=2))
    else:
        top = x.max(axis=1, keepdims=True)
        away = (top - x) + np.log(np.exp(x - top).sum(axis=1, keepdims=True))
        w = t * _class_weight(class_weight, x.shape[1])[:, None]
        weight = valid[:, 0].sum(axis=1) if class_weight is None else w.sum(axis=(1, 2))
        mean = _share(_times(w, away).sum(axis=(1, 2)), weight)[:, None]
    values = dice_weight * overlap + ce_weight * mean
    return _overlap_terms(values, valid, class_weight, not include_background, batch, axis)


@_quiet
def lovasz(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    activation: str | None = "softmax",
    axis: int | None = 1,
    per_image: bool = False,
    only_present: bool | None = None,
    include_background: bool = True,
    ignore_index: int | None = None,
    class_weight: ArrayLike | None = None,
) -> Terms:
    """Errors in descending order, each times what its position adds to the Jaccard loss."""
    _, p, t, valid = _regions(logits, target, activation, axis, not per_image, ignore_index)
    values = np.zeros(p.shape[:2])
    for at in np.ndindex(values.shape):
        counted = valid[at] > 0
        mask, error = t[at][counted], np.abs(t[at] - p[at])[counted]
        order = np.argsort(-error, kind="stable")
        error, mask = error[order], mask[order]
        total = mask.sum()
        jaccard_loss = 1 - (total - mask.cumsum()) / (total + (1 - mask).cumsum())
        values[at] = (error * np.diff(jaccard_loss, prepend=0.0)).sum()
    if activation == "softmax" if only_present is None else only_present:
        valid = valid * (t.sum(axis=2, keepdims=True) > 0)
    return _overlap_terms(values, valid, class_weight, not include_background, not per_image, axis)


@_quiet
def box_iou(boxes: ArrayLike, target: ArrayLike, *, kind: str = "giou", format: str = "xyxy", eps: float = 0.0) -> Terms:
    """1 - IoU, and what giou, diou and ciou add to it."""
    (a, b), (c, d) = _corners(_float(boxes), format), _corners(_float(target), format)
    size, other = b - a, d - c
    shared = np.maximum(np.minimum(b, d) - np.maximum(a, c), 0.0).prod(axis=-1)
    union = size.prod(axis=-1) + other.prod(axis=-1) - shared
    sides = np.maximum(b, d) - np.minimum(a, c)
    loss = 1 - shared / (union + eps)
    if kind == "giou":
        hull = sides.prod(axis=-1)
        loss = loss + (hull - union) / (hull + eps)
    if kind in ("diou", "ciou"):
        far = (((a + b) - (c + d)) ** 2).sum(axis=-1) / 4
        away = far / ((sides**2).sum(axis=-1) + eps)
        if kind == "ciou":
            angle = np.arctan2(other[..., 0], other[..., 1]) - np.arctan2(size[..., 0], size[..., 1])
            v = 4 / math.pi**2 * angle**2
            away = away + np.where(v > 0, v * v / (loss + v + eps), v)
        loss = loss + away
    return _uniform(loss)


def _corners(boxes: Array, format: str) -> tuple[Array, Array]:
    first, second = boxes[..., :2], boxes[..., 2:]
    if format == "xyxy":
        return first, second
    return (first, first + second) if format == "xywh" else (first - second / 2, first + second / 2)


@_quiet
def energy(
    energies: ArrayLike,
    target: ArrayLike,
    *,
    kind: str = "nll",
    margin: float = 1.0,
    beta: float = 1.0,
    axis: int = -1,
) -> Terms:
    """Of E, the energy at the label, and the lowest of the others."""
    x, label, shape = _rows(energies, target, axis)
    own, others = _own_and_others(x, label)
    rival = others.min(1)
    gap = own - rival
    if kind in ("nll", "mee"):
        nll_ = cross_entropy(-beta * x, label, ignore_index=None)[0]
        values = nll_ / beta if kind == "nll" else -np.expm1(-nll_)
    else:
        values = {
            "energy": own,
            "perceptron": np.maximum(gap, 0.0),
            "hinge": np.maximum(margin + gap, 0.0),
            "log": np.maximum(gap, 0.0) + np.log1p(np.exp(-np.abs(gap))),
            "lvq2": np.minimum(margin, np.maximum(0.0, gap)),
            "mce": 1.0 / (1.0 + np.exp(-gap)),
            "square_square": own**2 + np.maximum(0.0, margin - rival) ** 2,
            "square_exp": own**2 + beta * np.exp(-rival),
        }[kind]
    return _uniform(values.reshape(shape))


# -- Embeddings: rows of D dimensions along the last axis ---------------------------------------------


@_quiet
def contrastive(x1: ArrayLike, x2: ArrayLike, similar: ArrayLike, *, margin: float = 1.0, power: float = 2.0) -> Terms:
    """d^power / 2 of similar pairs, max(0, margin - d)^power / 2 of the others."""
    d = np.linalg.norm(_float(x1) - _float(x2), axis=-1)
    return _uniform(np.where(np.asarray(similar) == 1, d, np.maximum(0.0, margin - d)) ** power / 2)


@_quiet
def triplet(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    swap: bool = False,
    squared: bool = False,
    eps: float = 1e-6,
) -> Terms:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin)."""
    a, pos, neg = _float(anchor), _float(positive), _float(negative)

    def distance(x: Array, y: Array) -> Array:
        d: Array = np.linalg.norm(x - y + eps, ord=p, axis=-1)
        return d**2 if squared else d

    away = np.minimum(distance(a, neg), distance(pos, neg)) if swap else distance(a, neg)
    return _uniform(np.maximum(0.0, distance(a, pos) - away + margin))


@_quiet
def cosine_embedding(x1: ArrayLike, x2: ArrayLike, target: ArrayLike, *, margin: float = 0.0) -> Terms:
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1; the cosine with a zero vector is 0."""
    x, y = _float(x1), _float(x2)
    lengths = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    cosine = np.where(lengths == 0, 0.0, (x * y).sum(axis=-1) / np.where(lengths == 0, 1.0, lengths))
    return _uniform(np.where(_float(target) == 1, 1 - cosine, np.maximum(0.0, cosine - margin)))


@_quiet
def margin_ranking(x1: ArrayLike, x2: ArrayLike, target: ArrayLike, *, margin: float = 0.0) -> Terms:
    """max(0, margin - target (x1 - x2))."""
    return _uniform(np.maximum(0.0, margin - _float(target) * (_float(x1) - _float(x2))))


@_quiet
def hinge_embedding(distance: ArrayLike, target: ArrayLike, *, margin: float = 1.0) -> Terms:
    """The distance where the target is 1, max(0, margin - distance) where it is -1."""
    d = _float(distance)
    return _uniform(np.where(_float(target) == 1, d, np.maximum(0.0, margin - d)))


# -- Sequences: N samples of T frames and C classes, S labels each -----------------------------------


def _labels_in_rows(
    targets: ArrayLike, target_lengths: ArrayLike | None, samples: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Labels (N, S), whatever stands in the padding, and how many of each row count."""
    given = np.asarray(targets).astype(np.intp)
    if given.ndim == 2:
        lengths = np.full(samples, given.shape[1]) if target_lengths is None else np.asarray(target_lengths)
        return given, lengths.astype(np.intp)
    lengths = np.asarray(target_lengths).astype(np.intp)
    rows = np.zeros((samples, lengths.max(initial=0)), np.intp)
    rows[np.arange(rows.shape[1]) < lengths[:, None]] = given
    return rows, lengths


@_quiet
def ctc(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    input_lengths: ArrayLike | None = None,
    target_lengths: ArrayLike | None = None,
    blank: int = 0,
    log_probs: bool = False,
    time_major: bool = False,
    length_normalize: str | None = None,
    zero_infinity: bool = False,
) -> Terms:
    """-log of the sum of the probabilities of all alignments, by the forward recursion over labels with blanks between them."""
    x = np.swapaxes(_float(logits), 0, 1) if time_major else _float(logits)
    samples, frames = x.shape[:2]
    used = np.full(samples, frames) if input_lengths is None else np.asarray(input_lengths).astype(np.intp)
    labels, lengths = _labels_in_rows(targets, target_lengths, samples)
    labels = np.where(np.arange(labels.shape[1]) < lengths[:, None], labels, blank)
    states = np.full((samples, 2 * labels.shape[1] + 1), blank)
    states[:, 1::2] = labels
    same = np.ones(states.shape, bool)  # a blank, or the label before once more: the blank between must be seen
    same[:, 3::2] = labels[:, 1:] == labels[:, :-1]
    same[:, 1:2] = True
    log_y = x if log_probs else log_softmax(x)
    log_alpha = np.full(states.shape, -np.inf)
    log_alpha[:, 0] = 0.0  # before the first frame: nothing read yet
    for t in range(frames):
        one, two = np.full((2, *states.shape), -np.inf)
        one[:, 1:], two[:, 2:] = log_alpha[:, :-1], log_alpha[:, :-2]
        two[same] = -np.inf
        arrived = np.logaddexp(np.logaddexp(log_alpha, one), two) + np.take_along_axis(log_y[:, t], states, axis=1)
        log_alpha = np.where((t < used)[:, None], arrived, log_alpha)
    last = 2 * lengths[:, None]
    ends = np.take_along_axis(log_alpha, np.concatenate([last, np.maximum(last - 1, 0)], axis=1), axis=1)
    values = 0.0 - np.where(lengths == 0, ends[:, 0], np.logaddexp(ends[:, 0], ends[:, 1]))
    values = values if log_probs else np.maximum(values, 0.0)
    if zero_infinity:
        values = np.where(np.isposinf(values), 0.0, values)
    if length_normalize is not None:
        values = values / np.maximum(lengths if length_normalize == "target" else used, 1)
    return _uniform(values)


def perplexity(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    ignore_index: int | None = -100,
    sample_weight: ArrayLike | None = None,
) -> float:
    """exp of the mean cross-entropy."""
    terms = cross_entropy(logits, target, axis=axis, ignore_index=ignore_index)
    return float(np.exp(reduce(*terms, sample_weight)))


# -- Embeddings: N rows of D, compared with one another ------------------------------------------------


@_quiet
def pairwise_distances(x: ArrayLike, y: ArrayLike | None = None, *, metric: str = "euclidean") -> Array:
    """The length of each difference, its square, or 1 - the cosine of the angle; identical rows are 0 apart."""
    a = _float(x)
    b = a if y is None else _float(y)
    distances = np.zeros((len(a), len(b)))
    for i, row in enumerate(a):
        if metric == "cosine":  # half the squared distance of the unit vectors, which loses nothing where they are close
            u, v = _unit(row[None]), _unit(b)
            zero = ~row.any() | ~b.any(axis=1)
            distances[i] = np.where(zero, 1.0, 0.5 * ((u - v) ** 2).sum(axis=1))
        else:
            distances[i] = _lengths(row - b, metric == "sqeuclidean")
    return distances


def _lengths(differences: Array, squared: bool = False) -> Array:
    """The rows' Euclidean lengths or their squares."""
    if squared:
        return np.asarray((differences**2).sum(axis=-1))
    return np.hypot.reduce(differences, axis=-1) if differences.shape[-1] else np.zeros(differences.shape[:-1])


def _unit(x: Array) -> Array:
    """Rows divided by their lengths; a row of zeros stays as it is."""
    largest = np.abs(x).max(axis=-1, keepdims=True, initial=0.0)
    x = np.where(largest == 0, 0.0, x / largest)
    length = np.sqrt((x**2).sum(axis=-1, keepdims=True))
    return np.where(length == 0, 0.0, x / length)


@_quiet
def batch_triplet(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    mining: str = "hard",
    margin: float = 0.2,
    squared: bool = False,
    average: str = "active",
) -> Terms:
    """For each anchor the sum of max(0, d_ap - d_an + margin) over its triplets, and how many of them the mean counts."""
    x, label = _float(embeddings), np.asarray(labels)
    values, counts = np.zeros((2, len(x)))
    for anchor, row in enumerate(x):
        d = _lengths(row - x, squared)
        others, same = np.arange(len(x)) != anchor, label == label[anchor]
        d_ap, d_an = _mined(d[same & others], d[~same], mining, margin)
        hinges = np.maximum(0.0, d_ap - d_an + margin)
        values[anchor] = hinges.sum()
        counts[anchor] = np.count_nonzero(hinges) if average == "active" else hinges.size
    return values, counts


def _mined(positives: Array, negatives: Array, mining: str, margin: float) -> tuple[Array, Array]:
    """d_ap and d_an of an anchor's triplets, from its distances to all positives and all negatives."""
    if not positives.size or not negatives.size:
        return np.zeros(0), np.zeros(0)
    if mining == "hard":
        return positives.max(keepdims=True), negatives.min(keepdims=True)
    d_ap, d_an = (a.ravel() for a in np.meshgrid(positives, negatives, indexing="ij"))
    if mining == "semihard":
        farther = negatives > positives[:, None]
        nearest = np.where(farther, negatives, np.inf).min(axis=1)
        some = farther.any(axis=1)
        return positives[some], nearest[some]
    if mining == "all_semihard":
        between = (d_ap < d_an) & (d_an < d_ap + margin)
        return d_ap[between], d_an[between]
    return d_ap, d_an


def _log_shares(similarity: Array) -> Array:
    """log_softmax of each row of similarities to all other rows: its own, on the diagonal, does not take part."""
    if not len(similarity):
        return similarity
    return log_softmax(np.where(np.eye(len(similarity), dtype=bool), -np.inf, similarity))


@_quiet
def nt_xent(z1: ArrayLike, z2: ArrayLike, *, temperature: float = 0.5) -> Terms:
    """-log softmax over all other rows of [z1; z2], at the row's partner; of cosines over the temperature."""
    z = _unit(np.concatenate([_float(z1), _float(z2)]))
    rows = np.arange(len(z))
    partner = (rows + len(z) // 2) % max(len(z), 1)
    return _uniform(0.0 - _log_shares(z @ z.T / temperature)[rows, partner])


@_quiet
def info_nce(
    query: ArrayLike,
    key: ArrayLike,
    *,
    negatives: ArrayLike | None = None,
    temperature: float = 0.07,
    symmetric: bool = False,
    normalize: bool = True,
) -> Terms:
    """Cross-entropy of query . key / temperature at a query's own key, among all keys, or beside the queue."""
    q, k = _float(query), _float(key)
    q, k = (_unit(q), _unit(k)) if normalize else (q, k)
    if not len(q):
        return _uniform(np.zeros(0))
    own = np.arange(len(q))
    if negatives is not None:
        queue = _unit(_float(negatives)) if normalize else _float(negatives)
        scores = np.concatenate([(q * k).sum(axis=1, keepdims=True), q @ queue.T], axis=1) / temperature
        return cross_entropy(scores, 0 * own, ignore_index=None)
    scores = q @ k.T / temperature
    values, weights = cross_entropy(scores, own, ignore_index=None)
    if symmetric:
        values = 0.5 * (values + cross_entropy(scores.T, own, ignore_index=None)[0])
    return values, weights


@_quiet
def supcon(embeddings: ArrayLike, labels: ArrayLike, *, temperature: float = 0.07, normalize: bool = True) -> Terms:
    """The mean of -log softmax over all other rows, at the rows of the anchor's label; nothing where there is none."""
    x, label = _float(embeddings), np.asarray(labels)
    x = _unit(x) if normalize else x
    positive = (label == label[:, None]) & ~np.eye(len(x), dtype=bool)
    losses = np.where(positive, 0.0 - _log_shares(x @ x.T / temperature), 0.0)
    counts = positive.sum(axis=1)
    return losses.sum(axis=1) / np.maximum(counts, 1), (counts > 0).astype(np.float64)

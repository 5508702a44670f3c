"""What rounding is relative to, where that is more than the result: the terms of which it is the difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .batches import BATCHWISE, batchwise
from .ctc import SEQUENCES
from .exact import Exact, once
from .losses import truth
from .pointwise import pointwise_truth
from .regions import REGIONS, region_scale
from .scores import ROWS
from .ulp import row_scale
from .vectors import VECTORS


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
        hi, lo = pointwise_truth(name, args, options, 0, 0)
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
        return once(_triplet_slope_scale, args, options)
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

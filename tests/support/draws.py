"""Draws for accuracy: beside a loss's optimum on every scale, and far from it. The registry's samplers draw ordinary numbers,
among which few lie where digits are lost; these change an ordinary draw.

A relative distance is 10^-15 .. 10^-1 of either sign, evenly in its logarithm. Imports NumPy only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray
Args = tuple[Array, ...]
Change = Callable[[np.random.Generator, Args, dict[str, Any], str], Args]

LOG_MEAN = {"float32": 80.0, "float64": 650.0}  # exponents whose exponential either type holds
SQUARE_ROOT = {"float32": 18.0, "float64": 150.0}  # powers of ten whose square does not overflow
LOGIT = {"float32": 80.0, "float64": 600.0}


def distances(rng: np.random.Generator, n: Any) -> Array:
    """Relative distances on every scale, on both sides."""
    return 10.0 ** rng.uniform(-15, -1, n) * rng.choice([-1.0, 1.0], n)


def _errors(at: str | None = None, **default: float) -> Change:
    """Predictions next to the target, of which some are 0; next to the option `at` for half of them."""

    def near(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
        t = args[1].astype(np.float64)
        t[::4] = 0
        d = distances(rng, t.shape)
        x = t + d * np.where(t == 0, 1, np.abs(t))
        if at is not None:
            border = options.get(at, default["default"])
            t[::2], x[::2] = 0, np.where(np.arange(t[::2].size) % 4 < 2, 1, -1) * border * (1 + d[::2])
        return (x, t, *args[2:])

    return near


def _far_errors(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    t = args[1].astype(np.float64)
    e = 10.0 ** rng.uniform(-SQUARE_ROOT[dtype], SQUARE_ROOT[dtype], t.shape)
    return (t + e * rng.choice([-1.0, 1.0], t.shape), t, *args[2:])


def _near_deviance(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    t = np.maximum(args[1].astype(np.float64), 0.1)
    t[::3] = 1
    d, log = distances(rng, t.shape), np.log(t.astype(dtype).astype(np.float64))
    x = np.exp(log + d) if options.get("log_input") is False else log + d * np.maximum(1, np.abs(log)) * (t != 1) + d * (t == 1)
    return x, t


def _far_deviance(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    n, power = args[0].shape, options.get("power", 1.5)
    most = LOG_MEAN[dtype] / max(1.0, abs(2.0 - power), abs(1.0 - power))
    x, log = rng.uniform(-most, most, n), rng.uniform(-most, most, n)
    x[::2], log[::2] = rng.uniform(-25, 25, x[::2].shape), rng.uniform(-5, 5, x[::2].shape)
    return (np.exp(x) if options.get("log_input") is False else x), np.exp(log)


def _near_logarithms(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    t = np.abs(args[1].astype(np.float64))
    t[::3] = 0
    return (1 + t) * (1 + distances(rng, t.shape)) - 1 + (t == 0) * distances(rng, t.shape), t


def _far_logarithms(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    n, most = args[0].shape, 2 * SQUARE_ROOT[dtype]
    return 10.0 ** rng.uniform(-most, most, n), 10.0 ** rng.uniform(-most, most, n)


def _near_gaussian(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    t = args[1].astype(np.float64)
    return t + distances(rng, t.shape), t, np.exp(rng.uniform(-5, 5, t.shape))


def _far_gaussian(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    _, t, _ = args
    e, most = 10.0 ** rng.uniform(-10, SQUARE_ROOT[dtype], t.shape), 2 * SQUARE_ROOT[dtype]
    return e, np.zeros(t.shape), 10.0 ** rng.uniform(-5, most, t.shape)


def _tiny_logits(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    return (distances(rng, args[0].shape), *args[1:])


def _far_logits(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    return (rng.uniform(-LOGIT[dtype], LOGIT[dtype], args[0].shape), *args[1:])


def _near_probabilities(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    d = np.abs(distances(rng, args[0].shape))
    return (np.where(rng.random(d.shape) < 0.5, d, 1 - np.maximum(d, np.finfo(dtype).eps)), *args[1:])


def _near_margin(default: float) -> Change:
    def near(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
        border = options.get("margin", default)
        return (args[-1] * border * (1 + distances(rng, args[0].shape)), *args[1:])

    return near


def _near_threshold(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    return (options.get("margin", 1.0) * np.abs(1 + distances(rng, args[0].shape)), args[1])


def _confident(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    """Rows whose label wins by up to the type's range of exponents; of probabilities, the likeliest class."""
    x, target = args[0].astype(np.float64), args[1]
    label = target if target.ndim < x.ndim else target.argmax(axis=-1)
    label = np.minimum(label, x.shape[-1] - 1)
    rows = np.arange(len(x))
    x[rows, label] = -np.inf
    x[rows, label] = x.max(axis=-1) + 10.0 ** rng.uniform(-15, np.log10(LOGIT[dtype]), len(x))
    return (x, *args[1:])


def _lost(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    return (args[0] * 10.0 ** rng.uniform(-1, 1, (len(args[0]), *(1,) * (args[0].ndim - 1))), *args[1:])


def _near_distribution(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    p = args[0].astype(np.float64)
    return p, p * (1 + distances(rng, p.shape))


def _near_prior(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    priors = (np.broadcast_to(options.get(k, 0.0), args[0].shape) for k in ("prior_mean", "prior_log_variance"))
    return tuple(p + distances(rng, p.shape) for p in priors)


def _near_boxes(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    target = args[1].astype(np.float64)
    return target * (1 + distances(rng, target.shape)), target


def _far_boxes(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    """Of any size that the type holds; far from each other, some of them."""
    if options.get("eps"):
        return args
    digits = 30 if dtype == "float32" else 290
    size = 10.0 ** rng.uniform(-digits, digits, (len(args[0]), 1))
    return args[0] * size, args[1] * size


def _near_ranks(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    _, x2, t = args
    x2 = x2.astype(np.float64)
    d = distances(rng, x2.shape)
    return x2 + options.get("margin", 0.0) * t * (1 + d) + d * np.abs(x2) * (np.arange(len(d)) % 2), x2, t


def _near_pair(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    t = args[1].astype(np.float64)
    return t * (1 + distances(rng, t.shape)), t


def _near_log_probabilities(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    """Log-probabilities, or logits, next to those of the target: the terms of a row have both signs and nearly cancel."""
    t = args[1].astype(np.float64)
    log = t if options.get("log_target") else np.log(np.maximum(t, 1e-4))
    return options.get("temperature", 1.0) * log + distances(rng, t.shape), log if options.get("log_target") else np.exp(log)


def _near_vectors(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    """Second vectors that are the first but for a relative distance, the same for all of a row."""
    first = args[0].astype(np.float64)
    d = np.abs(distances(rng, (len(first), 1)))
    moved = first * (1 + d * rng.choice([-1.0, 1.0], first.shape))
    return first, moved, *args[2:]


def _far_vectors(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    most = SQUARE_ROOT[dtype] / max(2.0, options.get("p", 2.0) if np.isfinite(options.get("p", 2.0)) else 2.0)
    size = 10.0 ** rng.uniform(-most, most, (len(args[0]), 1))
    return tuple(a * size if a.ndim == 2 else a for a in args)


def _sure_regions(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    """Logits whose label wins at every position, by up to 40 nats: all that is left of the loss is 1 - p."""
    x, y = args[0].astype(np.float64), args[1]
    y = np.clip(y, 0, x.shape[1] - 1)
    own = np.arange(x.shape[1]).reshape(1, -1, *(1,) * (y.ndim - 1)) == y[:, None]
    size = rng.uniform(0, 20, (len(x), *(1,) * (x.ndim - 1)))
    return (np.where(own, size, -size) + 0.1 * x, *args[1:])


def _wrong_regions(rng: np.random.Generator, args: Args, options: dict[str, Any], dtype: str) -> Args:
    x, y = _sure_regions(rng, args, options, dtype)
    return -x, y


REGIONS = ("dice", "jaccard", "tversky", "focal_tversky", "generalized_dice", "dice_cross_entropy", "lovasz")
NEAR: dict[str, Change] = {
    "margin_ranking": _near_ranks,
    "contrastive_divergence": _near_pair,
    **dict.fromkeys(("kl_div", "kl_div_with_logits"), _near_log_probabilities),
    **dict.fromkeys(("contrastive", "triplet", "cosine_embedding"), _near_vectors),
    **dict.fromkeys(("multiclass_hinge", "energy", "coral", "corn"), _tiny_logits),
    **dict.fromkeys(REGIONS, _sure_regions),
    **dict.fromkeys(("mse", "mae", "log_cosh", "quantile", "expectile", "mape"), _errors()),
    **dict.fromkeys(("huber", "pseudo_huber"), _errors("delta", default=1.0)),
    "smooth_l1": _errors("beta", default=1.0),
    **dict.fromkeys(("gamma", "tweedie", "poisson_nll"), _near_deviance),
    "msle": _near_logarithms,
    "gaussian_nll": _near_gaussian,
    "binary_cross_entropy": _near_probabilities,
    **dict.fromkeys(
        ("binary_cross_entropy_with_logits", "sigmoid_focal", "soft_margin", "exponential", "perceptron"), _tiny_logits
    ),
    **dict.fromkeys(("hinge", "squared_hinge"), _near_margin(1.0)),
    "hinge_embedding": _near_threshold,
    **dict.fromkeys(
        ("cross_entropy", "softmax_focal", "poly1_cross_entropy", "generalized_cross_entropy", "squared_emd"), _confident
    ),
    "js_divergence": _near_distribution,
    "gaussian_kl": _near_prior,
    "box_iou": _near_boxes,
}
FAR: dict[str, Change] = {
    "contrastive_divergence": _far_errors,
    "exponential": _far_logits,
    **dict.fromkeys(("contrastive", "triplet", "cosine_embedding"), _far_vectors),
    **dict.fromkeys(REGIONS, _wrong_regions),
    "ctc": _lost,
    "cumulative_link": lambda rng, args, options, dtype: (rng.uniform(-30, 30, args[0].shape), *args[1:]),
    **dict.fromkeys(
        ("mse", "mae", "log_cosh", "quantile", "expectile", "mape", "huber", "pseudo_huber", "smooth_l1"), _far_errors
    ),
    **dict.fromkeys(("gamma", "tweedie", "poisson_nll"), _far_deviance),
    "msle": _far_logarithms,
    "gaussian_nll": _far_gaussian,
    **dict.fromkeys(("binary_cross_entropy_with_logits", "sigmoid_focal", "soft_margin", "perceptron"), _far_logits),
    **dict.fromkeys(
        ("cross_entropy", "softmax_focal", "poly1_cross_entropy", "generalized_cross_entropy", "kl_div_with_logits"), _lost
    ),
    **dict.fromkeys(("multiclass_hinge", "energy", "coral", "corn", "squared_emd"), _lost),
    "box_iou": _far_boxes,
}
PLACES = {"near": NEAR, "far": FAR}
# Gradients that have two sides at the optimum, or are a difference of probabilities by their nature: only values are compared.
VALUE_ONLY = (
    *("mae", "quantile", "mape", "hinge", "hinge_embedding", "perceptron", "squared_hinge", "margin_ranking"),
    "kl_div_with_logits",
)


def moved(name: str, place: str, args: Args, options: dict[str, Any], seed: int = 0) -> Args | None:
    """The arguments of an ordinary call of a loss, moved next to its optimum or far from it; None where that means nothing."""
    change = PLACES[place].get(name)
    if change is None:
        return None
    dtype = str(args[0].dtype)
    got = change(np.random.default_rng([seed, len(args[0])]), args, options, dtype)
    return tuple(np.asarray(new).astype(old.dtype) for new, old in zip(got, args, strict=True))

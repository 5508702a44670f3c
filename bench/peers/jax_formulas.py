"""The JAX side of the benchmarks: optax's losses where it has them, and what its users write where it has not.

Each function takes arrays and returns the mean, or what the row asks for; `functions` picks those that a row's options fit.
N rows, C classes. Imports JAX and optax: load it when a peer is wanted.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

Function = Callable[..., Any]


def cross_entropy(x: Any, t: Any, *, axis: int = -1) -> Any:
    if t.ndim == x.ndim:
        return optax.softmax_cross_entropy(x, t).mean()
    return optax.softmax_cross_entropy_with_integer_labels(x, t, axis=axis).mean()


def gaussian_nll(x: Any, t: Any, variance: Any) -> Any:
    v = jnp.maximum(variance, 1e-6)
    return (jnp.log(v) + (x - t) ** 2 / v).mean() / 2


def js_divergence(p: Any, q: Any) -> Any:
    log_m = jnp.log((p + q) / 2)
    return (optax.kl_divergence(log_m, p) + optax.kl_divergence(log_m, q)).mean() / 2


def tweedie(p: Any, t: Any) -> Any:
    half = jnp.exp(0.5 * p)
    return (2 * (half + t / half) - 4 * jnp.sqrt(t)).mean()


def multiclass_hinge(x: Any, t: Any) -> Any:
    """Weston and Watkins'."""
    own = jnp.take_along_axis(x, t[:, None], 1)
    return ((jnp.maximum(0, 1 + x - own).sum(1) - 1) / x.shape[1]).mean()


def coral(x: Any, t: Any) -> Any:
    above = (t[:, None] > jnp.arange(x.shape[1])).astype(x.dtype)
    return optax.sigmoid_binary_cross_entropy(x, above).sum(1).mean()


def squared_emd(x: Any, t: Any) -> Any:
    return ((jnp.cumsum(jax.nn.softmax(x), 1) - (t[:, None] <= jnp.arange(x.shape[1]))) ** 2).sum(1).mean()


def cumulative_link(score: Any, thresholds: Any, t: Any) -> Any:
    edges = jnp.concatenate([jnp.array([-jnp.inf]), thresholds, jnp.array([jnp.inf])])
    return -jnp.log(jax.nn.sigmoid(edges[t + 1] - score) - jax.nn.sigmoid(edges[t] - score)).mean()


def ctc(logits: Any, targets: Any) -> Any:
    return optax.ctc_loss(logits, jnp.zeros(logits.shape[:2]), targets, jnp.zeros(targets.shape)).mean()


def _regions(logits: Any, target: Any, activation: str) -> tuple[Any, Any]:
    """Probabilities, and masks of their type."""
    if activation == "sigmoid":
        return jax.nn.sigmoid(logits), target.astype(logits.dtype)
    classes = jnp.arange(logits.shape[1]).reshape(-1, *[1] * (logits.ndim - 2))
    return jax.nn.softmax(logits, axis=1), (target[:, None] == classes).astype(logits.dtype)


def dice(logits: Any, target: Any, *, activation: str = "softmax") -> Any:
    p, t = _regions(logits, target, activation)
    axes = tuple(range(2, logits.ndim))
    return (1 - 2 * (p * t).sum(axes) / (p.sum(axes) + t.sum(axes))).mean()


def dice_cross_entropy(logits: Any, target: Any, *, activation: str = "softmax") -> Any:
    if activation == "sigmoid":
        cost = optax.sigmoid_binary_cross_entropy(logits, target.astype(logits.dtype)).mean()
    else:
        cost = optax.softmax_cross_entropy_with_integer_labels(logits, target, axis=1).mean()
    return dice(logits, target, activation=activation) + cost


def triplet(a: Any, p: Any, n: Any) -> Any:
    near, away = (jnp.sqrt(((a - x + 1e-6) ** 2).sum(-1)) for x in (p, n))
    return jnp.maximum(0, near - away + 1).mean()


def contrastive(x1: Any, x2: Any, similar: Any) -> Any:
    d = jnp.sqrt(((x1 - x2) ** 2).sum(-1))
    return (jnp.where(similar == 1, d, jnp.maximum(0, 1 - d)) ** 2).mean() / 2


def cosine_embedding(x1: Any, x2: Any, t: Any) -> Any:
    cosine = optax.cosine_similarity(x1, x2)
    return jnp.where(t == 1, 1 - cosine, jnp.maximum(0, cosine)).mean()


def pairwise_distances(x: Any, y: Any) -> Any:
    squares = (x * x).sum(1)[:, None] + (y * y).sum(1) - 2 * x @ y.T
    return jnp.sqrt(jnp.maximum(squares, 0))


def _unit(x: Any) -> Any:
    return x / jnp.linalg.norm(x, axis=1, keepdims=True)


def _others(rows: Any, temperature: float) -> Any:
    """log_softmax of the similarities to all other rows."""
    z = _unit(rows)
    return jax.nn.log_softmax(jnp.where(jnp.eye(len(z), dtype=bool), -jnp.inf, z @ z.T / temperature))


def nt_xent(z1: Any, z2: Any) -> Any:
    n = len(z1)
    partner = jnp.roll(jnp.arange(2 * n), n)
    return -jnp.take_along_axis(_others(jnp.concatenate([z1, z2]), 0.5), partner[:, None], 1).mean()


def supcon(x: Any, y: Any) -> Any:
    positive = (y == y[:, None]) & ~jnp.eye(len(y), dtype=bool)
    count = positive.sum(1)
    each = -jnp.where(positive, _others(x, 0.07), 0).sum(1) / jnp.maximum(count, 1)
    return each.sum() / (count > 0).sum()


def info_nce(q: Any, k: Any, *, symmetric: bool = False) -> Any:
    scores = _unit(q) @ _unit(k).T / 0.07
    value = -jnp.diagonal(jax.nn.log_softmax(scores)).mean()
    return (value - jnp.diagonal(jax.nn.log_softmax(scores, axis=0)).mean()) / 2 if symmetric else value


def batch_triplet(x: Any, y: Any) -> Any:
    """The hardest positive and negative of each anchor."""
    squares = (x * x).sum(1)[:, None] + (x * x).sum(1) - 2 * x @ x.T
    d = jnp.sqrt(jnp.where(squares > 0, squares, 1e-12))
    same = y == y[:, None]
    farthest = jnp.argmax(jnp.where(same & ~jnp.eye(len(y), dtype=bool), d, -jnp.inf), 1)
    nearest = jnp.argmin(jnp.where(same, jnp.inf, d), 1)
    near, away = (jnp.take_along_axis(d, at[:, None], 1)[:, 0] for at in (farthest, nearest))
    losses = near - away + 0.2
    return jnp.maximum(losses, 0).sum() / (losses > 0).sum()


def _of_log_probability(function: Function) -> Function:
    """A function of the label's log-probability."""
    return lambda x, y: function(-optax.softmax_cross_entropy_with_integer_labels(x, y)).mean()


LIBRARY: dict[str, Function] = {
    "mse": lambda p, t: optax.squared_error(p, t).mean(),
    "huber": lambda p, t: optax.huber_loss(p, t).mean(),
    "smooth_l1": lambda p, t: optax.huber_loss(p, t).mean(),
    "log_cosh": lambda p, t: optax.log_cosh(p, t).mean(),
    "hinge": lambda s, t: optax.hinge_loss(s, t).mean(),
    "perceptron": lambda s, t: optax.losses.perceptron_loss(s, t).mean(),
    "sigmoid_focal": lambda x, t: optax.sigmoid_focal_loss(x, t, alpha=0.25, gamma=2.0).mean(),
    "binary_cross_entropy_with_logits": lambda x, t: optax.sigmoid_binary_cross_entropy(x, t).mean(),
    "energy": lambda e, t: optax.softmax_cross_entropy_with_integer_labels(-e, t).mean(),
    "kl_div": lambda x, t: optax.kl_divergence(x, t).mean(),
    "kl_div_with_logits": lambda x, t: optax.kl_divergence(jax.nn.log_softmax(x), t).mean(),
    "logsumexp": partial(jax.nn.logsumexp, axis=-1),
    "softmax": partial(jax.nn.softmax, axis=-1),
    "ctc": ctc,
}
FORMULAS: dict[str, Function] = {
    **{f.__name__: f for f in (gaussian_nll, js_divergence, tweedie, coral, squared_emd, cumulative_link)},
    **{f.__name__: f for f in (triplet, contrastive, cosine_embedding, pairwise_distances, nt_xent, supcon)},
    "softmax_focal": _of_log_probability(lambda log_p: -((1 - jnp.exp(log_p)) ** 2) * log_p),
    "poly1_cross_entropy": _of_log_probability(lambda log_p: 1 - jnp.exp(log_p) - log_p),
    "generalized_cross_entropy": _of_log_probability(lambda log_p: (1 - jnp.exp(0.7 * log_p)) / 0.7),
    "mae": lambda p, t: jnp.abs(p - t).mean(),
    "pseudo_huber": lambda p, t: (jnp.sqrt(1 + (p - t) ** 2) - 1).mean(),
    "quantile": lambda p, t: jnp.maximum(0.5 * (t - p), -0.5 * (t - p)).mean(),
    "expectile": lambda p, t: (0.5 * (p - t) ** 2).mean(),
    "mape": lambda p, t: (jnp.abs(p - t) / jnp.maximum(jnp.abs(t), 2.220446049250313e-16)).mean(),
    "msle": lambda p, t: ((jnp.log1p(p) - jnp.log1p(t)) ** 2).mean(),
    "poisson_nll": lambda p, t: (jnp.exp(p) - t * p).mean(),
    "gamma": lambda p, t: (p + t * jnp.exp(-p) - jnp.log(t) - 1).mean(),
    "gaussian_kl": lambda m, s: (jnp.expm1(s) - s + m * m).sum(-1).mean() / 2,
    "squared_hinge": lambda s, t: (jnp.maximum(0, 1 - t * s) ** 2).mean(),
    "soft_margin": lambda s, t: jnp.logaddexp(0, -t * s).mean(),
    "exponential": lambda s, t: jnp.exp(-t * s).mean(),
    "margin_ranking": lambda a, b, t: jnp.maximum(0, -t * (a - b)).mean(),
    "hinge_embedding": lambda d, t: jnp.where(t == 1, d, jnp.maximum(0, 1 - d)).mean(),
}


def functions(options: dict[str, Any]) -> dict[str, Function]:
    """Task -> function of its arrays, with a row's options."""
    table = LIBRARY | FORMULAS | {"cross_entropy": partial(cross_entropy, axis=options.get("axis", -1))}
    table |= {f.__name__: partial(f, activation=options.get("activation", "softmax")) for f in (dice, dice_cross_entropy)}
    table["info_nce"] = partial(info_nce, symmetric=options.get("symmetric", False))
    if options.get("kind") == "weston_watkins":
        table["multiclass_hinge"] = multiclass_hinge
    if options.get("mining") == "hard":
        table["batch_triplet"] = batch_triplet
    return table

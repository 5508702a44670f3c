"""The PyTorch side of the benchmarks: `torch.nn.functional` where it has the loss, and what its users write where it has not.

Each function takes tensors and returns the mean, or what the row asks for; `functions` picks those that a row's options fit.
N rows, C classes. Imports PyTorch: load it when a peer is wanted.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

Function = Callable[..., Any]


def js_divergence(p: Any, q: Any) -> Any:
    log_m = ((p + q) / 2).log()
    return (functional.kl_div(log_m, p, reduction="batchmean") + functional.kl_div(log_m, q, reduction="batchmean")) / 2


def gaussian_nll(x: Any, t: Any, variance: Any) -> Any:
    """For the compiler, which refuses `functional.gaussian_nll_loss`: it looks for negative variances first."""
    v = variance.clamp(min=1e-6)
    return (torch.log(v) + (x - t) ** 2 / v).mean() / 2


def coral(logits: Any, target: Any) -> Any:
    above = (target[:, None] > torch.arange(logits.shape[1])).to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits, above, reduction="none").sum(1).mean()


def squared_emd(logits: Any, target: Any) -> Any:
    at_most = (target[:, None] <= torch.arange(logits.shape[1])).to(logits.dtype)
    return ((torch.softmax(logits, 1).cumsum(1) - at_most) ** 2).sum(1).mean()


def cumulative_link(score: Any, thresholds: Any, target: Any) -> Any:
    edge = torch.full((1,), torch.inf)
    edges = torch.cat([-edge, thresholds, edge])
    return -torch.log(torch.sigmoid(edges[target + 1] - score) - torch.sigmoid(edges[target] - score)).mean()


def sigmoid_focal(x: Any, t: Any) -> Any:
    """torchvision's."""
    p = torch.sigmoid(x)
    cost = functional.binary_cross_entropy_with_logits(x, t, reduction="none")
    return ((0.25 * t + 0.75 * (1 - t)) * cost * (1 - (p * t + (1 - p) * (1 - t))) ** 2).mean()


def log_cosh(p: Any, t: Any) -> Any:
    e = p - t
    return (e + functional.softplus(-2 * e) - np.log(2)).mean()


def tweedie(p: Any, t: Any) -> Any:
    half = torch.exp(0.5 * p)
    return (2 * (half + t / half) - 4 * torch.sqrt(t)).mean()


def ctc(logits: Any, targets: Any) -> Any:
    """Its layout is (T, N, C); lengths on the host, as its documentation advises. Its own "mean" divides by S too."""
    samples, frames = logits.shape[:2]
    lengths = [torch.full((samples,), n, dtype=torch.long) for n in (frames, targets.shape[1])]
    log_p = torch.log_softmax(logits, -1).transpose(0, 1)
    return functional.ctc_loss(log_p, targets, *lengths, reduction="sum") / samples


def _regions(logits: Any, target: Any, activation: str) -> tuple[Any, Any]:
    """Probabilities, and masks of their type."""
    if activation == "sigmoid":
        return torch.sigmoid(logits), target.to(logits.dtype)
    classes = torch.arange(logits.shape[1]).reshape(-1, *[1] * (logits.ndim - 2))
    return torch.softmax(logits, 1), (target[:, None] == classes).to(logits.dtype)


def dice(logits: Any, target: Any, *, activation: str = "softmax") -> Any:
    p, t = _regions(logits, target, activation)
    axes = tuple(range(2, logits.ndim))
    return (1 - 2 * (p * t).sum(axes) / (p.sum(axes) + t.sum(axes))).mean()


def dice_cross_entropy(logits: Any, target: Any, *, activation: str = "softmax") -> Any:
    if activation == "sigmoid":
        cost = functional.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))
    else:
        cost = functional.cross_entropy(logits, target)
    return dice(logits, target, activation=activation) + cost


def lovasz(logits: Any, target: Any) -> Any:
    """Berman's Lovasz-Softmax, with all classes."""
    p, values = torch.softmax(logits, 1), []
    for c in range(logits.shape[1]):
        mask = (target == c).reshape(-1).to(p.dtype)
        errors, order = torch.sort((mask - p[:, c].reshape(-1)).abs(), descending=True)
        mask = mask[order]
        jaccard = 1 - (mask.sum() - mask.cumsum(0)) / (mask.sum() + (1 - mask).cumsum(0))
        values.append(errors[0] * jaccard[0] + torch.dot(errors[1:], jaccard[1:] - jaccard[:-1]))
    return torch.stack(values).mean()


def contrastive(x1: Any, x2: Any, similar: Any) -> Any:
    d = torch.linalg.vector_norm(x1 - x2, dim=-1)
    return (torch.where(similar == 1, d, (1 - d).clamp(min=0)) ** 2).mean() / 2


def _others(rows: Any, temperature: float) -> Any:
    """Similarities to all other rows, over the temperature."""
    z = functional.normalize(rows)
    return (z @ z.T / temperature).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)


def nt_xent(z1: Any, z2: Any) -> Any:
    n = len(z1)
    return functional.cross_entropy(_others(torch.cat([z1, z2]), 0.5), torch.arange(2 * n).roll(n))


def supcon(x: Any, y: Any) -> Any:
    positive = (y == y[:, None]) & ~torch.eye(len(y), dtype=torch.bool)
    log_p = torch.log_softmax(_others(x, 0.07), 1)
    count = positive.sum(1)
    each = -log_p.masked_fill(~positive, 0).sum(1) / count.clamp(min=1)
    return each.sum() / (count > 0).sum()


def info_nce(q: Any, k: Any, *, symmetric: bool = False) -> Any:
    scores, own = functional.normalize(q) @ functional.normalize(k).T / 0.07, torch.arange(len(q))
    if not symmetric:
        return functional.cross_entropy(scores, own)
    return (functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own)) / 2


def batch_triplet(x: Any, y: Any, *, mining: str) -> Any:
    """The hardest, or each positive with the nearest negative beyond it, on the matrix of distances."""
    d, same = torch.cdist(x, x), y == y[:, None]
    positive = same & ~torch.eye(len(y), dtype=torch.bool)
    if mining == "hard":
        farthest = d.masked_fill(~positive, -torch.inf).max(1).values  # unlike amax, one of those that are equal
        losses = farthest - d.masked_fill(same, torch.inf).min(1).values + 0.2
    else:
        anchor, p = positive.nonzero(as_tuple=True)
        near = d[anchor, p]
        beyond = d[anchor].masked_fill(same[anchor] | (d[anchor] <= near[:, None]), torch.inf)
        losses = near - beyond.min(1).values + 0.2
    return losses.clamp(min=0).sum() / (losses > 0).sum()


def _of_log_probability(function: Function) -> Function:
    """A function of the label's log-probability."""
    return lambda x, y: function(-functional.cross_entropy(x, y, reduction="none")).mean()


LIBRARY: dict[str, Function] = {
    "mse": functional.mse_loss,
    "mae": functional.l1_loss,
    "huber": functional.huber_loss,
    "smooth_l1": functional.smooth_l1_loss,
    "poisson_nll": functional.poisson_nll_loss,
    "soft_margin": functional.soft_margin_loss,
    "triplet": functional.triplet_margin_loss,
    "cosine_embedding": functional.cosine_embedding_loss,
    "margin_ranking": functional.margin_ranking_loss,
    "hinge_embedding": functional.hinge_embedding_loss,
    "binary_cross_entropy": functional.binary_cross_entropy,
    "binary_cross_entropy_with_logits": functional.binary_cross_entropy_with_logits,
    "nll": functional.nll_loss,
    "cross_entropy": functional.cross_entropy,  # its class axis of images is 1 as well
    "multiclass_hinge": functional.multi_margin_loss,  # Weston and Watkins'
    "gaussian_nll": functional.gaussian_nll_loss,
    "kl_div": partial(functional.kl_div, reduction="batchmean"),
    "logsumexp": partial(torch.logsumexp, dim=-1),
    "softmax": partial(torch.softmax, dim=-1),
    "pairwise_distances": torch.cdist,
}
FORMULAS: dict[str, Function] = {
    **{f.__name__: f for f in (js_divergence, coral, squared_emd, cumulative_link, sigmoid_focal, log_cosh, tweedie, ctc)},
    **{f.__name__: f for f in (lovasz, contrastive, nt_xent, supcon)},
    "softmax_focal": _of_log_probability(lambda log_p: -((1 - log_p.exp()) ** 2) * log_p),
    "poly1_cross_entropy": _of_log_probability(lambda log_p: 1 - log_p.exp() - log_p),
    "generalized_cross_entropy": _of_log_probability(lambda log_p: (1 - (0.7 * log_p).exp()) / 0.7),
    "energy": lambda e, t: functional.cross_entropy(-e, t),
    "kl_div_with_logits": lambda x, t: functional.kl_div(torch.log_softmax(x, -1), t, reduction="batchmean"),
    "gaussian_kl": lambda m, s: (torch.expm1(s) - s + m * m).sum(-1).mean() / 2,
    "pseudo_huber": lambda p, t: (torch.sqrt(1 + (p - t) ** 2) - 1).mean(),
    "quantile": lambda p, t: torch.maximum(0.5 * (t - p), -0.5 * (t - p)).mean(),
    "expectile": lambda p, t: (0.5 * (p - t) ** 2).mean(),
    "mape": lambda p, t: ((p - t).abs() / t.abs().clamp(min=2.220446049250313e-16)).mean(),
    "msle": lambda p, t: ((torch.log1p(p) - torch.log1p(t)) ** 2).mean(),
    "gamma": lambda p, t: (p + t * torch.exp(-p) - torch.log(t) - 1).mean(),
    "hinge": lambda s, t: (1 - t * s).clamp(min=0).mean(),
    "squared_hinge": lambda s, t: ((1 - t * s).clamp(min=0) ** 2).mean(),
    "perceptron": lambda s, t: (-t * s).clamp(min=0).mean(),
    "exponential": lambda s, t: torch.exp(-t * s).mean(),
}


def functions(options: dict[str, Any], compiled: bool = False) -> dict[str, Function]:
    """Task -> function of its tensors, with a row's options."""
    table = LIBRARY | FORMULAS
    table |= {f.__name__: partial(f, activation=options.get("activation", "softmax")) for f in (dice, dice_cross_entropy)}
    table["info_nce"] = partial(info_nce, symmetric=options.get("symmetric", False))
    if options.get("mining") in ("hard", "semihard"):  # of all triplets there are too many for a matrix
        table["batch_triplet"] = partial(batch_triplet, mining=options["mining"])
    if compiled:
        table["gaussian_nll"] = gaussian_nll
    return table


def tensor(x: Any) -> Any:
    """The array's memory as a tensor."""
    if x.dtype.name == "bfloat16":
        return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(x)

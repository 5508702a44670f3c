"""Along which line of inputs a loss is drawn: an error, a score, a probability, the logit of the right class, an overlap.

Every loss of the registry has one, and a custom loss of one differentiable argument; values and gradients are the library's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastloss._loss import Loss

Floats = npt.NDArray[np.float64]
POINTS = 401


class Sweep(NamedTuple):
    """Numbers along the horizontal axis and their name; the loss's value there, and where x is one number its derivatives."""

    x: Floats
    label: str
    value: Floats
    gradient: Floats | None = None
    hessian: Floats | None = None


Make = Callable[..., Sweep]


def sweep(loss: Loss[Any], **options: Any) -> Sweep:
    """The loss along its line, with these options."""
    make = _SPECIAL.get(loss.name) or _FAMILIES.get(loss.family)
    if make is None or loss.family == "custom":
        return _custom(loss, **options)
    return make(loss, **options)


def _line(low: float, high: float) -> Floats:
    return np.linspace(low, high, POINTS)


def _pointwise(loss: Loss[Any], x: Floats, label: str, *others: Any, **options: Any) -> Sweep:
    arrays = [np.broadcast_to(np.asarray(other, float), x.shape) for other in others]
    value = loss(x, *arrays, reduction="none", **options)
    gradient = loss.grad(x, *arrays, reduction="sum", **options)
    hessian = loss.hess(x, *arrays, reduction="sum", **options) if loss.max_order > 1 else None
    first, second = (a[0] if isinstance(a, tuple) else a for a in (gradient, hessian))
    return Sweep(x, label, value, first, second)


def _points(low: float, high: float, label: str, *others: float) -> Make:
    """A pointwise loss whose first argument moves; the others are these numbers."""
    return lambda loss, **options: _pointwise(loss, _line(low, high), label, *others, **options)


def _custom(loss: Loss[Any], **options: Any) -> Sweep:
    others = len(loss.arrays) - 1
    if not loss.pointwise or others > 1 or loss.arrays[0] not in loss.wrt:
        raise ValueError(
            f"plot: {loss.name}: expected a loss of one value per element, of at most two arrays, differentiable by the "
            "first; draw the values of others with matplotlib"
        )
    return _pointwise(
        loss, _line(-3, 3), f"{loss.arrays[0]} (target 0)" if others else loss.arrays[0], *[0.0] * others, **options
    )


def _right_class(loss: Loss[Any], label: str = "score of the right class (of the other: 0)", **options: Any) -> Sweep:
    x = _line(-5, 5)
    rows, target = np.stack([x, np.zeros_like(x)], axis=-1), np.zeros(POINTS, int)
    gradient = loss.grad(rows, target, reduction="sum", **options)[:, 0]
    return Sweep(x, label, loss(rows, target, reduction="none", **options), gradient)


def _energies(loss: Loss[Any], **options: Any) -> Sweep:
    return _right_class(loss, "energy of the right answer (of the other: 0)", **options)


def _log_probability(loss: Loss[Any], **options: Any) -> Sweep:
    p = _line(0.01, 0.99)
    rows = np.log(np.stack([p, 1 - p], axis=-1))
    return Sweep(p, "probability of the right class", loss(rows, np.zeros(POINTS, int), reduction="none", **options))


def _distribution(loss: Loss[Any], **options: Any) -> Sweep:
    q = _line(0.01, 0.99)
    rows, target = np.stack([q, 1 - q], axis=-1), np.broadcast_to([0.3, 0.7], (POINTS, 2))
    first = rows if loss.name == "js_divergence" else np.log(rows)
    return Sweep(q, "q, where p is 0.3", loss(first, target, reduction="none", **options))


def _gaussian(loss: Loss[Any], **options: Any) -> Sweep:
    mean = _line(-3, 3)[:, None]
    zero = np.zeros_like(mean)
    gradient = loss.grad(mean, zero, reduction="sum", **options)[0][:, 0]
    return Sweep(mean[:, 0], "mean (log-variance 0)", loss(mean, zero, reduction="none", **options), gradient)


CUTS, LEVEL = np.array([-1.0, 0.0, 1.5]), 2


def _level(loss: Loss[Any], **options: Any) -> Sweep:
    score, level = _line(-4, 5), np.full(POINTS, LEVEL)
    label = "score (thresholds -1, 0, 1.5; level 2)"
    if loss.name == "cumulative_link":
        value = loss(score, CUTS, level, reduction="none", **options)
        return Sweep(score, label, value, loss.grad(score, CUTS, level, reduction="sum", **options)[0])
    tasks = score[:, None] - CUTS
    gradient = loss.grad(tasks, level, reduction="sum", **options).sum(axis=1)
    return Sweep(score, label, loss(tasks, level, reduction="none", **options), gradient)


def _overlap(loss: Loss[Any], **options: Any) -> Sweep:
    """A region of forty positions of four hundred; the prediction is as large and moves over it."""
    share = np.linspace(0, 1, 41)
    position, moved = np.arange(400), np.rint(40 * (1 - share)).astype(int)
    target = np.broadcast_to((position < 40).astype(np.uint8), (41, 400)).copy()
    p = ((position >= moved[:, None]) & (position < moved[:, None] + 40)).astype(float)
    given = {"axis": None, "activation": "sigmoid", **loss.samples.options, **options}
    return Sweep(share, "share of the region that is found", loss(16 * p - 8, target, reduction="none", **given))


def _boxes(loss: Loss[Any], **options: Any) -> Sweep:
    shift = _line(-2.5, 2.5)
    target = np.broadcast_to([0.0, 0.0, 1.0, 1.0], (POINTS, 4))
    boxes = target + shift[:, None] * np.array([1.0, 0.0, 1.0, 0.0])
    gradient = loss.grad(boxes, target, reduction="sum", **options)[:, [0, 2]].sum(axis=1)
    return Sweep(shift, "shift of a unit box, in its widths", loss(boxes, target, reduction="none", **options), gradient)


def _pairs(loss: Loss[Any], **options: Any) -> Sweep:
    d = _line(0, 3)[:, None]
    value = loss(np.zeros_like(d), d, np.zeros(POINTS, int), reduction="none", **options)
    return Sweep(d[:, 0], "distance of a pair that is not similar", value)


def _triplets(loss: Loss[Any], **options: Any) -> Sweep:
    d = _line(0, 3)[:, None]
    value = loss(np.zeros_like(d), np.ones_like(d), d, reduction="none", **options)
    return Sweep(d[:, 0], "distance of the negative (of the positive: 1)", value)


def _angle(loss: Loss[Any], **options: Any) -> Sweep:
    a = _line(0, np.pi)
    x, y = np.broadcast_to([1.0, 0.0], (POINTS, 2)), np.stack([np.cos(a), np.sin(a)], axis=-1)
    return Sweep(np.degrees(a), "angle of a similar pair, degrees", loss(x, y, np.ones(POINTS), reduction="none", **options))


def _batch(loss: Loss[Any], **options: Any) -> Sweep:
    """Two classes of two rows each; the partner of the first row turns away from it."""
    angles, values = np.linspace(0, np.pi, 61), []
    for a in angles:
        rows = np.array([[1.0, 0.0], [np.cos(a), np.sin(a)], [-0.6, 0.8], [-0.8, 0.6]])
        arrays = (rows, [0, 0, 1, 1]) if loss.arrays[-1] == "labels" else (rows[::2], rows[1::2])
        values.append(loss(*arrays, reduction="sum", **options))  # a mean over active triplets would jump with their number
    return Sweep(np.degrees(angles), "angle between two rows of one class, degrees", np.array(values))


def _frames(loss: Loss[Any], **options: Any) -> Sweep:
    x = _line(-4, 6)
    logits = np.zeros((POINTS, 4, 3))
    logits[:, 1, 1] = x
    labels = np.ones((POINTS, 1), int)
    gradient = loss.grad(logits, labels, reduction="sum", **options)[:, 1, 1]
    return Sweep(x, "logit of the label in one of four frames", loss(logits, labels, reduction="none", **options), gradient)


_SCORE = _points(-2, 3, "score x label", 1.0)
_LOGIT = _points(-4, 4, "logit (label 1)", 1.0)
_LOGARITHM = _points(-2, 2.5, "prediction, a logarithm (target 1)", 1.0)
_FAMILIES: dict[str, Make] = {
    "regression": _points(-3, 3, "prediction - target", 0.0),
    "classification": _SCORE,
    "divergence": _distribution,
    "ordinal": _level,
    "energy": _energies,
    "sequence": _frames,
    "segmentation": _overlap,
    "embedding": _batch,
}
_SPECIAL: dict[str, Make] = {
    "mape": _points(-1, 5, "prediction (target 2)", 2.0),
    "msle": _points(-0.9, 5, "prediction (target 1)", 1.0),
    **dict.fromkeys(("poisson_nll", "gamma", "tweedie"), _LOGARITHM),
    "gaussian_nll": _points(-3, 3, "prediction - target (variance 1)", 0.0, 1.0),
    "binary_cross_entropy": _points(0.01, 0.99, "probability (label 1)", 1.0),
    **dict.fromkeys(("binary_cross_entropy_with_logits", "sigmoid_focal"), _LOGIT),
    **dict.fromkeys(("cross_entropy", "softmax_focal", "poly1_cross_entropy", "generalized_cross_entropy"), _right_class),
    **dict.fromkeys(("multiclass_hinge", "squared_emd"), _right_class),
    "nll": _log_probability,
    "gaussian_kl": _gaussian,
    "contrastive_divergence": _points(-3, 3, "energy of the positive (of the negative: 0)", 0.0),
    "box_iou": _boxes,
    "contrastive": _pairs,
    "triplet": _triplets,
    "cosine_embedding": _angle,
    "margin_ranking": _points(-2, 2, "x1 - x2 (x1 should be the larger)", 0.0, 1.0),
    "hinge_embedding": _points(0, 2.5, "distance of a pair that is not similar", -1.0),
}

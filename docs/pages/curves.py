"""A small picture of every loss: its value and its gradient along one line of inputs, computed by the library.

`sweep` says along which line: an error, a score, a probability, the logit of the right class, the share of a region found.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

import fastloss as fl

BLUE, RED = "#0072B2", "#D55E00"


class Sweep(NamedTuple):
    """Numbers along the horizontal axis, their name, and the loss's value and gradient there."""

    x: Any
    label: str
    value: Any
    gradient: Any  # with respect to x; None where it is not one number


def sweep(loss: Any) -> Sweep:
    make: Callable[[Any], Sweep] = SPECIAL.get(loss.name) or FAMILIES[loss.family]
    return make(loss)


def draw(loss: Any, small: bool = False) -> Figure:
    """Value and gradient side by side; small: the value alone, without numbers."""
    s = sweep(loss)
    panels = 1 if small or s.gradient is None else 2
    figure = Figure(figsize=(1.5, 0.9) if small else (3.6 * panels, 2.5), layout="constrained")
    figure.patch.set_alpha(0)
    for k, ax in enumerate(np.atleast_1d(figure.subplots(1, panels))):
        y = s.value if k == 0 else _without_jumps(s.gradient)
        finite = np.where(np.isfinite(y), y, np.nan)
        ax.plot(s.x, finite, color=(BLUE, RED)[k], lw=2 if not small else 1.6)
        ax.spines[["top", "right"]].set_visible(False)
        ax.patch.set_alpha(0)
        if small:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_color("#8a8f98")
        else:
            ax.set(xlabel=s.label, title=("value", "gradient")[k])
            ax.grid(alpha=0.25)
    return figure


def _without_jumps(gradient: Any) -> Any:
    """The gradient with a gap where it jumps."""
    steps = np.abs(np.diff(gradient))
    typical = np.median(steps) + 1e-3 * np.ptp(gradient[np.isfinite(gradient)])
    shown = np.array(gradient, float)
    jump = (steps > 30 * typical) & (steps > 0.2 * np.ptp(gradient[np.isfinite(gradient)]))
    shown[1:][jump] = np.nan
    return shown


# -- Along which line -------------------------------------------------------------------------------


def _pointwise(loss: Any, x: Any, label: str, *others: Any, **options: Any) -> Sweep:
    arrays = [np.broadcast_to(np.asarray(other, float), x.shape) for other in others]
    value = loss(x, *arrays, reduction="none", **options)
    gradient = loss.grad(x, *arrays, reduction="sum", **options)
    return Sweep(x, label, value, gradient[0] if isinstance(gradient, tuple) else gradient)


def _error(loss: Any) -> Sweep:
    return _pointwise(loss, np.linspace(-3, 3, 401), "prediction - target", 0.0)


def _around_one(loss: Any) -> Sweep:
    return _pointwise(loss, np.linspace(-2, 2.5, 401), "prediction, a logarithm (target 1)", 1.0)


def _binary(loss: Any) -> Sweep:
    return _pointwise(loss, np.linspace(-4, 4, 401), "logit (label 1)", 1.0)


def _score(loss: Any) -> Sweep:
    return _pointwise(loss, np.linspace(-2, 3, 401), "score x label", 1.0)


def _logit_of_the_class(loss: Any) -> Sweep:
    """Two classes: the logit of the right one moves, the other is 0."""
    x = np.linspace(-5, 5, 401)
    rows = np.stack([x, np.zeros_like(x)], axis=-1)
    target = np.zeros(len(x), int)
    gradient = loss.grad(rows, target, reduction="sum")[:, 0]
    return Sweep(x, "score of the right class (of the other: 0)", loss(rows, target, reduction="none"), gradient)


def _log_probability(loss: Any) -> Sweep:
    p = np.linspace(0.01, 0.99, 401)
    rows = np.log(np.stack([p, 1 - p], axis=-1))
    target = np.zeros(len(p), int)
    return Sweep(p, "probability of the right class", loss(rows, target, reduction="none"), None)


def _mixture(loss: Any) -> Sweep:
    """Two classes: a model's probability q against a target of 0.3."""
    q = np.linspace(0.01, 0.99, 401)
    rows, target = np.stack([q, 1 - q], axis=-1), np.broadcast_to([0.3, 0.7], (401, 2))
    first = rows if loss is fl.js_divergence else np.log(rows)
    return Sweep(q, "q, where p is 0.3", loss(first, target, reduction="none"), None)


def _gaussian(loss: Any) -> Sweep:
    mean = np.linspace(-3, 3, 401)[:, None]
    gradient = loss.grad(mean, np.zeros_like(mean), reduction="sum")[0][:, 0]
    return Sweep(mean[:, 0], "mean (log-variance 0)", loss(mean, np.zeros_like(mean), reduction="none"), gradient)


def _level(loss: Any) -> Sweep:
    """A score that moves past three thresholds; the level is 2."""
    score, cuts = np.linspace(-4, 5, 401), np.array([-1.0, 0.0, 1.5])
    level = np.full(401, 2)
    if loss is fl.cumulative_link:
        return Sweep(score, "score (thresholds -1, 0, 1.5; level 2)", loss(score, cuts, level, reduction="none"), None)
    tasks = score[:, None] - cuts
    gradient = loss.grad(tasks, level, reduction="sum").sum(axis=1)
    return Sweep(score, "score (thresholds -1, 0, 1.5; level 2)", loss(tasks, level, reduction="none"), gradient)


def _overlap(loss: Any) -> Sweep:
    """A region of forty positions of four hundred; the prediction is as large and moves over it."""
    share = np.linspace(0, 1, 41)
    position, moved = np.arange(400), np.rint(40 * (1 - share)).astype(int)
    target = np.broadcast_to((position < 40).astype(np.uint8), (41, 400)).copy()
    p = ((position >= moved[:, None]) & (position < moved[:, None] + 40)).astype(float)
    options = {"axis": None, "activation": "sigmoid", "reduction": "none", **loss.samples.options}
    return Sweep(share, "share of the region that is found", loss(16 * p - 8, target, **options), None)


def _boxes(loss: Any) -> Sweep:
    shift = np.linspace(-2.5, 2.5, 401)
    target = np.broadcast_to([0.0, 0.0, 1.0, 1.0], (401, 4))
    boxes = target + shift[:, None] * np.array([1.0, 0.0, 1.0, 0.0])
    gradient = loss.grad(boxes, target, reduction="sum")[:, [0, 2]].sum(axis=1)
    return Sweep(shift, "shift of a unit box", loss(boxes, target, reduction="none"), gradient)


def _distance(loss: Any) -> Sweep:
    """Vectors of one dimension: how far apart."""
    d = np.linspace(0, 3, 401)[:, None]
    zero = np.zeros_like(d)
    if loss is fl.triplet:
        value = loss(zero, np.ones_like(d), d, reduction="none")
        return Sweep(d[:, 0], "distance of the negative (of the positive: 1)", value, None)
    return Sweep(d[:, 0], "distance of a pair that is not similar", loss(zero, d, np.zeros(401, int), reduction="none"), None)


def _angle(loss: Any) -> Sweep:
    a = np.linspace(0, np.pi, 401)
    x, y = np.broadcast_to([1.0, 0.0], (401, 2)), np.stack([np.cos(a), np.sin(a)], axis=-1)
    return Sweep(np.degrees(a), "angle of a similar pair, degrees", loss(x, y, np.ones(401), reduction="none"), None)


def _batch(loss: Any) -> Sweep:
    """Two classes of two rows; the partner of the first row turns away from it."""
    angles = np.linspace(0, np.pi, 61)
    values = []
    for a in angles:
        rows = np.array([[1.0, 0.0], [np.cos(a), np.sin(a)], [-0.6, 0.8], [-0.8, 0.6]])
        if loss.arrays[-1] == "labels":
            values.append(loss(rows, [0, 0, 1, 1]))
        else:
            values.append(loss(rows[::2], rows[1::2]))
    return Sweep(np.degrees(angles), "angle between two rows of one class, degrees", np.array(values), None)


def _ctc(loss: Any) -> Sweep:
    x = np.linspace(-4, 6, 201)
    frames = np.zeros((201, 4, 3))
    frames[:, 1, 1] = x
    return Sweep(x, "logit of the label in one of four frames", loss(frames, np.ones((201, 1), int), reduction="none"), None)


FAMILIES: dict[str, Callable[[Any], Sweep]] = {
    "regression": _error,
    "classification": _score,
    "divergence": _mixture,
    "ordinal": _level,
    "energy": _logit_of_the_class,
    "sequence": _ctc,
    "segmentation": _overlap,
    "embedding": _batch,
}
SPECIAL: dict[str, Callable[[Any], Sweep]] = {
    "mape": lambda loss: _pointwise(loss, np.linspace(-1, 5, 401), "prediction (target 2)", 2.0),
    "msle": lambda loss: _pointwise(loss, np.linspace(-0.9, 5, 401), "prediction (target 1)", 1.0),
    "poisson_nll": _around_one,
    "gamma": _around_one,
    "tweedie": _around_one,
    "gaussian_nll": lambda loss: _pointwise(loss, np.linspace(-3, 3, 401), "prediction - target (variance 1)", 0.0, 1.0),
    "binary_cross_entropy": lambda loss: _pointwise(loss, np.linspace(0.01, 0.99, 401), "probability (label 1)", 1.0),
    "binary_cross_entropy_with_logits": _binary,
    "sigmoid_focal": _binary,
    **dict.fromkeys(
        ("cross_entropy", "softmax_focal", "poly1_cross_entropy", "generalized_cross_entropy", "multiclass_hinge", "squared_emd"),
        _logit_of_the_class,
    ),
    "nll": _log_probability,
    "kl_div_with_logits": _mixture,
    "gaussian_kl": _gaussian,
    "contrastive_divergence": lambda loss: _pointwise(loss, np.linspace(-3, 3, 401), "energy of the positive (negative: 0)", 0.0),
    "energy": lambda loss: _logit_of_the_class(loss)._replace(label="energy of the right answer (of the other: 0)"),
    "box_iou": _boxes,
    "contrastive": _distance,
    "triplet": _distance,
    "cosine_embedding": _angle,
    "margin_ranking": lambda loss: _pointwise(loss, np.linspace(-2, 2, 401), "x1 - x2 (x1 should be larger)", 0.0, 1.0),
    "hinge_embedding": lambda loss: _pointwise(loss, np.linspace(0, 2.5, 401), "distance of a pair that is not similar", -1.0),
}

"""Pictures that are no curve: two logits, regions of triplets, ordered levels, CTC's alignment; reliability of probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastloss._loss import LOSSES, Loss
from fastloss.sequence import ctc_align, ctc_posteriors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, RED, GREY = "#0072B2", "#D55E00", "#808080"
Kind = Callable[[Loss[Any], tuple[Any, ...], Any, Mapping[str, Any]], Any]


def surface(loss: Loss[Any], arrays: tuple[Any, ...], ax: Axes, options: Mapping[str, Any]) -> Axes:
    """A loss of classes over the logits of two of them; arrows go down the gradient."""
    if loss.family != "classification" or loss.samples.kind != "rows" or loss.name == "nll":
        raise ValueError(f"plot: kind: expected a loss of logits of classes for 'surface', got {loss.name}")
    z = np.linspace(-5, 5, 101)
    pairs = np.stack(np.meshgrid(z, z), axis=-1)
    values = loss(pairs, np.ones((101, 101), int), reduction="none", **options)
    lines = ax.contour(z, z, values, levels=10, colors=BLUE, linewidths=1)
    ax.clabel(lines, fontsize=7)
    few = pairs[::20, ::20]
    down = -loss.grad(few, np.ones(few.shape[:2], int), reduction="sum", **options)
    ax.quiver(few[..., 0], few[..., 1], down[..., 0], down[..., 1], color=RED, width=0.004)
    ax.set(xlabel="logit of class 0", ylabel="logit of class 1 (the label)", title=loss.name, aspect="equal")
    return ax


def regions(loss: Loss[Any], arrays: tuple[Any, ...], ax: Axes, options: Mapping[str, Any]) -> Axes:
    """Triplets by the distances of positive and negative: easy, semi-hard and hard ones."""
    if loss.name not in ("triplet", "batch_triplet"):
        raise ValueError(f"plot: kind: expected 'triplet' for 'regions', got {loss.name}")
    margin = options.get("margin", loss.options["margin"])
    d = np.linspace(0, 3, 301)
    near, far = np.meshgrid(d, d)
    value = np.maximum(0, near - far + margin)
    kinds = np.where(value == 0, 0, np.where(far > near, 1, 2))
    ax.contourf(near, far, kinds, levels=[-0.5, 0.5, 1.5, 2.5], colors=["#e8f3ec", "#cfe2f3", "#f7d9c4"])
    lines = ax.contour(
        near, far, np.where(value > 0, value, np.nan), levels=np.arange(0.5, 3.1, 0.5), colors=GREY, linewidths=0.8
    )
    ax.clabel(lines, fontsize=7)
    for text, at in (("easy: 0", (0.6, 2.5)), ("semi-hard", (1.5, 1.5 + margin / 2)), ("hard", (2.3, 0.8))):
        ax.annotate(text, at, ha="center", va="center")
    ax.set(xlabel="distance of the positive", ylabel="distance of the negative", title=f"margin {margin:g}", aspect="equal")
    return ax


def levels(loss: Loss[Any], arrays: tuple[Any, ...], ax: Axes, options: Mapping[str, Any]) -> Axes:
    """The probability of each level by the score: the exponential of minus its loss."""
    if loss.name != "cumulative_link":
        raise ValueError(
            f"plot: kind: expected 'cumulative_link' for 'levels', which gives levels probabilities, got {loss.name}"
        )
    cuts, score = np.array([-1.0, 0.0, 1.5]), np.linspace(-4, 5, 301)
    for level in range(4):
        p = np.exp(-loss(score, cuts, np.full(301, level), reduction="none", **options))
        ax.plot(score, p, label=f"level {level}", linestyle=("-", "--", "-.", ":")[level])
    for cut in cuts:
        ax.axvline(cut, color=GREY, linewidth=0.7)
    ax.set(xlabel="score (lines: thresholds)", ylabel="probability", ylim=(0, 1))
    ax.legend(frameon=False, fontsize="small")
    return ax


def alignment(loss: Loss[Any], arrays: tuple[Any, ...], ax: Axes, options: Mapping[str, Any]) -> Axes:
    """The posterior probability of each state of CTC in each frame, and the best path through them."""
    if loss.name != "ctc":
        raise ValueError(f"plot: kind: expected 'ctc' for 'alignment', got {loss.name}")
    if not arrays:
        rng = np.random.default_rng(0)
        arrays = LOSSES["ctc"].sample(rng, "float64", 1)[0]
    if len(arrays) != 2 or np.ndim(arrays[0]) != 3 or len(arrays[0]) != 1:
        raise ValueError("plot: expected logits (1, T, C) and targets (1, S) of one sequence for kind='alignment'")
    logits, targets = arrays
    posteriors = ctc_posteriors(logits, targets, **options)[0]
    states = ctc_align(logits, targets, output="state", **options)[0][0]
    ax.imshow(posteriors.T, cmap="Blues", aspect="auto", vmin=0, vmax=1, origin="upper")
    ax.plot(np.arange(len(states)), states, "o-", color=RED, markersize=3, linewidth=1, label="best path")
    labels = np.asarray(targets)[0]
    ax.set_yticks(
        range(posteriors.shape[1]), ["blank" if k % 2 == 0 else str(labels[k // 2]) for k in range(posteriors.shape[1])]
    )
    ax.set(xlabel="frame", ylabel="state", title="posterior probability")
    ax.legend(frameon=False, fontsize="small")
    return ax


def new_figure(panels: int, size: str) -> Figure:
    """A figure that pyplot does not know, for some panels side by side."""
    try:
        from matplotlib.figure import Figure as Made
    except ImportError as error:
        raise ImportError("plot needs matplotlib: pip install 'fastloss[plot]'") from error
    shape = (1.5, 0.9) if size == "small" else (3.4 * panels + 0.6, 3.0)
    return Made(figsize=shape, layout="constrained")


KINDS: dict[str, Kind] = {"surface": surface, "regions": regions, "levels": levels, "alignment": alignment}


def reliability(probabilities: Any, labels: Any, *, bins: int = 10, ax: Axes | None = None) -> Axes:
    """Draw how often events happen that are predicted with a probability: a reliability diagram.

    Parameters
    ----------
    probabilities : array_like
        Predicted probabilities of the event, in [0, 1].
    labels : array_like
        Whether it happened: 0 or 1, in the same shape.
    bins : int
        Intervals of equal width that predictions are put into.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it a figure is made.

    Returns
    -------
    matplotlib.axes.Axes
        Its title has the expected calibration error: the mean distance from the diagonal, weighted by the bins' counts.

    Raises
    ------
    ValueError
        Probabilities outside [0, 1], labels other than 0 and 1, shapes that differ, fewer than one bin.

    Examples
    --------
    >>> import fastloss as fl
    >>> ax = fl.lab.reliability([0.1, 0.1, 0.9, 0.9], [0, 0, 1, 1])
    >>> ax.get_title()
    'expected calibration error 0.100'
    """
    p, y = np.asarray(probabilities, float).ravel(), np.asarray(labels).ravel()
    if p.shape != y.shape or p.size == 0:
        raise ValueError(f"reliability: labels: expected the shape of probabilities, {p.shape}, and at least one, got {y.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("reliability: probabilities: expected numbers in [0, 1]")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("reliability: labels: expected 0 or 1")
    if bins < 1:
        raise ValueError(f"reliability: bins: expected at least 1, got {bins}")
    place = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    used = count > 0
    predicted = np.bincount(place, p, bins)[used] / count[used]
    happened = np.bincount(place, y.astype(float), bins)[used] / count[used]
    error = float(np.abs(predicted - happened) @ count[used] / len(p))
    if ax is None:
        ax = new_figure(1, "full").subplots()
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    ax.plot(predicted, happened, "o-", color=BLUE)
    ax.set(xlabel="predicted probability", ylabel="share that happened", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.set_title(f"expected calibration error {error:.3f}")
    return ax

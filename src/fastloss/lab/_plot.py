"""plot: pictures of losses, from values, gradients and Hessians that the library computes. Needs matplotlib when it is called."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastloss._loss import LOSSES, Loss

from ._plot_kinds import KINDS, new_figure
from ._sweeps import Floats, Sweep, sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9")  # Okabe and Ito's, told apart by everybody
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))  # and in grey
WHAT = ("value", "gradient", "hessian")
MOST = 12  # curves in one picture


def plot(
    losses: Any,
    *arrays: Any,
    kind: str = "curve",
    what: str | Sequence[str] | None = None,
    size: str = "full",
    ax: Axes | Sequence[Axes] | None = None,
    **options: Any,
) -> Any:
    """Draw losses: value, gradient and Hessian along a line of inputs, or another picture.

    Every number is computed by the library. A gradient that jumps has a gap there, and what is infinite is left out.

    Parameters
    ----------
    losses : str, Loss or sequence of them
        What to draw; several are drawn over one another.
    *arrays : array_like
        For ``kind="alignment"``: logits and targets of one sequence, as for `ctc`.
    kind : {"curve", "surface", "regions", "levels", "alignment"}
        ``"curve"``: along a line that fits the loss (an error, a score, a logit, an overlap). ``"surface"``: a loss of classes
        over two logits. ``"regions"``: which triplets are easy, semi-hard and hard. ``"levels"``: the
        probabilities of ordered levels.
        ``"alignment"``: CTC's posteriors and best path.
    what : {"value", "gradient", "hessian"} or sequence of them, optional
        The panels of a curve; by default all that each loss has.
    size : {"full", "small"}
        ``"small"`` is a thumbnail: the value alone, without numbers.
    ax : matplotlib.axes.Axes or sequence of them, optional
        Where to draw, one for each panel. Without it a figure is made, which pyplot does not know: ``axes.figure.savefig(...)``.
    **options
        Options of the losses. A list is swept: one curve for each of its values.

    Returns
    -------
    matplotlib.axes.Axes or ndarray of them
        One Axes, or one for each panel.

    Raises
    ------
    ValueError
        Unknown losses, options or kinds; panels that a loss does not have; too many curves; a loss that no line fits.
    ImportError
        Without matplotlib.

    See Also
    --------
    gradcheck : compare derivatives with the slopes of the value.

    Examples
    --------
    >>> import fastloss as fl
    >>> axes = fl.plot("huber", delta=[0.5, 1, 2])
    >>> [ax.get_title() for ax in axes]
    ['value', 'gradient', 'Hessian']
    >>> [line.get_label() for line in axes[0].lines]
    ['delta = 0.5', 'delta = 1', 'delta = 2']
    """
    chosen = [_resolve(item) for item in ([losses] if isinstance(losses, (str, Loss)) else list(losses))]
    if not chosen:
        raise ValueError("plot: losses: expected at least one loss, got none")
    if kind != "curve":
        if kind not in KINDS:
            raise ValueError(f"plot: kind: expected one of {', '.join(map(repr, ('curve', *KINDS)))}, got {kind!r}")
        target = new_figure(1, size).subplots() if ax is None else ax
        return KINDS[kind](chosen[0], arrays, target, options)
    if arrays:
        raise ValueError("plot: expected arrays for kind='alignment' only: curves are drawn along a line of their own")
    if size not in ("full", "small"):
        raise ValueError(f"plot: size: expected 'full' or 'small', got {size!r}")
    curves = [(label, sweep(loss, **given)) for loss in chosen for label, given in _swept(loss, options, len(chosen))]
    if len(curves) > MOST:
        raise ValueError(f"plot: expected at most {MOST} curves, got {len(curves)}: sweep fewer values")
    panels = ("value",) if size == "small" else _panels(what, [s for _, s in curves])
    axes = _axes(ax, len(panels), size)
    for panel, each in zip(panels, axes, strict=True):
        _draw(each, panel, curves, size)
    return axes[0] if len(axes) == 1 else axes


def _resolve(item: Any) -> Loss[Any]:
    if isinstance(item, Loss):
        return item
    if item not in LOSSES:
        raise ValueError(
            f"plot: losses: expected names and losses of fastloss, got {item!r} (fastloss.custom makes a loss of a function)"
        )
    return LOSSES[item]


def _swept(loss: Loss[Any], options: Mapping[str, Any], count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The label and the options of each curve of a loss: every combination of listed values."""
    for name in options:
        if name not in loss.options:
            known = ", ".join(loss.options) or "none"
            raise ValueError(f"plot: {loss.name}: {name}: expected one of its options ({known})")
    lists = {name: list(value) if isinstance(value, (list, tuple)) else [value] for name, value in options.items()}
    for values in itertools.product(*lists.values()):
        given = dict(zip(lists, values, strict=True))
        swept = [f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}" for name, value in given.items()]
        label = ", ".join(([loss.name] if count > 1 or not swept else []) + swept)
        yield label, given


def _panels(what: str | Sequence[str] | None, sweeps: Sequence[Sweep]) -> tuple[str, ...]:
    has = tuple(panel for panel in WHAT if all(getattr(s, panel) is not None for s in sweeps))
    if what is None:
        return has
    asked = (what,) if isinstance(what, str) else tuple(what)
    for panel in asked:
        if panel not in WHAT:
            raise ValueError(f"plot: what: expected some of {', '.join(map(repr, WHAT))}, got {panel!r}")
        if panel not in has:
            raise ValueError(f"plot: what: expected some of {', '.join(map(repr, has))}, which these losses have, got {panel!r}")
    return asked


def _axes(ax: Any, count: int, size: str) -> Any:
    if ax is None:
        return np.atleast_1d(new_figure(count, size).subplots(1, count))
    given = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(given) != count:
        raise ValueError(f"plot: ax: expected {count} Axes, one for each panel (what= chooses them), got {len(given)}")
    return given


def _draw(ax: Axes, panel: str, curves: Sequence[tuple[str, Sweep]], size: str) -> None:
    for k, (label, s) in enumerate(curves):
        y = with_gaps(getattr(s, panel)) if panel != "value" else np.where(np.isfinite(s.value), s.value, np.nan)
        ax.plot(s.x, y, color=COLOURS[k % 6], linestyle=DASHES[k % 6], linewidth=1.9, label=label)
    ax.spines[["top", "right"]].set_visible(False)
    if size == "small":
        ax.set(xticks=[], yticks=[])
        return
    labels = dict.fromkeys(s.label for _, s in curves)
    ax.set(title={"hessian": "Hessian"}.get(panel, panel), xlabel=" / ".join(labels))
    ax.grid(alpha=0.25, linewidth=0.6)
    if panel == "value":
        ax.legend(frameon=False, fontsize="small")


def with_gaps(y: Floats) -> Floats:
    """A derivative with a gap wherever it jumps: where a step is far larger than the steps around it."""
    shown = np.where(np.isfinite(y), y, np.nan)
    steps = np.abs(np.diff(shown))
    if not np.isfinite(steps).any() or np.nanmax(steps) == 0:
        return shown
    around = np.stack([np.roll(steps, k) for k in (-3, -2, 2, 3)])
    jump = (steps > 8 * np.nanmax(around, axis=0) + 1e-9) & (steps > 0.02 * (np.nanmax(shown) - np.nanmin(shown)))
    shown[1:][jump] = np.nan
    return shown

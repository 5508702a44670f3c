"""The small figure of an audit: value, gradient and Hessian with their kinks, and the influence of one sample.
Needs matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._derivatives import look
from ._growth import sides
from ._kinks import places
from ._result import Curve
from ._subject import Lines, Subject, along_first, spread

if TYPE_CHECKING:
    from ._result import Audit

POINTS = 401
REACH = 4.0
STYLES = {"value": ("#0072b2", "-"), "gradient": ("#d55e00", "--"), "Hessian": ("#009e73", ":")}


def curve(subject: Subject, influence: str) -> Curve:
    """The loss along the prediction of one element, or up and down the gradient of one item."""
    s = np.linspace(-REACH, REACH, POINTS)
    label = "step along the gradient"
    lines: Lines | None
    if subject.kind == "elements":
        some = spread(subject, 8)
        k = subject.paired
        x = some[subject.wrt[0]]
        first = subject.take(some, slice(len(x) - 1, len(x)))
        origin = first[k] if k is not None else np.zeros(1)
        name = subject.arrays[subject.wrt[0]]
        target = f" ({subject.arrays[1]} {float(np.ravel(first[1])[0]):.3g})" if len(first) > 1 else ""
        label = f"{name} - {subject.arrays[k]}" if k is not None else f"{name}{target}"
        lines = along_first(subject, first, origin)
    else:
        lines = sides(subject)["uphill"]
        if lines is None:
            some = subject.take(subject.args, slice(0, 1))
            lines = Lines(subject, some, [np.ones_like(a) for a in subject.predictions(some)])
    index = np.zeros(POINTS, np.intp)
    value, slope = lines.values(index, s), lines.slopes(index, s)
    second = None
    if subject.kind == "elements" and subject.curvature:
        second = subject.safe(lines.at(index, s), "hess")[0]
    whole = subject.kind in ("elements", "rows") and not np.isnan(value).any()
    kinks = places(look(single(lines), np.linspace(-REACH - 0.0137, REACH, 40), "values").at) if whole else []
    return Curve(label, s, value, slope, second, tuple(kinks), influence)


def single(lines: Lines) -> Lines:
    """The first line alone."""
    return Lines(lines.subject, lines.subject.take(lines.args, slice(0, 1)), [d[:1] for d in lines.directions])


def draw(audit: Audit, axes: Any = None) -> Any:
    """Two panels."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise ModuleNotFoundError("audit: plot needs matplotlib: pip install 'fastloss[plot]'") from None
    if axes is None:
        axes = Figure(figsize=(9, 3.4), layout="constrained").subplots(1, 2)
    left, right = axes
    c = audit.curve
    lines = {"value": c.value, "gradient": c.slope, "Hessian": c.hessian}
    for name, y in lines.items():
        if y is not None:
            color, style = STYLES[name]
            left.plot(c.s, _with_gaps(c, y) if name != "value" else y, style, color=color, label=name, lw=1.8)
    inside = [k for k in c.kinks if c.s[0] <= k <= c.s[-1]]
    at_kinks = np.interp(inside, c.s, np.nan_to_num(c.value)) if inside else []
    left.plot(inside, at_kinks, "o", color="black", mfc="white", ms=6, label="kink" if inside else "_")
    left.set(xlabel=c.label, title=audit.name)
    left.legend(frameon=False)
    right.plot(c.s, _with_gaps(c, c.slope), color=STYLES["gradient"][0], lw=1.8)
    right.axhline(0, color="0.6", lw=0.8, zorder=0)
    right.set(xlabel=c.label, ylabel="gradient of one sample", title=f"influence: {c.influence}")
    for ax, shown in ((left, [y for y in lines.values() if y is not None]), (right, [c.slope])):
        ax.spines[["top", "right"]].set_visible(False)
        _limit(ax, shown)
    return left, right


def _with_gaps(c: Curve, y: Any) -> Any:
    """A derivative that jumps is not one line: nan at the kinks."""
    y = np.array(y, np.float64)
    for kink in c.kinks:
        k = int(np.abs(c.s - kink).argmin())
        y[k] = np.nan
    return y


def _limit(ax: Any, curves: list[Any]) -> None:
    """No more than what the middle of the curves spans: one that explodes would flatten the others."""
    known = np.concatenate([np.ravel(y)[np.isfinite(np.ravel(y))] for y in curves])
    if known.size:
        low, high = np.quantile(known, [0.02, 0.98])
        room = 0.15 * (high - low) or 0.5
        ax.set_ylim(max(known.min(), low) - room, min(known.max(), high) + room)

"""Draws the saved results: how many times as fast as the best peer each row is, by family, on one thread.

A family's rows share a strip, and a dot left of 1 is a row that is behind. Imports Matplotlib.
"""

import hashlib
import json
import math
import re
import statistics
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from . import report, saved
from .report import Row

WIDTH = 800  # pixels
TIMES = "\N{MULTIPLICATION SIGN}"
AHEAD, BEHIND = "#0969da", "#d1570a"
INK, QUIET, PAPER, SHADE, EDGE = "#1f2328", "#656d76", "#ffffff", "#fdf1e7", "#d0d7de"
_DOT = 6.5  # points across
_GAP = 0.062  # decades that two dots of one height keep apart
_STEP = 0.15  # strips from one height to the next
_STYLE = {"font.family": "DejaVu Sans", "svg.fonttype": "none", "svg.hashsalt": "fastloss"}


def digest(results: saved.Results) -> str:
    """What the picture is a function of, as the picture itself carries it."""
    shown = [(strip, title, mode, round(times, 3)) for strip, title, mode, times in _dots(results)]
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:16]


def _dots(results: saved.Results) -> list[tuple[str, str, str, float]]:
    """(strip, title, mode, times as fast as the best peer) of each row on one thread."""
    dots = []
    for row in report.compared(results, threads=1):
        times = report.ratio(row, report.best_peer(row))
        assert times is not None
        dots.append((_strip(row), row["title"], row["mode"], times))
    return dots


def _strip(row: Row) -> str:
    return "ten elements" if row["family"] == "small calls" else str(row["family"])


def draw(results: saved.Results, path: Path) -> None:
    dots = _dots(results)
    if not dots:
        return
    strips: dict[str, list[tuple[str, str, float]]] = {}
    for strip, title, mode, times in sorted(dots, key=lambda dot: dot[0] == "ten elements"):
        strips.setdefault(strip, []).append((title, mode, times))
    ordered = sorted(strips, key=lambda s: (s == "ten elements", -statistics.median(t for *_, t in strips[s])))
    heights = [max(1.0, 0.42 + 2 * max(abs(y) for y in _swarm([t for *_, t in strips[s]]))) for s in ordered]
    with plt.rc_context(_STYLE):
        inches = 1.36 + 0.44 * sum(heights)
        figure = plt.figure(figsize=(WIDTH / 96, inches), facecolor=PAPER, edgecolor=EDGE, linewidth=2)
        axes = figure.add_axes((0.15, 0.4 / inches, 0.775, 1 - 1.36 / inches))
        _frame(axes, sum(heights), [t for *_, t in dots])
        below = sum(heights)
        for strip, height in zip(ordered, heights, strict=True):
            below -= height
            _draw_strip(axes, strip, strips[strip], below, height)
        ahead = sum(times >= 1 for *_, times in dots)
        figure.text(0.975, 1 - 0.34 / inches, "one thread, logarithmic scale", fontsize=9, color=QUIET, ha="right")
        figure.text(0.025, 1 - 0.34 / inches, "How many times as fast as the best peer?", fontsize=13.5, color=INK, weight="bold")
        _legend(figure, 1 - 0.63 / inches, len(dots), ahead)
        description = f"results of {results['when']}, digest {digest(results)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"Date": None, "Creator": None, "Description": description}
        figure.savefig(path, facecolor=PAPER, edgecolor=EDGE, metadata=metadata)
        plt.close(figure)
    path.write_text(_smaller(path.read_text()))


def _smaller(svg: str) -> str:
    """Coordinates to a hundredth of a point, which nobody sees; fonts as wide as the one that the layout is for."""
    svg = re.sub(r"-?\d+\.\d{3,}(?![\d" + TIMES + "])", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), svg)
    svg = svg.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, Geneva, sans-serif")
    return "\n".join(line.strip() for line in svg.splitlines() if line.strip()) + "\n"


def _legend(figure: plt.Figure, y: float, rows: int, ahead: int) -> None:
    pieces = [("●", AHEAD, f"ahead, {ahead} of {rows} rows"), ("●", BEHIND, f"behind, {rows - ahead}")]
    pieces += [("○", QUIET, "value"), ("●", QUIET, "with gradient"), ("|", INK, "median")]
    x = 0.027
    for mark, colour, words in pieces:
        shape = {"○": "o", "●": "o", "|": "|"}[mark]
        face = PAPER if mark == "○" else colour
        place = figure.add_axes((x, y - 0.01, 0.02, 0.03))
        place.axis("off")
        place.plot([0.5], [0.5], shape, markersize=_DOT if shape == "o" else 10, markerfacecolor=face, markeredgecolor=colour)
        place.set(xlim=(0, 1), ylim=(0, 1))
        figure.text(x + 0.022, y, words, fontsize=9, color=QUIET)
        x += 0.05 + 0.0088 * len(words)


def _frame(axes: Axes, height: float, times: list[float]) -> None:
    low, high = min(0.25, min(times) / 3.2), max(4.0, max(times) * 3.6)  # with room for names
    axes.set(xscale="log", xlim=(low, high), ylim=(0, height), yticks=[])
    ticks = [2.0**k for k in range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)]
    axes.set_xticks(ticks, [f"{t:g}{TIMES}" for t in ticks], fontsize=9, color=QUIET)
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.tick_params(length=0, pad=5)
    axes.set_facecolor(PAPER)
    axes.axvspan(low, 1, color=SHADE, linewidth=0, zorder=0)
    for tick in ticks:
        axes.axvline(tick, color=INK if tick == 1 else EDGE, linewidth=1.1 if tick == 1 else 0.6, zorder=1)
    for side in axes.spines.values():
        side.set_visible(False)
    style = {"fontsize": 9, "color": QUIET, "va": "bottom", "transform": axes.get_xaxis_transform()}
    axes.text(0.965, 1.005, "behind", ha="right", **style)
    axes.text(1.03, 1.005, "ahead →", ha="left", **style)


def _swarm(times: list[float]) -> list[float]:
    """A height for each dot, near 0, so that none hides another; dots in the order of their times."""
    placed: list[tuple[float, float]] = []
    heights = dict.fromkeys(range(len(times)), 0.0)
    for k in sorted(range(len(times)), key=times.__getitem__):
        x, level = math.log10(times[k]), 0
        while True:
            y = _STEP * ((level + 1) // 2) * (-1) ** level
            if all(math.hypot((x - at) / _GAP, (y - height) / _STEP) >= 0.99 for at, height in placed):
                break
            level += 1
        placed.append((x, y))
        heights[k] = y
    return list(heights.values())


def _draw_strip(axes: Axes, strip: str, rows: list[tuple[str, str, float]], below: float, height: float) -> None:
    axes.axhline(below, color=EDGE, linewidth=0.6, zorder=1)
    middle, times = below + height / 2, [t for *_, t in rows]
    label = {"ha": "right", "transform": axes.get_yaxis_transform()}
    axes.text(-0.012, middle + 0.02, strip, va="bottom", fontsize=9.5, color=INK, **label)
    count = f"{len(rows)} rows" if strip != "ten elements" else f"{len(rows)} losses, vs NumPy"
    axes.text(-0.012, middle - 0.04, count, va="top", fontsize=7.5, color=QUIET, **label)
    groups: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for (_, mode, t), y in zip(rows, _swarm(times), strict=True):
        colour = AHEAD if t >= 1 else BEHIND
        groups.setdefault((colour, PAPER if mode == "forward" else colour), []).append((t, middle + y))
    for (colour, face), places in groups.items():
        style = {"markersize": _DOT, "markerfacecolor": face, "markeredgecolor": colour, "markeredgewidth": 1.2}
        axes.plot(*zip(*places, strict=True), "o", zorder=3, **style)
    median = statistics.median(times)
    axes.plot([median] * 2, [below + 0.1, below + height - 0.1], color=INK, linewidth=1.6, zorder=2, solid_capstyle="butt")
    style = {"fontsize": 9.5, "color": INK, "weight": "bold", "transform": axes.get_yaxis_transform()}
    axes.text(1.012, middle, f"{median:.1f}{TIMES}", va="center", ha="left", **style)
    title, _, most = max(rows, key=lambda row: row[2])
    axes.text(most * 1.13, middle, _short(title), va="center", ha="left", fontsize=7.5, color=QUIET, zorder=4)
    title, _, least = min(rows, key=lambda row: row[2])
    if least < 1:
        axes.text(least / 1.13, middle, _short(title), va="center", ha="right", fontsize=7.5, color=QUIET, zorder=4)


def _short(title: str) -> str:
    """The loss, and what tells its rows apart in words."""
    words = [part for part in title.split(", ")[1:] if part not in ("float64", "weston_watkins")]
    return ", ".join([title.split()[0], *words[:1]])

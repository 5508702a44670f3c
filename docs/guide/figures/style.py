"""What the guide's figures share: colours that colour-blind readers tell apart, panels, a plain network in NumPy."""

import numpy as np
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
GREY = "#808080"
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY)
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))


def panels(columns, width=8.0, height=3.2, **options):
    """A figure with panels side by side."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, **options)
    for ax in np.atleast_1d(axes):
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25, linewidth=0.6)
    return figure, axes


def curve(ax, x, y, k, label=None, **options):
    """The k-th line of a panel, in its colour and dashes."""
    return ax.plot(x, y, color=COLOURS[k % 6], linestyle=LINES[k % 6], linewidth=1.8, label=label, **options)


def adam(parameters, gradients, steps, rate):
    """Adam (Kingma and Ba 2015) on a list of arrays, in place. gradients(step) gives their gradients."""
    means, squares = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    for step in range(1, steps + 1):
        for p, m, v, g in zip(parameters, means, squares, gradients(step), strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            p -= rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step) * m / (np.sqrt(v) + 1e-8)

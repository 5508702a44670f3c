"""Binary cross-entropy by the prediction, for four targets: its minimum is the target's entropy, 0 only for 0 and 1."""

import numpy as np
from style import curve, panels

import fastloss as fl


def draw():
    p = np.linspace(0.002, 0.998, 499)
    figure, ax = panels(1, width=6.5)
    for k, target in enumerate((1.0, 0.9, 0.7, 0.5)):
        (line,) = curve(ax, p, fl.binary_cross_entropy(p, np.full_like(p, target), reduction="none"), k, f"target {target:g}")
        best = np.array([min(target, 1 - 1e-12)])
        ax.plot(target, fl.binary_cross_entropy(best, np.array([target])), "o", color=line.get_color(), clip_on=False)
    ax.set(xlabel="predicted probability", ylabel="nats", ylim=(0, 2.5))
    ax.legend(frameon=False, title="dots: the entropy")
    return figure

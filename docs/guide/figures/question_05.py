"""Losses of a margin and their gradients: hinge is exactly 0 beyond the margin, and has a kink on it."""

import numpy as np
from style import curve, panels

import fastloss as fl


def draw():
    figure, axes = panels(2)
    below, above = np.linspace(-2, 1, 301)[:-1], np.linspace(1, 3, 201)[1:]
    score = np.concatenate([below, [np.nan], above])
    one = np.ones_like(score)
    for k, loss in enumerate((fl.hinge, fl.squared_hinge, fl.soft_margin, fl.perceptron)):
        x = np.linspace(-2, 3, 501)
        curve(axes[0], x, loss(x, np.ones_like(x), reduction="none"), k, loss.name)
        if loss is fl.perceptron:
            s = np.concatenate([x[x < 0], [np.nan], x[x > 0]])
        else:
            s = score
        curve(axes[1], s, loss.grad(s, one if s is score else np.ones_like(s), reduction="none"), k)
    axes[1].plot(1, fl.hinge.grad([1.0], [1.0])[0], "o", color="#0072B2")
    axes[1].annotate("hinge's choice\non the margin", (1, 0), (1.25, -1.6), arrowprops={"arrowstyle": "->", "lw": 0.8})
    axes[0].set(xlabel="score x label", ylabel="value")
    axes[1].set(xlabel="score x label", ylabel="gradient with respect to the score")
    axes[0].legend(frameon=False)
    return figure

"""Gradient descent on two coefficients by squared and by absolute error, with features on one scale and on scales 1 : 10."""

import numpy as np
from style import curve, panels

import fastloss as fl


def distance(loss, scale, rate, steps=300):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2)) * scale
    right = np.array([1.0, -1.0]) / scale
    y = x @ right
    w = np.zeros(2)
    found = []
    for _ in range(steps):
        found.append(np.linalg.norm((w - right) * scale))
        w = w - rate * x.T @ loss.grad(x @ w, y)
    return found


def draw():
    figure, axes = panels(2, sharey=True)
    for ax, scale, title in ((axes[0], (1.0, 1.0), "features on one scale"), (axes[1], (1.0, 10.0), "scales 1 : 10")):
        most = max(scale) ** 2
        curve(ax, range(300), distance(fl.mse, np.array(scale), 0.5 / most), 0, "mse")
        curve(ax, range(300), distance(fl.mae, np.array(scale), 0.05 / max(scale)), 1, "mae, constant step")
        ax.set(yscale="log", ylim=(1e-6, 3), xlabel="step of gradient descent", title=title)
    axes[0].set_ylabel("distance to the right coefficients")
    axes[0].legend(frameon=False)
    return figure

"""Huber's loss for three widths: its value, gradient and Hessian."""

import numpy as np
from style import curve, panels

import fastloss as fl


def draw():
    figure, axes = panels(3)
    for k, delta in enumerate((0.5, 1.0, 2.0)):
        error = np.unique(np.concatenate([np.linspace(-4, 4, 801), [-delta, delta]]))
        zero = np.zeros_like(error)
        curve(axes[0], error, fl.huber(error, zero, delta=delta, reduction="none"), k, f"delta = {delta:g}")
        curve(axes[1], error, fl.huber.grad(error, zero, delta=delta, reduction="none"), k)
        hessian = fl.huber.hess(error, zero, delta=delta, reduction="none")
        hessian[np.isclose(np.abs(error), delta)] = np.nan  # it jumps there
        curve(axes[2], error, hessian, k)
    squares = np.linspace(-2.2, 2.2, 100)
    axes[0].plot(squares, fl.mse(squares, np.zeros(100), reduction="none") / 2, color="#808080", lw=0.8, label="mse / 2")
    for ax, title in zip(axes, ("value", "gradient", "Hessian"), strict=True):
        ax.set(title=title, xlabel="prediction - target")
    axes[0].legend(frameon=False, fontsize=8)
    return figure

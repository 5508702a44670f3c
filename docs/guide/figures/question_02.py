"""Squared and absolute error, their gradients and their Hessians."""

import numpy as np
from style import curve, panels

import fastloss as fl


def draw():
    error = np.linspace(-3, 3, 601)
    zero = np.zeros_like(error)
    figure, axes = panels(3)
    for k, loss in enumerate((fl.mse, fl.mae)):
        curve(axes[0], error, loss(error, zero, reduction="none"), k, loss.name)
        gradient = loss.grad(error, zero, reduction="none")
        gradient[error == 0] = np.nan if loss is fl.mae else 0.0  # a jump has no value to draw
        curve(axes[1], error, gradient, k)
        curve(axes[2], error, loss.hess(error, zero, reduction="none"), k)
    for ax, title in zip(axes, ("value", "gradient", "Hessian"), strict=True):
        ax.set(title=title, xlabel="prediction - target")
    axes[0].legend(frameon=False)
    return figure

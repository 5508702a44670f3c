"""A loss designed for a need: to run short costs four times as much as to have too much. Its curves, and what it learns."""

import numpy as np
from sklearn.datasets import load_diabetes
from style import adam, curve, panels

import fastloss as fl


def stock(prediction, target, *, short=4.0, width=0.1):
    """Smoothed check loss: `short` for each unit too few, 1 for each unit too many, quadratic within `width`."""
    e = target - prediction
    side = np.where(e > 0, short, 1.0)
    return side * np.where(np.abs(e) < width, e**2 / (2 * width), np.abs(e) - width / 2)


def stock_slope(prediction, target, *, short=4.0, width=0.1):
    e = target - prediction
    return -np.where(e > 0, short, 1.0) * np.clip(e / width, -1, 1)


def cost(prediction, target):
    """What it is about: four for each unit short, one for each unit left."""
    e = target - prediction
    return np.where(e > 0, 4 * e, -e).mean()


def draw():
    loss = fl.custom(stock, stock_slope, name="stock")
    figure, (left, right) = panels(2)
    error = np.linspace(-1, 1, 401)
    zero = np.zeros_like(error)
    curve(left, error, loss(error, zero, reduction="none"), 0, "value")
    curve(left, error, loss.grad(error, zero, reduction="none"), 1, "gradient")
    left.set(xlabel="prediction - target")
    left.legend(frameon=False)
    x, y = load_diabetes(return_X_y=True)
    x = np.column_stack([x / x.std(axis=0), np.ones(len(x))])
    y = (y - y.mean()) / y.std()
    order = np.random.default_rng(0).permutation(len(x))
    learn, test = order[:300], order[300:]
    bars = {}
    for name, gradient in (("mse", fl.mse.grad), ("mae", fl.mae.grad), ("stock", loss.grad)):
        w = [np.zeros(x.shape[1])]
        adam(w, lambda step, g=gradient, w=w: [x[learn].T @ g(x[learn] @ w[0], y[learn])], 800, 0.02)
        bars[name] = cost(x[test] @ w[0], y[test])
    right.barh(list(bars), list(bars.values()), color="#56B4E9")
    right.invert_yaxis()
    right.set(xlabel="cost on held-out patients")
    return figure

"""A target of five levels: how many levels a linear model is off, by the loss it was trained with; ten splits."""

import numpy as np
from sklearn.datasets import load_diabetes
from style import COLOURS, adam, panels

import fastloss as fl

LEVELS = 5


def split(seed):
    x, y = load_diabetes(return_X_y=True)
    x = x / x.std(axis=0)
    level = np.searchsorted(np.quantile(y, [0.3, 0.6, 0.8, 0.93]), y)
    order = np.random.default_rng(seed).permutation(len(x))
    return (x[order[:300]], level[order[:300]]), (x[order[300:]], level[order[300:]])


def fit(parameters, gradients):
    adam(parameters, lambda step: gradients(), 600, 0.02)


def classes(learn, test):
    """Cross-entropy, which does not know that levels are ordered."""
    (x, y), (x_test, _) = learn, test
    w, b = np.zeros((x.shape[1], LEVELS)), np.zeros(LEVELS)

    def gradients():
        d = fl.cross_entropy.grad(x @ w + b, y)
        return x.T @ d, d.sum(axis=0)

    fit([w, b], gradients)
    return (x_test @ w + b).argmax(axis=1)


def coral(learn, test):
    (x, y), (x_test, _) = learn, test
    w, b = np.zeros(x.shape[1]), np.linspace(1, -1, LEVELS - 1)

    def gradients():
        d = fl.coral.grad((x @ w)[:, None] + b, y)
        return x.T @ d.sum(axis=1), d.sum(axis=0)

    fit([w, b], gradients)
    return ((x_test @ w)[:, None] + b > 0).sum(axis=1)


def cumulative(learn, test):
    (x, y), (x_test, _) = learn, test
    w, first, gaps = np.zeros(x.shape[1]), np.array([-1.0]), np.zeros(LEVELS - 2)

    def cuts():
        return first + np.concatenate([[0.0], np.cumsum(np.exp(gaps))])  # in order, whatever is learned

    def gradients():
        d_score, d_cuts = fl.cumulative_link.grad(x @ w, cuts(), y)
        later = np.cumsum(d_cuts[::-1])[::-1]
        return x.T @ d_score, later[:1], later[1:] * np.exp(gaps)

    fit([w, first, gaps], gradients)
    return np.searchsorted(cuts(), x_test @ w)


def rounded(learn, test):
    (x, y), (x_test, _) = learn, test
    w, b = np.zeros(x.shape[1]), np.zeros(1)

    def gradients():
        d = fl.mse.grad(x @ w + b, y.astype(float))
        return x.T @ d, d.sum(keepdims=True)

    fit([w, b], gradients)
    return np.clip(np.rint(x_test @ w + b), 0, LEVELS - 1).astype(int)


WAYS = {"cross_entropy": classes, "coral": coral, "cumulative_link": cumulative, "mse, rounded": rounded}


def draw():
    figure, ax = panels(1, width=7)
    for k, way in enumerate(WAYS.values()):
        found = []
        for seed in range(10):
            learn, test = split(seed)
            found.append(fl.mae(way(learn, test).astype(float), test[1].astype(float)))
        ax.scatter(found, np.full(10, k) + np.linspace(-0.15, 0.15, 10), s=16, color=COLOURS[k])
        ax.plot([np.mean(found)] * 2, [k - 0.3, k + 0.3], color="black", lw=1.5)
    ax.set_yticks(range(len(WAYS)), WAYS)
    ax.invert_yaxis()
    ax.set(xlabel="levels off, held-out patients (mean)")
    return figure

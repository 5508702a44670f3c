"""Linear fits of diabetes data with a share of planted outliers, by three losses: the error on clean patients."""

import numpy as np
from sklearn.datasets import load_diabetes
from style import adam, curve, panels

import fastloss as fl

LOSSES = {
    "mse": lambda p, t: fl.mse.grad(p, t),
    "mae": lambda p, t: fl.mae.grad(p, t),
    "huber, delta 1": lambda p, t: fl.huber.grad(p, t, delta=1.0),
}
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3)


def error(gradient, share, seed):
    """The mean absolute error on held-out patients, in standard deviations of the target."""
    rng = np.random.default_rng(seed)
    x, y = load_diabetes(return_X_y=True)
    x = np.column_stack([x / x.std(axis=0), np.ones(len(x))])
    y = (y - y.mean()) / y.std()
    order = rng.permutation(len(x))
    learn, test = order[:300], order[300:]
    noisy = y[learn].copy()
    wrong = rng.choice(300, round(300 * share), replace=False)
    noisy[wrong] += rng.uniform(10, 20, len(wrong))
    w = [np.zeros(x.shape[1])]
    adam(w, lambda step: [x[learn].T @ gradient(x[learn] @ w[0], noisy)], 1500, 0.02)
    return fl.mae(x[test] @ w[0], y[test])


def draw():
    figure, ax = panels(1, width=7)
    for k, (name, gradient) in enumerate(LOSSES.items()):
        found = np.array([[error(gradient, share, seed) for seed in range(5)] for share in SHARES])
        curve(ax, SHARES, found.mean(axis=1), k, name, marker="o", markersize=4)
        ax.fill_between(SHARES, found.min(axis=1), found.max(axis=1), alpha=0.12, color=ax.lines[-1].get_color())
    ax.set(xlabel="share of targets moved by 10 to 20 standard deviations", ylabel="mean absolute error, clean patients")
    ax.set(ylim=(0, None))
    ax.legend(frameon=False)
    return figure

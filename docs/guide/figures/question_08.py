"""Digits in two dimensions before and after training with batch-hard triplets; scans that were not learned from."""

import numpy as np
from sklearn.datasets import load_digits
from style import COLOURS, adam, panels

import fastloss as fl


def embed(parameters, x):
    w1, b1, w2 = parameters
    hidden = np.maximum(x @ w1 + b1, 0)
    return hidden, hidden @ w2


def train(x, y, rng, steps=400):
    parameters = [rng.normal(0, 0.15, (64, 64)), np.zeros(64), rng.normal(0, 0.15, (64, 2))]
    start = [p.copy() for p in parameters]

    def gradients(step):
        batch = rng.choice(len(x), 64, replace=False)
        hidden, z = embed(parameters, x[batch])
        d_z = fl.batch_triplet.grad(z, y[batch], mining="semihard" if step < 100 else "hard", margin=1.0)
        d_hidden = (d_z @ parameters[2].T) * (hidden > 0)
        return x[batch].T @ d_hidden, d_hidden.sum(axis=0), hidden.T @ d_z

    adam(parameters, gradients, steps, 3e-3)
    return start, parameters


def draw():
    x, y = load_digits(n_class=6, return_X_y=True)
    x = x / 16
    rng = np.random.default_rng(0)
    order = rng.permutation(len(x))
    seen, unseen = order[: len(x) // 2], order[len(x) // 2 :]
    figure, axes = panels(2, height=3.8)
    for ax, parameters, title in zip(axes, train(x[seen], y[seen], rng), ("before training", "after"), strict=True):
        _, z = embed(parameters, x[unseen])
        for digit in range(6):
            own = z[y[unseen] == digit]
            ax.scatter(*own.T, s=6, color=COLOURS[digit], alpha=0.6, linewidths=0)
            ax.annotate(digit, np.median(own, axis=0), weight="bold", ha="center", va="center", size=12)
        near = fl.pairwise_distances(z)
        np.fill_diagonal(near, np.inf)
        right = np.mean(y[unseen][near.argmin(axis=1)] == y[unseen])
        ax.set(title=f"{title}: nearest neighbour right {right:.0%}", xticks=[], yticks=[])
    return figure

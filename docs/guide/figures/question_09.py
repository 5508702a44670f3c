"""The focal loss by gamma, and what it does to a rare class: against cross-entropy, average precision over 20 splits."""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import average_precision_score
from style import COLOURS, adam, curve, panels

import fastloss as fl

LOSSES = {
    "cross-entropy": lambda z, t: fl.binary_cross_entropy_with_logits.grad(z, t),
    "weighted, x 20": lambda z, t: fl.binary_cross_entropy_with_logits.grad(z, t, pos_weight=20.0),
    "focal, gamma 2": lambda z, t: fl.sigmoid_focal.grad(z, t, gamma=2.0, alpha=None),
}


def rare(rng):
    """Half of the patients to learn from, half to test; of the malignant ones a tenth is kept."""
    x, y = load_breast_cancer(return_X_y=True)
    x = np.column_stack([(x - x.mean(axis=0)) / x.std(axis=0), np.ones(len(x))])
    y = 1.0 - y
    keep = (y == 0) | (rng.random(len(y)) < 0.1)
    order = rng.permutation(np.flatnonzero(keep))
    half = len(order) // 2
    return (x[order[:half]], y[order[:half]]), (x[order[half:]], y[order[half:]])


def precision(gradient, learn, test):
    (x, y), (x_test, y_test) = learn, test
    w = [np.zeros(x.shape[1])]
    adam(w, lambda _: [x.T @ gradient(x @ w[0], y) + 1e-3 * w[0]], 300, 0.02)
    return average_precision_score(y_test, x_test @ w[0])


def draw():
    figure, (left, right) = panels(2)
    logits = np.linspace(-4, 4, 300)
    one = np.ones_like(logits)
    for k, gamma in enumerate((0.0, 1.0, 2.0, 5.0)):
        values = fl.sigmoid_focal(logits, one, gamma=gamma, alpha=None, reduction="none")
        curve(left, logits, values, k, f"gamma = {gamma:g}")
    left.set(xlabel="logit (the label is 1)", ylabel="nats")
    left.legend(frameon=False)
    scores = {name: [] for name in LOSSES}
    for seed in range(20):
        learn, test = rare(np.random.default_rng(seed))
        for name, gradient in LOSSES.items():
            scores[name].append(precision(gradient, learn, test))
    for k, found in enumerate(scores.values()):
        right.scatter(np.full(20, k) + np.linspace(-0.2, 0.2, 20), found, s=12, color=COLOURS[k])
        right.plot([k - 0.3, k + 0.3], [np.mean(found)] * 2, color="black", lw=1.5)
    right.set_xticks(range(len(scores)), scores)
    right.set(ylabel="average precision, held out", title="one malignant case in 18 patients")
    return figure

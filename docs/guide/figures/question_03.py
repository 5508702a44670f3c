"""Squared error of a sigmoid against cross-entropy: gradients, and learning from a start that is confidently wrong."""

import numpy as np
from sklearn.datasets import load_breast_cancer
from style import curve, panels

import fastloss as fl


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def squared(logits, target):
    """Mean squared error of sigmoid(logits), and its gradient by the chain rule."""
    p = sigmoid(logits)
    value, slope = fl.mse.value_and_grad(p, target)
    return value, slope * p * (1 - p)


def learn(x, y, loss, start, steps=400, rate=1.0):
    """Gradient descent on a linear model: the share of samples it has right at each step."""
    w = start.copy()
    right = []
    for _ in range(steps):
        logits = x @ w
        right.append(np.mean((logits > 0) == (y > 0.5)))
        w -= rate * x.T @ loss(logits, y)[1]
    return right


def draw():
    figure, (left, middle) = panels(2)
    logits = np.linspace(-12, 6, 400)
    one = np.ones_like(logits)
    p = sigmoid(logits)
    curve(left, logits, fl.binary_cross_entropy_with_logits.grad(logits, one, reduction="none"), 0, "cross-entropy")
    curve(left, logits, fl.mse.grad(p, one, reduction="none") * p * (1 - p), 1, "mse of the sigmoid")
    left.set(xlabel="logit (the label is 1)", ylabel="gradient with respect to the logit")
    left.legend(frameon=False)

    x, y = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    x = np.column_stack([x, np.ones(len(x))])
    good = np.linalg.lstsq(x, 2 * y - 1.0, rcond=None)[0]
    wrong = -10 * good  # as sure as a trained model, of the opposite
    for k, (name, loss) in enumerate(
        [("cross-entropy", fl.binary_cross_entropy_with_logits.value_and_grad), ("mse of the sigmoid", squared)]
    ):
        curve(middle, np.arange(400), learn(x, y.astype(float), loss, wrong), k, name)
    middle.set(xlabel="step of gradient descent", ylabel="right on breast_cancer", ylim=(0, 1))
    return figure

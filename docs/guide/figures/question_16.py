"""The probability of a sequence underflows where its logarithm adds up; and the gradients of log p and of p."""

import numpy as np
from style import curve, panels

import fastloss as fl


def draw():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, 50)).astype(np.float32)
    target = rng.integers(50, size=200)
    nats = fl.cross_entropy(logits, target, reduction="none")
    figure, (left, right) = panels(2)
    count = np.arange(1, 201)
    product = np.cumprod(np.exp(-nats))
    curve(left, count, -np.cumsum(nats) / np.log(10), 0, "sum of logarithms")
    with np.errstate(divide="ignore"):
        curve(left, count, np.where(product > 0, np.log10(np.maximum(product, 1e-300)), np.nan), 1, "product, float32")
    left.set(xlabel="tokens", ylabel="log10 of their probability")
    left.legend(frameon=False)
    z = np.linspace(-8, 6, 300)
    p = 1 / (1 + np.exp(-z))
    curve(right, z, fl.binary_cross_entropy_with_logits.grad(z, np.ones_like(z), reduction="none"), 0, "of -log p")
    curve(right, z, fl.mae.grad(p, np.ones_like(z), reduction="none") * p * (1 - p), 1, "of 1 - p")
    right.set(xlabel="logit (the label is 1)", ylabel="gradient")
    right.legend(frameon=False)
    return figure

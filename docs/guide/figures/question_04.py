"""Cross-entropy of two logits: a function of their difference alone, which is binary cross-entropy's logit."""

import numpy as np
from style import BLUE, curve, panels

import fastloss as fl


def draw():
    figure, (left, right) = panels(2, width=8.5, height=3.6)
    z = np.linspace(-6, 6, 121)
    pairs = np.stack(np.meshgrid(z, z, indexing="ij"), axis=-1)
    values = fl.cross_entropy(pairs, np.ones(pairs.shape[:2], int), reduction="none")
    lines = left.contour(z, z, values.T, levels=[0.01, 0.1, 0.7, 2, 4, 6, 8, 10], colors=BLUE, linewidths=1)
    left.clabel(lines, fontsize=8)
    left.set(xlabel="logit of class 0", ylabel="logit of class 1 (the label)", title="cross_entropy of two logits, nats")
    left.set_aspect("equal")
    gap = np.linspace(-8, 8, 200)
    two = np.stack([np.zeros_like(gap), gap], axis=-1)
    curve(right, gap, fl.cross_entropy(two, np.ones(len(gap), int), reduction="none"), 0, "cross_entropy([0, z], 1)")
    curve(right, gap, fl.binary_cross_entropy_with_logits(gap, np.ones_like(gap), reduction="none"), 1, "binary, logit z")
    right.set(xlabel="z, the difference of the logits", ylabel="nats")
    right.legend(frameon=False)
    return figure

"""Cross-entropy is the entropy of the target plus the divergence from it: q moves, p = (0.3, 0.7) stays."""

import numpy as np
from style import BLUE, GREY, ORANGE, curve, panels

import fastloss as fl


def draw():
    q = np.linspace(0.005, 0.995, 400)
    p = 0.3
    rows = np.log(np.stack([q, 1 - q], axis=-1))
    target = np.broadcast_to([p, 1 - p], rows.shape)
    entropy = float(fl.binary_cross_entropy(np.array([p]), np.array([p])))
    divergence = fl.kl_div(rows, target, reduction="none")
    figure, (left, right) = panels(2)
    left.fill_between(q, 0, entropy, color=GREY, alpha=0.35, label="entropy of p: no model can have less")
    left.fill_between(q, entropy, entropy + divergence, color=ORANGE, alpha=0.5, label="KL(p || q)")
    curve(left, q, fl.cross_entropy(rows, target, reduction="none"), 0, "cross-entropy")
    left.plot(p, entropy, "o", color=BLUE)
    left.set(xlabel="q, the model's probability (p = 0.3)", ylabel="nats", ylim=(0, 2.5))
    left.legend(frameon=False, fontsize=8, loc="upper right")
    reverse = fl.kl_div(np.log(target), np.exp(rows), reduction="none")
    curve(right, q, divergence, 0, "KL(p || q)")
    curve(right, q, reverse, 1, "KL(q || p)")
    curve(right, q, fl.js_divergence(target, np.exp(rows), reduction="none"), 2, "Jensen-Shannon")
    right.set(xlabel="q", ylabel="nats", ylim=(0, 2.0))
    right.legend(frameon=False, fontsize=8)
    return figure

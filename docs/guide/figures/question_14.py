"""What float32 leaves of the loss of a confident model: the relative error, by one step and by two."""

import numpy as np
from style import curve, panels

import fastloss as fl


def draw():
    gap = np.linspace(0, 30, 241, dtype=np.float32)
    logits = np.stack([gap, np.zeros_like(gap)], axis=-1)
    label = np.zeros(len(gap), int)
    exact = np.log1p(np.exp(-gap.astype(np.float64)))
    probability = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    ways = {
        "cross_entropy(logits)": fl.cross_entropy(logits, label, reduction="none"),
        "nll(log_softmax(logits))": fl.nll(fl.log_softmax(logits), label, reduction="none"),
        "-log(softmax(logits))": -np.log(probability[:, 0]),
    }
    figure, (left, right) = panels(2)
    for k, (name, values) in enumerate(ways.items()):
        curve(left, gap, np.where(values > 0, values, np.nan), k, name)
        curve(right, gap, np.maximum(np.abs(values / exact - 1), 1e-9), k)
    left.set(yscale="log", xlabel="gap between two logits (float32)", ylabel="loss, nats")
    right.set(yscale="log", xlabel="gap between two logits (float32)", ylabel="relative error")
    left.legend(frameon=False, fontsize=8)
    return figure

"""A rare class: what cross-entropy and Dice make of a model that says "background" everywhere, and two trained models."""

import numpy as np
from skimage import data, filters
from style import adam, curve, panels

import fastloss as fl


def pixels():
    """The coins' brightest spots, 2 % of the picture; five filters of each pixel."""
    image = data.coins() / 255
    smooth = filters.gaussian(image, 2)
    target = (smooth > np.quantile(smooth, 0.98)).astype(np.uint8)
    rng = np.random.default_rng(0)
    noisy = image + rng.normal(0, 0.15, image.shape)
    features = [noisy, *(filters.gaussian(noisy, s) for s in (1, 2, 4)), filters.sobel(noisy)]
    x = np.stack(features, axis=-1)
    x = (x - x.mean(axis=(0, 1))) / x.std(axis=(0, 1))
    return np.concatenate([x, np.ones((*image.shape, 1))], axis=-1), target


def train(x, target, gradient, steps=300):
    w = [np.zeros(x.shape[-1])]
    adam(w, lambda step: [np.tensordot(gradient(x @ w[0], target), x, axes=2)], steps, 0.05)
    return x @ w[0]


def dice_gradient(logits, target):
    return fl.dice.grad(logits[None], target[None], axis=None, activation="sigmoid")[0]


def draw():
    figure, (left, right) = panels(2, height=3.6)
    share = np.geomspace(0.001, 0.5, 40)
    ce, dice = [], []
    for part in share:
        target = (np.arange(4096) < part * 4096).astype(np.uint8)[None]
        logits = np.full(target.shape, -5.0)
        ce.append(fl.binary_cross_entropy_with_logits(logits, target))
        dice.append(fl.dice(logits, target, axis=None, activation="sigmoid"))
    curve(left, share, ce, 0, "cross-entropy, nats")
    curve(left, share, dice, 1, "Dice")
    left.set(xscale="log", xlabel="share of the class in the picture", title='the model says "background" everywhere')
    left.legend(frameon=False)
    x, target = pixels()
    for k, (name, gradient) in enumerate([("cross-entropy", fl.binary_cross_entropy_with_logits.grad), ("Dice", dice_gradient)]):
        logits = train(x, target, gradient)
        thresholds = np.linspace(0.02, 0.98, 49)
        probability = 1 / (1 + np.exp(-logits))
        score = [2 * np.sum((probability > t) & (target == 1)) / ((probability > t).sum() + target.sum()) for t in thresholds]
        curve(right, thresholds, score, k, name)
    right.axvline(0.5, color="#808080", lw=0.8)
    right.set(xlabel="threshold", ylabel="Dice score", title="trained on a class of 2 %")
    right.legend(frameon=False)
    return figure

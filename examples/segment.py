"""Coins on a photograph, found by a small network that looks at one pixel and its surroundings, trained with fastloss.

    python examples/segment.py --out build/demo

The photograph ships with scikit-image; what counts as true is scikit-image's own watershed segmentation of it. The left part is
learned from, the right part is held out. S pixels, D features of each, H hidden units.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage import data, filters, segmentation

import fastloss as fl

HIDDEN, STEPS, RATE = 32, 200, 0.02
SCALES = (0, 1, 2, 4, 8, 16)


def coins():
    """The photograph in [0, 1], and which pixels are coins: basins of its edges, flooded from what is surely dark or bright."""
    photograph = data.coins()
    markers = np.zeros(photograph.shape, int)
    markers[photograph < 30], markers[photograph > 150] = 1, 2
    basins = segmentation.watershed(filters.sobel(photograph), markers)
    return photograph.astype(np.float32) / 255, ndimage.binary_fill_holes(basins == 2)


def features(photograph):
    """(S, D): brightness and edges around each pixel at several scales, and where it is; each with mean 0 and variance 1."""
    blurred = [ndimage.gaussian_filter(photograph, s) for s in SCALES]
    edges = [ndimage.gaussian_gradient_magnitude(photograph, s) for s in SCALES[1:]]
    rows, columns = np.indices(photograph.shape)
    stack = np.stack([*blurred, *edges, rows, columns], axis=-1).astype(np.float32)
    flat = stack.reshape(-1, stack.shape[-1])
    return ((flat - flat.mean(axis=0)) / flat.std(axis=0)).reshape(stack.shape)


def initial(inputs, rng):
    return [
        rng.normal(0, np.sqrt(2 / inputs), (inputs, HIDDEN)).astype(np.float32), np.zeros(HIDDEN, np.float32),
        rng.normal(0, np.sqrt(1 / HIDDEN), HIDDEN).astype(np.float32), np.zeros(1, np.float32),
    ]  # fmt: skip


def forward(parameters, x):
    """A logit for each pixel of x (S, D)."""
    w1, b1, w2, b2 = parameters
    hidden = np.maximum(x @ w1 + b1, 0)
    return hidden, hidden @ w2 + b2


def gradients(parameters, x, mask):
    """Loss and gradients: fastloss at the top, the chain rule below. The part learned from is one item without a class axis."""
    hidden, logits = forward(parameters, x)
    loss, slope = fl.dice_cross_entropy.value_and_grad(logits[None], mask[None], activation="sigmoid", axis=None)
    d_logits = slope[0]
    d_hidden = np.outer(d_logits, parameters[2]) * (hidden > 0)
    return loss, [x.T @ d_hidden, d_hidden.sum(axis=0), hidden.T @ d_logits, d_logits.sum(keepdims=True)]


def train(x, mask, rng):
    """Adam on all pixels at once, the rate falling to zero."""
    parameters = initial(x.shape[1], rng)
    means, squares = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    for step in range(1, STEPS + 1):
        loss, slopes = gradients(parameters, x, mask)
        rate = RATE * (1 - (step - 1) / STEPS)
        for p, m, v, g in zip(parameters, means, squares, slopes, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            p -= np.float32(rate) * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        if step % 40 == 0:
            print(f"step {step:3d}: Dice loss and cross-entropy {loss:.4f}")
    return parameters


def intersection_over_union(logits, mask):
    return 1 - fl.jaccard((logits > 0)[None].astype(float), mask[None], activation=None, axis=None)


def draw(path, photograph, mask, logits, border):
    """The photograph, what is true and what was found; the dashed line parts what was learned from and what was held out."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    pictures = ((photograph, "photograph"), (mask, "true"), (1 / (1 + np.exp(-logits)), "found: probability of a coin"))
    for ax, (picture, title) in zip(axes, pictures, strict=True):
        ax.imshow(picture, cmap="gray")
        ax.axvline(border, color="tab:red", linestyle="--", linewidth=1)
        ax.set_title(title, size=10)
        ax.axis("off")
    figure.suptitle("Learned from the part left of the line")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/demo"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    photograph, mask = coins()
    border = photograph.shape[1] * 2 // 3
    x = features(photograph)
    parameters = train(x[:, :border].reshape(-1, x.shape[-1]), mask[:, :border].ravel(), np.random.default_rng(0))

    _, logits = forward(parameters, x)
    held_out = intersection_over_union(logits[:, border:], mask[:, border:])
    brightness = intersection_over_union(photograph[:, border:] - filters.threshold_otsu(photograph), mask[:, border:])
    draw(out / "coins.png", photograph, mask, logits, border)
    print(f"held out: intersection over union {held_out:.4f} (of a threshold on brightness: {brightness:.4f})")
    print(f"saved in {out}: coins.png")


if __name__ == "__main__":
    main()

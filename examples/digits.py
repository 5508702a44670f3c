"""Handwritten digits, classified by a small network in plain NumPy with fastloss's gradients.

    python examples/digits.py --out build/demo

Trains on half of scikit-learn's scanned digits, saves the logits and labels of the other half for
`fastloss evaluate`, and draws the digits that were hardest. N scans, D = 64 pixels, H hidden
units, C = 10.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import fastloss as fl

HIDDEN, EPOCHS, BATCH, RATE, MOMENTUM = 64, 40, 32, 0.1, 0.9


def split(rng):
    """Scans (N, D) in [0, 1] and their digits, shuffled: half to learn from, half held out."""
    scans, digits = load_digits(return_X_y=True)
    order = rng.permutation(len(scans))
    x, y = (scans[order] / 16).astype(np.float32), digits[order]
    half = len(x) // 2
    return (x[:half], y[:half]), (x[half:], y[half:])


def initial(rng):
    """Two layers: weights scaled to keep the variance of what flows through them, biases zero."""
    sizes = (64, HIDDEN, 10)
    return [
        parameter
        for d, h in pairwise(sizes)
        for parameter in (
            rng.normal(0, np.sqrt(2 / d), (d, h)).astype(np.float32),
            np.zeros(h, np.float32),
        )
    ]


def forward(parameters, x):
    w1, b1, w2, b2 = parameters
    hidden = np.maximum(x @ w1 + b1, 0)
    return hidden, hidden @ w2 + b2


def gradients(parameters, x, y):
    """The batch's loss and its gradients: fastloss at the top, the chain rule below."""
    w2 = parameters[2]
    hidden, logits = forward(parameters, x)
    loss, d_logits = fl.cross_entropy.value_and_grad(logits, y)
    d_hidden = (d_logits @ w2.T) * (hidden > 0)
    return loss, [x.T @ d_hidden, d_hidden.sum(axis=0), hidden.T @ d_logits, d_logits.sum(axis=0)]


def train(x, y, rng):
    """Stochastic gradient descent with momentum, the rate falling to zero along half a cosine."""
    parameters = initial(rng)
    speeds = [np.zeros_like(p) for p in parameters]
    for epoch in range(EPOCHS):
        rate = RATE * (1 + np.cos(np.pi * epoch / EPOCHS)) / 2
        losses = []
        for batch in np.array_split(rng.permutation(len(x)), len(x) // BATCH):
            loss, slopes = gradients(parameters, x[batch], y[batch])
            losses.append(loss)
            for p, speed, slope in zip(parameters, speeds, slopes, strict=True):
                speed *= MOMENTUM
                speed -= np.float32(rate) * slope
                p += speed
        if (epoch + 1) % 5 == 0:
            print(f"epoch {epoch + 1:3d}: training cross-entropy {np.mean(losses):.4f} nats")
    return parameters


def draw_hardest(path, scans, digits, logits, rows=2, columns=5):
    """The scans with the largest losses: what they are, what they were taken for, the loss."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    losses = fl.cross_entropy(logits, digits, reduction="none")
    figure, axes = plt.subplots(rows, columns, figsize=(2 * columns, 2.6 * rows), layout="constrained")
    for ax, i in zip(axes.flat, np.argsort(losses)[::-1], strict=False):
        ax.imshow(scans[i].reshape(8, 8), cmap="gray_r")
        ax.set_title(f"{digits[i]}, taken for {logits[i].argmax()}\nloss {losses[i]:.2f}", size=9)
        ax.axis("off")
    figure.suptitle("The hardest held-out digits")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/demo"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    rng = np.random.default_rng(0)
    (x, y), (x_held, y_held) = split(rng)
    print(f"learning from {len(x)} scans of handwritten digits, {len(x_held)} held out")
    parameters = train(x, y, rng)

    _, logits = forward(parameters, x_held)
    np.save(out / "logits.npy", logits)
    np.save(out / "target.npy", y_held)
    draw_hardest(out / "hardest_digits.png", x_held, y_held, logits)
    print(f"held out: accuracy {np.mean(logits.argmax(axis=1) == y_held):.4f}")
    print(f"saved in {out}: logits.npy, target.npy, hardest_digits.png")


if __name__ == "__main__":
    main()

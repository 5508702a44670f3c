"""Digits that a network has never seen, told apart by an embedding that it learned from triplets of other digits.

    python examples/digit_embeddings.py --out build/demo

Seven of the ten digits of scikit-learn's scans teach a small network in plain NumPy, with `fastloss.batch_triplet`, what makes
two scans alike; where a scan lies in its image is made to be no part of that. The other three are kept from it altogether. They
are then named by their nearest neighbour among a few examples, once by their pixels and once by their embeddings. N scans,
D pixels, K = 64 dimensions of an embedding.
"""

import argparse
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from tqdm import tqdm

import fastloss as fl

SIDE, HELD_OUT = 10, 3  # of an image; digits that are not learned from
LAYERS = (SIDE * SIDE, 512, 64)
STEPS, PER_DIGIT, RATE, MARGIN = 1500, 12, 1e-3, 0.2
EXAMPLES, DRAWS = 3, 100  # known scans of each new digit, and how often they are drawn


# -- Images ------------------------------------------------------------------------------------------


def split(rng):
    """Scans (N, 8, 8) in [0, 1] and their digits: those of seven digits to learn from, and those of the others."""
    scans, digits = load_digits(return_X_y=True)
    x = (scans.reshape(-1, 8, 8) / 16).astype(np.float32)
    new = np.isin(digits, rng.permutation(10)[:HELD_OUT])
    return (x[~new], digits[~new]), (x[new], digits[new])


def place(rng, scans):
    """Each scan somewhere in a larger image: (N, D)."""
    images = np.zeros((len(scans), SIDE, SIDE), np.float32)
    corners, across = rng.integers(SIDE - 7, size=(len(scans), 2, 1)), np.arange(8)
    rows, columns = corners[:, 0] + across, corners[:, 1] + across
    images[np.arange(len(scans))[:, None, None], rows[:, :, None], columns[:, None]] = scans
    return images.reshape(len(scans), -1)


def batch(rng, scans, digits):
    """As many scans of each digit: images and digits."""
    chosen = np.concatenate([rng.choice(np.flatnonzero(digits == d), PER_DIGIT, replace=False) for d in np.unique(digits)])
    return place(rng, scans[chosen]), digits[chosen]


# -- The network ---------------------------------------------------------------------------------------


def initial(rng):
    """Two layers: weights that keep the variance of what flows through them, biases zero."""
    return [
        parameter
        for d, h in pairwise(LAYERS)
        for parameter in (rng.normal(0, np.sqrt(2 / d), (d, h)).astype(np.float32), np.zeros(h, np.float32))
    ]


def forward(parameters, images):
    """Embeddings of length 1 (N, K), and what the way back needs."""
    w1, b1, w2, b2 = parameters
    hidden = np.maximum(images @ w1 + b1, 0)
    rows = hidden @ w2 + b2
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / lengths, (hidden, lengths)


def gradients(parameters, images, digits):
    """The batch's loss and its gradients: fastloss at the top, the chain rule below."""
    embeddings, (hidden, lengths) = forward(parameters, images)
    loss, d_embeddings = fl.batch_triplet.value_and_grad(embeddings, digits, mining="hard", margin=MARGIN)
    along = (d_embeddings * embeddings).sum(axis=1, keepdims=True)
    d_rows = (d_embeddings - along * embeddings) / lengths
    d_hidden = (d_rows @ parameters[2].T) * (hidden > 0)
    return loss, [images.T @ d_hidden, d_hidden.sum(axis=0), hidden.T @ d_rows, d_rows.sum(axis=0)]


def train(scans, digits, rng):
    """Adam (Kingma and Ba 2015), the rate falling to zero along half a cosine."""
    parameters = initial(rng)
    means, squares = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    with tqdm(range(1, STEPS + 1), desc="training", unit="batch", file=sys.stderr) as steps:
        for step in steps:
            rate = RATE * (1 + np.cos(np.pi * step / STEPS)) / 2
            loss, slopes = gradients(parameters, *batch(rng, scans, digits))
            for p, mean, square, slope in zip(parameters, means, squares, slopes, strict=True):
                mean += 0.1 * (slope - mean)
                square += 0.001 * (slope * slope - square)
                correction = np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                p -= np.float32(rate * correction) * mean / (np.sqrt(square) + np.float32(1e-8))
            steps.set_postfix_str(f"loss {loss:.3f}", refresh=False)
    return parameters


# -- New digits ------------------------------------------------------------------------------------------


def accuracy(rows, digits, rng):
    """How many are named rightly by the nearest of a few examples of each digit; the mean over many draws of these."""
    distances = fl.pairwise_distances(rows)
    right = []
    for _ in range(DRAWS):
        known = np.concatenate([rng.choice(np.flatnonzero(digits == d), EXAMPLES, replace=False) for d in np.unique(digits)])
        others = np.setdiff1d(np.arange(len(rows)), known)
        nearest = known[distances[np.ix_(others, known)].argmin(axis=1)]
        right.append(np.mean(digits[nearest] == digits[others]))
    return np.mean(right)


def plane(rows):
    """The two directions in which the rows differ most."""
    centred = rows - rows.mean(axis=0)
    return centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T


def draw(path, before, after, digits):
    """Pixels and embeddings of the new digits, each point a scan."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
    for ax, rows, title in zip(axes, (before, after), ("pixels", "embeddings"), strict=True):
        points = plane(rows)
        for d in np.unique(digits):
            ax.scatter(*points[digits == d].T, s=12, alpha=0.7, color=f"C{d}", label=str(d))
        ax.set_title(title)
        ax.set_xticks([])
        ax.set_yticks([])
    axes[0].legend(title="digit")
    figure.suptitle("Digits that the network has never seen")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/demo"))
    parser.add_argument("--seed", type=int, default=0, help="which digits are kept back, and all else that is left to chance")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    rng = np.random.default_rng(arguments.seed)
    (scans, digits), (new_scans, new_digits) = split(rng)
    kept = ", ".join(map(str, np.unique(new_digits)))
    print(f"learning from {len(scans)} scans of {len(np.unique(digits))} digits; {kept} are kept back")
    parameters = train(scans, digits, rng)

    images = place(rng, new_scans)
    embeddings, _ = forward(parameters, images)
    pixels, learned = (accuracy(rows, new_digits, np.random.default_rng(0)) for rows in (images, embeddings))
    print(f"new digits, named by the nearest of {EXAMPLES} examples of each: {learned:.1%} by embedding, {pixels:.1%} by pixels")
    draw(arguments.out / "digit_embeddings.png", images, embeddings, new_digits)
    print(f"saved in {arguments.out}: digit_embeddings.png")


if __name__ == "__main__":
    main()

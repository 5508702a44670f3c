"""A line of three scanned digits: where CTC thinks that each label is seen, and the likeliest path."""

import numpy as np
from sklearn.datasets import load_digits
from style import COLOURS, panels

import fastloss as fl

CLASSES = 11  # the blank, and ten digits
WIDTH = 8


def line(rng, scans, labels):
    """Scans side by side with gaps, columns first."""
    parts = []
    for label in labels:
        scan = scans[0][rng.choice(np.flatnonzero(scans[1] == label))]
        parts += [np.zeros((rng.integers(2, 5), 8)), scan.T]
    return np.concatenate([*parts, np.zeros((4, 8))])


def windows(image):
    padded = np.pad(image, ((WIDTH // 2, WIDTH // 2), (0, 0)))
    seen = np.lib.stride_tricks.sliding_window_view(padded, WIDTH, axis=0)[: len(image)]
    return np.column_stack([seen.reshape(len(image), -1), np.ones(len(image))])


def train(rng, scans, steps=400):
    """A linear classifier of windows that learns from whole lines, by CTC's gradient alone."""
    w = np.zeros((WIDTH * 8 + 1, CLASSES))
    m, v = np.zeros_like(w), np.zeros_like(w)
    for step in range(1, steps + 1):
        slope = np.zeros_like(w)
        for _ in range(8):
            digits = rng.integers(10, size=rng.integers(1, 4))
            x = windows(line(rng, scans, digits))
            slope += x.T @ fl.ctc.grad((x @ w)[None], digits[None] + 1)[0] / 8
        m += 0.1 * (slope - m)
        v += 0.01 * (slope**2 - v)
        w -= 0.05 * np.sqrt(1 - 0.99**step) / (1 - 0.9**step) * m / (np.sqrt(v) + 1e-8)
    return w


def draw():
    rng = np.random.default_rng(1)
    x, y = load_digits(return_X_y=True)
    scans = (x.reshape(-1, 8, 8) / 16, y)
    w = train(rng, (scans[0][:1200], y[:1200]))
    digits = np.array([3, 0, 7])
    image = line(rng, (scans[0][1200:], y[1200:]), digits)
    logits, target = (windows(image) @ w)[None], digits[None] + 1
    posteriors = fl.ctc_posteriors(logits, target)[0]
    path, score = fl.ctc_align(logits, target)
    share = float(np.exp(score[0] + fl.ctc(logits, target)))
    figure, axes = panels(1, height=4.2)
    axes.remove()
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.4))
    top.imshow(image.T, cmap="gray_r", aspect="auto")
    top.set(yticks=[], title=f"the best path holds {share:.0%} of the probability of all paths")
    for column in np.flatnonzero(path[0] > 0):
        top.axvspan(column - 0.5, column + 0.5, color=COLOURS[list(target[0]).index(path[0][column])], alpha=0.35)
    states = ["blank" if k % 2 == 0 else str(digits[k // 2]) for k in range(7)]
    bottom.imshow(posteriors.T, cmap="Blues", aspect="auto", vmin=0, vmax=1)
    bottom.set_yticks(range(7), states)
    bottom.set(xlabel="column of the line", ylabel="state")
    return figure

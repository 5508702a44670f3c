"""Lines of handwritten digits, read by a small network in plain NumPy that learned from CTC's gradient alone.

    python examples/ocr_lines.py --out build/demo

Lines are made from scikit-learn's scanned digits, at random distances and heights and partly over one another. The network
sees their columns and is told which digits a line holds, never where; `fastloss.ctc` sums over all the places they may be. It
is tested on lines of scans that it has never seen. N lines, T columns, H rows of pixels, C = 11 classes: blank and digits.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from tqdm import tqdm

import fastloss as fl

HEIGHT, CLASSES = 11, 11
WINDOWS, HIDDEN = (9, 9), (64, 128)  # columns that a unit sees of the layer below, and units of each layer
STEPS, BATCH, RATE = 2500, 32, 3e-3
HELD_OUT_LINES = 400


# -- Lines of digits ---------------------------------------------------------------------------------


def split(rng):
    """Scans (N, 8, 8) in [0, 1] and their digits, shuffled: two thirds to learn from, a third held out."""
    scans, digits = load_digits(return_X_y=True)
    order = rng.permutation(len(scans))
    x, y = (scans[order].reshape(-1, 8, 8) / 16).astype(np.float32), digits[order]
    cut = 2 * len(x) // 3
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def write_line(rng, scans, digits, few, many):
    """Some digits as an image (T, H), columns first, and the classes that stand for them: digit + 1."""
    chosen = rng.integers(len(scans), size=rng.integers(few, many + 1))
    lefts = 2 + np.cumsum(rng.integers(6, 14, len(chosen)))  # a scan is 8 wide: at 6 its edge covers its neighbour's
    line = np.zeros((lefts[-1] + 8 + rng.integers(1, 5), HEIGHT), np.float32)
    for left, scan in zip(lefts, scans[chosen], strict=True):
        top = rng.integers(HEIGHT - 7)
        there = line[left : left + 8, top : top + 8]
        np.maximum(there, scan.T * rng.uniform(0.7, 1.0), out=there)
    line += rng.normal(0, 0.05, line.shape)
    return line, digits[chosen] + 1


def batch_of_lines(rng, scans, digits, count, few, many):
    """Lines padded to the longest: images (N, T, H), columns used, labels (N, S), labels used."""
    lines, labels = zip(*(write_line(rng, scans, digits, few, many) for _ in range(count)), strict=True)
    widths, lengths = (np.array([len(row) for row in rows]) for rows in (lines, labels))
    images = np.zeros((count, widths.max(), HEIGHT), np.float32)
    targets = np.zeros((count, lengths.max()), np.int64)
    for i in range(count):
        images[i, : widths[i]], targets[i, : lengths[i]] = lines[i], labels[i]
    return images, widths, targets, lengths


# -- The network: layers that see a window of columns --------------------------------------------------


def initial(rng):
    """Weights that keep the variance of what flows through them, biases zero; three layers, the last of one column."""
    inputs = (WINDOWS[0] * HEIGHT, WINDOWS[1] * HIDDEN[0], HIDDEN[1])
    outputs = (*HIDDEN, CLASSES)
    return [
        parameter
        for d, h in zip(inputs, outputs, strict=True)
        for parameter in (rng.normal(0, np.sqrt(2 / d), (d, h)).astype(np.float32), np.zeros(h, np.float32))
    ]


def windows(x, width):
    """The columns around each column, side by side: (N, T, D) -> (N, T, width x D)."""
    padded = np.pad(x, ((0, 0), (width // 2, width // 2), (0, 0)))
    seen = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)
    return seen.swapaxes(2, 3).reshape(*x.shape[:2], -1)


def windows_backward(d_seen, width):
    """What each column gets back from all the windows that it is in."""
    n, t, _ = d_seen.shape
    d_seen = d_seen.reshape(n, t, width, -1)
    d_padded = np.zeros((n, t + width - 1, d_seen.shape[3]), np.float32)
    for k in range(width):
        d_padded[:, k : k + t] += d_seen[:, :, k]
    return d_padded[:, width // 2 : width // 2 + t]


def forward(parameters, images):
    """Logits (N, T, C), and what the way back needs."""
    w1, b1, w2, b2, w3, b3 = parameters
    seen1 = windows(images, WINDOWS[0])
    hidden1 = np.maximum(seen1 @ w1 + b1, 0)
    seen2 = windows(hidden1, WINDOWS[1])
    hidden2 = np.maximum(seen2 @ w2 + b2, 0)
    return hidden2 @ w3 + b3, (seen1, hidden1, seen2, hidden2)


def gradients(parameters, images, widths, targets, lengths):
    """The batch's loss and its gradients: fastloss at the top, the chain rule below."""
    _, _, w2, _, w3, _ = parameters
    logits, (seen1, hidden1, seen2, hidden2) = forward(parameters, images)
    loss, d_logits = fl.ctc.value_and_grad(logits, targets, input_lengths=widths, target_lengths=lengths)
    d_hidden2 = (d_logits @ w3.T) * (hidden2 > 0)
    d_hidden1 = windows_backward(d_hidden2 @ w2.T, WINDOWS[1]) * (hidden1 > 0)
    layers = ((seen1, d_hidden1), (seen2, d_hidden2), (hidden2, d_logits))
    return loss, [slope for x, d in layers for slope in (np.tensordot(x, d, axes=((0, 1), (0, 1))), d.sum(axis=(0, 1)))]


def train(scans, digits, rng):
    """Adam (Kingma and Ba 2015) on lines that are new in every step; the rate falls to zero along half a cosine.

    Lines are short: with fewer places for a label, CTC's first alignments are better guesses. What is learned is local, so that
    longer lines are read as well.
    """
    parameters = initial(rng)
    means, squares = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    with tqdm(range(1, STEPS + 1), desc="training", unit="batch", file=sys.stderr) as steps:
        for step in steps:
            rate = RATE * (1 + np.cos(np.pi * step / STEPS)) / 2
            loss, slopes = gradients(parameters, *batch_of_lines(rng, scans, digits, BATCH, 1, 6))
            for p, mean, square, slope in zip(parameters, means, squares, slopes, strict=True):
                mean += 0.1 * (slope - mean)
                square += 0.001 * (slope * slope - square)
                correction = np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                p -= np.float32(rate * correction) * mean / (np.sqrt(square) + np.float32(1e-8))
            steps.set_postfix_str(f"{loss:.3f} nats a line", refresh=False)
    return parameters


# -- Reading -----------------------------------------------------------------------------------------


def read(logits, widths):
    """The likeliest class of each column, repeats merged, blanks dropped: one list of classes for each line."""
    best = logits.argmax(axis=-1)
    starts = np.diff(best, axis=1, prepend=0) != 0
    used = np.arange(best.shape[1]) < widths[:, None]
    return [row[keep].tolist() for row, keep in zip(best, starts & used & (best > 0), strict=True)]


def edits(a, b):
    """The fewest insertions, deletions and replacements that turn one list into the other."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        row, above = [i], row
        for j, y in enumerate(b, start=1):
            row.append(min(row[-1] + 1, above[j] + 1, above[j - 1] + (x != y)))
    return row[-1]


def text(classes):
    return "".join(str(c - 1) for c in classes)


def draw_alignment(path, image, logits, target):
    """A line, the digit that each column was aligned with, and how sure that is."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    paths, scores = fl.ctc_align(logits[None], target[None])
    share = np.exp(scores[0] + fl.ctc(logits[None], target[None]))
    chances = fl.ctc_posteriors(logits[None], target[None])[0]
    figure, (top, bottom) = plt.subplots(2, figsize=(10, 4.5), sharex=True, layout="constrained")
    top.imshow(image.T, cmap="gray_r", aspect="auto")
    for column in np.flatnonzero(paths[0] > 0):
        top.axvspan(column - 0.5, column + 0.5, color=f"C{(paths[0][column] - 1) % 10}", alpha=0.35)
        top.text(column, -1.2, paths[0][column] - 1, ha="center", size=9)
    top.set_yticks([])
    top.set_title(f"{text(target)}: the likeliest alignment, {share:.0%} of the probability of all", pad=18, size=10)
    bottom.imshow(chances[:, 1::2].T, cmap="viridis", aspect="auto", vmin=0, vmax=1)
    bottom.set_yticks(range(len(target)), list(text(target)))
    bottom.set(xlabel="column", ylabel="label", title="the chance that a column is where a label is seen")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/demo"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    rng = np.random.default_rng(0)
    (scans, digits), (scans_held, digits_held) = split(rng)
    print(f"learning from lines of {len(scans)} scans of handwritten digits, {len(scans_held)} held out")
    parameters = train(scans, digits, rng)

    images, widths, targets, lengths = batch_of_lines(rng, scans_held, digits_held, HELD_OUT_LINES, 4, 10)
    logits, _ = forward(parameters, images)
    written = [row[:n].tolist() for row, n in zip(targets, lengths, strict=True)]
    read_lines = read(logits, widths)
    wrong = np.array([edits(a, b) for a, b in zip(read_lines, written, strict=True)])
    for i in (*range(6), *np.argsort(-wrong)[:2]):
        print(f"written {text(written[i]):11} read {text(read_lines[i]):11}{f'{wrong[i]} wrong' if wrong[i] else ''}".rstrip())
    loss = fl.ctc(logits, targets, input_lengths=widths, target_lengths=lengths)
    print(f"held out: {len(images)} lines, {lengths.sum()} digits, {loss:.3f} nats a line")
    print(f"held out: character error rate {100 * wrong.sum() / lengths.sum():.2f} %")
    first = widths[0], lengths[0]
    draw_alignment(out / "ocr_alignment.png", images[0, : first[0]], logits[0, : first[0]], targets[0, : first[1]])
    print(f"saved in {out}: ocr_alignment.png")


if __name__ == "__main__":
    main()

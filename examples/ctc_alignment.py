"""When was each letter spoken? CTC's best alignment and its doubts, drawn over a spectrogram.

    python examples/ctc_alignment.py --out build/demo --word hello

The "recording" is made up: every letter has a few resonances, lasts for a while and glides into the next. So the truth is
known, and alignments can be compared with it. T frames, F bands of frequency, C classes: silence, the blank, and letters.
"""

import argparse
from pathlib import Path

import numpy as np

import fastloss as fl

BANDS, NOISE, GLIDE = 64, 0.3, 5


def spectra(rng, classes):
    """What each class sounds like (C, F): silence, and three resonances for each letter."""
    bands = np.arange(BANDS)
    centres, widths = rng.uniform(4, BANDS - 4, (classes, 3)), rng.uniform(2, 5, (classes, 3))
    table = np.exp(-(((bands - centres[..., None]) / widths[..., None]) ** 2)).sum(axis=1)
    table[0] = 0
    return table


def speak(rng, labels, table):
    """A spectrogram (T, F) and each letter's true frames, as (first, one past the last)."""
    classes, spans = [0] * rng.integers(6, 14), []
    for k, label in enumerate(labels):
        if k and label == labels[k - 1]:
            classes += [0] * 4  # a stop: else nobody could tell two letters from a long one
        start = len(classes)
        classes += [label] * rng.integers(9, 22)
        spans.append((start, len(classes)))
    classes += [0] * rng.integers(6, 14)
    pure = table[classes]
    glide = np.hanning(GLIDE + 2)[1:-1] / np.hanning(GLIDE + 2).sum()
    smooth = np.stack([np.convolve(band, glide, mode="same") for band in pure.T], axis=1)
    return smooth + NOISE * rng.normal(size=smooth.shape), spans


def listen(spectrogram, table):
    """Logits (T, C) of one who knows the spectra: minus half the squared distance, in units of the noise and a doubt."""
    distances = ((spectrogram[:, None] - table) ** 2).sum(axis=-1)
    return (-distances / (2 * NOISE**2) / 12).astype(np.float32)


def spans_of(path, count):
    """The frames of each label along a path of classes: (first, one past the last)."""
    starts = np.flatnonzero((path > 0) & (np.diff(path, prepend=0) != 0))
    ends = [start + np.flatnonzero(np.append(path[start:], 0) != path[start])[0] for start in starts]
    spans = list(zip(starts.tolist(), map(int, ends), strict=True))
    assert len(spans) == count
    return spans


def draw(path, spectrogram, word, found, chances):
    """The picture: the spectrogram with the alignment, and below it the chance of each letter in each frame."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (top, bottom) = plt.subplots(
        2, figsize=(10, 6), sharex=True, layout="constrained", gridspec_kw={"height_ratios": (3, 1)}
    )
    top.imshow(spectrogram.T, origin="lower", aspect="auto", cmap="magma")
    for k, (letter, (start, end)) in enumerate(zip(word, found, strict=True)):
        for edge in (start, end):
            top.axvline(edge - 0.5, color=f"C{k % 10}", linewidth=1.5)
        top.text((start + end - 1) / 2, BANDS + 1, letter, color=f"C{k % 10}", size=16, ha="center")
        bottom.fill_between(np.arange(len(spectrogram)), chances[:, 2 * k + 1], color=f"C{k % 10}", alpha=0.6)
    bottom.fill_between(np.arange(len(spectrogram)), chances[:, ::2].sum(axis=1), color="0.8", zorder=0)
    top.set_ylabel("band")
    bottom.set(xlabel="frame", ylabel="chance", ylim=(0, 1))
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/demo"))
    parser.add_argument("--word", default="hello")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    rng = np.random.default_rng(0)
    letters = sorted(set(options.word))
    labels = np.array([letters.index(letter) + 1 for letter in options.word])
    table = spectra(rng, len(letters) + 1)
    spectrogram, spoken = speak(rng, labels, table)
    logits, targets = listen(spectrogram, table)[None], labels[None]

    loss = fl.ctc(logits, targets)
    paths, scores = fl.ctc_align(logits, targets)
    chances = fl.ctc_posteriors(logits, targets)[0]
    found = spans_of(paths[0], len(labels))
    print(f"all alignments: {loss:.2f} nats; the likeliest alone: {-scores[0]:.2f} nats, {np.exp(scores[0] + loss):.1%} of them")
    print("letter   found      spoken     chance there")
    for k, (letter, (start, end), (first, last)) in enumerate(zip(options.word, found, spoken, strict=True)):
        sure = chances[start:end, 2 * k + 1].mean()
        print(f"{letter:6} {start:4d} to {end:3d} {first:4d} to {last:3d}   {sure:8.3f}")
    draw(options.out / "ctc_alignment.png", spectrogram, options.word, found, chances)
    print(f"saved in {options.out}: ctc_alignment.png")


if __name__ == "__main__":
    main()

"""Random valid input for each loss, drawn from inside its domain: what the registry-driven tests and benchmarks feed. Not loaded
by `import fastloss`. A sampler takes (rng, dtype, size) and returns the loss's positional arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
CLASSES = 7


def real_pair(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Predictions and targets whose errors fall on both sides of 1."""
    target = rng.normal(size=size)
    return (target + rng.normal(scale=1.5, size=size)).astype(dtype), target.astype(dtype)


def binary_probabilities(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Probabilities strictly inside (0, 1) and targets in [0, 1], half of them hard."""
    return rng.uniform(0.01, 0.99, size).astype(dtype), _binary_targets(rng, dtype, size)


def binary_logits(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Logits of a few units and targets in [0, 1], half of them hard."""
    return rng.normal(scale=3, size=size).astype(dtype), _binary_targets(rng, dtype, size)


def _binary_targets(rng: np.random.Generator, dtype: str, size: int) -> Array:
    soft, hard = rng.uniform(size=size), rng.integers(0, 2, size)
    return np.where(rng.uniform(size=size) < 0.5, soft, hard).astype(dtype)


def class_logits(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """size x CLASSES logits and class indices."""
    return rng.normal(scale=3, size=(size, CLASSES)).astype(dtype), rng.integers(0, CLASSES, size)


def class_log_probabilities(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Normalised log-probabilities and class indices."""
    logits = rng.normal(scale=3, size=(size, CLASSES))
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits.astype(dtype), rng.integers(0, CLASSES, size)


def margin_scores(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Scores of a few units and labels -1 or 1."""
    return rng.normal(scale=3, size=size).astype(dtype), rng.choice([-1.0, 1.0], size).astype(dtype)


def log_pair(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Predictions and targets > -1, two-byte floats too, whose logarithms of one plus differ by up to 2."""
    log_target = rng.uniform(-3.0, 4.0, size)
    return np.expm1(log_target + rng.uniform(-1.0, 2.0, size)).astype(dtype), np.expm1(log_target).astype(dtype)


def log_counts(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Logarithms of rates, and counts; the logarithms are > 0, and so rates too."""
    log_rate = rng.uniform(0.1, 3.0, size)
    return log_rate.astype(dtype), rng.poisson(np.exp(log_rate)).astype(dtype)


def log_positives(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Logarithms of means, and positive targets about them."""
    log_mean = rng.normal(size=size)
    return log_mean.astype(dtype), rng.gamma(2.0, 0.5 * np.exp(log_mean)).astype(dtype)


def gaussian_observations(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array, Array]:
    """Predictions, targets, and variances from 1 up: the logarithm and the quotient add up."""
    prediction, target = real_pair(rng, dtype, size)
    return prediction, target, (1 + rng.exponential(size=size)).astype(dtype)


def energies(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Energies, the positive ones above the negative ones, as before training."""
    negative = rng.normal(size=size).astype(dtype)
    return negative + rng.uniform(0.1, 3, size).astype(dtype), negative


def log_probabilities_and_probabilities(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Normalised log-probabilities, and probabilities that have little to do with them."""
    return class_log_probabilities(rng, dtype, size)[0], rng.dirichlet(np.ones(CLASSES), size).astype(dtype)


def logits_and_probabilities(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Logits, and probabilities that have little to do with them."""
    return class_logits(rng, dtype, size)[0], rng.dirichlet(np.ones(CLASSES), size).astype(dtype)


def two_distributions(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Rows of probabilities, above 0."""
    p, q = rng.dirichlet(np.ones(CLASSES), (2, size))
    return np.maximum(p, 1e-4).astype(dtype), np.maximum(q, 1e-4).astype(dtype)


def gaussians(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Means and log-variances on both sides of the standard normal's."""
    return rng.normal(size=(size, CLASSES)).astype(dtype), rng.normal(scale=1.5, size=(size, CLASSES)).astype(dtype)


def level_tasks(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Logits of CLASSES - 1 tasks and levels in [0, CLASSES)."""
    return rng.normal(scale=3, size=(size, CLASSES - 1)).astype(dtype), rng.integers(0, CLASSES, size)


def score_and_thresholds(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array, Array]:
    """Scores on either side of CLASSES - 1 thresholds, and levels."""
    cuts = np.cumsum(rng.uniform(0.3, 2.0, CLASSES - 1))
    score = rng.normal(scale=1.5, size=size)
    return score.astype(dtype), (cuts - cuts.mean()).astype(dtype), rng.integers(0, CLASSES, size)


def frames_and_labels(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Logits of 8 frames, and 3 labels, perhaps repeated: 5 frames are enough. The first class and the last may be the blank."""
    logits = rng.normal(scale=2, size=(size, 8, CLASSES)).astype(dtype)
    return logits, rng.integers(1, CLASSES - 1, (size, 3))


def class_volumes(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """size items of 3 classes in 3 x 5 positions, and label maps."""
    return rng.normal(scale=2, size=(size, 3, 3, 5)).astype(dtype), rng.integers(0, 3, (size, 3, 5))


def box_pairs(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Boxes as two corners, most of which meet; none has an edge in line with one of its target's."""
    corner, sides = rng.uniform(4, 12, (2, size, 2)), rng.uniform(1, 8, (2, size, 2))
    corner[1] = corner[0] + rng.uniform(-3, 5, (size, 2))
    first, second = np.concatenate([corner, corner + sides], axis=-1)
    return first.astype(dtype), second.astype(dtype)


DIMENSIONS = 8
MARGINS = (0.2, 1.0)  # of triplets: none is drawn that ends next to one of these


def labelled_embeddings(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Rows in groups of up to four of one label, which overlap. Of no row are two distances that a triplet compares as good as
    equal, nor equal up to a margin (of up to 2000 rows: all pairs of distances are looked at)."""
    labels = rng.permutation(np.arange(size) // 4)
    centres = rng.normal(scale=0.5, size=(size // 4 + 1, DIMENSIONS))
    x = np.empty((size, DIMENSIONS), dtype)
    rows = np.arange(size)
    while rows.size:
        x[rows] = centres[labels[rows]] + rng.normal(scale=0.6, size=(rows.size, DIMENSIONS))
        rows = np.flatnonzero(_ambiguous(x, labels)) if size <= 2000 else rows[:0]
    return x, labels


def _ambiguous(x: Array, labels: Array) -> Array:
    """Which rows have a positive that is as good as equally far as another, or as a negative (less a margin)."""
    gap = min(1e-3, 1e-2 / max(len(x), 1))
    unclear = np.zeros(len(x), bool)
    wide = x.astype(np.float64)
    for i, row in enumerate(wide):
        square = ((wide - row) ** 2).sum(axis=1)
        own = (labels == labels[i]) & (np.arange(len(x)) != i)
        for d in (np.sqrt(square), square):
            positives, negatives = np.sort(d[own]), np.sort(d[labels != labels[i]])
            sought = np.concatenate([positives, *(positives + margin for margin in MARGINS)])
            gaps = _nearest_gap(negatives, sought), _next_gap(negatives, positives), np.diff(positives).min(initial=np.inf)
            unclear[i] |= min(gaps) < gap
    return unclear


def _nearest_gap(ordered: Array, sought: Array) -> float:
    """The least distance between the sought numbers and ordered ones."""
    if not ordered.size:
        return np.inf
    after = np.searchsorted(ordered, sought)
    around = np.stack([ordered[np.minimum(after, ordered.size - 1)], ordered[np.maximum(after - 1, 0)]])
    return float(np.abs(around - sought).min(initial=np.inf))


def _next_gap(negatives: Array, positives: Array) -> float:
    """The least distance between the two negatives that follow a positive, and between the two nearest of all."""
    after = np.append(np.searchsorted(negatives, positives), 0)
    after = after[after + 1 < negatives.size]
    return float((negatives[after + 1] - negatives[after]).min(initial=np.inf))


def two_views(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Two rows for each sample that are more like one another than like those of other samples."""
    common = rng.normal(size=(size, DIMENSIONS))
    first, second = (common + rng.normal(scale=0.5, size=common.shape) for _ in range(2))
    return first.astype(dtype), second.astype(dtype)


def _vectors(rng: np.random.Generator, size: int, count: int) -> Array:
    """`count` times size vectors of CLASSES dimensions, about as far from one another as from 0."""
    return rng.normal(scale=0.3, size=(count, size, CLASSES))


def vectors_and_bits(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array, Array]:
    """Pairs of vectors whose distances lie on both sides of 1, and 1 where they are similar, else 0."""
    x1, x2 = _vectors(rng, size, 2).astype(dtype)
    return x1, x2, rng.integers(0, 2, size)


def vectors_and_signs(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array, Array]:
    """Pairs of vectors in about one direction, and labels -1 or 1."""
    x1, x2 = _vectors(rng, size, 2)
    return x1.astype(dtype), (x2 + x1).astype(dtype), rng.choice([-1, 1], size)


def vector_triplets(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array, Array]:
    """Anchors, positives and negatives, none of which is much nearer than another."""
    anchor, positive, negative = _vectors(rng, size, 3).astype(dtype)
    return anchor, positive, negative


def ranked_scores(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array, Array]:
    """Pairs of scores, and -1 or 1: which of them should be the larger."""
    x1, x2 = real_pair(rng, dtype, size)
    return x1, x2, rng.choice([-1.0, 1.0], size).astype(dtype)


def distances_and_signs(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Distances on both sides of 1, and labels -1 or 1."""
    return rng.gamma(2.0, 0.5, size).astype(dtype), rng.choice([-1.0, 1.0], size).astype(dtype)

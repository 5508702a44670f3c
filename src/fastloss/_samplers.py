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


def embedding_pairs(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """size pairs of rows of 5 numbers, near to each other and not."""
    first = rng.normal(size=(size, 5))
    return first.astype(dtype), (first + rng.normal(size=(size, 5))).astype(dtype)


def queries_and_keys(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """size queries, and keys that lie near to their own."""
    return embedding_pairs(rng, dtype, size)


def labelled_embeddings(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """size rows of 5 numbers around the centres of CLASSES classes, and the class of each."""
    labels = rng.integers(0, CLASSES, size)
    return (rng.normal(size=(CLASSES, 5))[labels] + rng.normal(size=(size, 5))).astype(dtype), labels

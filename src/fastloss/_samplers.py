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


def level_tasks(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array]:
    """Logits of CLASSES - 1 tasks and levels in [0, CLASSES)."""
    return rng.normal(scale=3, size=(size, CLASSES - 1)).astype(dtype), rng.integers(0, CLASSES, size)


def score_and_thresholds(rng: np.random.Generator, dtype: str, size: int) -> tuple[Array, Array, Array]:
    """Scores on either side of CLASSES - 1 thresholds, and levels."""
    cuts = np.cumsum(rng.uniform(0.3, 2.0, CLASSES - 1))
    score = rng.normal(scale=1.5, size=size)
    return score.astype(dtype), (cuts - cuts.mean()).astype(dtype), rng.integers(0, CLASSES, size)

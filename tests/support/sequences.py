"""Batches for CTC: all small ones, ragged ones, and hostile samples with their truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import groupby, product
from typing import Any

import numpy as np
import oracle
import pytest

inf = np.inf
RELATIVE = {"float32": 1e-6, "float64": 1e-12}  # of the value; of a gradient's two terms, which are probabilities
ROUNDING = 2.0**-50  # of the logarithm of a product of T probabilities, for each: what is left of a value next to 0


def allowed(truth: Any, frames: Any, dtype: str) -> Any:
    return RELATIVE[dtype] * np.abs(truth) + ROUNDING * np.asarray(frames)


def of_probabilities(loss: float, frames: int) -> float:
    """An error of chances: T roundings, and where logarithms as large as the loss were added, theirs."""
    return ROUNDING * frames + min(2.0**-50 * abs(loss), 1e-9)


def ragged(
    rng: np.random.Generator, samples: int, frames: int, labels: int, classes: int, dtype: str = "float64", scale: float = 3.0
) -> tuple[tuple[np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """A feasible batch of all lengths: labels with repeats, frames enough for them, nonsense in the padding of both."""
    logits = (scale * rng.normal(size=(samples, frames, classes))).astype(dtype)
    targets = rng.integers(1, classes, (samples, labels))
    lengths = rng.integers(0, labels + 1, samples)
    used = np.empty(samples, np.int64)
    for i, s in enumerate(lengths):
        needed = s + int((targets[i, 1:s] == targets[i, : max(0, s - 1)]).sum())
        while needed > frames:
            s = lengths[i] = s - 1
            needed = s + int((targets[i, 1:s] == targets[i, : max(0, s - 1)]).sum())
        used[i] = rng.integers(needed, frames + 1)
        targets[i, s:] = -(2**40)
        logits[i, used[i] :] = np.nan
    return (logits, targets), {"input_lengths": used, "target_lengths": lengths}


def log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def collapsed(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    """What a path of classes spells: repeats merged, blanks dropped."""
    return tuple(label for label, _ in groupby(path) if label != blank)


@cache
def alignments(frames: int, classes: int, blank: int) -> dict[tuple[int, ...], np.ndarray]:
    """Every labelling, with all the paths (P, T) that spell it."""
    paths: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for path in product(range(classes), repeat=frames):
        paths.setdefault(collapsed(path, blank), []).append(path)
    return {labels: np.array(each, np.intp).reshape(len(each), frames) for labels, each in paths.items()}


def labellings(classes: int, blank: int, most: int = 3) -> list[tuple[int, ...]]:
    labels = [k for k in range(classes) if k != blank]
    return [row for s in range(most + 1) for row in product(labels, repeat=s)]


def small_cases() -> Iterator[Any]:
    for frames, classes in product(range(7), (1, 2, 3)):
        for blank in {0, classes - 1}:
            yield pytest.param(frames, classes, blank, id=f"T{frames} C{classes} blank {blank}")


every_small_case = pytest.mark.parametrize(("frames", "classes", "blank"), list(small_cases()))


def small(frames: int, classes: int, blank: int, dtype: str) -> tuple[np.ndarray, tuple[Any, ...], list[tuple[int, ...]]]:
    """One matrix of logits (T, C), and a batch of it with every labelling of up to 3 labels."""
    x = np.random.default_rng([frames, classes, blank]).normal(0, 2, (frames, classes)).astype(dtype)
    rows = labellings(classes, blank)
    targets = np.full((len(rows), 3), -7)
    for i, row in enumerate(rows):
        targets[i, : len(row)] = row
    return x, (np.repeat(x[None], len(rows), axis=0), targets, np.array([len(row) for row in rows])), rows


# -- Hostile samples, against mpmath ----------------------------------------------------------------------

Sample = tuple[np.ndarray, list[int]]


def confident(rng: np.random.Generator, frames: int, classes: int, labels: int, nats: float) -> Sample:
    """One alignment leads in every frame by so many nats."""
    target = rng.integers(1, classes, labels)
    target[1:][target[1:] == target[:-1]] = 0
    target = target[target > 0]
    target = target[np.insert(target[1:] != target[:-1], 0, True)]
    x = rng.normal(size=(frames, classes))
    path = np.zeros(frames, np.int64)
    path[np.sort(rng.choice(np.arange(0, frames, 2), len(target), replace=False))] = target
    x[np.arange(frames), path] += nats
    return x, target.tolist()


def masked(rng: np.random.Generator) -> Sample:
    """Half the classes do not exist, another half of them in each frame; the blank and one label always do."""
    x = np.where(rng.random((40, 9)) < 0.5, -inf, 3 * rng.normal(size=(40, 9)))
    x[:, [0, 3]] = rng.normal(size=(40, 2))
    x[:, 5] = -inf
    return x, [3, 3, 1, 3]


def one_way(rng: np.random.Generator) -> Sample:
    """Only one class exists in each frame."""
    path = [0, 0, 2, 2, 0, 2, 1, 1, 1, 4, 0, 0]
    x = np.full((len(path), 5), -inf)
    x[np.arange(len(path)), path] = rng.normal(0, 5, len(path))
    return x, [2, 2, 1, 4]


def a_spark(rng: np.random.Generator, nats: float) -> Sample:
    """The label is all but impossible while it may still be said; then nothing exists but what follows it."""
    x = rng.normal(size=(120, 4))
    x[:60, 1] -= nats
    x[60:, [0, 1]] = -inf
    return x, [1, 2]


def embers(rng: np.random.Generator) -> Sample:
    """The same again and again: each step of the only way through is unlikely by hundreds of nats."""
    x = rng.normal(size=(200, 6))
    labels = [1, 2, 3, 4, 5, 1, 2, 3]
    for k, label in enumerate(labels):
        x[20 * k : 20 * k + 20, label] -= 300 + 100 * k
        x[20 * k + 20, :] = -inf
        x[20 * k + 20, label] = 0.0
    return x, labels


def _normal(frames: int, classes: int, labels: int, scale: float = 1.0) -> Callable[[np.random.Generator], Sample]:
    return lambda rng: (scale * rng.normal(size=(frames, classes)), rng.integers(1, classes, labels).tolist())


HOSTILE: dict[str, Callable[[np.random.Generator], Sample]] = {
    "ordinary": _normal(50, 20, 10),
    "logits x 1000": _normal(60, 12, 8, 1000.0),
    "logits x 1000, long": _normal(250, 20, 40, 1000.0),
    "logits x 1e30": _normal(20, 5, 3, 1e30),
    "uniform": lambda rng: (np.zeros((300, 7)), [1, 2, 3]),
    "masked classes": masked,
    "one way through": one_way,
    "an impossible label": lambda rng: (np.where(np.arange(4) == 2, -inf, rng.normal(size=(9, 4))), [1, 2]),
    "a spark": lambda rng: a_spark(rng, 400.0),
    "a fainter spark": lambda rng: a_spark(rng, 900.0),
    "hardly a spark": lambda rng: a_spark(rng, 5000.0),
    "embers": embers,
    "confident by 10 nats": lambda rng: confident(rng, 300, 10, 60, 10.0),
    "confident by 30 nats": lambda rng: confident(rng, 300, 10, 60, 30.0),
    "confident by 800 nats": lambda rng: confident(rng, 300, 10, 60, 800.0),
    "confidently wrong": lambda rng: (confident(rng, 200, 10, 30, 50.0)[0], rng.integers(1, 10, 30).tolist()),
    "a single alignment": lambda rng: (rng.normal(size=(6, 9)), [1, 2, 3, 4, 5, 6]),
    "as few frames as repeats need": lambda rng: (rng.normal(size=(9, 4)), [1, 1, 2, 2, 3, 3]),
    "one frame too few": lambda rng: (rng.normal(size=(8, 4)), [1, 1, 2, 2, 3, 3]),
    "no labels": _normal(40, 5, 0),
    "no labels, confident": lambda rng: (rng.normal(size=(40, 5)) + 40 * (np.arange(5) == 0), []),
    "no frames": lambda rng: (np.zeros((0, 5)), []),
    "no frames for a label": lambda rng: (np.zeros((0, 5)), [1]),
    "all the same label": lambda rng: (rng.normal(size=(70, 6)), [4] * 30),
    "one frame, one label": _normal(1, 3, 1),
    "one class": lambda rng: (rng.normal(size=(5, 1)), []),
    "many labels": _normal(200, 20, 80),
}


@cache
def hostile(name: str, dtype: str, log_probs: bool) -> tuple[np.ndarray, list[int], oracle.Alignments]:
    x, labels = HOSTILE[name](np.random.default_rng(5))
    x = x.astype(dtype)
    return x, labels, oracle.Alignments(x, labels, log_probs=log_probs)

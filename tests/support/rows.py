"""The logits that hurt: named ways to fill rows of C classes, and targets for them. Imports NumPy and the oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import oracle

CLASSES = (1, 2, 3, 10, 15, 16, 17, 21, 31, 33, 64, 100, 127, 129, 257, 1000, 1003, 4099, 32768, 131072)
QUICK_CLASSES = (1, 2, 3, 10, 16, 33, 100, 1003, 4099)

Rng = np.random.Generator
Fill = Callable[[Rng, int, int, str], np.ndarray]


def normal(rng: Rng, rows: int, classes: int, dtype: str) -> np.ndarray:
    return rng.normal(0.0, 3.0, (rows, classes))


def spread_40(rng: Rng, rows: int, classes: int, dtype: str) -> np.ndarray:
    return rng.uniform(-20.0, 20.0, (rows, classes))


def nearly_equal(rng: Rng, rows: int, classes: int, dtype: str) -> np.ndarray:
    return rng.normal(0.0, 1e-6, (rows, classes))


def confident(rng: Rng, rows: int, classes: int, dtype: str) -> np.ndarray:
    """One class wins by 15 to 100 nats over the next."""
    x = rng.normal(0.0, 1.0, (rows, classes))
    return _won_by(x, rng, np.linspace(15.0, 100.0, rows))


def slightly_confident(rng: Rng, rows: int, classes: int, dtype: str) -> np.ndarray:
    """One class wins by 1 to 15 nats: where log1p leaves its linear range."""
    x = rng.normal(0.0, 1.0, (rows, classes))
    return _won_by(x, rng, np.linspace(1.0, 15.0, rows) + np.log(classes))


def _won_by(x: np.ndarray, rng: Rng, gap: np.ndarray) -> np.ndarray:
    winner = rng.integers(0, x.shape[1], len(x))
    x[np.arange(len(x)), winner] = x.max(axis=1) + gap
    return x


def offset(by: float) -> Fill:
    return lambda rng, rows, classes, dtype: normal(rng, rows, classes, dtype) + by


def thousandfold(rng: Rng, rows: int, classes: int, dtype: str) -> np.ndarray:
    return 1000.0 * normal(rng, rows, classes, dtype)


def mostly_infinite(rng: Rng, rows: int, classes: int, dtype: str) -> np.ndarray:
    """Nine classes in ten are -inf; at least one is not."""
    return _masked(rng, rows, classes, -np.inf)


def masked(value: float | None) -> Fill:
    """Nine classes in ten hold a huge negative number (None: the most negative of the dtype)."""

    def fill(rng: Rng, rows: int, classes: int, dtype: str) -> np.ndarray:
        return _masked(rng, rows, classes, float(np.finfo(dtype).min) if value is None else value)

    return fill


def _masked(rng: Rng, rows: int, classes: int, value: float) -> np.ndarray:
    x = rng.normal(0.0, 3.0, (rows, classes))
    keep = rng.random((rows, classes)) < 0.1
    keep[np.arange(rows), rng.integers(0, classes, rows)] = True
    return np.where(keep, x, value)


def ties(rng: Rng, rows: int, classes: int, dtype: str) -> np.ndarray:
    """Few distinct values: the maximum is shared by many classes."""
    return rng.integers(-2, 3, (rows, classes)).astype(np.float64)


def all_equal(rng: Rng, rows: int, classes: int, dtype: str) -> np.ndarray:
    return np.repeat(rng.normal(0.0, 3.0, (rows, 1)), classes, axis=1)


def winner_at_the_ends(rng: Rng, rows: int, classes: int, dtype: str) -> np.ndarray:
    """The maximum sits first or last, where a vector loop peels."""
    x = rng.normal(0.0, 1.0, (rows, classes))
    x[0::2, 0] = 8.0
    x[1::2, -1] = 8.0
    return x


def ramp(rng: Rng, rows: int, classes: int, dtype: str) -> np.ndarray:
    """A running maximum changes at every entry: the worst case of a one-pass softmax."""
    return np.linspace(-30.0, 30.0, classes)[None, :] + rng.normal(0.0, 1e-3, (rows, classes))


FILLS: dict[str, Fill] = {
    "normal": normal,
    "spread 40": spread_40,
    "nearly equal": nearly_equal,
    "won by 15 to 100": confident,
    "won by 1 to 15": slightly_confident,
    "+1e4": offset(1e4),
    "+1e6": offset(1e6),
    "-1e6": offset(-1e6),
    "x1000": thousandfold,
    "mostly -inf": mostly_infinite,
    "masked -1e9": masked(-1e9),
    "masked -1e30": masked(-1e30),
    "masked finfo.min": masked(None),
    "ties": ties,
    "all equal": all_equal,
    "winner at the ends": winner_at_the_ends,
    "ramp": ramp,
}


class Rows(NamedTuple):
    """Logits of a dtype, with their exact softmax."""

    logits: np.ndarray
    exact: oracle.Softmax

    def labels(self) -> dict[str, np.ndarray]:
        """The winning class, the worst finite one, and a random finite one."""
        x = self.logits
        finite = np.isfinite(x)
        rng = np.random.default_rng(len(x))
        return {
            "argmax": np.argmax(x, axis=1),
            "argmin": np.argmin(np.where(finite, x, np.inf), axis=1),
            "random": np.argmax(np.where(finite, rng.random(x.shape), -1.0), axis=1),
        }

    def probabilities(self) -> np.ndarray:
        """Random probabilities in the logits' dtype, 0 under -inf; some rows do not sum to 1."""
        rng = np.random.default_rng(self.logits.shape[1])
        t = rng.dirichlet(np.full(self.logits.shape[1], 0.5), len(self.logits))
        t *= np.linspace(0.5, 1.0, len(t))[:, None]
        return np.where(np.isfinite(self.logits), t, 0.0).astype(self.logits.dtype)

    def one_hot(self, label: np.ndarray) -> np.ndarray:
        t = np.zeros_like(self.logits)
        t[np.arange(len(t)), label] = 1.0
        return t


@lru_cache(maxsize=200)
def make(fill: str, classes: int, dtype: str, mp_to: int = 300) -> Rows:
    """Rows and their softmax, in mpmath up to `mp_to` classes, and then in 80-bit floats (1e-17: see test_accuracy)."""
    rng = np.random.default_rng([classes, len(fill)])
    count = 5 if classes <= 300 else 2
    x = FILLS[fill](rng, count, classes, dtype).astype(dtype)
    return Rows(x, oracle.Softmax(x, oracle.LONG if classes > mp_to and oracle.EXTENDED else oracle.MP))


# -- Calls of cross-entropy on them ------------------------------------------------------------------


class Case(NamedTuple):
    """One call, `where` to say in a failure, and the exact answer."""

    logits: np.ndarray
    target: np.ndarray
    options: dict[str, Any]
    truth: oracle.RowTruth
    where: str

    def layouts(self) -> Iterator[tuple[str, np.ndarray, np.ndarray, int]]:
        """Classes last, and (the kernel of images) classes first with the samples contiguous."""
        yield "rows", self.logits, self.target, -1
        if self.logits.shape[1] < 5000:
            yield "columns", np.ascontiguousarray(self.logits.T), np.ascontiguousarray(self.target.T), 0

    @property
    def scale(self) -> np.ndarray:
        """What the gradient's errors are relative to: the row's largest entry, or for mixed targets its two terms."""
        mixed = "label_smoothing" in self.options or np.any((self.target > 0) & (self.target < 1))
        return self.truth.terms if mixed else oracle.row_scale(self.truth.grad)


def _index(r: Rows) -> Targets:
    return [(name, label, {}) for name, label in r.labels().items()]


def _one_hot(r: Rows) -> Targets:
    return [(f"one-hot {name}", r.one_hot(label), {}) for name, label in r.labels().items()]


def _soft(r: Rows) -> Targets:
    return [("probabilities", r.probabilities(), {})]


def _weighted(r: Rows) -> Targets:
    weight = np.random.default_rng(r.logits.shape[1]).uniform(0.0, 3.0, r.logits.shape[1]).astype(r.logits.dtype)
    targets = (("argmax", r.labels()["argmax"]), ("probabilities", r.probabilities()))
    return [(f"weighted {name}", target, {"class_weight": weight}) for name, target in targets]


def _smooth(r: Rows) -> Targets:
    (_, label, weighted), (_, soft, _) = _weighted(r)
    return [
        ("smooth argmax", label, {"label_smoothing": 0.1}),
        ("smooth probabilities", soft, {"label_smoothing": 0.1}),
        ("smooth weighted argmax", label, {"label_smoothing": 0.01, **weighted}),
        ("smooth weighted probabilities", soft, {"label_smoothing": 0.01, **weighted}),
    ]


Targets = list[tuple[str, np.ndarray, dict[str, Any]]]
KINDS: dict[str, Callable[[Rows], Targets]] = {
    "index": _index,
    "one-hot": _one_hot,
    "soft": _soft,
    "weighted": _weighted,
    "smooth": _smooth,
}
# Smoothing gives a masked class a share of infinity, which is tested in test_nonfinite.
COMBINATIONS = [(k, f) for k in KINDS for f in FILLS if k != "smooth" or f not in ("mostly -inf", "masked finfo.min")]


# Tried beyond 5000 classes.
LARGE = ("normal", "spread 40", "nearly equal", "won by 15 to 100", "+1e4", "masked -1e9", "masked -1e30", "ramp")


def cases(kind: str, fill: str, dtype: str, full: bool, mp_to: int = 300) -> Iterator[Case]:
    """Every class count; the largest for class indices only."""
    for classes in CLASSES if full else QUICK_CLASSES:
        if classes < 5000 or (fill in LARGE and (kind == "index" or classes < 50000)):
            r = make(fill, classes, dtype, mp_to)
            for name, t, o in KINDS[kind](r):
                yield Case(r.logits, t, o, oracle.CrossEntropy(r.exact, t, **o), f"{classes} classes, {name}: ")

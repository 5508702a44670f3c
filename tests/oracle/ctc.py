"""CTC: the sum over all alignments of a sequence."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from mpmath import mp, mpf
from numpy.typing import ArrayLike

from .exact import Exact, Truth


class Alignments:
    """One sample's lattice at a precision that leaves nothing to chance: alpha and beta as plain products and sums, which neither
    underflow nor cancel in mpmath. x: its frames alone (T, C); labels: its labels alone.
    """

    def __init__(self, x: np.ndarray, labels: ArrayLike, blank: int = 0, log_probs: bool = False, prec: int = 320) -> None:
        self.labels = [int(v) for v in np.asarray(labels)]
        self.states = [blank]
        for label in self.labels:
            self.states += [label, blank]
        self.frames, self.classes = x.shape
        self.prec, self.log_probs = prec, log_probs
        with mp.workprec(prec):
            self.y = [self._emissions(row) for row in x.astype(np.float64)]
            self.alpha = self._swept(self.y, self.states)
            self.likelihood = self._ends()

    def _emissions(self, row: np.ndarray) -> list[mpf]:
        top = 0.0 if self.log_probs else row.max()
        e = [mp.exp(mpf(float(v)) - mpf(float(top))) if v != -np.inf else mpf(0) for v in row]
        total = 1 if self.log_probs else mp.fsum(e)
        return [v / total for v in e]

    @staticmethod
    def _swept(y: list[list[mpf]], states: list[int]) -> list[list[mpf]]:
        """alpha: the chance of all ways to be in a state at a frame, the frame's emission included."""
        rows: list[list[mpf]] = []
        for frame in y:
            row = []
            for s, state in enumerate(states):
                if rows:
                    ways = rows[-1][s] + (rows[-1][s - 1] if s else 0)
                    if s > 1 and state != states[s - 2]:  # two blanks are one state apart from the label between them
                        ways += rows[-1][s - 2]
                else:
                    ways = mpf(s < 2)
                row.append(ways * frame[state])
            rows.append(row)
        return rows

    @cached_property
    def beta(self) -> list[list[mpf]]:
        """The same from the end."""
        with mp.workprec(self.prec):
            return [row[::-1] for row in self._swept(self.y[::-1], self.states[::-1])[::-1]]

    def _ends(self) -> mpf:
        if not self.frames:
            return mpf(not self.labels)
        return mp.fsum(self.alpha[-1][-2:])

    def posteriors(self) -> np.ndarray:
        """The chance of each state at each frame (T, 2 S + 1)."""
        with mp.workprec(self.prec):
            table = [
                [a * b / (frame[k] * self.likelihood) if a else mpf(0) for a, b, k in zip(forth, back, self.states, strict=True)]
                for forth, back, frame in zip(self.alpha, self.beta, self.y, strict=True)
            ]
        return np.array(table, dtype=object).reshape(self.frames, len(self.states))

    def value(self) -> mpf:
        with mp.workprec(self.prec):
            return -mp.log(self.likelihood) if self.likelihood else mpf("inf")

    def grad(self) -> np.ndarray:
        """With respect to the logits, or to the log-probabilities themselves (T, C); nan where there is no alignment."""
        if not self.likelihood:
            return np.full((self.frames, self.classes), mpf("nan"), dtype=object)
        with mp.workprec(self.prec):
            table = np.array(self.y, dtype=object).reshape(self.frames, self.classes) * (not self.log_probs)
            for s, column in enumerate(self.posteriors().T):
                table[:, self.states[s]] -= column
        return table


def ctc_samples(
    args: tuple[ArrayLike, ...],
    blank: int = 0,
    log_probs: bool = False,
    input_lengths: ArrayLike | None = None,
    target_lengths: ArrayLike | None = None,
    prec: int = 320,
) -> list[Alignments]:
    """Each sample of a batch (N, T, C) with padded labels (N, S)."""
    x, targets = (np.asarray(a) for a in args)
    frames = np.full(len(x), x.shape[1]) if input_lengths is None else np.asarray(input_lengths)
    lengths = np.full(len(x), targets.shape[1]) if target_lengths is None else np.asarray(target_lengths)
    each = zip(x, targets, frames, lengths, strict=True)
    return [Alignments(row[:t], labels[:s], blank, log_probs, prec) for row, labels, t, s in each]


def ctc_truth(args: tuple[ArrayLike, ...], options: dict[str, Any], max_order: int) -> Truth:
    """Values and the gradient of their sum, 0 in the padding."""
    options = dict(options)
    by, zero = options.pop("length_normalize", None), options.pop("zero_infinity", False)
    samples = ctc_samples(args, **options)
    divisors = [max(1, {None: 1, "target": len(a.labels), "input": a.frames}[by]) for a in samples]
    values = [mpf(0) if zero and not a.likelihood else a.value() / d for a, d in zip(samples, divisors, strict=True)]
    value = Exact.of(np.array(values, dtype=object))
    if not max_order:
        return Truth(value, np.ones(len(samples)), ())
    x = np.asarray(args[0])
    grad = np.full(x.shape, mpf(0), dtype=object)
    for i, (a, d) in enumerate(zip(samples, divisors, strict=True)):
        if a.likelihood or not zero:
            grad[i, : a.frames] = a.grad() / d
    return Truth(value, np.ones(len(samples)), ((Exact.of(grad),),))


SEQUENCES: dict[str, Callable[..., Truth]] = {"ctc": ctc_truth}

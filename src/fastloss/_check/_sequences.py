"""Frames, lengths and labels of sequences, in any of their layouts.

Shapes: `N` samples, `T` frames, `C` classes, `S` labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ._arrays import FLOAT64, Array, array, is_wide
from ._options import flag, integer, one_of
from ._refusals import refuse
from ._weights import weights

NORMALIZATIONS = ("target", "input")


@dataclass(frozen=True)
class Sequences:
    """Checked frames and labels."""

    given: Array  # the logits as they came
    x: Array  # (N, T, C)
    labels: npt.NDArray[np.int32]  # of all samples, one after another
    counts: npt.NDArray[np.int64]  # of the labels of each sample
    frames: npt.NDArray[np.int64]  # of each sample
    blank: int
    log_probs: bool
    time_major: bool

    @property
    def wide(self) -> bool:
        """Whether the logits ask for float64."""
        return is_wide(self.x.dtype, self.x.dtype)

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where the labels of each sample begin."""
        starts: npt.NDArray[np.int64] = np.cumsum(self.counts) - self.counts
        return starts

    def batch_major(self, a: Array) -> Array:
        return np.swapaxes(a, 0, 1) if self.time_major else a

    def divisor(self, length_normalize: Any) -> npt.NDArray[np.float64] | None:
        """The lengths that losses are divided by, if they are."""
        if length_normalize is None:
            return None
        by = one_of("length_normalize", length_normalize, NORMALIZATIONS)
        return np.maximum(self.counts if by == "target" else self.frames, 1).astype(FLOAT64)


def sequences(
    logits: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: Any,
    log_probs: Any,
    time_major: Any,
    sample_weight: Any = None,
) -> Sequences:
    """Check frames, labels and their lengths. Samples of weight 0 become empty: no frame and no label of theirs is read."""
    logarithms, swapped = flag("log_probs", log_probs), flag("time_major", time_major)
    given = frames("logits", logits, swapped)
    x = np.swapaxes(given, 0, 1) if swapped else given
    samples, most, classes = x.shape
    chosen = integer("blank", blank)
    if not 0 <= chosen < classes:
        refuse(ValueError, "blank", f"a class index in [0, {classes})", chosen)
    left_out = None
    if sample_weight is not None:
        weight, low, _ = weights("sample_weight", sample_weight, (samples,))
        left_out = weight == 0 if low == 0 else None
    used = lengths("input_lengths", input_lengths, samples, most, "the frames of logits", left_out)
    flat, counts = label_sequences("targets", targets, "target_lengths", target_lengths, samples, classes, chosen, left_out)
    return Sequences(given, x, flat, counts, used, chosen, logarithms, swapped)


def frames(name: str, value: Any, time_major: bool) -> Array:
    """Rows of at least one class for each frame of each sample."""
    a = array(name, value)
    layout = "(T, N, C)" if time_major else "(N, T, C)"
    if a.ndim != 3:
        refuse(ValueError, name, f"three dimensions, {layout}", f"shape {a.shape}")
    if a.shape[2] == 0 or a.shape[2] >= 2**31:
        refuse(ValueError, name, f"at least one class (and fewer than 2**31), {layout}", f"shape {a.shape}")
    return a


def lengths(
    name: str, value: Any, samples: int, most: int, of: str, left_out: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.int64]:
    """A private copy of one length in [0, most] per sample; None: all are `most`. That of a sample left out is 0."""
    if value is None:
        full = np.full(samples, most, np.int64)
        if left_out is not None:
            full[left_out] = 0
        return full
    a = array(name, value)
    if a.dtype.kind not in "iu" and not (a.size == 0 and a.shape == (samples,)):
        refuse(TypeError, name, f"integers of shape ({samples},)", f"{a.dtype} of shape {a.shape}")
    if a.shape != (samples,):
        refuse(ValueError, name, f"shape ({samples},), a length for each sample", f"shape {a.shape}")
    own = np.array(a)
    if left_out is not None:
        own[left_out] = 0
    bad = (own < 0) | (own > most)
    if bad.any():
        n = int(np.argmax(bad))
        refuse(ValueError, name, f"lengths in [0, {most}], {of}", f"{own[n]} for sample {n}")
    return own.astype(np.int64)


def label_sequences(
    name: str,
    value: Any,
    lengths_name: str,
    given: Any,
    samples: int,
    classes: int,
    blank: int,
    left_out: npt.NDArray[np.bool_] | None = None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The labels of all samples, one after another, and how many each has: private copies, all in [0, classes), none the blank.

    They come as rows of (N, S), of which lengths say how many count, or as one vector, which needs lengths. A sample left out
    has none.
    """
    a = array(name, value)
    if a.dtype.kind not in "iub" and a.size:
        refuse(TypeError, name, "integer class indices", f"{a.dtype} of shape {a.shape}")
    if a.ndim == 2:
        if len(a) != samples:
            refuse(ValueError, name, f"labels of {samples} samples, ({samples}, S)", f"shape {a.shape}")
        counts = lengths(lengths_name, given, samples, a.shape[1], f"the columns of {name}", left_out)
        flat = a[np.arange(a.shape[1]) < counts[:, None]]
    elif a.ndim == 1:
        if given is None:
            refuse(ValueError, lengths_name, f"the lengths of the sequences that {name} of one dimension joins", "None")
        counts = lengths(lengths_name, given, samples, 2**63 - 1, f"the labels of {name}")
        if counts.max(initial=0) > a.size or counts.sum() != a.size:  # the first keeps the second from overflowing
            refuse(ValueError, lengths_name, f"lengths that add up to {a.size}, the labels of {name}", sum(counts.tolist()))
        flat = np.array(a)
        if left_out is not None:
            flat = flat[np.repeat(~left_out, counts)]
            counts[left_out] = 0
    else:
        refuse(ValueError, name, "labels (N, S), or those of all samples joined in one dimension", f"shape {a.shape}")
    bad = (flat < 0) | (flat >= classes) | (flat == blank)
    if bad.any():
        at = int(np.argmax(bad))
        n = int(np.searchsorted(np.cumsum(counts), at, side="right"))
        where = f"{flat[at]} for sample {n}, its label {at - int(counts[:n].sum())}"
        if flat[at] == blank:
            refuse(ValueError, name, f"labels other than the blank, {blank}", where)
        refuse(IndexError, name, f"class indices in [0, {classes})", where)
    return flat.astype(np.int32), counts

"""Integer labels: class indices, levels, one-hot rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arrays import Array, array, reshaped
from ._refusals import refuse
from ._weights import weights


def labels(
    name: str, value: Any, shape: tuple[int, ...], of_shape: tuple[int, ...], noun: str = "class indices", of: str = "logits"
) -> Array:
    """Integer class indices (or levels) of a given shape; their range is checked by the kernel that reads them."""
    a = array(name, value)
    if a.dtype.kind not in "iub":
        if a.size == 0 and a.shape == shape:
            return a.astype(np.int64)
        hint = meant(name, a, shape, of_shape, noun)
        refuse(TypeError, name, f"integer {noun} of shape {shape}", f"{a.dtype} of shape {a.shape}", hint=hint)
    if a.shape != shape:
        hint = meant(name, a, shape, of_shape, noun)
        refuse(ValueError, name, f"{noun} of shape {shape} for {of} of shape {of_shape}", f"shape {a.shape}", hint=hint)
    return a


def meant(name: str, a: Array, shape: tuple[int, ...], of_shape: tuple[int, ...], noun: str) -> str:
    """What labels of another shape or type probably are."""
    if a.shape == shape:
        return f"whole numbers kept as floats are labels after {name}.astype(int)"
    if a.shape == of_shape and noun == "levels":
        return "a level is one number: binary tasks add up to it, one-hot rows have it at their argmax"
    axes = [k for k in range(len(of_shape)) if of_shape[:k] + of_shape[k + 1 :] == a.shape]
    classes = [k for k in range(len(of_shape)) if of_shape[:k] + of_shape[k + 1 :] == shape]
    if a.shape == of_shape and noun == "class indices" and classes:
        return f"one-hot rows become class indices with {name}.argmax({f'axis={classes[0]}' if len(classes) == 1 else 'axis'})"
    if len(axes) == 1 and shape != of_shape:
        return f"axis={axes[0]} says that the classes lie there"
    return reshaped(name, a.shape, shape)


def outside(label: int, count: int, labels: Array) -> str:
    """What to do about a label, of these, that is none of [0, count)."""
    if label == count and labels.min() > 0:
        return "labels count from 0: subtract 1 if yours begin with 1"
    if label in (-1, -100, 255):
        return "padding is left out by ignore_index, where the loss has it, or by a sample_weight of 0"
    return ""


def one_hot(name: str, a: Array, axis: int, hint: str, weight: Any = None, values: bool = True) -> None:
    """Integers and bools that stand for distributions along an axis: every row has one 1, or none (but for a single class).

    Other integers in the shape of the logits are something else: class indices, labels of independent classes, counts. Floats are
    not looked at; rows of weight 0 may hold anything. `values`: whether to refuse numbers other than 0 and 1, as a kernel may do.
    """
    if a.dtype.kind not in "iub" or a.size == 0:
        return
    bits = a.view(np.uint8) if a.dtype.kind == "b" else a
    single = a.shape[axis] == 1
    # sums of rows, which may wrap around: a row with several entries still counts once on the left, and more often on the right
    sums = np.add.reduce(bits, axis=axis) if a.size < 1000 else np.einsum("...i->...", np.moveaxis(bits, axis, -1))
    if np.count_nonzero(sums) == np.count_nonzero(bits) and sums.max() <= 1 and not (single and sums.min() < 1):
        return  # a negative number is the kernel's to find
    rows = np.moveaxis(a, axis, -1)
    wrong = (rows == 0) if single else (rows == 1) & (np.cumsum(rows == 1, axis=-1) > 1)
    if values:
        wrong |= (rows < 0) | (rows > 1)
    if weight is not None:
        wrong &= (weights("sample_weight", weight, rows.shape[:-1])[0] > 0)[..., None]
    if wrong.any():
        *sample, entry = (int(k) for k in np.unravel_index(int(np.argmax(wrong)), rows.shape))
        got, at = rows[(*sample, entry)], (*sample[:axis], entry, *sample[axis:])
        expected = "1 for a single class" if single else f"integers that are one-hot along axis {axis} (0 and 1, one 1 at most)"
        refuse(ValueError, name, expected, "a second 1" if got == 1 else int(got), at, hint)

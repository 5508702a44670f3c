"""Predictions and targets of the losses of regions.

Shapes: `N` items, `C` classes along `axis`, one or more spatial axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ._arrays import Array, array, axis_of, is_wide
from ._labels import labels, meant, one_hot
from ._options import flag, ignored_label, one_of
from ._refusals import refuse
from ._weights import class_weights, nonnegative

MOST_CLASSES = 2**24  # which a float32 still tells apart


@dataclass(frozen=True)
class Regions:
    """Checked arguments of a loss of regions: predictions, targets, and which entries count."""

    x: Array
    axis: int  # of the classes, from 0; -1 if there is none
    target: Array
    kind: str  # "index": label map; "masks" or "soft": in the shape of the logits
    activation: str | None
    pooled: bool
    first: int  # the first class that counts: 1 without background
    ignore: int | None

    @property
    def classes(self) -> int:
        return int(self.x.shape[self.axis]) if self.axis >= 0 else 1

    @property
    def items(self) -> int:
        return int(self.x.shape[1 if self.axis == 0 else 0])

    @property
    def groups(self) -> int:
        return 1 if self.pooled else self.items

    @property
    def wide(self) -> bool:
        """Whether the arrays ask for float64."""
        return is_wide(self.x.dtype, self.target.dtype if self.kind == "soft" else self.x.dtype)

    def shape(self, per_class: bool) -> tuple[int, ...]:
        """Of the values: items (unless pooled), classes that count (if there is an axis of them)."""
        classes = (self.classes - self.first,) if per_class and self.axis >= 0 else ()
        return (() if self.pooled else (self.items,)) + classes

    def class_weights(self, value: Any) -> npt.NDArray[np.float64] | None:
        return class_weights("class_weight", value, self.classes)


def regions(
    logits: Any,
    target: Any,
    axis: Any,
    activation: Any,
    pooled: bool,
    include_background: Any,
    ignore_index: Any,
    sample_weight: Any,
    soft: bool = True,
) -> Regions:
    """The arguments that all losses of regions share. `soft`: whether targets may be probabilities."""
    x = array("logits", logits)
    if activation is not None:
        one_of("activation", activation, ("softmax", "sigmoid"))
    index = _class_axis(x, axis, activation)
    kept = x.shape if index < 0 else x.shape[:index] + x.shape[index + 1 :]
    classes = x.shape[index] if index >= 0 else 1
    if classes > MOST_CLASSES:
        refuse(ValueError, "logits", f"at most {MOST_CLASSES} classes", classes)
    first = 0 if flag("include_background", include_background) else 1
    if first >= classes:
        refuse(ValueError, "include_background", "True where there is only one class", include_background)
    ignore = ignored_label(ignore_index)
    t, kind = _target(target, x.shape, kept, soft)
    if ignore is not None and kind != "index":
        _refuse_ignored(t, kind, activation, kept)
    r = Regions(x, index, t, kind, activation, pooled, first, ignore)
    if kind == "masks" and activation == "softmax":
        _exclusive(r, kept, sample_weight)
    return r


def _class_axis(x: Array, axis: Any, activation: str | None) -> int:
    """The class axis as an index from 0; -1 if there is none."""
    if axis is None:
        index = -1
        if activation == "softmax":
            refuse(ValueError, "activation", "'sigmoid' or None where axis is None", repr(activation))
    else:
        index = axis_of(x, axis, "logits")
    if x.ndim < (2 if index < 0 else 3):
        beside = "" if index < 0 else " beside the class axis"
        refuse(ValueError, "logits", f"an axis of items and at least one spatial axis{beside}", f"shape {x.shape}")
    return index


def _refuse_ignored(t: Array, kind: str, activation: str | None, kept: tuple[int, ...]) -> None:
    """An ignored label needs labels; beside a softmax, class indices."""
    if kind == "soft":
        refuse(TypeError, "target", "integer labels where there is an ignore_index", f"{t.dtype} of shape {t.shape}")
    if activation == "softmax":
        expected = f"class indices of shape {kept} where there is an ignore_index beside a softmax"
        refuse(ValueError, "target", expected, f"shape {t.shape}")


def _exclusive(r: Regions, positions: tuple[int, ...], sample_weight: Any) -> None:
    """Beside a softmax masks exclude one another: a position is of one class."""
    hint = f"class indices have shape {positions}; masks that overlap, or of a single class, are for activation='sigmoid'"
    one_hot("target", r.target, r.axis, hint, _of_positions(sample_weight, r, len(positions)), values=False)


def _of_positions(sample_weight: Any, r: Regions, ndim: int) -> Any:
    """Weights of items, which may be weights of items and classes, as weights of their positions; None if all count."""
    if sample_weight is None or r.pooled:
        return None
    w = nonnegative("sample_weight", sample_weight)
    if w.size == 0 or w.ndim == 0 or len(w) != r.items:
        return None  # one weight for all, or an error soon
    return np.reshape(w.reshape(len(w), -1).max(axis=1), (-1,) + (1,) * (ndim - 1))


def _target(target: Any, shape: tuple[int, ...], kept: tuple[int, ...], soft: bool) -> tuple[Array, str]:
    """A label map, or masks or probabilities in the shape of the logits; and which of them."""
    t = array("target", target)
    if t.shape == shape:
        if t.dtype.kind in "iub":
            return t, "masks"
        if soft:
            return t, "soft"
        refuse(TypeError, "target", "integer labels", f"{t.dtype} of shape {t.shape}")
    if t.shape != kept:
        either = f"class indices of shape {kept}, or masks of shape {shape}" if kept != shape else f"masks of shape {shape}"
        hint = "" if kept == shape else meant("target", t, kept, shape, "class indices")
        refuse(ValueError, "target", f"{either}, for logits of shape {shape}", f"shape {t.shape}", hint=hint)
    if shape != kept and math.prod(shape) == math.prod(kept) > 0:  # an index could be 0 only: a mask is meant
        refuse(
            ValueError, "target", f"a mask of shape {shape} where there is one class", f"shape {t.shape}",
            hint=f"target.reshape({shape})",
        )  # fmt: skip
    return labels("target", t, kept, shape), "index"

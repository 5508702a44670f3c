"""Plans of the losses of regions: overlaps, which are functions of a few sums for each item and class; Lovasz's extension, which
sorts; pairs of boxes.

Shapes: `N` items, `C` classes, `K` of them that count, `G` groups: the items, or 1 if the batch is pooled.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

import fastloss._check as _check
import fastloss._engines.regions as engine
from fastloss._check import FLOAT32, FLOAT64, Array, refuse
from fastloss._plans.base import REDUCTIONS, Plan, Result, Terms, refuse_outside
from fastloss._plans.weights import Care, exponent_of, scaled, weighed, weights_of_terms
from fastloss._threads import get_num_threads

Floats = npt.NDArray[np.float64]
MOST_CLASSES = 2**24  # which a float32 still tells apart
MOST_SORTED = 2**32
LEAST = 5e-324  # of the numbers above 0


# ---- the arguments ------------------------------------------------------------------------------------------------------


@dataclass
class Regions:
    """Checked arguments of a loss of regions: predictions, targets, and which entries count."""

    x: Array
    axis: int  # of the classes, from 0; -1 if there is none
    target: Array
    kind: str  # of engine.TARGETS
    activation: str | None
    pooled: bool
    first: int  # class that counts: 1 without background
    ignore: int | None
    widened: bool = False  # computed in float64 whatever the arrays are

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
        return self.widened or _check.is_wide(self.x.dtype, self.target.dtype if self.kind == "soft" else self.x.dtype)

    def shape(self, per_class: bool) -> tuple[int, ...]:
        """Of the values: items (unless pooled), classes that count (if there is an axis of them)."""
        classes = (self.classes - self.first,) if per_class and self.axis >= 0 else ()
        return (() if self.pooled else (self.items,)) + classes

    def class_weights(self, value: Any) -> Floats | None:
        return None if value is None else _check.class_weights("class_weight", value, self.classes)

    def arguments(self) -> tuple[Array, int, Array, int, str | None]:
        """What every function of _regions takes first."""
        return self.x, self.axis, self.target, engine.TARGETS[self.kind], self.activation

    def options(self) -> dict[str, Any]:
        """And the keywords."""
        return {"pooled": self.pooled, "ignore_index": self.ignore, "wide": self.wide, "threads": get_num_threads()}

    def judge(self, found: Any) -> None:
        """Refuse what a kernel has found."""
        position, of_class, low, high, t_low, t_high = found
        if position >= 0:
            self._refuse_label(position, of_class)
        if low < 0 or high > 1:
            refuse_outside("logits", self.x, 0.0, 1.0, "probabilities in [0, 1] (activation is None)")
        if t_low < 0 or t_high > 1:
            refuse_outside("target", self.target, 0.0, 1.0, "probabilities in [0, 1]")

    def _refuse_label(self, position: int, of_class: int) -> NoReturn:
        shape = self.target.shape
        if self.kind == "masks" and self.axis >= 0:
            shape = shape[: self.axis] + shape[self.axis + 1 :]
        at = [int(k) for k in np.unravel_index(position, shape)]
        if self.kind == "masks" and self.axis >= 0:
            at.insert(self.axis, of_class)
        expected = f"class indices in [0, {self.classes})" if self.kind == "index" else "labels 0 or 1"
        if self.ignore is not None:
            expected += f", or {self.ignore} (ignored)"
        label = int(self.target[tuple(at)])
        hint = _check.outside(label, self.classes, self.target) if self.kind == "index" else ""
        if self.kind == "masks" and label == 255:
            hint = "masks of 0 and 255 are masks of 0 and 1 after target > 0"
        refuse(IndexError, "target", expected, label, tuple(at), hint)


def regions(
    logits: Any,
    target: Any,
    axis: Any,
    activation: Any,
    pooled: bool,
    include_background: Any,
    ignore_index: Any,
    soft: bool = True,
) -> Regions:
    """Check the arguments that all losses of regions share; `soft`: whether targets may be probabilities."""
    x = _check.array("logits", logits)
    if activation is not None:
        _check.one_of("activation", activation, ("softmax", "sigmoid"))
    if axis is None:
        index = -1
        if activation == "softmax":
            refuse(ValueError, "activation", "'sigmoid' or None where axis is None", repr(activation))
    else:
        index = _check.axis_of(x, axis, "logits")
    if x.ndim < (2 if index < 0 else 3):
        beside = "" if index < 0 else " beside the class axis"
        refuse(ValueError, "logits", f"an axis of items and at least one spatial axis{beside}", f"shape {x.shape}")
    kept = x.shape if index < 0 else x.shape[:index] + x.shape[index + 1 :]
    classes = x.shape[index] if index >= 0 else 1
    if classes > MOST_CLASSES:
        refuse(ValueError, "logits", f"at most {MOST_CLASSES} classes", classes)
    first = 0 if _check.flag("include_background", include_background) else 1
    if first >= classes:
        refuse(ValueError, "include_background", "True where there is only one class", include_background)
    ignore = _check.ignored_label(ignore_index)
    t, kind = _target(target, x.shape, kept, soft)
    if ignore is not None and kind != "index":
        if kind == "soft":
            refuse(TypeError, "target", "integer labels where there is an ignore_index", f"{t.dtype} of shape {t.shape}")
        if activation == "softmax":
            expected = f"class indices of shape {kept} where there is an ignore_index beside a softmax"
            refuse(ValueError, "target", expected, f"shape {t.shape}")
    return Regions(x, index, t, kind, activation, pooled, first, ignore)


def _target(target: Any, shape: tuple[int, ...], kept: tuple[int, ...], soft: bool) -> tuple[Array, str]:
    """A label map, or masks or probabilities in the shape of the logits; and which of them."""
    t = _check.array("target", target)
    if t.shape == shape:
        if t.dtype.kind in "iub":
            return t, "masks"
        if soft:
            return t, "soft"
        refuse(TypeError, "target", "integer labels", f"{t.dtype} of shape {t.shape}")
    if t.shape != kept:
        either = f"class indices of shape {kept}, or masks of shape {shape}" if kept != shape else f"masks of shape {shape}"
        hint = "" if kept == shape else _check.meant("target", t, kept, shape, "class indices")
        refuse(ValueError, "target", f"{either}, for logits of shape {shape}", f"shape {t.shape}", hint=hint)
    if shape != kept and math.prod(shape) == math.prod(kept) > 0:  # an index could be 0 only: a mask is meant
        refuse(
            ValueError, "target", f"a mask of shape {shape} where there is one class", f"shape {t.shape}",
            hint=f"target.reshape({shape})",
        )  # fmt: skip
    return _check.labels("target", t, kept, shape), "index"


# ---- losses as functions of the sums ------------------------------------------------------------------------------------


class Sums(NamedTuple):
    """What predictions p and targets t add up to, (G, C) each, in the order of engine.SUMS."""

    tp: Floats  # p t
    fp: Floats  # p (1 - t)
    fn: Floats  # (1 - p) t
    volume: Floats  # t
    entropy: Floats
    counted: Floats  # entries that are not ignored

    @classmethod
    def of(cls, table: Floats) -> Sums:
        return cls._make(table.transpose(2, 0, 1))


Backward = Callable[[Floats], Floats]  # weights of the values -> slopes with respect to the sums, (G, C, SLOPES)
Form = Callable[[Sums], tuple[Floats, Backward]]  # values, (G, C) or (G,), 0 where all sums are


def _over(a: Floats | float, b: Floats) -> Floats:
    """a / b, 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(b.shape), where=b != 0)


def _times(factor: float, a: Floats) -> Floats:
    return a if factor == 1.0 else factor * a  # each operation on ten numbers is a twentieth of a call


def _ratio(wrong: Floats, right: Floats) -> tuple[Floats, Callable[[], tuple[Floats, Floats]]]:
    """wrong / (wrong + right), and its slopes with respect to both; 0 where both are 0.

    That is 1 - right / (wrong + right), but no difference of nearly equal numbers.
    """
    whole = np.maximum(wrong + right, LEAST)

    def slopes() -> tuple[Floats, Floats]:
        return right / whole / whole, -wrong / whole / whole

    return wrong / whole, slopes


def overlap(hits: float, alpha: float, beta: float, smooth: float, gamma: float = 1.0) -> Form:
    """((alpha FP + beta FN) / (hits TP + alpha FP + beta FN + smooth)) ** gamma."""
    most = max(alpha, beta, smooth)
    if most > 2.0**500:  # only their proportions matter
        hits, alpha, beta, smooth = (math.ldexp(x, -math.frexp(most)[1]) for x in (hits, alpha, beta, smooth))

    def form(s: Sums) -> tuple[Floats, Backward]:
        right = _times(hits, s.tp)
        value, slopes = _ratio(_times(alpha, s.fp) + _times(beta, s.fn), right + smooth if smooth else right)

        def backward(weight: Floats) -> Floats:
            if gamma != 1.0:
                outer = np.where(value > 0, gamma * np.where(value > 0, value, 1.0) ** (gamma - 1), 0.0)
                weight = weight * (outer + (value - value))  # nan stays
            miss, hit = (weight * slope for slope in slopes())
            return np.stack([hit * hits, miss * alpha, miss * beta, np.zeros_like(hit)], axis=-1)

        return value if gamma == 1.0 else value**gamma, backward

    return form


def generalized(first: int, smooth: float) -> Form:
    """Dice of all classes from `first` on together, each weighed by 1 / volume^2; absent ones as the smallest present."""

    def form(s: Sums) -> tuple[Floats, Backward]:
        present = s.volume > 0
        w = np.where(present, 1 / np.where(present, s.volume, 1.0) ** 2, 0.0)
        w[:, :first] = 0.0
        most = w.max(axis=1, keepdims=True)
        w = np.where(present, w, np.where(most > 0, most, 1.0))
        w[:, :first] = 0.0
        wrong, right = ((w * x)[:, first:].sum(axis=1) for x in (s.fp + s.fn, 2 * s.tp))
        value, slopes = _ratio(wrong, right + smooth)

        def backward(weight: Floats) -> Floats:
            d_wrong, d_right = slopes()
            miss, hit = (weight * d_wrong)[:, None] * w, (weight * d_right)[:, None] * 2 * w
            return np.stack([hit, miss, miss, np.zeros_like(w)], axis=-1)

        return value, backward

    return form


def with_entropy(dice: Form, r: Regions, dice_weight: float, entropy_weight: float, class_weight: Floats | None) -> Form:
    """dice_weight x dice + entropy_weight x mean cross-entropy, of each class's entries (sigmoid) or of positions (softmax)."""

    def form(s: Sums) -> tuple[Floats, Backward]:
        value, dice_backward = dice(s)
        w = 1.0 if class_weight is None else class_weight
        if r.activation == "sigmoid":
            w, of = 1.0, s.counted
            total = s.entropy
        else:
            of = s.counted[:, :1] if class_weight is None else (s.volume * w).sum(axis=1, keepdims=True)
            total = np.add.reduce(s.entropy * w, axis=1, keepdims=True)
        each = _over(1.0, of)

        def backward(weight: Floats) -> Floats:
            slopes = dice_backward(dice_weight * weight)
            slopes[:, : r.first, :] = 0.0
            upstream = weight if r.activation == "sigmoid" else weight[:, r.first :].sum(axis=1, keepdims=True)
            slopes[..., 3] = entropy_weight * upstream * each * w
            return slopes

        return dice_weight * value + entropy_weight * (total * each), backward

    return form


# ---- plans --------------------------------------------------------------------------------------------------------------


class Overlap(Plan):
    """A loss of regions that is a function of the sums. Values are of items and classes, or (`per_class` False) of items."""

    __slots__ = ("class_weight", "entropy", "form", "per_class", "plain", "r", "shape", "squared")

    def __init__(
        self,
        r: Regions,
        form: Form | None,
        sample_weight: Any,
        reduction: str,
        *,
        squared: bool = False,
        entropy: bool = False,
        class_weight: Floats | None = None,
        per_class: bool = True,
        far: bool = False,
    ) -> None:
        _check.one_of("reduction", reduction, REDUCTIONS)
        self.r, self.form, self.reduction = r, form, reduction
        self.x, self.wide = r.x, r.wide
        self.squared, self.entropy, self.per_class, self.class_weight = squared, entropy, per_class, class_weight
        self.shape, self.plain = r.shape(per_class), False
        self.sample_weight, _, self.care = weighed(sample_weight, self.shape, reduction)
        if class_weight is not None:
            self._care_for_classes(class_weight)
        if far:
            self.widened()

    # ---- with care ------------------------------------------------------------------------------------------------------

    def _plan_of(self, care: Care, wide: bool, mean: bool) -> Plan:
        plan = super()._plan_of(care, wide, mean)
        assert isinstance(plan, Overlap)
        plan.r = replace(plan.r, widened=plan.wide)
        return plan

    def _care_for_classes(self, weights: Floats) -> None:
        low, high = float(weights.min()), float(weights.max())
        if low > 0 and not exponent_of(high):
            return
        care = self.care or Care()
        if low == 0 and care.keep is None:
            care = care._replace(keep=np.broadcast_to(np.bool_(True), self.shape))
        self.care = care

    def _scale_weights(self, exponent: int) -> None:
        super()._scale_weights(exponent)
        if self.class_weight is not None and not self.entropy:
            high = float(self.class_weight.max(initial=0.0))
            self.class_weight = scaled(self.class_weight, exponent_of(high))

    def _entries(self, keep: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which items and classes are kept, (G, K) or (G, 1)."""
        with_classes = keep.ndim == (1 if self.r.pooled else 2)
        kept = keep.reshape(self.r.groups, keep.shape[-1] if with_classes else 1)
        if self.per_class and self.class_weight is not None:
            kept = kept & (self.class_weight[self.r.first :] > 0)
        return kept

    def _items(self, keep: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which items have anything that is kept."""
        return np.broadcast_to(self._entries(keep).any(axis=1), (self.r.items,))

    def _without(self, keep: npt.NDArray[np.bool_]) -> Overlap:
        """Items of weight 0 are taken out. Of the others, what belongs to a class of weight 0 alone is made 0."""
        plan, r = copy.copy(self), self.r
        entries, items = self._entries(keep), self._items(keep)
        x, target = r.x, r.target
        if not items.all():
            x, target = _take(x, r, items), _take(target, r, items)
            if not r.pooled:
                entries = entries[items]
                if self.sample_weight is not None:
                    plan.sample_weight = self.sample_weight[items]
        if not entries.all() and self.per_class:
            lost = ~entries if not r.pooled else np.broadcast_to(~entries, (int(items.sum()), entries.shape[1]))
            if r.activation != "softmax":
                x = _cleared(x, r, lost)
            if r.kind != "index" and not (self.entropy and r.activation == "softmax"):
                target = _cleared(target, r, lost)
        plan.r = replace(r, x=x, target=target)
        plan.x, plan.shape = x, plan.r.shape(self.per_class)
        return plan

    def _place(self, care: Care, parts: Sequence[Array], wholes: Sequence[Array]) -> None:
        assert care.keep is not None
        whole = wholes[0]
        whole[...] = 0
        _item_first(whole, self.r)[self._items(care.keep)] = _item_first(parts[0], self.r)

    def _spread(self, care: Care, values: Array) -> Array:
        assert care.keep is not None
        full = np.zeros(self.shape, values.dtype)
        if self.r.pooled:
            full[...] = values if self._entries(care.keep).any() else 0
        else:
            full[self._items(care.keep)] = values
        return full

    def _origin(self, care: Care, at: tuple[int, ...]) -> tuple[int, ...]:
        assert care.keep is not None
        axis = 1 if self.r.axis == 0 and len(at) == self.x.ndim else 0
        return (*at[:axis], int(np.flatnonzero(self._items(care.keep))[at[axis]]), *at[axis + 1 :])

    def _inputs(self) -> tuple[Array | None, ...]:
        return self.x, self.r.target, self.sample_weight

    def run(self, value: bool, grad: bool, hess: bool, out: Any = None) -> Result:
        if self.care is not None:
            return self._run_with_care(value, grad, hess, out)
        gradient = self._buffer(out) if grad else None
        values, counted, backward = self._measure(grad)
        weight, total = self._weights(counted)
        if gradient is not None and self.x.size:
            self._slopes(backward, self._full(weight * self._scale(total)), gradient)
        if not value:
            return None, gradient, None
        weighted = values if weight is counted else _weighted(weight, values)
        if self.reduction == "none":
            with np.errstate(over="ignore"):
                return weighted.reshape(self.shape).astype(self._values_dtype()), gradient, None
        with np.errstate(over="ignore", invalid="ignore"):
            summed = float(np.add.reduce(weighted, axis=None))
        return self._reduced(summed, total, out), gradient, None

    def terms(self) -> Terms:
        if self.care is not None:
            return self._terms_with_care()
        values, counted, _ = self._measure(False)
        weight = self._weights(counted)[0].astype(FLOAT64)
        return _weighted(weight, values).reshape(self.shape), weight.reshape(self.shape)

    def _weights(self, counted: npt.NDArray[np.bool_]) -> tuple[Array, float]:
        """Of the values, (G, K) or (G,), 0 where nothing counts; and their sum. `counted` itself if none were given."""
        if self.class_weight is None and self.sample_weight is None:
            return counted, float(np.count_nonzero(counted))
        weight = counted.astype(FLOAT64)
        if self.class_weight is not None:
            weight *= self.class_weight[self.r.first :]
        if self.sample_weight is not None:
            weight *= self.sample_weight.astype(FLOAT64).reshape(weight.shape)
        return weight, float(weight.sum())

    def _full(self, weight: Floats) -> Floats:
        """Weights of all classes."""
        if not self.per_class or not self.r.first:
            return weight
        return np.concatenate([np.zeros_like(weight[:, : self.r.first]), weight], axis=1)

    def _measure(self, slopes: bool) -> tuple[Floats, npt.NDArray[np.bool_], Any]:
        """Values, 0 where nothing counts; which of them do; and what the gradient is made with."""
        r = self.r
        if self.x.size:
            table, self.plain, *found = engine.sums(
                *r.arguments(), squared=self.squared, entropy=self.entropy,
                by_class=self.entropy and self.class_weight is not None, **r.options(),
            )  # fmt: skip
            r.judge(found)
        else:
            table = np.zeros((r.groups, r.classes, engine.SUMS))
        s = Sums.of(table)
        assert self.form is not None
        with np.errstate(all="ignore"):  # nan and infinity are answers
            values, backward = self.form(s)
        if self.per_class:
            return values[:, r.first :], s.counted[:, r.first :] > 0, backward
        return values, np.asarray(s.counted.any(axis=1)), backward

    def _slopes(self, backward: Any, weight: Floats, gradient: Array) -> None:
        r = self.r
        with np.errstate(all="ignore"):
            slopes: Floats = backward(weight)
        if not self.entropy:
            slopes[:, : r.first] = 0.0
        engine.slopes(
            *r.arguments(), self._coefficients(slopes), gradient, plain=self.plain, squared=self.squared, entropy=self.entropy,
            **r.options(),
        )  # fmt: skip

    def _coefficients(self, slopes: Floats) -> Array:
        """In the computation's type, finite where they are."""
        if self.wide:
            return np.ascontiguousarray(slopes)
        most = float(np.finfo(FLOAT32).max)
        return np.ascontiguousarray(np.clip(slopes, -most, most), FLOAT32)


def _weighted(weight: Array, values: Floats) -> Floats:
    """weight x values; 0 where the weight is 0, whatever the value."""
    with np.errstate(over="ignore"):
        return np.multiply(weight, values, out=np.zeros(values.shape), where=weight != 0)


def _item_first(a: Array, r: Regions) -> Array:
    """The array, of the logits' shape or of that without classes, with its items along the first axis."""
    return np.swapaxes(a, 0, 1) if r.axis == 0 and a.ndim == r.x.ndim else a


def _take(a: Array, r: Regions, items: npt.NDArray[np.bool_]) -> Array:
    """Some of the items."""
    return _item_first(_item_first(a, r)[items], r)


def _cleared(a: Array, r: Regions, lost: npt.NDArray[np.bool_]) -> Array:
    """A copy, of the logits' shape, in which items' classes (of those that count) are 0."""
    clear = a.copy()
    if r.axis < 0:
        clear[lost[:, 0]] = 0
    else:
        _item_first(np.moveaxis(clear, r.axis, 1) if r.axis else clear, r)[:, r.first :][lost] = 0
    return clear


class Lovasz(Overlap):
    """The Lovasz extension of the Jaccard loss."""

    __slots__ = ("only_present",)

    def __init__(
        self, r: Regions, sample_weight: Any, reduction: str, *, class_weight: Floats | None, only_present: bool
    ) -> None:
        super().__init__(r, None, sample_weight, reduction, class_weight=class_weight)
        self.only_present = only_present

    def _measure(self, slopes: bool) -> tuple[Floats, npt.NDArray[np.bool_], Any]:
        r = self.r
        table, given = np.zeros((r.groups, r.classes, 3)), None
        if self.x.size // (r.groups * r.classes or 1) >= MOST_SORTED:
            refuse(ValueError, "logits", f"fewer than {MOST_SORTED} positions to be sorted at once", f"shape {self.x.shape}")
        if self.x.size:
            table, given, *found = engine.lovasz(
                *r.arguments(), only_present=self.only_present, with_slopes=slopes, **r.options()
            )
            r.judge(found)
        values, volume, counted = (table[:, r.first :, k] for k in range(3))
        return values, (volume if self.only_present else counted) > 0, given

    def _slopes(self, backward: Any, weight: Floats, gradient: Array) -> None:
        r = self.r
        slopes = np.zeros((*weight.shape, engine.SLOPES))
        slopes[..., 0] = weight
        engine.slopes(*r.arguments(), self._coefficients(slopes), gradient, given=backward, **r.options())


class Boxes(Plan):
    """Pairs of boxes: one value for each."""

    __slots__ = ("eps", "form", "kind", "shape", "t", "total_weight")

    def __init__(self, boxes: Any, target: Any, kind: Any, form: Any, eps: float, sample_weight: Any, reduction: str) -> None:
        _check.one_of("reduction", reduction, REDUCTIONS)
        self.kind = engine.BOXES[_check.one_of("kind", kind, tuple(engine.BOXES))]
        self.form = _check.one_of("format", form, tuple(engine.FORMATS))
        self.x, self.t = _check.array("boxes", boxes), _check.array("target", target)
        if self.x.ndim == 0 or self.x.shape[-1] != 4:
            refuse(ValueError, "boxes", "four numbers along the last axis", f"shape {self.x.shape}")
        if self.t.shape != self.x.shape:
            refuse(ValueError, "target", f"the shape of boxes, {self.x.shape}", f"shape {self.t.shape}")
        self.wide = _check.is_wide(self.x.dtype, self.t.dtype)
        self.eps, self.reduction, self.shape = eps, reduction, self.x.shape[:-1]
        self.sample_weight, self.total_weight, self.care = weighed(sample_weight, self.shape, reduction)
        if eps:  # the kernel looks where boxes must have an area
            self._refuse_inverted()

    def _inputs(self) -> tuple[Array | None, ...]:
        return self.x, self.t, self.sample_weight

    def _without(self, keep: npt.NDArray[np.bool_]) -> Boxes:
        plan = copy.copy(self)
        plan.x, plan.t = self.x[keep], self.t[keep]
        plan.sample_weight = None if self.sample_weight is None else self.sample_weight[keep]
        plan.shape = plan.x.shape[:-1]
        return plan

    def run(self, value: bool, grad: bool, hess: bool, out: Any = None) -> Result:
        if self.care is not None:
            return self._run_with_care(value, grad, hess, out)
        values = np.empty(self.shape, self._values_dtype()) if value and self.reduction == "none" else None
        gradient = self._buffer(out) if grad else None
        if out is not None and self.eps == 0:
            self._kernel(1.0, None, None)  # the boxes, before anything of the caller's is written
        total = self._kernel(self._scale(self.total_weight), values, gradient)
        if not value:
            return None, gradient, None
        return (self._reduced(total, self.total_weight, out) if values is None else values), gradient, None

    def terms(self) -> Terms:
        if self.care is not None:
            return self._terms_with_care()
        values = np.empty(self.shape, FLOAT64)
        self._kernel(1.0, values, None)
        return values, weights_of_terms(self.sample_weight, self.shape)

    def _kernel(self, scale: float, values: Array | None, grad: Array | None) -> float:
        if self.x.size == 0:
            return 0.0
        total, bad, of_target = engine.boxes(
            self.kind, self.x, self.t, form=engine.FORMATS[self.form], eps=self.eps, weight=self.sample_weight, scale=scale,
            values=values, grad=grad, threads=get_num_threads(),
        )  # fmt: skip
        if bad >= 0:
            self._refuse_box("target" if of_target else "boxes", bad)
        return total

    def _refuse_inverted(self) -> None:
        """Refuse corners the wrong way round and negative sizes, of pairs that count; nan is neither."""
        for name, a in (("boxes", self.x), ("target", self.t)):
            wrong = ((a[..., 2:] < a[..., :2]) if self.form == "xyxy" else (a[..., 2:] < 0)).any(axis=-1)
            if self.sample_weight is not None:
                wrong &= self.sample_weight > 0
            if wrong.any():
                self._refuse_box(name, int(np.argmax(wrong)))

    def _refuse_box(self, name: str, position: int) -> NoReturn:
        at = tuple(int(k) for k in np.unravel_index(position, self.shape))
        box = [float(v) for v in (self.t if name == "target" else self.x)[at]]
        corners, least = self.form == "xyxy", ">=" if self.eps else ">"
        sides = f"x2 {least} x1 and y2 {least} y1" if corners else f"width and height {least} 0"
        width, height = (box[2] - box[0], box[3] - box[1]) if corners else box[2:]
        hint = ""
        if not (width < 0 or height < 0):
            hint = "eps=1e-7 takes boxes without an area"
        elif corners:
            hint = "a corner and a size are format='xywh'"
        refuse(ValueError, name, sides if self.eps else f"{sides} (where eps is 0)", box, at, hint)

"""The plan of overlaps: losses that are functions of a few sums over the positions of each item and class.

Shapes: `N` items, `C` classes, `K` of them that count, `G` groups: the items, or 1 if the batch is pooled.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

import fastloss._check as _check
import fastloss._engines.regions as engine
from fastloss._check import FLOAT32, FLOAT64, PROBABILITIES, Array, Domain, Regions, refuse
from fastloss._plans.base import Plan, refuse_outside
from fastloss._plans.weights import Adjustments, Mask, exponent_of, scaled
from fastloss._threads import get_num_threads

Floats = npt.NDArray[np.float64]
LEAST = 5e-324  # of the numbers above 0
_UNIT = Domain("logits", "probabilities in [0, 1] (activation is None)", 0.0, 1.0)


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


Backward = Callable[[Floats], Floats]  # weights of the values -> derivatives with respect to the sums, (G, C, SLOPES)
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


# ---- the plan -----------------------------------------------------------------------------------------------------------


class Overlap(Plan):
    """A loss of regions that is a function of the sums. Values are of items and classes, or (`per_class` False) of items."""

    __slots__ = ("class_weight", "entropy", "form", "per_class", "plain", "r", "squared")

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
        extreme: bool = False,
    ) -> None:
        self.r, self.form = r, form
        self.x, self.wide = r.x, r.wide
        self.squared, self.entropy, self.per_class, self.class_weight = squared, entropy, per_class, class_weight
        self.plain = False
        self._weigh(sample_weight, r.shape(per_class), reduction)
        if class_weight is not None:
            self._adjust_to_classes(class_weight)
        if extreme:
            self.widened()

    # ---- adjusted plans -------------------------------------------------------------------------------------------------

    def _adjust_to_classes(self, weights: Floats) -> None:
        low, high = float(weights.min()), float(weights.max())
        if low > 0 and not exponent_of(high):
            return
        adjustments = self.adjustments or Adjustments()
        if low == 0 and adjustments.keep is None:
            adjustments = adjustments._replace(keep=np.broadcast_to(np.bool_(True), self.shape))
        self.adjustments = adjustments

    def _scale_weights(self, exponent: int) -> None:
        super()._scale_weights(exponent)
        if self.class_weight is not None and not self.entropy:
            high = float(self.class_weight.max(initial=0.0))
            self.class_weight = scaled(self.class_weight, exponent_of(high))

    def _entries(self, keep: Mask) -> Mask:
        """Which items and classes are kept, (G, K) or (G, 1)."""
        with_classes = keep.ndim == (1 if self.r.pooled else 2)
        kept = keep.reshape(self.r.groups, keep.shape[-1] if with_classes else 1)
        if self.per_class and self.class_weight is not None:
            kept = kept & (self.class_weight[self.r.first :] > 0)
        return kept

    def _items(self, keep: Mask) -> Mask:
        """Which items have anything that is kept."""
        return np.broadcast_to(self._entries(keep).any(axis=1), (self.r.items,))

    def _without(self, keep: Mask) -> Overlap:
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

    def _scatter_derivatives(self, keep: Mask, parts: Sequence[Array], wholes: Sequence[Array]) -> None:
        whole = wholes[0]
        whole[...] = 0
        _item_first(whole, self.r)[self._items(keep)] = _item_first(parts[0], self.r)

    def _scatter(self, keep: Mask, values: Array) -> Array:
        full = np.zeros(self.shape, values.dtype)
        if self.r.pooled:
            full[...] = values if self._entries(keep).any() else 0
        else:
            full[self._items(keep)] = values
        return full

    def _original_index(self, keep: Mask, at: tuple[int, ...]) -> tuple[int, ...]:
        axis = 1 if self.r.axis == 0 and len(at) == self.x.ndim else 0
        return (*at[:axis], int(np.flatnonzero(self._items(keep))[at[axis]]), *at[axis + 1 :])

    def _inputs(self) -> tuple[Array | None, ...]:
        return self.x, self.r.target, self.sample_weight

    # ---- computing ------------------------------------------------------------------------------------------------------

    def _compute(
        self, want: int, values: Array | None, gradients: Sequence[Array], hessians: Sequence[Array]
    ) -> tuple[float, float]:
        losses, counted, backward = self._measure(bool(gradients))
        weight, total = self._weights(counted)
        if gradients and self.x.size:
            self._write_gradient(backward, self._with_background(weight * self._scale(total)), gradients[0])
        weighted = losses if weight is counted else _weighted(weight, losses)
        return self._folded(weighted.reshape(self.shape) if values is not None else weighted, values), total

    def _compute_terms(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        losses, counted, _ = self._measure(False)
        weight = self._weights(counted)[0].astype(FLOAT64)
        values[...] = _weighted(weight, losses).reshape(self.shape)
        return weight.reshape(self.shape)

    def _weights(self, counted: Mask) -> tuple[Array, float]:
        """Of the values, (G, K) or (G,), 0 where nothing counts; and their sum. `counted` itself if none were given."""
        if self.class_weight is None and self.sample_weight is None:
            return counted, float(np.count_nonzero(counted))
        weight = counted.astype(FLOAT64)
        if self.class_weight is not None:
            weight *= self.class_weight[self.r.first :]
        if self.sample_weight is not None:
            weight *= self.sample_weight.astype(FLOAT64).reshape(weight.shape)
        return weight, float(weight.sum())

    def _with_background(self, weight: Floats) -> Floats:
        """Weights of all classes."""
        if not self.per_class or not self.r.first:
            return weight
        return np.concatenate([np.zeros_like(weight[:, : self.r.first]), weight], axis=1)

    def _engine_arguments(self) -> tuple[tuple[Array, int, Array, int, str | None], dict[str, Any]]:
        """What every function of the engine takes first, and the keywords."""
        r = self.r
        options = {"pooled": r.pooled, "ignore_index": r.ignore, "wide": self.wide, "threads": get_num_threads()}
        return (r.x, r.axis, r.target, engine.TARGETS[r.kind], r.activation), options

    def _measure(self, with_gradient: bool) -> tuple[Floats, Mask, Any]:
        """Values, 0 where nothing counts; which of them do; and what the gradient is made of."""
        r = self.r
        if self.x.size:
            arguments, options = self._engine_arguments()
            table, self.plain, *found = engine.sums(
                *arguments, squared=self.squared, entropy=self.entropy,
                by_class=self.entropy and self.class_weight is not None, **options,
            )  # fmt: skip
            raise_found(r, found)
        else:
            table = np.zeros((r.groups, r.classes, engine.SUMS))
        s = Sums.of(table)
        assert self.form is not None
        with np.errstate(all="ignore"):  # nan and infinity are results
            values, backward = self.form(s)
        if self.per_class:
            return values[:, r.first :], s.counted[:, r.first :] > 0, backward
        return values, np.asarray(s.counted.any(axis=1)), backward

    def _write_gradient(self, backward: Any, weight: Floats, gradient: Array) -> None:
        with np.errstate(all="ignore"):
            by_sums: Floats = backward(weight)
        if not self.entropy:
            by_sums[:, : self.r.first] = 0.0
        arguments, options = self._engine_arguments()
        engine.slopes(
            *arguments, self._coefficients(by_sums), gradient, plain=self.plain, squared=self.squared, entropy=self.entropy,
            **options,
        )  # fmt: skip

    def _coefficients(self, by_sums: Floats) -> Array:
        """In the computation's type, finite where they are."""
        if self.wide:
            return np.ascontiguousarray(by_sums)
        most = float(np.finfo(FLOAT32).max)
        return np.ascontiguousarray(np.clip(by_sums, -most, most), FLOAT32)


def _weighted(weight: Array, values: Floats) -> Floats:
    """weight x values; 0 where the weight is 0, whatever the value."""
    with np.errstate(over="ignore"):
        return np.multiply(weight, values, out=np.zeros(values.shape), where=weight != 0)


def raise_found(r: Regions, found: Sequence[Any]) -> None:
    """Refuse what a kernel has found: a label, or extremes of the predictions and of the targets."""
    position, of_class, low, high, t_low, t_high = found
    if position >= 0:
        _refuse_label(r, position, of_class)
    if low < 0 or high > 1:
        refuse_outside(_UNIT, r.x)
    if t_low < 0 or t_high > 1:
        refuse_outside(PROBABILITIES, r.target)


def _refuse_label(r: Regions, position: int, of_class: int) -> NoReturn:
    shape = r.target.shape
    if r.kind == "masks" and r.axis >= 0:
        shape = shape[: r.axis] + shape[r.axis + 1 :]
    at = [int(k) for k in np.unravel_index(position, shape)]
    if r.kind == "masks" and r.axis >= 0:
        at.insert(r.axis, of_class)
    expected = f"class indices in [0, {r.classes})" if r.kind == "index" else "labels 0 or 1"
    if r.ignore is not None:
        expected += f", or {r.ignore} (ignored)"
    label = int(r.target[tuple(at)])
    hint = _check.outside(label, r.classes, r.target) if r.kind == "index" else ""
    if r.kind == "masks" and label == 255:
        hint = "masks of 0 and 255 are masks of 0 and 1 after target > 0"
    refuse(IndexError, "target", expected, label, tuple(at), hint)


def _item_first(a: Array, r: Regions) -> Array:
    """The array, of the logits' shape or of that without classes, with its items along the first axis."""
    return np.swapaxes(a, 0, 1) if r.axis == 0 and a.ndim == r.x.ndim else a


def _take(a: Array, r: Regions, items: Mask) -> Array:
    """Some of the items."""
    return _item_first(_item_first(a, r)[items], r)


def _cleared(a: Array, r: Regions, lost: Mask) -> Array:
    """A copy, of the logits' shape, in which items' classes (of those that count) are 0."""
    clear = a.copy()
    if r.axis < 0:
        clear[lost[:, 0]] = 0
    else:
        _item_first(np.moveaxis(clear, r.axis, 1) if r.axis else clear, r)[:, r.first :][lost] = 0
    return clear

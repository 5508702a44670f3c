"""The plan of losses of rows of logits through a softmax. May import `base` and what it may."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

import fastloss._check as _check
import fastloss._engines.rows as engine
from fastloss._check import FLOAT32, FLOAT64, PROBABILITIES, Array, refuse
from fastloss._plans.base import VALUE, Plan, index_of_kept, kept_rows, refuse_outside
from fastloss._plans.weights import SAFE_EXPONENT, Adjustments, Mask, exponent_of, scaled, total_of
from fastloss._threads import get_num_threads


class Rows(Plan):
    """A loss with one value per row along `axis`; `kind` of engine.KINDS. `special`: further arguments of engine.rows."""

    __slots__ = ("axis", "class_weight", "counted", "ignore", "kind", "smoothing", "special", "target")

    def __init__(
        self,
        kind: str,
        x: Array,
        axis: int,
        target: Array,
        sample_weight: Any,
        reduction: str,
        *,
        wide: bool = False,
        class_weight: npt.NDArray[np.float64] | None = None,
        ignore: int | None = None,
        smoothing: float = 0.0,
        special: Mapping[str, Any] = MappingProxyType({}),
        extreme: bool = False,
    ) -> None:
        self.special = special
        self.counted: float | None = None  # the sum of weights, if it is known already
        self.kind, self.x, self.axis, self.target = kind, x, axis, target
        self.wide, self.ignore, self.smoothing, self.class_weight = wide, ignore, smoothing, class_weight
        self._weigh(sample_weight, x.shape[:axis] + x.shape[axis + 1 :], reduction)
        if extreme:
            self.widened()
        if class_weight is not None:
            self._adjust_to_classes(class_weight)

    def _adjust_to_classes(self, weights: npt.NDArray[np.float64]) -> None:
        """What class weights ask for: a label of weight 0 leaves its sample out; spread targets are weighed in the type of the
        logits."""
        low, high = float(weights.min()), float(weights.max())
        adjustments = self.adjustments or Adjustments()
        if low == 0 and adjustments.keep is None and self._one_class():
            adjustments = adjustments._replace(keep=np.broadcast_to(np.bool_(True), self.shape))
        extreme = exponent_of(high) != 0
        if not self.wide and not self._one_class():
            least = low or float(weights[weights > 0].min(initial=high))
            wide = least < high * 2.0**-SAFE_EXPONENT or (extreme and self.reduction != "mean")
            adjustments = adjustments._replace(wide=adjustments.wide or wide)
        self.adjustments = adjustments if extreme else adjustments.or_none()

    def _one_class(self) -> bool:
        """Whether a sample's target is one class, whose weight is the sample's."""
        return self.kind != "soft" and self.smoothing == 0

    def _scale_weights(self, exponent: int) -> None:
        super()._scale_weights(exponent)
        if self.class_weight is not None:
            high = float(self.class_weight.max(initial=0.0))
            if exponent_of(high):
                self.class_weight = scaled(self.class_weight, math.frexp(high)[1])

    def _without(self, keep: Mask) -> Rows:
        """Labels of samples left out are those of an ignored class, and nothing else of them is read; rows of probabilities are
        gathered."""
        plan = copy.copy(self)
        if self.kind != "soft":
            if self.x.size:
                plan.target, plan.ignore = self._ignored(keep)
            return plan
        plan.x, plan.target = (kept_rows(a, self.axis, keep) for a in (self.x, self.target))
        plan.sample_weight = None if self.sample_weight is None else self.sample_weight[keep]
        plan.axis, plan.shape = 1, plan.x.shape[:1]
        return plan

    def _ignored(self, keep: Mask) -> tuple[Array, int]:
        """The labels, with an ignored one in place of those left out; and that one."""
        target = self.target
        if target.dtype == np.uint64:
            target = np.minimum(target, np.uint64(2**63 - 1))
        target = target.astype(np.int64)  # a copy
        if self.class_weight is not None and self._one_class():
            keep = keep & ~np.isin(target, np.flatnonzero(self.class_weight == 0))
        label = self.ignore
        if label is None:
            label = max(-(2**63), int(target[keep].min(initial=0)) - 1)  # below all that count
        target[~keep] = label
        return target, label

    def _scatter_derivatives(self, keep: Mask, parts: Sequence[Array], wholes: Sequence[Array]) -> None:
        super()._scatter_derivatives(keep, parts, [np.moveaxis(whole, self.axis, -1) for whole in wholes])

    def _original_index(self, keep: Mask, at: tuple[int, ...]) -> tuple[int, ...]:
        place = index_of_kept(keep, at[0])
        return place[: self.axis] + at[1:] + place[self.axis :]

    def _inputs(self) -> Sequence[Array | None]:
        return self.x, self.target, self.sample_weight

    def _compute(
        self, want: int, values: Array | None, gradients: Sequence[Array], hessians: Sequence[Array]
    ) -> tuple[float, float]:
        scale, weight, mixed = 1.0, math.nan, False
        if self.reduction == "mean":
            mixed = self.class_weight is not None and self._averages_class_weights()
            if mixed or want != VALUE:
                weight = self._denominator()
                scale = self._scale(weight)
        grad, hess = gradients[0] if gradients else None, hessians[0] if hessians else None
        total, summed = self._kernel(scale / self.special.get("temperature", 1.0), values, None, grad, hess)
        return total, weight if mixed else summed

    def _compute_terms(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if not self._unweighted():
            weights = np.empty(self.shape, FLOAT64)
            self._kernel(1.0, values, weights, None, None)
            return self._per_mass(weights) if self._averages_class_weights() else weights
        counted = self._kernel(1.0, values, None, None, None)[1]
        if counted == self.total_weight:
            return np.broadcast_to(FLOAT64.type(1), self.shape)
        ones: npt.NDArray[np.float64] = (self.target != self.ignore).astype(FLOAT64)
        return ones

    def _averages_class_weights(self) -> bool:
        """Whether a sample's weight is a mean of class weights."""
        return self.kind == "soft" and self.class_weight is not None

    def _per_mass(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """sum_j w_j t_j of each sample, divided by sum_j t_j: the mean of the class weights that its target takes, which is 1 if
        they are all 1. Of a target of nothing but zeros, that of all classes."""
        target = self.target.astype(FLOAT32) if _check.is_bfloat16(self.target.dtype) else self.target
        mass = target.sum(axis=self.axis, dtype=FLOAT64)
        assert self.class_weight is not None
        empty = mass == 0
        with np.errstate(invalid="ignore"):
            mean = weights / np.where(empty, 1.0, mass)
        if empty.any():
            own = 1.0 if self.sample_weight is None else self.sample_weight[empty]
            mean[empty] = own * self.class_weight.mean()
        return mean

    def _unweighted(self) -> bool:
        """Whether every sample weighs 1, or 0 where it is ignored."""
        return self.class_weight is None and self.sample_weight is None

    def _denominator(self) -> float:
        """The sum of weights, known before the first derivative is written."""
        if self._averages_class_weights():
            weights = np.empty(self.shape, FLOAT64)
            self._kernel(1.0, None, weights, None, None)
            return total_of(self._per_mass(weights))
        if self.kind == "soft" or not self._weighed_by_label():
            return self.total_weight
        return self._weight_of_labels() if self.counted is None else self.counted

    def _weight_of_labels(self) -> float:
        """The sum of the weights of labels, each of which is checked."""
        return self._kernel(1.0, None, None, None, None, kind="labels")[1]

    def _check_before_writing(self) -> None:
        if self.kind != "soft":
            self.counted = self._weight_of_labels()
        elif not self.special.get("log_target"):
            refuse_outside(PROBABILITIES, self.target)

    def _weighed_by_label(self) -> bool:
        """Whether a sample's weight in the mean depends on its label."""
        return self.ignore is not None or self.class_weight is not None

    def _labels(self) -> tuple[str, int]:
        """What errors call the labels, and how many there are."""
        return "class indices", self.x.shape[self.axis]

    def _kernel(
        self,
        scale: float,
        values: Array | None,
        weights: Array | None,
        grad: Array | None,
        hess: Array | None,
        kind: str | None = None,
    ) -> tuple[float, float]:
        if self.x.size == 0:
            return 0.0, 0.0
        total, weight, bad, low, high = engine.rows(
            engine.KINDS[kind or self.kind], self.x, self.axis, target=self.target, class_weight=self.class_weight,
            ignore_index=self.ignore, smoothing=self.smoothing, sample_weight=self.sample_weight, wide=self.wide,
            scale=scale, values=values, weights=weights, grad=grad, hess=hess, threads=get_num_threads(), **self.special,
        )  # fmt: skip
        if bad >= 0:
            self._refuse_label(bad)
        if low < 0 or high > 1:
            refuse_outside(PROBABILITIES, self.target)
        return total, weight

    def _refuse_label(self, position: int) -> NoReturn:
        at = tuple(int(k) for k in np.unravel_index(position, self.shape))
        label, (noun, count) = int(self.target[at]), self._labels()
        refuse(IndexError, "target", f"{noun} in [0, {count})", label, at, _check.outside(label, count, self.target))

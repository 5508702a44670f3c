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
from fastloss._check import FLOAT32, FLOAT64, Array, refuse
from fastloss._plans.base import REDUCTIONS, Plan, Result, Terms, derivative_dtype, kept_rows, place_of, refuse_outside
from fastloss._plans.weights import FAR, Care, exponent_of, scaled, total_of, weighed
from fastloss._threads import get_num_threads


class Rows(Plan):
    """A loss with one value per row along `axis`; `kind` of engine.KINDS. `special`: further arguments of engine.rows."""

    __slots__ = ("axis", "class_weight", "ignore", "kind", "shape", "smoothing", "special", "target", "total_weight")

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
        class_weight: Any = None,
        ignore: int | None = None,
        smoothing: float = 0.0,
        special: Mapping[str, Any] = MappingProxyType({}),
        far: bool = False,
    ) -> None:
        _check.one_of("reduction", reduction, REDUCTIONS)
        self.special = special
        self.kind, self.x, self.axis, self.target = kind, x, axis, target
        self.wide, self.ignore, self.smoothing, self.reduction = wide, ignore, smoothing, reduction
        self.shape = x.shape[:axis] + x.shape[axis + 1 :]
        self.class_weight = None
        self.sample_weight, self.total_weight, self.care = weighed(sample_weight, self.shape, reduction)
        if far:
            self.widened()
        if class_weight is not None:
            self.class_weight = _check.class_weights("class_weight", class_weight, x.shape[axis])
            self._care_for_classes(self.class_weight)

    def _care_for_classes(self, weights: npt.NDArray[np.float64]) -> None:
        """What class weights ask for: a label of weight 0 leaves its sample out; spread targets are weighed in the type of the
        logits."""
        low, high = float(weights.min()), float(weights.max())
        care = self.care or Care()
        if low == 0 and care.keep is None and self._one_class():
            care = care._replace(keep=np.broadcast_to(np.bool_(True), self.shape))
        far = exponent_of(high) != 0
        if not self.wide and not self._one_class():
            least = low or float(weights[weights > 0].min(initial=high))
            care = care._replace(wide=care.wide or least < high * 2.0**-FAR or (far and self.reduction != "mean"))
        self.care = care if far else care.or_none()

    def _one_class(self) -> bool:
        """Whether a sample's target is one class, whose weight is the sample's."""
        return self.kind != "soft" and self.smoothing == 0

    def _scale_weights(self, exponent: int) -> None:
        super()._scale_weights(exponent)
        if self.class_weight is not None:
            high = float(self.class_weight.max(initial=0.0))
            if exponent_of(high):
                self.class_weight = scaled(self.class_weight, math.frexp(high)[1])

    def _without(self, keep: npt.NDArray[np.bool_]) -> Rows:
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

    def _ignored(self, keep: npt.NDArray[np.bool_]) -> tuple[Array, int]:
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

    def _place(self, care: Care, parts: Sequence[Array], wholes: Sequence[Array]) -> None:
        super()._place(care, parts, [np.moveaxis(whole, self.axis, -1) for whole in wholes])

    def _origin(self, care: Care, at: tuple[int, ...]) -> tuple[int, ...]:
        place = place_of(care, at[0])
        return place[: self.axis] + at[1:] + place[self.axis :]

    def _inputs(self) -> Sequence[Array | None]:
        return self.x, self.target, self.sample_weight

    def run(self, value: bool, grad: bool, hess: bool, out: Any = None) -> Result:
        if self.care is not None:
            return self._run_with_care(value, grad, hess, out)
        values = gradient = hessian = None
        if value and self.reduction == "none":
            values = np.empty(self.shape, self._values_dtype())
        if grad:
            gradient = self._buffer(out)
        if hess:
            hessian = np.empty(self.x.shape, derivative_dtype(self.x))
        scale, weight = 1.0, math.nan
        mixed = self._mixes_weights() and self.reduction == "mean"
        if mixed or ((grad or hess) and (self.reduction == "mean" or out is not None)):
            weight = self._denominator(out is not None)
            scale = self._scale(weight)
        total, summed = self._kernel(scale / self.special.get("temperature", 1.0), values, None, gradient, hessian)
        if not value:
            return None, gradient, hessian
        return (self._reduced(total, weight if mixed else summed, out) if values is None else values), gradient, hessian

    def terms(self) -> Terms:
        if self.care is not None:
            return self._terms_with_care()
        values = np.empty(self.shape, FLOAT64)
        if not self._weighs_one():
            weights = np.empty(self.shape, FLOAT64)
            self._kernel(1.0, values, weights, None, None)
            return values, self._per_mass(weights) if self._mixes_weights() else weights
        counted = self._kernel(1.0, values, None, None, None)[1]
        if counted == self.total_weight:
            return values, np.broadcast_to(FLOAT64.type(1), self.shape)
        return values, (self.target != self.ignore).astype(FLOAT64)

    def _mixes_weights(self) -> bool:
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

    def _weighs_one(self) -> bool:
        """Whether every sample weighs 1, or 0 where it is ignored."""
        return self.class_weight is None and self.sample_weight is None

    def _denominator(self, careful: bool) -> float:
        """The sum of weights, known before the first derivative is written. `careful` also checks the whole target."""
        if self.kind == "soft":
            if careful and not self.special.get("log_target"):
                refuse_outside("target", self.target, 0.0, 1.0, "probabilities in [0, 1]")
            if not self._mixes_weights():
                return self.total_weight
            weights = np.empty(self.shape, FLOAT64)
            self._kernel(1.0, None, weights, None, None)
            return total_of(self._per_mass(weights))
        counts = self._labels_weigh()
        if not counts and not careful:
            return self.total_weight
        counted = self._kernel(1.0, None, None, None, None, kind="labels")[1]
        return counted if counts else self.total_weight

    def _labels_weigh(self) -> bool:
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
            refuse_outside("target", self.target, 0.0, 1.0, "probabilities in [0, 1]")
        return total, weight

    def _refuse_label(self, position: int) -> NoReturn:
        at = tuple(int(k) for k in np.unravel_index(position, self.shape))
        label, (noun, count) = int(self.target[at]), self._labels()
        refuse(IndexError, "target", f"{noun} in [0, {count})", label, at, _check.outside(label, count, self.target))

"""Plans of the losses of vectors: pairs and triplets of rows along the last axis, one value for each.

Shapes: `N` rows of `D` elements.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import fastloss._check as _check
import fastloss._engines.vectors as engine
from fastloss._check import FLOAT64, Array, refuse
from fastloss._plans.base import NO_SLOPES, REDUCTIONS, Plan, Result, Terms, refuse_outside, unpacked
from fastloss._plans.weights import Care, weighed, weights_of_terms
from fastloss._threads import get_num_threads


def rows(names: tuple[str, ...], values: tuple[Any, ...]) -> tuple[Array, ...]:
    """Real arrays of one shape, with vectors along the last axis."""
    arrays = tuple(_check.array(name, value) for name, value in zip(names, values, strict=True))
    first = arrays[0]
    if first.ndim == 0:
        refuse(ValueError, names[0], "vectors along the last axis", "a scalar")
    for name, a in zip(names[1:], arrays[1:], strict=True):
        if a.shape != first.shape:
            refuse(ValueError, name, f"the shape of {names[0]}, {first.shape}", f"shape {a.shape}")
    return arrays


Label = tuple[str, Array, str, float, float, bool]  # name, labels, what is expected, low, high, of their size


def bits(name: str, value: Any, of: str, shape: tuple[int, ...]) -> Label:
    """Integers 0 and 1, or bools, one for each row."""
    expected = "labels 0 or 1 (from -1 and 1: t > 0)"
    return name, _check.labels(name, value, shape[:-1], shape, "labels 0 or 1", of), expected, 0.0, 1.0, False


def signs(name: str, value: Any, of: str, shape: tuple[int, ...]) -> Label:
    """Numbers -1 and 1, one for each row."""
    a = _check.array(name, value)
    if a.shape != shape[:-1]:
        refuse(ValueError, name, f"labels -1 or 1 of shape {shape[:-1]} for {of} of shape {shape}", f"shape {a.shape}")
    return name, a, "labels -1 or 1 (from 0 and 1: 2 * t - 1)", 1.0, 1.0, True


class Vectors(Plan):
    """One value for each row: `loss` of engine.vectors on two or three arrays, and perhaps a label for each row. `options`:
    further arguments of engine.vectors."""

    __slots__ = ("arrays", "domain", "label", "loss", "options", "shape", "total_weight")

    def __init__(
        self,
        loss: str,
        arrays: tuple[Array, ...],
        label: Label | None,
        sample_weight: Any,
        reduction: str,
        *,
        far: bool = False,
        **options: Any,
    ) -> None:
        _check.one_of("reduction", reduction, REDUCTIONS)
        self.loss, self.arrays, self.options, self.reduction = loss, arrays, options, reduction
        self.domain, self.label = label, None if label is None else label[1]
        self.x = arrays[0]
        self.wide = any(_check.is_wide(self.x.dtype, a.dtype) for a in arrays[1:])
        self.shape = self.x.shape[:-1]
        self.sample_weight, self.total_weight, self.care = weighed(sample_weight, self.shape, reduction)
        if far:
            self.widened()
        if self.care is None:
            self._check_label()

    def _check_label(self) -> None:
        if self.label is not None and self.domain is not None:
            name, _, expected, low, high, size = self.domain
            refuse_outside(name, self.label, low, high, expected, size)

    def _inputs(self) -> Sequence[Array | None]:
        return *self.arrays, self.label, self.sample_weight

    def _arguments(self) -> Sequence[Array]:
        return self.arrays

    def _plan_of(self, care: Care, wide: bool, mean: bool) -> Plan:
        plan = super()._plan_of(care, wide, mean)
        assert isinstance(plan, Vectors)
        self._at_home(care, plan._check_label)
        return plan

    def _without(self, keep: npt.NDArray[np.bool_]) -> Vectors:
        plan = copy.copy(self)
        plan.arrays = tuple(a[keep] for a in self.arrays)
        plan.label = None if self.label is None else self.label[keep]
        plan.sample_weight = None if self.sample_weight is None else self.sample_weight[keep]
        plan.x, plan.shape = plan.arrays[0], plan.arrays[0].shape[:-1]
        return plan

    def run(self, value: bool, grad: bool, hess: bool, out: Any = None) -> Result:
        if self.care is not None:
            return self._run_with_care(value, grad, hess, out)
        values = np.empty(self.shape, self._values_dtype()) if value and self.reduction == "none" else None
        gradients = self._buffers(out, self.arrays) if grad else NO_SLOPES
        total = self._kernel(self._scale(self.total_weight), values, gradients)
        if not value:
            return None, unpacked(gradients), None
        return (self._reduced(total, self.total_weight, out) if values is None else values), unpacked(gradients), None

    def terms(self) -> Terms:
        if self.care is not None:
            return self._terms_with_care()
        values = np.empty(self.shape, FLOAT64)
        self._kernel(1.0, values, NO_SLOPES)
        return values, weights_of_terms(self.sample_weight, self.shape)

    def _kernel(self, scale: float, values: Array | None, gradients: Sequence[Array]) -> float:
        if math.prod(self.shape) == 0:
            return 0.0
        return engine.vectors(
            self.loss, self.arrays, self.label, wide=self.wide, weight=self.sample_weight, scale=scale, values=values,
            grads=tuple(gradients), threads=get_num_threads(), **self.options,
        )  # fmt: skip

"""Plans of the losses of vectors: pairs and triplets of rows along the last axis, one value for each.

Shapes: `N` rows of `D` elements.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import fastloss._check as _check
import fastloss._engines.vectors as engine
from fastloss._check import Array, Domain
from fastloss._plans.base import Plan, refuse_outside
from fastloss._plans.weights import Mask
from fastloss._threads import get_num_threads


class Vectors(Plan):
    """One value for each row: `loss` of engine.vectors on two or three arrays, and perhaps a label for each row. `options`:
    further arguments of engine.vectors."""

    __slots__ = ("arrays", "domain", "label", "loss", "options")

    def __init__(
        self,
        loss: str,
        arrays: tuple[Array, ...],
        label: Array | None,
        sample_weight: Any,
        reduction: str,
        *,
        domain: Domain | None = None,
        extreme: bool = False,
        **options: Any,
    ) -> None:
        self.loss, self.arrays, self.label, self.domain, self.options = loss, arrays, label, domain, options
        self.x = arrays[0]
        self.wide = any(_check.is_wide(self.x.dtype, a.dtype) for a in arrays[1:])
        self._weigh(sample_weight, self.x.shape[:-1], reduction)
        if extreme:
            self.widened()
        if self.adjustments is None:
            self._check_label()

    def _check_label(self) -> None:
        if self.label is not None and self.domain is not None:
            refuse_outside(self.domain, self.label)

    def _inputs(self) -> Sequence[Array | None]:
        return *self.arrays, self.label, self.sample_weight

    def _arguments(self) -> Sequence[Array]:
        return self.arrays

    def _adjusted(self, wide: bool, *, mean: bool, remove: bool = True) -> Any:
        plan = super()._adjusted(wide, mean=mean, remove=remove)
        self._with_original_index(plan._check_label)
        return plan

    def _without(self, keep: Mask) -> Vectors:
        plan = copy.copy(self)
        plan.arrays = tuple(a[keep] for a in self.arrays)
        plan.label = None if self.label is None else self.label[keep]
        plan.sample_weight = None if self.sample_weight is None else self.sample_weight[keep]
        plan.x, plan.shape = plan.arrays[0], plan.arrays[0].shape[:-1]
        return plan

    def _compute(
        self, want: int, values: Array | None, gradients: Sequence[Array], hessians: Sequence[Array]
    ) -> tuple[float, float]:
        total = 0.0
        if math.prod(self.shape):
            total = engine.vectors(
                self.loss, self.arrays, self.label, wide=self.wide, weight=self.sample_weight,
                scale=self._scale(self.total_weight), values=values, grads=tuple(gradients), threads=get_num_threads(),
                **self.options,
            )  # fmt: skip
        return total, self.total_weight

"""The plan of losses of pairs of boxes: one value for each pair."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

import fastloss._check as _check
import fastloss._engines.boxes as engine
from fastloss._check import Array
from fastloss._plans.base import Plan
from fastloss._plans.weights import Mask
from fastloss._threads import get_num_threads


class Boxes(Plan):
    """Pairs of boxes: one value for each."""

    __slots__ = ("eps", "form", "kind", "t")

    def __init__(self, boxes: Array, target: Array, kind: str, form: str, eps: float, sample_weight: Any, reduction: str) -> None:
        self.x, self.t, self.kind, self.form, self.eps = boxes, target, engine.BOXES[kind], form, eps
        self.wide = _check.is_wide(boxes.dtype, target.dtype)
        self._weigh(sample_weight, boxes.shape[:-1], reduction)
        if eps:  # else the kernel finds boxes without an area
            self._refuse_inverted()

    def _inputs(self) -> tuple[Array | None, ...]:
        return self.x, self.t, self.sample_weight

    def _without(self, keep: Mask) -> Boxes:
        plan = copy.copy(self)
        plan.x, plan.t = self.x[keep], self.t[keep]
        plan.sample_weight = None if self.sample_weight is None else self.sample_weight[keep]
        plan.shape = plan.x.shape[:-1]
        return plan

    def _check_before_writing(self) -> None:
        if self.eps == 0:
            self._kernel(1.0, None, None)

    def _compute(
        self, want: int, values: Array | None, gradients: Sequence[Array], hessians: Sequence[Array]
    ) -> tuple[float, float]:
        weight = self.total_weight
        return self._kernel(self._scale(weight), values, gradients[0] if gradients else None), weight

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
        _check.refuse_box(name, self.t if name == "target" else self.x, at, self.form, self.eps)

"""Plans of losses of rows of scores with one label each, and of cumulative links, whose thresholds all samples share.

Shapes: `N` samples, `C` classes, `K` levels.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import fastloss._check as _check
import fastloss._engines.scores as engine
from fastloss._check import FLOAT64, Array, refuse
from fastloss._plans.base import REDUCTIONS, Plan, Result, Terms, unpacked
from fastloss._plans.rows import Rows
from fastloss._plans.weights import Care, weighed
from fastloss._threads import get_num_threads


class Scores(Rows):
    """A loss with one value per row of scores and an integer label: `kind` of engine.LOSSES.

    `levels` is how many labels there are, `noun` what errors call them; with `tasks` a sample's weight counts the conditional
    tasks it takes part in.
    """

    __slots__ = ("level_weight", "levels", "noun", "parameters", "tasks")

    def __init__(
        self,
        kind: str,
        x: Array,
        axis: int,
        target: Array,
        sample_weight: Any,
        reduction: str,
        *,
        levels: int,
        noun: str,
        parameters: tuple[float, ...] = (),
        class_weight: Any = None,
        level_weight: Any = None,
        ignore: int | None = None,
        tasks: bool = False,
        far: bool = False,
    ) -> None:
        wide = _check.is_wide(x.dtype, x.dtype)
        super().__init__(
            kind, x, axis, target, sample_weight, reduction, wide=wide, class_weight=class_weight, ignore=ignore, far=far
        )  # fmt: skip
        self.levels, self.noun, self.parameters, self.tasks = levels, noun, parameters, tasks
        self.level_weight: Array | None = None
        if level_weight is not None:
            self.level_weight = _check.class_weights("level_weight", level_weight, x.shape[axis])

    def _labels_weigh(self) -> bool:
        return super()._labels_weigh() or self.tasks

    def _weighs_one(self) -> bool:
        return super()._weighs_one() and not self.tasks

    def _labels(self) -> tuple[str, int]:
        return self.noun, self.levels

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
        total, weight, bad = engine.scores(
            None if kind == "labels" else engine.LOSSES[self.kind], self.x, self.axis, self.target, levels=self.levels,
            parameters=self.parameters, tasks=self.tasks, class_weight=self.class_weight, level_weight=self.level_weight,
            ignore_index=self.ignore, sample_weight=self.sample_weight, wide=self.wide, scale=scale, values=values,
            weights=weights, grad=grad, hess=hess, threads=get_num_threads(),
        )  # fmt: skip
        if bad >= 0:
            self._refuse_label(bad)
        return total, weight


class CumulativeLink(Plan):
    """A score per sample against thresholds that all samples share; `link` of engine.LINKS."""

    __slots__ = ("cuts", "link", "target", "thresholds", "total_weight")

    def __init__(self, link: str, score: Array, thresholds: Array, target: Array, sample_weight: Any, reduction: str) -> None:
        _check.one_of("reduction", reduction, REDUCTIONS)
        self.link, self.x, self.target, self.thresholds = engine.LINKS[link], score, target, thresholds
        self.wide = _check.is_wide(score.dtype, thresholds.dtype)
        self.cuts = np.array(thresholds, dtype=FLOAT64)  # a copy: out may be the thresholds themselves
        self.reduction = reduction
        self.sample_weight, self.total_weight, self.care = weighed(sample_weight, score.shape, reduction)

    def _arguments(self) -> Sequence[Array]:
        return self.x, self.thresholds

    def _without(self, keep: npt.NDArray[np.bool_]) -> CumulativeLink:
        plan = copy.copy(self)
        plan.x, plan.target = self.x[keep], self.target[keep]
        plan.sample_weight = None if self.sample_weight is None else self.sample_weight[keep]
        return plan

    def _place(self, care: Care, parts: Sequence[Array], wholes: Sequence[Array]) -> None:
        super()._place(care, parts[:1], wholes[:1])
        wholes[1][...] = parts[1]

    def _inputs(self) -> Sequence[Array | None]:
        return self.x, self.thresholds, self.target, self.sample_weight

    def run(self, value: bool, grad: bool, hess: bool, out: Any = None) -> Result:
        if self.care is not None:
            return self._run_with_care(value, grad, hess, out)
        values = cut_grad = None
        gradients: Sequence[Array] = ()
        if value and self.reduction == "none":
            values = np.empty(self.x.shape, self._values_dtype())
        if grad:
            gradients = self._buffers(out, (self.x, self.thresholds))
            cut_grad = np.zeros(self.cuts.shape, FLOAT64)
            if out is not None:
                self._kernel(1.0, None, None, None, None)  # the labels, before anything of the caller's is written
        scale = self._scale(self.total_weight) if grad else 1.0
        total = self._kernel(scale, values, None, gradients[0] if grad else None, cut_grad)
        if grad:
            with np.errstate(over="ignore"):  # a sum over many samples may be too large for two bytes: inf, as elsewhere
                gradients[1][...] = cut_grad
        if not value:
            return None, unpacked(gradients), None
        return (self._reduced(total, self.total_weight, out) if values is None else values), unpacked(gradients), None

    def terms(self) -> Terms:
        if self.care is not None:
            return self._terms_with_care()
        values, weights = np.empty(self.x.shape, FLOAT64), np.empty(self.x.shape, FLOAT64)
        self._kernel(1.0, values, weights, None, None)
        return values, weights

    def _kernel(
        self, scale: float, values: Array | None, weights: Array | None, grad: Array | None, cut_grad: Array | None
    ) -> float:
        if self.x.size == 0:
            return 0.0
        total, bad = engine.cumulative_link(
            self.link, self.x, self.cuts, self.target, sample_weight=self.sample_weight, scale=scale, values=values,
            weights=weights, grad=grad, cut_grad=cut_grad, threads=get_num_threads(),
        )  # fmt: skip
        if bad >= 0:
            at = tuple(int(k) for k in np.unravel_index(bad, self.x.shape))
            label, count = int(self.target[at]), self.cuts.size + 1
            refuse(IndexError, "target", f"levels in [0, {count})", label, at, _check.outside(label, count, self.target))
        return total

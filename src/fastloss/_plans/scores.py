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
from fastloss._plans.base import Plan
from fastloss._plans.rows import Rows
from fastloss._plans.weights import Mask
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
        class_weight: npt.NDArray[np.float64] | None = None,
        level_weight: npt.NDArray[np.float64] | None = None,
        ignore: int | None = None,
        tasks: bool = False,
        extreme: bool = False,
    ) -> None:
        wide = _check.is_wide(x.dtype, x.dtype)
        super().__init__(
            kind, x, axis, target, sample_weight, reduction, wide=wide, class_weight=class_weight, ignore=ignore,
            extreme=extreme,
        )  # fmt: skip
        self.levels, self.noun, self.parameters, self.tasks = levels, noun, parameters, tasks
        self.level_weight = level_weight

    def _weighed_by_label(self) -> bool:
        return super()._weighed_by_label() or self.tasks

    def _unweighted(self) -> bool:
        return super()._unweighted() and not self.tasks

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

    __slots__ = ("cuts", "link", "target", "thresholds")

    def __init__(self, link: str, score: Array, thresholds: Array, target: Array, sample_weight: Any, reduction: str) -> None:
        self.link, self.x, self.target, self.thresholds = engine.LINKS[link], score, target, thresholds
        self.wide = _check.is_wide(score.dtype, thresholds.dtype)
        self.cuts = np.array(thresholds, dtype=FLOAT64)  # a copy: out may be the thresholds themselves
        self._weigh(sample_weight, score.shape, reduction)

    def _arguments(self) -> Sequence[Array]:
        return self.x, self.thresholds

    def _without(self, keep: Mask) -> CumulativeLink:
        plan = copy.copy(self)
        plan.x, plan.target = self.x[keep], self.target[keep]
        plan.shape = plan.x.shape
        plan.sample_weight = None if self.sample_weight is None else self.sample_weight[keep]
        return plan

    def _scatter_derivatives(self, keep: Mask, parts: Sequence[Array], wholes: Sequence[Array]) -> None:
        super()._scatter_derivatives(keep, parts[:1], wholes[:1])
        wholes[1][...] = parts[1]

    def _inputs(self) -> Sequence[Array | None]:
        return self.x, self.thresholds, self.target, self.sample_weight

    def _check_before_writing(self) -> None:
        self._kernel(1.0, None, None, None)

    def _compute(
        self, want: int, values: Array | None, gradients: Sequence[Array], hessians: Sequence[Array]
    ) -> tuple[float, float]:
        cut_grad = np.zeros(self.cuts.shape, FLOAT64) if gradients else None
        total = self._kernel(self._scale(self.total_weight), values, gradients[0] if gradients else None, cut_grad)
        if gradients:
            with np.errstate(over="ignore"):  # the sum over many samples may be too large for float16
                gradients[1][...] = cut_grad
        return total, self.total_weight

    def _kernel(self, scale: float, values: Array | None, grad: Array | None, cut_grad: Array | None) -> float:
        if self.x.size == 0:
            return 0.0
        total, bad = engine.cumulative_link(
            self.link, self.x, self.cuts, self.target, sample_weight=self.sample_weight, scale=scale, values=values,
            weights=None, grad=grad, cut_grad=cut_grad, threads=get_num_threads(),
        )  # fmt: skip
        if bad >= 0:
            at = tuple(int(k) for k in np.unravel_index(bad, self.x.shape))
            label, count = int(self.target[at]), self.cuts.size + 1
            refuse(IndexError, "target", f"levels in [0, {count})", label, at, _check.outside(label, count, self.target))
        return total

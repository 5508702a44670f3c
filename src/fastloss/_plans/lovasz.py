"""The plan of Lovasz's extension of the Jaccard loss, which sorts the errors of each item and class.

Shapes: as in `regions`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import fastloss._engines.lovasz as engine
import fastloss._engines.regions as regions_engine
from fastloss._check import Array, Regions, refuse
from fastloss._plans.regions import Overlap, raise_found
from fastloss._plans.weights import Mask

Floats = npt.NDArray[np.float64]
MOST_SORTED = 2**32


class Lovasz(Overlap):
    """The Lovasz extension of the Jaccard loss."""

    __slots__ = ("only_present",)

    def __init__(
        self, r: Regions, sample_weight: Any, reduction: str, *, class_weight: Floats | None, only_present: bool
    ) -> None:
        super().__init__(r, None, sample_weight, reduction, class_weight=class_weight)
        self.only_present = only_present

    def _measure(self, with_gradient: bool) -> tuple[Floats, Mask, Any]:
        r = self.r
        table, given = np.zeros((r.groups, r.classes, 3)), None
        if self.x.size // (r.groups * r.classes or 1) >= MOST_SORTED:
            refuse(ValueError, "logits", f"fewer than {MOST_SORTED} positions to be sorted at once", f"shape {self.x.shape}")
        if self.x.size:
            arguments, options = self._engine_arguments()
            table, given, *found = engine.lovasz(*arguments, only_present=self.only_present, with_slopes=with_gradient, **options)
            raise_found(r, found)
        values, volume, counted = (table[:, r.first :, k] for k in range(3))
        return values, (volume if self.only_present else counted) > 0, given

    def _write_gradient(self, backward: Any, weight: Floats, gradient: Array) -> None:
        by_sums = np.zeros((*weight.shape, regions_engine.SLOPES))
        by_sums[..., 0] = weight
        arguments, options = self._engine_arguments()
        regions_engine.slopes(*arguments, self._coefficients(by_sums), gradient, given=backward, **options)

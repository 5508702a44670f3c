"""What an evaluation reports: plain numbers, a dictionary, JSON, or a table to read.

May import the standard library alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Index = int | tuple[int, ...]
Key = int | str


@dataclass(frozen=True)
class Summary:
    """Some samples, summarised.

    `mean` is the sum of weight x loss over the sum of weight; `sum` is the former, `weight` the
    latter, all three correctly rounded. `count` samples had a weight other than 0, and the loss
    of `nan_count` samples was nan.
    """

    mean: float
    sum: float
    weight: float
    count: int
    nan_count: int


@dataclass(frozen=True)
class Hard:
    """One of the hardest samples: where it is, and its loss as `reduction="none"` gives it."""

    index: Index
    value: float


@dataclass(frozen=True)
class LossResult(Summary):
    """One loss over all samples, over each group, and its hardest samples."""

    name: str
    groups: Mapping[Key, Summary] = field(default_factory=dict)
    worst: Sequence[Hard] = ()
    worst_by: str = ""  # the loss that ranks them: another one for a metric such as perplexity

    def __float__(self) -> float:
        return self.mean


@dataclass(frozen=True)
class EvaluationResult(Mapping[str, LossResult]):
    """The results by the name of the loss: `result["cross_entropy"].mean`."""

    rows: int
    losses: Mapping[str, LossResult]

    def __getitem__(self, name: str) -> LossResult:
        return self.losses[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.losses)

    def __len__(self) -> int:
        return len(self.losses)

    def to_dict(self) -> dict[str, Any]:
        """Everything as dictionaries, lists and numbers."""
        return {"rows": self.rows, "losses": {name: _plain(loss) for name, loss in self.items()}}

    def to_json(self, indent: int | None = 2) -> str:
        """Strict JSON: what is not finite becomes "NaN", "Infinity" or "-Infinity"."""
        return json.dumps(_finite(self.to_dict()), indent=indent, allow_nan=False)

    def __str__(self) -> str:
        return "\n\n".join([self._summary(), *self._groups(), *self._worst()])

    def _summary(self) -> str:
        rows = [(r.name, _number(r.mean), _number(r.sum), _number(r.weight), r.count, r.nan_count) for r in self.values()]
        return table(("loss", "mean", "sum", "weight", "count", "nan"), rows)

    def _groups(self) -> Iterator[str]:
        results = list(self.values())
        if keys := list(results[0].groups):
            rows = [(key, results[0].groups[key].count, *(_number(r.groups[key].mean) for r in results)) for key in keys]
            yield table(("group", "count", *(r.name for r in results)), rows)

    def _worst(self) -> Iterator[str]:
        for ranking in {r.worst_by: r.worst for r in self.values() if r.worst_by}.items():
            by, worst = ranking
            rows = [(str(hard.index), _number(hard.value)) for hard in worst]
            yield f"hardest by {by}\n" + table(("index", by), rows)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], right: bool = True) -> str:
    """Columns under their names: the first to the left, the others to the right if `right`."""
    cells = [header, *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if right and i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _number(x: float) -> str:
    return f"{x:.7g}"


def _plain(loss: LossResult) -> dict[str, Any]:
    plain = asdict(loss)
    plain["groups"] = [{"group": key, **asdict(group)} for key, group in loss.groups.items()]
    plain["worst"] = [asdict(hard) for hard in loss.worst]
    return plain


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value

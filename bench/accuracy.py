"""Worst errors in ULP, ours and each installed peer's: `python -m bench.accuracy`.

Values per sample (reduction "none") against mpmath, on inputs from easy to hard. An ULP is the
distance between neighbouring numbers of the type at the true value. N rows, C classes.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath
import numpy as np

import fastloss as fl

from .peers import numpy_formulas
from .rows import Array

OUTPUT = Path("bench/results/accuracy.json")
WORST = Path("bench/results/worst_errors.json")  # what the tests saw, loss by loss
CONTENDERS = ("fastloss", "NumPy", "PyTorch", "JAX/optax", "SciPy", "scikit-learn")
PRECISION = 60  # decimal digits


@dataclass(frozen=True)
class Case:
    title: str
    task: str
    draw: Callable[[np.random.Generator], tuple[Array, Array]]  # in float64


def _logits(n: int, c: int, spread: float) -> Callable[[np.random.Generator], tuple[Array, Array]]:
    return lambda rng: (spread * rng.standard_normal((n, c)), rng.integers(c, size=n))


def _won(rng: np.random.Generator) -> tuple[Array, Array]:
    """Rows whose label wins by 15 to 100 nats: a tiny loss, which ordinary formulas lose."""
    x, target = rng.standard_normal((200, 50)), rng.integers(50, size=200)
    rows = np.arange(len(x))
    x[rows, target] = x.max(axis=1) + rng.uniform(15, 100, len(x))
    return x, target


def _binary(low: float, high: float) -> Callable[[np.random.Generator], tuple[Array, Array]]:
    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        target = rng.integers(2, size=2000).astype(np.float64)
        return rng.uniform(low, high, 2000) * (2 * target - 1), target

    return draw


_BINARY = "binary_cross_entropy_with_logits"
CASES = (
    Case("cross_entropy, C = 10", "cross_entropy", _logits(500, 10, 1)),
    Case("cross_entropy, C = 1000", "cross_entropy", _logits(50, 1000, 1)),
    Case("cross_entropy, C = 131072", "cross_entropy", _logits(2, 131072, 1)),
    Case("cross_entropy, spread 40", "cross_entropy", _logits(200, 100, 40)),
    Case("cross_entropy, won by 15 to 100 nats", "cross_entropy", _won),
    Case(f"{_BINARY}, within 5", _BINARY, _binary(-5, 5)),
    Case(f"{_BINARY}, right by 15 to 80 nats", _BINARY, _binary(15, 80)),
)


def _truth(task: str, x: Array, target: Array) -> list[mpmath.mpf]:
    """Log-sum-exp of the other classes' distance to the label, exactly enough for any float."""
    if task == _BINARY:
        x, target = np.stack([np.zeros_like(x), x], axis=1), target.astype(int)
    return [
        mpmath.log1p(
            mpmath.fsum(mpmath.exp(mpmath.mpf(float(v)) - mpmath.mpf(float(row[label]))) for j, v in enumerate(row) if j != label)
        )
        for row, label in zip(x, target, strict=True)
    ]


def _values(contender: str, task: str, x: Array, target: Array) -> Array:
    """This contender's losses, one per sample, in the type of x; ImportError if not installed."""
    binary = task == _BINARY
    function: Any
    if contender == "fastloss":
        return np.asarray(getattr(fl, task)(x, target, reduction="none"))
    if contender == "NumPy":
        return numpy_formulas.VALUES[task](x, target)
    if contender == "PyTorch":
        import torch

        function = getattr(torch.nn.functional, task)
        return np.asarray(function(*map(torch.from_numpy, (x, target)), reduction="none"))
    if contender == "JAX/optax":
        import jax
        import optax

        jax.config.update("jax_enable_x64", True)
        function = optax.sigmoid_binary_cross_entropy
        if not binary:
            function = optax.softmax_cross_entropy_with_integer_labels
        return np.asarray(function(jax.numpy.asarray(x), jax.numpy.asarray(target)))
    if contender == "SciPy":
        from scipy import special

        if binary:
            return np.where(target == 1, -special.log_expit(x), -special.log_expit(-x))
        log_probs = special.log_softmax(x, axis=1)
        return np.asarray(-np.take_along_axis(log_probs, target[:, None], 1)[:, 0])
    from sklearn._loss import loss as losses

    make = losses.HalfBinomialLoss() if binary else losses.HalfMultinomialLoss(n_classes=x.shape[1])
    return np.asarray(make.loss(target.astype(x.dtype), x))


def worst_ulp(values: Array, truth: list[mpmath.mpf]) -> float:
    """The largest |value - truth| over the spacing of the type at the truth."""
    near = np.array([float(t) for t in truth]).astype(values.dtype)
    gaps = np.spacing(near)
    errors = [abs(mpmath.mpf(float(v)) - t) / mpmath.mpf(float(gap)) for v, t, gap in zip(values, truth, gaps, strict=True)]
    return float(max(errors))


def _rows() -> Iterator[dict[str, Any]]:
    for case in CASES:
        for dtype in (np.float32, np.float64):
            x, target = case.draw(np.random.default_rng(0))
            x = x.astype(dtype)
            target = target.astype(dtype) if target.dtype.kind == "f" else target
            truth = _truth(case.task, x, target)
            errors: dict[str, float] = {}
            for contender in CONTENDERS:
                try:
                    errors[contender] = worst_ulp(_values(contender, case.task, x, target), truth)
                except ImportError:
                    continue
            yield {
                "title": case.title,
                "dtype": np.dtype(dtype).name,
                "bound": fl.LOSSES[case.task].ulp[np.dtype(dtype).name],
                "errors": errors,
            }


FRONT = (  # the README's rows, in float32
    "cross_entropy, C = 1000",
    "cross_entropy, spread 40",
    "cross_entropy, won by 15 to 100 nats",
    f"{_BINARY}, within 5",
    f"{_BINARY}, right by 15 to 80 nats",
)


def front_markdown(rows: list[dict[str, Any]]) -> str:
    """The README's rows of the table."""
    lines = markdown([row for row in rows if row["title"] in FRONT and row["dtype"] == "float32"]).splitlines()
    cells = [line.split(" | ") for line in lines]
    return "\n".join(" | ".join([line[0], *line[2:]]) for line in cells)  # without the type


def markdown(rows: list[dict[str, Any]]) -> str:
    """The worst errors as a table; a dash where a peer was not installed."""
    header = ("worst error in ULP", "type", "promised", *CONTENDERS)
    lines = [header, ("---", "---", *["---:"] * (len(header) - 2))]
    for row in rows:
        errors = (row["errors"].get(contender) for contender in CONTENDERS)
        shown = ("-" if e is None else f"{e:.2g}" if e < 100 else f"{e:.0f}" if e < 1000 else f"{e:.0e}" for e in errors)
        lines.append((row["title"], row["dtype"], str(row["bound"]), *shown))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def worst_markdown(seen: list[list[Any]]) -> str:
    """The worst error the tests have seen of each loss, by type and CPU level."""
    worst = {(loss, dtype, level): ulps for loss, dtype, level, ulps in seen}
    levels = sorted({level for _, _, level in worst}, key=lambda level: (level != "baseline", level))
    header = ("loss", "type", "promised", *levels)
    lines = [header, ("---", "---", *["---:"] * (len(header) - 2))]
    for name, loss in sorted(fl.LOSSES.items()):
        for dtype, bound in loss.ulp.items():
            found = (worst.get((name, dtype, level)) for level in levels)
            lines.append((f"`{name}`", dtype, str(bound), *("-" if ulps is None else f"{ulps:.2f}" for ulps in found)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    with mpmath.workdps(PRECISION):
        rows = list(_rows())
    print(markdown(rows))
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"\nsaved: {OUTPUT}; `make bench-readme` brings the tables up to date")


if __name__ == "__main__":
    main()

"""Every loss of the registry at every derivative order, under pytest-benchmark.

    python -m pytest bench/test_registry_bench.py

These rows watch one machine over time (`--benchmark-autosave`, `--benchmark-compare`).
"""

from typing import Any

import numpy as np
import pytest

import fastloss as fl

POINTS, ROWS, BATCH = 2**18, 2**14, 2**10
ORDERS = {
    "value": 0,
    "grad": 1,
    "value_and_grad": 1,
    "hess": 2,
    "grad_and_hess": 2,
}


def _cases() -> list[Any]:
    return [
        pytest.param(name, order, id=f"{name}-{order}")
        for name, loss in fl.LOSSES.items()
        for order, derivative in ORDERS.items()
        if derivative <= loss.max_order
    ]


@pytest.mark.parametrize(("name", "order"), _cases())
def test_speed(benchmark: Any, name: str, order: str) -> None:
    loss = fl.LOSSES[name]
    size = POINTS if loss.pointwise else BATCH if loss.batchwise else ROWS
    arrays, options = loss.sample(np.random.default_rng(0), dtype="float32", size=size)
    benchmark.group = name
    shape = " x ".join(map(str, arrays[0].shape))
    benchmark.extra_info.update(title=f"{name} {shape}", order=order)
    benchmark(loss if order == "value" else getattr(loss, order), *arrays, **options)

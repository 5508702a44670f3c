"""Promise: the same bits for any number of threads and every run; threads that call at once are right."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from cases import (
    BATCHWISE,
    LOSSES,
    REGIONS,
    SEQUENCES,
    THREADS,
    Variant,
    as_tuple,
    every_dtype,
    every_loss,
    every_variant_or_corner,
    value_count,
)
from matrix import every

import fastloss as fl
import fastloss._kernels as _kernels

SEVERAL = 5 * 4096 + 11  # elements: some blocks, and no multiple of one


@pytest.fixture(autouse=True)
def _threads_for_little_work() -> Iterator[None]:
    """Share any work of more than one block, so that small arrays show what large ones do."""
    _kernels.set_parallel_from(1)
    yield
    _kernels.set_parallel_from()


def everything(loss: fl.Loss, args: tuple[Any, ...], kw: dict[str, Any]) -> list[bytes]:
    """Values and derivatives, alone and reduced, and the terms, as bytes."""
    results: list[Any] = list(loss.terms(*args, **kw))
    for reduction in ("none", "mean"):
        k = {**kw, "reduction": reduction}
        results.append(loss(*args, **k))
        if loss.max_order >= 1:
            value, grad = loss.value_and_grad(*args, **k)
            results += [value, *as_tuple(grad), *as_tuple(loss.grad(*args, **k))]
        if loss.max_order >= 2:
            grad, hess = loss.grad_and_hess(*args, **k)
            results += [*as_tuple(grad), *as_tuple(hess)]
    return [np.asarray(r).tobytes() for r in results]


def several(loss: fl.Loss) -> int:
    """A size of some blocks."""
    if loss in BATCHWISE:
        return 403
    if loss in SEQUENCES or loss in REGIONS:  # whose blocks are samples
        return 203
    return SEVERAL if loss.pointwise or loss.name == "nll" else 2003


def assert_same_bits(loss: fl.Loss, args: tuple[Any, ...], kw: dict[str, Any], counts: tuple[int, ...] = (1, 2, 7)) -> None:
    _kernels.widest_team()
    with fl.num_threads(1):
        expected = everything(loss, args, kw)
        assert everything(loss, args, kw) == expected
    assert _kernels.widest_team() == 1
    for n in counts[1:]:
        with fl.num_threads(n):
            assert fl.get_num_threads() == n
            assert everything(loss, args, kw) == expected, f"{n} threads"
        assert 1 < _kernels.widest_team() <= n


@every_dtype
@every_variant_or_corner
def test_same_bits(variant: Variant, dtype: str, isa: str) -> None:
    size = several(variant.loss)
    args, options = variant.draw(dtype, size)
    weight = np.random.default_rng(1).uniform(0, 2, value_count(variant.loss, size))
    counts = THREADS if variant.label == "default" else (1, 2, 7)
    assert_same_bits(variant.loss, args, {**options, "sample_weight": weight}, counts)


@every("kind", ["index", "smooth", "soft", "weighted"])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((2003, 33), -1),
        ((53, 1003), -1),
        ((3, 131_072), -1),
        ((1, 300_007), -1),
        ((3, 21, 29, 67), 1),
        ((33, 2011), 0),
        ((2, 100, 1031), 1),
    ],
    ids=str,
)
@every_dtype
def test_same_bits_of_cross_entropy(shape: tuple[int, ...], axis: int, dtype: str, kind: str) -> None:
    """Rows short and long, few and many, and classes on a strided axis."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape, np.float32).astype(dtype)
    x *= 3
    samples = shape[: axis % len(shape)] + shape[axis % len(shape) + 1 :]
    y: Any = rng.integers(0, shape[axis], samples)
    options: dict[str, Any] = {"axis": axis}
    if kind == "soft":
        y = rng.random(shape, np.float32).astype(dtype)
    elif kind == "smooth":
        options["label_smoothing"] = 0.1
    elif kind == "weighted":
        options["class_weight"] = rng.uniform(0.1, 2, shape[axis])
        options["sample_weight"] = rng.uniform(0, 2, samples)
    loss = fl.cross_entropy
    answers = []
    for n in THREADS:
        with fl.num_threads(n):
            grad, hess = loss.grad_and_hess(x, y, **options)
            none, value = loss(x, y, **options, reduction="none"), loss(x, y, **options)
            answers.append((none.tobytes(), value, hash(grad.tobytes()), hash(hess.tobytes())))
    assert answers == [answers[0]] * len(THREADS)


@every("function", [fl.logsumexp, fl.softmax, fl.log_softmax])
@every("case", [((2003, 33), -1), ((1, 300_007), -1), ((33, 2011), 0)])
def test_same_bits_of_functions(function: Any, case: tuple[tuple[int, int], int], isa: str) -> None:
    shape, axis = case
    x = np.random.default_rng(0).normal(0, 3, shape).astype(np.float32)
    answers = []
    for n in THREADS:
        with fl.num_threads(n):
            answers.append(function(x, axis=axis).tobytes())
    assert answers == [answers[0]] * len(THREADS)


@every_loss
def test_same_bits_of_half_precision(loss: fl.Loss) -> None:
    args, options = loss.sample(np.random.default_rng(0), size=several(loss))
    low = tuple(a.astype(np.float16) if a.dtype == np.float32 else a for a in args)
    assert_same_bits(loss, low, options)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_work_does_run_in_parallel() -> None:
    """Else the tests above would compare a serial loop with itself."""
    if not fl.show_config(mode="dicts")["openmp"]:
        pytest.skip("built without OpenMP")
    code = """
import os, numpy as np, fastloss as fl
threads = lambda: len(os.listdir("/proc/self/task"))
fl.set_num_threads(5)
x = np.zeros(64, np.float32); before = threads()
fl.mse(x, x); serial = threads()
x = np.zeros(1_000_003, np.float32)
fl.mse(x, x); pointwise = threads()
fl.cross_entropy(np.zeros((20011, 33), np.float32), np.zeros(20011, int)); rows = threads()
print(serial - before, pointwise - before, rows - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "4", "4"]


def test_eight_python_threads_at_once() -> None:
    """Every loss from eight threads, each with its own thread team, gives the bits of a call alone."""
    calls = [(loss, *loss.sample(np.random.default_rng(0), size=several(loss))) for loss in LOSSES]
    fl.set_num_threads(3)
    expected = [everything(*call) for call in calls]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda call: everything(*call), 2 * calls)) == 2 * expected


def test_errors_from_eight_python_threads_at_once() -> None:
    x = np.zeros((100_003, 5), np.float32)

    def wrong(i: int) -> str:
        y = np.zeros(100_003, np.int64)
        y[1000 * i] = 5 + i
        with pytest.raises(IndexError) as caught:
            fl.cross_entropy(x, y)
        return str(caught.value)

    with ThreadPoolExecutor(8) as pool:
        for i, text in enumerate(pool.map(wrong, range(32))):
            assert f"got {5 + i} at index ({1000 * i},)" in text


def test_context_restores_the_count() -> None:
    fl.set_num_threads(5)
    assert fl.get_num_threads() == 5
    with fl.num_threads(2):
        assert fl.get_num_threads() == 2
        with fl.num_threads(7):
            assert fl.get_num_threads() == 7
        assert fl.get_num_threads() == 2
    assert fl.get_num_threads() == 5
    with pytest.raises(ZeroDivisionError), fl.num_threads(3):
        1 / 0  # noqa: B018
    assert fl.get_num_threads() == 5


def test_context_belongs_to_its_python_thread() -> None:
    fl.set_num_threads(4)
    with fl.num_threads(2), ThreadPoolExecutor(1) as pool:
        assert pool.submit(fl.get_num_threads).result() == 4
        assert fl.get_num_threads() == 2

"""Promise: an evaluation has the same bits however it is cut, wherever it runs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from evaluations import LOSSES, bits, chunks, classes, every_loss, inputs
from matrix import every

import fastloss as fl
from fastloss.evaluation import _run


@every("loss", LOSSES, quick=lambda loss: loss in LOSSES[::4])
@every("dtype", ["float32", "float64"])
def test_same_bits_for_any_memory_and_threads(loss, dtype, isa):
    given = inputs(loss, dtype, size=500)
    whole = bits(fl.evaluate(loss, **given, worst=5))
    for max_memory in (200, 700, 3000, "40kB"):
        assert bits(fl.evaluate(loss, **given, worst=5, max_memory=max_memory)) == whole
    assert bits(fl.evaluate(loss, **given, worst=5, threads=2)) == whole


@every_loss
def test_same_bits_with_chunks_side_by_side(loss, isa, monkeypatch):
    given = inputs(loss, "float32", size=2000)
    weights = {"sample_weight": np.linspace(0, 2, 2000), "group": np.arange(2000) % 3, "worst": 5}
    expected = bits(fl.evaluate(loss, **given, **weights, threads=1))
    seen = computed_at_once(monkeypatch)
    assert bits(fl.evaluate(loss, **given, **weights, threads=3, max_memory="100kB")) == expected
    assert len(seen) > 1, "one thread computed all"


def computed_at_once(monkeypatch):
    """Small chunks are worth a thread of their own from now on; the set of threads that compute some."""
    monkeypatch.setattr(_run, "WORTHWHILE", 1)
    seen, compute = set(), _run._compute
    barrier = threading.Barrier(2)

    def noted(*arguments):
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            with suppress(threading.BrokenBarrierError):  # the first two wait for each other, so that both take part
                barrier.wait(1)
        return compute(*arguments)

    monkeypatch.setattr(_run, "_compute", noted)
    return seen


def test_chunks_side_by_side_are_written_in_order(tmp_path, monkeypatch):
    logits, target = classes(5000)
    seen = computed_at_once(monkeypatch)
    out = tmp_path / "losses.npy"
    fl.evaluate("cross_entropy", logits=logits, target=target, per_sample=out, threads=4, max_memory="100kB")
    assert len(seen) > 1
    assert np.load(out).tolist() == fl.cross_entropy.terms(logits, target)[0].tolist()


def test_the_first_error_is_told_of_chunks_side_by_side(monkeypatch):
    logits, target = classes(5000)
    target[[1700, 4000]] = 99
    seen = computed_at_once(monkeypatch)
    with pytest.raises(IndexError, match=r"got 99 at index \(1700,\)"):
        fl.evaluate("cross_entropy", logits=logits, target=target, threads=4, max_memory="100kB")
    assert len(seen) > 1


def test_functions_of_users_and_iterables_stay_in_the_callers_thread(monkeypatch):
    seen = computed_at_once(monkeypatch)

    def squares(prediction, target):
        return (prediction - target) ** 2

    one = np.ones(4000)
    fl.evaluate(fl.custom(squares), prediction=one, target=0 * one, threads=4, max_memory="100kB")

    def refilled():
        buffer = np.empty(500)
        for k in range(8):
            buffer[:] = k
            yield buffer

    result = fl.evaluate("mae", prediction=refilled(), target=0 * one, threads=4, max_memory="100kB")
    assert result["mae"].mean == 3.5
    assert seen == {threading.get_ident()}


@every("loss", LOSSES, quick=lambda loss: loss in LOSSES[::8])
def test_same_bits_in_any_executor(loss, workers):
    given = inputs(loss, "float32", size=500)
    whole = bits(fl.evaluate(loss, **given, worst=5))
    with ThreadPoolExecutor(3) as threads:
        assert bits(fl.evaluate(loss, **given, worst=5, executor=threads, threads=1)) == whole
    assert bits(fl.evaluate(loss, **given, worst=5, executor=workers, max_memory=9000)) == whole


@pytest.mark.parametrize("kind", ["npy", "fortran", "npz", "compressed", "chunks", "memmap"])
def test_same_bits_from_every_source(kind, tmp_path, workers):
    logits, target = classes()
    group, weight = np.arange(1000) % 3, np.random.default_rng(0).random(1000)
    arrays = {"logits": logits, "target": target, "group": group, "sample_weight": weight}
    whole = bits(fl.evaluate("cross_entropy", **arrays, worst=4))

    def sources():
        for name, array in arrays.items():
            path = tmp_path / f"{name}.npy"
            match kind:
                case "npy" | "memmap":
                    np.save(path, array)
                case "fortran":
                    np.save(path, np.asfortranarray(array))
                case "npz" | "compressed":
                    save = np.savez if kind == "npz" else np.savez_compressed
                    save(path.with_suffix(".npz"), other=np.zeros(3), **{name: array})
                    path = path.with_suffix(".npz")
            if kind == "chunks":
                yield name, chunks(array, 1, 0, 500, 499)
            else:
                yield name, np.load(path, mmap_mode="r") if kind == "memmap" else path

    for executor in (None, workers):
        given = dict(sources())
        result = fl.evaluate("cross_entropy", **given, worst=4, executor=executor, max_memory=9000)
        assert bits(result) == whole


def test_per_sample_is_the_same_from_an_executor(workers, tmp_path):
    logits, target = classes()
    np.save(tmp_path / "logits.npy", logits)
    for executor, name in ((None, "serial.npy"), (workers, "parallel.npy")):
        fl.evaluate(
            "cross_entropy",
            logits=tmp_path / "logits.npy",
            target=target,
            executor=executor,
            max_memory=5000,
            per_sample=tmp_path / name,
        )
    serial, parallel = np.load(tmp_path / "serial.npy"), np.load(tmp_path / "parallel.npy")
    assert serial.tobytes() == parallel.tobytes()


def test_an_error_in_a_worker_is_the_error_of_the_call(workers):
    logits, target = classes()
    target[700] = 99
    for executor in (None, workers):
        with pytest.raises(IndexError, match=r"target: .*got 99 at index \(700,\)"):
            fl.evaluate("cross_entropy", logits=logits, target=target, executor=executor, max_memory=9000)

"""Streaming evaluation: equal to the losses in memory, and of the same bits however it is cut."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from matrix import every

import fastloss as fl
from fastloss.evaluation import EvaluationResult, _run
from fastloss.evaluation._run import parse_size
from fastloss.evaluation._state import Worst, _unique

LOSSES = [loss for loss in fl.LOSSES.values() if not loss.batchwise]
BATCHWISE = [loss for loss in fl.LOSSES.values() if loss not in LOSSES]
NAMES = [loss.name for loss in LOSSES]
every_loss = every("loss", LOSSES)


def inputs(loss, dtype="float64", size=257, seed=0):
    """A sample of a loss as keyword arguments."""
    arrays, options = loss.sample(np.random.default_rng(seed), dtype=dtype, size=size)
    return dict(zip(loss.arrays, arrays, strict=True)) | options


def classes(n=1000, c=7, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    logits = (3 * rng.standard_normal((n, c))).astype(dtype)
    return logits, rng.integers(0, c, n)


def bits(result: EvaluationResult) -> str:
    return result.to_json()


def chunks(array, *lengths):
    at = 0
    for length in lengths:
        yield array[at : at + length]
        at += length


@pytest.fixture(scope="module")
def workers():
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        yield executor


# -- Equal to the losses in memory -----------------------------------------------------------------


@every_loss
@every("weighted", [False, True])
def test_mean_and_sum_are_those_of_the_loss(loss, weighted):
    given = inputs(loss)
    arrays = [given.pop(name) for name in loss.arrays]
    if weighted:
        shape = loss(*arrays, **given, reduction="none").shape
        given["sample_weight"] = np.random.default_rng(1).random(shape)
    named = dict(zip(loss.arrays, arrays, strict=True))
    result = fl.evaluate(loss, **named, **given, max_memory=5000)[loss.name]
    assert result.mean == pytest.approx(loss(*arrays, **given), rel=1e-12)
    assert result.sum == pytest.approx(loss(*arrays, **given, reduction="sum"), rel=1e-12)


@every_loss
def test_float32_is_as_good_as_the_loss_in_memory(loss):
    given = inputs(loss, "float32")
    arrays = [given[name] for name in loss.arrays]
    options = {name: value for name, value in given.items() if name not in loss.arrays}
    values = loss(*arrays, **options, reduction="none").astype(np.float64)
    bound = loss.ulp["float32"] * np.finfo(np.float32).eps * np.abs(values).sum()
    result = fl.evaluate(loss, **given)[loss.name]
    assert abs(result.sum - math.fsum(values.ravel())) <= bound


@every_loss
def test_per_sample_is_reduction_none(loss, tmp_path):
    given = inputs(loss)
    arrays = [given[name] for name in loss.arrays]
    options = {name: value for name, value in given.items() if name not in loss.arrays}
    fl.evaluate(loss, **given, per_sample=tmp_path / "out.npy", max_memory=3000)
    written = np.load(tmp_path / "out.npy")
    expected = loss(*arrays, **options, reduction="none")
    assert written.shape == expected.shape
    assert written.dtype == np.float64
    np.testing.assert_allclose(written, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_all_logit_types(dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    logits, target = classes(dtype=dtype)
    result = fl.evaluate("cross_entropy", logits=logits, target=target, max_memory=10_000)
    assert result["cross_entropy"].mean == pytest.approx(fl.cross_entropy(logits, target), rel=1e-6)


@pytest.mark.parametrize(("axis", "shape"), [(0, (5, 40)), (1, (40, 5, 3, 2)), (-1, (40, 3, 5))])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_class_axis_and_memory_order(axis, shape, soft, order, tmp_path, workers):
    rng = np.random.default_rng(0)
    logits = np.asarray(rng.standard_normal(shape), order=order)
    if soft:
        target = fl.softmax(rng.standard_normal(shape), axis=axis)
    else:
        target = rng.integers(0, 5, np.delete(shape, axis))
    np.save(tmp_path / "logits.npy", logits)
    np.savez_compressed(tmp_path / "both.npz", logits=logits, target=target)
    value = fl.cross_entropy(logits, target, axis=axis)
    none = fl.cross_entropy(logits, target, axis=axis, reduction="none")
    hardest = np.unravel_index(none.argmax(), none.shape)
    for source in (logits, tmp_path / "logits.npy", tmp_path / "both.npz", workers):
        result = fl.evaluate(
            "cross_entropy",
            logits=tmp_path / "both.npz" if source is workers else source,
            target=target,
            axis=axis,
            max_memory=900,
            worst=1,
            executor=workers if source is workers else None,
        )["cross_entropy"]
        assert result.mean == pytest.approx(value, rel=1e-12)
        assert np.atleast_1d(result.worst[0].index).tolist() == list(map(int, hardest))


def test_several_losses_in_one_pass():
    logits, target = classes()
    both = fl.evaluate(
        ["cross_entropy", fl.perplexity, fl.nll],
        logits=logits,
        log_probs=fl.log_softmax(logits),
        target=target,
    )
    assert list(both) == ["cross_entropy", "perplexity", "nll"]
    alone = fl.evaluate("cross_entropy", logits=logits, target=target)
    assert both["cross_entropy"] == alone["cross_entropy"]
    assert both["perplexity"].mean == math.exp(both["cross_entropy"].mean)
    assert both["nll"].mean == pytest.approx(both["cross_entropy"].mean, rel=1e-6)


def test_perplexity_shares_the_computation_of_cross_entropy(monkeypatch):
    logits, target = classes()
    computed = []
    terms = fl.cross_entropy.terms
    monkeypatch.setattr(fl.cross_entropy, "terms", lambda *a, **k: computed.append(k) or terms(*a, **k))
    fl.evaluate(["cross_entropy", "perplexity"], logits=logits, target=target)
    assert len(computed) == 1
    smooth = fl.evaluate(["cross_entropy", "perplexity"], logits=logits, target=target, label_smoothing=0.1)
    assert len(computed) == 3  # perplexity has no smoothing
    assert smooth["perplexity"].mean == pytest.approx(fl.perplexity(logits, target), rel=1e-12)
    assert smooth["cross_entropy"].mean == pytest.approx(fl.cross_entropy(logits, target, label_smoothing=0.1), rel=1e-12)


def test_perplexity_beyond_float64_is_infinite():
    logits = np.array([[0.0, -2000.0]])
    assert fl.evaluate("perplexity", logits=logits, target=[1])["perplexity"].mean == math.inf


def test_options_go_to_the_losses_that_have_them():
    rng = np.random.default_rng(0)
    given = {"prediction": rng.standard_normal(99), "target": rng.standard_normal(99)}
    result = fl.evaluate(["mse", "huber"], **given, delta=0.3)
    assert result["huber"].mean == pytest.approx(fl.huber(**given, delta=0.3), rel=1e-12)
    assert result["mse"].mean == pytest.approx(fl.mse(**given), rel=1e-12)


def test_weights_ignored_samples_and_counts():
    logits, target = classes()
    target[::3] = -100
    class_weight = np.linspace(0.0, 2.0, 7)
    weight = np.random.default_rng(0).random(1000)
    weight[5] = 0.0
    result = fl.evaluate(
        "cross_entropy",
        logits=logits,
        target=target,
        class_weight=class_weight,
        sample_weight=weight,
        max_memory=5000,
    )["cross_entropy"]
    expected = fl.cross_entropy(logits, target, class_weight=class_weight, sample_weight=weight)
    denominator = np.where(target >= 0, class_weight[target % 7] * weight, 0.0)
    assert result.mean == pytest.approx(expected, rel=1e-12)
    assert result.weight == pytest.approx(denominator.sum(), rel=1e-12)
    assert result.count == np.count_nonzero(denominator)


def test_nothing_counted_is_a_nan_mean():
    logits, _ = classes(10)
    result = fl.evaluate("cross_entropy", logits=logits, target=np.full(10, -100), worst=3)
    assert math.isnan(result["cross_entropy"].mean)
    assert result["cross_entropy"].count == 0
    assert result["cross_entropy"].worst == []


@pytest.mark.parametrize("source", ["arrays", "files", "chunks", "no chunks"])
def test_empty_input_is_a_nan_mean(source, tmp_path):
    logits, target = np.empty((0, 5), np.float32), np.empty(0, np.int64)
    if source == "files":
        np.save(tmp_path / "x.npy", logits)
        np.savez_compressed(tmp_path / "t.npz", target)
        logits, target = tmp_path / "x.npy", tmp_path / "t.npz"
    elif "chunks" in source:
        logits, target = (iter([x] if source == "chunks" else []) for x in (logits, target))
    out = tmp_path / "out.npy"
    result = fl.evaluate("cross_entropy", logits=logits, target=target, per_sample=out)
    assert result.rows == result["cross_entropy"].count == 0
    assert math.isnan(result["cross_entropy"].mean)
    assert result["cross_entropy"].sum == 0.0
    assert np.load(out).shape == (0,)


def test_single_samples_are_not_cut():
    assert fl.evaluate("mse", prediction=3.0, target=np.array(1.0))["mse"].mean == 4.0
    one = fl.evaluate("cross_entropy", logits=np.zeros(4), target=2, worst=1)["cross_entropy"]
    assert one.mean == pytest.approx(math.log(4), rel=1e-15)
    assert one.count == 1


@pytest.mark.parametrize("target", [0.5, np.float32(0.5), np.array(0.5)])
def test_a_number_stands_for_a_constant_array(target):
    x = np.random.default_rng(0).standard_normal(100)
    result = fl.evaluate("mae", prediction=x, target=target, max_memory=500)
    assert result["mae"].mean == pytest.approx(fl.mae(x, target), rel=1e-12)


@pytest.mark.parametrize("name", [loss.name for loss in BATCHWISE])
def test_a_batch_that_cannot_be_cut_is_refused(name):
    """Its values depend on all the samples of a call: what comes out would depend on the chunks."""
    for loss in (name, fl.LOSSES[name]):
        with pytest.raises((ValueError, TypeError), match=f"{name}.*batch"):
            fl.evaluate(loss, **inputs(fl.LOSSES[name]))


# -- The same bits however it is cut ---------------------------------------------------------------


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


# -- Evaluation: update, merge, state --------------------------------------------------------------


def evaluated(rows, logits, target, group, order):
    """States of some row ranges, merged in some order."""
    states = []
    for start, stop in rows:
        state = fl.Evaluation(["cross_entropy", "perplexity"], worst=3)
        state.update(
            logits=logits[start:stop],
            target=target[start:stop],
            group=group[start:stop],
            start=start,
        )
        states.append(state)
    total = fl.Evaluation(["cross_entropy", "perplexity"], worst=3)
    for i in order:
        total.merge(states[i])
    return total


def test_states_merge_in_any_order():
    logits, target = classes(300)
    group = np.random.default_rng(1).integers(0, 50, 300)
    ranges = [(0, 1), (1, 100), (100, 100), (100, 250), (250, 300)]
    whole = evaluated([(0, 300)], logits, target, group, [0])
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 0, 3, 1]):
        merged = evaluated(ranges, logits, target, group, order)
        assert bits(merged.result()) == bits(whole.result())
        assert merged.rows == 300


def test_updates_follow_each_other():
    logits, target = classes(300)
    state = fl.Evaluation("cross_entropy", worst=3)
    for part in (slice(0, 120), slice(120, 300)):
        state.update(logits=logits[part], target=target[part])
    whole = fl.evaluate("cross_entropy", logits=logits, target=target, worst=3)
    assert bits(state.result()) == bits(whole)


def test_state_dict_is_json_and_continues():
    logits, target = classes(300)
    group = np.array(["a", "b", "ü"])[np.arange(300) % 3]
    target[7], logits[11] = -100, np.nan
    options = {"worst": 3, "class_weight": np.linspace(0.1, 0.9, 7)}
    state = fl.Evaluation("cross_entropy", **options)
    state.update(logits=logits[:200], target=target[:200], group=group[:200])
    saved = json.loads(json.dumps(state.state_dict()))
    other = fl.Evaluation("cross_entropy", **options)
    other.load_state_dict(saved)
    assert bits(other.result()) == bits(state.result())
    for either in (state, other):
        either.update(logits=logits[200:], target=target[200:], group=group[200:])
    assert bits(other.result()) == bits(state.result())
    assert other.state_dict() == state.state_dict()
    assert bits(pickle.loads(pickle.dumps(state)).result()) == bits(state.result())


def test_a_fresh_state_merges_both_ways():
    logits, target = classes(30)
    for group in (None, np.arange(30) % 4):
        state = fl.Evaluation("cross_entropy")
        state.update(logits=logits, target=target, group=group)
        before = bits(state.result())
        state.merge(fl.Evaluation("cross_entropy"))
        assert bits(state.result()) == before
        fresh = fl.Evaluation("cross_entropy")
        fresh.merge(state)
        assert bits(fresh.result()) == before


@pytest.mark.parametrize(
    ("losses", "options"),
    [
        ("mse", {}),
        (["huber", "mse"], {}),
        ("huber", {"delta": 2.0}),
        ("huber", {"worst": 1}),
    ],
)
def test_states_of_different_questions_do_not_mix(losses, options):
    state, other = fl.Evaluation("huber"), fl.Evaluation(losses, **options)
    with pytest.raises(ValueError, match="same losses and options"):
        state.merge(other)
    with pytest.raises(ValueError, match="expected"):
        state.load_state_dict(other.state_dict())


@pytest.mark.parametrize("state", [{}, {"format": 99}, {"terms": [{}]}, {"rows": "x"}])
def test_a_state_that_is_no_state_is_refused(state):
    whole = fl.Evaluation("mse").state_dict()
    with pytest.raises(ValueError, match="evaluate: state: expected"):
        fl.Evaluation("mse").load_state_dict(whole | state if state else state)


def test_update_takes_arrays_only():
    parts = [np.zeros(2), np.zeros(3)]
    for value in (parts, iter(parts), np.ma.masked_array([1.0])):
        state = fl.Evaluation("mse")
        with pytest.raises((TypeError, ValueError)):
            state.update(prediction=value, target=0.0)
        assert state.rows == 0


def test_groups_are_given_always_or_never():
    state = fl.Evaluation("mse")
    state.update(prediction=[1.0], target=[2.0])
    with pytest.raises(ValueError, match="group"):
        state.update(prediction=[1.0], target=[2.0], group=[1])
    grouped = fl.Evaluation("mse")
    grouped.update(prediction=[1.0], target=[2.0], group=[1])
    with pytest.raises(ValueError, match="group"):
        state.merge(grouped)


def test_a_failed_update_changes_nothing():
    state = fl.Evaluation(["mse", "binary_cross_entropy"], worst=2)
    state.update(prediction=[1.0], probs=[0.5], target=[1.0])
    before = state.state_dict()
    for bad in (
        {"prediction": [1.0], "probs": [2.0], "target": [1.0]},
        {"prediction": [1.0, 2.0], "probs": [0.5], "target": [1.0]},
        {"prediction": [1.0], "probs": [0.5], "target": [1.0], "group": [1]},
    ):
        with pytest.raises(ValueError, match="expected"):
            state.update(**bad)
        assert state.state_dict() == before


def test_rows_must_keep_their_shape():
    flat = {"log_probs": np.zeros((2, 4)), "prediction": np.zeros(2), "target": np.zeros(2, int)}
    deep = {
        "log_probs": np.zeros((2, 3, 4)),
        "prediction": np.zeros((2, 3)),
        "target": np.zeros((2, 3), int),
    }
    state, other = fl.Evaluation(["nll", "mse"]), fl.Evaluation(["nll", "mse"])
    state.update(**flat)
    other.update(**deep)
    before = state.state_dict()
    for change in (lambda: state.update(**deep), lambda: state.merge(other)):
        with pytest.raises(ValueError, match=r"shaped \(\), got \(3,\)"):
            change()
        assert state.state_dict() == before


# -- Groups and the hardest samples ----------------------------------------------------------------

LABELS = {
    "small": lambda rng: rng.integers(-3, 4, 1000),
    "int8": lambda rng: np.array([-128, 127, 0], np.int8)[rng.integers(0, 3, 1000)],
    "bool": lambda rng: rng.random(1000) < 0.3,
    "large": lambda rng: rng.choice(np.array([-(2**62), 5, 2**62]), 1000),
    "uint64": lambda rng: np.array([2**64 - 1, 2**64 - 3], np.uint64)[rng.integers(0, 2, 1000)],
    "text": lambda rng: np.array(["cat", "dog", "ox"])[rng.integers(0, 3, 1000)],
    "bytes": lambda rng: np.array([b"cat", b"dog"])[rng.integers(0, 2, 1000)],
    "objects": lambda rng: np.array(["cat", "dog"], object)[rng.integers(0, 2, 1000)],
    "many": lambda rng: rng.permutation(1000),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_groups_against_a_loop(labels):
    logits, target = classes()
    target[::7] = -100
    logits[3] = np.nan
    group = labels(np.random.default_rng(3))
    result = fl.evaluate("cross_entropy", logits=logits, target=target, group=group, max_memory=8000)["cross_entropy"]
    values = fl.cross_entropy.terms(logits, target)[0]
    assert len(result.groups) == len(np.unique(group.astype(str)))
    for key, got in result.groups.items():
        mine = group == (key.encode() if group.dtype.kind == "S" else key)
        counted = values[mine & (target >= 0)]
        expected = math.fsum(counted) / counted.size if counted.size else math.nan
        assert got.mean == pytest.approx(expected, rel=1e-15, nan_ok=True)
        assert got.count == counted.size
        assert got.nan_count == np.isnan(counted).sum()
    assert sum(group.count for group in result.groups.values()) == result.count


def test_groups_come_sorted():
    group = np.array([5, -1, 3, 5])
    result = fl.evaluate("mse", prediction=np.zeros(4), target=np.ones(4), group=group)
    assert list(result["mse"].groups) == [-1, 3, 5]


def test_groups_broadcast_from_the_left():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 20, 3, 4))
    group = np.arange(20) % 2
    result = fl.evaluate("mse", prediction=x, target=y, group=group, max_memory=3000)["mse"]
    full = np.broadcast_to(group[:, None, None], x.shape)
    same = fl.evaluate("mse", prediction=x, target=y, group=full)["mse"]
    assert result == same
    assert result.groups[1].mean == pytest.approx(fl.mse(x[1::2], y[1::2]), rel=1e-12)


@pytest.mark.parametrize("group", [np.zeros(9, int), np.zeros((10, 2), int), 3])
def test_a_group_must_fit(group):
    with pytest.raises(ValueError, match="group"):
        fl.evaluate("mse", prediction=np.zeros(10), target=np.ones(10), group=group)


@pytest.mark.parametrize("group", [np.zeros(10), np.zeros(10, complex), [None] * 10])
def test_a_group_is_integers_or_text(group):
    with pytest.raises(TypeError, match="group: expected integers or strings"):
        fl.evaluate("mse", prediction=np.zeros(10), target=np.ones(10), group=group)


def test_table_and_sort_find_the_same_labels():
    labels = np.random.default_rng(0).integers(0, 100, 5000)
    near_keys, near = _unique(labels)
    far_keys, far = _unique(labels * 10**9)
    assert [key * 10**9 for key in near_keys] == far_keys
    assert np.array_equal(near, far)


@pytest.mark.parametrize("k", [1, 10, 999, 1000, 2000])
def test_worst_against_argsort(k):
    logits, target = classes()
    result = fl.evaluate("cross_entropy", logits=logits, target=target, worst=k, max_memory=9000)["cross_entropy"]
    values = fl.cross_entropy.terms(logits, target)[0]
    expected = np.argsort(-values, kind="stable")[:k]
    assert [hard.index for hard in result.worst] == expected.tolist()
    assert [hard.value for hard in result.worst] == values[expected].tolist()


def test_worst_puts_nan_first_and_breaks_ties_by_index():
    prediction = np.array([1.0, 3.0, np.nan, 3.0, np.inf, 0.0, np.nan, 3.0])
    for max_memory in (1, "1MB"):
        result = fl.evaluate("mae", prediction=prediction, target=np.zeros(8), worst=5, max_memory=max_memory)["mae"]
        assert [hard.index for hard in result.worst] == [2, 6, 4, 1, 3]
        assert result.nan_count == 2
        assert math.isnan(result.mean)


def test_worst_of_random_ties_merges_in_any_order():
    rng = np.random.default_rng(0)
    values = rng.choice([0.0, 1.0, 2.0, np.nan], 500, p=[0.6, 0.2, 0.19, 0.01])
    order = np.lexsort((np.arange(500), -values, ~np.isnan(values)))
    for k in (1, 3, 7, 50, 300):
        parts = []
        for start in range(0, 500, 37):
            part = Worst(k)
            part.add(values[start : start + 37], start, None)
            parts.append(part)
        total = Worst(k)
        for i in rng.permutation(len(parts)):
            total.merge(parts[i])
        assert total.index.tolist() == order[:k].tolist()


def test_worst_of_random_ties_in_pieces_of_any_order():
    """Ties and nan that come when the list is full already, and samples that come after later ones."""
    rng = np.random.default_rng(1)
    values = rng.choice([0.0, 1.0, 2.0, np.nan], 500, p=[0.6, 0.2, 0.19, 0.01])
    order = np.lexsort((np.arange(500), -values, ~np.isnan(values)))
    for k in (1, 3, 7, 50, 300):
        worst = Worst(k)
        for start in rng.permutation(np.arange(0, 500, 37)):
            worst.add(values[start : start + 37], int(start), None)
        assert worst.index.tolist() == order[:k].tolist()


def test_ignored_samples_are_never_the_hardest():
    logits, target = classes(50)
    target[:48] = -100
    result = fl.evaluate("cross_entropy", logits=logits, target=target, worst=5)
    assert {hard.index for hard in result["cross_entropy"].worst} == {48, 49}


# -- What a caller can get wrong -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "given", "error", "text"),
    [
        ([], {}, ValueError, "at least one loss"),
        ("cross_entrpy", {}, ValueError, "did you mean 'cross_entropy'"),
        (["mse", "mse"], {}, ValueError, "'mse' twice"),
        (["mse", 3], {}, ValueError, "losses of fastloss, got 3"),
        (np.mean, {}, ValueError, "expected names and losses of fastloss, got <function mean"),
        ("mse", {"prediction": [1.0]}, TypeError, "mse: target: expected an array, got none"),
        ("mse", {"logits": [1.0]}, TypeError, "got 'logits'"),
        ("mse", {"delta": 1.0}, TypeError, "got 'delta'"),
        ("mse", {"worst": -1}, ValueError, "worst: expected an integer >= 0, got -1"),
        ("mse", {"max_memory": "much"}, ValueError, "max_memory: expected a size"),
        ("mse", {"max_memory": 0}, ValueError, "max_memory: expected a size"),
        ("mse", {"target": np.zeros(4)}, ValueError, "target: expected 3 rows as in prediction"),
        ("mse", {"target": np.ma.masked_array([1.0] * 3)}, TypeError, "without a mask"),
        ("mse", {"target": np.zeros(3, "f8,i4")}, TypeError, "target: expected numbers, got rec"),
        ("mse", {"target": np.zeros(3, "V2")}, TypeError, "target_dtype='bfloat16'"),
        ("mse", {"target": [[1], [2, 3]]}, TypeError, "target: expected an array"),
        ("mse", {"target": [1, 2, 3], "target_dtype": "nonsense"}, ValueError, "target_dtype"),
        ("mse", {"target": [1, 2, 3], "target_dtype": "int8"}, ValueError, "type of 8 bytes"),
        ("huber", {"delta": -1.0}, ValueError, "huber: delta: expected"),
        ("mse", {"sample_weight": [1.0, -1.0, 1.0]}, ValueError, r"sample_weight: .*index \(1,\)"),
    ],
)
def test_errors_name_the_argument(losses, given, error, text):
    complete = {"prediction": np.ones(3), "target": np.zeros(3)} | given
    if "got none" in text or not losses:
        complete = given
    with pytest.raises(error, match=text):
        fl.evaluate(losses, **complete)


def test_indices_in_errors_count_from_the_first_row():
    logits, target = classes(200)
    target[150] = 7
    for where, given in (
        (r"\(150,\)", {"logits": logits, "target": target}),
        (r"\(150,\)", {"logits": iter(np.split(logits, 4)), "target": iter(np.split(target, 4))}),
        (r"\(150,\)", {"logits": logits.T, "target": target, "axis": 0}),
    ):
        with pytest.raises(IndexError, match=f"got 7 at index {where}"):
            fl.evaluate("cross_entropy", **given, max_memory=2000)


def test_losses_that_disagree_about_the_axis_are_refused():
    x = np.zeros((4, 4))
    with pytest.raises(ValueError, match="target: expected all losses to take samples along one"):
        fl.evaluate(["cross_entropy", "mse"], logits=x, prediction=x, target=x, axis=0)


@pytest.mark.parametrize(
    ("lengths", "other", "text"),
    [
        ((4, 6), (4, 5, 1), "target: expected a chunk of 6 rows at row 4, got a chunk of 5 rows"),
        ((4, 6), (4,), "target: expected a chunk of 6 rows at row 4, got no more chunks"),
        ((4,), (4, 6), "target: expected 4 rows as in prediction, got a further chunk of 6"),
    ],
)
def test_chunks_must_agree(lengths, other, text):
    x = np.zeros(10)
    with pytest.raises(ValueError, match=text):
        fl.evaluate("mse", prediction=chunks(x, *lengths), target=chunks(x, *other))


@pytest.mark.parametrize(("n", "text"), [(9, "9 rows, got at least 10"), (11, "11 rows, got 10")])
def test_chunks_must_agree_with_arrays(n, text):
    with pytest.raises(ValueError, match=f"prediction: expected {text}"):
        fl.evaluate("mse", prediction=chunks(np.zeros(10), 4, 6), target=np.zeros(n))


def test_chunks_have_rows():
    with pytest.raises(ValueError, match="chunks of rows"):
        fl.evaluate("mse", prediction=iter([1.0, 2.0]), target=np.zeros(2))


def test_a_list_of_arrays_is_chunks_and_a_list_of_numbers_an_array():
    parts = [np.ones(2), np.ones(3)]
    assert fl.evaluate("mse", prediction=parts, target=[0, 1, 0, 1, 0])["mse"].mean == 0.6


def test_an_error_of_the_callers_iterable_arrives():
    def broken():
        yield np.zeros(3)
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        fl.evaluate("mse", prediction=broken(), target=np.zeros(6))


@pytest.mark.parametrize(
    ("text", "size"),
    [("256MB", 256 * 10**6), ("1GiB", 2**30), ("64 kB", 64_000), ("0.5G", 5 * 10**8), (7, 7)],
)
def test_sizes(text, size):
    assert parse_size(text) == size


# -- Files -----------------------------------------------------------------------------------------


def npy_header(shape, descr="'<f8'", fortran="False", version=1):
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    size = struct.pack("<H" if version == 1 else "<I", len(text) + 1)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode() + b"\n"


def bad_files():
    """name -> (bytes, what the message says)."""
    data = np.zeros(5).tobytes()
    pickled = npy_header((5,), "'|O'") + pickle.dumps([1] * 5)
    return {
        "truncated": (npy_header((5,)) + data[:-1], "expected 40 bytes for float64.*got 39"),
        "trailing": (npy_header((5,)) + data + b"\0", "expected 40 bytes for float64.*got 41"),
        "lying": (npy_header((10**30,)) + data, "expected 8000000000"),
        "overflowing": (npy_header((2**40, 2**40)) + data, "expected 9671406556917033397649408 by"),
        "negative": (npy_header((-5,)) + data, "expected a shape, got"),
        "pickled": (pickled, "pickled Python objects"),
        "records": (npy_header((5,), "[('a', '<f8')]") + data, "records with fields"),
        "raw": (npy_header((5,), "'|V8'") + data, "raw bytes"),
        "magic": (b"\x94NUMPY\x01\0" + data, "magic"),
        "version": (npy_header((5,), version=9) + data, "version"),
        "empty": (b"", "EOF"),
        "short header": (npy_header((5,))[:20], "EOF"),
        "endless header": (b"\x93NUMPY\x02\0\xff\xff\xff\xff" + b" " * 100, "EOF"),
        "code": (npy_header("__import__('os').getpid()") + data, "expected a .npy array"),
        "dtype": (npy_header((5,), "'nonsense'") + data, "expected a .npy array"),
        "zip": (b"PK\x03\x04" + b"\0" * 50, "expected a .npz file"),
        "text": (b"1.0,2.0\n", "expected a .npy array"),
    }


BAD_FILES = bad_files()


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused_in_one_line(name, tmp_path):
    content, text = BAD_FILES[name]
    path = tmp_path / "prediction.npy"
    path.write_bytes(content)
    with pytest.raises((ValueError, TypeError), match=text) as caught:
        fl.evaluate("mse", prediction=path, target=np.zeros(5))
    assert "prediction: " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize(("path", "text"), [("missing.npy", "none there"), (".", "a directory")])
def test_what_is_no_file(path, text, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"prediction: .*got {text}"):
        fl.evaluate("mse", prediction=tmp_path / path, target=np.zeros(5))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<f2", ">i4", "u1", "?"])
@pytest.mark.parametrize("stored", ["npy", "npz", "compressed"])
def test_all_headers_and_byte_orders(version, dtype, stored, tmp_path):
    array = (np.arange(1000) % 2).astype(dtype)
    path = tmp_path / "x.npy"
    with path.open("wb") as file:
        np.lib.format.write_array(file, array, version)
    if stored != "npy":
        kind = zipfile.ZIP_STORED if stored == "npz" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(tmp_path / "x.npz", "w", kind) as archive:
            archive.write(path, "odd.npy")  # the data of a stored one is not aligned
        path = tmp_path / "x.npz"
    result = fl.evaluate("mse", prediction=path, target=np.zeros(1000), max_memory=5000)
    assert result["mse"].mean == 0.5


def test_npz_keys(tmp_path):
    x = np.arange(5.0)
    np.savez(tmp_path / "one.npz", whatever=x)
    np.savez(tmp_path / "named.npz", prediction=x, other=x + 1)
    np.savez_compressed(tmp_path / "two.npz", a=x, b=x + 1)
    for source in ("one.npz", "named.npz", "two.npz:a"):
        path = f"{tmp_path}/{source}"
        assert fl.evaluate("mae", prediction=path, target=np.zeros(5))["mae"].mean == 2.0
    for source in ("two.npz", "two.npz:c"):
        with pytest.raises(ValueError, match="expected one of the keys a, b"):
            fl.evaluate("mae", prediction=f"{tmp_path}/{source}", target=np.zeros(5))


def spoil(path, at, byte=b"\xff"):
    content = bytearray(path.read_bytes())
    content[at : at + len(byte)] = byte
    path.write_bytes(content)


def test_bad_archives(tmp_path):
    path = tmp_path / "x.npz"
    x = np.random.default_rng(0).standard_normal(5000)

    def refused(text):
        with pytest.raises(ValueError, match=f"prediction: .*{text}") as caught:
            fl.evaluate("mse", prediction=path, target=np.zeros(5000))
        assert "\n" not in str(caught.value)

    np.savez_compressed(path, x=x)
    spoil(path, 20_000, b"\xff" * 50)
    refused("expected a .npz file")
    np.savez_compressed(path, x=x)
    path.write_bytes(path.read_bytes()[:-100])
    refused("expected a .npz file")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"no array")
    refused("expected a .npy array")
    with zipfile.ZipFile(path, "w"):
        pass
    refused(r"expected one of the keys \(none\)")
    np.savez_compressed(path, x=np.array([{}] * 5000, object))
    refused("pickled")


def test_a_zip_bomb_is_read_in_bounded_memory(tmp_path):
    path = tmp_path / "x.npz"
    zeros = bytes(1 << 20)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as member,
    ):
        member.write(npy_header((200 << 17, 1)))
        for _ in range(200):
            member.write(zeros)
    assert path.stat().st_size < 1 << 20
    assert (
        peak_memory(f"fl.evaluate('mse', prediction={str(path)!r}, target=0.0, max_memory='8MB')['mse'].sum") < baseline() + 60e6
    )


def test_a_bomb_that_lies_about_its_size(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy_header((10**15,)) + bytes(8000))
    with pytest.raises(ValueError, match="expected 8000000000000000 bytes"):
        fl.evaluate("mse", prediction=path, target=0.0)


def test_bfloat16_from_raw_bytes(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    logits, target = classes(dtype=ml_dtypes.bfloat16)
    np.save(tmp_path / "x.npy", logits)
    np.savez_compressed(tmp_path / "x.npz", logits)
    assert np.load(tmp_path / "x.npy").dtype == np.dtype("V2")
    whole = fl.evaluate("cross_entropy", logits=logits, target=target)
    with ThreadPoolExecutor(1) as executor:
        for path in (tmp_path / "x.npy", tmp_path / "x.npz"):
            for ex in (None, executor):
                given = {"logits": path, "target": target, "executor": ex}
                with pytest.raises(TypeError, match="logits_dtype='bfloat16'"):
                    fl.evaluate("cross_entropy", **given)
                got = fl.evaluate("cross_entropy", **given, logits_dtype="bfloat16")
                assert bits(got) == bits(whole)


def test_zero_dimensional_files(tmp_path):
    np.save(tmp_path / "x.npy", np.array(3.0))
    np.savez_compressed(tmp_path / "y.npz", np.array(1.0))
    result = fl.evaluate("mse", prediction=tmp_path / "x.npy", target=tmp_path / "y.npz")
    assert result["mse"].mean == 4.0
    many = fl.evaluate("mse", prediction=np.full(9, 2.0), target=tmp_path / "y.npz")
    assert many["mse"].mean == 1.0


def test_float_labels_are_refused(tmp_path):
    logits, target = classes()
    np.save(tmp_path / "t.npy", target.astype(float))
    with pytest.raises((ValueError, TypeError), match="cross_entropy: target: expected"):
        fl.evaluate("cross_entropy", logits=logits, target=tmp_path / "t.npy")


def test_changes_in_a_copy_on_write_map_are_seen_and_kept(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(100_000))
    x = np.load(tmp_path / "x.npy", mmap_mode="c")
    x[:] = 2.0
    for _ in range(2):
        assert fl.evaluate("mse", prediction=x, target=0.0, max_memory="64kB")["mse"].mean == 4.0
    assert x.sum() == 200_000


def test_slices_of_maps(tmp_path):
    x = np.random.default_rng(0).standard_normal((1000, 50))
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r+")
    for part in (np.s_[100:900], np.s_[::-3], np.s_[:, 7], np.s_[5:, ::-1]):
        got = fl.evaluate("mse", prediction=mapped[part], target=0.0, max_memory="30kB")
        assert got["mse"] == fl.evaluate("mse", prediction=x[part], target=0.0)["mse"]


def test_a_file_that_is_not_cached(tmp_path):
    x = np.random.default_rng(0).standard_normal((2000, 100))
    np.save(tmp_path / "x.npy", x)
    if hasattr(os, "posix_fadvise"):
        with (tmp_path / "x.npy").open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    got = fl.evaluate("mse", prediction=tmp_path / "x.npy", target=0.0, max_memory="100kB")
    assert got["mse"] == fl.evaluate("mse", prediction=x, target=0.0)["mse"]


def test_an_unusable_argument_leaves_no_unfinished_file(tmp_path):
    for wrong in ({"threads": 0}, {"max_memory": "x"}, {"worst": -1}, {"target": np.zeros(4)}):
        given = {"prediction": np.zeros(3), "target": 0.0} | wrong
        with pytest.raises(ValueError, match="expected"):
            fl.evaluate("mse", **given, per_sample=tmp_path / "out.npy")
        assert os.listdir(tmp_path) == []


def test_tensors_are_arrays():
    torch = pytest.importorskip("torch")
    logits, target = classes()
    result = fl.evaluate("cross_entropy", logits=torch.from_numpy(logits), target=torch.from_numpy(target))
    assert bits(result) == bits(fl.evaluate("cross_entropy", logits=logits, target=target))


# -- Per-sample output -----------------------------------------------------------------------------


def test_several_losses_write_records(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 100, 3))
    out = tmp_path / "out.npy"
    fl.evaluate(["mse", "mae"], prediction=x, target=y, per_sample=out, max_memory=2000)
    written = np.load(out)
    assert written.dtype.names == ("mse", "mae")
    np.testing.assert_allclose(written["mae"], np.abs(x - y))
    np.testing.assert_allclose(written["mse"], (x - y) ** 2)


def test_output_into_an_array():
    x = np.arange(10.0)
    out = np.zeros(10, np.float32)
    fl.evaluate("mae", prediction=x, target=np.zeros(10), per_sample=out, max_memory=100)
    assert out.tolist() == x.tolist()
    records = np.zeros(10, [("mae", float), ("mse", float)])
    fl.evaluate(["mae", "mse"], prediction=x, target=0.0, per_sample=records, max_memory=300)
    assert records["mse"].tolist() == (x * x).tolist()
    for shape in (9, 11, (10, 2)):
        with pytest.raises(ValueError, match="per_sample: expected"):
            fl.evaluate("mae", prediction=x, target=0.0, per_sample=np.zeros(shape))


def test_losses_of_different_shapes_do_not_share_a_file(tmp_path):
    logits, target = classes(10)
    with pytest.raises(ValueError, match=r"per_sample: .*\(10,\) and \(10, 7\)"):
        fl.evaluate(
            ["cross_entropy", "binary_cross_entropy_with_logits"],
            logits=logits,
            target=np.eye(7)[target],
            per_sample=tmp_path / "out.npy",
        )
    assert os.listdir(tmp_path) == []


def test_a_failed_run_leaves_the_old_file(tmp_path):
    out = tmp_path / "out.npy"
    out.write_bytes(b"precious")
    logits, target = classes()
    target[900] = 50
    with pytest.raises(IndexError):
        fl.evaluate("cross_entropy", logits=logits, target=target, per_sample=out, max_memory=9000)
    assert out.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["out.npy"]


def test_an_input_is_never_overwritten(tmp_path):
    x = tmp_path / "x.npy"
    np.save(x, np.zeros(5))
    np.savez(tmp_path / "y.npz", np.zeros(5))
    (tmp_path / "link.npy").symlink_to(x)
    before = x.read_bytes()
    sources = (x, np.load(x, mmap_mode="r"), np.load(x, mmap_mode="r")[1:])
    for source in sources:
        for name in ("per_sample", "checkpoint"):
            for path in (x, tmp_path / "link.npy"):
                with pytest.raises(ValueError, match=f"{name}: expected another file"):
                    fl.evaluate("mse", prediction=source, target=0.0, **{name: path})
    with pytest.raises(ValueError, match="expected another file"):
        fl.evaluate("mse", prediction=tmp_path / "y.npz", target=x, per_sample=tmp_path / "y.npz")
    assert x.read_bytes() == before


@pytest.mark.parametrize("path", ["/dev/null", "."])
def test_only_files_are_written(path):
    with pytest.raises(ValueError, match="per_sample: expected a file"):
        fl.evaluate("mse", prediction=np.zeros(3), target=0.0, per_sample=path)
    assert not Path("/dev/null").is_file()


# -- Checkpoints -----------------------------------------------------------------------------------


class Interrupted:
    """A loss's terms that stop the run after some calls."""

    def __init__(self, monkeypatch, loss, calls, error=KeyboardInterrupt):
        terms = loss.terms

        def counted(*args, **kwargs):
            self.calls += 1
            if self.calls > calls:
                raise error
            return terms(*args, **kwargs)

        self.calls = 0
        monkeypatch.setattr(loss, "terms", counted)


@pytest.fixture
def files(tmp_path):
    logits, target = classes()
    np.savez_compressed(tmp_path / "logits.npz", logits)
    np.save(tmp_path / "target.npy", target)
    return {
        "logits": tmp_path / "logits.npz",
        "target": tmp_path / "target.npy",
        "group": np.arange(1000) % 3,
        "worst": 3,
        "max_memory": 10_000,
    }


@pytest.mark.parametrize("calls", [0, 1, 4])
@pytest.mark.parametrize("parallel", [False, True])
def test_a_run_continues_where_it_stopped(files, tmp_path, monkeypatch, calls, parallel):
    checkpoint, out, whole_out = (tmp_path / name for name in ("ck.json", "out.npy", "whole.npy"))
    whole = fl.evaluate("cross_entropy", **files, per_sample=whole_out)
    given = files | {"checkpoint": checkpoint, "per_sample": out}
    with ThreadPoolExecutor(1) as executor, monkeypatch.context() as patch:
        Interrupted(patch, fl.cross_entropy, calls)
        with pytest.raises(KeyboardInterrupt):
            fl.evaluate("cross_entropy", **given, executor=executor if parallel else None)
    assert checkpoint.exists()
    assert not out.exists()
    with monkeypatch.context() as patch:
        again = Interrupted(patch, fl.cross_entropy, 10**9)
        result = fl.evaluate("cross_entropy", **given)
    once = Interrupted(monkeypatch, fl.cross_entropy, 10**9)
    fl.evaluate("cross_entropy", **files)
    assert again.calls == once.calls - calls
    assert bits(result) == bits(whole)
    assert out.read_bytes() == whole_out.read_bytes()
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["logits.npz", "out.npy", "target.npy", "whole.npy"]


def test_checkpoints_are_written_as_time_passes(files, tmp_path, monkeypatch):
    monkeypatch.setattr("fastloss.evaluation._output.INTERVAL", 0.0)
    checkpoint = tmp_path / "ck.json"
    given = files | {"checkpoint": checkpoint}
    Interrupted(monkeypatch, fl.cross_entropy, 5, error=ValueError("bad data"))
    with pytest.raises(ValueError, match="bad data"):
        fl.evaluate("cross_entropy", **given)
    assert json.loads(checkpoint.read_text())["content"]["state"]["rows"] > 0
    monkeypatch.undo()
    whole = fl.evaluate("cross_entropy", **files)
    assert bits(fl.evaluate("cross_entropy", **given)) == bits(whole)


def test_a_checkpoint_of_another_run_is_refused(files, tmp_path, monkeypatch):
    checkpoint = tmp_path / "ck.json"
    given = files | {"checkpoint": checkpoint}
    with monkeypatch.context() as patch:
        Interrupted(patch, fl.cross_entropy, 2)
        with pytest.raises(KeyboardInterrupt):
            fl.evaluate("cross_entropy", **given)
    saved = checkpoint.read_bytes()
    for change, text in (
        ({"worst": 4}, "worst"),
        ({"label_smoothing": 0.1}, "losses"),
        ({"group": np.arange(1000)[:, None]}, "inputs"),
        ({"per_sample": tmp_path / "out.npy"}, "per_sample"),
    ):
        with pytest.raises(ValueError, match=f"checkpoint: .*expected {text} as in the run"):
            fl.evaluate("cross_entropy", **(given | change))
    target = np.load(files["target"])
    np.save(files["target"], target[::-1])  # of the same size, but later
    with pytest.raises(ValueError, match="expected inputs as in the run"):
        fl.evaluate("cross_entropy", **given)
    assert checkpoint.read_bytes() == saved


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"identity": 1}', "\x93NUMPY"])
def test_a_file_that_is_no_checkpoint_is_left_alone(content, files, tmp_path):
    checkpoint = tmp_path / "notes.txt"
    checkpoint.write_text(content)
    with pytest.raises(ValueError, match="expected a checkpoint of fastloss"):
        fl.evaluate("cross_entropy", **files, checkpoint=checkpoint)
    assert checkpoint.read_text() == content


def test_a_checkpoint_needs_sources_that_can_be_read_again(tmp_path):
    with pytest.raises(TypeError, match="got an iterable"):
        fl.evaluate("mse", prediction=iter([np.zeros(3)]), target=0.0, checkpoint=tmp_path / "ck.json")
    assert os.listdir(tmp_path) == []


def test_an_interrupted_run_without_checkpoint_leaves_nothing(files, tmp_path, monkeypatch):
    before = sorted(os.listdir(tmp_path))
    Interrupted(monkeypatch, fl.cross_entropy, 3)
    with pytest.raises(KeyboardInterrupt):
        fl.evaluate("cross_entropy", **files, per_sample=tmp_path / "out.npy")
    assert sorted(os.listdir(tmp_path)) == before


# -- Results ---------------------------------------------------------------------------------------


def test_results_as_table_dictionary_and_json():
    prediction = np.array([1.0, np.nan, np.inf, 0.0])
    result = fl.evaluate(["mse", "mae"], prediction=prediction, target=np.zeros(4), group=list("abba"), worst=2)
    table = str(result)
    for text in ("loss", "mse", "mae", "group", "hardest by mse", "hardest by mae"):
        assert text in table
    assert not any(line != line.rstrip() for line in table.splitlines())
    plain = result.to_dict()
    assert plain["losses"]["mse"]["nan_count"] == 1
    assert plain["losses"]["mse"]["groups"][0]["group"] == "a"
    strict = json.loads(result.to_json(), parse_constant=pytest.fail)
    assert strict["losses"]["mse"]["mean"] == "NaN"
    assert [hard["value"] for hard in strict["losses"]["mse"]["worst"]] == ["NaN", "Infinity"]
    assert float(result["mae"].groups["a"].mean) == 0.5


def test_progress_goes_to_stderr(capsys, monkeypatch):
    logits, target = classes()
    seen = []
    terms = fl.cross_entropy.terms
    monkeypatch.setattr(
        fl.cross_entropy,
        "terms",
        lambda *a, **k: (time.sleep(0.3), seen.append(1), terms(*a, **k))[-1],
    )
    fl.evaluate("cross_entropy", logits=logits, target=target, progress=True, max_memory=20_000)
    out, err = capsys.readouterr()
    assert len(seen) > 4
    assert "evaluate" in err
    assert out == ""
    monkeypatch.undo()
    fl.evaluate("cross_entropy", logits=logits, target=target, progress=True)
    assert capsys.readouterr().err == ""  # under a second


# -- Processes: memory and Ctrl-C ------------------------------------------------------------------


def python(code, **kwargs):
    program = f"import fastloss as fl, numpy as np\n{code}"
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


def peak_memory(expression):
    """Bytes of peak resident memory of a process that evaluates an expression.

    Of its own pages: what getrusage says begins with the memory of the process that started it.
    """
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    process = python(f"{expression}\nprint(open('/proc/self/status').read())")
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    (peak,) = (line.split()[1] for line in out.splitlines() if line.startswith("VmHWM:"))
    return int(peak) * 1024


def baseline():
    return peak_memory("fl.evaluate('mse', prediction=np.zeros(3), target=0.0)")


@pytest.mark.slow
@pytest.mark.parametrize("order", ["C", "F"])
def test_peak_memory_is_bounded(order, tmp_path):
    shape = (2000, 50_000) if order == "C" else (50_000, 2000)
    fortran = order == "F"
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, shape, fortran)
    for rows in np.array_split(x if order == "C" else x.T, 20):
        rows[:] = 0.5
    x.flush()
    size = x.nbytes
    del x
    np.save(tmp_path / "t.npy", np.zeros(shape[0], np.int64))
    peak = peak_memory(
        f"fl.evaluate('cross_entropy', logits={str(tmp_path / 'x.npy')!r}, target={str(tmp_path / 't.npy')!r}, max_memory='32MB')"
    )
    assert size == 400_000_000
    assert peak < 132e6


@pytest.mark.usefixtures("children_hear_sigint")
def test_ctrl_c_is_answered_at_once(tmp_path):
    np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (200_000, 1000))  # sparse zeros
    process = python(
        f"print('ready', flush=True)\n"
        f"while True: fl.evaluate('cross_entropy', logits={str(tmp_path / 'x.npy')!r}, "
        f"target=np.zeros(200_000, int), per_sample={str(tmp_path / 'out.npy')!r})"
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.0)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 10  # a busy machine may take long; what would not listen never ends
    assert "KeyboardInterrupt" in err
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]


def test_evaluations_in_many_threads():
    logits, target = classes()
    whole = bits(fl.evaluate("cross_entropy", logits=logits, target=target))
    results = []

    def work():
        given = {"logits": logits, "target": target}
        results.extend(bits(fl.evaluate("cross_entropy", **given)) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [whole] * 40

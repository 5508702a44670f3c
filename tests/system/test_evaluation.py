"""Promise: a streaming evaluation equals the losses in memory; what its result says."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from evaluations import BATCHWISE, classes, every_loss, inputs
from matrix import every

import fastloss as fl

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

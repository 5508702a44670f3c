"""Promise: states are updated, merged and saved; a run continues from its checkpoint."""

from __future__ import annotations

import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from evaluations import Interrupted, bits, classes

import fastloss as fl

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


# -- Checkpoints -----------------------------------------------------------------------------------


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

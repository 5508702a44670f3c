"""Promise: groups and the hardest samples are those of a loop over all samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evaluations import classes

import fastloss as fl
from fastloss.evaluation._state import Worst, _unique

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

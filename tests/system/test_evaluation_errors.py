"""Promise: what a caller of an evaluation can get wrong is named."""

from __future__ import annotations

import numpy as np
import pytest
from evaluations import chunks, classes

import fastloss as fl
from fastloss.evaluation._run import parse_size


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

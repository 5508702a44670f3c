"""Promise: bad input gets an error naming the argument, what was required and what came.

The form is `<loss>: <argument>: expected <required>, got <received>[ at index (...)]`. Here: types, shapes, the common keywords,
and what was probably meant; options, labels and `out=` have files of their own.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import every_batchwise, every_loss, every_shaped, per_sample, value_count
from refusals import about, inf, methods, nan, refused, sample

import fastloss as fl

# -- Every loss: dtypes and shapes -------------------------------------------------------------------

STRANGE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "object": lambda a: a.astype(object),
    "complex64": lambda a: a.astype(np.complex64),
    "str": lambda a: a.astype(str),
    "bytes": lambda a: a.astype("S8"),
    "datetime": lambda a: np.zeros(a.shape, "M8[s]"),
    "timedelta": lambda a: np.zeros(a.shape, "m8[s]"),
    "structured": lambda a: np.zeros(a.shape, [("x", "f4"), ("y", "i4")]),
    "void": lambda a: np.zeros(a.shape, "V4"),
}
if np.dtype(np.longdouble).itemsize > 8:
    STRANGE["longdouble"] = lambda a: a.astype(np.longdouble)


@every_loss
def test_dtype_of_each_array(loss: fl.Loss) -> None:
    plain, options = sample(loss)
    for (i, name), strange in itertools.product(enumerate(loss.arrays), STRANGE):
        args = [*plain[:i], STRANGE[strange](plain[i]), *plain[i + 1 :]]
        for method in methods(loss):
            with about(strange), refused(TypeError, loss.name, name):
                method(*args, **options)


@every_loss
def test_things_that_are_no_array(loss: fl.Loss) -> None:
    for i in range(len(loss.arrays)):
        for thing in (None, "abc", object(), {1: 2}, {1.0}, lambda: 0):
            args, options = sample(loss)
            args[i] = thing
            with pytest.raises(TypeError, match=f"^{loss.name}: {loss.arrays[i]}: expected"):
                loss(*args, **options)
        args, options = sample(loss)
        args[i] = [[1.0], [1.0, 2.0]]
        with refused((ValueError, TypeError), loss.name, loss.arrays[i]):
            loss(*args, **options)


@every_loss
def test_masked_arrays(loss: fl.Loss) -> None:
    """Their mask would be dropped in silence."""
    for i, name in enumerate(loss.arrays):
        args, options = sample(loss)
        args[i] = np.ma.masked_array(args[i])
        with refused(TypeError, loss.name, name, "mask"):
            loss(*args, **options)


@every_loss
def test_lengths_that_differ(loss: fl.Loss) -> None:
    for method in methods(loss):
        args, options = sample(loss)
        with refused(ValueError, loss.name, "(" + "|".join(loss.arrays) + ")"):
            method(*args[:-1], args[-1][:-1], **options)
        with refused(ValueError, loss.name, "(" + "|".join(loss.arrays) + ")"):
            method(args[0][:1], *args[1:], **options)  # no broadcasting of length one


@every_loss
def test_ranks_that_differ(loss: fl.Loss) -> None:
    """(N,) against (N, 1) is an error, not an N x N loss."""
    args, options = sample(loss)
    for i, index in itertools.product(range(len(args)), [(slice(None), None), (None,), (Ellipsis, None, None)]):
        wrong = list(args)
        wrong[i] = wrong[i][index]
        with about(index), refused((ValueError, TypeError), loss.name, "(" + "|".join(loss.arrays) + ")"):
            loss(*wrong, **options)


# -- Every loss: the common keywords -----------------------------------------------------------------


WRONG_WEIGHTS: list[tuple[type[Exception], Any, list[str]]] = [
    (ValueError, [1, 1, 1, -0.5, 1, 1], [r"-0\.5", r"at index \(3,\)"]),
    (ValueError, [1, 1, nan, 1, 1, 1], ["nan", r"at index \(2,\)"]),
    (ValueError, [1, inf, 1, 1, 1, 1], ["inf", r"at index \(1,\)"]),
    (ValueError, -1.0, ["-1"]),
    (ValueError, nan, ["nan"]),
    (ValueError, np.ones(5), [r"\(6,\)", r"\(5,\)"]),
    (ValueError, np.ones((6, 1)), [r"\(6,\)", r"\(6, 1\)"]),
    (ValueError, np.ones((1, 6)), [r"\(6,\)", r"\(1, 6\)"]),
    (ValueError, np.ones(0), [r"\(0,\)"]),
    (TypeError, np.ones(6, complex), ["complex128"]),
    (TypeError, np.ones(6, object), ["object"]),
    (TypeError, ["a"] * 6, ["."]),
    (TypeError, "none", ["."]),
]


@every_shaped
def test_sample_weight(loss: fl.Loss) -> None:
    args, options = sample(loss)
    for method, (kind, weight, parts) in itertools.product(methods(loss), WRONG_WEIGHTS):
        with about(weight), refused(kind, loss.name, "sample_weight", *parts):
            method(*args, **options, sample_weight=weight)


@every_batchwise
def test_sample_weight_of_a_batch(loss: fl.Loss) -> None:
    """One for each value; those of pairs that are both anchors have two."""
    args, options = sample(loss)
    count = value_count(loss, 6)
    wrong: list[tuple[type[Exception], Any, str]] = [
        (ValueError, np.r_[np.ones(count - 1), -0.5], rf"-0\.5.* at index \({count - 1},\)"),
        (ValueError, np.r_[np.ones(count - 1), nan], "nan"),
        (ValueError, np.r_[inf, np.ones(count - 1)], r"inf.* at index \(0,\)"),
        (ValueError, -1.0, "-1"),
        (ValueError, np.ones(count - 1), rf"\({count},\).*\({count - 1},\)"),
        (ValueError, np.ones((count, 1)), rf"\({count},\).*\({count}, 1\)"),
        (TypeError, np.ones(count, complex), "complex128"),
        (TypeError, ["a"] * count, "."),
    ]
    for kind, weight, part in wrong:
        for method in methods(loss):
            with refused(kind, loss.name, "sample_weight", part):
                method(*args, **options, sample_weight=weight)


@every_shaped
def test_sample_weight_does_not_broadcast_from_the_right(loss: fl.Loss) -> None:
    args, options = loss.sample(np.random.default_rng(0), size=12)
    shaped = per_sample(loss, args, lambda a: a.reshape(3, 4, *a.shape[1:]))
    with refused(ValueError, loss.name, "sample_weight", r"\(3, 4\)", r"\(4,\)"):
        loss(*shaped, **options, sample_weight=np.ones(4))


@every_loss
def test_reduction(loss: fl.Loss) -> None:
    args, options = sample(loss)
    wrong = ("avg", "Mean", "", None, 1, b"mean", ["mean"], np.array(["mean", "sum"]))
    for method, bad in itertools.product([m for m in methods(loss) if m != loss.terms], wrong):
        with about(bad), refused((ValueError, TypeError), loss.name, "reduction", "'none'", "'sum'", "'mean'"):
            method(*args, **options, reduction=bad)


@every_loss
def test_calls_python_itself_refuses(loss: fl.Loss) -> None:
    args, options = sample(loss)
    for method in methods(loss):
        with pytest.raises(TypeError, match="weight"):
            method(*args, **options, weight=1.0)  # the bare name of elsewhere
        with pytest.raises(TypeError):
            method(*args[:1], **options)
        with pytest.raises(TypeError):
            method(*args, 1.0, **options)
        with pytest.raises(TypeError):
            method()
    with pytest.raises(TypeError, match="out"):
        loss(*args, **options, out=np.empty(6))


# -- What was probably meant -------------------------------------------------------------------------

Z, ROWS, IMAGES = np.zeros, (4, 3), (2, 3, 5, 5)
MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "one-hot integers where indices are meant": (lambda: fl.nll(Z(ROWS), Z(ROWS, int)), r"target\.argmax\(axis=1\)"),
    "one-hot floats where indices are meant": (lambda: fl.multiclass_hinge(Z(ROWS), Z(ROWS)), r"target\.argmax\(axis=1\)"),
    "binary tasks where a level is meant": (lambda: fl.coral(Z(ROWS), Z(ROWS, int)), "binary tasks add up to it"),
    "labels in a column": (lambda: fl.cross_entropy(Z(ROWS), Z((4, 1), int)), r"target\.reshape\(\(4,\)\)"),
    "labels as floats": (lambda: fl.cross_entropy(Z(ROWS), Z(4)), r"target\.astype\(int\)"),
    "classes along another axis": (lambda: fl.cross_entropy(Z(IMAGES), Z((2, 5, 5), int)), "axis=1 says"),
    "labels from 1": (lambda: fl.cross_entropy(Z(ROWS), np.array([1, 2, 3, 1])), "subtract 1"),
    "levels from 1": (lambda: fl.cumulative_link(Z(3), [0.0, 1.0], [1, 2, 3]), "subtract 1"),
    "labels from 1 of a map": (lambda: fl.dice(Z(IMAGES), np.full((2, 5, 5), 3)), "subtract 1"),
    "padding": (lambda: fl.squared_emd(Z(ROWS), np.array([0, 1, -1, -1])), "ignore_index"),
    "names": (lambda: fl.cross_entropy(Z(ROWS), np.array(["cat", "dog", "cat", "cow"])), "return_inverse=True"),
    "a column against a vector": (lambda: fl.mse(Z(4), Z((4, 1))), r"nothing is broadcast: target\.reshape\(\(4,\)\)"),
    "class indices of a binary loss": (lambda: fl.binary_cross_entropy_with_logits(Z(ROWS), Z(4, int)), "for cross_entropy"),
    "class indices of a divergence": (lambda: fl.kl_div(Z(ROWS), Z(4, int)), "class indices are for nll"),
    "labels -1 and 1 of a binary loss": (lambda: fl.sigmoid_focal(Z(2), [-1, 1]), r"\(t \+ 1\) / 2"),
    "labels 0 and 1 of a margin loss": (lambda: fl.hinge(Z(2), [0, 1]), r"2 \* t - 1"),
    "labels 0 and 1 of a cosine": (lambda: fl.cosine_embedding(Z(ROWS), Z(ROWS), [0, 1, 1, 1]), r"2 \* t - 1"),
    "labels 0 and 1 of a distance": (lambda: fl.hinge_embedding(Z(2), [0, 1]), r"2 \* t - 1"),
    "labels -1 and 1 of pairs": (lambda: fl.contrastive(Z(ROWS), Z(ROWS), [-1, 1, 1, 1]), "t > 0"),
    "logits where probabilities are meant": (lambda: fl.binary_cross_entropy([3.0], [1]), "binary_cross_entropy_with_logits"),
    "logarithms where probabilities are meant": (lambda: fl.kl_div(Z(ROWS), -np.ones(ROWS)), "log_target=True"),
    "weights of samples as those of classes": (lambda: fl.nll(Z(ROWS), Z(4, int), class_weight=Z(4)), "sample_weight"),
    "weights in a column": (lambda: fl.mse(Z(4), Z(4), sample_weight=np.ones((4, 1))), r"sample_weight\.reshape\(\(4,\)\)"),
    "weights of the last axis": (lambda: fl.mse(Z(ROWS), Z(ROWS), sample_weight=np.ones(3)), r"\.reshape\(\(1, 3\)\)"),
    "a masked array": (lambda: fl.mse(np.ma.masked_array([1.0]), Z(1)), r"a\.data, sample_weight=~a\.mask"),
    "a masked array to evaluate": (
        lambda: fl.evaluate("mse", prediction=np.ma.masked_array([1.0]), target=Z(1)), r"a\.data, sample_weight=~a\.mask"
    ),
    "objects": (lambda: fl.mse(np.array([1.0, 2.0], object), Z(2)), r"astype\(float\)"),
    "a mask without the class axis": (
        lambda: fl.dice(Z((2, 1, 5, 5)), np.ones((2, 5, 5), int), activation="sigmoid"), r"target\.reshape\(\(2, 1, 5, 5\)\)"
    ),
    "an empty mask without the class axis": (  # class index 0 everywhere would be a mask of ones
        lambda: fl.jaccard(Z((2, 1, 5, 5)), Z((2, 5, 5), int), activation="sigmoid"), "a mask of shape .* one class"
    ),
    "a mask of 0 and 255": (
        lambda: fl.lovasz(Z((2, 5, 5)), np.full((2, 5, 5), 255), axis=None, activation="sigmoid"), "target > 0"
    ),
    "a misspelt option": (lambda: fl.evaluate("huber", prediction=Z(2), target=Z(2), detla=1.0), "did you mean 'delta'"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_usual_mistake_is_told_its_remedy(mistake: str) -> None:
    call, remedy = MISTAKES[mistake]
    with pytest.raises((TypeError, ValueError, IndexError), match=r"expected .+, got .+") as caught:
        call()
    assert re.search(remedy, str(caught.value)), caught.value


# -- The same words everywhere -----------------------------------------------------------------------


def test_the_words_of_the_contract() -> None:
    y = np.zeros(5, int)
    y[3] = 12
    with pytest.raises(IndexError) as caught:
        fl.cross_entropy(np.zeros((5, 10)), y)
    assert str(caught.value) == "cross_entropy: target: expected class indices in [0, 10), got 12 at index (3,)"


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2", None, nan])
def test_thread_count(bad: Any) -> None:
    before = fl.get_num_threads()
    with pytest.raises((ValueError, TypeError), match=r"expected .+, got"):
        fl.set_num_threads(bad)
    with pytest.raises((ValueError, TypeError), match=r"expected .+, got"), fl.num_threads(bad):
        pass
    assert fl.get_num_threads() == before

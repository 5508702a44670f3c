"""Promise: a label or target that is none is refused, with the place where it stands."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from cases import every_ignoring, every_labelled, every_rowwise, levels
from matrix import every
from refusals import inf, methods, nan, refused

import fastloss as fl


@every("bad", [-1, 3, 4, 12, -99, -101, -(2**63), 2**63 - 1, 2**31, -(2**31), 2**32, 2**32 + 1])
@every_labelled
def test_label_out_of_range(loss: fl.Loss, bad: int, isa: str) -> None:
    """The error names the class count, the label and where it stands; for every integer dtype that holds it."""
    x, top = -np.ones((5, 3), np.float32), levels(loss, 3)
    if 0 <= bad < top:
        pytest.skip("a level of this loss")
    for dtype in np.typecodes["AllInteger"]:
        if not np.iinfo(dtype).min <= bad <= np.iinfo(dtype).max:
            continue
        y = np.zeros(5, dtype)
        y[3] = bad
        for method in methods(loss):
            with refused(IndexError, loss.name, "target", rf"\[0, {top}\)", f"got {bad} at index", r"\(3,\)"):
                method(x, y)


@every_labelled
def test_label_out_of_range_of_uint64(loss: fl.Loss) -> None:
    y = np.array([0, 2**64 - 100], np.uint64)  # as int64 this is -100, the default ignore_index
    with refused(IndexError, loss.name, "target", "18446744073709551516", r"\(1,\)"):
        loss(-np.ones((2, 3)), y)


@every_ignoring
def test_ignored_label_is_refused_when_nothing_is_ignored(loss: fl.Loss) -> None:
    x = -np.ones((2, 3))
    assert loss(x, [0, -100]) == loss(x[:1], [0])
    with refused(IndexError, loss.name, "target", r"got -100 at index \(1,\)"):
        loss(x, [0, -100], ignore_index=None)
    with refused(IndexError, loss.name, "target", r"got -100 at index \(1,\)"):
        loss(x, [0, -100], ignore_index=-1)


@every_labelled
def test_label_out_of_range_in_many_axes(loss: fl.Loss, isa: str) -> None:
    x = -np.ones((2, 3, 4, 5), np.float32)
    y = np.zeros((2, 4, 5), np.int64)
    top = y[1, 2, 3] = levels(loss, 3)
    for method in methods(loss):
        with refused(IndexError, loss.name, "target", rf"\[0, {top}\)", rf"got {top} at index \(1, 2, 3\)"):
            method(x, y, axis=1)
    y = np.zeros((2, 3, 4), np.int64)
    top = y[1, 0, 3] = levels(loss, 5)
    for layout in (y, y.copy("F"), y[::-1].copy()[::-1]):
        with refused(IndexError, loss.name, "target", rf"\[0, {top}\)", rf"got {top} at index \(1, 0, 3\)"):
            loss(x, layout)


@every("threads", [1, 2, 7])
@every_labelled
def test_label_out_of_range_deep_in_a_parallel_call(loss: fl.Loss, threads: int, isa: str) -> None:
    """The first bad label is the one named, whichever thread meets one."""
    x = -np.ones((100_003, 9), np.float32)
    y = np.zeros(100_003, np.int32)
    top = levels(loss, 9)
    y[[61_234, 99_999]] = top, -5
    with fl.num_threads(threads):
        for method in methods(loss):
            with refused(IndexError, loss.name, "target", rf"got {top} at index \(61234,\)"):
                method(x, y)


@every_labelled
def test_float_labels(loss: fl.Loss) -> None:
    """Whole numbers stored as floats are not labels, and say so."""
    with refused((TypeError, ValueError), loss.name, "target", "float64"):
        loss(-np.ones((2, 3)), np.array([0.0, 2.0]))
    with refused((TypeError, ValueError), loss.name, "target"):
        loss(-np.ones((2, 3)), np.array([0.0, nan]))


DISTRIBUTIONS = dict.fromkeys(("cross_entropy", "softmax_focal", "kl_div", "kl_div_with_logits"), ("target",))
DISTRIBUTIONS["js_divergence"] = ("p", "q")  # the arrays of losses of rows that are probabilities in the shape of the others


@every("axis", [-1, 0])
@every_rowwise
def test_integers_of_the_logits_shape_are_one_hot_or_refused(loss: fl.Loss, axis: int) -> None:
    """Zeros and a single 1 mean the same as floats; anything else is class indices, independent labels or counts, read as
    probabilities. `cross_entropy(np.zeros(3), [0, 1, 1])` was 2 log 3 = 2.197."""
    if loss.name not in DISTRIBUTIONS:
        if loss.arrays[-1] == "target":
            with refused((TypeError, ValueError), loss.name, "target", r"of shape \(5,\)"):
                loss(np.zeros((5, 5)), np.eye(5, dtype=int))
        return
    rows = np.eye(5, dtype=int)[[3, 0, 0, 1, 4]]
    rows[2] = 0
    at = (3, 2) if axis == -1 else (2, 3)
    for name, dtype in itertools.product(DISTRIBUTIONS[loss.name], (bool, *np.typecodes["AllInteger"])):
        place = loss.arrays.index(name)
        args = [np.full((5, 5), 0.2) for _ in loss.arrays]
        args[place] = (rows if axis == -1 else rows.T).astype(dtype)
        as_floats = [a.astype(float) for a in args]
        assert loss(*args, axis=axis) == loss(*as_floats, axis=axis)
        args[place][at] = as_floats[place][at] = 1  # the second of its row
        for method in methods(loss):
            with refused(ValueError, loss.name, name, "one-hot", rf"a second 1 at index {re.escape(str(at))}"):
                method(*args, axis=axis)
        loss(*as_floats, axis=axis)  # who means it says so with floats
        loss(*args, axis=axis, sample_weight=[1, 1, 1, 0, 1])
        if dtype is not bool:
            args[place][at] = 2
            with refused(ValueError, loss.name, name, rf"got 2 at index {re.escape(str(at))}"):
                loss(*args, axis=axis)


@every("shape", [(3,), (4, 3), (2, 3, 2)], str)
@every("name", ["cross_entropy", "softmax_focal"])
def test_binary_labels_of_softmax_losses_hear_what_is_meant(name: str, shape: tuple[int, ...]) -> None:
    kept = re.escape(str(shape[:-1]))
    hints = [rf"class indices have shape {kept}", "binary_cross_entropy_with_logits"]
    with refused(ValueError, name, "target", *hints):
        fl.LOSSES[name](np.zeros(shape), np.ones(shape, int))
    with refused(ValueError, name, "target", "1 for a single class", *hints):  # softmax of one logit is 1: the loss would be 0
        fl.LOSSES[name](np.zeros(shape)[..., :1], np.zeros(shape, bool)[..., :1])
    assert fl.LOSSES[name](np.zeros(shape)[..., :1], np.ones(shape, bool)[..., :1]) == 0


@every("bad", [-1e-7, 1.0000001, -1.0, 2.0, inf, -inf])
def test_class_probability_outside_the_unit_interval(bad: float, isa: str) -> None:
    for shape in ((9, 35), (3, 129), (2, 4099)):
        for dtype in (np.float32, np.float64):
            t = np.full(shape, 1 / shape[1], dtype)
            t[1, 30] = bad
            for x, target, axis, at in (
                (np.zeros(shape, dtype), t, -1, r"\(1, 30\)"),
                (np.zeros(shape[::-1], dtype), t.T.copy(), 0, r"\(30, 1\)"),
            ):
                for method in methods(fl.cross_entropy):
                    with refused(ValueError, "cross_entropy", "target", r"\[0, 1\]", f"at index {at}"):
                        method(x, target, axis=axis)


@every_rowwise
def test_no_classes(loss: fl.Loss) -> None:
    for method in methods(loss):
        with refused(ValueError, loss.name, loss.arrays[0]):
            method(np.ones((3, 0)), np.zeros(3, int))


@every_rowwise
def test_no_axes(loss: fl.Loss) -> None:
    for method in methods(loss):
        with refused(ValueError, loss.name, "(" + "|".join(loss.arrays) + ")"):
            method(np.float64(1.0), 0)


# -- Domains of the foundation's losses --------------------------------------------------------------


@every("bad", [-1e-7, 1.0000001, -1.0, 2.0, inf, -inf])
@every("name", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_binary_target_outside_the_unit_interval(name: str, bad: float, isa: str) -> None:
    loss = fl.LOSSES[name]
    for dtype in (np.float32, np.float64):
        t = np.zeros((3, 35), dtype)
        t[1, 30] = bad
        for method in methods(loss):
            with refused(ValueError, name, "target", r"\[0, 1\]", r"at index \(1, 30\)"):
                method(np.full((3, 35), 0.5, dtype), t)


@every("bad", [-1e-7, 1.0000001, -1.0, 2.0, inf, -inf])
def test_probability_outside_the_unit_interval(bad: float, isa: str) -> None:
    p = np.full(101, 0.5)
    p[77] = bad
    for method in methods(fl.binary_cross_entropy):
        with refused(ValueError, "binary_cross_entropy", "probs", r"\[0, 1\]", r"at index \(77,\)"):
            method(p, np.zeros(101))


def test_integer_binary_labels_other_than_0_and_1() -> None:
    for bad in (-1, 2, 255):
        with refused(ValueError, "binary_cross_entropy_with_logits", "target", str(bad), r"\(1,\)"):
            fl.binary_cross_entropy_with_logits(np.zeros(2), np.array([0, bad]))

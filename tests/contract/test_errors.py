"""Promise: bad input gets an error naming the argument, what was required and what came; nothing is written.

The form is `<loss>: <argument>: expected <required>, got <received>[ at index (...)]`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from cases import (
    LOSSES,
    REGIONS,
    as_tuple,
    every_batchwise,
    every_differentiable,
    every_ignoring,
    every_labelled,
    every_loss,
    every_rowwise,
    every_shaped,
    levels,
    option_values,
    per_sample,
    value_count,
)
from matrix import every

import fastloss as fl
import fastloss._check as _check

nan, inf = np.nan, np.inf


@contextmanager
def refused(kind: type[Exception] | tuple[type[Exception], ...], name: str, argument: str, *parts: str) -> Iterator[None]:
    """The block raises `kind`, saying `name: argument: expected ..., got ...`, with each part somewhere."""
    with pytest.raises(kind) as caught:
        yield
    text = str(caught.value)
    assert re.match(rf"{name}: {argument}: expected .+, got .+", text), text
    for part in parts:
        assert re.search(part, text), (part, text)


@contextmanager
def about(value: Any) -> Iterator[None]:
    """What fails in the block says of which value."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"with {value!r}")
        raise


def sample(loss: fl.Loss, size: int = 6) -> tuple[list[Any], dict[str, Any]]:
    args, options = loss.sample(np.random.default_rng(0), size=size)
    return list(args), options


def methods(loss: fl.Loss) -> list[Callable[..., Any]]:
    found: list[Callable[..., Any]] = [loss, loss.terms]
    found += [loss.grad, loss.value_and_grad] if loss.max_order >= 1 else []
    found += [loss.hess, loss.grad_and_hess] if loss.max_order >= 2 else []
    return found


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


# -- Options out of range ----------------------------------------------------------------------------

UNIT = [(ValueError, v) for v in (-0.1, 0.0, 1.0, 1.1, nan, inf)] + [(TypeError, v) for v in ("1", None, 1j)]
AT_LEAST_ZERO = [(ValueError, v) for v in (-1e-9, -1.0, nan, inf)] + [(TypeError, v) for v in ("1", None, 1j)]
SWITCH = [(TypeError, v) for v in (1, 0, "True", None, 1.0)]
PRIORS: list[tuple[Any, Any]] = [(ValueError, v) for v in (nan, inf, np.ones(5), np.ones((2, 7)), [0.0] * 6 + [nan])]
PRIORS += [(TypeError, v) for v in ("abc", None, np.ones(7, complex), 1j)]
NO_NUMBERS: list[tuple[Any, Any]] = [(TypeError, v) for v in ("1", None, [1.0, 2.0], 1j)]
POSITIVE = [*[(ValueError, v) for v in (0.0, -1e-9, -1.0, nan, inf)], *NO_NUMBERS]
AT_LEAST_ZERO = [*[(ValueError, v) for v in (-1e-9, -1.0, nan, inf)], *NO_NUMBERS]
UNIT = [*[(ValueError, v) for v in (-0.1, 0.0, 1.0, 1.1, nan, inf)], *NO_NUMBERS]
SWITCH: list[tuple[Any, Any]] = [(TypeError, v) for v in (1, 0, 0.0, "True", None)]
LENGTHS: list[tuple[Any, Any]] = [(ValueError, v) for v in (3, [3] * 5, [3] * 7, [[3]] * 6, [[3] * 6])]
LENGTHS += [(TypeError, v) for v in (np.full(6, 3.0), "abc", ["3"] * 6, [3, 3, 3, 3, 3, None], np.full(6, 3j))]

# By the option's name, or "loss.option" where one loss differs.
OPTIONS: dict[str, list[tuple[Any, Any]]] = {
    "alpha": AT_LEAST_ZERO,
    "beta": AT_LEAST_ZERO,
    "blank": [(ValueError, v) for v in (-1, 7, 2**40, -(2**70))] + [(TypeError, v) for v in (0.0, "0", None, [0], True)],
    "delta": POSITIVE,
    "energy.beta": POSITIVE,
    "epsilon": [*[(ValueError, v) for v in (nan, inf, -inf)], *NO_NUMBERS],
    "eps": AT_LEAST_ZERO,
    "binary_cross_entropy.eps": [*[(ValueError, v) for v in (-1e-9, 0.6, 1.0, nan, inf)], *NO_NUMBERS],
    "gaussian_nll.eps": POSITIVE,
    "mape.eps": POSITIVE,
    "free_nats": AT_LEAST_ZERO,
    "full": SWITCH,
    "gamma": AT_LEAST_ZERO,
    "label_smoothing": [(ValueError, v) for v in (-0.1, 1.1, nan, inf)] + [(TypeError, v) for v in ("1", None, 1j)],
    "axis": [(ValueError, v) for v in (2, -3, 99)] + [(TypeError, v) for v in (0.5, "0", None, (0, 1))],
    "ignore_index": [(TypeError, v) for v in (1.5, "1", [1], nan)],
    "class_weight": [
        (ValueError, np.ones(1)),
        (ValueError, np.ones(99)),
        (ValueError, np.ones((2, 2))),
        (ValueError, 1.0),
        ("last", -1.0),
        ("last", nan),
        ("last", inf),
        (TypeError, "abc"),
        (TypeError, np.ones(3, complex)),
        (TypeError, np.ones(3, object)),
    ],
    "input_lengths": [*LENGTHS, *[(ValueError, v) for v in ([8, 8, 8, 9, 8, 8], [8, -1, 8, 8, 8, 8])]],
    "kind": [(ValueError, v) for v in ("hinges", "", None, 1, b"hinge")],
    "length_normalize": [(ValueError, v) for v in ("none", "T", "", 1, True, b"input")],
    "level_weight": [(ValueError, np.ones(2)), (ValueError, 1.0), ("last", -1.0), ("last", nan), (TypeError, "abc")],
    "link": [(ValueError, v) for v in ("loglog", "", None, 1)],
    "log_input": SWITCH,
    "log_probs": SWITCH,
    "log_target": SWITCH,
    "margin": POSITIVE,
    "hinge.margin": AT_LEAST_ZERO,
    "squared_hinge.margin": AT_LEAST_ZERO,
    "p": [(ValueError, v) for v in (0, 3, -1)] + [(TypeError, v) for v in (1.0, "1", None, True)],
    "pos_weight": [(ValueError, v) for v in (-1.0, nan, inf, np.ones(5), np.ones((2, 6)), [1, 1, 1, 1, 1, -1])]
    + [(TypeError, v) for v in ("abc", np.ones(6, complex), 1j)],
    "power": [*[(ValueError, v) for v in (-1.0, 1e-9, 0.5, 0.999, nan, inf)], *NO_NUMBERS],
    "prior_log_variance": PRIORS,
    "prior_mean": PRIORS,
    "q": UNIT,
    "generalized_cross_entropy.q": [*[(ValueError, v) for v in (-0.1, 0.0, 1.1, nan, inf)], *NO_NUMBERS],
    "sigmoid_focal.alpha": [
        *[(ValueError, v) for v in (-0.1, 1.1, nan, inf)],
        (TypeError, "1"),
        (TypeError, [1.0]),
        (TypeError, 1j),
    ],
    "target_lengths": [*LENGTHS, *[(ValueError, v) for v in ([3, 3, 3, 4, 3, 3], [3, -1, 3, 3, 3, 3])]],
    "tau": UNIT,
    "temperature": POSITIVE,
    "time_major": SWITCH,
    "zero_infinity": SWITCH,
    "average": [(ValueError, v) for v in ("all", "", None, 1, b"active")],
    "batch_triplet.margin": AT_LEAST_ZERO,
    "mining": [(ValueError, v) for v in ("easy", "", None, 1, b"hard", ["hard"])],
    "negatives": [(ValueError, v) for v in (1.0, np.ones(8), np.ones((3, 7)), np.ones((3, 1, 8)))]
    + [(TypeError, v) for v in ("abc", np.ones((3, 8), complex), np.ones((3, 8), object), 1j)],
    "normalize": SWITCH,
    "symmetric": SWITCH,
    "contrastive.margin": AT_LEAST_ZERO,
    "contrastive.power": [*[(ValueError, v) for v in (-1.0, 0.0, 0.999, nan, inf)], *NO_NUMBERS],
    "cosine_embedding.margin": [*[(ValueError, v) for v in (-1.001, 1.001, nan, inf)], *NO_NUMBERS],
    "hinge_embedding.margin": AT_LEAST_ZERO,
    "margin_ranking.margin": AT_LEAST_ZERO,
    "swap": SWITCH,
    "triplet.margin": AT_LEAST_ZERO,
    "triplet.p": [*[(ValueError, v) for v in (-1.0, 0.0, 0.999, nan, -inf)], *NO_NUMBERS],
    "activation": [(ValueError, v) for v in ("relu", "", "Softmax", 1, b"sigmoid", ["softmax"])],
    "dice_cross_entropy.activation": [(ValueError, v) for v in ("relu", None, 1)],
    "batch": SWITCH,
    "per_image": SWITCH,
    "include_background": SWITCH,
    "only_present": [(TypeError, v) for v in (1, 0, "True", 0.0)],
    "squared": SWITCH,
    "smooth": AT_LEAST_ZERO,
    "dice_weight": AT_LEAST_ZERO,
    "ce_weight": AT_LEAST_ZERO,
    "focal_tversky.gamma": POSITIVE,
    "format": [(ValueError, v) for v in ("yxyx", "", None, 1)],
    **{
        f"{loss.name}.axis": [(ValueError, v) for v in (4, -5, 99)] + [(TypeError, v) for v in (0.5, "1", (0, 1), True)]
        for loss in REGIONS
    },
}


@pytest.mark.parametrize(
    "value", [np.array(v) for v in ("x", "1.5", True, 1j, None, np.datetime64("2020"))] + [np.zeros((), [("a", "f4")])], ids=repr
)
def test_a_number_in_a_0d_array_is_a_real_number(value: np.ndarray) -> None:
    """Whatever float() makes of it, or fails to."""
    for loss, option in ((fl.huber, "delta"), (fl.smooth_l1, "beta"), (fl.cross_entropy, "label_smoothing")):
        args, options = sample(loss)
        with refused(TypeError, loss.name, option):
            loss(*args, **{**options, option: value})


def test_an_integer_too_large_for_a_float_is_out_of_range() -> None:
    with refused(ValueError, "huber", "delta"):
        fl.huber(1.0, 2.0, delta=10**400)


def test_misaligned_class_weights_are_copied() -> None:
    """The kernels index them as doubles where they lie."""
    buffer = np.zeros(3 * 8 + 1, np.uint8)
    weight = buffer[1:].view(np.float64)
    weight[:] = 1.0, 2.0, 3.0
    assert not weight.flags.aligned
    kept = _check.class_weights("class_weight", weight, 3)
    assert kept.flags.aligned
    assert kept.tolist() == [1.0, 2.0, 3.0]


@every_loss
def test_options(loss: fl.Loss) -> None:
    args, options = sample(loss)
    for option in loss.options:
        assert option_values(OPTIONS, loss, option), option
        for kind, value in option_values(OPTIONS, loss, option):
            if kind == "last":  # one bad entry among good ones
                weight = np.ones(args[0].shape[1 if loss in REGIONS else -1])
                weight[-1] = value
                kind, value = ValueError, weight
            for method in methods(loss):
                with about(value), refused(kind, loss.name, option):
                    method(*args, **{**options, option: value})


# -- Labels ------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("name", "bad"), [("binary_cross_entropy", 0.6), ("binary_cross_entropy", 1.0), ("mape", 0.0)])
def test_eps_of_one_loss(name: str, bad: float) -> None:
    args, options = sample(fl.LOSSES[name])
    for method in methods(fl.LOSSES[name]):
        with refused(ValueError, name, "eps"):
            method(*args, **options, eps=bad)


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


# -- out= --------------------------------------------------------------------------------------------


def gradients(loss: fl.Loss) -> list[Callable[..., Any]]:
    return [loss.grad, loss.value_and_grad]


@every_differentiable
def test_out_of_the_wrong_kind(loss: fl.Loss) -> None:
    args, options = sample(loss)
    right = as_tuple(loss.grad(*args, **options))

    def first(other: Any) -> Any:
        return (other, *(r.copy() for r in right[1:])) if len(right) > 1 else other

    r = right[0]
    locked = r.copy()
    locked.flags.writeable = False
    wrong = [
        (ValueError, r[:-1].copy()),
        (ValueError, r[None].copy()),
        (ValueError, np.empty((), r.dtype)),
        (ValueError, locked),
        (ValueError, np.broadcast_to(np.float32(0), r.shape)),
        (TypeError, r.astype(np.float64)),
        (TypeError, r.astype(np.int32)),
        (TypeError, r.astype(r.dtype.newbyteorder())),
        (TypeError, r.tolist()),
        (TypeError, "out"),
    ]
    for kind, other in wrong:
        for method in gradients(loss):
            with refused((kind, ValueError, TypeError), loss.name, "out"):
                method(*args, **options, out=first(other))
    for method in gradients(loss):
        with refused((ValueError, TypeError), loss.name, "out"):
            method(*args, **options, out=(*right, right[0].copy()))
        with refused((ValueError, TypeError), loss.name, "out"):
            method(*args, **options, out=())


@every_differentiable
def test_out_that_overlaps_itself(loss: fl.Loss) -> None:
    """A writable buffer whose entries share memory would be a race."""
    args, options = sample(loss)
    right = as_tuple(loss.grad(*args, **options))
    r = right[0]
    folded = np.lib.stride_tricks.as_strided(np.empty(r.shape[1:] or (1,), r.dtype), r.shape, (0, *r.strides[1:]))
    with refused(ValueError, loss.name, "out"):
        loss.grad(*args, **options, out=(folded, *right[1:]) if len(right) > 1 else folded)


@every_differentiable
def test_out_that_overlaps_an_input(loss: fl.Loss) -> None:
    """Exactly the differentiable input, or memory of its own: a shifted view would read what it wrote."""
    args, options = sample(loss, 9)
    i = loss.arrays.index(loss.wrt[0])
    buffer = np.concatenate([args[i], args[i][:1]])
    args[i] = buffer[:-1]
    before = buffer.copy()
    if len(loss.wrt) == 1:
        with refused(ValueError, loss.name, "out"):
            loss.grad(*args, **options, out=buffer[1:])
        with refused(ValueError, loss.name, "out"):
            loss.grad(*args, **options, out=buffer[-2::-1])
    assert np.array_equal(buffer, before)


@pytest.mark.parametrize("name", [loss.name for loss in LOSSES if loss.pointwise and len(loss.wrt) == 1])
def test_out_that_is_the_target(name: str) -> None:
    """Exactly one of the inputs, not only the differentiable one."""
    loss = fl.LOSSES[name]
    args, options = sample(loss, 1003)
    expected = loss.grad(*args, **options)
    assert loss.grad(*args, **options, out=args[1]) is args[1]
    assert np.array_equal(args[1], expected)


# -- Nothing is written on an error ------------------------------------------------------------------


@every("shape", [(7, 5), (20_011, 9)], str)
@every("axis", [-1, 0])
@every_labelled
def test_in_place_logits_survive_a_bad_label(loss: fl.Loss, shape: tuple[int, int], axis: int, isa: str) -> None:
    """The last label is wrong, the buffer is the logits themselves: not one entry changes."""
    x = -np.random.default_rng(0).exponential(1.0, shape).astype(np.float32)
    y = np.zeros(shape[0], np.int64)
    y[-1] = levels(loss, shape[1])
    x = x if axis == -1 else np.ascontiguousarray(x.T)
    before = x.copy()
    for threads in (1, 3):
        with fl.num_threads(threads):
            for method in gradients(loss):
                with pytest.raises(IndexError):
                    method(x, y, axis=axis, out=x)
                assert np.array_equal(x, before)


@every("size", [9, 1_000_003])
@every("name", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_in_place_input_survives_a_bad_target(name: str, size: int, isa: str) -> None:
    x = np.full(size, 0.5, np.float32)
    t = np.zeros(size, np.float32)
    t[-1] = 1.5
    for method in gradients(fl.LOSSES[name]):
        with pytest.raises(ValueError, match="target"):
            method(x, t, out=x)
        assert (x == 0.5).all()


@every_differentiable
def test_out_survives_every_other_error(loss: fl.Loss) -> None:
    args, options = sample(loss)
    right = as_tuple(loss.grad(*args, **options))
    buffers = tuple(np.full_like(r, 7) for r in right)
    out = buffers if len(buffers) > 1 else buffers[0]
    weight = np.ones(6)
    weight[-1] = nan
    for wrong in ({"sample_weight": weight}, {"reduction": "avg"}, {"nonsense": 1}):
        for method in gradients(loss):
            with pytest.raises((ValueError, TypeError)):
                method(*args, **{**options, **wrong}, out=out)
    assert all((b == 7).all() for b in buffers)


@every_loss
def test_inputs_survive_errors(loss: fl.Loss) -> None:
    args, options = sample(loss)
    before = [a.tobytes() for a in args]
    for method in methods(loss):
        with pytest.raises(ValueError, match="sample_weight"):
            method(*args, **options, sample_weight=-np.ones(6))
    assert [a.tobytes() for a in args] == before


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

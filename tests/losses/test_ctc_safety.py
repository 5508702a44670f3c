"""Promise: no length, label, shape or type makes CTC touch memory outside; the error names the argument and the sample.

N samples, T frames, C classes, S labels. tests/support/fuzz.py makes such calls at random.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from cases import as_tuple
from matrix import every

import fastloss as fl

N, T, C, S = 5, 12, 6, 4
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "ctc": fl.ctc,
    "ctc.grad": fl.ctc.grad,
    "ctc.value_and_grad": fl.ctc.value_and_grad,
    "ctc.terms": fl.ctc.terms,
    "ctc_align": fl.ctc_align,
    "ctc_posteriors": fl.ctc_posteriors,
}
every_function = every("name", FUNCTIONS)
every_target = every("concatenated", [False, True], ("padded", "concatenated").__getitem__)


@contextmanager
def refused(name: str, kind: Any, argument: str, *parts: str) -> Iterator[None]:
    """The block raises `kind`, saying `name: argument: expected ..., got ...`, with each part somewhere."""
    with pytest.raises(kind) as caught:
        yield
    text = str(caught.value)
    assert re.match(rf"{name.partition('.')[0]}: {argument}: expected .+, got .+", text, re.DOTALL), text
    for part in parts:
        assert re.search(part, text), (part, text)


def batch(dtype: str = "float32", labels: str = "int64") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, T, C)).astype(dtype), rng.integers(1, C, (N, S)).astype(labels)


def both_ways(targets: np.ndarray, concatenated: bool) -> tuple[Any, dict[str, Any]]:
    """Padded labels, or one after another with their lengths."""
    return (targets.ravel(), {"target_lengths": np.full(N, S)}) if concatenated else (targets, {})


# -- Labels ----------------------------------------------------------------------------------------------


@every("bad", [C, -1, 255, -128, 2**31, -(2**31), 2**32 + 1, 2**63 - 1, -(2**63)])
@every_target
@every_function
def test_label_out_of_range_names_the_sample(name: str, concatenated: bool, bad: int, isa: str) -> None:
    """For every integer type that holds it."""
    for dtype in np.typecodes["AllInteger"]:
        if not np.iinfo(dtype).min <= bad <= np.iinfo(dtype).max:
            continue
        x, y = batch(labels=dtype)
        y[3, 2] = bad
        labels, kw = both_ways(y, concatenated)
        with refused(name, IndexError, "targets", rf"\[0, {C}\)", f"got {bad}", r"sample 3|\(3, 2\)"):
            FUNCTIONS[name](x, labels, **kw)


@every_function
def test_label_out_of_range_of_uint64(name: str) -> None:
    x, y = batch(labels="uint64")
    y[1, 0] = 2**64 - 1
    with refused(name, IndexError, "targets", "18446744073709551615"):
        FUNCTIONS[name](x, y)


@every("blank", [0, 3, C - 1])
@every_target
@every_function
def test_blank_among_the_labels_names_the_sample(name: str, concatenated: bool, blank: int) -> None:
    x, y = batch()
    y[y == blank] = 1 if blank != 1 else 2
    y[4, 3] = blank
    labels, kw = both_ways(y, concatenated)
    with refused(name, (IndexError, ValueError), "targets", "blank", f"got {blank}", r"sample 4|\(4, 3\)"):
        FUNCTIONS[name](x, labels, **kw, blank=blank)


@every("blank", [-1, C, 2**40, -(2**70)])
@every_function
def test_blank_out_of_range(name: str, blank: int) -> None:
    with refused(name, (ValueError, IndexError), "blank", f"got {blank}"):
        FUNCTIONS[name](*batch(), blank=blank)


@every_function
def test_the_first_bad_label_is_named_whatever_the_threads(name: str) -> None:
    x = np.zeros((2000, 7, 3), np.float32)
    y = np.ones((2000, 3), np.int64)
    y[[700, 1500, 1999], 1] = 3, 4, 5
    for threads in (1, 2, 7):
        with fl.num_threads(threads), refused(name, IndexError, "targets", "got 3", r"sample 700|\(700, 1\)"):
            FUNCTIONS[name](x, y)


@every("dtype", ["float32", "float64", "complex64", "object", "U2", "M8[s]", "bool"])
@every_target
@every_function
def test_labels_that_are_no_integers(name: str, concatenated: bool, dtype: str) -> None:
    x, y = batch()
    labels, kw = both_ways(y, concatenated)
    if dtype == "bool":
        return  # an integer of one bit, as everywhere
    with refused(name, TypeError, "targets"):
        FUNCTIONS[name](x, labels.astype("i8").astype(dtype), **kw)


@every("shape", [(), (N, S, 1), (1, N, S), (N - 1, S), (N + 1, S), (0, S), (1, S), (S, N)], str)
@every_function
def test_labels_of_the_wrong_shape(name: str, shape: tuple[int, ...]) -> None:
    with refused(name, (ValueError, TypeError), "targets"):
        FUNCTIONS[name](batch()[0], np.ones(shape, np.int64))


# -- Lengths ---------------------------------------------------------------------------------------------

LIMIT = {"input_lengths": T, "target_lengths": S}
every_length = every("lengths", LIMIT)


def right(lengths: str) -> np.ndarray:
    return np.full(N, LIMIT[lengths])


@every("bad", [-1, "over", 127, -128, 2**31 - 1, -(2**31), 2**32, 2**63 - 1, -(2**63)])
@every_length
@every_function
def test_length_out_of_range_names_the_sample(name: str, lengths: str, bad: Any, isa: str) -> None:
    bad = LIMIT[lengths] + 1 if bad == "over" else bad
    for dtype in np.typecodes["AllInteger"]:
        if not np.iinfo(dtype).min <= bad <= np.iinfo(dtype).max:
            continue
        given = right(lengths).astype(dtype)
        given[3] = bad
        with refused(name, ValueError, lengths, f"got {bad}", r"sample 3|\(3,\)"):
            FUNCTIONS[name](*batch(), **{lengths: given})


@every_length
@every_function
def test_length_out_of_range_of_uint64(name: str, lengths: str) -> None:
    given = right(lengths).astype(np.uint64)
    given[2] = 2**64 - 1
    with refused(name, ValueError, lengths, "18446744073709551615"):
        FUNCTIONS[name](*batch(), **{lengths: given})


@every("shape", [(), (1,), (N - 1,), (N + 1,), (0,), (N, 1), (1, N)], str)
@every_length
@every_function
def test_wrong_count_of_lengths(name: str, lengths: str, shape: tuple[int, ...]) -> None:
    with refused(name, ValueError, lengths, rf"\({N},\)"):
        FUNCTIONS[name](*batch(), **{lengths: np.full(shape, 3)})


@every("dtype", ["float32", "float64", "complex64", "object", "U2", "M8[s]"])
@every_length
@every_function
def test_lengths_that_are_no_integers(name: str, lengths: str, dtype: str) -> None:
    with refused(name, TypeError, lengths):
        FUNCTIONS[name](*batch(), **{lengths: np.full(N, 3).astype(dtype)})


@every("thing", ["abc", object(), {1: 2}, np.ma.masked_array([3] * N)], lambda v: type(v).__name__)
@every_length
@every_function
def test_lengths_that_are_no_array(name: str, lengths: str, thing: Any) -> None:
    with refused(name, TypeError, lengths):
        FUNCTIONS[name](*batch(), **{lengths: thing})


@every("off", [-1, 1, -N * S + S, 1000])
@every_function
def test_concatenated_labels_whose_lengths_do_not_add_up(name: str, off: int) -> None:
    flat = np.ones(max(0, N * S + off), np.int64)
    with refused(name, ValueError, "(targets|target_lengths)", str(N * S), str(len(flat))):
        FUNCTIONS[name](batch()[0], flat, target_lengths=np.full(N, S))


@every("huge", [2**62, 2**63 - 1])
@every_function
def test_lengths_whose_sum_overflows(name: str, huge: int) -> None:
    lengths = np.array([huge, huge, huge, huge, 8], np.int64)
    with refused(name, ValueError, "(targets|target_lengths)"):
        FUNCTIONS[name](batch()[0], np.ones(8, np.int64), target_lengths=lengths)


@every_function
def test_negative_lengths_that_add_up(name: str) -> None:
    with refused(name, ValueError, "target_lengths", r"sample 1|\(1,\)"):
        FUNCTIONS[name](batch()[0], np.ones(8, np.int64), target_lengths=[4, -4, 4, 4, 0])


@every_function
def test_concatenated_labels_without_lengths(name: str) -> None:
    with refused(name, (ValueError, TypeError), "(targets|target_lengths)"):
        FUNCTIONS[name](batch()[0], np.ones(N * S, np.int64))


# -- Logits ----------------------------------------------------------------------------------------------


@every("shape", [(), (C,), (T, C), (N, T, C, 1), (1, N, T, C), (N, T, 0)], str)
@every_function
def test_logits_of_the_wrong_shape(name: str, shape: tuple[int, ...]) -> None:
    with refused(name, (ValueError, TypeError), "(logits|targets|blank)"):
        FUNCTIONS[name](np.zeros(shape, np.float32), np.ones((N, S), np.int64))


@every("dtype", ["complex64", "object", "U3", "M8[s]", "longdouble"])
@every_function
def test_logits_that_are_no_real_numbers(name: str, dtype: str) -> None:
    if np.dtype(dtype).itemsize == 8 and dtype == "longdouble":
        pytest.skip("a double by another name")
    with refused(name, TypeError, "logits"):
        FUNCTIONS[name](np.zeros((N, T, C)).astype("i8").astype(dtype), batch()[1])


@every_function
def test_samples_are_counted_along_the_right_axis(name: str) -> None:
    x, y = batch()
    FUNCTIONS[name](np.ascontiguousarray(x.swapaxes(0, 1)), y, time_major=True)
    with refused(name, ValueError, "targets"):
        FUNCTIONS[name](x, y, time_major=True)


# -- Nothing is written on an error ------------------------------------------------------------------------

WRONG: dict[str, Callable[[np.ndarray], tuple[Any, dict[str, Any]]]] = {
    "a label": lambda y: (np.where(np.arange(N * S).reshape(N, S) == N * S - 1, C, y), {}),
    "a blank": lambda y: (np.where(np.arange(N * S).reshape(N, S) == N * S - 1, 0, y), {}),
    "an input length": lambda y: (y, {"input_lengths": [T] * (N - 1) + [T + 1]}),
    "a target length": lambda y: (y, {"target_lengths": [S] * (N - 1) + [-1]}),
    "a sum": lambda y: (y.ravel(), {"target_lengths": [S] * (N - 1) + [S - 1]}),
    "a weight": lambda y: (y, {"sample_weight": [1.0] * (N - 1) + [-1.0]}),
}


@every("wrong", WRONG)
def test_out_survives_an_error(wrong: str, isa: str) -> None:
    """The last sample is wrong, the buffer is the logits themselves: not one entry changes."""
    x, y = batch()
    labels, kw = WRONG[wrong](y)
    before = x.copy()
    for method in (fl.ctc.grad, fl.ctc.value_and_grad):
        for threads in (1, 3):
            with fl.num_threads(threads), pytest.raises((ValueError, IndexError)):
                method(x, labels, **kw, out=x)
            assert np.array_equal(x, before)


def test_out_that_is_part_of_the_logits() -> None:
    buffer = np.zeros((N + 1, T, C), np.float32)
    for out in (buffer[1:], buffer[N - 1 :: -1], buffer[:N, ::-1]):
        with refused("ctc", ValueError, "out", "overlap"):
            fl.ctc.grad(buffer[:N], batch()[1], out=out)


# -- Padding is not read, inputs are not written --------------------------------------------------------------


@every("dtype", ["float16", "float32", "float64"])
@every_function
def test_padding_is_never_read(name: str, dtype: str, isa: str) -> None:
    """Signalling nan, labels of every kind, a blank: none of it is an error or changes a bit."""
    frames, counts = np.array([12, 7, 0, 9, 1]), np.array([4, 0, 0, 2, 1])
    x, y = batch(dtype)
    kw = {"input_lengths": frames, "target_lengths": counts}
    expected = as_tuple(FUNCTIONS[name](x, y, **kw))
    for number, label in ((np.nan, -1), (np.inf, 2**62), (-np.inf, 0), (0.0, C)):
        x[np.arange(T) >= frames[:, None]] = number
        y[np.arange(S) >= counts[:, None]] = label
        got = as_tuple(FUNCTIONS[name](x, y, **kw))
        assert [np.asarray(g).tobytes() for g in got] == [np.asarray(e).tobytes() for e in expected]


@every_function
def test_inputs_are_read_only_and_of_any_byte_order(name: str, isa: str) -> None:
    x, y = batch()
    kw = {"input_lengths": np.array([12, 7, 8, 9, 10]), "target_lengths": np.array([4, 0, 3, 2, 1])}
    expected = as_tuple(FUNCTIONS[name](x, y, **kw))
    for moved in (lambda a: a.astype(a.dtype.newbyteorder()), misaligned, read_only, np.asfortranarray):
        arrays = [moved(a) for a in (x, y, *kw.values())]
        before = [a.tobytes() for a in arrays]
        got = as_tuple(FUNCTIONS[name](*arrays[:2], **dict(zip(kw, arrays[2:], strict=True))))
        for g, e in zip(got, expected, strict=True):
            np.testing.assert_allclose(g, e, rtol=1e-6, atol=1e-7)
        assert [a.tobytes() for a in arrays] == before


def misaligned(a: np.ndarray) -> np.ndarray:
    buffer = np.empty(a.nbytes + 1, np.uint8)
    view = buffer[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


# -- Mutated by another thread -----------------------------------------------------------------------------


@every("victim", ["targets", "input_lengths", "target_lengths"])
@every_function
def test_labels_and_lengths_that_change_during_the_call(name: str, victim: str) -> None:
    """A result or a named error, whatever a second thread writes meanwhile; memory errors are for AddressSanitizer to find."""
    rng = np.random.default_rng(0)
    given = {
        "targets": rng.integers(1, 20, (60, 30)),
        "input_lengths": np.full(60, 80),
        "target_lengths": np.full(60, 30),
    }
    x = rng.normal(size=(60, 80, 20)).astype(np.float32)
    stop = threading.Event()

    def disturb() -> None:
        array, saved = given[victim], given[victim].copy()
        noise = np.random.default_rng(1)
        while not stop.is_set():
            array.reshape(-1)[noise.integers(array.size)] = noise.choice([-1, 2**40, -(2**63), 0, 10**6])
            array[...] = saved

    thread = threading.Thread(target=disturb)
    thread.start()
    errors: list[str] = []
    try:
        with fl.num_threads(2):
            for _ in range(40):
                try:
                    FUNCTIONS[name](x, **given)
                except (ValueError, IndexError) as error:
                    errors.append(str(error))
    finally:
        stop.set()
        thread.join()
    assert all(re.match(r"\w+: (targets|input_lengths|target_lengths): expected", text) for text in errors)
    FUNCTIONS[name](x, **given)

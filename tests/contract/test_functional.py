"""Promise: logsumexp, softmax, log_softmax and perplexity are exact, stable, and follow the rules of the losses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import oracle
import pytest
import rows
from cases import every_dtype, need
from matrix import every
from rows import CLASSES, QUICK_CLASSES

import fastloss as fl

inf, nan = math.inf, math.nan
ULPS = {"float32": 4, "float64": 8}
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
FUNCTIONS = (fl.logsumexp, fl.softmax, fl.log_softmax)

every_function = every("function", FUNCTIONS)
every_fill = every("fill", rows.FILLS)


# -- Accuracy ----------------------------------------------------------------------------------------


def made(fill: str, dtype: str, full: bool) -> Iterator[rows.Rows]:
    return (rows.make(fill, classes, dtype) for classes in (CLASSES if full else QUICK_CLASSES) if classes <= 33000)


@every_dtype
@every_fill
def test_logsumexp(fill: str, dtype: str, isa: str, full: bool) -> None:
    """Within 4 or 8 ULP of the larger of its two parts, the maximum and log1p(rest)."""
    for r in made(fill, dtype, full):
        got = fl.logsumexp(r.logits)
        assert got.dtype == dtype
        exact = oracle.Exact.of(r.exact.top + r.exact.tail[:, 0])
        largest = np.maximum(np.abs(r.exact.top.astype(float)), r.exact.tail[:, 0].astype(float))
        error = np.abs(exact.minus(got)) / oracle.spacing(largest, dtype)
        assert error.max() <= ULPS[dtype]


@every_dtype
@every_fill
def test_log_softmax(fill: str, dtype: str, isa: str, full: bool) -> None:
    """Every entry within the bound of cross-entropy at that label, confident rows included."""
    for r in made(fill, dtype, full):
        got = fl.log_softmax(r.logits)
        assert got.dtype == dtype
        oracle.assert_ulps(-got, oracle.Exact.of(r.exact.loss), dtype, ULPS[dtype])


@every_dtype
@every_fill
def test_softmax(fill: str, dtype: str, isa: str, full: bool) -> None:
    """Each entry against the row's largest, rows sum to 1, and masked classes get exactly 0."""
    for r in made(fill, dtype, full):
        got = fl.softmax(r.logits)
        assert got.dtype == dtype
        exact = oracle.Exact.of(r.exact.p)
        oracle.assert_derivative(got, exact, dtype, TOLERANCE[dtype], oracle.row_scale(exact))
        distance = np.abs(r.logits.astype(float) - r.logits.astype(float).max(axis=1, keepdims=True))
        own = np.abs(exact.hi) * np.where(np.isfinite(distance), 1 + distance, 1.0)  # rounding x - max
        oracle.assert_derivative(got, exact, dtype, TOLERANCE[dtype], own)
        np.testing.assert_allclose(got.sum(axis=1, dtype=float), 1.0, rtol=TOLERANCE[dtype])
        assert not got[np.isneginf(r.logits)].any()


# -- Rules -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "logsumexp", "softmax"),
    [
        ([nan, 1.0], nan, [nan, nan]),
        ([1.0, 2.0, nan], nan, [nan] * 3),
        ([inf, 1.0], inf, [nan, nan]),
        ([inf, -inf], inf, [nan, nan]),
        ([-inf, -inf], -inf, [nan, nan]),
        ([-inf, 3.0], 3.0, [0.0, 1.0]),
        ([0.0, -inf, 0.0], math.log(2), [0.5, 0.0, 0.5]),
        ([5.0], 5.0, [1.0]),
        ([1e30, 0.0], 1e30, [1.0, 0.0]),
    ],
    ids=str,
)
@every("axis", [-1, 0])
@every_dtype
def test_table(row: list[float], logsumexp: float, softmax: list[float], axis: int, dtype: str, isa: str) -> None:
    """Among ordinary rows, on either kind of axis."""
    x = np.random.default_rng(0).normal(size=(35, len(row))).astype(dtype)
    at = [0, 17, 34]
    x[at] = row
    given = x if axis == -1 else np.ascontiguousarray(x.T)
    got = fl.logsumexp(given, axis=axis)
    np.testing.assert_allclose(got[at], logsumexp, rtol=1e-6)
    assert np.isfinite(np.delete(got, at)).all()
    p, log_p = (f(given, axis=axis) for f in (fl.softmax, fl.log_softmax))
    p, log_p = (a if axis == -1 else a.T for a in (p, log_p))
    with np.errstate(divide="ignore"):
        for i in at:
            np.testing.assert_allclose(p[i], softmax, rtol=1e-6)
            expected = np.log(softmax)
            expected[np.equal(softmax, 0) & np.isfinite(row)] = -1e30
            np.testing.assert_allclose(log_p[i], expected, rtol=1e-6)
    assert np.isfinite(np.delete(p, at, axis=0)).all()
    assert np.isfinite(np.delete(log_p, at, axis=0)).all()


@every("axis", [0, 1, 2, -1, -2, -3])
@every_function
@every_dtype
def test_any_axis_and_layout(function: Any, axis: int, dtype: str, isa: str) -> None:
    x = np.random.default_rng(0).normal(size=(5, 33, 17)).astype(dtype)
    last = np.ascontiguousarray(np.moveaxis(x, axis, -1))
    expected = function(last)
    if function is not fl.logsumexp:
        expected = np.moveaxis(expected, -1, axis)
    for given in (
        x,
        np.asfortranarray(x),
        x[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
        x.astype(x.dtype.newbyteorder()),
    ):
        got = function(given, axis=axis)
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=16 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps)


@every_function
def test_result_types(function: Any) -> None:
    """Half precision is computed and returned in float32, integers in float64."""
    for given, expected in (
        ("float32", "float32"),
        ("float64", "float64"),
        ("float16", "float32"),
        ("int8", "float64"),
        ("uint64", "float64"),
        ("bool", "float64"),
    ):
        x = np.array([[0, 1, 1], [1, 0, 0]], given)
        got = function(x)
        assert got.dtype == expected
        assert np.array_equal(got, function(x.astype(expected)))
    half = np.ones((2, 3), need("ml_dtypes").bfloat16)
    assert function(half).dtype == np.float32


@every("function", [fl.softmax, fl.log_softmax])
@every("axis", [-1, 0])
def test_out(function: Any, axis: int, isa: str) -> None:
    """A buffer of one's own, or the input itself."""
    x = np.random.default_rng(0).normal(size=(65, 33)).astype(np.float32)
    expected = function(x, axis=axis)
    buffer = np.empty_like(x)
    assert function(x, axis=axis, out=buffer) is buffer
    assert np.array_equal(buffer, expected)
    assert function(x, axis=axis, out=x) is x
    assert np.array_equal(x, expected)


@every("function", [fl.softmax, fl.log_softmax])
def test_wrong_out(function: Any) -> None:
    x = np.zeros((4, 3), np.float32)
    locked = np.zeros_like(x)
    locked.flags.writeable = False
    buffer = np.zeros((5, 3), np.float32)
    for given, out in (
        (x, np.zeros((3, 4), np.float32)),
        (x, np.zeros((4, 3))),
        (x, [[0.0] * 3] * 4),
        (x, locked),
        (buffer[:-1], buffer[1:]),
    ):
        with pytest.raises((ValueError, TypeError), match=f"^{function.__name__}: out: expected .+, got "):
            function(given, out=out)


@every_function
def test_errors(function: Any) -> None:
    name = function.__name__
    for bad in (np.zeros(3, complex), np.zeros(3, object), ["a", "b"], None, np.zeros(3, "M8[s]")):
        with pytest.raises(TypeError, match=f"^{name}: x: expected .+, got "):
            function(bad)
    for axis in (1, -2, 7):
        with pytest.raises(ValueError, match=f"^{name}: axis: expected .+, got {axis}"):
            function(np.zeros(3), axis=axis)
    for axis in (0.5, "0", None, (0,)):
        with pytest.raises(TypeError, match=f"^{name}: axis: expected .+, got "):
            function(np.zeros(3), axis=axis)
    with pytest.raises(ValueError, match=f"^{name}: x: expected .+, got "):
        function(np.float64(1.0))
    with pytest.raises(TypeError):
        function(np.zeros(3), -1)


@every_function
def test_empty(function: Any) -> None:
    got = function(np.zeros((0, 3), np.float32))
    assert got.shape == ((0,) if function is fl.logsumexp else (0, 3))
    assert got.dtype == np.float32


def test_shapes() -> None:
    assert fl.logsumexp([0.0, 0.0]).shape == ()
    assert float(fl.logsumexp([0.0, 0.0])) == pytest.approx(math.log(2))
    assert fl.logsumexp(np.zeros((2, 3, 4)), axis=1).shape == (2, 4)


@every_function
def test_inputs_are_not_written(function: Any) -> None:
    x = np.random.default_rng(0).normal(size=(9, 33))
    x.flags.writeable = False
    before = x.tobytes()
    function(x)
    function(x, axis=0)
    assert x.tobytes() == before


# -- Perplexity --------------------------------------------------------------------------------------


@every_dtype
def test_perplexity_is_exp_of_the_mean_cross_entropy(dtype: str, isa: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 3, (7, 65, 11)).astype(dtype)
    y = rng.integers(0, 11, (7, 65))
    y[0, :3] = -100
    w = rng.uniform(0, 2, (7, 65))
    got = fl.perplexity(x, y)
    assert type(got) is float
    assert got == pytest.approx(math.exp(fl.cross_entropy(x, y)), rel=1e-15)
    assert fl.perplexity(x, y, sample_weight=w) == pytest.approx(math.exp(fl.cross_entropy(x, y, sample_weight=w)), rel=1e-15)
    assert fl.perplexity(np.moveaxis(x, -1, 1), y, axis=1) == pytest.approx(got, rel=1e-6)
    y[0, :3] = 0
    assert fl.perplexity(x, y, ignore_index=0) == pytest.approx(math.exp(fl.cross_entropy(x, y, ignore_index=0)), rel=1e-15)


def test_perplexity_of_knowing_nothing_is_the_number_of_classes() -> None:
    for classes in (1, 2, 17, 50_257):
        assert fl.perplexity(np.zeros((3, classes)), [0, 0, 0]) == pytest.approx(classes, rel=1e-14)


@every_dtype
def test_perplexity_of_tokens_lost_by_120_nats(dtype: str) -> None:
    """exp(-120) is 0 in float32: through log(softmax) this would be infinite."""
    x = np.array([[120.0, 0.0], [120.0, 0.0]], dtype)
    assert fl.perplexity(x, [1, 1]) == pytest.approx(math.exp(120.0), rel=1e-12)
    assert fl.perplexity(x, [0, 1]) == pytest.approx(math.exp(60.0), rel=1e-6)


def test_perplexity_that_overflows_is_infinite() -> None:
    assert fl.perplexity([[1000.0, 0.0]], [1]) == inf
    assert fl.perplexity([[0.0, -inf]], [1]) == inf
    assert math.isnan(fl.perplexity(np.zeros((0, 3)), np.zeros(0, int)))
    assert math.isnan(fl.perplexity(np.zeros((2, 3)), [-100, -100]))


def test_perplexity_errors_carry_its_name() -> None:
    with pytest.raises(IndexError, match=r"^perplexity: target: expected class indices in \[0, 3\), got 3 at index \(1,\)"):
        fl.perplexity(np.zeros((2, 3)), [0, 3])
    with pytest.raises(ValueError, match=r"^perplexity: sample_weight: expected .+, got "):
        fl.perplexity(np.zeros((2, 3)), [0, 1], sample_weight=[1, -1])
    with pytest.raises((TypeError, ValueError), match=r"^perplexity: target: expected .+, got "):
        fl.perplexity(np.zeros((2, 3)), [0.0, 1.0])

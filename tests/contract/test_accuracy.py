"""Promise: values within 4 ULP (float32) and 8 ULP (float64) of the exact ones, where they are tiny or huge too."""

from __future__ import annotations

from functools import cache

import draws
import numpy as np
import oracle
import pytest
import rows
from cases import (
    FEW,
    SEPARABLE_VARIANTS,
    Call,
    Variant,
    as_tuple,
    cut,
    every_batchwise_variant,
    every_dtype,
    every_separable_variant,
    repeat,
    wrt_positions,
)
from conftest import Note, at_each_level
from matrix import every
from mpmath import mp, mpf
from rows import CLASSES

import fastloss as fl

HARD = ("cross_entropy", "nll", "binary_cross_entropy_with_logits")
BOUND = {"float32": 4, "float64": 8}
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}  # of derivatives (test_gradients.py)

every_fill = every("fill", rows.FILLS)


# -- The yardstick itself ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", HARD)
def test_registry_promises_the_hard_bounds(name: str) -> None:
    assert {k: v <= BOUND[k] for k, v in fl.LOSSES[name].ulp.items()} == dict.fromkeys(BOUND, True)


@pytest.mark.parametrize(("dtype", "relative"), [("float32", 2e-6), ("float64", 4e-15)])
def test_a_planted_error_is_found(dtype: str, relative: float) -> None:
    """A copy off by a few times the bound fails, be it in one entry only."""
    r = rows.make("normal", 33, dtype)
    truth = oracle.CrossEntropy(r.exact, r.labels()["random"]).value
    right = truth.hi.astype(dtype)
    assert oracle.assert_ulps(right, truth, dtype, BOUND[dtype]) <= 0.5
    wrong = right.copy()
    wrong[-1] *= 1 + relative
    with pytest.raises(AssertionError, match="ULP"):
        oracle.assert_ulps(wrong, truth, dtype, BOUND[dtype])


def test_a_planted_derivative_error_is_found() -> None:
    r = rows.make("normal", 33, "float32")
    truth = oracle.CrossEntropy(r.exact, r.labels()["random"]).grad
    scale = oracle.row_scale(truth)
    right = truth.hi.astype("float32")
    oracle.assert_derivative(right, truth, "float32", 1e-6, scale)
    wrong = right.copy()
    top = np.argmax(np.abs(wrong[2]))
    wrong[2, top] *= 1 + 2e-6
    with pytest.raises(AssertionError, match="derivative off"):
        oracle.assert_derivative(wrong, truth, "float32", 1e-6, scale)


def test_nan_infinity_and_a_lost_tiny_loss_are_found() -> None:
    truth = oracle.Exact.of(np.array([1.0, 4.1e-8, 1e300]))
    assert list(oracle.ulp_error(np.float32([1.0, 4.1e-8, np.inf]), truth, "float32") <= 0.5) == [True] * 3
    for index, bad in ((0, np.nan), (0, np.inf), (1, 0.0), (2, 3e38)):
        got = np.float32([1.0, 4.1e-8, np.inf])
        got[index] = bad
        with pytest.raises(AssertionError, match=rf"at \({index},\)"):
            oracle.assert_ulps(got, truth, "float32", 4)


@pytest.mark.skipif(not oracle.EXTENDED, reason="needs 80-bit long doubles")
@pytest.mark.parametrize("fill", ["normal", "spread 40", "won by 15 to 100", "+1e6", "ties"])
def test_80_bit_oracle_agrees_with_mpmath(fill: str) -> None:
    """Within 1e-17, a tenth of float64's ULP: good enough to stand in for mpmath."""
    x = rows.FILLS[fill](np.random.default_rng(0), 3, 1003, "float64")
    label = np.argmax(x, axis=1)
    label[1] = 7
    a, b = (oracle.cross_entropy(x, label, field) for field in (oracle.MP, oracle.LONG))
    for exact, near in ((a.value, b.value), (a.grad, b.grad), (a.hess, b.hess)):
        difference = (exact.hi - near.hi) + (exact.lo - near.lo)
        np.testing.assert_array_less(np.abs(difference), 1e-17 * np.abs(exact.hi) + 1e-320)


def test_softmax_oracle_agrees_with_mpmath_at_1000_bits() -> None:
    """The oracle's care about cancellation against brute precision."""
    x = rows.FILLS["won by 15 to 100"](np.random.default_rng(1), 4, 7, "float64")
    got = oracle.cross_entropy(x, np.argmax(x, axis=1))
    with mp.workprec(1000):
        for i, row in enumerate(x):
            e = [mp.exp(mpf(float(v))) for v in row]
            p = [v / mp.fsum(e) for v in e]
            top = int(np.argmax(row))
            assert float(-mp.log(p[top])) == got.value.hi[i]
            assert [float(v - (j == top)) for j, v in enumerate(p)] == list(got.grad.hi[i])
            assert [float(v * (1 - v)) for v in p] == list(got.hess.hi[i])


# -- Every loss, on its own samples, at every length -------------------------------------------------


def drawn(variant: Variant, dtype: str, full: bool) -> tuple[Call, oracle.Exact, np.ndarray]:
    """A call, its exact values, and what their errors are relative to. The quick tier takes the truth that derivatives need."""
    args, options = variant.draw(dtype, 1003 if full else FEW)
    loss = variant.loss
    truth = oracle.truth(loss.name, args, options) if full else variant.truth(args, options)
    scale = oracle.value_scale(loss.name, args, options, dtype)
    return (args, options), truth.value, np.broadcast_to(scale, truth.value.hi.shape)


@every_dtype
@every_separable_variant
def test_every_length(variant: Variant, dtype: str, sizes: tuple[int, ...], full: bool, note: Note) -> None:
    call, truth, scale = drawn(variant, dtype, full)
    for size in sizes:
        (args, options), rows_ = repeat(variant.loss, call, size), np.arange(size) % len(scale)
        expected = oracle.Exact(truth.hi[rows_], truth.lo[rows_])
        for level in at_each_level():
            got = variant.loss(*args, **options, reduction="none")
            assert got.dtype == dtype
            ulps = oracle.assert_ulps(got, expected, dtype, variant.loss.ulp[dtype], f"{level}, {size}: ", scale[rows_])
            note(variant.loss.name, dtype, ulps)


@every_dtype
@every_separable_variant
def test_every_alignment(variant: Variant, dtype: str, full: bool) -> None:
    (args, options), truth, scale = drawn(variant, dtype, full)
    for start in range(1, 17):
        part = slice(start, start + 49)
        a, o = cut(variant.loss, args, options, part)
        expected = oracle.Exact(truth.hi[part], truth.lo[part])
        for level in at_each_level():
            got = variant.loss(*a, **o, reduction="none")
            oracle.assert_ulps(got, expected, dtype, variant.loss.ulp[dtype], f"{level}, from {start}: ", scale[part])


@every("place", list(draws.PLACES))
@every_dtype
@every("variant", [v for v in SEPARABLE_VARIANTS if any(v.loss.name in table for table in draws.PLACES.values())])
def test_near_the_optimum_and_far_from_it(variant: Variant, dtype: str, place: str, full: bool, note: Note) -> None:
    """At relative distances of 1e-15 to 1e-1 on both sides, next to where an option's formula changes, out to where exponentials
    and squares end. Value and gradient."""
    loss = variant.loss
    args, options = variant.draw(dtype, 131 if full else 24)
    moved = draws.moved(loss.name, place, args, options)
    if moved is None:
        return
    smooth = loss.name not in draws.VALUE_ONLY and place == "near"
    with np.errstate(all="ignore"):
        truth = oracle.truth(loss.name, moved, options, wrt_positions(loss), int(smooth))
        scale = np.broadcast_to(oracle.value_scale(loss.name, moved, options, dtype), truth.value.hi.shape)
    for level in at_each_level():
        got = loss(*moved, **options, reduction="none")
        note(loss.name, dtype, oracle.assert_ulps(got, truth.value, dtype, loss.ulp[dtype], f"{level}: ", scale))
        if smooth:
            slopes = as_tuple(loss.grad(*moved, **options, reduction="none"))
            for k, (slope, exact) in enumerate(zip(slopes, truth.derivatives[0], strict=True)):
                by = oracle.derivative_scale(loss.name, moved, options, exact, 1, k)
                oracle.assert_derivative(slope, exact, dtype, TOLERANCE[dtype], by, f"{level}: ")


@every("size", [1, 2, 3, 4, 7, 8, 9, 16, 17, 33, 64, 65, 130, 257], quick=lambda size: size in (1, 3, 8, 17, 33, 65))
@every_dtype
@every_batchwise_variant
def test_a_batch_of_every_size(variant: Variant, dtype: str, size: int, note: Note) -> None:
    """Values are differences of similarities or distances: an ULP is that of these."""
    loss = variant.loss
    args, options = variant.draw(dtype, size)
    truth, scale = oracle.truth(loss.name, args, options).value, oracle.value_scale(loss.name, args, options, dtype)
    for level in at_each_level():
        got = loss(*args, **options, reduction="none")
        assert got.dtype == dtype
        note(loss.name, dtype, oracle.assert_ulps(got, truth, dtype, loss.ulp[dtype], f"{level}: ", scale))


# -- Cross-entropy on the rows that hurt -------------------------------------------------------------


@every_dtype
@every("kind,fill", rows.COMBINATIONS, "-".join)
def test_cross_entropy(kind: str, fill: str, dtype: str, full: bool, note: Note) -> None:
    """From 1 to 131072 classes, each kind of target, at every CPU level."""
    for c in rows.cases(kind, fill, dtype, full, mp_to=300 if full else 33):
        for layout, x, t, axis in c.layouts():
            for level in at_each_level():
                got = fl.cross_entropy(x, t, axis=axis, reduction="none", **c.options)
                assert np.all(got >= 0)
                where = f"{level}, {layout}, {c.where}"
                note("cross_entropy", dtype, oracle.assert_ulps(got, c.truth.value, dtype, BOUND[dtype], where))


@every_dtype
@every_fill
def test_one_row_alone(fill: str, dtype: str, isa: str) -> None:
    """A single row, 1-D or 1 x C, has the bits it has among others."""
    r = rows.make(fill, 100, dtype)
    label = r.labels()["random"]
    together = fl.cross_entropy(r.logits, label, reduction="none")
    for row, y, expected in zip(r.logits, label, together, strict=True):
        assert fl.cross_entropy(row, y, reduction="none") == expected
        assert fl.cross_entropy(row[None], [y], reduction="none")[0] == expected


@pytest.mark.slow
@every_dtype
def test_cross_entropy_of_32768_classes_against_mpmath(dtype: str, note: Note) -> None:
    x = np.random.default_rng(0).normal(0, 3, (1, 32768)).astype(dtype)
    label = np.array([77])
    truth = oracle.cross_entropy(x, label).value
    for level in at_each_level():
        got = fl.cross_entropy(x, label, reduction="none")
        note("cross_entropy", dtype, oracle.assert_ulps(got, truth, dtype, BOUND[dtype], f"{level}: "))


# -- The other two with hard bounds ------------------------------------------------------------------


@cache
def hard_logits(dtype: str) -> np.ndarray:
    """Every magnitude and sign; the places where exp and log1p change formula; a dense middle."""
    rng = np.random.default_rng(0)
    smallest = np.finfo(dtype).smallest_subnormal
    magnitude = np.concatenate(
        [
            np.logspace(-45, 38, 400),
            rng.uniform(0, 120, 800),
            rng.uniform(0, 2, 400),
            np.arange(0, 110) * np.log(2.0),
            [0.0, smallest, 15.9, 16.6, 17.3, 36.7, 37.4, 87.3, 88.7, 103.3, 104.0, 708.4, 745.1, 746.0],
        ]
    ).astype(dtype)
    return np.concatenate([magnitude, -magnitude])


@every_dtype
@every("target", [0.0, 1.0, 0.25, 1e-6])
@every("options", [{}, {"pos_weight": 2.5}, {"label_smoothing": 0.1}], str)
def test_binary_cross_entropy_at_every_magnitude(
    target: float, options: dict[str, float], dtype: str, isa: str, note: Note
) -> None:
    x = hard_logits(dtype)
    t = np.full_like(x, target)
    got = fl.binary_cross_entropy_with_logits(x, t, reduction="none", **options)
    truth = binary_truth(dtype, target, tuple(options.items()))
    name = "binary_cross_entropy_with_logits"
    note(name, dtype, oracle.assert_ulps(got, truth, dtype, BOUND[dtype]))


@cache
def binary_truth(dtype: str, target: float, options: tuple[tuple[str, float], ...]) -> oracle.Exact:
    x = hard_logits(dtype)
    call = x, np.full_like(x, target)
    return oracle.truth("binary_cross_entropy_with_logits", call, dict(options)).value


@every_dtype
def test_nll_is_exact(dtype: str, isa: str, note: Note) -> None:
    rng = np.random.default_rng(0)
    for classes in CLASSES:
        x = -rng.exponential(10.0, (5, classes)).astype(dtype)
        label = rng.integers(0, classes, 5)
        picked = -x[np.arange(5), label]
        assert np.array_equal(fl.nll(x, label, reduction="none"), picked)
        weight = rng.uniform(0.0, 3.0, classes).astype(dtype)
        got = fl.nll(x, label, class_weight=weight, reduction="none")
        truth = oracle.nll(x, label, oracle.LONG if classes > 300 else oracle.MP, class_weight=weight).value
        note("nll", dtype, oracle.assert_ulps(got, truth, dtype, 1, f"{classes} classes: "))

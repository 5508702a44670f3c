"""Promise: distances between rows are right to the last digits where rows nearly coincide, lie far out, are huge or tiny."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import oracle
import pytest
from cases import THREADS, every_dtype, need
from layouts import LAYOUTS
from matrix import every
from mpmath import mp, mpf

import fastloss as fl
import fastloss._definitions.reference as _reference

METRICS = ("euclidean", "sqeuclidean", "cosine")
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
LENGTHS = (0, 1, 2, 3, 17, 130)
nan, inf = math.nan, math.inf

every_metric = every("metric", METRICS)


def exact(x: np.ndarray, y: np.ndarray, metric: str) -> oracle.Exact:
    """In mpmath, from the differences; of cosines at 320 bits, so that 1 - cos keeps its digits."""
    with mp.workprec(320):
        a, b = ([[mpf(float(v)) for v in row] for row in rows.astype(np.float64)] for rows in (x, y))
        out = np.empty((len(a), len(b)), dtype=object)
        for i, p in enumerate(a):
            for j, q in enumerate(b):
                if metric == "cosine":
                    dot, u, v = (mp.fsum(s * t for s, t in zip(m, n, strict=True)) for m, n in ((p, q), (p, p), (q, q)))
                    out[i, j] = 1 - dot / mp.sqrt(u * v) if u and v else mpf(1)
                else:
                    square = mp.fsum((s - t) ** 2 for s, t in zip(p, q, strict=True))
                    out[i, j] = square if metric == "sqeuclidean" else mp.sqrt(square)
    return oracle.Exact.of(out)


def relative(got: np.ndarray, truth: oracle.Exact) -> float:
    """The largest error in terms of the distance itself; where that is 0, so must be the result."""
    error = np.abs(truth.minus(got))
    assert not np.isnan(error).any()
    assert not error[truth.hi == 0].any()
    return float((error[truth.hi != 0] / np.abs(truth.hi[truth.hi != 0])).max(initial=0.0))


# -- Accuracy ----------------------------------------------------------------------------------------


@every_metric
@every_dtype
@every("width", [1, 2, 3, 7, 8, 16, 17, 33, 130])
def test_rows_that_have_little_to_do_with_one_another(width: int, dtype: str, metric: str, isa: str) -> None:
    rng = np.random.default_rng(width)
    x, y = (rng.normal(size=(n, width)).astype(dtype) for n in (11, 9))
    got = fl.pairwise_distances(x, y, metric=metric)
    assert got.dtype == dtype
    truth = exact(x, y, metric)
    error = np.abs(truth.minus(got))
    size = (x.astype(float) ** 2).sum(1)[:, None] + (y.astype(float) ** 2).sum(1)
    scale = {"euclidean": size / truth.hi.clip(1e-300), "sqeuclidean": size, "cosine": 1.0 + 0 * size}[metric]
    assert (error <= 4 * EPS[dtype] * np.maximum(truth.hi, scale)).all()


@every("offset", [0.0, 1.0, 1e3])
@every("apart", [1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
@every("metric", ["euclidean", "sqeuclidean"])
@every_dtype
def test_rows_that_nearly_coincide(metric: str, dtype: str, apart: float, offset: float, isa: str) -> None:
    """The differences of what was given are exact, or nearly; |x|^2 + |y|^2 - 2 x.y would have no digit left."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(40, 33)) + offset).astype(dtype)
    y = (x.astype(np.float64) * (1 + apart * rng.normal(size=x.shape))).astype(dtype)
    got = fl.pairwise_distances(x, y, metric=metric)
    truth = exact(x, y, metric)
    near = np.eye(40, dtype=bool)
    assert relative(got[near], oracle.Exact(truth.hi[near], truth.lo[near])) < 10 * EPS[dtype]
    assert relative(got, truth) < (1e-3 if dtype == "float32" else 1e-10)


@every("apart", [1e-2, 1e-3, 1e-4, 1e-6])
@every_dtype
def test_directions_that_nearly_coincide(dtype: str, apart: float, isa: str) -> None:
    """1 - cos is half the square of the angle, far below what 1 leaves room for; the unit vectors are rounded, which is seen."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 33)).astype(dtype)
    y = (x.astype(np.float64) * (1 + apart * rng.normal(size=x.shape)) * rng.uniform(0.1, 9, (30, 1))).astype(dtype)
    truth = exact(x, y, "cosine")
    error = np.abs(truth.minus(fl.pairwise_distances(x, y, metric="cosine")))
    angle = np.sqrt(2 * truth.hi)
    assert (error <= 10 * EPS[dtype] * (truth.hi + angle * 1.0) + 10 * EPS[dtype] ** 2).all()
    assert (fl.pairwise_distances(x, y, metric="cosine") >= 0).all()


@every_metric
@every_dtype
def test_the_same_row_is_zero_away(dtype: str, metric: str, isa: str) -> None:
    """Exactly, wherever it stands."""
    rng = np.random.default_rng(1)
    for scale, offset in ((1.0, 0.0), (1e-3, 1.0), (1.0, 1e3), (1e18, 0.0), (1e-18, 0.0), (1e30, 0.0), (1e-30, 0.0)):
        for width in (1, 3, 17, 130):
            x = (scale * rng.normal(size=(70, width)) + offset).astype(dtype)
            y = x[rng.permutation(70)]
            same = (x[:, None] == y).all(axis=2)
            assert not fl.pairwise_distances(x, y, metric=metric)[same].any()
            d = fl.pairwise_distances(x, metric=metric)
            assert not d.diagonal().any()
            assert np.array_equal(d, d.T)
            assert not np.signbit(d).any()


@every_metric
@every_dtype
def test_positive_multiples_have_one_direction(dtype: str, metric: str, isa: str) -> None:
    x = np.random.default_rng(2).normal(size=(20, 9)).astype(dtype)
    for factor in (2.0, 0.125, 2.0**40):
        y = x * np.asarray(factor, dtype)
        assert not fl.pairwise_distances(x, y, metric="cosine").diagonal().any()
    assert np.abs(fl.pairwise_distances(x, -x, metric="cosine").diagonal() - 2).max() <= 4 * EPS[dtype]


@every("size", [1e37, 1e30, 1e18, 1e-18, 1e-30, 1e-37])
@every_metric
def test_huge_and_tiny_rows(metric: str, size: float, isa: str) -> None:
    """The square of a float32 of 1e30 is none; the distance is."""
    rng = np.random.default_rng(3)
    x, y = ((size * rng.normal(size=(n, 17))).astype(np.float32) for n in (12, 13))
    truth = exact(x, y, metric)
    got = fl.pairwise_distances(x, y, metric=metric)
    with np.errstate(over="ignore", under="ignore"):
        rounded = truth.hi.astype(np.float32)
    if metric == "sqeuclidean" and (np.isinf(rounded).any() or not rounded.all() or rounded.min() < 1e-37):
        np.testing.assert_allclose(got, rounded, rtol=1e-5, atol=3e-45)
    else:
        assert relative(got, truth) < 1e-5


def test_huge_and_tiny_rows_of_float64(isa: str) -> None:
    rng = np.random.default_rng(3)
    for size in (1e300, 1e200, 1e-200, 1e-300):
        x, y = (size * rng.normal(size=(n, 17)) for n in (6, 5))
        assert relative(fl.pairwise_distances(x, y), exact(x, y, "euclidean")) < 1e-13
        assert relative(fl.pairwise_distances(x, y, metric="cosine"), exact(x, y, "cosine")) < 1e-13


@every_dtype
def test_rows_of_many_sizes_together(dtype: str, isa: str) -> None:
    """A huge row must not spoil the distances of small ones."""
    rng = np.random.default_rng(4)
    x = (10.0 ** np.linspace(-12, 12, 40)[:, None] * rng.normal(size=(40, 17))).astype(dtype)
    bound = 1e-5 if dtype == "float32" else 1e-12
    for metric in METRICS:
        assert relative(fl.pairwise_distances(x, metric=metric), exact(x, x, metric)) < bound


@every_dtype
def test_zero_vectors(dtype: str, isa: str) -> None:
    """Similar to nothing, not even to one another: 1 away by cosine; elsewhere a row like any other."""
    x = np.random.default_rng(5).normal(size=(9, 5)).astype(dtype)
    x[[2, 7]] = 0
    d = fl.pairwise_distances(x, metric="cosine")
    assert (d[[2, 7]] == 1).all()
    assert (d[:, [2, 7]] == 1).all()
    d = fl.pairwise_distances(x)
    assert d[2, 7] == d[7, 2] == 0
    np.testing.assert_allclose(d[2], np.sqrt((x.astype(float) ** 2).sum(axis=1)), rtol=4 * EPS[dtype])


def close(got: np.ndarray, expected: np.ndarray) -> None:
    """As close as the last digits of the rows allow, which count for more the closer two rows are."""
    assert got.shape == expected.shape
    eps = np.finfo(got.dtype).eps
    assert (np.abs(got - expected) <= 50 * eps * (expected + np.sqrt(expected) + eps)).all()


# -- Shapes --------------------------------------------------------------------------------------------


@every_metric
@every_dtype
@every("width", LENGTHS)
def test_every_shape(width: int, dtype: str, metric: str, isa: str) -> None:
    """No rows, no columns, one of each, some and many; beside the definition, and alone as against itself."""
    rng = np.random.default_rng(6)
    for n in LENGTHS:
        x = rng.normal(size=(n, width)).astype(dtype)
        for m in LENGTHS:
            y = rng.normal(size=(m, width)).astype(dtype)
            got = fl.pairwise_distances(x, y, metric=metric)
            assert got.shape == (n, m)
            assert got.dtype == dtype
            close(got, _reference.pairwise_distances(x, y, metric=metric))
        alone = fl.pairwise_distances(x, metric=metric)
        assert alone.shape == (n, n)
        assert np.array_equal(alone, alone.T)
        close(alone, _reference.pairwise_distances(x, metric=metric))


@every_metric
@every_dtype
@pytest.mark.parametrize("width", [511, 512, 513, 1100])
def test_rows_of_many_dimensions(width: int, dtype: str, metric: str, isa: str) -> None:
    """Products are added up in stretches of dimensions."""
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(7, width)).astype(dtype), rng.normal(size=(9, width)).astype(dtype)
    close(fl.pairwise_distances(x, y, metric=metric), _reference.pairwise_distances(x, y, metric=metric))


@every_metric
def test_sizes_about_those_of_tiles(metric: str, isa: str) -> None:
    rng = np.random.default_rng(7)
    for n, m in ((63, 65), (64, 64), (65, 129), (127, 257), (513, 31)):
        x, y = rng.normal(size=(n, 33)).astype(np.float32), rng.normal(size=(m, 33)).astype(np.float32)
        np.testing.assert_allclose(
            fl.pairwise_distances(x, y, metric=metric), _reference.pairwise_distances(x, y, metric=metric), rtol=1e-5
        )


# -- Types and layouts -----------------------------------------------------------------------------------


@every("layout", LAYOUTS.values())
@every_metric
@every("dtype", ["float16", "float32", "float64"])
def test_layout(dtype: str, metric: str, layout: Callable[[np.ndarray], np.ndarray], isa: str) -> None:
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(19, 11)).astype(dtype), rng.normal(size=(23, 11)).astype(dtype)
    expected, alone = fl.pairwise_distances(x, y, metric=metric), fl.pairwise_distances(x, metric=metric)
    before = layout(x), layout(y)
    saved = [a.tobytes() for a in before]
    got = fl.pairwise_distances(*before, metric=metric)
    assert got.dtype == expected.dtype
    assert np.array_equal(got, expected)
    assert np.array_equal(fl.pairwise_distances(layout(x), metric=metric), alone)
    assert [a.tobytes() for a in before] == saved


@every_metric
@every("dtype", ["float16", "bfloat16"])
def test_half_precision_is_that_of_the_same_float32(dtype: str, metric: str, isa: str) -> None:
    kind = np.dtype(dtype) if dtype == "float16" else np.dtype(need("ml_dtypes").bfloat16)
    x = np.random.default_rng(9).normal(size=(40, 17)).astype(kind)
    got, up = fl.pairwise_distances(x, x[:9], metric=metric), x.astype(np.float32)
    assert got.dtype == np.float32
    assert np.array_equal(got, fl.pairwise_distances(up, up[:9], metric=metric))


@every_metric
def test_other_types(metric: str) -> None:
    """Integers are float64; mixed types follow NumPy."""
    x = np.random.default_rng(10).integers(-3, 4, (7, 5))
    expected = fl.pairwise_distances(x.astype(float), metric=metric)
    for dtype in ("int8", "int32", "int64"):
        got = fl.pairwise_distances(x.astype(dtype), metric=metric)
        assert got.dtype == np.float64
        assert np.array_equal(got, expected)
    assert np.array_equal(fl.pairwise_distances(x.tolist(), metric=metric), expected)
    assert fl.pairwise_distances(x.astype("f4"), x.astype("f8"), metric=metric).dtype == np.float64
    assert fl.pairwise_distances(x.astype("f2"), x.astype("f4"), metric=metric).dtype == np.float32


# -- nan and infinity ---------------------------------------------------------------------------------------


@every_metric
@every_dtype
def test_nan_stays_in_its_row_and_column(dtype: str, metric: str, isa: str) -> None:
    rng = np.random.default_rng(11)
    x, y = rng.normal(size=(70, 9)).astype(dtype), rng.normal(size=(67, 9)).astype(dtype)
    clean, alone = fl.pairwise_distances(x, y, metric=metric), fl.pairwise_distances(x, metric=metric)
    x[33, 4], y[66, 0] = nan, nan
    got = fl.pairwise_distances(x, y, metric=metric)
    bad = np.zeros(got.shape, bool)
    bad[33], bad[:, 66] = True, True
    assert np.array_equal(np.isnan(got), bad)
    assert np.array_equal(got[~bad], clean[~bad])
    got = fl.pairwise_distances(x, metric=metric)
    bad = np.zeros(got.shape, bool)
    bad[33], bad[:, 33] = True, True
    assert np.array_equal(np.isnan(got), bad)  # of the row to itself too
    assert np.array_equal(got[~bad], alone[~bad])


@every("metric", ["euclidean", "sqeuclidean"])
@every_dtype
def test_infinity_is_infinitely_far(dtype: str, metric: str, isa: str) -> None:
    x = np.random.default_rng(12).normal(size=(20, 9)).astype(dtype)
    x[5, 3], x[9, 3] = inf, -inf
    got = fl.pairwise_distances(x, metric=metric)
    assert (np.delete(got[5], 5) == inf).all()
    assert (np.delete(got[9], 9) == inf).all()
    rest = np.delete(np.arange(20), [5, 9])
    assert np.isfinite(got[np.ix_(rest, rest)]).all()


# -- out= and errors -----------------------------------------------------------------------------------------


@every_metric
@every("dtype", ["float16", "float32", "float64"])
def test_the_buffer_given_is_filled(dtype: str, metric: str, isa: str) -> None:
    x = np.random.default_rng(13).normal(size=(70, 9)).astype(dtype)
    for y in (None, x[:33].copy()):
        expected = fl.pairwise_distances(x, y, metric=metric)
        out = np.full_like(expected, nan)
        assert fl.pairwise_distances(x, y, metric=metric, out=out) is out
        assert np.array_equal(out, expected)
        wide = np.full((2 * len(out), out.shape[1] + 3), 7, out.dtype)
        view = wide[::2, 1:-2]
        assert fl.pairwise_distances(x, y, metric=metric, out=view) is view
        assert np.array_equal(view, expected)
        assert (wide[1::2] == 7).all()
        assert (wide[:, 0] == 7).all()
        assert (wide[:, -2:] == 7).all()


def refused(kind: Any, argument: str, *parts: str, **kwargs: Any) -> None:
    with pytest.raises(kind, match=rf"^pairwise_distances: {argument}: expected .+, got .+") as caught:
        fl.pairwise_distances(**kwargs)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_wrong_buffers() -> None:
    x = np.ones((6, 6), np.float32)
    locked = np.ones((6, 6), np.float32)
    locked.flags.writeable = False
    for out in (np.ones((6, 5), "f4"), np.ones((6, 6)), np.ones(36, "f4"), [[1.0] * 6] * 6, "out", locked):
        refused((ValueError, TypeError), "out", x=x, out=out)
    refused(ValueError, "out", x=x, out=np.broadcast_to(np.float32(0), (6, 6)))
    both = np.ones((7, 6), np.float32)
    refused(ValueError, "out", "overlap", x=both[:6], out=both[1:])
    assert (both == 1).all()


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 5), (3, 4)], ids=str)
def test_arguments_are_rows(shape: tuple[int, ...]) -> None:
    """And both of one width."""
    rows = np.ones((3, 5))
    if shape != (3, 4):
        refused((ValueError, TypeError), "x", x=np.ones(shape))
    refused((ValueError, TypeError), "(x|y)", x=rows, y=np.ones(shape))


def test_other_wrong_arguments() -> None:
    rows = np.ones((3, 5))
    for metric in ("Euclidean", "l2", "", None, 2, b"cosine", ["cosine"]):
        refused((ValueError, TypeError), "metric", "'euclidean'", "'sqeuclidean'", "'cosine'", x=rows, metric=metric)
    for strange in (rows.astype(complex), rows.astype(object), rows.astype(str), np.zeros((3, 5), "M8[s]")):
        refused(TypeError, "x", x=strange)
        refused(TypeError, "y", x=rows, y=strange)
    refused(TypeError, "x", "mask", x=np.ma.masked_array(rows))
    for thing in (None, "abc", object(), {1: 2}):
        refused(TypeError, "x", x=thing)


# -- Threads -------------------------------------------------------------------------------------------------


@every_metric
@every_dtype
def test_same_bits_for_any_number_of_threads(dtype: str, metric: str, isa: str) -> None:
    rng = np.random.default_rng(14)
    x, y = rng.normal(size=(1003, 33)).astype(dtype), rng.normal(size=(517, 33)).astype(dtype)
    answers = []
    for n in THREADS:
        with fl.num_threads(n):
            both, alone = fl.pairwise_distances(x, y, metric=metric), fl.pairwise_distances(x, metric=metric)
            answers.append((both.tobytes(), alone.tobytes()))
    assert answers == [answers[0]] * len(THREADS)


@every_metric
def test_one_row_among_others_and_alone(metric: str, isa: str) -> None:
    """To the last digits: what else is asked for does not matter."""
    rng = np.random.default_rng(15)
    x, y = rng.normal(size=(130, 33)).astype(np.float32), rng.normal(size=(70, 33)).astype(np.float32)
    whole = fl.pairwise_distances(x, y, metric=metric)
    for i in (0, 63, 64, 129):
        np.testing.assert_allclose(fl.pairwise_distances(x[i : i + 1], y, metric=metric)[0], whole[i], rtol=1e-6)


@every_metric
def test_square_results_may_replace_their_rows(metric: str) -> None:
    """Near rows are read again while the result is written."""
    x = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    x[5:9] = x[4] * (1 + 1e-4 * np.arange(4)[:, None])
    expected = fl.pairwise_distances(x, metric=metric)
    own = x.copy()
    assert fl.pairwise_distances(own, metric=metric, out=own) is own
    assert np.array_equal(own, expected)

"""Promise: triplets mined in a batch, by any rule, are those of the triple loop: losses, counts, gradients; without its work."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cases import THREADS, every_dtype, need
from matrix import every

import fastloss as fl

MININGS = ("hard", "semihard", "all", "all_semihard")
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}
nan, inf = math.nan, math.inf

every_mining = every("mining", MININGS)
every_power = every("squared", [False, True], ("distance", "squared").__getitem__)
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


# -- The triple loop ---------------------------------------------------------------------------------


def triplets(d: list[list[float]], labels: list[int], anchor: int, mining: str, margin: float) -> Iterator[tuple[int, int]]:
    """The pairs (p, n) that an anchor is compared with; of equal distances the first counts."""
    rows = range(len(labels))
    positives = [j for j in rows if labels[j] == labels[anchor] and j != anchor]
    negatives = [j for j in rows if labels[j] != labels[anchor]]
    far = d[anchor]
    if mining == "hard" and positives and negatives:
        yield max(positives, key=far.__getitem__), min(negatives, key=far.__getitem__)
    for p in positives if mining != "hard" else []:
        beyond = [n for n in negatives if far[n] > far[p]]
        if mining == "semihard" and beyond:
            yield p, min(beyond, key=far.__getitem__)
        elif mining == "all_semihard":
            yield from ((p, n) for n in beyond if far[n] < far[p] + margin)
        elif mining == "all":
            yield from ((p, n) for n in negatives)


def by_loop(x: np.ndarray, labels: np.ndarray, mining: str, margin: float, squared: bool) -> tuple[np.ndarray, ...]:
    """Each anchor's loss, its triplets that are active and all of them, and the gradient of the summed losses."""
    x = x.astype(np.float64)
    square = [[float(((a - b) ** 2).sum()) for b in x] for a in x]
    d = square if squared else [[math.sqrt(v) for v in row] for row in square]
    values, active, valid, grad = (*np.zeros((3, len(x))), np.zeros_like(x))

    def pull(a: int, b: int, sign: float) -> None:
        if d[a][b]:
            slope = sign * (x[a] - x[b]) * (2 if squared else 1 / d[a][b])
            grad[a] += slope
            grad[b] -= slope

    for a in range(len(x)):
        for p, n in triplets(d, labels.tolist(), a, mining, margin):
            valid[a] += 1
            loss = d[a][p] - d[a][n] + margin
            if loss > 0:
                values[a] += loss
                active[a] += 1
                pull(a, p, 1.0)
                pull(a, n, -1.0)
    return values, active, valid, grad


def agree(x: np.ndarray, labels: np.ndarray, mining: str, margin: float, squared: bool) -> None:
    """Everything batch_triplet gives, by both averages, against the triple loop."""
    values, active, valid, grad = by_loop(x, labels, mining, margin, squared)
    tolerance = TOLERANCE[str(x.dtype)]
    size = tolerance * (1 + np.abs(x).max(initial=0.0) ** 2) * np.maximum(1, active)
    for average, counts in (("active", active), ("valid", valid)):
        kw = {"mining": mining, "margin": margin, "squared": squared, "average": average}
        numerator, denominator = fl.batch_triplet.terms(x, labels, **kw)
        assert np.array_equal(denominator, counts)
        assert (np.abs(numerator - values) <= size).all()
        assert (np.abs(fl.batch_triplet(x, labels, **kw, reduction="none") - values) <= size).all()
        value, got = fl.batch_triplet.value_and_grad(x, labels, **kw, reduction="sum")
        assert abs(value - values.sum()) <= size.sum()
        off = tolerance * (1 + np.abs(x).max(initial=0.0)) * max(1.0, active.sum())
        assert got.shape == x.shape
        assert got.dtype == x.dtype
        assert (np.abs(got - grad) <= off).all()
        divisor = counts.sum()
        value, got = fl.batch_triplet.value_and_grad(x, labels, **kw)
        assert value == pytest.approx(values.sum() / divisor if divisor else 0.0, rel=0, abs=size.sum() / max(1.0, divisor))
        assert (np.abs(got - grad / max(1.0, divisor)) <= off / max(1.0, divisor)).all()


def labellings(rng: np.random.Generator, n: int) -> Iterator[np.ndarray]:
    """Few classes and many, one alone, and each row a class of its own."""
    for classes in (2, 3, max(1, n // 2)):
        yield rng.integers(0, classes, n)
    yield np.zeros(n, np.int64)
    yield np.arange(n)


@every_power
@every_mining
@every_dtype
def test_equals_the_triple_loop(mining: str, squared: bool, dtype: str, isa: str) -> None:
    rng = np.random.default_rng(0)
    for n in range(13):
        for labels in labellings(rng, n):
            for margin in (0.2, 1.0, 0.0):
                agree(rng.normal(size=(n, 3)).astype(dtype), labels, mining, margin, squared)


@every_power
@every_mining
@every_dtype
def test_equals_the_triple_loop_where_distances_are_equal(mining: str, squared: bool, dtype: str, isa: str) -> None:
    """Whole numbers, some rows the same: every distance is exact, many are equal, some by just the margin."""
    rng = np.random.default_rng(1)
    for n in range(13):
        for labels in labellings(rng, n):
            for margin in (0.0, 0.5, 1.0, 3.0):
                agree(rng.integers(-1, 3, (n, 2)).astype(dtype), labels, mining, margin, squared)


@every("width", [0, 1, 2, 3, 7, 8, 9, 16, 17, 31, 64, 100, 130, 257])
@every_dtype
def test_equals_the_triple_loop_for_every_width(width: int, dtype: str, isa: str) -> None:
    rng = np.random.default_rng(width)
    x = rng.normal(size=(11, width)).astype(dtype) / np.float32(max(1, width) ** 0.5)
    for mining in MININGS:
        agree(x, rng.integers(0, 3, 11), mining, 0.2, False)


# -- Larger batches: the same, an anchor at a time -------------------------------------------------------


def dense(x: np.ndarray, labels: np.ndarray, mining: str, margin: float, squared: bool) -> tuple[np.ndarray, ...]:
    """What by_loop gives, by arrays of an anchor's positives x negatives."""
    x = x.astype(np.float64)
    values, active, valid = np.zeros((3, len(x)))
    pulls = np.zeros((len(x), len(x)))
    rows = np.arange(len(x))
    for a in rows:
        square = ((x - x[a]) ** 2).sum(axis=1)
        d = square if squared else np.sqrt(square)
        p, n = rows[(labels == labels[a]) & (rows != a)], rows[labels != labels[a]]
        if not p.size or not n.size:
            continue
        if mining == "hard":
            p, n = p[[d[p].argmax()]], n[[d[n].argmin()]]
        elif mining == "semihard":
            beyond = np.where(d[n] > d[p][:, None], d[n], inf)
            p, n = p[(beyond < inf).any(axis=1)], n[beyond.argmin(axis=1)][(beyond < inf).any(axis=1)]
        else:
            p, n = np.repeat(p, n.size), np.tile(n, p.size)
            if mining == "all_semihard":
                between = (d[n] > d[p]) & (d[n] < d[p] + margin)
                p, n = p[between], n[between]
        loss = d[p] - d[n] + margin
        on = loss > 0
        values[a], active[a], valid[a] = loss[on].sum(), on.sum(), loss.size
        with np.errstate(divide="ignore"):
            slope = np.full_like(d, 2.0) if squared else np.where(d > 0, 1 / d, 0.0)
        pulls[a] = (np.bincount(p[on], minlength=len(x)) - np.bincount(n[on], minlength=len(x))) * slope
    pulls = pulls + pulls.T
    return values, active, valid, pulls.sum(axis=1)[:, None] * x - pulls @ x


@every_power
@every_mining
@every_dtype
def test_many_equal_distances_in_many_tiles(mining: str, squared: bool, dtype: str, isa: str) -> None:
    """The lowest index, wherever its like come later; whole numbers, so that equal is equal."""
    rng = np.random.default_rng(2)
    x, labels = rng.integers(-3, 4, (1100, 3)).astype(dtype), rng.integers(0, 40, 1100)
    values, active, valid, grad = dense(x, labels, mining, 0.5, squared)
    kw = {"mining": mining, "margin": 0.5, "squared": squared}
    for average, counts in (("active", active), ("valid", valid)):
        numerator, denominator = fl.batch_triplet.terms(x, labels, **kw, average=average)
        assert np.array_equal(denominator, counts)
        np.testing.assert_allclose(numerator, values, rtol=2e-6 if dtype == "float32" else 1e-13, atol=1e-6)
    got = fl.batch_triplet.grad(x, labels, **kw, reduction="sum")
    np.testing.assert_allclose(got, grad, rtol=0, atol=(1e-6 if dtype == "float32" else 1e-13) * np.abs(grad).max())


@every_mining
@every_dtype
def test_distances_that_crowd_together(mining: str, dtype: str, isa: str) -> None:
    """One row is far away: of the buckets, equally wide, a few hold nearly all distances."""
    rng = np.random.default_rng(13)
    x = np.append(rng.integers(0, 32, 300), 4000)[:, None].astype(dtype)
    for classes in (2, 3, 7):
        labels = rng.integers(0, classes, len(x))
        values, active, valid, _ = dense(x, labels, mining, 5.0, False)
        for average, counts in (("active", active), ("valid", valid)):
            kw = {"mining": mining, "margin": 5.0, "average": average}
            numerator, denominator = fl.batch_triplet.terms(x, labels, **kw)
            assert np.array_equal(denominator, counts)
            np.testing.assert_allclose(numerator, values, rtol=2e-6 if dtype == "float32" else 1e-13, atol=1e-6)


@every("classes", [1, 2, 5, 64, 400])
@every_mining
def test_few_classes_and_many(mining: str, classes: int, isa: str) -> None:
    """More positives than negatives, and the other way round."""
    rng = np.random.default_rng(classes)
    x, labels = rng.normal(size=(403, 5)), rng.integers(0, classes, 403)
    values, active, valid, grad = dense(x, labels, mining, 0.2, False)
    for average, counts in (("active", active), ("valid", valid)):
        numerator, denominator = fl.batch_triplet.terms(x, labels, mining=mining, average=average)
        assert np.array_equal(denominator, counts)
        np.testing.assert_allclose(numerator, values, rtol=1e-12, atol=1e-12)
    got = fl.batch_triplet.grad(x, labels, mining=mining, reduction="sum")
    np.testing.assert_allclose(got, grad, rtol=0, atol=1e-12 * max(1.0, np.abs(grad).max()))


@every("size", [63, 64, 65, 127, 128, 129, 255, 257, 511, 513])
@every_dtype
def test_sizes_about_those_of_tiles(size: int, dtype: str, isa: str) -> None:
    x, labels = fl.batch_triplet.sample(np.random.default_rng(size), dtype, size)[0]
    for mining in MININGS:
        values, active, _, grad = dense(x, labels, mining, 0.2, False)
        numerator, denominator = fl.batch_triplet.terms(x, labels, mining=mining)
        assert np.array_equal(denominator, active)
        off = (1e-6 if dtype == "float32" else 1e-13) * np.maximum(1, active)
        assert (np.abs(numerator - values) <= off).all()
        got = fl.batch_triplet.grad(x, labels, mining=mining, reduction="sum")
        np.testing.assert_allclose(got, grad, rtol=0, atol=(4e-6 if dtype == "float32" else 1e-12) * np.abs(grad).max())


# -- Ties ----------------------------------------------------------------------------------------------


@every_dtype
def test_of_equal_distances_the_lowest_index_is_taken(dtype: str, isa: str) -> None:
    """Seen in the gradient: only the first of two positives and the first of two negatives is moved by the anchor."""
    x = np.array([[0, 0], [0, 2], [2, 0], [1, 0], [0, 1]], dtype)
    labels = np.array([0, 0, 0, 1, 2])
    weight = np.array([1, 2**-60, 2**-60, 2**-60, 2**-60], dtype)  # one anchor, as good as alone
    for mining, moved in (("hard", [0, 1, 3]), ("semihard", [])):
        grad = fl.batch_triplet.grad(x, labels, mining=mining, sample_weight=weight, reduction="sum")
        assert np.flatnonzero((np.abs(grad) > 1e-9).any(axis=1)).tolist() == moved
    x[3:] *= 2.05
    grad = fl.batch_triplet.grad(x, labels, mining="semihard", sample_weight=weight, reduction="sum")
    assert np.flatnonzero((np.abs(grad) > 1e-9).any(axis=1)).tolist() == [0, 1, 2, 3]
    assert grad[3, 0] == -2  # nearest for both pairs


@every_mining
@every_dtype
def test_rows_that_are_the_same(mining: str, dtype: str, isa: str) -> None:
    """All distances 0: each triplet loses the margin, and none has a direction."""
    labels = np.array([0, 0, 1, 1, 1])
    for row in ([0.0, 0.0, 0.0], [1.1, -2.3, 1e-3], [1e4, 3e3, 1e-3]):
        x = np.tile(np.array(row, dtype), (5, 1))
        value, grad = fl.batch_triplet.value_and_grad(x, labels, mining=mining, margin=0.25)
        assert value == (0.25 if mining in ("hard", "all") else 0.0)
        assert not grad.any()


# -- What no triplet is in ---------------------------------------------------------------------------------


@every("average", ["active", "valid"])
@every_mining
@every_dtype
def test_a_batch_without_triplets_is_zero(mining: str, average: str, dtype: str) -> None:
    kw = {"mining": mining, "average": average}
    rng = np.random.default_rng(0)
    for labels in ([], [3], [3, 3], [1, 2], [1, 2, 3, 4], [5, 5, 5]):
        x = rng.normal(size=(len(labels), 4)).astype(dtype)
        for w in (None, np.ones(len(labels))):
            value, grad = fl.batch_triplet.value_and_grad(x, np.array(labels, int), **kw, sample_weight=w)
            assert value == 0.0
            assert math.copysign(1.0, value) == 1.0
            assert grad.shape == x.shape
            assert grad.dtype == x.dtype
            assert not grad.any()
        none = fl.batch_triplet(x, np.array(labels, int), **kw, reduction="none")
        assert none.shape == x.shape[:1]
        assert none.dtype == dtype
        assert not none.any()


@every_mining
def test_no_active_triplet_is_zero_too(mining: str) -> None:
    x = np.array([[0.0], [0.1], [9.0], [9.1]])
    value, grad = fl.batch_triplet.value_and_grad(x, [0, 0, 1, 1], mining=mining)
    assert value == 0.0
    assert not grad.any()
    numerator, denominator = fl.batch_triplet.terms(x, [0, 0, 1, 1], mining=mining)
    assert not numerator.any()
    assert not denominator.any()
    counts = {"hard": 1, "semihard": 1, "all": 2, "all_semihard": 0}
    assert (fl.batch_triplet.terms(x, [0, 0, 1, 1], mining=mining, average="valid")[1] == counts[mining]).all()


# -- Derivatives ---------------------------------------------------------------------------------------------


@every("reduction", ["none", "sum", "mean"])
@every("average", ["active", "valid"])
@every_power
@every_mining
def test_gradient_is_the_slope(mining: str, squared: bool, average: str, reduction: str) -> None:
    """Central differences; the counts of the mean are constants, which they are between kinks."""
    (x, labels), _ = fl.batch_triplet.sample(np.random.default_rng(5), "float64", 13)
    kw: dict[str, Any] = {"mining": mining, "squared": squared, "average": average}
    kw["sample_weight"] = np.random.default_rng(6).uniform(0, 2, 13)
    grad = fl.batch_triplet.grad(x, labels, **kw, reduction=reduction)
    assert grad.any()
    for at in np.ndindex(x.shape):
        sides = []
        for step in (1e-6, -1e-6):
            moved = x.copy()
            moved[at] += step
            sides.append(np.sum(fl.batch_triplet(moved, labels, **kw, reduction=reduction)))
        assert grad[at] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-6, abs=1e-7 * np.abs(grad).max())


@every_power
@every_mining
def test_gradcheck(mining: str, squared: bool) -> None:
    (x, labels), _ = fl.batch_triplet.sample(np.random.default_rng(7), "float64", 17)
    for average in ("active", "valid"):
        result = fl.gradcheck(fl.batch_triplet, x, labels, mining=mining, squared=squared, average=average, verbose=False)
        assert result, str(result)


# -- Relations ---------------------------------------------------------------------------------------------


@every_power
@every_dtype
def test_the_hardest_triplet_is_the_worst_of_all(squared: bool, dtype: str, isa: str) -> None:
    """For each anchor; its semihard ones are among all."""
    (x, labels), _ = fl.batch_triplet.sample(np.random.default_rng(3), dtype, 64)
    kw = {"squared": squared, "margin": 5.0, "average": "valid"}  # so that none is 0
    hard, every = (fl.batch_triplet.terms(x, labels, mining=mining, **kw) for mining in ("hard", "all"))
    assert (hard[0] >= every[0] / every[1] - 1e-5).all()
    values = np.array([by_loop(x, labels, "all", 5.0, squared)[0]])
    np.testing.assert_allclose(every[0], values[0], rtol=1e-5)
    semihard, between = (fl.batch_triplet.terms(x, labels, mining=mining, **kw) for mining in ("semihard", "all_semihard"))
    assert (between[1] <= every[1]).all()
    assert (semihard[1] <= between[1]).all()
    assert (semihard[0] <= between[0] + 1e-5).all()


@every_mining
def test_labels_are_names(mining: str) -> None:
    """Any integers, of any type, in any order."""
    (x, labels), _ = fl.batch_triplet.sample(np.random.default_rng(4), "float64", 40)
    expected = fl.batch_triplet(x, labels, mining=mining, reduction="none")
    for other in (
        labels.astype("uint8"),
        labels.astype("int8") - 5,
        labels.astype("int16")[::-1].copy()[::-1],
        labels.astype(">i4"),
        9 - labels,
        labels * 2**59 - 2**62,
        labels.astype("uint64") + np.uint64(2**64 - 10),
        labels.tolist(),
        np.repeat(labels, 3)[::3],
    ):
        assert np.array_equal(fl.batch_triplet(x, other, mining=mining, reduction="none"), expected)
    two = labels % 2 == 0
    expected = fl.batch_triplet(x, two.astype(int), mining=mining, reduction="none")
    assert np.array_equal(fl.batch_triplet(x, two, mining=mining, reduction="none"), expected)


def test_labels_that_differ_in_their_highest_bits_only() -> None:
    x = np.random.default_rng(0).normal(size=(6, 3))
    low = np.array([0, 0, 1, 1, 2, 2])
    for high in (low * 2**32, low * 2**61, low.astype(np.uint64) * np.uint64(2**62)):
        assert fl.batch_triplet(x, high) == fl.batch_triplet(x, low)


@every_mining
def test_moving_and_turning_all_rows_changes_nothing(mining: str) -> None:
    (x, labels), _ = fl.batch_triplet.sample(np.random.default_rng(8), "float64", 50)
    turn = np.linalg.qr(np.random.default_rng(9).normal(size=(8, 8)))[0]
    value, grad = fl.batch_triplet.value_and_grad(x, labels, mining=mining)
    moved, slope = fl.batch_triplet.value_and_grad(x @ turn + 3.0, labels, mining=mining)
    assert moved == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(slope, grad @ turn, rtol=0, atol=1e-13)
    assert np.abs(grad.sum(axis=0)).max() < 1e-14


@every_mining
def test_the_loss_of_twice_the_rows_with_twice_the_margin_is_twice_as_large(mining: str, isa: str) -> None:
    (x, labels), _ = fl.batch_triplet.sample(np.random.default_rng(8), "float32", 200)
    value, grad = fl.batch_triplet.value_and_grad(x, labels, mining=mining)
    for factor in (2.0, 0.5, 2.0**40, 2.0**-40):
        scaled, slope = fl.batch_triplet.value_and_grad(x * np.float32(factor), labels, mining=mining, margin=0.2 * factor)
        assert scaled == pytest.approx(factor * value, rel=1e-6)
        np.testing.assert_allclose(slope, grad, rtol=0, atol=1e-5 * np.abs(grad).max())


# -- Rows that are hard to tell apart, far away, or no numbers ------------------------------------------------


@every_mining
def test_rows_far_from_the_origin(mining: str, isa: str) -> None:
    """1000 away from it, and a few thousandths from one another: as if they lay about it."""
    rng = np.random.default_rng(10)
    near = (rng.integers(-100, 100, (60, 16)) / 2.0**13).astype(np.float32)
    labels = np.arange(60) % 12
    kw = {"mining": mining, "margin": 0.01}
    value, grad = fl.batch_triplet.value_and_grad(near, labels, **kw)
    far, slope = fl.batch_triplet.value_and_grad(near + np.float32(1000), labels, **kw)
    assert far == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(slope, grad, rtol=0, atol=1e-4 * np.abs(grad).max())


@every("size", [1e30, 1e18, 1e-18, 1e-30])
@every_mining
def test_huge_and_tiny_rows(mining: str, size: float, isa: str) -> None:
    """The squares of whose distances are no float32."""
    (x, labels), _ = fl.batch_triplet.sample(np.random.default_rng(8), "float64", 50)
    value, grad = fl.batch_triplet.value_and_grad(x, labels, mining=mining)
    scaled = (x * size).astype(np.float32)
    got, slope = fl.batch_triplet.value_and_grad(scaled, labels, mining=mining, margin=0.2 * size)
    assert got == pytest.approx(value * size, rel=1e-5)
    np.testing.assert_allclose(slope, grad, rtol=0, atol=1e-5 * np.abs(grad).max())


@every("bad", [nan, inf, -inf])
@every_mining
@every_dtype
def test_a_row_that_is_no_number_spoils_those_compared_with_it(mining: str, bad: float, dtype: str, isa: str) -> None:
    """An anchor without a triplet is compared with none; nothing comes out that looks like a result but is not."""
    (x, labels), _ = fl.batch_triplet.sample(np.random.default_rng(8), dtype, 21)
    alone = np.flatnonzero(np.bincount(labels)[labels] == 1)
    assert alone.size
    clean = fl.batch_triplet(x, labels, mining=mining, reduction="none")
    for at in (0, 13, 20):
        dirty = x.copy()
        dirty[at, 3] = bad
        got = fl.batch_triplet(dirty, labels, mining=mining, reduction="none")
        assert not got[alone].any()
        if math.isnan(bad) and at not in alone:
            assert np.isnan(got[at])
            assert math.isnan(fl.batch_triplet(dirty, labels, mining=mining))
        kept = ~np.isnan(got)
        if mining != "hard" and math.isnan(bad):
            assert np.all((got[kept] == 0) | np.isclose(got[kept], clean[kept], rtol=1e-5))


# -- Shapes and types -------------------------------------------------------------------------------------------


def refused(kind: Any, argument: str, *args: Any, **kwargs: Any) -> str:
    """The text of the error of all ways to call."""
    texts = []
    for method in (fl.batch_triplet, fl.batch_triplet.grad, fl.batch_triplet.value_and_grad, fl.batch_triplet.terms):
        with pytest.raises(kind, match=rf"^batch_triplet: {argument}: expected .+, got .+") as caught:
            method(*args, **kwargs)
        texts.append(str(caught.value))
    return texts[0]


@pytest.mark.parametrize("shape", [(), (6,), (6, 3, 1), (1, 6, 3)], ids=str)
def test_embeddings_are_rows(shape: tuple[int, ...]) -> None:
    assert "embeddings" in refused((ValueError, TypeError), "(embeddings|labels)", np.ones(shape), np.zeros(6, int))


@pytest.mark.parametrize("shape", [(), (1,), (5,), (7,), (0,), (6, 1), (1, 6), (3, 2)], ids=str)
def test_labels_are_as_many_as_rows(shape: tuple[int, ...]) -> None:
    refused((ValueError, TypeError), "labels", np.ones((6, 3)), np.zeros(shape, int))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "object", "U2", "M8[s]"])
def test_labels_are_integers(dtype: str) -> None:
    refused(TypeError, "labels", np.ones((6, 3)), np.zeros(6, "i8").astype(dtype))


def test_integer_embeddings_are_float64() -> None:
    x = np.random.default_rng(0).integers(-3, 4, (20, 3))
    labels = np.arange(20) % 5
    for dtype in ("int8", "int16", "int32", "int64"):
        value, grad = fl.batch_triplet.value_and_grad(x.astype(dtype), labels)
        assert value == fl.batch_triplet(x.astype(float), labels)
        assert grad.dtype == np.float64


@every("dtype", ["float16", "bfloat16"])
@every_mining
def test_half_precision_gradients_are_rounded_once(mining: str, dtype: str, isa: str) -> None:
    kind = np.dtype(dtype) if dtype == "float16" else np.dtype(need("ml_dtypes").bfloat16)
    (x, labels), _ = fl.batch_triplet.sample(np.random.default_rng(0), "float32", 130)
    low = x.astype(kind)
    value, grad = fl.batch_triplet.value_and_grad(low, labels, mining=mining)
    up, slope = fl.batch_triplet.value_and_grad(low.astype(np.float32), labels, mining=mining)
    assert value == up
    assert grad.dtype == kind
    assert np.array_equal(grad.astype(np.float32), slope.astype(kind).astype(np.float32))


# -- Threads and memory --------------------------------------------------------------------------------------------


@every_mining
@every_dtype
def test_same_bits_for_any_number_of_threads(mining: str, dtype: str, isa: str) -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(1503, 33)).astype(dtype), rng.integers(0, 100, 1503)
    answers = []
    for n in THREADS:
        with fl.num_threads(n):
            value, grad = fl.batch_triplet.value_and_grad(x, labels, mining=mining)
            none = fl.batch_triplet(x, labels, mining=mining, reduction="none")
            answers.append((value, grad.tobytes(), none.tobytes(), fl.batch_triplet(x, labels, mining=mining)))
    assert answers == [answers[0]] * len(THREADS)


MEMORY = """
import resource, sys
import numpy as np, fastloss as fl
fl.set_num_threads(2)
n, d, mining = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
x = np.random.default_rng(0).standard_normal((n, d), np.float32)
y = np.arange(n) // 8
out = np.empty_like(x); out[...] = 0
fl.batch_triplet.value_and_grad(x[:64], y[:64], mining=mining)
start = peak()
fl.batch_triplet(x, y, mining=mining); forward = peak() - start
value, _ = fl.batch_triplet.value_and_grad(x, y, mining=mining, out=out)
assert np.isfinite(out).all() and out.any() and value > 0
print(forward, peak() - start, peak())
"""


def memory(n: int, d: int, mining: str) -> tuple[float, ...]:
    """Megabytes that value, and value and gradient, add to a process, and all that it has."""
    done = subprocess.run([sys.executable, "-c", MEMORY, str(n), str(d), mining], capture_output=True, text=True, check=True)
    return tuple(map(float, done.stdout.split()))


@linux
@every_mining
def test_memory_grows_with_the_rows_not_with_the_pairs(mining: str) -> None:
    """The distances of 8192 rows would be 256 MB."""
    forward, gradient, _ = memory(8192, 16, mining)
    assert forward < 32
    assert gradient < 32 + 64  # the slopes of 4096 rows


@linux
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_batch_whose_distances_would_not_fit() -> None:
    """32768 rows: 4 GB of distances; the whole process stays below 1 GB."""
    assert memory(32768, 128, "hard")[2] < 1024

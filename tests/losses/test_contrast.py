"""Promise: losses that contrast each row with all others are the dense definition's, to the digits that similarities have."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import oracle
import pytest
from cases import THREADS, as_tuple, every_dtype, need
from conftest import at_each_level
from matrix import every
from mpmath import mp, mpf

import fastloss as fl
import fastloss._definitions.reference as _reference

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
DERIVATIVE = {"float32": 1e-6, "float64": 1e-13}
nan, inf = math.nan, math.inf

Call = tuple[str, dict[str, Any]]


def queue(rows: int = 9, width: int = 8, dtype: str = "float64", seed: int = 99) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(dtype)


CALLS: list[Call] = [
    ("nt_xent", {}),
    ("nt_xent", {"temperature": 0.07}),
    ("info_nce", {}),
    ("info_nce", {"symmetric": True}),
    ("info_nce", {"negatives": queue()}),
    ("info_nce", {"normalize": False, "temperature": 2.0}),
    ("info_nce", {"normalize": False, "temperature": 2.0, "symmetric": True}),
    ("info_nce", {"normalize": False, "temperature": 2.0, "negatives": queue()}),
    ("supcon", {}),
    ("supcon", {"temperature": 0.5}),
    ("supcon", {"normalize": False, "temperature": 2.0}),
]
every_call = every("name,options", CALLS, lambda call: f"{call[0]}-{'-'.join(call[1]) or 'default'}")


def draw(name: str, size: int, dtype: str = "float64", seed: int = 0, width: int = 8) -> tuple[np.ndarray, ...]:
    """Rows of any width; of supcon with labels, some alone."""
    rng = np.random.default_rng([seed, size, width])
    first, second = rng.normal(size=(2, size, width))
    if name == "supcon":
        return first.astype(dtype), rng.integers(0, max(1, size // 3), size)
    return first.astype(dtype), (first + second).astype(dtype)


def fitting(options: dict[str, Any], dtype: str, width: int = 8) -> dict[str, Any]:
    """The options, the queue in the type and width of the rows."""
    return {k: queue(9, width, dtype) if k == "negatives" else v for k, v in options.items()}


def check(name: str, args: tuple[np.ndarray, ...], options: dict[str, Any], dtype: str) -> None:
    """Values of each sample and the gradient of a weighted sum, against the exact ones, at every CPU level."""
    loss = fl.LOSSES[name]
    count = len(args[0]) * (2 if name == "nt_xent" else 1)
    w = np.random.default_rng(1).uniform(0, 2, count)
    exact = oracle.batchwise(name, args, options, w)
    for level in at_each_level():
        values = loss(*args, **options, reduction="none")
        oracle.assert_ulps(values, oracle.Exact.of(exact.value), dtype, loss.ulp[dtype], f"{level}: ", exact.value_scale)
        value, grads = loss.value_and_grad(*args, **options, sample_weight=w, reduction="sum")
        assert value == pytest.approx(float((w * exact.value).sum()), rel=1e-5 if dtype == "float32" else 1e-13)
        for got, e, scale in zip(as_tuple(grads), exact.grads, exact.grad_scales, strict=True):
            assert got.dtype == dtype
            scale = scale + oracle.NORMAL[dtype]
            oracle.assert_derivative(got, oracle.Exact.of(e), dtype, DERIVATIVE[dtype], scale, f"{level}: ")


# -- The definitions, in mpmath, one number at a time ----------------------------------------------------


def unit(row: np.ndarray, normalize: bool = True) -> list[mpf]:
    numbers = [mpf(float(v)) for v in row]
    length = mp.sqrt(mp.fsum(v * v for v in numbers)) if normalize else 1
    return [v / length for v in numbers] if length else numbers


def dots(a: list[list[mpf]], b: list[list[mpf]], temperature: float) -> list[list[mpf]]:
    return [[mp.fsum(u * v for u, v in zip(p, q, strict=True)) / mpf(temperature) for q in b] for p in a]


def minus_log_share(scores: list[mpf], at: int) -> mpf:
    """-log of the softmax, as log1p of the others' sum."""
    return mp.log1p(mp.fsum(mp.exp(s - scores[at]) for k, s in enumerate(scores) if k != at))


def by_definition(name: str, args: tuple[np.ndarray, ...], options: dict[str, Any]) -> list[mpf]:
    o = {"temperature": 0.5 if name == "nt_xent" else 0.07, "normalize": True, "symmetric": False, "negatives": None} | options
    t = o["temperature"]
    rows = [[unit(r, o["normalize"]) for r in a] for a in (args[:1] if name == "supcon" else args)]
    if name == "info_nce":
        q, k = rows
        n = range(len(q))
        if o["negatives"] is not None:
            others = [unit(r, o["normalize"]) for r in o["negatives"]]
            return [minus_log_share(dots([q[i]], [k[i], *others], t)[0], 0) for i in n]
        there = [minus_log_share(row, i) for i, row in enumerate(dots(q, k, t))]
        back = [minus_log_share(row, i) for i, row in enumerate(dots(k, q, t))]
        return [(a + b) / 2 for a, b in zip(there, back, strict=True)] if o["symmetric"] else there
    z = [row for side in rows for row in side]
    labels = list(range(len(args[0]))) * 2 if name == "nt_xent" else args[1].tolist()
    scores, values = dots(z, z, t), []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        positives = [m for m, j in enumerate(others) if labels[j] == labels[i]]
        row = [scores[i][j] for j in others]
        values.append(mp.fsum(minus_log_share(row, m) for m in positives) / max(1, len(positives)))
    return values


@every_call
def test_equals_the_definition(name: str, options: dict[str, Any], isa: str) -> None:
    for size in (1, 2, 3, 5, 9):
        args = draw(name, size, seed=3)
        expected = by_definition(name, args, options)
        reach = 1 / options.get("temperature", 0.5 if name == "nt_xent" else 0.07)
        got = fl.LOSSES[name](*args, **options, reduction="none")
        np.testing.assert_allclose(got, [float(v) for v in expected], rtol=1e-13, atol=1e-14 * reach)
        values, _ = getattr(_reference, name)(*args, **options)
        np.testing.assert_allclose(values, [float(v) for v in expected], rtol=1e-13, atol=1e-14 * reach)


# -- Shapes ----------------------------------------------------------------------------------------------


@every_call
@every_dtype
@every("size", [1, 2, 3, 4, 7, 16, 17, 33, 64, 65, 130], quick=lambda size: size in (1, 3, 17, 33, 65))
def test_every_size(size: int, dtype: str, name: str, options: dict[str, Any]) -> None:
    check(name, draw(name, size, dtype), fitting(options, dtype), dtype)


@every_call
@every_dtype
@every("width", [1, 2, 3, 7, 9, 16, 17, 33, 64, 100, 130, 513], quick=lambda width: width in (1, 3, 9, 17, 100, 513))
def test_every_width(width: int, dtype: str, name: str, options: dict[str, Any]) -> None:
    check(name, draw(name, 13, dtype, width=width), fitting(options, dtype, width), dtype)


@every("rows", [0, 1, 2, 7, 65, 513])
@every_dtype
def test_queues_of_every_length(rows: int, dtype: str) -> None:
    for normalize, temperature in ((True, 0.07), (False, 2.0)):
        kw = {"negatives": queue(rows, 8, dtype), "normalize": normalize, "temperature": temperature}
        check("info_nce", draw("info_nce", 33, dtype), kw, dtype)


@every_call
@every_dtype
def test_no_rows_and_rows_of_no_numbers(dtype: str, name: str, options: dict[str, Any], isa: str) -> None:
    loss, kw = fl.LOSSES[name], fitting(options, dtype)
    empty = draw(name, 0, dtype)
    value, grads = loss.value_and_grad(*empty, **kw)
    assert math.isnan(value)
    assert loss(*empty, **kw, reduction="sum") == 0.0
    assert loss(*empty, **kw, reduction="none").shape == (0,)
    assert all(g.shape == (0, 8) and g.dtype == dtype for g in as_tuple(grads))
    with pytest.raises(ValueError, match=rf"^{name}: \w+: expected rows of at least one number, .+, got shape \(6, 0\)"):
        loss(*draw(name, 6, dtype, width=0), **fitting(options, dtype, 0))


def test_a_pair_alone_has_no_negatives() -> None:
    z = np.random.default_rng(0).normal(size=(2, 1, 5))
    for name in ("nt_xent", "info_nce"):
        value, grads = fl.LOSSES[name].value_and_grad(*z)
        assert value == 0.0
        assert not any(g.any() for g in grads)


# -- Rows that do not count ----------------------------------------------------------------------------------


@every_dtype
def test_anchors_without_a_positive_are_not_counted(dtype: str, isa: str) -> None:
    """They are 0, and still negatives of the others."""
    x = np.random.default_rng(1).normal(size=(7, 5)).astype(dtype)
    labels = np.array([0, 1, 0, 2, 0, 1, 3])
    values = fl.supcon(x, labels, reduction="none")
    assert values[[3, 6]].tolist() == [0, 0]
    denominator = fl.supcon.terms(x, labels)[1]
    assert denominator.tolist() == [1, 1, 1, 0, 1, 1, 0]
    assert fl.supcon(x, labels) == pytest.approx(values.sum(dtype=float) / 5, rel=1e-6)
    weight = np.array([1, 2, 3, 5, 1, 0.5, 7])
    assert fl.supcon(x, labels, sample_weight=weight) == pytest.approx((weight * values).sum(dtype=float) / 7.5, rel=1e-6)
    assert fl.supcon.grad(x, labels)[3].any()
    fewer = np.delete(np.arange(7), 3)
    assert (fl.supcon(x[fewer], labels[fewer], reduction="none")[:3] < values[:3]).all()


def test_no_positives_at_all() -> None:
    x = np.random.default_rng(1).normal(size=(4, 5))
    value, grad = fl.supcon.value_and_grad(x, [4, 3, 2, 1])
    assert math.isnan(value)  # the mean of nothing
    assert not grad.any()
    assert fl.supcon(x, [4, 3, 2, 1], reduction="sum") == 0.0
    assert not fl.supcon(x, [4, 3, 2, 1], reduction="none").any()
    assert not fl.supcon.terms(x, [4, 3, 2, 1])[1].any()


def test_labels_are_names() -> None:
    x, labels = draw("supcon", 40)
    expected = fl.supcon(x, labels, reduction="none")
    for other in (
        labels.astype("uint8"),
        labels.astype("int8") - 5,
        labels.astype(">i4"),
        9 - labels,
        labels * 2**59 - 2**62,
        labels.astype("uint64") + np.uint64(2**64 - 20),
        labels.tolist(),
        np.repeat(labels, 3)[::3],
    ):
        np.testing.assert_allclose(fl.supcon(x, other, reduction="none"), expected, rtol=1e-13)


@every_dtype
def test_zero_vectors_are_similar_to_nothing(dtype: str, isa: str) -> None:
    """All their similarities are 0, and so is their gradient."""
    for name, options in CALLS:
        if options.get("normalize", True):
            args = [a.copy() for a in draw(name, 12, dtype)]
            args[0][[0, 7]] = 0
            if name != "supcon":
                args[1][5] = 0
            kw = fitting(options, dtype)
            if "negatives" in kw:
                kw["negatives"][3] = 0
            check(name, tuple(args), kw, dtype)
            grads = as_tuple(fl.LOSSES[name].grad(*args, **kw))
            assert not grads[0][[0, 7]].any()
            assert all(np.isfinite(g).all() for g in grads)


@every_call
@every_dtype
def test_lengths_do_not_matter(dtype: str, name: str, options: dict[str, Any], isa: str) -> None:
    """Normalised rows may be of any length that a number can have; the gradient is as much smaller."""
    if not options.get("normalize", True):
        pytest.skip("not normalised")
    loss, kw = fl.LOSSES[name], fitting(options, dtype)
    args = draw(name, 20, dtype)
    values, grads = loss(*args, **kw, reduction="none"), as_tuple(loss.grad(*args, **kw))
    for power in (-90, -60, 30, 60, 90) if dtype == "float32" else (-900, 60, 900):
        factor = np.ldexp(1.0, power).astype(dtype)
        scaled = tuple(a * factor if a.dtype.kind == "f" else a for a in args)
        np.testing.assert_allclose(loss(*scaled, **kw, reduction="none"), values, rtol=1e-5 if dtype == "float32" else 1e-13)
        if abs(power) <= 60:
            for g, h in zip(grads, as_tuple(loss.grad(*scaled, **kw)), strict=True):
                np.testing.assert_allclose(h * factor, g, rtol=0, atol=1e-5 * np.abs(g).max())


# -- Temperature -------------------------------------------------------------------------------------------


@every_call
@every("temperature", [0.01, 0.003, 1.0, 1e3])
@every_dtype
def test_temperatures(dtype: str, temperature: float, name: str, options: dict[str, Any]) -> None:
    check(name, draw(name, 30, dtype), {**fitting(options, dtype), "temperature": temperature}, dtype)


@every("name", ["nt_xent", "info_nce", "supcon"])
def test_a_confident_value_is_not_lost(name: str, isa: str) -> None:
    """Positives next to their anchors, negatives opposite: e^-180, which is beside 1 nothing, comes out with its digits."""
    z1 = np.array([[1.0, 0.0], [-1.0, 1e-3]])
    z2 = np.array([[1.0, 1e-3], [-1.0, 0.0]])
    args = (np.concatenate([z1, z2]), np.array([0, 1, 0, 1])) if name == "supcon" else (z1, z2)
    expected = [float(v) for v in by_definition(name, args, {"temperature": 0.01})]
    assert 0 < max(expected) < 1e-80
    got = fl.LOSSES[name](*args, temperature=0.01, reduction="none")
    np.testing.assert_allclose(got, expected, rtol=1e-11)
    for g in as_tuple(fl.LOSSES[name].grad(*args, temperature=0.01)):
        assert 0 < np.abs(g).max() < 1e-75
    low = fl.LOSSES[name](*(a.astype("f4") if a.dtype.kind == "f" else a for a in args), temperature=0.05, reduction="none")
    expected = [float(v) for v in by_definition(name, args, {"temperature": 0.05})]
    np.testing.assert_allclose(low, expected, rtol=1e-4)


@every_dtype
def test_hopeless_values_are_finite(dtype: str, isa: str) -> None:
    """The partner is opposite, all others are on top: 2 / T nats, and a few more."""
    z = np.ones((9, 3), dtype)
    for name in ("nt_xent", "info_nce"):
        values, grads = fl.LOSSES[name].value_and_grad(z, -z, temperature=0.001, reduction="none")
        assert np.isfinite(values).all()
        if name == "nt_xent":
            np.testing.assert_allclose(values, 2000 + np.log(8), rtol=1e-6)
        assert all(np.isfinite(g).all() for g in grads)


# -- Derivatives --------------------------------------------------------------------------------------------


@every("reduction", ["none", "sum", "mean"])
@every_call
def test_gradient_is_the_slope(name: str, options: dict[str, Any], reduction: str) -> None:
    """Central differences, through the lengths of the rows."""
    loss, args = fl.LOSSES[name], draw(name, 7, seed=4)
    kw: dict[str, Any] = {**options, "reduction": reduction}
    kw["sample_weight"] = np.random.default_rng(6).uniform(0, 2, 14 if name == "nt_xent" else 7)
    for k, grad in enumerate(as_tuple(loss.grad(*args, **kw))):
        for at in np.ndindex(args[k].shape):
            sides = []
            for step in (1e-6, -1e-6):
                moved = list(args)
                moved[k] = args[k].copy()
                moved[k][at] += step
                sides.append(np.sum(loss(*moved, **kw)))
            assert grad[at] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5, abs=1e-7)


@every_call
def test_gradcheck(name: str, options: dict[str, Any]) -> None:
    result = fl.gradcheck(fl.LOSSES[name], *draw(name, 9, seed=5), **options, verbose=False)
    assert result, str(result)


@every_call
def test_the_gradient_of_a_normalised_row_is_across_it(name: str, options: dict[str, Any], isa: str) -> None:
    if not options.get("normalize", True):
        pytest.skip("not normalised")
    args = draw(name, 50)
    for x, g in zip(args, as_tuple(fl.LOSSES[name].grad(*args, **options)), strict=False):
        assert np.abs((x * g).sum(axis=1)).max() < 1e-15


def test_the_queue_has_no_gradient() -> None:
    args = draw("info_nce", 6)
    grads = fl.info_nce.grad(*args, negatives=queue())
    assert [g.shape for g in grads] == [(6, 8), (6, 8)]


# -- Relations -------------------------------------------------------------------------------------------------


@every_dtype
def test_nt_xent_is_supcon_of_two_views(dtype: str, isa: str) -> None:
    z1, z2 = draw("nt_xent", 33, dtype)
    together, labels = np.concatenate([z1, z2]), np.tile(np.arange(33), 2)
    rtol = 1e-5 if dtype == "float32" else 1e-13
    a, b = fl.nt_xent(z1, z2, reduction="none"), fl.supcon(together, labels, temperature=0.5, reduction="none")
    np.testing.assert_allclose(a, b, rtol=rtol)
    g, h = np.concatenate(fl.nt_xent.grad(z1, z2)), fl.supcon.grad(together, labels, temperature=0.5)
    np.testing.assert_allclose(g, h, rtol=0, atol=rtol * np.abs(h).max())


@every_dtype
def test_symmetric_info_nce_is_the_mean_of_both_directions(dtype: str, isa: str) -> None:
    q, k = draw("info_nce", 33, dtype)
    rtol = 1e-5 if dtype == "float32" else 1e-13
    there, back = (fl.info_nce.value_and_grad(*pair, reduction="none") for pair in ((q, k), (k, q)))
    values, grads = fl.info_nce.value_and_grad(q, k, symmetric=True, reduction="none")
    np.testing.assert_allclose(values, (there[0] + back[0]) / 2, rtol=rtol)
    for g, a, b in zip(grads, there[1], back[1][::-1], strict=True):
        np.testing.assert_allclose(g, (a + b) / 2, rtol=0, atol=rtol * np.abs(g).max())
    turned = fl.info_nce.value_and_grad(k, q, symmetric=True)
    assert turned[0] == pytest.approx(fl.info_nce(q, k, symmetric=True), rel=1e-6)


@pytest.mark.parametrize("negatives", [False, True])
def test_info_nce_is_cross_entropy_of_the_similarities(negatives: bool) -> None:
    q, k = draw("info_nce", 33)
    u, v, w = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (q, k, queue()))
    logits = np.concatenate([(u * v).sum(1)[:, None], u @ w.T], axis=1) if negatives else u @ v.T
    target = np.zeros(33, int) if negatives else np.arange(33)
    got = fl.info_nce(q, k, negatives=queue() if negatives else None, reduction="none")
    np.testing.assert_allclose(got, fl.cross_entropy(logits / 0.07, target, reduction="none"), rtol=1e-12, atol=1e-13)
    got = fl.info_nce(u, v, negatives=w if negatives else None, normalize=False, reduction="none")
    np.testing.assert_allclose(got, fl.cross_entropy(logits / 0.07, target, reduction="none"), rtol=1e-12, atol=1e-13)


def test_a_queue_of_the_other_keys_is_the_batch() -> None:
    q, k = draw("info_nce", 5)
    each = [fl.info_nce(q[i : i + 1], k[i : i + 1], negatives=np.delete(k, i, axis=0)) for i in range(5)]
    np.testing.assert_allclose(fl.info_nce(q, k, reduction="none"), each, rtol=1e-12)


@pytest.mark.parametrize("name", ["nt_xent", "info_nce", "supcon"])
def test_turning_all_rows_changes_nothing(name: str) -> None:
    args = draw(name, 30)
    turn = np.linalg.qr(np.random.default_rng(9).normal(size=(8, 8)))[0]
    turned = tuple(a @ turn if a.dtype.kind == "f" else a for a in args)
    value, grads = fl.LOSSES[name].value_and_grad(*args)
    got, slopes = fl.LOSSES[name].value_and_grad(*turned)
    assert got == pytest.approx(value, rel=1e-12)
    for g, h in zip(as_tuple(grads), as_tuple(slopes), strict=True):
        np.testing.assert_allclose(h, g @ turn, rtol=0, atol=1e-13)


# -- nan and infinity --------------------------------------------------------------------------------------------


@every_call
@every_dtype
@every("bad", [nan, inf])
def test_a_row_that_is_no_number_spoils_all_that_are_compared_with_it(
    bad: float, dtype: str, name: str, options: dict[str, Any], isa: str
) -> None:
    """Every row is, but where a queue stands for the others."""
    loss, kw = fl.LOSSES[name], fitting(options, dtype)
    args = [a.copy() for a in draw(name, 20, dtype)]
    clean = loss(*args, **kw, reduction="none")
    args[0][13, 4] = bad
    got = loss(*args, **kw, reduction="none")
    if "negatives" in kw or (name == "info_nce" and not kw.get("symmetric")):
        others = np.arange(20) != 13
        np.testing.assert_allclose(got[others], clean[others], rtol=1e-6)
        assert not np.isfinite(got[13])
    elif math.isnan(bad):
        assert np.isnan(got[clean != 0]).all()
        assert math.isnan(loss(*args, **kw))
    args = [a.copy() for a in draw(name, 20, dtype)]
    if "negatives" in kw and math.isnan(bad):
        kw["negatives"][4, 2] = nan
        assert np.isnan(loss(*args, **kw, reduction="none")).all()


# -- Errors --------------------------------------------------------------------------------------------------------


def refused(name: str, kind: Any, argument: str, *args: Any, **kwargs: Any) -> None:
    loss = fl.LOSSES[name]
    for method in (loss, loss.grad, loss.value_and_grad, loss.terms):
        with pytest.raises(kind, match=rf"^{name}: {argument}: expected .+, got .+"):
            method(*args, **kwargs)


@pytest.mark.parametrize("shape", [(), (6,), (6, 3, 1), (5, 3), (7, 3), (6, 4), (6, 2), (3, 6), (0, 3), (1, 3), (6, 1)], ids=str)
@pytest.mark.parametrize("name", ["nt_xent", "info_nce"])
def test_two_views_have_one_shape(name: str, shape: tuple[int, ...]) -> None:
    names = "(z1|z2)" if name == "nt_xent" else "(query|key)"
    refused(name, (ValueError, TypeError), names, np.ones((6, 3)), np.ones(shape))
    refused(name, (ValueError, TypeError), names, np.ones(shape), np.ones((6, 3)))


@pytest.mark.parametrize("shape", [(), (1,), (5,), (7,), (0,), (6, 1), (1, 6), (3, 2)], ids=str)
def test_labels_are_as_many_as_rows(shape: tuple[int, ...]) -> None:
    refused("supcon", (ValueError, TypeError), "labels", np.ones((6, 3)), np.zeros(shape, int))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "object", "U2", "M8[s]"])
def test_labels_are_integers(dtype: str) -> None:
    refused("supcon", TypeError, "labels", np.ones((6, 3)), np.zeros(6, "i8").astype(dtype))


@pytest.mark.parametrize("name", ["nt_xent", "info_nce", "supcon"])
def test_temperature_is_positive(name: str) -> None:
    args = draw(name, 6)
    for bad in (0.0, -0.07, nan, inf):
        refused(name, ValueError, "temperature", *args, temperature=bad)
    for bad in ("1", None, [0.1]):
        refused(name, TypeError, "temperature", *args, temperature=bad)


def test_queues_that_do_not_fit() -> None:
    args = draw("info_nce", 6)
    for bad in (np.ones((3, 7)), np.ones(8), np.ones((3, 8, 1)), np.ones((8, 3))):
        refused("info_nce", ValueError, "negatives", *args, negatives=bad)
    refused("info_nce", TypeError, "negatives", *args, negatives=np.ones((3, 8), complex))
    refused("info_nce", ValueError, "(symmetric|negatives)", *args, negatives=np.ones((3, 8)), symmetric=True)


@pytest.mark.parametrize("name", ["nt_xent", "info_nce", "supcon"])
def test_integers_are_float64(name: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(-3, 4, (2, 20, 5))
    args, exact = ((x, y), (x.astype(float), y.astype(float))) if name != "supcon" else ((x, y[:, 0]), (x.astype(float), y[:, 0]))
    value, grads = fl.LOSSES[name].value_and_grad(*args)
    assert value == fl.LOSSES[name](*exact)
    assert all(g.dtype == np.float64 for g in as_tuple(grads))


@pytest.mark.parametrize("name", ["nt_xent", "info_nce"])
def test_mixed_types_follow_numpy(name: str) -> None:
    x, y = draw(name, 20)
    for left, right, computed in (("f4", "f8", "f8"), ("f8", "f4", "f8"), ("f2", "f4", "f4"), ("f2", "f8", "f8")):
        a, b = x.astype(left), y.astype(right)
        values, grads = fl.LOSSES[name].value_and_grad(a, b, reduction="none")
        assert values.dtype == computed
        assert np.array_equal(values, fl.LOSSES[name](a.astype(computed), b.astype(computed), reduction="none"))
        assert [g.dtype for g in grads] == [left, right]


@every("dtype", ["float16", "bfloat16"])
@every_call
def test_half_precision_gradients_are_rounded_once(name: str, options: dict[str, Any], dtype: str, isa: str) -> None:
    kind = np.dtype(dtype) if dtype == "float16" else np.dtype(need("ml_dtypes").bfloat16)
    loss, kw = fl.LOSSES[name], fitting(options, "float32")
    low = tuple(a.astype(kind) if a.dtype.kind == "f" else a for a in draw(name, 65, "float32"))
    up = tuple(a.astype(np.float32) if a.dtype == kind else a for a in low)
    assert loss(*low, **kw) == loss(*up, **kw)
    for g, h in zip(as_tuple(loss.grad(*low, **kw)), as_tuple(loss.grad(*up, **kw)), strict=True):
        assert g.dtype == kind
        assert np.array_equal(g.astype(np.float32), h.astype(kind).astype(np.float32))


# -- Large batches, threads and memory --------------------------------------------------------------------------------


@every_call
@every_dtype
def test_same_bits_for_any_number_of_threads(dtype: str, name: str, options: dict[str, Any], isa: str) -> None:
    loss, kw = fl.LOSSES[name], fitting(options, dtype, 33)
    args = draw(name, 703, dtype, width=33)
    answers = []
    for n in THREADS:
        with fl.num_threads(n):
            value, grads = loss.value_and_grad(*args, **kw)
            none = loss(*args, **kw, reduction="none")
            answers.append((value, [g.tobytes() for g in as_tuple(grads)], none.tobytes(), loss(*args, **kw)))
    assert answers == [answers[0]] * len(THREADS)


def dense(name: str, args: tuple[np.ndarray, ...], options: dict[str, Any]) -> tuple[np.ndarray, ...]:
    """Values, and the gradient of the mean, in float64."""
    field = oracle.Field(lambda x: np.asarray(x).astype(np.float64), np.exp, np.log1p)
    count = len(args[0]) * (2 if name == "nt_xent" else 1)
    answer = oracle.contrast(name, args, options, np.ones(count), field)
    return answer.value, *(g / answer.weight.sum() for g in answer.grads)


@every("size", [255, 257, 1025, 2050, 4500], quick=lambda size: size in (257, 1025))
@every_call
def test_batches_of_many_tiles_equal_the_dense_result(name: str, options: dict[str, Any], size: int) -> None:
    if size > 2500 and name == "nt_xent":
        size //= 2  # pairs
    args, kw = draw(name, size, "float32", width=33), fitting(options, "float32", 33)
    reach = 1 / options.get("temperature", 0.5 if name == "nt_xent" else 0.07)
    reach *= 1 if options.get("normalize", True) else 33
    values, *grads = dense(name, args, kw)
    got = fl.LOSSES[name](*args, **kw, reduction="none")
    np.testing.assert_allclose(got, values, rtol=1e-6, atol=1e-6 * reach)
    for g, e in zip(as_tuple(fl.LOSSES[name].grad(*args, **kw)), grads, strict=True):
        np.testing.assert_allclose(g, e, rtol=0, atol=1e-6 * (1 + reach) * np.abs(e).max())


MEMORY = """
import resource, sys
import numpy as np, fastloss as fl
fl.set_num_threads(2)
name, n = sys.argv[1], int(sys.argv[2])
loss = fl.LOSSES[name]
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
rng = np.random.default_rng(0)
x = rng.standard_normal((n, 32), np.float32)
args = (x, np.arange(n) // 4) if name == "supcon" else (x, x + np.float32(0.1))
loss.value_and_grad(*(a[:64] for a in args))
start = peak()
loss(*args); forward = peak() - start
value, grads = loss.value_and_grad(*args)
assert np.isfinite(value)
print(forward, peak() - start)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
@pytest.mark.parametrize(("name", "size"), [("nt_xent", 5000), ("info_nce", 10_000), ("supcon", 10_000)])
def test_memory_grows_with_the_rows_not_with_the_pairs(name: str, size: int) -> None:
    """The similarities of 10000 rows would be 400 MB."""
    done = subprocess.run([sys.executable, "-c", MEMORY, name, str(size)], capture_output=True, text=True, check=True)
    forward, gradient = map(float, done.stdout.split())
    assert forward < 48
    assert gradient < 96

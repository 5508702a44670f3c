"""Sample weights, by what must not change a result: a weight of 0 is as good as no sample, an integer as a repetition; the scale
of the weights and the order of the samples do not matter. Of every loss, every reduction, derivatives, terms and evaluation.
And options: they mean what they say over their whole range, in both types.
"""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import oracle
import pytest
from cases import (
    LENGTHS,
    LOSSES,
    REGIONS,
    SEPARABLE,
    VARIANTS,
    Call,
    Variant,
    as_tuple,
    cut,
    every_dtype,
    every_loss,
    every_separable,
    is_corner,
    value_count,
)
from matrix import every

import fastloss as fl
from fastloss._plans.weights import MANY

NAN, INF = math.nan, math.inf
SIZE = 19
every_corner = every("variant", VARIANTS, quick=lambda v: is_corner(v) or "class_weight" in v.label)
CLOSE = {"float32": 2e-6, "float64": 1e-13}


def spoiled(loss: fl.Loss, call: Call, lost: np.ndarray) -> Call:
    """The call with garbage where samples are lost: nan, infinities, huge numbers, labels that are none, lengths beyond all."""
    args, options = call
    arrays = []
    for name, a in zip(loss.arrays, args, strict=True):
        if name not in loss.shared:
            a = a.copy()
            whole = a.dtype.kind in "iu"
            garbage = (
                [-7, np.iinfo(a.dtype).max, np.iinfo(a.dtype).min] if whole else [NAN, INF, -INF, -1.0, np.finfo(a.dtype).max]
            )
            for k, i in enumerate(np.flatnonzero(lost)):
                a[i] = garbage[k % len(garbage)]
        arrays.append(a)
    return tuple(arrays), {k: np.where(lost, 10**6, v) if k in LENGTHS else v for k, v in options.items()}


def per_value_weights(loss: fl.Loss, w: np.ndarray) -> np.ndarray:
    """A weight for each value: a pair of views has two."""
    return np.tile(w, 2) if value_count(loss, 2) == 4 else w


def draw_weights(lost: np.ndarray) -> np.ndarray:
    return np.where(lost, 0.0, np.random.default_rng(3).integers(1, 9, lost.size) / 4)


def derivatives(loss: fl.Loss, args: Any, kw: Any) -> list[Any]:
    found = [as_tuple(loss.grad(*args, **kw))]
    return [*found, as_tuple(loss.hess(*args, **kw))] if loss.max_order > 1 else found


# -- A weight of 0 -------------------------------------------------------------------------------------


@every_dtype
@every_corner
def test_weight_zero_is_no_sample(variant: Variant, dtype: str) -> None:
    """Whatever a sample of weight 0 holds, everything is as if it were not there; in its place there is 0."""
    loss, call = variant.loss, variant.draw(dtype, SIZE)
    lost = np.random.default_rng(5).random(SIZE) < 0.4
    w = draw_weights(lost)
    args, options = spoiled(loss, call, lost)
    fewer, fewer_options = cut(loss, *call, ~lost)  # type: ignore[arg-type]
    kw = {**options, "sample_weight": per_value_weights(loss, w)}
    fewer_kw = {**fewer_options, "sample_weight": per_value_weights(loss, w[~lost])}
    here = ~per_value_weights(loss, lost)
    close = {"rtol": CLOSE[dtype], "atol": 0.0}

    numerator, denominator = loss.terms(*args, **kw)
    for whole, part in zip((numerator, denominator), loss.terms(*fewer, **fewer_kw), strict=True):
        np.testing.assert_allclose(whole[here], part, **close)
        assert not whole[~here].any()
    for reduction in ("none", "sum", "mean"):
        got, few = loss(*args, **kw, reduction=reduction), loss(*fewer, **fewer_kw, reduction=reduction)
        np.testing.assert_allclose(got[here] if reduction == "none" else got, few, **close)
        assert reduction != "none" or not got[~here].any()
        if loss.max_order == 0:
            continue
        slopes = derivatives(loss, args, {**kw, "reduction": reduction})
        for order, order_few in zip(slopes, derivatives(loss, fewer, {**fewer_kw, "reduction": reduction}), strict=True):
            for name, whole, part in zip(loss.wrt, order, order_few, strict=True):
                if name in loss.shared:
                    np.testing.assert_allclose(whole, part, rtol=CLOSE[dtype], atol=CLOSE[dtype])
                else:
                    np.testing.assert_allclose(whole[~lost], part, **close)
                    assert not whole[lost].any()
    assert loss.value_and_grad(*args, **kw)[0] == pytest.approx(loss(*args, **kw), rel=CLOSE["float64"])


@every_dtype
@every("loss", [loss for loss in LOSSES if loss.pointwise and loss is not fl.cumulative_link])
def test_many_elements_of_weight_zero(loss: fl.Loss, dtype: str) -> None:
    """Those that hold garbage are gathered, others are masked: the results are the same."""
    call = loss.sample(np.random.default_rng(0), dtype=dtype, size=3 * MANY)
    lost = np.random.default_rng(5).random(3 * MANY) < 0.4
    w = draw_weights(lost)
    fewer, fewer_options = cut(loss, *call, ~lost)  # type: ignore[arg-type]
    for given, given_options in (call, spoiled(loss, call, lost)):
        for reduction in ("none", "sum", "mean"):
            kw = {**given_options, "sample_weight": w, "reduction": reduction}
            few = {**fewer_options, "sample_weight": w[~lost], "reduction": reduction}
            value, slopes = loss.value_and_grad(*given, **kw)
            np.testing.assert_allclose(value[~lost] if reduction == "none" else value, loss(*fewer, **few), rtol=1e-12)
            assert reduction != "none" or not value[lost].any()
            for slope, part in zip(as_tuple(slopes), as_tuple(loss.grad(*fewer, **few)), strict=True):
                np.testing.assert_allclose(slope[~lost], part, rtol=CLOSE[dtype])
                assert not slope[lost].any()
            for slope, part in zip(as_tuple(loss.hess(*given, **kw)), as_tuple(loss.hess(*fewer, **few)), strict=True):
                np.testing.assert_allclose(slope[~lost], part, rtol=CLOSE[dtype])
                assert not slope[lost].any()


@every_dtype
@every_loss
def test_gradient_in_place_leaves_out_the_same(loss: fl.Loss, dtype: str) -> None:
    call = loss.sample(np.random.default_rng(0), dtype=dtype, size=SIZE)
    lost = np.arange(SIZE) % 3 == 1
    args, options = spoiled(loss, call, lost)
    kw = {**options, "sample_weight": per_value_weights(loss, draw_weights(lost))}
    expected = as_tuple(loss.grad(*args, **kw))
    buffers = tuple(args[loss.arrays.index(name)] for name in loss.wrt)
    if any(b.dtype != e.dtype for b, e in zip(buffers, expected, strict=True)):
        pytest.skip("the gradient has another type")
    loss.grad(*args, **kw, out=buffers if len(buffers) > 1 else buffers[0])
    for buffer, e in zip(buffers, expected, strict=True):
        assert np.array_equal(buffer, e)


@every_loss
def test_all_weights_zero(loss: fl.Loss) -> None:
    call = loss.sample(np.random.default_rng(0), size=SIZE)
    args, options = spoiled(loss, call, np.ones(SIZE, bool))
    kw = {**options, "sample_weight": np.zeros(value_count(loss, SIZE))}
    value, slopes = loss.value_and_grad(*args, **kw)
    assert value == 0.0 if loss.name == "batch_triplet" else math.isnan(value)
    assert loss(*args, **kw, reduction="sum") == 0.0
    assert not loss(*args, **kw, reduction="none").any()
    assert not any(slope.any() for slope in as_tuple(slopes))
    assert not any(part.any() for part in loss.terms(*args, **kw))


@every_separable
def test_evaluate_leaves_out_the_same(loss: fl.Loss) -> None:
    call = loss.sample(np.random.default_rng(0), dtype="float64", size=SIZE)
    lost = np.arange(SIZE) % 3 == 1
    args, options = spoiled(loss, call, lost)
    w = draw_weights(lost)
    arrays = dict(zip(loss.arrays, args, strict=True))
    got = fl.evaluate(loss, **arrays, **options, sample_weight=w, worst=9 * SIZE)[loss.name]
    assert got.mean == pytest.approx(loss(*args, **options, sample_weight=w), rel=1e-13)
    assert got.nan_count == 0
    assert got.count == len(got.worst)
    for hard in got.worst:
        assert not lost[hard.index if isinstance(hard.index, int) else hard.index[0]]
        assert not math.isnan(hard.value)


def test_worst_and_nan_count_agree() -> None:
    """A nan that counts is among the worst; one of weight 0 is nowhere."""
    got = fl.evaluate("mse", prediction=[1, NAN, NAN, 2], target=[0, 0, 0, 0], sample_weight=[1, 1, 0, 1], worst=4)["mse"]
    assert (got.nan_count, got.count) == (1, 3)
    assert [hard.index for hard in got.worst] == [1, 3, 0]
    assert math.isnan(got.worst[0].value)


def test_what_was_reported() -> None:
    assert fl.mse([1, 2, 3], [0, 0, NAN], sample_weight=[1, 1, 0]) == 2.5
    assert fl.mse([1e200, 1], [0, 0], sample_weight=[0, 1]) == 1.0
    assert fl.binary_cross_entropy([0.1, 0.5], [-1, 1], sample_weight=[0, 1]) == pytest.approx(math.log(2), rel=1e-15)
    masked = [[0.0, -INF], [0.0, -1.0]]  # the first label is a masked class, which costs inf
    expected = pytest.approx(math.log1p(math.exp(-1)), rel=1e-15)
    assert fl.cross_entropy(masked, [1, 0], sample_weight=[0, 1]) == expected
    assert fl.cross_entropy(masked, [1, 0], class_weight=[1, 0]) == expected
    assert fl.cross_entropy(masked, [1, 0], class_weight=[1, 0], reduction="sum") == expected
    assert fl.cross_entropy(masked, [1, 0], class_weight=[1, 0], reduction="none").tolist() == [0.0, expected]
    # two frames have no room for the labels 1 1; of two equal labels' paths over three even classes 1 of 9 is 1 2
    logits = np.zeros((2, 2, 3))
    assert fl.ctc(logits, [[1, 1], [1, 2]], sample_weight=[0, 1]) == pytest.approx(math.log(9), rel=1e-15)
    assert fl.ctc(logits, [1, 1, 1, 2], target_lengths=[2, 2], sample_weight=[0, 1]) == pytest.approx(math.log(9), rel=1e-15)
    assert not fl.ctc.grad(logits, [[1, 9], [1, 2]], sample_weight=[0, 1])[0].any()


@every_dtype
def test_what_is_broadcast_is_added_up_without_those_left_out(dtype: str) -> None:
    prediction, target = np.array([[1, 2, NAN], [1, 2, 3]], dtype), np.array([[1, 2, 3], [1, 2, 4]], dtype)
    variance, w = np.array([1, 1], dtype), [[1, 1, 0], [1, 1, 1]]
    mean, per_row = fl.gaussian_nll.grad(prediction, target, variance, sample_weight=w)
    np.testing.assert_allclose(mean, [[0, 0, 0], [0, 0, -0.2]], rtol=1e-6)
    np.testing.assert_allclose(per_row, [0.2, 0.2], rtol=1e-6)  # (1 - e^2) / 2 of each element, / 5
    assert fl.mse.grad(1.0, np.array([1, 2, NAN], dtype), sample_weight=[1, 1, 0]) == -1.0
    assert fl.mse(1.0, NAN, sample_weight=0, reduction="sum") == 0.0
    assert fl.mse.grad(np.array(1, dtype), np.array(NAN, dtype), sample_weight=0) == 0.0


def test_errors_name_the_place_in_the_callers_array() -> None:
    for loss, args, w, text in (
        (fl.cross_entropy, (np.zeros((3, 2)), [7, 0, 9]), [0, 1, 1], "got 9 at index (2,)"),
        (fl.coral, (np.zeros((3, 2)), [7, 0, 9]), [0, 1, 1], "got 9 at index (2,)"),
        (fl.binary_cross_entropy, ([[0.1, 0.2], [0.3, 4.0]], [[-1, 1], [1, 1]]), [[0, 1], [1, 1]], "got 4.0 at index (1, 1)"),
        (fl.cross_entropy, (np.zeros((3, 2)), [[2.0, 0], [0, 1], [0, 3]]), [0, 1, 1], "got 3.0 at index (2, 1)"),
        (fl.kl_div, (np.zeros((2, 3)), [[-1.0, 0, 0], [0, 0, -2.0]]), [0, 1], "got -2.0 at index (1, 2)"),
        (fl.contrastive, (np.zeros((3, 2)), np.zeros((3, 2)), [7, 1, 8]), [0, 1, 1], "got 8 at index (2,)"),
        (fl.cumulative_link, (np.zeros(3), [0.0, 1.0], [7, 1, 8]), [0, 1, 1], "got 8 at index (2,)"),
        (fl.dice, (np.zeros((3, 2, 4)), [[9] * 4, [0] * 4, [0, 0, 5, 0]]), [0, 1, 1], "got 5 at index (2, 2)"),
        (fl.box_iou, ([[0, 0, 0, 0], [0, 0, 1, 1], [3, 3, 1, 1]], [[0, 0, 1, 1]] * 3), [0, 1, 1], "at index (2,)"),
    ):
        for weights in (w, np.ldexp(w, 900), np.ldexp(np.where(np.equal(w, 0), 1e-9, w), 900)):
            with pytest.raises((ValueError, IndexError)) as caught:
                loss(*args, sample_weight=weights)
            expected = "at index" if np.all(weights) else text  # if nothing is left out, an earlier sample is wrong
            assert expected in str(caught.value), loss.name


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_class_axis(axis: int) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(3, 4, 5)), rng.integers(0, 3, (3, 4)).astype(float)
    w[0, 0] = 0.0
    for loss, target in (
        (fl.cross_entropy, rng.integers(0, 5, (3, 4))),
        (fl.cross_entropy, rng.dirichlet(np.ones(5), (3, 4))),
        (fl.kl_div, rng.dirichlet(np.ones(5), (3, 4))),
        (fl.squared_emd, rng.integers(0, 5, (3, 4))),
    ):
        moved = np.moveaxis(x, -1, axis)
        there = target if target.ndim == 2 else np.moveaxis(target, -1, axis)
        expected, slope = loss.value_and_grad(x, target, sample_weight=w)
        got, grad = loss.value_and_grad(moved, there, axis=axis, sample_weight=w)
        assert got == pytest.approx(expected, rel=1e-13)
        np.testing.assert_allclose(np.moveaxis(grad, axis, -1), slope, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("loss", REGIONS, ids=lambda loss: loss.name)
def test_weights_of_items_and_classes(loss: fl.Loss) -> None:
    """What belongs to one class alone may be anything where its weight is 0: with a sigmoid, its logits and mask."""
    rng = np.random.default_rng(0)
    x, mask = rng.normal(size=(3, 2, 4, 5)), rng.integers(0, 2, (3, 2, 4, 5))
    kw: dict[str, Any] = {"activation": "sigmoid"} | ({"per_image": True} if loss is fl.lovasz else {})
    if loss is fl.generalized_dice:
        pytest.skip("one value for all classes of an item")
    w = np.array([[1.0, 2.0], [0.0, 1.0], [0.0, 0.0]])
    expected, slope = loss.value_and_grad(x, mask, sample_weight=w, **kw)
    x[w == 0], mask[w == 0] = NAN, 7
    got, grad = loss.value_and_grad(x, mask, sample_weight=w, **kw)
    assert got == expected
    assert np.array_equal(grad, slope)
    assert not grad[w == 0].any()
    columns = np.ascontiguousarray(np.swapaxes(x, 0, 1)), np.ascontiguousarray(np.swapaxes(mask, 0, 1))
    got, grad = loss.value_and_grad(*columns, sample_weight=w, axis=0, **kw)
    assert got == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(np.swapaxes(grad, 0, 1), slope, rtol=1e-12, atol=1e-16)
    some = fl.dice(x, mask, activation="sigmoid", class_weight=[0.0, 1.0], sample_weight=[1, 1, 0])
    assert some == pytest.approx(fl.dice(x[:2, 1:], mask[:2, 1:], activation="sigmoid"), rel=1e-13)


# -- Whole batches -------------------------------------------------------------------------------------


def test_a_view_without_its_partner_is_a_negative_only() -> None:
    """nt_xent has two weights a pair: 0 for one takes that row out, and the other has no positive; supcon says the same."""
    rng = np.random.default_rng(0)
    z1, z2 = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    w = np.array([1, 1, 0, 1, 1, 2, 1, 1.0])
    rows, labels = np.concatenate([z1, z2])[w > 0], np.tile(np.arange(4), 2)[w > 0]
    value, slopes = fl.nt_xent.value_and_grad(np.where(w[:4, None] > 0, z1, NAN), z2, sample_weight=w)
    expected, slope = fl.supcon.value_and_grad(rows, labels, temperature=0.5, sample_weight=w[w > 0])
    assert value == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(np.concatenate(slopes)[w > 0], slope, rtol=1e-12)
    assert not slopes[0][2].any()
    assert slopes[1][2].any()  # a negative of the others


def test_a_pair_of_weight_zero_is_no_key_either() -> None:
    rng = np.random.default_rng(0)
    q, k, queue = (rng.normal(size=(n, 3)) for n in (4, 4, 6))
    w, kept = np.array([1, 0, 2, 1.0]), [0, 2, 3]
    for kw in ({}, {"symmetric": True}, {"negatives": queue}, {"normalize": False}):
        expected = fl.info_nce(q[kept], k[kept], sample_weight=w[kept], **kw)
        assert fl.info_nce(q, np.where(w[:, None] > 0, k, INF), sample_weight=w, **kw) == pytest.approx(expected, rel=1e-14)


# -- The scale of the weights --------------------------------------------------------------------------


@every_dtype
@every_corner
def test_the_scale_of_weights_does_not_matter(variant: Variant, dtype: str) -> None:
    """The mean and its derivatives are the same bits if all weights are multiplied by a power of two."""
    loss, (args, options) = variant.loss, variant.draw(dtype, SIZE)
    lost = np.arange(value_count(loss, SIZE)) % 5 == 1
    for w in (draw_weights(lost), np.random.default_rng(4).uniform(0.5, 3, lost.size)):
        kw = {**options, "sample_weight": w}
        mean, slopes = loss(*args, **kw), derivatives(loss, args, kw)
        for k in (-1000, -140, -59, 59, 140, 1000):
            kw["sample_weight"] = np.ldexp(w, k)
            assert loss(*args, **kw) == mean
            for order, expected in zip(derivatives(loss, args, kw), slopes, strict=True):
                assert all(map(np.array_equal, order, expected))
            if "class_weight" in kw and kw["class_weight"] is not None:
                scaled = np.ldexp(np.asarray(kw["class_weight"], float), -k)
                assert loss(*args, **{**kw, "class_weight": scaled}) == pytest.approx(mean, rel=CLOSE[dtype])


@every_dtype
@every_loss
def test_sums_of_scaled_weights_are_scaled(loss: fl.Loss, dtype: str) -> None:
    """Weight x loss, in double: also of weights that a float32 does not hold."""
    args, options = loss.sample(np.random.default_rng(0), dtype=dtype, size=SIZE)
    w = np.random.default_rng(4).uniform(0.5, 3, value_count(loss, SIZE))
    total = loss(*args, **options, sample_weight=w, reduction="sum")
    none = loss(*args, **options, sample_weight=w, reduction="none")
    for k in (-300, -140, 140, 300):
        scaled = {**options, "sample_weight": np.ldexp(w, k)}
        assert loss(*args, **scaled, reduction="sum") == pytest.approx(math.ldexp(total, k), rel=CLOSE[dtype])
        with np.errstate(over="ignore"):
            expected = np.ldexp(none.astype(float), k).astype(dtype)
        np.testing.assert_allclose(loss(*args, **scaled, reduction="none"), expected, rtol=CLOSE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_weight_of_one_sample(dtype: str) -> None:
    """A number as the weight, of whatever size."""
    x, t = np.array(3, dtype), np.array(1, dtype)
    for w in (1e-300, 1e-30, np.uint16(65535), 1e30, 1e300):
        value, slope = fl.mse.value_and_grad(x, t, sample_weight=w)
        assert value == pytest.approx(4.0, rel=1e-7)
        assert slope == pytest.approx(4.0, rel=1e-7)
        assert fl.cross_entropy(np.zeros(3, dtype), 1, sample_weight=w) == pytest.approx(math.log(3), rel=1e-6)
        assert fl.triplet(np.ones(2, dtype), np.ones(2, dtype), np.ones(2, dtype), sample_weight=w) == pytest.approx(1.0)


def test_regions_without_classes() -> None:
    p, mask = np.random.default_rng(0).uniform(size=(8, 5)), np.random.default_rng(1).integers(0, 2, (8, 5))
    w = np.array([0, 1, 1, 1, 0, 1, 2, 1])
    for loss in (fl.dice, fl.jaccard, fl.tversky, fl.focal_tversky):
        few = loss(p[w > 0], mask[w > 0], axis=None, activation=None, sample_weight=w[w > 0])
        assert loss(p, mask, axis=None, activation=None, sample_weight=w) == pytest.approx(few, rel=1e-14)
        assert math.isnan(loss(p, mask, axis=None, activation=None, sample_weight=0))
        assert loss.grad(p[:, :0], mask[:, :0], axis=None, activation=None, sample_weight=w).shape == (8, 0)


def test_weights_beyond_float32() -> None:
    one, zero = np.array([1, 2], "float32"), np.zeros(2, "float32")
    for w in (1e-50, 1e39, 1e-310, 1e300, 1.7e308, 5e-324):
        value, slope = fl.mse.value_and_grad(one, zero, sample_weight=[w, w])
        assert value == pytest.approx(2.5, rel=1e-7)
        np.testing.assert_allclose(slope, [1, 2], rtol=2e-7)
    w = np.exp([-110.0, -105.0, -104.0])
    x = np.array([1, 2, 3], "float32")
    for dtype, digits in (("float32", 1e-7), ("float64", 1e-15)):
        expected = math.fsum(w * np.square(x, dtype=float)) / math.fsum(w)
        assert fl.mse(x.astype(dtype), np.zeros(3, dtype), sample_weight=w) == pytest.approx(expected, rel=digits)
    assert fl.mse(one, zero, sample_weight=[1e-50, 1e-50], reduction="sum") == pytest.approx(5e-50, rel=1e-15)
    assert fl.mse(one, zero, sample_weight=[1e-50, 1e300]) == 4.0
    assert fl.mse(np.array([1e19, 0], "float32"), zero, sample_weight=[1e-39, 1e0]) == pytest.approx(0.1, rel=1e-7)


def test_means_do_not_overflow() -> None:
    """The sum does, and is inf; the mean is what `evaluate` says."""
    x = np.full(10, 1e308)
    assert fl.mae(x, np.zeros(10)) == pytest.approx(1e308, rel=1e-15)
    assert fl.mae(x, np.zeros(10), reduction="sum") == INF
    assert fl.mae(x, np.zeros(10), sample_weight=np.full(10, 1e300)) == pytest.approx(1e308, rel=1e-15)
    assert fl.evaluate("mae", prediction=x, target=np.zeros(10))["mae"].mean == 1e308
    x[::2] *= -1
    assert fl.contrastive_divergence(x, np.zeros(10)) == 0.0
    assert fl.contrastive_divergence(x, np.zeros(10), reduction="sum") == 0.0
    assert math.isnan(fl.mae([1e308, 1e308, NAN], [0, 0, 0]))
    assert fl.mae([1e308, INF], [0, 0]) == INF


# -- Integers, and the order ---------------------------------------------------------------------------


@every("loss", SEPARABLE)
def test_weights_of_integers_are_repetitions(loss: fl.Loss) -> None:
    """Values, and derivatives, which are those of all copies together."""
    args, options = loss.sample(np.random.default_rng(0), dtype="float64", size=SIZE)
    times = np.random.default_rng(1).integers(0, 4, SIZE)
    copies = np.repeat(np.arange(SIZE), times)
    many, many_options = cut(loss, args, options, copies)  # type: ignore[arg-type]
    for reduction in ("sum", "mean"):
        kw = {"reduction": reduction, "sample_weight": times}
        one = derivatives(loss, args, {**options, **kw})
        for order, copied in zip(one, derivatives(loss, many, {**many_options, "reduction": reduction}), strict=True):
            for name, slope, parts in zip(loss.wrt, order, copied, strict=True):
                if name in loss.shared:
                    np.testing.assert_allclose(slope, parts, rtol=1e-11, atol=1e-13)
                else:
                    added = np.zeros(slope.shape)
                    np.add.at(added, copies, parts)
                    np.testing.assert_allclose(slope, added, rtol=1e-12, atol=1e-300)


@every_dtype
@every_corner
def test_the_order_of_samples_does_not_matter(variant: Variant, dtype: str) -> None:
    loss, (args, options) = variant.loss, variant.draw(dtype, SIZE)
    order = np.random.default_rng(2).permutation(SIZE)
    w = draw_weights(np.arange(SIZE) % 5 == 1)
    shuffled, shuffled_options = cut(loss, args, options, order)  # type: ignore[arg-type]
    kw = {**options, "sample_weight": per_value_weights(loss, w)}
    shuffled_kw = {**shuffled_options, "sample_weight": per_value_weights(loss, w[order])}
    atol = 1e-5 if dtype == "float32" and loss.batchwise else 1e-14
    assert loss(*shuffled, **shuffled_kw) == pytest.approx(loss(*args, **kw), rel=CLOSE[dtype], abs=atol)
    for slope, moved in zip(as_tuple(loss.grad(*args, **kw)), as_tuple(loss.grad(*shuffled, **shuffled_kw)), strict=True):
        if len(slope) == SIZE:
            np.testing.assert_allclose(slope[order], moved, rtol=CLOSE[dtype], atol=atol)


# -- Class weights -------------------------------------------------------------------------------------


def test_class_weights_of_one_change_nothing() -> None:
    """Nor does any one number for all classes, whatever the targets sum to."""
    logits, target = np.array([[1.0, 2, 3], [0, 0, 0], [3, 1, 2]]), np.array([[1, 1, 0], [0.5, 0, 0], [0, 0, 0]])
    for loss in (fl.cross_entropy, fl.softmax_focal):
        plain, slope = loss.value_and_grad(logits, target)
        for weight in (1.0, 3.0, 0.5):
            got, grad = loss.value_and_grad(logits, target, class_weight=np.full(3, weight))
            assert got == pytest.approx(plain, rel=1e-14)
            np.testing.assert_allclose(grad, slope, rtol=1e-13, atol=1e-300)
    # by hand: losses 1.1 + 0 (3 - x) ..., the log-sums of exponentials less the targets' logits
    lse = np.log(np.exp(logits).sum(axis=1))
    losses = target.sum(axis=1) * lse - (target * logits).sum(axis=1)
    assert fl.cross_entropy(logits, target) == pytest.approx(losses.mean(), rel=1e-14)
    w = np.array([1.0, 2.0, 4.0])
    weights = [(1 + 2) / 2, 1.0, 7 / 3]  # the mean class weight of each target; that of all classes where it has none
    losses = ((w * target) * (lse[:, None] - logits)).sum(axis=1)
    numerator, denominator = fl.cross_entropy.terms(logits, target, class_weight=w)
    np.testing.assert_allclose(numerator, losses, rtol=1e-13)
    np.testing.assert_allclose(denominator, weights, rtol=1e-14)
    assert fl.cross_entropy(logits, target, class_weight=w) == pytest.approx(losses.sum() / sum(weights), rel=1e-13)


# -- Options over their whole range --------------------------------------------------------------------

TINY = (5e-324, 1e-310, 1e-160, 1e-50, 1e-45, 1e-40, 1e-30, 1e-20, 1e-12, 1e-7, 1e-4)
HUGE = (1e4, 1e7, 1e12, 1e19, 1e30, 1e37, 1e39, 1e50, 1e160, 1e300)
FLOATS = [
    (loss, option)
    for loss in LOSSES
    for option, default in loss.options.items()
    if (isinstance(default, float) or option in ("pos_weight", "alpha")) and option not in ("axis", "label_smoothing")
]
CANCELS = ("poisson_nll",)  # a difference that is meant
FORMULAS = {  # where a formula in float64 does not hold
    ("kl_div_with_logits", "temperature"): lambda v: v < 1e-300,
    ("nt_xent", "temperature"): lambda v: v < 1e-300,
    ("info_nce", "temperature"): lambda v: v < 1e-300,
    ("supcon", "temperature"): lambda v: v < 1e-300,
    ("smooth_l1", "beta"): lambda v: 0 < v < 1e-307,
    ("tweedie", "power"): lambda v: v > 1e7,
}


@pytest.mark.parametrize(("loss", "option"), FLOATS, ids=lambda v: getattr(v, "name", v))
def test_options_mean_the_same_in_float32(loss: fl.Loss, option: str) -> None:
    """As in float64, where float32 arrays are exact; rounded once."""
    tried = 0
    for value in (*TINY, *HUGE):
        if FORMULAS.get((loss.name, option), lambda v: False)(value):
            continue
        args, options = loss.sample(np.random.default_rng(1), dtype="float32", size=7)
        wide = tuple(a.astype(float) if a.dtype.kind == "f" else a for a in args)
        kw = {**options, option: value}
        try:
            got = loss(*args, **kw, reduction="none")
        except ValueError:  # out of the option's own range
            continue
        tried += 1
        with np.errstate(over="ignore"):
            expected = loss(*wide, **kw, reduction="none").astype(np.float32)
        off = {"rtol": 4e-6 if loss.name in CANCELS else 2e-6, "atol": 1e-37}
        np.testing.assert_allclose(got, expected, **off, err_msg=f"{value}")
        np.testing.assert_allclose(loss(*args, **kw), loss(*wide, **kw), rtol=2e-6, atol=1e-37, err_msg=f"{value}")
        for slope, truth in zip(as_tuple(loss.grad(*args, **kw)), as_tuple(loss.grad(*wide, **kw)), strict=True):
            with np.errstate(over="ignore"):
                truth = truth.astype(np.float32)
            scale = np.abs(truth).max(where=np.isfinite(truth), initial=0)
            np.testing.assert_allclose(slope, truth, rtol=2e-5, atol=2e-6 * scale + 1e-37, err_msg=f"{value}")
    assert tried or option in ("alpha", "q", "tau", "eps", "power")


@every("loss", [loss for loss in LOSSES if loss.pointwise and loss not in (fl.cumulative_link, fl.poisson_nll)])
def test_options_in_float64_against_mpmath(loss: fl.Loss) -> None:
    for option, default in loss.options.items():
        if not isinstance(default, float):
            continue
        for value in (1e-300, 1e-160, 1e-40, 1e40, 1e160, 1e300):
            if FORMULAS.get((loss.name, option), lambda v: False)(value):
                continue
            args, options = loss.sample(np.random.default_rng(1), dtype="float64", size=3)
            kw = {**options, option: value}
            try:
                got = loss(*args, **kw, reduction="none")
            except ValueError:
                continue
            with mpmath.workdps(700):  # 1 + (e / delta)^2
                truth = oracle.truth(loss.name, args, kw).value.hi
            np.testing.assert_allclose(got, truth, rtol=1e-13, atol=1e-300, err_msg=f"{option}={value}")


def test_options_beyond_float32() -> None:
    """Worked out by hand: e^2 / (2 beta) within beta, else |e| - beta / 2; and so on."""

    def f(*x: float) -> np.ndarray:
        return np.array(x, np.float32)

    close = pytest.approx
    assert fl.smooth_l1(f(0), f(0), beta=1e-40) == 0.0
    assert fl.smooth_l1(f(3), f(0), beta=1e-50) == 3.0
    assert fl.smooth_l1(f(1e20), f(0), beta=1e19) == close(9.5e19, rel=1e-7)
    assert fl.smooth_l1(f(1e-25), f(0), beta=1e-20, reduction="none") == close(5e-31, rel=1e-6)
    assert fl.pseudo_huber(f(3), f(0), delta=1e-50) == close(3e-50, rel=1e-15)
    assert fl.gaussian_nll(f(0), f(0), f(0), eps=1e-50) == close(-25 * math.log(10), rel=1e-15)
    assert fl.huber(f(2), f(0), delta=1e-50) == close(2e-50, rel=1e-15)
    assert fl.binary_cross_entropy_with_logits(f(1), f(0), pos_weight=1e40) == close(math.log1p(math.e), rel=1e-7)
    assert fl.binary_cross_entropy_with_logits(f(1), f(1), pos_weight=1e40) == close(1e40 * math.log1p(1 / math.e), rel=1e-15)
    assert fl.tversky(np.zeros((1, 2, 3)), np.zeros((1, 3), int), alpha=1e308) == close(2 / 3)  # 1 / 3 and 1


# -- Evaluation ----------------------------------------------------------------------------------------


def test_evaluate_refuses_chunks_of_other_widths() -> None:
    logits = [np.zeros((3, 7)), np.zeros((3, 6))]
    with pytest.raises(ValueError, match="rows of 7 numbers, as the first, got 6"):
        fl.evaluate("cross_entropy", logits=iter(logits), target=iter([np.zeros(3, int)] * 2))
    first, second = (fl.Evaluation("cross_entropy") for _ in range(2))
    first.update(logits=logits[0], target=np.zeros(3, int))
    second.update(logits=logits[1], target=np.zeros(3, int))
    with pytest.raises(ValueError, match="rows of 7"):
        first.merge(second)
    again = fl.Evaluation("cross_entropy")
    again.load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match="rows of 7"):
        again.update(logits=logits[1], target=np.zeros(3, int))

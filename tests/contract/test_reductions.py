"""Promise: "mean" is the sum of weight x loss over the sum of weight, for every loss, weight, label and `out=`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import oracle
import pytest
from cases import (
    BATCHWISE,
    FEW,
    LOSSES,
    Variant,
    as_tuple,
    every_batchwise_variant,
    every_differentiable,
    every_dtype,
    every_ignoring,
    every_loss,
    every_separable,
    every_separable_variant,
    every_shaped,
    every_variant,
    per_sample,
    per_value,
    value_count,
    wrt_positions,
)
from matrix import every

import fastloss as fl
import fastloss._definitions.reference as _reference

RTOL = {"float32": 5e-7, "float64": 2e-15}
GRAD_TOL = {"float32": 1e-6, "float64": 1e-13}


def weights(size: int, dtype: str = "float64") -> np.ndarray:
    w = np.random.default_rng(7).uniform(0.0, 3.0, size).astype(dtype)
    w[size // 3] = 0.0
    return w


def weights_of(loss: fl.Loss, size: int, dtype: str = "float64") -> np.ndarray:
    """Weights of so many samples, one of them 0; without a 0 where that changes the values of the others (see test_weights)."""
    w = weights(value_count(loss, size), dtype)
    return w + 0.125 if loss in BATCHWISE else w


# -- Values ------------------------------------------------------------------------------------------


@every("weighted", [False, True], ("plain", "weighted").__getitem__)
@every_dtype
@every_variant
def test_reductions_of_exact_values(variant: Variant, dtype: str, weighted: bool, isa: str) -> None:
    args, options = variant.draw(dtype, FEW)
    truth = variant.truth(args, options)
    count = value_count(variant.loss, FEW)
    w = weights_of(variant.loss, FEW, dtype) if weighted else None
    factor = per_value(np.ones(count) if w is None else w.astype(np.float64), truth.value.hi)
    total, weight = (math.fsum(np.ravel(factor * part)) for part in (truth.value.hi, truth.weight))
    size = factor * np.maximum(np.abs(truth.value.hi), oracle.value_scale(variant.loss.name, args, options, dtype))
    allowed = RTOL[dtype] * math.fsum(np.ravel(size))
    kw = {**options, "sample_weight": w}

    none = variant.loss(*args, **kw, reduction="none")
    assert none.dtype == dtype
    assert (np.abs(none - factor * truth.value.hi) <= 2 * RTOL[dtype] * size).all()
    assert variant.loss(*args, **kw, reduction="sum") == pytest.approx(total, rel=0, abs=allowed)
    assert variant.loss(*args, **kw) == pytest.approx(total / weight, rel=0, abs=allowed / weight)
    assert variant.loss(*args, **kw, reduction="mean") == variant.loss(*args, **kw)


@every_variant
def test_reference_agrees(variant: Variant) -> None:
    """The textbook definitions are right: values, and each sample's weight in the mean."""
    args, options = variant.draw("float64", FEW)
    truth = variant.truth(args, options)
    values, weight = variant.loss.reference(*args, **options)
    size = np.maximum(np.abs(truth.value.hi), oracle.value_scale(variant.loss.name, args, options, "float64"))
    size = np.maximum(size, oracle.textbook_scale(variant.loss.name))
    assert (np.abs(values - truth.value.hi) <= 1e-13 * size + 1e-300).all()
    np.testing.assert_allclose(weight, truth.weight, rtol=1e-15)
    w = weights_of(variant.loss, FEW)
    for reduction in ("sum", "mean"):
        got = variant.loss(*args, **options, sample_weight=w, reduction=reduction)
        assert got == pytest.approx(_reference.reduce(values, weight, w, reduction), rel=1e-13)


@every("weighted", [False, True], ("plain", "weighted").__getitem__)
@every_dtype
@every_variant
def test_terms_are_the_parts_of_the_mean(variant: Variant, dtype: str, weighted: bool) -> None:
    args, options = variant.draw(dtype, FEW)
    w = weights_of(variant.loss, FEW)
    kw = {**options, "sample_weight": w if weighted else None}
    numerator, denominator = variant.loss.terms(*args, **kw)
    assert numerator.dtype == denominator.dtype == np.float64
    none = variant.loss(*args, **kw, reduction="none")
    assert numerator.shape == denominator.shape == none.shape
    truth = variant.truth(args, options)
    factor = per_value(w, none) if weighted else 1.0
    size = factor * np.maximum(np.abs(truth.value.hi), oracle.value_scale(variant.loss.name, args, options, dtype))
    assert (np.abs(numerator - none) <= RTOL[dtype] * size).all()
    assert numerator.sum() == pytest.approx(variant.loss(*args, **kw, reduction="sum"), rel=RTOL[dtype])
    assert numerator.sum() / denominator.sum() == pytest.approx(variant.loss(*args, **kw), rel=RTOL[dtype])
    np.testing.assert_allclose(denominator, factor * truth.weight, rtol=1e-14)
    ignored = truth.weight == 0
    assert not numerator[ignored].any()


@every_dtype
def test_a_sum_of_many_float32_does_not_drift(dtype: str, isa: str) -> None:
    """A million terms: partial sums are float64, so the mean keeps every digit of float32."""
    x = np.random.default_rng(0).uniform(0, 1, 1_000_003).astype(dtype)
    values = fl.mae(x, np.zeros_like(x), reduction="none")
    assert np.array_equal(values, x)
    exact = math.fsum(map(float, x))
    assert fl.mae(x, np.zeros_like(x), reduction="sum") == pytest.approx(exact, rel=1e-13)
    assert fl.mae(x, np.zeros_like(x)) == pytest.approx(exact / x.size, rel=1e-13)


# -- Weights -----------------------------------------------------------------------------------------


@every_separable
def test_weight_of_integers_repeats_samples(loss: fl.Loss) -> None:
    args, options = loss.sample(np.random.default_rng(0), dtype="float64", size=65)
    times = np.random.default_rng(1).integers(0, 4, 65)
    repeated = per_sample(loss, args, lambda a: np.repeat(a, times, axis=0))
    for reduction in ("sum", "mean"):
        assert loss(*args, **options, sample_weight=times, reduction=reduction) == pytest.approx(
            loss(*repeated, **options, reduction=reduction), rel=1e-13
        )


@every_dtype
@every_shaped
def test_weight_broadcasts_from_the_left(loss: fl.Loss, dtype: str) -> None:
    args, options = loss.sample(np.random.default_rng(0), dtype=dtype, size=4 * 3 * 5)
    shaped = per_sample(loss, args, lambda a: a.reshape(4, 3, 5, *a.shape[1:]))
    w = weights(60).reshape(4, 3, 5)
    for given in (w[:, 0, 0], w[:, :, 0], w, w[:, :1, :1], w[:1, :, :1], w[:1, :1]):
        full = np.broadcast_to(given.reshape(given.shape + (1,) * (3 - given.ndim)), (4, 3, 5))
        for reduction in ("none", "sum", "mean"):
            kw = {**options, "reduction": reduction}
            a = loss(*shaped, **kw, sample_weight=given)
            b = loss(*args, **kw, sample_weight=full.ravel())
            np.testing.assert_allclose(np.ravel(a), np.ravel(b), rtol=1e-15)
        for g, h in zip(
            as_tuple(loss.grad(*shaped, **options, sample_weight=given)),
            as_tuple(loss.grad(*args, **options, sample_weight=full.ravel())),
            strict=True,
        ):
            np.testing.assert_allclose(g.reshape(h.shape), h, rtol=2 * np.finfo(dtype).eps)


@every_loss
def test_scalar_weight_cancels_in_the_mean(loss: fl.Loss) -> None:
    args, options = loss.sample(np.random.default_rng(0), dtype="float64", size=65)
    plain = {r: loss(*args, **options, reduction=r) for r in ("sum", "mean")}
    assert loss(*args, **options, sample_weight=2.0) == pytest.approx(plain["mean"], rel=1e-14)
    assert loss(*args, **options, sample_weight=2, reduction="sum") == pytest.approx(2 * plain["sum"], rel=1e-14)


@every("kind", ["float16", "float32", "float64", "int32", "uint8", "bool", "list"])
@every_loss
def test_weight_of_any_real_dtype(loss: fl.Loss, kind: str) -> None:
    args, options = loss.sample(np.random.default_rng(0), size=65)
    w = np.random.default_rng(1).integers(0, 2, value_count(loss, 65))
    given: Any = w.tolist() if kind == "list" else w.astype(kind)
    got = loss(*args, **options, sample_weight=given, reduction="none")
    assert got.dtype == np.float32
    assert np.array_equal(got, loss(*args, **options, sample_weight=w.astype(float), reduction="none"))


@every_loss
def test_weights_of_zero_make_the_mean_nan(loss: fl.Loss) -> None:
    """As the mean of nothing; the sum is 0."""
    args, options = loss.sample(np.random.default_rng(0), size=9)
    kw = {**options, "sample_weight": np.zeros(value_count(loss, 9))}
    assert loss(*args, **kw) == 0.0 if loss.name == "batch_triplet" else math.isnan(loss(*args, **kw))  # no triplet: 0
    assert loss(*args, **kw, reduction="sum") == 0.0
    assert not loss(*args, **kw, reduction="none").any()


# -- Labels that do not count -----------------------------------------------------------------------


@every("options", [{}, {"class_weight": [0.5, 1.0, 2.0, 0.0]}], str)
@every_dtype
@every_ignoring
def test_ignored_samples_do_not_exist(loss: fl.Loss, dtype: str, options: dict[str, Any], isa: str) -> None:
    """Whatever their logits, nan included: value 0, gradient 0, and the mean is that of the others."""
    rng = np.random.default_rng(0)
    x = -rng.exponential(2.0, (65, 4)).astype(dtype)
    y = rng.integers(0, 4, 65)
    gone = rng.random(65) < 0.3
    y[gone] = -100
    x[np.flatnonzero(gone)[:2]] = np.nan
    none = loss(x, y, reduction="none", **options)
    assert not none[gone].any()
    assert np.array_equal(none[~gone], loss(x[~gone], y[~gone], reduction="none", **options))
    assert loss(x, y, **options) == pytest.approx(loss(x[~gone], y[~gone], **options), rel=1e-14)
    grad = loss.grad(x, y, **options)
    assert not grad[gone].any()
    np.testing.assert_allclose(grad[~gone], loss.grad(x[~gone], y[~gone], **options), rtol=1e-6)
    elsewhere = np.where(gone, 2**31 - 1, y)
    assert np.array_equal(loss(x, elsewhere, ignore_index=2**31 - 1, reduction="none", **options), none)


@every_ignoring
def test_all_ignored(loss: fl.Loss) -> None:
    x = -np.ones((5, 3), np.float32)
    y = np.full(5, -100)
    assert math.isnan(loss(x, y))
    assert loss(x, y, reduction="sum") == 0.0
    assert np.array_equal(loss(x, y, reduction="none"), np.zeros(5))
    assert not loss.grad(x, y, reduction="sum").any()
    numerator, denominator = loss.terms(x, y)
    assert not numerator.any()
    assert not denominator.any()


def test_one_hot_probabilities_equal_indices_with_class_weights() -> None:
    """Where PyTorch divides by N, the mean divides by the summed weights for both kinds of target."""
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(65, 5)), rng.integers(0, 5, 65), rng.uniform(0.1, 2, 5)
    assert fl.cross_entropy(x, np.eye(5)[y], class_weight=w) == pytest.approx(fl.cross_entropy(x, y, class_weight=w), rel=1e-14)


# -- Derivatives of each reduction -------------------------------------------------------------------


@every("weighted", [False, True], ("plain", "weighted").__getitem__)
@every("reduction", ["none", "sum", "mean"])
@every_dtype
@every_separable_variant
def test_derivatives_of_each_reduction(variant: Variant, dtype: str, reduction: str, weighted: bool, isa: str) -> None:
    """The derivative of the number returned: weighted, and over the summed weights for a mean."""
    loss = variant.loss
    args, options = variant.draw(dtype, FEW)
    truth = variant.truth(args, options)
    w = weights(FEW, dtype) if weighted else None
    factor = np.ones(FEW) if w is None else w.astype(np.float64)
    divisor = math.fsum(np.ravel(per_value(factor, truth.weight) * truth.weight)) if reduction == "mean" else 1.0
    kw = {**options, "sample_weight": w, "reduction": reduction}
    methods = (loss.grad, loss.hess)[: loss.max_order]
    for order, (method, exact) in enumerate(zip(methods, truth.derivatives, strict=True), start=1):
        for k, (name, got, d) in enumerate(zip(loss.wrt, as_tuple(method(*args, **kw)), exact, strict=True)):
            each = (factor / divisor).reshape((-1,) + (1,) * (d.hi.ndim - 1))
            scale = oracle.derivative_scale(loss.name, args, options, d, order, k) * each
            shared = name in loss.shared
            scale = scale.sum(axis=0) if shared else scale
            oracle.assert_derivative(got, oracle.batch(d, slice(None), shared, each), dtype, 1.3 * GRAD_TOL[dtype], scale)


@every("weighted", [False, True], ("plain", "weighted").__getitem__)
@every("reduction", ["none", "sum", "mean"])
@every_dtype
@every_batchwise_variant
def test_derivatives_of_each_reduction_of_a_batch(variant: Variant, dtype: str, reduction: str, weighted: bool, isa: str) -> None:
    """Weights are the anchors', and of the mean what it is divided by is a constant."""
    loss = variant.loss
    args, options = variant.draw(dtype, FEW)
    w = weights_of(loss, FEW, dtype) if weighted else None
    factor = np.ones(value_count(loss, FEW)) if w is None else w.astype(np.float64)
    exact = oracle.batchwise(loss.name, args, options, factor)
    divisor = math.fsum(factor * exact.weight) if reduction == "mean" else 1.0
    got = as_tuple(loss.grad(*args, **options, sample_weight=w, reduction=reduction))
    for g, e, scale in zip(got, exact.grads, exact.grad_scales, strict=True):
        scale = scale / divisor + oracle.NORMAL[dtype]
        oracle.assert_derivative(g, oracle.Exact.of(e / divisor), dtype, 1.3 * GRAD_TOL[dtype], scale)


# -- out= --------------------------------------------------------------------------------------------


@every("reduction", ["none", "sum", "mean"])
@every("dtype", ["float16", "float32", "float64"])
@every_variant
def test_gradient_goes_to_the_buffer_given(variant: Variant, dtype: str, reduction: str, isa: str) -> None:
    loss = variant.loss
    if loss.max_order < 1:
        pytest.skip("no derivative")
    args, options = variant.draw("float32", FEW)
    args = tuple(a.astype(dtype) if a.dtype == np.float32 else a for a in args)
    kw = {**options, "reduction": reduction, "sample_weight": weights(value_count(loss, FEW))}
    expected = as_tuple(loss.grad(*args, **kw))
    buffers = tuple(np.full_like(e, np.nan) for e in expected)
    out = buffers if len(buffers) > 1 else buffers[0]
    got = loss.grad(*args, **kw, out=out)
    assert all(g is b for g, b in zip(as_tuple(got), buffers, strict=True))
    assert all(np.array_equal(b, e) for b, e in zip(buffers, expected, strict=True))

    buffers = tuple(np.full_like(e, np.nan) for e in expected)
    value, got = loss.value_and_grad(*args, **kw, out=buffers)
    np.testing.assert_allclose(value, loss(*args, **kw), rtol=1e-6 if dtype != "float64" else 1e-15)
    assert all(g is b for g, b in zip(as_tuple(got), buffers, strict=True))
    assert all(np.array_equal(b, e) for b, e in zip(buffers, expected, strict=True))


@every("reduction", ["none", "sum", "mean"])
@every("dtype", ["float16", "float32", "float64"])
@every_variant
def test_gradient_in_place_of_the_input(variant: Variant, dtype: str, reduction: str, isa: str) -> None:
    """out= may be the logits themselves."""
    loss = variant.loss
    if len(loss.wrt) != 1:
        pytest.skip("one differentiable argument only")
    args, options = variant.draw("float32", 259)
    args = tuple(a.astype(dtype) if a.dtype == np.float32 else a for a in args)
    (i,) = wrt_positions(loss)
    kw = {**options, "reduction": reduction}
    value, grad = loss.value_and_grad(*args, **kw)
    own = args[i].copy()
    value_too, got = loss.value_and_grad(*args[:i], own, *args[i + 1 :], **kw, out=own)
    assert got is own
    assert np.array_equal(value, value_too)
    assert np.array_equal(own, grad)


@every_dtype
def test_gradient_in_place_along_axis_1(dtype: str, isa: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 33, 17)).astype(dtype)
    y = rng.integers(0, 5, (2, 33, 17))
    expected = fl.cross_entropy.grad(x, y, axis=1)
    assert fl.cross_entropy.grad(x, y, axis=1, out=x) is x
    assert np.array_equal(x, expected)


@every_differentiable
def test_gradient_into_a_strided_buffer(loss: fl.Loss) -> None:
    args, options = loss.sample(np.random.default_rng(0), size=67)
    expected = as_tuple(loss.grad(*args, **options))
    wide = tuple(np.full((2 * len(e), *e.shape[1:]), 7, e.dtype) for e in expected)
    views = tuple(w[::2] for w in wide)
    got = loss.grad(*args, **options, out=views)
    assert all(g is v for g, v in zip(as_tuple(got), views, strict=True))
    assert all(np.array_equal(v, e) for v, e in zip(views, expected, strict=True))
    assert all((w[1::2] == 7).all() for w in wide)


def test_the_list_of_losses_is_not_empty() -> None:
    assert len(LOSSES) >= 8

"""Overlaps of regions: what is empty, absent, ignored, pooled, weighted or infinite."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases import REGIONS
from matrix import every
from volumes import assert_close, every_region, inf, nan, one_hot, pooling, volume

import fastloss as fl


@every("name", ["dice", "jaccard", "tversky", "focal_tversky", "generalized_dice"])
def test_both_empty_is_0_without_a_gradient(name: str, isa: str) -> None:
    loss, zero = fl.LOSSES[name], np.zeros((2, 9))
    for smooth in (0.0, 1.0):
        value, grad = loss.value_and_grad(zero, zero.astype(int), activation=None, axis=None, smooth=smooth)
        assert value == 0.0
        assert math.copysign(1, value) == 1
        assert np.isfinite(grad).all()
    value, grad = loss.value_and_grad(np.full((2, 9), -inf), zero.astype(int), activation="sigmoid", axis=None)
    assert value == 0.0
    assert not grad.any()


def test_an_absent_class_of_generalized_dice_weighs_as_the_smallest_present() -> None:
    x, y = volume((1, 3, 6, 6))
    y[:] = 0
    y[0, 0, :4] = 1
    p = fl.softmax(x, axis=1)[0].reshape(3, -1)
    t = one_hot(y, 3)[0].reshape(3, -1)
    w = np.array([1 / 32**2, 1 / 4**2, 1 / 4**2])
    expected = 1 - 2 * (w * (p * t).sum(1)).sum() / (w * (p.sum(1) + t.sum(1))).sum()
    assert fl.generalized_dice(x, y) == pytest.approx(expected, rel=1e-13)


def test_pooling_is_one_long_item(isa: str) -> None:
    x, y = volume((3, 4, 5, 9))
    joined, labels = np.concatenate(list(x), axis=1)[None], np.concatenate(list(y), axis=0)[None]
    for loss in REGIONS:
        a = loss(x, y, reduction="none", **pooling(loss, True))
        b = loss(joined, labels, reduction="none", **pooling(loss, False))
        assert a.shape == b.shape[1:]
        np.testing.assert_allclose(a, b[0], rtol=1e-13)


def test_class_weights_weigh_and_divide() -> None:
    x, y = volume()
    w = np.array([0.5, 2.0, 0.0, 1.0])
    none = fl.dice(x, y, reduction="none")
    np.testing.assert_allclose(fl.dice(x, y, reduction="none", class_weight=w), none * w, rtol=1e-14)
    assert fl.dice(x, y, class_weight=w) == pytest.approx((none * w).sum() / (2 * w.sum()), rel=1e-14)
    s = np.array([3.0, 1.0])
    expected = (none * w * s[:, None]).sum() / (w * s[:, None]).sum()
    assert fl.dice(x, y, class_weight=w, sample_weight=s) == pytest.approx(expected, rel=1e-14)


@every("activation", ["softmax", "sigmoid"])
@every_region
def test_ignored_positions_do_not_exist(loss: fl.Loss, activation: str, isa: str) -> None:
    """Whatever their logits, nan included: the value is that of the others, the gradient exactly 0."""
    x, y = volume((2, 4, 16, 64))
    gone = np.random.default_rng(1).random(y.shape) < 0.3
    gone[1] = gone[0]  # so that what is left of both items has one shape
    kept, labels = x[:, :, ~gone[0]], y[:, ~gone[0]]
    y[gone] = 255
    x[np.broadcast_to(gone[:, None], x.shape) & (np.random.default_rng(2).random(x.shape) < 0.1)] = nan
    for label in (y, y.astype(np.uint8), y.astype(np.int16)):
        value, grad = loss.value_and_grad(x, label, ignore_index=255, activation=activation)
        expected, slope = loss.value_and_grad(kept, labels, activation=activation)
        assert value == pytest.approx(expected, rel=1e-12)
        assert not grad[np.broadcast_to(gone[:, None], x.shape)].any()
        assert_close(grad[:, :, ~gone[0]], slope, 1e-11)


@every_region
def test_an_item_that_is_all_ignored_does_not_count(loss: fl.Loss) -> None:
    x, y = volume((3, 4, 5, 9))
    expected = loss(x[[0, 2]], y[[0, 2]], **pooling(loss, False))
    y[1] = 255
    options = {"ignore_index": 255, **pooling(loss, False)}
    assert loss(x, y, **options) == pytest.approx(expected, rel=1e-14)
    assert not np.any(loss(x, y, **options, reduction="none")[1])
    assert not loss.grad(x, y, **options)[1].any()
    y[:] = 255
    assert math.isnan(loss(x, y, **options))
    assert loss(x, y, **options, reduction="sum") == 0.0
    assert not loss.grad(x, y, **options).any()
    assert not loss.grad(x, y, **options, reduction="sum").any()


@every_region
def test_nothing(loss: fl.Loss) -> None:
    """No items, or no positions: an empty mean."""
    for shape in ((0, 3, 4, 5), (2, 3, 0, 5)):
        x, y = np.ones(shape), np.zeros(shape[:1] + shape[2:], int)
        for pooled in (False, True):
            options = pooling(loss, pooled)
            value, grad = loss.value_and_grad(x, y, **options)
            assert math.isnan(value)
            assert grad.shape == shape
            assert loss(x, y, **options, reduction="sum") == 0.0
            items = () if pooled else shape[:1]
            assert loss(x, y, **options, reduction="none").shape == items + (() if loss.name == "generalized_dice" else (3,))


def test_infinite_logits(isa: str) -> None:
    """-inf masks a class: its gradient is 0; all -inf, +inf under a softmax, and nan are nan."""
    y = np.zeros((1, 70), int)
    for dtype in ("float32", "float64"):
        x = np.zeros((1, 3, 70), dtype)
        x[0, 2] = -inf
        value, grad = fl.dice_cross_entropy.value_and_grad(x, y)
        assert np.isfinite(value)
        assert not grad[0, 2].any()
        assert fl.dice(x, y, reduction="none")[0, 2] == 0.0
        for bad in (np.full(3, -inf), np.array([inf, 0, 0]), np.array([0, nan, 0])):
            x = np.zeros((2, 3, 70), dtype)
            x[0, :, 13] = bad
            for loss in REGIONS:
                none = loss(x, np.repeat(y, 2, 0), reduction="none", **pooling(loss, False))
                present = none[0] if loss.name != "lovasz" else none[0, :1]
                assert np.isnan(present).all(), loss.name
                assert np.isfinite(none[1]).all()
        x[0, :, 13] = [inf, -inf, inf]
        assert np.isfinite(fl.dice(x, np.repeat(y, 2, 0), activation="sigmoid"))
    huge = np.zeros((1, 3, 70), np.float32)
    huge[0, 0], huge[0, 1] = 1e30, -1e30
    assert fl.dice(huge, y, reduction="none").tolist() == [[0.0, 0.0, 0.0]]

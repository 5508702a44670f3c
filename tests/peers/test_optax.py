"""Parity with optax: values and gradients of the losses both have, float32, with optax's own factors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import need

import fastloss as fl

optax = need("optax")
jax = need("jax")
pytestmark = pytest.mark.peers

RNG = np.random.default_rng(0)
A, B = RNG.normal(0, 2, (2, 205)).astype(np.float32)


def check(ours: Callable[..., Any], theirs: Callable[..., Any], x: np.ndarray, t: np.ndarray) -> None:
    value, grad = ours(x, t)
    np.testing.assert_allclose(value, np.asarray(theirs(x, t)), rtol=3e-6, atol=3e-6)
    expected = np.asarray(jax.grad(lambda v: theirs(v, t).sum())(x))
    np.testing.assert_allclose(grad, expected, rtol=3e-6, atol=3e-6)


def ours(loss: fl.Loss, factor: float = 1.0, **options: Any) -> Callable[..., Any]:
    def call(x: np.ndarray, t: np.ndarray) -> tuple[Any, Any]:
        value, grad = loss.value_and_grad(x, t, reduction="none", **options)
        return factor * value, factor * grad

    return call


def test_squared_error() -> None:
    check(ours(fl.mse), optax.squared_error, A, B)
    check(ours(fl.mse, 0.5), optax.l2_loss, A, B)  # half of ours


@pytest.mark.parametrize("delta", [0.3, 1.0, 5.0])
def test_huber(delta: float) -> None:
    check(ours(fl.huber, delta=delta), lambda x, t: optax.huber_loss(x, t, delta=delta), A, B)


def test_log_cosh() -> None:
    check(ours(fl.log_cosh), optax.log_cosh, A, B)


def test_difference_log_cosh_of_small_errors() -> None:
    """optax's float32 is noise or 0 where the loss is e^2 / 2."""
    e = np.array([1e-4, 1e-6], np.float32)
    z = np.zeros_like(e)
    np.testing.assert_allclose(fl.log_cosh(e, z, reduction="none"), e.astype(float) ** 2 / 2, rtol=1e-6)
    assert (np.abs(np.asarray(optax.log_cosh(e, z)) / (e.astype(float) ** 2 / 2) - 1) > 0.1).all()


SIGN = np.where(B > 0, 1, -1).astype(np.float32)


def test_margins() -> None:
    check(ours(fl.hinge), optax.hinge_loss, A, SIGN)
    check(ours(fl.perceptron), optax.losses.perceptron_loss, A, SIGN)


def test_difference_labels_are_checked() -> None:
    """optax takes labels 0 and 1 and gives a number."""
    assert np.isfinite(optax.hinge_loss(A, (SIGN + 1) / 2)).all()
    with pytest.raises(ValueError, match=r"2 \* t - 1"):
        fl.hinge(A, (SIGN + 1) / 2)


@pytest.mark.parametrize("gamma", [0.5, 1.7, 2.0])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_sigmoid_focal(gamma: float, alpha: float | None) -> None:
    t = (SIGN + 1) / 2
    check(
        ours(fl.sigmoid_focal, gamma=gamma, alpha=alpha),
        lambda x, y: optax.sigmoid_focal_loss(x, y, alpha=alpha, gamma=gamma),
        A,
        t,
    )


def test_sigmoid_binary_cross_entropy() -> None:
    t = RNG.uniform(0, 1, 205).astype(np.float32)
    check(ours(fl.binary_cross_entropy_with_logits), optax.sigmoid_binary_cross_entropy, A, t)


@pytest.mark.parametrize("axis", [-1, 1])
def test_softmax_cross_entropy(axis: int) -> None:
    shape = (65, 7) if axis == -1 else (5, 7, 13)
    x = RNG.normal(0, 3, shape).astype(np.float32)
    y = RNG.integers(0, 7, shape[:axis] + shape[axis:][1:] if axis != -1 else shape[:-1])
    check(
        ours(fl.cross_entropy, axis=axis),
        lambda a, b: optax.softmax_cross_entropy_with_integer_labels(a, b, axis=axis),
        x,
        y,
    )
    t = np.moveaxis(RNG.dirichlet(np.ones(7), y.shape), -1, axis).astype(np.float32)
    check(ours(fl.cross_entropy, axis=axis), lambda a, b: optax.softmax_cross_entropy(a, b, axis=axis), x, t)


def test_masked_classes() -> None:
    """optax takes a mask; here a masked class is a logit of -inf."""
    x = RNG.normal(0, 3, (65, 7)).astype(np.float32)
    keep = RNG.random((65, 7)) < 0.6
    keep[:, 3] = True
    y = np.full(65, 3)
    expected = optax.softmax_cross_entropy_with_integer_labels(x, y, where=keep)
    got = fl.cross_entropy(np.where(keep, x, -np.inf).astype(np.float32), y, reduction="none")
    np.testing.assert_allclose(got, np.asarray(expected), rtol=3e-6, atol=3e-6)


def test_label_smoothing() -> None:
    """smooth_labels makes (1 - s) t + s / C, as label_smoothing does."""
    x = RNG.normal(0, 3, (65, 7)).astype(np.float32)
    t = np.eye(7, dtype=np.float32)[RNG.integers(0, 7, 65)]
    expected = optax.softmax_cross_entropy(x, optax.smooth_labels(t, 0.1))
    np.testing.assert_allclose(
        fl.cross_entropy(x, t, label_smoothing=0.1, reduction="none"), np.asarray(expected), rtol=3e-6, atol=3e-6
    )


def test_jax_arrays_are_arrays() -> None:
    x, t = jax.numpy.asarray(A), jax.numpy.asarray(B)
    assert fl.huber(x, t) == fl.huber(A, B)
    assert type(fl.huber.grad(x, t)) is np.ndarray
    low = x.astype(jax.numpy.bfloat16)
    assert fl.mse(low, low) == 0.0


def test_kl_divergence() -> None:
    """The same arguments in the same order; targets as logarithms are a function of their own there."""
    x, t = (np.asarray(fl.log_softmax(RNG.normal(0, 2, (65, 7)))).astype(np.float32) for _ in range(2))
    check(ours(fl.kl_div), optax.kl_divergence, x, np.exp(t))
    check(ours(fl.kl_div, log_target=True), optax.losses.kl_divergence_with_log_targets, x, t)
    hard = np.eye(7, dtype=np.float32)[RNG.integers(0, 7, 65)]
    check(ours(fl.kl_div), optax.kl_divergence, x, hard)


def test_difference_generalized_kl_divergence() -> None:
    """optax's convex form adds sum q - sum t: the same for distributions only."""
    generalized = getattr(optax.losses, "generalized_kl_divergence", None) or optax.losses.convex_kl_divergence  # its old name
    x, t = np.log(np.float32([[0.5, 0.25, 0.5]])), np.float32([[0.5, 0.25, 0.25]])
    mine = fl.kl_div(x, t)
    theirs = float(generalized(x, t)[0])
    assert mine == pytest.approx(0.25 * math.log(0.5), rel=1e-6)
    assert theirs == pytest.approx(mine + 0.25, rel=1e-6)
    t = np.float32(RNG.dirichlet(np.ones(7), 65))
    x = np.asarray(fl.log_softmax(RNG.normal(0, 2, (65, 7)))).astype(np.float32)
    np.testing.assert_allclose(fl.kl_div(x, t, reduction="none"), generalized(x, t), rtol=1e-5, atol=1e-6)

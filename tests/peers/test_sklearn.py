"""Parity with scikit-learn: metrics on probabilities, and the half losses of its boosted trees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import need

import fastloss as fl

metrics = need("sklearn.metrics")
half = need("sklearn._loss.loss")
pytestmark = pytest.mark.peers

RNG = np.random.default_rng(0)
A, B = RNG.normal(0, 2, (2, 205))
W = RNG.uniform(0, 2, 205)


def test_regression_metrics() -> None:
    for w in (None, W):
        assert fl.mse(A, B, sample_weight=w) == pytest.approx(metrics.mean_squared_error(B, A, sample_weight=w), rel=1e-13)
        assert fl.mae(A, B, sample_weight=w) == pytest.approx(metrics.mean_absolute_error(B, A, sample_weight=w), rel=1e-13)


def test_log_loss_is_nll_and_cross_entropy() -> None:
    x = RNG.normal(0, 2, (205, 7))
    y = RNG.integers(0, 7, 205)
    for w in (None, W):
        expected = metrics.log_loss(y, fl.softmax(x), labels=range(7), sample_weight=w)
        assert fl.cross_entropy(x, y, sample_weight=w) == pytest.approx(expected, rel=1e-12)
        assert fl.nll(fl.log_softmax(x), y, sample_weight=w) == pytest.approx(expected, rel=1e-12)


def test_log_loss_of_two_classes_is_binary_cross_entropy() -> None:
    y = (B > 0).astype(float)
    p = 1 / (1 + np.exp(-A))
    for w in (None, W):
        expected = metrics.log_loss(y, p, sample_weight=w)
        assert fl.binary_cross_entropy(p, y, sample_weight=w) == pytest.approx(expected, rel=1e-12)
        assert fl.binary_cross_entropy_with_logits(A, y, sample_weight=w) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "peer", "factor", "binary"),
    [
        (fl.mse, "HalfSquaredError", 2.0, False),
        (fl.mae, "AbsoluteError", 1.0, False),
        (fl.binary_cross_entropy_with_logits, "HalfBinomialLoss", 1.0, True),
    ],
    ids=lambda v: getattr(v, "name", None),
)
def test_gradient_and_hessian_of_boosted_trees(loss: fl.Loss, peer: str, factor: float, binary: bool) -> None:
    """scikit-learn's squared error has a factor of 1/2; ours has none."""
    target = (B > 0).astype(float) if binary else B
    model = getattr(half, peer)(sample_weight=None)
    value = model.loss(y_true=target, raw_prediction=A)
    np.testing.assert_allclose(loss(A, target, reduction="none"), factor * value, rtol=1e-12)
    grad, hess = model.gradient_hessian(y_true=target, raw_prediction=A)
    got_grad, got_hess = loss.grad_and_hess(A, target, reduction="sum")
    np.testing.assert_allclose(got_grad, factor * grad, rtol=1e-12)
    if loss is not fl.mae:  # its trees put a constant 1 where the second derivative is 0
        np.testing.assert_allclose(got_hess, np.broadcast_to(factor * hess, A.shape), rtol=1e-12)


def check_half(loss: fl.Loss, model: Any, target: np.ndarray, constant: Any, **options: Any) -> np.ndarray:
    """Value plus the constant that scikit-learn leaves out, and gradient; returns its Hessian."""
    value = model.loss(y_true=target, raw_prediction=A) + constant
    np.testing.assert_allclose(loss(A, target, reduction="none", **options), value, rtol=1e-12, atol=1e-12)
    grad, hess = model.gradient_hessian(y_true=target, raw_prediction=A)
    np.testing.assert_allclose(loss.grad(A, target, reduction="sum", **options), grad, rtol=1e-12, atol=1e-14)
    return np.broadcast_to(hess, A.shape)


def check_hessian(loss: fl.Loss, target: np.ndarray, hess: np.ndarray, **options: Any) -> None:
    _, got = loss.grad_and_hess(A, target, reduction="sum", **options)
    np.testing.assert_allclose(got, hess, rtol=1e-12, atol=1e-14)


def test_huber() -> None:
    check_hessian(fl.huber, B, check_half(fl.huber, half.HuberLoss(quantile=0.5, delta=1.3), B, 0, delta=1.3), delta=1.3)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.8])
def test_quantile(q: float) -> None:
    """Its trees put a constant 1 where the second derivative is 0; where the prediction is exact its gradient is -q, ours 0."""
    hess = check_half(fl.quantile, half.PinballLoss(quantile=q), B, 0, q=q)
    assert (hess == 1).all()
    assert not fl.quantile.hess(A, B, q=q).any()
    assert half.PinballLoss(quantile=q).gradient(y_true=B, raw_prediction=B) == pytest.approx(-q)
    assert not fl.quantile.grad(B, B, q=q).any()
    for w in (None, W):
        expected = metrics.mean_pinball_loss(B, A, sample_weight=w, alpha=q)
        assert fl.quantile(A, B, q=q, sample_weight=w) == pytest.approx(expected, rel=1e-13)


def test_poisson() -> None:
    t = RNG.poisson(2.0, 205).astype(float)
    model = half.HalfPoissonLoss()
    for loss, constant, options in (
        (fl.poisson_nll, 0, {}),
        (fl.tweedie, model.constant_to_optimal_zero(t), {"power": 1.0}),
    ):
        check_hessian(loss, t, check_half(loss, model, t, constant, **options), **options)
    for w in (None, W):
        expected = metrics.mean_poisson_deviance(t, np.exp(A), sample_weight=w) / 2
        assert fl.tweedie(A, t, power=1, sample_weight=w) == pytest.approx(expected, rel=1e-12)


def test_gamma() -> None:
    """Without -log t - 1 there."""
    t = np.exp(B)
    constant = half.HalfGammaLoss().constant_to_optimal_zero(t)
    np.testing.assert_allclose(constant, -np.log(t) - 1, rtol=1e-14)
    check_hessian(fl.gamma, t, check_half(fl.gamma, half.HalfGammaLoss(), t, constant))
    for w in (None, W):
        expected = metrics.mean_gamma_deviance(t, np.exp(A), sample_weight=w) / 2
        assert fl.gamma(A, t, sample_weight=w) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("power", [0.0, 1.0, 1.2, 1.5, 1.9, 2.0, 2.5, 3.0])
def test_tweedie(power: float) -> None:
    """Without the terms that do not depend on the prediction there, which differ at powers 0, 1 and 2."""
    t = np.exp(B)
    model = half.HalfTweedieLoss(power=power)
    constant = model.constant_to_optimal_zero(t)
    if power not in (0.0, 1.0, 2.0):
        np.testing.assert_allclose(constant, t ** (2 - power) / ((1 - power) * (2 - power)), rtol=1e-13)
    hess = check_half(fl.tweedie, model, t, constant if power else 0, power=power)
    check_hessian(fl.tweedie, t, hess, power=power)
    for w in (None, W):
        expected = metrics.mean_tweedie_deviance(t, np.exp(A), sample_weight=w, power=power) / 2
        assert fl.tweedie(A, t, power=power, sample_weight=w) == pytest.approx(expected, rel=1e-11)


def test_difference_powers_below_one() -> None:
    """scikit-learn scores with any power; no distribution has one in (0, 1), and here it is an error."""
    assert np.isfinite(half.HalfTweedieLoss(power=0.5).loss(y_true=np.exp(B), raw_prediction=A)).all()
    with pytest.raises(ValueError, match="power"):
        fl.tweedie(A, np.exp(B), power=0.5)


def test_exponential() -> None:
    """Labels 0 and 1 there; half the scale, as a gradient of its raw prediction shows."""
    model, t = half.ExponentialLoss(), (B > 0).astype(float)
    np.testing.assert_allclose(fl.exponential(A, 2 * t - 1, reduction="none"), model.loss(y_true=t, raw_prediction=A), rtol=1e-12)
    grad, hess = model.gradient_hessian(y_true=t, raw_prediction=A)
    got = fl.exponential.grad_and_hess(A, 2 * t - 1, reduction="sum")
    np.testing.assert_allclose(got[0], grad, rtol=1e-12)
    np.testing.assert_allclose(got[1], hess, rtol=1e-12)


def test_relative_and_logarithmic_errors() -> None:
    p, t = np.exp(A), np.exp(B)
    t[:5] = 0.0
    for w in (None, W):
        expected = metrics.mean_absolute_percentage_error(B, A, sample_weight=w)
        assert fl.mape(A, B, sample_weight=w) == pytest.approx(expected, rel=1e-13)
        assert fl.mape(p, t, sample_weight=w) == pytest.approx(
            metrics.mean_absolute_percentage_error(t, p, sample_weight=w), rel=1e-13
        )
        expected = metrics.mean_squared_log_error(t, p, sample_weight=w)
        assert fl.msle(p, t, sample_weight=w) == pytest.approx(expected, rel=1e-12)


def test_hinge() -> None:
    sign = np.where(B > 0, 1, -1)
    for w in (None, W):
        expected = metrics.hinge_loss(sign, A, sample_weight=w)
        assert fl.hinge(A, sign, sample_weight=w) == pytest.approx(expected, rel=1e-13)


def test_multinomial_gradient() -> None:
    x = RNG.normal(0, 2, (205, 7))
    y = RNG.integers(0, 7, 205)
    model = half.HalfMultinomialLoss(n_classes=7)
    value = model.loss(y_true=y.astype(float), raw_prediction=x)
    np.testing.assert_allclose(fl.cross_entropy(x, y, reduction="none"), value, rtol=1e-12)
    grad, hess = model.gradient_hessian(y_true=y.astype(float), raw_prediction=x)
    got_grad, got_hess = fl.cross_entropy.grad_and_hess(x, y, reduction="sum")
    np.testing.assert_allclose(got_grad, grad, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(got_hess, hess, rtol=1e-12, atol=1e-15)

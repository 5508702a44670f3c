"""Parity with scikit-learn: metrics on probabilities, and the half losses of its boosted trees."""

from __future__ import annotations

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


def test_huber() -> None:
    model = half.HuberLoss(quantile=0.5, delta=1.3)
    np.testing.assert_allclose(
        fl.huber(A, B, delta=1.3, reduction="none"), model.loss(y_true=B, raw_prediction=A), rtol=1e-12, atol=1e-15
    )


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

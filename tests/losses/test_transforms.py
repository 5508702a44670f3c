"""Losses that are a function of a row's cross-entropy: their relations to it, and the rows that hurt."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracle
import pytest
import rows
from cases import every_dtype, need
from conftest import Note, at_each_level
from matrix import every

import fastloss as fl

inf, nan = np.inf, np.nan
TRANSFORMED = {
    "softmax_focal": [{}, {"gamma": 0.5}, {"gamma": 5.0}],
    "poly1_cross_entropy": [{}, {"epsilon": -0.5}],
    "generalized_cross_entropy": [{}, {"q": 1.0}, {"q": 0.05}],
}
CALLS = [(name, options) for name, table in TRANSFORMED.items() for options in table]
every_call = every("name,options", CALLS)


def draw(classes: int = 7, n: int = 65, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(classes)
    return rng.normal(0, 3, (n, classes)).astype(dtype), rng.integers(0, classes, n)


# -- Relations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 7, 100, 5000])
def test_limits_are_cross_entropy(classes: int) -> None:
    x, y = draw(classes)
    value, grad = fl.cross_entropy.value_and_grad(x, y)
    for other in (
        fl.softmax_focal.value_and_grad(x, y, gamma=0.0),
        fl.poly1_cross_entropy.value_and_grad(x, y, epsilon=0.0),
        fl.generalized_cross_entropy.value_and_grad(x, y, q=1e-9),
    ):
        assert other[0] == pytest.approx(value, rel=1e-7)
        np.testing.assert_allclose(other[1], grad, rtol=1e-6, atol=1e-12)


def test_focal_without_focus_is_smoothed_cross_entropy() -> None:
    x, y = draw()
    t = np.random.default_rng(0).dirichlet(np.ones(7), len(x))
    weight = np.linspace(0.2, 2.0, 7)
    for target in (y, t):
        kw: dict[str, Any] = {"label_smoothing": 0.2, "class_weight": weight}
        value, grad = fl.cross_entropy.value_and_grad(x, target, **kw)
        other = fl.softmax_focal.value_and_grad(x, target, gamma=0.0, **kw)
        assert other[0] == pytest.approx(value, rel=1e-14)
        np.testing.assert_allclose(other[1], grad, rtol=1e-10, atol=1e-15)


def test_two_classes_are_the_binary_focal_loss() -> None:
    x = np.linspace(-30, 30, 61)
    two = np.stack([np.zeros_like(x), x], axis=1)
    for label in (0, 1):
        got = fl.softmax_focal(two, np.full(61, label), reduction="none")
        expected = fl.sigmoid_focal(x, np.full(61, label), alpha=None, reduction="none")
        np.testing.assert_allclose(got, expected, rtol=1e-13)


def test_one_hot_targets_are_class_indices() -> None:
    x, y = draw()
    a = fl.softmax_focal.value_and_grad(x, y, gamma=1.5)
    b = fl.softmax_focal.value_and_grad(x, np.eye(7)[y], gamma=1.5)
    assert a[0] == pytest.approx(b[0], rel=1e-14)
    np.testing.assert_allclose(a[1], b[1], rtol=1e-12, atol=1e-16)


def test_generalized_with_q_1_is_the_probability_missed() -> None:
    x, y = draw()
    p = fl.softmax(x)[np.arange(len(y)), y]
    np.testing.assert_allclose(fl.generalized_cross_entropy(x, y, q=1.0, reduction="none"), 1 - p, rtol=1e-12)


def test_class_weights_and_ignored_samples_count_as_in_cross_entropy() -> None:
    x, y = draw()
    y[3::5] = -100
    weight = np.linspace(0.2, 2.0, 7)
    for name, options in CALLS:
        loss = fl.LOSSES[name]
        plain = loss(x, np.maximum(y, 0), reduction="none", **options)
        w = np.where(y >= 0, weight[np.maximum(y, 0)], 0.0)
        value, grad = loss.value_and_grad(x, y, class_weight=weight, **options)
        assert value == pytest.approx((w * plain).sum() / w.sum(), rel=1e-13)
        assert not grad[3::5].any()
        assert loss.terms(x, y, class_weight=weight, **options)[1] == pytest.approx(w)


# -- Rows that hurt ----------------------------------------------------------------------------------


@every_dtype
@every_call
@every("fill", ["won by 15 to 100", "won by 1 to 15", "spread 40", "+1e6", "x1000", "ties", "nearly equal"])
def test_every_digit_of_hard_rows(name: str, options: dict[str, float], fill: str, dtype: str, full: bool, note: Note) -> None:
    for classes in (2, 10, 33, 100, 257) if full else (2, 10, 33):
        r = rows.make(fill, classes, dtype)
        for which, label in r.labels().items():
            truth = oracle.ROWS[name](r.logits, label, **options)
            # a power multiplies the relative error of what it is of
            bound = fl.LOSSES[name].ulp[dtype] * max(1.0, options.get("gamma", 2.0) / 2)
            for level in at_each_level():
                where = f"{level}, {classes} classes, {which}: "
                got = fl.LOSSES[name](r.logits, label, reduction="none", **options)
                note(name, dtype, oracle.assert_ulps(got, truth.value, dtype, bound, where))
                grad = fl.LOSSES[name].grad(r.logits, label, reduction="sum", **options)
                tolerance = {"float32": 1e-6, "float64": 1e-13}[dtype]
                oracle.assert_derivative(grad, truth.grad, dtype, tolerance, oracle.row_scale(truth.grad), where)


def test_masked_classes_and_rows_without_an_answer() -> None:
    x = np.array([[0.0, -inf, 0.0], [0.0, -inf, 0.0], [-inf, -inf, -inf], [nan, 0.0, 0.0], [inf, 0.0, 0.0]])
    y = np.array([0, 1, 0, 1, 0])
    half = np.log(2.0)
    for name, right, masked in (
        ("softmax_focal", half / 4, inf),
        ("poly1_cross_entropy", half + 0.5, inf),
        ("generalized_cross_entropy", (1 - 0.5**0.7) / 0.7, 1 / 0.7),
    ):
        value = fl.LOSSES[name](x, y, reduction="none")
        np.testing.assert_allclose(value, [right, masked, nan, nan, nan])
        grad = fl.LOSSES[name].grad(x, y, reduction="sum")
        assert np.isfinite(grad[:2]).all()
        assert grad[0, 1] == 0
        assert np.isnan(grad[2:]).all()


def test_options_out_of_range_are_refused() -> None:
    x, y = draw()
    for q in (0.0, -1.0, 1.5, nan):
        with pytest.raises(ValueError, match="generalized_cross_entropy: q: expected a number in"):
            fl.generalized_cross_entropy(x, y, q=q)
    for gamma in (-1.0, nan, inf):
        with pytest.raises(ValueError, match="softmax_focal: gamma: expected a number"):
            fl.softmax_focal(x, y, gamma=gamma)
    with pytest.raises(ValueError, match="poly1_cross_entropy: epsilon: expected a finite number"):
        fl.poly1_cross_entropy(x, y, epsilon=inf)
    with pytest.raises(IndexError, match=r"poly1_cross_entropy: target: expected class indices in \[0, 7\), got 7"):
        fl.poly1_cross_entropy(x, np.full(65, 7))
    for name in ("poly1_cross_entropy", "generalized_cross_entropy"):
        with pytest.raises(TypeError, match=f"{name}: target: expected integer class indices"):
            fl.LOSSES[name](x, np.eye(7)[y])


# -- Peers -------------------------------------------------------------------------------------------


@pytest.mark.peers
def test_formulas_under_autograd() -> None:
    torch = need("torch")
    x, y = draw(21)
    z = torch.tensor(x, requires_grad=True)
    log_p = torch.log_softmax(z, 1)[torch.arange(len(y)), torch.tensor(y)]
    p = log_p.exp()
    for name, values in (
        ("softmax_focal", -((1 - p) ** 2) * log_p),
        ("poly1_cross_entropy", 1 - p - log_p),
        ("generalized_cross_entropy", (1 - p**0.7) / 0.7),
    ):
        value, grad = fl.LOSSES[name].value_and_grad(x, y)
        assert value == pytest.approx(values.mean().item(), rel=1e-12)
        (expected,) = torch.autograd.grad(values.mean(), z, retain_graph=True)
        np.testing.assert_allclose(grad, expected.numpy(), rtol=1e-9, atol=1e-14)


@pytest.mark.peers
def test_poly_loss_of_optax() -> None:
    optax = need("optax")
    x, y = draw(21, dtype="float32")
    expected = optax.losses.poly_loss_cross_entropy(x, np.eye(21, dtype=np.float32)[y], epsilon=2.0)
    got = fl.poly1_cross_entropy(x, y, epsilon=2.0, reduction="none")
    np.testing.assert_allclose(got, np.asarray(expected), rtol=3e-6, atol=3e-6)

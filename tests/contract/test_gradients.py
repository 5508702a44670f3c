"""Promise: derivatives within 1e-6 (float32) and 1e-13 (float64) of the exact ones, the smallest included."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracle
import pytest
import rows
from cases import (
    DTYPES,
    FEW,
    Call,
    Variant,
    as_tuple,
    every_batchwise_variant,
    every_differentiable,
    every_dtype,
    every_separable_variant,
    every_variant,
    repeat,
)
from conftest import at_each_level
from matrix import every
from mpmath import mp

import fastloss as fl

TOLERANCE = {"float32": 1e-6, "float64": 1e-13}


# -- The oracle --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"class_weight": [0.5, 2.0, 0.0, 1.0]}], ids=str)
@pytest.mark.parametrize("target", [np.array([2]), np.array([[0.5, 0.0, 0.25, 0.25]])], ids=["index", "soft"])
def test_row_oracle_is_the_derivative_of_its_value(target: np.ndarray, options: dict[str, Any]) -> None:
    """The closed forms against numeric differentiation of the definition."""
    x = np.array([0.3, -1.2, 2.5, 0.0])
    w, _ = oracle.coefficients(target, 4, **options)

    def value(*logits: Any) -> Any:
        return sum(c * (mp.log(mp.fsum(mp.exp(v) for v in logits)) - z) for c, z in zip(w[0], logits, strict=True))

    got = oracle.cross_entropy(x[None], target, **options)
    assert float(value(*map(mp.mpf, x))) == got.value.hi[0]
    for j in range(4):
        for order, closed in ((1, got.grad), (2, got.hess)):
            n = tuple(order * (k == j) for k in range(4))
            assert float(mp.diff(value, tuple(map(mp.mpf, x)), n)) == pytest.approx(closed.hi[0, j], rel=1e-14)


def test_pointwise_oracle_is_the_known_derivative() -> None:
    """mp.diff of softplus against sigmoid and its derivative, out to where they nearly vanish."""
    x = np.array([-90.0, -1.5, 0.25, 40.0, 90.0])
    got = oracle.truth("binary_cross_entropy_with_logits", (x, np.zeros(5)), {}, max_order=2).derivatives
    p = [1 / (1 + mp.exp(-mp.mpf(v))) for v in x]
    np.testing.assert_allclose(got[0][0].hi, [float(v) for v in p], rtol=1e-15)
    np.testing.assert_allclose(got[1][0].hi, [float(v / (1 + mp.exp(mp.mpf(z)))) for v, z in zip(p, x, strict=True)], rtol=1e-15)


# -- Every loss --------------------------------------------------------------------------------------


def drawn(variant: Variant, dtype: str, full: bool) -> tuple[Call, oracle.Truth, list[tuple[np.ndarray, ...]]]:
    args, options = variant.draw(dtype, 131, seed=1) if full else variant.draw(dtype, FEW)
    loss, truth = variant.loss, variant.truth(args, options)
    scales = [
        tuple(oracle.derivative_scale(loss.name, args, options, d, order, k) for k, d in enumerate(by_argument))
        for order, by_argument in enumerate(truth.derivatives, start=1)
    ]
    return (args, options), truth, scales


@every_dtype
@every_separable_variant
def test_every_derivative(variant: Variant, dtype: str, sizes: tuple[int, ...], full: bool) -> None:
    """Gradient and Hessian of the sum, at many lengths."""
    loss = variant.loss
    call, truth, scales = drawn(variant, dtype, full)
    for size in sizes:
        index = np.arange(size) % len(call[0][0])
        args, options = repeat(loss, call, size)
        for order, method in list(enumerate((loss.grad, loss.hess), start=1))[: loss.max_order]:
            exact = [
                oracle.batch(d, index, name in loss.shared)
                for name, d in zip(loss.wrt, truth.derivatives[order - 1], strict=True)
            ]
            scale = [
                s[index].sum(axis=0) if name in loss.shared else s[index]
                for name, s in zip(loss.wrt, scales[order - 1], strict=True)
            ]
            for level in at_each_level():
                got = as_tuple(method(*args, **options, reduction="sum"))
                assert len(got) == len(loss.wrt)
                for g, e, s in zip(got, exact, scale, strict=True):
                    assert g.dtype == dtype
                    oracle.assert_derivative(g, e, dtype, TOLERANCE[dtype], s, f"{level}, {size}: ")


@every("size", [1, 2, 3, 4, 7, 8, 17, 64, 65, 131], quick=lambda size: size in (1, 3, 8, 17, 65))
@every_dtype
@every_batchwise_variant
def test_every_derivative_of_a_batch(variant: Variant, dtype: str, size: int) -> None:
    loss = variant.loss
    args, options = variant.draw(dtype, size, seed=1)
    exact = oracle.batchwise(loss.name, args, options)
    for level in at_each_level():
        got = as_tuple(loss.grad(*args, **options, reduction="sum"))
        for g, e, scale in zip(got, exact.grads, exact.grad_scales, strict=True):
            assert g.dtype == dtype
            scale = scale + oracle.NORMAL[dtype]
            oracle.assert_derivative(g, oracle.Exact.of(e), dtype, TOLERANCE[dtype], scale, f"{level}: ")


@every_dtype
@every_variant
def test_all_routes_to_a_derivative_agree(variant: Variant, dtype: str, isa: str) -> None:
    """grad, value_and_grad, hess, grad_and_hess and the call itself, to the last digits."""
    loss = variant.loss
    if loss.max_order < 1:
        pytest.skip("no derivative")
    args, options = variant.draw(dtype, 131)
    for reduction in ("none", "sum", "mean"):
        kw = {**options, "reduction": reduction}
        value, grad = loss.value_and_grad(*args, **kw)
        np.testing.assert_allclose(value, loss(*args, **kw), rtol=8 * np.finfo(dtype).eps)
        assert_same(grad, loss.grad(*args, **kw))
        if loss.max_order >= 2:
            grad_too, hess = loss.grad_and_hess(*args, **kw)
            assert_same(grad, grad_too)
            assert_same(hess, loss.hess(*args, **kw))


def assert_same(a: Any, b: Any) -> None:
    for x, y in zip(as_tuple(a), as_tuple(b), strict=True):
        assert x.dtype == y.dtype
        scale = np.abs(y) if y.ndim < 2 else np.abs(y).max(axis=-1, keepdims=True)
        assert (np.abs(x - y) <= 8 * np.finfo(y.dtype).eps * scale).all()


@every_differentiable
def test_a_derivative_that_does_not_exist_says_so(loss: fl.Loss) -> None:
    if loss.max_order >= 2:
        pytest.skip("has a Hessian")
    args, options = loss.sample(np.random.default_rng(0))
    for method in (loss.hess, loss.grad_and_hess):
        with pytest.raises((TypeError, NotImplementedError), match=loss.name):
            method(*args, **options)


# -- Cross-entropy on the rows that hurt -------------------------------------------------------------


def check(c: rows.Case, grad: np.ndarray, hess: np.ndarray, where: str) -> None:
    """Against the row's scale; the label's own entry against itself where the label leads; 0 where masked."""
    dtype = c.logits.dtype.name
    oracle.assert_derivative(grad, c.truth.grad, dtype, TOLERANCE[dtype], c.scale, where)
    oracle.assert_derivative(hess, c.truth.hess, dtype, TOLERANCE[dtype], oracle.row_scale(c.truth.hess), where)
    masked = np.isneginf(c.logits)
    assert not np.any(grad[masked])
    assert not np.any(hess[masked])
    if c.target.ndim == 1 and not c.options:
        at = np.arange(len(c.target)), c.target
        own = oracle.Exact(*(part[at] for part in c.truth.grad))
        oracle.assert_derivative(grad[at], own, dtype, TOLERANCE[dtype], np.abs(own.hi), where)


@every_dtype
@every("kind,fill", rows.COMBINATIONS, "-".join)
def test_cross_entropy(kind: str, fill: str, dtype: str, full: bool) -> None:
    """From 1 to 131072 classes, each kind of target, at every CPU level."""
    for c in rows.cases(kind, fill, dtype, full, mp_to=3):
        for layout, x, t, axis in c.layouts():
            for level in at_each_level():
                kw = {**c.options, "axis": axis, "reduction": "sum"}
                grad, hess = fl.cross_entropy.grad_and_hess(x, t, **kw)
                _, again = fl.cross_entropy.value_and_grad(x, t, **kw)
                for g in (grad, again):
                    where = f"{level}, {layout}, {c.where}"
                    check(c, *((g, hess) if axis else (g.T, hess.T)), where)


def test_the_gradient_of_a_confident_row_is_not_lost() -> None:
    """Won by 40 nats: p - 1 is 0 in float32 and in float64; the gradient is not."""
    for dtype in DTYPES:
        x = np.array([[0.0, 40.0, 0.0]], dtype=dtype)
        grad = fl.cross_entropy.grad(x, [1])
        assert grad[0, 1] == pytest.approx(-2 * np.exp(-40.0), rel=TOLERANCE[dtype])


# -- Subgradients at kinks, as documented ------------------------------------------------------------


@every_dtype
def test_subgradients_at_kinks(dtype: str, isa: str) -> None:
    one = np.ones(17, dtype)
    zero = np.zeros(17, dtype)
    assert not fl.mae.grad(one, one).any()
    assert not fl.mae.hess(3 * one, one).any()
    assert not fl.smooth_l1.grad(one, one, beta=0.0).any()
    for sign in (1, -1):
        np.testing.assert_array_equal(fl.huber.grad(sign * one, zero, reduction="sum"), sign * one)
        np.testing.assert_array_equal(fl.smooth_l1.grad(sign * one, zero, reduction="sum"), sign * one)

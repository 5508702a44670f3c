"""Parity with SciPy: special.logsumexp, softmax, log_softmax, huber, and expit as a gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases import every_dtype, need

import fastloss as fl

special = need("scipy.special")
pytestmark = pytest.mark.peers

RTOL = {"float32": 3e-6, "float64": 1e-13}
RNG = np.random.default_rng(0)


@every_dtype
@pytest.mark.parametrize("name", ["logsumexp", "softmax", "log_softmax"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_functions(name: str, axis: int, dtype: str) -> None:
    for scale in (1.0, 30.0):
        x = RNG.normal(0, scale, (5, 33, 7)).astype(dtype)
        got = getattr(fl, name)(x, axis=axis)
        expected = getattr(special, name)(x.astype(np.float64), axis=axis)
        np.testing.assert_allclose(got, expected, rtol=8 * RTOL[dtype], atol=RTOL[dtype])


@pytest.mark.parametrize("row", [[np.inf, 1.0], [-np.inf, -np.inf], [-np.inf, 2.0], [np.nan, 1.0]], ids=str)
def test_logsumexp_at_infinity(row: list[float]) -> None:
    np.testing.assert_array_equal(fl.logsumexp(row), special.logsumexp(row))


@every_dtype
@pytest.mark.parametrize("delta", [0.3, 1.0, 5.0])
def test_huber(delta: float, dtype: str) -> None:
    a, b = RNG.normal(0, 3, (2, 1003)).astype(dtype)
    got = fl.huber(a, b, delta=delta, reduction="none")
    np.testing.assert_allclose(got, special.huber(delta, a.astype(float) - b), rtol=RTOL[dtype], atol=RTOL[dtype])


@every_dtype
@pytest.mark.parametrize("delta", [0.3, 1.0, 5.0])
def test_pseudo_huber(delta: float, dtype: str) -> None:
    a, b = RNG.normal(0, 3, (2, 1003)).astype(dtype)
    got = fl.pseudo_huber(a, b, delta=delta, reduction="none")
    np.testing.assert_allclose(got, special.pseudo_huber(delta, a.astype(float) - b), rtol=RTOL[dtype])


@every_dtype
def test_gradient_of_binary_cross_entropy_is_expit(dtype: str) -> None:
    x = RNG.normal(0, 10, 1003).astype(dtype)
    got = fl.binary_cross_entropy_with_logits.grad(x, np.zeros_like(x), reduction="sum")
    np.testing.assert_allclose(got, special.expit(x.astype(np.float64)), rtol=RTOL[dtype])
    got = fl.binary_cross_entropy_with_logits(x, np.zeros_like(x), reduction="none")
    np.testing.assert_allclose(got, -special.log_expit(-x.astype(np.float64)), rtol=RTOL[dtype])


@every_dtype
def test_entropy_of_probabilities(dtype: str) -> None:
    """special.entr: cross-entropy of a distribution with itself."""
    p = RNG.dirichlet(np.ones(33), 65)
    got = fl.cross_entropy(np.log(p).astype(dtype), p.astype(dtype), reduction="none")
    np.testing.assert_allclose(got, special.entr(p).sum(axis=1), rtol=4 * RTOL[dtype])


def test_difference_a_confident_row_is_not_lost() -> None:
    """Won by 40 nats: SciPy's float64 log_softmax is 0 there."""
    x = np.array([40.0, 0.0])
    assert -fl.log_softmax(x)[0] == pytest.approx(math.exp(-40.0), rel=1e-14)


@every_dtype
def test_relative_entropy(dtype: str) -> None:
    """special.rel_entr takes probabilities, the target first."""
    t = RNG.dirichlet(np.ones(33), 65).astype(dtype)
    x = np.asarray(fl.log_softmax(RNG.normal(0, 2, (65, 33)))).astype(dtype)
    t[:, 3] = 0
    expected = special.rel_entr(t.astype(np.float64), np.exp(x.astype(np.float64))).sum(axis=1)
    np.testing.assert_allclose(fl.kl_div(x, t, reduction="none"), expected, rtol=4 * RTOL[dtype])


@every_dtype
def test_jensenshannon_is_the_square_root(dtype: str) -> None:
    """SciPy gives a distance, the root of ours, and normalises its rows first."""
    distance = need("scipy.spatial.distance")
    p, q = RNG.dirichlet(np.ones(33), (2, 65)).astype(dtype)
    expected = distance.jensenshannon(p.astype(np.float64), q.astype(np.float64), axis=1) ** 2
    np.testing.assert_allclose(fl.js_divergence(p, q, reduction="none"), expected, rtol=8 * RTOL[dtype])
    twice = distance.jensenshannon(2 * p[0].astype(np.float64), q[0].astype(np.float64)) ** 2
    assert twice == pytest.approx(expected[0], rel=1e-6)
    assert fl.js_divergence(2 * p[0], q[0]) > 1.1 * expected[0]


def test_gaussian_nll_is_minus_logpdf() -> None:
    stats = need("scipy.stats")
    x, t = RNG.normal(0, 2, (2, 205))
    v = RNG.uniform(0.1, 3, 205)
    expected = -stats.norm.logpdf(t, x, np.sqrt(v))
    np.testing.assert_allclose(fl.gaussian_nll(x, t, v, full=True, reduction="none"), expected, rtol=1e-13)


def test_difference_nearly_equal_distributions() -> None:
    """1e-9 apart: SciPy's terms have both signs and cancel, ours are squares."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(33))
    q = p * (1 + 1e-9 * rng.normal(size=33))
    exact = float((((p - q) / (p + q)) ** 2 * (p + q)).sum() / 4)  # what is left out is 1e-18 of it
    assert fl.js_divergence(p, q) == pytest.approx(exact, rel=1e-14)
    theirs = float((special.rel_entr(p, (p + q) / 2) + special.rel_entr(q, (p + q) / 2)).sum() / 2)
    assert abs(theirs - exact) > 0.1 * exact

"""Promise: the identities a loss owes to mathematics hold on any input hypothesis can think of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from cases import (
    LOSSES,
    ROWWISE,
    Variant,
    as_tuple,
    cut,
    every_batchwise_variant,
    every_loss,
    every_separable_variant,
    value_count,
)
from hypothesis import assume, given, settings, strategies as st
from hypothesis.extra import numpy as hnp

import fastloss as fl

settings.register_profile("fastloss", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("fastloss")

FLOATS = st.floats(-1e4, 1e4, allow_subnormal=True)
DTYPE = st.sampled_from([np.float32, np.float64])
seeds = st.integers(0, 2**32 - 1)
SUBNORMAL = 1e-300  # what products of errors below 1e-150 come to: some of their digits are gone


@st.composite
def classified(draw: Any, logits: st.SearchStrategy[float] = FLOATS, rows: int = 9, classes: int = 40) -> Any:
    """Logits (N, C) with a few of them extreme, and labels."""
    n, c = draw(st.integers(1, rows)), draw(st.integers(1, classes))
    dtype = draw(DTYPE)
    x = np.random.default_rng(draw(seeds)).normal(0, draw(st.sampled_from([0.0, 1e-3, 1.0, 10.0])), (n, c))
    for _ in range(draw(st.integers(0, 4))):
        x[draw(st.integers(0, n - 1)), draw(st.integers(0, c - 1))] = draw(logits)
    y = np.array([draw(st.integers(0, c - 1)) for _ in range(n)])
    return x.astype(dtype), y


def pair(low: float = -1e4, high: float = 1e4) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """Two float64 vectors of one length."""
    numbers = st.floats(low, high, allow_subnormal=True)
    return st.integers(1, 40).flatmap(
        lambda n: st.tuples(hnp.arrays(np.float64, n, elements=numbers), hnp.arrays(np.float64, n, elements=numbers))
    )


def eps(x: np.ndarray) -> float:
    return float(np.finfo(x.dtype).eps)


# -- Cross-entropy and its kin -----------------------------------------------------------------------


@given(classified())
def test_cross_entropy_is_never_negative(xy: Any) -> None:
    x, y = xy
    assert (fl.cross_entropy(x, y, reduction="none") >= 0).all()


@given(classified(), st.floats(0, 1))
def test_cross_entropy_is_never_negative_with_smoothing(xy: Any, s: float) -> None:
    x, y = xy
    assert (fl.cross_entropy(x, y, label_smoothing=s, reduction="none") >= 0).all()


@given(classified())
def test_cross_entropy_is_nll_of_log_softmax(xy: Any) -> None:
    x, y = xy
    a = fl.cross_entropy(x, y, reduction="none")
    b = fl.nll(fl.log_softmax(x), y, reduction="none")
    np.testing.assert_allclose(a, b, rtol=8 * eps(x), atol=0)


@given(classified())
def test_one_hot_probabilities_equal_indices(xy: Any) -> None:
    x, y = xy
    t = np.eye(x.shape[1], dtype=x.dtype)[y]
    for options in ({}, {"label_smoothing": 0.2}, {"class_weight": np.linspace(0.5, 2, x.shape[1])}):
        a = fl.cross_entropy(x, y, reduction="none", **options)
        b = fl.cross_entropy(x, t, reduction="none", **options)
        np.testing.assert_allclose(a, b, rtol=8 * eps(x), atol=0)
        g, h = fl.cross_entropy.grad(x, y, **options), fl.cross_entropy.grad(x, t, **options)
        np.testing.assert_allclose(g, h, rtol=0, atol=16 * eps(x) * np.abs(g).max())


@given(classified(), seeds)
def test_cross_entropy_is_linear_in_probability_targets(xy: Any, seed: int) -> None:
    x, _ = xy
    rng = np.random.default_rng(seed)
    t, u = rng.dirichlet(np.ones(x.shape[1]), (2, len(x)))
    x = x.astype(np.float64)
    a, b, c = (fl.cross_entropy(x, v, reduction="none") for v in (t, u, 0.25 * t + 0.75 * u))
    np.testing.assert_allclose(0.25 * a + 0.75 * b, c, rtol=1e-13)


@given(classified(), seeds)
def test_cross_entropy_is_entropy_plus_divergence(xy: Any, seed: int) -> None:
    x, _ = xy
    x = x.astype(np.float64)
    t = np.random.default_rng(seed).dirichlet(np.full(x.shape[1], 2.0), len(x))
    assume((t > 1e-300).all())
    log_q = fl.log_softmax(x)
    entropy = -(t * np.log(t)).sum(axis=1)
    divergence = (t * (np.log(t) - log_q)).sum(axis=1)
    scale = np.abs(log_q).max(axis=1) + np.abs(np.log(t)).max(axis=1) + 1
    got = fl.cross_entropy(x, t, reduction="none")
    assert (np.abs(got - (entropy + divergence)) <= 1e-14 * scale * x.shape[1]).all()
    assert (got >= entropy - 1e-14 * scale * x.shape[1]).all()


@given(classified(st.floats(-30, 30)), st.integers(-64, 64))
def test_cross_entropy_does_not_see_a_shift(xy: Any, shift: int) -> None:
    """Logits on a grid of 1/64, so that the shift itself is exact: only the last digits may change."""
    x, y = xy
    x = np.round(np.clip(x, -100, 100) * 64) / 64
    x = x.astype(np.float32)
    shifted = x + np.float32(shift)
    a, b = (fl.cross_entropy(v, y, reduction="none") for v in (x, shifted))
    np.testing.assert_allclose(a, b, rtol=8 * eps(x), atol=0)
    np.testing.assert_allclose(fl.softmax(x), fl.softmax(shifted), rtol=8 * eps(x), atol=0)
    np.testing.assert_allclose(fl.logsumexp(shifted) - shift, fl.logsumexp(x), rtol=1e-6, atol=2e-5)


@given(classified(), seeds)
def test_cross_entropy_does_not_see_the_order_of_classes(xy: Any, seed: int) -> None:
    x, y = xy
    order = np.random.default_rng(seed).permutation(x.shape[1])
    a = fl.cross_entropy(x, y, reduction="none")
    b = fl.cross_entropy(np.ascontiguousarray(x[:, order]), np.argsort(order)[y], reduction="none")
    np.testing.assert_allclose(a, b, rtol=8 * eps(x), atol=0)


@given(classified())
def test_gradient_of_cross_entropy_sums_to_zero(xy: Any) -> None:
    x, y = xy
    grad = fl.cross_entropy.grad(x, y, reduction="sum").astype(np.float64)
    assert (np.abs(grad.sum(axis=1)) <= 4 * eps(x) * np.abs(grad).sum(axis=1)).all()


@given(classified())
def test_an_infinite_class_is_no_class(xy: Any) -> None:
    """A column of -inf changes nothing, and its gradient is 0."""
    x, y = xy
    for position in (0, x.shape[1]):
        wider = np.insert(x, position, -np.inf, axis=1)
        label = y + (position == 0)
        np.testing.assert_allclose(
            fl.cross_entropy(wider, label, reduction="none"),
            fl.cross_entropy(x, y, reduction="none"),
            rtol=8 * eps(x),
            atol=0,
        )
        assert not fl.cross_entropy.grad(wider, label)[:, position].any()


@given(classified(st.floats(-500, 500)))
def test_perplexity_is_exp_and_power_of_two(xy: Any) -> None:
    x, y = xy
    nats = fl.cross_entropy(x, y)
    assert fl.perplexity(x, y) == pytest.approx(math.exp(nats), rel=1e-13)
    assert fl.perplexity(x, y) == pytest.approx(2 ** (nats / math.log(2)), rel=1e-12)


@given(pair(-600, 600), DTYPE)
def test_binary_cross_entropy_is_cross_entropy_of_two_classes(xt: Any, dtype: Any) -> None:
    x, t = xt[0].astype(dtype), (xt[1] > 0)
    a = fl.binary_cross_entropy_with_logits(x, t.astype(dtype), reduction="none")
    b = fl.cross_entropy(np.stack([np.zeros_like(x), x], axis=1), t.astype(int), reduction="none")
    np.testing.assert_allclose(a, b, rtol=8 * eps(x), atol=0)


@given(pair(-30, 30))
def test_binary_cross_entropy_of_probabilities_is_that_of_logits(xt: Any) -> None:
    x, t = xt[0], np.abs(xt[1]) / 30
    p = 1 / (1 + np.exp(-np.clip(x, -15, 15)))
    a = fl.binary_cross_entropy(p, t, reduction="none")
    b = fl.binary_cross_entropy_with_logits(np.log(p) - np.log1p(-p), t, reduction="none")
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@given(pair(-1e4, 1e4))
def test_binary_cross_entropy_is_symmetric(xt: Any) -> None:
    """Turning both the logit and the label around changes nothing."""
    x, t = xt[0], (xt[1] > 0).astype(float)
    a = fl.binary_cross_entropy_with_logits(x, t, reduction="none")
    assert np.array_equal(a, fl.binary_cross_entropy_with_logits(-x, 1 - t, reduction="none"))
    g = fl.binary_cross_entropy_with_logits.grad(x, t)
    np.testing.assert_allclose(g, -fl.binary_cross_entropy_with_logits.grad(-x, 1 - t), rtol=1e-15)


@given(pair(-1e4, 1e4), st.integers(1, 5))
def test_positive_weight_repeats_positives(xt: Any, k: int) -> None:
    x, t = xt[0], (xt[1] > 0).astype(float)
    got = fl.binary_cross_entropy_with_logits(x, t, pos_weight=k, reduction="sum")
    times = np.where(t == 1, k, 1)
    repeated = fl.binary_cross_entropy_with_logits(np.repeat(x, times), np.repeat(t, times), reduction="sum")
    assert got == pytest.approx(repeated, rel=1e-13)


# -- Regression --------------------------------------------------------------------------------------


@given(pair())
def test_huber_becomes_half_the_squared_error(ab: Any) -> None:
    a, b = ab
    np.testing.assert_allclose(
        fl.huber(a, b, delta=1e6, reduction="none"), fl.mse(a, b, reduction="none") / 2, rtol=1e-15, atol=SUBNORMAL
    )


@given(pair())
def test_huber_over_delta_becomes_the_absolute_error(ab: Any) -> None:
    a, b = ab
    tiny = 1e-9
    np.testing.assert_allclose(
        fl.huber(a, b, delta=tiny, reduction="none") / tiny, fl.mae(a, b, reduction="none"), rtol=1e-12, atol=tiny
    )


@given(pair(-10, 10), st.floats(1e-3, 1e3))
def test_huber_is_delta_times_smooth_l1(ab: Any, delta: float) -> None:
    a, b = ab
    np.testing.assert_allclose(
        fl.huber(a, b, delta=delta, reduction="none"),
        delta * fl.smooth_l1(a, b, beta=delta, reduction="none"),
        rtol=1e-14,
        atol=SUBNORMAL,
    )


@given(pair())
def test_smooth_l1_without_beta_is_the_absolute_error(ab: Any) -> None:
    a, b = ab
    assert np.array_equal(fl.smooth_l1(a, b, beta=0.0, reduction="none"), fl.mae(a, b, reduction="none"))
    assert np.array_equal(fl.smooth_l1.grad(a, b, beta=0.0), fl.mae.grad(a, b))


@pytest.mark.parametrize("loss", [fl.mse, fl.mae, fl.huber, fl.smooth_l1], ids=lambda loss: loss.name)
@given(ab=pair())
def test_regression_is_symmetric_and_zero_only_when_right(loss: fl.Loss, ab: Any) -> None:
    a, b = ab
    values = loss(a, b, reduction="none")
    assert np.array_equal(values, loss(b, a, reduction="none"))
    assert np.array_equal(loss.grad(a, b), -loss.grad(b, a))
    assert (values >= 0).all()
    assert not loss(a, a, reduction="none").any()
    assert (values[np.abs(a - b) > 1e-100] > 0).all()


# -- Every loss --------------------------------------------------------------------------------------


@given(seed=seeds, size=st.integers(1, 40))
@every_separable_variant
@settings(max_examples=15)
def test_order_of_samples_does_not_matter(variant: Variant, seed: int, size: int) -> None:
    args, options = variant.draw("float64", size, seed=seed)
    order = np.random.default_rng(seed).permutation(size)
    mixed, mixed_options = cut(variant.loss, args, options, order)
    a = variant.loss(*args, **options, reduction="none")
    b = variant.loss(*mixed, **mixed_options, reduction="none")
    np.testing.assert_allclose(b, a[order], rtol=1e-14)
    assert variant.loss(*mixed, **mixed_options) == pytest.approx(variant.loss(*args, **options), rel=1e-12, nan_ok=True)


@given(seed=seeds, size=st.integers(1, 40))
@every_batchwise_variant
@settings(max_examples=15)
def test_order_of_a_batch_does_not_matter(variant: Variant, seed: int, size: int) -> None:
    """Values and gradients move along with the samples that they are of."""
    loss = variant.loss
    args, options = variant.draw("float64", size, seed=seed)
    order = np.random.default_rng(seed).permutation(size)
    moved = np.concatenate([order + size * k for k in range(value_count(loss, size) // size)])
    mixed = tuple(a[order] for a in args)
    a, b = (loss(*x, **options, reduction="none") for x in (args, mixed))
    np.testing.assert_allclose(b, a[moved], rtol=1e-12, atol=1e-12)
    assert loss(*mixed, **options) == pytest.approx(loss(*args, **options), rel=1e-12, abs=1e-12, nan_ok=True)
    for g, h in zip(*(as_tuple(loss.grad(*x, **options)) for x in (args, mixed)), strict=True):
        np.testing.assert_allclose(h, g[order], rtol=1e-11, atol=1e-11)


@given(seed=seeds, size=st.integers(1, 40), split=st.floats(0, 1))
@every_separable_variant
@settings(max_examples=15)
def test_terms_add_over_any_split(variant: Variant, seed: int, size: int, split: float) -> None:
    """What streaming evaluation rests on: the terms of a part are that part of the terms."""
    args, options = variant.draw("float64", size, seed=seed)
    at = int(split * size)
    whole = variant.loss.terms(*args, **options)
    cuts = [cut(variant.loss, args, options, half) for half in (slice(at), slice(at, None))]
    parts = [variant.loss.terms(*a, **o) for a, o in cuts]
    for i in range(2):
        np.testing.assert_allclose(np.concatenate([p[i] for p in parts]), whole[i], rtol=1e-14)


@given(seed=seeds, size=st.integers(1, 40))
@every_loss
@settings(max_examples=20)
def test_reductions_are_one_another(loss: fl.Loss, seed: int, size: int) -> None:
    args, options = loss.sample(np.random.default_rng(seed), dtype="float64", size=size)
    w = np.random.default_rng(seed).uniform(0.1, 2, value_count(loss, size))
    none = loss(*args, **options, sample_weight=w, reduction="none")
    assert loss(*args, **options, sample_weight=w, reduction="sum") == pytest.approx(math.fsum(none.ravel()), rel=1e-13)
    numerator, denominator = loss.terms(*args, **options, sample_weight=w)
    assume(denominator.any())
    mean = math.fsum(numerator.ravel()) / math.fsum(denominator.ravel())
    assert loss(*args, **options, sample_weight=w) == pytest.approx(mean, rel=1e-13)


@given(seed=seeds)
@every_loss
@settings(max_examples=20)
def test_a_step_down_the_gradient_goes_down(loss: fl.Loss, seed: int) -> None:
    if loss.max_order < 1:
        pytest.skip("no derivative")
    args, options = loss.sample(np.random.default_rng(seed), dtype="float64", size=33)
    value, grad = loss.value_and_grad(*args, **options)
    norm = math.sqrt(sum(float((g * g).sum()) for g in as_tuple(grad)))
    assume(norm > 1e-6)
    moved = list(args)
    for name, g in zip(loss.wrt, as_tuple(grad), strict=True):
        i = loss.arrays.index(name)
        moved[i] = np.clip(args[i] - 1e-7 * g / norm, *((0, 1) if name == "probs" else (-np.inf, np.inf)))
    assert loss(*moved, **options) < value


def test_there_are_row_losses_to_test() -> None:
    assert {loss.name for loss in ROWWISE} >= {"cross_entropy", "nll"}
    assert len(LOSSES) > len(ROWWISE)

"""Promise: sums of terms along rows, and losses with two differentiable arguments, are right where it is hard: near their
minimum, in rows of any length, along any axis, at infinities, in the caller's buffers."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import oracle
import pytest
from cases import THREADS, as_tuple, every_dtype
from conftest import at_each_level
from matrix import every
from mpmath import mp, mpf
from refusals import methods, refused

import fastloss as fl

inf, nan = math.inf, math.nan
LENGTHS = (
    1,
    2,
    3,
    5,
    7,
    8,
    9,
    15,
    16,
    17,
    31,
    33,
    63,
    64,
    65,
    100,
    127,
    511,
    512,
    513,
    1003,
    2048,
    2049,
    4095,
    4096,
    4097,
    10_007,
)
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
BOUND = {"float32": 4, "float64": 8}
RNG = np.random.default_rng


def log_probabilities(rng: np.random.Generator, shape: tuple[int, ...], spread: float = 2.0) -> np.ndarray:
    return fl.log_softmax(rng.normal(0, spread, shape))


def draw(name: str, shape: tuple[int, ...], dtype: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = RNG(seed)
    if name == "gaussian_kl":
        a, b = rng.normal(0, 1, (2, *shape))
    else:
        a, b = log_probabilities(rng, shape), np.exp(log_probabilities(rng, shape))
        a = np.exp(a) if name == "js_divergence" else a
    return a.astype(dtype), b.astype(dtype)


def long_terms(name: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The terms of a row in the longest floats there are: good to judge float64 where nothing cancels, and float32 anywhere."""
    a, b = a.astype(np.longdouble), b.astype(np.longdouble)
    if name == "kl_div":
        return b * (np.log(b) - a)
    if name == "js_divergence":
        return (a * np.log(2 * a / (a + b)) + b * np.log(2 * b / (a + b))) / 2
    return (np.expm1(b) - b + a * a) / 2


SUMS = ("kl_div", "js_divergence", "gaussian_kl")
every_sum = every("name", SUMS)


# -- Rows of any length, anywhere --------------------------------------------------------------------


@every_dtype
@every_sum
def test_rows_of_any_length(name: str, dtype: str) -> None:
    """Value, gradient and weights, from one element per row to rows that are cut in pieces."""
    loss = fl.LOSSES[name]
    for length in LENGTHS:
        rows = 5 if length > 100 else 1 + 700 // length
        a, b = draw(name, (rows, length), dtype, seed=length)
        terms = long_terms(name, a, b)
        exact, scale = terms.sum(axis=1), np.abs(terms).sum(axis=1)
        weight = RNG(1).uniform(0, 2, rows)
        for level in at_each_level():
            got = loss(a, b, reduction="none")
            assert got.shape == (rows,)
            error = np.abs(got - exact) / (oracle.spacing(scale.astype(float), dtype))
            assert error.max() <= BOUND[dtype], (level, length, error.max())
            weighed = loss(a, b, reduction="none", sample_weight=weight)
            np.testing.assert_allclose(weighed, weight * loss.terms(a, b)[0], rtol=2 * EPS[dtype], atol=1e-44)
            assert loss(a, b, sample_weight=weight) == pytest.approx(
                float((weight * exact).sum() / weight.sum()), rel=1e-6 if dtype == "float32" else 1e-13
            )
            plain = as_tuple(loss.grad(a, b, reduction="sum"))
            for g, p in zip(as_tuple(loss.grad(a, b, sample_weight=weight)), plain, strict=True):
                np.testing.assert_allclose(g, p * (weight / weight.sum())[:, None], rtol=4 * EPS[dtype])
            for g, e in zip(plain, exact_slopes(name, a, b), strict=True):
                np.testing.assert_allclose(g, e, rtol=1e-6 if dtype == "float32" else 1e-13)


def exact_slopes(name: str, a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    a, b = a.astype(np.longdouble), b.astype(np.longdouble)
    if name == "kl_div":
        return [-b]
    if name == "js_divergence":
        return [np.log1p((v - w) / (v + w)) / 2 for v, w in ((a, b), (b, a))]
    return [a, np.expm1(b) / 2]


@every("shape", [(3, 5, 7), (3, 64, 17), (2, 5000, 3), (1, 1, 1)], str)
@every_dtype
@every_sum
def test_any_axis_and_type(name: str, shape: tuple[int, ...], dtype: str, isa: str) -> None:
    loss = fl.LOSSES[name]
    a, b = draw(name, shape, dtype)
    for axis in (0, 1, 2, -1, -2):
        last = [np.ascontiguousarray(np.moveaxis(v, axis, -1)) for v in (a, b)]
        assert np.array_equal(loss(a, b, axis=axis, reduction="none"), loss(*last, reduction="none"))
        for g, e in zip(as_tuple(loss.grad(a, b, axis=axis)), as_tuple(loss.grad(*last)), strict=True):
            assert g.flags.c_contiguous
            assert np.array_equal(np.moveaxis(g, axis, -1), e)
    half = [v.astype(np.float16) for v in (a, b)]
    up = [v.astype(np.float32) for v in half]
    assert np.array_equal(loss(*half, axis=1, reduction="none"), loss(*up, axis=1, reduction="none"))
    assert all(g.dtype == np.float16 for g in as_tuple(loss.grad(*half, axis=1)))


@every("shape", [(100_003, 3), (50_021, 10), (4001, 64), (301, 1003), (5, 100_000), (1, 1_000_003)], str)
@every_dtype
@every_sum
def test_same_bits_for_any_number_of_threads(name: str, shape: tuple[int, int], dtype: str) -> None:
    loss = fl.LOSSES[name]
    a, b = draw(name, shape, dtype)
    weight = RNG(0).uniform(0, 2, shape[0])
    answers = []
    for n in THREADS:
        with fl.num_threads(n):
            none = loss(a, b, reduction="none", sample_weight=weight)
            value, grad = loss.value_and_grad(a, b, sample_weight=weight)
            answers.append((none.tobytes(), value, *(hash(g.tobytes()) for g in as_tuple(grad))))
    assert answers == [answers[0]] * len(THREADS)


@every_dtype
@every_sum
def test_a_row_alone_has_the_bits_it_has_among_others(name: str, dtype: str, isa: str) -> None:
    for length in (3, 33, 200, 5000):
        a, b = draw(name, (9, length), dtype)
        together = fl.LOSSES[name](a, b, reduction="none")
        assert [fl.LOSSES[name](v, w, reduction="none") for v, w in zip(a, b, strict=True)] == list(together)


# -- Where sums nearly vanish ------------------------------------------------------------------------


def mp_rows(terms: Callable[..., mpf], *arrays: np.ndarray) -> tuple[list[mpf], list[mpf]]:
    """Each row's exact sum, and the sum of its terms' magnitudes."""
    sums, sizes = [], []
    for row in zip(*arrays, strict=True):
        found = [terms(*(mpf(float(v)) for v in element)) for element in zip(*row, strict=True)]
        sums.append(mp.fsum(found))
        sizes.append(mp.fsum(abs(v) for v in found))
    return sums, sizes


@every("apart", [1e-1, 1e-2, 1e-4, 1e-6])
@every_dtype
def test_kl_div_of_nearly_equal_distributions(apart: float, dtype: str, isa: str) -> None:
    """The terms cancel. What is left is exact to their rounding, or (float32) to its own, but for 1e-11 (float32) or 1e-17 of a
    logarithm."""
    rng = RNG(3)
    x = log_probabilities(rng, (9, 33))
    t = np.exp(fl.log_softmax(x + rng.normal(0, apart, x.shape)))
    x, t = x.astype(dtype), t.astype(dtype)
    log_t = np.log(t)
    for target, given_as_log in ((t, False), (log_t, True)):
        exact, size = mp_rows(lambda a, b, log=given_as_log: oracle.kl_div(a, b, log), x, target)
        logarithms = (t * -log_t).sum(axis=1)
        got = fl.kl_div(x, target, log_target=given_as_log, reduction="none")
        for g, e, s, logs in zip(got, exact, size, logarithms, strict=True):
            if dtype == "float32":
                allowed = 4 * oracle.spacing(np.float64(abs(e)), dtype) + 1e-11 * logs
            else:
                allowed = 8 * oracle.spacing(np.float64(s), dtype) + 1e-17 * logs
            assert abs(mpf(float(g)) - e) <= allowed


@every("apart", [2.0, 0.5, 1e-1, 1e-3, 1e-6, 1e-7])
@every_dtype
def test_js_divergence_of_nearly_equal_distributions(apart: float, dtype: str, isa: str) -> None:
    """No digit is lost, in a row or in a single term; nor in the gradient."""
    rng = RNG(4)
    x = log_probabilities(rng, (9, 33), 3.0)
    p, q = np.exp(x).astype(dtype), np.exp(x + rng.normal(0, apart, x.shape)).astype(dtype)
    for a, b in ((p, q), (p.reshape(-1, 1), q.reshape(-1, 1))):
        exact, _ = mp_rows(oracle.js_divergence, a, b)
        truth = oracle.Exact.of(np.array(exact, dtype=object))
        oracle.assert_ulps(fl.js_divergence(a, b, reduction="none"), truth, dtype, BOUND[dtype])
    a, b = (np.frompyfunc(lambda v: mpf(float(v)), 1, 1)(v) for v in (p, q))
    truth = oracle.Exact.of(np.frompyfunc(lambda v: mp.log(v) / 2, 1, 1)(2 * a / (a + b)))
    grad = fl.js_divergence.grad(p, q, reduction="sum")[0]
    oracle.assert_derivative(grad, truth, dtype, {"float32": 1e-6, "float64": 1e-13}[dtype], np.abs(truth.hi))


@every("prior", [(0.0, 0.0), (1.5, -2.5), (-0.375, 7.25)], str)
@every_dtype
def test_gaussian_kl_near_and_far_from_its_prior(prior: tuple[float, float], dtype: str, isa: str) -> None:
    """Single dimensions, log-variances from 1e-12 to 80 off the prior's: the value and both slopes keep their digits."""
    off = np.concatenate([np.logspace(-12, 1.9, 300), np.linspace(0.3, 2.5, 100)])
    s = np.concatenate([prior[1] + off, prior[1] - off]).astype(dtype)
    m = (prior[0] + np.tile([0.0, 1e-6, 1.0, 30.0], len(s) // 4)).astype(dtype)
    options = {"prior_mean": prior[0], "prior_log_variance": prior[1]}
    truth = oracle.truth("gaussian_kl", (m[:, None], s[:, None]), options, (0, 1), 1)
    got = fl.gaussian_kl(m[:, None], s[:, None], **options, reduction="none")
    oracle.assert_ulps(got, truth.value, dtype, BOUND[dtype])
    e, d = m.astype(float) - prior[0], s.astype(float) - prior[1]
    slopes = e * math.exp(-prior[1]), np.expm1(d) / 2
    for g, t in zip(fl.gaussian_kl.grad(m[:, None], s[:, None], **options, reduction="sum"), slopes, strict=True):
        np.testing.assert_allclose(g[:, 0], t, rtol={"float32": 1e-6, "float64": 1e-13}[dtype])


@every("full", [False, True])
@every_dtype
def test_gaussian_nll_of_small_variances(full: bool, dtype: str, isa: str) -> None:
    """The logarithm is negative and the quotient positive: float64 to the larger one's rounding, float32 to its own."""
    rng = RNG(5)
    v = np.exp(rng.uniform(-13, 5, 1003)).astype(dtype)
    x = (rng.normal(size=1003) * np.sqrt(v)).astype(dtype)
    t = np.zeros_like(x)
    truth = oracle.truth("gaussian_nll", (x, t, v), {"full": full}).value
    got = fl.gaussian_nll(x, t, v, full=full, reduction="none")
    if dtype == "float32":
        floor = 1e-10  # where the value is 0 by chance
    else:
        floor = 4 * EPS[dtype] * (np.abs(np.log(v)) + x * x / v)
    assert (np.abs(truth.minus(got)) <= BOUND[dtype] * oracle.spacing(truth.hi, dtype) + floor).all()


@every("alpha", [0.0, 0.1, 3.0])
@every_dtype
def test_contrastive_divergence_that_cancels(alpha: float, dtype: str, isa: str) -> None:
    a, b = RNG(6).normal(0, 3, (2, 1003)).astype(dtype)
    truth = oracle.truth("contrastive_divergence", (a, b), {"alpha": alpha}).value
    scale = np.abs(a - b).astype(float) + alpha * (a.astype(float) ** 2 + b.astype(float) ** 2)
    got = fl.contrastive_divergence(a, b, alpha=alpha, reduction="none")
    assert (np.abs(truth.minus(got)) <= 2 * oracle.spacing(scale, dtype)).all()


# -- What they are to one another and to the field ---------------------------------------------------


def test_kl_div_is_cross_entropy_minus_entropy() -> None:
    logits, t = RNG(0).normal(0, 3, (65, 33)), RNG(1).dirichlet(np.ones(33), 65)
    entropy = -(t * np.log(t)).sum(axis=1)
    got = fl.kl_div(fl.log_softmax(logits), t, reduction="none")
    np.testing.assert_allclose(got, fl.cross_entropy(logits, t, reduction="none") - entropy, rtol=1e-12)


@every_dtype
def test_kl_div_of_a_distribution_from_itself(dtype: str, isa: str) -> None:
    """Exactly 0 from logarithms; within the rounding of the logarithm given otherwise."""
    x = log_probabilities(RNG(0), (65, 33)).astype(dtype)
    assert not fl.kl_div(x, x, log_target=True, reduction="none").any()
    t = np.exp(x)
    assert np.abs(fl.kl_div(np.log(t), t, reduction="none")).max() <= 4 * EPS[dtype]


@every_dtype
def test_targets_as_logarithms_are_targets(dtype: str, isa: str) -> None:
    x, log_t = (log_probabilities(RNG(k), (65, 33)).astype(dtype) for k in (0, 1))
    a, g = fl.kl_div.value_and_grad(x, log_t, log_target=True)
    b, h = fl.kl_div.value_and_grad(x, np.exp(log_t), log_target=False)
    assert a == pytest.approx(b, rel=1e3 * EPS[dtype])
    np.testing.assert_allclose(g, h, rtol=4 * EPS[dtype])


@every_dtype
def test_js_divergence_is_symmetric_bounded_and_zero_only_when_equal(dtype: str, isa: str) -> None:
    p, q = RNG(0).dirichlet(np.full(40, 0.05), (2, 500)).astype(dtype)
    p[:100] = p[:100] * (np.arange(40) < 20)
    q[:100] = q[:100] * (np.arange(40) >= 20)
    p[:100] /= p[:100].sum(axis=1, keepdims=True)
    q[:100] /= q[:100].sum(axis=1, keepdims=True)
    got = fl.js_divergence(p, q, reduction="none")
    assert np.array_equal(got, fl.js_divergence(q, p, reduction="none"))
    for g, h in zip(fl.js_divergence.grad(p, q), fl.js_divergence.grad(q, p)[::-1], strict=True):
        assert np.array_equal(g, h)
    assert (got > 0).all()
    assert (got <= math.log(2) * (1 + 64 * EPS[dtype])).all()
    np.testing.assert_allclose(got[:100], math.log(2), rtol=64 * EPS[dtype])  # nothing in common
    assert not fl.js_divergence(p, p, reduction="none").any()
    m = (p.astype(float) + q) / 2
    with np.errstate(divide="ignore"):
        parts = [fl.kl_div(np.log(m), v.astype(float), reduction="none") for v in (p, q)]
    np.testing.assert_allclose(got, sum(parts) / 2, rtol=32 * EPS[dtype])


def test_gaussian_kl_against_quadrature() -> None:
    """The integral of p log(p / q), which is what the formula is said to be."""

    def integrand(x: mpf, m: float, s: float, m0: float, s0: float) -> mpf:
        p, q = (mp.npdf(x, a, mp.exp(mpf(b) / 2)) for a, b in ((m, s), (m0, s0)))
        return p * mp.log(p / q)

    for m, s, m0, s0 in ((0.3, -1.0, 0.0, 0.0), (-2.0, 1.5, 0.5, -0.5), (0.1, 0.1, 0.0, 0.2)):
        points = [m + k * math.exp(s / 2) for k in (-12, -3, 0, 3, 12)]
        integral = mp.quad(partial(integrand, m=m, s=s, m0=m0, s0=s0), points)
        assert fl.gaussian_kl([m], [s], prior_mean=m0, prior_log_variance=s0) == pytest.approx(float(integral), rel=1e-12)


def test_gaussian_kl_is_the_sum_over_dimensions_with_a_prior_for_each() -> None:
    m, s = draw("gaussian_kl", (4, 5, 6), "float64")
    m0, s0 = RNG(1).normal(size=6), RNG(2).normal(size=(5, 6))

    def one(k: int) -> np.ndarray:
        at = (..., slice(k, k + 1))
        return fl.gaussian_kl(m[at], s[at], prior_mean=m0[k], prior_log_variance=s0[at], reduction="none")

    got = fl.gaussian_kl(m, s, prior_mean=m0, prior_log_variance=s0, reduction="none")
    np.testing.assert_allclose(got, sum(map(one, range(6))), rtol=1e-14)
    assert not fl.gaussian_kl(m, s, prior_mean=m, prior_log_variance=s, reduction="none").any()
    moved = fl.gaussian_kl(np.moveaxis(m, -1, 0), np.moveaxis(s, -1, 0), prior_mean=m0[:, None, None], axis=0, reduction="none")
    np.testing.assert_allclose(moved, fl.gaussian_kl(m, s, prior_mean=m0, reduction="none"), rtol=1e-14)


@every_dtype
def test_free_nats_floor_each_dimension(dtype: str, isa: str) -> None:
    m, s = draw("gaussian_kl", (50, 33), dtype)
    each = fl.gaussian_kl(m[..., None], s[..., None], reduction="none")
    got = fl.gaussian_kl(m, s, free_nats=0.25, reduction="none")
    np.testing.assert_allclose(got, np.maximum(each, 0.25).sum(axis=1, dtype=float), rtol=4 * EPS[dtype])
    for g, plain in zip(fl.gaussian_kl.grad(m, s, free_nats=0.25), fl.gaussian_kl.grad(m, s), strict=True):
        assert np.array_equal(g, np.where(each < 0.25, 0, plain))
    assert (each < 0.25).any()
    assert (each > 0.25).any()


def test_gaussian_nll_is_minus_the_log_of_the_density() -> None:
    x, t = RNG(0).normal(size=(2, 50))
    v = RNG(1).exponential(1.0, 50) + 0.01
    got = fl.gaussian_nll(x, t, v, full=True, reduction="none")
    for g, a, b, w in zip(got, x, t, v, strict=True):
        assert g == pytest.approx(float(-mp.log(mp.npdf(mpf(b), mpf(a), mp.sqrt(mpf(w))))), rel=1e-14, abs=1e-15)
    assert np.array_equal(2 * fl.gaussian_nll(x, t, 1.0, reduction="none"), fl.mse(x, t, reduction="none"))


def test_gaussian_nll_is_least_at_the_observed_variance() -> None:
    x = RNG(0).normal(0, 3, 101)
    best = float((x * x).mean())
    grad = fl.gaussian_nll.grad(np.zeros(101), x, best)[1]
    assert abs(grad) < 1e-15
    assert fl.gaussian_nll(np.zeros(101), x, best) < min(fl.gaussian_nll(np.zeros(101), x, best * f) for f in (0.99, 1.01))


# -- A shared variance, scalars: slopes are added ----------------------------------------------------


@every("dtype", ["float16", "float32", "float64"])
@every("form", ["scalar", "row", "column"])
def test_a_variance_per_row_or_for_all(form: str, dtype: str, isa: str) -> None:
    x, t = RNG(0).normal(size=(2, 9, 33)).astype(dtype)
    shape = {"scalar": (), "row": (9,), "column": (9, 1)}[form]
    v = np.asarray(RNG(1).uniform(0.5, 2, shape), dtype)
    full = np.broadcast_to(v.reshape(9, 1) if form == "row" else v, (9, 33)).copy()
    weight = RNG(2).uniform(0, 2, 9)
    assert np.array_equal(fl.gaussian_nll(x, t, v, reduction="none"), fl.gaussian_nll(x, t, full, reduction="none"))
    for one, each in (
        (fl.gaussian_nll.grad(x, t, v, sample_weight=weight), fl.gaussian_nll.grad(x, t, full, sample_weight=weight)),
        (fl.gaussian_nll.hess(x, t, v), fl.gaussian_nll.hess(x, t, full)),
    ):
        assert np.array_equal(one[0], each[0])
        assert one[1].shape == shape
        assert one[1].dtype == dtype
        added = each[1].sum(dtype=float) if form == "scalar" else each[1].astype(float).sum(axis=1).reshape(shape)
        scale = np.abs(each[1].astype(float)).sum()
        np.testing.assert_allclose(one[1], added, atol=float(scale) * np.finfo(dtype).eps)
    out = np.empty_like(x), np.empty(shape, dtype)
    grad = fl.gaussian_nll.grad(x, t, v, out=out)
    assert all(g is o for g, o in zip(grad, out, strict=True))
    assert all(np.array_equal(o, g) for o, g in zip(out, fl.gaussian_nll.grad(x, t, v), strict=True))


def test_scalars_beside_arrays_add_their_slopes() -> None:
    x = RNG(0).normal(size=65)
    for args in ((1.5, x), (x, 1.5)):
        grad, hess = fl.contrastive_divergence.grad_and_hess(*args, alpha=0.3, reduction="sum")
        spread = tuple(np.broadcast_to(a, 65).astype(float) for a in args)
        each, curves = fl.contrastive_divergence.grad_and_hess(*spread, alpha=0.3, reduction="sum")
        for a, g, e in (*zip(args, grad, each, strict=True), *zip(args, hess, curves, strict=True)):
            np.testing.assert_allclose(g, e if np.ndim(a) else e.sum(), rtol=1e-14)
            assert g.shape == np.shape(a)
    v = RNG(1).uniform(0.5, 2, 65)
    grad = fl.gaussian_nll.grad(0.5, -0.5, v, reduction="sum")
    assert grad[0].shape == ()
    assert grad[0] == pytest.approx((1 / v).sum(), rel=1e-14)
    np.testing.assert_allclose(grad[1], (0.5 / v - 0.5 / v**2), rtol=1e-13, atol=1e-15)
    assert all(g.shape == () for g in fl.gaussian_nll.grad(1.0, 0.0, 2.0))


def test_each_gradient_has_its_arguments_type() -> None:
    x = np.float32([0.5, 1.0])
    grad = fl.gaussian_nll.grad(x, x, np.float64([1.0, 2.0]))
    assert [g.dtype for g in grad] == [np.float32, np.float64]
    grad = fl.gaussian_nll.grad(x, x, [1, 2])
    assert [g.dtype for g in grad] == [np.float32, np.float64]
    assert fl.gaussian_nll(x, x, 2.0, reduction="none").dtype == np.float32  # a Python number is weak
    grad = fl.js_divergence.grad(np.float16([[0.5, 0.5]]), np.float32([[0.25, 0.75]]))
    assert [g.dtype for g in grad] == [np.float16, np.float32]


def test_a_clipped_variance_has_no_slope() -> None:
    v = np.array([0.0, 1e-7, 1e-6, 1e-5])
    x = np.full(4, 2e-3)  # not the root of any variance: there the gradient is 0 or a rounding error
    grad, hess = fl.gaussian_nll.grad_and_hess(x, 0.0, v, reduction="sum")
    assert list(grad[1] == 0) == list(hess[1] == 0) == [True, True, False, False]
    assert np.array_equal(grad[0][:2], grad[0][[2, 2]])
    raised = fl.gaussian_nll(x[:2], 0.0, [1e-6] * 2, reduction="none")
    assert np.array_equal(fl.gaussian_nll(x[:2], 0.0, v[:2], reduction="none"), raised)


# -- nan and infinity --------------------------------------------------------------------------------

log2 = math.log(2)
TABLE: list[tuple[str, tuple[Any, ...], float, tuple[Any, ...] | None]] = [
    ("gaussian_nll", (nan, 0.0, 1.0), nan, (nan, nan)),
    ("gaussian_nll", (0.0, nan, 1.0), nan, (nan, nan)),
    ("gaussian_nll", (0.0, 0.0, nan), nan, (nan, nan)),
    ("gaussian_nll", (inf, 0.0, 1.0), inf, (inf, -inf)),
    ("gaussian_nll", (-inf, 0.0, 1.0), inf, (-inf, -inf)),
    ("gaussian_nll", (inf, inf, 1.0), nan, (nan, nan)),
    ("gaussian_nll", (1.0, 0.0, inf), inf, (0.0, 0.0)),
    ("gaussian_nll", (1.0, 1.0, 0.0), math.log(1e-6) / 2, (0.0, 0.0)),
    ("contrastive_divergence", (nan, 0.0), nan, None),
    ("contrastive_divergence", (0.0, nan), nan, None),
    ("contrastive_divergence", (inf, 0.0), inf, (1.0, -1.0)),
    ("contrastive_divergence", (0.0, inf), -inf, (1.0, -1.0)),
    ("contrastive_divergence", (inf, inf), nan, None),
    ("js_divergence", ([nan, 0.5], [0.5, 0.5]), nan, ([nan, 0.0], [nan, 0.0])),
    ("js_divergence", ([nan, 0.5], [0.0, 0.5]), nan, ([nan, 0.0], [nan, 0.0])),
    ("js_divergence", ([0.5, 0.5], [0.0, nan]), nan, ([log2 / 2, nan], [-inf, nan])),
    ("js_divergence", ([0.0, 1.0], [0.0, 1.0]), 0.0, ([0.0, 0.0], [0.0, 0.0])),
    ("js_divergence", ([0.0, 1.0], [1.0, 0.0]), log2, ([-inf, log2 / 2], [log2 / 2, -inf])),
    ("js_divergence", ([0.0, 0.0], [0.0, 0.0]), 0.0, ([0.0, 0.0], [0.0, 0.0])),
    ("js_divergence", ([1e-30, 1.0], [1.0, 1e-30]), log2, ([math.log(2e-30) / 2, log2 / 2], [log2 / 2, math.log(2e-30) / 2])),
    ("js_divergence", ([inf, 1.0], [1.0, 1.0]), nan, None),
    ("gaussian_kl", ([nan, 0.0], [0.0, 0.0]), nan, ([nan, 0.0], [0.0, 0.0])),
    ("gaussian_kl", ([0.0, 0.0], [0.0, nan]), nan, ([0.0, 0.0], [0.0, nan])),
    ("gaussian_kl", ([inf, 0.0], [0.0, 0.0]), inf, ([inf, 0.0], [0.0, 0.0])),
    ("gaussian_kl", ([-inf, 0.0], [0.0, 0.0]), inf, ([-inf, 0.0], [0.0, 0.0])),
    ("gaussian_kl", ([0.0, 0.0], [inf, 0.0]), inf, ([0.0, 0.0], [inf, 0.0])),
    ("gaussian_kl", ([0.0, 0.0], [-inf, 0.0]), inf, ([0.0, 0.0], [-0.5, 0.0])),
]


@every_dtype
@every("row", TABLE, lambda r: f"{r[0]}{r[1]}")
def test_nan_and_infinity(row: tuple[str, tuple[Any, ...], float, Any], dtype: str, isa: str) -> None:
    """The special sample sits among 70 ordinary ones, which must not notice."""
    name, special, value, slopes = row
    loss = fl.LOSSES[name]
    args = [np.full((71, *np.shape(a)), 0.5, dtype) for a in special]
    clean = loss(*args, reduction="none")
    for at in (0, 33, 70):
        for a, s in zip(args, special, strict=True):
            a[at] = s
    got = loss(*args, reduction="none")
    np.testing.assert_allclose(got[[0, 33, 70]], value, rtol=1e-6)
    others = np.delete(np.arange(71), [0, 33, 70])
    assert np.array_equal(got[others], clean[others])
    grads = as_tuple(loss.grad(*args, reduction="sum"))
    for g in grads:
        assert np.isfinite(g[others]).all()
    for g, s in zip(grads, slopes or (), strict=False):
        np.testing.assert_allclose(g[[0, 33, 70]], [s] * 3, rtol=1e-6)


# -- Bad input ---------------------------------------------------------------------------------------


@every("bad", [-1e-7, -1.0, -inf])
@pytest.mark.parametrize(
    ("name", "argument"), [("kl_div", "target"), ("js_divergence", "p"), ("js_divergence", "q"), ("gaussian_nll", "variance")]
)
def test_below_zero(name: str, argument: str, bad: float, isa: str) -> None:
    """Refused by every method, naming the place; the caller's buffers stay as they were."""
    loss = fl.LOSSES[name]
    for shape, at in (((3, 35), (1, 30)), ((20_011, 9), (20_010, 8)), ((2, 10_000), (1, 9_999))):
        args = [np.full(shape, 0.5, np.float32) for _ in loss.arrays]
        args[loss.arrays.index(argument)][at] = bad
        for axis in (None, 0) if "axis" in loss.options else (None,):
            options = {} if axis is None else {"axis": axis}
            for method in methods(loss):
                with refused(ValueError, name, argument, ">= 0", rf"at index \({at[0]}, {at[1]}\)"):
                    method(*args, **options)
            out = tuple(np.full(shape, 7, np.float32) for _ in loss.wrt)
            with pytest.raises(ValueError, match=argument):
                loss.grad(*args, **options, out=out)
            assert all((o == 7).all() for o in out)


@pytest.mark.parametrize("shape", [(5,), (6, 2), (3, 6), (1, 6)], ids=str)
def test_variance_of_the_wrong_shape(shape: tuple[int, ...]) -> None:
    with refused(ValueError, "gaussian_nll", "variance", r"\(6, 5\)", re_of(shape)):
        fl.gaussian_nll(np.zeros((6, 5)), np.zeros((6, 5)), np.ones(shape))


def re_of(shape: tuple[int, ...]) -> str:
    return str(shape).replace("(", r"\(").replace(")", r"\)")


@every("name", ["gaussian_nll", "contrastive_divergence", "js_divergence", "gaussian_kl"])
def test_two_buffers(name: str, isa: str) -> None:
    """Both are looked at: number, shape, type, memory apart from inputs and from one another."""
    loss = fl.LOSSES[name]
    args, _ = loss.sample(RNG(0), size=67)
    right = loss.grad(*args)
    first, second = (np.zeros_like(g) for g in right)
    for out in ((first,), first, (first, second, second), [first, second]):
        with refused((ValueError, TypeError), name, "out"):
            loss.grad(*args, out=out)
    for wrong in (second[:-1], second.astype(np.float64), second.tolist()):
        with refused((ValueError, TypeError), name, "out"):
            loss.grad(*args, out=(first, wrong))
    with refused(ValueError, name, "out", "apart from one another"):
        loss.grad(*args, out=(first, first))
    both = np.zeros((len(first) + 1, *first.shape[1:]), first.dtype)
    with refused(ValueError, name, "out", "apart from one another"):
        loss.grad(*args, out=(both[1:], both[:-1]))
    shifted = np.concatenate([args[1], args[1][:1]])
    with refused(ValueError, name, "out", "overlaps an input"):
        loss.grad(args[0], shifted[:-1], *args[2:], out=(first, shifted[1:]))


@every("dtype", ["float16", "float32", "float64"])
@every("size", [3, 67, 20_011])
@every("name", ["gaussian_nll", "contrastive_divergence", "js_divergence", "gaussian_kl"])
def test_gradients_in_the_place_of_the_arguments(name: str, size: int, dtype: str, isa: str) -> None:
    """The buffers may be the arguments themselves, exchanged too."""
    loss = fl.LOSSES[name]
    args = tuple(a.astype(dtype) for a in loss.sample(RNG(0), size=size)[0])
    value, right = loss.value_and_grad(*args)
    places = [loss.arrays.index(argument) for argument in loss.wrt]
    for order in (places, places[::-1]):
        own = [a.copy() for a in args]
        out = tuple(own[k] for k in order)
        got, grad = loss.value_and_grad(*own, out=out)
        assert got == value
        assert all(g is o for g, o in zip(grad, out, strict=True))
        assert all(np.array_equal(o, r) for o, r in zip(out, right, strict=True))


@every("axis", [0, 1, -1])
def test_gradients_in_place_along_any_axis(axis: int, isa: str) -> None:
    for shape in ((50, 3), (3, 5000), (5000, 3)):
        m, s = draw("gaussian_kl", shape, "float32")
        right = fl.gaussian_kl.grad(m, s, axis=axis)
        fl.gaussian_kl.grad(m, s, axis=axis, out=(s, m))
        assert np.array_equal(s, right[0])
        assert np.array_equal(m, right[1])

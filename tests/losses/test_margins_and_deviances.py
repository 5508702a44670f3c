"""Promise: the pointwise losses' relations, domains and extremes, which their samplers do not reach."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

import numpy as np
import oracle
import pytest
from cases import every_dtype
from matrix import every
from mpmath import mp, mpf

import fastloss as fl

MARGINS = ("hinge", "squared_hinge", "perceptron", "soft_margin", "exponential")
RNG = np.random.default_rng(0)
A, B = RNG.normal(0, 3, (2, 403))
SIGN = np.where(B > 0, 1.0, -1.0)
POSITIVE = np.exp(B)
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}


def none(loss: fl.Loss, *args: Any, **options: Any) -> np.ndarray:
    return loss(*args, reduction="none", **options)


def methods(loss: fl.Loss) -> list[Any]:
    return [loss, loss.terms, loss.grad, loss.value_and_grad, loss.hess, loss.grad_and_hess]


def close(a: Any, b: Any, rtol: float = 1e-13, atol: float = 0.0) -> None:
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


# -- Relations ---------------------------------------------------------------------------------------


def test_log_cosh_lies_between_half_the_square_and_the_size_less_log_2() -> None:
    value, e = none(fl.log_cosh, A, B), np.abs(A - B)
    assert (value <= e**2 / 2).all()
    assert (value >= e - math.log(2.0) - 1e-15 * e).all()
    assert (value <= e).all()


def test_half_quantile_is_half_the_absolute_error() -> None:
    for method in ("grad", "hess"):
        assert np.array_equal(2 * getattr(fl.quantile, method)(A, B), getattr(fl.mae, method)(A, B))
    assert np.array_equal(2 * none(fl.quantile, A, B), none(fl.mae, A, B))


def test_half_expectile_is_half_the_squared_error() -> None:
    for method in ("grad", "hess"):
        assert np.array_equal(2 * getattr(fl.expectile, method)(A, B), getattr(fl.mse, method)(A, B))
    assert np.array_equal(2 * none(fl.expectile, A, B), none(fl.mse, A, B))


@pytest.mark.parametrize(("loss", "option", "share"), [(fl.quantile, "q", 0.8), (fl.expectile, "tau", 0.8)])
def test_both_sides_add_up(loss: fl.Loss, option: str, share: float) -> None:
    """share and 1 - share: together the symmetric loss."""
    both = none(loss, A, B, **{option: share}) + none(loss, A, B, **{option: 1 - share})
    close(both, none(fl.mae if loss is fl.quantile else fl.mse, A, B), rtol=1e-15)


def test_least_mean_quantile_is_the_quantile() -> None:
    grid = np.linspace(-3, 3, 601)
    for q in (0.1, 0.5, 0.9):
        best = grid[np.argmin([fl.quantile(p, B, q=q) for p in grid])]
        assert best == pytest.approx(np.quantile(B, q, method="inverted_cdf"), abs=0.011) or abs(best) == 3


def test_pseudo_huber_becomes_half_the_square_and_the_size() -> None:
    close(none(fl.pseudo_huber, A, B, delta=1e9), none(fl.mse, A, B) / 2, rtol=1e-14)
    close(none(fl.pseudo_huber, A, B, delta=1e-9) / 1e-9, none(fl.mae, A, B), rtol=1e-5)
    assert (none(fl.pseudo_huber, A, B) <= none(fl.huber, A, B)).all()


def test_focal_without_gamma_is_binary_cross_entropy() -> None:
    t = RNG.uniform(0, 1, 403)
    for method in ("grad", "hess"):
        got = getattr(fl.sigmoid_focal, method)(A, t, gamma=0.0, alpha=None)
        close(got, getattr(fl.binary_cross_entropy_with_logits, method)(A, t), rtol=1e-12, atol=1e-17)
    close(none(fl.sigmoid_focal, A, t, gamma=0.0, alpha=None), none(fl.binary_cross_entropy_with_logits, A, t), rtol=1e-14)


def test_focal_alpha_weighs_the_labels() -> None:
    t = (B > 0).astype(float)
    plain, weighed = (none(fl.sigmoid_focal, A, t, gamma=1.7, alpha=a) for a in (None, 0.8))
    close(weighed, np.where(t == 1, 0.8, 1 - 0.8) * plain, rtol=1e-15)


def test_focal_of_gamma_2_by_both_routes() -> None:
    """The square, and the power at a gamma next to 2."""
    t = (B > 0).astype(float)
    near = np.nextafter(2.0, 3.0)
    for dtype in ("float32", "float64"):
        x, y = A.astype(dtype), t.astype(dtype)
        close(none(fl.sigmoid_focal, x, y), none(fl.sigmoid_focal, x, y, gamma=near), rtol=32 * EPS[dtype])
        for a, b in zip(fl.sigmoid_focal.grad_and_hess(x, y), fl.sigmoid_focal.grad_and_hess(x, y, gamma=near), strict=True):
            close(a, b, rtol=2e-6 if dtype == "float32" else 1e-12, atol=EPS[dtype])


def test_focal_never_exceeds_cross_entropy() -> None:
    t = (B > 0).astype(float)
    plain = none(fl.binary_cross_entropy_with_logits, A, t)
    for gamma in (0.5, 1.0, 2.0, 7.0):
        assert (none(fl.sigmoid_focal, A, t, gamma=gamma, alpha=None) <= plain * (1 + 1e-15)).all()


def test_hinge_without_margin_is_the_perceptron() -> None:
    assert np.array_equal(none(fl.hinge, A, SIGN, margin=0.0), none(fl.perceptron, A, SIGN))
    assert np.array_equal(fl.hinge.grad(A, SIGN, margin=0.0), fl.perceptron.grad(A, SIGN))


def test_squared_hinge_is_the_square_of_hinge() -> None:
    close(none(fl.squared_hinge, A, SIGN), none(fl.hinge, A, SIGN) ** 2, rtol=1e-15)


def test_soft_margin_is_binary_cross_entropy_of_other_labels() -> None:
    close(none(fl.soft_margin, A, SIGN), none(fl.binary_cross_entropy_with_logits, A, (SIGN + 1) / 2), rtol=1e-15)
    close(fl.soft_margin.grad(A, SIGN), fl.binary_cross_entropy_with_logits.grad(A, (SIGN + 1) / 2), rtol=1e-14)


def test_surrogates_lie_above_the_error_they_stand_for() -> None:
    wrong = (A * SIGN <= 0).astype(float)
    for loss in (fl.hinge, fl.squared_hinge, fl.exponential):
        assert (none(loss, A, SIGN) >= wrong).all()
    assert (none(fl.soft_margin, A, SIGN) / math.log(2) >= wrong).all()


@pytest.mark.parametrize("name", MARGINS)
def test_margin_losses_see_only_the_product(name: str) -> None:
    loss = fl.LOSSES[name]
    assert np.array_equal(none(loss, A, SIGN), none(loss, -A, -SIGN))
    assert np.array_equal(loss.grad(A, SIGN), -loss.grad(-A, -SIGN))


@pytest.mark.parametrize("name", ["value", "grad", "hess"])
@pytest.mark.parametrize(
    ("power", "beside"), [(1.0, 1 + 1e-9), (2.0, 2 - 1e-9), (2.0, 2 + 1e-9), (1.5, 1.5 + 1e-9), (1.5, 1.5 - 1e-9)]
)
def test_tweedie_is_continuous_in_its_power(power: float, beside: float, name: str) -> None:
    """At its limits, and at 1.5, which has a kernel of its own."""

    def at(k: float) -> np.ndarray:
        call = fl.tweedie if name == "value" else getattr(fl.tweedie, name)
        return call(A / 3, POSITIVE, power=k, reduction="none")

    close(at(beside), at(power), rtol=1e-5, atol=1e-7)


def test_tweedie_at_its_limits() -> None:
    close(none(fl.tweedie, A, B, power=0), (np.exp(A) - B) ** 2 / 2, rtol=1e-13)
    assert np.array_equal(none(fl.tweedie, A, POSITIVE, power=2), none(fl.gamma, A, POSITIVE))
    poisson = none(fl.poisson_nll, A, POSITIVE) + POSITIVE * np.log(POSITIVE) - POSITIVE
    scale = np.exp(A) + POSITIVE * (1 + np.abs(A) + np.abs(np.log(POSITIVE)))
    assert (np.abs(none(fl.tweedie, A, POSITIVE, power=1) - poisson) <= 1e-14 * scale).all()
    close(fl.tweedie.grad(A, POSITIVE, power=1), fl.poisson_nll.grad(A, POSITIVE), rtol=1e-14)


@pytest.mark.parametrize("power", [0.0, 1.0, 1.01, 1.5, 1.9, 2.0, 2.5, 3.0, 6.0])
def test_deviances_are_least_at_the_target(power: float) -> None:
    log = np.log(POSITIVE)
    assert (none(fl.tweedie, log, POSITIVE, power=power) <= 1e-28 * (1 + POSITIVE ** (2 - power)) * (1 + log**2)).all()
    for step in (-1e-3, 1e-3, 2.0, -2.0):
        assert (none(fl.tweedie, log + step, POSITIVE, power=power) > 0).all()
    assert (none(fl.tweedie, A, POSITIVE, power=power) >= 0).all()


@every_dtype
@every("power", [1.0, 1.25, 1.5, 1.75])
def test_tweedie_of_target_zero(power: float, dtype: str, isa: str) -> None:
    """exp((2 - k) p) / (2 - k), and its derivatives."""
    p, k = np.linspace(-20, 20, 77).astype(dtype), 2.0 - power
    truth = np.exp(k * p.astype(float))
    tolerance = 4 * EPS[dtype] + 1e-14
    close(none(fl.tweedie, p, np.zeros_like(p), power=power), truth / k, rtol=tolerance)
    grad, hess = fl.tweedie.grad_and_hess(p, np.zeros_like(p), power=power, reduction="sum")
    close(grad, truth, rtol=tolerance)
    close(hess, k * truth, rtol=tolerance)


def test_poisson_nll_full_approaches_the_likelihood() -> None:
    counts = np.array([2.0, 10.0, 100.0, 1000.0])
    exact = np.exp(1.0) - counts + [math.lgamma(k + 1) for k in counts]
    error = none(fl.poisson_nll, np.ones(4), counts, full=True) - exact
    assert (error < 0).all()
    close(error, -1 / (12 * counts), rtol=0.02)


def test_poisson_nll_of_rates_is_that_of_their_logarithms() -> None:
    counts = np.round(POSITIVE)
    for full in (False, True):
        a = none(fl.poisson_nll, A, counts, full=full)
        b = none(fl.poisson_nll, np.exp(A), counts, log_input=False, eps=0.0, full=full)
        scale = np.exp(A) + counts * (np.abs(A) + np.log(np.maximum(counts, 1)) + 1)
        assert (np.abs(a - b) <= 1e-14 * scale).all()


def test_stirling_starts_above_one() -> None:
    t = np.array([0.0, 0.5, 1.0, np.nextafter(1.0, 2.0)])
    for log_input in (False, True):
        more = [none(fl.poisson_nll, np.ones(4), t, full=f, log_input=log_input) for f in (True, False)]
        close(more[0] - more[1], [0, 0, 0, 0.5 * math.log(2 * math.pi) - 1], atol=1e-15)


# -- Kinks -------------------------------------------------------------------------------------------


@every_dtype
def test_subgradients_at_kinks(dtype: str, isa: str) -> None:
    one, zero = np.ones(17, dtype), np.zeros(17, dtype)
    assert not fl.hinge.grad(one, one).any()
    assert not fl.hinge.grad(-one, -one).any()
    assert not fl.squared_hinge.hess(one, one).any()
    assert not fl.perceptron.grad(zero, one).any()
    assert not fl.quantile.grad(one, one, q=0.9).any()
    assert not fl.mape.grad(one, one).any()
    close(fl.expectile.hess(one, one, tau=0.75, reduction="sum"), 1.5 * one)
    for loss in (fl.hinge, fl.perceptron, fl.quantile, fl.mape):
        assert not loss.hess(zero + 3, one).any()


def test_zero_is_not_negative() -> None:
    one = np.ones(9)
    for value in (
        *(none(loss, one, one) for loss in (fl.quantile, fl.expectile, fl.mape, fl.log_cosh, fl.pseudo_huber, fl.msle)),
        *(none(fl.hinge, 2 * s * one, s * one) for s in (1, -1)),
        *(none(fl.perceptron, 0 * s * one, t * one) for s in (1, -1) for t in (1, -1)),
        none(fl.sigmoid_focal, [np.inf, -np.inf], [1.0, 0.0]),
        none(fl.gamma, 0 * one, one),
    ):
        assert not value.any()
        assert not np.signbit(value).any()


# -- Domains -----------------------------------------------------------------------------------------


@every("name", MARGINS)
def test_labels_are_minus_one_or_one(name: str, isa: str) -> None:
    loss = fl.LOSSES[name]
    for dtype in (np.float32, np.float64, np.float16, np.int8, np.int64):
        for bad in (0, 2, -2, 0.5, math.inf):
            if np.dtype(dtype).kind == "i" and bad != int(min(bad, 9)):
                continue
            t = np.ones((3, 35), dtype)
            t[0] = -1
            t[1, 30] = bad
            t[2, 5] = 0
            text = rf"{name}: target: expected labels -1 or 1 .*2 \* t - 1.*, got {bad}(\.0)? at index \(1, 30\)"
            for method in methods(loss):
                with pytest.raises(ValueError, match=text):
                    method(np.zeros((3, 35), np.float32), t)
            out = np.full((3, 35), 7, np.float32)
            with pytest.raises(ValueError, match=re.escape("(1, 30)")):
                loss.grad(np.zeros((3, 35), np.float32), t, out=out)
            assert (out == 7).all()


@pytest.mark.parametrize("name", MARGINS)
def test_labels_of_other_kinds(name: str) -> None:
    loss = fl.LOSSES[name]
    with pytest.raises(ValueError, match=rf"{name}: target: expected labels -1 or 1 .*got bools"):
        loss(np.zeros(3), np.array([True, True, True]))
    for dtype in (np.uint8, np.uint64):
        assert loss(np.ones(3), np.ones(3, dtype)) == loss(np.ones(3), np.ones(3))
        with pytest.raises(ValueError, match=r"got \d+ at index \(1,\)"):
            loss(np.ones(3), np.array([1, -1, 1]).astype(dtype))  # 255, or 2^64 - 1
    for dtype in (np.int8, np.int32, np.float16):
        assert loss(np.ones(2), np.array([1, -1], dtype)) == loss(np.ones(2), np.array([1.0, -1.0]))
    assert loss(np.array([0.5, -2.0]), 1) == loss(np.array([0.5, -2.0]), np.ones(2))
    assert math.isnan(loss(np.ones(2), np.array([1.0, np.nan])))


@every("size", [1, 15, 16, 17, 4097])
@every("name", MARGINS)
def test_a_bad_label_in_the_last_lane(name: str, size: int, isa: str) -> None:
    t = np.ones(size, np.float32)
    assert np.isfinite(fl.LOSSES[name](t, t))
    t[-1] = 0
    with pytest.raises(ValueError, match=rf"at index \({size - 1},\)"):
        fl.LOSSES[name](np.ones(size, np.float32), t)


TINY = 5e-324
OUTSIDE = [
    ("gamma", {}, "target", "> 0", (0.0, -TINY, -1.0, -math.inf)),
    ("tweedie", {"power": 2.0}, "target", "> 0", (0.0, -1.0)),
    ("tweedie", {"power": 3.0}, "target", "> 0", (0.0, -1.0)),
    ("tweedie", {}, "target", ">= 0", (-TINY, -1.0, -math.inf)),
    ("tweedie", {"power": 1.25}, "target", ">= 0", (-TINY, -1.0)),
    ("tweedie", {"power": 1.0}, "target", ">= 0", (-TINY, -1.0)),
    ("poisson_nll", {}, "target", ">= 0", (-TINY, -1.0)),
    ("poisson_nll", {"full": True}, "target", ">= 0", (-TINY, -1.0)),
    ("poisson_nll", {"log_input": False}, "target", ">= 0", (-TINY, -1.0)),
    ("poisson_nll", {"log_input": False}, "prediction", ">= 0", (-TINY, -1.0, -math.inf)),
    ("poisson_nll", {"log_input": False, "full": True}, "prediction", ">= 0", (-TINY, -1.0)),
    ("msle", {}, "prediction", "> -1", (-1.0, -2.0, -math.inf)),
    ("msle", {}, "target", "> -1", (-1.0, -2.0, -math.inf)),
    ("sigmoid_focal", {}, "target", r"\[0, 1\]", (-TINY, 1.0000001, -1.0, 2.0, math.inf)),
    ("sigmoid_focal", {"gamma": 1.7}, "target", r"\[0, 1\]", (-TINY, 2.0)),
]


@pytest.mark.parametrize(("name", "options", "argument", "domain", "values"), OUTSIDE, ids=lambda v: str(v)[:40])
@every_dtype
def test_outside_the_domain(
    name: str, options: dict[str, Any], argument: str, domain: str, values: tuple[float, ...], dtype: str, isa: str
) -> None:
    loss = fl.LOSSES[name]
    for bad in values:
        if bad == -TINY and dtype == "float32":
            bad = -(2.0**-149)
        args = {"prediction": np.full((3, 35), 0.5, dtype), "target": np.full((3, 35), 0.5, dtype)}
        key = argument
        args[key][1, 30] = bad
        for method in methods(loss):
            with pytest.raises(
                ValueError, match=rf"{name}: {argument}: expected .*{domain}(?: \(.+\))?, got .* at index \(1, 30\)"
            ):
                method(*args.values(), **options)
        out = np.full((3, 35), 7, dtype)
        with pytest.raises(ValueError, match=argument):
            loss.grad(*args.values(), **options, out=out)
        assert (out == 7).all()


@every_dtype
def test_the_edges_of_domains_are_inside(dtype: str, isa: str) -> None:
    least = np.finfo(dtype).smallest_subnormal
    above = np.nextafter(np.array(-1, dtype), np.array(0, dtype))
    one = np.ones(3, dtype)
    assert np.isfinite(fl.gamma(one, one * least))
    assert np.isfinite(fl.msle(one * above, one))
    assert np.isfinite(fl.msle(one, one * above))
    for options in ({"power": 1.0}, {"power": 1.25}, {}):
        assert np.isfinite(fl.tweedie(one, 0 * one, **options))
    assert np.isfinite(fl.tweedie(-one, -one, power=0))
    assert np.isfinite(fl.poisson_nll(0 * one, one, log_input=False))


# -- Extremes ----------------------------------------------------------------------------------------


@cache
def errors(dtype: str) -> np.ndarray:
    """Every magnitude and sign, and a dense middle."""
    top = 37 if dtype == "float32" else 300
    size = np.concatenate([np.logspace(-min(top, 40), top, 200), np.linspace(0, 3, 301), np.linspace(3, 100, 60)])
    return np.concatenate([size, -size]).astype(dtype)


def against_truth(name: str, x: np.ndarray, t: np.ndarray, dtype: str, **options: Any) -> None:
    got = none(fl.LOSSES[name], x, t, **options)
    scale = oracle.value_scale(name, (x, t), options, dtype)
    oracle.assert_ulps(got, truth(name, x, t, options), dtype, fl.LOSSES[name].ulp[dtype], f"{name} {options}: ", scale)


def truth(name: str, x: np.ndarray, t: np.ndarray, options: dict[str, Any], order: int = 0) -> oracle.Exact:
    return _truth(name, x.tobytes(), t.tobytes(), x.dtype.name, tuple(options.items()), order)


@cache
def _truth(name: str, x: bytes, t: bytes, dtype: str, options: tuple[Any, ...], order: int) -> oracle.Exact:
    return oracle.pointwise_truth(name, (np.frombuffer(x, dtype), np.frombuffer(t, dtype)), dict(options), 0, order)


@every_dtype
@every("delta", [1.0, 0.25, 2.0**20])
def test_pseudo_huber_at_every_magnitude(delta: float, dtype: str, isa: str) -> None:
    e = errors(dtype)
    if dtype == "float32":
        e = e[np.abs(e) < 1e30]  # times delta
    with mp.workprec(4000):
        against_truth("pseudo_huber", e, np.zeros_like(e), dtype, delta=delta)
    big = np.array([1e30, 3e38], np.float32)
    assert np.isfinite(none(fl.pseudo_huber, big, 0 * big)).all()
    assert np.array_equal(fl.pseudo_huber.grad(big, 0 * big, reduction="sum"), np.ones(2, np.float32))


@every_dtype
def test_log_cosh_at_every_magnitude(dtype: str, isa: str) -> None:
    e = errors(dtype)
    with mp.workprec(4000):
        against_truth("log_cosh", e, np.zeros_like(e), dtype)


@every_dtype
def test_soft_margin_at_every_magnitude(dtype: str, isa: str) -> None:
    e = errors(dtype)
    against_truth("soft_margin", e, np.ones_like(e), dtype)


@every_dtype
def test_msle_of_neighbours_and_of_the_edge(dtype: str, isa: str) -> None:
    t = np.concatenate([np.logspace(-30, 30, 61), -np.logspace(-30, -0.01, 61), np.linspace(-0.999, 0, 40)]).astype(dtype)
    p = np.nextafter(t, t + 1)
    against_truth("msle", p, t, dtype)
    against_truth("msle", np.full_like(t, np.nextafter(np.array(-1, dtype), np.array(0, dtype))), t, dtype)


@every_dtype
def test_gamma_next_to_its_optimum_and_far_off(dtype: str, isa: str) -> None:
    """Targets 1, whose logarithm is exactly 0."""
    far = np.linspace(-80, 80, 161) if dtype == "float32" else np.linspace(-600, 600, 161)
    p = np.concatenate([np.logspace(-12, 1, 200), -np.logspace(-12, 1, 200), np.linspace(-3, 3, 301), far]).astype(dtype)
    with mp.workprec(400):
        against_truth("gamma", p, np.ones_like(p), dtype)
        against_truth("tweedie", p, np.ones_like(p), dtype, power=1.0)


@every("power", [0.0, 1.0, 1.25, 1.5, 1.75, 2.0])
def test_float32_deviances_next_to_their_optimum(power: float, isa: str) -> None:
    """The float nearest to the target's logarithm: what is left is a rounding, and has its digits (a double's)."""
    t = np.exp(RNG.normal(0, 4, 501)).astype(np.float32)
    p = np.log(t.astype(np.float64)).astype(np.float32)
    against_truth("tweedie", p, t, "float32", power=power)


@every("power", [1.0, 1.01, 1.25, 1.5, 1.75, 1.99, 2.0, 2.01, 2.5, 3.0])
@every_dtype
def test_deviances_far_from_their_optimum(power: float, dtype: str, isa: str) -> None:
    """Each part alone may pass the largest number, or vanish."""
    edge = 60.0 if dtype == "float32" else 300.0
    p, log = (g.ravel() for g in np.meshgrid(np.linspace(-edge, edge, 21), np.linspace(-edge, edge, 21) / 1.5))
    p, t = p.astype(dtype), np.exp(log).astype(dtype)
    got = none(fl.tweedie, p, t, power=power)
    exact = truth("tweedie", p, t, {"power": power})
    scale = oracle.value_scale("tweedie", (p, t), {"power": power}, dtype)
    with np.errstate(over="ignore"):
        inside = np.abs(exact.hi) < np.finfo(dtype).max / 4
    scale = np.broadcast_to(np.where(np.isfinite(scale), scale, 0.0), exact.hi.shape)
    exact = oracle.Exact(exact.hi[inside], exact.lo[inside])
    oracle.assert_ulps(got[inside], exact, dtype, 4 if dtype == "float32" else 8, scale=scale[inside])
    assert inside.sum() > 200


# -- The focal loss from -800 to 800 -----------------------------------------------------------------


@cache
def focal_truth(label: float, gamma: float, dtype: str) -> tuple[np.ndarray, list[oracle.Exact], np.ndarray]:
    """Logits, [value, gradient, Hessian] from closed forms in mpmath, and the scale of the Hessian's terms."""
    x = np.concatenate([np.linspace(-800, 800, 401), np.linspace(-8, 8, 321), [-745.2, -103.9, 36.7, 88.7, 708.4]]).astype(dtype)
    found: list[list[mpf]] = [[], [], [], []]
    side = 1 if label == 1 else -1
    weight = mpf(0.25) if label == 1 else mpf(0.75)
    g = mpf(gamma)
    for v in x:
        y = side * mpf(float(v))
        p, s, log = 1 / (1 + mp.exp(-y)), 1 / (1 + mp.exp(y)), mp.log1p(mp.exp(-y))
        power = weight * s**g
        found[0].append(power * log)
        found[1].append(-side * power * (g * p * log + s))
        found[2].append(power * p * (s * (1 + 2 * g) + g * log * (g * p - s)))
        found[3].append(power * p * (s * (1 + 2 * g) + g * log * (g * p + s)))
    columns = [np.array(column, dtype=object) for column in found]
    return x, [oracle.Exact.of(column) for column in columns[:3]], columns[3].astype(np.float64)


def test_focal_closed_forms_are_the_derivatives() -> None:
    for label, gamma in ((1.0, 2.0), (0.0, 1.7)):
        x, (_, grad, hess), _ = focal_truth(label, gamma, "float64")
        some = np.flatnonzero(np.abs(x) < 30)[::20]  # where mp.diff has the digits
        t = np.full_like(x[some], label)
        for order, closed in ((1, grad), (2, hess)):
            close(truth("sigmoid_focal", x[some], t, {"gamma": gamma}, order).hi, closed.hi[some], rtol=1e-14)


@every_dtype
@every("gamma", [0.0, 0.5, 1.0, 1.7, 2.0, 3.5, 10.0])
@every("label", [1.0, 0.0])
def test_focal_from_minus_800_to_800(label: float, gamma: float, dtype: str, isa: str) -> None:
    """Finite everywhere, right in every digit; 0 only where the truth is too small for the type (in float64, where a factor of
    it is: the last of the denormal numbers)."""
    x, (value, grad, hess), terms = focal_truth(label, gamma, dtype)
    t = np.full_like(x, label)
    oracle.assert_ulps(none(fl.sigmoid_focal, x, t, gamma=gamma), value, dtype, 4 if dtype == "float32" else 8)
    got = fl.sigmoid_focal.grad_and_hess(x, t, gamma=gamma, reduction="sum")
    assert all(np.isfinite(g).all() for g in got)
    tolerance = 1e-6 if dtype == "float32" else 1e-13
    oracle.assert_derivative(got[0], grad, dtype, tolerance, np.abs(grad.hi), "gradient: ")
    oracle.assert_derivative(got[1], hess, dtype, tolerance, terms, "Hessian: ")
    least = 2.0**-148 if dtype == "float32" else 2.0**-1050
    for g, exact in zip(got, (grad, hess), strict=True):
        assert (g[np.abs(exact.hi) > least] != 0).all()


def test_focal_hessian_changes_its_sign_once_for_each_label() -> None:
    x = np.linspace(-30, 30, 6001)
    for label in (0.0, 1.0):
        sign = np.sign(fl.sigmoid_focal.hess(x, np.full_like(x, label)))
        assert (np.diff(sign) != 0).sum() == 1
        assert sign[0 if label == 1 else -1] == -1


@every_dtype
def test_exponential_saturates(dtype: str, isa: str) -> None:
    """Infinite past the largest number, 0 past the least, the last numbers before that right."""
    edge = math.log(float(np.finfo(dtype).max))
    s = np.array([-1.001 * edge, -0.999 * edge, 0.999 * edge, 1e4], dtype)
    value, grad = fl.exponential.value_and_grad(s, np.ones_like(s), reduction="none")
    assert np.isposinf(value[0])
    assert np.isneginf(grad[0])
    assert value[3] == 0
    close(value[1:3], np.exp(-s[1:3].astype(np.longdouble)).astype(float), rtol=1e-6 if dtype == "float32" else 1e-15)
    assert np.isposinf(fl.exponential(s, np.ones_like(s)))


@pytest.mark.parametrize("eps", [1e-60, 1e-3])
def test_mape_with_a_tiny_floor(eps: float) -> None:
    """An eps that no float32 holds does not make 0 / 0 of an exact prediction."""
    z = np.zeros(3, np.float32)
    assert fl.mape(z, z, eps=eps) == 0
    assert not fl.mape.grad(z, z, eps=eps).any()

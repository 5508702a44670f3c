"""Losses of scores and a label: their relations, their limits, and the tails where the textbook's difference is 0 - 0."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from cases import ENERGY_KINDS, THREADS, every_dtype
from conftest import Note, at_each_level
from matrix import every
from refusals import refused

import fastloss as fl

inf, nan = math.inf, math.nan
LINKS = ("logit", "probit", "cloglog")
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
every_link = every("link", LINKS)
every_kind = every("kind", ["nll", *ENERGY_KINDS])


def scores(rows: int = 205, columns: int = 7, spread: float = 3.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, spread, (rows, columns)), rng.integers(0, columns, rows)


def difference(loss: Any, x: np.ndarray, *rest: Any, **options: Any) -> np.ndarray:
    """The gradient of the sum by central differences."""
    grad = np.empty(x.shape)
    for at in np.ndindex(x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[at] += 1e-6
        behind[at] -= 1e-6
        grad[at] = (loss(ahead, *rest, **options) - loss(behind, *rest, **options)) / 2e-6
    return grad


# -- multiclass_hinge ----------------------------------------------------------------------------------------------


@every("p", [1, 2])
@every("margin", [0.5, 1.0, 4.0])
@every_dtype
def test_multiclass_hinge_is_a_maximum_and_a_mean(margin: float, p: int, dtype: str, isa: str) -> None:
    """Row by row, class by class; the gradient goes to the first of the strongest rivals and to the label."""
    x, y = scores()
    x = np.round(x * 2).astype(dtype) / 2  # ties and kinks, exactly
    values = {"crammer_singer": [], "weston_watkins": []}
    grads: dict[str, list[np.ndarray]] = {"crammer_singer": [], "weston_watkins": []}
    for row, label in zip(x, y, strict=True):
        h = [max(0.0, margin - row[label] + s) if j != label else 0.0 for j, s in enumerate(row)]
        slope = [p * v ** (p - 1) if v > 0 else 0.0 for v in h]
        values["crammer_singer"].append(max(h) ** p)
        values["weston_watkins"].append(sum(v**p for v in h) / len(h))
        best = max((j for j in range(len(row)) if j != label), key=lambda j: (row[j], -j))
        own, all_ = np.zeros(len(row)), np.array(slope) / len(row)
        own[best], own[label] = slope[best], -slope[best]
        all_[label] = -all_.sum()
        grads["crammer_singer"].append(own)
        grads["weston_watkins"].append(all_)
    for kind, expected in values.items():
        options: dict[str, Any] = {"kind": kind, "margin": margin, "p": p}
        np.testing.assert_allclose(fl.multiclass_hinge(x, y, reduction="none", **options), expected, rtol=1e-6)
        got = fl.multiclass_hinge.grad(x, y, reduction="sum", **options)
        np.testing.assert_allclose(got, grads[kind], rtol=1e-6, atol=1e-12)


def test_two_classes_are_a_binary_hinge() -> None:
    x, y = scores(columns=2)
    lead = np.where(y == 1, 1, -1) * (x[:, 1] - x[:, 0])
    for p in (1, 2):
        hinge = np.maximum(0, 1 - lead) ** p
        np.testing.assert_allclose(fl.multiclass_hinge(x, y, p=p, reduction="none"), hinge, rtol=1e-12)
        watkins = fl.multiclass_hinge(x, y, p=p, kind="weston_watkins", reduction="none")
        np.testing.assert_allclose(watkins, hinge / 2, rtol=1e-12)


def test_multiclass_hinge_keeps_the_digits_of_a_small_excess(isa: str) -> None:
    """The margin nearly reached: what is left over is exact, though the difference of the scores rounds."""
    own, rival = 3.0000000000000004, 2.0000000000000018e0
    for kind, share in (("crammer_singer", 1), ("weston_watkins", 2)):
        got = fl.multiclass_hinge([[own, rival - 1e-16]], [0], kind=kind)
        assert got * share == float(oracle.mpf(1) - oracle.mpf(own) + oracle.mpf(rival - 1e-16))
    for own in (1e16, -1e16, 12345.678, 0.1):
        rival = math.nextafter(own - 1, inf)
        exact = float(oracle.mpf(1) - oracle.mpf(own) + oracle.mpf(rival))
        assert fl.multiclass_hinge([[own, rival]], [0]) == pytest.approx(max(0.0, exact), rel=1e-15)


# -- coral and corn ------------------------------------------------------------------------------------------------


@every_dtype
def test_coral_with_one_threshold_is_binary_cross_entropy(dtype: str, isa: str) -> None:
    x = np.random.default_rng(0).normal(0, 30, 1003).astype(dtype)
    y = np.random.default_rng(1).integers(0, 2, 1003)
    eps, tiny = float(np.finfo(dtype).eps), 1e-44 if dtype == "float32" else 0.0
    binary = fl.binary_cross_entropy_with_logits
    for reduction in ("none", "sum", "mean"):
        kw: dict[str, Any] = {"reduction": reduction}
        np.testing.assert_allclose(fl.coral(x[:, None], y, **kw), binary(x, y, **kw), rtol=8 * eps, atol=tiny)
        np.testing.assert_allclose(fl.corn(x[:, None], y, **kw), binary(x, y, **kw), rtol=8 * eps, atol=tiny)
        for got, expected in zip(fl.coral.grad_and_hess(x[:, None], y, **kw), binary.grad_and_hess(x, y, **kw), strict=True):
            np.testing.assert_allclose(got[:, 0], expected, rtol=8 * eps, atol=tiny)
        np.testing.assert_allclose(fl.corn.grad(x[:, None], y, **kw)[:, 0], binary.grad(x, y, **kw), rtol=8 * eps, atol=tiny)


@every_dtype
def test_coral_is_the_sum_of_its_tasks(dtype: str, isa: str) -> None:
    x, y = scores(columns=6)
    x = x.astype(dtype)
    t = (y[:, None] > np.arange(6)).astype(dtype)
    w = np.random.default_rng(2).uniform(0, 2, 6)
    tasks = fl.binary_cross_entropy_with_logits(x.astype(float), t, reduction="none")
    rtol = 8 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(fl.coral(x, y, reduction="none"), tasks.sum(1), rtol=rtol)
    np.testing.assert_allclose(fl.coral(x, y, level_weight=w, reduction="none"), tasks @ w, rtol=rtol)
    assert fl.coral(x, y, level_weight=w) == pytest.approx((tasks @ w).mean(), rel=rtol)  # no denominator of its own
    grad, hess = fl.coral.grad_and_hess(x, y, level_weight=w, reduction="sum")
    g, h = fl.binary_cross_entropy_with_logits.grad_and_hess(x.astype(float), t, reduction="sum")
    np.testing.assert_allclose(grad, g * w, rtol=TOLERANCE[dtype])
    np.testing.assert_allclose(hess, h * w, rtol=TOLERANCE[dtype])


def test_a_weight_of_zero_takes_a_level_out(isa: str) -> None:
    x = [[0.0, inf, 0.0]]
    assert fl.coral(x, [0]) == inf
    assert fl.coral(x, [0], level_weight=[1, 0, 1]) == pytest.approx(2 * math.log(2), rel=1e-15)
    assert np.array_equal(fl.coral.grad(x, [0], level_weight=[1, 0, 1]), [[0.5, 0.0, 0.5]])
    assert np.array_equal(fl.coral.hess(x, [0], level_weight=[1, 0, 1]), [[0.25, 0.0, 0.25]])


def test_corn_divides_by_the_pairs_it_used(isa: str) -> None:
    """Task by task, over the samples whose level is at least k; "none" and the weights of `terms` are its parts."""
    x, y = scores(columns=6)
    total, pairs = 0.0, 0
    for k in range(6):
        asked = y >= k
        total += fl.binary_cross_entropy_with_logits(x[asked, k], (y[asked] > k).astype(float), reduction="sum")
        pairs += int(asked.sum())
    assert fl.corn(x, y) == pytest.approx(total / pairs, rel=1e-14)
    assert fl.corn(x, y, reduction="sum") == pytest.approx(total, rel=1e-14)
    values, weights = fl.corn.terms(x, y)
    assert np.array_equal(values, fl.corn(x, y, reduction="none"))
    assert np.array_equal(weights, np.minimum(y + 1, 6))
    w = np.random.default_rng(3).uniform(0, 2, len(y))
    assert fl.corn(x, y, sample_weight=w) == pytest.approx((w * values).sum() / (w * weights).sum(), rel=1e-14)
    grad = fl.corn.grad(x, y, sample_weight=w)
    np.testing.assert_allclose(grad, difference(fl.corn, x, y, sample_weight=w), atol=1e-8)
    assert not grad[np.arange(6) > y[:, None]].any()


# -- squared_emd ---------------------------------------------------------------------------------------------------


@every_dtype
def test_squared_emd_is_a_distance_of_cumulative_sums(dtype: str, isa: str) -> None:
    x, y = scores()
    x = x.astype(dtype)
    p = np.cumsum(fl.softmax(x.astype(float)), axis=1)[:, :-1]
    expected = ((p - (y[:, None] <= np.arange(6))) ** 2).sum(1)
    np.testing.assert_allclose(fl.squared_emd(x, y, reduction="none"), expected, rtol=1e-6 if dtype == "float32" else 1e-9)


def test_squared_emd_of_certain_predictions_counts_levels(isa: str) -> None:
    x = np.where(np.eye(7), 0.0, -inf)
    for predicted, label in itertools.product(range(7), range(7)):
        assert fl.squared_emd(x[predicted], label) == abs(predicted - label)


@every_dtype
def test_squared_emd_of_rows_won_or_lost_by_far(dtype: str, isa: str, note: Note) -> None:
    """The square of e^-40 is there, and so are gradients where the wrong level is nearly certain."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (60, 5)).astype(dtype)
    y = rng.integers(0, 5, 60)
    top = np.where(np.arange(60) < 30, y, (y + rng.integers(1, 5, 60)) % 5)
    x[np.arange(60), top] += rng.uniform(15, 40, 60).astype(dtype)
    with oracle.mp.workprec(400):
        truth = oracle.truth("squared_emd", (x, y), {}, max_order=1)
    got = fl.squared_emd(x, y, reduction="none")
    note("squared_emd", dtype, oracle.assert_ulps(got, truth.value, dtype, fl.squared_emd.ulp[dtype]))
    (grad,) = truth.derivatives[0]
    scale = oracle.row_scale(grad)
    oracle.assert_derivative(fl.squared_emd.grad(x, y, reduction="sum"), grad, dtype, TOLERANCE[dtype], scale)


# -- energy --------------------------------------------------------------------------------------------------------


def plainly(e: np.ndarray, y: int, kind: str, margin: float, beta: float) -> float:
    """The catalogue's formulas as they stand."""
    own, rival = e[y], np.delete(e, y).min()
    weights = np.exp(-beta * e)
    return {
        "energy": own,
        "perceptron": own - e.min(),
        "hinge": max(0.0, margin + own - rival),
        "log": np.log(1 + np.exp(own - rival)),
        "lvq2": min(margin, max(0.0, own - rival)),
        "mce": 1 / (1 + np.exp(-(own - rival))),
        "square_square": own**2 + max(0.0, margin - rival) ** 2,
        "square_exp": own**2 + beta * np.exp(-rival),
        "nll": own + np.log(weights.sum()) / beta,
        "mee": 1 - weights[y] / weights.sum(),
    }[kind]


@pytest.mark.parametrize(("margin", "beta"), [(1.0, 1.0), (0.25, 3.0), (4.0, 0.5)])
@every_kind
def test_energy_is_its_formula(kind: str, margin: float, beta: float, isa: str) -> None:
    e, y = scores(spread=2.0)
    expected = [plainly(row, label, kind, margin, beta) for row, label in zip(e, y, strict=True)]
    options: dict[str, Any] = {"kind": kind, "margin": margin, "beta": beta}
    np.testing.assert_allclose(fl.energy(e, y, reduction="none", **options), expected, rtol=1e-9, atol=1e-12)
    few = e[:40], y[:40]
    got = fl.energy.grad(*few, reduction="sum", **options)
    np.testing.assert_allclose(got, difference(fl.energy, *few, reduction="sum", **options), rtol=1e-6, atol=1e-6)


@every("beta", [0.3, 1.0, 7.0])
@every_dtype
def test_energy_nll_is_cross_entropy(beta: float, dtype: str, isa: str) -> None:
    """Of the logits -beta E, over beta; with beta a power of two, to the last digits also of rows won by 60 nats."""
    e, y = scores(spread=10.0)
    e = e.astype(dtype)
    tiny = 1e-44 if dtype == "float32" else 0.0
    got = fl.energy(e, y, beta=beta, reduction="none")
    expected = fl.cross_entropy(-beta * e.astype(float), y, reduction="none") / beta
    np.testing.assert_allclose(got, expected, rtol=1e-6 if dtype == "float32" else 1e-12, atol=tiny)
    two = fl.energy(e, y, beta=2.0, reduction="none"), fl.cross_entropy(-2 * e, y, reduction="none") / 2
    np.testing.assert_allclose(*two, rtol=8 * np.finfo(dtype).eps, atol=tiny)
    grad, logits = fl.energy.grad(e, y, beta=2.0), fl.cross_entropy.grad(-2 * e, y)
    np.testing.assert_allclose(grad, -logits, atol=4 * np.finfo(dtype).eps * np.abs(logits).max())
    missed = fl.energy(e, y, kind="mee", beta=2.0, reduction="none")
    np.testing.assert_allclose(missed, -np.expm1(-two[1] * 2), rtol=1e-6 if dtype == "float32" else 1e-12, atol=tiny)


@pytest.mark.parametrize("beta", [1.0, 0.7])
@pytest.mark.parametrize("kind", ["nll", "mee", "log", "mce"])
def test_energies_far_apart_keep_their_digits(kind: str, beta: float, note: Note) -> None:
    """Won by up to 600: the loss is e^-600, to the promised digits."""
    rng = np.random.default_rng(0)
    e = rng.normal(0, 1, (100, 4))
    y = rng.integers(0, 4, 100)
    e[np.arange(100), y] -= rng.uniform(0, 600, 100)
    options = {"kind": kind, "beta": beta}
    truth = oracle.truth("energy", (e, y), options, max_order=1)
    for level in at_each_level():
        got = fl.energy(e, y, reduction="none", **options)
        note("energy", "float64", oracle.assert_ulps(got, truth.value, "float64", fl.energy.ulp["float64"], level))
        (grad,) = truth.derivatives[0]
        got = fl.energy.grad(e, y, reduction="sum", **options)
        oracle.assert_derivative(got, grad, "float64", TOLERANCE["float64"], oracle.row_scale(grad), level)


@every_kind
def test_a_single_answer_has_no_rival(kind: str, isa: str) -> None:
    e = np.array([[-0.5], [2.0]])
    expected = {"energy": e[:, 0], "square_square": e[:, 0] ** 2, "square_exp": e[:, 0] ** 2}.get(kind, np.zeros(2))
    assert np.array_equal(fl.energy(e, [0, 0], kind=kind, reduction="none"), expected)
    slope = {"energy": np.ones(2), "square_square": 2 * e[:, 0], "square_exp": 2 * e[:, 0]}.get(kind, np.zeros(2))
    assert np.array_equal(fl.energy.grad(e, [0, 0], kind=kind, reduction="sum")[:, 0], slope)


# -- cumulative_link -----------------------------------------------------------------------------------------------

CUTS = np.array([-2.0, -0.75, 0.5, 0.5 + 2.0**-30, 3.0])


@every_dtype
def test_two_levels_of_a_logit_link_are_binary_cross_entropy(dtype: str, isa: str) -> None:
    s = np.round(np.random.default_rng(0).normal(0, 20, 1003) * 64).astype(dtype) / 64  # less 1/2 without rounding
    y, cut = np.random.default_rng(1).integers(0, 2, 1003), np.array([0.5], dtype)
    x = s.astype(float) - 0.5
    np.testing.assert_allclose(
        fl.cumulative_link(s, cut, y, reduction="none"),
        fl.binary_cross_entropy_with_logits(x, y, reduction="none"),
        rtol=8 * np.finfo(dtype).eps,
        atol=1e-44 if dtype == "float32" else 0.0,
    )
    score, threshold = fl.cumulative_link.grad(s, cut, y, reduction="sum")
    expected = fl.binary_cross_entropy_with_logits.grad(x, y, reduction="sum")
    np.testing.assert_allclose(score, expected, rtol=TOLERANCE[dtype], atol=1e-44)
    np.testing.assert_allclose(threshold, [-expected.sum()], rtol=TOLERANCE[dtype])


@every_link
def test_probabilities_of_all_levels_sum_to_one(link: str, isa: str) -> None:
    s = np.concatenate([np.random.default_rng(0).normal(0, 3, 205), [-40.0, 40.0, -6.0, 6.0]])
    p = [np.exp(-fl.cumulative_link(s, CUTS, np.full(s.shape, k), link=link, reduction="none")) for k in range(6)]
    np.testing.assert_allclose(np.sum(p, axis=0), 1.0, rtol=1e-14)


TAILS = (0.4, 3.0, 6.0, 9.0, 25.0, 40.0, 1000.0, 3000.0)


@every_link
@every_dtype
def test_cumulative_link_in_both_tails(link: str, dtype: str, full: bool, note: Note) -> None:
    """Scores to +-3000, thresholds 2^-30 apart: value and gradients against the difference itself, in 1,400 bits."""
    s = np.array([sign * t for t in TAILS for sign in (1, -1)])
    s, y = (a.ravel() for a in np.meshgrid(s, np.arange(6)))
    cuts = CUTS.astype(dtype)
    if dtype == "float32":
        cuts[3] = np.nextafter(cuts[2], np.float32(1))
    if link == "cloglog":  # e^e^700 is too much even for the oracle
        s = np.where(s < 0, -2.5 * np.log1p(np.abs(s)), s)
    s = s.astype(dtype)
    truth = oracle.linked((s, cuts, y), {"link": link}, 1, prec=1400)
    own, shared = truth.derivatives[0]
    for level in at_each_level():
        got = fl.cumulative_link(s, cuts, y, link=link, reduction="none")
        assert np.isfinite(got).all()
        bound = fl.cumulative_link.ulp[dtype]
        note("cumulative_link", dtype, oracle.assert_ulps(got, truth.value, dtype, bound, f"{level}: "))
        scale = oracle.derivative_scale("cumulative_link", (s, cuts, y), {"link": link}, own, 1)
        grad, _ = fl.cumulative_link.grad(s, cuts, y, link=link, reduction="sum")
        oracle.assert_derivative(grad, own, dtype, TOLERANCE[dtype], scale, f"{level}: ")
        for i in range(0, len(s), 1 if full else 5):
            one = slice(i, i + 1)
            _, got = fl.cumulative_link.grad(s[one], cuts, y[one], link=link, reduction="sum")
            expected = oracle.batch(shared, one, True)
            oracle.assert_derivative(got, expected, dtype, TOLERANCE[dtype], np.abs(expected.hi), f"{level}, {s[i]}, {y[i]}: ")


@every_link
def test_thresholds_that_nearly_coincide(link: str, isa: str) -> None:
    """The level between them has density x width; neither log 0 nor 1 - 1."""
    for low in (-3.0, 0.25, 2.0, 1e-200):
        high = math.nextafter(low, inf)
        with oracle.mp.workprec(1000):
            truth = oracle.linked((np.array([0.1]), np.array([low, high]), np.array([1])), {"link": link}, 0)
        got = fl.cumulative_link([0.1], [low, high], [1], link=link, reduction="none")
        oracle.assert_ulps(got, truth.value, "float64", 8)
        score, cuts = fl.cumulative_link.grad([0.1], [low, high], [1], link=link)
        assert np.isfinite(score).all()
        np.testing.assert_allclose(cuts * (high - low), [1.0, -1.0], rtol=1e-9)
    score, _ = fl.cumulative_link.grad([0.1], [0.0, 5e-324], [1], link=link)
    nearby, _ = fl.cumulative_link.grad([0.1], [0.0, 1e-200], [1], link=link)
    np.testing.assert_allclose(score, nearby, rtol=1e-12)


@every_link
@every_dtype
def test_cumulative_link_at_infinity_and_nan(link: str, dtype: str, isa: str) -> None:
    """An infinite score belongs to an end level; the others keep their bits."""
    y = np.array([0, 2, 5, 1])
    cuts = CUTS.astype(dtype)
    if dtype == "float32":
        cuts[3] = np.nextafter(cuts[2], np.float32(1))
    ordinary = fl.cumulative_link(np.zeros(4, dtype), cuts, y, link=link, reduction="none")
    for special, expected in ((inf, (inf, inf, 0.0)), (-inf, (0.0, inf, inf)), (nan, (nan, nan, nan))):
        s = np.array([special] * 3 + [0.0], dtype)
        got = fl.cumulative_link(s, cuts, y, link=link, reduction="none")
        np.testing.assert_array_equal(got[:3], np.array(expected))
        assert got[3] == ordinary[3]
        score, _ = fl.cumulative_link.grad(s, cuts, y, link=link, reduction="sum")
        assert np.isfinite(score[3])
        if math.isnan(special):
            assert np.isnan(score[:3]).all()
            continue
        assert not np.isnan(score).any()
        assert score[0 if special < 0 else 2] == 0.0
        assert (score[:3] * np.sign(special) >= 0).all()
        _, at = fl.cumulative_link.grad(s[2:3], cuts, y[2:3], link=link)
        assert not np.isnan(at).any()
    _, shared = fl.cumulative_link.grad(np.array([nan, 0.0], dtype), cuts, [0, 4], link=link)
    assert np.array_equal(np.isnan(shared), [True, False, False, False, False])


@every_link
def test_the_gradient_of_thresholds_is_a_sum(link: str, isa: str) -> None:
    """With weights, for every reduction; against central differences."""
    rng = np.random.default_rng(0)
    s, y, w = rng.normal(0, 2, (41, 5)), rng.integers(0, 5, (41, 5)), rng.uniform(0, 2, (41, 5))
    cuts = np.array([-2.0, -0.5, 0.5, 3.0])
    for reduction in ("sum", "mean"):
        kw: dict[str, Any] = {"link": link, "sample_weight": w, "reduction": reduction}

        def of_cuts(c: np.ndarray, kw: dict[str, Any] = kw) -> float:
            return fl.cumulative_link(s, c, y, **kw)

        score, thresholds = fl.cumulative_link.grad(s, cuts, y, **kw)
        np.testing.assert_allclose(thresholds, difference(of_cuts, cuts), rtol=1e-5)
        np.testing.assert_allclose(thresholds.sum(), -score.sum(), rtol=1e-9)  # a shift of both changes nothing


@pytest.mark.parametrize("levels", [2, 3, 600, 5000])
def test_same_bits_whatever_the_threads_and_levels(levels: int) -> None:
    rng = np.random.default_rng(0)
    s, y = rng.normal(0, 2, 100_003).astype(np.float32), rng.integers(0, levels, 100_003)
    cuts = np.sort(rng.normal(0, 2, levels - 1))
    answers = []
    for n in THREADS:
        with fl.num_threads(n):
            value, (score, thresholds) = fl.cumulative_link.value_and_grad(s, cuts, y)
            answers.append((value, score.tobytes(), thresholds.tobytes()))
    assert answers == [answers[0]] * len(THREADS)
    expected = np.zeros(levels)
    _, each = fl.cumulative_link.terms(s, cuts, y)
    assert each.sum() == 100_003
    for k in range(min(levels, 40)):  # the same slopes, level by level
        part = y == k
        _, slopes = fl.cumulative_link.grad(s[part], cuts, y[part], reduction="sum")
        expected[:-1] += slopes
    if levels <= 40:
        np.testing.assert_allclose(thresholds, expected[:-1] / 100_003, rtol=1e-9)


@pytest.mark.parametrize(
    "bad",
    [[0.0, 0.0], [1.0, 0.0], [0.0, nan], [nan, 1.0], [0.0, inf], [-inf, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 2.0, 1.5]],
    ids=str,
)
def test_thresholds_that_do_not_increase(bad: list[float]) -> None:
    for method in (fl.cumulative_link, fl.cumulative_link.grad, fl.cumulative_link.value_and_grad, fl.cumulative_link.terms):
        with refused(ValueError, "cumulative_link", "thresholds", "greater than the one before", r"at index \(\d,\)"):
            method(np.zeros(3), bad, [0, 1, 0])
    for shape in ((), (0,), (2, 1)):
        with refused(ValueError, "cumulative_link", "thresholds", "vector"):
            fl.cumulative_link(np.zeros(3), np.zeros(shape), [0, 1, 0])


@every("bad", [-1, 4, 100, -(2**63), 2**63 - 1])
def test_levels_outside_the_thresholds(bad: int, isa: str) -> None:
    s, cuts, y = np.zeros((7, 3), np.float32), np.float32([-1, 0, 1]), np.zeros((7, 3), np.int64)
    y[5, 1] = bad
    out = np.full_like(s, 7), np.full_like(cuts, 7)
    for method in (fl.cumulative_link, fl.cumulative_link.grad, fl.cumulative_link.terms):
        with refused(IndexError, "cumulative_link", "target", r"levels in \[0, 4\)", f"got {bad} at index", r"\(5, 1\)"):
            method(s, cuts, y)
    with refused(IndexError, "cumulative_link", "target"):
        fl.cumulative_link.grad(s, cuts, y, out=out)
    assert all((o == 7).all() for o in out)
    with refused(TypeError, "cumulative_link", "target", "float64"):
        fl.cumulative_link(s, cuts, np.zeros((7, 3)))


def test_out_of_cumulative_link() -> None:
    s, cuts, y = np.linspace(-3, 3, 3), np.array([-1.0, 0.0, 1.0]), np.array([0, 1, 3])
    expected = fl.cumulative_link.grad(s, cuts, y)
    own_score, own_cuts = s.copy(), cuts.copy()
    got = fl.cumulative_link.grad(own_score, own_cuts, y, out=(own_score, own_cuts))
    assert got[0] is own_score
    assert got[1] is own_cuts
    assert np.array_equal(own_score, expected[0])
    assert np.array_equal(own_cuts, expected[1])
    own_score, own_cuts = s.copy(), cuts.copy()
    fl.cumulative_link.grad(own_score, own_cuts, y, out=(own_cuts, own_score))  # each other's places
    assert np.array_equal(own_cuts, expected[0])
    assert np.array_equal(own_score, expected[1])
    both = np.empty(3)
    with refused(ValueError, "cumulative_link", "out", "apart"):
        fl.cumulative_link.grad(s, cuts, y, out=(both, both))
    with refused(ValueError, "cumulative_link", "out", "a tuple of 2 arrays"):
        fl.cumulative_link.grad(s, cuts, y, out=both)


@pytest.mark.parametrize(("left", "right"), list(itertools.permutations(("float16", "float32", "float64"), 2)))
def test_types_of_score_and_thresholds(left: str, right: str, isa: str) -> None:
    rng = np.random.default_rng(0)
    s, y = rng.normal(0, 2, 205).astype(left), rng.integers(0, 4, 205)
    cuts = np.array([-1.0, 0.25, 2.0]).astype(right)
    wide = "float64" in (left, right)
    got = fl.cumulative_link(s, cuts, y, reduction="none")
    assert got.dtype == (np.float64 if wide else np.float32)
    np.testing.assert_allclose(got, fl.cumulative_link(s.astype(float), cuts.astype(float), y, reduction="none"), rtol=2e-7)
    score, thresholds = fl.cumulative_link.grad(s, cuts, y)
    assert (score.dtype, thresholds.dtype) == (left, right)


# -- what the engine owes all of them ------------------------------------------------------------------------------

ROWS = (fl.multiclass_hinge, fl.coral, fl.corn, fl.squared_emd, fl.energy)
every_row = every("loss", ROWS)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 2), (257, 9), (1003, 40), (67, 1003), (5, 20_011), (2, 300_007)])
@every_dtype
@every_row
def test_any_number_of_columns(loss: fl.Loss, rows: int, columns: int, dtype: str, isa: str) -> None:
    """Tiles from 256 rows down to one register's: values of the textbook, gradients that do not depend on the layout."""
    x, y = scores(rows, columns)
    x = x.astype(dtype)
    values, weights = loss.reference(x, y)
    rtol = 1e-6 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(loss(x, y, reduction="none"), values, rtol=rtol)
    assert loss(x, y) == pytest.approx(values.sum() / weights.sum(), rel=1e-6)
    grad = loss.grad(x, y)
    strided = loss.grad(np.ascontiguousarray(x.T), y, axis=0)
    np.testing.assert_array_equal(strided.T, grad)
    kept = np.linspace(0, rows - 1, min(rows, 5)).astype(int)
    for i in kept:
        alone = loss.grad(x[i], y[i], reduction="sum")
        np.testing.assert_allclose(grad[i], alone / weights.sum(), rtol=4 * np.finfo(dtype).eps, atol=1e-44)


@every_row
def test_images(loss: fl.Loss, isa: str) -> None:
    x = np.random.default_rng(0).normal(0, 3, (2, 5, 33, 17)).astype(np.float32)
    y = np.random.default_rng(1).integers(0, 5, (2, 33, 17))
    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    assert np.array_equal(loss(x, y, axis=1, reduction="none"), loss(last, y, reduction="none"))
    assert np.array_equal(np.moveaxis(loss.grad(x, y, axis=1), 1, -1), loss.grad(last, y))
    expected = loss.grad(x, y, axis=1)
    assert loss.grad(x, y, axis=1, out=x) is x
    assert np.array_equal(x, expected)


@pytest.mark.parametrize("name", ["coral", "corn", "squared_emd"])
def test_ordinal_losses_speak_of_levels(name: str) -> None:
    levels = 4 if name != "squared_emd" else 3
    with refused(IndexError, name, "target", rf"expected levels in \[0, {levels}\), got -100 at index \(1,\)"):
        fl.LOSSES[name](np.zeros((2, 3)), [0, -100])
    with refused(ValueError, name, "target", r"levels of shape \(2,\) for logits of shape \(2, 3\)"):
        fl.LOSSES[name](np.zeros((2, 3)), [0])


def test_a_shifted_score_changes_nothing() -> None:
    """Energies, scores and logits count by their differences (on a grid, so that the shift is exact)."""
    x, y = scores()
    x = np.round(x * 64) / 64
    for loss, options in (
        (fl.multiclass_hinge, {}),
        (fl.multiclass_hinge, {"kind": "weston_watkins"}),
        (fl.squared_emd, {}),
        *((fl.energy, {"kind": kind}) for kind in ("perceptron", "hinge", "log", "lvq2", "mce", "nll", "mee")),
    ):
        a, b = (loss(v, y, reduction="none", **options) for v in (x, x + 64.0))
        np.testing.assert_allclose(a, b, rtol=4e-15)


# -- evaluation ----------------------------------------------------------------------------------------------------


def test_thresholds_are_not_cut_with_the_samples() -> None:
    """They go along as an option does; the losses beside them see the same samples."""
    rng = np.random.default_rng(0)
    s, y, cuts = rng.normal(0, 2, 1003), rng.integers(0, 4, 1003), [-1.0, 0.5, 2.0]
    given: dict[str, Any] = {"score": s, "target": y, "thresholds": cuts, "link": "probit"}
    result = fl.evaluate("cumulative_link", **given, max_memory=500, worst=2)["cumulative_link"]
    values = fl.cumulative_link(s, cuts, y, link="probit", reduction="none")
    assert result.mean == pytest.approx(values.mean(), rel=1e-12)
    assert [w.index for w in result.worst] == list(np.argsort(-values)[:2])
    with pytest.raises(TypeError, match="cumulative_link: thresholds: expected an array, got none"):
        fl.evaluate("cumulative_link", score=s, target=y)
    with pytest.raises(ValueError, match="thresholds: expected finite numbers"):
        fl.evaluate("cumulative_link", score=s, target=y, thresholds=[1.0, 0.0])
    state = fl.Evaluation("cumulative_link", thresholds=cuts, link="probit")
    for part in (slice(400), slice(400, None)):
        state.update(score=s[part], target=y[part])
    assert state.result()["cumulative_link"].mean == result.mean
    with pytest.raises(ValueError, match="same losses and options"):
        state.merge(fl.Evaluation("cumulative_link", thresholds=[-1.0, 0.5, 2.5], link="probit"))


def test_thresholds_on_the_command_line(tmp_path: Path) -> None:
    pytest.importorskip("click")
    from click.testing import CliRunner

    from fastloss.cli import main

    s, y = np.array([0.25, -1.0, 3.0]), np.array([1, 0, 2])
    np.save(tmp_path / "s.npy", s)
    np.save(tmp_path / "y.npy", y)
    np.save(tmp_path / "cuts.npy", [-1.0, 1.0])
    base = ["evaluate", "cumulative_link", "--score", str(tmp_path / "s.npy"), "--target", str(tmp_path / "y.npy")]
    for text in ("-1,1", str(tmp_path / "cuts.npy")):
        done = CliRunner().invoke(main, [*base, "--thresholds", text, "--format", "json"])
        assert done.exit_code == 0, done.output
        mean = json.loads(done.stdout)["losses"]["cumulative_link"]["mean"]
        assert mean == pytest.approx(fl.cumulative_link(s, [-1.0, 1.0], y), rel=1e-14)
    assert CliRunner().invoke(main, base).exit_code != 0
    refusal = CliRunner().invoke(main, [*base, "--thresholds", "1,-1"])
    assert refusal.exit_code == 2
    assert "greater than the one before" in refusal.output

"""Promise: where the result is a number of the type, it is found, be the arguments the largest or the smallest of the type.

Right values are the definitions in mpmath (oracle.py), or what is derived beside them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import oracle
import pytest
from cases import every_dtype
from conftest import at_each_level
from matrix import every
from mpmath import mp, mpf

import fastloss as fl

KINDS = ("iou", "giou", "diou", "ciou")
inf = np.inf


def value(loss: fl.Loss, *args: Any, dtype: str = "float64", **options: Any) -> float:
    return float(loss(*(np.array([a], dtype) for a in args), reduction="none", **options)[0])


# -- Logarithms from the smallest number to the largest ------------------------------------------------


def edges(dtype: str) -> np.ndarray:
    """Positive numbers at both ends of the type, and beside sqrt(2) times powers of two, where the mantissa is halved."""
    info = np.finfo(dtype)
    roots = [np.sqrt(2.0) * 2.0**k for k in (info.maxexp - 1, info.minexp, 0, info.maxexp - 2)]
    near = [np.nextafter(dtype_(r, dtype), side) for r in roots for side in (0, np.inf)]
    least = info.smallest_subnormal
    ends = [info.max, info.max / 1.2, info.max / 1.5, info.tiny, info.tiny / 3, least, 5 * least]
    return np.array([*near, *ends, 1.0, np.nextafter(dtype_(1.0, dtype), 0)]).astype(dtype)


def dtype_(x: float, dtype: str) -> np.floating[Any]:
    return np.dtype(dtype).type(x)


LOGARITHMS: dict[str, tuple[Any, dict[str, Any]]] = {  # how t enters each loss that takes its logarithm
    "gaussian_nll": (lambda t: (0 * t, 0 * t, t), {"eps": 5e-324}),
    "gamma": (lambda t: (np.log(t) + 1, t), {}),
    "gamma of 1": (lambda t: (0 * t, t), {}),
    "poisson_nll": (lambda t: (t, 0 * t + 1), {"log_input": False, "eps": 0.0}),
    "poisson_nll full": (lambda t: (np.log(t) + 1, t), {"full": True}),
    "msle": (lambda t: (t, 0 * t - 0.5), {}),
    "binary_cross_entropy": (lambda t: (np.minimum(t, 1 - np.finfo(t.dtype).epsneg), 0 * t + 1), {}),
    **{f"tweedie {k}": (lambda t: (np.log(t) + 1, t), {"power": k}) for k in (1.0, 1.5, 1.9, 1.99, 2.0, 2.5, 3.0)},
    **{f"tweedie {k} of 1": (lambda t: (0 * t, t), {"power": k}) for k in (1.0, 1.5, 1.9, 1.99, 2.0, 2.5, 3.0)},
}


@every_dtype
@every("name", list(LOGARITHMS))
def test_logarithms_from_the_smallest_number_to_the_largest(name: str, dtype: str) -> None:
    make, options = LOGARITHMS[name]
    if dtype == "float32" and name == "gaussian_nll":
        options = {"eps": 2.0**-149}
    args, loss = make(edges(dtype)), fl.LOSSES[name.split()[0]]
    truth = oracle.truth(loss.name, args, options).value
    scale = oracle.value_scale(loss.name, args, options, dtype)
    for level in at_each_level():
        oracle.assert_ulps(loss(*args, reduction="none", **options), truth, dtype, loss.ulp[dtype], f"{level}: ", scale)


def test_logarithms_of_probabilities_above_one_in_a_divergence() -> None:
    """t (log t - x) of one class, for t that is no probability but a number all the same."""
    t = np.array([[1.5e308 / 1024], [2.0**-1074]])
    for _ in at_each_level():
        got = fl.kl_div(np.zeros((2, 1)), t, reduction="none")
        for v, g in zip(t[:, 0], got, strict=True):
            assert g == pytest.approx(float(mpf(float(v)) * mp.log(mpf(float(v)))), rel=1e-15, abs=1e-321)


@pytest.mark.parametrize(
    ("loss", "args", "options", "expected"),
    [
        (fl.gaussian_nll, (0.0, 0.0, 1.5e308), {}, "354.8008368751371"),  # log(1.5e308) / 2
        (fl.gamma, (0.0, 1.5e308), {}, "1.5e308"),  # t - log t - 1
        (fl.gamma, (700.0, 1.5e308), {}, "14778.9131418893822"),  # 700 + t e^-700 - log t - 1
        (fl.poisson_nll, (1.5e308, 1.0), {"log_input": False}, "1.5e308"),  # p - log p
        (fl.tweedie, (50.0, 1.5e308), {"power": 3}, "2.7900569820156269e264"),  # t e^-100 / 2 - e^-50 + 1 / (2 t)
        (fl.gamma, (-720.0, 1e-20), {}, None),
        (fl.gamma, (-1000.0, 5e-324), {}, None),  # e^1000 alone overflows
        (fl.tweedie, (-1950.0, 2.0**-1022), {"power": 1.5}, None),
        (fl.tweedie, (-20.0, 7.0), {"power": 3}, "8.2384843344440475e17"),
        (fl.gamma, (-20.0, 7.0), {}, "3396156344.9226218"),
        (fl.tweedie, (1e-6, 1.0), {}, "5.000000000000103714e-13"),  # 2 e^(-p/2) (e^(p/2) - 1)^2
    ],
)
def test_values_of_bug_reports(loss: fl.Loss, args: tuple[float, ...], options: dict[str, Any], expected: str | None) -> None:
    with mp.workprec(400):
        exact = (oracle.POINTWISE | oracle.SUMS)[loss.name](*map(mpf, args), **{k: mpf(v) for k, v in options.items()})
        if expected is not None:
            assert abs(exact - mpf(expected)) <= mpf(expected) * mpf(2) ** -52
        truth = oracle.Exact.of(np.array([exact], dtype=object))
    for _ in at_each_level():
        oracle.assert_ulps([value(loss, *args, **options)], truth, "float64", 8)


@every("power", [1.0, 1.25, 1.5, 2.0, 2.5, 3.0])
def test_an_infinite_target_is_infinitely_wrong(power: float, isa: str) -> None:
    for dtype in ("float32", "float64"):
        x, t = np.array([0.5, -3.0, 40.0], dtype), np.full(3, inf, dtype)
        assert (fl.tweedie(x, t, power=power, reduction="none") == inf).all()
        assert (fl.tweedie.grad(x, t, power=power, reduction="sum") == -inf).all()
        assert (fl.gamma(x, t, reduction="none") == inf).all()


def test_msle_whose_quotient_overflows(isa: str) -> None:
    """(log1p 1.5e308 - log1p -0.9)^2: the quotient of the two is 1.5e309."""
    expected = float((mp.log1p(mpf(1.5e308)) - mp.log1p(mpf(-0.9))) ** 2)
    assert fl.msle([1.5e308], [-0.9]) == pytest.approx(expected, rel=1e-15)


# -- Squares that overflow or underflow though the loss does not -----------------------------------------


@pytest.mark.parametrize(
    ("loss", "args", "options", "dtype", "expected", "slope"),
    [
        (fl.smooth_l1, (1e20, 0.0), {"beta": 1e19}, "float32", 9.5e19, 1.0),  # |e| - beta / 2
        (fl.smooth_l1, (1e-25, 0.0), {"beta": 1e-20}, "float32", 5e-31, 1e-5),  # e^2 / (2 beta)
        (fl.smooth_l1, (1e200, 0.0), {"beta": 1e190}, "float64", 1e200, 1.0),
        (fl.huber, (1e30, 0.0), {}, "float32", 1e30, 1.0),
        (fl.pseudo_huber, (1e30, 0.0), {}, "float32", 1e30, 1.0),
        (fl.pseudo_huber, (1e25, 0.0), {"delta": 1e5}, "float32", 1e30, 1e5),
        (fl.pseudo_huber, (1e300, 0.0), {}, "float64", 1e300, 1.0),
        (fl.log_cosh, (1e30, 0.0), {}, "float32", 1e30, 1.0),
        (fl.expectile, (1e-25, 0.0), {"tau": 0.5}, "float64", 5e-51, 1e-25),
        (fl.contrastive_divergence, (1e200, 1.0), {"alpha": 1e-300}, "float64", 1e200, 1.0),
    ],
)
def test_squares_out_of_range(
    loss: fl.Loss, args: tuple[float, ...], options: dict[str, Any], dtype: str, expected: float, slope: float
) -> None:
    for _ in at_each_level():
        assert value(loss, *args, dtype=dtype, **options) == pytest.approx(expected, rel=1e-6)
        grad = loss.grad(*(np.array([a], dtype) for a in args), **options)
        assert (grad[0] if isinstance(grad, tuple) else grad)[0] == pytest.approx(slope, rel=1e-6)


def test_gaussian_squares_out_of_range(isa: str) -> None:
    """e^2 / v / 2 with e = 1e200 and v = 1e300; and e^2 / v^3 - 1 / (2 v^2), whose 1 / v^2 underflows in float32."""
    assert fl.gaussian_nll([1e200], [0.0], [1e300]) == pytest.approx(5e99, rel=1e-14)
    one = np.ones(1, np.float32)
    _, hess = fl.gaussian_nll.hess(1e30 * one, 0 * one, 1e25 * one)
    assert hess[0] == pytest.approx(1e-15, rel=1e-5)


# -- Boxes of any size ------------------------------------------------------------------------------------


@every("kind", KINDS)
def test_boxes_of_any_size(kind: str) -> None:
    """Scaled by a power of two, a pair has the same loss to the bit, and a gradient that is scaled the other way."""
    (boxes, target), _ = fl.box_iou.sample(np.random.default_rng(3), "float64", 40)
    for _ in at_each_level():
        expected = fl.box_iou(boxes, target, kind=kind, reduction="none")
        slopes = fl.box_iou.grad(boxes, target, kind=kind, reduction="none")
        for k in (515, -565, 1015, -1010):
            scaled = fl.box_iou(np.ldexp(boxes, k), np.ldexp(target, k), kind=kind, reduction="none")
            np.testing.assert_allclose(scaled, expected, rtol=1e-15)
            grad = fl.box_iou.grad(np.ldexp(boxes, k), np.ldexp(target, k), kind=kind, reduction="none")
            np.testing.assert_allclose(np.ldexp(grad, k), slopes, rtol=1e-12, atol=1e-14)


@every("kind", KINDS)
def test_thin_boxes_of_any_size(kind: str, isa: str) -> None:
    """Sides of 1e-170 x 1e170, whose areas are ordinary and whose distances are those of the long side."""
    box, target = np.array([[0.0, 0.0, 1e-170, 1e170]]), np.array([[0.0, 0.0, 1e-170, 2e170]])
    truth = oracle.box_iou(*map(mpf, np.concatenate([box, target], axis=1)[0]), kind=kind)
    assert fl.box_iou(box, target, kind=kind) == pytest.approx(float(truth), rel=1e-15)


def test_areas_out_of_range(isa: str) -> None:
    """Half of the target is covered."""
    for side in (1e155, 1e-170, 1e307, 1e-308):
        assert fl.box_iou([[0, 0, side, side]], [[0, 0, side, 2 * side]], kind="iou") == 0.5
    assert fl.box_iou([[-1.7e308, 0, 1.7e308, 1]], [[0, 0, 1.7e308, 1]], kind="iou") == 0.5
    assert fl.box_iou([[0, 0, 1e-170, 1e-170]], [[0, 0, 1e-170, 1e-170]], kind="iou", eps=1e-7) == 1.0


# -- Poly-1 of a confident row ------------------------------------------------------------------------------


@every("logit", [1.0, 5.0, 30.0, 80.0, 300.0])
def test_poly1_that_takes_the_first_term_away(logit: float) -> None:
    """epsilon = -1 leaves l - (1 - p), about (1 - p)^2 / 2, and at the others the slope p_j (1 - p)."""
    with mp.workprec(2000):
        rest = 2 * mp.exp(-mpf(logit))
        lost = rest / (1 + rest)
        exact, other = mp.log1p(rest) - lost, lost * lost / 2
    for _ in at_each_level():
        got, grad = fl.poly1_cross_entropy.value_and_grad([[logit, 0, 0]], [0], epsilon=-1.0)
        assert got == pytest.approx(float(exact), rel=1e-15, abs=0)
        np.testing.assert_allclose(grad[0], [float(-2 * other), float(other), float(other)], rtol=1e-14)

"""Polynomials of the vector mathematics: prints the coefficients that csrc/common/vecmath_exp.h and vecmath_log.h hold.

Each function is interpolated at Chebyshev nodes in 60 digits, then rounded to the kernel's type; the printed error is that of
the rounded polynomial in exact arithmetic, relative to the function the kernel computes. Run: python tools/minimax.py
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp
import numpy as np

mp.mp.dps = 60
HALF_LN2 = mp.log(2) / 2 * mp.mpf("1.02")  # the reduction may overshoot half a step by rounding
SQRT2 = mp.sqrt(2)


def interpolate(g: Callable, low: float, high: float, degree: int, stretch: float = 1) -> list:
    """Coefficients, lowest first, of the polynomial through g at the Chebyshev nodes of [low, high], or further out."""
    n = degree + 1
    nodes = [(low + high) / 2 + stretch * (high - low) / 2 * mp.cos(mp.pi * (2 * k + 1) / (2 * n)) for k in range(n)]
    vandermonde = mp.matrix(n, n)
    for i, x in enumerate(nodes):
        for j in range(n):
            vandermonde[i, j] = x**j
    return list(mp.lu_solve(vandermonde, mp.matrix([g(x) for x in nodes])))


def horner(coefficients: list, x: mp.mpf) -> mp.mpf:
    total = mp.mpf(0)
    for c in reversed(coefficients):
        total = total * x + c
    return total


def exp_tail(r: mp.mpf) -> mp.mpf:
    """(e^r - 1 - r) / r^2"""
    return mp.nsum(lambda k: r**k / mp.factorial(k + 2), [0, 30]) if abs(r) < 0.01 else (mp.expm1(r) - r) / r**2


def log1p_ratio(u: mp.mpf) -> mp.mpf:
    """log(1 + u) / u"""
    return mp.log1p(u) / u if u else mp.mpf(1)


def log_tail(f: mp.mpf) -> mp.mpf:
    """(log(1 + f) - f + f^2 / 2) / f^3"""
    if abs(f) < 0.01:
        return mp.nsum(lambda k: (-f) ** k / (k + 3), [0, 60])
    return (mp.log1p(f) - f + f**2 / 2) / f**3


def atanh_tail(w: mp.mpf) -> mp.mpf:
    """(2 atanh(z) - 2 z) / z^3 with w = z^2"""
    if w < mp.mpf("1e-8"):
        return mp.mpf(2) / 3 + 2 * w / 5
    z = mp.sqrt(w)
    return (2 * mp.atanh(z) - 2 * z) / (z * w)


# 1 + r + r^2 (a + b r) errs by r^2 (r^2 - node^2) / 24: smallest, over |r| <= h, with nodes at sqrt(2 sqrt(2) - 2) h
STEP_STRETCH = {1: 2 * mp.sqrt(mp.sqrt(2) - 1)}


def excess(d: mp.mpf) -> mp.mpf:
    """(e^d - 1 - d) / d^2"""
    return mp.nsum(lambda k: d**k / mp.factorial(k + 2), [0, 40]) if abs(d) < 0.01 else (mp.expm1(d) - d) / d**2


def jensen(w: mp.mpf) -> mp.mpf:
    """((1 + d) log(1 + d) + (1 - d) log(1 - d)) / d^2 with w = d^2"""
    if w < mp.mpf("1e-6"):
        return mp.nsum(lambda k: w**k / ((k + 1) * (2 * k + 1)), [0, 20])
    d = mp.sqrt(w)
    return ((1 + d) * mp.log1p(d) + (1 - d) * mp.log1p(-d)) / w


def log_cosh_ratio(w: mp.mpf) -> mp.mpf:
    """log cosh(e) / e^2 with w = e^2"""
    return mp.log(mp.cosh(mp.sqrt(w))) / w if w > mp.mpf("1e-20") else mp.mpf(1) / 2


def mills(t: mp.mpf) -> mp.mpf:
    """(1 + 4/5 z) e^(z^2/2) Phi(-z) with t = (z - 21/4) / (z + 21/4)"""
    z = mp.mpf(21) / 4 * (1 + t) / (1 - t)
    if z < 30:
        tail = mp.exp(z * z / 2) * mp.erfc(z / SQRT2) / 2
    else:  # the continued fraction: erfc underflows
        below = mp.mpf(0)
        for k in range(200, 0, -1):
            below = k / (z + below)
        tail = 1 / (z + below) / mp.sqrt(2 * mp.pi)
    return (1 + mp.mpf(4) / 5 * z) * tail


Z_MAX = ((SQRT2 - 1) / (SQRT2 + 1)) ** 2 * mp.mpf("1.001")

TABLE = [
    # name, g, low, high, degree, type, error(p(x), x) relative to the final function
    ("EXP_F32", exp_tail, -HALF_LN2, HALF_LN2, 4, np.float32, lambda p, x: (1 + x + x**2 * p) / mp.exp(x) - 1),
    ("EXP_STEP_16", exp_tail, -HALF_LN2 / 16, HALF_LN2 / 16, 1, np.float32, lambda p, x: (1 + x + x**2 * p) / mp.exp(x) - 1),
    ("EXP_STEP_8", exp_tail, -HALF_LN2 / 8, HALF_LN2 / 8, 1, np.float32, lambda p, x: (1 + x + x**2 * p) / mp.exp(x) - 1),
    ("EXP_F64", exp_tail, -HALF_LN2, HALF_LN2, 10, np.float64, lambda p, x: (1 + x + x**2 * p) / mp.exp(x) - 1),
    ("EXP_SHORT", exp_tail, -HALF_LN2, HALF_LN2, 6, np.float64, lambda p, x: (1 + x + x**2 * p) / mp.exp(x) - 1),
    ("LOG1P_UNIT_F32", log1p_ratio, mp.mpf(0), mp.mpf(1), 10, np.float32, lambda p, x: p / log1p_ratio(x) - 1),
    ("LOG_F32", log_tail, 1 / SQRT2 - 1, SQRT2 - 1, 8, np.float32,
     lambda p, x: (x - x**2 / 2 + x**3 * p) / mp.log1p(x) - 1 if x else mp.mpf(0)),
    ("ATANH_F64", atanh_tail, mp.mpf(0), Z_MAX, 6, np.float64,
     lambda p, w: (2 + w * p) / (2 + w * atanh_tail(w)) - 1),
    ("ATANH_SHORT", atanh_tail, mp.mpf(0), Z_MAX, 3, np.float64,
     lambda p, w: (2 + w * p) / (2 + w * atanh_tail(w)) - 1),
    ("LOG_COSH_F32", log_cosh_ratio, mp.mpf(0), mp.mpf("1.7"), 9, np.float32, lambda p, w: p / log_cosh_ratio(w) - 1),
    ("ATANH_WIDE_F32", atanh_tail, mp.mpf(0), mp.mpf("0.36"), 8, np.float32, lambda p, w: (p - atanh_tail(w)) / 2),
    ("ATANH_THIRD_SHORT", atanh_tail, mp.mpf(0), mp.mpf(1) / 9, 5, np.float64,
     lambda p, w: (2 + w * p) / (2 + w * atanh_tail(w)) - 1),
    ("LOG_SHORT", log_tail, 1 / SQRT2 - 1, SQRT2 - 1, 11, np.float64,
     lambda p, x: (x - x**2 / 2 + x**3 * p) / mp.log1p(x) - 1 if x else mp.mpf(0)),
    ("EXCESS_F32", excess, mp.mpf(-1), mp.mpf(2), 8, np.float32, lambda p, x: p / excess(x) - 1),
    ("EXCESS_F64", excess, mp.mpf(-1), mp.mpf("1.5"), 15, np.float64, lambda p, x: p / excess(x) - 1),
    ("JENSEN_F32", jensen, mp.mpf(0), mp.mpf("0.491"), 9, np.float32, lambda p, w: p / jensen(w) - 1),
    ("JENSEN_F64", jensen, mp.mpf(0), mp.mpf("0.26"), 13, np.float64, lambda p, w: p / jensen(w) - 1),
    ("MILLS", mills, mp.mpf(-1), mp.mpf("0.9999999"), 24, np.float64, lambda p, t: p / mills(t) - 1),  # csrc/scores/links.h
]  # fmt: skip


def main() -> None:
    for name, g, low, high, degree, kind, error in TABLE:
        rounded = [kind(float(c)) for c in interpolate(g, low, high, degree, STEP_STRETCH.get(degree, 1))]
        exact = [mp.mpf(float(c)) for c in rounded]
        grid = [low + (high - low) * k / 400 for k in range(401)]
        worst = max(abs(error(horner(exact, x), x)) for x in grid)
        suffix = "f" if kind is np.float32 else ""
        text = ", ".join(f"{float(c):.17g}{suffix}" if not suffix else f"{float(c):.9g}f" for c in rounded)
        print(f"/* relative error {mp.nstr(worst, 2)} */\n#define FL_{name} {{{text}}}")


if __name__ == "__main__":
    main()

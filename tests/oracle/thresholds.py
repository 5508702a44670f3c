"""Cumulative link losses: a score, and thresholds that all samples share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath import mp, mpf
from numpy.typing import ArrayLike

from .exact import Exact, Truth


def link_function(z: mpf, link: str) -> mpf:
    """The symmetric ones."""
    return 1 / (1 + mp.exp(-z)) if link == "logit" else mp.erfc(-z / mp.sqrt(2)) / 2


def cumulative_link(s: mpf, low: mpf | None, high: mpf | None, link: str = "logit") -> mpf:
    """Minus the logarithm of the plain difference, with 200 bits to spare; None is an infinite threshold."""
    with mp.workprec(mp.prec + 200):
        if link == "cloglog":  # e^-A - e^-B, or of 1 - e^-A and 1 - e^-B where these are small
            small, large = (None if cut is None else mp.exp(cut - s) for cut in (low, high))
            if large is None:
                return small
            if small is None:
                return -mp.log(-mp.expm1(-large)) if large < 1 else -mp.log1p(-mp.exp(-large))
            if large < 1:
                return -mp.log(mp.expm1(-small) - mp.expm1(-large))
            return -mp.log(mp.exp(-small) - mp.exp(-large))
        if high is None or (low is not None and low + high > 2 * s):  # by symmetry: the middle at or below 0
            s, low, high = -s, None if high is None else -high, None if low is None else -low
        below = mpf(0) if low is None else link_function(low - s, link)
        if high >= s:
            return -mp.log1p(-(below + link_function(s - high, link)))
        return -mp.log(link_function(high - s, link) - below)


def linked(args: tuple[ArrayLike, ...], options: dict[str, Any], max_order: int, prec: int = 160) -> Truth:
    """Values and gradients; that of the thresholds for each sample: (samples, thresholds). A gradient of 1e-300 beside a value of
    1e6 wants a high `prec`.
    """
    score, cuts, target = (np.asarray(a) for a in args)
    edges: list[mpf | None] = [None, *(mpf(float(c)) for c in cuts.astype(np.float64)), None]

    def one(s: float, y: int, wrt: int | None) -> mpf:
        """The value, or its derivative in the score (0) or in the threshold below (1) or above (2) the level."""
        at = [mpf(float(s)), edges[y], edges[y + 1]]
        if wrt is None:
            return cumulative_link(*at, **options)
        if at[wrt] is None:
            return mpf(0)
        with mp.workprec(prec):
            return mp.diff(lambda v: cumulative_link(*at[:wrt], v, *at[wrt + 1 :], **options), at[wrt])

    flat = [(s, int(y)) for s, y in zip(score.astype(np.float64).ravel(), target.ravel(), strict=True)]
    value = Exact.of(np.array([one(s, y, None) for s, y in flat], dtype=object).reshape(score.shape))
    if not max_order:
        return Truth(value, np.ones(score.shape), ())
    own = Exact.of(np.array([one(s, y, 0) for s, y in flat], dtype=object).reshape(score.shape))
    table = np.full((len(flat), len(cuts)), mpf(0), dtype=object)
    for i, (s, y) in enumerate(flat):
        for k, wrt in ((y - 1, 1), (y, 2)):
            if 0 <= k < len(cuts):
                table[i, k] = one(s, y, wrt)
    return Truth(value, np.ones(score.shape), ((own, Exact.of(table.reshape(*score.shape, len(cuts)))),))


SHARED: dict[str, Callable[..., Truth]] = {"cumulative_link": linked}

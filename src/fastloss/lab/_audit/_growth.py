"""How the gradient behaves as the error grows, and what outliers do to an estimate. May import NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ._result import Finding, number
from ._subject import Array, Floats, Lines, Subject, along_first, spread

DECADES = 10  # errors of 1 to 1e9
ITEMS = {"elements": 16, "rows": 12, "regions": 4, "batch": 2}
ORDER = ("none", "vanishing", "constant", "sublinear", "proportional", "exploding")
TITLE = "Gradient as the error grows"


def growth(subject: Subject) -> Iterator[Finding]:
    """Vanishing, constant, proportional or exploding, on both sides; and the influence that follows from it."""
    answer = {}
    for side, lines in sides(subject).items():
        answer[side] = _behaviour(lines) if lines is not None else "none"
    said = "; ".join(f"{side} {kind}" for side, kind in answer.items())
    yield Finding("growth", TITLE, "note", f"{said}.", answer)
    wrong = [answer["wrong"]] if "wrong" in answer else [answer["uphill"]] if "uphill" in answer else list(answer.values())
    yield _influence(wrong)


def sides(subject: Subject) -> dict[str, Lines | None]:
    """Lines on which the error grows, by the name of the side."""
    if subject.kind == "elements":
        some = spread(subject, ITEMS["elements"])
        k = subject.paired
        x = some[subject.wrt[0]]
        if subject.labels is None:
            origin = some[k] if k is not None else x
            up, down = np.ones_like(x), -np.ones_like(x)
            return {side: Lines(subject, subject.with_first(some, origin), [d]) for side, d in (("above", up), ("below", down))}
        names = ("wrong", "right") if np.unique(some[subject.labels]).size <= 2 else ("uphill", "downhill")
        return dict(zip(names, _up_and_down(along_first(subject, some, x), first_only=True), strict=True))
    some = subject.take(subject.args, slice(0, ITEMS[subject.kind]))
    lines = Lines(subject, some, [np.zeros_like(a) for a in subject.predictions(some)])
    return dict(zip(("uphill", "downhill"), _up_and_down(lines, first_only=False), strict=True))


def _up_and_down(lines: Lines, first_only: bool) -> tuple[Lines | None, Lines | None]:
    """Along the gradient, and against it; items whose gradient is 0 are left out."""
    subject, args = lines.subject, lines.args
    gradients = subject.safe(args, "grad")[: 1 if first_only else None]
    n = lines.n
    norm = np.sqrt(sum((np.nan_to_num(g).reshape(n, -1) ** 2).sum(axis=1) for g in gradients))
    moving = np.flatnonzero(norm > 0)
    if not moving.size:
        return None, None
    units = [(g / np.where(norm > 0, norm, 1.0).reshape(-1, *(1,) * (g.ndim - 1)))[moving] for g in gradients]
    some = subject.take(args, moving)
    return Lines(subject, some, units), Lines(subject, some, [-u for u in units])


@np.errstate(all="ignore")
def _behaviour(lines: Lines) -> str:
    """The strongest growth among the items."""
    far = np.asarray(10.0 ** np.arange(DECADES), np.float64)
    sizes = lines.grid(far, "steepness")
    domain = ~np.isnan(lines.grid(far))
    if domain[:, -1].any():
        return max((_kind(row) for row in sizes[domain[:, -1]]), key=ORDER.index)
    near_edge = lines.grid(np.asarray(_edge(lines)[:, None] * (1 - 0.5 / far), np.float64), "steepness")
    kind = max((_kind(row) for row in near_edge), key=ORDER.index)
    return f"{'exploding' if kind == 'proportional' else kind} at the edge of the domain"


def _kind(sizes: Floats) -> str:
    """What gradients do at ever larger errors, ten times each."""
    if not np.isfinite(sizes).all():
        return "exploding"
    last, before = float(sizes[-1]), float(sizes[-2])
    if last <= 1e-12 * float(sizes.max()) or before == 0:
        return "vanishing"
    power = np.log10(last / before)
    for bound, kind in ((-0.05, "vanishing"), (0.02, "constant"), (0.95, "sublinear"), (1.05, "proportional")):
        if power <= bound:
            return kind
    return "exploding"


def _edge(lines: Lines) -> Floats:
    """Where the domain ends on each line."""
    index = np.arange(lines.n)
    low, high = np.zeros(lines.n), np.ones(lines.n)
    for _ in range(40):
        inside = ~np.isnan(lines.values(index, high))
        if not inside.any() or float(high.max()) > 1e6:
            break
        high = np.where(inside, 2 * high, high)
    for _ in range(40):
        middle = (low + high) / 2
        inside = ~np.isnan(lines.values(index, middle))
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low


def _influence(wrong: list[str]) -> Finding:
    title = "Robust: influence of one outlier"
    kind = max((w.partition(" ")[0] for w in wrong), key=ORDER.index)
    said = {
        "none": ("redescending", "an outlier has no gradient at all."),
        "vanishing": ("redescending", "redescending: the farther out a sample is, the less it pulls."),
        "constant": ("bounded", "bounded: an outlier pulls no harder than a moderate error."),
        "sublinear": ("unbounded", "unbounded, though it grows more slowly than the error."),
        "proportional": ("unbounded", "unbounded: an outlier pulls in proportion to its distance."),
        "exploding": ("unbounded", "unbounded: the pull grows faster than the distance."),
    }[kind]
    return Finding("influence", title, "note", said[1], said[0])


# ---- contamination -------------------------------------------------------------------------------

SHARES = (0.1, 0.2, 0.3)
SAMPLES = 100
FEWEST = 8  # of which a spread tells something
OUTLIER = 100.0  # standard deviations away


def contamination(subject: Subject) -> Iterator[Finding]:
    """How far outliers move the constant that minimises the mean loss: of elements with a real target."""
    title = "Robust: location with outliers"
    k = _target(subject)
    if subject.kind != "elements" or k is None or subject.labels is not None or subject.n < FEWEST:
        return
    args = subject.draw(subject.rng(50), SAMPLES)
    clean, x = args[k], args[subject.wrt[0]]
    spread_of = float(clean.std()) or 1.0
    low = float(min(x.min(), _inside(subject, args, clean)))
    moves: dict[str, float] = {}
    for distance in (OUTLIER, 100 * OUTLIER):
        centre = _location(subject, args, k, clean, low, distance * spread_of)
        for share in SHARES:
            target = clean.copy()
            target[: round(share * SAMPLES)] = clean.max() + distance * spread_of
            moved = _location(subject, args, k, target, low, distance * spread_of)
            unit = float(np.std(x)) if subject.paired is None else spread_of
            moves[f"{share:.0%} at {distance:g}"] = float(f"{abs(moved - centre) / unit:.3g}")
    near = [moves[f"{share:.0%} at {OUTLIER:g}"] for share in SHARES]
    far = [moves[f"{share:.0%} at {100 * OUTLIER:g}"] for share in SHARES]
    holds = [share for share, a, b in zip(SHARES, near, far, strict=True) if b <= 2 * a + 0.1]
    text = (
        f"10, 20 and 30 % outliers at {OUTLIER:g} standard deviations move the minimiser of the mean loss by "
        f"{', '.join(map(number, near))} of them; at {100 * OUTLIER:g}, by {', '.join(map(number, far))}"
    )
    text += f": it holds up to {holds[-1]:.0%}." if holds else ": their distance decides."
    yield Finding("contamination", title, "note", text, {"moves": moves, "holds": holds[-1] if holds else 0.0})


def _target(subject: Subject) -> int | None:
    """The array that an outlier is planted in."""
    x = subject.args[subject.wrt[0]]
    for k, a in enumerate(subject.args):
        if k not in subject.wrt and k not in subject.shared and a.shape == x.shape and a.dtype.kind == "f":
            return k
    return None


def _inside(subject: Subject, args: list[Array], candidate: Array) -> float:
    """The least target, if it can be predicted."""
    at = subject.safe(subject.with_first(args, np.full_like(candidate, candidate.min())))
    return float("inf") if np.isnan(at).any() else float(candidate.min())


def _location(subject: Subject, args: list[Array], k: int, target: Array, low: float, reach: float) -> float:
    """The constant prediction of the least total loss: a grid that is fine near the data, and three finer ones."""
    x = args[subject.wrt[0]]
    high = float(max(x.max(), target.max())) if subject.paired is not None else float(x.max() + np.log1p(reach) + 5)
    middle = max(float(x.max()), low + 1e-9 * max(1.0, abs(low)))
    grid = np.linspace(low, middle, 80)
    if high > middle:
        grid = np.concatenate([grid, middle + np.geomspace(1e-2 * (middle - low), high - middle, 60)])
    for _ in range(4):
        totals = _totals(subject, args, k, target, grid)
        best = int(np.nan_to_num(totals, nan=np.inf, posinf=np.finfo(float).max).argmin())
        grid = np.linspace(grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)], 21)
    return float(grid[10])


def _totals(subject: Subject, args: list[Array], k: int, target: Array, grid: Floats) -> Floats:
    n = len(target)
    tiled = subject.take([target if j == k else a for j, a in enumerate(args)], np.tile(np.arange(n), len(grid)))
    values = subject.safe(subject.with_first(tiled, np.repeat(grid, n)))
    with np.errstate(all="ignore"):
        totals: Any = values.reshape(len(grid), n).sum(axis=1)
    return np.asarray(totals, np.float64)

"""Requirements on values: not negative, 0 at a perfect prediction, convex in the prediction. May import NumPy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from . import _code
from ._result import Finding, number
from ._subject import REFUSALS, Array, Floats, Lines, Subject, along_first, is_float, segments, spread

STEPS = 60  # of the descent to a small loss
DESCENDED = {"elements": 16, "rows": 8, "regions": 4, "batch": 2}
SURE = 40.0  # logits of a confident prediction
TINY = 1e-6  # of the loss of random predictions: as good as 0
EPS = float(np.finfo(np.float64).eps)


# ---- range ---------------------------------------------------------------------------------------


def stated_bounds(subject: Subject) -> tuple[float | None, float | None, bool]:
    """What the loss's own range says: (least, most, whether on a condition)."""
    condition = bool(re.search(r"\b(for|if)\b", subject.range))
    matched = re.match(r"\s*[\[(]([^,\]]+),\s*([^\])]+)[\])]", subject.range)
    if matched is None:
        return None, None, condition

    def bound(text: str) -> float | None:
        try:
            return float(text)
        except ValueError:
            return None

    return bound(matched[1]), bound(matched[2]), condition


def values(subject: Subject) -> Iterator[Finding]:
    """Range, and what a perfect prediction costs."""
    least, most, condition = stated_bounds(subject)
    data = subject.draw(subject.rng(40), 256 if subject.kind == "elements" else subject.n)
    random = subject.each(data)
    scale = float(np.nanmax(np.abs(random), initial=0.0)) or 1.0
    trail = descent(subject) if not condition else []
    candidates = perfect(subject)
    seen = [("random data", data, random)]
    seen += [(f"prediction {said}", args, _each(subject, args)) for said, args in candidates]
    seen += [("a descent from random data", args, _each(subject, args)) for args in trail[-1:]]
    yield _nonnegative(subject, seen if not condition else seen[:1], least, most, scale)
    yield _zero(subject, seen[1:], least, scale)


def _each(subject: Subject, args: Sequence[Array]) -> Floats:
    """Single values, all nan if one is outside the domain."""
    try:
        return subject.each(args)
    except REFUSALS:
        return np.full(1, np.nan)


def _nonnegative(
    subject: Subject, seen: Sequence[tuple[str, list[Array], Floats]], least: Any, most: Any, scale: float
) -> Finding:
    title = "Not negative"
    low = min((float(np.nanmin(v)), k) for k, (_, _, v) in enumerate(seen) if not np.isnan(v).all())
    high = max(float(np.nanmax(v)) for _, _, v in seen if not np.isnan(v).all())
    said = f" (its range says {subject.range})" if subject.range else ""
    slack = 64 * EPS * scale
    text = f"values from {number(low[0])} to {number(high)} on random data and perfect predictions{said}."
    beyond = (least is not None and low[0] < least - slack) or (most is not None and high > most + 64 * EPS * abs(most))
    answer = low[0] >= -slack
    where, args, found = seen[low[1]]
    code = ""
    if not answer:
        i = int(np.nanargmin(found)) * subject.count(args) // len(found)
        shown = _code.one(subject, args, i)
        text = f"{number(low[0])} at {where}{said}."
        if _code.fits(shown):
            shown = _code.rounded(shown, lambda short: bool(subject.safe(_stacked(subject, short)).sum() < 0.5 * low[0]))
            lines = [*_code.header(subject), *_code.assignments(subject, shown, {})]
            code = "\n".join([*lines, f"value = {_code.call(subject, {})}", "assert value < 0, value"])
    verdict: Any = "fails" if beyond else "holds" if answer else "note"
    if beyond and answer:
        text = f"values from {number(low[0])} to {number(high)}, outside the range that it states{said}."
    return Finding("nonnegative", title, verdict, text, answer, code)


def _stacked(subject: Subject, args: Sequence[Array]) -> list[Array]:
    """The arrays of one call as items again."""
    if subject.kind != "batch":
        return list(args)
    return [a if k in subject.shared else a[None] for k, a in enumerate(args)]


def _zero(subject: Subject, seen: Sequence[tuple[str, list[Array], Floats]], least: Any, scale: float) -> Finding:
    title = "0 at a perfect prediction"
    size = np.abs if stated_bounds(subject)[2] else np.asarray  # on a condition: 0 and 40 may be outside the domain
    known = [(float(np.nanmin(size(v))), said, v) for said, _, v in seen if not np.isnan(v).all()]
    if not known:
        return Finding(
            "zero", title, "note", "no perfect prediction is known: pass data with a target of the prediction's shape."
        )
    lowest, said, found = min(known, key=lambda k: k[0])
    if abs(lowest) <= TINY * scale:
        share = float((np.abs(found) <= TINY * scale).mean())
        less = "" if share == 1 else f" for {share:.0%} of the targets (for others its least value is more)"
        return Finding("zero", title, "holds", f"reaches {number(lowest)} at {said}{less}.", True)
    text = f"the least value found is {number(lowest)}, by {said}."
    claimed = least == 0.0 and subject.paired is not None and lowest > 0
    if claimed:
        text += f" Its range says {subject.range}."
    return Finding("zero", title, "fails" if claimed else "note", text, False)


def perfect(subject: Subject) -> Iterator[tuple[str, list[Array]]]:
    """Predictions that may be perfect: the target, its logarithm, confidence in the label, 0."""
    args, x = subject.args, subject.args[subject.wrt[0]]
    for k, a in enumerate(args):
        if k == subject.wrt[0] or k in subject.shared:
            continue
        name = subject.arrays[k]
        if a.shape == x.shape and is_float(a):
            yield f"= {name}", subject.with_first(args, a)
            if (a > 0).all():
                yield f"= log {name}", subject.with_first(args, np.log(a))
        if subject.kind == "elements" and is_float(a) and subject.labels == k:
            yield f"= {SURE:g} x the sign of {name}", subject.with_first(args, np.where(a > 0, SURE, -SURE))
        elif subject.kind == "rows" and not is_float(a) and a.shape == x.shape[:-1] and 0 <= a.min() <= a.max() < x.shape[-1]:
            right = np.arange(x.shape[-1]) == a[..., None]
            yield f"sure of {name}", subject.with_first(args, np.where(right, 0.0, -SURE))
            yield f"sure of {name} (energies)", subject.with_first(args, np.where(right, -SURE, 0.0))
    yield "= 0", subject.with_first(args, np.zeros_like(x))


def descent(subject: Subject) -> list[list[Array]]:
    """Steps down the gradient from random data, each item with its own step: the arrays after each."""
    if "descent" not in subject.memory:
        subject.memory["descent"] = _descended(subject)
    trail: list[list[Array]] = subject.memory["descent"]
    return trail


def _descended(subject: Subject) -> list[list[Array]]:
    args = subject.take(subject.args, slice(0, DESCENDED[subject.kind]))
    best, trail = subject.values(args), [args]
    size = np.ones(len(best))
    for _ in range(STEPS):
        gradients = subject.safe(args, "grad")
        with np.errstate(all="ignore"):
            norm = np.sqrt(sum((g.reshape(len(best), -1) ** 2).sum(axis=1) for g in gradients))
            scale = np.where(norm > 0, size / norm, 0.0)
        x = subject.predictions(args)
        moved = [a - _beside(scale, g) * np.nan_to_num(g) for a, g in zip(x, gradients, strict=True)]
        now = subject.safe(subject.with_all(args, moved))
        better = now < best
        best = np.where(better, now, best)
        kept = [np.where(_beside(better, a), b, a) for a, b in zip(x, moved, strict=True)]
        args = subject.with_all(args, kept)
        size = np.where(better, 2 * size, size / 4)
        trail.append(args)
        if not better.any() and float(size.max()) < 1e-9:
            break
    return trail


def _beside(per_item: Array, a: Array) -> Array:
    """One number per item, against an array of items."""
    return per_item.reshape(-1, *(1,) * (a.ndim - 1))


# ---- convexity -----------------------------------------------------------------------------------

TRIED = {"rows": 64, "regions": 24, "batch": 6}
POINTS = 33


def convex(subject: Subject) -> Iterator[Finding]:
    """Midpoints of random segments in the prediction against the means of their ends."""
    title = "Convex in the prediction"
    worst, tried = None, 0
    for lines, s in _lines(subject):
        grid = lines.grid(s)
        tried += grid.shape[0]
        found = _violation(grid)
        if found is not None and (worst is None or found[0] > worst[0]):
            worst = (*found, lines, s)
        if worst is not None and worst[0] > 0.05:
            break
    if worst is None:
        yield Finding("convex", title, "holds", f"no counter-example on {tried} random segments.", True)
        return
    _, i, middle, step, lines, s = worst
    text, code = _counter_example(subject, lines, i, s[middle - step], s[middle + step])
    yield Finding("convex", title, "note", text, False, code)


def _lines(subject: Subject) -> Iterator[tuple[Lines, Floats]]:
    """Segments of every length, and for elements the prediction alone, far out on both sides of targets."""
    s = np.linspace(0.0, 1.0, POINTS)
    if subject.kind == "elements":
        some = spread(subject, 12)
        x = some[subject.wrt[0]]
        for reach in (3.0, 20.0, 300.0):
            yield along_first(subject, some, np.zeros_like(x) - 0.01 * reach), (2 * s - 1) * reach
        yield segments(subject, 200, 128), s
        return
    for salt, stretch in ((200, 1.0), (202, 3.0)):
        yield segments(subject, salt, TRIED[subject.kind], stretch), s


@np.errstate(all="ignore")
def _violation(grid: Floats) -> tuple[float, int, int, int] | None:
    """(how much, line, middle, step) of the midpoint that lies farthest above the mean of its ends, in terms of the values."""
    best = None
    for step in (1, 2, 4, 8, 16):
        a, m, b = grid[:, : -2 * step], grid[:, step:-step], grid[:, 2 * step :]
        size = np.maximum(np.abs(a), np.maximum(np.abs(b), np.abs(m)))
        above = np.where(np.isfinite(size), (m - (a + b) / 2) / np.maximum(size, 1e-300), -1.0)
        i, j = np.unravel_index(int(np.nan_to_num(above, nan=-1.0).argmax()), above.shape)
        if above[i, j] > 1e-7 and (best is None or above[i, j] > best[0]):
            best = (float(above[i, j]), int(i), int(j) + step, step)
    return best


def _counter_example(subject: Subject, lines: Lines, i: int, low: float, high: float) -> tuple[str, str]:
    """The two ends, in words and as code."""
    index = np.array([i])
    ends = [lines.at(index, np.array([s])) for s in (low, high)]
    a, b = (_code.one(subject, end, 0) for end in ends)
    both: list[Array] = [*a, *(b[k] for k in subject.wrt)]

    def gap(arrays: Sequence[Array]) -> tuple[float, float]:
        first = list(arrays[: len(a)])
        second = subject.with_all(first, arrays[len(a) :])
        middle = [(first[k] + second[k]) / 2 for k in subject.wrt]
        at = [float(subject.call(x, "sum")) for x in (first, second, subject.with_all(first, middle))]
        return at[2], (at[0] + at[1]) / 2

    full = gap(both)
    if _code.fits(both):
        both = _code.rounded(both, lambda short: np.subtract(*gap(short)) > 0.5 * (full[0] - full[1]))
    middle, mean = gap(both)
    text = f"no: halfway between two predictions it is {number(middle)}, the mean of the two {number(mean)}."
    if not _code.fits(both):
        return text, ""
    names = {k: f"{subject.arrays[k]}_a" for k in subject.wrt}, {k: f"{subject.arrays[k]}_b" for k in subject.wrt}
    halfway = {k: f"({one} + {names[1][k]}) / 2" for k, one in names[0].items()}
    made = _code.assignments(subject, both[: len(a)], names[0])
    made += [f"{names[1][k]} = {_code.literal(end)}" for k, end in zip(subject.wrt, both[len(a) :], strict=True)]
    calls = [f"middle = {_code.call(subject, halfway)}"]
    calls += [f"{end} = {_code.call(subject, name)}" for end, name in zip(("at_a", "at_b"), names, strict=True)]
    return text, "\n".join([*_code.header(subject), *made, *calls, "assert middle > (at_a + at_b) / 2"])

"""Requirements on derivatives: kinks found and located, gradient and Hessian right, curvature fit for boosting. May import
gradcheck and NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from fastloss.lab._gradcheck import gradcheck
from fastloss.lab._report import GradcheckResult

from . import _code
from ._kinks import Kinks, locate, places
from ._result import Finding, Verdict, number, numbers
from ._subject import Floats, Lines, Subject, along_first, segments, spread, strays, takes_weights

SEGMENTS = {"rows": 48, "regions": 8, "batch": 3}
INTERVALS = {"rows": 20, "regions": 10, "batch": 8}
SHOWN = 6  # places that a text names
TRIED = {"elements": 24, "rows": 8, "regions": 1, "batch": 1}  # items that gradcheck sees
ENTRIES = {"elements": 120, "rows": 80, "regions": 60, "batch": 32}  # of an array, compared


def kinks(subject: Subject) -> Iterator[Finding]:
    """Differentiable almost everywhere: where not, and what the one-sided slopes are."""
    lines, grid, axis = scan(subject)
    found = look(lines, grid, "values")
    if subject.kind in ("rows", "regions"):
        others = strays(subject, 102, SEGMENTS[subject.kind]) or segments(subject, 102, SEGMENTS[subject.kind], 3.0)
        found = look(others, grid, "values", found)
    whole, broken = found.where(found.jump == 0), found.where(found.jump != 0)
    whole, axis = _in_fewest_places(subject, lines, whole, axis)
    answer: Any = places(whole.at) if subject.kind == "elements" else bool(len(whole.at))
    if len(broken.at):
        yield _broken(subject, lines, broken, axis)
    elif not len(whole.at):
        yield Finding("kinks", "Differentiable", "holds", f"no kink in {_extent(lines, grid, axis)}.", answer)
    else:
        yield _kinked(subject, lines, whole, axis, answer, _extent(lines, grid, axis))
    if subject.kind == "elements" and subject.analytic:
        yield from _corners(subject, lines, grid, axis, found)


def scan(subject: Subject) -> tuple[Lines, Floats, str]:
    """Lines to look at, where their intervals end, and what the axis is called."""
    if subject.kind != "elements":
        lines = segments(subject, 100, SEGMENTS[subject.kind])
        return lines, np.linspace(0.0, 1.0, INTERVALS[subject.kind] + 1), "line"
    some = spread(subject, 8)
    x, k = some[subject.wrt[0]], subject.paired
    origin, axis = (some[k], "error") if k is not None else (np.zeros_like(x), subject.arrays[subject.wrt[0]])
    lines = along_first(subject, some, origin)
    near = np.linspace(-6.0, 6.0, 97) + 0.0137
    far = near[-1] * 1.3 ** np.arange(1, 29)
    grid = np.concatenate([-far[::-1], near, far])
    if np.isnan(lines.grid(grid)).any():  # a domain that ends: look inside what the data cover
        least, most = subject.args[subject.wrt[0]].min(), subject.args[subject.wrt[0]].max()
        grid = np.linspace(least, most, 98)
        lines, axis = along_first(subject, some, np.zeros_like(x)), subject.arrays[subject.wrt[0]]
    return lines, grid, axis


def _in_fewest_places(subject: Subject, lines: Lines, kinks: Kinks, axis: str) -> tuple[Kinks, str]:
    """Kinks that follow another array lie in one place, measured from that."""
    first = subject.arrays[subject.wrt[0]]
    if subject.kind != "elements" or axis != first:
        return kinks, axis
    for k, a in enumerate(lines.args):
        if k not in (subject.wrt[0], subject.labels) and k not in subject.shared and a.dtype.kind == "f":
            moved = replace(kinks, at=kinks.at - a[kinks.line])
            if len(places(moved.at)) < len(places(kinks.at)):
                kinks, axis = moved, f"{first} - {subject.arrays[k]}"
    return kinks, axis


def _extent(lines: Lines, grid: Floats, axis: str) -> str:
    if axis == "line":
        return f"{lines.n} lines between random predictions, and as many beyond them"
    return f"{axis} from {number(grid[0])} to {number(grid[-1])}, {lines.n} targets"


def look(lines: Lines, grid: Floats, what: str, before: Kinks | None = None) -> Kinks:
    """Kinks of values, or of slopes, on all lines; or those found before, if there are some."""
    if before is not None and len(before.at):
        return before
    line = np.repeat(np.arange(lines.n), len(grid) - 1)
    with np.errstate(all="ignore"):
        values = np.abs(lines.grid(grid[len(grid) // 4 : -len(grid) // 4], what))
    known = values[np.isfinite(values)]
    usual = float(np.median(known)) if known.size else 0.0
    return locate(getattr(lines, what), line, np.tile(grid[:-1], lines.n), np.tile(grid[1:], lines.n), usual)


def _broken(subject: Subject, lines: Lines, broken: Kinks, axis: str) -> Finding:
    """The value itself jumps."""
    where = f"{axis} {number(broken.at[0])}" if axis != "line" else f"{len(broken.at)} places between random predictions"
    text = f"the value jumps at {where}: from {number(broken.left[0])} to {number(broken.right[0])}."
    verdict: Verdict = "note" if subject.kind == "batch" else "fails"
    code = _jump_code(subject, lines, broken) if subject.kind == "elements" else ""
    return Finding("kinks", "Differentiable", verdict, text, "jump", code)


def _jump_code(subject: Subject, lines: Lines, broken: Kinks) -> str:
    """The values on both sides of the first jump."""
    at, i, first = float(broken.at[0]), np.array([broken.line[0]]), subject.wrt[0]
    sides = {f"{subject.arrays[first]}_{side}": sign for side, sign in (("below", -1), ("above", 1))}
    step = 1e-4 * max(1.0, abs(at))
    ends = [f"{name} = {_code.literal(lines.at(i, np.array([at + sign * step]))[first])}" for name, sign in sides.items()]
    args = subject.take(lines.args, i)
    rest = [line for k, line in enumerate(_code.assignments(subject, args, {})) if k != first]
    below, above = (_code.call(subject, {first: name}) for name in sides)
    check = [f"jump = {above} - {below}", f"assert abs(jump) > {abs(broken.jump[0]) / 2:.3g}, jump"]
    return "\n".join([*_code.header(subject), *rest, *ends, *check])


def _kinked(subject: Subject, lines: Lines, whole: Kinks, axis: str, answer: Any, extent: str) -> Finding:
    """Kinks, with their one-sided slopes."""
    if axis == "line":
        left, right = whole.left[0], whole.right[0]
        text = (
            f"almost everywhere; {len(whole.at)} kinks on {lines.n} lines between random predictions, where the slope along "
            f"the line jumps (first: from {number(left)} to {number(right)})."
        )
        return Finding("kinks", "Differentiable", "note", text, answer)
    shown = []
    for at in answer[:SHOWN]:
        i = int(np.abs(whole.at - at).argmin())
        shown.append(f"{number(at)} (slope {number(whole.left[i])} below, {number(whole.right[i])} above)")
    more = f" and {len(answer) - SHOWN} more" if len(answer) > SHOWN else ""
    text = f"almost everywhere; kinks at {axis} {', '.join(shown)}{more}; in {extent}."
    return Finding("kinks", "Differentiable", "note", text, answer)


def _corners(subject: Subject, lines: Lines, grid: Floats, axis: str, found: Kinks) -> Iterator[Finding]:
    """Where the gradient is continuous and the second derivative jumps."""
    at = look(lines, grid, "slopes")
    at = at.where(at.jump == 0)
    corners = [x for x in places(at.at) if not np.any(np.abs(found.at - x) < 1e-2 * max(1.0, abs(x)))]
    if corners:
        i = int(np.abs(at.at - corners[0]).argmin())
        text = (
            f"the second derivative jumps at {axis} {numbers(corners[:SHOWN])} (at the first from {number(at.left[i])} to "
            f"{number(at.right[i])}), which Newton steps notice."
        )
        yield Finding("corners", "Gradient without corners", "note", text, corners)
    else:
        yield Finding(
            "corners", "Gradient without corners", "holds", "the second derivative is continuous where there is a first.", []
        )


# ---- gradcheck -----------------------------------------------------------------------------------


def slopes(subject: Subject) -> Iterator[Finding]:
    """Gradient and Hessian against numeric slopes, for every reduction, with weights and without."""
    if not subject.analytic:
        text = "there is no gradient to check: what is used are central differences. Pass grad= to fl.custom for an exact one."
        yield Finding("gradient", "Gradient right", "note", text)
        return
    args = subject.take(subject.args, slice(0, TRIED[subject.kind]))
    if subject.kind == "batch":
        args = subject.take(args, 0)
    settings: dict[str, Any] = {"verbose": False, "seed": subject.seed, "max_entries": ENTRIES[subject.kind]}
    results = [_gradcheck(subject, args, settings)]
    if takes_weights(subject.loss):
        weights = subject.rng(20).uniform(0.5, 2.0, np.shape(subject.call(args, "none"))[:1])
        results.append(_gradcheck(subject, args, {**settings, "sample_weight": weights, "max_entries": 12, "hess": False}))
    for key, title, order in (("gradient", "Gradient right", 1), ("hessian", "Hessian right", 2)):
        checks = [c for result in results for c in result.checks if c.order == order]
        if not checks:
            yield Finding(key, title, "note", "there is no Hessian to check.")
            continue
        yield _compared(subject, args, key, title, checks)


def _gradcheck(subject: Subject, args: list[Any], settings: dict[str, Any]) -> GradcheckResult:
    loss: Any = subject.loss
    with np.errstate(all="ignore"):
        return gradcheck(loss, *args, **{**subject.params, **settings})


def _compared(subject: Subject, args: list[Any], key: str, title: str, checks: list[Any]) -> Finding:
    """What some checks of gradcheck say together."""
    failed = [c for c in checks if c.failed]
    compared, skipped = sum(c.checked for c in checks), sum(c.skipped for c in checks)
    if failed:
        worst = failed[0].failures[0]
        text = (
            f"{failed[0].argument}, reduction {', '.join(dict.fromkeys(c.reduction for c in failed))}: "
            f"{sum(c.failed for c in failed)} of {compared} entries differ from the slope of the value; {worst}."
        )
        method = "grad" if key == "gradient" else "hess"
        return Finding(key, title, "fails", text, False, _gradcheck_code(subject, args, method))
    if not all(c.passed for c in checks):
        text = f"{skipped} of {compared + skipped} entries cannot be compared (kinks, edge of the domain): too few to tell."
        return Finding(key, title, "note", text)
    reductions = ", ".join(dict.fromkeys(c.reduction for c in checks))
    less = f" ({skipped} skipped at kinks or edges)" if skipped else ""
    with_weights = ", also with weights" if key == "gradient" and takes_weights(subject.loss) else ""
    return Finding(key, title, "holds", f"{compared} entries agree with numeric slopes{less}: {reductions}{with_weights}.", True)


def _gradcheck_code(subject: Subject, args: list[Any], method: str) -> str:
    """The comparison for a reader to repeat, on the first items."""
    few = args if subject.kind == "batch" else subject.take(args, slice(0, 3))
    if not _code.fits(few):
        return ""
    names = ", ".join(subject.arrays)
    options = "".join(f", {name}={value!r}" for name, value in subject.params.items())
    own = getattr(subject.loss, "function", subject.loss)  # the object itself, where reductions are its own
    whole = "loss" if hasattr(own, "value_and_grad") else "(loss, loss.grad)"
    more = "" if method == "hess" or whole != "loss" else ", hess=False" if subject.curvature else ""
    few = _code.tidy(subject, few)
    lines = [*_code.header(subject, library=True), *_code.assignments(subject, few, {})]
    return "\n".join([*lines, f"result = fl.gradcheck({whole}, {names}{options}{more})", "assert not result"])


def curvature(subject: Subject) -> Iterator[Finding]:
    """What boosted trees divide by: the share of Hessians that are 0 or negative on random data."""
    title = "Hessian fit for boosting"
    if not subject.curvature or not hasattr(subject.loss, "hess"):
        yield Finding("curvature", title, "note", "there is no Hessian: boosting needs one of its own, such as 1.", None)
        return
    items = {"elements": 4096, "rows": 512, "regions": 32, "batch": 2}[subject.kind]
    args = subject.draw(subject.rng(30), items)
    second = np.concatenate([np.ravel(h) for h in subject.gradients(args, "hess")])
    second = second[np.isfinite(second)]
    small = 1e-12 * max(float(np.abs(second).max(initial=0.0)), 1e-300)
    zero, negative = float((np.abs(second) <= small).mean()), float((second < -small).mean())
    answer = {"zero": round(zero, 4), "negative": round(negative, 4)}
    if zero == negative == 0:
        yield Finding("curvature", title, "holds", f"all of {second.size} Hessians of random data are > 0.", answer)
        return
    parts = [f"{share:.1%} {word}" for share, word in ((zero, "are 0"), (negative, "are negative")) if share]
    advice = "they need a floor (min_child_weight, max(hess, eps))"
    yield Finding(
        "curvature", title, "note", f"of {second.size} Hessians of random data {' and '.join(parts)}: {advice}.", answer
    )

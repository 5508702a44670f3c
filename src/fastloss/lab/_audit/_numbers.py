"""Requirements on numbers: finite on extreme input, exact near 0, means of large batches. May import NumPy.

What a value should be is asked of a wider type: float64 for float32, and for float64 the function itself in long double, if there
is one that takes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from . import _code
from ._result import Finding, Verdict, number
from ._subject import REFUSALS, Array, Floats, Subject, denominator, is_float, spread
from ._values import DESCENDED, descent, perfect, stated_bounds

DTYPES = ("float32", "float64")
FEW = 8
LOST = 1e-3  # relative error: all but three digits lost
ROOM = 16.0  # times a loss, its terms may be: then inf is no fault
ULPS = 64.0  # more than that is worth a note


def wider(subject: Subject, args: Sequence[Array]) -> Floats | None:
    """Values of the same numbers in a wider type, (items,); None if there is none."""
    narrow = next(a.dtype for a in args if is_float(a))
    if subject.raw is None:
        return subject.safe(subject.cast(args, np.float64)) if narrow == np.float32 else None
    wide = np.float64 if narrow == np.float32 else np.longdouble
    if np.finfo(wide).max == np.finfo(narrow).max:
        return None
    try:
        with np.errstate(all="ignore"):
            each = np.asarray(subject.raw(*subject.cast(args, wide), **subject.params))
    except REFUSALS:
        return None
    if each.dtype.kind != "f":
        return None
    n = subject.count(args)
    return each.reshape(n, -1).sum(axis=1) if each.size and each.size % n == 0 else None


# ---- extremes ------------------------------------------------------------------------------------


def finite(subject: Subject) -> Iterator[Finding]:
    """Extreme predictions in every type: what is not finite, and whether it should be."""
    faults: list[str] = []
    answer: dict[str, dict[str, str]] = {dtype: {} for dtype in DTYPES}
    code = ""
    for dtype in DTYPES:
        for said, args in _extremes(subject, dtype):
            answer[dtype][said], fault = _outcome(subject, args, dtype, said)
            if fault:
                faults.append(f"{dtype}, {said}: {fault}")
                code = code or _extreme_code(subject, args, dtype)
    title = "Finite on extreme input"
    if faults:
        more = f" (and {len(faults) - 2} more)" if len(faults) > 2 else ""
        yield Finding("finite", title, "fails", f"{'; '.join(faults[:2])}{more}.", answer, code)
        return
    tried = f"predictions of 1e2 to 1e30, the largest, the least and infinite ones as {' and '.join(DTYPES)}"
    notes = list(_unfinite(answer))
    if not notes:
        yield Finding("finite", title, "holds", f"{tried}: no nan, no inf but at infinity.", answer)
        return
    text = f"{tried}: nothing that the type could say is lost. {'; '.join(notes)}."
    yield Finding("finite", title, "holds", text, answer)


def _unfinite(answer: dict[str, dict[str, str]]) -> Iterator[str]:
    """What is not finite, and needs not be."""
    for word, said in (("inf", "Too large for"), ("nan", "nan in"), ("refused", "Refused in")):
        for dtype, outcomes in answer.items():
            at = [size for size, outcome in outcomes.items() if outcome == word]
            both = dict.fromkeys(size.lstrip("+-") for size in at)
            if at:
                signs = ("+-" if {s, f"-{s}"} <= set(at) or {f"+{s}", f"-{s}"} <= set(at) else "-" * (s not in at) for s in both)
                yield f"{said} {dtype} at {', '.join(sign + size for sign, size in zip(signs, both, strict=True))}"


def _extremes(subject: Subject, dtype: str) -> Iterator[tuple[str, list[Array]]]:
    """Predictions of one size after the other, as they are in rows, with the usual targets."""
    info = np.finfo(dtype)
    few = spread(subject, FEW) if subject.kind == "elements" else subject.take(subject.args, slice(0, 4))
    x = few[subject.wrt[0]]
    unit = np.ones_like(x) if subject.kind == "elements" else x / np.abs(x).max()
    sizes: list[tuple[str, Any]] = [(f"{s:g}", s) for s in (1e2, 1e3, 1e4, 1e8, 1e19, 1e30)]
    sizes += [("the largest", info.max), ("the least normal", info.tiny), ("the least subnormal", info.smallest_subnormal)]
    for said, size in sizes:
        for sign in (1.0, -1.0):
            with np.errstate(all="ignore"):
                extreme = (sign * unit * float(size)).astype(dtype)
            yield f"{'-' * (sign < 0)}{said}", _with(subject, few, extreme, dtype)
    if subject.kind == "elements":
        for infinity in (np.inf, -np.inf):
            yield f"{infinity:+}", _with(subject, few, np.full(x.shape, infinity, dtype), dtype)


def _with(subject: Subject, few: Sequence[Array], extreme: Array, dtype: str) -> list[Array]:
    return subject.with_first(subject.cast(few, dtype), extreme)


@np.errstate(all="ignore")
def _outcome(subject: Subject, args: list[Array], dtype: str, said: str) -> tuple[str, str]:
    """(finite, inf, nan or refused; what is wrong with that)."""
    try:
        values = subject.values(args)
        gradients = subject.gradients(args) if subject.analytic else []
    except REFUSALS:
        return "refused", ""
    lost = np.isnan(values) | _lost(gradients, len(values))
    infinite = "inf" in said
    if infinite:
        limits = [subject.safe(_with(subject, args, np.sign(args[subject.wrt[0]]) * s, dtype)) for s in (1e8, 1e16)]
        fault = lost & ~np.isnan(limits[0]) & ~np.isnan(limits[1])
        clear = "nan, though the values before tend to a limit" if np.isnan(values).any() else "the gradient is nan"
        return ("nan" if lost.any() else "finite"), clear if fault.any() else ""
    if lost.any():
        return "nan", "" if _is_beyond(subject, args, dtype) else "nan" if np.isnan(values).any() else "the gradient is nan"
    over = np.isinf(values)
    if not over.any():
        return "finite", ""
    truth = wider(subject, args)
    if truth is None or not (fault := over & np.isfinite(truth) & (np.abs(truth) < np.finfo(dtype).max / ROOM)).any():
        return "inf", ""
    return "inf", f"inf, where the loss is {number(float(truth[fault][0]))}"


def _is_beyond(subject: Subject, args: list[Array], dtype: str) -> bool:
    """Whether the loss, or terms as large as it, cannot be said in this type: judged by how it grows up to where it can."""
    x = args[subject.wrt[0]]
    size = float(np.abs(x).max())
    if not size > 1e30:
        return False
    near, far = (
        subject.safe(_with(subject, args, (x.astype(np.float64) * (s / size)).astype(dtype), dtype)) for s in (1e10, 1e15)
    )
    power = np.log10(np.abs(far) / np.abs(near)) / 5
    reached = np.log10(np.abs(far)) + power * (np.log10(size) - 15)
    return bool((reached >= np.log10(np.finfo(dtype).max) - np.log10(ROOM)).any())


def _lost(gradients: Sequence[Floats], n: int) -> Any:
    """Which items have a gradient with nan in it."""
    lost = np.zeros(n, bool)
    for g in gradients:
        lost |= np.isnan(g).reshape(n, -1).any(axis=1)
    return lost


def _extreme_code(subject: Subject, args: list[Array], dtype: str) -> str:
    """The first single item that is at fault."""
    items = [subject.take(args, slice(i, i + 1)) for i in range(subject.count(args))]
    fault = next((item for item in items if _outcome(subject, item, dtype, "")[0] != "finite"), items[0])
    few = _code.one(subject, fault, 0)
    if not _code.fits(few):
        return ""
    lines = [*_code.header(subject), *_code.assignments(subject, few, {})]
    numbers = ["value"]
    lines.append(f"value = {_code.call(subject, {})}")
    if subject.analytic:
        lines.append(f"gradient = {_code.call(subject, {}, 'grad')}")
        numbers.append("np.sum(gradient)")
    return "\n".join([*lines, f"assert not np.isfinite({' + '.join(numbers)})"])


# ---- precision -----------------------------------------------------------------------------------


def precision(subject: Subject) -> Iterator[Finding]:
    """Digits lost where the loss is nearly 0: the same numbers in a wider type."""
    title = "Exact near 0"
    worst: dict[str, tuple[float, float, list[Array], int]] = {}
    for dtype in DTYPES:
        for args in _near_zero(subject, dtype):
            found = _error(subject, args, dtype)
            if found is not None and (dtype not in worst or found[0] > worst[dtype][0]):
                worst[dtype] = (found[0], found[1], args, found[2])
    if not worst:
        yield Finding("precision", title, "note", "there is no wider type to compare with, or no value near 0.")
        return
    answer = {dtype: {"relative": relative, "ulp": ulps} for dtype, (relative, ulps, _, _) in worst.items()}
    said = ", ".join(f"{dtype} within {number(entry['ulp'])} ULP" for dtype, entry in answer.items())
    bad = [dtype for dtype, entry in answer.items() if entry["relative"] > LOST]
    if not bad:
        verdict: Verdict = "holds" if all(entry["ulp"] <= ULPS for entry in answer.values()) else "note"
        yield Finding("precision", title, verdict, f"{said} of the same numbers in a wider type.", answer)
        return
    _, _, args, i = worst[bad[0]]
    one = subject.take(args, slice(i, i + 1))
    got, truth = float(subject.values(one)[0]), float(_wider(subject, one)[0])
    if abs(got - truth) <= LOST * truth:
        yield Finding("precision", title, "note", "a sample alone has its digits; in a batch it depends on the others.", answer)
        return
    text = f"{bad[0]} gives {number(got)} where it should be {number(truth)}: the digits cancel."
    shown = _code.one(subject, args, i)
    code = ""
    if _code.fits(shown):
        lines = [*_code.header(subject), *_code.assignments(subject, shown, {}), f"value = {_code.call(subject, {})}"]
        code = "\n".join([*lines, f"exact = {truth!r}", f"assert abs(value - exact) > {LOST} * exact, value"])
    yield Finding("precision", title, "fails", text, answer, code)


def _wider(subject: Subject, args: Sequence[Array]) -> Floats:
    found = wider(subject, args)
    assert found is not None
    return found


def _near_zero(subject: Subject, dtype: str) -> Iterator[list[Array]]:
    """Predictions that become better and better."""
    k = subject.paired
    if k is not None:
        few = spread(subject, 16)
        target = few[k]
        for decade in range(1, 7 if dtype == "float32" else 9):
            for sign in (1.0, -1.0):
                x = target + sign * 10.0**-decade * np.maximum(np.abs(target), 0.1)
                yield subject.cast(subject.with_first(few, x), dtype)
        return
    if subject.labels is not None:
        for said, args in perfect(subject):
            if "sign" in said or "sure" in said:
                for size in (0.05, 0.1, 0.25, 0.4, 0.6, 0.9):
                    x = args[subject.wrt[0]] * size
                    yield subject.cast(subject.take(subject.with_first(args, x), slice(0, 32)), dtype)
    if not stated_bounds(subject)[2]:
        trail = descent(subject)
        for args in trail[:: max(1, len(trail) // 12)]:
            yield subject.cast(args, dtype)


@np.errstate(all="ignore")
def _error(subject: Subject, args: list[Array], dtype: str) -> tuple[float, float, int] | None:
    """(relative error, in ULP, item) of the worst item; None if there is nothing to compare."""
    values, truth = subject.safe(args), wider(subject, args)
    if truth is None:
        return None
    if (truth < 0).any():
        return None  # a loss that passes through 0 is a difference, whose relative error tells nothing
    info = np.finfo(dtype)
    usual = float(np.median(np.abs(subject.values(subject.take(subject.args, slice(0, DESCENDED[subject.kind]))))))
    told = np.isfinite(truth) & (truth > np.sqrt(info.tiny)) & (truth < 1e-1 * usual)
    if not told.any():
        return None
    relative = np.where(told, np.abs(values - truth) / np.where(told, truth, 1.0), 0.0)
    i = int(relative.argmax())
    step = float(np.spacing(truth[i].astype(dtype)))
    return float(relative[i]), float(abs(values[i] - truth[i]) / step), i


def large_batch(subject: Subject) -> Iterator[Finding]:
    """The mean of a huge batch of float32 against the mean of its values in float64."""
    if subject.kind in ("regions", "batch"):
        return
    title = "Means of huge batches"
    items = 2**18 if subject.kind == "elements" else 2**14
    few = subject.cast(subject.take(subject.args, slice(0, 16)), "float32")
    args = subject.take(few, np.resize(np.arange(16), items))
    each = np.asarray(subject.call(args, "none"), np.float64)
    exact = float(each.sum()) / denominator(subject, args, each)
    mean = float(subject.call(args, "mean"))
    error = abs(mean - exact) / max(abs(exact), 1e-300)
    if error <= 1e-4:
        yield Finding("large_batch", title, "holds", f"{items} samples of float32: off by {error:.1g}.", error)
        return
    text = f"the mean of {items} samples of float32 is {number(mean)}, off by {error:.1%}."
    yield Finding("large_batch", title, "fails", text, error)

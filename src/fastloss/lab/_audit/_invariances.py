"""What leaves a loss as it is: the order of the batch, shifts, scales, the order of the classes. May import NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import _code
from ._result import Finding, number
from ._subject import Array, Floats, Subject, is_float

SAME = 1e-9


def batch(subject: Subject) -> Iterator[Finding]:
    """A sample's value must not depend on where it stands, nor (but for losses of a whole batch) on its company."""
    title = "Order of the batch"
    args = subject.args
    if subject.kind == "batch":
        order = subject.rng(60).permutation(args[subject.wrt[0]].shape[1])
        moved = [a if k in subject.shared else a[:, order] for k, a in enumerate(args)]
        same = _same(subject.values(moved), subject.values(args))
        text = "the total stays as it is when the rows change places." if same else "the total depends on the order of the rows."
        yield Finding("batch", title, "holds" if same else "fails", text, same)
        return
    order = subject.rng(60).permutation(subject.n)
    values = subject.values(args)
    moved = subject.take(args, order)
    half = subject.n // 2
    places = subject.values(moved)
    company = np.concatenate([subject.values(subject.take(args, part)) for part in (slice(0, half), slice(half, None))])
    if not _same(places, values[order]):
        i = int(np.abs(places - values[order]).argmax())
        text = f"a sample of value {number(values[order][i])} has the value {number(places[i])} at another place of the batch."
        yield Finding("batch", title, "fails", text, False, _order_code(subject))
    elif not _same(company, values):
        i = int(np.abs(company - values).argmax())
        text = f"a sample of value {number(values[i])} has the value {number(company[i])} without the rest of the batch."
        yield Finding("batch", title, "fails", text, False, _company_code(subject, i))
    else:
        yield Finding("batch", title, "holds", "samples keep their values at any place, and in any company.", True)


def _order_code(subject: Subject) -> str:
    """Four samples in two orders, if that shows it."""
    few = subject.take(subject.args, slice(0, 4))
    back = subject.take(few, slice(None, None, -1))
    shown = not _same(subject.values(few)[::-1], subject.values(back))
    return _two_calls(subject, few, "[::-1]") if shown else ""


def _company_code(subject: Subject, i: int) -> str:
    """A sample alone, and beside one that changes it, if there is one."""
    alone = subject.values(subject.take(subject.args, [i]))
    for j in range(subject.n):
        pair = subject.take(subject.args, [i, j])
        if not _same(subject.values(pair)[:1], alone):
            return _two_calls(subject, pair, "[:1]")
    return ""


def _two_calls(subject: Subject, few: list[Array], end: str) -> str:
    """Samples, and some of them or another order of them."""
    if not _code.fits(few):
        return ""
    few = _code.tidy(subject, few)
    names = {k: f"{name}{end}" for k, name in enumerate(subject.arrays) if k not in subject.shared}
    lines = [*_code.header(subject), *_code.assignments(subject, few, {})]
    lines.append(f"values = {_code.call(subject, {}, reduction='none')}")
    lines.append(f"again = {_code.call(subject, names, reduction='none')}")
    return "\n".join([*lines, f"assert not np.allclose(values{end}, again)"])


def _same(a: Floats, b: Floats) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=SAME, atol=SAME * float(np.abs(b).max(initial=0.0))))


def _moving(subject: Subject) -> list[int]:
    """What is shifted and scaled together: predictions, and targets of their kind."""
    k = subject.paired if subject.kind == "elements" else subject.partner()
    return [*subject.wrt, *([k] if k is not None and k not in subject.wrt else [])]


def _changed(subject: Subject, factor: float, by: float) -> Floats:
    together = _moving(subject)
    args = [factor * a + by if k in together else a for k, a in enumerate(subject.args)]
    found: Floats = subject.safe(args)
    return found


def shift_and_scale(subject: Subject) -> Iterator[Finding]:
    """The same number added to, or multiplied with, predictions (and targets of their kind)."""
    names = " and ".join(subject.arrays[k] for k in _moving(subject))
    values = subject.values(subject.args)
    moved = [_changed(subject, 1.0, c) for c in (2.0, -0.5)]
    title = f"Shift of {names}"
    if any(np.isnan(m).any() for m in moved):
        yield Finding("shift", title, "note", "leaves the domain.", None)
    else:
        same = all(_same(m, values) for m in moved)
        yield Finding("shift", title, "note", "changes nothing." if same else "changes the values.", same)
    title = f"Scale of {names}"
    degree = _degree(values, _changed(subject, 2.0, 0.0), _changed(subject, 0.5, 0.0))
    if degree is None:
        yield Finding("scale", title, "note", "the values change in no simple proportion.", None)
    else:
        text = "changes nothing." if degree == 0 else f"c times as large, the values are c^{degree:g} times as large."
        yield Finding("scale", title, "note", text, degree)


@np.errstate(all="ignore")
def _degree(values: Floats, twice: Floats, half: Floats) -> float | None:
    """k, if the loss is homogeneous of degree k."""
    told = np.abs(values) > 1e-12 * np.abs(values).max(initial=0.0)
    if not told.any() or np.isnan(twice + half).any():
        return None
    ratios = np.concatenate([twice[told] / values[told], values[told] / half[told]])
    degree = float(np.log2(np.median(ratios)))
    if not np.isfinite(degree) or not np.allclose(ratios, 2.0**degree, rtol=1e-8):
        return None
    return round(degree, 6) + 0.0


# ---- classes -------------------------------------------------------------------------------------


def classes(subject: Subject) -> Iterator[Finding]:
    """The entries of a row in another order, with labels renamed."""
    if subject.kind == "elements":
        return
    axis, labels = _axis(subject), _class_labels(subject)
    features = labels is None and subject.labels is not None and subject.kind in ("rows", "batch")
    title = "Order of the features" if features or subject.kind == "batch" else "Order of the classes"
    size = subject.args[subject.wrt[0]].shape[axis]
    if not features and subject.kind != "batch" and subject.labels is not None and not _are_classes(subject, size):
        text = "labels are not indices of the entries of a row: there is nothing to rename."
        yield Finding("classes", title, "note", text, None)
        return
    rng = subject.rng(70)
    left = False
    values = subject.values(subject.args)
    for kept, said in ((0, "changes nothing."), (1, "changes nothing, as long as the first one stays where it is.")):
        ring = kept + rng.permutation(size - kept)
        order = np.arange(size)
        order[ring] = np.roll(ring, 1)  # none of them stays where it is
        now = subject.safe(_renamed(subject, order, axis, labels))
        left |= bool(np.isnan(now).any())
        if _same(now, values):
            yield Finding("classes", title, "note", said, True if not kept else "but the first")
            return
    if left:
        yield Finding("classes", title, "note", "leaves the domain: every entry has its own meaning.", None)
    else:
        yield Finding("classes", title, "note", "changes the values: the order has a meaning.", False)


def _axis(subject: Subject) -> int:
    """Where the classes (or features) of an array lie."""
    options = getattr(subject.loss, "options", {})
    axis = subject.params.get("axis", options.get("axis", -1))
    return int(axis)


def _class_labels(subject: Subject) -> int | None:
    """The place of integer labels that name entries of a row, if there are some."""
    k = subject.labels
    vectors = (
        getattr(getattr(subject.loss, "samples", None), "axis", None) is not None
        and getattr(subject.loss, "family", "") != "custom"
    )
    if k is None or is_float(subject.args[k]) or subject.kind == "batch" or vectors:
        return None
    return k


def _are_classes(subject: Subject, size: int) -> bool:
    """Whether labels end where the entries of a row do."""
    k = _class_labels(subject)
    if k is None:
        return False
    labels = subject.args[k]
    if labels.min() < 0 or labels.max() >= size:
        return False
    beyond = [np.where(labels == labels.max(), size, a) if j == k else a for j, a in enumerate(subject.args)]
    return bool(np.isnan(subject.safe(beyond)).any())


def _renamed(subject: Subject, order: Any, axis: int, labels: int | None) -> list[Array]:
    """New entry i of a row is the old entry order[i]; labels are renamed to match."""
    x = subject.args[subject.wrt[0]]
    places = np.argsort(order)
    renamed = []
    for k, a in enumerate(subject.args):
        if k == labels:
            renamed.append(places[a].astype(a.dtype))
        elif k not in subject.shared and a.ndim == x.ndim and (k in subject.wrt or a.shape == x.shape):
            renamed.append(np.take(a, order, axis=axis))
        else:
            renamed.append(a)
    return renamed

"""gradcheck: a loss's derivatives against the slopes of its values.

Entries of an argument become lines (`_slopes`): entries of different samples are moved at once, if moving one sample leaves the
others' values alone (which is tried out), else one by one against the total.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TextIO

import numpy as np

from fastloss._loss import Loss

from ._report import NAMES, SHOWN, Check, Entry, GradcheckResult
from ._slopes import Floats, Slopes, slopes
from ._subject import Indices, Subject

RTOL, ATOL, STEP, ENTRIES = 1e-6, 1e-14, 0.1, 1000


SAFETY = 10.0  # times the estimated error of a numeric slope


SINGLE = 16  # entries whose slope of "mean" and "sum" is taken one by one


@dataclass
class _Batch:
    """Entries of one argument, each of a sample of its own: `entries` flat in the argument, `samples` out of `count`."""

    entries: Indices
    samples: Indices | None  # None: a single entry against the total
    count: int = 1  # samples, of as many values each, which are added

    def of_samples(self, values: Floats) -> Floats:
        """What the samples add up to."""
        totals: Floats = values.reshape(self.count, -1).sum(axis=1)
        return totals


def _batches(subject: Subject, place: int, reduction: str, values: Floats, chosen: Indices) -> list[_Batch]:
    """The chosen entries, as few batches as samples allow."""
    for samples, count in _samples_of(subject, place, values, chosen):
        rank = _rank_within(samples)
        batches = [_Batch(chosen[rank == r], samples[rank == r], count) for r in range(int(rank.max(initial=-1)) + 1)]
        if _are_independent(subject, place, reduction, values, batches):
            return batches
    return [_Batch(chosen[i : i + 1], None) for i in range(chosen.size)]


def _samples_of(subject: Subject, place: int, values: Floats, chosen: Indices) -> Iterator[tuple[Indices, int]]:
    """The sample that each entry may belong to, by the shapes, and how many there are: one for each value, or one for each place
    along the first axis of the values, as where the classes of an image share a softmax."""
    shape = subject.args[place].shape
    if values.ndim == 0 or not values.size:
        return
    index = np.unravel_index(chosen, shape)
    axis = subject.axis
    beside = axis % len(shape) if isinstance(axis, int) and -len(shape) <= axis < len(shape) else len(shape)
    kept, at = shape[:beside] + shape[beside + 1 :], index[:beside] + index[beside + 1 :]
    if shape == values.shape:
        yield chosen, values.size
    elif kept == values.shape:
        yield np.ravel_multi_index(at, values.shape).astype(np.intp), values.size
    elif shape[: values.ndim] == values.shape:
        yield np.ravel_multi_index(index[: values.ndim], values.shape).astype(np.intp), values.size
    if values.ndim > 1 and kept[:1] == values.shape[:1]:
        yield at[0], values.shape[0]


def _rank_within(samples: Indices) -> Indices:
    """How many earlier entries belong to the same sample."""
    order = np.argsort(samples, kind="stable")
    ordered = samples[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if samples.size else np.empty(0, np.intp)
    rank = np.empty_like(samples)
    rank[order] = np.arange(samples.size) - np.repeat(starts, np.diff(np.r_[starts, samples.size]))
    return rank


def _are_independent(subject: Subject, place: int, reduction: str, values: Floats, batches: Sequence[_Batch]) -> bool:
    """Whether a sample's value stays as it is, to the bit, when others are moved."""
    for batch in batches:
        assert batch.samples is not None
        for part in (slice(0, None, 2), slice(1, None, 2)):
            entries = batch.entries[part]
            x = subject.args[place].reshape(-1)[entries]
            try:
                now = subject.values(subject.moved(place, entries, 2.0**-20 * np.maximum(1.0, np.abs(x))), reduction)
            except ValueError:
                continue  # out of the domain; the other half may tell
            still = np.ones(batch.count, bool)
            still[batch.samples[part]] = False
            if now.shape != values.shape:
                return False
            before, after = (v.reshape(batch.count, -1)[still] for v in (values, now))
            if not np.array_equal(before, after, equal_nan=True):
                return False
    return True


def _measure(
    subject: Subject, place: int, reduction: str, batch: _Batch, step: float, order: int, rtol: float, size: Floats | float
) -> Slopes:
    """The numeric derivative of every entry of a batch: of values, or (order 2) of the analytic gradient."""
    which = subject.places.index(place)

    def move(by: Floats) -> Floats:
        args = subject.moved(place, batch.entries, by)
        if order == 2:
            return subject.gradients(args, reduction)[which].reshape(-1)[batch.entries]
        values = batch.of_samples(subject.values(args, reduction))
        return values if batch.samples is None else values[batch.samples]

    x = subject.args[place].reshape(-1)[batch.entries]
    x = np.where(np.isfinite(x), x, 0.0)
    steps = np.exp2(np.round(np.log2(step * np.maximum(1.0, np.abs(x)))))  # powers of two: what they move to is exact
    return slopes(move, steps.astype(np.float64), size, x, rtol)


class _Comparison:
    """Analytic against numeric, entry by entry, for one Check."""

    def __init__(self, argument: str, order: int, reduction: str, shape: tuple[int, ...], rtol: float, atol: float) -> None:
        self.argument, self.order, self.reduction, self.shape = argument, order, reduction, shape
        self.rtol, self.atol = rtol, atol
        self.rows: list[tuple[list[Any], Floats, Slopes]] = []

    def add(self, index: list[Any], analytic: Floats, numeric: Slopes) -> None:
        """Some entries: where they are, and what both sides say."""
        self.rows.append((index, analytic, numeric))

    def check(self) -> Check:
        """The verdict."""
        index = [where for part, _, _ in self.rows for where in part]
        if not index:
            return Check(self.argument, self.order, self.reduction, 0, 0, 0, 0, None, (), 0)
        analytic = np.concatenate([part for _, part, _ in self.rows])
        numeric, error, natural = (
            np.concatenate([getattr(part, name) for _, _, part in self.rows]) for name in ("value", "error", "natural")
        )
        kink, edge = (np.concatenate([getattr(part, name) for _, _, part in self.rows]).astype(bool) for name in ("kink", "edge"))
        known = ~(kink | edge)
        size = np.maximum(np.abs(analytic), np.abs(numeric))
        tolerance = self.atol + self.rtol * size + SAFETY * error
        limit = self.atol + 1e3 * self.rtol * np.maximum(np.nan_to_num(size, posinf=0.0), natural)
        vague = known & ~(SAFETY * error <= limit)
        tell = ~(kink | edge | vague)
        entries = [
            Entry(index[i], float(analytic[i]), float(numeric[i]), float(tolerance[i])) for i in np.flatnonzero(tell).tolist()
        ]
        ranked = sorted(entries, key=_badness, reverse=True)
        bad = [entry for entry in ranked if not entry.passed]
        return Check(
            self.argument, self.order, self.reduction, len(entries), int(kink.sum()), int(edge.sum()), int(vague.sum()),
            ranked[0] if ranked else None, tuple(bad[:SHOWN]), len(bad),
        )  # fmt: skip


def _badness(entry: Entry) -> float:
    ratio = entry.error / entry.tolerance if entry.tolerance else math.inf if entry.error else 0.0
    return math.inf if math.isnan(ratio) else ratio


@dataclass
class _Settings:
    step: float
    rtol: float
    atol: float
    max_entries: int
    rng: np.random.Generator


def _check_argument(subject: Subject, place: int, settings: _Settings, orders: Sequence[int]) -> Iterator[Check]:
    """Every reduction and order for one argument."""
    first = subject.reductions[0]
    chosen = _choose(subject.args[place].size, settings)
    values = subject.values(subject.args, first)
    batches = _batches(subject, place, first, values, chosen)
    comparison, lines = _by_entry(subject, place, first, batches, 1, settings)
    yield comparison.check()
    for reduction in subject.reductions[1:]:
        yield _of_the_reduction(subject, place, reduction, batches, lines, values, settings).check()
    for reduction in subject.reductions if 2 in orders else ():
        yield _by_entry(subject, place, reduction, batches, 2, settings)[0].check()


def _place(entry: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(int, np.unravel_index(entry, shape)))


def _choose(count: int, settings: _Settings) -> Indices:
    if count <= settings.max_entries:
        return np.arange(count)
    return np.sort(settings.rng.choice(count, settings.max_entries, replace=False))


def _by_entry(
    subject: Subject, place: int, reduction: str, batches: Sequence[_Batch], order: int, settings: _Settings
) -> tuple[_Comparison, list[Slopes]]:
    """Every chosen entry's own derivative."""
    which, shape = subject.places.index(place), subject.args[place].shape
    analytic = subject.gradients(subject.args, reduction, order)[which]
    if analytic.shape != shape:
        raise ValueError(
            f"gradcheck: {subject.name}: expected a {NAMES[order]} of the shape of {subject.wrt[which]}, {shape}, "
            f"got {analytic.shape}"
        )
    comparison = _Comparison(subject.wrt[which], order, reduction or "total", shape, settings.rtol, settings.atol)
    alone = order == 1 and batches and batches[0].samples is None  # against the total, which is rounded where it is large
    size = _size_of_terms(subject.values(subject.args, reduction), ()) if alone else 0.0
    lines = []
    for batch in batches:
        found = _measure(subject, place, reduction, batch, settings.step, order, settings.rtol, size)
        lines.append(found)
        comparison.add([_place(entry, shape) for entry in batch.entries], analytic.reshape(-1)[batch.entries], found)
    return comparison, lines


def _of_the_reduction(
    subject: Subject,
    place: int,
    reduction: str,
    batches: Sequence[_Batch],
    lines: Sequence[Slopes],
    values: Floats,
    settings: _Settings,
) -> _Comparison:
    """The slope of the reduced number itself: along whole batches, with random signs and lengths, and for a few single entries.

    Each entry moves no farther than it did on its own, so no new kink is met, unless entries hang together: all of them are one
    batch then.
    """
    which, shape = subject.places.index(place), subject.args[place].shape
    analytic = subject.gradients(subject.args, reduction)[which].reshape(-1)
    comparison = _Comparison(subject.wrt[which], 1, reduction, shape, settings.rtol, settings.atol)
    size = _size_of_terms(values, lines) * _share(analytic, subject.gradients(subject.args, subject.reductions[0])[which])
    entries = np.concatenate([batch.entries for batch in batches]) if batches else np.empty(0, np.intp)
    reach = np.concatenate([np.where(s.resolved & np.isfinite(s.error), s.reach, 0.0) for s in lines]) if lines else np.empty(0)
    sound = reach > 0

    def along(where: Indices, direction: Floats) -> Slopes:
        def move(by: Floats) -> Floats:
            return subject.values(subject.moved(place, where, by * direction), reduction).reshape(1)

        x = subject.args[place].reshape(-1)[where]
        found = slopes(move, np.ones(1), size, float(np.max(np.abs(x / direction))), settings.rtol)
        unit = float(np.abs(direction).max())
        return replace(found, value=found.value / unit, error=found.error / unit, natural=found.natural / unit)

    hang_together = bool(batches) and batches[0].samples is None
    ends = [entries.size] if hang_together else np.cumsum([batch.entries.size for batch in batches]).tolist()
    for start, end in zip([0, *ends], ends, strict=False):
        good = start + np.flatnonzero(sound[start:end])
        if good.size < 2:
            continue
        where, far = entries[good], reach[good]
        for kind, sign in (("aligned", np.sign(analytic[where])), ("random", settings.rng.choice([-1.0, 1.0], good.size))):
            direction = far * np.where(sign == 0, 1.0, sign) * settings.rng.uniform(0.5, 1.0, good.size)
            direction = np.where(np.isfinite(direction), direction, far)
            slope = analytic[where] @ direction / np.abs(direction).max()
            comparison.add([f"{good.size} entries moved together ({kind})"], np.array([slope]), along(where, direction))
    for i in settings.rng.permutation(np.flatnonzero(sound))[:SINGLE].tolist():
        one = entries[i : i + 1]
        comparison.add([_place(one[0], shape)], analytic[one], along(one, np.array([reach[i]])))
    return comparison


def _size_of_terms(values: Floats, lines: Sequence[Slopes]) -> float:
    """How large the numbers are of which a sum is made: it is rounded in their last places, though it may be small itself."""
    seen = max((float(np.sum(found.size, where=np.isfinite(found.size))) for found in lines), default=0.0)
    return max(seen, float(np.sum(np.abs(values), where=np.isfinite(values))))


def _share(reduced: Floats, plain: Floats) -> float:
    """About by what a reduction divides; 1 if the derivatives are too small to tell."""
    whole = float(np.abs(plain).sum())
    share = float(np.abs(reduced).sum()) / whole if whole > 1e-9 else 1.0
    return min(share, 1.0) if math.isfinite(share) else 1.0


def gradcheck(
    loss: Any,
    *args: Any,
    hess: bool | None = None,
    step: float = STEP,
    rtol: float = RTOL,
    atol: float = ATOL,
    max_entries: int = ENTRIES,
    seed: int = 0,
    verbose: bool | None = None,
    file: TextIO | None = None,
    **params: Any,
) -> GradcheckResult:
    """Compare a loss's derivatives with the slopes of its values, away from kinks.

    The slopes are central differences at steps h, h/4, h/16, ..., extrapolated to 0, computed in float64 (arguments of other
    floating types are converted), with an estimate of their own error. Steps stay inside the domain: where the loss raises
    ValueError or is not finite, they shrink. Entries where the slope jumps (a kink nearer than about 1e-8) or that cannot move
    are skipped, and counted; a check that skips more than a fifth of its entries does not pass.

    Checked are, for every differentiable argument, the gradient of each entry with ``reduction="none"``, the slopes of the
    "sum" and the "mean" themselves (along random directions and for some single entries), and the Hessian's diagonal as the slope
    of the analytic gradient.

    Parameters
    ----------
    loss : Loss, object or tuple
        A loss of the library or of `custom`; any callable with a method `value_and_grad` (and perhaps `hess`); or plain functions
        ``(value, grad)`` or ``(value, grad, hess)``, where grad returns a tuple if it has several arguments.
    *args : array_like
        The loss's arrays. Without any, the loss's own sampler draws some.
    hess : bool, optional
        Whether to check the Hessian; by default if there is one.
    step : float
        The first step, relative to max(1, abs(x)). (Not `eps`, which several losses have as an option.)
    rtol, atol : float
        An entry passes within ``atol + rtol * max(abs(analytic), abs(numeric)) + 10 * estimated error of numeric``.
    max_entries : int
        Of larger arguments, as many random entries are checked.
    seed : int
        Of the random choices.
    verbose : bool, optional
        Whether to print the report; by default if something differs.
    file : text file, optional
        Where to; by default stdout.
    **params
        The loss's options and `sample_weight`. With a `reduction`, that one alone is checked.

    Returns
    -------
    GradcheckResult
        True if everything agrees. ``str(result)`` is the report: for each argument and reduction, how many entries differ and
        how many were skipped, and where and by how much the worst of them differ.

    Raises
    ------
    TypeError, ValueError
        If there is no gradient to check, options are out of range, or the loss refuses its arguments.

    References
    ----------
    Ridders, *Accurate computation of F'(x) and F'(x) F''(x)*, Advances in Engineering Software 4, 1982.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> fl.gradcheck(fl.huber, [0.5, 3.0, 1.0], [0.0, 0.0, 0.1], delta=2.0)
    <GradcheckResult huber: passed, 22 compared, 0 skipped>
    >>> wrong = fl.custom(lambda x, t: (x - t) ** 4, lambda x, t: (x - t) ** 3, lambda x, t: 3 * (x - t) ** 2, name="quartic")
    >>> result = fl.gradcheck(wrong, [2.0], [1.0], reduction="sum", verbose=False)
    >>> print(result.checks[0].failures[0])
    at (0,): analytic 1, numeric 4, off by 3 (allowed 4e-06)
    """
    _check_options(step, rtol, atol, max_entries)
    named = [name for name in getattr(loss, "arrays", ())[len(args) :] if name in params]
    args = (*args, *(params.pop(name) for name in named))
    if not args and isinstance(loss, Loss):
        args, drawn = loss.sample(np.random.default_rng(seed), "float64")
        params = {**drawn, **params}
    subject = Subject(loss, args, params)
    if hess and subject.curvature is None:
        raise TypeError(f"gradcheck: {subject.name}: expected a loss with a Hessian, got one without (or with a numeric one)")
    orders = (1, 2) if subject.curvature is not None and hess is not False else (1,)
    settings = _Settings(step, rtol, atol, max_entries, np.random.default_rng(seed))
    checks = [check for place in subject.places for check in _check_argument(subject, place, settings, orders)]
    result = GradcheckResult(subject.name, tuple(checks), subject.converted)
    if verbose or (verbose is None and not result):
        print(result, file=sys.stdout if file is None else file)
    return result


def _check_options(step: float, rtol: float, atol: float, max_entries: int) -> None:
    for name, value, good in (
        ("step", step, 0 < step < math.inf),
        ("rtol", rtol, 0 <= rtol < math.inf),
        ("atol", atol, 0 <= atol < math.inf),
        ("max_entries", max_entries, max_entries >= 1),
    ):
        if not good:
            raise ValueError(f"gradcheck: {name}: expected a number {'>=' if name.endswith('tol') else '>'} 0, got {value}")

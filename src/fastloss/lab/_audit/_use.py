"""Requirements of use: reductions and weights that fit together, the metric that is followed, the cost. May import NumPy and the
public functions of fastloss.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastloss.regression import mse

from . import _code
from ._result import Finding, number
from ._subject import Array, Floats, Subject, denominator, takes_weights
from ._values import descent, perfect

Metric = Callable[..., Any]
SAME = 1e-9


def reductions(subject: Subject) -> Iterator[Finding]:
    """ "none" sums to "sum", and "mean" is that over the number of samples."""
    title = '"none", "sum" and "mean" agree'
    args = subject.take(subject.args, 0) if subject.kind == "batch" else subject.args
    each = np.asarray(subject.call(args, "none"), np.float64)
    total, mean = (float(subject.call(args, reduction)) for reduction in ("sum", "mean"))
    count = denominator(subject, args, each)
    size = float(np.abs(each).sum()) or 1.0
    faults = []
    if abs(total - each.sum()) > SAME * size:
        faults.append(f'"none" sums to {number(each.sum())}, "sum" is {number(total)}')
    if abs(mean * count - each.sum()) > SAME * size:
        faults.append(f'"mean" is {number(mean)}, the sum over {number(count)} samples {number(each.sum() / count)}')
    if not faults:
        yield Finding("reductions", title, "holds", f'"none" sums to "sum"; "mean" is that over {number(count)}.', True)
        return
    few = args if subject.kind == "batch" else _code.tidy(subject, subject.take(args, slice(0, 4)))
    lines = []
    if _code.fits(few):
        count = denominator(subject, few, np.asarray(subject.call(few, "none"), np.float64))
        lines = [*_code.header(subject), *_code.assignments(subject, few, {})]
        lines += [f"each = {_code.call(subject, {}, reduction='none')}", f"total = {_code.call(subject, {})}"]
        lines += [f"mean = {_code.call(subject, {}, reduction='mean')}"]
        lines += [f"assert not np.allclose([total, mean], [each.sum(), each.sum() / {count!r}])"]
    yield Finding("reductions", title, "fails", f"{'; '.join(faults)}.", False, "\n".join(lines))


def weights(subject: Subject) -> Iterator[Finding]:
    """Weights scale entries, their own scale does not matter to a mean, and a weight of 2 is a sample twice."""
    title = "Weights"
    if not takes_weights(subject.loss):
        yield Finding("weights", title, "note", "there is no sample_weight.", None)
        return
    if subject.kind == "batch":
        yield Finding("weights", title, "note", "samples are compared with one another: not tried.", None)
        return
    args = subject.args
    w = subject.rng(80).integers(1, 4, subject.n).astype(np.float64)
    twice = subject.take(args, np.repeat(np.arange(subject.n), w.astype(int)))
    plain = np.asarray(subject.call(args, "none"), np.float64)
    weighted = np.asarray(subject.call(args, "none", sample_weight=w), np.float64)
    mean = [float(subject.call(args, "mean", sample_weight=c * w)) for c in (1.0, 1024.0)]
    repeated = float(subject.call(twice, "mean"))
    size = float(np.abs(plain).max(initial=0.0)) or 1.0
    faults = []
    if not np.allclose(weighted, plain * w.reshape(-1, *(1,) * (plain.ndim - 1)), rtol=SAME, atol=SAME * size):
        faults.append('"none" with weights is not the weights times "none"')
    if abs(mean[1] - mean[0]) > SAME * size:
        faults.append(f"the mean depends on the scale of the weights ({number(mean[0])} and {number(mean[1])})")
    if abs(repeated - mean[0]) > SAME * size:
        faults.append(f"weights of 2 give {number(mean[0])}, samples twice {number(repeated)}")
    text = "weights multiply the values, and a sample of weight 2 is the same as two." if not faults else f"{'; '.join(faults)}."
    yield Finding("weights", title, "fails" if faults else "holds", text, not faults)


# ---- metric --------------------------------------------------------------------------------------

BATCHES = 40


def follows(subject: Subject, metric: Metric) -> Iterator[Finding]:
    """The rank correlation of loss and metric over batches whose predictions are between perfect and random."""
    losses, scores = [], []
    rng = subject.rng(90)
    good, random = _good_and_random(subject)
    n = subject.count(good)
    for noise in np.linspace(0.0, 1.0, BATCHES):
        chosen, other = subject.take(good, rng.choice(n, n)), subject.take(random, rng.choice(n, n))
        share = np.minimum(1.0, rng.uniform(0.0, 2.0, n) * noise)
        x = [
            _blend(share, a, b, subject.labels is not None)
            for a, b in zip(subject.predictions(chosen), subject.predictions(other), strict=True)
        ]
        args = subject.with_all(chosen, x)
        each = subject.safe(args)
        told = each[~np.isnan(each)]
        losses.append(float(told.mean()) if told.size else np.nan)
        scores.append(_score(subject, metric, args))
    known = np.isfinite(losses) & np.isfinite(scores)
    yield _correlated(np.array(losses)[known], np.array(scores)[known], metric)


def _blend(share: Floats, good: Array, random: Array, labelled: bool) -> Array:
    """Each item between two predictions; one that is sure of its label is made no larger than the random one."""
    size = min(1.0, float(np.sqrt((random**2).mean()) / max(np.sqrt((good**2).mean()), 1e-300))) if labelled else 1.0
    s = share.reshape(-1, *(1,) * (good.ndim - 1))
    return (1 - s) * size * good + s * random


def _correlated(losses: Floats, scores: Floats, metric: Metric) -> Finding:
    name = getattr(metric, "__name__", "the metric")
    title = f"Follows {name}"
    if len(losses) < 5 or np.ptp(scores) == 0:
        return Finding(
            "metric", title, "note", f"{name} is the same for all predictions that were tried: it tells nothing.", None
        )
    rank = float(np.corrcoef(_ranks(losses), _ranks(scores))[0, 1])
    text = (
        f"rank correlation {rank:+.3f} over {len(losses)} batches whose predictions are between perfect and random "
        f"({name} from {number(scores.min())} to {number(scores.max())})."
    )
    return Finding("metric", title, "holds" if abs(rank) >= 0.9 else "note", text, round(rank, 4))


def _score(subject: Subject, metric: Metric, args: Sequence[Array]) -> float:
    each = [subject.take(args, i) for i in range(subject.count(args))] if subject.kind == "batch" else [list(args)]
    try:
        return float(np.mean([np.mean(np.asarray(metric(*arrays), np.float64)) for arrays in each]))
    except Exception as error:
        error.add_note(f"raised in metric: it is called with the arrays of the loss, {', '.join(subject.arrays)}")
        raise


def _good_and_random(subject: Subject) -> tuple[list[Array], list[Array]]:
    """The same targets with predictions that cost little, and random ones."""
    costs = [(float(np.mean(v)), args) for _, args in perfect(subject) if not np.isnan(v := subject.safe(args)).any()]
    usual = float(np.mean(subject.values(subject.args)))
    if costs and (least := min(costs, key=lambda c: c[0]))[0] < usual:
        return least[1], subject.args
    trail = descent(subject)
    return trail[-1], trail[0]


def _ranks(x: Floats) -> Floats:
    """Ranks, of which equal numbers have the mean."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2.0)[inverse], np.float64)


# ---- cost ----------------------------------------------------------------------------------------


def cost(subject: Subject) -> Iterator[Finding]:
    """Nanoseconds for an entry's value and gradient, beside mse."""
    items = {"elements": 2**14, "rows": 2**11, "regions": 256, "batch": 1}[subject.kind]
    args = subject.cast(subject.take(subject.args, np.resize(np.arange(subject.n), items)), "float32")
    if subject.kind == "batch":
        args = subject.take(args, 0)
    entries = sum(args[k].size for k in subject.wrt)
    method = "value_and_grad" if hasattr(subject.loss, "value_and_grad") else "grad" if hasattr(subject.loss, "grad") else ""
    x = np.random.default_rng(0).normal(size=(2, entries)).astype(np.float32)
    own = _seconds(lambda: subject.call(args, "mean", method))
    ours = _seconds(lambda: mse.value_and_grad(x[0], x[1]))
    answer = {"ns per entry": round(1e9 * own / entries, 3), "times mse": round(own / ours, 2)}
    said = "value and gradient" if method == "value_and_grad" else "gradient" if method else "value"
    text = f"{answer['ns per entry']:.3g} ns for {said} of an entry of {entries} in float32, {own / ours:.3g} times mse."
    yield Finding("cost", "Cost", "note", text, answer)


def _seconds(run: Callable[[], Any]) -> float:
    """Of one call: the least of a few runs of a few milliseconds."""
    timer = timeit.Timer(run)
    calls = max(1, min(20, int(3e-3 / max(timer.timeit(1), 1e-7))))
    return min(timer.repeat(3, calls)) / calls

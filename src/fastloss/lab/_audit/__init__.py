"""audit: the requirements of a good loss, each tried, and answered with evidence. The checks live in files by what they ask:
`_derivatives` (with `_kinks`), `_values`, `_growth`, `_numbers`, `_invariances` and `_use`. They see the loss as a Subject
(`_subject`, made by `_make` and `_guess`) and give Findings (`_result`).
"""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastloss._loss import Loss

from . import _derivatives, _growth, _invariances, _numbers, _use, _values
from ._make import subject_of
from ._picture import curve
from ._result import Audit, Finding
from ._subject import Subject

__all__ = ["Audit", "Finding", "audit"]

Check = Callable[[Subject], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    _derivatives.kinks, _derivatives.slopes, _derivatives.curvature, _numbers.finite, _numbers.precision, _numbers.large_batch,
    _values.values, _values.convex, _growth.growth, _growth.contamination, _invariances.batch, _invariances.shift_and_scale,
    _invariances.classes, _use.reductions, _use.weights, _use.cost,
)  # fmt: skip
CLAIMS = ("kinks", "nonnegative", "zero", "convex", "growth", "influence", "shift", "scale", "classes", "metric", "curvature")
PATIENCE = 2.0  # seconds until progress is shown


def audit(
    loss: Loss[Any] | str | Callable[..., Any] | tuple[Callable[..., Any], ...],
    *args: Any,
    claims: Mapping[str, Any] | None = None,
    metric: Callable[..., Any] | None = None,
    sampler: Callable[..., Any] | None = None,
    pointwise: bool | None = None,
    wrt: str | Sequence[str] | None = None,
    seed: int = 0,
    progress: bool | None = None,
    **params: Any,
) -> Audit:
    """Try the requirements of a good loss, and answer each with evidence: numbers, a place, or a counter-example that runs.

    Is it differentiable but for kinks, and where are these? Are gradient and Hessian right, for every reduction and with weights?
    Is it finite on extreme input, and exact near 0, in float32 and float64? Is it never negative, and 0 at a perfect prediction?
    Convex? How does the gradient behave as the error grows, and how far do outliers move an estimate? What do shifts, scales, the
    order of the batch and of the classes change? Do the reductions and weights fit together? Does it follow the metric? Is its
    Hessian fit for boosting? What does it cost?

    Each finding has a verdict. "fails" is a fault: it contradicts what the loss claims (its `range`, or `claims`)
    or what any loss must do. "note" is a property, such as a constant gradient. "holds" is the rest.

    Parameters
    ----------
    loss : Loss, str, callable or tuple
        A loss of the library or its name; one made by `custom`; a function of arrays with one value per element
        or per row, as `custom` takes it; functions ``(value, grad)`` or ``(value, grad, hess)``; or a callable with
        a parameter `reduction` of its own, and perhaps methods `grad`, `value_and_grad` and `hess`.
    *args : array_like
        The loss's arrays. Without any, its sampler draws some; those of a function are guessed from names and what it takes.
    claims : mapping, optional
        Answers that are promised, by the keys of findings: ``{"convex": True, "kinks": [0.0]}``. Known are `kinks` (a list of
        places, or False for none), `nonnegative`, `zero`, `convex`, `growth` (such as ``{"above": "constant"}``), `influence`
        ("bounded", "redescending" or "unbounded"), `shift`, `scale` (the degree of homogeneity), `classes`, `metric` (the least
        absolute rank correlation), and `curvature` (True: no Hessian is 0 or negative).
    metric : callable, optional
        Called with the loss's arrays, gives a number, or one per sample: does the loss rank predictions as it does?
    sampler : callable, optional
        Gives random valid arrays for (rng, dtype, size).
    pointwise : bool, optional
        Of functions: one value per element (True) or per row (False); by default what works.
    wrt : str or sequence of str, optional
        Of functions: the differentiable arrays; by default the first.
    seed : int
        Of everything random.
    progress : bool, optional
        Whether to show on stderr what is being tried; by default on a terminal, after two seconds.
    **params
        The loss's options.

    Returns
    -------
    Audit
        ``print`` shows the report, which is Markdown; `ok`, `failed`, ``audit["convex"]``, `to_dict`, `plot`.

    Raises
    ------
    TypeError, ValueError
        If there is nothing to audit, a name, an option or a claim is unknown, or the arrays of a function cannot be guessed.
        What a function raises on its data is passed on, with a note.

    See Also
    --------
    gradcheck : derivatives alone.
    custom : make a loss of a function.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> report = fl.audit("huber")
    >>> report.ok, report["influence"].answer, report["growth"].answer
    (True, 'bounded', {'above': 'constant', 'below': 'constant'})
    >>> print(fl.audit(lambda x, t: np.log1p((x - t) ** 2), claims={"convex": True})["convex"].text)
    no: halfway between two predictions it is 1.765, the mean of the two 1.543. Claimed: True.
    """
    started = time.perf_counter()
    claims = _checked(claims)
    if metric is not None and not callable(metric):
        raise TypeError(f"audit: metric: expected a function of the loss's arrays, got {type(metric).__name__}")
    if "metric" in claims and metric is None:
        raise ValueError("audit: claims: a claim about the metric needs metric=")
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        subject = subject_of(loss, args, params, pointwise=pointwise, sampler=sampler, wrt=wrt, seed=seed)
        checks = list(CHECKS)
        if metric is not None:
            checks.insert(-1, lambda subject: _use.follows(subject, metric))
        findings = [_against(f, claims) for check in _shown(checks, subject, progress, started) for f in check(subject)]
        influence = next(str(f.answer) for f in findings if f.key == "influence")
        drawn = curve(subject, influence)
    return Audit(subject.name, tuple(findings), subject.origin, seed, time.perf_counter() - started, drawn)


def _checked(claims: Mapping[str, Any] | None) -> dict[str, Any]:
    """The claims, if they are about something that is tried."""
    if claims is None:
        return {}
    if not isinstance(claims, Mapping):
        raise TypeError(f"audit: claims: expected a mapping such as {{'convex': True}}, got {type(claims).__name__}")
    for key in claims:
        if key not in CLAIMS:
            raise ValueError(f"audit: claims: expected some of {', '.join(CLAIMS)}, got {key!r}")
    return dict(claims)


def _shown(checks: Sequence[Check], subject: Subject, progress: bool | None, started: float) -> Iterator[Check]:
    """The checks; which one is on, if it takes long and somebody is looking."""
    looking = progress if progress is not None else bool(getattr(sys.stderr, "isatty", bool)())
    shown = False
    for k, check in enumerate(checks):
        if looking and (progress or time.perf_counter() - started > PATIENCE):
            shown = True
            name = check.__name__.replace("_", " ").replace("<lambda>", "metric")
            sys.stderr.write(f"\r\033[Kaudit of {subject.name}: {name} ({k + 1} of {len(checks)})")
            sys.stderr.flush()
        yield check
    if shown:
        with contextlib.suppress(OSError):
            sys.stderr.write("\r\033[K")


def _against(finding: Finding, claims: Mapping[str, Any]) -> Finding:
    """The finding, as a fault if something else was claimed."""
    if finding.key not in claims:
        return finding
    claim = claims[finding.key]
    if _agrees(finding, claim):
        return replace(finding, text=f"{finding.text} As claimed.")
    return replace(finding, verdict="fails", text=f"{finding.text} Claimed: {claim!r}.")


def _agrees(finding: Finding, claim: Any) -> bool:
    """Whether an answer is what was claimed."""
    answer = finding.answer
    if finding.key == "kinks":
        if isinstance(claim, bool):
            return bool(answer) == claim
        if not isinstance(answer, list):
            return bool(answer) == bool(len(claim))
        return len(answer) == len(claim) and bool(np.allclose(sorted(answer), sorted(claim), rtol=1e-3, atol=1e-3))
    if finding.key == "metric":
        return answer is not None and abs(answer) >= float(claim)
    if finding.key == "curvature" and isinstance(claim, bool):
        return (answer is not None and answer["zero"] == answer["negative"] == 0) == claim
    if finding.key == "growth" and isinstance(claim, Mapping):
        return all(answer.get(side) == kind for side, kind in claim.items())
    return bool(answer == claim)

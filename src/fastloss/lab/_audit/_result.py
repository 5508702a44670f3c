"""What an audit finds, and how it reads: Markdown for a terminal of 80 columns. May import the standard library."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Verdict = Literal["holds", "fails", "note"]
WIDTH = 79
GROUPS = {
    "Derivatives": ("kinks", "corners", "gradient", "hessian", "curvature"),
    "Numbers": ("finite", "precision", "large_batch"),
    "Value": ("nonnegative", "zero", "convex", "growth", "influence", "contamination"),
    "Invariances": ("batch", "shift", "scale", "classes"),
    "Use": ("reductions", "weights", "metric", "cost"),
}


@dataclass(frozen=True)
class Finding:
    """One requirement, tried.

    Attributes
    ----------
    key : str
        Its name in `claims` and in ``audit[key]``.
    title : str
        The requirement.
    verdict : {"holds", "fails", "note"}
        A fault contradicts what the loss claims, or what any loss must do; a note is a property.
    text : str
        The evidence in words.
    answer : object
        The same for programs: numbers, words, or None where there is nothing to try.
    code : str
        A counter-example that runs, if there is one.
    """

    key: str
    title: str
    verdict: Verdict
    text: str
    answer: Any = None
    code: str = ""

    def __str__(self) -> str:
        word = "FAILS" if self.verdict == "fails" else self.verdict
        lines = textwrap.fill(f"- {word:5} **{self.title}**: {self.text}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        if not self.code:
            return lines
        block = f"```python\n{self.code}\n```"
        return f"{lines}\n\n{textwrap.indent(block, '  ')}\n"

    def to_dict(self) -> dict[str, Any]:
        """Numbers, text, lists and dicts only."""
        fields = ("key", "title", "verdict", "text", "answer", "code")
        return {name: plain(getattr(self, name)) for name in fields}


@dataclass(frozen=True)
class Curve:
    """A loss along a line, for a picture."""

    label: str  # of the axis
    s: Any
    value: Any
    slope: Any
    hessian: Any | None
    kinks: tuple[float, ...] = ()
    influence: str = ""  # what kind it is


@dataclass(frozen=True)
class Audit:
    """What `fastloss.audit` found. ``print`` shows it, `ok` says whether nothing fails, ``audit["convex"]`` is one finding.

    Attributes
    ----------
    name : str
        The loss.
    findings : tuple of Finding
        One for each requirement that was tried.
    data : str
        What it was tried on.
    seed : int
        Of everything random.
    seconds : float
        How long it took.
    curve : Curve
        What `plot` draws.
    """

    name: str
    findings: tuple[Finding, ...]
    data: str
    seed: int
    seconds: float = field(compare=False)
    curve: Curve = field(compare=False, repr=False)

    @property
    def ok(self) -> bool:
        """Whether no requirement fails."""
        return not self.failed

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The faults."""
        return tuple(finding for finding in self.findings if finding.verdict == "fails")

    def __bool__(self) -> bool:
        return self.ok

    def __getitem__(self, key: str) -> Finding:
        for finding in self.findings:
            if finding.key == key:
                return finding
        raise KeyError(f"{key!r}: an audit has {', '.join(finding.key for finding in self.findings)}")

    def __contains__(self, key: object) -> bool:
        return any(finding.key == key for finding in self.findings)

    def __repr__(self) -> str:
        failed = f"fails: {', '.join(finding.key for finding in self.failed)}" if self.failed else "ok"
        return f"<Audit {self.name}: {failed}, {len(self.findings)} findings>"

    def __str__(self) -> str:
        counts = {word: sum(f.verdict == word for f in self.findings) for word in ("holds", "note", "fails")}
        faults = f"**{counts['fails']} of {len(self.findings)} requirements fail.**" if self.failed else "No requirement fails."
        said = f"{faults} {counts['holds']} hold, {counts['note']} {'is a note' if counts['note'] == 1 else 'are notes'}."
        text = f"{said} Data: {self.data}; seed {self.seed}; {self.seconds:.1f} s."
        parts = [f"# Audit of {self.name}", "", textwrap.fill(text, WIDTH, break_on_hyphens=False)]
        for group, keys in GROUPS.items():
            found = [str(f) for f in self.findings if f.key in keys]
            parts += ["", f"## {group}", "", *found] if found else []
        return "\n".join(parts).rstrip()

    def _repr_markdown_(self) -> str:
        return str(self)

    def to_dict(self) -> dict[str, Any]:
        """The same as numbers, text, lists and dicts: ``json.dumps`` takes it. Infinities and nan are text."""
        return {
            "name": self.name, "ok": self.ok, "data": self.data, "seed": self.seed, "seconds": round(self.seconds, 3),
            "findings": [finding.to_dict() for finding in self.findings],
        }  # fmt: skip

    def plot(self, axes: Any = None) -> Any:
        """Draw value, gradient and Hessian with the kinks, and the influence function.

        Parameters
        ----------
        axes : pair of matplotlib Axes, optional
            Where to draw; by default a new figure's.

        Returns
        -------
        tuple of matplotlib Axes
            The two; ``axes[0].figure.savefig(...)`` saves them.
        """
        from ._picture import draw

        return draw(self, axes)


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else str(float(value))
    return value if value is None else str(value)


def number(x: float) -> str:
    """Short, and without a sign on zero."""
    text = f"{x:.4g}"
    return "0" if text == "-0" else text


def numbers(xs: Any) -> str:
    """'1, 2 and 3'."""
    words = [number(float(x)) for x in xs]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"

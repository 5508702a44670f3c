"""What gradcheck returns: entries that were compared, checks of one derivative each, and the report of all of them."""

from __future__ import annotations

from dataclasses import dataclass

SHARE = 0.2  # of entries that may be skipped
SHOWN = 5  # entries that a report lists


NAMES = {1: "gradient", 2: "Hessian"}


@dataclass(frozen=True)
class Entry:
    """One comparison. `index` is where in the argument, or what was moved together."""

    index: tuple[int, ...] | str
    analytic: float
    numeric: float
    tolerance: float

    @property
    def error(self) -> float:
        """How far apart the two are; nan if either is."""
        return abs(self.analytic - self.numeric)

    @property
    def passed(self) -> bool:
        """Whether they are as close as the tolerance allows."""
        return self.error <= self.tolerance

    def __str__(self) -> str:
        where = self.index if isinstance(self.index, str) else f"at {self.index}"
        return (
            f"{where}: analytic {self.analytic:.10g}, numeric {self.numeric:.10g}, "
            f"off by {self.error:.2g} (allowed {self.tolerance:.2g})"
        )


@dataclass(frozen=True)
class Check:
    """One argument, one derivative, one reduction."""

    argument: str
    order: int  # 1: gradient, 2: diagonal Hessian
    reduction: str
    checked: int  # entries that were compared
    kinks: int  # skipped: the slope jumps there
    edges: int  # skipped: no room to move inside the domain, or no finite value
    unresolved: int  # skipped: the numeric slope is too inexact to tell
    worst: Entry | None  # the largest error in terms of its tolerance
    failures: tuple[Entry, ...]  # the worst of those that fail
    failed: int

    @property
    def skipped(self) -> int:
        """All the entries that were not compared."""
        return self.kinks + self.edges + self.unresolved

    @property
    def passed(self) -> bool:
        """Nothing differs, and not too much was skipped."""
        return self.failed == 0 and self.skipped <= SHARE * (self.checked + self.skipped)

    def __str__(self) -> str:
        total = self.checked + self.skipped
        lines = [f"{self.argument}, {NAMES[self.order]}, {self.reduction}: {self.failed} of {self.checked} differ"]
        if self.skipped:
            reasons = {"at kinks": self.kinks, "at the edge of the domain": self.edges, "not resolved": self.unresolved}
            said = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
            lines[0] += f", {self.skipped} of {total} skipped ({said})"
            if self.skipped > SHARE * total:
                lines[0] += f": more than {SHARE:.0%}, which tells too little"
        if self.failures:
            lines += [f"  {entry}" for entry in self.failures]
            if self.failed > len(self.failures):
                lines.append(f"  ... and {self.failed - len(self.failures)} more")
        elif self.worst is not None:
            lines[0] += f"; worst {self.worst}"
        return "\n  ".join(lines)


@dataclass(frozen=True)
class GradcheckResult:
    """What `gradcheck` found: true if every derivative agrees. `print` shows where and by how much they differ."""

    name: str
    checks: tuple[Check, ...]
    converted: tuple[str, ...]  # arguments that were turned into float64

    @property
    def passed(self) -> bool:
        """Whether all checks pass."""
        return all(check.passed for check in self.checks)

    @property
    def checked(self) -> int:
        """The number of comparisons."""
        return sum(check.checked for check in self.checks)

    @property
    def skipped(self) -> int:
        """The number of entries that were skipped."""
        return sum(check.skipped for check in self.checks)

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        verdict = "passed" if self.passed else "failed"
        return f"<GradcheckResult {self.name}: {verdict}, {self.checked} compared, {self.skipped} skipped>"

    def __str__(self) -> str:
        lines = [f"gradcheck {self.name}: {'passed' if self.passed else 'FAILED'}"]
        if self.converted:
            lines.append(f"  computed in float64: {', '.join(self.converted)} converted")
        return "\n".join(lines + [f"  {check}" for check in self.checks])

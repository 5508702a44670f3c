"""Results as a table of text, all from the saved rows; nothing is measured here.

A row's `times` are {contender: [median, low, high, rounds]}, in seconds.
"""

import math
from typing import Any

OURS = ("fastloss", "fastloss out=")
PEERS = ("NumPy", "PyTorch", "PyTorch compiled", "JAX/optax", "SciPy", "scikit-learn", "MONAI", "metric-learning")
COLUMNS = (*OURS, *PEERS)
HEADER = ("row", "mode", "threads", *COLUMNS, "vs best", "vs PyTorch", "of limit", "all/one")
NOTES = """\
Each time is the median over rounds in which all took turns; +- is half the distance between the
quartiles of ours. All allocate their results; `out=` writes into the caller's buffer, and the
fraction of the limit is the better of both. Limit: the bytes that must be read and written, at
the read bandwidth measured in turn with the row."""

Row = dict[str, Any]


def seconds(row: Row, column: str) -> float | None:
    """The median of the fastest contender of a column (a second way of one column ends in a ')."""
    times = [t[0] for name, t in row["times"].items() if name.rstrip("'") == column]
    return min(times, default=None)


def best_peer(row: Row) -> str | None:
    timed = [(s, peer) for peer in PEERS if (s := seconds(row, peer)) is not None]
    return min(timed)[1] if timed else None


def compared(results: dict[str, Any], threads: int) -> list[Row]:
    """The rows on so many threads that have a peer."""
    return [row for row in results["rows"] if row["threads"] == threads and best_peer(row) and seconds(row, "fastloss")]


def ratio(row: Row, column: str | None) -> float | None:
    """How many times as fast as this column ours is."""
    ours = seconds(row, "fastloss")
    other = seconds(row, column) if column else None
    return other / ours if ours and other else None


def fraction(row: Row) -> float | None:
    times = [s for column in OURS if (s := seconds(row, column)) is not None]
    return row["limit"] / min(times) if row["limit"] and times else None


def scaling(row: Row, rows: list[Row]) -> float | None:
    """One thread's time over all threads', for the row with all threads."""
    one = _other(rows, row["title"], row["mode"], 1)
    if one is None or row["threads"] == 1:
        return None
    before, after = seconds(one, "fastloss"), seconds(row, "fastloss")
    return before / after if before and after else None


def _other(rows: list[Row], title: str, mode: str, threads: int) -> Row | None:
    wanted = (title, mode, threads)
    return next((r for r in rows if (r["title"], r["mode"], r["threads"]) == wanted), None)


def target(row: Row) -> str:
    words = {
        "best": "{:g}x best peer",
        "eager": "{:g}x PyTorch",
        "scipy": "{:g}x SciPy",
        "limit": "{:.0%} of limit",
        "beside": "beside {}",
        "within": "at most {:g} times its time",
        "scaling": "{:g}x all/one",
        "seconds": "{:g} s",
        "in_memory": "{:.0%} of in memory",
        "peak_megabytes": "peak {:g} MB",
    }
    return ", ".join(words[name].format(value) for name, value in row["target"].items())


def note(row: Row, rows: list[Row]) -> str:
    """The target, and what the numeric columns cannot say."""
    remarks = [f"target {target(row)}" if target(row) else "", row.get("note", "")]
    if title := row["target"].get("beside"):
        other = _other(rows, title, row["mode"], row["threads"])
        theirs = seconds(other, "fastloss") if other else None
        ours = seconds(row, "fastloss")
        remarks.append(f"{ours / theirs:.2f} times {title}" if theirs and ours else "")
    if kept := seconds(row, "in memory"):
        remarks.append(f"{kept / row['times']['fastloss'][0]:.0%} of in memory")
    wrong = [f"{peer} {why}" for peer, why in row["absent"].items() if why.startswith(("not timed", "failed"))]
    return "; ".join(filter(None, [*remarks, *wrong]))


def duration(value: float | None) -> str:
    if value is None:
        return ""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def times(value: float | None) -> str:
    """Cut off, not rounded: 0.999 is behind."""
    return "" if value is None else f"{math.floor(100 * value) / 100:.2f}x"


def percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _ours(row: Row) -> str:
    time = row["times"].get("fastloss")
    if time is None:
        return ""
    median, low, high, _ = time
    spread = (high - low) / 2 / median
    return f"{duration(seconds(row, 'fastloss'))} +-{spread:.0%}"


def cells(row: Row, rows: list[Row]) -> list[str]:
    best = best_peer(row)
    against = ratio(row, best)
    return [
        row["title"],
        row["mode"],
        str(row["threads"]),
        _ours(row),
        *(duration(seconds(row, column)) for column in COLUMNS[1:]),
        f"{against:.2f}x {best}" if against else "",
        times(ratio(row, "PyTorch")),
        percent(fraction(row)),
        times(scaling(row, rows)),
        note(row, rows),
    ]


def progress(row: Row) -> str:
    return ", ".join(filter(None, cells(row, [row])))


def table(results: dict[str, Any]) -> str:
    """Everything, as aligned text; columns without an entry are left out."""
    rows = results["rows"]
    lines = [[*HEADER, "note"], *(cells(row, rows) for row in rows)]
    filled = [i for i in range(len(lines[0])) if any(line[i] for line in lines[1:])]
    widths = [max(len(line[i]) for line in lines) for i in filled]
    text = ["  ".join(line[i].ljust(w) for i, w in zip(filled, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([machine(results), "", text[0], "-" * len(text[0]), *text[1:], "", NOTES])


def machine(results: dict[str, Any]) -> str:
    """Where and with what the numbers were measured."""
    config = results["machine"]
    parts = [f"{config.get('cpu') or 'unknown processor'}, {config['processors']} processors, level {config.get('isa')}"]
    parts += [f"{config.get('compiler')}, Python {config.get('python')}", versions(results)]
    if results["quick"]:
        parts.append("a quick run: the leading axis of every shape is cut to a sixteenth")
    return "; ".join([*parts, results["when"]])


def versions(results: dict[str, Any]) -> str:
    """Every package whose times were taken, and its version."""
    found = {name: version for packages in results["peers"].values() for name, version in packages.items()}
    return ", ".join(f"{name} {version}" for name, version in found.items())

"""Results as a table, Markdown and a picture, all from the JSON; nothing is measured here."""

from pathlib import Path
from typing import Any

OURS = ("fastloss", "fastloss out=")
PEERS = ("NumPy", "PyTorch", "PyTorch compiled", "JAX/optax", "SciPy", "scikit-learn", "MONAI", "PyTorch sort", "metric-learning")
COLUMNS = (*OURS, *PEERS)
HEADER = ("row", "mode", "threads", *COLUMNS, "vs best", "vs PyTorch", "of limit", "all/one")
NOTES = """\
fastloss allocates its output as the peers do, and the ratios are between those times; `out=`
writes into the caller's buffer, and the fraction of the limit is the better of both. Limit: the
bytes that must be read and written, at the read bandwidth measured in turn with the row. Each
time is a median over rounds in which all took turns; +- is half the distance between the
quartiles of ours."""

Row = dict[str, Any]


def seconds(row: Row, column: str) -> float | None:
    """The median of the fastest contender of a column (a second way of one column ends in a ')."""
    times = [t["median"] for name, t in row["times"].items() if name.rstrip("'") == column]
    return min(times, default=None)


def best_peer(row: Row) -> str | None:
    timed = [(s, peer) for peer in PEERS if (s := seconds(row, peer)) is not None]
    return min(timed)[1] if timed else None


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
        times = seconds(other, "fastloss") if other else None
        ours = seconds(row, "fastloss")
        remarks.append(f"{ours / times:.2f} times {title}" if times and ours else "")
    if kept := seconds(row, "in memory"):
        remarks.append(f"{kept / row['times']['fastloss']['median']:.0%} of in memory")
    wrong = [f"{peer} {why}" for peer, why in row["absent"].items() if why.startswith(("not timed", "failed"))]
    return "; ".join(filter(None, [*remarks, *wrong]))


def duration(value: float | None) -> str:
    if value is None:
        return ""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}x"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _ours(row: Row) -> str:
    time = row["times"].get("fastloss")
    if time is None:
        return ""
    spread = (time["high"] - time["low"]) / 2 / time["median"]
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
        _times(ratio(row, "PyTorch")),
        _percent(fraction(row)),
        _times(scaling(row, rows)),
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
    config, packages = results["machine"], results["packages"]
    here = ", ".join(f"{name} {v}" for name, v in packages.items() if v != "not installed")
    gone = ", ".join(name for name, v in packages.items() if v == "not installed")
    parts = [f"{config.get('cpu', 'unknown processor')}, level {config.get('isa')}", here]
    if gone:
        parts.append(f"not installed: {gone}")
    if results["quick"]:
        parts.append("a quick run: the leading axis of every shape is cut to a sixteenth")
    return "; ".join([*parts, results["when"]])


def markdown(results: dict[str, Any]) -> str:
    """The rows with peers, on one thread, for the README."""
    rows = [r for r in results["rows"] if r["threads"] == 1 and best_peer(r)]
    header = ("float32 unless said, one thread", "fastloss", *PEERS, "vs best", "of limit")
    lines = [header, tuple("---" if i == 0 else "---:" for i in range(len(header)))]
    for row in rows:
        times = (duration(seconds(row, column)) or "-" for column in ("fastloss", *PEERS))
        what = f"{row['title']}, {row['mode']}"
        lines.append((what, *times, _times(ratio(row, best_peer(row))), _percent(fraction(row))))
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{text}\n\nMeasured on: {machine(results)}.\n{NOTES}"


def picture(results: dict[str, Any], path: Path) -> None:
    """One bar per row: times as fast as its best peer, on one thread, with the target's mark."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [r for r in results["rows"] if r["threads"] == 1 and best_peer(r)][::-1]
    figure, axes = plt.subplots(figsize=(10, 1.2 + 0.28 * len(rows)), layout="constrained")
    for place, row in enumerate(rows):
        best = best_peer(row)
        times = ratio(row, best) or 0
        axes.barh(place, times, color="C0" if row["mode"] == "forward" else "C1")
        wanted = row["target"].get("best", 0)
        axes.plot([wanted, wanted], [place - 0.4, place + 0.4], color="black", linewidth=1)
        label = f" {times:.1f}x {best}"
        axes.text(max(times, wanted), place, label, va="center", fontsize=7)
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{r['title']}, {r['mode']}" for r in rows], fontsize=7)
    axes.set_xlabel("times as fast as the best peer, one thread (black mark: the speed to reach)")
    axes.margins(x=0.15, y=0.01)
    figure.savefig(path, dpi=130)
    plt.close(figure)

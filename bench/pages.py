"""Results as Markdown, for README.md and docs/speed.md; nothing is measured here.

A row has a mode: "forward" is shown as value, "value and gradient" as with gradient.
"""

import math
from itertools import groupby
from typing import Any

from . import report
from .report import Row
from .saved import Results

FRONT = (  # the README's rows; the one that is furthest behind comes on top of these
    "cross_entropy 32768 x 1000",
    "cross_entropy 2048 x 32768, bfloat16",
    "binary_cross_entropy_with_logits 16.8M elements",
    "mse 16.8M elements",
    "kl_div_with_logits 32768 x 1000",
    "ctc T512 N32 C32 S100",
    "dice 4 x 4 x 64 x 128 x 128, softmax",
    "triplet 65536 x 128",
    "batch_triplet 1024 x 128, hard",
)
MODES = {"forward": "value", "value and gradient": "with gradient", "gradient and Hessian": "gradient and Hessian"}
SMALL = "small calls"


def _markdown(header: tuple[str, ...], lines: list[tuple[str, ...]], left: int = 1) -> str:
    rule = tuple("---" if i < left else "---:" for i in range(len(header)))
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *lines))


def _counts(results: Results) -> list[int]:
    """The thread counts that were measured, of rows with peers."""
    return sorted({row["threads"] for row in results["rows"] if report.best_peer(row)})


def _threads(count: int) -> str:
    return "one thread" if count == 1 else f"{count} threads"


def _is_behind(row: Row) -> bool:
    return (report.ratio(row, report.best_peer(row)) or 0) < 1


def _behind(rows: list[Row]) -> list[Row]:
    return sorted(filter(_is_behind, rows), key=lambda row: report.ratio(row, report.best_peer(row)) or 0)


# -- README.md -------------------------------------------------------------------------------------


def sentence(results: Results) -> str:
    """How many rows are ahead of the best peer, and how many are not."""
    parts = []
    for count in _counts(results):
        rows = report.compared(results, count)
        parts.append(f"on {len(rows) - len(_behind(rows))} of {len(rows)} rows with {_threads(count)}")
    return f"Ahead of the best peer {', and '.join(parts)}; the rows behind are listed first in [docs/speed.md](docs/speed.md)."


def front_table(results: Results) -> str:
    """Ten rows on one thread, the last one the furthest behind; both modes share a cell."""
    rows = [row for row in report.compared(results, 1) if row["family"] != SMALL]
    titles = [title for title in FRONT if any(row["title"] == title for row in rows)]
    others = [row for row in rows if row["title"] not in titles and row["mode"] != "gradient and Hessian"]
    if others:
        titles.append(min(others, key=lambda row: report.ratio(row, report.best_peer(row)) or 0)["title"])
    lines = [_front_line(title, [row for row in rows if row["title"] == title]) for title in titles]
    header = ("one thread: value / value and gradient", "fastloss", "best peer", "times as fast", "of the limit")
    return _markdown(header, lines)


def _front_line(title: str, rows: list[Row]) -> tuple[str, ...]:
    def both(cells: list[str]) -> str:
        return " / ".join(cells)

    peers = [str(report.best_peer(row)) for row in rows]
    times = [report.duration(report.seconds(row, peer)) for row, peer in zip(rows, peers, strict=True)]
    if len(set(peers)) == 1:
        best = f"{_durations(times)}, {peers[0]}"
    else:
        best = both([f"{time} {peer}" for time, peer in zip(times, peers, strict=True)])
    return (
        title,
        _durations([report.duration(report.seconds(row, "fastloss")) for row in rows]),
        best,
        both([_times(row) for row in rows]),
        both([report.percent(report.fraction(row)) for row in rows]),
    )


def _durations(times: list[str]) -> str:
    """Both in a cell; a unit that they share stands once."""
    units = {time.split()[1] for time in times}
    return " / ".join(time.split()[0] for time in times) + f" {units.pop()}" if len(units) == 1 else " / ".join(times)


def _times(row: Row) -> str:
    value = report.ratio(row, report.best_peer(row))
    if value is None:
        return ""
    if value < 1:
        return f"**{math.floor(100 * value) / 100:.2f}**"
    return f"{value:.2f}" if value < 1.95 else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


# -- docs/speed.md ---------------------------------------------------------------------------------


def measured(results: Results) -> str:
    """Machine, software and date."""
    config = results["machine"]
    counts = _counts(results)
    threads = ", then ".join(_threads(count) for count in counts)
    if counts == [1]:
        threads += "; with all threads nothing has been saved yet"
    lines = [
        ("processor", f"{config.get('cpu') or 'unknown'}, {config['processors']} processors"),
        ("CPU level of fastloss", f"{config.get('isa')}"),
        ("compiler", f"{config.get('compiler')}"),
        ("Python", f"{config.get('python')}"),
        ("threads", threads),
        ("rounds", f"{results['rounds']}"),
        ("date", results["when"].partition("T")[0]),
    ]
    by_package = {n: v for packages in results["peers"].values() for n, v in packages.items()}
    lines += [(f"`{name}`", version) for name, version in by_package.items()]
    return _markdown(("", "measured with"), lines, left=2)


def summary(results: Results) -> str:
    """Median over each family's rows: times as fast as the best peer."""
    counts = _counts(results)
    header = ("median of times as fast as the best peer", *(f"{_threads(c)}: rows, behind, median" for c in counts))
    table: dict[str, list[str]] = {}
    for count in counts:
        rows = report.compared(results, count)
        for family in sorted({row["family"] for row in rows}, key=lambda f: (f == SMALL, f)):
            own = [row for row in rows if row["family"] == family]
            ratios = sorted(report.ratio(row, report.best_peer(row)) or 0 for row in own)
            median = (ratios[(len(ratios) - 1) // 2] + ratios[len(ratios) // 2]) / 2
            cells = table.setdefault(family, [""] * len(counts))
            cells[counts.index(count)] = f"{len(own)}, {len(_behind(own))}, {median:.1f}x"
    return _markdown(header, [(family, *cells) for family, cells in table.items()])


def behind(results: Results) -> str:
    """Every row with a faster peer, the furthest behind first."""
    header = ("row", "mode", "threads", "fastloss", "best peer", "times as fast", "of the limit")
    rows = _behind([row for count in _counts(results) for row in report.compared(results, count)])
    if not rows:
        return "None."
    lines = [
        (
            row["title"],
            MODES[row["mode"]],
            str(row["threads"]),
            report.duration(report.seconds(row, "fastloss")),
            f"{report.duration(report.seconds(row, report.best_peer(row) or ''))} {report.best_peer(row)}",
            report.times(report.ratio(row, report.best_peer(row))),
            report.percent(report.fraction(row)),
        )
        for row in rows
    ]
    return _markdown(header, lines, left=2)


def everything(results: Results) -> str:
    """A section for each family, in it a table for each number of threads, with those peers that have its functions."""
    rows = [row for count in _counts(results) for row in report.compared(results, count)]
    rows.sort(key=lambda row: (row["family"] == SMALL, row["family"], row["threads"]))  # stable: else in the order measured
    parts = []
    for family, own in groupby(rows, key=lambda row: row["family"]):
        parts.append(f"### {family.capitalize()}")
        for count, some in groupby(own, key=lambda row: row["threads"]):
            parts.append(_family_table(list(some), count, results["rows"]))
    return "\n\n".join([*parts, *_processes(results)])


def _family_table(rows: list[Row], threads: int, every: list[Row]) -> str:
    columns = [column for column in report.PEERS if any(report.seconds(row, column) for row in rows)]
    buffers = [c for c in report.OURS[1:] if any(report.seconds(row, c) for row in rows)]
    header = (
        _threads(threads),
        "mode",
        "fastloss",
        *(f"with `{c.split()[1]}`" for c in buffers),
        *columns,
        "vs best",
        "of limit",
    )
    header += ("all/one",) if threads > 1 else ()
    lines = []
    for row in rows:
        shown = (report.duration(report.seconds(row, column)) or "-" for column in ("fastloss", *buffers, *columns))
        line = (row["title"], MODES[row["mode"]], *shown, report.times(report.ratio(row, report.best_peer(row))))
        line += (report.percent(report.fraction(row)),)
        lines.append((*line, report.times(report.scaling(row, every))) if threads > 1 else line)
    return _markdown(header, lines, left=2)


def _processes(results: Results) -> list[str]:
    rows = [row for row in results["rows"] if row["family"] == "processes"]
    if not rows:
        return []
    lines = [(row["title"], report.duration(report.seconds(row, "fastloss")), report.note(row, rows)) for row in rows]
    return ["### Import and evaluation", _markdown(("", "time", "note"), lines)]


def absent(results: Results) -> str:
    """Contenders that took part in nothing of a row although they have the function, and why."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in results["rows"]:
        for peer, why in row["absent"].items():
            if not why.startswith("left out"):
                reasons.setdefault((peer.rstrip("'"), why), []).append(f"{row['title']}, {MODES[row['mode']]}")
    if not reasons:
        return "None."
    return "\n".join(
        f"* {peer}: {why.replace('|', ' ')}. {'; '.join(dict.fromkeys(rows))}." for (peer, why), rows in reasons.items()
    )


def tables(results: Results) -> dict[str, str]:
    """What stands between the markers of these names."""
    made: dict[str, Any] = {
        "speed-sentence": sentence,
        "speed-front": front_table,
        "speed-measured": measured,
        "speed-summary": summary,
        "speed-behind": behind,
        "speed-rows": everything,
        "speed-absent": absent,
    }
    return {name: make(results) for name, make in made.items()}

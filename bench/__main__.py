"""`python -m bench`: time every row, print one table, save the numbers and a picture.

Rows on one pinned thread and on all of them run in separate worker processes; should a peer crash
one, the next row goes on in a fresh one.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import processes, report

RESULTS = Path("bench/results")
PACKAGES = ("fastloss", "numpy", "torch", "jax", "optax", "scipy", "scikit-learn")


def main() -> None:
    options = _parse()
    rows: list[dict[str, Any]] = []
    for row in _measure(options):
        rows.append(row)
        print(report.progress(row), file=sys.stderr, flush=True)
    results = {"when": _now(), "machine": _machine(), "packages": _versions(), "rows": rows}
    results["quick"] = options.quick
    print(report.table(results))
    partial = options.quick or options.filter
    output = processes.WORK if partial else RESULTS
    output.mkdir(parents=True, exist_ok=True)
    (output / "latest.json").write_text(json.dumps(results, indent=1) + "\n")
    report.picture(results, output / "latest.png")
    print(f"\nsaved: {output / 'latest.json'}, {output / 'latest.png'}")
    if not partial:
        print("`make bench-readme` brings the tables in README.md and docs/ up to date")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small shapes, few rounds; not kept")
    size.add_argument("--full", action="store_true", help="more rounds, and a file of 4 GB")
    parser.add_argument("--filter", default="", metavar="REGEX", help="only rows whose title matches")
    parser.add_argument("--rounds", type=int, help="turns of each contender")
    options = parser.parse_args()
    if options.rounds is None:
        options.rounds = 3 if options.quick else 15 if options.full else 7
    options.turn = 0.005 if options.quick else 0.05
    options.bytes = 2**25 if options.quick else 4 * 10**9 if options.full else 2**29
    return options


def _measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    def wanted(title: str) -> bool:
        return re.search(options.filter, title) is not None

    titles = [row for row in _titles() if wanted(row[0])]
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for threads in sorted({1, processors or 1}):
        chosen = [title for title, _, tiny in titles if threads == 1 or not tiny]
        yield from _timed(threads, chosen, {row[0]: row[1] for row in titles}, options)
    if wanted("import"):
        yield processes.import_row(options.rounds)
    if wanted("evaluate"):
        yield from processes.evaluate_rows(options.bytes, options.rounds, options.turn)
    if wanted("registry"):
        yield from processes.registry_rows(options.quick)


def _titles() -> list[tuple[str, list[str], bool]]:
    """(title, modes, whether it is a ten-element call) of every row."""
    command = [sys.executable, "-m", "bench.worker"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [(title, modes, tiny) for title, modes, tiny in json.loads(done.stdout)]


def _timed(threads: int, titles: list[str], modes: dict[str, list[str]], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every row of these titles; a row that ends its worker is named and left out."""
    waiting = [(title, mode) for title in titles for mode in modes[title]]
    while waiting:
        names = list(dict.fromkeys(title for title, _ in waiting))
        for row in _worker([f"--threads={threads}", *names], options):
            if (row["title"], row["mode"]) in waiting:
                waiting.remove((row["title"], row["mode"]))
                yield row
        if waiting:
            print(f"{', '.join(waiting.pop(0))}: the worker ended here; going on", file=sys.stderr)


def _worker(arguments: Iterable[str], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "bench.worker", f"--rounds={options.rounds}"]
    command += [f"--turn={options.turn}", *(["--quick"] if options.quick else []), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        yield from map(json.loads, child.stdout)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")


def _machine() -> dict[str, Any]:
    code = "import fastloss, json; print(json.dumps(fastloss.show_config('dicts'), default=str))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    config: dict[str, Any] = json.loads(done.stdout)
    return config


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


if __name__ == "__main__":
    main()

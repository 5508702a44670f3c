"""`python -m bench`: time every row, on one thread and on all; print one table, save the numbers and a picture.

Each thread count has worker processes of its own; should a peer crash one, the next row goes on in a
fresh one. Rows are saved as they are done: `--resume` continues a run that was interrupted.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import processes, report, saved

UNFINISHED = processes.WORK / "unfinished.json"
SETTINGS = ("machine", "quick", "rounds")  # what a run must share with the one it continues
Job = tuple[str, str, dict[str, str]]  # title, mode, contenders to leave out and why


def main() -> None:
    options = _parse()
    listed = _listed()
    results = _started(options)
    print(f"each row is saved in {UNFINISHED}; `--resume` continues from there", file=sys.stderr)
    try:
        for row in _measure(list(results["rows"]), listed["rows"], options):
            results["rows"].append(row)
            results["peers"] = _versions(results["rows"], listed["packages"])
            saved.save(results, UNFINISHED)
            print(report.progress(row), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        sys.exit(f"interrupted: {len(results['rows'])} rows are saved; the same command with --resume goes on")
    print(report.table(results))
    saved.save(results, options.output)
    UNFINISHED.unlink(missing_ok=True)
    picture = options.output.with_suffix(".svg")
    _draw(results, picture)
    print(f"\nsaved: {options.output}, {picture}")
    if options.output == saved.LATEST:
        print("`make bench-readme` brings README.md and docs/ up to date")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small shapes, few rounds; compiled PyTorch only with --filter")
    size.add_argument("--full", action="store_true", help="more rounds, a file of 4 GB, and the derivatives of every loss")
    parser.add_argument("--filter", default="", metavar="REGEX", help="only rows whose title matches; not kept")
    parser.add_argument("--rounds", type=int, help="turns of each contender")
    parser.add_argument("--threads", type=int, nargs="+", metavar="N", help="instead of one and all")
    parser.add_argument("--resume", action="store_true", help="go on with the run that was interrupted")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the results go")
    options = parser.parse_args()
    if options.rounds is None:
        options.rounds = 3 if options.quick else 15 if options.full else 5
    if options.output is None:
        partial = options.quick or options.filter or options.threads
        options.output = processes.WORK / "latest.json" if partial else saved.LATEST
    options.turn = 0.005 if options.quick else 0.03
    options.bytes = 2**25 if options.quick else 4 * 10**9 if options.full else 2**29
    return options


def _started(options: argparse.Namespace) -> saved.Results:
    """Results without rows, or those of the run to continue."""
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
    fresh: saved.Results = {"when": when, "machine": _machine(), "quick": options.quick, "rounds": options.rounds}
    fresh |= {"peers": {}, "rows": []}
    if not options.resume:
        UNFINISHED.unlink(missing_ok=True)
    if not UNFINISHED.exists():
        return fresh
    found = saved.load(UNFINISHED)
    if differing := [name for name in SETTINGS if found[name] != fresh[name]]:
        sys.exit(f"{UNFINISHED} is of another run: {', '.join(differing)} differ; start without --resume")
    return found


def _measure(done: list[report.Row], listed: list[Any], options: argparse.Namespace) -> Iterator[report.Row]:
    """The rows that are asked for and not done."""

    def wanted(title: str) -> bool:
        return re.search(options.filter, title) is not None

    finished = {(row["title"], row["mode"], row["threads"]) for row in done}
    one = [row for row in done if row["threads"] == 1]
    for threads in options.threads or sorted({1, processors()}):
        asked = [(title, mode) for title, modes, tiny in listed for mode in modes if wanted(title) and not (tiny and threads > 1)]
        left = [(title, mode) for title, mode in asked if (title, mode, threads) not in finished]
        jobs: list[Job] = [(title, mode, _hopeless(title, mode, threads, one)) for title, mode in left]
        for row in _timed(threads, jobs, options):
            one += [row] if threads == 1 else []
            yield row
    if wanted("import") and not any(row["mode"] == "import" for row in done):
        yield processes.import_row(options.rounds)
    if wanted("evaluate") and not any(row["mode"] == "evaluate" for row in done):
        yield from processes.evaluate_rows(options.bytes, options.rounds, options.turn)
    if options.full and wanted("registry"):
        yield from processes.registry_rows(options.quick)


def processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _hopeless(title: str, mode: str, threads: int, one: list[report.Row]) -> dict[str, str]:
    """Contenders that need no time with so many threads: were they so many times as fast, the best peer's one would still win.

    Of two ways of one peer the better on one thread stays.
    """
    row = next((row for row in one if threads > 1 and (row["title"], row["mode"]) == (title, mode)), None)
    if row is None:
        return {}
    times = {name: time[0] for name, time in row["times"].items() if name not in report.OURS}
    ways = {name: report.seconds(row, name.rstrip("'")) for name in times}
    reason = f"left out: with {threads} times its speed on one thread it would still not be the best"
    return {name: reason for name, t in times.items() if t > threads * min(times.values()) or t != ways[name]}


def _timed(threads: int, jobs: list[Job], options: argparse.Namespace) -> Iterator[report.Row]:
    """Every row of these jobs; a row that ends its worker is named and left out."""
    waiting = list(jobs)
    while waiting:
        for row in _worker(threads, waiting, options):
            waiting.pop(0)
            yield row
        if waiting:
            title, mode, _ = waiting.pop(0)
            print(f"{title}, {mode}: the worker ended here; going on", file=sys.stderr)


def _worker(threads: int, jobs: list[Job], options: argparse.Namespace) -> Iterator[report.Row]:
    command = [sys.executable, "-m", "bench.worker", f"--threads={threads}", f"--rounds={options.rounds}"]
    command += [f"--turn={options.turn}", *(["--quick"] if options.quick else [])]
    command += ["--eager"] if options.quick and not options.filter else []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(jobs))
        child.stdin.close()
        yield from map(json.loads, child.stdout)


def _listed() -> dict[str, Any]:
    """rows: (title, modes, whether it is a call on ten elements); packages: of each peer."""
    command = [sys.executable, "-m", "bench.worker", "--list"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _machine() -> dict[str, Any]:
    code = "import fastloss, json; print(json.dumps(fastloss.show_config('dicts'), default=str))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    config: dict[str, Any] = json.loads(done.stdout)
    return config | {"processors": processors()}


def _versions(rows: list[report.Row], packages: dict[str, list[str]]) -> dict[str, dict[str, str]]:
    """The versions behind every column that was timed."""
    ran = {name.rstrip("'") for row in rows for name in row["times"]}
    return {peer: {name: _version(name) for name in names} for peer, names in packages.items() if peer in ran}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _draw(results: saved.Results, path: Path) -> None:
    try:
        from . import picture
    except ImportError:
        print("no picture: Matplotlib is not installed", file=sys.stderr)
        return
    picture.draw(results, path)


if __name__ == "__main__":
    main()

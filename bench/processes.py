"""Rows that need processes of their own: the import, evaluation from a file, and pytest-benchmark.

Nothing heavy is imported here: a child's peak memory, as the kernel reports it, starts from its
parent's.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .timing import Time

WORK = Path("build/bench")
_FILES = WORK / "evaluate"  # a logits file, for a while
_IMPORT = """
import numpy, time
start = time.perf_counter()
import fastloss
print(time.perf_counter() - start)
"""


def result(
    title: str,
    mode: str,
    times: dict[str, Any],
    target: dict[str, float] | None = None,
    threads: int | None = None,
    note: str = "",
) -> dict[str, Any]:
    """A row as the workers print it; these have no peers, and unless told run on every core they like."""
    row = {"title": title, "mode": mode, "threads": threads or os.cpu_count(), "family": "processes", "times": times}
    return row | {"limit": None, "target": target or {}, "absent": {}} | ({"note": note} if note else {})


def _python(*arguments: str, **variables: str) -> str:
    """What a Python child prints; its complaints are shown."""
    command, environment = [sys.executable, *arguments], os.environ | variables
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} exited with {done.returncode}:\n{done.stdout}")
    return done.stdout


def import_row(rounds: int) -> dict[str, Any]:
    seconds = [float(_python("-c", _IMPORT)) for _ in range(rounds + 1)][1:]  # the first one warms
    times = {"fastloss": Time.of(seconds).to_json()}
    return result("import fastloss, after numpy", "import", times, {"seconds": 0.03})


def evaluate_rows(nbytes: int, rounds: int, turn: float) -> Iterator[dict[str, Any]]:
    """`fl.evaluate` on a cached file beside the kernel in memory; then the whole command."""
    _FILES.mkdir(parents=True, exist_ok=True)
    size = f"{nbytes / 2**30:.3g} GiB"
    try:
        _python("-m", "bench.streaming", "write", str(_FILES), f"--bytes={nbytes}")
        schedule = [f"--rounds={rounds}", f"--turn={turn}"]
        times = json.loads(_python("-m", "bench.streaming", "time", str(_FILES), *schedule))
        title = f"fl.evaluate cross_entropy, {size} file"
        yield result(title, "evaluate", times, {"in_memory": 0.8})

        runs = [_command() for _ in range(rounds)]
        whole = {"fastloss": Time.of([seconds for seconds, _ in runs]).to_json()}
        note = f"peak memory {max(peak for _, peak in runs) / 1e6:.0f} MB"
        title = f"fastloss evaluate, whole command, {size} file"
        yield result(title, "evaluate", whole, {"peak_megabytes": 356}, note=note)
    finally:
        shutil.rmtree(_FILES, ignore_errors=True)


def _command() -> tuple[float, int]:
    """Wall time in seconds and peak resident memory in bytes of one `fastloss evaluate`."""
    arguments = ["evaluate", "cross_entropy", "--max-memory", "256MB", "--format", "json"]
    for name in ("logits", "target"):
        arguments += [f"--{name}", str(_FILES / f"{name}.npy")]
    start = time.perf_counter()
    child = subprocess.Popen([str(Path(sys.executable).with_name("fastloss")), *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"fastloss evaluate exited with {child.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - start, usage.ru_maxrss * unit


def registry_rows(quick: bool) -> Iterator[dict[str, Any]]:
    """Every loss and derivative order, timed by pytest-benchmark on one thread."""
    WORK.mkdir(parents=True, exist_ok=True)
    report = WORK / "registry.json"
    command = ["-m", "pytest", "bench/test_registry_bench.py", "-q", "-p", "no:cacheprovider"]
    command += [f"--benchmark-json={report}", "--benchmark-disable-gc", "--benchmark-warmup=on"]
    command += [f"--benchmark-max-time={0.02 if quick else 0.2}", "--benchmark-min-rounds=3"]
    _python(*command, FASTLOSS_NUM_THREADS="1")
    for row in json.loads(report.read_text())["benchmarks"]:
        stats, named = row["stats"], row["extra_info"]
        seconds = Time(stats["median"], stats["q1"], stats["q3"], stats["rounds"])
        yield result(named["title"], named["order"], {"fastloss": seconds.to_json()}, threads=1)

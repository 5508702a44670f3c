"""Does the test suite bite? Plants the faults of faults.py, one at a time, and waits for a test to fail: `make mutants`.

Nothing here touches the sources. They are copied to build/mutants/clean and compiled there, and from there to a tree for each
job: in it a fault is planted, the extension that needs it is compiled again, the tests run, and everything is put back.

The files of tests that a fault names run first, then the rest of the quick tier; the full tier only if all these pass. A fault is

    quick     found by the quick tier, as it should be
    full      found by the full tier alone
    neither   found by no test
    build     not a fault at all: it does not compile

Only the first will do. Whatever makes pytest fail counts: a crash of the interpreter, a test that hangs; a test that fails, if
it fails again alone and passes without the fault (tests that measure times fail on a busy machine for no other reason).
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from faults import FAULTS, ROOT, Fault

WORK = ROOT / "build" / "mutants"
CLEAN = WORK / "clean"
RESULTS = WORK / "results.jsonl"
PAGE = ROOT / "CONTRIBUTING.md"
STALL = {"quick": 300, "full": 600}  # seconds in which no test ends, after which pytest is taken to hang
NOT_RUN = ("tests/peers", "tests/system/test_mutants.py")  # of other libraries' results; of the sources as they should be
COPIED = ("src", "tests", "setup.py", "pyproject.toml")  # what a result depends on

NO_TESTS, USAGE, INTERNAL = 5, 4, 3  # pytest's exit codes that say nothing about the fault
NODE = re.compile(r"^(tests/\S+?\.py(?:::.*?)?)(?: (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b.*)?$")


class Stop(Exception):
    """The script cannot go on; its text says why."""


# ---- trees ----------------------------------------------------------------------------------------------------------


def source_files() -> list[str]:
    """What git knows of, or would: the copy is of the working tree as it is."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return sorted(name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())


def digest_of_sources() -> str:
    """Of all that a result depends on, but for the fault."""
    total = hashlib.sha256()
    for name in source_files():
        if name.startswith(COPIED):
            total.update(name.encode() + b"\0" + (ROOT / name).read_bytes())
    return total.hexdigest()


def files_below(folder: Path) -> dict[str, os.stat_result]:
    found = {}
    for path, _, names in os.walk(folder):
        for name in names:
            full = os.path.join(path, name)
            found[os.path.relpath(full, folder)] = os.lstat(full)
    return found


def mirror(source: Path, to: Path) -> None:
    """Make one folder the same as another, times included; what is the same already is left alone."""
    want, have = files_below(source), files_below(to)
    for name in have.keys() - want.keys():
        (to / name).unlink()
    for name, stat in want.items():
        old = have.get(name)
        if old is None or (old.st_mtime_ns, old.st_size) != (stat.st_mtime_ns, stat.st_size):
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, to / name, follow_symlinks=False)


def build_tools() -> Path:
    """A folder with what pyproject.toml wants for building, which the environment of the tests need not have."""
    folder = WORK / "build-tools"
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    wanted = [r for r in requires if not r.lower().startswith("numpy")]  # NumPy's headers are the environment's own
    stamp = folder / "requires.json"
    if not stamp.exists() or json.loads(stamp.read_text()) != wanted:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", str(folder), *wanted]
        subprocess.run(command, check=True)
        stamp.write_text(json.dumps(wanted))
    return folder


def environment(**more: str) -> dict[str, str]:
    ours = ("FASTLOSS_", "PYTEST_", "PYTHON", "OMP_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, **more}


def quick_compiler() -> Path:
    """The C compiler, told to optimise little whatever else it is told: a third of the time, and the same arithmetic."""
    script = WORK / "cc"
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    text = f'#!/bin/sh\nexec {compiler} "$@" -O1\n'
    if not script.exists() or script.read_text() != text:  # another job may be running it
        script.write_text(text)
        script.chmod(0o755)
    return script


def build(tree: Path, levels: str, log: Path) -> bool:
    """Compile what is older than its sources."""
    with log.open("w") as out:
        done = subprocess.run(
            [sys.executable, "setup.py", "build_ext", "--inplace"], cwd=tree, stdout=out, stderr=subprocess.STDOUT,
            env=environment(FASTLOSS_LEVELS=levels, PYTHONPATH=str(build_tools()), CC=str(quick_compiler())),
        )  # fmt: skip
    return done.returncode == 0


def prepare(levels: str) -> None:
    """The clean tree, compiled."""
    CLEAN.mkdir(parents=True, exist_ok=True)
    stamp = WORK / "levels"
    if not stamp.exists() or stamp.read_text() != levels:
        for path in CLEAN.glob("src/fastloss/*.so"):
            path.unlink()
        stamp.write_text(levels)
    names = set(source_files())
    for name in names:
        (CLEAN / name).parent.mkdir(parents=True, exist_ok=True)
        if not (CLEAN / name).exists() or (CLEAN / name).read_bytes() != (ROOT / name).read_bytes():
            shutil.copy2(ROOT / name, CLEAN / name)
            os.utime(CLEAN / name)  # newer than what was compiled from the file before
    for folder in ("src", "tests"):  # what is gone from the sources
        for name in files_below(CLEAN / folder):
            path = f"{folder}/{name}"
            if path not in names and name.endswith((".py", ".pyx", ".pxd", ".h")):
                (CLEAN / path).unlink()
    print(f"building {CLEAN.relative_to(ROOT)} ...", flush=True)
    if not build(CLEAN, levels, WORK / "build.log"):
        raise Stop(f"the sources do not compile: see {(WORK / 'build.log').relative_to(ROOT)}")


# ---- tests ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Run:
    """How a run of pytest ended: with what test, if not well."""

    passed: bool
    test: str = ""
    seconds: float = 0.0


def verdict(text: str, code: int, hung: bool = False) -> tuple[bool, str]:
    """Whether pytest's verbose output and its exit code mean that all passed, and else what failed."""
    last = failed = ""
    for line in text.splitlines():
        if match := NODE.match(line):
            last = match[1].partition(" Fatal Python error")[0]
            if match[2] in ("FAILED", "ERROR") and not failed:
                failed = last
    if hung:
        return False, f"{last or 'start'} (hangs)"
    if code == 0 or code == NO_TESTS:
        return True, ""
    if code in (USAGE, INTERNAL):
        raise Stop(f"pytest did not run (exit code {code}):\n{text[-2000:]}")
    if failed:
        return False, failed
    if code < 0 or code > 2:
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return False, f"{last or 'start'} ({name})"
    collected = re.search(r"^ERROR (tests/\S+)", text, re.MULTILINE)
    return False, f"{collected[1] if collected else last or 'start'} (collection)"


def run_tests(tree: Path, targets: Iterable[str], tier: str, log: Path, more: Sequence[str] = ()) -> Run:
    """pytest up to the first failure, in a process group of its own that is killed where it hangs."""
    command = [sys.executable, "-m", "pytest", "-x", "-v", "--tb=short", "-p", "no:cacheprovider", *more, *targets]
    if tier == "full":
        command.append("--full")
    began, hung, size, since = time.monotonic(), False, -1, time.monotonic()
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=tree, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
            env=environment(PYTHONPATH=str(tree / "src"), PYTHONUNBUFFERED="1"),
        )  # fmt: skip
        try:
            while process.poll() is None:
                time.sleep(0.1)
                if log.stat().st_size != size:
                    size, since = log.stat().st_size, time.monotonic()
                elif time.monotonic() - since > STALL[tier]:
                    hung = True
                    break
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    seconds = time.monotonic() - began
    return Run(*verdict(log.read_text(errors="replace"), process.returncode, hung), seconds)


def rest_of(files: Iterable[str]) -> list[str]:
    """Arguments that run all but these files."""
    return ["tests", *(f"--ignore={name}" for name in (*NOT_RUN, *files))]


def has_full_tier() -> bool:
    return '"--full"' in (ROOT / "tests" / "conftest.py").read_text()


def check_clean(faults: Sequence[Fault], files_only: bool, key: str) -> None:
    """The tests pass where nothing is wrong: otherwise their failures would mean nothing."""
    files = sorted({name for fault in faults for name in fault.tests})
    targets = files if files_only else rest_of(())
    stamp, mark = WORK / "clean.json", {"digest": key, "targets": targets}
    if stamp.exists() and json.loads(stamp.read_text()) == mark:
        return
    print("tests of the sources as they are ...", flush=True)
    run = run_tests(CLEAN, targets, "quick", WORK / "clean.log")
    if not run.passed:
        raise Stop(f"without any fault {run.test} fails: see {(WORK / 'clean.log').relative_to(ROOT)}")
    print(f"  pass in {run.seconds:.0f} s", flush=True)
    stamp.write_text(json.dumps(mark))


# ---- faults ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Result:
    """What became of a fault."""

    name: str
    digest: str
    outcome: str  # quick, full, neither, build; survived: of the files alone
    test: str = ""
    seconds: float = 0.0  # of the run that found it, up to there, and those before
    build: float = 0.0

    def line(self) -> str:
        by = self.test.removeprefix("tests/")
        return f"{self.outcome:9}{self.name:28}{self.seconds:6.0f} s (build {self.build:3.0f} s)  {by}"


def digest(fault: Fault, sources: str) -> str:
    return hashlib.sha256((sources + repr(dataclasses.astuple(fault))).encode()).hexdigest()[:16]


def plant(fault: Fault, tree: Path) -> None:
    path = tree / fault.file
    path.write_text(fault.applied(path.read_text()))


def judge(fault: Fault, tree: Path, key: str, options: argparse.Namespace) -> Result:
    """Plant a fault in a tree that is clean, and see what finds it."""
    result = Result(fault.name, key, "neither")
    log = WORK / "logs" / f"{fault.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    mirror(CLEAN, tree)
    plant(fault, tree)
    if fault.compiled:
        began = time.monotonic()
        built = build(tree, options.levels, log.with_suffix(".build.log"))
        result.build = time.monotonic() - began
        if not built:
            result.outcome, result.test = "build", str(log.with_suffix(".build.log").relative_to(ROOT))
            return result
    stages = [("quick", list(fault.tests))]
    if not options.files_only and not options.k:
        stages.append(("quick", rest_of(fault.tests)))
        if has_full_tier():
            stages.append(("full", list(fault.tests)))
    narrow = ["-k", options.k] if options.k else []
    for tier, targets in stages:
        while True:
            run = run_tests(tree, targets, tier, log, narrow)
            result.seconds += run.seconds
            if run.passed:
                break
            if is_caused(run.test, tree, tier, log):
                result.outcome, result.test = tier, run.test
                return result
            print(f"         {fault.name}: {run.test} failed once; without it once more", flush=True)
            narrow = [*narrow, "--deselect", run.test]
    if options.files_only or options.k:
        result.outcome = "survived"
    return result


def is_caused(test: str, tree: Path, tier: str, log: Path) -> bool:
    """Whether a test fails because of the fault: again, and not without it. A crash or a hang is not asked twice."""
    if "::" not in test or test.endswith(")"):
        return True
    again = log.with_suffix(".again.log")
    return not run_tests(tree, [test], tier, again).passed and run_tests(CLEAN, [test], tier, again).passed


def judge_all(faults: Sequence[Fault], keys: dict[str, str], options: argparse.Namespace) -> Iterable[Result]:
    """As results come in, from as many trees as there are jobs."""
    trees: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for k in range(options.jobs):
        trees.put(WORK / f"tree-{k}")
    done: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
    stopped = threading.Event()

    def work(fault: Fault) -> None:
        if stopped.is_set():
            return
        tree = trees.get()
        try:
            done.put(judge(fault, tree, keys[fault.name], options))
        except BaseException as error:
            done.put(error)
        finally:
            trees.put(tree)

    with ThreadPoolExecutor(options.jobs) as pool:
        for fault in faults:
            pool.submit(work, fault)
        try:
            for _ in faults:
                result = done.get()
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            stopped.set()


def saved(keys: dict[str, str]) -> dict[str, Result]:
    """Results of earlier runs that still hold."""
    found = {}
    if RESULTS.exists():
        for line in RESULTS.read_text().splitlines():
            result = Result(**json.loads(line))
            if keys.get(result.name) == result.digest:
                found[result.name] = result
    return found


# ---- the table ------------------------------------------------------------------------------------------------------


def test_name(test: str) -> str:
    """Without the parameters, which mean little to a reader, but with what is said about the end."""
    node, _, end = test.removeprefix("tests/").partition(" (")
    return f"`{node.partition('[')[0]}`" + (f" ({end}" if end else "")


def table(faults: Sequence[Fault], results: dict[str, Result]) -> str:
    lines = ["| fault | where | found by | s |", "| --- | --- | --- | ---: |"]
    for fault in faults:
        result = results[fault.name]
        by = test_name(result.test) if result.outcome == "quick" else f"**{result.outcome}**"
        where = fault.file.removeprefix("src/fastloss/")
        lines.append(f"| {fault.what} | `{where}` | {by} | {result.seconds:.0f} |")
    return "\n".join(lines)


def write_table(page: Path, text: str) -> None:
    begin, end = "<!-- mutants:begin -->", "<!-- mutants:end -->"
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise Stop(f"{page.name}: expected {begin} and {end}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


# ---- the command ----------------------------------------------------------------------------------------------------


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="list the faults")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="plant these only")
    parser.add_argument("--jobs", type=int, default=1, help="faults that are tried at a time, each in a tree of its own")
    parser.add_argument("--resume", action="store_true", help="keep the results of an earlier run of the same sources and tests")
    parser.add_argument("--files-only", action="store_true", help="run the named files of tests only; saves nothing")
    parser.add_argument("-k", metavar="EXPRESSION", help="of these run only such tests; saves nothing, and implies --files-only")
    parser.add_argument("--no-check", action="store_true", help="do not first run the tests of the sources as they are")
    parser.add_argument("--levels", default="v3", help="CPU levels that are compiled beside the baseline (default: v3)")
    options = parser.parse_args(argv)
    names = {fault.name for fault in FAULTS}
    if unknown := set(options.only or ()) - names:
        parser.error(f"no fault is called {', '.join(sorted(unknown))}; see --list")
    return options


def chosen(options: argparse.Namespace) -> list[Fault]:
    return [fault for fault in FAULTS if not options.only or fault.name in options.only]


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    faults = chosen(options)
    if options.list:
        for fault in faults:
            print(f"{fault.name:28}{fault.file.removeprefix('src/fastloss/'):28}{fault.what}")
        return 0
    for fault in FAULTS:
        fault.applied((ROOT / fault.file).read_text())
    final = not (options.files_only or options.k)
    sources = digest_of_sources() + options.levels
    keys = {fault.name: digest(fault, sources) for fault in FAULTS}
    results = saved(keys)
    if final and not options.resume:
        results = {name: result for name, result in results.items() if options.only and name not in options.only}
    todo = [fault for fault in faults if not final or fault.name not in results]
    if todo:
        prepare(options.levels)
        if not options.no_check and not options.k:
            check_clean(todo, options.files_only, sources)
    bad = 0
    for count, result in enumerate(judge_all(todo, keys, options), 1):
        print(f"[{count:2}/{len(todo)}] {result.line()}", flush=True)
        bad += result.outcome != "quick"
        if final:
            results[result.name] = result
            with RESULTS.open("a") as out:
                print(json.dumps(dataclasses.asdict(result)), file=out)
    if final:
        bad = report(results)
    return 1 if bad else 0


def report(results: dict[str, Any]) -> int:
    """Write the table, if every fault has a result; how many were not found as they should be."""
    missing = [fault.name for fault in FAULTS if fault.name not in results]
    for name in ("quick", "full", "neither", "build"):
        print(f"{name:9}{sum(result.outcome == name for result in results.values())}")
    if missing:
        print(f"{len(missing)} faults have no result yet: {PAGE.name} stays as it is (--resume goes on)")
    else:
        write_table(PAGE, table(FAULTS, results))
    return sum(result.outcome != "quick" for result in results.values())


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Stop as stop:
        sys.exit(f"mutants: {stop}")
    except KeyboardInterrupt:
        sys.exit(130)

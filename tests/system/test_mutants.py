"""Promise: the faults of tools/faults.py still fit the sources, and tools/mutants.py knows a failure when it sees one."""

from __future__ import annotations

import re
from pathlib import Path

import mutants
import pytest
from faults import FAULTS, ROOT, Fault

every_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)


@every_fault
def test_a_fault_changes_its_file_in_one_place(fault: Fault) -> None:
    """Where a line has been rewritten, its fault has to be, too."""
    text = (ROOT / fault.file).read_text()
    assert fault.applied(text) != text


@every_fault
def test_a_fault_names_tests_that_exist(fault: Fault) -> None:
    assert 1 <= len(fault.tests) <= 3
    assert all((ROOT / name).is_file() for name in fault.tests)


def test_names_are_unique_and_faults_are_said_in_a_line() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert all(re.fullmatch(r"[a-z0-9-]+", fault.name) and "|" not in fault.what for fault in FAULTS)


def test_every_engine_has_a_fault() -> None:
    sources = {fault.file for fault in FAULTS}
    package = ROOT / "src" / "fastloss"
    for path in package.glob("*.pyx"):
        own = {f"src/fastloss/{path.name}"} | {f"src/fastloss/csrc/{name}" for name in HEADERS[path.stem]}
        assert own & sources, path.name


HEADERS = {
    "_kernels": ("pointwise.h",),
    "_rows": ("rows.h",),
    "_scores": ("scores.h",),
    "_digits": ("digits.c",),
    "_ctc": ("ctc_linear.h",),
    "_regions": ("regions_fused.h",),
    "_vectors": ("vectors_real.h",),
    "_pairs": ("pairs_mine.h",),
    "_contrast": ("contrast_real.h",),
}


@pytest.mark.parametrize("text", ["nothing of it", "old, and old again"])
def test_a_fault_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^name: expected its text once in file, found it [02] times$"):
        Fault("name", "file", "what", "old", "new", ()).applied(text)


PASSED = "tests/test_a.py::test_one[a b-c] PASSED    [ 50%]\n"
FAILED = "tests/test_a.py::test_two[float32-mse-p=2] FAILED [100%]\n"
CRASHED = "tests/test_a.py::test_two[x] Fatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call first):\n"


@pytest.mark.parametrize(
    ("text", "code", "hung", "expected"),
    [
        (PASSED, 0, False, (True, "")),
        ("no tests ran", 5, False, (True, "")),
        (PASSED + FAILED, 1, False, (False, "tests/test_a.py::test_two[float32-mse-p=2]")),
        (PASSED + "tests/test_a.py::test_two ERROR", 1, False, (False, "tests/test_a.py::test_two")),
        (PASSED + CRASHED, -11, False, (False, "tests/test_a.py::test_two[x] (SIGSEGV)")),
        (PASSED + CRASHED, 139, False, (False, "tests/test_a.py::test_two[x] (exit code 139)")),
        (PASSED + "tests/test_a.py::test_two[y]", -9, True, (False, "tests/test_a.py::test_two[y] (hangs)")),
        ("collected 0 items / 1 error\nERROR tests/test_b.py - ImportError", 2, False, (False, "tests/test_b.py (collection)")),
        ("ImportError while loading conftest", -11, False, (False, "start (SIGSEGV)")),
    ],
    ids=["pass", "none", "fail", "error", "crash", "crash of a shell", "hang", "collection", "import"],
)
def test_how_pytest_ends(text: str, code: int, hung: bool, expected: tuple[bool, str]) -> None:
    assert mutants.verdict(text, code, hung) == expected


def test_a_run_that_did_not_happen_is_no_verdict() -> None:
    with pytest.raises(mutants.Stop, match="exit code 4"):
        mutants.verdict("ERROR: unrecognized arguments: --full", 4)


@pytest.mark.parametrize(("again", "without", "caused"), [(False, True, True), (True, True, False), (False, False, False)])
def test_a_failure_that_the_fault_does_not_cause_is_none(
    again: bool, without: bool, caused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = {tmp_path: again, mutants.CLEAN: without}
    monkeypatch.setattr(mutants, "run_tests", lambda tree, *args: mutants.Run(ends[tree]))
    assert mutants.is_caused("tests/test_a.py::test_two[x]", tmp_path, "quick", tmp_path / "log") is caused
    assert mutants.is_caused("tests/test_a.py::test_two[x] (SIGSEGV)", tmp_path, "quick", tmp_path / "log")


def test_a_tree_is_put_back(tmp_path: Path) -> None:
    clean, tree = tmp_path / "clean", tmp_path / "tree"
    (clean / "folder").mkdir(parents=True)
    (clean / "folder" / "a.py").write_text("old")
    mutants.mirror(clean, tree)
    time = (tree / "folder" / "a.py").stat().st_mtime_ns
    (tree / "folder" / "a.py").write_text("new")
    (tree / "folder" / "left").write_text("over")
    mutants.mirror(clean, tree)
    assert (tree / "folder" / "a.py").read_text() == "old"
    assert (tree / "folder" / "a.py").stat().st_mtime_ns == time
    assert not (tree / "folder" / "left").exists()


def test_the_table_says_what_found_each_fault(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- mutants:begin -->\nold\n<!-- mutants:end -->\nafter\n")
    faults = [Fault(name, "src/fastloss/csrc/a.h", f"what {name} is", "x", "y", ()) for name in ("one", "two")]
    results = {
        "one": mutants.Result("one", "", "quick", "tests/test_a.py::test_two[x] (SIGSEGV)", 3.2),
        "two": mutants.Result("two", "", "neither", "", 70.0),
    }
    mutants.write_table(page, mutants.table(faults, results))
    text = page.read_text()
    assert (text[:7], text[-6:], text.count("old")) == ("before\n", "after\n", 0)
    assert "| what one is | `csrc/a.h` | `test_a.py::test_two` (SIGSEGV) | 3 |" in text
    assert "| what two is | `csrc/a.h` | **neither** | 70 |" in text


def test_the_page_has_a_place_for_the_table() -> None:
    text = mutants.PAGE.read_text()
    assert text.index("<!-- mutants:begin -->") < text.index("<!-- mutants:end -->")

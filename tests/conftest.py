"""What every test file shares: the tier, the CPU level under test, threads put back, and the table of worst errors."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import matrix
import pytest

import fastloss as fl
import fastloss._kernels as _kernels

Note = Callable[[str, str, float], None]

PLACES = {name: place for place, name in enumerate(fl.LOSSES)}
SIZES = (1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 1003, 2047, 2048, 2049, 8191, 20011)
QUICK_SIZES = (1, 3, 8, 17, 33, 65, 1003, 2049)

LEVELS = matrix.Axis(
    "isa", tuple(_kernels.available_isa()), tuple(_kernels.available_isa()), tuple(range(len(_kernels.available_isa())))
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    matrix.parametrize(metafunc, [LEVELS] if "isa" in metafunc.fixturenames else [], metafunc.config.getoption("full"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what is slow to the full tier. Of several workers, one gets a loss's cases, and works out its truths once."""
    if not config.getoption("full"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
    if hasattr(config, "workerinput"):
        items.sort(key=_loss_of)


def _loss_of(item: pytest.Item) -> int:
    """The place of the loss that a test is about; -1 if it is about none."""
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    loss = getattr(params.get("variant"), "loss", params.get("loss"))
    return PLACES.get(getattr(loss, "name", None), -1)


@pytest.fixture
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test at each CPU level this machine has: an axis of the matrix."""
    before = _kernels.get_isa()
    _kernels.set_isa(request.param)
    assert _kernels.get_isa() == request.param
    yield request.param
    _kernels.set_isa(before)


def at_each_level() -> Iterator[str]:
    """The same within one test, for truths that are slow to work out."""
    before = _kernels.get_isa()
    for level in _kernels.available_isa():
        _kernels.set_isa(level)
        yield level
    _kernels.set_isa(before)


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether this is the full tier."""
    return bool(request.config.getoption("full"))


@pytest.fixture
def sizes(full: bool) -> tuple[int, ...]:
    """Lengths of calls: around the width of a register, of a tile and of a block, and beyond."""
    return SIZES if full else QUICK_SIZES


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    """Thread count and CPU level, whatever a failing test left behind."""
    threads, level = fl.get_num_threads(), _kernels.get_isa()
    yield
    fl.set_num_threads(threads)
    _kernels.set_isa(level)


@pytest.fixture
def children_hear_sigint() -> Iterator[None]:
    """Where SIGINT is ignored (under nohup, in the background of a script), so it is in every process that is started."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def much_memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One test at a time, of all workers', of those that take gigabytes."""
    fcntl = pytest.importorskip("fcntl")
    with open(tmp_path_factory.getbasetemp().parent / "much_memory", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """note(loss, dtype, ulps): remember an error; the worst of each is printed after the run."""
    return lambda loss, dtype, ulps: record_property("worst ulp", (loss, dtype, _kernels.get_isa(), float(ulps)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="every combination of the test matrix, and what takes long")
    parser.addoption("--worst-errors", type=Path, metavar="FILE", help="save the worst errors seen as JSON")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The worst error of each loss, dtype and level; properties of reports survive pytest-xdist."""
    worst: dict[tuple[str, str, str], float] = {}
    for report in (r for reports in terminalreporter.stats.values() for r in reports):
        if getattr(report, "when", None) != "call":
            continue
        for name, value in getattr(report, "user_properties", ()):
            if name == "worst ulp":
                loss, dtype, level, ulps = value
                worst[loss, dtype, level] = max(ulps, worst.get((loss, dtype, level), 0.0))
    if not worst:
        return
    if config.getoption("worst_errors"):
        rows = [(*key, round(ulps, 2)) for key, ulps in sorted(worst.items())]
        config.getoption("worst_errors").write_text(json.dumps(rows, indent=0) + "\n")
    levels = sorted({key[2] for key in worst}, key=lambda v: (v != "baseline", v))
    terminalreporter.section("worst error seen, in ULP (reduction='none')")
    terminalreporter.line(f"{'loss':36}{'dtype':10}" + "".join(f"{level:>10}" for level in levels))
    for loss, dtype in sorted({key[:2] for key in worst}):
        cells = (worst.get((loss, dtype, level)) for level in levels)
        row = "".join(f"{'' if ulps is None else format(ulps, '.2f'):>10}" for ulps in cells)
        terminalreporter.line(f"{loss:36}{dtype:10}{row}")


@pytest.fixture(scope="module")
def workers() -> Iterator[ProcessPoolExecutor]:
    """Two processes, for what is computed or sent elsewhere."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        yield executor

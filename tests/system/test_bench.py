"""The benchmark is honest: it times what its rows name, takes only right answers, and compares with the best."""

from __future__ import annotations

import argparse
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matrix import every

import fastloss as fl

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "bench").is_dir():
    pytest.skip("needs a checkout", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from bench import (  # noqa: E402
    __main__ as main,
    peers,
    report,
    rows,
    saved,
    timing,
    worker,
)

ALL_ROWS = {row.title: row for row in rows.all_rows()}
FIRST = {row.task: row.title for row in reversed(rows.all_rows()) if not row.tiny}.values()  # the first large row of each loss


@every("title", ALL_ROWS, quick=lambda title: ALL_ROWS[title].tiny or title in FIRST)
def test_ours_and_plain_numpy_are_right_on_every_row(title: str) -> None:
    row = ALL_ROWS[title]
    for mode in row.targets:
        problem = row.problem(mode, quick=not row.tiny)
        both: dict[str, peers.Peer] = {"fastloss": peers.FastLoss(1), "NumPy": peers.NumPy(1)}
        contenders, absent, _ = worker._prepare(problem, both)
        assert not absent
        assert {"fastloss", "NumPy"} <= set(contenders)


def test_every_loss_has_a_row_of_ten_elements() -> None:
    assert {row.task for row in rows.tiny_rows()} == set(fl.LOSSES)


class Wrong(peers.Peer):
    """Says half of the mean, and doubles the gradient."""

    def contenders(self, problem: rows.Problem) -> Any:
        def call() -> Any:
            value, gradient = fl.mse.value_and_grad(*problem.arrays)
            return (value, 2 * gradient) if problem.mode == rows.GRADIENT else value / 2

        gradient = problem.mode == rows.GRADIENT
        yield peers.Contender("Wrong", call, lambda r: peers.as_arrays(r, gradient))


@pytest.mark.parametrize(("mode", "what"), [(rows.FORWARD, "value"), (rows.GRADIENT, "gradient")])
def test_a_wrong_peer_is_named_and_not_timed(mode: rows.Mode, what: str) -> None:
    problem = ALL_ROWS["mse 16.8M elements"].problem(mode, quick=True)
    contenders, absent, _ = worker._prepare(problem, {"Wrong": Wrong(1)})
    assert not contenders
    assert absent["Wrong"].startswith(f"not timed: {what} is wrong by")


def test_a_result_of_another_type_is_named_and_not_timed() -> None:
    problem = ALL_ROWS["mse 16.8M elements"].problem(rows.GRADIENT, quick=True)

    class Wide(peers.Peer):
        def contenders(self, problem: rows.Problem) -> Any:
            wide = [x.astype(np.float64) for x in problem.arrays]
            yield peers.Contender("Wide", lambda: fl.mse.value_and_grad(*wide), lambda r: peers.as_arrays(r, True))

    assert worker._prepare(problem, {"Wide": Wide(1)})[1] == {"Wide": "not timed: returns float64 for float32"}


def test_every_peer_names_its_packages() -> None:
    """Versions are those of the peers that ran, so no peer may be without."""
    assert all(peer.packages for peer in peers.PEERS.values())
    assert set(peers.PEERS) - {"fastloss"} == set(report.PEERS)


def test_masks_are_floats_and_labels_int64_unless_the_title_says_otherwise() -> None:
    """What the users of the peers have."""
    for title, row in ALL_ROWS.items():
        if not row.tiny and not title.startswith("ctc T20000"):
            first, *others = row.problem(rows.FORWARD, quick=True, arrays=None).arrays
            told = {name for name in ("uint8", "bfloat16", "float64") if name in title}
            found = {x.dtype.name for x in (first, *others)} - {"float32", "int64"}
            assert found == told, title


def test_contenders_take_turns_in_alternating_order() -> None:
    order: list[str] = []
    calls = {name: (lambda name=name: order.append(name)) for name in "ab"}
    times = timing.interleave(calls, rounds=4, turn=1e-5)
    assert {name: time.rounds for name, time in times.items()} == {"a": 4, "b": 4}
    assert all(time.low <= time.median <= time.high for time in times.values())
    turns = "".join(name for name, _ in groupby(order))
    assert turns == "ab" + "ab" + "a" + "b" + "a"  # first calls; then rounds ab, ba, ab, ba


def test_a_slower_call_measures_longer() -> None:
    x = np.ones(10**6)
    times = timing.interleave({"once": x.sum, "often": lambda: [x.sum() for _ in range(10)]}, 5, 1e-3)
    assert times["often"].median > 3 * times["once"].median


def test_a_slow_contender_far_behind_takes_few_turns() -> None:
    assert timing._turns(0.09, 1e-3, 7) == 7
    assert timing._turns(0.3, 0.1, 7) == 7
    assert timing._turns(0.2, 0.01, 7) == 2
    assert timing._turns(0.9, 0.01, 7) == 1
    assert timing._turns(3.0, 0.01, 7) == 0  # the call that told so is its time
    times = timing.interleave({"quick": lambda: None, "slow": lambda: pytest.fail("called")}, 2, 1e-5, known={"slow": 3.0})
    assert times["slow"].to_json() == [3.0, 3.0, 3.0, 1]


def row_of(threads: int, **seconds: float) -> dict[str, Any]:
    times = {name.replace("_", " "): [s, s, s, 3] for name, s in seconds.items()}
    row = {"title": "t", "mode": "forward", "threads": threads, "family": "regression", "times": times}
    return row | {"limit": 0.5, "target": {}, "absent": {}}


def test_with_all_threads_only_peers_that_could_win_are_timed() -> None:
    one = row_of(1, fastloss=1.0, NumPy=9.0, PyTorch=4.1, **{"PyTorch_compiled": 2.5, "PyTorch_compiled'": 2.0})
    assert set(main._hopeless("t", "forward", 2, [one])) == {"NumPy", "PyTorch", "PyTorch compiled"}
    assert not main._hopeless("t", "forward", 1, [one])
    assert not main._hopeless("another", "forward", 2, [one])


def test_results_are_saved_a_row_a_line(tmp_path: Path) -> None:
    results = {"when": "now", "rows": [row_of(1, fastloss=1.0), row_of(2, fastloss=0.5)]}
    saved.save(results, tmp_path / "results.json")
    assert saved.load(tmp_path / "results.json") == results
    lines = (tmp_path / "results.json").read_text().splitlines()
    assert sum(line.startswith('{"title"') and line.rstrip(",").endswith("}") for line in lines) == 2


def test_a_run_continues_the_same_run_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "UNFINISHED", tmp_path / "unfinished.json")
    options = argparse.Namespace(quick=True, rounds=3, resume=True)
    results = main._started(options)
    assert results["rows"] == []
    saved.save(results | {"rows": [row_of(1, fastloss=1.0)]}, tmp_path / "unfinished.json")
    assert main._started(options)["rows"] == [row_of(1, fastloss=1.0)]
    with pytest.raises(SystemExit, match="quick differ"):
        main._started(argparse.Namespace(quick=False, rounds=3, resume=True))


def test_the_ratio_is_to_the_best_peer_and_its_best_way() -> None:
    seconds = {"fastloss": 1.0, "NumPy": 9.0, "PyTorch compiled": 5.0, "PyTorch compiled'": 4.0, "PyTorch": 8.0}
    times = {name: [s, s, s, 3] for name, s in seconds.items()}
    row = {"title": "t", "mode": "m", "threads": 1, "times": times, "target": {}, "absent": {}, "limit": 0.5}
    assert report.best_peer(row) == "PyTorch compiled"
    assert report.ratio(row, report.best_peer(row)) == 4.0
    assert report.ratio(row, "PyTorch") == 8.0
    assert report.fraction(row) == 0.5

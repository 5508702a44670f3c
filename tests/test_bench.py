"""The benchmark is honest: it times what its rows name, takes only right answers, and compares with the best."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastloss as fl

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "bench").is_dir():
    pytest.skip("needs a checkout", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from bench import peers, report, rows, timing, worker  # noqa: E402

ALL_ROWS = {row.title: row for row in rows.all_rows()}


@pytest.mark.parametrize("title", ALL_ROWS)
def test_ours_and_plain_numpy_are_right_on_every_row(title: str) -> None:
    row = ALL_ROWS[title]
    for mode in row.targets:
        problem = row.problem(mode, quick=not row.tiny)
        both: dict[str, peers.Peer] = {"fastloss": peers.FastLoss(1), "NumPy": peers.NumPy(1)}
        contenders, absent = worker._prepare(problem, both)
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
        yield peers.Contender("Wrong", call, lambda r: peers._as_arrays(r, gradient))


@pytest.mark.parametrize(("mode", "what"), [(rows.FORWARD, "value"), (rows.GRADIENT, "gradient")])
def test_a_wrong_peer_is_named_and_not_timed(mode: rows.Mode, what: str) -> None:
    problem = ALL_ROWS["mse 16.8M elements"].problem(mode, quick=True)
    contenders, absent = worker._prepare(problem, {"Wrong": Wrong(1)})
    assert not contenders
    assert absent["Wrong"].startswith(f"not timed: {what} is wrong by")


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


def test_the_ratio_is_to_the_best_peer_and_its_best_way() -> None:
    seconds = {"fastloss": 1.0, "NumPy": 9.0, "PyTorch compiled": 5.0, "PyTorch compiled'": 4.0, "PyTorch": 8.0}
    times = {name: {"median": s, "low": s, "high": s, "rounds": 3} for name, s in seconds.items()}
    row = {"title": "t", "mode": "m", "threads": 1, "times": times, "target": {}, "absent": {}, "limit": 0.5}
    assert report.best_peer(row) == "PyTorch compiled"
    assert report.ratio(row, report.best_peer(row)) == 4.0
    assert report.ratio(row, "PyTorch") == 8.0
    assert report.fraction(row) == 0.5

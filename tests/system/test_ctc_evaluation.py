"""CTC in evaluation: lengths are read and cut as the samples are, whichever axis those lie along."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastloss as fl

N, T, C, S = 60, 9, 5, 3


def problem() -> dict[str, Any]:
    rng = np.random.default_rng(4)
    return {
        "logits": rng.standard_normal((N, T, C)),
        "targets": rng.integers(1, C, (N, S)),
        "input_lengths": rng.integers(2 * S, T + 1, N),
        "target_lengths": rng.integers(0, S + 1, N),
    }


def losses(arrays: dict[str, Any], **options: Any) -> Any:
    return fl.ctc(**arrays, **options, reduction="none")


@pytest.mark.parametrize("rows", [1, 7, N])
def test_chunks_have_their_own_lengths(rows: int) -> None:
    arrays = problem()
    state = fl.Evaluation("ctc", worst=3, blank=0)
    for i in range(0, N, rows):
        state.update(**{name: a[i : i + rows] for name, a in arrays.items()})
    each = losses(arrays)
    result = state.result()["ctc"]
    np.testing.assert_allclose(result.mean, each.mean(), rtol=1e-12)
    assert [hard.index for hard in result.worst] == np.argsort(-each)[:3].tolist()


@pytest.mark.parametrize("time_major", [False, True])
def test_files_are_cut_in_memory_that_is_bounded(tmp_path: Path, time_major: bool) -> None:
    arrays = problem()
    expected = losses(arrays).mean()
    if time_major:
        arrays["logits"] = np.ascontiguousarray(np.swapaxes(arrays["logits"], 0, 1))
    for name, a in arrays.items():
        np.save(tmp_path / f"{name}.npy", a)
    paths = {name: str(tmp_path / f"{name}.npy") for name in arrays}
    result = fl.evaluate("ctc", **paths, time_major=time_major, max_memory=2000)
    np.testing.assert_allclose(result["ctc"].mean, expected, rtol=1e-12)


def test_lengths_may_be_left_out() -> None:
    arrays = {name: a for name, a in problem().items() if not name.endswith("lengths")}
    np.testing.assert_allclose(fl.evaluate("ctc", **arrays)["ctc"].mean, losses(arrays).mean(), rtol=1e-12)


def test_labels_joined_in_one_dimension_are_refused() -> None:
    arrays = problem()
    with pytest.raises(ValueError, match=r"evaluate: targets: expected one row per sample"):
        fl.evaluate("ctc", logits=arrays["logits"], targets=arrays["targets"].ravel(), target_lengths=np.full(N, S))


def test_lengths_that_disagree_are_refused() -> None:
    arrays = problem() | {"input_lengths": np.full(N - 1, T)}
    with pytest.raises(ValueError, match="input_lengths"):
        fl.evaluate("ctc", **arrays)


def test_states_with_other_lengths_merge() -> None:
    arrays = problem()
    halves = [fl.Evaluation("ctc"), fl.Evaluation("ctc")]
    for state, part in zip(halves, (slice(0, 20), slice(20, N)), strict=True):
        state.update(**{name: a[part] for name, a in arrays.items()}, start=part.start)
    halves[0].merge(halves[1])
    np.testing.assert_allclose(halves[0].result()["ctc"].mean, losses(arrays).mean(), rtol=1e-12)

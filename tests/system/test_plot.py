"""Promise: pictures show what the library computes, for every loss; what cannot be drawn is refused with a way out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastloss as fl
from fastloss.lab import reliability
from fastloss.lab._plot import with_gaps

matplotlib = pytest.importorskip("matplotlib")
from matplotlib.figure import Figure  # noqa: E402


def panels(axes: Any) -> list[Any]:
    return list(np.atleast_1d(axes))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", list(fl.LOSSES))
def test_every_loss_is_drawn_from_its_values(name: str) -> None:
    value = panels(fl.plot(name))[0]
    x, y = value.lines[0].get_data()
    assert np.isfinite(y).all()
    assert np.ptp(y) > 0
    assert value.get_xlabel()
    assert len(x) > 40


@pytest.mark.parametrize("name", [loss.name for loss in fl.LOSSES.values() if loss.family == "regression"])
def test_gradients_are_those_of_the_drawn_values(name: str) -> None:
    axes = panels(fl.plot(name))
    x, value = axes[0].lines[0].get_data()
    _, gradient = axes[1].lines[0].get_data()
    slope = np.gradient(value, x)
    smooth = np.isfinite(gradient) & (np.abs(np.gradient(slope)) < 0.05)
    assert smooth.mean() > 0.5
    np.testing.assert_allclose(gradient[smooth], slope[smooth], atol=0.05, rtol=0.02)


def test_a_jump_is_a_gap_and_a_steep_curve_is_none() -> None:
    x = np.linspace(-1, 1, 201)
    assert np.isnan(with_gaps(np.sign(x))).any()
    assert not np.isnan(with_gaps(np.tanh(20 * x))).any()
    assert not np.isnan(with_gaps(x)).any()
    _, gradient, hessian = fl.plot("huber")
    assert not np.isnan(gradient.lines[0].get_ydata()).any()
    assert np.isnan(hessian.lines[0].get_ydata()).sum() == 2
    assert np.isnan(fl.plot("mae", what="gradient").lines[0].get_ydata()).any()


def test_lists_are_swept() -> None:
    axes = fl.plot("sigmoid_focal", gamma=[0.0, 2.0, 5.0], alpha=None, what=["value", "gradient"])
    assert [line.get_label() for line in axes[0].lines] == [f"gamma = {g}, alpha = None" for g in (0, 2, 5)]
    x, y = axes[1].lines[1].get_data()
    expected = fl.sigmoid_focal.grad(x, np.ones_like(x), gamma=2.0, alpha=None, reduction="sum")
    np.testing.assert_array_equal(y, expected)


def test_several_losses_share_the_panels_that_all_have() -> None:
    assert len(fl.plot(["mse", "mae"])) == 3
    assert len(fl.plot(["coral", "corn"])) == 2
    assert [line.get_label() for line in fl.plot([fl.mse, "mae"])[0].lines] == ["mse", "mae"]


def test_it_draws_where_it_is_told() -> None:
    axes = Figure().subplots(1, 2)
    drawn = fl.plot("mse", what=("value", "gradient"), ax=axes)
    assert drawn[0] is axes[0]
    assert fl.plot("mse", what="value", ax=axes[1]) is axes[1]
    assert "pyplot" not in str(type(fl.plot("mse", what="value").figure.canvas))


def test_a_thumbnail_has_no_numbers() -> None:
    ax = fl.plot("mse", size="small")
    assert not ax.get_xticks().size
    assert not ax.get_xlabel()


def test_custom_losses_are_drawn() -> None:
    loss = fl.custom(lambda prediction, target: (prediction - target) ** 4, name="fourth")
    with pytest.warns(UserWarning, match="central differences"):
        value, gradient, _ = fl.plot(loss)
    np.testing.assert_allclose(gradient.lines[0].get_ydata(), 4 * value.lines[0].get_xdata() ** 3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "kind"), [("cross_entropy", "surface"), ("triplet", "regions"), ("cumulative_link", "levels"), ("ctc", "alignment")]
)
def test_other_kinds(name: str, kind: str) -> None:
    ax = fl.plot(name, kind=kind)
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    wrong = "mse"
    with pytest.raises(ValueError, match="plot: kind: expected"):
        fl.plot(wrong, kind=kind)


def test_an_alignment_of_given_logits_is_that_of_ctc_align() -> None:
    logits, target = np.random.default_rng(0).normal(size=(1, 7, 4)), np.array([[1, 2]])
    ax = fl.plot("ctc", logits, target, kind="alignment")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), fl.ctc_align(logits, target, output="state")[0][0])
    np.testing.assert_array_equal(ax.images[0].get_array(), fl.ctc_posteriors(logits, target)[0].T)


def test_reliability_of_a_calibrated_and_of_a_wrong_forecast() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    error = float(reliability(p, rng.random(20_000) < p).get_title().split()[-1])
    assert error < 0.02
    assert reliability([1.0, 1.0], [0, 0]).get_title().endswith("1.000")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: fl.plot("mean_squared"), "expected names and losses"),
        (lambda: fl.plot([]), "at least one loss"),
        (lambda: fl.plot("mse", delta=1.0), "mse: delta: expected one of its options (none)"),
        (lambda: fl.plot("huber", delta=-1.0), "huber: delta: expected a number > 0"),
        (lambda: fl.plot("mse", kind="pie"), "plot: kind: expected one of"),
        (lambda: fl.plot("mse", what="slope"), "plot: what: expected some of"),
        (lambda: fl.plot("coral", "x"), "arrays for kind='alignment' only"),
        (lambda: fl.plot("dice", what="hessian"), "which these losses have"),
        (lambda: fl.plot("huber", delta=list(range(1, 20))), "at most 12 curves"),
        (lambda: fl.plot("mse", ax=Figure().subplots(1, 2)), "expected 3 Axes"),
        (lambda: fl.plot("mse", size="tiny"), "plot: size"),
        (lambda: fl.plot("ctc", np.zeros((2, 3, 4)), np.ones((2, 1)), kind="alignment"), "of one sequence"),
        (lambda: reliability([0.5], [2]), "expected 0 or 1"),
        (lambda: reliability([1.5], [1]), "numbers in [0, 1]"),
        (lambda: reliability([], []), "at least one"),
        (lambda: reliability([0.5], [1], bins=0), "at least 1"),
    ],
)
def test_bad_calls_are_told_what_to_do(call: Any, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert text in str(caught.value)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"fastloss\[plot\]"):
        fl.plot("mse")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fastloss", "plot", *arguments], capture_output=True, text=True, timeout=60)


def test_the_command_draws_files(tmp_path: Path) -> None:
    pytest.importorskip("click")
    svg = tmp_path / "focal.svg"
    done = run("sigmoid_focal", "-o", str(svg), "--gamma", "0,1,2,5", "--what", "value,gradient")
    assert done.returncode == 0, done.stderr
    assert svg.read_text().startswith("<?xml")
    assert run("mse", "mae", "-o", str(tmp_path / "two.png")).returncode == 0
    for arguments, text in (
        (("mse", "--delta", "1"), "delta"),
        (("nothing",), "expected names"),
        (("mse", "--gamma"), "a value"),
    ):
        refused = run(*arguments, "-o", str(tmp_path / "no.svg"))
        assert refused.returncode != 0
        assert text in refused.stderr
        assert "Traceback" not in refused.stderr

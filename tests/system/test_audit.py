"""Promise: audit finds planted faults, with evidence that can be run; what it cannot audit, it refuses with what to do."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastloss as fl


class Squares:
    """A loss with reductions of its own, of which one may be wrong."""

    range = "[0, inf)"

    def __init__(self, name: str, *, lost: int = 0, of_none: float = 1.0) -> None:
        self.name, self.lost, self.of_none = name, lost, of_none

    def __call__(self, x: Any, t: Any, *, reduction: str = "mean") -> Any:
        each = (x - t) ** 2
        return each if reduction == "none" else each.sum() if reduction == "sum" else each.sum() / (each.size - self.lost)

    def grad(self, x: Any, t: Any, *, reduction: str = "mean") -> Any:
        slope = 2 * (x - t)
        return slope / (slope.size - self.lost) if reduction == "mean" else slope * (self.of_none if reduction == "none" else 1)


def squares(x: Any, t: Any) -> Any:
    return (x - t) ** 2


def twice(x: Any, t: Any) -> Any:
    return 2 * (x - t)


def softplus_of_overflow(x: Any, t: Any) -> Any:
    return np.log(1 + np.exp(np.abs(x - t))) - np.log(2)


def steeper_above_one(x: Any, t: Any) -> Any:
    return np.where(x > t + 1, 2 * (x - t) ** 2 - 1, (x - t) ** 2)


def nan_at_infinity(x: Any, t: Any) -> Any:
    e = np.abs(x - t)
    return e * (e / (1 + e))


def by_place(x: Any, t: Any) -> Any:
    return (x - t) ** 2 * np.linspace(1, 2, len(x))


def by_company(x: Any, t: Any) -> Any:
    return (x - t) ** 2 + 0 * x + np.abs(x).max()


def cancels(x: Any, t: Any) -> Any:
    return 1 - 1 / (1 + (x - t) ** 2)


def cauchy(x: Any, t: Any) -> Any:
    return np.log1p(np.minimum(np.abs(x - t), 1e18) ** 2)


def dips(x: Any, t: Any) -> Any:
    e = np.abs(x - t)
    return e * np.tanh(e) - 0.25 * np.tanh(e)


class Fault(NamedTuple):
    """A bad loss, the finding that must say so, and a word that it must use."""

    loss: Any
    key: str
    word: str
    claims: dict[str, Any] | None = None


FAULTS = {
    "wrong factor in the gradient": Fault((squares, lambda x, t: x - t), "gradient", "analytic"),
    "wrong sign of the gradient": Fault((squares, lambda x, t: 2 * (t - x)), "gradient", "analytic"),
    "wrong Hessian": Fault((squares, twice, lambda x, t: 0 * x + 1), "hessian", "analytic 1, numeric 2"),
    "overflow": Fault(softplus_of_overflow, "finite", "inf, where the loss is"),
    "unmentioned kink": Fault(steeper_above_one, "kinks", "1 (slope 2 below, 4 above)", {"kinks": False}),
    "a jump": Fault(lambda x, t: (x - t) ** 2 + (x > t + 1), "kinks", "jumps at error 1"),
    "not zero at the target": Fault(fl.custom(lambda x, t: (x - t) ** 2 + 0.1, name="off", range="[0, inf)"), "zero", "0.1"),
    "nan at infinity": Fault(nan_at_infinity, "finite", "inf: nan"),
    "not convex": Fault(cauchy, "convex", "halfway", {"convex": True}),
    "depends on the place in the batch": Fault(by_place, "batch", "another place"),
    "depends on the company": Fault(by_company, "batch", "without the rest"),
    "wrong mean": Fault(Squares("wrong_mean", lost=1), "reductions", '"mean" is'),
    "negative": Fault(fl.custom(dips, name="dips", range="[0, inf)"), "nonnegative", "-0."),
    "cancels near 0": Fault(cancels, "precision", "cancel"),
    'wrong gradient of "none"': Fault(Squares("wrong_none", of_none=0.5), "gradient", "reduction none:"),
}


def runnable(loss: Any) -> Any:
    """What `loss` is in the code of an audit that could not import it."""
    return loss if isinstance(loss, (fl.Loss, Squares)) else fl.custom(*(loss if isinstance(loss, tuple) else (loss,)), name="f")


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 21))])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.filterwarnings("ignore")
def test_audit_finds_the_planted_fault(fault: Fault, seed: int) -> None:
    report = fl.audit(fault.loss, claims=fault.claims, seed=seed)
    finding = report[fault.key]
    assert finding.verdict == "fails", report
    assert fault.word in finding.text
    assert finding in report.failed
    assert not report.ok
    assert not report
    if fault.key not in ("kinks", "zero"):
        assert finding.code
    if finding.code:
        exec(finding.code, {"loss": runnable(fault.loss)})  # the counter-example is one


@pytest.mark.parametrize("name", ["wrong factor in the gradient", "wrong mean", "not convex", "a jump"])
@pytest.mark.filterwarnings("ignore")
def test_a_single_fault_is_the_only_finding_that_fails(name: str) -> None:
    fault = FAULTS[name]
    assert {finding.key for finding in fl.audit(fault.loss, claims=fault.claims).failed} == {fault.key}


GOOD: dict[str, Any] = {
    "elements": squares,
    "value and gradient": (squares, twice),
    "all three": (squares, twice, lambda x, t: 0 * x + 2),
    "rows": lambda logits, target: np.logaddexp.reduce(logits, axis=-1) - logits[np.arange(len(target)), target],
    "vectors": lambda x, t: ((x - t) ** 2).sum(-1),
    "own reductions": Squares("squares"),
    "labels": lambda score, label: np.logaddexp(0, -label * score),
    "one array": lambda x: x**2,
}


@pytest.mark.parametrize("name", [name for name in GOOD if name != "rows"])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 21))])
def test_good_functions_have_no_fault(name: str, seed: int) -> None:
    report = fl.audit(GOOD[name], seed=seed)
    assert report.ok, report


def test_a_row_loss_without_care_loses_digits_near_0() -> None:
    """logsumexp minus the logit is exact everywhere, but where the two are nearly equal."""
    assert {finding.key for finding in fl.audit(GOOD["rows"]).failed} == {"precision"}


def test_kinks_are_located_with_one_sided_slopes() -> None:
    report = fl.audit(lambda x, t: np.maximum(0.3 * (x - t), 2 * (t - x)) + np.maximum(0, x - t - 7.5))
    assert report["kinks"].answer == pytest.approx([0, 7.5], abs=1e-4)
    assert "0 (slope -2 below, 0.3 above)" in report["kinks"].text
    assert "7.5 (slope 0.3 below, 1.3 above)" in report["kinks"].text


@pytest.mark.parametrize(
    ("function", "above", "influence"),
    [
        (lambda x, t: (x - t) ** 2, "proportional", "unbounded"),
        (lambda x, t: np.abs(x - t), "constant", "bounded"),
        (lambda x, t: np.abs(x - t) ** 1.5, "sublinear", "unbounded"),
        (lambda x, t: np.abs(x - t) ** 3, "exploding", "unbounded"),
        (lambda x, t: np.log1p((x - t) ** 2), "vanishing", "redescending"),
    ],
)
def test_growth_and_influence(function: Callable[..., Any], above: str, influence: str) -> None:
    report = fl.audit(function)
    assert report["growth"].answer == {"above": above, "below": above}
    assert report["influence"].answer == influence


def test_outliers_move_the_mean_by_their_share_and_the_median_hardly() -> None:
    """The mean moves by share x distance; a tenth more outliers on one side is a slightly higher quantile for the median."""
    mean, median = (fl.audit(name)["contamination"].answer["moves"] for name in ("mse", "mae"))
    for share in (0.1, 0.2, 0.3):
        assert mean[f"{share:.0%} at 100"] == pytest.approx(100 * share, rel=0.1)
        assert median[f"{share:.0%} at 10000"] == pytest.approx(median[f"{share:.0%} at 100"], rel=0.1)
        assert median[f"{share:.0%} at 10000"] < 1


@pytest.mark.parametrize(
    ("claims", "holds"),
    [
        ({"convex": True, "kinks": [0.0], "shift": True, "scale": 1.0, "influence": "bounded"}, True),
        ({"kinks": [0.0, 1.0]}, False),
        ({"kinks": False}, False),
        ({"growth": {"above": "constant"}}, True),
        ({"growth": {"above": "vanishing"}}, False),
        ({"nonnegative": True, "zero": True}, True),
        ({"curvature": True}, False),
        ({"scale": 2}, False),
    ],
)
def test_claims(claims: dict[str, Any], holds: bool) -> None:
    report = fl.audit("mae", claims=claims)
    assert report.ok is holds
    assert all(("As claimed." if holds else "Claimed:") in report[key].text for key in claims)


def test_metric() -> None:
    def accuracy(logits: Any, target: Any) -> Any:
        return logits.argmax(axis=-1) == target

    report = fl.audit("cross_entropy", metric=accuracy, claims={"metric": 0.9})
    assert report["metric"].answer < -0.9
    assert "accuracy" in report["metric"].title
    unrelated = fl.audit("mse", metric=lambda p, t: float(np.mean(np.sin(1e4 * t))), claims={"metric": 0.9})
    assert [finding.key for finding in unrelated.failed] == ["metric"]
    constant = fl.audit("mse", metric=lambda p, t: 1.0)
    assert constant["metric"].answer is None


def test_given_arrays_and_options_are_used() -> None:
    seen = []

    def watched(x: Any, t: Any, *, a: float = 1.0) -> Any:
        seen.append((float(np.max(t)), a))
        return a * (x - t) ** 2

    report = fl.audit(watched, np.arange(12.0), np.arange(12.0)[::-1] * 0 + 5, a=3.0)
    assert report.data == "the arrays given"
    assert {a for _, a in seen} == {3.0}
    assert fl.audit("huber", [1, 2, 3], [0, 0, 0], delta=0.5)["corners"].answer == pytest.approx([-0.5, 0.5], abs=1e-3)
    assert fl.audit("huber", prediction=[1.0, 2.0], target=[0.0, 0.0]).data == "the arrays given"
    drawn = fl.audit(squares, sampler=lambda rng, dtype, size: (rng.normal(size=size), rng.normal(size=size)))
    assert drawn.data == "the sampler given"


def test_same_seed_same_audit() -> None:
    first, second = (fl.audit("softmax_focal", seed=7) for _ in range(2))
    for a, b in zip(first.findings, second.findings, strict=True):
        assert a.key == "cost" or a == b
    assert fl.audit("softmax_focal", seed=8)["convex"].code != first["convex"].code


def test_report() -> None:
    report = fl.audit("generalized_cross_entropy")
    text = str(report)
    assert text.startswith("# Audit of generalized_cross_entropy\n\nNo requirement fails.")
    assert max(map(len, text.splitlines())) < 80
    assert text.count("```python") == sum(bool(f.code) for f in report.findings) == 1
    assert all(f"**{f.title}**" in " ".join(text.split()) for f in report.findings)
    assert report._repr_markdown_() == text
    said = report.to_dict()
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert [f["key"] for f in said["findings"]] == [f.key for f in report.findings]
    assert repr(report).startswith("<Audit generalized_cross_entropy: ok, ")
    assert "convex" in report
    with pytest.raises(KeyError, match="an audit has kinks, "):
        report["nothing"]


def test_a_pointwise_audit_is_quick() -> None:
    assert min(fl.audit("log_cosh").seconds for _ in range(3)) < 2


def test_progress(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fl.audit("mse", progress=True)
    assert "audit of mse: convex (" in capsys.readouterr().err
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    fl.audit("mse")
    assert terminal.getvalue() == ""  # over before anybody wonders


@pytest.mark.parametrize("name", ["huber", "cross_entropy", "supcon"])
def test_plot(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    axes = fl.audit(name).plot()
    assert len(axes) == 2
    assert name in axes[0].get_title()
    axes[0].figure.savefig(tmp_path / "audit.svg")
    assert (tmp_path / "audit.svg").stat().st_size > 1000


def test_picture_shows_the_kinks_of_the_line_that_it_draws() -> None:
    assert fl.audit("hinge").curve.kinks == (1.0,)  # target 1; the kink at -1 is that of target -1
    assert fl.audit("huber").curve.kinks == ()


def test_plot_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    report = fl.audit("mse")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'fastloss\[plot\]'"):
        report.plot()


# ---- refusals ----------------------------------------------------------------------------------


def _raising(x: Any, t: Any) -> Any:
    raise RuntimeError("out of order")


REFUSALS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a function that raises": (
        lambda: fl.audit(_raising),
        ValueError,
        r"(?s)cannot guess.*fl\.audit\(_raising, x, t\).*out of order",
    ),
    "raises on given arrays": (lambda: fl.audit(_raising, [1.0], [2.0]), RuntimeError, "out of order"),
    "one number for all": (
        lambda: fl.audit(lambda x, t: ((x - t) ** 2).mean()),
        ValueError,
        r"one value per element, got shape \(\)",
    ),
    "wrong shape of given": (lambda: fl.audit(lambda x, t: x[:-1], [1.0, 2.0], [2.0, 3.0]), ValueError, "one value per"),
    "arrays that cannot be guessed": (lambda: fl.audit(lambda a, b: a.text + b), ValueError, "pass some|Pass some"),
    "unknown name": (lambda: fl.audit("hubr"), ValueError, "did you mean 'huber'"),
    "no loss": (lambda: fl.audit(3), TypeError, "expected a loss, its name or a function, got int"),  # type: ignore[arg-type]
    "unknown claim": (lambda: fl.audit("mse", claims={"convx": True}), ValueError, "expected some of kinks"),
    "claims that are no mapping": (lambda: fl.audit("mse", claims=["convex"]), TypeError, "expected a mapping"),  # type: ignore[arg-type]
    "claim without metric": (lambda: fl.audit("mse", claims={"metric": 0.5}), ValueError, "needs metric="),
    "metric that is none": (lambda: fl.audit("mse", metric="accuracy"), TypeError, "metric: expected a function"),  # type: ignore[arg-type]
    "unknown option": (lambda: fl.audit("huber", gamma=1), TypeError, "gamma"),
    "reduction": (lambda: fl.audit("huber", reduction="sum"), TypeError, "leave it out"),
    "weights": (lambda: fl.audit("huber", sample_weight=[1.0]), TypeError, "leave it out"),
    "lengths": (lambda: fl.audit("ctc", input_lengths=[1]), TypeError, "leave it out"),
    "too few arrays": (lambda: fl.audit("huber", [1.0]), TypeError, r"expected 2 arrays \(prediction, target\), got 1"),
    "nan in the data": (
        lambda: fl.audit("huber", [1.0, np.nan], [0.0, 0.0]),
        ValueError,
        "got nan for prediction nan, target 0 in the arrays given",
    ),
    "no samples": (lambda: fl.audit("huber", [], []), ValueError, "at least one sample"),
    "no named arrays": (lambda: fl.audit(lambda *x: x), TypeError, "expected named parameters"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_say_what_to_do(name: str) -> None:
    call, kind, words = REFUSALS[name]
    with pytest.raises(kind, match=words):
        call()


def test_what_a_function_raises_on_its_data_comes_with_a_note() -> None:
    def moody(x: Any, t: Any) -> Any:
        if len(x) > 4:
            raise RuntimeError("too many")
        return x - t

    with pytest.raises(RuntimeError, match="too many") as caught:
        fl.audit(moody, np.arange(9.0), np.arange(9.0))
    assert any("pass other arrays: fl.audit(loss, x, t)" in note for note in caught.value.__notes__)
    with pytest.raises(ZeroDivisionError) as caught_too:
        fl.audit("mse", metric=lambda p, t: 1 / 0)
    assert "raised in metric" in caught_too.value.__notes__[0]


# ---- the command line --------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    text = "import numpy as np\n\ndef wrong(x, t, *, a=1.0):\n    return np.sqrt(a * np.abs(x - t)) + 0 * x\n"
    (tmp_path / "audited.py").write_text(text + "\ndef accuracy(logits, target):\n    return logits.argmax(-1) == target\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("audited", None)
    while str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


def run(*arguments: object) -> Any:
    pytest.importorskip("click")
    from click.testing import CliRunner

    from fastloss.cli import main

    return CliRunner().invoke(main, ["audit", *map(str, arguments)])


def test_command_line(folder: Path) -> None:
    result = run("huber", "--set", "delta=2", "--claim", "convex=true")
    assert result.exit_code == 0, result.output
    assert "# Audit of huber" in result.output
    assert "error -2 and 2" in " ".join(result.output.split())
    both = run("mse", "mae", "--format", "json")
    assert {name: report["ok"] for name, report in json.loads(both.output).items()} == {"mse": True, "mae": True}
    failing = run("audited:wrong", "--set", "a=4", "--claim", "convex=true")
    assert failing.exit_code == 1
    assert "from audited import wrong" in failing.output
    assert "a=4" in failing.output
    assert "Follows accuracy" in run("cross_entropy", "--metric", "audited:accuracy").output
    np.save(folder / "p.npy", np.arange(5.0))
    assert "the arrays given" in run("huber", "--set", "prediction=p.npy", "--set", "target=p.npy").output


def test_command_line_draws(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run("hinge", "-o", "hinge.svg").exit_code == 0
    assert "<svg" in (folder / "hinge.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["hubr"], 2, "no loss of this name"),
        (["huber", "--set", "delta"], 2, "expected NAME=VALUE"),
        (["huber", "--set", "gamma=1"], 1, "gamma"),
        (["huber", "--claim", "convx=true"], 1, "expected some of"),
        (["audited:missing"], 2, "has no 'missing'"),
        (["mse", "mae", "-o", "x.svg"], 2, "draws one LOSS"),
    ],
)
def test_command_line_refusals(folder: Path, arguments: list[str], code: int, words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert words in result.output


def test_audit_loads_on_first_use() -> None:
    code = "import fastloss, sys; assert 'fastloss.lab' not in sys.modules; fastloss.audit; assert 'fastloss.lab' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

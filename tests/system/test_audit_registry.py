"""Promise: audit gives the right answers about every loss of the registry, and finds no fault in any."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from cases import LOSSES, every_loss

import fastloss as fl

ANY = "depends on the data"


class Known(NamedTuple):
    """What mathematics says of a loss with its default options. Growth: of the gradient where the error grows, and on the
    other side."""

    convex: bool
    kinks: Any  # places (elements), or whether there are some
    growth: tuple[str, str]
    influence: str
    shift: Any = False
    scale: Any = None  # the degree of homogeneity
    classes: Any = None
    zero: Any = True  # reached at a perfect prediction
    corners: Any = ()  # where the second derivative jumps
    holds: Any = None  # the share of outliers that do not decide the location


EDGE = " at the edge of the domain"
SOFT = ("constant", "vanishing")
FLAT = ("vanishing", "vanishing")
SQUARE = ("proportional", "proportional")
SIGN = ("constant", "constant")
BLOWS = ("exploding", "exploding")

KNOWN = {
    "cross_entropy": Known(True, False, SOFT, "bounded", shift=True, classes=True),
    "softmax_focal": Known(False, False, SOFT, "bounded", shift=True, classes=True),
    "poly1_cross_entropy": Known(True, False, SOFT, "bounded", shift=True, classes=True),
    "generalized_cross_entropy": Known(False, False, FLAT, "redescending", shift=True, classes=True),
    "nll": Known(True, False, SIGN, "bounded", scale=1, classes=True),
    "multiclass_hinge": Known(True, True, SOFT, "bounded", shift=True, classes=True),
    "binary_cross_entropy": Known(True, [], (f"exploding{EDGE}", f"constant{EDGE}"), "unbounded", shift=None),
    "binary_cross_entropy_with_logits": Known(True, [], SOFT, "bounded"),
    "sigmoid_focal": Known(False, [], SOFT, "bounded"),
    "hinge": Known(True, [-1, 1], SOFT, "bounded"),
    "squared_hinge": Known(True, [], ("proportional", "vanishing"), "unbounded", corners=(-1, 1)),
    "perceptron": Known(True, [0], SOFT, "bounded", scale=1),
    "soft_margin": Known(True, [], SOFT, "bounded"),
    "exponential": Known(True, [], ("exploding", "vanishing"), "unbounded"),
    "kl_div": Known(True, False, SIGN, "bounded", classes=True),
    "kl_div_with_logits": Known(True, False, ("constant", ANY), "bounded", shift=True, classes=True),
    "js_divergence": Known(True, False, (ANY, ANY), "unbounded", shift=None, scale=1, classes=True),
    "gaussian_kl": Known(True, False, BLOWS, "unbounded", classes=True),
    "contrastive": Known(False, ANY, ("proportional", ANY), "unbounded", shift=True, classes=True),
    "triplet": Known(False, True, ("constant", ANY), "bounded", shift=True, classes=True),
    "cosine_embedding": Known(False, True, FLAT, "redescending", scale=0, classes=True),
    "margin_ranking": Known(True, [0], SOFT, "bounded", shift=True, scale=1),
    "hinge_embedding": Known(True, [1], SIGN, "bounded"),
    "batch_triplet": Known(False, True, (ANY, ANY), ANY, shift=True, classes=True, zero=ANY),
    "nt_xent": Known(False, False, (ANY, ANY), ANY, scale=0, classes=True, zero=False),
    "info_nce": Known(False, False, (ANY, ANY), ANY, scale=0, classes=True, zero=ANY),
    "supcon": Known(False, False, (ANY, ANY), ANY, scale=0, classes=True, zero=False),
    "contrastive_divergence": Known(True, [], SIGN, "bounded", shift=True, scale=1, zero=False),
    "energy": Known(True, False, SOFT, "bounded", shift=True, classes=True),
    "coral": Known(True, False, SOFT, "bounded"),
    "corn": Known(True, False, SOFT, "bounded"),
    "cumulative_link": Known(True, [], ("constant", ANY), "bounded"),
    "squared_emd": Known(False, False, FLAT, "redescending", shift=True, classes=False),
    "mse": Known(True, [], SQUARE, "unbounded", shift=True, scale=2, holds=0.0),
    "mae": Known(True, [0], SIGN, "bounded", shift=True, scale=1, holds=0.3),
    "huber": Known(True, [], SIGN, "bounded", shift=True, corners=(-1, 1), holds=0.3),
    "smooth_l1": Known(True, [], SIGN, "bounded", shift=True, corners=(-1, 1), holds=0.3),
    "pseudo_huber": Known(True, [], SIGN, "bounded", shift=True, holds=0.3),
    "log_cosh": Known(True, [], SIGN, "bounded", shift=True, holds=0.3),
    "quantile": Known(True, [0], SIGN, "bounded", shift=True, scale=1, holds=0.3),
    "expectile": Known(True, [], SQUARE, "unbounded", shift=True, scale=2, holds=0.0),
    "mape": Known(True, [0], SIGN, "bounded", scale=0, holds=0.3),
    "msle": Known(False, [], ("vanishing", f"exploding{EDGE}"), "unbounded", shift=None, holds=ANY),
    "poisson_nll": Known(True, [], ("exploding", "constant"), "unbounded", zero=False, holds=0.0),
    "gamma": Known(True, [], ("constant", "exploding"), "unbounded", holds=0.0),
    "tweedie": Known(True, [], BLOWS, "unbounded", holds=0.0),
    "gaussian_nll": Known(False, [], SQUARE, "unbounded", zero=False, holds=0.0),
    "dice": Known(False, False, FLAT, "redescending", shift=True, classes=True),
    "jaccard": Known(False, False, FLAT, "redescending", shift=True, classes=True),
    "tversky": Known(False, False, FLAT, "redescending", shift=True, classes=True),
    "focal_tversky": Known(False, False, FLAT, "redescending", shift=True, classes=True),
    "generalized_dice": Known(False, False, FLAT, "redescending", shift=True, classes=True),
    "dice_cross_entropy": Known(ANY, False, SOFT, "bounded", shift=True, classes=True),
    "lovasz": Known(False, True, FLAT, "redescending", shift=True, classes=True),
    "box_iou": Known(False, True, (ANY, ANY), ANY, shift=True, scale=0),
    "ctc": Known(False, False, ("constant", ANY), "bounded", shift=True, classes="but the first"),
}
REAL_TARGETS = [name for name, known in KNOWN.items() if known.holds is not None]
SIGNED = ("poisson_nll", "gaussian_nll", "contrastive_divergence")  # negative where likelihoods or energies are


def answers(report: fl.lab.Audit) -> Known:
    """The answers of an audit in the table's form."""

    def of(key: str) -> Any:
        return report[key].answer if key in report else None

    return Known(
        of("convex"), of("kinks"), tuple(of("growth").values()), of("influence"), of("shift"), of("scale"), of("classes"),
        of("zero"), tuple(of("corners") or ()), of("contamination")["holds"] if of("contamination") else None,
    )  # fmt: skip


def agree(found: Any, expected: Any) -> bool:
    """Whether an answer is the expected one, where the data do not decide."""
    if expected == ANY:
        return True
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(agree(a, b) for a, b in zip(found, expected, strict=True))
    if isinstance(expected, bool) or expected is None or isinstance(expected, str):
        return bool(found is expected or found == expected)
    return bool(found is not None and found == pytest.approx(expected, abs=1e-6))


def check(loss: fl.Loss[Any], seed: int) -> fl.lab.Audit:
    """One audit, against the table."""
    report = fl.audit(loss, seed=seed, progress=False)
    assert report.ok, f"seed {seed}:\n" + "\n".join(map(str, report.failed))
    found, expected = answers(report), KNOWN[loss.name]
    for name in Known._fields:
        assert agree(getattr(found, name), getattr(expected, name)), f"seed {seed}, {name}: {getattr(found, name)}"
    assert report["nonnegative"].answer is (loss.name not in SIGNED)
    return report


def test_every_loss_has_known_answers() -> None:
    assert set(KNOWN) == set(fl.LOSSES)


@every_loss
def test_audit_reproduces_what_is_known(loss: fl.Loss[Any]) -> None:
    report = check(loss, 0)
    assert report["gradient"].answer is True
    assert report["gradient"].verdict == "holds"
    if loss.max_order > 1:
        assert report["hessian"].answer is True
        assert report["curvature"].answer is not None
    json.dumps(report.to_dict(), allow_nan=False)
    assert max(map(len, str(report).splitlines())) < 80
    for finding in report.findings:
        if finding.code:
            exec(finding.code, {})


@pytest.mark.slow
@every_loss
def test_audit_finds_no_fault_with_any_seed(loss: fl.Loss[Any]) -> None:
    """Every tenth of a hundred seeds. Answers near a limit (how many outliers gamma stands) may differ; faults may not."""
    for seed in range(1, 101, 10):
        report = fl.audit(loss, seed=seed, progress=False)
        assert report.ok, f"seed {seed}:\n" + "\n".join(map(str, report.failed))


def test_curvature_is_that_of_the_formula() -> None:
    """Shares of Hessians that are 0 or negative, where they are known: Huber's are 0 beyond delta, mae's everywhere."""
    assert fl.audit("mse")["curvature"].answer == {"zero": 0.0, "negative": 0.0}
    assert fl.audit("mae")["curvature"].answer["zero"] == 1.0
    assert fl.audit("huber", delta=1e3)["curvature"].answer["zero"] == 0.0
    assert fl.audit("sigmoid_focal")["curvature"].answer["negative"] > 0.1


def test_real_targets_are_what_locations_are_estimated_of() -> None:
    for name in REAL_TARGETS:
        assert fl.LOSSES[name].pointwise
    assert len(LOSSES) == len(KNOWN)

"""Promise: an option out of range or of the wrong type is refused, with its name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import REGIONS, every_loss, option_values
from refusals import about, inf, methods, nan, refused, sample

import fastloss as fl
import fastloss._check as _check

PRIORS: list[tuple[Any, Any]] = [(ValueError, v) for v in (nan, inf, np.ones(5), np.ones((2, 7)), [0.0] * 6 + [nan])]
PRIORS += [(TypeError, v) for v in ("abc", None, np.ones(7, complex), 1j)]
NO_NUMBERS: list[tuple[Any, Any]] = [(TypeError, v) for v in ("1", None, [1.0, 2.0], 1j)]
POSITIVE = [*[(ValueError, v) for v in (0.0, -1e-9, -1.0, nan, inf)], *NO_NUMBERS]
AT_LEAST_ZERO = [*[(ValueError, v) for v in (-1e-9, -1.0, nan, inf)], *NO_NUMBERS]
UNIT = [*[(ValueError, v) for v in (-0.1, 0.0, 1.0, 1.1, nan, inf)], *NO_NUMBERS]
SWITCH: list[tuple[Any, Any]] = [(TypeError, v) for v in (1, 0, 0.0, "True", None)]
LENGTHS: list[tuple[Any, Any]] = [(ValueError, v) for v in (3, [3] * 5, [3] * 7, [[3]] * 6, [[3] * 6])]
LENGTHS += [(TypeError, v) for v in (np.full(6, 3.0), "abc", ["3"] * 6, [3, 3, 3, 3, 3, None], np.full(6, 3j))]

# By the option's name, or "loss.option" where one loss differs.
OPTIONS: dict[str, list[tuple[Any, Any]]] = {
    "alpha": AT_LEAST_ZERO,
    "beta": AT_LEAST_ZERO,
    "blank": [(ValueError, v) for v in (-1, 7, 2**40, -(2**70))] + [(TypeError, v) for v in (0.0, "0", None, [0], True)],
    "delta": POSITIVE,
    "energy.beta": POSITIVE,
    "epsilon": [*[(ValueError, v) for v in (nan, inf, -inf)], *NO_NUMBERS],
    "eps": AT_LEAST_ZERO,
    "binary_cross_entropy.eps": [*[(ValueError, v) for v in (-1e-9, 0.6, 1.0, nan, inf)], *NO_NUMBERS],
    "gaussian_nll.eps": POSITIVE,
    "mape.eps": POSITIVE,
    "free_nats": AT_LEAST_ZERO,
    "full": SWITCH,
    "gamma": AT_LEAST_ZERO,
    "label_smoothing": [(ValueError, v) for v in (-0.1, 1.1, nan, inf)] + [(TypeError, v) for v in ("1", None, 1j)],
    "axis": [(ValueError, v) for v in (2, -3, 99)] + [(TypeError, v) for v in (0.5, "0", None, (0, 1))],
    "ignore_index": [(TypeError, v) for v in (1.5, "1", [1], nan)],
    "class_weight": [
        (ValueError, np.ones(1)),
        (ValueError, np.ones(99)),
        (ValueError, np.ones((2, 2))),
        (ValueError, 1.0),
        ("last", -1.0),
        ("last", nan),
        ("last", inf),
        (TypeError, "abc"),
        (TypeError, np.ones(3, complex)),
        (TypeError, np.ones(3, object)),
    ],
    "input_lengths": [*LENGTHS, *[(ValueError, v) for v in ([8, 8, 8, 9, 8, 8], [8, -1, 8, 8, 8, 8])]],
    "kind": [(ValueError, v) for v in ("hinges", "", None, 1, b"hinge")],
    "length_normalize": [(ValueError, v) for v in ("none", "T", "", 1, True, b"input")],
    "level_weight": [(ValueError, np.ones(2)), (ValueError, 1.0), ("last", -1.0), ("last", nan), (TypeError, "abc")],
    "link": [(ValueError, v) for v in ("loglog", "", None, 1)],
    "log_input": SWITCH,
    "log_probs": SWITCH,
    "log_target": SWITCH,
    "margin": POSITIVE,
    "hinge.margin": AT_LEAST_ZERO,
    "squared_hinge.margin": AT_LEAST_ZERO,
    "p": [(ValueError, v) for v in (0, 3, -1)] + [(TypeError, v) for v in (1.0, "1", None, True)],
    "pos_weight": [(ValueError, v) for v in (-1.0, nan, inf, np.ones(5), np.ones((2, 6)), [1, 1, 1, 1, 1, -1])]
    + [(TypeError, v) for v in ("abc", np.ones(6, complex), 1j)],
    "power": [*[(ValueError, v) for v in (-1.0, 1e-9, 0.5, 0.999, nan, inf)], *NO_NUMBERS],
    "prior_log_variance": PRIORS,
    "prior_mean": PRIORS,
    "q": UNIT,
    "generalized_cross_entropy.q": [*[(ValueError, v) for v in (-0.1, 0.0, 1.1, nan, inf)], *NO_NUMBERS],
    "sigmoid_focal.alpha": [
        *[(ValueError, v) for v in (-0.1, 1.1, nan, inf)],
        (TypeError, "1"),
        (TypeError, [1.0]),
        (TypeError, 1j),
    ],
    "target_lengths": [*LENGTHS, *[(ValueError, v) for v in ([3, 3, 3, 4, 3, 3], [3, -1, 3, 3, 3, 3])]],
    "tau": UNIT,
    "temperature": POSITIVE,
    "time_major": SWITCH,
    "zero_infinity": SWITCH,
    "average": [(ValueError, v) for v in ("all", "", None, 1, b"active")],
    "batch_triplet.margin": AT_LEAST_ZERO,
    "mining": [(ValueError, v) for v in ("easy", "", None, 1, b"hard", ["hard"])],
    "negatives": [(ValueError, v) for v in (1.0, np.ones(8), np.ones((3, 7)), np.ones((3, 1, 8)))]
    + [(TypeError, v) for v in ("abc", np.ones((3, 8), complex), np.ones((3, 8), object), 1j)],
    "normalize": SWITCH,
    "symmetric": SWITCH,
    "contrastive.margin": AT_LEAST_ZERO,
    "contrastive.power": [*[(ValueError, v) for v in (-1.0, 0.0, 0.999, nan, inf)], *NO_NUMBERS],
    "cosine_embedding.margin": [*[(ValueError, v) for v in (-1.001, 1.001, nan, inf)], *NO_NUMBERS],
    "hinge_embedding.margin": AT_LEAST_ZERO,
    "margin_ranking.margin": AT_LEAST_ZERO,
    "swap": SWITCH,
    "triplet.margin": AT_LEAST_ZERO,
    "triplet.p": [*[(ValueError, v) for v in (-1.0, 0.0, 0.999, nan, -inf)], *NO_NUMBERS],
    "activation": [(ValueError, v) for v in ("relu", "", "Softmax", 1, b"sigmoid", ["softmax"])],
    "dice_cross_entropy.activation": [(ValueError, v) for v in ("relu", None, 1)],
    "batch": SWITCH,
    "per_image": SWITCH,
    "include_background": SWITCH,
    "only_present": [(TypeError, v) for v in (1, 0, "True", 0.0)],
    "squared": SWITCH,
    "smooth": AT_LEAST_ZERO,
    "dice_weight": AT_LEAST_ZERO,
    "ce_weight": AT_LEAST_ZERO,
    "focal_tversky.gamma": POSITIVE,
    "format": [(ValueError, v) for v in ("yxyx", "", None, 1)],
    **{
        f"{loss.name}.axis": [(ValueError, v) for v in (4, -5, 99)] + [(TypeError, v) for v in (0.5, "1", (0, 1), True)]
        for loss in REGIONS
    },
}


@pytest.mark.parametrize(
    "value", [np.array(v) for v in ("x", "1.5", True, 1j, None, np.datetime64("2020"))] + [np.zeros((), [("a", "f4")])], ids=repr
)
def test_a_number_in_a_0d_array_is_a_real_number(value: np.ndarray) -> None:
    """Whatever float() makes of it, or fails to."""
    for loss, option in ((fl.huber, "delta"), (fl.smooth_l1, "beta"), (fl.cross_entropy, "label_smoothing")):
        args, options = sample(loss)
        with refused(TypeError, loss.name, option):
            loss(*args, **{**options, option: value})


def test_an_integer_too_large_for_a_float_is_out_of_range() -> None:
    with refused(ValueError, "huber", "delta"):
        fl.huber(1.0, 2.0, delta=10**400)


def test_misaligned_class_weights_are_copied() -> None:
    """The kernels index them as doubles where they lie."""
    buffer = np.zeros(3 * 8 + 1, np.uint8)
    weight = buffer[1:].view(np.float64)
    weight[:] = 1.0, 2.0, 3.0
    assert not weight.flags.aligned
    kept = _check.class_weights("class_weight", weight, 3)
    assert kept.flags.aligned
    assert kept.tolist() == [1.0, 2.0, 3.0]


@every_loss
def test_options(loss: fl.Loss) -> None:
    args, options = sample(loss)
    for option in loss.options:
        assert option_values(OPTIONS, loss, option), option
        for kind, value in option_values(OPTIONS, loss, option):
            if kind == "last":  # one bad entry among good ones
                weight = np.ones(args[0].shape[1 if loss in REGIONS else -1])
                weight[-1] = value
                kind, value = ValueError, weight
            for method in methods(loss):
                with about(value), refused(kind, loss.name, option):
                    method(*args, **{**options, option: value})


@pytest.mark.parametrize(("name", "bad"), [("binary_cross_entropy", 0.6), ("binary_cross_entropy", 1.0), ("mape", 0.0)])
def test_eps_of_one_loss(name: str, bad: float) -> None:
    args, options = sample(fl.LOSSES[name])
    for method in methods(fl.LOSSES[name]):
        with refused(ValueError, name, "eps"):
            method(*args, **options, eps=bad)

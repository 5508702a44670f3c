"""Promise: one table says what each loss does at nan, infinity and nothing; each row is a test here."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from cases import (
    SEQUENCES,
    WHOLE_TARGETS,
    Variant,
    as_tuple,
    every_differentiable,
    every_dtype,
    every_labelled,
    every_separable_variant,
    every_shaped,
    levels,
    per_sample,
)
from conftest import at_each_level
from matrix import every

import fastloss as fl

inf, nan = math.inf, math.nan
log2, log3 = math.log(2.0), math.log(3.0)


class Row(NamedTuple):
    """A call on one sample, its value, and its gradient (None: not promised)."""

    loss: str
    args: tuple[Any, Any]
    value: float
    grad: Any = None
    options: dict[str, Any] = {}  # noqa: RUF012 - never written


TABLE = [
    # regression: prediction, target
    Row("mse", (nan, 1.0), nan, nan),
    Row("mse", (1.0, nan), nan, nan),
    Row("mse", (inf, 1.0), inf, inf),
    Row("mse", (-inf, 1.0), inf, -inf),
    Row("mse", (1.0, inf), inf, -inf),
    Row("mse", (inf, inf), nan, nan),
    Row("mae", (nan, 1.0), nan, nan),
    Row("mae", (inf, 1.0), inf, 1.0),
    Row("mae", (-inf, 1.0), inf, -1.0),
    Row("mae", (1.0, inf), inf, -1.0),
    Row("mae", (inf, inf), nan, nan),
    Row("huber", (nan, 1.0), nan, nan),
    Row("huber", (inf, 1.0), inf, 1.0),
    Row("huber", (-inf, 1.0), inf, -2.5, {"delta": 2.5}),
    Row("huber", (inf, inf), nan, nan),
    Row("huber", (1e30, 0.0), 1e30, 1.0),
    Row("smooth_l1", (nan, 1.0), nan, nan),
    Row("smooth_l1", (inf, 1.0), inf, 1.0),
    Row("smooth_l1", (-inf, 1.0), inf, -1.0),
    Row("smooth_l1", (-inf, 1.0), inf, -1.0, {"beta": 0.0}),
    Row("smooth_l1", (nan, 1.0), nan, nan, {"beta": 0.0}),
    Row("smooth_l1", (inf, inf), nan, nan),
    Row("pseudo_huber", (nan, 1.0), nan, nan),
    Row("pseudo_huber", (inf, 1.0), inf, 1.0),
    Row("pseudo_huber", (-inf, 1.0), inf, -2.5, {"delta": 2.5}),
    Row("pseudo_huber", (1.0, inf), inf, -1.0),
    Row("pseudo_huber", (inf, inf), nan, nan),
    Row("pseudo_huber", (1e30, 0.0), 1e30, 1.0),
    Row("log_cosh", (nan, 1.0), nan, nan),
    Row("log_cosh", (inf, 1.0), inf, 1.0),
    Row("log_cosh", (-inf, 1.0), inf, -1.0),
    Row("log_cosh", (inf, inf), nan, nan),
    Row("log_cosh", (1e30, 0.0), 1e30, 1.0),
    Row("quantile", (nan, 1.0), nan, nan),
    Row("quantile", (inf, 1.0), inf, 0.75, {"q": 0.25}),
    Row("quantile", (-inf, 1.0), inf, -0.25, {"q": 0.25}),
    Row("quantile", (inf, inf), nan, nan),
    Row("expectile", (nan, 1.0), nan, nan),
    Row("expectile", (inf, 1.0), inf, inf),
    Row("expectile", (-inf, 1.0), inf, -inf),
    Row("expectile", (inf, inf), nan, nan),
    Row("mape", (nan, 1.0), nan, nan),
    Row("mape", (1.0, nan), nan, nan),
    Row("mape", (inf, 2.0), inf, 0.5),
    Row("mape", (-inf, 2.0), inf, -0.5),
    Row("mape", (0.0, 0.0), 0.0, 0.0),
    Row("mape", (1.0, 0.0), 1e3, 1e3, {"eps": 1e-3}),
    Row("mape", (1.0, inf), nan),
    Row("msle", (nan, 1.0), nan, nan),
    Row("msle", (1.0, nan), nan, nan),
    Row("msle", (inf, 1.0), inf, 0.0),
    Row("msle", (1.0, inf), inf, -inf),
    Row("msle", (inf, inf), nan, nan),
    Row("poisson_nll", (nan, 1.0), nan, nan),
    Row("poisson_nll", (0.0, nan), nan, nan),
    Row("poisson_nll", (inf, 0.0), inf, inf),
    Row("poisson_nll", (inf, 2.0), inf, inf),
    Row("poisson_nll", (inf, 1.0), inf, inf, {"full": True}),
    Row("poisson_nll", (inf, 2.0), inf, inf, {"full": True}),
    Row("poisson_nll", (-inf, 0.0), 0.0, 0.0),
    Row("poisson_nll", (-inf, 2.0), inf, -2.0),
    Row("poisson_nll", (-inf, 2.0), inf, -2.0, {"full": True}),
    Row("poisson_nll", (nan, 2.0), nan, nan, {"full": True}),
    Row("poisson_nll", (0.0, 0.0), 0.0, 1.0, {"log_input": False, "eps": 0.0}),
    Row("poisson_nll", (0.0, 1.0), inf, -inf, {"log_input": False, "eps": 0.0}),
    Row("poisson_nll", (inf, 0.0), inf, 1.0, {"log_input": False}),
    Row("poisson_nll", (nan, 2.0), nan, nan, {"log_input": False, "full": True}),
    Row("gamma", (nan, 1.0), nan, nan),
    Row("gamma", (0.0, nan), nan, nan),
    Row("gamma", (inf, 1.0), inf, 1.0),
    Row("gamma", (-inf, 1.0), inf, -inf),
    Row("gamma", (0.5, inf), inf, -inf),
    Row("tweedie", (nan, 1.0), nan, nan),
    Row("tweedie", (0.0, nan), nan, nan),
    Row("tweedie", (inf, 1.0), inf, inf),
    Row("tweedie", (inf, 0.0), inf, inf),
    Row("tweedie", (-inf, 1.0), inf, -inf),
    Row("tweedie", (-inf, 0.0), 0.0, 0.0),
    Row("tweedie", (nan, 1.0), nan, nan, {"power": 1.25}),
    Row("tweedie", (inf, 1.0), inf, inf, {"power": 1.25}),
    Row("tweedie", (inf, 0.0), inf, inf, {"power": 1.25}),
    Row("tweedie", (-inf, 1.0), inf, -inf, {"power": 1.25}),
    Row("tweedie", (-inf, 0.0), 0.0, 0.0, {"power": 1.25}),
    Row("tweedie", (inf, 1.0), 0.5, 0.0, {"power": 3.0}),
    Row("tweedie", (-inf, 1.0), inf, -inf, {"power": 3.0}),
    Row("tweedie", (inf, 0.0), inf, inf, {"power": 1.0}),
    Row("tweedie", (-inf, 0.0), 0.0, 0.0, {"power": 1.0}),
    Row("tweedie", (-inf, 2.0), inf, -2.0, {"power": 1.0}),
    Row("tweedie", (inf, 1.0), inf, inf, {"power": 0.0}),
    Row("tweedie", (-inf, 2.0), 2.0, 0.0, {"power": 0.0}),
    *(Row("tweedie", (0.5, inf), inf, -inf, {"power": k}) for k in (1.0, 1.25, 1.5, 2.0, 2.5, 3.0)),
    # binary: probabilities or logits, target
    Row("binary_cross_entropy", (nan, 1.0), nan, nan),
    Row("binary_cross_entropy", (0.5, nan), nan, nan),
    Row("binary_cross_entropy", (1.0, 1.0), 0.0),
    Row("binary_cross_entropy", (0.0, 0.0), 0.0),
    Row("binary_cross_entropy", (0.0, 1.0), 100.0),
    Row("binary_cross_entropy", (1.0, 0.0), 100.0),
    Row("binary_cross_entropy", (0.0, 1.0), -math.log(1e-3), None, {"eps": 1e-3}),
    Row("binary_cross_entropy", (1.0, 0.0), -math.log(1e-3), None, {"eps": 1e-3}),
    Row("binary_cross_entropy_with_logits", (nan, 1.0), nan, nan),
    Row("binary_cross_entropy_with_logits", (0.0, nan), nan, nan),
    Row("binary_cross_entropy_with_logits", (inf, 1.0), 0.0, 0.0),
    Row("binary_cross_entropy_with_logits", (-inf, 0.0), 0.0, 0.0),
    Row("binary_cross_entropy_with_logits", (inf, 0.0), inf, 1.0),
    Row("binary_cross_entropy_with_logits", (-inf, 1.0), inf, -1.0),
    Row("binary_cross_entropy_with_logits", (inf, 0.5), inf, 0.5),
    Row("binary_cross_entropy_with_logits", (-inf, 0.5), inf, -0.5),
    Row("binary_cross_entropy_with_logits", (1e30, 1.0), 0.0, 0.0),
    Row("binary_cross_entropy_with_logits", (-1e30, 1.0), 1e30, -1.0),
    Row("binary_cross_entropy_with_logits", (inf, 1.0), 0.0, 0.0, {"pos_weight": 3.0}),
    Row("binary_cross_entropy_with_logits", (-inf, 1.0), inf, -3.0, {"pos_weight": 3.0}),
    # rows: kl_div
    Row("kl_div", ([-inf, 0.0], [0.0, 1.0]), 0.0, [0.0, -1.0]),
    Row("kl_div", ([0.0, -inf], [0.5, 0.5]), inf, [-0.5, -0.5]),
    Row("kl_div", ([nan, 0.0], [0.0, 1.0]), nan, [nan, -1.0]),
    Row("kl_div", ([-1.0, 0.0], [nan, 1.0]), nan, [nan, -1.0]),
    Row("kl_div", ([inf, 0.0], [0.0, 1.0]), 0.0, [0.0, -1.0]),
    Row("kl_div", ([inf, 0.0], [0.5, 1.0]), -inf, [-0.5, -1.0]),
    Row("kl_div", ([-1.0, -1.0], [0.0, 0.0]), 0.0, [0.0, 0.0]),
    Row("kl_div", ([-inf, 0.0], [-inf, 0.0]), 0.0, [0.0, -1.0], {"log_target": True}),
    Row("kl_div", ([-1.0, 0.0], [-inf, 0.0]), 0.0, [0.0, -1.0], {"log_target": True}),
    Row("kl_div", ([0.0, -inf], [-1.0, -1.0]), inf, [-math.exp(-1), -math.exp(-1)], {"log_target": True}),
    Row("kl_div", ([nan, 0.0], [-inf, 0.0]), nan, [nan, -1.0], {"log_target": True}),
    Row("sigmoid_focal", (nan, 1.0), nan, nan),
    Row("sigmoid_focal", (0.0, nan), nan, nan),
    Row("sigmoid_focal", (inf, 1.0), 0.0, 0.0),
    Row("sigmoid_focal", (-inf, 0.0), 0.0, 0.0),
    Row("sigmoid_focal", (inf, 0.0), inf, 0.75),
    Row("sigmoid_focal", (-inf, 1.0), inf, -0.25),
    Row("sigmoid_focal", (-inf, 0.5), inf, -0.5, {"alpha": None, "gamma": 1.7}),
    Row("sigmoid_focal", (inf, 0.0), inf, 1.0, {"alpha": None, "gamma": 1.7}),
    Row("sigmoid_focal", (inf, 1.0), 0.0, 0.0, {"gamma": 1.7}),
    Row("sigmoid_focal", (inf, 1.0), 0.0, 0.0, {"gamma": 0.0}),
    Row("sigmoid_focal", (inf, 0.0), 0.0, 0.0, {"alpha": 1.0}),
    Row("sigmoid_focal", (-1e30, 1.0), 0.25e30, -0.25),
    Row("hinge", (nan, 1.0), nan, nan),
    Row("hinge", (0.0, nan), nan, nan),
    Row("hinge", (inf, 1.0), 0.0, 0.0),
    Row("hinge", (inf, -1.0), inf, 1.0),
    Row("hinge", (1.0, 1.0), 0.0, 0.0),
    Row("squared_hinge", (nan, 1.0), nan, nan),
    Row("squared_hinge", (inf, 1.0), 0.0, 0.0),
    Row("squared_hinge", (-inf, 1.0), inf, -inf),
    Row("perceptron", (nan, 1.0), nan, nan),
    Row("perceptron", (inf, 1.0), 0.0, 0.0),
    Row("perceptron", (-inf, 1.0), inf, -1.0),
    Row("perceptron", (0.0, -1.0), 0.0, 0.0),
    Row("soft_margin", (nan, 1.0), nan, nan),
    Row("soft_margin", (0.0, nan), nan, nan),
    Row("soft_margin", (inf, 1.0), 0.0, 0.0),
    Row("soft_margin", (-inf, 1.0), inf, -1.0),
    Row("soft_margin", (-200.0, 1.0), 200.0, -1.0),
    Row("exponential", (nan, 1.0), nan, nan),
    Row("exponential", (inf, 1.0), 0.0, 0.0),
    Row("exponential", (-inf, 1.0), inf, -inf),
    Row("exponential", (-1000.0, 1.0), inf, -inf),
    Row("exponential", (1000.0, 1.0), 0.0, 0.0),
    # rows
    Row("nll", ([-1.0, nan], 1), nan),
    Row("nll", ([nan, -1.0], 1), 1.0, [0.0, -1.0]),
    Row("nll", ([-inf, 0.0], 0), inf, [-1.0, 0.0]),
    Row("nll", ([-inf, 0.0], 1), 0.0, [0.0, -1.0]),
    Row("nll", ([inf, 0.0], 0), -inf, [-1.0, 0.0]),
    Row("cross_entropy", ([nan, 1.0], 1), nan, [nan, nan]),
    Row("cross_entropy", ([nan, 1.0], 0), nan, [nan, nan]),
    Row("cross_entropy", ([1.0, 2.0, nan], 0), nan, [nan] * 3),
    Row("cross_entropy", ([inf, 1.0], 0), nan, [nan, nan]),
    Row("cross_entropy", ([inf, 1.0], 1), nan, [nan, nan]),
    Row("cross_entropy", ([inf, inf], 1), nan, [nan, nan]),
    Row("cross_entropy", ([inf, -inf], 0), nan, [nan, nan]),
    Row("cross_entropy", ([-inf, -inf], 0), nan, [nan, nan]),
    Row("cross_entropy", ([-inf], 0), nan, [nan]),
    Row("cross_entropy", ([0.0, -inf, 0.0], 0), log2, [-0.5, 0.0, 0.5]),
    Row("cross_entropy", ([0.0, -inf], 0), 0.0, [0.0, 0.0]),
    Row("cross_entropy", ([-inf, 3.0], 1), 0.0, [0.0, 0.0]),
    Row("cross_entropy", ([0.0, -inf], 1), inf),
    Row("cross_entropy", ([5.0], 0), 0.0, [0.0]),
    Row("cross_entropy", ([0.0, -inf, 0.0], [0.5, 0.0, 0.5]), log2, [0.0, 0.0, 0.0]),
    Row("cross_entropy", ([0.0, -inf], [0.5, 0.5]), inf),
    Row("cross_entropy", ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]), 0.0, [0.0] * 3),
    Row("cross_entropy", ([0.0, 0.0], [nan, 1.0]), nan, [nan, nan]),
    Row("cross_entropy", ([nan, 0.0], [0.0, 1.0]), nan, [nan, nan]),
    Row("cross_entropy", ([-inf, -inf], [0.0, 1.0]), nan, [nan, nan]),
    Row("cross_entropy", ([0.0, -inf], 0), inf, None, {"label_smoothing": 0.1}),
    Row(  # smoothing towards a masked class counts for nothing if the class does
        "cross_entropy",
        ([0.0, -inf, 0.0], 0),
        (0.9 + 0.2 / 3) * log2,
        None,
        {"label_smoothing": 0.1, "class_weight": [1.0, 0.0, 1.0]},
    ),
    Row("cross_entropy", ([nan, 0.0], -100), 0.0, [0.0, 0.0]),
    Row("cross_entropy", ([-inf, -inf], -100), 0.0, [0.0, 0.0]),
    Row("cross_entropy", ([1e30, 0.0], 1), 1e30, [1.0, -1.0]),
    Row("cross_entropy", ([1e30, 0.0], 0), 0.0, [0.0, 0.0]),
    Row("cross_entropy", ([7.0, 7.0, 7.0], 2), log3, [1 / 3, 1 / 3, -2 / 3]),
    # rows of scores and a label
    Row("multiclass_hinge", ([nan, 1.0], 1), nan, [nan, nan]),
    Row("multiclass_hinge", ([1.0, 2.0, nan], 0), nan, [nan] * 3),
    Row("multiclass_hinge", ([inf, 0.0], 0), 0.0, [0.0, 0.0]),
    Row("multiclass_hinge", ([inf, 0.0], 1), inf, [1.0, -1.0]),
    Row("multiclass_hinge", ([inf, inf], 1), nan, [nan, nan]),
    Row("multiclass_hinge", ([-inf, 0.0], 0), inf, [-1.0, 1.0]),
    Row("multiclass_hinge", ([-inf, 0.0], 1), 0.0, [0.0, 0.0]),
    Row("multiclass_hinge", ([inf, 0.0], 1), inf, [inf, -inf], {"p": 2}),
    Row("multiclass_hinge", ([nan, 0.0], -100), 0.0, [0.0, 0.0]),
    Row("multiclass_hinge", ([5.0], 0), 0.0, [0.0]),
    Row("multiclass_hinge", ([1e30, 0.0], 1), 1e30, [1.0, -1.0]),
    Row("multiclass_hinge", ([inf, 0.0, 0.0], 1), inf, [1 / 3, -2 / 3, 1 / 3], {"kind": "weston_watkins"}),
    Row("multiclass_hinge", ([-inf, 0.0, 0.0], 1), 1 / 3, [0.0, -1 / 3, 1 / 3], {"kind": "weston_watkins"}),
    Row("multiclass_hinge", ([nan, 0.0, 0.0], 1), nan, [nan] * 3, {"kind": "weston_watkins"}),
    Row("multiclass_hinge", ([inf, inf], 1), nan, [nan, nan], {"kind": "weston_watkins"}),
    Row("coral", ([nan, 0.0], 2), nan, [nan, nan]),
    Row("coral", ([inf], 1), 0.0, [0.0]),
    Row("coral", ([-inf], 0), 0.0, [0.0]),
    Row("coral", ([inf], 0), inf, [1.0]),
    Row("coral", ([-inf], 1), inf, [-1.0]),
    Row("coral", ([inf, -inf], 1), 0.0, [0.0, 0.0]),
    Row("coral", ([1e30, 0.0], 0), 1e30, [1.0, 0.5]),
    Row("corn", ([0.0, nan], 0), nan, [nan, nan]),
    Row("corn", ([0.0, inf], 0), log2, [0.5, 0.0]),
    Row("corn", ([0.0, inf], 1), inf, [-0.5, 1.0]),
    Row("corn", ([0.0, inf], 2), log2, [-0.5, 0.0]),
    Row("squared_emd", ([nan, 0.0], 0), nan, [nan, nan]),
    Row("squared_emd", ([inf, 0.0], 0), nan, [nan, nan]),
    Row("squared_emd", ([-inf, -inf], 0), nan, [nan, nan]),
    Row("squared_emd", ([-inf, 0.0], 0), 1.0, [0.0, 0.0]),
    Row("squared_emd", ([-inf, 0.0], 1), 0.0, [0.0, 0.0]),
    Row("squared_emd", ([0.0, -inf, 0.0], 0), 0.5, [-0.5, 0.0, 0.5]),
    Row("squared_emd", ([1e30, 0.0, 0.0], 2), 2.0, [0.0] * 3),
    Row("squared_emd", ([5.0], 0), 0.0, [0.0]),
    Row("energy", ([nan, 0.0], 1), nan, [nan, nan]),
    Row("energy", ([inf, 0.0], 1), 0.0, [0.0, 0.0]),
    Row("energy", ([inf, 0.0], 0), inf, [1.0, -1.0]),
    Row("energy", ([-inf, 0.0], 0), nan, [nan, nan]),
    Row("energy", ([inf, inf], 0), nan, [nan, nan]),
    Row("energy", ([1e30, 0.0], 0), 1e30, [1.0, -1.0]),
    Row("energy", ([nan, 0.0], 1), nan, [nan, nan], {"kind": "energy"}),
    Row("energy", ([inf, 0.0], 0), inf, [1.0, 0.0], {"kind": "energy"}),
    Row("energy", ([nan, 0.0], 1), nan, [nan, nan], {"kind": "hinge"}),
    Row("energy", ([0.0, inf], 0), 0.0, [0.0, 0.0], {"kind": "hinge"}),
    Row("energy", ([inf, 0.0], 0), inf, [1.0, -1.0], {"kind": "hinge"}),
    Row("energy", ([0.0, -inf], 0), inf, [1.0, -1.0], {"kind": "hinge"}),
    Row("energy", ([inf, inf], 0), nan, [nan, nan], {"kind": "hinge"}),
    Row("energy", ([inf, 0.0], 0), inf, [1.0, -1.0], {"kind": "perceptron"}),
    Row("energy", ([inf, 0.0], 0), inf, [1.0, -1.0], {"kind": "log"}),
    Row("energy", ([inf, inf], 0), nan, [nan, nan], {"kind": "log"}),
    Row("energy", ([inf, 0.0], 0), 1.0, [0.0, 0.0], {"kind": "lvq2"}),
    Row("energy", ([inf, 0.0], 0), 1.0, [0.0, 0.0], {"kind": "mce"}),
    Row("energy", ([inf, 0.0], 0), 1.0, [0.0, 0.0], {"kind": "mee"}),
    Row("energy", ([1.0, inf], 0), 1.0, [2.0, 0.0], {"kind": "square_square"}),
    Row("energy", ([1.0, -inf], 0), inf, [2.0, -inf], {"kind": "square_square"}),
    Row("energy", ([1.0, inf], 0), 1.0, [2.0, 0.0], {"kind": "square_exp"}),
    Row("energy", ([1.0, -inf], 0), inf, [2.0, -inf], {"kind": "square_exp"}),
]


def call(row: Row) -> str:
    return f"{row.loss}{row.args}{row.options or ''}"


every_row_of_classes = every("row", [r for r in TABLE if not fl.LOSSES[r.loss].pointwise], call)


@every_dtype
@every("row", TABLE, call)
def test_table(row: Row, dtype: str) -> None:
    """The special sample sits among 70 ordinary ones, which must not notice."""
    for _ in at_each_level():
        check_row(row, dtype)


def check_row(row: Row, dtype: str) -> None:
    loss = fl.LOSSES[row.loss]
    x = np.asarray(row.args[0], dtype)
    t = np.asarray(row.args[1], dtype if isinstance(row.args[1], (float, list)) else np.int64)
    many_x, many_t = ordinary(row.loss, x, t)
    for at in (0, 13, 69, 70):
        many_x[at], many_t[at] = x, t
    value = loss(many_x, many_t, reduction="none", **row.options)
    np.testing.assert_allclose(value[[0, 13, 69, 70]], row.value, rtol=1e-6)
    assert np.isfinite(np.delete(value, [0, 13, 69, 70])).all()
    grad = loss.grad(many_x, many_t, reduction="sum", **row.options)
    assert np.isfinite(np.delete(grad, [0, 13, 69, 70], axis=0)).all()
    if row.grad is not None:
        for at in (0, 13, 69, 70):
            np.testing.assert_allclose(grad[at], row.grad, rtol=1e-6)
    alone = loss(x[None], t[None], reduction="none", **row.options)
    np.testing.assert_allclose(alone, [row.value], rtol=1e-6)


def ordinary(name: str, x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    many_x = rng.uniform(0.1, 0.9, (71, *x.shape)).astype(x.dtype)
    if name == "nll":
        many_x = -many_x
    many_t = np.full((71, *t.shape), WHOLE_TARGETS.get(name, (0, 1))[name == "gamma" or name == "tweedie"], t.dtype)
    if t.ndim:
        many_t[:, 0] = 1.0
    return many_x, many_t


@every_row_of_classes
def test_table_along_a_strided_class_axis(row: Row) -> None:
    for _ in at_each_level():
        check_row_along_a_strided_axis(row)


def check_row_along_a_strided_axis(row: Row) -> None:
    loss = fl.LOSSES[row.loss]
    x = np.asarray(row.args[0], np.float32)
    t = np.asarray(row.args[1], np.float32 if isinstance(row.args[1], list) else np.int64)
    many_x, many_t = ordinary(row.loss, x, t)
    many_x[40], many_t[40] = x, t
    target = np.ascontiguousarray(many_t.T)
    value = loss(np.ascontiguousarray(many_x.T), target, axis=0, reduction="none", **row.options)
    np.testing.assert_allclose(value[40], row.value, rtol=1e-6)
    assert np.isfinite(np.delete(value, 40)).all()
    grad = loss.grad(np.ascontiguousarray(many_x.T), target, axis=0, reduction="sum", **row.options)
    if row.grad is not None:
        np.testing.assert_allclose(grad[:, 40], row.grad, rtol=1e-6)
    assert np.isfinite(np.delete(grad, 40, axis=1)).all()


@every("bad", [nan, inf, -inf])
@every_dtype
@every_separable_variant
def test_one_bad_sample_leaves_the_others_alone(variant: Variant, dtype: str, bad: float) -> None:
    """Every other sample keeps the bits of its value; nan makes the reduced value nan."""
    loss = variant.loss
    args, options = variant.draw(dtype, 67)
    if loss.name in ("binary_cross_entropy", "js_divergence") and bad != inf and not math.isnan(bad):
        pytest.skip("below 0 is an error")
    if loss.name == "binary_cross_entropy" and bad == inf:
        pytest.skip("above 1 is an error")
    if loss.name == "box_iou" and not math.isnan(bad):
        pytest.skip("no box")
    if bad == -inf and (loss.name == "msle" or options.get("log_input") is False):
        pytest.skip("below the domain is an error")
    for _, at in itertools.product(at_each_level(), (0, 31, 66)):
        clean = loss(*args, **options, reduction="none")
        dirty = args[0].copy()
        dirty[at] = bad
        got = loss(dirty, *args[1:], **options, reduction="none")
        others = np.arange(67) != at
        assert np.array_equal(got[others], clean[others])
        if math.isnan(bad) and np.all(clean[at] != 0):
            assert np.isnan(got[at]).all()
            assert math.isnan(loss(dirty, *args[1:], **options))
            assert math.isnan(loss(dirty, *args[1:], **options, reduction="sum"))


@every("shape", [(0,), (0, 3), (3, 0, 2)])
@every_dtype
@every_shaped
def test_empty(loss: fl.Loss, dtype: str, shape: tuple[int, ...]) -> None:
    if loss in SEQUENCES and len(shape) > 1:
        pytest.skip("samples lie in one axis")
    args, options = loss.sample(np.random.default_rng(0), dtype=dtype, size=6)
    empty = per_sample(loss, args, lambda a: np.empty(shape + a.shape[1:], a.dtype))
    for kw in (options, {**options, "sample_weight": np.empty(shape)}):
        none = loss(*empty, **kw, reduction="none")
        assert none.shape == shape
        assert none.dtype == dtype
        assert loss(*empty, **kw, reduction="sum") == 0.0
        assert math.isnan(loss(*empty, **kw))
        for term in loss.terms(*empty, **kw):
            assert term.shape == shape
    if loss.max_order >= 1:
        for reduction in ("none", "sum", "mean"):
            value, grad = loss.value_and_grad(*empty, **options, reduction=reduction)
            for g, a in zip(as_tuple(grad), empty, strict=False):
                assert g.shape == a.shape
                assert g.dtype == a.dtype
            assert np.size(value) == (0 if reduction == "none" else 1)


@every_differentiable
def test_empty_raises_no_warning(loss: fl.Loss, recwarn: pytest.WarningsRecorder) -> None:
    args, options = loss.sample(np.random.default_rng(0), size=6)
    loss.value_and_grad(*per_sample(loss, args, lambda a: a[:0]), **options)
    loss(*per_sample(loss, args, lambda a: np.full_like(a, np.nan) if a.dtype.kind == "f" else a), **options)
    assert not recwarn.list


@every_dtype
@every_labelled
def test_one_class(loss: fl.Loss, dtype: str, isa: str) -> None:
    """C = 1: the only class is certain."""
    if levels(loss, 1) > 1:
        pytest.skip("one task is two levels")
    x = np.zeros((5, 1), dtype)
    assert not loss(x, np.zeros(5, int), reduction="none").any()
    x[:] = -3.0
    assert np.array_equal(fl.cross_entropy(x, np.zeros(5, int), reduction="none"), np.zeros(5))
    assert not fl.cross_entropy.grad(x, np.zeros(5, int)).any()
    assert np.array_equal(fl.nll(x, np.zeros(5, int), reduction="none"), np.full(5, 3.0))


def test_zero_is_not_negative() -> None:
    """A loss of nothing prints as 0.0, never -0.0."""
    one = np.ones(3)
    for value in (
        fl.binary_cross_entropy(one, one),
        fl.cross_entropy([[5.0]], [0]),
        fl.nll([[0.0, -1.0]], [0]),
        fl.mse(one, one),
        fl.binary_cross_entropy_with_logits([inf], [1.0]),
    ):
        assert value == 0.0
        assert math.copysign(1.0, value) == 1.0

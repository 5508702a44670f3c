"""The tables of docs/coming-from.md, row by row: both sides are run as they stand there, on arrays of three axes where the peer
takes them, and where it takes weights of samples, with these too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from cases import need

import fastloss as fl

os.environ.setdefault("KERAS_BACKEND", "torch")
torch, optax, sklearn_metrics = need("torch"), need("optax"), need("sklearn.metrics")
coral = need("coral_pytorch.losses")
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"
RNG = np.random.default_rng(0)


class Row(NamedTuple):
    library: str
    theirs: str
    ours: str

    @property
    def name(self) -> str:
        return re.match(r"[\w.]+", self.theirs)[0]  # type: ignore[index]


def rows() -> Iterator[Row]:
    """The calls of the page's tables; what is no call (a class, a method of a tensor) is left out."""
    for section in PAGE.read_text().split("\n## ")[1:]:
        library = section.partition("\n")[0]
        for line in re.findall(r"^\| (`.+?) \|$", section, re.MULTILINE):
            theirs, ours = (re.search(r"`(.+?)`", cell)[1] for cell in line.split(" | "))  # type: ignore[index]
            if "(" in theirs and "backward" not in theirs and not theirs.startswith("jax."):
                yield Row(library, theirs, ours)


ROWS = list(rows())


# -- Arrays for each row: those of the page's letters; a pair where the two libraries lie them out differently ------------------

N, M, C = 6, 5, 4
SHAPE = (N, M, C)


def real() -> dict[str, Any]:
    return {"p": RNG.normal(0, 2, SHAPE), "y": RNG.normal(0, 2, SHAPE), "d": 0.7, "b": 0.7}


def positive() -> dict[str, Any]:
    return {"p": RNG.uniform(0.2, 3, SHAPE), "y": RNG.uniform(0.2, 3, SHAPE)}


def binary(**more: Any) -> dict[str, Any]:
    y = RNG.integers(0, 2, SHAPE).astype(float)
    return {"p": RNG.uniform(0.01, 0.99, SHAPE), "x": RNG.normal(0, 2, SHAPE), "y": y, "a": 0.3, **more}


def signs() -> dict[str, Any]:
    return {"s": RNG.normal(0, 2, SHAPE), "y": RNG.choice([-1.0, 1.0], SHAPE)}


def classes(second: bool = False, shape: tuple[int, ...] = SHAPE) -> dict[str, Any]:
    """`second`: they have the class axis there, we at the end."""
    x = RNG.normal(0, 2, shape)
    log_p = np.asarray(fl.log_softmax(x))
    y = RNG.integers(0, C, shape[:-1])
    given: dict[str, Any] = {"y": y, "w": RNG.uniform(0.2, 2, C), "s": 0.1, "k": 2, "e": 0.5, "a": 0.3}
    given["one_hot"] = np.eye(C)[y]
    for name, a in (("x", x), ("log_p", log_p)):
        given[name] = (a, np.moveaxis(a, -1, 1)) if second else a
    return given


def scores(shape: tuple[int, ...]) -> dict[str, Any]:
    given = classes(shape=shape)
    return {**given, "s": given["x"]}


def distributions(shape: tuple[int, ...] = SHAPE) -> dict[str, Any]:
    x, p, log_q = RNG.normal(0, 2, shape), RNG.dirichlet(np.ones(C), shape[:-1]), fl.log_softmax(RNG.normal(0, 2, shape))
    return {"x": x, "p": p, "y": p, "probabilities": p, "log_q": log_q, "T": 3.0}


def ctc() -> dict[str, Any]:
    n, s = np.array([7, 6, 8]), np.array([2, 0, 3])
    return {"x": RNG.normal(0, 2, (8, 3, C)), "y": RNG.integers(1, C, (3, 3)), "n": n, "s": s}


def levels(thresholds: int) -> dict[str, Any]:
    y = RNG.integers(0, thresholds + 1, N)
    tasks = (y[:, None] > np.arange(thresholds)).astype(float)
    return {"x": RNG.normal(0, 2, (N, thresholds)), "y": y, "levels": tasks, "K": thresholds + 1}


FLAT = (N, C)  # where a peer takes no more axes
DATA: dict[str, Any] = {
    "F.binary_cross_entropy": lambda: binary(y=RNG.uniform(0, 1, SHAPE)),
    "F.binary_cross_entropy_with_logits": lambda: binary(w=RNG.uniform(0.5, 2, C)),
    "F.multilabel_soft_margin_loss": binary,
    "F.nll_loss": lambda: classes(second=True),
    "F.cross_entropy": lambda: classes(second=True),
    "torch.exp": lambda: classes(second=True),
    "F.poisson_nll_loss": lambda: {**real(), "y": RNG.poisson(2.0, SHAPE).astype(float), "l": True, "f": True},
    "F.gaussian_nll_loss": lambda: {**real(), "var": RNG.uniform(0.2, 2, SHAPE)},
    "F.soft_margin_loss": signs,
    "F.multi_margin_loss": lambda: scores(FLAT),
    "torchvision.ops.sigmoid_focal_loss": binary,
    "F.ctc_loss": ctc,
    "coral_pytorch.losses.coral_loss": lambda: levels(3),
    "coral_pytorch.losses.corn_loss": lambda: levels(3),
    "BinaryCrossentropy": binary,
    "SparseCategoricalCrossentropy": classes,
    "CategoricalCrossentropy": classes,
    "MeanSquaredLogarithmicError": positive,
    "MeanAbsolutePercentageError": positive,
    "Poisson": positive,
    "KLDivergence": distributions,
    "Hinge": signs,
    "SquaredHinge": signs,
    "BinaryFocalCrossentropy": binary,
    "CategoricalFocalCrossentropy": classes,
    "mean_pinball_loss": lambda: {**real(), "q": 0.3},
    "mean_absolute_percentage_error": positive,
    "mean_squared_log_error": positive,
    "mean_tweedie_deviance": lambda: {**positive(), "k": 1.5},
    "mean_gamma_deviance": positive,
    "hinge_loss": signs,
    "sigmoid_binary_cross_entropy": binary,
    "softmax_cross_entropy_with_integer_labels": classes,
    "softmax_cross_entropy": distributions,
    "losses.perceptron_loss": signs,
    "losses.multiclass_hinge_loss": lambda: scores(SHAPE),
    "losses.multiclass_perceptron_loss": lambda: scores(SHAPE),
    "sigmoid_focal_loss": binary,
    "losses.poly_loss_cross_entropy": classes,
    "losses.dice_loss": lambda: {**classes(), "b": 0.7},
    "kl_divergence": distributions,
}


def data(row: Row) -> dict[str, Any]:
    if row.name == "F.kl_div":  # "batchmean" divides by the first axis alone
        given = distributions(FLAT if "batchmean" in row.theirs else SHAPE)
    elif row.name == "log_loss":  # of one axis, or two
        given = {"y": np.arange(N) % C, "p": RNG.dirichlet(np.ones(C), N)}
        if "binary" in row.ours:
            given = {"y": np.arange(N) % 2, "p": RNG.uniform(0.01, 0.99, N)}
    else:
        given = DATA.get(row.name, real)()
    if row.library == "scikit-learn":  # two axes at most, one for deviances
        axes = 1 if "deviance" in row.name or row.name == "hinge_loss" else 2
        given = {k: a.reshape(-1, *SHAPE[:0:-1][: axes - 1]) if np.ndim(a) == 3 else a for k, a in given.items()}
    return given


def sides(row: Row, given: dict[str, Any], extra: str = "") -> tuple[Any, Any]:
    """Both expressions of a row, with `extra` as a further argument of each call."""
    pairs = {k: v if isinstance(v, tuple) else (v, v) for k, v in given.items()}
    ours = {k: v[0] for k, v in pairs.items()}
    theirs = {k: v[1] for k, v in pairs.items()}
    scope: dict[str, Any] = {}
    if row.library == "PyTorch":
        theirs = {k: torch.from_numpy(np.ascontiguousarray(a)) if isinstance(a, np.ndarray) else a for k, a in theirs.items()}
        scope = {"torch": torch, "F": torch.nn.functional, "coral_pytorch": __import__("coral_pytorch.losses")}
        if "torchvision" in row.theirs:
            scope["torchvision"] = pytest.importorskip("torchvision", exc_type=Exception)
    elif row.library == "Keras":
        keras = need("keras")
        keras.config.set_floatx("float64")
        scope = vars(keras.losses)
    elif row.library == "optax":
        scope = {**vars(optax), "losses": optax.losses}
        theirs = {k: a.astype(np.float32) if getattr(a, "dtype", None) == np.float64 else a for k, a in theirs.items()}
    else:
        scope = {**vars(sklearn_metrics), "exp": np.exp}
        if row.name in ("mean_tweedie_deviance", "mean_gamma_deviance"):
            ours["p"] = theirs["p"] = np.log(ours["p"])
    code = [re.sub(r"\)$", f"{extra})", text) for text in (row.ours, row.theirs)]
    return eval(code[0], {"fl": fl, "np": np, **ours}), eval(code[1], {**scope, **theirs})


def same(row: Row, mine: Any, other: Any) -> None:
    other = np.asarray(other, np.float64)
    if np.ndim(mine) == 0:  # optax's values are of samples
        other = other.mean()
    np.testing.assert_allclose(mine, other, rtol=1e-5 if row.library == "optax" else 1e-6, atol=1e-7)


NOT_LOSSES = ("smooth_labels",)


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.name not in NOT_LOSSES], ids=lambda row: f"{row.library}-{row.theirs}"
)
def test_both_sides_of_a_row_are_the_same(row: Row) -> None:
    same(row, *sides(row, data(row)))


def test_every_table_is_read() -> None:
    counts = {library: sum(row.library == library for row in ROWS) for library in ("PyTorch", "Keras", "scikit-learn", "optax")}
    assert all(count >= 10 for count in counts.values()), counts
    assert set(DATA) <= {row.name for row in ROWS}


@pytest.mark.parametrize("row", [r for r in ROWS if r.library == "scikit-learn"], ids=lambda row: row.theirs)
def test_weights_of_samples_mean_the_same_to_scikit_learn(row: Row) -> None:
    given = data(row)
    given["v"] = RNG.uniform(0.1, 3, len(given["y"]))
    same(row, *sides(row, given, ", sample_weight=v"))


@pytest.mark.parametrize("name", ["mse", "l1", "huber"])
def test_weights_of_elements_of_three_axes(name: str) -> None:
    """The mean of mse_loss and l1_loss divides by the sum of the weights, as ours; huber_loss's by the number of elements."""
    p, y, w = RNG.normal(0, 2, SHAPE), RNG.normal(0, 2, SHAPE), RNG.uniform(0.1, 3, SHAPE)
    mine = {"mse": fl.mse, "l1": fl.mae, "huber": fl.huber}[name](p, y, sample_weight=w)
    other = getattr(torch.nn.functional, f"{name}_loss")(*map(torch.from_numpy, (p, y)), weight=torch.from_numpy(w)).item()
    assert other == pytest.approx(mine * (w.mean() if name == "huber" else 1), rel=1e-12)


def test_difference_batchmean_divides_by_the_first_axis() -> None:
    """Of (2, 5, 4): ours 0.60714, theirs 5 times that, and with "mean" a quarter of ours."""
    given = {k: np.asarray(v) for k, v in distributions((2, 5, 4)).items() if k in ("log_q", "p")}
    mine = fl.kl_div(given["log_q"], given["p"])
    log_q, p = (torch.from_numpy(given[k]) for k in ("log_q", "p"))
    assert torch.nn.functional.kl_div(log_q, p, reduction="batchmean").item() == pytest.approx(5 * mine, rel=1e-12)
    assert torch.nn.functional.kl_div(log_q, p, reduction="mean").item() == pytest.approx(mine / 4, rel=1e-12)


def test_difference_means_of_multilabel_soft_margin_with_class_weights() -> None:
    x, y, w = RNG.normal(0, 2, (N, C)), RNG.integers(0, 2, (N, C)).astype(float), RNG.uniform(0.2, 2, C)
    theirs = torch.nn.functional.multilabel_soft_margin_loss(*map(torch.from_numpy, (x, y, w))).item()
    values = fl.binary_cross_entropy_with_logits(x, y, reduction="none")
    assert theirs == pytest.approx((w * values).mean(), rel=1e-12)
    weighted = fl.binary_cross_entropy_with_logits(x, y, sample_weight=np.broadcast_to(w, x.shape))
    assert theirs == pytest.approx(weighted * w.mean(), rel=1e-12)


def test_difference_keras_clips_where_a_float_rounds() -> None:
    """1 - 1e-7 is 1 - 1.19e-7 in float32."""
    keras = need("keras")
    keras.config.set_floatx("float32")
    zero, one = np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32)
    theirs = keras.losses.BinaryCrossentropy()
    assert float(theirs(zero, one)) == pytest.approx(-np.log(2.0**-23), rel=1e-5)
    assert float(theirs(zero, one)) == pytest.approx(15.942, abs=1e-3)
    assert float(theirs(one, zero)) == pytest.approx(16.118, abs=1e-3)
    for p, t in ((one, zero), (zero, one)):
        assert fl.binary_cross_entropy(p, t, eps=1e-7) == pytest.approx(16.118, abs=1e-3)


def test_difference_soft_targets_of_optax_focal_loss() -> None:
    """It mixes probabilities before the power, ours the losses of the two labels."""
    x, t = RNG.normal(0, 3, 33).astype(np.float32), RNG.uniform(0.2, 0.8, 33).astype(np.float32)
    p, q = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x))
    entropy = -(t * np.log(p) + (1 - t) * np.log(q))
    theirs = np.asarray(optax.sigmoid_focal_loss(x, t, alpha=None, gamma=2.0))
    np.testing.assert_allclose(theirs, entropy * (t * q + (1 - t) * p) ** 2, rtol=1e-4)
    mine = fl.sigmoid_focal(x, t, alpha=None, reduction="none")
    np.testing.assert_allclose(mine, -(t * q**2 * np.log(p) + (1 - t) * p**2 * np.log(q)), rtol=1e-5)
    assert (np.abs(mine - theirs) > 1e-3).any()

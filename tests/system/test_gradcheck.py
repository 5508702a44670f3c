"""Promise: gradcheck finds what is wrong and nothing else."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from typing import Any

import custom_losses as mine
import numpy as np
import pytest
from cases import BATCHWISE, REGIONS, VARIANTS, Variant, as_tuple, is_corner
from custom_losses import draw, times
from matrix import every

import fastloss as fl
from fastloss.lab import CustomLoss, GradcheckResult

# -- gradcheck: no false alarm --------------------------------------------------------------------------------


def sample_shape(loss: fl.Loss, args: tuple[Any, ...]) -> tuple[int, ...]:
    """Of regions an item is a sample, whatever values it has."""
    return args[0].shape[:1] if loss in REGIONS else loss(*args, reduction="none").shape


def weights_of(args: tuple[Any, ...], loss: fl.Loss, seed: int) -> Any:
    """No weights, random ones, or some that are 0."""
    rng = np.random.default_rng(seed)
    shape = sample_shape(loss, args)
    return (None, rng.uniform(0.1, 3, shape), rng.integers(0, 3, shape))[seed % 3]


def sound(variant: Variant, seed: int, size: int) -> GradcheckResult:
    args, options = variant.draw("float64", size, seed=seed)
    weight = weights_of(args, variant.loss, seed)
    return fl.gradcheck(variant.loss, *args, **options, sample_weight=weight, seed=seed, verbose=False)


DIFFERENTIABLE = [variant for variant in VARIANTS if variant.loss.max_order >= 1]


@every("variant", DIFFERENTIABLE, quick=is_corner)
def test_the_registry_passes(variant: Variant, full: bool) -> None:
    """No false alarm: in the full tier some 1500 calls, of every loss with all its options."""
    for seed in (1, *((0, 2, 3, 4) if full else ())):
        result = sound(variant, seed, 11)
        assert result, str(result)
        assert result.checked > 11


@pytest.mark.parametrize("loss", [mine.mse, mine.huber, mine.cross_entropy], ids=lambda loss: loss.name)
def test_custom_losses_pass(loss: CustomLoss) -> None:
    args = draw(fl.LOSSES[loss.name])
    assert fl.gradcheck(loss, *args)
    assert fl.gradcheck(mine.cross_entropy)  # with its sampler


# -- gradcheck: every planted error -----------------------------------------------------------------------------


class Planted:
    """A loss whose gradient is spoilt on its way out."""

    def __init__(self, loss: fl.Loss, spoil: Callable[..., Any]) -> None:
        self.name, self.arrays, self.wrt = f"planted_{loss.name}", loss.arrays, loss.wrt
        self._loss, self._spoil = loss, spoil
        self.__signature__ = inspect.signature(loss)

    def __call__(self, *args: Any, **params: Any) -> Any:
        return self._loss(*args, **params)

    def value_and_grad(self, *args: Any, **params: Any) -> Any:
        value, grads = self._loss.value_and_grad(*args, **params)
        spoilt = tuple(self._spoil(g, args, params) for g in as_tuple(grads))
        return value, spoilt if isinstance(grads, tuple) else spoilt[0]


SPOILT: dict[str, Callable[..., Any]] = {
    "nothing": lambda g, args, params: g,
    "factor 2": lambda g, args, params: 2 * g,
    "factor 1 + 1e-5": lambda g, args, params: g * (1 + 1e-5),
    "sign": lambda g, args, params: -g,
    "sum for mean": lambda g, args, params: g * len(g) if params["reduction"] == "mean" else g,
    "mean for sum": lambda g, args, params: g / len(g) if params["reduction"] == "sum" else g,
    "N for the sum of weights": lambda g, args, params: (
        g * np.sum(params["sample_weight"]) / len(g) if params["reduction"] == "mean" else g
    ),
    "missing constant": lambda g, args, params: g + 1e-4,
    "one entry": lambda g, args, params: g + 1e-3 * (np.arange(g.size).reshape(g.shape) == 5),
    "one entry of the mean": lambda g, args, params: (
        g + 1e-3 * (np.arange(g.size).reshape(g.shape) == 5) if params["reduction"] == "mean" else g
    ),
    "rows rolled": lambda g, args, params: np.roll(g, 1, axis=0),
}


# One of each shape of result: an element, a row, several arguments, shared thresholds, sequences.
SHAPES = (fl.mse, fl.cross_entropy, fl.gaussian_nll, fl.cumulative_link, fl.ctc)


@every("error", SPOILT)
@every("loss", [v.loss for v in VARIANTS if v.label == "default" and v.loss.max_order], quick=lambda loss: loss in SHAPES)
def test_errors_planted_in_the_registry_are_found(loss: fl.Loss, error: str) -> None:
    if loss in BATCHWISE and error == "one entry of the mean":
        pytest.skip("every entry is part of every value: the slopes of a mean are compared at some entries only")
    args, options = loss.sample(np.random.default_rng(3), "float64", 19)
    weight = np.random.default_rng(4).uniform(0.5, 3, sample_shape(loss, args))
    result = fl.gradcheck(Planted(loss, SPOILT[error]), *args, **options, sample_weight=weight, verbose=False)
    assert bool(result) is (error == "nothing"), str(result)


@pytest.mark.parametrize("error", SPOILT)
def test_errors_planted_in_pooled_items_are_found(error: str) -> None:
    """All entries are part of the same few sums, so that no value stays as it is when any is moved."""
    args, options = fl.dice.sample(np.random.default_rng(3), "float64", 5)
    weight = np.random.default_rng(4).uniform(0.5, 3, 3)
    planted = Planted(fl.dice, SPOILT[error])
    result = fl.gradcheck(planted, *args, **options, batch=True, sample_weight=weight, verbose=False)
    assert bool(result) is (error == "nothing"), str(result)


BASES: dict[str, tuple[Callable[..., Any], dict[str, Callable[..., Any]]]] = {
    "log_cosh": (
        lambda p, t: np.logaddexp(p - t, t - p) - np.log(2),
        {
            "right": lambda p, t: np.tanh(p - t),
            "wrong factor": lambda p, t: np.tanh(p - t) / 2,
            "wrong sign": lambda p, t: np.tanh(t - p),
            "missing term": lambda p, t: np.tanh(p - t) - 1e-3 * p,
            "swapped argument": lambda p, t: np.tanh(p) * np.cosh(t),
        },
    ),
    "poisson": (
        lambda p, t: np.exp(p) - t * p + t * np.log(t) - t,
        {
            "right": lambda p, t: np.exp(p) - t,
            "wrong factor": lambda p, t: 2 * (np.exp(p) - t),
            "wrong sign": lambda p, t: t - np.exp(p),
            "missing term": lambda p, t: np.exp(p),
            "swapped argument": lambda p, t: np.exp(t) - p,
        },
    ),
    "log_ratio": (
        lambda p, t: np.log(p / t) ** 2,  # p > 0: nan beyond
        {
            "right": lambda p, t: 2 * np.log(p / t) / p,
            "wrong factor": lambda p, t: np.log(p / t) / p,
            "wrong sign": lambda p, t: -2 * np.log(p / t) / p,
            "missing term": lambda p, t: 2 * np.log(p) / p,
            "swapped argument": lambda p, t: 2 * np.log(t / p) / t,
        },
    ),
    "pinball": (
        lambda p, t: np.maximum(0.7 * (t - p), -0.3 * (t - p)),
        {
            "right": lambda p, t: np.where(t > p, -0.7, 0.3),
            "wrong factor": lambda p, t: np.where(t > p, -7.0, 3.0),
            "wrong sign": lambda p, t: np.where(t > p, 0.7, -0.3),
            "missing term": lambda p, t: np.where(t > p, -0.7, 0.0),
            "swapped argument": lambda p, t: np.where(p > t, -0.7, 0.3),
        },
    ),
}


@pytest.mark.parametrize(("base", "error"), [(base, error) for base in BASES for error in BASES[base][1]])
def test_errors_planted_in_custom_losses_are_found(base: str, error: str) -> None:
    value, gradients = BASES[base]
    rng = np.random.default_rng(5)
    p, t = rng.uniform(0.1, 3, (2, 15))
    loss = fl.custom(value, gradients[error], name=base)
    printed = io.StringIO()
    result = fl.gradcheck(loss, p, t, file=printed)
    assert bool(result) is (error == "right"), str(result)
    assert bool(printed.getvalue()) is (error != "right")
    if error != "right":
        worst = result.checks[0].failures[0]
        assert isinstance(worst.index, tuple)
        assert worst.analytic == pytest.approx(gradients[error](p, t)[worst.index])
        assert worst.numeric == pytest.approx(gradients["right"](p, t)[worst.index], rel=1e-8)
        assert f"at {worst.index}: analytic {worst.analytic:.10g}, numeric" in printed.getvalue()


def test_swapped_gradients_of_several_arguments_are_found() -> None:
    p, q = np.random.default_rng(0).normal(size=(2, 12))
    assert fl.gradcheck(times(), p, q)
    wrong = fl.custom(lambda p, q: p * q, lambda p, q: (p, q), name="swapped", wrt=("p", "q"))
    result = fl.gradcheck(wrong, p, q, verbose=False)
    assert {check.argument for check in result.checks if not check.passed} == {"p", "q"}
    second = fl.custom(lambda p, q: p * q**2, lambda p, q: (q**2, p * q), name="second", wrt=("p", "q"))
    result = fl.gradcheck(second, p, q, verbose=False)
    assert {check.argument for check in result.checks if not check.passed} == {"q"}


def test_a_wrong_hessian_is_found() -> None:
    x, t = draw(fl.mse)
    wrong = fl.custom(lambda p, t: (p - t) ** 2, lambda p, t: 2 * (p - t), lambda p, t: np.ones_like(p), name="wrong")
    result = fl.gradcheck(wrong, x, t, verbose=False)
    assert [check.passed for check in result.checks if check.order == 1] == [True] * 3
    assert [check.passed for check in result.checks if check.order == 2] == [False] * 3
    assert fl.gradcheck(wrong, x, t, hess=False)


# -- gradcheck: what it says and takes ----------------------------------------------------------------------------


def test_kinks_are_skipped_and_counted() -> None:
    x = np.r_[np.zeros(2), np.linspace(0.5, 3, 14)]
    result = fl.gradcheck(fl.mae, x, np.zeros(16), hess=False, reduction="sum")
    (check,) = result.checks
    assert (check.checked, check.kinks, check.edges, check.unresolved) == (14, 2, 0, 0)
    assert result
    assert "2 of 16 skipped (2 at kinks)" in str(result)
    result = fl.gradcheck(fl.mae, x[:9], np.zeros(9), hess=False, reduction="sum", verbose=False)
    assert result.skipped == 2
    assert not result
    assert "more than 20%, which tells too little" in str(result)


@pytest.mark.parametrize("distance", [1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-12, 0.0])
def test_a_kink_at_any_distance_is_no_false_alarm(distance: float) -> None:
    """Near kinks are either seen past, or skipped; never judged by a slope that mixes both sides."""
    x = np.array([distance, -distance] + [1.0] * 10)
    result = fl.gradcheck(fl.mae, x, np.zeros(12), hess=False)
    assert result, str(result)
    assert result.checks[0].skipped in ((0,) if distance > 5e-8 else (2,) if distance < 1e-9 else (0, 2))


def test_a_steep_but_smooth_loss_is_no_kink() -> None:
    steep = fl.custom(lambda x: np.logaddexp(0, 1e3 * x) / 1e3, lambda x: 1 / (1 + np.exp(-1e3 * x)), name="steep")
    result = fl.gradcheck(steep, np.array([0.0, 1e-4, -1e-3, 0.1, -0.01]))
    assert result, str(result)
    assert result.checks[0].checked == 5


def test_edges_of_the_domain() -> None:
    """Steps shrink near the edge, to far below 1e-12 if need be; at the edge itself nothing can be moved, which is counted."""
    p = np.array([1e-12, 1 - 1e-6, *np.linspace(0.1, 0.9, 10)])
    assert fl.gradcheck(fl.binary_cross_entropy, p, np.linspace(0, 1, 12)).checks[0].skipped == 0
    p[:2] = 0.0, 1.0
    check = fl.gradcheck(fl.binary_cross_entropy, p, np.linspace(0, 1, 12), hess=False).checks[0]
    assert (check.checked, check.edges) == (10, 2)
    log = fl.custom(lambda x: np.log(x), lambda x: 1 / x, name="log")  # nan, not an error, where x < 0
    assert fl.gradcheck(log, np.array([1e-9, 1e-3, 0.5, 2.0, 1e6]))


def test_infinite_and_nan_entries_are_skipped() -> None:
    x = np.array([np.nan, np.inf, *np.linspace(-1, 1, 10)])
    check = fl.gradcheck(fl.mse, x, np.zeros(12), reduction="none", hess=False).checks[0]
    assert (check.checked, check.edges) == (10, 2)


def test_a_gradient_that_is_nan_fails() -> None:
    wrong = fl.custom(lambda x: x**2, lambda x: np.where(x > 1, np.nan, 2 * x), name="holes")
    result = fl.gradcheck(wrong, np.linspace(0.5, 2, 9), verbose=False)
    assert not result
    assert np.isnan(result.checks[0].failures[0].analytic)


def test_float32_is_converted_and_said_so() -> None:
    x, t = draw(fl.huber, "float32")
    result = fl.gradcheck(fl.huber, x, t)
    assert result.converted == ("prediction", "target")
    assert "computed in float64: prediction, target converted" in str(result)
    assert fl.gradcheck(fl.huber, x.astype(np.float64), t.astype(np.float64)).converted == ()
    logits, target = draw(fl.cross_entropy, "float32")
    assert fl.gradcheck(fl.cross_entropy, logits, target).converted == ("logits",)


def test_axis_and_images() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 5, 3, 4)), rng.integers(0, 5, (2, 3, 4))
    assert fl.gradcheck(fl.cross_entropy, x, y, axis=1, class_weight=rng.uniform(0.5, 2, 5), label_smoothing=0.1)
    assert fl.gradcheck(fl.cross_entropy, np.moveaxis(x, 1, 0), y, axis=0, ignore_index=2)
    assert fl.gradcheck(fl.cross_entropy, x[0, :, 0, 0], y[0, 0, 0])
    square = rng.normal(size=(4, 4))
    assert fl.gradcheck(fl.cross_entropy, square, [0, 1, 2, 3], axis=0)


def test_samples_that_hang_together_are_moved_one_by_one() -> None:
    """One value per element, but each depends on all: softmax."""

    def value(x: Any) -> Any:
        e = np.exp(x - x.max())
        return e / e.sum() * np.arange(x.size)

    def grad(x: Any) -> Any:
        p = np.exp(x - x.max()) / np.exp(x - x.max()).sum()
        return p * (np.arange(x.size) - p @ np.arange(x.size))

    x = np.random.default_rng(0).normal(size=9)
    assert fl.gradcheck((value, grad), x)
    assert not fl.gradcheck((value, lambda x: grad(x)[::-1]), x, verbose=False)


def test_functions_and_objects() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 6))
    assert fl.gradcheck((lambda a, b: a @ b, lambda a, b: (b, a)), a, b)
    assert not fl.gradcheck((lambda a, b: a @ b, lambda a, b: (a, b)), a, b, verbose=False)
    assert fl.gradcheck((lambda a: (a**4).sum(), lambda a: 4 * a**3, lambda a: 12 * a**2), a)
    assert not fl.gradcheck((lambda a: (a**4).sum(), lambda a: 4 * a**3, lambda a: 12 * a), a, verbose=False)

    class Quadratic:
        def __call__(self, x: Any, *, scale: float = 1.0) -> float:
            return scale * float(x @ x)

        def value_and_grad(self, x: Any, *, scale: float = 1.0) -> Any:
            return self(x, scale=scale), 2 * scale * x

    result = fl.gradcheck(Quadratic(), a, scale=3.0)
    assert result
    assert result.name == "Quadratic"
    assert fl.gradcheck((lambda x: float(x) ** 2, lambda x: 2 * x), 1.5)


def test_large_arguments_are_sampled() -> None:
    x, t = draw(fl.huber, size=50_000)
    result = fl.gradcheck(fl.huber, x, t, max_entries=100, reduction="none")
    assert result.checks[0].checked == 100
    again = fl.gradcheck(fl.huber, x, t, max_entries=100, reduction="none")
    assert again == result
    assert fl.gradcheck(fl.huber, x, t, max_entries=100, reduction="none", seed=1) != result


def test_options_of_the_loss_pass_through() -> None:
    p, t = draw(fl.binary_cross_entropy)
    assert fl.gradcheck(fl.binary_cross_entropy, p, t, eps=0.05)
    assert fl.gradcheck(fl.mse, p, target=t) == fl.gradcheck(fl.mse, prediction=p, target=t) == fl.gradcheck(fl.mse, p, t)
    assert fl.gradcheck(fl.cross_entropy) == fl.gradcheck(fl.cross_entropy, seed=0)
    assert [c.reduction for c in fl.gradcheck(fl.mse, p, t).checks] == ["none", "sum", "mean"] * 2
    assert [c.reduction for c in fl.gradcheck(fl.mse, p, t, reduction="mean").checks] == ["mean"] * 2
    with pytest.raises(ValueError, match="huber: delta: expected a number > 0"):
        fl.gradcheck(fl.huber, p, t, delta=-1)


def test_printing(capsys: pytest.CaptureFixture[str]) -> None:
    x, t = draw(fl.mse)
    wrong = fl.custom(lambda p, t: (p - t) ** 2, lambda p, t: p - t, name="half")
    result = fl.gradcheck(fl.mse, x, t)
    assert capsys.readouterr().out == ""
    fl.gradcheck(fl.mse, x, t, verbose=True)
    assert capsys.readouterr().out == f"{result}\n"
    bad = fl.gradcheck(wrong, x, t)
    assert capsys.readouterr().out == f"{bad}\n"
    fl.gradcheck(wrong, x, t, verbose=False)
    assert capsys.readouterr().out == ""
    assert repr(bad) == f"<GradcheckResult half: failed, {bad.checked} compared, 0 skipped>"
    assert "prediction, gradient, none: 0 of 23 differ; worst" in str(result)
    assert "p, gradient, none: 23 of 23 differ" in str(bad)
    assert "... and 18 more" in str(bad)
    with pytest.raises(AttributeError):
        bad.name = "other"  # type: ignore[misc]


REFUSED = [
    (lambda: fl.gradcheck(3.0, [1.0]), TypeError, "gradcheck: loss: expected a Loss, a callable with value_and_grad, or"),
    (lambda: fl.gradcheck(mine.under_another_name, [1.0], [2.0]), TypeError, "gradcheck: renamed: expected a loss with a grad"),
    (lambda: fl.gradcheck(fl.nll, [[1.0, 2.0]], [0], hess=True), TypeError, "gradcheck: nll: expected a loss with a Hessian"),
    (lambda: fl.gradcheck(fl.mse, [1.0], [0.0], step=0), ValueError, "gradcheck: step: expected a number > 0, got 0"),
    (lambda: fl.gradcheck(fl.mse, [1.0], [0.0], rtol=-1), ValueError, "gradcheck: rtol: expected a number >= 0, got -1"),
    (lambda: fl.gradcheck(fl.mse, [1.0], [0.0], max_entries=0), ValueError, "gradcheck: max_entries: expected"),
    (
        lambda: fl.gradcheck((lambda x: x, lambda x: x[:1]), np.ones(3)),
        ValueError,
        r"expected a gradient of the shape of x, \(3,\)",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSED, ids=[text for *_, text in REFUSED])
def test_what_gradcheck_refuses(call: Callable[[], Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()

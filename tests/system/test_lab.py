"""Promise: custom makes a full member of the house of any function, and gradcheck finds what is wrong and nothing else."""

from __future__ import annotations

import copy
import inspect
import io
import json
import pickle
import pydoc
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import custom_losses as mine
import numpy as np
import pytest
from cases import BATCHWISE, REGIONS, VARIANTS, Variant, as_tuple, every_dtype, is_corner
from matrix import every

import fastloss as fl
from fastloss.lab import CustomLoss, GradcheckResult, NumericDerivativeWarning

PAIRS = [(mine.mse, fl.mse), (mine.huber, fl.huber), (mine.cross_entropy, fl.cross_entropy)]
every_pair = pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=[theirs.name for _, theirs in PAIRS])
every_reduction = every("reduction", ["none", "sum", "mean"])
RTOL = {"float32": 3e-6, "float64": 1e-12}


def draw(loss: fl.Loss, dtype: str = "float64", size: int = 23, seed: int = 0) -> tuple[Any, ...]:
    return loss.sample(np.random.default_rng(seed), dtype, size)[0]


# -- custom: one contract -----------------------------------------------------------------------------


@every("weighted", [False, True], ("plain", "weighted").__getitem__)
@every_reduction
@every_dtype
@every_pair
def test_losses_made_again_are_the_registrys(
    ours: CustomLoss, theirs: fl.Loss, dtype: str, reduction: str, weighted: bool
) -> None:
    args = draw(theirs, dtype)
    weight = np.random.default_rng(1).uniform(0, 3, 23) if weighted else None
    kw = {"sample_weight": weight, "reduction": reduction}
    close = {"rtol": RTOL[dtype], "atol": RTOL[dtype] / 10}
    for method in ("__call__", "grad", "hess"):
        got, expected = getattr(ours, method)(*args, **kw), getattr(theirs, method)(*args, **kw)
        assert type(got) is type(expected)
        assert np.shape(got) == np.shape(expected)
        assert getattr(got, "dtype", None) == getattr(expected, "dtype", None)
        np.testing.assert_allclose(got, expected, **close)
    value, grad = ours.value_and_grad(*args, **kw)
    np.testing.assert_array_equal(value, ours(*args, **kw))
    np.testing.assert_array_equal(grad, ours.grad(*args, **kw))
    grad, hess = ours.grad_and_hess(*args, **kw)
    np.testing.assert_array_equal(grad, ours.grad(*args, **kw))
    np.testing.assert_array_equal(hess, ours.hess(*args, **kw))
    for got, expected in zip(ours.terms(*args, sample_weight=weight), theirs.terms(*args, sample_weight=weight), strict=True):
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, expected, rtol=RTOL[dtype], atol=1e-14)


def test_options_are_the_functions_own() -> None:
    x, t = draw(fl.huber)
    assert dict(mine.huber.options) == {"delta": 1.0}
    np.testing.assert_allclose(mine.huber.grad(x, t, delta=0.25), fl.huber.grad(x, t, delta=0.25), rtol=1e-14)
    assert mine.huber(x, t, delta=0.25) == pytest.approx(fl.huber(x, t, delta=0.25), rel=1e-14)


def test_a_custom_loss_describes_itself() -> None:
    loss = mine.huber
    assert isinstance(loss, fl.Loss)
    assert (loss.name, loss.family, loss.arrays, loss.wrt) == ("huber", "custom", ("prediction", "target"), ("prediction",))
    assert (loss.max_order, loss.pointwise, loss.numeric) == (2, True, ())
    assert repr(loss) == "<Loss custom_losses.huber>"
    assert str(inspect.signature(loss)).startswith("(prediction, target, *, delta=1.0, sample_weight=None, reduction='mean')")
    assert inspect.getdoc(loss) == "Huber's loss: quadratic near 0, linear beyond delta."
    printed = pydoc.plain(pydoc.render_doc(loss))
    assert "delta=1.0" in printed
    assert "quadratic near 0" in printed
    assert loss not in fl.LOSSES.values()
    assert mine.under_another_name.name == "renamed"
    assert inspect.unwrap(loss)(np.array([3.0]), np.array([1.0])) == 1.5  # type: ignore[arg-type, comparison-overlap]


def test_reference_and_sample() -> None:
    args = draw(mine.cross_entropy, "float32")
    values, weights = mine.cross_entropy.reference(*args)
    np.testing.assert_allclose(values, fl.cross_entropy.reference(*args)[0], rtol=1e-12)
    assert np.array_equal(weights, np.ones(23))
    assert args[0].dtype == np.float32
    with pytest.raises(TypeError, match=r"^huber has no sampler: custom\(\.\.\., sampler=\.\.\.\)"):
        mine.huber.sample(np.random.default_rng(0))
    short = fl.custom(lambda a, b: a, name="short", sampler=lambda rng, dtype, size: np.ones(size))
    with pytest.raises(ValueError, match="short: sampler: expected 2 arrays, got 1"):
        short.sample(np.random.default_rng(0))


# -- custom: types, layouts, buffers ------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int8", "int64", "uint16", "bool"])
def test_types_are_the_registrys(dtype: str) -> None:
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    x, t = np.array([0, 1, 3, 1]).astype(dtype), np.array([1, 1, 0, 0]).astype(dtype)
    for reduction in ("none", "mean"):
        for method in ("__call__", "grad", "hess"):
            got, expected = (getattr(loss, method)(x, t, reduction=reduction) for loss in (mine.mse, fl.mse))
            assert getattr(got, "dtype", None) == getattr(expected, "dtype", None)
            np.testing.assert_array_equal(np.asarray(got, np.float64), np.asarray(expected, np.float64))


@pytest.mark.parametrize("a", ["float32", "float64", "int32", float])
@pytest.mark.parametrize("b", ["float16", "float32", "int8", float])
def test_mixed_types_promote_as_the_registrys(a: Any, b: Any) -> None:
    x = 1.0 if a is float else np.ones(3, a)
    t = 0.5 if b is float else np.zeros(3, b)
    got, expected = (loss(x, t, reduction="none") for loss in (mine.mse, fl.mse))
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    assert mine.mse.grad(x, t, reduction="sum") == pytest.approx(fl.mse.grad(x, t, reduction="sum"))


def test_labels_stay_integers_in_rows() -> None:
    seen: list[Any] = []

    def look(logits: Any, target: Any) -> Any:
        seen.extend((logits.dtype, target.dtype))
        return logits[..., 0]

    fl.custom(look, pointwise=False)(np.zeros((3, 2), np.float16), np.zeros(3, np.uint8))
    assert seen == [np.float32, np.uint8]


def test_a_number_beside_an_array_collects_the_slopes() -> None:
    t = np.array([1.0, 2.0, 4.0])
    for method in ("grad", "hess"):
        for reduction in ("none", "sum", "mean"):
            got, expected = (getattr(loss, method)(1.5, t, reduction=reduction) for loss in (mine.mse, fl.mse))
            assert got.shape == expected.shape == ()
            assert got == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 0), (2, 3, 4)], ids=str)
def test_any_shape(shape: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    assert mine.mse(x, x + 1, reduction="none").shape == shape
    assert mine.mse.grad(x, x + 1).shape == shape
    np.testing.assert_equal(mine.mse(x, x + 1), fl.mse(x, x + 1))
    np.testing.assert_array_equal(mine.mse.grad(x, x + 1), fl.mse.grad(x, x + 1))


def test_layouts() -> None:
    big = np.random.default_rng(0).normal(size=(8, 6, 4))
    for view in (big[::-2], big.T, big[:, ::3], np.broadcast_to(big[0], big.shape)):
        np.testing.assert_allclose(mine.mse.grad(view, 0.5), fl.mse.grad(view, 0.5), rtol=1e-14)
        assert mine.mse(view, 0.5) == pytest.approx(fl.mse(view, 0.5), rel=1e-14)


def test_the_function_cannot_write_to_what_it_gets() -> None:
    def careless(prediction: Any, target: Any) -> Any:
        prediction -= target
        return prediction**2

    x, t = np.ones(3), np.zeros(3)
    with pytest.raises(ValueError, match="read-only") as caught:
        fl.custom(careless)(x, t)
    assert caught.value.__notes__ == ["raised in the value function of the loss careless"]
    assert np.array_equal(x, np.ones(3))
    assert x.flags.writeable


def test_what_a_function_returns_is_copied() -> None:
    x = np.array([1.0, 2.0])
    itself = fl.custom(lambda x: x, lambda x: x, lambda x: x, name="itself")
    for got in (itself(x, reduction="none"), itself.grad(x, reduction="sum"), itself.hess(x, reduction="sum")):
        assert not np.shares_memory(got, x)
        assert got.flags.writeable


@every_dtype
def test_out(dtype: str) -> None:
    x, t = draw(fl.mse, dtype)
    expected = mine.mse.grad(x, t)
    buffer = np.empty_like(x)
    assert mine.mse.grad(x, t, out=buffer) is buffer
    np.testing.assert_array_equal(buffer, expected)
    value, itself = mine.mse.value_and_grad(x, t, out=x)  # in place: the value is of what was there
    assert itself is x
    assert value == fl.mse.terms(*draw(fl.mse, dtype))[0].mean() or value == pytest.approx(fl.mse(*draw(fl.mse, dtype)), rel=1e-6)
    np.testing.assert_array_equal(x, expected)


def test_out_is_refused_as_the_registry_refuses_it() -> None:
    x, t = np.ones(4), np.zeros(4)
    frozen = np.ones(4)
    frozen.flags.writeable = False
    for out in (np.empty(3), np.empty(4, np.float32), frozen, [0.0] * 4, np.ones(5)[1:][::-1][:3]):
        messages = []
        for loss in (mine.mse, fl.mse):
            with pytest.raises((ValueError, TypeError)) as caught:
                loss.grad(x, t, out=out)
            messages.append((caught.type, str(caught.value)))
        assert messages[0] == messages[1]
    base = np.zeros(5)
    with pytest.raises(ValueError, match="mse: out: expected memory apart from every input"):
        mine.mse.grad(base[:4], t, out=base[1:])
    with pytest.raises(ValueError, match="mse: out: expected one array, got a tuple of 2"):
        mine.mse.grad(x, t, out=(np.empty(4), np.empty(4)))


def _product() -> CustomLoss:
    return fl.custom(lambda p, q: p * q, lambda p, q: (q, p), lambda p, q: (0 * p, 0 * q), name="product", wrt=("p", "q"))


def test_several_arguments() -> None:
    p, q = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0], np.float32)
    w = np.array([1.0, 0.0, 3.0])
    product = _product()
    value, (dp, dq) = product.value_and_grad(p, q, sample_weight=w)
    assert value == (4 + 3 * 18) / 4
    assert (dp.dtype, dq.dtype) == (np.float64, np.float32)
    np.testing.assert_array_equal(dp, q * w / 4)
    np.testing.assert_array_equal(dq, p * w / 4)
    q = q.astype(np.float64)
    out = q, p  # the other way round is not "exactly that input" for each, but safe all the same
    got = product.grad(p.copy(), q.copy(), out=(np.empty(3), np.empty(3)), reduction="sum")
    np.testing.assert_array_equal(got, out)
    inplace = product.grad(p, q, out=(p, q), reduction="sum")
    np.testing.assert_array_equal(inplace, [[4, 5, 6], [1, 2, 3]])
    for bad in (np.empty(3), (np.empty(3),)):
        with pytest.raises(ValueError, match="product: out: expected a tuple of 2 arrays"):
            product.grad(p, q, out=bad)
    buffer = np.empty(4)
    with pytest.raises(ValueError, match="product: out: expected buffers apart from one another"):
        product.grad(p, q, out=(buffer[:3], buffer[1:]))
    with pytest.raises(
        TypeError, match=r"product2: grad: expected the function to return a tuple of 2 arrays \(p, q\), got an array"
    ):
        fl.custom(lambda p, q: p * q, lambda p, q: q, name="product2", wrt=("p", "q")).grad(p, q)


def test_rows_and_a_number_per_row() -> None:
    """A second differentiable argument of one number per row."""
    scaled = fl.custom(
        lambda x, s: s * (x**2).sum(-1),
        lambda x, s: (2 * s[:, None] * x, (x**2).sum(-1)),
        wrt=("x", "s"),
        pointwise=False,
        name="scaled",
    )
    x, s = np.random.default_rng(0).normal(size=(4, 3)), np.array([1.0, 2.0, 0.5, 3.0])
    assert fl.gradcheck(scaled, x, s, sample_weight=[1, 2, 0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericDerivativeWarning)
        np.testing.assert_allclose(scaled.hess(x, s, reduction="sum")[0], np.repeat(2 * s[:, None], 3, 1), rtol=1e-9)


def test_nan_stays_in_its_sample() -> None:
    x = np.array([np.nan, 1.0, np.inf])
    np.testing.assert_array_equal(mine.mse(x, np.zeros(3), reduction="none"), [np.nan, 1.0, np.inf])
    np.testing.assert_array_equal(mine.mse.grad(x, np.zeros(3), reduction="sum"), [np.nan, 2.0, np.inf])
    assert np.isnan(mine.mse(np.empty(0), np.empty(0)))
    assert mine.mse(np.empty(0), np.empty(0), reduction="sum") == 0.0
    np.testing.assert_array_equal(
        mine.mse.grad(x[1:2], [0.0], sample_weight=[0.0]), fl.mse.grad(x[1:2], [0.0], sample_weight=[0.0])
    )


def test_a_mean_is_computed_in_float64() -> None:
    x = np.full(1 << 20, 0.1, np.float32)
    exact = float(np.float32(0.1)) * x.size
    assert fl.custom(lambda x: x, name="same")(x, reduction="sum") == pytest.approx(exact, rel=1e-12)


# -- custom: what is refused --------------------------------------------------------------------------


RETURNS = [
    (
        lambda x, t: x.sum(),
        ValueError,
        r"value: expected the function to return shape \(3,\), one value per element, got shape \(\)",
    ),
    (
        lambda x, t: x[:2],
        ValueError,
        r"value: expected the function to return shape \(3,\), one value per element, got shape \(2,\)",
    ),
    (lambda x, t: x + 1j, TypeError, "value: expected real numbers .* got dtype complex128"),
    (lambda x, t: np.array(["a", "b", "c"]), TypeError, "value: expected real numbers .* got dtype <U1"),
    (lambda x, t: x.astype(object), TypeError, "value: expected real numbers .* got dtype object"),
    (lambda x, t: x.astype(np.longdouble), TypeError, "value: expected real numbers"),
    (lambda x, t: None, TypeError, "value: expected the function to return an array, got None"),
    (lambda x, t: np.ma.masked_array(x), TypeError, "value: expected an array without a mask"),
]


@pytest.mark.parametrize(("function", "kind", "text"), RETURNS, ids=[text[:60] for *_, text in RETURNS])
def test_what_a_function_must_return(function: Any, kind: type[Exception], text: str) -> None:
    x = np.ones(3)
    with pytest.raises(kind, match=f"^odd: {text}"):
        fl.custom(function, name="odd")(x, x)
    derivative = re.sub("one value per element", "that of x", text)
    for which in ("grad", "hess"):
        loss = fl.custom(lambda x, t: x, name="odd", **{which: function})
        with pytest.raises(kind, match=f"^odd: {derivative.replace('value', which, 1)}"):
            getattr(loss, which)(x, x)


def test_lists_and_integers_are_fine() -> None:
    loss = fl.custom(lambda x, t: [int(v > 0.5) for v in x], lambda x, t: [0, 0, 0], name="zero_one")
    assert loss([0.0, 1.0, 2.0], np.zeros(3)) == pytest.approx(2 / 3)
    assert loss([0.0, 1.0, 2.0], np.zeros(3), reduction="none").dtype == np.float64
    assert not loss.grad([0.0, 1.0, 2.0], np.zeros(3)).any()


ARGUMENTS = [
    (
        (np.ones(3), np.ones((3, 1))),
        {},
        ValueError,
        r"t: expected the shape of x, \(3,\) \(pointwise=False .*\), got shape \(3, 1\)",
    ),
    ((np.ones(3), np.ones(4)), {}, ValueError, r"t: expected the shape of x, \(3,\), got shape \(4,\)"),
    ((np.ones(3), ["a"] * 3), {}, TypeError, "t: expected real numbers"),
    ((None, np.ones(3)), {}, TypeError, "x: expected an array, got None"),
    ((np.ones(3), np.ones(3)), {"reduction": "avg"}, ValueError, "reduction: expected one of 'mean', 'sum', 'none', got 'avg'"),
    ((np.ones(3), np.ones(3)), {"sample_weight": [1, -1, 1]}, ValueError, "sample_weight: expected finite numbers >= 0, got -1"),
    ((np.ones(3), np.ones(3)), {"sample_weight": [1, 1]}, ValueError, "sample_weight: expected a shape that broadcasts"),
]


@pytest.mark.parametrize(("args", "kw", "kind", "text"), ARGUMENTS, ids=[text[:60] for *_, text in ARGUMENTS])
def test_arguments_are_checked(args: Any, kw: Any, kind: type[Exception], text: str) -> None:
    loss = fl.custom(lambda x, t: x * t, lambda x, t: t, name="mine")
    for method in (loss, loss.grad, loss.terms):
        with pytest.raises(kind, match=f"^mine: {text}"):
            method(*args, **kw)


def test_rows_are_checked() -> None:
    x, y = np.ones((4, 3)), np.zeros(4, int)
    for args, text in (
        ((x, y[:3]), r"target: expected a shape that starts with \(4,\), the rows of logits, got shape \(3,\)"),
        ((np.float64(1.0), y), "logits: expected at least one dimension, got a scalar"),
    ):
        with pytest.raises(ValueError, match=f"^cross_entropy: {text}"):
            mine.cross_entropy(*args)
    flat = fl.custom(lambda x: x, pointwise=False, name="flat")
    with pytest.raises(
        ValueError, match=r"flat: value: expected the function to return shape \(4,\), one value per row, got shape \(4, 3\)"
    ):
        flat(x)
    deep = fl.custom(lambda x: x.sum(-1), name="deep")
    with pytest.raises(
        ValueError, match=r"deep: value: .* one value per element \(pointwise=False: one per row\), got shape \(4,\)"
    ):
        deep(x)


def test_calls_that_do_not_fit_the_signature() -> None:
    for args, kw, text in (
        ((1.0,), {}, r"huber\(\) missing a required argument: 'target'"),
        ((1.0, 2.0, 3.0), {}, r"huber\(\) too many positional arguments"),
        ((1.0, 2.0), {"detla": 1.0}, r"huber\(\) got an unexpected keyword argument 'detla'"),
    ):
        with pytest.raises(TypeError, match=text):
            mine.huber(*args, **kw)


def _star(*arrays: Any) -> Any:
    return arrays


def _weight(x: Any, sample_weight: Any = None) -> Any:
    return x


def _bare_keyword(x: Any, *, delta: float) -> Any:
    return x


MADE = [
    (lambda: fl.custom(3), TypeError, "custom: value: expected a function, got int"),
    (lambda: fl.custom(_star), TypeError, r"custom: value: expected named parameters, got \*arrays"),
    (
        lambda: fl.custom(_weight),
        TypeError,
        r"custom: value: expected .* \(weights, reductions and axes come .*\), got sample_weight",
    ),
    (lambda: fl.custom(_bare_keyword), TypeError, "custom: value: expected a default for every keyword, got delta without one"),
    (lambda: fl.custom(lambda: 1, name="none"), TypeError, "custom: value: expected a function of at least one array"),
    (lambda: fl.custom(lambda x: x), ValueError, "custom: name: expected an identifier, got '<lambda>'"),
    (lambda: fl.custom(lambda x: x, name="a b"), ValueError, "custom: name: expected an identifier, got 'a b'"),
    (lambda: fl.custom(lambda x: x, name="a", wrt="y"), ValueError, "custom: wrt: expected some of x, got 'y'"),
    (lambda: fl.custom(lambda x: x, name="a", wrt=()), ValueError, "custom: wrt: expected some of x"),
    (
        lambda: fl.custom(lambda x, t: x, lambda x: x, name="a"),
        TypeError,
        "custom: grad: expected a function of x, t, as value is",
    ),
    (lambda: fl.custom(lambda x, t, d=1: x, lambda x, t: x, name="a"), TypeError, "custom: grad: expected a function of x, t, d"),
    (lambda: fl.custom(lambda x: x, hess=2, name="a"), TypeError, "custom: hess: expected a function, got int"),
]


@pytest.mark.parametrize(("make", "kind", "text"), MADE, ids=[text[8:60] for *_, text in MADE])
def test_what_custom_takes(make: Callable[[], Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        make()


def test_every_form_makes_a_loss() -> None:
    @fl.custom
    def bare(x: Any) -> Any:
        return x

    @fl.custom(name="named", pointwise=False)
    def other(x: Any) -> Any:
        return x.sum(-1)

    direct = fl.custom(lambda x: x, lambda x: np.ones_like(x), name="direct")
    assert [loss.name for loss in (bare, other, direct)] == ["bare", "named", "direct"]
    assert bare([1.0, 2.0]) == direct([1.0, 2.0]) == 1.5
    assert other([[1.0, 2.0], [3.0, 5.0]], reduction="none").tolist() == [3.0, 8.0]
    assert direct.__doc__ == "The loss direct, made by fastloss.custom."


# -- custom: numeric derivatives ------------------------------------------------------------------------


def test_missing_derivatives_of_elements() -> None:
    x, t = draw(fl.binary_cross_entropy_with_logits)
    loss = fl.custom(lambda x, t: np.logaddexp(0, x) - t * x, name="logistic")
    with pytest.warns(NumericDerivativeWarning) as caught:
        grad, hess = loss.grad_and_hess(x, t, reduction="sum")
    exact_grad, exact_hess = fl.binary_cross_entropy_with_logits.grad_and_hess(x, t, reduction="sum")
    np.testing.assert_allclose(grad, exact_grad, rtol=0, atol=1e-9)
    np.testing.assert_allclose(hess, exact_hess, rtol=0, atol=1e-6)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    text = str(caught[0].message)
    assert text.startswith("logistic: grad and hess by central differences: the gradient takes 2 evaluations of value")
    assert "the Hessian takes 3 evaluations of value for the whole array and is good to about 1e-8" in text
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss.grad(x, t)  # said once


def test_missing_derivatives_of_rows() -> None:
    x, y = draw(fl.cross_entropy)
    calls = []

    def value(logits: Any, target: Any) -> Any:
        calls.append(logits.dtype)
        return fl.cross_entropy(logits, target, reduction="none")

    loss = fl.custom(value, pointwise=False, name="rows")
    with pytest.warns(NumericDerivativeWarning, match=r"14 evaluations of value for all rows at once \(7 entries per row\)"):
        grad = loss.grad(x.astype(np.float32), y, reduction="sum")
    assert calls == [np.float64] * 14
    assert grad.dtype == np.float32
    np.testing.assert_allclose(grad, fl.cross_entropy.grad(x, y, reduction="sum"), atol=1e-6)
    calls.clear()
    np.testing.assert_allclose(loss.hess(x, y), fl.cross_entropy.hess(x, y), atol=1e-6)
    assert len(calls) == 15


def test_a_missing_hessian_is_taken_from_the_gradient() -> None:
    x, y = draw(fl.cross_entropy)
    loss = fl.custom(
        lambda logits, target: fl.cross_entropy(logits, target, reduction="none"),
        lambda logits, target: fl.cross_entropy.grad(logits, target, reduction="sum"),
        pointwise=False, name="rows",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss.grad(x, y)
    with pytest.warns(
        NumericDerivativeWarning, match="rows: hess by central differences: the Hessian takes 14 evaluations of grad"
    ):
        hess = loss.hess(x, y, reduction="sum")
    np.testing.assert_allclose(hess, fl.cross_entropy.hess(x, y, reduction="sum"), atol=3e-10)


def test_numeric_derivatives_of_large_and_small_numbers() -> None:
    x = np.array([0.0, 1e-6, 1.0, -3.0, 250.0])
    loss = fl.custom(lambda x: x**3, name="cube")
    with pytest.warns(NumericDerivativeWarning):
        grad = loss.grad(x, reduction="sum")
    np.testing.assert_allclose(grad, 3 * x**2, rtol=1e-9, atol=1e-10)


def test_warning_is_a_user_warning_of_the_laboratory() -> None:
    assert issubclass(NumericDerivativeWarning, UserWarning)
    assert fl.lab.NumericDerivativeWarning is NumericDerivativeWarning


# -- custom: elsewhere ------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [mine.mse, mine.huber, mine.cross_entropy, mine.under_another_name], ids=lambda loss: loss.name)
def test_variables_of_modules_pickle(loss: CustomLoss) -> None:
    assert pickle.loads(pickle.dumps(loss)) is loss
    assert copy.copy(loss) is copy.deepcopy(loss) is loss


def test_local_losses_say_why_they_do_not_pickle() -> None:
    local = fl.custom(lambda x: x, name="local")
    with pytest.raises(
        pickle.PicklingError, match=r"local: a custom loss is pickled by name, .* not found as a variable of the module"
    ):
        pickle.dumps(local)
    assert copy.deepcopy(local) is local


def test_evaluation_takes_custom_losses() -> None:
    x, t = draw(fl.mse, size=500)
    weight = np.random.default_rng(1).uniform(size=500)
    ours = fl.evaluate([mine.huber, "mse"], prediction=x, target=t, delta=0.5, sample_weight=weight, worst=3, max_memory="2kB")
    theirs = fl.evaluate(["huber", "mse"], prediction=x, target=t, delta=0.5, sample_weight=weight, worst=3)
    assert ours["huber"].mean == pytest.approx(theirs["huber"].mean, rel=1e-13)
    assert ours["mse"].mean == theirs["mse"].mean
    assert [w.index for w in ours["huber"].worst] == [w.index for w in theirs["huber"].worst]


@pytest.mark.parametrize("shape", [(40, 6), (6,), (5, 8, 6)], ids=str)
def test_evaluation_takes_custom_rows(shape: tuple[int, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape), rng.integers(0, 6, shape[:-1])
    ours, theirs = (
        fl.evaluate(loss, logits=x, target=y, per_sample=tmp_path / f"{i}.npy", max_memory=500)
        for i, loss in enumerate((mine.cross_entropy, "cross_entropy"))
    )
    assert ours.rows == theirs.rows
    assert ours["cross_entropy"].mean == pytest.approx(theirs["cross_entropy"].mean, rel=1e-13)
    np.testing.assert_allclose(np.load(tmp_path / "0.npy"), np.load(tmp_path / "1.npy"), rtol=1e-13)


def test_a_namesake_does_not_stand_in_for_the_registrys() -> None:
    """perplexity is of the library's cross-entropy, whatever else is called so."""
    wrong = fl.custom(lambda logits, target: 0 * logits[..., 0], pointwise=False, name="cross_entropy")
    x, y = draw(fl.cross_entropy)
    got = fl.evaluate([wrong, "perplexity"], logits=x, target=y)
    assert got["cross_entropy"].mean == 0
    assert got["perplexity"].mean == pytest.approx(fl.perplexity(x, y))


def test_evaluation_in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    import multiprocessing

    monkeypatch.setenv("PYTHONPATH", str(Path(mine.__file__).parent), prepend=":")
    x, t = draw(fl.mse, size=200)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        got = fl.evaluate(mine.huber, prediction=x, target=t, executor=executor, threads=1)
    assert got["huber"].mean == pytest.approx(fl.huber(x, t), rel=1e-13)


def test_a_function_that_is_no_loss_is_told_how_to_become_one() -> None:
    with pytest.raises(ValueError, match=r"expected names and losses of fastloss, got <function plain.*fastloss.custom makes"):
        fl.evaluate(mine.plain, prediction=[1.0], target=[1.0])


# -- the command line ---------------------------------------------------------------------------------------

LOSSES_PY = """
import numpy as np
import fastloss as fl

def cubic(score, truth, *, scale=1.0, offset=None):
    "Cube of the distance."
    return scale * np.abs(score - truth) ** 3 + (0 if offset is None else offset)

@fl.custom(pointwise=False, name="rows", formula="sum of squares", citation="me, 2024")
def total(x):
    return (x ** 2).sum(-1)

class Kept:
    inside = fl.custom(cubic, name="inside")

number = 3

def clash(prediction, worst):
    return prediction
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "lab_losses.py").write_text(LOSSES_PY)
    (tmp_path / "lab_broken.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "lab_exits.py").write_text("raise SystemExit(0)\n")
    rng = np.random.default_rng(0)
    for name in ("score", "truth", "prediction", "target"):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=30))
    np.save(tmp_path / "x.npy", rng.normal(size=(10, 3)))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for module in ("lab_losses", "lab_broken", "lab_exits"):
        sys.modules.pop(module, None)
    while str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


def run(*arguments: object) -> Any:
    pytest.importorskip("click")
    from click.testing import CliRunner

    from fastloss.cli import main

    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_cli_evaluates_a_function_beside_a_loss(folder: Path) -> None:
    command = ["evaluate", "lab_losses:cubic", "--score", "score.npy", "mse", "--prediction", "prediction.npy"]
    done = run(*command, "--truth=truth.npy", "--target", "target.npy", "--scale", 2, "--format", "json")
    assert done.exit_code == 0, done.output
    losses = json.loads(done.stdout)["losses"]
    arrays = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    assert losses["cubic"]["mean"] == pytest.approx(2 * np.mean(np.abs(arrays["score"] - arrays["truth"]) ** 3))
    assert losses["mse"]["mean"] == pytest.approx(fl.mse(arrays["prediction"], arrays["target"]))


def test_cli_evaluates_rows_and_attributes_of_classes(folder: Path) -> None:
    done = run("evaluate", "lab_losses:rows", "--x", "x.npy")
    assert done.exit_code == 2
    assert "module lab_losses has no 'rows'" in done.output
    done = run("evaluate", "lab_losses:total", "--x", "x.npy", "--format", "json")
    assert json.loads(done.stdout)["losses"]["rows"]["mean"] == pytest.approx((np.load("x.npy") ** 2).sum(-1).mean())
    done = run("evaluate", "lab_losses:Kept.inside", "--score", "score.npy", "--truth", "truth.npy", "--offset", "1.5")
    assert done.exit_code == 0, done.output
    assert "inside" in done.stdout


def test_cli_is_the_same_in_a_process_of_its_own(folder: Path) -> None:
    """With the console script, the working directory is not on the path by itself."""
    code = "import sys; sys.path = [p for p in sys.path if p]; from fastloss.cli import main; main(prog_name='fastloss')"
    words = ["evaluate", "lab_losses:cubic", "--score", "score.npy", "--truth", "truth.npy"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "cubic" in done.stdout


def test_cli_shows(folder: Path) -> None:
    done = run("show", "lab_losses:cubic")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("cubic(score, truth, *, scale=1.0, offset=None, sample_weight=None, reduction='mean')")
    assert "Cube of the distance." in done.stdout
    assert "order 2, with respect to score (grad and hess by central differences)" in " ".join(done.stdout.split())
    assert "reference" not in done.stdout
    done = run("show", "lab_losses:total")
    assert "sum of squares" in done.stdout
    assert "me, 2024" in done.stdout
    assert "--score FILE" in run("evaluate", "lab_losses:cubic", "--help").stdout


USAGE = [
    ("lab_nowhere:f", "lab_nowhere:f: cannot import lab_nowhere: ModuleNotFoundError: No module named 'lab_nowhere'"),
    ("lab_broken:f", "cannot import lab_broken: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
    ("lab_exits:f", "cannot import lab_exits: SystemExit: 0"),
    ("lab_losses:nothing", "lab_losses:nothing: module lab_losses has no 'nothing'"),
    ("lab_losses:", "module lab_losses has no ''"),
    (":cubic", "cannot import "),
    ("lab_losses:number", "lab_losses:number: expected a loss or a function, got int"),
    ("lab_losses:np.add", "lab_losses:np.add: custom: "),
]


@pytest.mark.parametrize(("name", "text"), USAGE, ids=[name for name, _ in USAGE])
@pytest.mark.parametrize("command", ["evaluate", "show"])
def test_cli_usage_errors(folder: Path, command: str, name: str, text: str) -> None:
    done = run(command, name)
    assert done.exit_code == 2, done.output
    assert text in " ".join(done.stderr.split())
    assert not done.stdout


def test_cli_bad_data_and_bad_options(folder: Path) -> None:
    done = run("evaluate", "lab_losses:cubic", "--score", "score.npy")
    assert (done.exit_code, "expected --truth FILE, got none" in done.stderr) == (2, True)
    done = run("evaluate", "lab_losses:clash", "--prediction", "prediction.npy")
    assert (done.exit_code, "lab_losses:clash: worst: this name belongs to an option" in done.stderr) == (2, True)
    done = run("evaluate", "lab_losses:cubic", "--score", "score.npy", "--truth", "x.npy")
    assert done.exit_code == 1
    done = run("evaluate", "lab_losses:cubic", "--score", "score.npy", "--truth", "truth.npy", "--delta", 1)
    assert (done.exit_code, "--delta belongs to none of lab_losses:cubic" in done.stderr) == (2, True)


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
    assert fl.gradcheck(_product(), p, q)
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


def test_the_laboratory_loads_on_first_use() -> None:
    code = "import sys, fastloss as fl; before = 'fastloss.lab' in sys.modules; fl.gradcheck"
    code += "; print(before, 'fastloss.lab' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
    assert {"custom", "gradcheck"} <= set(dir(fl))

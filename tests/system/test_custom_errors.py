"""Promise: what a custom loss returns, takes and is made of is checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import custom_losses as mine
import numpy as np
import pytest

import fastloss as fl

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

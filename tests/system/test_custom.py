"""Promise: custom makes a full member of the house of any function."""

from __future__ import annotations

import copy
import inspect
import pickle
import pydoc
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import custom_losses as mine
import numpy as np
import pytest
from cases import every_dtype
from custom_losses import draw, times
from matrix import every

import fastloss as fl
from fastloss.lab import CustomLoss, NumericDerivativeWarning

PAIRS = [(mine.mse, fl.mse), (mine.huber, fl.huber), (mine.cross_entropy, fl.cross_entropy)]
every_pair = pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=[theirs.name for _, theirs in PAIRS])
every_reduction = every("reduction", ["none", "sum", "mean"])
RTOL = {"float32": 3e-6, "float64": 1e-12}


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


def test_several_arguments() -> None:
    p, q = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0], np.float32)
    w = np.array([1.0, 0.0, 3.0])
    product = times()
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


def test_the_laboratory_loads_on_first_use() -> None:
    code = "import sys, fastloss as fl; before = 'fastloss.lab' in sys.modules; fl.gradcheck"
    code += "; print(before, 'fastloss.lab' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
    assert {"custom", "gradcheck"} <= set(dir(fl))

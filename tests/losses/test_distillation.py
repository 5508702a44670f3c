"""kl_div_with_logits: cross-entropy less the target's entropy, at a temperature, in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracle
import pytest
from cases import every_dtype, need
from conftest import at_each_level
from matrix import every

import fastloss as fl

TEMPERATURES = (1.0, 0.3, 2.5)
ULPS = {"float32": 4, "float64": 8}
GRAD = {"float32": 1e-6, "float64": 1e-13}


def draw(shape: tuple[int, ...], dtype: str = "float64", offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(shape)
    x = rng.normal(0, 4, shape) + offset
    t = rng.dirichlet(np.ones(shape[-1]), shape[:-1])
    return x.astype(dtype), t.astype(dtype)


# -- Relations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [1, 7, 60, 1003, 5000])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_it_is_kl_div_of_log_softmax(classes: int, temperature: float) -> None:
    x, t = draw((9, classes))
    two_steps = fl.kl_div(fl.log_softmax(x / temperature), t, reduction="none")
    got = fl.kl_div_with_logits(x, t, temperature=temperature, reduction="none")
    np.testing.assert_allclose(got, two_steps, rtol=1e-12, atol=1e-14)


def test_cross_entropy_is_entropy_plus_divergence() -> None:
    x, t = draw((65, 21))
    entropy = -(t * np.log(t)).sum(axis=1)
    cross = fl.cross_entropy(x, t, reduction="none")
    np.testing.assert_allclose(cross, entropy + fl.kl_div_with_logits(x, t, reduction="none"), rtol=1e-13)
    np.testing.assert_allclose(fl.kl_div_with_logits.grad(x, t), fl.cross_entropy.grad(x, t), rtol=1e-10, atol=1e-16)


def test_a_student_that_agrees_has_nothing_to_learn() -> None:
    x, _ = draw((65, 21))
    for temperature in TEMPERATURES:
        t = fl.softmax(x / temperature)
        value, grad = fl.kl_div_with_logits.value_and_grad(x, t, temperature=temperature)
        assert abs(value) < 1e-15
        assert np.abs(grad).max() < 1e-16


def test_an_offset_of_the_logits_changes_nothing() -> None:
    x, t = draw((9, 7), "float32")
    x = np.round(8 * x) / 8  # so that the sum is exact
    for temperature in TEMPERATURES:
        for masked in (False, True):
            x[:, 0] = -np.inf if masked else 0.0
            t[:, 0] = 0.0
            near = fl.kl_div_with_logits(x, t, temperature=temperature, reduction="none")
            far = fl.kl_div_with_logits(x + np.float32(65536), t, temperature=temperature, reduction="none")
            np.testing.assert_allclose(far, near, rtol=1e-6)


# -- Every digit -------------------------------------------------------------------------------------


@every_dtype
@every("log_target", [False, True])
@every("temperature", TEMPERATURES)
def test_within_the_rounding_of_the_entropies(temperature: float, log_target: bool, dtype: str) -> None:
    for classes in (1, 2, 7, 33, 100):
        for offset in (0.0, 1e4):
            x, t = draw((5, classes), dtype, offset)
            if classes > 2:
                t[0, 0], x[0, 0] = 0, -np.inf
            with np.errstate(divide="ignore"):
                given = np.log(t) if log_target else t
            truth = oracle.Distillation(x, given, oracle.MP, temperature, log_target)
            scale = np.abs(truth.value.hi) + np.abs(truth.negentropy.astype(np.float64))
            kw: dict[str, Any] = {"temperature": temperature, "log_target": log_target}
            for level in at_each_level():
                for axis in (-1, 0):
                    a, b = (x, given) if axis else (np.ascontiguousarray(x.T), np.ascontiguousarray(given.T))
                    got = fl.kl_div_with_logits(a, b, axis=axis, reduction="none", **kw)
                    unit = oracle.spacing(np.maximum(scale, np.finfo(dtype).tiny), dtype)
                    error = np.abs(truth.value.minus(got)) / unit
                    assert error.max() <= ULPS[dtype], (level, axis, classes, offset, error)
                    grad = fl.kl_div_with_logits.grad(a, b, axis=axis, reduction="sum", **kw)
                    grad = grad if axis else grad.T
                    size = truth.terms / temperature
                    oracle.assert_derivative(grad, truth.grad, dtype, 2 * GRAD[dtype], size, f"{level}, {classes}: ")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int64"])
def test_other_types(dtype: str) -> None:
    import ml_dtypes

    kind = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    x, t = draw((9, 7))
    low = x.astype(kind)
    for temperature in (1.0, 2.5):
        got, grad = fl.kl_div_with_logits.value_and_grad(low, t.astype(np.float32), temperature=temperature)
        expected, slope = fl.kl_div_with_logits.value_and_grad(low.astype(np.float64), t, temperature=temperature)
        assert got == pytest.approx(expected, rel=1e-6)
        assert grad.dtype == (np.float64 if dtype == "int64" else kind)
        np.testing.assert_allclose(grad.astype(np.float64), slope, atol=2e-3)


# -- What is refused ---------------------------------------------------------------------------------


def test_bad_input_is_refused_by_name() -> None:
    x, t = draw((4, 3))
    for temperature in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="kl_div_with_logits: temperature: expected a number > 0"):
            fl.kl_div_with_logits(x, t, temperature=temperature)
    bad = t.copy()
    bad[2, 1] = -0.5
    for call in (fl.kl_div_with_logits, fl.kl_div_with_logits.grad):
        with pytest.raises(ValueError, match=r"target: expected probabilities in \[0, 1\], got -0.5 at index \(2, 1\)"):
            call(x, bad)
    with pytest.raises(ValueError, match="kl_div_with_logits: target: expected the shape of logits"):
        fl.kl_div_with_logits(x, t[:3])
    with pytest.raises(TypeError, match="kl_div_with_logits: log_target"):
        fl.kl_div_with_logits(x, t, log_target=1)
    out = np.full_like(x, 7.0)
    with pytest.raises(ValueError, match="target"):
        fl.kl_div_with_logits.grad(x, bad, out=out)
    assert (out == 7.0).all()


# -- Peers -------------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("log_target", [False, True])
def test_torch_batchmean_of_log_softmax(temperature: float, log_target: bool) -> None:
    torch = need("torch")
    x, t = draw((65, 21))
    given = np.log(t) if log_target else t
    z = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.kl_div(
        torch.log_softmax(z / temperature, 1), torch.tensor(given), reduction="batchmean", log_target=log_target
    )
    (slope,) = torch.autograd.grad(expected, z)
    value, grad = fl.kl_div_with_logits.value_and_grad(x, given, temperature=temperature, log_target=log_target)
    assert value == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(grad, slope.numpy(), rtol=1e-9, atol=1e-15)

"""Parity with coral-pytorch: the losses of CORAL and CORN, values and gradients, with levels where it takes binary labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import every_dtype, need

import fastloss as fl

torch = need("torch")
coral = need("coral_pytorch.losses")
dataset = need("coral_pytorch.dataset")
pytestmark = pytest.mark.peers

RTOL = {"float32": 3e-6, "float64": 1e-12}
RNG = np.random.default_rng(0)


def sample(dtype: str, levels: int = 6, rows: int = 205) -> tuple[np.ndarray, np.ndarray]:
    return RNG.normal(0, 3, (rows, levels - 1)).astype(dtype), RNG.integers(0, levels, rows)


def compare(value: Any, grad: np.ndarray, theirs: Any, given: Any) -> None:
    theirs.sum().backward()
    rtol = RTOL[grad.dtype.name]
    np.testing.assert_allclose(value, theirs.detach().numpy(), rtol=rtol, atol=rtol)
    expected = given.grad.numpy()
    np.testing.assert_allclose(grad, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@every_dtype
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_coral(reduction: str, weighted: bool, dtype: str) -> None:
    """Its binary labels are those of the levels; its importance weights are our level_weight."""
    x, y = sample(dtype)
    w = RNG.uniform(0.1, 2, 5).astype(dtype) if weighted else None
    binary = dataset.levels_from_labelbatch(torch.from_numpy(y), num_classes=6)
    np.testing.assert_array_equal(binary.numpy(), y[:, None] > np.arange(5))
    given = torch.from_numpy(x).clone().requires_grad_()
    theirs = coral.coral_loss(
        given,
        binary.to(given.dtype),
        importance_weights=None if w is None else torch.from_numpy(w),
        reduction=None if reduction == "none" else reduction,
    )
    compare(*fl.coral.value_and_grad(x, y, level_weight=w, reduction=reduction), theirs, given)


@every_dtype
@pytest.mark.parametrize("levels", [2, 3, 6])
def test_corn_divides_by_the_same_number(levels: int, dtype: str) -> None:
    x, y = sample(dtype, levels)
    given = torch.from_numpy(x).clone().requires_grad_()
    compare(*fl.corn.value_and_grad(x, y), coral.corn_loss(given, torch.from_numpy(y), levels), given)


def test_difference_a_level_beyond_the_last_is_an_error() -> None:
    """coral-pytorch takes it for the highest."""
    x, y = sample("float64")
    y[3] = 6
    assert torch.isfinite(coral.corn_loss(torch.from_numpy(x), torch.from_numpy(y), 6))
    with pytest.raises(IndexError, match=r"corn: target: expected levels in \[0, 6\), got 6 at index \(3,\)"):
        fl.corn(x, y)

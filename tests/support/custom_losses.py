"""The registry's losses once more, in NumPy, as custom losses: what tests/system/test_custom.py compares and pickles."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastloss as fl
from fastloss.lab import CustomLoss


@fl.custom(grad=lambda p, t: 2 * (p - t), hess=lambda p, t: np.full_like(p, 2), name="mse")
def mse(prediction: Any, target: Any) -> Any:
    """Squared error."""
    return (prediction - target) ** 2


def _huber_grad(prediction: Any, target: Any, *, delta: float = 1.0) -> Any:
    return np.clip(prediction - target, -delta, delta)


def _huber_hess(prediction: Any, target: Any, delta: float = 1.0) -> Any:
    return (np.abs(prediction - target) <= delta).astype(prediction.dtype)


@fl.custom(grad=_huber_grad, hess=_huber_hess)
def huber(prediction: Any, target: Any, delta: float = 1.0) -> Any:
    """Huber's loss: quadratic near 0, linear beyond delta."""
    e = np.abs(prediction - target)
    return np.where(e <= delta, e * e / 2, delta * (e - delta / 2))


def _softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _one_hot(x: Any, target: Any) -> Any:
    return (np.arange(x.shape[-1]) == target[..., None]).astype(x.dtype)


def _cross_entropy_hess(logits: Any, target: Any) -> Any:
    p = _softmax(logits)
    return p * (1 - p)


@fl.custom(
    grad=lambda logits, target: _softmax(logits) - _one_hot(logits, target),
    hess=_cross_entropy_hess,
    pointwise=False,
    name="cross_entropy",
    sampler=lambda rng, dtype, size: (rng.normal(size=(size, 5)).astype(dtype), rng.integers(0, 5, size)),
)
def cross_entropy(logits: Any, target: Any) -> Any:
    """Softmax cross-entropy of class indices."""
    top = logits.max(axis=-1)
    picked = np.take_along_axis(logits, target[..., None].astype(np.int64), -1)[..., 0]
    return np.log(np.exp(logits - top[..., None]).sum(axis=-1)) + top - picked


def plain(prediction: Any, target: Any, *, power: float = 2.0) -> Any:
    """A function that is not a loss yet."""
    return np.abs(prediction - target) ** power


under_another_name = fl.custom(plain, name="renamed")
not_callable = 3.0


def draw(loss: fl.Loss, dtype: str = "float64", size: int = 23, seed: int = 0) -> tuple[Any, ...]:
    return loss.sample(np.random.default_rng(seed), dtype, size)[0]


def times() -> CustomLoss:
    return fl.custom(lambda p, q: p * q, lambda p, q: (q, p), lambda p, q: (0 * p, 0 * q), name="product", wrt=("p", "q"))

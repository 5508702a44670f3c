"""Parity of the losses of vectors, ranks and distances with PyTorch and pytorch-metric-learning; where those mean something else,
that is shown."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from cases import as_tuple, every_dtype, need

import fastloss as fl

torch = need("torch")
F = torch.nn.functional
pytestmark = pytest.mark.peers

RTOL = {"float32": 1e-5, "float64": 1e-11}


def check(loss: fl.Loss, theirs: Any, args: tuple[np.ndarray, ...], options: dict[str, Any], peer: dict[str, Any]) -> None:
    """Every reduction's value and all gradients."""
    dtype = args[0].dtype.name
    for reduction in ("none", "sum", "mean"):
        tensors = [torch.from_numpy(a.copy()) for a in args]
        given = [t.requires_grad_() for t, name in zip(tensors, loss.arrays, strict=True) if name in loss.wrt]
        expected = theirs(*tensors, reduction=reduction, **peer)
        expected.sum().backward()
        value, grads = loss.value_and_grad(*args, reduction=reduction, **options)
        np.testing.assert_allclose(value, expected.detach().numpy(), rtol=RTOL[dtype], atol=RTOL[dtype])
        for g, t in zip(as_tuple(grads), given, strict=True):
            np.testing.assert_allclose(g, t.grad.numpy(), rtol=RTOL[dtype], atol=RTOL[dtype] * float(t.grad.abs().max()))


def vectors(dtype: str, count: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    return tuple(np.random.default_rng(seed).normal(size=(count, 57, 19)).astype(dtype))


@pytest.mark.parametrize("eps", [1e-6, 1e-2])
@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.5, math.inf])
@every_dtype
def test_triplet_margin_loss(p: float, swap: bool, eps: float, dtype: str) -> None:
    options = {"p": p, "swap": swap, "eps": eps, "margin": 0.8}
    check(fl.triplet, F.triplet_margin_loss, vectors(dtype, 3), options, options)


def test_a_triplet_without_a_margin() -> None:
    """PyTorch takes no margin of 0; here it is the plain difference."""
    a, p, n = vectors("float64", 3)
    with pytest.raises(ValueError, match="margin"):
        F.triplet_margin_loss(*map(torch.from_numpy, (a, p, n)), margin=0.0)
    d = [np.linalg.norm(a - x + 1e-6, axis=-1) for x in (p, n)]
    np.testing.assert_allclose(
        fl.triplet(a, p, n, margin=0.0, reduction="none"), np.maximum(0, d[0] - d[1]), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("margin", [0.0, 0.1, -0.2])
@every_dtype
def test_cosine_embedding_loss(margin: float, dtype: str) -> None:
    x1, x2 = vectors(dtype, 2)
    target = np.random.default_rng(1).choice([-1, 1], len(x1))
    check(fl.cosine_embedding, F.cosine_embedding_loss, (x1, x2, target), {"margin": margin}, {"margin": margin})


def test_short_vectors_are_as_parallel_as_long_ones() -> None:
    """PyTorch adds 1e-12 to the squared lengths: vectors of 1e-7 lose most of their cosine. Here only directions count."""
    x, one = np.full((1, 4), 1e-7), np.ones(1)
    theirs = F.cosine_embedding_loss(torch.from_numpy(x), torch.from_numpy(x), torch.from_numpy(one))
    assert float(theirs) > 0.5
    assert fl.cosine_embedding(x, x, one) == 0.0
    zero = np.zeros((1, 4))
    theirs = F.cosine_embedding_loss(torch.from_numpy(zero), torch.from_numpy(x), torch.from_numpy(one))
    assert float(theirs) == fl.cosine_embedding(zero, x, one) == 1.0


def test_nearly_parallel_vectors_keep_their_digits() -> None:
    x = np.random.default_rng(2).normal(size=(1, 8)).astype(np.float32)
    y = x.copy()
    y[0, 0] = np.nextafter(y[0, 0], np.float32(9))
    wide = x.astype(float), y.astype(float)
    lengths = np.linalg.norm(wide[0]) * np.linalg.norm(wide[1])
    across = sum((wide[0][0, i] * wide[1][0, j] - wide[0][0, j] * wide[1][0, i]) ** 2 for i in range(8) for j in range(i))
    exact = across / lengths**2 / 2
    assert 0 < exact < 1e-13
    assert fl.cosine_embedding(x, y, [1]) == pytest.approx(exact, rel=1e-6)
    theirs = float(F.cosine_embedding_loss(torch.from_numpy(x), torch.from_numpy(y), torch.ones(1)))
    assert abs(theirs - exact) >= exact  # what float32 leaves of 1 - cos


@pytest.mark.parametrize("margin", [0.0, 0.3])
@every_dtype
def test_margin_ranking_loss(margin: float, dtype: str) -> None:
    x1, x2 = (v.ravel() for v in vectors(dtype, 2))
    target = np.random.default_rng(3).choice([-1, 1], x1.shape).astype(dtype)
    check(fl.margin_ranking, F.margin_ranking_loss, (x1, x2, target), {"margin": margin}, {"margin": margin})


@pytest.mark.parametrize("margin", [1.0, 0.3])
@every_dtype
def test_hinge_embedding_loss(margin: float, dtype: str) -> None:
    distance = np.abs(vectors(dtype, 1)[0])
    target = np.random.default_rng(4).choice([-1, 1], distance.shape).astype(dtype)
    check(fl.hinge_embedding, F.hinge_embedding_loss, (distance, target), {"margin": margin}, {"margin": margin})


def test_contrastive_of_pytorch_metric_learning() -> None:
    """Its loss of given pairs is power 1 without the half, similar pairs and others averaged apart, over those that cost
    something."""
    losses = need("pytorch_metric_learning.losses")
    distances = need("pytorch_metric_learning.distances")
    rng = np.random.default_rng(5)
    x = rng.normal(scale=0.4, size=(20, 6))
    label = rng.integers(0, 3, 20)
    first, second = np.triu_indices(20, 1)
    similar = label[first] == label[second]
    given = torch.from_numpy(x.copy()).requires_grad_()
    distance = distances.LpDistance(normalize_embeddings=False)
    theirs = losses.ContrastiveLoss(pos_margin=0, neg_margin=1, distance=distance)
    pairs = [torch.from_numpy(a) for a in (first[similar], second[similar], first[~similar], second[~similar])]
    expected = theirs(given, indices_tuple=tuple(pairs))
    expected.backward()
    values = 2 * fl.contrastive(x[first], x[second], similar, power=1, reduction="none")
    counts = [np.count_nonzero(values[which]) for which in (similar, ~similar)]
    assert float(expected) == pytest.approx(values[similar].sum() / counts[0] + values[~similar].sum() / counts[1], rel=1e-9)
    weight = np.where(similar, 2 / counts[0], 2 / counts[1])
    grads = fl.contrastive.grad(x[first], x[second], similar, power=1, sample_weight=weight, reduction="sum")
    both = np.zeros_like(x)
    for index, g in zip((first, second), grads, strict=True):
        np.add.at(both, index, g)
    np.testing.assert_allclose(both, given.grad.numpy(), rtol=1e-6, atol=1e-9)

"""Parity with pytorch-metric-learning's miners and losses, and with dense PyTorch; where they differ, that they do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import need

import fastloss as fl

torch = need("torch")
pml = need("pytorch_metric_learning")
distances, losses, miners = (need(f"pytorch_metric_learning.{part}") for part in ("distances", "losses", "miners"))
functional = torch.nn.functional

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

every_power = pytest.mark.parametrize("squared", [False, True], ids=["distance", "squared"])
every_seed = pytest.mark.parametrize("seed", range(5))
MINERS = {"hard": "BatchHardMiner", "all": None, "all_semihard": "semihard"}


def batch(seed: int, size: int = 60, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes of a few rows each."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, size // 5, size)
    return (rng.normal(size=(size // 5, 16))[labels] + rng.normal(size=(size, 16))).astype(dtype), labels


def leaf(x: np.ndarray) -> Any:
    return torch.from_numpy(x.copy()).requires_grad_()


def slope(value: Any, *leaves: Any) -> list[np.ndarray]:
    return [g.numpy() for g in torch.autograd.grad(value, leaves)]


def euclidean(squared: bool) -> Any:
    return distances.LpDistance(normalize_embeddings=False, p=2, power=2 if squared else 1)


def mined_by(kind: str | None, margin: float, squared: bool) -> Any:
    if kind is None:
        return None  # every triplet
    if kind in ("semihard", "hard", "all"):
        return miners.TripletMarginMiner(margin=margin, type_of_triplets=kind, distance=euclidean(squared))
    return getattr(miners, kind)(distance=euclidean(squared))


def theirs(x: np.ndarray, labels: np.ndarray, miner: Any, margin: float, squared: bool, reducer: Any = None) -> tuple[float, Any]:
    """The value and gradient of TripletMarginLoss on what a miner finds."""
    rows, y = leaf(x), torch.from_numpy(labels)
    loss = losses.TripletMarginLoss(margin=margin, distance=euclidean(squared), reducer=reducer)
    value = loss(rows, y, None if miner is None else miner(rows, y))
    return float(value.detach()), slope(value, rows)[0]


# -- Triplets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("margin", [0.2, 1.0])
@every_seed
@every_power
@pytest.mark.parametrize("mining", MINERS)
def test_mined_triplets(mining: str, squared: bool, seed: int, margin: float) -> None:
    x, labels = batch(seed)
    value, grad = fl.batch_triplet.value_and_grad(x, labels, mining=mining, margin=margin, squared=squared)
    expected, slopes = theirs(x, labels, mined_by(MINERS[mining], margin, squared), margin, squared)
    assert value == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(grad, slopes, rtol=0, atol=1e-9 * np.abs(slopes).max())


@every_power
@pytest.mark.parametrize("mining", MINERS)
def test_mean_over_all_that_were_mined(mining: str, squared: bool) -> None:
    x, labels = batch(0)
    value = fl.batch_triplet(x, labels, mining=mining, squared=squared, average="valid")
    mean = need("pytorch_metric_learning.reducers").MeanReducer()
    expected, _ = theirs(x, labels, mined_by(MINERS[mining], 0.2, squared), 0.2, squared, mean)
    assert value == pytest.approx(expected, rel=1e-9)


@every_power
def test_every_triplet_is_one_of_theirs(squared: bool) -> None:
    """What they call hard, a negative nearer than the positive, and what they call semihard."""
    x, labels = batch(1)
    rows, y = torch.from_numpy(x), torch.from_numpy(labels)
    counts = [len(mined_by(kind, 0.2, squared)(rows, y)[0]) for kind in ("all", "hard", "semihard")]
    assert counts[0] == counts[1] + counts[2]
    assert fl.batch_triplet.terms(x, labels, mining="all", squared=squared)[1].sum() == counts[0]
    assert fl.batch_triplet.terms(x, labels, mining="all_semihard", squared=squared)[1].sum() == counts[2]


@every_power
def test_semihard_has_a_triplet_for_each_pair_theirs_for_each_anchor(squared: bool) -> None:
    """The same where a label is given to two rows; with more, BatchEasyHardMiner takes one positive, here all are taken."""
    x, labels = batch(2)
    for y, same in ((np.arange(60) // 2, True), (labels, False)):
        miner = miners.BatchEasyHardMiner(pos_strategy="hard", neg_strategy="semihard", distance=euclidean(squared))
        expected, slopes = theirs(x, y, miner, 0.2, squared)
        value, grad = fl.batch_triplet.value_and_grad(x, y, mining="semihard", squared=squared)
        assert (value == pytest.approx(expected, rel=1e-9)) is same
        assert np.allclose(grad, slopes, rtol=0, atol=1e-9) is same


def test_hard_is_not_their_margin_miners_hard() -> None:
    """That of TripletMarginMiner is every triplet whose negative is nearer; here it is Hermans', one for each anchor."""
    x, labels = batch(3)
    expected, _ = theirs(x, labels, mined_by("hard", 0.2, False), 0.2, False)
    assert fl.batch_triplet(x, labels) != pytest.approx(expected, rel=0.05)


def test_distances_are_of_the_rows_as_they_are() -> None:
    """Their default is the distance of normalised rows."""
    x, labels = batch(4)
    y = torch.from_numpy(labels)
    default = losses.TripletMarginLoss(margin=0.2)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    value = fl.batch_triplet(unit, labels, mining="all")
    assert value == pytest.approx(float(default(torch.from_numpy(x), y)), rel=1e-9)
    assert value != pytest.approx(fl.batch_triplet(x, labels, mining="all"), rel=0.05)


def test_a_batch_without_triplets_is_zero_there_too() -> None:
    x = batch(5)[0]
    for labels in (np.zeros(60, int), np.arange(60)):
        for mining in MINERS:
            assert fl.batch_triplet(x, labels, mining=mining) == 0.0
            assert theirs(x, labels, mined_by(MINERS[mining], 0.2, False), 0.2, False)[0] == 0.0


@every_seed
def test_float32(seed: int) -> None:
    x, labels = batch(seed, dtype="float32")
    for mining, kind in MINERS.items():
        value, grad = fl.batch_triplet.value_and_grad(x, labels, mining=mining)
        expected, slopes = theirs(x, labels, mined_by(kind, 0.2, False), 0.2, False)
        assert value == pytest.approx(expected, rel=1e-4)
        np.testing.assert_allclose(grad, slopes, rtol=0, atol=1e-4 * np.abs(slopes).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distances(dtype: str) -> None:
    x, y = batch(6, dtype=dtype)[0], batch(7, dtype=dtype)[0][:33]
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    np.testing.assert_allclose(fl.pairwise_distances(x, y), torch.cdist(a, b).numpy(), rtol=tolerance)
    cosine = 1 - functional.cosine_similarity(a[:, None], b[None], dim=2).numpy()
    np.testing.assert_allclose(fl.pairwise_distances(x, y, metric="cosine"), cosine, atol=tolerance)


def test_cdist_loses_rows_that_nearly_coincide() -> None:
    """Its products of matrices cancel; ours are recomputed there."""
    x = np.random.default_rng(0).normal(size=(40, 64)).astype(np.float32)
    y = x + np.float32(1e-4) * np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    exact = np.sqrt(((x.astype(float) - y) ** 2).sum(axis=1))
    ours = fl.pairwise_distances(x, y).diagonal()
    peers = torch.cdist(torch.from_numpy(x), torch.from_numpy(y)).diagonal().numpy()
    assert np.abs(ours / exact - 1).max() < 1e-5
    assert np.abs(peers / exact - 1).max() > 1e-2


# -- Contrast ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@every_seed
def test_nt_xent(seed: int, temperature: float) -> None:
    z1, z2 = batch(seed)[0], batch(seed + 100)[0]
    value, grads = fl.nt_xent.value_and_grad(z1, z2, temperature=temperature)
    a, b = leaf(z1), leaf(z2)
    labels = torch.arange(60).repeat(2)
    expected = losses.NTXentLoss(temperature=temperature)(torch.cat([a, b]), labels)
    assert value == pytest.approx(float(expected.detach()), rel=1e-9)
    for g, e in zip(grads, slope(expected, a, b), strict=True):
        np.testing.assert_allclose(g, e, rtol=0, atol=1e-9 * np.abs(e).max())


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@every_seed
def test_supcon(seed: int, temperature: float) -> None:
    """Anchors without a positive are left out of the mean by both."""
    x, labels = batch(seed)
    labels[:2] = 100, 101
    value, grad = fl.supcon.value_and_grad(x, labels, temperature=temperature)
    rows = leaf(x)
    expected = losses.SupConLoss(temperature=temperature)(rows, torch.from_numpy(labels))
    assert value == pytest.approx(float(expected.detach()), rel=1e-9)
    (slopes,) = slope(expected, rows)
    np.testing.assert_allclose(grad, slopes, rtol=0, atol=1e-9 * np.abs(slopes).max())


def test_supcon_is_not_their_nt_xent_of_labels() -> None:
    """Theirs leaves the anchor's other positives out of the denominator; L_out does not."""
    x, labels = batch(3)
    expected = losses.NTXentLoss(temperature=0.07)(torch.from_numpy(x), torch.from_numpy(labels))
    assert fl.supcon(x, labels) != pytest.approx(float(expected), rel=0.05)


def dense_nt_xent(z1: Any, z2: Any, temperature: float) -> Any:
    z = functional.normalize(torch.cat([z1, z2]))
    scores = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    n = len(z1)
    return functional.cross_entropy(scores, torch.arange(2 * n).roll(n))


def clip(q: Any, k: Any, temperature: float) -> Any:
    scores = functional.normalize(q) @ functional.normalize(k).T / temperature
    own = torch.arange(len(q))
    return (functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own)) / 2


def moco(q: Any, k: Any, queue: Any, temperature: float) -> Any:
    q, k, queue = (functional.normalize(a) for a in (q, k, queue))
    scores = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], dim=1) / temperature
    return functional.cross_entropy(scores, torch.zeros(len(q), dtype=torch.long))


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@every_seed
@pytest.mark.parametrize("kind", ["nt_xent", "clip", "moco"])
def test_dense_pytorch(kind: str, seed: int, temperature: float) -> None:
    first, second = batch(seed)[0], batch(seed + 100)[0]
    queue = batch(seed + 200)[0]
    a, b = leaf(first), leaf(second)
    if kind == "nt_xent":
        got, expected = fl.nt_xent.value_and_grad(first, second, temperature=temperature), dense_nt_xent(a, b, temperature)
    elif kind == "clip":
        got = fl.info_nce.value_and_grad(first, second, temperature=temperature, symmetric=True)
        expected = clip(a, b, temperature)
    else:
        got = fl.info_nce.value_and_grad(first, second, temperature=temperature, negatives=queue)
        expected = moco(a, b, torch.from_numpy(queue), temperature)
    assert got[0] == pytest.approx(float(expected.detach()), rel=1e-10)
    for g, e in zip(got[1], slope(expected, a, b), strict=True):
        np.testing.assert_allclose(g, e, rtol=0, atol=1e-10 * np.abs(e).max())


def test_difference_supcon_of_one_class() -> None:
    """Without negatives it is 0 there; the formula's denominator still holds the other positives."""
    x, _ = batch(0, 12)
    y = np.zeros(12, int)
    assert losses.SupConLoss(temperature=0.5)(torch.from_numpy(x), torch.from_numpy(y)).item() == 0
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    s = np.where(np.eye(12, dtype=bool), -np.inf, unit @ unit.T / 0.5)
    log_p = s - np.logaddexp.reduce(s, axis=1)[:, None]
    expected = -np.where(np.eye(12, dtype=bool), 0, log_p).sum(axis=1) / 11
    np.testing.assert_allclose(fl.supcon(x, y, temperature=0.5, reduction="none"), expected, rtol=1e-10)


@pytest.mark.parametrize("mining", ["all", "hard"])
@every_seed
def test_triplets_of_cosines_are_those_of_squared_distances(seed: int, mining: str) -> None:
    """Of unit rows: |a - b|^2 = 2 - 2 cos, so half the loss of twice the margin."""
    x, y = batch(seed)
    cosine = distances.CosineSimilarity()
    rows, labels = torch.from_numpy(x), torch.from_numpy(y)
    mined = miners.BatchHardMiner(distance=cosine)(rows, labels) if mining == "hard" else None
    other = losses.TripletMarginLoss(margin=0.2, distance=cosine)(rows, labels, mined).item()
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert fl.batch_triplet(unit, y, squared=True, margin=0.4, mining=mining) / 2 == pytest.approx(other, rel=1e-9)

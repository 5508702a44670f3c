"""The same overlaps from MONAI, with every documented difference asserted as a difference; segmentation-models' formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import need

import fastloss as fl

pytestmark = pytest.mark.peers
torch = need("torch")
losses = need("monai.losses")
MONAI = 1e-5  # what it adds to numerator and denominator


def volume(classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 2, (3, classes, 6, 7, 8)).astype(np.float32), rng.integers(0, classes, (3, 6, 7, 8))


def theirs(loss: Any, x: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Value and gradient of the mean, or of the sum of what it returns."""
    logits = torch.tensor(x, requires_grad=True)
    value = loss(logits, torch.tensor(target))
    value.sum().backward()
    return value.detach().numpy(), logits.grad.numpy()


def assert_same(ours: tuple[Any, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_allclose(ours[0], np.squeeze(other[0]), rtol=2e-5)
    np.testing.assert_allclose(ours[1], other[1], rtol=2e-3, atol=2e-5 * np.abs(other[1]).max())


@pytest.mark.parametrize("options", [{}, {"squared": True}, {"batch": True}, {"include_background": False}], ids=str)
def test_dice_softmax(options: dict[str, bool]) -> None:
    x, y = volume()
    names = {"squared": "squared_pred"}
    other = losses.DiceLoss(softmax=True, to_onehot_y=True, **{names.get(k, k): v for k, v in options.items()})
    assert_same(fl.dice.value_and_grad(x, y, smooth=MONAI, **options), theirs(other, x, y[:, None]))


@pytest.mark.parametrize("batch", [False, True])
def test_dice_sigmoid_of_masks(batch: bool) -> None:
    x, _ = volume(1)
    mask = (volume(2)[1] > 0)[:, None]
    other = losses.DiceLoss(sigmoid=True, batch=batch)
    ours = fl.dice.value_and_grad(x, mask, activation="sigmoid", smooth=MONAI, batch=batch)
    assert_same(ours, theirs(other, x, mask.astype(np.float32)))


def test_jaccard_smooths_twice_as_much() -> None:
    x, y = volume()
    other = theirs(losses.DiceLoss(softmax=True, to_onehot_y=True, jaccard=True, smooth_nr=2.0, smooth_dr=2.0), x, y[:, None])
    assert_same(fl.jaccard.value_and_grad(x, y, smooth=1.0), other)
    assert abs(fl.jaccard(x, y, smooth=2.0) - other[0]) > 1e-4


def test_class_weights_are_not_divided_by() -> None:
    x, y = volume()
    weight = np.array([0.5, 2.0, 1.0, 3.0], np.float32)
    other, _ = theirs(losses.DiceLoss(softmax=True, to_onehot_y=True, weight=torch.tensor(weight)), x, y[:, None])
    none = fl.dice(x, y, smooth=MONAI, class_weight=weight, reduction="none")
    assert float(none.mean()) == pytest.approx(float(other), rel=2e-5)
    assert fl.dice(x, y, smooth=MONAI, class_weight=weight) == pytest.approx(float(other) / weight.mean(), rel=2e-5)


@pytest.mark.parametrize("batch", [False, True])
def test_difference_generalized_dice_without_foreground(batch: bool) -> None:
    """All weights are those of absent classes, 0 there: the smoothing terms alone are left. Ours counts what is predicted."""
    x, y = volume()
    other = losses.GeneralizedDiceLoss(softmax=True, to_onehot_y=True, include_background=False, batch=batch)
    assert theirs(other, x, np.zeros_like(y)[:, None])[0] == 0
    assert fl.generalized_dice(x, np.zeros_like(y), include_background=False, batch=batch) == 1


@pytest.mark.parametrize("batch", [False, True])
def test_generalized_dice(batch: bool) -> None:
    x, y = volume()
    y[0][y[0] == 3] = 0  # a class that is absent from one item
    other = losses.GeneralizedDiceLoss(softmax=True, to_onehot_y=True, batch=batch, smooth_nr=0.0, smooth_dr=0.0)
    assert_same(fl.generalized_dice.value_and_grad(x, y, batch=batch), theirs(other, x, y[:, None]))


def test_tversky() -> None:
    x, y = volume()
    other = losses.TverskyLoss(softmax=True, to_onehot_y=True, alpha=0.3, beta=0.7)
    assert_same(fl.tversky.value_and_grad(x, y, alpha=0.3, beta=0.7, smooth=MONAI), theirs(other, x, y[:, None]))


def test_dice_cross_entropy() -> None:
    x, y = volume()
    other = losses.DiceCELoss(softmax=True, to_onehot_y=True, lambda_dice=0.3, lambda_ce=2.0)
    assert_same(
        fl.dice_cross_entropy.value_and_grad(x, y, smooth=MONAI, dice_weight=0.3, ce_weight=2.0), theirs(other, x, y[:, None])
    )
    binary, mask = x[:, :1], (y > 1)[:, None]
    both = losses.DiceCELoss(sigmoid=True)
    ours = fl.dice_cross_entropy.value_and_grad(binary, mask, activation="sigmoid", smooth=MONAI)
    assert_same(ours, theirs(both, binary, mask.astype(np.float32)))


def test_cross_entropy_of_ignored_positions_is_averaged_item_by_item() -> None:
    """PyTorch's mean is over all positions of the batch at once; pooled, ours is too."""
    x, y = volume()
    y[0, :3] = 255
    whole = torch.nn.functional.cross_entropy(torch.tensor(x), torch.tensor(y), ignore_index=255).item()
    kw: dict[str, Any] = {"ignore_index": 255, "dice_weight": 0.0}
    assert fl.dice_cross_entropy(x, y, batch=True, **kw) == pytest.approx(whole, rel=1e-6)
    assert abs(fl.dice_cross_entropy(x, y, **kw) - whole) > 1e-5


def test_segmentation_models_formulas() -> None:
    """Its losses are of the whole batch at once: 1 - (2 I + 2 s) / (sum p + sum t + 2 s) (from 0.4 on: 2 (I + s) over
    the cardinality plus 2 s) and 1 - (I + s) / (U + s), mean over C; Tversky's is raised to a power after the mean."""
    x, y = volume()
    p = np.moveaxis(np.asarray(fl.softmax(x.astype(np.float64), axis=1)), 1, 0).reshape(4, -1)
    t = (y.reshape(1, -1) == np.arange(4)[:, None]) * 1.0
    both, size, s = (p * t).sum(1), p.sum(1) + t.sum(1), 0.7
    assert fl.dice(x, y, batch=True, smooth=2 * s) == pytest.approx((1 - 2 * (both + s) / (size + 2 * s)).mean(), rel=1e-6)
    assert fl.jaccard(x, y, batch=True, smooth=s) == pytest.approx((1 - (both + s) / (size - both + s)).mean(), rel=1e-6)
    fp, fn = (p * (1 - t)).sum(1), ((1 - p) * t).sum(1)
    classes = 1 - (both + s) / (both + 0.3 * fp + 0.7 * fn + s)
    ours = fl.tversky(x, y, batch=True, smooth=s, alpha=0.3, beta=0.7)
    assert ours**0.75 == pytest.approx(classes.mean() ** 0.75, rel=1e-6)
    focal = fl.focal_tversky(x, y, batch=True, smooth=s, alpha=0.3, beta=0.7, gamma=0.75)
    assert focal == pytest.approx((classes**0.75).mean(), rel=1e-6)
    assert abs(focal - classes.mean() ** 0.75) > 1e-6


def test_lovasz_softmax_as_published() -> None:
    """Berman's lovasz_softmax: all images at once, the classes that are present."""
    x, y = volume()
    y[y == 3] = 0
    p = torch.softmax(torch.tensor(x.astype(np.float64)), 1).movedim(1, -1).reshape(-1, 4)
    label, expected = torch.tensor(y).reshape(-1), []
    for c in range(4):
        mask = (label == c).double()
        if mask.sum() == 0:
            continue
        errors, order = torch.sort((mask - p[:, c]).abs(), descending=True)
        mask = mask[order]
        jaccard = 1 - (mask.sum() - mask.cumsum(0)) / (mask.sum() + (1 - mask).cumsum(0))
        jaccard[1:] = jaccard[1:] - jaccard[:-1].clone()
        expected.append(torch.dot(errors, jaccard).item())
    assert fl.lovasz(x, y) == pytest.approx(np.mean(expected), rel=1e-6)

"""Overlaps of regions: wrong input is named, and evaluation takes item by item."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from matrix import every
from test_errors import refused
from volumes import every_region, every_soft, inf, one_hot, pooling, volume

import fastloss as fl
from fastloss.evaluation import _run


@every_region
def test_labels_out_of_range_are_named(loss: fl.Loss, isa: str) -> None:
    x, y = volume((2, 3, 40, 50), "float32")
    for bad in (3, -1, 255, 2**40, -(2**63)):
        wrong = y.copy()
        wrong[1, 17, 33] = bad
        for method in (loss, loss.grad, loss.terms):
            with refused(IndexError, loss.name, "target", r"\[0, 3\)", rf"got {bad} at index \(1, 17, 33\)"):
                method(x, wrong)
            with refused(IndexError, loss.name, "target", "ignored", rf"got {bad} at index \(1, 17, 33\)"):
                method(x, wrong, ignore_index=254)
    with refused(IndexError, loss.name, "target", rf"got {2**64 - 1} at index \(0, 0, 0\)"):
        loss(x, np.full(y.shape, 2**64 - 1, np.uint64), ignore_index=-1)
    masks = one_hot(y, 3)
    masks[1, 2, 17, 33] = 2
    with refused(IndexError, loss.name, "target", "0 or 1", r"got 2 at index \(1, 2, 17, 33\)"):
        loss(x, masks)
    with refused(IndexError, loss.name, "target", "0 or 1", r"got 2 at index \(1, 17, 33, 2\)"):
        loss(np.moveaxis(x, 1, -1), np.moveaxis(masks, 1, -1), axis=-1)


@every("axis", [1, -1])
@every_region
def test_masks_beside_a_softmax_exclude_one_another(loss: fl.Loss, axis: int) -> None:
    """A position is of one class, or of none; masks that overlap are for a sigmoid."""
    x, y = volume((2, 3, 4, 5))
    masks = one_hot(y, 3)
    masks[0, :, 0, 0] = 0
    both = masks.copy()
    both[1, :2, 3, 2] = 1
    x, masks, both = (np.moveaxis(a, 1, axis) for a in (x, masks, both))
    at = (1, 1, 3, 2) if axis == 1 else (1, 3, 2, 1)
    assert loss(x, masks, axis=axis) == loss(x, masks.astype(bool), axis=axis)
    for a in (both, both.astype(bool), both.astype(np.int8)):
        with refused(
            ValueError, loss.name, "target", r"shape \(2, 4, 5\)", "sigmoid", rf"a second 1 at index {re.escape(str(at))}"
        ):
            loss(x, a, axis=axis)
        loss(x, a, axis=axis, activation="sigmoid")
        if not loss.options.get("per_image", True):
            continue  # pooled: no item weighs for itself
        loss(x, a, axis=axis, sample_weight=[1, 0])
    with refused(ValueError, loss.name, "target", "1 for a single class", "sigmoid"):  # softmax of one logit is 1 everywhere
        loss(x[:, :1] if axis == 1 else x[..., :1], masks[:, :1] if axis == 1 else masks[..., :1], axis=axis)


@every("bad", [-1e-6, 1.000001, inf, -inf])
@every_soft
def test_probabilities_outside_the_unit_interval_are_named(loss: fl.Loss, bad: float) -> None:
    for shape in ((2, 3, 40, 50), (2, 3, 64, 64)):
        x, t = np.full(shape, 0.5), np.full(shape, 0.5)
        t[1, 2, 17, 33] = bad
        with refused(ValueError, loss.name, "target", r"\[0, 1\]", r"at index \(1, 2, 17, 33\)"):
            loss(x, t)
        if loss.name != "dice_cross_entropy":
            with refused(ValueError, loss.name, "logits", r"\[0, 1\]", "activation is None", r"at index \(1, 2, 17, 33\)"):
                loss(t, np.zeros(shape, int), activation=None)


@every_region
def test_shapes_that_do_not_fit(loss: fl.Loss) -> None:
    x, y = volume((2, 3, 4, 5))
    for wrong in (y[0], y[:, :3], y[:, None], y[..., None], one_hot(y, 4), y.astype(float)):
        with refused((ValueError, TypeError), loss.name, "target"):
            loss(x, wrong)
    with refused(ValueError, loss.name, "logits", "spatial", r"\(4, 3\)"):
        loss(np.ones((4, 3)), np.zeros(4, int))
    with refused(ValueError, loss.name, "logits", "spatial", r"\(4,\)"):
        loss(np.ones(4), np.zeros(4, int), axis=None, activation="sigmoid")
    with refused(ValueError, loss.name, "logits", "class"):
        loss(np.ones((2, 0, 5)), np.zeros((2, 5), int))
    with refused(ValueError, loss.name, "activation", "softmax"):
        loss(x, y[:, None], axis=None)
    with refused(ValueError, loss.name, "include_background"):
        loss(x[:, :1], np.zeros_like(y), include_background=False)
    with refused(ValueError, loss.name, "sample_weight", r"\(2,(?: 3)?\)"):
        loss(x, y, sample_weight=np.ones(4), **pooling(loss, False))


def test_ignored_labels_need_labels() -> None:
    x, y = volume((2, 3, 4, 5))
    with refused(TypeError, "dice", "target", "ignore_index"):
        fl.dice(x, np.zeros(x.shape), ignore_index=255)
    with refused(ValueError, "dice", "target", "softmax"):
        fl.dice(x, one_hot(y, 3), ignore_index=255)
    with refused(TypeError, "lovasz", "target", "integer labels"):
        fl.lovasz(x, np.zeros(x.shape))


@every_region
def test_out_survives_wrong_labels(loss: fl.Loss) -> None:
    """The last label is wrong, the buffer is the logits themselves: not one entry changes."""
    for shape in ((2, 3, 5, 7), (2, 3, 128, 128)):
        x, y = volume(shape, "float32")
        y[-1, -1, -1] = 3
        before = x.copy()
        for threads in (1, 3):
            with fl.num_threads(threads), pytest.raises(IndexError):
                loss.grad(x, y, out=x)
            assert np.array_equal(x, before)


def test_a_region_loss_is_evaluated_item_by_item() -> None:
    x, y = volume((5, 3, 8, 8), "float32")
    result = fl.evaluate("dice", logits=x, target=y)
    assert result["dice"].mean == pytest.approx(fl.dice(x, y), rel=1e-7)


@pytest.mark.parametrize(("name", "options", "bytes_per_item"), [
    ("dice", {}, 3 * 32),
    ("generalized_dice", {}, 3 * 32),
    ("dice", {"axis": None, "activation": "sigmoid"}, 32),
    ("lovasz", {"per_image": True}, 3 * 32 + 3 * 64 * 64 * 4),
])  # fmt: skip
def test_evaluation_estimates_the_memory_of_items(
    name: str, options: dict[str, Any], bytes_per_item: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one value per position: chunks are as large as memory allows beside 32 bytes for each item and class, and the errors
    of Lovasz's extension."""
    x, y = (np.repeat(a, 10, axis=0) for a in volume((4, 3, 64, 64), "float32"))
    if "axis" in options:
        x, y = x[:, 0], (y == 0)
    y = y.astype(np.uint8)
    seen, compute = [], _run._compute

    def noted(state: Any, chunk: Any, axes: Any) -> Any:
        seen.append(chunk.stop - chunk.start)
        return compute(state, chunk, axes)

    monkeypatch.setattr(_run, "_compute", noted)
    fl.evaluate(name, logits=x, target=y, max_memory=10**6, threads=1, **options)
    most = 750_000 // (x[0].nbytes + y[0].nbytes + bytes_per_item)
    assert seen == [min(most, 40 - at) for at in range(0, 40, most)]


@every_region
def test_pooled_items_are_no_samples_of_an_evaluation(loss: fl.Loss) -> None:
    """Their value would depend on the chunks."""
    x, y = volume((5, 3, 8, 8), "float32")
    option, own = next(iter(pooling(loss, False).items()))
    with refused(ValueError, loss.name, option, str(own)):
        fl.evaluate(loss, logits=x, target=y, **pooling(loss, True))
    result = fl.evaluate(loss, logits=x, target=y, max_memory=3000, **pooling(loss, False))
    assert result[loss.name].mean == pytest.approx(loss(x, y, **pooling(loss, False)), rel=1e-7)

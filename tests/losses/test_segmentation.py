"""Overlaps of regions: their definitions and relations, Lovasz's extension, exact counts, threads, memory."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import oracle
import pytest
from cases import REGIONS, THREADS, every_dtype
from matrix import every
from volumes import GRAD_TOL, RTOL, SHAPES, SOFT, assert_close, every_region, every_soft, inf, one_hot, pooling, volume

import fastloss as fl

# -- Against the definitions: every combination of options -------------------------------------------


def combinations(loss: fl.Loss) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kinds of target, and options that go together."""
    for kind, activation, axis, background, pooled, ignore, weighed in itertools.product(
        ("index", "masks", "soft"),
        ("softmax", "sigmoid", None),
        (0, 1, 2, -1, None),
        (True, False),
        (True, False),
        (None, 2),
        (0, 1),
    ):
        if axis is None and (activation == "softmax" or not background or weighed or kind == "index"):
            continue
        if ignore is not None and (kind == "soft" or (kind == "masks" and activation == "softmax")):
            continue
        if (loss.name == "lovasz" and kind == "soft") or (loss.name == "dice_cross_entropy" and activation is None):
            continue
        if loss.name == "generalized_dice" and weighed:
            continue
        options = {"activation": activation, "axis": axis, "include_background": background, "ignore_index": ignore}
        options |= pooling(loss, pooled)
        yield kind, options | ({"class_weight": np.array([0.5, 2.0, 0.0, 1.0])} if weighed else {})


def arguments(kind: str, options: dict[str, Any], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    axis = options["axis"]
    shape = (3, 5, 9) if axis is None else (3, 4, 5, 9)
    x = rng.normal(0, 2, shape) if options["activation"] else rng.uniform(0, 1, shape)
    y = rng.integers(0, 2 if axis is None else 4, (3, 5, 9))
    if kind == "soft":
        t = rng.uniform(0, 1, shape)
    else:
        t = y if kind == "index" or axis is None else one_hot(y, 4)
    if kind == "masks" and options["ignore_index"] is not None:
        t = np.where(rng.random(t.shape) < 0.2, 2, t)
    if axis is not None:
        x, t = np.moveaxis(x, 1, axis), t if kind == "index" else np.moveaxis(t, 1, axis)
    return x, t


@every_region
def test_every_combination_of_options(loss: fl.Loss, isa: str) -> None:
    """Values and weights as the reference has them; the gradient is the slope of the sum."""
    rng = np.random.default_rng(0)
    for kind, options in combinations(loss):
        x, t = arguments(kind, options, rng)
        values, weight = loss.reference(x, t, **options)
        got = loss(x, t, **options, reduction="none")
        assert got.shape == values.shape, options
        np.testing.assert_allclose(got, values, rtol=1e-12, atol=1e-14, err_msg=f"{kind} {options}")
        np.testing.assert_allclose(loss.terms(x, t, **options)[1], weight, rtol=1e-14)
        narrow = loss(x.astype(np.float32), t.astype(np.float32) if kind == "soft" else t, **options, reduction="none")
        np.testing.assert_allclose(narrow, values, rtol=3e-6, atol=1e-6, err_msg=f"{kind} {options}")
        along, step = rng.normal(size=x.shape), 1e-8 if loss.name == "lovasz" else 1e-6
        x = x if options["activation"] else 0.1 + 0.8 * x
        ahead, behind = (loss(x + s * along, t, **options, reduction="sum") for s in (step, -step))
        slope = (loss.grad(x, t, **options, reduction="sum") * along).sum()
        assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-5, abs=1e-5), f"{kind} {options}"


@every("activation", ["softmax", "sigmoid"])
@every("shape", SHAPES, str)
@every_dtype
@every_region
def test_label_maps_equal_masks_equal_probabilities(
    loss: fl.Loss, dtype: str, shape: tuple[int, ...], activation: str, isa: str
) -> None:
    """Three ways through the kernels: registers, planes of labels, of numbers; sizes about those of blocks and registers."""
    x, y = volume(shape, dtype)
    masks = one_hot(y, shape[1])
    targets = [y, masks] + ([masks.astype(dtype)] if loss in SOFT else [])
    if shape[1] == 1:  # there are no label maps of one class
        del targets[0]
    answers = [loss.value_and_grad(x, t, activation=activation) for t in targets]
    for value, grad in answers[1:]:
        assert value == pytest.approx(answers[0][0], rel=RTOL[dtype])
        assert_close(grad, answers[0][1], GRAD_TOL[dtype])


@every("activation", ["softmax", "sigmoid"])
@every_dtype
@every_region
def test_any_place_of_the_class_axis(loss: fl.Loss, dtype: str, activation: str, isa: str) -> None:
    """First, in the middle, last; as views, and as arrays laid out so."""
    x, y = volume((3, 5, 17, 33), dtype)
    expected, slope = loss.value_and_grad(x, y, activation=activation)
    for axis in (0, 2, 3, -1, -2):
        moved = np.moveaxis(x, 1, axis)
        for a in (moved, np.ascontiguousarray(moved)):
            value, grad = loss.value_and_grad(a, y, activation=activation, axis=axis)
            assert value == pytest.approx(expected, rel=RTOL[dtype])
            assert_close(np.moveaxis(grad, axis, 1), slope, GRAD_TOL[dtype])


@every_region
def test_no_class_axis_is_one_class(loss: fl.Loss, isa: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 17, 21)), rng.integers(0, 2, (3, 17, 21))
    options = {"activation": "sigmoid", **pooling(loss, False)}
    flat = loss(x, y, axis=None, reduction="none", **options)
    assert flat.shape == (3,)
    np.testing.assert_allclose(flat, np.ravel(loss(x[:, None], y[:, None], reduction="none", **options)), rtol=1e-14)
    np.testing.assert_allclose(
        loss.grad(x, y, axis=None, **options), loss.grad(x[:, None], y[:, None], **options)[:, 0], rtol=1e-12
    )


@every("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool"])
@every_region
def test_every_integer_dtype_is_a_label_map(loss: fl.Loss, dtype: str, isa: str) -> None:
    x, y = volume((2, 2, 9, 71))
    for activation in ("softmax", "sigmoid"):
        expected = loss.value_and_grad(x, y, activation=activation)
        for label in (y.astype(dtype), np.asfortranarray(y.astype(dtype)), y.astype(dtype)[:, ::-1][:, ::-1]):
            value, grad = loss.value_and_grad(x, label, activation=activation)
            assert value == expected[0]
            assert np.array_equal(grad, expected[1])


@pytest.mark.parametrize(("left", "right"), [("float32", "float64"), ("float64", "float32"), ("float16", "float32")])
@every_soft
def test_soft_targets_follow_numpy_promotion(loss: fl.Loss, left: str, right: str) -> None:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(2, 3, 40)).astype(left), rng.uniform(0, 1, (2, 3, 40)).astype(right)
    computed = np.float64 if "float64" in (left, right) else np.float32
    got, grad = loss.value_and_grad(x, t, reduction="none")
    expected, slope = loss.value_and_grad(x.astype(computed), t.astype(computed), reduction="none")
    assert got.dtype == computed
    assert np.array_equal(got, expected)
    assert grad.dtype == left
    assert np.array_equal(grad, slope.astype(left))


@every_soft
def test_soft_targets_against_the_reference(loss: fl.Loss, isa: str) -> None:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(2, 3, 11, 13)), rng.uniform(0, 1, (2, 3, 11, 13))
    t[0, 0, 0], t[1, 1, 0] = 0.0, 1.0
    for activation in ("softmax", "sigmoid"):
        values, _ = loss.reference(x, t, activation=activation)
        np.testing.assert_allclose(loss(x, t, activation=activation, reduction="none"), values, rtol=1e-12)
        assert fl.gradcheck(loss, x, t, activation=activation, max_entries=30, verbose=False)


def test_the_80_bit_oracle_agrees_with_mpmath() -> None:
    x, y = volume((2, 3, 4))
    for loss in REGIONS:
        for options in ({}, {"activation": "sigmoid"}, {"ignore_index": 1}):
            a, b = (oracle.region_truth(loss.name, (x, y), options, 1, field) for field in (oracle.MP, oracle.LONG))
            for exact, near in ((a.value, b.value), (a.derivatives[0][0], b.derivatives[0][0])):
                np.testing.assert_allclose((exact.hi - near.hi) + (exact.lo - near.lo), 0, atol=1e-17)


def test_the_oracle_is_the_slope_of_the_reference() -> None:
    """By central differences: the chain rule of the oracle is written anew, and so might be wrong anew."""
    x, y = volume((2, 3, 4))
    for loss in REGIONS:
        options = pooling(loss, False)
        grad = oracle.region_truth(loss.name, (x, y), options, 1).derivatives[0][0].hi
        for at in np.ndindex(x.shape):
            ahead, behind = x.copy(), x.copy()
            ahead[at] += 1e-6
            behind[at] -= 1e-6
            up, down = (loss.reference(a, y, **options)[0].sum() for a in (ahead, behind))
            assert (up - down) / 2e-6 == pytest.approx(grad[at], abs=1e-8)


# -- Relations ---------------------------------------------------------------------------------------


@every("squared", [False, True])
@every_dtype
def test_jaccard_is_2d_over_1_plus_d(dtype: str, squared: bool, isa: str) -> None:
    x, y = volume(dtype=dtype)
    d, j = (loss(x, y, squared=squared, reduction="none").astype(np.float64) for loss in (fl.dice, fl.jaccard))
    np.testing.assert_allclose(j, 2 * d / (1 + d), rtol=4 * np.finfo(dtype).eps)


@every_dtype
def test_tversky_of_halves_is_dice_and_of_ones_jaccard(dtype: str, isa: str) -> None:
    x, y = volume(dtype=dtype)
    for weight, other in ((0.5, fl.dice), (1.0, fl.jaccard)):
        ours, theirs = fl.tversky.value_and_grad(x, y, alpha=weight, beta=weight), other.value_and_grad(x, y)
        assert ours[0] == pytest.approx(theirs[0], rel=1e-14)
        np.testing.assert_allclose(ours[1], theirs[1], rtol=4 * np.finfo(dtype).eps, atol=1e-12)
    np.testing.assert_allclose(fl.tversky(x, y, smooth=1.0), fl.dice(x, y, smooth=2.0), rtol=1e-14)


def test_focal_tversky_is_a_power(isa: str) -> None:
    x, y = volume()
    t = fl.tversky(x, y, alpha=0.3, beta=0.7, reduction="none")
    for gamma in (0.5, 1.0, 3.0):
        got = fl.focal_tversky(x, y, alpha=0.3, beta=0.7, gamma=gamma, reduction="none")
        np.testing.assert_allclose(got, t**gamma, rtol=1e-14)


def test_dice_cross_entropy_is_dice_and_cross_entropy(isa: str) -> None:
    x, y = volume()
    w = np.array([0.5, 2.0, 1.0, 0.0])
    both = fl.dice(x, y) + fl.cross_entropy(x, y, axis=1)
    assert fl.dice_cross_entropy(x, y) == pytest.approx(both, rel=1e-14)
    grad = 0.3 * fl.dice.grad(x, y) + 2.0 * fl.cross_entropy.grad(x, y, axis=1)
    np.testing.assert_allclose(fl.dice_cross_entropy.grad(x, y, dice_weight=0.3, ce_weight=2.0), grad, rtol=1e-11, atol=1e-16)
    weighed = fl.dice(x[:1], y[:1], class_weight=w) + fl.cross_entropy(x[:1], y[:1], axis=1, class_weight=w)
    assert fl.dice_cross_entropy(x[:1], y[:1], class_weight=w) == pytest.approx(weighed, rel=1e-14)
    mask = (y > 1).astype(float)
    binary = fl.dice(x[:, 0], mask, activation="sigmoid", axis=None)
    binary += fl.binary_cross_entropy_with_logits(x[:, 0], mask)
    assert fl.dice_cross_entropy(x[:, 0], mask, activation="sigmoid", axis=None) == pytest.approx(binary, rel=1e-14)


@every_dtype
def test_cross_entropy_part_keeps_its_digits_when_all_is_confident(dtype: str, isa: str) -> None:
    """Logits won by 40 nats, or lost by thousands: neither 0 nor infinity."""
    y = np.random.default_rng(0).integers(0, 3, (1, 64, 64))
    for gap in (40.0, -1000.0, -1e6):
        x = (gap * one_hot(y, 3)).astype(dtype)
        for activation in ("softmax", "sigmoid"):
            got = fl.dice_cross_entropy(x, y, activation=activation, dice_weight=0.0)
            if activation == "softmax":
                expected = fl.cross_entropy(x, y, axis=1)
            else:
                expected = fl.binary_cross_entropy_with_logits(x, one_hot(y, 3))
            assert got == pytest.approx(expected, rel=RTOL[dtype])
            assert got > 0


@every_dtype
@every_region
def test_a_loss_near_0_keeps_its_digits(loss: fl.Loss, dtype: str, isa: str) -> None:
    """Won by 30 nats everywhere: 1 - dice would be 0 in float64; what is left is about 1e-13."""
    y = np.random.default_rng(0).integers(0, 3, (1, 33, 47))
    x = (30.0 * one_hot(y, 3)).astype(dtype)
    for activation in ("softmax", "sigmoid"):
        options = {"activation": activation, **pooling(loss, False)}
        truth = oracle.region_truth(loss.name, (x, y), options, 1)
        oracle.assert_ulps(loss(x, y, **options, reduction="none"), truth.value, dtype, {"float32": 6, "float64": 12}[dtype])
        exact = truth.derivatives[0][0]
        scale = oracle.region_scale(loss.name, (x, y), options)
        oracle.assert_derivative(loss.grad(x, y, **options, reduction="sum"), exact, dtype, GRAD_TOL[dtype], scale)


@every_region
def test_a_perfect_prediction_is_0_and_an_opposite_one_1(loss: fl.Loss, isa: str) -> None:
    y = np.random.default_rng(0).integers(0, 2, (2, 9, 17))
    right = one_hot(y, 2).astype(float)
    if loss.name == "dice_cross_entropy":
        assert loss(1e4 * right, y) == 0.0
        return
    for dtype in (np.float32, np.float64):
        assert loss(right.astype(dtype), y, activation=None) == 0.0
        assert loss((1 - right).astype(dtype), y, activation=None) == pytest.approx(1, rel=1e-13)
        assert loss(inf * (2 * right - 1).astype(dtype), y, activation="sigmoid") == 0.0


# -- Lovasz ------------------------------------------------------------------------------------------


@every_dtype
def test_lovasz_is_its_definition_on_all_small_masks(dtype: str, isa: str) -> None:
    """The sum over thresholds of the Jaccard loss of the mistakes above them: Lovasz's extension, by brute force."""
    rng = np.random.default_rng(0)
    for bits in itertools.product((0, 1), repeat=5):
        mask = np.array(bits)
        p = rng.uniform(0, 1, 5).astype(dtype)
        error = np.abs(mask - p.astype(float))
        levels = np.sort(error)
        expected, below = 0.0, 0.0
        for level in levels:
            wrong = error >= level
            union = (mask.astype(bool) | wrong).sum()
            expected += (level - below) * (1 - (mask * ~wrong).sum() / union)
            below = level
        got = fl.lovasz(p[None], mask[None], activation=None, axis=None)
        assert got == pytest.approx(expected, rel=RTOL[dtype])


def test_lovasz_of_hard_predictions_is_jaccard(isa: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        y, p = rng.integers(0, 4, (2, 7, 9)), one_hot(rng.integers(0, 4, (2, 7, 9)), 4).astype(float)
        for per_image in (True, False):
            options: dict[str, Any] = {"activation": None, "reduction": "none"}
            a = fl.lovasz(p, y, **options, per_image=per_image, only_present=False)
            np.testing.assert_allclose(a, fl.jaccard(p, y, **options, batch=not per_image), rtol=1e-13)


def test_lovasz_absent_classes(isa: str) -> None:
    x, y = volume((2, 4, 9, 9))
    y[y == 3] = 0
    p = fl.softmax(x, axis=1)
    none = fl.lovasz(x, y, reduction="none", only_present=False)
    assert none[3] == pytest.approx(p[:, 3].max(), rel=1e-13)  # its largest error
    assert fl.lovasz(x, y, reduction="none")[3] == 0.0
    assert fl.lovasz(x, y) == pytest.approx(none[:3].mean(), rel=1e-13)
    empty = np.zeros((1, 8), int)
    assert fl.lovasz(np.zeros((1, 8)), empty, axis=None, activation="sigmoid") == 0.5
    assert math.isnan(fl.lovasz(np.zeros((1, 8)), empty, axis=None, activation="sigmoid", only_present=True))


def test_lovasz_of_many_positions(isa: str) -> None:
    """Every digit of the sort is used, in both precisions; equal errors too."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 8, (1, 3, 300, 301)), rng.integers(0, 3, (1, 300, 301))
    for a in (x, np.round(x)):
        values, _ = fl.lovasz.reference(a, y)
        np.testing.assert_allclose(fl.lovasz(a, y, reduction="none"), values, rtol=1e-11)
        np.testing.assert_allclose(fl.lovasz(a.astype(np.float32), y, reduction="none"), values, rtol=1e-5)


# -- Numerics ----------------------------------------------------------------------------------------


def test_counts_beyond_2_to_the_24_are_exact() -> None:
    """20 million positions: a float32 sum of ones stops at 2^24, ours does not."""
    n = 20_000_001
    x = np.broadcast_to(np.float32(0.0), (1, n))
    y = np.ones((1, n), np.uint8)
    naive = np.float32(2**24) + np.float32(1)  # what such an accumulator does from there on
    assert naive == 2**24
    for activation, target in (("sigmoid", y), (None, y)):
        value = fl.dice(x, target, activation=activation, axis=None, smooth=0.0)
        p = 0.5 if activation else 0.0
        assert value == pytest.approx(1 - 2 * p / (p + 1), rel=1e-12)
    import fastloss._engines.regions as engine

    table = engine.sums(x, -1, y, engine.TARGETS["masks"], "sigmoid")[0]
    assert table[0, 0, engine.VOLUME] == n
    assert table[0, 0, engine.COUNTED] == n
    assert table[0, 0, engine.TP] == n / 2
    two = np.broadcast_to(np.float32(0.0), (1, 2, n))
    table = engine.sums(two, 1, y, engine.TARGETS["index"], "softmax")[0]
    assert table[0, :, engine.VOLUME].tolist() == [0, n]


@every("activation", ["softmax", "sigmoid", None])
@every_region
def test_same_bits_for_any_number_of_threads(loss: fl.Loss, activation: str | None, isa: str) -> None:
    if activation is None and loss.name == "dice_cross_entropy":
        pytest.skip("takes logits")
    x, y = volume((2, 3, 177, 211), "float32")
    x = x if activation else np.clip(np.abs(x), 0, 1)
    answers = []
    for n in THREADS:
        with fl.num_threads(n):
            value, grad = loss.value_and_grad(x, y, activation=activation)
            answers.append((value, grad.tobytes()))
    assert answers == [answers[0]] * len(THREADS)


@every("activation", ["softmax", "sigmoid"])
@every_region
def test_gradient_in_place_of_the_logits(loss: fl.Loss, activation: str, isa: str) -> None:
    for scale in (1.0, 1e6):
        for shape in ((2, 4, 32, 64), (2, 3, 7, 11)):
            x, y = volume(shape, "float32")
            x = (x * scale).astype(np.float32)
            expected = loss.grad(x, y, activation=activation)
            assert loss.grad(x, y, activation=activation, out=x) is x
            assert np.array_equal(x, expected)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_volume_needs_no_memory_of_its_size() -> None:
    """256 MB of logits: value and in-place gradient add less than 15 MB to the process."""
    import subprocess

    code = """
import numpy as np, fastloss as fl
def peak():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) / 1024
fl.set_num_threads(2)
x, y = np.zeros((4, 4, 64, 256, 256), np.float32), np.zeros((4, 64, 256, 256), np.uint8)
x[...], y[...] = 1.0, 1
fl.dice(x[:, :, :1], y[:, :1])
before = peak()
fl.dice(x, y); fl.dice_cross_entropy(x, y); fl.dice.value_and_grad(x, y, out=x)
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 15


def test_more_blocks_than_are_summed_at_once(isa: str) -> None:
    """Of a thousand classes: each item is what it is alone."""
    rng = np.random.default_rng(12)
    x, y = rng.standard_normal((3, 1000, 800), np.float32), rng.integers(0, 1000, (3, 800))
    together = fl.dice(x, y, reduction="none")
    alone = [fl.dice(x[i : i + 1], y[i : i + 1], reduction="none")[0] for i in range(3)]
    assert np.array_equal(together, np.stack(alone))

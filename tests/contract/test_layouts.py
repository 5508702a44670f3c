"""Promise: any dtype, memory layout and class axis gives the plain array's answer; inputs are never written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import (
    BATCHWISE,
    DTYPES,
    LABELLED,
    LOSSES,
    REGIONS,
    SEQUENCES,
    VECTORS,
    Variant,
    as_tuple,
    every_dtype,
    every_labelled,
    every_loss,
    every_rowwise,
    every_separable,
    every_shaped,
    every_variant,
    need,
    per_sample,
    target_position,
    value_count,
    whole_targets,
    wrt_positions,
)
from layouts import LAYOUTS, Layout, every_layout, other_endian
from matrix import every

import fastloss as fl

LABELS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "intc", "longlong")


def close(got: Any, expected: Any, ulps: int = 8) -> None:
    """The same to the last digits, relative to the row's largest."""
    for g, e in zip(as_tuple(got), as_tuple(expected), strict=True):
        g, e = np.asarray(g), np.asarray(e)
        assert g.dtype == e.dtype
        assert g.shape == e.shape
        scale = np.abs(e) if e.ndim < 2 else np.abs(e).max(axis=-1, keepdims=True, initial=0.0)
        assert (np.abs(g - e) <= ulps * np.finfo(e.dtype).eps * scale + 1e-44).all()


def answers(loss: fl.Loss, args: tuple[Any, ...], kw: dict[str, Any]) -> list[Any]:
    got = [loss(*args, **kw, reduction=r) for r in ("none", "sum", "mean")]
    got += [loss.grad(*args, **kw)] if loss.max_order >= 1 else []
    got += [loss.hess(*args, **kw)] if loss.max_order >= 2 else []
    return got


# -- Layouts -----------------------------------------------------------------------------------------


@every_layout
@every_dtype
@every_variant
def test_layout(variant: Variant, dtype: str, layout: Layout, isa: str) -> None:
    """The answer is that of plain arrays, and no input is written to."""
    args, options = variant.draw(dtype, 71)
    options["sample_weight"] = np.linspace(0.5, 2.0, value_count(variant.loss, 71))
    moved_args = tuple(layout(a) for a in args)
    moved = {k: layout(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    inputs = [*moved_args, *(v for v in moved.values() if isinstance(v, np.ndarray))]
    before = [(a.tobytes(), a.flags.writeable) for a in inputs]
    for got, expected in zip(answers(variant.loss, moved_args, moved), answers(variant.loss, args, options), strict=True):
        close(got, expected)
    assert [(a.tobytes(), a.flags.writeable) for a in inputs] == before


@every_layout
@every_dtype
@every_shaped
def test_layout_of_many_axes(loss: fl.Loss, dtype: str, layout: Layout, isa: str) -> None:
    """Samples in three axes."""
    args, options = loss.sample(np.random.default_rng(0), dtype=dtype, size=3 * 5 * 7)
    shaped = per_sample(loss, args, lambda a: a.reshape(3, 5, 7, *a.shape[1:]))
    flat = loss(*args, **options, reduction="none")
    close(loss(*map(layout, shaped), **options, reduction="none").ravel(), flat)
    close(loss(*map(layout, shaped), **options), loss(*args, **options))
    for got, expected in zip(
        as_tuple(loss.grad(*map(layout, shaped), **options)), as_tuple(loss.grad(*args, **options)), strict=True
    ):
        close(got.reshape(expected.shape), expected)


@every_dtype
def test_axes_that_run_in_opposite_directions(dtype: str, isa: str) -> None:
    """They are not one long axis, though their strides would fit."""
    x = np.random.default_rng(0).normal(size=(3, 5, 7)).astype(dtype)
    for axes in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2)):
        turned = np.flip(x, axes)
        assert np.array_equal(fl.mae(turned, np.zeros_like(x), reduction="none"), np.abs(turned))


@every("axis", [0, 1, 2, 3, -1, -2, -3, -4])
@every_dtype
@every_rowwise
def test_class_axis_may_be_any(loss: fl.Loss, dtype: str, axis: int, isa: str) -> None:
    args, options = loss.sample(np.random.default_rng(0), dtype=dtype, size=3 * 5 * 7)
    rows = args[0].ndim == 2 and args[0].shape[0] == 105
    assert rows
    shaped = [a.reshape(3, 5, 7, *a.shape[1:]) for a in args]
    moved = [np.moveaxis(a, -1, axis) if a.ndim == 4 else a for a in shaped]
    options = {**options, "axis": axis}
    expected = loss(*args, reduction="none")
    grads = as_tuple(loss.grad(*args))
    for arrays in (moved, [np.ascontiguousarray(a) for a in moved]):
        close(loss(*arrays, **options, reduction="none").ravel(), expected)
        for got, e in zip(as_tuple(loss.grad(*arrays, **options)), grads, strict=True):
            close(np.moveaxis(got, axis, -1).reshape(e.shape), e)


@every_dtype
def test_images_of_many_sizes_along_axis_1(dtype: str, isa: str) -> None:
    """N, C, H, W with widths around the tile of the strided kernel, against the same rows laid out last."""
    rng = np.random.default_rng(0)
    for c, h, w in ((1, 3, 5), (2, 1, 1), (3, 7, 9), (21, 16, 17), (21, 1, 257), (5, 33, 65), (130, 3, 3)):
        x = (4 * rng.normal(size=(2, c, h, w))).astype(dtype)
        y = rng.integers(0, c, (2, h, w))
        y[0, 0, 0] = -100
        weight = rng.uniform(0.1, 2, c)
        for kw in ({}, {"class_weight": weight}, {"label_smoothing": 0.1}, {"ignore_index": None}):
            label = np.where(y < 0, 0, y) if "ignore_index" in kw else y
            last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
            close(
                fl.cross_entropy(x, label, axis=1, reduction="none", **kw).ravel(),
                fl.cross_entropy(last, label, reduction="none", **kw).ravel(),
            )
            got = np.moveaxis(fl.cross_entropy.grad(x, label, axis=1, **kw), 1, -1)
            close(got, fl.cross_entropy.grad(last, label, **kw))


@every_dtype
@every_separable
def test_zero_strides(loss: fl.Loss, dtype: str, isa: str) -> None:
    """One sample broadcast to many is read in place."""
    args, options = loss.sample(np.random.default_rng(0), dtype=dtype, size=1)
    views = per_sample(loss, args, lambda a: np.broadcast_to(a, (67, *a.shape[1:])))
    one = loss(*args, **options, reduction="none")
    close(loss(*views, **options, reduction="none"), np.repeat(one, 67, axis=0))
    many, single = (as_tuple(loss.grad(*a, **options, reduction="sum")) for a in (views, args))
    for name, got, g in zip(loss.wrt, many, single, strict=True):
        close(got, 67 * g if name in loss.shared else np.repeat(g, 67, axis=0))


@every_dtype
def test_zero_stride_along_the_classes(dtype: str, isa: str) -> None:
    x = np.broadcast_to(np.arange(9, dtype=dtype)[:, None], (9, 33))
    close(fl.cross_entropy(x, np.arange(9), reduction="none"), np.full(9, np.log(33), dtype))


def test_memory_mapped(tmp_path: Path) -> None:
    for loss in LOSSES:
        args, options = loss.sample(np.random.default_rng(0), size=64)
        mapped = []
        for i, a in enumerate(args):
            np.save(tmp_path / f"{loss.name}{i}.npy", a)
            mapped.append(np.load(tmp_path / f"{loss.name}{i}.npy", mmap_mode="r"))
        assert loss(*mapped, **options) == loss(*args, **options)


@every_loss
def test_lists_and_array_likes(loss: fl.Loss) -> None:
    """Nested lists, and anything with __array__, are arrays; the gradient of a list is a NumPy float64 array."""

    class Wrapped:
        def __init__(self, a: np.ndarray) -> None:
            self.a = a

        def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
            return self.a if dtype is None else self.a.astype(dtype)

    args, options = loss.sample(np.random.default_rng(0), dtype="float64", size=9)
    expected = loss(*args, **options)
    assert loss(*(a.tolist() for a in args), **options) == expected
    assert loss(*map(Wrapped, args), **options) == expected
    for g in as_tuple(loss.grad(*(a.tolist() for a in args), **options)):
        assert type(g) is np.ndarray
        assert g.dtype == np.float64


@every_loss
def test_array_subclasses_give_plain_arrays(loss: fl.Loss) -> None:
    class Sub(np.ndarray):
        pass

    args, options = loss.sample(np.random.default_rng(0), size=9)
    got = loss(*(a.view(Sub) for a in args), **options, reduction="none")
    assert type(got) is np.ndarray
    assert np.array_equal(got, loss(*args, **options, reduction="none"))


# -- Dtypes ------------------------------------------------------------------------------------------


@every_variant
def test_result_types(variant: Variant) -> None:
    """Reductions are Python floats; arrays have the computation's dtype; gradients have the input's."""
    loss = variant.loss
    for dtype, computed in (("float32", np.float32), ("float64", np.float64), ("float16", np.float32)):
        args, options = variant.draw("float32", 9)
        args = tuple(a.astype(dtype) if a.dtype == np.float32 else a for a in args)
        assert type(loss(*args, **options)) is float
        assert type(loss(*args, **options, reduction="sum")) is float
        assert loss(*args, **options, reduction="none").dtype == computed
        value, grad = loss.value_and_grad(*args, **options)
        assert type(value) is float
        assert all(g.dtype == dtype for g in as_tuple(grad))
        if loss.max_order >= 2:
            assert all(h.dtype == dtype for h in as_tuple(loss.hess(*args, **options)))


@every("dtype", [*LABELS, "bool"])
@every_labelled
def test_every_integer_dtype_is_a_label(loss: fl.Loss, dtype: str, isa: str) -> None:
    x = np.random.default_rng(0).normal(size=(65, 2 if dtype == "bool" else 5))
    x -= np.abs(x).max() + 1  # also a log-probability
    label = np.random.default_rng(1).integers(0, x.shape[1], 65)
    for a in (x, x.astype("float32"), np.ascontiguousarray(x.T).T):
        assert np.array_equal(loss(a, label.astype(dtype), reduction="none"), loss(a, label, reduction="none"))
        assert np.array_equal(loss.grad(a, label.astype(dtype)), loss.grad(a, label))


@every("dtype", ["int8", "uint8", "int32", "uint64", "int64", "bool"])
@every_loss
def test_integer_inputs_are_float64(loss: fl.Loss, dtype: str) -> None:
    """Zeros and ones mean something to nearly every loss."""
    if loss in REGIONS or loss in VECTORS or loss.name == "box_iou":
        pytest.skip("in test_segmentation.py, test_vectors.py and test_boxes.py")
    if loss in BATCHWISE:
        pytest.skip("in test_batch_triplet.py and test_contrast.py")
    bits = np.random.default_rng(0).integers(0, 2, (9, 2))
    if loss in SEQUENCES:
        frames = np.random.default_rng(1).integers(0, 2, (9, 4, 3))
        labels = 1 + bits[:, :1].astype(dtype if dtype != "bool" else "int64")
        args, exact = (frames.astype(dtype), labels), (frames.astype(float), labels)
    elif loss.shared:
        args = (bits[:, 0].astype(dtype), np.array([0, 1], dtype), bits[:, 1])
        exact = (bits[:, 0].astype(float), np.array([0.0, 1.0]), bits[:, 1])
    elif loss not in LABELLED:
        shape = (len(loss.arrays), 9) if loss.pointwise else (len(loss.arrays), 9, 2)
        drawn = list(np.random.default_rng(1).integers(0, 2, shape))
        if loss.family == "divergence":  # distributions: zeros and a single 1
            drawn = [a * (np.cumsum(a, axis=-1) < 2) for a in drawn]
        if loss.pointwise:
            at = target_position(loss)
            assert {*drawn[at]} == {0, 1}
            drawn[at] = whole_targets(loss, drawn[at])
            if dtype == "bool" and drawn[at].min() < 0:
                pytest.skip("labels -1 and 1")
            if (dtype == "bool" and drawn[at].max() > 1) or (dtype.startswith("u") and drawn[at].min() < 0):
                drawn[at] = np.ones_like(drawn[at])
        args = tuple(a.astype(dtype) for a in drawn)
        exact = tuple(a.astype(float) for a in drawn)
    else:
        args = (bits.astype(dtype), bits[:, 0])
        exact = (bits.astype(float), bits[:, 0])
    got = loss(*args, reduction="none")
    assert got.dtype == np.float64
    assert np.array_equal(got, loss(*exact, reduction="none"))
    assert all(g.dtype == np.float64 for g in as_tuple(loss.grad(*args)))


MIXED = tuple(  # losses of two real arrays or more; those of regions, vectors and batches have such tests of their own
    loss
    for loss in LOSSES
    if (loss not in LABELLED or loss.name == "cross_entropy")
    and not (loss.shared or loss.name == "box_iou" or loss in (*SEQUENCES, *REGIONS, *VECTORS, *BATCHWISE))
)


@every("right", ["float32", "float64", "float16"])
@every("left", ["float32", "float64", "float16"])
@every("loss", MIXED)
def test_mixed_dtypes_follow_numpy_promotion(loss: fl.Loss, left: str, right: str, isa: str) -> None:
    """The computation is that of the promoted arrays; the gradient keeps its own argument's dtype."""
    rng = np.random.default_rng(0)
    others: list[np.ndarray] = []
    if loss not in LABELLED:
        shape = 65 if loss.pointwise else (65, 7)
        x = rng.uniform(0.1, 0.9, shape).astype(left)
        args = [rng.uniform(0.1, 0.9, shape).astype(left if k % 2 == 0 else right) for k in range(len(loss.arrays))]
        at = target_position(loss)
        args[at] = whole_targets(loss, rng.integers(0, 2, shape)).astype(left if at % 2 == 0 else right)
        x, t, *others = args
    else:
        x = rng.normal(size=(65, 2)).astype(left)
        t = np.eye(2)[rng.integers(0, 2, 65)].astype(right)
    promoted = np.result_type(x, t)
    computed = np.float32 if promoted == np.float16 else promoted
    args = (x, t, *others)
    up = tuple(a.astype(computed) for a in args)
    got = loss(*args, reduction="none")
    assert got.dtype == computed
    assert np.array_equal(got, loss(*up, reduction="none"))
    for i, g, e in zip(wrt_positions(loss), as_tuple(loss.grad(*args)), as_tuple(loss.grad(*up)), strict=True):
        assert g.dtype == args[i].dtype
        assert np.array_equal(g, e.astype(g.dtype))


def half_types() -> list[Any]:
    return ["float16", "bfloat16"]


def is_real(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def half(dtype: str) -> np.dtype[Any]:
    return np.dtype(dtype) if dtype == "float16" else np.dtype(need("ml_dtypes").bfloat16)


@every("dtype", half_types())
@every_variant
def test_half_precision_is_float32_of_the_same_numbers(variant: Variant, dtype: str, isa: str) -> None:
    """Values: the bits of the upcast input's. Derivatives: those of float32, rounded to nearest even."""
    kind = half(dtype)
    loss = variant.loss
    args, options = variant.draw("float32", 259)
    low = tuple(a.astype(kind) if a.dtype == np.float32 else a for a in args)
    options = {k: v.astype(kind).astype("float32") if is_real(v) else v for k, v in options.items()}
    up = tuple(a.astype(np.float32) if a.dtype == kind else a for a in low)
    for got, expected in zip(answers(loss, low, options), answers(loss, up, options), strict=True):
        for g, e in zip(as_tuple(got), as_tuple(expected), strict=True):
            if isinstance(e, np.ndarray) and e.ndim >= 1 and g.dtype == kind:
                g, e = g.astype(np.float32), e.astype(kind).astype(np.float32)
            assert np.array_equal(g, e)


@every("dtype", half_types())
@every_shaped
def test_half_precision_in_every_layout(loss: fl.Loss, dtype: str, isa: str) -> None:
    kind = half(dtype)
    args, options = loss.sample(np.random.default_rng(0), size=3 * 5 * 7)
    low = tuple(a.astype(kind) if a.dtype == np.float32 else a for a in args)
    low = per_sample(loss, low, lambda a: a.reshape(3, 5, 7, *a.shape[1:]))
    expected = loss(*low, **options, reduction="none")
    assert expected.dtype == np.float32
    for layout in LAYOUTS.values():
        if layout is other_endian and dtype == "bfloat16":
            continue  # ml_dtypes knows no byte order
        close(loss(*map(layout, low), **options, reduction="none").ravel(), expected.ravel())


@every("dtype", half_types())
def test_half_precision_images(dtype: str, isa: str) -> None:
    kind = half(dtype)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 21, 9, 17)).astype(kind)
    y = rng.integers(0, 21, (2, 9, 17))
    up = x.astype(np.float32)
    close(
        fl.cross_entropy(x, y, axis=1, reduction="none").ravel(),
        fl.cross_entropy(up, y, axis=1, reduction="none").ravel(),
        ulps=2,
    )
    got = fl.cross_entropy.grad(x, y, axis=1)
    assert got.dtype == kind
    assert np.array_equal(got.astype(np.float32), fl.cross_entropy.grad(up, y, axis=1).astype(kind).astype(np.float32))


@every("dtype", half_types())
def test_every_half_precision_number_is_read_and_rounded_right(dtype: str, isa: str) -> None:
    """All 65536 bit patterns through mae: the value is the upcast's |x|, the gradient of x/2 rounds as NumPy's."""
    kind = half(dtype)
    x = np.arange(65536, dtype=np.uint16).view(kind)
    x = x[np.abs(x.astype(np.float32)) < 1e38]  # false for nan; twice the number stays finite
    zero = np.zeros_like(x)
    assert np.array_equal(fl.mae(x, zero, reduction="none"), np.abs(x.astype(np.float32)))
    with np.errstate(over="ignore"):
        scaled = (2 * x.astype(np.float32) * np.float32(1 / 3)).astype(kind)
    got = fl.mse.grad(x, zero, sample_weight=np.full(len(x), np.float32(1 / 3)), reduction="sum")
    assert np.array_equal(got.astype(np.float32), scaled.astype(np.float32))


@pytest.mark.parametrize("dtype", half_types())
def test_halfway_between_two_halves_is_rounded_to_even(dtype: str, isa: str) -> None:
    """The gradient of mse, 2 (x - t) times the weight, is halfway between two neighbours."""
    kind = half(dtype)
    number = np.arange(65536, dtype=np.uint16).view(kind).astype(np.float32)
    low, high = number[:-1], number[1:]
    with np.errstate(invalid="ignore"):
        between = (low >= 1e-37) & (high < 1e38)
    middle = low[between] / 2 + high[between] / 2
    for sign in (1, -1):
        x = np.full(middle.size, sign).astype(kind)
        got = fl.mse.grad(x, np.zeros_like(x), sample_weight=middle / 2, reduction="sum")
        assert np.array_equal(got.astype(np.float32), (sign * middle).astype(kind).astype(np.float32))


def test_promotion_of_scalars() -> None:
    """Python scalars are weak, as in NumPy 2: they do not widen float32."""
    x = np.float32([0.25, 0.5])
    assert fl.mse(x, 0.0, reduction="none").dtype == np.float32
    assert np.array_equal(fl.mse(x, 0.0, reduction="none"), x * x)
    assert np.array_equal(fl.mse(0.0, x, reduction="none"), x * x)
    assert fl.mse(1.0, 2.0) == 1.0
    assert fl.mse(np.float32(1), np.float64(3)) == 4.0
    assert fl.mse(1.0, 2.0, reduction="none").shape == ()
    assert fl.mse.grad(1.0, 3.0).shape == ()
    assert fl.mse.grad(1.0, 3.0) == -4.0


@every_loss
@every("dtype", DTYPES)
def test_gradient_is_c_contiguous_and_of_the_inputs_shape(loss: fl.Loss, dtype: str) -> None:
    args, options = loss.sample(np.random.default_rng(0), dtype=dtype, size=15)
    for i, g in zip(wrt_positions(loss), as_tuple(loss.grad(*args, **options)), strict=True):
        assert g.shape == args[i].shape
        assert g.flags.writeable
        assert g.flags.owndata or g.base is not args[i]


@every("classes", [49, 600, 3000, 20_000])
def test_many_strided_classes(classes: int, isa: str) -> None:
    """Runs of positions, read in place, beside the same rows with contiguous classes."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 3, (2, classes, 83)).astype(np.float32)
    y = rng.integers(0, classes, (2, 83))
    rows = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    np.testing.assert_allclose(
        fl.cross_entropy(x, y, axis=1, reduction="none"), fl.cross_entropy(rows, y, reduction="none"), rtol=3e-7
    )
    grad, expected = fl.cross_entropy.grad(x, y, axis=1), fl.cross_entropy.grad(rows, y)
    np.testing.assert_allclose(np.moveaxis(grad, 1, -1), expected, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(fl.logsumexp(x, axis=1), fl.logsumexp(rows, axis=-1), rtol=3e-7)

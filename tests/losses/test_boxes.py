"""Pairs of boxes: relations of the four losses, formats, precision of boxes that nearly agree, and wrong input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import oracle
import pytest
from cases import THREADS, every_dtype
from matrix import every
from mpmath import mpf
from refusals import refused

import fastloss as fl

KINDS = ("iou", "giou", "diou", "ciou")
every_kind = every("kind", KINDS)


def pairs(size: int = 200, dtype: str = "float64", seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    (boxes, target), _ = fl.box_iou.sample(np.random.default_rng(seed), dtype, size)
    return boxes, target


def as_format(boxes: np.ndarray, format: str) -> np.ndarray:
    low, high = boxes[..., :2], boxes[..., 2:]
    if format == "xyxy":
        return boxes
    return np.concatenate([low if format == "xywh" else (low + high) / 2, high - low], axis=-1)


@every_kind
def test_ranges(kind: str, isa: str) -> None:
    """giou and diou within [0, 2]; far apart both approach 2."""
    boxes, target = pairs(5000)
    boxes[::2] += np.random.default_rng(1).normal(0, 100, (2500, 1))
    values = fl.box_iou(boxes, target, kind=kind, reduction="none")
    assert (values >= 0).all()
    assert (values <= {"iou": 1, "giou": 2, "diou": 2, "ciou": 2.5}[kind]).all()
    if kind != "iou":
        far = fl.box_iou([[0, 0, 1, 1]], [[1e6, 1e6, 1e6 + 1, 1e6 + 1]], kind=kind)
        assert far == pytest.approx(2, abs=1e-5)


@every_dtype
@every_kind
def test_a_perfect_box_is_0_and_rests(kind: str, dtype: str, isa: str) -> None:
    boxes, _ = pairs(200, dtype)
    value, grad = fl.box_iou.value_and_grad(boxes, boxes.copy(), kind=kind, reduction="none")
    assert not value.any()
    assert not grad.any()


def test_order_of_the_kinds(isa: str) -> None:
    boxes, target = pairs()
    iou, giou, diou, ciou = (fl.box_iou(boxes, target, kind=kind, reduction="none") for kind in KINDS)
    assert (iou <= giou + 1e-15).all()
    assert (iou <= diou + 1e-15).all()
    assert (diou <= ciou + 1e-15).all()


@every_kind
def test_symmetry_scale_and_shift(kind: str, isa: str) -> None:
    boxes, target = pairs()
    values = fl.box_iou(boxes, target, kind=kind, reduction="none")
    np.testing.assert_allclose(fl.box_iou(target, boxes, kind=kind, reduction="none"), values, rtol=1e-12)
    np.testing.assert_allclose(fl.box_iou(8 * boxes, 8 * target, kind=kind, reduction="none"), values, rtol=1e-14)
    np.testing.assert_allclose(fl.box_iou(boxes + 3, target + 3, kind=kind, reduction="none"), values, rtol=1e-12)
    turned = [a[:, [1, 0, 3, 2]] for a in (boxes, target)]
    np.testing.assert_allclose(fl.box_iou(*turned, kind=kind, reduction="none"), values, rtol=1e-13)


@every("format", ["xywh", "cxcywh"])
@every_kind
def test_formats_are_the_same_boxes(kind: str, format: str, isa: str) -> None:
    boxes, target = pairs()
    a, b = as_format(boxes, format), as_format(target, format)
    expected = fl.box_iou(boxes, target, kind=kind, reduction="none")
    np.testing.assert_allclose(fl.box_iou(a, b, kind=kind, format=format, reduction="none"), expected, rtol=1e-12)
    assert fl.gradcheck(fl.box_iou, a, b, kind=kind, format=format, verbose=False)


@every_kind
def test_boxes_that_do_not_meet_nest_or_touch(kind: str, isa: str) -> None:
    """Values from the definition, in mpmath; the gradient by differences where there is no kink."""
    box = [2.0, 3.0, 5.0, 7.0]
    others = [
        [6.0, 3.5, 9.0, 6.0], [2.5, 8.0, 4.0, 9.0], [7.0, 9.0, 8.0, 12.0], [0.0, 0.0, 1.0, 1.5], [3.0, 4.0, 4.0, 5.0],
        [1.0, 1.0, 8.0, 9.0], [3.0, 1.0, 4.0, 9.0], [1.0, 4.0, 9.0, 5.0],
    ]  # fmt: skip
    for other in [*others, [5.0, 3.0, 8.0, 7.0], [2.0, 7.0, 5.0, 9.0]]:
        exact = oracle.box_iou(*map(mpf, box + other), kind=kind)
        assert fl.box_iou([box], [other], kind=kind) == pytest.approx(float(exact), rel=1e-14)
        if other in others:
            assert fl.gradcheck(fl.box_iou, [box], [other], kind=kind, verbose=False)


@every_dtype
@every_kind
def test_boxes_that_nearly_agree_keep_their_digits(kind: str, dtype: str, isa: str) -> None:
    """Off by a few last digits: 1 - I/U as a difference would be rounding and nothing else."""
    target = pairs(50, dtype)[1]
    boxes = target.copy()
    boxes[:, 0] = np.nextafter(boxes[:, 0], np.float64(100).astype(dtype))
    boxes[:, 3] = np.nextafter(boxes[:, 3], np.float64(-100).astype(dtype))
    exact = [oracle.box_iou(*map(mpf, map(float, [*a, *b])), kind=kind) for a, b in zip(boxes, target, strict=True)]
    got = fl.box_iou(boxes, target, kind=kind, reduction="none")
    np.testing.assert_allclose(got, [float(v) for v in exact], rtol=4 * np.finfo(dtype).eps)
    assert (got > 0).all()


def test_the_gradient_of_ciou_is_that_of_its_value(isa: str) -> None:
    boxes, target = pairs()
    assert fl.gradcheck(fl.box_iou, boxes, target, kind="ciou", verbose=False)


def test_integers_are_boxes(isa: str) -> None:
    a, b = np.array([[0, 0, 2, 2]], np.uint8), np.array([[1, 1, 3, 3]], np.int64)
    assert fl.box_iou(a, b, kind="iou") == pytest.approx(1 - 1 / 7, rel=1e-15)
    assert fl.box_iou.grad(a, b).dtype == np.float64


def test_eps_is_torchvisions(isa: str) -> None:
    """Added to the union and to the hull; boxes without area are then no error."""
    a, b = [[0.0, 0.0, 1.0, 1.0]], [[0.5, 0.0, 1.5, 1.0]]
    assert fl.box_iou(a, b, kind="iou", eps=0.1) == pytest.approx(1 - 0.5 / 1.6, rel=1e-15)
    assert fl.box_iou(a, b, kind="giou", eps=0.1) == pytest.approx(1 - 0.5 / 1.6 + 0.0, rel=1e-14)
    point = [[1.0, 1.0, 1.0, 1.0]]
    for kind in KINDS:
        assert np.isfinite(fl.box_iou(point, point, kind=kind, eps=1e-7))
        assert np.isfinite(fl.box_iou.grad(point, point, kind=kind, eps=1e-7)).all()


@every_kind
def test_nan_stays_with_its_pair(kind: str, isa: str) -> None:
    boxes, target = pairs(600)
    boxes[7, 2] = target[513, 1] = math.nan
    value, grad = fl.box_iou.value_and_grad(boxes, target, kind=kind, reduction="none")
    assert np.flatnonzero(np.isnan(value)).tolist() == [7, 513]
    assert np.flatnonzero(np.isnan(grad).any(axis=1)).tolist() == [7, 513]


@every("place", [0, 3, 599])
@every("format", ["xyxy", "xywh", "cxcywh"])
def test_boxes_without_area_are_named(format: str, place: int, isa: str) -> None:
    for name, k in (("boxes", 0), ("target", 1)):
        for side in (0.0, -1.0):
            args = [as_format(a, format) for a in pairs(600)]
            args[k][place, 3] = args[k][place, 1] + side if format == "xyxy" else side
            out = np.full_like(args[0], 7)
            for call in (
                lambda a: fl.box_iou(*a, format=format),
                lambda a: fl.box_iou.grad(*a, format=format, out=out),  # noqa: B023
            ):
                with refused(ValueError, "box_iou", name, "eps is 0", rf"at index \({place},\)"):
                    call(args)
            assert (out == 7).all()


@every_kind
def test_ciou_at_its_upper_end(kind: str, isa: str) -> None:
    """v <= 1 and alpha = v / (iou + v), so alpha v <= v^2 / (1 + v) <= 1/2 beside an iou and a distance of at most 1."""
    wide, high = [[0.0, 0.0, 1e6, 1e-6]], [[1e9, 1e9, 1e9 + 1e-6, 1e9 + 1e6]]
    assert fl.box_iou(wide, high, kind=kind) == pytest.approx({"iou": 1, "ciou": 2.5}.get(kind, 2), rel=1e-2)


@every("form", ["xyxy", "xywh", "cxcywh"])
@every_kind
def test_no_eps_takes_inverted_boxes(kind: str, form: str, isa: str) -> None:
    """`box_iou([[40, 40, 1, 1]], [[0, 0, 2, 2]], eps=1e-7)` was -379, a union less than nothing; `[1, 1, 0, 0]` over
    `[0, 0, 1, 1]` a perfect hit. A side of 0 is none of these, and nan stays nan."""
    good = [0.0, 0.0, 2.0, 2.0]
    for dtype, eps in ((np.float32, 1e-7), (np.float64, 1e-7), (np.float64, 0.0), (np.int64, 1.0)):
        for wrong in (
            ([40, 40, 1, 1], [1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1]) if form == "xyxy" else ([0, 0, -1, 1], [0, 0, 1, -1])
        ):
            for name in ("boxes", "target"):
                args = {k: np.array([good, wrong if k == name else good], dtype) for k in ("boxes", "target")}
                expected = "x2 >=? x1 and y2 >=? y1" if form == "xyxy" else "width and height >=? 0"
                with refused(ValueError, "box_iou", name, expected, r"at index \(1,\)"):
                    fl.box_iou.value_and_grad(**args, kind=kind, format=form, eps=eps)
                if eps:  # a pair of weight 0 is left out
                    fl.box_iou(**args, kind=kind, format=form, eps=eps, sample_weight=[1, 0])
    for flat in (
        ([1.0, 1.0, 1.0, 2.0], [math.nan, 1.0, 0.0, 2.0]) if form == "xyxy" else ([1.0, 1.0, 0.0, 2.0], [math.nan, 1, 1, 2])
    ):
        value = fl.box_iou([flat], [good], kind=kind, format=form, eps=1e-7)
        assert math.isnan(value) == math.isnan(flat[0])
        assert math.isnan(value) or 0 <= value <= 2.5


def test_boxes_of_another_format_hear_of_it() -> None:
    with refused(ValueError, "box_iou", "boxes", "format='xywh'"):
        fl.box_iou([[3.0, 3.0, 1.0, 2.0]], [[3.0, 3.0, 4.0, 5.0]])
    with refused(ValueError, "box_iou", "target", "eps=1e-7"):
        fl.box_iou([[3.0, 3.0, 4.0, 5.0]], [[3.0, 3.0, 3.0, 5.0]])


def test_shapes() -> None:
    boxes, target = pairs(6)
    for a, b, name in ((boxes[:, :3], target[:, :3], "boxes"), (boxes, target[:5], "target"), (np.float64(1), 1.0, "boxes")):
        with refused(ValueError, "box_iou", name):
            fl.box_iou(a, b)
    shaped: list[Any] = [a.reshape(2, 3, 4) for a in (boxes, target)]
    flat = fl.box_iou(boxes, target, reduction="none")
    assert np.array_equal(fl.box_iou(*shaped, reduction="none"), flat.reshape(2, 3))
    assert fl.box_iou(boxes[0], target[0]) == pytest.approx(flat[0], rel=1e-15)


def test_same_bits_for_any_number_of_threads(isa: str) -> None:
    boxes, target = pairs(50_003, "float32")
    answers = []
    for n in THREADS:
        with fl.num_threads(n):
            value, grad = fl.box_iou.value_and_grad(boxes, target, kind="ciou")
            answers.append((value, grad.tobytes()))
    assert answers == [answers[0]] * len(THREADS)

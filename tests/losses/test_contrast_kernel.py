"""Promise: contrastive losses and their gradients are the textbook's whichever way they are computed: in one block of anchors or
many, exponentials kept or computed again, of one scale or each anchor's own; with the same bits for any number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import THREADS, as_tuple, every_dtype
from conftest import at_each_level
from matrix import every

import fastloss as fl
import fastloss._definitions.reference as _reference

TOLERANCE = {"float32": 2e-6, "float64": 1e-14}  # of similarities, which are at most 1: times 1 / temperature below
SIZES = (1, 2, 3, 17, 97, 200, 500)  # a block has 96 anchors, a chunk 384 candidates
TEMPERATURES = (0.5, 0.07, 0.001)  # the last has exponentials that no common scale holds
CASES = {
    "nt_xent": ("nt_xent", {}),
    "supcon": ("supcon", {}),
    "info_nce": ("info_nce", {}),
    "symmetric": ("info_nce", {"symmetric": True}),
    "queue": ("info_nce", {"negatives": True}),
}
every_case = every("case", CASES)


def draw(case: str, n: int, d: int, dtype: str, seed: int = 0) -> tuple[fl.Loss, tuple[Any, ...], dict[str, Any]]:
    """A loss, its arrays and its options; classes have one row, two, and many."""
    rng = np.random.default_rng([seed, n, d])
    name, options = CASES[case]
    x, y, queue = (rng.normal(size=(m, d)).astype(dtype) for m in (n, n, 2 * n + 1))
    if name == "supcon":
        return fl.LOSSES[name], (x, np.minimum(rng.integers(0, n, n), n // 2)), {}
    return fl.LOSSES[name], (x, y), {k: queue if k == "negatives" else v for k, v in options.items()}


def _unit(a: Any, normalize: bool) -> np.ndarray:
    wide = np.asarray(a, np.float64)
    return np.asarray(_reference._unit(wide)) if normalize else wide


def slopes(loss: fl.Loss, args: tuple[Any, ...], options: dict[str, Any], weight: np.ndarray) -> list[np.ndarray]:
    """Textbook gradient of the weighted sum, in float64."""
    arrays = [np.asarray(a, np.float64) for a in args[: len(loss.wrt)]]
    normalize, scale = options.get("normalize", True), 1 / options["temperature"]
    units = [_unit(a, normalize) for a in arrays]
    if loss.name == "info_nce":
        given = options.get("negatives")
        g = _query_slopes(*units, None if given is None else _unit(given, normalize), options, weight, scale)
    else:
        z = np.concatenate(units)
        labels = args[1] if loss.name == "supcon" else np.tile(np.arange(len(units[0])), 2)
        s, other = z @ z.T * scale, ~np.eye(len(z), dtype=bool)
        positive = (labels[:, None] == labels) & other
        count = positive.sum(axis=1, keepdims=True)
        w = (softmax(np.where(other, s, -np.inf)) - positive / np.maximum(count, 1)) * (count > 0) * weight[:, None]
        g = np.split((w + w.T) @ z * scale, len(units))
    return [through(a, z, h) if normalize else h for a, z, h in zip(arrays, units, g, strict=True)]


def _query_slopes(
    q: np.ndarray, k: np.ndarray, queue: np.ndarray | None, options: dict[str, Any], weight: np.ndarray, scale: float
) -> list[np.ndarray]:
    if queue is not None:
        s = np.concatenate([(q * k).sum(axis=1, keepdims=True), q @ queue.T], axis=1) * scale
        w = softmax(s) * weight[:, None]
        own = w[:, :1] - weight[:, None]
        return [(own * k + w[:, 1:] @ queue) * scale, own * q * scale]
    s, own = q @ k.T * scale, np.eye(len(q))
    w = (softmax(s) - own) * weight[:, None]
    if options.get("symmetric"):
        w = (w + ((softmax(s.T) - own) * weight[:, None]).T) / 2
    return [w @ k * scale, w.T @ q * scale]


def softmax(s: np.ndarray) -> np.ndarray:
    top = s.max(axis=1, keepdims=True, initial=-1e300)
    e = np.exp(s - top)
    return e / np.maximum(e.sum(axis=1, keepdims=True), 1e-300)


def through(x: np.ndarray, z: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Through the division by the norm."""
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return np.where(norm == 0, 0.0, (g - (g * z).sum(axis=1, keepdims=True) * z) / np.where(norm == 0, 1.0, norm))


def check(case: str, n: int, d: int, dtype: str, where: str, **options: Any) -> None:
    loss, args, own = draw(case, n, d, dtype)
    options |= own
    values, counted = loss.reference(*args, **options)
    tolerance = TOLERANCE[dtype] / min(1.0, options["temperature"])
    if not options.get("normalize", True):
        tolerance *= float(np.abs(args[0]).max()) ** 2 * d
    weight = np.random.default_rng(7).uniform(0.1, 2, values.shape)
    got, grad = loss.value_and_grad(*args, **options, sample_weight=weight, reduction="sum")
    none = loss(*args, **options, reduction="none")
    assert none.dtype == dtype
    assert (np.abs(none - values) <= tolerance * (1 + values)).all(), where
    assert got == pytest.approx(float((weight * values).sum()), rel=tolerance, abs=tolerance)
    for g, exact in zip(as_tuple(grad), slopes(loss, args, options, weight * counted), strict=True):
        assert g.dtype == dtype
        size = np.abs(exact).max() + weight.max() / options["temperature"]
        assert (np.abs(g - exact) <= 4 * tolerance * size).all(), where


@every_dtype
@every_case
@every("temperature", TEMPERATURES)
def test_values_and_gradients_are_the_textbooks(case: str, temperature: float, dtype: str, full: bool) -> None:
    for level in at_each_level():
        for n in SIZES if full else (1, 3, 97):
            for d in (1, 2, 17, 130):
                check(case, n, d, dtype, f"{level}: {n} x {d}", temperature=temperature)


@every_dtype
@every("case", ["supcon", "info_nce", "symmetric", "queue"])
@every("temperature", [3.0, 0.02])
def test_rows_as_they_come(case: str, temperature: float, dtype: str) -> None:
    for level in at_each_level():
        for n, d in ((2, 3), (97, 17), (200, 5)):
            check(case, n, d, dtype, f"{level}: {n} x {d}", temperature=temperature, normalize=False)


@every("case", CASES, quick=lambda case: case in ("supcon", "queue"))
def test_what_is_too_much_to_keep_is_computed_again(case: str) -> None:
    n = {"nt_xent": 2051, "supcon": 4101, "queue": 2101}.get(case, 2951)
    check(case, n, 3, "float64", "many", temperature=0.5)


@every_dtype
@every_case
@every("temperature", [0.1, 0.001])
def test_same_bits_for_any_number_of_threads(case: str, temperature: float, dtype: str) -> None:
    for n, d in ((97, 130), (700, 16)):
        loss, args, options = draw(case, n, d, dtype)
        results = []
        for threads in THREADS:
            with fl.num_threads(threads):
                value, grad = loss.value_and_grad(*args, **options, temperature=temperature)
                results.append((value, *(g.tobytes() for g in as_tuple(grad))))
        assert all(r == results[0] for r in results)


@every_dtype
@every_case
def test_layouts_and_buffers(case: str, dtype: str) -> None:
    loss, args, options = draw(case, 130, 21, dtype)
    plain = as_tuple(loss.grad(*args, **options))
    rows = len(loss.wrt)
    turned = [np.asfortranarray(a) if k else a[::-1, ::-1].copy()[::-1, ::-1] for k, a in enumerate(args[:rows])]
    into = [np.zeros((260, 43), dtype)[::-2, 1::2] for _ in plain]
    loss.grad(*turned, *args[rows:], **options, out=tuple(into) if rows == 2 else into[0])
    inside = [a.copy() for a in args[:rows]]
    loss.grad(*inside, *args[rows:], **options, out=tuple(inside) if rows == 2 else inside[0])
    for p, a, b in zip(plain, into, inside, strict=True):
        np.testing.assert_array_equal(a, p)
        np.testing.assert_array_equal(b, p)


@every_dtype
@every_case
def test_a_small_loss_keeps_its_digits(case: str, dtype: str) -> None:
    """Two clusters at opposite ends: the loss is the negatives' share, e^-28.6 each, and the gradient is as small."""
    loss, _, options = draw(case, 8, 3, dtype)
    one = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]], dtype)
    if case == "supcon":
        args: tuple[Any, ...] = (np.concatenate([one, one]), np.array([0, 1, 0, 1]))
    else:
        args = (one, one)
    if "negatives" in options:
        args, options = (one[:1], one[:1]), {"negatives": one[1:]}
    negatives = 2 if case in ("nt_xent", "supcon") else 1
    got = loss(*args, **options, temperature=0.07, reduction="none")
    np.testing.assert_allclose(got, np.log1p(negatives * np.exp(-2 / 0.07)), rtol=1e-5 if dtype == "float32" else 1e-13)
    assert all(np.isfinite(g).all() for g in as_tuple(loss.grad(*args, **options, temperature=0.07)))


@every_dtype
@every_case
def test_gradients_of_zero_vectors_are_zero_and_rows_of_any_size_are_fine(case: str, dtype: str) -> None:
    loss, args, options = draw(case, 9, 4, dtype)
    x = args[0].copy()
    x[0] = 0
    x[1] *= np.finfo(dtype).tiny
    x[2] *= np.finfo(dtype).max / 8
    x[3] = np.finfo(dtype).smallest_subnormal
    plain = x.copy()
    for row in (1, 2):
        plain[row] = args[0][row]
    plain[3] = 1
    for temperature in (0.5, 0.001):
        values = loss(x, *args[1:], **options, temperature=temperature, reduction="none")
        tolerance = TOLERANCE[dtype] / temperature
        np.testing.assert_allclose(
            values, loss(plain, *args[1:], **options, temperature=temperature, reduction="none"), rtol=tolerance, atol=tolerance
        )
        grad = as_tuple(loss.grad(x, *args[1:], **options, temperature=temperature))[0]
        assert not grad[0].any()
        assert not np.isnan(grad).any()


@every_case
def test_nothing_is_nan_where_all_is_finite(case: str) -> None:
    """Products beyond the type's range, at temperatures beyond reason."""
    for dtype in ("float32", "float64"):
        loss, args, options = draw(case, 9, 4, dtype)
        big = np.finfo(dtype).max / 4
        for size in (big, 1.0, np.finfo(dtype).tiny):
            for temperature in (1e300, 1.0, 1e-30, 5e-324):
                for normalize in (True, False) if "normalize" in loss.options else (True,):
                    kw = {**options, "temperature": temperature}
                    if not normalize:
                        kw["normalize"] = False
                    x = (args[0] * (size / np.abs(args[0]).max())).astype(dtype)
                    value = loss(x, *args[1:], **kw, reduction="none")
                    assert not np.isnan(value).any(), (dtype, size, temperature, normalize)
                    assert not any(np.isnan(g).any() for g in as_tuple(loss.grad(x, *args[1:], **kw)))


def test_a_nan_reaches_all_that_meet_it() -> None:
    for temperature in (0.5, 0.001):
        for bad in (np.nan, np.inf):
            for case in CASES:
                loss, args, options = draw(case, 9, 4, "float32")
                args[0][3, 1] = bad
                values = loss(*args, **options, temperature=temperature, reduction="none")
                counted = loss.reference(*draw(case, 9, 4, "float32")[1], **options)[1] > 0
                expected = np.arange(9) == 3 if case in ("info_nce", "queue") else counted
                np.testing.assert_array_equal(np.isnan(values), expected)


def test_anchors_without_a_positive_are_not_counted() -> None:
    x = np.random.default_rng(0).normal(size=(5, 3))
    labels = np.array([7, 7, -2, 3, 7], np.int8)
    values = fl.supcon(x, labels, reduction="none")
    assert values[2] == values[3] == 0
    assert fl.supcon(x, labels) == pytest.approx(values.sum() / 3)
    alone = np.arange(5)
    assert np.isnan(fl.supcon(x, alone))
    assert fl.supcon(x, alone, reduction="sum") == 0
    assert not fl.supcon.grad(x, alone).any()


def test_empty_batches() -> None:
    none = np.zeros((0, 3))
    for loss in (fl.nt_xent, fl.info_nce):
        assert np.isnan(loss(none, none))
        assert loss(none, none, reduction="sum") == 0
        assert loss(none, none, reduction="none").shape == (0,)
    assert fl.supcon(none, np.zeros(0, int), reduction="none").shape == (0,)
    assert fl.nt_xent.grad(none, none)[1].shape == (0, 3)
    one = np.ones((1, 3))
    assert fl.nt_xent(one, -one) == fl.info_nce(one, -one) == fl.info_nce(one, -one, negatives=none) == 0
    assert not any(g.any() for g in fl.info_nce.grad(one, -one, negatives=none))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fl.nt_xent(np.ones(3), np.ones(3)), ValueError, r"nt_xent: z1: .*\(N, D\)"),
        (lambda: fl.nt_xent(np.ones((3, 2)), np.ones((2, 2))), ValueError, "nt_xent: z2: .*shape of z1"),
        (lambda: fl.nt_xent(np.ones((3, 2)), np.ones((3, 2)), temperature=0), ValueError, "temperature"),
        (lambda: fl.nt_xent(np.ones((3, 0)), np.ones((3, 0))), ValueError, "at least one number"),
        (lambda: fl.nt_xent(np.ones((3, 2)), np.ones((3, 2)), sample_weight=np.ones(3)), ValueError, r"sample_weight: .*\(6,\)"),
        (lambda: fl.info_nce(np.ones((3, 2)), np.ones((3, 1))), ValueError, "info_nce: key: .*shape of query"),
        (lambda: fl.info_nce(np.ones((3, 2)), np.ones((3, 2)), negatives=np.ones((3, 1))), ValueError, "negatives"),
        (lambda: fl.info_nce(*np.ones((3, 3, 2))[:2], negatives=np.ones((3, 2)), symmetric=True), ValueError, "symmetric"),
        (lambda: fl.info_nce(np.ones((3, 2)), np.ones((3, 2)), normalize=None), TypeError, "normalize"),
        (lambda: fl.supcon(np.ones((3, 2)), np.ones(3)), TypeError, "supcon: labels: .*integer"),
        (lambda: fl.supcon(np.ones((3, 2)), np.ones(2, int)), ValueError, "labels"),
    ],
)
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()

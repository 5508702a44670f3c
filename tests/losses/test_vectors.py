"""Promise: losses of pairs and triplets of vectors are exact where lengths cancel, where directions agree and where squares leave
the range of their type; any layout, length and type of row gives the plain row's answer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import oracle
import pytest
from cases import DTYPES, VECTORS, as_tuple, every_dtype, need, per_sample
from conftest import Note, at_each_level
from matrix import every

import fastloss as fl

inf, nan = math.inf, math.nan
ULP = {"float32": 4, "float64": 8}
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
LENGTHS = (1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 65, 128, 1003)
every_vectors = every("loss", VECTORS)

CALLS: dict[str, tuple[fl.Loss, dict[str, Any]]] = {
    "contrastive": (fl.contrastive, {}),
    "contrastive power=1": (fl.contrastive, {"power": 1}),
    "contrastive power=3": (fl.contrastive, {"power": 3, "margin": 2.0}),
    "triplet": (fl.triplet, {}),
    "triplet eps=0": (fl.triplet, {"eps": 0.0}),
    "triplet margin=0": (fl.triplet, {"margin": 0.0}),
    "triplet swap": (fl.triplet, {"swap": True}),
    "triplet squared": (fl.triplet, {"squared": True, "margin": 0.1}),
    "triplet p=1": (fl.triplet, {"p": 1}),
    "triplet p=inf": (fl.triplet, {"p": inf}),
    "triplet p=inf swap": (fl.triplet, {"p": inf, "swap": True}),
    "cosine": (fl.cosine_embedding, {}),
    "cosine margin=0.3": (fl.cosine_embedding, {"margin": 0.3}),
    "cosine margin=-1": (fl.cosine_embedding, {"margin": -1.0}),
}
every_call = every("call", CALLS)


def labelled(loss: fl.Loss, x: tuple[np.ndarray, ...], seed: int = 0) -> tuple[np.ndarray, ...]:
    """The arrays a loss takes, of two or three of vectors."""
    if loss is fl.triplet:
        return x
    bits = np.random.default_rng(seed).integers(0, 2, x[0].shape[:-1])
    return (*x[:2], bits if loss is fl.contrastive else 2 * bits - 1)


def both_labels(loss: fl.Loss, x: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Every pair once with each label."""
    if loss is fl.triplet:
        return x
    n = len(x[0])
    twice = tuple(np.concatenate([a, a]) for a in x[:2])
    return (*twice, np.repeat([1, 0 if loss is fl.contrastive else -1], n))


def check(call: str, args: tuple[np.ndarray, ...], note: Note, slopes: bool = True, **more: Any) -> None:
    """Values and gradients at every level against the oracle."""
    loss, options = CALLS[call]
    options = options | more
    dtype = args[0].dtype.name
    truth = oracle.truth(loss.name, args, options)
    scale = oracle.value_scale(loss.name, args, options, dtype)
    for level in at_each_level():
        value = loss(*args, **options, reduction="none")
        note(loss.name, dtype, oracle.assert_ulps(value, truth.value, dtype, ULP[dtype], f"{call}, {level}: ", scale))
        if not slopes:
            continue
        again, grads = loss.value_and_grad(*args, **options, reduction="none")
        assert np.array_equal(again, value)
        for k, (g, exact) in enumerate(zip(as_tuple(grads), truth.derivatives[0], strict=True)):
            allowed = oracle.derivative_scale(loss.name, args, options, exact, 1, k)
            oracle.assert_derivative(g, exact, dtype, TOLERANCE[dtype], allowed, f"{call}, {level}: ")


# -- Where it hurts ----------------------------------------------------------------------------------


@every_dtype
@every_call
def test_every_number_of_dimensions(call: str, dtype: str, full: bool, note: Note) -> None:
    for d in LENGTHS if full else (1, 3, 8, 17, 33, 65):
        x = tuple(np.random.default_rng(d).normal(size=(3, 6, d)).astype(dtype) * np.float32(0.5))
        check(call, labelled(CALLS[call][0], x, d), note)


@every_dtype
@every_call
def test_distances_that_nearly_cancel(call: str, dtype: str, note: Note) -> None:
    """Positives and negatives that are rearrangements of each other, up to the last digits of one element."""
    rng = np.random.default_rng(1)
    a = np.zeros((12, 37))
    p = rng.normal(size=a.shape)
    n = rng.permuted(p, axis=1)
    a, p, n = (v.astype(dtype) for v in (a, p, n))
    for row in range(3, 12):
        n[row, row] = np.nextafter(n[row, row], np.float32(inf) if dtype == "float32" else inf) * (1 + (row > 6) * 1e-5)
    check(call, both_labels(CALLS[call][0], (a, p, n)), note)


def test_distances_that_are_equal_are_no_loss(isa: str) -> None:
    """Whatever the order of their elements; the border belongs to the side without slope."""
    rng = np.random.default_rng(2)
    for dtype in DTYPES:
        p = rng.normal(size=(50, 100)).astype(dtype)
        n = rng.permuted(p, axis=1)
        for options in ({"p": 1}, {"p": 2}, {"p": inf}, {"squared": True}, {"swap": True}):
            value, grads = fl.triplet.value_and_grad(np.zeros_like(p), p, n, margin=0.0, eps=0.0, reduction="none", **options)
            assert not value.any()
            assert not any(g.any() for g in grads)
        far, grads = fl.contrastive.value_and_grad([[0.0, 0.0]], [[3.0, 4.0]], [0], margin=5.0)
        assert far == 0.0
        assert not any(g.any() for g in grads)


@every_dtype
@every_call
def test_vectors_that_nearly_coincide(call: str, dtype: str, note: Note) -> None:
    rng = np.random.default_rng(3)
    eps = np.finfo(dtype).eps
    x = rng.normal(size=(10, 33)).astype(dtype)
    y = (x * (1 + eps * rng.integers(-1, 2, x.shape))).astype(dtype)
    y[1], y[2] = x[1], 2 * x[2]
    y[3] = x[3]
    y[3, 5] = np.nextafter(y[3, 5], dtype_inf(dtype))
    z = rng.normal(size=x.shape).astype(dtype)
    check(call, both_labels(CALLS[call][0], (x, y, z)), note)
    check(call, both_labels(CALLS[call][0], (x, -y, y)), note)


def dtype_inf(dtype: str) -> Any:
    return np.dtype(dtype).type(inf)


@every_dtype
@every_call
def test_right_angles(call: str, dtype: str, note: Note) -> None:
    """Cosines that are what a long sum leaves, and those that are exactly 0."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 8, 40)).astype(dtype)
    x[0], y[0] = np.tile([1, 1], 20), np.tile([1, -1], 20)
    x[1, 20:], y[1, :20] = 0, 0
    x[2, 20:], y[2, 20:] = x[2, :20], -y[2, :20]
    for row in range(3, 8):  # nearly at right angles
        along = (x[row].astype(float) @ y[row]) / (x[row].astype(float) @ x[row])
        y[row] = (y[row] - along * x[row]).astype(dtype)
    check(call, both_labels(CALLS[call][0], (x, y, x + y)), note)


@every_call
def test_squares_without_a_place_in_their_type(call: str, note: Note) -> None:
    for dtype, powers in (("float32", (-140, -80, -60, 70, 100, 124)), ("float64", (-1040, -600, -500, 520, 700, 1000))):
        rng = np.random.default_rng(5)
        x = rng.normal(size=(3, len(powers), 11))
        scale = np.ldexp(1.0, powers)[:, None] ** (0.5 if "squared" in call else 1.0)
        same = tuple((v * scale).astype(dtype) for v in x)
        check(call, both_labels(CALLS[call][0], same), note, slopes=False)
        mixed = tuple((v * np.roll(scale, k, axis=0)).astype(dtype) for k, v in enumerate(x))
        check(call, both_labels(CALLS[call][0], mixed), note, slopes=False)


@pytest.mark.parametrize("call", [c for c in CALLS if "power" not in c])
def test_slopes_of_large_and_small_vectors(call: str, note: Note) -> None:
    """A distance's slope has length 1, whatever the distance; a cosine's is the inverse of a length."""
    loss, options = CALLS[call]
    for dtype, powers in (("float32", (-60, -30, 40, 60)), ("float64", (-600, -500, 400, 500, 700))):
        x = np.random.default_rng(6).normal(size=(3, len(powers), 11))
        scale = np.ldexp(1.0, powers)[:, None]
        if options.get("squared") or loss is fl.contrastive:
            scale = np.sqrt(scale)
        more = {"eps": 0.0} if loss is fl.triplet else {}  # beside which small vectors are all the same
        check(call, both_labels(loss, tuple((v * scale).astype(dtype) for v in x)), note, **more)


@every_dtype
def test_differences_that_eps_nearly_cancels(dtype: str, note: Note) -> None:
    eps = np.ldexp(1.0, -20)
    y = np.zeros((4, 9), dtype)
    x = np.full((4, 9), -eps, dtype)
    x[1, 0] = np.nextafter(x[1, 0], np.dtype(dtype).type(0))
    y[2, 3] = 1e-25
    x[3] = np.random.default_rng(7).normal(size=9)
    for options in ({}, {"p": 1}, {"p": inf}):
        truth = oracle.truth("triplet", (x, y, x), {"eps": eps, "margin": 0.0, **options})
        for _ in at_each_level():
            got = fl.triplet(x, y, x, eps=eps, margin=0.0, reduction="none", **options)
            note("triplet", dtype, oracle.assert_ulps(got, truth.value, dtype, ULP[dtype]))


@every("p", [1.0, 1.25, 2.0, 3.0, 17.0, inf])
@every_dtype
def test_every_norm(p: float, dtype: str, isa: str) -> None:
    x, y, z = np.random.default_rng(8).normal(size=(3, 20, 13)).astype(dtype)
    z[:10] *= 30  # no loss
    options = {"p": p, "margin": 5.0}
    truth = oracle.truth("triplet", (x, y, z), options)
    got, grads = fl.triplet.value_and_grad(x, y, z, reduction="none", **options)
    scale = oracle.value_scale("triplet", (x, y, z), options, dtype)
    oracle.assert_ulps(got, truth.value, dtype, ULP[dtype], scale=scale)
    for g, exact in zip(grads, truth.derivatives[0], strict=True):
        oracle.assert_derivative(g, exact, dtype, TOLERANCE[dtype], oracle.row_scale(exact))


def test_the_largest_differences_share_their_slope(isa: str) -> None:
    a, p = np.zeros((1, 4)), np.array([[2.0, -2.0, 1.0, 2.0]])
    grads = fl.triplet.grad(a, p, a, p=inf, eps=0.0)
    np.testing.assert_array_equal(grads[1], [[1 / 3, -1 / 3, 0, 1 / 3]])


# -- Where there is nothing --------------------------------------------------------------------------


@every_dtype
def test_a_distance_of_zero_has_no_slope(dtype: str, isa: str) -> None:
    x = np.ones((2, 5), dtype)
    for power in (1, 1.5, 2, 3):
        value, grads = fl.contrastive.value_and_grad(x, x, [1, 0], power=power, reduction="none")
        assert value.tolist() == [0.0, 0.5]
        assert not any(g.any() for g in grads)
    for p in (1, 1.5, 2, inf):
        value, grads = fl.triplet.value_and_grad(x, x, x, p=p, eps=0.0, reduction="none")
        assert value.tolist() == [1.0, 1.0]
        assert not any(g.any() for g in grads)


@every_dtype
def test_zero_vectors_are_at_right_angles_to_everything(dtype: str, isa: str) -> None:
    x, zero = np.ones((3, 5), dtype), np.zeros((3, 5), dtype)
    for a, b in ((x, zero), (zero, x), (zero, zero)):
        for margin, other in ((0.0, 0.0), (0.25, 0.0), (-0.25, 0.25)):
            value, grads = fl.cosine_embedding.value_and_grad(a, b, [1, -1, -1], margin=margin, reduction="none")
            assert value.tolist() == [1.0, other, other]
            assert not any(g.any() for g in grads)


@every_dtype
def test_vectors_without_dimensions(dtype: str) -> None:
    x = np.empty((3, 0), dtype)
    assert fl.contrastive(x, x, [1, 0, 1], reduction="none").tolist() == [0.0, 0.5, 0.0]
    assert fl.triplet(x, x, x, reduction="none").tolist() == [1.0] * 3
    value, grads = fl.cosine_embedding.value_and_grad(x, x, [1, 1, -1], reduction="none")
    assert value.tolist() == [1.0, 1.0, 0.0]
    assert all(g.shape == (3, 0) for g in grads)


@every_vectors
def test_a_single_vector_is_a_row(loss: fl.Loss) -> None:
    args, _ = loss.sample(np.random.default_rng(0), size=5)
    together = loss(*args, reduction="none")
    grads = as_tuple(loss.grad(*args, reduction="sum"))
    for row in range(5):
        value, one = loss.value_and_grad(*(a[row] for a in args), reduction="none")
        assert value.shape == ()
        assert value == together[row]
        assert all(np.array_equal(g, whole[row]) for g, whole in zip(as_tuple(one), grads, strict=True))


@every("bad", [nan, inf, -inf])
@every_call
def test_what_is_not_finite_stays_in_its_row(call: str, bad: float, isa: str) -> None:
    loss, options = CALLS[call]
    x = tuple(np.random.default_rng(9).normal(size=(3, 7, 19)))
    args = labelled(loss, x)
    value, grads = loss.value_and_grad(*args, **options, reduction="none")
    for which in range(len(loss.wrt)):
        dirty = [a.copy() for a in args]
        dirty[which][3, 11] = bad
        got, slopes = loss.value_and_grad(*dirty, **options, reduction="none")
        others = np.arange(7) != 3
        assert np.array_equal(got[others], value[others])
        for g, clean in zip(as_tuple(slopes), as_tuple(grads), strict=True):
            assert np.array_equal(g[others], clean[others])
        if math.isnan(bad):
            assert np.isnan(got[3])
            assert all(np.isnan(g[3]).all() for g in as_tuple(slopes))


def test_infinite_distances() -> None:
    a, p, n = np.zeros((1, 3)), np.array([[inf, 0.0, 0.0]]), np.ones((1, 3))
    for norm in (1, 2, 3, inf):
        assert fl.triplet(a, p, n, p=norm) == inf
        assert fl.triplet(a, n, p, p=norm) == 0.0
        assert math.isnan(fl.triplet(a, p, -p, p=norm))
    assert fl.contrastive(a, p, [1]) == inf
    assert fl.contrastive(a, p, [0]) == 0.0
    assert math.isnan(fl.cosine_embedding(n, p, [1]))


# -- How rows lie ------------------------------------------------------------------------------------


@every("d", [5, 4096, 4099, 9000])
@every_call
def test_rows_in_pieces_are_whole_rows(call: str, d: int, isa: str) -> None:
    """What has to be gathered is seen in pieces; the bits are those of rows in place."""
    loss, options = CALLS[call]
    for dtype in DTYPES:
        x = np.random.default_rng(10).normal(size=(3, 4, d)).astype(dtype)
        x *= np.dtype(dtype).type(1 / math.sqrt(d))
        args = labelled(loss, tuple(x))
        value, grads = loss.value_and_grad(*args, **options, reduction="none")
        strided = [np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim == 2 else a for a in args]
        for given in (strided, [np.asfortranarray(a) for a in args], [args[0], *strided[1:]]):
            got, slopes = loss.value_and_grad(*given, **options, reduction="none")
            assert np.array_equal(got, value)
            assert all(np.array_equal(g, e) for g, e in zip(as_tuple(slopes), as_tuple(grads), strict=True))
        out = tuple(np.empty((4, 2 * d), dtype)[:, ::2] for _ in loss.wrt)
        loss.grad(*args, **options, reduction="none", out=out)
        assert all(np.array_equal(g, e) for g, e in zip(out, as_tuple(grads), strict=True))


@every_vectors
def test_gradients_may_take_the_operands_place(loss: fl.Loss, isa: str) -> None:
    for layout in (np.ascontiguousarray, np.asfortranarray):
        args, _ = loss.sample(np.random.default_rng(11), size=70)
        expected = as_tuple(loss.grad(*args))
        own = [layout(a.copy()) for a in args]
        got = loss.grad(*own, out=tuple(own[: len(loss.wrt)]))
        assert all(np.array_equal(g, e) for g, e in zip(got, expected, strict=True))


@every_vectors
def test_one_vector_beside_many(loss: fl.Loss, isa: str) -> None:
    """A broadcast operand is read in place; its gradient has its own shape."""
    args, _ = loss.sample(np.random.default_rng(12), size=30)
    one = np.broadcast_to(args[0][0], args[0].shape)
    full = loss.value_and_grad(one.copy(), *args[1:], reduction="none")
    got = loss.value_and_grad(one, *args[1:], reduction="none")
    assert np.array_equal(got[0], full[0])
    assert all(np.array_equal(a, b) for a, b in zip(got[1], full[1], strict=True))


@every("left", ["float16", "float32", "float64", "int32", "bfloat16"])
@every("right", ["float16", "float32", "float64", "bool"])
@every_vectors
def test_mixed_types_follow_numpy(loss: fl.Loss, left: str, right: str) -> None:
    kinds = [np.dtype(need("ml_dtypes").bfloat16) if k == "bfloat16" else np.dtype(k) for k in (left, right)]
    x = np.random.default_rng(13).integers(-3, 4, (3, 9, 5))
    given = labelled(loss, tuple(v.astype(kinds[k % 2]) for k, v in enumerate(x)))
    wide = bool(np.result_type(*(np.float32 if k.kind == "V" or k == np.float16 else k for k in kinds)) == np.float64) or all(
        k.kind in "iub" for k in kinds
    )
    computed = np.float64 if wide else np.float32
    up = tuple(a.astype(computed) if a.ndim == 2 else a for a in given)
    value, grads = loss.value_and_grad(*given, reduction="none")
    expected, slopes = loss.value_and_grad(*up, reduction="none")
    assert value.dtype == computed
    assert np.array_equal(value, expected)
    for g, e, a in zip(as_tuple(grads), as_tuple(slopes), given, strict=False):
        assert g.dtype == (np.float64 if a.dtype.kind in "iub" else a.dtype)
        assert np.array_equal(g.astype(float), e.astype(g.dtype).astype(float))


@pytest.mark.parametrize("kind", ["int8", "uint8", "int64", "uint64", "bool"])
def test_every_integer_is_a_label(kind: str) -> None:
    args, _ = fl.contrastive.sample(np.random.default_rng(14), size=40)
    assert fl.contrastive(*args[:2], args[2].astype(kind)) == fl.contrastive(*args)
    assert fl.contrastive(*args[:2], args[2].reshape(8, 5).T.copy().T.ravel().astype(kind)) == fl.contrastive(*args)
    if not kind.startswith("u") and kind != "bool":
        args, _ = fl.cosine_embedding.sample(np.random.default_rng(14), size=40)
        for other in (kind, "float16", "float64"):
            assert fl.cosine_embedding(*args[:2], args[2].astype(other)) == fl.cosine_embedding(*args)


@every_dtype
@every_vectors
def test_samples_in_many_axes(loss: fl.Loss, dtype: str) -> None:
    args, _ = loss.sample(np.random.default_rng(15), dtype=dtype, size=24)
    shaped = per_sample(loss, args, lambda a: np.asfortranarray(a.reshape(2, 3, 4, *a.shape[1:])))
    assert np.array_equal(loss(*shaped, reduction="none").ravel(), loss(*args, reduction="none"))
    weight = np.random.default_rng(16).uniform(0, 2, (2, 3))
    assert loss(*shaped, sample_weight=weight) == pytest.approx(
        loss(*args, sample_weight=np.repeat(weight.ravel(), 4)), rel=1e-14
    )


# -- What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "args", "options", "words"),
    [
        (fl.contrastive, (1.0, 2.0, 1), {}, r"x1: expected vectors along the last axis, got a scalar"),
        (fl.triplet, ([1.0], [1.0, 2.0], [1.0]), {}, r"positive: expected the shape of anchor, \(1,\), got shape \(2,\)"),
        (
            fl.contrastive,
            ([[1.0]], [[1.0]], [2]),
            {},
            r"similar: expected labels 0 or 1 \(from -1 and 1: t > 0\), got 2 at index \(0,\)",
        ),
        (
            fl.contrastive,
            ([[1.0]], [[1.0]], [-1]),
            {},
            r"similar: expected labels 0 or 1 \(from -1 and 1: t > 0\), got -1 at index \(0,\)",
        ),
        (fl.contrastive, ([[1.0]], [[1.0]], [[1]]), {}, r"similar: expected labels 0 or 1 of shape \(1,\) for x1 of shape"),
        (
            fl.cosine_embedding,
            ([[1.0]] * 2, [[1.0]] * 2, [1, 0]),
            {},
            r"target: expected labels -1 or 1 \(from 0 and 1: 2 \* t - 1\), got 0 at index \(1,\)",
        ),
        (
            fl.cosine_embedding,
            ([[1.0]], [[1.0]], [0.5]),
            {},
            r"target: expected labels -1 or 1 \(from 0 and 1: 2 \* t - 1\), got 0.5 at index",
        ),
        (
            fl.margin_ranking,
            ([1.0], [1.0], [0]),
            {},
            r"target: expected labels -1 or 1 \(from 0 and 1: 2 \* t - 1\), got 0 at index \(0,\)",
        ),
        (
            fl.hinge_embedding,
            ([1.0], [2]),
            {},
            r"target: expected labels -1 or 1 \(from 0 and 1: 2 \* t - 1\), got 2 at index \(0,\)",
        ),
        (fl.triplet, ([1.0], [1.0], [1.0]), {"p": 1, "squared": True}, r"squared: expected False where p is not 2, got True"),
        (fl.triplet, ([1.0], [1.0], [1.0]), {"p": 0.5}, r"p: expected a number >= 1, or infinity, got 0.5"),
    ],
)
def test_errors_say_what_was_expected(loss: fl.Loss, args: Any, options: dict[str, Any], words: str) -> None:
    out = tuple(np.full(np.shape(a), 7.0) for a in args[: len(loss.wrt)])
    for method in (loss, loss.grad, loss.value_and_grad):
        with pytest.raises(ValueError, match=rf"^{loss.name}: {words}"):
            method(*args, **options)
    with pytest.raises(ValueError, match=rf"^{loss.name}: {words}"):
        loss.grad(*args, **options, out=out if len(out) > 1 else out[0])
    assert all((b == 7.0).all() for b in out)


def test_floats_are_no_labels_of_similarity() -> None:
    with pytest.raises(TypeError, match=r"^contrastive: similar: expected integer labels 0 or 1"):
        fl.contrastive([[1.0]], [[2.0]], [1.0])


# -- Ranks and distances -----------------------------------------------------------------------------


@every_dtype
def test_ranks_beside_the_margin(dtype: str, note: Note) -> None:
    """The sum of the scores' difference and the margin, as if no digit had been dropped."""
    rng = np.random.default_rng(17)
    x1 = rng.normal(size=200).astype(dtype)
    target = rng.choice([-1, 1], 200)
    for margin in (0.1, 1.0, 0.0):
        x2 = (x1 - target * margin).astype(dtype)
        x2[::3] = np.nextafter(x2[::3], dtype_inf(dtype))
        options = {"margin": margin}
        truth = oracle.truth("margin_ranking", (x1, x2, target), options)
        for _ in at_each_level():
            got = fl.margin_ranking(x1, x2, target.astype(dtype), reduction="none", **options)
            note("margin_ranking", dtype, oracle.assert_ulps(got, truth.value, dtype, 1))
        d = np.abs(x1)
        d[:9] = np.nextafter(np.dtype(dtype).type(margin), [0, 0, 0, 1, 1, 1, 9, 9, 9], dtype=dtype)
        truth = oracle.truth("hinge_embedding", (d, target), options)
        for _ in at_each_level():
            got = fl.hinge_embedding(d, target.astype(dtype), reduction="none", **options)
            note("hinge_embedding", dtype, oracle.assert_ulps(got, truth.value, dtype, 1))


def test_one_score_beside_many(isa: str) -> None:
    x = np.array([0.5, 2.0, -1.0])
    value, grads = fl.margin_ranking.value_and_grad(x, 1.0, [1, 1, -1], reduction="sum")
    assert value == 0.5
    assert grads[0].tolist() == [-1.0, 0.0, 0.0]
    assert grads[1].shape == ()
    assert grads[1] == 1.0
    value, grads = fl.margin_ranking.value_and_grad(1.0, x, -1, reduction="sum")
    assert value == 0.5 + 2.0
    assert grads[0].shape == ()
    assert grads[0] == 2.0


def test_ranking_is_the_hinge_of_the_difference() -> None:
    rng = np.random.default_rng(18)
    x1, x2, t = rng.integers(-9, 9, 99) / 4, rng.integers(-9, 9, 99) / 4, rng.choice([-1, 1], 99)
    assert np.array_equal(
        fl.margin_ranking(x1, x2, t, margin=1.0, reduction="none"), fl.hinge(x1 - x2, t, margin=1.0, reduction="none")
    )


def test_distances_and_their_embedding_agree() -> None:
    """contrastive with power 1 is half of hinge_embedding of the distances."""
    x1, x2, y = fl.contrastive.sample(np.random.default_rng(19), dtype="float64", size=50)[0]
    d = np.linalg.norm(x1 - x2, axis=-1)
    np.testing.assert_allclose(
        2 * fl.contrastive(x1, x2, y, power=1, reduction="none"),
        fl.hinge_embedding(d, 2 * y - 1, reduction="none"),
        rtol=1e-12,
        atol=1e-15,
    )


@pytest.mark.parametrize(("name", "args", "value", "grads"), [
    ("margin_ranking", (nan, 0.0, 1), nan, (nan, nan)),
    ("margin_ranking", (0.0, nan, 1), nan, (nan, nan)),
    ("margin_ranking", (inf, 0.0, 1), 0.0, (0.0, 0.0)),
    ("margin_ranking", (inf, 0.0, -1), inf, (1.0, -1.0)),
    ("margin_ranking", (inf, inf, 1), nan, (nan, nan)),
    ("margin_ranking", (1.0, 1.0, 1), 0.0, (0.0, 0.0)),
    ("hinge_embedding", (nan, 1), nan, (nan,)),
    ("hinge_embedding", (nan, -1), nan, (nan,)),
    ("hinge_embedding", (inf, 1), inf, (1.0,)),
    ("hinge_embedding", (inf, -1), 0.0, (0.0,)),
    ("hinge_embedding", (-inf, -1), inf, (-1.0,)),
    ("hinge_embedding", (1.0, -1), 0.0, (0.0,)),
    ("hinge_embedding", (1.0, nan), nan, (nan,)),
])  # fmt: skip
@every_dtype
def test_table(name: str, args: Any, value: float, grads: Any, dtype: str, isa: str) -> None:
    loss = fl.LOSSES[name]
    many = [np.full(67, v, dtype) for v in args]
    got, slopes = loss.value_and_grad(*many, reduction="none")
    np.testing.assert_array_equal(got, value)
    for g, e in zip(as_tuple(slopes), grads, strict=True):
        np.testing.assert_array_equal(g, e)

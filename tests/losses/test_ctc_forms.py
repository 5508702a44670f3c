"""Promise: the same call in other words is the same; so it is on any number of threads, in little memory."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from cases import THREADS, every_dtype, need
from conftest import at_each_level
from matrix import every
from sequences import RELATIVE, inf, ragged

import fastloss as fl

# -- The same call in other words ---------------------------------------------------------------------------


@every("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_time_major_is_the_same(dtype: str, isa: str) -> None:
    kind = np.dtype(need("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
    (logits, targets), kw = ragged(np.random.default_rng(0), 9, 40, 8, 6)
    x = logits.astype(kind)
    value, grad = fl.ctc.value_and_grad(x, targets, **kw, reduction="none")
    for moved in (x.swapaxes(0, 1), np.ascontiguousarray(x.swapaxes(0, 1))):
        value_too, grad_too = fl.ctc.value_and_grad(moved, targets, **kw, time_major=True, reduction="none")
        assert value.tobytes() == value_too.tobytes()
        assert np.ascontiguousarray(grad_too.swapaxes(0, 1)).tobytes() == grad.tobytes()


@every("dtype", ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"])
def test_concatenated_labels_are_the_same(dtype: str, isa: str) -> None:
    (logits, targets), kw = ragged(np.random.default_rng(0), 9, 40, 8, 6)
    flat = np.concatenate([row[:s] for row, s in zip(targets, kw["target_lengths"], strict=True)])
    given = {name: v.astype(dtype) for name, v in kw.items()}
    for reduction in ("none", "mean"):
        value, grad = fl.ctc.value_and_grad(logits, targets, **kw, reduction=reduction)
        for labels in (flat.astype(dtype), np.repeat(flat, 2).astype(dtype)[::2]):
            value_too, grad_too = fl.ctc.value_and_grad(logits, labels, **given, reduction=reduction)
            assert np.asarray(value).tobytes() == np.asarray(value_too).tobytes()
            assert grad.tobytes() == grad_too.tobytes()


def test_what_stands_in_the_padding_does_not_matter(isa: str) -> None:
    """nan, huge numbers and labels out of range there are never looked at."""
    (logits, targets), kw = ragged(np.random.default_rng(0), 9, 40, 8, 6)
    value, grad = fl.ctc.value_and_grad(logits, targets, **kw, reduction="none")
    for junk, label in ((inf, 0), (-inf, 6), (1e308, -1), (0.0, 3)):
        x, y = logits.copy(), targets.copy()
        x[np.arange(40) >= kw["input_lengths"][:, None]] = junk
        y[np.arange(8) >= kw["target_lengths"][:, None]] = label
        value_too, grad_too = fl.ctc.value_and_grad(x, y, **kw, reduction="none")
        assert value.tobytes() == value_too.tobytes()
        assert grad.tobytes() == grad_too.tobytes()


def test_strides_of_every_axis(isa: str) -> None:
    (logits, targets), kw = ragged(np.random.default_rng(0), 9, 40, 8, 6)
    value, grad = fl.ctc.value_and_grad(logits, targets, **kw, reduction="none")
    wide = np.full((18, 120, 13), 99.0)
    views = [
        (wide[::2, ::3, 1:7], targets),
        (wide[::-2, 2::3, 6:0:-1], targets[::-1].copy()[::-1]),
        (wide[1::2, 1::3, ::2][..., :6], np.repeat(targets, 2, axis=1)[:, ::2]),
    ]
    for view, labels in views:
        view[...] = logits
        value_too, grad_too = fl.ctc.value_and_grad(view, labels, **kw, reduction="none")
        np.testing.assert_allclose(value_too, value, rtol=1e-14)
        np.testing.assert_allclose(grad_too, grad, atol=1e-14)
        out = np.full_like(wide, 5)[::2, ::3, 1:7]
        fl.ctc.grad(view, labels, **kw, reduction="none", out=out)
        np.testing.assert_allclose(out, grad, atol=1e-14)


def test_the_blank_may_be_any_class(isa: str) -> None:
    (logits, targets), kw = ragged(np.random.default_rng(0), 9, 40, 8, 6)
    value, grad = fl.ctc.value_and_grad(logits, targets, **kw, reduction="none")
    for blank in range(6):
        order = np.roll(np.arange(6), -blank)  # order[k] is where class k went, the blank to `blank`
        place = np.argsort(order)
        moved = logits[..., order]
        labels = np.where(targets > 0, place[np.maximum(targets, 0)], targets)
        value_too, grad_too = fl.ctc.value_and_grad(moved, labels, **kw, blank=int(place[0]), reduction="none")
        np.testing.assert_allclose(value_too, value, rtol=1e-14)
        np.testing.assert_allclose(grad_too, grad[..., order], atol=1e-14)


@every_dtype
def test_length_normalize_divides_by_labels_or_frames(dtype: str) -> None:
    (logits, targets), kw = ragged(np.random.default_rng(0), 9, 40, 8, 6, dtype)
    kw["target_lengths"][0] = 0
    value, grad = fl.ctc.value_and_grad(logits, targets, **kw, reduction="none")
    for by, lengths in (("target", kw["target_lengths"]), ("input", kw["input_lengths"])):
        value_too, grad_too = fl.ctc.value_and_grad(logits, targets, **kw, length_normalize=by, reduction="none")
        np.testing.assert_allclose(value_too, value / np.maximum(lengths, 1), rtol=RELATIVE[dtype])
        np.testing.assert_allclose(grad_too, grad / np.maximum(lengths, 1)[:, None, None], atol=RELATIVE[dtype])
        assert fl.ctc(logits, targets, **kw, length_normalize=by) == pytest.approx(value_too.mean(dtype=float), rel=1e-6)
    empty = fl.ctc(np.zeros((1, 0, 3)), np.zeros((1, 0), int), length_normalize="input", reduction="none")
    assert empty.tolist() == [0.0]


@every("samples", [0, 1])
@every_dtype
def test_batches_of_none_and_of_one(samples: int, dtype: str) -> None:
    x, y = np.zeros((samples, 4, 3), dtype), np.ones((samples, 2), np.int64)
    value, grad = fl.ctc.value_and_grad(x, y, reduction="none")
    assert (value.shape, value.dtype, grad.shape, grad.dtype) == ((samples,), dtype, x.shape, dtype)
    assert fl.ctc(x, y, reduction="sum") == pytest.approx(value.sum(dtype=float), rel=1e-6)
    empty = np.zeros(0, np.int64)
    flat = fl.ctc(x, np.ones(2 * samples, np.int64), target_lengths=np.full(samples, 2), reduction="none")
    assert np.array_equal(flat, value)
    assert fl.ctc(np.zeros((0, 4, 3)), empty, target_lengths=empty, input_lengths=empty, reduction="sum") == 0.0


# -- Threads, levels, memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("samples", "frames", "labels", "classes"), [(64, 100, 30, 20), (1, 700, 200, 30), (3, 50, 20, 6000)])
@every_dtype
def test_same_bits_for_any_number_of_threads(samples: int, frames: int, labels: int, classes: int, dtype: str, isa: str) -> None:
    (logits, targets), kw = ragged(np.random.default_rng(0), samples, frames, labels, classes, dtype)
    answers = []
    for n in THREADS:
        with fl.num_threads(n):
            value, grad = fl.ctc.value_and_grad(logits, targets, **kw, reduction="none")
            mean = fl.ctc(logits, targets, **kw)
            chances = fl.ctc_posteriors(logits, targets, **kw)
            paths, scores = fl.ctc_align(logits, targets, **kw)
            parts = (value, grad, np.float64(mean), chances, paths, scores)
            answers.append(tuple(np.ascontiguousarray(part).tobytes() for part in parts))
    assert answers == [answers[0]] * len(THREADS)


@every_dtype
def test_cpu_levels_agree(dtype: str) -> None:
    (logits, targets), kw = ragged(np.random.default_rng(0), 30, 150, 40, 37, dtype)
    answers = [fl.ctc.value_and_grad(logits, targets, **kw, reduction="none") for _ in at_each_level()]
    for value, grad in answers[1:]:
        np.testing.assert_allclose(value, answers[0][0], rtol=RELATIVE[dtype])
        np.testing.assert_allclose(grad, answers[0][1], atol=RELATIVE[dtype])


MEMORY = """
import resource, sys
import numpy as np, fastloss as fl
fl.set_num_threads(1)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
n, t, c, s = map(int, sys.argv[1:5])
x = np.zeros((n, t, c), np.float32); x += 1
y = np.ones((n, s), np.int64); y[:, ::2] = 2
out = np.empty_like(x); out[...] = 0
fl.ctc(x[:1, :2], y[:1, :1]); fl.ctc.grad(x[:1, :2], y[:1, :1])
start = peak(); fl.ctc(x, y); forward = peak() - start
fl.ctc.value_and_grad(x, y, out=out); print(x.nbytes / 2**20, forward, peak() - start)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
@pytest.mark.parametrize(("n", "t", "c", "s"), [(8, 600, 3000, 40), (1, 20_000, 20, 300)])
def test_memory_is_that_of_the_lattice_alone(n: int, t: int, c: int, s: int) -> None:
    """No copy of the logits; forward O(S), and with a gradient about 8 bytes for each frame and state."""
    done = subprocess.run([sys.executable, "-c", MEMORY, *map(str, (n, t, c, s))], capture_output=True, text=True, check=True)
    logits, forward, gradient = map(float, done.stdout.split())
    lattice = 8 * t * (2 * s + 2) / 2**20
    assert forward < min(4, logits / 2) if n > 1 else forward < 4
    assert gradient < 1.5 * lattice + 8

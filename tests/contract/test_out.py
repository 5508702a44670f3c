"""Promise: `out=` is checked before it is written to, and nothing is written on an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import LOSSES, as_tuple, every_differentiable, every_labelled, every_loss, levels
from matrix import every
from refusals import methods, nan, refused, sample

import fastloss as fl


def gradients(loss: fl.Loss) -> list[Callable[..., Any]]:
    return [loss.grad, loss.value_and_grad]


@every_differentiable
def test_out_of_the_wrong_kind(loss: fl.Loss) -> None:
    args, options = sample(loss)
    right = as_tuple(loss.grad(*args, **options))

    def first(other: Any) -> Any:
        return (other, *(r.copy() for r in right[1:])) if len(right) > 1 else other

    r = right[0]
    locked = r.copy()
    locked.flags.writeable = False
    wrong = [
        (ValueError, r[:-1].copy()),
        (ValueError, r[None].copy()),
        (ValueError, np.empty((), r.dtype)),
        (ValueError, locked),
        (ValueError, np.broadcast_to(np.float32(0), r.shape)),
        (TypeError, r.astype(np.float64)),
        (TypeError, r.astype(np.int32)),
        (TypeError, r.astype(r.dtype.newbyteorder())),
        (TypeError, r.tolist()),
        (TypeError, "out"),
    ]
    for kind, other in wrong:
        for method in gradients(loss):
            with refused((kind, ValueError, TypeError), loss.name, "out"):
                method(*args, **options, out=first(other))
    for method in gradients(loss):
        with refused((ValueError, TypeError), loss.name, "out"):
            method(*args, **options, out=(*right, right[0].copy()))
        with refused((ValueError, TypeError), loss.name, "out"):
            method(*args, **options, out=())


@every_differentiable
def test_out_that_overlaps_itself(loss: fl.Loss) -> None:
    """A writable buffer whose entries share memory would be a race."""
    args, options = sample(loss)
    right = as_tuple(loss.grad(*args, **options))
    r = right[0]
    folded = np.lib.stride_tricks.as_strided(np.empty(r.shape[1:] or (1,), r.dtype), r.shape, (0, *r.strides[1:]))
    with refused(ValueError, loss.name, "out"):
        loss.grad(*args, **options, out=(folded, *right[1:]) if len(right) > 1 else folded)


@every_differentiable
def test_out_that_overlaps_an_input(loss: fl.Loss) -> None:
    """Exactly the differentiable input, or memory of its own: a shifted view would read what it wrote."""
    args, options = sample(loss, 9)
    i = loss.arrays.index(loss.wrt[0])
    buffer = np.concatenate([args[i], args[i][:1]])
    args[i] = buffer[:-1]
    before = buffer.copy()
    if len(loss.wrt) == 1:
        with refused(ValueError, loss.name, "out"):
            loss.grad(*args, **options, out=buffer[1:])
        with refused(ValueError, loss.name, "out"):
            loss.grad(*args, **options, out=buffer[-2::-1])
    assert np.array_equal(buffer, before)


@pytest.mark.parametrize("name", [loss.name for loss in LOSSES if loss.pointwise and len(loss.wrt) == 1])
def test_out_that_is_the_target(name: str) -> None:
    """Exactly one of the inputs, not only the differentiable one."""
    loss = fl.LOSSES[name]
    args, options = sample(loss, 1003)
    expected = loss.grad(*args, **options)
    assert loss.grad(*args, **options, out=args[1]) is args[1]
    assert np.array_equal(args[1], expected)


# -- Nothing is written on an error ------------------------------------------------------------------


@every("shape", [(7, 5), (20_011, 9)], str)
@every("axis", [-1, 0])
@every_labelled
def test_in_place_logits_survive_a_bad_label(loss: fl.Loss, shape: tuple[int, int], axis: int, isa: str) -> None:
    """The last label is wrong, the buffer is the logits themselves: not one entry changes."""
    x = -np.random.default_rng(0).exponential(1.0, shape).astype(np.float32)
    y = np.zeros(shape[0], np.int64)
    y[-1] = levels(loss, shape[1])
    x = x if axis == -1 else np.ascontiguousarray(x.T)
    before = x.copy()
    for threads in (1, 3):
        with fl.num_threads(threads):
            for method in gradients(loss):
                with pytest.raises(IndexError):
                    method(x, y, axis=axis, out=x)
                assert np.array_equal(x, before)


@every("size", [9, 1_000_003])
@every("name", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_in_place_input_survives_a_bad_target(name: str, size: int, isa: str) -> None:
    x = np.full(size, 0.5, np.float32)
    t = np.zeros(size, np.float32)
    t[-1] = 1.5
    for method in gradients(fl.LOSSES[name]):
        with pytest.raises(ValueError, match="target"):
            method(x, t, out=x)
        assert (x == 0.5).all()


@every_differentiable
def test_out_survives_every_other_error(loss: fl.Loss) -> None:
    args, options = sample(loss)
    right = as_tuple(loss.grad(*args, **options))
    buffers = tuple(np.full_like(r, 7) for r in right)
    out = buffers if len(buffers) > 1 else buffers[0]
    weight = np.ones(6)
    weight[-1] = nan
    for wrong in ({"sample_weight": weight}, {"reduction": "avg"}, {"nonsense": 1}):
        for method in gradients(loss):
            with pytest.raises((ValueError, TypeError)):
                method(*args, **{**options, **wrong}, out=out)
    assert all((b == 7).all() for b in buffers)


@every_loss
def test_inputs_survive_errors(loss: fl.Loss) -> None:
    args, options = sample(loss)
    before = [a.tobytes() for a in args]
    for method in methods(loss):
        with pytest.raises(ValueError, match="sample_weight"):
            method(*args, **options, sample_weight=-np.ones(6))
    assert [a.tobytes() for a in args] == before

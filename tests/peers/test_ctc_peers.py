"""Parity with PyTorch's and optax's CTC: values and gradients, each reduction's convention, and where they differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import need

import fastloss as fl

pytestmark = pytest.mark.peers


def needed(labels: np.ndarray) -> int:
    """The fewest frames for some labels: one each, and a blank between equal ones."""
    return len(labels) + int((labels[1:] == labels[:-1]).sum())


def ragged(seed: int, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """A feasible batch of random sizes: logits, padded labels, both lengths, the blank."""
    rng = np.random.default_rng(seed)
    samples, frames, labels, classes = (int(rng.integers(1, most)) for most in (9, 60, 25, 40))
    classes += 1
    blank = int(rng.integers(classes))
    x = (rng.choice([0.3, 3.0, 20.0]) * rng.normal(size=(samples, frames, classes))).astype(dtype)
    y = (blank + rng.integers(1, classes, (samples, labels))) % classes
    lengths = rng.integers(0, labels + 1, samples)
    for i in range(samples):
        while needed(y[i, : lengths[i]]) > frames:
            lengths[i] -= 1
    used = np.array([rng.integers(max(1, needed(y[i, :n])), frames + 1) for i, n in enumerate(lengths)])
    return x, y, used, lengths, blank


class Theirs:
    """PyTorch's loss of a batch and its gradient, with respect to the logits or to the log-probabilities."""

    def __init__(self, x: np.ndarray, y: np.ndarray, used: np.ndarray, lengths: np.ndarray, blank: int) -> None:
        self.torch = need("torch")
        self.x = self.torch.from_numpy(x).clone().requires_grad_()
        self.rest = [self.torch.from_numpy(a) for a in (y, used, lengths)]
        self.blank = blank

    def __call__(self, reduction: str, log_probs: bool = False, **options: Any) -> tuple[Any, np.ndarray]:
        log_p = self.x if log_probs else self.x.log_softmax(-1)
        loss = self.torch.nn.functional.ctc_loss(
            log_p.transpose(0, 1), *self.rest, blank=self.blank, reduction=reduction, **options
        )
        (grad,) = self.torch.autograd.grad(loss.sum(), [self.x])
        return loss.detach().numpy(), grad.numpy()


@pytest.mark.parametrize("first", range(0, 500, 100))
def test_500_ragged_batches_in_float64(first: int) -> None:
    """Values to 1e-10 of themselves, gradients of the logits to 1e-10."""
    for seed in range(first, first + 100):
        x, y, used, lengths, blank = ragged(seed)
        kw = {"input_lengths": used, "target_lengths": lengths, "blank": blank}
        expected, slope = Theirs(x, y, used, lengths, blank)("none")
        value, grad = fl.ctc.value_and_grad(x, y, **kw, reduction="none")
        np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(grad, slope, rtol=0, atol=1e-10)


@pytest.mark.parametrize("seed", range(20))
def test_ragged_batches_in_float32(seed: int) -> None:
    """As close as PyTorch's own float32 is to its float64."""
    x, y, used, lengths, blank = ragged(seed, "float32")
    kw = {"input_lengths": used, "target_lengths": lengths, "blank": blank}
    expected, slope = Theirs(x.astype(np.float64), y, used, lengths, blank)("none")
    value, grad = fl.ctc.value_and_grad(x, y, **kw, reduction="none")
    np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(grad, slope, rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_reductions(seed: int) -> None:
    """Sums are equal. PyTorch's "mean" divides each sample by its labels first: our length_normalize="target"."""
    x, y, used, lengths, blank = ragged(seed)
    theirs = Theirs(x, y, used, lengths, blank)
    kw = {"input_lengths": used, "target_lengths": lengths, "blank": blank}
    for reduction, options in (("sum", {}), ("mean", {"length_normalize": "target"})):
        expected, slope = theirs(reduction)
        value, grad = fl.ctc.value_and_grad(x, y, **kw, **options, reduction=reduction)
        assert value == pytest.approx(float(expected), rel=1e-10)
        np.testing.assert_allclose(grad, slope, rtol=0, atol=1e-10)
    assert fl.ctc(x, y, **kw) == pytest.approx(float(theirs("sum")[0]) / len(x), rel=1e-10)


def test_difference_mean() -> None:
    """Ours is the mean of the samples' losses."""
    x, y, used, lengths, blank = ragged(3)
    assert lengths.max() > 1
    ours = fl.ctc(x, y, input_lengths=used, target_lengths=lengths, blank=blank)
    assert abs(ours / float(Theirs(x, y, used, lengths, blank)("mean")[0]) - 1) > 0.1


def test_concatenated_labels() -> None:
    torch = need("torch")
    x, y, used, lengths, blank = ragged(5)
    flat = np.concatenate([row[:n] for row, n in zip(y, lengths, strict=True)])
    theirs = torch.nn.functional.ctc_loss(
        torch.from_numpy(x).log_softmax(-1).transpose(0, 1), *map(torch.from_numpy, (flat, used, lengths)),
        blank=blank, reduction="none",
    )  # fmt: skip
    ours = fl.ctc(x, flat, input_lengths=used, target_lengths=lengths, blank=blank, reduction="none")
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-10, atol=1e-10)


def test_zero_infinity() -> None:
    x, y, used, lengths, blank = ragged(7)
    used[0], lengths[0] = 1, min(3, y.shape[1])
    assert needed(y[0, : lengths[0]]) > 1
    kw = {"input_lengths": used, "target_lengths": lengths, "blank": blank, "reduction": "none"}
    expected, slope = Theirs(x, y, used, lengths, blank)("none", zero_infinity=True)
    value, grad = fl.ctc.value_and_grad(x, y, **kw, zero_infinity=True)
    assert value[0] == expected[0] == 0
    np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(grad, slope, rtol=0, atol=1e-10)
    assert np.isinf(fl.ctc(x, y, **kw)[0])


def test_difference_gradient_of_log_probabilities() -> None:
    """PyTorch returns what log_softmax would pass on, rows that sum to 0, and fails its own gradcheck. Ours is minus the
    occupation, rows that sum to -1; passed through log_softmax both are the same."""
    torch = need("torch")
    x, y, used, lengths, blank = ragged(11)
    used[:] = x.shape[1]
    log_p = torch.from_numpy(x).log_softmax(-1).numpy()
    _, theirs = Theirs(log_p, y, used, lengths, blank)("sum", log_probs=True)
    kw = {"input_lengths": used, "target_lengths": lengths, "blank": blank, "reduction": "sum"}
    ours = fl.ctc.grad(log_p, y, **kw, log_probs=True)
    np.testing.assert_allclose(theirs.sum(axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose(ours.sum(axis=-1), -1, atol=1e-12)
    np.testing.assert_allclose(theirs - ours, np.exp(log_p), atol=1e-10)
    passed_on = ours - np.exp(log_p) * ours.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(passed_on, fl.ctc.grad(x, y, **kw), atol=1e-10)

    def loss(v: Any) -> Any:
        return torch.nn.functional.ctc_loss(
            v.transpose(0, 1), *map(torch.from_numpy, (y, used, lengths)), blank=blank, reduction="sum"
        )

    given = torch.from_numpy(log_p).clone().requires_grad_()
    assert not torch.autograd.gradcheck(loss, [given], raise_exception=False)
    assert fl.gradcheck(fl.ctc, log_p, y, **kw | {"log_probs": True}, verbose=False)


@pytest.mark.parametrize("seed", range(12))
def test_optax(seed: int) -> None:
    """float32; its paddings are ones where nothing is used, and its "reduction" is the caller's."""
    optax, jax = need("optax"), need("jax")
    x, y, used, lengths, blank = ragged(seed, "float32")
    x = np.clip(x, -30, 30)
    paddings = [(np.arange(n) >= each[:, None]).astype(np.float32) for n, each in ((x.shape[1], used), (y.shape[1], lengths))]

    def theirs(v: Any) -> Any:
        return optax.ctc_loss(v, paddings[0], y, paddings[1], blank_id=blank)

    kw = {"input_lengths": used, "target_lengths": lengths, "blank": blank, "reduction": "none"}
    value, grad = fl.ctc.value_and_grad(x, y, **kw)
    np.testing.assert_allclose(value, np.asarray(theirs(x)), rtol=3e-5, atol=3e-5)
    np.testing.assert_allclose(grad, np.asarray(jax.grad(lambda v: theirs(v).sum())(x)), atol=1e-4)


def test_difference_optax_has_no_infinity() -> None:
    """What cannot be aligned costs 1e5 there, and is infinite here."""
    optax = need("optax")
    x, y = np.zeros((1, 2, 4), np.float32), np.array([[1, 2, 3]])
    theirs = float(optax.ctc_loss(x, np.zeros((1, 2)), y, np.zeros((1, 3)))[0])
    assert np.isfinite(theirs)
    assert theirs > 1e4
    assert fl.ctc(x, y, reduction="none")[0] == np.inf

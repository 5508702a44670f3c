"""Parity with PyTorch: the same numbers in, the same numbers out; where it means something else, that is shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import every_dtype, need

import fastloss as fl

torch = need("torch")
F = torch.nn.functional
pytestmark = pytest.mark.peers

RTOL = {"float32": 3e-6, "float64": 1e-12}
RNG = np.random.default_rng(0)


def tensor(a: Any) -> Any:
    return torch.from_numpy(np.ascontiguousarray(a))


def check(ours: Callable[..., Any], theirs: Callable[..., Any], x: np.ndarray, target: np.ndarray) -> None:
    """Every reduction's value and gradient."""
    rtol = RTOL[x.dtype.name]
    for reduction in ("none", "sum", "mean"):
        given = tensor(x).clone().requires_grad_()
        expected = theirs(given, tensor(target), reduction=reduction)
        expected.sum().backward()
        value, grad = ours(x, target, reduction)
        np.testing.assert_allclose(value, expected.detach().numpy(), rtol=rtol, atol=rtol)
        np.testing.assert_allclose(grad, given.grad.numpy(), rtol=rtol, atol=rtol * float(given.grad.abs().max()))


def ours(loss: fl.Loss, **options: Any) -> Callable[..., Any]:
    return lambda x, t, reduction: loss.value_and_grad(x, t, reduction=reduction, **options)


REGRESSION = [
    (fl.mse, {}, F.mse_loss, {}),
    (fl.mae, {}, F.l1_loss, {}),
    (fl.huber, {"delta": 0.7}, F.huber_loss, {"delta": 0.7}),
    (fl.smooth_l1, {"beta": 0.7}, F.smooth_l1_loss, {"beta": 0.7}),
    (fl.smooth_l1, {"beta": 0.0}, F.smooth_l1_loss, {"beta": 0.0}),
]


@every_dtype
@pytest.mark.parametrize(("loss", "options", "peer", "theirs"), REGRESSION, ids=lambda v: getattr(v, "name", None))
def test_regression(loss: fl.Loss, options: dict[str, Any], peer: Any, theirs: dict[str, Any], dtype: str) -> None:
    a, b = RNG.normal(0, 2, (2, 7, 33)).astype(dtype)
    check(ours(loss, **options), lambda x, t, reduction: peer(x, t, reduction=reduction, **theirs), a, b)


@every_dtype
def test_binary_cross_entropy(dtype: str) -> None:
    p, t = RNG.uniform(0.01, 0.99, (2, 7, 33)).astype(dtype)
    check(ours(fl.binary_cross_entropy), F.binary_cross_entropy, p, t)
    assert fl.binary_cross_entropy([0.0], [1.0]) == F.binary_cross_entropy(torch.zeros(1), torch.ones(1)) == 100


@every_dtype
@pytest.mark.parametrize("weight", [None, "scalar", "trailing", "image"])
def test_binary_cross_entropy_with_logits(dtype: str, weight: str | None) -> None:
    """pos_weight broadcasts along the trailing axes."""
    x = RNG.normal(0, 3, (4, 7, 33)).astype(dtype)
    t = RNG.uniform(0, 1, (4, 7, 33)).astype(dtype)
    shape = {"scalar": (), "trailing": (33,), "image": (7, 33)}.get(weight or "")
    w = None if shape is None else np.asarray(RNG.uniform(0.5, 3, shape), dtype)
    theirs = None if w is None else torch.as_tensor(w)
    check(
        ours(fl.binary_cross_entropy_with_logits, pos_weight=w),
        lambda a, b, reduction: F.binary_cross_entropy_with_logits(a, b, pos_weight=theirs, reduction=reduction),
        x,
        t,
    )


@every_dtype
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("log_input", [True, False])
def test_poisson_nll(log_input: bool, full: bool, dtype: str) -> None:
    x = (RNG.normal(0, 1, (7, 33)) if log_input else RNG.uniform(0, 5, (7, 33))).astype(dtype)
    t = RNG.poisson(2.0, (7, 33)).astype(dtype)
    check(
        ours(fl.poisson_nll, log_input=log_input, full=full),
        lambda a, b, reduction: F.poisson_nll_loss(a, b, log_input=log_input, full=full, reduction=reduction),
        x,
        t,
    )


def labels(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return RNG.choice([-1.0, 1.0], shape).astype(dtype)


def reduced(values: Any, reduction: str) -> Any:
    return values if reduction == "none" else getattr(values, reduction)()


def by_formula(formula: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda a, b, reduction: reduced(formula(a, b), reduction)


MARGINS = [
    (fl.hinge, {}, lambda s, t: (1 - t * s).clamp(min=0)),
    (fl.hinge, {"margin": 0.3}, lambda s, t: (0.3 - t * s).clamp(min=0)),
    (fl.squared_hinge, {}, lambda s, t: (1 - t * s).clamp(min=0) ** 2),
    (fl.perceptron, {}, lambda s, t: (-t * s).clamp(min=0)),
    (fl.exponential, {}, lambda s, t: torch.exp(-t * s)),
]


@every_dtype
@pytest.mark.parametrize(("loss", "options", "formula"), MARGINS, ids=lambda v: getattr(v, "name", None))
def test_margin_losses(loss: fl.Loss, options: dict[str, Any], formula: Any, dtype: str) -> None:
    check(ours(loss, **options), by_formula(formula), RNG.normal(0, 2, (7, 33)).astype(dtype), labels((7, 33), dtype))


@every_dtype
def test_soft_margin(dtype: str) -> None:
    check(ours(fl.soft_margin), F.soft_margin_loss, RNG.normal(0, 3, (7, 33)).astype(dtype), labels((7, 33), dtype))


def test_difference_soft_margin_of_a_confident_mistake() -> None:
    """200 nats, where PyTorch's float32 is inf."""
    s, t = np.array([-200.0], np.float32), np.ones(1, np.float32)
    assert fl.soft_margin(s, t) == 200
    assert F.soft_margin_loss(tensor(s), tensor(t)).isinf()


def torchvision_focal(x: Any, t: Any, alpha: float, gamma: float) -> Any:
    """The formula of torchvision.ops.sigmoid_focal_loss."""
    p = torch.sigmoid(x)
    loss = F.binary_cross_entropy_with_logits(x, t, reduction="none") * (1 - (p * t + (1 - p) * (1 - t))) ** gamma
    return loss if alpha < 0 else (alpha * t + (1 - alpha) * (1 - t)) * loss


@every_dtype
@pytest.mark.parametrize("gamma", [0.0, 1.0, 1.7, 2.0])
@pytest.mark.parametrize("alpha", [0.25, None])
def test_sigmoid_focal(alpha: float | None, gamma: float, dtype: str) -> None:
    t = (labels((7, 33), dtype) + 1) / 2
    formula = by_formula(lambda a, b: torchvision_focal(a, b, -1 if alpha is None else alpha, gamma))
    check(ours(fl.sigmoid_focal, alpha=alpha, gamma=gamma), formula, RNG.normal(0, 3, (7, 33)).astype(dtype), t)


def test_difference_soft_targets_of_the_focal_loss() -> None:
    """Here they mix the losses of both labels; torchvision's formula mixes before it takes the power."""
    x, t = RNG.normal(0, 3, 33), RNG.uniform(0.2, 0.8, 33)
    one, zero = (fl.sigmoid_focal(x, np.full(33, label), reduction="none") for label in (1.0, 0.0))
    mine = fl.sigmoid_focal(x, t, reduction="none")
    np.testing.assert_allclose(mine, t * one + (1 - t) * zero, rtol=1e-13)
    assert (np.abs(mine - torchvision_focal(tensor(x), tensor(t), 0.25, 2.0).numpy()) > 1e-3).any()


def test_difference_focal_gradient_of_a_certain_label() -> None:
    """p is 1 to the last digit of a float: the formula's loss and gradient are 0, or nan."""
    x, t = np.array([25.0], np.float32), np.ones(1, np.float32)
    given = tensor(x).requires_grad_()
    theirs = torchvision_focal(given, tensor(t), 0.25, 1.5)
    theirs.sum().backward()
    exact = 0.25 * math.exp(-25 * 2.5)
    value, grad = fl.sigmoid_focal.value_and_grad(x, t, gamma=1.5)
    assert value == pytest.approx(exact, rel=1e-6)
    assert grad[0] == pytest.approx(-2.5 * exact, rel=1e-6)
    assert theirs.item() == 0
    assert not abs(given.grad.item() / grad[0] - 1) < 0.5


@every_dtype
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(65, 5), (3, 5, 4, 7), (65, 1000)], ids=str)
def test_cross_entropy(shape: tuple[int, ...], weighted: bool, smoothing: float, dtype: str) -> None:
    """Class indices, the class axis where PyTorch wants it."""
    x = RNG.normal(0, 3, shape).astype(dtype)
    y = RNG.integers(0, shape[1], shape[:1] + shape[2:])
    y.flat[::5] = -100
    w = RNG.uniform(0.1, 2, shape[1]).astype(dtype) if weighted else None
    theirs = None if w is None else tensor(w)
    check(
        ours(fl.cross_entropy, axis=1, class_weight=w, label_smoothing=smoothing),
        lambda a, b, reduction: F.cross_entropy(a, b, theirs, reduction=reduction, label_smoothing=smoothing),
        x,
        y,
    )


@every_dtype
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_probabilities(smoothing: float, dtype: str) -> None:
    x = RNG.normal(0, 3, (65, 7)).astype(dtype)
    t = RNG.dirichlet(np.ones(7), 65).astype(dtype)
    check(
        ours(fl.cross_entropy, label_smoothing=smoothing),
        lambda a, b, reduction: F.cross_entropy(a, b, reduction=reduction, label_smoothing=smoothing),
        x,
        t,
    )


def test_difference_mean_of_weighted_probabilities() -> None:
    """PyTorch divides by N; here the mean divides by the summed weights, as it does for class indices."""
    x = RNG.normal(0, 3, (65, 7))
    y = RNG.integers(0, 7, 65)
    t = np.eye(7)[y]
    w = RNG.uniform(0.1, 2, 7)
    theirs = F.cross_entropy(tensor(x), tensor(t), tensor(w)).item()
    mine = fl.cross_entropy(x, t, class_weight=w)
    assert mine == pytest.approx(F.cross_entropy(tensor(x), tensor(y), tensor(w)).item(), rel=1e-12)
    assert mine == pytest.approx(theirs * 65 / w[y].sum(), rel=1e-12)
    assert abs(mine - theirs) > 1e-3


@every_dtype
@pytest.mark.parametrize("weighted", [False, True])
def test_nll(weighted: bool, dtype: str) -> None:
    x = -RNG.exponential(2, (3, 5, 4, 7)).astype(dtype)
    y = RNG.integers(0, 5, (3, 4, 7))
    y[0, 0] = -100
    w = RNG.uniform(0.1, 2, 5).astype(dtype) if weighted else None
    theirs = None if w is None else tensor(w)
    check(
        ours(fl.nll, axis=1, class_weight=w),
        lambda a, b, reduction: F.nll_loss(a, b, theirs, reduction=reduction),
        x,
        y,
    )


@every_dtype
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_functions(axis: int, dtype: str) -> None:
    x = RNG.normal(0, 3, (5, 33, 7)).astype(dtype)
    rtol = RTOL[dtype]
    np.testing.assert_allclose(fl.logsumexp(x, axis=axis), torch.logsumexp(tensor(x), axis).numpy(), rtol=rtol)
    np.testing.assert_allclose(fl.softmax(x, axis=axis), F.softmax(tensor(x), axis).numpy(), rtol=rtol)
    np.testing.assert_allclose(fl.log_softmax(x, axis=axis), F.log_softmax(tensor(x), axis).numpy(), rtol=rtol, atol=rtol)


def test_difference_a_confident_row_is_not_lost() -> None:
    """A row won by 17 nats: PyTorch's float32 loss is 0 or noise, and its gradient at the label 0."""
    x, y = np.array([[17.0, 0.0]], np.float32), np.array([0])
    exact = math.log1p(math.exp(-17.0))
    assert fl.cross_entropy(x, y) == pytest.approx(exact, rel=1e-6)
    theirs = F.cross_entropy(tensor(x), tensor(y)).item()
    assert abs(theirs - exact) > 0.1 * exact


def test_tensors_are_read_in_place() -> None:
    """A CPU tensor is an array; one that needs a gradient says so itself."""
    x, y = torch.randn(9, 5), torch.randint(0, 5, (9,))
    assert fl.cross_entropy(x, y) == fl.cross_entropy(x.numpy(), y.numpy())
    assert type(fl.cross_entropy.grad(x, y)) is np.ndarray
    out = np.empty((9, 5), np.float32)
    fl.cross_entropy.grad(x, y, out=out)
    np.testing.assert_array_equal(out, fl.cross_entropy.grad(x.numpy(), y.numpy()))


def test_bfloat16_tensors_are_read_in_place() -> None:
    """PyTorch refuses to make NumPy arrays of them; their bits are bfloat16 arrays all the same, of any strides."""
    ml_dtypes = need("ml_dtypes")
    x, y = torch.randn(9, 5, dtype=torch.bfloat16), torch.randint(0, 5, (9,))
    array = x.float().numpy().astype(ml_dtypes.bfloat16)
    for a, b in ((x, array), (x[::2], array[::2]), (x[:, 1:], array[:, 1:])):
        t = np.minimum(y.numpy()[: len(b)], b.shape[1] - 1)
        assert fl.cross_entropy(a, t) == fl.cross_entropy(b, t)
        assert fl.mse(a, a.t().contiguous().t()) == 0
    grad = fl.cross_entropy.grad(x, y)
    assert grad.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(grad, fl.cross_entropy.grad(array, y))
    assert fl.cross_entropy(array, y, sample_weight=torch.ones(9, dtype=torch.bfloat16)) == fl.cross_entropy(array, y)
    assert fl.evaluate("cross_entropy", logits=x, target=y)["cross_entropy"].mean == pytest.approx(fl.cross_entropy(array, y))
    assert fl.softmax(torch.tensor(1.0, dtype=torch.bfloat16)[None]) == 1
    with pytest.raises(TypeError, match=r"cross_entropy: logits: expected an array, got Tensor: .*detach"):
        fl.cross_entropy(x.clone().requires_grad_(), y)  # as of any other type


def test_calls_mix_with_pytorchs_own_openmp() -> None:
    """Both libraries' parallel loops in one process, by turns."""
    x = np.random.default_rng(0).normal(size=(20_011, 33)).astype(np.float32)
    y = np.zeros(20_011, int)
    expected = fl.cross_entropy(x, y)
    for _ in range(5):
        F.cross_entropy(tensor(x), tensor(y))
        with fl.num_threads(3):
            assert fl.cross_entropy(x, y) == expected


# -- Divergences, and losses of several differentiable arguments --------------------------------------


def check_all(ours: Callable[..., Any], theirs: Callable[..., Any], arrays: tuple[np.ndarray, ...], wrt: tuple[int, ...]) -> None:
    """Value, and gradient with respect to each of the arguments `wrt`."""
    rtol = RTOL[arrays[0].dtype.name]
    given = [tensor(a).clone().requires_grad_(k in wrt) for k, a in enumerate(arrays)]
    expected = theirs(*given)
    expected.sum().backward()
    value, grad = ours(*arrays)
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=4 * rtol, atol=rtol)
    for g, k in zip(grad if isinstance(grad, tuple) else (grad,), wrt, strict=True):
        e = given[k].grad.numpy()
        np.testing.assert_allclose(g, e, rtol=4 * rtol, atol=rtol * float(np.abs(e).max()))


@every_dtype
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("shape", [(7, 33), (7, 1), (7,), ()], ids=str)
def test_gaussian_nll(shape: tuple[int, ...], full: bool, dtype: str) -> None:
    """A variance for each element, for each row (in both forms), or for all."""
    x, t = RNG.normal(0, 2, (2, 7, 33)).astype(dtype)
    v = np.asarray(RNG.uniform(0.2, 3, shape), dtype)
    for reduction in ("none", "sum", "mean"):

        def theirs(a: Any, b: Any, c: Any, how: str = reduction) -> Any:
            return F.gaussian_nll_loss(a, b, c if shape else c.expand(7, 33), full=full, reduction=how)

        check_all(
            lambda *arrays, how=reduction: fl.gaussian_nll.value_and_grad(*arrays, full=full, reduction=how),
            theirs,
            (x, t, v),
            (0, 2),
        )


def test_difference_gradient_of_a_clipped_variance() -> None:
    """PyTorch raises a small variance to eps but keeps eps's own slope; here a clipped variance has none."""
    x, t, v = np.array([1e-3]), np.array([0.0]), np.array([1e-8])
    theirs = tensor(v).requires_grad_()
    F.gaussian_nll_loss(tensor(x), tensor(t), theirs).backward()
    assert theirs.grad.item() == pytest.approx(fl.gaussian_nll.grad(x, t, np.array([1e-6]))[1][0], abs=1e-6)
    assert fl.gaussian_nll.grad(x, t, v)[1][0] == 0.0
    v = np.array([1e-7])
    theirs = tensor(v).requires_grad_()
    F.gaussian_nll_loss(tensor(np.array([0.0])), tensor(t), theirs).backward()
    assert theirs.grad.item() == pytest.approx(0.5e6)
    assert fl.gaussian_nll.grad(np.array([0.0]), t, v)[1][0] == 0.0


@every_dtype
@pytest.mark.parametrize("log_target", [False, True])
@pytest.mark.parametrize("shape", [(65, 7), (9, 1003), (3, 5, 7)], ids=str)
def test_kl_div(shape: tuple[int, ...], log_target: bool, dtype: str) -> None:
    """Our "mean" is "batchmean" where the rows are the batch; "none" is their "none", summed along the row."""
    x, t = (np.asarray(fl.log_softmax(RNG.normal(0, 2, shape))).astype(dtype) for _ in range(2))
    t = t if log_target else np.exp(t)
    rows = math.prod(shape[:-1])
    check_all(
        lambda a, b: fl.kl_div.value_and_grad(a, b, log_target=log_target),
        lambda a, b: F.kl_div(a.reshape(rows, -1), b.reshape(rows, -1), reduction="batchmean", log_target=log_target),
        (x, t),
        (0,),
    )
    check_all(
        lambda a, b: fl.kl_div.value_and_grad(a, b, log_target=log_target, reduction="none"),
        lambda a, b: F.kl_div(a, b, reduction="none", log_target=log_target).sum(-1),
        (x, t),
        (0,),
    )


def test_difference_mean_of_kl_div() -> None:
    """PyTorch's "mean" divides by every element, its "batchmean" by the first axis alone."""
    x, t = fl.log_softmax(RNG.normal(0, 2, (3, 5, 7))), RNG.dirichlet(np.ones(7), (3, 5))
    mine = fl.kl_div(x, t)
    with pytest.warns(UserWarning, match="batchmean"):
        assert F.kl_div(tensor(x), tensor(t), reduction="mean").item() == pytest.approx(mine / 7, rel=1e-12)
    assert F.kl_div(tensor(x), tensor(t), reduction="batchmean").item() == pytest.approx(5 * mine, rel=1e-12)


def test_difference_impossible_classes_of_kl_div() -> None:
    """0 log 0 is 0 here whatever the prediction; PyTorch multiplies 0 by an infinite logarithm."""
    x, t = np.array([[-np.inf, 0.0]]), np.array([[0.0, 1.0]])
    assert fl.kl_div(x, t) == 0.0
    assert math.isnan(F.kl_div(tensor(x), tensor(t), reduction="batchmean").item())


def test_difference_negative_targets_of_kl_div() -> None:
    x, t = np.array([[-1.0, -1.0]]), np.array([[-0.5, 1.5]])
    F.kl_div(tensor(x), tensor(t), reduction="batchmean")  # a number, or nan, without a word
    with pytest.raises(ValueError, match="target"):
        fl.kl_div(x, t)


@every_dtype
def test_gaussian_kl(dtype: str) -> None:
    """torch.distributions' closed form, summed over the dimensions."""
    m, s, m0, s0 = RNG.normal(0, 1.5, (4, 65, 7)).astype(dtype)
    normal = torch.distributions.Normal
    for priors in ((m0, s0), (m0[0], s0[0])):

        def theirs(a: Any, b: Any, p: Any = priors) -> Any:
            prior = normal(tensor(p[0]), torch.exp(tensor(p[1]) / 2))
            return torch.distributions.kl_divergence(normal(a, torch.exp(b / 2)), prior).sum(-1)

        check_all(
            lambda a, b, p=priors: fl.gaussian_kl.value_and_grad(
                a, b, prior_mean=p[0], prior_log_variance=p[1], reduction="none"
            ),
            theirs,
            (m, s),
            (0, 1),
        )


@every_dtype
def test_js_divergence(dtype: str) -> None:
    p, q = RNG.dirichlet(np.ones(33), (2, 65)).astype(dtype)

    def theirs(a: Any, b: Any) -> Any:
        log_m = ((a + b) / 2).log()
        return (F.kl_div(log_m, a, reduction="batchmean") + F.kl_div(log_m, b, reduction="batchmean")) / 2

    check_all(fl.js_divergence.value_and_grad, theirs, (p, q), (0, 1))


# -- Scores and a label ------------------------------------------------------------------------------------------


@every_dtype
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("margin", [0.5, 1.0, 4.0])
def test_multi_margin_loss_is_weston_watkins(margin: float, p: int, dtype: str) -> None:
    x, y = RNG.normal(0, 2, (65, 7)).astype(dtype), RNG.integers(0, 7, 65)
    check(
        ours(fl.multiclass_hinge, kind="weston_watkins", margin=margin, p=p),
        lambda a, b, reduction: F.multi_margin_loss(a, b, p=p, margin=margin, reduction=reduction),
        x,
        y,
    )


@every_dtype
@pytest.mark.parametrize("p", [1, 2])
def test_difference_mean_of_a_weighted_multiclass_hinge(p: int, dtype: str) -> None:
    """The same weighted values; PyTorch's mean divides by N, ours by the summed weights."""
    x, y = RNG.normal(0, 2, (65, 7)).astype(dtype), RNG.integers(0, 7, 65)
    w = RNG.uniform(0.1, 3, 7).astype(dtype)
    options: dict[str, Any] = {"kind": "weston_watkins", "p": p, "class_weight": w}
    theirs = {r: F.multi_margin_loss(tensor(x), tensor(y), p=p, weight=tensor(w), reduction=r) for r in ("none", "sum", "mean")}
    got = fl.multiclass_hinge(x, y, reduction="none", **options)
    np.testing.assert_allclose(got, theirs["none"].numpy(), rtol=RTOL[dtype], atol=RTOL[dtype])
    assert fl.multiclass_hinge(x, y, reduction="sum", **options) == pytest.approx(theirs["sum"].item(), rel=RTOL[dtype])
    mine, their = fl.multiclass_hinge(x, y, **options), theirs["mean"].item()
    assert mine == pytest.approx(their * 65 / float(w[y].sum()), rel=4 * RTOL[dtype])
    assert abs(mine - their) > 1e-3


@every_dtype
def test_energy_nll_is_cross_entropy_of_negated_energies(dtype: str) -> None:
    x, y = RNG.normal(0, 3, (65, 7)).astype(dtype), RNG.integers(0, 7, 65)
    check(ours(fl.energy, beta=2.0), lambda a, b, reduction: F.cross_entropy(-2 * a, b, reduction=reduction) / 2, x, y)


def test_difference_a_probability_that_underflows_is_not_lost() -> None:
    """The difference of two sigmoids is 0 in PyTorch where both round to 1."""
    s, cuts = np.array([40.0, -40.0]), np.array([-1.0, 1.0])
    got = fl.cumulative_link(s, cuts, [0, 2], reduction="none")
    np.testing.assert_allclose(got, [41.0, 41.0], rtol=1e-15)
    theirs = -torch.log(torch.sigmoid(tensor(cuts[1:] - s[1:])) - torch.sigmoid(tensor(cuts[:1] - s[1:])))
    assert torch.isinf(theirs).all()
    middle = fl.cumulative_link(s[1:], cuts, [1])
    assert middle == pytest.approx(39.0 - math.log1p(-math.exp(-2.0)), rel=1e-14)

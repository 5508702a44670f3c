"""The contenders: fastloss, pure NumPy and each installed peer, every one at its best.

A peer turns a `Problem` into contenders, calls without arguments that are only then timed: its
arrays are converted, its graph compiled, its output buffers allocated before the clock starts.
Several contenders may serve one column (two ways of compiling); the fastest counts. A peer that
is not installed, or lacks the function, raises `AbsentError` with the reason.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

import fastloss as fl

from . import expressions
from .expressions import Array
from .rows import FORWARD, GRADIENT, HESSIAN, Problem, differentiable


class AbsentError(Exception):
    """This peer cannot take part in this row, and why."""


Gradient = Array | tuple[Array, ...] | None


@dataclass(frozen=True)
class Contender:
    column: str
    call: Callable[[], Any]
    read: Callable[
        [Any], tuple[Array, Gradient]
    ]  # result -> (value, gradient, or a tuple of them, or None), or (gradient, Hessian)


def _need(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise AbsentError(f"{module} is not installed") from error


def _have(table: dict[str, Any], problem: Problem) -> Any:
    if problem.task not in table:
        raise AbsentError("has no such function")
    return table[problem.task]


def _as_arrays(result: Any, gradient: bool) -> tuple[Array, Gradient]:
    value, grad = result if gradient else (result, None)
    if isinstance(grad, tuple):
        return _float64(value), tuple(map(_float64, grad))
    return _float64(value), None if grad is None else _float64(grad)


def _float64(x: Any) -> Array:
    return np.asarray(x).astype(np.float64)


class Peer(ABC):
    """One library. Constructed once per process, with the number of threads it may use."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    @abstractmethod
    def contenders(self, problem: Problem) -> Iterator[Contender]: ...


class FastLoss(Peer):
    """Ours; twice where there is an output: allocated as the peers do, and the caller's buffer."""

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        read = partial(_as_arrays, gradient=problem.mode != FORWARD)
        function: Any = getattr(fl, problem.task)
        if problem.mode == HESSIAN:
            yield Contender("fastloss", partial(function.grad_and_hess, *problem.arrays, reduction="sum"), read)
            return
        if problem.mode == GRADIENT:
            function = function.value_and_grad
        call = partial(function, *problem.arrays, **problem.options)
        yield Contender("fastloss", call, read)
        if problem.mode != FORWARD or problem.task == "softmax":
            out = tuple(np.empty_like(problem.arrays[k]) for k in differentiable(problem.task))
            yield Contender("fastloss out=", partial(call, out=out if len(out) > 1 else out[0]), read)


class NumPy(Peer):
    def contenders(self, problem: Problem) -> Iterator[Contender]:
        gradient = problem.mode != FORWARD
        read = partial(_as_arrays, gradient=gradient)
        if problem.tiny and (problem.options or problem.task not in expressions.VALUES):
            yield Contender("NumPy", partial(_reference, problem), read)
            return
        table: Any = expressions.GRADIENTS if gradient else expressions.VALUES
        if problem.mode == HESSIAN:
            table = expressions.HESSIANS
        function = partial(_have(table, problem), *problem.arrays, **problem.options)
        reduces = not gradient and problem.task in fl.LOSSES
        yield Contender("NumPy", (lambda: function().mean()) if reduces else function, read)


def _reference(problem: Problem) -> float:
    """The textbook definition, in float64, where no shorter expression is written down."""
    from fastloss._reference import reduce

    return float(reduce(*fl.LOSSES[problem.task].reference(*problem.arrays, **problem.options)))


class SciPy(Peer):
    def contenders(self, problem: Problem) -> Iterator[Contender]:
        special = _need("scipy.special")
        if problem.mode != FORWARD or problem.arrays[0].dtype.itemsize == 2:
            raise AbsentError("has no such function")

        def cross_entropy(x: Array, target: Array, axis: int = -1) -> Any:
            log_probs = special.log_softmax(x, axis)
            if target.shape == x.shape:
                return -(target * log_probs).sum(axis).mean()
            return -np.take_along_axis(log_probs, np.expand_dims(target, axis), axis).mean()

        def binary_cross_entropy(x: Array, target: Array) -> Any:
            return -(target * special.log_expit(x) + (1 - target) * special.log_expit(-x)).mean()

        table = {
            "cross_entropy": cross_entropy,
            "logsumexp": partial(special.logsumexp, axis=-1),
            "softmax": partial(special.softmax, axis=-1),
            "huber": lambda p, t: special.huber(np.float32(1), p - t).mean(),
            "pairwise_distances": lambda x, y: _need("scipy.spatial.distance").cdist(x, y),
            "binary_cross_entropy_with_logits": binary_cross_entropy,
            "kl_div": lambda x, t: special.rel_entr(t, np.exp(x)).sum(axis=-1).mean(),
            "js_divergence": lambda p, q: (
                (special.rel_entr(p, (p + q) / 2) + special.rel_entr(q, (p + q) / 2)).sum(-1).mean() / 2
            ),
        }
        call = partial(_have(table, problem), *problem.arrays, **problem.options)
        yield Contender("SciPy", call, partial(_as_arrays, gradient=False))


class ScikitLearn(Peer):
    """The losses of its gradient boosting: one value per sample, gradients not divided by N.

    They are taken as they come, without a pass to scale them, which favours them.
    """

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        losses = _need("sklearn._loss.loss")
        table = {
            "mse": (losses.HalfSquaredError, 2),
            "mae": (losses.AbsoluteError, 1),
            "huber": (losses.HuberLoss, 1),
            "smooth_l1": (losses.HuberLoss, 1),
            "binary_cross_entropy_with_logits": (losses.HalfBinomialLoss, 1),
            "cross_entropy": (losses.HalfMultinomialLoss, 1),
            "quantile": (losses.PinballLoss, 1),
            "poisson_nll": (losses.HalfPoissonLoss, 1),
            "gamma": (losses.HalfGammaLoss, 1),
            "tweedie": (losses.HalfTweedieLoss, 1),
            "exponential": (losses.ExponentialLoss, 1),
        }
        make, factor = _have(table, problem)
        x, target = problem.arrays
        if problem.task == "cross_entropy" and target.shape == x.shape:
            raise AbsentError("has no such target")
        if x.dtype.itemsize == 2 or problem.options:
            raise AbsentError("has no such layout or type")
        if make is losses.HuberLoss:
            loss = make(delta=1.0)
        else:
            loss = make(n_classes=x.shape[1]) if x.ndim == 2 else make()
        y, n = target.astype(x.dtype), target.size
        if problem.task == "exponential":
            y = (y + 1) / 2  # its labels
        values = np.empty(n, x.dtype)
        if problem.mode == HESSIAN:
            both = partial(loss.gradient_hessian, y, x, None, np.empty_like(x), np.empty_like(x), self.threads)
            yield Contender("scikit-learn", both, partial(_without_ones, problem=problem))
            return
        # the constants of deviances are not its work: they are added when the result is looked at
        constant = float(np.mean(loss.constant_to_optimal_zero(y))) if problem.task in ("gamma", "tweedie") else 0.0
        if problem.mode == FORWARD:
            call = partial(loss.loss, y, x, None, values, self.threads)
            yield Contender(
                "scikit-learn",
                lambda: call().mean(),
                lambda mean: (_float64(factor * mean + constant), None),
            )
        else:
            both = partial(loss.loss_gradient, y, x, None, values, np.empty_like(x), self.threads)

            def value_and_gradient() -> tuple[Any, Array]:
                value, gradient = both()
                return value.mean(), gradient

            yield Contender(
                "scikit-learn",
                value_and_gradient,
                lambda r: (_float64(factor * r[0] + constant), _float64(r[1]) * (factor / n)),
            )


def _without_ones(result: tuple[Array, Array], problem: Problem) -> tuple[Array, Array]:
    """scikit-learn's trees get a Hessian of 1 for the quantile loss, which has none: no mistake to refuse it for."""
    gradient, hessian = result
    if problem.task == "quantile":
        hessian = hessian - 1
    return _float64(gradient), _float64(hessian)


class PyTorch(Peer):
    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        try:
            _need("torch").set_num_threads(threads)
        except AbsentError:
            return

    def _function(self, problem: Problem) -> tuple[Callable[..., Any], list[Any]]:
        torch = _need("torch")
        functional = torch.nn.functional
        if problem.mode == HESSIAN:
            raise AbsentError("has no such function")

        def js_divergence(p: Any, q: Any) -> Any:
            log_m = ((p + q) / 2).log()
            return (functional.kl_div(log_m, p, reduction="batchmean") + functional.kl_div(log_m, q, reduction="batchmean")) / 2

        def coral(logits: Any, target: Any) -> Any:
            above = (target[:, None] > torch.arange(logits.shape[1])).to(logits.dtype)
            losses = functional.binary_cross_entropy_with_logits(logits, above, reduction="none")
            return losses.sum(1).mean()

        def squared_emd(logits: Any, target: Any) -> Any:
            at_most = (target[:, None] <= torch.arange(logits.shape[1])).to(logits.dtype)
            return ((torch.softmax(logits, 1).cumsum(1) - at_most) ** 2).sum(1).mean()

        def cumulative_link(score: Any, thresholds: Any, target: Any) -> Any:
            edge = torch.full((1,), torch.inf)
            edges = torch.cat([-edge, thresholds, edge])
            return -torch.log(torch.sigmoid(edges[target + 1] - score) - torch.sigmoid(edges[target] - score)).mean()

        def focal(x: Any, t: Any) -> Any:
            """torchvision's."""
            p = torch.sigmoid(x)
            cost = functional.binary_cross_entropy_with_logits(x, t, reduction="none")
            return ((0.25 * t + 0.75 * (1 - t)) * cost * (1 - (p * t + (1 - p) * (1 - t))) ** 2).mean()

        def log_cosh(p: Any, t: Any) -> Any:
            e = p - t
            return (e + functional.softplus(-2 * e) - np.log(2)).mean()

        def tweedie(p: Any, t: Any) -> Any:
            half = torch.exp(0.5 * p)
            return (2 * (half + t / half) - 4 * torch.sqrt(t)).mean()

        def ctc(logits: Any, targets: Any) -> Any:
            """Its layout is (T, N, C); lengths on the host, as its documentation advises. Its own "mean" divides by S too."""
            samples, frames = logits.shape[:2]
            lengths = [torch.full((samples,), n, dtype=torch.long) for n in (frames, targets.shape[1])]
            log_p = torch.log_softmax(logits, -1).transpose(0, 1)
            return functional.ctc_loss(log_p, targets, *lengths, reduction="sum") / samples

        def contrastive(x1: Any, x2: Any, similar: Any) -> Any:
            d = torch.linalg.vector_norm(x1 - x2, dim=-1)
            return (torch.where(similar == 1, d, (1 - d).clamp(min=0)) ** 2).mean() / 2

        def others(rows: Any, temperature: float) -> Any:
            """Similarities to all other rows, over the temperature."""
            z = functional.normalize(rows)
            return (z @ z.T / temperature).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)

        def nt_xent(z1: Any, z2: Any) -> Any:
            n = len(z1)
            return functional.cross_entropy(others(torch.cat([z1, z2]), 0.5), torch.arange(2 * n).roll(n))

        def supcon(x: Any, y: Any) -> Any:
            positive = (y == y[:, None]) & ~torch.eye(len(y), dtype=torch.bool)
            log_p = torch.log_softmax(others(x, 0.07), 1)
            count = positive.sum(1)
            each = -log_p.masked_fill(~positive, 0).sum(1) / count.clamp(min=1)
            return each.sum() / (count > 0).sum()

        def info_nce(q: Any, k: Any) -> Any:
            scores, own = functional.normalize(q) @ functional.normalize(k).T / 0.07, torch.arange(len(q))
            both = functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own)
            return both / 2 if problem.options.get("symmetric") else functional.cross_entropy(scores, own)

        def batch_triplet(x: Any, y: Any) -> Any:
            """The hardest, or each positive with the nearest negative beyond it, on the matrix of distances."""
            d, same = torch.cdist(x, x), y == y[:, None]
            positive = same & ~torch.eye(len(y), dtype=torch.bool)
            if problem.options["mining"] == "hard":
                farthest = d.masked_fill(~positive, -torch.inf).max(1).values  # unlike amax, one of those that are equal
                losses = farthest - d.masked_fill(same, torch.inf).min(1).values + 0.2
            else:
                anchor, p = positive.nonzero(as_tuple=True)
                near = d[anchor, p]
                beyond = d[anchor].masked_fill(same[anchor] | (d[anchor] <= near[:, None]), torch.inf)
                losses = near - beyond.min(1).values + 0.2
            return losses.clamp(min=0).sum() / (losses > 0).sum()

        def transformed(function: Callable[[Any], Any]) -> Callable[..., Any]:
            """A function of the label's log-probability."""
            return lambda x, y: function(-functional.cross_entropy(x, y, reduction="none")).mean()

        formulas = {
            "softmax_focal": transformed(lambda log_p: -((1 - log_p.exp()) ** 2) * log_p),
            "poly1_cross_entropy": transformed(lambda log_p: 1 - log_p.exp() - log_p),
            "generalized_cross_entropy": transformed(lambda log_p: (1 - (0.7 * log_p).exp()) / 0.7),
            "kl_div_with_logits": lambda x, t: functional.kl_div(torch.log_softmax(x, -1), t, reduction="batchmean"),
            "sigmoid_focal": focal,
            "log_cosh": log_cosh,
            "tweedie": tweedie,
            "pseudo_huber": lambda p, t: (torch.sqrt(1 + (p - t) ** 2) - 1).mean(),
            "quantile": lambda p, t: torch.maximum(0.5 * (t - p), -0.5 * (t - p)).mean(),
            "expectile": lambda p, t: (0.5 * (p - t) ** 2).mean(),
            "mape": lambda p, t: ((p - t).abs() / t.abs().clamp(min=2.220446049250313e-16)).mean(),
            "msle": lambda p, t: ((torch.log1p(p) - torch.log1p(t)) ** 2).mean(),
            "gamma": lambda p, t: (p + t * torch.exp(-p) - torch.log(t) - 1).mean(),
            "hinge": lambda s, t: (1 - t * s).clamp(min=0).mean(),
            "squared_hinge": lambda s, t: ((1 - t * s).clamp(min=0) ** 2).mean(),
            "perceptron": lambda s, t: (-t * s).clamp(min=0).mean(),
            "exponential": lambda s, t: torch.exp(-t * s).mean(),
            "contrastive": contrastive,
            "nt_xent": nt_xent,
            "supcon": supcon,
            "info_nce": info_nce,
            "pairwise_distances": torch.cdist,
        }
        if problem.options.get("mining") in ("hard", "semihard"):  # of all triplets there are too many for a matrix
            formulas["batch_triplet"] = batch_triplet
        table = formulas | {
            "mse": functional.mse_loss,
            "mae": functional.l1_loss,
            "huber": functional.huber_loss,
            "smooth_l1": functional.smooth_l1_loss,
            "poisson_nll": functional.poisson_nll_loss,
            "soft_margin": functional.soft_margin_loss,
            "triplet": functional.triplet_margin_loss,
            "cosine_embedding": functional.cosine_embedding_loss,
            "margin_ranking": functional.margin_ranking_loss,
            "hinge_embedding": functional.hinge_embedding_loss,
            "binary_cross_entropy": functional.binary_cross_entropy,
            "binary_cross_entropy_with_logits": functional.binary_cross_entropy_with_logits,
            "nll": functional.nll_loss,
            "cross_entropy": functional.cross_entropy,  # its class axis of images is 1 as well
            "multiclass_hinge": functional.multi_margin_loss,  # Weston and Watkins'
            "energy": lambda e, t: functional.cross_entropy(-e, t),
            "squared_emd": squared_emd,
            "coral": coral,
            "ctc": ctc,
            "cumulative_link": cumulative_link,
            "logsumexp": partial(torch.logsumexp, dim=-1),
            "softmax": partial(torch.softmax, dim=-1),
            "gaussian_nll": functional.gaussian_nll_loss,
            "kl_div": partial(functional.kl_div, reduction="batchmean"),
            "js_divergence": js_divergence,
            "gaussian_kl": lambda m, s: (torch.expm1(s) - s + m * m).sum(-1).mean() / 2,
        }

        def tensor(x: Array) -> Any:
            if x.dtype.name == "bfloat16":
                return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
            return torch.from_numpy(x)

        return _have(table, problem), [tensor(x) for x in problem.arrays]

    @staticmethod
    def _read(result: Any, gradient: bool) -> tuple[Array, Gradient]:
        def read(x: Any) -> Array:
            return np.asarray(x.detach().double().numpy())

        value, grad = result if gradient else (result, None)
        if isinstance(grad, tuple):
            return read(value), tuple(map(read, grad))
        return read(value), None if grad is None else read(grad)

    def _contender(self, column: str, function: Callable[..., Any], tensors: list[Any], problem: Problem) -> Contender:
        torch = _need("torch")

        def forward() -> Any:
            with torch.inference_mode():
                return function(*tensors)

        def value_and_gradient() -> Any:
            value = function(*leaves)
            gradients = torch.autograd.grad(value, [leaves[k] for k in places])
            return value, gradients if len(places) > 1 else gradients[0]

        if problem.mode == FORWARD:
            return Contender(column, forward, partial(self._read, gradient=False))
        places = differentiable(problem.task)
        leaves = [x.detach().requires_grad_() if k in places else x for k, x in enumerate(tensors)]
        return Contender(column, value_and_gradient, partial(self._read, gradient=True))

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        function, tensors = self._function(problem)
        yield self._contender("PyTorch", function, tensors, problem)


class PyTorchCompiled(PyTorch):
    """`torch.compile`d: the function under autograd, and value and gradient as one graph."""

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        function, tensors = self._function(problem)
        torch = _need("torch")
        torch.compiler.reset()
        graph = partial(torch.compile, fullgraph=True, dynamic=False)
        yield self._contender("PyTorch compiled", graph(function), tensors, problem)
        if problem.mode == FORWARD:
            return
        places = differentiable(problem.task)
        whole = graph(torch.func.grad_and_value(function, places if len(places) > 1 else places[0]))

        def read(result: Any) -> tuple[Array, Gradient]:
            return self._read(result[::-1], gradient=True)

        def call() -> Any:
            with torch.no_grad():
                return whole(*tensors)

        yield Contender("PyTorch compiled", call, read)


class MONAI(Peer):
    """Its Dice losses, without what they add to numerator and denominator; Berman's Lovasz-Softmax on PyTorch's sort."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        try:
            _need("torch").set_num_threads(threads)
        except AbsentError:
            return

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        torch = _need("torch")
        gradient = problem.mode == GRADIENT
        if problem.mode == HESSIAN or problem.task not in ("dice", "dice_cross_entropy", "lovasz"):
            raise AbsentError("has no such function")
        x, target = problem.arrays
        logits = torch.from_numpy(x)
        if problem.task == "lovasz":
            function, labels = _lovasz_of(torch), torch.from_numpy(target)
        else:
            losses = _need("monai.losses")
            make = losses.DiceLoss if problem.task == "dice" else losses.DiceCELoss
            sigmoid = problem.options.get("activation") == "sigmoid"
            kind = {"sigmoid": True} if sigmoid else {"softmax": True, "to_onehot_y": True}
            function = make(smooth_nr=0.0, smooth_dr=0.0, **kind)
            labels = torch.from_numpy(target.astype(np.float32) if sigmoid else target[:, None].astype(np.int64))

        def forward() -> Any:
            with torch.no_grad():
                return function(logits, labels).numpy()

        def both() -> Any:
            leaf = logits.detach().requires_grad_(True)
            value = function(leaf, labels)
            value.backward()
            return value.detach().numpy(), leaf.grad.numpy()

        column = "PyTorch sort" if problem.task == "lovasz" else "MONAI"
        yield Contender(column, both if gradient else forward, partial(_as_arrays, gradient=gradient))


class MetricLearning(PyTorch):
    """pytorch-metric-learning's miners and losses."""

    LISTED = 20_000_000  # triplets that its lists may hold, eight bytes a number and more for what follows

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        losses, torch = _need("pytorch_metric_learning.losses"), _need("torch")
        if problem.mode == HESSIAN or problem.task not in ("batch_triplet", "nt_xent", "supcon"):
            raise AbsentError("has no such function")
        tensors = [torch.from_numpy(x) for x in problem.arrays]
        if problem.task == "nt_xent":
            rows = 2 * len(tensors[0])
            if rows**3 > self.LISTED:
                raise AbsentError("lists every positive pair with all negative ones, which are too many")
            loss = losses.NTXentLoss(temperature=0.5)
            pairs = torch.arange(len(tensors[0])).repeat(2)
            yield self._contender("metric-learning", lambda a, b: loss(torch.cat([a, b]), pairs), tensors, problem)
        elif problem.task == "supcon":
            yield self._contender("metric-learning", losses.SupConLoss(temperature=0.07), tensors, problem)
        else:
            yield self._contender("metric-learning", self._mined(problem), tensors, problem)

    def _mined(self, problem: Problem) -> Callable[..., Any]:
        distance = _need("pytorch_metric_learning.distances").LpDistance(normalize_embeddings=False)
        loss = _need("pytorch_metric_learning.losses").TripletMarginLoss(margin=0.2, distance=distance)
        miners, mining = _need("pytorch_metric_learning.miners"), problem.options.get("mining", "hard")
        if mining == "semihard":
            raise AbsentError("takes one positive of each anchor")
        counts = np.unique(problem.arrays[1], return_counts=True)[1]
        if mining != "hard" and (counts * (counts - 1) * (counts.sum() - counts)).sum() > self.LISTED:
            raise AbsentError("lists all triplets, which are too many")
        if mining == "all":
            return lambda x, y: loss(x, y)
        miner = miners.BatchHardMiner(distance=distance)
        if mining == "all_semihard":
            miner = miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard", distance=distance)
        return lambda x, y: loss(x, y, miner(x, y))


def _lovasz_of(torch: Any) -> Callable[..., Any]:
    def lovasz(logits: Any, target: Any) -> Any:
        p, values = torch.softmax(logits, 1), []
        for c in range(logits.shape[1]):
            mask = (target == c).reshape(-1).to(p.dtype)
            errors, order = torch.sort((mask - p[:, c].reshape(-1)).abs(), descending=True)
            mask = mask[order]
            jaccard = 1 - (mask.sum() - mask.cumsum(0)) / (mask.sum() + (1 - mask).cumsum(0))
            values.append(errors[0] * jaccard[0] + torch.dot(errors[1:], jaccard[1:] - jaccard[:-1]))
        return torch.stack(values).mean()

    return lovasz


class JAX(Peer):
    """optax's losses where it has them, jitted; labels in JAX's own 32-bit integers."""

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        jax, optax = _need("jax"), _need("optax")
        if problem.mode == HESSIAN:
            raise AbsentError("has no such function")
        jnp = jax.numpy

        def gaussian_nll(x: Any, t: Any, variance: Any) -> Any:
            v = jax.numpy.maximum(variance, 1e-6)
            return (jax.numpy.log(v) + (x - t) ** 2 / v).mean() / 2

        def js_divergence(p: Any, q: Any) -> Any:
            log_m = jax.numpy.log((p + q) / 2)
            return (optax.kl_divergence(log_m, p) + optax.kl_divergence(log_m, q)).mean() / 2

        def tweedie(p: Any, t: Any) -> Any:
            half = jnp.exp(0.5 * p)
            return (2 * (half + t / half) - 4 * jnp.sqrt(t)).mean()

        def transformed(function: Callable[[Any], Any]) -> Callable[..., Any]:
            return lambda x, y: function(-optax.softmax_cross_entropy_with_integer_labels(x, y)).mean()

        def ctc(logits: Any, targets: Any) -> Any:
            return optax.ctc_loss(logits, jnp.zeros(logits.shape[:2]), targets, jnp.zeros(targets.shape)).mean()

        def triplet(a: Any, p: Any, n: Any) -> Any:
            near, away = (jnp.sqrt(((a - x + 1e-6) ** 2).sum(-1)) for x in (p, n))
            return jnp.maximum(0, near - away + 1).mean()

        def contrastive(x1: Any, x2: Any, similar: Any) -> Any:
            d = jnp.sqrt(((x1 - x2) ** 2).sum(-1))
            return (jnp.where(similar == 1, d, jnp.maximum(0, 1 - d)) ** 2).mean() / 2

        def cosine_embedding(x1: Any, x2: Any, t: Any) -> Any:
            cosine = optax.cosine_similarity(x1, x2)
            return jnp.where(t == 1, 1 - cosine, jnp.maximum(0, cosine)).mean()

        def cross_entropy(x: Any, t: Any) -> Any:
            if t.ndim == x.ndim:
                return optax.softmax_cross_entropy(x, t).mean()
            return optax.softmax_cross_entropy_with_integer_labels(x, t, **problem.options).mean()

        formulas = {
            "softmax_focal": transformed(lambda log_p: -((1 - jnp.exp(log_p)) ** 2) * log_p),
            "poly1_cross_entropy": transformed(lambda log_p: 1 - jnp.exp(log_p) - log_p),
            "generalized_cross_entropy": transformed(lambda log_p: (1 - jnp.exp(0.7 * log_p)) / 0.7),
            "kl_div_with_logits": lambda x, t: optax.kl_divergence(jax.nn.log_softmax(x), t).mean(),
            "sigmoid_focal": lambda x, t: optax.sigmoid_focal_loss(x, t, alpha=0.25, gamma=2.0).mean(),
            "log_cosh": lambda p, t: optax.log_cosh(p, t).mean(),
            "hinge": lambda s, t: optax.hinge_loss(s, t).mean(),
            "perceptron": lambda s, t: optax.losses.perceptron_loss(s, t).mean(),
            "tweedie": tweedie,
            "pseudo_huber": lambda p, t: (jnp.sqrt(1 + (p - t) ** 2) - 1).mean(),
            "quantile": lambda p, t: jnp.maximum(0.5 * (t - p), -0.5 * (t - p)).mean(),
            "expectile": lambda p, t: (0.5 * (p - t) ** 2).mean(),
            "mape": lambda p, t: (jnp.abs(p - t) / jnp.maximum(jnp.abs(t), 2.220446049250313e-16)).mean(),
            "msle": lambda p, t: ((jnp.log1p(p) - jnp.log1p(t)) ** 2).mean(),
            "poisson_nll": lambda p, t: (jnp.exp(p) - t * p).mean(),
            "gamma": lambda p, t: (p + t * jnp.exp(-p) - jnp.log(t) - 1).mean(),
            "squared_hinge": lambda s, t: (jnp.maximum(0, 1 - t * s) ** 2).mean(),
            "soft_margin": lambda s, t: jnp.logaddexp(0, -t * s).mean(),
            "exponential": lambda s, t: jnp.exp(-t * s).mean(),
            "triplet": triplet,
            "contrastive": contrastive,
            "cosine_embedding": cosine_embedding,
            "margin_ranking": lambda a, b, t: jnp.maximum(0, -t * (a - b)).mean(),
            "hinge_embedding": lambda d, t: jnp.where(t == 1, d, jnp.maximum(0, 1 - d)).mean(),
        }
        table = formulas | {
            "mse": lambda p, t: optax.squared_error(p, t).mean(),
            "mae": lambda p, t: jax.numpy.abs(p - t).mean(),
            "huber": lambda p, t: optax.huber_loss(p, t).mean(),
            "smooth_l1": lambda p, t: optax.huber_loss(p, t).mean(),
            "binary_cross_entropy_with_logits": lambda x, t: optax.sigmoid_binary_cross_entropy(x, t).mean(),
            "cross_entropy": cross_entropy,
            "ctc": ctc,
            "energy": lambda e, t: optax.softmax_cross_entropy_with_integer_labels(-e, t).mean(),
            "logsumexp": partial(jax.nn.logsumexp, axis=-1),
            "softmax": partial(jax.nn.softmax, axis=-1),
            "gaussian_nll": gaussian_nll,
            "kl_div": lambda x, t: optax.kl_divergence(x, t).mean(),
            "js_divergence": js_divergence,
            "gaussian_kl": lambda m, s: (jax.numpy.expm1(s) - s + m * m).sum(-1).mean() / 2,
        }
        places = differentiable(problem.task)
        function, gradient = _have(table, problem), problem.mode != FORWARD
        arrays = [jax.numpy.asarray(x.astype(np.int32) if x.dtype.kind == "i" else x) for x in problem.arrays]
        jitted = jax.jit(jax.value_and_grad(function, places if len(places) > 1 else places[0]) if gradient else function)
        yield Contender(
            "JAX/optax",
            lambda: jax.block_until_ready(jitted(*arrays)),
            partial(_as_arrays, gradient=gradient),
        )


PEERS: dict[str, type[Peer]] = {
    "fastloss": FastLoss,
    "NumPy": NumPy,
    "PyTorch": PyTorch,
    "PyTorch compiled": PyTorchCompiled,
    "JAX/optax": JAX,
    "MONAI": MONAI,
    "metric-learning": MetricLearning,
    "SciPy": SciPy,
    "scikit-learn": ScikitLearn,
}

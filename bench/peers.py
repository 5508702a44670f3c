"""The contenders: fastloss, pure NumPy and each installed peer, every one at its best.

A peer turns a `Problem` into contenders, calls without arguments that are only then timed: its
arrays are converted and its graph is compiled before the clock starts; its results are allocated
inside. Several contenders may serve one column (two ways of compiling); the fastest counts. A peer that
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

LACKING = "has no such function"


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
    compiles: bool = False  # in its first call


def _need(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise AbsentError(f"{module} is not installed") from error


def _have(table: dict[str, Any], problem: Problem) -> Any:
    if problem.task not in table:
        raise AbsentError(LACKING)
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

    packages: tuple[str, ...]  # whose versions its times depend on

    def __init__(self, threads: int) -> None:
        self.threads = threads

    @abstractmethod
    def contenders(self, problem: Problem) -> Iterator[Contender]: ...


class FastLoss(Peer):
    """Ours; twice where there is an output: allocated as the peers do, and the caller's buffer."""

    packages = ("fastloss", "numpy")

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
    packages = ("numpy",)

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
    from fastloss._definitions.reference import reduce

    return float(reduce(*fl.LOSSES[problem.task].reference(*problem.arrays, **problem.options)))


class SciPy(Peer):
    packages = ("scipy",)

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        special = _need("scipy.special")
        if problem.mode != FORWARD or problem.arrays[0].dtype.itemsize == 2:
            raise AbsentError(LACKING)

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

    They are taken as they come, without a pass to scale them, which favours them. Results are allocated, as everyone's are; the
    values per sample, which are not asked for, go to a buffer.
    """

    packages = ("scikit-learn",)

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
            raise AbsentError(LACKING)
        if x.dtype.itemsize == 2 or problem.options:
            raise AbsentError(LACKING)
        if make is losses.HuberLoss:
            loss = make(delta=1.0)
        else:
            loss = make(n_classes=x.shape[1]) if x.ndim == 2 else make()
        y, n = target.astype(x.dtype), target.size
        if problem.task == "exponential":
            y = (y + 1) / 2  # its labels
        values = np.empty(n, x.dtype)
        if problem.mode == HESSIAN:
            both = partial(loss.gradient_hessian, y, x, n_threads=self.threads)
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
            both = partial(loss.loss_gradient, y, x, loss_out=values, n_threads=self.threads)

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
    packages = ("torch",)

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        try:
            _need("torch").set_num_threads(threads)
        except AbsentError:
            return

    def _function(self, problem: Problem, compiled: bool = False) -> tuple[Callable[..., Any], list[Any]]:
        _need("torch")
        if problem.mode == HESSIAN:
            raise AbsentError(LACKING)
        from . import torch_formulas

        table = torch_formulas.functions(problem.options, compiled)
        return _have(table, problem), [torch_formulas.tensor(x) for x in problem.arrays]

    @staticmethod
    def _read(result: Any, gradient: bool) -> tuple[Array, Gradient]:
        def read(x: Any) -> Array:
            return np.asarray(x.detach().double().numpy())

        value, grad = result if gradient else (result, None)
        if isinstance(grad, tuple):
            return read(value), tuple(map(read, grad))
        return read(value), None if grad is None else read(grad)

    def _contender(
        self, column: str, function: Callable[..., Any], tensors: list[Any], problem: Problem, compiles: bool = False
    ) -> Contender:
        torch = _need("torch")

        def forward() -> Any:
            with torch.inference_mode():
                return function(*tensors)

        def value_and_gradient() -> Any:
            value = function(*leaves)
            gradients = torch.autograd.grad(value, [leaves[k] for k in places])
            return value, gradients if len(places) > 1 else gradients[0]

        if problem.mode == FORWARD:
            return Contender(column, forward, partial(self._read, gradient=False), compiles)
        places = differentiable(problem.task)
        leaves = [x.detach().requires_grad_() if k in places else x for k, x in enumerate(tensors)]
        return Contender(column, value_and_gradient, partial(self._read, gradient=True), compiles)

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        function, tensors = self._function(problem)
        yield self._contender("PyTorch", function, tensors, problem)


class PyTorchCompiled(PyTorch):
    """`torch.compile`d: the function under autograd, and value and gradient as one graph."""

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        function, tensors = self._function(problem, compiled=True)
        torch = _need("torch")
        torch.compiler.reset()
        graph = partial(torch.compile, fullgraph=True, dynamic=False)
        yield self._contender("PyTorch compiled", graph(function), tensors, problem, compiles=True)
        if problem.mode == FORWARD:
            return
        places = differentiable(problem.task)
        whole = graph(torch.func.grad_and_value(function, places if len(places) > 1 else places[0]))

        def read(result: Any) -> tuple[Array, Gradient]:
            return self._read(result[::-1], gradient=True)

        def call() -> Any:
            with torch.no_grad():
                return whole(*tensors)

        yield Contender("PyTorch compiled", call, read, compiles=True)


class MONAI(PyTorch):
    """Its Dice losses, without what they add to numerator and denominator; bytes as they are, which it converts itself."""

    packages = ("monai", "torch")

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        if problem.mode == HESSIAN or problem.task not in ("dice", "dice_cross_entropy"):
            raise AbsentError(LACKING)
        losses, torch = _need("monai.losses"), _need("torch")
        make = losses.DiceLoss if problem.task == "dice" else losses.DiceCELoss
        sigmoid = problem.options.get("activation") == "sigmoid"
        kind = {"sigmoid": True} if sigmoid else {"softmax": True, "to_onehot_y": True}
        function = make(smooth_nr=0.0, smooth_dr=0.0, **kind)
        x, target = problem.arrays
        tensors = [torch.from_numpy(x), torch.from_numpy(target if sigmoid else target[:, None])]  # label maps have a channel
        yield self._contender("MONAI", function, tensors, problem)


class MetricLearning(PyTorch):
    """pytorch-metric-learning's miners and losses."""

    packages = ("pytorch-metric-learning", "torch")
    LISTED = 20_000_000  # triplets that its lists may hold, eight bytes a number and more for what follows

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        losses, torch = _need("pytorch_metric_learning.losses"), _need("torch")
        if problem.mode == HESSIAN or problem.task not in ("batch_triplet", "nt_xent", "supcon"):
            raise AbsentError(LACKING)
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


class JAX(Peer):
    """optax's losses where it has them, jitted; labels in JAX's own 32-bit integers."""

    packages = ("jax", "jaxlib", "optax")

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        jax, _ = _need("jax"), _need("optax")
        if problem.mode == HESSIAN:
            raise AbsentError(LACKING)
        from . import jax_formulas

        table = jax_formulas.functions(problem.options)
        places = differentiable(problem.task)
        function, gradient = _have(table, problem), problem.mode != FORWARD
        arrays = [jax.numpy.asarray(x.astype(np.int32) if x.dtype.kind == "i" else x) for x in problem.arrays]
        jitted = jax.jit(jax.value_and_grad(function, places if len(places) > 1 else places[0]) if gradient else function)
        yield Contender(
            "JAX/optax",
            lambda: jax.block_until_ready(jitted(*arrays)),
            partial(_as_arrays, gradient=gradient),
            compiles=True,
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

"""The losses inside scikit-learn's gradient boosting."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from bench.peers.base import LACKING, AbsentError, Contender, Peer, float64, have, need
from bench.rows import FORWARD, HESSIAN, Array, Problem


class ScikitLearn(Peer):
    """The losses of its gradient boosting: one value per sample, gradients not divided by N.

    They are taken as they come, without a pass to scale them, which favours them. Results are allocated, as everyone's are; the
    values per sample, which are not asked for, go to a buffer.
    """

    packages = ("scikit-learn",)

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        losses = need("sklearn._loss.loss")
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
        make, factor = have(table, problem)
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
                lambda mean: (float64(factor * mean + constant), None),
            )
        else:
            both = partial(loss.loss_gradient, y, x, loss_out=values, n_threads=self.threads)

            def value_and_gradient() -> tuple[Any, Array]:
                value, gradient = both()
                return value.mean(), gradient

            yield Contender(
                "scikit-learn",
                value_and_gradient,
                lambda r: (float64(factor * r[0] + constant), float64(r[1]) * (factor / n)),
            )


def _without_ones(result: tuple[Array, Array], problem: Problem) -> tuple[Array, Array]:
    """scikit-learn's trees get a Hessian of 1 for the quantile loss, which has none: no mistake to refuse it for."""
    gradient, hessian = result
    if problem.task == "quantile":
        hessian = hessian - 1
    return float64(gradient), float64(hessian)

"""Loss functions of deep learning on NumPy arrays: value, gradient and diagonal Hessian in one pass, on the CPU.

Every loss is a callable with methods::

    import fastloss as fl

    fl.huber(prediction, target)                  # -> float
    fl.huber(prediction, target, reduction="none")  # -> array
    fl.huber.value_and_grad(prediction, target)   # -> float, array

``fl.LOSSES`` lists them all by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastloss._config import __version__, show_config
from fastloss._loss import LOSSES, Loss
from fastloss._threads import get_num_threads, num_threads, set_num_threads
from fastloss.classification import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    multiclass_hinge,
    nll,
    perplexity,
)
from fastloss.energy import energy
from fastloss.functional import log_softmax, logsumexp, softmax
from fastloss.ordinal import coral, corn, cumulative_link, squared_emd
from fastloss.regression import huber, mae, mse, smooth_l1

__all__ = [
    "LOSSES",
    "Evaluation",
    "Loss",
    "__version__",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "coral",
    "corn",
    "cross_entropy",
    "cumulative_link",
    "energy",
    "evaluate",
    "get_num_threads",
    "huber",
    "log_softmax",
    "logsumexp",
    "mae",
    "mse",
    "multiclass_hinge",
    "nll",
    "num_threads",
    "perplexity",
    "set_num_threads",
    "show_config",
    "smooth_l1",
    "softmax",
    "squared_emd",
]

if TYPE_CHECKING:
    from fastloss.evaluation import Evaluation, evaluate
else:

    def __getattr__(name: str) -> Any:
        """The evaluation engine loads on first use: it would double the import time."""
        if name in ("Evaluation", "evaluate"):
            from fastloss import evaluation

            return getattr(evaluation, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

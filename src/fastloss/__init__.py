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
    nll,
    perplexity,
)
from fastloss.functional import log_softmax, logsumexp, softmax
from fastloss.regression import huber, mae, mse, smooth_l1

__all__ = [
    "LOSSES",
    "Evaluation",
    "Loss",
    "__version__",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "custom",
    "evaluate",
    "get_num_threads",
    "gradcheck",
    "huber",
    "log_softmax",
    "logsumexp",
    "mae",
    "mse",
    "nll",
    "num_threads",
    "perplexity",
    "set_num_threads",
    "show_config",
    "smooth_l1",
    "softmax",
]

if TYPE_CHECKING:
    from fastloss import lab as lab
    from fastloss.evaluation import Evaluation, evaluate
    from fastloss.lab import custom, gradcheck
else:
    _LAZY = {"Evaluation": "evaluation", "evaluate": "evaluation", "custom": "lab", "gradcheck": "lab"}

    def __getattr__(name: str) -> Any:
        """The evaluation engine and the laboratory load on first use: they would double the import time."""
        import importlib

        if name in _LAZY:
            return getattr(importlib.import_module(f"fastloss.{_LAZY[name]}"), name)
        if name == "lab":
            return importlib.import_module("fastloss.lab")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

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
    exponential,
    generalized_cross_entropy,
    hinge,
    multiclass_hinge,
    nll,
    perceptron,
    perplexity,
    poly1_cross_entropy,
    sigmoid_focal,
    soft_margin,
    softmax_focal,
    squared_hinge,
)
from fastloss.divergence import gaussian_kl, js_divergence, kl_div, kl_div_with_logits
from fastloss.embedding import (
    batch_triplet,
    contrastive,
    cosine_embedding,
    hinge_embedding,
    info_nce,
    margin_ranking,
    nt_xent,
    pairwise_distances,
    supcon,
    triplet,
)
from fastloss.energy import contrastive_divergence, energy
from fastloss.functional import log_softmax, logsumexp, softmax
from fastloss.ordinal import coral, corn, cumulative_link, squared_emd
from fastloss.regression import (
    expectile,
    gamma,
    gaussian_nll,
    huber,
    log_cosh,
    mae,
    mape,
    mse,
    msle,
    poisson_nll,
    pseudo_huber,
    quantile,
    smooth_l1,
    tweedie,
)
from fastloss.segmentation import (
    box_iou,
    dice,
    dice_cross_entropy,
    focal_tversky,
    generalized_dice,
    jaccard,
    lovasz,
    tversky,
)
from fastloss.sequence import ctc, ctc_align, ctc_posteriors

__all__ = [
    "LOSSES",
    "Evaluation",
    "Loss",
    "__version__",
    "audit",
    "batch_triplet",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "box_iou",
    "contrastive",
    "contrastive_divergence",
    "coral",
    "corn",
    "cosine_embedding",
    "cross_entropy",
    "ctc",
    "ctc_align",
    "ctc_posteriors",
    "cumulative_link",
    "custom",
    "dice",
    "dice_cross_entropy",
    "energy",
    "evaluate",
    "expectile",
    "exponential",
    "focal_tversky",
    "gamma",
    "gaussian_kl",
    "gaussian_nll",
    "generalized_cross_entropy",
    "generalized_dice",
    "get_num_threads",
    "gradcheck",
    "hinge",
    "hinge_embedding",
    "huber",
    "info_nce",
    "jaccard",
    "js_divergence",
    "kl_div",
    "kl_div_with_logits",
    "log_cosh",
    "log_softmax",
    "logsumexp",
    "lovasz",
    "mae",
    "mape",
    "margin_ranking",
    "mse",
    "msle",
    "multiclass_hinge",
    "nll",
    "nt_xent",
    "num_threads",
    "pairwise_distances",
    "perceptron",
    "perplexity",
    "plot",
    "poisson_nll",
    "poly1_cross_entropy",
    "pseudo_huber",
    "quantile",
    "set_num_threads",
    "show_config",
    "sigmoid_focal",
    "smooth_l1",
    "soft_margin",
    "softmax",
    "softmax_focal",
    "squared_emd",
    "squared_hinge",
    "supcon",
    "triplet",
    "tversky",
    "tweedie",
]

if TYPE_CHECKING:
    from fastloss import lab as lab
    from fastloss.evaluation import Evaluation, evaluate
    from fastloss.lab import audit, custom, gradcheck, plot
else:
    _LAZY = {
        **dict.fromkeys(("Evaluation", "evaluate"), "evaluation"),
        **dict.fromkeys(("audit", "custom", "gradcheck", "plot"), "lab"),
    }

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

"""The one parametrisation table of the suite: sizes, dtypes, option values, and every loss of the registry.

`VARIANTS` is every loss with its defaults, with each value of each of its options, and with the first values
of all of them at once. A new loss needs a line here only if it brings an option of a new name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
import oracle
import pytest
from matrix import every

import fastloss as fl

DTYPES = ("float32", "float64")
THREADS = (1, 2, 3, 7, 16)

LOSSES = tuple(fl.LOSSES.values())
POINTWISE = tuple(loss for loss in LOSSES if loss.pointwise)
SEQUENCES = tuple(loss for loss in LOSSES if loss.family == "sequence")  # a sample is a matrix of frames and a list of labels
ROWWISE = tuple(loss for loss in LOSSES if loss.options.get("axis") == -1)
VECTORS = (fl.contrastive, fl.triplet, fl.cosine_embedding)  # rows of two or three arrays, and a label for each, or none
REGIONS = tuple(loss for loss in LOSSES if loss.regions)
BATCHWISE = tuple(loss for loss in LOSSES if loss.batchwise)  # whose samples are compared with one another
SEPARABLE = tuple(loss for loss in LOSSES if loss not in BATCHWISE)  # whose samples have the same values in any company
SHAPED = tuple(loss for loss in SEPARABLE if loss not in (*SEQUENCES, *REGIONS))  # whose samples may lie in several axes
IGNORING = tuple(loss for loss in ROWWISE if "ignore_index" in loss.options)
LABELLED = tuple(  # whose targets can be class indices or levels
    loss for loss in ROWWISE if loss.sample(np.random.default_rng(0), size=1)[0][-1].dtype.kind in "iu"
)
DIFFERENTIABLE = tuple(loss for loss in LOSSES if loss.max_order >= 1)

Call = tuple[tuple[Any, ...], dict[str, Any]]
Make = Callable[[np.random.Generator, tuple[Any, ...]], Any]


def constant(value: Any) -> Make:
    return lambda rng, args: value


def _per_class(rng: np.random.Generator, args: tuple[Any, ...]) -> Any:
    classes = args[0].shape[1 if args[0].ndim == 4 else -1]  # volumes have theirs first
    return rng.uniform(0.1, 3.0, classes).astype(args[0].dtype)


def _per_class_with_zero(rng: np.random.Generator, args: tuple[Any, ...]) -> Any:
    weight = _per_class(rng, args)
    weight[0] = 0.0
    return weight


def _frames(rng: np.random.Generator, args: tuple[Any, ...]) -> Any:
    """How many of 8 frames each sample has: enough for 3 labels that are all the same."""
    return rng.integers(5, args[0].shape[1] + 1, len(args[0]))


def _label_counts(rng: np.random.Generator, args: tuple[Any, ...]) -> Any:
    return rng.integers(0, args[1].shape[1] + 1, len(args[1]))


ENERGY_KINDS = ("hinge", "energy", "perceptron", "log", "lvq2", "mce", "square_square", "square_exp", "mee")
LENGTHS = ("input_lengths", "target_lengths")  # options with an entry for each sample
THRESHOLDED = ("coral", "corn")  # rows of K - 1 tasks: one level more than there are columns

# Option name -> the values it is tried at, beside its default. `axis` is moved about in test_layouts. `loss.option` where a name
# does not mean the same everywhere.
OPTIONS: dict[str, dict[str, Make]] = {
    "activation": {"sigmoid": constant("sigmoid")},
    "average": {"valid": constant("valid")},
    "batch_triplet.margin": {"1": constant(1.0)},  # that the sampler knows
    "mining": {k: constant(k) for k in ("semihard", "all", "all_semihard")},
    "negatives": {},  # in test_contrast, as it excludes `symmetric`
    "normalize": {"False": constant(False)},
    "symmetric": {"True": constant(True)},
    "alpha": {"0.8": constant(0.8)},
    "batch": {},  # test_region_conventions
    "box_iou.kind": {k: constant(k) for k in ("ciou", "iou", "diou")},
    "ce_weight": {"0.3": constant(0.3)},
    "dice_weight": {"0.3": constant(0.3)},
    "focal_tversky.gamma": {"1.7": constant(1.7), "1": constant(1.0)},
    "format": {"xywh": constant("xywh"), "cxcywh": constant("cxcywh")},
    "include_background": {"False": constant(False)},
    "only_present": {"False": constant(False)},
    "per_image": {},
    "smooth": {"0.7": constant(0.7)},
    "squared": {"True": constant(True)},
    "axis": {},
    "blank": {"6": constant(6)},
    "beta": {"0.25": constant(0.25), "3": constant(3.0), "0": constant(0.0)},
    "contrastive_divergence.alpha": {"0.1": constant(0.1)},
    "class_weight": {"random": _per_class, "with_zero": _per_class_with_zero},
    "delta": {"0.25": constant(0.25), "3": constant(3.0)},
    "epsilon": {"-0.5": constant(-0.5), "3": constant(3.0)},
    "eps": {"1e-3": constant(1e-3)},
    "free_nats": {"0.3": constant(0.3)},
    "full": {"True": constant(True)},
    "gamma": {"1.7": constant(1.7), "0": constant(0.0), "5": constant(5.0)},
    "hinge.margin": {"0.25": constant(0.25), "0": constant(0.0)},
    "ignore_index": {"1": constant(1), "None": constant(None)},
    "input_lengths": {"ragged": _frames},
    "label_smoothing": {"0.1": constant(0.1), "1": constant(1.0)},
    "energy.beta": {"0.25": constant(0.25), "3": constant(3.0)},
    "energy.kind": {k: constant(k) for k in ENERGY_KINDS},
    "length_normalize": {"target": constant("target"), "input": constant("input")},
    "level_weight": {"random": _per_class, "with_zero": _per_class_with_zero},
    "link": {"probit": constant("probit"), "cloglog": constant("cloglog")},
    "log_input": {"False": constant(False)},
    "log_probs": {"True": constant(True)},
    "log_target": {"True": constant(True)},
    "margin": {"0.25": constant(0.25), "3": constant(3.0)},
    "multiclass_hinge.kind": {"weston_watkins": constant("weston_watkins")},
    "p": {"2": constant(2)},
    "pos_weight": {"array": _per_class, "2.5": constant(2.5)},
    "power": {str(k): constant(k) for k in (0.0, 1.0, 1.01, 1.9, 2.0, 2.5, 3.0)},
    "prior_log_variance": {"array": _per_class, "-1": constant(-1.0)},
    "prior_mean": {"array": _per_class, "2.5": constant(2.5)},
    "q": {"0.1": constant(0.1), "0.75": constant(0.75)},
    "sigmoid_focal.alpha": {"0.8": constant(0.8), "None": constant(None)},
    "squared_hinge.margin": {"0.25": constant(0.25), "0": constant(0.0)},
    "target_lengths": {"ragged": _label_counts},
    "tau": {"0.1": constant(0.1), "0.75": constant(0.75)},
    "temperature": {"2.5": constant(2.5), "0.5": constant(0.5)},
    "time_major": {},  # in test_ctc_forms
    "zero_infinity": {"True": constant(True)},
    "contrastive.margin": {"0.25": constant(0.25), "3": constant(3.0), "0": constant(0.0)},
    "contrastive.power": {"1": constant(1), "1.5": constant(1.5), "3": constant(3.0)},
    "cosine_embedding.margin": {"0.25": constant(0.25), "-0.5": constant(-0.5), "-1": constant(-1.0)},
    "hinge_embedding.margin": {"0.25": constant(0.25), "0.1": constant(0.1), "0": constant(0.0)},
    "margin_ranking.margin": {"0.25": constant(0.25), "0.1": constant(0.1), "3": constant(3.0)},
    "swap": {"True": constant(True)},
    "triplet.eps": {"0": constant(0.0), "1e-3": constant(1e-3)},
    "triplet.margin": {"0.25": constant(0.25), "0": constant(0.0)},
    "triplet.p": {"2": constant(2.0), "1": constant(1), "3": constant(3.0), "1.5": constant(1.5), "inf": constant(np.inf)},
}


# Whole numbers that are targets of each loss; 0 and 1 but for these.
WHOLE_TARGETS: dict[str, tuple[int, int]] = dict.fromkeys(
    ("hinge", "squared_hinge", "perceptron", "soft_margin", "exponential", "margin_ranking", "hinge_embedding"), (-1, 1)
) | {"gamma": (1, 2), "mape": (1, 2)}


def whole_targets(loss: fl.Loss, bits: np.ndarray) -> np.ndarray:
    """Targets of small whole numbers: the loss's second where `bits` are 1, else its first."""
    first, second = WHOLE_TARGETS.get(loss.name, (0, 1))
    return np.where(bits == 1, second, first)


def target_position(loss: fl.Loss) -> int:
    """Which of a pointwise loss's arrays is the target."""
    return loss.arrays.index("target") if "target" in loss.arrays else 1


@dataclass(frozen=True, eq=False)
class Variant:
    """A loss and a choice of its options."""

    loss: fl.Loss
    label: str
    options: dict[str, Make]

    def __str__(self) -> str:
        return f"{self.loss.name}-{self.label}"

    def draw(self, dtype: str = "float32", size: int = 65, seed: int = 0) -> Call:
        """Valid random arguments, from the loss's own sampler, and these options: copies, which a test may write to."""
        args, options = self._drawn(dtype, size, seed)
        return tuple(a.copy() for a in args), {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in options.items()}

    def truth(self, args: tuple[Any, ...], options: dict[str, Any]) -> oracle.Truth:
        """The exact values of a call, and its derivatives."""
        return oracle.truth(self.loss.name, args, options, wrt_positions(self.loss), self.loss.max_order)

    @lru_cache(maxsize=32)  # noqa: B019 - variants live as long as the process
    def _drawn(self, dtype: str, size: int, seed: int) -> Call:
        rng = np.random.default_rng([seed, size])
        args, options = self.loss.sample(rng, dtype=dtype, size=size)
        return args, {**options, **{k: make(rng, args) for k, make in self.options.items()}}


FEW = 67  # samples: enough for every lane, few enough to know the truth of each


def is_corner(variant: Variant) -> bool:
    """Its defaults, or all its options at once: the variants that the quick tier keeps of a costly test."""
    return variant.label in ("default", "all")


def option_values(table: Mapping[str, Any], loss: fl.Loss, option: str) -> Any:
    """An option's entry in a table such as OPTIONS: this loss's own, or that of all; None if there is none."""
    return table.get(f"{loss.name}.{option}", table.get(option))


def variants(loss: fl.Loss) -> Iterator[Variant]:
    table = {name: values for name in loss.options if (values := option_values(OPTIONS, loss, name))}
    yield Variant(loss, "default", {})
    for name, values in table.items():
        for label, make in values.items():
            yield Variant(loss, f"{name}={label}", {name: make})
    if len(table) > 1:
        yield Variant(loss, "all", {name: next(iter(values.values())) for name, values in table.items()})


VARIANTS = tuple(v for loss in LOSSES for v in variants(loss))
SEPARABLE_VARIANTS = tuple(v for v in VARIANTS if v.loss in SEPARABLE)
BATCHWISE_VARIANTS = tuple(v for v in VARIANTS if v.loss in BATCHWISE)

every_loss = every("loss", LOSSES)
every_shaped = every("loss", SHAPED)
every_rowwise = every("loss", ROWWISE)
every_labelled = every("loss", LABELLED)
every_ignoring = every("loss", IGNORING)
every_differentiable = every("loss", DIFFERENTIABLE)
every_separable = every("loss", SEPARABLE)
every_batchwise = every("loss", BATCHWISE)
every_variant = every("variant", VARIANTS)
every_separable_variant = every("variant", SEPARABLE_VARIANTS)
every_batchwise_variant = every("variant", BATCHWISE_VARIANTS)
every_variant_or_corner = every("variant", VARIANTS, quick=is_corner)
every_dtype = every("dtype", DTYPES)


def wrt_positions(loss: fl.Loss) -> tuple[int, ...]:
    return tuple(loss.arrays.index(name) for name in loss.wrt)


def per_sample(loss: fl.Loss, args: Iterable[Any], function: Callable[[Any], Any]) -> tuple[Any, ...]:
    """`function` of each array that has an entry for each sample; those that samples share as they are."""
    return tuple(a if name in loss.shared else function(a) for name, a in zip(loss.arrays, args, strict=True))


def per_sample_options(args: tuple[Any, ...], options: dict[str, Any]) -> tuple[str, ...]:
    """The options with an entry for each sample: lengths of sequences, and an array of one weight per element."""
    flat = args[0].ndim == 1
    length = len(args[0])
    return tuple(k for k, v in options.items() if np.ndim(v) == 1 and (k in LENGTHS or (flat and len(v) == length)))


def cut(loss: fl.Loss, args: tuple[Any, ...], options: dict[str, Any], rows: slice) -> Call:
    """Some of the samples of a call: of its arrays, and of the options that have an entry for each sample."""
    each = per_sample_options(args, options)
    return per_sample(loss, args, lambda a: a[rows]), {k: v[rows] if k in each else v for k, v in options.items()}


def repeat(loss: fl.Loss, call: Call, length: int) -> Call:
    """The samples of a call over and over, `length` of them."""
    args, options = call
    index = np.arange(length) % len(args[0])
    return cut(loss, args, options, index)  # type: ignore[arg-type]


def per_value(weight: Any, values: Any) -> Any:
    """One weight per sample, beside values of which a sample may have several."""
    return np.asarray(weight).reshape(np.shape(weight) + (1,) * (np.ndim(values) - np.ndim(weight)))


def levels(loss: fl.Loss, columns: int) -> int:
    """How many labels a row loss has for rows of so many columns."""
    return columns + (loss.name in THRESHOLDED)


def value_count(loss: fl.Loss, size: int) -> int:
    """How many values so many samples have, and so how many weights: one each, but for pairs that are both anchors."""
    return 2 * size if loss.name == "nt_xent" else size


def as_tuple(derivative: Any) -> tuple[Any, ...]:
    """A derivative as a tuple, whether the loss has one differentiable argument or several."""
    return derivative if isinstance(derivative, tuple) else (derivative,)


def need(module: str) -> ModuleType:
    """Import a peer, or skip; with FASTLOSS_REQUIRE_PEERS=1 (CI) a missing peer is a failure."""
    if os.environ.get("FASTLOSS_REQUIRE_PEERS") == "1":
        __import__(module)
    return pytest.importorskip(module)

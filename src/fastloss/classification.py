"""Classification losses: from logits, probabilities or log-probabilities, and targets.

Shapes: `N` rows (samples), `C` classes along `axis`, any number of further axes; binary losses are pointwise. Units: nats.
Imports `_check`, `_plan` and `_loss` only.
"""

from __future__ import annotations

import math
from typing import Any

from fastloss import _check
from fastloss._check import Array, Refusal
from fastloss._kernels import POINTWISE
from fastloss._loss import loss
from fastloss._plan import Plan, Pointwise, Rows
from fastloss._plan_scores import Scores
from fastloss._scores import CONTRASTS

_UNIT_TARGET = ("target", "targets in [0, 1]", 0.0, 1.0)


@loss(
    wrt=("logits",),
    max_order=2,
    pointwise=False,
    formula="-sum_j t_j log softmax(logits)_j, t the target's class or probabilities",
    range="[0, inf)",
    citation="Good, Rational Decisions, 1952",
    sampler="class_logits",
)
def cross_entropy(
    logits: Any,
    target: Any,
    *,
    axis: int = -1,
    class_weight: Any = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Softmax cross-entropy, from logits.

    .. math:: \\ell_i = - \\sum_j w_j t'_{ij} \\log \\frac{e^{x_{ij}}}{\\sum_k e^{x_{ik}}}
              \\qquad t' = (1 - s) t + s / C

    with the target class as a one-hot `t`, or with the probabilities given; `w` is `class_weight`, `s` is `label_smoothing`.

    Parameters
    ----------
    logits : array_like
        Scores with the `C` classes along `axis`: ``(N, C)``, or for images ``(N, C, H, W)`` with ``axis=1``. ``-inf`` masks a
        class. Rows are read in place whatever their strides.
    target : array_like
        Class indices of any integer type, in the shape of the logits without `axis`; or probabilities in [0, 1] in the shape
        of the logits, whose rows need not sum to 1.
    axis : int
        The class axis.
    class_weight : array_like, optional
        `C` weights >= 0.
    ignore_index : int or None
        Samples with this target are 0 in "none", and are not counted; None turns it off. For class indices only.
    label_smoothing : float
        Share in [0, 1] of every target that is spread evenly over the classes.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the class-index target or of its leading axes.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the sum of sample weight x class weight of the target (for probabilities: x their weighted sum), as
        PyTorch does for class indices; PyTorch divides by `N` for probabilities, with or without `class_weight`.

    Returns
    -------
    float or ndarray
        In [0, inf) nats; inf if the label is a masked class. Convex in the logits; the gradient, softmax minus target, does not
        vanish for confident mistakes. Rows of a single class are 0. Rows that hold nan or +inf, or nothing but -inf, are nan.

    Raises
    ------
    IndexError
        A label outside [0, C) that is not `ignore_index`.
    ValueError
        Shapes that do not fit, probabilities outside [0, 1], no classes, options outside their range.
    TypeError
        Arrays that are not real numbers, float labels.

    References
    ----------
    Good, *Rational Decisions*, Journal of the Royal Statistical Society B 14, 1952. Label smoothing: Szegedy et al.,
    *Rethinking the Inception Architecture*, CVPR 2016.

    Examples
    --------
    >>> import fastloss as fl
    >>> logits = [[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]]
    >>> fl.cross_entropy(logits, [0, 2], reduction="none").round(4)
    array([0.1698, 1.0986])
    >>> fl.cross_entropy.grad(logits, [0, 2], reduction="sum").round(3)
    array([[-0.156,  0.114,  0.042],
           [ 0.333,  0.333, -0.667]])
    """
    x = _check.array("logits", logits)
    index = _check.axis_of(x, axis, "logits")
    ignore = _check.ignored_label(ignore_index)
    smoothing = _check.between("label_smoothing", label_smoothing, 0.0, 1.0)
    t = _check.array("target", target)
    wide = _check.is_wide(x.dtype, x.dtype)
    if t.shape == x.shape:
        wide = _check.is_wide(x.dtype, t.dtype if t.dtype.kind not in "iub" else x.dtype)
        kind = "soft"
    else:
        t, kind = _class_indices(x, t, index), "hard"
    return Rows(
        kind, x, index, t, sample_weight, reduction, wide=wide, class_weight=class_weight, ignore=ignore, smoothing=smoothing
    )


def _class_indices(x: Array, t: Array, axis: int) -> Array:
    """Labels for logits x, or an error that also says what shape probabilities would have."""
    try:
        return _check.labels("target", t, x.shape[:axis] + x.shape[axis + 1 :], x.shape)
    except Refusal as refusal:
        text = refusal.text.replace(", got", f" or probabilities of shape {x.shape}, got", 1)
        raise Refusal(refusal.kind, refusal.argument, text) from None


@loss(
    wrt=("log_probs",),
    max_order=1,
    pointwise=False,
    formula="-log_probs[target]",
    range="[0, inf) for log-probabilities",
    citation="Fisher, On the Mathematical Foundations of Theoretical Statistics, 1922",
    sampler="class_log_probabilities",
)
def nll(
    log_probs: Any,
    target: Any,
    *,
    axis: int = -1,
    class_weight: Any = None,
    ignore_index: int | None = -100,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Negative log-likelihood of the target class, from log-probabilities.

    .. math:: \\ell_i = - w_{y_i} \\, \\log q_{i, y_i}

    ``cross_entropy(logits, t) = nll(log_softmax(logits), t)``; the former is faster and loses nothing when a row is won
    clearly.

    Parameters
    ----------
    log_probs : array_like
        Natural logarithms of probabilities, with the `C` classes along `axis`. They are not normalised here.
    target : array_like
        Class indices of any integer type, in the shape of `log_probs` without `axis`.
    axis : int
        The class axis.
    class_weight : array_like, optional
        `C` weights >= 0.
    ignore_index : int or None
        Samples with this target are 0 in "none", and are not counted; None turns it off.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the target or of its leading axes.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the sum of sample weight x class weight, as PyTorch does.

    Returns
    -------
    float or ndarray
        Nats. Linear in `log_probs`: the gradient is minus the weight at the label and 0 elsewhere. Only the label's entry is
        read: nan elsewhere in the row does not show.

    Raises
    ------
    IndexError
        A label outside [0, C) that is not `ignore_index`.
    ValueError
        Shapes that do not fit, no classes, options outside their range.
    TypeError
        Arrays that are not real numbers, labels that are not integers.

    References
    ----------
    Fisher, *On the Mathematical Foundations of Theoretical Statistics*, 1922.

    Examples
    --------
    >>> import fastloss as fl
    >>> import numpy as np
    >>> fl.nll(np.log([[0.5, 0.25, 0.25]]), [1]) == float(np.log(4))
    True
    """
    x = _check.array("log_probs", log_probs)
    index = _check.axis_of(x, axis, "log_probs")
    ignore = _check.ignored_label(ignore_index)
    t = _check.labels("target", target, x.shape[:index] + x.shape[index + 1 :], x.shape)
    wide = _check.is_wide(x.dtype, x.dtype)
    return Rows("pick", x, index, t, sample_weight, reduction, wide=wide, class_weight=class_weight, ignore=ignore)


@loss(
    wrt=("scores",),
    max_order=1,
    pointwise=False,
    formula="max_{j != y} max(0, margin - s_y + s_j)^p, or the sum over j != y of these / C",
    range="[0, inf)",
    citation="Crammer and Singer, On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines, 2001",
    sampler="class_logits",
)
def multiclass_hinge(
    scores: Any,
    target: Any,
    *,
    kind: str = "crammer_singer",
    margin: float = 1.0,
    p: int = 1,
    class_weight: Any = None,
    axis: int = -1,
    ignore_index: int | None = -100,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Multiclass hinge loss: the label's score should lead the others by a margin.

    .. math:: \\ell_i = w_{y_i} \\max_{j \\ne y_i} \\max(0, m - s_{i y_i} + s_{ij})^p
              \\qquad \\text{or} \\qquad
              \\frac{w_{y_i}}{C} \\sum_{j \\ne y_i} \\max(0, m - s_{i y_i} + s_{ij})^p

    The first is Crammer and Singer's (the strongest rival counts), the second Weston and Watkins' (all do). `m` is `margin`, `w`
    is `class_weight`.

    Parameters
    ----------
    scores : array_like
        Scores with the `C` classes along `axis`. ``-inf`` takes a class out.
    target : array_like
        Class indices of any integer type, in the shape of `scores` without `axis`.
    kind : {"crammer_singer", "weston_watkins"}
        PyTorch's multi_margin_loss is "weston_watkins".
    margin : float
        Above 0.
    p : int
        The power of each term, 1 or 2.
    class_weight : array_like, optional
        `C` weights >= 0; a row has that of its target, as in PyTorch.
    axis : int
        The class axis.
    ignore_index : int or None
        Samples with this target are 0 in "none", and are not counted; None turns it off.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the target or of its leading axes.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the sum of sample weight x class weight. PyTorch divides by `N`, whatever `class_weight` is.

    Returns
    -------
    float or ndarray
        At least 0, in units of the scores. Convex; 0, with gradient 0, once the label leads by the margin (at the kink too). Of
        rivals that are equally strong the first gets Crammer and Singer's gradient. A single class is 0. A nan makes its row nan.

    Raises
    ------
    IndexError
        A label outside [0, C) that is not `ignore_index`.
    ValueError
        Shapes that do not fit, no classes, options outside their range.
    TypeError
        Arrays that are not real numbers, labels that are not integers.

    References
    ----------
    Crammer and Singer, *On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines*, JMLR 2, 2001. Weston and
    Watkins, *Support Vector Machines for Multi-Class Pattern Recognition*, ESANN 1999.

    Examples
    --------
    >>> import fastloss as fl
    >>> scores = [[2.0, 1.5, 0.0], [3.0, 0.0, 1.0]]
    >>> fl.multiclass_hinge(scores, [0, 2], reduction="none")
    array([0.5, 3. ])
    >>> fl.multiclass_hinge(scores, [0, 2], kind="weston_watkins", reduction="sum") * 3
    3.5
    >>> fl.multiclass_hinge.grad(scores, [0, 2], reduction="sum")
    array([[-1.,  1.,  0.],
           [ 1.,  0., -1.]])
    """
    x = _check.array("scores", scores)
    index = _check.axis_of(x, axis, "scores")
    t = _check.labels("target", target, x.shape[:index] + x.shape[index + 1 :], x.shape, of="scores")
    chosen = _check.one_of("kind", kind, ("crammer_singer", "weston_watkins"))
    lead = _check.positive("margin", margin)
    power = _check.integer("p", p)
    if power not in (1, 2):
        _check.refuse(ValueError, "p", "1 or 2", power)
    parameters: tuple[float, ...]
    if chosen == "weston_watkins":
        operation, parameters = "weston_watkins", (0.0, lead, float(power))
    else:  # a contrast of the negated scores
        operation, parameters = "contrast", (float(CONTRASTS["hinge" if power == 1 else "hinge_squared"]), lead, 0.0, -1.0)
    return Scores(
        operation, x, index, t, sample_weight, reduction, levels=x.shape[index], noun="class indices", parameters=parameters,
        class_weight=class_weight, ignore=_check.ignored_label(ignore_index),
    )  # fmt: skip


@loss(
    wrt=("probs",),
    max_order=2,
    formula="-(t log p + (1 - t) log(1 - p))",
    range="[0, 100] (unclipped probabilities)",
    citation="Good, Rational Decisions, 1952",
    sampler="binary_probabilities",
)
def binary_cross_entropy(
    probs: Any, target: Any, *, eps: float = 0.0, sample_weight: Any = None, reduction: str = "mean"
) -> Plan:
    """Binary cross-entropy, from probabilities.

    .. math:: \\ell = - \\left( t \\log p + (1 - t) \\log (1 - p) \\right)

    Each logarithm is cut at -100, as in PyTorch. If you have logits, use `binary_cross_entropy_with_logits`: probabilities
    near 1 have already lost the digits that it keeps.

    Parameters
    ----------
    probs : array_like
        Probabilities in [0, 1].
    target : array_like
        Targets in [0, 1], in the same shape.
    eps : float
        In [0, 0.5]. Above 0, probabilities are clipped to [eps, 1 - eps] first, as Keras and scikit-learn do.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of `probs` or of its leading axes.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        Nats, at least 0. Convex in the probability. The gradient is the derivative of the clipped formula: 0 where a clip or
        cut acts (PyTorch divides by max(p (1 - p), 1e-12) instead).

    Raises
    ------
    ValueError
        Probabilities or targets outside [0, 1], shapes that differ, eps outside [0, 0.5], bad weights or reduction.
    TypeError
        Arrays that are not real numbers.

    References
    ----------
    Good, *Rational Decisions*, Journal of the Royal Statistical Society B 14, 1952.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.binary_cross_entropy([0.9, 0.2], [1, 0]), 4)
    0.1643
    >>> fl.binary_cross_entropy([0.0], [1.0])
    100.0
    """
    pair = _check.real_pair(("probs", "target"), probs, target)
    clip = _check.between("eps", eps, 0.0, 0.5)
    domain = (("probs", "probabilities in [0, 1]", 0.0, 1.0), _UNIT_TARGET)
    logs = (math.log(clip), math.log1p(-clip)) if clip else (-100.0, 0.0)
    return Pointwise(_BCE, pair, (clip, *logs), sample_weight, reduction, domain=domain)


@loss(
    wrt=("logits",),
    max_order=2,
    formula="softplus(x) - t x",
    range="[0, inf)",
    citation="Cox, The Regression Analysis of Binary Sequences, 1958",
    sampler="binary_logits",
)
def binary_cross_entropy_with_logits(
    logits: Any,
    target: Any,
    *,
    pos_weight: Any = None,
    label_smoothing: float = 0.0,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Binary cross-entropy, from logits: the logistic loss.

    .. math:: \\ell = v t' \\, \\mathrm{softplus}(-x) + (1 - t') \\, \\mathrm{softplus}(x)
              \\qquad t' = (1 - s) t + s / 2

    `v` is `pos_weight`, `s` is `label_smoothing`. A sum of two terms that are at least 0: nothing cancels, whatever the logit.

    Parameters
    ----------
    logits : array_like
        Scores of any size; +-inf where the label agrees is fine.
    target : array_like
        Targets in [0, 1], in the same shape.
    pos_weight : array_like, optional
        Weight >= 0 of the positive part; a number, or an array that broadcasts along the trailing axes.
    label_smoothing : float
        Share in [0, 1] of every target that is spread evenly over the two classes.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the logits or of their leading axes.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the sum of the sample weights; `pos_weight` does not count, as in PyTorch.

    Returns
    -------
    float or ndarray
        In [0, inf) nats. Convex; the gradient sigmoid(x) - t keeps its digits where the loss is nearly 0.

    Raises
    ------
    ValueError
        Targets outside [0, 1], shapes that do not fit, bad weights or reduction, label_smoothing outside [0, 1].
    TypeError
        Arrays that are not real numbers.

    References
    ----------
    Cox, *The Regression Analysis of Binary Sequences*, Journal of the Royal Statistical Society B 20, 1958.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.binary_cross_entropy_with_logits([0.0, 100.0], [1, 1], reduction="none").round(4)
    array([0.6931, 0.    ])
    >>> fl.binary_cross_entropy_with_logits.grad([0.0, 2.0], [1, 1], reduction="sum").round(4)
    array([-0.5   , -0.1192])
    """
    pair = _check.real_pair(("logits", "target"), logits, target)
    smoothing = _check.between("label_smoothing", label_smoothing, 0.0, 1.0)
    if pos_weight is None and smoothing == 0:
        return Pointwise(_LOGISTIC, pair, (), sample_weight, reduction, domain=(_UNIT_TARGET,))
    third = None if pos_weight is None else _check.trailing("pos_weight", pos_weight, pair[0].shape)
    return Pointwise(
        _BCE_LOGITS, pair, (1.0 - smoothing, 0.5 * smoothing), sample_weight, reduction, third=third, domain=(_UNIT_TARGET,)
    )


_BCE, _BCE_LOGITS, _LOGISTIC = (
    POINTWISE[name] for name in ("binary_cross_entropy", "binary_cross_entropy_with_logits", "logistic")
)


def perplexity(logits: Any, target: Any, *, axis: int = -1, ignore_index: int | None = -100, sample_weight: Any = None) -> float:
    """Perplexity of class predictions: the exponential of the mean cross-entropy.

    .. math:: \\mathrm{PPL} = \\exp \\left( \\frac{1}{N} \\sum_i \\ell_i \\right) = 2^{H} \\quad (H \\text{ in bits})

    The number of equally likely tokens that would surprise as much. Computed from the logits, so that a token missed by 120
    nats counts in full where ``log(softmax(x))`` would be ``log(0)``.

    Parameters
    ----------
    logits, target, axis, ignore_index, sample_weight
        As for `cross_entropy`.

    Returns
    -------
    float
        In [1, inf]; nan if no sample counts.

    Raises
    ------
    IndexError, ValueError, TypeError
        As `cross_entropy`.

    References
    ----------
    Jelinek, Mercer, Bahl and Baker, *Perplexity - a measure of the difficulty of speech recognition tasks*, 1977.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.perplexity([[0.0, 0.0, 0.0, 0.0]], [2]), 12)
    4.0
    """
    try:
        plan = cross_entropy._body(logits, target, axis=axis, ignore_index=ignore_index, sample_weight=sample_weight)
        nats = plan.run(True, False, False)[0]
    except Refusal as refusal:
        raise refusal.named("perplexity") from None
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf

"""Classification losses: from logits, probabilities or log-probabilities, and targets.

Shapes: `N` rows (samples), `C` classes along `axis`, any number of further axes; binary losses are
pointwise. Units: nats for likelihoods and cross-entropies. Imports `_check`, `_loss`, the engines'
tables of operations and the plans only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import fastloss._check as _check
from fastloss._check import Array, Domain, Refusal
from fastloss._engines.pointwise import POINTWISE
from fastloss._engines.rows import TRANSFORMS
from fastloss._engines.scores import CONTRASTS
from fastloss._loss import ROWS, loss
from fastloss._plans.base import VALUE, Plan
from fastloss._plans.pointwise import Pointwise
from fastloss._plans.rows import Rows
from fastloss._plans.scores import Scores
from fastloss._plans.weights import is_extreme

_UNIT_TARGET = Domain(
    "target", "targets in [0, 1] (from labels -1 and 1: (t + 1) / 2; of several classes: cross_entropy)", 0.0, 1.0
)
_BINARY = "for labels 0 and 1 of each logit use binary_cross_entropy_with_logits"
_UNIT_PROBS = Domain("probs", "probabilities in [0, 1] (of logits: binary_cross_entropy_with_logits)", 0.0, 1.0)


@loss(
    wrt=("logits",),
    max_order=2,
    formula="-sum_j t_j log softmax(logits)_j, t the target's class or probabilities",
    range="[0, inf)",
    citation="Good, Rational Decisions, 1952",
    sampler="class_logits",
    samples=ROWS,
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
    """Softmax cross-entropy, from logits (log loss, multinomial logistic loss).

    For classification into one of several classes, or segmentation position by position. Known as
    ``cross_entropy`` (PyTorch), ``SparseCategoricalCrossentropy`` and ``CategoricalCrossentropy`` with
    ``from_logits=True`` (Keras), ``softmax_cross_entropy_with_integer_labels`` and
    ``softmax_cross_entropy`` (optax). scikit-learn's ``log_loss`` takes probabilities: see `nll`.

    .. math:: \\ell_i = - \\sum_j w_j t'_{ij} \\log \\frac{e^{x_{ij}}}{\\sum_k e^{x_{ik}}}
              \\qquad t' = (1 - s) t + s / C

    with the target class as a one-hot `t`, or with the probabilities given; `w` is `class_weight`, `s`
    is `label_smoothing`.

    Parameters
    ----------
    logits : array_like
        Scores with the `C` classes along `axis`: ``(N, C)``, or for images ``(N, C, H, W)`` with ``axis=1``. ``-inf`` masks a
        class. Rows are read in place whatever their strides.
    target : array_like
        Class indices of any integer type, in the shape of the logits without `axis`; or probabilities in [0, 1] in the shape
        of the logits: floats, whose rows need not sum to 1, or one-hot integers or bools. Labels 0 and 1 of
        independent classes are for `binary_cross_entropy_with_logits`.
    axis : int
        The class axis.
    class_weight : array_like, optional
        `C` weights >= 0. Samples whose class index has the weight 0 are left out (without label smoothing).
    ignore_index : int or None
        Samples with this target are 0 in "none", and are not counted; None turns it off. For class indices only.
    label_smoothing : float
        Share in [0, 1] of every target that is spread evenly over the classes.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the class-index target or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the sum of sample weight x class weight of the target, as PyTorch does for class indices. For
        probabilities that is the mean of the class weights, weighted by them (of all classes, where they are all 0); PyTorch
        divides by `N`, with or without `class_weight`.

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
        Shapes that do not fit, probabilities outside [0, 1], integers in the shape of the logits that are not one-hot, no
        classes, options outside their range.
    TypeError
        Arrays that are not real numbers, float labels.

    See Also
    --------
    binary_cross_entropy_with_logits : For two classes, or independent labels.
    nll : The same from log-probabilities.
    softmax_focal : Counts samples that are clearly right for less.
    perplexity : The exponential of the mean.

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
    return _softmax_rows(logits, target, axis, class_weight, ignore_index, label_smoothing, sample_weight, reduction)


def _transform(name: str, parameter: float) -> dict[str, Any]:
    """Options of the row kernel that apply a function to cross-entropy."""
    return {"transform": TRANSFORMS[name], "parameter": parameter}


def _softmax_rows(
    logits: Any,
    target: Any,
    axis: int,
    class_weight: Any,
    ignore_index: int | None,
    label_smoothing: float,
    sample_weight: Any,
    reduction: str,
    special: Mapping[str, Any] = MappingProxyType({}),
) -> Plan:
    """A function of softmax cross-entropy: targets are class indices or probabilities."""
    x = _check.array("logits", logits)
    index = _check.axis_of(x, axis, "logits")
    weight, ignore = _check.class_weights("class_weight", class_weight, x.shape[index]), _check.ignored_label(ignore_index)
    smoothing = _check.between("label_smoothing", label_smoothing, 0.0, 1.0)
    t = _check.array("target", target)
    if t.shape == x.shape:
        integers = t.dtype.kind in "iub"
        if integers:
            _check.one_hot("target", t, index, _not_one_hot(x, index), sample_weight)
        kind, wide = "soft", _check.is_wide(x.dtype, x.dtype if integers else t.dtype)
    else:
        t = _class_indices(x, t, index)
        kind, wide = "hard", _check.is_wide(x.dtype, x.dtype)
    return Rows(
        kind, x, index, t, sample_weight, reduction, wide=wide, class_weight=weight, ignore=ignore,
        smoothing=smoothing, special=special,
    )  # fmt: skip


def _not_one_hot(x: Array, axis: int) -> str:
    """Hint for integers in the shape of the logits that are not one-hot: what to pass instead."""
    return f"class indices have shape {x.shape[:axis] + x.shape[axis + 1 :]}, probabilities are floats; {_BINARY}"


def _class_indices(x: Array, t: Array, axis: int) -> Array:
    """Labels for logits x, or an error that also says what shape probabilities would have."""
    try:
        return _check.labels("target", t, x.shape[:axis] + x.shape[axis + 1 :], x.shape)
    except Refusal as refusal:
        text = refusal.text.replace(", got", f" or probabilities of shape {x.shape}, got", 1)
        raise Refusal(refusal.kind, refusal.argument, text, refusal.at, refusal.hint) from None


@loss(
    wrt=("logits",),
    max_order=1,
    formula="-(1 - p)^gamma log p, p = softmax(logits)[target]",
    range="[0, inf)",
    citation="Lin et al., Focal Loss for Dense Object Detection, 2017",
    sampler="class_logits",
    samples=ROWS,
    ulp={"float32": 8, "float64": 16},
)
def softmax_focal(
    logits: Any,
    target: Any,
    *,
    gamma: float = 2.0,
    axis: int = -1,
    class_weight: Any = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Focal loss of softmax probabilities: cross-entropy that counts easy samples for less.

    For classification where most samples are easy, such as detection with much background. Known as
    ``CategoricalFocalCrossentropy`` (Keras).

    .. math:: \\ell_i = - \\sum_j w_j t'_{ij} (1 - p_{ij})^\\gamma \\log p_{ij}
              \\qquad p_i = \\mathrm{softmax}(x_i), \\quad t' = (1 - s) t + s / C

    with the target class as a one-hot `t`, or with the probabilities given; `w` is `class_weight`, `s`
    is `label_smoothing`. ``gamma=0`` is `cross_entropy`. For independent labels see `sigmoid_focal`.
    Spread targets are focused class by class, as in Keras, whose ``alpha=0.25`` is a `class_weight`
    here.

    Parameters
    ----------
    logits : array_like
        Scores with the `C` classes along `axis`; ``-inf`` masks a class. Rows are read in place whatever their strides.
    target : array_like
        Class indices of any integer type, in the shape of the logits without `axis`; or probabilities in [0, 1] in the shape
        of the logits: floats, or one-hot integers or bools.
    gamma : float
        >= 0; how fast a sample fades as its probability grows.
    axis : int
        The class axis.
    class_weight : array_like, optional
        `C` weights >= 0. Samples whose class index has the weight 0 are left out (without label smoothing).
    ignore_index : int or None
        Samples with this target are 0 in "none", and are not counted; None turns it off. For class indices only.
    label_smoothing : float
        Share in [0, 1] of every target that is spread evenly over the classes.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the class-index target or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the sum of the weights, as `cross_entropy` does.

    Returns
    -------
    float or ndarray
        In [0, inf) nats; inf if the label is a masked class. Not convex. The gradient is cross-entropy's times
        :math:`(1 - p)^\\gamma - \\gamma p (1 - p)^{\\gamma - 1} \\log p`: nearly 0 for samples that are clearly right.

    Raises
    ------
    IndexError
        A label outside [0, C) that is not `ignore_index`.
    ValueError
        Shapes that do not fit, probabilities outside [0, 1], integers in the shape of the logits that are not one-hot, no
        classes, options outside their range.
    TypeError
        Arrays that are not real numbers, float labels.

    See Also
    --------
    cross_entropy : The same with ``gamma=0``.
    sigmoid_focal : Focal loss of binary or independent labels.
    poly1_cross_entropy : Another correction of cross-entropy.

    Notes
    -----
    Near p = 1 the loss is a power 1 + gamma of cross-entropy, whose relative error it multiplies: the
    promised accuracy is for gamma up to 2.

    References
    ----------
    Lin, Goyal, Girshick, He and Dollar, *Focal Loss for Dense Object Detection*, ICCV 2017.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.softmax_focal([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]], [0, 2], reduction="none").round(4)
    array([0.0041, 0.4883])
    >>> fl.softmax_focal.grad([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]], [0, 2], reduction="sum").round(3)
    array([[-0.011,  0.008,  0.003],
           [ 0.311,  0.311, -0.622]])
    """
    gamma = _check.at_least_zero("gamma", gamma)
    return _softmax_rows(
        logits, target, axis, class_weight, ignore_index, label_smoothing, sample_weight, reduction, _transform("focal", gamma)
    )


@loss(
    wrt=("logits",),
    max_order=1,
    formula="-log p + epsilon (1 - p), p = softmax(logits)[target]",
    range="[0, inf) for epsilon >= -1",
    citation="Leng et al., PolyLoss, 2022",
    sampler="class_logits",
    samples=ROWS,
)
def poly1_cross_entropy(
    logits: Any,
    target: Any,
    *,
    epsilon: float = 1.0,
    axis: int = -1,
    class_weight: Any = None,
    ignore_index: int | None = -100,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Poly-1 cross-entropy (PolyLoss): cross-entropy plus a multiple of 1 - p.

    For classification where the weight of the leading term of cross-entropy's expansion in 1 - p
    should be tuned. Known as ``poly_loss_cross_entropy`` (optax, which takes one-hot labels).

    .. math:: \\ell_i = w_{y_i} \\left( - \\log p_i + \\epsilon (1 - p_i) \\right)
              \\qquad p_i = \\mathrm{softmax}(x_i)_{y_i}

    ``epsilon=0`` is `cross_entropy`; ``epsilon=-1`` takes the leading term away.

    Parameters
    ----------
    logits : array_like
        Scores with the `C` classes along `axis`; ``-inf`` masks a class. Rows are read in place whatever their strides.
    target : array_like
        Class indices of any integer type, in the shape of the logits without `axis`.
    epsilon : float
        What is added to the coefficient 1 of (1 - p); any finite number.
    axis : int
        The class axis.
    class_weight : array_like, optional
        `C` weights >= 0. Samples whose class has the weight 0 are left out.
    ignore_index : int or None
        Samples with this target are 0 in "none", and are not counted; None turns it off.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the target or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the sum of sample weight x class weight.

    Returns
    -------
    float or ndarray
        Nats; at least 0 for epsilon >= -1, inf if the label is a masked class. The gradient is cross-entropy's times
        :math:`1 + \\epsilon p`.

    Raises
    ------
    IndexError
        A label outside [0, C) that is not `ignore_index`.
    ValueError
        Shapes that do not fit, no classes, options outside their range.
    TypeError
        Arrays that are not real numbers, labels that are not integers.

    See Also
    --------
    cross_entropy : The same with ``epsilon=0``.
    softmax_focal : Counts samples that are clearly right for less.

    References
    ----------
    Leng et al., *PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions*, ICLR 2022.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.poly1_cross_entropy([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]], [0, 2], reduction="none").round(4)
    array([0.3261, 1.7653])
    >>> fl.poly1_cross_entropy.grad([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]], [0, 2], reduction="sum").round(3)
    array([[-0.288,  0.211,  0.077],
           [ 0.444,  0.444, -0.889]])
    """
    epsilon = _check.number("epsilon", epsilon, "a finite number")
    return _transformed_labels(
        logits, target, axis, class_weight, ignore_index, sample_weight, reduction, _transform("poly1", epsilon),
        is_extreme(epsilon, 1e-37, 1e30),
    )  # fmt: skip


@loss(
    wrt=("logits",),
    max_order=1,
    formula="(1 - p^q) / q, p = softmax(logits)[target]",
    range="[0, 1/q]",
    citation="Zhang and Sabuncu, Generalized Cross Entropy Loss, 2018",
    sampler="class_logits",
    samples=ROWS,
)
def generalized_cross_entropy(
    logits: Any,
    target: Any,
    *,
    q: float = 0.7,
    axis: int = -1,
    class_weight: Any = None,
    ignore_index: int | None = -100,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Generalized cross-entropy (GCE), a bounded loss for noisy labels.

    For classification with labels that are often wrong: the loss of a sample is bounded by 1/q.
    Between cross-entropy (q towards 0) and the mean absolute error (q = 1). Known as
    ``CategoricalGeneralizedCrossEntropy`` (Keras, from probabilities).

    .. math:: \\ell_i = w_{y_i} \\, \\frac{1 - p_i^q}{q} \\qquad p_i = \\mathrm{softmax}(x_i)_{y_i}

    Parameters
    ----------
    logits : array_like
        Scores with the `C` classes along `axis`; ``-inf`` masks a class. Rows are read in place whatever their strides.
    target : array_like
        Class indices of any integer type, in the shape of the logits without `axis`.
    q : float
        The noise parameter, in (0, 1]; larger values weigh down more what is clearly wrong.
    axis : int
        The class axis.
    class_weight : array_like, optional
        `C` weights >= 0. Samples whose class has the weight 0 are left out.
    ignore_index : int or None
        Samples with this target are 0 in "none", and are not counted; None turns it off.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the target or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the sum of sample weight x class weight.

    Returns
    -------
    float or ndarray
        In [0, 1/q], also where the label is a masked class. Not convex. The gradient is
        cross-entropy's times :math:`p^q`: it vanishes for samples that are confidently wrong.

    Raises
    ------
    IndexError
        A label outside [0, C) that is not `ignore_index`.
    ValueError
        Shapes that do not fit, no classes, q outside (0, 1], other options outside their range.
    TypeError
        Arrays that are not real numbers, labels that are not integers.

    See Also
    --------
    cross_entropy : The limit for small q.
    poly1_cross_entropy : Cross-entropy plus a multiple of 1 - p.

    References
    ----------
    Zhang and Sabuncu, *Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels*, NeurIPS 2018.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.generalized_cross_entropy([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]], [0, 2], reduction="none").round(4)
    array([0.1601, 0.7665])
    >>> fl.generalized_cross_entropy.grad([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]], [0, 2], reduction="sum").round(3)
    array([[-0.139,  0.101,  0.037],
           [ 0.154,  0.154, -0.309]])
    """
    q = _check.number("q", q, "a number in (0, 1]")
    if not 0 < q <= 1:
        _check.refuse(ValueError, "q", "a number in (0, 1]", q)
    return _transformed_labels(
        logits, target, axis, class_weight, ignore_index, sample_weight, reduction, _transform("generalized", q)
    )


def _transformed_labels(
    logits: Any,
    target: Any,
    axis: int,
    class_weight: Any,
    ignore_index: int | None,
    sample_weight: Any,
    reduction: str,
    special: Mapping[str, Any],
    extreme: bool = False,
) -> Plan:
    """A function of softmax cross-entropy: targets are class indices only."""
    x = _check.array("logits", logits)
    index = _check.axis_of(x, axis, "logits")
    t = _check.labels("target", target, x.shape[:index] + x.shape[index + 1 :], x.shape)
    return Rows(
        "hard", x, index, t, sample_weight, reduction, wide=_check.is_wide(x.dtype, x.dtype),
        class_weight=_check.class_weights("class_weight", class_weight, x.shape[index]),
        ignore=_check.ignored_label(ignore_index), special=special, extreme=extreme,
    )  # fmt: skip


@loss(
    wrt=("log_probs",),
    max_order=1,
    formula="-log_probs[target]",
    range="[0, inf) for log-probabilities",
    citation="Fisher, On the Mathematical Foundations of Theoretical Statistics, 1922",
    sampler="class_log_probabilities",
    samples=ROWS,
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

    For classification where the model's output is log-probabilities already. Known as ``nll_loss``
    (PyTorch); of logarithms of probabilities it is scikit-learn's ``log_loss``.

    .. math:: \\ell_i = - w_{y_i} \\, \\log q_{i, y_i}

    ``cross_entropy(logits, t) = nll(log_softmax(logits), t)``; the former is faster and loses nothing
    when a row is won clearly.

    Parameters
    ----------
    log_probs : array_like
        Natural logarithms of probabilities, with the `C` classes along `axis`. They are not normalised here.
    target : array_like
        Class indices of any integer type, in the shape of `log_probs` without `axis`.
    axis : int
        The class axis.
    class_weight : array_like, optional
        `C` weights >= 0. Samples whose class has the weight 0 are left out.
    ignore_index : int or None
        Samples with this target are 0 in "none", and are not counted; None turns it off.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the target or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the sum of sample weight x class weight, as PyTorch does.

    Returns
    -------
    float or ndarray
        Nats. Linear in `log_probs`: the gradient is minus the weight at the label and 0 elsewhere.
        Only the label's entry is read: nan elsewhere in the row has no effect.

    Raises
    ------
    IndexError
        A label outside [0, C) that is not `ignore_index`.
    ValueError
        Shapes that do not fit, no classes, options outside their range.
    TypeError
        Arrays that are not real numbers, labels that are not integers.

    See Also
    --------
    cross_entropy : The same from logits.
    log_softmax : Log-probabilities from logits.
    kl_div : For targets that are distributions.

    References
    ----------
    Fisher, *On the Mathematical Foundations of Theoretical Statistics*, 1922.

    Examples
    --------
    >>> import fastloss as fl
    >>> import numpy as np
    >>> fl.nll(np.log([[0.5, 0.25, 0.25]]), [1]) == float(np.log(4))
    True
    >>> fl.nll.grad(np.log([[0.5, 0.25, 0.25]]), [1])
    array([[ 0., -1.,  0.]])
    """
    x = _check.array("log_probs", log_probs)
    index = _check.axis_of(x, axis, "log_probs")
    weight, ignore = _check.class_weights("class_weight", class_weight, x.shape[index]), _check.ignored_label(ignore_index)
    t = _check.labels("target", target, x.shape[:index] + x.shape[index + 1 :], x.shape)
    wide = _check.is_wide(x.dtype, x.dtype)
    return Rows("pick", x, index, t, sample_weight, reduction, wide=wide, class_weight=weight, ignore=ignore)


@loss(
    wrt=("scores",),
    max_order=1,
    formula="max_{j != y} max(0, margin - s_y + s_j)^p, or the sum over j != y of these / C",
    range="[0, inf)",
    citation="Crammer and Singer, On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines, 2001",
    sampler="class_logits",
    samples=ROWS,
)
def multiclass_hinge(
    scores: Any,
    target: Any,
    *,
    kind: Literal["crammer_singer", "weston_watkins"] = "crammer_singer",
    margin: float = 1.0,
    p: int = 1,
    class_weight: Any = None,
    axis: int = -1,
    ignore_index: int | None = -100,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Multiclass hinge loss: the label's score should exceed all others by a margin.

    For multiclass support vector machines. Known as ``multi_margin_loss`` (PyTorch, with
    ``kind="weston_watkins"``) and ``multiclass_hinge_loss`` (optax, the default kind).

    .. math:: \\ell_i = w_{y_i} \\max_{j \\ne y_i} \\max(0, m - s_{i y_i} + s_{ij})^p
              \\qquad \\text{or} \\qquad
              \\frac{w_{y_i}}{C} \\sum_{j \\ne y_i} \\max(0, m - s_{i y_i} + s_{ij})^p

    The first is Crammer and Singer's (the highest other score counts), the second Weston and Watkins'
    (all do). `m` is `margin`, `w` is `class_weight`.

    Parameters
    ----------
    scores : array_like
        Scores with the `C` classes along `axis`. ``-inf`` masks a class.
    target : array_like
        Class indices of any integer type, in the shape of `scores` without `axis`.
    kind : {"crammer_singer", "weston_watkins"}
        PyTorch's multi_margin_loss is "weston_watkins".
    margin : float
        Above 0.
    p : int
        The power of each term, 1 or 2.
    class_weight : array_like, optional
        `C` weights >= 0; a row has that of its target, as in PyTorch, and is left out if that is 0.
    axis : int
        The class axis.
    ignore_index : int or None
        Samples with this target are 0 in "none", and are not counted; None turns it off.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the target or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the sum of sample weight x class weight. PyTorch divides by `N`, whatever `class_weight` is.

    Returns
    -------
    float or ndarray
        At least 0, in units of the scores. Convex; 0, with gradient 0, once the label's score
        exceeds the others by the margin (at the kink too). Of other scores that are equally high
        the first gets Crammer and Singer's gradient. A single class is 0. A nan makes its row nan.

    Raises
    ------
    IndexError
        A label outside [0, C) that is not `ignore_index`.
    ValueError
        Shapes that do not fit, no classes, options outside their range.
    TypeError
        Arrays that are not real numbers, labels that are not integers.

    See Also
    --------
    hinge : Binary hinge loss.
    cross_entropy : Softmax cross-entropy, which is never exactly 0.
    energy : Hinge and other losses of energies.

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
        class_weight=_check.class_weights("class_weight", class_weight, x.shape[index]),
        ignore=_check.ignored_label(ignore_index), extreme=is_extreme(lead, 0.0, 1e30),
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
    """Binary cross-entropy (BCE, log loss), from probabilities.

    For binary classification with probabilities. Known as ``binary_cross_entropy`` (PyTorch),
    ``BinaryCrossentropy`` (Keras) and ``log_loss`` (scikit-learn).

    .. math:: \\ell = - \\left( t \\log p + (1 - t) \\log (1 - p) \\right)

    Each logarithm is cut at -100, as in PyTorch. If you have logits, use
    `binary_cross_entropy_with_logits`: probabilities near 1 have already lost the digits that it
    keeps.

    Parameters
    ----------
    probs : array_like
        Probabilities in [0, 1].
    target : array_like
        Targets in [0, 1], in the same shape.
    eps : float
        In [0, 0.5]. Above 0, probabilities are clipped to [eps, 1 - eps] first, as Keras and
        scikit-learn do. Keras clips to 1 - 1e-7 as a float holds it, 1 - 1.19e-7: at most 15.942
        for a target of 0, where this is 16.118.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of `probs` or of its leading axes. Weight 0 leaves a sample out.
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

    See Also
    --------
    binary_cross_entropy_with_logits : The same from logits; more exact.
    cross_entropy : For several classes that exclude one another.

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
    >>> fl.binary_cross_entropy.grad([0.9, 0.2], [1, 0], reduction="sum").round(4)
    array([-1.1111,  1.25  ])
    """
    pair = _check.real_pair(("probs", "target"), probs, target)
    clip = _check.between("eps", eps, 0.0, 0.5)
    domain = _UNIT_PROBS, _UNIT_TARGET
    logs = (math.log(clip), math.log1p(-clip)) if clip else (-100.0, 0.0)
    return Pointwise(_BCE, pair, (clip, *logs), sample_weight, reduction, domain=domain, extreme=is_extreme(clip, 1e-37))


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
    """Binary cross-entropy, from logits (logistic loss, sigmoid cross-entropy).

    For binary classification and for several labels at once, each with a logit of its own
    (multi-label). Known as ``binary_cross_entropy_with_logits`` (PyTorch), ``BinaryCrossentropy`` with
    ``from_logits=True`` (Keras), ``sigmoid_binary_cross_entropy`` (optax) and ``HalfBinomialLoss``
    (scikit-learn).

    .. math:: \\ell = v t' \\, \\mathrm{softplus}(-x) + (1 - t') \\, \\mathrm{softplus}(x)
              \\qquad t' = (1 - s) t + s / 2

    `v` is `pos_weight`, `s` is `label_smoothing`.

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
        Weights >= 0, in the shape of the logits or of their leading axes. Weight 0 leaves a sample out.
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

    See Also
    --------
    binary_cross_entropy : The same from probabilities.
    soft_margin : The same for labels -1 and 1.
    sigmoid_focal : Counts samples that are clearly right for less.
    cross_entropy : For several classes that exclude one another.

    Notes
    -----
    A sum of two terms that are at least 0: nothing cancels, whatever the logit.

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
    third, extreme = None, is_extreme(smoothing, 1e-30)
    if pos_weight is not None:
        third, low, high = _check.trailing("pos_weight", pos_weight, pair[0].shape)
        extreme = extreme or is_extreme(low) or is_extreme(high)
    return Pointwise(
        _BCE_LOGITS, pair, (1.0 - smoothing, 0.5 * smoothing), sample_weight, reduction, third=third, domain=(_UNIT_TARGET,),
        extreme=extreme,
    )  # fmt: skip


@loss(
    wrt=("logits",),
    max_order=2,
    formula="-t alpha (1 - p)^gamma log p - (1 - t) (1 - alpha) p^gamma log(1 - p), p = sigmoid(x)",
    range="[0, inf)",
    citation="Lin et al., Focal Loss for Dense Object Detection, 2017",
    sampler="binary_logits",
)
def sigmoid_focal(
    logits: Any,
    target: Any,
    *,
    gamma: float = 2.0,
    alpha: float | None = 0.25,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Focal loss of binary labels, from logits (RetinaNet's focal loss).

    For binary or multi-label classification with few positives, such as object detection: binary
    cross-entropy in which easy samples count little. Known as ``sigmoid_focal_loss`` (torchvision,
    optax) and ``BinaryFocalCrossentropy`` (Keras).

    .. math:: \\ell = - t \\, \\alpha (1 - p)^\\gamma \\log p - (1 - t) (1 - \\alpha) \\, p^\\gamma \\log(1 - p)
              \\qquad p = \\sigma(x)

    As torchvision's ``sigmoid_focal_loss`` for labels 0 and 1; a soft target mixes the losses of the
    two labels (torchvision and optax mix probabilities, and then raise them to the power). Where its
    ``alpha`` is -1, ours is None. ``gamma=0, alpha=None`` is `binary_cross_entropy_with_logits`.

    Parameters
    ----------
    logits : array_like
        Scores of any size; +-inf where the label agrees is fine.
    target : array_like
        Targets in [0, 1], in the same shape.
    gamma : float
        How much easy samples are discounted; >= 0.
    alpha : float or None
        Weight of label 1 in [0, 1], that of label 0 being 1 - alpha; None weighs both by 1.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the logits or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf) nats. Not convex: the Hessian is negative for confident mistakes.

    Raises
    ------
    ValueError
        Targets outside [0, 1], gamma below 0, alpha outside [0, 1], shapes that differ, negative or non-finite weights, an
        unknown reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    binary_cross_entropy_with_logits : The same with ``gamma=0, alpha=None``.
    softmax_focal : Focal loss of classes that exclude one another.

    Notes
    -----
    The Hessian is exact, and finite at every logit. Value and derivatives keep their digits where p is
    within 1e-300 of 1.

    References
    ----------
    Lin, Goyal, Girshick, He and Dollár, *Focal Loss for Dense Object Detection*, ICCV 2017.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.sigmoid_focal([0.0, 3.0], [1, 1], reduction="none").round(6)
    array([4.3322e-02, 2.7000e-05])
    >>> fl.sigmoid_focal.grad([0.0, 3.0], [1, 1], reduction="sum").round(5)
    array([-7.457e-02, -8.000e-05])
    """
    pair = _check.real_pair(("logits", "target"), logits, target)
    gamma = _check.at_least_zero("gamma", gamma)
    one, zero = 1.0, 1.0
    if alpha is not None:
        one = _check.between("alpha", alpha, 0.0, 1.0)
        zero = 1.0 - one
    operation = _FOCAL_SQUARE if gamma == 2 else _FOCAL
    return Pointwise(operation, pair, (gamma, one, zero), sample_weight, reduction, domain=(_UNIT_TARGET,))


@loss(
    wrt=("score",),
    max_order=2,
    formula="max(0, margin - t s)",
    range="[0, inf)",
    citation="Cortes and Vapnik, Support-Vector Networks, 1995",
    sampler="margin_scores",
)
def hinge(score: Any, target: Any, *, margin: float = 1.0, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Hinge loss (SVM loss): what a score lacks of the margin.

    For binary classification with large margins, as support vector machines do. Known as
    ``hinge_loss`` (optax, scikit-learn) and ``Hinge`` (Keras, which also takes labels 0 and 1).

    .. math:: \\ell = \\max(0, m - t s)

    ``margin=0`` is `perceptron`. Not PyTorch's ``hinge_embedding_loss``, which is of distances: see
    `hinge_embedding`.

    Parameters
    ----------
    score : array_like
        Real numbers; their sign is the predicted class.
    target : array_like
        Labels -1 or 1, in the same shape. From labels 0 and 1: ``2 * t - 1``.
    margin : float
        The margin m that a score should reach; >= 0.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the score or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf). Convex; the gradient is -t inside the margin, 0 outside and on its border. The Hessian is 0.

    Raises
    ------
    ValueError
        Labels other than -1 and 1, margin below 0, shapes that differ, negative or non-finite weights, an unknown reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    squared_hinge : Its square, with a continuous gradient.
    multiclass_hinge : For several classes.
    perceptron : Without a margin.

    References
    ----------
    Cortes and Vapnik, *Support-Vector Networks*, Machine Learning 20, 1995.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.hinge([0.5, 2.0, 0.5], [1, 1, -1], reduction="none")
    array([0.5, 0. , 1.5])
    >>> fl.hinge.grad([0.5, 2.0, 0.5], [1, 1, -1], reduction="sum")
    array([-1.,  0.,  1.])
    """
    m = _check.at_least_zero("margin", margin)
    return _margin_loss(_HINGE, score, target, (m,), sample_weight, reduction, is_extreme(m))


@loss(
    wrt=("score",),
    max_order=2,
    formula="max(0, margin - t s)^2",
    range="[0, inf)",
    citation="Lee and Mangasarian, SSVM: A Smooth Support Vector Machine, 2001",
    sampler="margin_scores",
)
def squared_hinge(score: Any, target: Any, *, margin: float = 1.0, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Squared hinge loss (L2-SVM loss).

    For binary classification with large margins, with a continuous gradient. Known as ``SquaredHinge``
    (Keras) and the default of ``LinearSVC`` (scikit-learn).

    .. math:: \\ell = \\max(0, m - t s)^2

    As both of these, without a factor of 1/2.

    Parameters
    ----------
    score : array_like
        Real numbers; their sign is the predicted class.
    target : array_like
        Labels -1 or 1, in the same shape. From labels 0 and 1: ``2 * t - 1``.
    margin : float
        The margin m that a score should reach; >= 0.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the score or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf). Convex with a continuous gradient; the Hessian is 2 inside the margin, 0 outside and on its border.

    Raises
    ------
    ValueError
        Labels other than -1 and 1, margin below 0, shapes that differ, negative or non-finite weights, an unknown reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    hinge : Linear rather than quadratic.
    soft_margin : The logistic loss, which is never exactly 0.

    References
    ----------
    Lee and Mangasarian, *SSVM: A Smooth Support Vector Machine for Classification*, Computational Optimization and Applications
    20, 2001.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.squared_hinge([0.5, 2.0, 0.5], [1, 1, -1], reduction="none")
    array([0.25, 0.  , 2.25])
    >>> fl.squared_hinge.grad([0.5, 0.5], [1, -1], reduction="sum")
    array([-1.,  3.])
    """
    m = _check.at_least_zero("margin", margin)
    return _margin_loss(_SQUARED_HINGE, score, target, (m,), sample_weight, reduction, is_extreme(m))


@loss(
    wrt=("score",),
    max_order=2,
    formula="max(0, -t s)",
    range="[0, inf)",
    citation="Rosenblatt, The Perceptron, 1958",
    sampler="margin_scores",
)
def perceptron(score: Any, target: Any, *, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Perceptron loss: how far a score is on the wrong side of 0.

    For binary classification without a margin, as the perceptron algorithm does. Known as
    ``perceptron_loss`` (optax).

    .. math:: \\ell = \\max(0, -t s)

    `hinge` without a margin.

    Parameters
    ----------
    score : array_like
        Real numbers; their sign is the predicted class.
    target : array_like
        Labels -1 or 1, in the same shape. From labels 0 and 1: ``2 * t - 1``.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the score or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf). Convex; the gradient is -t for a score on the wrong side, 0 on the right one and at 0. The Hessian is 0.

    Raises
    ------
    ValueError
        Labels other than -1 and 1, shapes that differ, negative or non-finite weights, an unknown reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    hinge : With a margin.
    energy : With ``kind="perceptron"``, for several classes.

    References
    ----------
    Rosenblatt, *The Perceptron: A Probabilistic Model for Information Storage and Organization in the Brain*, Psychological
    Review 65, 1958.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.perceptron([0.5, 2.0, 0.5], [1, 1, -1], reduction="none")
    array([0. , 0. , 0.5])
    >>> fl.perceptron.grad([0.5, 2.0, 0.5], [1, 1, -1], reduction="sum")
    array([0., 0., 1.])
    """
    return _margin_loss(_PERCEPTRON, score, target, (), sample_weight, reduction)


@loss(
    wrt=("score",),
    max_order=2,
    formula="log(1 + exp(-t s))",
    range="[0, inf)",
    citation="Friedman, Hastie and Tibshirani, Additive Logistic Regression, 2000",
    sampler="margin_scores",
)
def soft_margin(score: Any, target: Any, *, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Soft margin loss: the logistic loss for labels -1 and 1.

    For binary classification where labels are -1 and 1. Known as ``soft_margin_loss`` (PyTorch).

    .. math:: \\ell = \\log(1 + e^{-t s})

    `binary_cross_entropy_with_logits` in other labels.

    Parameters
    ----------
    score : array_like
        Real numbers; their sign is the predicted class.
    target : array_like
        Labels -1 or 1, in the same shape. From labels 0 and 1: ``2 * t - 1``.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the score or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf) nats. Convex; the gradient -t sigmoid(-t s) does not vanish for confident mistakes.

    Raises
    ------
    ValueError
        Labels other than -1 and 1, shapes that differ, negative or non-finite weights, an unknown reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    binary_cross_entropy_with_logits : The same for labels 0 and 1.
    exponential : The loss of AdaBoost.
    hinge : Exactly 0 beyond the margin.

    Notes
    -----
    PyTorch's ``soft_margin_loss`` is inf in float32 where t s is -200; here every score has its
    digits.

    References
    ----------
    Friedman, Hastie and Tibshirani, *Additive Logistic Regression: A Statistical View of Boosting*, Annals of Statistics 28,
    2000.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.soft_margin([0.0, -200.0], [1, 1], reduction="none").round(4)
    array([  0.6931, 200.    ])
    >>> fl.soft_margin.grad([0.0, -200.0], [1, 1], reduction="sum").round(4)
    array([-0.5, -1. ])
    """
    return _margin_loss(_SOFT_MARGIN, score, target, (), sample_weight, reduction)


@loss(
    wrt=("score",),
    max_order=2,
    formula="exp(-t s)",
    range="(0, inf]",
    citation="Freund and Schapire, A Decision-Theoretic Generalization of On-Line Learning, 1997",
    sampler="margin_scores",
)
def exponential(score: Any, target: Any, *, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Exponential loss (AdaBoost loss).

    For boosting of binary classifiers: what AdaBoost minimises. Known as ``ExponentialLoss``
    (scikit-learn).

    .. math:: \\ell = e^{-t s}

    As scikit-learn's with its labels 0 and 1 made -1 and 1.

    Parameters
    ----------
    score : array_like
        Real numbers; their sign is the predicted class.
    target : array_like
        Labels -1 or 1, in the same shape. From labels 0 and 1: ``2 * t - 1``.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the score or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In (0, inf]. Convex; the gradient is -t times the value, the Hessian the value. Past the largest number of the type (a
        score on the wrong side by 88.7 in float32, 709.8 in float64) all three are infinite, in a sum too, without a warning.

    Raises
    ------
    ValueError
        Labels other than -1 and 1, shapes that differ, negative or non-finite weights, an unknown reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    soft_margin : Grows linearly, not exponentially, for scores that are wrong.
    hinge : Exactly 0 beyond the margin.

    References
    ----------
    Freund and Schapire, *A Decision-Theoretic Generalization of On-Line Learning and an Application to Boosting*, Journal of
    Computer and System Sciences 55, 1997.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.exponential([0.0, 1.0, 1.0], [1, 1, -1], reduction="none").round(4)
    array([1.    , 0.3679, 2.7183])
    >>> fl.exponential.grad([0.0, 1.0, 1.0], [1, 1, -1], reduction="sum").round(4)
    array([-1.    , -0.3679,  2.7183])
    """
    return _margin_loss(_EXPONENTIAL, score, target, (), sample_weight, reduction)


def _margin_loss(
    operation: int,
    score: Any,
    target: Any,
    parameters: tuple[float, ...],
    sample_weight: Any,
    reduction: str,
    extreme: bool = False,
) -> Plan:
    pair = _check.real_pair(("score", "target"), score, target)
    if pair[1].dtype.kind == "b":
        _check.refuse(ValueError, "target", _check.SIGNS.expected, "bools")
    return Pointwise(operation, pair, parameters, sample_weight, reduction, domain=(_check.SIGNS,), extreme=extreme)


_BCE, _BCE_LOGITS, _LOGISTIC = (
    POINTWISE[name] for name in ("binary_cross_entropy", "binary_cross_entropy_with_logits", "logistic")
)
_FOCAL, _FOCAL_SQUARE = POINTWISE["sigmoid_focal"], POINTWISE["sigmoid_focal_square"]
_HINGE, _SQUARED_HINGE, _PERCEPTRON = (POINTWISE[name] for name in ("hinge", "squared_hinge", "perceptron"))
_SOFT_MARGIN, _EXPONENTIAL = POINTWISE["soft_margin"], POINTWISE["exponential"]


def perplexity(logits: Any, target: Any, *, axis: int = -1, ignore_index: int | None = -100, sample_weight: Any = None) -> float:
    """Perplexity of class predictions: the exponential of the mean cross-entropy.

    For language models: the number of equally likely tokens that would surprise as much. The same as
    ``torch.exp(cross_entropy(...))`` in PyTorch.

    .. math:: \\mathrm{PPL} = \\exp \\left( \\frac{1}{N} \\sum_i \\ell_i \\right) = 2^{H} \\quad (H \\text{ in bits})

    Parameters
    ----------
    logits, target : array_like
        As for `cross_entropy`.
    axis : int
        The class axis.
    ignore_index : int or None
        Samples with this target are not counted; None turns it off.
    sample_weight : array_like, optional
        Weights >= 0, as for `cross_entropy`. Weight 0 leaves a sample out.

    Returns
    -------
    float
        In [1, inf]; nan if no sample counts.

    Raises
    ------
    IndexError, ValueError, TypeError
        As `cross_entropy`.

    See Also
    --------
    cross_entropy : Its logarithm, with the gradient.
    softmax : The probabilities themselves.

    Notes
    -----
    Computed from the logits, so that a token missed by 120 nats counts in full where
    ``log(softmax(x))`` would be ``log(0)``.

    References
    ----------
    Jelinek, Mercer, Bahl and Baker, *Perplexity - a measure of the difficulty of speech recognition tasks*, 1977.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.perplexity([[0.0, 0.0, 0.0, 0.0]], [2]), 12)
    4.0
    >>> round(fl.perplexity([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]], [0, 2]), 4)
    1.8856
    """
    try:
        plan = cross_entropy._body(logits, target, axis=axis, ignore_index=ignore_index, sample_weight=sample_weight)
        nats = plan.run(VALUE)[0]
    except Refusal as refusal:
        raise refusal.named("perplexity") from None
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf

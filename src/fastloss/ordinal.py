"""Ordinal losses: targets are levels 0 < 1 < ... < K - 1, and an error of more levels costs more.

Shapes: `N` rows (samples), `K` levels. Units: nats, but for squared_emd. Imports `_check`, `_loss`,
the engine's table of links and the plans only.
"""

from __future__ import annotations

from typing import Any, Literal

import fastloss._check as _check
from fastloss._check import Array
from fastloss._engines.scores import LINKS
from fastloss._loss import ROWS, Samples, loss
from fastloss._plans.base import Plan
from fastloss._plans.scores import CumulativeLink, Scores


def _rows(name: str, value: Any, target: Any, axis: Any) -> tuple[Array, int, Array]:
    """Scores, their class axis as an index from 0, and the levels."""
    x = _check.array(name, value)
    index = _check.axis_of(x, axis, name)
    t = _check.labels("target", target, x.shape[:index] + x.shape[index + 1 :], x.shape, "levels", name)
    return x, index, t


@loss(
    wrt=("logits",),
    max_order=2,
    formula="sum_k v_k (softplus(x_k) - 1[y > k] x_k), k = 0 .. K - 2",
    range="[0, inf)",
    citation="Cao, Mirjalili and Raschka, Rank Consistent Ordinal Regression for Neural Networks, 2020",
    sampler="level_tasks",
    samples=ROWS,
)
def coral(
    logits: Any, target: Any, *, level_weight: Any = None, axis: int = -1, sample_weight: Any = None, reduction: str = "mean"
) -> Plan:
    """CORAL loss: one binary task per threshold, "is the level above k?".

    For ordinal regression (ages, ratings, grades) with the logistic loss of each threshold. Known as
    ``coral_loss`` and ``CoralLoss`` (coral-pytorch, which take a row of binary labels).

    .. math:: \\ell_i = \\sum_{k=0}^{K-2} v_k \\left( \\mathrm{softplus}(x_{ik}) - [y_i > k] \\, x_{ik} \\right)

    In CORAL the logits of a sample are one score plus `K` - 1 biases; the loss does not require it.

    Parameters
    ----------
    logits : array_like
        A logit for each of the `K` - 1 thresholds, along `axis`.
    target : array_like
        Levels in [0, K), integers of any type, in the shape of `logits` without `axis`. Other
        libraries take the `K` - 1 binary labels: here they follow from the level.
    level_weight : array_like, optional
        `K` - 1 weights >= 0 of the tasks. They are no sample weights: "mean" does not divide by them.
    axis : int
        The axis of the thresholds.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the target or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf) nats. Convex in the logits, the gradient does not vanish for confident mistakes; the Hessian is diagonal.
        +-inf is fine where the label agrees. A nan makes its row nan.

    Raises
    ------
    IndexError
        A level outside [0, K).
    ValueError
        Shapes that do not fit, no thresholds, bad weights or reduction.
    TypeError
        Arrays that are not real numbers, levels that are not integers.

    See Also
    --------
    corn : Conditional tasks, for logits without shared weights.
    cumulative_link : One score and learned thresholds.
    binary_cross_entropy_with_logits : The loss of each task.

    Notes
    -----
    A sum of terms that are at least 0: nothing cancels.

    References
    ----------
    Cao, Mirjalili and Raschka, *Rank Consistent Ordinal Regression for Neural Networks with Application to Age Estimation*,
    Pattern Recognition Letters 140, 2020.

    Examples
    --------
    >>> import fastloss as fl
    >>> logits = [[3.0, 1.0, -2.0], [3.0, 1.0, -2.0]]
    >>> fl.coral(logits, [2, 0], reduction="none").round(4)
    array([0.4888, 4.4888])
    >>> fl.coral.grad(logits, [2, 0], reduction="sum").round(3)
    array([[-0.047, -0.269,  0.119],
           [ 0.953,  0.731,  0.119]])
    """
    x, index, t = _rows("logits", logits, target, axis)
    return Scores(
        "tasks", x, index, t, sample_weight, reduction, levels=x.shape[index] + 1, noun="levels", parameters=(0.0,),
        level_weight=_check.class_weights("level_weight", level_weight, x.shape[index]),
    )  # fmt: skip


@loss(
    wrt=("logits",),
    max_order=1,
    formula="sum_{k <= y} (softplus(x_k) - 1[y > k] x_k), k = 0 .. K - 2; the mean is over all (sample, task) pairs",
    range="[0, inf)",
    citation="Shi, Cao and Raschka, Deep Neural Networks for Rank-Consistent Ordinal Regression, 2023",
    sampler="level_tasks",
    samples=ROWS,
)
def corn(logits: Any, target: Any, *, axis: int = -1, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """CORN loss: one conditional binary task per threshold, "is the level above k?".

    For ordinal regression: each task is asked only of samples whose level is at least k, so that the
    predicted ranks are consistent for any logits. Known as ``corn_loss`` and ``CornLoss``
    (coral-pytorch).

    .. math:: \\ell_i = \\sum_{k=0}^{\\min(y_i, K-2)} \\left( \\mathrm{softplus}(x_{ik}) - [y_i > k] \\, x_{ik} \\right)
              \\qquad \\text{mean} = \\frac{\\sum_i \\ell_i}{\\sum_i \\min(y_i + 1, K - 1)}

    The sigmoid of logit k is the probability of a level above k given one that is not below k.

    Parameters
    ----------
    logits : array_like
        A logit for each of the `K` - 1 conditional tasks, along `axis`.
    target : array_like
        Levels in [0, K), integers of any type, in the shape of `logits` without `axis`.
    axis : int
        The axis of the tasks.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the target or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        "none" is each sample's sum over the tasks it takes part in. "mean" divides by the number of (sample, task) pairs, as
        coral-pytorch's corn_loss does: a sample's weight is its number of tasks, times its `sample_weight`.

    Returns
    -------
    float or ndarray
        In [0, inf) nats. Convex; the gradient is 0 at tasks that a sample takes no part in. +-inf is fine where the label agrees.
        A nan makes its row nan.

    Raises
    ------
    IndexError
        A level outside [0, K).
    ValueError
        Shapes that do not fit, no tasks, bad weights or reduction.
    TypeError
        Arrays that are not real numbers, levels that are not integers.

    See Also
    --------
    coral : Unconditional tasks.
    cumulative_link : One score and learned thresholds.

    References
    ----------
    Shi, Cao and Raschka, *Deep Neural Networks for Rank-Consistent Ordinal Regression Based on Conditional Probabilities*,
    Pattern Analysis and Applications 26, 2023 (preprint 2021).

    Examples
    --------
    >>> import fastloss as fl
    >>> logits = [[3.0, 1.0, -2.0], [3.0, 1.0, -2.0]]
    >>> fl.corn(logits, [2, 0], reduction="none").round(4)
    array([0.4888, 3.0486])
    >>> round(fl.corn(logits, [2, 0]), 4) == round((0.4888 + 3.0486) / (3 + 1), 4)
    True
    >>> fl.corn.grad(logits, [2, 0], reduction="sum").round(3)
    array([[-0.047, -0.269,  0.119],
           [ 0.953,  0.   ,  0.   ]])
    """
    x, index, t = _rows("logits", logits, target, axis)
    return Scores(
        "tasks", x, index, t, sample_weight, reduction, levels=x.shape[index] + 1, noun="levels", parameters=(1.0,), tasks=True
    )  # fmt: skip


@loss(
    wrt=("score", "thresholds"),
    max_order=1,
    formula="-log(F(theta_y - s) - F(theta_{y-1} - s))",
    range="[0, inf)",
    citation="McCullagh, Regression Models for Ordinal Data, 1980",
    sampler="score_and_thresholds",
    samples=Samples("elements", shared=("thresholds",)),
)
def cumulative_link(
    score: Any,
    thresholds: Any,
    target: Any,
    *,
    link: Literal["logit", "probit", "cloglog"] = "logit",
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Cumulative link loss (proportional odds model, ordered logit and probit).

    For ordinal regression with one score per sample, which thresholds shared by all samples cut into
    levels.

    .. math:: \\ell_i = - \\log \\left( F(\\theta_{y_i} - s_i) - F(\\theta_{y_i - 1} - s_i) \\right)
              \\qquad \\theta_{-1} = -\\infty, \\; \\theta_{K-1} = \\infty

    With the logit link this is the proportional odds model.

    Parameters
    ----------
    score : array_like
        One score per sample, of any shape; higher scores mean higher levels.
    thresholds : array_like
        `K` - 1 finite numbers, strictly increasing, shared by all samples.
    target : array_like
        Levels in [0, K), integers of any type, in the shape of `score`.
    link : {"logit", "probit", "cloglog"}
        F is the logistic function, the normal distribution function, or 1 - exp(-exp(z)).
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the score or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf) nats. Convex in score and thresholds together (all three densities are log-concave). The gradient is a pair:
        for the score, and for the thresholds, which is a sum over the samples. An infinite score is 0 at the level it belongs
        to and inf elsewhere; a nan makes its own value nan, and the gradient of the thresholds.

    Raises
    ------
    IndexError
        A level outside [0, K).
    ValueError
        Thresholds that are not increasing and finite, shapes that do not fit, an unknown link, bad weights or reduction.
    TypeError
        Arrays that are not real numbers, levels that are not integers.

    See Also
    --------
    coral : One logit per threshold.
    corn : One conditional logit per threshold.
    squared_emd : From logits of the levels.

    Notes
    -----
    The difference is never formed: each link has a form whose terms do not cancel, so that scores far
    beyond either end, and thresholds that nearly coincide, keep their digits.

    References
    ----------
    McCullagh, *Regression Models for Ordinal Data*, Journal of the Royal Statistical Society B 42, 1980.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.cumulative_link([0.0, 50.0], [-1.0, 1.0], [1, 0], reduction="none").round(4)
    array([ 0.7719, 51.    ])
    >>> score, thresholds = fl.cumulative_link.grad([0.0, 50.0], [-1.0, 1.0], [1, 0], reduction="sum")
    >>> thresholds.round(4)
    array([-0.5745, -0.4255])
    >>> score.round(4)
    array([0., 1.])
    """
    s = _check.array("score", score)
    cuts = _check.increasing("thresholds", thresholds)
    t = _check.labels("target", target, s.shape, s.shape, "levels", "a score")
    chosen = _check.one_of("link", link, tuple(LINKS))
    return CumulativeLink(chosen, s, cuts, t, sample_weight, reduction)


@loss(
    wrt=("logits",),
    max_order=1,
    formula="sum_k (sum_{j <= k} softmax(logits)_j - 1[y <= k])^2",
    range="[0, K - 1]",
    citation="Hou, Yu and Samaras, Squared Earth Mover's Distance-based Loss for Training Deep Neural Networks, 2016",
    sampler="class_logits",
    samples=ROWS,
)
def squared_emd(logits: Any, target: Any, *, axis: int = -1, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Squared earth mover's distance (ranked probability score, RPS), from logits.

    For ordinal regression with a softmax over the levels: errors of more levels cost more. Known as
    the loss of Hou et al. (with l = 2).

    .. math:: \\ell_i = \\sum_{k=0}^{K-2} \\left( \\sum_{j \\le k} p_{ij} - [y_i \\le k] \\right)^2
              \\qquad p_i = \\mathrm{softmax}(x_i)

    The square of the difference of the distribution functions at each threshold.

    Parameters
    ----------
    logits : array_like
        Scores of the `K` levels along `axis`. ``-inf`` masks a level.
    target : array_like
        Levels in [0, K), integers of any type, in the shape of `logits` without `axis`.
    axis : int
        The axis of the levels.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the target or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, K - 1], without unit. Not convex; the gradient vanishes for confident mistakes, as that of all losses that are
        bounded. It is a difference of two terms at all levels but the label's own, and exact relative to them. Rows that hold
        nan or +inf, or nothing but -inf, are nan.

    Raises
    ------
    IndexError
        A level outside [0, K).
    ValueError
        Shapes that do not fit, no levels, bad weights or reduction.
    TypeError
        Arrays that are not real numbers, levels that are not integers.

    See Also
    --------
    cross_entropy : Takes no account of the levels' order.
    coral : One binary task per threshold.

    Notes
    -----
    Below the label's level the distribution function is summed from its lower end, from there on its
    complement from the upper: no term is a difference, and a row won by 40 nats keeps its digits.

    References
    ----------
    Hou, Yu and Samaras, *Squared Earth Mover's Distance-based Loss for Training Deep Neural Networks*, arXiv 1611.05916, 2016.

    Examples
    --------
    >>> import fastloss as fl
    >>> import numpy as np
    >>> fl.squared_emd(np.log([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]), [0, 2], reduction="none")
    array([0.3125, 0.8125])
    >>> fl.squared_emd.grad(np.log([[0.5, 0.25, 0.25]]), [0]).round(4)
    array([[-0.3125,  0.0938,  0.2188]])
    """
    x, index, t = _rows("logits", logits, target, axis)
    return Scores("squared_emd", x, index, t, sample_weight, reduction, levels=x.shape[index], noun="levels")

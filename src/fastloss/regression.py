"""Regression losses: one value per element, from a prediction and a target of the same shape. e = prediction - target.

Shapes: any, the same for both arguments (or one of them a scalar). Units: those of the data, squared where the loss squares.
Imports `_check`, `_plan` and `_loss` only.
"""

from __future__ import annotations

import math
from typing import Any

from fastloss import _check
from fastloss._kernels import POINTWISE
from fastloss._loss import loss
from fastloss._plan import Plan, Pointwise, split

_NAMES = ("prediction", "target")


@loss(
    wrt=("prediction",),
    max_order=2,
    formula="(prediction - target)^2",
    range="[0, inf)",
    citation="Gauss, Theoria combinationis observationum erroribus minimis obnoxiae, 1821",
    sampler="real_pair",
)
def mse(prediction: Any, target: Any, *, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Squared error.

    .. math:: \\ell = (p - t)^2

    The factor is 1, as in PyTorch and Keras; optax's ``l2_loss`` and scikit-learn's ``HalfSquaredLoss`` have 1/2.

    Parameters
    ----------
    prediction, target : array_like
        Real arrays of the same shape; one of them may be a scalar.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf). Strictly convex; the gradient :math:`2 (p - t)` grows with the error, so that outliers dominate.

    Raises
    ------
    ValueError
        Shapes that differ, negative or non-finite weights, an unknown reduction.
    TypeError
        Arrays that are not real numbers.

    References
    ----------
    Gauss, *Theoria combinationis observationum erroribus minimis obnoxiae*, 1821.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.mse([1.0, 2.0, 4.0], [1.0, 2.0, 2.0], reduction="sum")
    4.0
    >>> fl.mse.grad([1.0, 2.0, 4.0], [1.0, 2.0, 2.0], reduction="sum")
    array([0., 0., 4.])
    """
    return Pointwise(_MSE, _check.real_pair(_NAMES, prediction, target), (), sample_weight, reduction)


@loss(
    wrt=("prediction",),
    max_order=2,
    formula="|prediction - target|",
    range="[0, inf)",
    citation="Laplace, Sur quelques points du systeme du monde, 1793",
    sampler="real_pair",
)
def mae(prediction: Any, target: Any, *, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Absolute error.

    .. math:: \\ell = |p - t|

    Parameters
    ----------
    prediction, target : array_like
        Real arrays of the same shape; one of them may be a scalar.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf). Convex; the gradient is the sign of the error, 0 where the error is 0, so that outliers count no more than
        others. The Hessian is 0.

    Raises
    ------
    ValueError
        Shapes that differ, negative or non-finite weights, an unknown reduction.
    TypeError
        Arrays that are not real numbers.

    References
    ----------
    Laplace, *Sur quelques points du système du monde*, 1793.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.mae([1.0, 2.0, 4.0], [1.0, 3.0, 2.0])
    1.0
    >>> fl.mae.grad([1.0, 2.0, 4.0], [1.0, 3.0, 2.0], reduction="sum")
    array([ 0., -1.,  1.])
    """
    return Pointwise(_MAE, _check.real_pair(_NAMES, prediction, target), (), sample_weight, reduction)


@loss(
    wrt=("prediction",),
    max_order=2,
    formula="e^2/2 if |e| <= delta else delta (|e| - delta/2), e = prediction - target",
    range="[0, inf)",
    citation="Huber, Robust Estimation of a Location Parameter, 1964",
    sampler="real_pair",
)
def huber(prediction: Any, target: Any, *, delta: float = 1.0, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Huber's loss: quadratic for small errors, linear for large ones.

    .. math:: \\ell = \\begin{cases} e^2 / 2 & |e| \\le \\delta \\\\ \\delta (|e| - \\delta / 2) & \\text{else} \\end{cases}
              \\qquad e = p - t

    As in PyTorch, optax and scikit-learn. ``huber(delta=d) = d * smooth_l1(beta=d)``. PyTorch's version with weights divides
    by the number of samples; "mean" here divides by the sum of the weights.

    Parameters
    ----------
    prediction, target : array_like
        Real arrays of the same shape; one of them may be a scalar.
    delta : float
        Where the quadratic part ends; > 0, in the units of the data.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf). Convex with a continuous gradient, the error clipped to [-delta, delta]; the Hessian is 1 inside and on
        the border, 0 outside.

    Raises
    ------
    ValueError
        delta not > 0, shapes that differ, negative or non-finite weights, an unknown reduction.
    TypeError
        Arrays that are not real numbers.

    References
    ----------
    Huber, *Robust Estimation of a Location Parameter*, Annals of Mathematical Statistics 35, 1964.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.huber([0.5, 3.0], [0.0, 0.0], reduction="none")
    array([0.125, 2.5  ])
    """
    pair = _check.real_pair(_NAMES, prediction, target)
    return Pointwise(_HUBER, pair, (_check.positive("delta", delta),), sample_weight, reduction)


@loss(
    wrt=("prediction",),
    max_order=2,
    formula="e^2/(2 beta) if |e| < beta else |e| - beta/2, e = prediction - target",
    range="[0, inf)",
    citation="Girshick, Fast R-CNN, 2015",
    sampler="real_pair",
)
def smooth_l1(prediction: Any, target: Any, *, beta: float = 1.0, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Smooth L1: the absolute error with its kink rounded off.

    .. math:: \\ell = \\begin{cases} e^2 / (2 \\beta) & |e| < \\beta \\\\ |e| - \\beta / 2 & \\text{else} \\end{cases}
              \\qquad e = p - t

    As in PyTorch. ``beta=0`` is `mae`.

    Parameters
    ----------
    prediction, target : array_like
        Real arrays of the same shape; one of them may be a scalar.
    beta : float
        Where the quadratic part ends; >= 0, in the units of the data.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf). Convex; the gradient is e / beta clipped to [-1, 1]; the Hessian is 1 / beta inside, 0 outside and on the
        border.

    Raises
    ------
    ValueError
        beta below 0, shapes that differ, negative or non-finite weights, an unknown reduction.
    TypeError
        Arrays that are not real numbers.

    References
    ----------
    Girshick, *Fast R-CNN*, ICCV 2015.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.smooth_l1([0.5, 3.0], [0.0, 0.0], reduction="none")
    array([0.125, 2.5  ])
    """
    pair = _check.real_pair(_NAMES, prediction, target)
    beta = _check.at_least_zero("beta", beta)
    if beta == 0:
        return Pointwise(_MAE, pair, (), sample_weight, reduction)
    return Pointwise(_SMOOTH_L1, pair, (beta, 1.0 / beta), sample_weight, reduction)


@loss(
    wrt=("prediction", "variance"),
    max_order=2,
    formula="(log v + e^2 / v) / 2, v = max(variance, eps)",
    range="[log(eps) / 2, inf)",
    citation="Nix and Weigend, Estimating the Mean and Variance of the Target Probability Distribution, 1994",
    sampler="gaussian_observations",
)
def gaussian_nll(
    prediction: Any,
    target: Any,
    variance: Any,
    *,
    full: bool = False,
    eps: float = 1e-6,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Negative log-likelihood of a Gaussian whose mean and variance are predicted.

    .. math:: \\ell = \\tfrac{1}{2} \\left( \\log v + \\frac{(p - t)^2}{v} \\right)
              \\qquad v = \\max(\\mathrm{variance}, \\epsilon)

    `full` adds :math:`\\tfrac{1}{2} \\log 2 \\pi`, which makes it -log of the density.

    Parameters
    ----------
    prediction, target : array_like
        Real arrays of the same shape; one of them may be a scalar.
    variance : array_like
        Variances >= 0 in that shape, without its last axis or with length 1 there (one variance per row), or a scalar. The
        gradient has the shape that was given: slopes of a shared variance are added.
    full : bool
        Whether to add the constant.
    eps : float
        Positive: what smaller variances are raised to.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        Nats. Below 0 where the density exceeds 1: the logarithm and the quotient then have opposite signs, and the value is exact
        to the rounding of the larger (float32: of the value itself, the sum being made in double). Convex in the prediction, not
        in the variance. The gradient with respect to a variance below `eps` is 0; PyTorch's is that of `eps`.

    Raises
    ------
    ValueError
        Negative variances, shapes that do not fit, eps <= 0, bad weights or reduction.
    TypeError
        Arrays that are not real numbers, a `full` that is no bool.

    References
    ----------
    Nix and Weigend, *Estimating the Mean and Variance of the Target Probability Distribution*, ICNN 1994.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.gaussian_nll([1.0, 2.0], [1.0, 4.0], [1.0, 1.0], reduction="none")
    array([0., 2.])
    >>> fl.gaussian_nll.grad([0.0, 2.0], [0.0, 0.0], 2.0, reduction="sum")
    (array([0., 1.]), array(0.))
    """
    pair = _check.real_pair(_NAMES, prediction, target)
    pair, spread, own = _check.variances("variance", variance, pair, "prediction")
    constant = 0.5 * math.log(2.0 * math.pi) if _check.flag("full", full) else 0.0
    parameters = (_check.positive("eps", eps), *split(constant))
    domain = (("variance", "variances >= 0", 0.0, math.inf),)
    return Pointwise(_GAUSSIAN, pair, parameters, sample_weight, reduction, third=spread, second=own, domain=domain)


_MSE, _MAE, _HUBER, _SMOOTH_L1 = (POINTWISE[name] for name in ("mse", "mae", "huber", "smooth_l1"))
_GAUSSIAN = POINTWISE["gaussian_nll"]

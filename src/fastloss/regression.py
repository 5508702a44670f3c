"""Regression losses: one value per element, from a prediction and a target of the same shape. e = prediction - target.

Shapes: any, the same for both arguments (or one of them a scalar). Units: those of the data,
squared where the loss squares. Imports `_check`, `_loss`, the table of pointwise operations and
the plans only.
"""

from __future__ import annotations

import math
from typing import Any

import fastloss._check as _check
from fastloss._check import COUNTS, POSITIVE, Domain
from fastloss._engines.pointwise import POINTWISE
from fastloss._loss import loss
from fastloss._plans.base import Plan, split
from fastloss._plans.pointwise import Pointwise

_NAMES = ("prediction", "target")
_ABOVE_MINUS_ONE = math.nextafter(-1.0, 0.0)
_LOGARITHMS = Domain("prediction", "predictions > -1", _ABOVE_MINUS_ONE), Domain("target", "targets > -1", _ABOVE_MINUS_ONE)
_RATES = Domain("prediction", "rates >= 0 (of their logarithms: log_input=True)", 0.0)
_VARIANCES = Domain("variance", "variances >= 0 (of their logarithms: np.exp)", 0.0)


@loss(
    wrt=("prediction",),
    max_order=2,
    formula="(prediction - target)^2",
    range="[0, inf)",
    citation="Gauss, Theoria combinationis observationum erroribus minimis obnoxiae, 1821",
    sampler="real_pair",
)
def mse(prediction: Any, target: Any, *, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Squared error (L2 loss, mean squared error, MSE).

    For regression where large errors matter most: the prediction with the least mean loss is the mean
    of the target. Known as ``mse_loss`` (PyTorch), ``MeanSquaredError`` (Keras),
    ``mean_squared_error`` (scikit-learn) and ``squared_error`` (optax).

    .. math:: \\ell = (p - t)^2

    The factor is 1, as in PyTorch and Keras; optax's ``l2_loss`` and scikit-learn's
    ``HalfSquaredError`` have 1/2.

    Parameters
    ----------
    prediction, target : array_like
        Real arrays of the same shape; one of them may be a scalar.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes. Weight 0 leaves a sample out.
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

    See Also
    --------
    mae : Absolute error, which outliers dominate less.
    huber : Squared for small errors, linear for large ones.
    msle : Squared error of logarithms, for relative errors.

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
    """Absolute error (L1 loss, mean absolute error, MAE).

    For regression with outliers in the target: the prediction with the least mean loss is the median
    of the target. Known as ``l1_loss`` (PyTorch), ``MeanAbsoluteError`` (Keras) and
    ``mean_absolute_error`` (scikit-learn).

    .. math:: \\ell = |p - t|

    Parameters
    ----------
    prediction, target : array_like
        Real arrays of the same shape; one of them may be a scalar.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes. Weight 0 leaves a sample out.
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

    See Also
    --------
    mse : Squared error, for which large errors matter most.
    smooth_l1 : The same with the kink at 0 rounded off.
    quantile : The same with a weight for each side; half of it at the median.

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
    """Huber loss: quadratic for small errors, linear for large ones.

    For regression with outliers, where `mae` would have a kink at 0. Known as ``huber_loss``
    (PyTorch, optax), ``Huber`` (Keras) and ``HuberLoss`` (scikit-learn).

    .. math:: \\ell = \\begin{cases} e^2 / 2 & |e| \\le \\delta \\\\ \\delta (|e| - \\delta / 2) & \\text{else} \\end{cases}
              \\qquad e = p - t

    As in PyTorch, optax and scikit-learn. ``huber(delta=d) = d * smooth_l1(beta=d)``. PyTorch's
    version with weights divides by the number of samples; "mean" here divides by the sum of the
    weights.

    Parameters
    ----------
    prediction, target : array_like
        Real arrays of the same shape; one of them may be a scalar.
    delta : float
        Where the quadratic part ends; > 0, in the units of the data.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes. Weight 0 leaves a sample out.
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

    See Also
    --------
    smooth_l1 : The same divided by the threshold.
    pseudo_huber : A smooth version with a Hessian > 0 everywhere.
    log_cosh : A smooth version without a parameter.

    References
    ----------
    Huber, *Robust Estimation of a Location Parameter*, Annals of Mathematical Statistics 35, 1964.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.huber([0.5, 3.0], [0.0, 0.0], reduction="none")
    array([0.125, 2.5  ])
    >>> fl.huber.grad([0.5, 3.0], [0.0, 0.0], reduction="sum")
    array([0.5, 1. ])
    """
    pair = _check.real_pair(_NAMES, prediction, target)
    delta = _check.positive("delta", delta)
    plan = Pointwise(_HUBER, pair, (delta,), sample_weight, reduction)
    return plan if 1e-6 < delta < 1e6 else plan.widened()


@loss(
    wrt=("prediction",),
    max_order=2,
    formula="e^2/(2 beta) if |e| < beta else |e| - beta/2, e = prediction - target",
    range="[0, inf)",
    citation="Girshick, Fast R-CNN, 2015",
    sampler="real_pair",
)
def smooth_l1(prediction: Any, target: Any, *, beta: float = 1.0, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Smooth L1 loss: the absolute error with the kink at 0 rounded off.

    For regression with outliers; common for the coordinates of boxes in object detection. Known as
    ``smooth_l1_loss`` (PyTorch).

    .. math:: \\ell = \\begin{cases} e^2 / (2 \\beta) & |e| < \\beta \\\\ |e| - \\beta / 2 & \\text{else} \\end{cases}
              \\qquad e = p - t

    As in PyTorch. ``beta=0`` is `mae`. ``smooth_l1(beta=d) = huber(delta=d) / d``.

    Parameters
    ----------
    prediction, target : array_like
        Real arrays of the same shape; one of them may be a scalar.
    beta : float
        Where the quadratic part ends; >= 0, in the units of the data.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes. Weight 0 leaves a sample out.
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

    See Also
    --------
    huber : The same times the threshold.
    mae : The limit for small `beta`.
    box_iou : Loss of whole boxes, by their overlap.

    References
    ----------
    Girshick, *Fast R-CNN*, ICCV 2015.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.smooth_l1([0.5, 3.0], [0.0, 0.0], reduction="none")
    array([0.125, 2.5  ])
    >>> fl.smooth_l1.grad([0.5, 3.0], [0.0, 0.0], reduction="sum")
    array([0.5, 1. ])
    """
    pair = _check.real_pair(_NAMES, prediction, target)
    beta = _check.at_least_zero("beta", beta)
    if beta == 0:
        return Pointwise(_MAE, pair, (), sample_weight, reduction)
    plan = Pointwise(_SMOOTH_L1, pair, (beta, 1.0 / beta), sample_weight, reduction)
    return plan if 1e-6 < beta < 1e6 else plan.widened()


@loss(
    wrt=("prediction",),
    max_order=2,
    formula="delta^2 (sqrt(1 + (e/delta)^2) - 1), e = prediction - target",
    range="[0, inf)",
    citation="Charbonnier et al., Deterministic Edge-Preserving Regularization in Computed Imaging, 1997",
    sampler="real_pair",
)
def pseudo_huber(prediction: Any, target: Any, *, delta: float = 1.0, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Pseudo-Huber loss (Charbonnier loss): a smooth Huber loss with derivatives of every order.

    For regression with outliers and second-order methods, such as gradient-boosted trees. Known as
    ``special.pseudo_huber`` (SciPy).

    .. math:: \\ell = \\delta^2 \\left( \\sqrt{1 + (e / \\delta)^2} - 1 \\right) \\qquad e = p - t

    About ``e**2 / 2`` for small errors and ``delta * |e|`` for large ones. As in SciPy.

    Parameters
    ----------
    prediction, target : array_like
        Real arrays of the same shape; one of them may be a scalar.
    delta : float
        Scale on which the error turns from small to large; > 0, in the units of the data.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf). Strictly convex; the gradient :math:`e / \\sqrt{1 + (e / \\delta)^2}` stays within (-delta, delta); the
        Hessian :math:`(1 + (e / \\delta)^2)^{-3/2}` is > 0 everywhere, as second-order methods like it.

    Raises
    ------
    ValueError
        delta not > 0, shapes that differ, negative or non-finite weights, an unknown reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    huber : The same with a quadratic part and a linear one.
    log_cosh : Another smooth version, without a parameter.

    Notes
    -----
    Computed as ``e**2 / (1 + sqrt(1 + (e / delta)**2))``, which neither cancels for small errors nor
    overflows for large ones.

    References
    ----------
    Charbonnier, Blanc-Féraud, Aubert and Barlaud, *Deterministic Edge-Preserving Regularization in Computed Imaging*, IEEE
    Transactions on Image Processing 6, 1997.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.pseudo_huber([0.75, 2.4], [0.0, 0.0], reduction="none")
    array([0.25, 1.6 ])
    >>> fl.pseudo_huber.grad([0.75, 2.4], [0.0, 0.0], reduction="sum").round(4)
    array([0.6   , 0.9231])
    """
    pair = _check.real_pair(_NAMES, prediction, target)
    delta = _check.positive("delta", delta)
    plan = Pointwise(_PSEUDO_HUBER, pair, (delta,), sample_weight, reduction)
    return plan if 1e-6 < delta < 1e6 else plan.widened()


@loss(
    wrt=("prediction",),
    max_order=2,
    formula="log cosh(prediction - target)",
    range="[0, inf)",
    citation="Green, Bayesian Reconstructions from Emission Tomography Data, 1990",
    sampler="real_pair",
)
def log_cosh(prediction: Any, target: Any, *, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Log-cosh loss: logarithm of the hyperbolic cosine of the error.

    For regression with outliers, as a smooth Huber loss without a parameter. Known as ``LogCosh``
    (Keras) and ``log_cosh`` (optax).

    .. math:: \\ell = \\log \\cosh (p - t)

    About ``e**2 / 2`` for small errors and ``|e| - log 2`` for large ones, between which it always
    lies. As in Keras and optax.

    Parameters
    ----------
    prediction, target : array_like
        Real arrays of the same shape; one of them may be a scalar.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf). Strictly convex; the gradient is tanh(e), the Hessian 1 / cosh(e)^2.

    Raises
    ------
    ValueError
        Shapes that differ, negative or non-finite weights, an unknown reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    huber : Quadratic and linear parts, with a threshold.
    pseudo_huber : Another smooth version, with a scale.

    Notes
    -----
    Nothing overflows or cancels, whatever the error: optax's formula is 0, or noise, for float32
    errors below 1e-4.

    References
    ----------
    Green, *Bayesian Reconstructions from Emission Tomography Data Using a Modified EM Algorithm*, IEEE Transactions on Medical
    Imaging 9, 1990.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.log_cosh([1.0, 10.0], [0.0, 0.0], reduction="none").round(4)
    array([0.4338, 9.3069])
    >>> fl.log_cosh.grad([1.0, 10.0], [0.0, 0.0], reduction="sum").round(4)
    array([0.7616, 1.    ])
    """
    return Pointwise(_LOG_COSH, _check.real_pair(_NAMES, prediction, target), (), sample_weight, reduction)


@loss(
    wrt=("prediction",),
    max_order=2,
    formula="max(q (t - p), (q - 1) (t - p))",
    range="[0, inf)",
    citation="Koenker and Bassett, Regression Quantiles, 1978",
    sampler="real_pair",
)
def quantile(prediction: Any, target: Any, *, q: float = 0.5, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Quantile loss (pinball loss, check loss).

    For quantile regression and prediction intervals: the mean loss is least at the q-quantile of the
    target. Known as ``mean_pinball_loss`` and ``PinballLoss`` (scikit-learn).

    .. math:: \\ell = \\max( q (t - p), (q - 1) (t - p) )

    ``quantile(q=0.5)`` is half of `mae`. As in scikit-learn, whose ``PinballLoss`` has the gradient
    `-q` where the prediction is exact, and the Hessian 1 by convention.

    Parameters
    ----------
    prediction, target : array_like
        Real arrays of the same shape; one of them may be a scalar.
    q : float
        The quantile, in (0, 1). A prediction that is too low costs q per unit, one that is too high 1 - q.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf). Convex; the gradient is -q below the target, 1 - q above, and 0 where the prediction is exact. The Hessian
        is 0.

    Raises
    ------
    ValueError
        q outside (0, 1), shapes that differ, negative or non-finite weights, an unknown reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    mae : Twice this for the median.
    expectile : Squared error with a weight for each side.

    References
    ----------
    Koenker and Bassett, *Regression Quantiles*, Econometrica 46, 1978.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.quantile([1.0, 5.0], [3.0, 3.0], q=0.75, reduction="none")
    array([1.5, 0.5])
    >>> fl.quantile.grad([1.0, 5.0], [3.0, 3.0], q=0.75, reduction="sum")
    array([-0.75,  0.25])
    """
    q = _check.within("q", q, 0.0, 1.0)
    return Pointwise(_QUANTILE, _check.real_pair(_NAMES, prediction, target), (q, 1.0 - q), sample_weight, reduction)


@loss(
    wrt=("prediction",),
    max_order=2,
    formula="|tau - 1[t < p]| (p - t)^2",
    range="[0, inf)",
    citation="Newey and Powell, Asymmetric Least Squares Estimation and Testing, 1987",
    sampler="real_pair",
)
def expectile(prediction: Any, target: Any, *, tau: float = 0.5, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Expectile loss (asymmetric least squares): squared error with a weight for each side.

    For regression where errors on one side cost more, with a continuous gradient: the mean loss is
    least at the tau-expectile of the target.

    .. math:: \\ell = |\\tau - 1[t < p]| \\, (p - t)^2

    ``expectile(tau=0.5)`` is half of `mse`.

    Parameters
    ----------
    prediction, target : array_like
        Real arrays of the same shape; one of them may be a scalar.
    tau : float
        In (0, 1). A squared unit costs tau where the prediction is too low, 1 - tau where it is too high.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf). Strictly convex; the gradient is continuous, the Hessian 2 tau below the target and at it, 2 (1 - tau)
        above.

    Raises
    ------
    ValueError
        tau outside (0, 1), shapes that differ, negative or non-finite weights, an unknown reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    mse : Twice this for ``tau=0.5``.
    quantile : Absolute error with a weight for each side.

    References
    ----------
    Newey and Powell, *Asymmetric Least Squares Estimation and Testing*, Econometrica 55, 1987.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.expectile([1.0, 5.0], [3.0, 3.0], tau=0.75, reduction="none")
    array([3., 1.])
    >>> fl.expectile.grad([1.0, 5.0], [3.0, 3.0], tau=0.75, reduction="sum")
    array([-3.,  1.])
    """
    tau = _check.within("tau", tau, 0.0, 1.0)
    return Pointwise(_EXPECTILE, _check.real_pair(_NAMES, prediction, target), (tau, 1.0 - tau), sample_weight, reduction)


@loss(
    wrt=("prediction",),
    max_order=2,
    formula="|prediction - target| / max(|target|, eps)",
    range="[0, inf)",
    citation="Makridakis, Accuracy measures: theoretical and practical concerns, 1993",
    sampler="real_pair",
)
def mape(
    prediction: Any,
    target: Any,
    *,
    eps: float = 2.220446049250313e-16,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Absolute percentage error (mean absolute percentage error, MAPE), as a fraction.

    For forecasts of positive quantities, where relative errors matter. Known as
    ``mean_absolute_percentage_error`` (scikit-learn) and ``MeanAbsolutePercentageError`` (Keras).

    .. math:: \\ell = \\frac{|p - t|}{\\max(|t|, \\epsilon)}

    As in scikit-learn; Keras multiplies by 100, and floors the target at 1e-7.

    Parameters
    ----------
    prediction, target : array_like
        Real arrays of the same shape; one of them may be a scalar.
    eps : float
        The least size of a target to divide by; > 0.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf); 1 is an error as large as the target. Convex in the prediction; the gradient is the sign of the error over
        the size of the target, 0 where the error is 0, so that small targets dominate. The Hessian is 0.

    Raises
    ------
    ValueError
        eps not > 0, shapes that differ, negative or non-finite weights, an unknown reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    mae : Absolute error, in the units of the data.
    msle : Relative errors through logarithms.

    References
    ----------
    Makridakis, *Accuracy measures: theoretical and practical concerns*, International Journal of Forecasting 9, 1993.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.mape([1.0, 9.0], [2.0, 10.0], reduction="none")
    array([0.5, 0.1])
    >>> fl.mape.grad([1.0, 9.0], [2.0, 10.0], reduction="sum")
    array([-0.5, -0.1])
    """
    pair = _check.real_pair(_NAMES, prediction, target)
    eps = _check.positive("eps", eps)
    plan = Pointwise(_MAPE, pair, (eps,), sample_weight, reduction)
    return plan if 1e-37 < eps < 1e37 else plan.widened()


@loss(
    wrt=("prediction",),
    max_order=2,
    formula="(log(1 + prediction) - log(1 + target))^2",
    range="[0, inf)",
    citation="Kaggle, Root Mean Squared Logarithmic Error, 2011; Jadon, Patil and Jadon, 2022",
    sampler="log_pair",
)
def msle(prediction: Any, target: Any, *, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Squared logarithmic error (mean squared logarithmic error, MSLE).

    For regression of quantities of many magnitudes, where relative errors matter; the square root of
    its mean is the RMSLE. Known as ``mean_squared_log_error`` (scikit-learn) and
    ``MeanSquaredLogarithmicError`` (Keras).

    .. math:: \\ell = \\left( \\log(1 + p) - \\log(1 + t) \\right)^2

    As in scikit-learn. Keras raises arguments below 1e-7 to that, and so never sees what is refused
    here.

    Parameters
    ----------
    prediction, target : array_like
        Real arrays of the same shape, > -1; one of them may be a scalar.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf). With d the difference of the logarithms, the gradient is 2 d / (1 + p) and the Hessian
        2 (1 - d) / (1 + p)^2: convex up to d = 1, where the prediction is e times too large.

    Raises
    ------
    ValueError
        Predictions or targets not > -1, shapes that differ, negative or non-finite weights, an unknown reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    mse : Squared error of the values themselves.
    mape : Absolute error relative to the target.

    Notes
    -----
    Computed from ``log1p(|p - t| / (1 + min(p, t)))``: the difference of two nearly equal logarithms
    is never formed.

    References
    ----------
    Jadon, Patil and Jadon, *A Comprehensive Survey of Regression Based Loss Functions for Time Series Forecasting*, 2022.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.msle([1.0, 3.0], [3.0, 3.0], reduction="none").round(4)
    array([0.4805, 0.    ])
    >>> fl.msle.grad([1.0, 3.0], [3.0, 3.0], reduction="sum").round(4)
    array([-0.6931,  0.    ])
    """
    return Pointwise(_MSLE, _check.real_pair(_NAMES, prediction, target), (), sample_weight, reduction, domain=_LOGARITHMS)


@loss(
    wrt=("prediction",),
    max_order=2,
    formula="exp(p) - t p, or p - t log(p + eps) for rates",
    range="(-inf, inf)",
    citation="Nelder and Wedderburn, Generalized Linear Models, 1972",
    sampler="log_counts",
)
def poisson_nll(
    prediction: Any,
    target: Any,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Poisson loss: negative log-likelihood of counts under the Poisson distribution.

    For regression of counts, with the logarithm of the rate as prediction (or the rate itself). Known
    as ``poisson_nll_loss`` (PyTorch), ``Poisson`` (Keras, of rates) and ``HalfPoissonLoss``
    (scikit-learn).

    .. math:: \\ell = e^p - t p \\qquad \\text{or, of rates,} \\qquad \\ell = p - t \\log(p + \\epsilon)

    As in PyTorch, with its constant: ``full=True`` adds Stirling's ``t log t - t + log(2 pi t) / 2``
    for ``log t!``, for t > 1 only. scikit-learn's ``HalfPoissonLoss`` is this with the defaults.

    Parameters
    ----------
    prediction : array_like
        Logarithms of the rate; with ``log_input=False`` rates, >= 0.
    target : array_like
        Counts, or other numbers >= 0, in the same shape.
    log_input : bool
        Whether the prediction is a logarithm.
    full : bool
        Whether Stirling's approximation of the constant is added.
    eps : float
        Added to a rate before its logarithm is taken; >= 0.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        Nats, of either sign. Convex; the gradient of a logarithm is rate - t, its Hessian the rate.

    Raises
    ------
    ValueError
        Targets below 0, rates below 0, eps below 0, shapes that differ, negative or non-finite weights, an unknown
        reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    tweedie : With ``power=1`` the Poisson deviance, which is 0 at the optimum.
    gamma : For positive targets whose spread grows with their mean.
    gaussian_nll : For real targets, with a predicted variance.

    Notes
    -----
    The two terms may have opposite signs and cancel, so that the last digits are those of the larger;
    not with ``full=True``, where what cancels is added up beforehand (for t > 1).

    References
    ----------
    Nelder and Wedderburn, *Generalized Linear Models*, Journal of the Royal Statistical Society A 135, 1972.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.poisson_nll([0.0, 1.0], [1.0, 0.0], reduction="none").round(4)
    array([1.    , 2.7183])
    >>> round(fl.poisson_nll([2.0], [2.0], log_input=False, full=True), 4)  # -log(2^2 e^-2 / 2!) is 1.3069
    1.2655
    >>> fl.poisson_nll.grad([0.0, 1.0], [1.0, 0.0], reduction="sum").round(4)
    array([0.    , 2.7183])
    """
    pair = _check.real_pair(_NAMES, prediction, target)
    of_log, stirling = _check.flag("log_input", log_input), _check.flag("full", full)
    eps = _check.at_least_zero("eps", eps)
    domain = (COUNTS,) if of_log else (_RATES, COUNTS)
    operation = _POISSON_NLL[of_log, stirling]
    return Pointwise(operation, pair, () if of_log else (eps,), sample_weight, reduction, domain=domain)


@loss(
    wrt=("prediction",),
    max_order=2,
    formula="p + t exp(-p) - log t - 1",
    range="[0, inf)",
    citation="Nelder and Wedderburn, Generalized Linear Models, 1972",
    sampler="log_positives",
)
def gamma(prediction: Any, target: Any, *, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Gamma loss: half the deviance of the gamma distribution, with a logarithmic link.

    For positive targets whose spread is proportional to their mean ``exp(p)``: waiting times, sizes
    of claims. Known as ``HalfGammaLoss`` and ``mean_gamma_deviance`` (scikit-learn).

    .. math:: \\ell = p + t e^{-p} - \\log t - 1

    scikit-learn's ``HalfGammaLoss`` leaves the constant ``-log t - 1`` out; ``mean_gamma_deviance``
    is twice this.

    Parameters
    ----------
    prediction : array_like
        Logarithms of the mean.
    target : array_like
        Numbers > 0, in the same shape.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        Nats, in [0, inf); 0 where ``exp(p) = t``. Strictly convex; the gradient is 1 - t exp(-p), the Hessian t exp(-p).

    Raises
    ------
    ValueError
        Targets not > 0, shapes that differ, negative or non-finite weights, an unknown reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    tweedie : Other powers of the variance; ``power=2`` is this loss.
    poisson_nll : For counts.

    Notes
    -----
    Equal to :math:`e^u - 1 - u` with :math:`u = \\log t - p`, computed without cancellation: next to
    the optimum `u` is known to 2^-104 of the logarithm.

    References
    ----------
    Nelder and Wedderburn, *Generalized Linear Models*, Journal of the Royal Statistical Society A 135, 1972.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.gamma([0.0, 0.0], [1.0, 2.0], reduction="none").round(4)
    array([0.    , 0.3069])
    >>> fl.gamma.grad([0.0, 0.0], [1.0, 2.0], reduction="sum")
    array([ 0., -1.])
    """
    pair = _check.real_pair(_NAMES, prediction, target)
    return Pointwise(_GAMMA, pair, (), sample_weight, reduction, domain=(POSITIVE,))


@loss(
    wrt=("prediction",),
    max_order=2,
    formula="t^(2-power) / ((1-power) (2-power)) - t e^((1-power) p) / (1-power) + e^((2-power) p) / (2-power)",
    range="[0, inf)",
    citation="Tweedie, An index which distinguishes between some important exponential families, 1984",
    sampler="log_positives",
)
def tweedie(prediction: Any, target: Any, *, power: float = 1.5, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Tweedie loss: half the deviance of the Tweedie distributions, with a logarithmic link.

    For targets >= 0 that are often 0, such as amounts of insurance claims; the variance is
    the mean ``exp(p)`` to the power k. Known as ``HalfTweedieLoss`` and ``mean_tweedie_deviance``
    (scikit-learn).

    .. math:: \\ell = \\frac{t^{2-k}}{(1-k)(2-k)} - \\frac{t \\, e^{(1-k) p}}{1-k} + \\frac{e^{(2-k) p}}{2-k}
              \\qquad k = \\text{power}

    Limits: power 0 is half the squared error of ``exp(p)``, 1 Poisson's
    ``t log t - t p + exp(p) - t``, 2 `gamma`. scikit-learn's ``HalfTweedieLoss`` leaves the constants
    (the terms without `p`) out; ``mean_tweedie_deviance`` is twice this. Powers below 1 other than 0
    are no distribution's and are refused.

    Parameters
    ----------
    prediction : array_like
        Logarithms of the mean.
    target : array_like
        In the same shape; any real numbers for power 0, >= 0 for powers in [1, 2), > 0 from 2 on.
    power : float
        0, or at least 1: how the variance grows with the mean. Between 1 and 2, sums of a Poisson number of gamma variables:
        amounts that are often 0.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf), 0 where ``exp(p) = t``. Convex for powers in [1, 2]. The gradient is e^((2-k) p) - t e^((1-k) p).

    Raises
    ------
    ValueError
        Targets outside the power's domain, power other than 0 and below 1, shapes that differ, negative or non-finite weights,
        an unknown reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    poisson_nll : For counts; with another constant than ``power=1``.
    gamma : The same with ``power=2``.

    References
    ----------
    Tweedie, *An index which distinguishes between some important exponential families*, 1984. Jørgensen, *Exponential Dispersion
    Models*, Journal of the Royal Statistical Society B 49, 1987.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.tweedie([0.0, 0.0], [0.0, 4.0], reduction="none")
    array([2., 2.])
    >>> fl.tweedie.grad([0.0, 0.0], [0.0, 4.0], reduction="sum")
    array([ 1., -3.])
    """
    pair = _check.real_pair(_NAMES, prediction, target)
    k = _check.number("power", power, "0 or a number >= 1")
    if k == 0:
        return Pointwise(_TWEEDIE_NORMAL, pair, (), sample_weight, reduction)
    if k == 1:
        return Pointwise(_TWEEDIE_POISSON, pair, (), sample_weight, reduction, domain=(COUNTS,))
    if k == 2:
        return Pointwise(_GAMMA, pair, (), sample_weight, reduction, domain=(POSITIVE,))
    if k < 1:
        _check.refuse(ValueError, "power", "0 or a number >= 1", k)
    a, b = 1.0 - k, 2.0 - k
    if k == 1.5:
        return Pointwise(_TWEEDIE_THREE_HALVES, pair, (), sample_weight, reduction, domain=(COUNTS,))
    domain = (COUNTS,) if k < 2 else (POSITIVE,)
    return Pointwise(_TWEEDIE, pair, (a, b, 1.0 / a, 1.0 / b), sample_weight, reduction, domain=domain)


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
    """Gaussian negative log-likelihood, with a predicted mean and variance.

    For regression with a predicted uncertainty (heteroscedastic regression). Known as
    ``gaussian_nll_loss`` (PyTorch).

    .. math:: \\ell = \\tfrac{1}{2} \\left( \\log v + \\frac{(p - t)^2}{v} \\right)
              \\qquad v = \\max(\\mathrm{variance}, \\epsilon)

    `full` adds :math:`\\tfrac{1}{2} \\log 2 \\pi`, which makes it -log of the density.

    Parameters
    ----------
    prediction, target : array_like
        Real arrays of the same shape; one of them may be a scalar.
    variance : array_like
        Variances >= 0 in that shape, without its last axis or with length 1 there (one variance per row), or a scalar. The
        gradient has the shape that was given: gradients of a shared variance are added.
    full : bool
        Whether to add the constant.
    eps : float
        Positive: what smaller variances are raised to.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the prediction or of its leading axes. Weight 0 leaves a sample out.
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

    See Also
    --------
    mse : For a fixed variance, up to a factor and a constant.
    gaussian_kl : Divergence of a Gaussian from a prior.

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
    eps = _check.positive("eps", eps)
    parameters = (eps, *split(constant))
    return Pointwise(
        _GAUSSIAN, pair, parameters, sample_weight, reduction, third=spread, second=own, domain=(_VARIANCES,),
        extreme=not 1e-30 < eps < 1e30,
    )  # fmt: skip


_MSE, _MAE, _HUBER, _SMOOTH_L1 = (POINTWISE[name] for name in ("mse", "mae", "huber", "smooth_l1"))
_PSEUDO_HUBER, _LOG_COSH, _QUANTILE, _EXPECTILE = (
    POINTWISE[name] for name in ("pseudo_huber", "log_cosh", "quantile", "expectile")
)
_MAPE, _MSLE, _GAMMA, _GAUSSIAN = (POINTWISE[name] for name in ("mape", "msle", "gamma", "gaussian_nll"))
_POISSON_NLL = {  # of a logarithm, full
    (True, False): POINTWISE["poisson_nll"],
    (True, True): POINTWISE["poisson_nll_full"],
    (False, False): POINTWISE["poisson_nll_rate"],
    (False, True): POINTWISE["poisson_nll_rate_full"],
}
_TWEEDIE, _TWEEDIE_NORMAL, _TWEEDIE_POISSON, _TWEEDIE_THREE_HALVES = (
    POINTWISE[name] for name in ("tweedie", "tweedie_normal", "tweedie_poisson", "tweedie_three_halves")
)

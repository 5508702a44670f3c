"""Divergences between distributions: one value per row along an axis, the sum of its elements' terms.

Shapes: `N` rows (samples) of `C` classes, or of `D` dimensions, along `axis`, and any number of
further axes. Units: nats. Imports `_check`, `_loss`, the engine's table of operations and the
plans only.
"""

from __future__ import annotations

import math
from typing import Any

import fastloss._check as _check
from fastloss._check import Array, Domain
from fastloss._engines.sums import SUMS
from fastloss._loss import ROWS, loss
from fastloss._plans.base import Plan, largest_magnitude
from fastloss._plans.rows import Rows
from fastloss._plans.sums import Summed
from fastloss._plans.weights import is_extreme


@loss(
    wrt=("log_probs",),
    max_order=1,
    formula="sum of t (log t - log_probs)",
    range="[0, inf) if both rows sum to 1",
    citation="Kullback and Leibler, On Information and Sufficiency, 1951",
    sampler="log_probabilities_and_probabilities",
    samples=ROWS,
)
def kl_div(
    log_probs: Any,
    target: Any,
    *,
    log_target: bool = False,
    axis: int = -1,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Kullback-Leibler divergence (relative entropy), from log-probabilities.

    For fitting a predicted distribution to a target distribution. Known as ``kl_div`` (PyTorch),
    ``KLDivergence`` (Keras, of probabilities) and ``kl_divergence`` (optax).

    .. math:: \\ell = \\sum_c t_c \\left( \\log t_c - \\log q_c \\right) \\qquad 0 \\log 0 = 0

    The arguments stand in PyTorch's order: the logarithm of the prediction first, then the target.
    "mean" is over rows, as PyTorch's "batchmean"; its own "mean" divides by the number of elements,
    and its "none" is not summed along the row.

    Parameters
    ----------
    log_probs : array_like
        Natural logarithms of the predicted probabilities, with the `C` classes along `axis`. They are not normalised here. -inf
        is fine where the target is 0.
    target : array_like
        Probabilities >= 0 in the same shape, or their natural logarithms if `log_target`. Rows need not sum to 1.
    log_target : bool
        Whether the target is given as logarithms.
    axis : int
        The class axis.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the rows or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of one weighted value per row.

    Returns
    -------
    float or ndarray
        Nats; at least 0, but for rounding, where both rows are distributions. Linear in
        `log_probs`, with gradient -t.

    Raises
    ------
    ValueError
        Targets below 0, integers that are not one-hot, shapes that differ, no classes, an axis that does not exist, bad weights
        or reduction.
    TypeError
        Arrays that are not real numbers, a log_target that is no bool.

    See Also
    --------
    kl_div_with_logits : The same from logits, with a temperature.
    js_divergence : A symmetric and bounded divergence.
    nll : For a target that is a single class.

    Notes
    -----
    The terms have both signs: the sum is exact to their rounding, not to its own. For float32 the
    logarithms, the differences and the sum are made in double, so that rows of nearly equal
    distributions keep their digits.

    References
    ----------
    Kullback and Leibler, *On Information and Sufficiency*, Annals of Mathematical Statistics 22, 1951.

    Examples
    --------
    >>> import fastloss as fl
    >>> import numpy as np
    >>> round(fl.kl_div(np.log([[0.5, 0.25, 0.25]]), [[1.0, 0.0, 0.0]]), 4)
    0.6931
    >>> fl.kl_div([[0.0, -np.inf]], [[1.0, 0.0]])
    0.0
    >>> fl.kl_div.grad(np.log([[0.5, 0.25, 0.25]]), [[0.5, 0.5, 0.0]])
    array([[-0.5, -0.5, -0. ]])
    """
    rows = _check.real_rows(("log_probs", "target"), log_probs, target, axis)
    if _check.flag("log_target", log_target):
        return Summed(_KL_LOG, rows, (), sample_weight, reduction)
    _check.one_hot("target", rows[1], rows[2], _DISTRIBUTION, sample_weight)
    domain = Domain("target", "probabilities >= 0 (of logarithms: log_target=True)", 0.0)
    return Summed(_KL, rows, (), sample_weight, reduction, domain=(domain,))


@loss(
    wrt=("logits",),
    max_order=1,
    formula="sum of t (log t - log softmax(logits / temperature))",
    range="[0, inf) if the target sums to 1",
    citation="Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015",
    sampler="logits_and_probabilities",
    samples=ROWS,
)
def kl_div_with_logits(
    logits: Any,
    target: Any,
    *,
    temperature: float = 1.0,
    log_target: bool = False,
    axis: int = -1,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Kullback-Leibler divergence from logits, for knowledge distillation.

    For training a student network on the probabilities of a teacher (soft targets, soft labels).

    .. math:: \\ell = \\sum_c t_c \\left( \\log t_c - \\log \\mathrm{softmax}(x / T)_c \\right) \\qquad 0 \\log 0 = 0

    ``kl_div(log_softmax(logits / T), target)`` in one pass, without a second array; in PyTorch
    ``kl_div(log_softmax(x / T, 1), target, reduction="batchmean")``. There is no factor :math:`T^2`:
    multiply by it if gradients at several temperatures are to be of one size. The target is taken as
    it is: if it comes from a teacher's logits, divide those by the temperature yourself, as in
    ``softmax(teacher / T)``.

    Parameters
    ----------
    logits : array_like
        The student's scores, with the `C` classes along `axis`; ``-inf`` masks a class, which is fine where the target is 0.
    target : array_like
        Probabilities in [0, 1] in the same shape, or their natural logarithms if `log_target`. Rows need not sum to 1.
    temperature : float
        > 0; what the logits are divided by.
    log_target : bool
        Whether the target is given as logarithms.
    axis : int
        The class axis.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the rows or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        "mean" is over rows, as PyTorch's "batchmean"; its own "mean" divides by the number of elements.

    Returns
    -------
    float or ndarray
        Nats; at least 0, but for rounding, where the target is a distribution. Convex in the logits, with gradient
        (softmax(x / T) - t) / T for such targets. It is cross-entropy less the target's entropy: exact to the rounding of those.

    Raises
    ------
    ValueError
        Shapes that differ, probabilities outside [0, 1], integers that are not one-hot, no classes, a temperature not above 0,
        bad weights or reduction.
    TypeError
        Arrays that are not real numbers, a log_target that is no bool.

    See Also
    --------
    kl_div : The same from log-probabilities.
    cross_entropy : Differs by the entropy of the target, for temperature 1.
    softmax : The teacher's probabilities.

    References
    ----------
    Hinton, Vinyals and Dean, *Distilling the Knowledge in a Neural Network*, 2015.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.kl_div_with_logits([[0.0, 0.0], [2.0, 0.0]], [[1.0, 0.0], [0.5, 0.5]], reduction="none").round(4)
    array([0.6931, 0.4338])
    >>> fl.kl_div_with_logits.grad([[0.0, 0.0]], [[1.0, 0.0]], temperature=2.0)
    array([[-0.25,  0.25]])
    """
    x, t, index, wide = _check.real_rows(("logits", "target"), logits, target, axis)
    logarithms = _check.flag("log_target", log_target)
    if not logarithms:
        _check.one_hot("target", t, index, _DISTRIBUTION, sample_weight)
    special = {
        "divergence": True,
        "log_target": logarithms,
        "temperature": _check.positive("temperature", temperature),
    }
    extreme = is_extreme(special["temperature"], 1e-30, 1e30)
    return Rows("soft", x, index, t, sample_weight, reduction, wide=wide, special=special, extreme=extreme)


@loss(
    wrt=("p", "q"),
    max_order=1,
    formula="(KL(p, m) + KL(q, m)) / 2, m = (p + q) / 2",
    range="[0, log 2] if both rows sum to 1",
    citation="Lin, Divergence Measures Based on the Shannon Entropy, 1991",
    sampler="two_distributions",
    samples=ROWS,
)
def js_divergence(p: Any, q: Any, *, axis: int = -1, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Jensen-Shannon divergence between two rows of probabilities.

    For comparing two distributions symmetrically; both get a gradient. Known as ``jensenshannon``
    (SciPy), which is its square root, of rows that it normalises first.

    .. math:: \\ell = \\tfrac{1}{2} \\sum_c \\left(
              p_c \\log \\frac{2 p_c}{p_c + q_c} + q_c \\log \\frac{2 q_c}{p_c + q_c} \\right)

    Parameters
    ----------
    p, q : array_like
        Probabilities >= 0 of one shape, with the `C` classes along `axis`. They are not normalised here.
    axis : int
        The class axis.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the rows or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of one weighted value per row.

    Returns
    -------
    float or ndarray
        Nats, in [0, log 2] for distributions; the same bits with p and q exchanged. Convex in both together. The gradient
        log(2 p / (p + q)) / 2 is -inf where p is 0 and q is not; where both are 0 it is taken to be 0.

    Raises
    ------
    ValueError
        Entries below 0, integers that are not one-hot, shapes that differ, no classes, an axis that does not exist, bad weights
        or reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    kl_div : Divergence of one distribution from the other.

    Notes
    -----
    Summed from terms that are at least 0 and known to their last digits, also where p and q nearly
    agree: with d = (p - q) / (p + q) a term is (p + q) / 4 times
    (1 + d) log(1 + d) + (1 - d) log(1 - d) = d^2 + d^4 / 6 + ...

    References
    ----------
    Lin, *Divergence Measures Based on the Shannon Entropy*, IEEE Transactions on Information Theory 37, 1991.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.js_divergence([[1.0, 0.0]], [[0.0, 1.0]]), 6)
    0.693147
    >>> fl.js_divergence([[0.5, 0.5]], [[0.5, 0.5]])
    0.0
    >>> g1, g2 = fl.js_divergence.grad([[0.5, 0.5]], [[0.9, 0.1]])
    >>> g1.round(4)
    array([[-0.1682,  0.2554]])
    """
    rows = _check.real_rows(("p", "q"), p, q, axis)
    for name, a in (("p", rows[0]), ("q", rows[1])):
        _check.one_hot(name, a, rows[2], _DISTRIBUTION, sample_weight)
    expected = "probabilities >= 0 (of logits: their softmax)"
    domain = Domain("p", expected, 0.0), Domain("q", expected, 0.0)
    return Summed(_JS, rows, (), sample_weight, reduction, two=True, domain=domain)


@loss(
    wrt=("mean", "log_variance"),
    max_order=1,
    formula="sum of (v / v0 - 1 - log(v / v0) + (mean - prior_mean)^2 / v0) / 2",
    range="[0, inf)",
    citation="Kingma and Welling, Auto-Encoding Variational Bayes, 2014",
    sampler="gaussians",
    samples=ROWS,
)
def gaussian_kl(
    mean: Any,
    log_variance: Any,
    *,
    prior_mean: Any = 0.0,
    prior_log_variance: Any = 0.0,
    free_nats: float = 0.0,
    axis: int = -1,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Kullback-Leibler divergence of a diagonal Gaussian from its prior (VAE regulariser).

    For variational autoencoders: the divergence of the approximate posterior from the prior, by
    default the standard normal distribution.

    .. math:: \\ell = \\tfrac{1}{2} \\sum_d \\left(
              e^{\\delta_d} - 1 - \\delta_d + (\\mu_d - \\mu_{0d})^2 e^{-\\lambda_{0d}} \\right)
              \\qquad \\delta = \\lambda - \\lambda_0

    :math:`\\lambda` is the log-variance.

    Parameters
    ----------
    mean, log_variance : array_like
        Real arrays of one shape, with the `D` dimensions along `axis`.
    prior_mean, prior_log_variance : array_like
        The prior's: finite numbers, or arrays that broadcast along the trailing axes. By default the standard normal.
    free_nats : float
        At least 0. A dimension below it counts as that much and has gradient 0 (free bits).
    axis : int
        The axis of the dimensions.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the rows or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of one weighted value per row.

    Returns
    -------
    float or ndarray
        Nats, at least `D` x `free_nats`. Convex in the mean and in the log-variance. Many implementations take the mean over
        the dimensions too: divide by `D` for theirs. The gradient with respect to the log-variance is expm1(delta) / 2.

    Raises
    ------
    ValueError
        Shapes that differ, no dimensions, priors that are not finite or do not fit, free_nats < 0, bad weights or reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    gaussian_nll : Likelihood of data under a Gaussian.
    kl_div : Divergence of discrete distributions.

    Notes
    -----
    Near the prior the first three parts cancel; they are computed as :math:`\\delta^2` times a series,
    so that a collapsed dimension's last nat keeps its digits.

    References
    ----------
    Kingma and Welling, *Auto-Encoding Variational Bayes*, ICLR 2014.

    Kingma et al., *Improved Variational Inference with Inverse Autoregressive Flow*, NeurIPS 2016 (free bits).

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.gaussian_kl([[1.0, 0.0]], [[0.0, 0.0]])
    0.5
    >>> fl.gaussian_kl.grad([[1.0, 0.0]], [[0.0, 0.0]])
    (array([[1., 0.]]), array([[0., 0.]]))
    """
    rows = _check.real_rows(("mean", "log_variance"), mean, log_variance, axis)
    shape = rows[0].shape
    priors = _check.spread("prior_mean", prior_mean, shape), _check.spread("prior_log_variance", prior_log_variance, shape)
    free = _check.at_least_zero("free_nats", free_nats)
    m, v = (None if isinstance(prior, float) else prior for prior in priors)
    numbers = tuple(prior if isinstance(prior, float) else 0.0 for prior in priors)
    operation, inverse = _GAUSSIAN, 0.0
    if v is None:
        operation, inverse = _GAUSSIAN_FIXED, math.exp(-numbers[1]) if numbers[1] > -709 else math.inf
    extreme = is_extreme(free) or is_extreme(_largest(priors[0])) or _largest(priors[1]) > 60
    return Summed(operation, rows, (free, *numbers, inverse), sample_weight, reduction, two=True, others=(m, v), extreme=extreme)


def _largest(prior: float | Array) -> float:
    """The largest absolute value."""
    return abs(prior) if isinstance(prior, float) else largest_magnitude(prior)


_DISTRIBUTION = "probabilities are floats: divide counts by the sum of their row"  # for integers that are no distribution
_KL, _KL_LOG, _JS = (SUMS[name] for name in ("kl_div", "kl_div_log", "js_divergence"))
_GAUSSIAN, _GAUSSIAN_FIXED = SUMS["gaussian_kl"], SUMS["gaussian_kl_fixed"]

"""Losses of energy-based models: the energy of the right answer is pushed down, that of the others up.

Shapes: any, the same for both arguments (or one of them a scalar). Imports `_check`, `_plan` and `_loss` only.
"""

from __future__ import annotations

from typing import Any

from fastloss import _check
from fastloss._kernels import POINTWISE
from fastloss._loss import loss
from fastloss._plan import Plan, Pointwise, split


@loss(
    wrt=("positive_energy", "negative_energy"),
    max_order=2,
    formula="E+ - E- + alpha (E+^2 + E-^2)",
    range="(-inf, inf), from -1 / (2 alpha) with alpha > 0",
    citation="Hinton, Training Products of Experts by Minimizing Contrastive Divergence, 2002",
    sampler="energies",
)
def contrastive_divergence(
    positive_energy: Any, negative_energy: Any, *, alpha: float = 0.0, sample_weight: Any = None, reduction: str = "mean"
) -> Plan:
    """Contrastive divergence: the energy of the data against that of samples from the model.

    .. math:: \\ell = E^+ - E^- + \\alpha \\left( (E^+)^2 + (E^-)^2 \\right)

    Its gradient through the energies' own parameters is that of the log-likelihood, as far as the negative samples are drawn from
    the model. The difference alone has no lower end: `alpha` keeps the energies near 0.

    Parameters
    ----------
    positive_energy : array_like
        Energies of observed samples.
    negative_energy : array_like
        Energies of samples from the model, in the same shape; one of the two may be a scalar.
    alpha : float
        Weight >= 0 of the squared energies.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the energies or of their leading axes.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        The difference plus the penalty: where they nearly cancel, exact to the rounding of the larger. Convex. The gradients are
        1 + 2 alpha E+ and -1 + 2 alpha E-, and both diagonals of the Hessian 2 alpha.

    Raises
    ------
    ValueError
        Shapes that differ, alpha < 0, bad weights or reduction.
    TypeError
        Arrays that are not real numbers.

    References
    ----------
    Hinton, *Training Products of Experts by Minimizing Contrastive Divergence*, Neural Computation 14, 2002.

    Du and Mordatch, *Implicit Generation and Modeling with Energy-Based Models*, NeurIPS 2019 (the squared energies).

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.contrastive_divergence([1.0, 2.0], [3.0, 0.5], reduction="none")
    array([-2. ,  1.5])
    >>> fl.contrastive_divergence.grad([1.0], [3.0], alpha=0.25)
    (array([1.5]), array([0.5]))
    """
    names = ("positive_energy", "negative_energy")
    pair = _check.real_pair(names, positive_energy, negative_energy)
    a = _check.at_least_zero("alpha", alpha)
    second = _check.array(names[1], negative_energy)
    return Pointwise(_CONTRASTIVE, pair, split(a), sample_weight, reduction, second=second)


_CONTRASTIVE = POINTWISE["contrastive_divergence"]

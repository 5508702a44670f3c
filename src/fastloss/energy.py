"""Losses of energy-based models: they lower the energy of the correct answer and raise that of the
others.

Shapes: `N` rows (samples), `K` candidate answers; a pair of energies in any shape, the same for
both (or one of them a scalar). Imports `_check`, `_loss`, the engines' tables and the plans only.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import fastloss._check as _check
from fastloss._engines.pointwise import POINTWISE
from fastloss._engines.scores import CONTRASTS, GIBBS
from fastloss._loss import ROWS, loss
from fastloss._plans.base import Plan, split
from fastloss._plans.pointwise import Pointwise
from fastloss._plans.scores import Scores
from fastloss._plans.weights import is_extreme

Kind = Literal["energy", "perceptron", "hinge", "log", "lvq2", "mce", "square_square", "square_exp", "nll", "mee"]


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
    """Contrastive divergence: energies of the data minus energies of samples from the model.

    For training energy-based models with negative samples, such as those of Langevin dynamics or Gibbs
    sampling.

    .. math:: \\ell = E^+ - E^- + \\alpha \\left( (E^+)^2 + (E^-)^2 \\right)

    Its gradient through the energies' own parameters is that of the log-likelihood, as far as the
    negative samples are drawn from the model. The difference alone has no lower bound: `alpha` keeps
    the energies near 0.

    Parameters
    ----------
    positive_energy : array_like
        Energies of observed samples.
    negative_energy : array_like
        Energies of samples from the model, in the same shape; one of the two may be a scalar.
    alpha : float
        Weight >= 0 of the squared energies.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the energies or of their leading axes. Weight 0 leaves a sample out.
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

    See Also
    --------
    energy : Energies of several candidate answers.
    margin_ranking : A pair of scores with a margin.

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
    return Pointwise(_CONTRASTIVE, pair, split(a), sample_weight, reduction, second=second, extreme=is_extreme(a))


_CONTRASTIVE = POINTWISE["contrastive_divergence"]


@loss(
    wrt=("energies",),
    max_order=1,
    formula="of E = energies[target] and Ebar, the lowest other: for nll E + (1/beta) log sum_k e^(-beta E_k)",
    range="[0, inf), for the kind energy all numbers",
    citation="LeCun, Chopra, Hadsell, Ranzato and Huang, A Tutorial on Energy-Based Learning, 2006",
    sampler="class_logits",
    samples=ROWS,
)
def energy(
    energies: Any,
    target: Any,
    *,
    kind: Kind = "nll",
    margin: float = 1.0,
    beta: float = 1.0,
    axis: int = -1,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Energy-based loss: the correct answer's energy against those of the other candidates.

    For energy-based learning and structured prediction. The ten kinds of LeCun et al.: energy,
    perceptron, hinge, log, LVQ2, minimum classification error (mce), square-square, square-exponential,
    negative log-likelihood (nll) and minimum empirical error (mee).

    .. math:: \\ell_i = E + \\frac{1}{\\beta} \\log \\sum_k e^{-\\beta E_k}

    for the default `kind`, with `E` the energy of the correct answer. With `Ebar` the lowest energy
    among the others, the kinds:

    * ``"energy"``: E
    * ``"perceptron"``: E - min_k E_k
    * ``"hinge"``: max(0, margin + E - Ebar)
    * ``"log"``: log(1 + e^(E - Ebar))
    * ``"lvq2"``: min(margin, max(0, E - Ebar))
    * ``"mce"``: 1 / (1 + e^-(E - Ebar))
    * ``"square_square"``: E^2 + max(0, margin - Ebar)^2
    * ``"square_exp"``: E^2 + beta e^-Ebar
    * ``"nll"``: E + (1/beta) log sum_k e^(-beta E_k), which is the cross-entropy of the logits
      -beta E_k, divided by beta
    * ``"mee"``: 1 - e^(-beta E) / sum_k e^(-beta E_k)

    ``kind="perceptron"`` of negated scores is optax's ``multiclass_perceptron_loss``.

    Parameters
    ----------
    energies : array_like
        Energies of the `K` candidate answers along `axis`.
    target : array_like
        The correct answers, integers of any type in [0, K), in the shape of `energies` without `axis`.
    kind : str
        One of the above.
    margin : float
        Above 0, for "hinge", "lvq2" and "square_square".
    beta : float
        Above 0: the inverse temperature of "nll" and "mee", the weight of the repelling term of "square_exp".
    axis : int
        The axis of the answers.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the target or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        At least 0, "energy" excepted. Convex in the energies: "energy", "nll". At kinks the
        gradient is 0; of several lowest energies the first has it; "lvq2" and "mce" are bounded,
        and their gradient vanishes for samples that are far wrong. An energy of +inf masks an
        answer. With a single candidate Ebar is +inf: what depends on it is 0. A nan makes its row
        nan.

    Raises
    ------
    IndexError
        A target outside [0, K).
    ValueError
        Shapes that do not fit, no candidates, an unknown kind, margin or beta not above 0, bad weights or reduction.
    TypeError
        Arrays that are not real numbers, targets that are not integers.

    See Also
    --------
    cross_entropy : The kind "nll" of negated energies.
    multiclass_hinge : The kind "hinge" of negated energies.
    contrastive_divergence : Observed against sampled energies.

    References
    ----------
    LeCun, Chopra, Hadsell, Ranzato and Huang, *A Tutorial on Energy-Based Learning*, in Predicting Structured Data, MIT Press,
    2006.

    Examples
    --------
    >>> import fastloss as fl
    >>> energies = [[0.5, 2.0, 1.0], [0.5, 2.0, 1.0]]
    >>> fl.energy(energies, [0, 1], reduction="none").round(4)
    array([0.6041, 2.1041])
    >>> fl.energy(energies, [0, 1], kind="hinge", reduction="none")
    array([0.5, 2.5])
    >>> fl.energy.grad(energies, [0, 1], kind="hinge", reduction="sum")
    array([[ 1.,  0., -1.],
           [-1.,  1.,  0.]])
    """
    x = _check.array("energies", energies)
    index = _check.axis_of(x, axis, "energies")
    t = _check.labels("target", target, x.shape[:index] + x.shape[index + 1 :], x.shape, of="energies")
    chosen = _check.one_of("kind", kind, get_args(Kind))
    lead, inverse = _check.positive("margin", margin), _check.positive("beta", beta)
    if chosen == "perceptron":  # a hinge without margin
        chosen, lead = "hinge", 0.0
    operation = "gibbs" if chosen in GIBBS else "contrast"
    number = GIBBS[chosen] if chosen in GIBBS else CONTRASTS[chosen]
    return Scores(
        operation, x, index, t, sample_weight, reduction, levels=x.shape[index], noun="class indices",
        parameters=(float(number), lead, inverse, 1.0), extreme=is_extreme(lead, 0.0, 1e30) or is_extreme(inverse, 1e-30, 1e30),
    )  # fmt: skip

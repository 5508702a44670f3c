"""Losses of energy-based models: low energy is a good answer.

Shapes: `N` rows (samples), `K` candidate answers. Imports `_check`, `_plan`, `_plan_scores`, `_scores` and `_loss` only.
"""

from __future__ import annotations

from typing import Any

from fastloss import _check
from fastloss._loss import loss
from fastloss._plan import Plan
from fastloss._plan_scores import Scores
from fastloss._scores import CONTRASTS, GIBBS

_KINDS = ("energy", "perceptron", "hinge", "log", "lvq2", "mce", "square_square", "square_exp", "nll", "mee")


@loss(
    wrt=("energies",),
    max_order=1,
    pointwise=False,
    formula="of E = energies[target] and Ebar, the lowest other: for nll E + (1/beta) log sum_k e^(-beta E_k)",
    range="[0, inf), for the kind energy all numbers",
    citation="LeCun, Chopra, Hadsell, Ranzato and Huang, A Tutorial on Energy-Based Learning, 2006",
    sampler="class_logits",
)
def energy(
    energies: Any,
    target: Any,
    *,
    kind: str = "nll",
    margin: float = 1.0,
    beta: float = 1.0,
    axis: int = -1,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Losses of energy-based learning: the correct answer's energy against the others'.

    .. math:: \\ell_i = E + \\frac{1}{\\beta} \\log \\sum_k e^{-\\beta E_k}

    for the default `kind`, with `E` the energy of the correct answer. With `Ebar` the lowest energy among the others, the kinds:

    * ``"energy"``: E
    * ``"perceptron"``: E - min_k E_k
    * ``"hinge"``: max(0, margin + E - Ebar)
    * ``"log"``: log(1 + e^(E - Ebar))
    * ``"lvq2"``: min(margin, max(0, E - Ebar))
    * ``"mce"``: 1 / (1 + e^-(E - Ebar))
    * ``"square_square"``: E^2 + max(0, margin - Ebar)^2
    * ``"square_exp"``: E^2 + beta e^-Ebar
    * ``"nll"``: E + (1/beta) log sum_k e^(-beta E_k), which is the cross-entropy of the logits -beta E_k, divided by beta
    * ``"mee"``: 1 - e^(-beta E) / sum_k e^(-beta E_k)

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
        Weights >= 0, in the shape of the target or of its leading axes.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        At least 0, "energy" excepted. Convex in the energies: "energy", "nll". At kinks the gradient is 0; of several lowest
        energies the first has it; "lvq2" and "mce" are bounded and so do not learn from hopeless samples. An energy of +inf takes
        an answer out. With a single candidate Ebar is +inf: what depends on it is 0. A nan makes its row nan.

    Raises
    ------
    IndexError
        A target outside [0, K).
    ValueError
        Shapes that do not fit, no candidates, an unknown kind, margin or beta not above 0, bad weights or reduction.
    TypeError
        Arrays that are not real numbers, targets that are not integers.

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
    chosen = _check.one_of("kind", kind, _KINDS)
    lead, inverse = _check.positive("margin", margin), _check.positive("beta", beta)
    if chosen == "perceptron":  # a hinge without margin
        chosen, lead = "hinge", 0.0
    operation = "gibbs" if chosen in GIBBS else "contrast"
    number = GIBBS[chosen] if chosen in GIBBS else CONTRASTS[chosen]
    return Scores(
        operation, x, index, t, sample_weight, reduction, levels=x.shape[index], noun="class indices",
        parameters=(float(number), lead, inverse, 1.0),
    )  # fmt: skip

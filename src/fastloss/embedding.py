"""Embeddings: rows of numbers that are to be near to one another or apart, whatever their single numbers mean.

Shapes: `N` rows of a batch, `M` rows of a queue, `D` numbers of a row. Units: nats. Imports `_check`, `_plan`, `_plan_contrast`
and `_loss` only.
"""

from __future__ import annotations

from typing import Any

from fastloss import _check
from fastloss._check import refuse
from fastloss._loss import loss
from fastloss._plan import Plan
from fastloss._plan_contrast import Classes, Queries, Together, like, rows

# ---- a softmax over similarities -----------------------------------------------------------------------------------------


@loss(
    wrt=("z1", "z2"),
    max_order=1,
    pointwise=False,
    formula="-log(e^(s_ip / T) / sum_{k != i} e^(s_ik / T)), s = cosine similarity of 2 N rows, p the partner of i",
    range="[0, inf)",
    citation="Chen, Kornblith, Norouzi and Hinton, A Simple Framework for Contrastive Learning, 2020",
    sampler="embedding_pairs",
    ulp={"float32": 16, "float64": 16},
    batchwise=True,
)
def nt_xent(z1: Any, z2: Any, *, temperature: float = 0.5, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Normalised, temperature-scaled cross-entropy (SimCLR): two views of a sample find each other among all views of the batch.

    .. math:: \\ell_i = -\\log \\frac{e^{s_{ip}/T}}{\\sum_{k \\ne i} e^{s_{ik}/T}}, \\qquad
              s_{ik} = \\frac{z_i \\cdot z_k}{|z_i|\\,|z_k|}

    The 2 `N` rows are those of `z1`, then those of `z2`; `p` is the other view of `i`'s sample, and all other 2 `N` - 2 rows are
    negatives. Every value depends on the whole batch.

    Parameters
    ----------
    z1, z2 : array_like
        Two views of each sample, (`N`, `D`); normalised inside. Any layout; two copies of the rows are made in the computation
        type.
    temperature : float
        `T` > 0.
    sample_weight : array_like, optional
        Weights >= 0 of the 2 `N` anchors, `z1`'s rows first. A weight of 0 takes an anchor's loss out, not the row: it still is
        the others' negative.
    reduction : {"mean", "sum", "none"}
        Weighted mean over the 2 `N` anchors, sum, or the array of weighted values, (2 `N`,).

    Returns
    -------
    float or ndarray
        In [0, inf) nats; 0 for a single pair, which has no negatives. Not convex. The gradient is with respect to the rows as
        they were passed, through the normalisation: it is at right angles to its row. A zero vector stays zero: its similarities
        and its gradient are 0. A nan or an infinity makes all values nan, because all rows meet.

    Raises
    ------
    ValueError
        Shapes that differ or are not (`N`, `D`), a temperature that is not positive, bad weights or reduction.
    TypeError
        Arrays that are not real numbers.

    Notes
    -----
    A loss near 0 keeps its digits: it is log1p of the negatives' sum relative to the positive, whose similarity is computed in
    double. The other similarities have the rounding of a product of the computation type, and 1 / `T` stands in the exponent: the
    relative error of a small loss is up to about 4 eps / `T` (eps is 1.2e-7 for float32), that of a loss of a few nats about eps.

    Memory is linear in `N`: beside the rows' copies, a block of similarities for each thread, and at most 64 MiB each of partial
    sums and, for the gradient, of similarities that need not be computed again. The result has the same bits for any number of
    threads.

    References
    ----------
    Chen, Kornblith, Norouzi and Hinton, *A Simple Framework for Contrastive Learning of Visual Representations*, ICML 2020.

    Examples
    --------
    >>> import fastloss as fl
    >>> z1, z2 = [[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.5], [-0.5, 2.0]]
    >>> fl.nt_xent(z1, z2, reduction="none").round(4)
    array([0.2087, 0.3199, 0.3199, 0.2087])
    >>> g1, g2 = fl.nt_xent.grad(z1, z2)
    >>> g1.round(3)
    array([[0.   , 0.124],
           [0.331, 0.   ]])
    """
    first = rows("z1", z1)
    second = like("z2", z2, first, "z1")
    return Together((first, second), Classes.pairs(len(first)), temperature, True, sample_weight, reduction)


@loss(
    wrt=("query", "key"),
    max_order=1,
    pointwise=False,
    formula="-log(e^(s_ii / T) / sum_k e^(s_ik / T)), s_ik = query i times key k; with a queue k runs over own key and queue",
    range="[0, inf)",
    citation="van den Oord, Li and Vinyals, Representation Learning with Contrastive Predictive Coding, 2018",
    sampler="queries_and_keys",
    ulp={"float32": 16, "float64": 16},
    batchwise=True,
)
def info_nce(
    query: Any,
    key: Any,
    *,
    negatives: Any = None,
    temperature: float = 0.07,
    symmetric: bool = False,
    normalize: bool = True,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """InfoNCE: each query finds its own key among the keys of the batch, or among the negatives of a queue (CPC, MoCo, CLIP).

    .. math:: \\ell_i = -\\log \\frac{e^{s_{ii}/T}}{\\sum_k e^{s_{ik}/T}}, \\qquad s_{ik} = q_i \\cdot k_k

    Every value depends on the whole batch.

    Parameters
    ----------
    query, key : array_like
        (`N`, `D`); key `i` belongs to query `i`. Two copies of the rows are made in the computation type.
    negatives : array_like, optional
        A queue (`M`, `D`) that all queries share (MoCo). The candidates of a query are then its own key and the queue; other keys
        of the batch are no negatives. The queue gets no gradient.
    temperature : float
        `T` > 0.
    symmetric : bool
        Mean of this loss and of the one in which keys look for their queries (CLIP). Not with `negatives`.
    normalize : bool
        Divide all rows by their norms first, so that similarities are cosines; the gradient goes through the division.
    sample_weight : array_like, optional
        Weights >= 0 of shape (`N`,).
    reduction : {"mean", "sum", "none"}
        Weighted mean over the queries, sum, or the array of weighted values, (`N`,).

    Returns
    -------
    float or ndarray
        In [0, inf) nats; 0 where there is nothing but the own key. Not convex. With `normalize` a zero vector stays zero, and its
        gradient is 0. A nan or an infinity makes the values of all who meet it nan: one in a query that sample's (with
        `symmetric` all), one in a key all (with `negatives` that sample's), one in the queue all.

    Raises
    ------
    ValueError
        Shapes that do not fit, a temperature that is not positive, `symmetric` with `negatives`, bad weights or reduction.
    TypeError
        Arrays that are not real numbers.

    Notes
    -----
    Errors and memory are those of `nt_xent`; without `normalize` the error of a similarity is relative to the product of the
    longest query and the longest key.

    CLIP learns its temperature: there the logits are ``1 / temperature`` times the cosines. PyTorch has no such loss; what is
    computed is ``cross_entropy(q @ k.T / temperature, arange(N))``.

    References
    ----------
    van den Oord, Li and Vinyals, *Representation Learning with Contrastive Predictive Coding*, 2018.
    He, Fan, Wu, Xie and Girshick, *Momentum Contrast for Unsupervised Visual Representation Learning*, CVPR 2020.
    Radford et al., *Learning Transferable Visual Models From Natural Language Supervision*, ICML 2021.

    Examples
    --------
    >>> import fastloss as fl
    >>> query, key = [[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.5], [-0.5, 2.0]]
    >>> fl.info_nce(query, key, temperature=0.5, reduction="none").round(4)
    array([0.0848, 0.2097])
    >>> fl.info_nce(query, key, temperature=0.5, negatives=[[0.0, -1.0], [1.0, 1.0]], reduction="none").round(4)
    array([0.5508, 0.4765])
    """
    q = rows("query", query)
    k = like("key", key, q, "query")
    both = _check.flag("symmetric", symmetric)
    queue = None if negatives is None else rows("negatives", negatives)
    if queue is not None and queue.shape[1] != q.shape[1]:
        refuse(ValueError, "negatives", f"rows of {q.shape[1]} numbers, as those of query", f"shape {queue.shape}")
    if queue is not None and both:
        refuse(ValueError, "symmetric", "False where there are negatives: a queue's rows have no queries", symmetric)
    return Queries(q, k, queue, temperature, both, normalize, sample_weight, reduction)


@loss(
    wrt=("embeddings",),
    max_order=1,
    pointwise=False,
    formula="-1/|P(i)| sum_{p in P(i)} log(e^(s_ip / T) / sum_{k != i} e^(s_ik / T)), P(i) the other rows of i's class",
    range="[0, inf)",
    citation="Khosla et al., Supervised Contrastive Learning, 2020",
    sampler="labelled_embeddings",
    ulp={"float32": 16, "float64": 16},
    batchwise=True,
)
def supcon(
    embeddings: Any,
    labels: Any,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Supervised contrastive loss, :math:`L_{out}`: rows of one class find one another among all rows of the batch.

    .. math:: \\ell_i = -\\frac{1}{|P(i)|} \\sum_{p \\in P(i)} \\log \\frac{e^{s_{ip}/T}}{\\sum_{k \\ne i} e^{s_{ik}/T}}

    `P(i)` are the other rows with `i`'s label. Every value depends on the whole batch.

    Parameters
    ----------
    embeddings : array_like
        (`N`, `D`). Two copies of the rows are made in the computation type.
    labels : array_like
        The rows' classes, integers of any type and any value, (`N`,).
    temperature : float
        `T` > 0.
    normalize : bool
        Divide all rows by their norms first, so that similarities are cosines; the gradient goes through the division.
    sample_weight : array_like, optional
        Weights >= 0 of shape (`N`,).
    reduction : {"mean", "sum", "none"}
        Weighted mean over the anchors that have a positive, sum, or the array of weighted values, (`N`,).

    Returns
    -------
    float or ndarray
        In [0, inf) nats, and at least log |P(i)|. Not convex. An anchor without a positive is 0 and is not counted, but its row
        is a negative of the others; if no anchor is counted the mean is nan and the gradient 0. With `normalize` a zero vector
        stays zero, and its gradient is 0. A nan or an infinity makes the values of all counted anchors nan.

    Raises
    ------
    ValueError
        Shapes that do not fit, a temperature that is not positive, bad weights or reduction.
    TypeError
        Arrays that are not real numbers, labels that are not integers.

    Notes
    -----
    Errors and memory are those of `nt_xent`, which this loss is where every class has two rows.

    The authors' code multiplies the loss by `temperature` / `base_temperature`, which is 1 by default, and is nan where an anchor
    has no positive.

    References
    ----------
    Khosla, Teterwak, Wang, Sarna, Tian, Isola, Maschinot, Liu and Krishnan, *Supervised Contrastive Learning*, NeurIPS 2020.

    Examples
    --------
    >>> import fastloss as fl
    >>> x = [[1.0, 0.0], [2.0, 0.5], [0.0, 1.0], [-0.5, 2.0], [1.0, 1.0]]
    >>> fl.supcon(x, [0, 0, 1, 1, 2], temperature=0.5, reduction="none").round(4)
    array([0.6005, 0.7772, 0.677 , 0.4911, 0.    ])
    """
    x = rows("embeddings", embeddings)
    y = _check.labels("labels", labels, x.shape[:1], x.shape, "labels", "embeddings")
    return Together((x,), Classes.of(y), temperature, normalize, sample_weight, reduction, (y,))

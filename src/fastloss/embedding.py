"""Embeddings: vectors that are near one another where what they stand for is alike. Distances between them, and the losses that
they are learned with: of pairs and triplets that are given, and of those that a batch holds.

Shapes: `N` rows (samples) of `D` dimensions along the last axis; losses of given vectors take any number of leading axes, and
pointwise losses of scores and distances any shape. Distances have the unit of the vectors. Imports `_check`, `_loss` and plans
only.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

import fastloss._check as _check
from fastloss._check import Array, named, refuse
from fastloss._engines.pointwise import POINTWISE
from fastloss._loss import BATCH, VECTORS, loss
from fastloss._plans.base import Plan, split
from fastloss._plans.contrast import Classes, Queries, Together
from fastloss._plans.mining import AVERAGES, METRICS, MINING, MOST_ROWS, BatchTriplet, pairwise
from fastloss._plans.pointwise import Pointwise
from fastloss._plans.vectors import Vectors
from fastloss._plans.weights import is_extreme

# ---- pairs and triplets of vectors --------------------------------------------------------------------------------------


@loss(
    wrt=("x1", "x2"),
    max_order=1,
    formula="d^power / 2 if similar, else max(0, margin - d)^power / 2; d = |x1 - x2|",
    range="[0, inf)",
    citation="Hadsell, Chopra and LeCun, Dimensionality Reduction by Learning an Invariant Mapping, 2006",
    sampler="vectors_and_bits",
    samples=VECTORS,
)
def contrastive(
    x1: Any,
    x2: Any,
    similar: Any,
    *,
    margin: float = 1.0,
    power: float = 2.0,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Contrastive loss of pairs: for embeddings in which distance means dissimilarity.

    Similar vectors are drawn together, others pushed apart until they are a margin away; the loss of
    siamese networks.

    .. math:: \\ell = \\tfrac{1}{2} \\begin{cases} d^k & \\text{similar} \\\\ \\max(0, m - d)^k & \\text{else} \\end{cases}
              \\qquad d = \\lVert x_1 - x_2 \\rVert_2

    With k = 2, the default, that of Hadsell, Chopra and LeCun. Libraries differ: pytorch-metric-learning's ``ContrastiveLoss`` is
    `power` 1 without the half, and averages similar and other pairs apart.

    Parameters
    ----------
    x1, x2 : array_like
        Vectors along the last axis, equal shapes.
    similar : array_like
        1 or True for a similar pair, else 0 or False: integers or bools in the shape of the vectors without the last axis.
    margin : float
        The distance m beyond which pairs that are not similar cost nothing; >= 0.
    power : float
        The exponent k; >= 1.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of `similar` or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of one weighted value per pair.

    Returns
    -------
    float or ndarray
        At least 0, and known to its own last digits also where d is next to 0 or to the margin, or its square has no place in
        a double. The gradient with respect to x2 is minus that with respect to x1; it is 0 where d is 0, and on the margin's
        border.

    Raises
    ------
    ValueError
        Shapes that do not fit, labels other than 0 and 1, margin < 0, power < 1, bad weights or reduction.
    TypeError
        Arrays that are not real numbers, labels that are not integers.

    See Also
    --------
    triplet : compares two distances.
    cosine_embedding : by angle instead of distance.

    References
    ----------
    Hadsell, Chopra and LeCun, *Dimensionality Reduction by Learning an Invariant Mapping*, CVPR 2006.

    Examples
    --------
    >>> import fastloss as fl
    >>> x1, x2 = [[0.0, 0.0], [0.0, 0.0]], [[3.0, 4.0], [0.3, 0.4]]
    >>> fl.contrastive(x1, x2, [1, 0], reduction="none").round(4)
    array([12.5  ,  0.125])
    >>> fl.contrastive.grad(x1, x2, [1, 0], reduction="sum")[0].round(4)
    array([[-3. , -4. ],
           [ 0.3,  0.4]])
    """
    arrays = _check.rows(("x1", "x2"), (x1, x2))
    label, domain = _check.bits("similar", similar, "x1", arrays[0].shape)
    m, k = _check.at_least_zero("margin", margin), _check.number("power", power, "a number >= 1")
    if k < 1:
        refuse(ValueError, "power", "a number >= 1", k)
    return Vectors("contrastive", arrays, label, sample_weight, reduction, domain=domain, margin=m, power=k, extreme=m > 1e30)


@loss(
    wrt=("anchor", "positive", "negative"),
    max_order=1,
    formula="max(0, d(anchor, positive) - d(anchor, negative) + margin)",
    range="[0, inf)",
    citation="Schroff, Kalenichenko and Philbin, FaceNet, 2015",
    sampler="vector_triplets",
    samples=VECTORS,
)
def triplet(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    swap: bool = False,
    squared: bool = False,
    eps: float = 1e-6,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Triplet loss: for embeddings in which an anchor is nearer to its positive than to its negative.

    FaceNet's loss: PyTorch's ``TripletMarginLoss``, optax's ``triplet_margin_loss``. From a labelled
    batch, `batch_triplet` finds the triplets.

    .. math:: \\ell = \\max(0, d(a, p) - d(a, n) + m) \\qquad d(x, y) = \\lVert x - y + \\epsilon \\rVert_p

    As PyTorch's ``triplet_margin_loss``, `eps` inside the norm included (``eps=0`` for the distance of the textbooks). FaceNet
    takes squared distances of vectors of length 1, which are the caller's to normalise.

    Parameters
    ----------
    anchor : array_like
        Vectors along the last axis.
    positive, negative : array_like
        What should be near the anchor, and what should not; the same shape.
    margin : float
        The margin m; >= 0.
    p : float
        The norm: >= 1, ``math.inf`` for the largest difference.
    swap : bool
        Take d(p, n) for d(a, n) where it is the smaller one.
    squared : bool
        Take squared distances; needs ``p=2``.
    eps : float
        What is added to each difference; >= 0.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the vectors without the last axis or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of one weighted value per triplet.

    Returns
    -------
    float or ndarray
        At least 0. For p of 1, 2 and infinity known to its own last digits where the distances nearly cancel (down to about
        2^-100 of them), and also where their squares have no place in a double; for other p to the rounding of the larger
        distance, in double. The gradient is 0 on the margin's border; that of a distance of 0 is 0. Of several largest
        differences each gets its share (p of infinity).

    Raises
    ------
    ValueError
        Shapes that differ, margin or eps < 0, p < 1, squared with another p than 2, bad weights or reduction.
    TypeError
        Arrays that are not real numbers; swap or squared that are no bools.

    See Also
    --------
    batch_triplet : finds the triplets in a labelled batch.
    contrastive : of pairs.

    References
    ----------
    Schroff, Kalenichenko and Philbin, *FaceNet: A Unified Embedding for Face Recognition and Clustering*, CVPR 2015.

    Balntas, Riba, Ponsa and Mikolajczyk, *Learning local feature descriptors with triplets and shallow convolutional neural
    networks*, BMVC 2016 (the swap).

    Examples
    --------
    >>> import fastloss as fl
    >>> a, p, n = [[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 4.5]]
    >>> fl.triplet(a, p, n, eps=0.0)
    1.5
    >>> fl.triplet(a, p, n, eps=0.0, swap=True)  # from the positive it is nearer
    2.9586187348508903
    >>> fl.triplet.grad(a, p, n, eps=0.0)[2].round(4)
    array([[ 0., -1.]])
    """
    arrays = _check.rows(("anchor", "positive", "negative"), (anchor, positive, negative))
    norm = _check.norm("p", p)
    square = _check.flag("squared", squared)
    if square and norm != 2:
        refuse(ValueError, "squared", "False where p is not 2", squared)
    m, e = _check.at_least_zero("margin", margin), _check.at_least_zero("eps", eps)
    return Vectors(
        "triplet", arrays, None, sample_weight, reduction, margin=m, p=norm, swap=_check.flag("swap", swap), squared=square,
        eps=e, extreme=m > 1e30 or is_extreme(e, 1e-30, 1e30),
    )  # fmt: skip


@loss(
    wrt=("x1", "x2"),
    max_order=1,
    formula="1 - cos(x1, x2) if target is 1, max(0, cos(x1, x2) - margin) if -1",
    range="[0, 2]",
    citation="PyTorch's CosineEmbeddingLoss",
    sampler="vectors_and_signs",
    samples=VECTORS,
)
def cosine_embedding(
    x1: Any, x2: Any, target: Any, *, margin: float = 0.0, sample_weight: Any = None, reduction: str = "mean"
) -> Plan:
    """Cosine embedding loss of pairs: vectors should point in one direction, or not.

    PyTorch's ``CosineEmbeddingLoss``; of similar pairs alone, Keras's ``CosineSimilarity`` plus 1.

    .. math:: \\ell = \\begin{cases} 1 - \\cos(x_1, x_2) & t = 1 \\\\ \\max(0, \\cos(x_1, x_2) - m) & t = -1 \\end{cases}

    Next to 0, 1 - cos is computed from the part of x2 that is not along x1, as :math:`\\sin^2 / (1 + \\cos)`: nearly parallel
    vectors keep their digits. PyTorch's ``cosine_embedding_loss`` adds 1e-12 to the squared lengths, so that short vectors are
    never quite parallel; here the cosine with a zero vector is 0, and its gradient too.

    Parameters
    ----------
    x1, x2 : array_like
        Vectors along the last axis, equal shapes; they need not be normalised.
    target : array_like
        Labels -1 or 1, in the shape of the vectors without the last axis.
    margin : float
        The margin m; in [-1, 1].
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the target or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of one weighted value per pair.

    Returns
    -------
    float or ndarray
        In [0, 2], known to its own last digits where vectors are nearly parallel, where they are nearly at right angles and where
        their squares have no place in a double. Gradients are at right angles to their vectors; 0 on the margin's border.

    Raises
    ------
    ValueError
        Shapes that do not fit, labels other than -1 and 1, a margin outside [-1, 1], bad weights or reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    contrastive : by distance instead of angle.

    References
    ----------
    PyTorch, ``torch.nn.CosineEmbeddingLoss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.cosine_embedding([[1.0, 0.0], [2.0, 0.0]], [[0.0, 3.0], [3.0, 4.0]], [1, -1], margin=0.5, reduction="none").round(4)
    array([1. , 0.1])
    >>> fl.cosine_embedding([[1.0, 1e-12]], [[1.0, 0.0]], [1])
    5e-25
    """
    arrays = _check.rows(("x1", "x2"), (x1, x2))
    label, domain = _check.signs(target, "x1", arrays[0].shape)
    m = _check.between("margin", margin, -1.0, 1.0)
    return Vectors("cosine", arrays, label, sample_weight, reduction, domain=domain, margin=m)


# ---- scores and distances -----------------------------------------------------------------------------------------------


@loss(
    wrt=("x1", "x2"),
    max_order=2,
    formula="max(0, margin - target (x1 - x2))",
    range="[0, inf)",
    citation="Herbrich, Graepel and Obermayer, Large Margin Rank Boundaries for Ordinal Regression, 2000",
    sampler="ranked_scores",
)
def margin_ranking(
    x1: Any, x2: Any, target: Any, *, margin: float = 0.0, sample_weight: Any = None, reduction: str = "mean"
) -> Plan:
    """Margin ranking loss: of two scores, the right one should be the larger by a margin.

    Also called pairwise hinge or RankSVM loss, for learning to rank: PyTorch's ``MarginRankingLoss``.

    .. math:: \\ell = \\max(0, m - t (x_1 - x_2))

    As PyTorch's ``margin_ranking_loss``; the hinge loss of the difference.

    Parameters
    ----------
    x1, x2 : array_like
        Scores in one shape; one of the two may be a scalar.
    target : array_like
        1 where x1 should rank higher, -1 where x2 should; in the same shape, or a scalar.
    margin : float
        The margin m; >= 0.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the scores or of their leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf), known to its own last digits where the difference is nearly the margin. Convex; the gradients are -t and t
        inside the margin, 0 outside and on its border. The Hessian is 0.

    Raises
    ------
    ValueError
        Labels other than -1 and 1, margin < 0, shapes that differ, bad weights or reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    hinge_embedding : of distances.
    triplet : ranks distances of embeddings.

    References
    ----------
    Herbrich, Graepel and Obermayer, *Large Margin Rank Boundaries for Ordinal Regression*, in Advances in Large Margin
    Classifiers, 2000.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.margin_ranking([0.5, 2.0, 1.0], [1.0, 0.0, 0.0], [1, 1, -1], reduction="none")
    array([0.5, 0. , 1. ])
    >>> fl.margin_ranking.grad([0.5], [1.0], [1])
    (array([-1.]), array([1.]))
    """
    a, b, wide, scalar = _check.real_pair(("x1", "x2"), x1, x2)
    t = _check.array("target", target)
    if t.shape not in (a.shape, ()):
        refuse(ValueError, "target", f"the shape of x1 and x2, {a.shape}", f"shape {t.shape}")
    wide = wide or (not _check.is_weak(target) and _check.is_wide(a.dtype, t.dtype))
    m, second = _check.at_least_zero("margin", margin), _check.array("x2", x2)
    pair = a, np.broadcast_to(t, a.shape), wide, scalar
    return Pointwise(
        _RANKING, pair, split(m), sample_weight, reduction, third=b, second=second, domain=(_check.SIGNS,), extreme=is_extreme(m)
    )  # fmt: skip


@loss(
    wrt=("distance",),
    max_order=2,
    formula="distance if target is 1, max(0, margin - distance) if -1",
    range="[0, inf) for distances >= 0",
    citation="PyTorch's HingeEmbeddingLoss",
    sampler="distances_and_signs",
)
def hinge_embedding(
    distance: Any, target: Any, *, margin: float = 1.0, sample_weight: Any = None, reduction: str = "mean"
) -> Plan:
    """Hinge embedding loss: for distances that should be small, or at least a margin.

    PyTorch's ``HingeEmbeddingLoss``, for distances that you have computed.

    .. math:: \\ell = \\begin{cases} d & t = 1 \\\\ \\max(0, m - d) & t = -1 \\end{cases}

    As PyTorch's ``hinge_embedding_loss``. `contrastive` computes the distances too; `hinge` is another loss, of scores.

    Parameters
    ----------
    distance : array_like
        Real numbers, usually distances; they may be negative.
    target : array_like
        1 where things are alike, -1 where they are not; in the same shape.
    margin : float
        The margin m; >= 0.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the distances or of their leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        The distance or what it lacks of the margin. Convex; the gradient is 1 for t = 1, else -1 inside the margin, 0 outside and
        on its border. The Hessian is 0.

    Raises
    ------
    ValueError
        Labels other than -1 and 1, margin < 0, shapes that differ, bad weights or reduction.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    contrastive : computes the distances, too.

    References
    ----------
    PyTorch, ``torch.nn.HingeEmbeddingLoss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.hinge_embedding([0.25, 0.25, 2.0], [1, -1, -1], reduction="none")
    array([0.25, 0.75, 0.  ])
    """
    pair = _check.real_pair(("distance", "target"), distance, target)
    m = _check.at_least_zero("margin", margin)
    return Pointwise(_DISTANCES, pair, split(m), sample_weight, reduction, domain=(_check.SIGNS,), extreme=is_extreme(m))


_RANKING, _DISTANCES = POINTWISE["margin_ranking"], POINTWISE["hinge_embedding"]


# ---- all pairs of a batch ------------------------------------------------------------------------------------------------


@named
def pairwise_distances(
    x: Any, y: Any = None, *, metric: Literal["euclidean", "sqeuclidean", "cosine"] = "euclidean", out: Any = None
) -> Array:
    """Distances between all pairs of rows.

    .. math:: d_{ij} = \\lVert x_i - y_j \\rVert, \\quad \\lVert x_i - y_j \\rVert^2 \\quad \\text{or} \\quad
              1 - \\frac{x_i \\cdot y_j}{\\lVert x_i \\rVert \\, \\lVert y_j \\rVert}

    Products of matrices give most of them, to a few units in the last place. Where rows are so near one another that this would
    cancel, the distance is computed from their difference: rows that are equal have distance 0. Memory beside the result is a few
    copies of the rows.

    Parameters
    ----------
    x : array_like
        Real numbers, shape (N, D).
    y : array_like, optional
        Shape (M, D); by default the rows of `x` themselves.
    metric : {"euclidean", "sqeuclidean", "cosine"}
        Distance, its square, or one less the cosine of the angle. Nothing is similar to a row of zeros: its cosine is 0.
    out : ndarray, optional
        Where to write, with the shape and type of the result.

    Returns
    -------
    ndarray
        Shape (N, M); float64 for float64 and integers, else float32. A row with nan has distance nan to all rows, and no other
        distance is affected.

    Raises
    ------
    ValueError, TypeError
        Not two dimensions, rows of different lengths, numbers that are not real, an unknown metric, an unfit `out`.

    See Also
    --------
    batch_triplet : a loss of these distances.

    References
    ----------
    Golub and Van Loan, *Matrix Computations*, 4th edition, 2013, chapters 1 and 2.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.pairwise_distances([[0.0, 0.0], [3.0, 4.0]])
    array([[0., 5.],
           [5., 0.]])
    """
    rows, others = _check.matrix("x", x), None if y is None else _check.matrix("y", y)
    chosen = _check.one_of("metric", metric, METRICS)
    if others is not None and rows.shape[1] != others.shape[1]:
        refuse(ValueError, "y", f"rows of {rows.shape[1]} dimensions, as x has", f"shape {others.shape}")
    return pairwise(rows, others, chosen, out)


@loss(
    wrt=("embeddings",),
    max_order=1,
    formula="sum over the anchor's triplets of max(0, d(a, p) - d(a, n) + margin)",
    range="[0, inf)",
    citation="Schroff, Kalenichenko and Philbin, FaceNet, 2015; Hermans, Beyer and Leibe, In Defense of the Triplet Loss, 2017",
    sampler="labelled_embeddings",
    samples=BATCH,
)
def batch_triplet(
    embeddings: Any,
    labels: Any,
    *,
    mining: Literal["hard", "semihard", "all", "all_semihard"] = "hard",
    margin: float = 0.2,
    squared: bool = False,
    average: Literal["active", "valid"] = "active",
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Triplet loss of all triplets that a labelled batch holds, mined: hardest, semi-hard or all.

    Every row is an anchor, rows of its label are positives, others negatives: batch-hard and batch-all
    mining; TensorFlow Addons' ``TripletHardLoss`` and ``TripletSemiHardLoss``.

    .. math:: \\ell_a = \\sum_{(p, n)} \\max(0, d_{ap} - d_{an} + m), \\quad d_{ij} = \\lVert x_i - x_j \\rVert

    No list of triplets is made. All triplets of an anchor with P positives and Q negatives take (P + Q) log min(P, Q) operations:
    the fewer side is sorted, and each of the other side finds its rank there.

    Parameters
    ----------
    embeddings : array_like
        Shape (N, D).
    labels : array_like
        Class labels, integers of any type, shape (N,).
    mining : {"hard", "semihard", "all", "all_semihard"}
        Which triplets count. "hard": of each anchor the farthest positive with the nearest negative. "semihard": each anchor and
        positive with the nearest negative that is farther away than the positive; without one they have no triplet. "all": every
        triplet. "all_semihard": every triplet with d(a, p) < d(a, n) < d(a, p) + margin. Of equal distances that of the row with
        the lowest index is taken.
    margin : float
        By how much negatives ought to be farther away than positives, >= 0.
    squared : bool
        Use squared distances.
    average : {"active", "valid"}
        What "mean" divides by: triplets with a loss above 0, or all that were mined. Either number is a constant to the gradient.
    sample_weight : array_like, optional
        A weight for each anchor, shape (N,). A row of weight 0 takes no part: it is no anchor, no positive and no negative.
    reduction : {"mean", "sum", "none"}
        The weighted sum over the number of triplets (each counts as often as its anchor weighs), the weighted sum, or each
        anchor's weighted sum, shape (N,).

    Returns
    -------
    float or ndarray
        0.0 where there is no triplet, with a gradient of zeros. A row with nan makes the value of every anchor that has triplets
        nan, since every row is a positive or a negative of every other.

    Raises
    ------
    ValueError, TypeError
        Not two dimensions, labels of another length or not integers, an unknown mining or average, a negative margin, 2**24 rows
        or more.

    See Also
    --------
    triplet : of triplets that are given.
    pairwise_distances : the distances it compares.
    supcon : all positives and negatives in one softmax.

    Notes
    -----
    The gradient of a distance is 0 where it is 0. Errors are a few units in the last place of the distances and the margin, of
    which the loss is a difference. The gradient takes memory for the slopes of all pairs up to 4096 rows, and no more than that
    beyond; the value, and "hard" altogether, a few copies of the embeddings.

    References
    ----------
    Schroff, Kalenichenko and Philbin, *FaceNet: A Unified Embedding for Face Recognition and Clustering*, CVPR 2015. Hermans,
    Beyer and Leibe, *In Defense of the Triplet Loss for Person Re-Identification*, 2017.

    Examples
    --------
    >>> import fastloss as fl
    >>> embeddings, labels = [[0.0], [1.0], [1.5], [4.0]], [0, 0, 1, 1]
    >>> fl.batch_triplet(embeddings, labels, margin=1.0, reduction="none")
    array([0.5, 1.5, 3. , 0.5])
    >>> fl.batch_triplet(embeddings, labels, margin=1.0, mining="all")
    1.5
    """
    x = _check.matrix("embeddings", embeddings)
    if len(x) >= MOST_ROWS:
        refuse(ValueError, "embeddings", f"fewer than {MOST_ROWS} rows", f"shape {x.shape}")
    y = _check.labels("labels", labels, x.shape[:1], x.shape, "class labels", "embeddings")
    chosen, by = _check.one_of("mining", mining, MINING), _check.one_of("average", average, AVERAGES)
    m, square = _check.at_least_zero("margin", margin), _check.flag("squared", squared)
    return BatchTriplet(x, y, chosen, m, square, by, sample_weight, reduction)


# ---- a softmax over similarities -----------------------------------------------------------------------------------------


@loss(
    wrt=("z1", "z2"),
    max_order=1,
    formula="-log(e^(s_ip / T) / sum_{k != i} e^(s_ik / T)), s = cosine similarity of 2 N rows, p the partner of i",
    range="[0, inf)",
    citation="Chen, Kornblith, Norouzi and Hinton, A Simple Framework for Contrastive Learning, 2020",
    sampler="two_views",
    samples=BATCH,
    ulp={"float32": 16, "float64": 16},
)
def nt_xent(z1: Any, z2: Any, *, temperature: float = 0.5, sample_weight: Any = None, reduction: str = "mean") -> Plan:
    """Normalised, temperature-scaled cross-entropy: for embeddings from two views (SimCLR).

    Two views of a sample find each other among all views of the batch. Also called the SimCLR loss;
    pytorch-metric-learning's ``NTXentLoss``, optax's ``ntxent``.

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
        Weights >= 0 of the 2 `N` anchors, `z1`'s rows first. A row of weight 0 takes no part: it is no anchor, no positive and no
        negative. Its other view, if that has a weight, has no positive then: it is 0, not counted, and a negative of the others.
        So both views of a sample that is left out get the weight 0.
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

    See Also
    --------
    info_nce : queries against keys.
    supcon : with labels instead of views.

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
    first = _check.matrix("z1", z1, empty=False)
    second = _check.like("z2", z2, first, "z1")
    t = _check.positive("temperature", temperature)
    return Together((first, second), Classes.pairs(len(first)), t, True, sample_weight, reduction)


@loss(
    wrt=("query", "key"),
    max_order=1,
    formula="-log(e^(s_ii / T) / sum_k e^(s_ik / T)), s_ik = query i times key k; with a queue k runs over own key and queue",
    range="[0, inf)",
    citation="van den Oord, Li and Vinyals, Representation Learning with Contrastive Predictive Coding, 2018",
    sampler="two_views",
    samples=BATCH,
    ulp={"float32": 16, "float64": 16},
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
    """InfoNCE: each query finds its own key among others, as in CPC, MoCo and CLIP.

    Cross-entropy over similarities: keys of the batch or negatives of a queue; `symmetric` is CLIP's
    loss.

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
        Weights >= 0 of the pairs, (`N`,). A pair of weight 0 takes no part: its query asks for nothing, and its key is no
        negative of the others.
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

    See Also
    --------
    nt_xent : two views against one another.
    cross_entropy : the loss of each query.

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
    q = _check.matrix("query", query, empty=False)
    k = _check.like("key", key, q, "query")
    both = _check.flag("symmetric", symmetric)
    queue = None if negatives is None else _check.matrix("negatives", negatives, empty=False)
    if queue is not None and queue.shape[1] != q.shape[1]:
        refuse(ValueError, "negatives", f"rows of {q.shape[1]} numbers, as those of query", f"shape {queue.shape}")
    if queue is not None and both:
        refuse(ValueError, "symmetric", "False where there are negatives: a queue's rows have no queries", symmetric)
    t, unit = _check.positive("temperature", temperature), _check.flag("normalize", normalize)
    return Queries(q, k, queue, t, both, unit, sample_weight, reduction)


@loss(
    wrt=("embeddings",),
    max_order=1,
    formula="-1/|P(i)| sum_{p in P(i)} log(e^(s_ip / T) / sum_{k != i} e^(s_ik / T)), P(i) the other rows of i's class",
    range="[0, inf)",
    citation="Khosla et al., Supervised Contrastive Learning, 2020",
    sampler="labelled_embeddings",
    samples=BATCH,
    ulp={"float32": 16, "float64": 16},
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
    """Supervised contrastive loss, :math:`L_{out}`: for embeddings from labels.

    Rows of one class find one another among all rows of the batch; pytorch-metric-learning's
    ``SupConLoss``.

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
        Weights >= 0 of shape (`N`,). A row of weight 0 takes no part: it is no anchor, no positive and no negative.
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

    See Also
    --------
    nt_xent : with two views instead of labels.
    batch_triplet : margins instead of a softmax.

    Notes
    -----
    Errors and memory are those of `nt_xent`, which this loss is where every class has two rows.

    The authors' code multiplies the loss by `temperature` / `base_temperature`, which is 1 by default, and is nan where an anchor
    has no positive. pytorch-metric-learning's ``SupConLoss`` is 0 for a batch of one class, which has no negatives; here its rows
    still compete with one another, as in the formula.

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
    x = _check.matrix("embeddings", embeddings, empty=False)
    y = _check.labels("labels", labels, x.shape[:1], x.shape, "labels", "embeddings")
    t, unit = _check.positive("temperature", temperature), _check.flag("normalize", normalize)
    return Together((x,), Classes.of(y), t, unit, sample_weight, reduction, (y,))

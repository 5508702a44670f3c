"""Embeddings: vectors that are near one another where what they stand for is alike. Distances, and the losses that such vectors
are learned with.

Shapes: `N` rows of `D` dimensions. Distances have the unit of the vectors. Imports `_check`, `_loss` and
plans only.
"""

from __future__ import annotations

from typing import Any

from fastloss._check import Array, named
from fastloss._loss import loss
from fastloss._plan import Plan
from fastloss._plan_pairs import BatchTriplet, pairwise, vectors


@named
def pairwise_distances(x: Any, y: Any = None, *, metric: str = "euclidean", out: Any = None) -> Array:
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
    return pairwise(vectors("x", x), None if y is None else vectors("y", y), metric, out)


@loss(
    wrt=("embeddings",),
    max_order=1,
    pointwise=False,
    formula="sum over the anchor's triplets of max(0, d(a, p) - d(a, n) + margin)",
    range="[0, inf)",
    citation="Schroff, Kalenichenko and Philbin, FaceNet, 2015; Hermans, Beyer and Leibe, In Defense of the Triplet Loss, 2017",
    sampler="labelled_embeddings",
    batchwise=True,
)
def batch_triplet(
    embeddings: Any,
    labels: Any,
    *,
    mining: str = "hard",
    margin: float = 0.2,
    squared: bool = False,
    average: str = "active",
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Triplet loss of the triplets that a batch holds: every row is an anchor, rows of its label are positives, others negatives.

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
        A weight for each anchor, shape (N,).
    reduction : {"mean", "sum", "none"}
        The weighted sum over the number of triplets (each counts as often as its anchor weighs), the weighted sum, or each
        anchor's weighted sum, shape (N,).

    Returns
    -------
    float or ndarray
        0.0 where there is no triplet, with a gradient of zeros. A row with nan makes every anchor's value nan, since every row is
        a positive or a negative of every other.

    Raises
    ------
    ValueError, TypeError
        Not two dimensions, labels of another length or not integers, an unknown mining or average, a negative margin, 2**24 rows
        or more.

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
    return BatchTriplet(vectors("embeddings", embeddings), labels, mining, margin, squared, average, sample_weight, reduction)

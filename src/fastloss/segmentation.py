"""Segmentation losses: how predicted regions overlap the true ones, for images and volumes; and losses of pairs of boxes.

Shapes: `N` items, `C` classes along `axis`, one or more spatial axes. Items lie along the first axis that is not the classes'.
No units. Imports `_check`, `_loss`, engines' tables and plans only.
"""

from __future__ import annotations

from typing import Any, Literal

import fastloss._check as _check
from fastloss._engines.boxes import BOXES, FORMATS
from fastloss._loss import REGIONS, VECTORS, Samples, loss
from fastloss._plans.base import Plan
from fastloss._plans.boxes import Boxes
from fastloss._plans.lovasz import Lovasz
from fastloss._plans.regions import Overlap, generalized, overlap, with_entropy
from fastloss._plans.weights import is_extreme


@loss(
    wrt=("logits",),
    max_order=1,
    formula="1 - (2 sum p t + smooth) / (sum p + sum t + smooth), sums over the positions of an item",
    range="[0, 1]",
    citation="Milletari, Navab and Ahmadi, V-Net, 2016",
    sampler="class_volumes",
    samples=REGIONS,
)
def dice(
    logits: Any,
    target: Any,
    *,
    activation: Literal["softmax", "sigmoid"] | None = "softmax",
    axis: int | None = 1,
    smooth: float = 0.0,
    squared: bool = False,
    batch: bool = False,
    include_background: bool = True,
    ignore_index: int | None = None,
    class_weight: Any = None,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Dice loss: for segmentation, 1 minus the Dice coefficient (F1 score) of each item and class.

    Also called soft Dice or Sorensen-Dice loss: MONAI's ``DiceLoss``, segmentation_models_pytorch's
    ``DiceLoss``, Keras's ``Dice``.

    .. math:: \\ell_{ic} = 1 - \\frac{2 \\sum_x p t + s}{\\sum_x p + \\sum_x t + s}
              = \\frac{\\sum_x p (1 - t) + (1 - p) t}{2 \\sum_x p t + \\sum_x p (1 - t) + (1 - p) t + s}

    The second form is computed: its sums have no negative terms, and a loss near 0 keeps its digits. Label maps are read as they
    are, never expanded; activation and sums are one pass over the logits, the gradient is a second one.

    Parameters
    ----------
    logits : array_like
        Shape (N, C, ...) with at least one spatial axis, or as `axis` says.
    target : array_like
        A label map: class indices in [0, C), integers of any type, in the shape of `logits` without `axis`. Or in the shape of
        `logits`: masks of integers 0 and 1 (beside a softmax one class at most has a position), or floating probabilities in
        [0, 1]. Of a single class there are only these.
    activation : {"softmax", "sigmoid", None}
        What makes probabilities of the logits; None where they are probabilities already.
    axis : int or None
        The class axis; None if there is none (binary): `logits` then is (N, ...), and `target` has its shape.
    smooth : float
        Added to numerator and denominator. An item without any target positions, predicted as such, is 0 without it.
    squared : bool
        Milletari's denominator: the sums of p^2 and t^2.
    batch : bool
        Pool all items: one value per class.
    include_background : bool
        Whether class 0 counts. If not, "none" has no entry for it.
    ignore_index : int, optional
        A label of positions that do not count, whatever their logits: no gradient there. For masks (with a sigmoid or None) it
        marks single entries.
    class_weight : array_like, optional
        `C` weights >= 0; "mean" divides by them.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of "none" or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values: (N, C), without N if pooled, without C if there is no class axis.
        Items all of whose positions are ignored are 0 and not counted.

    Returns
    -------
    float or ndarray
        In [0, 1]. 0 if both are empty. Not convex; the gradient nearly vanishes where the prediction is confident. A nan or +inf
        among the logits makes the values of its item (with a sigmoid: and class) nan; -inf masks a class. MONAI's DiceLoss adds
        smooth_nr = smooth_dr = 1e-5, and multiplies by class weights without dividing by them.

    Raises
    ------
    IndexError
        A label outside [0, C), or in masks other than 0 and 1.
    ValueError
        Shapes that do not fit, no spatial axis, probabilities outside [0, 1], masks that overlap beside a softmax, bad options.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    jaccard : intersection over union.
    dice_cross_entropy : with cross-entropy.
    generalized_dice : classes weighed by their volume.

    References
    ----------
    Milletari, Navab and Ahmadi, *V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image Segmentation*, 3DV 2016.

    Examples
    --------
    >>> import fastloss as fl
    >>> import numpy as np
    >>> label = np.array([[[0, 0, 1, 1]]])  # one image of 1 x 4 pixels
    >>> p = np.array([[[[0.9, 0.8, 0.3, 0.1]], [[0.1, 0.2, 0.7, 0.9]]]])
    >>> fl.dice(np.log(p), label, reduction="none").round(4)
    array([[0.1707, 0.1795]])
    >>> fl.dice.grad(np.log(p), label).shape
    (1, 2, 1, 4)
    """
    pooled = _check.flag("batch", batch)
    r = _check.regions(logits, target, axis, activation, pooled, include_background, ignore_index, sample_weight)
    form = overlap(2.0, 1.0, 1.0, _check.at_least_zero("smooth", smooth))
    return Overlap(
        r, form, sample_weight, reduction, squared=_check.flag("squared", squared), class_weight=r.class_weights(class_weight)
    )


@loss(
    wrt=("logits",),
    max_order=1,
    formula="1 - (sum p t + smooth) / (sum p + sum t - sum p t + smooth)",
    range="[0, 1]",
    citation="Rahman and Wang, Optimizing Intersection-Over-Union in Deep Neural Networks for Image Segmentation, 2016",
    sampler="class_volumes",
    samples=REGIONS,
)
def jaccard(
    logits: Any,
    target: Any,
    *,
    activation: Literal["softmax", "sigmoid"] | None = "softmax",
    axis: int | None = 1,
    smooth: float = 0.0,
    squared: bool = False,
    batch: bool = False,
    include_background: bool = True,
    ignore_index: int | None = None,
    class_weight: Any = None,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Jaccard loss: for segmentation, 1 minus intersection over union of each item and class.

    Also called soft IoU loss; segmentation_models_pytorch's ``JaccardLoss``.

    .. math:: \\ell_{ic} = 1 - \\frac{I + s}{U + s} \\qquad I = \\sum_x p t \\qquad U = \\sum_x p + \\sum_x t - I

    With smooth 0 it is 2 d / (1 + d), d the Dice loss of the same arguments. Computed as `dice` is, without negative terms.

    Parameters
    ----------
    logits, target : array_like
        As for `dice`.
    activation : {"softmax", "sigmoid", None}
        What makes probabilities of the logits.
    axis : int or None
        The class axis; None if there is none.
    smooth : float
        Added to numerator and denominator.
    squared : bool
        The sums of p^2 and t^2 in place of those of p and t.
    batch : bool
        Pool all items.
    include_background : bool
        Whether class 0 counts.
    ignore_index : int, optional
        A label of positions that do not count.
    class_weight : array_like, optional
        `C` weights >= 0; "mean" divides by them.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of "none" or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        As for `dice`.

    Returns
    -------
    float or ndarray
        In [0, 1]. 0 if both are empty. Not convex. nan, infinity and ignored items as for `dice`. MONAI's DiceLoss(jaccard=True)
        with smooth terms of 2 s is this with s.

    Raises
    ------
    IndexError
        A label outside [0, C), or in masks other than 0 and 1.
    ValueError
        Shapes that do not fit, no spatial axis, probabilities outside [0, 1], masks that overlap beside a softmax, bad options.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    dice : the same ranking of hard masks.
    lovasz : a convex extension.

    References
    ----------
    Rahman and Wang, *Optimizing Intersection-Over-Union in Deep Neural Networks for Image Segmentation*, ISVC 2016.

    Examples
    --------
    >>> import fastloss as fl
    >>> mask = [[0, 1, 1, 0]]
    >>> fl.jaccard([[0.0, 1.0, 0.5, 0.5]], mask, activation=None, axis=None)
    0.4
    """
    pooled = _check.flag("batch", batch)
    r = _check.regions(logits, target, axis, activation, pooled, include_background, ignore_index, sample_weight)
    form = overlap(1.0, 1.0, 1.0, _check.at_least_zero("smooth", smooth))
    return Overlap(
        r, form, sample_weight, reduction, squared=_check.flag("squared", squared), class_weight=r.class_weights(class_weight)
    )


@loss(
    wrt=("logits",),
    max_order=1,
    formula="1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth)",
    range="[0, 1]",
    citation="Salehi, Erdogmus and Gholipour, Tversky loss function for image segmentation, 2017",
    sampler="class_volumes",
    samples=REGIONS,
)
def tversky(
    logits: Any,
    target: Any,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    activation: Literal["softmax", "sigmoid"] | None = "softmax",
    axis: int | None = 1,
    smooth: float = 0.0,
    batch: bool = False,
    include_background: bool = True,
    ignore_index: int | None = None,
    class_weight: Any = None,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Tversky loss: Dice with weights of its own for false positives and false negatives.

    For segmentation in which a miss costs more than a false alarm: MONAI's ``TverskyLoss``, Keras's
    ``Tversky``.

    .. math:: \\ell_{ic} = 1 - \\frac{TP + s}{TP + \\alpha FP + \\beta FN + s}
              \\qquad TP = \\sum_x p t \\quad FP = \\sum_x p (1 - t) \\quad FN = \\sum_x (1 - p) t

    alpha = beta = 1/2 is `dice` (of 2 s), alpha = beta = 1 is `jaccard`.

    Parameters
    ----------
    logits, target : array_like
        As for `dice`.
    alpha, beta : float
        Weights >= 0 of false positives and of false negatives.
    activation : {"softmax", "sigmoid", None}
        What makes probabilities of the logits.
    axis : int or None
        The class axis; None if there is none.
    smooth : float
        Added to numerator and denominator.
    batch : bool
        Pool all items.
    include_background : bool
        Whether class 0 counts.
    ignore_index : int, optional
        A label of positions that do not count.
    class_weight : array_like, optional
        `C` weights >= 0; "mean" divides by them.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of "none" or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        As for `dice`.

    Returns
    -------
    float or ndarray
        In [0, 1]. 0 if both are empty. Not convex. nan, infinity and ignored items as for `dice`.

    Raises
    ------
    IndexError
        A label outside [0, C), or in masks other than 0 and 1.
    ValueError
        Shapes that do not fit, no spatial axis, probabilities outside [0, 1], masks that overlap beside a softmax, bad options.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    dice : with both weights 1/2.
    focal_tversky : a power of this.

    References
    ----------
    Salehi, Erdogmus and Gholipour, *Tversky loss function for image segmentation using 3D fully convolutional deep networks*,
    MLMI 2017.

    Examples
    --------
    >>> import fastloss as fl
    >>> p, mask = [[0.0, 1.0, 0.5, 0.5]], [[0, 1, 1, 0]]
    >>> round(fl.tversky(p, mask, activation=None, axis=None, alpha=0.3, beta=0.7), 6)
    0.25
    >>> fl.tversky(p, mask, activation=None, axis=None) == fl.dice(p, mask, activation=None, axis=None)
    True
    """
    pooled = _check.flag("batch", batch)
    r = _check.regions(logits, target, axis, activation, pooled, include_background, ignore_index, sample_weight)
    form = overlap(
        1.0, _check.at_least_zero("alpha", alpha), _check.at_least_zero("beta", beta), _check.at_least_zero("smooth", smooth)
    )
    return Overlap(r, form, sample_weight, reduction, class_weight=r.class_weights(class_weight))


@loss(
    wrt=("logits",),
    max_order=1,
    formula="(1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth))^gamma",
    range="[0, 1]",
    citation="Abraham and Khan, A Novel Focal Tversky Loss Function With Improved Attention U-Net, 2019",
    sampler="class_volumes",
    samples=REGIONS,
)
def focal_tversky(
    logits: Any,
    target: Any,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    gamma: float = 0.75,
    activation: Literal["softmax", "sigmoid"] | None = "softmax",
    axis: int | None = 1,
    smooth: float = 0.0,
    batch: bool = False,
    include_background: bool = True,
    ignore_index: int | None = None,
    class_weight: Any = None,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Focal Tversky loss: a power of `tversky`, which favours the regions that are hard.

    For segmentation of small structures.

    .. math:: \\ell_{ic} = \\left( 1 - \\frac{TP + s}{TP + \\alpha FP + \\beta FN + s} \\right)^\\gamma

    gamma < 1 strengthens the slope of classes that are nearly right, gamma > 1 that of the others.

    Parameters
    ----------
    logits, target : array_like
        As for `dice`.
    alpha, beta : float
        Weights >= 0 of false positives and of false negatives.
    gamma : float
        The power, > 0. (Abraham and Khan write it 1/gamma, with gamma = 4/3.)
    activation : {"softmax", "sigmoid", None}
        What makes probabilities of the logits.
    axis : int or None
        The class axis; None if there is none.
    smooth : float
        Added to numerator and denominator.
    batch : bool
        Pool all items.
    include_background : bool
        Whether class 0 counts.
    ignore_index : int, optional
        A label of positions that do not count.
    class_weight : array_like, optional
        `C` weights >= 0; "mean" divides by them.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of "none" or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        As for `dice`.

    Returns
    -------
    float or ndarray
        In [0, 1]. 0 if both are empty; there the gradient is 0. Not convex. nan, infinity and ignored items as for `dice`.

    Raises
    ------
    IndexError
        A label outside [0, C), or in masks other than 0 and 1.
    ValueError
        Shapes that do not fit, no spatial axis, probabilities outside [0, 1], masks that overlap beside a softmax, bad options.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    tversky : with gamma 1.

    References
    ----------
    Abraham and Khan, *A Novel Focal Tversky Loss Function With Improved Attention U-Net for Lesion Segmentation*, ISBI 2019.

    Examples
    --------
    >>> import fastloss as fl
    >>> p, mask = [[0.0, 1.0, 0.5, 0.5]], [[0, 1, 1, 0]]
    >>> fl.focal_tversky(p, mask, activation=None, axis=None, gamma=2.0)
    0.0625
    """
    pooled = _check.flag("batch", batch)
    r = _check.regions(logits, target, axis, activation, pooled, include_background, ignore_index, sample_weight)
    power = _check.positive("gamma", gamma)
    form = overlap(
        1.0, _check.at_least_zero("alpha", alpha), _check.at_least_zero("beta", beta), _check.at_least_zero("smooth", smooth),
        power,
    )  # fmt: skip
    extreme = is_extreme(power, 0.0, 8.0)  # errors are multiplied by gamma
    return Overlap(r, form, sample_weight, reduction, class_weight=r.class_weights(class_weight), extreme=extreme)


@loss(
    wrt=("logits",),
    max_order=1,
    formula="1 - (2 sum_c w_c sum p t + smooth) / (sum_c w_c (sum p + sum t) + smooth), w_c = 1 / (sum t)^2",
    range="[0, 1]",
    citation="Sudre et al., Generalised Dice overlap as a deep learning loss function for highly unbalanced segmentations, 2017",
    sampler="class_volumes",
    samples=REGIONS,
)
def generalized_dice(
    logits: Any,
    target: Any,
    *,
    activation: Literal["softmax", "sigmoid"] | None = "softmax",
    axis: int | None = 1,
    smooth: float = 0.0,
    batch: bool = False,
    include_background: bool = True,
    ignore_index: int | None = None,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Generalised Dice loss: all classes together, each weighed by the inverse square of its volume.

    For segmentation with classes of very different size: MONAI's ``GeneralizedDiceLoss``.

    .. math:: \\ell_i = 1 - \\frac{2 \\sum_c w_c \\sum_x p t + s}{\\sum_c w_c \\left( \\sum_x p + \\sum_x t \\right) + s}
              \\qquad w_c = \\left( \\sum_x t \\right)^{-2}

    A class absent from an item's target has the largest weight of the classes that are present; if none is, all weights are 1.

    Parameters
    ----------
    logits, target : array_like
        As for `dice`.
    activation : {"softmax", "sigmoid", None}
        What makes probabilities of the logits.
    axis : int or None
        The class axis; None if there is none.
    smooth : float
        Added to numerator and denominator.
    batch : bool
        Pool all items.
    include_background : bool
        Whether class 0 counts.
    ignore_index : int, optional
        A label of positions that do not count.
    sample_weight : array_like, optional
        Weights >= 0, one per item. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values: (N,), or () if pooled.

    Returns
    -------
    float or ndarray
        In [0, 1]. 0 if both are empty. Not convex. nan and infinity make their item nan; ignored items as for `dice`. MONAI's
        GeneralizedDiceLoss adds smooth_nr = smooth_dr = 1e-5, and is 0 for an item of which no class that counts is present (with
        `include_background` False: nothing but background), whatever is predicted there; here that is 1 if anything is.

    Raises
    ------
    IndexError
        A label outside [0, C), or in masks other than 0 and 1.
    ValueError
        Shapes that do not fit, no spatial axis, probabilities outside [0, 1], masks that overlap beside a softmax, bad options.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    dice : each class by itself.

    References
    ----------
    Sudre, Li, Vercauteren, Ourselin and Cardoso, *Generalised Dice overlap as a deep learning loss function for highly unbalanced
    segmentations*, DLMIA 2017.

    Examples
    --------
    >>> import fastloss as fl
    >>> import numpy as np
    >>> label = np.array([[[0, 0, 1, 1]]])
    >>> p = np.array([[[[0.9, 0.8, 0.3, 0.1]], [[0.1, 0.2, 0.7, 0.9]]]])
    >>> round(fl.generalized_dice(p, label, activation=None), 6)
    0.175
    """
    pooled = _check.flag("batch", batch)
    r = _check.regions(logits, target, axis, activation, pooled, include_background, ignore_index, sample_weight)
    form = generalized(r.first, _check.at_least_zero("smooth", smooth))
    return Overlap(r, form, sample_weight, reduction, per_class=False)


@loss(
    wrt=("logits",),
    max_order=1,
    formula="dice_weight x dice + ce_weight x (the mean cross-entropy of the item's positions)",
    range="[0, inf)",
    citation="Isensee et al., nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation, 2021",
    sampler="class_volumes",
    samples=REGIONS,
)
def dice_cross_entropy(
    logits: Any,
    target: Any,
    *,
    dice_weight: float = 1.0,
    ce_weight: float = 1.0,
    activation: Literal["softmax", "sigmoid"] = "softmax",
    axis: int | None = 1,
    smooth: float = 0.0,
    squared: bool = False,
    batch: bool = False,
    include_background: bool = True,
    ignore_index: int | None = None,
    class_weight: Any = None,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Dice loss plus cross-entropy, weighed and added, in one pass over the logits.

    The usual loss of medical segmentation (nnU-Net): MONAI's ``DiceCELoss``.

    .. math:: \\ell_{ic} = w_d \\, \\mathrm{dice}_{ic} + w_e \\, \\mathrm{mean}_x \\, \\mathrm{ce}_{ix}

    With a softmax the cross-entropy is that of an item's positions, the same in all of its classes' entries: the mean over the
    classes is the sum of Dice loss and cross-entropy. With a sigmoid it is the binary one of each class's own entries.

    Parameters
    ----------
    logits, target : array_like
        As for `dice`.
    dice_weight, ce_weight : float
        Weights >= 0 of the two terms.
    activation : {"softmax", "sigmoid"}
        What makes probabilities of the logits.
    axis : int or None
        The class axis; None if there is none.
    smooth : float
        Added to the Dice loss's numerator and denominator.
    squared : bool
        Milletari's denominator in the Dice loss.
    batch : bool
        Pool all items.
    include_background : bool
        Whether class 0 counts in the Dice loss, and in binary cross-entropies; softmax's is of all classes.
    ignore_index : int, optional
        A label of positions that do not count.
    class_weight : array_like, optional
        `C` weights >= 0 of the classes' entries; "mean" divides by them. Softmax's cross-entropy is a mean weighed by them
        too, by the label of each position, as PyTorch's.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of "none" or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        As for `dice`.

    Returns
    -------
    float or ndarray
        In [0, inf). Not convex, but the cross-entropy's gradient does not vanish for confident mistakes. nan and infinity as for
        `dice` and `cross_entropy`. MONAI's DiceCELoss averages the cross-entropy over all positions of the batch at once, which
        differs where items ignore different numbers of them; ``batch=True`` does so too.

    Raises
    ------
    IndexError
        A label outside [0, C), or in masks other than 0 and 1.
    ValueError
        Shapes that do not fit, no spatial axis, probabilities outside [0, 1], masks that overlap beside a softmax, bad options.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    dice : overlap alone.
    cross_entropy : positions alone.

    References
    ----------
    Isensee, Jaeger, Kohl, Petersen and Maier-Hein, *nnU-Net: a self-configuring method for deep learning-based biomedical image
    segmentation*, Nature Methods 18, 2021.

    Examples
    --------
    >>> import fastloss as fl
    >>> import numpy as np
    >>> label = np.array([[[0, 0, 1, 1]]])
    >>> x = np.log([[[[0.9, 0.8, 0.3, 0.1]], [[0.1, 0.2, 0.7, 0.9]]]])
    >>> both = fl.dice(x, label) + fl.cross_entropy(x, label, axis=1)
    >>> round(fl.dice_cross_entropy(x, label) - both, 12)
    0.0
    """
    _check.one_of("activation", activation, ("softmax", "sigmoid"))
    pooled = _check.flag("batch", batch)
    r = _check.regions(logits, target, axis, activation, pooled, include_background, ignore_index, sample_weight)
    weight = r.class_weights(class_weight)
    of_dice, of_entropy = _check.at_least_zero("dice_weight", dice_weight), _check.at_least_zero("ce_weight", ce_weight)
    form = with_entropy(overlap(2.0, 1.0, 1.0, _check.at_least_zero("smooth", smooth)), r, of_dice, of_entropy, weight)
    squares = _check.flag("squared", squared)
    extreme = is_extreme(of_dice, 1e-30, 1e30) or is_extreme(of_entropy, 1e-30, 1e30)
    return Overlap(r, form, sample_weight, reduction, squared=squares, entropy=True, class_weight=weight, extreme=extreme)


@loss(
    wrt=("logits",),
    max_order=1,
    formula="sum_k e_(k) (J_k - J_{k-1}), errors |t - p| in descending order, J_k the Jaccard loss if the first k are wrong",
    range="[0, 1]",
    citation="Berman, Triki and Blaschko, The Lovasz-Softmax loss, 2018",
    sampler="class_volumes",
    samples=Samples("regions", copies=1, options={"per_image": True}),
)
def lovasz(
    logits: Any,
    target: Any,
    *,
    activation: Literal["softmax", "sigmoid"] | None = "softmax",
    axis: int | None = 1,
    per_image: bool = False,
    only_present: bool | None = None,
    include_background: bool = True,
    ignore_index: int | None = None,
    class_weight: Any = None,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Lovasz-Softmax: for segmentation judged by intersection over union.

    The convex extension of the Jaccard loss from hard predictions to errors in [0, 1];
    segmentation_models_pytorch's ``LovaszLoss``.

    .. math:: \\ell_c = \\sum_k e_{(k)} \\, (J_k - J_{k-1}) \\qquad e = |t - p| \\qquad e_{(1)} \\ge e_{(2)} \\ge \\ldots

    J_k is the Jaccard loss of class c if its k largest errors are mistakes and the others are none. On hard predictions it is
    `jaccard`. With a sigmoid it is the same of each class's own probability (not Berman's hinge for binary tasks).

    All errors are sorted, class by class: memory for one number per entry is needed, and for the class being sorted four to eight
    times its own.

    Parameters
    ----------
    logits : array_like
        As for `dice`.
    target : array_like
        A label map, or masks of integers 0 and 1: no probabilities.
    activation : {"softmax", "sigmoid", None}
        What makes probabilities of the logits.
    axis : int or None
        The class axis; None if there is none.
    per_image : bool
        Whether each item is a value of its own; else they are pooled.
    only_present : bool, optional
        Whether classes that are absent from the target count for nothing; by default with a softmax they do, else not. (An absent
        class's value is its largest error.)
    include_background : bool
        Whether class 0 counts.
    ignore_index : int, optional
        A label of positions that do not count.
    class_weight : array_like, optional
        `C` weights >= 0; "mean" divides by them.
    sample_weight : array_like, optional
        Weights >= 0, in the shape of "none" or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values: (C,), or (N, C) per image; without C if there is no class axis.

    Returns
    -------
    float or ndarray
        In [0, 1]. Convex in the probabilities. Errors that are equal share a kink: the gradient takes them in the order of their
        positions. nan and infinity as for `dice`.

    Raises
    ------
    IndexError
        A label outside [0, C), or in masks other than 0 and 1.
    ValueError
        Shapes that do not fit, no spatial axis, probabilities outside [0, 1], masks that overlap beside a softmax, bad options,
        2**32 positions or more at once.
    TypeError
        Arrays that are not real numbers, targets that are not integers.

    See Also
    --------
    jaccard : a soft count instead of a sort.

    References
    ----------
    Berman, Triki and Blaschko, *The Lovasz-Softmax loss: a tractable surrogate for the optimization of the
    intersection-over-union measure in neural networks*, CVPR 2018.

    Examples
    --------
    >>> import fastloss as fl
    >>> mask = [[0, 1, 1, 0]]
    >>> fl.lovasz([[0.0, 1.0, 0.5, 0.25]], mask, activation=None, axis=None, per_image=True, reduction="none").round(4)
    array([0.2917])
    >>> hard = [[0.0, 1.0, 1.0, 1.0]]
    >>> round(fl.lovasz(hard, mask, activation=None, axis=None) - fl.jaccard(hard, mask, activation=None, axis=None), 12)
    0.0
    """
    pooled = not _check.flag("per_image", per_image)
    r = _check.regions(logits, target, axis, activation, pooled, include_background, ignore_index, sample_weight, soft=False)
    present = activation == "softmax" if only_present is None else _check.flag("only_present", only_present)
    return Lovasz(r, sample_weight, reduction, class_weight=r.class_weights(class_weight), only_present=present)


@loss(
    wrt=("boxes",),
    max_order=1,
    formula="1 - IoU (+ (hull - union) / hull for giou, + centres' distance^2 / hull's diagonal^2 for diou and ciou)",
    range="[0, 2], for ciou [0, 2.5]",
    citation="Rezatofighi et al., Generalized Intersection over Union, 2019",
    sampler="box_pairs",
    samples=VECTORS,
)
def box_iou(
    boxes: Any,
    target: Any,
    *,
    kind: Literal["iou", "giou", "diou", "ciou"] = "giou",
    format: Literal["xyxy", "xywh", "cxcywh"] = "xyxy",
    eps: float = 0.0,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Losses of pairs of boxes: intersection over union and its generalisations, for detection.

    IoU, GIoU, DIoU and CIoU: torchvision's ``generalized_box_iou_loss``, ``distance_box_iou_loss`` and
    ``complete_box_iou_loss``.

    .. math:: \\mathrm{iou} = 1 - \\frac{I}{U} \\qquad \\mathrm{giou} = \\mathrm{iou} + \\frac{H - U}{H} \\qquad
              \\mathrm{diou} = \\mathrm{iou} + \\frac{\\rho^2}{d^2} \\qquad \\mathrm{ciou} = \\mathrm{diou} + \\alpha v

    I, U and H are the areas of intersection, union and the smallest box around both (hull), rho the distance of the centres, d
    the hull's diagonal; v = 4/pi^2 (atan(w'/h') - atan(w/h))^2 and alpha = v / (iou + v). (torchvision's gradient of ciou
    takes alpha for a constant, and is not that of its value; this one is.) Computed in double, 1 - I/U from areas outside the
    intersection: nothing cancels for boxes that nearly agree.

    Parameters
    ----------
    boxes, target : array_like
        Four numbers along the last axis; equal shapes.
    kind : {"iou", "giou", "diou", "ciou"}
        Which loss.
    format : {"xyxy", "xywh", "cxcywh"}
        Two corners; the lower corner and the size; the centre and the size. Gradients are with respect to these numbers.
    eps : float
        0: boxes must have positive width and height. Above 0 they may be 0, but not negative, and it is added to denominators
        where torchvision does so (its default is 1e-7; a perfect box then is not quite 0).
    sample_weight : array_like, optional
        Weights >= 0, in the shape of the boxes without the last axis or of its leading axes. Weight 0 leaves a sample out.
    reduction : {"mean", "sum", "none"}
        Weighted mean, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        iou in [0, 1], giou and diou in [0, 2], ciou in [0, 2.5]. Not convex; iou has no gradient where boxes do not meet. At
        kinks (edges that coincide) the slope is the mean of the two sides', 0 for a perfect box. A nan makes its pair nan.

    Raises
    ------
    ValueError
        Shapes that do not fit; corners the wrong way round, or negative sizes; boxes without area where eps is 0; bad options.
    TypeError
        Arrays that are not real numbers.

    See Also
    --------
    smooth_l1 : of coordinates, as Fast R-CNN has it.
    jaccard : of masks.

    References
    ----------
    Rezatofighi, Tsoi, Gwak, Sadeghian, Reid and Savarese, *Generalized Intersection over Union*, CVPR 2019.
    Zheng, Wang, Liu, Li, Ye and Ren, *Distance-IoU Loss: Faster and Better Learning for Bounding Box Regression*, AAAI 2020.

    Examples
    --------
    >>> import fastloss as fl
    >>> boxes, target = [[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0]], [[0.0, 0.0, 2.0, 1.0], [3.0, 0.0, 4.0, 1.0]]
    >>> fl.box_iou(boxes, target, kind="iou", reduction="none")
    array([0.5, 1. ])
    >>> fl.box_iou(boxes, target, reduction="none")
    array([0.5, 1.5])
    """
    given = _check.one_of("kind", kind, tuple(BOXES)), _check.one_of("format", format, tuple(FORMATS))
    x, t = _check.boxes(boxes, target)
    return Boxes(x, t, *given, _check.at_least_zero("eps", eps), sample_weight, reduction)

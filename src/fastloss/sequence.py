"""Losses of sequences: frames against labels that nobody has aligned to them.

Shapes: `N` samples, `T` frames, `C` classes, `S` labels. Units: nats. Imports `_check`, `_loss` and plans only.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

import fastloss._check as _check
from fastloss._check import FLOAT32, FLOAT64, Array, Sequences, named
from fastloss._loss import Samples, loss
from fastloss._plans.base import Plan
from fastloss._plans.ctc import Ctc, run

UNITS = ("class", "state")


@loss(
    wrt=("logits",),
    max_order=1,
    formula="-log sum over alignments a of y of prod_t p_t[a_t], p_t = softmax(x_t)",
    range="[0, inf]",
    citation="Graves, Fernandez, Gomez and Schmidhuber, Connectionist Temporal Classification, 2006",
    sampler="frames_and_labels",
    samples=Samples("rows", beside=("input_lengths", "target_lengths")),
)
def ctc(
    logits: Any,
    targets: Any,
    *,
    input_lengths: Any = None,
    target_lengths: Any = None,
    blank: int = 0,
    log_probs: bool = False,
    time_major: bool = False,
    length_normalize: Literal["target", "input"] | None = None,
    zero_infinity: bool = False,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Plan:
    """Connectionist temporal classification: for sequences of labels whose positions nobody knows.

    Speech and text recognition: PyTorch's ``CTCLoss``, optax's ``ctc_loss``, Keras's ``CTC``.

    .. math:: \\ell_n = -\\log \\sum_{a \\in \\mathcal{B}^{-1}(y_n)} \\prod_{t=1}^{T_n} p_{nt a_t}, \\qquad
              p_{nt} = \\mathrm{softmax}(x_{nt})

    An alignment `a` gives every frame a class; dropping repetitions and then blanks must leave the labels `y`. The softmax is
    part of the loss, and the gradient, softmax minus the probability that a class is occupied, is with respect to what was
    passed.

    Parameters
    ----------
    logits : array_like
        (`N`, `T`, `C`), or (`T`, `N`, `C`) with `time_major`; read in place where the classes of a frame are contiguous. -inf
        masks a class.
    targets : array_like
        Class indices other than the blank, integers of any type: (`N`, `S`), or the labels of all samples joined in one
        dimension, which needs `target_lengths`.
    input_lengths, target_lengths : array_like, optional
        How many frames and labels of each sample count, integers of shape (`N`,); all by default. What is beyond is never looked
        at and has the gradient 0.
    blank : int
        The class that stands for no label.
    log_probs : bool
        `logits` are log-probabilities already. They are taken as they are: only those of the blank and of a sample's labels
        matter, and the gradient is minus the occupation probability.
    time_major : bool
        Whether frames come before samples.
    length_normalize : {None, "target", "input"}
        Divide each loss by the number of its labels or of its frames (by 1 if that is 0).
    zero_infinity : bool
        Infinite losses, and their gradients, become 0.
    sample_weight : array_like, optional
        Weights >= 0 of shape (`N`,). Weight 0 leaves a sample out: neither its frames nor its labels and lengths are read (but
        for the lengths that say where joined targets begin).
    reduction : {"mean", "sum", "none"}
        Weighted mean over the samples, sum, or the array of weighted values.

    Returns
    -------
    float or ndarray
        In [0, inf] nats (with `log_probs`, negative where the given probabilities add up to more than 1). Not convex. A sample
        with fewer frames than its labels and the blanks between equal ones need, or all of whose alignments meet a masked class,
        is inf, its gradient nan. No labels: all frames are blank; no frames and no labels: 0. A nan, a +inf or nothing but -inf
        in a frame that counts makes its sample nan.

    Raises
    ------
    IndexError
        A label outside [0, `C`).
    ValueError
        A label that is the blank, lengths out of range or that do not add up, shapes that do not fit, bad weights or options.
        Errors about labels and lengths name the sample.
    TypeError
        Arrays that are not real numbers, labels or lengths that are not integers.

    See Also
    --------
    ctc_align : the likeliest alignment.
    ctc_posteriors : the probability of each alignment state.
    cross_entropy : where each frame has a label.

    Notes
    -----
    Sums over alignments are made in linear space, in double; where a bound says that too much may have fallen out of range, a
    sample is done again with logarithms (``fl.ctc.__wrapped__(...).redone()`` tells which). The gradient is written straight into
    `out`; beside it a thread needs about 16 `T` (`S` + 8) bytes (a quarter more, for doubles a half, where `C` is large), and for
    the value alone a few rows of `S`.

    PyTorch's "mean" divides each loss by its number of labels first: ``length_normalize="target"``. Its gradient is right with
    respect to logits only after a log-softmax; with respect to log-probabilities it is not the derivative. There labels are not
    checked.

    References
    ----------
    Graves, Fernandez, Gomez and Schmidhuber, *Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with
    Recurrent Neural Networks*, ICML 2006.

    Examples
    --------
    >>> import numpy as np
    >>> import fastloss as fl
    >>> logits = np.log([[[0.1, 0.8, 0.1], [0.7, 0.2, 0.1], [0.2, 0.2, 0.6]]])
    >>> round(fl.ctc(logits, [[1, 2]]), 4)
    0.6773
    >>> fl.ctc.grad(logits, [[1, 2]]).round(3)
    array([[[ 0.076, -0.176,  0.1  ],
            [ 0.039, -0.013, -0.026],
            [ 0.169,  0.2  , -0.369]]])
    """
    sequences = _check.sequences(logits, targets, input_lengths, target_lengths, blank, log_probs, time_major, sample_weight)
    zeroed, divisor = _check.flag("zero_infinity", zero_infinity), sequences.divisor(length_normalize)
    return Ctc(sequences, zeroed, divisor, sample_weight, reduction, (targets, input_lengths, target_lengths))


@named
def ctc_align(
    logits: Any,
    targets: Any,
    *,
    input_lengths: Any = None,
    target_lengths: Any = None,
    blank: int = 0,
    log_probs: bool = False,
    time_major: bool = False,
    output: str = "class",
) -> tuple[Array, Array]:
    """The likeliest alignment of labels to frames (forced alignment by Viterbi's algorithm).

    Parameters
    ----------
    logits, targets, input_lengths, target_lengths, blank, log_probs, time_major
        As for `ctc`.
    output : {"class", "state"}
        What the paths hold: the class of each frame, or its place among the 2 `S` + 1 extended labels: blank, first label, blank,
        second label, ..., blank.

    Returns
    -------
    paths : ndarray
        (`N`, `T`) of int64; -1 beyond a sample's frames, and everywhere if it has no alignment of positive probability. Of
        equally likely paths the one that, seen from its end, stays in each state the longest.
    scores : ndarray
        (`N`,) log-probabilities of the paths, float64; -inf where there is none, nan where a frame that counts has nan.

    Raises
    ------
    IndexError, ValueError, TypeError
        As for `ctc`.

    See Also
    --------
    ctc : the loss.
    ctc_posteriors : the probability of each state.

    References
    ----------
    Kurzinger, Winkelbauer, Li, Watzel and Rigoll, *CTC-Segmentation of Large Corpora for German End-to-End Speech Recognition*,
    SPECOM 2020.

    Examples
    --------
    >>> import numpy as np
    >>> import fastloss as fl
    >>> logits = np.log([[[0.1, 0.8, 0.1], [0.7, 0.2, 0.1], [0.2, 0.2, 0.6]]])
    >>> paths, scores = fl.ctc_align(logits, [[1, 2]])
    >>> paths, np.exp(scores).round(4)
    (array([[1, 0, 2]]), array([0.336]))
    """
    _check.one_of("output", output, UNITS)
    sequences = _check.sequences(logits, targets, input_lengths, target_lengths, blank, log_probs, time_major)
    paths = np.full(sequences.x.shape[:2], -1, np.int64)
    losses, _ = run(sequences, paths=paths)
    if output == "class":
        _name_classes(paths, sequences)
    return paths, 0.0 - losses


def _name_classes(paths: Array, sequences: Sequences) -> None:
    """Places among the extended labels become classes, in place."""
    for path, first in zip(paths, sequences.starts, strict=True):
        is_label = path % 2 == 1
        is_label &= path >= 0
        path[(path >= 0) & ~is_label] = sequences.blank
        path[is_label] = sequences.labels[first + path[is_label] // 2]


@named
def ctc_posteriors(
    logits: Any,
    targets: Any,
    *,
    input_lengths: Any = None,
    target_lengths: Any = None,
    blank: int = 0,
    log_probs: bool = False,
    time_major: bool = False,
) -> Array:
    """The probability, given the labels, that each frame occupies each extended label: blank, first label, blank, ..., blank.

    Softmax minus these, summed by class, is the gradient of `ctc` with respect to the logits.

    Parameters
    ----------
    logits, targets, input_lengths, target_lengths, blank, log_probs, time_major
        As for `ctc`.

    Returns
    -------
    ndarray
        (`N`, `T`, 2 `S` + 1), `S` the most labels of a sample; float64 for float64 and integers, else float32. Each frame's
        add up to 1; 0 beyond a sample's frames and labels. nan for a sample whose loss is infinite or nan.

    Raises
    ------
    IndexError, ValueError, TypeError
        As for `ctc`.

    See Also
    --------
    ctc : the loss.
    ctc_align : the likeliest path.

    References
    ----------
    Graves, Fernandez, Gomez and Schmidhuber, *Connectionist Temporal Classification*, ICML 2006, section 4.1.

    Examples
    --------
    >>> import numpy as np
    >>> import fastloss as fl
    >>> logits = np.log([[[0.1, 0.8, 0.1], [0.7, 0.2, 0.1], [0.2, 0.2, 0.6]]])
    >>> fl.ctc_posteriors(logits, [[1, 2]]).round(3)
    array([[[0.024, 0.976, 0.   , 0.   , 0.   ],
            [0.   , 0.213, 0.661, 0.126, 0.   ],
            [0.   , 0.   , 0.   , 0.969, 0.031]]])
    """
    sequences = _check.sequences(logits, targets, input_lengths, target_lengths, blank, log_probs, time_major)
    samples, frames, _ = sequences.x.shape
    shape = (samples, frames, 2 * int(sequences.counts.max(initial=0)) + 1)
    posteriors = np.zeros(shape, FLOAT64 if sequences.wide else FLOAT32)
    run(sequences, posteriors=posteriors)
    return posteriors

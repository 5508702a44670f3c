"""Plain functions of rows: logsumexp, softmax, log_softmax. Not losses: nothing to reduce, no target.

Shapes: `C` classes along `axis`, any other axes. Imports `_check`, `_threads` and the row kernels
only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import fastloss._check as _check
import fastloss._engines.rows as engine
from fastloss._check import FLOAT32, FLOAT64, Array, named
from fastloss._threads import get_num_threads


@named
def logsumexp(x: Any, *, axis: int = -1) -> Array:
    """Logarithm of the sum of exponentials along an axis (log-sum-exp).

    For normalising logits, and for sums of probabilities known by their logarithms. Known as
    ``logsumexp`` (PyTorch, SciPy).

    .. math:: \\log \\sum_j e^{x_j} = m + \\log \\left( 1 + \\sum_{j \\ne \\arg\\max} e^{x_j - m} \\right), \\quad m = \\max_j x_j

    Parameters
    ----------
    x : array_like
        Real numbers; -inf adds nothing.
    axis : int
        The axis to sum along.

    Returns
    -------
    ndarray
        The shape of `x` without `axis`; float64 for float64 and integers, else float32. At least the largest entry; a row
        of -inf is -inf, a row with +inf is +inf, a row with nan is nan.

    Raises
    ------
    ValueError, TypeError
        A bad axis, an axis without entries, numbers that are not real.

    See Also
    --------
    softmax : Normalised exponentials.
    log_softmax : Their logarithms.

    References
    ----------
    Blanchard, Higham and Higham, *Accurately computing the log-sum-exp and softmax functions*, IMA J. Numer. Anal. 41, 2021.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.logsumexp([[1000.0, 1000.0], [0.0, -float("inf")]]).round(4)
    array([1000.6931,    0.    ])
    """
    a = _check.array("x", x)
    index = _check.axis_of(a, axis, "x")
    wide = _check.is_wide(a.dtype, a.dtype)
    values = np.empty(a.shape[:index] + a.shape[index + 1 :], FLOAT64 if wide else FLOAT32)
    if a.size:
        engine.rows(engine.KINDS["logsumexp"], a, index, wide=wide, values=values, threads=get_num_threads())
    return values


@named
def softmax(x: Any, *, axis: int = -1, out: Any = None) -> Array:
    """Softmax: exponentials along an axis, divided by their sum.

    For turning logits into probabilities. Known as ``softmax`` (PyTorch, Keras, SciPy).

    .. math:: p_j = e^{x_j} / \\sum_k e^{x_k}

    Parameters
    ----------
    x : array_like
        Real numbers; -inf gets probability 0.
    axis : int
        The axis along which the results sum to 1.
    out : ndarray, optional
        Where to write, with the shape of `x` and the type of the result or of `x`; may be `x` itself.

    Returns
    -------
    ndarray
        The shape of `x`; float64 for float64 and integers, else float32. Rows that hold nan or +inf, or only -inf, are nan.

    Raises
    ------
    ValueError, TypeError
        A bad axis, an axis without entries, numbers that are not real, an unfit `out`.

    See Also
    --------
    log_softmax : Its logarithm, exact for small probabilities.
    cross_entropy : The loss of the logits, without this step.

    References
    ----------
    Bridle, *Probabilistic Interpretation of Feedforward Classification Network Outputs*, 1990.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.softmax([0.0, 0.0, -float("inf")])
    array([0.5, 0.5, 0. ])
    """
    return _rowwise("softmax", x, axis, out)


@named
def log_softmax(x: Any, *, axis: int = -1, out: Any = None) -> Array:
    """Logarithm of the softmax, from logits.

    For log-probabilities, as `nll` and `kl_div` take them. Known as ``log_softmax`` (PyTorch, Keras,
    SciPy).

    .. math:: \\log p_j = x_j - \\log \\sum_k e^{x_k}

    Parameters
    ----------
    x : array_like
        Real numbers; -inf stays -inf.
    axis : int
        The axis along which the exponentials of the results sum to 1.
    out : ndarray, optional
        Where to write, with the shape of `x` and the type of the result or of `x`; may be `x` itself.

    Returns
    -------
    ndarray
        The shape of `x`; float64 for float64 and integers, else float32. At most 0. Rows that hold nan or +inf, or only -inf,
        are nan.

    Raises
    ------
    ValueError, TypeError
        A bad axis, an axis without entries, numbers that are not real, an unfit `out`.

    See Also
    --------
    softmax : The probabilities.
    nll : Loss of log-probabilities.
    kl_div : Divergence of log-probabilities from a target.

    References
    ----------
    Bridle, *Probabilistic Interpretation of Feedforward Classification Network Outputs*, 1990.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.log_softmax([0.0, 0.0]).round(4)
    array([-0.6931, -0.6931])
    """
    return _rowwise("log_softmax", x, axis, out)


def _rowwise(kind: str, x: Any, axis: int, out: Any) -> Array:
    a = _check.array("x", x)
    index = _check.axis_of(a, axis, "x")
    wide = _check.is_wide(a.dtype, a.dtype)
    dtype = FLOAT64 if wide else FLOAT32
    if out is None:
        result = np.empty(a.shape, dtype)
    else:  # half precision may go back to where it came from
        own = isinstance(out, np.ndarray) and out.dtype == a.dtype and a.dtype.kind in "fV"
        result = _check.result("out", out, a.shape, a.dtype if own else dtype, (a,))
    if a.size:
        engine.rows(engine.KINDS[kind], a, index, wide=wide, grad=result, threads=get_num_threads())
    return result

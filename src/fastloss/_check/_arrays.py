"""Real arrays: types, shapes of pairs and rows, result buffers."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, cast

import numpy as np
import numpy.typing as npt

from ._options import integer
from ._refusals import Refusal, refuse

Array = npt.NDArray[Any]


FLOAT32 = np.dtype(np.float32)


FLOAT64 = np.dtype(np.float64)


_REAL_KINDS = "fiub"


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "V" and dtype.name == "bfloat16"


_NAMES = "numpy.unique(names, return_inverse=True)[1] makes indices of names"


_OTHER_KINDS = {
    "O": "astype(float) makes numbers of objects",
    "f": "astype(np.float64) makes them shorter",
    "U": _NAMES,
    "S": _NAMES,
}


def array(name: str, value: Any) -> Array:
    """A real array: floats of 16 to 64 bits, bfloat16, integers or bools, in the machine's byte order."""
    if type(value) is np.ndarray and (value.dtype is FLOAT32 or value.dtype is FLOAT64):
        return value
    a = value if type(value) is np.ndarray else _as_array(name, value)
    kind = a.dtype.kind
    if (kind not in _REAL_KINDS or (kind == "f" and a.dtype.itemsize > 8)) and not is_bfloat16(a.dtype):
        hint = _OTHER_KINDS.get(kind, "")
        expected = "real numbers (float16, bfloat16, float32, float64, integers or bools)"
        refuse(TypeError, name, expected, _dtype_text(a), hint=hint)
    if not a.dtype.isnative:
        a = a.astype(a.dtype.newbyteorder("="))  # the kernels read the machine's own order: this one copies
    return a


NO_MASK = (
    "an array without a mask",
    "a masked array",
    "pass its data, and leave samples out with a weight of 0: a.data, sample_weight=~a.mask",
)


def _as_array(name: str, value: Any) -> Array:
    if isinstance(value, np.ma.MaskedArray):
        refuse(TypeError, name, NO_MASK[0], NO_MASK[1], hint=NO_MASK[2])
    if value is None:
        refuse(TypeError, name, "an array", "None")
    try:
        return converted(value)
    except (TypeError, ValueError, RuntimeError, BufferError, ModuleNotFoundError) as error:
        raise Refusal(TypeError, name, f"expected an array, got {type(value).__name__}: {error}") from error


def converted(value: Any) -> Array:
    """Anything as an array, without a copy where there is one already; or whatever error says that it is none."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16 and not value.requires_grad:
        try:  # PyTorch gives NumPy no bfloat16, but its bits
            import ml_dtypes
        except ModuleNotFoundError:
            raise ModuleNotFoundError("bfloat16 needs ml_dtypes: pip install ml_dtypes") from None
        bits: Array = value.view(torch.int16).numpy()
        return bits.view(ml_dtypes.bfloat16)
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return cast(Array, np.from_dlpack(value))
    return np.asarray(value)


def _dtype_text(a: Array) -> str:
    return "a structured dtype" if a.dtype.names else f"dtype {a.dtype}"


def is_weak(value: Any) -> bool:
    """Python numbers take the other operand's type, as in NumPy."""
    return type(value) in (float, int, bool)


_WIDE: dict[tuple[Any, Any], bool] = {}


def is_wide(a: np.dtype[Any], b: np.dtype[Any]) -> bool:
    """Whether NumPy's promotion of two real types asks for float64 (float16 and bfloat16 compute in float32)."""
    if a is b and (a is FLOAT32 or a is FLOAT64):
        return a is FLOAT64  # a dtype takes longer to hash than the rest of a check
    known = _WIDE.get((a, b))
    if known is None:
        a32, b32 = (FLOAT32 if is_bfloat16(d) or d == np.float16 else d for d in (a, b))
        floats = a32.kind == "f" or b32.kind == "f"
        known = _WIDE[a, b] = not floats or np.result_type(a32, b32) == FLOAT64
    return known


Pair = tuple[Array, Array, bool, bool]


def real_pair(names: tuple[str, str], x: Any, t: Any) -> Pair:
    """Two real arrays of one shape (a scalar takes the other's), whether they compute in float64, and whether the first was a
    scalar beside an array."""
    if type(x) is np.ndarray and type(t) is np.ndarray:
        dtype = x.dtype
        if dtype is t.dtype and (dtype is FLOAT32 or dtype is FLOAT64) and x.shape == t.shape:
            return x, t, dtype is FLOAT64, False  # a tenth of a call on ten numbers is spent below
    a, b = array(names[0], x), array(names[1], t)
    if a.dtype is b.dtype:
        wide = is_wide(a.dtype, b.dtype)
    else:
        weak_a, weak_b = is_weak(x), is_weak(t)
        wide = is_wide(b.dtype if weak_a else a.dtype, a.dtype if weak_b and not weak_a else b.dtype)
    if a.shape == b.shape:
        return a, b, wide, False
    if a.ndim and b.ndim:
        _refuse_shape(names, a, b, a.ndim - 1)
    scalar = a.ndim == 0
    a, b = np.broadcast_arrays(a, b)
    return a, b, wide, scalar


RowsOf = tuple[Array, Array, int, bool]


def real_rows(names: tuple[str, str], x: Any, t: Any, axis: Any) -> RowsOf:
    """Two real arrays of one shape, the axis along which their rows lie, and whether they compute in float64."""
    a, b = array(names[0], x), array(names[1], t)
    index = axis_of(a, axis, names[0])
    if a.shape != b.shape:
        _refuse_shape(names, a, b, index)
    return a, b, index, is_wide(a.dtype, b.dtype)


_OF_CLASSES = {"logits": "cross_entropy", "probs": "cross_entropy", "log_probs": "nll"}


def _refuse_shape(names: tuple[str, str], a: Array, b: Array, axis: int) -> NoReturn:
    hint = reshaped(names[1], b.shape, a.shape)
    if names[0] in _OF_CLASSES and b.dtype.kind in "iu" and b.shape == a.shape[:axis] + a.shape[axis + 1 :]:
        hint = f"class indices are for {_OF_CLASSES[names[0]]}"
    refuse(ValueError, names[1], f"the shape of {names[0]}, {a.shape}", f"shape {b.shape}", hint=hint)


def reshaped(name: str, got: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """What to do about arrays that differ in axes of length 1."""
    same = [n for n in got if n != 1] == [n for n in shape if n != 1]
    return f"nothing is broadcast: {name}.reshape({shape})" if same else ""


def axis_of(a: Array, axis: Any, name: str) -> int:
    """A class axis as an index from 0, with at least one class along it."""
    index = integer("axis", axis)
    if a.ndim == 0:
        refuse(ValueError, name, "at least one dimension", "a scalar")
    if not -a.ndim <= index < a.ndim:
        refuse(ValueError, "axis", f"an axis in [{-a.ndim}, {a.ndim})", index)
    index %= a.ndim
    if a.shape[index] == 0 and (a.size or math.prod(s for k, s in enumerate(a.shape) if k != index)):
        refuse(ValueError, name, f"at least one class along axis {index}", f"shape {a.shape}")
    return index


def matrix(name: str, value: Any, empty: bool = True) -> Array:
    """Rows of numbers, (N, D); `empty`: of none, too."""
    a = array(name, value)
    if a.ndim != 2:
        refuse(ValueError, name, "two dimensions, (N, D)", f"shape {a.shape}")
    if a.shape[1] == 0 and not empty:
        refuse(ValueError, name, "rows of at least one number, (N, D)", f"shape {a.shape}")
    return a


def increasing(name: str, value: Any) -> Array:
    """A vector of finite numbers, each above the one before; at least one."""
    a = array(name, value)
    if a.ndim != 1 or a.size == 0:
        refuse(ValueError, name, "a vector of at least one number", f"shape {a.shape}")
    x = a.astype(FLOAT64)
    good = np.isfinite(x)
    good[1:] &= x[1:] > x[:-1]
    if not good.all():
        at = int(np.argmin(good))
        refuse(ValueError, name, "finite numbers, each greater than the one before", a[at], (at,))
    return a


def spread(name: str, value: Any, shape: tuple[int, ...]) -> float | Array:
    """Finite numbers that broadcast along the trailing axes, as NumPy does: an array of that shape, or one number for all."""
    if type(value) is float and math.isfinite(value):
        return value
    a = array(name, value)
    if a.size and not np.isfinite(a).all():
        bad = np.unravel_index(int(np.argmin(np.isfinite(a))), a.shape)
        refuse(ValueError, name, "finite numbers", a[bad], tuple(map(int, bad)))
    try:
        full = np.broadcast_to(a, shape)
    except ValueError:
        refuse(ValueError, name, f"a shape that broadcasts to {shape}", a.shape)
    return float(a.flat[0]) if a.size == 1 else full


def variances(name: str, value: Any, pair: Pair, of: str) -> tuple[Pair, Array, Array]:
    """Variances beside predictions and targets: the pair, the variances spread over its shape, and as they came.

    They have its shape, or that shape without the last axis or with length 1 there, or are a scalar.
    """
    a, b, wide, scalar = pair
    v = array(name, value)
    if not is_weak(value):
        wide = wide or is_wide(v.dtype, a.dtype)
    if a.ndim == 0 and v.ndim:
        a, b, scalar = np.broadcast_to(a, v.shape), np.broadcast_to(b, v.shape), True
    shape = a.shape
    if v.shape == shape:
        return (a, b, wide, scalar), v, v
    if v.ndim and v.shape not in (shape, shape[:-1], (*shape[:-1], 1)):
        expected = f"the shape of {of}, {shape}, or that with a last axis of length 1 or without it"
        refuse(ValueError, name, expected, f"shape {v.shape}")
    one_per_row = v.ndim and v.shape == shape[:-1]
    return (a, b, wide, scalar), np.broadcast_to(v[..., None] if one_per_row else v, shape), v


def result(name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype[Any], inputs: Sequence[Array | None]) -> Array:
    """A buffer to write to: writeable, of the right type and shape, apart from every input or exactly one of them."""
    if not isinstance(value, np.ndarray):
        refuse(TypeError, name, "a NumPy array", type(value).__name__)
    if value.dtype != dtype:
        refuse(TypeError, name, f"dtype {dtype}", f"dtype {value.dtype}")
    if value.shape != shape:
        refuse(ValueError, name, f"shape {shape}", value.shape)
    if not value.flags.writeable:
        refuse(ValueError, name, "a writeable array", "a read-only one")
    if value.size > 1 and any(n > 1 and s == 0 for n, s in zip(value.shape, value.strides, strict=True)):
        refuse(ValueError, name, "an array whose elements are apart in memory", "one that repeats them (stride 0)")
    for a in inputs:
        if a is None or not np.may_share_memory(value, a):
            continue
        same = a.shape == value.shape and a.strides == value.strides and a.dtype == value.dtype
        if same and a.ctypes.data == value.ctypes.data:
            continue
        if _overlap(value, a):
            refuse(ValueError, name, "memory apart from every input, or exactly one of them", "one that overlaps an input")
    return value


def apart(name: str, buffer: Array, others: Sequence[Array]) -> None:
    """Refuse a buffer that shares memory with another one."""
    for other in others:
        if np.may_share_memory(buffer, other) and _overlap(buffer, other):
            refuse(ValueError, name, "buffers apart from one another", "two that overlap")


def _overlap(a: Array, b: Array) -> bool:
    try:
        return bool(np.shares_memory(a, b, max_work=100_000))  # type: ignore[arg-type]  # the stub knows two values only
    except np.exceptions.TooHardError:
        return True

"""Every input rule once. A rule returns the argument in the form the kernels take, or raises a Refusal, which names the argument,
what was required and what was received; the Loss that called adds its own name. May import NumPy only.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, ParamSpec, TypeVar, cast

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
P = ParamSpec("P")
T = TypeVar("T")

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
_REAL_KINDS = "fiub"


class Refusal(Exception):
    """An argument that breaks a rule: becomes `kind` with the caller's name in front."""

    def __init__(
        self, kind: type[Exception], argument: str, text: str, at: tuple[int, ...] | None = None, hint: str = ""
    ) -> None:
        super().__init__(kind, argument, text)
        self.kind, self.argument, self.text, self.at, self.hint = kind, argument, text, at, hint

    def named(self, caller: str) -> Exception:
        where = "" if self.at is None else f" at index {self.at}"
        hint = f"; {self.hint}" if self.hint else ""
        return self.kind(f"{caller}: {self.argument}: {self.text}{where}{hint}")


def refuse(
    kind: type[Exception], argument: str, expected: str, got: object, at: tuple[int, ...] | None = None, hint: str = ""
) -> NoReturn:
    """`hint`: what was probably meant, or what to do about it."""
    raise Refusal(kind, argument, f"expected {expected}, got {got}", at, hint)


def named(function: Callable[P, T]) -> Callable[P, T]:
    """Errors of a plain function start with its name, as a loss's do."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except Refusal as refusal:
            raise refusal.named(function.__name__) from None

    return call


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "V" and dtype.name == "bfloat16"


# ---- arrays ---------------------------------------------------------------------------------------------------------


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
    hint = _reshaped(names[1], b.shape, a.shape)
    if names[0] in _OF_CLASSES and b.dtype.kind in "iu" and b.shape == a.shape[:axis] + a.shape[axis + 1 :]:
        hint = f"class indices are for {_OF_CLASSES[names[0]]}"
    refuse(ValueError, names[1], f"the shape of {names[0]}, {a.shape}", f"shape {b.shape}", hint=hint)


def _reshaped(name: str, got: tuple[int, ...], shape: tuple[int, ...]) -> str:
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


def labels(
    name: str, value: Any, shape: tuple[int, ...], of_shape: tuple[int, ...], noun: str = "class indices", of: str = "logits"
) -> Array:
    """Integer class indices (or levels) of a given shape; their range is checked by the kernel that reads them."""
    a = array(name, value)
    if a.dtype.kind not in "iub":
        if a.size == 0 and a.shape == shape:
            return a.astype(np.int64)
        hint = meant(name, a, shape, of_shape, noun)
        refuse(TypeError, name, f"integer {noun} of shape {shape}", f"{a.dtype} of shape {a.shape}", hint=hint)
    if a.shape != shape:
        hint = meant(name, a, shape, of_shape, noun)
        refuse(ValueError, name, f"{noun} of shape {shape} for {of} of shape {of_shape}", f"shape {a.shape}", hint=hint)
    return a


def meant(name: str, a: Array, shape: tuple[int, ...], of_shape: tuple[int, ...], noun: str) -> str:
    """What labels of another shape or type probably are."""
    if a.shape == shape:
        return f"whole numbers kept as floats are labels after {name}.astype(int)"
    if a.shape == of_shape and noun == "levels":
        return "a level is one number: binary tasks add up to it, one-hot rows have it at their argmax"
    axes = [k for k in range(len(of_shape)) if of_shape[:k] + of_shape[k + 1 :] == a.shape]
    classes = [k for k in range(len(of_shape)) if of_shape[:k] + of_shape[k + 1 :] == shape]
    if a.shape == of_shape and noun == "class indices" and classes:
        return f"one-hot rows become class indices with {name}.argmax({f'axis={classes[0]}' if len(classes) == 1 else 'axis'})"
    if len(axes) == 1 and shape != of_shape:
        return f"axis={axes[0]} says that the classes lie there"
    return _reshaped(name, a.shape, shape)


def outside(label: int, count: int, labels: Array) -> str:
    """What to do about a label, of these, that is none of [0, count)."""
    if label == count and labels.min() > 0:
        return "labels count from 0: subtract 1 if yours begin with 1"
    if label in (-1, -100, 255):
        return "padding is left out by ignore_index, where the loss has it, or by a sample_weight of 0"
    return ""


def one_hot(name: str, a: Array, axis: int, hint: str, weight: Any = None, values: bool = True) -> None:
    """Integers and bools that stand for distributions along an axis: every row has one 1, or none (but for a single class).

    Other integers in the shape of the logits are something else: class indices, labels of independent classes, counts. Floats are
    not looked at; rows of weight 0 may hold anything. `values`: whether to refuse numbers other than 0 and 1, as a kernel may do.
    """
    if a.dtype.kind not in "iub" or a.size == 0:
        return
    bits = a.view(np.uint8) if a.dtype.kind == "b" else a
    single = a.shape[axis] == 1
    # sums of rows, which may wrap around: a row with several entries still counts once on the left, and more often on the right
    sums = np.add.reduce(bits, axis=axis) if a.size < 1000 else np.einsum("...i->...", np.moveaxis(bits, axis, -1))
    if np.count_nonzero(sums) == np.count_nonzero(bits) and sums.max() <= 1 and not (single and sums.min() < 1):
        return  # a negative number is the kernel's to find
    rows = np.moveaxis(a, axis, -1)
    wrong = (rows == 0) if single else (rows == 1) & (np.cumsum(rows == 1, axis=-1) > 1)
    if values:
        wrong |= (rows < 0) | (rows > 1)
    if weight is not None:
        wrong &= (weights("sample_weight", weight, rows.shape[:-1])[0] > 0)[..., None]
    if wrong.any():
        *sample, entry = (int(k) for k in np.unravel_index(int(np.argmax(wrong)), rows.shape))
        got, at = rows[(*sample, entry)], (*sample[:axis], entry, *sample[axis:])
        expected = "1 for a single class" if single else f"integers that are one-hot along axis {axis} (0 and 1, one 1 at most)"
        refuse(ValueError, name, expected, "a second 1" if got == 1 else int(got), at, hint)


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


def nonnegative(name: str, value: Any) -> Array:
    """Weights: real, finite, none below 0."""
    return _weights_and_range(name, value)[0]


def _weights_and_range(name: str, value: Any) -> tuple[Array, float, float]:
    """Weights, the smallest and the largest of them; (inf, 0) of none."""
    a = array(name, value)
    if a.size == 0:
        return a, math.inf, 0.0
    low, high = a.min(), a.max()
    if not (low >= 0 and high < math.inf):
        bad = np.unravel_index(int(np.argmax(~((a >= 0) & (a < math.inf)))), a.shape)
        refuse(ValueError, name, "finite numbers >= 0", a[bad], tuple(map(int, bad)))
    return a, float(low), float(high)


def weights(name: str, value: Any, shape: tuple[int, ...]) -> tuple[Array, float, float]:
    """Weights spread over `shape` from the left (leading axes first), the smallest and the largest of them."""
    a, low, high = _weights_and_range(name, value)
    fits = a.ndim <= len(shape) and all(n in (1, m) for n, m in zip(a.shape, shape, strict=False))
    if not fits:
        hint, missing = _reshaped(name, a.shape, shape), len(shape) - a.ndim
        if missing > 0 and all(n in (1, m) for n, m in zip(a.shape, shape[missing:], strict=True)):
            hint = f"along the last axes: {name}.reshape({(1,) * missing + a.shape})"
        refuse(ValueError, name, f"a shape that broadcasts to {shape} from the left", a.shape, hint=hint)
    return np.broadcast_to(a.reshape(a.shape + (1,) * (len(shape) - a.ndim)), shape), low, high


def class_weights(name: str, value: Any, classes: int) -> npt.NDArray[np.float64]:
    a = nonnegative(name, value)
    if a.shape != (classes,):
        refuse(
            ValueError, name, f"shape ({classes},), a weight for each class", a.shape, hint="weights of samples are sample_weight"
        )
    return np.require(a, np.float64, ["C_CONTIGUOUS", "ALIGNED"])  # the kernels index it as it lies


def trailing(name: str, value: Any, shape: tuple[int, ...]) -> tuple[Array, float, float]:
    """Weights that broadcast along the trailing axes, as NumPy does; the smallest and the largest of them."""
    a, low, high = _weights_and_range(name, value)
    try:
        return np.broadcast_to(a, shape), low, high
    except ValueError:
        refuse(ValueError, name, f"a shape that broadcasts to {shape}", a.shape)


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


def first_outside(a: Array, low: float, high: float, size: bool = False) -> tuple[int, ...] | None:
    """The first index (C order) whose entry (`size`: its absolute value) is outside [low, high]; nan is not."""
    step = max(1, 2**20 // max(1, a[:1].size)) if a.ndim else 1
    for start in range(0, len(a) if a.ndim else 1, step):
        part = (a[start : start + step] if a.ndim else a).astype(FLOAT64)  # bounds may lie between two floats
        if size:
            part = np.abs(part)
        bad = (part < low) | (part > high)
        if bad.any():
            where = np.unravel_index(int(np.argmax(bad)), bad.shape)
            return tuple(map(int, where)) if a.ndim == 0 else (int(where[0]) + start, *map(int, where[1:]))
    return None


def inside(name: str, a: Array, low: float, high: float, expected: str, size: bool = False) -> None:
    """Refuse entries (`size`: absolute values) outside [low, high]."""
    at = first_outside(a, low, high, size)
    if at is not None:
        refuse(ValueError, name, expected, a[at], at)


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


# ---- sequences ------------------------------------------------------------------------------------------------------


def frames(name: str, value: Any, time_major: bool) -> Array:
    """Rows of at least one class for each frame of each sample."""
    a = array(name, value)
    layout = "(T, N, C)" if time_major else "(N, T, C)"
    if a.ndim != 3:
        refuse(ValueError, name, f"three dimensions, {layout}", f"shape {a.shape}")
    if a.shape[2] == 0 or a.shape[2] >= 2**31:
        refuse(ValueError, name, f"at least one class (and fewer than 2**31), {layout}", f"shape {a.shape}")
    return a


def lengths(
    name: str, value: Any, samples: int, most: int, of: str, left_out: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.int64]:
    """A private copy of one length in [0, most] per sample; None: all are `most`. That of a sample left out is 0."""
    if value is None:
        full = np.full(samples, most, np.int64)
        if left_out is not None:
            full[left_out] = 0
        return full
    a = array(name, value)
    if a.dtype.kind not in "iu" and not (a.size == 0 and a.shape == (samples,)):
        refuse(TypeError, name, f"integers of shape ({samples},)", f"{a.dtype} of shape {a.shape}")
    if a.shape != (samples,):
        refuse(ValueError, name, f"shape ({samples},), a length for each sample", f"shape {a.shape}")
    own = np.array(a)
    if left_out is not None:
        own[left_out] = 0
    bad = (own < 0) | (own > most)
    if bad.any():
        n = int(np.argmax(bad))
        refuse(ValueError, name, f"lengths in [0, {most}], {of}", f"{own[n]} for sample {n}")
    return own.astype(np.int64)


def label_sequences(
    name: str,
    value: Any,
    lengths_name: str,
    given: Any,
    samples: int,
    classes: int,
    blank: int,
    left_out: npt.NDArray[np.bool_] | None = None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The labels of all samples, one after another, and how many each has: private copies, all in [0, classes), none the blank.

    They come as rows of (N, S), of which lengths say how many count, or as one vector, which needs lengths. A sample left out
    has none.
    """
    a = array(name, value)
    if a.dtype.kind not in "iub" and a.size:
        refuse(TypeError, name, "integer class indices", f"{a.dtype} of shape {a.shape}")
    if a.ndim == 2:
        if len(a) != samples:
            refuse(ValueError, name, f"labels of {samples} samples, ({samples}, S)", f"shape {a.shape}")
        counts = lengths(lengths_name, given, samples, a.shape[1], f"the columns of {name}", left_out)
        flat = a[np.arange(a.shape[1]) < counts[:, None]]
    elif a.ndim == 1:
        if given is None:
            refuse(ValueError, lengths_name, f"the lengths of the sequences that {name} of one dimension joins", "None")
        counts = lengths(lengths_name, given, samples, 2**63 - 1, f"the labels of {name}")
        if counts.max(initial=0) > a.size or counts.sum() != a.size:  # the first keeps the second from overflowing
            refuse(ValueError, lengths_name, f"lengths that add up to {a.size}, the labels of {name}", sum(counts.tolist()))
        flat = np.array(a)
        if left_out is not None:
            flat = flat[np.repeat(~left_out, counts)]
            counts[left_out] = 0
    else:
        refuse(ValueError, name, "labels (N, S), or those of all samples joined in one dimension", f"shape {a.shape}")
    bad = (flat < 0) | (flat >= classes) | (flat == blank)
    if bad.any():
        at = int(np.argmax(bad))
        n = int(np.searchsorted(np.cumsum(counts), at, side="right"))
        where = f"{flat[at]} for sample {n}, its label {at - int(counts[:n].sum())}"
        if flat[at] == blank:
            refuse(ValueError, name, f"labels other than the blank, {blank}", where)
        refuse(IndexError, name, f"class indices in [0, {classes})", where)
    return flat.astype(np.int32), counts


# ---- options --------------------------------------------------------------------------------------------------------


def number(name: str, value: Any, expected: str) -> float:
    """A finite real number as a float."""
    if type(value) is float:
        x = value
    else:
        if isinstance(value, (bool, np.bool_)) or not (
            isinstance(value, (int, float, np.integer, np.floating))
            or (isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf")
        ):
            refuse(TypeError, name, expected, repr(value))
        try:
            x = float(value)
        except OverflowError:
            refuse(ValueError, name, expected, "an integer too large for a float")
    if not math.isfinite(x):
        refuse(ValueError, name, expected, x)
    return x


def positive(name: str, value: Any) -> float:
    x = number(name, value, "a number > 0")
    if not x > 0:
        refuse(ValueError, name, "a number > 0", x)
    return x


def at_least_zero(name: str, value: Any) -> float:
    x = number(name, value, "a number >= 0")
    if not x >= 0:
        refuse(ValueError, name, "a number >= 0", x)
    return x


def between(name: str, value: Any, low: float, high: float) -> float:
    """A number in [low, high]."""
    expected = f"a number in [{low:g}, {high:g}]"
    x = number(name, value, expected)
    if not low <= x <= high:
        refuse(ValueError, name, expected, x)
    return x


def within(name: str, value: Any, low: float, high: float) -> float:
    """A number in (low, high)."""
    expected = f"a number in ({low:g}, {high:g})"
    x = number(name, value, expected)
    if not low < x < high:
        refuse(ValueError, name, expected, x)
    return x


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        refuse(TypeError, name, "True or False", repr(value))
    return bool(value)


def integer(name: str, value: Any) -> int:
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        refuse(TypeError, name, "an integer", repr(value))
    try:
        return int(value.__index__())
    except TypeError:
        refuse(TypeError, name, "an integer", repr(value))


def ignored_label(value: Any) -> int | None:
    """ignore_index: any integer that an int64 holds, or None."""
    if value is None:
        return None
    x = integer("ignore_index", value)
    if not -(2**63) <= x < 2**63 - 1:
        refuse(ValueError, "ignore_index", "an integer in [-2**63, 2**63 - 1), or None", x)
    return x


def one_of(name: str, value: Any, choices: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        refuse(ValueError, name, f"one of {', '.join(map(repr, choices))}", repr(value))
    return value

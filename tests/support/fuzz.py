"""Random calls of everything, most of them wrong: each gives what is documented or a named error, and memory stays whole.

    python tests/support/fuzz.py --seconds 120 --seed 7          # CONTRIBUTING.md has the line for AddressSanitizer
    python tests/support/fuzz.py --seed 7 --only 1234 --trace    # call 1234 of that run again
    python tests/support/fuzz.py --calls 200000 --names ctc ctc_align ctc_posteriors

Call i of seed s is always the same. What is asserted: a result has the documented type, shape and dtype; an error is a
ValueError, TypeError or IndexError that names the loss; inputs, and all memory around them and around `out`, are as they were;
after an error so is `out`. Memory errors proper are for AddressSanitizer to find.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import fastloss as fl

try:
    from ml_dtypes import bfloat16
except ModuleNotFoundError:
    bfloat16 = None

METHODS = ("__call__", "grad", "value_and_grad", "hess", "grad_and_hess", "terms")
FLOATS = ("float32", "float64", "float16", *(() if bfloat16 is None else (bfloat16,)))
DTYPES = (*FLOATS, "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", ">f4", ">f8", ">i4")
STRANGE = ("complex64", "object", "longdouble", "U3", "M8[s]", [("a", "f4")])
NUMBERS = (
    0,
    1,
    -1,
    0.5,
    2.0,
    -100,
    3,
    1e-3,
    1e300,
    -0.0,
    float("nan"),
    float("inf"),
    -float("inf"),
    2**40,
    2**70,
    10**400,
    5e-324,
)
LABELS = (-1, 7, 6, -100, 255, 2**31, 2**40, -(2**62), -(2**63))
SIZES = (1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 65, 130)
GUARD = 64  # bytes of known content on both sides of an array


class Finding(AssertionError):
    """A call that broke a promise."""


# -- Arrays that know their surroundings -------------------------------------------------------------


@dataclass
class Memory:
    """All the buffers of a call, and what was in them."""

    buffers: list[np.ndarray] = field(default_factory=list)
    before: list[bytes] = field(default_factory=list)

    def guarded(self, a: np.ndarray, offset: int = 0) -> np.ndarray:
        """A copy in the middle of a larger buffer, `offset` bytes out of line."""
        a = np.asarray(a)
        if a.dtype.hasobject:
            return a
        buffer = np.full(a.nbytes + 2 * GUARD + offset, 0xA5, np.uint8)
        inner = buffer[GUARD + offset : GUARD + offset + a.nbytes]
        inner[:] = np.frombuffer(np.ascontiguousarray(a).tobytes(), np.uint8)
        self.buffers.append(buffer)
        return inner.view(a.dtype).reshape(a.shape) if a.size else np.empty(a.shape, a.dtype)

    def remember(self) -> None:
        """What the buffers hold now."""
        self.before = [buffer.tobytes() for buffer in self.buffers]

    def check(self, written: Any) -> None:
        """Every byte that does not belong to the arrays of `written` is as it was."""
        for buffer, before in zip(self.buffers, self.before, strict=True):
            now, then = buffer, np.frombuffer(before, np.uint8)
            changed = now != then
            for out in written:
                changed[_bytes_of(out, buffer)] = False
            if changed.any():
                raise Finding(f"{int(changed.sum())} bytes were changed that belong to the caller")


def _bytes_of(a: np.ndarray, buffer: np.ndarray) -> np.ndarray:
    """Which bytes of a buffer belong to an array."""
    start = a.__array_interface__["data"][0] - buffer.__array_interface__["data"][0]
    offsets = np.full(a.shape, start, np.int64)
    for axis, (n, stride) in enumerate(zip(a.shape, a.strides, strict=True)):
        offsets += (np.arange(n) * stride).reshape((n,) + (1,) * (a.ndim - axis - 1))
    each = (offsets.reshape(-1, 1) + np.arange(a.itemsize)).ravel()
    return each[(each >= 0) & (each < buffer.size)]


# -- Drawing a call ------------------------------------------------------------------------------------


@dataclass
class Call:
    """A function, its arguments, and where its results go."""

    name: str
    method: str
    function: Callable[..., Any]
    args: list[Any]
    kwargs: dict[str, Any]
    loss: fl.Loss | None
    memory: Memory
    threads: int

    def __str__(self) -> str:
        shown = [_shown(a) for a in self.args] + [f"{k}={_shown(v)}" for k, v in self.kwargs.items()]
        return f"{self.name}.{self.method}({', '.join(shown)}) on {self.threads} threads"


def _shown(a: Any) -> str:
    if isinstance(a, np.ndarray):
        return f"<{a.dtype} {a.shape} strides {a.strides}{'' if a.flags.writeable else ' read-only'}>"
    if isinstance(a, tuple):
        return f"({', '.join(map(_shown, a))},)"
    return repr(a)[:80]


def functions() -> dict[str, Callable[..., Any]]:
    """The public functions that take arrays and are no losses."""
    public = {name: getattr(fl, name) for name in fl.__all__}
    modules = {loss.__module__ for loss in fl.LOSSES.values()} | {"fastloss.functional"}
    return {name: f for name, f in public.items() if inspect.isfunction(f) and f.__module__ in modules}


SUBJECTS: list[tuple[str, Any]] = [*fl.LOSSES.items(), *functions().items()]
Names = tuple[str, ...] | None  # what is called; None is everything


def draw(seed: int, index: int, names: Names = None) -> Call:
    """The call of this seed and index."""
    rng = np.random.default_rng([seed, index])
    subjects = [s for s in SUBJECTS if names is None or s[0] in names]
    name, subject = subjects[rng.integers(len(subjects))]
    memory = Memory()
    loss = subject if isinstance(subject, fl.Loss) else None
    size = int(rng.choice(SIZES)) if rng.random() < 0.98 else 5000
    dtype = "float64" if rng.random() < 0.5 else "float32"
    args, kwargs = _valid(rng, subject, dtype, size)
    rate = rng.choice([0.0, 0.1, 0.3, 0.6])  # how wrong the call is
    args = [spoil(rng, a, memory, rate) for a in args]
    kwargs = {k: spoil(rng, v, memory, rate) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
    options = loss.options if loss is not None else _keywords(subject)
    for option, default in options.items():
        if rng.random() < rate:
            kwargs[option] = _option(rng, option, default, args, memory)
    method = "__call__"
    if loss is not None:
        method = str(rng.choice(METHODS))
        if rng.random() < 0.3 + rate / 2:
            kwargs["sample_weight"] = _weight(rng, args[0], memory)
        if method != "terms" and rng.random() < 0.7:
            kwargs["reduction"] = str(rng.choice(["none", "sum", "mean"])) if rng.random() < 0.97 else "average"
    takes_out = method in ("grad", "value_and_grad") or (loss is None and "out" in options)
    if takes_out and rng.random() < 0.5:
        wrt = [args[loss.arrays.index(n)] for n in loss.wrt] if loss is not None else args[:1]
        outs = tuple(_out(rng, a, memory) for a in wrt)
        kwargs["out"] = outs if len(outs) > 1 or rng.random() < 0.1 else outs[0]
    elif loss is None:
        kwargs.pop("out", None)
    if rng.random() < 0.02 * (rate > 0):
        args = args[:-1] if rng.random() < 0.5 else [*args, args[0]]
    memory.remember()
    return Call(name, method, getattr(subject, method), args, kwargs, loss, memory, int(rng.choice([1, 2, 3, 7])))


def _valid(rng: np.random.Generator, subject: Any, dtype: str, size: int) -> tuple[list[Any], dict[str, Any]]:
    """Arguments that are right."""
    if "targets" in inspect.signature(subject).parameters:
        return _sequences(rng, dtype, min(size, 200))
    if isinstance(subject, fl.Loss) and subject.regions and rng.random() < 0.8:
        return _volumes(rng, subject, dtype, min(size, 9))
    if isinstance(subject, fl.Loss):
        args, kwargs = subject.sample(rng, dtype, size)
        return list(args), dict(kwargs)
    x = (rng.normal(size=(size, 7)) * 3).astype(dtype)
    wanted = [p for p in inspect.signature(subject).parameters.values() if p.default is p.empty]
    return [x, rng.integers(0, 7, size)][: len(wanted)], {}


def _sequences(rng: np.random.Generator, dtype: str, size: int) -> tuple[list[Any], dict[str, Any]]:
    """Frames and labels, of all lengths or of one, padded or one after another; not every sample need be feasible."""
    frames, labels, classes = (int(rng.integers(*between)) for between in ((0, 40), (0, 13), (1, 30)))
    blank = int(rng.integers(classes))
    x = (rng.choice([0.1, 3.0, 1000.0]) * rng.normal(size=(size, frames, classes))).astype(dtype)
    y = (blank + rng.integers(1, max(2, classes), (size, labels))) % classes
    if classes == 1:
        y = y[:, :0]
    lengths = rng.integers(0, y.shape[1] + 1, size)
    kwargs: dict[str, Any] = {"blank": blank}
    if rng.random() < 0.5:
        kwargs["input_lengths"] = rng.integers(0, frames + 1, size)
    if rng.random() < 0.3:
        kwargs["target_lengths"] = lengths
    elif rng.random() < 0.5:
        y, kwargs["target_lengths"] = np.concatenate([row[:n] for row, n in zip(y, lengths, strict=True)]), lengths
    if rng.random() < 0.3:
        x, kwargs["time_major"] = np.ascontiguousarray(x.swapaxes(0, 1)), True
    return [x, y], kwargs


def _volumes(rng: np.random.Generator, loss: fl.Loss, dtype: str, size: int) -> tuple[list[Any], dict[str, Any]]:
    """Items of any number of classes, wherever their axis is (or of none), and label maps, masks or probabilities."""
    classes, axes = int(rng.choice([1, 2, 3, 4, 5, 21, 70])), int(rng.integers(1, 4))
    space = tuple(int(n) for n in rng.choice([0, 1, 2, 5, 7, 16, 33], axes, p=[0.02, 0.08, 0.2, 0.2, 0.2, 0.2, 0.1]))
    y = rng.integers(0, classes, (size, *space))
    x = rng.choice([0.1, 3.0, 200.0]) * rng.normal(size=(size, classes, *space))
    masks = (y[:, None] == np.arange(classes).reshape(-1, *(1,) * axes)).astype(np.uint8)
    axis = None if rng.random() < 0.1 else int(rng.integers(-axes - 2, axes + 2))
    activation = str(rng.choice(["softmax", "sigmoid"] if axis is not None else ["sigmoid"]))
    kwargs: dict[str, Any] = {"axis": axis, "activation": activation}
    if "ignore_index" in loss.options and rng.random() < 0.3:
        kwargs["ignore_index"] = int(rng.choice([0, 1, 255]))
    if rng.random() < 0.2 and loss.name != "dice_cross_entropy":
        x, kwargs["activation"] = np.exp(-np.logaddexp(0, -x)), None
    if axis is None:
        return [x[:, 0].astype(dtype), masks[:, 0]], kwargs
    x, masks = np.moveaxis(x, 1, axis), np.moveaxis(masks, 1, axis)
    target = (y, masks, masks * rng.random(masks.shape))[rng.choice(3, p=[0.6, 0.25, 0.15])]
    return [np.ascontiguousarray(x).astype(dtype), np.ascontiguousarray(target)], kwargs


def _keywords(function: Callable[..., Any]) -> dict[str, Any]:
    return {p.name: p.default for p in inspect.signature(function).parameters.values() if p.default is not p.empty}


def spoil(rng: np.random.Generator, a: Any, memory: Memory, rate: float) -> Any:
    """An array, changed in as many ways as chance has it."""
    a = np.array(a)
    if rng.random() < rate and a.size:
        a = _content(rng, a)
    if rng.random() < rate:
        pool = DTYPES if rng.random() < 0.9 else STRANGE
        with np.errstate(all="ignore"), contextlib.suppress(TypeError, ValueError, OverflowError):
            a = a.astype(pool[rng.integers(len(pool))])
    if rng.random() < rate / 2:
        a = _shape(rng, a)
    if rng.random() < rate / 8:
        return [None, 1.5, True, "text", a.tolist(), object(), np.ma.masked_array(a)][rng.integers(7)]
    offset = int(rng.integers(1, 8)) if rng.random() < 0.3 else 0  # misaligned: it is promised to work for every array
    a = memory.guarded(a, offset)
    if rng.random() < rate:
        a = _layout(rng, a, memory, offset)
    if rng.random() < rate / 2:
        a = a.view()
        a.flags.writeable = False
    return a


def _content(rng: np.random.Generator, a: np.ndarray) -> np.ndarray:
    """Some entries replaced."""
    flat = a.reshape(-1)
    for _ in range(int(rng.integers(1, 4))):
        at = rng.integers(flat.size)
        pool = LABELS if a.dtype.kind in "iu" else NUMBERS
        with np.errstate(all="ignore"):
            try:
                flat[at] = pool[rng.integers(len(pool))]
            except (OverflowError, ValueError):
                continue
    if rng.random() < 0.1:
        flat[:] = flat[0]
    return a


def _shape(rng: np.random.Generator, a: np.ndarray) -> np.ndarray:
    """Another shape of the same or of fewer entries."""
    kind = rng.integers(9)
    if a.ndim == 0:
        return a.reshape((1,) * int(rng.integers(0, 3)))
    if kind == 0:
        return a[:0]
    if kind == 1:
        return a[..., None]
    if kind == 2:
        return a[None]
    if kind == 3:
        return a.reshape(-1)
    if kind == 4:
        return a[:-1]
    if kind == 5 and a.size:
        return a.reshape(-1)[0:1].reshape(())
    if kind == 6:
        return a[..., :0]
    if kind == 7:
        return a.T
    return a.reshape(*a.shape, *(1,) * int(rng.integers(0, max(1, 33 - a.ndim))))  # NumPy 1 allows 32 axes


def _layout(rng: np.random.Generator, a: np.ndarray, memory: Memory, offset: int) -> np.ndarray:
    """The same numbers, otherwise laid out."""
    kind = rng.integers(6)
    if a.ndim == 0 or a.dtype.hasobject:
        return a
    if kind == 0:
        return memory.guarded(a[::-1], offset)[::-1]
    if kind == 1:
        return memory.guarded(np.repeat(a, 2, axis=-1), offset)[..., ::2]
    if kind == 2:
        return memory.guarded(np.repeat(a, 3, axis=0), offset)[::3]
    if kind == 3:
        return memory.guarded(np.ascontiguousarray(a.T), offset).T
    if kind == 4 and len(a):
        return np.broadcast_to(memory.guarded(a[:1], offset), a.shape)
    return memory.guarded(a[..., ::-1], offset)[..., ::-1]


def _option(rng: np.random.Generator, name: str, default: Any, args: list[Any], memory: Memory) -> Any:
    """A value for an option: often one that might do."""
    if name == "axis" and rng.random() < 0.9:
        return int(rng.integers(-4, 4))
    if isinstance(default, bool) and rng.random() < 0.8:
        return bool(rng.random() < 0.5)
    if name == "blank" and rng.random() < 0.8:
        return int(rng.integers(-1, 9))
    if name == "activation" and rng.random() < 0.9:
        return [None, "softmax", "sigmoid"][rng.integers(3)]
    if name == "length_normalize" and rng.random() < 0.8:
        return [None, "target", "input"][rng.integers(3)]
    if name in ("input_lengths", "target_lengths") and rng.random() < 0.8:
        return spoil(rng, rng.integers(-1, 9, np.shape(args[0])[:1] if isinstance(args[0], np.ndarray) else 3), memory, 0.2)
    chance = rng.random()
    if chance < 0.4:
        return NUMBERS[rng.integers(len(NUMBERS))]
    if chance < 0.5:
        return default
    if chance < 0.6:
        return [None, "none", True, "text", [], {}, 1j, np.float32(0.5), np.array(1.0), np.array("x")][rng.integers(10)]
    if chance < 0.8:
        return spoil(rng, rng.uniform(0.1, 2, 7), memory, 0.3)
    shape = np.shape(args[0]) if not isinstance(args[0], (str, type(None))) else ()
    return spoil(rng, rng.uniform(0.1, 2, shape), memory, 0.2)


def _weight(rng: np.random.Generator, x: Any, memory: Memory) -> Any:
    """Weights that fit, or not."""
    shape = np.shape(x) if isinstance(x, np.ndarray) else ()
    shape = shape[: int(rng.integers(0, len(shape) + 1))]
    w = rng.uniform(0, 3, shape)
    if w.size and rng.random() < 0.2:
        w.reshape(-1)[rng.integers(w.size)] = [-1.0, np.nan, np.inf, 0.0][rng.integers(4)]
    return spoil(rng, w, memory, 0.2)


def _out(rng: np.random.Generator, x: Any, memory: Memory) -> Any:
    """A buffer for a gradient: right, or the input itself, or overlapping, or something else."""
    kind = rng.integers(8)
    if not isinstance(x, np.ndarray) or x.dtype.hasobject:
        return np.zeros(3)
    if kind <= 2:
        right = np.float64 if x.dtype.kind in "iub" else x.dtype.newbyteorder("=")
        try:
            return memory.guarded(np.zeros(x.shape, right), int(rng.integers(0, 2)))
        except TypeError:
            return None
    if kind == 3:
        return x
    if kind == 4 and x.ndim and len(x) > 1:
        big = memory.guarded(np.zeros((len(x) + 1, *x.shape[1:]), x.dtype))
        return big[1:]
    if kind == 5 and x.ndim and x.flags.writeable:
        return x[::-1]
    if kind == 6:
        return memory.guarded(np.zeros(x.shape, "float32" if rng.random() < 0.5 else "int64"))
    return [np.broadcast_to(np.zeros(()), x.shape), x[..., None], [0.0], np.zeros((*x.shape, 2))[..., 0]][rng.integers(4)]


# -- Judging it ----------------------------------------------------------------------------------------


def run(call: Call) -> str:
    """Make the call and judge what comes of it; its outcome in a word."""
    outs = call.kwargs.get("out")
    outs = [o for o in (outs if isinstance(outs, tuple) else (outs,)) if isinstance(o, np.ndarray)]
    try:
        with fl.num_threads(call.threads), np.errstate(all="ignore"):
            got = call.function(*call.args, **call.kwargs)
    except (ValueError, TypeError, IndexError) as error:
        if call.name not in str(error):
            raise Finding(f"{type(error).__name__} does not name {call.name}: {error}") from error
        call.memory.check([])
        return type(error).__name__
    except MemoryError:
        raise
    except Exception as error:
        raise Finding(f"{type(error).__name__} instead of an error that is documented: {error}") from error
    call.memory.check(outs)
    if call.loss is None:
        _judge_function(call, got, outs)
    else:
        _judge_loss(call, call.loss, got, outs)
    return "result"


def _judge_function(call: Call, got: Any, outs: list[np.ndarray]) -> None:
    if isinstance(got, float):
        return
    if isinstance(got, tuple):
        paths, scores = got  # of an alignment
        _expect(isinstance(paths, np.ndarray) and paths.dtype.kind == "i" and paths.ndim == 2, "paths", paths)
        _expect(isinstance(scores, np.ndarray) and scores.shape == paths.shape[:1], "a score for each path", scores)
        return
    _expect(
        isinstance(got, np.ndarray) and got.dtype in (np.float32, np.float64, np.float16, bfloat16), "a float or an array", got
    )
    if outs:
        _expect(got is outs[0], "the array given as out", got)


def _judge_loss(call: Call, loss: fl.Loss, got: Any, outs: list[np.ndarray]) -> None:
    parts = {
        "__call__": ["value"], "grad": ["grad"], "value_and_grad": ["value", "grad"], "hess": ["hess"],
        "grad_and_hess": ["grad", "hess"], "terms": ["terms"],
    }[call.method]  # fmt: skip
    if call.method == "terms":
        numerator, denominator = got
        _expect(numerator.dtype == denominator.dtype == np.float64, "float64 terms", numerator.dtype)
        _expect(numerator.shape == denominator.shape, "terms of one shape", denominator.shape)
        return
    for part, result in zip(parts, got if len(parts) > 1 else (got,), strict=True):
        if part == "value":
            _judge_value(call, loss, result)
            continue
        arrays = [np.asarray(call.args[loss.arrays.index(name)]) for name in loss.wrt]
        results = result if isinstance(result, tuple) else (result,)
        _expect(len(results) == len(arrays), f"{len(arrays)} derivatives", results)
        for i, (a, d) in enumerate(zip(arrays, results, strict=True)):
            _expect(isinstance(d, np.ndarray) and d.shape == a.shape, f"shape {a.shape}", getattr(d, "shape", d))
            dtype = np.float64 if a.dtype.kind in "iub" else a.dtype.newbyteorder("=")
            _expect(d.dtype == dtype, f"dtype {dtype}", d.dtype)
            if part == "grad" and outs:
                _expect(d is outs[i], "the array given as out", d)


def _judge_value(call: Call, loss: fl.Loss, value: Any) -> None:
    if call.kwargs.get("reduction", "mean") != "none":
        _expect(type(value) is float, "a float", type(value))
        return
    _expect(isinstance(value, np.ndarray) and value.dtype in (np.float32, np.float64), "an array of float32 or float64", value)
    if loss.family == "sequence":
        _expect(value.shape == (np.shape(call.args[0])[bool(call.kwargs.get("time_major"))],), "a value for each sample", value)
    if loss.pointwise:
        shapes = [np.shape(a) for a in call.args]
        _expect(value.shape == max(shapes, key=len), f"one of the shapes {shapes}", value.shape)


def _expect(true: bool, expected: str, got: Any) -> None:
    if not true:
        raise Finding(f"expected {expected}, got {_shown(got)}")


def fuzz(
    seed: int,
    *,
    calls: int | None = None,
    seconds: float | None = None,
    start: int = 0,
    trace: bool = False,
    names: Names = None,
) -> Counter[str]:
    """Many calls; how many had which outcome. Raises Finding at the first that breaks a promise."""
    outcomes: Counter[str] = Counter()
    until = None if seconds is None else time.monotonic() + seconds
    for index in itertools.count(start):
        if (calls is not None and index >= start + calls) or (until is not None and time.monotonic() >= until):
            break
        call = draw(seed, index, names)
        if trace:
            print(f"seed {seed}, call {index}: {call}", file=sys.stderr, flush=True)
        try:
            outcomes[run(call)] += 1
        except Finding as finding:
            raise Finding(f"seed {seed}, call {index}: {call}: {finding}") from finding
    return outcomes


def fuzz_in_threads(seed: int, workers: int, **limits: Any) -> Counter[str]:
    """The same from several Python threads at once, each with calls of its own."""
    with ThreadPoolExecutor(workers) as pool:
        parts = list(pool.map(lambda worker: fuzz(seed + 1000 * worker, **limits), range(workers)))
    return sum(parts, Counter())


def main() -> None:
    """Fuzz for some time and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--calls", type=int, help="so many calls instead, however long they take")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="only these losses and functions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="Python threads that call at once")
    parser.add_argument("--only", type=int, help="this call alone")
    parser.add_argument("--trace", action="store_true", help="print each call before it is made")
    options = parser.parse_args()
    limits: dict[str, Any] = {"seconds": options.seconds} if options.calls is None else {"calls": options.calls}
    limits |= {"trace": options.trace, "names": None if options.names is None else tuple(options.names)}
    if options.only is not None:
        outcomes = fuzz(options.seed, **limits | {"calls": 1, "start": options.only})
    elif options.workers > 1:
        outcomes = fuzz_in_threads(options.seed, options.workers, **limits)
    else:
        outcomes = fuzz(options.seed, **limits)
    print(f"{outcomes.total()} calls, no finding: {dict(outcomes.most_common())}")


if __name__ == "__main__":
    main()

"""Where chunks come from: arrays, numbers, iterables of chunks. `_npy` has the sources of files.

A source is cut along one axis into rows [start, stop). May import NumPy, the standard library and what makes arrays of things.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastloss._check import NO_MASK, converted

from ._pages import Pages

Array = NDArray[Any]


class Source:
    """One named input. `along` must be called once before rows are read."""

    name: str
    ndim: int
    shape: tuple[int, ...] = ()  # of all rows, or of the first chunk of an iterable
    itemsize: int = 0
    rows: int | None = None  # along the chosen axis; None if only the end will tell
    streamed = False  # whether rows can be read but once, in order
    paths: tuple[str, ...] = ()  # the files behind it

    def along(self, axis: int | None) -> Source:
        """The source to read, cut along `axis`; with None, or 0-d, every chunk gets all of it."""
        raise NotImplementedError

    def row_bytes(self) -> int:
        """Bytes that one row takes in memory."""
        raise NotImplementedError

    def read(self, start: int, stop: int) -> Array:
        """Rows [start, stop), in native byte order, aligned."""
        raise NotImplementedError

    def release(self, start: int, stop: int) -> None:
        """Rows [start, stop) will not be wanted again."""

    def expect(self, start: int, stop: int) -> None:
        """Rows [start, stop) will be wanted next."""

    def part(self, start: int, stop: int) -> Any:
        """What `open_source` opens in another process to read the same rows at the same places."""
        raise NotImplementedError

    def fingerprint(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to continue."""
        raise TypeError(f"{self.name}: expected arrays or files with a checkpoint, got an iterable")


@dataclass(frozen=True)
class Part:
    """Rows from `start` on, cut out for a job in another process."""

    array: Array
    start: int


@dataclass(frozen=True)
class Mapped:
    """An array inside a file, for any process that sees the file."""

    path: str
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool

    @classmethod
    def of(cls, array: Array, dtype: np.dtype[Any]) -> Mapped | None:
        """What `array` maps, read as `dtype`; None unless it maps a whole array, read-only."""
        base: Any = array.base
        if not isinstance(array, np.memmap) or not isinstance(base, mmap.mmap):
            return None
        if array.mode != "r" or array.filename is None:
            return None
        path, fortran = os.path.abspath(array.filename), not array.flags.c_contiguous
        return cls(path, array.offset, array.shape, dtype, fortran)

    def open(self) -> Array:
        """The array as a memory map."""
        if 0 in self.shape:  # nothing to map
            return np.empty(self.shape, self.dtype)
        order = "F" if self.fortran else "C"
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape, order)  # type: ignore[call-overload,no-any-return]

    def gather(self, axis: int, start: int, stop: int) -> Array:
        """A copy of [start, stop) along an axis whose pieces lie far apart in the file.

        Touching such pieces through the map would make many times their size resident: the kernel
        maps the pages around each as well.
        """
        shape = self.shape[::-1] if self.fortran else self.shape
        at = len(shape) - 1 - axis if self.fortran else axis
        inner = math.prod(shape[at + 1 :]) * self.dtype.itemsize
        pieces = np.empty((math.prod(shape[:at]), (stop - start) * inner), np.uint8)
        with open(self.path, "rb", buffering=0) as file:
            for i, piece in enumerate(pieces):
                file.seek(self.offset + (i * shape[at] + start) * inner)
                if file.readinto(piece.data) != piece.size:
                    raise ValueError(f"{self.path}: expected {piece.size} bytes, got fewer")
        array = pieces.view(self.dtype).reshape(*shape[:at], stop - start, *shape[at + 1 :])
        return array.T if self.fortran else array


class ArraySource(Source):
    """Any array in memory or mapped from a file: rows are views, and used pages are given back."""

    def __init__(self, name: str, array: Array, *, first: int = 0, view: np.dtype[Any] | None = None) -> None:
        self.name, self.array = name, array if view is None else viewed(name, array, view)
        refuse_records(name, self.array.dtype)
        self.ndim, self.shape, self.itemsize = array.ndim, array.shape, array.itemsize
        self._first = first
        self._axis: int | None = None
        self.file: Any = None  # a temporary file that lives as long as this source
        self._plain = np.asarray(self.array)  # cut more quickly than a memmap
        self._pages = Pages.of(array)
        self._mapped = Mapped.of(array, self.array.dtype)
        filename = array.filename if isinstance(array, np.memmap) else None
        self.paths = (os.fspath(filename),) if filename is not None else ()

    def along(self, axis: int | None) -> Source:
        self._axis = axis if self.ndim else None
        self.rows = None if self._axis is None else self._first + self.array.shape[self._axis]
        return self

    def row_bytes(self) -> int:
        if self._axis is None:
            return 0
        size = int(self.array.nbytes) // max(self.shape[self._axis], 1)
        return size if is_plain(self.array) else 2 * size

    def read(self, start: int, stop: int) -> Array:
        rows = self._cut(start, stop)
        if self._mapped is not None and self._axis is not None and rows.size:
            contiguous = rows.flags.c_contiguous or rows.flags.f_contiguous
            if not contiguous and rows.nbytes < self.array.nbytes:
                return plain(self._mapped.gather(self._axis, start, stop))
        return plain(rows)

    def _cut(self, start: int, stop: int) -> Array:
        """Rows [start, stop) as a view."""
        if self._axis is None:
            return self._plain
        rows: Array = self._plain[(slice(None),) * self._axis + (slice(start - self._first, stop - self._first),)]
        return rows

    def release(self, start: int, stop: int) -> None:
        rows = self._cut(start, stop)
        if self._pages is not None and self._axis is not None and rows.size:
            self._pages.drop(rows)

    def expect(self, start: int, stop: int) -> None:
        rows = self._cut(start, stop)
        # Of rows in pieces the bounds are almost the whole file.
        if self._pages is not None and rows.size and rows.flags.c_contiguous:
            self._pages.fetch(rows)

    def part(self, start: int, stop: int) -> Any:
        if self._mapped is not None:
            return self._mapped
        return Part(self._cut(start, stop), start)

    def fingerprint(self) -> dict[str, Any]:
        files = [(stat.st_size, stat.st_mtime_ns) for stat in map(os.stat, self.paths)]
        known = {"shape": list(self.array.shape), "dtype": self.array.dtype.str}
        return known | {"files": [list(pair) for pair in files]}


class ScalarSource(Source):
    """A Python number, which leaves the choice of the data type to the arrays."""

    ndim = 0

    def __init__(self, name: str, value: float) -> None:
        self.name, self._value = name, value

    def along(self, axis: int | None) -> Source:
        return self

    def row_bytes(self) -> int:
        return 0

    def read(self, start: int, stop: int) -> Any:
        return self._value

    def part(self, start: int, stop: int) -> Any:
        return self._value

    def fingerprint(self) -> dict[str, Any]:
        return {"value": self._value}


class ChunkSource(Source):
    """An iterable of arrays; its chunks' lengths decide where every other source is cut."""

    streamed = True

    def __init__(self, name: str, chunks: Iterable[Any], view: np.dtype[Any] | None) -> None:
        self.name, self._view = name, view
        self._axis = 0
        self._chunks = iter(chunks)
        self._ahead: list[Array] = []
        first = self.peek()
        self.ndim, self.shape = (0, ()) if first is None else (first.ndim, first.shape)

    def along(self, axis: int | None) -> Source:
        if axis is None:
            raise ValueError(f"{self.name}: expected chunks of rows, got chunks of one row each")
        self._axis = axis
        return self

    def row_bytes(self) -> int:
        return 0  # the caller has already made the chunk

    def peek(self) -> Array | None:
        """The next chunk, left in place; None at the end."""
        if not self._ahead:
            for chunk in self._chunks:
                array = as_array(self.name, chunk)
                refuse_records(self.name, array.dtype, self._view)
                if array.ndim == 0:
                    raise ValueError(f"{self.name}: expected chunks of rows, got a single number")
                self._ahead.append(viewed(self.name, array, self._view or array.dtype))
                break
        return self._ahead[0] if self._ahead else None

    def upcoming(self) -> int | None:
        """How many rows the next chunk has; None at the end."""
        chunk = self.peek()
        return None if chunk is None else chunk.shape[self._axis]

    def read(self, start: int, stop: int) -> Array:
        rows = self.upcoming()
        if rows != stop - start:
            got = "no more chunks" if rows is None else f"a chunk of {rows} rows"
            raise ValueError(f"{self.name}: expected a chunk of {stop - start} rows at row {start}, got {got}")
        return plain(self._ahead.pop())


def dtype_of(name: str, dtype: str) -> np.dtype[Any]:
    if dtype == "bfloat16":
        try:
            import ml_dtypes
        except ModuleNotFoundError:
            raise ModuleNotFoundError(f"{name}_dtype: bfloat16 needs ml_dtypes: pip install ml_dtypes") from None
        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    try:
        return np.dtype(dtype)
    except TypeError:
        raise ValueError(f"{name}_dtype: expected a data type, got {dtype!r}") from None


def viewed(name: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """The same bytes as another type: bfloat16 comes back from a file as 2 raw bytes."""
    if array.dtype == dtype:
        return array
    if array.dtype.itemsize != dtype.itemsize or array.dtype.hasobject:
        raise ValueError(f"{name}_dtype: expected a type of {array.dtype.itemsize} bytes for {array.dtype}, got {dtype}")
    return array.view(dtype)


def refuse_records(name: str, dtype: np.dtype[Any], view: np.dtype[Any] | None = None) -> None:
    if view is not None:
        return
    if dtype.names is not None:
        raise TypeError(f"{name}: expected numbers, got records with fields {dtype.names}")
    # bfloat16 and its kin of ml_dtypes are of kind V too, but are not void.
    if dtype.type is np.void:
        hint = f"; if it is bfloat16, say {name}_dtype='bfloat16'" if dtype.itemsize == 2 else ""
        raise TypeError(f"{name}: expected numbers, got raw bytes ({dtype}){hint}")


def is_plain(array: Array) -> bool:
    return array.dtype.isnative and array.flags.aligned


def plain(array: Array) -> Array:
    """In native byte order and aligned, copied only if it is not; never a memmap subclass."""
    if not is_plain(array):
        array = array.astype(array.dtype.newbyteorder("="))
    return np.asarray(array)


def as_array(name: str, value: Any) -> Array:
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: expected {NO_MASK[0]}, got {NO_MASK[1]}; {NO_MASK[2]}")
    if isinstance(value, np.ndarray):
        return value
    try:
        return converted(value)
    except (TypeError, ValueError, RuntimeError, BufferError, ModuleNotFoundError) as error:
        raise TypeError(f"{name}: expected an array, got {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

"""Where chunks come from: arrays, memory maps, .npy and .npz files, iterables.

A source is cut along one axis into rows [start, stop). May import NumPy, the standard library and what makes arrays of things.
"""

from __future__ import annotations

import contextlib
import io
import lzma
import math
import mmap
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fastloss._check import NO_MASK, converted

Array = NDArray[Any]
PREFIX = 1 << 16  # more than any header of an array that is not structured
HUGE = 1 << 21  # bytes of a huge page
COPY = 1 << 22  # bytes moved at a time when a compressed array goes to a temporary file
_BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)


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
        self.name, self.array = name, array if view is None else _viewed(name, array, view)
        _refuse_records(name, self.array.dtype)
        self.ndim, self.shape, self.itemsize = array.ndim, array.shape, array.itemsize
        self._first = first
        self._axis: int | None = None
        self.file: Any = None  # a temporary file that lives as long as this source
        self._plain = np.asarray(self.array)  # cut more quickly than a memmap
        self._pages = _Pages.of(array)
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
        return size if _is_plain(self.array) else 2 * size

    def read(self, start: int, stop: int) -> Array:
        rows = self._cut(start, stop)
        if self._mapped is not None and self._axis is not None and rows.size:
            contiguous = rows.flags.c_contiguous or rows.flags.f_contiguous
            if not contiguous and rows.nbytes < self.array.nbytes:
                return _plain(self._mapped.gather(self._axis, start, stop))
        return _plain(rows)

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


class StreamSource(Source):
    """A compressed member of an .npz file: read once, from its first row to its last."""

    streamed = True

    def __init__(self, name: str, path: str, key: str, header: Header, view: np.dtype[Any] | None) -> None:
        self.name, self.paths, self._key, self._header = name, (path,), key, header
        _refuse_records(name, header.dtype, view)
        self._view = header.dtype if view is None else view
        self.ndim, self.shape = len(header.shape), header.shape
        self.itemsize = header.dtype.itemsize
        self._file: IO[bytes] | None = None
        self._next = 0

    def along(self, axis: int | None) -> Source:
        shape = self._header.shape
        if not shape or axis != 0 or (self._header.fortran and len(shape) > 1):
            spilled, array = self._spill()
            source = ArraySource(self.name, array, view=self._view)
            source.paths, source.file = self.paths, spilled
            return source.along(axis)
        self.rows = shape[0]
        return self

    def row_bytes(self) -> int:
        shape, dtype = self._header.shape, self._header.dtype
        return 2 * dtype.itemsize * math.prod(shape[1:])

    def read(self, start: int, stop: int) -> Array:
        itemsize = self._header.dtype.itemsize
        width = itemsize * math.prod(self._header.shape[1:])
        while self._next < start:  # only a resumed run skips rows
            rows = min(start - self._next, max(COPY // max(width, 1), 1))
            self._take(rows * width)
            self._next += rows
        flat = np.frombuffer(self._take((stop - start) * width), self._header.dtype)
        self._next = stop
        array = flat.reshape(stop - start, *self._header.shape[1:])
        return _plain(_viewed(self.name, array, self._view))

    def _take(self, size: int) -> bytearray:
        """The next `size` bytes of the array."""
        with _zip_errors(self.name, self.paths[0]):
            if self._file is None:
                self._file = zipfile.ZipFile(self.paths[0]).open(self._key)  # noqa: SIM115
                self._file.read(self._header.offset)
            data = bytearray()
            while len(data) < size and (more := self._file.read(min(COPY, size - len(data)))):
                data += more
            if len(data) < size:
                raise EOFError(f"the array ends {size - len(data)} bytes early")
            return data

    def _spill(self) -> tuple[Any, Array]:
        """The array in a temporary file: rows across the order of the stream need random access."""
        header = self._header
        spilled = tempfile.NamedTemporaryFile(prefix="fastloss-")  # noqa: SIM115 (kept by the caller)
        left = header.nbytes
        while left:
            size = min(left, COPY)
            spilled.write(self._take(size))
            left -= size
        spilled.flush()
        mapped = Mapped(spilled.name, 0, header.shape, header.dtype, header.fortran)
        return spilled, mapped.open()

    def fingerprint(self) -> dict[str, Any]:
        stat = os.stat(self.paths[0])
        known = {"shape": list(self._header.shape), "dtype": self._header.dtype.str}
        return known | {"files": [[stat.st_size, stat.st_mtime_ns]]}


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
                array = _as_array(self.name, chunk)
                _refuse_records(self.name, array.dtype, self._view)
                if array.ndim == 0:
                    raise ValueError(f"{self.name}: expected chunks of rows, got a single number")
                self._ahead.append(_viewed(self.name, array, self._view or array.dtype))
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
        return _plain(self._ahead.pop())


# -- Opening ---------------------------------------------------------------------------------------


def open_source(name: str, value: Any, dtype: str | None = None) -> Source:
    """The source for what a caller passed as argument `name`; `dtype` names what raw bytes mean."""
    view = None if dtype is None else _dtype_of(name, dtype)
    if isinstance(value, (str, os.PathLike)):
        return _open_path(name, os.fspath(value), view)
    if isinstance(value, Part):
        return ArraySource(name, value.array, first=value.start)
    if isinstance(value, Mapped):
        return ArraySource(name, value.open())
    if type(value) not in (bool, int, float) and _is_chunks(value):
        return ChunkSource(name, value, view)
    return open_array(name, value, view)


def open_array(name: str, value: Any, view: np.dtype[Any] | None = None) -> Source:
    """The source for an array or a number."""
    if type(value) in (bool, int, float):
        return ScalarSource(name, value)
    return ArraySource(name, _as_array(name, value), view=view)


def _as_array(name: str, value: Any) -> Array:
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: expected {NO_MASK[0]}, got {NO_MASK[1]}; {NO_MASK[2]}")
    if isinstance(value, np.ndarray):
        return value
    try:
        return converted(value)
    except (TypeError, ValueError, RuntimeError, BufferError, ModuleNotFoundError) as error:
        raise TypeError(f"{name}: expected an array, got {_one_line(error)}") from error


def load(name: str, path: str, dtype: str | None = None) -> Array:
    """All of a small array in a file."""
    source = open_source(name, path, dtype).along(None)
    return np.array(source.read(0, 0))


def _is_chunks(value: Any) -> bool:
    """Whether to iterate over `value`: an iterator, an iterable, or a list with arrays in it."""
    if isinstance(value, (list, tuple)):
        return any(getattr(item, "ndim", 0) > 0 for item in value)
    if hasattr(value, "__array__") or hasattr(value, "__dlpack__"):
        return False
    return hasattr(value, "__iter__") and not isinstance(value, (bytes, bytearray, memoryview))


def _open_path(name: str, path: str, view: np.dtype[Any] | None) -> Source:
    key = None
    if ".npz:" in path and not os.path.exists(path):
        path, _, key = path.rpartition(":")
    if not os.path.isfile(path):
        kind = "a directory" if os.path.isdir(path) else "none there"
        raise FileNotFoundError(f"{name}: {path}: expected a .npy or .npz file, got {kind}")
    with open(path, "rb") as file:
        prefix = file.read(PREFIX)
    if key is not None or prefix.startswith(b"PK"):
        return _open_member(name, path, key, view)
    header = Header.parse(f"{name}: {path}", prefix)
    header.check_size(f"{name}: {path}", os.path.getsize(path))
    return _mapped(name, path, header, 0, view)


def _open_member(name: str, path: str, key: str | None, view: np.dtype[Any] | None) -> Source:
    with _zip_errors(name, path), zipfile.ZipFile(path) as archive:
        member = _member(name, path, archive, key)
        where = f"{name}: {path}:{member.filename.removesuffix('.npy')}"
        with archive.open(member) as file:
            header = Header.parse(where, file.read(PREFIX))
        header.check_size(where, member.file_size)
    if member.compress_type == zipfile.ZIP_STORED:
        return _mapped(name, path, header, _data_offset(name, path, member), view)
    return StreamSource(name, path, member.filename, header, view)


def _member(name: str, path: str, archive: zipfile.ZipFile, key: str | None) -> zipfile.ZipInfo:
    """The member called `key`, or the one called like the argument, or the only one."""
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    if key is None and name not in members and len(members) == 1:
        return next(iter(members.values()))
    wanted = name if key is None else key
    if wanted not in members:
        raise ValueError(
            f"{name}: {path}: expected one of the keys {', '.join(sorted(members)) or '(none)'} as {path}:KEY, got {wanted!r}"
        )
    return members[wanted]


def _data_offset(name: str, path: str, member: zipfile.ZipInfo) -> int:
    """Where the bytes of an uncompressed member begin; they can be mapped like those of a file."""
    with open(path, "rb") as file:
        file.seek(member.header_offset)
        local = file.read(30)
    start: int = member.header_offset + 30 + sum(struct.unpack("<HH", local[26:30]))
    if start + member.file_size > os.path.getsize(path):
        raise ValueError(f"{name}: {path}: expected {member.file_size} bytes, got a truncated zip")
    return start


def _mapped(name: str, path: str, header: Header, base: int, view: np.dtype[Any] | None) -> ArraySource:
    _refuse_records(name, header.dtype, view)
    offset = base + header.offset
    array = Mapped(os.path.abspath(path), offset, header.shape, header.dtype, header.fortran).open()
    source = ArraySource(name, array, view=view)
    source.paths = (path,)
    return source


@dataclass(frozen=True)
class Header:
    """What a .npy file says about itself, checked before anything is allocated or mapped."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int

    @classmethod
    def parse(cls, where: str, prefix: bytes) -> Header:
        """From the first bytes of a file; `where` begins the error message."""
        file = io.BytesIO(prefix)
        try:
            version = npy.read_magic(file)
            if version not in ((1, 0), (2, 0), (3, 0)):
                raise ValueError(f"version {version}")
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read(file)
        except Exception as error:  # NumPy's parser raises whatever its input leads it to
            raise ValueError(f"{where}: expected a .npy array, got {_one_line(error)}") from error
        if dtype.hasobject:
            raise ValueError(f"{where}: expected numbers, got pickled Python objects (never loaded)")
        if any(n < 0 for n in shape):
            raise ValueError(f"{where}: expected a shape, got {shape}")
        return cls(shape, fortran, dtype, file.tell())

    @property
    def nbytes(self) -> int:
        """Bytes of data; a Python integer, so that a lying shape cannot overflow it."""
        return math.prod(self.shape) * int(self.dtype.itemsize)

    def check_size(self, where: str, size: int) -> None:
        """The file must hold exactly what its header promises."""
        if size - self.offset != self.nbytes:
            raise ValueError(
                f"{where}: expected {self.nbytes} bytes for {self.dtype}{list(self.shape)}, got {size - self.offset}"
            )


@contextlib.contextmanager
def _zip_errors(name: str, path: str) -> Iterator[None]:
    try:
        yield
    except _BAD_ZIP as error:
        raise ValueError(f"{name}: {path}: expected a .npz file, got {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


# -- Data types ------------------------------------------------------------------------------------


def _dtype_of(name: str, dtype: str) -> np.dtype[Any]:
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


def _viewed(name: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """The same bytes as another type: bfloat16 comes back from a file as 2 raw bytes."""
    if array.dtype == dtype:
        return array
    if array.dtype.itemsize != dtype.itemsize or array.dtype.hasobject:
        raise ValueError(f"{name}_dtype: expected a type of {array.dtype.itemsize} bytes for {array.dtype}, got {dtype}")
    return array.view(dtype)


def _refuse_records(name: str, dtype: np.dtype[Any], view: np.dtype[Any] | None = None) -> None:
    if view is not None:
        return
    if dtype.names is not None:
        raise TypeError(f"{name}: expected numbers, got records with fields {dtype.names}")
    # bfloat16 and its kin of ml_dtypes are of kind V too, but are not void.
    if dtype.type is np.void:
        hint = f"; if it is bfloat16, say {name}_dtype='bfloat16'" if dtype.itemsize == 2 else ""
        raise TypeError(f"{name}: expected numbers, got raw bytes ({dtype}){hint}")


def _is_plain(array: Array) -> bool:
    return array.dtype.isnative and array.flags.aligned


def _plain(array: Array) -> Array:
    """In native byte order and aligned, copied only if it is not; never a memmap subclass."""
    if not _is_plain(array):
        array = array.astype(array.dtype.newbyteorder("="))
    return np.asarray(array)


# -- Memory ----------------------------------------------------------------------------------------


class _Pages:
    """The pages of a memory-mapped array: used ones count as resident until they are given back."""

    def __init__(self, array: np.memmap[Any, Any]) -> None:
        self._map: mmap.mmap = array._mmap  # type: ignore[attr-defined]
        base = np.frombuffer(self._map, np.uint8)
        self._address: int = base.__array_interface__["data"][0]
        self._size = base.size
        self._begin = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY  # in the file
        self._file: IO[bytes] | None = None
        if array.filename is not None:
            with contextlib.suppress(OSError):
                self._file = open(array.filename, "rb", buffering=0)  # noqa: SIM115

    @classmethod
    def of(cls, array: Array) -> _Pages | None:
        """None unless the array is mapped; a copy-on-write map holds changes that must stay."""
        if not isinstance(array, np.memmap) or array.mode not in ("r", "r+", "w+"):
            return None
        mapped = isinstance(getattr(array, "_mmap", None), mmap.mmap)
        return cls(array) if mapped and hasattr(mmap, "MADV_DONTNEED") else None

    def drop(self, rows: Array) -> None:
        """Give back the pages of `rows`; they stay in the page cache."""
        start, stop = (self._huge(at) for at in self._span(rows))
        self._advise(mmap.MADV_DONTNEED, start, stop)

    def _huge(self, at: int) -> int:
        """The last boundary of huge pages up to `at`: one that is given back in part is split."""
        return max((self._address + at) // HUGE * HUGE - self._address, 0)

    def fetch(self, rows: Array) -> None:
        """Have the disk read `rows` while something else is computed."""
        start, stop = self._span(rows)
        # To ask for what is cached already costs the kernel a look at every page of it.
        if not all(self._is_cached(start + (stop - start) * i // 4) for i in range(4)):
            self._advise(mmap.MADV_WILLNEED, start, stop)

    def _is_cached(self, at: int) -> bool:
        if self._file is None or not hasattr(os, "RWF_NOWAIT"):
            return False
        try:
            byte = [bytearray(1)]
            return os.preadv(self._file.fileno(), byte, self._begin + at, os.RWF_NOWAIT) == 1
        except OSError:  # it would have to wait, or the file system cannot tell
            return False

    def _span(self, rows: Array) -> tuple[int, int]:
        """The bytes of the map that `rows` lie in, from the beginning of a page."""
        low = rows.__array_interface__["data"][0]
        if rows.flags.c_contiguous:
            high = low + rows.nbytes
        else:
            spans = [stride * (n - 1) for stride, n in zip(rows.strides, rows.shape, strict=True)]
            high = low + sum(span for span in spans if span > 0) + rows.itemsize
            low += sum(span for span in spans if span < 0)
        start = max(low - self._address, 0) // mmap.PAGESIZE * mmap.PAGESIZE
        return start, min(high - self._address, self._size)

    def _advise(self, advice: int, start: int, stop: int) -> None:
        if stop > start:
            with contextlib.suppress(OSError, ValueError):
                self._map.madvise(advice, start, stop - start)


# -- Reading several together ----------------------------------------------------------------------


@dataclass(frozen=True)
class Chunk:
    """Rows [start, stop) of every source."""

    start: int
    stop: int
    arrays: Mapping[str, Array]
    sources: Iterable[Source]

    def release(self) -> None:
        """Nobody will look at these rows again. To be called in the order of the rows."""
        for source in self.sources:
            source.release(self.start, self.stop)

    @property
    def nbytes(self) -> int:
        """Bytes of data, for the progress bar."""
        return sum(getattr(array, "nbytes", 0) for array in self.arrays.values())


class Reader:
    """Walks several sources in step; they must have equally many rows."""

    def __init__(self, sources: Iterable[Source], rows: int | None = None) -> None:
        """With `rows`, sources that go on after them are no error."""
        self.sources = {source.name: source for source in sources}
        self._iterables = [s for s in self.sources.values() if isinstance(s, ChunkSource)]
        known = [s for s in self.sources.values() if s.rows is not None]
        for source in known if rows is None else []:
            if source.rows != known[0].rows:
                raise ValueError(f"{source.name}: expected {known[0].rows} rows as in {known[0].name}, got {source.rows}")
        self.rows = known[0].rows if known and rows is None else rows
        if not known and not self._iterables:  # all of it is a single sample
            self.rows = 1

    @property
    def in_step(self) -> bool:
        """Whether a chunk must be done with before the next is read: an iterable may fill one array again and again."""
        return bool(self._iterables)

    def row_bytes(self) -> int:
        """Bytes that one row of all sources takes in memory."""
        return sum(source.row_bytes() for source in self.sources.values())

    def nbytes(self) -> int | None:
        """Bytes of data in all; None if only the end will tell."""
        if self._iterables:
            return None
        shapes = [(source.shape, source.itemsize) for source in self.sources.values()]
        return sum(math.prod(shape) * itemsize for shape, itemsize in shapes)

    def chunks(self, rows: int, start: int = 0, stop: int | None = None) -> Iterator[Chunk]:
        """Chunks of at most `rows` rows; where there are iterables, of their lengths."""
        if self._iterables:
            yield from self._iterate()
            return
        end = cast("int", self.rows) if stop is None else stop
        while True:  # an empty input is one empty chunk: what is wrong with it must still be said
            stop = min(start + rows, end)
            for source in self.sources.values():
                source.expect(stop, min(stop + rows, end))
            yield self._chunk(start, stop)
            start = stop
            if start >= end:
                return

    def _chunk(self, start: int, stop: int) -> Chunk:
        read = {name: source.read(start, stop) for name, source in self.sources.items()}
        return Chunk(start, stop, read, self.sources.values())

    def _iterate(self) -> Iterator[Chunk]:
        start, leader = 0, self._iterables[0]
        while (rows := leader.upcoming()) is not None:
            stop = start + rows
            if self.rows is not None and stop > self.rows:
                raise ValueError(f"{leader.name}: expected {self.rows} rows, got at least {stop}")
            yield self._chunk(start, stop)
            start = stop
        for source in self._iterables[1:]:
            if (rows := source.upcoming()) is not None:
                raise ValueError(f"{source.name}: expected {start} rows as in {leader.name}, got a further chunk of {rows}")
        if self.rows is not None and start < self.rows:
            raise ValueError(f"{leader.name}: expected {self.rows} rows, got {start}")

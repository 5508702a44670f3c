"""Sources of .npy and .npz files: headers, members of archives, compressed members that are read as a stream."""

from __future__ import annotations

import contextlib
import io
import lzma
import math
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from ._sources import Array, ArraySource, Mapped, Source, one_line, plain, refuse_records, viewed

PREFIX = 1 << 16  # more than any header of an array that is not structured


COPY = 1 << 22  # bytes moved at a time when a compressed array goes to a temporary file


_BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)


class StreamSource(Source):
    """A compressed member of an .npz file: read once, from its first row to its last."""

    streamed = True

    def __init__(self, name: str, path: str, key: str, header: Header, view: np.dtype[Any] | None) -> None:
        self.name, self.paths, self._key, self._header = name, (path,), key, header
        refuse_records(name, header.dtype, view)
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
        return plain(viewed(self.name, array, self._view))

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


def open_path(name: str, path: str, view: np.dtype[Any] | None) -> Source:
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
    refuse_records(name, header.dtype, view)
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
            raise ValueError(f"{where}: expected a .npy array, got {one_line(error)}") from error
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
        raise ValueError(f"{name}: {path}: expected a .npz file, got {one_line(error)}") from error

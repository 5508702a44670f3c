"""Sources that are read side by side: a source for whatever was given, and chunks of all of them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ._npy import open_path
from ._sources import Array, ArraySource, ChunkSource, Mapped, Part, ScalarSource, Source, as_array, dtype_of


def open_source(name: str, value: Any, dtype: str | None = None) -> Source:
    """The source for what a caller passed as argument `name`; `dtype` names what raw bytes mean."""
    view = None if dtype is None else dtype_of(name, dtype)
    if isinstance(value, (str, os.PathLike)):
        return open_path(name, os.fspath(value), view)
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
    return ArraySource(name, as_array(name, value), view=view)


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

"""Pages of memory maps: those to come are asked for, those that are done with are given back."""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import IO, Any

import numpy as np

from fastloss._check import Array

HUGE = 1 << 21  # bytes of a huge page


class Pages:
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
    def of(cls, array: Array) -> Pages | None:
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

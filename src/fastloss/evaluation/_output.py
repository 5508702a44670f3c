"""What a run leaves behind: the loss of every sample, and the checkpoint to continue from.

Both are written beside their place and renamed, so that what was there stays whole until then.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

Array = NDArray[Any]
INTERVAL = 5.0  # seconds between checkpoints, and never more than a twentieth of the time
DIGITS = 20  # room in a header for every length that can come


class Output(Protocol):
    """Takes the loss of every sample, chunk by chunk."""

    def write(self, values: Sequence[Array]) -> None:
        """The next rows, one array per loss."""

    def commit(self) -> None:
        """All is well and complete."""

    def discard(self) -> None:
        """Something went wrong."""


class ArrayOutput:
    """Into an array of the caller."""

    def __init__(self, out: Array, labels: Sequence[str]) -> None:
        if len(labels) > 1 and out.dtype.names is None:
            raise ValueError(
                f"evaluate: per_sample: expected records with fields {', '.join(labels)} "
                f"for several losses, got dtype {out.dtype}"
            )
        self._columns = _columns(out)
        self._next = 0

    def write(self, values: Sequence[Array]) -> None:
        """The next rows, one array per loss."""
        for column, value in zip(self._columns, values, strict=True):
            stop = self._next + value.shape[0] if value.ndim else 0
            place = column[self._next : stop] if value.ndim else column
            if place.shape != value.shape:
                raise ValueError(
                    f"evaluate: per_sample: expected room for {value.shape} at row {self._next}, "
                    f"got an array of shape {column.shape}"
                )
            place[...] = value
        self._next = stop

    def commit(self) -> None:
        """All rows must have come."""
        if self._columns[0].ndim and self._next != len(self._columns[0]):
            raise ValueError(f"evaluate: per_sample: expected an array of {self._next} rows, got {len(self._columns[0])}")

    def discard(self) -> None:
        """What was written stays: the array is the caller's."""


def _columns(records: Array) -> list[Array]:
    """The fields of records, or the array itself."""
    return [records[name] for name in records.dtype.names or ()] or [records]


class FileOutput:
    """Into an .npy file of float64: one array, or for several losses records named after them."""

    def __init__(self, path: str, labels: Sequence[str], part: str | None = None) -> None:
        """`part` is the unfinished file of a run that is being continued."""
        self.path = os.path.realpath(path)
        if os.path.exists(self.path) and not os.path.isfile(self.path):
            raise ValueError(f"evaluate: per_sample: expected a file to write, got {path}")
        fields = [(label, "<f8") for label in labels]
        self._dtype = np.dtype(fields if len(labels) > 1 else "<f8")
        folder, name = os.path.split(self.path)
        self.part = part or os.path.join(folder, f".{name}.{secrets.token_hex(4)}.part")
        self._rows = 0
        self._tail: tuple[int, ...] = ()  # the shape of one row
        self._scalar = False
        self._file: BinaryIO = open(self.part, "r+b" if part else "xb")  # noqa: SIM115
        if not part:
            self._file.write(bytes(len(self._header())))

    def _header(self) -> bytes:
        """Of one length whatever the shape, since the shape is known only at the end."""
        shape = () if self._scalar else (self._rows, *self._tail)
        text = repr({"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape})
        room = len(repr(npy.dtype_to_descr(self._dtype))) + 64 + DIGITS * 32
        size = -(-(10 + room) // 64) * 64
        padded = text.ljust(size - 11) + "\n"
        return npy.magic(1, 0) + (size - 10).to_bytes(2, "little") + padded.encode("latin1")

    def resume(self, rows: int, tail: Sequence[int] | None) -> None:
        """Continue after `rows` rows."""
        self._rows, self._tail = rows, tuple(tail or ())
        size = len(self._header()) + rows * self._row_size()
        if os.path.getsize(self.part) < size:
            raise ValueError(f"evaluate: checkpoint: expected {size} bytes in {self.part}, got {os.path.getsize(self.part)}")
        self._file.truncate(size)
        self._file.seek(size)

    def _row_size(self) -> int:
        return self._dtype.itemsize * math.prod(self._tail)

    def write(self, values: Sequence[Array]) -> None:
        """The next rows, one array per loss."""
        shapes = [value.shape for value in values]
        if len(set(shapes)) > 1:
            raise ValueError(
                f"evaluate: per_sample: expected losses with one value for the same samples, "
                f"got shapes {' and '.join(map(str, dict.fromkeys(shapes)))}"
            )
        block: Array = np.empty(shapes[0], self._dtype)
        for column, value in zip(_columns(block), values, strict=True):
            column[...] = value
        self._scalar = not shapes[0]
        self._rows += shapes[0][0] if shapes[0] else 1
        self._tail = shapes[0][1:]
        self._file.write(block.data if block.size else b"")

    def flush(self) -> None:
        """Have everything on the disk, so that a checkpoint may count on it."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def commit(self) -> None:
        """Put the file where it belongs."""
        self._file.seek(0)
        self._file.write(self._header())
        self._file.close()
        os.replace(self.part, self.path)

    def close(self) -> None:
        """Keep the unfinished file for a run that continues."""
        self._file.close()

    def discard(self) -> None:
        """Leave no trace."""
        self._file.close()
        with suppress(FileNotFoundError):
            os.unlink(self.part)


class Checkpoint:
    """A JSON file with the state of a run, rewritten every few seconds."""

    def __init__(self, path: str, identity: Mapping[str, Any]) -> None:
        """`identity` is what the run that continues must share with the one that stopped."""
        self.path, self._identity = path, json.loads(json.dumps(identity))
        self._due = time.monotonic() + INTERVAL
        self.exists = os.path.exists(path)

    def load(self) -> dict[str, Any] | None:
        """What `save` was given; None if there is no file yet."""
        if not self.exists:
            return None
        try:
            with open(self.path, encoding="utf-8") as file:
                saved = json.load(file)
            identity, content = saved["identity"], saved["content"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"evaluate: checkpoint: {self.path}: expected a checkpoint of fastloss, got another file (left as it is)"
            ) from error
        for name, expected in self._identity.items():
            if identity.get(name) != expected:
                raise ValueError(
                    f"evaluate: checkpoint: {self.path}: expected {name} as in the run it "
                    f"continues, {json.dumps(identity.get(name))}, got {json.dumps(expected)}"
                )
        return dict(content)

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() >= self._due

    def save(self, content: Mapping[str, Any]) -> None:
        """Write atomically."""
        began = time.monotonic()
        part = f"{self.path}.{secrets.token_hex(4)}.part"
        try:
            with open(part, "x", encoding="utf-8") as file:
                json.dump({"identity": self._identity, "content": content}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(part)
            raise
        self.exists = True
        now = time.monotonic()
        self._due = now + max(INTERVAL, 20 * (now - began))

    def remove(self) -> None:
        """The run is complete."""
        with suppress(FileNotFoundError):
            os.unlink(self.path)


def refuse_overwriting(name: str, path: str, inputs: Iterable[str]) -> None:
    """An output must not be one of the files that are read."""
    for other in inputs:
        if os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other):
            raise ValueError(f"evaluate: {name}: expected another file than the input {other}")

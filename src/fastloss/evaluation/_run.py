"""evaluate: one pass over sources of any size, here or in an executor's workers.

May import the whole of this package and the public functions of fastloss.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, nullcontext
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastloss._loss import LOSSES
from fastloss._threads import get_num_threads, num_threads

from ._metrics import Losses, Metrics, Term, as_list, axes_of, class_axis, needs
from ._output import ArrayOutput, Checkpoint, FileOutput, Output, refuse_overwriting
from ._reader import Chunk, Reader, open_source
from ._result import EvaluationResult
from ._sources import Part, Source
from ._state import Axes, Evaluation, require

Array = NDArray[Any]
T = TypeVar("T")
CHUNK = 32 << 20  # bytes for every thread that computes a chunk; larger ones were not faster
WORTHWHILE = 1 << 20  # bytes of a chunk below which Python takes longer than the kernels
WORKERS = 16  # chunks computed at once, at the most: more of them would wait for the interpreter lock
AHEAD = 2  # chunks read, or waiting to be added, beside those that are computed
JOB = 1 << 30  # bytes of data per job of an executor, and at least 64 jobs if the chunks allow
WINDOW = 32  # jobs submitted ahead


def evaluate(
    losses: Losses,
    *,
    sample_weight: Any = None,
    group: Any = None,
    per_sample: str | os.PathLike[str] | Array | None = None,
    worst: int = 0,
    max_memory: int | str = "256MB",
    threads: int | None = None,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    **arrays_and_options: Any,
) -> EvaluationResult:
    """Evaluate losses over arrays of any size in one pass and bounded memory.

    Sums are exact: the result has the same bits whatever the chunks, threads and executors (whose
    workers are at one CPU level).

    Parameters
    ----------
    losses : str, Loss, or a sequence of them
        What to compute, for instance `["cross_entropy", "perplexity"]`.
    sample_weight : source, optional
        The weight of every sample.
    group : source, optional
        The group of every sample, integers or strings: the result has a mean for each.
    per_sample : path or array, optional
        Where to write the loss of every sample, as `reduction="none"` gives it, in float64. A file
        appears when the run succeeds. With several losses: records with a field for each.
    worst : int
        How many of the hardest samples to report. Those whose loss is nan come first, then those of
        the highest loss (times their weight), of equal ones those of the lowest index.
    max_memory : int or str
        Bytes to use, about, such as ``"256MB"`` (per worker of an executor). At least one row is
        always held, and chunks that the caller makes are as large as they are.
    threads : int, optional
        The number of threads, in place of `fastloss.get_num_threads()`.
    executor : concurrent.futures.Executor, optional
        Where to compute; files are read by the workers, arrays are sent to them.
    checkpoint : path, optional
        A file to continue from after an interruption; written every few seconds and removed when
        the run succeeds.
    progress : bool, optional
        A progress bar on stderr for runs over a second; by default if that is a terminal.
    **arrays_and_options
        The losses' arrays and own options by their names; an option goes to the losses that have it,
        and so does an array that all samples share (the thresholds of `cumulative_link`). An array is
        given as an array, a memory map, the path of an ``.npy`` or ``.npz`` file (``"file.npz:key"``),
        or an iterable of chunks of rows. ``logits_dtype="bfloat16"`` says what the raw bytes of
        ``logits`` are, and so for every other array and ``sample_weight``.

    Returns
    -------
    EvaluationResult
        The results by the name of the loss; `print` shows them as a table.

    Raises
    ------
    TypeError
        If an array is missing, or an argument belongs to none of the losses.
    ValueError, IndexError, OSError
        If a file is not what it should be, lengths differ, or a loss refuses its input.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> result = fl.evaluate("mae", prediction=np.arange(4.0), target=np.zeros(4), worst=1)
    >>> result["mae"].mean, result["mae"].worst[0].index
    (1.5, 3)
    """
    chosen = as_list(losses)
    inputs, options = _split(chosen, arrays_and_options)
    extra = {"sample_weight": sample_weight, "group": group}
    metrics = Metrics.of(chosen, options)
    require(metrics, (name for name in inputs if not name.endswith("_dtype")))
    inputs |= {name: value for name, value in extra.items() if value is not None}
    sources, axes = open_all(metrics, inputs)
    reader, budget = Reader(sources), parse_size(max_memory)
    with ExitStack() as stack:
        stack.enter_context(nullcontext() if threads is None else num_threads(threads))
        run = _Run(
            Evaluation(chosen, worst=worst, **options),
            _Job(tuple(chosen), options, worst, {}, axes, threads=threads),
            reader,
            _Cut.of(metrics, reader, budget, grouped=group is not None, alone=executor is not None),
        )
        run.bar = stack.enter_context(_progress(progress, reader))
        paths = [path for source in sources for path in source.paths]
        run.prepare(per_sample, checkpoint, metrics, paths)
        return run.finish(executor)


def open_all(metrics: Metrics, inputs: Mapping[str, Any]) -> tuple[list[Source], Axes]:
    """The sources, each cut along the axis that its losses want."""
    names = [name for name in (*metrics.arrays, "sample_weight", "group") if name in inputs]
    opened = [open_source(name, inputs[name], inputs.get(f"{name}_dtype")) for name in names]
    axes = metrics.axes({source.name: source.ndim for source in opened})
    return [source.along(axes.get(source.name, 0)) for source in opened], axes


def _split(chosen: Iterable[Any], given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays (and what their bytes mean), and options."""
    arrays, beside, _ = needs(chosen)
    known = {*arrays, *beside, *(f"{name}_dtype" for name in (*arrays, *beside, "sample_weight"))}
    inputs = {name: value for name, value in given.items() if name in known and value is not None}
    return inputs, {name: value for name, value in given.items() if name not in known}


@dataclass
class _Job:
    """Rows [start, stop) of all inputs, for a worker."""

    losses: tuple[Any, ...]
    options: Mapping[str, Any]
    worst: int
    inputs: Mapping[str, Any]
    axes: Axes
    rows: int = 1
    start: int = 0
    stop: int = 0
    threads: int | None = None
    keep: bool = False  # whether to send back the loss of every sample

    def run(self) -> tuple[Evaluation, list[list[Array]], int]:
        """The state of these rows, their losses, and how many bytes were read."""
        evaluation = Evaluation(self.losses, worst=self.worst, **self.options)
        sources = [open_source(name, value).along(self.axes.get(name, 0)) for name, value in self.inputs.items()]
        kept, size = [], 0
        with nullcontext() if self.threads is None else num_threads(self.threads):
            for chunk in Reader(sources, self.stop).chunks(self.rows, self.start):
                state, values = _compute(evaluation.fresh(), chunk, self.axes)
                evaluation.merge(state)
                chunk.release()
                size += chunk.nbytes
                if self.keep:
                    kept.append(values)
        return evaluation, kept, size


def _compute(state: Evaluation, chunk: Chunk, axes: Axes) -> tuple[Evaluation, list[Array]]:
    """The state with one chunk added, and the losses of its samples."""
    terms = state.compute(chunk.arrays, chunk.start, axes)
    state.absorb(terms, chunk.arrays.get("group"), chunk.start, chunk.stop - chunk.start)
    return state, [values for values, *_ in terms]


@dataclass(frozen=True)
class _Cut:
    """How the rows are cut: so many make a chunk, and of chunks `workers` are computed at once, each on `threads` threads.

    Chunks side by side keep every core busy with all there is to do, page faults and sums too, and what is computed of a chunk
    stays in its core's cache. One after another, on all threads, go those that cannot be read ahead, that are too large to have
    several of them, and those of custom losses: whose function may not be made for several threads.
    """

    rows: int
    workers: int
    threads: int

    @classmethod
    def of(cls, metrics: Metrics, reader: Reader, budget: int, *, grouped: bool, alone: bool) -> _Cut:
        """As many rows as fit the budget with all that is computed of them, and no more than help."""
        width = reader.row_bytes()
        firsts = [(term, reader.sources[term.loss.arrays[0]]) for term in metrics.terms]
        # Terms are two float64 per sample; sums, counts and the hardest need as much again.
        computed = (48 if grouped else 32) * sum(_samples(term, first) for term, first in firsts)
        computed += max(term.loss.copies * first.row_bytes() for term, first in firsts)  # of one call after the other
        allowed = get_num_threads()

        def rows(workers: int) -> int:
            at_once = workers + AHEAD if workers > 1 else 1
            room = budget * 3 // 4 // (max(width + computed, 1) * at_once)
            return min(room, CHUNK * (allowed // workers) // max(width, 1))

        ours = all(LOSSES.get(term.loss.name) is term.loss for term in metrics.terms)
        workers = min(allowed, WORKERS) if ours and not alone and not reader.in_step else 1
        if rows(workers) * width < WORTHWHILE or rows(workers) >= (reader.rows or 0):
            workers = 1
        return cls(max(rows(workers), 1), workers, allowed // workers)


class _Run:
    """One evaluation with what it writes."""

    def __init__(self, evaluation: Evaluation, job: _Job, reader: Reader, cut: _Cut) -> None:
        self.evaluation, self.reader = evaluation, reader
        self._job, self._cut = job, cut
        self.bar: Any = None
        self._output: Output | None = None
        self._checkpoint: Checkpoint | None = None
        self._whole = True  # false while a chunk is being added to the state

    def prepare(self, per_sample: Any, checkpoint: Any, metrics: Metrics, paths: Iterable[str]) -> None:
        """Open what will be written, or continue it, before anything is computed."""
        part = None
        if checkpoint is not None:
            path = os.fspath(checkpoint)
            refuse_overwriting("checkpoint", path, paths)
            self._checkpoint = Checkpoint(path, self._identity(metrics, per_sample))
            if (saved := self._checkpoint.load()) is not None:
                self.evaluation.load_state_dict(saved["state"])
                part = saved["part"]
        if isinstance(per_sample, np.ndarray):
            self._output = ArrayOutput(per_sample, metrics.labels)
        elif per_sample is not None:
            path = os.fspath(per_sample)
            refuse_overwriting("per_sample", path, paths)
            self._output = output = FileOutput(path, metrics.labels, part)
            if part is not None:
                output.resume(self.evaluation.rows, self.evaluation.tail)

    def _identity(self, metrics: Metrics, per_sample: Any) -> dict[str, Any]:
        """What a run must share with the one that it continues."""
        if isinstance(per_sample, np.ndarray):
            raise TypeError("evaluate: per_sample: expected a path with a checkpoint, got an array")
        sources = self.reader.sources.items()
        return {
            "losses": metrics.describe(),
            "worst": self._job.worst,
            "inputs": {name: source.fingerprint() for name, source in sources},
            "per_sample": None if per_sample is None else os.path.realpath(per_sample),
        }

    def finish(self, executor: Executor | None) -> EvaluationResult:
        """Compute all of it; whatever stops that leaves either a checkpoint or no trace."""
        try:
            if executor is None:
                self._here()
            else:
                self._elsewhere(executor)
            if self._output is not None:
                self._output.commit()
        except BaseException as error:
            self._stop(interrupted=not isinstance(error, Exception))
            raise
        if self._checkpoint is not None:
            self._checkpoint.remove()
        return self.evaluation.result()

    def _stop(self, interrupted: bool) -> None:
        try:
            if self._checkpoint is not None and interrupted and self._whole:
                self._save()
        finally:
            if self._checkpoint is not None and self._checkpoint.exists:
                if isinstance(self._output, FileOutput):
                    self._output.close()
            elif self._output is not None:
                self._output.discard()

    def _save(self) -> None:
        assert self._checkpoint is not None
        part = None
        if isinstance(self._output, FileOutput):
            self._output.flush()
            part = self._output.part
        self._checkpoint.save({"state": self.evaluation.state_dict(), "part": part})

    def _here(self) -> None:
        start, cut = self.evaluation.rows, self._cut
        if start and start == self.reader.rows:
            return
        chunks = self.reader.chunks(cut.rows, start)
        if cut.workers == 1:
            for chunk in chunks:
                self._add(*self._compute(chunk), chunk.nbytes)
                chunk.release()
            return
        with ThreadPoolExecutor(cut.workers, "fastloss-evaluate") as pool:
            waiting = ((pool.submit(copy_context().run, self._compute, chunk), chunk) for chunk in chunks)
            with closing(_ahead(waiting, cut.workers + AHEAD)) as submitted:
                for future, chunk in submitted:
                    state, kept = future.result()
                    self._add(state, kept, chunk.nbytes)
                    chunk.release()

    def _compute(self, chunk: Chunk) -> tuple[Evaluation, list[list[Array]]]:
        with num_threads(self._cut.threads):
            state, values = _compute(self.evaluation.fresh(), chunk, self._job.axes)
        return state, [] if self._output is None else [values]

    def _after(self, size: int) -> None:
        if self.bar is not None:
            self.bar.update(size)
        if self._checkpoint is not None and self._checkpoint.due:
            self._save()

    def _elsewhere(self, executor: Executor) -> None:
        streamed = any(source.streamed for source in self.reader.sources.values())
        jobs = self._stream_jobs() if streamed else self._range_jobs()
        waiting = ((executor.submit(job.run), job) for job in jobs)
        with closing(_ahead(waiting, 4 if streamed else WINDOW)) as submitted:  # jobs that hold their data are few
            for future, _ in submitted:
                self._add(*future.result())

    def _add(self, state: Evaluation, kept: list[list[Array]], size: int) -> None:
        """Merge in the order of the rows, so that a checkpoint needs only their number."""
        for values in kept:
            if self._output is not None:
                self._output.write(values)
        self._whole = False
        self.evaluation.merge(state)
        self._whole = True
        self._after(size)

    def _stream_jobs(self) -> Iterator[_Job]:
        """One chunk each, read here."""
        for chunk in self.reader.chunks(self._cut.rows, self.evaluation.rows):
            inputs = {
                name: Part(array, chunk.start) if isinstance(array, np.ndarray) else array for name, array in chunk.arrays.items()
            }
            yield self._part(inputs, chunk.start, chunk.stop)

    def _range_jobs(self) -> Iterator[_Job]:
        """Many chunks each, read by the worker if they are in files."""
        end = self.reader.rows or 0
        rows = max(min(JOB // max(self.reader.row_bytes(), 1), end // 64), self._cut.rows)
        for start in range(self.evaluation.rows, max(end, 1), rows):  # an empty input is one job too
            stop = min(start + rows, end)
            sources = self.reader.sources.items()
            yield self._part({name: s.part(start, stop) for name, s in sources}, start, stop)

    def _part(self, inputs: Mapping[str, Any], start: int, stop: int) -> _Job:
        keep = self._output is not None
        return replace(self._job, inputs=inputs, rows=self._cut.rows, start=start, stop=stop, keep=keep)


def _ahead(waiting: Iterable[tuple[Future[Any], T]], window: int) -> Generator[tuple[Future[Any], T]]:
    """The same in the same order, `window` of them submitted ahead; those left over at an error never start."""
    pending: deque[tuple[Future[Any], T]] = deque()
    try:
        for item in waiting:
            pending.append(item)
            if len(pending) >= window:
                yield pending.popleft()
        while pending:
            yield pending.popleft()
    finally:
        for future, _ in pending:
            future.cancel()


def _samples(term: Term, first: Source) -> int:
    """How many values reduction="none" has per row."""
    axes, shape = axes_of(term, dict.fromkeys(term.loss.per_sample, first.ndim)), first.shape
    lead = axes[first.name]
    if lead is None or not shape or term.loss.beside:  # one row, or one sequence
        return 1
    axis = class_axis(term)
    classes = shape[axis] if axis is not None else 1
    if term.loss.regions:  # at the most
        return classes
    rest = [n for i, n in enumerate(shape) if i != lead]
    return math.prod(rest) // max(classes, 1)


_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNITS |= {"KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def parse_size(size: int | str) -> int:
    """Bytes: 64000000, "64MB", "64 MiB", "0.5G"."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?\s*", str(size).upper())
    if match is None or match[2] not in _UNITS or not (n := int(float(match[1]) * _UNITS[match[2]])):
        raise ValueError(f"evaluate: max_memory: expected a size such as '256MB', got {size!r}")
    return n


def _progress(wanted: bool | None, reader: Reader) -> Any:
    """A bar that appears after a second; or None, as a context."""
    if wanted is False or (wanted is None and not sys.stderr.isatty()):
        return nullcontext()
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        if wanted is None:
            return nullcontext()
        raise ModuleNotFoundError("evaluate: progress needs tqdm: pip install tqdm") from None
    return tqdm(
        total=reader.nbytes(),
        unit="B",
        unit_scale=True,
        delay=1.0,
        leave=False,
        file=sys.stderr,
        desc="evaluate",
    )

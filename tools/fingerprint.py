"""Fingerprint of every result: a hash per loss variant, dtype and CPU level, to show that a change leaves all bits as they were.

    python tools/fingerprint.py /tmp/before.txt                            # of the build that is imported
    python tools/fingerprint.py /tmp/after.txt --compare /tmp/before.txt   # prints the first lines that differ and exits 1

A line's hash covers value ("none", "sum", "mean"), gradient and Hessian, with and without sample weights, at several sizes and
with 1 and 2 threads; shapes and layouts that the samplers do not draw (many classes, long rows, strided arrays) and the functions
that are not losses have lines of their own. Sign and payload of a nan are not results and are not compared. Imports fastloss,
NumPy and tests/support/cases.py. Lines are comparable between builds on one machine, with one version of NumPy.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

import cases
import numpy as np

import fastloss as fl
import fastloss._kernels as _kernels

DTYPES = ("float32", "float64", "float16")
THREADS = (1, 2)
SIZES = (1, 65)
# Elements, rows or items: more than one block of work; and as many as are shared among threads even by the cheapest loss.
PARALLEL = dict.fromkeys((loss.family for loss in cases.LOSSES), 2500) | {"pointwise": 4099, "segmentation": 150, "sequence": 500}
PLENTY = dict.fromkeys(PARALLEL, 20000) | {"pointwise": 300000, "segmentation": 2000, "sequence": 3000}
# Shapes of the extra row tests: long rows, rows that the vectors run across, and both with tails.
ROW_SHAPES = {"C=1003": (9, 1003, -1), "C=33": (130, 33, -1), "C=2": (200, 2, -1), "C=9001": (3, 9001, -1), "axis=0": (67, 21, 0)}
SPECIAL = (np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0, -0.0, 1e-40, 88.0, -104.0, 710.0, 5e-8, 3e38)

Line = tuple[str, Callable[[], Iterator[Any]]]


class Digest:
    """A hash of nested results: arrays, numbers, tuples of them, and the texts of exceptions."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def add(self, result: Any) -> None:
        if isinstance(result, (tuple, list)):
            for each in result:
                self.add(each)
            return
        if result is None or isinstance(result, str):
            self.hash.update(repr(result).encode())
            return
        a = np.array(result)  # a copy
        if a.dtype.kind == "f":
            a[np.isnan(a)] = np.nan
        self.hash.update(f"{a.dtype}{a.shape}".encode())
        self.hash.update(np.ascontiguousarray(a).tobytes())

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        try:
            self.add(function(*args, **kwargs))
        except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
            self.add(f"{type(error).__name__}: {error}")


def add_loss(digest: Digest, loss: fl.Loss, args: tuple[Any, ...], options: dict[str, Any], *, brief: bool = False) -> None:
    """Everything a loss computes of these arguments; if `brief`, not each reduction and derivative by itself."""
    values = loss(*args, **options, reduction="none")
    digest.add(values)
    weight = np.random.default_rng(len(values)).uniform(0.0, 2.0, len(values))
    weight[::7] = 0.0
    for w in (None, weight.astype(args[0].dtype)):
        digest.call(loss.value_and_grad, *args, **options, sample_weight=w)
        if brief:
            continue
        for reduction in ("none", "sum", "mean"):
            digest.call(loss, *args, **options, sample_weight=w, reduction=reduction)
        digest.call(loss.value_and_grad, *args, **options, sample_weight=w, reduction="none")
        digest.call(loss.grad, *args, **options, sample_weight=w)
        if loss.max_order > 1:
            digest.call(loss.hess, *args, **options, sample_weight=w)
            digest.call(loss.grad_and_hess, *args, **options, sample_weight=w)
    if brief:
        digest.call(loss, *args, **options)
        if loss.max_order > 1:
            digest.call(loss.grad_and_hess, *args, **options)


def add_variant(digest: Digest, variant: cases.Variant, dtype: str, draws: dict[Any, cases.Call]) -> None:
    """One variant of a loss at every size and number of threads."""
    loss = variant.loss

    def drawn(size: int) -> cases.Call:
        key = variant, dtype, size
        if key not in draws:
            draws[key] = variant.draw(dtype, size)
        return draws[key]

    for size in SIZES:
        digest.call(add_loss, digest, loss, *drawn(size))
    args, options = drawn(65)
    a = args[0].copy()
    a.flat[: a.size : max(1, a.size // len(SPECIAL) - 1)] = np.resize(SPECIAL, len(a.flat[:: max(1, a.size // len(SPECIAL) - 1)]))
    digest.call(add_loss, digest, loss, (a, *args[1:]), options)
    if loss in cases.BATCHWISE:
        return
    parallel = cases.repeat(loss, drawn(65), PARALLEL["pointwise" if loss.pointwise else loss.family])
    for threads in THREADS:
        with fl.num_threads(threads):
            digest.call(add_loss, digest, loss, *parallel, brief=True)
    if loss.pointwise:  # strided and of mixed types, converted on their way
        strided = tuple(np.stack([x, x], axis=-1)[..., 0] if np.ndim(x) else x for x in args)
        digest.call(add_loss, digest, loss, strided, options, brief=True)


def add_default(digest: Digest, loss: fl.Loss, dtype: str) -> None:
    """A loss with its defaults on an input that is large enough for two threads."""
    if loss in cases.BATCHWISE:
        args, options = loss.sample(np.random.default_rng(3), dtype=dtype, size=310)
    else:
        size = PLENTY["pointwise" if loss.pointwise else loss.family]
        args, options = cases.repeat(loss, loss.sample(np.random.default_rng(3), dtype=dtype, size=997), size)
    for threads in THREADS:
        with fl.num_threads(threads):
            digest.call(add_loss, digest, loss, args, options, brief=True)


def add_rows(digest: Digest, loss: fl.Loss, dtype: str) -> None:
    """A loss of rows at shapes that its sampler does not draw: class indices or rows of targets, as the sampler has them."""
    for rows, classes, axis in ROW_SHAPES.values():
        rng = np.random.default_rng([rows, classes])
        sampled = loss.sample(rng, dtype=dtype, size=1)[0]
        args = []
        for k, a in enumerate(sampled):
            if a.ndim == 2:
                x = rng.normal(scale=3, size=(rows, classes))
                if a.min() >= 0 and (k or loss.name == "js_divergence"):
                    x = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
                elif loss.arrays[k] == "log_probs":
                    x -= np.log(np.exp(x).sum(axis=1, keepdims=True))
                args.append(np.ascontiguousarray(np.moveaxis(x.astype(dtype), 1, axis)))
            else:
                args.append(rng.integers(0, classes, rows))
        options: list[dict[str, Any]] = [{"axis": axis}]
        if "class_weight" in loss.options:
            options.append({"axis": axis, "class_weight": np.linspace(0.1, 2, classes)})
        if "label_smoothing" in loss.options:
            options.append({"axis": axis, "label_smoothing": 0.1})
        for chosen in options:
            digest.call(add_loss, digest, loss, tuple(args), chosen)
            if args[-1].ndim == 1 and loss.name in ("cross_entropy", "softmax_focal", "poly1_cross_entropy"):
                soft = np.exp(rng.normal(size=args[0].shape)).astype(dtype)
                digest.call(add_loss, digest, loss, (args[0], soft), chosen)
            if axis == -1:  # every second class of rows twice as long: not contiguous
                strided = tuple(np.repeat(a, 2, axis=-1)[:, ::2] if a.ndim == 2 else a for a in args)
                digest.call(add_loss, digest, loss, strided, chosen, brief=True)


def add_regions(digest: Digest, loss: fl.Loss, dtype: str) -> None:
    """A loss of regions with other numbers of classes and kinds of targets, with and without what is ignored."""
    for classes, activation in ((1, "sigmoid"), (2, "softmax"), (4, "softmax"), (4, "sigmoid"), (9, "softmax"), (3, None)):
        rng = np.random.default_rng(classes)
        x = rng.normal(scale=2, size=(2, classes, 37, 41))
        if activation is None:
            x = 1 / (1 + np.exp(-x))
        labels = rng.integers(0, classes, (2, 37, 41))
        masks = rng.integers(0, 2, x.shape)
        for target in (labels, labels.astype(np.uint8), masks, rng.uniform(size=x.shape).astype(dtype)):
            for ignore in (None, 1):
                for squared in (False, True) if "squared" in loss.options else (False,):
                    options = {"activation": activation, "ignore_index": ignore}
                    options |= {"squared": True} if squared else {}
                    digest.call(add_loss, digest, loss, (x.astype(dtype), target), options, brief=True)


def add_embeddings(digest: Digest, loss: fl.Loss, dtype: str) -> None:
    """A loss of vectors or of a batch of them with other dimensions than its sampler's."""
    for size, dimensions in ((37, 1), (40, 131), (150, 64), (70, 700)):
        rng = np.random.default_rng(dimensions)
        sampled = loss.sample(rng, dtype=dtype, size=size)[0]
        args = [rng.normal(size=(size, dimensions)).astype(dtype) if a.ndim == 2 else a for a in sampled]
        digest.call(add_loss, digest, loss, tuple(args), {}, brief=True)
        if args[1].ndim == 2:
            args[1] = np.nextafter(args[0], np.inf, dtype=dtype)  # nearly equal rows: the accurate way
            digest.call(add_loss, digest, loss, tuple(args), {}, brief=True)


def add_functions(digest: Digest, dtype: str) -> None:
    """The public functions of rows and of pairs of rows."""
    for rows, classes, axis in ROW_SHAPES.values():
        x = np.random.default_rng(classes).normal(scale=3, size=(rows, classes)).astype(dtype)
        for a in (x, np.moveaxis(x, 1, axis), np.where(x > 5, -np.inf, x).astype(dtype), (x * 300).astype(dtype)):
            for function in (fl.logsumexp, fl.softmax, fl.log_softmax):
                digest.call(function, a, axis=axis)
            labels = np.arange(np.delete(a.shape, axis).item()) % a.shape[axis]
            digest.call(fl.perplexity, a, labels, axis=axis)
    for n, m, dimensions in ((1, 1, 1), (33, 70, 3), (65, 65, 64), (130, 17, 300)):
        rng = np.random.default_rng(n)
        x, y = rng.normal(size=(n, dimensions)).astype(dtype), rng.normal(size=(m, dimensions)).astype(dtype)
        for metric in ("euclidean", "sqeuclidean", "cosine"):
            digest.call(fl.pairwise_distances, x, y, metric=metric)
            digest.call(fl.pairwise_distances, x, metric=metric)


def add_sequences(digest: Digest, dtype: str) -> None:
    """CTC's loss and functions on longer sequences, confident ones, wide ones, and labels that do not fit."""
    for samples, frames, classes, labels, scale in (
        (3, 150, 33, 40, 2),
        (2, 60, 1003, 17, 30),
        (5, 9, 5, 9, 1),
        (2, 400, 7, 90, 100),
    ):
        rng = np.random.default_rng(frames)
        x = (rng.normal(size=(samples, frames, classes)) * scale).astype(dtype)
        targets = rng.integers(1, classes, (samples, labels))
        for options in (
            {},
            {"target_lengths": rng.integers(0, labels + 1, samples)},
            {"input_lengths": np.full(samples, frames - 3)},
        ):
            digest.call(add_loss, digest, fl.ctc, (x, targets), {**options, "zero_infinity": True}, brief=True)
            digest.call(fl.ctc, x, targets, **options, reduction="none")
            digest.call(fl.ctc_align, x, targets, **options)
            digest.call(fl.ctc_posteriors, x, targets, **options)


def lines(dtype: str, level: str, draws: dict[Any, cases.Call], only: str) -> Iterator[str]:
    jobs: dict[str, Callable[[Digest], None]] = {}
    for v in cases.VARIANTS:
        jobs[f"{v.loss.name}-{v.label}"] = lambda d, v=v: add_variant(d, v, dtype, draws)
    for loss in cases.LOSSES:
        jobs[f"{loss.name} large"] = lambda d, loss=loss: add_default(d, loss, dtype)
    for loss in cases.ROWWISE:
        jobs[f"{loss.name} rows"] = lambda d, loss=loss: add_rows(d, loss, dtype)
    for loss in cases.REGIONS:
        jobs[f"{loss.name} regions"] = lambda d, loss=loss: add_regions(d, loss, dtype)
    for loss in (*cases.VECTORS, *cases.BATCHWISE):
        jobs[f"{loss.name} vectors"] = lambda d, loss=loss: add_embeddings(d, loss, dtype)
    jobs["(functions)"] = lambda d: add_functions(d, dtype)
    jobs["(sequences)"] = lambda d: add_sequences(d, dtype)
    for name, job in jobs.items():
        if not re.search(only, name):
            continue
        digest = Digest()
        job(digest)
        yield f"{name} {dtype} {level} {digest.hash.hexdigest()[:32]}"


def fingerprint(only: str) -> list[str]:
    found: list[str] = []
    draws: dict[Any, cases.Call] = {}
    before = _kernels.get_isa()
    for level in _kernels.available_isa():
        _kernels.set_isa(level)
        for dtype in DTYPES:
            found += lines(dtype, level, draws, only)
    _kernels.set_isa(before)
    return sorted(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="where the lines go")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="an earlier fingerprint; exit 1 if a line differs")
    parser.add_argument("--only", default="", metavar="REGEX", help="lines of losses whose name matches, as dice|jaccard")
    parser.add_argument("--show", type=int, default=20, metavar="N", help="how many differing lines to print")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    with np.errstate(all="ignore"):
        found = fingerprint(chosen.only)
    chosen.out.write_text("\n".join(found) + "\n")
    print(f"{len(found)} lines, {len({line.rsplit(' ', 1)[1] for line in found})} distinct, of {fl.__file__}")
    if chosen.compare is None:
        return 0
    lines_before = chosen.compare.read_text().splitlines()
    expected = [line for line in lines_before if re.search(chosen.only, line.rsplit(" ", 3)[0])]
    differing = sorted(set(found) ^ set(expected))
    for line in differing[: chosen.show]:
        print("-" if line in set(expected) else "+", line)
    print(f"{len(differing)} differing lines" if differing else "all lines equal")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())

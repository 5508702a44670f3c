"""What is timed: the named rows with their targets, and ten-element calls of every loss.

A row says which function runs on data of which shape; `Row.problem` draws the data. N rows, C
classes. Imports NumPy and fastloss.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

import fastloss as fl

Array = np.ndarray[Any, np.dtype[Any]]
Mode = Literal["forward", "value and gradient", "gradient and Hessian"]
FORWARD: Mode = "forward"
GRADIENT: Mode = "value and gradient"
HESSIAN: Mode = "gradient and Hessian"  # of the sum
SMALL = "small calls"
_FUNCTIONS = {"logsumexp": "classification", "softmax": "classification", "pairwise_distances": "embedding"}  # no losses


@dataclass(frozen=True)
class Target:
    """What a row should reach; all that are given count."""

    best: float | None = None  # times as fast as the best peer
    eager: float | None = None  # times as fast as PyTorch run eagerly
    scipy: float | None = None  # times as fast as SciPy
    limit: float | None = None  # fraction of the read bandwidth of the same run
    beside: str | None = None  # at least as fast as this other row
    within: float | None = None  # ... or at most this many times as slow
    scaling: float | None = None  # all cores over one thread

    def to_json(self) -> dict[str, float | str]:
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Problem:
    """One row's data, ready to be timed; `moved` counts the bytes that anyone must move."""

    task: str
    mode: Mode
    arrays: tuple[Array, ...]
    options: dict[str, Any]
    moved: int
    tiny: bool = False


def differentiable(task: str) -> tuple[int, ...]:
    """Which of a task's arrays have gradients."""
    loss = fl.LOSSES.get(task)
    return (0,) if loss is None else tuple(loss.arrays.index(name) for name in loss.wrt)


@dataclass(frozen=True)
class Row:
    title: str
    task: str
    shape: tuple[int, ...]
    draw: Callable[[np.random.Generator, tuple[int, ...]], tuple[Array, ...]]
    targets: dict[Mode, Target]
    options: dict[str, Any] = field(default_factory=dict)
    tiny: bool = False

    @property
    def family(self) -> str:
        """Where the results list the row."""
        if self.tiny:
            return SMALL
        return fl.LOSSES[self.task].family if self.task in fl.LOSSES else _FUNCTIONS[self.task]

    def problem(self, mode: Mode, quick: bool = False, arrays: tuple[Array, ...] | None = None) -> Problem:
        """Draw the data, unless it is passed; `quick` keeps a sixteenth of the leading axis."""
        shape = (max(1, self.shape[0] // 16), *self.shape[1:]) if quick else self.shape
        arrays = arrays or self.draw(np.random.default_rng(0), shape)
        slopes = [arrays[k] for k in differentiable(self.task)] if mode != FORWARD else arrays[: self.task == "softmax"]
        written = sum(a.nbytes for a in slopes) * (2 if mode == HESSIAN else 1)
        if self.task == "pairwise_distances":
            written = len(arrays[0]) * len(arrays[1]) * arrays[0].itemsize
        moved = sum(a.nbytes for a in arrays) + written
        return Problem(self.task, mode, arrays, self.options, moved, self.tiny)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape, dtype=np.float32)


def _labelled(axis: int) -> Callable[[np.random.Generator, tuple[int, ...]], tuple[Array, ...]]:
    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
        labels = shape[:axis] + shape[axis + 1 :] if axis >= 0 else shape[:-1]
        return 3 * _normal(rng, shape), rng.integers(shape[axis], size=labels)

    return draw


def _taught(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """Logits, and a teacher's probabilities."""
    return 3 * _normal(rng, shape), np.asarray(fl.softmax(3 * _normal(rng, shape)))


def _labelled_bfloat16(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    import ml_dtypes

    logits, target = _labelled(-1)(rng, shape)
    return logits.astype(ml_dtypes.bfloat16), target


def _labelled_bytes(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    logits, target = _labelled(1)(rng, shape)
    return logits, target.astype(np.uint8)


def _masked(dtype: str) -> Callable[[np.random.Generator, tuple[int, ...]], tuple[Array, ...]]:
    """Logits, and masks of this type."""
    return lambda rng, shape: (3 * _normal(rng, shape), (rng.random(shape, dtype=np.float32) < 0.3).astype(dtype))


def _tasks(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    return 3 * _normal(rng, shape), rng.integers(shape[1] + 1, size=shape[0])


def _thresholded(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    return 2 * _normal(rng, shape), np.linspace(-3, 3, 6, dtype=np.float32), rng.integers(7, size=shape)


def _sequences(labels: int) -> Callable[[np.random.Generator, tuple[int, ...]], tuple[Array, ...]]:
    """Logits (N, T, C), and so many labels for each sample; as of a model that has learned something, without which single
    precision does not see past the size of the logarithms, and no peer would be right."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
        samples, frames, classes = shape
        logits, targets = 2 * _normal(rng, shape), rng.integers(1, classes, (samples, labels))
        spoken = np.zeros((samples, frames), np.int64)
        spoken[:, (np.arange(labels) * frames) // labels] = targets
        spoken = np.where(rng.random(spoken.shape) < 0.02, rng.integers(classes, size=spoken.shape), spoken)
        logits[np.arange(samples)[:, None], np.arange(frames), spoken] += 6 + np.log(classes, dtype=np.float32)
        return logits, targets

    return draw


def _one_sequence(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """Logits (1, T, C), and a label for every tenth frame."""
    return _sequences(shape[0] // 10)(rng, (1, *shape))


def _alone(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    return (3 * _normal(rng, shape),)


def _pair(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    return 2 * _normal(rng, shape), _normal(rng, shape)


def _row_pairs(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """Rows, and rows like them."""
    x = _normal(rng, shape)
    return x, x + _normal(rng, shape)


def _classed_rows(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """Rows of up to 64 overlapping classes, four at least of each; multiples of 1/64, so that float32 tells all distances apart
    that differ, and miners agree on which is the nearest."""
    labels = rng.permutation(np.arange(shape[0]) % max(1, min(64, shape[0] // 4)))
    return np.round(64 * (_normal(rng, (64, shape[1]))[labels] / 4 + _normal(rng, shape))) / 64, labels


def _binary(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    return 3 * _normal(rng, shape), (rng.random(shape, dtype=np.float32) < 0.5).astype(np.float32)


def _gaussian(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    return *_pair(rng, shape), rng.random(shape, dtype=np.float32) + np.float32(0.5)


def _means(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    return _normal(rng, shape), _normal(rng, shape)


def _distributions(log_first: bool) -> Callable[[np.random.Generator, tuple[int, ...]], tuple[Array, ...]]:
    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
        first, second = (fl.log_softmax(2 * _normal(rng, shape)) for _ in range(2))
        return first if log_first else np.exp(first), np.exp(second)

    return draw


def _margins(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    score, label = _binary(rng, shape)
    return score, 2 * label - 1


def _counts(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    log_rate = _normal(rng, shape)
    return log_rate, rng.poisson(1.5, shape).astype(np.float32)


def _positive(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    return _normal(rng, shape), rng.standard_gamma(np.float32(2), shape, dtype=np.float32) + np.float32(1e-3)


def _vector_pairs(signs: bool) -> Callable[[np.random.Generator, tuple[int, ...]], tuple[Array, ...]]:
    """Vectors about a distance of 1 apart, and labels 0 or 1, or -1 or 1."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
        x, label = _normal(rng, shape), rng.integers(2, size=shape[0])
        return x, x + _normal(rng, shape) / np.float32(np.sqrt(shape[1])), 2 * label - 1 if signs else label

    return draw


def _vector_triplets(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    return _normal(rng, shape), _normal(rng, shape), _normal(rng, shape)


def _ranked(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, ...]:
    score, label = _margins(rng, shape)
    return score, _normal(rng, shape), label


def _wide(draw: Callable[..., tuple[Array, ...]]) -> Callable[[np.random.Generator, tuple[int, ...]], tuple[Array, ...]]:
    """The same data in float64."""
    return lambda rng, shape: tuple(a.astype(np.float64) for a in draw(rng, shape))


def _speeds(forward: Target, gradient: Target | None) -> dict[Mode, Target]:
    return {FORWARD: forward} | ({GRADIENT: gradient} if gradient else {})


def named_rows() -> Iterator[Row]:
    """The shapes the project watches, with the speed each should reach."""
    cross_entropy = [
        ((65536, 10), Target(best=3, scaling=1.7), Target(best=3, scaling=1.7)),
        ((65536, 100), Target(best=2.5, scaling=1.7), Target(best=3, scaling=1.7)),
        ((32768, 1000), Target(best=2.5, eager=8, scaling=1.7), Target(best=3, scaling=1.7)),
        ((2048, 32768), Target(best=2.5, eager=10, scaling=1.7), Target(best=4, scaling=1.7)),
    ]
    for shape, forward, gradient in cross_entropy:
        title = f"cross_entropy {' x '.join(map(str, shape))}"
        yield Row(title, "cross_entropy", shape, _labelled(-1), _speeds(forward, gradient))
    yield Row(
        "cross_entropy 8 x 21 x 256 x 256, axis=1",
        "cross_entropy",
        (8, 21, 256, 256),
        _labelled(1),
        _speeds(Target(best=3, scaling=1.7), Target(best=3, scaling=1.7)),
        {"axis": 1},
    )
    beside = "cross_entropy 2048 x 32768"
    yield Row(
        f"{beside}, bfloat16",
        "cross_entropy",
        (2048, 32768),
        _labelled_bfloat16,
        _speeds(Target(beside=beside, eager=5), Target(beside=beside, eager=5)),
    )
    for task in ("logsumexp", "softmax"):
        targets = _speeds(Target(eager=3, scipy=10, scaling=1.7), None)
        yield Row(f"{task} 32768 x 1000", task, (32768, 1000), _alone, targets)
    for task in ("mse", "mae", "huber", "smooth_l1"):
        targets = _speeds(Target(limit=0.8), Target(limit=0.65))
        yield Row(f"{task} 16.8M elements", task, (2**24,), _pair, targets)
    yield Row(
        "binary_cross_entropy_with_logits 16.8M elements",
        "binary_cross_entropy_with_logits",
        (2**24,),
        _binary,
        _speeds(Target(best=3, eager=10, scaling=1.7), Target(best=4, eager=10, scaling=1.7)),
    )
    sums: list[tuple[str, tuple[int, ...], Any]] = [
        ("gaussian_nll", (2**24,), _gaussian),
        ("kl_div", (32768, 1000), _distributions(log_first=True)),
        ("js_divergence", (32768, 1000), _distributions(log_first=False)),
        ("gaussian_kl", (262144, 64), _means),
    ]
    for task, shape, draw in sums:
        size = "16.8M elements" if len(shape) == 1 else " x ".join(map(str, shape))
        yield Row(f"{task} {size}", task, shape, draw, _speeds(Target(best=2.5, eager=8), Target(best=2.5, eager=8)))

    yield from transform_rows()
    yield from score_rows()
    yield from sequence_rows()
    yield from region_rows()
    yield from vector_rows()
    yield from batch_rows()


def transform_rows() -> Iterator[Row]:
    """Functions of cross-entropy, and distillation, beside cross-entropy's own time."""
    title = "cross_entropy 32768 x 1000"
    both = _speeds(Target(beside=title, within=1.3), Target(beside=title, within=1.3))
    for task in ("softmax_focal", "poly1_cross_entropy", "generalized_cross_entropy"):
        yield Row(f"{task} 32768 x 1000", task, (32768, 1000), _labelled(-1), both)
    title = "cross_entropy 32768 x 1000, probabilities"
    both = _speeds(Target(beside=title, within=1.3), Target(beside=title, within=1.3))
    yield Row(title, "cross_entropy", (32768, 1000), _taught, _speeds(Target(), Target()))
    yield Row("kl_div_with_logits 32768 x 1000", "kl_div_with_logits", (32768, 1000), _taught, both)


def score_rows() -> Iterator[Row]:
    """Losses of scores and a label, softmax cross-entropy apart."""
    both = _speeds(Target(), Target())
    title = "multiclass_hinge 65536 x 100, weston_watkins"
    yield Row(title, "multiclass_hinge", (65536, 100), _labelled(-1), both, {"kind": "weston_watkins"})
    yield Row("coral 262144 x 9", "coral", (262144, 9), _tasks, both)
    yield Row("cumulative_link 1M scores", "cumulative_link", (2**20,), _thresholded, both)
    yield Row("squared_emd 65536 x 10", "squared_emd", (65536, 10), _labelled(-1), both)
    yield Row("energy nll 65536 x 100", "energy", (65536, 100), _labelled(-1), both)


def sequence_rows() -> Iterator[Row]:
    """CTC from logits, of the sizes of speech and of lines of text; last a single long sample, which cannot be shared out."""
    shapes: list[tuple[int, int, int, int, float, float]] = [  # T, N, C, S; forward and both, times PyTorch
        (150, 32, 32, 30, 15, 18),
        (512, 32, 32, 100, 30, 30),
        (256, 64, 96, 40, 12, 15),
        (1000, 16, 5000, 60, 10, 18),
        (256, 64, 6000, 20, 8, 18),
    ]
    best = {(512, 32): 10.0}
    for t, n, c, s, forward, both in shapes:
        peers = best.get((t, n), 8.0)
        speeds = _speeds(Target(best=peers, eager=forward, scaling=1.8), Target(best=peers, eager=both, scaling=1.8))
        yield Row(f"ctc T{t} N{n} C{c} S{s}", "ctc", (n, t, c), _sequences(s), speeds)
    yield Row("ctc T20000 N1 C32 S2000", "ctc", (20000, 32), _one_sequence, _speeds(Target(), Target()))


def region_rows() -> Iterator[Row]:
    """Volumes with masks and with label maps; images for Lovasz's extension, which sorts."""
    sigmoid = {"activation": "sigmoid"}
    binary, labelled = (4, 1, 64, 128, 128), (4, 4, 64, 128, 128)
    title = "dice 4 x 1 x 64 x 128 x 128, sigmoid"
    floats = _masked("float32")  # what MONAI's users have; bytes are a row of their own
    yield Row(title, "dice", binary, floats, _speeds(Target(best=3, limit=0.7), Target(best=4)), sigmoid)
    both = _speeds(Target(beside=title, within=1.2), Target(beside=title, within=1.2))
    yield Row(f"dice_cross_entropy{title[4:]}", "dice_cross_entropy", binary, floats, both, sigmoid)
    yield Row(f"{title}, uint8 masks", "dice", binary, _masked("uint8"), _speeds(Target(), Target()), sigmoid)
    title = "dice 4 x 4 x 64 x 128 x 128, softmax"
    yield Row(title, "dice", labelled, _labelled(1), _speeds(Target(best=12, limit=0.7), Target(best=12)))
    both = _speeds(Target(beside=title, within=1.2), Target(beside=title, within=1.2))
    yield Row(f"dice_cross_entropy{title[4:]}", "dice_cross_entropy", labelled, _labelled(1), both)
    both = _speeds(Target(beside=title), Target(beside=title))
    yield Row(f"{title}, uint8 labels", "dice", labelled, _labelled_bytes, both)
    sorts = _speeds(Target(best=5), Target(best=5))
    yield Row("lovasz 4 x 21 x 256 x 256", "lovasz", (4, 21, 256, 256), _labelled(1), sorts)


def vector_rows() -> Iterator[Row]:
    """Pairs and triplets of vectors, each read once."""
    shape = 65536, 128
    yield Row("triplet 65536 x 128", "triplet", shape, _vector_triplets, _speeds(Target(eager=6, limit=0.7), Target(eager=5)))
    speeds = _speeds(Target(limit=0.7), Target())
    yield Row("contrastive 65536 x 128", "contrastive", shape, _vector_pairs(signs=False), speeds)
    yield Row("cosine_embedding 65536 x 128", "cosine_embedding", shape, _vector_pairs(signs=True), speeds)
    for task, draw in (("margin_ranking", _ranked), ("hinge_embedding", _margins)):
        yield Row(f"{task} 16.8M elements", task, (2**24,), draw, _speeds(Target(limit=0.8), Target(limit=0.65)))


def batch_rows() -> Iterator[Row]:
    """Batches whose rows are compared with one another, which products of matrices bound: distances alone have their own rows."""
    for n in (2048, 4096):
        title = f"pairwise_distances {n} x {n} x 128"
        yield Row(title, "pairwise_distances", (n, 128), _row_pairs, _speeds(Target(best=1), None))
    for mining, n in (("hard", 1024), ("semihard", 1024), ("all_semihard", 1024), ("all", 512)):
        both = _speeds(Target(best=5), Target(best=5))
        yield Row(f"batch_triplet {n} x 128, {mining}", "batch_triplet", (n, 128), _classed_rows, both, {"mining": mining})
    both = _speeds(Target(beside=title, within=3), Target(beside=title, within=8))
    yield Row("batch_triplet 4096 x 128, all", "batch_triplet", (4096, 128), _classed_rows, both, {"mining": "all"})
    both = _speeds(Target(best=2), Target(best=3))
    yield Row("nt_xent 512 pairs x 128", "nt_xent", (512, 128), _row_pairs, both)
    yield Row("info_nce 1024 x 128, symmetric", "info_nce", (1024, 128), _row_pairs, both, {"symmetric": True})
    yield Row("supcon 1024 x 128", "supcon", (1024, 128), _classed_rows, both)


def pointwise_rows() -> Iterator[Row]:
    """The further pointwise losses: bound by memory, by exponentials, or used by boosted trees in float64."""
    for task in ("pseudo_huber", "quantile", "expectile", "mape", "hinge", "squared_hinge", "perceptron"):
        targets = _speeds(Target(limit=0.8), Target(limit=0.65))
        draw = _pair if task in ("pseudo_huber", "quantile", "expectile", "mape") else _margins
        yield Row(f"{task} 16.8M elements", task, (2**24,), draw, targets)
    draws = {
        "sigmoid_focal": _binary,
        "log_cosh": _pair,
        "msle": lambda rng, shape: tuple(np.abs(a) for a in _pair(rng, shape)),
        "poisson_nll": _counts,
        "gamma": _positive,
        "tweedie": _positive,
        "soft_margin": _margins,
        "exponential": _margins,
    }
    for task, draw in draws.items():
        targets = _speeds(Target(best=2.5, eager=8), Target(best=2.5, eager=8))
        yield Row(f"{task} 16.8M elements", task, (2**24,), draw, targets)
    trees = {
        "binary_cross_entropy_with_logits": _binary,
        "poisson_nll": _counts,
        "gamma": _positive,
        "tweedie": _positive,
        "quantile": _pair,
        "huber": _pair,
    }
    for task, draw in trees.items():
        yield Row(f"{task} of 1M samples, float64", task, (2**20,), _wide(draw), {HESSIAN: Target(best=3)})


def tiny_rows() -> Iterator[Row]:
    """Every loss on ten elements (or rows): the cost of a call, against the NumPy expression's."""
    for loss in fl.LOSSES.values():
        options = dict(loss.sample(np.random.default_rng(0), dtype="float32", size=10)[1])

        def draw(rng: np.random.Generator, shape: tuple[int, ...], loss: Any = loss) -> tuple[Array, ...]:
            return tuple(loss.sample(rng, dtype="float32", size=shape[0])[0])

        targets = _speeds(Target(best=1), None)
        yield Row(f"{loss.name} on 10", loss.name, (10,), draw, targets, options, tiny=True)


def all_rows() -> list[Row]:
    return [*named_rows(), *pointwise_rows(), *tiny_rows()]

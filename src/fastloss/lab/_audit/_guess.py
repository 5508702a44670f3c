"""Random data for a function that comes without: by the names of its arrays, and by what it takes. May import NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ._subject import ITEMS, Array, Draw

Ask = Callable[[Sequence[Array]], Array]
CLASSES = 5
Generator = np.random.Generator
Pair = Callable[[Generator, int], list[Array]]


def _real(rng: Generator, n: int) -> list[Array]:
    target = rng.normal(size=n)
    return [target + rng.normal(scale=1.5, size=n), target]


def _positive(rng: Generator, n: int) -> list[Array]:
    target = rng.normal(size=n)
    return [np.exp(target + rng.normal(scale=0.7, size=n)), np.exp(target)]


def _probabilities(rng: Generator, n: int) -> list[Array]:
    return [rng.uniform(0.01, 0.99, n), rng.integers(0, 2, n).astype(np.float64)]


def _zero_one(rng: Generator, n: int) -> list[Array]:
    return [rng.normal(scale=3, size=n), rng.integers(0, 2, n).astype(np.float64)]


def _signs(rng: Generator, n: int) -> list[Array]:
    return [rng.normal(scale=3, size=n), rng.choice([-1.0, 1.0], n)]


def _labelled_rows(rng: Generator, n: int) -> list[Array]:
    return [rng.normal(scale=3, size=(n, CLASSES)), rng.integers(0, CLASSES, n)]


def _labelled_probabilities(rng: Generator, n: int) -> list[Array]:
    return [rng.dirichlet(np.ones(CLASSES), n), rng.integers(0, CLASSES, n)]


def _two_rows(rng: Generator, n: int) -> list[Array]:
    return list(rng.normal(size=(2, n, CLASSES)))


def _two_distributions(rng: Generator, n: int) -> list[Array]:
    return list(rng.dirichlet(np.ones(CLASSES), (2, n)))


def _row_and_distribution(rng: Generator, n: int) -> list[Array]:
    return [rng.normal(scale=3, size=(n, CLASSES)), rng.dirichlet(np.ones(CLASSES), n)]


ELEMENTS: dict[str, Pair] = {
    "predictions about targets that are normal": _real,
    "positive predictions and targets": _positive,
    "probabilities and targets 0 or 1": _probabilities,
    "scores and labels -1 or 1": _signs,
    "logits and targets 0 or 1": _zero_one,
}
ROWS: dict[str, Pair] = {
    f"rows of {CLASSES} scores and class labels": _labelled_rows,
    f"pairs of rows of {CLASSES} numbers": _two_rows,
    f"rows of {CLASSES} logits and probabilities": _row_and_distribution,
    f"pairs of rows of {CLASSES} probabilities": _two_distributions,
    f"rows of {CLASSES} probabilities and class labels": _labelled_probabilities,
}
HINTS = {  # part of the first array's name -> what to try first
    "elements": {"prob": "probabilities", "logit": "logits", "score": "scores", "margin": "scores", "rate": "positive"},
    "rows": {"prob": f"rows of {CLASSES} probabilities", "embed": "pairs of rows of", "anchor": "pairs of rows of"},
}


class Unguessed(ValueError):
    """No sort of data has values; `tried` says why not, by what was wrong."""

    def __init__(self, tried: Sequence[tuple[str, str]]) -> None:
        super().__init__("no data")
        self.tried = tuple(tried)


def explain(name: str, arrays: Sequence[str], tried: Sequence[tuple[str, str]]) -> str:
    """What to do, and what went wrong with which data."""
    by_error: dict[str, list[str]] = {}
    for said, error in tried:
        by_error.setdefault(error, []).append(said)
    reasons = "".join(f"\n  {error}\n    with {', '.join(said)}" for error, said in by_error.items())
    return (
        f"audit: {name}: cannot guess its arrays ({', '.join(arrays)}). Pass some: fl.audit({name}, {', '.join(arrays)}), or "
        "sampler=, a function of (rng, dtype, size) that gives them; pointwise=False if it has one value per row. "
        f"What it said:{reasons}"
    )


def guess(arrays: Sequence[str], kind: str, ask: Ask) -> tuple[Draw, str]:
    """(what draws, what it is): the first sort of data of which all values are finite."""
    sorts = ELEMENTS if kind == "elements" else ROWS
    hints = [start for part, start in HINTS[kind].items() if part in arrays[0].lower()]
    order = sorted(sorts, key=lambda said: not any(said.startswith(start) for start in hints))
    tried: list[tuple[str, str]] = []
    for said in order:
        draw = _complete(sorts[said], len(arrays))
        args = draw(np.random.default_rng(0), 16)
        try:
            values = ask(args)
        except Exception as error:
            tried.append((said, f"{type(error).__name__}: {error}"))
            continue
        if np.isfinite(values).all():
            return draw, f"{ITEMS[kind]} {said} (guessed)"
        tried.append((said, "values that are not finite"))
    raise Unguessed(tried)


def _complete(pair: Pair, count: int) -> Draw:
    """As many arrays as a function takes: further ones are positive, or rows like the second."""

    def draw(rng: Generator, items: int) -> list[Array]:
        arrays = pair(rng, items)
        while len(arrays) < count:
            second = arrays[1]
            more = 1 + rng.exponential(size=second.shape) if second.ndim == 1 else rng.permutation(second)
            arrays.append(more)
        return arrays[:count]

    return draw

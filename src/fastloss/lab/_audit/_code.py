"""Counter-examples as code that runs: the arrays of one item, a call, and an assertion. May import NumPy."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ._subject import Array, Subject, is_float

LARGEST = 130  # entries; an example with more is not one that a reader takes in


def literal(a: Array) -> str:
    """An array as Python reads it, in lines of less than 80 columns with room for a name."""
    if a.ndim == 0:
        return repr(a.item())
    with np.printoptions(threshold=LARGEST + 1, linewidth=58, floatmode="unique", nanstr="np.nan", infstr="np.inf"):
        body = np.array2string(a, separator=", ")
    body = re.sub(r"\n\s*\n", "\n", body).replace("\n", "\n    ")
    dtype = f', "{a.dtype}"' if a.dtype in (np.dtype("float32"), np.dtype("float16")) else ""
    return f"np.array(\n    {body}{dtype}\n)" if len(body) > 60 or "\n" in body else f"np.array({body}{dtype})"


def header(subject: Subject, library: bool = False) -> list[str]:
    """The lines that make `np` and `loss`, and `fl` if it is needed."""
    place = subject.place.splitlines()
    imported = ["import fastloss as fl"] if library and "import fastloss as fl" not in place else []
    return ["import numpy as np", *imported, *place]


def tidy(subject: Subject, args: Sequence[Array]) -> list[Array]:
    """The arrays with three digits, where that stays in the domain."""

    def still(short: list[Array]) -> bool:
        return bool(np.isfinite(subject.call(short, "sum")))

    return rounded(args, still, (3,))


def call(subject: Subject, names: Mapping[int, str], method: str = "", reduction: str = "sum", **more: Any) -> str:
    """A call of `loss` with its arrays under some names."""
    arrays = [names.get(k, name) for k, name in enumerate(subject.arrays)]
    options = {**subject.params, **more, "reduction": reduction}
    words = [*arrays, *(f"{name}={value!r}" for name, value in options.items())]
    function, inner = f"loss{f'.{method}' if method else ''}", ", ".join(words)
    if len(function) + len(inner) < 62:
        return f"{function}({inner})"
    return f"{function}(\n{textwrap.fill(inner, 72, initial_indent='    ', subsequent_indent='    ')}\n)"


def assignments(subject: Subject, args: Sequence[Array], names: Mapping[int, str]) -> list[str]:
    """The lines that make the arrays."""
    return [f"{names.get(k, name)} = {literal(args[k])}" for k, name in enumerate(subject.arrays)]


def one(subject: Subject, args: Sequence[Array], i: int) -> list[Array]:
    """The arrays of one item: a batch of one, or the one batch."""
    return subject.take(args, i if subject.kind == "batch" else slice(i, i + 1))


def fits(args: Sequence[Array]) -> bool:
    """Whether an example is short enough to be read."""
    return sum(a.size for a in args) <= LARGEST


def rounded(args: Sequence[Array], still: Callable[[list[Array]], bool], tried: Sequence[int] = (1, 2, 3, 6)) -> list[Array]:
    """Fewer digits, if the example still is one."""
    for digits in tried:
        short = [np.round(a, digits) if is_float(a) else a for a in args]
        try:
            if still(short):
                return short
        except (ValueError, ArithmeticError):
            pass
    return list(args)

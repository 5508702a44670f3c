"""NumPy: what a user would write, or the textbook definition."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import fastloss as fl
from bench.peers import numpy_formulas
from bench.peers.base import Contender, Peer, as_arrays, have
from bench.rows import FORWARD, HESSIAN, Problem


class NumPy(Peer):
    packages = ("numpy",)

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        gradient = problem.mode != FORWARD
        read = partial(as_arrays, gradient=gradient)
        if problem.tiny and (problem.options or problem.task not in numpy_formulas.VALUES):
            yield Contender("NumPy", partial(_reference, problem), read)
            return
        table: Any = numpy_formulas.GRADIENTS if gradient else numpy_formulas.VALUES
        if problem.mode == HESSIAN:
            table = numpy_formulas.HESSIANS
        function = partial(have(table, problem), *problem.arrays, **problem.options)
        reduces = not gradient and problem.task in fl.LOSSES
        yield Contender("NumPy", (lambda: function().mean()) if reduces else function, read)


def _reference(problem: Problem) -> float:
    """The textbook definition, in float64, where no shorter expression is written down."""
    from fastloss._definitions.reference import reduce

    return float(reduce(*fl.LOSSES[problem.task].reference(*problem.arrays, **problem.options)))

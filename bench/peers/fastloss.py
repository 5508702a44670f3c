"""Ours."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

import fastloss as fl
from bench.peers.base import Contender, Peer, as_arrays
from bench.rows import FORWARD, GRADIENT, HESSIAN, Problem, differentiable


class FastLoss(Peer):
    """Ours; twice where there is an output: allocated as the peers do, and the caller's buffer."""

    packages = ("fastloss", "numpy")

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        read = partial(as_arrays, gradient=problem.mode != FORWARD)
        function: Any = getattr(fl, problem.task)
        if problem.mode == HESSIAN:
            yield Contender("fastloss", partial(function.grad_and_hess, *problem.arrays, reduction="sum"), read)
            return
        if problem.mode == GRADIENT:
            function = function.value_and_grad
        call = partial(function, *problem.arrays, **problem.options)
        yield Contender("fastloss", call, read)
        if problem.mode != FORWARD or problem.task == "softmax":
            out = tuple(np.empty_like(problem.arrays[k]) for k in differentiable(problem.task))
            yield Contender("fastloss out=", partial(call, out=out if len(out) > 1 else out[0]), read)

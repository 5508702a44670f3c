"""PyTorch, as it is and compiled. Its formulas: `torch_formulas`."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from bench.peers.base import LACKING, AbsentError, Contender, Gradient, Peer, have, need
from bench.rows import FORWARD, HESSIAN, Array, Problem, differentiable


class PyTorch(Peer):
    packages = ("torch",)

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        try:
            need("torch").set_num_threads(threads)
        except AbsentError:
            return

    def _function(self, problem: Problem, compiled: bool = False) -> tuple[Callable[..., Any], list[Any]]:
        need("torch")
        if problem.mode == HESSIAN:
            raise AbsentError(LACKING)
        from bench.peers import torch_formulas

        table = torch_formulas.functions(problem.options, compiled)
        return have(table, problem), [torch_formulas.tensor(x) for x in problem.arrays]

    @staticmethod
    def _read(result: Any, gradient: bool) -> tuple[Array, Gradient]:
        def read(x: Any) -> Array:
            return np.asarray(x.detach().double().numpy())

        value, grad = result if gradient else (result, None)
        if isinstance(grad, tuple):
            return read(value), tuple(map(read, grad))
        return read(value), None if grad is None else read(grad)

    def _contender(
        self, column: str, function: Callable[..., Any], tensors: list[Any], problem: Problem, compiles: bool = False
    ) -> Contender:
        torch = need("torch")

        def forward() -> Any:
            with torch.inference_mode():
                return function(*tensors)

        def value_and_gradient() -> Any:
            value = function(*leaves)
            gradients = torch.autograd.grad(value, [leaves[k] for k in places])
            return value, gradients if len(places) > 1 else gradients[0]

        if problem.mode == FORWARD:
            return Contender(column, forward, partial(self._read, gradient=False), compiles)
        places = differentiable(problem.task)
        leaves = [x.detach().requires_grad_() if k in places else x for k, x in enumerate(tensors)]
        return Contender(column, value_and_gradient, partial(self._read, gradient=True), compiles)

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        function, tensors = self._function(problem)
        yield self._contender("PyTorch", function, tensors, problem)


class PyTorchCompiled(PyTorch):
    """`torch.compile`d: the function under autograd, and value and gradient as one graph."""

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        function, tensors = self._function(problem, compiled=True)
        torch = need("torch")
        torch.compiler.reset()
        graph = partial(torch.compile, fullgraph=True, dynamic=False)
        yield self._contender("PyTorch compiled", graph(function), tensors, problem, compiles=True)
        if problem.mode == FORWARD:
            return
        places = differentiable(problem.task)
        whole = graph(torch.func.grad_and_value(function, places if len(places) > 1 else places[0]))

        def read(result: Any) -> tuple[Array, Gradient]:
            return self._read(result[::-1], gradient=True)

        def call() -> Any:
            with torch.no_grad():
                return whole(*tensors)

        yield Contender("PyTorch compiled", call, read, compiles=True)

"""JAX and optax. Their formulas: `jax_formulas`."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from bench.peers.base import LACKING, AbsentError, Contender, Peer, as_arrays, have, need
from bench.rows import FORWARD, HESSIAN, Problem, differentiable


class JAX(Peer):
    """optax's losses where it has them, jitted; labels in JAX's own 32-bit integers."""

    packages = ("jax", "jaxlib", "optax")

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        jax, _ = need("jax"), need("optax")
        if problem.mode == HESSIAN:
            raise AbsentError(LACKING)
        from bench.peers import jax_formulas

        table = jax_formulas.functions(problem.options)
        places = differentiable(problem.task)
        function, gradient = have(table, problem), problem.mode != FORWARD
        arrays = [jax.numpy.asarray(x.astype(np.int32) if x.dtype.kind == "i" else x) for x in problem.arrays]
        jitted = jax.jit(jax.value_and_grad(function, places if len(places) > 1 else places[0]) if gradient else function)
        yield Contender(
            "JAX/optax",
            lambda: jax.block_until_ready(jitted(*arrays)),
            partial(as_arrays, gradient=gradient),
            compiles=True,
        )

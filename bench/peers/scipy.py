"""SciPy's special functions."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from bench.peers.base import LACKING, AbsentError, Contender, Peer, as_arrays, have, need
from bench.rows import FORWARD, Array, Problem


class SciPy(Peer):
    packages = ("scipy",)

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        special = need("scipy.special")
        if problem.mode != FORWARD or problem.arrays[0].dtype.itemsize == 2:
            raise AbsentError(LACKING)

        def cross_entropy(x: Array, target: Array, axis: int = -1) -> Any:
            log_probs = special.log_softmax(x, axis)
            if target.shape == x.shape:
                return -(target * log_probs).sum(axis).mean()
            return -np.take_along_axis(log_probs, np.expand_dims(target, axis), axis).mean()

        def binary_cross_entropy(x: Array, target: Array) -> Any:
            return -(target * special.log_expit(x) + (1 - target) * special.log_expit(-x)).mean()

        table = {
            "cross_entropy": cross_entropy,
            "logsumexp": partial(special.logsumexp, axis=-1),
            "softmax": partial(special.softmax, axis=-1),
            "huber": lambda p, t: special.huber(np.float32(1), p - t).mean(),
            "pairwise_distances": lambda x, y: need("scipy.spatial.distance").cdist(x, y),
            "binary_cross_entropy_with_logits": binary_cross_entropy,
            "kl_div": lambda x, t: special.rel_entr(t, np.exp(x)).sum(axis=-1).mean(),
            "js_divergence": lambda p, q: (
                (special.rel_entr(p, (p + q) / 2) + special.rel_entr(q, (p + q) / 2)).sum(-1).mean() / 2
            ),
        }
        call = partial(have(table, problem), *problem.arrays, **problem.options)
        yield Contender("SciPy", call, partial(as_arrays, gradient=False))

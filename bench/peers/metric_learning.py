"""pytorch-metric-learning."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bench.peers.base import LACKING, AbsentError, Contender, need
from bench.peers.torch import PyTorch
from bench.rows import HESSIAN, Problem


class MetricLearning(PyTorch):
    """pytorch-metric-learning's miners and losses."""

    packages = ("pytorch-metric-learning", "torch")
    LISTED = 20_000_000  # triplets that its lists may hold, eight bytes a number and more for what follows

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        losses, torch = need("pytorch_metric_learning.losses"), need("torch")
        if problem.mode == HESSIAN or problem.task not in ("batch_triplet", "nt_xent", "supcon"):
            raise AbsentError(LACKING)
        tensors = [torch.from_numpy(x) for x in problem.arrays]
        if problem.task == "nt_xent":
            rows = 2 * len(tensors[0])
            if rows**3 > self.LISTED:
                raise AbsentError("lists every positive pair with all negative ones, which are too many")
            loss = losses.NTXentLoss(temperature=0.5)
            pairs = torch.arange(len(tensors[0])).repeat(2)
            yield self._contender("metric-learning", lambda a, b: loss(torch.cat([a, b]), pairs), tensors, problem)
        elif problem.task == "supcon":
            yield self._contender("metric-learning", losses.SupConLoss(temperature=0.07), tensors, problem)
        else:
            yield self._contender("metric-learning", self._mined(problem), tensors, problem)

    def _mined(self, problem: Problem) -> Callable[..., Any]:
        distance = need("pytorch_metric_learning.distances").LpDistance(normalize_embeddings=False)
        loss = need("pytorch_metric_learning.losses").TripletMarginLoss(margin=0.2, distance=distance)
        miners, mining = need("pytorch_metric_learning.miners"), problem.options.get("mining", "hard")
        if mining == "semihard":
            raise AbsentError("takes one positive of each anchor")
        counts = np.unique(problem.arrays[1], return_counts=True)[1]
        if mining != "hard" and (counts * (counts - 1) * (counts.sum() - counts)).sum() > self.LISTED:
            raise AbsentError("lists all triplets, which are too many")
        if mining == "all":
            return lambda x, y: loss(x, y)
        miner = miners.BatchHardMiner(distance=distance)
        if mining == "all_semihard":
            miner = miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard", distance=distance)
        return lambda x, y: loss(x, y, miner(x, y))

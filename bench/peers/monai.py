"""MONAI."""

from collections.abc import Iterator

from bench.peers.base import LACKING, AbsentError, Contender, need
from bench.peers.torch import PyTorch
from bench.rows import HESSIAN, Problem


class MONAI(PyTorch):
    """Its Dice losses, without what they add to numerator and denominator; bytes as they are, which it converts itself."""

    packages = ("monai", "torch")

    def contenders(self, problem: Problem) -> Iterator[Contender]:
        if problem.mode == HESSIAN or problem.task not in ("dice", "dice_cross_entropy"):
            raise AbsentError(LACKING)
        losses, torch = need("monai.losses"), need("torch")
        make = losses.DiceLoss if problem.task == "dice" else losses.DiceCELoss
        sigmoid = problem.options.get("activation") == "sigmoid"
        kind = {"sigmoid": True} if sigmoid else {"softmax": True, "to_onehot_y": True}
        function = make(smooth_nr=0.0, smooth_dr=0.0, **kind)
        x, target = problem.arrays
        tensors = [torch.from_numpy(x), torch.from_numpy(target if sigmoid else target[:, None])]  # label maps have a channel
        yield self._contender("MONAI", function, tensors, problem)

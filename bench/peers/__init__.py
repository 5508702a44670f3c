"""The contenders, one file for each library with its formulas beside it: fastloss, pure NumPy, each installed peer.

Each is at its best. A peer turns a `Problem` into contenders, calls without arguments that are only then timed: its arrays are
converted and its graph is compiled before the clock starts; its results are allocated inside. Several contenders may serve one
column (two ways of compiling); the fastest counts. A peer that is not installed, or lacks the function, raises `AbsentError`
with the reason.
"""

from .base import LACKING, AbsentError, Contender, Peer, as_arrays
from .fastloss import FastLoss
from .jax import JAX
from .metric_learning import MetricLearning
from .monai import MONAI
from .numpy import NumPy
from .scipy import SciPy
from .sklearn import ScikitLearn
from .torch import PyTorch, PyTorchCompiled

__all__ = ["LACKING", "PEERS", "AbsentError", "Contender", "FastLoss", "NumPy", "Peer", "as_arrays"]

PEERS: dict[str, type[Peer]] = {
    "fastloss": FastLoss,
    "NumPy": NumPy,
    "PyTorch": PyTorch,
    "PyTorch compiled": PyTorchCompiled,
    "JAX/optax": JAX,
    "MONAI": MONAI,
    "metric-learning": MetricLearning,
    "SciPy": SciPy,
    "scikit-learn": ScikitLearn,
}

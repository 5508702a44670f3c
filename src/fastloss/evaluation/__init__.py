"""Streaming evaluation: any number of losses over data of any size in one pass, with exact sums.

`evaluate` reads sources in chunks (`_sources`), computes terms (`_metrics`), adds them to a
mergeable state (`_state`, on `_exact`), and writes what is asked for (`_output`, `_result`).
"""

from ._result import EvaluationResult, Hard, LossResult, Summary
from ._run import evaluate
from ._state import Evaluation

__all__ = ["Evaluation", "EvaluationResult", "Hard", "LossResult", "Summary", "evaluate"]

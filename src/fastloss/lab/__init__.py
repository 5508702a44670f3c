"""The laboratory: losses of your own, checks of any loss and of its derivatives, pictures.

`custom` makes a full Loss of a NumPy function (`_custom`, with the differences of `_numeric`); `gradcheck` compares analytic with
numeric derivatives (`_gradcheck`, on the slopes of `_slopes`); `audit` tries the requirements of a good loss (`_audit`); `plot`
draws losses (`_plot`, along the lines of `_sweeps`). Loaded on first use, not by `import fastloss`.
"""

from ._audit import Audit, Finding, audit
from ._custom import CustomLoss, custom
from ._gradcheck import gradcheck
from ._numeric import NumericDerivativeWarning
from ._plot import plot
from ._plot_kinds import reliability
from ._report import Check, Entry, GradcheckResult

__all__ = [
    "Audit",
    "Check",
    "CustomLoss",
    "Entry",
    "Finding",
    "GradcheckResult",
    "NumericDerivativeWarning",
    "audit",
    "custom",
    "gradcheck",
    "plot",
    "reliability",
]

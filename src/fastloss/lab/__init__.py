"""The laboratory: losses of your own, and a check of any loss's derivatives.

`custom` makes a full Loss of a NumPy function (`_custom`, with the differences of `_numeric`); `gradcheck` compares analytic with
numeric derivatives (`_gradcheck`, on the slopes of `_slopes`). Loaded on first use, not by `import fastloss`.
"""

from ._custom import CustomLoss, custom
from ._gradcheck import gradcheck
from ._numeric import NumericDerivativeWarning
from ._report import Check, Entry, GradcheckResult

__all__ = ["Check", "CustomLoss", "Entry", "GradcheckResult", "NumericDerivativeWarning", "custom", "gradcheck"]

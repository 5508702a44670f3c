"""Ground truth: every loss from its definition, in mpmath (160 bits) or, for very many classes, 80-bit floats.

Imports nothing of fastloss, so that agreement means something. N rows, C classes. A truth is kept as two
float64 arrays, `hi + lo`: about 106 bits, far below the last digit of any float64 result.

Each family has a file of its own. `exact` holds the numbers that they share, `losses` finds a loss by its name, `ulp` compares,
and `scales` knows what an error is relative to.
"""

from mpmath import mp, mpf

from .batches import BATCHWISE, Batch, batchwise, contrast, mined
from .boxes import box_iou
from .ctc import SEQUENCES, Alignments, ctc_samples
from .exact import EXTENDED, LONG, MP, Exact, Field, Truth, batch
from .losses import truth
from .pointwise import POINTWISE, SUMS, js_divergence, kl_div, pointwise_truth
from .regions import REGIONS, region_scale, region_truth
from .rows import CrossEntropy, Distillation, RowTruth, Softmax, coefficients, cross_entropy, nll
from .scales import derivative_scale, textbook_scale, value_scale
from .scores import ROWS
from .thresholds import SHARED, cumulative_link, linked
from .ulp import NORMAL, assert_derivative, assert_ulps, row_scale, spacing, ulp_error
from .vectors import VECTORS

__all__ = [
    "BATCHWISE",
    "EXTENDED",
    "LONG",
    "MP",
    "NORMAL",
    "POINTWISE",
    "REGIONS",
    "ROWS",
    "SEQUENCES",
    "SHARED",
    "SUMS",
    "VECTORS",
    "Alignments",
    "Batch",
    "CrossEntropy",
    "Distillation",
    "Exact",
    "Field",
    "RowTruth",
    "Softmax",
    "Truth",
    "assert_derivative",
    "assert_ulps",
    "batch",
    "batchwise",
    "box_iou",
    "coefficients",
    "contrast",
    "cross_entropy",
    "ctc_samples",
    "cumulative_link",
    "derivative_scale",
    "js_divergence",
    "kl_div",
    "linked",
    "mined",
    "mp",
    "mpf",
    "nll",
    "pointwise_truth",
    "region_scale",
    "region_truth",
    "row_scale",
    "spacing",
    "textbook_scale",
    "truth",
    "ulp_error",
    "value_scale",
]

"""Every input rule once. A rule returns the argument in the form the kernels take, or raises a Refusal, which names the argument,
what was required and what was received; the Loss that called adds its own name. May import NumPy only.
"""

from ._arrays import (
    FLOAT32 as FLOAT32,
    FLOAT64 as FLOAT64,
    NO_MASK as NO_MASK,
    Array as Array,
    Pair as Pair,
    RowsOf as RowsOf,
    apart as apart,
    array as array,
    axis_of as axis_of,
    converted as converted,
    increasing as increasing,
    is_bfloat16 as is_bfloat16,
    is_weak as is_weak,
    is_wide as is_wide,
    matrix as matrix,
    real_pair as real_pair,
    real_rows as real_rows,
    result as result,
    spread as spread,
    variances as variances,
)
from ._boxes import boxes as boxes, refuse_box as refuse_box
from ._domains import COUNTS as COUNTS, POSITIVE as POSITIVE, PROBABILITIES as PROBABILITIES, SIGNS as SIGNS, Domain as Domain
from ._labels import labels as labels, one_hot as one_hot, outside as outside
from ._options import (
    at_least_zero as at_least_zero,
    between as between,
    flag as flag,
    ignored_label as ignored_label,
    integer as integer,
    number as number,
    one_of as one_of,
    positive as positive,
    within as within,
)
from ._refusals import Refusal as Refusal, named as named, refuse as refuse
from ._regions import Regions as Regions, regions as regions
from ._sequences import Sequences as Sequences, sequences as sequences
from ._vectors import bits as bits, like as like, norm as norm, rows as rows, signs as signs
from ._weights import class_weights as class_weights, trailing as trailing, weights as weights

/* All loops of one computation type, in reading order; level.c includes this for double, then for float. */
#include "convert.h"
#include "pointwise.h"
#include "sums.h"
#include "rows.h"
#include "tiles.h"
#include "scores.h"

#undef FL_SUFFIX
#undef FL_REAL_BITS
#undef FL_THIS_TYPE
#undef FL_BIAS
#undef FL_RANGE
#undef FL_FLUSH
#undef FL_SMALL
#undef FL_ROUND
#undef FL_UNBIAS
#undef FL_EXP_UNIT
#undef FL_LOG1P_ROW
#undef FL_ROW_MAP
#undef R
#undef V
#undef M
#undef LANES

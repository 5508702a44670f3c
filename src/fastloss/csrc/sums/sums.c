/* The loops of losses that sum terms along rows, of one CPU level. setup.py compiles this file once per level with
 * -DFL_LEVEL=<name> and the level's flags; the result is one constant table, fl_sums_table_<level>.
 */
#include "sums/sums.h"

#include <math.h>

#include "common/simd.h"
#include "common/vecmath.h"

#define FL_BODY "sums/real.h"
#include "common/twice.h"

#define FL_TABLE_OF(level) FN_JOIN(fl_sums_table, level)

const fl_sums_table FL_TABLE_OF(FL_LEVEL) = {sums_table_f32, sums_table_f64};

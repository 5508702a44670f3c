/* The loops of pointwise losses, of one CPU level. setup.py compiles this file once per level with
 * -DFL_LEVEL=<name> and the level's flags; the result is one constant table, fl_pointwise_table_<level>.
 */
#include "pointwise/pointwise.h"

#include <math.h>

#include "common/simd.h"
#include "common/vecmath.h"

#include "common/probability.h"

#define FL_BODY "pointwise/real.h"
#include "common/twice.h"

#define FL_TABLE_OF(level) FN_JOIN(fl_pointwise_table, level)

const fl_pointwise_table FL_TABLE_OF(FL_LEVEL) = {pointwise_table_f32, pointwise_table_f64};

/* The loops that all engines share, of one CPU level. setup.py compiles this file once per level with -DFL_LEVEL=<name> and the
 * level's flags; the result is one constant table, fl_table_<level>, that dispatch.c offers to the Cython side.
 */
#include "common/kernels.h"

#include <math.h>

#include "common/half.h"
#include "common/simd.h"
#include "common/view.h"

#define FL_BODY "common/real.h"
#include "common/twice.h"

static void fill(ptrdiff_t n, double x, double *out) {
  for (ptrdiff_t i = 0; i < n; i++) out[i] = x;
}

#define FL_REAL_TABLE(suffix, register_lanes, bytes)                                                                     \
  {                                                                                                                      \
      .gather = gather_##suffix,                                                                                         \
      .scatter = scatter_##suffix,                                                                                       \
      .extremes = extremes_##suffix,                                                                                     \
      .size_extremes = size_extremes_##suffix,                                                                           \
      .sum = sum_f64,                                                                                                    \
      .tile_load = tile_load_##suffix,                                                                                   \
      .tile_save = tile_save_##suffix,                                                                                   \
      .fill = fill,                                                                                                      \
      .lanes = register_lanes,                                                                                           \
      .size = bytes,                                                                                                     \
  }

#define FL_QUOTE(x) #x
#define FL_STRING(x) FL_QUOTE(x)
#define FL_TABLE_OF(level) FN_JOIN(fl_table, level)

const fl_table FL_TABLE_OF(FL_LEVEL) = {FL_STRING(FL_LEVEL), FL_REAL_TABLE(f32, LANES_F32, 4),
                                        FL_REAL_TABLE(f64, LANES_F64, 8)};

/* The loops for all pairs of rows of one CPU level. setup.py compiles this file once per level with -DFL_LEVEL=<name> and the level's
 * flags; the result is one constant table, fl_pairs_table_<level>.
 */
#include "mining/mining.h"

#include <math.h>

#include "common/simd.h"
#include "common/vecmath.h"

#define FL_BODY "mining/real.h"
#include "common/twice.h"

#define FL_PAIRS_REAL(suffix, real)                                                                                      \
  {                                                                                                                      \
      .centre = centre_##suffix,                                                                                         \
      .prepare = prepare_##suffix,                                                                                       \
      .normalize = normalize_##suffix,                                                                                   \
      .distances = distances_##suffix,                                                                                   \
      .distance = pair_distance_##suffix,                                                                                \
      .hardest = hardest_##suffix,                                                                                       \
      .mine = mine_##suffix,                                                                                             \
      .scratch_bytes = scratch_bytes_##suffix,                                                                           \
      .add_difference = add_difference_##suffix,                                                                         \
      .weighted_sums = weighted_sums_##suffix,                                                                           \
      .row_gradient = row_gradient_##suffix,                                                                             \
      .tile_rows = FL_TILE_ROWS,                                                                                         \
      .tile_columns = FL_TILE_COLUMNS_##suffix,                                                                          \
      .size = sizeof(real),                                                                                              \
  }

#define FL_TABLE_OF(level) FN_JOIN(fl_pairs_table, level)

const fl_pairs_table FL_TABLE_OF(FL_LEVEL) = {FL_PAIRS_REAL(f32, float), FL_PAIRS_REAL(f64, double)};

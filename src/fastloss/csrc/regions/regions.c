/* The loops for overlaps of one CPU level. setup.py compiles this file once per level with -DFL_LEVEL=<name> and the level's flags;
 * the result is one constant table, fl_regions_table_<level>.
 */
#include "regions/regions.h"

#include <math.h>

#include "common/simd.h"
#include "common/vecmath.h"

#include "regions/boxes.h"

#define FL_BODY "regions/real.h"
#include "common/twice.h"

#define FL_REGION_REAL(suffix, register_lanes)                                                                           \
  {                                                                                                                      \
      .labels = region_labels_##suffix,                                                                                  \
      .softmax = region_softmax_##suffix,                                                                                \
      .sigmoid = region_sigmoid_##suffix,                                                                                \
      .hide = region_hide_##suffix,                                                                                      \
      .tally = region_tally_##suffix,                                                                                    \
      .slope = region_slope_##suffix,                                                                                    \
      .softmax_slopes = region_softmax_slopes_##suffix,                                                                  \
      .softmax_sums = region_softmax_sums_##suffix,                                                                      \
      .softmax_grad = region_softmax_grad_##suffix,                                                                      \
      .sigmoid_sums = region_sigmoid_sums_##suffix,                                                                      \
      .sigmoid_grad = region_sigmoid_grad_##suffix,                                                                      \
      .errors = region_errors_##suffix,                                                                                  \
      .lovasz_begin = region_lovasz_begin_##suffix,                                                                      \
      .lovasz_read = region_lovasz_read_##suffix,                                                                        \
      .lovasz_turn = region_lovasz_turn_##suffix,                                                                        \
      .lovasz_move = region_lovasz_move_##suffix,                                                                        \
      .lovasz_add = region_lovasz_add_##suffix,                                                                          \
      .passes = FL_SORT_PASSES_##suffix,                                                                                 \
      .key_bytes = sizeof(((union {                                                                                      \
                            float f32;                                                                                   \
                            double f64;                                                                                  \
                          } *)0)                                                                                         \
                              ->suffix),                                                                                 \
      .pair_bytes = sizeof(fl_pair_##suffix),                                                                            \
      .register_bytes = FL_BYTES,                                                                                        \
      .block = 4 * register_lanes,                                                                                       \
  }

#define FL_TABLE_OF(level) FN_JOIN(fl_regions_table, level)

const fl_regions_table FL_TABLE_OF(FL_LEVEL) = {FL_REGION_REAL(f32, LANES_F32), FL_REGION_REAL(f64, LANES_F64), fl_boxes};

/* The loops for overlaps of one CPU level. setup.py compiles this file once per level with -DFL_LEVEL=<name> and the level's flags;
 * the result is one constant table, fl_regions_table_<level>.
 */
#include "regions/regions.h"

#include <math.h>

#include "common/simd.h"
#include "common/vecmath.h"

#define FL_BODY "regions/real.h"
#include "common/twice.h"

#define FL_REGION_REAL(suffix, register_lanes)                                                                           \
  {                                                                                                                      \
      .labels = region_labels_##suffix,                                                                                  \
      .softmax = region_softmax_##suffix,                                                                                \
      .sigmoid = region_sigmoid_##suffix,                                                                                \
      .mask = region_mask_##suffix,                                                                                      \
      .sums = region_sums_##suffix,                                                                                      \
      .grad = region_grad_##suffix,                                                                                      \
      .softmax_grad = region_softmax_grad_##suffix,                                                                      \
      .fused_softmax_sums = region_fused_softmax_sums_##suffix,                                                          \
      .fused_softmax_grad = region_fused_softmax_grad_##suffix,                                                          \
      .fused_sigmoid_sums = region_fused_sigmoid_sums_##suffix,                                                          \
      .fused_sigmoid_grad = region_fused_sigmoid_grad_##suffix,                                                          \
      .errors = region_errors_##suffix,                                                                                  \
      .register_bytes = FL_BYTES,                                                                                        \
      .block = 4 * register_lanes,                                                                                       \
  }

#define FL_TABLE_OF(level) FN_JOIN(fl_regions_table, level)

const fl_regions_table FL_TABLE_OF(FL_LEVEL) = {FL_REGION_REAL(f32, LANES_F32), FL_REGION_REAL(f64, LANES_F64)};

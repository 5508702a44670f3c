/* The loops for contrastive losses of one CPU level. setup.py compiles this file once per level with -DFL_LEVEL=<name> and the
 * level's flags; the result is one constant table, fl_contrast_table_<level>.
 */
#include "contrast/contrast.h"

#include <math.h>

#include "common/simd.h"
#include "common/vecmath.h"

#define FL_BODY "contrast/real.h"
#include "common/twice.h"

static double dot(ptrdiff_t n, const double *x, const double *y) {
  vd sum[2] = {vset_f64(0), vset_f64(0)};
  for (ptrdiff_t d = 0; d < n; d += 2 * LANES_F64)
    for (int h = 0; h < 2; h++) sum[h] = vfma(vload(x + d + h * LANES_F64), vload(y + d + h * LANES_F64), sum[h]);
  return vsum_f64(sum[0] + sum[1]);
}

static void add(ptrdiff_t n, const double *restrict x, double *restrict sum) {
  for (ptrdiff_t d = 0; d < n; d++) sum[d] += x[d];
}

#define FL_CONTRAST_REAL(suffix)                                                                                         \
  {                                                                                                                      \
      .measure = contrast_measure_##suffix,                                                                              \
      .normalize = contrast_normalize_##suffix,                                                                          \
      .normalize_double = contrast_normalize_double_##suffix,                                                            \
      .panel = contrast_panel_##suffix,                                                                                  \
      .across = contrast_across_##suffix,                                                                                \
      .terms = contrast_terms_##suffix,                                                                                  \
      .products = contrast_products_##suffix,                                                                            \
      .online = contrast_online_##suffix,                                                                                \
      .transpose = contrast_transpose_##suffix,                                                                          \
      .weigh = contrast_weigh_##suffix,                                                                                  \
      .weigh_products = contrast_weigh_products_##suffix,                                                                \
      .gather = contrast_gather_##suffix,                                                                                \
      .add_row = contrast_add_row_##suffix,                                                                              \
      .grad = contrast_grad_##suffix,                                                                                    \
      .panel_rows = FL_TILE_ROWS,                                                                                        \
      .columns = FL_TILE_COLUMNS_##suffix,                                                                               \
      .range = contrast_range_##suffix,                                                                                  \
      .bias = contrast_bias_##suffix,                                                                                    \
  }

#define FL_TABLE_OF(level) FN_JOIN(fl_contrast_table, level)

const fl_contrast_table FL_TABLE_OF(FL_LEVEL) = {FL_CONTRAST_REAL(f32), FL_CONTRAST_REAL(f64), dot, add};

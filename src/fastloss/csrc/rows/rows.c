/* The loops for rows of logits, of one CPU level. setup.py compiles this file once per level with
 * -DFL_LEVEL=<name> and the level's flags; the result is one constant table, fl_rows_table_<level>.
 */
#include "rows/rows.h"

#include <math.h>

#include "common/simd.h"
#include "common/vecmath.h"
#include "rows/transform.h"

#define FL_BODY "rows/body.h"
#include "common/twice.h"

static ptrdiff_t samples(ptrdiff_t n, int64_t *label, double *weight, int64_t classes, int has_ignore, int64_t ignore) {
  int odd = 0;
  if (has_ignore)
    for (ptrdiff_t i = 0; i < n; i++) odd |= ((uint64_t)label[i] >= (uint64_t)classes) | (label[i] == ignore);
  else
    for (ptrdiff_t i = 0; i < n; i++) odd |= (uint64_t)label[i] >= (uint64_t)classes;
  if (!odd) return -1; /* the usual case, in vectors */
  ptrdiff_t first = -1;
  for (ptrdiff_t i = 0; i < n; i++) {
    const int ignored = has_ignore && label[i] == ignore;
    if (!ignored && (uint64_t)label[i] < (uint64_t)classes) continue;
    if (!ignored && first < 0) first = i;
    label[i] = -1, weight[i] = -1;
  }
  return first;
}

static ptrdiff_t count_ignored(ptrdiff_t n, const int64_t *label, int64_t classes, int has_ignore, int64_t ignore,
                               int *bad) {
  int64_t ignored = 0, outside = 0;
  for (ptrdiff_t i = 0; i < n; i++) {
    ignored += label[i] == ignore;
    outside += (label[i] < 0) | (label[i] >= classes);
  }
  if (!has_ignore) ignored = 0;
  const int64_t allowed = ignore < 0 || ignore >= classes ? ignored : 0; /* ignored ones that lie outside */
  *bad = outside > allowed;
  return (ptrdiff_t)ignored;
}

#define FL_ROWS_REAL(suffix)                                                                                             \
  {                                                                                                                      \
      .chunks = chunks_##suffix,                                                                                         \
      .rescale = rescale_##suffix,                                                                                       \
      .hard_rows = hard_rows_##suffix,                                                                                   \
      .samples = samples,                                                                                                \
      .finish = finish_##suffix,                                                                                         \
      .log1p = log1p_many_##suffix,                                                                                      \
      .hard_values = hard_values_##suffix,                                                                               \
      .softmax = softmax_##suffix,                                                                                       \
      .log_softmax = log_softmax_##suffix,                                                                               \
      .soft_sums = soft_sums_##suffix,                                                                                   \
      .soft_grad = soft_grad_##suffix,                                                                                   \
      .softmax_hess = softmax_hess_##suffix,                                                                             \
      .hard_factors = hard_factors_##suffix,                                                                             \
      .count_ignored = count_ignored,                                                                                    \
      .tile_stats = tile_stats_##suffix,                                                                                 \
      .tile_scale = tile_scale_##suffix,                                                                                 \
      .tile_log_softmax = tile_log_softmax_##suffix,                                                                     \
      .tile_soft_sums = tile_soft_sums_##suffix,                                                                         \
      .tile_soft_grad = tile_soft_grad_##suffix,                                                                         \
      .tile_hess = tile_hess_##suffix,                                                                                   \
      .transform_sums = transform_sums_##suffix,                                                                         \
      .transform_grad = transform_grad_##suffix,                                                                         \
      .negentropy = negentropy_##suffix,                                                                                 \
      .exps = exps_##suffix,                                                                                             \
      .temper = temper_##suffix,                                                                                         \
      .tile_negentropy = tile_negentropy_##suffix,                                                                       \
      .tile_temper = tile_temper_##suffix,                                                                               \
      .transformed_values = transformed_values,                                                                          \
      .unbias = FL_UNBIAS_##suffix,                                                                                      \
  }
#define FL_TABLE_OF(level) FN_JOIN(fl_rows_table, level)

const fl_rows_table FL_TABLE_OF(FL_LEVEL) = {FL_ROWS_REAL(f32), FL_ROWS_REAL(f64)};

/* What _engines/sums.pyx sees of the loops for losses that sum terms along rows: the job it fills in, and the table of loops, in
 * the order of FL_DIVERGENCE_LOSSES.
 */
#ifndef FASTLOSS_SUMS_H
#define FASTLOSS_SUMS_H

#include "common/kernels.h"
#include "common/levels.h"

/* Rows of a loss whose value is the sum of its elements' terms: `rows` rows one after another, of C elements each (a chunk of a
   long row is a row here). Null pointers are not wanted or not given; p[1] stands in for z, and p[2] for u. */
typedef struct {
  ptrdiff_t rows, C;
  const void *x, *t, *z, *u;
  const double *weight; /* of each row */
  double *sum;          /* out: weighted, of each row, in double */
  void *grad, *grad2;   /* times scale */
  double par[4], scale;
  int want;                            /* FL_VALUE, FL_GRAD */
  double total;                        /* out: of the rows' sums */
  double x_low, x_high, t_low, t_high; /* as for fl_pointwise */
} fl_sums;

/* The losses that sum terms along rows, in the same form. */
#define FL_DIVERGENCE_LOSSES(LOSS)                                                                                       \
  LOSS(kl_div, kl_div_short_f64, FL_T)                                                                                   \
  LOSS(kl_div_log, kl_div_log_short_f64, 0)                                                                              \
  LOSS(js_divergence, 0, FL_X | FL_T | FL_TWO)                                                                           \
  LOSS(gaussian_kl, 0, FL_TWO)                                                                                           \
  LOSS(gaussian_kl_fixed, 0, FL_TWO)

#define FL_NAME(name, wide, ranged) #name,
/* Name of the loss at a place of the table; NULL past the last. */
static inline const char *fl_sums_name(int op) {
  static const char *const names[] = {FL_DIVERGENCE_LOSSES(FL_NAME) NULL};
  return names[op];
}
#undef FL_NAME

typedef void (*fl_sums_loop)(fl_sums *job);

typedef struct {
  const fl_sums_loop *f32, *f64;
} fl_sums_table;

FL_TABLES(fl_sums_table, fl_sums_table)

#endif

/* What _engines/pointwise.pyx sees of the loops for losses with one value per element: the job it fills in, and the table of loops,
 * in the order of FL_POINTWISE_LOSSES.
 */
#ifndef FASTLOSS_POINTWISE_H
#define FASTLOSS_POINTWISE_H

#include "common/kernels.h"
#include "common/levels.h"

/* One block of a pointwise loss: n contiguous elements of the computation type. Null pointers are not wanted or not given. */
typedef struct {
  ptrdiff_t n;
  const void *x, *t, *z, *w; /* prediction, target, third operand (an option that is an array), sample weight */
  void *value, *grad, *hess; /* weighted values; derivatives times scale */
  double par[4], scale;
  int want;
  double sum;                          /* out: the weighted values' sum, in double */
  double x_low, x_high, t_low, t_high; /* out, where wanted: extremes of x and t (or |t|), nan passed over */
  double z_low, z_high;
  void *grad2,
      *hess2; /* with respect to a second argument, t or z; given if grad and hess are, for losses that have one */
} fl_pointwise;

/* The pointwise losses: name, how a float's sum is made (through its double twin, or 0: from float values), and which operands'
   extremes are wanted, to check that they lie in the loss's domain (FL_SIZE_T: those of |t|, for labels of -1 and 1). FL_TWO: two
   arguments have derivatives. FL_COSTLY: a loss beside which weights of 1, read and multiplied by, are not felt; it has the same loop with
   and without weights. FL_HESS_ALONE: the Hessian alone has a loop of its own, as compilers contract it otherwise. */
enum { FL_SIZE_T = 16, FL_COSTLY = 32, FL_HESS_ALONE = 64 };
enum { FL_NO_WEIGHTS, FL_WEIGHTS, FL_ANY_WEIGHTS }; /* what a loop is made for */
#define FL_REGRESSION_LOSSES(LOSS)                                                                                       \
  LOSS(mse, mse_f64, 0)                                                                                                  \
  LOSS(mae, mae_f64, 0)                                                                                                  \
  LOSS(huber, huber_f64, 0)                                                                                              \
  LOSS(smooth_l1, smooth_l1_f64, 0)                                                                                      \
  LOSS(pseudo_huber, 0, 0)                                                                                               \
  LOSS(log_cosh, 0, 0)                                                                                                   \
  LOSS(quantile, quantile_f64, 0)                                                                                        \
  LOSS(expectile, expectile_f64, 0)                                                                                      \
  LOSS(mape, 0, 0)                                                                                                       \
  LOSS(poisson_nll, 0, FL_T)                                                                                             \
  LOSS(gamma, 0, FL_T)                                                                                                   \
  LOSS(gaussian_nll, 0, FL_Z | FL_TWO)
#define FL_CLASSIFICATION_LOSSES(LOSS)                                                                                   \
  LOSS(binary_cross_entropy, 0, FL_X | FL_T)                                                                             \
  LOSS(binary_cross_entropy_with_logits, 0, FL_T | FL_HESS_ALONE)                                                        \
  LOSS(logistic, 0, FL_T)                                                                                                \
  LOSS(hinge, hinge_f64, FL_SIZE_T)                                                                                      \
  LOSS(squared_hinge, squared_hinge_f64, FL_SIZE_T)                                                                      \
  LOSS(perceptron, perceptron_f64, FL_SIZE_T)                                                                            \
  LOSS(soft_margin, 0, FL_SIZE_T)                                                                                        \
  LOSS(exponential, 0, FL_SIZE_T)
/* Losses that floats too compute in double, value and derivatives: name, the function that floats use, extremes. */
#define FL_DOUBLE_LOSSES(LOSS)                                                                                           \
  LOSS(msle, msle_brief_f64, FL_X | FL_T | FL_COSTLY)                                                                    \
  LOSS(poisson_nll_full, poisson_nll_full_brief_f64, FL_T | FL_COSTLY)                                                   \
  LOSS(poisson_nll_rate, poisson_nll_rate_f64, FL_X | FL_T | FL_COSTLY)                                                  \
  LOSS(poisson_nll_rate_full, poisson_nll_rate_full_f64, FL_X | FL_T | FL_COSTLY)                                        \
  LOSS(tweedie, tweedie_brief_f64, FL_T | FL_COSTLY)                                                                     \
  LOSS(tweedie_normal, tweedie_normal_brief_f64, FL_T | FL_COSTLY)                                                       \
  LOSS(tweedie_three_halves, tweedie_three_halves_brief_f64, FL_T | FL_COSTLY)                                           \
  LOSS(tweedie_poisson, tweedie_poisson_brief_f64, FL_T | FL_COSTLY)                                                     \
  LOSS(sigmoid_focal, sigmoid_focal_brief_f64, FL_T)                                                                     \
  LOSS(sigmoid_focal_square, sigmoid_focal_square_brief_f64, FL_T)
#define FL_ENERGY_LOSSES(LOSS) LOSS(contrastive_divergence, 0, FL_TWO)
#define FL_EMBEDDING_LOSSES(LOSS) LOSS(margin_ranking, 0, FL_SIZE_T | FL_TWO) LOSS(hinge_embedding, 0, FL_SIZE_T)
#define FL_POINTWISE_LOSSES(LOSS)                                                                                        \
  FL_REGRESSION_LOSSES(LOSS)                                                                                             \
  FL_CLASSIFICATION_LOSSES(LOSS) FL_ENERGY_LOSSES(LOSS) FL_EMBEDDING_LOSSES(LOSS) FL_DOUBLE_LOSSES(LOSS)

#define FL_NAME(name, wide, ranged) #name,
/* Name of the loss at a place of the table; NULL past the last. */
static inline const char *fl_pointwise_name(int op) {
  static const char *const names[] = {FL_POINTWISE_LOSSES(FL_NAME) NULL};
  return names[op];
}
#undef FL_NAME

typedef void (*fl_pointwise_loop)(fl_pointwise *job);

typedef struct {
  const fl_pointwise_loop *f32, *f64;
} fl_pointwise_table;

FL_TABLES(fl_pointwise_table, fl_pointwise_table)

#endif

/* What _engines/rows.pyx sees of the loops for rows of logits: softmax statistics, cross-entropy and functions of it.
 * Letters: C classes, P positions of a tile (rows side by side, one per vector lane).
 */
#ifndef FASTLOSS_ROWS_H
#define FASTLOSS_ROWS_H

#include "common/kernels.h"
#include "common/levels.h"

#define FL_CHUNK_BYTES 16384 /* the longest chunk of a row: a third of the L1 cache */

enum {
  FL_PLAIN,
  FL_FOCAL,
  FL_POLY1,
  FL_GENERALIZED
}; /* losses that are functions of a row's cross-entropy: transform.h */

/* A part of one row for targets that are spread over the classes (soft): weights a_j = class_weight_j (mix t_j + floor), t and class_weight may be null. */
typedef struct {
  const void *t, *class_weight;
  double mix, floor;
} fl_soft;

/* A tile of C x P logits, P a multiple of `lanes`, positions along the vector. Its classes are x_step elements apart. With `copy`, room for
   C x P elements, they lie in the caller's array and are copied there; otherwise x_step is P, and what is read next is prefetched: C
   runs of P elements, next_step bytes apart; a wrong guess does no harm. */
typedef struct {
  ptrdiff_t C, P, x_step;
  const void *x;
  void *e; /* out: e^(x - max) 2^bias / exp_scale, C x P; may be x; null if nobody wants it */
  void *copy;
  const char *next;
  ptrdiff_t next_step;
} fl_tile;

typedef struct { /* the loops of one computation type */
  /* Softmax statistics. A chunk (a row, or a part of a long one) has max = its largest logit and
     tail_sum = sum over the others of e^(x - max): log sum e^x = max + log1p(tail_sum), without cancellation. `chunks` does one of n
     elements in each of some rows, `stride` bytes apart, and leaves scaled exponentials in `e` (null if nobody wants them).
     It prefetches what follows, or `next`, if not null: elements of two bytes that are to be converted next.
     `finish` makes tail_sum of the partial sums, and exp_scale into the factor by which e becomes e^(x - max) 2^bias; `rescale` multiplies. */
  void (*chunks)(ptrdiff_t rows, ptrdiff_t n, const char *x, ptrdiff_t stride, char *e, ptrdiff_t e_stride, double *max,
                 double *partial, double *exp_scale, const char *next);
  void (*finish)(ptrdiff_t chunks, const double *partial, double *exp_scale, double *tail_sum);
  void (*rescale)(ptrdiff_t n, const void *e, double factor, void *out);
  void (*hard_rows)(ptrdiff_t rows, ptrdiff_t n, const char *e, ptrdiff_t e_stride, const double *factor,
                    const double *gradient, const int64_t *label, char *out, ptrdiff_t stride);
  void (*log1p)(ptrdiff_t n, const double *x, double *out);
  /* out = weight ((max - label_logit) + log1p_tail), 0 where weight < 0 (a sample that does not count; its weight becomes 0), nan
     where max is not finite. Returns the sum; adds the weights to *weights. */
  double (*hard_values)(ptrdiff_t n, const double *max, const double *label_logit, const double *log1p_tail,
                        double *weight, double *out, double *weights);
  /* The same for weight F(l), l the row's cross-entropy (transform.h); also gradient = F'(l). */
  double (*transformed_values)(ptrdiff_t n, int transform, double parameter, const double *max, const double *label_logit,
                               const double *log1p_tail, double *weight, double *out, double *gradient, double *weights);
  /* What the gradient needs of samples with class indices: factor = scale weight exp_scale / (1 + tail_sum) for all classes, and the
     gradient at the label itself, from e there: -tail_sum / (1 + tail_sum) where the label won, else p - 1. */
  void (*hard_factors)(ptrdiff_t n, const double *max, const double *label_logit, const double *tail_sum,
                       const double *exp_scale, const double *e, const double *weight, double scale, double *factor,
                       double *gradient);
  /* Of n labels (weight: the samples' own), those that do not count, ignored or outside [0, classes), become -1 with weight -1.
     Returns the first outside that is not ignored, or -1. */
  ptrdiff_t (*samples)(ptrdiff_t n, int64_t *label, double *weight, int64_t classes, int has_ignore, int64_t ignore);
  /* How many of n labels are `ignore` (if has_ignore); *bad if any other lies outside [0, classes). */
  ptrdiff_t (*count_ignored)(ptrdiff_t n, const int64_t *label, int64_t classes, int has_ignore, int64_t ignore,
                             int *bad);
  void (*softmax)(ptrdiff_t n, const void *x, double max, double scale, void *out);
  void (*log_softmax)(ptrdiff_t n, const void *x, double max, double log1p_tail, void *out);
  void (*soft_sums)(ptrdiff_t n, const void *x, double max, const fl_soft *soft, double *weighted, double *weight);
  void (*soft_grad)(ptrdiff_t n, const void *x, double max, double tail_sum, double scale, double target_scale,
                    const fl_soft *soft, void *out);
  /* Of targets spread over the classes, with l_j the cross-entropy of class j: adds sum a_j F(l_j) and sum a_j F'(l_j); and
     the gradient scale (p_j gradient_sum - a_j F'(l_j)), gradient_sum being the second sum. */
  void (*transform_sums)(ptrdiff_t n, const void *x, double max, double log1p_tail, const fl_soft *soft, int transform,
                         double parameter, double *value, double *gradient_sum);
  void (*transform_grad)(ptrdiff_t n, const void *x, double max, double log1p_tail, double scale, double gradient_sum,
                         const fl_soft *soft, int transform, double parameter, void *out);
  /* Kullback-Leibler: *sum += t log t, of probabilities or their logarithms; e^x; and (x - reference) / temperature. */
  void (*negentropy)(ptrdiff_t n, const void *t, int is_log, double *sum);
  void (*exps)(ptrdiff_t n, const void *x, void *out);
  void (*temper)(ptrdiff_t n, const void *x, double reference, double temperature, void *out);
  void (*softmax_hess)(ptrdiff_t n, const void *x, double max, double tail_sum, double scale, void *out);

  /* The same for a tile; every per-position array has P entries. */
  void (*tile_stats)(const fl_tile *tile, double *max, double *tail_sum, double *exp_scale);
  void (*tile_scale)(ptrdiff_t C, ptrdiff_t P, const void *e, const double *factor, void *out, ptrdiff_t out_step);
  void (*tile_log_softmax)(ptrdiff_t C, ptrdiff_t P, void *x, const double *max, const double *log1p_tail);
  void (*tile_soft_sums)(ptrdiff_t C, ptrdiff_t P, const void *x, const double *max, const fl_soft *soft,
                         double *weighted, double *weight);
  void (*tile_soft_grad)(ptrdiff_t C, ptrdiff_t P, const void *x, void *e, const double *max, const double *tail_sum,
                         const double *exp_scale, const double *scale, const double *target_scale, const fl_soft *soft);
  void (*tile_hess)(ptrdiff_t C, ptrdiff_t P, const void *x, void *e, const double *max, const double *tail_sum,
                    const double *exp_scale, const double *scale);
  void (*tile_negentropy)(ptrdiff_t C, ptrdiff_t P, const void *t, int is_log, double *sum);
  void (*tile_temper)(ptrdiff_t C, ptrdiff_t P, void *x, double temperature);

  double unbias; /* 2^-bias */
} fl_rows_real;

typedef struct {
  fl_rows_real f32, f64;
} fl_rows_table;

FL_TABLES(fl_rows_table, fl_rows_table)

#endif

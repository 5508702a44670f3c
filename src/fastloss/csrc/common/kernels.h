/* What the Cython side sees of the C side: the jobs it fills in and the table of inner loops each CPU level offers.
 * Letters: N rows (samples), C classes, P positions of a tile (rows side by side, one per vector lane).
 * Nothing here allocates, touches Python, or reads a position that its caller did not name.
 */
#ifndef FL_KERNELS_H
#define FL_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum { FL_VALUE = 1, FL_GRAD = 2, FL_HESS = 4 }; /* what a call wants; combined by | */

enum fl_type { /* the element types that arrays may have; the first four are floating */
               FL_F16,
               FL_BF16,
               FL_F32,
               FL_F64,
               FL_I8,
               FL_I16,
               FL_I32,
               FL_I64,
               FL_U8, /* bool too */
               FL_U16,
               FL_U32,
               FL_U64,
               FL_TYPES
};

#define FL_MAX_DIMS 64       /* NumPy's own limit */
#define FL_PIECE_BYTES 16384 /* the longest piece of a row: a third of the first-level cache */
#define FL_LINES_AHEAD 4096  /* bytes ahead of where they are needed that lines of memory are asked for */
#define FL_AHEAD 16384       /* bytes ahead of the exponentials that memory is fetched at the least */
#define FL_COLUMNS_AHEAD 512 /* the same where many runs are read side by side */

enum {
  FL_PLAIN,
  FL_FOCAL,
  FL_POLY1,
  FL_GENERALIZED
}; /* losses that are functions of a row's cross-entropy: transform.h */

/* An array seen as a flat C-order sequence, whatever its strides: read with `gather`, written with `scatter`. */
typedef struct {
  char *data;
  int type; /* enum fl_type */
  int ndim; /* after merging neighbours that advance evenly; at least 1 */
  ptrdiff_t shape[FL_MAX_DIMS], stride[FL_MAX_DIMS];
} fl_view;

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

/* Rows of a loss whose value is the sum of its elements' terms: `rows` rows one after another, of C elements each (a piece of a
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

/* A stretch of one row for the soft kernels: weights a_j = class_weight_j (mix t_j + floor), t and class_weight may be null. */
typedef struct {
  const void *t, *class_weight;
  double mix, floor;
} fl_soft;

/* A tile of C x P logits, P a multiple of `lanes`, positions along the vector. Its classes are x_step elements apart. With `room`, for C x P
   elements, they lie in the caller's array; otherwise x_step is P, and meanwhile what is read next is fetched: C runs of P
   elements, next_step bytes apart; a wrong guess does no harm. */
typedef struct {
  ptrdiff_t C, P, x_step;
  const void *x;
  void *e; /* out: e^(x - top) 2^bias / unit, C x P; may be x; null if nobody wants it */
  void *room;
  const char *next;
  ptrdiff_t next_step;
} fl_tile;

/* A tile of a loss of rows of scores with one label each (scores.h): C x P scores, P a multiple of `lanes`, positions along the
   vector. Null pointers are not wanted or not given. Values are not weighted; derivatives are multiplied by the position's scale. */
typedef struct {
  ptrdiff_t C, P;
  const void *x;
  const double *label, *scale; /* of each position; labels are whole numbers in range */
  const double *level_weight;  /* of each class */
  double par[4];
  double *value;
  void *grad, *hess; /* C x P; may be x */
  double *scratch;   /* FL_SCORES_SCRATCH entries for each class and lane */
} fl_scores;
#define FL_SCORES_SCRATCH 2
#define FL_SCORE_LOSSES(LOSS) LOSS(contrast) LOSS(weston_watkins) LOSS(gibbs) LOSS(tasks) LOSS(squared_emd)
#define FL_SCORES_NUMBER(name) FL_SCORES_##name,
enum fl_score_loss { FL_SCORE_LOSSES(FL_SCORES_NUMBER) FL_SCORES_COUNT };
enum fl_score_kind { /* what `contrast` (the first eight) and `gibbs` make of the energies */
                     FL_ENERGY,
                     FL_HINGE,
                     FL_HINGE_SQUARED,
                     FL_LOG,
                     FL_LVQ2,
                     FL_MCE,
                     FL_SQUARE_SQUARE,
                     FL_SQUARE_EXP,
                     FL_NLL,
                     FL_MEE
};

/* A block of a cumulative link loss (links.h), all in double: each score's interval is (low, high) - score. The arrays reach to
   the next multiple of 8. `slopes`: whether the last three are wanted. */
typedef struct {
  ptrdiff_t n;
  const double *score, *low, *high, *scale;
  int slopes;
  double *value, *grad, *grad_low, *grad_high;
} fl_link;
#define FL_LINKS(LINK) LINK(logit) LINK(probit) LINK(cloglog)
#define FL_LINK_NUMBER(name) FL_LINK_##name,
enum fl_link_kind { FL_LINKS(FL_LINK_NUMBER) FL_LINK_COUNT };

typedef struct fl_real_table { /* the loops of one computation type (float or double) */
  void (*gather)(const fl_view *view, ptrdiff_t start, ptrdiff_t n, void *out);
  void (*scatter)(const fl_view *view, ptrdiff_t start, ptrdiff_t n, const void *in);

  void (*const *pointwise)(fl_pointwise *job); /* indexed in the order of FL_POINTWISE_LOSSES */
  void (*const *sums)(fl_sums *job);           /* indexed in the order of FL_DIVERGENCE_LOSSES */

  /* Softmax statistics. A piece (a row, or a stretch of a long one) has top = its largest logit and
     rest = sum over the others of e^(x - top): log sum e^x = top + log1p(rest), without cancellation. `pieces` does one of n
     elements in each of some rows, `stride` bytes apart, and leaves scaled exponentials in `e` (null if nobody wants them).
     Meanwhile it fetches what follows, or `next`, if not null: elements of two bytes that are to be converted next.
     `finish` makes rest of part, and unit into the factor by which e becomes e^(x - top) 2^bias; `rescale` multiplies. */
  void (*pieces)(ptrdiff_t rows, ptrdiff_t n, const char *x, ptrdiff_t stride, char *e, ptrdiff_t e_stride, double *top,
                 double *part, double *unit, const char *next);
  void (*finish)(ptrdiff_t pieces, const double *part, double *unit, double *rest);
  void (*rescale)(ptrdiff_t n, const void *e, double factor, void *out);
  void (*hard_rows)(ptrdiff_t rows, ptrdiff_t n, const char *e, ptrdiff_t e_stride, const double *factor,
                    const double *slope, const int64_t *label, char *out, ptrdiff_t stride);
  void (*log1p)(ptrdiff_t n, const double *x, double *out);
  /* out = weight ((top - picked) + log1p_rest), 0 where weight < 0 (a sample that does not count; its weight becomes 0), nan
     where top is not finite. Returns the sum; adds the weights to *weights. */
  double (*hard_values)(ptrdiff_t n, const double *top, const double *picked, const double *log1p_rest, double *weight,
                        double *out, double *weights);
  /* The same for weight F(l), l the row's cross-entropy (transform.h); also slope = F'(l). */
  double (*transformed_values)(ptrdiff_t n, int transform, double parameter, const double *top, const double *picked,
                               const double *log1p_rest, double *weight, double *out, double *slope, double *weights);
  /* What the gradient needs of samples with class indices: factor = scale weight unit / (1 + rest) for all classes, and the
     slope at the label itself, from e there: -rest / (1 + rest) where the label won, else p - 1. */
  void (*hard_slopes)(ptrdiff_t n, const double *top, const double *picked, const double *rest, const double *unit,
                      const double *e, const double *weight, double scale, double *factor, double *slope);
  /* Of n labels (weight: the samples' own), those that do not count, ignored or outside [0, classes), become -1 with weight -1.
     Returns the first outside that is not ignored, or -1. */
  ptrdiff_t (*samples)(ptrdiff_t n, int64_t *label, double *weight, int64_t classes, int has_ignore, int64_t ignore);
  void (*fill)(ptrdiff_t n, double x, double *out);
  /* How many of n labels are `ignore` (if has_ignore); *bad if any other lies outside [0, classes). */
  ptrdiff_t (*census)(ptrdiff_t n, const int64_t *label, int64_t classes, int has_ignore, int64_t ignore, int *bad);
  void (*softmax)(ptrdiff_t n, const void *x, double top, double scale, void *out);
  void (*log_softmax)(ptrdiff_t n, const void *x, double top, double log1p_rest, void *out);
  void (*soft_sums)(ptrdiff_t n, const void *x, double top, const fl_soft *soft, double *weighted, double *weight);
  void (*soft_grad)(ptrdiff_t n, const void *x, double top, double rest, double scale, double target_scale,
                    const fl_soft *soft, void *out);
  /* Of targets spread over the classes, with l_j the cross-entropy of class j: adds sum a_j F(l_j) and sum a_j F'(l_j); and
     the gradient scale (p_j pull - a_j F'(l_j)), pull being the second sum. */
  void (*transform_sums)(ptrdiff_t n, const void *x, double top, double log1p_rest, const fl_soft *soft, int transform,
                         double parameter, double *value, double *pull);
  void (*transform_grad)(ptrdiff_t n, const void *x, double top, double log1p_rest, double scale, double pull,
                         const fl_soft *soft, int transform, double parameter, void *out);
  /* Kullback-Leibler: *sum += t log t, of probabilities or their logarithms; e^x; and (x - reference) / temperature. */
  void (*negentropy)(ptrdiff_t n, const void *t, int is_log, double *sum);
  void (*exps)(ptrdiff_t n, const void *x, void *out);
  void (*temper)(ptrdiff_t n, const void *x, double reference, double temperature, void *out);
  void (*softmax_hess)(ptrdiff_t n, const void *x, double top, double rest, double scale, void *out);

  void (*extremes)(ptrdiff_t n, const void *x, double *low, double *high); /* widens [low, high]; nan passed over */

  /* The same for a tile; every per-position array has P entries. */
  void (*tile_load)(ptrdiff_t C, ptrdiff_t P, ptrdiff_t n, const char *x, ptrdiff_t stride, void *tile);
  void (*tile_save)(ptrdiff_t C, ptrdiff_t P, ptrdiff_t n, const void *tile, char *x, ptrdiff_t stride);
  void (*tile_stats)(const fl_tile *tile, double *top, double *rest, double *unit);
  void (*tile_scale)(ptrdiff_t C, ptrdiff_t P, const void *e, const double *factor, void *out, ptrdiff_t out_step);
  void (*tile_log_softmax)(ptrdiff_t C, ptrdiff_t P, void *x, const double *top, const double *log1p_rest);
  void (*tile_soft_sums)(ptrdiff_t C, ptrdiff_t P, const void *x, const double *top, const fl_soft *soft,
                         double *weighted, double *weight);
  void (*tile_soft_grad)(ptrdiff_t C, ptrdiff_t P, const void *x, void *e, const double *top, const double *rest,
                         const double *unit, const double *scale, const double *target_scale, const fl_soft *soft);
  void (*tile_hess)(ptrdiff_t C, ptrdiff_t P, const void *x, void *e, const double *top, const double *rest,
                    const double *unit, const double *scale);
  void (*tile_negentropy)(ptrdiff_t C, ptrdiff_t P, const void *t, int is_log, double *sum);
  void (*tile_temper)(ptrdiff_t C, ptrdiff_t P, void *x, double temperature);

  void (*const *scores)(fl_scores *job); /* indexed by enum fl_score_loss */
  void (*const *links)(fl_link *job);    /* indexed by enum fl_link_kind; the same in both tables */
  int lanes, size;                       /* elements per register; bytes per element */
  double unbias;                         /* 2^-bias */
} fl_real_table;

typedef struct {
  const char *name;
  fl_real_table f32, f64;
} fl_table;

/* The pointwise losses: name, how a float's sum is made (through its double twin, or 0: from float values), and which operands'
   extremes are wanted, to check that they lie in the loss's domain (FL_SIZE_T: those of |t|, for labels of -1 and 1). FL_TWO: two
   arguments have derivatives. FL_COSTLY: a loss beside which weights of 1, read and multiplied by, are not felt; it has the same loop with
   and without weights. FL_HESS_ALONE: the Hessian alone has a loop of its own, as compilers contract it otherwise. */
enum { FL_X = 1, FL_T = 2, FL_Z = 4, FL_TWO = 8, FL_SIZE_T = 16, FL_COSTLY = 32, FL_HESS_ALONE = 64 };
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

/* The losses that sum terms along rows, in the same form. */
#define FL_DIVERGENCE_LOSSES(LOSS)                                                                                       \
  LOSS(kl_div, kl_div_short_f64, FL_T)                                                                                   \
  LOSS(kl_div_log, kl_div_log_short_f64, 0)                                                                              \
  LOSS(js_divergence, 0, FL_X | FL_T | FL_TWO)                                                                           \
  LOSS(gaussian_kl, 0, FL_TWO)                                                                                           \
  LOSS(gaussian_kl_fixed, 0, FL_TWO)

/* dispatch.c */
const char *fl_pointwise_name(int op); /* NULL past the last */
const char *fl_sums_name(int op);
const fl_table *fl_table_at(int level); /* the levels this machine can run, slowest first; NULL past the last */

/* scalar.c */
void fl_merge_pieces(ptrdiff_t pieces, const double *top, const double *rest, double *row_top, double *row_rest);
void fl_gather_labels(const fl_view *view, ptrdiff_t start, ptrdiff_t n, int64_t *out);
double fl_load_one(const char *p, int type);
void fl_store_one(char *p, int type, double value);
char *fl_view_at(const fl_view *view, ptrdiff_t index);

#endif

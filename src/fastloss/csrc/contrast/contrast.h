/* What _engines/contrast.pyx sees of the loops for rows that are compared with rows: the jobs it fills in and the table that each CPU
 * level offers. An anchor is a row whose similarities to many candidates go into one loss; anchors lie in lanes, side by side.
 * Letters: D numbers of a row, padded with zeros to whole tiles of a product.
 */
#ifndef FASTLOSS_CONTRAST_H
#define FASTLOSS_CONTRAST_H

#include "common/kernels.h"
#include "common/levels.h"

enum {
  FL_ANCHORS = 96,    /* of a block: whole tiles of a product (gemm.h) at every level, as its rows and as its columns */
  FL_CANDIDATES = 384 /* of a chunk, a multiple of the anchors: its similarities stay in the L2 cache */
};

/* Rows `first` .. `first` + `rows` of the candidates against the anchors from `anchor` on, of which `lanes` exist. All arrays are
   of the computation type. */
typedef struct {
  ptrdiff_t D, first, rows, anchor, lanes;
  const void *left;  /* the candidates' panels, from row `first` */
  const void *right; /* D x FL_ANCHORS: the anchors' numbers side by side */
  double factor;     /* similarity = factor x product */
  double exponent;   /* exponentials are divided by two to the power of it */
  const int64_t
      *low; /* of each candidate, from row 0: the first anchor that is its positive or itself; or NULL: none is */
  const int64_t *high; /* past the last */
  void *e;             /* rows (rounded up to whole panels) x FL_ANCHORS */
  double *sums;        /* of each anchor's exponentials: added to; or NULL */
  double *row_sums;    /* of each candidate's, over the lanes: written; or NULL */
  void *max;           /* of each anchor (fl_contrast_real.online) */
} fl_contrast;

/* How exponentials, or products, become the loss's gradients with respect to the similarities: an anchor's and a candidate's (which
   is an anchor, too, of other blocks) together. */
typedef struct {
  const void *lane, *row;         /* what they are multiplied by: of the block's anchors, of all candidates */
  const void *lane_max, *row_max; /* products: what is subtracted first, times the factor in the exponent */
  const void *lane_own, *row_own; /* subtracted where `low` and `high` say so */
  int itself;                     /* candidates are the anchors: 0 where a row would meet itself */
  void *w;                        /* as fl_contrast.e, which it may be */
} fl_contrast_weigh;

/* The last step of a gradient's row: the sum of weighted rows times a factor, and through the normalisation x / |x|. */
typedef struct {
  const void *x;
  double power, inverse; /* the row is x power inverse */
  int normalized;
  double factor;
  const void *g;
  void *out;
} fl_contrast_grad;

typedef struct {
  /* 1 / |x power|, 0 if x is all 0, of n numbers, whole registers; power is 1 unless squares would leave a double's range. */
  void (*measure)(ptrdiff_t n, const void *x, double *power, double *inverse);
  void (*normalize)(ptrdiff_t n, const void *x, double power, double inverse, void *z);
  void (*normalize_double)(ptrdiff_t n, const void *x, double power, double inverse, double *z);
  void (*panel)(ptrdiff_t rows, ptrdiff_t D, const void *z, void *left);
  void (*across)(ptrdiff_t D, const void *left, void *right); /* panels of FL_ANCHORS rows as fl_contrast.right */
  void (*terms)(const fl_contrast *job);                      /* exponentials */
  void (*products)(const fl_contrast *job);                   /* -inf where `low` and `high` say so */
  void (*online)(const fl_contrast *job);             /* their maxima, and sums of exponentials relative to these */
  void (*transpose)(const void *e, void *transposed); /* FL_ANCHORS x FL_ANCHORS */
  void (*weigh)(const fl_contrast *job, const fl_contrast_weigh *weigh);
  void (*weigh_products)(const fl_contrast *job, const fl_contrast_weigh *weigh);
  /* g += the weighted sums of rows of z; z: panels of `columns` numbers of every row, panel_step numbers apart. */
  void (*gather)(ptrdiff_t rows, ptrdiff_t D, const void *w, const void *z, ptrdiff_t panel_step, void *g, int add);
  void (*add_row)(ptrdiff_t D, double factor, const void *z, ptrdiff_t panel_step, void *g);
  void (*grad)(ptrdiff_t n, const fl_contrast_grad *job);
  ptrdiff_t panel_rows, columns;
  double range; /* of bounded similarities: twice the factor at most */
  int bias;
} fl_contrast_real;

typedef struct {
  fl_contrast_real f32, f64;
  double (*dot)(ptrdiff_t n, const double *x, const double *y); /* n: whole registers of floats */
  void (*add)(ptrdiff_t n, const double *x, double *sum);
} fl_contrast_table;

FL_TABLES(fl_contrast_table, fl_contrast_table)

#endif

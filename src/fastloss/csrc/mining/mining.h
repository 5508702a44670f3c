/* What _engines/mining.pyx sees of the loops for all pairs of rows: distances, and the triplets mined from them.
 * Letters: N rows, D dimensions, P positives of an anchor.
 */
#ifndef FASTLOSS_PAIRS_H
#define FASTLOSS_PAIRS_H

#include "common/kernels.h"
#include "common/levels.h"

#define FL_BLOCK_ROWS 48 /* rows whose gradient is made at a time: whole tiles at every level */

enum fl_metric { FL_SQUARED, FL_EUCLIDEAN, FL_COSINE };
enum fl_mining { FL_HARD, FL_SEMIHARD, FL_ALL, FL_ALL_SEMIHARD };

/* Rows of vectors as the loops take them, numbers of the computation type. */
typedef struct {
  ptrdiff_t N, D, step; /* step: numbers from one row to the next, a multiple of the registers' */
  const void *rows;     /* as given; zeros past D */
  const void *left;     /* panels of gemm.h: tile_rows rows each, */
  const void *right;    /* tile_columns rows each */
  const void *square;   /* of the packed rows: |x|^2; 1 past N */
  const void
      *by_dimension;  /* the packed rows as a product's right side: [panel of tile_columns dimensions][row], or NULL */
  const double *norm; /* FL_COSINE: |x| of each row */
} fl_points;

/* One anchor's triplets. Everything is of the computation type but where it says double. */
typedef struct {
  ptrdiff_t N, anchor;
  const int32_t *member; /* of the anchor's class, ascending; `members` of them */
  ptrdiff_t members;
  int mining, squared; /* squared: the loss is of squared distances */
  double margin, weight;
  void *row; /* squared distances to all rows, `columns` of them (a multiple of tile_columns); overwritten */
  void *
      gradients; /* NULL, or: the loss's gradient in each distance, times `weight`, divided by the distance (doubled if squared) */
  ptrdiff_t columns;
  char *scratch;               /* fl_pairs_real.scratch_bytes(columns) */
  double value, active, valid; /* out: the sum of the triplets' losses, how many are above 0, how many there are */
} fl_anchor;

typedef struct {
  /* Mean of the rows, rounded so that differences from it are about as exact as the rows; 0 where it is of no use. */
  void (*centre)(const fl_points *x, double *scratch, void *centre);
  /* Rows first .. last - 1, less the centre (NULL: as they are), packed and |x|^2 of each. `first` is
     a multiple of both tiles' sides, and so is `last` but for the end, where all that is padded is filled in. */
  void (*prepare)(const fl_points *x, const void *centre, ptrdiff_t first, ptrdiff_t last, void *left, void *right,
                  void *square, void *by_dimension);
  void (*normalize)(const fl_points *x, ptrdiff_t first, ptrdiff_t last, void *out, double *norm); /* x / |x|, and |x| */
  /* Distances from rows first .. first + n - 1 of x (first is a multiple of tile_rows) to rows from .. to - 1 of y (`from` a
     multiple of tile_columns): out[row][column], rows `step` numbers apart, whole tiles are written. */
  void (*distances)(const fl_points *x, const fl_points *y, int metric, ptrdiff_t first, ptrdiff_t n, ptrdiff_t from,
                    ptrdiff_t to, void *out, ptrdiff_t step);
  double (*distance)(const fl_points *x, ptrdiff_t i, ptrdiff_t j, int squared); /* to double precision */
  /* Of squared distances to all rows: the farthest positive, the nearest negative; -1 where there is none at a finite distance.
     Whether any is nan. The anchor's place in the row, and those past N, are overwritten. */
  int (*hardest)(ptrdiff_t N, ptrdiff_t columns, void *row, const void *label, ptrdiff_t anchor, ptrdiff_t *positive,
                 ptrdiff_t *negative);
  void (*mine)(fl_anchor *job);
  ptrdiff_t (*scratch_bytes)(ptrdiff_t columns); /* that `mine` and `weighted_sums` need */
  /* sum += w (x_i - x_j), in double. */
  void (*add_difference)(const fl_points *x, ptrdiff_t i, ptrdiff_t j, double w, double *sum);
  /* out[i] += sum over k of (across[i][k] + along[k][i]) y_k, for K rows of y from the `first` one on, as they were packed, and n
     rows i, up to FL_BLOCK_ROWS; total[i] += the sum of those gradients. across or along may be NULL. */
  void (*weighted_sums)(const fl_points *y, ptrdiff_t first, ptrdiff_t K, const void *across, const void *along,
                        ptrdiff_t gradients_step, ptrdiff_t n, void *out, double *total, void *scratch);
  void (*row_gradient)(const fl_points *x, ptrdiff_t i, const void *sum, double total, double scale, void *out);
  int tile_rows, tile_columns, size;
} fl_pairs_real;

typedef struct {
  fl_pairs_real f32, f64;
} fl_pairs_table;

FL_TABLES(fl_pairs_table, fl_pairs_table)

#endif

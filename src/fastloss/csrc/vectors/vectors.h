/* What _engines/vectors.pyx sees of the loops for losses of pairs and triplets of vectors: the job it fills in for each row and the table
 * that each CPU level offers. Letters: D elements of a row.
 */
#ifndef FASTLOSS_VECTORS_H
#define FASTLOSS_VECTORS_H

#include "common/kernels.h"
#include "common/levels.h"

enum fl_norm { FL_NORM_TWO, FL_NORM_ONE, FL_NORM_MAX, FL_NORM_ANY };

#define FL_VECTOR_CHUNK 4096 /* elements that are gathered at once: a multiple of any register's */

/* One row of each operand. It is seen whole, or, where something must be gathered, in chunks that `load` brings and `save` takes away. */
typedef struct fl_vectors {
  ptrdiff_t D, chunk;
  void (*load)(struct fl_vectors *job, ptrdiff_t start); /* sets x (and grad) for the chunk from `start` on; or NULL */
  void (*save)(struct fl_vectors *job, ptrdiff_t start); /* grad is written; or NULL */
  ptrdiff_t at;                                          /* the chunk that is loaded; -1 if none is */
  const void *x[3];
  void *grad[3];
  int with_grad; /* whether grad is wanted */
  int norm, squared, swap;
  double p, eps, margin, power;
  double label, scale; /* the row's; derivatives are multiplied by scale */
  double value;        /* out: not weighted */
} fl_vectors;

typedef struct {
  void (*contrastive)(fl_vectors *job); /* label 1 if similar, else 0 */
  void (*triplet)(fl_vectors *job);
  void (*cosine)(fl_vectors *job); /* label 1 or -1 */
} fl_vectors_real;

typedef struct {
  fl_vectors_real f32, f64;
} fl_vectors_table;

FL_TABLES(fl_vectors_table, fl_vectors_table)

#endif

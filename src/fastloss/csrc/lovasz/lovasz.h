/* What _engines/lovasz.pyx sees of the loops for Lovasz's extension: the job it fills in and the table that each CPU level offers.
 */
#ifndef FASTLOSS_LOVASZ_H
#define FASTLOSS_LOVASZ_H

#include "common/kernels.h"
#include "common/levels.h"

#define FL_COUNT_BYTES (6 * 8192) /* of a sort's workspace, before its elements */

/* The extension of one class, in steps, so that a long class can be interrupted: `begin`; `read` all errors; for each digit in which
   elements differ, `move` all of them; `add` all up. */
typedef struct {
  ptrdiff_t n;       /* positions, fewer than 2^32 */
  void *error;       /* regions.errors has written them; they become gradients if wanted */
  void *source, *to; /* the elements that are sorted, and where they are moved to */
  uint32_t *count;   /* for each pass, how many elements have each digit; `place` makes each digit's next place of them */
  int with_grad, pass;             /* whether gradients are wanted; number of the digit */
  ptrdiff_t counted, positives;    /* how many positions are not ignored, and how many belong to the class */
  double intersection, union_size; /* of the class and what is predicted, as errors are added in descending order */
  double value, partial, rounding; /* a compensated sum: in all, of the last few terms, and its rounding error */
} fl_lovasz;

typedef struct { /* the loops of one computation type */
  void (*begin)(fl_lovasz *job);
  void (*read)(fl_lovasz *job, ptrdiff_t start, ptrdiff_t n);
  int (*place)(fl_lovasz *job); /* before a pass; 0: all elements have the same digit */
  void (*move)(fl_lovasz *job, ptrdiff_t start, ptrdiff_t n);
  void (*add)(fl_lovasz *job, ptrdiff_t start, ptrdiff_t n);
  int passes;
  ptrdiff_t key_bytes, pair_bytes; /* of an element that is sorted, for a value and for gradients */
} fl_lovasz_real;

typedef struct {
  fl_lovasz_real f32, f64;
} fl_lovasz_table;

FL_TABLES(fl_lovasz_table, fl_lovasz_table)

#endif

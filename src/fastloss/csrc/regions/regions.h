/* What _engines/regions.pyx sees of the loops for overlaps: the jobs it fills in and the table that each CPU level offers.
 * Letters: C classes, P positions of a block (a multiple of the table's `block`; those past the end are hidden).
 */
#ifndef FASTLOSS_REGIONS_H
#define FASTLOSS_REGIONS_H

#include "common/kernels.h"
#include "common/levels.h"

/* What a block adds up for each class, in double, of predictions p and targets t: p t, p (1 - t), (1 - p) t, t, and cross-entropy.
   Squared: FP and FN together hold the sum of (p - t)^2. COUNTED, how many entries are not hidden, is the caller's to fill in. */
enum { FL_TP, FL_FP, FL_FN, FL_VOLUME, FL_ENTROPY, FL_COUNTED, FL_REGION_SUMS };
enum { FL_D_TP, FL_D_FP, FL_D_FN, FL_D_ENTROPY, FL_REGION_SLOPES }; /* the loss's gradients with respect to them */

enum fl_region_target { /* what a block's targets are; all are numbers of the computation type */
                        FL_INDEX,
                        FL_MASKS, /* 0 and 1 */
                        FL_SOFT,  /* probabilities */
                        FL_GIVEN  /* the loss's gradients with respect to p itself */
};
enum fl_region_entropy { FL_NO_ENTROPY, FL_BINARY_ENTROPY, FL_SOFTMAX_ENTROPY };

/* One block after activation. A plane is P numbers of the computation type; steps are bytes from one class's to the next. */
typedef struct {
  ptrdiff_t C, P;
  const char *x; /* the argument */
  ptrdiff_t step;
  const char *p; /* probabilities */
  ptrdiff_t p_step;
  const void
      *rest; /* where p > 1/2: 1 - p, of the class at hand or of the one that leads; NULL: p is the argument itself */
  const void *top, *spread; /* FL_SOFTMAX_ENTROPY: the largest logit, and log1p(sum of the other exponentials) */
  const char *t;            /* targets; -1 in FL_INDEX and FL_MASKS: hidden */
  ptrdiff_t t_step;         /* 0 for FL_INDEX */
  int target, squared, entropy;
  const void *slopes; /* C x FL_REGION_SLOPES, of the computation type */
  char *grad;
  ptrdiff_t grad_step;
} fl_region;

/* Lovasz's extension of one class. It is made in stretches, so that a long class can be given up: begin; read all errors; for each
   digit by which elements differ, move all of them; add all up. */
typedef struct {
  ptrdiff_t n;     /* positions, fewer than 2^32 */
  void *error;     /* as `errors` wrote them; they become gradients if wanted */
  void *from, *to; /* the elements that are sorted, and where they are moved to */
  uint32_t *count; /* how many have which digit, for each pass; then where the next of them is to be */
  int slopes, pass;
  ptrdiff_t counted, own;     /* how many positions are not hidden, and how many belong to the class */
  double intersection, unite; /* of what is left of the class when errors are added, and of what is predicted */
  double value, run, lost;    /* a compensated sum */
} fl_lovasz;

#define FL_REGION_WORK 10
#define FL_HIDDEN 2.0             /* among the errors, which are at most 1 */
#define FL_COUNT_BYTES (6 * 8192) /* of a sort's workspace, before its elements */

typedef struct {
  /* Labels as numbers, -1 where ignored or out of range; returns how many are ignored. *bad: the first out of range, or -1. */
  ptrdiff_t (*labels)(int type, const char *p, ptrdiff_t stride, ptrdiff_t n, int64_t classes, int has_ignore,
                      int64_t ignore, void *label, ptrdiff_t *bad);
  void (*softmax)(ptrdiff_t C, ptrdiff_t P, const char *x, ptrdiff_t step, void *p, void *rest, void *top, void *spread);
  void (*sigmoid)(ptrdiff_t P, const void *x, void *p, void *rest);
  void (*hide)(ptrdiff_t P, const void *label, void *p);            /* p = 0 where the label is -1 */
  void (*tally)(const fl_region *block, ptrdiff_t c, double *sums); /* of class c */
  void (*slope)(const fl_region *block, ptrdiff_t c);               /* the gradient of class c */
  void (*softmax_slopes)(const fl_region *block);                   /* of all classes */
  /* The usual cases: integer labels, not squared, entropy (softmax's: of all classes together, in class 0's place) or not. hidden:
     whether any is. work: FL_REGION_WORK registers for each class. softmax_sums gives 0 where logits are so far from
     0 that the plain way must be taken, for the gradient too. */
  int (*softmax_sums)(const fl_region *block, int hidden, void *work, double *sums);
  void (*softmax_grad)(const fl_region *block, int hidden, void *work);
  void (*sigmoid_sums)(const fl_region *block, ptrdiff_t c, int hidden, double *sums);
  void (*sigmoid_grad)(const fl_region *block, ptrdiff_t c, int hidden);
  void (*errors)(ptrdiff_t P, const void *p, const void *rest, const void *label, double own, void *error);
  void (*lovasz_begin)(fl_lovasz *job);
  void (*lovasz_read)(fl_lovasz *job, ptrdiff_t start, ptrdiff_t n);
  int (*lovasz_turn)(fl_lovasz *job); /* before a pass; 0: all elements have the same digit */
  void (*lovasz_move)(fl_lovasz *job, ptrdiff_t start, ptrdiff_t n);
  void (*lovasz_add)(fl_lovasz *job, ptrdiff_t start, ptrdiff_t n);
  int passes;
  ptrdiff_t key_bytes, pair_bytes; /* of an element that is sorted, for a value and for gradients */
  ptrdiff_t register_bytes, block;
} fl_region_real;

enum fl_box_kind { FL_IOU, FL_GIOU, FL_DIOU, FL_CIOU };

/* P pairs of boxes as coordinates x1, y1, x2, y2, one plane of doubles each, P apart. */
typedef struct {
  ptrdiff_t P;
  const double *box, *target;
  int kind;
  double eps;
  double *value, *grad; /* grad: with respect to the box's coordinates, planes as above; or NULL */
} fl_box_pairs;

typedef struct {
  fl_region_real f32, f64;
  void (*boxes)(const fl_box_pairs *job);
} fl_regions_table;

FL_TABLES(fl_regions_table, fl_regions_table)

#endif

/* What _engines/regions.pyx sees of the loops for overlaps: the jobs it fills in and the table that each CPU level offers.
 * Letters: C classes, P positions of a block (a multiple of the table's `block`; those past the end are masked, as ignored ones are).
 */
#ifndef FASTLOSS_REGIONS_H
#define FASTLOSS_REGIONS_H

#include "common/kernels.h"
#include "common/levels.h"

/* What a block adds up for each class, in double, of predictions p and targets t: p t, p (1 - t), (1 - p) t, t, and cross-entropy.
   Squared: FP and FN together hold the sum of (p - t)^2. COUNTED, how many entries are not ignored, is the caller's to fill in. */
enum { FL_TP, FL_FP, FL_FN, FL_VOLUME, FL_ENTROPY, FL_COUNTED, FL_REGION_SUMS };
enum { FL_D_TP, FL_D_FP, FL_D_FN, FL_D_ENTROPY, FL_REGION_GRADS }; /* the loss's gradients with respect to them */

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
  const void *
      complement; /* where p > 1/2: 1 - p, of the class at hand or of the one that leads; NULL: p is the argument itself */
  const void *max, *log1p_tail; /* FL_SOFTMAX_ENTROPY: the largest logit, and log1p(sum of the other exponentials) */
  const char *t;                /* targets; -1 in FL_INDEX and FL_MASKS: masked */
  ptrdiff_t t_step;             /* 0 for FL_INDEX */
  int target, squared, entropy;
  const void *d_sums; /* the loss's gradients with respect to the sums: C x FL_REGION_GRADS, of the computation type */
  char *grad;
  ptrdiff_t grad_step;
} fl_region;

#define FL_REGION_WORK 10 /* registers of workspace for each class */

typedef struct {
  /* Labels as numbers, -1 where ignored or out of range; returns how many are ignored. *bad: the first out of range, or -1. */
  ptrdiff_t (*labels)(int type, const char *p, ptrdiff_t stride, ptrdiff_t n, int64_t classes, int has_ignore,
                      int64_t ignore, void *label, ptrdiff_t *bad);
  void (*softmax)(ptrdiff_t C, ptrdiff_t P, const char *x, ptrdiff_t step, void *p, void *complement, void *max,
                  void *log1p_tail);
  void (*sigmoid)(ptrdiff_t P, const void *x, void *p, void *complement);
  void (*mask)(ptrdiff_t P, const void *label, void *p);           /* p = 0 where the label is -1 */
  void (*sums)(const fl_region *block, ptrdiff_t c, double *sums); /* of class c */
  void (*grad)(const fl_region *block, ptrdiff_t c);               /* the gradient of class c */
  void (*softmax_grad)(const fl_region *block);                    /* of all classes */
  /* The usual cases: integer labels, not squared, entropy (softmax's: of all classes together, in class 0's place) or not. masked:
     whether any is. work: FL_REGION_WORK registers for each class. fused_softmax_sums gives 0 where logits are so far from
     0 that `softmax`, `sums` and `softmax_grad` must be used instead. */
  int (*fused_softmax_sums)(const fl_region *block, int masked, void *work, double *sums);
  void (*fused_softmax_grad)(const fl_region *block, int masked, void *work);
  void (*fused_sigmoid_sums)(const fl_region *block, ptrdiff_t c, int masked, double *sums);
  void (*fused_sigmoid_grad)(const fl_region *block, ptrdiff_t c, int masked);
  /* |t - p| of one class for Lovasz's extension: negative (or -0) where the target is `own`, FL_IGNORED_ERROR where masked. */
  void (*errors)(ptrdiff_t P, const void *p, const void *complement, const void *label, double own, void *error);
  ptrdiff_t register_bytes, block; /* bytes of a register; P is a multiple of `block` */
} fl_region_real;

typedef struct {
  fl_region_real f32, f64;
} fl_regions_table;

FL_TABLES(fl_regions_table, fl_regions_table)

#endif

/* What _engines/scores.pyx sees of the loops for rows of scores with a label, and for cumulative links.
 * Letters: C classes, P positions of a tile (rows side by side, one per vector lane).
 */
#ifndef FASTLOSS_SCORES_H
#define FASTLOSS_SCORES_H

#include "common/kernels.h"
#include "common/levels.h"

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
   the next multiple of 8. `with_grad`: whether the last three are wanted. */
typedef struct {
  ptrdiff_t n;
  const double *score, *low, *high, *scale;
  int with_grad;
  double *value, *grad, *grad_low, *grad_high;
} fl_link;
#define FL_LINKS(LINK) LINK(logit) LINK(probit) LINK(cloglog)
#define FL_LINK_NUMBER(name) FL_LINK_##name,
enum fl_link_kind { FL_LINKS(FL_LINK_NUMBER) FL_LINK_COUNT };

typedef void (*fl_scores_loop)(fl_scores *job);
typedef void (*fl_links_loop)(fl_link *job);

typedef struct {
  const fl_scores_loop *f32, *f64; /* indexed by enum fl_score_loss */
  const fl_links_loop *links;      /* indexed by enum fl_link_kind */
} fl_scores_table;

FL_TABLES(fl_scores_table, fl_scores_table)

#endif

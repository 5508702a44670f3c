/* What _engines/boxes.pyx sees of the loops for pairs of boxes: the job it fills in and the table that each CPU level offers.
 * Letters: P pairs of a block.
 */
#ifndef FASTLOSS_BOXES_H
#define FASTLOSS_BOXES_H

#include "common/kernels.h"
#include "common/levels.h"

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
  void (*pairs)(const fl_box_pairs *job);
} fl_boxes_table;

FL_TABLES(fl_boxes_table, fl_boxes_table)

#endif

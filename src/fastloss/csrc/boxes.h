/* Losses of pairs of boxes, in double: intersection over union, and what it lacks where boxes do not meet.
 *
 * Along each axis the hull of two boxes is cut in what both share, what each has alone, and the gap between them. All areas are sums
 * of products of these, so that no difference of nearly equal areas is ever taken.
 */
#ifndef FASTLOSS_BOXES_H
#define FASTLOSS_BOXES_H

#include <math.h>

#include "regions.h"

typedef struct {
  double shared, own, other, gap; /* lengths */
  double low, high;               /* whether the box's own ends bound the shared part: 1, 0, or 1/2 where both do */
} fl_overlap;

static inline double fl_bounds(double a, double b) { return a > b ? 1 : a == b ? 0.5 : 0; }

/* [a, b] and [c, d] */
static inline fl_overlap fl_overlap_of(double a, double b, double c, double d) {
  fl_overlap o;
  const double start = a > c ? a : c, end = b < d ? b : d;
  o.low = fl_bounds(a, c), o.high = fl_bounds(d, b);
  if (end - start > 0) {
    o.shared = end - start, o.gap = 0;
    o.own = (b - end) + (start - a), o.other = (d - end) + (start - c);
  } else {
    o.shared = 0, o.gap = start - end;
    o.own = b - a, o.other = d - c;
  }
  return o;
}

static inline double fl_box_loss(const double *box, const double *target, ptrdiff_t P, int kind, double eps,
                                 double *grad) {
  const double x1 = box[0], y1 = box[P], x2 = box[2 * P], y2 = box[3 * P];
  const double X1 = target[0], Y1 = target[P], X2 = target[2 * P], Y2 = target[3 * P];
  const fl_overlap x = fl_overlap_of(x1, x2, X1, X2), y = fl_overlap_of(y1, y2, Y1, Y2);
  const double w = x2 - x1, h = y2 - y1, W = X2 - X1, H = Y2 - Y1;
  const double inter = x.shared * y.shared;
  const double apart = (x.own * h + x.shared * y.own) + (x.other * H + x.shared * y.other);
  const double both = inter + apart + eps; /* the union */
  const double hull_w = x.shared + x.own + x.other + x.gap, hull_h = y.shared + y.own + y.other + y.gap;
  double loss = (apart + eps) / both + (w - w) + (h - h) + (W - W) + (H - H);
  /* slopes with respect to intersection, own area, hull's width and height, and the centre and size of the box */
  double d_inter = -(both + inter) / both / both, d_area = inter / both / both;
  double d_hull_w = 0, d_hull_h = 0, d_cx = 0, d_cy = 0, d_w = 0, d_h = 0;
  if (kind == FL_GIOU) {
    const double hull = hull_w * hull_h + eps;
    const double empty = x.own * (y.other + y.gap) + x.other * (y.own + y.gap) + x.gap * hull_h + x.shared * y.gap;
    loss += empty / hull;
    d_hull_w = both / hull / hull * hull_h, d_hull_h = both / hull / hull * hull_w;
    d_inter += 1 / hull, d_area -= 1 / hull;
  }
  if (kind == FL_DIOU || kind == FL_CIOU) {
    const double cx = ((x1 - X1) + (x2 - X2)) / 2, cy = ((y1 - Y1) + (y2 - Y2)) / 2;
    const double far = cx * cx + cy * cy, diagonal = hull_w * hull_w + hull_h * hull_h + eps;
    loss += far / diagonal;
    d_cx = 2 * cx / diagonal, d_cy = 2 * cy / diagonal;
    d_hull_w = -2 * hull_w * (far / diagonal / diagonal), d_hull_h = -2 * hull_h * (far / diagonal / diagonal);
  }
  if (kind == FL_CIOU) {
    const double four = 0.40528473456935109;                              /* 4 / pi^2 */
    const double crossed = (x.other - x.own) * h - w * (y.other - y.own); /* W h - w H */
    const double angle = atan2(crossed, H * h + W * w), v = four * angle * angle;
    const double alpha = v > 0 ? v / ((apart + eps) / both + v + eps) : 0, size = w * w + h * h;
    const double turn = size > 0 ? 2 * four * angle * alpha * (2 - alpha) / size : 0;
    loss += alpha * v + (v - v);
    d_inter *= 1 - alpha * alpha, d_area *= 1 - alpha * alpha; /* alpha falls as 1 - I/U grows */
    d_w = -turn * h, d_h = turn * w;
  }
  if (!grad) return loss;
  const double meets = inter > 0, nan = loss - loss;
  const double shared_w = d_inter * y.shared * meets, shared_h = d_inter * x.shared * meets;
  grad[0] = -shared_w * x.low - d_area * h - d_hull_w * (1 - x.low) + d_cx / 2 - d_w + nan;
  grad[P] = -shared_h * y.low - d_area * w - d_hull_h * (1 - y.low) + d_cy / 2 - d_h + nan;
  grad[2 * P] = shared_w * x.high + d_area * h + d_hull_w * (1 - x.high) + d_cx / 2 + d_w + nan;
  grad[3 * P] = shared_h * y.high + d_area * w + d_hull_h * (1 - y.high) + d_cy / 2 + d_h + nan;
  return loss;
}

static void fl_boxes(const fl_box_pairs *job) {
  for (ptrdiff_t i = 0; i < job->P; i++)
    job->value[i] =
        fl_box_loss(job->box + i, job->target + i, job->P, job->kind, job->eps, job->grad ? job->grad + i : NULL);
}

#endif

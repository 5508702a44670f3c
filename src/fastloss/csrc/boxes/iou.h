/* Losses of pairs of boxes, in double: intersection over union, and what it lacks where boxes do not meet.
 *
 * Along each axis the hull of two boxes is cut in what both share, what each has alone, and the gap between them. All areas are sums
 * of products of these, so that no difference of nearly equal areas is ever taken. Areas leave the range of doubles long before
 * lengths do: boxes that are very large or very small are scaled by powers of two, which is exact, along each axis for areas, and by
 * one for distances and angles.
 */
#ifndef FASTLOSS_IOU_H
#define FASTLOSS_IOU_H

#include <float.h>
#include <math.h>

#include "boxes/boxes.h"

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

typedef struct {
  double x, y;                      /* what coordinates were multiplied by */
  double same_x, same_y;            /* what makes lengths of one unit of them: the smaller of x and y over each */
  double eps, area_eps, square_eps; /* as it was given, in areas along the axes, and in squares of that one unit */
} fl_box_scale;

/* The loss of two boxes (x1, y1, x2, y2) whose coordinates are scaled already; the gradient is of coordinates that are not. */
static inline double fl_scaled_boxes(const double *box, const double *target, int kind, const fl_box_scale *unit,
                                     double *grad, ptrdiff_t P) {
  const double x1 = box[0], y1 = box[1], x2 = box[2], y2 = box[3];
  const double X1 = target[0], Y1 = target[1], X2 = target[2], Y2 = target[3], eps = unit->area_eps;
  const fl_overlap x = fl_overlap_of(x1, x2, X1, X2), y = fl_overlap_of(y1, y2, Y1, Y2);
  const double w = x2 - x1, h = y2 - y1, W = X2 - X1, H = Y2 - Y1;
  const double inter = x.shared * y.shared;
  const double apart = (x.own * h + x.shared * y.own) + (x.other * H + x.shared * y.other);
  const double both = inter + apart + eps; /* the union */
  const double hull_w = x.shared + x.own + x.other + x.gap, hull_h = y.shared + y.own + y.other + y.gap;
  double loss = (apart + eps) / both + (w - w) + (h - h) + (W - W) + (H - H);
  /* gradients with respect to intersection, own area, hull's width and height, and the centre and size of the box */
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
    const double kx = unit->same_x, ky = unit->same_y, wide = hull_w * kx, high = hull_h * ky;
    const double cx = ((x1 - X1) + (x2 - X2)) / 2 * kx, cy = ((y1 - Y1) + (y2 - Y2)) / 2 * ky;
    const double far = cx * cx + cy * cy, diagonal = wide * wide + high * high + unit->square_eps;
    loss += far / diagonal;
    d_cx = 2 * cx / diagonal * kx, d_cy = 2 * cy / diagonal * ky;
    d_hull_w = -2 * wide * (far / diagonal / diagonal) * kx, d_hull_h = -2 * high * (far / diagonal / diagonal) * ky;
  }
  if (kind == FL_CIOU) {
    const double four = 0.40528473456935109; /* 4 / pi^2 */
    const double kx = unit->same_x, ky = unit->same_y, wide = w * kx, high = h * ky;
    const double crossed = (x.other - x.own) * high * kx - wide * (y.other - y.own) * ky; /* W h - w H */
    const double angle = atan2(crossed, H * ky * high + W * kx * wide), v = four * angle * angle;
    const double alpha = v > 0 ? v / ((apart + eps) / both + v + unit->eps) : 0, size = wide * wide + high * high;
    const double rotation = size > 0 ? 2 * four * angle * alpha * (2 - alpha) / size : 0;
    loss += alpha * v + (v - v);
    d_inter *= 1 - alpha * alpha, d_area *= 1 - alpha * alpha; /* alpha falls as 1 - I/U grows */
    d_w = -rotation * high * kx, d_h = rotation * wide * ky;
  }
  if (!grad) return loss;
  const double meets = inter > 0, nan = loss - loss;
  const double shared_w = d_inter * y.shared * meets, shared_h = d_inter * x.shared * meets;
  grad[0] = (-shared_w * x.low - d_area * h - d_hull_w * (1 - x.low) + d_cx / 2 - d_w + nan) * unit->x;
  grad[P] = (-shared_h * y.low - d_area * w - d_hull_h * (1 - y.low) + d_cy / 2 - d_h + nan) * unit->y;
  grad[2 * P] = (shared_w * x.high + d_area * h + d_hull_w * (1 - x.high) + d_cx / 2 + d_w + nan) * unit->x;
  grad[3 * P] = (shared_h * y.high + d_area * w + d_hull_h * (1 - y.high) + d_cy / 2 + d_h + nan) * unit->y;
  return loss;
}

/* The power of two, at most 2^1000, that brings the hull of [a, b] and [c, d] to about 1; 0 for one of no length, inf or nan. */
static int fl_hull_exponent(double a, double b, double c, double d) {
  const double low = a < c ? a : c, high = b > d ? b : d, quarter = high / 4 - low / 4; /* the hull itself may overflow */
  if (!(quarter > 0 && quarter <= DBL_MAX) && !(high - low > 0 && high - low <= DBL_MAX)) return 0;
  const int exponent = -ilogb(high - low <= DBL_MAX ? high - low : quarter);
  return exponent > 1000 ? 1000 : exponent < -1000 ? -1000 : exponent;
}

static inline double fl_box_loss(const double *box, const double *target, ptrdiff_t P, int kind, double eps,
                                 double *grad) {
  double b[4], t[4];
  for (int k = 0; k < 4; k++) b[k] = box[k * P], t[k] = target[k * P];
  const double w = (b[2] > t[2] ? b[2] : t[2]) - (b[0] < t[0] ? b[0] : t[0]);
  const double h = (b[3] > t[3] ? b[3] : t[3]) - (b[1] < t[1] ? b[1] : t[1]);
  fl_box_scale unit = {1, 1, 1, 1, eps, eps, eps};
  if (!(w < 0x1p200 && h < 0x1p200 && w > 0x1p-200 && h > 0x1p-200)) {
    int x = fl_hull_exponent(b[0], b[2], t[0], t[2]), y = fl_hull_exponent(b[1], b[3], t[1], t[3]);
    /* an eps of 2^300 hulls leaves nothing else to be seen: no more is needed */
    const int excess = eps > 0 ? x + y + ilogb(eps) - 300 : 0;
    if (excess > 0) x -= excess / 2, y -= excess - excess / 2;
    const int same = x < y ? x : y;
    for (int k = 0; k < 4; k++) b[k] = ldexp(b[k], k % 2 ? y : x), t[k] = ldexp(t[k], k % 2 ? y : x);
    unit = (fl_box_scale){ldexp(1, x), ldexp(1, y),       ldexp(1, same - x),  ldexp(1, same - y),
                          eps,         ldexp(eps, x + y), ldexp(eps, 2 * same)};
  }
  return fl_scaled_boxes(b, t, kind, &unit, grad, P);
}

static void fl_boxes(const fl_box_pairs *job) {
  for (ptrdiff_t i = 0; i < job->P; i++)
    job->value[i] =
        fl_box_loss(job->box + i, job->target + i, job->P, job->kind, job->eps, job->grad ? job->grad + i : NULL);
}

#endif

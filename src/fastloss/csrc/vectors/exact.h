/* Sums along vectors in double-double arithmetic (common/double_double.h). Included by vectors.c once.
 *
 * Losses of vectors are differences of lengths, or what a cosine lacks of 1: in double their last digits would be the sums' rounding.
 * Infinite and nan elements make `lo` nan; callers look at `hi`, and find out by other means (distance, cosine).
 */

/* (hi + lo) 2^shift: lengths whose squares no double holds. */
typedef struct {
  double hi, lo;
  int shift;
} length;

/* ---- sums over the lanes ------------------------------------------------------------------------------------------- */

#if defined(__clang__) || __GNUC__ >= 12
#define FL_LANES_OF(a, ...) __builtin_shufflevector(a, a, __VA_ARGS__)
#else
#define FL_LANES_OF(a, ...) __builtin_shuffle(a, (vi64){__VA_ARGS__})
#endif

FL_INLINE void fold_lanes(vd *high, vd *low, vd upper, vd upper_low) {
  vd error;
  *high = two_sum(*high, upper, &error);
  *low += error + upper_low;
}

/* The upper half onto the lower, until one lane is left. */
FL_INLINE fl_dd dd_sum_lanes(vd high, vd low) {
#if defined(FL_V4)
  fold_lanes(&high, &low, FL_LANES_OF(high, 4, 5, 6, 7, 4, 5, 6, 7), FL_LANES_OF(low, 4, 5, 6, 7, 4, 5, 6, 7));
  fold_lanes(&high, &low, FL_LANES_OF(high, 2, 3, 2, 3, 2, 3, 2, 3), FL_LANES_OF(low, 2, 3, 2, 3, 2, 3, 2, 3));
  fold_lanes(&high, &low, FL_LANES_OF(high, 1, 1, 1, 1, 1, 1, 1, 1), FL_LANES_OF(low, 1, 1, 1, 1, 1, 1, 1, 1));
#elif defined(FL_V3)
  fold_lanes(&high, &low, FL_LANES_OF(high, 2, 3, 2, 3), FL_LANES_OF(low, 2, 3, 2, 3));
  fold_lanes(&high, &low, FL_LANES_OF(high, 1, 1, 1, 1), FL_LANES_OF(low, 1, 1, 1, 1));
#else
  fold_lanes(&high, &low, FL_LANES_OF(high, 1, 1), FL_LANES_OF(low, 1, 1));
#endif
  return dd_of(high[0], low[0]);
}

/* ---- steps of the sums --------------------------------------------------------------------------------------------- */

/* x - y + eps, and with `exact` its rounding error. */
FL_INLINE vd gap(vd x, vd y, vd eps, int with_eps, int exact, vd *error) {
  vd more;
  if (!exact) {
    *error = vset_f64(0);
    return with_eps ? (x - y) + eps : x - y;
  }
  const vd t = two_diff(x, y, error);
  if (!with_eps) return t;
  const vd s = two_sum(t, eps, &more);
  return fast_two_sum(s, *error + more, error);
}

/* The same rounded, for gradients: infinite where an operand is. */
FL_INLINE vd rounded_gap(vd x, vd y, vd eps, int with_eps, int exact) {
  vd error;
  const vd e = gap(x, y, eps, with_eps, exact, &error);
  return exact ? vselect(veq(e, e), e, (x - y) + eps) : e;
}

FL_INLINE void add_square(vd *high, vd *low, vd e, vd error, int exact) {
  if (!exact) {
    *high = vfma(e, e, *high);
    return;
  }
  vd rounding;
  const vd q = e * e;
  *high = two_sum(*high, q, &rounding);
  *low += rounding + (error_of_product(e, e, q) + error * (e + e + error));
}

FL_INLINE void add_product(vd *high, vd *low, vd x, vd y, int exact) {
  if (!exact) {
    *high = vfma(x, y, *high);
    return;
  }
  vd rounding;
  const vd q = x * y;
  *high = two_sum(*high, q, &rounding);
  *low += rounding + error_of_product(x, y, q);
}

FL_INLINE void add_size(vd *high, vd *low, vd e, vd error, int exact) {
  vd rounding;
  if (!exact) {
    *high += vabs(e);
    return;
  }
  *high = two_sum(*high, vabs(e), &rounding);
  *low += rounding + vselect(vlt(e, vset_f64(0)), -error, error);
}

/* y - t x where it nearly vanishes. */
FL_INLINE vd exact_residual(vd y, vd x, fl_dd t) {
  const vd high = vset_f64(t.hi), p = high * x;
  return ((y - p) - error_of_product(high, x, p)) - t.lo * x;
}

/* ---- lengths ------------------------------------------------------------------------------------------------------- */

#define FL_TIED 0x1p-90   /* of the lengths compared: a difference below is their rounding */
#define FL_UNSURE 0x1p-20 /* of plain sums: a difference below needs the exact ones */

/* x 2^shift, which mostly is x. */
FL_INLINE double shifted(double x, int shift) { return shift ? ldexp(x, shift) : x; }

static length length_root(length square, int exact) { /* of an even shift */
  if (!exact) return (length){sqrt(square.hi), 0, square.shift / 2};
  const fl_dd r = dd_sqrt((fl_dd){square.hi, square.lo});
  return (length){r.hi, r.lo, square.shift / 2};
}

/* a - b + margin in units of 2^shift, and the sum of the three as its size. */
static double length_minus(length a, length b, double margin, double *size, int *shift) {
  int top = a.shift > b.shift ? a.shift : b.shift;
  if (margin > 0 && top < 0) top = 0;
  if (top != a.shift) a.hi = shifted(a.hi, a.shift - top), a.lo = shifted(a.lo, a.shift - top);
  if (top != b.shift) b.hi = shifted(b.hi, b.shift - top), b.lo = shifted(b.lo, b.shift - top);
  if (top != 0) margin = shifted(margin, -top);
  double error, more;
  const double d = two_sum(a.hi, -b.hi, &error), v = two_sum(d, margin, &more);
  *size = a.hi + b.hi + margin, *shift = top;
  const double rest = (error + more) + (a.lo - b.lo);
  return rest == rest ? v + rest : v; /* of infinite operands: nan */
}

/* Whether a difference is what rounding leaves of equal numbers. */
FL_INLINE int tied(double v, double size) { return fabs(v) <= FL_TIED * size && size < INFINITY; }

/* (hi + lo)^power */
static double length_power(length a, double power) {
  const double high = shifted(a.hi, a.shift), low = shifted(a.lo, a.shift);
  if (power == 1) return high + low;
  const double p = power == 2 ? high * high : pow(high, power);
  return high > 0 && p < INFINITY && p > 0 ? p + p * (power * (low / high)) : p;
}

/* max(0, v), nan if it is */
FL_INLINE double above_zero(double v) { return v > 0 ? v : v == v ? 0 : v; }

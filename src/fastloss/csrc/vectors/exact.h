/* Numbers of twice a double's length for sums along vectors: high + low, with |low| at most a unit in the last place of high. Included by
 * vectors.c once.
 *
 * Losses of vectors are differences of lengths, or what a cosine lacks of 1: in double their last digits would be the sums' rounding.
 * Infinite and nan elements make `low` nan; callers look at `high`, and find out by other means (distance, cosine).
 */

typedef struct {
  double high, low;
} pair;

/* (high + low) 2^shift: lengths whose squares no double holds. */
typedef struct {
  double high, low;
  int shift;
} length;

/* a + b, and what its rounding drops. */
FL_INLINE vd vsum_lost(vd a, vd b, vd *lost) {
  const vd s = a + b, back = s - a;
  *lost = (a - (s - back)) + (b - back);
  return s;
}
FL_INLINE double sum_lost(double a, double b, double *lost) {
  const double s = a + b, back = s - a;
  *lost = (a - (s - back)) + (b - back);
  return s;
}
FL_INLINE double product_lost(double a, double b, double p) {
  return vproduct_lost(vset_f64(a), vset_f64(b), vset_f64(p))[0];
}

FL_INLINE pair pair_of(double high, double low) { /* where low may have grown */
  const double s = high + low;
  return (pair){s, low - (s - high)};
}
FL_INLINE pair pair_plus(pair a, pair b) {
  double lost;
  const double s = sum_lost(a.high, b.high, &lost);
  return pair_of(s, lost + (a.low + b.low));
}
FL_INLINE pair pair_times(pair a, pair b) {
  const double p = a.high * b.high;
  return pair_of(p, product_lost(a.high, b.high, p) + (a.high * b.low + a.low * b.high));
}
FL_INLINE pair pair_over(pair a, pair b) {
  const double q = a.high / b.high, p = q * b.high;
  const double rest = ((a.high - p) - product_lost(q, b.high, p)) + (a.low - q * b.low);
  return pair_of(q, rest / b.high);
}
FL_INLINE pair pair_root(pair a) {
  const double r = sqrt(a.high);
  if (!(r > 0 && r < INFINITY)) return (pair){r, 0};
  const double p = r * r, rest = ((a.high - p) - product_lost(r, r, p)) + a.low;
  return pair_of(r, rest / (2 * r));
}
FL_INLINE pair pair_minus(pair a, pair b) { return pair_plus(a, (pair){-b.high, -b.low}); }

/* ---- sums over the lanes ------------------------------------------------------------------------------------------- */

#if defined(__clang__) || __GNUC__ >= 12
#define FL_LANES_OF(a, ...) __builtin_shufflevector(a, a, __VA_ARGS__)
#else
#define FL_LANES_OF(a, ...) __builtin_shuffle(a, (vi64){__VA_ARGS__})
#endif

FL_INLINE void fold_lanes(vd *high, vd *low, vd upper, vd upper_low) {
  vd lost;
  *high = vsum_lost(*high, upper, &lost);
  *low += lost + upper_low;
}

/* The upper half onto the lower, until one lane is left. */
FL_INLINE pair pair_sum(vd high, vd low) {
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
  return pair_of(high[0], low[0]);
}

/* ---- steps of the sums --------------------------------------------------------------------------------------------- */

/* x - y + eps, and with `exact` what rounding drops of it. */
FL_INLINE vd gap(vd x, vd y, vd eps, int with_eps, int exact, vd *lost) {
  vd more;
  if (!exact) {
    *lost = vset_f64(0);
    return with_eps ? (x - y) + eps : x - y;
  }
  const vd t = vsum_lost(x, -y, lost);
  if (!with_eps) return t;
  const vd s = vsum_lost(t, eps, &more), all = *lost + more, e = s + all;
  *lost = all - (e - s);
  return e;
}

/* The same rounded, for slopes: infinite where an operand is. */
FL_INLINE vd rounded_gap(vd x, vd y, vd eps, int with_eps, int exact) {
  vd lost;
  const vd e = gap(x, y, eps, with_eps, exact, &lost);
  return exact ? vselect(veq(e, e), e, (x - y) + eps) : e;
}

FL_INLINE void add_square(vd *high, vd *low, vd e, vd lost, int exact) {
  if (!exact) {
    *high = vfma(e, e, *high);
    return;
  }
  vd dropped;
  const vd q = e * e;
  *high = vsum_lost(*high, q, &dropped);
  *low += dropped + (vproduct_lost(e, e, q) + lost * (e + e + lost));
}

FL_INLINE void add_product(vd *high, vd *low, vd x, vd y, int exact) {
  if (!exact) {
    *high = vfma(x, y, *high);
    return;
  }
  vd dropped;
  const vd q = x * y;
  *high = vsum_lost(*high, q, &dropped);
  *low += dropped + vproduct_lost(x, y, q);
}

FL_INLINE void add_size(vd *high, vd *low, vd e, vd lost, int exact) {
  vd dropped;
  if (!exact) {
    *high += vabs(e);
    return;
  }
  *high = vsum_lost(*high, vabs(e), &dropped);
  *low += dropped + vselect(vlt(e, vset_f64(0)), -lost, lost);
}

/* y - t x where it nearly vanishes. */
FL_INLINE vd exact_residual(vd y, vd x, pair t) {
  const vd high = vset_f64(t.high), p = high * x;
  return ((y - p) - vproduct_lost(high, x, p)) - t.low * x;
}

/* ---- lengths ------------------------------------------------------------------------------------------------------- */

#define FL_TIED 0x1p-90   /* of the lengths compared: a difference below is their rounding */
#define FL_UNSURE 0x1p-20 /* of plain sums: a difference below needs the exact ones */

/* x 2^shift, which mostly is x. */
FL_INLINE double shifted(double x, int shift) { return shift ? ldexp(x, shift) : x; }

static length length_root(length square, int exact) { /* of an even shift */
  if (!exact) return (length){sqrt(square.high), 0, square.shift / 2};
  const pair r = pair_root((pair){square.high, square.low});
  return (length){r.high, r.low, square.shift / 2};
}

/* a - b + margin in units of 2^shift, and the sum of the three as its size. */
static double length_minus(length a, length b, double margin, double *size, int *shift) {
  int top = a.shift > b.shift ? a.shift : b.shift;
  if (margin > 0 && top < 0) top = 0;
  if (top != a.shift) a.high = shifted(a.high, a.shift - top), a.low = shifted(a.low, a.shift - top);
  if (top != b.shift) b.high = shifted(b.high, b.shift - top), b.low = shifted(b.low, b.shift - top);
  if (top != 0) margin = shifted(margin, -top);
  double lost, more;
  const double d = sum_lost(a.high, -b.high, &lost), v = sum_lost(d, margin, &more);
  *size = a.high + b.high + margin, *shift = top;
  const double rest = (lost + more) + (a.low - b.low);
  return rest == rest ? v + rest : v; /* infinite operands drop nothing */
}

/* Whether a difference is what rounding leaves of equal numbers. */
FL_INLINE int tied(double v, double size) { return fabs(v) <= FL_TIED * size && size < INFINITY; }

/* (high + low)^power */
static double length_power(length a, double power) {
  const double high = shifted(a.high, a.shift), low = shifted(a.low, a.shift);
  if (power == 1) return high + low;
  const double p = power == 2 ? high * high : pow(high, power);
  return high > 0 && p < INFINITY && p > 0 ? p + p * (power * (low / high)) : p;
}

/* max(0, v), nan if it is */
FL_INLINE double above_zero(double v) { return v > 0 ? v : v == v ? 0 : v; }

/* Rounding errors of sums and products, and double-double arithmetic: a number as the unevaluated sum hi + lo of two doubles, |lo| at
 * most half a unit in the last place of hi. For registers (vd; the errors of sums for vf too) and for single doubles.
 *
 *   two_sum, two_diff        Knuth, The Art of Computer Programming, vol. 2, section 4.2.2, theorem B: for any a and b
 *   fast_two_sum             Dekker, A floating-point technique for extending the available precision, Numer. Math. 18 (1971): |a| >= |b|
 *   two_product              one FMA, or Veltkamp's splitting and Dekker's product (the same paper)
 *   dd_add, dd_times, ...    Hida, Li and Bailey, Algorithms for quad-double precision floating point arithmetic, ARITH 15 (2001)
 *   add_neumaier             Neumaier, Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen, ZAMM 54 (1974)
 *
 * An infinite operand makes the error nan. Those called `finite` give 0 there, so that hi + lo keeps the infinity.
 */
#ifndef FL_DOUBLE_DOUBLE_H
#define FL_DOUBLE_DOUBLE_H

#include <math.h>

#include "common/simd.h"

typedef struct {
  vd hi, lo;
} vdd;
typedef struct {
  double hi, lo;
} fl_dd;

/* ---- errors of a sum s = a + b and a difference d = a - b that are rounded already ----------------------------------------- */

#define FL_SUM_ERRORS(T, suffix)                                                                                         \
  FL_INLINE T error_of_sum_##suffix(T a, T b, T s) {                                                                     \
    const T back = s - a;                                                                                                \
    return (a - (s - back)) + (b - back);                                                                                \
  }                                                                                                                      \
  FL_INLINE T error_of_diff_##suffix(T a, T b, T d) {                                                                    \
    const T back = d - a;                                                                                                \
    return (a - (d - back)) - (b + back);                                                                                \
  }                                                                                                                      \
  FL_INLINE T error_of_fast_sum_##suffix(T a, T b, T s) { return (a - s) + b; }                                          \
  FL_INLINE T error_of_fast_diff_##suffix(T a, T b, T d) { return (a - d) - b; }
FL_SUM_ERRORS(vf, f32)
FL_SUM_ERRORS(vd, f64)
FL_SUM_ERRORS(double, one)
#undef FL_SUM_ERRORS
#define FL_ERROR_OF(name, a) _Generic((a), vf: name##_f32, vd: name##_f64, double: name##_one)
#define error_of_sum(a, b, s) FL_ERROR_OF(error_of_sum, a)(a, b, s)
#define error_of_diff(a, b, d) FL_ERROR_OF(error_of_diff, a)(a, b, d)
#define error_of_fast_sum(a, b, s) FL_ERROR_OF(error_of_fast_sum, a)(a, b, s)   /* |a| >= |b|, finite */
#define error_of_fast_diff(a, b, d) FL_ERROR_OF(error_of_fast_diff, a)(a, b, d) /* the same */

/* The error of p = a b. Without FMA for |a|, |b| below 2^990. */
#if defined(FL_V3) || defined(FL_V4) || defined(__aarch64__)
FL_INLINE vd error_of_product_f64(vd a, vd b, vd p) { return vfma(a, b, -p); }
FL_INLINE double error_of_product_one(double a, double b, double p) { return __builtin_fma(a, b, -p); }
#else
#define FL_SPLIT_PRODUCT(T, suffix)                                                                                      \
  FL_INLINE T error_of_product_##suffix(T a, T b, T p) {                                                                 \
    const T a_wide = a * 134217729.0, b_wide = b * 134217729.0; /* 2^27 + 1: the upper half of the digits */             \
    const T a_high = a_wide - (a_wide - a), b_high = b_wide - (b_wide - b), a_low = a - a_high, b_low = b - b_high;      \
    return ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low;                                    \
  }
FL_SPLIT_PRODUCT(vd, f64)
FL_SPLIT_PRODUCT(double, one)
#undef FL_SPLIT_PRODUCT
#endif
#define error_of_product(a, b, p) _Generic((a), vd: error_of_product_f64, double: error_of_product_one)(a, b, p)

FL_INLINE vd nan_to_0(vd v) { return vselect(veq(v, v), v, vset_f64(0)); }
FL_INLINE vd error_of_product_finite(vd a, vd b, vd p) { return nan_to_0(error_of_product(a, b, p)); }

/* ---- sums and products with their errors ------------------------------------------------------------------------------ */

FL_INLINE vd two_sum_f64(vd a, vd b, vd *error) {
  const vd s = a + b;
  *error = error_of_sum(a, b, s);
  return s;
}
FL_INLINE double two_sum_one(double a, double b, double *error) {
  const double s = a + b;
  *error = error_of_sum(a, b, s);
  return s;
}
#define two_sum(a, b, error) _Generic((a), vd: two_sum_f64, double: two_sum_one)(a, b, error)

FL_INLINE vd two_diff(vd a, vd b, vd *error) {
  const vd d = a - b;
  *error = error_of_diff(a, b, d);
  return d;
}
FL_INLINE vd two_sum_finite(vd a, vd b, vd *error) {
  const vd s = a + b;
  *error = nan_to_0(error_of_sum(a, b, s));
  return s;
}
FL_INLINE vd two_diff_finite(vd a, vd b, vd *error) { return two_sum_finite(a, -b, error); }
FL_INLINE vd fast_two_sum(vd a, vd b, vd *error) {
  const vd s = a + b;
  *error = error_of_fast_sum(a, b, s);
  return s;
}
FL_INLINE vd two_product(vd a, vd b, vd *error) {
  const vd p = a * b;
  *error = error_of_product(a, b, p);
  return p;
}

/* c - a b for a b close to c */
FL_INLINE vd product_residual(vd a, vd b, vd c) {
#if defined(FL_V3) || defined(FL_V4) || defined(__aarch64__)
  return vfma(-a, b, c);
#else
  const vd product = a * b;
  return (c - product) - error_of_product(a, b, product);
#endif
}

/* a + b, where a's own error is known */
FL_INLINE vd sum_with_error(vd a, vd b, vd a_error) {
  vd error;
  const vd s = two_sum_finite(a, b, &error);
  return s + (error + a_error);
}

/* *sum += v; the error is added to *sum_error: their sum is what was added up. */
FL_INLINE void add_compensated(vd *sum, vd *error, vd v) {
  vd more;
  *sum = two_sum_finite(*sum, v, &more);
  *error += more;
}
FL_INLINE void add_neumaier(double *sum, double *error, double v) {
  const double s = *sum + v;
  *error += fabs(*sum) >= fabs(v) ? error_of_fast_sum(*sum, v, s) : error_of_fast_sum(v, *sum, s);
  *sum = s;
}

/* ---- double-doubles ------------------------------------------------------------------------------------------------- */

/* hi + lo, where lo may have grown beyond half a unit in the last place of hi */
FL_INLINE vdd dd_of_f64(vd hi, vd lo) {
  const vd s = hi + lo;
  return (vdd){s, error_of_fast_sum(hi, lo, s)};
}
FL_INLINE fl_dd dd_of_one(double hi, double lo) {
  const double s = hi + lo;
  return (fl_dd){s, error_of_fast_sum(hi, lo, s)};
}
#define dd_of(hi, lo) _Generic((hi), vd: dd_of_f64, double: dd_of_one)(hi, lo)

FL_INLINE vdd dd_add_f64(vdd a, vdd b) {
  vd error;
  const vd s = two_sum(a.hi, b.hi, &error);
  return dd_of(s, error + (a.lo + b.lo));
}
FL_INLINE fl_dd dd_add_one(fl_dd a, fl_dd b) {
  double error;
  const double s = two_sum(a.hi, b.hi, &error);
  return dd_of(s, error + (a.lo + b.lo));
}
#define dd_add(a, b) _Generic((a), vdd: dd_add_f64, fl_dd: dd_add_one)(a, b)

FL_INLINE vdd dd_scale_f64(vdd a, vd by) {
  const vd p = a.hi * by;
  return dd_of(p, error_of_product(a.hi, by, p) + a.lo * by);
}
FL_INLINE fl_dd dd_scale_one(fl_dd a, double by) {
  const double p = a.hi * by;
  return dd_of(p, error_of_product(a.hi, by, p) + a.lo * by);
}
#define dd_scale(a, by) _Generic((a), vdd: dd_scale_f64, fl_dd: dd_scale_one)(a, by)

FL_INLINE fl_dd dd_subtract(fl_dd a, fl_dd b) { return dd_add(a, ((fl_dd){-b.hi, -b.lo})); }
FL_INLINE fl_dd dd_times(fl_dd a, fl_dd b) {
  const double p = a.hi * b.hi;
  return dd_of(p, error_of_product(a.hi, b.hi, p) + (a.hi * b.lo + a.lo * b.hi));
}
FL_INLINE fl_dd dd_over(fl_dd a, fl_dd b) {
  const double q = a.hi / b.hi, p = q * b.hi;
  const double rest = ((a.hi - p) - error_of_product(q, b.hi, p)) + (a.lo - q * b.lo);
  return dd_of(q, rest / b.hi);
}
FL_INLINE fl_dd dd_sqrt(fl_dd a) {
  const double r = sqrt(a.hi);
  if (!(r > 0 && r < INFINITY)) return (fl_dd){r, 0};
  const double p = r * r, rest = ((a.hi - p) - error_of_product(r, r, p)) + a.lo;
  return dd_of(r, rest / (2 * r));
}

#endif

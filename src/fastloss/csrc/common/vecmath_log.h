/* Logarithms on the vectors of simd.h, for float, double, double to 1e-10 (short), and as sums of two doubles. Coefficients:
 * tools/minimax.py, which prints each one's error.
 *
 * w = m 2^k with m in [sqrt(1/2), sqrt(2)), f = m - 1; float: f - f^2/2 + f^3 p(f); double: through z = f / (2 + f), as in fdlibm's
 * e_log.c. A correction c to w (the rounding error of 1 + s) makes log1p.
 */
#ifndef FL_VECMATH_LOG_H
#define FL_VECMATH_LOG_H

#include "common/double_double.h"
#include "common/vecmath_base.h"

/* relative error 2.1e-9 */
#define FL_LOG1P_UNIT_F32                                                                                                \
  {1.0f,        -0.499999791f,  0.333324969f,  -0.249864966f,  0.198858202f,  -0.160876229f,                             \
   0.12377996f, -0.0818804055f, 0.0410065725f, -0.0131878266f, 0.00198669662f}
/* relative error 3.4e-9 */
#define FL_LOG_F32                                                                                                       \
  {0.333333313f,  -0.24999997f, 0.200007156f,  -0.166678026f, 0.142490581f,                                              \
   -0.124256872f, 0.116854198f, -0.114797339f, 0.0697161183f}
/* relative error 4.7e-18 */
#define FL_ATANH_F64                                                                                                     \
  {0.66666666666666696, 0.39999999999898889, 0.28571428626253836, 0.22222211089379496,                                   \
   0.18182892432536871, 0.15331611722055008, 0.14617807153417325}
/* relative error 1.7e-11 */
#define FL_ATANH_SHORT {0.66666666554042009, 0.40000122211810651, 0.28550778633191964, 0.23331614471843498}

/* relative error 9.9e-12 up to 1/9 */
#define FL_ATANH_THIRD_SHORT                                                                                             \
  {0.66666666650023609, 0.40000010769949662, 0.2857030572188366,                                                         \
   0.22264711209001325, 0.17464702465440773, 0.20787616855746752}
/* error 1.3e-8 of the logarithm that it serves, up to 0.36 */
#define FL_ATANH_WIDE_F32                                                                                                \
  {0.666666687f, 0.399999827f, 0.285727859f,  0.221842989f, 0.187064409f,                                                \
   0.11378327f,  0.308014333f, -0.302583903f, 0.578944445f}
/* relative error 4.6e-9 up to 1.7 */
#define FL_LOG_COSH_F32                                                                                                  \
  {0.5f,                                                                                                                 \
   -0.0833333209f,                                                                                                       \
   0.0222219229f,                                                                                                        \
   -0.00674370537f,                                                                                                      \
   0.00217762403f,                                                                                                       \
   -0.000716584502f,                                                                                                     \
   0.000223651004f,                                                                                                      \
   -5.83552937e-05f,                                                                                                     \
   1.05270738e-05f,                                                                                                      \
   -9.30249882e-07f}
/* relative error 1.3e-11 */
#define FL_LOG_SHORT                                                                                                     \
  {0.333333333374911,    -0.25000000267154865,  0.19999997848702775,  -0.16666611733567152,                              \
   0.1428586067782367,   -0.12503219754385583,  0.11109481863170483,  -0.099228381671777818,                             \
   0.090310072162755439, -0.091099775017652262, 0.090369180824734385, -0.050057398560748957}
/* relative error 4.6e-10 up to 0.49 */
#define FL_JENSEN_F32                                                                                                    \
  {1.0f,          0.166666701f,   0.0666643605f, 0.0357731953f,  0.0214670096f,                                          \
   0.0206272583f, -0.0126409987f, 0.0691516697f, -0.0815456286f, 0.064012453f}
/* relative error 4.5e-18 up to 1/4 */
#define FL_JENSEN_F64                                                                                                    \
  {1.0,                                                                                                                  \
   0.16666666666666766,                                                                                                  \
   0.066666666666423319,                                                                                                 \
   0.035714285738114762,                                                                                                 \
   0.022222221008112965,                                                                                                 \
   0.015151552081019695,                                                                                                 \
   0.010988286303467853,                                                                                                 \
   0.0083429344235205587,                                                                                                \
   0.0064479401315560327,                                                                                                \
   0.0058256365051172444,                                                                                                \
   0.0018458313565053869,                                                                                                \
   0.010953285782113751,                                                                                                 \
   -0.010347455859493189,                                                                                                \
   0.015267595942467349}

#define FL_LOG_2PI 1.8378770664093453

/* ---- log -------------------------------------------------------------------------------------------------------- */

/* `log` for finite w; of inf and nan the logarithm is w. */
FL_INLINE vf vlog_ends_f32(vf w, vf log) { return vselect(vlt(w, vset_f32(INFINITY)), log, w); }
FL_INLINE vd vlog_ends_f64(vd w, vd log) { return vselect(vlt(w, vset_f64(INFINITY)), log, w); }

/* log(w + c) for normal positive w and |c| below w's last place, corrected or not; inf and nan where w is. The reciprocal of
   the power of two is made as 2^(1 - k) / 2: 2^-k itself would leave the exponents for w above sqrt(2) 2^(largest exponent). */
FL_INLINE vf vlog_of_f32(vf w, int corrected, vf c) {
  const uint32_t root_half = 0x3f3504f3;
  vu32 bits = (vu32)w + (0x3f800000 - root_half);
  vu32 e = bits >> 23;
  vf m = (vf)((bits & 0x007fffff) + root_half);
  vf k = __builtin_convertvector((vi32)e, vf) - 127.0f, f = m - 1.0f;
  if (corrected) f += c * 0.5f * (vf)((255 - e) << 23);
  vf f2 = f * f;
  vf tail = vfma(f2 * f, FL_POLY_F32(f, FL_LOG_F32), vfma(f2, vset_f32(-0.5f), k * -2.12194440e-4f));
  return vlog_ends_f32(w, vfma(k, vset_f32(0.693359375f), f + tail));
}
FL_INLINE vf vlog_parts_f32(vf w, vf c) { return vlog_of_f32(w, 1, c); }
/* w = m 2^k for normal positive w, m in [sqrt(1/2), sqrt(2)): m - 1, which is exact. */
FL_INLINE vd vlog_split(vd w, vd *k) {
  const uint64_t root_half = 0x3fe6a09e667f3bcd;
  vu64 bits = (vu64)w + (0x3ff0000000000000 - root_half);
  *k = (vd)((bits >> 52) | 0x4330000000000000) - (0x1p52 + 1023.0);
  return (vd)((bits & 0x000fffffffffffff) + root_half) - 1.0;
}
/* The same of w + c, where m - 1 is rounded. */
FL_INLINE vd vlog_reduce_f64(vd w, vd c, vd *k) {
  const uint64_t root_half = 0x3fe6a09e667f3bcd;
  vu64 e = ((vu64)w + (0x3ff0000000000000 - root_half)) >> 52;
  return vlog_split(w, k) + c * 0.5 * (vd)((2047 - e) << 52);
}
/* f - log(1 + f) for such an f, about f^2 / 2: with f and a multiple of ln 2 it makes a logarithm that is longer than a double. */
FL_INLINE vd vlog_tail(vd f) {
  vd z = f / (f + 2.0), z2 = z * z;
  return z * (f - z2 * FL_POLY_F64(z2, FL_ATANH_F64));
}
FL_INLINE vd vlog_join_f64(vd w, vd f, vd k) { /* k ln 2 + log(1 + f) */
  return vlog_ends_f64(w, vfma(k, vset_f64(FL_LN2_HIGH_F64), f - (vlog_tail(f) - k * FL_LN2_LOW_F64)));
}
FL_INLINE vd vlog_parts_f64(vd w, vd c) {
  vd k, f = vlog_reduce_f64(w, c, &k);
  return vlog_join_f64(w, f, k);
}
/* The same to 1e-10, from z = f / (2 + f) */
FL_INLINE vd vlog_join_short(vd w, vd f, vd k, vd z) {
  vd z2 = z * z;
  return vlog_ends_f64(w, vfma(k, vset_f64(FL_LN2), f - z * (f - z2 * FL_POLY_F64(z2, FL_ATANH_SHORT))));
}

/* log(1 + s) for s > -1. */
FL_INLINE vf vlog1p_f32(vf s) {
  const vf w = s + 1.0f;
  return vlog_parts_f32(w, vselect(vlt(s, vset_f32(1.0f)), s - (w - 1.0f), 1.0f - (w - s)));
}
FL_INLINE vd vlog1p_reduce(vd s, vd *w, vd *k) {
  *w = s + 1.0;
  return vlog_reduce_f64(*w, vselect(vlt(s, vset_f64(1.0)), s - (*w - 1.0), 1.0 - (*w - s)), k);
}
FL_INLINE vd vlog1p_f64(vd s) {
  vd w, k, f = vlog1p_reduce(s, &w, &k);
  return vlog_join_f64(w, f, k);
}
#define vlog1p(s) _Generic((s), vf: vlog1p_f32, vd: vlog1p_f64)(s)

/* To 1e-10: with a quotient for rows, which take one logarithm each; with vinverse, which is faster, for elements. Their last
   bits differ. */
FL_INLINE vd vlog1p_short(vd s) {
  vd w, k, f = vlog1p_reduce(s, &w, &k);
  return vlog_join_short(w, f, k, f / (f + 2.0));
}
FL_INLINE vd vlog1p_short_fast(vd s) {
  vd w, k, f = vlog1p_reduce(s, &w, &k);
  return vlog_join_short(w, f, k, f * vinverse(f + 2.0));
}

/* log(1 + u) for 0 <= u <= 1. */
FL_INLINE vf vlog1p_unit_f32(vf u) { return u * FL_POLY_F32(u, FL_LOG1P_UNIT_F32); }
#define vlog1p_unit(u) _Generic((u), vf: vlog1p_unit_f32, vd: vlog1p_f64)(u)

/* log(p) for p > 0, denormal numbers too: their 32 or 64 ln 2 are subtracted last (vlog_split_any, which takes 64 off k, makes
   them round differently). */
FL_INLINE vf vlog_f32(vf p) {
  mf small = vlt(p, vset_f32(0x1p-126f));
  vf w = vselect(small, p * 0x1p32f, p);
  return vlog_of_f32(w, 0, w) - vselect(small, vset_f32((float)(32 * FL_LN2)), vset_f32(0));
}
FL_INLINE vd vlog_f64(vd p) {
  md small = vlt(p, vset_f64(0x1p-1022));
  vd w = vselect(small, p * 0x1p64, p);
  vd k, f = vlog_split(w, &k);
  return vlog_join_f64(w, f, k) - vselect(small, vset_f64(64 * FL_LN2), vset_f64(0));
}
#define vlog(p) _Generic((p), vf: vlog_f32, vd: vlog_f64)(p)

FL_INLINE vd vlog_short(vd w) { /* to 1e-11, without a division; w normal, as floats are */
  vd k, f = vlog_split(w, &k), f2 = f * f;
  return vlog_ends_f64(w, vfma(k, vset_f64(FL_LN2), f + vfma(f2 * f, FL_POLY_F64(f, FL_LOG_SHORT), f2 * -0.5)));
}

/* w = m 2^k as vlog_split, for w denormal too. */
FL_INLINE vd vlog_split_any(vd w, vd *k) {
  md small = vlt(w, vset_f64(0x1p-1022));
  vd e, f = vlog_split(vselect(small, w * 0x1p64, w), &e);
  *k = vselect(small, e - 64.0, e);
  return f;
}

/* ---- logarithms longer than a double -------------------------------------------------------------------------------- */

/* z = f / (2 + f), where 2 z = log(1 + f) - z^3 (2/3 + 2 z^2 / 5 + ...), and its rounding error. */
FL_INLINE vd vlog_ratio(vd f, vd *error) {
  const vd d = f + 2.0, inverse = vinverse(d), z = f * inverse;
  *error = (product_residual(z, d, f) - z * (f - (d - 2.0))) * inverse;
  return z;
}

/* log(w) for w > 0, and its rounding error: their sum is known to 2^-60. */
FL_INLINE vd vlog_with_error(vd w, vd *error) {
  vd k, f = vlog_split_any(w, &k), z_error, z = vlog_ratio(f, &z_error), z2 = z * z, whole_error;
  vd whole = fast_two_sum(k * FL_LN2_HIGH_F64, z + z, &whole_error); /* the product is exact: 32 bits times 11 */
  vd tail =
      vfma(z * z2, FL_POLY_F64(z2, FL_ATANH_F64), vfma(k, vset_f64(FL_LN2_LOW_F64), z_error + z_error) + whole_error);
  vd log = fast_two_sum(whole, tail, error);
  return vlog_ends_f64(w, log);
}

/* The same to 2^-104, in double-double arithmetic throughout: for logarithms next to which little is left of a difference.
   2 / (2 j + 1) for j = 1 .. 9 as double-doubles, then as doubles, since z^2 < 0.03. */
static __attribute__((noinline, const)) vdd vlog_dd(vd w) {
  static const double high[] = {0.6666666666666666,  0.4,
                                0.2857142857142857,  0.2222222222222222,
                                0.18181818181818182, 0.15384615384615385,
                                0.13333333333333333, 0.11764705882352941,
                                0.10526315789473684};
  static const double low[] = {3.700743415417188e-17,  -2.2204460492503132e-17, 1.586032892321652e-17,
                               1.2335811384723961e-17, -5.046468293750712e-18,  -8.540177112501205e-18,
                               1.8503717077085942e-18, 1.6326809185664067e-18,  5.843279076974508e-18};
  static const double c[] = {0.09523809523809523, 0.08695652173913043, 0.08,
                             0.07407407407407407, 0.06896551724137931, 0.06451612903225806,
                             0.06060606060606061, 0.05714285714285714, 0.05405405405405406,
                             0.05128205128205128, 0.04878048780487805, 0.046511627906976744};
  vd k, f = vlog_split_any(w, &k), z_lo, z = vlog_ratio(f, &z_lo), square_lo, cube_lo, sum_lo, more_lo;
  const vd square = two_product(z, z, &square_lo);
  square_lo = vfma(z + z, z_lo, square_lo);
  vd p = vpoly_f64(square, c, sizeof c / sizeof *c), p_lo = vset_f64(0);
  for (int j = sizeof high / sizeof *high - 1; j >= 0; j--) { /* p = 2 / (2 j + 3) + z^2 p */
    vd product_lo, product = two_product(square, p, &product_lo);
    product_lo = vfma(square, p_lo, vfma(square_lo, p, product_lo));
    p = fast_two_sum(vset_f64(high[j]), product, &p_lo);
    p_lo += product_lo + low[j];
  }
  vd cube = two_product(z, square, &cube_lo);
  cube_lo = vfma(z, square_lo, vfma(z_lo, square, cube_lo));
  vd more = two_product(cube, p, &more_lo);
  more_lo = vfma(cube, p_lo, vfma(cube_lo, p, more_lo));
  vd ln2_error, ln2_low = two_product(k, vset_f64(FL_LN2_LOW_F64), &ln2_error);
  ln2_error = vfma(k, vset_f64(FL_LN2_LOWEST_F64), ln2_error);
  vd sum = fast_two_sum(k * FL_LN2_HIGH_F64, z + z, &sum_lo), next_error, last_error;
  sum = two_sum_finite(sum, more, &next_error);
  sum = two_sum_finite(sum, ln2_low, &last_error);
  sum_lo = sum_lo + next_error + last_error + ((z_lo + z_lo) + (more_lo + ln2_error));
  return dd_of(sum, sum_lo);
}

/* x - log t for t > 0, and its rounding error. Where the difference is below `near` their sum is known to 2^-52 of itself, or to
   2^-104 of the logarithm; elsewhere to 2^-60 of the logarithm. */
FL_INLINE vd vlog_gap(vd x, vd t, double near, vd *error) {
  vd log_error, log = vlog_with_error(t, &log_error), v = two_diff_finite(x, log, error);
  const md close = vlt(vabs(v), vset_f64(near));
  *error -= log_error;
  if (__builtin_expect(vany_f64(close), 0)) {
    const vdd exact = vlog_dd(t);
    vd exact_error, gap_error, gap = two_diff_finite(x, exact.hi, &gap_error),
                               sum = fast_two_sum(gap, gap_error - exact.lo, &exact_error);
    v = vselect(close, sum, v), *error = vselect(close, exact_error, *error);
  }
  return v;
}

/* log(1 + u) for 0 <= u <= 1 from z = u / (2 + u), to 1e-10. */
FL_INLINE vd vlog1p_ratio_short(vd u, vd z) {
  vd z2 = z * z;
  return u - z * (u - z2 * FL_POLY_F64(z2, FL_ATANH_THIRD_SHORT));
}

/* ((1 + d) log(1 + d) + (1 - d) log(1 - d)) / d^2 from w = d^2, for |d| up to 0.7 (float) or 1/2. */
FL_INLINE vf vjensen_f32(vf w) { return FL_POLY_F32(w, FL_JENSEN_F32); }
FL_INLINE vd vjensen_f64(vd w) { return FL_POLY_F64(w, FL_JENSEN_F64); }
#define vjensen(w) _Generic((w), vf: vjensen_f32, vd: vjensen_f64)(w)

#endif

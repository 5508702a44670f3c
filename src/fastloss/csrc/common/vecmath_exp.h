/* Exponentials on the vectors of simd.h, for float, double, and double to 5e-12 or 1e-10 (short). Coefficients: tools/minimax.py,
 * which prints each one's error.
 *
 * Cody and Waite's reduction: n = round(x / ln 2), r = x - n ln 2 in two steps (exact products with FMA; without, the leading part
 * of ln 2 has 9 bits (float) or 32 (double), so that the product is exact for every n the kernels reach), then 1 + r + r^2 q(r) by
 * Horner's rule. e^x is returned as the pair (p, n) with e^x = p 2^n, p in [0.7, 1.42], because sums of exponentials choose
 * their own power of two.
 */
#ifndef FL_VECMATH_EXP_H
#define FL_VECMATH_EXP_H

#include "common/vecmath_base.h"

/* relative error 1.1e-8 */
#define FL_EXP_F32 {1.0f, 1.0f, 0.5f, 0.166665703f, 0.041666545f, 0.00836438034f, 0.00139276846f}
/* relative error 7.1e-19 */
#define FL_EXP_F64                                                                                                       \
  {1.0,                                                                                                                  \
   1.0,                                                                                                                  \
   0.5,                                                                                                                  \
   0.16666666666666671,                                                                                                  \
   0.041666666666666671,                                                                                                 \
   0.0083333333333249059,                                                                                                \
   0.001388888888888287,                                                                                                 \
   0.00019841269879033045,                                                                                               \
   2.4801587328555858e-05,                                                                                               \
   2.7557250163029179e-06,                                                                                               \
   2.7557269903215795e-07,                                                                                               \
   2.5107353767261877e-08,                                                                                               \
   2.0916212837493853e-09}
/* relative error 5.1e-12 */
#define FL_EXP_SHORT                                                                                                     \
  {1.0,                                                                                                                  \
   1.0,                                                                                                                  \
   0.5,                                                                                                                  \
   0.16666666725604243,                                                                                                  \
   0.041666666725584722,                                                                                                 \
   0.0083332956083243589,                                                                                                \
   0.0013888851175485066,                                                                                                \
   0.00019901620653935256,                                                                                               \
   2.4861923829270269e-05}
/* relative error 2.0e-8 on [-1, 2] */
#define FL_EXCESS_F32                                                                                                    \
  {0.5f,           0.166666701f,    0.0416666567f,   0.00833309628f,                                                     \
   0.00138898857f, 0.000198804293f, 2.45606643e-05f, 2.58752107e-06f,                                                    \
   4.31953879e-07f}
/* relative error 2.8e-17 on [-1, 1.5] */
#define FL_EXCESS_F64                                                                                                    \
  {0.5,                                                                                                                  \
   0.16666666666666666,                                                                                                  \
   0.04166666666666665,                                                                                                  \
   0.0083333333333333297,                                                                                                \
   0.0013888888888891426,                                                                                                \
   0.00019841269841267936,                                                                                               \
   2.4801587300239394e-05,                                                                                               \
   2.7557319227995463e-06,                                                                                               \
   2.7557319566085714e-07,                                                                                               \
   2.5052106716012107e-08,                                                                                               \
   2.0876712994039883e-09,                                                                                               \
   1.6059341040017887e-10,                                                                                               \
   1.147336465241519e-11,                                                                                                \
   7.6227915778003592e-13,                                                                                               \
   4.7422622654064818e-14,                                                                                               \
   3.5765766773792566e-15}

/* ---- e^x ---------------------------------------------------------------------------------------------------------- */

/* r with x = n ln 2 + r, |r| <= ln 2 / 2 */
FL_INLINE vf vexp_reduce_f32(vf x, vf *n) {
  *n = vfma(x, vset_f32((float)FL_LOG2E), vset_f32(FL_ROUND_F32)) - FL_ROUND_F32;
  return vfma(*n, vset_f32(-FL_LN2_LOW_F32), vfma(*n, vset_f32(-FL_LN2_HIGH_F32), x));
}
FL_INLINE vd vexp_reduce_f64(vd x, vd *n) {
  *n = vfma(x, vset_f64(FL_LOG2E), vset_f64(FL_ROUND_F64)) - FL_ROUND_F64;
  return vfma(*n, vset_f64(-FL_LN2_LOW_F64), vfma(*n, vset_f64(-FL_LN2_HIGH_F64), x));
}

/* e^r for |r| <= ln 2 / 2: to the last bit or two, or (short) to 1e-11. */
FL_INLINE vf vexp_small_f32(vf r) { return FL_POLY_F32(r, FL_EXP_F32); }
FL_INLINE vd vexp_small_f64(vd r) { return FL_POLY_F64(r, FL_EXP_F64); }
FL_INLINE vd vexp_small_short(vd r) { return FL_POLY_F64(r, FL_EXP_SHORT); }
#define vexp_small(r) _Generic((r), vf: vexp_small_f32, vd: vexp_small_f64)(r)

FL_INLINE vf vexp_parts_f32(vf x, vf *n) { return vexp_small_f32(vexp_reduce_f32(x, n)); }
FL_INLINE vd vexp_parts_f64(vd x, vd *n) { return vexp_small_f64(vexp_reduce_f64(x, n)); }
FL_INLINE vd vexp_parts_short(vd x, vd *n) { return vexp_small_short(vexp_reduce_f64(x, n)); }
#define vexp_parts(x, n) _Generic((x), vf: vexp_parts_f32, vd: vexp_parts_f64)(x, n)

/* e^x 2^-by, whole-numbered `by`, for results in the range of normal numbers: what a sum of exponentials adds up. Floats take
   it in steps of ln 2 / 16 (or 8, one register of floats): round(x 16 / ln 2), with `by` already taken off, is read out of
   the low bits of a float; its last 4 bits pick the power 2^(j/16) from a register, the others are added to the exponent (the
   table's entries have j's own bits taken off beforehand), and e^r of the small rest needs degree 3 only. */
#if defined(FL_V4) || defined(FL_V3)
#if defined(FL_V4)
/* relative error 1.7e-9 */
#define FL_EXP_STEP {0.500016868f, 0.166670039f}
enum { FL_STEPS = 16, FL_STEP_SHIFT = 19 };
static const uint32_t fl_step_table[16] = {0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532,
                                           0x3f75fed7, 0x3f75583f, 0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c,
                                           0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d};
FL_INLINE vu32 vstep_power(vf t) { return (vu32)_mm512_permutexvar_epi32((__m512i)t, _mm512_loadu_si512(fl_step_table)); }
#else
/* relative error 2.8e-8 */
#define FL_EXP_STEP {0.500067413f, 0.166680142f}
enum { FL_STEPS = 8, FL_STEP_SHIFT = 20 };
static const uint32_t fl_step_table[8] = {0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7,
                                          0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7};
FL_INLINE vu32 vstep_power(vf t) {
  return (vu32)_mm256_permutevar8x32_epi32(_mm256_loadu_si256((const __m256i *)(const void *)fl_step_table), (__m256i)t);
}
#endif
FL_INLINE vf vexp_scaled_f32(vf x, vf by) {
  const float step = (float)(FL_LN2 / FL_STEPS), step_rest = (float)(FL_LN2 / FL_STEPS - (double)step);
  const vf whole = vfma(by, vset_f32(-FL_STEPS), vset_f32(FL_ROUND_F32)); /* the same for a whole row */
  const vf t = vfma(x, vset_f32((float)(FL_STEPS * FL_LOG2E)), whole), n = t - whole;
  vf r = vfma(n, vset_f32(-step), x);
  r = vfma(n, vset_f32(-step_rest), r);
  const vf power = (vf)(vstep_power(t) + ((vu32)t << FL_STEP_SHIFT));
  return vfma(power, vfma(r * r, FL_POLY_F32(r, FL_EXP_STEP), r), power);
}
#else
FL_INLINE vf vexp_scaled_f32(vf x, vf by) {
  vf n, p = vexp_parts_f32(x, &n);
  return vscale(p, n - by);
}
#endif
FL_INLINE vd vexp_scaled_f64(vd x, vd by) {
  vd n, p = vexp_parts_f64(x, &n);
  return vscale(p, n - by);
}
#define vexp_scaled(x, by) _Generic((x), vf: vexp_scaled_f32, vd: vexp_scaled_f64)(x, by)

/* e^x for x <= 0, right down through the denormal numbers: the power of two goes in two steps. */
FL_INLINE vf vexp_negative_f32(vf x) {
  vf n, p = vexp_parts_f32(vmax(vset_f32(-110.0f), x), &n);
  return FL_SCALE_EXACT ? vscale(p, n) : vscale(p, n + 64.0f) * 0x1p-64f;
}
FL_INLINE vd vexp_negative_f64(vd x) {
  vd n, p = vexp_parts_f64(vmax(vset_f64(-760.0), x), &n);
  return FL_SCALE_EXACT ? vscale(p, n) : vscale(p, n + 512.0) * 0x1p-512;
}
#define vexp_negative(x) _Generic((x), vf: vexp_negative_f32, vd: vexp_negative_f64)(x)

/* e^x for any x, denormal and infinite results too. */
FL_INLINE vd vexp_bounded(vd x) { return vmin(vset_f64(711.0), vmax(vset_f64(-760.0), x)); }
FL_INLINE vf vexp_f32(vf x) {
  vf n, p = vexp_parts_f32(vmin(vset_f32(90.0f), vmax(vset_f32(-110.0f), x)), &n);
  return vscale_any_f32(p, n);
}
FL_INLINE vd vexp_f64(vd x) {
  vd n, p = vexp_parts_f64(vexp_bounded(x), &n);
  return vscale_any_f64(p, n);
}
#define vexp(x) _Generic((x), vf: vexp_f32, vd: vexp_f64)(x)
FL_INLINE vd vexp_short(vd x) {
  vd n, p = vexp_parts_short(vexp_bounded(x), &n);
  return vscale_any_f64(p, n);
}
/* The same for x from a float, without the second step of the scaling: between the bounds the results are normal doubles, beyond
   them no float. */
FL_INLINE vd vexp_short_of_float(vd x) {
  vd n, p = vexp_parts_short(vmin(vset_f64(90.0), vmax(vset_f64(-110.0), x)), &n);
  return vscale(p, n);
}

/* t e^x for t >= 0 and any x, where e^x alone may overflow or underflow though the product does not: the power of two goes in
   three steps, the first of which cannot overflow unless the product does. */
FL_INLINE vd vexp_times(vd t, vd x) {
  vd n, p = vexp_parts_f64(vmin(vset_f64(1500.0), vmax(vset_f64(-1500.0), x)), &n);
  const vd third = vfma(n, vset_f64(1.0 / 3), vset_f64(FL_ROUND_F64)) - FL_ROUND_F64, q = t * vscale(p, third);
  return FL_SCALE_EXACT ? vscale(q, n - third) : vscale(vscale(q, third), n - third - third);
}

/* ---- e^x - 1, e^x - 1 - x ------------------------------------------------------------------------------------------ */

/* (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2: the tails of the polynomials for e^r. */
FL_INLINE vf vexp_tail_f32(vf r) {
  static const float c[] = FL_EXP_F32;
  return vpoly_f32(r, c + 2, sizeof c / sizeof *c - 2);
}
FL_INLINE vd vexp_tail_f64(vd r) {
  static const double c[] = FL_EXP_F64;
  return vpoly_f64(r, c + 2, sizeof c / sizeof *c - 2);
}
FL_INLINE vd vexp_tail_short(vd r) { /* to 1e-10 */
  static const double c[] = FL_EXP_SHORT;
  return vpoly_f64(r, c + 2, sizeof c / sizeof *c - 2);
}

/* e^x for x <= 0, and *grow = e^x - 1. */
FL_INLINE vf vexp_both_f32(vf x, vf *grow) {
  vf k, r = vexp_reduce_f32(vmax(vset_f32(-110.0f), x), &k);
  vf t = vfma(r * r, vexp_tail_f32(r), r), one = vset_f32(1.0f), unit = vscale(one, vmax(vset_f32(-64.0f), k));
  *grow = vfma(t, unit, unit - one);
  return vscale_any_f32(t + one, k);
}
FL_INLINE vd vexp_both_f64(vd x, vd *grow) {
  vd k, r = vexp_reduce_f64(vexp_bounded(x), &k);
  vd t = vfma(r * r, vexp_tail_f64(r), r), one = vset_f64(1.0), unit = vscale(one, vmax(vset_f64(-64.0), k));
  *grow = vfma(t, unit, unit - one);
  return vscale_any_f64(t + one, k);
}
#define vexp_both(x, grow) _Generic((x), vf: vexp_both_f32, vd: vexp_both_f64)(x, grow)

/* phi(u + c) = e^(u + c) - 1 - u - c >= 0 without cancellation, for |c| below 2^-40, *e = e^(u + c) and *grow = *e - 1; to
   1e-10 if `brief`. Near 0 through phi(2 v) = (v + phi(v))^2 + 2 phi(v), twice: phi(u / 4) is where the polynomial is good. */
FL_INLINE vd vphi(vd u, vd c, int brief, vd *e, vd *grow) {
  vd k, far = vexp_reduce_f64(vexp_bounded(u), &k) + c, one = vset_f64(1.0);
  md close = vlt(vabs(u), vset_f64(2 * FL_LN2));
  vd r = vselect(close, u * 0.25, far), f = r * r * (brief ? vexp_tail_short(r) : vexp_tail_f64(r));
  vd m = r + f, f2 = vfma(m, m, f + f), m2 = r + r + f2, f4 = vfma(m2, m2, f2 + f2);
  far = vscale_any_f64(one + m, k);
  f4 = vfma(u + f4, c, f4);
  vd near = u + (f4 + c);
  *e = vselect(close, one + near, far), *grow = vselect(close, near, far - one);
  return vselect(close, f4, far - ((vmin(vset_f64(0x1p1000), u) + 1.0) + c)); /* inf - inf is not meant */
}

/* e^d - 1 - d: near 0 by d^2 times a series, so that nothing cancels; *grow becomes e^d - 1. vphi without c, and for floats too:
   one long polynomial in place of two doublings, which round differently. */
FL_INLINE vf vexcess_f32(vf d, vf *grow) {
  mf below = vlt(d, vset_f32(-1.0f)), above = vlt(vset_f32(2.0f), d);
  vf e = vexp(d), far = e - (vmin(vset_f32(1e30f), d) + 1.0f), near = d * d * FL_POLY_F32(d, FL_EXCESS_F32);
  vf one = vset_f32(1.0f);
  *grow = vselect(below, e - one, vselect(above, e - one, d + near));
  return vselect(below, far, vselect(above, far, near));
}
FL_INLINE vd vexcess_f64(vd d, vd *grow) {
  md below = vlt(d, vset_f64(-1.0)), above = vlt(vset_f64(1.5), d);
  vd e = vexp(d), far = e - (vmin(vset_f64(1e300), d) + 1.0), near = d * d * FL_POLY_F64(d, FL_EXCESS_F64);
  vd one = vset_f64(1.0);
  *grow = vselect(below, e - one, vselect(above, e - one, d + near));
  return vselect(below, far, vselect(above, far, near));
}
#define vexcess(d, grow) _Generic((d), vf: vexcess_f32, vd: vexcess_f64)(d, grow)

#endif

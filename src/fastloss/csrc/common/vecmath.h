/* Exponentials and logarithms on the vectors of simd.h. Coefficients: tools/minimax.py, which prints each one's error.
 *
 * exp  Cody and Waite's reduction: n = round(x / ln 2), r = x - n ln 2 in two steps (exact products with FMA; without, the
 *      leading part of ln 2 has 9 bits (float) or 32 (double), so that the product is exact for every n the kernels reach),
 *      then 1 + r + r^2 q(r) by Horner's rule. e^x is handed out as the pair (p, n) with e^x = p 2^n, p in [0.7, 1.42], because sums of
 *      exponentials want to choose their own power of two.
 * log  w = m 2^k with m in [sqrt(1/2), sqrt(2)), f = m - 1; float: f - f^2/2 + f^3 p(f); double: through
 *      z = f / (2 + f), as in fdlibm's e_log.c. A correction c to w (the part of 1 + s that rounding lost) makes log1p.
 */
#ifndef FL_VECMATH_H
#define FL_VECMATH_H

#include "common/simd.h"

typedef uint32_t vu32 __attribute__((vector_size(FL_BYTES)));
typedef uint64_t vu64 __attribute__((vector_size(FL_BYTES)));

#define FL_LOG2E 1.4426950408889634
#define FL_LN2 0.69314718055994531
#define FL_ROUND_F32 12582912.0f        /* 1.5 * 2^23: adding it rounds to a whole number */
#define FL_ROUND_F64 6755399441055744.0 /* 1.5 * 2^52 */

#if defined(FL_V3) || defined(FL_V4) || defined(__aarch64__)
#define FL_LN2_HIGH_F32 0.693147182f
#define FL_LN2_LOW_F32 -1.90465421e-9f
#else
#define FL_LN2_HIGH_F32 0.693359375f
#define FL_LN2_LOW_F32 -2.12194440e-4f
#endif
#define FL_LN2_HIGH_F64 6.93147180369123816490e-01
#define FL_LN2_LOW_F64 1.90821492927058770002e-10
#define FL_LN2_LOWEST_F64 1.1612227229362532e-26

/* p = c[0] + c[1] x + ... by Horner's rule; the loop is unrolled because n is a constant. */
FL_INLINE vf vpoly_f32(vf x, const float *c, int n) {
  vf p = vset_f32(c[n - 1]);
#pragma GCC unroll 16
  for (int i = n - 2; i >= 0; i--) p = vfma(p, x, vset_f32(c[i]));
  return p;
}
FL_INLINE vd vpoly_f64(vd x, const double *c, int n) {
  vd p = vset_f64(c[n - 1]);
#pragma GCC unroll 16
  for (int i = n - 2; i >= 0; i--) p = vfma(p, x, vset_f64(c[i]));
  return p;
}
#define FL_POLY_F32(x, ...) vpoly_f32(x, (const float[])__VA_ARGS__, sizeof((const float[])__VA_ARGS__) / 4)
#define FL_POLY_F64(x, ...) vpoly_f64(x, (const double[])__VA_ARGS__, sizeof((const double[])__VA_ARGS__) / 8)

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

/* ---- exp ---------------------------------------------------------------------------------------------------------- */

FL_INLINE vf vexp_parts_f32(vf x, vf *n) {
  vf k = vfma(x, vset_f32((float)FL_LOG2E), vset_f32(FL_ROUND_F32)) - FL_ROUND_F32;
  vf r = vfma(k, vset_f32(-FL_LN2_HIGH_F32), x);
  r = vfma(k, vset_f32(-FL_LN2_LOW_F32), r);
  *n = k;
  return FL_POLY_F32(r, FL_EXP_F32);
}
FL_INLINE vd vexp_parts_f64(vd x, vd *n) {
  vd k = vfma(x, vset_f64(FL_LOG2E), vset_f64(FL_ROUND_F64)) - FL_ROUND_F64;
  vd r = vfma(k, vset_f64(-FL_LN2_HIGH_F64), x);
  r = vfma(k, vset_f64(-FL_LN2_LOW_F64), r);
  *n = k;
  return FL_POLY_F64(r, FL_EXP_F64);
}
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

/* e^a for |a| <= ln 2 / 2: to the last bit or two of double, or (short) to 1e-11. */
FL_INLINE vd vexp_small(vd a) { return FL_POLY_F64(a, FL_EXP_F64); }
FL_INLINE vd vexp_small_short(vd a) { return FL_POLY_F64(a, FL_EXP_SHORT); }

/* ---- log ---------------------------------------------------------------------------------------------------------- */

/* log w, but for an infinite w and nan that limit itself: w. */
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
FL_INLINE vd vlog_reduce_f64(vd w, vd c, vd *k) { /* the same of w + c */
  const uint64_t root_half = 0x3fe6a09e667f3bcd;
  vu64 e = ((vu64)w + (0x3ff0000000000000 - root_half)) >> 52;
  return vlog_split(w, k) + c * 0.5 * (vd)((2047 - e) << 52);
}
FL_INLINE vd vlog_join_f64(vd w, vd f, vd k) { /* k ln 2 + log(1 + f) */
  vd z = f / (f + 2.0), z2 = z * z;
  vd tail = z * (f - z2 * FL_POLY_F64(z2, FL_ATANH_F64));
  return vlog_ends_f64(w, vfma(k, vset_f64(FL_LN2_HIGH_F64), f - (tail - k * FL_LN2_LOW_F64)));
}
FL_INLINE vd vlog_parts_f64(vd w, vd c) {
  vd k, f = vlog_reduce_f64(w, c, &k);
  return vlog_join_f64(w, f, k);
}

/* log(1 + s) for s > -1. */
FL_INLINE vf vlog1p_f32(vf s) {
  vf w = s + 1.0f;
  return vlog_parts_f32(w, vselect(vlt(s, vset_f32(1.0f)), s - (w - 1.0f), 1.0f - (w - s)));
}
FL_INLINE vd vlog1p_f64(vd s) {
  vd w = s + 1.0;
  return vlog_parts_f64(w, vselect(vlt(s, vset_f64(1.0)), s - (w - 1.0), 1.0 - (w - s)));
}
#define vlog1p(s) _Generic((s), vf: vlog1p_f32, vd: vlog1p_f64)(s)

FL_INLINE vd vlog1p_short(vd s) { /* to 1e-10 */
  vd k, w = s + 1.0;
  vd f = vlog_reduce_f64(w, vselect(vlt(s, vset_f64(1.0)), s - (w - 1.0), 1.0 - (w - s)), &k);
  vd z = f / (f + 2.0), z2 = z * z;
  return vlog_ends_f64(w, vfma(k, vset_f64(FL_LN2), f - z * (f - z2 * FL_POLY_F64(z2, FL_ATANH_SHORT))));
}

/* log(1 + u) for 0 <= u <= 1. */
FL_INLINE vf vlog1p_unit_f32(vf u) { return u * FL_POLY_F32(u, FL_LOG1P_UNIT_F32); }
#define vlog1p_unit(u) _Generic((u), vf: vlog1p_unit_f32, vd: vlog1p_f64)(u)

/* log(p) for p > 0, denormal numbers too. */
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

/* ---- for regression and margin losses ----------------------------------------------------------------------------- */

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
#define FL_LOG_2PI 1.8378770664093453

FL_INLINE vf vsqrt_f32(vf a) {
#if defined(FL_V4)
  return _mm512_sqrt_ps(a);
#elif defined(FL_V3)
  return _mm256_sqrt_ps(a);
#elif defined(__SSE2__)
  return _mm_sqrt_ps(a);
#else
  for (int i = 0; i < LANES_F32; i++) a[i] = __builtin_sqrtf(a[i]);
  return a;
#endif
}
FL_INLINE vd vsqrt_f64(vd a) {
#if defined(FL_V4)
  return _mm512_sqrt_pd(a);
#elif defined(FL_V3)
  return _mm256_sqrt_pd(a);
#elif defined(__SSE2__)
  return _mm_sqrt_pd(a);
#else
  for (int i = 0; i < LANES_F64; i++) a[i] = __builtin_sqrt(a[i]);
  return a;
#endif
}
#define vsqrt(a) _Generic((a), vf: vsqrt_f32, vd: vsqrt_f64)(a)

/* a b - p, where p is a b rounded: what rounding dropped. Without FMA by Dekker's splitting, for |a|, |b| below 2^990. */
FL_INLINE vd vproduct_lost(vd a, vd b, vd p) {
#if defined(FL_V3) || defined(FL_V4) || defined(__aarch64__)
  return vfma(a, b, -p);
#else
  const vd a_wide = a * 134217729.0, b_wide = b * 134217729.0; /* 2^27 + 1: the upper half of the digits */
  const vd a_high = a_wide - (a_wide - a), b_high = b_wide - (b_wide - b), a_low = a - a_high, b_low = b - b_high;
  return ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low;
#endif
}

/* 1 / a to the last bit or two, for a whose inverse is a normal number: Newton's method costs a fifth of a division. */
FL_INLINE vd vinverse(vd a) {
#if defined(FL_V4)
  const vd one = vset_f64(1.0);
  vd r = _mm512_rcp14_pd(a);
  r = vfma(r, vfma(-a, r, one), r);
  return vfma(r, vfma(-a, r, one), r);
#else
  return 1.0 / a;
#endif
}

/* p 2^n for p near 1 and any whole n within twice the exponents of normal numbers. */
FL_INLINE vf vscale_any_f32(vf p, vf n) {
  if (FL_SCALE_EXACT) return vscale(p, n);
  vf half = vfma(n, vset_f32(0.5f), vset_f32(FL_ROUND_F32)) - FL_ROUND_F32;
  return vscale(vscale(p, half), n - half);
}
FL_INLINE vd vscale_any_f64(vd p, vd n) {
  if (FL_SCALE_EXACT) return vscale(p, n);
  vd half = vfma(n, vset_f64(0.5), vset_f64(FL_ROUND_F64)) - FL_ROUND_F64;
  return vscale(vscale(p, half), n - half);
}

/* e^x for any x, denormal and infinite results too. */
FL_INLINE vf vexp_f32(vf x) {
  vf n, p = vexp_parts_f32(vmin(vset_f32(90.0f), vmax(vset_f32(-110.0f), x)), &n);
  return vscale_any_f32(p, n);
}
FL_INLINE vd vexp_f64(vd x) {
  vd n, p = vexp_parts_f64(vmin(vset_f64(711.0), vmax(vset_f64(-760.0), x)), &n);
  return vscale_any_f64(p, n);
}
#define vexp(x) _Generic((x), vf: vexp_f32, vd: vexp_f64)(x)

/* t e^x for t >= 0 and any x, where e^x alone may overflow or underflow though the product does not: the power of two goes in
   three steps, the first of which cannot overflow unless the product does. */
FL_INLINE vd vexp_times(vd t, vd x) {
  vd n, p = vexp_parts_f64(vmin(vset_f64(1500.0), vmax(vset_f64(-1500.0), x)), &n);
  const vd third = vfma(n, vset_f64(1.0 / 3), vset_f64(FL_ROUND_F64)) - FL_ROUND_F64, q = t * vscale(p, third);
  return FL_SCALE_EXACT ? vscale(q, n - third) : vscale(vscale(q, third), n - third - third);
}
FL_INLINE vd vexp_reduce_f64(vd x, vd *n) { /* r with x = n ln 2 + r, |r| <= ln 2 / 2 */
  x = vmin(vset_f64(711.0), vmax(vset_f64(-760.0), x));
  vd k = vfma(x, vset_f64(FL_LOG2E), vset_f64(FL_ROUND_F64)) - FL_ROUND_F64;
  *n = k;
  return vfma(k, vset_f64(-FL_LN2_LOW_F64), vfma(k, vset_f64(-FL_LN2_HIGH_F64), x));
}
FL_INLINE vd vexp_short(vd x) { /* to 5e-12 */
  vd n, r = vexp_reduce_f64(x, &n);
  return vscale_any_f64(FL_POLY_F64(r, FL_EXP_SHORT), n);
}

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
  x = vmax(vset_f32(-110.0f), x);
  vf k = vfma(x, vset_f32((float)FL_LOG2E), vset_f32(FL_ROUND_F32)) - FL_ROUND_F32;
  vf r = vfma(k, vset_f32(-FL_LN2_LOW_F32), vfma(k, vset_f32(-FL_LN2_HIGH_F32), x));
  vf t = vfma(r * r, vexp_tail_f32(r), r), one = vset_f32(1.0f), unit = vscale(one, vmax(vset_f32(-64.0f), k));
  *grow = vfma(t, unit, unit - one);
  return vscale_any_f32(t + one, k);
}
FL_INLINE vd vexp_both_f64(vd x, vd *grow) {
  vd k, r = vexp_reduce_f64(x, &k);
  vd t = vfma(r * r, vexp_tail_f64(r), r), one = vset_f64(1.0), unit = vscale(one, vmax(vset_f64(-64.0), k));
  *grow = vfma(t, unit, unit - one);
  return vscale_any_f64(t + one, k);
}
#define vexp_both(x, grow) _Generic((x), vf: vexp_both_f32, vd: vexp_both_f64)(x, grow)

/* phi(u + c) = e^(u + c) - 1 - u - c >= 0 without cancellation, for |c| below 2^-40, *e = e^(u + c) and *grow = *e - 1; to
   1e-10 if `brief`. Near 0 through phi(2 v) = (v + phi(v))^2 + 2 phi(v), twice: phi(u / 4) is where the polynomial is good. */
FL_INLINE vd vphi(vd u, vd c, int brief, vd *e, vd *grow) {
  vd k, far = vexp_reduce_f64(u, &k) + c, one = vset_f64(1.0);
  md close = vlt(vabs(u), vset_f64(2 * FL_LN2));
  vd r = vselect(close, u * 0.25, far), f = r * r * (brief ? vexp_tail_short(r) : vexp_tail_f64(r));
  vd m = r + f, f2 = vfma(m, m, f + f), m2 = r + r + f2, f4 = vfma(m2, m2, f2 + f2);
  far = vscale_any_f64(one + m, k);
  f4 = vfma(u + f4, c, f4);
  vd near = u + (f4 + c);
  *e = vselect(close, one + near, far), *grow = vselect(close, near, far - one);
  return vselect(close, f4, far - ((vmin(vset_f64(0x1p1000), u) + 1.0) + c)); /* inf - inf is not meant */
}

/* c - a b for a b close to c, rounded once. */
FL_INLINE vd vleft(vd a, vd b, vd c) {
#if defined(FL_V3) || defined(FL_V4) || defined(__aarch64__)
  return vfma(-a, b, c);
#else
  const vd product = a * b;
  return (c - product) - vproduct_lost(a, b, product);
#endif
}
/* a + b, and what rounding drops from it (Knuth's TwoSum); of an infinite sum, nothing. */
FL_INLINE vd vsum_pair(vd a, vd b, vd *lost) {
  const vd s = a + b, back = s - a, rest = (a - (s - back)) + (b - back);
  *lost = vselect(veq(rest, rest), rest, vset_f64(0));
  return s;
}
/* The same for |a| >= |b|, both finite (Dekker's fast sum). */
FL_INLINE vd vsum_pair_fast(vd a, vd b, vd *lost) {
  const vd s = a + b;
  *lost = (a - s) + b;
  return s;
}
FL_INLINE vd vproduct_pair(vd a, vd b, vd *lost) {
  const vd p = a * b;
  *lost = vproduct_lost(a, b, p);
  return p;
}

/* w = m 2^k as vlog_split, for w denormal too. */
FL_INLINE vd vlog_split_any(vd w, vd *k) {
  md small = vlt(w, vset_f64(0x1p-1022));
  vd e, f = vlog_split(vselect(small, w * 0x1p64, w), &e);
  *k = vselect(small, e - 64.0, e);
  return f;
}
/* z = f / (2 + f), where 2 z = log(1 + f) - z^3 (2/3 + 2 z^2 / 5 + ...), and what rounding drops from it; and 1 / (2 + f). */
FL_INLINE vd vlog_ratio(vd f, vd *lost) {
  const vd d = f + 2.0, inverse = vinverse(d), z = f * inverse;
  *lost = (vleft(z, d, f) - z * (f - (d - 2.0))) * inverse;
  return z;
}

/* log(w) for w > 0 as a sum: what is returned, and what rounding drops from it; the sum is known to 2^-60. */
FL_INLINE vd vlog_pair(vd w, vd *lost) {
  vd k, f = vlog_split_any(w, &k), z_lost, z = vlog_ratio(f, &z_lost), z2 = z * z, whole_lost;
  vd whole = vsum_pair_fast(k * FL_LN2_HIGH_F64, z + z, &whole_lost); /* exact: 32 bits times 11 */
  vd rest = vfma(z * z2, FL_POLY_F64(z2, FL_ATANH_F64), vfma(k, vset_f64(FL_LN2_LOW_F64), z_lost + z_lost) + whole_lost);
  vd log = vsum_pair_fast(whole, rest, lost);
  return vlog_ends_f64(w, log);
}

/* The same to 2^-104, in pairs of doubles throughout (double-double arithmetic, after Dekker): for logarithms next to which little
   is left of a difference. 2 / (2 j + 1) for j = 1 .. 9 as pairs, then as doubles, since z^2 < 0.03. */
typedef struct {
  vd sum, lost;
} fl_pair;
static __attribute__((noinline, const)) fl_pair vlog_exact(vd w) {
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
  vd k, f = vlog_split_any(w, &k), z_lost, z = vlog_ratio(f, &z_lost), square_lost, cube_lost, sum_lost, more_lost;
  const vd square = vproduct_pair(z, z, &square_lost);
  square_lost = vfma(z + z, z_lost, square_lost);
  vd p = vpoly_f64(square, c, sizeof c / sizeof *c), p_lost = vset_f64(0);
  for (int j = sizeof high / sizeof *high - 1; j >= 0; j--) { /* p = 2 / (2 j + 3) + z^2 p */
    vd rest, product = vproduct_pair(square, p, &rest);
    rest = vfma(square, p_lost, vfma(square_lost, p, rest));
    p = vsum_pair_fast(vset_f64(high[j]), product, &p_lost);
    p_lost += rest + low[j];
  }
  vd cube = vproduct_pair(z, square, &cube_lost);
  cube_lost = vfma(z, square_lost, vfma(z_lost, square, cube_lost));
  vd more = vproduct_pair(cube, p, &more_lost);
  more_lost = vfma(cube, p_lost, vfma(cube_lost, p, more_lost));
  vd low_lost, ln2_low = vproduct_pair(k, vset_f64(FL_LN2_LOW_F64), &low_lost);
  low_lost = vfma(k, vset_f64(FL_LN2_LOWEST_F64), low_lost);
  vd sum = vsum_pair_fast(k * FL_LN2_HIGH_F64, z + z, &sum_lost), next_lost, last_lost;
  sum = vsum_pair(sum, more, &next_lost);
  sum = vsum_pair(sum, ln2_low, &last_lost);
  sum_lost = sum_lost + next_lost + last_lost + ((z_lost + z_lost) + (more_lost + low_lost));
  const vd log = vsum_pair_fast(sum, sum_lost, &low_lost);
  return (fl_pair){log, low_lost};
}

/* x - log t for t > 0 as a sum: what is returned, and what rounding drops from it. Where the difference is below `near` it is known
   to 2^-52 of itself, or to 2^-104 of the logarithm; elsewhere to 2^-60 of the logarithm. */
FL_INLINE vd vlog_gap(vd x, vd t, double near, vd *lost) {
  vd log_lost, log = vlog_pair(t, &log_lost), v = vsum_pair(x, -log, lost);
  const md close = vlt(vabs(v), vset_f64(near));
  *lost -= log_lost;
  if (__builtin_expect(vany_f64(close), 0)) {
    const fl_pair exact = vlog_exact(t);
    vd exact_lost, drop, gap = vsum_pair(x, -exact.sum, &drop), sum = vsum_pair_fast(gap, drop - exact.lost, &exact_lost);
    v = vselect(close, sum, v), *lost = vselect(close, exact_lost, *lost);
  }
  return v;
}

FL_INLINE vd vlog1p_brief(vd s) { /* for s > -1, to 1e-10 */
  vd k, w = s + 1.0;
  vd f = vlog_reduce_f64(w, vselect(vlt(s, vset_f64(1.0)), s - (w - 1.0), 1.0 - (w - s)), &k);
  vd z = f * vinverse(f + 2.0), z2 = z * z;
  return vlog_ends_f64(w, vfma(k, vset_f64(FL_LN2), f - z * (f - z2 * FL_POLY_F64(z2, FL_ATANH_SHORT))));
}

/* log(1 + u) for 0 <= u <= 1 from z = u / (2 + u), to 1e-10. */
FL_INLINE vd vlog1p_ratio_short(vd u, vd z) {
  vd z2 = z * z;
  return u - z * (u - z2 * FL_POLY_F64(z2, FL_ATANH_THIRD_SHORT));
}

/* ---- for divergences and Gaussians ------------------------------------------------------------------------------------ */

/* relative error 1.3e-11 */
#define FL_LOG_SHORT                                                                                                     \
  {0.333333333374911,    -0.25000000267154865,  0.19999997848702775,  -0.16666611733567152,                              \
   0.1428586067782367,   -0.12503219754385583,  0.11109481863170483,  -0.099228381671777818,                             \
   0.090310072162755439, -0.091099775017652262, 0.090369180824734385, -0.050057398560748957}
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

/* The same to 5e-12, for x from a float: what a float can hold is a normal double. */
FL_INLINE vd vexp_any_short(vd x) {
  x = vmin(vset_f64(90.0), vmax(vset_f64(-110.0), x));
  vd k = vfma(x, vset_f64(FL_LOG2E), vset_f64(FL_ROUND_F64)) - FL_ROUND_F64;
  vd r = vfma(k, vset_f64(-FL_LN2_LOW_F64), vfma(k, vset_f64(-FL_LN2_HIGH_F64), x));
  return vscale(FL_POLY_F64(r, FL_EXP_SHORT), k);
}

/* f - log(1 + f) there, about f^2 / 2: with f and a multiple of ln 2 it makes a logarithm that is longer than a double. */
FL_INLINE vd vlog_tail(vd f) {
  vd z = f / (f + 2.0), z2 = z * z;
  return z * (f - z2 * FL_POLY_F64(z2, FL_ATANH_F64));
}
FL_INLINE vd vlog_short(vd w) { /* to 1e-11, without a division; w normal, as floats are */
  vd k, f = vlog_split(w, &k), f2 = f * f;
  return vlog_ends_f64(w, vfma(k, vset_f64(FL_LN2), f + vfma(f2 * f, FL_POLY_F64(f, FL_LOG_SHORT), f2 * -0.5)));
}

/* e^d - 1 - d: near 0 by d^2 times a series, so that nothing cancels; *grow becomes e^d - 1. */
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

/* ((1 + d) log(1 + d) + (1 - d) log(1 - d)) / d^2 from w = d^2, for |d| up to 0.7 (float) or 1/2. */
FL_INLINE vf vjensen_f32(vf w) { return FL_POLY_F32(w, FL_JENSEN_F32); }
FL_INLINE vd vjensen_f64(vd w) { return FL_POLY_F64(w, FL_JENSEN_F64); }
#define vjensen(w) _Generic((w), vf: vjensen_f32, vd: vjensen_f64)(w)

/* c - a b, rounded once: what a quotient a of c and b leaves. Without FMA, doubles hold the product of floats; of doubles they
   do not, and the difference is left out. */
FL_INLINE vf vresidual_f32(vf a, vf b, vf c) {
#if defined(FL_V3) || defined(FL_V4)
  return vfma(-a, b, c);
#else
  return vnarrow(vlow(c) - vlow(a) * vlow(b), vhigh(c) - vhigh(a) * vhigh(b));
#endif
}
FL_INLINE vd vresidual_f64(vd a, vd b, vd c) {
#if defined(FL_V3) || defined(FL_V4)
  return vfma(-a, b, c);
#else
  (void)b, (void)c;
  return a - a;
#endif
}
#define vresidual(a, b, c) _Generic((a), vf: vresidual_f32, vd: vresidual_f64)(a, b, c)

#endif

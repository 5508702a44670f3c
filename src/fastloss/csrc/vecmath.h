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

#include "simd.h"

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

/* log(w + c) for normal positive w and |c| below w's last place; nan where w is nan. */
FL_INLINE vf vlog_parts_f32(vf w, vf c) {
  const uint32_t root_half = 0x3f3504f3;
  vu32 bits = (vu32)w + (0x3f800000 - root_half);
  vu32 e = bits >> 23;
  vf m = (vf)((bits & 0x007fffff) + root_half);
  vf k = __builtin_convertvector((vi32)e, vf) - 127.0f;
  vf f = (m - 1.0f) + c * (vf)((254 - e) << 23);
  vf f2 = f * f;
  vf tail = vfma(f2 * f, FL_POLY_F32(f, FL_LOG_F32), vfma(f2, vset_f32(-0.5f), k * -2.12194440e-4f));
  return vfma(k, vset_f32(0.693359375f), f + tail) + (w - w);
}
FL_INLINE vd vlog_reduce_f64(vd w, vd c, vd *k) {
  const uint64_t root_half = 0x3fe6a09e667f3bcd;
  vu64 bits = (vu64)w + (0x3ff0000000000000 - root_half);
  vu64 e = bits >> 52;
  vd m = (vd)((bits & 0x000fffffffffffff) + root_half);
  *k = (vd)(e | 0x4330000000000000) - (0x1p52 + 1023.0);
  return (m - 1.0) + c * (vd)((2046 - e) << 52);
}
FL_INLINE vd vlog_parts_f64(vd w, vd c) {
  vd k, f = vlog_reduce_f64(w, c, &k);
  vd z = f / (f + 2.0), z2 = z * z;
  vd tail = z * (f - z2 * FL_POLY_F64(z2, FL_ATANH_F64));
  return vfma(k, vset_f64(FL_LN2_HIGH_F64), f - (tail - k * FL_LN2_LOW_F64)) + (w - w);
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
  return vfma(k, vset_f64(FL_LN2), f - z * (f - z2 * FL_POLY_F64(z2, FL_ATANH_SHORT))) + (w - w);
}

/* log(1 + u) for 0 <= u <= 1. */
FL_INLINE vf vlog1p_unit_f32(vf u) { return u * FL_POLY_F32(u, FL_LOG1P_UNIT_F32); }
#define vlog1p_unit(u) _Generic((u), vf: vlog1p_unit_f32, vd: vlog1p_f64)(u)

/* log(p) for p > 0, denormal numbers too. */
FL_INLINE vf vlog_f32(vf p) {
  mf small = vlt(p, vset_f32(0x1p-126f));
  vf w = vselect(small, p * 0x1p32f, p);
  return vlog_parts_f32(w, vset_f32(0)) - vselect(small, vset_f32((float)(32 * FL_LN2)), vset_f32(0));
}
FL_INLINE vd vlog_f64(vd p) {
  md small = vlt(p, vset_f64(0x1p-1022));
  vd w = vselect(small, p * 0x1p64, p);
  return vlog_parts_f64(w, vset_f64(0)) - vselect(small, vset_f64(64 * FL_LN2), vset_f64(0));
}
#define vlog(p) _Generic((p), vf: vlog_f32, vd: vlog_f64)(p)

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

/* e^x for any x. The power of two goes in two steps: no level's vscale need leave the exponents of normal numbers. */
FL_INLINE vf vexp_any_f32(vf x) {
  vf n, p = vexp_parts_f32(vmin(vset_f32(90.0f), vmax(vset_f32(-110.0f), x)), &n);
  if (FL_SCALE_EXACT) return vscale(p, n);
  vf half = vfma(n, vset_f32(0.5f), vset_f32(FL_ROUND_F32)) - FL_ROUND_F32;
  return vscale(vscale(p, half), n - half);
}
FL_INLINE vd vexp_any_f64(vd x) {
  vd n, p = vexp_parts_f64(vmin(vset_f64(711.0), vmax(vset_f64(-760.0), x)), &n);
  if (FL_SCALE_EXACT) return vscale(p, n);
  vd half = vfma(n, vset_f64(0.5), vset_f64(FL_ROUND_F64)) - FL_ROUND_F64;
  return vscale(vscale(p, half), n - half);
}
#define vexp_any(x) _Generic((x), vf: vexp_any_f32, vd: vexp_any_f64)(x)

/* The same to 5e-12, for x from a float: what a float can hold is a normal double. */
FL_INLINE vd vexp_any_short(vd x) {
  x = vmin(vset_f64(90.0), vmax(vset_f64(-110.0), x));
  vd k = vfma(x, vset_f64(FL_LOG2E), vset_f64(FL_ROUND_F64)) - FL_ROUND_F64;
  vd r = vfma(k, vset_f64(-FL_LN2_LOW_F64), vfma(k, vset_f64(-FL_LN2_HIGH_F64), x));
  return vscale(FL_POLY_F64(r, FL_EXP_SHORT), k);
}

/* w = m 2^k for normal positive w, m in [sqrt(1/2), sqrt(2)): m - 1, which is exact. */
FL_INLINE vd vlog_split(vd w, vd *k) {
  const uint64_t root_half = 0x3fe6a09e667f3bcd;
  vu64 bits = (vu64)w + (0x3ff0000000000000 - root_half);
  *k = (vd)((bits >> 52) | 0x4330000000000000) - (0x1p52 + 1023.0);
  return (vd)((bits & 0x000fffffffffffff) + root_half) - 1.0;
}
/* f - log(1 + f) there, about f^2 / 2: with f and a multiple of ln 2 it makes a logarithm that is longer than a double. */
FL_INLINE vd vlog_tail(vd f) {
  vd z = f / (f + 2.0), z2 = z * z;
  return z * (f - z2 * FL_POLY_F64(z2, FL_ATANH_F64));
}
FL_INLINE vd vlog_short(vd w) { /* to 1e-11, without a division; w normal, as floats are */
  vd k, f = vlog_split(w, &k), f2 = f * f;
  return vfma(k, vset_f64(FL_LN2), f + vfma(f2 * f, FL_POLY_F64(f, FL_LOG_SHORT), f2 * -0.5)) + (w - w);
}

/* e^d - 1 - d: near 0 by d^2 times a series, so that nothing cancels; *grow becomes e^d - 1. */
FL_INLINE vf vexcess_f32(vf d, vf *grow) {
  mf below = vlt(d, vset_f32(-1.0f)), above = vlt(vset_f32(2.0f), d);
  vf e = vexp_any(d), far = e - (vmin(vset_f32(1e30f), d) + 1.0f), near = d * d * FL_POLY_F32(d, FL_EXCESS_F32);
  vf one = vset_f32(1.0f);
  *grow = vselect(below, e - one, vselect(above, e - one, d + near));
  return vselect(below, far, vselect(above, far, near));
}
FL_INLINE vd vexcess_f64(vd d, vd *grow) {
  md below = vlt(d, vset_f64(-1.0)), above = vlt(vset_f64(1.5), d);
  vd e = vexp_any(d), far = e - (vmin(vset_f64(1e300), d) + 1.0), near = d * d * FL_POLY_F64(d, FL_EXCESS_F64);
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

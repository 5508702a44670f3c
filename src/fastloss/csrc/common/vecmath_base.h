/* What vecmath_exp.h and vecmath_log.h share: constants, Horner's rule, square roots, inverses, powers of two.
 */
#ifndef FL_VECMATH_BASE_H
#define FL_VECMATH_BASE_H

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

/* c - a b, rounded once: the residual of a quotient a = c / b. Without FMA, doubles hold the product of floats; of doubles they
   do not, and the residual is taken as 0. Where it is needed at every level there is product_residual (double_double.h), at ten
   operations more. */
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

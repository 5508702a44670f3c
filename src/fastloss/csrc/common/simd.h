/* The vector vocabulary of one CPU level: `vf` holds float, `vd` holds double, and every operation below works on both
 * through _Generic. Arithmetic uses the operators of the GCC/Clang vector extension. This file may include nothing of ours.
 *
 *   level      registers   chosen by the compiler's own macros (setup.py passes -march=x86-64-v3 / -v4)
 *   v4         64 bytes    AVX-512 F, BW, CD, DQ, VL
 *   v3         32 bytes    AVX2, FMA, F16C
 *   baseline   16 bytes    whatever the compiler's default is: SSE2 on x86-64, NEON on arm64, scalars elsewhere
 *
 * Where an operand is nan, vmax and vmin give their SECOND argument (as MAXPS does), so that `vmax(bound, x)` passes nan on.
 */
#ifndef FL_SIMD_H
#define FL_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define FL_V4 1
#include <immintrin.h>
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define FL_V3 1
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#define FL_INLINE static inline __attribute__((always_inline))

#if defined(FL_V4)
#define FL_BYTES 64
typedef __mmask16 mf; /* what a comparison of vf gives */
typedef __mmask8 md;
#elif defined(FL_V3)
#define FL_BYTES 32
typedef float mf __attribute__((vector_size(32)));
typedef double md __attribute__((vector_size(32)));
#else
#define FL_BYTES 16
typedef int32_t mf __attribute__((vector_size(16)));
typedef int64_t md __attribute__((vector_size(16)));
#endif

typedef float vf __attribute__((vector_size(FL_BYTES)));
typedef double vd __attribute__((vector_size(FL_BYTES)));
typedef int32_t vi32 __attribute__((vector_size(FL_BYTES))); /* lanes of vf seen as integers */
typedef int64_t vi64 __attribute__((vector_size(FL_BYTES)));

enum { LANES_F32 = FL_BYTES / 4, LANES_F64 = FL_BYTES / 8 };

/* ---- whole registers ---------------------------------------------------------------------------------------------- */

FL_INLINE vf vload_f32(const float *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}
FL_INLINE vd vload_f64(const double *p) {
  vd v;
  memcpy(&v, p, sizeof v);
  return v;
}
FL_INLINE void vstore_f32(float *p, vf v) { memcpy(p, &v, sizeof v); }
FL_INLINE void vstore_f64(double *p, vd v) { memcpy(p, &v, sizeof v); }
FL_INLINE vf vset_f32(float x) { return x - (vf){0}; }
FL_INLINE vd vset_f64(double x) { return x - (vd){0}; }

#define vload(p) _Generic((p), const float *: vload_f32, float *: vload_f32, default: vload_f64)(p)
#define vstore(p, v) _Generic((v), vf: vstore_f32, vd: vstore_f64)(p, v)

/* ---- arithmetic that operators do not have ------------------------------------------------------------------------ */

FL_INLINE vf vfma_f32(vf a, vf b, vf c) { /* a * b + c, rounded once where the level has FMA */
#if defined(FL_V4)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(FL_V3)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}
FL_INLINE vd vfma_f64(vd a, vd b, vd c) {
#if defined(FL_V4)
  return _mm512_fmadd_pd(a, b, c);
#elif defined(FL_V3)
  return _mm256_fmadd_pd(a, b, c);
#else
  return a * b + c;
#endif
}
#define vfma(a, b, c) _Generic((a), vf: vfma_f32, vd: vfma_f64)(a, b, c)

#if defined(FL_V4)

FL_INLINE vf vmax_f32(vf a, vf b) { return _mm512_max_ps(a, b); }
FL_INLINE vd vmax_f64(vd a, vd b) { return _mm512_max_pd(a, b); }
FL_INLINE vf vmin_f32(vf a, vf b) { return _mm512_min_ps(a, b); }
FL_INLINE vd vmin_f64(vd a, vd b) { return _mm512_min_pd(a, b); }
FL_INLINE vf vabs_f32(vf a) { return _mm512_abs_ps(a); }
FL_INLINE vd vabs_f64(vd a) { return _mm512_abs_pd(a); }
FL_INLINE mf vlt_f32(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
FL_INLINE md vlt_f64(vd a, vd b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
FL_INLINE mf vle_f32(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
FL_INLINE md vle_f64(vd a, vd b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
FL_INLINE mf veq_f32(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
FL_INLINE md veq_f64(vd a, vd b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
FL_INLINE vf vselect_f32(mf m, vf yes, vf no) { return _mm512_mask_blend_ps(m, no, yes); }
FL_INLINE vd vselect_f64(md m, vd yes, vd no) { return _mm512_mask_blend_pd(m, no, yes); }
FL_INLINE vf vdrop_f32(mf m, vf a) { return _mm512_maskz_mov_ps((mf)~m, a); }
FL_INLINE vd vdrop_f64(md m, vd a) { return _mm512_maskz_mov_pd((md)~m, a); }
FL_INLINE vf vtally_f32(vf n, mf m) { return _mm512_mask_add_ps(n, m, n, _mm512_set1_ps(1)); }
FL_INLINE vd vtally_f64(vd n, md m) { return _mm512_mask_add_pd(n, m, n, _mm512_set1_pd(1)); }
FL_INLINE int vcount_f32(mf m) { return __builtin_popcount(m); }
FL_INLINE int vcount_f64(md m) { return __builtin_popcount(m); }
FL_INLINE int vany_f32(mf m) { return m != 0; }
FL_INLINE int vany_f64(md m) { return m != 0; }
FL_INLINE vd vlow(vf a) { return _mm512_cvtps_pd(_mm512_castps512_ps256(a)); }
FL_INLINE vd vhigh(vf a) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)); }
FL_INLINE vf vnarrow(vd low, vd high) {
  return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high), 1);
}
FL_INLINE vd vwiden(const float *p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); } /* LANES_F64 floats */

#elif defined(FL_V3)

FL_INLINE vf vmax_f32(vf a, vf b) { return _mm256_max_ps(a, b); }
FL_INLINE vd vmax_f64(vd a, vd b) { return _mm256_max_pd(a, b); }
FL_INLINE vf vmin_f32(vf a, vf b) { return _mm256_min_ps(a, b); }
FL_INLINE vd vmin_f64(vd a, vd b) { return _mm256_min_pd(a, b); }
FL_INLINE vf vabs_f32(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
FL_INLINE vd vabs_f64(vd a) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), a); }
FL_INLINE mf vlt_f32(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
FL_INLINE md vlt_f64(vd a, vd b) { return _mm256_cmp_pd(a, b, _CMP_LT_OQ); }
FL_INLINE mf vle_f32(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
FL_INLINE md vle_f64(vd a, vd b) { return _mm256_cmp_pd(a, b, _CMP_LE_OQ); }
FL_INLINE mf veq_f32(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
FL_INLINE md veq_f64(vd a, vd b) { return _mm256_cmp_pd(a, b, _CMP_EQ_OQ); }
FL_INLINE vf vselect_f32(mf m, vf yes, vf no) { return _mm256_blendv_ps(no, yes, m); }
FL_INLINE vd vselect_f64(md m, vd yes, vd no) { return _mm256_blendv_pd(no, yes, m); }
FL_INLINE vf vdrop_f32(mf m, vf a) { return _mm256_andnot_ps(m, a); }
FL_INLINE vd vdrop_f64(md m, vd a) { return _mm256_andnot_pd(m, a); }
FL_INLINE vf vtally_f32(vf n, mf m) { return n + _mm256_and_ps(m, _mm256_set1_ps(1)); }
FL_INLINE vd vtally_f64(vd n, md m) { return n + _mm256_and_pd(m, _mm256_set1_pd(1)); }
FL_INLINE int vcount_f32(mf m) { return __builtin_popcount((unsigned)_mm256_movemask_ps(m)); }
FL_INLINE int vcount_f64(md m) { return __builtin_popcount((unsigned)_mm256_movemask_pd(m)); }
FL_INLINE int vany_f32(mf m) { return _mm256_movemask_ps(m) != 0; }
FL_INLINE int vany_f64(md m) { return _mm256_movemask_pd(m) != 0; }
FL_INLINE vd vlow(vf a) { return _mm256_cvtps_pd(_mm256_castps256_ps128(a)); }
FL_INLINE vd vhigh(vf a) { return _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)); }
FL_INLINE vf vnarrow(vd low, vd high) { return _mm256_set_m128(_mm256_cvtpd_ps(high), _mm256_cvtpd_ps(low)); }
FL_INLINE vd vwiden(const float *p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }

#else

#if defined(__SSE2__)
FL_INLINE vf vmax_f32(vf a, vf b) { return _mm_max_ps(a, b); }
FL_INLINE vd vmax_f64(vd a, vd b) { return _mm_max_pd(a, b); }
FL_INLINE vf vmin_f32(vf a, vf b) { return _mm_min_ps(a, b); }
FL_INLINE vd vmin_f64(vd a, vd b) { return _mm_min_pd(a, b); }
FL_INLINE mf vlt_f32(vf a, vf b) { return (mf)_mm_cmplt_ps(a, b); }
FL_INLINE md vlt_f64(vd a, vd b) { return (md)_mm_cmplt_pd(a, b); }
FL_INLINE mf vle_f32(vf a, vf b) { return (mf)_mm_cmple_ps(a, b); }
FL_INLINE md vle_f64(vd a, vd b) { return (md)_mm_cmple_pd(a, b); }
FL_INLINE mf veq_f32(vf a, vf b) { return (mf)_mm_cmpeq_ps(a, b); }
FL_INLINE md veq_f64(vd a, vd b) { return (md)_mm_cmpeq_pd(a, b); }
FL_INLINE int vcount_f32(mf m) { return __builtin_popcount((unsigned)_mm_movemask_ps((__m128)m)); }
FL_INLINE int vcount_f64(md m) { return __builtin_popcount((unsigned)_mm_movemask_pd((__m128d)m)); }
#else
FL_INLINE vf vmax_f32(vf a, vf b) {
  mf m = a > b;
  return (vf)(((mf)a & m) | ((mf)b & ~m));
}
FL_INLINE vd vmax_f64(vd a, vd b) {
  md m = a > b;
  return (vd)(((md)a & m) | ((md)b & ~m));
}
FL_INLINE vf vmin_f32(vf a, vf b) {
  mf m = a < b;
  return (vf)(((mf)a & m) | ((mf)b & ~m));
}
FL_INLINE vd vmin_f64(vd a, vd b) {
  md m = a < b;
  return (vd)(((md)a & m) | ((md)b & ~m));
}
FL_INLINE mf vlt_f32(vf a, vf b) { return (mf)(a < b); }
FL_INLINE md vlt_f64(vd a, vd b) { return (md)(a < b); }
FL_INLINE mf vle_f32(vf a, vf b) { return (mf)(a <= b); }
FL_INLINE md vle_f64(vd a, vd b) { return (md)(a <= b); }
FL_INLINE mf veq_f32(vf a, vf b) { return (mf)(a == b); }
FL_INLINE md veq_f64(vd a, vd b) { return (md)(a == b); }
FL_INLINE int vcount_f32(mf m) { return -(m[0] + m[1] + m[2] + m[3]); }
FL_INLINE int vcount_f64(md m) { return (int)-(m[0] + m[1]); }
#endif
FL_INLINE vf vabs_f32(vf a) { return (vf)((mf)a & 0x7fffffff); }
FL_INLINE vd vabs_f64(vd a) { return (vd)((md)a & 0x7fffffffffffffff); }
FL_INLINE vf vselect_f32(mf m, vf yes, vf no) { return (vf)(((mf)yes & m) | ((mf)no & ~m)); }
FL_INLINE vd vselect_f64(md m, vd yes, vd no) { return (vd)(((md)yes & m) | ((md)no & ~m)); }
FL_INLINE vf vdrop_f32(mf m, vf a) { return (vf)((mf)a & ~m); }
FL_INLINE vd vdrop_f64(md m, vd a) { return (vd)((md)a & ~m); }
FL_INLINE vf vtally_f32(vf n, mf m) { return n + (vf)((mf)vset_f32(1) & m); }
FL_INLINE vd vtally_f64(vd n, md m) { return n + (vd)((md)vset_f64(1) & m); }
FL_INLINE int vany_f32(mf m) { return vcount_f32(m) != 0; }
FL_INLINE int vany_f64(md m) { return vcount_f64(m) != 0; }
FL_INLINE vd vlow(vf a) { return (vd){a[0], a[1]}; }
FL_INLINE vd vhigh(vf a) { return (vd){a[2], a[3]}; }
FL_INLINE vf vnarrow(vd low, vd high) { return (vf){(float)low[0], (float)low[1], (float)high[0], (float)high[1]}; }
FL_INLINE vd vwiden(const float *p) { return (vd){p[0], p[1]}; }

#endif

#define vmax(a, b) _Generic((a), vf: vmax_f32, vd: vmax_f64)(a, b)
#define vmin(a, b) _Generic((a), vf: vmin_f32, vd: vmin_f64)(a, b)
#define vabs(a) _Generic((a), vf: vabs_f32, vd: vabs_f64)(a)
#define vlt(a, b) _Generic((a), vf: vlt_f32, vd: vlt_f64)(a, b)
#define vle(a, b) _Generic((a), vf: vle_f32, vd: vle_f64)(a, b)
#define veq(a, b) _Generic((a), vf: veq_f32, vd: veq_f64)(a, b)
#define vselect(m, yes, no) _Generic((yes), vf: vselect_f32, vd: vselect_f64)(m, yes, no)
#define vdrop(m, a) _Generic((a), vf: vdrop_f32, vd: vdrop_f64)(m, a)    /* 0 where m */
#define vtally(n, m) _Generic((n), vf: vtally_f32, vd: vtally_f64)(n, m) /* n + 1 where m */

/* Sum and maximum over the lanes, in a fixed tree: the upper half onto the lower, until one is left. */
#if defined(__SSE2__)
FL_INLINE double vsum_f64(vd a) {
#if defined(FL_V4)
  const __m256d h = _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
  const __m128d q = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
#elif defined(FL_V3)
  const __m128d q = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
#else
  const __m128d q = a;
#endif
  return _mm_cvtsd_f64(_mm_add_sd(q, _mm_unpackhi_pd(q, q)));
}
FL_INLINE float vtop_f32(vf a) { /* where a lane is nan, any lane */
#if defined(FL_V4)
  const __m256 h = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
#elif defined(FL_V3)
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
#else
  __m128 q = a;
#endif
  q = _mm_max_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}
FL_INLINE double vtop_f64(vd a) {
#if defined(FL_V4)
  const __m256d h = _mm256_max_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
  const __m128d q = _mm_max_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
#elif defined(FL_V3)
  const __m128d q = _mm_max_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
#else
  const __m128d q = a;
#endif
  return _mm_cvtsd_f64(_mm_max_sd(q, _mm_unpackhi_pd(q, q)));
}
#else
FL_INLINE double vsum_f64(vd a) { return a[0] + a[1]; }
FL_INLINE float vtop_f32(vf a) {
  const float low = a[0] > a[2] ? a[0] : a[2], high = a[1] > a[3] ? a[1] : a[3];
  return low > high ? low : high;
}
FL_INLINE double vtop_f64(vd a) { return a[0] > a[1] ? a[0] : a[1]; }
#endif
#define vtop(a) _Generic((a), vf: vtop_f32, vd: vtop_f64)(a)

/* ---- the first n lanes, the others `fill`; nothing past p + n is touched ------------------------------------------- */

FL_INLINE vf vload_part_f32(const float *p, ptrdiff_t n, float fill) {
#if defined(FL_V4)
  return _mm512_mask_loadu_ps(_mm512_set1_ps(fill), (mf)((1u << n) - 1), p);
#else
  vf v = vset_f32(fill);
  memcpy(&v, p, (size_t)n * sizeof *p);
  return v;
#endif
}
FL_INLINE vd vload_part_f64(const double *p, ptrdiff_t n, double fill) {
#if defined(FL_V4)
  return _mm512_mask_loadu_pd(_mm512_set1_pd(fill), (md)((1u << n) - 1), p);
#else
  vd v = vset_f64(fill);
  memcpy(&v, p, (size_t)n * sizeof *p);
  return v;
#endif
}
FL_INLINE void vstore_part_f32(float *p, ptrdiff_t n, vf v) {
#if defined(FL_V4)
  _mm512_mask_storeu_ps(p, (mf)((1u << n) - 1), v);
#else
  memcpy(p, &v, (size_t)n * sizeof *p);
#endif
}
FL_INLINE void vstore_part_f64(double *p, ptrdiff_t n, vd v) {
#if defined(FL_V4)
  _mm512_mask_storeu_pd(p, (md)((1u << n) - 1), v);
#else
  memcpy(p, &v, (size_t)n * sizeof *p);
#endif
}
#define vload_part(p, n, fill)                                                                                           \
  _Generic((p), const float *: vload_part_f32, float *: vload_part_f32, default: vload_part_f64)(p, n, fill)
#define vstore_part(p, n, v) _Generic((v), vf: vstore_part_f32, vd: vstore_part_f64)(p, n, v)

/* Up to a whole register: for loops whose last turn is short. */
FL_INLINE vd vload_up_to(const double *p, ptrdiff_t n, double fill) {
  return n >= LANES_F64 ? vload_f64(p) : vload_part_f64(p, n, fill);
}
FL_INLINE void vstore_up_to(double *p, ptrdiff_t n, vd v) {
  if (n >= LANES_F64)
    vstore_f64(p, v);
  else
    vstore_part_f64(p, n, v);
}

/* Entries of a followed by b, picked by constant numbers. */
#if defined(__clang__) || __GNUC__ >= 12
#define FL_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define FL_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (vi32x4){__VA_ARGS__})
typedef int32_t vi32x4 __attribute__((vector_size(16)));
#endif

/* ---- powers of two ------------------------------------------------------------------------------------------------ */

/* p * 2^n for whole-numbered n. Right for any n at v4; elsewhere n must lie in the exponent range of normal numbers. */
#if defined(FL_V4)
#define FL_SCALE_EXACT 1
#else
#define FL_SCALE_EXACT 0
#endif
FL_INLINE vf vscale_f32(vf p, vf n) {
#if defined(FL_V4)
  return _mm512_scalef_ps(p, n);
#else
  return p * (vf)((((vi32)(n + 12582912.0f)) << 23) + 0x3f800000);
#endif
}
FL_INLINE vd vscale_f64(vd p, vd n) {
#if defined(FL_V4)
  return _mm512_scalef_pd(p, n);
#else
  return p * (vd)((((vi64)(n + 6755399441055744.0)) << 52) + 0x3ff0000000000000);
#endif
}
#define vscale(p, n) _Generic((p), vf: vscale_f32, vd: vscale_f64)(p, n)

/* The numbers of a register's lanes. */
static const float fl_iota_f32[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const double fl_iota_f64[8] = {0, 1, 2, 3, 4, 5, 6, 7};

#endif

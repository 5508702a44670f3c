/* float16 and bfloat16 runs to and from float, a register at a time; double goes through float, which holds both exactly. */
#ifndef FL_HALF_H
#define FL_HALF_H

#include "common/simd.h"
#include "common/view.h"

static void load_half_f32(int type, const char *p, ptrdiff_t n, float *out) {
  ptrdiff_t i = 0;
#if defined(FL_V4)
  for (; i + 16 <= n; i += 16) {
    const __m256i h = _mm256_loadu_si256((const __m256i *)(const void *)(p + 2 * i));
    const __m512i wide = _mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16);
    vstore_f32(out + i, type == FL_F16 ? _mm512_cvtph_ps(h) : _mm512_castsi512_ps(wide));
  }
#elif defined(FL_V3)
  for (; i + 8 <= n; i += 8) {
    const __m128i h = _mm_loadu_si128((const __m128i *)(const void *)(p + 2 * i));
    const __m256i wide = _mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16);
    vstore_f32(out + i, type == FL_F16 ? _mm256_cvtph_ps(h) : _mm256_castsi256_ps(wide));
  }
#endif
  for (; i < n; i++) {
    uint16_t h;
    memcpy(&h, p + 2 * i, sizeof h);
    out[i] = type == FL_F16 ? fl_from_f16(h) : fl_from_bf16(h);
  }
}

static void store_half_f32(int type, char *p, ptrdiff_t n, const float *in) {
  ptrdiff_t i = 0;
#if defined(FL_V4) || defined(FL_V3)
  if (type == FL_F16)
    for (; i + 8 <= n; i += 8) {
      const __m256 x = _mm256_loadu_ps(in + i);
      _mm_storeu_si128((__m128i *)(void *)(p + 2 * i), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
    }
#endif
#if defined(FL_V4)
  if (type == FL_BF16)
    for (; i + 16 <= n; i += 16) {
      const __m512 x = _mm512_loadu_ps(in + i);
      const __m512i bits = _mm512_castps_si512(x),
                    odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
      __m512i half = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
      const __m512i quiet = _mm512_or_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(0x40));
      half = _mm512_mask_mov_epi32(half, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), quiet);
      _mm256_storeu_si256((__m256i *)(void *)(p + 2 * i), _mm512_cvtepi32_epi16(half));
    }
#elif defined(FL_V3)
  if (type == FL_BF16)
    for (; i + 8 <= n; i += 8) {
      const __m256 x = _mm256_loadu_ps(in + i);
      const __m256i bits = _mm256_castps_si256(x),
                    odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
      const __m256i half =
          _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
      const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x40));
      const __m256i each = _mm256_blendv_epi8(half, quiet, _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
      const __m128i low = _mm256_castsi256_si128(each), high = _mm256_extracti128_si256(each, 1);
      _mm_storeu_si128((__m128i *)(void *)(p + 2 * i), _mm_packus_epi32(low, high));
    }
#endif
  for (; i < n; i++) {
    const uint16_t h = type == FL_F16 ? fl_to_f16(in[i]) : fl_to_bf16(in[i]);
    memcpy(p + 2 * i, &h, sizeof h);
  }
}

enum { FL_HALF_STEP = 64 };

static void load_half_f64(int type, const char *p, ptrdiff_t n, double *out) {
  float part[FL_HALF_STEP];
  for (ptrdiff_t i = 0; i < n; i += FL_HALF_STEP) {
    const ptrdiff_t m = n - i < FL_HALF_STEP ? n - i : FL_HALF_STEP;
    load_half_f32(type, p + 2 * i, m, part);
    for (ptrdiff_t j = 0; j < m; j++) out[i + j] = part[j];
  }
}

static void store_half_f64(int type, char *p, ptrdiff_t n, const double *in) {
  float part[FL_HALF_STEP];
  for (ptrdiff_t i = 0; i < n; i += FL_HALF_STEP) {
    const ptrdiff_t m = n - i < FL_HALF_STEP ? n - i : FL_HALF_STEP;
    for (ptrdiff_t j = 0; j < m; j++) part[j] = (float)in[i + j];
    store_half_f32(type, p + 2 * i, m, part);
  }
}

#endif

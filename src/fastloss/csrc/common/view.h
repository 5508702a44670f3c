/* Walking a strided array as a flat C-order sequence of straight runs along its last axis; and single half-precision numbers. */
#ifndef FL_VIEW_H
#define FL_VIEW_H

#include <string.h>

#include "common/kernels.h"

typedef struct {
  char *data;
  ptrdiff_t index[FL_MAX_DIMS];
} fl_cursor;

static inline void fl_seek(fl_cursor *at, const fl_view *view, ptrdiff_t start) {
  at->data = view->data;
  for (int k = view->ndim - 1; k >= 0; k--) {
    at->index[k] = k ? start % view->shape[k] : start;
    start = k ? start / view->shape[k] : 0;
    at->data += at->index[k] * view->stride[k];
  }
}

/* How many of the next n elements lie on the current straight run. */
static inline ptrdiff_t fl_run(const fl_cursor *at, const fl_view *view, ptrdiff_t n) {
  const int last = view->ndim - 1;
  const ptrdiff_t left = view->shape[last] - at->index[last];
  return n < left ? n : left;
}

/* Moves on by a whole run; at the end of an axis, carries into the axis before it. */
static inline void fl_advance(fl_cursor *at, const fl_view *view, ptrdiff_t run) {
  int k = view->ndim - 1;
  at->index[k] += run;
  at->data += run * view->stride[k];
  while (k > 0 && at->index[k] == view->shape[k]) {
    at->data -= view->shape[k] * view->stride[k];
    at->index[k] = 0;
    k--;
    at->index[k]++;
    at->data += view->stride[k];
  }
}

static inline float fl_float_from_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
static inline uint32_t fl_bits_from_float(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline float fl_from_bf16(uint16_t h) { return fl_float_from_bits((uint32_t)h << 16); }

static inline uint16_t fl_to_bf16(float x) { /* to nearest, ties to even; nan stays a quiet nan */
  const uint32_t bits = fl_bits_from_float(x);
  if (x != x) return (uint16_t)((bits >> 16) | 0x0040);
  return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

static inline float fl_from_f16(uint16_t h) {
  const uint32_t sign = (uint32_t)(h & 0x8000) << 16, body = h & 0x7fff;
  if (body >= 0x7c00) return fl_float_from_bits(sign | 0x7f800000 | ((body & 0x3ff) << 13));
  /* moving the exponent field re-reads denormals as tiny normals; the product puts the bias right for both */
  const float scaled = fl_float_from_bits(body << 13) * 0x1p112f;
  return fl_float_from_bits(sign | fl_bits_from_float(scaled));
}

static inline uint16_t fl_to_f16(float x) { /* to nearest, ties to even */
  const uint32_t bits = fl_bits_from_float(x), sign = (bits >> 16) & 0x8000, body = bits & 0x7fffffff;
  if (body > 0x7f800000) return (uint16_t)(sign | 0x7e00 | ((body >> 13) & 0x3ff));
  if (body >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* 65520 and more round to infinity */
  if (body < 0x38800000) {                                  /* below 2^-14: adding 1/2 lets the hardware round at 2^-24 */
    const float aligned = fl_float_from_bits(body) + 0.5f;
    return (uint16_t)(sign | (fl_bits_from_float(aligned) - 0x3f000000));
  }
  return (uint16_t)(sign | ((body + 0x0fff + ((body >> 13) & 1) - 0x38000000) >> 13));
}

#endif

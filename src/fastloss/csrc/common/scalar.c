/* The small jobs that need no CPU level: merging the chunks of a row, labels, single elements. Linked into every extension. */
#include <math.h>

#include "common/kernels.h"
#include "common/view.h"

/* e^(a - b) with the rounding error of a - b, for a <= b. */
static double fl_exp_gap(double a, double b) {
  const double gap = a - b;
  if (gap == 0 || a == b) return 1; /* two infinite maxima too */
  const double back = gap + b, lost = (a - back) + (b - (back - gap));
  const double e = exp(gap);
  return lost - lost == 0 ? e + e * lost : e;
}

void fl_merge_chunks(ptrdiff_t chunks, const double *max, const double *tail_sum, double *row_max, double *row_tail) {
  double t = -INFINITY, r = -1; /* no element yet: tail_sum counts all but one */
  int has_nan = 0;
  for (ptrdiff_t k = 0; k < chunks; k++) {
    has_nan |= max[k] != max[k] || tail_sum[k] != tail_sum[k];
    if (max[k] == -INFINITY) continue;
    if (max[k] > t) {
      r = tail_sum[k] + (t == -INFINITY ? 0 : (r + 1) * fl_exp_gap(t, max[k]));
      t = max[k];
    } else {
      r += (tail_sum[k] + 1) * fl_exp_gap(max[k], t);
    }
  }
  *row_max = t;
  *row_tail = has_nan ? NAN : t == -INFINITY ? 0 : r;
}

#define FL_LABELS(type)                                                                                                  \
  for (ptrdiff_t i = 0; i < run; i++, p += stride) {                                                                     \
    type x;                                                                                                              \
    memcpy(&x, p, sizeof x);                                                                                             \
    out[i] = (int64_t)x;                                                                                                 \
  }                                                                                                                      \
  break

void fl_gather_labels(const fl_view *view, ptrdiff_t start, ptrdiff_t n, int64_t *out) {
  const ptrdiff_t stride = view->stride[view->ndim - 1];
  fl_cursor at;
  fl_seek(&at, view, start);
  while (n > 0) {
    const ptrdiff_t run = fl_run(&at, view, n);
    const char *p = at.data;
    if (view->type == FL_I64 && stride == (ptrdiff_t)sizeof(int64_t)) {
      memcpy(out, p, (size_t)run * sizeof(int64_t));
    } else
      switch (view->type) {
        case FL_I8: FL_LABELS(int8_t);
        case FL_I16: FL_LABELS(int16_t);
        case FL_I32: FL_LABELS(int32_t);
        case FL_I64: FL_LABELS(int64_t);
        case FL_U8: FL_LABELS(uint8_t);
        case FL_U16: FL_LABELS(uint16_t);
        case FL_U32: FL_LABELS(uint32_t);
        default: /* FL_U64: what int64 cannot hold stays out of every range */
          for (ptrdiff_t i = 0; i < run; i++, p += stride) {
            uint64_t x;
            memcpy(&x, p, sizeof x);
            out[i] = x > INT64_MAX ? INT64_MAX : (int64_t)x;
          }
      }
    out += run, n -= run;
    fl_advance(&at, view, run);
  }
}

#define FL_ONE(type)                                                                                                     \
  {                                                                                                                      \
    type x;                                                                                                              \
    memcpy(&x, p, sizeof x);                                                                                             \
    return (double)x;                                                                                                    \
  }

double fl_load_one(const char *p, int type) {
  uint16_t h;
  switch (type) {
    case FL_F16: memcpy(&h, p, sizeof h); return fl_from_f16(h);
    case FL_BF16: memcpy(&h, p, sizeof h); return fl_from_bf16(h);
    case FL_F32: FL_ONE(float)
    case FL_I8: FL_ONE(int8_t)
    case FL_I16: FL_ONE(int16_t)
    case FL_I32: FL_ONE(int32_t)
    case FL_I64: FL_ONE(int64_t)
    case FL_U8: FL_ONE(uint8_t)
    case FL_U16: FL_ONE(uint16_t)
    case FL_U32: FL_ONE(uint32_t)
    case FL_U64: FL_ONE(uint64_t)
    default: FL_ONE(double)
  }
}

void fl_store_one(char *p, int type, double value) {
  const float f = (float)value;
  uint16_t h;
  switch (type) {
    case FL_F16: h = fl_to_f16(f), memcpy(p, &h, sizeof h); break;
    case FL_BF16: h = fl_to_bf16(f), memcpy(p, &h, sizeof h); break;
    case FL_F32: memcpy(p, &f, sizeof f); break;
    default: memcpy(p, &value, sizeof value);
  }
}

char *fl_view_at(const fl_view *view, ptrdiff_t index) {
  fl_cursor at;
  fl_seek(&at, view, index);
  return at.data;
}

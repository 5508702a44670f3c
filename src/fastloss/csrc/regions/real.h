/* Overlaps of one computation type: activations of a block, what it adds to each class's sums, and its gradient. The body
 * of regions.c (twice.h).
 *
 * 1 - p is never formed where p > 1/2: `complement` holds it there, as the probability of everything else. So false negatives of a
 * confident network keep their digits, and so does a loss near 0: all sums have terms >= 0.
 */

#include "common/scaling.h"

#if FL_REAL_BITS == 32
#define FL_LN2_HIGH FL_LN2_HIGH_F32
#define FL_LN2_LOW FL_LN2_LOW_F32
#else
#define FL_LN2_HIGH FL_LN2_HIGH_F64
#define FL_LN2_LOW FL_LN2_LOW_F64
#endif

FL_INLINE const R *FN(plane)(const char *first, ptrdiff_t step, ptrdiff_t c) { return (const R *)(first + c * step); }

FL_INLINE double FN(total)(const vd sum[2]) { return vsum_f64(sum[0] + sum[1]); }

/* 1 / a for a in [1, 2^24] or nan. */
FL_INLINE V FN(inverse)(V a) {
#if FL_REAL_BITS == 32 && defined(FL_V4)
  const V r = _mm512_rcp14_ps(a);
  return vfma(r, vfma(-a, r, FN(vset)(1)), r);
#elif FL_REAL_BITS == 32
  return FN(vset)(1) / a;
#else
  return vinverse(a);
#endif
}

/* ---- activations -------------------------------------------------------------------------------------------------- */

/* Position by position, classes in the inner loop: the scheme of tile_stats (tiles.h). The next block's memory is prefetched. */
static void FN(region_softmax)(ptrdiff_t C, ptrdiff_t P, const char *x_, ptrdiff_t step, void *p_, void *complement_,
                               void *max_, void *log1p_tail_) {
  const V wide = FN(vset)(2 * FL_RANGE), zero = FN(vset)(0), one = FN(vset)(1);
  for (ptrdiff_t q = 0; q < P; q += LANES) {
    R *p = (R *)p_ + q;
    V m = vload(FN(plane)(x_, step, 0) + q);
    __builtin_prefetch(FN(plane)(x_, step, 0) + q + P);
    for (ptrdiff_t c = 1; c < C; c++) {
      const R *x = FN(plane)(x_, step, c) + q;
      __builtin_prefetch(x + P);
      m = vmax(m, vload(x));
    }
    const V shift = vselect(vlt(wide, vabs(m)), m, zero), y = m - shift, low = y - FL_RANGE;
    const V k = vfma(y, FN(vset)((R)FL_LOG2E), FN(vset)(FL_ROUND)) - FL_ROUND, exponent = k - FL_BIAS;
    const V gap = vfma(k, FN(vset)(FL_LN2_LOW), vfma(k, FN(vset)(FL_LN2_HIGH), -y));
    const V scale = vexp_small(gap) * (R)FL_UNBIAS;
    V ties = -one;
    vd sum[2] = {vset_f64(0), vset_f64(0)};
    V term[4];
    for (ptrdiff_t c = 0; c < C; c += 4) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; j++) {
        term[j] = zero;
        if (c + j >= C) continue;
        const V v = vload(FN(plane)(x_, step, c + j) + q), e = FN(term)(v, shift, low, exponent);
        const M is_max = veq(v, m);
        vstore(p + (c + j) * P, e);
        ties = vtally(ties, is_max);
        term[j] = vdrop(is_max, e);
      }
      FN(sum_terms)(sum, term);
    }
#if FL_REAL_BITS == 32
    const V others = vnarrow(sum[0], sum[1]);
#else
    const V others = sum[0] + sum[1];
#endif
    const V tail_sum = vfma(others, scale, ties), share = FN(inverse)(one + tail_sum), factor = scale * share;
    for (ptrdiff_t c = 0; c < C; c++) vstore(p + c * P, vload(p + c * P) * factor);
    vstore((R *)complement_ + q, tail_sum * share);
    if (max_) {
      vstore((R *)max_ + q, m);
      vstore((R *)log1p_tail_ + q, vlog1p(tail_sum));
    }
  }
}

static void FN(region_sigmoid)(ptrdiff_t P, const void *x_, void *p_, void *complement_) {
  const V zero = FN(vset)(0), one = FN(vset)(1);
  const R *x = x_;
  for (ptrdiff_t q = 0; q < P; q += LANES) {
    __builtin_prefetch(x + q + P);
    const V v = vload(x + q), e = vexp_negative(-vabs(v)), large = FN(inverse)(one + e), small = e * large;
    vstore((R *)p_ + q, vselect(vlt(zero, v), large, small));
    vstore((R *)complement_ + q, small);
  }
}

static void FN(region_mask)(ptrdiff_t P, const void *label, void *p_) {
  const V zero = FN(vset)(0);
  for (ptrdiff_t q = 0; q < P; q += LANES) {
    R *p = (R *)p_ + q;
    vstore(p, vdrop(vlt(vload((const R *)label + q), zero), vload(p)));
  }
}

/* 1 - p */
FL_INLINE V FN(complement)(V p, const R *complement, ptrdiff_t q) {
  const V one = FN(vset)(1);
  return complement ? vselect(vlt(FN(vset)((R)0.5), p), vload(complement + q), one - p) : one - p;
}

/* ---- sums --------------------------------------------------------------------------------------------------------- */

/* w t, where 0 times anything is 0. */
FL_INLINE V FN(times)(V t, V w) { return vselect(veq(t, FN(vset)(0)), FN(vset)(0), t * w); }

FL_INLINE void FN(sums_loop)(const fl_region *b, ptrdiff_t c, double *sums, int hard, int squared, int entropy) {
  const R *p_ = FN(plane)(b->p, b->p_step, c), *t_ = FN(plane)(b->t, b->t_step, c), *x_ = FN(plane)(b->x, b->step, c);
  const R *complement = b->complement;
  const V zero = FN(vset)(0), one = FN(vset)(1), own = FN(vset)((R)(b->target == FL_INDEX ? c : 1));
  vd tp[2] = {{0}}, fp[2] = {{0}}, fn[2] = {{0}}, volume[2] = {{0}}, loss[2] = {{0}};
  V count = zero;
  for (ptrdiff_t at = 0; at < b->P; at += 4 * LANES) {
    V hit[4], alarm[4], miss[4], mass[4], cost[4], doubt[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
      const ptrdiff_t q = at + j * LANES;
      const V p = vload(p_ + q), t = vload(t_ + q), not_p = FN(complement)(p, complement, q);
      if (hard) {
        const M is = veq(t, own);
        hit[j] = vselect(is, p, zero);
        alarm[j] = vdrop(is, squared ? p * p : p);
        miss[j] = vselect(is, squared ? not_p * not_p : not_p, zero);
        count = vtally(count, is);
        if (entropy == FL_SOFTMAX_ENTROPY) {
          const V away = (vload((const R *)b->max + q) - vload(x_ + q)) + vload((const R *)b->log1p_tail + q);
          cost[j] = vselect(is, away, zero);
        } else if (entropy) {
          const V x = vload(x_ + q);
          cost[j] = vdrop(vlt(t, zero), vmax(zero, vselect(is, -x, x)));
        }
      } else {
        const V not_t = one - t;
        hit[j] = p * t;
        if (squared) {
          const V apart = vselect(vlt(FN(vset)((R)0.5), p), not_t - not_p, p - t);
          alarm[j] = apart * apart, miss[j] = zero;
        } else
          alarm[j] = p * not_t, miss[j] = not_p * t;
        mass[j] = t;
        if (entropy == FL_SOFTMAX_ENTROPY)
          cost[j] = FN(times)(t, (vload((const R *)b->max + q) - vload(x_ + q)) + vload((const R *)b->log1p_tail + q));
        else if (entropy) {
          const V x = vload(x_ + q), wrong = vselect(vlt(zero, x), not_t, t);
          cost[j] = FN(times)(wrong, vabs(x));
        }
      }
      if (entropy == FL_BINARY_ENTROPY) doubt[j] = vselect(vlt(FN(vset)((R)0.5), p), not_p, p);
    }
    FN(sum_terms)(tp, hit);
    FN(sum_terms)(fp, alarm);
    if (hard || !squared) FN(sum_terms)(fn, miss);
    if (!hard) FN(sum_terms)(volume, mass);
    if (entropy) FN(sum_terms)(loss, cost);
    if (entropy == FL_BINARY_ENTROPY) { /* -log of the product of four (1 - doubt), which is 1 - (what is summed here) */
      const V a = vfma(-doubt[0], doubt[1], doubt[0] + doubt[1]), d = vfma(-doubt[2], doubt[3], doubt[2] + doubt[3]);
      const V log = vlog1p(-vfma(-a, d, a + d));
      for (int h = 0; h < FL_HALVES; h++) loss[h] -= FL_HALF(log, h);
    }
  }
  sums[FL_TP] += FN(total)(tp), sums[FL_FP] += FN(total)(fp), sums[FL_FN] += FN(total)(fn);
  for (int h = 0; h < FL_HALVES; h++) volume[h] += FL_HALF(count, h);
  sums[FL_VOLUME] += FN(total)(volume), sums[FL_ENTROPY] += FN(total)(loss);
}

#define FL_SUMS(hard, squared)                                                                                           \
  switch (b->entropy) {                                                                                                  \
    case FL_NO_ENTROPY: FN(sums_loop)(b, c, sums, hard, squared, FL_NO_ENTROPY); break;                                  \
    case FL_BINARY_ENTROPY: FN(sums_loop)(b, c, sums, hard, squared, FL_BINARY_ENTROPY); break;                          \
    default: FN(sums_loop)(b, c, sums, hard, squared, FL_SOFTMAX_ENTROPY);                                               \
  }

static void FN(region_sums)(const fl_region *b, ptrdiff_t c, double *sums) {
  if (b->target == FL_SOFT) {
    if (b->squared)
      FL_SUMS(0, 1)
    else
      FL_SUMS(0, 0)
  } else if (b->squared)
    FL_SUMS(1, 1)
  else
    FL_SUMS(1, 0)
}

/* ---- gradients ---------------------------------------------------------------------------------------------------- */

/* The loss's gradient with respect to p of class c. FL_GIVEN ones are 0 where ignored, whatever p is: see times(). */
FL_INLINE V FN(grad_of_p)(const fl_region *b, ptrdiff_t c, V t, V p, V not_p, int target) {
  const R *s = (const R *)b->d_sums + c * FL_REGION_GRADS;
  if (target == FL_GIVEN) return t * s[FL_D_TP];
  const V tp = FN(vset)(s[FL_D_TP]), fp = FN(vset)(s[FL_D_FP]), fn = FN(vset)(s[FL_D_FN]);
  if (target == FL_SOFT) {
    if (!b->squared) return vfma(t, (tp - fn) - fp, fp);
    const V apart = vselect(vlt(FN(vset)((R)0.5), p), (FN(vset)(1) - t) - not_p, p - t);
    return vfma(t, tp, (apart + apart) * fp);
  }
  const M is = veq(t, FN(vset)((R)(target == FL_INDEX ? c : 1)));
  if (!b->squared) return vselect(is, tp - fn, fp);
  return vselect(is, tp - (not_p + not_p) * fn, (p + p) * fp);
}

FL_INLINE void FN(gradient_loop)(const fl_region *b, ptrdiff_t c, int target) {
  const R *p_ = FN(plane)(b->p, b->p_step, c), *t_ = FN(plane)(b->t, b->t_step, c), *complement = b->complement;
  R *out = (R *)(b->grad + c * b->grad_step);
  const V zero = FN(vset)(0), one = FN(vset)(1);
  const V k = FN(vset)(b->entropy ? ((const R *)b->d_sums)[c * FL_REGION_GRADS + FL_D_ENTROPY] : 0);
  for (ptrdiff_t q = 0; q < b->P; q += LANES) {
    __builtin_prefetch(out + q + b->P, 1);
    const V p = vload(p_ + q), t = vload(t_ + q), not_p = FN(complement)(p, complement, q);
    V g = FN(grad_of_p)(b, c, t, p, not_p, target);
    if (!complement) { /* p is the argument itself */
      if (target == FL_INDEX || target == FL_MASKS) g = vdrop(vlt(t, zero), g);
    } else {
      g = FN(times)(g, p * not_p);
      if (b->entropy && target == FL_SOFT)
        g += k * vselect(vlt(FN(vset)((R)0.5), p), (one - t) - not_p, p - t);
      else if (b->entropy) {
        const M is = veq(t, FN(vset)((R)(target == FL_INDEX ? c : 1)));
        g += k * vselect(is, -not_p, p);
      }
    }
    vstore(out + q, g);
  }
}

static void FN(region_grad)(const fl_region *b, ptrdiff_t c) {
  switch (b->target) {
    case FL_INDEX: FN(gradient_loop)(b, c, FL_INDEX); break;
    case FL_MASKS: FN(gradient_loop)(b, c, FL_MASKS); break;
    case FL_SOFT: FN(gradient_loop)(b, c, FL_SOFT); break;
    default: FN(gradient_loop)(b, c, FL_GIVEN);
  }
}

/* p_c (g_c - sum of g p). Of the class that leads, 1 - p is taken from `complement`, and the others' gradients relative to its own: what
   is left when p is nearly 1 does not cancel. */
FL_INLINE void FN(softmax_loop)(const fl_region *b, int target) {
  const V zero = FN(vset)(0), one = FN(vset)(1), half = FN(vset)((R)0.5);
  const R *complement_ = b->complement;
  for (ptrdiff_t q = 0; q < b->P; q += LANES) {
    const V complement = vload(complement_ + q);
    V led = zero, leading = zero, others = zero, whole = zero; /* p and gradient of the leading class */
    for (ptrdiff_t c = 0; c < b->C; c++) {
      const V p = vload(FN(plane)(b->p, b->p_step, c) + q), t = vload(FN(plane)(b->t, b->t_step, c) + q);
      const M leads = vlt(half, p);
      const V g = FN(grad_of_p)(b, c, t, p, vselect(leads, complement, one - p), target);
      leading = vselect(leads, g, leading), led = vselect(leads, complement, led);
      others += vdrop(leads, target == FL_GIVEN ? FN(times)(g, p) : g * p);
      if (b->entropy) {
        const V k = FN(vset)(((const R *)b->d_sums)[c * FL_REGION_GRADS + FL_D_ENTROPY]);
        whole =
            target == FL_SOFT ? vfma(k, t, whole) : vselect(veq(t, FN(vset)((R)(target == FL_INDEX ? c : 1))), k, whole);
      }
    }
    const V apart = leading * led - others; /* the leading class's gradient less the mean gradient */
    for (ptrdiff_t c = 0; c < b->C; c++) {
      const V p = vload(FN(plane)(b->p, b->p_step, c) + q), t = vload(FN(plane)(b->t, b->t_step, c) + q);
      R *out = (R *)(b->grad + c * b->grad_step) + q;
      const M leads = vlt(half, p);
      const V not_p = vselect(leads, complement, one - p);
      const V g = FN(grad_of_p)(b, c, t, p, not_p, target);
      const V relative = vdrop(leads, g - leading) + apart;
      V gradient = target == FL_GIVEN ? FN(times)(relative, p) : relative * p;
      if (b->entropy && target == FL_SOFT) {
        const V k = FN(vset)(((const R *)b->d_sums)[c * FL_REGION_GRADS + FL_D_ENTROPY]), own = k * t;
        gradient += vselect(leads, (whole - own) - complement * whole, vfma(p, whole, -own));
      } else if (b->entropy) {
        const M is = veq(t, FN(vset)((R)(target == FL_INDEX ? c : 1)));
        gradient += whole * vselect(is, -not_p, p);
      }
      __builtin_prefetch(out + b->P, 1);
      vstore(out, gradient);
    }
  }
}

static void FN(region_softmax_grad)(const fl_region *b) {
  switch (b->target) {
    case FL_INDEX: FN(softmax_loop)(b, FL_INDEX); break;
    case FL_MASKS: FN(softmax_loop)(b, FL_MASKS); break;
    case FL_SOFT: FN(softmax_loop)(b, FL_SOFT); break;
    default: FN(softmax_loop)(b, FL_GIVEN);
  }
}

/* ---- labels ------------------------------------------------------------------------------------------------------- */

/* `ignored_` is 0 where nothing is ignored: the usual loop is then one comparison (unsigned, so that negative labels are too large)
   and one conversion for each label. */
#define FL_LABEL_LOOP(type, at, ignored_)                                                                                \
  for (ptrdiff_t i = 0; i < n; i++) {                                                                                    \
    type y;                                                                                                              \
    memcpy(&y, at, sizeof y);                                                                                            \
    const int good = y <= last, ignored = ignored_;                                                                      \
    wrong |= !(good | ignored);                                                                                          \
    count += ignored;                                                                                                    \
    out[i] = good & !ignored ? (R)(int32_t)y : -1;                                                                       \
  }
/* `type` is unsigned, of the labels' size; `last` is the largest label that there may be, `skips` whether `ignore` may occur. */
#define FL_READ_LABELS(type, name)                                                                                       \
  static ptrdiff_t FN(labels_##name)(const char *in, ptrdiff_t stride, ptrdiff_t n, int64_t last_, int skips,            \
                                     int64_t ignore, R *restrict out, ptrdiff_t *bad) {                                  \
    const type last = (type)last_, skip = (type)ignore;                                                                  \
    ptrdiff_t count = 0;                                                                                                 \
    int wrong = 0;                                                                                                       \
    if (stride == (ptrdiff_t)sizeof(type) && !skips)                                                                     \
      FL_LABEL_LOOP(type, in + i * (ptrdiff_t)sizeof(type), 0)                                                           \
    else if (stride == (ptrdiff_t)sizeof(type))                                                                          \
      FL_LABEL_LOOP(type, in + i * (ptrdiff_t)sizeof(type), y == skip)                                                   \
    else                                                                                                                 \
      FL_LABEL_LOOP(type, in + i * stride, skips & (y == skip))                                                          \
    for (ptrdiff_t i = 0; wrong && i < n; i++) {                                                                         \
      type y;                                                                                                            \
      memcpy(&y, in + i * stride, sizeof y);                                                                             \
      if (y <= last || (skips && y == skip)) continue;                                                                   \
      *bad = i;                                                                                                          \
      break;                                                                                                             \
    }                                                                                                                    \
    return count;                                                                                                        \
  }
FL_READ_LABELS(uint8_t, 1)
FL_READ_LABELS(uint16_t, 2)
FL_READ_LABELS(uint32_t, 4)
FL_READ_LABELS(uint64_t, 8)
#undef FL_LABEL_LOOP
#undef FL_READ_LABELS

/* `most` is the largest label that the type holds; `least` the smallest. */
#define FL_LABELS_OF(TYPE, bytes, least, most)                                                                           \
  case TYPE:                                                                                                             \
    return FN(labels_##bytes)(p, stride, n, classes - 1 < most ? classes - 1 : most,                                     \
                              has_ignore && ignore >= least && ignore <= most, ignore, label, bad)

static ptrdiff_t FN(region_labels)(int type, const char *p, ptrdiff_t stride, ptrdiff_t n, int64_t classes,
                                   int has_ignore, int64_t ignore, void *label, ptrdiff_t *bad) {
  *bad = -1;
  switch (type) {
    FL_LABELS_OF(FL_I8, 1, INT8_MIN, INT8_MAX);
    FL_LABELS_OF(FL_I16, 2, INT16_MIN, INT16_MAX);
    FL_LABELS_OF(FL_I32, 4, INT32_MIN, INT32_MAX);
    FL_LABELS_OF(FL_I64, 8, INT64_MIN, INT64_MAX);
    FL_LABELS_OF(FL_U8, 1, 0, UINT8_MAX);
    FL_LABELS_OF(FL_U16, 2, 0, UINT16_MAX);
    FL_LABELS_OF(FL_U32, 4, 0, (int64_t)UINT32_MAX);
    default: FL_LABELS_OF(FL_U64, 8, 0, INT64_MAX);
  }
}
#undef FL_LABELS_OF

/* ---- errors, for Lovasz's extension -------------------------------------------------------------------------------- */

/* |t - p| of one class; negative (or -0) where t is 1, FL_IGNORED_ERROR where the position is masked. */
static void FN(region_errors)(ptrdiff_t P, const void *p_, const void *complement, const void *label, double c,
                              void *error) {
  const V own = FN(vset)((R)c), zero = FN(vset)(0);
  for (ptrdiff_t q = 0; q < P; q += LANES) {
    const V p = vload((const R *)p_ + q), t = vload((const R *)label + q);
    const V e = vselect(veq(t, own), -FN(complement)(p, complement, q), p);
    vstore((R *)error + q, vselect(vlt(t, zero), FN(vset)((R)FL_IGNORED_ERROR), e));
  }
}

#include "regions/fused.h"

#undef FL_LN2_HIGH
#undef FL_LN2_LOW

/* Softmax statistics and gradients along contiguous rows. Included by rows.c once per type (R, V, FN as in twice.h).
 * max: the largest logit of a row (or chunk); tail_sum: the sum of the others' exponentials relative to it; exp_scale: the factor
 * between these and the exponentials that are kept (scaling.h).
 */

#include "common/scaling.h"

/* The maximum of a chunk; the lane-wise maximum of every four registers is left in `groups`, to find it again. */
FL_INLINE R FN(largest)(ptrdiff_t n, const R *x, R *groups) {
  const V none = FN(vset)((R)-INFINITY);
  V best = none, remaining = none;
  ptrdiff_t i = 0;
  for (; i + 4 * LANES <= n; i += 4 * LANES, groups += LANES) {
    const V max =
        vmax(vmax(vload(x + i), vload(x + i + LANES)), vmax(vload(x + i + 2 * LANES), vload(x + i + 3 * LANES)));
    vstore(groups, max);
    best = vmax(best, max);
  }
  if (i == n) return vtop(best);
  for (; i + LANES <= n; i += LANES) remaining = vmax(remaining, vload(x + i));
  if (i < n) remaining = vmax(remaining, vload_part(x + i, n - i, (R)-INFINITY));
  vstore(groups, remaining);
  return vtop(vmax(best, remaining));
}

static int FN(has_nan)(ptrdiff_t n, const R *x, ptrdiff_t step) {
  for (ptrdiff_t i = 0; i < n; i++)
    if (x[i * step] != x[i * step]) return 1;
  return 0;
}

/* Terms of up to four registers of a chunk: kept in e if wanted, summed. `careful` where the max may be among them: entries that
   equal it count as 0 and are counted. Beyond `left` there is nothing. */
FL_INLINE void FN(group_terms)(const R *x, R *e, ptrdiff_t left, int keep, int careful, V best, V shift, V low,
                               V exponent, vd sum[2], int *ties) {
  V term[4];
#pragma GCC unroll 4
  for (int k = 0; k < 4; k++) {
    const ptrdiff_t here = left - k * LANES;
    term[k] = FN(vset)(0);
    if (here <= 0) continue;
    const V v = FN(read)(x + k * LANES, 0, here, here >= LANES, (R)-INFINITY);
    term[k] = FN(term)(v, shift, low, exponent);
    if (keep) FN(write)(e + k * LANES, 0, here, here >= LANES, term[k]);
    if (careful) {
      const M is_max = veq(v, best);
      *ties += FN(vcount)(is_max);
      term[k] = vdrop(is_max, term[k]);
    }
  }
  FN(sum_terms)(sum, term);
}

enum { FN(FL_GROUP) = 4 * LANES }; /* elements of a group */

/* One chunk whose max is known and finite: sum of the other terms, kept in e if wanted. Prefetches what is read next:
   n elements of `size` bytes. */
FL_INLINE double FN(chunk_terms)(ptrdiff_t n, const R *x, R *e, int keep, R max, const R *groups, double *exp_scale,
                                 const char *next, int size) {
  const FN(scaling) s = FN(scaling_of)(max);
  const V shift = FN(vset)(s.shift), low = FN(vset)(s.low), exponent = FN(vset)(s.exponent), best = FN(vset)(max);
  vd sum[2] = {vset_f64(0), vset_f64(0)};
  int ties = -1;
  ptrdiff_t i = 0;
#define FL_TERMS(left, careful)                                                                                          \
  FN(group_terms)(x + i, keep ? e + i : NULL, left, keep, careful, best, shift, low, exponent, sum, &ties)
  for (; i + FN(FL_GROUP) <= n; i += FN(FL_GROUP), groups += LANES, next += FN(FL_GROUP) *size) {
    for (int line = 0; line < FN(FL_GROUP) *size; line += 64) __builtin_prefetch(next + line);
    if (__builtin_expect(FN(vany)(veq(vload(groups), best)), 0))
      FL_TERMS(FN(FL_GROUP), 1);
    else
      FL_TERMS(FN(FL_GROUP), 0);
  }
  if (i < n) {
    for (ptrdiff_t line = 0; line < (n - i) * size; line += 64) __builtin_prefetch(next + line);
    if (FN(vany)(veq(vload(groups), best)))
      FL_TERMS(n - i, 1);
    else
      FL_TERMS(n - i, 0);
  }
#undef FL_TERMS
  const double partial = vsum_f64(sum[0] + sum[1]);
  *exp_scale = s.log_scale;
  return ties > 0 ? partial + ties * exp(-s.log_scale) / FL_UNBIAS : partial;
}

/* Rows in batches of a few, so that the end of one search for a maximum overlaps with the next. */
FL_INLINE void FN(chunks_loop)(ptrdiff_t rows, ptrdiff_t n, const char *x, ptrdiff_t stride, char *e, ptrdiff_t e_stride,
                               int keep, double *max, double *partial, double *exp_scale, const char *next, int size) {
  const ptrdiff_t bytes = n * (ptrdiff_t)sizeof(R), ahead = bytes < FL_AHEAD ? FL_AHEAD : bytes;
  enum { ROOM = FL_CHUNK_BYTES / sizeof(R) / 4, BATCH = 16 };
  R groups[ROOM], maxima[BATCH];
  const ptrdiff_t each = (n + FN(FL_GROUP) - 1) / FN(FL_GROUP) *(ptrdiff_t)LANES;
  const ptrdiff_t batch = each * BATCH <= ROOM ? BATCH : ROOM / each;
  for (ptrdiff_t first = 0; first < rows; first += batch) {
    const ptrdiff_t some = rows - first < batch ? rows - first : batch;
    for (ptrdiff_t i = 0; i < some; i++)
      maxima[i] = FN(largest)(n, (const R *)(const void *)(x + (first + i) * stride), groups + i * each);
    for (ptrdiff_t i = 0; i < some; i++) {
      const ptrdiff_t at = first + i;
      const R *row = (const R *)(const void *)(x + at * stride);
      R *kept = keep ? (R *)(void *)(e + at * e_stride) : NULL;
      max[at] = maxima[i], partial[at] = exp_scale[at] = 0;
      if (maxima[i] - maxima[i] == 0) {
        const char *fetched = next ? next + at * n * size : (const char *)row + ahead;
        partial[at] = FN(chunk_terms)(n, row, kept, keep, maxima[i], groups + i * each, &exp_scale[at], fetched, size);
        continue;
      }
      if (FN(has_nan)(n, row, 1)) partial[at] = NAN; /* an infinite or nan max: the result is nan if there is a nan */
      if (keep) memset(kept, 0, (size_t)n * sizeof(R));
    }
  }
}

static void FN(chunks)(ptrdiff_t rows, ptrdiff_t n, const char *x, ptrdiff_t stride, char *e, ptrdiff_t e_stride,
                       double *max, double *partial, double *exp_scale, const char *next) {
#define FL_CHUNKS(e, e_stride, keep, next, size)                                                                         \
  FN(chunks_loop)(rows, n, x, stride, e, e_stride, keep, max, partial, exp_scale, next, size)
  if (next) {
    if (e)
      FL_CHUNKS(e, e_stride, 1, next, 2);
    else
      FL_CHUNKS(NULL, 0, 0, next, 2);
  } else {
    if (e)
      FL_CHUNKS(e, e_stride, 1, NULL, sizeof(R));
    else
      FL_CHUNKS(NULL, 0, 0, NULL, sizeof(R));
  }
#undef FL_CHUNKS
}

static void FN(finish)(ptrdiff_t chunks, const double *partial, double *exp_scale, double *tail_sum) {
  for (ptrdiff_t i = 0; i < chunks; i += LANES_F64) {
    const ptrdiff_t left = chunks - i;
    const vd u = FL_EXP_SCALE(vload_up_to(exp_scale + i, left, 0.0)),
             r = vload_up_to(partial + i, left, 0.0) * (u * FL_UNBIAS);
    vstore_up_to(exp_scale + i, left, u);
    vstore_up_to(tail_sum + i, left, vdrop(vlt(r, vset_f64(FL_FLUSH)), r));
  }
}

static void FN(log1p_many)(ptrdiff_t n, const double *x, double *out) {
  for (ptrdiff_t i = 0; i < n; i += LANES_F64) {
    const ptrdiff_t left = n - i;
    vstore_up_to(out + i, left, FL_LOG1P_ROW(vload_up_to(x + i, left, 0.0)));
  }
}

static double FN(hard_values)(ptrdiff_t n, const double *max, const double *label_logit, const double *log1p_tail,
                              double *weight, double *out, double *weights) {
  vd sum = vset_f64(0), total = vset_f64(0);
  const vd zero = vset_f64(0);
  for (ptrdiff_t i = 0; i < n; i += LANES_F64) {
    const ptrdiff_t left = n - i;
    const vd t = vload_up_to(max + i, left, 0.0), w = vload_up_to(weight + i, left, -1.0);
    const vd v = (t - vload_up_to(label_logit + i, left, 0.0)) + vload_up_to(log1p_tail + i, left, 0.0);
    const vd value = vdrop(vlt(w, zero), w * (v + (t - t))); /* t - t: 0, or nan for an infinite max */
    const vd counted = vdrop(vlt(w, zero), w);
    sum += value, total += counted;
    vstore_up_to(out + i, left, value);
    vstore_up_to(weight + i, left, counted);
  }
  *weights += vsum_f64(total);
  return vsum_f64(sum);
}

static void FN(hard_factors)(ptrdiff_t n, const double *max, const double *label_logit, const double *tail_sum,
                             const double *exp_scale, const double *e, const double *weight, double scale, double *factor,
                             double *gradient) {
  for (ptrdiff_t i = 0; i < n; i += LANES_F64) {
    const ptrdiff_t left = n - i;
    const vd t = vload_up_to(max + i, left, 0.0), r = vload_up_to(tail_sum + i, left, 0.0);
    const vd w = vload_up_to(weight + i, left, 0.0) * scale, z = 1.0 / (r + 1.0);
    const vd u = vload_up_to(exp_scale + i, left, 0.0) * z;
    const vd p = vload_up_to(e + i, left, 0.0) * (u * FL_UNBIAS);
    const md won = veq(t, vload_up_to(label_logit + i, left, 0.0));
    vstore_up_to(factor + i, left, w * u);
    vstore_up_to(gradient + i, left, w * (vselect(won, -r * z, p - 1.0) + (t - t)));
  }
}

/* Runs `expression` in `x` (a V) over a row, whole registers first; `i` and `left` tell where. In place is fine. */
#define FL_ROW_MAP(n, x, out, expression)                                                                                \
  do {                                                                                                                   \
    ptrdiff_t i = 0, left = LANES;                                                                                       \
    for (; i + LANES <= (n); i += LANES) {                                                                               \
      V v = vload((x) + i);                                                                                              \
      FN(fetch_out)(out, i);                                                                                             \
      vstore((out) + i, (expression));                                                                                   \
    }                                                                                                                    \
    left = (n) - i;                                                                                                      \
    if (left) {                                                                                                          \
      V v = vload_part((x) + i, left, (R)0);                                                                             \
      vstore_part((out) + i, left, (expression));                                                                        \
    }                                                                                                                    \
  } while (0)

/* out = e factor / 2^bias. A factor that would lose bits itself goes in two steps. */
static void FN(rescale)(ptrdiff_t n, const void *e_, double factor, void *out_) {
  const R *e = e_;
  R *out = out_;
  if (fabs(factor * FL_UNBIAS) < FL_SMALL) {
    const V f = FN(vset)((R)factor), unbias = FN(vset)((R)FL_UNBIAS);
    FL_ROW_MAP(n, e, out, v * unbias * f);
  } else {
    const V f = FN(vset)((R)(factor * FL_UNBIAS));
    FL_ROW_MAP(n, e, out, v * f);
  }
}

/* Gradients of whole rows with class indices: rescaled exponentials, but the gradient at the label; 0 where the label is -1. */
static void FN(hard_rows)(ptrdiff_t rows, ptrdiff_t n, const char *e, ptrdiff_t e_stride, const double *factor,
                          const double *gradient, const int64_t *label, char *out, ptrdiff_t stride) {
  for (ptrdiff_t i = 0; i < rows; i++, e += e_stride, out += stride) {
    if (label[i] < 0) {
      memset(out, 0, (size_t)n * sizeof(R));
      continue;
    }
    FN(rescale)(n, e, factor[i], out);
    ((R *)(void *)out)[label[i]] = (R)gradient[i];
  }
}

static void FN(softmax)(ptrdiff_t n, const void *x_, double max, double scale, void *out_) {
  const R *x = x_;
  R *out = out_;
  const FN(scaling) s = FN(scaling_of)((R)max);
  const V shift = FN(vset)(s.shift), low = FN(vset)(s.low), exponent = FN(vset)(s.exponent);
  const V factor = FN(vset)((R)(scale * exp(s.log_scale) * FL_UNBIAS)); /* nan if max is infinite */
  FL_ROW_MAP(n, x, out, FN(term)(v, shift, low, exponent) * factor);
}

static void FN(log_softmax)(ptrdiff_t n, const void *x_, double max, double log1p_tail, void *out_) {
  const R *x = x_;
  R *out = out_;
  const V m = FN(vset)((R)max), l = FN(vset)((R)log1p_tail);
  FL_ROW_MAP(n, x, out, (v - m) - l);
}

/* a_j for the register at i: class_weight_j (mix t_j + floor). */
FL_INLINE V FN(soft_weight)(const fl_soft *soft, ptrdiff_t i, ptrdiff_t left, V mix, V floor) {
  V a = floor;
  if (soft->t) a = vfma(mix, FN(read)(soft->t, i, left, left >= LANES, 0), floor);
  if (soft->class_weight) a = a * FN(read)(soft->class_weight, i, left, left >= LANES, 0);
  return a;
}

/* *sum += v; of terms in double, which no wider type holds, the rounding errors are added up in *error. */
FL_INLINE void FN(add_up)(vd *sum, vd *error, vd v) {
  const vd s = *sum + v;
#if FL_REAL_BITS == 64
  *error += error_of_sum(*sum, v, s);
#else
  (void)error;
#endif
  *sum = s;
}

#if FL_REAL_BITS == 32
/* Terms are made in float, from halves of the logits, whose difference cannot overflow, and are never negative. */
static void FN(soft_sums)(ptrdiff_t n, const void *x_, double max, const fl_soft *soft, double *weighted,
                          double *weight) {
  const R *x = x_;
  const V m = FN(vset)((R)(0.5 * max)), half = FN(vset)((R)0.5), zero = FN(vset)(0);
  const V mix = FN(vset)((R)soft->mix), floor = FN(vset)((R)soft->floor);
  vd sum[2] = {vset_f64(0), vset_f64(0)}, total[2] = {vset_f64(0), vset_f64(0)};
  for (ptrdiff_t i = 0; i < n; i += FN(FL_GROUP)) {
    V term[4], amount[4];
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
      const ptrdiff_t at = i + k * LANES, left = n - at;
      term[k] = amount[k] = zero;
      if (left <= 0) continue;
      V a = FN(soft_weight)(soft, at, left, mix, floor);
      if (left < LANES) a = vdrop(vle(FN(vset)((R)left), vload(FN(fl_iota))), a);
      amount[k] = a;
      term[k] = vdrop(veq(a, zero), a * (m - half * FN(read)(x, at, left, left >= LANES, 0))); /* 0 log 0 = 0 */
    }
    FN(sum_terms)(sum, term);
    FN(sum_terms)(total, amount);
  }
  *weighted += 2 * vsum_f64(sum[0] + sum[1]);
  *weight += vsum_f64(total[0] + total[1]);
}
#else
static void FN(soft_sums)(ptrdiff_t n, const void *x_, double max, const fl_soft *soft, double *weighted,
                          double *weight) {
  const R *x = x_;
  vd sum = vset_f64(0), total = sum, sum_lost = sum, total_lost = sum;
  const vd m = vset_f64(max), zero = vset_f64(0), mix = vset_f64(soft->mix), floor = vset_f64(soft->floor);
  for (ptrdiff_t i = 0; i < n; i += LANES) {
    const ptrdiff_t left = n - i;
    vd a = FN(soft_weight)(soft, i, left, mix, floor);
    if (left < LANES) a = vdrop(vle(vset_f64((double)left), vload(fl_iota_f64)), a);
    const vd gap = m - FN(read)(x, i, left, left >= LANES, 0);
    FN(add_up)(&sum, &sum_lost, vdrop(veq(a, zero), a * gap)); /* 0 log 0 = 0 */
    FN(add_up)(&total, &total_lost, a);
  }
  sum_lost = vselect(veq(sum_lost, sum_lost), sum_lost, zero); /* inf - inf is not the sum's */
  *weighted += vsum_f64(sum + sum_lost);
  *weight += vsum_f64(total + total_lost);
}
#endif

/* scale p - aim, with aim = target_scale a. At the largest entries both are nearly alike if the row is won: there it is
   p (scale - aim) - (1 - p) aim, with 1 - p = tail_sum / (1 + tail_sum); for a one-hot target the first term is 0 to the bit. */
static void FN(soft_grad)(ptrdiff_t n, const void *x_, double max, double tail_sum, double scale, double target_scale,
                          const fl_soft *soft, void *out_) {
  const R *x = x_;
  R *out = out_;
  const FN(scaling) s = FN(scaling_of)((R)max);
  const V shift = FN(vset)(s.shift), low = FN(vset)(s.low), exponent = FN(vset)(s.exponent), best = FN(vset)((R)max);
  const V factor = FN(vset)((R)(scale / (1 + tail_sum) * exp(s.log_scale) * FL_UNBIAS)),
          target = FN(vset)((R)target_scale);
  const V whole = FN(vset)((R)scale), won = FN(vset)((R)(1 / (1 + tail_sum)));
  const V lost = FN(vset)((R)(tail_sum / (1 + tail_sum) + (max - max))); /* nan for an infinite max */
  const V mix = FN(vset)((R)soft->mix), floor = FN(vset)((R)soft->floor);
#define FL_AIM (target * FN(soft_weight)(soft, i, left, mix, floor))
  FL_ROW_MAP(
      n, x, out,
      vselect(veq(v, best), won * (whole - FL_AIM) - lost * FL_AIM, FN(term)(v, shift, low, exponent) * factor - FL_AIM));
#undef FL_AIM
}

/* a_j of one half register in double; 0 beyond the row's end. */
FL_INLINE vd FN(wide_weight)(const fl_soft *soft, ptrdiff_t i, ptrdiff_t left, int half) {
  vd a = vset_f64(soft->floor);
  if (soft->t) {
    const V t = FN(read)(soft->t, i, left, left >= LANES, 0);
    a = vfma(vset_f64(soft->mix), FL_HALF(t, half), a);
  }
  if (soft->class_weight) {
    const V w = FN(read)(soft->class_weight, i, left, left >= LANES, 0);
    a *= FL_HALF(w, half);
  }
  return vdrop(vle(vset_f64((double)(left - half * LANES_F64)), vload_f64(fl_iota_f64)), a);
}

static void FN(transform_sums)(ptrdiff_t n, const void *x, double max, double log1p_tail, const fl_soft *soft,
                               int transform, double parameter, double *value, double *gradient_sum) {
  const vd zero = vset_f64(0), tail = vset_f64(log1p_tail + (max - max));
  vd sum = zero, gradients = zero;
  for (ptrdiff_t i = 0; i < n; i += LANES) {
    const V v = FN(read)(x, i, n - i, n - i >= LANES, 0);
    for (int h = 0; h < FL_HALVES; h++) {
      const vd a = FN(wide_weight)(soft, i, n - i, h);
      vd f, s;
      vtransform(transform, parameter, (vset_f64(max) - FL_HALF(v, h)) + tail, &f, &s);
      sum += vselect(veq(a, zero), tail - tail, a * f); /* 0 log 0 = 0; nan for an infinite max */
      gradients += vselect(veq(a, zero), zero, a * s);
    }
  }
  *value += vsum_f64(sum), *gradient_sum += vsum_f64(gradients);
}

static void FN(transform_grad)(ptrdiff_t n, const void *x, double max, double log1p_tail, double scale,
                               double gradient_sum, const fl_soft *soft, int transform, double parameter, void *out) {
  const vd all = vset_f64(gradient_sum), tail = vset_f64(log1p_tail + (max - max));
  for (ptrdiff_t i = 0; i < n; i += LANES) {
    const V v = FN(read)(x, i, n - i, n - i >= LANES, 0);
    vd g[2];
    for (int h = 0; h < FL_HALVES; h++) {
      const vd l = (vset_f64(max) - FL_HALF(v, h)) + tail;
      vd f, s, grow;
      vtransform(transform, parameter, l, &f, &s);
      const vd own = FN(wide_weight)(soft, i, n - i, h) * s, p = vexp_both(-l, &grow);
      g[h] = scale * vselect(vlt(vset_f64(0.5), p), (all - own) + grow * all, p * all - own);
    }
#if FL_REAL_BITS == 32
    FN(write)(out, i, n - i, n - i >= LANES, vnarrow(g[0], g[1]));
#else
    FN(write)(out, i, n - i, n - i >= LANES, g[0]);
#endif
  }
}

/* t log t, of t or of log t. */
FL_INLINE V FN(t_log_t)(V t, int is_log) {
  const V log = is_log ? t : vlog(t), p = is_log ? vexp(t) : t;
  return vdrop(veq(p, FN(vset)(0)), p * log);
}

/* *sum += t log t. Terms of probabilities have one sign: floats of four registers are added in float. */
static void FN(negentropy)(ptrdiff_t n, const void *t, int is_log, double *sum) {
  vd partial[2] = {vset_f64(0), vset_f64(0)};
  const R nothing = is_log ? (R)-INFINITY : 0;
  for (ptrdiff_t i = 0; i < n; i += FN(FL_GROUP)) {
    V term[4];
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
      const ptrdiff_t at = i + k * LANES, left = n - at;
      term[k] = FN(vset)(0);
      if (left <= 0) continue;
      FN(fetch)(t, at);
      term[k] = FN(t_log_t)(FN(read)(t, at, left, left >= LANES, nothing), is_log);
    }
    FN(sum_terms)(partial, term);
  }
  *sum += vsum_f64(partial[0] + partial[1]);
}

static void FN(exps)(ptrdiff_t n, const void *x_, void *out_) {
  const R *x = x_;
  R *out = out_;
  FL_ROW_MAP(n, x, out, vexp(v));
}

static void FN(temper)(ptrdiff_t n, const void *x_, double reference, double temperature, void *out_) {
  const R *x = x_;
  R *out = out_;
  const V from = FN(vset)((R)reference), by = FN(vset)((R)temperature);
  FL_ROW_MAP(n, x, out, (v - from) / by);
}

/* scale p (1 - p); for the largest entry 1 - p is tail_sum / (1 + tail_sum), which keeps its digits. */
static void FN(softmax_hess)(ptrdiff_t n, const void *x_, double max, double tail_sum, double scale, void *out_) {
  const R *x = x_;
  R *out = out_;
  const FN(scaling) s = FN(scaling_of)((R)max);
  const V shift = FN(vset)(s.shift), low = FN(vset)(s.low), exponent = FN(vset)(s.exponent);
  const V factor = FN(vset)((R)(exp(s.log_scale) * FL_UNBIAS / (1 + tail_sum))), best = FN(vset)((R)max);
  const V others = FN(vset)((R)(tail_sum / (1 + tail_sum))), w = FN(vset)((R)scale), one = FN(vset)(1);
#define FL_P (FN(term)(v, shift, low, exponent) * factor)
  FL_ROW_MAP(n, x, out, w * FL_P * vselect(veq(v, best), others, one - FL_P));
#undef FL_P
}

/* Frames of CTC: rows of logits in, emissions out, and the gradient's rows. The body of ctc.c (twice.h).
 *
 * An emission is e^(x - shift), where the shift is the frame's largest logit among the columns: it is at most 1, and exactly 1
 * for the likeliest, so that a confident path multiplies by 1 and nothing accumulates. Emissions are doubles, those of floats too
 * (to 5e-12). The normaliser is made of the same numbers: where two classes that both fit the labels share a frame, errors of
 * their exponentials cancel against it. Classes without a column (a wide row's, that the labels do not use) are added up in the
 * computation type, as in rows/real.h: whatever probability they have is missing from the alignments, so that the loss is never
 * smaller than what they contribute.
 */
#include "common/convert.h"
#include "common/scaling.h"

/* The C classes of frame t, contiguous. */
FL_INLINE const R *FN(frame_row)(fl_ctc *job, ptrdiff_t t) {
  const char *at = job->x.data + t * job->x.step;
  if (job->x.direct) return (const R *)(const void *)at;
  FN(load_run)(job->x.type, at, job->x.class_step, job->C, job->row);
  return job->row;
}

/* The logits of the columns, one after another: where all classes have one, the row itself. What is picked from the rows is kept
   for the way back: to touch every row for a few entries would cost as much as to read it. */
static const R *FN(columns)(fl_ctc *job, const R *row, ptrdiff_t t, ptrdiff_t k, int again) {
  if (!job->classes) return row;
  R *picked = (R *)job->column_logits + k * job->width;
  if (again) return picked;
  if (row)
    for (ptrdiff_t u = 0; u < job->U; u++) picked[u] = row[job->classes[u]];
  else {
    const char *at = job->x.data + t * job->x.step;
    for (ptrdiff_t u = 0; u < job->U; u++)
      picked[u] = (R)fl_load_one(at + job->classes[u] * job->x.class_step, job->x.type);
  }
  return picked;
}

FL_INLINE R FN(largest)(ptrdiff_t n, const R *x) {
  const V none = FN(vset)((R)-INFINITY);
  V top[4] = {none, none, none, none};
  ptrdiff_t i = 0;
  for (; i + 4 * LANES <= n; i += 4 * LANES)
    for (int k = 0; k < 4; k++) top[k] = vmax(top[k], vload(x + i + k * LANES));
  for (; i + LANES <= n; i += LANES) top[0] = vmax(top[0], vload(x + i));
  if (i < n) top[1] = vmax(top[1], vload_part(x + i, n - i, (R)-INFINITY));
  return vtop(vmax(vmax(top[0], top[1]), vmax(top[2], top[3])));
}

/* LANES_F64 logits from i on, as doubles; -inf behind the last. */
FL_INLINE vd FN(wide_at)(const R *x, ptrdiff_t i, ptrdiff_t n) {
#if FL_REAL_BITS == 32
  if (n - i >= LANES_F64) return vwiden(x + i);
  float part[LANES_F64];
  for (int k = 0; k < LANES_F64; k++) part[k] = k < n - i ? x[i + k] : -INFINITY;
  return vwiden(part);
#else
  return vload_up_to(x + i, n - i, -INFINITY);
#endif
}

/* e^d for d from FL_CTC_LEAST to 0; nan stays nan. */
FL_INLINE vd FN(emission_of)(vd d) {
#if FL_REAL_BITS == 32
  vd k, p = vexp_parts_short(d, &k);
#else
  vd k, p = vexp_parts_f64(d, &k);
#endif
  return vscale(p, k);
}

/* The same for any d <= 0: 0 under FL_CTC_LEAST. */
FL_INLINE vd FN(emission_of_any)(vd d) {
  const vd least = vset_f64(FL_CTC_LEAST);
  return vdrop(vlt(d, least), FN(emission_of)(vmax(least, d)));
}

/* What a frame's emissions add up to, register by register. */
typedef struct {
  vd sum, low; /* of all but the largest; the smallest logarithm */
  int ties;    /* how many are the largest */
} FN(tally);

FL_INLINE void FN(put_emission)(FN(tally) *tally, vd d, vd v, double *e, int logs) {
  const md is_top = veq(d, vset_f64(0));
  vstore(e, logs ? d : v);
  tally->ties += vcount_f64(is_top);
  tally->sum += vdrop(is_top, v);
}

/* Emissions with any logarithm, 0 under FL_CTC_LEAST: the smallest that counts is the smallest finite one of the sample's
   classes. */
static void FN(emissions_apart)(const fl_ctc *job, const R *x, ptrdiff_t n, vd m, int logs, double *e, FN(tally) *tally) {
  const vd zero = vset_f64(0), none = vset_f64(-INFINITY);
  *tally = (FN(tally)){zero, zero, 0};
  for (ptrdiff_t i = 0; i < n; i += LANES_F64) {
    const vd d = FN(wide_at)(x, i, n) - m, needed = vmax(vload(job->need + i), d);
    FN(put_emission)(tally, d, FN(emission_of_any)(d), e + i, logs);
    tally->low = vmin(tally->low, vselect(vlt(none, needed), needed, zero));
  }
}

/* Emissions of one frame (or, with `logs`, their logarithms) from the logits of n columns: returns the sum of all but the one
   that the shift is taken from, and the logarithm of the least. */
FL_INLINE double FN(emissions)(const fl_ctc *job, const R *x, ptrdiff_t n, double shift, int logs, double *e,
                               double *least) {
  const vd m = vset_f64(shift), zero = vset_f64(0), none = vset_f64(-INFINITY);
  FN(tally) tally = {zero, zero, 0};
  ptrdiff_t i = 0;
  for (; i + LANES_F64 <= n; i += LANES_F64) {
    const vd d = FN(wide_at)(x, i, n) - m;
    FN(put_emission)(&tally, d, FN(emission_of)(d), e + i, logs);
    tally.low = vmin(tally.low, d);
  }
  if (i < n) {
    const vd d = FN(wide_at)(x, i, n) - m;
    const md there = vlt(none, d);
    FN(put_emission)(&tally, d, FN(emission_of_any)(d), e + i, logs);
    tally.low = vmin(tally.low, vselect(there, d, zero));
    i += LANES_F64;
  }
  if (!(-vtop(-tally.low) > FL_CTC_QUIET)) FN(emissions_apart)(job, x, n, m, logs, e, &tally);
  for (; i < job->width; i += LANES_F64) vstore(e + i, logs ? none : zero);
  *least = -vtop(-tally.low);
  return vsum_f64(tally.sum) + (tally.ties - 1);
}

/* Partial sums of floats go on in double. */
FL_INLINE void FN(go_on)(vd sum[2], V a, V b) {
#if FL_REAL_BITS == 32
  const V s = a + b;
  sum[0] += vlow(s), sum[1] += vhigh(s);
#else
  sum[0] += a, sum[1] += b;
#endif
}

/* Marks the classes that have a column, for `others`: a bit for each class at the level whose registers take one for each lane,
   else a factor of 0, beside 1 for the others. */
static void FN(mark)(fl_ctc *job) {
#if defined(FL_V4)
  unsigned char *keep = job->keep;
  memset(keep, 0xff, (size_t)(job->C + 7) / 8);
  for (ptrdiff_t u = 0; u < job->U; u++) keep[job->classes[u] / 8] &= (unsigned char)~(1 << job->classes[u] % 8);
#else
  R *keep = job->keep;
  for (ptrdiff_t c = 0; c < job->C; c++) keep[c] = 1;
  for (ptrdiff_t u = 0; u < job->U; u++) keep[job->classes[u]] = 0;
#endif
}

/* The terms of classes i and on that have no column, added to `sum`. */
FL_INLINE V FN(add_others)(V sum, V term, const void *keep, ptrdiff_t i, ptrdiff_t left) {
#if defined(FL_V4)
  M on = 0;
  memcpy(&on, (const char *)keep + i / 8, left >= LANES ? sizeof on : (size_t)(left + 7) / 8);
  if (left < LANES) on &= (M)((1u << left) - 1);
#if FL_REAL_BITS == 32
  return _mm512_mask_add_ps(sum, on, sum, term);
#else
  return _mm512_mask_add_pd(sum, on, sum, term);
#endif
#else
  const R *factor = (const R *)keep + i;
  return vfma(term, left >= LANES ? vload(factor) : vload_part(factor, left, (R)0), sum);
#endif
}

/* The emissions alone, once more. */
FL_INLINE void FN(emissions_again)(const fl_ctc *job, const R *x, ptrdiff_t n, double shift, int logs, double *e) {
  const vd m = vset_f64(shift), none = vset_f64(logs ? -INFINITY : 0);
  ptrdiff_t i = 0;
  for (; i < n; i += LANES_F64) {
    const vd d = FN(wide_at)(x, i, n) - m;
    vstore(e + i, logs ? d : FN(emission_of_any)(d));
  }
  for (; i < job->width; i += LANES_F64) vstore(e + i, none);
}

/* Sum of e^(x - top) over the classes without a column; prefetches the row `ahead` bytes further. */
static double FN(others)(const fl_ctc *job, const R *x, R top, ptrdiff_t ahead) {
  const FN(scaling) s = FN(scaling_of)(top);
  const V shift = FN(vset)(s.shift), low = FN(vset)(s.low), exponent = FN(vset)(s.exponent), zero = FN(vset)(0);
  vd sum[2] = {vset_f64(0), vset_f64(0)};
  ptrdiff_t i = 0;
#define FL_TERM_AT(k) FN(term)(vload(x + i + (k) * LANES), shift, low, exponent)
  for (; i + 4 * LANES <= job->C; i += 4 * LANES) { /* floats in pairs of pairs, then on in double: as in rows/real.h */
    for (int line = 0; line < 4 * FL_BYTES; line += 64) __builtin_prefetch((const char *)(x + i) + ahead + line, 0, 2);
    V a = FN(add_others)(zero, FL_TERM_AT(0), job->keep, i, LANES);
    V b = FN(add_others)(zero, FL_TERM_AT(2), job->keep, i + 2 * LANES, LANES);
    a = FN(add_others)(a, FL_TERM_AT(1), job->keep, i + LANES, LANES);
    b = FN(add_others)(b, FL_TERM_AT(3), job->keep, i + 3 * LANES, LANES);
    FN(go_on)(sum, a, b);
  }
#undef FL_TERM_AT
  for (; i < job->C; i += LANES) {
    const ptrdiff_t left = job->C - i;
    const V v = left >= LANES ? vload(x + i) : vload_part(x + i, left, (R)-INFINITY);
    FN(go_on)(sum, FN(add_others)(zero, FN(term)(v, shift, low, exponent), job->keep, i, left), zero);
  }
  const double total = vsum_f64(sum[0] + sum[1]) * (exp(s.log_scale) * FL_UNBIAS);
  return total < FL_FLUSH ? 0 : total;
}

/* Shift, max (`all`, where some classes have no column) and tail_sum of a frame whose columns are at `x`. An infinite or nan top
   makes tail_sum nan, but where the columns alone are -inf: then nothing that fits the labels has a probability. */
FL_INLINE void FN(measure)(fl_ctc *job, const R *row, double all, const R *x, ptrdiff_t n, int logs, ptrdiff_t k,
                           double *e, double *least, double *others) {
  const double highest = FN(largest)(n, x), shift = highest == -INFINITY ? 0 : highest;
  double tail_sum = FN(emissions)(job, x, n, shift, logs, e, least), top = highest;
  *others = 0;
  if (job->classes && !job->log_probs) {
    top = all;
    const double gap = exp(shift - top), beside = FN(others)(job, row, (R)top, job->x.direct ? job->x.step : 0);
    if (top == highest)
      *others = beside, tail_sum += beside;
    else
      tail_sum = fmax(0.0, (highest == -INFINITY ? 0 : (tail_sum + 1) * gap) + (beside - 1));
    if (beside != beside) tail_sum = beside;
  }
  if (job->log_probs && highest == -INFINITY) top = 0, tail_sum = 0;
  job->shift[k] = shift, job->max[k] = top, job->tail_sum[k] = tail_sum + (top - top);
}

static void FN(frames)(fl_ctc *job, ptrdiff_t t, ptrdiff_t n, int again, int logs) {
  const ptrdiff_t base = job->kept ? t : 0, count = job->U;
  const int read_row = !job->classes || (!again && (!job->log_probs || job->x.direct));
  for (ptrdiff_t f = 0; f < n; f++) {
    const R *row = read_row ? FN(frame_row)(job, t + f) : NULL;
    double top = 0;
    if (job->classes && row && !job->log_probs) top = FN(largest)(job->C, row); /* the whole row comes into the cache */
    const R *x = FN(columns)(job, row, t + f, base + f, again);
    double *e = job->emission + f * job->width;
    if (again)
      FN(emissions_again)(job, x, count, job->shift[base + f], logs, e);
    else
      FN(measure)(job, row, top, x, count, logs, base + f, e, job->least + f, job->others + f);
  }
  if (again) return;
  for (ptrdiff_t f = 0; f < n; f += LANES_F64) {
    const ptrdiff_t left = n - f;
    const vd gap = vload_up_to(job->max + base + f, left, 0.0) - vload_up_to(job->shift + base + f, left, 0.0);
    const vd log = vlog1p_f64(vload_up_to(job->tail_sum + base + f, left, 0.0)); /* floats too: sums of them may cancel */
    vstore_up_to(job->log_total + f, left, job->classes && !job->log_probs ? gap + log : log);
  }
}

/* ---- the gradient ------------------------------------------------------------------------------------------------- */

FL_INLINE R *FN(gradient_row)(const fl_ctc *job, ptrdiff_t t) {
  return job->grad.direct ? (R *)(void *)(job->grad.data + t * job->grad.step) : (R *)job->out;
}

FL_INLINE void FN(put_row)(const fl_ctc *job, ptrdiff_t t) {
  if (job->grad.direct) return;
  FN(store_run)(job->grad.type, job->grad.data + t * job->grad.step, job->grad.class_step, job->C, job->out);
}

static void FN(fill)(fl_ctc *job, ptrdiff_t t, ptrdiff_t n, double value) {
  for (; n > 0; t++, n--) {
    R *out = FN(gradient_row)(job, t);
    for (ptrdiff_t c = 0; c < job->C; c++) out[c] = (R)value;
    FN(put_row)(job, t);
  }
}

/* With probabilities e unit and occupation probabilities g FL_CTC_UNIT: scale times their difference, in place of g. The
   likeliest column, if it is the only one with e = 1, gets the sum of what all others differ by, so that it keeps its digits
   where it is nearly 0; `tail_sum` is the sum of the others' probabilities, over unit. */
FL_INLINE void FN(differences)(const fl_ctc *job, const double *e, double *g, double unit, double tail_sum,
                               int top_is_column) {
  const vd u = vset_f64(unit * job->scale), one = vset_f64(1), down = vset_f64(-FL_CTC_UNIT * job->scale);
  vd beside = vset_f64(0);
  ptrdiff_t top = -1;
  int ties = 0;
  for (ptrdiff_t i = 0; i < job->U; i += LANES_F64) {
    const vd ei = vload(e + i), gi = vload(g + i);
    const md is_top = veq(ei, one);
    const int some = vcount_f64(is_top);
    if (some) ties += some, top = i;
    beside += vdrop(is_top, gi);
    vstore(g + i, vfma(gi, down, ei * u));
  }
  if (ties != 1 || !top_is_column) return;
  while (e[top] != 1) top++;
  g[top] = job->scale * (vsum_f64(beside) * FL_CTC_UNIT - tail_sum * unit);
}

/* n doubles to the computation type. */
FL_INLINE void FN(put_gradient)(R *out, const double *g, ptrdiff_t n) {
  ptrdiff_t i = 0;
#if FL_REAL_BITS == 32
  for (; i + LANES <= n; i += LANES) vstore(out + i, vnarrow(vload(g + i), vload(g + i + LANES_F64)));
#endif
  for (; i < n; i++) out[i] = (R)g[i];
}

/* The whole row's probabilities times scale; prefetches the rows before, which come next: of logits and of gradients. */
static void FN(probabilities)(const fl_ctc *job, const R *x, R top, double scale, R *out) {
  const FN(scaling) s = FN(scaling_of)(top);
  const V shift = FN(vset)(s.shift), low = FN(vset)(s.low), exponent = FN(vset)(s.exponent);
  const V factor = FN(vset)((R)(scale * exp(s.log_scale) * FL_UNBIAS));
  const ptrdiff_t back = job->x.direct ? job->x.step : 0, back_out = job->grad.direct ? job->grad.step : 0;
  ptrdiff_t i = 0;
  for (; i + LANES <= job->C; i += LANES) {
    __builtin_prefetch((const char *)(x + i) - back, 0, 2);
    __builtin_prefetch((const char *)(out + i) - back_out, 1, 2);
    vstore(out + i, FN(term)(vload(x + i), shift, low, exponent) * factor);
  }
  if (i < job->C) {
    const V v = FN(term)(vload_part(x + i, job->C - i, (R)0), shift, low, exponent) * factor;
    vstore_part(out + i, job->C - i, v);
  }
}

static void FN(grad)(fl_ctc *job, ptrdiff_t t, ptrdiff_t n) {
  for (ptrdiff_t f = n - 1; f >= 0; f--) {
    const ptrdiff_t at = t + f;
    const double *e = job->emission + f * job->width;
    const double tail_sum = job->tail_sum[at], gap = job->shift[at] - job->max[at];
    double *g = job->occupied + f * job->width;
    R *out = FN(gradient_row)(job, at);
    if (job->log_probs) {
      if (job->classes) memset(out, 0, (size_t)job->C * sizeof(R));
      for (ptrdiff_t u = 0; u < job->U; u++)
        out[job->classes ? job->classes[u] : u] = (R)(-job->scale * (g[u] * FL_CTC_UNIT));
      FN(put_row)(job, at);
      continue;
    }
    const double share = 1 / (1 + tail_sum), unit = gap == 0 ? share : exp(gap) * share;
    FN(differences)(job, e, g, unit, tail_sum, gap == 0);
    if (!job->classes) {
      FN(put_gradient)(out, g, job->C);
    } else {
      FN(probabilities)(job, FN(frame_row)(job, at), (R)job->max[at], job->scale * share, out);
      for (ptrdiff_t u = 0; u < job->U; u++) out[job->classes[u]] = (R)g[u];
    }
    FN(put_row)(job, at);
  }
}

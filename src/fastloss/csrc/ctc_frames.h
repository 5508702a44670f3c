/* Frames of CTC: rows of logits in, emissions out, and the gradient's rows. Included by ctc.c once per type.
 *
 * An emission is e^(x - shift), where the shift is the frame's largest logit among the columns: it is at most 1, and exactly 1 for the
 * likeliest, so that a confident path multiplies by 1 and nothing accumulates. Emissions are doubles, those of floats too (to
 * 5e-12). The normaliser is made of the same numbers: where two classes that both fit the labels share a frame, errors of their
 * exponentials cancel against it. Classes without a column (a wide row's, that the labels do not use) are added up in the
 * computation type, as in rows.h: whatever probability they have is missing from the alignments, so that the loss is never smaller
 * than what they contribute.
 */

/* The C classes of frame t, contiguous. */
FL_INLINE const R *FN(frame_row)(fl_ctc *job, ptrdiff_t t) {
  const char *at = job->x.data + t * job->x.step;
  if (job->x.direct) return (const R *)(const void *)at;
  FN(load_run)(job->x.type, at, job->x.class_step, job->C, job->row);
  return job->row;
}

/* The logits of the columns, one after another: where all classes have one, the row itself. */
static const R *FN(columns)(fl_ctc *job, const R *row, ptrdiff_t t) {
  if (!job->classes) return row;
  R *picked = job->picked;
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
  V a = none, b = none;
  ptrdiff_t i = 0;
  for (; i + 2 * LANES <= n; i += 2 * LANES) a = vmax(a, vload(x + i)), b = vmax(b, vload(x + i + LANES));
  for (; i + LANES <= n; i += LANES) a = vmax(a, vload(x + i));
  if (i < n) b = vmax(b, vload_part(x + i, n - i, (R)-INFINITY));
  return vtop(vmax(a, b));
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
  const vd k = vfma(d, vset_f64(FL_LOG2E), vset_f64(FL_ROUND_F64)) - FL_ROUND_F64;
  const vd r = vfma(k, vset_f64(-FL_LN2_LOW_F64), vfma(k, vset_f64(-FL_LN2_HIGH_F64), d));
  return vscale(FL_POLY_F64(r, FL_EXP_SHORT), k);
#else
  vd k;
  const vd p = vexp_parts(d, &k);
  return vscale(p, k);
#endif
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

/* Emissions with any logarithm, 0 under FL_CTC_LEAST: the smallest that counts is the smallest finite one of the sample's classes. */
static void FN(emissions_apart)(const fl_ctc *job, const R *x, ptrdiff_t n, vd m, int logs, double *e, FN(tally) *tally) {
  const vd zero = vset_f64(0), none = vset_f64(-INFINITY), least = vset_f64(FL_CTC_LEAST);
  *tally = (FN(tally)){zero, zero, 0};
  for (ptrdiff_t i = 0; i < n; i += LANES_F64) {
    const vd d = FN(wide_at)(x, i, n) - m, needed = vmax(vload(job->need + i), d);
    FN(put_emission)(tally, d, vdrop(vlt(d, least), FN(emission_of)(vmax(least, d))), e + i, logs);
    tally->low = vmin(tally->low, vselect(vlt(none, needed), needed, zero));
  }
}

/* Emissions of one frame (or, with `logs`, their logarithms) from the logits of n columns: returns the sum of all but the one that the
   shift is taken from, and the logarithm of the least. */
FL_INLINE double FN(emissions)(const fl_ctc *job, const R *x, ptrdiff_t n, double shift, int logs, double *e, double *least) {
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
    FN(put_emission)(&tally, d, vdrop(vlt(d, vset_f64(FL_CTC_LEAST)), FN(emission_of)(vmax(vset_f64(FL_CTC_LEAST), d))), e + i, logs);
    tally.low = vmin(tally.low, vselect(there, d, zero));
    i += LANES_F64;
  }
  if (!(-vtop(-tally.low) > FL_CTC_QUIET)) FN(emissions_apart)(job, x, n, m, logs, e, &tally);
  for (; i < job->width; i += LANES_F64) vstore(e + i, logs ? none : zero);
  *least = -vtop(-tally.low);
  return vsum_f64(tally.sum) + (tally.ties - 1);
}

/* Sum of e^(x - top) over the classes without a column; meanwhile fetches the row `ahead` bytes further. */
static double FN(others)(const fl_ctc *job, const R *x, R top, ptrdiff_t ahead) {
  const FN(scaling) s = FN(scaling_of)(top);
  const V shift = FN(vset)(s.shift), low = FN(vset)(s.low), exponent = FN(vset)(s.exponent);
  const R *keep = job->keep;
  vd sum[2] = {vset_f64(0), vset_f64(0)};
  ptrdiff_t i = 0;
  for (; i < job->C; i += 4 * LANES) {
    V part = FN(vset)(0);
    for (int line = 0; line < 4 * FL_BYTES; line += 64) __builtin_prefetch((const char *)(x + i) + ahead + line);
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
      const ptrdiff_t at = i + k * LANES, left = job->C - at;
      if (left <= 0) break;
      const V v = left >= LANES ? vload(x + at) : vload_part(x + at, left, (R)-INFINITY);
      const V on = left >= LANES ? vload(keep + at) : vload_part(keep + at, left, (R)0);
      part = vfma(FN(term)(v, shift, low, exponent), on, part);
    }
#if FL_REAL_BITS == 32
    sum[0] += vlow(part), sum[1] += vhigh(part);
#else
    sum[(i / (4 * LANES)) & 1] += part;
#endif
  }
  const double total = vsum_f64(sum[0] + sum[1]) * (exp(s.unit) * FL_UNBIAS);
  return total < FL_FLUSH ? 0 : total;
}

/* Shift, top and rest of a frame whose columns are at `x`. An infinite or nan top makes rest nan, but where the columns alone are -inf:
   then nothing that fits the labels has a probability. */
FL_INLINE void FN(measure)(fl_ctc *job, const R *row, const R *x, ptrdiff_t n, int logs, ptrdiff_t k, double *e, double *least) {
  const double highest = FN(largest)(n, x), shift = highest == -INFINITY ? 0 : highest;
  double rest = FN(emissions)(job, x, n, shift, logs, e, least), top = highest;
  if (job->classes && !job->log_probs) {
    top = FN(largest)(job->C, row);
    const double gap = exp(shift - top), beside = FN(others)(job, row, (R)top, job->x.direct ? job->x.step : 0);
    if (top == highest)
      rest += beside;
    else
      rest = fmax(0.0, (highest == -INFINITY ? 0 : (rest + 1) * gap) + (beside - 1));
    if (beside != beside) rest = beside;
  }
  if (job->log_probs && highest == -INFINITY) top = 0, rest = 0;
  job->shift[k] = shift, job->top[k] = top, job->rest[k] = rest + (top - top);
}

static void FN(frames)(fl_ctc *job, ptrdiff_t t, ptrdiff_t n, int again, int logs) {
  const ptrdiff_t base = job->kept ? t : 0, count = job->U;
  const int read_row = !job->classes || !job->log_probs || job->x.direct;
  for (ptrdiff_t f = 0; f < n; f++) {
    const R *row = read_row ? FN(frame_row)(job, t + f) : NULL, *x = FN(columns)(job, row, t + f);
    double *e = job->emission + f * job->width;
    if (again)
      FN(emissions)(job, x, count, job->shift[base + f], logs, e, job->least + f);
    else
      FN(measure)(job, row, x, count, logs, base + f, e, job->least + f);
  }
  if (again) return;
  for (ptrdiff_t f = 0; f < n; f += LANES_F64) {
    const ptrdiff_t left = n - f;
    const vd gap = vload_up_to(job->top + base + f, left, 0.0) - vload_up_to(job->shift + base + f, left, 0.0);
    const vd log = FL_LOG1P_ROW(vload_up_to(job->rest + base + f, left, 0.0));
    vstore_up_to(job->log_total + f, left, job->classes && !job->log_probs ? gap + log : log);
  }
}

/* ---- the gradient ------------------------------------------------------------------------------------------------- */

FL_INLINE R *FN(slope_row)(const fl_ctc *job, ptrdiff_t t) {
  return job->grad.direct ? (R *)(void *)(job->grad.data + t * job->grad.step) : (R *)job->out;
}

FL_INLINE void FN(put_row)(const fl_ctc *job, ptrdiff_t t) {
  if (job->grad.direct) return;
  FN(store_run)(job->grad.type, job->grad.data + t * job->grad.step, job->grad.class_step, job->C, job->out);
}

static void FN(fill)(fl_ctc *job, ptrdiff_t t, ptrdiff_t n, double value) {
  for (; n > 0; t++, n--) {
    R *out = FN(slope_row)(job, t);
    for (ptrdiff_t c = 0; c < job->C; c++) out[c] = (R)value;
    FN(put_row)(job, t);
  }
}

/* With probabilities e unit and occupation probabilities g FL_CTC_UNIT: scale times their difference. At the likeliest column,
   if it is the only one with e = 1, that is the sum of what all others differ by, so that it keeps its digits where it is nearly 0: then
   returns its number, and the slope there in *won. */
FL_INLINE ptrdiff_t FN(differences)(const fl_ctc *job, const double *e, const double *g, double unit, double rest,
                                    double *out, double *won) {
  const vd u = vset_f64(unit), s = vset_f64(job->scale), one = vset_f64(1), down = vset_f64(-FL_CTC_UNIT);
  vd beside = vset_f64(0), ties = beside;
  for (ptrdiff_t i = 0; i < job->width; i += LANES_F64) {
    const vd ei = vload(e + i), gi = vload(g + i);
    const md is_top = veq(ei, one);
    ties = vtally(ties, is_top);
    beside += vdrop(is_top, gi);
    vstore(out + i, s * vfma(gi, down, ei * u));
  }
  if (vsum_f64(ties) != 1) return -1;
  *won = job->scale * (vsum_f64(beside) * FL_CTC_UNIT - rest * unit);
  ptrdiff_t i = 0;
  while (e[i] != 1) i++;
  return i;
}

/* The whole row's probabilities times scale; meanwhile fetches the rows before, which come next: of logits and of slopes. */
static void FN(probabilities)(const fl_ctc *job, const R *x, R top, double scale, R *out) {
  const FN(scaling) s = FN(scaling_of)(top);
  const V shift = FN(vset)(s.shift), low = FN(vset)(s.low), exponent = FN(vset)(s.exponent);
  const V factor = FN(vset)((R)(scale * exp(s.unit) * FL_UNBIAS));
  const ptrdiff_t back = job->x.direct ? job->x.step : 0, back_out = job->grad.direct ? job->grad.step : 0;
  ptrdiff_t i = 0;
  for (; i + LANES <= job->C; i += LANES) {
    __builtin_prefetch((const char *)(x + i) - back);
    __builtin_prefetch((const char *)(out + i) - back_out, 1);
    vstore(out + i, FN(term)(vload(x + i), shift, low, exponent) * factor);
  }
  if (i < job->C) {
    const V v = FN(term)(vload_part(x + i, job->C - i, (R)0), shift, low, exponent) * factor;
    vstore_part(out + i, job->C - i, v);
  }
}

static void FN(slopes)(fl_ctc *job, ptrdiff_t t, ptrdiff_t n) {
  for (ptrdiff_t f = n - 1; f >= 0; f--) {
    const ptrdiff_t at = t + f;
    const double *e = job->emission + f * job->width;
    const double rest = job->rest[at], gap = job->shift[at] - job->top[at];
    double *g = job->occupied + f * job->width;
    R *out = FN(slope_row)(job, at);
    if (job->log_probs) {
      if (job->classes) memset(out, 0, (size_t)job->C * sizeof(R));
      for (ptrdiff_t u = 0; u < job->U; u++)
        out[job->classes ? job->classes[u] : u] = (R)(-job->scale * (g[u] * FL_CTC_UNIT));
      FN(put_row)(job, at);
      continue;
    }
    const double share = 1 / (1 + rest), unit = gap == 0 ? share : exp(gap) * share;
    double won;
    const ptrdiff_t top = FN(differences)(job, e, g, unit, rest, g, &won);
    if (top >= 0 && gap == 0) g[top] = won;
    if (!job->classes) {
      for (ptrdiff_t c = 0; c < job->C; c++) out[c] = (R)g[c];
    } else {
      FN(probabilities)(job, FN(frame_row)(job, at), (R)job->top[at], job->scale * share, out);
      for (ptrdiff_t u = 0; u < job->U; u++) out[job->classes[u]] = (R)g[u];
    }
    FN(put_row)(job, at);
  }
}

/* CTC with logarithms of everything: for the samples of which linear space has lost too much. Included by ctc.c once.
 *
 * The same steps as in ctc_linear.h; -inf stands for 0. About ten times as slow, never out of range.
 */

/* log(e^a + e^b + e^c) */
FL_INLINE vd log_add(vd a, vd b, vd c) {
  const vd none = vset_f64(-INFINITY), top = vmax(vmax(a, b), c);
  const md empty = veq(top, none);
  const vd base = vdrop(empty, top);
  const vd sum = vexp(a - base) + vexp(b - base) + vexp(c - base);
  return vselect(empty, none, base + vlog(vselect(empty, vset_f64(1), sum)));
}

static double log_add_two(double a, double b) {
  const double top = fmax(a, b);
  return top == -INFINITY ? top : a != a || b != b ? NAN : top + log1p(exp(fmin(a, b) - top));
}

static void log_begin(fl_ctc *job) { states_begin(job, -INFINITY, 0); }

static void log_forward(fl_ctc *job, ptrdiff_t t, ptrdiff_t n) {
  const ptrdiff_t P = job->P;
  const vd none = vset_f64(-INFINITY), half = vset_f64(0.5);
  for (ptrdiff_t f = 0; f < n; f++, t++) {
    const double *e = job->emission + f * job->width;
    states_extend(job, t, -INFINITY);
    const double *from = states_before(job, t);
    double *to = states_after(job, t);
    const vd eb = vset_f64(e[job->blank]);
    vd before = none;
    for (ptrdiff_t i = job->low; i < job->high; i += LANES_F64) {
      const vd label = vload(from + i), b = vload(from + P + i), left = shift_up(before, label);
      const vd skipped = vselect(vlt(half, vload(job->skip + i)), left, none);
      before = label;
      vstore(to + P + i, log_add(b, left, none) + eb);
      vstore(to + i, log_add(label, b, skipped) + emitted(e, job->column + i));
    }
    states_drop(job, t, -INFINITY);
    states_account(job, t, f);
  }
}

static double log_total_of(const fl_ctc *job) {
  return log_add_two(last_label(job, -INFINITY), last_blank(job, -INFINITY));
}

static void log_end(fl_ctc *job) { states_finish(job, log_total_of(job)); }

/* beta is divided by the sum over all alignments: alpha + beta is the logarithm of an occupation probability. */
static void log_turn(fl_ctc *job) {
  const double total = log_total_of(job);
  for (ptrdiff_t i = 0; i < 2 * job->P; i++) job->beta[i] = -INFINITY;
  job->beta[job->P + job->S] = -total;
  if (job->S) job->beta[job->S - 1] = -total;
}

static double log_back(fl_ctc *job, ptrdiff_t t, const double *e) {
  const ptrdiff_t P = job->P;
  const double *alpha = states_after(job, t);
  double *beta = job->beta, *posterior = job->posterior;
  const vd none = vset_f64(-INFINITY), half = vset_f64(0.5), eb = vset_f64(e[job->blank]), unit = vset_f64(FL_CTC_SUM);
  vd next_skip = none, next_blank = none, sum = vset_f64(0);
  for (ptrdiff_t i = job->to[t] - LANES_F64; i >= job->from[t]; i -= LANES_F64) {
    const vd bl = vload(beta + i), bb = vload(beta + P + i);
    const vd gb = vexp(vload(alpha + P + i) + bb) * unit;
    const vd label = bl + emitted(e, job->column + i), blank_here = bb + eb;
    const vd skipped = vselect(vlt(half, vload(job->skip + i)), label, none);
    vstore(posterior + i, vexp(vload(alpha + i) + bl) * unit);
    vstore(posterior + P + i, gb);
    sum += gb;
    vstore(beta + P + i, log_add(blank_here, label, none));
    vstore(beta + i, log_add(label, shift_down(blank_here, next_blank), shift_down(skipped, next_skip)));
    next_skip = skipped, next_blank = blank_here;
  }
  return vsum_f64(sum);
}

static void log_backward(fl_ctc *job, ptrdiff_t t, ptrdiff_t n) {
  for (ptrdiff_t f = n - 1; f >= 0; f--) {
    const ptrdiff_t at = t + f;
    const double *e = job->emission + f * job->width;
    const double blanks = log_back(job, at, e);
    if (job->posteriors) states_report(job, at, job->from[at], job->to[at], FL_CTC_UNIT);
    if (job->occupied) occupy(job, job->from[at], job->to[at], job->occupied + f * job->width, blanks);
  }
}

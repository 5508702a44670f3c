/* CTC with logarithms of everything: for samples of which too much underflowed in linear space. Included by ctc.c once.
 *
 * The same steps as in linear.h; -inf stands for 0. About ten times as slow, never out of range.
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

static void log_begin(fl_ctc *job) {
  states_begin(job, -INFINITY, 0);
  job->taken = job->taken_lost = 0;
}

/* Subtracts the maximum of entries [low, high) of two rows from all of them, so that what matters keeps its digits; returns it. */
static double take_out(double *row, ptrdiff_t P, ptrdiff_t low, ptrdiff_t high) {
  vd most = vset_f64(-INFINITY);
  for (int part = 0; part < 2; part++)
    for (ptrdiff_t i = low; i < high; i += LANES_F64) most = vmax(most, vload(row + part * P + i));
  const double top = vtop(most);
  if (top - top != 0) return 0; /* nothing is left, or nan */
  for (int part = 0; part < 2; part++)
    for (ptrdiff_t i = low; i < high; i += LANES_F64) vstore(row + part * P + i, vload(row + part * P + i) - top);
  return top;
}

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
    add_neumaier(&job->taken, &job->taken_lost, take_out(to, P, job->low, job->high));
    states_account(job, t, f);
  }
}

static void log_end(fl_ctc *job) {
  const double last = log_add_two(last_label(job, -INFINITY), last_blank(job, -INFINITY));
  states_finish(job, last + sum_of(job->taken, job->taken_lost));
}

static void log_turn(fl_ctc *job) {
  for (ptrdiff_t i = 0; i < 2 * job->P; i++) job->beta[i] = -INFINITY;
  job->beta[job->P + job->S] = 0;
  if (job->S) job->beta[job->S - 1] = 0;
}

/* beta of the frame before; alpha + beta are left in `posterior`. Only their differences count: see occupation. */
static void log_back(fl_ctc *job, ptrdiff_t t, const double *e) {
  const ptrdiff_t P = job->P;
  const double *alpha = states_after(job, t);
  double *beta = job->beta, *posterior = job->posterior;
  const vd none = vset_f64(-INFINITY), half = vset_f64(0.5), eb = vset_f64(e[job->blank]);
  vd next_skip = none, next_blank = none;
  for (ptrdiff_t i = job->to[t] - LANES_F64; i >= job->from[t]; i -= LANES_F64) {
    const vd bl = vload(beta + i), bb = vload(beta + P + i);
    const vd label = bl + emitted(e, job->column + i), blank = bb + eb;
    const vd skipped = vselect(vlt(half, vload(job->skip + i)), label, none);
    vstore(posterior + i, vload(alpha + i) + bl);
    vstore(posterior + P + i, vload(alpha + P + i) + bb);
    vstore(beta + P + i, log_add(blank, label, none));
    vstore(beta + i, log_add(label, shift_down(blank, next_blank), shift_down(skipped, next_skip)));
    next_skip = skipped, next_blank = blank;
  }
  take_out(beta, P, job->from[t], job->to[t]);
}

/* Of the logarithms in `posterior` their share of the sum, times 2^UNIT; returns the blanks'. */
static double occupation(fl_ctc *job, ptrdiff_t low, ptrdiff_t high) {
  double *row = job->posterior;
  vd sum[2] = {vset_f64(0), vset_f64(0)};
  take_out(row, job->P, low, high);
  for (int part = 0; part < 2; part++)
    for (ptrdiff_t i = low; i < high; i += LANES_F64) {
      const vd p = vexp(vload(row + part * job->P + i));
      sum[part] += p;
      vstore(row + part * job->P + i, p);
    }
  const double unit = FL_CTC_SUM / vsum_f64(sum[0] + sum[1]);
  for (int part = 0; part < 2; part++)
    for (ptrdiff_t i = low; i < high; i += LANES_F64)
      vstore(row + part * job->P + i, vload(row + part * job->P + i) * unit);
  return vsum_f64(sum[1]) * unit;
}

static void log_backward(fl_ctc *job, ptrdiff_t t, ptrdiff_t n) {
  for (ptrdiff_t f = n - 1; f >= 0; f--) {
    const ptrdiff_t at = t + f, low = job->from[at], high = job->to[at];
    log_back(job, at, job->emission + f * job->width);
    const double blanks = occupation(job, low, high);
    if (job->posteriors) states_report(job, at, low, high, FL_CTC_UNIT);
    if (job->occupied) occupy(job, low, high, job->occupied + f * job->width, blanks);
  }
}

/* CTC of confident samples, in double-double arithmetic. Included by ctc.c once.
 *
 * A loss near 0 is what the alignments' probabilities lack of 1, and a sum that rounds at 2^-53 in every frame does not know it:
 * of a loss of 1e-9 over 5000 frames four digits would be left. So where the loss is small, alignments (A) and the product of the
 * frames' sums (Q) are computed once more, each as a double-double, and the loss is -log(1 - (Q - A) / Q). Emissions are the
 * same doubles in both, so that their own errors count by the small loss only.
 */

FL_INLINE vdd dd_load(const double *hi, const double *lo) { return (vdd){vload(hi), vload(lo)}; }
/* What has underflowed for all purposes is 0, before it becomes a denormal number. */
FL_INLINE void dd_store(double *hi, double *lo, vdd a) {
  const md tiny = vlt(a.hi, vset_f64(0x1p-600));
  vstore(hi, vdrop(tiny, a.hi)), vstore(lo, vdrop(tiny, a.lo));
}

/* The sum of a frame's emissions, and of `others`, the classes that have no column. */
static fl_dd frame_sum(const fl_ctc *job, const double *e, double others) {
  const vd zero = vset_f64(0);
  vdd sum = {zero, zero};
  fl_dd all = {others, 0};
  for (ptrdiff_t i = 0; i < job->width; i += LANES_F64) sum = dd_add(sum, ((vdd){vload(e + i), zero}));
  for (int k = 0; k < LANES_F64; k++) all = dd_add(all, ((fl_dd){sum.hi[k], sum.lo[k]}));
  return all;
}

/* Rows of P: labels and blanks, then their lower halves. */
static void exact_begin(fl_ctc *job) {
  memset(job->exact, 0, 4 * (size_t)job->P * sizeof(double));
  job->exact[job->P] = 1;
  job->product = 1, job->product_lost = 0;
  job->power = 0, job->offset = job->offset_lost = 0;
}

static void exact_forward(fl_ctc *job, ptrdiff_t t, ptrdiff_t n) {
  const ptrdiff_t P = job->P;
  double *label = job->exact, *blank = label + P, *label_low = blank + P, *blank_low = label_low + P;
  const vd zero = vset_f64(0), half = vset_f64(0.5);
  for (ptrdiff_t f = 0; f < n; f++) {
    const double *e = job->emission + f * job->width;
    const vd eb = vset_f64(e[job->blank]);
    vdd before = {zero, zero};
    for (ptrdiff_t i = 0; i < P; i += LANES_F64) {
      const vdd l = dd_load(label + i, label_low + i), b = dd_load(blank + i, blank_low + i);
      const vdd left = {shift_up(before.hi, l.hi), shift_up(before.lo, l.lo)};
      const md stays = vlt(vload(job->skip + i), half);
      const vdd skipped = {vdrop(stays, left.hi), vdrop(stays, left.lo)};
      before = l;
      dd_store(blank + i, blank_low + i, dd_scale(dd_add(b, left), eb));
      dd_store(label + i, label_low + i, dd_scale(dd_add(dd_add(l, b), skipped), emitted(e, job->column + i)));
    }
    const fl_dd sum = frame_sum(job, e, job->others[f]),
                product = dd_scale(((fl_dd){job->product, job->product_lost}), sum.hi);
    const fl_dd q = dd_add(product, ((fl_dd){job->product * sum.lo, 0}));
    job->product = q.hi, job->product_lost = q.lo;
    add_neumaier(&job->offset, &job->offset_lost, job->shift[job->kept ? t + f : f]);
    if (job->product < 0x1p500) continue;
    for (ptrdiff_t i = 0; i < 4 * P; i++) label[i] *= 0x1p-500;
    job->product *= 0x1p-500, job->product_lost *= 0x1p-500, job->power -= 500;
  }
}

static void exact_end(fl_ctc *job) {
  const double *row = job->exact;
  const ptrdiff_t P = job->P, S = job->S;
  fl_dd sum = {row[P + S], row[3 * P + S]};
  if (S) sum = dd_add(sum, ((fl_dd){row[S - 1], row[2 * P + S - 1]}));
  if (job->log_probs) {
    int k;
    const double fraction = frexp(sum.hi, &k);
    if (fraction < M_SQRT1_2) k--;
    const double rest = (ldexp(sum.hi, -k) - 1) + ldexp(sum.lo, -k);
    job->loss = (-job->offset - (double)(k - job->power) * FL_LN2) - job->offset_lost - log1p(rest);
    return;
  }
  const double lack = (job->product - sum.hi) + (job->product_lost - sum.lo);
  job->loss = lack > 0 ? -log1p(-lack / job->product) : 0;
}

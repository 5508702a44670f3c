/* CTC of confident samples, with numbers of twice a double's length. Included by ctc.c once.
 *
 * A loss near 0 is what the alignments' probabilities lack of 1, and a sum that rounds at 2^-53 in every frame does not know it:
 * of a loss of 1e-9 over 5000 frames four digits would be left. So where the loss is small, alignments (A) and the product of the
 * frames' sums (Q) are computed once more, each as a sum of two doubles, and the loss is -log(1 - (Q - A) / Q). Emissions are the
 * same doubles in both, so that their own errors count by the small loss only.
 */
typedef struct {
  vd high, low;
} pair;

FL_INLINE pair pair_add(pair a, pair b) {
  vd lost;
  const vd s = fl_plus_lost(a.high, b.high, &lost);
  lost += a.low + b.low;
  const vd sum = s + lost;
  return (pair){sum, lost - (sum - s)};
}
FL_INLINE pair pair_times(pair a, vd by) {
  const vd p = a.high * by, lost = fl_product_lost(a.high, by, p) + a.low * by, sum = p + lost;
  return (pair){sum, lost - (sum - p)};
}
FL_INLINE pair pair_load(const double *high, const double *low) { return (pair){vload(high), vload(low)}; }
/* What is too small to matter is 0, before it becomes a denormal number. */
FL_INLINE void pair_store(double *high, double *low, pair a) {
  const md gone = vlt(a.high, vset_f64(0x1p-600));
  vstore(high, vdrop(gone, a.high)), vstore(low, vdrop(gone, a.low));
}

typedef struct {
  double high, low;
} pair_one;

FL_INLINE pair_one one_add(pair_one a, double b, double b_low) {
  const double s = a.high + b, back = s - a.high, lost = (a.high - (s - back)) + (b - back) + (a.low + b_low),
               sum = s + lost;
  return (pair_one){sum, lost - (sum - s)};
}
FL_INLINE pair_one one_times(pair_one a, pair_one b) {
  const pair x = {vset_f64(a.high), vset_f64(a.low)}, p = pair_times(x, vset_f64(b.high));
  return one_add((pair_one){p.high[0], p.low[0]}, a.high * b.low, 0);
}

/* The sum of a frame's emissions, and of what has no column. */
static pair_one frame_sum(const fl_ctc *job, const double *e, double others) {
  pair sum = {vset_f64(0), vset_f64(0)};
  pair_one all = {others, 0};
  for (ptrdiff_t i = 0; i < job->width; i += LANES_F64) sum = pair_add(sum, (pair){vload(e + i), vset_f64(0)});
  for (int k = 0; k < LANES_F64; k++) all = one_add(all, sum.high[k], sum.low[k]);
  return all;
}

/* Rows of P: labels and blanks, then what they lack. */
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
    pair before = {zero, zero};
    for (ptrdiff_t i = 0; i < P; i += LANES_F64) {
      const pair l = pair_load(label + i, label_low + i), b = pair_load(blank + i, blank_low + i);
      const pair left = {shift_up(before.high, l.high), shift_up(before.low, l.low)};
      const md stays = vlt(vload(job->skip + i), half);
      const pair skipped = {vdrop(stays, left.high), vdrop(stays, left.low)};
      before = l;
      pair_store(blank + i, blank_low + i, pair_times(pair_add(b, left), eb));
      pair_store(label + i, label_low + i, pair_times(pair_add(pair_add(l, b), skipped), emitted(e, job->column + i)));
    }
    const pair_one q = one_times((pair_one){job->product, job->product_lost}, frame_sum(job, e, job->others[f]));
    job->product = q.high, job->product_lost = q.low;
    add_to(&job->offset, &job->offset_lost, job->shift[job->kept ? t + f : f]);
    if (job->product < 0x1p500) continue;
    for (ptrdiff_t i = 0; i < 4 * P; i++) label[i] *= 0x1p-500;
    job->product *= 0x1p-500, job->product_lost *= 0x1p-500, job->power -= 500;
  }
}

static void exact_end(fl_ctc *job) {
  const double *row = job->exact;
  const ptrdiff_t P = job->P, S = job->S;
  pair_one sum = {row[P + S], row[3 * P + S]};
  if (S) sum = one_add(sum, row[S - 1], row[2 * P + S - 1]);
  if (job->log_probs) {
    int k;
    double part = frexp(sum.high, &k);
    if (part < M_SQRT1_2) k--;
    const double rest = (ldexp(sum.high, -k) - 1) + ldexp(sum.low, -k);
    job->loss = (-job->offset - (double)(k - job->power) * FL_LN2) - job->offset_lost - log1p(rest);
    return;
  }
  const double lack = (job->product - sum.high) + (job->product_lost - sum.low);
  job->loss = lack > 0 ? -log1p(-lack / job->product) : 0;
}

/* CTC in linear space. Included by ctc.c once.
 *
 * States are kept times 2^power, in double, so that the largest lies near 2^TOP; they are looked at every few frames. What may then
 * be lost is bounded, not guessed:
 *
 * 1. What is lost. A frame's emission of a class is either 0 (a logit of -inf) or at least e^least. So a state that is not truly 0
 *    lies, after a frame, no lower than the least one before times e^least: `room` keeps the logarithm of that bound. While it stays above
 *    FLOOR nothing at all has been lost. A frame in which it does not is an event: each of its 2 S + 1 states may have lost up to
 *    2^FLOOR (what is smaller is treated as 0 on the way back too). So is a look at the states that sets those under 2^FLUSH to 0,
 *    to make room, and a frame with emissions under e^LEAST, which are 0: a state is at most 2^MOST, so that 2^MISSED is lost.
 * 2. What it is worth. From a state, different paths of states spell different sequences of classes (stay, move on to the blank,
 *    skip to a different label: the class tells which). So the probabilities of all continuations add up to 1 at the most, those of
 *    continuations not normalised to the product of the frames' sums. Hence a loss of 2^k in frame t, at power p, takes from the
 *    likelihood no more than 2^(k - p) / (product of the sums up to t): `normal` is the logarithm of that product.
 * 3. What counts. All events together, (events) (2 S + 2) 2^worst, are compared with the likelihood itself at the end. Where they
 *    are not below rounding the sample is done again with logarithms (ctc_log.h).
 *
 * On the way back beta is kept times 2^-power and a constant, so that alpha beta adds up to 2^UNIT in each frame. Where alpha is at
 * least 2^FLOOR, beta is at most 2^(UNIT - FLOOR): no overflow; elsewhere it counts as 0, as 1. says. A beta that is flushed was worth
 * 2^(MOST - 1022 - UNIT), under 2^-70, of an occupation probability, so the gradient needs no other bound.
 */
enum {
  TOP = 980,      /* logarithms, base 2: of the largest state after a look that moved it */
  MOST = 1006,    /* a frame adds three at the most: log2(3) FL_CTC_FRAMES more */
  LOW_TOP = 900,  /* below, the states are moved up */
  FLUSH = -800,
  FLOOR = -950,
  MISSED = MOST - 1009 /* e^FL_CTC_LEAST is 2^-1009.9 */
};
#define FL_CTC_FLOOR 0x1p-950
#define FL_CTC_FIRST 0x1p980
#define FL_CTC_SUM 0x1p64 /* 1 / FL_CTC_UNIT */

static void linear_begin(fl_ctc *job) {
  states_begin(job, 0, FL_CTC_FIRST);
  job->power = TOP, job->room = TOP;
  if (job->kept) job->exponent[0] = TOP;
}

static void lose(fl_ctc *job, int level) {
  const double worth = level - (double)job->power - sum_of(job->normal, job->normal_lost) * FL_LOG2E;
  job->lost.events++;
  if (worth > job->lost.worst) job->lost.worst = worth;
}

/* Looks at the states before frame t: flushes the smallest, moves all if they are low or have grown. */
static void look(fl_ctc *job, ptrdiff_t t) {
  double *row = states_before(job, t);
  const vd none = vset_f64(INFINITY), zero = vset_f64(0);
  vd most = zero, least = none;
  for (int half = 0; half < 2; half++)
    for (ptrdiff_t i = job->low; i < job->high; i += LANES_F64) {
      const vd v = vload(row + half * job->P + i);
      most = vmax(v, most), least = vmin(least, vselect(vlt(zero, v), v, none));
    }
  const double high = vtop(most), low = -vtop(-least);
  job->age = 0, job->room = INFINITY;
  if (!(high > 0 && high < INFINITY)) return; /* nothing is left, or nan */
  const int top = ilogb(high), up = top >= LOW_TOP && top <= TOP ? 0 : top < TOP - 1000 ? 1000 : TOP - top;
  const double factor = ldexp(1, up), flush = ldexp(1, FLUSH - up);
  const int flushes = low < flush;
  job->room = fmax(ilogb(low) + up, FLUSH);
  if (!up && !flushes) return;
  const vd by = vset_f64(factor), bound = vset_f64(flush);
  for (int half = 0; half < 2; half++)
    for (ptrdiff_t i = job->low; i < job->high; i += LANES_F64) {
      const vd v = vload(row + half * job->P + i);
      vstore(row + half * job->P + i, vdrop(vlt(v, bound), v * by));
    }
  job->power += up;
  if (job->kept) job->exponent[t] = (int32_t)job->power;
  if (flushes) lose(job, FLUSH);
}

FL_INLINE void linear_step(const fl_ctc *job, const double *from, double *to, double blank) {
  const ptrdiff_t P = job->P;
  const double *skip = job->skip, *emitted = job->emitted;
  const vd eb = vset_f64(blank);
  vd before = vset_f64(0);
  for (ptrdiff_t i = job->low; i < job->high; i += LANES_F64) {
    const vd label = vload(from + i), b = vload(from + P + i), left = shift_up(before, label);
    before = label;
    vstore(to + P + i, (b + left) * eb);
    vstore(to + i, (label + vfma(vload(skip + i), left, b)) * vload(emitted + i));
  }
}

static void linear_forward(fl_ctc *job, ptrdiff_t t, ptrdiff_t n) {
  for (ptrdiff_t f = 0; f < n; f++, t++) {
    const double *e = job->emission + f * job->width, bits = job->least[f] * FL_LOG2E;
    if (job->age >= FL_CTC_FRAMES || !(job->room + bits >= FLOOR)) look(job, t);
    states_extend(job, t, 0);
    emit(job, e, job->low, job->high);
    linear_step(job, states_before(job, t), states_after(job, t), e[job->blank]);
    states_drop(job, t, 0);
    states_account(job, t, f);
    job->age++, job->room += bits;
    if (job->kept) job->exponent[t + 1] = (int32_t)job->power;
    if (job->least[f] < FL_CTC_LEAST)
      lose(job, MISSED);
    else if (!(job->room >= FLOOR))
      lose(job, FLOOR);
  }
}

/* Sum over all alignments, and whether what was lost on the way is less than 2^-`tolerance` of it. */
static double linear_sum(const fl_ctc *job) {
  const double *row = states_before(job, job->T);
  return row[job->P + job->S] + (job->S ? row[job->S - 1] : 0);
}

static int linear_end(fl_ctc *job, double tolerance) {
  int k;
  double sum = linear_sum(job), part = frexp(sum, &k);
  const double normal = sum_of(job->normal, job->normal_lost);
  if (part < M_SQRT1_2) part *= 2, k--;
  states_finish(job, log(part) + (double)(k - job->power) * FL_LN2);
  if (!(job->lost.events > 0) || sum != sum || normal - normal != 0) return 1;
  const double lost = log2(job->lost.events * (2.0 * (double)job->S + 2)) + job->lost.worst;
  return sum > 0 && lost < job->log_sum * FL_LOG2E - normal * FL_LOG2E - tolerance;
}

static void linear_turn(fl_ctc *job) {
  const double share = FL_CTC_SUM / linear_sum(job);
  for (ptrdiff_t i = 0; i < 2 * job->P; i++) job->beta[i] = 0;
  job->beta[job->P + job->S] = share;
  if (job->S) job->beta[job->S - 1] = share;
}

/* Occupation of the states after frame t; beta goes on to the frame before. Returns the blanks' sum. */
FL_INLINE double linear_back(fl_ctc *job, ptrdiff_t t, double blank, double factor) {
  const ptrdiff_t P = job->P;
  const double *alpha = states_after(job, t), *skip = job->skip, *emitted = job->emitted;
  double *beta = job->beta, *posterior = job->posterior;
  const vd floor = vset_f64(FL_CTC_FLOOR), eb = vset_f64(blank), by = vset_f64(factor), zero = vset_f64(0);
  vd next_label = zero, next_skip = zero, next_blank = zero, sum = zero;
  for (ptrdiff_t i = job->to[t] - LANES_F64; i >= job->from[t]; i -= LANES_F64) {
    const vd al = vload(alpha + i), ab = vload(alpha + P + i);
    const vd bl = vdrop(vlt(al, floor), vload(beta + i)), bb = vdrop(vlt(ab, floor), vload(beta + P + i));
    const vd gb = ab * bb, label = bl * vload(emitted + i), blank_here = bb * eb;
    const vd skipped = label * vload(skip + i);
    vstore(posterior + i, al * bl);
    vstore(posterior + P + i, gb);
    sum += gb;
    const vd after = shift_down(blank_here, next_blank) + shift_down(skipped, next_skip);
    vstore(beta + P + i, (blank_here + label) * by);
    vstore(beta + i, (label + after) * by);
    next_label = label, next_skip = skipped, next_blank = blank_here;
  }
  (void)next_label;
  return vsum_f64(sum);
}

static void occupy(fl_ctc *job, ptrdiff_t t, double *g, double blanks) {
  for (ptrdiff_t u = 0; u < job->width; u++) g[u] = 0;
  for (ptrdiff_t i = job->from[t]; i < job->to[t]; i++) g[job->column[i]] += job->posterior[i];
  g[job->U] = 0; /* where what lies past the last label points */
  g[job->blank] += blanks;
}

static void linear_backward(fl_ctc *job, ptrdiff_t t, ptrdiff_t n) {
  for (ptrdiff_t f = n - 1; f >= 0; f--) {
    const ptrdiff_t at = t + f;
    const double *e = job->emission + f * job->width;
    emit(job, e, job->from[at], job->to[at]);
    const double blanks = linear_back(job, at, e[job->blank], ldexp(1, job->exponent[at + 1] - job->exponent[at]));
    if (job->posteriors) states_report(job, at, FL_CTC_UNIT);
    if (job->occupied) occupy(job, at, job->occupied + f * job->width, blanks);
  }
}

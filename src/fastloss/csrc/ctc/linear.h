/* CTC in linear space. Included by ctc.c once.
 *
 * States are kept times 2^power, in double, so that the largest lies near 2^TOP; they are looked at every few frames. What may
 * then underflow is bounded, not guessed:
 *
 * 1. What underflows. A frame's emission of a class is either 0 (a logit of -inf) or at least e^least. So a state that is not truly
 *    0 lies, after a frame, no lower than the least one before times e^least: `low_bound` keeps the logarithm of that bound. While it
 *    stays above FLOOR nothing at all has underflowed. A frame in which it does not is an event: each of its 2 S + 1 states may
 *    have lost up to 2^FLOOR. So is a look at the states that sets those under 2^UNDERFLOW_BELOW to 0, to make room, and a frame with
 *    emissions under e^FL_CTC_LEAST, which are 0: a state is at most 2^MOST, so that 2^MISSED is lost.
 * 2. What it is worth. From a state, different paths of states spell different sequences of classes (stay, move on to the blank,
 *    skip to a different label: the class tells which). So the probabilities of all continuations add up to 1 at the most, those of
 *    continuations not normalised to the product of the frames' sums. Hence a loss of 2^k in frame t, at power p, takes from the
 *    likelihood no more than 2^(k - p) / (product of the sums up to t): `normal` is the logarithm of that product.
 * 3. What counts. All events together, (events) (2 S + 2) 2^worst, are compared with the likelihood itself at the end. Where they
 *    are not below rounding the sample is done again with logarithms (log.h).
 *
 * On the way back beta is kept times 2^-power and a constant, so that alpha beta adds up to 2^UNIT in each frame. A state whose
 * occupation probability is under 2^PRUNE is left out from there on: all alignments through it weigh no more than that, in every
 * frame, and the gradient, of differences of probabilities, needs no other bound. It keeps beta in range: at least
 * 2^(PRUNE + UNIT - MOST), so that nothing is a denormal number (which costs a hundred cycles), and at most 2^(UNIT - FLOOR),
 * because a look at the states follows each event: those that remain are at least 2^FLOOR. It also narrows the band of states
 * that a frame works on.
 */
enum {
  TOP = 900,     /* logarithms, base 2: of the largest state after a look that moved it */
  MOST = 926,    /* a frame adds three at the most: log2(3) FL_CTC_FRAMES more */
  LOW_TOP = 820, /* below, the states are moved up */
  UNDERFLOW_BELOW = -800,
  FLOOR = -950,
  MISSED = MOST - 1009, /* e^FL_CTC_LEAST is 2^-1009.9 */
  UNIT = 64,
  PRUNE = -100
};
#define FL_CTC_FIRST 0x1p900
#define FL_CTC_SUM 0x1p64    /* 2^UNIT, 1 / FL_CTC_UNIT */
#define FL_CTC_PRUNE 0x1p-36 /* 2^(UNIT + PRUNE) */
#define FL_CTC_MOST_BETA 0x1p1014

static void linear_begin(fl_ctc *job) {
  states_begin(job, 0, FL_CTC_FIRST);
  job->power = TOP, job->low_bound = TOP;
  if (job->kept) job->exponent[0] = TOP;
}

static void lose(fl_ctc *job, int level) {
  const double worth = level - (double)job->power - sum_of(job->normal, job->normal_lost) * FL_LOG2E;
  job->lost.events++;
  if (worth > job->lost.worst) job->lost.worst = worth;
}

/* Looks at the states before frame t: the smallest underflow to 0, all are scaled if they are low or have grown. */
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
  job->age = 0, job->low_bound = INFINITY;
  if (!(high > 0 && high < INFINITY)) return; /* nothing is left, or nan */
  const int top = ilogb(high), up = top >= LOW_TOP && top <= TOP ? 0 : top < TOP - 1000 ? 1000 : TOP - top;
  const double factor = ldexp(1, up), least_kept = ldexp(1, UNDERFLOW_BELOW - up);
  const int underflows = low < least_kept;
  job->low_bound = fmax(ilogb(low) + up, UNDERFLOW_BELOW);
  if (!up && !underflows) return;
  const vd by = vset_f64(factor), bound = vset_f64(least_kept);
  for (int half = 0; half < 2; half++)
    for (ptrdiff_t i = job->low; i < job->high; i += LANES_F64) {
      const vd v = vload(row + half * job->P + i);
      vstore(row + half * job->P + i, vdrop(vlt(v, bound), v * by));
    }
  job->power += up;
  if (job->kept) job->exponent[t] = (int32_t)job->power;
  if (underflows) lose(job, UNDERFLOW_BELOW);
}

FL_INLINE void linear_step(const fl_ctc *job, const double *from, double *to, const double *e) {
  const ptrdiff_t P = job->P;
  const double *skip = job->skip;
  const vd eb = vset_f64(e[job->blank]);
  vd before = vset_f64(0);
  for (ptrdiff_t i = job->low; i < job->high; i += LANES_F64) {
    const vd label = vload(from + i), b = vload(from + P + i), left = shift_up(before, label);
    before = label;
    vstore(to + P + i, (b + left) * eb);
    vstore(to + i, (label + vfma(vload(skip + i), left, b)) * emitted(e, job->column + i));
  }
}

static void linear_forward(fl_ctc *job, ptrdiff_t t, ptrdiff_t n) {
  for (ptrdiff_t f = 0; f < n; f++, t++) {
    const double *e = job->emission + f * job->width, bits = job->least[f] * FL_LOG2E;
    if (job->age >= FL_CTC_FRAMES || !(job->low_bound + bits >= FLOOR)) look(job, t);
    states_extend(job, t, 0);
    linear_step(job, states_before(job, t), states_after(job, t), e);
    states_drop(job, t, 0);
    states_account(job, t, f);
    job->age++, job->low_bound += bits;
    if (job->kept) job->exponent[t + 1] = (int32_t)job->power;
    if (job->least[f] < FL_CTC_LEAST)
      lose(job, MISSED);
    else if (!(job->low_bound >= FLOOR))
      lose(job, FLOOR);
  }
}

static double linear_sum(const fl_ctc *job) { return last_label(job, 0) + last_blank(job, 0); }

/* The loss; returns whether what underflowed on the way is less than 2^-`tolerance` of the sum over all alignments. */
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

static void linear_begin_backward(fl_ctc *job) {
  const double share = FL_CTC_SUM / linear_sum(job);
  for (ptrdiff_t i = 0; i < 2 * job->P; i++) job->beta[i] = 0;
  job->low = 0, job->high = job->P;
  job->beta[job->P + job->S] = share;
  if (job->S) job->beta[job->S - 1] = share;
}

/* beta e factor, in the order that does not leave the range on the way: e may be as small as the factor is large. (States that
   are 0 may be too large; they are left out in the next frame.) */
FL_INLINE vd moved_weight(vd beta, vd e, vd factor) {
  const vd one = vset_f64(1);
  const md small = vlt(beta, one);
  return vmin(vset_f64(FL_CTC_MOST_BETA), beta * vselect(small, factor, one) * e * vselect(small, one, factor));
}

/* Occupation of the states after frame t, entries [low, high); beta goes on to the frame before, there times `factor` (if
   `moved`). Returns the blanks' sum; *first and *last become the entries between which states are left. */
FL_INLINE double linear_back(fl_ctc *job, const double *alpha, const double *e, int moved, double factor,
                             ptrdiff_t *first, ptrdiff_t *last) {
  const ptrdiff_t P = job->P, low = *first, high = *last;
  double *beta = job->beta, *posterior = job->posterior;
  const vd prune = vset_f64(FL_CTC_PRUNE), zero = vset_f64(0);
  const vd eb = vset_f64(e[job->blank]), by = vset_f64(factor);
  vd next_skip = zero, next_blank = zero, sum = zero;
  *first = high, *last = low;
  for (ptrdiff_t i = high - LANES_F64; i >= low; i -= LANES_F64) {
    vd bl = vload(beta + i), bb = vload(beta + P + i);
    const vd gl = vload(alpha + i) * bl, gb = vload(alpha + P + i) * bb;
    const md label_out = vlt(gl, prune), blank_out = vlt(gb, prune);
    if (!FL_ALL(label_out, blank_out)) {
      *first = i;
      if (*last == low) *last = i + LANES_F64;
    }
    bl = vdrop(label_out, bl), bb = vdrop(blank_out, bb);
    vstore(posterior + i, gl);
    vstore(posterior + P + i, gb);
    sum += gb;
    const vd el = emitted(e, job->column + i);
    const vd label = moved ? moved_weight(bl, el, by) : bl * el, blank = moved ? moved_weight(bb, eb, by) : bb * eb;
    const vd skipped = label * vload(job->skip + i);
    vstore(beta + P + i, blank + label);
    vstore(beta + i, label + (shift_down(blank, next_blank) + shift_down(skipped, next_skip)));
    next_skip = skipped, next_blank = blank;
  }
  if (low) { /* the label below may lead into the band */
    vstore(beta + low - LANES_F64, shift_down(zero, next_blank) + shift_down(zero, next_skip));
    vstore(beta + P + low - LANES_F64, zero);
  }
  return vsum_f64(sum);
}

/* The occupation probability of each column: labels that are equal share one. */
static void occupy(fl_ctc *job, ptrdiff_t low, ptrdiff_t high, double *g, double blanks) {
  const int32_t *column = job->column;
  const double *posterior = job->posterior;
  memset(g, 0, (size_t)job->width * sizeof *g);
  for (ptrdiff_t i = low; i < (high < job->S ? high : job->S); i++) g[column[i]] += posterior[i];
  g[job->blank] += blanks;
}

static void linear_backward(fl_ctc *job, ptrdiff_t t, ptrdiff_t n) {
  for (ptrdiff_t f = n - 1; f >= 0; f--) {
    const ptrdiff_t at = t + f, up = job->exponent[at + 1] - job->exponent[at];
    const double *e = job->emission + f * job->width, *alpha = states_after(job, at);
    const ptrdiff_t low = job->low > job->from[at] ? job->low : job->from[at];
    const ptrdiff_t high = job->high < job->to[at] ? job->high : job->to[at];
    ptrdiff_t first = low, last = high;
    const double blanks = up ? linear_back(job, alpha, e, 1, ldexp(1, (int)up), &first, &last)
                             : linear_back(job, alpha, e, 0, 1, &first, &last);
    if (job->posteriors) states_report(job, at, low, high, FL_CTC_UNIT);
    if (job->occupied) occupy(job, low, high, job->occupied + f * job->width, blanks);
    job->low = first >= LANES_F64 ? first - LANES_F64 : 0, job->high = last;
  }
}

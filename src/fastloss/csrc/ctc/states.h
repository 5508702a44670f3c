/* The states of CTC: which of them a frame needs, and how their rows move by one. Included by ctc.c once.
 *
 * From one frame to the next the blank before label i is reached from itself and from label i - 1; label i from itself, from that
 * blank, and, if it differs from label i - 1, from there. So a frame needs two rows and the labels' row shifted by one, no
 * gather. Only states count that can be reached by then and from which the end can still be reached: a frame works on entries
 * [low, high).
 */

/* b's entries before a's: the last of `before`, then all but the last of v. */
FL_INLINE vd shift_up(vd before, vd v) {
#if defined(FL_V4)
  return (vd)_mm512_alignr_epi64((__m512i)v, (__m512i)before, 7);
#elif defined(FL_V3)
  const vd middle = _mm256_permute2f128_pd(before, v, 0x21);
  return _mm256_shuffle_pd(middle, v, 0x5);
#else
  return (vd){before[1], v[0]};
#endif
}

/* All but the first of v, then the first of `after`. */
FL_INLINE vd shift_down(vd v, vd after) {
#if defined(FL_V4)
  return (vd)_mm512_alignr_epi64((__m512i)after, (__m512i)v, 1);
#elif defined(FL_V3)
  const vd middle = _mm256_permute2f128_pd(v, after, 0x21);
  return _mm256_shuffle_pd(v, middle, 0x5);
#else
  return (vd){v[1], after[0]};
#endif
}

/* Whether all lanes of both are set. */
#if defined(FL_V4)
#define FL_ALL(a, b) (((a) & (b)) == 0xff)
#else
#define FL_ALL(a, b) (vcount_f64(a) + vcount_f64(b) == 2 * LANES_F64)
#endif

/* The states before the frame t: row 0 is before all frames. */
FL_INLINE double *states_before(const fl_ctc *job, ptrdiff_t t) { return job->alpha + (job->kept ? t * 2 * job->P : 0); }
FL_INLINE double *states_after(const fl_ctc *job, ptrdiff_t t) { return states_before(job, t + 1); }

/* Before the first frame: nothing has been read, which is the first blank's state alone. */
static void states_begin(fl_ctc *job, double none, double first) {
  double *row = job->alpha;
  for (ptrdiff_t i = 0; i < 2 * job->P; i++) row[i] = none;
  row[job->P] = first;
  job->dead = job->low = job->age = 0;
  job->high = FL_CTC_LANES;
  job->power = 0;
  job->normal = job->normal_lost = job->offset = job->offset_lost = 0;
  job->lost = (fl_ctc_lost){0, -INFINITY};
  if (job->kept) job->exponent[0] = 0;
}

/* The entries that frame t needs; those that come in anew are `none` before it. */
static void states_extend(fl_ctc *job, ptrdiff_t t, double none) {
  double *row = states_before(job, t);
  ptrdiff_t high = job->high;
  while (high < job->P && job->since[high - 1] < t) high += FL_CTC_LANES; /* its blank may be reached by now */
  if (job->kept)
    for (ptrdiff_t i = job->high; i < high; i++) row[i] = row[job->P + i] = none;
  job->high = high;
  job->low = job->dead / 2 / FL_CTC_LANES * FL_CTC_LANES;
  if (job->kept) job->from[t] = (int32_t)job->low, job->to[t] = (int32_t)high;
}

/* After frame t: drops the states from which the end cannot be reached any more. */
static void states_drop(fl_ctc *job, ptrdiff_t t, double none) {
  double *row = states_after(job, t);
  const ptrdiff_t last = job->S ? job->since[job->S - 1] : 0, left = job->T - 1 - t;
  for (; job->dead < 2 * job->S; job->dead++) {
    const ptrdiff_t i = job->dead / 2, is_blank = !(job->dead & 1);
    if (last - job->since[i] + is_blank <= left) return;
    row[is_blank ? job->P + i : i] = none;
  }
}

/* The two final states: the last label, and the blank behind it; `none` where the entries in use do not reach them. */
FL_INLINE double last_label(const fl_ctc *job, double none) {
  return job->S ? states_before(job, job->T)[job->S - 1] : none;
}
FL_INLINE double last_blank(const fl_ctc *job, double none) {
  return job->S < job->high ? states_before(job, job->T)[job->P + job->S] : none;
}

/* What add_neumaier has added up. */
FL_INLINE double sum_of(double sum, double error) { return error - error == 0 ? sum + error : sum; }

FL_INLINE void states_account(fl_ctc *job, ptrdiff_t t, ptrdiff_t f) {
  add_neumaier(&job->normal, &job->normal_lost, job->log_total[f]);
  add_neumaier(&job->offset, &job->offset_lost, job->shift[job->kept ? t : f]);
}

/* The loss, from the logarithm of what all alignments add up to. */
static void states_finish(fl_ctc *job, double log_sum) {
  job->log_sum = log_sum;
  const double part = job->log_probs ? -sum_of(job->offset, job->offset_lost) : sum_of(job->normal, job->normal_lost);
  job->loss = part - log_sum;
  if (!job->log_probs && job->loss < 0) job->loss = 0; /* by rounding */
}

/* The emissions of labels i and on, from a frame's row. */
FL_INLINE vd emitted(const double *e, const int32_t *column) {
#if defined(FL_V4)
  return _mm512_i32gather_pd(_mm256_loadu_si256((const __m256i *)(const void *)column), e, 8);
#elif defined(FL_V3)
  return (vd){e[column[0]], e[column[1]], e[column[2]], e[column[3]]};
#else
  return (vd){e[column[0]], e[column[1]]};
#endif
}

/* Occupation probabilities of a frame's states, times `unit`, to the caller's array: blank, label, blank ... */
static void states_report(const fl_ctc *job, ptrdiff_t t, ptrdiff_t low, ptrdiff_t high, double unit) {
  const double *label = job->posterior, *blank = label + job->P;
  char *out = job->posteriors + t * job->posteriors_step;
  for (ptrdiff_t i = low; i < high && i <= job->S; i++)
    for (int k = 0; k < 2 && 2 * i + k <= 2 * job->S; k++) {
      const double p = (k ? label[i] : blank[i]) * unit;
      if (job->posteriors_wide)
        ((double *)(void *)out)[2 * i + k] = p;
      else
        ((float *)(void *)out)[2 * i + k] = (float)p;
    }
}

/* The likeliest alignment (Viterbi), with logarithms. Included by ctc.c once.
 *
 * A byte for each state and frame says how many states back its predecessor lies: 0, 1 or 2. Of equal ones the nearest is taken,
 * so that the path moves on as early as it can.
 */
static void best_forward(fl_ctc *job, ptrdiff_t t, ptrdiff_t n) {
  const ptrdiff_t P = job->P;
  for (ptrdiff_t f = 0; f < n; f++, t++) {
    const double *e = job->emission + f * job->width;
    states_extend(job, t, -INFINITY);
    const double *from = states_before(job, t), blank = e[job->blank];
    double *to = states_after(job, t);
    unsigned char *back = job->back + t * 2 * P;
    double left = -INFINITY;
    for (ptrdiff_t i = job->low; i < job->high; i++) {
      const double label = from[i], b = from[P + i], skipped = job->skip[i] > 0 ? left : -INFINITY;
      const int moves = b > label;
      const double near = moves ? b : label;
      const int skips = skipped > near;
      to[P + i] = (left > b ? left : b) + blank;
      back[P + i] = left > b;
      to[i] = (skips ? skipped : near) + e[job->column[i]];
      back[i] = (unsigned char)(skips ? 2 : moves);
      left = label;
    }
    states_drop(job, t, -INFINITY);
    states_account(job, t, f);
  }
}

/* The states of the best path, in the order of the extended labels; leaves the logarithm of its emissions' product. */
static void best_path(fl_ctc *job, int64_t *state) {
  const double label = last_label(job, -INFINITY), blank = last_blank(job, -INFINITY);
  const int on_label = job->S && label >= blank;
  ptrdiff_t at = 2 * job->S - on_label;
  states_finish(job, on_label ? label : blank);
  for (ptrdiff_t t = job->T - 1; t >= 0; t--) {
    state[t] = at;
    at -= job->back[t * 2 * job->P + (at & 1 ? 0 : job->P) + at / 2];
  }
}

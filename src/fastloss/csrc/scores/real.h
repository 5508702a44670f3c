/* Losses of rows of scores with one label each: tiles of C x P scores, positions along the vector, as in tiles.h. Included by
 * scores.c once per type (R, FN as in twice.h). Everything is computed in double, two-byte and float scores too: what the
 * type decides is how scores are read and gradients written.
 *
 * A value is nan if any score of its row is, and then so is the whole row's gradient.
 */

#if FL_REAL_BITS == 32
FL_INLINE vd FN(score_at)(const R *p) { return vwiden(p); }
FL_INLINE void FN(store_gradient)(R *p, vd v) {
  const vf f = vnarrow(v, v);
  memcpy(p, &f, LANES_F64 * sizeof(R));
}
#else
FL_INLINE vd FN(score_at)(const R *p) { return vload(p); }
FL_INLINE void FN(store_gradient)(R *p, vd v) { vstore(p, v); }
#endif

/* The column of LANES_F64 positions at q; `mark` is 0, or nan where a score is nan. */
typedef struct {
  const R *x;
  R *grad;
  vd label, own, scale, mark;
} FN(column);

FL_INLINE FN(column) FN(column_at)(const fl_scores *job, ptrdiff_t q) {
  FN(column) at = {(const R *)job->x + q, job->grad ? (R *)job->grad + q : NULL};
  double own[LANES_F64];
  for (int j = 0; j < LANES_F64; j++) own[j] = at.x[(ptrdiff_t)job->label[q + j] * job->P + j];
  at.label = vload(job->label + q), at.scale = vload(job->scale + q), at.own = vload(own), at.mark = vset_f64(0);
  for (ptrdiff_t c = 0; c < job->C; c++) {
    const vd v = FN(score_at)(at.x + c * job->P);
    at.mark = vselect(veq(v, v), at.mark, v);
  }
  return at;
}

FL_INLINE void FN(put_gradient)(const FN(column) *at, ptrdiff_t offset, vd gradient) {
  FN(store_gradient)(at->grad + offset, at->scale * gradient + at->mark);
}

/* The value; where it is undefined (inf - inf) the whole row's gradients are too. */
FL_INLINE void FN(put_value)(const fl_scores *job, FN(column) *at, ptrdiff_t q, vd value) {
  at->mark = vselect(veq(value, value), at->mark, value);
  vstore(job->value + q, value + at->mark);
}

/* The gradient at the labels themselves, after all others are written. */
FL_INLINE void FN(put_own)(const fl_scores *job, const FN(column) *at, ptrdiff_t q, vd gradient) {
  const vd own = at->scale * gradient + at->mark;
  for (int j = 0; j < LANES_F64; j++) at->grad[(ptrdiff_t)job->label[q + j] * job->P + j] = (R)own[j];
}

/* ---- the label against its strongest rival ------------------------------------------------------------------------ */

/* Energies E (or scores, as E = -score): the label's own against the lowest of the others, the first of equals. gap = E - rival
   and its rounding error. par: the kind, margin, beta, sign (-1: scores). */
static void FN(contrast)(fl_scores *job) {
  const vd zero = vset_f64(0), one = vset_f64(1), two = vset_f64(2), top = vset_f64(INFINITY);
  const vd margin = vset_f64(job->par[1]), beta = vset_f64(job->par[2]), sign = vset_f64(job->par[3]);
  const int kind = (int)job->par[0];
  for (ptrdiff_t q = 0; q < job->P; q += LANES_F64) {
    FN(column) at = FN(column_at)(job, q);
    const vd own = sign * at.own;
    vd rival = top, who = -one;
    for (ptrdiff_t c = 0; c < job->C; c++) {
      const vd index = vset_f64((double)c);
      const vd v = vselect(veq(index, at.label), top, sign * FN(score_at)(at.x + c * job->P));
      const md lower = vlt(v, rival);
      rival = vselect(lower, v, rival), who = vselect(lower, index, who);
    }
    vd error, value, up = zero, down = zero; /* gradients: d value / d E and - d value / d rival */
    const vd gap = two_diff_finite(own, rival, &error);
    switch (kind) {
      case FL_ENERGY: value = own, up = one; break;
      case FL_HINGE:
      case FL_HINGE_SQUARED:
        value = vmax(zero, sum_with_error(gap, margin, error));
        up = vselect(vlt(zero, value), one, zero);
        if (kind == FL_HINGE_SQUARED) up = two * value, value *= value;
        down = up;
        break;
      case FL_LOG: value = fl_softplus(gap, error, &up, &down), down = up; break;
      case FL_LVQ2:
        value = vmin(margin, vmax(zero, gap));
        up = down = vselect(vlt(zero, gap), vselect(vlt(gap, margin), one, zero), zero);
        break;
      case FL_MCE:
        fl_softplus(gap, error, &value, &down);
        up = down = value * down;
        break;
      case FL_SQUARE_SQUARE:
        down = vmax(zero, margin - rival);
        value = own * own + down * down, up = two * own, down *= two;
        break;
      default: /* FL_SQUARE_EXP */ down = beta * fl_exp(-rival); value = own * own + down, up = two * own;
    }
    FN(put_value)(job, &at, q, value);
    if (!at.grad) continue;
    for (ptrdiff_t c = 0; c < job->C; c++)
      FN(put_gradient)(&at, c * job->P, vselect(veq(vset_f64((double)c), who), -sign * down, zero));
    FN(put_own)(job, &at, q, sign * up);
  }
}

/* max(0, margin + s_c - s_y) for one class, 0 at the label. */
FL_INLINE vd FN(excess)(const fl_scores *job, const FN(column) *at, ptrdiff_t c) {
  const vd zero = vset_f64(0);
  vd error;
  const vd gap = two_diff_finite(FN(score_at)(at->x + c * job->P), at->own, &error);
  return vselect(veq(vset_f64((double)c), at->label), zero,
                 vmax(zero, sum_with_error(gap, vset_f64(job->par[1]), error)));
}

/* Weston and Watkins: the mean over the classes of the excess, or of its square. par: -, margin, p. */
static void FN(weston_watkins)(fl_scores *job) {
  const vd zero = vset_f64(0), one = vset_f64(1);
  const double classes = (double)job->C;
  const int squared = job->par[2] == 2;
  for (ptrdiff_t q = 0; q < job->P; q += LANES_F64) {
    FN(column) at = FN(column_at)(job, q);
    vd sum = zero, sum_error = zero, total = zero;
    for (ptrdiff_t c = 0; c < job->C; c++) {
      const vd h = FN(excess)(job, &at, c);
      add_compensated(&sum, &sum_error, squared ? h * h : h);
    }
    FN(put_value)(job, &at, q, (sum + sum_error) / classes);
    if (!at.grad) continue;
    for (ptrdiff_t c = 0; c < job->C; c++) {
      const vd h = FN(excess)(job, &at, c), gradient = (squared ? h * 2.0 : vselect(vlt(zero, h), one, zero)) / classes;
      total += gradient;
      FN(put_gradient)(&at, c * job->P, gradient);
    }
    FN(put_own)(job, &at, q, -total);
  }
}

/* ---- softmax of the negated energies ------------------------------------------------------------------------------ */

/* e^(-beta (E - least)) for each class in scratch; others is their sum without the label's, rest without the least one's: what
   stands beside it in log sum = log1p(rest), beside the label's in 1 - p = others / (1 + rest). par: the kind, -, beta. */
static void FN(gibbs)(fl_scores *job) {
  const vd zero = vset_f64(0), one = vset_f64(1), beta = vset_f64(job->par[2]);
  const int mee = (int)job->par[0] == FL_MEE;
  for (ptrdiff_t q = 0; q < job->P; q += LANES_F64) {
    FN(column) at = FN(column_at)(job, q);
    vd least = vset_f64(INFINITY), error, others = zero, others_error = zero, rest = zero, rest_error = zero, ties = -one;
    for (ptrdiff_t c = 0; c < job->C; c++) least = vmin(FN(score_at)(at.x + c * job->P), least);
    for (ptrdiff_t c = 0; c < job->C; c++) {
      const vd v = FN(score_at)(at.x + c * job->P), gap = two_diff_finite(v, least, &error), x = beta * gap;
      const vd e = fl_exp_exact(-x, -(beta * error + error_of_product_finite(beta, gap, x)));
      const md is_least = veq(v, least);
      ties = vtally(ties, is_least);
      add_compensated(&rest, &rest_error, vdrop(is_least, e));
      add_compensated(&others, &others_error, vdrop(veq(vset_f64((double)c), at.label), e));
      vstore(job->scratch + c * LANES_F64, e);
    }
    rest = (rest + rest_error) + ties, others += others_error;
    const vd part = one / (one + rest), missed = others * part; /* 1 - p at the label */
    double own[LANES_F64];
    for (int j = 0; j < LANES_F64; j++) own[j] = job->scratch[(ptrdiff_t)job->label[q + j] * LANES_F64 + j];
    const vd p = vload(own) * part;
    vd value, up, down;
    if (mee)
      value = missed, down = -beta * p * part, up = beta * p * missed;
    else
      value = (at.own - least) + vlog1p(rest) / beta, down = -part, up = missed;
    FN(put_value)(job, &at, q, value + (least - least)); /* nan where the least is infinite */
    if (!at.grad) continue;
    for (ptrdiff_t c = 0; c < job->C; c++) FN(put_gradient)(&at, c * job->P, down * vload(job->scratch + c * LANES_F64));
    FN(put_own)(job, &at, q, up);
  }
}

/* ---- ordinal levels ----------------------------------------------------------------------------------------------- */

/* Binary tasks "is the level above c?", each with its logistic loss: all of them (CORAL, perhaps weighted), or (par[0] = 1, CORN)
   those up to the label. Labels go to C, one further than the tasks. */
static void FN(tasks)(fl_scores *job) {
  const vd zero = vset_f64(0), one = vset_f64(1);
  const int conditional = job->par[0] != 0;
  for (ptrdiff_t q = 0; q < job->P; q += LANES_F64) {
    const vd label = vload(job->label + q), scale = vload(job->scale + q);
    vd sum = zero, sum_error = zero, mark = zero;
    for (int pass = 0; pass < (job->grad || job->hess ? 2 : 1); pass++)
      for (ptrdiff_t c = 0; c < job->C; c++) {
        const ptrdiff_t here = c * job->P + q;
        const vd x = FN(score_at)((const R *)job->x + here), index = vset_f64((double)c);
        const md above = vlt(index, label);
        const vd z = vselect(above, -x, x);
        const double w = job->level_weight ? job->level_weight[c] : 1.0;
        vd present = w ? one : zero, gradient, rest;
        if (conditional) present = vselect(vle(index, label), present, zero);
        const md absent = veq(present, zero);
        if (pass == 0) {
          mark = vselect(veq(x, x), mark, x);
          add_compensated(&sum, &sum_error, vdrop(absent, w * fl_softplus(z, zero, &gradient, &rest)));
          continue;
        }
        fl_softplus(z, zero, &gradient, &rest);
        const vd s = scale * w;
        if (job->grad)
          FN(store_gradient)((R *)job->grad + here, vdrop(absent, s * vselect(above, -gradient, gradient)) + mark);
        if (job->hess) FN(store_gradient)((R *)job->hess + here, vdrop(absent, s * gradient * rest) + mark);
      }
    vstore(job->value + q, (sum + sum_error) + mark);
  }
}

/* The squared differences of two distribution functions. Below the label's level the prediction's F_k = sum of p_i, i <= k, counts,
   from there on S_k = 1 - F_k, which is summed from the other end: neither is a difference. The gradient is
   2 p_i (D_i - sum_j p_j D_j) with D_i = H_i - H_top, H_i the sum of the F_k or S_k between i and the label. Measured from the
   likeliest level the sum is small where p is near 1, right or wrong. */
static void FN(squared_emd)(fl_scores *job) {
  const ptrdiff_t C = job->C;
  const vd zero = vset_f64(0);
  double *e = job->scratch, *h = e + C * LANES_F64;
  for (ptrdiff_t q = 0; q < job->P; q += LANES_F64) {
    FN(column) at = FN(column_at)(job, q);
    vd top = vset_f64(-INFINITY), error, total = zero, total_error = zero, value = zero, value_error = zero;
    for (ptrdiff_t c = 0; c < C; c++) top = vmax(FN(score_at)(at.x + c * job->P), top);
    for (ptrdiff_t c = 0; c < C; c++) {
      const vd gap = two_diff_finite(FN(score_at)(at.x + c * job->P), top, &error), p = fl_exp_exact(gap, error);
      add_compensated(&total, &total_error, p);
      vstore(e + c * LANES_F64, p);
    }
    const vd unit = 1.0 / (total + total_error);
    vd run = zero, run_error = zero, reach = zero, pivot = zero, mean = zero;
    for (ptrdiff_t c = C - 1; c >= 0; c--) { /* S_c of the levels from the label on */
      const vd s = vdrop(vlt(vset_f64((double)c), at.label), (run + run_error) * unit);
      add_compensated(&value, &value_error, s * s);
      vstore(h + c * LANES_F64, s);
      add_compensated(&run, &run_error, vload(e + c * LANES_F64));
    }
    run = run_error = zero;
    for (ptrdiff_t c = 0; c < C; c++) { /* H above the label; F_c below it is put by for the way back */
      const md below = vlt(vset_f64((double)c), at.label);
      const vd s = vload(h + c * LANES_F64);
      add_compensated(&run, &run_error, vload(e + c * LANES_F64));
      const vd f = vdrop(vle(at.label, vset_f64((double)c)), (run + run_error) * unit);
      add_compensated(&value, &value_error, f * f);
      vstore(h + c * LANES_F64, vselect(below, f, reach));
      reach += s;
    }
    FN(put_value)(job, &at, q, (value + value_error) + (top - top)); /* nan where the top is infinite */
    if (!at.grad) continue;
    reach = zero;
    for (ptrdiff_t c = C - 1; c >= 0; c--) { /* H below the label */
      const md below = vlt(vset_f64((double)c), at.label);
      const vd f = vload(h + c * LANES_F64);
      reach += vdrop(vle(at.label, vset_f64((double)c)), f);
      const vd whole = vselect(below, reach, f);
      pivot = vselect(veq(FN(score_at)(at.x + c * job->P), top), whole, pivot);
      vstore(h + c * LANES_F64, whole);
    }
    for (ptrdiff_t c = 0; c < C; c++) mean += vload(e + c * LANES_F64) * unit * (vload(h + c * LANES_F64) - pivot);
    for (ptrdiff_t c = 0; c < C; c++) {
      const vd p = vload(e + c * LANES_F64) * unit, away = vload(h + c * LANES_F64) - pivot;
      FN(put_gradient)(&at, c * job->P, 2.0 * p * (away - mean));
    }
  }
}

#define FL_SCORES_ENTRY(name) FN(name),
static void (*const FN(scores_table)[])(fl_scores *) = {FL_SCORE_LOSSES(FL_SCORES_ENTRY)};
#undef FL_SCORES_ENTRY

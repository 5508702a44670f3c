/* The usual cases in one go: integer labels, sums that are not squared. Activation, sums (or gradient) stay in registers, where
 * regions_real.h goes through planes of probabilities. Included by regions.c once per type, after regions_real.h.
 *
 * Sums run in registers of the computation type for FL_FLUSH_EVERY positions per lane, then they are added to doubles. The product of
 * as many terms 1 + r is kept as 1 + (what is kept), a sum of positive terms, so that one logarithm does for all of them.
 */

#define FL_FLUSH_EVERY 8

FL_INLINE V FN(add_where)(V sum, M where, V x) {
#if defined(FL_V4) && FL_REAL_BITS == 32
  return _mm512_mask_add_ps(sum, where, sum, x);
#elif defined(FL_V4)
  return _mm512_mask_add_pd(sum, where, sum, x);
#else
  return sum + vselect(where, x, FN(vset)(0));
#endif
}

FL_INLINE void FN(flush)(V *sum, vd *total) {
#if FL_REAL_BITS == 32
  total[0] += vlow(*sum), total[1] += vhigh(*sum);
#else
  total[0] += *sum;
#endif
  *sum = FN(vset)(0);
}

FL_INLINE double FN(flushed)(V *sum, vd *total) {
  FN(flush)(sum, total);
  return vsum_f64(total[0] + total[1]);
}

/* ---- softmax ------------------------------------------------------------------------------------------------------ */

enum { FN(FL_HIT), FN(FL_ALARM), FN(FL_MISS), FN(FL_MEMBERS), FN(FL_RUNNING) };

/* One register of positions: exponentials of all classes into e; p = e factor. What follows is hidden where `label` is -1. */
typedef struct {
  V top, rest, factor, leads; /* the sum of the others' exponentials; of the leading class 1 - p */
  V label_e, label_x;
} FN(position);

FL_INLINE FN(position)
    FN(position_of)(const fl_region *b, ptrdiff_t C, ptrdiff_t q, V label, int hidden, int entropy, V *e) {
  const V zero = FN(vset)(0), one = FN(vset)(1);
  FN(position) at;
  V m = vload(FN(plane)(b->x, b->step, 0) + q);
  __builtin_prefetch(FN(plane)(b->x, b->step, 0) + q + b->P);
#pragma GCC unroll 4
  for (ptrdiff_t c = 1; c < C; c++) {
    const R *x = FN(plane)(b->x, b->step, c) + q;
    __builtin_prefetch(x + b->P);
    m = vmax(m, vload(x));
  }
  const V shift = vselect(vlt(FN(vset)(2 * FL_RANGE), vabs(m)), m, zero), y = m - shift, low = y - FL_RANGE;
  const V k = vfma(y, FN(vset)((R)FL_LOG2E), FN(vset)(FL_ROUND)) - FL_ROUND, exponent = k - FL_BIAS;
  const V gap = vfma(k, FN(vset)(FL_LN2_LOW), vfma(k, FN(vset)(FL_LN2_HIGH), -y));
  const V unit = FN(vexp_near)(gap) * FL_UNBIAS;
  const M gone = vlt(label, zero);
  V ties = -one, others = zero, own = zero;
  at.label_e = zero, at.label_x = m;
#pragma GCC unroll 4
  for (ptrdiff_t c = 0; c < C; c++, own += one) {
    const V v = vload(FN(plane)(b->x, b->step, c) + q), term = vexp_scaled(vmax(low, v - shift), exponent);
    const M is_top = veq(v, m), is = veq(label, own);
    ties = vtally(ties, is_top);
    others += vdrop(is_top, term);
    at.label_e = vselect(is, term, at.label_e);
    if (entropy) at.label_x = vselect(is, v, at.label_x);
    e[c] = hidden ? vdrop(gone, term) : term;
  }
  const V rest = vfma(others, unit, ties), share = FN(inverse)(one + rest), factor = unit * share, leads = rest * share;
  at.top = m;
  at.rest = hidden ? vdrop(gone, rest) : rest;
  at.factor = hidden ? vdrop(gone, factor) : factor;
  at.leads = hidden ? vdrop(gone, leads) : leads;
  if (hidden && entropy) at.label_x = vselect(gone, m, at.label_x);
  return at;
}

FL_INLINE void FN(softmax_sums_loop)(const fl_region *b, ptrdiff_t C, int hidden, int entropy, double *sums, V *e,
                                     V *running, vd *totals) {
  const V zero = FN(vset)(0), one = FN(vset)(1);
  vd cost_total[2] = {{0}}, log_total[2] = {{0}};
  V cost = zero, product = zero;
  for (ptrdiff_t k = 0; k < FN(FL_RUNNING) *C; k++) running[k] = zero;
  for (ptrdiff_t k = 0; k < 2 * FN(FL_MEMBERS) *C; k++) totals[k] = vset_f64(0);
  ptrdiff_t left = FL_FLUSH_EVERY;
  for (ptrdiff_t q = 0; q < b->P; q += LANES) {
    const V label = vload((const R *)b->t + q);
    const FN(position) at = FN(position_of)(b, C, q, label, hidden, entropy, e);
    const V hit = at.label_e * at.factor, miss = vselect(vlt(FN(vset)((R)0.5), hit), at.leads, one - hit);
    V own = zero;
#pragma GCC unroll 4
    for (ptrdiff_t c = 0; c < C; c++, own += one) {
      const M is = veq(label, own);
      V *sum = running + c * FN(FL_RUNNING);
      sum[FN(FL_HIT)] = FN(add_where)(sum[FN(FL_HIT)], is, hit);
      sum[FN(FL_MISS)] = FN(add_where)(sum[FN(FL_MISS)], is, miss);
      sum[FN(FL_ALARM)] = vfma(vdrop(is, e[c]), at.factor, sum[FN(FL_ALARM)]);
      sum[FN(FL_MEMBERS)] = vtally(sum[FN(FL_MEMBERS)], is);
    }
    if (entropy) cost += hidden ? vdrop(vlt(label, zero), at.top - at.label_x) : at.top - at.label_x;
    if (entropy) product = vfma(product, at.rest, product + at.rest);
    if (--left == 0 || q + LANES >= b->P) {
      left = FL_FLUSH_EVERY;
#pragma GCC unroll 4
      for (ptrdiff_t c = 0; c < C; c++)
#pragma GCC unroll 3
        for (int k = 0; k < FN(FL_MEMBERS); k++)
          FN(flush)(running + c * FN(FL_RUNNING) + k, totals + 2 * (c * FN(FL_MEMBERS) + k));
      if (entropy) {
        V log = vlog1p(product);
        FN(flush)(&cost, cost_total);
        FN(flush)(&log, log_total);
        product = zero;
      }
    }
  }
  for (ptrdiff_t c = 0; c < C; c++, sums += FL_REGION_SUMS) {
    const vd *total = totals + 2 * FN(FL_MEMBERS) *c;
    vd members[2] = {{0}};
    sums[FL_TP] = vsum_f64(total[2 * FN(FL_HIT)] + total[2 * FN(FL_HIT) + 1]);
    sums[FL_FP] = vsum_f64(total[2 * FN(FL_ALARM)] + total[2 * FN(FL_ALARM) + 1]);
    sums[FL_FN] = vsum_f64(total[2 * FN(FL_MISS)] + total[2 * FN(FL_MISS) + 1]);
    sums[FL_VOLUME] = FN(flushed)(running + c * FN(FL_RUNNING) + FN(FL_MEMBERS), members);
    if (c == 0) sums[FL_ENTROPY] = vsum_f64(cost_total[0] + cost_total[1]) + vsum_f64(log_total[0] + log_total[1]);
  }
}

FL_INLINE void FN(softmax_grad_loop)(const fl_region *b, ptrdiff_t C, int hidden, int entropy, V *e) {
  const V zero = FN(vset)(0), one = FN(vset)(1), half = FN(vset)((R)0.5);
  const R *slopes = b->slopes;
  for (ptrdiff_t q = 0; q < b->P; q += LANES) {
    const V label = vload((const R *)b->t + q);
    const FN(position) at = FN(position_of)(b, C, q, label, hidden, 0, e);
    V own = zero, leading = zero, others = zero, whole = zero;
#pragma GCC unroll 4
    for (ptrdiff_t c = 0; c < C; c++, own += one) {
      const R *s = slopes + c * FL_REGION_SLOPES;
      const V p = e[c] * at.factor, g = vselect(veq(label, own), FN(vset)(s[FL_D_TP] - s[FL_D_FN]), FN(vset)(s[FL_D_FP]));
      const M leads = vlt(half, p);
      leading = vselect(leads, g, leading);
      others += vdrop(leads, g * p);
      if (entropy) whole = vselect(veq(label, own), FN(vset)(s[FL_D_ENTROPY]), whole);
      e[c] = p;
    }
    const V apart = leading * at.leads - others, hit = at.label_e * at.factor;
    const V miss = vselect(vlt(half, hit), at.leads, one - hit);
    own = zero;
#pragma GCC unroll 4
    for (ptrdiff_t c = 0; c < C; c++, own += one) {
      const R *s = slopes + c * FL_REGION_SLOPES;
      const M is = veq(label, own);
      const V p = e[c], g = vselect(is, FN(vset)(s[FL_D_TP] - s[FL_D_FN]), FN(vset)(s[FL_D_FP]));
      V slope = p * (vdrop(vlt(half, p), g - leading) + apart);
      if (entropy) slope = vfma(whole, vselect(is, -miss, p), slope);
      R *out = (R *)(b->grad + c * b->grad_step) + q;
      __builtin_prefetch(out + b->P, 1);
      vstore(out, slope);
    }
  }
}

enum { FN(FL_FEW) = 4 }; /* classes for which registers are enough */

#define FL_FEW_CLASSES(call_of)                                                                                          \
  switch (b->C) {                                                                                                        \
    case 2: call_of(2) break;                                                                                            \
    case 3: call_of(3) break;                                                                                            \
    case 4: call_of(4) break;                                                                                            \
    default: call_of(b->C)                                                                                               \
  }

/* work: 11 registers for each class. */
static void FN(region_softmax_sums)(const fl_region *b, int hidden, void *work_, double *sums) {
  V *work = work_, few[FN(FL_FEW) *(1 + FN(FL_RUNNING))];
  vd few_totals[2 * FN(FL_FEW) *FN(FL_MEMBERS)];
#define FL_CALL(C)                                                                                                       \
  {                                                                                                                      \
    V *e = C <= FN(FL_FEW) ? few : work;                                                                                 \
    vd *totals = C <= FN(FL_FEW) ? few_totals : (vd *)(work + (1 + FN(FL_RUNNING))*(C));                                 \
    if (b->entropy && hidden)                                                                                            \
      FN(softmax_sums_loop)(b, C, 1, 1, sums, e, e + (C), totals);                                                       \
    else if (b->entropy)                                                                                                 \
      FN(softmax_sums_loop)(b, C, 0, 1, sums, e, e + (C), totals);                                                       \
    else if (hidden)                                                                                                     \
      FN(softmax_sums_loop)(b, C, 1, 0, sums, e, e + (C), totals);                                                       \
    else                                                                                                                 \
      FN(softmax_sums_loop)(b, C, 0, 0, sums, e, e + (C), totals);                                                       \
  }
  FL_FEW_CLASSES(FL_CALL)
#undef FL_CALL
}

static void FN(region_softmax_grad)(const fl_region *b, int hidden, void *work) {
  V few[FN(FL_FEW)];
#define FL_CALL(C)                                                                                                       \
  {                                                                                                                      \
    V *e = C <= FN(FL_FEW) ? few : work;                                                                                 \
    if (b->entropy && hidden)                                                                                            \
      FN(softmax_grad_loop)(b, C, 1, 1, e);                                                                              \
    else if (b->entropy)                                                                                                 \
      FN(softmax_grad_loop)(b, C, 0, 1, e);                                                                              \
    else if (hidden)                                                                                                     \
      FN(softmax_grad_loop)(b, C, 1, 0, e);                                                                              \
    else                                                                                                                 \
      FN(softmax_grad_loop)(b, C, 0, 0, e);                                                                              \
  }
  FL_FEW_CLASSES(FL_CALL)
#undef FL_CALL
}
#undef FL_FEW_CLASSES

/* ---- sigmoid ------------------------------------------------------------------------------------------------------ */

/* Probabilities of the wrong answer and of the right one; *e: exp(-|x|), *behind: how far x is on the wrong side. */
FL_INLINE V FN(wrong_of)(V x, M is, V *right, V *e, V *behind) {
  const V zero = FN(vset)(0), z = vselect(is, -x, x);
  *e = vexp_negative(-vabs(x));
  const V large = FN(inverse)(*e + 1), small = *e * large;
  const M missed = vlt(zero, z);
  *behind = vmax(zero, z);
  *right = vselect(missed, small, large);
  return vselect(missed, large, small);
}

FL_INLINE void FN(sigmoid_sums_loop)(const fl_region *b, ptrdiff_t c, int hidden, int entropy, double *sums) {
  const V zero = FN(vset)(0), own = FN(vset)((R)(b->target == FL_INDEX ? c : 1));
  const R *x = FN(plane)(b->x, b->step, c), *t = FN(plane)(b->t, b->t_step, c);
  V hit = zero, alarm = zero, miss = zero, members = zero, cost = zero, product = zero;
  vd hits[2] = {{0}}, alarms[2] = {{0}}, misses[2] = {{0}}, costs[2] = {{0}}, logs[2] = {{0}}, count[2] = {{0}};
  for (ptrdiff_t at = 0; at < b->P; at += FL_FLUSH_EVERY / 2 * LANES) {
#pragma GCC unroll 4
    for (ptrdiff_t q = at; q < at + FL_FLUSH_EVERY / 2 * LANES; q += LANES) {
      __builtin_prefetch(x + q + b->P);
      const V label = vload(t + q);
      const M is = veq(label, own);
      V right, e, behind, wrong = FN(wrong_of)(vload(x + q), is, &right, &e, &behind);
      if (hidden) {
        const M gone = vlt(label, zero);
        wrong = vdrop(gone, wrong), e = vdrop(gone, e), behind = vdrop(gone, behind);
      }
      hit = FN(add_where)(hit, is, right);
      miss = FN(add_where)(miss, is, wrong);
      alarm += vdrop(is, wrong);
      members = vtally(members, is);
      if (entropy) cost += behind, product = vfma(product, e, product + e);
    }
    FN(flush)(&hit, hits);
    FN(flush)(&miss, misses);
    FN(flush)(&alarm, alarms);
    if (entropy) {
      V log = vlog1p(product);
      FN(flush)(&cost, costs);
      FN(flush)(&log, logs);
      product = zero;
    }
  }
  sums[FL_TP] = vsum_f64(hits[0] + hits[1]), sums[FL_FP] = vsum_f64(alarms[0] + alarms[1]);
  sums[FL_FN] = vsum_f64(misses[0] + misses[1]), sums[FL_VOLUME] = FN(flushed)(&members, count);
  sums[FL_ENTROPY] = vsum_f64(costs[0] + costs[1]) + vsum_f64(logs[0] + logs[1]);
}

static void FN(region_sigmoid_sums)(const fl_region *b, ptrdiff_t c, int hidden, double *sums) {
  if (b->entropy && hidden)
    FN(sigmoid_sums_loop)(b, c, 1, 1, sums);
  else if (b->entropy)
    FN(sigmoid_sums_loop)(b, c, 0, 1, sums);
  else if (hidden)
    FN(sigmoid_sums_loop)(b, c, 1, 0, sums);
  else
    FN(sigmoid_sums_loop)(b, c, 0, 0, sums);
}

FL_INLINE void FN(sigmoid_grad_loop)(const fl_region *b, ptrdiff_t c, int hidden, int entropy) {
  const V own = FN(vset)((R)(b->target == FL_INDEX ? c : 1)), zero = FN(vset)(0);
  const R *x = FN(plane)(b->x, b->step, c), *t = FN(plane)(b->t, b->t_step, c);
  const R *s = (const R *)b->slopes + c * FL_REGION_SLOPES;
  const V on = FN(vset)(s[FL_D_TP] - s[FL_D_FN]), off = FN(vset)(s[FL_D_FP]), k = FN(vset)(s[FL_D_ENTROPY]);
  R *out = (R *)(b->grad + c * b->grad_step);
  for (ptrdiff_t q = 0; q < b->P; q += LANES) {
    __builtin_prefetch(x + q + b->P);
    __builtin_prefetch(out + q + b->P, 1);
    const V label = vload(t + q);
    const M is = veq(label, own);
    V right, e, behind;
    const V wrong = FN(wrong_of)(vload(x + q), is, &right, &e, &behind);
    V slope = vselect(is, on, off) * (right * wrong);
    if (entropy) slope = vfma(k, vselect(is, -wrong, wrong), slope);
    vstore(out + q, hidden ? vdrop(vlt(label, zero), slope) : slope);
  }
}

static void FN(region_sigmoid_grad)(const fl_region *b, ptrdiff_t c, int hidden) {
  if (b->entropy && hidden)
    FN(sigmoid_grad_loop)(b, c, 1, 1);
  else if (b->entropy)
    FN(sigmoid_grad_loop)(b, c, 0, 1);
  else if (hidden)
    FN(sigmoid_grad_loop)(b, c, 1, 0);
  else
    FN(sigmoid_grad_loop)(b, c, 0, 0);
}

#undef FL_FLUSH_EVERY
#undef FL_HALVES
#undef FL_HALF
#undef FL_BIAS
#undef FL_UNBIAS
#undef FL_RANGE
#undef FL_ROUND
#undef FL_LN2_HIGH
#undef FL_LN2_LOW

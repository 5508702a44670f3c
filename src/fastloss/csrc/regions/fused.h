/* The usual cases in one go: integer labels, sums that are not squared. Activation, sums (or gradient) stay in registers, where
 * real.h goes through planes of probabilities. Included by regions.c once per type, after real.h.
 *
 * Sums run in registers of the computation type for FL_FLUSH_EVERY positions per lane, then they are added to doubles. The product of
 * as many terms 1 + r is kept less its 1, as a sum of positive terms, so that one logarithm does for all of them.
 */

#define FL_FLUSH_EVERY 8

/* Masked arithmetic. AVX-512 has it in one instruction; compilers make three of the general form. */
#if defined(FL_V4)
#if FL_REAL_BITS == 32
#define FL_MASKED(operation) _mm512_##operation##_ps
#define FL_DIFFERS(a, b) _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ)
#else
#define FL_MASKED(operation) _mm512_##operation##_pd
#define FL_DIFFERS(a, b) _mm512_cmp_pd_mask(a, b, _CMP_NEQ_UQ)
#endif
FL_INLINE V FN(add_where)(V sum, M where, V x) { return FL_MASKED(mask_add)(sum, where, sum, x); }
FL_INLINE V FN(add_unequal)(V sum, V a, V b, V x) { return FL_MASKED(mask_add)(sum, FL_DIFFERS(a, b), sum, x); }
FL_INLINE V FN(fma_unequal)(V sum, V a, V b, V x, V y) { return FL_MASKED(mask3_fmadd)(x, y, sum, FL_DIFFERS(a, b)); }
FL_INLINE V FN(fma_where)(V sum, M where, V x, V y) { return FL_MASKED(mask3_fmadd)(x, y, sum, where); }
FL_INLINE V FN(minus_where)(M where, V a, V b) { return FL_MASKED(maskz_sub)(where, a, b); }
#undef FL_MASKED
#undef FL_DIFFERS
#else
FL_INLINE V FN(add_where)(V sum, M where, V x) { return sum + vselect(where, x, FN(vset)(0)); }
FL_INLINE V FN(add_unequal)(V sum, V a, V b, V x) { return sum + vdrop(veq(a, b), x); }
FL_INLINE V FN(fma_unequal)(V sum, V a, V b, V x, V y) { return vfma(vdrop(veq(a, b), x), y, sum); }
FL_INLINE V FN(fma_where)(V sum, M where, V x, V y) { return vfma(vselect(where, x, FN(vset)(0)), y, sum); }
FL_INLINE V FN(minus_where)(M where, V a, V b) { return vselect(where, a - b, FN(vset)(0)); }
#endif

FL_INLINE void FN(flush)(V *sum, vd *total) {
#if FL_REAL_BITS == 32
  total[0] += vlow(*sum), total[1] += vhigh(*sum);
#else
  total[0] += *sum;
#endif
  *sum = FN(vset)(0);
}

/* ---- softmax ------------------------------------------------------------------------------------------------------ */

enum { FN(FL_HIT), FN(FL_ALARM), FN(FL_MISS), FN(FL_RUNNING) };

/* One register of positions. Exponentials e^x of all classes, scaled by a power of two that is the position's own: p = e share. All
   but `max` is 0 where masked. */
typedef struct {
  V share;       /* 1 / sum of the exponentials */
  V not_leading; /* the leading class's 1 - p */
  V label_e;
  V max, label_x, tail_sum; /* for the entropy; tail_sum: the sum of the others' exponentials, relative to the largest */
} FN(position);

/* *largest becomes the largest |max| so far; beyond 2 FL_RANGE the result is void, and real.h's loops must be used. */
FL_INLINE FN(position)
    FN(position_of)(const fl_region *b, ptrdiff_t C, ptrdiff_t q, V label, int masked, int entropy, V *e, V *largest) {
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
  *largest = vmax(vabs(m), *largest);
  const V low = m - FL_RANGE, k = vfma(m, FN(vset)((R)FL_LOG2E), FN(vset)(FL_ROUND)) - FL_ROUND, exponent = k - FL_BIAS;
  const M is_masked = vlt(label, zero);
  V ties = -one, all = zero, others = zero, own = zero;
  at.label_e = zero, at.label_x = at.max = m;
#pragma GCC unroll 4
  for (ptrdiff_t c = 0; c < C; c++, own += one) {
    const V v = vload(FN(plane)(b->x, b->step, c) + q), term = vexp_scaled(vmax(low, v), exponent);
    const M is = veq(label, own);
    all += term;
    others = FN(add_unequal)(others, v, m, term);
    at.label_e = vselect(is, term, at.label_e);
    if (entropy) ties = vtally(ties, veq(v, m)), at.label_x = vselect(is, v, at.label_x);
    e[c] = masked ? vdrop(is_masked, term) : term;
  }
  at.share = FN(inverse)(all), at.not_leading = others * at.share;
  if (entropy) {
    const V gap = vfma(k, FN(vset)(FL_LN2_LOW), vfma(k, FN(vset)(FL_LN2_HIGH), -m));
    at.tail_sum = vfma(others, vexp_small(gap) * (R)FL_UNBIAS, ties);
  } else
    at.tail_sum = zero;
  if (masked)
    at.share = vdrop(is_masked, at.share), at.not_leading = vdrop(is_masked, at.not_leading),
    at.tail_sum = vdrop(is_masked, at.tail_sum);
  return at;
}

FL_INLINE int FN(is_too_large)(V largest) { return FN(vany)(vlt(FN(vset)(2 * FL_RANGE), largest)); }

/* 0: void. */
FL_INLINE int FN(softmax_sums_loop)(const fl_region *b, ptrdiff_t C, int masked, int entropy, double *sums, V *e,
                                    V *running, vd *totals) {
  const V zero = FN(vset)(0), one = FN(vset)(1);
  vd cost_total[2] = {{0}}, log_total[2] = {{0}};
  V cost = zero, product = zero, largest = zero;
  for (ptrdiff_t k = 0; k < FN(FL_RUNNING) *C; k++) running[k] = zero;
  for (ptrdiff_t k = 0; k < 2 * FN(FL_RUNNING) *C; k++) totals[k] = vset_f64(0);
  ptrdiff_t left = FL_FLUSH_EVERY;
  for (ptrdiff_t q = 0; q < b->P; q += LANES) {
    const V label = vload((const R *)b->t + q);
    const FN(position) at = FN(position_of)(b, C, q, label, masked, entropy, e, &largest);
    const V hit = at.label_e * at.share, miss = vselect(vlt(FN(vset)((R)0.5), hit), at.not_leading, one - hit);
    V own = zero;
#pragma GCC unroll 4
    for (ptrdiff_t c = 0; c < C; c++, own += one) {
      const M is = veq(label, own);
      V *sum = running + c * FN(FL_RUNNING);
      sum[FN(FL_HIT)] = FN(add_where)(sum[FN(FL_HIT)], is, hit);
      sum[FN(FL_MISS)] = FN(add_where)(sum[FN(FL_MISS)], is, miss);
      sum[FN(FL_ALARM)] = FN(fma_unequal)(sum[FN(FL_ALARM)], label, own, e[c], at.share);
    }
    if (entropy) cost += masked ? vdrop(vlt(label, zero), at.max - at.label_x) : at.max - at.label_x;
    if (entropy) product = vfma(product, at.tail_sum, product + at.tail_sum);
    if (--left == 0 || q + LANES >= b->P) {
      left = FL_FLUSH_EVERY;
#pragma GCC unroll 4
      for (ptrdiff_t c = 0; c < C; c++)
#pragma GCC unroll 3
        for (int k = 0; k < FN(FL_RUNNING); k++)
          FN(flush)(running + c * FN(FL_RUNNING) + k, totals + 2 * (c * FN(FL_RUNNING) + k));
      if (entropy) {
        V log = vlog1p(product);
        FN(flush)(&cost, cost_total);
        FN(flush)(&log, log_total);
        product = zero;
      }
    }
  }
  for (ptrdiff_t c = 0; c < C; c++, totals += 2 * FN(FL_RUNNING), sums += FL_REGION_SUMS) {
    sums[FL_TP] = FN(total)(totals + 2 * FN(FL_HIT)), sums[FL_FP] = FN(total)(totals + 2 * FN(FL_ALARM));
    sums[FL_FN] = FN(total)(totals + 2 * FN(FL_MISS));
    sums[FL_VOLUME] = rint(sums[FL_TP] + sums[FL_FN]); /* each position adds 1 to their sum */
    sums[FL_ENTROPY] = c == 0 ? FN(total)(cost_total) + FN(total)(log_total) : 0;
  }
  return !FN(is_too_large)(largest);
}

/* work: four registers for each class. */
FL_INLINE void FN(softmax_grad_loop)(const fl_region *b, ptrdiff_t C, int masked, int entropy, V *work) {
  const V zero = FN(vset)(0), one = FN(vset)(1), half = FN(vset)((R)0.5);
  /* on, off: gradients with respect to p where t is 1, and 0 */
  V *e = work, *on = work + C, *off = work + 2 * C, *k = work + 3 * C;
  V largest = zero; /* not looked at: fused_softmax_sums has refused what is too large */
#pragma GCC unroll 4
  for (ptrdiff_t c = 0; c < C; c++) {
    const R *s = (const R *)b->d_sums + c * FL_REGION_GRADS;
    on[c] = FN(vset)(s[FL_D_TP] - s[FL_D_FN]), off[c] = FN(vset)(s[FL_D_FP]), k[c] = FN(vset)(s[FL_D_ENTROPY]);
  }
  for (ptrdiff_t q = 0; q < b->P; q += LANES) {
    const V label = vload((const R *)b->t + q);
    const FN(position) at = FN(position_of)(b, C, q, label, masked, 0, e, &largest);
    V own = zero, leading = zero, others = zero, whole = zero;
#pragma GCC unroll 4
    for (ptrdiff_t c = 0; c < C; c++, own += one) {
      const M is = veq(label, own);
      const V p = e[c] * at.share, g = vselect(is, on[c], off[c]);
      leading = vselect(vlt(half, p), g, leading);
      others = FN(fma_where)(others, vle(p, half), g, p);
      if (entropy) whole = vselect(is, k[c], whole);
      e[c] = p;
    }
    const V apart = leading * at.not_leading - others, hit = at.label_e * at.share;
    const V miss = vselect(vlt(half, hit), at.not_leading, one - hit);
    own = zero;
#pragma GCC unroll 4
    for (ptrdiff_t c = 0; c < C; c++, own += one) {
      const M is = veq(label, own);
      const V p = e[c], g = vselect(is, on[c], off[c]);
      V gradient = p * (FN(minus_where)(vle(p, half), g, leading) + apart);
      if (entropy) gradient = vfma(whole, vselect(is, -miss, p), gradient);
      R *out = (R *)(b->grad + c * b->grad_step) + q;
      __builtin_prefetch(out + b->P, 1);
      vstore(out, gradient);
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

/* work: FL_REGION_WORK registers for each class. 0: logits too far from 0 for this way. */
static int FN(region_fused_softmax_sums)(const fl_region *b, int masked, void *work_, double *sums) {
  V *work = work_, few[FN(FL_FEW) *(1 + FN(FL_RUNNING))];
  vd few_totals[2 * FN(FL_FEW) *FN(FL_RUNNING)];
#define FL_CALL(C)                                                                                                       \
  {                                                                                                                      \
    V *e = C <= FN(FL_FEW) ? few : work;                                                                                 \
    vd *totals = C <= FN(FL_FEW) ? few_totals : (vd *)(work + (1 + FN(FL_RUNNING))*(C));                                 \
    if (b->entropy && masked)                                                                                            \
      return FN(softmax_sums_loop)(b, C, 1, 1, sums, e, e + (C), totals);                                                \
    else if (b->entropy)                                                                                                 \
      return FN(softmax_sums_loop)(b, C, 0, 1, sums, e, e + (C), totals);                                                \
    else if (masked)                                                                                                     \
      return FN(softmax_sums_loop)(b, C, 1, 0, sums, e, e + (C), totals);                                                \
    else                                                                                                                 \
      return FN(softmax_sums_loop)(b, C, 0, 0, sums, e, e + (C), totals);                                                \
  }
  FL_FEW_CLASSES(FL_CALL)
#undef FL_CALL
}

static void FN(region_fused_softmax_grad)(const fl_region *b, int masked, void *work) {
  V few[4 * FN(FL_FEW)];
#define FL_CALL(C)                                                                                                       \
  {                                                                                                                      \
    V *e = C <= FN(FL_FEW) ? few : work;                                                                                 \
    if (b->entropy && masked)                                                                                            \
      FN(softmax_grad_loop)(b, C, 1, 1, e);                                                                              \
    else if (b->entropy)                                                                                                 \
      FN(softmax_grad_loop)(b, C, 0, 1, e);                                                                              \
    else if (masked)                                                                                                     \
      FN(softmax_grad_loop)(b, C, 1, 0, e);                                                                              \
    else                                                                                                                 \
      FN(softmax_grad_loop)(b, C, 0, 0, e);                                                                              \
  }
  FL_FEW_CLASSES(FL_CALL)
#undef FL_CALL
}
#undef FL_FEW_CLASSES

/* ---- sigmoid ------------------------------------------------------------------------------------------------------ */

/* Probabilities of the wrong class and of the right one; *e: exp(-|x|), *behind: how far x is on the wrong side. */
FL_INLINE V FN(wrong_of)(V x, M is, V *right, V *e, V *behind) {
  const V zero = FN(vset)(0), z = vselect(is, -x, x);
  *e = vexp_negative(-vabs(x));
  const V large = FN(inverse)(*e + 1), small = *e * large;
  const M missed = vlt(zero, z);
  *behind = vmax(zero, z);
  *right = vselect(missed, small, large);
  return vselect(missed, large, small);
}

FL_INLINE void FN(sigmoid_sums_loop)(const fl_region *b, ptrdiff_t c, int masked, int entropy, double *sums) {
  const V zero = FN(vset)(0), own = FN(vset)((R)(b->target == FL_INDEX ? c : 1));
  const R *x = FN(plane)(b->x, b->step, c), *t = FN(plane)(b->t, b->t_step, c);
  V hit = zero, alarm = zero, miss = zero, cost = zero, product = zero;
  vd hits[2] = {{0}}, alarms[2] = {{0}}, misses[2] = {{0}}, costs[2] = {{0}}, logs[2] = {{0}};
  for (ptrdiff_t at = 0; at < b->P; at += FL_FLUSH_EVERY * LANES) {
    const ptrdiff_t end = at + FL_FLUSH_EVERY * LANES < b->P ? at + FL_FLUSH_EVERY * LANES : b->P;
    for (ptrdiff_t q = at; q < end; q += LANES) {
      __builtin_prefetch(x + q + b->P);
      const V label = vload(t + q);
      const M is = veq(label, own);
      V right, e, behind, wrong = FN(wrong_of)(vload(x + q), is, &right, &e, &behind);
      if (masked) {
        const M is_masked = vlt(label, zero);
        wrong = vdrop(is_masked, wrong), e = vdrop(is_masked, e), behind = vdrop(is_masked, behind);
      }
      hit = FN(add_where)(hit, is, right);
      miss = FN(add_where)(miss, is, wrong);
      alarm = FN(add_unequal)(alarm, label, own, wrong);
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
  sums[FL_TP] = FN(total)(hits), sums[FL_FP] = FN(total)(alarms), sums[FL_FN] = FN(total)(misses);
  sums[FL_VOLUME] = rint(sums[FL_TP] + sums[FL_FN]); /* each position adds 1 to their sum */
  sums[FL_ENTROPY] = FN(total)(costs) + FN(total)(logs);
}

static void FN(region_fused_sigmoid_sums)(const fl_region *b, ptrdiff_t c, int masked, double *sums) {
  if (b->entropy && masked)
    FN(sigmoid_sums_loop)(b, c, 1, 1, sums);
  else if (b->entropy)
    FN(sigmoid_sums_loop)(b, c, 0, 1, sums);
  else if (masked)
    FN(sigmoid_sums_loop)(b, c, 1, 0, sums);
  else
    FN(sigmoid_sums_loop)(b, c, 0, 0, sums);
}

FL_INLINE void FN(sigmoid_grad_loop)(const fl_region *b, ptrdiff_t c, int masked, int entropy) {
  const V own = FN(vset)((R)(b->target == FL_INDEX ? c : 1)), zero = FN(vset)(0);
  const R *x = FN(plane)(b->x, b->step, c), *t = FN(plane)(b->t, b->t_step, c);
  const R *s = (const R *)b->d_sums + c * FL_REGION_GRADS;
  const V on = FN(vset)(s[FL_D_TP] - s[FL_D_FN]), off = FN(vset)(s[FL_D_FP]), k = FN(vset)(s[FL_D_ENTROPY]);
  R *out = (R *)(b->grad + c * b->grad_step);
  for (ptrdiff_t q = 0; q < b->P; q += LANES) {
    __builtin_prefetch(x + q + b->P);
    __builtin_prefetch(out + q + b->P, 1);
    const V label = vload(t + q);
    const M is = veq(label, own);
    V right, e, behind;
    const V wrong = FN(wrong_of)(vload(x + q), is, &right, &e, &behind);
    V gradient = vselect(is, on, off) * (right * wrong);
    if (entropy) gradient = vfma(k, vselect(is, -wrong, wrong), gradient);
    vstore(out + q, masked ? vdrop(vlt(label, zero), gradient) : gradient);
  }
}

static void FN(region_fused_sigmoid_grad)(const fl_region *b, ptrdiff_t c, int masked) {
  if (b->entropy && masked)
    FN(sigmoid_grad_loop)(b, c, 1, 1);
  else if (b->entropy)
    FN(sigmoid_grad_loop)(b, c, 0, 1);
  else if (masked)
    FN(sigmoid_grad_loop)(b, c, 1, 0);
  else
    FN(sigmoid_grad_loop)(b, c, 0, 0);
}

#undef FL_FLUSH_EVERY

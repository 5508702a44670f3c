/* Softmax statistics and gradients of tiles: C x P logits with the positions (rows) along the vector, so that few classes, or a
 * class axis strided over an image, fill the registers. Included by rows.c once per type, after real.h whose scheme it shares.
 */

FL_INLINE V FN(load_narrow)(const double *p) {
#if FL_REAL_BITS == 32
  return vnarrow(vload(p), vload(p + LANES_F64));
#else
  return vload(p);
#endif
}

/* Terms of a few classes of a register of positions: kept in e if wanted, summed but for those that equal `max`, which are counted. Prefetches what
   is read next, if that is not null. */
FL_INLINE void FN(class_terms)(int count, const R *x, ptrdiff_t x_step, R *e, ptrdiff_t e_step, V max, V shift, V low,
                               V exponent, vd sum[2], V *ties, const char *next, ptrdiff_t next_step) {
  V term[4] = {FN(vset)(0), FN(vset)(0), FN(vset)(0), FN(vset)(0)};
#pragma GCC unroll 4
  for (int j = 0; j < count; j++) {
    const V v = vload(x + j * x_step);
    term[j] = FN(term)(v, shift, low, exponent);
    if (next) __builtin_prefetch(next + j * next_step, 0, 2);
    if (e) vstore(e + j * e_step, term[j]);
    const M is_max = veq(v, max);
    *ties = vtally(*ties, is_max);
    term[j] = vdrop(is_max, term[j]);
  }
  FN(sum_terms)(sum, term);
}

/* The largest of each position of a register of them. `in_place`: the logits lie in the caller's array, each class contiguous, and are
   copied to `copy` on the way: where runs are a power of two apart, a second reading would find that they have driven
   each other out of the cache. */
FL_INLINE V FN(class_max)(ptrdiff_t C, const R *x, ptrdiff_t x_step, int in_place, R *copy, ptrdiff_t copy_step) {
  V m = vload(x), m1 = m;
  ptrdiff_t c = 0;
#define FL_CLASS(m, c)                                                                                                   \
  do {                                                                                                                   \
    const V v = vload(x + (c) * x_step);                                                                                 \
    if (in_place) {                                                                                                      \
      __builtin_prefetch((const char *)(x + (c) * x_step) + FL_COLUMNS_AHEAD);                                           \
      vstore(copy + (c) * copy_step, v);                                                                                 \
    }                                                                                                                    \
    m = vmax(m, v);                                                                                                      \
  } while (0)
  for (; c + 2 <= C; c += 2) {
    FL_CLASS(m, c);
    FL_CLASS(m1, c + 1);
  }
  if (c < C) FL_CLASS(m, c);
#undef FL_CLASS
  return vmax(m, m1);
}

/* In strips of a few registers of positions, so that their latencies (of a maximum, of the last exponentials) overlap. */
FL_INLINE void FN(tile_stats_loop)(const fl_tile *tile, int in_place, int keep, double *max, double *tail_sum,
                                   double *exp_scale) {
  enum { MOST = 8 };
  const ptrdiff_t C = tile->C, P = tile->P, x_step = tile->x_step;
  const V wide = FN(vset)(2 * FL_RANGE), zero = FN(vset)(0), one = FN(vset)(1);
  ptrdiff_t strip = FL_CHUNK_BYTES / (C * FL_BYTES);
  strip = (strip < 1 ? 1 : strip > MOST ? MOST : strip) * LANES;
  strip = strip < P ? strip : P;
  const ptrdiff_t step = in_place && !keep ? strip : P; /* of the logits as the second pass finds them */
  for (ptrdiff_t first = 0; first < P; first += strip) {
    const ptrdiff_t n = P - first < strip ? P - first : strip;
    const R *x = (const R *)tile->x + first;
    R *e = keep ? (R *)tile->e + first : NULL, *copy = keep ? e : tile->copy;
    const R *again = in_place ? copy : x; /* the logits as the second pass finds them */
    V maxima[MOST], exponents[MOST], ties[MOST];
    vd sums[MOST][2];
    for (ptrdiff_t q = 0, k = 0; q < n; q += LANES, k++)
      maxima[k] = FN(class_max)(C, x + q, x_step, in_place, in_place ? copy + q : NULL, step);
    for (ptrdiff_t q = 0, k = 0; q < n; q += LANES, k++) {
      const V m = maxima[k], shift = vselect(vlt(wide, vabs(m)), m, zero), y = m - shift, low = y - FL_RANGE;
      exponents[k] = vfma(y, FN(vset)((R)FL_LOG2E), FN(vset)(FL_ROUND)) - FL_ROUND;
      const V exponent = exponents[k] - FL_BIAS;
      V tied = -one;
      vd sum[2] = {vset_f64(0), vset_f64(0)};
      /* with an infinite or nan max, which is rare, nan is looked for before e, which may be x, is written */
      const int odd = FN(vcount)(vlt(vabs(m), FN(vset)((R)INFINITY))) < LANES;
      if (odd)
        for (int j = 0; j < LANES; j++) exp_scale[first + q + j] = FN(has_nan)(C, again + q + j, step) ? NAN : 0;
      ptrdiff_t c = 0;
#define FL_CLASSES(count)                                                                                                \
  FN(class_terms)(count, again + q + c * step, step, keep ? e + q + c * P : NULL, P, m, shift, low, exponent, sum,       \
                  &tied, in_place ? NULL : tile->next + c * tile->next_step + (first + q) * (ptrdiff_t)sizeof(R),        \
                  tile->next_step)
      for (; c + 4 <= C; c += 4) FL_CLASSES(4);
      if (c + 2 <= C) {
        FL_CLASSES(2);
        c += 2;
      }
      if (c < C) FL_CLASSES(1);
#undef FL_CLASSES
#if FL_REAL_BITS == 64
      sum[0] += sum[1];
#endif
      sums[k][0] = sum[0], sums[k][1] = sum[1], ties[k] = tied;
    }
    for (ptrdiff_t q = 0, k = 0; q < n; q += LANES, k++) {
      const V m = maxima[k], y = m - vselect(vlt(wide, vabs(m)), m, zero), bound = FN(vset)((R)INFINITY);
      for (int h = 0; h < FL_HALVES; h++) {
        const ptrdiff_t at = first + q + h * LANES_F64;
        const vd kd = FL_HALF(exponents[k], h), yd = FL_HALF(y, h);
        const vd u = FL_EXP_SCALE((kd * FL_LN2_HIGH_F64 - yd) + kd * FL_LN2_LOW_F64);
        vd r = sums[k][h] * (u * FL_UNBIAS);
        r = vdrop(vlt(r, vset_f64(FL_FLUSH)), r) + FL_HALF(ties[k], h);
        if (FN(vcount)(vlt(vabs(m), bound)) < LANES) {
          const md fine = vlt(vabs(FL_HALF(m, h)), vset_f64(INFINITY));
          r = vselect(fine, r, vload(exp_scale + at));
          vstore(exp_scale + at, vselect(fine, u, vset_f64(NAN)));
        } else {
          vstore(exp_scale + at, u);
        }
        vstore(max + at, FL_HALF(m, h));
        vstore(tail_sum + at, r);
      }
    }
  }
}

static void FN(tile_stats)(const fl_tile *tile, double *max, double *tail_sum, double *exp_scale) {
  const int in_place = tile->copy != NULL;
  if (in_place)
    if (tile->e)
      FN(tile_stats_loop)(tile, 1, 1, max, tail_sum, exp_scale);
    else
      FN(tile_stats_loop)(tile, 1, 0, max, tail_sum, exp_scale);
  else if (tile->e)
    FN(tile_stats_loop)(tile, 0, 1, max, tail_sum, exp_scale);
  else
    FN(tile_stats_loop)(tile, 0, 0, max, tail_sum, exp_scale);
}

/* out = e factor / 2^bias, classes out_step elements apart; in two steps where the factor itself would lose bits. */
static void FN(tile_scale)(ptrdiff_t C, ptrdiff_t P, const void *e_, const double *factor, void *out_,
                           ptrdiff_t out_step) {
  const V unbias = FN(vset)((R)FL_UNBIAS);
  for (ptrdiff_t q = 0; q < P; q += LANES) {
    const R *e = (const R *)e_ + q;
    R *out = (R *)out_ + q;
    const V f = FN(load_narrow)(factor + q), g = f * unbias;
    if (__builtin_expect(FN(vany)(vlt(vabs(g), FN(vset)((R)FL_SMALL))), 0))
      for (ptrdiff_t c = 0; c < C; c++) vstore(out + c * out_step, vload(e + c * P) * unbias * f);
    else
      for (ptrdiff_t c = 0; c < C; c++) {
        __builtin_prefetch((const char *)(out + c * out_step) + FL_COLUMNS_AHEAD, 1);
        vstore(out + c * out_step, vload(e + c * P) * g);
      }
  }
}

static void FN(tile_log_softmax)(ptrdiff_t C, ptrdiff_t P, void *x_, const double *max, const double *log1p_tail) {
  for (ptrdiff_t q = 0; q < P; q += LANES) {
    R *x = (R *)x_ + q;
    const V m = FN(load_narrow)(max + q), l = FN(load_narrow)(log1p_tail + q);
    for (ptrdiff_t c = 0; c < C; c++) vstore(x + c * P, (vload(x + c * P) - m) - l);
  }
}

static void FN(tile_soft_sums)(ptrdiff_t C, ptrdiff_t P, const void *x_, const double *max, const fl_soft *soft,
                               double *weighted, double *weight) {
  const R *class_weight = soft->class_weight;
  const vd zero = vset_f64(0);
  for (ptrdiff_t q = 0; q < P; q += LANES)
    for (int h = 0; h < FL_HALVES; h++) {
      const ptrdiff_t at = q + h * LANES_F64;
      const vd m = vload(max + at);
      vd sum = zero, total = zero, sum_lost = zero, total_lost = zero;
      for (ptrdiff_t c = 0; c < C; c++) {
        const V v = vload((const R *)x_ + c * P + q);
        vd a = vset_f64(soft->floor);
        if (soft->t) {
          const V t = vload((const R *)soft->t + c * P + q);
          a = vfma(vset_f64(soft->mix), FL_HALF(t, h), a);
        }
        if (class_weight) a *= class_weight[c];
        FN(add_up)(&sum, &sum_lost, vselect(veq(a, zero), zero, a * (m - FL_HALF(v, h))));
        FN(add_up)(&total, &total_lost, a);
      }
      vstore(weighted + at, sum + vselect(veq(sum_lost, sum_lost), sum_lost, zero));
      vstore(weight + at, total + total_lost);
    }
}

/* As soft_grad; scale is one per position. */
static void FN(tile_soft_grad)(ptrdiff_t C, ptrdiff_t P, const void *x_, void *e_, const double *max,
                               const double *tail_sum, const double *exp_scale, const double *scale,
                               const double *target_scale, const fl_soft *soft) {
  const R *class_weight = soft->class_weight;
  for (ptrdiff_t q = 0; q < P; q += LANES) {
    double factor[LANES], won[LANES], lost[LANES];
    for (int j = 0; j < LANES; j++) {
      won[j] = 1 / (1 + tail_sum[q + j]);
      lost[j] = tail_sum[q + j] * won[j] + (max[q + j] - max[q + j]);
      factor[j] = scale[q + j] * exp_scale[q + j] * won[j] * FL_UNBIAS;
    }
    const V f = FN(load_narrow)(factor), m = FN(load_narrow)(max + q), w = FN(load_narrow)(won),
            l = FN(load_narrow)(lost);
    const V whole = FN(load_narrow)(scale + q), target = FN(load_narrow)(target_scale + q);
    for (ptrdiff_t c = 0; c < C; c++) {
      R *e = (R *)e_ + c * P + q;
      V a = FN(vset)((R)soft->floor);
      if (soft->t) a = vfma(FN(vset)((R)soft->mix), vload((const R *)soft->t + c * P + q), a);
      if (class_weight) a *= class_weight[c];
      const V aim = target * a;
      const M is_max = veq(vload((const R *)x_ + c * P + q), m);
      vstore(e, vselect(is_max, w * (whole - aim) - l * aim, vload(e) * f - aim));
    }
  }
}

static void FN(tile_hess)(ptrdiff_t C, ptrdiff_t P, const void *x_, void *e_, const double *max, const double *tail_sum,
                          const double *exp_scale, const double *scale) {
  const V one = FN(vset)(1);
  for (ptrdiff_t q = 0; q < P; q += LANES) {
    double factor[LANES], others[LANES];
    for (int j = 0; j < LANES; j++)
      factor[j] = exp_scale[q + j] * FL_UNBIAS / (1 + tail_sum[q + j]),
      others[j] = tail_sum[q + j] / (1 + tail_sum[q + j]);
    const V m = FN(load_narrow)(max + q), f = FN(load_narrow)(factor), o = FN(load_narrow)(others);
    const V w = FN(load_narrow)(scale + q);
    for (ptrdiff_t c = 0; c < C; c++) {
      R *e = (R *)e_ + c * P + q;
      const V p = vload(e) * f;
      vstore(e, w * p * vselect(veq(vload((const R *)x_ + c * P + q), m), o, one - p));
    }
  }
}

/* Per position, sum += t log t. */
static void FN(tile_negentropy)(ptrdiff_t C, ptrdiff_t P, const void *t_, int is_log, double *sum) {
  for (ptrdiff_t q = 0; q < P; q += LANES)
    for (ptrdiff_t c = 0; c < C; c++) {
      const V term = FN(t_log_t)(vload((const R *)t_ + c * P + q), is_log);
      for (int h = 0; h < FL_HALVES; h++) {
        double *at = sum + q + h * LANES_F64;
        vstore(at, vload(at) + FL_HALF(term, h));
      }
    }
}

/* (x - first finite class) / temperature: the difference is exact where it matters, whatever the logits' offset. */
static void FN(tile_temper)(ptrdiff_t C, ptrdiff_t P, void *x_, double temperature) {
  const V by = FN(vset)((R)temperature), bound = FN(vset)((R)INFINITY);
  for (ptrdiff_t q = 0; q < P; q += LANES) {
    R *x = (R *)x_ + q;
    V reference = vload(x);
    for (ptrdiff_t c = 1; c < C; c++) reference = vselect(vlt(vabs(reference), bound), reference, vload(x + c * P));
    reference = vselect(vlt(vabs(reference), bound), reference, FN(vset)(0));
    for (ptrdiff_t c = 0; c < C; c++) vstore(x + c * P, (vload(x + c * P) - reference) / by);
  }
}

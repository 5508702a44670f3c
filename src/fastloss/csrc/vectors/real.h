/* Losses of one row of vectors (vectors.h), of one computation type. Included by vectors.c through twice.h. Everything is added up in
 * double; the type is that in which rows are read and gradients written.
 *
 * Of floats a plain sum knows all that a float result shows, but where lengths or products nearly cancel: such rows, seldom met, are
 * summed once more in double-double arithmetic (`exact`). Of doubles every row is.
 */

#include "common/registers.h"

#define STEPS (LANES / LANES_F64)

typedef struct { /* LANES elements */
  vd at[STEPS];
} FN(wide);

FL_INLINE FN(wide) FN(elements)(const void *row, ptrdiff_t i, ptrdiff_t left, int whole) {
  const R *p = (const R *)row + i;
#if FL_REAL_BITS == 32
  if (whole) return (FN(wide)){{vwiden(p), vwiden(p + LANES_F64)}};
  const V v = vload_part(p, left, 0);
  return (FN(wide)){{vlow(v), vhigh(v)}};
#else
  return (FN(wide)){{whole ? vload(p) : vload_part(p, left, 0)}};
#endif
}

FL_INLINE void FN(keep)(void *row, ptrdiff_t i, ptrdiff_t left, int whole, FN(wide) v) {
  R *p = (R *)row + i;
#if FL_REAL_BITS == 32
  const V narrow = vnarrow(v.at[0], v.at[1]);
#else
  const V narrow = v.at[0];
#endif
  if (whole)
    vstore(p, narrow);
  else
    vstore_part(p, left, narrow);
}

/* 0 in the lanes of step k that lie past the end. */
FL_INLINE vd FN(within)(vd v, int k, ptrdiff_t left, int whole) {
  return whole ? v : vdrop(vle(vset_f64((double)(left - k * LANES_F64)), vload_f64(fl_iota_f64)), v);
}

/* Runs `step` over the registers of rows a and b: an expression of i, left, whole, and of x and y, where these rows (or a chunk of
   them) begin; it may also use their gradients gx and gy, and the third row's z and gz. `after`: at the end of each chunk. Pointers
   that are read one by one do not wait for the stores that have just set them. */
#define FL_ALONG(job, a, b, step, after)                                                                                 \
  for (ptrdiff_t start = 0; start < (job)->D; start += (job)->chunk) {                                                   \
    const ptrdiff_t n = enter_chunk(job, start);                                                                         \
    const void *const x = (job)->x[a], *const y = (job)->x[b], *const z = (job)->x[2];                                   \
    void *const gx = (job)->grad[a], *const gy = (job)->grad[b], *const gz = (job)->grad[2];                             \
    ptrdiff_t i = 0;                                                                                                     \
    (void)y, (void)z, (void)gx, (void)gy, (void)gz;                                                                      \
    for (; i + LANES <= n; i += LANES) {                                                                                 \
      const ptrdiff_t left = LANES;                                                                                      \
      const int whole = 1;                                                                                               \
      step;                                                                                                              \
    }                                                                                                                    \
    if (i < n) {                                                                                                         \
      const ptrdiff_t left = n - i;                                                                                      \
      const int whole = 0;                                                                                               \
      step;                                                                                                              \
    }                                                                                                                    \
    after;                                                                                                               \
  }

/* ---- differences of two rows ---------------------------------------------------------------------------------------- */

typedef struct { /* two of the job's rows, and the powers of two by which they and their difference are multiplied */
  int a, b;
  double before, after;
} FN(between);

typedef struct {
  vd eps, before, after;
} FN(ruler);

FL_INLINE FN(ruler) FN(ruler_of)(const fl_vectors *job, const FN(between) *r) {
  return (FN(ruler)){vset_f64(job->eps * r->before), vset_f64(r->before), vset_f64(r->after)};
}

typedef struct {
  vd hi[STEPS], lo[STEPS];
} FN(sums);

FL_INLINE fl_dd FN(total)(FN(sums) s, int exact) {
#if FL_REAL_BITS == 32
  if (!exact) return (fl_dd){vsum_f64(s.hi[0] + s.hi[1]), 0};
  fold_lanes(&s.hi[0], &s.lo[0], s.hi[1], s.lo[1]);
#else
  (void)exact;
#endif
  return dd_sum_lanes(s.hi[0], s.lo[0]);
}

FL_INLINE void FN(sum_step)(FN(sums) *s, const FN(ruler) *r, int norm, int with_eps, int scaled, int exact, const void *x,
                            const void *y, ptrdiff_t i, ptrdiff_t left, int whole) {
  FN(fetch)(x, i), FN(fetch)(y, i);
  const FN(wide) u = FN(elements)(x, i, left, whole), v = FN(elements)(y, i, left, whole);
  for (int k = 0; k < STEPS; k++) {
    vd error, e = scaled ? gap(u.at[k] * r->before, v.at[k] * r->before, r->eps, with_eps, exact, &error)
                         : gap(u.at[k], v.at[k], r->eps, with_eps, exact, &error);
    e = FN(within)(e, k, left, whole), error = FN(within)(error, k, left, whole);
    if (scaled) e *= r->after, error *= r->after;
    if (norm == FL_NORM_TWO)
      add_square(&s->hi[k], &s->lo[k], e, error, exact);
    else
      add_size(&s->hi[k], &s->lo[k], e, error, exact);
  }
}

FL_INLINE fl_dd FN(sum_with)(fl_vectors *job, const FN(between) *rows, int norm, int with_eps, int scaled, int exact) {
  FN(sums) s = {0};
  const FN(ruler) r = FN(ruler_of)(job, rows);
  FL_ALONG(job, rows->a, rows->b, FN(sum_step)(&s, &r, norm, with_eps, scaled, exact, x, y, i, left, whole), (void)0)
  return FN(total)(s, exact);
}

/* The sum of the squares of the differences, or of their sizes: a loop for each of the usual cases. */
static fl_dd FN(sum)(fl_vectors *job, const FN(between) *r, int exact) {
  const int one = job->norm == FL_NORM_ONE, scaled = r->before != 1 || r->after != 1;
  if (scaled || (exact && FL_REAL_BITS == 32))
    return one ? FN(sum_with)(job, r, FL_NORM_ONE, 1, 1, 1) : FN(sum_with)(job, r, FL_NORM_TWO, 1, 1, 1);
  if (one) return FN(sum_with)(job, r, FL_NORM_ONE, 1, 0, FL_REAL_BITS == 64);
  return job->eps != 0 ? FN(sum_with)(job, r, FL_NORM_TWO, 1, 0, FL_REAL_BITS == 64)
                       : FN(sum_with)(job, r, FL_NORM_TWO, 0, 0, FL_REAL_BITS == 64);
}

/* The differences of a register of two rows, times `before`; infinite where an operand is, 0 past the end. */
FL_INLINE FN(wide) FN(gaps)(const FN(ruler) *r, const void *x, const void *y, ptrdiff_t i, ptrdiff_t left, int whole) {
  const FN(wide) u = FN(elements)(x, i, left, whole), v = FN(elements)(y, i, left, whole);
  FN(wide) e;
  for (int k = 0; k < STEPS; k++)
    e.at[k] = FN(within)(rounded_gap(u.at[k] * r->before, v.at[k] * r->before, r->eps, 1, 1), k, left, whole);
  return e;
}

typedef struct {
  vd top, bad;
} FN(extent);

FL_INLINE void FN(widen)(FN(extent) *all, FN(wide) e) {
  for (int k = 0; k < STEPS; k++) {
    all->top = vmax(vabs(e.at[k]), all->top);
    all->bad += vselect(veq(e.at[k], e.at[k]), vset_f64(0), e.at[k]);
  }
}
FL_INLINE double FN(extent_of)(FN(extent) all) { /* nan if any element is */
  const double bad = vsum_f64(all.bad);
  return bad == bad ? vtop(all.top) : bad;
}

/* The largest difference of two rows times `before`, and the largest element of a row. */
static double FN(largest)(fl_vectors *job, const FN(between) *rows) {
  FN(extent) all = {vset_f64(0), vset_f64(0)};
  const FN(ruler) r = FN(ruler_of)(job, rows);
  FL_ALONG(job, rows->a, rows->b, FN(widen)(&all, FN(gaps)(&r, x, y, i, left, whole)), (void)0)
  return FN(extent_of)(all);
}
static double FN(largest_of)(fl_vectors *job, int which) {
  FN(extent) all = {vset_f64(0), vset_f64(0)};
  FL_ALONG(job, which, which, FN(widen)(&all, FN(elements)(x, i, left, whole)), (void)0)
  return FN(extent_of)(all);
}

typedef struct {
  vd size, most, count;
} FN(leaders);

FL_INLINE void FN(leader_step)(FN(leaders) *of, const FN(ruler) *r, const void *x, const void *y, ptrdiff_t i,
                               ptrdiff_t left, int whole) {
  const FN(wide) u = FN(elements)(x, i, left, whole), v = FN(elements)(y, i, left, whole);
  for (int k = 0; k < STEPS; k++) {
    vd error;
    const vd e = FN(within)(gap(u.at[k] * r->before, v.at[k] * r->before, r->eps, 1, 1, &error), k, left, whole);
    const md leads = veq(vabs(e), of->size);
    of->count = vtally(of->count, leads);
    of->most = vmax(of->most, vselect(leads, vselect(vlt(e, vset_f64(0)), -error, error), of->most));
  }
}

/* The largest rounding error of the largest differences (of size `top`, times `before`); and how many they are. */
static double FN(largest_error)(fl_vectors *job, const FN(between) *rows, double top, double *count) {
  FN(leaders) of = {vset_f64(top), vset_f64(-INFINITY), vset_f64(0)};
  const FN(ruler) r = FN(ruler_of)(job, rows);
  FL_ALONG(job, rows->a, rows->b, FN(leader_step)(&of, &r, x, y, i, left, whole), (void)0)
  *count = vsum_f64(of.count);
  return vtop(of.most);
}

FL_INLINE void FN(power_step)(vd sum[2], FN(wide) e, double top, double p) {
  for (int k = 0; k < STEPS; k++) {
    const vd ratio = vabs(e.at[k]) / top;
    const md gone = vlt(ratio, vset_f64(0x1p-1000));
    const vd log = vlog(vselect(gone, vset_f64(1), ratio));
    add_compensated(&sum[0], &sum[1], vdrop(gone, fl_exp_negative(log * p)));
  }
}

/* The sum of (size / top)^p. */
static double FN(sum_of_powers)(fl_vectors *job, const FN(between) *rows, double top) {
  vd sum[2] = {vset_f64(0), vset_f64(0)};
  const FN(ruler) r = FN(ruler_of)(job, rows);
  const double p = job->p;
  FL_ALONG(job, rows->a, rows->b, FN(power_step)(sum, FN(gaps)(&r, x, y, i, left, whole), top, p), (void)0)
  const fl_dd all = dd_sum_lanes(sum[0], sum[1]);
  return all.hi + all.lo;
}

/* The length of the difference of two rows by the job's norm, or (not `rooted`, norm two) its square. Sets r's powers of two. */
static length FN(distance)(fl_vectors *job, FN(between) *r, int rooted, int exact) {
  r->before = r->after = 1;
  if (job->norm == FL_NORM_ONE || job->norm == FL_NORM_TWO) {
    const double eps = job->norm == FL_NORM_TWO ? job->eps * job->eps * 0x1p-20 : job->eps,
                 least = job->norm == FL_NORM_TWO ? 0x1p-900 : 0;
    fl_dd s = FN(sum)(job, r, exact);
    if (!exact && s.hi <= (double)job->D * eps * 0x1p-20) s = FN(sum)(job, r, 1); /* little is left of x - y + eps */
    if (s.hi >= least && s.hi < 0x1p1000) {
      const length sum = {s.hi, s.lo, 0};
      return rooted && job->norm == FL_NORM_TWO ? length_root(sum, exact) : sum;
    }
  }
  double top = FN(largest)(job, r);
  if (top == INFINITY) r->before = 0.25, top = FN(largest)(job, r); /* the difference itself may be too large */
  if (!(top > 0 && top < INFINITY)) return (length){top, 0, 0};
  int shift = r->before == 1 ? 0 : 2;
  if (job->norm == FL_NORM_MAX) {
    double count;
    return (length){top, exact ? FN(largest_error)(job, r, top, &count) : 0, shift};
  }
  if (job->norm == FL_NORM_ANY) return (length){top * exp(log(FN(sum_of_powers)(job, r, top)) / job->p), 0, shift};
  int power;
  frexp(top, &power);
  shift += power, shift = shift < -1000 ? -1000 : shift > 1000 ? 1000 : shift;
  r->before = shift > 0 ? ldexp(1, -shift) : 1, r->after = shift < 0 ? ldexp(1, -shift) : 1;
  const fl_dd s = FN(sum)(job, r, 1);
  if (job->norm == FL_NORM_ONE) return (length){s.hi, s.lo, shift};
  const length square = {s.hi, s.lo, 2 * shift};
  return rooted ? length_root(square, 1) : square;
}

/* ---- their gradients --------------------------------------------------------------------------------------------------- */

typedef struct { /* factor times the gradient of a length with respect to the difference */
  FN(between) r;
  double factor, top; /* top: the length, or the largest difference */
} FN(factors);

/* `factor` times the gradient of a length (of its square, if not `rooted`) that `distance` has found. */
static FN(factors) FN(factors_of)(fl_vectors *job, const FN(between) *r, length d, int rooted, double factor) {
  FN(factors) t = {*r, factor, d.hi};
  if (job->norm == FL_NORM_TWO && !rooted) t.factor = 2 * factor, t.r.before = t.r.after = 1;
  if (job->norm == FL_NORM_TWO && rooted) t.factor = factor / d.hi;
  if (job->norm == FL_NORM_MAX) {
    double count;
    FN(largest_error)(job, r, d.hi, &count);
    t.factor = factor / (count > 0 ? count : 1);
  }
  if (d.hi == 0) t.factor = 0, t.top = 1;
  return t;
}

typedef struct { /* `factors` in registers */
  FN(ruler) r;
  vd factor, top, power;
} FN(factor_registers);

FL_INLINE FN(factor_registers) FN(factor_registers_of)(const fl_vectors *job, const FN(factors) *t) {
  return (FN(factor_registers)){FN(ruler_of)(job, &t->r), vset_f64(t->factor), vset_f64(t->top), vset_f64(job->p - 1)};
}

FL_INLINE vd FN(gradient)(const FN(factor_registers) *t, vd x, vd y, int norm, int with_eps, int scaled) {
  const vd zero = vset_f64(0), eps = t->r.eps;
  const int exact = with_eps && (FL_REAL_BITS == 64 || norm == FL_NORM_MAX); /* as `largest` saw it */
  const vd e = scaled ? rounded_gap(x * t->r.before, y * t->r.before, eps, with_eps, exact) * t->r.after
                      : rounded_gap(x, y, eps, with_eps, exact);
  if (norm == FL_NORM_TWO) return e * t->factor;
  const vd size = vabs(e);
  const vd sign = vselect(vlt(zero, e), vset_f64(1), vselect(vlt(e, zero), vset_f64(-1), e)); /* nan if e is */
  if (norm == FL_NORM_ONE) return sign * t->factor;
  if (norm == FL_NORM_MAX) return vselect(veq(size, t->top), sign, zero) * t->factor;
  const vd ratio = vmax(vset_f64(0x1p-1000), size / t->top);
  return sign * t->factor * fl_exp_negative(vmin(zero, t->power * vlog(ratio)));
}

FL_INLINE void FN(pair_step)(const FN(factor_registers) *t, int scaled, const void *x, const void *y, void *gx, void *gy,
                             ptrdiff_t i, ptrdiff_t left, int whole) {
  const FN(wide) u = FN(elements)(x, i, left, whole), v = FN(elements)(y, i, left, whole);
  FN(wide) up, down;
  for (int k = 0; k < STEPS; k++) {
    up.at[k] = FN(gradient)(t, u.at[k], v.at[k], FL_NORM_TWO, 0, scaled);
    down.at[k] = -up.at[k];
  }
  FN(fetch_out)(gx, i), FN(fetch_out)(gy, i);
  FN(keep)(gx, i, left, whole, up), FN(keep)(gy, i, left, whole, down);
}

/* The gradient of a function of one distance. */
static void FN(pair_gradient)(fl_vectors *job, const FN(factors) *of) {
  const FN(factor_registers) t = FN(factor_registers_of)(job, of);
  if (of->r.before != 1 || of->r.after != 1)
    FL_ALONG(job, 0, 1, FN(pair_step)(&t, 1, x, y, gx, gy, i, left, whole), leave_chunk(job, start))
  else
    FL_ALONG(job, 0, 1, FN(pair_step)(&t, 0, x, y, gx, gy, i, left, whole), leave_chunk(job, start))
}

/* x is the anchor, y the positive, z the negative. */
FL_INLINE void FN(triplet_step)(const FN(factor_registers) *near, const FN(factor_registers) *away, int swapped, int norm,
                                int with_eps, int scaled, const void *x, const void *y, const void *z, void *gx, void *gy,
                                void *gz, ptrdiff_t i, ptrdiff_t left, int whole) {
  const FN(wide) a = FN(elements)(x, i, left, whole), p = FN(elements)(y, i, left, whole),
                 n = FN(elements)(z, i, left, whole);
  FN(wide) of_a, of_p, of_n;
  for (int k = 0; k < STEPS; k++) {
    const vd pull = FN(gradient)(near, a.at[k], p.at[k], norm, with_eps, scaled);
    const vd push = FN(gradient)(away, swapped ? p.at[k] : a.at[k], n.at[k], norm, with_eps, scaled);
    of_a.at[k] = swapped ? pull : pull + push;
    of_p.at[k] = swapped ? push - pull : -pull;
    of_n.at[k] = -push;
  }
  FN(fetch_out)(gx, i), FN(fetch_out)(gy, i), FN(fetch_out)(gz, i);
  FN(keep)(gx, i, left, whole, of_a), FN(keep)(gy, i, left, whole, of_p), FN(keep)(gz, i, left, whole, of_n);
}

#define FL_TRIPLET_GRADIENT(norm, with_eps, scaled, swapped)                                                             \
  FL_ALONG(job, 0, 1,                                                                                                    \
           FN(triplet_step)(&near, &away, swapped, norm, with_eps, scaled, x, y, z, gx, gy, gz, i, left, whole),         \
           leave_chunk(job, start))

static void FN(triplet_gradient)(fl_vectors *job, const FN(factors) *to_near, const FN(factors) *to_away, int swapped) {
  const FN(factor_registers) near = FN(factor_registers_of)(job, to_near), away = FN(factor_registers_of)(job, to_away);
  const FN(between) *const r = &to_near->r, *const s = &to_away->r;
  const int plain = r->before == 1 && r->after == 1 && s->before == 1 && s->after == 1;
  if (job->norm == FL_NORM_TWO && plain && !swapped && job->eps == 0)
    FL_TRIPLET_GRADIENT(FL_NORM_TWO, 0, 0, 0)
  else if (job->norm == FL_NORM_TWO && plain && !swapped)
    FL_TRIPLET_GRADIENT(FL_NORM_TWO, 1, 0, 0)
  else if (job->norm == FL_NORM_TWO && plain)
    FL_TRIPLET_GRADIENT(FL_NORM_TWO, 1, 0, 1)
  else if (job->norm == FL_NORM_TWO)
    FL_TRIPLET_GRADIENT(FL_NORM_TWO, 1, 1, swapped)
  else if (job->norm == FL_NORM_ONE)
    FL_TRIPLET_GRADIENT(FL_NORM_ONE, 1, 1, swapped)
  else if (job->norm == FL_NORM_MAX)
    FL_TRIPLET_GRADIENT(FL_NORM_MAX, 1, 1, swapped)
  else
    FL_TRIPLET_GRADIENT(FL_NORM_ANY, 1, 1, swapped)
}

/* Zero gradient of an inactive row (hinge not violated). */
static void FN(zero_gradient)(fl_vectors *job) {
  for (ptrdiff_t start = 0; start < job->D; start += job->chunk) {
    const ptrdiff_t n = enter_chunk(job, start);
    for (int k = 0; k < 3; k++)
      if (job->grad[k]) memset(job->grad[k], 0, (size_t)n * sizeof(R));
    leave_chunk(job, start);
  }
}

/* ---- losses of distances -------------------------------------------------------------------------------------------- */

static void FN(contrastive)(fl_vectors *job) {
  FN(between) r = {0, 1, 1, 1};
  const double p = job->power;
  if (job->label == 1) {
    const int rooted = p != 2;
    const length d = FN(distance)(job, &r, rooted, FL_REAL_BITS == 64);
    job->value = rooted ? length_power(d, p) / 2 : shifted((d.hi + d.lo) / 2, d.shift);
    if (!job->with_grad) return;
    const double derivative = rooted ? p / 2 * length_power(d, p - 1) : 0.5;
    const FN(factors) t = FN(factors_of)(job, &r, d, rooted, job->scale * derivative);
    FN(pair_gradient)(job, &t);
    return;
  }
  length d = FN(distance)(job, &r, 1, FL_REAL_BITS == 64);
  double size;
  int shift;
  double v = length_minus((length){0, 0, 0}, d, job->margin, &size, &shift);
  if (FL_REAL_BITS == 32 && fabs(v) <= FL_UNSURE * size) {
    d = FN(distance)(job, &r, 1, 1);
    v = length_minus((length){0, 0, 0}, d, job->margin, &size, &shift);
  }
  if (tied(v, size)) v = 0;
  const length lack = {above_zero(v), 0, shift};
  job->value = length_power(lack, p) / 2;
  if (!job->with_grad) return;
  if (v <= 0) {
    FN(zero_gradient)(job);
    return;
  }
  const FN(factors) t = FN(factors_of)(job, &r, d, 1, -job->scale * p / 2 * length_power(lack, p - 1));
  FN(pair_gradient)(job, &t);
}

typedef struct {
  FN(between) to_positive, to_negative;
  length near, away;
  int swapped,
      unsure; /* swapped: `away` is from the positive; unsure: plain sums may be on the wrong side of something */
  double v, size;
  int shift;
} FN(triple);

static FN(triple) FN(measure)(fl_vectors *job, int exact) {
  const int rooted = !job->squared;
  FN(triple) m = {.to_positive = {0, 1, 1, 1}, .to_negative = {0, 2, 1, 1}};
  m.near = FN(distance)(job, &m.to_positive, rooted, exact);
  m.away = FN(distance)(job, &m.to_negative, rooted, exact);
  if (job->swap) {
    FN(between) across = {1, 2, 1, 1};
    const length other = FN(distance)(job, &across, rooted, exact);
    double v = length_minus(other, m.away, 0, &m.size, &m.shift);
    m.unsure = fabs(v) <= FL_UNSURE * m.size;
    if (exact && tied(v, m.size)) v = 0;
    if (!(v >= 0)) m.away = other, m.to_negative = across, m.swapped = 1; /* nan too */
  }
  m.v = length_minus(m.near, m.away, job->margin, &m.size, &m.shift);
  m.unsure |= fabs(m.v) <= FL_UNSURE * m.size;
  if (exact && tied(m.v, m.size)) m.v = 0;
  return m;
}

static void FN(triplet)(fl_vectors *job) {
  FN(triple) m = FN(measure)(job, FL_REAL_BITS == 64);
  if (FL_REAL_BITS == 32 && m.unsure) m = FN(measure)(job, 1);
  job->value = shifted(above_zero(m.v), m.shift);
  if (!job->with_grad) return;
  if (m.v <= 0) {
    FN(zero_gradient)(job);
    return;
  }
  const double scale = m.v == m.v ? job->scale : NAN;
  const int rooted = !job->squared;
  const FN(factors) pull = FN(factors_of)(job, &m.to_positive, m.near, rooted, scale);
  const FN(factors) push = FN(factors_of)(job, &m.to_negative, m.away, rooted, -scale);
  FN(triplet_gradient)(job, &pull, &push, m.swapped);
}

/* ---- cosine --------------------------------------------------------------------------------------------------------- */

typedef struct { /* sums of the products of two vectors times powers of two, one for each */
  double by[2];
  fl_dd xx, yy, xy;
} FN(products);

FL_INLINE void FN(product_step)(FN(sums) s[3], double by_x, double by_y, int scaled, int exact, const void *x,
                                const void *y, ptrdiff_t i, ptrdiff_t left, int whole) {
  FN(fetch)(x, i), FN(fetch)(y, i);
  const FN(wide) a = FN(elements)(x, i, left, whole), b = FN(elements)(y, i, left, whole);
  for (int k = 0; k < STEPS; k++) {
    const vd u = scaled ? a.at[k] * by_x : a.at[k], v = scaled ? b.at[k] * by_y : b.at[k];
    add_product(&s[0].hi[k], &s[0].lo[k], u, u, exact);
    add_product(&s[1].hi[k], &s[1].lo[k], v, v, exact);
    add_product(&s[2].hi[k], &s[2].lo[k], u, v, exact);
  }
}

FL_INLINE void FN(multiply_with)(fl_vectors *job, FN(products) *p, int scaled, int exact) {
  FN(sums) s[3] = {{{{0}}, {{0}}}};
  const double by_x = p->by[0], by_y = p->by[1];
  FL_ALONG(job, 0, 1, FN(product_step)(s, by_x, by_y, scaled, exact, x, y, i, left, whole), (void)0)
  p->xx = FN(total)(s[0], exact), p->yy = FN(total)(s[1], exact), p->xy = FN(total)(s[2], exact);
}

/* 1: done; 0: a vector is zero; nan: one is not finite. Squares that are not in range are those of vectors brought to size 1. */
static double FN(multiply)(fl_vectors *job, FN(products) *p, int exact) {
  p->by[0] = p->by[1] = 1;
  if (exact)
    FN(multiply_with)(job, p, 0, 1);
  else
    FN(multiply_with)(job, p, 0, 0);
  const double least = p->xx.hi < p->yy.hi ? p->xx.hi : p->yy.hi;
  const double most = p->xx.hi < p->yy.hi ? p->yy.hi : p->xx.hi;
  if (least > 0x1p-450 && most < 0x1p450) return 1;
  double found = 1;
  for (int k = 0; k < 2; k++) {
    const double top = FN(largest_of)(job, k);
    int power;
    frexp(top, &power);
    p->by[k] = ldexp(1, power > 1000 ? -1000 : power < -1000 ? 1000 : -power);
    found *= top == 0 ? 0 : top < INFINITY ? 1 : NAN;
  }
  if (found == 1) FN(multiply_with)(job, p, 1, 1);
  return found;
}

FL_INLINE vd FN(residual)(vd y, vd x, fl_dd t) { return FL_REAL_BITS == 32 ? y - x * t.hi : exact_residual(y, x, t); }

FL_INLINE void FN(sine_step)(vd sum[2], double by_x, double by_y, fl_dd along, const void *x, const void *y, ptrdiff_t i,
                             ptrdiff_t left, int whole) {
  const FN(wide) u = FN(elements)(x, i, left, whole), v = FN(elements)(y, i, left, whole);
  for (int k = 0; k < STEPS; k++) {
    const vd r = exact_residual(v.at[k] * by_y, u.at[k] * by_x, along);
    add_compensated(&sum[0], &sum[1], r * r);
  }
}

/* 1 - c^2 for the cosine c of nearly parallel vectors: the part of y that is not along x, squared. */
static double FN(square_of_sine)(fl_vectors *job, const FN(products) *p, fl_dd along) {
  vd sum[2] = {vset_f64(0), vset_f64(0)};
  const double by_x = p->by[0], by_y = p->by[1];
  FL_ALONG(job, 0, 1, FN(sine_step)(sum, by_x, by_y, along, x, y, i, left, whole), (void)0)
  const fl_dd all = dd_sum_lanes(sum[0], sum[1]);
  const double sine = (all.hi + all.lo) / p->yy.hi;
  return sine < 0x1p-190 ? 0 : sine; /* what rounding leaves of parallel vectors */
}

typedef struct {    /* of the gradient of the cosine, times factor */
  fl_dd of_x, of_y; /* xy / xx and xy / yy */
  double by_x, by_y, factor;
} FN(cosine_factors);

FL_INLINE void FN(cosine_step)(const FN(cosine_factors) *t, int scaled, const void *x, const void *y, void *gx, void *gy,
                               ptrdiff_t i, ptrdiff_t left, int whole) {
  const FN(wide) a = FN(elements)(x, i, left, whole), b = FN(elements)(y, i, left, whole);
  FN(wide) of_a, of_b;
  for (int k = 0; k < STEPS; k++) {
    const vd u = scaled ? a.at[k] * t->by_x : a.at[k], v = scaled ? b.at[k] * t->by_y : b.at[k];
    of_a.at[k] = FN(residual)(v, u, t->of_x) * t->factor, of_b.at[k] = FN(residual)(u, v, t->of_y) * t->factor;
    if (scaled) of_a.at[k] *= t->by_x, of_b.at[k] *= t->by_y;
  }
  FN(fetch_out)(gx, i), FN(fetch_out)(gy, i);
  FN(keep)(gx, i, left, whole, of_a), FN(keep)(gy, i, left, whole, of_b);
}

/* The gradient of factor times the cosine, whose denominator is `both`: (y - (xy / xx) x) / (|x| |y|). */
static void FN(cosine_gradient)(fl_vectors *job, const FN(products) *p, double both, double factor) {
  const FN(cosine_factors) t = {dd_over(p->xy, p->xx), dd_over(p->xy, p->yy), p->by[0], p->by[1], factor / both};
  if (t.by_x != 1 || t.by_y != 1)
    FL_ALONG(job, 0, 1, FN(cosine_step)(&t, 1, x, y, gx, gy, i, left, whole), leave_chunk(job, start))
  else
    FL_ALONG(job, 0, 1, FN(cosine_step)(&t, 0, x, y, gx, gy, i, left, whole), leave_chunk(job, start))
}

/* The loss of two vectors that are not zero; *both: the product of their lengths. */
static double FN(of_cosine)(fl_vectors *job, const FN(products) *p, double *both, int exact) {
  const double sign = job->label == 1 ? 1 : -1; /* 1 - c, or c - margin */
  if (!exact) {
    *both = sqrt(p->xx.hi * p->yy.hi);
    return sign > 0 ? (*both - p->xy.hi) / *both : p->xy.hi / *both - job->margin;
  }
  const fl_dd size = dd_sqrt(dd_times(p->xx, p->yy));
  *both = size.hi;
  if (sign < 0 && job->margin != -1) {
    const fl_dd c = dd_over(p->xy, size), v = dd_subtract(c, (fl_dd){job->margin, 0});
    return fabs(v.hi) < 0x1p-95 ? 0 : v.hi + v.lo;
  }
  const fl_dd xy = {sign * p->xy.hi, sign * p->xy.lo}, rest = dd_subtract(size, xy); /* of 1 - c, or 1 + c */
  const double v = (rest.hi + rest.lo) / size.hi;
  return v > 0x1p-40 ? v : FN(square_of_sine)(job, p, dd_over(p->xy, p->xx)) / (2 - v);
}

static void FN(cosine)(fl_vectors *job) {
  FN(products) p;
  const double found = FN(multiply)(job, &p, FL_REAL_BITS == 64);
  double both = 1, v = NAN;
  if (found == 0) v = job->label == 1 ? 1 : -job->margin; /* a cosine of 0, without gradient */
  if (found == 1) {
    v = FN(of_cosine)(job, &p, &both, FL_REAL_BITS == 64 || p.by[0] != 1 || p.by[1] != 1);
    if (FL_REAL_BITS == 32 && fabs(v) < 0x1p-20) {
      if (p.by[0] == 1 && p.by[1] == 1) FN(multiply_with)(job, &p, 0, 1);
      v = FN(of_cosine)(job, &p, &both, 1);
    }
  }
  if (job->label != job->label) v = NAN;
  job->value = above_zero(v);
  if (!job->with_grad) return;
  if (v <= 0 || (found == 0 && v == v))
    FN(zero_gradient)(job);
  else
    FN(cosine_gradient)(job, &p, both, v == v ? -job->label * job->scale : NAN);
}

#undef STEPS
#undef FL_ALONG
#undef FL_TRIPLET_GRADIENT

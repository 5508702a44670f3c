/* Losses that sum terms along rows, of one computation type: the terms are functions like the pointwise ones, with a fourth
 * operand u. Included by sums.c once per type. Sums are made in double: a row's chunks of STRETCH elements lane by lane, and the
 * chunks with compensation. Rows of few registers are computed many at a time, as one sequence, and then summed one by one.
 */

#include "common/registers.h"

typedef FN(point) FN(summand_function)(V x, V t, V z, V u, const V *p);

#include "sums/divergence.h"

#ifndef FL_STRETCH
#define FL_STRETCH 512
#endif

typedef struct { /* parameters and extremes, from register to register */
  V p[4];
  vd wide_p[4];
  V x_low, x_high, t_low, t_high;
} FN(sum_carry);

typedef struct { /* the values of one register, in double */
#if FL_REAL_BITS == 32
  vd low, high;
#else
  vd low;
#endif
} FN(sum_values);

/* Values of lanes from `left` on are 0. */
#if FL_REAL_BITS == 32
FL_INLINE FN(sum_values)
    FN(sum_widen)(summand_function_f64 wide, const vd *p, V v, V x, V t, V z, V u, ptrdiff_t left, int whole) {
  FN(sum_values) out = {vlow(v), vhigh(v)};
  if (wide) {
    out.low = wide(vlow(x), vlow(t), vlow(z), vlow(u), p).value;
    out.high = wide(vhigh(x), vhigh(t), vhigh(z), vhigh(u), p).value;
  }
  if (!whole) {
    out.low = vdrop(vle(vset_f64((double)left), vlow(vload_f32(fl_iota_f32))), out.low);
    out.high = vdrop(vle(vset_f64((double)left), vhigh(vload_f32(fl_iota_f32))), out.high);
  }
  return out;
}
#else
FL_INLINE FN(sum_values)
    FN(sum_widen)(summand_function_f64 wide, const vd *p, V v, V x, V t, V z, V u, ptrdiff_t left, int whole) {
  (void)wide, (void)p, (void)x, (void)t, (void)z, (void)u;
  if (!whole) v = vdrop(vle(vset_f64((double)left), vload_f64(fl_iota_f64)), v);
  return (FN(sum_values)){v};
}
#endif

/* One register: gradients are written, times s; values are returned. All operands are read before anything is written, so that
   a gradient may take an operand's place. */
FL_INLINE FN(sum_values) FN(sum_step)(FN(summand_function) f, summand_function_f64 wide, int flags, int want,
                                      const fl_sums *job, FN(sum_carry) *c, V s, ptrdiff_t i, ptrdiff_t left, int whole) {
  FN(fetch)(job->x, i), FN(fetch)(job->t, i);
  V x = FN(read)(job->x, i, left, whole, (R)0.5), t = FN(read)(job->t, i, left, whole, (R)0.5);
  V z = job->z ? FN(read)(job->z, i, left, whole, (R)0) : c->p[1];
  V u = job->u ? FN(read)(job->u, i, left, whole, (R)0) : c->p[2];
  FN(point) at = f(x, t, z, u, c->p);
  FN(sum_values) values = {0};
  if (want & FL_VALUE) values = FN(sum_widen)(wide, c->wide_p, at.value, x, t, z, u, left, whole);
  if (flags & FL_X) c->x_low = vmin(x, c->x_low), c->x_high = vmax(x, c->x_high);
  if (flags & FL_T) c->t_low = vmin(t, c->t_low), c->t_high = vmax(t, c->t_high);
  if (want & FL_GRAD) FN(fetch_out)(job->grad, i), FN(write)(job->grad, i, left, whole, at.grad * s);
  if ((want & FL_GRAD) && (flags & FL_TWO))
    FN(fetch_out)(job->grad2, i), FN(write)(job->grad2, i, left, whole, at.grad2 * s);
  return values;
}

/* Rows of many registers, one after another. */
FL_INLINE void FN(long_rows)(FN(summand_function) f, summand_function_f64 wide, int flags, int want, const fl_sums *job,
                             FN(sum_carry) *c) {
  const ptrdiff_t C = job->C;
  for (ptrdiff_t r = 0; r < job->rows; r++) {
    const V s = FN(vset)((R)(job->weight ? job->scale * job->weight[r] : job->scale));
    double total = 0, error = 0;
    for (ptrdiff_t start = 0; start < C; start += FL_STRETCH) {
      const ptrdiff_t stop = C - start < FL_STRETCH ? C : start + FL_STRETCH, base = r * C;
      FN(sum_values) sum = {0};
      ptrdiff_t i = start;
      for (; i + LANES <= stop; i += LANES) {
        FN(sum_values) v = FN(sum_step)(f, wide, flags, want, job, c, s, base + i, LANES, 1);
        sum.low += v.low;
#if FL_REAL_BITS == 32
        sum.high += v.high;
#endif
      }
      if (i < stop) {
        FN(sum_values) v = FN(sum_step)(f, wide, flags, want, job, c, s, base + i, stop - i, 0);
        sum.low += v.low;
#if FL_REAL_BITS == 32
        sum.high += v.high;
#endif
      }
#if FL_REAL_BITS == 32
      sum.low += sum.high;
#endif
      if (want & FL_VALUE) add_neumaier(&total, &error, vsum_f64(sum.low));
    }
    if (want & FL_VALUE) job->sum[r] = error == error ? total + error : total;
  }
}

/* The last elements of a group of rows, fewer than a register (as in pointwise/real.h). */
typedef struct {
  R x[LANES], t[LANES], z[LANES], u[LANES], grad[LANES], grad2[LANES];
} FN(sum_room);

static void FN(sum_move_in)(fl_sums *job, ptrdiff_t from, ptrdiff_t left, FN(sum_room) *room) {
  const size_t bytes = (size_t)left * sizeof(R);
  for (int k = 0; k < LANES; k++) room->x[k] = room->t[k] = (R)0.5, room->z[k] = room->u[k] = 0;
  memcpy(room->x, (const R *)job->x + from, bytes);
  memcpy(room->t, (const R *)job->t + from, bytes);
  if (job->z) memcpy(room->z, (const R *)job->z + from, bytes);
  if (job->u) memcpy(room->u, (const R *)job->u + from, bytes);
  job->x = room->x, job->t = room->t, job->z = job->z ? room->z : NULL, job->u = job->u ? room->u : NULL;
  job->grad = room->grad, job->grad2 = room->grad2;
}

static void FN(sum_move_out)(const fl_sums *job, ptrdiff_t from, ptrdiff_t left, const FN(sum_room) *room) {
  if (job->grad) memcpy((R *)job->grad + from, room->grad, (size_t)left * sizeof(R));
  if (job->grad2) memcpy((R *)job->grad2 + from, room->grad2, (size_t)left * sizeof(R));
}

/* Rows of few registers: the vectors do not see where a row ends. As many rows as a register has lanes end where one does. */
FL_INLINE void FN(short_rows)(FN(summand_function) f, summand_function_f64 wide, int flags, int want, const fl_sums *job,
                              FN(sum_carry) *c) {
  enum { ROOM = FL_STRETCH > 4 * LANES * LANES ? FL_STRETCH : 4 * LANES * LANES };
  double value[ROOM];
  R scale[ROOM];
  FN(sum_room) room;
  const ptrdiff_t C = job->C, repeats = FL_STRETCH / (C * LANES), group = repeats > 1 ? repeats * LANES : LANES;
  for (ptrdiff_t i = 0; i < ROOM; i++) scale[i] = (R)job->scale;
  for (ptrdiff_t r = 0; r < job->rows; r += group) {
    const ptrdiff_t rows = job->rows - r < group ? job->rows - r : group, n = rows * C, base = r * C;
    const ptrdiff_t whole = n / LANES * LANES;
    if (job->weight && (want & FL_GRAD))
      for (ptrdiff_t k = 0; k < rows; k++)
        for (ptrdiff_t j = 0; j < C; j++) scale[k * C + j] = (R)(job->scale * job->weight[r + k]);
    fl_sums from = *job;
    for (int tail = 0; tail < 2; tail++) {
      const fl_sums here = from; /* a copy of our own, which no store can change */
      const ptrdiff_t start = tail ? whole : 0, stop = tail ? n : whole, shift = tail ? -whole : base;
      for (ptrdiff_t i = start; i < stop; i += LANES) {
        FN(sum_values) v = FN(sum_step)(f, wide, flags, want, &here, c, vload(scale + i), shift + i, LANES, 1);
        if (want & FL_VALUE) memcpy(value + i, &v, sizeof v);
      }
      if (tail) FN(sum_move_out)(job, base + whole, n - whole, &room);
      if (whole == n) break;
      if (!tail) FN(sum_move_in)(&from, base + whole, n - whole, &room);
    }
    if (want & FL_VALUE)
      for (ptrdiff_t k = 0; k < rows; k++) {
        double sum = 0;
        for (ptrdiff_t j = 0; j < C; j++) sum += value[k * C + j];
        job->sum[r + k] = sum;
      }
  }
}

/* Weighs the rows' sums, in place, and adds them. */
static double FN(weigh_rows)(const fl_sums *job) {
  vd total = vset_f64(0);
  for (ptrdiff_t r = 0; r < job->rows; r += LANES_F64) {
    vd v = vload_up_to(job->sum + r, job->rows - r, 0);
    if (job->weight) v *= vload_up_to(job->weight + r, job->rows - r, 0);
    vstore_up_to(job->sum + r, job->rows - r, v);
    total += v;
  }
  return vsum_f64(total);
}

FL_INLINE void FN(sum_rows)(FN(summand_function) f, summand_function_f64 wide, int flags, int want, fl_sums *out) {
  const fl_sums here = *out; /* a copy of our own, which no store can change */
  const V top = FN(vset)((R)INFINITY);
  FN(sum_carry) c = {.x_low = top, .x_high = -top, .t_low = top, .t_high = -top};
  for (int k = 0; k < 4; k++) c.p[k] = FN(vset)((R)here.par[k]), c.wide_p[k] = vset_f64(here.par[k]);
  if (here.C < 4 * LANES)
    FN(short_rows)(f, wide, flags, want, &here, &c);
  else
    FN(long_rows)(f, wide, flags, want, &here, &c);
  if (want & FL_VALUE) out->total = FN(weigh_rows)(&here);
  if (flags & FL_X) out->x_low = -(double)vtop(-c.x_low), out->x_high = (double)vtop(c.x_high);
  if (flags & FL_T) out->t_low = -(double)vtop(-c.t_low), out->t_high = (double)vtop(c.t_high);
}

#define FL_DEFINE_SUMS(name, wide, flags)                                                                                \
  static void FN(name##_sums)(fl_sums * job) {                                                                           \
    switch (job->want) {                                                                                                 \
      case FL_VALUE: FN(sum_rows)(FN(name), wide, flags, FL_VALUE, job); break;                                          \
      case FL_GRAD: FN(sum_rows)(FN(name), wide, flags, FL_GRAD, job); break;                                            \
      default: FN(sum_rows)(FN(name), wide, flags, FL_VALUE | FL_GRAD, job); break;                                      \
    }                                                                                                                    \
  }
FL_DIVERGENCE_LOSSES(FL_DEFINE_SUMS)
#undef FL_DEFINE_SUMS

#define FL_SUMS_ENTRY(name, wide, flags) FN(name##_sums),
static void (*const FN(sums_table)[])(fl_sums *) = {FL_DIVERGENCE_LOSSES(FL_SUMS_ENTRY)};
#undef FL_SUMS_ENTRY

/* Pointwise losses of one computation type. Included by level.c once per type with
 *   R scalar, V vector, M mask, LANES, FN(name) the name with the type's suffix; float's inclusion comes second.
 * A loss is ONE function of vectors giving {value, gradient, Hessian} at x (prediction), t (target), z (optional third
 * operand) and parameters p; the loops below are made from it, and the compiler drops what a loop does not use. A loss with
 * FL_TWO in its list adds {gradient, Hessian} with respect to a second argument, t or z.
 * To add a loss: write its function in the header of its family, and add its line to that family's list in kernels.h.
 */

typedef struct {
  V value, grad, hess, grad2, hess2;
} FN(point);

typedef FN(point) FN(point_function)(V x, V t, V z, const V *p);

#define POINT(name) FL_INLINE FN(point) FN(name)(V x, V t, V z, const V *p)

/* v, but nan where x is nan: for derivatives that are constant on pieces. */
FL_INLINE V FN(unless_nan)(V x, V v) { return vselect(veq(x, x), v, x); }

#include "regression.h"
#include "classification.h"
#include "energy.h"
#include "margin.h"
#if FL_REAL_BITS == 64 /* FL_DOUBLE_LOSSES */
#include "deviance.h"
#include "focal.h"
#endif

/* ---- loops -------------------------------------------------------------------------------------------------------- */

typedef struct { /* what a loop carries from register to register */
  vd sum[2];
  V x_low, x_high, t_low, t_high, z_low, z_high;
} FN(carry);

FL_INLINE V FN(read)(const R *p, ptrdiff_t i, ptrdiff_t left, int whole, R fill) {
  return whole ? vload(p + i) : vload_part(p + i, left, fill);
}
FL_INLINE void FN(write)(R *p, ptrdiff_t i, ptrdiff_t left, int whole, V v) {
  if (whole)
    vstore(p + i, v);
  else
    vstore_part(p + i, left, v);
}

#if FL_REAL_BITS == 32
typedef struct {
  point_f64 low, high;
} halves;

/* One register of floats by a function of doubles, in two halves. */
FL_INLINE halves in_halves(point_function_f64 wide, const fl_pointwise *job, const vd *p, V x, V t, V z, ptrdiff_t i,
                           int whole) {
  if (!whole) return (halves){wide(vlow(x), vlow(t), vlow(z), p), wide(vhigh(x), vhigh(t), vhigh(z), p)};
  const float *xp = (const float *)job->x + i, *tp = (const float *)job->t + i;
  return (halves){/* straight from memory: cheaper than taking registers apart */
                  wide(vwiden(xp), vwiden(tp), vlow(z), p),
                  wide(vwiden(xp + LANES_F64), vwiden(tp + LANES_F64), vhigh(z), p)};
}

/* The point of a loss of FL_DOUBLE_LOSSES. */
FL_INLINE FN(point) narrowed(halves h) {
  return (FN(point)){
      .value = vnarrow(h.low.value, h.high.value),
      .grad = vnarrow(h.low.grad, h.high.grad),
      .hess = vnarrow(h.low.hess, h.high.hess),
  };
}
#endif

/* Adds the values of one register in double. A cheap float loss is evaluated in double for it (`wide`), so that its sum
   is that of the exact inputs; so is, of course, a loss of FL_DOUBLE_LOSSES; the others add their float values. Lanes from
   `left` on are not there. */
#if FL_REAL_BITS == 32
FL_INLINE void FN(add)(FN(carry) *c, const halves *h, V v, V w, int weighted, ptrdiff_t left, int whole) {
  vd low = h ? h->low.value : vlow(v), high = h ? h->high.value : vhigh(v);
  if (weighted) low *= vlow(w), high *= vhigh(w);
  if (!whole) {
    low = vdrop(vle(vset_f64((double)left), vlow(vload_f32(fl_iota_f32))), low);
    high = vdrop(vle(vset_f64((double)left), vhigh(vload_f32(fl_iota_f32))), high);
  }
  c->sum[0] += low, c->sum[1] += high;
}
#else
FL_INLINE void FN(add)(FN(carry) *c, V v, V w, int weighted, ptrdiff_t left, int whole) {
  if (weighted) v *= w;
  if (!whole) v = vdrop(vle(vset_f64((double)left), vload_f64(fl_iota_f64)), v);
  c->sum[0] += v;
}
#endif

FL_INLINE V FN(times)(V a, V b) { return a * b; }

/* Memory some lines ahead, to read or to write: the processor's own guesses leave the memory idle now and then. */
FL_INLINE void FN(fetch)(const void *p, ptrdiff_t i) {
  __builtin_prefetch((const char *)((const R *)p + i) + FL_LINES_AHEAD);
}
FL_INLINE void FN(fetch_out)(const void *p, ptrdiff_t i) {
  __builtin_prefetch((const char *)((const R *)p + i) + FL_LINES_AHEAD, 1);
}

FL_INLINE void FN(step)(FN(point_function) f, point_function_f64 wide, int ranged, int want, int weighted,
                        const fl_pointwise *job, FN(carry) *c, V scale, const V *p, const vd *wide_p, ptrdiff_t i,
                        int whole) {
  const ptrdiff_t left = job->n - i;
  FN(fetch)(job->x, i), FN(fetch)(job->t, i);
  const R label = (R)(ranged & FL_SIZE_T ? 1 : 0.5); /* inside every domain */
  V x = FN(read)(job->x, i, left, whole, (R)0.5), t = FN(read)(job->t, i, left, whole, label), one = FN(vset)(1);
  V z = job->z ? FN(read)(job->z, i, left, whole, (R)1) : one;
  V w = weighted ? FN(read)(job->w, i, left, whole, (R)0) : one;
#if FL_REAL_BITS == 32
  halves h;
  if (wide && (!f || (want & FL_VALUE))) h = in_halves(wide, job, wide_p, x, t, z, i, whole);
  FN(point) at = f ? f(x, t, z, p) : narrowed(h);
#else
  (void)wide, (void)wide_p;
  FN(point) at = f(x, t, z, p);
#endif
  if (ranged & FL_X) c->x_low = vmin(x, c->x_low), c->x_high = vmax(x, c->x_high);
  if (ranged & FL_T) c->t_low = vmin(t, c->t_low), c->t_high = vmax(t, c->t_high);
  if (ranged & FL_SIZE_T) c->t_low = vmin(vabs(t), c->t_low), c->t_high = vmax(vabs(t), c->t_high);
  if (ranged & FL_Z) c->z_low = vmin(z, c->z_low), c->z_high = vmax(z, c->z_high);
  if (want & FL_VALUE) {
    if (job->value) FN(write)(job->value, i, left, whole, weighted ? FN(times)(at.value, w) : at.value);
#if FL_REAL_BITS == 32
    FN(add)(c, wide ? &h : 0, at.value, w, weighted, left, whole);
#else
    FN(add)(c, at.value, w, weighted, left, whole);
#endif
  }
  const V s = weighted ? FN(times)(scale, w) : scale;
  if (want & FL_GRAD) FN(fetch_out)(job->grad, i), FN(write)(job->grad, i, left, whole, at.grad * s);
  if (want & FL_HESS) FN(fetch_out)(job->hess, i), FN(write)(job->hess, i, left, whole, at.hess * s);
  if ((ranged & FL_TWO) && (want & FL_GRAD))
    FN(fetch_out)(job->grad2, i), FN(write)(job->grad2, i, left, whole, at.grad2 * s);
  if ((ranged & FL_TWO) && (want & FL_HESS))
    FN(fetch_out)(job->hess2, i), FN(write)(job->hess2, i, left, whole, at.hess2 * s);
}

FL_INLINE void FN(weighted_loop)(FN(point_function) f, point_function_f64 wide, int ranged, int want, int weighted,
                                 fl_pointwise *out) {
  const fl_pointwise here = *out, *job = &here; /* a copy of our own, which no store can change */
  const V scale = FN(vset)((R)job->scale);
  V p[4];
  vd wide_p[4];
  for (int k = 0; k < 4; k++) p[k] = FN(vset)((R)job->par[k]), wide_p[k] = vset_f64(job->par[k]);
  const V top = FN(vset)((R)INFINITY);
  FN(carry) c = {{vset_f64(0), vset_f64(0)}, top, -top, top, -top, top, -top};
  ptrdiff_t i = 0;
  for (; i + LANES <= job->n; i += LANES) FN(step)(f, wide, ranged, want, weighted, job, &c, scale, p, wide_p, i, 1);
  if (i < job->n) FN(step)(f, wide, ranged, want, weighted, job, &c, scale, p, wide_p, i, 0);
  out->sum = vsum_f64(c.sum[0] + c.sum[1]);
  if (ranged & FL_X) out->x_low = -(double)vtop(-c.x_low), out->x_high = (double)vtop(c.x_high);
  if (ranged & (FL_T | FL_SIZE_T)) out->t_low = -(double)vtop(-c.t_low), out->t_high = (double)vtop(c.t_high);
  if (ranged & FL_Z) out->z_low = -(double)vtop(-c.z_low), out->z_high = (double)vtop(c.z_high);
}

FL_INLINE void FN(loop)(FN(point_function) f, point_function_f64 wide, int ranged, int want, fl_pointwise *job) {
  if (job->w)
    FN(weighted_loop)(f, wide, ranged, want, 1, job);
  else
    FN(weighted_loop)(f, wide, ranged, want, 0, job);
}

/* One entry of the table: the combinations that callers ask for get loops of their own. */
#define FL_DEFINE_LOOPS(name, point, wide, ranged)                                                                       \
  static void FN(name##_job)(fl_pointwise * job) {                                                                       \
    switch (job->want) {                                                                                                 \
      case FL_VALUE: FN(loop)(point, wide, ranged, FL_VALUE, job); break;                                                \
      case FL_GRAD: FN(loop)(point, wide, ranged, FL_GRAD, job); break;                                                  \
      case FL_VALUE | FL_GRAD: FN(loop)(point, wide, ranged, FL_VALUE | FL_GRAD, job); break;                            \
      case FL_HESS: FN(loop)(point, wide, ranged, FL_HESS, job); break;                                                  \
      default: FN(loop)(point, wide, ranged, FL_GRAD | FL_HESS, job); break;                                             \
    }                                                                                                                    \
  }
#define FL_DEFINE_POINTWISE(name, wide, ranged) FL_DEFINE_LOOPS(name, FN(name), wide, ranged)
#if FL_REAL_BITS == 32
#define FL_DEFINE_DOUBLE(name, wide, ranged) FL_DEFINE_LOOPS(name, 0, wide, ranged)
#else
#define FL_DEFINE_DOUBLE(name, wide, ranged) FL_DEFINE_LOOPS(name, FN(name), 0, ranged)
#endif
FL_REGRESSION_LOSSES(FL_DEFINE_POINTWISE)
FL_CLASSIFICATION_LOSSES(FL_DEFINE_POINTWISE)
FL_ENERGY_LOSSES(FL_DEFINE_POINTWISE)
FL_DOUBLE_LOSSES(FL_DEFINE_DOUBLE)
#undef FL_DEFINE_LOOPS
#undef FL_DEFINE_POINTWISE
#undef FL_DEFINE_DOUBLE

#define FL_POINTWISE_ENTRY(name, wide, ranged) FN(name##_job),
static void (*const FN(pointwise_table)[])(fl_pointwise *) = {FL_POINTWISE_LOSSES(FL_POINTWISE_ENTRY)};
#undef FL_POINTWISE_ENTRY
#undef POINT

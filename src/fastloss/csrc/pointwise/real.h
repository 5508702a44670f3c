/* Pointwise losses of one computation type. Included by pointwise.c once per type with
 *   R scalar, V vector, M mask, LANES, FN(name) the name with the type's suffix; float's inclusion comes second.
 * A loss is ONE function of vectors giving {value, gradient, Hessian} at x (prediction), t (target), z (optional third
 * operand) and parameters p; the loops below are made from it, and the compiler drops what a loop does not use. A loss with
 * FL_TWO in its list adds {gradient, Hessian} with respect to a second argument, t or z.
 * To add a loss: write its function in the header of its family, and add its line to that family's list in pointwise/pointwise.h.
 */

#include "common/registers.h"

typedef FN(point) FN(point_function)(V x, V t, V z, const V *p);

#define POINT(name) FL_INLINE FN(point) FN(name)(V x, V t, V z, const V *p)

#include "pointwise/regression.h"
#include "pointwise/classification.h"
#include "pointwise/energy.h"
#include "pointwise/margin.h"
#if FL_REAL_BITS == 64 /* FL_DOUBLE_LOSSES */
#include "pointwise/deviance.h"
#include "pointwise/focal.h"
#endif

/* ---- loops -------------------------------------------------------------------------------------------------------- */

typedef struct { /* what a loop carries from register to register */
  vd sum[2];
  V x_low, x_high, t_low, t_high, z_low, z_high;
} FN(carry);

#if FL_REAL_BITS == 32
typedef struct {
  point_f64 low, high;
} halves;

/* One register of floats by a function of doubles, in two halves. */
FL_INLINE halves in_halves(point_function_f64 wide, const fl_pointwise *job, const vd *p, V z, ptrdiff_t i) {
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
   is that of the exact inputs; so is, of course, a loss of FL_DOUBLE_LOSSES; the others add their float values. */
#if FL_REAL_BITS == 32
FL_INLINE void FN(add)(FN(carry) *c, const halves *h, V v, V w, int weighted) {
  vd low = h ? h->low.value : vlow(v), high = h ? h->high.value : vhigh(v);
  if (weighted) low *= vlow(w), high *= vhigh(w);
  c->sum[0] += low, c->sum[1] += high;
}
#else
FL_INLINE void FN(add)(FN(carry) *c, V v, V w, int weighted) { c->sum[0] += weighted ? v * w : v; }
#endif

FL_INLINE V FN(times)(V a, V b) { return a * b; }

/* Elements i .. i + LANES; their weights are at w_at, and their gradients go to g_at. */
FL_INLINE void FN(step)(FN(point_function) f, point_function_f64 wide, int ranged, int want, int weighted,
                        const fl_pointwise *job, FN(carry) *c, V scale, const V *p, const vd *wide_p, ptrdiff_t i,
                        ptrdiff_t w_at, ptrdiff_t g_at) {
  FN(fetch)(job->x, i), FN(fetch)(job->t, i);
  if (job->z) FN(fetch)(job->z, i);
  const V x = vload((const R *)job->x + i), t = vload((const R *)job->t + i), one = FN(vset)(1);
  const V z = job->z ? vload((const R *)job->z + i) : one, w = weighted ? vload((const R *)job->w + w_at) : one;
#if FL_REAL_BITS == 32
  halves h;
  if (wide && (!f || (want & FL_VALUE))) h = in_halves(wide, job, wide_p, z, i);
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
    if (job->value) vstore((R *)job->value + i, weighted ? FN(times)(at.value, w) : at.value);
#if FL_REAL_BITS == 32
    FN(add)(c, wide ? &h : 0, at.value, w, weighted);
#else
    FN(add)(c, at.value, w, weighted);
#endif
  }
  const V s = weighted ? FN(times)(scale, w) : scale;
  if (want & FL_GRAD) FN(fetch_out)(job->grad, g_at), vstore((R *)job->grad + g_at, at.grad * s);
  if (want & FL_HESS) FN(fetch_out)(job->hess, i), vstore((R *)job->hess + i, at.hess * s);
  if ((ranged & FL_TWO) && (want & FL_GRAD))
    FN(fetch_out)(job->grad2, g_at), vstore((R *)job->grad2 + g_at, at.grad2 * s);
  if ((ranged & FL_TWO) && (want & FL_HESS)) FN(fetch_out)(job->hess2, i), vstore((R *)job->hess2 + i, at.hess2 * s);
}

/* The last elements, fewer than a register: in room of their own, filled up with what lies inside every domain. So the loop
   below needs no second copy of the loss for them. */
typedef struct {
  R x[LANES], t[LANES], z[LANES], w[LANES], value[LANES], grad[LANES], hess[LANES], grad2[LANES], hess2[LANES];
} FN(room);

static void FN(move_in)(fl_pointwise *job, ptrdiff_t from, FN(room) *room, R label) {
  const ptrdiff_t left = job->n - from;
  for (int k = 0; k < LANES; k++) room->x[k] = (R)0.5, room->t[k] = label, room->z[k] = 1, room->w[k] = 0;
  memcpy(room->x, (const R *)job->x + from, (size_t)left * sizeof(R));
  memcpy(room->t, (const R *)job->t + from, (size_t)left * sizeof(R));
  if (job->z) memcpy(room->z, (const R *)job->z + from, (size_t)left * sizeof(R));
  if (job->w) memcpy(room->w, (const R *)job->w + from, (size_t)left * sizeof(R));
  job->x = room->x, job->t = room->t, job->z = job->z ? room->z : NULL, job->w = job->w ? room->w : NULL;
  job->value = job->value ? room->value : NULL, job->grad = room->grad, job->hess = room->hess;
  job->grad2 = room->grad2, job->hess2 = room->hess2, job->n = LANES;
}

static void FN(move_out)(const fl_pointwise *job, ptrdiff_t from, const FN(room) *room) {
  const size_t bytes = (size_t)(job->n - from) * sizeof(R);
  if (job->value) memcpy((R *)job->value + from, room->value, bytes);
  if (job->grad) memcpy((R *)job->grad + from, room->grad, bytes);
  if (job->hess) memcpy((R *)job->hess + from, room->hess, bytes);
  if (job->grad2) memcpy((R *)job->grad2 + from, room->grad2, bytes);
  if (job->hess2) memcpy((R *)job->hess2 + from, room->hess2, bytes);
}

/* A register's sums without the lanes from `left` on. */
FL_INLINE void FN(drop_beyond)(vd sum[2], ptrdiff_t left) {
  const vd lanes = vload_f64(fl_iota_f64);
  for (int h = 0; h < LANES / LANES_F64; h++)
    sum[h] = vdrop(vle(vset_f64((double)(left - h * LANES_F64)), lanes), sum[h]);
}

/* `weighted`: FL_NO_WEIGHTS, FL_WEIGHTS, or FL_ANY_WEIGHTS: one loop for both. Weights that are missing there, and gradients that
   nobody wants in a loop of both derivatives, are one register in place of an array: their index stays 0. */
FL_INLINE void FN(weighted_loop)(FN(point_function) f, point_function_f64 wide, int ranged, int want, int weighted,
                                 fl_pointwise *out) {
  const ptrdiff_t whole = out->n / LANES * LANES, left = out->n - whole;
  fl_pointwise job = *out;
  FN(room) room;
  R ones[LANES], unwanted[LANES];
  const int no_weights = weighted == FL_ANY_WEIGHTS && !job.w, no_grad = want == (FL_GRAD | FL_HESS) && !job.grad;
  const ptrdiff_t w_mask = no_weights ? 0 : -1, g_mask = no_grad ? 0 : -1;
  if (weighted == FL_ANY_WEIGHTS) vstore(ones, FN(vset)(1));
  const V scale = FN(vset)((R)job.scale);
  V p[4];
  vd wide_p[4], sum[2] = {vset_f64(0), vset_f64(0)};
  for (int k = 0; k < 4; k++) p[k] = FN(vset)((R)job.par[k]), wide_p[k] = vset_f64(job.par[k]);
  const V top = FN(vset)((R)INFINITY);
  FN(carry) c = {{sum[0], sum[1]}, top, -top, top, -top, top, -top};
  for (int tail = 0; tail < 2; tail++) {
    fl_pointwise here = job; /* a copy of our own, which no store can change */
    if (no_weights) here.w = ones;
    if (no_grad) here.grad = here.grad2 = unwanted;
    for (ptrdiff_t i = 0; i + LANES <= here.n; i += LANES)
      FN(step)(f, wide, ranged, want, weighted, &here, &c, scale, p, wide_p, i, i & w_mask, i & g_mask);
    if (tail) FN(drop_beyond)(c.sum, left), FN(move_out)(out, whole, &room);
    sum[0] += c.sum[0], sum[1] += c.sum[1];
    c.sum[0] = c.sum[1] = vset_f64(0);
    if (!left) break;
    if (!tail) FN(move_in)(&job, whole, &room, (R)(ranged & FL_SIZE_T ? 1 : 0.5));
  }
  out->sum = vsum_f64(sum[0] + sum[1]);
  if (ranged & FL_X) out->x_low = -(double)vtop(-c.x_low), out->x_high = (double)vtop(c.x_high);
  if (ranged & (FL_T | FL_SIZE_T)) out->t_low = -(double)vtop(-c.t_low), out->t_high = (double)vtop(c.t_high);
  if (ranged & FL_Z) out->z_low = -(double)vtop(-c.z_low), out->z_high = (double)vtop(c.z_high);
}

/* Loops of their own for weights where these would be felt. Values of doubles have them always: their last product is contracted
   with the sum, in place of which the product with the weight would be, and the sum would be of other bits. */
FL_INLINE void FN(loop)(FN(point_function) f, point_function_f64 wide, int ranged, int want, fl_pointwise *job) {
  const int costly = (ranged & FL_COSTLY) && (FL_REAL_BITS == 32 || !(want & FL_VALUE));
  if (costly || (want & FL_HESS))
    FN(weighted_loop)(f, wide, ranged, want, FL_ANY_WEIGHTS, job);
  else if (job->w)
    FN(weighted_loop)(f, wide, ranged, want, FL_WEIGHTS, job);
  else
    FN(weighted_loop)(f, wide, ranged, want, FL_NO_WEIGHTS, job);
}

/* One entry of the table: the combinations that callers ask for often get loops of their own. */
#define FL_DEFINE_LOOPS(name, point, wide, ranged)                                                                       \
  static void FN(name##_job)(fl_pointwise * job) {                                                                       \
    switch (job->want) {                                                                                                 \
      case FL_VALUE: FN(loop)(point, wide, ranged, FL_VALUE, job); break;                                                \
      case FL_GRAD: FN(loop)(point, wide, ranged, FL_GRAD, job); break;                                                  \
      case FL_VALUE | FL_GRAD: FN(loop)(point, wide, ranged, FL_VALUE | FL_GRAD, job); break;                            \
      case FL_HESS:                                                                                                      \
        if ((ranged) & FL_HESS_ALONE) {                                                                                  \
          FN(loop)(point, wide, ranged, FL_HESS, job);                                                                   \
          break;                                                                                                         \
        }                                                                                                                \
        __attribute__((fallthrough));                                                                                    \
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
FL_EMBEDDING_LOSSES(FL_DEFINE_POINTWISE)
FL_DOUBLE_LOSSES(FL_DEFINE_DOUBLE)
#undef FL_DEFINE_LOOPS
#undef FL_DEFINE_POINTWISE
#undef FL_DEFINE_DOUBLE

#define FL_POINTWISE_ENTRY(name, wide, ranged) FN(name##_job),
static void (*const FN(pointwise_table)[])(fl_pointwise *) = {FL_POINTWISE_LOSSES(FL_POINTWISE_ENTRY)};
#undef FL_POINTWISE_ENTRY
#undef POINT

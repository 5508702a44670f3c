/* Losses that are a function F of a row's cross-entropy l = -log p alone, with p the label's probability: value F(l), gradient F'(l).
 * The gradient of such a loss is cross-entropy's times F'(l). All in double, a register of rows (or classes) at a time; included
 * once by rows.c. l keeps its digits near 0, and so 1 - p = -(e^-l - 1) does.
 *
 *   FL_FOCAL        (1 - p)^gamma l              gradient (1 - p)^gamma (1 + gamma p l / (1 - p))
 *   FL_POLY1        l + epsilon (1 - p)                1 + epsilon p
 *     for epsilon < 0: (1 + epsilon) l - epsilon (l - (1 - p)), where the bracket is phi(-l) of vphi, which does not cancel
 *   FL_GENERALIZED  (1 - p^q) / q                      p^q
 */
#ifndef FL_TRANSFORM_H
#define FL_TRANSFORM_H

#include "common/kernels.h"
#include "common/vecmath.h"

/* base^power for base in [0, 1]: the product power x log(base) is a double-double, for its error becomes relative. */
FL_INLINE vd vpower_unit(vd base, double power) {
  if (power == 2) return base * base;
  const vd zero = vset_f64(0), p = vset_f64(power);
  vd error, log = vlog_with_error(base, &error), a = p * log;
  const vd rounding = vfma(p, error, error_of_product(p, log, a));
  return vselect(veq(base, zero), vset_f64(power == 0), vfma(vexp(a), rounding, vexp(a)));
}

FL_INLINE void vtransform(int transform, double parameter, vd l, vd *value, vd *gradient) {
  vd grow, p;
  if (transform == FL_GENERALIZED) {
    *gradient = vexp_both(-parameter * l, &grow);
    *value = grow / -parameter;
    return;
  }
  if (transform == FL_POLY1 && parameter < 0) {
    const vd zero = vset_f64(0), factor = 1 + vset_f64(parameter), bracket = vphi(-l, zero, 0, &p, &grow);
    const vd own = vselect(veq(factor, zero), zero, factor * l); /* 0 x inf is 0 */
    *value = vfma(bracket, vset_f64(-parameter), own);
    *gradient = vfma(vset_f64(parameter), grow, factor);
    return;
  }
  p = vexp_both(-l, &grow);
  if (transform == FL_POLY1) {
    *value = l - parameter * grow;
    *gradient = vfma(vset_f64(parameter), p, vset_f64(1));
    return;
  }
  const vd zero = vset_f64(0), others = -grow, power = vpower_unit(others, parameter);
  const vd ratio = vselect(veq(others, zero), vset_f64(1), vmin(vset_f64(1e4), l) / others); /* beyond, p is 0 */
  *value = power * l;
  *gradient = power * vfma(parameter * p, ratio, vset_f64(1));
}

/* out = weight F(l) and gradient = F'(l) for rows with class indices; as hard_values (real.h) otherwise. */
static double transformed_values(ptrdiff_t n, int transform, double parameter, const double *max,
                                 const double *label_logit, const double *log1p_tail, double *weight, double *out,
                                 double *gradient, double *weights) {
  vd sum = vset_f64(0), total = vset_f64(0);
  const vd zero = vset_f64(0);
  for (ptrdiff_t i = 0; i < n; i += LANES_F64) {
    const ptrdiff_t left = n - i;
    const vd t = vload_up_to(max + i, left, 0.0), w = vload_up_to(weight + i, left, -1.0);
    const vd l = (t - vload_up_to(label_logit + i, left, 0.0)) + (vload_up_to(log1p_tail + i, left, 0.0) + (t - t));
    vd f, s;
    switch (transform) {
      case FL_FOCAL: vtransform(FL_FOCAL, parameter, l, &f, &s); break;
      case FL_POLY1: vtransform(FL_POLY1, parameter, l, &f, &s); break;
      default: vtransform(FL_GENERALIZED, parameter, l, &f, &s);
    }
    const vd value = vdrop(vlt(w, zero), w * f);
    const vd counted = vdrop(vlt(w, zero), w);
    sum += value, total += counted;
    vstore_up_to(out + i, left, value);
    vstore_up_to(gradient + i, left, s);
    vstore_up_to(weight + i, left, counted);
  }
  *weights += vsum_f64(total);
  return vsum_f64(sum);
}

#endif

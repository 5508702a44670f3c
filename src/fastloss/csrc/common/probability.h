/* Exponentials and logarithms of probabilities in double, whose arguments may come with a rounding error of their own (`error`):
 * with it a loss of e^-600 keeps its digits. Included once by the C file of each engine that needs it.
 */
#include "common/vecmath.h"

/* e^x for x <= 0, where e^-inf is common: results that underflow to 0 are not computed, because denormal numbers cost some
   processors a hundred cycles. */
FL_INLINE vd fl_exp_negative(vd x) {
  const md gone = vlt(x, vset_f64(-745.2));
  return vdrop(gone, vexp_negative(vdrop(gone, x)));
}

/* The same for any x. */
FL_INLINE vd fl_exp(vd x) {
  const md gone = vlt(x, vset_f64(-745.2));
  return vdrop(gone, vexp(vdrop(gone, x)));
}

/* e^(x + error) for any x, and its rounding error in *low: to 2^-60, for exponentials of exponentials. The constant, the linear and
   the square term of the polynomial of vexp_parts are added with their rounding errors. */
FL_INLINE vd fl_exp_dd(vd x, vd error, vd *low) {
  static const double c[] = FL_EXP_F64;
  const md gone = vlt(x, vset_f64(-745.2));
  const vd y = vmin(vset_f64(710.0), vdrop(gone, x));
  const vd n = vfma(y, vset_f64(FL_LOG2E), vset_f64(FL_ROUND_F64)) - FL_ROUND_F64;
  vd r_low, one_low, square_low, all_low;
  const vd r = two_sum_finite(y - n * FL_LN2_HIGH_F64, -(n * FL_LN2_LOW_F64), &r_low); /* the first difference is exact */
  const vd square = r * r, cube = r * square * vpoly_f64(r, c + 3, 10);
  const vd x_error = r_low + error;
  const vd linear = two_sum_finite(vset_f64(1), r, &one_low), p = two_sum_finite(linear, 0.5 * square, &square_low);
  const vd tail = one_low + square_low + (x_error + r * x_error) + 0.5 * error_of_product_finite(r, r, square) + cube;
  const vd all = two_sum_finite(p, tail, &all_low);
  *low = vdrop(gone, nan_to_0(vscale_any_f64(all_low, n)));
  return vdrop(gone, vscale_any_f64(all, n));
}

/* e^(x + error) for x <= 0 and a small error */
FL_INLINE vd fl_exp_exact(vd x, vd error) {
  const vd e = fl_exp_negative(x);
  return e + e * error;
}

/* 1 - e^-x for x >= 0 */
FL_INLINE vd fl_one_minus_exp(vd x) {
  const vd y = vmin(vset_f64(0.34), x); /* nan: x */
  static const double c[] = FL_EXP_F64;
  return vselect(vlt(x, vset_f64(0.34)), y * vpoly_f64(-y, c + 1, 12), 1.0 - fl_exp_negative(-x));
}
/* -log(1 - e^-(x + error)) for x >= 0, where q = fl_one_minus_exp(x) */
FL_INLINE vd fl_log_one_minus_exp(vd x, vd error, vd q) {
  return -vselect(vlt(x, vset_f64(FL_LN2)), vlog(q), vlog1p(-fl_exp_exact(-x, -error)));
}

/* log(1 + e^(z + error)) = max(z, 0) + log1p(e^-|z|), a sum of terms >= 0; its derivative, the sigmoid, and 1 - sigmoid. */
FL_INLINE vd fl_softplus(vd z, vd error, vd *sigmoid, vd *complement) {
  const vd zero = vset_f64(0), u = fl_exp_negative(-vabs(z)), near = 1.0 / (1.0 + u), far = u * near;
  const md negative = vlt(z, zero);
  const vd s = vselect(negative, far, near), shift = error * (far * near);
  *sigmoid = s + shift, *complement = vselect(negative, near, far) - shift;
  return vmax(zero, z) + vlog1p(u) + error * s;
}

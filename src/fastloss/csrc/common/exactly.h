/* Sums, differences and products in double with what rounding dropped, and functions that take it into account. Included by
 * scores.c and vectors.c once. Knuth's two-sum and Dekker's product; an infinite operand has dropped nothing.
 */

FL_INLINE vd fl_finite(vd lost) { return vselect(veq(lost, lost), lost, vset_f64(0)); }

/* a + b */
FL_INLINE vd fl_plus_lost(vd a, vd b, vd *lost) {
  const vd s = a + b, back = s - a;
  *lost = fl_finite((a - (s - back)) + (b - back));
  return s;
}
/* a - b */
FL_INLINE vd fl_minus(vd a, vd b, vd *lost) { return fl_plus_lost(a, -b, lost); }
/* a + b + c, where c is what a has lost */
FL_INLINE vd fl_plus(vd a, vd b, vd c) {
  vd lost;
  const vd s = fl_plus_lost(a, b, &lost);
  return s + (lost + c);
}
/* *sum += v, what is dropped into *sum_lost; fl_sum gives the sum. */
FL_INLINE void fl_add(vd *sum, vd *sum_lost, vd v) {
  vd lost;
  *sum = fl_plus_lost(*sum, v, &lost);
  *sum_lost += lost;
}
FL_INLINE vd fl_sum(vd sum, vd lost) { return sum + lost; }

/* a b - p, where p is the rounded product */
FL_INLINE vd fl_product_lost(vd a, vd b, vd p) { return fl_finite(vproduct_lost(a, b, p)); }

/* e^x for x <= 0, where e^-inf is common: numbers that vanish are not computed, because arriving at 0 through denormal numbers
   costs some processors a hundred cycles. */
FL_INLINE vd fl_exp_negative(vd x) {
  const md gone = vlt(x, vset_f64(-745.2));
  return vdrop(gone, vexp_negative(vdrop(gone, x)));
}

/* p 2^n for whole n from -1100 to 1100, in two steps: the first stays normal. */
FL_INLINE vd fl_scale(vd p, vd n) {
  const vd half = (n * 0.5 + FL_ROUND_F64) - FL_ROUND_F64;
  return vscale(vscale(p, half), n - half);
}

/* e^x for any x */
FL_INLINE vd fl_exp(vd x) {
  const md gone = vlt(x, vset_f64(-745.2));
  vd n;
  const vd p = vexp_parts(vmin(vset_f64(710.0), vdrop(gone, x)), &n);
  return vdrop(gone, fl_scale(p, n));
}

/* e^(x + lost) for any x, with *low, what its rounding drops: to 2^-60 of it, for exponentials of exponentials. The constant, the
   linear and the square term of the polynomial of vexp_parts are added with what each drops. */
FL_INLINE vd fl_exp_pair(vd x, vd lost, vd *low) {
  static const double c[] = FL_EXP_F64;
  const md gone = vlt(x, vset_f64(-745.2));
  const vd y = vmin(vset_f64(710.0), vdrop(gone, x));
  const vd n = vfma(y, vset_f64(FL_LOG2E), vset_f64(FL_ROUND_F64)) - FL_ROUND_F64;
  vd r_low, one_low, square_low, all_low;
  const vd r = fl_plus_lost(y - n * FL_LN2_HIGH_F64, -(n * FL_LN2_LOW_F64), &r_low); /* the first difference is exact */
  const vd square = r * r, cube = r * square * vpoly_f64(r, c + 3, 10);
  const vd dropped = r_low + lost;
  const vd linear = fl_plus_lost(vset_f64(1), r, &one_low), p = fl_plus_lost(linear, 0.5 * square, &square_low);
  const vd rest = one_low + square_low + (dropped + r * dropped) + 0.5 * fl_product_lost(r, r, square) + cube;
  const vd all = fl_plus_lost(p, rest, &all_low);
  *low = vdrop(gone, fl_finite(fl_scale(all_low, n)));
  return vdrop(gone, fl_scale(all, n));
}

/* e^(x + lost) for x <= 0 and a small `lost` */
FL_INLINE vd fl_exp_exact(vd x, vd lost) {
  const vd e = fl_exp_negative(x);
  return e + e * lost;
}

/* 1 - e^-x for x >= 0 */
FL_INLINE vd fl_one_minus_exp(vd x) {
  const vd y = vmin(vset_f64(0.34), x); /* nan: x */
  static const double c[] = FL_EXP_F64;
  return vselect(vlt(x, vset_f64(0.34)), y * vpoly_f64(-y, c + 1, 12), 1.0 - fl_exp_negative(-x));
}
/* -log(1 - e^-(x + lost)) for x >= 0, where q = fl_one_minus_exp(x) */
FL_INLINE vd fl_log_one_minus_exp(vd x, vd lost, vd q) {
  return -vselect(vlt(x, vset_f64(FL_LN2)), vlog(q), vlog1p(-fl_exp_exact(-x, -lost)));
}

/* log(1 + e^(z + lost)) = max(z, 0) + log1p(e^-|z|), a sum of terms >= 0; its slope, the sigmoid, and 1 less the slope. */
FL_INLINE vd fl_softplus(vd z, vd lost, vd *slope, vd *rest) {
  const vd zero = vset_f64(0), u = fl_exp_negative(-vabs(z)), near = 1.0 / (1.0 + u), far = u * near;
  const md negative = vlt(z, zero);
  const vd sigmoid = vselect(negative, far, near), shift = lost * (far * near);
  *slope = sigmoid + shift, *rest = vselect(negative, near, far) - shift;
  return vmax(zero, z) + vlog1p(u) + lost * sigmoid;
}

/* Sums, differences and products in double with what rounding dropped, and functions that take it into account. Included by
 * level.c once. Knuth's two-sum and Dekker's product; an infinite operand has dropped nothing.
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
FL_INLINE vd fl_product_lost(vd a, vd b, vd p) {
#if defined(FL_V3) || defined(FL_V4) || defined(__aarch64__)
  return fl_finite(vfma(a, b, -p));
#else
  const vd a_wide = a * 134217729.0, b_wide = b * 134217729.0; /* 2^27 + 1: the upper half of the digits */
  const vd a_high = a_wide - (a_wide - a), b_high = b_wide - (b_wide - b), a_low = a - a_high, b_low = b - b_high;
  return fl_finite(((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low);
#endif
}

/* e^x for any x, and e^(x + lost) for x <= 0 and a small `lost`. */
FL_INLINE vd fl_exp(vd x) {
  vd n;
  const vd p = vexp_parts(vmin(vset_f64(710.0), vmax(vset_f64(-760.0), x)), &n);
  const vd half = (n * 0.5 + FL_ROUND_F64) - FL_ROUND_F64;
  const vd rest = n - half;
  return vscale(vscale(p, half), rest);
}
FL_INLINE vd fl_exp_exact(vd x, vd lost) {
  const vd e = vexp_negative(x);
  return e + e * lost;
}

/* 1 - e^-x for x >= 0 */
FL_INLINE vd fl_one_minus_exp(vd x) {
  const vd y = vmin(vset_f64(0.34), x); /* nan: x */
  static const double c[] = FL_EXP_F64;
  return vselect(vlt(x, vset_f64(0.34)), y * vpoly_f64(-y, c + 1, 12), 1.0 - vexp_negative(-x));
}
/* -log(1 - e^-x) for x >= 0, which is q = fl_one_minus_exp(x) */
FL_INLINE vd fl_log_one_minus_exp(vd x, vd q) {
  return -vselect(vlt(x, vset_f64(FL_LN2)), vlog(q), vlog1p(-vexp_negative(-x)));
}

/* log(1 + e^(z + lost)) = max(z, 0) + log1p(e^-|z|), a sum of terms >= 0, and its slope, the sigmoid. */
FL_INLINE vd fl_softplus(vd z, vd lost, vd *slope) {
  const vd zero = vset_f64(0), u = vexp_negative(-vabs(z)), near = 1.0 / (1.0 + u), far = u * near;
  const vd sigmoid = vselect(vlt(z, zero), far, near);
  const vd value = vmax(zero, z) + vlog1p(u) + lost * sigmoid;
  *slope = sigmoid + lost * (far * near);
  return value;
}

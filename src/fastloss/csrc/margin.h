/* The margin losses as point functions (see pointwise.h): x is the score, t the label, -1 or 1; t x is the margin. */

POINT(hinge) { /* p[0] = margin */
  (void)z;
  V zero = FN(vset)(0), d = p[0] - t * x;
  return (FN(point)){vmax(zero, d), FN(unless_nan)(d, vselect(vlt(zero, d), -t, zero)), FN(unless_nan)(d, zero)};
}

POINT(squared_hinge) { /* p[0] = margin */
  (void)z;
  V zero = FN(vset)(0), d = vmax(zero, p[0] - t * x);
  return (FN(point)){d * d, t * d * (R)-2, FN(unless_nan)(d, vselect(vlt(zero, d), FN(vset)(2), zero))};
}

POINT(perceptron) {
  (void)z, (void)p;
  V zero = FN(vset)(0), d = zero - t * x; /* not -(t x), which has a negative zero */
  return (FN(point)){vmax(zero, d), FN(unless_nan)(d, vselect(vlt(zero, d), -t, zero)), FN(unless_nan)(d, zero)};
}

POINT(soft_margin) {
  (void)z, (void)p;
  V zero = FN(vset)(0), one = FN(vset)(1), m = t * x, u = vexp_negative(-vabs(m)), inv = one / (one + u);
  V wrong = vselect(vlt(m, zero), inv, u * inv); /* sigmoid(-m) */
  return (FN(point)){vmax(zero, zero - m) + vlog1p_unit(u), -t * wrong, u * inv * inv};
}

POINT(exponential) {
  (void)z, (void)p;
  V e = vexp(-(t * x));
  return (FN(point)){e, -t * e, e};
}

/* The margin losses as point functions (see real.h): x is the score, t the label, -1 or 1; t x is the margin. Last, those of
   pairs: of two scores, and of a distance. */

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

/* m - t (x - z), with the rounding error of the difference: exact next to the border, where all that counts cancels. */
FL_INLINE vd FN(ranked)(vd x, vd t, vd z, vd m) {
  vd error;
  const vd d = two_diff_finite(x, z, &error);
  return sum_with_error(m, -t * d, -t * error);
}
/* m, from what a float holds of it and the rest; m alone in double. */
FL_INLINE vd FN(margin_of)(vd m, vd rest) { return FL_REAL_BITS == 32 ? m + rest : m; }

POINT(margin_ranking) { /* z is the other score; p[0], p[1] = margin */
  const V zero = FN(vset)(0);
#if FL_REAL_BITS == 32
  const V d = vnarrow(FN(ranked)(vlow(x), vlow(t), vlow(z), FN(margin_of)(vlow(p[0]), vlow(p[1]))),
                      FN(ranked)(vhigh(x), vhigh(t), vhigh(z), FN(margin_of)(vhigh(p[0]), vhigh(p[1]))));
#else
  const V d = FN(ranked)(x, t, z, FN(margin_of)(p[0], p[1]));
#endif
  const V gradient = FN(unless_nan)(d, vselect(vlt(zero, d), t, zero)), flat = FN(unless_nan)(d, zero);
  return (FN(point)){vmax(zero, d), zero - gradient, flat, gradient, flat};
}

POINT(hinge_embedding) { /* x is a distance; p[0], p[1] = margin */
  (void)z;
  const V zero = FN(vset)(0), one = FN(vset)(1);
#if FL_REAL_BITS == 32
  const V d =
      vnarrow(FN(margin_of)(vlow(p[0]), vlow(p[1])) - vlow(x), FN(margin_of)(vhigh(p[0]), vhigh(p[1])) - vhigh(x));
#else
  const V d = FN(margin_of)(p[0], p[1]) - x;
#endif
  const M near = veq(t, one);
  const V value = FN(unless_nan)(t, vselect(near, x, vmax(zero, d)));
  return (FN(point)){
      value,
      FN(unless_nan)(value, vselect(near, one, vselect(vlt(zero, d), -one, zero))),
      FN(unless_nan)(value, zero),
  };
}

/* The regression losses as point functions (see pointwise.h): x is the prediction, t the target, e = x - t. */

POINT(mse) {
  (void)z, (void)p;
  V e = x - t;
  return (FN(point)){e * e, e + e, FN(unless_nan)(e, FN(vset)(2))};
}

POINT(mae) {
  (void)z, (void)p;
  V e = x - t, zero = FN(vset)(0), one = FN(vset)(1);
  V sign = vselect(vlt(zero, e), one, vselect(vlt(e, zero), -one, e + zero));
  return (FN(point)){vabs(e), sign, FN(unless_nan)(e, zero)};
}

/* q (a - q/2) with q = min(a, delta): e^2/2 inside, delta (a - delta/2) outside, both without a branch. */
POINT(huber) { /* p[0] = delta */
  (void)z;
  V e = x - t, a = vabs(e), q = vmin(p[0], a);
  return (FN(point)){
      q * (a - q * (R)0.5),
      vmin(p[0], vmax(-p[0], e)),
      FN(unless_nan)(e, vselect(vle(a, p[0]), FN(vset)(1), FN(vset)(0))),
  };
}

POINT(smooth_l1) { /* p[0] = beta > 0, p[1] = 1 / beta */
  (void)z;
  V e = x - t, a = vabs(e), q = vmin(p[0], a);
  return (FN(point)){
      q * (a - q * (R)0.5) * p[1],
      vmin(FN(vset)(1), vmax(FN(vset)(-1), e * p[1])),
      FN(unless_nan)(e, vselect(vlt(a, p[0]), p[1], FN(vset)(0))),
  };
}

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

/* (log v + e^2 / v) / 2 + p[1] with v = max(z, p[0]); p[1] + p[2] is the same constant with more digits than a float has. The
   two terms may have opposite signs: for floats they are added in double, where 1/v comes from the float quotient by one
   step of Newton's method. grad2 and hess2 are with respect to z, 0 where it is clipped. */
#if FL_REAL_BITS == 32
FL_INLINE vd FN(gaussian_half)(vd x, vd t, vd v, vd inv, vd constant) {
  vd e = x - t;
  inv = vfma(inv, vfma(-v, inv, vset_f64(1)), inv);
  return vfma(vset_f64(0.5), vfma(e * e, inv, vlog_short(v)), constant);
}
#endif
POINT(gaussian_nll) {
  V half = FN(vset)((R)0.5), one = FN(vset)(1), e = x - t, v = vmax(p[0], z), inv = one / v, pull = e * inv, q = pull * e;
  M clipped = vlt(z, p[0]);
#if FL_REAL_BITS == 32
  V value = vnarrow(FN(gaussian_half)(vlow(x), vlow(t), vlow(v), vlow(inv), vlow(p[1]) + vlow(p[2])),
                    FN(gaussian_half)(vhigh(x), vhigh(t), vhigh(v), vhigh(inv), vhigh(p[1]) + vhigh(p[2])));
#else
  V value = vfma(half, vlog(v) + e * e / v, p[1]);
#endif
  return (FN(point)){
      vselect(veq(v, FN(vset)((R)INFINITY)), v + q, value), /* an infinite variance, where logarithms end */
      pull,
      FN(unless_nan)(e, inv),
      vdrop(clipped, half * inv * (one - q)),
      vdrop(clipped, inv * inv * (q - half)),
  };
}

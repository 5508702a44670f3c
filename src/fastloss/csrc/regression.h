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

/* Through h = sqrt(1 + (e/delta)^2), as e^2 / (h + 1): delta^2 (h - 1) would cancel. Where (e/delta)^2 could overflow, h is
   |e|/delta to the last digit. */
POINT(pseudo_huber) { /* p[0] = delta */
  (void)z;
  const R far = FL_REAL_BITS == 32 ? (R)0x1p60 : (R)0x1p500;
  V one = FN(vset)(1), zero = FN(vset)(0), e = x - t, a = vabs(e), s = a / p[0], h = vsqrt(vfma(s, s, one));
  V slope = one / h;
  M outside = vlt(FN(vset)(far), s);
  return (FN(point)){
      a * vselect(outside, p[0], a / (h + one)),
      vselect(outside, vselect(vlt(e, zero), -p[0], p[0]), e * slope),
      vselect(outside, zero, slope * slope * slope),
  };
}

/* With q = e^-|e| and m = q - 1: log1p(m^2 / 2q) for small errors, where log cosh e = |e| - log 2 + log1p(q^2) would cancel. */
POINT(log_cosh) {
  (void)z, (void)p;
  const R border = (R)1.3; /* cosh - 1 is below 1 here: vlog1p_unit's domain */
  V one = FN(vset)(1), zero = FN(vset)(0), e = x - t, a = vabs(e), m, q = vexp_both(-a, &m), q2 = q * q;
  M small = vlt(a, FN(vset)(border));
  V log = vlog1p_unit(vselect(small, m * m / (q + q), q2));
  V rate = one / (one + q2), tanh = -m * (one + q) * rate, sech = (q + q) * rate;
  return (FN(point)){
      vselect(small, log, (a - (R)FL_LN2) + log),
      vselect(vlt(e, zero), -tanh, tanh),
      sech * sech,
  };
}

POINT(quantile) { /* p[0] = q, p[1] = 1 - q */
  (void)z;
  V e = x - t, zero = FN(vset)(0);
  M over = vlt(zero, e);
  return (FN(point)){
      vabs(e) * vselect(over, p[1], p[0]),
      vselect(over, p[1], vselect(vlt(e, zero), -p[0], e + zero)),
      FN(unless_nan)(e, zero),
  };
}

POINT(expectile) { /* p[0] = tau, p[1] = 1 - tau */
  (void)z;
  V e = x - t, w = vselect(vlt(FN(vset)(0), e), p[1], p[0]), we = w * e;
  return (FN(point)){we * e, we + we, FN(unless_nan)(e, w + w)};
}

POINT(mape) { /* p[0] = eps; 0 / 0 is out of reach even if it is too small for a float */
  (void)z;
  const R least = FL_REAL_BITS == 32 ? (R)0x1p-149 : (R)0x1p-1074;
  V e = x - t, zero = FN(vset)(0), d = vmax(vmax(FN(vset)(least), p[0]), vabs(t)), inv = (R)1 / d;
  V sign = vselect(vlt(zero, e), inv, vselect(vlt(e, zero), -inv, (e + zero) * d));
  return (FN(point)){vabs(e) / d, sign, FN(unless_nan)(e, zero)};
}

/* Poisson's negative log-likelihood of a logarithm of the rate; its other forms are in deviance.h. */
POINT(poisson_nll) {
  (void)z, (void)p;
  V rate = vexp(x), zero = FN(vset)(0), linear = vselect(veq(t, zero), zero, t * x); /* 0 x -inf is 0 */
  return (FN(point)){rate - linear, rate - t, FN(unless_nan)(t, rate)};
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

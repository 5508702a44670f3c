/* The regression losses as point functions (see real.h): x is the prediction, t the target, e = x - t. */

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

POINT(smooth_l1) { /* p[0] = beta > 0, p[1] = 1 / beta; q / beta <= 1 comes first: q a may leave the range of a float */
  (void)z;
  V e = x - t, a = vabs(e), q = vmin(p[0], a);
  return (FN(point)){
      q * p[1] * (a - q * (R)0.5),
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
  V inverse = one / h;
  M outside = vlt(FN(vset)(far), s);
  return (FN(point)){
      a * vselect(outside, p[0], a / (h + one)),
      vselect(outside, vselect(vlt(e, zero), -p[0], p[0]), e * inverse),
      vselect(outside, zero, inverse * inverse * inverse),
  };
}

/* |e| - log 2 + log1p(q^2), q = e^-|e|, would cancel for small errors: there doubles take log1p(m^2 / 2q) with m = q - 1, and
   floats, for whom that is a rounding too many, a series in e^2. */
POINT(log_cosh) {
  (void)z, (void)p;
  V one = FN(vset)(1), zero = FN(vset)(0), e = x - t, a = vabs(e), m, q = vexp_both(-a, &m), q2 = q * q;
  M small = vlt(a, FN(vset)((R)1.3));
#if FL_REAL_BITS == 32
  V e2 = e * e, near = e2 * FL_POLY_F32(e2, FL_LOG_COSH_F32), log = vlog1p_unit(q2);
#else
  V log = vlog1p(vselect(small, m * m / (q + q), q2)), near = log;
#endif
  V rate = one / vfma(q, q, one), tanh = -m * (one + q) * rate, sech = (q + q) * rate;
  return (FN(point)){
      vselect(small, near, (a - (R)FL_LN2) + log),
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

/* Poisson's negative log-likelihood of a logarithm of the rate; its other forms are in deviance.h. Beyond 1000 the rate is infinite and
   the linear term nothing. */
POINT(poisson_nll) {
  (void)z, (void)p;
  V rate = vexp(x), zero = FN(vset)(0),
    linear = vselect(veq(t, zero), zero, t * vmin(FN(vset)(1000), x)); /* 0 x -inf is 0 */
  return (FN(point)){rate - linear, rate - t, FN(unless_nan)(t, rate)};
}
/* (log v + e^2 / v) / 2 + p[1] with v = max(z, p[0]); p[1] + p[2] is the same constant with more digits than a float has. The
   two terms may have opposite signs: for floats they are added in double, where 1/v comes from the float quotient by one
   step of Newton's method. grad2 and hess2 are with respect to z, 0 where it is clipped. */
#if FL_REAL_BITS == 32
FL_INLINE vd FN(gaussian_half)(vd x, vd t, vd v, vd inv, vd constant) {
  vd e = x - t;
  inv = vfma(inv, vfma(-v, inv, vset_f64(1)), inv);
  const md thin = vlt(v, vset_f64(0x1p-126)); /* where the float quotient overflows */
  if (__builtin_expect(vany_f64(thin), 0)) inv = vselect(thin, 1.0 / v, inv);
  return vfma(vset_f64(0.5), vfma(e * e, inv, vlog_short(v)), constant);
}
#endif
POINT(gaussian_nll) {
  V half = FN(vset)((R)0.5), one = FN(vset)(1), e = x - t, v = vmax(p[0], z), inv = one / v, pull = e * inv;
  M clipped = vlt(z, p[0]), thin = vlt(v, FN(vset)(FL_REAL_BITS == 64 ? (R)0x1p-1022 : (R)0x1p-126));
  if (__builtin_expect(FN(vany)(thin), 0)) pull = vselect(thin, e / v, pull); /* 1 / v overflows */
#if FL_REAL_BITS == 32
  V value = vnarrow(FN(gaussian_half)(vlow(x), vlow(t), vlow(v), vlow(inv), vlow(p[1]) + vlow(p[2])),
                    FN(gaussian_half)(vhigh(x), vhigh(t), vhigh(v), vhigh(inv), vhigh(p[1]) + vhigh(p[2])));
#else
  V value = vfma(half, vlog(v) + e / v * e, p[1]); /* e^2 may leave the range of doubles */
#endif
  return (FN(point)){
      vselect(veq(v, FN(vset)((R)INFINITY)), v + pull * e, value), /* an infinite variance, where logarithms end */
      pull,
      FN(unless_nan)(e, inv),
      vdrop(clipped, half * inv * vfma(-pull, e, one)),
      vdrop(clipped, inv * (inv * vfma(pull, e, -half))),
  };
}

/* phi(u) = e^u - 1 - u with u = log t - x, through g = e^u - 1 = t e^-x - 1, which floats have from double. For e^u in [1/4, 4]
   the logarithm is 2 atanh(g / (2 + g)), whose first term is taken out of the difference; beyond, nothing much cancels. */
#if FL_REAL_BITS == 32
FL_INLINE vd FN(gamma_gap)(vd x, vd t, vd ratio) { /* g; of one below 2^-20, u + u^2 / 2 has the digits of a float */
  vd g = ratio - 1.0, error;
  const md near = vlt(vabs(g), vset_f64(0x1p-20));
  if (__builtin_expect(vany_f64(near), 0)) {
    const vd v = vlog_gap(x, t, 0x1p-30, &error), u = -(v + error);
    g = vselect(near, vfma(u * u, vset_f64(0.5), u), g);
  }
  return g;
}
POINT(gamma) {
  (void)z, (void)p;
  vd low = vlow(t) * vexp(-vlow(x)), high = vhigh(t) * vexp(-vhigh(x));
  vd g_low = FN(gamma_gap)(vlow(x), vlow(t), low), g_high = FN(gamma_gap)(vhigh(x), vhigh(t), high);
  V ratio = vnarrow(low, high), g = vnarrow(g_low, g_high);
  V s = vnarrow(g_low * vinverse(g_low + 2.0), g_high * vinverse(g_high + 2.0)), s2 = s * s;
  V near = s * vfma(s2, -FL_POLY_F32(s2, FL_ATANH_WIDE_F32), g);
  M huge = vlt(FN(vset)((R)1e30), ratio), tiny = vlt(ratio, FN(vset)((R)1e-30)); /* as good as out of a float's range */
  V far = vselect(huge, g, g - (vlog(vselect(tiny, t, ratio)) - vselect(tiny, x, FN(vset)(0))));
  M close = vlt(vabs(s), FN(vset)((R)0.6));
  return (FN(point)){vselect(close, near, far), -g, ratio};
}
#else
POINT(gamma) {
  (void)z, (void)p;
  V error, v = vlog_gap(x, t, 0x1p-7, &error), e, grow, ratio = vexp_times(t, -x);
  return (FN(point)){vphi(-v, -error, 0, &e, &grow), FN(vset)(1) - ratio, ratio};
}
#endif

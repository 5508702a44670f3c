/* The terms that divergences sum along rows, as functions of vectors (see real.h): {value, gradient, -, second gradient}. The ones
 * called `short` give the values of floats, in double to about 1e-11: terms of both signs may leave little.
 */

#define SUMMAND(name) FL_INLINE FN(point) FN(name)(V x, V t, V z, V u, const V *p)

/* t (log t - x): x = log q. Nothing where t = 0, be x infinite. Where the bracket is small, vlog_gap knows all its digits. */
SUMMAND(kl_div) {
  (void)z, (void)u, (void)p;
  V zero = FN(vset)(0), value = zero;
#if FL_REAL_BITS == 64 /* log t - x with more digits than log t alone */
  vd k, f = vlog_split_any(t, &k), error, sum_of_error;
  vd s = two_diff(k * FL_LN2_HIGH_F64, x, &error), sum = two_sum(s, f, &sum_of_error);
  error += sum_of_error;
  error += vfma(k, vset_f64(FL_LN2_LOW_F64), -vlog_tail(f));
  sum += nan_to_0(error); /* inf - inf in the error is not the sum's */
  value = t * sum;
  const md near = vlt(vabs(sum), vset_f64(0x1p-7));
  if (vany_f64(near)) {
    vd v = vlog_gap(x, t, 0x1p-7, &error);
    value = vselect(near, -t * (v + error), value);
  }
  value = vselect(veq(t, zero), FN(unless_nan)(x, zero), value);
#endif
  return (FN(point)){.value = value, .grad = FN(unless_nan)(x, -t)};
}

/* The same with t = log p. */
SUMMAND(kl_div_log) {
  (void)z, (void)u, (void)p;
  V zero = FN(vset)(0), y = vexp(t);
  V value = vselect(veq(y, zero), FN(unless_nan)(x, zero), y * (t - x));
  return (FN(point)){.value = value, .grad = FN(unless_nan)(x, -y)};
}

#if FL_REAL_BITS == 64
SUMMAND(kl_div_short) {
  (void)z, (void)u, (void)p;
  V zero = FN(vset)(0), gap = vlog_short(t) - x, value = t * gap, error;
  const md near = vlt(vabs(gap), vset_f64(0x1p-10)); /* the short logarithm has 2^-36 */
  if (__builtin_expect(vany_f64(near), 0)) {
    vd v = vlog_gap(x, t, 0x1p-30, &error);
    value = vselect(near, -t * (v + error), value);
  }
  return (FN(point)){.value = vselect(veq(t, zero), FN(unless_nan)(x, zero), value)};
}
SUMMAND(kl_div_log_short) {
  (void)z, (void)u, (void)p;
  V zero = FN(vset)(0), y = vexp_short_of_float(t);
  y = vdrop(vlt(t, vset_f64(-104)), y); /* below the smallest float */
  return (FN(point)){.value = vselect(veq(y, zero), FN(unless_nan)(x, zero), y * (t - x))};
}
#endif

/* The mean of p log(p / m) and q log(q / m), m = (p + q) / 2. With d = (p - q) / (p + q) this is
   (p + q) / 4 ((1 + d) log(1 + d) + (1 - d) log(1 - d)), where the bracket is d^2 (1 + d^2 / 6 + ...): >= 0 and without
   cancellation. Farther apart, a log(2 a / (a + b)) + b log(2 b / (a + b)) does, for a the larger. Every step treats p and q alike. */
#if FL_REAL_BITS == 64
#define FL_JENSEN_NEAR 0.5
#else
#define FL_JENSEN_NEAR 0.7f
#endif
#define FL_SMALLISH (FL_REAL_BITS == 64 ? (R)0x1p-1000 : (R)0x1p-110)
#define FL_LEAST (FL_REAL_BITS == 64 ? (R)0x1p-1022 : (R)0x1p-126)
#define FL_UP (FL_REAL_BITS == 64 ? (R)0x1p64 : (R)0x1p32)
#define FL_LOG_UP (FL_REAL_BITS == 64 ? (R)(64 * FL_LN2) : (R)(32 * FL_LN2))
SUMMAND(js_divergence) {
  (void)z, (void)u, (void)p;
  V zero = FN(vset)(0), one = FN(vset)(1), half = FN(vset)((R)0.5), two = FN(vset)(2);
  V a = vmax(x, t), b = vmin(x, t), h = x + t, e = vabs(x - t);
  V scale = vselect(vlt(h, FN(vset)(FL_SMALLISH)), FN(vset)(FL_UP), one); /* 1 / h must be finite */
  V inverse = one / (h * scale), d = e * scale * inverse;
  V e_error = error_of_fast_diff(a, b, e), h_error = error_of_fast_sum(a, b, h); /* a >= b */
  V error = (vresidual(d, h, e) + (e_error - d * h_error)) * scale * inverse;
  M near = vle(d, FN(vset)(FL_JENSEN_NEAR)), close = vle(d, FN(vset)((R)0.9)), swapped = vlt(x, t),
    nothing = veq(h, zero);
  V w = one + d, log_a = FN(vlog_parts)(w, (d - (w - one)) + error);
  /* log(2 b / h) = log(1 - d), of which the better-known form */
  V y = one - d, v = vselect(close, y, b * scale * inverse * two), rest = vselect(close, ((one - y) - d) - error, zero);
  M small = vlt(v, FN(vset)(FL_LEAST));
  V log_b = FN(vlog_parts)(vselect(small, v * FL_UP, v), rest) - vselect(small, FN(vset)(FL_LOG_UP), zero);
  log_b = vselect(veq(b, zero), (h - h) - (R)INFINITY, log_b);
  V series = vfma(e, error, vfma(e, d, e_error * d)) * (half * half) * vjensen(d * d);
  V logs = half * vfma(a, log_a, vdrop(veq(b, zero), b * log_b));
  log_a = vdrop(nothing, log_a), log_b = vdrop(nothing, log_b); /* a class that neither knows has no gradient */
  return (FN(point)){
      .value = vdrop(nothing, vselect(near, series, logs)),
      .grad = half * vselect(swapped, log_b, log_a),
      .grad2 = half * vselect(swapped, log_a, log_b),
  };
}

/* max(p[0], (e^d - 1 - d + (x - z)^2 e^-u) / 2): x and t the mean and log-variance, z and u the prior's, d = t - u and its
   rounding error. */
FL_INLINE FN(point) FN(gaussian_term)(V x, V t, V z, V u, V inverse, V least) {
  V half = FN(vset)((R)0.5), one = FN(vset)(1), zero = FN(vset)(0);
  V d = t - u, error = error_of_diff(t, u, d);
  M finite = vlt(vabs(d), FN(vset)(FL_REAL_BITS == 64 ? 709 : 88)); /* e^d is */
  V grow, excess = vexcess(d, &grow);
  excess += vselect(finite, grow * error, zero), grow += vselect(finite, (grow + one) * error, zero);
  V e = x - z, pull = e * inverse, value = half * vfma(pull, e, excess);
  M floored = vlt(value, least);
  return (FN(point)){.value = vmax(least, value), .grad = vdrop(floored, pull), .grad2 = vdrop(floored, half * grow)};
}
SUMMAND(gaussian_kl) { return FN(gaussian_term)(x, t, z, u, vexp(-u), p[0]); }
SUMMAND(gaussian_kl_fixed) { return FN(gaussian_term)(x, t, z, u, p[3], p[0]); } /* one u for all: p[3] = e^-u */
#undef SUMMAND
#undef FL_JENSEN_NEAR
#undef FL_SMALLISH
#undef FL_LEAST
#undef FL_UP
#undef FL_LOG_UP

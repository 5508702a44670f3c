/* The terms that divergences sum along rows, as functions of vectors (see sums.h): {value, gradient, -, second gradient}. The ones
 * called `short` are for floats, in double to about 1e-11: their terms have both signs, and what is left may be small.
 */

#define SUMMAND(name) FL_INLINE FN(point) FN(name)(V x, V t, V z, V u, const V *p)

/* t (log t - x): x = log q. Nothing where t = 0, be x infinite. */
SUMMAND(kl_div) {
  (void)z, (void)u, (void)p;
  V zero = FN(vset)(0), value = zero;
#if FL_REAL_BITS == 64 /* log t - x with more digits than log t alone: both sums keep what they round off (Knuth's TwoSum) */
  M small = vlt(t, vset_f64(0x1p-1022));
  vd k, f = vlog_split(vselect(small, t * 0x1p64, t), &k);
  k -= vselect(small, vset_f64(64), zero);
  vd a = k * FL_LN2_HIGH_F64, s = a - x, b = s - a, lost = (a - (s - b)) - (x + b);
  vd sum = s + f, c = sum - s;
  lost += (s - (sum - c)) + (f - c);
  lost += vfma(k, vset_f64(FL_LN2_LOW_F64), -vlog_tail(f));
  value = t * (sum + vselect(veq(lost, lost), lost, zero)); /* inf - inf in `lost` is not the sum's */
#else
  value = t * (vlog(t) - x);
#endif
  return (FN(point)){vselect(veq(t, zero), FN(unless_nan)(x, zero), value), FN(unless_nan)(x, -t), zero, zero, zero};
}

/* The same with t = log p. */
SUMMAND(kl_div_log) {
  (void)z, (void)u, (void)p;
  V zero = FN(vset)(0), y = vexp_any(t);
  V value = vselect(veq(y, zero), FN(unless_nan)(x, zero), y * (t - x));
  return (FN(point)){value, FN(unless_nan)(x, -y), zero, zero, zero};
}

#if FL_REAL_BITS == 64
SUMMAND(kl_div_short) {
  (void)z, (void)u, (void)p;
  V zero = FN(vset)(0), value = t * (vlog_short(t) - x);
  return (FN(point)){vselect(veq(t, zero), FN(unless_nan)(x, zero), value), zero, zero, zero, zero};
}
SUMMAND(kl_div_log_short) {
  (void)z, (void)u, (void)p;
  V zero = FN(vset)(0), y = vexp_any_short(t);
  y = vdrop(vlt(t, vset_f64(-104)), y); /* below the smallest float */
  return (FN(point)){vselect(veq(y, zero), FN(unless_nan)(x, zero), y * (t - x)), zero, zero, zero, zero};
}
#endif

/* The mean of p log(p / m) and q log(q / m), m = (p + q) / 2. With d = (p - q) / (p + q) this is
   (p + q) / 4 ((1 + d) log(1 + d) + (1 - d) log(1 - d)), where the bracket is d^2 (1 + d^2 / 6 + ...): >= 0 and without
   cancellation. Farther apart, a log(2 a / (a + b)) + b log(2 b / (a + b)) does, for a the larger. Every step treats p and q alike. */
#if FL_REAL_BITS == 64
#define FL_JENSEN_NEAR 0.5
#else
#define FL_JENSEN_NEAR 0.6f
#endif
#define FL_LEAST (FL_REAL_BITS == 64 ? (R)0x1p-1022 : (R)0x1p-126)
#define FL_UP (FL_REAL_BITS == 64 ? (R)0x1p64 : (R)0x1p32)
#define FL_LOG_UP (FL_REAL_BITS == 64 ? (R)(64 * FL_LN2) : (R)(32 * FL_LN2))
SUMMAND(js_divergence) {
  (void)z, (void)u, (void)p;
  V zero = FN(vset)(0), one = FN(vset)(1), half = FN(vset)((R)0.5);
  V a = vmax(x, t), b = vmin(x, t), h = x + t, e = vabs(x - t), d = e / h, w = one + d;
  M near = vle(d, FN(vset)(FL_JENSEN_NEAR)), swapped = vlt(x, t), nothing = veq(h, zero);
  V log_a = FN(vlog_parts)(w, d - (w - one));
  /* log(2 b / h) = log(1 - d), of which the better-known form */
  V y = one - d, v = vselect(near, y, b / h * (R)2), rest = vselect(near, (one - y) - d, zero);
  M small = vlt(v, FN(vset)(FL_LEAST));
  V log_b = FN(vlog_parts)(vselect(small, v * FL_UP, v), rest) - vselect(small, FN(vset)(FL_LOG_UP), zero);
  log_b = vselect(veq(b, zero), (h - h) - (R)INFINITY, log_b);
  V by_series = half * half * e * d * vjensen(d * d), by_logs = half * vfma(a, log_a, vdrop(veq(b, zero), b * log_b));
  V value = vselect(near, by_series, by_logs);
  log_a = vdrop(nothing, log_a), log_b = vdrop(nothing, log_b); /* a class that neither knows has no slope */
  return (FN(point)){
      vdrop(nothing, value), half * vselect(swapped, log_b, log_a), zero, half * vselect(swapped, log_a, log_b), zero,
  };
}

/* max(p[0], (e^d - 1 - d + (x - z)^2 e^-u) / 2): x and t the mean and log-variance, z and u the prior's, d = t - u and the part of it
   that rounding lost. */
SUMMAND(gaussian_kl) {
  V half = FN(vset)((R)0.5), one = FN(vset)(1), zero = FN(vset)(0);
  V d = t - u, b = d - t, lost = (t - (d - b)) - (u + b);
  lost = vselect(veq(lost, lost), lost, zero);
  V grow, excess = vexcess(d, &grow);
  excess = vfma(grow, lost, excess), grow = vfma(grow + one, lost, grow);
  V e = x - z, pull = e * vexp_any(-u), value = half * vfma(pull, e, excess);
  M floored = vlt(value, p[0]);
  return (FN(point)){vmax(p[0], value), vdrop(floored, pull), zero, vdrop(floored, half * grow), zero};
}
#undef SUMMAND
#undef FL_LEAST
#undef FL_UP
#undef FL_LOG_UP

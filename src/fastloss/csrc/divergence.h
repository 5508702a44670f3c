/* The terms that divergences sum along rows, as functions of vectors (see sums.h): {value, gradient, -, second gradient}. The ones
 * called `short` give the values of floats, in double to about 1e-11: terms of both signs may leave little.
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
  value = vselect(veq(t, zero), FN(unless_nan)(x, zero), value);
#endif
  return (FN(point)){.value = value, .grad = FN(unless_nan)(x, -t)};
}

/* The same with t = log p. */
SUMMAND(kl_div_log) {
  (void)z, (void)u, (void)p;
  V zero = FN(vset)(0), y = vexp_any(t);
  V value = vselect(veq(y, zero), FN(unless_nan)(x, zero), y * (t - x));
  return (FN(point)){.value = value, .grad = FN(unless_nan)(x, -y)};
}

#if FL_REAL_BITS == 64
SUMMAND(kl_div_short) {
  (void)z, (void)u, (void)p;
  V zero = FN(vset)(0), value = t * (vlog_short(t) - x);
  return (FN(point)){.value = vselect(veq(t, zero), FN(unless_nan)(x, zero), value)};
}
SUMMAND(kl_div_log_short) {
  (void)z, (void)u, (void)p;
  V zero = FN(vset)(0), y = vexp_any_short(t);
  y = vdrop(vlt(t, vset_f64(-104)), y); /* below the smallest float */
  return (FN(point)){.value = vselect(veq(y, zero), FN(unless_nan)(x, zero), y * (t - x))};
}
#endif

/* The mean of p log(p / m) and q log(q / m), m = (p + q) / 2. With d = (p - q) / (p + q) this is
   (p + q) / 4 ((1 + d) log(1 + d) + (1 - d) log(1 - d)), where the bracket is d^2 (1 + d^2 / 6 + ...): >= 0 and without
   cancellation. Farther apart, a log(2 a / (a + b)) + b log(2 b / (a + b)) does, for a the larger. Every step treats p and q alike. */
#define FL_LEAST (FL_REAL_BITS == 64 ? (R)0x1p-1022 : (R)0x1p-126)
#define FL_UP (FL_REAL_BITS == 64 ? (R)0x1p64 : (R)0x1p32)
#define FL_LOG_UP (FL_REAL_BITS == 64 ? (R)(64 * FL_LN2) : (R)(32 * FL_LN2))
SUMMAND(js_divergence) {
  (void)z, (void)u, (void)p;
  V zero = FN(vset)(0), one = FN(vset)(1), half = FN(vset)((R)0.5), value = zero;
  V b = vmin(x, t), h = x + t, e = vabs(x - t), d = e / h, w = one + d;
  M near = vle(d, half), swapped = vlt(x, t), nothing = veq(h, zero);
  V log_a = FN(vlog_parts)(w, d - (w - one));
  /* log(2 b / h) = log(1 - d), of which the better-known form */
  V y = one - d, v = vselect(near, y, b / h * (R)2), rest = vselect(near, (one - y) - d, zero);
  M small = vlt(v, FN(vset)(FL_LEAST));
  V log_b = FN(vlog_parts)(vselect(small, v * FL_UP, v), rest) - vselect(small, FN(vset)(FL_LOG_UP), zero);
  log_b = vselect(veq(b, zero), (h - h) - (R)INFINITY, log_b);
#if FL_REAL_BITS == 64
  value = vselect(near, half * half * e * d * vjensen(d * d), half * vfma(vmax(x, t), log_a, vdrop(veq(b, zero), b * log_b)));
  value = vdrop(nothing, value);
#endif
  log_a = vdrop(nothing, log_a), log_b = vdrop(nothing, log_b); /* a class that neither knows has no slope */
  return (FN(point)){value, half * vselect(swapped, log_b, log_a), zero, half * vselect(swapped, log_a, log_b), zero};
}

#if FL_REAL_BITS == 64
SUMMAND(js_divergence_short) { /* where 1 - d has no digits left, b is nothing to a */
  (void)z, (void)u, (void)p;
  V one = FN(vset)(1), a = vmax(x, t), b = vmin(x, t), h = x + t, e = vabs(x - t), d = e / h;
  V far = vfma(a, vlog_short(one + d), b * vlog_short(one - d)) * 0.5, near = e * 0.25 * d * vjensen_short(d * d);
  V value = vdrop(veq(h, FN(vset)(0)), vselect(vle(d, FN(vset)(0.25)), near, far));
  return (FN(point)){.value = value};
}
#endif

/* max(p[0], (e^d - 1 - d + (x - z)^2 e^-u) / 2): x and t the mean and log-variance, z and u the prior's, d = t - u and the part of it
   that rounding lost. */
SUMMAND(gaussian_kl) {
  V half = FN(vset)((R)0.5), one = FN(vset)(1), zero = FN(vset)(0);
  V d = t - u, b = d - t, lost = (t - (d - b)) - (u + b);
  M finite = vlt(vabs(d), FN(vset)(FL_REAL_BITS == 64 ? 709 : 88)); /* e^d is */
  V grow, excess = vexcess(d, &grow);
  excess += vselect(finite, grow * lost, zero), grow += vselect(finite, (grow + one) * lost, zero);
  V e = x - z, pull = e * vexp_any(-u), value = half * vfma(pull, e, excess);
  M floored = vlt(value, p[0]);
  return (FN(point)){vmax(p[0], value), vdrop(floored, pull), zero, vdrop(floored, half * grow), zero};
}
#undef SUMMAND
#undef FL_LEAST
#undef FL_UP
#undef FL_LOG_UP

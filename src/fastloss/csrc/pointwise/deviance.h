/* Regression losses that are made of logarithms and exponentials, as point functions of doubles (see real.h); floats use
 * them too, in their brief form, whose polynomials are good to 1e-10. x is the prediction (of the logarithm of the mean, but
 * for msle and rates), t the target. phi(v) = e^v - 1 - v >= 0, which vphi gives without cancellation, is what the deviances
 * are made of; with v = x - log t from vlog_gap, which keeps digits of the logarithm that a double has no room for.
 */

/* A point function and its brief form from one body that is given `brief`. */
#define POINT_TWICE(name)                                                                                                \
  static inline FN(point) FN(name##_either)(V x, V t, V z, const V *p, int brief);                                       \
  POINT(name) { return FN(name##_either)(x, t, z, p, 0); }                                                               \
  POINT(name##_brief) { return FN(name##_either)(x, t, z, p, 1); }                                                       \
  FL_INLINE FN(point) FN(name##_either)(V x, V t, V z, const V *p, int brief)

/* |log1p x - log1p t| = log1p(|x - t| / (1 + min(x, t))): where both are close, and where one is close to -1. A quotient that
   overflows is so large that its logarithm is the difference of two. */
POINT_TWICE(msle) {
  (void)z, (void)p;
  V one = FN(vset)(1), top = FN(vset)(INFINITY), n = vabs(x - t), least = one + vmin(x, t), more = one + x;
  V w = brief ? n * vinverse(least) : n / least;
  V inv = brief ? vinverse(vmin(FN(vset)(1e300), more)) : one / more;
  V d = brief ? vlog1p_short_fast(w) : vlog1p(w);
  if (!brief && __builtin_expect(vany_f64(veq(w, top)), 0)) d = vselect(veq(w, top), vlog(n) - vlog(least), d);
  V toward =
      vselect(veq(x, top), vdrop(veq(n, top), n), vselect(vlt(x, t), -d, d)); /* inf x 0 is 0: the gradient out there */
  return (FN(point)){d * d, (R)2 * toward * inv, (R)2 * (one - toward) * inv * inv};
}

/* log s for s >= 0, with its limit at 0 */
FL_INLINE V FN(log_limits)(V s) { return vselect(veq(s, FN(vset)(0)), FN(vset)(-INFINITY), vlog(s)); }

/* Where x - log t is below this, all its digits are asked for (vlog_gap). */
#define FL_GAP(brief) ((brief) ? 0x1p-30 : 0x1p-7)

/* Stirling's log t! for t > 1, else 0. */
FL_INLINE V FN(stirling)(V t) {
  V log = vlog(t), one = FN(vset)(1), half = FN(vset)(0.5);
  return vdrop(vle(t, one), vfma(t, log, -t) + half * (log + FL_LOG_2PI));
}

/* e^x - t x + Stirling's term: from 1 on it is t phi(x - log t) + log(2 pi t) / 2, two terms >= 0. */
POINT_TWICE(poisson_nll_full) {
  (void)z, (void)p;
  V zero = FN(vset)(0), error, v = vlog_gap(x, t, FL_GAP(brief), &error), e, grow;
  V rate = vexp(x), deviance = t * vphi(v, error, brief, &e, &grow);
  V plain = rate - vselect(veq(t, zero), zero, t * vmin(FN(vset)(1000), x));
  V with = vfma(FN(vset)(0.5), vlog(t) + FL_LOG_2PI, deviance);
  return (FN(point)){vselect(vle(t, FN(vset)(1)), plain, with), rate - t, FN(unless_nan)(t, rate)};
}

POINT(poisson_nll_rate) { /* p[0] = eps */
  (void)z;
  V s = x + p[0], zero = FN(vset)(0), one = FN(vset)(1);
  M none = veq(t, zero); /* 0 log 0 = 0 */
  V pull = vdrop(none, t / s);
  return (FN(point)){x - vdrop(none, t * FN(log_limits)(s)), FN(unless_nan)(s, one - pull), vdrop(none, pull / s)};
}
POINT(poisson_nll_rate_full) {
  FN(point) at = FN(poisson_nll_rate)(x, t, z, p);
  at.value += FN(stirling)(t);
  return at;
}

POINT_TWICE(tweedie_poisson) {
  (void)z, (void)p;
  V error, v = vlog_gap(x, t, FL_GAP(brief), &error), mean = vexp(x), e, grow;
  V deviance = t * vphi(v, error, brief, &e, &grow);
  deviance = vselect(vlt(FN(vset)(600), v), mean, deviance); /* t is nothing beside the mean */
  return (FN(point)){vselect(veq(t, FN(vset)(0)), mean, deviance), mean - t, FN(unless_nan)(t, mean)};
}

/* (e^x - t)^2 / 2: near the optimum the difference is t (e^v - 1), v = x - log t. */
POINT_TWICE(tweedie_normal) {
  (void)z, (void)p;
  V mean = vexp(x), d = mean - t, own = d;
  const M near = vlt(vabs(d), mean * (R)(brief ? 0x1p-22 : 0.5));
  if (vany_f64(near)) {
    V error, v = vlog_gap(x, t, FL_GAP(brief), &error), e, grow;
    vphi(v, error, 0, &e, &grow);
    own = vselect(near, t * grow, d);
  }
  return (FN(point)){(R)0.5 * own * own, mean * d, mean * (mean + d)};
}

/* Power 1.5: 2 (sqrt t - h)^2 / h, h = e^(x/2), as 2 h d^2 with d = sqrt t / h - 1; near the optimum d = e^(-v/2) - 1, v = x - log t.
   Farther out h's own error is at most tripled. */
POINT_TWICE(tweedie_three_halves) {
  (void)z, (void)p;
  V root = vsqrt(t), h = vexp((R)0.5 * x), inverse = (R)1 / h;
  M none = veq(t, FN(vset)(0)); /* 0 x inf is 0 */
  V d = vdrop(none, root * inverse) - (R)1, value = (R)2 * d * (root - h), pull = vdrop(none, t * inverse);
  const M near = brief ? vlt(vabs(d), FN(vset)(0x1p-22)) : vlt(vabs(d - (R)0.5), FN(vset)(1.2));
  if (vany_f64(near)) {
    V error, v = vlog_gap(x, t, FL_GAP(brief), &error), e, grow;
    vphi((R)-0.5 * v, (R)-0.5 * error, 0, &e, &grow);
    value = vselect(near, (R)2 * h * grow * grow, value);
  }
  const M tiny = vlt(h, FN(vset)(1e-300)); /* 1 / h overflows, and sqrt t is far above h */
  if (!brief && __builtin_expect(vany_f64(tiny), 0)) {
    V far = vexp_times(t, (R)-0.5 * x);
    pull = vselect(tiny, vdrop(none, far), pull), value = vselect(tiny, vselect(none, h + h, far + far), value);
  }
  return (FN(point)){value, h - pull, (R)0.5 * (h + pull)};
}

/* l e^(a b) for l >= 0, whose exponent is a double-double product: its error becomes relative in the power. */
FL_INLINE V FN(times_power)(V l, V a, V b, int brief) {
  V product = a * b, error = error_of_product_finite(a, b, product);
  const V power = vexp_times(l, product);
  return brief ? power : power * ((R)1 + error);
}

/* With a = p[0] = 1 - power, b = p[1] = 2 - power, 1/a = p[2], 1/b = p[3], v = x - log t:
 *   t^b / (a b) - t e^(a x) / a + e^(b x) / b
 *     = t^b (phi(b v) / b - phi(a v) / a)             for powers from 1 to 2: a < 0 < b
 *     = e^(b x) (phi(-b v) / -b + phi(-v)) / -a       for powers above 2: a < b < 0
 * Terms and factors are all >= 0, so that nothing cancels. Where one exponential exceeds all else 1e260-fold (t = 0 among them) it
 * stands alone, so that nothing overflows. */
POINT_TWICE(tweedie) {
  (void)z;
  const V zero = FN(vset)(0), one = FN(vset)(1), a = p[0], b = p[1], huge = FN(vset)(600);
  const M above = vlt(b, zero); /* power 2 */
  V error, v = vlog_gap(x, t, FL_GAP(brief), &error), e, grow, u_error, w_error;
  const V size_a = vabs(a), size_b = vabs(b), second = vselect(above, one, size_a);
  const V u = two_product(size_b, v, &u_error), w = two_product(-second, v, &w_error);
  const M push_alone = vlt(huge, u), pull_alone = vlt(huge, w), none = veq(t, zero);
  u_error = vfma(size_b, error, u_error), w_error = vfma(-second, error, w_error);
  u_error = nan_to_0(u_error), w_error = nan_to_0(w_error);
  V phi_b = vphi(u, u_error, brief, &e, &grow), phi_a = vphi(w, w_error, brief, &e, &grow);
  V outer = vselect(above, -p[2], vselect(pull_alone, -p[2], one));
  V factor = vfma(phi_b, vabs(p[3]), phi_a * vselect(above, one, -p[2]));
  factor = vselect(none, p[3], vselect(pull_alone, t, vselect(push_alone, vabs(p[3]), factor)));
  /* the exponential that it multiplies: of a x, b x or b log t */
  V rate = vselect(none, b, vselect(pull_alone, a, b)), log_error, log = vlog_with_error(t, &log_error);
  M of_log = vlt(vselect(none, one, vselect(pull_alone, one, vselect(push_alone, b, -b))), zero);
  V of = vselect(of_log, log, x), of_error = b * vselect(of_log, log_error, zero);
  V pull = vdrop(none, FN(times_power)(t, a, x, brief)), push = FN(times_power)(one, b, x, brief);
  M steep = veq(pull, FN(vset)(INFINITY)); /* then it exceeds push, even if that is infinite too */
  return (FN(point)){
      outer * FN(times_power)(factor * (one + of_error), rate, of, brief),
      vselect(steep, -pull, push - pull),
      vselect(steep, -a * pull, vfma(b, push, -a * pull)),
  };
}
#undef FL_GAP

/* Regression losses that are made of logarithms and exponentials, as point functions of doubles (see pointwise.h); floats use
 * them too, in their brief form, whose polynomials are good to 1e-10. x is the prediction (of the logarithm of the mean, but
 * for msle and rates), t the target. phi(v) = e^v - 1 - v >= 0, which vphi gives without cancellation, is what the deviances
 * are made of; with v = x - log t from vlog_pair, which keeps digits of the logarithm that a double has no room for.
 */

/* A point function and its brief form from one body that is given `brief`. */
#define POINT_TWICE(name)                                                                                                \
  static inline FN(point) FN(name##_either)(V x, V t, V z, const V *p, int brief);                                       \
  POINT(name) { return FN(name##_either)(x, t, z, p, 0); }                                                               \
  POINT(name##_brief) { return FN(name##_either)(x, t, z, p, 1); }                                                       \
  FL_INLINE FN(point) FN(name##_either)(V x, V t, V z, const V *p, int brief)

/* |log1p x - log1p t| = log1p(|x - t| / (1 + min(x, t))): where both are close, and where one is close to -1. */
POINT_TWICE(msle) {
  (void)z, (void)p;
  V one = FN(vset)(1), top = FN(vset)(INFINITY), n = vabs(x - t), least = one + vmin(x, t), more = one + x;
  V w = brief ? n * vinverse(least) : n / least;
  V inv = brief ? vinverse(vmin(FN(vset)(1e300), more)) : one / more;
  V d = vselect(veq(w, top), w, brief ? vlog1p_brief(w) : vlog1p(w));
  V toward =
      vselect(veq(x, top), vdrop(veq(n, top), n), vselect(vlt(x, t), -d, d)); /* inf x 0 is 0: the slope out there */
  return (FN(point)){d * d, (R)2 * toward * inv, (R)2 * (one - toward) * inv * inv};
}

/* log s for s >= 0, with its limits */
FL_INLINE V FN(log_limits)(V s) {
  V top = FN(vset)(INFINITY), log = vselect(veq(s, top), top, vlog(s));
  return vselect(veq(s, FN(vset)(0)), -top, log);
}

/* Stirling's log t! for t > 1, else 0. */
FL_INLINE V FN(stirling)(V t) {
  V log = vlog(t), one = FN(vset)(1), half = FN(vset)(0.5);
  return vdrop(vle(t, one), vfma(t, log, -t) + half * (log + FL_LOG_2PI));
}

/* e^x - t x + Stirling's term: from 1 on it is t phi(x - log t) + log(2 pi t) / 2, two terms >= 0. */
POINT_TWICE(poisson_nll_full) {
  (void)z, (void)p;
  V zero = FN(vset)(0), lost, log = vlog_pair(t, &lost), e, grow;
  V rate = vexp(x), deviance = t * vphi((x - log) - lost, brief, &e, &grow);
  V plain = rate - vselect(veq(t, zero), zero, t * x);
  V with = vfma(FN(vset)(0.5), log + FL_LOG_2PI, deviance);
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
  V lost, log = vlog_pair(t, &lost), v = (x - log) - lost, mean = vexp(x), e, grow;
  V deviance = t * vphi(v, brief, &e, &grow);
  deviance = vselect(vlt(FN(vset)(600), v), mean, deviance); /* t is nothing beside the mean */
  return (FN(point)){vselect(veq(t, FN(vset)(0)), mean, deviance), mean - t, FN(unless_nan)(t, mean)};
}

POINT(tweedie_normal) {
  (void)z, (void)p;
  V mean = vexp(x), d = mean - t;
  return (FN(point)){(R)0.5 * d * d, mean * d, mean * (mean + d)};
}

/* Power 1.5: 2 (sqrt t - h)^2 / h, h = e^(x/2). */
POINT(tweedie_three_halves) {
  (void)z, (void)p;
  V root = vsqrt(t), h = vexp((R)0.5 * x), inverse = (R)1 / h;
  M none = veq(t, FN(vset)(0)); /* 0 x inf is 0 */
  V d = vdrop(none, root * inverse) - (R)1, pull = vdrop(none, t * inverse);
  return (FN(point)){(R)2 * d * (root - h), h - pull, (R)0.5 * (h + pull)};
}

/* With a = p[0] = 1 - power, b = p[1] = 2 - power, 1/a = p[2], 1/b = p[3]:
 *   t^b / (a b) - t e^(a x) / a + e^(b x) / b = t^b (phi(b v) / b - phi(a v) / a),   v = x - log t.
 * Between powers 1 and 2 both terms are >= 0. Above 2 they cancel where b v is far below 0; there the bracket is taken as it
 * stands. Where one exponential exceeds all else 1e260-fold (t = 0 among them) it stands alone, so that nothing overflows. */
POINT_TWICE(tweedie) {
  (void)z;
  V zero = FN(vset)(0), a = p[0], b = p[1], lost, log = vlog_pair(t, &lost), v = (x - log) - lost, ea, eb, grow;
  V av = a * v, bv = b * v, huge = FN(vset)(600);
  V phi_a = vphi(av, brief, &ea, &grow), phi_b = vphi(bv, brief, &eb, &grow);
  V factor = vfma(phi_b, p[3], -phi_a * p[2]), plain = vfma(eb, p[3], (p[3] - ea) * p[2]);
  factor = vselect(vlt(b, zero), vselect(vlt(bv, FN(vset)(-2)), plain, factor), factor);
  M none = veq(t, zero), only_b = vlt(huge, bv), only_a = vlt(huge, av);
  V rate = vselect(none, b, vselect(only_a, a, b));
  V of = vselect(none, x, vselect(only_a, x, vselect(only_b, x, log)));
  V more = vselect(none, zero, vselect(only_a, zero, vselect(only_b, zero, b * lost)));
  factor = vselect(none, p[3], vselect(only_a, -t * p[2], vselect(only_b, p[3], factor)));
  V power = rate * of, tail = vproduct_lost(rate, of, power) + more;
  tail = vselect(veq(tail, tail), tail, zero); /* of an infinite power nothing is lost */
  V scale = (brief ? vexp_short(power) : vexp(power)) * ((R)1 + tail);
  V pull = vdrop(none, t * vexp(a * x)), push = vexp(b * x);
  M steep = veq(pull, FN(vset)(INFINITY)); /* then it exceeds push, even if that is infinite too */
  return (FN(point)){
      scale * factor,
      vselect(steep, -pull, push - pull),
      vselect(steep, -a * pull, vfma(b, push, -a * pull)),
  };
}

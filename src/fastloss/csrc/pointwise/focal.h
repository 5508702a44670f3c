/* The focal loss of a logit as a point function of doubles (see real.h and deviance.h); floats use its brief form.
 *
 * With p = sigmoid(x), s = 1 - p and l = -log p, a label of 1 costs f(x) = s^gamma l, and a label of 0 f(-x). Then
 *   f'(x)  = -s^gamma (gamma p l + s)
 *   f''(x) = s^gamma p (s (1 + 2 gamma) + gamma l (gamma p - s))
 * All of p, s and l come from e^-|x| without cancellation; the Hessian alone has terms of both signs.
 */

/* e^-gamma(m + l) for m, l >= 0: the product gamma m and the sum are double-doubles, for their error becomes relative. */
FL_INLINE V FN(power_far)(V gamma, V m, V l, int brief) {
  if (brief) return vexp_short(-gamma * (m + l));
  V a = gamma * m, b = gamma * l, sum = a + b;
  V error = error_of_product(gamma, m, a) + error_of_sum(a, b, sum);
  return vexp_negative(-sum) * ((R)1 - error);
}

/* p[0] = gamma, or 2 if `square`; p[1] and p[2] weigh the labels 1 and 0. */
FL_INLINE FN(point) FN(focal)(V x, V t, const V *p, int square, int brief) {
  V zero = FN(vset)(0), one = FN(vset)(1), gamma = square ? FN(vset)(2) : p[0], m = vabs(x), u, near, l;
  if (brief) { /* one division for both: 1 / (1 + u), and u / (2 + u) for the logarithm */
    u = vexp_short(-m);
    V c = one + u, d = c + one, w = vinverse(c * d);
    near = w * d, l = vlog1p_ratio_short(u, u * w * c);
  } else {
    u = vexp_negative(-m), near = one / (one + u), l = vlog1p(u);
  }
  V far = u * near, near_power, far_power;
  if (square) {
    near_power = near * near, far_power = far * far;
  } else {
    V least = vmin(FN(vset)(1e4), m); /* beyond, what the power multiplies is 0 */
    near_power = brief ? vexp_short(-gamma * l) : vexp_negative(-gamma * l);
    far_power = FN(power_far)(gamma, least, l, brief);
  }
  M negative = vlt(x, zero);
  V q1 = vselect(negative, far, near), q0 = vselect(negative, near, far); /* p and s */
  V s0 = vselect(negative, near_power, far_power), s1 = vselect(negative, far_power, near_power);
  V l1 = vmax(zero, zero - x) + l, l0 = vmax(zero, x) + l; /* -log p, -log s */
  V a = p[1] * t, b = p[2] * (one - t);
  V cost1 = vdrop(veq(a, zero), a * (s0 * l1)), cost0 = vdrop(veq(b, zero), b * (s1 * l0)); /* 0 x inf is 0 */
  V top = FN(vset)(1e4), twice = one + gamma + gamma;
  l1 = vmin(top, l1), l0 = vmin(top, l0); /* beyond, the probability beside them is 0 */
  a *= s0, b *= s1;
  V curve1 = q1 * vfma(q0, twice, gamma * l1 * vfma(gamma, q1, -q0));
  V curve0 = q0 * vfma(q1, twice, gamma * l0 * vfma(gamma, q0, -q1));
  return (FN(point)){
      cost1 + cost0,
      b * vfma(gamma * q0, l0, q1) - a * vfma(gamma * q1, l1, q0),
      vfma(a, curve1, b * curve0),
  };
}

POINT(sigmoid_focal) { return (void)z, FN(focal)(x, t, p, 0, 0); }
POINT(sigmoid_focal_brief) { return (void)z, FN(focal)(x, t, p, 0, 1); }
POINT(sigmoid_focal_square) { return (void)z, FN(focal)(x, t, p, 1, 0); }
POINT(sigmoid_focal_square_brief) { return (void)z, FN(focal)(x, t, p, 1, 1); }

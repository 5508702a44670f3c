/* The binary classification losses as point functions (see real.h): x is the probability or score, t the target. */

/* Logs at -100 or below are cut there (PyTorch's convention) and then have no gradient. With eps = p[0] > 0 the probability is
   clipped to [eps, 1 - eps]: beyond, the logs are p[1] = log(eps) and p[2] = log(1 - eps), and there is no gradient either. */
POINT(binary_cross_entropy) {
  (void)z;
  V one = FN(vset)(1), zero = FN(vset)(0), floor = FN(vset)(-100), s = one - t, y = one - x;
  M low = vlt(x, p[0]), high = vlt(y, p[0]);
  V log_x = vmax(floor, vselect(veq(x, zero), floor, vlog(x)));
  V log_y = vmax(floor, vselect(veq(x, one), floor, vlog1p(-x)));
  V gradient_x = vdrop(vle(log_x, floor), t / x), gradient_y = vdrop(vle(log_y, floor), s / y);
  V curve = vdrop(vle(log_x, floor), gradient_x / x) + vdrop(vle(log_y, floor), gradient_y / y);
  log_x = vselect(low, p[1], vselect(high, p[2], log_x));
  log_y = vselect(low, p[2], vselect(high, p[1], log_y));
  return (FN(point)){
      -(t * log_x + s * log_y),
      vdrop(low, vdrop(high, gradient_y - gradient_x)),
      vdrop(low, vdrop(high, curve)),
  };
}

/* a softplus(-x) + b softplus(x), with total = a + b: two terms >= 0, so nothing cancels. */
FL_INLINE FN(point) FN(softplus_pair)(V x, V a, V b, V total) {
  V zero = FN(vset)(0), m = vabs(x), u = vexp_negative(-m), inv = (R)1 / (u + (R)1);
  M negative = vlt(x, zero);
  V wrong = vselect(negative, a, b); /* weight of the linear side; 0 x inf is 0 there */
  V linear = vselect(veq(wrong, zero), zero, wrong * m);
  V near = inv, far = u * inv; /* sigmoid(|x|), sigmoid(-|x|) */
  return (FN(point)){
      vfma(total, vlog1p_unit(u), linear),
      b * vselect(negative, far, near) - a * vselect(negative, near, far),
      total * far * near,
  };
}

/* Binary cross-entropy of logits, in general and plain. p[0] = 1 - label_smoothing, p[1] = label_smoothing / 2; z = pos_weight. */
POINT(binary_cross_entropy_with_logits) {
  V a = z * vfma(t, p[0], p[1]), b = vfma((R)1 - t, p[0], p[1]); /* not 1 - y, which has fewer digits */
  return FN(softplus_pair)(x, a, b, a + b);
}
POINT(logistic) {
  (void)z, (void)p;
  return FN(softplus_pair)(x, t, (R)1 - t, FN(vset)(1));
}

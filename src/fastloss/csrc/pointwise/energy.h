/* The energy losses as point functions (see real.h): x is the energy of the answer, t that of a contrastive sample. */

/* x - t + a (x^2 + t^2) with a = p[0]; the parts may have opposite signs, so that floats are added in double. */
FL_INLINE vd FN(opposed)(vd x, vd t, vd a) {
  const vd d = x - t, q = vfma(a * x, x, a * t * t); /* not a (x^2 + t^2), whose squares may overflow alone */
  return vselect(veq(a, vset_f64(0)), d, vselect(veq(q, vset_f64(INFINITY)), q, d + q));
}

POINT(contrastive_divergence) {
  (void)z;
  V zero = FN(vset)(0), one = FN(vset)(1), twice = p[0] + p[0];
  M bare = veq(p[0], zero); /* 0 x infinity is 0 then */
#if FL_REAL_BITS == 32
  V value = vnarrow(FN(opposed)(vlow(x), vlow(t), vlow(p[0]) + vlow(p[1])),
                    FN(opposed)(vhigh(x), vhigh(t), vhigh(p[0]) + vhigh(p[1])));
#else
  V value = FN(opposed)(x, t, p[0]);
#endif
  return (FN(point)){
      value,
      vselect(bare, FN(unless_nan)(x, one), vfma(twice, x, one)),
      FN(unless_nan)(x, twice),
      vselect(bare, FN(unless_nan)(t, -one), vfma(twice, t, -one)),
      FN(unless_nan)(t, twice),
  };
}

/* How the exponentials of a row of logits are scaled, so that sums of them neither overflow nor round where it matters. Included
 * once per type (R, V, LANES, FN as in twice.h) by what adds such exponentials up: rows, ctc, regions, contrast.
 *
 * Exponentials are not taken of x - max: that difference rounds, and for a row won by 50 nats its rounding alone costs 30 ULP.
 * Instead e^x = p 2^n (vecmath.h), and n - k + BIAS, whole numbers, is the power of two that a term keeps; k is max's own n. What
 * is left over, e^(k ln 2 - max), is one factor per row, computed in double. The bias makes room for terms down to e^-RANGE of
 * the largest before they lose bits. Rows whose max is beyond 2 RANGE are shifted by it first: there x - max is exact
 * wherever it matters (Sterbenz).
 */

#define FL_UNBIAS_f32 0x1p-60 /* how far exponentials are scaled down again */
#define FL_UNBIAS_f64 0x1p-500

#if FL_REAL_BITS == 32
#define FL_BIAS 60
#define FL_UNBIAS FL_UNBIAS_f32
#define FL_RANGE 128
#define FL_SMALL 0x1p-100
#define FL_FLUSH 0x1p-170 /* what clamped terms can add up to */
#define FL_ROUND FL_ROUND_F32
#define FL_EXP_SCALE vexp_small_short
#define FL_LOG1P_ROW vlog1p_short
#else
#define FL_BIAS 500
#define FL_UNBIAS FL_UNBIAS_f64
#define FL_RANGE 1050
#define FL_SMALL 0x1p-990
#define FL_FLUSH 0.0
#define FL_ROUND FL_ROUND_F64
#define FL_EXP_SCALE vexp_small
#define FL_LOG1P_ROW vlog1p_f64
#endif

/* How a row's exponentials are scaled: everything follows from its largest logit, `max`. */
typedef struct {
  R shift;          /* subtracted from the logits: 0, or max if that is large */
  R low;            /* shifted logits below are raised to it */
  R exponent;       /* k - BIAS */
  double log_scale; /* the scale that is left over, a logarithm: k ln 2 - (max - shift), in [-0.35, 0.35] */
} FN(scaling);

FL_INLINE FN(scaling) FN(scaling_of)(R max) {
  FN(scaling) s;
  s.shift = max > 2 * FL_RANGE || max < -2 * FL_RANGE ? max : 0;
  const R y = max - s.shift;
  const R k = (y * (R)FL_LOG2E + FL_ROUND) - FL_ROUND;
  s.low = y - FL_RANGE;
  s.exponent = k - FL_BIAS;
  s.log_scale = ((double)k * FL_LN2_HIGH_F64 - (double)y) + (double)k * FL_LN2_LOW_F64;
  return s;
}

/* e^(x - max) 2^BIAS e^-log_scale */
FL_INLINE V FN(term)(V x, V shift, V low, V exponent) { return vexp_scaled(vmax(low, x - shift), exponent); }

/* The doubles of one register, as two (float) or one (double) registers. */
#if FL_REAL_BITS == 32
#define FL_HALVES 2
#define FL_HALF(v, h) ((h) ? vhigh(v) : vlow(v))
#else
#define FL_HALVES 1
#define FL_HALF(v, h) (v)
#endif

/* Four registers' worth of float terms are added in float (a tree two deep), then go on in double. */
FL_INLINE void FN(sum_terms)(vd sum[2], const V term[4]) {
#if FL_REAL_BITS == 32
  const V s = (term[0] + term[1]) + (term[2] + term[3]);
  sum[0] += vlow(s), sum[1] += vhigh(s);
#else
  sum[0] += term[0] + term[1], sum[1] += term[2] + term[3];
#endif
}

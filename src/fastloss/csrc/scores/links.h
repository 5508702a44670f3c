/* Cumulative links: minus the log-probability that a level's interval (a, b) = (low - score, high - score) has under a link's
 * distribution F, and its gradients in score, low and high. Included by scores.c once: everything is double. low is -inf at the
 * lowest level, high +inf at the highest. w = high - low does not depend on the score.
 */

typedef struct {
  vd score, low, high, w;
  vd a, a_error, b, b_error;
  md first, last; /* the lowest and the highest level */
} fl_interval;

typedef struct {
  vd value, score, low, high; /* the value, and its gradients in them */
} fl_link_point;

FL_INLINE fl_interval fl_interval_at(const fl_link *job, ptrdiff_t i) {
  const vd top = vset_f64(INFINITY);
  fl_interval at = {.score = vload(job->score + i), .low = vload(job->low + i), .high = vload(job->high + i)};
  at.first = veq(at.low, -top), at.last = veq(at.high, top);
  at.w = at.high - at.low;
  at.a = vselect(at.first, -top, two_diff_finite(at.low, at.score, &at.a_error)); /* whatever the score */
  at.b = vselect(at.last, top, two_diff_finite(at.high, at.score, &at.b_error));
  return at;
}

/* Logistic: F(b) - F(a) = s(b) s(-a) (1 - e^-w), so that minus its log is softplus(-b) + softplus(a) - log(1 - e^-w): three
   terms >= 0. The gradient in the score, s(-b) - s(a), is s(-b) s(-a) (1 - e^(a + b)), or the same mirrored. */
FL_INLINE fl_link_point fl_logit(const fl_interval *at) {
  const vd zero = vset_f64(0);
  vd under, over, under_a, over_b, error; /* s(a), s(-b), 1 less each */
  const vd value = fl_softplus(at->a, at->a_error, &under, &under_a) + fl_softplus(-at->b, -at->b_error, &over, &over_b);
  const vd q = fl_one_minus_exp(at->w), tail = fl_exp_negative(-at->w) / q; /* 1 / (e^w - 1) */
  const vd both = nan_to_0(two_sum_finite(at->a, at->b, &error)), skew = both + (error + (at->a_error + at->b_error));
  const vd size = fl_one_minus_exp(vabs(skew));
  return (fl_link_point){
      value + fl_log_one_minus_exp(at->w, zero, q),
      vselect(vlt(zero, skew), -(under * over_b) * size, over * under_a * size),
      under + tail,
      -(over + tail),
  };
}

/* Normal. M(z) = e^(z^2/2) Phi(-z) for z >= 0, falling from 1/2 to 0: (1 + 4/5 z) M is a polynomial of (z - 21/4) / (z + 21/4),
   to 1e-17 (tools/minimax.py; the idea is Shepherd and Laframboise's, Mathematics of Computation 36, 1981). With 4/5 it is level at
   z = 0, where the quotient's rounding would show most. */
#define FL_MILLS                                                                                                         \
  {0.38213880043400295,    -0.099545996831192113,   0.049772356196842622,    -0.011567989995546136,                      \
   -0.0090344627831014344, 0.014371853346034568,    -0.011213322965756962,   0.0059864534138099638,                      \
   -0.0021692766748939224, 0.00039627691750416475,  7.4030752702534627e-05,  -6.9318719746329989e-05,                    \
   1.1101463130629422e-05, 5.9951179027680576e-06,  -2.6929624390540777e-06, -3.7257175990507406e-07,                    \
   4.37358713414518e-07,   1.0093014494303726e-08,  -6.7875193195882169e-08, 1.7076207838828666e-09,                     \
   1.0547121471855379e-08, -3.4315255968221621e-10, -1.4530690011176644e-09, 2.6083368443793796e-11,                     \
   1.2251303440016553e-10}
FL_INLINE vd fl_mills(vd z) {
  const vd bounded = vmin(vset_f64(0x1p900), z);
  return FL_POLY_F64((bounded - 5.25) / (bounded + 5.25), FL_MILLS) / (1.0 + 0.8 * z);
}

/* e^-(z + error)^2/2, with the rounding error of z^2 */
FL_INLINE vd fl_bell(vd z, vd error) {
  const vd square = z * z;
  return fl_exp_exact(-0.5 * square, -nan_to_0(0.5 * error_of_product_finite(z, z, square) + z * error));
}

/* The interval is mirrored so that its middle m is <= 0: then b is nearer to 0 than a, and phi(a) = phi(b) e^(-w |m|).
   In the tail (b <= 0):  Phi(b) - Phi(a) = Phi(b) (1 - r), r = e^(-w |m|) M(-a) / M(-b); phi(b) / Phi(b) is 1 / M without the
                          exponential.
   Around 0 (b > 0):      1 - (Phi(-b) + Phi(a)), both at most 1/2.
   Where 1 - r or 1 - (...) would cancel the interval is narrow, and it is phi(m) w times the mean of e^(-m t - t^2/2) over
   |t| < w/2, by Gauss and Legendre's rule with 10 points: exact to 1e-17 for exponents below 0.34. */
#define FL_MEAN_LIMIT 0.34
FL_INLINE fl_link_point fl_probit(const fl_interval *at) {
  static const double node[5] = {0.14887433898163121, 0.43339539412924719, 0.67940956829902441, 0.86506336668898451,
                                 0.97390652851717172};
  static const double part[5] = {0.29552422471475287, 0.26926671930999636, 0.21908636251598204, 0.14945134915058059,
                                 0.06667134430868814};
  const double phi0 = 0.3989422804014327, log_phi0 = 0.91893853320467274;
  const vd zero = vset_f64(0), one = vset_f64(1), top = vset_f64(INFINITY);
  vd error;
  const vd both = nan_to_0(two_sum_finite(at->a, at->b, &error));
  const md mirrored = vlt(zero, both);
  const vd a = vselect(mirrored, -at->b, at->a), b = vselect(mirrored, -at->a, at->b);
  const vd a_error = vselect(mirrored, -at->b_error, at->a_error), b_error = vselect(mirrored, -at->a_error, at->b_error);
  const vd m = 0.5 * vabs(both + (error + (at->a_error + at->b_error))), product = at->w * m; /* |m| */
  const vd wm = vselect(veq(product, product), product, top);
  const vd fall = fl_exp_negative(-wm), size = fl_one_minus_exp(wm);

  const vd mills_b = fl_mills(vabs(b));
  const vd ratio = vselect(veq(fall, zero), zero, fall * (fl_mills(vabs(a)) / mills_b));
  const vd inner = 0.5 * b * b + b * b_error;
  const vd far = -vlog(mills_b) + vselect(veq(inner, inner), inner, top) - vlog1p(-ratio);
  const vd far_gradient = phi0 / (mills_b * (1.0 - ratio)); /* phi(b) over the probability */

  const vd bell = fl_bell(b, b_error), outside = mills_b * bell + fl_mills(vabs(a)) * fl_bell(a, a_error);
  const vd near = -vlog1p(-vmin(vset_f64(0.9), outside)), near_gradient = phi0 * bell / (1.0 - outside);

  const vd curve = at->w * at->w * 0.125, lean = 0.5 * wm;
  const md narrow = vlt(curve + lean, vset_f64(FL_MEAN_LIMIT));
  const vd c = vdrop(vle(vset_f64(FL_MEAN_LIMIT), curve + lean), curve),
           l = vdrop(vle(vset_f64(FL_MEAN_LIMIT), curve + lean), lean);
  vd mean = zero;
  for (int k = 0; k < 5; k++) {
    const vd u = c * (-node[k] * node[k]), v = l * node[k];
    mean += (0.5 * part[k]) * (vexp_small(u + v) + vexp_small(u - v));
  }
  const vd width = vselect(narrow, at->w, one) * mean;
  const vd slim = 0.5 * m * m + (log_phi0 - vlog(width)), slim_gradient = vexp_small(l - c) / width;

  const md straddles = vlt(zero, b);
  const vd value = vselect(narrow, slim, vselect(straddles, near, far));
  const vd density = vselect(narrow, slim_gradient, vselect(straddles, near_gradient, far_gradient));
  const vd less = vselect(veq(fall, zero), zero, density * fall); /* phi(a) over the probability */
  const vd gradient =
      vselect(veq(density, top), m, density * size); /* thresholds a denormal number apart, or an infinite m */
  return (fl_link_point){
      value,
      vselect(mirrored, -gradient, gradient),
      vselect(mirrored, density, less),
      -vselect(mirrored, less, density),
  };
}

/* Complementary log-log: F(z) = 1 - exp(-e^z). With A = e^a, B = e^b and d = B - A = B (1 - e^-w), minus the log of
   e^-A - e^-B is A - log(1 - e^-d): two terms >= 0. A d too small for 1 - e^-d to differ from d goes by its logarithm. e^-d can be
   all there is, and then needs more of d than a double holds. */
FL_INLINE fl_link_point fl_cloglog(const fl_interval *at) {
  const vd zero = vset_f64(0), one = vset_f64(1), top = vset_f64(INFINITY), tiny = vset_f64(0x1p-60);
  vd a_low, b_low, d_low;
  const vd q = fl_one_minus_exp(at->w), e_b = fl_exp_dd(at->b, at->b_error, &b_low); /* inf at the highest level */
  const vd big_a = fl_exp_dd(at->a, at->a_error, &a_low), apart = two_diff_finite(e_b, big_a, &d_low);
  const md close = vlt(at->w, one); /* then B - A would cancel */
  const vd d = vselect(veq(e_b, top), top, vselect(close, e_b * q, apart + (b_low - a_low)));
  const vd dropped = vselect(close, zero, nan_to_0((apart - d) + (d_low + (b_low - a_low))));
  const md small = vlt(d, tiny);
  const vd p = fl_one_minus_exp(d);
  const vd log_d =
      vselect(small, fl_log_one_minus_exp(at->w, zero, q) - (at->b + at->b_error), fl_log_one_minus_exp(d, dropped, p));
  const vd h = vselect(small, one, vmin(vset_f64(800.0), d) * fl_exp_negative(-d) / p); /* d / (e^d - 1) */
  const vd rise = fl_exp_negative(-at->w) / q;                                          /* 1 / (e^w - 1) */
  return (fl_link_point){
      big_a + log_d,
      h - big_a,
      vselect(vlt(d, one), (h + d) * rise, big_a / p),
      -(h / q),
  };
}

/* Value, and where wanted gradients times scale; entries up to the next multiple of the lanes are there, and are computed too. */
FL_INLINE void fl_link_loop(fl_link_point link(const fl_interval *at), fl_link *job, int gradients) {
  for (ptrdiff_t i = 0; i < job->n; i += LANES_F64) {
    const fl_interval at = fl_interval_at(job, i);
    const fl_link_point f = link(&at);
    const vd mark = vselect(veq(at.score, at.score), vset_f64(0), at.score), scale = vload(job->scale + i);
    vstore(job->value + i, f.value + mark);
    if (!gradients) continue;
    vstore(job->grad + i, scale * f.score + mark);
    vstore(job->grad_low + i, vdrop(at.first, scale * f.low + mark));
    vstore(job->grad_high + i, vdrop(at.last, scale * f.high + mark));
  }
}

#define FL_LINK_FUNCTION(name)                                                                                           \
  static void name##_link(fl_link *job) {                                                                                \
    if (job->with_grad)                                                                                                  \
      fl_link_loop(fl_##name, job, 1);                                                                                   \
    else                                                                                                                 \
      fl_link_loop(fl_##name, job, 0);                                                                                   \
  }
FL_LINKS(FL_LINK_FUNCTION)
#undef FL_LINK_FUNCTION
#define FL_LINK_ENTRY(name) name##_link,
static void (*const link_table[])(fl_link *) = {FL_LINKS(FL_LINK_ENTRY)};
#undef FL_LINK_ENTRY

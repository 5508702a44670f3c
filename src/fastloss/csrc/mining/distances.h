/* Distances between all pairs of rows. Included once per type (real.h).
 *
 * |x - y|^2 = |x|^2 + |y|^2 - 2 x . y, where products of matrices give x . y. What that loses is a few units in the last place of
 * |x|^2 + |y|^2: nothing where rows are as far from one another as from the origin. Rows are therefore first moved so that their
 * mean is the origin, and where a distance comes out short all the same, it is computed again from the differences of the rows as
 * they were given. So it is where squares overflow, underflow or are not a number.
 */

#if FL_REAL_BITS == 32
#define FL_SHORT 0x1p-5f    /* of |x|^2 + |y|^2: below it a squared distance is computed from differences */
#define FL_FAINT 0x1p-90f   /* squares this small, or this large, */
#define FL_BRIGHT 0x1p+100f /* have underflowed or overflowed, or may have */
#else
#define FL_SHORT 0x1p-5
#define FL_FAINT 0x1p-900
#define FL_BRIGHT 0x1p+900
#endif

FL_INLINE const R *FN(row_of)(const fl_points *x, ptrdiff_t i) { return (const R *)x->rows + i * x->step; }

/* Sum of squared differences of two rows, in double, each multiplied by `scale`: before they are taken if they may overflow. */
FL_INLINE double FN(squares)(ptrdiff_t step, const R *x, const R *y, double scale) {
  vd sum[2] = {vset_f64(0), vset_f64(0)};
  for (ptrdiff_t d = 0; d < step; d += 2 * LANES_F64)
    for (int h = 0; h < 2; h++) {
#if FL_REAL_BITS == 32
      const vd gap = (vwiden(x + d + h * LANES_F64) - vwiden(y + d + h * LANES_F64)) * scale;
#else
      const vd a = vload(x + d + h * LANES_F64), b = vload(y + d + h * LANES_F64);
      const vd gap = scale < 1 ? a * scale - b * scale : (a - b) * scale;
#endif
      sum[h] = vfma(gap, gap, sum[h]);
    }
  return vsum_f64(sum[0] + sum[1]);
}

/* The distance of two rows, or its square, to double precision. */
FL_INLINE double FN(gap)(ptrdiff_t step, const R *x, const R *y, int squared) {
  const double s = FN(squares)(step, x, y, 1.0);
  if (s > 0x1p-900 && s < 0x1p+1000) return squared ? s : sqrt(s);
#if FL_REAL_BITS == 64
  if (!(s < 0x1p+1000) && !isnan(s)) {
    const double d = 0x1p+600 * sqrt(FN(squares)(step, x, y, 0x1p-600));
    return squared ? d * d : d;
  }
  const double d = 0x1p-600 * sqrt(FN(squares)(step, x, y, 0x1p+600)); /* also of what is 0: rows that are equal */
  return squared ? d * d : d;
#else
  return squared ? s : sqrt(s);
#endif
}

static double FN(pair_distance)(const fl_points *x, ptrdiff_t i, ptrdiff_t j, int squared) {
  return FN(gap)(x->step, FN(row_of)(x, i), FN(row_of)(x, j), squared);
}

/* One less the cosine: half the squared distance of the unit vectors, which does not cancel. */
static double FN(angle)(const fl_points *x, const fl_points *y, ptrdiff_t i, ptrdiff_t j) {
  const int swapped = x->norm[i] < y->norm[j]; /* the longer one first: the other way round it is the same number */
  const R *a = swapped ? FN(row_of)(y, j) : FN(row_of)(x, i), *b = swapped ? FN(row_of)(x, i) : FN(row_of)(y, j);
  const double left = swapped ? y->norm[j] : x->norm[i], right = swapped ? x->norm[i] : y->norm[j], ratio = left / right;
  if (!(left > 0) || !(right > 0)) return 1 + 0 * (left + right); /* nothing is similar to 0 */
  if (!(left > 0x1p-900 && left < 0x1p+900 && right > 0x1p-900 && right < 0x1p+900)) {
    double sum = 0;
    for (ptrdiff_t d = 0; d < x->D; d++) {
      const double gap = (double)a[d] / left - (double)b[d] / right;
      sum += gap * gap;
    }
    return sum / 2;
  }
  const vd shrink = vset_f64(1 / left);
  vd sum = vset_f64(0);
  for (ptrdiff_t d = 0; d < x->step; d += LANES_F64) {
#if FL_REAL_BITS == 32
    const vd gap = vfma(vwiden(b + d), vset_f64(-ratio), vwiden(a + d)) * shrink;
#else
    const vd gap = vfma(vload(b + d), vset_f64(-ratio), vload(a + d)) * shrink;
#endif
    sum = vfma(gap, gap, sum);
  }
  return vsum_f64(sum) / 2;
}

/* A tile's entry from the differences of the rows, where the product cancels. */
FL_INLINE R FN(again)(const fl_points *x, const fl_points *y, ptrdiff_t i, ptrdiff_t j, int metric) {
  if (metric == FL_COSINE) return (R)FN(angle)(x, y, i, j);
  const R *a = FN(row_of)(x, i), *b = FN(row_of)(y, j);
#if FL_REAL_BITS == 32
  V part[2] = {FN(vset)(0), FN(vset)(0)};
  for (ptrdiff_t d = 0; d < x->step; d += 2 * LANES)
    for (int h = 0; h < 2; h++) {
      const V gap = vload(a + d + h * LANES) - vload(b + d + h * LANES);
      part[h] = vfma(gap, gap, part[h]);
    }
  const V all = part[0] + part[1];
  const R s = (R)vsum_f64(vlow(all) + vhigh(all));
  if (s > FL_FAINT && s < FL_BRIGHT) return metric == FL_SQUARED ? s : (R)sqrt(s);
#endif
  return (R)FN(gap)(x->step, a, b, metric == FL_SQUARED);
}

/* Distances from a register of dot products; not *plain: lanes in which they cancel, to be computed again from differences. */
FL_INLINE V FN(from_dot)(V dot, V left, V right, int metric, M *plain) {
  const V s = left + right;
  V d;
  if (metric == FL_COSINE) {
    d = FN(vset)(1) - dot;
    *plain = vlt(FN(vset)(FL_SHORT), d);
    return d;
  }
  d = vfma(FN(vset)(-2), dot, s);
  *plain = vlt(vmax(FN(vset)(FL_FAINT), s * FL_SHORT), d);
  return metric == FL_SQUARED ? d : vsqrt(d);
}

FL_INLINE void FN(finish_tile)(const fl_points *x, const fl_points *y, int metric, ptrdiff_t i, ptrdiff_t n, ptrdiff_t j,
                               R *out, ptrdiff_t step) {
  const R *right = (const R *)y->square + j;
  for (ptrdiff_t r = 0; r < n; r++, out += step) {
    const V left = FN(vset)(((const R *)x->square)[i + r]);
    for (int h = 0; h < 2; h++) {
      M plain;
      const V d = FN(from_dot)(vload(out + h * LANES), left, vload(right + h * LANES), metric, &plain);
      vstore(out + h * LANES, d);
      if (FN(vcount)(plain) == LANES) continue;
      R was[LANES];
      vstore(was, vdrop(plain, FN(vset)(1)));
      for (ptrdiff_t l = 0; l < LANES && j + h * LANES + l < y->N; l++)
        if (was[l] != 0) out[h * LANES + l] = FN(again)(x, y, i + r, j + h * LANES + l, metric);
    }
  }
}

/* A stretch of a panel of y stays in the L1 cache while all of x's pass by. */
static void FN(distances)(const fl_points *x, const fl_points *y, int metric, ptrdiff_t first, ptrdiff_t n,
                          ptrdiff_t from, ptrdiff_t to, void *out_, ptrdiff_t step) {
  for (ptrdiff_t j = from; j < to; j += FN(FL_TILE_COLUMNS)) {
    R *out = (R *)out_ + (j - from);
    ptrdiff_t k = 0;
    do {
      const ptrdiff_t steps = x->D - k < 2 * FL_K_BLOCK ? x->D - k : 2 * FL_K_BLOCK, done = k + steps;
      for (ptrdiff_t i = 0; i < n; i += FL_TILE_ROWS) {
        const ptrdiff_t rows = n - i < FL_TILE_ROWS ? n - i : FL_TILE_ROWS;
        R *at = out + i * step;
        FN(tile)(steps, (const R *)x->left + (first + i) * x->D + k * FL_TILE_ROWS, FL_TILE_ROWS,
                 (const R *)y->right + j * x->D + k * FN(FL_TILE_COLUMNS), FN(FL_TILE_COLUMNS), at, step, k > 0);
        if (done < x->D) continue;
        if (metric == FL_EUCLIDEAN)
          FN(finish_tile)(x, y, FL_EUCLIDEAN, first + i, rows, j, at, step);
        else if (metric == FL_SQUARED)
          FN(finish_tile)(x, y, FL_SQUARED, first + i, rows, j, at, step);
        else
          FN(finish_tile)(x, y, FL_COSINE, first + i, rows, j, at, step);
      }
      k = done;
    } while (k < x->D);
  }
}

/* ---- preparing rows ------------------------------------------------------------------------------------------------ */

/* A mean far from the origin is worth subtracting. It is rounded to an eighth of the spread: then the differences have no more
   digits than the rows, and whole numbers stay so, whose distances are exact and tie where they should. */
static void FN(centre)(const fl_points *x, double *sum, void *centre_) {
  R *centre = centre_;
  double *low = sum + x->D, *high = low + x->D;
  for (ptrdiff_t d = 0; d < x->D; d++) sum[d] = 0, low[d] = INFINITY, high[d] = -INFINITY;
  for (ptrdiff_t i = 0; i < x->N; i++) {
    const R *row = FN(row_of)(x, i);
    for (ptrdiff_t d = 0; d < x->D; d++) {
      const double v = row[d];
      sum[d] += v;
      low[d] = v < low[d] ? v : low[d];
      high[d] = v > high[d] ? v : high[d];
    }
  }
  for (ptrdiff_t d = 0; d < x->step; d++) {
    centre[d] = 0;
    if (d >= x->D) continue;
    const double mean = sum[d] / (double)x->N, spread = high[d] - low[d];
    if (!(fabs(mean) > spread / 2) || !(fabs(mean) < (double)FL_BRIGHT)) continue;
    if (spread == 0)
      centre[d] = (R)low[d];
    else {
      int exponent;
      frexp(spread, &exponent);
      const double scale = ldexp(1.0, exponent - 3);
      centre[d] = (R)(nearbyint(mean / scale) * scale);
    }
  }
}

static void FN(prepare)(const fl_points *x, const void *centre, ptrdiff_t first, ptrdiff_t last, void *left, void *right,
                        void *square, void *by_dimension) {
  const R *rows = FN(row_of)(x, first);
  const ptrdiff_t n = last - first, padded = (n + FN(FL_TILE_COLUMNS) - 1) / FN(FL_TILE_COLUMNS) *FN(FL_TILE_COLUMNS);
  R *s = (R *)square + first, *out = by_dimension ? (R *)by_dimension + first * FN(FL_TILE_COLUMNS) : NULL;
  FN(pack)(n, x->D, rows, x->step, centre, FL_TILE_ROWS, (R *)left + first * x->D);
  FN(pack)(n, x->D, rows, x->step, centre, FN(FL_TILE_COLUMNS), (R *)right + first * x->D);
  for (ptrdiff_t i = 0; i < padded; i++) {
    vd sum = vset_f64(0);
    for (ptrdiff_t d = 0; i < n && d < x->step; d += LANES) {
      V v = vload(rows + i * x->step + d);
      if (centre) v -= vload((const R *)centre + d);
      if (out) {
        const ptrdiff_t panel = d / FN(FL_TILE_COLUMNS), at = d % FN(FL_TILE_COLUMNS);
        vstore(out + (panel * x->N + i) * FN(FL_TILE_COLUMNS) + at, v);
      }
#if FL_REAL_BITS == 32
      const vd low = vlow(v), high = vhigh(v);
      sum = vfma(high, high, vfma(low, low, sum));
#else
      sum = vfma(v, v, sum);
#endif
    }
    s[i] = i < n ? (R)vsum_f64(sum) : 1;
  }
}

/* Rows of length 1, or of zeros. */
static void FN(normalize)(const fl_points *x, ptrdiff_t first, ptrdiff_t last, void *out_, double *norm) {
  for (ptrdiff_t i = first; i < last; i++) {
    const R *row = FN(row_of)(x, i);
    R *out = (R *)out_ + i * x->step;
    double most = 0, sum = 0;
    for (ptrdiff_t d = 0; d < x->D; d++) {
      const double size = fabs((double)row[d]);
      most = size > most || isnan(size) ? size : most;
    }
    const double scale = most > 0x1p+400 ? 0x1p-600 : most < 0x1p-400 ? 0x1p+500 : 1.0;
    for (ptrdiff_t d = 0; d < x->D; d++) sum += ((double)row[d] * scale) * ((double)row[d] * scale);
    norm[i] = sqrt(sum) / scale;
    for (ptrdiff_t d = 0; d < x->step; d++) out[d] = 0;
    if (norm[i] != 0)
      for (ptrdiff_t d = 0; d < x->D; d++) out[d] = (R)((double)row[d] / norm[i]);
  }
}

#undef FL_SHORT
#undef FL_FAINT
#undef FL_BRIGHT

/* Similarities of rows, their exponentials, and the gradient as a weighted sum of rows. Included by contrast.c once per type (R,
 * V, LANES, FN as in twice.h). Rows are z = x / |x|, or x times a power of two, so that no product exceeds 1: then, unless the
 * factor (1 / temperature) is large, all exponentials of a batch can share one power of two and still be normal numbers
 * (`terms`); where it is large, each anchor's are relative to its largest (`products`, `online`).
 */
#include "common/scaling.h"
#include "common/gemm.h"

enum { FN(contrast_range) = FL_RANGE, FN(contrast_bias) = FL_BIAS };

/* ---- rows --------------------------------------------------------------------------------------------------------- */

FL_INLINE double FN(squares)(ptrdiff_t n, const R *x, double power) {
  vd sum[2] = {vset_f64(0), vset_f64(0)};
  for (ptrdiff_t d = 0; d < n; d += LANES) {
    const V v = vload(x + d);
    for (int h = 0; h < FL_HALVES; h++) {
      const vd y = FL_HALF(v, h) * power;
      sum[h] = vfma(y, y, sum[h]);
    }
  }
  return vsum_f64(sum[0] + sum[1]);
}

/* The largest |x|, nan passed over. */
FL_INLINE double FN(largest_size)(ptrdiff_t n, const R *x) {
  V max = FN(vset)(0);
  for (ptrdiff_t d = 0; d < n; d += LANES) max = vmax(vabs(vload(x + d)), max);
  return (double)vtop(max);
}

static void FN(contrast_measure)(ptrdiff_t n, const void *x_, double *power, double *inverse) {
  const R *x = x_;
  double sum = FN(squares)(n, x, 1);
  *power = 1;
  if (!(sum > 0x1p-900 && sum < 0x1p900)) {
    const double max = FN(largest_size)(n, x);
    if (sum != sum || max == INFINITY) {
      *inverse = NAN;
      return;
    }
    if (max == 0) {
      *inverse = 0;
      return;
    }
    int exponent;
    frexp(max, &exponent);
    *power = ldexp(1, exponent < -1000 ? 1000 : -exponent); /* 2^1074 is no double */
    sum = FN(squares)(n, x, *power);
  }
  *inverse = 1 / sqrt(sum);
}

static void FN(contrast_normalize_double)(ptrdiff_t n, const void *x_, double power, double inverse, double *z) {
  const R *x = x_;
  for (ptrdiff_t d = 0; d < n; d++) z[d] = (double)x[d] * power * inverse;
}

static void FN(contrast_normalize)(ptrdiff_t n, const void *x_, double power, double inverse, void *z_) {
  const R *x = x_;
  R *z = z_;
  for (ptrdiff_t d = 0; d < n; d++) z[d] = (R)((double)x[d] * power * inverse);
}

static void FN(contrast_panel)(ptrdiff_t rows, ptrdiff_t D, const void *z, void *left) {
  FN(pack)(rows, D, z, D, NULL, FL_TILE_ROWS, left);
}

static void FN(contrast_across)(ptrdiff_t D, const void *left_, void *right_) {
  const R *left = left_;
  R *right = right_;
  for (ptrdiff_t d = 0; d < D; d++)
    for (ptrdiff_t i = 0; i < FL_ANCHORS; i += FL_TILE_ROWS)
      memcpy(right + d * FL_ANCHORS + i, left + i * D + d * FL_TILE_ROWS, FL_TILE_ROWS * sizeof(R));
}

/* ---- similarities ------------------------------------------------------------------------------------------------- */

/* The anchors whose sums leave candidate j out: itself, and, if it has only one positive, that one. */
FL_INLINE void FN(apart)(const fl_contrast *job, ptrdiff_t j, ptrdiff_t *low, ptrdiff_t *high) {
  *low = job->low[j], *high = job->high[j];
  if (*high - *low > 2) *low = j, *high = j + 1;
}

/* Overwrites with `value` the entries of candidates that are left out, in columns c .. c + FL_TILE_COLUMNS of a tile's rows. */
FL_INLINE void FN(keep_apart)(const fl_contrast *job, ptrdiff_t r, ptrdiff_t rows, ptrdiff_t c, R value, R *e) {
  const ptrdiff_t j = job->first + r, begin = job->anchor + c, end = begin + FN(FL_TILE_COLUMNS);
  if (!job->low || job->low[j] >= end || job->high[j + rows - 1] <= begin) return; /* both increase */
  for (ptrdiff_t i = 0; i < rows; i++) {
    ptrdiff_t low, high;
    FN(apart)(job, j + i, &low, &high);
    low = low > begin ? low : begin, high = high < end ? high : end;
    for (ptrdiff_t a = low; a < high; a++) e[i * FL_ANCHORS + a - begin] = value;
  }
}

/* Products of the panel from row r with the anchors of columns c ..; how many of the panel's rows exist. */
FL_INLINE ptrdiff_t FN(tile_products)(const fl_contrast *job, ptrdiff_t r, ptrdiff_t c, R *e) {
  const R *left = (const R *)job->left + r * job->D, *right = (const R *)job->right + c;
  for (ptrdiff_t k = 0; k < job->D; k += FL_K_BLOCK) {
    const ptrdiff_t steps = job->D - k < FL_K_BLOCK ? job->D - k : FL_K_BLOCK;
    FN(tile)(steps, left + k * FL_TILE_ROWS, FL_TILE_ROWS, right + k * FL_ANCHORS, FL_ANCHORS, e, FL_ANCHORS, k > 0);
  }
  return job->rows - r < FL_TILE_ROWS ? job->rows - r : FL_TILE_ROWS;
}

/* Sums of a tile's exponentials: floats of two rows are added, then go on in double. */
FL_INLINE void FN(add_columns)(const R *e, double *sums) {
  for (int v = 0; v < 2; v++, e += LANES, sums += LANES) {
    vd sum[2] = {vload(sums), vload(sums + (FL_HALVES - 1) * LANES_F64)};
#pragma GCC unroll 16
    for (int i = 0; i < FL_TILE_ROWS; i += 2) {
      const V pair = vload(e + i * FL_ANCHORS) + vload(e + (i + 1) * FL_ANCHORS);
      for (int h = 0; h < FL_HALVES; h++) sum[h] += FL_HALF(pair, h);
    }
    for (int h = 0; h < FL_HALVES; h++) vstore(sums + h * LANES_F64, sum[h]);
  }
}

FL_INLINE void FN(add_lanes)(ptrdiff_t rows, const R *e, int add, double *sums) {
  for (ptrdiff_t i = 0; i < rows; i++, e += FL_ANCHORS) {
    const V pair = vload(e) + vload(e + LANES);
    vd sum = FL_HALF(pair, 0);
    if (FL_HALVES == 2) sum += FL_HALF(pair, 1);
    sums[i] = vsum_f64(sum) + (add ? sums[i] : 0);
  }
}

static void FN(contrast_terms)(const fl_contrast *job) {
  const V factor = FN(vset)((R)job->factor), exponent = FN(vset)((R)job->exponent);
  for (ptrdiff_t c = 0; c < FL_ANCHORS; c += FN(FL_TILE_COLUMNS)) {
    const ptrdiff_t lanes = job->lanes - c < FN(FL_TILE_COLUMNS) ? job->lanes - c : FN(FL_TILE_COLUMNS);
    for (ptrdiff_t r = 0; r < job->rows; r += FL_TILE_ROWS) {
      R *e = (R *)job->e + r * FL_ANCHORS + c;
      const ptrdiff_t rows = FN(tile_products)(job, r, c, e);
      for (ptrdiff_t i = 0; i < FL_TILE_ROWS; i++) {
        R *at = e + i * FL_ANCHORS;
        const V x0 = vload(at) * factor, x1 = vload(at + LANES) * factor;
        vstore(at, vexp_scaled(x0, exponent)), vstore(at + LANES, vexp_scaled(x1, exponent));
      }
      for (ptrdiff_t i = rows; i < FL_TILE_ROWS; i++) memset(e + i * FL_ANCHORS, 0, FN(FL_TILE_COLUMNS) *sizeof(R));
      if (lanes < FN(FL_TILE_COLUMNS))
        for (ptrdiff_t i = 0; i < rows; i++)
          for (ptrdiff_t a = lanes > 0 ? lanes : 0; a < FN(FL_TILE_COLUMNS); a++) e[i * FL_ANCHORS + a] = 0;
      FN(keep_apart)(job, r, rows, c, 0, e);
      if (job->sums) FN(add_columns)(e, job->sums + c);
      if (job->row_sums) FN(add_lanes)(rows, e, c > 0, job->row_sums + r);
    }
  }
}

static void FN(contrast_products)(const fl_contrast *job) {
  for (ptrdiff_t c = 0; c < FL_ANCHORS; c += FN(FL_TILE_COLUMNS))
    for (ptrdiff_t r = 0; r < job->rows; r += FL_TILE_ROWS) {
      R *e = (R *)job->e + r * FL_ANCHORS + c;
      const ptrdiff_t rows = FN(tile_products)(job, r, c, e);
      FN(keep_apart)(job, r, rows, c, (R)-INFINITY, e);
    }
}

/* e^(factor (u - max)), u <= max. */
FL_INLINE V FN(relative)(V u, V max, V factor) { return vexp_negative((u - max) * factor); }

static void FN(contrast_online)(const fl_contrast *job) {
  const V factor = FN(vset)((R)job->factor);
  for (ptrdiff_t c = 0; c < FL_ANCHORS; c += LANES) {
    const R *e = (const R *)job->e + c;
    R *max = (R *)job->max + c;
    const V before = vload(max);
    V now = before;
    for (ptrdiff_t r = 0; r < job->rows; r++) now = vmax(now, vload(e + r * FL_ANCHORS));
    const V shrink = FN(relative)(before, now, factor);
    vstore(max, now);
    for (int h = 0; h < FL_HALVES; h++) {
      double *sums = job->sums + c + h * LANES_F64;
      vd sum = vload(sums) * FL_HALF(shrink, h);
      for (ptrdiff_t r = 0; r < job->rows; r++) {
        const V term = FN(relative)(vload(e + r * FL_ANCHORS), now, factor);
        sum += FL_HALF(term, h);
      }
      vstore(sums, sum);
    }
  }
}

static void FN(contrast_transpose)(const void *e_, void *transposed_) {
  const ptrdiff_t step = FL_ANCHORS * (ptrdiff_t)sizeof(R);
  const R *e = e_;
  R *transposed = transposed_;
  for (ptrdiff_t i = 0; i < FL_ANCHORS; i += FL_SIDE)
    for (ptrdiff_t j = 0; j < FL_ANCHORS; j += FL_SIDE)
      FN(transpose_square)(e + j * FL_ANCHORS + i, step, transposed + i * FL_ANCHORS + j, step);
}

/* ---- gradients ------------------------------------------------------------------------------------------------------- */

/* Positives, and a row that meets itself, in row r of the weights. */
FL_INLINE void FN(own_gradients)(const fl_contrast *job, const fl_contrast_weigh *weigh, ptrdiff_t r) {
  const ptrdiff_t j = job->first + r, begin = job->anchor, end = begin + job->lanes;
  if (!job->low || job->low[j] >= end || job->high[j] <= begin) return;
  R *w = (R *)weigh->w + r * FL_ANCHORS - begin;
  const R *own = (const R *)weigh->lane_own - begin, row = ((const R *)weigh->row_own)[j];
  const ptrdiff_t low = job->low[j] > begin ? job->low[j] : begin, high = job->high[j] < end ? job->high[j] : end;
  for (ptrdiff_t a = low; a < high; a++) w[a] -= own[a] + row;
  if (weigh->itself && low <= j && j < high) w[j] = 0;
}

static void FN(contrast_weigh)(const fl_contrast *job, const fl_contrast_weigh *weigh) {
  const R *e = job->e, *lane = weigh->lane, *row = (const R *)weigh->row + job->first;
  R *w = weigh->w;
  for (ptrdiff_t r = 0; r < job->rows; r++) {
    const V by = FN(vset)(row[r]);
    for (ptrdiff_t c = 0; c < FL_ANCHORS; c += LANES)
      vstore(w + r * FL_ANCHORS + c, vload(e + r * FL_ANCHORS + c) * (vload(lane + c) + by));
    if (weigh->itself) FN(own_gradients)(job, weigh, r);
  }
}

static void FN(contrast_weigh_products)(const fl_contrast *job, const fl_contrast_weigh *weigh) {
  const V factor = FN(vset)((R)job->factor);
  const R *e = job->e, *lane = weigh->lane, *row = (const R *)weigh->row + job->first;
  const R *lane_max = weigh->lane_max, *row_max = (const R *)weigh->row_max + job->first;
  R *w = weigh->w;
  for (ptrdiff_t r = 0; r < job->rows; r++) {
    const V by = FN(vset)(row[r]), max = FN(vset)(row_max[r]);
    for (ptrdiff_t c = 0; c < FL_ANCHORS; c += LANES) {
      const V u = vload(e + r * FL_ANCHORS + c);
      const V mine = FN(relative)(u, vload(lane_max + c), factor), other = FN(relative)(u, max, factor);
      vstore(w + r * FL_ANCHORS + c, vfma(mine, vload(lane + c), other * by));
    }
    if (weigh->itself) FN(own_gradients)(job, weigh, r);
  }
}

static void FN(contrast_gather)(ptrdiff_t rows, ptrdiff_t D, const void *w_, const void *z_, ptrdiff_t panel_step,
                                void *g_, int add) {
  const R *w = w_;
  R *g = g_;
  for (ptrdiff_t k = 0; k < rows; k += FL_K_BLOCK) {
    const ptrdiff_t steps = rows - k < FL_K_BLOCK ? rows - k : FL_K_BLOCK;
    const R *z = (const R *)z_ + k * FN(FL_TILE_COLUMNS);
    for (ptrdiff_t d = 0; d < D; d += FN(FL_TILE_COLUMNS), z += panel_step)
      for (ptrdiff_t i = 0; i < FL_ANCHORS; i += FL_TILE_ROWS)
        FN(tile)(steps, w + k * FL_ANCHORS + i, FL_ANCHORS, z, FN(FL_TILE_COLUMNS), g + i * D + d, D, add || k > 0);
  }
}

static void FN(contrast_add_row)(ptrdiff_t D, double factor, const void *z_, ptrdiff_t panel_step, void *g_) {
  const R *z = z_;
  R *g = g_;
  for (ptrdiff_t d = 0; d < D; d += FN(FL_TILE_COLUMNS), z += panel_step)
    for (ptrdiff_t i = 0; i < FN(FL_TILE_COLUMNS); i++) g[d + i] += (R)factor * z[i];
}

/* Gradient through the normalisation: its component along the row is removed. */
static void FN(contrast_grad)(ptrdiff_t n, const fl_contrast_grad *job) {
  const R *x = job->x, *g = job->g;
  R *out = job->out;
  const vd power = vset_f64(job->power), inverse = vset_f64(job->inverse), factor = vset_f64(job->factor);
  vd sum[2] = {vset_f64(0), vset_f64(0)};
  for (ptrdiff_t d = 0; d < n && job->normalized; d += LANES) {
    const V xs = vload(x + d), gs = vload(g + d);
    for (int h = 0; h < FL_HALVES; h++) sum[h] = vfma(FL_HALF(xs, h) * power * inverse, FL_HALF(gs, h), sum[h]);
  }
  const vd along = vset_f64(vsum_f64(sum[0] + sum[1]));
  for (ptrdiff_t d = 0; d < n; d += LANES) {
    const V xs = vload(x + d), gs = vload(g + d);
    vd gradient[2];
    for (int h = 0; h < FL_HALVES; h++)
      gradient[h] = (FL_HALF(gs, h) - along * (FL_HALF(xs, h) * power * inverse)) * factor * inverse * power;
#if FL_REAL_BITS == 32
    vstore(out + d, vnarrow(gradient[0], gradient[1]));
#else
    vstore(out + d, gradient[0]);
#endif
  }
}

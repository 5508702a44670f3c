/* Gradients with respect to distances become gradients with respect to rows. Included once per type (real.h). */

static void FN(add_difference)(const fl_points *x, ptrdiff_t i, ptrdiff_t j, double w, double *sum) {
  const R *a = FN(row_of)(x, i), *b = FN(row_of)(x, j);
  for (ptrdiff_t d = 0; d < x->D; d++) sum[d] += w * ((double)a[d] - (double)b[d]);
}

/* Gradients of `steps` k in n rows i as the panels of tile(), one after the other: across[i][k] + along[k][i], either may be NULL. */
static void FN(pack_gradients)(ptrdiff_t steps, const R *across, const R *along, ptrdiff_t gradients_step, ptrdiff_t n,
                               R *out) {
  for (ptrdiff_t i = 0; i < n; i += FL_TILE_ROWS, out += steps * FL_TILE_ROWS) {
    const ptrdiff_t rows = n - i < FL_TILE_ROWS ? n - i : FL_TILE_ROWS;
    if (across)
      FN(pack)(rows, steps, across + i * gradients_step, gradients_step, NULL, FL_TILE_ROWS, out);
    else
      memset(out, 0, (size_t)(steps * FL_TILE_ROWS) * sizeof(R));
    if (!along) continue;
    for (ptrdiff_t k = 0; k < steps; k++) {
      R *to = out + k * FL_TILE_ROWS;
      const R *from = along + k * gradients_step + i;
      if (rows == FL_TILE_ROWS)
        for (int r = 0; r < FL_TILE_ROWS; r++) to[r] += from[r];
      else
        for (ptrdiff_t r = 0; r < rows; r++) to[r] += from[r];
    }
  }
}

static void FN(weighted_sums)(const fl_points *y, ptrdiff_t first, ptrdiff_t K, const void *across_, const void *along_,
                              ptrdiff_t gradients_step, ptrdiff_t n, void *out_, double *total, void *scratch) {
  const R *across = across_, *along = along_;
  R *out = out_, product[FL_TILE_ROWS * 2 * LANES];
  for (ptrdiff_t k = 0; k < K; k += FL_K_BLOCK) {
    const ptrdiff_t steps = K - k < FL_K_BLOCK ? K - k : FL_K_BLOCK;
    FN(pack_gradients)(steps, across ? across + k : NULL, along ? along + k * gradients_step : NULL, gradients_step, n,
                       scratch);
    for (ptrdiff_t i = 0; i < n; i += FL_TILE_ROWS) {
      const R *a = (const R *)scratch + i * steps;
      double sum[FL_TILE_ROWS] = {0};
      for (ptrdiff_t s = 0; s < steps; s++, a += FL_TILE_ROWS)
        for (int r = 0; r < FL_TILE_ROWS; r++) sum[r] += (double)a[r];
      for (ptrdiff_t r = 0; r < FL_TILE_ROWS && i + r < n; r++) total[i + r] += sum[r];
    }
    for (ptrdiff_t d = 0; d < y->step; d += FN(FL_TILE_COLUMNS)) {
      const R *b = (const R *)y->by_dimension + d * y->N + (first + k) * FN(FL_TILE_COLUMNS);
      for (ptrdiff_t i = 0; i < n; i += FL_TILE_ROWS) {
        const ptrdiff_t rows = n - i < FL_TILE_ROWS ? n - i : FL_TILE_ROWS;
        FN(tile)(steps, (const R *)scratch + i * steps, FL_TILE_ROWS, b, FN(FL_TILE_COLUMNS), product,
                 FN(FL_TILE_COLUMNS), 0);
        for (ptrdiff_t r = 0; r < rows; r++)
          for (int h = 0; h < 2; h++) {
            R *at = out + (i + r) * y->step + d + h * LANES;
            vstore(at, vload(at) + vload(product + r * FN(FL_TILE_COLUMNS) + h * LANES));
          }
      }
    }
  }
}

/* total x_i - sum, scaled, where x_i is the row as it was packed. */
static void FN(row_gradient)(const fl_points *x, ptrdiff_t i, const void *sum_, double total, double scale, void *out_) {
  const R *sum = sum_, *by_dimension = x->by_dimension;
  R *out = out_;
  for (ptrdiff_t d = 0; d < x->D; d++) {
    const ptrdiff_t panel = d / FN(FL_TILE_COLUMNS), at = d % FN(FL_TILE_COLUMNS);
    const double own = by_dimension[(panel * x->N + i) * FN(FL_TILE_COLUMNS) + at];
    out[d] = (R)(scale * (total * own - (double)sum[d]));
  }
}

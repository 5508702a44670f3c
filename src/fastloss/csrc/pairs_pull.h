/* From slopes in distances to slopes in rows. Included once per type (pairs_real.h). */

static void FN(pull)(const fl_vectors *x, ptrdiff_t i, ptrdiff_t j, double w, double *sum) {
  const R *a = FN(row_of)(x, i), *b = FN(row_of)(x, j);
  for (ptrdiff_t d = 0; d < x->D; d++) sum[d] += w * ((double)a[d] - (double)b[d]);
}

static void FN(weigh)(ptrdiff_t K, const void *slopes_, ptrdiff_t slopes_step, int across, ptrdiff_t n, const void *y_,
                      ptrdiff_t y_step, void *out_, double *total, void *room) {
  const R *slopes = slopes_, *y = y_;
  R *out = out_, product[FL_TILE_ROWS * 2 * LANES];
  for (ptrdiff_t k = 0; k < K; k += FL_K_BLOCK) {
    const ptrdiff_t steps = K - k < FL_K_BLOCK ? K - k : FL_K_BLOCK, a_step = across ? FL_TILE_ROWS : slopes_step;
    const R *a = across ? room : slopes + k * slopes_step;
    if (across) FN(pack)(n, steps, slopes + k, slopes_step, NULL, FL_TILE_ROWS, room);
    for (ptrdiff_t s = 0; s < steps; s++)
      for (ptrdiff_t i = 0; i < n; i++) total[i] += (double)a[s * a_step + i];
    for (ptrdiff_t d = 0; d < y_step; d += FN(FL_TILE_COLUMNS)) {
      FN(tile)(steps, a, a_step, y + k * y_step + d, y_step, product, FN(FL_TILE_COLUMNS), 0);
      for (ptrdiff_t i = 0; i < n; i++)
        for (int h = 0; h < 2; h++) {
          R *at = out + i * y_step + d + h * LANES;
          vstore(at, vload(at) + vload(product + i * FN(FL_TILE_COLUMNS) + h * LANES));
        }
    }
  }
}

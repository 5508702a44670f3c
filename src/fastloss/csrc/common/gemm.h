/* Products of matrices: what distances, similarities and their gradients are made of. Included once per type (R, V, LANES, FN as in
 * twice.h).
 *
 * A tile is FL_TILE_ROWS x two registers of C += A B. Both operands are read along k: a step of A is FL_TILE_ROWS numbers next
 * to one another, a step of B two registers of them. Rows of vectors have that form once they are packed in panels, each the
 * transpose of a few rows; so has a matrix of weights that is read as its own transpose, and so have rows of vectors as B where k
 * counts rows. Sums are of the computation type, in order of k; since k is never split among threads, threads do not change a bit.
 */
#include "common/square.h"

#ifndef FL_TILE_ROWS
#if defined(FL_V4)
#define FL_TILE_ROWS 12 /* 24 sums and two registers of B, of 32 */
#elif defined(FL_V3)
#define FL_TILE_ROWS 6 /* 12 sums, two registers of B and one of A, of 16 */
#else
#define FL_TILE_ROWS 4 /* 8 sums, two of B, one of A and a product, of 16 */
#endif
enum {
  FL_K_BLOCK = 256
}; /* steps of a product that are summed in registers before C is written: its operands stay in cache */
#endif

enum { FN(FL_TILE_COLUMNS) = 2 * LANES };

/* The tile at c, rows c_step apart; added to what is there if `add`. */
static void FN(tile)(ptrdiff_t K, const R *a, ptrdiff_t a_step, const R *b, ptrdiff_t b_step, R *c, ptrdiff_t c_step,
                     int add) {
  V left[FL_TILE_ROWS], right[FL_TILE_ROWS];
#pragma GCC unroll 16
  for (int i = 0; i < FL_TILE_ROWS; i++) left[i] = right[i] = FN(vset)(0);
  for (ptrdiff_t k = 0; k < K; k++, a += a_step, b += b_step) {
    const V b0 = vload(b), b1 = vload(b + LANES);
#pragma GCC unroll 16
    for (int i = 0; i < FL_TILE_ROWS; i++) {
      const V x = FN(vset)(a[i]);
      left[i] = vfma(x, b0, left[i]), right[i] = vfma(x, b1, right[i]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < FL_TILE_ROWS; i++, c += c_step) {
    if (add) left[i] += vload(c), right[i] += vload(c + LANES);
    vstore(c, left[i]), vstore(c + LANES, right[i]);
  }
}

/* n rows of D, `step` numbers apart, as panels of `width` rows: out[panel][d][row], zeros where there is no row. If `centre` is
   given it is subtracted. */
static void FN(pack)(ptrdiff_t n, ptrdiff_t D, const R *x, ptrdiff_t step, const R *centre, ptrdiff_t width, R *out) {
  const ptrdiff_t whole = D / FL_SIDE * FL_SIDE, size = sizeof(R);
  for (ptrdiff_t first = 0; first < n; first += width, out += D * width) {
    const ptrdiff_t rows = n - first < width ? n - first : width;
    ptrdiff_t r = 0;
    for (; !centre && r + FL_SIDE <= rows; r += FL_SIDE) {
      const R *row = x + (first + r) * step;
      for (ptrdiff_t d = 0; d < whole; d += FL_SIDE)
        FN(transpose_square)(row + d, step * size, out + d * width + r, width * size);
      for (ptrdiff_t d = whole; d < D; d++)
        for (int q = 0; q < FL_SIDE; q++) out[d * width + r + q] = row[q * step + d];
    }
    for (; r < width; r++) {
      const R *row = x + (first + r) * step;
      if (r >= rows)
        for (ptrdiff_t d = 0; d < D; d++) out[d * width + r] = 0;
      else if (centre)
        for (ptrdiff_t d = 0; d < D; d++) out[d * width + r] = row[d] - centre[d];
      else
        for (ptrdiff_t d = 0; d < D; d++) out[d * width + r] = row[d];
    }
  }
}

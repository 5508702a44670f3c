/* Rows of C contiguous elements, `stride` bytes apart, become columns of a C x P tile and back (R, FN as in twice.h): in squares, the
 * last of which overlaps the one before where C is no multiple of the square's side; and one by one where fewer than that many rows are
 * left, or C is smaller.
 */
#include "common/square.h"

static void FN(tile_load)(ptrdiff_t C, ptrdiff_t P, ptrdiff_t n, const char *x, ptrdiff_t stride, void *tile_) {
  const ptrdiff_t size = sizeof(R);
  R *tile = tile_;
  ptrdiff_t p = 0;
  for (; C >= FL_SIDE && p + FL_SIDE <= n; p += FL_SIDE, x += FL_SIDE * stride)
    for (ptrdiff_t c = 0; c < C; c += FL_SIDE) {
      const ptrdiff_t from = c + FL_SIDE <= C ? c : C - FL_SIDE;
      FN(transpose_square)(x + from * size, stride, tile + from * P + p, P * size);
    }
  for (; p < n; p++, x += stride)
    for (ptrdiff_t c = 0; c < C; c++) memcpy(tile + c * P + p, x + c * size, sizeof(R));
}

static void FN(tile_save)(ptrdiff_t C, ptrdiff_t P, ptrdiff_t n, const void *tile_, char *x, ptrdiff_t stride) {
  const ptrdiff_t size = sizeof(R);
  const R *tile = tile_;
  ptrdiff_t p = 0;
  for (; C >= FL_SIDE && p + FL_SIDE <= n; p += FL_SIDE, x += FL_SIDE * stride)
    for (ptrdiff_t c = 0; c < C; c += FL_SIDE) {
      const ptrdiff_t from = c + FL_SIDE <= C ? c : C - FL_SIDE;
      FN(transpose_square)(tile + from * P + p, P * size, x + from * size, stride);
    }
  for (; p < n; p++, x += stride)
    for (ptrdiff_t c = 0; c < C; c++) memcpy(x + c * size, tile + c * P + p, sizeof(R));
}

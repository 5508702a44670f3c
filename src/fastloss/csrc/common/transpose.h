/* Rows of contiguous elements, `stride` bytes apart, become columns of a tile and back (R, LANES, FN as in twice.h): in squares that fill 16 bytes, the
   last of which overlaps the one before where C is no multiple of the square's side. */
#if FL_REAL_BITS == 32
enum { FL_SQUARE_f32 = 4 };
typedef float fl_quad_f32 __attribute__((vector_size(16)));
FL_INLINE void FN(turn)(fl_quad_f32 q[4]) {
  const fl_quad_f32 a = FL_SHUFFLE(q[0], q[1], 0, 4, 1, 5), b = FL_SHUFFLE(q[0], q[1], 2, 6, 3, 7);
  const fl_quad_f32 c = FL_SHUFFLE(q[2], q[3], 0, 4, 1, 5), d = FL_SHUFFLE(q[2], q[3], 2, 6, 3, 7);
  q[0] = FL_SHUFFLE(a, c, 0, 1, 4, 5), q[1] = FL_SHUFFLE(a, c, 2, 3, 6, 7);
  q[2] = FL_SHUFFLE(b, d, 0, 1, 4, 5), q[3] = FL_SHUFFLE(b, d, 2, 3, 6, 7);
}
#else
enum { FL_SQUARE_f64 = 2 };
typedef double fl_quad_f64 __attribute__((vector_size(16)));
FL_INLINE void FN(turn)(fl_quad_f64 q[2]) {
  const fl_quad_f64 a = {q[0][0], q[1][0]}, b = {q[0][1], q[1][1]};
  q[0] = a, q[1] = b;
}
#endif

static void FN(tile_load)(ptrdiff_t C, ptrdiff_t P, ptrdiff_t n, const char *x, ptrdiff_t stride, void *tile_) {
  enum { SIDE = FN(FL_SQUARE) };
  R *tile = tile_;
  ptrdiff_t p = 0;
  for (; C >= SIDE && p + SIDE <= n; p += SIDE, x += SIDE * stride)
    for (ptrdiff_t c = 0; c < C; c += SIDE) {
      const ptrdiff_t from = c + SIDE <= C ? c : C - SIDE;
      FN(fl_quad) q[SIDE];
      for (int k = 0; k < SIDE; k++) memcpy(&q[k], x + k * stride + from * (ptrdiff_t)sizeof(R), sizeof q[k]);
      FN(turn)(q);
      for (int k = 0; k < SIDE; k++) memcpy(tile + (from + k) * P + p, &q[k], sizeof q[k]);
    }
  for (; p < n; p++, x += stride)
    for (ptrdiff_t c = 0; c < C; c++) memcpy(tile + c * P + p, x + c * (ptrdiff_t)sizeof(R), sizeof(R));
}

static void FN(tile_save)(ptrdiff_t C, ptrdiff_t P, ptrdiff_t n, const void *tile_, char *x, ptrdiff_t stride) {
  enum { SIDE = FN(FL_SQUARE) };
  const R *tile = tile_;
  ptrdiff_t p = 0;
  for (; C >= SIDE && p + SIDE <= n; p += SIDE, x += SIDE * stride)
    for (ptrdiff_t c = 0; c < C; c += SIDE) {
      const ptrdiff_t from = c + SIDE <= C ? c : C - SIDE;
      FN(fl_quad) q[SIDE];
      for (int k = 0; k < SIDE; k++) memcpy(&q[k], tile + (from + k) * P + p, sizeof q[k]);
      FN(turn)(q);
      for (int k = 0; k < SIDE; k++) memcpy(x + k * stride + from * (ptrdiff_t)sizeof(R), &q[k], sizeof q[k]);
    }
  for (; p < n; p++, x += stride)
    for (ptrdiff_t c = 0; c < C; c++) memcpy(x + c * (ptrdiff_t)sizeof(R), tile + c * P + p, sizeof(R));
}

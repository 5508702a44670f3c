/* A square of FL_SIDE x FL_SIDE numbers, transposed in registers of 16 bytes: what tiles of rows (transpose.h) and panels of matrices
 * (gemm.h) are made with. Included once per type (R, FN as in twice.h).
 */
#if FL_REAL_BITS == 32
#define FL_SIDE 4
typedef float fl_square_row_f32 __attribute__((vector_size(16)));
FL_INLINE void FN(transpose)(fl_square_row_f32 q[4]) {
  const fl_square_row_f32 a = FL_SHUFFLE(q[0], q[1], 0, 4, 1, 5), b = FL_SHUFFLE(q[0], q[1], 2, 6, 3, 7);
  const fl_square_row_f32 c = FL_SHUFFLE(q[2], q[3], 0, 4, 1, 5), d = FL_SHUFFLE(q[2], q[3], 2, 6, 3, 7);
  q[0] = FL_SHUFFLE(a, c, 0, 1, 4, 5), q[1] = FL_SHUFFLE(a, c, 2, 3, 6, 7);
  q[2] = FL_SHUFFLE(b, d, 0, 1, 4, 5), q[3] = FL_SHUFFLE(b, d, 2, 3, 6, 7);
}
#else
#define FL_SIDE 2
typedef double fl_square_row_f64 __attribute__((vector_size(16)));
FL_INLINE void FN(transpose)(fl_square_row_f64 q[2]) {
  const fl_square_row_f64 a = {q[0][0], q[1][0]}, b = {q[0][1], q[1][1]};
  q[0] = a, q[1] = b;
}
#endif

/* Rows are `step` and `to_step` bytes apart, and may lie anywhere. */
FL_INLINE void FN(transpose_square)(const void *from, ptrdiff_t step, void *to, ptrdiff_t to_step) {
  FN(fl_square_row) q[FL_SIDE];
  for (int k = 0; k < FL_SIDE; k++) memcpy(&q[k], (const char *)from + k * step, sizeof q[k]);
  FN(transpose)(q);
  for (int k = 0; k < FL_SIDE; k++) memcpy((char *)to + k * to_step, &q[k], sizeof q[k]);
}

/* Reading and writing arrays of any element type and any strides as blocks of the computation type. Included by level.c once
 * per type (R, V, LANES, FN as in twice.h). Elements go through memcpy: misaligned arrays are welcome.
 */

/* Unrolled: one load and one store to a round took twice as long at two of eight placements of the same code (AVX-512 EPYC). */
#define FL_STRIDED_LOAD(type)                                                                                            \
  _Pragma("GCC unroll 2") for (ptrdiff_t i = 0; i < n; i++, p += stride) {                                               \
    type x;                                                                                                              \
    memcpy(&x, p, sizeof x);                                                                                             \
    out[i] = (R)x;                                                                                                       \
  }                                                                                                                      \
  break

/* One straight run: n elements `stride` bytes apart. */
static void FN(load_run)(int type, const char *restrict p, ptrdiff_t stride, ptrdiff_t n, R *restrict out) {
  if (stride == 0 && n > 1) {
    FN(load_run)(type, p, 1, 1, out);
    for (ptrdiff_t i = 1; i < n; i++) out[i] = out[0];
    return;
  }
  if (stride == 2 && (type == FL_F16 || type == FL_BF16)) {
    FN(load_half)(type, p, n, out);
    return;
  }
  if (stride == (ptrdiff_t)sizeof(R) && type == FL_THIS_TYPE) {
    memcpy(out, p, (size_t)n * sizeof(R));
    return;
  }
  switch (type) {
    case FL_F16:
    case FL_BF16:
      for (ptrdiff_t i = 0; i < n; i++, p += stride) FN(load_half)(type, p, 1, out + i);
      break;
    case FL_F32: FL_STRIDED_LOAD(float);
    case FL_F64: FL_STRIDED_LOAD(double);
    case FL_I8: FL_STRIDED_LOAD(int8_t);
    case FL_I16: FL_STRIDED_LOAD(int16_t);
    case FL_I32: FL_STRIDED_LOAD(int32_t);
    case FL_I64: FL_STRIDED_LOAD(int64_t);
    case FL_U8: FL_STRIDED_LOAD(uint8_t);
    case FL_U16: FL_STRIDED_LOAD(uint16_t);
    case FL_U32: FL_STRIDED_LOAD(uint32_t);
    case FL_U64: FL_STRIDED_LOAD(uint64_t);
    default: break;
  }
}

#define FL_STRIDED_STORE(type)                                                                                           \
  _Pragma("GCC unroll 2") for (ptrdiff_t i = 0; i < n; i++, p += stride) {                                               \
    type x = (type)in[i];                                                                                                \
    memcpy(p, &x, sizeof x);                                                                                             \
  }                                                                                                                      \
  break

static void FN(store_run)(int type, char *restrict p, ptrdiff_t stride, ptrdiff_t n, const R *restrict in) {
  if (stride == (ptrdiff_t)sizeof(R) && type == FL_THIS_TYPE) {
    memcpy(p, in, (size_t)n * sizeof(R));
    return;
  }
  if (stride == 2 && (type == FL_F16 || type == FL_BF16)) {
    FN(store_half)(type, p, n, in);
    return;
  }
  switch (type) {
    case FL_F16:
    case FL_BF16:
      for (ptrdiff_t i = 0; i < n; i++, p += stride) FN(store_half)(type, p, 1, in + i);
      break;
    case FL_F32: FL_STRIDED_STORE(float);
    case FL_F64: FL_STRIDED_STORE(double);
    default: break; /* results are floating */
  }
}

static inline void FN(gather)(const fl_view *view, ptrdiff_t start, ptrdiff_t n, void *out_) {
  R *out = out_;
  fl_cursor at;
  fl_seek(&at, view, start);
  while (n > 0) {
    const ptrdiff_t run = fl_run(&at, view, n);
    FN(load_run)(view->type, at.data, view->stride[view->ndim - 1], run, out);
    out += run, n -= run;
    fl_advance(&at, view, run);
  }
}

static inline void FN(scatter)(const fl_view *view, ptrdiff_t start, ptrdiff_t n, const void *in_) {
  const R *in = in_;
  fl_cursor at;
  fl_seek(&at, view, start);
  while (n > 0) {
    const ptrdiff_t run = fl_run(&at, view, n);
    FN(store_run)(view->type, at.data, view->stride[view->ndim - 1], run, in);
    in += run, n -= run;
    fl_advance(&at, view, run);
  }
}

#undef FL_STRIDED_LOAD
#undef FL_STRIDED_STORE

/* What loops over registers of one computation type share (R, V, LANES, FN as in twice.h): the point of a loss, registers that are
 * partly filled, prefetches.
 */

typedef struct {
  V value, grad, hess, grad2, hess2;
} FN(point);

/* v, but nan where x is nan: for piecewise constant derivatives. */
FL_INLINE V FN(unless_nan)(V x, V v) { return vselect(veq(x, x), v, x); }

FL_INLINE V FN(read)(const R *p, ptrdiff_t i, ptrdiff_t left, int whole, R fill) {
  return whole ? vload(p + i) : vload_part(p + i, left, fill);
}
FL_INLINE void FN(write)(R *p, ptrdiff_t i, ptrdiff_t left, int whole, V v) {
  if (whole)
    vstore(p + i, v);
  else
    vstore_part(p + i, left, v);
}

/* Prefetch FL_LINES_AHEAD bytes ahead, to read or to write: the hardware prefetcher alone leaves the memory idle now and then. */
FL_INLINE void FN(fetch)(const void *p, ptrdiff_t i) {
  __builtin_prefetch((const char *)((const R *)p + i) + FL_LINES_AHEAD);
}
FL_INLINE void FN(fetch_out)(const void *p, ptrdiff_t i) {
  __builtin_prefetch((const char *)((const R *)p + i) + FL_LINES_AHEAD, 1);
}

/* The loops that every engine uses, of one computation type; the body of common/level.c (twice.h). */
#include "common/convert.h"
#include "common/registers.h"
#include "common/transpose.h"

FL_INLINE void FN(widen)(ptrdiff_t n, const R *x, int size, double *low, double *high) {
  V least = FN(vset)((R)INFINITY), most = -least;
  for (ptrdiff_t i = 0; i < n; i += LANES) {
    V v = FN(read)(x, i, n - i, n - i >= LANES, (R)NAN); /* which is passed over */
    if (size) v = vabs(v);
    FN(fetch)(x, i);
    least = vmin(v, least), most = vmax(v, most);
  }
  const double l = -(double)vtop(-least), h = (double)vtop(most);
  *low = l < *low ? l : *low, *high = h > *high ? h : *high;
}

static void FN(extremes)(ptrdiff_t n, const void *x, double *low, double *high) { FN(widen)(n, x, 0, low, high); }
static void FN(size_extremes)(ptrdiff_t n, const void *x, double *low, double *high) { FN(widen)(n, x, 1, low, high); }

#if FL_REAL_BITS == 64
static double FN(sum)(ptrdiff_t n, const double *x) {
  V total = FN(vset)(0);
  for (ptrdiff_t i = 0; i < n; i += LANES) {
    FN(fetch)(x, i);
    total += FN(read)(x, i, n - i, n - i >= LANES, 0);
  }
  return FN(vsum)(total);
}
#endif

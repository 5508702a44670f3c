/* The loops that every engine uses, of one computation type; the body of common/level.c (twice.h). */
#include "common/convert.h"
#include "common/registers.h"
#include "common/transpose.h"

static void FN(extremes)(ptrdiff_t n, const void *x_, double *low, double *high) {
  const R *x = x_;
  V least = FN(vset)((R)INFINITY), most = -least;
  for (ptrdiff_t i = 0; i < n; i += LANES) {
    const V v = FN(read)(x, i, n - i, n - i >= LANES, (R)NAN); /* which is passed over */
    FN(fetch)(x, i);
    least = vmin(v, least), most = vmax(v, most);
  }
  const double l = -(double)vtop(-least), h = (double)vtop(most);
  *low = l < *low ? l : *low, *high = h > *high ? h : *high;
}

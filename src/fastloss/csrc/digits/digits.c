/* The inner loops of digits.h for one CPU level: setup.py compiles this file once per level with -DFL_LEVEL=<name>. */
#include "digits/digits.h"

#include <math.h>

#include "common/simd.h"

enum { TOGETHER = 3 }; /* digits cut in one pass: as many as the 53 bits of ordinary losses lie in */

static int exponent(int k) { return FL_DIGIT * k + FL_DIGIT_OFFSET; }

/* Which digit holds the leading bit. */
static int place(double magnitude) {
  int leading;
  frexp(magnitude, &leading);
  const int above = leading - 1 - exponent(FL_LOWEST_DIGIT);
  return above < 0 ? FL_LOWEST_DIGIT : FL_LOWEST_DIGIT + above / FL_DIGIT;
}

/* The largest absolute value; nan if one is infinite, nan or huge. */
static double largest(ptrdiff_t n, const double *x) {
  const vd huge = vset_f64(ldexp(1, FL_HUGE_EXPONENT));
  vd top = vset_f64(0), ordinary = top;
  for (ptrdiff_t i = 0; i < n; i += LANES_F64) {
    const vd size = vabs(vload_up_to(x + i, n - i, 0));
    top = vmax(size, top);
    ordinary = vtally(ordinary, vlt(size, huge));
  }
  const ptrdiff_t looked_at = (n + LANES_F64 - 1) / LANES_F64 * LANES_F64;
  return vsum_f64(ordinary) == (double)looked_at ? vtop(top) : (double)NAN;
}

/* Adds digits k, k - 1, ... of every value, |values| being below the place of digit k + 1; leaves in `rest` what is left of each and
   returns the largest of that. */
static double cut_together(ptrdiff_t n, const double *x, double *rest, int k, int64_t *digits) {
  vd anchor[TOGETHER], sum[TOGETHER], top = vset_f64(0);
  for (int d = 0; d < TOGETHER; d++) {
    /* Its last bit has the place of the digit, so that adding it rounds there: a difference of numbers on one grid is exact. */
    const int at = k - d > FL_LOWEST_DIGIT ? k - d : FL_LOWEST_DIGIT; /* below the lowest nothing is left */
    anchor[d] = vset_f64(ldexp(1.5, 52 + exponent(at)));
    sum[d] = vset_f64(0);
  }
  for (ptrdiff_t i = 0; i < n; i += LANES_F64) {
    vd left = vload_up_to(x + i, n - i, 0);
    for (int d = 0; d < TOGETHER; d++) {
      const vd digit = (left + anchor[d]) - anchor[d];
      sum[d] += digit;
      left -= digit;
    }
    top = vmax(vabs(left), top);
    vstore_up_to(rest + i, n - i, left);
  }
  for (int d = 0; d < TOGETHER && k - d >= FL_LOWEST_DIGIT; d++)
    digits[k - d - FL_LOWEST_DIGIT] += (int64_t)ldexp(vsum_f64(sum[d]), -exponent(k - d));
  return vtop(top);
}

static int cut(ptrdiff_t n, const double *x, double *rest, int64_t *digits) {
  double top = largest(n, x);
  if (top != top) return 1;
  for (; top > 0; x = rest) top = cut_together(n, x, rest, place(top), digits);
  return 0;
}

#define TABLE_OF(level) fl_digits_table_##level
#define TABLE(level) TABLE_OF(level)

const fl_digits TABLE(FL_LEVEL) = {cut};

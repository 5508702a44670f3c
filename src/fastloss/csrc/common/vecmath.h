/* Exponentials, logarithms, and arithmetic with rounding errors on the vectors of simd.h, by what they compute:
 *
 *   vecmath_base.h    constants, polynomials, square roots, inverses
 *   vecmath_exp.h     e^x, e^x - 1, e^x - 1 - x
 *   vecmath_log.h     log x, log(1 + x), logarithms longer than a double, entropies
 *   double_double.h   sums and products with their rounding errors
 *
 * Names end in the type (f32, f64) behind a _Generic name without it. `short`: in double, to what a float result shows.
 */
#ifndef FL_VECMATH_H
#define FL_VECMATH_H

#include "common/double_double.h"
#include "common/vecmath_base.h"
#include "common/vecmath_exp.h"
#include "common/vecmath_log.h"

#endif

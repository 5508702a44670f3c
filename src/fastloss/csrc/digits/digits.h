/* Float64 cut into digits in base 2^32 at fixed places, so that sums of them never round (see evaluation/_exact.py). */
#ifndef FASTLOSS_DIGITS_H
#define FASTLOSS_DIGITS_H

#include <stddef.h>
#include <stdint.h>

#include "common/levels.h"

enum {
  FL_DIGIT = 32,           /* bits of a digit */
  FL_DIGIT_OFFSET = -24,   /* digit k counts units of 2^(32 k - 24): losses below 256 begin at digit 0 */
  FL_LOWEST_DIGIT = -33,   /* which holds 2^-1074 */
  FL_HUGE_EXPONENT = 1000, /* |values| from 2^1000 on are left to the caller, as infinities and nans are */
  FL_DIGITS = 66,          /* digits that the others and what rounding carries upward can reach */
  FL_DIGITS_BLOCK = 2048   /* values cut at a time: they stay in the L1 cache, sums of their digits are exact */
};

typedef struct {
  /* Adds the digits of n <= FL_DIGITS_BLOCK values to `digits`, lowest first, and returns 0; or returns 1 and adds nothing, if one
     is infinite, nan or huge. `rest` is scratch for n values. */
  int (*cut)(ptrdiff_t n, const double *x, double *rest, int64_t *digits);
} fl_digits;

FL_TABLES(fl_digits, fl_digits_table)

#endif

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Digits of float64 for sums that never round (csrc/digits/digits.h); evaluation/_exact.py says why and does the rest."""

cimport numpy as cnp
from libc.stdint cimport int64_t

from fastloss._kernels cimport isa

cnp.import_array()

cdef extern from "digits/digits.h" nogil:
    enum:
        FL_DIGIT, FL_DIGIT_OFFSET, FL_LOWEST_DIGIT, FL_DIGITS, FL_DIGITS_BLOCK, FL_HUGE_EXPONENT

    ctypedef struct fl_digits:
        int (*cut)(Py_ssize_t, const double *, double *, int64_t *) noexcept nogil

    const fl_digits *fl_digits_table_at(const char *)

DIGIT = FL_DIGIT
OFFSET = FL_DIGIT_OFFSET
LOWEST = FL_LOWEST_DIGIT
DIGITS = FL_DIGITS
BLOCK = FL_DIGITS_BLOCK
HUGE = 2.0**FL_HUGE_EXPONENT


def add_digits(cnp.ndarray values, cnp.ndarray digits):
    """Add the digits of contiguous float64 `values` to `digits` (int64, DIGITS of them, that of place LOWEST first).

    Stops before the first BLOCK of values that has an infinite, nan or huge one; returns how many values it has added.
    """
    cdef const fl_digits *table = fl_digits_table_at(isa())
    cdef Py_ssize_t start = 0, n = cnp.PyArray_SIZE(values), part
    cdef double rest[FL_DIGITS_BLOCK]
    cdef const double *x = <const double *>cnp.PyArray_DATA(values)
    cdef int64_t *sums = <int64_t *>cnp.PyArray_DATA(digits)
    with nogil:
        while start < n:
            part = min(<Py_ssize_t>FL_DIGITS_BLOCK, n - start)
            if table.cut(part, x + start, rest, sums):
                break
            start += part
    return start

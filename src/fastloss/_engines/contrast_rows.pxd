# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# Part of contrast.pyx (see rows_call.pxd): csrc/contrast/contrast.h, and how rows are read, normalised and packed.
# Letters: D numbers of a row, padded to `width`.

from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from fastloss._kernels cimport fl_real_table, fl_view, isa

cdef extern from "contrast/contrast.h" nogil:
    enum:
        FL_ANCHORS, FL_CANDIDATES

    ctypedef struct fl_contrast:
        Py_ssize_t D
        Py_ssize_t first
        Py_ssize_t rows
        Py_ssize_t anchor
        Py_ssize_t lanes
        const void *left
        const void *right
        double factor
        double exponent
        const int64_t *low
        const int64_t *high
        void *e
        double *sums
        double *row_sums
        void *max

    ctypedef struct fl_contrast_weigh:
        const void *lane
        const void *row
        const void *lane_max
        const void *row_max
        const void *lane_own
        const void *row_own
        int itself
        void *w

    ctypedef struct fl_contrast_grad:
        const void *x
        double power
        double inverse
        int normalized
        double factor
        const void *g
        void *out

    ctypedef struct fl_contrast_real:
        void (*measure)(Py_ssize_t, const void *, double *, double *) noexcept nogil
        void (*normalize)(Py_ssize_t, const void *, double, double, void *) noexcept nogil
        void (*normalize_double)(Py_ssize_t, const void *, double, double, double *) noexcept nogil
        void (*panel)(Py_ssize_t, Py_ssize_t, const void *, void *) noexcept nogil
        void (*across)(Py_ssize_t, const void *, void *) noexcept nogil
        void (*terms)(const fl_contrast *) noexcept nogil
        void (*products)(const fl_contrast *) noexcept nogil
        void (*online)(const fl_contrast *) noexcept nogil
        void (*transpose)(const void *, void *) noexcept nogil
        void (*weigh)(const fl_contrast *, const fl_contrast_weigh *) noexcept nogil
        void (*weigh_products)(const fl_contrast *, const fl_contrast_weigh *) noexcept nogil
        void (*gather)(Py_ssize_t, Py_ssize_t, const void *, const void *, Py_ssize_t, void *, int) noexcept nogil
        void (*add_row)(Py_ssize_t, double, const void *, Py_ssize_t, void *) noexcept nogil
        void (*grad)(Py_ssize_t, const fl_contrast_grad *) noexcept nogil
        Py_ssize_t panel_rows
        Py_ssize_t columns
        double range
        int bias

    ctypedef struct fl_contrast_table:
        fl_contrast_real f32
        fl_contrast_real f64
        double (*dot)(Py_ssize_t, const double *, const double *) noexcept nogil
        void (*add)(Py_ssize_t, const double *, double *) noexcept nogil

    const fl_contrast_table *fl_contrast_table_at(const char *level)


cdef inline const fl_contrast_table *contrast_table() noexcept nogil:
    return fl_contrast_table_at(isa())


cdef inline const fl_contrast_real *contrast_loops(bint wide) noexcept nogil:
    return &contrast_table().f64 if wide else &contrast_table().f32


cdef struct PackCall:
    const fl_real_table *table
    const fl_contrast_real *loops
    fl_view source[2]
    Py_ssize_t split  # rows of the first source
    const int64_t *order  # which row of the sources a row is; NULL: as they come
    Py_ssize_t n, D, width, padded
    bint normalize, measured, with_columns
    double *power
    double *inverse
    char *left
    char *columns
    char *scratch
    Py_ssize_t scratch_size


cdef inline Py_ssize_t source_of(const PackCall *call, Py_ssize_t row, int *which) noexcept nogil:
    """Index of the source row, which also receives its gradient."""
    if call.order != NULL:
        row = call.order[row]
    which[0] = row >= call.split
    return row - call.split if which[0] else row


cdef inline void read_row(const PackCall *call, Py_ssize_t row, char *x) noexcept nogil:
    """A row as numbers of the computation type; what pads it is the caller's zeros."""
    cdef int which
    cdef Py_ssize_t at = source_of(call, row, &which)
    call.table.gather(&call.source[which], at * call.D, call.D, x)


cdef inline void measure_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef PackCall *call = <PackCall *>call_
    cdef char *x = call.scratch + thread * call.scratch_size
    cdef Py_ssize_t first = b * FL_ANCHORS, row
    memset(x, 0, call.width * call.table.size)
    for row in range(first, min(first + FL_ANCHORS, call.n)):
        read_row(call, row, x)
        call.loops.measure(call.width, x, &call.power[row], &call.inverse[row])


cdef inline void pack_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    """FL_ANCHORS rows, divided by their norms or multiplied by the power of two of all."""
    cdef PackCall *call = <PackCall *>call_
    cdef Py_ssize_t size = call.table.size, step = call.loops.columns * size, bytes = call.width * size
    cdef Py_ssize_t panel = b * FL_ANCHORS, end = panel + FL_ANCHORS, row, r, rows, c
    cdef char *x = call.scratch + thread * call.scratch_size
    cdef char *z = x + bytes
    memset(x, 0, bytes)
    while panel < end:
        rows = max(<Py_ssize_t>0, min(call.loops.panel_rows, call.n - panel))
        for r in range(rows):
            row = panel + r
            read_row(call, row, x)
            if not call.measured:
                call.loops.measure(call.width, x, &call.power[row], &call.inverse[row])
            call.loops.normalize(call.width, x, call.power[row], call.inverse[row], z + r * bytes)
            if call.with_columns:
                for c in range(call.width // call.loops.columns):
                    memcpy(call.columns + (c * call.padded + row) * step, z + r * bytes + c * step, step)
        if rows:
            call.loops.panel(rows, call.width, z, call.left + panel * bytes)
        else:
            memset(call.left + panel * bytes, 0, call.loops.panel_rows * bytes)
        panel += call.loops.panel_rows

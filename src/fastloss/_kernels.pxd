# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# csrc/common/kernels.h as Cython sees it, and what every engine shares: views, operands, blocks, workspaces.
# Letters: C classes, P positions of a tile.

cimport numpy as cnp
from libc.stdint cimport int64_t

cdef extern from "common/kernels.h" nogil:
    enum:
        FL_VALUE, FL_GRAD, FL_HESS
        FL_F16, FL_BF16, FL_F32, FL_F64, FL_I8, FL_I16, FL_I32, FL_I64, FL_U8, FL_U16, FL_U32, FL_U64

    ctypedef struct fl_view:
        char *data
        int type
        int ndim
        Py_ssize_t shape[64]
        Py_ssize_t stride[64]

    ctypedef struct fl_real_table:
        void (*gather)(const fl_view *, Py_ssize_t, Py_ssize_t, void *) noexcept nogil
        void (*scatter)(const fl_view *, Py_ssize_t, Py_ssize_t, const void *) noexcept nogil
        void (*extremes)(Py_ssize_t, const void *, double *, double *) noexcept nogil
        void (*size_extremes)(Py_ssize_t, const void *, double *, double *) noexcept nogil
        double (*sum)(Py_ssize_t, const double *) noexcept nogil
        void (*tile_load)(Py_ssize_t, Py_ssize_t, Py_ssize_t, const char *, Py_ssize_t, void *) noexcept nogil
        void (*tile_save)(Py_ssize_t, Py_ssize_t, Py_ssize_t, const void *, char *, Py_ssize_t) noexcept nogil
        void (*fill)(Py_ssize_t, double, double *) noexcept nogil
        int lanes
        int size

    ctypedef struct fl_table:
        const char *name
        fl_real_table f32
        fl_real_table f64

    const fl_table *fl_table_at(int level)
    void fl_merge_chunks(Py_ssize_t, const double *, const double *, double *, double *)
    void fl_gather_labels(const fl_view *, Py_ssize_t, Py_ssize_t, int64_t *)
    double fl_load_one(const char *, int)
    void fl_store_one(char *, int, double)
    char *fl_view_at(const fl_view *, Py_ssize_t)

ctypedef void (*block_work)(void *call, Py_ssize_t block, int thread) noexcept nogil

cdef const char *isa() noexcept nogil  # name of the CPU level in use
cdef const fl_real_table *real_table(bint wide) noexcept nogil
cdef int run_blocks(block_work work, void *call, Py_ssize_t blocks, double cost, int threads) except -1
cdef bint interrupted(bint *stop, int thread) noexcept nogil

ctypedef struct RunningSum:
    double total
    double lost

cdef enum:
    POINT_BLOCK = 4096  # elements of a block of elementwise work: three float32 operands fill half of L1

cdef void add(RunningSum *sum, double x) noexcept nogil
cdef double sum_of(const RunningSum *sum) noexcept nogil

cdef struct Partial:  # what a block leaves; and, added up and merged in block order, what all blocks of a call do
    double sum  # of weighted values
    double weight  # of the weights
    double low[3]  # extremes of up to three operands; (inf, -inf) where they are not wanted
    double high[3]
    Py_ssize_t bad  # the first position that must be refused, or -1
    bint flag  # whether any block has raised it

cdef struct Spans:  # the blocks of a call; their partial results are kept a span at a time
    Py_ssize_t base  # number of the span's first block
    Partial *partials  # one for each block of the span
    Partial result  # of all blocks
    # more sums than one, perhaps: each block adds `width` of them to those of its group of so many blocks
    double *sums  # `width` for each block of the span
    Py_ssize_t width, group
    RunningSum *totals  # `width` for each group

cdef int run_spans(block_work work, void *call, Spans *spans, Py_ssize_t blocks, double cost, int threads) except -1
cdef int type_code(cnp.ndarray a) except -1
cdef int make_view(fl_view *view, cnp.ndarray a, int without_axis=*) except -1

cdef struct Operand:  # an array that is read or written block by block
    bint given
    bint direct  # read or written in place
    fl_view view

cdef int set_operand(Operand *o, cnp.ndarray a, const fl_real_table *table) except -1

cdef struct AxisView:  # an array with one axis set apart: that of the classes, or of a vector's elements
    fl_view rows  # the other axes: walks the positions at entry 0
    Py_ssize_t step  # from one entry to the next
    bint given
    bint native  # aligned numbers of the computation type
    bint direct  # native, and a position's entries lie side by side
    bint planar  # native, and positions lie side by side along the last of the other axes

cdef int set_axis_view(AxisView *view, cnp.ndarray a, int axis, const fl_real_table *table) except -1
cdef void read_tile(
    const fl_real_table *table, const AxisView *view, Py_ssize_t C, Py_ssize_t start, Py_ssize_t n, Py_ssize_t P, char *tile
) noexcept nogil
cdef void write_tile(
    const fl_real_table *table, const AxisView *view, Py_ssize_t C, Py_ssize_t start, Py_ssize_t n, Py_ssize_t P, const char *tile
) noexcept nogil

cdef dict operations(const char *(*name)(int))

cdef class Workspace:
    cdef char *memory
    cdef Py_ssize_t size
    cdef char *base(self) noexcept


cdef inline void set_spans(Spans *spans, Py_ssize_t width=0, Py_ssize_t group=1, RunningSum *totals=NULL) noexcept:
    """Before run_spans: how many more sums a block has, how many blocks share their totals, and these, zeroed."""
    spans.width, spans.group, spans.totals = width, group, totals


cdef struct Values:  # of each row or sample, C-contiguous
    char *data  # NULL if nobody wants them
    bint wide  # double, else float


cdef inline void set_values(Values *values, cnp.ndarray a) noexcept:
    values.data = <char *>cnp.PyArray_DATA(a) if a is not None else NULL
    values.wide = a is not None and cnp.PyArray_TYPE(a) == cnp.NPY_DOUBLE


cdef inline void store_value(const Values *values, Py_ssize_t i, double x) noexcept nogil:
    if values.data != NULL and values.wide:
        (<double *>values.data)[i] = x
    elif values.data != NULL:
        (<float *>values.data)[i] = <float>x


cdef inline Py_ssize_t round_up(Py_ssize_t n, Py_ssize_t multiple) noexcept nogil:
    """The least multiple of `multiple` that is not below n."""
    return (n + multiple - 1) // multiple * multiple


cdef inline char *position_at(const AxisView *view, Py_ssize_t i) noexcept nogil:
    """Entry 0 of a position."""
    if view.rows.ndim == 1:
        return view.rows.data + i * view.rows.stride[0]
    return fl_view_at(&view.rows, i)


cdef inline char *block_pointer(Operand *o, Py_ssize_t start, int size, char *scratch) noexcept nogil:
    """Where a block begins: in the array, or in `scratch`, where it is gathered or scattered from."""
    if not o.given:
        return NULL
    return o.view.data + start * size if o.direct else scratch

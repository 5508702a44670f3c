# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Losses whose value is a sum of elementwise terms along a row: the divergences.

A block is some whole rows, or a chunk of 4096 elements of a long one; the chunks' sums are added in order.
"""

cimport numpy as cnp
from libc.math cimport INFINITY
from libc.stdlib cimport calloc, free

from fastloss._kernels cimport (
    POINT_BLOCK,
    Operand,
    Partial,
    RunningSum,
    Spans,
    Values,
    Workspace,
    block_pointer,
    fl_real_table,
    isa,
    operations,
    real_table,
    run_spans,
    set_operand,
    set_spans,
    set_values,
    store_value,
    sum_of,
)

cnp.import_array()

cdef extern from "sums/sums.h" nogil:
    ctypedef struct fl_sums:
        Py_ssize_t rows
        Py_ssize_t C
        const void *x
        const void *t
        const void *z
        const void *u
        const double *weight
        double *sum
        void *grad
        void *grad2
        double par[4]
        double scale
        int want
        double total
        double x_low
        double x_high
        double t_low
        double t_high

    ctypedef void (*fl_sums_loop)(fl_sums *) noexcept nogil

    ctypedef struct fl_sums_table:
        const fl_sums_loop *f32
        const fl_sums_loop *f64

    const fl_sums_table *fl_sums_table_at(const char *level)
    const char *fl_sums_name(int op)

SUMS = operations(fl_sums_name)

cdef struct SumCall:
    Spans spans  # rows that are cut are groups of their chunks' sums
    const fl_real_table *table
    fl_sums_loop loop
    Operand part[6]  # x, t, z, u, grad, grad2
    fl_sums job  # the template of every block's job; its weight is that of row 0
    Py_ssize_t rows, C
    Py_ssize_t together  # rows per block, or 0 if rows are cut: into `chunks` blocks each
    Py_ssize_t chunks
    Values values
    char *scratch
    Py_ssize_t scratch_size


cdef void sum_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef SumCall *call = <SumCall *>call_
    cdef Partial *partial = &call.spans.partials[b]
    cdef fl_sums job = call.job
    cdef Py_ssize_t row, start, n, k
    cdef int size = call.table.size
    cdef char *scratch = call.scratch + thread * call.scratch_size
    cdef char *at[6]
    job.sum = <double *>scratch
    scratch += max(<Py_ssize_t>8, call.together) * sizeof(double)
    if call.together:
        row = (call.spans.base + b) * call.together
        job.rows = min(call.together, call.rows - row)
        start, n = row * call.C, job.rows * call.C
    else:
        row, start = (call.spans.base + b) // call.chunks, (call.spans.base + b) % call.chunks * POINT_BLOCK
        n = min(<Py_ssize_t>POINT_BLOCK, call.C - start)
        job.rows, job.C, start = 1, n, start + row * call.C
    if job.weight != NULL:
        job.weight += row
    for k in range(6):
        at[k] = block_pointer(&call.part[k], start, size, scratch + k * POINT_BLOCK * size)
        if k < 4 and call.part[k].given and not call.part[k].direct:
            call.table.gather(&call.part[k].view, start, n, at[k])
    job.x, job.t, job.z, job.u, job.grad, job.grad2 = at[0], at[1], at[2], at[3], at[4], at[5]
    call.loop(&job)
    partial.sum = job.total
    partial.low[0], partial.low[1] = job.x_low, job.t_low
    partial.high[0], partial.high[1] = job.x_high, job.t_high
    if call.spans.width:
        call.spans.sums[b] = job.total
    if call.together and call.values.data != NULL:
        for k in range(job.rows):
            store_value(&call.values, row + k, job.sum[k])
    for k in range(4, 6):
        if call.part[k].given and not call.part[k].direct:
            call.table.scatter(&call.part[k].view, start, n, at[k])


cdef int run_chunks(SumCall *call, Py_ssize_t blocks, double cost, int threads) except -1:
    """Rows that are cut: the values are those of their chunks, added in order."""
    cdef Py_ssize_t row
    cdef RunningSum *totals = <RunningSum *>calloc(call.rows, sizeof(RunningSum))
    if totals == NULL:
        raise MemoryError()
    try:
        set_spans(&call.spans, 1, call.chunks, totals)
        run_spans(sum_block, call, &call.spans, blocks, cost, threads)
        for row in range(call.rows):
            store_value(&call.values, row, sum_of(&totals[row]))
    finally:
        free(totals)
    return 0


def sums(
    int op, int want, cnp.ndarray x, cnp.ndarray t, cnp.ndarray z, cnp.ndarray u, cnp.ndarray weight, tuple parameters,
    bint wide, double scale, cnp.ndarray value, cnp.ndarray grad, cnp.ndarray grad2, int threads,
):
    """Run one loss that sums terms along the last axis of equal-shaped arrays (absent ones None), which are not empty.

    `weight` (float64) and `value` (float32 or float64) have one entry for each row, C-contiguous.
    Returns (sum of weighted values, x_low, x_high, t_low, t_high); otherwise as `pointwise`.
    """
    cdef SumCall call
    cdef Partial *result = &call.spans.result
    cdef Py_ssize_t blocks, k, size
    cdef double cost
    cdef Workspace workspace
    call.table = real_table(wide)
    call.loop = fl_sums_table_at(isa()).f64[op] if wide else fl_sums_table_at(isa()).f32[op]
    call.C = cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1)
    call.rows = cnp.PyArray_SIZE(x) // call.C
    set_values(&call.values, value)
    set_operand(&call.part[0], x, call.table)
    set_operand(&call.part[1], t, call.table)
    set_operand(&call.part[2], z, call.table)
    set_operand(&call.part[3], u, call.table)
    set_operand(&call.part[4], grad, call.table)
    set_operand(&call.part[5], grad2, call.table)
    for k in range(4):
        call.job.par[k] = parameters[k] if k < len(parameters) else 0
    call.job.C, call.job.scale, call.job.want, call.job.total = call.C, scale, want, 0
    call.job.weight = NULL if weight is None else <double *>cnp.PyArray_DATA(weight)
    call.job.x_low = call.job.t_low = INFINITY
    call.job.x_high = call.job.t_high = -INFINITY
    call.together, call.chunks = min(POINT_BLOCK // call.C, call.rows), (call.C + POINT_BLOCK - 1) // POINT_BLOCK
    blocks = (call.rows + call.together - 1) // call.together if call.together else call.rows * call.chunks
    size = max(<Py_ssize_t>8, call.together) * sizeof(double)
    for k in range(6):
        if call.part[k].given and not call.part[k].direct:
            size += 6 * POINT_BLOCK * call.table.size
            break
    workspace = Workspace(size, <int>max(1, min(threads, blocks)))
    call.scratch, call.scratch_size = workspace.base(), workspace.size
    cost = min(<Py_ssize_t>POINT_BLOCK, call.rows * call.C) * 0.8
    if value is not None and not call.together:
        run_chunks(&call, blocks, cost, threads)
    else:
        set_spans(&call.spans)
        run_spans(sum_block, &call, &call.spans, blocks, cost, threads)
    return result.sum, result.low[0], result.high[0], result.low[1], result.high[1]

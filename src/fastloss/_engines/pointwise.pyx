# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Losses with one value per element.

A block is 4096 elements of each operand, read and written in place or gathered into the thread's workspace; csrc/pointwise has a
loop for each loss and each combination of value, gradient and Hessian.
"""

cimport numpy as cnp
from libc.math cimport INFINITY

from fastloss._kernels cimport (
    POINT_BLOCK,
    Operand,
    Partial,
    Spans,
    Workspace,
    block_pointer,
    fl_real_table,
    isa,
    operations,
    real_table,
    run_spans,
    set_operand,
    set_spans,
)

cnp.import_array()

cdef extern from "pointwise/pointwise.h" nogil:
    ctypedef struct fl_pointwise:
        Py_ssize_t n
        const void *x
        const void *t
        const void *z
        const void *w
        void *value
        void *grad
        void *hess
        double par[4]
        double scale
        int want
        double sum
        double x_low
        double x_high
        double t_low
        double t_high
        double z_low
        double z_high
        void *grad2
        void *hess2

    ctypedef void (*fl_pointwise_loop)(fl_pointwise *) noexcept nogil

    ctypedef struct fl_pointwise_table:
        const fl_pointwise_loop *f32
        const fl_pointwise_loop *f64

    const fl_pointwise_table *fl_pointwise_table_at(const char *level)
    const char *fl_pointwise_name(int op)

POINTWISE = operations(fl_pointwise_name)

cdef struct PointCall:
    Spans spans
    const fl_real_table *table
    fl_pointwise_loop loop
    Operand part[9]  # x, t, z, w, value, grad, hess, grad2, hess2
    fl_pointwise job  # the template of every block's job
    Py_ssize_t n
    char *scratch  # the first thread's, or NULL; the next thread's is scratch_size further
    Py_ssize_t scratch_size


cdef void point_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef PointCall *call = <PointCall *>call_
    cdef fl_pointwise job = call.job
    cdef Partial *partial = &call.spans.partials[b]
    cdef Py_ssize_t start = (call.spans.base + b) * POINT_BLOCK
    cdef int k, size = call.table.size
    cdef char *scratch = call.scratch + thread * call.scratch_size
    cdef char *at[9]
    job.n = min(<Py_ssize_t>POINT_BLOCK, call.n - start)
    for k in range(9):
        at[k] = block_pointer(&call.part[k], start, size, scratch + k * POINT_BLOCK * size)
        if k < 4 and call.part[k].given and not call.part[k].direct:
            call.table.gather(&call.part[k].view, start, job.n, at[k])
    job.x, job.t, job.z, job.w, job.value, job.grad, job.hess = at[0], at[1], at[2], at[3], at[4], at[5], at[6]
    job.grad2, job.hess2 = at[7], at[8]
    call.loop(&job)
    partial.sum = job.sum
    partial.low[0], partial.low[1], partial.low[2] = job.x_low, job.t_low, job.z_low
    partial.high[0], partial.high[1], partial.high[2] = job.x_high, job.t_high, job.z_high
    for k in range(4, 9):
        if call.part[k].given and not call.part[k].direct:
            call.table.scatter(&call.part[k].view, start, job.n, at[k])


def pointwise(
    int op, int want, cnp.ndarray x, cnp.ndarray t, cnp.ndarray z, cnp.ndarray w, tuple parameters, bint wide,
    double scale, cnp.ndarray value, cnp.ndarray grad, cnp.ndarray hess, int threads, cnp.ndarray grad2=None,
    cnp.ndarray hess2=None,
):
    """Run one pointwise loss over equal-shaped arrays (absent ones None).

    `grad2` and `hess2` are given with `grad` and `hess` if the loss has two differentiable arguments, and only then.
    Returns (sum of weighted values, x_low, x_high, t_low, t_high, z_low, z_high); the extremes pass nan over and are meant for
    losses with a domain. `wide` computes in float64. Derivatives are multiplied by `scale` and by the weights.
    """
    cdef PointCall call
    cdef Partial *result = &call.spans.result
    cdef Py_ssize_t blocks
    cdef int k
    cdef Workspace workspace = None
    call.table = real_table(wide)
    call.loop = fl_pointwise_table_at(isa()).f64[op] if wide else fl_pointwise_table_at(isa()).f32[op]
    call.n = cnp.PyArray_SIZE(x)
    call.scratch, call.scratch_size = NULL, 0
    set_operand(&call.part[0], x, call.table)
    set_operand(&call.part[1], t, call.table)
    set_operand(&call.part[2], z, call.table)
    set_operand(&call.part[3], w, call.table)
    set_operand(&call.part[4], value, call.table)
    set_operand(&call.part[5], grad, call.table)
    set_operand(&call.part[6], hess, call.table)
    set_operand(&call.part[7], grad2, call.table)
    set_operand(&call.part[8], hess2, call.table)
    for k in range(4):
        call.job.par[k] = 0
    k = 0
    for parameter in parameters:
        call.job.par[k] = parameter
        k += 1
    call.job.scale, call.job.want = scale, want
    call.job.x_low = call.job.t_low = call.job.z_low = INFINITY
    call.job.x_high = call.job.t_high = call.job.z_high = -INFINITY
    blocks = (call.n + POINT_BLOCK - 1) // POINT_BLOCK
    for k in range(9):
        if call.part[k].given and not call.part[k].direct:
            workspace = Workspace(9 * POINT_BLOCK * call.table.size, <int>max(1, min(threads, blocks)))
            call.scratch, call.scratch_size = workspace.base(), workspace.size
            break
    set_spans(&call.spans)
    run_spans(point_block, &call, &call.spans, blocks, POINT_BLOCK * 0.5 if blocks > 1 else 0.0, threads)
    return result.sum, result.low[0], result.high[0], result.low[1], result.high[1], result.low[2], result.high[2]

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Losses of pairs and triplets of vectors that the caller gives: one value for each row.

Design:
- A row of each operand is read once from memory: lengths or products are added up, and while the row is in L1 its
  gradient is written. Rows that lie contiguous in the computation type are read and written where they are; of others
  a chunk of some thousand elements is gathered at a time.
- Sums are in double, or in twice that where the result is what nearly equal lengths leave (csrc/vectors/real.h); squares that
  leave a double's range are done again with scaled elements.
- Blocks of rows depend on the shape alone; their sums are added in order.

Letters: N rows, D elements of each.
"""

cimport numpy as cnp

from fastloss._kernels cimport (
    AxisView,
    RunningSum,
    Spans,
    Values,
    Workspace,
    add,
    fl_real_table,
    fl_view,
    isa,
    make_view,
    position_at,
    real_table,
    run_spans,
    set_axis_view,
    set_spans,
    set_values,
    store_value,
    sum_of,
)

cnp.import_array()

cdef extern from "vectors/vectors.h" nogil:
    enum:
        FL_NORM_TWO, FL_NORM_ONE, FL_NORM_MAX, FL_NORM_ANY
        FL_VECTOR_CHUNK

    ctypedef struct fl_vectors:
        Py_ssize_t D
        Py_ssize_t chunk
        void (*load)(fl_vectors *, Py_ssize_t) noexcept nogil
        void (*save)(fl_vectors *, Py_ssize_t) noexcept nogil
        Py_ssize_t at
        const void *x[3]
        void *grad[3]
        bint with_grad
        int norm
        bint squared
        bint swap
        double p
        double eps
        double margin
        double power
        double label
        double scale
        double value

    ctypedef struct fl_vectors_real:
        void (*contrastive)(fl_vectors *) noexcept nogil
        void (*triplet)(fl_vectors *) noexcept nogil
        void (*cosine)(fl_vectors *) noexcept nogil

    ctypedef struct fl_vectors_table:
        fl_vectors_real f32
        fl_vectors_real f64

    const fl_vectors_table *fl_vectors_table_at(const char *level)

cdef enum:
    BLOCK_ELEMENTS = 16384  # of one operand in a block
    BLOCK_ROWS = 1024

cdef struct VectorCall:
    Spans spans
    const fl_real_table *table
    void (*loss)(fl_vectors *) noexcept nogil
    AxisView part[6]  # three operands, three gradients
    bint whole  # all of them are direct
    bint has_label
    bint has_weight
    fl_view label
    fl_view weight
    fl_vectors job  # the template of every row's job
    double scale
    Py_ssize_t rows, together  # together: rows per block
    Values values
    char *scratch
    Py_ssize_t scratch_size

cdef struct RowJob:  # begins with the job, so that its functions find the rest
    fl_vectors job
    VectorCall *call
    char *row[6]  # where each operand's row begins
    char *chunks  # space for what is gathered


cdef void chunk_view(fl_view *view, const RowJob *row, int k, Py_ssize_t start) noexcept nogil:
    cdef const AxisView *o = &row.call.part[k]
    view.type, view.ndim = o.rows.type, 1
    view.data = row.row[k] + start * o.step
    view.shape[0] = min(row.job.chunk, row.job.D - start)
    view.stride[0] = o.step


cdef void load_chunk(fl_vectors *job, Py_ssize_t start) noexcept nogil:
    cdef RowJob *row = <RowJob *>job
    cdef const fl_real_table *table = row.call.table
    cdef fl_view view
    cdef char *at
    cdef int k
    for k in range(6):
        if not row.call.part[k].given:
            continue
        if row.call.part[k].direct:
            at = row.row[k] + start * table.size
        else:
            at = row.chunks + k * job.chunk * table.size
            if k < 3:
                chunk_view(&view, row, k, start)
                table.gather(&view, 0, view.shape[0], at)
        if k < 3:
            job.x[k] = at
        else:
            job.grad[k - 3] = at


cdef void save_chunk(fl_vectors *job, Py_ssize_t start) noexcept nogil:
    cdef RowJob *row = <RowJob *>job
    cdef fl_view view
    cdef int k
    for k in range(3, 6):
        if row.call.part[k].given and not row.call.part[k].direct:
            chunk_view(&view, row, k, start)
            row.call.table.scatter(&view, 0, view.shape[0], job.grad[k - 3])


cdef inline void begin_row(RowJob *row, Py_ssize_t r) noexcept nogil:
    """Finds the row in each operand; where all are direct, it is in its place."""
    cdef char *at
    cdef int k
    row.job.at = -1
    for k in range(6):
        if not row.call.part[k].given:
            continue
        at = position_at(&row.call.part[k], r)
        row.row[k] = at
        if k < 3:
            row.job.x[k] = at
        else:
            row.job.grad[k - 3] = at


cdef void vector_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef VectorCall *call = <VectorCall *>call_
    cdef Py_ssize_t first = (call.spans.base + b) * call.together, n = min(call.together, call.rows - first), i
    cdef double *label = <double *>(call.scratch + thread * call.scratch_size)
    cdef double *weight = label + call.together
    cdef RunningSum total = RunningSum(0, 0)
    cdef RowJob row
    cdef double value
    cdef int k
    row.job, row.call = call.job, call
    row.chunks = <char *>(weight + call.together)
    for k in range(6):
        row.row[k] = NULL
    if call.has_label:
        real_table(True).gather(&call.label, first, n, label)
    if call.has_weight:
        real_table(True).gather(&call.weight, first, n, weight)
    for i in range(n):
        begin_row(&row, first + i)
        row.job.label = label[i] if call.has_label else 0
        row.job.scale = call.scale * weight[i] if call.has_weight else call.scale
        call.loss(&row.job)
        value = row.job.value * weight[i] if call.has_weight else row.job.value
        add(&total, value)
        store_value(&call.values, first + i, value)
    call.spans.partials[b].sum = sum_of(&total)


cdef int norm_of(double p) noexcept:
    if p == 2:
        return FL_NORM_TWO
    if p == 1:
        return FL_NORM_ONE
    return FL_NORM_MAX if p > 1e300 else FL_NORM_ANY


def vectors(
    str loss, tuple x, cnp.ndarray label, *, bint wide, double p=2, double eps=0, double margin=0, double power=1,
    bint squared=False, bint swap=False, cnp.ndarray weight=None, double scale=1, cnp.ndarray values=None, tuple grads=(),
    int threads=1,
):
    """Run "contrastive", "triplet" or "cosine" over the rows (last axis) of the arrays x; at least one row.

    `label` (or None) and `weight` have an entry for each row; `values`, C-contiguous, float32 or float64, too. Returns the sum
    of the weighted values. Gradients are multiplied by `scale` and by the weights.
    """
    cdef VectorCall call
    cdef const fl_vectors_table *table = fl_vectors_table_at(isa())
    cdef const fl_vectors_real *real = &table.f64 if wide else &table.f32
    cdef Workspace workspace
    cdef cnp.ndarray first = x[0]
    cdef Py_ssize_t blocks, size
    cdef int k, last = cnp.PyArray_NDIM(first) - 1
    call.table = real_table(wide)
    call.loss = real.contrastive if loss == "contrastive" else real.triplet if loss == "triplet" else real.cosine
    call.rows, call.whole = 1, True
    for k in range(last):
        call.rows *= cnp.PyArray_DIM(first, k)
    for k in range(3):
        set_axis_view(&call.part[k], x[k] if k < len(x) else None, last, call.table)
        set_axis_view(&call.part[3 + k], grads[k] if k < len(grads) else None, last, call.table)
        call.job.x[k], call.job.grad[k] = NULL, NULL
    for k in range(6):
        call.whole = call.whole and (call.part[k].direct or not call.part[k].given)
    call.job.D = cnp.PyArray_DIM(first, last)
    call.job.chunk = max(<Py_ssize_t>1, call.job.D if call.whole else min(call.job.D, <Py_ssize_t>FL_VECTOR_CHUNK))
    call.job.load, call.job.save = NULL, NULL
    if not call.whole:
        call.job.load, call.job.save = load_chunk, save_chunk
    call.job.with_grad, call.job.norm, call.job.squared, call.job.swap = len(grads) > 0, norm_of(p), squared, swap
    call.job.p, call.job.eps, call.job.margin, call.job.power = p, eps, margin, power
    call.has_label, call.has_weight = label is not None, weight is not None
    if call.has_label:
        make_view(&call.label, label)
    if call.has_weight:
        make_view(&call.weight, weight)
    call.scale = scale
    set_values(&call.values, values)
    call.together = max(<Py_ssize_t>1, min(<Py_ssize_t>BLOCK_ROWS, BLOCK_ELEMENTS // max(<Py_ssize_t>1, call.job.D)))
    call.together = min(call.together, call.rows)
    blocks = (call.rows + call.together - 1) // call.together
    threads = <int>max(1, min(threads, blocks))
    size = 2 * call.together * sizeof(double) + (0 if call.whole else 6 * call.job.chunk * call.table.size)
    workspace = Workspace(size, threads)
    call.scratch, call.scratch_size = workspace.base(), workspace.size
    set_spans(&call.spans)
    run_spans(vector_block, &call, &call.spans, blocks, call.together * (30 + 0.3 * len(x) * call.job.D), threads)
    return call.spans.result.sum

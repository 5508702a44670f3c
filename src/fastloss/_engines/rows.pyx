# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Softmax over a class axis: cross-entropy and its relatives, logsumexp, softmax, log-softmax, and the plain pick of NLL.

Design:
- Rows whose classes are contiguous and many are read in place, in chunks of FL_CHUNK_BYTES that stay in L1 between the search
  for the largest and the sum. Few classes, or a class axis strided over an image, go through tiles: C x P logits copied side
  by side, so that the vector runs over P rows at once.
- A row's statistics are `max`, its largest logit, and `tail_sum`, the sum over the others of e^(x - max). The loss is
  (max - x_y) + log1p(tail_sum), two terms >= 0: nothing cancels, so that a row whose label leads by 50 nats keeps all its digits.
  The gradient at such a label is -tail_sum / (1 + tail_sum) for the same reason.
- A block of rows is finished before the next begins, so that the gradient's second reading comes from the cache.
- Labels are read once into the workspace, checked there and used from there: nobody can change them in between.

Letters: N rows (samples), C classes, P positions of a tile.
"""

cimport numpy as cnp
from libc.math cimport NAN
from libc.string cimport memset

from fastloss._engines.rows_call cimport (
    BLOCK_ROWS,
    BLOCK_WORK,
    FL_FOCAL,
    FL_GENERALIZED,
    FL_CHUNK_BYTES,
    FL_PLAIN,
    FL_POLY1,
    HARD,
    LABELS,
    LABEL_ROWS,
    LOGSUMEXP,
    LOG_SOFTMAX,
    PICK,
    ROWS_FROM,
    SOFT,
    SOFTMAX,
    STRIDED_ROWS,
    STRIDED_TO,
    STRIDED_WORK,
    TILE_WORK,
    RowsCall,
    RowsWorkspace,
    finish_values,
    is_spread,
    lay_workspace,
    read_samples,
    row_loops,
    workspace_size,
)
from fastloss._engines.rows_long cimport pick_from_rows, result_chunk, rows_block, write_chunk
from fastloss._engines.rows_tiles cimport tile_block
from fastloss._kernels cimport (
    FL_BF16,
    FL_F16,
    Partial,
    Workspace,
    block_work,
    fl_gather_labels,
    fl_store_one,
    make_view,
    position_at,
    real_table,
    run_spans,
    set_axis_view,
    set_spans,
    set_values,
)

cnp.import_array()

KINDS = {
    "hard": HARD,  # cross-entropy with class indices
    "soft": SOFT,  # cross-entropy with probabilities
    "logsumexp": LOGSUMEXP,
    "softmax": SOFTMAX,
    "log_softmax": LOG_SOFTMAX,
    "pick": PICK,  # minus the entry at the label
    "labels": LABELS,  # nothing but the labels' check and the weights' sum
}

TRANSFORMS = {"plain": FL_PLAIN, "focal": FL_FOCAL, "poly1": FL_POLY1, "generalized": FL_GENERALIZED}  # csrc/rows/transform.h


# ---- labels alone: negative log-likelihood, and the weights a mean divides by ---------------------------------------

cdef void labels_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef RowsCall *call = <RowsCall *>call_
    cdef Partial *partial = &call.spans.partials[b]
    cdef Py_ssize_t start = (call.spans.base + b) * call.block, n = min(call.block, call.n - start), i
    cdef double total = 0
    cdef int bad = 0
    cdef RowsWorkspace ws
    lay_workspace(call, thread, &ws)
    if not call.has_sample_weight and call.class_weight == NULL:
        fl_gather_labels(&call.labels, start, n, ws.label)
        partial.weight = n - call.loops.count_ignored(
            n, ws.label, call.classes, call.has_ignore, call.ignore, &bad
        )
        if not bad:
            return
    read_samples(call, &ws, start, n, &partial.bad)
    for i in range(n):
        total += max(ws.weight[i], 0.0)
    partial.weight = total


cdef void pick_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef RowsCall *call = <RowsCall *>call_
    cdef Partial *partial = &call.spans.partials[b]
    cdef Py_ssize_t start = (call.spans.base + b) * call.block, n = min(call.block, call.n - start), i, first, m
    cdef RowsWorkspace ws
    cdef char *out
    cdef char *row
    lay_workspace(call, thread, &ws)
    read_samples(call, &ws, start, n, &partial.bad)
    pick_from_rows(call, &ws, start, n)
    finish_values(call, &ws, partial, start, n)
    if not call.grad.given:
        return
    for i in range(n):
        row, first = position_at(&call.grad, start + i), 0
        while first < call.classes:
            m = min(call.chunk, call.classes - first)
            out = result_chunk(call, &call.grad, row, first, ws.e)
            memset(out, 0, m * call.size)
            write_chunk(call, &call.grad, row, first, m, out)
            first += m
        if ws.label[i] >= 0:
            fl_store_one(
                row + ws.label[i] * call.grad.step, call.grad.rows.type,
                -call.scale * ws.weight[i] if ws.label_logit[i] == ws.label_logit[i] else NAN,
            )


# ---- entry point ----------------------------------------------------------------------------------------------------

cdef int set_samples(RowsCall *call, cnp.ndarray labels, cnp.ndarray sample_weight, ignore_index) except -1:
    call.has_labels, call.has_sample_weight = labels is not None, sample_weight is not None
    if call.has_labels:
        make_view(&call.labels, labels)
    if call.has_sample_weight:
        make_view(&call.sample_weight, sample_weight)
    call.has_ignore = ignore_index is not None
    call.ignore = ignore_index if call.has_ignore else 0
    return 0


cdef int set_class_weight(RowsCall *call, cnp.ndarray weight, cnp.ndarray real) except -1:
    call.class_weight = <const double *>cnp.PyArray_DATA(weight) if weight is not None else NULL
    call.class_weight_real = cnp.PyArray_DATA(real) if real is not None else NULL
    return 0


cdef Py_ssize_t rows_of_block(const RowsCall *call, bint side_by_side) noexcept:
    """How many rows a block has: it depends on the shape alone. side_by_side: a row's classes are."""
    cdef Py_ssize_t lanes = call.table.lanes
    if call.kind == PICK or call.kind == LABELS:
        return LABEL_ROWS
    if not call.tiled:
        return max(<Py_ssize_t>1, min(<Py_ssize_t>BLOCK_ROWS, BLOCK_WORK // call.classes))
    if side_by_side:
        return max(lanes, min(<Py_ssize_t>BLOCK_ROWS, TILE_WORK // call.classes // lanes * lanes))
    return max(lanes, min(<Py_ssize_t>STRIDED_ROWS, STRIDED_WORK // call.classes // lanes * lanes))


cdef int set_blocks(RowsCall *call, cnp.ndarray x) except -1:
    """Pieces of rows, blocks of them, and whether they go through tiles."""
    cdef bint side_by_side = call.x.step == cnp.PyArray_ITEMSIZE(x)
    cdef bint row_by_row = call.kind == PICK or call.kind == LABELS or (call.transform != FL_PLAIN and is_spread(call))
    call.chunk = FL_CHUNK_BYTES // call.size
    call.chunks = (call.classes + call.chunk - 1) // call.chunk
    call.kept_stride = (call.classes * call.size + 63) // 64 * 64
    call.tiled = not row_by_row and (
        call.classes < ROWS_FROM or (not side_by_side and call.classes <= STRIDED_TO)
    )
    call.block = rows_of_block(call, side_by_side)
    return 0


cdef block_work work_of(const RowsCall *call) noexcept:
    if call.kind == PICK:
        return pick_block
    if call.kind == LABELS:
        return labels_block
    return tile_block if call.tiled else rows_block


def rows(
    int kind, cnp.ndarray x, int axis, *, cnp.ndarray target=None, cnp.ndarray class_weight=None, ignore_index=None,
    double smoothing=0.0, cnp.ndarray sample_weight=None, bint wide=False, double scale=1.0, cnp.ndarray values=None,
    cnp.ndarray weights=None, cnp.ndarray grad=None, cnp.ndarray hess=None, int transform=FL_PLAIN, double parameter=0.0,
    bint divergence=False, bint log_target=False, double temperature=1.0, int threads=1,
):
    """Run one of KINDS over the rows of `x` along `axis`.

    target: labels of x's shape without the axis ("hard", "pick"), or probabilities of x's shape ("soft"). class_weight: float64.
    values, weights: C-contiguous, one per row (values float32 or float64, weights float64). grad and hess have x's shape;
    "softmax" and "log_softmax" put their result in grad. `wide` computes in float64.
    transform, parameter: the loss is this function of the row's cross-entropy. divergence, log_target, temperature ("soft"): the
    targets' entropy is taken off, they are given as logarithms, logits are divided first (derivatives are of the quotient).

    Returns (sum of weighted losses, sum of weights, first row with a bad label or -1, extremes of the probabilities).
    """
    cdef RowsCall call
    cdef Partial *result = &call.spans.result
    cdef Workspace workspace
    cdef Py_ssize_t blocks
    cdef double cost
    call.table, call.loops, call.stop = real_table(wide), row_loops(wide), False
    call.kind, call.size, call.scale, call.smoothing = kind, call.table.size, scale, smoothing
    call.transform, call.parameter, call.temperature = transform, parameter, temperature
    call.divergence, call.log_target = divergence, log_target
    call.classes = cnp.PyArray_DIM(x, axis)
    call.n = cnp.PyArray_SIZE(x) // call.classes
    set_axis_view(&call.x, x, axis, call.table)
    call.halves = (call.x.rows.type == FL_F16 or call.x.rows.type == FL_BF16) and call.x.step == 2
    set_axis_view(&call.t, target if kind == SOFT else None, axis, call.table)
    set_axis_view(&call.grad, grad, axis, call.table)
    set_axis_view(&call.hess, hess, axis, call.table)
    set_samples(&call, target if kind == HARD or kind == PICK or kind == LABELS else None, sample_weight, ignore_index)
    real_weight = class_weight if wide or class_weight is None else class_weight.astype("float32")
    set_class_weight(&call, class_weight, real_weight)
    set_values(&call.values, values)
    call.weights = <double *>cnp.PyArray_DATA(weights) if weights is not None else NULL
    set_blocks(&call, x)
    blocks = (call.n + call.block - 1) // call.block
    cost = call.block * (3.0 if kind == LABELS or (kind == PICK and grad is None) else 10.0 + 0.6 * call.classes)
    threads = <int>max(1, min(threads, blocks))
    workspace = Workspace(workspace_size(&call), threads)
    call.scratch, call.scratch_size = workspace.base(), workspace.size
    set_spans(&call.spans)
    run_spans(work_of(&call), &call, &call.spans, blocks, cost, threads)
    return result.sum, result.weight, result.bad, result.low[0], result.high[0]

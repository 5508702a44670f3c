# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Losses of pairs of boxes: intersection over union and its relatives.

Design:
- A block of pairs is read from any type and layout as corners (x1, y1, x2, y2), a plane of doubles for each coordinate; the
  loop of csrc/boxes/iou.h computes all in double.
- Gradients are with respect to the corners; they become those of the caller's format, times scale and weight, on the way out.
"""

cimport numpy as cnp

from fastloss._kernels cimport (
    FL_F64,
    Partial,
    Spans,
    Values,
    Workspace,
    fl_real_table,
    fl_view,
    isa,
    make_view,
    real_table,
    run_spans,
    set_spans,
    set_values,
    store_value,
)

cnp.import_array()

cdef extern from "boxes/boxes.h" nogil:
    enum:
        FL_IOU, FL_GIOU, FL_DIOU, FL_CIOU

    ctypedef struct fl_box_pairs:
        Py_ssize_t P
        const double *box
        const double *target
        int kind
        double eps
        double *value
        double *grad

    ctypedef struct fl_boxes_table:
        void (*pairs)(const fl_box_pairs *) noexcept nogil

    const fl_boxes_table *fl_boxes_table_at(const char *level)

cdef enum:
    BLOCK = 512  # pairs
    CORNERS, CORNER_AND_SIZE, CENTRE_AND_SIZE

BOXES = {"iou": FL_IOU, "giou": FL_GIOU, "diou": FL_DIOU, "ciou": FL_CIOU}
FORMATS = {"xyxy": CORNERS, "xywh": CORNER_AND_SIZE, "cxcywh": CENTRE_AND_SIZE}

cdef struct BoxCall:
    Spans spans
    fl_box_pairs job
    int form
    bint strict
    fl_view box, target, weight, grad
    Py_ssize_t box_step, target_step, grad_step  # from one coordinate to the next
    bint has_weight, has_grad
    const fl_real_table *table  # of the gradient
    Py_ssize_t n
    double scale
    Values values
    char *scratch
    Py_ssize_t scratch_size


cdef void read_boxes(
    const BoxCall *call, const fl_view *view, Py_ssize_t step, Py_ssize_t start, Py_ssize_t n, Py_ssize_t which, double *at,
    Py_ssize_t *bad,
) noexcept nogil:
    """Coordinates of the corners, a plane each. bad: the first box without area, as 2 x position + which."""
    cdef fl_view coordinate = view[0]
    cdef Py_ssize_t i, k
    cdef double *low
    cdef double *high
    for k in range(4):
        coordinate.data = view.data + k * step
        real_table(True).gather(&coordinate, start, n, at + k * n)
    for k in range(2):
        low, high = at + k * n, at + (k + 2) * n
        for i in range(n):
            if call.strict and ((high[i] <= low[i]) if call.form == CORNERS else (high[i] <= 0)):
                if bad[0] < 0 or bad[0] > 2 * (start + i) + which:
                    bad[0] = 2 * (start + i) + which
            if call.form == CENTRE_AND_SIZE:
                low[i] -= high[i] / 2
            if call.form != CORNERS:
                high[i] += low[i]


cdef void convert_gradients(const BoxCall *call, double *grad, Py_ssize_t n) noexcept nogil:
    """From gradients with respect to the corners to those with respect to what the caller gave."""
    cdef Py_ssize_t i, k
    cdef double low, high
    for k in range(2):
        for i in range(n):
            low, high = grad[k * n + i], grad[(k + 2) * n + i]
            grad[k * n + i] = low + high
            grad[(k + 2) * n + i] = high if call.form == CORNER_AND_SIZE else (high - low) / 2


cdef void boxes_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef const BoxCall *call = <const BoxCall *>call_
    cdef Partial *partial = &call.spans.partials[b]
    cdef Py_ssize_t start = (call.spans.base + b) * BLOCK, n = min(<Py_ssize_t>BLOCK, call.n - start), i, k
    cdef double *at = <double *>(call.scratch + thread * call.scratch_size)
    cdef double *weight = at + 13 * BLOCK
    cdef fl_box_pairs job = call.job
    cdef fl_view coordinate
    cdef double value
    job.P, job.box, job.target, job.value = n, at, at + 4 * BLOCK, at + 12 * BLOCK
    job.grad = at + 8 * BLOCK if call.has_grad else NULL
    read_boxes(call, &call.box, call.box_step, start, n, 0, at, &partial.bad)
    read_boxes(call, &call.target, call.target_step, start, n, 1, at + 4 * BLOCK, &partial.bad)
    if call.has_weight:
        real_table(True).gather(&call.weight, start, n, weight)
    fl_boxes_table_at(isa()).pairs(&job)
    for i in range(n):
        value = job.value[i] * weight[i] if call.has_weight else job.value[i]
        partial.sum += value
        store_value(&call.values, start + i, value)
    if not call.has_grad:
        return
    if call.form != CORNERS:
        convert_gradients(call, job.grad, n)
    for k in range(4):
        for i in range(n):
            value = job.grad[k * n + i] * call.scale
            if call.has_weight:
                value *= weight[i]
            if call.table.size == 8:
                at[i] = value  # the boxes have done their duty
            else:
                (<float *>at)[i] = <float>value
        coordinate = call.grad
        coordinate.data = call.grad.data + k * call.grad_step
        call.table.scatter(&coordinate, start, n, at)


def boxes(
    int kind, cnp.ndarray box, cnp.ndarray target, *, int form, double eps, cnp.ndarray weight=None, double scale=1.0,
    cnp.ndarray values=None, cnp.ndarray grad=None, int threads=1,
):
    """Run one of BOXES over pairs of boxes: four numbers of one of FORMATS along the last axis; not empty. eps 0: boxes must have
    an area. values: C-contiguous, float32 or float64.

    Returns (sum of weighted losses, first pair with a box without area or -1, whether that is the target's).
    """
    cdef BoxCall call
    cdef Workspace workspace
    cdef int last = cnp.PyArray_NDIM(box) - 1
    cdef Py_ssize_t blocks, bad
    call.job.kind, call.job.eps, call.form, call.strict = kind, eps, form, eps == 0
    call.n = cnp.PyArray_SIZE(box) // 4
    make_view(&call.box, box, last)
    make_view(&call.target, target, last)
    call.box_step, call.target_step = cnp.PyArray_STRIDE(box, last), cnp.PyArray_STRIDE(target, last)
    call.has_weight, call.has_grad = weight is not None, grad is not None
    if call.has_weight:
        make_view(&call.weight, weight)
    call.table = real_table(True)
    if call.has_grad:
        make_view(&call.grad, grad, last)
        call.grad_step = cnp.PyArray_STRIDE(grad, last)
        call.table = real_table(call.grad.type == FL_F64)
    call.scale = scale
    set_values(&call.values, values)
    blocks = (call.n + BLOCK - 1) // BLOCK
    threads = <int>max(1, min(threads, blocks))
    workspace = Workspace(14 * BLOCK * 8, threads)
    call.scratch, call.scratch_size = workspace.base(), workspace.size
    set_spans(&call.spans)
    run_spans(boxes_block, &call, &call.spans, blocks, 30.0 * BLOCK, threads)
    bad = call.spans.result.bad
    return call.spans.result.sum, bad // 2 if bad >= 0 else -1, bad % 2 == 1

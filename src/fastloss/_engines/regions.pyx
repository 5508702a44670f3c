# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Overlaps of regions: predictions and targets are multiplied and added up over the positions of an image or volume, class by
class; losses are functions of these sums. And losses of pairs of boxes.

Design:
- An item's positions are cut in blocks, and a block is C planes of P positions with the vector along the positions: that is how
  images lie in memory (N, C, H, W), whose planes are read in place. Class-last and other layouts go through a tile.
- Two passes: the sums; then, their slopes known, the gradient, in which each entry is a function of its own position alone. Both
  compute the activation again: cheaper than memory of the volume's size.
- Integer label maps are turned into numbers block by block, where they are checked; nothing is indexed by a label.
- Sums of a block are in double; blocks depend on the shape alone and are added in order, compensated. Counts are exact to 2^53.
- Lovasz's extension has to sort: all errors are kept, one number for each entry, and sorted class by class.

Letters: N items, C classes, P positions of a block, G groups (items, or 1 if pooled).
"""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastloss._kernels cimport (
    FL_F64,
    AxisView,
    Partial,
    RunningSum,
    Spans,
    Values,
    Workspace,
    block_work,
    fl_real_table,
    fl_view,
    fl_view_at,
    interrupted,
    isa,
    make_view,
    position_at,
    read_tile,
    real_table,
    run_blocks,
    run_spans,
    set_axis_view,
    set_spans,
    set_values,
    store_value,
    sum_of,
    write_tile,
)

cnp.import_array()

cdef extern from "regions/regions.h" nogil:
    enum:
        FL_TP, FL_FP, FL_FN, FL_VOLUME, FL_ENTROPY, FL_COUNTED, FL_REGION_SUMS
        FL_REGION_SLOPES
        FL_INDEX, FL_MASKS, FL_SOFT, FL_GIVEN
        FL_NO_ENTROPY, FL_BINARY_ENTROPY, FL_SOFTMAX_ENTROPY
        FL_COUNT_BYTES, FL_REGION_WORK
        FL_IOU, FL_GIOU, FL_DIOU, FL_CIOU

    ctypedef struct fl_region:
        Py_ssize_t C
        Py_ssize_t P
        const char *x
        Py_ssize_t step
        const char *p
        Py_ssize_t p_step
        const void *rest
        const void *top
        const void *spread
        const char *t
        Py_ssize_t t_step
        int target
        int squared
        int entropy
        const void *slopes
        char *grad
        Py_ssize_t grad_step

    ctypedef struct fl_lovasz:
        Py_ssize_t n
        void *error
        void *from_ "from"
        void *to
        uint32_t *count
        int slopes
        int pass_ "pass"
        Py_ssize_t counted
        Py_ssize_t own
        double value

    ctypedef struct fl_region_real:
        Py_ssize_t (*labels)(int, const char *, Py_ssize_t, Py_ssize_t, int64_t, int, int64_t, void *,
                             Py_ssize_t *) noexcept nogil
        void (*softmax)(Py_ssize_t, Py_ssize_t, const char *, Py_ssize_t, void *, void *, void *, void *) noexcept nogil
        void (*sigmoid)(Py_ssize_t, const void *, void *, void *) noexcept nogil
        void (*hide)(Py_ssize_t, const void *, void *) noexcept nogil
        void (*tally)(const fl_region *, Py_ssize_t, double *) noexcept nogil
        void (*slope)(const fl_region *, Py_ssize_t) noexcept nogil
        void (*softmax_slopes)(const fl_region *) noexcept nogil
        int (*softmax_sums)(const fl_region *, int, void *, double *) noexcept nogil
        void (*softmax_grad)(const fl_region *, int, void *) noexcept nogil
        void (*sigmoid_sums)(const fl_region *, Py_ssize_t, int, double *) noexcept nogil
        void (*sigmoid_grad)(const fl_region *, Py_ssize_t, int) noexcept nogil
        void (*errors)(Py_ssize_t, const void *, const void *, const void *, double, void *) noexcept nogil
        void (*lovasz_begin)(fl_lovasz *) noexcept nogil
        void (*lovasz_read)(fl_lovasz *, Py_ssize_t, Py_ssize_t) noexcept nogil
        int (*lovasz_turn)(fl_lovasz *) noexcept nogil
        void (*lovasz_move)(fl_lovasz *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*lovasz_add)(fl_lovasz *, Py_ssize_t, Py_ssize_t) noexcept nogil
        int passes
        Py_ssize_t key_bytes
        Py_ssize_t pair_bytes
        Py_ssize_t register_bytes
        Py_ssize_t block

    ctypedef struct fl_box_pairs:
        Py_ssize_t P
        const double *box
        const double *target
        int kind
        double eps
        double *value
        double *grad

    ctypedef struct fl_regions_table:
        fl_region_real f32
        fl_region_real f64
        void (*boxes)(const fl_box_pairs *) noexcept nogil

    const fl_regions_table *fl_regions_table_at(const char *level)

TP, FP, FN, VOLUME, ENTROPY, COUNTED, SUMS = FL_TP, FL_FP, FL_FN, FL_VOLUME, FL_ENTROPY, FL_COUNTED, FL_REGION_SUMS
SLOPES = FL_REGION_SLOPES
TARGETS = {"index": FL_INDEX, "masks": FL_MASKS, "soft": FL_SOFT}
BOXES = {"iou": FL_IOU, "giou": FL_GIOU, "diou": FL_DIOU, "ciou": FL_CIOU}

cdef enum:
    NO_ACTIVATION, SIGMOID, SOFTMAX
    BLOCK_WORK = 8192  # entries of a block
    BLOCK_POSITIONS = 4096  # positions of a block at the most
    FUSED_CLASSES = 4096  # to the power of 8 it is still a float
    SORTED = 2097152  # elements that are read, moved or added until a long sort looks for Ctrl-C: about 15 ms
    BOX_BLOCK = 512
    CORNERS, CORNER_AND_SIZE, CENTRE_AND_SIZE

ACTIVATIONS = {None: NO_ACTIVATION, "sigmoid": SIGMOID, "softmax": SOFTMAX}


cdef const fl_regions_table *regions_table() noexcept nogil:
    return fl_regions_table_at(isa())


# ---- planes ---------------------------------------------------------------------------------------------------------

cdef struct Block:
    Py_ssize_t item, start, n, P  # first position (of all items in a row), how many there are, and with padding
    Py_ssize_t place  # of the first position within its group


cdef inline bint are_planes(const AxisView *view, Py_ssize_t positions) noexcept nogil:
    """Whether the positions of each item and class are contiguous numbers of the computation type."""
    return view.planar and view.rows.shape[view.rows.ndim - 1] % positions == 0


cdef const char *read_planes(
    const fl_real_table *table, const AxisView *view, Py_ssize_t positions, Py_ssize_t classes, const Block *block, char *tile,
    Py_ssize_t *step,
) noexcept nogil:
    """Where classes x P entries are, and how far it is from class to class: in place, or copied, with zeros past n."""
    if are_planes(view, positions) and block.n == block.P:
        step[0] = view.step
        return position_at(view, block.start)
    step[0] = block.P * table.size
    read_tile(table, view, classes, block.start, block.n, block.P, tile)
    return tile


# ---- one call -------------------------------------------------------------------------------------------------------

cdef struct RegionCall:
    Spans spans  # of each block C x FL_REGION_SUMS sums, which are added group by group
    const fl_real_table *table
    const fl_region_real *loops
    fl_region job  # the template of every block's job
    AxisView x, t, grad
    int activation
    Py_ssize_t items, positions, block, chunks
    int64_t label_count, ignore
    bint has_ignore, pooled
    bint fused  # the usual case: labels, and nothing special about the sums
    const char *slopes  # of each group and class
    char *given  # each group's and class's slopes with respect to p; where errors go if `slopes` is NULL
    char *scratch
    Py_ssize_t scratch_size

cdef struct RegionWorkspace:
    # one thread's workspace, in planes of `block` numbers of the computation type
    char *x  # C: what cannot be read in place
    char *p  # C
    char *t  # C
    char *grad  # C
    char *rest
    char *top
    char *spread
    char *work
    Py_ssize_t *hidden  # C, or 1: how many entries are

cdef Py_ssize_t lay_workspace(const RegionCall *call, char *at, RegionWorkspace *ws) noexcept nogil:
    """Carve the workspace at `at`; return its size."""
    cdef Py_ssize_t plane = call.block * call.table.size, planes = call.job.C * plane, work
    ws.x, ws.p, ws.t, ws.grad = at, at + planes, at + 2 * planes, at + 3 * planes
    at += (4 if call.grad.given else 3) * planes
    ws.rest, ws.top, ws.spread, ws.work = at, at + plane, at + 2 * plane, at + 3 * plane
    work = FL_REGION_WORK * call.loops.register_bytes * call.job.C
    ws.hidden = <Py_ssize_t *>(ws.work + work)
    return (4 if call.grad.given else 3) * planes + 3 * plane + work + call.job.C * sizeof(Py_ssize_t)


cdef Block block_at(const RegionCall *call, Py_ssize_t b) noexcept nogil:
    cdef Block block
    cdef Py_ssize_t first = b % call.chunks * call.block, unit = call.loops.block
    block.item = b // call.chunks
    block.start = block.item * call.positions + first
    block.n = min(call.block, call.positions - first)
    block.P = (block.n + unit - 1) // unit * unit
    block.place = block.start if call.pooled else first
    return block


cdef Py_ssize_t read_labels(
    const RegionCall *call, const fl_view *view, const Block *block, char *label, Py_ssize_t *bad
) noexcept nogil:
    """One plane of labels, -1 where hidden; how many of the block's own are. bad: the first out of range, if there was none."""
    cdef Py_ssize_t i = 0, run, first, hidden = 0, last = view.shape[view.ndim - 1], size = call.table.size
    cdef char *at
    while i < block.n:
        run = min(block.n - i, last - (block.start + i) % last)
        at = fl_view_at(view, block.start + i)
        hidden += call.loops.labels(
            view.type, at, view.stride[view.ndim - 1], run, call.label_count, call.has_ignore, call.ignore, label + i * size,
            &first,
        )
        if first >= 0 and bad[0] < 0:
            bad[0] = block.start + i + first
        i += run
    for i in range(block.n, block.P):
        if size == 8:
            (<double *>label)[i] = -1
        else:
            (<float *>label)[i] = -1
    return hidden


cdef void read_targets(
    const RegionCall *call, const Block *block, fl_region *job, RegionWorkspace *ws, Py_ssize_t *bad
) noexcept nogil:
    """The targets of a block. bad: position x C + class of the first label that is out of range; class 0 if there is one map."""
    cdef fl_view view
    cdef Py_ssize_t c, plane = block.P * call.table.size, first = -1
    job.t, job.t_step = ws.t, plane
    ws.hidden[0] = 0
    if job.target == FL_INDEX:
        job.t_step = 0
        ws.hidden[0] = read_labels(call, &call.t.rows, block, ws.t, &first)
        bad[0] = first * job.C if first >= 0 else -1
    elif job.target == FL_MASKS:
        view = call.t.rows
        for c in range(job.C):
            view.data = call.t.rows.data + c * call.t.step
            ws.hidden[c] = read_labels(call, &view, block, ws.t + c * plane, &first)
            if first >= 0 and bad[0] < 0:
                bad[0] = first * job.C + c
    elif job.target == FL_SOFT:
        job.t = read_planes(call.table, &call.t, call.positions, job.C, block, ws.t, &job.t_step)
    else:
        job.t_step = call.positions * (call.items if call.pooled else 1) * call.table.size
        job.t = call.given + (0 if call.pooled else block.item) * job.C * job.t_step + block.place * call.table.size
        if block.n < block.P:
            for c in range(job.C):
                memset(ws.t + c * plane, 0, plane)
                memcpy(ws.t + c * plane, job.t + c * job.t_step, block.n * call.table.size)
            job.t, job.t_step = ws.t, plane


cdef void set_logits(const RegionCall *call, const Block *block, fl_region *job, RegionWorkspace *ws) noexcept nogil:
    job.P = block.P
    job.x = read_planes(call.table, &call.x, call.positions, job.C, block, ws.x, &job.step)


cdef void set_softmax(const RegionCall *call, const Block *block, fl_region *job, RegionWorkspace *ws) noexcept nogil:
    """The probabilities of a block, where they are softmax's."""
    cdef Py_ssize_t c, plane = block.P * call.table.size, tail = block.n * call.table.size
    if call.activation == SOFTMAX:
        job.p, job.p_step, job.rest, job.top, job.spread = ws.p, plane, ws.rest, ws.top, ws.spread
        call.loops.softmax(
            job.C, job.P, job.x, job.step, ws.p, ws.rest, ws.top if job.entropy else NULL, ws.spread
        )
        if block.n < block.P:
            for c in range(job.C):
                memset(ws.p + c * plane + tail, 0, plane - tail)


cdef void set_class(
    const RegionCall *call, const Block *block, fl_region *job, RegionWorkspace *ws, Py_ssize_t c, Py_ssize_t hidden
) noexcept nogil:
    """The probabilities of one class, where they are not softmax's; 0 where hidden."""
    cdef Py_ssize_t plane = block.P * call.table.size, tail = block.n * call.table.size
    if call.activation == SIGMOID:
        job.p, job.p_step, job.rest = ws.p, 0, ws.rest
        call.loops.sigmoid(block.P, job.x + c * job.step, ws.p, ws.rest)
        memset(ws.p + tail, 0, plane - tail)
    elif call.activation == NO_ACTIVATION:
        job.p, job.p_step, job.rest = job.x, job.step, NULL
        if hidden:
            memcpy(ws.p, job.x + c * job.step, plane)
            job.p, job.p_step = ws.p, 0
    if hidden:
        call.loops.hide(block.P, job.t + c * job.t_step, <void *>(job.p + c * job.p_step))


cdef void sums_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef const RegionCall *call = <const RegionCall *>call_
    cdef Block block = block_at(call, call.spans.base + b)
    cdef fl_region job = call.job
    cdef RegionWorkspace ws
    cdef Partial *partial = &call.spans.partials[b]
    cdef Py_ssize_t c, here
    cdef double *sums = call.spans.sums + b * call.spans.width
    cdef bint fused = call.fused
    lay_workspace(call, call.scratch + thread * call.scratch_size, &ws)
    read_targets(call, &block, &job, &ws, &partial.bad)
    set_logits(call, &block, &job, &ws)
    if fused and call.activation == SOFTMAX:
        fused = call.loops.softmax_sums(&job, ws.hidden[0] > 0 or block.n < block.P, ws.work, sums)
        partial.flag = not fused
    if not fused:
        memset(sums, 0, job.C * FL_REGION_SUMS * sizeof(double))
        set_softmax(call, &block, &job, &ws)
    for c in range(job.C):
        here = ws.hidden[c if job.target == FL_MASKS else 0]
        if not fused:
            set_class(call, &block, &job, &ws, c, here)
            call.loops.tally(&job, c, sums + c * FL_REGION_SUMS)
        elif call.activation == SIGMOID:
            call.loops.sigmoid_sums(&job, c, here > 0 or block.n < block.P, sums + c * FL_REGION_SUMS)
        sums[c * FL_REGION_SUMS + FL_COUNTED] = <double>(block.n - here)
        if call.activation == NO_ACTIVATION:
            call.table.extremes(block.n, job.p + c * job.p_step, &partial.low[0], &partial.high[0])
        if job.target == FL_SOFT:
            call.table.extremes(block.n, job.t + c * job.t_step, &partial.low[1], &partial.high[1])


cdef void slopes_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef const RegionCall *call = <const RegionCall *>call_
    cdef Block block = block_at(call, b)
    cdef fl_region job = call.job
    cdef RegionWorkspace ws
    cdef Py_ssize_t c, here, bad = -1
    cdef bint direct = are_planes(&call.grad, call.positions) and block.n == block.P
    lay_workspace(call, call.scratch + thread * call.scratch_size, &ws)
    job.slopes = call.slopes + (0 if call.pooled else block.item) * job.C * FL_REGION_SLOPES * call.table.size
    job.grad, job.grad_step = ws.grad, block.P * call.table.size
    if direct:
        job.grad, job.grad_step = position_at(&call.grad, block.start), call.grad.step
    read_targets(call, &block, &job, &ws, &bad)
    set_logits(call, &block, &job, &ws)
    if call.fused and call.activation == SOFTMAX:
        call.loops.softmax_grad(&job, ws.hidden[0] > 0 or block.n < block.P, ws.work)
    elif call.fused:
        for c in range(job.C):
            here = ws.hidden[c if job.target == FL_MASKS else 0]
            call.loops.sigmoid_grad(&job, c, here > 0 or block.n < block.P)
    else:
        set_softmax(call, &block, &job, &ws)
        for c in range(job.C):
            here = ws.hidden[c if job.target == FL_MASKS else 0]
            set_class(call, &block, &job, &ws, c, here)
            if call.activation != SOFTMAX:
                call.loops.slope(&job, c)
        if call.activation == SOFTMAX:
            call.loops.softmax_slopes(&job)
    if not direct:
        write_tile(call.table, &call.grad, job.C, block.start, block.n, block.P, ws.grad)


cdef void errors_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    """|t - p| of every entry, for Lovasz's extension."""
    cdef const RegionCall *call = <const RegionCall *>call_
    cdef Block block = block_at(call, call.spans.base + b)
    cdef fl_region job = call.job
    cdef RegionWorkspace ws
    cdef Partial *partial = &call.spans.partials[b]
    cdef Py_ssize_t c, here, size = call.table.size
    cdef Py_ssize_t n = call.positions * (call.items if call.pooled else 1)
    cdef char *error
    cdef char *to
    lay_workspace(call, call.scratch + thread * call.scratch_size, &ws)
    read_targets(call, &block, &job, &ws, &partial.bad)
    set_logits(call, &block, &job, &ws)
    set_softmax(call, &block, &job, &ws)
    for c in range(job.C):
        here = ws.hidden[c if job.target == FL_MASKS else 0]
        set_class(call, &block, &job, &ws, c, here)
        if call.activation == NO_ACTIVATION:
            call.table.extremes(block.n, job.p + c * job.p_step, &partial.low[0], &partial.high[0])
        error = call.given + (((0 if call.pooled else block.item) * job.C + c) * n + block.place) * size
        to = error if block.n == block.P else ws.top
        call.loops.errors(
            block.P, job.p + c * job.p_step, job.rest, job.t + c * job.t_step,
            <double>c if job.target == FL_INDEX else 1.0, to,
        )
        if to != error:
            memcpy(error, to, block.n * size)


cdef int set_call(
    RegionCall *call, cnp.ndarray x, int axis, cnp.ndarray target, int kind, activation, bint squared, int entropy, bint pooled,
    ignore_index, bint wide, cnp.ndarray grad,
) except -1:
    cdef int items = 0 if axis != 0 else 1
    cdef Py_ssize_t unit
    call.table = real_table(wide)
    call.loops = &regions_table().f64 if wide else &regions_table().f32
    call.job.C = cnp.PyArray_DIM(x, axis) if axis >= 0 else 1
    call.items = cnp.PyArray_DIM(x, items)
    call.positions = cnp.PyArray_SIZE(x) // (call.job.C * call.items)
    set_axis_view(&call.x, x, axis, call.table)
    set_axis_view(&call.grad, grad, axis, call.table)
    set_axis_view(&call.t, target, axis if kind != FL_INDEX else -1, call.table)
    call.job.target, call.job.squared, call.job.entropy = kind, squared, entropy
    call.activation = ACTIVATIONS[activation]
    call.has_ignore = ignore_index is not None
    call.ignore = ignore_index if call.has_ignore else 0
    call.label_count = call.job.C if kind == FL_INDEX and axis >= 0 else 2
    call.pooled = pooled
    call.fused = (
        (kind == FL_INDEX and call.activation == SOFTMAX and call.job.C <= FUSED_CLASSES)
        or (kind != FL_SOFT and call.activation == SIGMOID)
    ) and not squared
    unit = call.loops.block
    call.block = max(unit, min(<Py_ssize_t>BLOCK_POSITIONS, BLOCK_WORK // call.job.C) // unit * unit)
    call.block = min(call.block, (call.positions + unit - 1) // unit * unit)
    call.chunks = (call.positions + call.block - 1) // call.block
    call.given, call.slopes = NULL, NULL
    return 0


cdef tuple found(const RegionCall *call):
    """What the blocks of a call have found beside their sums."""
    cdef const Partial *result = &call.spans.result
    cdef Py_ssize_t position = result.bad // call.job.C if result.bad >= 0 else -1
    cdef Py_ssize_t of_class = result.bad % call.job.C if result.bad >= 0 and call.job.target == FL_MASKS else -1
    return position, of_class, result.low[0], result.high[0], result.low[1], result.high[1]


cdef int run_regions(block_work work, RegionCall *call, Py_ssize_t width, RunningSum *totals, int threads) except -1:
    """Run all blocks; add the sums that each leaves, `width` of them, to the totals of its group."""
    cdef RegionWorkspace ws
    cdef Py_ssize_t blocks = call.items * call.chunks
    cdef Workspace workspace
    threads = <int>max(1, min(threads, blocks))
    workspace = Workspace(lay_workspace(call, NULL, &ws), threads)
    call.scratch, call.scratch_size = workspace.base(), workspace.size
    set_spans(&call.spans, width, blocks if call.pooled else call.chunks, totals)
    return run_spans(work, call, &call.spans, blocks, 200.0 + 0.7 * call.block * call.job.C, threads)


def sums(
    cnp.ndarray x, int axis, cnp.ndarray target, int kind, activation, *, bint squared=False, bint entropy=False,
    bint by_class=False, bint pooled=False, ignore_index=None, bint wide=False, int threads=1,
):
    """What predictions and targets add up to, for each group (item, or all if pooled) and class.

    x: not empty; `axis` that of the classes, or -1; items along the first of the other axes, positions along the rest.
    target: labels in x's shape without the axis (`kind` FL_INDEX), or in x's shape masks of integers 0 and 1 (FL_MASKS) or
    probabilities (FL_SOFT). entropy: cross-entropy too; softmax's of each label's positions if `by_class`, else only their
    sum is meant. `wide`: through float64.

    Returns (float64 array of shape (groups, classes, SUMS); what `slopes` wants as `plain`; then position (in C order) and
    class of the first label that is out of range, or -1; the extremes of the probabilities where there is no activation, and
    of soft targets).
    """
    cdef RegionCall call
    cdef Py_ssize_t k, groups, entries
    cdef RunningSum *totals
    cdef double *out
    set_call(
        &call, x, axis, target, kind, activation, squared,
        (FL_SOFTMAX_ENTROPY if activation == "softmax" else FL_BINARY_ENTROPY) if entropy else FL_NO_ENTROPY, pooled,
        ignore_index, wide, None,
    )
    call.fused = call.fused and not (by_class and call.activation == SOFTMAX)
    groups = 1 if pooled else call.items
    entries = groups * call.job.C * FL_REGION_SUMS
    result = np.empty((groups, call.job.C, FL_REGION_SUMS))
    out = <double *>cnp.PyArray_DATA(result)
    totals = <RunningSum *>calloc(entries, sizeof(RunningSum))
    if totals == NULL:
        raise MemoryError()
    try:
        run_regions(sums_block, &call, call.job.C * FL_REGION_SUMS, totals, threads)
        for k in range(entries):
            out[k] = sum_of(&totals[k])
    finally:
        free(totals)
    return result, bool(call.spans.result.flag), *found(&call)


def slopes(
    cnp.ndarray x, int axis, cnp.ndarray target, int kind, activation, cnp.ndarray coefficients, cnp.ndarray grad, *,
    bint plain=False, bint squared=False, bint entropy=False, bint pooled=False, ignore_index=None, bint wide=False,
    cnp.ndarray given=None, int threads=1,
):
    """Write the gradient: coefficients, of shape (groups, classes, SLOPES) and the computation type, contiguous, are the
    loss's slopes with respect to the sums; plain: what `sums` said of these logits. Or `given`, as `lovasz` returns it:
    slopes with respect to each p, which the first coefficient multiplies.
    """
    cdef RegionCall call
    set_call(
        &call, x, axis, target, kind, activation, squared,
        (FL_SOFTMAX_ENTROPY if activation == "softmax" else FL_BINARY_ENTROPY) if entropy else FL_NO_ENTROPY, pooled,
        ignore_index, wide, grad,
    )
    call.slopes = <const char *>cnp.PyArray_DATA(coefficients)
    call.fused = call.fused and not plain
    if given is not None:
        call.job.target, call.fused = FL_GIVEN, False
        call.given = <char *>cnp.PyArray_DATA(given)
    run_slopes(&call, threads)


cdef int run_slopes(RegionCall *call, int threads) except -1:
    cdef RegionWorkspace ws
    cdef Py_ssize_t blocks = call.items * call.chunks
    cdef Workspace workspace
    threads = <int>max(1, min(threads, blocks))
    workspace = Workspace(lay_workspace(call, NULL, &ws), threads)
    call.scratch, call.scratch_size = workspace.base(), workspace.size
    return run_blocks(slopes_block, call, blocks, 200.0 + call.block * call.job.C, threads)


# ---- Lovasz's extension ---------------------------------------------------------------------------------------------

cdef struct SortCall:
    const fl_region_real *loops
    Py_ssize_t n, step  # positions of a group; bytes of one class's errors
    bint slopes, only_present, stop
    char *errors
    double *results  # per group and class: value, volume, how many positions count
    char *scratch
    Py_ssize_t scratch_size, element  # element: bytes of what is sorted


ctypedef void (*sort_step)(fl_lovasz *, Py_ssize_t, Py_ssize_t) noexcept nogil


cdef bint in_stretches(SortCall *call, fl_lovasz *job, sort_step work, Py_ssize_t n, int thread) noexcept nogil:
    """Do the work on n elements; whether it was finished."""
    cdef Py_ssize_t start = 0
    while start < n:
        if start and interrupted(&call.stop, thread):
            return False
        work(job, start, min(<Py_ssize_t>SORTED, n - start))
        start += SORTED
    return True


cdef bint sort_digits(SortCall *call, fl_lovasz *job, int thread) noexcept nogil:
    """From the least significant one on; whether it was finished."""
    cdef int k
    cdef void *moved
    for k in range(call.loops.passes):
        job.pass_ = k
        if call.loops.lovasz_turn(job):
            if not in_stretches(call, job, call.loops.lovasz_move, job.counted, thread):
                return False
            moved = job.to
            job.to, job.from_ = job.from_, moved
    return True


cdef void sort_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    """One class of one group."""
    cdef SortCall *call = <SortCall *>call_
    cdef char *scratch = call.scratch + thread * call.scratch_size
    cdef double *result = call.results + 3 * b
    cdef fl_lovasz job
    job.n, job.error, job.slopes = call.n, call.errors + b * call.step, call.slopes
    job.count, job.from_ = <uint32_t *>scratch, scratch + FL_COUNT_BYTES
    job.to = scratch + FL_COUNT_BYTES + call.n * call.element
    call.loops.lovasz_begin(&job)
    if not in_stretches(call, &job, call.loops.lovasz_read, call.n, thread):
        return
    result[1], result[2] = <double>job.own, <double>job.counted
    if call.only_present and job.own == 0:
        memset(job.error, 0, call.step if call.slopes else 0)
    elif sort_digits(call, &job, thread) and in_stretches(call, &job, call.loops.lovasz_add, job.counted, thread):
        result[0] = job.value


def lovasz(
    cnp.ndarray x, int axis, cnp.ndarray target, int kind, activation, *, bint pooled=False, ignore_index=None,
    bint only_present=False, bint with_slopes=False, bint wide=False, int threads=1,
):
    """The Jaccard loss's extension for each group and class; arguments as for `sums`, labels or masks only.

    Returns (float64 array of shape (groups, classes, 3): value, positions that belong to the class, positions that count; slopes
    with respect to each p, (groups, classes, positions), or None; then what `sums` returns after its sums).
    """
    cdef RegionCall call
    cdef SortCall sort
    cdef Workspace workspace
    cdef Py_ssize_t groups, most
    set_call(&call, x, axis, target, kind, activation, False, FL_NO_ENTROPY, pooled, ignore_index, wide, None)
    call.fused = False
    groups = 1 if pooled else call.items
    sort.n = call.positions * (call.items if pooled else 1)
    errors = np.empty((groups, call.job.C, sort.n), np.float64 if wide else np.float32)
    results = np.zeros((groups, call.job.C, 3))
    call.given = <char *>cnp.PyArray_DATA(errors)
    run_regions(errors_block, &call, 0, NULL, threads)
    if call.spans.result.bad < 0:
        sort.loops, sort.errors, sort.results = call.loops, call.given, <double *>cnp.PyArray_DATA(results)
        sort.step, sort.slopes, sort.only_present, sort.stop = sort.n * call.table.size, with_slopes, only_present, False
        sort.element = call.loops.pair_bytes if with_slopes else call.loops.key_bytes
        most = groups * call.job.C
        threads = <int>max(1, min(threads, most))
        workspace = Workspace(FL_COUNT_BYTES + 2 * sort.n * sort.element, threads)
        sort.scratch, sort.scratch_size = workspace.base(), workspace.size
        run_blocks(sort_block, &sort, most, 1000.0 + 10.0 * sort.n, threads)
    return results, errors if with_slopes else None, *found(&call)


# ---- pairs of boxes -------------------------------------------------------------------------------------------------

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


cdef void turn_slopes(const BoxCall *call, double *grad, Py_ssize_t n) noexcept nogil:
    """From slopes in the corners to those in what the caller gave."""
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
    cdef Py_ssize_t start = (call.spans.base + b) * BOX_BLOCK, n = min(<Py_ssize_t>BOX_BLOCK, call.n - start), i, k
    cdef double *at = <double *>(call.scratch + thread * call.scratch_size)
    cdef double *weight = at + 13 * BOX_BLOCK
    cdef fl_box_pairs job = call.job
    cdef fl_view coordinate
    cdef double value
    job.P, job.box, job.target, job.value = n, at, at + 4 * BOX_BLOCK, at + 12 * BOX_BLOCK
    job.grad = at + 8 * BOX_BLOCK if call.has_grad else NULL
    read_boxes(call, &call.box, call.box_step, start, n, 0, at, &partial.bad)
    read_boxes(call, &call.target, call.target_step, start, n, 1, at + 4 * BOX_BLOCK, &partial.bad)
    if call.has_weight:
        real_table(True).gather(&call.weight, start, n, weight)
    regions_table().boxes(&job)
    for i in range(n):
        value = job.value[i] * weight[i] if call.has_weight else job.value[i]
        partial.sum += value
        store_value(&call.values, start + i, value)
    if not call.has_grad:
        return
    if call.form != CORNERS:
        turn_slopes(call, job.grad, n)
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
    blocks = (call.n + BOX_BLOCK - 1) // BOX_BLOCK
    threads = <int>max(1, min(threads, blocks))
    workspace = Workspace(14 * BOX_BLOCK * 8, threads)
    call.scratch, call.scratch_size = workspace.base(), workspace.size
    set_spans(&call.spans)
    run_spans(boxes_block, &call, &call.spans, blocks, 30.0 * BOX_BLOCK, threads)
    bad = call.spans.result.bad
    return call.spans.result.sum, bad // 2 if bad >= 0 else -1, bad % 2 == 1

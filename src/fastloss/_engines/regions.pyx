# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Overlaps of regions: predictions and targets are multiplied and added up over the positions of an image or volume, class by
class; losses are functions of these sums.

Design:
- An item's positions are cut in blocks, and a block is C planes of P positions with the vector along the positions: that is how
  images lie in memory (N, C, H, W), whose planes are read in place. Class-last and other layouts go through a tile.
- Two passes: the sums; then, when the loss's gradients with respect to them are known, the gradient, in which each entry is a
  function of its own position alone. Both compute the activation again: cheaper than memory of the volume's size.
- Integer label maps are turned into numbers block by block, where they are checked; nothing is indexed by a label.
- Sums of a block are in double; blocks depend on the shape alone and are added in order, compensated. Counts are exact to 2^53.
- Positions that do not count are masked: ignored ones, and those that pad the last block to whole registers.

Letters: N items, C classes, P positions of a block, G groups (items, or 1 if pooled).
"""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastloss._kernels cimport (
    AxisView,
    Partial,
    RunningSum,
    Spans,
    Workspace,
    block_work,
    fl_real_table,
    fl_view,
    fl_view_at,
    isa,
    position_at,
    read_tile,
    real_table,
    round_up,
    run_blocks,
    run_spans,
    set_axis_view,
    set_spans,
    sum_of,
    write_tile,
)

cnp.import_array()

cdef extern from "regions/regions.h" nogil:
    enum:
        FL_TP, FL_FP, FL_FN, FL_VOLUME, FL_ENTROPY, FL_COUNTED, FL_REGION_SUMS
        FL_REGION_GRADS
        FL_INDEX, FL_MASKS, FL_SOFT, FL_GIVEN
        FL_NO_ENTROPY, FL_BINARY_ENTROPY, FL_SOFTMAX_ENTROPY
        FL_REGION_WORK

    ctypedef struct fl_region:
        Py_ssize_t C
        Py_ssize_t P
        const char *x
        Py_ssize_t step
        const char *p
        Py_ssize_t p_step
        const void *complement
        const void *max
        const void *log1p_tail
        const char *t
        Py_ssize_t t_step
        int target
        int squared
        int entropy
        const void *d_sums
        char *grad
        Py_ssize_t grad_step

    ctypedef struct fl_region_real:
        Py_ssize_t (*labels)(int, const char *, Py_ssize_t, Py_ssize_t, int64_t, int, int64_t, void *,
                             Py_ssize_t *) noexcept nogil
        void (*softmax)(Py_ssize_t, Py_ssize_t, const char *, Py_ssize_t, void *, void *, void *, void *) noexcept nogil
        void (*sigmoid)(Py_ssize_t, const void *, void *, void *) noexcept nogil
        void (*mask)(Py_ssize_t, const void *, void *) noexcept nogil
        void (*sums)(const fl_region *, Py_ssize_t, double *) noexcept nogil
        void (*grad)(const fl_region *, Py_ssize_t) noexcept nogil
        void (*softmax_grad)(const fl_region *) noexcept nogil
        int (*fused_softmax_sums)(const fl_region *, int, void *, double *) noexcept nogil
        void (*fused_softmax_grad)(const fl_region *, int, void *) noexcept nogil
        void (*fused_sigmoid_sums)(const fl_region *, Py_ssize_t, int, double *) noexcept nogil
        void (*fused_sigmoid_grad)(const fl_region *, Py_ssize_t, int) noexcept nogil
        void (*errors)(Py_ssize_t, const void *, const void *, const void *, double, void *) noexcept nogil
        Py_ssize_t register_bytes
        Py_ssize_t block

    ctypedef struct fl_regions_table:
        fl_region_real f32
        fl_region_real f64

    const fl_regions_table *fl_regions_table_at(const char *level)

TP, FP, FN, VOLUME, ENTROPY, COUNTED, SUMS = FL_TP, FL_FP, FL_FN, FL_VOLUME, FL_ENTROPY, FL_COUNTED, FL_REGION_SUMS
SLOPES = FL_REGION_GRADS
TARGETS = {"index": FL_INDEX, "masks": FL_MASKS, "soft": FL_SOFT}

cdef enum:
    NO_ACTIVATION, SIGMOID, SOFTMAX
    BLOCK_WORK = 8192  # entries of a block
    BLOCK_POSITIONS = 4096  # positions of a block at the most
    FUSED_CLASSES = 4096  # to the power of 8 it is still a float

ACTIVATIONS = {None: NO_ACTIVATION, "sigmoid": SIGMOID, "softmax": SOFTMAX}


# ---- one call: its blocks and their workspace -----------------------------------------------------------------------

cdef struct Block:
    Py_ssize_t item, start, n, P  # first position (of all items in a row), how many there are, and with padding
    Py_ssize_t offset  # of the first position within its group

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
    const char *d_sums  # gradients with respect to each group's and class's sums
    const char *given  # or gradients with respect to each p itself, (groups, classes, positions)
    char *errors  # (groups, classes, positions)
    char *scratch
    Py_ssize_t scratch_size

cdef struct RegionWorkspace:
    # one thread's workspace, in planes of `block` numbers of the computation type
    char *x  # C: what cannot be read in place
    char *p  # C
    char *t  # C
    char *grad  # C
    char *complement
    char *max
    char *log1p_tail
    char *work
    Py_ssize_t *ignored  # C, or 1: how many entries are


cdef Py_ssize_t lay_workspace(const RegionCall *call, char *at, RegionWorkspace *ws) noexcept nogil:
    """Carve the workspace at `at`; return its size."""
    cdef Py_ssize_t plane = call.block * call.table.size, planes = call.job.C * plane, work
    ws.x, ws.p, ws.t, ws.grad = at, at + planes, at + 2 * planes, at + 3 * planes
    at += (4 if call.grad.given else 3) * planes
    ws.complement, ws.max, ws.log1p_tail, ws.work = at, at + plane, at + 2 * plane, at + 3 * plane
    work = FL_REGION_WORK * call.loops.register_bytes * call.job.C
    ws.ignored = <Py_ssize_t *>(ws.work + work)
    return (4 if call.grad.given else 3) * planes + 3 * plane + work + call.job.C * sizeof(Py_ssize_t)


cdef Block block_at(const RegionCall *call, Py_ssize_t b) noexcept nogil:
    cdef Block block
    cdef Py_ssize_t first = b % call.chunks * call.block
    block.item = b // call.chunks
    block.start = block.item * call.positions + first
    block.n = min(call.block, call.positions - first)
    block.P = round_up(block.n, call.loops.block)
    block.offset = block.start if call.pooled else first
    return block


cdef inline Py_ssize_t group_of(const RegionCall *call, const Block *block) noexcept nogil:
    return 0 if call.pooled else block.item


cdef inline Py_ssize_t group_bytes(const RegionCall *call) noexcept nogil:
    """Bytes of one number for each position of a group."""
    return call.positions * (call.items if call.pooled else 1) * call.table.size


cdef inline Py_ssize_t ignored_in(const fl_region *job, const RegionWorkspace *ws, Py_ssize_t c) noexcept nogil:
    return ws.ignored[c if job.target == FL_MASKS else 0]


# ---- reading a block ------------------------------------------------------------------------------------------------

cdef inline bint are_planes(const AxisView *view, Py_ssize_t positions) noexcept nogil:
    """Whether the positions of each item and class are contiguous numbers of the computation type."""
    return view.planar and view.rows.shape[view.rows.ndim - 1] % positions == 0


cdef const char *read_planes(
    const RegionCall *call, const AxisView *view, const Block *block, char *tile, Py_ssize_t *step
) noexcept nogil:
    """Where C x P entries are, and how far it is from class to class: in place, or copied, with zeros past n."""
    if are_planes(view, call.positions) and block.n == block.P:
        step[0] = view.step
        return position_at(view, block.start)
    step[0] = block.P * call.table.size
    read_tile(call.table, view, call.job.C, block.start, block.n, block.P, tile)
    return tile


cdef Py_ssize_t read_labels(
    const RegionCall *call, const fl_view *view, const Block *block, char *label, Py_ssize_t *bad
) noexcept nogil:
    """One plane of labels, -1 where masked; how many are ignored. bad: the first out of range, if there was none."""
    cdef Py_ssize_t i = 0, run, first, ignored = 0, last = view.shape[view.ndim - 1], size = call.table.size
    cdef char *at
    while i < block.n:
        run = min(block.n - i, last - (block.start + i) % last)
        at = fl_view_at(view, block.start + i)
        ignored += call.loops.labels(
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
    return ignored


cdef void read_given(const RegionCall *call, const Block *block, fl_region *job, RegionWorkspace *ws) noexcept nogil:
    """The block's part of `given`: in place, or copied, with zeros past n."""
    cdef Py_ssize_t c, plane = block.P * call.table.size
    job.t_step = group_bytes(call)
    job.t = call.given + group_of(call, block) * job.C * job.t_step + block.offset * call.table.size
    if block.n < block.P:
        for c in range(job.C):
            memset(ws.t + c * plane, 0, plane)
            memcpy(ws.t + c * plane, job.t + c * job.t_step, block.n * call.table.size)
        job.t, job.t_step = ws.t, plane


cdef void read_targets(
    const RegionCall *call, const Block *block, fl_region *job, RegionWorkspace *ws, Py_ssize_t *bad
) noexcept nogil:
    """The targets of a block. bad: position x C + class of the first label that is out of range; class 0 if there is one map."""
    cdef fl_view view
    cdef Py_ssize_t c, plane = block.P * call.table.size, first = -1
    job.t, job.t_step = ws.t, plane
    ws.ignored[0] = 0
    if job.target == FL_INDEX:
        job.t_step = 0
        ws.ignored[0] = read_labels(call, &call.t.rows, block, ws.t, &first)
        bad[0] = first * job.C if first >= 0 else -1
    elif job.target == FL_MASKS:
        view = call.t.rows
        for c in range(job.C):
            view.data = call.t.rows.data + c * call.t.step
            ws.ignored[c] = read_labels(call, &view, block, ws.t + c * plane, &first)
            if first >= 0 and bad[0] < 0:
                bad[0] = first * job.C + c
    elif job.target == FL_SOFT:
        job.t = read_planes(call, &call.t, block, ws.t, &job.t_step)
    else:
        read_given(call, block, job, ws)


cdef void read_block(
    const RegionCall *call, const Block *block, int thread, fl_region *job, RegionWorkspace *ws, Py_ssize_t *bad
) noexcept nogil:
    """Begin a block's job: its targets and logits. bad: as read_targets gives it."""
    job[0] = call.job
    job.P = block.P
    lay_workspace(call, call.scratch + thread * call.scratch_size, ws)
    read_targets(call, block, job, ws, bad)
    job.x = read_planes(call, &call.x, block, ws.x, &job.step)


# ---- activations ----------------------------------------------------------------------------------------------------

cdef void set_softmax(const RegionCall *call, const Block *block, fl_region *job, RegionWorkspace *ws) noexcept nogil:
    """The probabilities of a block, where they are softmax's."""
    cdef Py_ssize_t c, plane = block.P * call.table.size, tail = block.n * call.table.size
    if call.activation == SOFTMAX:
        job.p, job.p_step, job.complement, job.max, job.log1p_tail = ws.p, plane, ws.complement, ws.max, ws.log1p_tail
        call.loops.softmax(
            job.C, job.P, job.x, job.step, ws.p, ws.complement, ws.max if job.entropy else NULL, ws.log1p_tail
        )
        if block.n < block.P:
            for c in range(job.C):
                memset(ws.p + c * plane + tail, 0, plane - tail)


cdef void set_class(
    const RegionCall *call, const Block *block, fl_region *job, RegionWorkspace *ws, Py_ssize_t c
) noexcept nogil:
    """The probabilities of one class, where they are not softmax's; 0 where ignored."""
    cdef Py_ssize_t plane = block.P * call.table.size, tail = block.n * call.table.size
    cdef bint ignored = ignored_in(job, ws, c) > 0
    if call.activation == SIGMOID:
        job.p, job.p_step, job.complement = ws.p, 0, ws.complement
        call.loops.sigmoid(block.P, job.x + c * job.step, ws.p, ws.complement)
        memset(ws.p + tail, 0, plane - tail)
    elif call.activation == NO_ACTIVATION:
        job.p, job.p_step, job.complement = job.x, job.step, NULL
        if ignored:
            memcpy(ws.p, job.x + c * job.step, plane)
            job.p, job.p_step = ws.p, 0
    if ignored:
        call.loops.mask(block.P, job.t + c * job.t_step, <void *>(job.p + c * job.p_step))


cdef inline void widen_extremes(
    const RegionCall *call, const Block *block, const fl_region *job, Py_ssize_t c, Partial *partial
) noexcept nogil:
    """Extremes of one class's probabilities, if the caller gave them."""
    if call.activation == NO_ACTIVATION:
        call.table.extremes(block.n, job.p + c * job.p_step, &partial.low[0], &partial.high[0])


# ---- blocks ---------------------------------------------------------------------------------------------------------

cdef void sums_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef const RegionCall *call = <const RegionCall *>call_
    cdef Block block = block_at(call, call.spans.base + b)
    cdef fl_region job
    cdef RegionWorkspace ws
    cdef Partial *partial = &call.spans.partials[b]
    cdef Py_ssize_t c
    cdef double *sums = call.spans.sums + b * call.spans.width
    cdef double *own
    cdef bint fused = call.fused, padded = block.n < block.P
    read_block(call, &block, thread, &job, &ws, &partial.bad)
    if fused and call.activation == SOFTMAX:
        fused = call.loops.fused_softmax_sums(&job, ws.ignored[0] > 0 or padded, ws.work, sums)
        partial.flag = not fused
    if not fused:
        memset(sums, 0, job.C * FL_REGION_SUMS * sizeof(double))
        set_softmax(call, &block, &job, &ws)
    for c in range(job.C):
        own = sums + c * FL_REGION_SUMS
        if not fused:
            set_class(call, &block, &job, &ws, c)
            call.loops.sums(&job, c, own)
        elif call.activation == SIGMOID:
            call.loops.fused_sigmoid_sums(&job, c, ignored_in(&job, &ws, c) > 0 or padded, own)
        own[FL_COUNTED] = <double>(block.n - ignored_in(&job, &ws, c))
        widen_extremes(call, &block, &job, c, partial)
        if job.target == FL_SOFT:
            call.table.extremes(block.n, job.t + c * job.t_step, &partial.low[1], &partial.high[1])


cdef void gradient_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef const RegionCall *call = <const RegionCall *>call_
    cdef Block block = block_at(call, b)
    cdef fl_region job
    cdef RegionWorkspace ws
    cdef Py_ssize_t c, bad = -1
    cdef bint padded = block.n < block.P, direct = are_planes(&call.grad, call.positions) and not padded
    read_block(call, &block, thread, &job, &ws, &bad)
    job.d_sums = call.d_sums + group_of(call, &block) * job.C * FL_REGION_GRADS * call.table.size
    job.grad, job.grad_step = ws.grad, block.P * call.table.size
    if direct:
        job.grad, job.grad_step = position_at(&call.grad, block.start), call.grad.step
    if call.fused and call.activation == SOFTMAX:
        call.loops.fused_softmax_grad(&job, ws.ignored[0] > 0 or padded, ws.work)
    elif call.fused:
        for c in range(job.C):
            call.loops.fused_sigmoid_grad(&job, c, ignored_in(&job, &ws, c) > 0 or padded)
    else:
        set_softmax(call, &block, &job, &ws)
        for c in range(job.C):
            set_class(call, &block, &job, &ws, c)
            if call.activation != SOFTMAX:
                call.loops.grad(&job, c)
        if call.activation == SOFTMAX:
            call.loops.softmax_grad(&job)
    if not direct:
        write_tile(call.table, &call.grad, job.C, block.start, block.n, block.P, ws.grad)


cdef void errors_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    """|t - p| of every entry, for Lovasz's extension."""
    cdef const RegionCall *call = <const RegionCall *>call_
    cdef Block block = block_at(call, call.spans.base + b)
    cdef fl_region job
    cdef RegionWorkspace ws
    cdef Partial *partial = &call.spans.partials[b]
    cdef Py_ssize_t c, size = call.table.size
    cdef char *error
    cdef char *to
    read_block(call, &block, thread, &job, &ws, &partial.bad)
    set_softmax(call, &block, &job, &ws)
    for c in range(job.C):
        set_class(call, &block, &job, &ws, c)
        widen_extremes(call, &block, &job, c, partial)
        error = call.errors + (group_of(call, &block) * job.C + c) * group_bytes(call) + block.offset * size
        to = error if block.n == block.P else ws.max
        call.loops.errors(
            block.P, job.p + c * job.p_step, job.complement, job.t + c * job.t_step,
            <double>c if job.target == FL_INDEX else 1.0, to,
        )
        if to != error:
            memcpy(error, to, block.n * size)


# ---- entry points ---------------------------------------------------------------------------------------------------

cdef int set_call(
    RegionCall *call, cnp.ndarray x, int axis, cnp.ndarray target, int kind, activation, bint pooled, ignore_index, bint wide
) except -1:
    """Of sums that are not squared, without cross-entropy (`set_loss`), and no gradient."""
    cdef const fl_regions_table *table = fl_regions_table_at(isa())
    call.table = real_table(wide)
    call.loops = &table.f64 if wide else &table.f32
    call.job.C = cnp.PyArray_DIM(x, axis) if axis >= 0 else 1
    call.items = cnp.PyArray_DIM(x, 0 if axis != 0 else 1)
    call.positions = cnp.PyArray_SIZE(x) // (call.job.C * call.items)
    set_axis_view(&call.x, x, axis, call.table)
    set_axis_view(&call.t, target, axis if kind != FL_INDEX else -1, call.table)
    call.grad.given = False
    call.job.target, call.job.squared, call.job.entropy = kind, False, FL_NO_ENTROPY
    call.activation = ACTIVATIONS[activation]
    call.has_ignore = ignore_index is not None
    call.ignore = ignore_index if call.has_ignore else 0
    call.label_count = call.job.C if kind == FL_INDEX and axis >= 0 else 2
    call.pooled, call.fused = pooled, False
    call.block = min(<Py_ssize_t>BLOCK_POSITIONS, BLOCK_WORK // call.job.C)
    call.block = max(call.loops.block, call.block // call.loops.block * call.loops.block)
    call.block = min(call.block, round_up(call.positions, call.loops.block))
    call.chunks = (call.positions + call.block - 1) // call.block
    call.given, call.d_sums, call.errors = NULL, NULL, NULL
    return 0


cdef void set_loss(RegionCall *call, bint squared, bint entropy) noexcept:
    """What the sums are, and whether the usual case's loops can make them."""
    call.job.squared = squared
    if entropy:
        call.job.entropy = FL_SOFTMAX_ENTROPY if call.activation == SOFTMAX else FL_BINARY_ENTROPY
    call.fused = not squared and (
        (call.job.target == FL_INDEX and call.activation == SOFTMAX and call.job.C <= FUSED_CLASSES)
        or (call.job.target != FL_SOFT and call.activation == SIGMOID)
    )


cdef tuple found(const RegionCall *call):
    """What the blocks of a call have found beside their sums."""
    cdef const Partial *result = &call.spans.result
    cdef Py_ssize_t position = result.bad // call.job.C if result.bad >= 0 else -1
    cdef Py_ssize_t of_class = result.bad % call.job.C if result.bad >= 0 and call.job.target == FL_MASKS else -1
    return position, of_class, result.low[0], result.high[0], result.low[1], result.high[1]


cdef inline int threads_for(const RegionCall *call, int threads) noexcept:
    return <int>max(<Py_ssize_t>1, min(<Py_ssize_t>threads, call.items * call.chunks))


cdef int run_regions(block_work work, RegionCall *call, Py_ssize_t width, RunningSum *totals, int threads) except -1:
    """Run all blocks; add the sums that each leaves, `width` of them, to the totals of its group."""
    cdef RegionWorkspace ws
    cdef Py_ssize_t blocks = call.items * call.chunks
    cdef Workspace workspace
    threads = threads_for(call, threads)
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
    set_call(&call, x, axis, target, kind, activation, pooled, ignore_index, wide)
    set_loss(&call, squared, entropy)
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
    loss's gradients with respect to the sums; plain: what `sums` said of these logits. Or `given`, as `lovasz.lovasz` returns
    it: gradients with respect to each p, which the first coefficient multiplies.
    """
    cdef RegionCall call
    cdef RegionWorkspace ws
    cdef Workspace workspace
    set_call(&call, x, axis, target, kind, activation, pooled, ignore_index, wide)
    set_loss(&call, squared, entropy)
    set_axis_view(&call.grad, grad, axis, call.table)
    call.d_sums = <const char *>cnp.PyArray_DATA(coefficients)
    call.fused = call.fused and not plain
    if given is not None:
        call.job.target, call.fused = FL_GIVEN, False
        call.given = <const char *>cnp.PyArray_DATA(given)
    threads = threads_for(&call, threads)
    workspace = Workspace(lay_workspace(&call, NULL, &ws), threads)
    call.scratch, call.scratch_size = workspace.base(), workspace.size
    run_blocks(gradient_block, &call, call.items * call.chunks, 200.0 + call.block * call.job.C, threads)


def errors(
    cnp.ndarray x, int axis, cnp.ndarray target, int kind, activation, *, bint pooled=False, ignore_index=None,
    bint wide=False, int threads=1,
):
    """|t - p| of every entry, for Lovasz's extension; arguments as for `sums`, labels or masks only.

    Returns (array of the computation type, (groups, classes, positions): negative, or -0, where the position belongs to the
    class, FL_IGNORED_ERROR where it is ignored; then what `sums` returns after `plain`).
    """
    cdef RegionCall call
    cdef Py_ssize_t groups
    set_call(&call, x, axis, target, kind, activation, pooled, ignore_index, wide)
    groups = 1 if pooled else call.items
    result = np.empty((groups, call.job.C, call.positions * call.items // groups), np.float64 if wide else np.float32)
    call.errors = <char *>cnp.PyArray_DATA(result)
    run_regions(errors_block, &call, 0, NULL, threads)
    return result, *found(&call)

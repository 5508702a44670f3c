# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Losses of a row of scores and one integer label that are not softmax cross-entropy, and the cumulative links, whose label picks
two of a few thresholds.

Design:
- Scores go through tiles: C x P of them, rows side by side, so that the vector runs over P rows whatever the class axis's stride.
  A tile shrinks as the classes grow, down to one register of rows. The gradient overwrites its tile.
- One C function per loss (csrc/scores/real.h) sees a tile, labels already checked, and a scale for each row. What all losses
  share is here: labels and weights, ignored rows, values, sums.
- Labels are read once into the workspace, checked there and used from there: nobody can change them in between.
- A threshold's gradient is a sum over samples: each block adds its own, and the blocks are added in order.

Letters: N rows (samples), C classes, P positions of a tile, K levels.
"""

cimport numpy as cnp
from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fastloss._kernels cimport (
    FL_F64,
    AxisView,
    Partial,
    RunningSum,
    Spans,
    Values,
    Workspace,
    block_work,
    fl_gather_labels,
    fl_real_table,
    fl_view,
    isa,
    make_view,
    read_tile,
    real_table,
    run_spans,
    set_axis_view,
    set_spans,
    set_values,
    store_value,
    sum_of,
    write_tile,
)

cnp.import_array()

cdef extern from "scores/scores.h" nogil:
    enum:
        FL_SCORES_contrast, FL_SCORES_weston_watkins, FL_SCORES_gibbs, FL_SCORES_tasks, FL_SCORES_squared_emd
        FL_ENERGY, FL_HINGE, FL_HINGE_SQUARED, FL_LOG, FL_LVQ2, FL_MCE, FL_SQUARE_SQUARE, FL_SQUARE_EXP, FL_NLL, FL_MEE
        FL_SCORES_SCRATCH
        FL_LINK_logit, FL_LINK_probit, FL_LINK_cloglog

    ctypedef struct fl_scores:
        Py_ssize_t C
        Py_ssize_t P
        const void *x
        const double *label
        const double *scale
        const double *level_weight
        double par[4]
        double *value
        void *grad
        void *hess
        double *scratch

    ctypedef struct fl_link:
        Py_ssize_t n
        const double *score
        const double *low
        const double *high
        const double *scale
        bint with_grad
        double *value
        double *grad
        double *grad_low
        double *grad_high

    ctypedef void (*fl_scores_loop)(fl_scores *) noexcept nogil
    ctypedef void (*fl_links_loop)(fl_link *) noexcept nogil

    ctypedef struct fl_scores_table:
        const fl_scores_loop *f32
        const fl_scores_loop *f64
        const fl_links_loop *links

    const fl_scores_table *fl_scores_table_at(const char *level)

LOSSES = {
    "contrast": FL_SCORES_contrast,  # the label's energy against its strongest rival's
    "weston_watkins": FL_SCORES_weston_watkins,
    "gibbs": FL_SCORES_gibbs,  # softmax of negated energies
    "tasks": FL_SCORES_tasks,  # a binary task per level
    "squared_emd": FL_SCORES_squared_emd,
}
CONTRASTS = {
    "energy": FL_ENERGY,
    "hinge": FL_HINGE,
    "hinge_squared": FL_HINGE_SQUARED,
    "log": FL_LOG,
    "lvq2": FL_LVQ2,
    "mce": FL_MCE,
    "square_square": FL_SQUARE_SQUARE,
    "square_exp": FL_SQUARE_EXP,
}
GIBBS = {"nll": FL_NLL, "mee": FL_MEE}
LINKS = {"logit": FL_LINK_logit, "probit": FL_LINK_probit, "cloglog": FL_LINK_cloglog}

cdef enum:
    TILE_WORK = 8192  # scores per tile
    BLOCK_ROWS = 256  # rows per tile at the most
    LABEL_ROWS = 2048  # the same where labels alone are read
    LINK_BLOCK = 512  # scores per block of a cumulative link, or as many as there are thresholds
    LINK_BLOCK_MOST = 65536

# ---- samples: labels and weights ------------------------------------------------------------------------------------

cdef struct Samples:
    fl_view labels, sample_weight
    bint has_sample_weight, has_ignore, tasks
    int64_t ignore, levels
    Py_ssize_t classes
    const double *class_weight

cdef struct ScoresWorkspace:
    # one thread's workspace; the first six have an entry for each sample of the block
    double *factor  # sample weight x class weight: what multiplies loss and derivatives
    double *weight  # what the mean divides by: the factor, for conditional tasks times their number; 0 if the sample is ignored
    double *label
    double *value
    double *scale  # what multiplies derivatives
    int64_t *index  # the label, or -1 if the sample is ignored
    double *scratch
    char *x
    char *hess


cdef char *lay_samples(Py_ssize_t block, char *at, ScoresWorkspace *ws) noexcept nogil:
    """Carve the per-sample arrays of a block from the workspace; return the first free byte."""
    cdef Py_ssize_t row = block * 8
    ws.factor, ws.weight, ws.label = <double *>at, <double *>(at + row), <double *>(at + 2 * row)
    ws.value, ws.scale, ws.index = <double *>(at + 3 * row), <double *>(at + 4 * row), <int64_t *>(at + 5 * row)
    return at + 6 * row


cdef int set_samples(
    Samples *samples, cnp.ndarray target, cnp.ndarray sample_weight, cnp.ndarray class_weight, ignore_index, int64_t levels,
    Py_ssize_t classes, bint tasks,
) except -1:
    make_view(&samples.labels, target)
    samples.has_sample_weight = sample_weight is not None
    if samples.has_sample_weight:
        make_view(&samples.sample_weight, sample_weight)
    samples.has_ignore = ignore_index is not None
    samples.ignore = ignore_index if samples.has_ignore else 0
    samples.class_weight = <const double *>cnp.PyArray_DATA(class_weight) if class_weight is not None else NULL
    samples.levels, samples.classes, samples.tasks = levels, classes, tasks
    return 0


cdef double read_samples(
    const Samples *samples, ScoresWorkspace *ws, Py_ssize_t start, Py_ssize_t n, Py_ssize_t *bad
) noexcept nogil:
    """Labels and weights of samples [start, start + n): the weights' sum; into bad the first whose label is out of range."""
    cdef Py_ssize_t i
    cdef int64_t y
    cdef bint ignored
    cdef double total = 0
    if samples.has_sample_weight:
        real_table(True).gather(&samples.sample_weight, start, n, ws.factor)
    else:
        for i in range(n):
            ws.factor[i] = 1
    fl_gather_labels(&samples.labels, start, n, ws.index)
    for i in range(n):
        y = ws.index[i]
        ignored = samples.has_ignore and y == samples.ignore
        if ignored or <uint64_t>y >= <uint64_t>samples.levels:
            if bad[0] < 0 and not ignored:
                bad[0] = start + i
            ws.index[i], ws.label[i], ws.factor[i], ws.weight[i] = -1, 0, 0, 0
            continue
        ws.label[i] = <double>y
        if samples.class_weight != NULL:
            ws.factor[i] *= samples.class_weight[y]
        ws.weight[i] = ws.factor[i]
        if samples.tasks:
            ws.weight[i] *= <double>min(y + 1, samples.classes)
        total += ws.weight[i]
    return total


cdef double finish_values(
    ScoresWorkspace *ws, Py_ssize_t start, Py_ssize_t n, const Values *values, double *weights
) noexcept nogil:
    """Weigh and write the values of a block of samples; their sum."""
    cdef Py_ssize_t i
    cdef double total = 0, value
    for i in range(n):
        value = ws.factor[i] * ws.value[i] if ws.index[i] >= 0 else 0
        total += value
        store_value(values, start + i, value)
        if weights != NULL:
            weights[start + i] = ws.weight[i]
    return total


# ---- tiles ----------------------------------------------------------------------------------------------------------

cdef struct ScoresCall:
    Spans spans
    const fl_real_table *table
    fl_scores_loop function
    fl_scores job  # the template of every tile's job
    Samples samples
    AxisView x, grad, hess
    Py_ssize_t n, block
    double scale
    Values values
    double *weights
    char *scratch
    Py_ssize_t scratch_size


cdef void clear_position(ScoresCall *call, char *tile, Py_ssize_t i, Py_ssize_t lanes) noexcept nogil:
    """An ignored row: whatever it holds is not looked at."""
    cdef Py_ssize_t c, size = call.table.size
    for c in range(call.job.C):
        memset(tile + (c * lanes + i) * size, 0, size)


cdef Py_ssize_t lay_workspace(ScoresCall *call, char *at, ScoresWorkspace *ws) noexcept nogil:
    """Carve the workspace at `at`; return its size."""
    cdef Py_ssize_t tile = (call.job.C * call.block * call.table.size + 63) // 64 * 64
    at = lay_samples(call.block, at, ws)
    ws.x, ws.hess = at, at + tile
    ws.scratch = <double *>(at + (2 if call.hess.given else 1) * tile)
    return 6 * call.block * 8 + 2 * tile + FL_SCORES_SCRATCH * call.job.C * call.table.lanes * 8


cdef void scores_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef ScoresCall *call = <ScoresCall *>call_
    cdef Partial *partial = &call.spans.partials[b]
    cdef Py_ssize_t start = (call.spans.base + b) * call.block, n = min(call.block, call.n - start), i
    cdef Py_ssize_t lanes = (n + call.table.lanes - 1) // call.table.lanes * call.table.lanes
    cdef fl_scores job = call.job
    cdef ScoresWorkspace ws
    lay_workspace(call, call.scratch + thread * call.scratch_size, &ws)
    partial.weight = read_samples(&call.samples, &ws, start, n, &partial.bad)
    read_tile(call.table, &call.x, job.C, start, n, lanes, ws.x)
    for i in range(n):
        ws.scale[i] = call.scale * ws.factor[i]
        if ws.index[i] < 0:
            clear_position(call, ws.x, i, lanes)
    for i in range(n, lanes):
        ws.label[i] = ws.scale[i] = 0
    job.P, job.x, job.label, job.scale, job.value, job.scratch = (
        lanes, ws.x, ws.label, ws.scale, ws.value, ws.scratch
    )
    job.grad = ws.x if call.grad.given else NULL
    job.hess = ws.hess if call.hess.given else NULL
    call.function(&job)
    partial.sum = finish_values(&ws, start, n, &call.values, call.weights)
    if call.grad.given:
        write_tile(call.table, &call.grad, job.C, start, n, lanes, ws.x)
    if call.hess.given:
        write_tile(call.table, &call.hess, job.C, start, n, lanes, ws.hess)


cdef void labels_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    """Labels and weights alone."""
    cdef ScoresCall *call = <ScoresCall *>call_
    cdef Partial *partial = &call.spans.partials[b]
    cdef Py_ssize_t start = (call.spans.base + b) * call.block, n = min(call.block, call.n - start)
    cdef ScoresWorkspace ws
    lay_samples(call.block, call.scratch + thread * call.scratch_size, &ws)
    partial.weight = read_samples(&call.samples, &ws, start, n, &partial.bad)


def scores(
    loss, cnp.ndarray x, int axis, cnp.ndarray target, *, int64_t levels, tuple parameters=(), bint tasks=False,
    cnp.ndarray class_weight=None, cnp.ndarray level_weight=None, ignore_index=None, cnp.ndarray sample_weight=None,
    bint wide=False, double scale=1.0, cnp.ndarray values=None, cnp.ndarray weights=None, cnp.ndarray grad=None,
    cnp.ndarray hess=None, int threads=1,
):
    """Run one of LOSSES over the rows of `x` along `axis`; None: look at labels and weights alone.

    target: labels in [0, levels), of x's shape without the axis. class_weight (of each level) multiplies loss and weight; with
    `tasks` a sample's weight is multiplied by the number of its conditional tasks. level_weight: of each class, for "tasks". Both
    are float64. values, weights: C-contiguous, one per row (values float32 or float64, weights float64). grad and hess have x's
    shape. `wide`: the scores are read, and derivatives written, through float64.

    Returns (sum of weighted losses, sum of weights, first row with a bad label or -1).
    """
    cdef ScoresCall call
    cdef Workspace workspace
    cdef ScoresWorkspace ws
    cdef int k = 0
    cdef double cost
    cdef block_work work = scores_block if loss is not None else labels_block
    call.table = real_table(wide)
    call.job.C = cnp.PyArray_DIM(x, axis)
    call.n = cnp.PyArray_SIZE(x) // call.job.C
    set_axis_view(&call.x, x, axis, call.table)
    set_axis_view(&call.grad, grad, axis, call.table)
    set_axis_view(&call.hess, hess, axis, call.table)
    set_samples(&call.samples, target, sample_weight, class_weight, ignore_index, levels, call.job.C, tasks)
    for parameter in parameters:
        call.job.par[k] = parameter
        k += 1
    call.job.level_weight = <const double *>cnp.PyArray_DATA(level_weight) if level_weight is not None else NULL
    call.scale = scale
    set_values(&call.values, values)
    call.weights = <double *>cnp.PyArray_DATA(weights) if weights is not None else NULL
    if loss is None:
        call.block, cost = LABEL_ROWS, 3.0 * LABEL_ROWS
    else:
        call.function = fl_scores_table_at(isa()).f64[<int>loss] if wide else fl_scores_table_at(isa()).f32[<int>loss]
        call.block = max(
            <Py_ssize_t>call.table.lanes,
            min(<Py_ssize_t>BLOCK_ROWS, TILE_WORK // call.job.C // call.table.lanes * call.table.lanes),
        )
        cost = call.block * (10.0 + 2.0 * call.job.C)
    blocks = (call.n + call.block - 1) // call.block
    threads = <int>max(1, min(threads, blocks))
    workspace = Workspace(lay_workspace(&call, NULL, &ws) if loss is not None else 6 * LABEL_ROWS * 8, threads)
    call.scratch, call.scratch_size = workspace.base(), workspace.size
    set_spans(&call.spans)
    run_spans(work, &call, &call.spans, blocks, cost, threads)
    return call.spans.result.sum, call.spans.result.weight, call.spans.result.bad


# ---- cumulative links -----------------------------------------------------------------------------------------------

cdef struct LinkCall:
    Spans spans  # with a gradient, a block has a sum for each threshold: its gradient
    fl_links_loop function
    const fl_real_table *table  # of the gradient
    Samples samples
    fl_view score, grad
    bint has_grad
    const double *thresholds
    Py_ssize_t n, cuts, block
    double scale
    Values values
    double *weights
    char *scratch
    Py_ssize_t scratch_size


cdef void link_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef LinkCall *call = <LinkCall *>call_
    cdef Partial *partial = &call.spans.partials[b]
    cdef Py_ssize_t start = (call.spans.base + b) * call.block, n = min(call.block, call.n - start), i, whole = (n + 7) // 8 * 8
    cdef ScoresWorkspace ws
    cdef fl_link job
    cdef double *at = <double *>lay_samples(call.block, call.scratch + thread * call.scratch_size, &ws)
    cdef double *score = at
    cdef double *low = at + call.block
    cdef double *high = at + 2 * call.block
    read_samples(&call.samples, &ws, start, n, &partial.bad)
    real_table(True).gather(&call.score, start, n, score)
    for i in range(n):
        low[i] = call.thresholds[ws.index[i] - 1] if ws.index[i] > 0 else -INFINITY
        high[i] = call.thresholds[ws.index[i]] if 0 <= ws.index[i] < call.cuts else INFINITY
        ws.scale[i] = call.scale * ws.factor[i]
    for i in range(n, whole):
        score[i] = ws.scale[i] = low[i] = 0
        high[i] = 1
    job.n, job.score, job.low, job.high, job.scale, job.value = n, score, low, high, ws.scale, ws.value
    job.with_grad = call.has_grad
    job.grad, job.grad_low, job.grad_high = at + 3 * call.block, at + 4 * call.block, at + 5 * call.block
    call.function(&job)
    partial.sum = finish_values(&ws, start, n, &call.values, call.weights)
    if call.has_grad:
        add_thresholds(call, &job, &ws, call.spans.sums + b * call.cuts)
        if call.table.size == 8:
            call.table.scatter(&call.grad, start, n, job.grad)
            return
        for i in range(n):
            (<float *>score)[i] = <float>job.grad[i]
        call.table.scatter(&call.grad, start, n, score)  # which has done its duty


cdef void add_thresholds(LinkCall *call, const fl_link *job, const ScoresWorkspace *ws, double *sums) noexcept nogil:
    cdef Py_ssize_t i
    memset(sums, 0, call.cuts * sizeof(double))
    for i in range(job.n):
        if ws.index[i] > 0:
            sums[ws.index[i] - 1] += job.grad_low[i]
        if 0 <= ws.index[i] < call.cuts:
            sums[ws.index[i]] += job.grad_high[i]


def cumulative_link(
    int link, cnp.ndarray score, cnp.ndarray thresholds, cnp.ndarray target, *, cnp.ndarray sample_weight=None,
    double scale=1.0, cnp.ndarray values=None, cnp.ndarray weights=None, cnp.ndarray grad=None, cnp.ndarray cut_grad=None,
    int threads=1,
):
    """Run one of LINKS over the scores: minus the log-probability of the target's level.

    thresholds: K - 1 of them, float64, contiguous, increasing. target: labels in [0, K), of the score's shape. values, weights:
    as for `scores`. grad has the score's shape; cut_grad, float64 and contiguous, the thresholds'; both or neither.

    Returns (sum of weighted losses, first position with a bad label or -1).
    """
    cdef LinkCall call
    cdef Workspace workspace
    cdef RunningSum *cut_totals
    cdef Py_ssize_t c, blocks
    call.n, call.cuts = cnp.PyArray_SIZE(score), cnp.PyArray_SIZE(thresholds)
    call.thresholds = <const double *>cnp.PyArray_DATA(thresholds)
    make_view(&call.score, score)
    set_samples(&call.samples, target, sample_weight, None, None, call.cuts + 1, 1, False)
    call.has_grad = grad is not None
    call.table = real_table(True)
    if call.has_grad:
        make_view(&call.grad, grad)
        call.table = real_table(call.grad.type == FL_F64)
    call.function = fl_scores_table_at(isa()).links[link]
    call.scale = scale
    set_values(&call.values, values)
    call.weights = <double *>cnp.PyArray_DATA(weights) if weights is not None else NULL
    call.block = max(<Py_ssize_t>LINK_BLOCK, min(<Py_ssize_t>LINK_BLOCK_MOST, (call.cuts + 7) // 8 * 8))
    blocks = (call.n + call.block - 1) // call.block
    threads = <int>max(1, min(threads, blocks))
    workspace = Workspace(12 * call.block * 8, threads)
    call.scratch, call.scratch_size = workspace.base(), workspace.size
    cut_totals = <RunningSum *>calloc(call.cuts, sizeof(RunningSum))
    if cut_totals == NULL:
        raise MemoryError()
    try:
        set_spans(&call.spans, call.cuts if call.has_grad else 0, max(<Py_ssize_t>1, blocks), cut_totals)
        run_spans(link_block, &call, &call.spans, blocks, call.block * 15.0, threads)
        if call.has_grad:
            for c in range(call.cuts):
                (<double *>cnp.PyArray_DATA(cut_grad))[c] = sum_of(&cut_totals[c])
    finally:
        free(cut_totals)
    return call.spans.result.sum, call.spans.result.bad

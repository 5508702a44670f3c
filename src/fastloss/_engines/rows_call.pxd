# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# Part of rows.pyx: what describes a call, a thread's workspace; labels, weights and losses of a block of samples. All functions
# of the parts are inline: they are compiled into rows.pyx alone, and cost no call between extensions.
# Letters: N rows (samples), C classes, P positions of a tile.

from libc.math cimport NAN, isfinite
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastloss._kernels cimport (
    AxisView,
    Partial,
    Spans,
    Values,
    fl_gather_labels,
    fl_real_table,
    fl_view,
    isa,
    real_table,
    store_value,
)

cdef extern from "rows/rows.h" nogil:
    enum:
        FL_CHUNK_BYTES
        FL_PLAIN, FL_FOCAL, FL_POLY1, FL_GENERALIZED

    ctypedef struct fl_soft:
        const void *t
        const void *class_weight
        double mix
        double floor

    ctypedef struct fl_tile:
        Py_ssize_t C
        Py_ssize_t P
        Py_ssize_t x_step
        const void *x
        void *e
        void *copy
        const char *next
        Py_ssize_t next_step

    ctypedef struct fl_rows_real:
        void (*chunks)(Py_ssize_t, Py_ssize_t, const char *, Py_ssize_t, char *, Py_ssize_t, double *, double *,
                       double *, const char *) noexcept nogil
        void (*finish)(Py_ssize_t, const double *, double *, double *) noexcept nogil
        void (*rescale)(Py_ssize_t, const void *, double, void *) noexcept nogil
        void (*hard_rows)(Py_ssize_t, Py_ssize_t, const char *, Py_ssize_t, const double *, const double *,
                          const int64_t *, char *, Py_ssize_t) noexcept nogil
        Py_ssize_t (*samples)(Py_ssize_t, int64_t *, double *, int64_t, int, int64_t) noexcept nogil
        void (*log1p)(Py_ssize_t, const double *, double *) noexcept nogil
        double (*hard_values)(Py_ssize_t, const double *, const double *, const double *, double *, double *,
                              double *) noexcept nogil
        double (*transformed_values)(Py_ssize_t, int, double, const double *, const double *, const double *, double *, double *,
                                     double *, double *) noexcept nogil
        void (*hard_factors)(Py_ssize_t, const double *, const double *, const double *, const double *, const double *,
                             const double *, double, double *, double *) noexcept nogil
        Py_ssize_t (*count_ignored)(Py_ssize_t, const int64_t *, int64_t, int, int64_t, int *) noexcept nogil
        void (*softmax)(Py_ssize_t, const void *, double, double, void *) noexcept nogil
        void (*log_softmax)(Py_ssize_t, const void *, double, double, void *) noexcept nogil
        void (*soft_sums)(Py_ssize_t, const void *, double, const fl_soft *, double *, double *) noexcept nogil
        void (*soft_grad)(Py_ssize_t, const void *, double, double, double, double, const fl_soft *, void *) noexcept nogil
        void (*transform_sums)(Py_ssize_t, const void *, double, double, const fl_soft *, int, double, double *,
                               double *) noexcept nogil
        void (*transform_grad)(Py_ssize_t, const void *, double, double, double, double, const fl_soft *, int, double,
                               void *) noexcept nogil
        void (*negentropy)(Py_ssize_t, const void *, int, double *) noexcept nogil
        void (*exps)(Py_ssize_t, const void *, void *) noexcept nogil
        void (*temper)(Py_ssize_t, const void *, double, double, void *) noexcept nogil
        void (*softmax_hess)(Py_ssize_t, const void *, double, double, double, void *) noexcept nogil
        void (*tile_stats)(const fl_tile *, double *, double *, double *) noexcept nogil
        void (*tile_scale)(Py_ssize_t, Py_ssize_t, const void *, const double *, void *, Py_ssize_t) noexcept nogil
        void (*tile_log_softmax)(Py_ssize_t, Py_ssize_t, void *, const double *, const double *) noexcept nogil
        void (*tile_soft_sums)(Py_ssize_t, Py_ssize_t, const void *, const double *, const fl_soft *, double *,
                               double *) noexcept nogil
        void (*tile_soft_grad)(Py_ssize_t, Py_ssize_t, const void *, void *, const double *, const double *, const double *,
                               const double *, const double *, const fl_soft *) noexcept nogil
        void (*tile_hess)(Py_ssize_t, Py_ssize_t, const void *, void *, const double *, const double *,
                          const double *, const double *) noexcept nogil
        void (*tile_negentropy)(Py_ssize_t, Py_ssize_t, const void *, int, double *) noexcept nogil
        void (*tile_temper)(Py_ssize_t, Py_ssize_t, void *, double) noexcept nogil
        double unbias

    ctypedef struct fl_rows_table:
        fl_rows_real f32
        fl_rows_real f64

    const fl_rows_table *fl_rows_table_at(const char *level)

cdef enum:
    HARD, SOFT, LOGSUMEXP, SOFTMAX, LOG_SOFTMAX, PICK, LABELS

cdef enum:
    BLOCK_WORK = 32768  # elements per block of rows
    BLOCK_ROWS = 256  # rows per block at the most
    LABEL_ROWS = 2048  # the same where labels alone are read
    STRIDED_ROWS = 128  # the same for strided classes
    STRIDED_WORK = 65536
    TILE_WORK = 16384  # elements per tile
    ROWS_FROM = 48  # contiguous classes from which the vector runs along the row
    POLL_CHUNKS = 2048  # chunks of one row between two checks for signals: about 3 ms
    KEEP_TO = 131072  # classes up to which a row's exponentials are kept for the gradient (they must fit the cache)
    STRIDED_TO = 65536  # strided classes up to which tiles are used: beyond, 16 positions alone would fill the cache

cdef struct RowsCall:
    Spans spans
    const fl_real_table *table
    const fl_rows_real *loops
    int kind, size
    Py_ssize_t n, classes, block, chunk, chunks, kept_stride
    bint tiled, stop
    AxisView x, t, grad, hess
    bint halves  # logits of two bytes, whose classes lie side by side
    fl_view labels, sample_weight
    bint has_labels, has_sample_weight, has_ignore
    int64_t ignore
    const double *class_weight
    const void *class_weight_real  # the same in the computation type
    double smoothing, scale, parameter, temperature
    int transform  # the loss is a function of cross-entropy; `parameter` is its own
    bint divergence, log_target  # (SOFT) less the targets' entropy; the targets are logarithms
    Values values
    double *weights
    char *scratch
    Py_ssize_t scratch_size

cdef struct RowsWorkspace:
    # one thread's workspace, cut in arrays of `block` entries each
    double *max  # the row's largest logit
    double *tail_sum  # sum over the others of e^(x - max)
    double *log1p  # of tail_sum
    double *exp_scale  # e times exp_scale 2^-bias is e^(x - max)
    double *temporary
    double *sample  # the sample's own weight
    double *weight  # sample weight x class weight: what multiplies the loss, and (class indices) the mean's denominator
    double *label_logit
    double *factor  # what the gradient's probabilities are multiplied by; or F'(l) of a transform (csrc/rows/transform.h)
    double *target_weight  # (SOFT) the weight in a mean; then what the gradient's target is multiplied by
    double *soft_loss  # sum over the classes of target weight x (max - x), or x F(l)
    double *soft_weight  # sum over the classes of the target's weights, or of these x F'(l)
    double *label_grad  # the gradient at the label
    double *value  # the loss; then the exponential at the label
    int64_t *label  # -1 where the sample is ignored
    # of each chunk, `chunks` entries for each row of the block; partial: the sum of the kept exponentials but the largest
    double *chunk_max
    double *chunk_partial
    double *chunk_scale
    double *chunk_tail
    char *x  # a chunk of logits, targets, results; or a whole tile of each
    char *t
    char *e
    char *kept  # the exponentials of the whole block, `kept_stride` bytes a row


cdef inline const fl_rows_real *row_loops(bint wide) noexcept nogil:
    return &fl_rows_table_at(isa()).f64 if wide else &fl_rows_table_at(isa()).f32


cdef inline bint keeps_exponentials(const RowsCall *call) noexcept nogil:
    """Whether the first pass leaves the exponentials in the workspace, to be rescaled instead of computed twice."""
    return call.grad.given and call.classes <= KEEP_TO and (
        call.kind == SOFTMAX or (call.kind == HARD and call.smoothing == 0)
    )


cdef inline Py_ssize_t workspace_size(RowsCall *call) noexcept nogil:
    cdef Py_ssize_t bulk = call.classes * call.block if call.tiled else call.chunk
    cdef Py_ssize_t kept = call.block * call.kept_stride if keeps_exponentials(call) and not call.tiled else 0
    return 15 * call.block * 8 + 4 * call.block * call.chunks * 8 + 3 * (bulk * call.size + 64) + kept + 2 * 64


cdef inline void lay_workspace(RowsCall *call, int thread, RowsWorkspace *ws) noexcept nogil:
    cdef char *at = call.scratch + thread * call.scratch_size
    cdef Py_ssize_t row = call.block * 8, bulk
    bulk = (call.classes * call.block if call.tiled else call.chunk) * call.size
    bulk = (bulk + 63) // 64 * 64
    ws.x, ws.t, ws.e = at, at + bulk, at + 2 * bulk
    at += 3 * bulk
    ws.max, ws.tail_sum, ws.log1p = <double *>at, <double *>(at + row), <double *>(at + 2 * row)
    ws.exp_scale, ws.temporary, ws.sample = <double *>(at + 3 * row), <double *>(at + 4 * row), <double *>(at + 5 * row)
    ws.weight, ws.label_logit, ws.factor = <double *>(at + 6 * row), <double *>(at + 7 * row), <double *>(at + 8 * row)
    ws.target_weight, ws.soft_loss = <double *>(at + 9 * row), <double *>(at + 10 * row)
    ws.soft_weight, ws.label_grad = <double *>(at + 11 * row), <double *>(at + 12 * row)
    ws.value, ws.label = <double *>(at + 13 * row), <int64_t *>(at + 14 * row)
    at += 15 * row
    row = call.block * call.chunks * 8
    ws.chunk_max, ws.chunk_partial = <double *>at, <double *>(at + row)
    ws.chunk_scale, ws.chunk_tail = <double *>(at + 2 * row), <double *>(at + 3 * row)
    ws.kept = <char *>((<size_t>(at + 4 * row) + 63) // 64 * 64)


# ---- samples: labels, weights, losses -------------------------------------------------------------------------------

cdef inline bint is_spread(const RowsCall *call) noexcept nogil:
    """Whether the target gives weight to more classes than one."""
    return call.kind == SOFT or (call.kind == HARD and call.smoothing > 0)


cdef inline fl_soft soft_of(RowsCall *call, const char *t, Py_ssize_t first) noexcept nogil:
    cdef fl_soft soft
    soft.t = t
    soft.class_weight = NULL
    if call.class_weight_real != NULL:
        soft.class_weight = <const char *>call.class_weight_real + first * call.size
    soft.mix, soft.floor = 1 - call.smoothing, call.smoothing / call.classes
    return soft


cdef inline void read_samples(RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t n, Py_ssize_t *bad) noexcept nogil:
    """Labels, checked, and weights of samples [start, start + n). One that does not count: label -1, weight -1."""
    cdef Py_ssize_t i, first
    if call.has_sample_weight:
        real_table(True).gather(&call.sample_weight, start, n, ws.sample)
    else:
        call.table.fill(n, 1, ws.sample)
    memcpy(ws.weight, ws.sample, n * sizeof(double))
    if not call.has_labels:
        for i in range(n):
            ws.label[i] = 0
        return
    fl_gather_labels(&call.labels, start, n, ws.label)
    first = call.loops.samples(n, ws.label, ws.weight, call.classes, call.has_ignore, call.ignore)
    if first >= 0 and bad[0] < 0:
        bad[0] = start + first
    if call.class_weight != NULL:
        for i in range(n):
            if ws.label[i] >= 0:
                ws.weight[i] *= call.class_weight[ws.label[i]]


cdef inline double label_weight(const RowsCall *call, const RowsWorkspace *ws, Py_ssize_t i) noexcept nogil:
    """The weight that the label itself has in a smoothed target, sample weight left out."""
    cdef double own = 1 - call.smoothing
    return own * call.class_weight[ws.label[i]] if call.class_weight != NULL else own


cdef inline double total_weight(const RowsCall *call, const RowsWorkspace *ws, Py_ssize_t i) noexcept nogil:
    """The weight of the sample's target over all classes: what multiplies its probabilities in a derivative."""
    if not is_spread(call):
        return ws.weight[i]
    return ws.sample[i] * (
        ws.soft_weight[i] + (label_weight(call, ws, i) if call.kind == HARD and ws.label[i] >= 0 else 0)
    )


cdef inline void finish_other_values(RowsCall *call, RowsWorkspace *ws, Partial *partial, Py_ssize_t n) noexcept nogil:
    """Targets spread over the classes, and plain picks."""
    cdef double value
    cdef Py_ssize_t i
    for i in range(n):
        if ws.label[i] < 0:
            value = ws.weight[i] = 0
        elif call.kind == PICK:
            value = -ws.weight[i] * ws.label_logit[i]
        elif not isfinite(ws.max[i]):
            value = NAN  # softmax of such a row is undefined
        elif call.transform != FL_PLAIN:
            value = ws.sample[i] * ws.soft_loss[i]
        else:
            value = ws.soft_loss[i] + ws.soft_weight[i] * ws.log1p[i]
            if call.kind == HARD:
                value += label_weight(call, ws, i) * ((ws.max[i] - ws.label_logit[i]) + ws.log1p[i])
            value *= ws.sample[i]
        if call.kind == SOFT:
            ws.weight[i] = ws.target_weight[i]
        ws.value[i] = value
        partial.sum += value
        partial.weight += ws.weight[i]


cdef inline void finish_values(
    RowsCall *call, RowsWorkspace *ws, Partial *partial, Py_ssize_t start, Py_ssize_t n
) noexcept nogil:
    """Losses of a block of samples from their statistics; their sum and their weights' sum."""
    cdef Py_ssize_t i
    if call.kind == HARD and call.smoothing == 0:
        if call.transform == FL_PLAIN:
            partial.sum = call.loops.hard_values(
                n, ws.max, ws.label_logit, ws.log1p, ws.weight, ws.value, &partial.weight
            )
        else:
            partial.sum = call.loops.transformed_values(
                n, call.transform, call.parameter, ws.max, ws.label_logit, ws.log1p, ws.weight, ws.value, ws.factor,
                &partial.weight
            )
    else:
        finish_other_values(call, ws, partial, n)
    for i in range(n if call.values.data != NULL else 0):
        store_value(&call.values, start + i, ws.value[i])
    if call.weights != NULL:
        memcpy(call.weights + start, ws.weight, n * sizeof(double))
    if call.transform != FL_PLAIN and not is_spread(call):
        for i in range(n):  # what cross-entropy's gradient is multiplied by
            ws.weight[i] *= ws.factor[i]


cdef inline double label_gradient(RowsCall *call, RowsWorkspace *ws, Py_ssize_t i, double p) noexcept nogil:
    """d loss / d logit at the label, times scale; p is the label's probability."""
    cdef double others = ws.tail_sum[i] / (1 + ws.tail_sum[i]) + (ws.max[i] - ws.max[i])  # nan for an infinite max
    cdef bint won = ws.label_logit[i] == ws.max[i]
    cdef double floor, own
    if call.smoothing == 0:
        return call.scale * ws.weight[i] * (-others if won else p - 1)
    floor = call.smoothing / call.classes
    if call.class_weight != NULL:
        floor *= call.class_weight[ws.label[i]]
    own = label_weight(call, ws, i)
    if won:
        return call.scale * ws.sample[i] * ((ws.soft_weight[i] - floor) - (ws.soft_weight[i] + own) * others)
    return call.scale * ws.sample[i] * ((ws.soft_weight[i] + own) * p - floor - own)


cdef inline void finish_logsumexp(RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        store_value(&call.values, start + i, ws.max[i] + ws.log1p[i])

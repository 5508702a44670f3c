# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Softmax over a class axis: cross-entropy and its relatives, logsumexp, softmax, log-softmax, and the plain pick of NLL.

Design:
- Rows whose classes are contiguous and many are read in place, in pieces of FL_PIECE_BYTES that stay in L1 between the search
  for the largest and the sum. Few classes, or a class axis strided over an image, go through tiles: C x P logits copied side
  by side, so that the vector runs over P rows at once.
- A row's statistics are `top`, its largest logit, and `rest`, the sum over the others of e^(x - top). The loss is
  (top - x_y) + log1p(rest), two terms >= 0: nothing cancels, so that a row won by 50 nats keeps all its digits. The gradient at
  the label of a won row is -rest / (1 + rest) for the same reason.
- A block of rows is finished before the next begins, so that the gradient's second reading comes from the cache.
- Labels are read once into the workspace, checked there and used from there: nobody can change them in between.

Letters: N rows (samples), C classes, P positions of a tile.
"""

cimport numpy as cnp
from libc.math cimport INFINITY, NAN, exp, isfinite
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from fastloss._kernels cimport (
    FL_BF16,
    FL_F16,
    FL_F32,
    FL_F64,
    AxisView,
    Partial,
    Spans,
    Values,
    Workspace,
    block_work,
    fl_gather_labels,
    fl_load_one,
    fl_merge_pieces,
    fl_real_table,
    fl_store_one,
    fl_view,
    interrupted,
    isa,
    make_view,
    position_at,
    read_tile,
    real_table,
    run_spans,
    set_axis_view,
    set_spans,
    set_values,
    store_value,
    write_tile,
)

cnp.import_array()

cdef extern from "rows/rows.h" nogil:
    enum:
        FL_PIECE_BYTES
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
        void *room
        const char *next
        Py_ssize_t next_step

    ctypedef struct fl_rows_real:
        void (*pieces)(Py_ssize_t, Py_ssize_t, const char *, Py_ssize_t, char *, Py_ssize_t, double *, double *,
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
        void (*hard_slopes)(Py_ssize_t, const double *, const double *, const double *, const double *, const double *,
                            const double *, double, double *, double *) noexcept nogil
        Py_ssize_t (*census)(Py_ssize_t, const int64_t *, int64_t, int, int64_t, int *) noexcept nogil
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


cdef const fl_rows_real *row_loops(bint wide) noexcept nogil:
    return &fl_rows_table_at(isa()).f64 if wide else &fl_rows_table_at(isa()).f32

cdef enum:
    HARD, SOFT, LOGSUMEXP, SOFTMAX, LOG_SOFTMAX, PICK, LABELS

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

cdef enum:
    BLOCK_WORK = 32768  # elements per block of rows
    BLOCK_ROWS = 256  # rows per block at the most
    LABEL_ROWS = 2048  # the same where labels alone are read
    STRIDED_ROWS = 128  # the same for strided classes
    STRIDED_WORK = 65536
    TILE_WORK = 16384  # elements per tile
    ROWS_FROM = 48  # contiguous classes from which the vector runs along the row
    POLL_PIECES = 2048  # pieces of one row between two looks at signals: about 3 ms
    KEEP_TO = 131072  # classes up to which a row's exponentials are kept for the gradient (they must fit the cache)
    STRIDED_TO = 65536  # strided classes up to which tiles are used: beyond, 16 positions alone would fill the cache

cdef struct RowsCall:
    Spans spans
    const fl_real_table *table
    const fl_rows_real *loops
    int kind, size
    Py_ssize_t n, classes, block, piece, pieces, kept_stride
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
    double *top
    double *rest
    double *log1p
    double *unit
    double *part
    double *sample  # the sample's own weight
    double *weight  # sample weight x class weight: what multiplies the loss, and (class indices) the mean's denominator
    double *picked  # the logit at the label
    double *factor
    double *down
    double *soft_loss
    double *soft_weight
    double *slope  # the gradient at the label
    double *value
    int64_t *label  # -1 where the sample is ignored
    double *piece_top  # these four: `pieces` entries for each row of the block
    double *piece_part
    double *piece_unit
    double *piece_rest
    char *x  # a piece of logits, targets, results; or a whole tile of each
    char *t
    char *e
    char *kept  # the exponentials of the whole block, `kept_stride` bytes a row


cdef Py_ssize_t workspace_size(RowsCall *call) noexcept nogil:
    cdef Py_ssize_t bulk = call.classes * call.block if call.tiled else call.piece
    cdef Py_ssize_t kept = call.block * call.kept_stride if keeps_exponentials(call) and not call.tiled else 0
    return 15 * call.block * 8 + 4 * call.block * call.pieces * 8 + 3 * (bulk * call.size + 64) + kept + 2 * 64


cdef void lay_workspace(RowsCall *call, int thread, RowsWorkspace *ws) noexcept nogil:
    cdef char *at = call.scratch + thread * call.scratch_size
    cdef Py_ssize_t row = call.block * 8, bulk
    bulk = (call.classes * call.block if call.tiled else call.piece) * call.size
    bulk = (bulk + 63) // 64 * 64
    ws.x, ws.t, ws.e = at, at + bulk, at + 2 * bulk
    at += 3 * bulk
    ws.top, ws.rest, ws.log1p = <double *>at, <double *>(at + row), <double *>(at + 2 * row)
    ws.unit, ws.part, ws.sample = <double *>(at + 3 * row), <double *>(at + 4 * row), <double *>(at + 5 * row)
    ws.weight, ws.picked, ws.factor = <double *>(at + 6 * row), <double *>(at + 7 * row), <double *>(at + 8 * row)
    ws.down, ws.soft_loss = <double *>(at + 9 * row), <double *>(at + 10 * row)
    ws.soft_weight, ws.slope = <double *>(at + 11 * row), <double *>(at + 12 * row)
    ws.value, ws.label = <double *>(at + 13 * row), <int64_t *>(at + 14 * row)
    at += 15 * row
    row = call.block * call.pieces * 8
    ws.piece_top, ws.piece_part = <double *>at, <double *>(at + row)
    ws.piece_unit, ws.piece_rest = <double *>(at + 2 * row), <double *>(at + 3 * row)
    ws.kept = <char *>((<size_t>(at + 4 * row) + 63) // 64 * 64)


# ---- samples: labels, weights, sums ---------------------------------------------------------------------------------

cdef void read_samples(RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t n, Py_ssize_t *bad) noexcept nogil:
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


cdef inline bint is_spread(const RowsCall *call) noexcept nogil:
    """Whether the target gives weight to more classes than one."""
    return call.kind == SOFT or (call.kind == HARD and call.smoothing > 0)


cdef double hard_part(const RowsCall *call, const RowsWorkspace *ws, Py_ssize_t i) noexcept nogil:
    """The weight that the label itself has in a smoothed target, sample weight left out."""
    cdef double own = 1 - call.smoothing
    return own * call.class_weight[ws.label[i]] if call.class_weight != NULL else own


cdef double whole_weight(const RowsCall *call, const RowsWorkspace *ws, Py_ssize_t i) noexcept nogil:
    """The weight of the sample's target over all classes: what multiplies its probabilities in a derivative."""
    if not is_spread(call):
        return ws.weight[i]
    return ws.sample[i] * (
        ws.soft_weight[i] + (hard_part(call, ws, i) if call.kind == HARD and ws.label[i] >= 0 else 0)
    )


cdef void finish_values(RowsCall *call, RowsWorkspace *ws, Partial *partial, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Losses of a block of samples from their statistics; their sum and their weights' sum."""
    cdef Py_ssize_t i
    if call.kind == HARD and call.smoothing == 0:
        if call.transform == FL_PLAIN:
            partial.sum = call.loops.hard_values(
                n, ws.top, ws.picked, ws.log1p, ws.weight, ws.value, &partial.weight
            )
        else:
            partial.sum = call.loops.transformed_values(
                n, call.transform, call.parameter, ws.top, ws.picked, ws.log1p, ws.weight, ws.value, ws.factor,
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


cdef void finish_other_values(RowsCall *call, RowsWorkspace *ws, Partial *partial, Py_ssize_t n) noexcept nogil:
    """Targets spread over the classes, and plain picks."""
    cdef double value
    cdef Py_ssize_t i
    for i in range(n):
        if ws.label[i] < 0:
            value = ws.weight[i] = 0
        elif call.kind == PICK:
            value = -ws.weight[i] * ws.picked[i]
        elif not isfinite(ws.top[i]):
            value = NAN  # softmax of such a row is undefined
        elif call.transform != FL_PLAIN:
            value = ws.sample[i] * ws.soft_loss[i]
        else:
            value = ws.soft_loss[i] + ws.soft_weight[i] * ws.log1p[i]
            if call.kind == HARD:
                value += hard_part(call, ws, i) * ((ws.top[i] - ws.picked[i]) + ws.log1p[i])
            value *= ws.sample[i]
        if call.kind == SOFT:
            ws.weight[i] = ws.down[i]
        ws.value[i] = value
        partial.sum += value
        partial.weight += ws.weight[i]


cdef double label_slope(RowsCall *call, RowsWorkspace *ws, Py_ssize_t i, double p) noexcept nogil:
    """d loss / d logit at the label, times scale; p is the label's probability."""
    cdef double others = ws.rest[i] / (1 + ws.rest[i]) + (ws.top[i] - ws.top[i])  # nan for an infinite top
    cdef bint won = ws.picked[i] == ws.top[i]
    cdef double floor, own
    if call.smoothing == 0:
        return call.scale * ws.weight[i] * (-others if won else p - 1)
    floor = call.smoothing / call.classes
    if call.class_weight != NULL:
        floor *= call.class_weight[ws.label[i]]
    own = hard_part(call, ws, i)
    if won:
        return call.scale * ws.sample[i] * ((ws.soft_weight[i] - floor) - (ws.soft_weight[i] + own) * others)
    return call.scale * ws.sample[i] * ((ws.soft_weight[i] + own) * p - floor - own)


cdef void finish_logsumexp(RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        store_value(&call.values, start + i, ws.top[i] + ws.log1p[i])


# ---- contiguous rows ------------------------------------------------------------------------------------------------

cdef void pick_from_rows(const RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """The logit at each sample's label, 0 for samples that do not count."""
    cdef Py_ssize_t i
    for i in range(n):
        ws.picked[i] = 0
        if ws.label[i] >= 0:
            ws.picked[i] = fl_load_one(
                position_at(&call.x, start + i) + ws.label[i] * call.x.step, call.x.rows.type
            )


cdef inline void describe_line(fl_view *line, const AxisView *view, char *data, Py_ssize_t n) noexcept nogil:
    line.data, line.type, line.ndim, line.shape[0], line.stride[0] = data, view.rows.type, 1, n, view.step


cdef inline const char *read_piece(
    RowsCall *call, const AxisView *view, char *row, Py_ssize_t first, Py_ssize_t n, char *scratch
) noexcept nogil:
    """Classes [first, first + n) of a row in the computation type: in place, or gathered into scratch."""
    cdef fl_view line
    if view.direct:
        return row + first * call.size
    describe_line(&line, view, row + first * view.step, n)
    call.table.gather(&line, 0, n, scratch)
    return scratch


cdef inline char *result_piece(
    RowsCall *call, const AxisView *view, char *row, Py_ssize_t first, char *scratch
) noexcept nogil:
    return row + first * call.size if view.direct else scratch


cdef inline void write_piece(
    RowsCall *call, const AxisView *view, char *row, Py_ssize_t first, Py_ssize_t n, const char *result
) noexcept nogil:
    cdef fl_view line
    if not view.direct:
        describe_line(&line, view, row + first * view.step, n)
        call.table.scatter(&line, 0, n, result)


cdef bint keeps_exponentials(const RowsCall *call) noexcept nogil:
    """Whether the first pass leaves the exponentials in the workspace, to be rescaled instead of computed twice."""
    return call.grad.given and call.classes <= KEEP_TO and (
        call.kind == SOFTMAX or (call.kind == HARD and call.smoothing == 0)
    )


cdef inline bint give_up(RowsCall *call, int thread, Py_ssize_t piece) noexcept nogil:
    """Between the pieces of an endless row, now and then: whether the call is to end."""
    return piece % POLL_PIECES == POLL_PIECES - 1 and interrupted(&call.stop, thread)


cdef inline bint walks_straight(const RowsCall *call, const AxisView *view) noexcept nogil:
    """Whether whole rows are single pieces that can be read or written in place, a fixed stride apart."""
    return call.pieces == 1 and view.direct and view.rows.ndim == 1 and call.temperature == 1


cdef void row_statistics(RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t n, int thread) noexcept nogil:
    """top, rest, log1p(rest) of n rows; per piece its top and unit, and perhaps its exponentials."""
    cdef Py_ssize_t i = 0, end, at
    while i < n:
        if ws.label[i] < 0:
            for at in range(i * call.pieces, (i + 1) * call.pieces):
                ws.piece_top[at] = ws.piece_part[at] = ws.piece_unit[at] = 0
            i += 1
        elif walks_straight(call, &call.x):
            end = i + 1
            while end < n and ws.label[end] >= 0:
                end += 1
            call.loops.pieces(
                end - i, call.classes, position_at(&call.x, start + i), call.x.rows.stride[0],
                ws.kept + i * call.kept_stride if keeps_exponentials(call) else NULL, call.kept_stride,
                &ws.piece_top[i], &ws.piece_part[i], &ws.piece_unit[i], NULL,
            )
            i = end
        else:
            if not one_row_statistics(call, ws, position_at(&call.x, start + i), i, thread):
                return
            i += 1
    call.loops.finish(n * call.pieces, ws.piece_part, ws.piece_unit, ws.piece_rest)
    for i in range(n):
        at = i * call.pieces
        if call.pieces == 1:
            ws.top[i], ws.rest[i], ws.unit[i] = ws.piece_top[i], ws.piece_rest[i], ws.piece_unit[i]
        else:
            fl_merge_pieces(call.pieces, &ws.piece_top[at], &ws.piece_rest[at], &ws.top[i], &ws.rest[i])
    call.loops.log1p(n, ws.rest, ws.log1p)


cdef bint one_row_statistics(RowsCall *call, RowsWorkspace *ws, char *row, Py_ssize_t i, int thread) noexcept nogil:
    """The same piece by piece; False if the call is to end."""
    cdef Py_ssize_t k, first, m, at
    cdef char *e = NULL
    for k in range(call.pieces):
        if give_up(call, thread, k):
            return False
        first, at = k * call.piece, i * call.pieces + k
        m = min(call.piece, call.classes - first)
        if keeps_exponentials(call):
            e = ws.kept + i * call.kept_stride + first * call.size
        call.loops.pieces(
            1, m, logits_piece(call, ws, row, first, m), 0, e, 0,
            &ws.piece_top[at], &ws.piece_part[at], &ws.piece_unit[at],
            row + (first + m) * call.x.step if call.halves else NULL,
        )
    return True


cdef inline const char *logits_piece(
    RowsCall *call, RowsWorkspace *ws, char *row, Py_ssize_t first, Py_ssize_t n
) noexcept nogil:
    """Classes [first, first + n) of a row of logits, divided by the temperature."""
    cdef const char *x = read_piece(call, &call.x, row, first, n, ws.x)
    cdef double reference = INFINITY  # the row's first finite logit: the difference is exact where it matters
    cdef Py_ssize_t c = 0
    if call.temperature == 1:
        return x
    while c < call.classes and not isfinite(reference):
        reference = fl_load_one(row + c * call.x.step, call.x.rows.type)
        c += 1
    call.loops.temper(n, x, reference if isfinite(reference) else 0, call.temperature, ws.x)
    return ws.x


cdef inline const char *target_piece(
    RowsCall *call, RowsWorkspace *ws, Py_ssize_t i, Py_ssize_t first, Py_ssize_t n
) noexcept nogil:
    """The same of the row's target probabilities."""
    cdef const char *t = read_piece(call, &call.t, position_at(&call.t, i), first, n, ws.t)
    if not call.log_target:
        return t
    call.loops.exps(n, t, ws.t)
    return ws.t


cdef fl_soft soft_of(RowsCall *call, const char *t, Py_ssize_t first) noexcept nogil:
    cdef fl_soft soft
    soft.t = t
    soft.class_weight = NULL
    if call.class_weight_real != NULL:
        soft.class_weight = <const char *>call.class_weight_real + first * call.size
    soft.mix, soft.floor = 1 - call.smoothing, call.smoothing / call.classes
    return soft


cdef void row_soft_sums(
    RowsCall *call, RowsWorkspace *ws, Partial *partial, Py_ssize_t start, Py_ssize_t n, int thread
) noexcept nogil:
    """Sums over the classes that a target spread over them needs; and (SOFT) the weight each sample has in a mean."""
    cdef Py_ssize_t i, first, m
    cdef fl_soft soft
    cdef double plain, ignored
    cdef char *row
    cdef const char *x
    cdef const char *t = NULL
    for i in range(n):
        ws.soft_loss[i] = ws.soft_weight[i] = 0
        if ws.label[i] < 0:
            continue
        row, plain, first = position_at(&call.x, start + i), 0, 0
        while first < call.classes and not give_up(call, thread, first // call.piece):
            m = min(call.piece, call.classes - first)
            x = logits_piece(call, ws, row, first, m)
            if call.divergence:
                t = read_piece(call, &call.t, position_at(&call.t, start + i), first, m, ws.t)
                call.loops.negentropy(m, t, call.log_target, &ws.soft_loss[i])
            if call.kind == SOFT:
                t = target_piece(call, ws, start + i, first, m)
                if not call.log_target:
                    call.table.extremes(m, t, &partial.low[0], &partial.high[0])
            soft = soft_of(call, t, first)
            if call.transform == FL_PLAIN:
                call.loops.soft_sums(m, x, ws.top[i], &soft, &ws.soft_loss[i], &ws.soft_weight[i])
            else:
                call.loops.transform_sums(
                    m, x, ws.top[i], ws.log1p[i], &soft, call.transform, call.parameter, &ws.soft_loss[i],
                    &ws.soft_weight[i]
                )
            if call.kind == SOFT and call.class_weight != NULL:
                soft.mix, soft.floor, ignored = 1, 0, 0
                call.loops.soft_sums(m, x, ws.top[i], &soft, &ignored, &plain)
            first += m
        if call.kind == SOFT:
            ws.down[i] = ws.sample[i] * (plain if call.class_weight != NULL else 1)
        elif call.transform != FL_PLAIN:
            add_label_transform(call, ws, i)


cdef void add_label_transform(RowsCall *call, RowsWorkspace *ws, Py_ssize_t i) noexcept nogil:
    """The label's own share of a smoothed target; leaves its slope in ws.slope."""
    cdef double weight = 1, ignored = 0, value, slope
    call.loops.transformed_values(
        1, call.transform, call.parameter, &ws.top[i], &ws.picked[i], &ws.log1p[i], &weight, &value, &slope, &ignored
    )
    ws.soft_loss[i] += hard_part(call, ws, i) * value
    ws.soft_weight[i] += hard_part(call, ws, i) * slope
    ws.slope[i] = slope


cdef double transformed_label_slope(RowsCall *call, RowsWorkspace *ws, Py_ssize_t i, double p) noexcept nogil:
    """As label_slope, for a smoothed target: soft_weight is the sum of all slopes, ws.slope the label's."""
    cdef double floor = call.smoothing / call.classes, own, others
    if call.class_weight != NULL:
        floor *= call.class_weight[ws.label[i]]
    own = (floor + hard_part(call, ws, i)) * ws.slope[i]
    if ws.picked[i] == ws.top[i]:
        others = ws.rest[i] / (1 + ws.rest[i])
        return call.scale * ws.sample[i] * ((ws.soft_weight[i] - own) - ws.soft_weight[i] * others)
    return call.scale * ws.sample[i] * (ws.soft_weight[i] * p - own)


cdef void hard_gradients(RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Gradients of n whole rows with class indices, from the exponentials kept."""
    cdef Py_ssize_t i
    for i in range(n):
        ws.value[i] = fl_load_one(
            ws.kept + i * call.kept_stride + max(ws.label[i], 0) * call.size, FL_F64 if call.size == 8 else FL_F32
        )
    call.loops.hard_slopes(
        n, ws.top, ws.picked, ws.rest, ws.unit, ws.value, ws.weight, call.scale, ws.factor, ws.slope
    )
    call.loops.hard_rows(
        n, call.classes, ws.kept, call.kept_stride, ws.factor, ws.slope, ws.label,
        position_at(&call.grad, start), call.grad.rows.stride[0],
    )


cdef double row_label_slope(RowsCall *call, RowsWorkspace *ws, Py_ssize_t i) noexcept nogil:
    """The gradient at the label of a whole row."""
    cdef double p = exp(ws.picked[i] - ws.top[i]) / (1 + ws.rest[i])
    if is_spread(call) and call.transform != FL_PLAIN:
        return transformed_label_slope(call, ws, i, p)
    return label_slope(call, ws, i, p)


cdef void spread_row_gradient(
    RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t i, Py_ssize_t first, Py_ssize_t m, const char *x, char *out
) noexcept nogil:
    """Classes [first, first + m) of the gradient, where the target is spread over the classes."""
    cdef const char *t = target_piece(call, ws, start + i, first, m) if call.kind == SOFT else NULL
    cdef fl_soft soft = soft_of(call, t, first)
    if call.transform == FL_PLAIN:
        call.loops.soft_grad(
            m, x, ws.top[i], ws.rest[i], call.scale * whole_weight(call, ws, i), call.scale * ws.sample[i], &soft, out
        )
    else:
        call.loops.transform_grad(
            m, x, ws.top[i], ws.log1p[i], call.scale * ws.sample[i], ws.soft_weight[i], &soft, call.transform,
            call.parameter, out
        )


cdef void row_gradient(
    RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t i, Py_ssize_t first, Py_ssize_t m, const char *x, char *out
) noexcept nogil:
    """The same of any kind, and (log-)softmax; what stands at the label comes later."""
    cdef double factor
    cdef Py_ssize_t at = i * call.pieces + first // call.piece
    if is_spread(call):
        spread_row_gradient(call, ws, start, i, first, m, x, out)
    elif call.kind == LOG_SOFTMAX:
        call.loops.log_softmax(m, x, ws.top[i], ws.log1p[i] if isfinite(ws.top[i]) else NAN, out)
    else:
        factor = call.scale * whole_weight(call, ws, i) / (1 + ws.rest[i])
        if keeps_exponentials(call):
            factor = factor * exp(ws.piece_top[at] - ws.top[i]) * ws.piece_unit[at]
            call.loops.rescale(m, ws.kept + i * call.kept_stride + first * call.size, factor, out)
        else:
            call.loops.softmax(m, x, ws.top[i], factor, out)


cdef void row_results(RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t i, int thread) noexcept nogil:
    """Gradient, Hessian, (log-)softmax of a row whose statistics are known."""
    cdef Py_ssize_t first = 0, m
    cdef bint counts = ws.label[i] >= 0, labelled = call.kind == HARD and counts
    cdef char *row = position_at(&call.x, start + i)
    cdef char *grad = position_at(&call.grad, start + i) if call.grad.given else NULL
    cdef char *hess = position_at(&call.hess, start + i) if call.hess.given else NULL
    cdef char *out
    cdef const char *x = NULL
    cdef double weight = whole_weight(call, ws, i), slope = row_label_slope(call, ws, i) if labelled else 0
    while first < call.classes and not give_up(call, thread, first // call.piece):
        m = min(call.piece, call.classes - first)
        if counts and (hess != NULL or not keeps_exponentials(call)):
            x = logits_piece(call, ws, row, first, m)
        if hess != NULL:
            out = result_piece(call, &call.hess, hess, first, ws.e)
            if counts:
                call.loops.softmax_hess(m, x, ws.top[i], ws.rest[i], call.scale * weight, out)
            else:
                memset(out, 0, m * call.size)
            write_piece(call, &call.hess, hess, first, m, out)
        if grad != NULL:
            out = result_piece(call, &call.grad, grad, first, ws.e)
            if counts:
                row_gradient(call, ws, start, i, first, m, x, out)
            else:
                memset(out, 0, m * call.size)
            if labelled and first <= ws.label[i] < first + m and isfinite(ws.top[i]):
                fl_store_one(out + (ws.label[i] - first) * call.size, FL_F64 if call.size == 8 else FL_F32, slope)
            write_piece(call, &call.grad, grad, first, m, out)
        first += m


cdef void rows_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef RowsCall *call = <RowsCall *>call_
    cdef Partial *partial = &call.spans.partials[b]
    cdef Py_ssize_t start = (call.spans.base + b) * call.block, n = min(call.block, call.n - start), i
    cdef RowsWorkspace ws
    lay_workspace(call, thread, &ws)
    read_samples(call, &ws, start, n, &partial.bad)
    if call.kind == HARD:
        pick_from_rows(call, &ws, start, n)
    row_statistics(call, &ws, start, n, thread)
    if is_spread(call):
        row_soft_sums(call, &ws, partial, start, n, thread)
    if call.kind == LOGSUMEXP:
        finish_logsumexp(call, &ws, start, n)
    elif call.kind == HARD or call.kind == SOFT:
        finish_values(call, &ws, partial, start, n)
    if call.kind == HARD and keeps_exponentials(call) and not call.hess.given and walks_straight(call, &call.grad):
        hard_gradients(call, &ws, start, n)
    elif call.grad.given or call.hess.given:
        for i in range(n):
            row_results(call, &ws, start, i, thread)


# ---- tiles ----------------------------------------------------------------------------------------------------------

cdef char *run_at(const RowsCall *call, const AxisView *view, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Where n positions from `start` on are straight runs of whole registers, one for each class, of the computation type; or
    NULL."""
    cdef Py_ssize_t last = view.rows.ndim - 1
    if (
        not view.planar or n % call.table.lanes
        or (last > 0 and start % view.rows.shape[last] + n > view.rows.shape[last])
    ):
        return NULL
    return position_at(view, start)


cdef void pick_from_tile(
    const RowsCall *call, const RowsWorkspace *ws, const char *tile, Py_ssize_t n, Py_ssize_t step, double *out
) noexcept nogil:
    """The entry at each sample's label; the tile's classes are `step` elements apart."""
    cdef Py_ssize_t i
    if call.size == 8:
        for i in range(n):
            out[i] = (<const double *>tile)[max(ws.label[i], 0) * step + i]
    else:
        for i in range(n):
            out[i] = (<const float *>tile)[max(ws.label[i], 0) * step + i]


cdef inline void set_tile_entry(const RowsCall *call, char *tile, Py_ssize_t i, double value) noexcept nogil:
    if call.size == 8:
        (<double *>tile)[i] = value
    else:
        (<float *>tile)[i] = <float>value


cdef void tile_soft_sums(RowsCall *call, RowsWorkspace *ws, Partial *partial, Py_ssize_t n, Py_ssize_t lanes) noexcept nogil:
    cdef fl_soft soft = soft_of(call, ws.t if call.kind == SOFT else NULL, 0)
    cdef Py_ssize_t i, c
    if call.log_target:
        call.table.fill(lanes, 0, ws.part)
        call.loops.tile_negentropy(call.classes, lanes, ws.t, True, ws.part)
        call.loops.exps(call.classes * lanes, ws.t, ws.t)
    elif call.divergence:
        call.table.fill(lanes, 0, ws.part)
        call.loops.tile_negentropy(call.classes, lanes, ws.t, False, ws.part)
    call.loops.tile_soft_sums(call.classes, lanes, ws.x, ws.top, &soft, ws.soft_loss, ws.soft_weight)
    if call.kind != SOFT:
        return
    if call.divergence:
        for i in range(n):
            ws.soft_loss[i] += ws.part[i]
    for c in range(0 if call.log_target else call.classes):
        call.table.extremes(n, ws.t + c * lanes * call.size, &partial.low[0], &partial.high[0])
    if call.class_weight == NULL:
        for i in range(n):
            ws.down[i] = ws.sample[i]
        return
    soft.mix, soft.floor = 1, 0
    call.loops.tile_soft_sums(call.classes, lanes, ws.x, ws.top, &soft, ws.part, ws.down)
    for i in range(n):
        ws.down[i] *= ws.sample[i]


cdef void tile_hessian(RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t n, Py_ssize_t lanes) noexcept nogil:
    """From the exponentials in ws.e and the logits in ws.x; the exponentials are used up."""
    cdef Py_ssize_t i
    for i in range(n, lanes):  # positions that are not there
        ws.factor[i] = 0
    call.loops.tile_hess(call.classes, lanes, ws.x, ws.e, ws.top, ws.rest, ws.unit, ws.factor)
    for i in range(n):
        if ws.label[i] < 0:
            blank_position(call, ws.e, i, lanes)
    write_tile(call.table, &call.hess, call.classes, start, n, lanes, ws.e)


cdef void blank_position(RowsCall *call, char *tile, Py_ssize_t i, Py_ssize_t step) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(call.classes):
        set_tile_entry(call, tile, c * step + i, 0)


cdef void tile_gradient(RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t n, Py_ssize_t lanes) noexcept nogil:
    """From the exponentials in ws.e, which are used up."""
    cdef Py_ssize_t i, step = call.grad.step // call.size
    cdef bint labelled = call.kind == HARD
    cdef char *out = run_at(call, &call.grad, start, n)
    if labelled:
        pick_from_tile(call, ws, ws.e, n, lanes, ws.value)
    for i in range(n, lanes):  # positions that are not there
        ws.factor[i] = ws.down[i] = 0
    if labelled and call.smoothing == 0:
        call.loops.hard_slopes(
            n, ws.top, ws.picked, ws.rest, ws.unit, ws.value, ws.weight, call.scale, ws.factor, ws.slope
        )
        if out == NULL:
            out, step = ws.e, lanes
        call.loops.tile_scale(call.classes, lanes, ws.e, ws.factor, out, step)
    else:
        out, step = ws.e, lanes
        spread_gradient(call, ws, n, lanes)
    if labelled:
        for i in range(n):
            if ws.label[i] < 0:
                blank_position(call, out, i, step)
            else:
                set_tile_entry(call, out, ws.label[i] * step + i, ws.slope[i])
    if out == ws.e:
        write_tile(call.table, &call.grad, call.classes, start, n, lanes, ws.e)


cdef void spread_gradient(RowsCall *call, RowsWorkspace *ws, Py_ssize_t n, Py_ssize_t lanes) noexcept nogil:
    """Softmax itself, and targets that are spread over the classes; ws.value holds the exponentials at the labels."""
    cdef Py_ssize_t i
    cdef fl_soft soft
    sample_factors(call, ws, n)
    for i in range(n):
        if call.kind == HARD and ws.label[i] >= 0:
            ws.slope[i] = label_slope(
                call, ws, i, ws.value[i] * (ws.unit[i] * call.loops.unbias) / (1 + ws.rest[i])
            )
        if call.kind == SOFTMAX:
            ws.factor[i] *= ws.unit[i] / (1 + ws.rest[i])
        ws.down[i] = call.scale * ws.sample[i]
    if call.kind == SOFTMAX:
        call.loops.tile_scale(call.classes, lanes, ws.e, ws.factor, ws.e, lanes)
    else:
        soft = soft_of(call, ws.t if call.kind == SOFT else NULL, 0)
        call.loops.tile_soft_grad(
            call.classes, lanes, ws.x, ws.e, ws.top, ws.rest, ws.unit, ws.factor, ws.down, &soft
        )


cdef void lay_tile(RowsCall *call, RowsWorkspace *ws, fl_tile *tile, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Logits in place, where they are runs and nothing but their statistics is asked for; otherwise in ws.x."""
    cdef char *there = NULL
    cdef bint plain = call.kind == LOGSUMEXP or call.kind == SOFTMAX or (call.kind == HARD and call.smoothing == 0)
    if plain and not call.hess.given and call.temperature == 1:
        there = run_at(call, &call.x, start, n)
    tile.C, tile.P, tile.room = call.classes, (n + call.table.lanes - 1) // call.table.lanes * call.table.lanes, NULL
    if not call.grad.given and not call.hess.given:
        ws.e = NULL
    elif plain and not call.hess.given:
        ws.e = ws.x  # the logits are not needed any more
    tile.e = ws.e
    if there != NULL:
        tile.x, tile.x_step, tile.room = there, call.x.step // call.size, ws.x
        return
    read_tile(call.table, &call.x, call.classes, start, n, tile.P, ws.x)
    if call.temperature != 1:
        call.loops.tile_temper(call.classes, tile.P, ws.x, call.temperature)
    tile.x, tile.x_step = ws.x, tile.P
    # where the next tile probably lies: on along the positions, and (contiguous classes) without a gap between its runs
    tile.next = position_at(&call.x, start) + n * call.x.rows.stride[call.x.rows.ndim - 1]
    tile.next_step = tile.P * call.size if call.x.direct else call.x.step


cdef void tile_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef RowsCall *call = <RowsCall *>call_
    cdef Partial *partial = &call.spans.partials[b]
    cdef Py_ssize_t start = (call.spans.base + b) * call.block, n = min(call.block, call.n - start), i, lanes
    cdef RowsWorkspace ws
    cdef fl_tile tile
    lay_workspace(call, thread, &ws)
    lay_tile(call, &ws, &tile, start, n)
    lanes = tile.P
    read_samples(call, &ws, start, n, &partial.bad)
    if call.kind == HARD and tile.room == NULL:  # before e, which may be x, is written
        pick_from_tile(call, &ws, <const char *>tile.x, n, tile.x_step, ws.picked)
    call.loops.tile_stats(&tile, ws.top, ws.rest, ws.unit)
    if call.kind == HARD and tile.room != NULL:  # after the runs were read in order
        pick_from_tile(call, &ws, <const char *>tile.x, n, tile.x_step, ws.picked)
    call.loops.log1p(n, ws.rest, ws.log1p)
    if call.kind == SOFT:
        read_tile(call.table, &call.t, call.classes, start, n, lanes, ws.t)
    if is_spread(call):
        tile_soft_sums(call, &ws, partial, n, lanes)
    if call.kind == LOGSUMEXP:
        finish_logsumexp(call, &ws, start, n)
        return
    if call.kind == LOG_SOFTMAX:
        for i in range(n):
            if not isfinite(ws.top[i]):
                ws.log1p[i] = NAN
        call.loops.tile_log_softmax(call.classes, lanes, ws.x, ws.top, ws.log1p)
        write_tile(call.table, &call.grad, call.classes, start, n, lanes, ws.x)
        return
    if call.kind == HARD or call.kind == SOFT:
        finish_values(call, &ws, partial, start, n)
    if call.hess.given:
        sample_factors(call, &ws, n)
        tile_hessian(call, &ws, start, n, lanes)
        if call.grad.given:  # the exponentials are used up
            call.loops.tile_stats(&tile, ws.top, ws.rest, ws.unit)
    if call.grad.given:
        tile_gradient(call, &ws, start, n, lanes)


cdef void sample_factors(RowsCall *call, RowsWorkspace *ws, Py_ssize_t n) noexcept nogil:
    """factor = scale x the whole weight of the sample's target."""
    cdef Py_ssize_t i
    for i in range(n):
        ws.factor[i] = call.scale * whole_weight(call, ws, i)


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
        partial.weight = n - call.loops.census(
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
            m = min(call.piece, call.classes - first)
            out = result_piece(call, &call.grad, row, first, ws.e)
            memset(out, 0, m * call.size)
            write_piece(call, &call.grad, row, first, m, out)
            first += m
        if ws.label[i] >= 0:
            fl_store_one(
                row + ws.label[i] * call.grad.step, call.grad.rows.type,
                -call.scale * ws.weight[i] if ws.picked[i] == ws.picked[i] else NAN,
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
    call.piece = FL_PIECE_BYTES // call.size
    call.pieces = (call.classes + call.piece - 1) // call.piece
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

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# Part of rows.pyx: tiles of C x P logits, P rows side by side along the vector.

from libc.math cimport NAN, isfinite

from fastloss._engines.rows_call cimport (
    HARD,
    LOGSUMEXP,
    LOG_SOFTMAX,
    SOFT,
    SOFTMAX,
    RowsCall,
    RowsWorkspace,
    finish_logsumexp,
    finish_values,
    fl_soft,
    fl_tile,
    is_spread,
    label_gradient,
    lay_workspace,
    read_samples,
    soft_of,
    total_weight,
)
from fastloss._kernels cimport AxisView, Partial, position_at, read_tile, write_tile


cdef inline char *run_at(const RowsCall *call, const AxisView *view, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Where n positions from `start` on are straight runs of whole registers, one for each class, of the computation type; or
    NULL."""
    cdef Py_ssize_t last = view.rows.ndim - 1
    if (
        not view.planar or n % call.table.lanes
        or (last > 0 and start % view.rows.shape[last] + n > view.rows.shape[last])
    ):
        return NULL
    return position_at(view, start)


cdef inline void pick_from_tile(
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


cdef inline void tile_soft_sums(
    RowsCall *call, RowsWorkspace *ws, Partial *partial, Py_ssize_t n, Py_ssize_t lanes
) noexcept nogil:
    cdef fl_soft soft = soft_of(call, ws.t if call.kind == SOFT else NULL, 0)
    cdef Py_ssize_t i, c
    if call.log_target:
        call.table.fill(lanes, 0, ws.temporary)
        call.loops.tile_negentropy(call.classes, lanes, ws.t, True, ws.temporary)
        call.loops.exps(call.classes * lanes, ws.t, ws.t)
    elif call.divergence:
        call.table.fill(lanes, 0, ws.temporary)
        call.loops.tile_negentropy(call.classes, lanes, ws.t, False, ws.temporary)
    call.loops.tile_soft_sums(call.classes, lanes, ws.x, ws.max, &soft, ws.soft_loss, ws.soft_weight)
    if call.kind != SOFT:
        return
    if call.divergence:
        for i in range(n):
            ws.soft_loss[i] += ws.temporary[i]
    for c in range(0 if call.log_target else call.classes):
        call.table.extremes(n, ws.t + c * lanes * call.size, &partial.low[0], &partial.high[0])
    if call.class_weight == NULL:
        for i in range(n):
            ws.target_weight[i] = ws.sample[i]
        return
    soft.mix, soft.floor = 1, 0
    call.loops.tile_soft_sums(call.classes, lanes, ws.x, ws.max, &soft, ws.temporary, ws.target_weight)
    for i in range(n):
        ws.target_weight[i] *= ws.sample[i]


cdef inline void zero_position(RowsCall *call, char *tile, Py_ssize_t i, Py_ssize_t step) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(call.classes):
        set_tile_entry(call, tile, c * step + i, 0)


cdef inline void sample_factors(RowsCall *call, RowsWorkspace *ws, Py_ssize_t n) noexcept nogil:
    """factor = scale x the whole weight of the sample's target."""
    cdef Py_ssize_t i
    for i in range(n):
        ws.factor[i] = call.scale * total_weight(call, ws, i)


cdef inline void tile_hessian(RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t n, Py_ssize_t lanes) noexcept nogil:
    """From the exponentials in ws.e and the logits in ws.x; the exponentials are used up."""
    cdef Py_ssize_t i
    for i in range(n, lanes):  # positions that are not there
        ws.factor[i] = 0
    call.loops.tile_hess(call.classes, lanes, ws.x, ws.e, ws.max, ws.tail_sum, ws.exp_scale, ws.factor)
    for i in range(n):
        if ws.label[i] < 0:
            zero_position(call, ws.e, i, lanes)
    write_tile(call.table, &call.hess, call.classes, start, n, lanes, ws.e)


cdef inline void spread_gradient(RowsCall *call, RowsWorkspace *ws, Py_ssize_t n, Py_ssize_t lanes) noexcept nogil:
    """Softmax itself, and targets that are spread over the classes; ws.value holds the exponentials at the labels."""
    cdef Py_ssize_t i
    cdef fl_soft soft
    sample_factors(call, ws, n)
    for i in range(n):
        if call.kind == HARD and ws.label[i] >= 0:
            ws.label_grad[i] = label_gradient(
                call, ws, i, ws.value[i] * (ws.exp_scale[i] * call.loops.unbias) / (1 + ws.tail_sum[i])
            )
        if call.kind == SOFTMAX:
            ws.factor[i] *= ws.exp_scale[i] / (1 + ws.tail_sum[i])
        ws.target_weight[i] = call.scale * ws.sample[i]
    if call.kind == SOFTMAX:
        call.loops.tile_scale(call.classes, lanes, ws.e, ws.factor, ws.e, lanes)
    else:
        soft = soft_of(call, ws.t if call.kind == SOFT else NULL, 0)
        call.loops.tile_soft_grad(
            call.classes, lanes, ws.x, ws.e, ws.max, ws.tail_sum, ws.exp_scale, ws.factor, ws.target_weight, &soft
        )


cdef inline void tile_gradient(
    RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t n, Py_ssize_t lanes
) noexcept nogil:
    """From the exponentials in ws.e, which are used up."""
    cdef Py_ssize_t i, step = call.grad.step // call.size
    cdef bint labelled = call.kind == HARD
    cdef char *out = run_at(call, &call.grad, start, n)
    if labelled:
        pick_from_tile(call, ws, ws.e, n, lanes, ws.value)
    for i in range(n, lanes):  # positions that are not there
        ws.factor[i] = ws.target_weight[i] = 0
    if labelled and call.smoothing == 0:
        call.loops.hard_factors(
            n, ws.max, ws.label_logit, ws.tail_sum, ws.exp_scale, ws.value, ws.weight, call.scale, ws.factor, ws.label_grad
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
                zero_position(call, out, i, step)
            else:
                set_tile_entry(call, out, ws.label[i] * step + i, ws.label_grad[i])
    if out == ws.e:
        write_tile(call.table, &call.grad, call.classes, start, n, lanes, ws.e)


cdef inline void lay_tile(RowsCall *call, RowsWorkspace *ws, fl_tile *tile, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Logits in place, where they are runs and nothing but their statistics is asked for; otherwise in ws.x."""
    cdef char *there = NULL
    cdef bint plain = call.kind == LOGSUMEXP or call.kind == SOFTMAX or (call.kind == HARD and call.smoothing == 0)
    if plain and not call.hess.given and call.temperature == 1:
        there = run_at(call, &call.x, start, n)
    tile.C, tile.P, tile.copy = call.classes, (n + call.table.lanes - 1) // call.table.lanes * call.table.lanes, NULL
    if not call.grad.given and not call.hess.given:
        ws.e = NULL
    elif plain and not call.hess.given:
        ws.e = ws.x  # the logits are not needed any more
    tile.e = ws.e
    if there != NULL:
        tile.x, tile.x_step, tile.copy = there, call.x.step // call.size, ws.x
        return
    read_tile(call.table, &call.x, call.classes, start, n, tile.P, ws.x)
    if call.temperature != 1:
        call.loops.tile_temper(call.classes, tile.P, ws.x, call.temperature)
    tile.x, tile.x_step = ws.x, tile.P
    # where the next tile probably lies: on along the positions, and (contiguous classes) without a gap between its runs
    tile.next = position_at(&call.x, start) + n * call.x.rows.stride[call.x.rows.ndim - 1]
    tile.next_step = tile.P * call.size if call.x.direct else call.x.step


cdef inline void tile_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef RowsCall *call = <RowsCall *>call_
    cdef Partial *partial = &call.spans.partials[b]
    cdef Py_ssize_t start = (call.spans.base + b) * call.block, n = min(call.block, call.n - start), i, lanes
    cdef RowsWorkspace ws
    cdef fl_tile tile
    lay_workspace(call, thread, &ws)
    lay_tile(call, &ws, &tile, start, n)
    lanes = tile.P
    read_samples(call, &ws, start, n, &partial.bad)
    if call.kind == HARD and tile.copy == NULL:  # before e, which may be x, is written
        pick_from_tile(call, &ws, <const char *>tile.x, n, tile.x_step, ws.label_logit)
    call.loops.tile_stats(&tile, ws.max, ws.tail_sum, ws.exp_scale)
    if call.kind == HARD and tile.copy != NULL:  # after the runs were read in order
        pick_from_tile(call, &ws, <const char *>tile.x, n, tile.x_step, ws.label_logit)
    call.loops.log1p(n, ws.tail_sum, ws.log1p)
    if call.kind == SOFT:
        read_tile(call.table, &call.t, call.classes, start, n, lanes, ws.t)
    if is_spread(call):
        tile_soft_sums(call, &ws, partial, n, lanes)
    if call.kind == LOGSUMEXP:
        finish_logsumexp(call, &ws, start, n)
        return
    if call.kind == LOG_SOFTMAX:
        for i in range(n):
            if not isfinite(ws.max[i]):
                ws.log1p[i] = NAN
        call.loops.tile_log_softmax(call.classes, lanes, ws.x, ws.max, ws.log1p)
        write_tile(call.table, &call.grad, call.classes, start, n, lanes, ws.x)
        return
    if call.kind == HARD or call.kind == SOFT:
        finish_values(call, &ws, partial, start, n)
    if call.hess.given:
        sample_factors(call, &ws, n)
        tile_hessian(call, &ws, start, n, lanes)
        if call.grad.given:  # the exponentials are used up
            call.loops.tile_stats(&tile, ws.max, ws.tail_sum, ws.exp_scale)
    if call.grad.given:
        tile_gradient(call, &ws, start, n, lanes)

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# Part of rows.pyx: rows whose classes are many, or are asked for one by one. The vector runs along the row.

from libc.math cimport INFINITY, NAN, exp, isfinite
from libc.string cimport memset

from fastloss._engines.rows_call cimport (
    FL_PLAIN,
    HARD,
    LOGSUMEXP,
    LOG_SOFTMAX,
    POLL_CHUNKS,
    SOFT,
    RowsCall,
    RowsWorkspace,
    finish_logsumexp,
    finish_values,
    fl_soft,
    label_weight,
    is_spread,
    keeps_exponentials,
    label_gradient,
    lay_workspace,
    read_samples,
    soft_of,
    total_weight,
)
from fastloss._kernels cimport (
    FL_F32,
    FL_F64,
    AxisView,
    Partial,
    fl_load_one,
    fl_merge_chunks,
    fl_store_one,
    fl_view,
    interrupted,
    position_at,
)


cdef inline void pick_from_rows(const RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """The logit at each sample's label, 0 for samples that do not count."""
    cdef Py_ssize_t i
    for i in range(n):
        ws.label_logit[i] = 0
        if ws.label[i] >= 0:
            ws.label_logit[i] = fl_load_one(
                position_at(&call.x, start + i) + ws.label[i] * call.x.step, call.x.rows.type
            )


cdef inline void describe_line(fl_view *line, const AxisView *view, char *data, Py_ssize_t n) noexcept nogil:
    line.data, line.type, line.ndim, line.shape[0], line.stride[0] = data, view.rows.type, 1, n, view.step


cdef inline const char *read_chunk(
    RowsCall *call, const AxisView *view, char *row, Py_ssize_t first, Py_ssize_t n, char *scratch
) noexcept nogil:
    """Classes [first, first + n) of a row in the computation type: in place, or gathered into scratch."""
    cdef fl_view line
    if view.direct:
        return row + first * call.size
    describe_line(&line, view, row + first * view.step, n)
    call.table.gather(&line, 0, n, scratch)
    return scratch


cdef inline char *result_chunk(
    RowsCall *call, const AxisView *view, char *row, Py_ssize_t first, char *scratch
) noexcept nogil:
    return row + first * call.size if view.direct else scratch


cdef inline void write_chunk(
    RowsCall *call, const AxisView *view, char *row, Py_ssize_t first, Py_ssize_t n, const char *result
) noexcept nogil:
    cdef fl_view line
    if not view.direct:
        describe_line(&line, view, row + first * view.step, n)
        call.table.scatter(&line, 0, n, result)


cdef inline bint is_interrupted(RowsCall *call, int thread, Py_ssize_t chunk) noexcept nogil:
    """Between the chunks of a very long row, now and then: whether the call must end (Ctrl-C)."""
    return chunk % POLL_CHUNKS == POLL_CHUNKS - 1 and interrupted(&call.stop, thread)


cdef inline bint has_plain_rows(const RowsCall *call, const AxisView *view) noexcept nogil:
    """Whether whole rows are single chunks that can be read or written in place, a fixed stride apart."""
    return call.chunks == 1 and view.direct and view.rows.ndim == 1 and call.temperature == 1


cdef inline const char *logits_chunk(
    RowsCall *call, RowsWorkspace *ws, char *row, Py_ssize_t first, Py_ssize_t n
) noexcept nogil:
    """Classes [first, first + n) of a row of logits, divided by the temperature."""
    cdef const char *x = read_chunk(call, &call.x, row, first, n, ws.x)
    cdef double reference = INFINITY  # the row's first finite logit: the difference is exact where it matters
    cdef Py_ssize_t c = 0
    if call.temperature == 1:
        return x
    while c < call.classes and not isfinite(reference):
        reference = fl_load_one(row + c * call.x.step, call.x.rows.type)
        c += 1
    call.loops.temper(n, x, reference if isfinite(reference) else 0, call.temperature, ws.x)
    return ws.x


cdef inline const char *target_chunk(
    RowsCall *call, RowsWorkspace *ws, Py_ssize_t i, Py_ssize_t first, Py_ssize_t n
) noexcept nogil:
    """The same of the row's target probabilities."""
    cdef const char *t = read_chunk(call, &call.t, position_at(&call.t, i), first, n, ws.t)
    if not call.log_target:
        return t
    call.loops.exps(n, t, ws.t)
    return ws.t


cdef inline bint one_row_statistics(RowsCall *call, RowsWorkspace *ws, char *row, Py_ssize_t i, int thread) noexcept nogil:
    """The same chunk by chunk; False if the call is to end."""
    cdef Py_ssize_t k, first, m, at
    cdef char *e = NULL
    for k in range(call.chunks):
        if is_interrupted(call, thread, k):
            return False
        first, at = k * call.chunk, i * call.chunks + k
        m = min(call.chunk, call.classes - first)
        if keeps_exponentials(call):
            e = ws.kept + i * call.kept_stride + first * call.size
        call.loops.chunks(
            1, m, logits_chunk(call, ws, row, first, m), 0, e, 0,
            &ws.chunk_max[at], &ws.chunk_partial[at], &ws.chunk_scale[at],
            row + (first + m) * call.x.step if call.halves else NULL,
        )
    return True


cdef inline void row_statistics(RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t n, int thread) noexcept nogil:
    """max, tail_sum, log1p(tail_sum) of n rows; per chunk its max and scale, and perhaps its exponentials."""
    cdef Py_ssize_t i = 0, end, at
    while i < n:
        if ws.label[i] < 0:
            for at in range(i * call.chunks, (i + 1) * call.chunks):
                ws.chunk_max[at] = ws.chunk_partial[at] = ws.chunk_scale[at] = 0
            i += 1
        elif has_plain_rows(call, &call.x):
            end = i + 1
            while end < n and ws.label[end] >= 0:
                end += 1
            call.loops.chunks(
                end - i, call.classes, position_at(&call.x, start + i), call.x.rows.stride[0],
                ws.kept + i * call.kept_stride if keeps_exponentials(call) else NULL, call.kept_stride,
                &ws.chunk_max[i], &ws.chunk_partial[i], &ws.chunk_scale[i], NULL,
            )
            i = end
        else:
            if not one_row_statistics(call, ws, position_at(&call.x, start + i), i, thread):
                return
            i += 1
    call.loops.finish(n * call.chunks, ws.chunk_partial, ws.chunk_scale, ws.chunk_tail)
    for i in range(n):
        at = i * call.chunks
        if call.chunks == 1:
            ws.max[i], ws.tail_sum[i], ws.exp_scale[i] = ws.chunk_max[i], ws.chunk_tail[i], ws.chunk_scale[i]
        else:
            fl_merge_chunks(call.chunks, &ws.chunk_max[at], &ws.chunk_tail[at], &ws.max[i], &ws.tail_sum[i])
    call.loops.log1p(n, ws.tail_sum, ws.log1p)


cdef inline void add_label_transform(RowsCall *call, RowsWorkspace *ws, Py_ssize_t i) noexcept nogil:
    """The label's own share of a smoothed target; leaves its F'(l) in ws.label_grad."""
    cdef double weight = 1, ignored = 0, value, label_grad
    call.loops.transformed_values(
        1, call.transform, call.parameter, &ws.max[i], &ws.label_logit[i], &ws.log1p[i], &weight, &value, &label_grad,
        &ignored,
    )
    ws.soft_loss[i] += label_weight(call, ws, i) * value
    ws.soft_weight[i] += label_weight(call, ws, i) * label_grad
    ws.label_grad[i] = label_grad


cdef inline void row_soft_sums(
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
        while first < call.classes and not is_interrupted(call, thread, first // call.chunk):
            m = min(call.chunk, call.classes - first)
            x = logits_chunk(call, ws, row, first, m)
            if call.divergence:
                t = read_chunk(call, &call.t, position_at(&call.t, start + i), first, m, ws.t)
                call.loops.negentropy(m, t, call.log_target, &ws.soft_loss[i])
            if call.kind == SOFT:
                t = target_chunk(call, ws, start + i, first, m)
                if not call.log_target:
                    call.table.extremes(m, t, &partial.low[0], &partial.high[0])
            soft = soft_of(call, t, first)
            if call.transform == FL_PLAIN:
                call.loops.soft_sums(m, x, ws.max[i], &soft, &ws.soft_loss[i], &ws.soft_weight[i])
            else:
                call.loops.transform_sums(
                    m, x, ws.max[i], ws.log1p[i], &soft, call.transform, call.parameter, &ws.soft_loss[i],
                    &ws.soft_weight[i]
                )
            if call.kind == SOFT and call.class_weight != NULL:
                soft.mix, soft.floor, ignored = 1, 0, 0
                call.loops.soft_sums(m, x, ws.max[i], &soft, &ignored, &plain)
            first += m
        if call.kind == SOFT:
            ws.target_weight[i] = ws.sample[i] * (plain if call.class_weight != NULL else 1)
        elif call.transform != FL_PLAIN:
            add_label_transform(call, ws, i)


cdef inline double transformed_label_gradient(RowsCall *call, RowsWorkspace *ws, Py_ssize_t i, double p) noexcept nogil:
    """As label_gradient, for a smoothed target: soft_weight is the sum of all F'(l), ws.label_grad the label's F'(l)."""
    cdef double floor = call.smoothing / call.classes, own, others
    if call.class_weight != NULL:
        floor *= call.class_weight[ws.label[i]]
    own = (floor + label_weight(call, ws, i)) * ws.label_grad[i]
    if ws.label_logit[i] == ws.max[i]:
        others = ws.tail_sum[i] / (1 + ws.tail_sum[i])
        return call.scale * ws.sample[i] * ((ws.soft_weight[i] - own) - ws.soft_weight[i] * others)
    return call.scale * ws.sample[i] * (ws.soft_weight[i] * p - own)


cdef inline void hard_gradients(RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Gradients of n whole rows with class indices, from the exponentials kept."""
    cdef Py_ssize_t i
    for i in range(n):
        ws.value[i] = fl_load_one(
            ws.kept + i * call.kept_stride + max(ws.label[i], 0) * call.size, FL_F64 if call.size == 8 else FL_F32
        )
    call.loops.hard_factors(
        n, ws.max, ws.label_logit, ws.tail_sum, ws.exp_scale, ws.value, ws.weight, call.scale, ws.factor, ws.label_grad
    )
    call.loops.hard_rows(
        n, call.classes, ws.kept, call.kept_stride, ws.factor, ws.label_grad, ws.label,
        position_at(&call.grad, start), call.grad.rows.stride[0],
    )


cdef inline double row_label_gradient(RowsCall *call, RowsWorkspace *ws, Py_ssize_t i) noexcept nogil:
    """The gradient at the label of a whole row."""
    cdef double p = exp(ws.label_logit[i] - ws.max[i]) / (1 + ws.tail_sum[i])
    if is_spread(call) and call.transform != FL_PLAIN:
        return transformed_label_gradient(call, ws, i, p)
    return label_gradient(call, ws, i, p)


cdef inline void spread_row_gradient(
    RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t i, Py_ssize_t first, Py_ssize_t m, const char *x, char *out
) noexcept nogil:
    """Classes [first, first + m) of the gradient, where the target is spread over the classes."""
    cdef const char *t = target_chunk(call, ws, start + i, first, m) if call.kind == SOFT else NULL
    cdef fl_soft soft = soft_of(call, t, first)
    if call.transform == FL_PLAIN:
        call.loops.soft_grad(
            m, x, ws.max[i], ws.tail_sum[i], call.scale * total_weight(call, ws, i), call.scale * ws.sample[i], &soft, out
        )
    else:
        call.loops.transform_grad(
            m, x, ws.max[i], ws.log1p[i], call.scale * ws.sample[i], ws.soft_weight[i], &soft, call.transform,
            call.parameter, out
        )


cdef inline void row_gradient(
    RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t i, Py_ssize_t first, Py_ssize_t m, const char *x, char *out
) noexcept nogil:
    """The same of any kind, and (log-)softmax; what stands at the label comes later."""
    cdef double factor
    cdef Py_ssize_t at = i * call.chunks + first // call.chunk
    if is_spread(call):
        spread_row_gradient(call, ws, start, i, first, m, x, out)
    elif call.kind == LOG_SOFTMAX:
        call.loops.log_softmax(m, x, ws.max[i], ws.log1p[i] if isfinite(ws.max[i]) else NAN, out)
    else:
        factor = call.scale * total_weight(call, ws, i) / (1 + ws.tail_sum[i])
        if keeps_exponentials(call):
            factor = factor * exp(ws.chunk_max[at] - ws.max[i]) * ws.chunk_scale[at]
            call.loops.rescale(m, ws.kept + i * call.kept_stride + first * call.size, factor, out)
        else:
            call.loops.softmax(m, x, ws.max[i], factor, out)


cdef inline void row_results(RowsCall *call, RowsWorkspace *ws, Py_ssize_t start, Py_ssize_t i, int thread) noexcept nogil:
    """Gradient, Hessian, (log-)softmax of a row whose statistics are known."""
    cdef Py_ssize_t first = 0, m
    cdef bint counts = ws.label[i] >= 0, labelled = call.kind == HARD and counts
    cdef char *row = position_at(&call.x, start + i)
    cdef char *grad = position_at(&call.grad, start + i) if call.grad.given else NULL
    cdef char *hess = position_at(&call.hess, start + i) if call.hess.given else NULL
    cdef char *out
    cdef const char *x = NULL
    cdef double weight = total_weight(call, ws, i), label_grad = row_label_gradient(call, ws, i) if labelled else 0
    while first < call.classes and not is_interrupted(call, thread, first // call.chunk):
        m = min(call.chunk, call.classes - first)
        if counts and (hess != NULL or not keeps_exponentials(call)):
            x = logits_chunk(call, ws, row, first, m)
        if hess != NULL:
            out = result_chunk(call, &call.hess, hess, first, ws.e)
            if counts:
                call.loops.softmax_hess(m, x, ws.max[i], ws.tail_sum[i], call.scale * weight, out)
            else:
                memset(out, 0, m * call.size)
            write_chunk(call, &call.hess, hess, first, m, out)
        if grad != NULL:
            out = result_chunk(call, &call.grad, grad, first, ws.e)
            if counts:
                row_gradient(call, ws, start, i, first, m, x, out)
            else:
                memset(out, 0, m * call.size)
            if labelled and first <= ws.label[i] < first + m and isfinite(ws.max[i]):
                fl_store_one(out + (ws.label[i] - first) * call.size, FL_F64 if call.size == 8 else FL_F32, label_grad)
            write_chunk(call, &call.grad, grad, first, m, out)
        first += m


cdef inline void rows_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
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
    if call.kind == HARD and keeps_exponentials(call) and not call.hess.given and has_plain_rows(call, &call.grad):
        hard_gradients(call, &ws, start, n)
    elif call.grad.given or call.hess.given:
        for i in range(n):
            row_results(call, &ws, start, i, thread)

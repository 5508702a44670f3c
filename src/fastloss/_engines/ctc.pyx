# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""CTC: the sum over all alignments of labels to frames, its gradient, occupation probabilities, and the likeliest alignment.

Design:
- A block is a sample; the longest come first, so that threads end together. A thread's workspace holds one sample at a time: for
  a value a few rows of states, for a gradient the states of all frames.
- A sample goes through its frames in short chunks: emissions of the chunk, then its states (csrc/ctc/frames.h,
  csrc/ctc/linear.h). The way back writes the gradient a chunk at a time; no frame is read after its gradient is written.
- Frames are read where they lie; those that are not contiguous or of another type, one at a time through the workspace.
- Classes that the labels do not use need no emission: of wide rows only the columns, the sample's own classes, are looked at one
  by one.
- Samples of which linear space may have lost something are done again with logarithms (csrc/ctc/log.h).

Labels and lengths are private copies, checked by `_plans/ctc.py`: nobody can change them in between.

Letters: N samples, T frames, C classes, S labels, U columns, P entries of a row of states.
"""

cimport numpy as cnp
from libc.math cimport INFINITY, NAN
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from fastloss._kernels cimport (
    FL_F32,
    FL_F64,
    Workspace,
    interrupted,
    isa,
    run_blocks,
    type_code,
)

cnp.import_array()

cdef extern from *:
    """
    #include "ctc/ctc.h"
    #include "common/levels.h"
    FL_TABLES(fl_ctc_table, fl_ctc_table)
    """

cdef extern from "ctc/ctc.h" nogil:
    enum:
        FL_CTC_LANES, FL_CTC_FRAMES, FL_CTC_TABLE

    ctypedef struct fl_ctc_frames:
        char *data
        Py_ssize_t step
        Py_ssize_t class_step
        int type
        bint direct

    ctypedef struct fl_ctc:
        Py_ssize_t T
        Py_ssize_t S
        Py_ssize_t C
        Py_ssize_t U
        Py_ssize_t P
        Py_ssize_t width
        bint log_probs
        const int32_t *classes
        const int32_t *column
        Py_ssize_t blank
        const double *skip
        const int32_t *since
        const double *need
        void *keep
        fl_ctc_frames x
        fl_ctc_frames grad
        double scale
        void *row
        void *out
        void *column_logits
        double *posterior
        char *posteriors
        Py_ssize_t posteriors_step
        bint posteriors_wide
        bint kept
        double *shift
        double *max
        double *tail_sum
        double *log_total
        double *others
        double *least
        double *emission
        double *occupied
        int32_t *exponent
        int32_t *frm "from"
        int32_t *to
        double *alpha
        double *beta
        double *exact
        unsigned char *back
        double log_sum
        double loss

    ctypedef struct fl_ctc_table:
        void (*mark[2])(fl_ctc *) noexcept nogil
        void (*frames[2])(fl_ctc *, Py_ssize_t, Py_ssize_t, bint, bint) noexcept nogil
        void (*grad[2])(fl_ctc *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*fill[2])(fl_ctc *, Py_ssize_t, Py_ssize_t, double) noexcept nogil
        void (*begin)(fl_ctc *) noexcept nogil
        void (*forward)(fl_ctc *, Py_ssize_t, Py_ssize_t) noexcept nogil
        bint (*end)(fl_ctc *, double) noexcept nogil
        void (*begin_backward)(fl_ctc *) noexcept nogil
        void (*backward)(fl_ctc *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*log_begin)(fl_ctc *) noexcept nogil
        void (*log_forward)(fl_ctc *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*log_end)(fl_ctc *) noexcept nogil
        void (*log_turn)(fl_ctc *) noexcept nogil
        void (*log_backward)(fl_ctc *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*exact_begin)(fl_ctc *) noexcept nogil
        void (*exact_forward)(fl_ctc *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*exact_end)(fl_ctc *) noexcept nogil
        void (*best_forward)(fl_ctc *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*best_path)(fl_ctc *, int64_t *) noexcept nogil

    const fl_ctc_table *fl_ctc_table_at(const char *level)

cdef enum:
    ALIGN = 64
    NARROW = 128  # as many classes all get a column: cheaper than picking
    POLL_WORK = 20000000  # states of frames, about 20 ms, after which a long sample checks for signals
    TOLERANCE = 60  # bits: what linear space may lose of a likelihood

cdef enum Way:
    LINEAR, LOGS, EXACT, BEST

# Losses below, times the frames, are computed by ctc_exact.h: the roundings of the frames, 2^-53 each, might cost a small loss
# more than 2^-24 of its size (floats), or 2^-33 (doubles).
cdef double SMALL = 2.0 ** -29, WIDE_SMALL = 2.0 ** -20

cdef struct CtcCall:
    const fl_ctc_table *table
    fl_ctc job  # the template of every sample's
    bint wide, zero_infinity, stop
    int32_t blank
    Py_ssize_t most_frames, most_labels, sample_step, grad_step, posteriors_step
    const int64_t *order
    const int64_t *frames  # T of each sample
    const int64_t *labels  # S
    const int64_t *starts  # where its labels begin
    const int32_t *label
    const double *scale
    double *losses
    char *redone
    int64_t *paths  # most_frames for each sample
    char *scratch
    Py_ssize_t scratch_size

cdef struct CtcWorkspace:
    # one thread's workspace, beside what the job points to
    int32_t *classes
    int32_t *column
    int32_t *column_of  # of each class, or -1
    int32_t *since
    double *skip
    double *need


# ---- workspace ------------------------------------------------------------------------------------------------------

cdef inline Py_ssize_t padded(Py_ssize_t n) noexcept nogil:
    return (n // FL_CTC_LANES + 1) * FL_CTC_LANES


cdef char *place(char **at, Py_ssize_t size) noexcept nogil:
    cdef char *here = at[0]
    at[0] += (size + ALIGN - 1) // ALIGN * ALIGN
    return here


cdef Py_ssize_t lay_workspace(const CtcCall *call, char *base, fl_ctc *job, CtcWorkspace *ws) noexcept nogil:
    """Carve the workspace at `base`, for the largest sample; return its size."""
    cdef char *at = base
    cdef Py_ssize_t T = call.most_frames, C = job.C, P = padded(call.most_labels), size = 8 if call.wide else 4
    cdef Py_ssize_t width = padded(max(min(C, <Py_ssize_t>NARROW), min(C, call.most_labels + 1), wide_limit(C, call.most_labels)))
    cdef Py_ssize_t table = max(width, <Py_ssize_t>FL_CTC_TABLE), frames = T if job.kept else FL_CTC_FRAMES
    ws.classes = <int32_t *>place(&at, width * 4)
    ws.column = <int32_t *>place(&at, P * 4)
    ws.column_of = <int32_t *>place(&at, C * 4)
    ws.since = <int32_t *>place(&at, P * 4)
    ws.skip = <double *>place(&at, P * 8)
    ws.need = <double *>place(&at, width * 8)
    job.keep = place(&at, C * size)
    job.row, job.out = place(&at, C * size), place(&at, C * size)
    job.column_logits = place(&at, frames * padded(min(C, call.most_labels + 1)) * size)
    job.shift = <double *>place(&at, frames * 8)
    job.max = <double *>place(&at, frames * 8)
    job.tail_sum = <double *>place(&at, frames * 8)
    job.log_total = <double *>place(&at, FL_CTC_FRAMES * 8)
    job.others = <double *>place(&at, FL_CTC_FRAMES * 8)
    job.least = <double *>place(&at, FL_CTC_FRAMES * 8)
    job.emission = <double *>place(&at, table * 8)
    job.exact = <double *>place(&at, 4 * P * 8)
    job.alpha = <double *>place(&at, (T + 1 if job.kept else 1) * 2 * P * 8)
    if call.paths != NULL:
        job.back = <unsigned char *>place(&at, T * 2 * P)
    if job.kept:
        job.exponent = <int32_t *>place(&at, (T + 1) * 4)
        job.frm = <int32_t *>place(&at, T * 4)
        job.to = <int32_t *>place(&at, T * 4)
        job.beta = <double *>place(&at, 2 * P * 8)
        job.posterior = <double *>place(&at, 2 * P * 8)
        if job.grad.data != NULL:
            job.occupied = <double *>place(&at, table * 8)
    return at - base


cdef inline Py_ssize_t wide_limit(Py_ssize_t C, Py_ssize_t S) noexcept nogil:
    """C where all classes get a column, else 0."""
    return C if C <= NARROW or C <= 2 * (S + 1) else 0


# ---- one sample -----------------------------------------------------------------------------------------------------

cdef bint read_labels(const CtcCall *call, fl_ctc *job, CtcWorkspace *ws, const int32_t *label) noexcept nogil:
    """Columns, and what follows from repetitions; whether there are frames enough."""
    cdef Py_ssize_t i, repeats = 0
    cdef int32_t u
    cdef bint all_columns = not job.log_probs and wide_limit(job.C, job.S) > 0
    for i in range(job.S):
        if i and label[i] == label[i - 1]:
            repeats += 1
        ws.skip[i] = 0 if i == 0 or label[i] == label[i - 1] else 1
        ws.since[i] = <int32_t>(i + repeats)
    if job.S + repeats > job.T:
        return False
    for i in range(job.S, job.P):
        ws.skip[i] = 0
    if all_columns:
        job.U = job.C
        job.classes, job.blank = NULL, call.blank
    else:
        job.U = 1
        job.classes, job.blank = ws.classes, 0
        ws.classes[0] = call.blank
        ws.column_of[call.blank] = 0
    for i in range(job.S):
        if all_columns:
            ws.column[i] = label[i]
            continue
        u = ws.column_of[label[i]]
        if u < 0:
            u = <int32_t>job.U
            ws.column_of[label[i]] = u
            ws.classes[u] = label[i]
            job.U += 1
        ws.column[i] = u
    job.width = padded(job.U)
    for i in range(job.S, job.P):
        ws.column[i] = <int32_t>job.U
    for i in range(job.width):
        ws.need[i] = 0
    ws.need[job.blank] = -INFINITY
    for i in range(job.S):
        ws.need[ws.column[i]] = -INFINITY
    if not all_columns and not job.log_probs:
        call.table.mark[call.wide](job)
    return True


cdef inline Py_ssize_t frames_per_chunk(const fl_ctc *job) noexcept nogil:
    """Frames whose emissions are kept at a time."""
    return max(<Py_ssize_t>1, min(<Py_ssize_t>FL_CTC_FRAMES, FL_CTC_TABLE // job.width))


cdef inline bint give_up(CtcCall *call, const fl_ctc *job, Py_ssize_t t, int thread) noexcept nogil:
    """After the chunk at t, now and then: whether the call is to end."""
    cdef Py_ssize_t n = frames_per_chunk(job), every = max(<Py_ssize_t>1, POLL_WORK // (n * (2 * job.P + job.C)))
    return t // n % every == every - 1 and interrupted(&call.stop, thread)


cdef bint sweep(CtcCall *call, fl_ctc *job, Way way, int thread) noexcept nogil:
    """All frames forward; whether they were finished."""
    cdef Py_ssize_t t = 0, n = frames_per_chunk(job), some
    if way == LINEAR:
        call.table.begin(job)
    elif way == EXACT:
        call.table.exact_begin(job)
    else:
        call.table.log_begin(job)
    while t < job.T:
        some = min(n, job.T - t)
        call.table.frames[call.wide](job, t, some, False, way == LOGS or way == BEST)
        if way == LINEAR:
            call.table.forward(job, t, some)
        elif way == LOGS:
            call.table.log_forward(job, t, some)
        elif way == EXACT:
            call.table.exact_forward(job, t, some)
        else:
            call.table.best_forward(job, t, some)
        if give_up(call, job, t, thread):
            return False
        t += some
    return True


cdef bint find_loss(CtcCall *call, fl_ctc *job, Way *way, int thread) noexcept nogil:
    """In linear space; with logarithms where that may have lost something; exactly where it is small. Whether it was finished."""
    cdef double small = job.T * (WIDE_SMALL if call.wide else SMALL)
    if not sweep(call, job, LINEAR, thread):
        return False
    if not call.table.end(job, TOLERANCE):
        way[0] = LOGS
        if not sweep(call, job, LOGS, thread):
            return False
        call.table.log_end(job)
    elif -small < job.loss < small:
        if not sweep(call, job, EXACT, thread):
            return False
        call.table.exact_end(job)
    return True


cdef void sweep_back(CtcCall *call, fl_ctc *job, Way way, int thread) noexcept nogil:
    """All frames backward, with the gradient."""
    cdef Py_ssize_t n = frames_per_chunk(job), t = job.T, some
    if way == LOGS:
        call.table.log_turn(job)
    else:
        call.table.begin_backward(job)
    while t > 0:
        some = t - (t - 1) // n * n  # the last chunk may be short
        t -= some
        call.table.frames[call.wide](job, t, some, True, way == LOGS)
        if way == LOGS:
            call.table.log_backward(job, t, some)
        else:
            call.table.backward(job, t, some)
        if job.grad.data != NULL:
            if way == LOGS:
                call.table.frames[call.wide](job, t, some, True, False)
            call.table.grad[call.wide](job, t, some)
        if give_up(call, job, t, thread):
            return


cdef void ctc_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef CtcCall *call = <CtcCall *>call_
    cdef Py_ssize_t i = call.order[b], t
    cdef fl_ctc job = call.job
    cdef CtcWorkspace ws
    cdef Way way = LINEAR
    cdef bint fits
    if call.stop:
        return
    lay_workspace(call, call.scratch + thread * call.scratch_size, &job, &ws)
    for t in range(job.C):
        ws.column_of[t] = -1
    job.T, job.S, job.P = call.frames[i], call.labels[i], padded(call.labels[i])
    job.column, job.skip, job.since, job.need = ws.column, ws.skip, ws.since, ws.need
    job.x.data += i * call.sample_step
    job.scale = call.scale[i] if call.scale != NULL else 1.0
    if job.grad.data != NULL:
        job.grad.data += i * call.grad_step
    if job.posteriors != NULL:
        job.posteriors += i * call.posteriors_step
    fits = read_labels(call, &job, &ws, call.label + call.starts[i])
    job.loss = INFINITY
    if fits and call.paths != NULL:
        if not sweep(call, &job, BEST, thread):
            return
        call.table.best_path(&job, call.paths + i * call.most_frames)
    elif fits and not find_loss(call, &job, &way, thread):
        return
    call.redone[i] = way == LOGS
    call.losses[i] = job.loss
    if call.paths != NULL:
        if not job.loss < INFINITY:
            for t in range(job.T):
                call.paths[i * call.most_frames + t] = -1
        return
    if not job.kept:
        return
    if job.loss - job.loss == 0:
        sweep_back(call, &job, way, thread)
    else:
        fill_undefined(call, &job)
    if job.grad.data != NULL:
        call.table.fill[call.wide](&job, job.T, call.most_frames - job.T, 0)


cdef void fill_undefined(CtcCall *call, fl_ctc *job) noexcept nogil:
    """What a sample without a finite loss gets: nan, or 0 where that is asked for and the loss is not nan."""
    cdef double value = 0.0 if call.zero_infinity and job.loss == job.loss else NAN
    cdef Py_ssize_t t, j
    if job.grad.data != NULL:
        call.table.fill[call.wide](job, 0, job.T, value)
    if job.posteriors != NULL:
        for t in range(job.T):
            for j in range(2 * job.S + 1):
                if job.posteriors_wide:
                    (<double *>(job.posteriors + t * job.posteriors_step))[j] = value
                else:
                    (<float *>(job.posteriors + t * job.posteriors_step))[j] = <float>value


# ---- entry point ----------------------------------------------------------------------------------------------------

cdef int set_frames(fl_ctc_frames *frames, cnp.ndarray a, bint wide) except -1:
    """Describe frames (N, T, C) of which a sample's are looked at a time."""
    cdef Py_ssize_t size = 8 if wide else 4
    frames.data = NULL
    if a is None:
        return 0
    frames.data = <char *>cnp.PyArray_DATA(a)
    frames.step, frames.class_step = cnp.PyArray_STRIDE(a, 1), cnp.PyArray_STRIDE(a, 2)
    frames.type = type_code(a)
    frames.direct = (
        frames.type == (FL_F64 if wide else FL_F32) and (frames.class_step == size or cnp.PyArray_DIM(a, 2) == 1)
        and <size_t>frames.data % size == 0 and frames.step % size == 0 and cnp.PyArray_STRIDE(a, 0) % size == 0
    )
    return 0


def ctc(
    cnp.ndarray x, cnp.ndarray labels, cnp.ndarray frames, cnp.ndarray counts, cnp.ndarray starts, cnp.ndarray order, *,
    int blank, bint log_probs, bint wide, bint zero_infinity=False, cnp.ndarray losses, cnp.ndarray redone,
    cnp.ndarray scale=None, cnp.ndarray grad=None, cnp.ndarray posteriors=None, cnp.ndarray paths=None, int threads=1,
):
    """Run CTC over the samples of x (N, T, C).

    labels: int32, all samples' one after another, checked. frames, counts, starts: int64, of each sample its frames, its labels,
    where they begin. order: int64, in which order samples are taken. Written: losses (N, float64), redone (N, bool: with
    logarithms), grad (x's shape, multiplied by `scale`, N float64), posteriors (N, T, 2 S + 1; float32 or float64; zeroed
    beforehand), paths (N, T int64; states in the order of the extended labels, beyond the frames left as they are; losses are
    then those of the paths). All but x and grad are C-contiguous.
    """
    cdef CtcCall call
    cdef Workspace workspace
    cdef CtcWorkspace ws
    cdef Py_ssize_t samples = cnp.PyArray_DIM(x, 0), n
    cdef double work = 0
    memset(&call, 0, sizeof(call))
    if samples == 0:
        return
    call.table = fl_ctc_table_at(isa())
    call.wide, call.zero_infinity, call.blank = wide, zero_infinity, blank
    call.job.log_probs, call.job.C = log_probs, cnp.PyArray_DIM(x, 2)
    call.most_frames = cnp.PyArray_DIM(x, 1)
    set_frames(&call.job.x, x, wide)
    set_frames(&call.job.grad, grad, wide)
    call.sample_step = cnp.PyArray_STRIDE(x, 0)
    call.grad_step = cnp.PyArray_STRIDE(grad, 0) if grad is not None else 0
    if posteriors is not None:
        call.job.posteriors = <char *>cnp.PyArray_DATA(posteriors)
        call.posteriors_step, call.job.posteriors_step = cnp.PyArray_STRIDE(posteriors, 0), cnp.PyArray_STRIDE(posteriors, 1)
        call.job.posteriors_wide = cnp.PyArray_TYPE(posteriors) == cnp.NPY_DOUBLE
    call.job.kept = grad is not None or posteriors is not None
    call.paths = <int64_t *>cnp.PyArray_DATA(paths) if paths is not None else NULL
    call.label = <const int32_t *>cnp.PyArray_DATA(labels)
    call.frames = <const int64_t *>cnp.PyArray_DATA(frames)
    call.labels = <const int64_t *>cnp.PyArray_DATA(counts)
    call.starts = <const int64_t *>cnp.PyArray_DATA(starts)
    call.order = <const int64_t *>cnp.PyArray_DATA(order)
    call.losses, call.redone = <double *>cnp.PyArray_DATA(losses), <char *>cnp.PyArray_DATA(redone)
    call.scale = <const double *>cnp.PyArray_DATA(scale) if scale is not None else NULL
    for n in range(samples):
        call.most_labels = max(call.most_labels, call.labels[n])
        work += call.frames[n] * (50.0 + call.labels[n] + 0.3 * call.job.C)
    threads = <int>max(1, min(threads, samples))
    workspace = Workspace(lay_workspace(&call, NULL, &call.job, &ws), threads)
    call.scratch, call.scratch_size = workspace.base(), workspace.size
    run_blocks(ctc_block, &call, samples, work / samples, threads)

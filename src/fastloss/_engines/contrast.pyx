# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Contrastive losses: every anchor's similarities to all candidates, sums of their exponentials, and the gradient, which is a
weighted sum of candidates.

Design:
- Rows are read once, from any type and layout, normalised in double, and copied twice in the computation type: as panels for
  the similarities (csrc/common/gemm.h's left operand) and as panels for the gradient (its right one).
- A block is FL_ANCHORS anchors, side by side in the vector lanes; their candidates go by in chunks. Sums run down the lanes, and
  a chunk of weights is, as it lies, the left operand of the gradient's product. A block writes what is its own and nothing else.
- Where anchors are the candidates, similarities are symmetric: a block is compared with the rows from its own on, and leaves the
  sums of the others' exponentials as partial sums, which are added in block order.
- The gradient needs all sums first. Exponentials are kept until then if they fit in KEPT_BYTES, else computed again: memory is
  linear in the number of rows.

Letters: N anchors, M candidates, D numbers of a row.
"""

import numpy as np

cimport numpy as cnp
from libc.math cimport ceil, frexp, ldexp, log2
from libc.stdint cimport int64_t
from libc.string cimport memset

from fastloss._engines.contrast_rows cimport (
    FL_ANCHORS,
    FL_CANDIDATES,
    PackCall,
    contrast_loops,
    contrast_table,
    fl_contrast,
    fl_contrast_grad,
    fl_contrast_real,
    fl_contrast_table,
    fl_contrast_weigh,
    measure_block,
    pack_block,
    read_row,
    source_of,
)
from fastloss._kernels cimport (
    Workspace,
    fl_real_table,
    fl_view,
    interrupted,
    make_view,
    real_table,
    round_up,
    run_blocks,
)

cnp.import_array()

cdef enum:
    KEPT_BYTES = 1 << 26
    PARTIAL_SUMS = 1 << 23  # kept at once
    CHUNKS = 32  # between two checks for signals

LANES = FL_ANCHORS


# ---- rows -----------------------------------------------------------------------------------------------------------

cdef class PackedRows:
    """Rows of one array, or of two, copied for products. `order` (int64): which of the rows of both comes where; None: as they
    come.

    Each is divided by its norm (`normalize`), or all are multiplied by 2**-exponent, which makes the longest at most 1.
    `gradient`: whether sums of rows are going to be asked for.
    """

    cdef PackCall call
    cdef Workspace memory
    cdef tuple held  # whose memory the views are of
    cdef cnp.ndarray order, power, inverse
    cdef bint wide
    cdef readonly Py_ssize_t exponent

    def __init__(self, tuple arrays, *, bint wide, bint normalize, bint gradient, int threads, cnp.ndarray order=None):
        cdef PackCall *call = &self.call
        cdef Py_ssize_t left_bytes, blocks
        cdef Workspace scratch
        cdef cnp.ndarray a
        self.held, self.order, self.wide, self.exponent = arrays, order, wide, 0
        call.table, call.loops = real_table(wide), contrast_loops(wide)
        call.n, call.D = sum(len(a) for a in arrays), arrays[0].shape[1]
        call.split = len(arrays[0])
        for k, a in enumerate(arrays):
            make_view(&call.source[<int>k], a)
        call.order = <const int64_t *>cnp.PyArray_DATA(order) if order is not None else NULL
        call.width, call.padded = round_up(call.D, call.loops.columns), round_up(call.n, FL_ANCHORS)
        call.normalize, call.measured, call.with_columns = normalize, False, gradient
        self.power, self.inverse = np.ones(call.n), np.ones(call.n)
        call.power, call.inverse = <double *>cnp.PyArray_DATA(self.power), <double *>cnp.PyArray_DATA(self.inverse)
        left_bytes = call.padded * call.width * call.table.size
        self.memory = Workspace((2 if gradient else 1) * left_bytes, 1)
        call.left = self.memory.base()
        call.columns = call.left + left_bytes
        blocks = call.padded // FL_ANCHORS
        threads = <int>max(1, min(threads, blocks))
        scratch = Workspace((1 + call.loops.panel_rows) * call.width * call.table.size, threads)
        call.scratch, call.scratch_size = scratch.base(), scratch.size
        if not normalize:
            run_blocks(measure_block, call, blocks, FL_ANCHORS * (20.0 + 0.2 * call.D), threads)
            self.choose_exponent()
        run_blocks(pack_block, call, blocks, FL_ANCHORS * (50.0 + 2.0 * call.D), threads)

    cdef int choose_exponent(self) except -1:
        """All rows get one power of two, so that the longest is at most 1."""
        cdef double most = -5000
        cdef int exponent
        cdef Py_ssize_t row
        for row in range(self.call.n):
            if self.call.inverse[row] > 0:  # neither 0 nor nan
                frexp(self.call.power[row], &exponent)  # a power of two: 0.5 times two to its exponent
                most = max(most, -log2(self.call.inverse[row]) - (exponent - 1))
        if most > -5000:
            self.exponent = <Py_ssize_t>max(-1000.0, ceil(most + 1e-9))
        self.power[:] = ldexp(1.0, <int>-self.exponent)
        self.inverse[:] = 1.0
        self.call.measured = True
        return 0


# ---- similarities of anchors and their positives, in double -------------------------------------------------------------

cdef struct OwnCall:
    const PackCall *a
    const PackCall *b
    const fl_contrast_table *table
    const int64_t *starts  # of the classes, of which there are `classes`
    Py_ssize_t classes
    double *own
    char *scratch
    Py_ssize_t scratch_size


cdef void normalize_in_double(const PackCall *call, Py_ssize_t row, char *x, double *z) noexcept nogil:
    read_row(call, row, x)
    call.loops.normalize_double(call.width, x, call.power[row], call.inverse[row], z)


cdef double *lay_own(const OwnCall *call, int thread, char **x) noexcept nogil:
    """One thread's workspace: a row as it is read, then three of doubles."""
    cdef Py_ssize_t bytes = call.a.width * call.a.table.size
    x[0] = call.scratch + thread * call.scratch_size
    memset(x[0], 0, bytes)
    return <double *>(x[0] + bytes)


cdef void paired_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef OwnCall *call = <OwnCall *>call_
    cdef char *x
    cdef double *z = lay_own(call, thread, &x)
    cdef Py_ssize_t row, first = b * FL_ANCHORS, width = call.a.width
    for row in range(first, min(first + FL_ANCHORS, call.a.n)):
        normalize_in_double(call.a, row, x, z)
        normalize_in_double(call.b, row, x, z + width)
        call.own[row] = call.table.dot(width, z, z + width)


cdef void class_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    """Classes b FL_ANCHORS .. : of two rows their product, of more a row's with the sum of the others."""
    cdef OwnCall *call = <OwnCall *>call_
    cdef char *x
    cdef double *z = lay_own(call, thread, &x)
    cdef double *sum = z + call.a.width
    cdef Py_ssize_t k, row, first, count, width = call.a.width
    for k in range(b * FL_ANCHORS, min((b + 1) * FL_ANCHORS, call.classes)):
        first, count = call.starts[k], call.starts[k + 1] - call.starts[k]
        if count == 2:
            normalize_in_double(call.a, first, x, z)
            normalize_in_double(call.a, first + 1, x, sum)
            call.own[first] = call.own[first + 1] = call.table.dot(width, z, sum)
            continue
        memset(sum, 0, width * sizeof(double))
        for row in range(first, first + count):
            normalize_in_double(call.a, row, x, z)
            call.table.add(width, z, sum)
        for row in range(first, first + count):
            normalize_in_double(call.a, row, x, z)
            call.own[row] = (call.table.dot(width, z, sum) - call.table.dot(width, z, z)) / max(<Py_ssize_t>1, count - 1)


def own_products(PackedRows a, PackedRows b=None, *, cnp.ndarray starts=None, int threads=1):
    """Products of each row with its positive, in double (float64, one per row): with row i of `b`; or within `a`, whose rows are
    sorted by class (`starts`: where each begins, and the number of rows; int64), the mean over the others of its class, 0 if
    there are none.
    """
    cdef OwnCall call
    cdef cnp.ndarray own = np.zeros(a.call.n)
    cdef Workspace scratch
    cdef Py_ssize_t blocks
    call.a = &a.call
    call.b = &a.call if b is None else &b.call
    call.table, call.own = contrast_table(), <double *>cnp.PyArray_DATA(own)
    call.starts, call.classes = NULL, a.call.n
    if starts is not None:
        call.starts, call.classes = <const int64_t *>cnp.PyArray_DATA(starts), cnp.PyArray_SIZE(starts) - 1
    blocks = (call.classes + FL_ANCHORS - 1) // FL_ANCHORS
    threads = <int>max(1, min(threads, blocks))
    scratch = Workspace(a.call.width * (a.call.table.size + 2 * sizeof(double)), threads)
    call.scratch, call.scratch_size = scratch.base(), scratch.size
    run_blocks(
        class_block if starts is not None else paired_block, &call, blocks, a.call.n / <double>blocks * (50.0 + 1.0 * a.call.D),
        threads,
    )
    return own


# ---- comparisons ----------------------------------------------------------------------------------------------------

cdef struct ComparisonCall:
    const PackCall *anchors  # whose rows lie in the lanes
    const PackCall *candidates
    const fl_real_table *table
    const fl_contrast_real *loops
    fl_contrast job  # the template of every chunk's
    fl_contrast_weigh weigh
    bint itself  # candidates are the anchors
    bint bounded
    bint transposed  # what is kept has the anchors as candidates
    char *kept
    Py_ssize_t base  # first block of the group that partial sums are kept of
    double *sums
    double *partial  # per block of the group: M sums over its lanes; or NULL
    char *maxima
    const PackCall *partners  # whose row i is added to the gradient of anchor i, times partner[i]
    const double *partner
    double factor
    fl_view grad[2]
    char *scratch
    Py_ssize_t scratch_size
    bint stop

cdef struct ComparisonWorkspace:
    char *right  # D x FL_ANCHORS
    char *e  # FL_CANDIDATES x FL_ANCHORS
    char *g  # FL_ANCHORS x D
    char *x  # D
    char *out  # D
    double *sums


cdef Py_ssize_t lay_workspace(const ComparisonCall *call, char *at, ComparisonWorkspace *ws) noexcept nogil:
    """Carve the workspace at `at`; return its size."""
    cdef Py_ssize_t row = call.job.D * call.table.size, tile = round_up(FL_ANCHORS * row, 64)
    cdef Py_ssize_t chunk = (FL_CANDIDATES + FL_ANCHORS) * FL_ANCHORS * call.table.size
    ws.right, ws.e, ws.g = at, at + tile, at + tile + chunk
    ws.x = ws.g + tile
    ws.out = ws.x + round_up(row, 64)
    ws.sums = <double *>(ws.out + round_up(row, 64))
    return 2 * tile + chunk + 2 * round_up(row, 64) + FL_ANCHORS * sizeof(double)


cdef char *kept_at(const ComparisonCall *call, Py_ssize_t block, Py_ssize_t candidate) noexcept nogil:
    """Where a block's exponentials are kept, from a candidate on; if candidates are the anchors, from the block's own on only."""
    cdef Py_ssize_t rows = block * (call.anchors.padded if call.transposed else call.candidates.padded) + candidate
    if call.itself:
        rows -= FL_ANCHORS * (block * (block - 1) // 2 + block)
    return call.kept + rows * FL_ANCHORS * call.table.size


cdef void set_block(
    const ComparisonCall *call, Py_ssize_t b, fl_contrast *job, ComparisonWorkspace *ws, int thread
) noexcept nogil:
    lay_workspace(call, call.scratch + thread * call.scratch_size, ws)
    job[0] = call.job
    job.anchor = b * FL_ANCHORS
    job.lanes = min(<Py_ssize_t>FL_ANCHORS, call.anchors.n - job.anchor)
    job.right = ws.right


cdef void set_chunk(const ComparisonCall *call, fl_contrast *job, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    job.first, job.rows = first, min(<Py_ssize_t>FL_CANDIDATES, end - first)
    job.left = call.candidates.left + first * job.D * call.table.size


cdef bint stopped(ComparisonCall *call, Py_ssize_t first, int thread) noexcept nogil:
    """Now and then in a long block: whether the call must end (Ctrl-C)."""
    return first // FL_CANDIDATES % CHUNKS == CHUNKS - 1 and interrupted(&call.stop, thread)


cdef void sums_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef ComparisonCall *call = <ComparisonCall *>call_
    cdef Py_ssize_t block = call.base + b, begin, first, size = call.table.size, end = call.candidates.n
    cdef fl_contrast job
    cdef ComparisonWorkspace ws
    set_block(call, block, &job, &ws, thread)
    call.loops.across(job.D, call.anchors.left + job.anchor * job.D * size, ws.right)
    job.sums = call.sums + job.anchor
    job.max = call.maxima + job.anchor * size if call.maxima != NULL else NULL
    begin = first = job.anchor if call.itself and call.bounded else 0
    while first < end and not stopped(call, first, thread):
        set_chunk(call, &job, first, end)
        job.e = kept_at(call, block, first) if call.kept != NULL else ws.e
        job.row_sums = call.partial + b * end + first if call.partial != NULL else NULL
        if call.bounded:
            call.loops.terms(&job)
        else:
            call.loops.products(&job)
            call.loops.online(&job)
        first += job.rows
    if call.kept != NULL:  # whole blocks are transposed
        first = round_up(end, call.loops.panel_rows)
        memset(kept_at(call, block, first), 0, (call.candidates.padded - first) * FL_ANCHORS * size)


cdef const void *chunk_of(ComparisonCall *call, Py_ssize_t b, fl_contrast *job, ComparisonWorkspace *ws) noexcept nogil:
    """Exponentials (or products) of a chunk: kept as they are, kept transposed, or computed."""
    cdef Py_ssize_t row, block = FL_ANCHORS * call.table.size
    if call.kept == NULL:
        job.e = ws.e
        if call.bounded:
            call.loops.terms(job)
        else:
            call.loops.products(job)
    elif not call.transposed and not (call.itself and job.first < job.anchor):
        return kept_at(call, b, job.first)
    else:
        row = job.first
        while row < job.first + job.rows:
            call.loops.transpose(kept_at(call, row // FL_ANCHORS, job.anchor), ws.e + (row - job.first) * block)
            row += FL_ANCHORS
    return ws.e


cdef void gradient_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef ComparisonCall *call = <ComparisonCall *>call_
    cdef Py_ssize_t first = 0, size = call.table.size, end = call.candidates.n
    cdef fl_contrast job
    cdef fl_contrast_weigh weigh = call.weigh
    cdef ComparisonWorkspace ws
    set_block(call, b, &job, &ws, thread)
    weigh.lane = <const char *>call.weigh.lane + job.anchor * size
    weigh.lane_own = <const char *>call.weigh.lane_own + job.anchor * size
    weigh.lane_max = <const char *>call.weigh.lane_max + job.anchor * size
    weigh.w = ws.e
    if call.kept == NULL and end > 0:
        call.loops.across(job.D, call.anchors.left + job.anchor * job.D * size, ws.right)
    while first < end and not stopped(call, first, thread):
        set_chunk(call, &job, first, job.anchor if call.itself and call.kept != NULL and first < job.anchor else end)
        job.e = <void *>chunk_of(call, b, &job, &ws)
        if call.bounded:
            call.loops.weigh(&job, &weigh)
        else:
            call.loops.weigh_products(&job, &weigh)
        call.loops.gather(
            job.rows, job.D, ws.e, call.candidates.columns + first * call.loops.columns * size,
            call.candidates.padded * call.loops.columns, ws.g, first > 0,
        )
        first += job.rows
    if end == 0:
        memset(ws.g, 0, FL_ANCHORS * job.D * size)
    write_gradients(call, &job, &ws)


cdef void write_gradients(ComparisonCall *call, const fl_contrast *job, ComparisonWorkspace *ws) noexcept nogil:
    """Each anchor's row of the gradient, through the normalisation."""
    cdef fl_contrast_grad grad
    cdef const PackCall *rows = call.anchors
    cdef Py_ssize_t i, row, at, size = call.table.size, columns = call.loops.columns
    cdef int which
    grad.x, grad.out, grad.factor, grad.normalized = ws.x, ws.out, call.factor, rows.normalize
    memset(ws.x, 0, job.D * size)
    for i in range(job.lanes):
        row = job.anchor + i
        grad.g = ws.g + i * job.D * size
        if call.partners != NULL:
            call.loops.add_row(
                job.D, call.partner[row], call.partners.columns + row * columns * size, call.partners.padded * columns,
                <void *>grad.g,
            )
        read_row(rows, row, ws.x)
        grad.power, grad.inverse = rows.power[row], rows.inverse[row]
        call.loops.grad(job.D, &grad)
        at = source_of(rows, row, &which)
        call.table.scatter(&call.grad[which], at * rows.D, rows.D, ws.out)


cdef class Comparison:
    """Anchors against candidates, which may be the same rows.

    factor: what products are multiplied by to be similarities. low, high (int64, one per candidate, increasing; or None): the
    anchors that are the candidate itself or its positives, which are left out of sums if they are two at the most, else only the
    candidate itself is. keep: whether `slopes` will be called.
    """

    cdef readonly PackedRows anchors, candidates
    cdef readonly bint bounded  # whether exponentials share one power of two, 2**exponent; else each anchor has its own maximum
    cdef readonly double exponent
    cdef cnp.ndarray low, high
    cdef Workspace kept, scratch
    cdef double factor
    cdef int threads

    def __init__(
        self, PackedRows anchors, PackedRows candidates, double factor, cnp.ndarray low, cnp.ndarray high, *, bint keep,
        int threads,
    ):
        cdef const fl_contrast_real *loops = anchors.call.loops
        cdef double rows
        self.anchors, self.candidates, self.factor = anchors, candidates, factor
        self.low, self.high, self.threads = low, high, threads
        self.bounded = 2 * factor <= loops.range
        self.exponent = np.rint(factor / np.log(2)) - loops.bias if self.bounded else 0.0
        if keep and self.bounded:
            rows = <double>anchors.call.padded * candidates.call.padded
            if anchors is candidates:
                rows = (rows + FL_ANCHORS * <double>anchors.call.padded) / 2
            if rows * anchors.call.table.size <= KEPT_BYTES:
                self.kept = Workspace(<Py_ssize_t>rows * anchors.call.table.size, 1)

    cdef int prepare(self, ComparisonCall *call, bint transposed) except -1:
        """What sums and gradients share."""
        cdef ComparisonWorkspace ws
        cdef PackedRows anchors = self.candidates if transposed else self.anchors
        cdef PackedRows candidates = self.anchors if transposed else self.candidates
        memset(call, 0, sizeof(ComparisonCall))
        call.anchors, call.candidates = &anchors.call, &candidates.call
        call.table, call.loops = anchors.call.table, anchors.call.loops
        call.itself, call.bounded, call.transposed = anchors is candidates, self.bounded, transposed
        call.kept = self.kept.base() if self.kept is not None else NULL
        call.job.D, call.job.factor, call.job.exponent = anchors.call.width, self.factor, self.exponent
        if self.low is not None:
            call.job.low = <const int64_t *>cnp.PyArray_DATA(self.low)
            call.job.high = <const int64_t *>cnp.PyArray_DATA(self.high)
        self.scratch = Workspace(lay_workspace(call, NULL, &ws), self.threads_for(call))
        call.scratch, call.scratch_size = self.scratch.base(), self.scratch.size
        return 0

    cdef int threads_for(self, const ComparisonCall *call) noexcept:
        return <int>max(<Py_ssize_t>1, min(<Py_ssize_t>self.threads, call.anchors.padded // FL_ANCHORS))

    cdef double cost(self, const ComparisonCall *call) noexcept:
        return FL_ANCHORS * call.candidates.n * (0.5 + 0.02 * call.job.D)

    def sums(self, bint both=False):
        """Sums of the anchors' exponentials, and their largest products (None if bounded): e^(factor (u - max)) is what is added,
        or e^(factor u) 2^-exponent. `both`: also sums over the anchors, of the candidates' (bounded comparisons only).

        Returns (sums, maxima, candidates' sums or None).
        """
        cdef ComparisonCall call
        self.prepare(&call, False)
        cdef Py_ssize_t blocks = call.anchors.padded // FL_ANCHORS, group, b, j, M = call.candidates.n
        cdef bint partial = self.bounded and (both or call.itself)
        cdef cnp.ndarray sums = np.zeros(call.anchors.padded), maxima = None, partials = None
        cdef cnp.ndarray others = np.zeros(M)
        cdef double *other = <double *>cnp.PyArray_DATA(others)
        call.sums = <double *>cnp.PyArray_DATA(sums)
        if not self.bounded:
            dtype = np.float64 if self.anchors.wide else np.float32
            maxima = np.full(call.anchors.padded, -np.finfo(dtype).max, dtype)
            call.maxima = <char *>cnp.PyArray_DATA(maxima)
        group = blocks
        if partial and M:
            group = max(<Py_ssize_t>1, min(blocks, PARTIAL_SUMS // M))
            partials = np.empty((group, M))
            call.partial = <double *>cnp.PyArray_DATA(partials)
        while call.base < blocks:
            group = min(group, blocks - call.base)
            run_blocks(sums_block, &call, group, self.cost(&call), self.threads_for(&call))
            if call.partial != NULL:
                for b in range(group):
                    for j in range((call.base + b + 1) * FL_ANCHORS if call.itself else 0, M):
                        other[j] += call.partial[b * M + j]
            call.base += group
        sums = sums[:call.anchors.n]
        if call.itself and self.bounded:
            sums += others
        return sums, (None if maxima is None else maxima[:call.anchors.n]), (others if both else None)

    def slopes(
        self, tuple grads, double factor, cnp.ndarray lane, cnp.ndarray row, cnp.ndarray lane_max, cnp.ndarray row_max,
        cnp.ndarray own, *, bint turned=False, PackedRows partners=None, cnp.ndarray partner=None,
    ):
        """The gradient with respect to the anchors (`turned`: the candidates), times `factor`, into arrays like those the rows
        come from.

        lane, row (anchors', candidates'): what their exponentials are multiplied by; own: what is subtracted at positives, if
        candidates are the anchors. lane_max, row_max: as for `sums`, infinite where no exponentials are meant; unused if bounded.
        All in the computation type, contiguous, the anchors' padded to a multiple of LANES. partner (float64): row i of
        `partners` is added to anchor i's weighted sum so many times.
        """
        cdef ComparisonCall call
        cdef cnp.ndarray a
        self.prepare(&call, turned)
        call.weigh.lane, call.weigh.row = cnp.PyArray_DATA(lane), cnp.PyArray_DATA(row)
        call.weigh.lane_max, call.weigh.row_max = cnp.PyArray_DATA(lane_max), cnp.PyArray_DATA(row_max)
        call.weigh.lane_own = call.weigh.row_own = cnp.PyArray_DATA(own)
        call.weigh.itself, call.factor = call.itself, factor
        if partners is not None:
            call.partners, call.partner = &partners.call, <const double *>cnp.PyArray_DATA(partner)
        for k, a in enumerate(grads):
            make_view(&call.grad[<int>k], a)
        cost = 2 * self.cost(&call) + 1000.0
        run_blocks(gradient_block, &call, call.anchors.padded // FL_ANCHORS, cost, self.threads_for(&call))

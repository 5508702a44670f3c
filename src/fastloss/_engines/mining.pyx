# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""All pairs of rows: their distances, and the triplets mined from them.

Design:
- Distances come from products of matrices (csrc/common/gemm.h), tile by tile. The rows of one batch are packed once; then a block
  of anchors is compared with all rows, and nothing larger than the block's distances is kept. Distances that cancel are computed
  again from differences.
- Mining sees one anchor and its row of distances: csrc/mining/mine.h.
- The hardest triplets are two rows for each anchor, so their gradient is a sum over lists of neighbours. Of the other minings the
  gradients with respect to a slab of anchors' distances are kept, as a matrix, and the gradient is two products with it: one for
  the anchors, one for the rows they were compared with. A slab is as many anchors as keep all threads busy, or as fit the caches.
- Blocks and slabs depend on the shape alone, and each number is summed by one thread in one order.

Letters: N rows, D dimensions.
"""

import numpy as np

cimport numpy as cnp
from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from fastloss._kernels cimport (
    FL_F32,
    FL_F64,
    Workspace,
    fl_real_table,
    fl_view,
    isa,
    make_view,
    real_table,
    round_up,
    run_blocks,
)

cnp.import_array()

cdef extern from "mining/mining.h" nogil:
    enum:
        FL_BLOCK_ROWS
        FL_SQUARED, FL_EUCLIDEAN, FL_COSINE
        FL_HARD, FL_SEMIHARD, FL_ALL, FL_ALL_SEMIHARD

    ctypedef struct fl_points:
        Py_ssize_t N
        Py_ssize_t D
        Py_ssize_t step
        const void *rows
        const void *left
        const void *right
        const void *square
        const void *by_dimension
        const double *norm

    ctypedef struct fl_anchor:
        Py_ssize_t N
        Py_ssize_t anchor
        const int32_t *member
        Py_ssize_t members
        int mining
        int squared
        double margin
        double weight
        void *row
        void *gradients
        Py_ssize_t columns
        char *scratch
        double value
        double active
        double valid

    ctypedef struct fl_pairs_real:
        void (*centre)(const fl_points *, double *, void *) noexcept nogil
        void (*prepare)(const fl_points *, const void *, Py_ssize_t, Py_ssize_t, void *, void *, void *, void *) noexcept nogil
        void (*normalize)(const fl_points *, Py_ssize_t, Py_ssize_t, void *, double *) noexcept nogil
        void (*distances)(const fl_points *, const fl_points *, int, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, void *,
                          Py_ssize_t) noexcept nogil
        double (*distance)(const fl_points *, Py_ssize_t, Py_ssize_t, int) noexcept nogil
        int (*hardest)(Py_ssize_t, Py_ssize_t, void *, const void *, Py_ssize_t, Py_ssize_t *, Py_ssize_t *) noexcept nogil
        void (*mine)(fl_anchor *) noexcept nogil
        Py_ssize_t (*scratch_bytes)(Py_ssize_t) noexcept nogil
        void (*add_difference)(const fl_points *, Py_ssize_t, Py_ssize_t, double, double *) noexcept nogil
        void (*weighted_sums)(const fl_points *, Py_ssize_t, Py_ssize_t, const void *, const void *, Py_ssize_t, Py_ssize_t,
                              void *, double *, void *) noexcept nogil
        void (*row_gradient)(const fl_points *, Py_ssize_t, const void *, double, double, void *) noexcept nogil
        int tile_rows
        int tile_columns
        int size

    ctypedef struct fl_pairs_table:
        fl_pairs_real f32
        fl_pairs_real f64

    const fl_pairs_table *fl_pairs_table_at(const char *level)

METRICS = {"sqeuclidean": FL_SQUARED, "euclidean": FL_EUCLIDEAN, "cosine": FL_COSINE}
MININGS = {"hard": FL_HARD, "semihard": FL_SEMIHARD, "all": FL_ALL, "all_semihard": FL_ALL_SEMIHARD}

cdef enum:
    BLOCK = FL_BLOCK_ROWS  # anchors of a block: whole tiles at every level
    PREPARED = 96  # rows that are packed at a time: whole tiles on both sides
    CHUNK = 512  # columns of distances that are finished before the next ones
    SLAB_ROWS = 768  # anchors of a slab, or as many as
    SLAB_SIZE = 4194304  # gradients are
    COST = 4  # ps for a product of two numbers, with what is done to the sum


cdef const fl_pairs_real *pair_loops(bint wide) noexcept nogil:
    cdef const fl_pairs_table *table = fl_pairs_table_at(isa())
    return &table.f64 if wide else &table.f32


# ---- rows ------------------------------------------------------------------------------------------------------------

cdef struct PointsCall:
    const fl_real_table *table
    const fl_pairs_real *loops
    fl_points rows  # as given
    fl_view view
    double scale
    const void *centre
    char *normalized
    double *norm
    char *left
    char *right
    char *square
    char *by_dimension


cdef void copy_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef PointsCall *call = <PointsCall *>call_
    cdef Py_ssize_t i, d, size = call.table.size
    cdef char *row
    for i in range(b * PREPARED, min((b + 1) * PREPARED, call.rows.N)):
        row = <char *>call.rows.rows + i * call.rows.step * size
        call.table.gather(&call.view, i * call.rows.D, call.rows.D, row)
        memset(row + call.rows.D * size, 0, (call.rows.step - call.rows.D) * size)
        if call.scale != 1:
            for d in range(call.rows.D):
                if size == 8:
                    (<double *>row)[d] *= call.scale
                else:
                    (<float *>row)[d] *= <float>call.scale


cdef void prepare_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef PointsCall *call = <PointsCall *>call_
    cdef Py_ssize_t first = b * PREPARED, last = min(first + PREPARED, call.rows.N)
    cdef fl_points rows = call.rows
    if call.normalized != NULL:
        call.loops.normalize(&call.rows, first, last, call.normalized, call.norm)
        rows.rows = call.normalized
    call.loops.prepare(&rows, call.centre, first, last, call.left, call.right, call.square, call.by_dimension)


cdef class Points:
    """Rows of an array (N, D), N and D > 0, as the loops take them."""

    cdef fl_points job
    cdef const char *centre  # what was subtracted before packing, or NULL
    cdef Py_ssize_t columns  # N, padded
    cdef object given
    cdef list kept
    cdef readonly bint wide

    cdef char *take(self, Py_ssize_t size) except NULL:
        """Memory that lives as long as this."""
        cdef Workspace workspace = Workspace(size, 1)
        self.kept.append(workspace)
        return workspace.base()

    def __init__(
        self, cnp.ndarray x, *, bint wide, bint unit=False, bint centred=False, bint moved=False, Points like=None,
        double scale=1.0, int threads=1,
    ):
        """unit: L2-normalise rows (cosine distance). centred: subtract the mean row, which reduces cancellation; or that of the
        rows `like`. moved: the gradient will be asked for. scale: a power of two that all rows are multiplied by."""
        cdef PointsCall call
        cdef Py_ssize_t N = cnp.PyArray_DIM(x, 0), D = cnp.PyArray_DIM(x, 1), blocks = (N + PREPARED - 1) // PREPARED
        cdef Py_ssize_t size, step
        cdef double cost
        cdef char *centre
        self.given, self.kept, self.wide = x, [], wide
        call.table, call.loops = real_table(wide), pair_loops(wide)
        size = call.table.size
        step = round_up(D, call.loops.tile_columns)
        cost = PREPARED * step * 1.0
        self.columns = round_up(N, call.loops.tile_columns)
        call.rows.N, call.rows.D, call.rows.step, call.rows.norm = N, D, step, NULL
        make_view(&call.view, x)
        call.scale = scale
        if (
            scale == 1 and step == D and call.view.type == (FL_F64 if wide else FL_F32) and cnp.PyArray_IS_C_CONTIGUOUS(x)
            and <size_t>cnp.PyArray_DATA(x) % size == 0
        ):
            call.rows.rows = cnp.PyArray_DATA(x)
        else:
            call.rows.rows = self.take(N * step * size)
            run_blocks(copy_block, &call, blocks, cost, threads)
        call.centre = call.normalized = call.norm = NULL
        call.by_dimension = NULL
        if like is not None:
            call.centre = like.centre
            self.kept.append(like)
        elif centred:
            centre = self.take(step * size + 3 * D * sizeof(double))
            call.loops.centre(&call.rows, <double *>(centre + step * size), centre)
            call.centre = centre
        if unit:
            call.normalized, call.norm = self.take(N * step * size), <double *>self.take(N * sizeof(double))
        if moved:
            call.by_dimension = self.take(N * step * size)
        call.left = self.take(round_up(N, call.loops.tile_rows) * D * size)
        call.right = self.take(self.columns * D * size)
        call.square = self.take(self.columns * size)
        run_blocks(prepare_block, &call, blocks, 3 * cost, threads)
        self.job = call.rows
        self.job.left, self.job.right, self.job.square, self.job.norm = call.left, call.right, call.square, call.norm
        self.job.by_dimension, self.centre = call.by_dimension, <const char *>call.centre


# ---- distances -------------------------------------------------------------------------------------------------------

cdef struct DistancesCall:
    const fl_real_table *table
    const fl_pairs_real *loops
    const fl_points *x
    const fl_points *y
    int metric
    fl_view out
    bint direct  # whole tiles can be written where they belong
    char *scratch
    Py_ssize_t scratch_size


cdef void distances_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef const DistancesCall *call = <const DistancesCall *>call_
    cdef Py_ssize_t M = call.y.N, first = b * BLOCK, n = min(<Py_ssize_t>BLOCK, call.x.N - first), size = call.table.size
    cdef Py_ssize_t whole = n // call.loops.tile_rows * call.loops.tile_rows if call.direct else 0
    cdef Py_ssize_t columns = M // call.loops.tile_columns * call.loops.tile_columns, start, last, i
    cdef char *at = call.scratch + thread * call.scratch_size
    start = 0
    while start < M:
        last = min(start + CHUNK, M)
        if whole > 0 and start < columns:
            last = min(last, columns)
            call.loops.distances(call.x, call.y, call.metric, first, whole, start, last,
                                 call.out.data + (first * M + start) * size, M)
        else:
            whole = 0
        if whole < n:
            call.loops.distances(call.x, call.y, call.metric, first + whole, n - whole, start, last, at, CHUNK)
            for i in range(whole, n):
                call.table.scatter(&call.out, (first + i) * M + start, last - start, at + (i - whole) * CHUNK * size)
        start = last


def distances(Points x, Points y, int metric, cnp.ndarray out, *, int threads=1):
    """Distances from each row of x to each of y into out, (N, M), of any type and layout."""
    cdef DistancesCall call
    cdef Workspace workspace
    cdef Py_ssize_t blocks = (x.job.N + BLOCK - 1) // BLOCK
    call.table, call.loops, call.x, call.y, call.metric = real_table(x.wide), pair_loops(x.wide), &x.job, &y.job, metric
    make_view(&call.out, out)
    call.direct = (
        call.out.type == (FL_F64 if x.wide else FL_F32) and cnp.PyArray_IS_C_CONTIGUOUS(out)
        and <size_t>cnp.PyArray_DATA(out) % call.table.size == 0
    )
    threads = <int>max(1, min(threads, blocks))
    workspace = Workspace((BLOCK + call.loops.tile_rows) * CHUNK * call.table.size, threads)
    call.scratch, call.scratch_size = workspace.base(), workspace.size
    run_blocks(distances_block, &call, blocks, BLOCK * (1.0 + 1e-3 * COST * x.job.D) * y.job.N, threads)


# ---- mining ----------------------------------------------------------------------------------------------------------

cdef struct BatchCall:
    const fl_real_table *table
    const fl_pairs_real *loops
    const fl_points *x
    Py_ssize_t columns
    const char *label  # class numbers, of the computation type; -1 past N
    const int32_t *ids
    const int32_t *members  # rows, class by class
    const int64_t *starts  # of the classes
    int mining
    bint squared
    double margin
    double *weight
    double *value
    double *active
    double *valid
    int64_t *positive
    int64_t *negative
    double *near  # distances of the hardest: to the positive, and to the negative
    double *far
    # the gradient
    Py_ssize_t first, last  # anchors of the slab
    char *gradients  # of the slab, with respect to its distances; or NULL
    char *products  # N x step: sums of rows, weighed
    double *totals  # N: sums of the weights
    const int64_t *users  # anchors that have a row as a partner, row by row
    const int64_t *user_starts
    fl_view grad
    double scale
    char *scratch
    Py_ssize_t scratch_size


cdef void hardest_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef BatchCall *call = <BatchCall *>call_
    cdef Py_ssize_t first = b * BLOCK, n = min(<Py_ssize_t>BLOCK, call.x.N - first), i, a, p, q
    cdef char *rows = call.scratch + thread * call.scratch_size
    cdef double loss
    cdef int64_t members
    call.loops.distances(call.x, call.x, FL_SQUARED, first, n, 0, call.x.N, rows, call.columns)
    for i in range(n):
        a = first + i
        members = call.starts[call.ids[a] + 1] - call.starts[call.ids[a]]
        call.value[a] = call.active[a] = call.valid[a] = 0
        call.positive[a] = call.negative[a] = a
        if not 1 < members < call.x.N:
            continue
        call.valid[a] = 1
        if call.loops.hardest(
            call.x.N, call.columns, rows + i * call.columns * call.table.size, call.label, a, &p, &q
        ):
            call.near[a] = call.far[a] = NAN
        elif p < 0 or q < 0:
            continue  # infinitely far negatives
        else:
            call.positive[a], call.negative[a] = p, q
            call.near[a] = call.loops.distance(call.x, a, p, call.squared)
            call.far[a] = call.loops.distance(call.x, a, q, call.squared)
        loss = call.near[a] - call.far[a] + call.margin
        if not loss <= 0:
            call.value[a], call.active[a] = loss, 1


cdef void mine_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef BatchCall *call = <BatchCall *>call_
    cdef Py_ssize_t first = call.first + b * BLOCK, n = min(<Py_ssize_t>BLOCK, call.last - first), i, a
    cdef Py_ssize_t row = call.columns * call.table.size
    cdef char *rows = call.scratch + thread * call.scratch_size
    cdef fl_anchor job
    job.N, job.columns, job.mining, job.squared, job.margin = call.x.N, call.columns, call.mining, call.squared, call.margin
    job.scratch = rows + (BLOCK + call.loops.tile_rows) * row
    call.loops.distances(call.x, call.x, FL_SQUARED, first, n, 0, call.x.N, rows, call.columns)
    for i in range(n):
        a = job.anchor = first + i
        job.member = call.members + call.starts[call.ids[a]]
        job.members = call.starts[call.ids[a] + 1] - call.starts[call.ids[a]]
        job.weight = call.weight[a] if call.weight != NULL else 1.0
        job.row, job.gradients = rows + i * row, NULL
        if call.gradients != NULL:
            job.gradients = call.gradients + (a - call.first) * row
        call.loops.mine(&job)
        call.value[a], call.active[a], call.valid[a] = job.value, job.active, job.valid


cdef void others_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    """The gradient of all rows as the others of the slab's pairs; and as anchors too, if the slab is the batch."""
    cdef BatchCall *call = <BatchCall *>call_
    cdef Py_ssize_t i = b * BLOCK, size = call.table.size, anchors = call.last - call.first
    call.loops.weighted_sums(
        call.x, call.first, anchors, call.gradients + i * call.columns * size if anchors == call.x.N else NULL,
        call.gradients + i * size, call.columns, min(<Py_ssize_t>BLOCK, call.x.N - i),
        call.products + i * call.x.step * size, call.totals + i, call.scratch + thread * call.scratch_size,
    )


cdef void anchors_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    """The gradient of the slab's anchors as such."""
    cdef BatchCall *call = <BatchCall *>call_
    cdef Py_ssize_t i = call.first + b * BLOCK, size = call.table.size
    call.loops.weighted_sums(
        call.x, 0, call.x.N, call.gradients + b * BLOCK * call.columns * size, NULL, call.columns,
        min(<Py_ssize_t>BLOCK, call.last - i), call.products + i * call.x.step * size, call.totals + i,
        call.scratch + thread * call.scratch_size,
    )


cdef void gather_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    """The gradient of the rows of a block, where the distances' gradients were kept."""
    cdef BatchCall *call = <BatchCall *>call_
    cdef Py_ssize_t i
    cdef char *out = call.scratch + thread * call.scratch_size
    for i in range(b * BLOCK, min((b + 1) * BLOCK, call.x.N)):
        call.loops.row_gradient(
            call.x, i, call.products + i * call.x.step * call.table.size, call.totals[i], call.scale, out
        )
        call.table.scatter(&call.grad, i * call.x.D, call.x.D, out)


cdef void add_hardest(BatchCall *call, Py_ssize_t a, Py_ssize_t i, double *sum) noexcept nogil:
    """Row i's part in the hardest triplet of anchor a: as the anchor, as the positive, as the negative."""
    cdef double w = call.weight[a] if call.weight != NULL else 1.0, near, far
    cdef Py_ssize_t p = call.positive[a], q = call.negative[a]
    if call.active[a] == 0 or w == 0:
        return
    near = 2 * w if call.squared else (w / call.near[a] if call.near[a] != 0 else 0)
    far = 2 * w if call.squared else (w / call.far[a] if call.far[a] != 0 else 0)
    if i == a:
        call.loops.add_difference(call.x, a, p, near, sum)
        call.loops.add_difference(call.x, a, q, -far, sum)
    elif i == p:
        call.loops.add_difference(call.x, p, a, near, sum)
    else:
        call.loops.add_difference(call.x, q, a, -far, sum)


cdef void hardest_gradient_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    """The gradient of the rows of a block, from the hardest triplets."""
    cdef BatchCall *call = <BatchCall *>call_
    cdef Py_ssize_t i, d, k
    cdef double *sum = <double *>(call.scratch + thread * call.scratch_size)
    for i in range(b * BLOCK, min((b + 1) * BLOCK, call.x.N)):
        memset(sum, 0, call.x.D * sizeof(double))
        add_hardest(call, i, i, sum)
        for k in range(call.user_starts[i], call.user_starts[i + 1]):
            add_hardest(call, call.users[k], i, sum)
        for d in range(call.x.D):
            if call.table.size == 8:
                sum[d] = call.scale * sum[d]
            else:
                (<float *>sum)[d] = <float>(call.scale * sum[d])
        call.table.scatter(&call.grad, i * call.x.D, call.x.D, sum)


cdef class Batch:
    """Triplets of one batch: mined on making, which fills in `value`, `active` and `valid` of each anchor; then their gradient.

    ids: each row's class, int32, from 0; members: the rows, class by class, ascending, int32; starts: of the classes among them,
    int64. weight: of each anchor, float64, or None. gradient: whether it will be asked for.
    """

    cdef BatchCall call
    cdef Points x
    cdef int threads
    cdef tuple kept
    cdef list memory
    cdef readonly object value, active, valid
    cdef object partners
    cdef Workspace scratch

    def __init__(
        self, Points x, cnp.ndarray ids, cnp.ndarray members, cnp.ndarray starts, int mining, *, double margin, bint squared,
        cnp.ndarray weight=None, bint gradient=False, int threads=1,
    ):
        cdef BatchCall *call = &self.call
        cdef Py_ssize_t N = x.job.N
        self.x, self.threads = x, threads
        call.table, call.loops, call.x = real_table(x.wide), pair_loops(x.wide), &x.job
        call.columns, call.mining, call.margin, call.squared = x.columns, mining, margin, squared
        label = np.full(x.columns, -1, np.float64 if x.wide else np.float32)
        label[:N] = ids
        self.value, self.active, self.valid = np.empty(N), np.empty(N), np.empty(N)
        self.kept = ids, members, starts, weight, label
        call.ids, call.members = <int32_t *>cnp.PyArray_DATA(ids), <int32_t *>cnp.PyArray_DATA(members)
        call.starts, call.label = <int64_t *>cnp.PyArray_DATA(starts), <char *>cnp.PyArray_DATA(<cnp.ndarray>label)
        call.weight = <double *>cnp.PyArray_DATA(weight) if weight is not None else NULL
        call.value = doubles(self.value)
        call.active = doubles(self.active)
        call.valid = doubles(self.valid)
        call.gradients = call.products = NULL
        if mining == FL_HARD:
            self.mine_hardest()
        else:
            self.mine_slabs(gradient)

    cdef double block_cost(self):
        return BLOCK * (2.0 + 1e-3 * COST * self.call.x.D) * self.call.x.N

    cdef int set_scratch(self, Py_ssize_t size, Py_ssize_t blocks) except -1:
        """A workspace of so many bytes for each thread."""
        self.scratch = Workspace(size, max(1, min(self.threads, blocks)))
        self.call.scratch, self.call.scratch_size = self.scratch.base(), self.scratch.size
        return 0

    cdef int mine_hardest(self) except -1:
        cdef BatchCall *call = &self.call
        cdef Py_ssize_t N = call.x.N, blocks = (N + BLOCK - 1) // BLOCK
        self.partners = np.empty((2, N), np.int64), np.zeros((2, N))
        call.positive = <int64_t *>cnp.PyArray_DATA(<cnp.ndarray>self.partners[0])
        call.negative = call.positive + N
        call.near = doubles(self.partners[1])
        call.far = call.near + N
        self.set_scratch((BLOCK + call.loops.tile_rows) * call.columns * call.table.size, blocks)
        run_blocks(hardest_block, call, blocks, self.block_cost(), self.threads)
        return 0

    cdef int mine_slabs(self, bint gradient) except -1:
        cdef BatchCall *call = &self.call
        cdef Py_ssize_t N = call.x.N, row = call.columns * call.table.size, most, blocks, size
        cdef Workspace slab, products
        most = N
        if gradient:
            most = min(N, max(<Py_ssize_t>SLAB_ROWS, SLAB_SIZE // call.columns // BLOCK * BLOCK))
            slab = Workspace(most * row, 1)
            products = Workspace(N * (call.x.step * call.table.size + sizeof(double)), 1)
            self.memory = [products]
            call.gradients, call.products = slab.base(), products.base()
            call.totals = <double *>(call.products + N * call.x.step * call.table.size)
            memset(call.products, 0, N * (call.x.step * call.table.size + sizeof(double)))
        size = (BLOCK + call.loops.tile_rows) * row + call.loops.scratch_bytes(call.columns)
        self.set_scratch(size, (N + BLOCK - 1) // BLOCK)
        call.first = 0
        while call.first < N:
            call.last = min(call.first + most, N)
            blocks = (call.last - call.first + BLOCK - 1) // BLOCK
            run_blocks(mine_block, call, blocks, 3 * self.block_cost(), self.threads)
            if gradient:
                run_blocks(others_block, call, (N + BLOCK - 1) // BLOCK, self.block_cost(), self.threads)
                if most < N:
                    run_blocks(anchors_block, call, blocks, self.block_cost(), self.threads)
            call.first = call.last
        return 0

    def gradient(self, cnp.ndarray grad, double scale):
        """scale x gradient of the weighted sum of values, into grad, (N, D), of any type and layout."""
        cdef BatchCall *call = &self.call
        cdef Py_ssize_t blocks = (call.x.N + BLOCK - 1) // BLOCK
        make_view(&call.grad, grad)
        call.scale = scale
        self.set_scratch(call.x.step * sizeof(double), blocks)
        if call.mining != FL_HARD:
            run_blocks(gather_block, call, blocks, BLOCK * 1.0 * call.x.D, self.threads)
            return
        partners = self.partners[0].ravel()
        users = np.argsort(partners, kind="stable")  # anchors, by the row that is a partner
        user_starts = np.zeros(call.x.N + 1, np.int64)
        np.cumsum(np.bincount(partners, minlength=call.x.N), out=user_starts[1:])
        users = np.ascontiguousarray(users % call.x.N)
        call.users = <int64_t *>cnp.PyArray_DATA(<cnp.ndarray>users)
        call.user_starts = <int64_t *>cnp.PyArray_DATA(<cnp.ndarray>user_starts)
        run_blocks(hardest_gradient_block, call, blocks, BLOCK * 6.0 * call.x.D, self.threads)


cdef double *doubles(cnp.ndarray a) noexcept:
    return <double *>cnp.PyArray_DATA(a)

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The door between Python and the C inner loops: CPU levels, array views, blocks of work on threads, pointwise losses.

Design:
- Work is cut in blocks of a size that depends only on the problem. Each block leaves its float64 partial sum in an array, and
  the partials are added in block order with Neumaier's compensation: the bits do not depend on the number of threads.
- An operand that is contiguous and of the computation type is read in place; any other layout or type is gathered block by
  block into the thread's workspace (a few kB), so that no array is ever copied whole.
- The GIL is released while blocks run. They run in groups of about 30 ms, between which signals are looked at (Ctrl-C).
- Small work stays on the calling thread and touches no OpenMP.

Everything here trusts its caller: `_check.py` has seen every argument first. What a kernel itself can notice only while
reading (a label or a value outside its range) it returns, and the caller words the error.
"""

import os
import time

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals, PyErr_Occurred
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, fabs
from libc.stdlib cimport free, malloc

cnp.import_array()

cdef extern from *:
    """
    #ifdef _OPENMP
    #define FL_OPENMP _OPENMP
    #else
    #define FL_OPENMP 0
    #endif
    #if defined(__clang__)
    #define FL_COMPILER "clang " __clang_version__
    #elif defined(__GNUC__)
    #define FL_COMPILER "gcc " __VERSION__
    #else
    #define FL_COMPILER "unknown"
    #endif
    """
    int check_signals "PyErr_CheckSignals"() noexcept  # leaves the error set
    int FL_OPENMP
    const char *FL_COMPILER

OPENMP = FL_OPENMP
COMPILER = FL_COMPILER.decode()

VALUE = FL_VALUE
GRAD = FL_GRAD
HESS = FL_HESS

cdef enum:
    POINT_BLOCK = 4096  # elements per block of a pointwise loss: three float32 operands fill half of L1
    ALIGN = 64


# ---- CPU levels -----------------------------------------------------------------------------------------------------

cdef const fl_table *active = NULL


cdef const char *isa() noexcept nogil:
    return active.name


cdef const fl_real_table *real_table(bint wide) noexcept nogil:
    return &active.f64 if wide else &active.f32


def available_isa():
    """Names of the CPU levels this machine can run, slowest first."""
    names = []
    while fl_table_at(<int>len(names)) != NULL:
        names.append(fl_table_at(<int>len(names)).name.decode())
    return names


def get_isa():
    """Name of the CPU level in use."""
    return active.name.decode()


def set_isa(name):
    """Use another CPU level from the next call on (for tests; users set FASTLOSS_ISA)."""
    global active
    names = available_isa()
    if name not in names:
        raise ValueError(f"FASTLOSS_ISA: expected one of {', '.join(names)} on this machine, got {name!r}")
    active = fl_table_at(<int>names.index(name))


set_isa(os.environ.get("FASTLOSS_ISA") or max(available_isa(), key=available_isa().index))


# ---- arrays as views ------------------------------------------------------------------------------------------------

cdef int type_code(cnp.ndarray a) except -1:
    """The element type as kernels.h numbers it."""
    cdef int kind = cnp.PyArray_TYPE(a)
    cdef int size = <int>cnp.PyArray_ITEMSIZE(a)
    if kind == cnp.NPY_FLOAT:
        return FL_F32
    if kind == cnp.NPY_DOUBLE:
        return FL_F64
    if kind == cnp.NPY_FLOAT16:
        return FL_F16
    if cnp.PyTypeNum_ISBOOL(kind):
        return FL_U8
    if cnp.PyTypeNum_ISINTEGER(kind):
        if cnp.PyTypeNum_ISUNSIGNED(kind):
            return FL_U8 if size == 1 else FL_U16 if size == 2 else FL_U32 if size == 4 else FL_U64
        return FL_I8 if size == 1 else FL_I16 if size == 2 else FL_I32 if size == 4 else FL_I64
    if a.dtype.name == "bfloat16":
        return FL_BF16
    raise TypeError(f"unsupported dtype {a.dtype}")


cdef int make_view(fl_view *view, cnp.ndarray a, int without_axis=-1) except -1:
    """Describe `a` (without one axis, if asked), merging neighbouring axes that advance evenly."""
    cdef int k, n = 0
    cdef Py_ssize_t size, step
    view.data = <char *>cnp.PyArray_DATA(a)
    view.type = type_code(a)
    for k in range(cnp.PyArray_NDIM(a)):
        size, step = cnp.PyArray_DIM(a, k), cnp.PyArray_STRIDE(a, k)
        if k == without_axis or size == 1:
            continue
        if n and view.stride[n - 1] == step * size:
            view.shape[n - 1] *= size
            view.stride[n - 1] = step
        else:
            view.shape[n] = size
            view.stride[n] = step
            n += 1
    if n == 0:
        view.shape[0], view.stride[0], n = 1, cnp.PyArray_ITEMSIZE(a), 1
    view.ndim = n
    return 0


# ---- blocks of work on threads --------------------------------------------------------------------------------------

cdef bint interrupted(bint *stop, int thread) noexcept nogil:
    """For a block that takes long: whether to give up, because somebody pressed Ctrl-C.

    Thread 0 is the caller's, perhaps Python's main one: what its signal handlers raise stays set until run_blocks returns it.
    """
    if thread == 0 and not stop[0]:
        with gil:
            stop[0] = check_signals() != 0
    return stop[0]


cdef double parallel_from = 100000  # estimated ns of work below which threads cost more than they bring
cdef int widest = 1


def set_parallel_from(double ns=100000):
    """Share work among threads from this estimated cost on (for tests, which then need no large arrays)."""
    global parallel_from
    parallel_from = max(ns, 1.0)


def widest_team():
    """The largest number of threads that has shared the blocks of one call since this was last asked (for tests)."""
    global widest
    team, widest = widest, 1
    return team


cdef int run_blocks(block_work work, void *call, Py_ssize_t blocks, double cost, int threads) except -1:
    """Run work(call, b, thread) for every block b; `cost` is one block's estimated ns."""
    global widest
    cdef Py_ssize_t b, done = 0, group, least, n
    cdef int chunk
    cdef bint small = blocks * cost < parallel_from
    cdef double began, spent
    if small:
        for b in range(blocks):
            work(call, b, 0)
        return 0
    threads = <int>min(threads, blocks)
    widest = max(widest, threads)
    chunk = <int>max(1, min(blocks // (8 * threads), <Py_ssize_t>(40000 / cost)))
    least = threads * chunk
    group = max(least, <Py_ssize_t>(1e7 * threads / cost))
    while done < blocks:
        n = min(group, blocks - done)
        began = time.perf_counter()
        if threads == 1:
            with nogil:
                for b in range(done, done + n):
                    work(call, b, 0)
        else:
            for b in prange(done, done + n, nogil=True, num_threads=threads, schedule="dynamic", chunksize=chunk):
                work(call, b, threadid())
        if PyErr_Occurred() != NULL:
            return -1
        PyErr_CheckSignals()
        done += n
        spent = time.perf_counter() - began
        group = max(least, <Py_ssize_t>(n * min(8.0, 0.03 / max(1e-9, spent))))
    return 0


cdef void add_in_order(RunningSum *sum, const double *x, Py_ssize_t n) noexcept nogil:
    """Neumaier's compensated sum, first to last."""
    cdef double new
    cdef Py_ssize_t i
    for i in range(n):
        new = sum.total + x[i]
        if fabs(sum.total) >= fabs(x[i]):
            sum.lost += (sum.total - new) + x[i]
        else:
            sum.lost += (x[i] - new) + sum.total
        sum.total = new


cdef double sum_of(const RunningSum *sum) noexcept nogil:
    return sum.total + sum.lost if sum.lost == sum.lost else sum.total  # inf - inf in `lost` is not the sum's


cdef class Workspace:
    """One aligned stretch of memory per thread: thread k's starts at base() + k * size."""

    def __cinit__(self, Py_ssize_t size, int threads):
        self.size = (size + 2 * ALIGN - 1) // ALIGN * ALIGN
        self.memory = <char *>malloc(self.size * threads + ALIGN)
        if self.memory == NULL:
            raise MemoryError(f"fastloss needs {self.size * threads} bytes of workspace")

    def __dealloc__(self):
        free(self.memory)

    cdef char *base(self) noexcept:
        return <char *>((<size_t>self.memory + ALIGN - 1) // ALIGN * ALIGN)


# ---- pointwise losses -----------------------------------------------------------------------------------------------

cdef dict operations(const char *(*name)(int)):
    """Loss name -> its place in the tables."""
    names, op = {}, 0
    while name(op) != NULL:
        names[name(op).decode()] = op
        op += 1
    return names


POINTWISE = operations(fl_pointwise_name)
SUMS = operations(fl_sums_name)

cdef struct Operand:
    bint given
    bint direct  # read or written in place
    fl_view view

cdef struct PointCall:
    const fl_real_table *table
    void (*loop)(fl_pointwise *) noexcept nogil
    Operand part[9]  # x, t, z, w, value, grad, hess, grad2, hess2
    fl_pointwise job  # the template of every block's job
    Py_ssize_t n
    Py_ssize_t base  # first block of the span: partial results count from it
    double *sums
    double *ranges  # per block: x_low, x_high, t_low, t_high, z_low, z_high
    char *scratch  # the first thread's, or NULL; the next thread's is scratch_size further
    Py_ssize_t scratch_size


cdef int set_operand(Operand *o, cnp.ndarray a, const fl_real_table *table) except -1:
    o.given = a is not None
    if o.given:
        make_view(&o.view, a)
        o.direct = (
            o.view.type == (FL_F64 if table.size == 8 else FL_F32) and o.view.ndim == 1
            and (o.view.stride[0] == table.size or o.view.shape[0] == 1)
            and <size_t>o.view.data % <size_t>table.size == 0
        )
    return 0


cdef inline char *block_pointer(Operand *o, Py_ssize_t start, int size, char *scratch) noexcept nogil:
    if not o.given:
        return NULL
    return o.view.data + start * size if o.direct else scratch


cdef void point_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef PointCall *call = <PointCall *>call_
    cdef fl_pointwise job = call.job
    cdef Py_ssize_t start = (call.base + b) * POINT_BLOCK
    cdef int k, size = call.table.size
    cdef char *scratch = call.scratch + thread * call.scratch_size
    cdef char *at[9]
    job.n = min(<Py_ssize_t>POINT_BLOCK, call.n - start)
    for k in range(9):
        at[k] = block_pointer(&call.part[k], start, size, scratch + k * POINT_BLOCK * size)
        if k < 4 and call.part[k].given and not call.part[k].direct:
            call.table.gather(&call.part[k].view, start, job.n, at[k])
    job.x, job.t, job.z, job.w, job.value, job.grad, job.hess = at[0], at[1], at[2], at[3], at[4], at[5], at[6]
    job.grad2, job.hess2 = at[7], at[8]
    call.loop(&job)
    call.sums[b] = job.sum
    call.ranges[6 * b], call.ranges[6 * b + 1] = job.x_low, job.x_high
    call.ranges[6 * b + 2], call.ranges[6 * b + 3] = job.t_low, job.t_high
    call.ranges[6 * b + 4], call.ranges[6 * b + 5] = job.z_low, job.z_high
    for k in range(4, 9):
        if call.part[k].given and not call.part[k].direct:
            call.table.scatter(&call.part[k].view, start, job.n, at[k])


def pointwise(
    int op, int want, cnp.ndarray x, cnp.ndarray t, cnp.ndarray z, cnp.ndarray w, tuple parameters, bint wide,
    double scale, cnp.ndarray value, cnp.ndarray grad, cnp.ndarray hess, int threads, cnp.ndarray grad2=None,
    cnp.ndarray hess2=None,
):
    """Run one pointwise loss over equal-shaped arrays (absent ones None).

    `grad2` and `hess2` are given with `grad` and `hess` if the loss has two differentiable arguments, and only then.
    Returns (sum of weighted values, x_low, x_high, t_low, t_high, z_low, z_high); the extremes pass nan over and are meant for
    losses with a domain. `wide` computes in float64. Derivatives are multiplied by `scale` and by the weights.
    """
    cdef PointCall call
    cdef Py_ssize_t blocks, b, n
    cdef int k
    cdef double few[7]
    cdef double *partials = few
    cdef RunningSum total = RunningSum(0, 0)
    cdef double x_low = INFINITY, x_high = -INFINITY, t_low = INFINITY, t_high = -INFINITY
    cdef double z_low = INFINITY, z_high = -INFINITY
    cdef Workspace workspace = None
    call.table = real_table(wide)
    call.loop = call.table.pointwise[op]
    call.n = cnp.PyArray_SIZE(x)
    call.scratch, call.scratch_size = NULL, 0
    set_operand(&call.part[0], x, call.table)
    set_operand(&call.part[1], t, call.table)
    set_operand(&call.part[2], z, call.table)
    set_operand(&call.part[3], w, call.table)
    set_operand(&call.part[4], value, call.table)
    set_operand(&call.part[5], grad, call.table)
    set_operand(&call.part[6], hess, call.table)
    set_operand(&call.part[7], grad2, call.table)
    set_operand(&call.part[8], hess2, call.table)
    for k in range(4):
        call.job.par[k] = 0
    k = 0
    for parameter in parameters:
        call.job.par[k] = parameter
        k += 1
    call.job.scale, call.job.want = scale, want
    call.job.x_low, call.job.x_high, call.job.t_low, call.job.t_high = x_low, x_high, t_low, t_high
    call.job.z_low, call.job.z_high = z_low, z_high
    blocks = (call.n + POINT_BLOCK - 1) // POINT_BLOCK
    for k in range(9):
        if call.part[k].given and not call.part[k].direct:
            workspace = Workspace(9 * POINT_BLOCK * call.table.size, <int>max(1, min(threads, blocks)))
            call.scratch, call.scratch_size = workspace.base(), workspace.size
            break
    if blocks > 1:
        partials = <double *>malloc(7 * min(blocks, <Py_ssize_t>SPAN) * sizeof(double))
        if partials == NULL:
            raise MemoryError()
    call.sums, call.ranges = partials, partials + min(blocks, <Py_ssize_t>SPAN)
    call.base = 0
    try:
        while call.base < blocks:
            n = min(<Py_ssize_t>SPAN, blocks - call.base)
            run_blocks(point_block, &call, n, POINT_BLOCK * 0.5 if blocks > 1 else 0.0, threads)
            add_in_order(&total, call.sums, n)
            for b in range(n):
                x_low, x_high = min(x_low, call.ranges[6 * b]), max(x_high, call.ranges[6 * b + 1])
                t_low, t_high = min(t_low, call.ranges[6 * b + 2]), max(t_high, call.ranges[6 * b + 3])
                z_low, z_high = min(z_low, call.ranges[6 * b + 4]), max(z_high, call.ranges[6 * b + 5])
            call.base += n
    finally:
        if blocks > 1:
            free(partials)
    return sum_of(&total), x_low, x_high, t_low, t_high, z_low, z_high


# ---- sums along rows ------------------------------------------------------------------------------------------------

cdef struct SumCall:
    const fl_real_table *table
    void (*loop)(fl_sums *) noexcept nogil
    Operand part[6]  # x, t, z, u, grad, grad2
    fl_sums job  # the template of every block's job; its weight is that of row 0
    Py_ssize_t rows, C
    Py_ssize_t together  # rows per block, or 0 if rows are cut: into `pieces` blocks each
    Py_ssize_t pieces
    Py_ssize_t base  # first block of the span
    double *totals  # per block
    double *ranges  # per block: x_low, x_high, t_low, t_high
    char *value  # of the rows: double if wide_values, else float; NULL if nobody wants them
    bint wide_values
    char *scratch
    Py_ssize_t scratch_size


cdef void store_value(SumCall *call, Py_ssize_t row, double x) noexcept nogil:
    if call.wide_values:
        (<double *>call.value)[row] = x
    else:
        (<float *>call.value)[row] = <float>x


cdef void sum_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef SumCall *call = <SumCall *>call_
    cdef fl_sums job = call.job
    cdef Py_ssize_t row, start, n, k
    cdef int size = call.table.size
    cdef char *scratch = call.scratch + thread * call.scratch_size
    cdef char *at[6]
    job.sum = <double *>scratch
    scratch += max(<Py_ssize_t>8, call.together) * sizeof(double)
    if call.together:
        row = (call.base + b) * call.together
        job.rows = min(call.together, call.rows - row)
        start, n = row * call.C, job.rows * call.C
    else:
        row, start = (call.base + b) // call.pieces, (call.base + b) % call.pieces * POINT_BLOCK
        n = min(<Py_ssize_t>POINT_BLOCK, call.C - start)
        job.rows, job.C, start = 1, n, start + row * call.C
    if job.weight != NULL:
        job.weight += row
    for k in range(6):
        at[k] = block_pointer(&call.part[k], start, size, scratch + k * POINT_BLOCK * size)
        if k < 4 and call.part[k].given and not call.part[k].direct:
            call.table.gather(&call.part[k].view, start, n, at[k])
    job.x, job.t, job.z, job.u, job.grad, job.grad2 = at[0], at[1], at[2], at[3], at[4], at[5]
    call.loop(&job)
    call.totals[b] = job.total
    call.ranges[4 * b], call.ranges[4 * b + 1] = job.x_low, job.x_high
    call.ranges[4 * b + 2], call.ranges[4 * b + 3] = job.t_low, job.t_high
    if call.together and call.value != NULL:
        for k in range(job.rows):
            store_value(call, row + k, job.sum[k])
    for k in range(4, 6):
        if call.part[k].given and not call.part[k].direct:
            call.table.scatter(&call.part[k].view, start, n, at[k])


cdef void join_pieces(SumCall *call, Py_ssize_t n, RunningSum *one) noexcept nogil:
    """The values of the rows that end within the n blocks of this span; `one` is the row that may go on in the next."""
    cdef Py_ssize_t b
    for b in range(n):
        add_in_order(one, &call.totals[b], 1)
        if (call.base + b + 1) % call.pieces == 0:
            store_value(call, (call.base + b) // call.pieces, sum_of(one))
            one.total, one.lost = 0, 0


def sums(
    int op, int want, cnp.ndarray x, cnp.ndarray t, cnp.ndarray z, cnp.ndarray u, cnp.ndarray weight, tuple parameters,
    bint wide, double scale, cnp.ndarray value, cnp.ndarray grad, cnp.ndarray grad2, int threads,
):
    """Run one loss that sums terms along the last axis of equal-shaped arrays (absent ones None), which are not empty.

    `weight` (float64) and `value` (float32 or float64) have one entry for each row, C-contiguous.
    Returns (sum of weighted values, x_low, x_high, t_low, t_high); otherwise as `pointwise`.
    """
    cdef SumCall call
    cdef Py_ssize_t blocks, span, b, n, k, room
    cdef RunningSum total = RunningSum(0, 0), one = RunningSum(0, 0)
    cdef double x_low = INFINITY, x_high = -INFINITY, t_low = INFINITY, t_high = -INFINITY
    cdef Workspace workspace
    call.table = real_table(wide)
    call.loop = call.table.sums[op]
    call.C = cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1)
    call.rows, call.base = cnp.PyArray_SIZE(x) // call.C, 0
    call.value = NULL if value is None else <char *>cnp.PyArray_DATA(value)
    call.wide_values = value is not None and cnp.PyArray_TYPE(value) == cnp.NPY_DOUBLE
    set_operand(&call.part[0], x, call.table)
    set_operand(&call.part[1], t, call.table)
    set_operand(&call.part[2], z, call.table)
    set_operand(&call.part[3], u, call.table)
    set_operand(&call.part[4], grad, call.table)
    set_operand(&call.part[5], grad2, call.table)
    for k in range(4):
        call.job.par[k] = parameters[k] if k < len(parameters) else 0
    call.job.C, call.job.scale, call.job.want, call.job.total = call.C, scale, want, 0
    call.job.weight = NULL if weight is None else <double *>cnp.PyArray_DATA(weight)
    call.job.x_low, call.job.x_high, call.job.t_low, call.job.t_high = x_low, x_high, t_low, t_high
    call.together, call.pieces = min(POINT_BLOCK // call.C, call.rows), (call.C + POINT_BLOCK - 1) // POINT_BLOCK
    blocks = (call.rows + call.together - 1) // call.together if call.together else call.rows * call.pieces
    room = max(<Py_ssize_t>8, call.together) * sizeof(double)
    for k in range(6):
        if call.part[k].given and not call.part[k].direct:
            room += 6 * POINT_BLOCK * call.table.size
            break
    workspace = Workspace(room, <int>max(1, min(threads, blocks)))
    call.scratch, call.scratch_size = workspace.base(), workspace.size
    span = min(<Py_ssize_t>SPAN, blocks)
    call.totals = <double *>malloc(5 * span * sizeof(double))
    if call.totals == NULL:
        raise MemoryError()
    call.ranges = call.totals + span
    try:
        while call.base < blocks:
            n = min(span, blocks - call.base)
            run_blocks(sum_block, &call, n, min(<Py_ssize_t>POINT_BLOCK, call.rows * call.C) * 0.8, threads)
            add_in_order(&total, call.totals, n)
            if call.value != NULL and not call.together:
                join_pieces(&call, n, &one)
            for b in range(n):
                x_low, x_high = min(x_low, call.ranges[4 * b]), max(x_high, call.ranges[4 * b + 1])
                t_low, t_high = min(t_low, call.ranges[4 * b + 2]), max(t_high, call.ranges[4 * b + 3])
            call.base += n
    finally:
        free(call.totals)
    return sum_of(&total), x_low, x_high, t_low, t_high


cdef void extremes_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef PointCall *call = <PointCall *>call_
    cdef Py_ssize_t start = (call.base + b) * POINT_BLOCK, n = min(<Py_ssize_t>POINT_BLOCK, call.n - start)
    cdef char *x = block_pointer(&call.part[0], start, call.table.size, call.scratch + thread * call.scratch_size)
    if not call.part[0].direct:
        call.table.gather(&call.part[0].view, start, n, x)
    call.ranges[2 * b], call.ranges[2 * b + 1] = INFINITY, -INFINITY
    call.table.extremes(n, x, &call.ranges[2 * b], &call.ranges[2 * b + 1])


def extremes(cnp.ndarray x, int threads):
    """Smallest and largest entry, nan passed over; (inf, -inf) if there is none."""
    cdef PointCall call
    cdef Py_ssize_t blocks, b, n
    cdef double low = INFINITY, high = -INFINITY
    cdef Workspace workspace
    call.table = real_table(x.dtype.itemsize > 4 or x.dtype.kind != "f")
    call.n, call.base = cnp.PyArray_SIZE(x), 0
    set_operand(&call.part[0], x, call.table)
    blocks = (call.n + POINT_BLOCK - 1) // POINT_BLOCK
    workspace = Workspace(POINT_BLOCK * call.table.size, <int>max(1, min(threads, blocks)))
    call.scratch, call.scratch_size = workspace.base(), workspace.size
    call.ranges = <double *>malloc(2 * SPAN * sizeof(double))
    if call.ranges == NULL:
        raise MemoryError()
    try:
        while call.base < blocks:
            n = min(<Py_ssize_t>SPAN, blocks - call.base)
            run_blocks(extremes_block, &call, n, POINT_BLOCK * 0.15, threads)
            for b in range(n):
                low, high = min(low, call.ranges[2 * b]), max(high, call.ranges[2 * b + 1])
            call.base += n
    finally:
        free(call.ranges)
    return low, high


def cpu_name():
    """The processor's own name, where the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    import platform  # slow to import, rarely needed

    return platform.processor() or platform.machine()

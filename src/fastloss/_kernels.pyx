# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What all engines share: CPU levels, array views, blocks of work on threads, sums in a fixed order, workspaces.

Design:
- Work is cut in blocks of a size that depends only on the problem. Each block leaves its float64 partial sum in an array, and
  the partials are added in block order with Neumaier's compensation: the bits do not depend on the number of threads.
- An operand that is contiguous and of the computation type is read in place; any other layout or type is gathered block by
  block into the thread's workspace (a few kB), so that no array is ever copied whole.
- The GIL is released while blocks run. They run in groups of about 30 ms, between which signals are checked (Ctrl-C).
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
from libc.string cimport memset

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
    ALIGN = 64
    SPAN = 65536  # blocks of a span at the most
    SPAN_SUMS = 524288  # the same of its blocks' sums, where there is more than one for each


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
    """For a block that takes long: whether the call must end (Ctrl-C).

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


cdef void add(RunningSum *sum, double x) noexcept nogil:
    """One step of Neumaier's compensated sum."""
    cdef double new = sum.total + x
    if fabs(sum.total) >= fabs(x):
        sum.lost += (sum.total - new) + x
    else:
        sum.lost += (x - new) + sum.total
    sum.total = new


cdef double sum_of(const RunningSum *sum) noexcept nogil:
    return sum.total + sum.lost if sum.lost == sum.lost else sum.total  # inf - inf in `lost` is not the sum's


cdef void clear(Partial *partial) noexcept nogil:
    cdef int k
    partial.sum = partial.weight = 0
    for k in range(3):
        partial.low[k], partial.high[k] = INFINITY, -INFINITY
    partial.bad, partial.flag = -1, False


cdef void merge(Partial *into, const Partial *partial) noexcept nogil:
    """All but the sums."""
    cdef int k
    for k in range(3):
        into.low[k], into.high[k] = min(into.low[k], partial.low[k]), max(into.high[k], partial.high[k])
    if into.bad < 0:
        into.bad = partial.bad
    into.flag = into.flag or partial.flag


cdef int run_spans(block_work work, void *call, Spans *spans, Py_ssize_t blocks, double cost, int threads) except -1:
    """Run all blocks, a span at a time, and add what they leave in block order: the same bits for any number of threads.

    The caller has set `spans`, which lies in `call`; block b of a span is block spans.base + b of the call.
    """
    cdef RunningSum total = RunningSum(0, 0), weight = RunningSum(0, 0)
    cdef Py_ssize_t b, n, k, kept = min(blocks, <Py_ssize_t>SPAN)
    spans.base = 0
    clear(&spans.result)
    if blocks == 1 and spans.width == 0:  # small calls: what the block leaves is the result
        spans.partials = &spans.result
        run_blocks(work, call, 1, cost, threads)
        spans.result.sum += 0.0  # a sum that begins with 0 is never -0
        spans.result.weight += 0.0
        return 0
    if spans.width:
        kept = min(kept, max(<Py_ssize_t>threads, SPAN_SUMS // spans.width))
    spans.partials = <Partial *>malloc(kept * sizeof(Partial))
    spans.sums = <double *>malloc(kept * spans.width * sizeof(double))
    try:
        if kept and (spans.partials == NULL or (spans.width and spans.sums == NULL)):
            raise MemoryError()
        while spans.base < blocks:
            n = min(kept, blocks - spans.base)
            for b in range(n):
                clear(&spans.partials[b])
            run_blocks(work, call, n, cost, threads)
            for b in range(n):
                add(&total, spans.partials[b].sum)
                add(&weight, spans.partials[b].weight)
                merge(&spans.result, &spans.partials[b])
                for k in range(spans.width):
                    add(&spans.totals[(spans.base + b) // spans.group * spans.width + k], spans.sums[b * spans.width + k])
            spans.base += n
        spans.result.sum, spans.result.weight = sum_of(&total), sum_of(&weight)
    finally:
        free(spans.partials)
        free(spans.sums)
    return 0


cdef class Workspace:
    """One aligned piece of memory per thread: thread k's starts at base() + k * size."""

    def __cinit__(self, Py_ssize_t size, int threads):
        self.size = (size + 2 * ALIGN - 1) // ALIGN * ALIGN
        self.memory = <char *>malloc(self.size * threads + ALIGN)
        if self.memory == NULL:
            raise MemoryError(f"fastloss needs {self.size * threads} bytes of workspace")

    def __dealloc__(self):
        free(self.memory)

    cdef char *base(self) noexcept:
        return <char *>((<size_t>self.memory + ALIGN - 1) // ALIGN * ALIGN)


# ---- operands of blocks ---------------------------------------------------------------------------------------------

cdef dict operations(const char *(*name)(int)):
    """Loss name -> its place in the tables."""
    names, op = {}, 0
    while name(op) != NULL:
        names[name(op).decode()] = op
        op += 1
    return names


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


# ---- arrays with an axis set apart, and tiles of them ---------------------------------------------------------------

cdef int set_axis_view(AxisView *view, cnp.ndarray a, int axis, const fl_real_table *table) except -1:
    """axis: -1 if there is none, and one entry for each position."""
    cdef int k
    view.given = a is not None
    if not view.given:
        return 0
    make_view(&view.rows, a, axis)
    view.step = cnp.PyArray_STRIDE(a, axis) if axis >= 0 else 0
    view.native = (
        view.rows.type == (FL_F64 if table.size == 8 else FL_F32) and <size_t>view.rows.data % <size_t>table.size == 0
    )
    for k in range(view.rows.ndim):
        if view.rows.stride[k] % table.size:
            view.native = False
    view.direct = view.native and axis >= 0 and (view.step == table.size or cnp.PyArray_DIM(a, axis) == 1)
    view.planar = view.native and view.rows.stride[view.rows.ndim - 1] == table.size and view.step % table.size == 0
    return 0


cdef void read_tile(
    const fl_real_table *table, const AxisView *view, Py_ssize_t C, Py_ssize_t start, Py_ssize_t n, Py_ssize_t P, char *tile
) noexcept nogil:
    """Positions [start, start + n) as a C x P tile, with zeros past n."""
    cdef fl_view rows
    cdef Py_ssize_t c, size = table.size
    if view.direct and view.rows.ndim == 1 and C > 1:
        table.tile_load(C, P, n, position_at(view, start), view.rows.stride[0], tile)
    else:
        rows = view.rows
        for c in range(C):
            rows.data = view.rows.data + c * view.step
            table.gather(&rows, start, n, tile + c * P * size)
    if n < P:
        for c in range(C):
            memset(tile + (c * P + n) * size, 0, (P - n) * size)


cdef void write_tile(
    const fl_real_table *table, const AxisView *view, Py_ssize_t C, Py_ssize_t start, Py_ssize_t n, Py_ssize_t P, const char *tile
) noexcept nogil:
    """The first n positions of a tile to where they belong."""
    cdef fl_view rows
    cdef Py_ssize_t c
    if view.direct and view.rows.ndim == 1 and C > 1:
        table.tile_save(C, P, n, tile, position_at(view, start), view.rows.stride[0])
        return
    rows = view.rows
    for c in range(C):
        rows.data = view.rows.data + c * view.step
        table.scatter(&rows, start, n, tile + c * P * table.size)


# ---- extremes and sum of an array -------------------------------------------------------------------------------------

cdef struct LookCall:
    Spans spans
    const fl_real_table *table
    Operand x
    bint size
    Py_ssize_t n
    char *scratch
    Py_ssize_t scratch_size


cdef char *block_of(LookCall *call, Py_ssize_t b, int thread, Py_ssize_t *n) noexcept nogil:
    """The elements of a block, and their number."""
    cdef Py_ssize_t start = (call.spans.base + b) * POINT_BLOCK
    cdef char *x = block_pointer(&call.x, start, call.table.size, call.scratch + thread * call.scratch_size)
    n[0] = min(<Py_ssize_t>POINT_BLOCK, call.n - start)
    if not call.x.direct:
        call.table.gather(&call.x.view, start, n[0], x)
    return x


cdef void extremes_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef LookCall *call = <LookCall *>call_
    cdef Partial *partial = &call.spans.partials[b]
    cdef Py_ssize_t n
    cdef char *x = block_of(call, b, thread, &n)
    (call.table.size_extremes if call.size else call.table.extremes)(n, x, &partial.low[0], &partial.high[0])


cdef void total_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    cdef LookCall *call = <LookCall *>call_
    cdef Py_ssize_t n
    cdef char *x = block_of(call, b, thread, &n)
    call.spans.partials[b].sum = call.table.sum(n, <const double *>x)


cdef int look(block_work work, LookCall *call, cnp.ndarray x, bint wide, double cost, int threads) except -1:
    cdef Py_ssize_t blocks
    cdef Workspace workspace
    call.table, call.n = real_table(wide), cnp.PyArray_SIZE(x)
    set_operand(&call.x, x, call.table)
    set_spans(&call.spans)
    blocks = (call.n + POINT_BLOCK - 1) // POINT_BLOCK
    call.scratch, call.scratch_size = NULL, 0
    if not call.x.direct:
        workspace = Workspace(POINT_BLOCK * call.table.size, <int>max(1, min(threads, blocks)))
        call.scratch, call.scratch_size = workspace.base(), workspace.size
    return run_spans(work, call, &call.spans, blocks, POINT_BLOCK * cost, threads)


def extremes(cnp.ndarray x, int threads, bint size=False):
    """Smallest and largest entry (`size`: absolute value), nan passed over; (inf, -inf) if there is none."""
    cdef LookCall call
    call.size = size
    look(extremes_block, &call, x, x.dtype.itemsize > 4 or x.dtype.kind != "f", 0.15, threads)
    return call.spans.result.low[0], call.spans.result.high[0]


def total(cnp.ndarray x, int threads):
    """The sum of all entries in float64; its bits depend on neither layout nor threads."""
    cdef LookCall call
    look(total_block, &call, x, True, 0.25, threads)
    return call.spans.result.sum


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

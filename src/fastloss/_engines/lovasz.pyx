# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The Lovasz extension of the Jaccard loss: all errors of a class are sorted, and each is multiplied by what its position adds to
the loss.

Design:
- The errors |t - p| come from `regions.errors`, one number for each position and class: no other loss of
  regions keeps as much.
- A class of a group is sorted by one thread (csrc/lovasz/sort.h), in steps between which signals are checked.
- The sorted errors' gradients overwrite the errors.
"""

import numpy as np

import fastloss._engines.regions as regions

cimport numpy as cnp
from libc.stdint cimport uint32_t
from libc.string cimport memset

from fastloss._kernels cimport Workspace, interrupted, isa, run_blocks

cnp.import_array()

cdef extern from "lovasz/lovasz.h" nogil:
    enum:
        FL_COUNT_BYTES

    ctypedef struct fl_lovasz:
        Py_ssize_t n
        void *error
        void *source
        void *to
        uint32_t *count
        int with_grad
        int pass_ "pass"
        Py_ssize_t counted
        Py_ssize_t positives
        double value

    ctypedef struct fl_lovasz_real:
        void (*begin)(fl_lovasz *) noexcept nogil
        void (*read)(fl_lovasz *, Py_ssize_t, Py_ssize_t) noexcept nogil
        int (*place)(fl_lovasz *) noexcept nogil
        void (*move)(fl_lovasz *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*add)(fl_lovasz *, Py_ssize_t, Py_ssize_t) noexcept nogil
        int passes
        Py_ssize_t key_bytes
        Py_ssize_t pair_bytes

    ctypedef struct fl_lovasz_table:
        fl_lovasz_real f32
        fl_lovasz_real f64

    const fl_lovasz_table *fl_lovasz_table_at(const char *level)

cdef enum:
    STEP = 2097152  # elements that are read, moved or added between two checks for signals: about 15 ms


cdef struct SortCall:
    const fl_lovasz_real *loops
    Py_ssize_t n, step  # positions of a group; bytes of one class's errors
    bint with_grad, only_present, stop
    char *errors
    double *results  # per group and class: value, volume, how many positions count
    char *scratch
    Py_ssize_t scratch_size, element  # element: bytes of what is sorted


ctypedef void (*sort_step)(fl_lovasz *, Py_ssize_t, Py_ssize_t) noexcept nogil


cdef bint in_steps(SortCall *call, fl_lovasz *job, sort_step work, Py_ssize_t n, int thread) noexcept nogil:
    """Do the work on n elements; whether it was finished."""
    cdef Py_ssize_t start = 0
    while start < n:
        if start and interrupted(&call.stop, thread):
            return False
        work(job, start, min(<Py_ssize_t>STEP, n - start))
        start += STEP
    return True


cdef bint sort_digits(SortCall *call, fl_lovasz *job, int thread) noexcept nogil:
    """A radix sort, from the least significant digit on; whether it was finished."""
    cdef int k
    cdef void *moved
    for k in range(call.loops.passes):
        job.pass_ = k
        if call.loops.place(job):
            if not in_steps(call, job, call.loops.move, job.counted, thread):
                return False
            moved = job.to
            job.to, job.source = job.source, moved
    return True


cdef void sort_block(void *call_, Py_ssize_t b, int thread) noexcept nogil:
    """One class of one group."""
    cdef SortCall *call = <SortCall *>call_
    cdef char *scratch = call.scratch + thread * call.scratch_size
    cdef double *result = call.results + 3 * b
    cdef fl_lovasz job
    job.n, job.error, job.with_grad = call.n, call.errors + b * call.step, call.with_grad
    job.count, job.source = <uint32_t *>scratch, scratch + FL_COUNT_BYTES
    job.to = scratch + FL_COUNT_BYTES + call.n * call.element
    call.loops.begin(&job)
    if not in_steps(call, &job, call.loops.read, call.n, thread):
        return
    result[1], result[2] = <double>job.positives, <double>job.counted
    if call.only_present and job.positives == 0:
        memset(job.error, 0, call.step if call.with_grad else 0)
    elif sort_digits(call, &job, thread) and in_steps(call, &job, call.loops.add, job.counted, thread):
        result[0] = job.value


cdef cnp.ndarray extend(cnp.ndarray errors, bint only_present, bint with_grad, int threads):
    """Of errors (groups, classes, positions): (groups, classes, 3) as `lovasz` returns them. Errors become gradients if asked."""
    cdef SortCall call
    cdef Workspace workspace
    cdef Py_ssize_t groups = cnp.PyArray_DIM(errors, 0), classes = cnp.PyArray_DIM(errors, 1)
    cdef const fl_lovasz_table *table = fl_lovasz_table_at(isa())
    cdef cnp.ndarray results = np.zeros((groups, classes, 3))
    call.loops = &table.f64 if cnp.PyArray_TYPE(errors) == cnp.NPY_DOUBLE else &table.f32
    call.n, call.step = cnp.PyArray_DIM(errors, 2), cnp.PyArray_STRIDE(errors, 1)
    call.with_grad, call.only_present, call.stop = with_grad, only_present, False
    call.errors, call.results = <char *>cnp.PyArray_DATA(errors), <double *>cnp.PyArray_DATA(results)
    call.element = call.loops.pair_bytes if with_grad else call.loops.key_bytes
    threads = <int>max(<Py_ssize_t>1, min(<Py_ssize_t>threads, groups * classes))
    workspace = Workspace(FL_COUNT_BYTES + 2 * call.n * call.element, threads)
    call.scratch, call.scratch_size = workspace.base(), workspace.size
    run_blocks(sort_block, &call, groups * classes, 1000.0 + 10.0 * call.n, threads)
    return results


def lovasz(
    cnp.ndarray x, int axis, cnp.ndarray target, int kind, activation, *, bint pooled=False, ignore_index=None,
    bint only_present=False, bint with_slopes=False, bint wide=False, int threads=1,
):
    """The Jaccard loss's extension for each group and class; arguments as for `regions.sums`, labels or masks only.

    Returns (float64 array of shape (groups, classes, 3): value, positions that belong to the class, positions that count;
    gradients with respect to each p, (groups, classes, positions), or None; then what `regions.errors` returns after its errors).
    """
    errors, *found = regions.errors(
        x, axis, target, kind, activation, pooled=pooled, ignore_index=ignore_index, wide=wide, threads=threads
    )
    if found[0] >= 0:  # a label that will be refused
        return np.zeros((*errors.shape[:2], 3)), errors if with_slopes else None, *found
    return extend(errors, only_present, with_slopes, threads), errors if with_slopes else None, *found

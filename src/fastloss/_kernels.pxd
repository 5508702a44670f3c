# The C side (csrc/common/kernels.h) as Cython sees it, and what every kernel module shares: views, blocks, workspaces.
# Letters: N rows (samples), C classes, P positions of a tile.

cimport numpy as cnp
from libc.stdint cimport int64_t

cdef extern from "common/kernels.h" nogil:
    enum:
        FL_VALUE, FL_GRAD, FL_HESS
        FL_PIECE_BYTES
        FL_PLAIN, FL_FOCAL, FL_POLY1, FL_GENERALIZED
        FL_F16, FL_BF16, FL_F32, FL_F64, FL_I8, FL_I16, FL_I32, FL_I64, FL_U8, FL_U16, FL_U32, FL_U64

    ctypedef struct fl_view:
        char *data
        int type
        int ndim
        Py_ssize_t shape[64]
        Py_ssize_t stride[64]

    ctypedef struct fl_pointwise:
        Py_ssize_t n
        const void *x
        const void *t
        const void *z
        const void *w
        void *value
        void *grad
        void *hess
        double par[4]
        double scale
        int want
        double sum
        double x_low
        double x_high
        double t_low
        double t_high
        double z_low
        double z_high
        void *grad2
        void *hess2

    ctypedef struct fl_sums:
        Py_ssize_t rows
        Py_ssize_t C
        const void *x
        const void *t
        const void *z
        const void *u
        const double *weight
        double *sum
        void *grad
        void *grad2
        double par[4]
        double scale
        int want
        double total
        double x_low
        double x_high
        double t_low
        double t_high

    ctypedef struct fl_soft:
        const void *t
        const void *class_weight
        double mix
        double floor

    enum:
        FL_SCORES_contrast, FL_SCORES_weston_watkins, FL_SCORES_gibbs, FL_SCORES_tasks, FL_SCORES_squared_emd
        FL_ENERGY, FL_HINGE, FL_HINGE_SQUARED, FL_LOG, FL_LVQ2, FL_MCE, FL_SQUARE_SQUARE, FL_SQUARE_EXP, FL_NLL, FL_MEE
        FL_SCORES_SCRATCH
        FL_LINK_logit, FL_LINK_probit, FL_LINK_cloglog

    ctypedef struct fl_tile:
        Py_ssize_t C
        Py_ssize_t P
        Py_ssize_t x_step
        const void *x
        void *e
        void *room
        const char *next
        Py_ssize_t next_step

    ctypedef struct fl_scores:
        Py_ssize_t C
        Py_ssize_t P
        const void *x
        const double *label
        const double *scale
        const double *level_weight
        double par[4]
        double *value
        void *grad
        void *hess
        double *scratch

    ctypedef struct fl_link:
        Py_ssize_t n
        const double *score
        const double *low
        const double *high
        const double *scale
        bint slopes
        double *value
        double *grad
        double *grad_low
        double *grad_high

    ctypedef struct fl_real_table:
        void (*gather)(const fl_view *, Py_ssize_t, Py_ssize_t, void *) noexcept nogil
        void (*scatter)(const fl_view *, Py_ssize_t, Py_ssize_t, const void *) noexcept nogil
        void (**pointwise)(fl_pointwise *) noexcept nogil
        void (**sums)(fl_sums *) noexcept nogil
        void (*pieces)(Py_ssize_t, Py_ssize_t, const char *, Py_ssize_t, char *, Py_ssize_t, double *, double *,
                       double *, const char *) noexcept nogil
        void (*finish)(Py_ssize_t, const double *, double *, double *) noexcept nogil
        void (*rescale)(Py_ssize_t, const void *, double, void *) noexcept nogil
        void (*hard_rows)(Py_ssize_t, Py_ssize_t, const char *, Py_ssize_t, const double *, const double *,
                          const int64_t *, char *, Py_ssize_t) noexcept nogil
        Py_ssize_t (*samples)(Py_ssize_t, int64_t *, double *, int64_t, int, int64_t) noexcept nogil
        void (*fill)(Py_ssize_t, double, double *) noexcept nogil
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
        void (*extremes)(Py_ssize_t, const void *, double *, double *) noexcept nogil
        void (*tile_load)(Py_ssize_t, Py_ssize_t, Py_ssize_t, const char *, Py_ssize_t, void *) noexcept nogil
        void (*tile_save)(Py_ssize_t, Py_ssize_t, Py_ssize_t, const void *, char *, Py_ssize_t) noexcept nogil
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
        void (**scores)(fl_scores *) noexcept nogil
        void (**links)(fl_link *) noexcept nogil
        int lanes
        int size
        double unbias

    ctypedef struct fl_table:
        const char *name
        fl_real_table f32
        fl_real_table f64

    const char *fl_pointwise_name(int op)
    const char *fl_sums_name(int op)
    const fl_table *fl_table_at(int level)
    void fl_merge_pieces(Py_ssize_t, const double *, const double *, double *, double *)
    void fl_gather_labels(const fl_view *, Py_ssize_t, Py_ssize_t, int64_t *)
    double fl_load_one(const char *, int)
    void fl_store_one(char *, int, double)
    char *fl_view_at(const fl_view *, Py_ssize_t)

ctypedef void (*block_work)(void *call, Py_ssize_t block, int thread) noexcept nogil

cdef const char *isa() noexcept nogil  # name of the CPU level in use
cdef const fl_real_table *real_table(bint wide) noexcept nogil
cdef int run_blocks(block_work work, void *call, Py_ssize_t blocks, double cost, int threads) except -1
cdef bint interrupted(bint *stop, int thread) noexcept nogil

ctypedef struct RunningSum:
    double total
    double lost

cdef enum:
    SPAN = 65536  # blocks whose partial sums are kept at once

cdef void add_in_order(RunningSum *sum, const double *x, Py_ssize_t n) noexcept nogil
cdef double sum_of(const RunningSum *sum) noexcept nogil
cdef int type_code(cnp.ndarray a) except -1
cdef int make_view(fl_view *view, cnp.ndarray a, int without_axis=*) except -1

cdef class Workspace:
    cdef char *memory
    cdef Py_ssize_t size
    cdef char *base(self) noexcept


cdef inline Py_ssize_t round_up(Py_ssize_t n, Py_ssize_t unit) noexcept nogil:
    """The least multiple of `unit` that is not below n."""
    return (n + unit - 1) // unit * unit

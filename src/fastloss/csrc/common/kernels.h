/* What all engines share: the element types and views of arrays, and the table of loops each CPU level offers for reading and
 * writing them. Letters: C classes, P positions of a tile (rows side by side, one per vector lane).
 * Nothing here allocates, touches Python, or reads a position that its caller did not name.
 */
#ifndef FL_KERNELS_H
#define FL_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum { FL_VALUE = 1, FL_GRAD = 2, FL_HESS = 4 };   /* what a call wants; combined by | */
enum { FL_X = 1, FL_T = 2, FL_Z = 4, FL_TWO = 8 }; /* operands whose extremes are wanted; two have derivatives */

enum fl_type { /* the element types that arrays may have; the first four are floating */
               FL_F16,
               FL_BF16,
               FL_F32,
               FL_F64,
               FL_I8,
               FL_I16,
               FL_I32,
               FL_I64,
               FL_U8, /* bool too */
               FL_U16,
               FL_U32,
               FL_U64,
               FL_TYPES
};

#define FL_IGNORED_ERROR 2.0 /* of a position that does not count in Lovasz's extension; others are at most 1 */
#define FL_MAX_DIMS 64       /* NumPy's own limit */
#define FL_LINES_AHEAD 4096  /* software prefetch distance, in bytes */
#define FL_AHEAD 16384       /* the same, at the least, in loops that compute exponentials */
#define FL_COLUMNS_AHEAD 512 /* the same where many runs are read side by side */

/* An array seen as a flat C-order sequence, whatever its strides: read with `gather`, written with `scatter`. */
typedef struct {
  char *data;
  int type; /* enum fl_type */
  int ndim; /* after merging neighbours that advance evenly; at least 1 */
  ptrdiff_t shape[FL_MAX_DIMS], stride[FL_MAX_DIMS];
} fl_view;

/* The loops that every engine uses, of one computation type (float or double). */
typedef struct fl_real_table {
  void (*gather)(const fl_view *view, ptrdiff_t start, ptrdiff_t n, void *out);
  void (*scatter)(const fl_view *view, ptrdiff_t start, ptrdiff_t n, const void *in);
  void (*extremes)(ptrdiff_t n, const void *x, double *low, double *high);      /* widens [low, high]; nan passed over */
  void (*size_extremes)(ptrdiff_t n, const void *x, double *low, double *high); /* the same of absolute values */
  double (*sum)(ptrdiff_t n, const double *x);
  /* Rows of C contiguous elements, `stride` bytes apart, become columns of a C x P tile, and back; n <= P rows. */
  void (*tile_load)(ptrdiff_t C, ptrdiff_t P, ptrdiff_t n, const char *x, ptrdiff_t stride, void *tile);
  void (*tile_save)(ptrdiff_t C, ptrdiff_t P, ptrdiff_t n, const void *tile, char *x, ptrdiff_t stride);
  void (*fill)(ptrdiff_t n, double x, double *out);
  int lanes, size; /* elements per register; bytes per element */
} fl_real_table;

typedef struct {
  const char *name; /* of the CPU level */
  fl_real_table f32, f64;
} fl_table;

/* dispatch.c */
const fl_table *fl_table_at(int level); /* the levels this machine can run, slowest first; NULL past the last */

/* scalar.c */
void fl_merge_chunks(ptrdiff_t chunks, const double *max, const double *tail_sum, double *row_max, double *row_tail);
void fl_gather_labels(const fl_view *view, ptrdiff_t start, ptrdiff_t n, int64_t *out);
double fl_load_one(const char *p, int type);
void fl_store_one(char *p, int type, double value);
char *fl_view_at(const fl_view *view, ptrdiff_t index);

#endif

/* The loops for losses of vectors of one CPU level. setup.py compiles this file once per level with -DFL_LEVEL=<name> and the
 * level's flags; the result is one constant table, fl_vectors_table_<level>.
 */
#include "vectors/vectors.h"

#include <math.h>

#include "common/simd.h"
#include "common/vecmath.h"

#include "common/probability.h"
#include "vectors/exact.h"

/* The chunk of a row that begins at `start`; returns its length. */
FL_INLINE ptrdiff_t enter_chunk(fl_vectors *job, ptrdiff_t start) {
  if (job->load && job->at != start) job->load(job, start), job->at = start;
  return job->D - start < job->chunk ? job->D - start : job->chunk;
}
FL_INLINE void leave_chunk(fl_vectors *job, ptrdiff_t start) {
  if (job->save) job->save(job, start);
}

#define FL_BODY "vectors/real.h"
#include "common/twice.h"

#define FL_VECTORS_REAL(suffix)                                                                                          \
  {.contrastive = contrastive_##suffix, .triplet = triplet_##suffix, .cosine = cosine_##suffix}
#define FL_TABLE_OF(level) FN_JOIN(fl_vectors_table, level)

const fl_vectors_table FL_TABLE_OF(FL_LEVEL) = {FL_VECTORS_REAL(f32), FL_VECTORS_REAL(f64)};

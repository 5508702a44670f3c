/* The loops for rows of scores and for cumulative links, of one CPU level. setup.py compiles this file once per level with
 * -DFL_LEVEL=<name> and the level's flags; the result is one constant table, fl_scores_table_<level>.
 */
#include "scores/scores.h"

#include <math.h>

#include "common/simd.h"
#include "common/vecmath.h"

#include "common/probability.h"
#include "scores/links.h"

#define FL_BODY "scores/real.h"
#include "common/twice.h"

#define FL_TABLE_OF(level) FN_JOIN(fl_scores_table, level)

const fl_scores_table FL_TABLE_OF(FL_LEVEL) = {scores_table_f32, scores_table_f64, link_table};

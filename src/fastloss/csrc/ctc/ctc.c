/* The inner loops of CTC for one CPU level. setup.py compiles this file once per level with -DFL_LEVEL=<name> and the level's flags;
 * the result is one constant table, fl_ctc_table_<level>, among which _engines/ctc.pyx chooses (levels.h).
 */
#include "ctc/ctc.h"

#include <float.h>
#include <math.h>

#include "common/half.h"
#include "common/simd.h"
#include "common/vecmath.h"
#include "common/view.h"

#include "common/probability.h"

#define FL_BODY "ctc/frames.h"
#include "common/twice.h"

#include "ctc/states.h"
#include "ctc/linear.h"
#include "ctc/log.h"
#include "ctc/exact.h"
#include "ctc/best.h"

#define FL_TABLE_OF(level) FN_JOIN(fl_ctc_table, level)

const fl_ctc_table FL_TABLE_OF(FL_LEVEL) = {
    .mark = {mark_f32, mark_f64},
    .frames = {frames_f32, frames_f64},
    .grad = {grad_f32, grad_f64},
    .fill = {fill_f32, fill_f64},
    .begin = linear_begin,
    .forward = linear_forward,
    .end = linear_end,
    .begin_backward = linear_begin_backward,
    .backward = linear_backward,
    .log_begin = log_begin,
    .log_forward = log_forward,
    .log_end = log_end,
    .log_turn = log_turn,
    .log_backward = log_backward,
    .exact_begin = exact_begin,
    .exact_forward = exact_forward,
    .exact_end = exact_end,
    .best_forward = best_forward,
    .best_path = best_path,
};

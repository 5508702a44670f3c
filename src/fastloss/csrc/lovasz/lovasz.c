/* The loops for Lovasz's extension of one CPU level. setup.py compiles this file once per level with -DFL_LEVEL=<name> and the
 * level's flags; the result is one constant table, fl_lovasz_table_<level>.
 */
#include "lovasz/lovasz.h"

#include <string.h>

#include "common/simd.h"

#define FL_BODY "lovasz/sort.h"
#include "common/twice.h"

#define FL_LOVASZ_REAL(suffix)                                                                                           \
  {                                                                                                                      \
      .begin = lovasz_begin_##suffix,                                                                                    \
      .read = lovasz_read_##suffix,                                                                                      \
      .place = lovasz_place_##suffix,                                                                                    \
      .move = lovasz_move_##suffix,                                                                                      \
      .add = lovasz_add_##suffix,                                                                                        \
      .passes = FL_PASSES_##suffix,                                                                                      \
      .key_bytes = sizeof(fl_bits_##suffix),                                                                             \
      .pair_bytes = sizeof(fl_pair_##suffix),                                                                            \
  }

#define FL_TABLE_OF(level) FN_JOIN(fl_lovasz_table, level)

const fl_lovasz_table FL_TABLE_OF(FL_LEVEL) = {FL_LOVASZ_REAL(f32), FL_LOVASZ_REAL(f64)};

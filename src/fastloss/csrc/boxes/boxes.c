/* The loop for pairs of boxes of one CPU level. setup.py compiles this file once per level with -DFL_LEVEL=<name> and the level's
 * flags; the result is one constant table, fl_boxes_table_<level>.
 */
#include "boxes/boxes.h"

#include "boxes/iou.h"

#define FL_TABLE_JOIN(level) fl_boxes_table_##level
#define FL_TABLE_OF(level) FL_TABLE_JOIN(level)

const fl_boxes_table FL_TABLE_OF(FL_LEVEL) = {fl_boxes};

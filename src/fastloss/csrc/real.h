/* All loops of one computation type, in reading order; the body of level.c (twice.h). */
#include "common/convert.h"
#include "pointwise/pointwise.h"
#include "sums/sums.h"
#include "rows/rows.h"
#include "rows/tiles.h"
#include "scores/scores.h"

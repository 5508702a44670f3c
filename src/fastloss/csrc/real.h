/* All loops of one computation type, in reading order; the body of level.c (twice.h). */
#include "convert.h"
#include "pointwise.h"
#include "sums.h"
#include "rows.h"
#include "tiles.h"
#include "scores.h"

/* The loops for rows of one computation type, in reading order; the body of rows.c (twice.h). */
#include "common/registers.h"
#include "rows/real.h"
#include "rows/tiles.h"

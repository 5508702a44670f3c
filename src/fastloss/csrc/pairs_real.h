/* Distances and triplets of one computation type, in reading order; the body of pairs.c (twice.h). */
#include "gemm.h"
#include "pairs_distances.h"
#include "pairs_rank.h"
#include "pairs_mine.h"
#include "pairs_pull.h"

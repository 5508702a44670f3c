/* Distances and triplets of one computation type, in reading order; the body of mining.c (twice.h). */
#include "common/gemm.h"
#include "mining/distances.h"
#include "mining/rank.h"
#include "mining/mine.h"
#include "mining/gradient.h"

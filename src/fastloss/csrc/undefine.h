/* The end of one computation type (twice.h): what it and scaling.h defined. */
#undef FL_SUFFIX
#undef FL_REAL_BITS
#undef FL_THIS_TYPE
#undef R
#undef V
#undef M
#undef LANES
#undef FL_BIAS
#undef FL_UNBIAS
#undef FL_RANGE
#undef FL_FLUSH
#undef FL_SMALL
#undef FL_ROUND
#undef FL_EXP_UNIT
#undef FL_LOG1P_ROW
#undef FL_HALVES
#undef FL_HALF

/* The end of one computation type's part of a file that is compiled once per type. */
#undef FL_SUFFIX
#undef FL_REAL_BITS
#undef FL_THIS_TYPE
#undef FL_BIAS
#undef FL_RANGE
#undef FL_FLUSH
#undef FL_SMALL
#undef FL_ROUND
#undef FL_UNBIAS
#undef FL_EXP_UNIT
#undef FL_LOG1P_ROW
#undef R
#undef V
#undef M
#undef LANES

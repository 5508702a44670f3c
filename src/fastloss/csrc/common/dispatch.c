/* Which CPU levels this machine can run. Compiled without CPU flags. */
#include "common/kernels.h"

extern const fl_table fl_table_baseline;
#if defined(FL_HAVE_V3)
extern const fl_table fl_table_v3;
#endif
#if defined(FL_HAVE_V4)
extern const fl_table fl_table_v4;
#endif

const fl_table *fl_table_at(int level) {
  const fl_table *tables[4];
  int n = 0;
  tables[n++] = &fl_table_baseline;
#if defined(FL_HAVE_V3) || defined(FL_HAVE_V4)
  __builtin_cpu_init(); /* asks the operating system too whether it saves the registers */
  const int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                 __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c");
#endif
#if defined(FL_HAVE_V3)
  if (v3) tables[n++] = &fl_table_v3;
#endif
#if defined(FL_HAVE_V4)
  if (v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    tables[n++] = &fl_table_v4;
#endif
  return level < n ? tables[level] : NULL;
}

/* Which of an extension's tables of inner loops runs: that of the CPU level in use, by its name. setup.py defines FL_HAVE_<LEVEL>. */
#ifndef FASTLOSS_LEVELS_H
#define FASTLOSS_LEVELS_H

#include <string.h>

#if defined(FL_HAVE_V3)
#define FL_WITH_V3(X) X
#else
#define FL_WITH_V3(X)
#endif
#if defined(FL_HAVE_V4)
#define FL_WITH_V4(X) X
#else
#define FL_WITH_V4(X)
#endif

/* Defines `const type *name_at(level)`, which chooses among the tables name_baseline, name_v3 and name_v4. */
#define FL_TABLES(type, name)                                                                                            \
  extern const type name##_baseline;                                                                                     \
  FL_WITH_V3(extern const type name##_v3;)                                                                               \
  FL_WITH_V4(extern const type name##_v4;)                                                                               \
  static inline const type *name##_at(const char *level) {                                                               \
    FL_WITH_V3(if (strcmp(level, "v3") == 0) return &name##_v3;)                                                         \
    FL_WITH_V4(if (strcmp(level, "v4") == 0) return &name##_v4;)                                                         \
    return &name##_baseline;                                                                                             \
  }

#endif

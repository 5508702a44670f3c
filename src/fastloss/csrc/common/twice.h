/* Includes FL_BODY, a header of one computation type, for double and then for float. There R is the type, V a register of it, M what
 * a comparison of registers gives, LANES how many it holds, and FN(name) a name of that type's own. setup.py looks for the body, too.
 */
#define FN_JOIN(name, suffix) name##_##suffix
#define FN_OF(name, suffix) FN_JOIN(name, suffix)
#define FN(name) FN_OF(name, FL_SUFFIX)

#define FL_SUFFIX f64
#define FL_REAL_BITS 64
#define FL_THIS_TYPE FL_F64
#define R double
#define V vd
#define M md
#define LANES LANES_F64
#include FL_BODY
#include "common/undefine.h"

#define FL_SUFFIX f32
#define FL_REAL_BITS 32
#define FL_THIS_TYPE FL_F32
#define R float
#define V vf
#define M mf
#define LANES LANES_F32
#include FL_BODY
#include "common/undefine.h"

#undef FL_BODY

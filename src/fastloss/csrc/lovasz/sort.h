/* Lovasz's extension of the Jaccard loss (Berman, Triki and Blaschko 2018): errors in descending order, each times what its position
 * adds to the loss. The body of lovasz.c (twice.h).
 *
 * Errors lie in [0, 1], so that their bits order as they do. A key is an error's bits and, in the lowest place, whether the
 * position belongs to the class, all inverted: ascending keys are descending errors. A radix sort, with digits of 11 bits, the least
 * significant first; it is stable, and a digit in which all keys agree costs nothing but its count.
 */

#if FL_REAL_BITS == 32
#define U uint32_t
enum { FL_PASSES_f32 = 3 };
typedef uint32_t fl_bits_f32;
typedef uint64_t fl_pair_f32; /* key, position */
FL_INLINE fl_pair_f32 fl_pair_of_f32(uint32_t key, ptrdiff_t i) { return (uint64_t)key << 32 | (uint32_t)i; }
FL_INLINE uint32_t fl_key_f32(fl_pair_f32 e) { return (uint32_t)(e >> 32); }
FL_INLINE ptrdiff_t fl_position_f32(fl_pair_f32 e) { return (uint32_t)e; }
#else
#define U uint64_t
enum { FL_PASSES_f64 = 6 };
typedef uint64_t fl_bits_f64;
typedef struct {
  uint64_t key;
  ptrdiff_t position;
} fl_pair_f64;
FL_INLINE fl_pair_f64 fl_pair_of_f64(uint64_t key, ptrdiff_t i) { return (fl_pair_f64){key, i}; }
FL_INLINE uint64_t fl_key_f64(fl_pair_f64 e) { return e.key; }
FL_INLINE ptrdiff_t fl_position_f64(fl_pair_f64 e) { return e.position; }
#endif
FL_INLINE U FN(fl_same)(U key) { return key; }

#define FL_DIGIT_BITS 11
#define FL_DIGIT(key, pass) ((size_t)((key) >> ((pass) * FL_DIGIT_BITS)) & ((1 << FL_DIGIT_BITS) - 1))

/* One pass over some elements: each goes to the next place of its digit. */
#define FL_MOVE(E, name, KEY)                                                                                            \
  static void name(fl_lovasz *job, ptrdiff_t start, ptrdiff_t n) {                                                       \
    const int pass = job->pass;                                                                                          \
    uint32_t *place = job->count + ((size_t)pass << FL_DIGIT_BITS);                                                      \
    const E *from = job->source;                                                                                         \
    E *to = job->to;                                                                                                     \
    for (ptrdiff_t i = start; i < start + n; i++) to[place[FL_DIGIT(KEY(from[i]), pass)]++] = from[i];                   \
  }
FL_MOVE(U, FN(move_keys), FN(fl_same))
FL_MOVE(FN(fl_pair), FN(move_pairs), FN(fl_key))

/* How much the Jaccard loss grows by the next position; `positive` if it belongs to the class. */
FL_INLINE double FN(gain)(int positive, double *intersection, double *union_size) {
  if (positive) {
    *intersection -= 1;
    return 1 / *union_size;
  }
  const double u = (*union_size)++;
  return u == 0 ? 1 : *intersection / (u * (u + 1));
}

FL_INLINE double FN(error_of)(U key) { /* from an inverted key */
  const U bits = (U)~key >> 1;
  R e;
  memcpy(&e, &bits, sizeof e);
  return e;
}

/* A sum of many terms >= 0: in runs of 64, which are added with compensation. */
#ifndef FL_LONG_SUM
#define FL_LONG_SUM
static inline void fl_long_add(fl_lovasz *s, double x, ptrdiff_t i) {
  s->partial += x;
  if ((i & 63) != 63 && i != s->counted - 1) return;
  const double y = s->partial - s->rounding, next = s->value + y;
  s->rounding = (next - s->value) - y, s->value = next, s->partial = 0;
}
#endif

static void FN(lovasz_begin)(fl_lovasz *job) {
  memset(job->count, 0, FL_COUNT_BYTES);
  job->counted = job->positives = 0;
  job->value = job->partial = job->rounding = 0;
}

static void FN(lovasz_read)(fl_lovasz *job, ptrdiff_t start, ptrdiff_t n) {
  const U sign = (U)1 << (FL_REAL_BITS - 1);
  const R ignored_error = (R)FL_IGNORED_ERROR;
  const int with_grad = job->with_grad;
  R *error = job->error;
  U ignored, *keys = job->source;
  FN(fl_pair) *pairs = job->source;
  uint32_t *count = job->count;
  ptrdiff_t m = job->counted, positives = job->positives;
  memcpy(&ignored, &ignored_error, sizeof ignored);
  for (ptrdiff_t i = start; i < start + n; i++) {
    U bits;
    memcpy(&bits, error + i, sizeof bits);
    if (bits == ignored) {
      if (with_grad) error[i] = 0;
      continue;
    }
    const int positive = bits >= sign;
    const U key = ~((U)(bits << 1) | (U)positive);
    positives += positive;
    for (int pass = 0; pass < FN(FL_PASSES); pass++) count[(pass << FL_DIGIT_BITS) + FL_DIGIT(key, pass)]++;
    if (with_grad)
      pairs[m++] = FN(fl_pair_of)(key, i);
    else
      keys[m++] = key;
  }
  job->counted = m, job->positives = positives;
  job->intersection = job->union_size = (double)positives;
}

static int FN(lovasz_place)(fl_lovasz *job) {
  uint32_t *count = job->count + ((size_t)job->pass << FL_DIGIT_BITS), start = 0;
  if (job->counted == 0) return 0;
  const U first = job->with_grad ? FN(fl_key)(*(const FN(fl_pair) *)job->source) : *(const U *)job->source;
  if (count[FL_DIGIT(first, job->pass)] == job->counted) return 0;
  for (size_t d = 0; d < (size_t)1 << FL_DIGIT_BITS; d++) {
    const uint32_t here = count[d];
    count[d] = start, start += here;
  }
  return 1;
}

static void FN(lovasz_move)(fl_lovasz *job, ptrdiff_t start, ptrdiff_t n) {
  if (job->with_grad)
    FN(move_pairs)(job, start, n);
  else
    FN(move_keys)(job, start, n);
}

static void FN(lovasz_add)(fl_lovasz *job, ptrdiff_t start, ptrdiff_t n) {
  fl_lovasz sum = *job;
  const U *keys = job->source;
  const FN(fl_pair) *pairs = job->source;
  R *error = job->error;
  if (!sum.with_grad)
    for (ptrdiff_t i = start; i < start + n; i++)
      fl_long_add(&sum, FN(error_of)(keys[i]) * FN(gain)(!(keys[i] & 1), &sum.intersection, &sum.union_size), i);
  else
    for (ptrdiff_t i = start; i < start + n; i++) {
      const U key = FN(fl_key)(pairs[i]);
      const int positive = !(key & 1);
      const double gain = FN(gain)(positive, &sum.intersection, &sum.union_size);
      fl_long_add(&sum, FN(error_of)(key) * gain, i);
      error[FN(fl_position)(pairs[i])] = (R)(positive ? -gain : gain);
    }
  *job = sum;
}

#undef U
#undef FL_DIGIT_BITS
#undef FL_DIGIT
#undef FL_MOVE

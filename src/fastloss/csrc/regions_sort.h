/* Lovasz's extension of the Jaccard loss: errors in descending order, each times what its position adds to the loss. Included by
 * regions.c once per type, after regions_real.h.
 *
 * Errors lie in [0, 1], so that their bits order as they do. A key is an error's bits and, in the lowest place, whether the
 * position belongs to the class, all inverted: ascending keys are descending errors. Digits of 11 bits, the least significant first;
 * the sort is stable, and a digit in which all keys agree costs nothing but its count.
 */

#if FL_REAL_BITS == 32
#define U uint32_t
#define FL_PASSES 3
typedef uint64_t fl_pair_f32; /* key, position */
FL_INLINE fl_pair_f32 fl_pair_of_f32(uint32_t key, ptrdiff_t i) { return (uint64_t)key << 32 | (uint32_t)i; }
FL_INLINE uint32_t fl_key_f32(fl_pair_f32 e) { return (uint32_t)(e >> 32); }
FL_INLINE ptrdiff_t fl_place_f32(fl_pair_f32 e) { return (uint32_t)e; }
#else
#define U uint64_t
#define FL_PASSES 6
typedef struct {
  uint64_t key;
  ptrdiff_t place;
} fl_pair_f64;
FL_INLINE fl_pair_f64 fl_pair_of_f64(uint64_t key, ptrdiff_t i) { return (fl_pair_f64){key, i}; }
FL_INLINE uint64_t fl_key_f64(fl_pair_f64 e) { return e.key; }
FL_INLINE ptrdiff_t fl_place_f64(fl_pair_f64 e) { return e.place; }
#endif
FL_INLINE U FN(fl_alone)(U key) { return key; }

#define FL_DIGIT_BITS 11
#define FL_DIGIT(key, pass) ((size_t)((key) >> ((pass) * FL_DIGIT_BITS)) & ((1 << FL_DIGIT_BITS) - 1))

/* Sorts n elements of a by their keys, through b; returns where they end up. count: FL_PASSES x 2^FL_DIGIT_BITS. */
#define FL_SORT(E, name, KEY)                                                                                            \
  static E *name(ptrdiff_t n, E *a, E *b, uint32_t *count) {                                                             \
    for (int pass = 0; pass < FL_PASSES; pass++, count += 1 << FL_DIGIT_BITS) {                                          \
      if (n == 0 || count[FL_DIGIT(KEY(a[0]), pass)] == n) continue;                                                     \
      uint32_t start = 0;                                                                                                \
      for (size_t d = 0; d < (size_t)1 << FL_DIGIT_BITS; d++) {                                                          \
        const uint32_t here = count[d];                                                                                  \
        count[d] = start, start += here;                                                                                 \
      }                                                                                                                  \
      for (ptrdiff_t i = 0; i < n; i++) b[count[FL_DIGIT(KEY(a[i]), pass)]++] = a[i];                                    \
      E *other = a;                                                                                                      \
      a = b, b = other;                                                                                                  \
    }                                                                                                                    \
    return a;                                                                                                            \
  }
FL_SORT(U, FN(sort_keys), FN(fl_alone))
FL_SORT(FN(fl_pair), FN(sort_pairs), FN(fl_key))

/* How much the Jaccard loss grows by the next position: `own` if it belongs to the class. */
FL_INLINE double FN(gain)(int own, double *intersection, double *unite) {
  if (own) {
    *intersection -= 1;
    return 1 / *unite;
  }
  const double u = (*unite)++;
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
typedef struct {
  double run, total, lost;
} fl_long_sum;
static inline double fl_long_total(fl_long_sum *s) {
  const double x = s->run - s->lost, next = s->total + x;
  s->lost = (next - s->total) - x, s->total = next, s->run = 0;
  return next;
}
static inline void fl_long_add(fl_long_sum *s, double x, ptrdiff_t i) {
  s->run += x;
  if ((i & 63) == 63) fl_long_total(s);
}
#endif

/* The value for n < 2^32 positions; their errors (as region_errors wrote them) become slopes if wanted. scratch: two elements for
   each position, and the counts. *volume: how many positions belong to the class; *counted: how many are not hidden.
   only_present: a class without positions is not looked at. */
static double FN(region_lovasz)(ptrdiff_t n, void *error_, void *scratch, int slopes, int only_present, double *volume,
                                double *counted) {
  const U sign = (U)1 << (FL_REAL_BITS - 1);
  const R hidden_error = (R)FL_HIDDEN;
  R *error = error_;
  uint32_t *count = scratch;
  memset(count, 0, FL_COUNT_BYTES);
  U hidden, *keys = (U *)((char *)scratch + FL_COUNT_BYTES);
  FN(fl_pair) *pairs = (FN(fl_pair) *)keys;
  memcpy(&hidden, &hidden_error, sizeof hidden);
  ptrdiff_t m = 0, own = 0;
  for (ptrdiff_t i = 0; i < n; i++) {
    U bits;
    memcpy(&bits, error + i, sizeof bits);
    if (bits == hidden) {
      if (slopes) error[i] = 0;
      continue;
    }
    const int is = bits >= sign;
    const U key = ~((U)(bits << 1) | (U)is);
    own += is;
    for (int pass = 0; pass < FL_PASSES; pass++) count[(pass << FL_DIGIT_BITS) + FL_DIGIT(key, pass)]++;
    if (slopes)
      pairs[m++] = FN(fl_pair_of)(key, i);
    else
      keys[m++] = key;
  }
  *volume = (double)own, *counted = (double)m;
  double intersection = *volume, unite = *volume;
  fl_long_sum sum = {0};
  if (only_present && own == 0) {
    for (ptrdiff_t i = 0; slopes && i < n; i++) error[i] = 0;
    return 0;
  }
  if (!slopes) {
    keys = FN(sort_keys)(m, keys, keys + n, count);
    for (ptrdiff_t i = 0; i < m; i++)
      fl_long_add(&sum, FN(error_of)(keys[i]) * FN(gain)(!(keys[i] & 1), &intersection, &unite), i);
    return fl_long_total(&sum);
  }
  pairs = FN(sort_pairs)(m, pairs, pairs + n, count);
  for (ptrdiff_t i = 0; i < m; i++) {
    const U key = FN(fl_key)(pairs[i]);
    const int is = !(key & 1);
    const double gain = FN(gain)(is, &intersection, &unite);
    fl_long_add(&sum, FN(error_of)(key) * gain, i);
    error[FN(fl_place)(pairs[i])] = (R)(is ? -gain : gain);
  }
  return fl_long_total(&sum);
}

#undef U
#undef FL_PASSES
#undef FL_DIGIT_BITS
#undef FL_DIGIT
#undef FL_SORT

/* Where numbers would be inserted among sorted ones. Included once per type (real.h).
 *
 * Keys are sorted through buckets of equal width, and the same buckets tell a query nearly where it belongs: it has but to pass the
 * few keys of its bucket. Where the keys lie so unevenly that many share a bucket, a binary search does that; where there are
 * hardly any keys, a query is compared with them all. The arithmetic that finds buckets is monotone, so that rounding cannot put
 * a key and a query in the wrong order.
 */

#if FL_REAL_BITS == 32
#define I int32_t
#define VI vi32
#else
#define I int64_t
#define VI vi64
#endif

#if defined(FL_V4) && FL_REAL_BITS == 32
FL_INLINE vf vpick_f32(const float *p, vi32 at) { return _mm512_i32gather_ps((__m512i)at, p, 4); }
FL_INLINE vi32 vpick_i32(const int32_t *p, vi32 at) { return (vi32)_mm512_i32gather_epi32((__m512i)at, p, 4); }
#elif defined(FL_V4)
FL_INLINE vd vpick_f64(const double *p, vi64 at) { return _mm512_i64gather_pd((__m512i)at, p, 8); }
FL_INLINE vi64 vpick_i64(const int64_t *p, vi64 at) { return (vi64)_mm512_i64gather_epi64((__m512i)at, p, 8); }
#elif defined(FL_V3) && FL_REAL_BITS == 32
FL_INLINE vf vpick_f32(const float *p, vi32 at) { return _mm256_i32gather_ps(p, (__m256i)at, 4); }
FL_INLINE vi32 vpick_i32(const int32_t *p, vi32 at) { return (vi32)_mm256_i32gather_epi32(p, (__m256i)at, 4); }
#elif defined(FL_V3)
FL_INLINE vd vpick_f64(const double *p, vi64 at) { return _mm256_i64gather_pd(p, (__m256i)at, 8); }
FL_INLINE vi64 vpick_i64(const int64_t *p, vi64 at) {
  return (vi64)_mm256_i64gather_epi64((const long long *)p, (__m256i)at, 8);
}
#elif FL_REAL_BITS == 32
FL_INLINE vf vpick_f32(const float *p, vi32 at) { return (vf){p[at[0]], p[at[1]], p[at[2]], p[at[3]]}; }
FL_INLINE vi32 vpick_i32(const int32_t *p, vi32 at) { return (vi32){p[at[0]], p[at[1]], p[at[2]], p[at[3]]}; }
#else
FL_INLINE vd vpick_f64(const double *p, vi64 at) { return (vd){p[at[0]], p[at[1]]}; }
FL_INLINE vi64 vpick_i64(const int64_t *p, vi64 at) { return (vi64){p[at[0]], p[at[1]]}; }
#endif
#if FL_REAL_BITS == 32
#define VPICK vpick_f32
#define VPICK_I vpick_i32
#else
#define VPICK vpick_f64
#define VPICK_I vpick_i64
#endif

typedef struct {
  const R *key; /* ascending, and one more that is nan: above none */
  ptrdiff_t n;
  R low, scale;
  ptrdiff_t buckets;
  I *start;  /* buckets + 1: the first key of each */
  int steps; /* of a binary search in the fullest bucket; 0 if it is better to pass its keys */
} FN(fl_ranks);

enum {
  FN(FL_FEW) = 8,               /* keys of a bucket that are passed one by one */
  FN(FL_HARDLY_ANY) = 2 * LANES /* keys that every query is compared with */
};

FL_INLINE VI FN(bucket)(V x, R low, R scale, ptrdiff_t buckets) { /* vmax, vmin: nan, which inf x 0 gives, to the first */
  const V at = vmin(FN(vset)((R)(buckets - 1)), vmax((x - low) * scale, FN(vset)(0)));
  return __builtin_convertvector(at, VI);
}

FL_INLINE I FN(bucket_of)(R x, R low, R scale, ptrdiff_t buckets) {
  const R at = (x - low) * scale;
  return !(at > 0) ? 0 : at > (R)(buckets - 1) ? (I)(buckets - 1) : (I)at;
}

FL_INLINE ptrdiff_t FN(bucket_count)(ptrdiff_t n) {
  ptrdiff_t b = 16;
  while (b < 4 * n && b < 1 << 20) b *= 2;
  return b;
}

static void FN(set_scale)(FN(fl_ranks) *ranks, R low, R high) {
  ranks->low = low;
  ranks->scale = (R)ranks->buckets / (high - low);
  if (!(ranks->scale < (R)INFINITY) || !(ranks->scale > 0)) ranks->scale = 0; /* all in the first bucket */
}

/* From how many keys each bucket has, one place late, to where it starts; the most that any has. */
static I FN(add_up)(I *start, ptrdiff_t buckets) {
  I most = 0, sum = 0;
  for (ptrdiff_t b = 1; b <= buckets; b++) most = start[b] > most ? start[b] : most, start[b] = sum += start[b];
  return most;
}

/* Buckets over n sorted keys; key[n] is overwritten. */
static void FN(rank_among)(FN(fl_ranks) *ranks, ptrdiff_t n, R *key, I *start) {
  const ptrdiff_t buckets = FN(bucket_count)(n);
  ranks->key = key, ranks->n = n, ranks->start = start, ranks->buckets = buckets;
  key[n] = (R)NAN;
  if (n <= FN(FL_HARDLY_ANY)) return;
  FN(set_scale)(ranks, n ? key[0] : 0, n ? key[n - 1] : 0);
  memset(start, 0, (size_t)(buckets + 1) * sizeof *start);
  for (ptrdiff_t k = 0; k < n; k++) start[FN(bucket_of)(key[k], ranks->low, ranks->scale, buckets) + 1]++;
  const I most = FN(add_up)(start, buckets);
  ranks->steps = 0;
  if (most > FN(FL_FEW))
    for (I left = most; left > 0; left /= 2) ranks->steps++;
}

/* How many keys are below x, or (`equal`) not above it. nan is above none. */
FL_INLINE VI FN(rank)(const FN(fl_ranks) *ranks, V x, int equal) {
  if (ranks->n <= FN(FL_HARDLY_ANY)) {
    V below = FN(vset)(0);
    for (ptrdiff_t k = 0; k < ranks->n; k++) {
      const V key = FN(vset)(ranks->key[k]);
      below = vtally(below, equal ? vle(key, x) : vlt(key, x));
    }
    return __builtin_convertvector(below, VI);
  }
  const VI b = FN(bucket)(x, ranks->low, ranks->scale, ranks->buckets);
  VI low = VPICK_I(ranks->start, b);
  if (ranks->steps == 0) {
    for (;;) {
      const V key = VPICK(ranks->key, low);
      const M up = equal ? vle(key, x) : vlt(key, x);
      if (!FN(vany)(up)) return low;
      low -= equal ? (VI)(key <= x) : (VI)(key < x);
    }
  }
  VI high = VPICK_I(ranks->start + 1, b);
  for (int s = 0; s < ranks->steps; s++) {
    const VI middle = (low + high) >> 1;
    const V key = VPICK(ranks->key, middle);
    const VI up = (equal ? (VI)(key <= x) : (VI)(key < x)) & (VI)(low < high);
    high = (up & high) | (~up & middle);
    low = (up & (middle + 1)) | (~up & low);
  }
  return low;
}

/* Stable merge sort of n keys with their places; the other arrays are scratch for as many. */
static void FN(merge_sort)(ptrdiff_t n, R *key, int32_t *place, R *key2, int32_t *place2) {
  for (ptrdiff_t width = 1; width < n; width *= 2) {
    for (ptrdiff_t first = 0; first < n; first += 2 * width) {
      const ptrdiff_t middle = first + width < n ? first + width : n, last = middle + width < n ? middle + width : n;
      for (ptrdiff_t a = first, b = middle, k = first; k < last; k++) {
        const int take = a < middle && (b >= last || key[a] <= key[b]);
        key2[k] = take ? key[a] : key[b], place2[k] = take ? place[a] : place[b];
        a += take, b += !take;
      }
    }
    memcpy(key, key2, (size_t)n * sizeof *key), memcpy(place, place2, (size_t)n * sizeof *place);
  }
}

/* Sorts n keys, none of them nan, with their places; equal keys keep their order. start: scratch of bucket_count(n) + 1. */
static void FN(sort_keys)(ptrdiff_t n, R *key, int32_t *place, R *key2, int32_t *place2, I *start) {
  FN(fl_ranks) ranks = {.buckets = FN(bucket_count)(n)};
  R low = (R)INFINITY, high = (R)-INFINITY;
  for (ptrdiff_t k = 0; k < n; k++) low = key[k] < low ? key[k] : low, high = key[k] > high ? key[k] : high;
  FN(set_scale)(&ranks, low, high);
  memset(start, 0, (size_t)(ranks.buckets + 1) * sizeof *start);
  for (ptrdiff_t k = 0; k < n; k++) start[FN(bucket_of)(key[k], low, ranks.scale, ranks.buckets) + 1]++;
  if (FN(add_up)(start, ranks.buckets) > 64) {
    FN(merge_sort)(n, key, place, key2, place2);
    return;
  }
  for (ptrdiff_t k = 0; k < n; k++) {
    const I at = start[FN(bucket_of)(key[k], low, ranks.scale, ranks.buckets)]++;
    key2[at] = key[k], place2[at] = place[k];
  }
  for (ptrdiff_t k = 0; k < n; k++) { /* buckets are in order: only within them anything moves */
    const R x = key2[k];
    const int32_t p = place2[k];
    ptrdiff_t at = k;
    for (; at > 0 && key[at - 1] > x; at--) key[at] = key[at - 1], place[at] = place[at - 1];
    key[at] = x, place[at] = p;
  }
}

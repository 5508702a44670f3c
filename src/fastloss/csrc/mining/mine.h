/* Mining of triplets: which triplets of an anchor count, their losses, and the gradients with respect to the distances. Included
 * once per type (real.h).
 *
 * A triplet of anchor a is a positive p and a negative n, and its loss is max(0, d_p - d_n + margin). With P positives and Q
 * negatives there are P Q of them, but only the fewer side is sorted: a member of the other side finds by its rank how many
 * triplets it is in, and from running sums what they come to. So an anchor costs (P + Q) log min(P, Q).
 */

/* Of the anchor's scratch memory. */
typedef struct {
  R *key, *key2, *shifted; /* sorted distances, space to sort them, the distances that the other side is compared with */
  R *query;                /* positives, where it is the negatives that are sorted */
  R *count;                /* of each query: its triplets */
  I *first, *last;         /* ranks of the queries: its partners are first .. last - 1 */
  int32_t *place, *place2, *query_place;
  I *start, *start2;
  int32_t *begin, *end; /* how many queries begin and end at a rank */
  double *open;         /* how many queries each key is a partner of */
} FN(fl_mine_scratch);

static ptrdiff_t FN(lay_scratch)(ptrdiff_t columns, char *at, FN(fl_mine_scratch) *scratch) {
  const ptrdiff_t n = columns + 2 * LANES, buckets = FN(bucket_count)(n) + 1;
  char *const base = at;
#define FL_TAKE(name, count)                                                                                             \
  (scratch->name = (void *)at, at += ((count) * (ptrdiff_t)sizeof *scratch->name + 63) / 64 * 64)
  FL_TAKE(key, n), FL_TAKE(key2, n), FL_TAKE(shifted, n), FL_TAKE(query, n), FL_TAKE(count, n);
  FL_TAKE(first, n), FL_TAKE(last, n), FL_TAKE(place, n), FL_TAKE(place2, n), FL_TAKE(query_place, n);
  FL_TAKE(start, buckets), FL_TAKE(start2, buckets), FL_TAKE(begin, 4 * n), FL_TAKE(end, 4 * n), FL_TAKE(open, n);
#undef FL_TAKE
  return at - base;
}

static ptrdiff_t FN(scratch_bytes)(ptrdiff_t columns) { /* of mine, and of weighted_sums */
  FN(fl_mine_scratch) scratch;
  const ptrdiff_t mining = FN(lay_scratch)(columns, NULL, &scratch),
                  packed = FL_K_BLOCK * FL_BLOCK_ROWS * (ptrdiff_t)sizeof(R);
  return mining > packed ? mining : packed;
}

static int FN(any_nan)(ptrdiff_t n, const R *x) {
  V odd = FN(vset)(0);
  int tail = 0;
  ptrdiff_t k = 0;
  for (; k + LANES <= n; k += LANES) {
    const V v = vload(x + k);
    odd += vdrop(veq(v, v), FN(vset)(1));
  }
  for (; k < n; k++) tail |= x[k] != x[k];
  return tail || FN(vcount)(veq(odd, FN(vset)(0))) < LANES;
}

/* ---- one triplet per anchor ---------------------------------------------------------------------------------------- */

static int FN(hardest)(ptrdiff_t N, ptrdiff_t columns, void *row_, const void *label_, ptrdiff_t anchor,
                       ptrdiff_t *positive, ptrdiff_t *negative) {
  R *row = row_;
  const R *label = label_;
  const V own = FN(vset)(label[anchor]), none = FN(vset)(-1), infinite = FN(vset)((R)INFINITY);
  V far = none, near = infinite, far_at = none, near_at = none, at;
  R lane[4][LANES];
  for (int l = 0; l < LANES; l++) lane[0][l] = (R)l;
  at = vload(lane[0]);
  row[anchor] = -2; /* nearer than any positive */
  for (ptrdiff_t j = N; j < columns; j++) row[j] = (R)INFINITY;
  for (ptrdiff_t j = 0; j < columns; j += LANES, at += LANES) {
    const V d = vload(row + j);
    const M same = veq(vload(label + j), own);
    const V p = vselect(same, d, none), n = vselect(same, infinite, d);
    const M farther = vlt(far, p), nearer = vlt(n, near);
    far = vselect(farther, p, far), far_at = vselect(farther, at, far_at);
    near = vselect(nearer, n, near), near_at = vselect(nearer, at, near_at);
  }
  vstore(lane[0], far), vstore(lane[1], far_at), vstore(lane[2], near), vstore(lane[3], near_at);
  R best_far = -1, best_near = (R)INFINITY;
  *positive = *negative = -1;
  for (int l = 0; l < LANES; l++) {
    const ptrdiff_t p = (ptrdiff_t)lane[1][l], n = (ptrdiff_t)lane[3][l];
    if (p >= 0 && (lane[0][l] > best_far || (lane[0][l] == best_far && p < *positive)))
      best_far = lane[0][l], *positive = p;
    if (n >= 0 && (lane[2][l] < best_near || (lane[2][l] == best_near && n < *negative)))
      best_near = lane[2][l], *negative = n;
  }
  return FN(any_nan)(columns, row);
}

/* ---- several per anchor -------------------------------------------------------------------------------------------- */

/* Moves the anchor's positives out of the row; what is left in their place is no negative. */
static ptrdiff_t FN(take_positives)(const fl_anchor *job, R *row, R *key, int32_t *place) {
  ptrdiff_t P = 0;
  for (ptrdiff_t m = 0; m < job->members; m++) {
    const int32_t j = job->member[m];
    if (j != job->anchor) key[P] = row[j], place[P++] = j;
    row[j] = (R)INFINITY;
  }
  for (ptrdiff_t j = job->N; j < job->columns; j++) row[j] = (R)INFINITY;
  return P;
}

static ptrdiff_t FN(take_negatives)(const fl_anchor *job, const R *row, R *key, int32_t *place) {
  ptrdiff_t Q = 0, m = 0;
  for (ptrdiff_t j = 0; j < job->N; j++)
    if (m < job->members && job->member[m] == j)
      m++;
    else
      key[Q] = row[j], place[Q++] = (int32_t)j;
  return Q;
}

/* The gradient of a distance as a factor of the difference of its rows. */
FL_INLINE V FN(per_distance)(V w, V d, int squared) {
  return squared ? w + w : vdrop(veq(d, FN(vset)(0)), w / d); /* none where rows are equal */
}

static void FN(add_gradient)(const fl_anchor *job, int32_t j, double w, double d) {
  if (d != 0 || job->squared) ((R *)job->gradients)[j] += (R)(job->squared ? 2 * w : w / d);
}

/* Each positive with the nearest negative that is farther. Distances are squared ones here, so that equal ones are. */
static void FN(mine_semihard)(fl_anchor *job, FN(fl_mine_scratch) *scratch, R *row, ptrdiff_t P, ptrdiff_t Q) {
  FN(fl_ranks) ranks;
  R *d = scratch->query; /* of the nearest one, for each positive */
  int32_t *at = scratch->query_place;
  if (P <= Q) {
    FN(sort_keys)(P, scratch->key, scratch->place, scratch->key2, scratch->place2, scratch->start);
    FN(rank_among)(&ranks, P, scratch->key, scratch->start);
    for (ptrdiff_t j = 0; j < job->columns; j += LANES) {
      const VI r = FN(rank)(&ranks, vload(row + j), 0);
      memcpy(scratch->first + j, &r, sizeof r);
    }
    for (ptrdiff_t k = 0; k <= P; k++) d[k] = (R)INFINITY, at[k] = -1;
    for (ptrdiff_t j = 0; j < job->N; j++) { /* nearest of those beyond k positives */
      const I k = scratch->first[j];
      const R x = row[j], old = d[k];
      const int32_t nearer = -(int32_t)(x < old); /* all bits or none: nobody could foretell a branch here */
      d[k] = x < old ? x : old, at[k] = ((int32_t)j & nearer) | (at[k] & ~nearer);
    }
    for (ptrdiff_t k = P - 1; k >= 0; k--) /* a positive's partner may be beyond later positives, too */
      if (d[k] > d[k + 1] || (d[k] == d[k + 1] && (at[k] < 0 || (at[k + 1] >= 0 && at[k + 1] < at[k]))))
        d[k] = d[k + 1], at[k] = at[k + 1];
    memmove(d, d + 1, (size_t)P * sizeof *d), memmove(at, at + 1, (size_t)P * sizeof *at);
  } else {
    memcpy(scratch->count, scratch->key, (size_t)P * sizeof(R)), memcpy(at, scratch->place, (size_t)P * sizeof *at);
    FN(take_negatives)(job, row, scratch->key, scratch->place);
    FN(sort_keys)(Q, scratch->key, scratch->place, scratch->key2, scratch->place2, scratch->start);
    FN(rank_among)(&ranks, Q, scratch->key, scratch->start);
    for (ptrdiff_t k = P; k < P + LANES; k++) scratch->count[k] = 0;
    for (ptrdiff_t k = 0; k < P; k += LANES) {
      const VI r = FN(rank)(&ranks, vload(scratch->count + k), 1);
      memcpy(scratch->first + k, &r, sizeof r);
    }
    memcpy(scratch->place2, at, (size_t)P * sizeof *at); /* the positives' places */
    for (ptrdiff_t k = 0; k < P; k++) {
      const I r = scratch->first[k];
      d[k] = r < Q ? scratch->key[r] : (R)INFINITY, at[k] = r < Q ? scratch->place[r] : -1;
    }
    memcpy(scratch->key, scratch->count, (size_t)P * sizeof(R)),
        memcpy(scratch->place, scratch->place2, (size_t)P * sizeof *at);
  }
  for (ptrdiff_t k = 0; k < P; k++) {
    if (at[k] < 0) continue;
    const double p = job->squared ? scratch->key[k] : sqrt(scratch->key[k]), n = job->squared ? d[k] : sqrt(d[k]);
    const double loss = p - n + job->margin;
    job->valid += 1;
    if (!(loss > 0)) continue;
    job->active += 1, job->value += loss;
    if (job->gradients)
      FN(add_gradient)(job, scratch->place[k], job->weight, p), FN(add_gradient)(job, at[k], -job->weight, n);
  }
}

/* Ranks of the queries; `count` how many keys lie between them; returns the sum of count x query. */
static double FN(partners)(ptrdiff_t n, const R *query, const FN(fl_ranks) *from, int from_equal, const FN(fl_ranks) *to,
                           int to_equal, ptrdiff_t all, FN(fl_mine_scratch) *scratch) {
  vd sum[2] = {vset_f64(0), vset_f64(0)};
  for (ptrdiff_t j = 0; j < n; j += LANES) {
    const V x = vload(query + j);
    VI a = {0}, b = (VI){0} + (I)all;
    if (from) a = FN(rank)(from, x, from_equal);
    if (to) b = FN(rank)(to, x, to_equal);
    b = (b & (VI)(a <= b)) | (a & (VI)(a > b)); /* a margin lost in rounding */
    const V c = __builtin_convertvector(b - a, V), term = vdrop(veq(c, FN(vset)(0)), x);
    memcpy(scratch->first + j, &a, sizeof a), memcpy(scratch->last + j, &b, sizeof b);
    vstore(scratch->count + j, c);
#if FL_REAL_BITS == 32
    sum[0] = vfma(vlow(c), vlow(term), sum[0]), sum[1] = vfma(vhigh(c), vhigh(term), sum[1]);
#else
    sum[0] = vfma(c, term, sum[0]);
#endif
  }
  return vsum_f64(sum[0] + sum[1]);
}

/* How many queries have each rank. Neighbours often have the same, so that four counters are used in rotation: one that was just
   written cannot be read at once. */
static void FN(count_ranks)(ptrdiff_t n, const I *rank, ptrdiff_t keys, int32_t *counts) {
  ptrdiff_t j = 0;
  memset(counts, 0, (size_t)(4 * (keys + 1)) * sizeof *counts);
  for (; j + 4 <= n; j += 4)
    for (int k = 0; k < 4; k++) counts[4 * rank[j + k] + k]++;
  for (; j < n; j++) counts[4 * rank[j]]++;
}

FL_INLINE int64_t FN(counted)(const int32_t *counts, ptrdiff_t k) {
  return (int64_t)counts[4 * k] + counts[4 * k + 1] + counts[4 * k + 2] + counts[4 * k + 3];
}

/* Sum over the queries of the keys first .. last - 1 of each; into `open`, how many queries each key is a partner of. begin,
   end: whether their bounds differ; else all begin at 0, or end at `keys`. */
static double FN(partner_keys)(ptrdiff_t queries, ptrdiff_t keys, const R *key, FN(fl_mine_scratch) *scratch, int begin,
                               int end, double *active) {
  double total = 0, pairs = 0;
  int64_t open = begin ? 0 : queries;
  if (begin) FN(count_ranks)(queries, scratch->first, keys, scratch->begin);
  if (end) FN(count_ranks)(queries, scratch->last, keys, scratch->end);
  for (ptrdiff_t k = 0; k < keys; k++) {
    if (begin) open += FN(counted)(scratch->begin, k);
    if (end) open -= FN(counted)(scratch->end, k);
    scratch->open[k] = (double)open;
    total += (double)open * (double)key[k], pairs += (double)open;
  }
  *active = pairs;
  return total;
}

/* All triplets, or (`near`) only those whose negative is farther than the positive. */
static void FN(mine_all)(fl_anchor *job, FN(fl_mine_scratch) *scratch, R *row, ptrdiff_t P, ptrdiff_t Q, int near) {
  FN(fl_ranks) plain, shifted;
  const R margin = (R)job->margin;
  const double w = job->weight;
  R *gradients = job->gradients;
  if (!job->squared) {
    for (ptrdiff_t j = 0; j < job->columns; j += LANES) vstore(row + j, vsqrt(vload(row + j)));
    for (ptrdiff_t k = 0; k < P; k++) scratch->key[k] = (R)sqrt(scratch->key[k]);
  }
  if (P <= Q) { /* a negative's partners: d_p + margin > d_n, and perhaps d_p < d_n */
    FN(sort_keys)(P, scratch->key, scratch->place, scratch->key2, scratch->place2, scratch->start);
    for (ptrdiff_t k = 0; k < P; k++) scratch->shifted[k] = scratch->key[k] + margin;
    FN(rank_among)(&shifted, P, scratch->shifted, scratch->start);
    if (near) FN(rank_among)(&plain, P, scratch->key, scratch->start2);
    const double drop = FN(partners)(job->columns, row, &shifted, 1, near ? &plain : NULL, 0, P, scratch);
    job->value = FN(partner_keys)(job->N, P, scratch->shifted, scratch, 1, near, &job->active) - drop;
    if (gradients) {
      for (ptrdiff_t j = 0; j < job->columns; j += LANES)
        vstore(gradients + j, FN(per_distance)(vload(scratch->count + j) * (R)-w, vload(row + j), job->squared));
      for (ptrdiff_t m = 0; m < job->members; m++) gradients[job->member[m]] = 0;
      for (ptrdiff_t k = 0; k < P; k++) FN(add_gradient)(job, scratch->place[k], w * scratch->open[k], scratch->key[k]);
    }
  } else { /* a positive's partners: d_n < d_p + margin, and perhaps d_n > d_p */
    memcpy(scratch->query, scratch->key, (size_t)P * sizeof(R)),
        memcpy(scratch->query_place, scratch->place, (size_t)P * sizeof(int32_t));
    FN(take_negatives)(job, row, scratch->key, scratch->place);
    FN(sort_keys)(Q, scratch->key, scratch->place, scratch->key2, scratch->place2, scratch->start);
    FN(rank_among)(&plain, Q, scratch->key, scratch->start);
    for (ptrdiff_t k = P; k < P + LANES; k++) scratch->query[k] = 0;
    for (ptrdiff_t k = 0; k < P + LANES; k++) scratch->shifted[k] = scratch->query[k] + margin;
    double lift = 0;
    if (near) { /* the two bounds come from different queries */
      FN(partners)(P, scratch->query, &plain, 1, NULL, 0, Q, scratch);
      memcpy(scratch->start2, scratch->first, (size_t)(P + LANES) * sizeof(I));
    }
    FN(partners)(P, scratch->shifted, NULL, 0, &plain, 0, Q, scratch);
    for (ptrdiff_t k = 0; k < P; k++) {
      I a = near ? scratch->start2[k] : 0, b = scratch->last[k];
      if (b < a) b = a;
      scratch->first[k] = a, scratch->last[k] = b, scratch->count[k] = (R)(b - a);
      if (b > a) lift += (double)(b - a) * (double)scratch->shifted[k];
    }
    job->value = lift - FN(partner_keys)(P, Q, scratch->key, scratch, near, 1, &job->active);
    if (gradients) {
      memset(gradients, 0, (size_t)job->columns * sizeof *gradients);
      for (ptrdiff_t k = 0; k < Q; k++) FN(add_gradient)(job, scratch->place[k], -w * scratch->open[k], scratch->key[k]);
      for (ptrdiff_t k = 0; k < P; k++)
        FN(add_gradient)(job, scratch->query_place[k], w * (double)scratch->count[k], scratch->query[k]);
    }
  }
  job->valid = near ? job->active : (double)P * (double)Q;
  if (job->value < 0) job->value = 0; /* rounding of sums */
}

static void FN(mine)(fl_anchor *job) {
  FN(fl_mine_scratch) scratch;
  R *row = job->row, *gradients = job->gradients;
  FN(lay_scratch)(job->columns, job->scratch, &scratch);
  const ptrdiff_t P = FN(take_positives)(job, row, scratch.key, scratch.place), Q = job->N - 1 - P;
  job->value = job->active = job->valid = 0;
  if (gradients && job->mining != FL_ALL && job->mining != FL_ALL_SEMIHARD)
    memset(gradients, 0, (size_t)job->columns * sizeof *gradients);
  if (P > 0 && Q > 0 && (FN(any_nan)(P, scratch.key) || FN(any_nan)(job->columns, row))) {
    job->value = NAN, job->active = job->valid = (double)P * (double)Q;
    for (ptrdiff_t j = 0; gradients && j < job->N; j++) gradients[j] = (R)NAN;
    for (ptrdiff_t j = job->N; gradients && j < job->columns; j++) gradients[j] = 0;
  } else if (P > 0 && Q > 0) {
    if (job->mining == FL_SEMIHARD)
      FN(mine_semihard)(job, &scratch, row, P, Q);
    else
      FN(mine_all)(job, &scratch, row, P, Q, job->mining == FL_ALL_SEMIHARD);
  } else if (gradients)
    memset(gradients, 0, (size_t)job->columns * sizeof *gradients);
}

#undef I
#undef VI
#undef VPICK
#undef VPICK_I

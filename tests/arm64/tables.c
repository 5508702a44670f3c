/* Runs the loops of every baseline table on fixed pseudo-random input and prints what they compute, for check.py to compare between
 * processors. A line is a name, the bits of the type that was computed in, and the numbers. Links the C objects only: no Python.
 * Letters: N rows, C classes, P positions, D dimensions, T frames, S labels.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/boxes.h"
#include "common/kernels.h"
#include "common/view.h"
#include "contrast/contrast.h"
#include "ctc/ctc.h"
#include "digits/digits.h"
#include "lovasz/lovasz.h"
#include "mining/mining.h"
#include "pointwise/pointwise.h"
#include "regions/regions.h"
#include "rows/rows.h"
#include "scores/scores.h"
#include "sums/sums.h"
#include "vectors/vectors.h"

extern const fl_table fl_table_baseline;
extern const fl_ctc_table fl_ctc_table_baseline;

static const fl_real_table *real; /* of the computation type in use */
static const fl_rows_real *row_loops;
static int wide;

/* ---- numbers in and out ------------------------------------------------------------------------------------------- */

static uint64_t state = 1;

/* Uniform in [low, high), a float. */
static double draw(double low, double high) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (float)(low + (high - low) * (double)(state >> 40) * 0x1p-24);
}

/* Workspace that is never freed: 64-byte aligned, zeroed, with room behind it. */
static void *room(ptrdiff_t bytes) {
  void *p = aligned_alloc(64, (size_t)(bytes / 64 * 64 + 1024));
  if (!p) exit(2);
  return memset(p, 0, (size_t)(bytes / 64 * 64 + 1024));
}

static void set(void *p, ptrdiff_t i, double x) {
  if (wide)
    ((double *)p)[i] = x;
  else
    ((float *)p)[i] = (float)x;
}

static double get(const void *p, ptrdiff_t i) { return wide ? ((const double *)p)[i] : (double)((const float *)p)[i]; }

static void *random_array(ptrdiff_t n, double low, double high) {
  void *p = room(n * real->size);
  for (ptrdiff_t i = 0; i < n; i++) set(p, i, draw(low, high));
  return p;
}

static double *random_doubles(ptrdiff_t n, double low, double high) {
  double *p = room(n * 8);
  for (ptrdiff_t i = 0; i < n; i++) p[i] = draw(low, high);
  return p;
}

static void begin_line(const char *name) { printf("%s %d", name, wide ? 64 : 32); }
static void put(ptrdiff_t n, const void *p) {
  for (ptrdiff_t i = 0; i < n; i++) printf(" %a", get(p, i));
}
static void put_doubles(ptrdiff_t n, const double *p) {
  for (ptrdiff_t i = 0; i < n; i++) printf(" %a", p[i]);
}
static void line(const char *name, ptrdiff_t n, const void *p) { begin_line(name), put(n, p), puts(""); }
static void line_of_doubles(const char *name, ptrdiff_t n, const double *p) {
  begin_line(name), put_doubles(n, p), puts("");
}

/* ---- level.c ------------------------------------------------------------------------------------------------------ */

static const ptrdiff_t SIZES[] = {1, 3, 16, 37};
enum { SIZE_COUNT = 4, MOST = 512 };

#define FL_FLAGS_OF(name, wide, flags) flags,
static const int pointwise_flags[] = {FL_POINTWISE_LOSSES(FL_FLAGS_OF)};
static const int sums_flags[] = {FL_DIVERGENCE_LOSSES(FL_FLAGS_OF)};

static void pointwise(void) {
  const int wants[] = {FL_VALUE, FL_GRAD, FL_VALUE | FL_GRAD, FL_HESS, FL_GRAD | FL_HESS};
  char name[100];
  for (int op = 0; fl_pointwise_name(op); op++)
    for (int s = 0; s < SIZE_COUNT; s++)
      for (int w = 0; w < 10; w++) {
        const int flags = pointwise_flags[op], want = wants[w % 5], two = (flags & FL_TWO) != 0;
        const ptrdiff_t n = SIZES[s];
        fl_pointwise job = {.n = n, .par = {0.75, 0.25, 0.5, 0.125}, .scale = 0.375, .want = want};
        job.x = random_array(n, flags & FL_X ? 0.0625 : -3, flags & FL_X ? 0.9375 : 3);
        void *t = random_array(n, flags & FL_T ? 0.0625 : -3, flags & FL_T ? 0.9375 : 3);
        for (ptrdiff_t i = 0; (flags & FL_SIZE_T) && i < n; i++) set(t, i, get(t, i) < 0 ? -1 : 1);
        job.t = t, job.z = random_array(n, 0.5, 2), job.w = w < 5 ? NULL : random_array(n, 0, 2);
        job.value = want & FL_VALUE ? room(MOST) : NULL;
        job.grad = want & FL_GRAD ? room(MOST) : NULL, job.grad2 = two && job.grad ? room(MOST) : NULL;
        job.hess = want & FL_HESS ? room(MOST) : NULL, job.hess2 = two && job.hess ? room(MOST) : NULL;
        (real->size == 8 ? fl_pointwise_table_baseline.f64 : fl_pointwise_table_baseline.f32)[op](&job);
        void *const out[] = {job.value, job.grad, job.hess, job.grad2, job.hess2};
        for (int k = 0; k < 5; k++) {
          snprintf(name, sizeof name, "pointwise:%s:%d:%d", fl_pointwise_name(op), want, k);
          if (out[k]) line(name, n, out[k]);
        }
        snprintf(name, sizeof name, "pointwise:%s:%d:sum", fl_pointwise_name(op), want);
        if (want & FL_VALUE) line_of_doubles(name, 1, &job.sum);
      }
}

static void sums(void) {
  const ptrdiff_t lengths[] = {1, 7, 100, 600};
  char name[100];
  for (int op = 0; fl_sums_name(op); op++)
    for (int s = 0; s < 4; s++)
      for (int want = FL_VALUE; want <= (FL_VALUE | FL_GRAD); want++) {
        const ptrdiff_t C = lengths[s], rows = 5, n = rows * C;
        fl_sums job = {.rows = rows, .C = C, .par = {0.75, 0.25, 0.5, 0.125}, .scale = 0.375, .want = want};
        job.x = random_array(n, 0.0625, 0.9375), job.t = random_array(n, 0.0625, 0.9375);
        job.weight = random_doubles(rows, 0, 2), job.sum = room(rows * 8);
        job.grad = room(n * 8), job.grad2 = sums_flags[op] & FL_TWO ? room(n * 8) : NULL;
        (real->size == 8 ? fl_sums_table_baseline.f64 : fl_sums_table_baseline.f32)[op](&job);
        snprintf(name, sizeof name, "sums:%s:%d:%d", fl_sums_name(op), (int)C, want);
        if (want & FL_VALUE) line_of_doubles(name, rows, job.sum);
        if (want & FL_GRAD) line(name, n, job.grad);
        if ((want & FL_GRAD) && job.grad2) line(name, n, job.grad2);
      }
}

static void rows_of(ptrdiff_t n) {
  enum { ROWS = 3 };
  const ptrdiff_t bytes = n * real->size;
  char *x = random_array(ROWS * n, -6, 6), *e = room(ROWS * bytes), *out = room(bytes);
  void *t = random_array(n, 0, 1), *class_weight = random_array(n, 0.5, 2);
  double max[8] = {0}, partial[8] = {0}, exp_scale[8] = {0}, tail_sum[8] = {0}, log1p_tail[8] = {0},
         weight[8] = {1, 2, 0.5};
  double label_logit[8], value[8] = {0}, factor[8] = {0}, label_grad[8] = {0}, at_label[8], total = 0;
  const int64_t label[ROWS] = {0, n / 2, n - 1};
  row_loops->chunks(ROWS, n, x, bytes, NULL, 0, max, partial, exp_scale, NULL);
  row_loops->chunks(ROWS, n, x, bytes, e, bytes, max, partial, exp_scale, NULL);
  row_loops->finish(ROWS, partial, exp_scale, tail_sum);
  row_loops->log1p(ROWS, tail_sum, log1p_tail);
  line_of_doubles("rows:max", ROWS, max), line_of_doubles("rows:log1p_tail", ROWS, log1p_tail);
  for (int r = 0; r < ROWS; r++) label_logit[r] = get(x, r * n + label[r]), at_label[r] = get(e, r * n + label[r]);
  value[3] = row_loops->hard_values(ROWS, max, label_logit, log1p_tail, weight, value, &total);
  line_of_doubles("rows:hard_values", 4, value);
  for (int k = FL_FOCAL; k <= FL_GENERALIZED; k++) {
    value[3] =
        row_loops->transformed_values(ROWS, k, 0.75, max, label_logit, log1p_tail, weight, value, label_grad, &total);
    line_of_doubles("rows:transformed_values", 4, value), line_of_doubles("rows:transformed_gradients", ROWS, label_grad);
  }
  row_loops->hard_factors(ROWS, max, label_logit, tail_sum, exp_scale, at_label, weight, 0.5, factor, label_grad);
  row_loops->hard_rows(ROWS, n, e, bytes, factor, label_grad, label, x, bytes); /* x becomes the gradient */
  line("rows:hard_rows", ROWS * n, x);
  x = random_array(n, -6, 6);
  row_loops->chunks(1, n, x, bytes, e, bytes, max, partial, exp_scale, NULL);
  row_loops->finish(1, partial, exp_scale, tail_sum), row_loops->log1p(1, tail_sum, log1p_tail);
  const fl_soft soft = {t, class_weight, 0.875, 0.03125}, plain = {t, NULL, 1, 0};
  row_loops->rescale(n, e, exp_scale[0] / (1 + tail_sum[0]), out), line("rows:rescale", n, out);
  row_loops->softmax(n, x, max[0], 1 / (1 + tail_sum[0]), out), line("rows:softmax", n, out);
  row_loops->log_softmax(n, x, max[0], log1p_tail[0], out), line("rows:log_softmax", n, out);
  row_loops->softmax_hess(n, x, max[0], tail_sum[0], 0.5, out), line("rows:softmax_hess", n, out);
  for (int k = 0; k < 2; k++) {
    double sum[2] = {0, 0}, gradient_sum[2] = {0, 0};
    const fl_soft *given = k ? &soft : &plain;
    row_loops->soft_sums(n, x, max[0], given, &sum[0], &sum[1]), line_of_doubles("rows:soft_sums", 2, sum);
    row_loops->soft_grad(n, x, max[0], tail_sum[0], 0.5, 0.25, given, out), line("rows:soft_grad", n, out);
    for (int transform = FL_FOCAL; transform <= FL_GENERALIZED; transform++) {
      gradient_sum[0] = gradient_sum[1] = 0;
      row_loops->transform_sums(n, x, max[0], log1p_tail[0], given, transform, 0.75, &gradient_sum[0], &gradient_sum[1]);
      line_of_doubles("rows:transform_sums", 2, gradient_sum);
      row_loops->transform_grad(n, x, max[0], log1p_tail[0], 0.5, gradient_sum[1], given, transform, 0.75, out);
      begin_line("rows:transform_grad"), put(n, out), put_doubles(1, &gradient_sum[1]),
          puts(""); /* from which entries differ */
    }
  }
  double low = INFINITY, high = -INFINITY, entropy = 0;
  real->extremes(n, x, &low, &high), line_of_doubles("rows:low", 1, &low), line_of_doubles("rows:high", 1, &high);
  low = INFINITY, high = -INFINITY;
  real->size_extremes(n, x, &low, &high), line_of_doubles("common:least", 1, &low),
      line_of_doubles("common:most", 1, &high);
  if (wide) entropy = real->sum(n, (const double *)x), line_of_doubles("common:sum", 1, &entropy), entropy = 0;
  row_loops->negentropy(n, t, 0, &entropy), row_loops->exps(n, x, out), line("rows:exps", n, out);
  line_of_doubles("rows:negentropy", 1, &entropy);
  row_loops->temper(n, x, 1.5, 0.75, out), line("rows:temper", n, out);
}

static void tiles_of(ptrdiff_t C) {
  const ptrdiff_t P = 2 * real->lanes, n = C * P;
  char *x = random_array(n, -6, 6), *e = room(n * 8);
  void *t = random_array(n, 0, 1);
  double *max = room(P * 8), *tail_sum = room(P * 8), *exp_scale = room(P * 8), *sum = room(P * 8), *weight = room(P * 8);
  double *scale = random_doubles(P, 0.5, 1), *factor = room(P * 8);
  const fl_soft soft = {t, NULL, 0.875, 0.03125};
  const fl_tile tile = {.C = C, .P = P, .x_step = P, .x = x, .e = e, .next = x, .next_step = P * real->size};
  row_loops->tile_stats(&tile, max, tail_sum, exp_scale);
  line_of_doubles("tiles:max", P, max), line_of_doubles("tiles:tail_sum", P, tail_sum);
  for (ptrdiff_t q = 0; q < P; q++) factor[q] = exp_scale[q] / (1 + tail_sum[q]);
  void *out = room(n * 8);
  row_loops->tile_scale(C, P, e, factor, out, P), line("tiles:scale", n, out);
  row_loops->tile_soft_sums(C, P, x, max, &soft, sum, weight), line_of_doubles("tiles:soft_sums", P, sum);
  row_loops->tile_soft_grad(C, P, x, e, max, tail_sum, exp_scale, scale, scale, &soft), line("tiles:soft_grad", n, e);
  row_loops->tile_stats(&tile, max, tail_sum, exp_scale);
  row_loops->tile_hess(C, P, x, e, max, tail_sum, exp_scale, scale), line("tiles:hess", n, e);
  row_loops->tile_negentropy(C, P, t, 0, sum), line_of_doubles("tiles:negentropy", P, sum);
  row_loops->tile_log_softmax(C, P, x, max, tail_sum), line("tiles:log_softmax", n, x);
  row_loops->tile_temper(C, P, x, 0.75), line("tiles:temper", n, x);
  real->tile_load(C, P, P - 1, x, C * real->size, e), line("tiles:load", n, e);
  real->tile_save(C, P, P - 1, e, out, C * real->size), line("tiles:save", C * (P - 1), out);
}

static void scores_of(ptrdiff_t C) {
  const ptrdiff_t P = 2 * real->lanes, n = C * P;
  double *label = room(P * 8);
  for (ptrdiff_t q = 0; q < P; q++) label[q] = (double)(q % C);
  char name[100];
  for (int op = 0; op < FL_SCORES_COUNT; op++)
    for (int kind = 0; kind <= FL_MEE; kind++) {
      if (op == FL_SCORES_contrast ? kind >= FL_NLL : op == FL_SCORES_gibbs ? kind < FL_NLL : kind > 1) continue;
      fl_scores job = {.C = C, .P = P, .label = label, .par = {kind, 0.75, 0.5, -1}};
      if (op == FL_SCORES_weston_watkins) job.par[0] = 1 + kind;
      job.x = random_array(n, -3, 3), job.scale = random_doubles(P, 0.5, 1),
      job.level_weight = random_doubles(C + 1, 0.5, 2);
      job.value = room(P * 8), job.grad = room(n * 8), job.scratch = room(FL_SCORES_SCRATCH * C * P * 8);
      (real->size == 8 ? fl_scores_table_baseline.f64 : fl_scores_table_baseline.f32)[op](&job);
      snprintf(name, sizeof name, "scores:%d:%d", op, kind);
      line_of_doubles(name, P, job.value), line(name, n, job.grad);
    }
}

static void links(void) {
  enum { N = 24 };
  for (int kind = 0; kind < FL_LINK_COUNT; kind++) {
    double *low = random_doubles(N, -4, 0), *high = random_doubles(N, 0.5, 4);
    fl_link job = {
        .n = N, .score = random_doubles(N, -3, 3), .low = low, .high = high, .scale = random_doubles(N, 0.5, 1)};
    low[0] = -INFINITY, high[1] = INFINITY;
    job.with_grad = 1, job.value = room(N * 8), job.grad = room(N * 8), job.grad_low = room(N * 8),
    job.grad_high = room(N * 8);
    fl_scores_table_baseline.links[kind](&job);
    line_of_doubles("links:value", N, job.value), line_of_doubles("links:grad", N, job.grad);
    line_of_doubles("links:low", N, job.grad_low), line_of_doubles("links:high", N, job.grad_high);
  }
}

/* Every element type there and back, contiguous and strided; and what scalar.c does to one element. */
static void views(void) {
  enum { N = 37 };
  for (int type = 0; type < FL_TYPES; type++)
    for (int step = 1; step <= 2; step++) {
      char *data = room(N * 16), *back = room(N * 16);
      const ptrdiff_t sizes[] = {2, 2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8}, size = sizes[type];
      fl_view view = {.data = data, .type = type, .ndim = 1, .shape = {N}, .stride = {size * step}};
      for (ptrdiff_t i = 0; i < N; i++) {
        const double v = type <= FL_F64 ? draw(-9, 9) : rint(draw(type < FL_U8 ? -100 : 0, 100));
        if (type <= FL_F64)
          fl_store_one(fl_view_at(&view, i), type, v);
        else if (type < FL_U8)
          memcpy(data + i * size * step, &(int64_t){(int64_t)v}, (size_t)size); /* little-endian */
        else
          memcpy(data + i * size * step, &(uint64_t){(uint64_t)v}, (size_t)size);
      }
      void *out = room(N * 8);
      real->gather(&view, 1, N - 1, out), line("views:gather", N - 1, out);
      if (type > FL_F64) continue;
      view.data = back;
      real->scatter(&view, 1, N - 1, out), real->gather(&view, 0, N, out), line("views:scatter", N, out);
    }
}

/* ---- regions.c ---------------------------------------------------------------------------------------------------- */

static void regions_of(ptrdiff_t C) {
  const fl_region_real *loops = wide ? &fl_regions_table_baseline.f64 : &fl_regions_table_baseline.f32;
  const ptrdiff_t P = 3 * loops->block, plane = P * real->size;
  char *x = random_array(C * P, -4, 4), *p = room(C * plane), *complement = room(plane), *max = room(plane),
       *log1p_tail = room(plane);
  char *label = room(plane), *soft = random_array(C * P, 0, 1), *grad = room(C * plane);
  uint8_t *given = room(P);
  ptrdiff_t bad;
  for (ptrdiff_t i = 0; i < P; i++) given[i] = (uint8_t)(i * 7 % C);
  const ptrdiff_t ignored = loops->labels(FL_U8, (char *)given, 1, P, C, 1, 1, label, &bad);
  line("regions:labels", P, label), line_of_doubles("regions:ignored", 2, (double[]){(double)ignored, (double)bad});
  loops->softmax(C, P, x, plane, p, complement, max, log1p_tail), line("regions:softmax", C * P, p);
  line("regions:complement", P, complement), line("regions:log1p_tail", P, log1p_tail);
  fl_region b = {.C = C,
                 .P = P,
                 .x = x,
                 .step = plane,
                 .p = p,
                 .p_step = plane,
                 .complement = complement,
                 .max = max,
                 .log1p_tail = log1p_tail};
  b.d_sums = random_array(C * FL_REGION_GRADS, -1, 1), b.grad = grad, b.grad_step = plane;
  double *out = room(C * FL_REGION_SUMS * 8);
  for (int kind = 0; kind < 8; kind++) {
    b.target = kind & 1 ? FL_SOFT : FL_INDEX, b.squared = kind >> 1 & 1, b.entropy = kind & 4 ? FL_SOFTMAX_ENTROPY : 0;
    b.t = kind & 1 ? soft : label, b.t_step = kind & 1 ? plane : 0;
    memset(out, 0, (size_t)(C * FL_REGION_SUMS) * 8);
    for (ptrdiff_t c = 0; c < C; c++) loops->sums(&b, c, out + c * FL_REGION_SUMS);
    line_of_doubles("regions:sums", C * FL_REGION_SUMS, out);
    loops->softmax_grad(&b), line("regions:softmax_grad", C * P, grad);
    for (ptrdiff_t c = 0; c < C; c++) loops->grad(&b, c);
    line("regions:grad", C * P, grad);
  }
  b.target = FL_INDEX, b.squared = 0, b.t = label, b.t_step = 0;
  void *work = room(FL_REGION_WORK * C * loops->register_bytes);
  for (int kind = 0; kind < 4; kind++) {
    b.entropy = kind & 1 ? FL_SOFTMAX_ENTROPY : 0;
    memset(out, 0, (size_t)(C * FL_REGION_SUMS) * 8);
    loops->fused_softmax_sums(&b, kind >> 1, work, out),
        line_of_doubles("regions:fused_softmax_sums", C * FL_REGION_SUMS, out);
    loops->fused_softmax_grad(&b, kind >> 1, work), line("regions:fused_softmax_grad", C * P, grad);
    b.entropy = kind & 1 ? FL_BINARY_ENTROPY : 0;
    for (ptrdiff_t c = 0; c < C; c++) loops->fused_sigmoid_sums(&b, c, kind >> 1, out + c * FL_REGION_SUMS);
    line_of_doubles("regions:fused_sigmoid_sums", C * FL_REGION_SUMS, out);
    for (ptrdiff_t c = 0; c < C; c++) loops->fused_sigmoid_grad(&b, c, kind >> 1);
    line("regions:fused_sigmoid_grad", C * P, grad);
  }
  loops->sigmoid(P, x, p, complement), line("regions:sigmoid", P, p);
  loops->mask(P, label, p), line("regions:mask", P, p);
  void *error = room(plane);
  loops->errors(P, p, complement, label, 0, error), line("regions:errors", P, error);
}

/* ---- lovasz.c ----------------------------------------------------------------------------------------------------- */

static void lovasz(void) {
  const fl_lovasz_real *loops = wide ? &fl_lovasz_table_baseline.f64 : &fl_lovasz_table_baseline.f32;
  const ptrdiff_t P = 50;
  char *error = room(P * real->size);
  for (ptrdiff_t i = 0; i < P; i++) set(error, i, (double)(i * 37 % 101) / 50 - 1);
  fl_lovasz job = {.n = P, .error = error, .with_grad = 1, .count = room(FL_COUNT_BYTES)};
  job.source = room(P * loops->pair_bytes), job.to = room(P * loops->pair_bytes);
  loops->begin(&job), loops->read(&job, 0, P);
  for (job.pass = 0; job.pass < loops->passes; job.pass++)
    if (loops->place(&job)) {
      loops->move(&job, 0, job.counted);
      void *moved = job.to;
      job.to = job.source, job.source = moved;
    }
  loops->add(&job, 0, job.counted);
  line_of_doubles("lovasz:value", 1, &job.value), line("lovasz:grad", P, error);
}

/* ---- boxes.c ------------------------------------------------------------------------------------------------------ */

static void boxes(void) {
  enum { P = 16 };
  double *box = room(4 * P * 8), *target = room(4 * P * 8);
  for (int i = 0; i < P; i++)
    for (int k = 0; k < 2; k++) {
      box[k * P + i] = draw(0, 4), target[k * P + i] = draw(0, 4);
      box[(k + 2) * P + i] = box[k * P + i] + draw(1, 6), target[(k + 2) * P + i] = target[k * P + i] + draw(1, 6);
    }
  for (int kind = FL_IOU; kind <= FL_CIOU; kind++) {
    fl_box_pairs job = {
        .P = P, .box = box, .target = target, .kind = kind, .value = room(P * 8), .grad = room(4 * P * 8)};
    fl_boxes_table_baseline.pairs(&job);
    line_of_doubles("boxes:value", P, job.value), line_of_doubles("boxes:grad", 4 * P, job.grad);
  }
}

/* ---- vectors.c, pairs.c, contrast.c, digits.c --------------------------------------------------------------------- */

static void vectors_of(ptrdiff_t D) {
  const fl_vectors_real *loops = wide ? &fl_vectors_table_baseline.f64 : &fl_vectors_table_baseline.f32;
  char name[100];
  for (int kind = 0; kind < 6; kind++) {
    fl_vectors job = {.D = D,
                      .chunk = D,
                      .at = -1,
                      .with_grad = 1,
                      .norm = kind < 4 ? kind : 0,
                      .squared = kind == 4,
                      .swap = kind == 5,
                      .p = kind == FL_NORM_ANY ? 3 : 2,
                      .eps = 0x1p-20,
                      .margin = 4,
                      .power = 2,
                      .label = 1,
                      .scale = 0.5};
    void (*const losses[])(fl_vectors *) = {loops->contrastive, loops->triplet, loops->cosine};
    for (int k = 0; k < 3; k++) job.x[k] = random_array(D, -1, 1), job.grad[k] = room(D * 8);
    for (int k = 0; k < (D > 1 ? 3 : 2); k++) { /* a cosine of single numbers has a gradient of 0, all rounding */
      fl_vectors row = job;
      losses[k](&row);
      snprintf(name, sizeof name, "vectors:%d:%d", k, kind);
      line_of_doubles(name, 1, &row.value);
      for (int a = 0; a < (k == 1 ? 3 : 2); a++) line(name, D, row.grad[a]);
    }
  }
}

static ptrdiff_t rounded(ptrdiff_t n, ptrdiff_t to) { return (n + to - 1) / to * to; }

static void pairs_of(ptrdiff_t N, ptrdiff_t D) {
  const fl_pairs_real *loops = wide ? &fl_pairs_table_baseline.f64 : &fl_pairs_table_baseline.f32;
  const ptrdiff_t step = rounded(D, loops->tile_columns), columns = rounded(N, loops->tile_columns);
  const ptrdiff_t panels = rounded(N, loops->tile_rows), size = real->size;
  char *rows = room(N * step * size), *left = room(panels * step * size), *right = room(columns * step * size);
  char *square = room(columns * size), *by_dimension = room(N * step * size), *centre = room(step * size);
  int32_t *member = room(N * 4);
  for (ptrdiff_t i = 0; i < N; i++)
    for (ptrdiff_t d = 0; d < D; d++) set(rows, i * step + d, draw(-1, 1));
  fl_points x = {.N = N, .D = D, .step = step, .rows = rows};
  loops->centre(&x, room(3 * D * 8), centre), line("pairs:centre", D, centre);
  loops->prepare(&x, centre, 0, N, left, right, square, by_dimension);
  x.left = left, x.right = right, x.square = square, x.by_dimension = by_dimension, line("pairs:square", N, square);
  char *out = room(rounded(N, 12) * columns * size), *gradients = room(N * columns * size), *sum = room(step * 8);
  loops->distances(&x, &x, FL_SQUARED, 0, N, 0, N, out, columns);
  for (ptrdiff_t i = 0; i < N; i++) line("pairs:distances", N, out + i * columns * size);
  line_of_doubles("pairs:distance", 1, (double[]){loops->distance(&x, 0, N - 1, 0)});
  for (ptrdiff_t i = 0; i < N / 3; i++) member[i] = (int32_t)(3 * i);
  for (int mining = FL_SEMIHARD; mining <= FL_ALL_SEMIHARD; mining++) {
    char *row = room(columns * size);
    memcpy(row, out + 3 * columns * size, (size_t)(columns * size));
    fl_anchor job = {.N = N,
                     .anchor = 3,
                     .member = member,
                     .members = N / 3,
                     .mining = mining,
                     .margin = 0.5,
                     .weight = 1,
                     .row = row,
                     .gradients = gradients,
                     .columns = columns,
                     .scratch = room(loops->scratch_bytes(columns))};
    loops->mine(&job);
    line_of_doubles("pairs:mine", 3, (double[]){job.value, job.active, job.valid}), line("pairs:gradients", N, gradients);
  }
  memset(sum, 0, (size_t)step * 8);
  loops->add_difference(&x, 0, 1, 0.5, (double *)sum), line_of_doubles("pairs:add_difference", D, (double *)sum);
}

static void contrast_of(ptrdiff_t rows, ptrdiff_t D) {
  const fl_contrast_real *loops = wide ? &fl_contrast_table_baseline.f64 : &fl_contrast_table_baseline.f32;
  const ptrdiff_t size = real->size, padded = rounded(D, loops->columns), all = FL_ANCHORS;
  char *x = room(padded * size), *z = room(all * padded * size), *left = room(all * padded * size);
  char *right = room(all * padded * size), *e = room(all * all * size), *max = room(all * size), *g = room(padded * size);
  for (ptrdiff_t i = 0; i < rows; i++) {
    double power, inverse;
    for (ptrdiff_t d = 0; d < D; d++) set(x, d, i == 1 ? ldexp(draw(-1, 1), wide ? 600 : 100) : draw(-1, 1));
    loops->measure(padded, x, &power, &inverse);
    line_of_doubles("contrast:power", 1, &power), line_of_doubles("contrast:inverse", 1, &inverse);
    loops->normalize(padded, x, power, inverse, z + i * padded * size);
    if (i) continue;
    double *exact = room(padded * 8);
    loops->normalize_double(padded, x, power, inverse, exact), line_of_doubles("contrast:normalize_double", D, exact);
    fl_contrast_grad slope = {
        .x = x, .power = power, .inverse = inverse, .normalized = 1, .factor = 0.5, .g = exact, .out = g};
    slope.g = random_array(padded, -1, 1);
    loops->grad(padded, &slope), line("contrast:grad", D, g);
  }
  loops->panel(rows, padded, z, left), loops->across(padded, left, right);
  double *sums = room(all * 8), *row_sums = room(all * 8);
  fl_contrast job = {
      .D = padded, .rows = rows, .lanes = rows, .left = left, .right = right, .factor = 2, .e = e, .max = max};
  job.sums = sums, job.row_sums = row_sums;
  loops->terms(&job);
  line_of_doubles("contrast:sums", rows, sums), line_of_doubles("contrast:row_sums", rows, row_sums);
  for (ptrdiff_t i = 0; i < rows; i++) line("contrast:terms", rows, e + i * all * size);
  loops->products(&job);
  for (ptrdiff_t i = 0; i < rows; i++) line("contrast:products", rows, e + i * all * size);
  double *a = random_doubles(64, -1, 1), *b = random_doubles(64, -1, 1);
  line_of_doubles("contrast:dot", 1, (double[]){fl_contrast_table_baseline.dot(64, a, b)});
}

static void digits(void) {
  double *x = random_doubles(99, -1e6, 1e6), *rest = room(99 * 8);
  int64_t *cut = room(FL_DIGITS * 8);
  for (int i = 0; i < 99; i++) x[i] = ldexp(x[i], i * 17 % 90 - 60);
  fl_digits_table_baseline.cut(99, x, rest, cut);
  for (int k = 0; k < FL_DIGITS; k++) line_of_doubles("digits:exactly", 1, (double[]){(double)cut[k]});
}

/* ---- ctc.c -------------------------------------------------------------------------------------------------------- */

/* One sample, every class a column: loss and gradient in linear space, then the loss with logarithms, the exact one, and the best
   path. A stretch is FL_CTC_FRAMES frames. */
static void ctc_of(ptrdiff_t T, ptrdiff_t S, ptrdiff_t C) {
  const fl_ctc_table *loops = &fl_ctc_table_baseline;
  const ptrdiff_t P = rounded(S + 1, FL_CTC_LANES), width = rounded(C + 1, FL_CTC_LANES), table = FL_CTC_TABLE * 8;
  int32_t *column = room(P * 4), *since = room(P * 4);
  double *skip = room(P * 8), *need = room(width * 8);
  for (ptrdiff_t i = 0; i < P; i++) column[i] = (int32_t)(i < S ? 1 + i * 5 % (C - 1) : C);
  int32_t repeats = 0;
  for (ptrdiff_t i = 0; i < S; i++) {
    const int same = i && column[i] == column[i - 1];
    repeats += same, skip[i] = i && !same, since[i] = (int32_t)i + repeats, need[column[i]] = -INFINITY;
  }
  need[0] = -INFINITY, since[S] = (int32_t)S + repeats;
  fl_ctc job = {.T = T,
                .S = S,
                .C = C,
                .U = C,
                .P = P,
                .width = width,
                .column = column,
                .skip = skip,
                .since = since,
                .need = need,
                .scale = 0.5,
                .kept = 1};
  job.x = (fl_ctc_frames){random_array(T * C, -3, 3), C * real->size, real->size, wide ? FL_F64 : FL_F32, 1};
  job.grad = (fl_ctc_frames){room(T * C * 8), C * real->size, real->size, wide ? FL_F64 : FL_F32, 1};
  job.keep = room(C * 8), job.row = room(C * 8), job.out = room(C * 8), job.column_logits = room(T * width * 8);
  job.shift = room(T * 8), job.max = room(T * 8), job.tail_sum = room(T * 8), job.log_total = room(FL_CTC_FRAMES * 8);
  job.others = room(FL_CTC_FRAMES * 8), job.least = room(FL_CTC_FRAMES * 8), job.emission = room(table);
  job.occupied = room(table), job.exponent = room((T + 1) * 4), job.from = room(T * 4), job.to = room(T * 4);
  job.alpha = room((T + 1) * 2 * P * 8), job.beta = room(2 * P * 8), job.exact = room(4 * P * 8);
  job.posterior = room(2 * P * 8), job.back = room(T * 2 * P);
  const ptrdiff_t n = FL_CTC_FRAMES;
#define FL_SWEEP(begin_, logs, forward_)                                                                                 \
  loops->begin_(&job);                                                                                                   \
  for (ptrdiff_t t = 0; t < T; t += n) {                                                                                 \
    const ptrdiff_t some = T - t < n ? T - t : n;                                                                        \
    loops->frames[wide](&job, t, some, 0, logs), loops->forward_(&job, t, some);                                         \
  }
  FL_SWEEP(begin, 0, forward)
  const int held = loops->end(&job, 60);
  line_of_doubles("ctc:loss", 2, (double[]){job.loss, held});
  loops->begin_backward(&job);
  for (ptrdiff_t t = (T - 1) / n * n; t >= 0; t -= n) {
    const ptrdiff_t some = T - t < n ? T - t : n;
    loops->frames[wide](&job, t, some, 1, 0), loops->backward(&job, t, some), loops->grad[wide](&job, t, some);
  }
  line("ctc:grad", T * C, job.grad.data);
  FL_SWEEP(log_begin, 1, log_forward)
  loops->log_end(&job), line_of_doubles("ctc:log_loss", 1, &job.loss);
  FL_SWEEP(exact_begin, 0, exact_forward)
  loops->exact_end(&job), line_of_doubles("ctc:exact_loss", 1, &job.loss);
  FL_SWEEP(log_begin, 1, best_forward)
#undef FL_SWEEP
  int64_t *path = room(T * 8);
  loops->best_path(&job, path);
  double *states = room(T * 8);
  for (ptrdiff_t t = 0; t < T; t++) states[t] = (double)path[t];
  line_of_doubles("ctc:exactly_path", T, states);
}

int main(void) {
  for (wide = 0; wide < 2; wide++) {
    real = wide ? &fl_table_baseline.f64 : &fl_table_baseline.f32;
    row_loops = wide ? &fl_rows_table_baseline.f64 : &fl_rows_table_baseline.f32;
    pointwise(), sums(), links(), views(), lovasz(), boxes(), digits();
    for (int k = 0; k < SIZE_COUNT; k++) rows_of(SIZES[k] + 1), vectors_of(SIZES[k]);
    rows_of(1003), vectors_of(300);
    for (ptrdiff_t C = 2; C < 7; C++) tiles_of(C), scores_of(C), regions_of(C);
    pairs_of(13, 5), pairs_of(40, 33), contrast_of(5, 3), contrast_of(90, 40);
    ctc_of(8, 3, 7), ctc_of(50, 12, 33);
  }
  return 0;
}

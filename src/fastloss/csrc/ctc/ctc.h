/* What _engines/ctc.pyx and the inner loops of CTC share: the job, which is one sample, and the table of loops that each CPU level
 * offers.
 * Letters: T frames, S labels, C classes, U columns (the classes that count here), P entries of a row of states.
 *
 * The states of CTC, S labels with a blank before each and one behind, are kept in two rows: label i at i, the blank before it at
 * i too, the last blank at S; P is the next multiple of FL_CTC_LANES above S, and what lies past the last state is 0. A frame's
 * emissions are a row of its own, one entry for each column.
 *
 * Nothing here allocates, touches Python, or reads a position that its caller did not name.
 */
#ifndef FASTLOSS_CTC_H
#define FASTLOSS_CTC_H

#include "common/kernels.h"

#define FL_CTC_LEAST -700.0 /* an emission of e^x with x under it is 0 */
#define FL_CTC_QUIET -100.0 /* while all emissions are above it, masked classes are not looked for */
#define FL_CTC_UNIT 0x1p-64 /* what alpha beta is to be multiplied by to be an occupation probability */

enum {
  FL_CTC_LANES = 8,   /* what rows of states and columns are padded to a multiple of: doubles in the longest register */
  FL_CTC_FRAMES = 16, /* the most frames of a chunk: emissions first, then states */
  FL_CTC_TABLE = 4096 /* entries of the emissions of a chunk that hold them in the L1 cache */
};

/* An array of frames: T of them, `step` bytes apart, of classes `class_step` bytes apart. */
typedef struct {
  char *data;
  ptrdiff_t step, class_step;
  int type;   /* enum fl_type */
  int direct; /* contiguous classes of the computation type: used where they lie */
} fl_ctc_frames;

/* What the states of a frame may have lost by underflow: see linear.h. */
typedef struct {
  double events; /* how many frames may have lost something */
  double worst;  /* the logarithm (base 2) of the most that a state lost, as a probability */
} fl_ctc_lost;

typedef struct {
  /* ---- the sample */
  ptrdiff_t T, S, C, U, P;
  ptrdiff_t width;        /* of a row of emissions: more than U, a multiple of FL_CTC_LANES */
  int log_probs;          /* rows are log-probabilities: nothing is normalised */
  const int32_t *classes; /* the class of each column; null: all classes are columns */
  const int32_t *column;  /* P entries: of each label; past the last a column that nothing emits */
  ptrdiff_t blank;        /* the blank's column */
  const double *skip;     /* P entries: 1 where the label may follow the one before it directly, else 0 */
  const int32_t *since;   /* S + 1 entries: the first frame that reaches the label (the last entry: its blank) */
  const double *need;     /* `width` entries: -inf for classes of the sample, 0 for others */
  void *keep;             /* room for C entries of the computation type: which classes have a column */

  /* ---- its frames, and their gradient (null data: not wanted) */
  fl_ctc_frames x, grad;
  double scale;        /* of the gradient */
  void *row, *out;     /* one row of C, another one */
  void *column_logits; /* per frame `width` entries: the logits of the columns, where not all classes have one */
  double *posterior;   /* null, or one row of 2 P: labels, then blanks */
  char *posteriors;    /* null, or where the frames' occupation probabilities go, `posteriors_step` bytes apart */
  ptrdiff_t posteriors_step;
  int posteriors_wide;

  /* ---- per frame: all of them (`kept`; `column_logits` too), or those of a chunk */
  int kept;
  double *shift;          /* emissions are e^(x - shift) */
  double *max, *tail_sum; /* the largest logit; sum of e^(x - max) over all others */
  double *log_total;      /* FL_CTC_FRAMES entries: log of the sum of e^(x - shift) */
  double *others;         /* FL_CTC_FRAMES entries: sum of e^(x - shift) over the classes without a column */
  double *least;      /* FL_CTC_FRAMES entries: logarithm of the smallest emission of the sample's classes, but for 0 */
  double *emission;   /* FL_CTC_FRAMES x width, or as many as the chunk has */
  double *occupied;   /* the same for occupation probabilities, in a gradient */
  int32_t *exponent;  /* (if kept) of each frame: its states are alpha 2^exponent */
  int32_t *from, *to; /* (if kept) entries of the rows of states that a frame needs */

  /* ---- the states */
  double *alpha;                /* 2 P entries of labels, then blanks; if kept, for each frame */
  double *beta;                 /* 2 P entries, in a gradient */
  double *exact;                /* 4 P entries: see exact.h */
  unsigned char *back;          /* (alignment) for each frame 2 P entries */
  ptrdiff_t dead;               /* states that can no longer reach the end, in the order of the extended labels */
  ptrdiff_t low, high;          /* entries of the rows that the frame before (on the way back: behind) used */
  double low_bound;             /* base-2 logarithm of a lower bound of all states that are not 0 */
  int age;                      /* frames since the states were last looked at */
  int64_t power;                /* the states are alpha 2^power */
  double normal, normal_lost;   /* sum of log_total, of all frames so far */
  double offset, offset_lost;   /* sum of shift */
  double taken, taken_lost;     /* the logarithm that is taken out of the states: log.h */
  double product, product_lost; /* of the frames' sums: see exact.h */
  fl_ctc_lost lost;

  /* ---- out */
  double log_sum; /* log of the sum over all alignments of the products of emissions */
  double loss;
} fl_ctc;

typedef struct {
  /* Once the columns of a sample are known, where not all classes have one. */
  void (*mark[2])(fl_ctc *job);
  /* A chunk of frames from t on: their emissions, and what it takes to normalise them. `again` takes shift, max and total from
     the first time; `logs` leaves logarithms of emissions in place of the emissions. */
  void (*frames[2])(fl_ctc *job, ptrdiff_t t, ptrdiff_t n, int again, int logs);
  /* The gradient of a chunk of frames, from `occupied`. */
  void (*grad[2])(fl_ctc *job, ptrdiff_t t, ptrdiff_t n);
  /* Frames [t, t + n) of the whole gradient at one value. */
  void (*fill[2])(fl_ctc *job, ptrdiff_t t, ptrdiff_t n, double value);
  /* In linear space: `begin`, chunks `forward` in order, `end`, which returns whether the bound on what underflowed holds; then
     `begin_backward` and chunks `backward`, the last first. */
  void (*begin)(fl_ctc *job);
  void (*forward)(fl_ctc *job, ptrdiff_t t, ptrdiff_t n);
  int (*end)(fl_ctc *job, double tolerance);
  void (*begin_backward)(fl_ctc *job);
  void (*backward)(fl_ctc *job, ptrdiff_t t, ptrdiff_t n);
  /* The same with logarithms. */
  void (*log_begin)(fl_ctc *job);
  void (*log_forward)(fl_ctc *job, ptrdiff_t t, ptrdiff_t n);
  void (*log_end)(fl_ctc *job);
  void (*log_turn)(fl_ctc *job);
  void (*log_backward)(fl_ctc *job, ptrdiff_t t, ptrdiff_t n);
  /* The loss alone, where it is near 0. */
  void (*exact_begin)(fl_ctc *job);
  void (*exact_forward)(fl_ctc *job, ptrdiff_t t, ptrdiff_t n);
  void (*exact_end)(fl_ctc *job);
  /* Viterbi: begin as above, chunks `best_forward`, then the path. */
  void (*best_forward)(fl_ctc *job, ptrdiff_t t, ptrdiff_t n);
  void (*best_path)(fl_ctc *job, int64_t *state);
} fl_ctc_table;

#endif

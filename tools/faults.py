"""The faults that mutants.py plants: each a small change of the sources that some test must notice.

They are spread over all engines, and are the slips that such code invites: a tail that is dropped, a weight of the wrong class, a
check that is gone, digits that are lost, a case that only one type, layout, CPU level or number of threads meets. A fault's text
must occur once in its file: a test sees to that, so that whoever rewrites a line also rewrites the fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Fault:
    """`old` becomes `new` in `file`; `tests` are the files of tests that should notice, the likeliest first."""

    name: str
    file: str
    what: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def compiled(self) -> bool:
        """Whether an extension is made from the file; setup.py knows which."""
        return not self.file.endswith(".py")

    def applied(self, text: str) -> str:
        """The file's text with the fault in it."""
        if (found := text.count(self.old)) != 1:
            raise ValueError(f"{self.name}: expected its text once in {self.file}, found it {found} times")
        return text.replace(self.old, self.new)


def fault(name: str, file: str, what: str, old: str, new: str, *tests: str) -> Fault:
    return Fault(name, f"src/fastloss/{file}", what, old, new, tuple(map(_file_of, tests)))


def _file_of(test: str) -> str:
    (file,) = ROOT.glob(f"tests/*/test_{test}.py")
    return file.relative_to(ROOT).as_posix()


FAULTS = (
    # ---- rows of logits ----
    fault(
        "rows-gradient-sign",
        "csrc/rows/real.h",
        "the gradient at the label of a row that is won has the wrong sign",
        "vselect(won, -r * z, p - 1.0)",
        "vselect(won, r * z, p - 1.0)",
        "gradients",
        "properties",
    ),
    fault(
        "rows-tail",
        "csrc/rows/real.h",
        "a last class that stands alone after whole groups of registers is left out of the sum",
        "  if (i < n) {\n    for (ptrdiff_t line = 0;",
        "  if (i + 1 < n) {\n    for (ptrdiff_t line = 0;",
        "accuracy",
        "gradients",
    ),
    fault(
        "rows-ties",
        "csrc/rows/real.h",
        "of several largest logits in a long row one alone counts",
        "return ties > 0 ? partial + ties * exp(-s.log_scale) / FL_UNBIAS : partial;",
        "return partial;",
        "accuracy",
        "nonfinite",
    ),
    fault(
        "rows-last-block",
        "_engines/rows.pyx",
        "the last block of rows, if it is not a whole one, is not computed",
        "blocks = (call.n + call.block - 1) // call.block\n    cost",
        "blocks = max(<Py_ssize_t>1, call.n // call.block)\n    cost",
        "accuracy",
        "layouts",
        "labels",
    ),
    fault(
        "rows-class-weight",
        "_engines/rows_call.pxd",
        "a sample is weighed as the class before its label is",
        "ws.weight[i] *= call.class_weight[ws.label[i]]",
        "ws.weight[i] *= call.class_weight[max(<int64_t>0, ws.label[i] - 1)]",
        "reductions",
        "gradients",
    ),
    fault(
        "rows-hessian-weight",
        "_engines/rows_long.pxd",
        "the Hessian of long rows is not weighed",
        "call.loops.softmax_hess(m, x, ws.max[i], ws.tail_sum[i], call.scale * weight, out)",
        "call.loops.softmax_hess(m, x, ws.max[i], ws.tail_sum[i], call.scale, out)",
        "gradients",
        "reductions",
    ),
    fault(
        "rows-label-range",
        "csrc/rows/rows.c",
        "a label that equals the number of classes is accepted",
        "odd |= ((uint64_t)label[i] >= (uint64_t)classes) | (label[i] == ignore);",
        "odd |= ((uint64_t)label[i] > (uint64_t)classes) | (label[i] == ignore);",
        "labels",
    ),
    fault(
        "rows-ignored-mean",
        "csrc/rows/rows.c",
        "the mean's gradient is divided by ignored samples too, if the ignored label is a class",
        "  if (!has_ignore) ignored = 0;\n",
        "  ignored = 0;\n",
        "reductions",
        "gradients",
    ),
    fault(
        "rows-smoothing",
        "_engines/rows_call.pxd",
        "label smoothing is forgotten in the gradient at the label of a row that is lost",
        "((ws.soft_weight[i] + own) * p - floor - own)",
        "((ws.soft_weight[i] + own) * p - own)",
        "gradients",
    ),
    fault(
        "rows-block-threads",
        "_engines/rows.pyx",
        "the size of a block of rows depends on the number of threads, and so do the last bits of a sum",
        "    set_blocks(&call, x)\n",
        "    set_blocks(&call, x)\n"
        "    call.block = call.block if call.tiled else max(<Py_ssize_t>1, call.block // max(1, threads))\n",
        "threads",
    ),
    # ---- tiles ----
    fault(
        "tiles-last-class",
        "csrc/rows/tiles.h",
        "the last of an odd number of classes is left out of the sum",
        "      if (c < C) FL_CLASSES(1);\n",
        "",
        "accuracy",
        "gradients",
    ),
    fault(
        "tiles-masked-class",
        "csrc/rows/tiles.h",
        "a class of no probability whose logit is -inf makes the loss nan",
        "vselect(veq(a, zero), zero, a * (m - FL_HALF(v, h)))",
        "a * (m - FL_HALF(v, h))",
        "nonfinite",
    ),
    fault(
        "tiles-next-image",
        "_engines/rows_tiles.pxd",
        "a run of positions goes on into the next image's memory",
        "or (last > 0 and start % view.rows.shape[last] + n > view.rows.shape[last])",
        "or (last > 0 and n > view.rows.shape[last])",
        "layouts",
    ),
    # ---- functions of cross-entropy ----
    fault(
        "focal-slope",
        "csrc/rows/transform.h",
        "focal loss's slope forgets gamma",
        "*gradient = power * vfma(parameter * p, ratio, vset_f64(1));",
        "*gradient = power * vfma(p, ratio, vset_f64(1));",
        "transforms",
        "gradients",
    ),
    fault(
        "poly1-bracket",
        "csrc/rows/transform.h",
        "poly-1 with a negative epsilon subtracts the two terms as they are",
        "if (transform == FL_POLY1 && parameter < 0) {",
        "if (transform == FL_POLY1 && parameter < -2) {",
        "extremes",
    ),
    # ---- elements ----
    fault(
        "log-of-the-largest",
        "csrc/common/vecmath_log.h",
        "logarithms of more than sqrt(2) 2^1023 are those of 2^1023 less",
        "*k = (vd)((bits >> 52) | 0x4330000000000000) - (0x1p52 + 1023.0);",
        "*k = vmin(vset_f64(1023), (vd)((bits >> 52) | 0x4330000000000000) - (0x1p52 + 1023.0));",
        "extremes",
    ),
    fault(
        "deviance-gap",
        "csrc/common/vecmath_log.h",
        "next to the optimum of a deviance the logarithm is known to 2^-60 only",
        "v = vselect(close, sum, v), *error = vselect(close, exact_error, *error);",
        "(void)sum, (void)exact_error;",
        "accuracy",
    ),
    fault(
        "gaussian-square",
        "csrc/pointwise/regression.h",
        "the square of a large error overflows before it is divided by the variance",
        "vlog(v) + e / v * e",
        "vlog(v) + e * e / v",
        "extremes",
    ),
    fault(
        "elements-tail",
        "csrc/pointwise/real.h",
        "what fills up the last register counts in the sum",
        "if (tail) FN(drop_beyond)(c.sum, left), FN(move_out)(out, whole, &room);",
        "if (tail) FN(move_out)(out, whole, &room);",
        "reductions",
    ),
    fault(
        "elements-float-sum",
        "csrc/pointwise/real.h",
        "values of float32 are added in float32",
        "c->sum[0] += low, c->sum[1] += high;",
        "const V all = vnarrow(c->sum[0] + low, c->sum[1] + high);\n  c->sum[0] = vlow(all), c->sum[1] = vhigh(all);",
        "reductions",
        "evaluation",
    ),
    fault(
        "mse-hessian",
        "csrc/pointwise/regression.h",
        "the Hessian of the squared error is half of what it should be",
        "{e * e, e + e, FN(unless_nan)(e, FN(vset)(2))}",
        "{e * e, e + e, FN(unless_nan)(e, FN(vset)(1))}",
        "gradients",
    ),
    fault(
        "mae-nan",
        "csrc/pointwise/regression.h",
        "the gradient of the absolute error is 0 where it is nan",
        "vselect(vlt(e, zero), -one, e + zero)",
        "vselect(vlt(e, zero), -one, zero)",
        "nonfinite",
    ),
    fault(
        "smooth-l1-beta",
        "csrc/pointwise/regression.h",
        "smooth L1 multiplies by beta instead of dividing by it",
        "q * p[1] * (a - q * (R)0.5)",
        "q * p[0] * (a - q * (R)0.5)",
        "properties",
        "reductions",
    ),
    fault(
        "log-cosh-float64",
        "csrc/pointwise/regression.h",
        "log cosh of small errors is wrong in float64 alone",
        "m * m / (q + q)",
        "m * m / (q + one)",
        "accuracy",
        "margins_and_deviances",
    ),
    fault(
        "softplus-log1p",
        "csrc/pointwise/classification.h",
        "binary cross-entropy takes log(1 + u), which loses the digits of a small u",
        "vfma(total, vlog1p_unit(u), linear)",
        "vfma(total, vlog((R)1 + u), linear)",
        "accuracy",
    ),
    fault(
        "margin-label-zero",
        "csrc/pointwise/real.h",
        "labels between -1 and 1 are accepted",
        "c->t_low = vmin(vabs(t), c->t_low), c->t_high = vmax(vabs(t), c->t_high);",
        "c->t_low = c->t_high = vmax(vabs(t), c->t_high);",
        "margins_and_deviances",
    ),
    # ---- sums of terms ----
    fault(
        "sums-weight",
        "csrc/sums/real.h",
        "gradients of short rows all have the weight of the first row of their group",
        "(R)(job->scale * job->weight[r + k])",
        "(R)(job->scale * job->weight[r])",
        "reductions",
        "gradients",
    ),
    fault(
        "kl-div-digits",
        "csrc/sums/divergence.h",
        "log t is made with the upper digits of log 2 alone (float64)",
        "error += vfma(k, vset_f64(FL_LN2_LOW_F64), -vlog_tail(f));",
        "error -= vlog_tail(f);",
        "divergence",
        "accuracy",
    ),
    # ---- scores and cumulative links ----
    fault(
        "hinge-own-sign",
        "csrc/scores/real.h",
        "the gradient of Weston and Watkins's hinge at the label has the wrong sign",
        "FN(put_own)(job, &at, q, -total);",
        "FN(put_own)(job, &at, q, total);",
        "gradients",
        "scores",
    ),
    fault(
        "corn-denominator",
        "_engines/scores.pyx",
        "CORN's mean divides by one task too few for each sample",
        "ws.weight[i] *= <double>min(y + 1, samples.classes)",
        "ws.weight[i] *= <double>min(y, samples.classes)",
        "scores",
        "reductions",
    ),
    fault(
        "link-threshold",
        "_engines/scores.pyx",
        "the first threshold gets no gradient from the level above it",
        "        if ws.index[i] > 0:\n            sums[ws.index[i] - 1]",
        "        if ws.index[i] > 1:\n            sums[ws.index[i] - 1]",
        "scores",
        "gradients",
    ),
    fault(
        "link-log1p",
        "csrc/common/probability.h",
        "log(1 - e^-x) of a large x is taken of the rounded difference",
        "vlog1p(-fl_exp_exact(-x, -error))",
        "vlog(1.0 - fl_exp_exact(-x, -error))",
        "scores",
        "accuracy",
    ),
    # ---- CTC ----
    fault(
        "ctc-repeated-label",
        "_engines/ctc.pyx",
        "the blank between two equal labels may be skipped",
        "ws.skip[i] = 0 if i == 0 or label[i] == label[i - 1] else 1",
        "ws.skip[i] = 0 if i == 0 else 1",
        "ctc",
    ),
    fault(
        "ctc-no-logarithms",
        "csrc/ctc/linear.h",
        "samples of which linear space has lost something are not done again",
        "return sum > 0 && lost < job->log_sum * FL_LOG2E - normal * FL_LOG2E - tolerance;",
        "return lost == lost;",
        "ctc_fallback",
        "ctc",
    ),
    fault(
        "ctc-small-loss",
        "_engines/ctc.pyx",
        "losses near 0 are not computed exactly",
        "elif -small < job.loss < small:",
        "elif small < 0:",
        "ctc_fallback",
        "ctc",
    ),
    fault(
        "ctc-v3-shift",
        "csrc/ctc/states.h",
        "the way back loses the state behind a register, at level v3 alone",
        "_mm256_permute2f128_pd(v, after, 0x21)",
        "_mm256_permute2f128_pd(v, v, 0x21)",
        "ctc",
        "gradients",
    ),
    # ---- regions, Lovasz's sort, boxes ----
    fault(
        "regions-ignored",
        "csrc/regions/fused.h",
        "ignored positions count as false alarms (sigmoid)",
        "wrong = vdrop(is_masked, wrong), e = vdrop(is_masked, e), behind = vdrop(is_masked, behind);",
        "e = vdrop(is_masked, e), behind = vdrop(is_masked, behind);",
        "segmentation",
        "accuracy",
    ),
    fault(
        "regions-entropy-weight",
        "_plans/regions.py",
        "the gradient of Dice with cross-entropy ignores the latter's weight",
        "slopes[..., 3] = entropy_weight * upstream * each * w",
        "slopes[..., 3] = upstream * each * w",
        "gradients",
        "segmentation",
    ),
    fault(
        "tversky-swapped",
        "_plans/regions.py",
        "the gradient of Tversky's loss takes alpha for beta",
        "np.stack([hit * hits, miss * alpha, miss * beta,",
        "np.stack([hit * hits, miss * beta, miss * alpha,",
        "gradients",
        "segmentation",
    ),
    fault(
        "regions-span",
        "_kernels.pyx",
        "where blocks are too many to be summed at once, the later ones count for the first items",
        "add(&spans.totals[(spans.base + b) // spans.group * spans.width + k]",
        "add(&spans.totals[b // spans.group * spans.width + k]",
        "segmentation",
        "threads",
    ),
    fault(
        "lovasz-sort",
        "csrc/lovasz/sort.h",
        "errors of float32 are not sorted by their leading bits",
        "FL_PASSES_f32 = 3 }",
        "FL_PASSES_f32 = 2 }",
        "segmentation",
        "accuracy",
    ),
    fault(
        "lovasz-ctrl-c",
        "_engines/lovasz.pyx",
        "a long sort does not look for Ctrl-C",
        "if start and interrupted(&call.stop, thread):",
        "if start < 0 and interrupted(&call.stop, thread):",
        "processes",
    ),
    fault(
        "boxes-scale",
        "csrc/boxes/iou.h",
        "an eps is not scaled with the areas of tiny boxes",
        "ldexp(eps, x + y), ldexp(eps, 2 * same)};",
        "eps, ldexp(eps, 2 * same)};",
        "extremes",
    ),
    fault(
        "boxes-ciou",
        "csrc/boxes/iou.h",
        "complete IoU's gradient has alpha for its square",
        "d_inter *= 1 - alpha * alpha, d_area *= 1 - alpha * alpha;",
        "d_inter *= 1 - alpha, d_area *= 1 - alpha;",
        "boxes",
        "gradients",
    ),
    # ---- vectors ----
    fault(
        "vectors-piece",
        "_engines/vectors.pyx",
        "a long row that is not contiguous is read from its beginning again and again",
        "view.data = row.row[k] + start * o.step",
        "view.data = row.row[k]",
        "vectors",
    ),
    fault(
        "triplet-swapped",
        "csrc/vectors/real.h",
        "the positive of a swapped triplet gets half of its gradient",
        "of_p.at[k] = swapped ? push - pull : -pull;",
        "of_p.at[k] = -pull;",
        "gradients",
        "vectors",
    ),
    fault(
        "cosine-parallel",
        "csrc/vectors/real.h",
        "the cosine loss of nearly parallel vectors loses its digits",
        "return v > 0x1p-40 ? v : FN(square_of_sine)(job, p, dd_over(p->xy, p->xx)) / (2 - v);",
        "return v;",
        "vectors",
        "accuracy",
    ),
    # ---- all pairs: distances, mining, products of matrices ----
    fault(
        "distances-again",
        "csrc/mining/distances.h",
        "distances that cancel are not computed again from differences",
        "if (FN(vcount)(plain) == LANES) continue;",
        "if (FN(vcount)(plain) <= LANES) continue;",
        "distances",
    ),
    fault(
        "distances-wide-rows",
        "csrc/mining/distances.h",
        "products of rows of many dimensions keep their last block of them only",
        "FN(FL_TILE_COLUMNS), at, step, k > 0);",
        "FN(FL_TILE_COLUMNS), at, step, 0);",
        "distances",
        "batch_triplet",
    ),
    fault(
        "semihard-equal",
        "csrc/mining/mine.h",
        "a negative as far as the positive is a semi-hard one, where positives are many",
        "const VI r = FN(rank)(&ranks, vload(scratch->count + k), 1);",
        "const VI r = FN(rank)(&ranks, vload(scratch->count + k), 0);",
        "batch_triplet",
    ),
    fault(
        "rank-search",
        "csrc/mining/rank.h",
        "the search for a rank among crowded distances ends a step early",
        "for (I left = most; left > 0; left /= 2) ranks->steps++;",
        "for (I left = most; left > 1; left /= 2) ranks->steps++;",
        "batch_triplet",
    ),
    fault(
        "gemm-tail",
        "csrc/common/gemm.h",
        "the last of an odd number of dimensions is not packed",
        "out[d * width + r + q] = row[q * step + d];",
        "out[d * width + r + q] = 0;",
        "distances",
        "contrast",
    ),
    # ---- contrastive losses ----
    fault(
        "contrast-itself",
        "csrc/contrast/real.h",
        "an anchor is its own negative in the gradient",
        "if (weigh->itself && low <= j && j < high) w[j] = 0;",
        "if (weigh->itself && low <= j && j < high) w[j] += 0;",
        "contrast",
        "contrast_kernel",
    ),
    fault(
        "contrast-padding",
        "csrc/contrast/real.h",
        "anchors that fill up the last block count in the candidates' sums",
        "if (lanes < FN(FL_TILE_COLUMNS))",
        "if (lanes < 0)",
        "contrast",
        "contrast_kernel",
    ),
    fault(
        "contrast-symmetric",
        "_plans/contrast.py",
        "the keys' half of a symmetric loss counts twice in the gradient",
        "row = _shares(scale / unit * other_share, other_sums) / 2",
        "row = _shares(scale / unit * other_share, other_sums)",
        "contrast",
        "gradients",
    ),
    # ---- exact sums and the state of an evaluation ----
    fault(
        "digits-rest",
        "csrc/digits/digits.c",
        "what three digits leave of a value is dropped",
        "  return vtop(top);\n}\n\nstatic int cut(",
        "  return 0 * vtop(top);\n}\n\nstatic int cut(",
        "exact_sum",
    ),
    fault(
        "exact-carry",
        "evaluation/_exact.py",
        "the carry out of the highest digit is lost",
        "self._digit(k + 1)[:] += carry",
        "self._digit(min(k + 1, max(self._digits)))[:] += carry if k < max(self._digits) else 0",
        "exact_sum",
    ),
    fault(
        "state-nans",
        "evaluation/_state.py",
        "merged states forget how many values were nan",
        "        self.nans[where] += other.nans\n",
        "",
        "evaluation_groups",
    ),
    fault(
        "state-ties",
        "evaluation/_state.py",
        "of equally hard samples those that come later are not considered, nor nan",
        "hard = ~(values < self.value[-1])",
        "hard = values > self.value[-1]",
        "evaluation_groups",
    ),
    # ---- how arrays lie, and their types ----
    fault(
        "half-v3-ties",
        "csrc/common/half.h",
        "bfloat16 halfway between two numbers is rounded up rather than to even, at level v3 alone",
        "_mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);",
        "_mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x8000)), 16);",
        "layouts",
        "functional",
    ),
    fault(
        "reversed-input",
        "csrc/common/convert.h",
        "an array with a negative stride is read forwards",
        "  if (stride == (ptrdiff_t)sizeof(R) && type == FL_THIS_TYPE) {\n    memcpy(out, p,",
        "  if (stride * stride == (ptrdiff_t)(sizeof(R) * sizeof(R)) && type == FL_THIS_TYPE) {\n    memcpy(out, p,",
        "layouts",
    ),
    fault(
        "misaligned-input",
        "_kernels.pyx",
        "a misaligned array is read from the aligned address below",
        "    view.data = <char *>cnp.PyArray_DATA(a)\n    view.type = type_code(a)",
        "    view.data = <char *>(<size_t>cnp.PyArray_DATA(a) // cnp.PyArray_ITEMSIZE(a) * cnp.PyArray_ITEMSIZE(a))\n"
        "    view.type = type_code(a)",
        "layouts",
    ),
    fault(
        "merged-axes",
        "_kernels.pyx",
        "axes are merged that run in opposite directions",
        "if n and view.stride[n - 1] == step * size:",
        "if n and abs(view.stride[n - 1]) == abs(step * size):",
        "layouts",
    ),
    # ---- blocks, threads, processes ----
    fault(
        "blocks-threads",
        "_kernels.pyx",
        "with more than one thread the last block is not computed",
        'for b in prange(done, done + n, nogil=True, num_threads=threads, schedule="dynamic", chunksize=chunk):',
        'for b in prange(done, done + n - 1, nogil=True, num_threads=threads, schedule="dynamic", chunksize=chunk):',
        "threads",
        "layouts",
    ),
    fault(
        "blocks-ctrl-c",
        "_kernels.pyx",
        "Ctrl-C is not heard between groups of blocks",
        "        PyErr_CheckSignals()\n        done += n",
        "        done += n",
        "processes",
    ),
    fault(
        "fork-threads",
        "_threads.py",
        "a forked child computes with threads, which hangs",
        "    global _forked\n    _forked = True",
        "    global _forked\n    _forked = False",
        "processes",
    ),
    # ---- plans and checks ----
    fault(
        "mean-of-weights",
        "_plans/pointwise.py",
        "the weighted mean of elements divides by their number",
        "total, weight, scale = 0.0, self.total_weight, 1.0",
        "total, weight, scale = 0.0, float(self.x.size), 1.0",
        "reductions",
    ),
    fault(
        "mean-of-nothing",
        "_plans/base.py",
        "the mean of no samples is 0",
        "return total / weight if weight else math.nan",
        "return total / weight if weight else 0.0",
        "nonfinite",
        "reductions",
    ),
    fault(
        "late-domain",
        "_plans/base.py",
        "an element outside the domain is refused after out has been overwritten",
        "            if out is not None:\n                self._check_before_writing()",
        "            if out is None:\n                self._check_before_writing()",
        "out",
    ),
    fault(
        "overlap-check",
        "_check/_arrays.py",
        "out may overlap an input",
        "        if _overlap(value, a):\n",
        "        if False:\n",
        "out",
    ),
    fault(
        "shape-check",
        "_check/_arrays.py",
        "arrays of different shapes are broadcast",
        "    if a.ndim and b.ndim:\n",
        "    if a.ndim and b.ndim and a.ndim != b.ndim:\n",
        "errors",
    ),
)

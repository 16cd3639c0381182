/* awq.h - AWQ: inputs that are large get a finer grid, by a scale that the layer before undoes
 * (Lin et al. 2023, arXiv:2306.00978).
 *
 *     y = W x = (W diag(s)) (diag(1/s) x);   s = m^r, or m^r / v^(1 - r);   r from 0 to 0.95
 *     m: mean |x| of an input,  v: mean |w| of its column, each weight in shares of its group's
 *     largest
 *
 * Both forms of s and 20 values of r are tried; the best is the one with the least error of the
 * outputs over the calibration inputs, the sum of d^T H d over the rows d of Q(W s) / s - W, with
 * H = X^T X, each weight's as a share of its w^T H w.  That is the published search with all inputs
 * in place of a sample, and the linears' own outputs in place of the block's.
 *
 * Thread: pure functions; the pool of the stream works inside them. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_QUANTIZE_AWQ_H
#define TN_QUANTIZE_AWQ_H
#include "quant/calibration.h"
#include "quant/grid.h"

typedef struct tn_awq_weight { /* one of the linears of a site */
  const float *w;              /* [rows, columns of the site] */
  int64_t rows;
} tn_awq_weight;

/* scales: [columns], the best found; all 1 where nothing is better.  `share` neighbouring runs of
 * `run` columns must get the same scales (heads that read one value head): 1 and anything: none. */
typedef struct tn_awq_sharing {
  int64_t run, share;
} tn_awq_sharing;
TN_NODISCARD tn_status tn_awq_search(float *scales, const tn_awq_weight *weights, int32_t count,
                                     const tn_site *site, const tn_grid *grid,
                                     tn_awq_sharing sharing, tn_stream *stream, tn_error *err);
/* Round to nearest with the range of every group searched for (range_search.h) by its block of H.
 */
TN_NODISCARD tn_status tn_awq_round(tn_grid_matrix *m, const float *w, const float *gram,
                                    tn_pool *pool, tn_error *err);
#endif

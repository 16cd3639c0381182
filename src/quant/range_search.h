/* range_search.h - the range of a group of weights: its own, or a narrower one where that loses
 * less.
 *
 * A narrower range clips the outermost weights and rounds all others finer.  The error is that of
 * the layer's output over the calibration inputs, d^T H d for the differences d of a group and its
 * block of H = X^T X, or sum h d^2 where only the diagonal counts.  Ranges from the whole one down
 * to half are tried (AWQ, Lin et al. 2023, arXiv:2306.00978, its clipping search; H in place of a
 * sample of inputs counts all of them).
 *
 * Thread: pure functions. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_QUANT_RANGE_SEARCH_H
#define TN_QUANT_RANGE_SEARCH_H
#include "quant/grid.h"

tn_grid_scale tn_range_search_diagonal(const tn_grid *g, const float *w, const float *h,
                                       int64_t count);
/* h: the group's block inside H, whose rows are `stride` apart; scratch: [count]. */
tn_grid_scale tn_range_search_block(const tn_grid *g, const float *w, const float *h,
                                    int64_t stride, int64_t count, float *scratch);
#endif

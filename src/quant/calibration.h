/* calibration.h - what goes into every linear of a layer when the model reads real text.
 *
 *     hidden states of all samples -> layer 0 -> hidden states -> layer 1 -> ...
 *                                       |
 *                                     sites: q k v | o | gate up | down
 *
 * A site is a tensor that one or several linears of a layer read.  The samples go through the
 * model's own serving pass, one layer at a time, so that a layer is measured with the quantized
 * layers before it; memory is that of the hidden states and of one layer's statistics.
 *
 * With a reference the same samples also go through the layers as they were: a site is then known
 * both as it is and as the model meant it, and what the quantized layers before did to it.
 *
 * Thread: one owner; the pool works inside its calls. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_QUANT_CALIBRATION_H
#define TN_QUANT_CALIBRATION_H
#include "base/progress.h"
#include "model/transformer.h"

enum { TN_SITE_WEIGHTS_MAX = 8 };

typedef struct tn_site {
  int64_t weights[TN_SITE_WEIGHTS_MAX]; /* places in tn_model_parameters */
  int32_t weight_count;
  int64_t columns, rows; /* rows seen */
  float *gram;           /* X^T X, [columns, columns]; NULL where nobody wants it */
  float *drift;          /* (X' - X)^T X, [columns, columns], X' of the reference; or NULL */
  float *residual_drift; /* (S' - S)^T X, [hidden size, columns], S the residual stream; or NULL */
  double *abs_sum;       /* of |x|, [columns] */
  float *abs_max;        /* [columns] */
} tn_site;

typedef struct tn_calibration tn_calibration;
/* `samples` sequences of `tokens` tokens, one behind the other in ids (copied). */
TN_NODISCARD tn_status tn_calibration_new(tn_calibration **out, tn_model *model, tn_pool *pool,
                                          const int32_t *ids, int64_t samples, int64_t tokens,
                                          tn_error *err);
void tn_calibration_free(tn_calibration *c);
int64_t tn_calibration_samples(const tn_calibration *c);
/* Called after each sample of the calls below: progress. */
typedef tn_status (*tn_calibration_step)(void *context, tn_error *err);
/* Runs the layer over all samples and measures its sites; hidden states stay as they are.  gram:
 * X^T X is wanted.  Of a mixture of experts only those have a site that a token was sent to.
 * only_weight: the site of this weight alone (sites before it cost nothing), -1:
 * all. The sites are valid until the next call. */
TN_NODISCARD tn_status tn_calibration_measure(tn_calibration *c, int64_t layer, bool gram,
                                              int64_t only_weight, tn_calibration_step step,
                                              void *context, const tn_site **sites, int32_t *count,
                                              tn_error *err);

/* ---- the reference ---- */

/* The hidden states as they are now begin a second set, which takes as much memory again. */
TN_NODISCARD tn_status tn_calibration_keep_reference(tn_calibration *c, tn_error *err);
/* Puts the layer's weights as they were into the model, or those that they have become. */
typedef void (*tn_calibration_use)(void *context, bool as_they_were);
/* The site of one weight as it is and as it was: gram, drift, and residual_drift where that is
 * wanted (tn_forward_residual says of which linears it makes sense).  NULL: nothing reads with that
 * weight.  Leaves the weights that they have become in the model. */
TN_NODISCARD tn_status tn_calibration_compare(tn_calibration *c, int64_t layer, int64_t weight,
                                              bool residual, tn_calibration_use use,
                                              tn_calibration_step step, void *context,
                                              const tn_site **site, tn_error *err);
/* The reference goes through the layer, whose weights as they were are in the model. */
TN_NODISCARD tn_status tn_calibration_advance_reference(tn_calibration *c, int64_t layer,
                                                        tn_calibration_step step, void *context,
                                                        tn_error *err);

/* The hidden states go through the layer, with the model's parameters as they are now.  k_max and
 * v_max (may be NULL): the largest absolute key and value that the layer stored. */
TN_NODISCARD tn_status tn_calibration_advance(tn_calibration *c, int64_t layer, float *k_max,
                                              float *v_max, tn_calibration_step step, void *context,
                                              tn_error *err);
#endif

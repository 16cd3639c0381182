/* activations.h - inputs of linears as a model with quantized activations sees them: every row
 * rounded to int8 or float8 with a scale of its own (its largest absolute value), and back.
 *
 * Put in front of the linears of a serving pass (tn_forward_set_watch), it gives the logits that
 * such a model has when weights and inputs are multiplied exactly.
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_QUANT_ACTIVATIONS_H
#define TN_QUANT_ACTIVATIONS_H
#include "quant/quantize.h"

typedef struct tn_activations {  /* zero and set `quantized` and `is_float`; clear frees */
  const tn_quantized *quantized; /* only inputs of its quantized linears are rounded */
  bool is_float;                 /* float8 e4m3, else int8 */
  tn_buffer *buffer;
} tn_activations;
void tn_activations_clear(tn_activations *a);
/* A tn_forward_watch; context: a tn_activations. */
TN_NODISCARD tn_status tn_activations_round(void *context, int64_t weight, tn_tensor *x,
                                            tn_error *err);
#endif

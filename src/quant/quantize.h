/* quantize.h - a model's linears onto a grid, layer by layer, with the model's own inputs.
 *
 *     layer 0: weights as float32 -> measure inputs -> scale, round -> hidden states go on
 *     layer 1: ...
 *
 * What a layer is measured with has gone through the quantized layers before it.  At the end the
 * model computes with the quantized weights (held as float32 until the result is freed), so that
 * its perplexity can be taken; the result holds codes and scales for the file.
 *
 *     rtn    round to nearest, each group's own range; needs no calibration
 *     awq    scales moved between inputs and weights, ranges searched (awq.h)
 *     gptq   errors made up for by later columns, and by later layers (gptq.h)
 *     smooth before rtn or gptq: large inputs made smaller, their columns larger, for quantized
 *            activations (SmoothQuant, Xiao et al. 2022, arXiv:2211.10438, equation 4)
 *
 * Thread: one owner; the pool works inside the call. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_QUANT_QUANTIZE_H
#define TN_QUANT_QUANTIZE_H
#include "base/progress.h"
#include "model/transformer.h"
#include "model/weight_source.h"
#include "quant/gptq.h"
#include "quant/grid.h"

typedef struct tn_unfinished tn_unfinished;

typedef enum tn_quantize_method {
  TN_QUANTIZE_RTN,
  TN_QUANTIZE_AWQ,
  TN_QUANTIZE_GPTQ
} tn_quantize_method;

typedef struct tn_quantize_options {
  tn_grid grid; /* scale_dtype counts only with half_scales: else each weight's own type holds */
  tn_quantize_method method;
  bool smooth;
  double smooth_strength; /* 0 to 1; 0: 0.5 */
  tn_gptq_options gptq;
  bool aim;         /* gptq: at what the model computed before it was quantized (tn_gptq_aim) */
  bool half_scales; /* scales as float16, whatever the weights' type: for GGUF */
  bool kv_scales;   /* measure the largest keys and values */
  const char *const *ignore; /* linears whose names contain one of these are left alone */
  int32_t ignore_count;
  /* Where layers are kept as soon as they are done, and those that are done already are taken from
   * (unfinished.h; opened for the same run); NULL: nowhere. */
  tn_unfinished *unfinished;
} tn_quantize_options;

typedef struct tn_quantized_tensor {
  bool is_quantized, is_changed; /* one of the two, or as in the file */
  tn_dtype file_dtype;           /* when either */
  tn_grid_matrix matrix;         /* is_quantized */
  tn_buffer *values;             /* float32: of the matrix, or of what is_changed */
} tn_quantized_tensor;

typedef struct tn_quantized { /* all zero is a valid empty result */
  tn_model *model;
  tn_quantized_tensor *tensors; /* as tn_model_parameters */
  int64_t count;
  int64_t quantized;         /* tensors that are */
  float *k_max, *v_max;      /* a layer; NULL without kv_scales */
  const char *const *ignore; /* the caller's options: names of what stays as it is */
  int32_t ignore_count;
} tn_quantized;

typedef struct tn_calibration_text { /* samples of `tokens` tokens; samples 0: none */
  const int32_t *ids;
  int64_t samples, tokens;
} tn_calibration_text;

/* TN_ERR_UNSUPPORTED: a layer none of whose linears are known by name, columns that are no multiple
 * of the group, AWQ where nothing can take the scales; the tensor is named.  A layer whose linears
 * are all ignored stays as it is; TN_ERR_ARGUMENT where none is left in any. */
TN_NODISCARD tn_status tn_quantize(tn_quantized *out, tn_model *model, tn_weight_source *source,
                                   const tn_calibration_text *text,
                                   const tn_quantize_options *options, tn_pool *pool,
                                   tn_progress *progress, tn_error *err);
/* The model must be gone, or not used any more. */
void tn_quantized_clear(tn_quantized *q);
#endif

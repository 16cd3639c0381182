/* compressed.h - a quantized model as a folder in the compressed-tensors form, which transformers
 * and vLLM load (https://github.com/vllm-project/compressed-tensors).
 *
 *     config.json         the model's own, with quantization_config
 *     model.safetensors   linears as below, the rest as in the source or as changed
 *     tokenizer.json ...  copied
 *
 *     format            weights                        tensors of a linear
 *     pack-quantized    int4, int8                     weight_packed int32, low bits first, code +
 *                                                      half the range; weight_scale; weight_shape;
 *                                                      weight_zero_point packed along rows
 *     int-quantized     int8 with int8 activations     weight int8, weight_scale
 *     float-quantized   float8                         weight float8_e4m3, weight_scale
 *
 * Thread: one caller. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_QUANT_COMPRESSED_H
#define TN_QUANT_COMPRESSED_H
#include "quant/quantize.h"

typedef struct tn_compressed_options {
  const tn_quantize_options *quantize;
  bool activations;    /* inputs are quantized too, a scale a token, when the model runs */
  bool kv_is_float;    /* of kv_scales: float8, else int8 */
  const char *version; /* who wrote it */
} tn_compressed_options;

/* Writes into `folder`, which exists.  source_folder: where config.json and the tokenizer are. */
TN_NODISCARD tn_status tn_compressed_write(const char *folder, const tn_quantized *q,
                                           tn_weight_source *source, const char *source_folder,
                                           const tn_compressed_options *options, tn_error *err);
/* What transformers 5.23 cannot read of such a folder, with or without dequantize=True; NULL: it
 * reads it.  It unpacks experts by themselves: symmetric packed ones, and float8 with a scale a
 * row.
 */
const char *tn_compressed_unread(const tn_model_config *config,
                                 const tn_compressed_options *options);
#endif

/* gguf_export.h - a model, quantized or not, as one GGUF file for llama.cpp and those like it.
 *
 *     weights                          types in the file
 *     quantized int4, symmetric        q4_0, with zero points q4_1; embedding and head q8_0
 *     quantized int8, symmetric        q8_0
 *     ignored beside quantized ones    float32, float16 or bfloat16 as in the source, embedding and
 *                                      head too where they are named
 *     as they are                      float32, float16 or bfloat16
 *     Q4_K                             q4_k; q6_k for the head and, in half of the layers, for
 *                                      v and down, as llama.cpp's Q4_K_M has it
 *     Q6_K                             q6_k
 *
 * The last two are rounded to nearest (k_quant.h); rows that are no multiple of 256 become q8_0.
 *
 * Vectors are float32.  Groups are of 32 and scales are rounded to float16 (tn_quantize_options:
 * scale_dtype), so codes and scales go over as they are.  Llama, Mistral, Qwen 2 and Qwen 3.
 *
 * Thread: one caller. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_QUANT_GGUF_EXPORT_H
#define TN_QUANT_GGUF_EXPORT_H
#include "quant/quantize.h"

/* Before any work: TN_ERR_UNSUPPORTED names what such a file cannot say of this model. */
TN_NODISCARD tn_status tn_gguf_export_check(const tn_model *model, tn_error *err);
/* q: an empty result (of no tensors) means the model as it is.  plain: the type of matrices that
 * are not quantized when nothing is: F32, F16, BF16, Q4_K or Q6_K.  folder: of the tokenizer.
 * pool and progress (in tensors) may be NULL; the bytes are the same with any number of threads. */
TN_NODISCARD tn_status tn_gguf_export(const char *path, const tn_model *model,
                                      const tn_quantized *q, tn_dtype plain,
                                      tn_weight_source *source, const char *folder, tn_pool *pool,
                                      tn_progress *progress, tn_error *err);
#endif

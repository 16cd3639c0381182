/* kv_cache.h - keys and values of many sequences in blocks of tokens, and the type they are held
 * in.
 *
 *     buffer:  scales of all layers (coded types only) | k of layer 0 | v of layer 0 | k of layer 1
 * ...
 *
 * float32, float16 and bfloat16 hold what the layers computed, rounded.  int8 and float8_e4m3 hold
 * codes beside a float32 scale for each token and head, taken from that token's own largest value:
 * nothing has to be calibrated, and what one token stores never depends on another.  In every type
 * a row's logits are the same bits alone and in any batch.
 *
 * Thread: the owner of the serving pass. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_KV_CACHE_H
#define TN_MODEL_KV_CACHE_H
#include "model/config.h"
#include "tensor/tensor.h"

typedef struct tn_model tn_model;

typedef struct tn_kv_cache { /* one pair of tensors a layer, as kv_write of ops.def has them */
  tn_dtype dtype;
  tn_tensor *k, *v;             /* k [blocks, kv_heads, head_dim, block_tokens],
                                 * v [blocks, kv_heads, block_tokens, head_dim] */
  tn_tensor *k_scale, *v_scale; /* [blocks, kv_heads, block_tokens]; no buffer unless coded */
  int64_t layers, blocks, block_tokens;
  tn_buffer *buffer;
} tn_kv_cache;

/* `dtype`: F32, F16, BF16, I8 or F8_E4M3. */
TN_NODISCARD tn_status tn_kv_cache_new(tn_kv_cache **out, const tn_model *model, tn_dtype dtype,
                                       int64_t blocks, int64_t block_tokens, tn_error *err);
void tn_kv_cache_free(tn_kv_cache *kv);
/* Keys, values and scales of all layers for one block (an encoder's layers use one after another
 * the same memory); -1 when that overflows. */
int64_t tn_kv_cache_block_bytes(const tn_model_config *config, tn_dtype dtype,
                                int64_t block_tokens);

#define TN_KV_WORDS "auto, f32, f16, bf16, int8 or fp8"
/* What the model's file asks for (kv_cache_scheme of compressed-tensors), else float16: half the
 * bytes of float32 and eight times as fine as bfloat16.  model NULL: float16. */
tn_dtype tn_kv_dtype_auto(const tn_model *model);
/* The type for a word that a user wrote.  TN_ERR_ARGUMENT names those there are. */
TN_NODISCARD tn_status tn_kv_dtype_of_word(tn_dtype *out, const tn_model *model, const char *word,
                                           tn_error *err);
const char *tn_kv_dtype_word(tn_dtype dtype); /* "int8" */

#endif

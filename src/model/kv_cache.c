/* SPDX-License-Identifier: Apache-2.0 */
#include "model/kv_cache.h"

#include <inttypes.h>

#include "model/weights.h"

/* ---- types ---- */

static const struct {
  const char *word;
  tn_dtype dtype;
} words[] = {
    {"f32", TN_F32}, {"f16", TN_F16}, {"bf16", TN_BF16}, {"int8", TN_I8}, {"fp8", TN_F8_E4M3}};
enum { WORDS = sizeof words / sizeof *words };

tn_dtype tn_kv_dtype_auto(const tn_model *model) {
  return model && model->kv_dtype != TN_F32 ? model->kv_dtype : TN_F16;
}

tn_status tn_kv_dtype_of_word(tn_dtype *out, const tn_model *model, const char *word,
                              tn_error *err) {
  if (strcmp(word, "auto") == 0) {
    *out = tn_kv_dtype_auto(model);
    return TN_OK;
  }
  for (int32_t i = 0; i < WORDS; i++) {
    if (strcmp(word, words[i].word) != 0) continue;
    *out = words[i].dtype;
    return TN_OK;
  }
  return tn_fail(err, TN_ERR_ARGUMENT, "KV cache of type %s: must be " TN_KV_WORDS, word);
}

const char *tn_kv_dtype_word(tn_dtype dtype) {
  for (int32_t i = 0; i < WORDS; i++)
    if (words[i].dtype == dtype) return words[i].word;
  return tn_dtype_name(dtype);
}

/* ---- sizes ---- */

/* An encoder looks at a layer's keys and values only while that layer runs. */
static int64_t layers_held(const tn_model_config *c) {
  return c->encoder ? 1 : c->layers;
}

static int64_t product(const int64_t *factors, size_t count) {
  int64_t bytes = 1;
  for (size_t i = 0; i < count; i++)
    if (__builtin_mul_overflow(bytes, factors[i], &bytes)) return -1;
  return bytes;
}

/* Of one block, all layers, keys and values together. */
static int64_t scale_bytes(const tn_model_config *c, tn_dtype dtype, int64_t block_tokens) {
  const int64_t factors[] = {2, layers_held(c), c->kv_heads, block_tokens, (int64_t)sizeof(float)};
  return tn_dtype_is_real(dtype) ? 0 : product(factors, sizeof factors / sizeof *factors);
}

int64_t tn_kv_cache_block_bytes(const tn_model_config *config, tn_dtype dtype,
                                int64_t block_tokens) {
  const int64_t factors[] = {2,
                             layers_held(config),
                             config->kv_heads,
                             config->head_dim,
                             block_tokens,
                             tn_dtype_bytes(dtype)};
  int64_t scales = scale_bytes(config, dtype, block_tokens);
  int64_t bytes = product(factors, sizeof factors / sizeof *factors);
  if (scales < 0 || bytes < 0 || __builtin_add_overflow(bytes, scales, &bytes)) return -1;
  return bytes;
}

/* Slots are numbered in int32 by the ops. */
static tn_status check_size(const tn_model_config *c, const tn_kv_cache *kv, int64_t *bytes,
                            tn_error *err) {
  int64_t slots;
  if (kv->blocks < 1 || kv->block_tokens < 1)
    return tn_fail(err, TN_ERR_ARGUMENT, "KV cache: %" PRId64 " blocks of %" PRId64 " tokens",
                   kv->blocks, kv->block_tokens);
  if (__builtin_mul_overflow(kv->blocks, kv->block_tokens, &slots) || slots > INT32_MAX)
    return tn_fail(err, TN_ERR_LIMIT,
                   "KV cache: %" PRId64 " blocks of %" PRId64 " tokens, limit %d tokens in all",
                   kv->blocks, kv->block_tokens, INT32_MAX);
  int64_t block_bytes = tn_kv_cache_block_bytes(c, kv->dtype, kv->block_tokens);
  if (block_bytes < 0 || __builtin_mul_overflow(block_bytes, kv->blocks, bytes))
    return tn_fail(err, TN_ERR_LIMIT, "KV cache: %" PRId64 " blocks overflow 63 bits of bytes",
                   kv->blocks);
  return TN_OK;
}

/* ---- life ---- */

static tn_status view_scales(tn_kv_cache *kv, const tn_model_config *c, tn_error *err) {
  const int64_t shape[3] = {kv->blocks, c->kv_heads, kv->block_tokens};
  int64_t one = kv->blocks * c->kv_heads * kv->block_tokens * (int64_t)sizeof(float);
  for (int64_t i = 0; i < c->layers; i++) {
    int64_t at = c->encoder ? 0 : 2 * i * one;
    TN_TRY(tn_tensor_view(&kv->k_scale[i], kv->buffer, at, TN_F32, 3, shape, err));
    TN_TRY(tn_tensor_view(&kv->v_scale[i], kv->buffer, at + one, TN_F32, 3, shape, err));
  }
  return TN_OK;
}

static tn_status view_values(tn_kv_cache *kv, const tn_model_config *c, int64_t bytes,
                             tn_error *err) {
  const int64_t k_shape[4] = {kv->blocks, c->kv_heads, c->head_dim, kv->block_tokens};
  const int64_t v_shape[4] = {kv->blocks, c->kv_heads, kv->block_tokens, c->head_dim};
  int64_t first = kv->blocks * scale_bytes(c, kv->dtype, kv->block_tokens);
  int64_t one = (bytes - first) / (2 * layers_held(c));
  for (int64_t i = 0; i < c->layers; i++) {
    int64_t at = c->encoder ? first : first + 2 * i * one;
    TN_TRY(tn_tensor_view(&kv->k[i], kv->buffer, at, kv->dtype, 4, k_shape, err));
    TN_TRY(tn_tensor_view(&kv->v[i], kv->buffer, at + one, kv->dtype, 4, v_shape, err));
  }
  return TN_OK;
}

static tn_status allocate(tn_kv_cache *kv, const tn_model *model, int64_t bytes, tn_error *err) {
  size_t layers = (size_t)model->config.layers;
  kv->k = tn_alloc(layers, sizeof *kv->k);
  kv->v = tn_alloc(layers, sizeof *kv->v);
  kv->k_scale = tn_alloc(layers, sizeof *kv->k_scale);
  kv->v_scale = tn_alloc(layers, sizeof *kv->v_scale);
  if (!kv->k || !kv->v || !kv->k_scale || !kv->v_scale)
    return tn_fail_memory(err, "a KV cache", 4 * layers * sizeof *kv->k);
  tn_status status = tn_device_buffer_new(model->device, &kv->buffer, (size_t)bytes, err);
  if (status != TN_OK)
    return tn_error_context(err, status, "a KV cache of %" PRId64 " blocks", kv->blocks);
  if (!tn_dtype_is_real(kv->dtype)) TN_TRY(view_scales(kv, &model->config, err));
  return view_values(kv, &model->config, bytes, err);
}

static bool is_kv_dtype(tn_dtype dtype) {
  for (int32_t i = 0; i < WORDS; i++)
    if (words[i].dtype == dtype) return true;
  return false;
}

tn_status tn_kv_cache_new(tn_kv_cache **out, const tn_model *model, tn_dtype dtype, int64_t blocks,
                          int64_t block_tokens, tn_error *err) {
  int64_t bytes = 0;
  if (!is_kv_dtype(dtype))
    return tn_fail(err, TN_ERR_ARGUMENT, "KV cache of type %s: no such cache",
                   tn_dtype_name(dtype));
  tn_kv_cache *kv = tn_alloc(1, sizeof *kv);
  if (!kv) return tn_fail_memory(err, "a KV cache", sizeof *kv);
  kv->dtype = dtype;
  kv->layers = model->config.layers;
  kv->blocks = blocks;
  kv->block_tokens = block_tokens;
  tn_status status = check_size(&model->config, kv, &bytes, err);
  if (status == TN_OK) status = allocate(kv, model, bytes, err);
  if (status != TN_OK) {
    tn_kv_cache_free(kv);
    return status;
  }
  *out = kv;
  return TN_OK;
}

void tn_kv_cache_free(tn_kv_cache *kv) {
  if (!kv) return;
  tn_free(kv->k);
  tn_free(kv->v);
  tn_free(kv->k_scale);
  tn_free(kv->v_scale);
  tn_buffer_drop(kv->buffer);
  tn_free(kv);
}

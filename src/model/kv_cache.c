/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "model/weights.h"

/* An encoder looks at a layer's keys and values only while that layer runs. */
static int64_t layers_held(const tn_model_config *c) {
  return c->encoder ? 1 : c->layers;
}

int64_t tn_kv_cache_block_bytes(const tn_model_config *config, int64_t block_tokens) {
  const int64_t factors[] = {2, layers_held(config), config->kv_heads, config->head_dim,
                             (int64_t)sizeof(float)};
  int64_t bytes = block_tokens;
  for (size_t i = 0; i < sizeof factors / sizeof *factors; i++)
    if (__builtin_mul_overflow(bytes, factors[i], &bytes)) return -1;
  return bytes;
}

/* Slots are numbered in int32 by the ops. */
static tn_status check_size(const tn_model_config *c, int64_t blocks, int64_t block_tokens,
                            int64_t *bytes, tn_error *err) {
  int64_t slots;
  if (blocks < 1 || block_tokens < 1)
    return tn_fail(err, TN_ERR_ARGUMENT, "KV cache: %" PRId64 " blocks of %" PRId64 " tokens",
                   blocks, block_tokens);
  if (__builtin_mul_overflow(blocks, block_tokens, &slots) || slots > INT32_MAX)
    return tn_fail(err, TN_ERR_LIMIT,
                   "KV cache: %" PRId64 " blocks of %" PRId64 " tokens, limit %d tokens in all",
                   blocks, block_tokens, INT32_MAX);
  int64_t block_bytes = tn_kv_cache_block_bytes(c, block_tokens);
  if (block_bytes < 0 || __builtin_mul_overflow(block_bytes, blocks, bytes))
    return tn_fail(err, TN_ERR_LIMIT, "KV cache: %" PRId64 " blocks overflow 63 bits of bytes",
                   blocks);
  return TN_OK;
}

static tn_status allocate(tn_kv_cache *kv, const tn_model *model, int64_t bytes, tn_error *err) {
  const tn_model_config *c = &model->config;
  const int64_t k_shape[4] = {kv->blocks, c->kv_heads, c->head_dim, kv->block_tokens};
  const int64_t v_shape[4] = {kv->blocks, c->kv_heads, kv->block_tokens, c->head_dim};
  int64_t one = bytes / (2 * layers_held(c));
  kv->k = tn_alloc((size_t)c->layers, sizeof *kv->k);
  kv->v = tn_alloc((size_t)c->layers, sizeof *kv->v);
  if (!kv->k || !kv->v)
    return tn_fail_memory(err, "a KV cache", 2 * (size_t)c->layers * sizeof *kv->k);
  tn_status status = tn_device_buffer_new(model->device, &kv->buffer, (size_t)bytes, err);
  if (status != TN_OK)
    return tn_error_context(err, status, "a KV cache of %" PRId64 " blocks", kv->blocks);
  for (int64_t i = 0; i < c->layers; i++) {
    int64_t at = c->encoder ? 0 : 2 * i * one;
    TN_TRY(tn_tensor_view(&kv->k[i], kv->buffer, at, TN_F32, 4, k_shape, err));
    TN_TRY(tn_tensor_view(&kv->v[i], kv->buffer, at + one, TN_F32, 4, v_shape, err));
  }
  return TN_OK;
}

tn_status tn_kv_cache_new(tn_kv_cache **out, const tn_model *model, int64_t blocks,
                          int64_t block_tokens, tn_error *err) {
  int64_t bytes = 0;
  TN_TRY(check_size(&model->config, blocks, block_tokens, &bytes, err));
  tn_kv_cache *kv = tn_alloc(1, sizeof *kv);
  if (!kv) return tn_fail_memory(err, "a KV cache", sizeof *kv);
  kv->layers = model->config.layers;
  kv->blocks = blocks;
  kv->block_tokens = block_tokens;
  tn_status status = allocate(kv, model, bytes, err);
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
  tn_buffer_drop(kv->buffer);
  tn_free(kv);
}

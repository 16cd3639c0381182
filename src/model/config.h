/* config.h - the shape of a model, read from and written to Hugging Face config.json. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_CONFIG_H
#define TN_MODEL_CONFIG_H
#include "base/str.h"
#include "base/json.h"

typedef struct tn_model_config {
  int64_t vocab_size;
  int64_t hidden_size;
  int64_t intermediate_size;
  int64_t layers;
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;      /* 0: hidden_size / heads */
  int64_t positions_max; /* max_position_embeddings */
  double rope_theta;     /* 0: 10000 */
  double norm_eps;       /* 0: 1e-5 */
  bool tied;             /* the head is the embedding table */
  int64_t bos_id, eos_id; /* -1: none */
} tn_model_config;

/* Fills in the defaults and refuses impossible shapes, naming field, number and rule. */
TN_NODISCARD tn_status tn_model_config_check(tn_model_config *config, tn_error *err);
/* Architectures other than Llama, rope scaling, biases, quantization: TN_ERR_UNSUPPORTED. */
TN_NODISCARD tn_status tn_model_config_read(tn_model_config *out, const char *path, tn_error *err);
void tn_model_config_write(const tn_model_config *config, tn_strbuf *json);
int64_t tn_model_config_parameters(const tn_model_config *config);

#endif

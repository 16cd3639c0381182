/* config.h - the shape of a model, read from and written to Hugging Face config.json.
 *
 * Llama architecture only: whatever would change the arithmetic (another architecture, rope
 * scaling, biases, quantization) is refused by name, never ignored.  A config that
 * tn_model_config_check has passed has no impossible shape, and none of the sizes made from it
 * overflows int64.
 *
 * Thread: plain values and pure functions. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_CONFIG_H
#define TN_MODEL_CONFIG_H
#include "base/str.h"
#include "base/json.h"

#define TN_EOS_MORE_MAX 7

typedef struct tn_model_config {
  int64_t vocab_size;
  int64_t hidden_size;
  int64_t intermediate_size;
  int64_t layers;
  int64_t heads;
  int64_t kv_heads;                  /* 0: heads */
  int64_t head_dim;                  /* 0: hidden_size / heads */
  int64_t positions_max;             /* max_position_embeddings */
  double rope_theta;                 /* 0: 10000 */
  double norm_eps;                   /* 0: 1e-5 */
  bool tied;                         /* the head is the embedding table */
  int64_t bos_id, eos_id;            /* -1: none */
  int64_t eos_more[TN_EOS_MORE_MAX]; /* further end tokens, where the file has a list */
  int64_t eos_more_count;
} tn_model_config;

/* Fills in the defaults and refuses impossible shapes (TN_ERR_DATA), naming field, number and rule.
 */
TN_NODISCARD tn_status tn_model_config_check(tn_model_config *config, tn_error *err);
/* Architectures other than Llama, rope scaling, biases, quantization: TN_ERR_UNSUPPORTED.  An
 * unknown key is logged as a warning: the files of others carry many.  The result is checked. */
TN_NODISCARD tn_status tn_model_config_read(tn_model_config *out, const char *path, tn_error *err);
/* The same from text; `name` is for messages.  strict: an unknown key is TN_ERR_DATA, for files
 * that a person writes for a new model, where it is a slip of the pen. */
TN_NODISCARD tn_status tn_model_config_parse(tn_model_config *out, tn_str json, const char *name,
                                             bool strict, tn_error *err);
/* Appends config.json text that transformers loads.  dtype: "float32", "bfloat16", NULL: left out.
 */
void tn_model_config_write_as(const tn_model_config *config, const char *dtype, tn_strbuf *json);
void tn_model_config_write(const tn_model_config *config, tn_strbuf *json);
int64_t tn_model_config_parameters(const tn_model_config *config); /* of a checked config */

#endif

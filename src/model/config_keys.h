/* config_keys.h - the keys of config.json in groups; an architecture reads and writes some of them.
 * Private to model/.
 *
 * A key is known when it is one of every model's, one of its architecture's sizes, or in one of its
 * groups.  A group reads what it knows into a config that holds the architecture's defaults. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_CONFIG_KEYS_H
#define TN_MODEL_CONFIG_KEYS_H
#include "model/architecture.h"

static inline bool tn_config_absent(const tn_json *value) {
  return !value || value->kind == TN_JSON_NULL;
}

TN_NODISCARD tn_status tn_config_read_groups(const tn_json *root, tn_model_config *config,
                                             tn_error *err);
void tn_config_write_groups(tn_json_writer *w, const tn_model_config *config);
bool tn_config_knows_key(const tn_architecture *a, tn_str key);

/* A number that stays a real number in JSON ("3.0"): transformers is strict about it. */
void tn_config_write_f64(tn_json_writer *w, const char *key, double value);

TN_NODISCARD tn_status tn_config_read_rotary(const tn_json *root, tn_model_config *config,
                                             tn_error *err); /* config_rope.c */
void tn_config_write_rotary(tn_json_writer *w, const tn_model_config *config);

#endif

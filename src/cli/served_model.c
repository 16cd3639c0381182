/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/served_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/model_path.h"

void tn_served_model_clear(tn_served_model *s) {
  tn_chat_template_free(s->chat_template);
  tn_tokenizer_free(s->tokenizer);
  tn_model_free(s->model);
  free(s->folder);
  *s = (tn_served_model){0};
}

static void add_eos(tn_served_model *s, int64_t id) {
  if (id < 0 || id > INT32_MAX || s->eos_count == TN_SERVED_EOS_MAX) return;
  for (int32_t i = 0; i < s->eos_count; i++) {
    if (s->eos_ids[i] == id) return;
  }
  s->eos_ids[s->eos_count++] = (int32_t)id;
}

static void find_ends(tn_served_model *s) {
  const tn_model_config *config = tn_model_config_of(s->model);
  add_eos(s, config->eos_id);
  for (int64_t i = 0; i < config->eos_more_count; i++) add_eos(s, config->eos_more[i]);
  if (s->eos_count == 0) add_eos(s, tn_tokenizer_eos(s->tokenizer, s->folder));
  s->start_id = config->bos_id >= 0 ? (int32_t)config->bos_id
                : s->eos_count > 0  ? s->eos_ids[0]
                                    : -1;
}

static tn_status resolve(tn_served_model *s, const char *word, const char *name, tn_error *err) {
  tn_strbuf folder = {0};
  tn_status status = tn_model_path(word, &folder, err);
  if (status == TN_OK) {
    s->folder = realpath(folder.data, NULL);
    char *named = realpath(word, NULL); /* "runs/austen", not the checkpoint inside */
    if (!s->folder || !named) status = tn_fail(err, TN_ERR_NOT_FOUND, "%s: no such folder", word);
    const char *slash = named ? strrchr(named, '/') : NULL;
    if (!name) name = slash && slash[1] ? slash + 1 : "model";
    snprintf(s->name, sizeof s->name, "%s", name);
    free(named);
  }
  tn_strbuf_clear(&folder);
  return status;
}

tn_status tn_served_model_open(tn_served_model *s, const char *word, const char *name,
                               const tn_model_options *options, tn_error *err) {
  TN_TRY(resolve(s, word, name, err));
  TN_TRY(tn_model_open_with(&s->model, s->folder, tn_device_cpu(), options, err));
  TN_TRY(tn_tokenizer_open(&s->tokenizer, s->folder, err));
  TN_TRY(tn_chat_template_open(&s->chat_template, s->folder, err));
  find_ends(s);
  return TN_OK;
}

const char *tn_served_model_hint(const tn_error *err) {
  if (strstr(err->text, "KV memory")) return "give it more: --kv-memory 1GiB";
  return tn_model_hint(err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/text_model.h"

#include "cli/model_path.h"
#include "eval/corpus_ids.h"

/* What the tokenizer names may be above what the model knows. */
static int32_t find_eos(const tn_text_model *m, const tn_model_config *c) {
  if (c->eos_id >= 0 && c->eos_id < c->vocab_size) return (int32_t)c->eos_id;
  int32_t id = tn_tokenizer_eos(m->tokenizer, m->folder.data);
  return id < c->vocab_size ? id : -1;
}

tn_status tn_text_model_open(tn_text_model *out, const char *word, tn_error *err) {
  *out = (tn_text_model){.bos_id = -1, .eos_id = -1};
  TN_TRY(tn_model_path(word, &out->folder, err));
  TN_TRY(tn_model_open(&out->model, out->folder.data, tn_device_cpu(), err));
  TN_TRY(tn_tokenizer_open(&out->tokenizer, out->folder.data, err));
  const tn_model_config *c = tn_model_config_of(out->model);
  if (c->bos_id >= 0 && c->bos_id < c->vocab_size) out->bos_id = (int32_t)c->bos_id;
  out->eos_id = find_eos(out, c);
  return TN_OK;
}

void tn_text_model_clear(tn_text_model *m) {
  tn_tokenizer_free(m->tokenizer);
  tn_model_free(m->model);
  tn_strbuf_clear(&m->folder);
  *m = (tn_text_model){0};
}

tn_status tn_text_model_ids(const tn_text_model *m, tn_ids *ids, const tn_option_list *paths,
                            const char *column, int64_t tokens_max, tn_progress *progress,
                            tn_error *err) {
  const tn_corpus_ids_options options = {.column = column,
                                         .tokens_max = tokens_max,
                                         .vocab_size = tn_model_config_of(m->model)->vocab_size,
                                         .eos_id = m->eos_id};
  return tn_corpus_ids_read(ids, m->tokenizer, paths->items, paths->count, &options, progress, err);
}

bool tn_text_has_table(const tn_option_list *paths) {
  for (int32_t i = 0; i < paths->count; i++)
    if (!tn_str_ends(tn_str_of(paths->items[i]), TN_STR(".txt"))) return true;
  return false;
}

const char *tn_text_model_hint(const tn_error *err) {
  if (strstr(err->text, "no column")) return "--column NAME says which column holds the text";
  return tn_model_hint(err);
}

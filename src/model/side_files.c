/* SPDX-License-Identifier: Apache-2.0 */
#include "model/side_files.h"

#include <string.h>

#include "base/io.h"

enum { SIDE_FILE_BYTES_MAX = 512 << 20 };

static const char *const names[] = {
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
    "LICENSE",
    "LICENSE.txt",
    "LICENSE.md",
    "NOTICE",
    "USE_POLICY.md",
};

static tn_status make_parent(char *path, const char *name, tn_error *err) {
  if (!strchr(name, '/')) return TN_OK;
  char *slash = strrchr(path, '/');
  *slash = '\0';
  tn_status status = tn_dir_make(path, err);
  *slash = '/';
  return status;
}

static tn_status copy_file(const char *from, const char *to, const char *name, int32_t *count,
                           tn_error *err) {
  tn_strbuf source = {0}, target = {0}, content = {0};
  tn_strbuf_addf(&source, "%s/%s", from, name);
  tn_strbuf_addf(&target, "%s/%s", to, name);
  tn_status status = tn_strbuf_check(&source, err);
  if (status == TN_OK) status = tn_strbuf_check(&target, err);
  if (status == TN_OK && tn_file_exists(source.data)) {
    status = make_parent(target.data, name, err);
    if (status == TN_OK) status = tn_file_read(source.data, SIDE_FILE_BYTES_MAX, &content, err);
    if (status == TN_OK) status = tn_file_write_atomic(target.data, tn_strbuf_view(&content), err);
    if (status == TN_OK) ++*count;
  }
  tn_strbuf_clear(&source);
  tn_strbuf_clear(&target);
  tn_strbuf_clear(&content);
  return status;
}

tn_status tn_side_files_copy(const char *from, const char *to, int32_t *count, tn_error *err) {
  int32_t copied = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    TN_TRY(copy_file(from, to, names[i], &copied, err));
  if (count) *count = copied;
  return TN_OK;
}

bool tn_side_files_know(tn_str name) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    tn_str rest = tn_str_of(names[i]);
    if (tn_str_equal(tn_str_cut(&rest, '/'), name)) return true;
  }
  return false;
}

/* tokenizer_write.c - the files around a tokenizer: its JSON, and what transformers wants beside
 * it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_write.h"

#include "model/tokenizer_alphabet.h"
#include "model/tokenizer_internal.h"

/* ---- tokenizer.json
 * -------------------------------------------------------------------------------------- */
static void write_byte_level(tn_json_writer *w, const char *key) {
  tn_json_key(w, key);
  tn_json_begin_object(w);
  tn_json_key(w, "type");
  tn_json_cstr(w, "ByteLevel");
  tn_json_key(w, "add_prefix_space");
  tn_json_bool(w, false);
  tn_json_key(w, "trim_offsets");
  tn_json_bool(w, true);
  tn_json_key(w, "use_regex");
  tn_json_bool(w, true);
  tn_json_end_object(w);
}

static void write_special(tn_json_writer *w, int64_t id, tn_str content) {
  static const char *const flags[] = {"single_word", "lstrip", "rstrip", "normalized"};
  tn_json_begin_object(w);
  tn_json_key(w, "id");
  tn_json_i64(w, id);
  tn_json_key(w, "content");
  tn_json_str(w, content);
  for (int i = 0; i < 4; i++) {
    tn_json_key(w, flags[i]);
    tn_json_bool(w, false);
  }
  tn_json_key(w, "special");
  tn_json_bool(w, true);
  tn_json_end_object(w);
}

static void write_model_options(tn_json_writer *w) {
  static const char *const absent[] = {"dropout", "unk_token", "continuing_subword_prefix",
                                       "end_of_word_suffix"};
  static const char *const off[] = {"fuse_unk", "byte_fallback", "ignore_merges"};
  tn_json_key(w, "type");
  tn_json_cstr(w, "BPE");
  for (int i = 0; i < 4; i++) {
    tn_json_key(w, absent[i]);
    tn_json_null(w);
  }
  for (int i = 0; i < 3; i++) {
    tn_json_key(w, off[i]);
    tn_json_bool(w, false);
  }
}

/* The spelled form of one token; valid until the next call. */
static tn_str spelled(const tn_tokenizer_plan *plan, int64_t id, tn_strbuf *buf) {
  if (id < plan->special_count) return plan->tokens[id];
  tn_strbuf_reset(buf);
  tn_alphabet_write(plan->tokens[id], buf);
  return tn_strbuf_view(buf);
}

static void write_model(tn_json_writer *w, const tn_tokenizer_plan *plan, tn_strbuf *buf) {
  tn_json_key(w, "model");
  tn_json_begin_object(w);
  write_model_options(w);
  tn_json_key(w, "vocab");
  tn_json_begin_object(w);
  for (int64_t id = 0; id < plan->token_count; id++) {
    tn_json_key_str(w, spelled(plan, id, buf));
    tn_json_i64(w, id);
  }
  tn_json_end_object(w);
  tn_json_key(w, "merges");
  tn_json_begin_array(w);
  for (int64_t i = 0; i < plan->merge_count; i++) {
    tn_strbuf_reset(buf); /* spelled tokens hold no space, so one parts them safely */
    tn_alphabet_write(plan->tokens[plan->merges[i].left], buf);
    tn_strbuf_add_char(buf, ' ');
    tn_alphabet_write(plan->tokens[plan->merges[i].right], buf);
    tn_json_str(w, tn_strbuf_view(buf));
  }
  tn_json_end_array(w);
  tn_json_end_object(w);
}

tn_status tn_tokenizer_write(const tn_tokenizer_plan *plan, tn_strbuf *out, tn_error *err) {
  tn_json_writer writer = {.out = out, .indent = 1}, *w = &writer;
  tn_strbuf buf = {0};
  tn_json_begin_object(w);
  tn_json_key(w, "version");
  tn_json_cstr(w, "1.0");
  static const char *const absent[] = {"truncation", "padding"};
  for (int i = 0; i < 2; i++) {
    tn_json_key(w, absent[i]);
    tn_json_null(w);
  }
  tn_json_key(w, "added_tokens");
  tn_json_begin_array(w);
  for (int64_t i = 0; i < plan->special_count; i++) write_special(w, i, plan->tokens[i]);
  tn_json_end_array(w);
  tn_json_key(w, "normalizer");
  tn_json_null(w);
  write_byte_level(w, "pre_tokenizer");
  tn_json_key(w, "post_processor");
  tn_json_null(w);
  write_byte_level(w, "decoder");
  write_model(w, plan, &buf);
  tn_json_end_object(w);
  tn_status status = tn_strbuf_check(&buf, err);
  tn_strbuf_clear(&buf);
  return status == TN_OK ? tn_strbuf_check(out, err) : status;
}

/* ---- tokenizer_config.json
 * ---------------------------------------------------------------------------------- */
tn_status tn_tokenizer_save_config(const tn_tokenizer *t, const char *path, tn_str eos,
                                   tn_error *err) {
  if (eos.length && tn_tokenizer_id(t, eos) < 0)
    return tn_fail(err, TN_ERR_ARGUMENT, "\"%.*s\" is not in the vocabulary", TN_STR_ARG(eos));
  tn_strbuf text = {0};
  tn_json_writer writer = {.out = &text, .indent = 2}, *w = &writer;
  tn_json_begin_object(w);
  tn_json_key(w, "tokenizer_class");
  tn_json_cstr(w, "PreTrainedTokenizerFast");
  tn_json_key(w, "clean_up_tokenization_spaces");
  tn_json_bool(w, false);
  if (eos.length) {
    tn_json_key(w, "eos_token");
    tn_json_str(w, eos);
  }
  tn_json_end_object(w);
  tn_strbuf_add_char(&text, '\n');
  tn_status status = tn_strbuf_check(&text, err);
  if (status == TN_OK) status = tn_file_write_atomic(path, tn_strbuf_view(&text), err);
  tn_strbuf_clear(&text);
  return status;
}

/* eos_token is a string, or an object with the string as "content". */
static int32_t eos_of_config(const tn_tokenizer *t, tn_str json) {
  tn_arena arena = {.limit_bytes = (size_t)64 << 20};
  tn_json *root;
  int64_t id = -1;
  if (tn_json_parse(&root, &arena, json, NULL, NULL) == TN_OK) {
    const tn_json *eos = tn_json_get(root, "eos_token");
    const tn_json *content = tn_json_get(eos, "content");
    if (content) eos = content;
    if (eos && eos->kind == TN_JSON_STRING) id = tn_tokenizer_id(t, eos->text);
  }
  tn_arena_clear(&arena);
  return (int32_t)id;
}

int32_t tn_tokenizer_eos(const tn_tokenizer *t, const char *folder) {
  int32_t id = -1;
  if (folder) {
    tn_strbuf path = {0}, text = {0};
    tn_strbuf_addf(&path, "%s/tokenizer_config.json", folder);
    if (!path.failed && tn_file_read(path.data, (size_t)4 << 20, &text, NULL) == TN_OK)
      id = eos_of_config(t, tn_strbuf_view(&text));
    tn_strbuf_clear(&path);
    tn_strbuf_clear(&text);
  }
  static const char *const names[] = {"<|endoftext|>", "</s>", "<|end_of_text|>"};
  for (int i = 0; i < 3 && id < 0; i++) id = (int32_t)tn_tokenizer_id(t, tn_str_of(names[i]));
  return id;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "train/corpus.h"

#include <math.h>
#include <stdio.h>

#include "base/io.h"
#include "base/json.h"
#include "model/tokenizer.h"

enum { SIDE_FILE_BYTES_MAX = 64 << 20, PATH_BYTES = 4352 };
static const size_t text_bytes_max = (size_t)1 << 30;

static tn_side_file *add_file(tn_corpus *c, const char *name) {
  tn_side_file *file = &c->files[c->file_count++];
  file->name = name;
  return file;
}

/* ---- text: one token a byte
 * ------------------------------------------------------------------------ */

/* The characters that stand for bytes in a byte-level vocabulary (Radford et al., GPT-2): printable
 * ones for themselves, the others from U+0100 on, in order. */
static void byte_characters(uint32_t out[256]) {
  uint32_t next = 0x100;
  for (uint32_t b = 0; b < 256; b++) {
    bool shows = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE);
    out[b] = shows ? b : next++;
  }
}

static void write_vocabulary(const int32_t ids[256], tn_json_writer *w) {
  uint32_t characters[256];
  byte_characters(characters);
  tn_json_begin_object(w);
  for (int32_t b = 0; b < 256; b++) {
    if (ids[b] < 0) continue;
    uint8_t text[4];
    size_t length = (size_t)tn_utf8_encode(characters[b], text);
    tn_json_key_str(w, (tn_str){(const char *)text, length});
    tn_json_i64(w, ids[b]);
  }
  tn_json_end_object(w);
}

static void write_byte_level(tn_json_writer *w, const char *key) {
  tn_json_key(w, key);
  tn_json_raw(w, TN_STR("{\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                        "\"trim_offsets\": true, \"use_regex\": true}"));
}

void tn_byte_tokenizer_write(const int32_t ids[256], tn_strbuf *json) {
  tn_json_writer w = {.out = json, .indent = 1};
  tn_json_begin_object(&w);
  tn_json_key(&w, "version");
  tn_json_cstr(&w, "1.0");
  static const char *const absent[] = {"truncation", "padding", "normalizer", "post_processor"};
  for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
    tn_json_key(&w, absent[i]);
    tn_json_null(&w);
  }
  tn_json_key(&w, "added_tokens");
  tn_json_raw(&w, TN_STR("[]"));
  write_byte_level(&w, "pre_tokenizer");
  write_byte_level(&w, "decoder");
  tn_json_key(&w, "model");
  tn_json_begin_object(&w);
  tn_json_key(&w, "type");
  tn_json_cstr(&w, "BPE");
  tn_json_key(&w, "vocab");
  write_vocabulary(ids, &w);
  tn_json_key(&w, "merges");
  tn_json_raw(&w, TN_STR("[]"));
  tn_json_end_object(&w);
  tn_json_end_object(&w);
}

/* ids[byte] in ascending order of bytes, -1 for those that do not occur; returns how many do. */
static int32_t number_bytes(tn_str text, int32_t ids[256]) {
  bool seen[256] = {false};
  for (size_t i = 0; i < text.length; i++) seen[(uint8_t)text.data[i]] = true;
  int32_t count = 0;
  for (int32_t b = 0; b < 256; b++) ids[b] = seen[b] ? count++ : -1;
  return count;
}

static tn_status check_level(const tn_run_config *config, tn_str text, tn_error *err) {
  if (text.length == 0) return tn_fail(err, TN_ERR_DATA, "%s: is empty", config->data.text);
  if (config->data.level == TN_LEVEL_BYTE) return TN_OK;
  for (size_t i = 0; i < text.length; i++)
    if ((uint8_t)text.data[i] >= 0x80)
      return tn_fail(
          err, TN_ERR_UNSUPPORTED,
          "%s: byte 0x%02x at offset %zu is no ASCII character; use data.level: byte, or "
          "a tokenizer and data.tokens",
          config->data.text, (uint8_t)text.data[i], i);
  return TN_OK;
}

static tn_status encode_bytes(tn_corpus *c, tn_str text, const int32_t ids[256], tn_error *err) {
  int32_t *tokens = tn_alloc(text.length, sizeof *tokens);
  if (!tokens) return tn_fail_memory(err, "the tokens of a text", text.length * sizeof *tokens);
  for (size_t i = 0; i < text.length; i++) tokens[i] = ids[(uint8_t)text.data[i]];
  tn_status status =
      tn_token_set_of_array(&c->set, tokens, (int64_t)text.length, c->vocab_size, err);
  tn_free(tokens);
  return status;
}

static tn_status open_text(tn_corpus *c, const tn_run_config *config, tn_str text, tn_error *err) {
  TN_TRY(check_level(config, text, err));
  int32_t ids[256];
  c->vocab_size = number_bytes(text, ids);
  c->eos_id = -1;
  TN_TRY(encode_bytes(c, text, ids, err));
  tn_side_file *tokenizer = add_file(c, "tokenizer.json");
  tn_byte_tokenizer_write(ids, &tokenizer->content);
  TN_TRY(tn_strbuf_check(&tokenizer->content, err));
  tn_side_file *about = add_file(c, "tokenizer_config.json");
  tn_strbuf_add(&about->content,
                "{\n \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n"
                " \"clean_up_tokenization_spaces\": false\n}\n");
  return tn_strbuf_check(&about->content, err);
}

static tn_status read_text(tn_corpus *c, const tn_run_config *config, tn_error *err) {
  tn_strbuf text = {0};
  tn_status status = tn_file_read(config->data.text, text_bytes_max, &text, err);
  if (status == TN_OK) status = open_text(c, config, tn_strbuf_view(&text), err);
  tn_strbuf_clear(&text);
  return status;
}

/* ---- shards
 * ---------------------------------------------------------------------------------------- */

/* data.tokenizer names tokenizer.json or its folder. */
static void tokenizer_path(const tn_run_config *config, const char *name, char out[PATH_BYTES]) {
  const char *given = config->data.tokenizer;
  if (tn_dir_exists(given)) {
    snprintf(out, PATH_BYTES, "%s/%s", given, name);
    return;
  }
  const char *slash = strrchr(given, '/');
  if (strcmp(name, "tokenizer.json") == 0)
    snprintf(out, PATH_BYTES, "%s", given);
  else
    snprintf(out, PATH_BYTES, "%.*s%s", slash ? (int)(slash - given) + 1 : 0, given, name);
}

static tn_status check_tokenizer(const tn_corpus *c, const char *path, tn_error *err) {
  tn_tokenizer *tokenizer;
  TN_TRY(tn_tokenizer_open(&tokenizer, path, err));
  int64_t size = tn_tokenizer_vocab_size(tokenizer);
  tn_tokenizer_free(tokenizer);
  if (size == c->vocab_size) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s: has %lld tokens, but the shards were made with %lld", path,
                 (long long)size, (long long)c->vocab_size);
}

static tn_status take_tokenizer(tn_corpus *c, const tn_run_config *config, tn_error *err) {
  static const char *const names[] = {"tokenizer.json", "tokenizer_config.json",
                                      "special_tokens_map.json"};
  char path[PATH_BYTES];
  tokenizer_path(config, names[0], path);
  TN_TRY(check_tokenizer(c, path, err));
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    tokenizer_path(config, names[i], path);
    if (i > 0 && !tn_file_exists(path)) continue;
    TN_TRY(tn_file_read(path, SIDE_FILE_BYTES_MAX, &add_file(c, names[i])->content, err));
  }
  return TN_OK;
}

static tn_status open_shards(tn_corpus *c, const tn_run_config *config, tn_error *err) {
  TN_TRY(tn_token_set_open(&c->set, config->data.tokens, true, err));
  c->vocab_size = tn_token_set_vocab_size(c->set);
  c->eos_id = tn_token_set_eos(c->set);
  return config->data.tokenizer ? take_tokenizer(c, config, err) : TN_OK;
}

/* ---- both
 * ------------------------------------------------------------------------------------------ */

/* Each part must hold at least one window of T + 1 tokens (validation may also be empty). */
static tn_status split(tn_corpus *c, const tn_run_config *config, tn_error *err) {
  int64_t total = tn_token_set_count(c->set), window = config->batch.tokens + 1;
  const char *name = config->data.text ? config->data.text : config->data.tokens;
  c->train_tokens = (int64_t)floor((double)total * (1 - config->data.validation_share));
  c->validation_tokens = total - c->train_tokens;
  if (config->data.validation_share == 0) c->validation_tokens = 0;
  if (c->train_tokens < window)
    return tn_fail(err, TN_ERR_DATA,
                   "%s: %lld tokens for training, wants at least batch.tokens + 1 = %lld", name,
                   (long long)c->train_tokens, (long long)window);
  if (c->validation_tokens > 0 && c->validation_tokens < window)
    return tn_fail(err, TN_ERR_DATA,
                   "%s: %lld tokens for validation, wants at least batch.tokens + 1 = %lld; give a "
                   "larger data.validation_share, or 0",
                   name, (long long)c->validation_tokens, (long long)window);
  return TN_OK;
}

tn_status tn_corpus_open(tn_corpus *out, const tn_run_config *config, tn_error *err) {
  *out = (tn_corpus){0};
  tn_status status =
      config->data.text ? read_text(out, config, err) : open_shards(out, config, err);
  if (status == TN_OK) status = split(out, config, err);
  if (status != TN_OK) tn_corpus_close(out);
  return status;
}

void tn_corpus_close(tn_corpus *corpus) {
  tn_token_set_close(corpus->set);
  for (int32_t i = 0; i < corpus->file_count; i++) tn_strbuf_clear(&corpus->files[i].content);
  *corpus = (tn_corpus){0};
}

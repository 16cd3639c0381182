/* tokenizer.c - see tokenizer.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer.h"

#include <dirent.h>

#include "model/gguf.h"
#include "model/tokenizer_foreign.h"
#include "model/tokenizer_internal.h"

tn_status tn_tokenizer_parse(tn_tokenizer **out, const char *name, tn_str json, tn_error *err) {
  if (json.length > TN_TOKENIZER_FILE_BYTES_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%s: %zu bytes, limit %zu", name, json.length,
                   TN_TOKENIZER_FILE_BYTES_MAX);
  tn_tokenizer *t = tn_alloc(1, sizeof *t);
  if (!t) return tn_fail_memory(err, "a tokenizer", sizeof *t);
  tn_status status = TN_OK;
  t->lock_made = pthread_mutex_init(&t->lock, NULL) == 0;
  if (!t->lock_made) status = tn_fail_memory(err, "a lock", sizeof t->lock);
  if (status == TN_OK) status = tn_tokenizer_load(t, json, err);
  if (status != TN_OK) {
    tn_tokenizer_free(t);
    return tn_error_context(err, status, "%s", name);
  }
  *out = t;
  return TN_OK;
}

static bool has_file(const char *folder, const char *name, tn_strbuf *path) {
  tn_strbuf_reset(path);
  tn_strbuf_addf(path, "%s/%s", folder, name);
  return !path->failed && tn_file_exists(path->data);
}

/* The file that is a folder's tokenizer: tokenizer.json, else tokenizer.model, else its GGUF. */
static tn_status find_file(const char *path, tn_strbuf *out, tn_error *err) {
  tn_strbuf_add(out, path);
  if (!tn_dir_exists(path)) return tn_strbuf_check(out, err);
  if (has_file(path, "tokenizer.json", out) || has_file(path, "tokenizer.model", out)) return TN_OK;
  DIR *dir = opendir(path);
  bool found = false;
  for (struct dirent *e; dir && !found && (e = readdir(dir));)
    found = tn_str_ends(tn_str_of(e->d_name), TN_STR(".gguf")) && has_file(path, e->d_name, out);
  if (dir) closedir(dir);
  if (!found) has_file(path, "tokenizer.json", out); /* what the message is to name */
  return tn_strbuf_check(out, err);
}

/* Whatever the file is, as tokenizer.json. */
static tn_status read_json(const char *file, tn_strbuf *json, tn_error *err) {
  if (tn_gguf_is_file(file)) return tn_gguf_vocab(file, json, err);
  TN_TRY(tn_file_read(file, TN_TOKENIZER_FILE_BYTES_MAX, json, err));
  tn_str bytes = tn_strbuf_view(json);
  /* A SentencePiece file begins with its first piece: field 1, a message. */
  if (!bytes.length || bytes.data[0] != 0x0A || !tn_str_ends(tn_str_of(file), TN_STR(".model")))
    return TN_OK;
  tn_strbuf converted = {0};
  tn_status status = tn_sentencepiece_vocab(bytes, &converted, err);
  if (status != TN_OK) status = tn_error_context(err, status, "%s", file);
  tn_strbuf_clear(json);
  *json = converted;
  return status;
}

tn_status tn_tokenizer_open(tn_tokenizer **out, const char *path, tn_error *err) {
  tn_strbuf file = {0}, text = {0};
  tn_status status = find_file(path, &file, err);
  if (status == TN_OK) status = read_json(file.data, &text, err);
  if (status == TN_OK) status = tn_tokenizer_parse(out, file.data, tn_strbuf_view(&text), err);
  tn_strbuf_clear(&text);
  tn_strbuf_clear(&file);
  return status;
}

void tn_tokenizer_free(tn_tokenizer *t) {
  if (!t) return;
  tn_encode_scratch_free(t->idle);
  if (t->lock_made) pthread_mutex_destroy(&t->lock);
  tn_normalizer_free(t->normalizer);
  tn_pretokenizer_free(t->pre_tokenizer);
  tn_decoder_free(t->decoder);
  tn_bpe_clear(&t->bpe);
  tn_unigram_clear(&t->unigram);
  tn_wordpiece_clear(&t->wordpiece);
  tn_added_clear(&t->added);
  tn_map_clear(&t->ids);
  tn_arena_clear(&t->arena);
  tn_free(t);
}

tn_status tn_tokenizer_save(const tn_tokenizer *t, const char *path, tn_error *err) {
  return tn_file_write_atomic(path, t->source, err);
}

int64_t tn_tokenizer_vocab_size(const tn_tokenizer *t) {
  return t->id_count;
}

int64_t tn_tokenizer_id(const tn_tokenizer *t, tn_str token) {
  uint64_t id;
  if (tn_map_get(&t->added.ids, token, &id)) return t->added.tokens[id].id;
  return tn_map_get(&t->ids, token, &id) ? (int64_t)id : -1;
}

tn_str tn_tokenizer_token(const tn_tokenizer *t, int32_t id) {
  return id >= 0 && id < t->id_count ? t->written[id] : (tn_str){NULL, 0};
}

tn_str tn_tokenizer_bytes(const tn_tokenizer *t, int32_t id) {
  return id >= 0 && id < t->id_count ? t->bytes[id] : (tn_str){NULL, 0};
}

bool tn_tokenizer_is_special(const tn_tokenizer *t, int32_t id) {
  return id >= 0 && id < t->id_count && t->specials[id];
}

tn_status tn_tokenizer_check_ids(const tn_tokenizer *t, const int32_t *ids, size_t count,
                                 int64_t vocab_size, tn_error *err) {
  for (size_t i = 0; i < count; i++) {
    if (ids[i] >= 0 && ids[i] < vocab_size) continue;
    tn_str name = t ? tn_tokenizer_token(t, ids[i]) : (tn_str){NULL, 0};
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "token %.*s%sid %d at place %zu: the model's vocab_size is %lld, so it has no "
                   "such token",
                   TN_STR_ARG(name), name.length ? ", " : "", ids[i], i + 1, (long long)vocab_size);
  }
  return TN_OK;
}

uint64_t tn_tokenizer_hash(const tn_tokenizer *t) {
  return t->hash;
}

static tn_status check_id(const tn_tokenizer *t, int32_t id, size_t index, tn_error *err) {
  if (id >= 0 && id < t->id_count && t->written[id].data) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT, "token %zu: id %d is not in the vocabulary of %d", index, id,
                 t->id_count);
}

/* Hugging Face asks whether the text that the decoder would be given is a special token's: one
 * whose normalized form differs is shown. */
static bool is_hidden(const tn_tokenizer *t, int32_t id) {
  return t->specials[id] && tn_str_equal(t->decoded[id], t->written[id]);
}

tn_status tn_tokenizer_decode(const tn_tokenizer *t, const int32_t *ids, size_t count,
                              bool keep_special, tn_strbuf *out, tn_error *err) {
  bool plain = tn_decoder_is_plain(t->decoder);
  tn_str *tokens = plain ? NULL : tn_alloc(count ? count : 1, sizeof *tokens);
  if (!plain && !tokens) return tn_fail_memory(err, "decoding", count * sizeof *tokens);
  tn_status status = TN_OK;
  size_t kept = 0;
  for (size_t i = 0; i < count && status == TN_OK; i++) {
    status = check_id(t, ids[i], i, err);
    if (status != TN_OK || (!keep_special && is_hidden(t, ids[i]))) continue;
    if (plain)
      tn_strbuf_add_str(out, t->bytes[ids[i]]);
    else
      tokens[kept++] = t->decoded[ids[i]];
  }
  if (status == TN_OK && !plain) status = tn_decoder_run(t->decoder, tokens, kept, out, err);
  tn_free(tokens);
  return status == TN_OK ? tn_strbuf_check(out, err) : status;
}

/* shard_index.c - see shard_index.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "feed/shard_index.h"

#include <inttypes.h>
#include <stdio.h>

#define TREE_BYTES_MAX ((size_t)1 << 30)

void tn_shard_index_clear(tn_shard_index *index) {
  tn_free(index->shards);
  *index = (tn_shard_index){0};
}

void tn_shard_name(char out[TN_SHARD_NAME_MAX], int64_t number, uint64_t hash) {
  snprintf(out, TN_SHARD_NAME_MAX, "tokens-%05" PRId64 "-%016" PRIx64 ".arrow", number, hash);
}

/* "tokens-" digits "-" 16 hexadecimal digits ".arrow", cut off the front of *rest. */
static bool cut_shard_name(tn_str *rest) {
  size_t at = 7, digits = 0;
  if (!tn_str_starts(*rest, TN_STR("tokens-"))) return false;
  for (; at < rest->length && rest->data[at] >= '0' && rest->data[at] <= '9'; at++) digits++;
  if (digits < 5 || rest->length < at + 23 || rest->data[at] != '-') return false;
  tn_str tail = {rest->data + at + 17, rest->length - at - 17};
  if (!tn_str_starts(tail, TN_STR(".arrow"))) return false;
  *rest = (tn_str){tail.data + 6, tail.length - 6};
  return true;
}

bool tn_shard_name_is(const char *file) {
  tn_str rest = tn_str_of(file);
  bool hidden = file[0] == '.'; /* what a sink calls a file before its commit: .name.<...>.tmp */
  if (!hidden) return cut_shard_name(&rest) && rest.length == 0;
  rest.data++;
  rest.length--;
  if (!tn_str_ends(rest, TN_STR(".tmp"))) return false;
  return cut_shard_name(&rest) || tn_str_starts(rest, TN_STR("index.json."));
}

/* ---- writing
 * ------------------------------------------------------------------------------------- */
static void write_hash(tn_json_writer *w, const char *key, uint64_t hash) {
  char text[17]; /* as text: JSON numbers lose bits beyond 53 */
  snprintf(text, sizeof text, "%016" PRIx64, hash);
  tn_json_key(w, key);
  tn_json_cstr(w, text);
}

static void write_i64(tn_json_writer *w, const char *key, int64_t value) {
  tn_json_key(w, key);
  tn_json_i64(w, value);
}

void tn_shard_index_write(const tn_shard_index *index, tn_strbuf *out) {
  tn_json_writer writer = {.out = out, .indent = 2}, *w = &writer;
  tn_json_begin_object(w);
  tn_json_key(w, "format");
  tn_json_cstr(w, TN_SHARD_FORMAT);
  write_i64(w, "vocab_size", index->vocab_size);
  write_i64(w, "eos_id", index->eos_id);
  write_i64(w, "tokens", index->tokens);
  write_i64(w, "documents", index->documents);
  write_hash(w, "tokenizer_hash", index->tokenizer_hash);
  tn_json_key(w, "shards");
  tn_json_begin_array(w);
  for (size_t i = 0; i < index->shard_count; i++) {
    tn_json_begin_object(w);
    tn_json_key(w, "file");
    tn_json_cstr(w, index->shards[i].file);
    write_i64(w, "tokens", index->shards[i].tokens);
    write_hash(w, "xxh64", index->shards[i].hash);
    tn_json_end_object(w);
  }
  tn_json_end_array(w);
  tn_json_end_object(w);
  tn_strbuf_add_char(out, '\n');
}

/* ---- reading
 * --------------------------------------------------------------------------------------- */
static tn_status read_hash(const tn_json *object, const char *key, uint64_t *out, tn_error *err) {
  tn_str text = {NULL, 0};
  TN_TRY(tn_json_get_str(object, key, &text, err));
  uint64_t hash = 0;
  for (size_t i = 0; i < text.length; i++) {
    char c = text.data[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0 || text.length != 16)
      return tn_fail(err, TN_ERR_DATA, "\"%s\" is not 16 hexadecimal digits", key);
    hash = hash << 4 | (uint64_t)digit;
  }
  *out = hash;
  return TN_OK;
}

/* A required number: the key must be there. */
static tn_status read_i64(const tn_json *object, const char *key, int64_t min, int64_t max,
                          int64_t *out, tn_error *err) {
  if (!tn_json_get(object, key)) return tn_fail(err, TN_ERR_DATA, "\"%s\" is missing", key);
  return tn_json_get_i64(object, key, min, max, out, err);
}

/* A name from the index must stay inside its folder. */
static tn_status read_entry(const tn_json *value, tn_shard_entry *out, tn_error *err) {
  tn_str file = {NULL, 0};
  TN_TRY(tn_json_get_str(value, "file", &file, err));
  if (file.length == 0 || file.length >= TN_SHARD_NAME_MAX || file.data[0] == '.' ||
      memchr(file.data, '/', file.length) || memchr(file.data, 0, file.length))
    return tn_fail(err, TN_ERR_DATA, "\"%.*s\" is not the name of a shard",
                   (int)(file.length > 64 ? 64 : file.length), file.data ? file.data : "");
  memcpy(out->file, file.data, file.length);
  TN_TRY(read_i64(value, "tokens", 0, TN_SET_TOKENS_MAX, &out->tokens, err));
  return read_hash(value, "xxh64", &out->hash, err);
}

static tn_status read_entries(tn_shard_index *out, const tn_json *shards, tn_error *err) {
  if (!shards || shards->kind != TN_JSON_ARRAY)
    return tn_fail(err, TN_ERR_DATA, "\"shards\" is not an array");
  if (shards->count > TN_SHARDS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%lld shards, limit %d", (long long)shards->count,
                   TN_SHARDS_MAX);
  TN_TRY(tn_grow((void **)&out->shards, &out->shard_capacity, (size_t)shards->count,
                 sizeof *out->shards, err));
  int64_t total = 0;
  for (const tn_json *s = shards->first; s; s = s->next) {
    tn_shard_entry *entry = &out->shards[out->shard_count++];
    tn_status status = read_entry(s, entry, err);
    if (status != TN_OK) return tn_error_context(err, status, "shard %zu", out->shard_count - 1);
    if (__builtin_add_overflow(total, entry->tokens, &total) || total > TN_SET_TOKENS_MAX)
      return tn_fail(err, TN_ERR_LIMIT, "more than %lld tokens", (long long)TN_SET_TOKENS_MAX);
  }
  if (total != out->tokens)
    return tn_fail(err, TN_ERR_DATA, "shards hold %lld tokens, \"tokens\" says %lld",
                   (long long)total, (long long)out->tokens);
  return TN_OK;
}

static tn_status read_root(tn_shard_index *out, const tn_json *root, tn_error *err) {
  tn_str format = {NULL, 0};
  TN_TRY(tn_json_get_str(root, "format", &format, err));
  if (!tn_str_is(format, TN_SHARD_FORMAT))
    return tn_fail(err, TN_ERR_UNSUPPORTED, "format \"%.*s\", expected \"%s\"",
                   (int)(format.length > 64 ? 64 : format.length), format.data ? format.data : "",
                   TN_SHARD_FORMAT);
  int64_t eos = 0;
  TN_TRY(read_i64(root, "vocab_size", 1, TN_VOCAB_SIZE_MAX, &out->vocab_size, err));
  TN_TRY(read_i64(root, "eos_id", 0, out->vocab_size - 1, &eos, err));
  TN_TRY(read_i64(root, "tokens", 0, TN_SET_TOKENS_MAX, &out->tokens, err));
  TN_TRY(read_i64(root, "documents", 0, out->tokens, &out->documents, err));
  TN_TRY(read_hash(root, "tokenizer_hash", &out->tokenizer_hash, err));
  out->eos_id = (int32_t)eos;
  return read_entries(out, tn_json_get(root, "shards"), err);
}

tn_status tn_shard_index_parse(tn_shard_index *out, tn_str json, tn_error *err) {
  tn_arena arena = {.limit_bytes = TREE_BYTES_MAX};
  tn_json *root;
  tn_status status = tn_json_parse(&root, &arena, json, NULL, err);
  /* The parser takes any failure of a limited arena for the limit; far from it, memory ran out. */
  if (arena.failed && arena.used_bytes < TREE_BYTES_MAX / 2)
    status = tn_fail_memory(err, "a JSON tree", arena.used_bytes);
  if (status == TN_OK && root->kind != TN_JSON_OBJECT)
    status = tn_fail(err, TN_ERR_DATA, "not an object");
  if (status == TN_OK) status = read_root(out, root, err);
  tn_arena_clear(&arena);
  return status;
}

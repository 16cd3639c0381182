/* SPDX-License-Identifier: Apache-2.0 */
#include "train/checkpoint_state.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"

enum { STATE_BYTES_MAX = 4 << 20, FILES_MAX = 64, NAME_BYTES_MAX = 255 };
static const char format_name[] = "tenon-checkpoint-1";
static const char hash_key[] = "\"hash\": \"";

static tn_status path_of(tn_strbuf *out, const char *folder, const char *name, tn_error *err) {
  tn_strbuf_reset(out);
  tn_strbuf_addf(out, "%s/%s", folder, name);
  return tn_strbuf_check(out, err);
}

static tn_status sum_file(const char *path, int64_t *bytes, uint64_t *sum, tn_error *err) {
  tn_buffer *content;
  TN_TRY(tn_buffer_map(&content, path, err));
  *bytes = (int64_t)content->bytes;
  *sum = tn_hash_bytes(content->data, content->bytes, 0);
  tn_buffer_drop(content);
  return TN_OK;
}

static bool parse_hex(tn_str text, uint64_t *out) {
  if (text.length != 16) return false;
  *out = 0;
  for (size_t i = 0; i < 16; i++) {
    char c = text.data[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return false;
    *out = *out << 4 | (uint64_t)digit;
  }
  return true;
}

/* ---- writing
 * --------------------------------------------------------------------------------------- */
static void write_hex(tn_json_writer *w, const char *key, uint64_t value) {
  char text[17];
  snprintf(text, sizeof text, "%016llx", (unsigned long long)value);
  tn_json_key(w, key);
  tn_json_cstr(w, text);
}

static void write_i64(tn_json_writer *w, const char *key, int64_t value) {
  tn_json_key(w, key);
  tn_json_i64(w, value);
}

static tn_status write_file(tn_json_writer *w, const char *folder, const char *name,
                            tn_error *err) {
  tn_strbuf path = {0};
  int64_t bytes = 0;
  uint64_t sum = 0;
  tn_status status = path_of(&path, folder, name, err);
  if (status == TN_OK) status = sum_file(path.data, &bytes, &sum, err);
  tn_strbuf_clear(&path);
  if (status != TN_OK) return status;
  tn_json_begin_object(w);
  tn_json_key(w, "name");
  tn_json_cstr(w, name);
  write_i64(w, "bytes", bytes);
  write_hex(w, "sum", sum);
  tn_json_end_object(w);
  return TN_OK;
}

static int not_hidden(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

static tn_status write_files(tn_json_writer *w, const char *folder, tn_error *err) {
  struct dirent **entries = NULL;
  int count = scandir(folder, &entries, not_hidden, alphasort);
  if (count < 0) return tn_fail_errno(err, errno, "%s: cannot list", folder);
  tn_status status = TN_OK;
  tn_json_begin_array(w);
  for (int i = 0; i < count; i++) {
    if (status == TN_OK) status = write_file(w, folder, entries[i]->d_name, err);
    free(entries[i]);
  }
  tn_json_end_array(w);
  free(entries);
  return status;
}

static tn_status write_object(tn_strbuf *out, const char *folder, const tn_train_state *s,
                              const tn_run_config *config, tn_error *err) {
  tn_json_writer w = {.out = out, .indent = 1};
  uint64_t config_hash;
  TN_TRY(tn_run_config_hash(config, &config_hash, err));
  tn_json_begin_object(&w);
  tn_json_key(&w, "format");
  tn_json_cstr(&w, format_name);
  write_i64(&w, "step", s->step);
  write_i64(&w, "samples", s->samples);
  write_i64(&w, "tokens", s->tokens);
  tn_json_key(&w, "seed");
  tn_json_u64(&w, s->seed);
  tn_json_key(&w, "loss_average");
  tn_json_f64(&w, s->loss_average);
  write_hex(&w, "token_set_hash", s->token_set_hash);
  write_hex(&w, "config_hash", config_hash);
  tn_json_key(&w, "config");
  tn_run_config_write_maths(config, &w);
  tn_json_key(&w, "files");
  TN_TRY(write_files(&w, folder, err));
  tn_json_end_object(&w);
  return tn_strbuf_check(out, err);
}

/* Opens the finished object again and closes it behind the hash of what came before. */
static void add_hash(tn_strbuf *text) {
  while (text->length && text->data[text->length - 1] != '}') text->length--;
  if (text->length) text->length--;
  while (text->length && text->data[text->length - 1] == '\n') text->length--;
  tn_strbuf_add(text, ",\n ");
  uint64_t hash = tn_hash_bytes(text->data, text->length, 0);
  tn_strbuf_addf(text, "%s%016llx\"\n}\n", hash_key, (unsigned long long)hash);
}

tn_status tn_state_file_write(const char *folder, const tn_train_state *state,
                              const tn_run_config *config, tn_error *err) {
  tn_strbuf text = {0}, path = {0};
  tn_status status = write_object(&text, folder, state, config, err);
  if (status == TN_OK) {
    add_hash(&text);
    status = tn_strbuf_check(&text, err);
  }
  if (status == TN_OK) status = path_of(&path, folder, "state.json", err);
  if (status == TN_OK) status = tn_file_write_atomic(path.data, tn_strbuf_view(&text), err);
  tn_strbuf_clear(&text);
  tn_strbuf_clear(&path);
  return status;
}

/* ---- reading
 * --------------------------------------------------------------------------------------- */
static tn_status check_hash(tn_str text, const char *path, tn_error *err) {
  size_t key = sizeof hash_key - 1, tail = key + 16 + 4; /* ..."\n}\n */
  uint64_t written;
  if (text.length < tail || memcmp(text.data + text.length - tail, hash_key, key) != 0 ||
      memcmp(text.data + text.length - 4, "\"\n}\n", 4) != 0 ||
      !parse_hex((tn_str){text.data + text.length - 20, 16}, &written))
    return tn_fail(err, TN_ERR_CHECKSUM, "%s: does not end with its hash", path);
  if (tn_hash_bytes(text.data, text.length - tail, 0) != written)
    return tn_fail(err, TN_ERR_CHECKSUM, "%s: its bytes do not have the hash in its last line",
                   path);
  return TN_OK;
}

static tn_status get_hex(const tn_json *root, const char *key, uint64_t *out, tn_error *err) {
  tn_str text = {0};
  TN_TRY(tn_json_get_str(root, key, &text, err));
  if (parse_hex(text, out)) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s: wants 16 hexadecimal digits", key);
}

static tn_status fill(tn_state_file *f, const tn_json *root, tn_error *err) {
  tn_str format = {0};
  TN_TRY(tn_json_get_str(root, "format", &format, err));
  if (!tn_str_is(format, format_name))
    return tn_fail(err, TN_ERR_UNSUPPORTED, "format is \"%.*s\", wants \"%s\"", TN_STR_ARG(format),
                   format_name);
  int64_t seed = 0;
  TN_TRY(tn_json_get_i64(root, "step", 0, INT64_MAX, &f->state.step, err));
  TN_TRY(tn_json_get_i64(root, "samples", 0, INT64_MAX, &f->state.samples, err));
  TN_TRY(tn_json_get_i64(root, "tokens", 0, INT64_MAX, &f->state.tokens, err));
  TN_TRY(tn_json_get_i64(root, "seed", 0, INT64_MAX, &seed, err));
  TN_TRY(tn_json_get_f64(root, "loss_average", &f->state.loss_average, err));
  TN_TRY(get_hex(root, "token_set_hash", &f->state.token_set_hash, err));
  f->state.seed = (uint64_t)seed;
  f->config = tn_json_get(root, "config");
  f->files = tn_json_get(root, "files");
  if (!f->config || !f->files || f->files->kind != TN_JSON_ARRAY || f->files->count > FILES_MAX)
    return tn_fail(err, TN_ERR_DATA, "config or files is missing, or more than %d files",
                   FILES_MAX);
  return TN_OK;
}

static tn_status read_state(tn_state_file *f, const char *path, tn_error *err) {
  TN_TRY(tn_file_read(path, STATE_BYTES_MAX, &f->text, err));
  TN_TRY(check_hash(tn_strbuf_view(&f->text), path, err));
  tn_json *root;
  tn_status status = tn_json_parse(&root, &f->arena, tn_strbuf_view(&f->text), NULL, err);
  if (status == TN_OK) status = fill(f, root, err);
  return status == TN_OK ? TN_OK : tn_error_context(err, status, "%s", path);
}

tn_status tn_state_file_read(tn_state_file *out, const char *folder, tn_error *err) {
  *out = (tn_state_file){0};
  tn_strbuf path = {0};
  tn_status status = path_of(&path, folder, "state.json", err);
  if (status == TN_OK) status = read_state(out, path.data, err);
  tn_strbuf_clear(&path);
  if (status != TN_OK) tn_state_file_clear(out);
  return status;
}

void tn_state_file_clear(tn_state_file *file) {
  tn_strbuf_clear(&file->text);
  tn_arena_clear(&file->arena);
  *file = (tn_state_file){0};
}

static tn_status check_file(const tn_json *entry, const char *folder, tn_strbuf *path,
                            tn_error *err) {
  tn_str name = {0};
  int64_t bytes = -1, found_bytes;
  uint64_t sum = 0, found_sum;
  TN_TRY(tn_json_get_str(entry, "name", &name, err));
  TN_TRY(tn_json_get_i64(entry, "bytes", 0, INT64_MAX, &bytes, err));
  TN_TRY(get_hex(entry, "sum", &sum, err));
  if (name.length == 0 || name.length > NAME_BYTES_MAX || memchr(name.data, '/', name.length))
    return tn_fail(err, TN_ERR_DATA, "%s/state.json: names a file outside its folder", folder);
  tn_strbuf_reset(path);
  tn_strbuf_addf(path, "%s/%.*s", folder, TN_STR_ARG(name));
  TN_TRY(tn_strbuf_check(path, err));
  TN_TRY(sum_file(path->data, &found_bytes, &found_sum, err));
  if (found_bytes != bytes)
    return tn_fail(err, TN_ERR_CHECKSUM, "%s: has %lld bytes, was written with %lld", path->data,
                   (long long)found_bytes, (long long)bytes);
  if (found_sum != sum)
    return tn_fail(err, TN_ERR_CHECKSUM, "%s: its bytes do not have the sum in state.json",
                   path->data);
  return TN_OK;
}

tn_status tn_state_file_check(const tn_state_file *file, const char *folder, tn_error *err) {
  tn_strbuf path = {0};
  tn_status status = TN_OK;
  for (const tn_json *entry = file->files->first; entry && status == TN_OK; entry = entry->next)
    status = check_file(entry, folder, &path, err);
  tn_strbuf_clear(&path);
  return status;
}

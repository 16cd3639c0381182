/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/table_parquet.h"

#include "base/json.h"

enum { KEY_FILE_BYTES_MAX = 1 << 20, KEY_BYTES_MAX = 32 };

static tn_status not_known(const char *what, const char *name, const tn_strbuf *known,
                           tn_error *err) {
  return tn_fail(err, TN_ERR_ARGUMENT, "%s '%s' is not known; known are%s", what, name,
                 known->data ? known->data : "");
}

static tn_status choose_codec(const char *name, tn_parquet_codec *out, tn_error *err) {
  tn_strbuf known = {0};
#define X(id, code, text)        \
  if (strcmp(name, text) == 0) { \
    *out = id;                   \
    tn_strbuf_clear(&known);     \
    return TN_OK;                \
  }                              \
  tn_strbuf_add(&known, " " text);
  TN_PARQUET_CODEC_LIST(X)
#undef X
  tn_status status = not_known("codec", name, &known, err);
  tn_strbuf_clear(&known);
  return status;
}

/* The place of `name` among `count` names. */
static tn_status choose(tn_str name, const char *what, const char *(*name_of)(int), int count,
                        int *out, tn_error *err) {
  tn_strbuf known = {0}, asked = {0};
  for (*out = 0; *out < count && !tn_str_is(name, name_of(*out)); ++*out)
    tn_strbuf_addf(&known, " %s", name_of(*out));
  tn_strbuf_add_str(&asked, name);
  tn_status status =
      *out < count ? TN_OK : not_known(what, asked.data ? asked.data : "", &known, err);
  tn_strbuf_clear(&known);
  tn_strbuf_clear(&asked);
  return status;
}

static const char *encode_name(int i) {
  return tn_parquet_encode_name((tn_parquet_encode)i);
}
static const char *store_as_name(int i) {
  return tn_parquet_store_as_name((tn_parquet_store_as)(i + 1)); /* not "as it is" */
}

static tn_status choose_profile(const char *name, tn_parquet_profile *out, tn_error *err) {
  bool training = strcmp(name, "training") == 0;
  if (!training && strcmp(name, "scan") != 0)
    return tn_fail(err, TN_ERR_ARGUMENT, "profile '%s' is not known; known are scan training",
                   name);
  *out = training ? TN_PARQUET_PROFILE_TRAINING : TN_PARQUET_PROFILE_SCAN;
  return TN_OK;
}

/* "price=byte_stream_split": the last '=' divides. */
static tn_status cut_pair(const char *text, const char *option, tn_arena *arena, const char **left,
                          tn_str *right, tn_error *err) {
  const char *mark = strrchr(text, '=');
  if (!mark)
    return tn_fail(err, TN_ERR_ARGUMENT, "option %s wants NAME=VALUE, got '%s'", option, text);
  *left = tn_arena_strndup(arena, text, (size_t)(mark - text));
  *right = tn_str_of(mark + 1);
  return *left ? TN_OK : tn_fail_memory(err, option, strlen(text));
}

/* The entry of a path; of those that match a column the last counts, so one path has one entry. */
static tn_parquet_column_options *entry_of(tn_parquet_column_options *columns, int32_t *count,
                                           const char *path) {
  for (int32_t i = 0; i < *count; i++)
    if (strcmp(columns[i].path, path) == 0) return &columns[i];
  columns[*count].path = path;
  return &columns[(*count)++];
}

/* The length of the column's name in "column" and "column=value". */
static size_t name_length(const char *item, bool pairs) {
  const char *mark = pairs ? strrchr(item, '=') : NULL;
  return mark ? (size_t)(mark - item) : strlen(item);
}

static tn_status check_once(const char *option, const char *const *items, int32_t count, bool pairs,
                            tn_error *err) {
  for (int32_t i = 1; i < count; i++) {
    size_t length = name_length(items[i], pairs);
    for (int32_t k = 0; k < i; k++)
      if (name_length(items[k], pairs) == length && memcmp(items[k], items[i], length) == 0)
        return tn_fail(err, TN_ERR_ARGUMENT, "option %s names column \"%.*s\" twice", option,
                       (int)length, items[i]);
  }
  return TN_OK;
}

static tn_status fill_columns(tn_parquet_write_options *out, tn_arena *arena,
                              const tn_table_write_options *o, tn_error *err) {
  size_t room = (size_t)o->encoding_count + (size_t)o->store_as_count + (size_t)o->bloom_count;
  tn_parquet_column_options *columns = tn_arena_alloc(arena, room + 1, sizeof *columns);
  if (!columns) return tn_fail_memory(err, "column options", room * sizeof *columns);
  int32_t count = 0;
  int chosen;
  TN_TRY(check_once("encodings", o->encodings, o->encoding_count, true, err));
  TN_TRY(check_once("store_as", o->store_as, o->store_as_count, true, err));
  TN_TRY(check_once("bloom", o->bloom, o->bloom_count, false, err));
  for (int32_t i = 0; i < o->encoding_count; i++) {
    tn_str name = {0};
    const char *path;
    TN_TRY(cut_pair(o->encodings[i], "encodings", arena, &path, &name, err));
    TN_TRY(choose(name, "encoding", encode_name, TN_PARQUET_ENCODE_COUNT, &chosen, err));
    entry_of(columns, &count, path)->encoding = (tn_parquet_encode)chosen;
  }
  for (int32_t i = 0; i < o->store_as_count; i++) {
    tn_str name = {0};
    const char *path;
    TN_TRY(cut_pair(o->store_as[i], "store_as", arena, &path, &name, err));
    TN_TRY(choose(name, "form", store_as_name, TN_PARQUET_STORE_AS_COUNT - 1, &chosen, err));
    entry_of(columns, &count, path)->as = (tn_parquet_store_as)(chosen + 1);
  }
  for (int32_t i = 0; i < o->bloom_count; i++) entry_of(columns, &count, o->bloom[i])->bloom = true;
  if (count == 0) return TN_OK;
  out->columns = columns;
  out->column_count = count;
  return TN_OK;
}

/* "a", "a desc", "a desc nulls first", "a nulls first" */
static tn_status fill_sort_keys(tn_parquet_write_options *out, tn_arena *arena,
                                const tn_table_write_options *o, tn_error *err) {
  tn_parquet_sort_key *keys = tn_arena_alloc(arena, (size_t)o->sorted_count + 1, sizeof *keys);
  if (!keys) return tn_fail_memory(err, "sort keys", (size_t)o->sorted_count * sizeof *keys);
  for (int32_t i = 0; i < o->sorted_count; i++) {
    tn_str name = tn_str_trim(tn_str_of(o->sorted[i]));
    if (tn_str_ends(name, TN_STR(" nulls first"))) {
      keys[i].nulls_first = true;
      name.length -= strlen(" nulls first");
    }
    if (tn_str_ends(name, TN_STR(" desc"))) {
      keys[i].descending = true;
      name.length -= strlen(" desc");
    }
    keys[i].path = tn_arena_strndup(arena, name.data, name.length);
    if (!keys[i].path) return tn_fail_memory(err, "sort keys", name.length);
  }
  if (o->sorted_count == 0) return TN_OK;
  out->sort_keys = keys;
  out->sort_key_count = o->sorted_count;
  return TN_OK;
}

static tn_status fill_metadata(tn_parquet_write_options *out, tn_arena *arena,
                               const tn_table_write_options *o, tn_error *err) {
  tn_parquet_key_value *pairs = tn_arena_alloc(arena, (size_t)o->metadata_count + 1, sizeof *pairs);
  if (!pairs) return tn_fail_memory(err, "metadata", (size_t)o->metadata_count * sizeof *pairs);
  for (int32_t i = 0; i < o->metadata_count; i++) {
    const char *mark = strchr(o->metadata[i], '='); /* the first: values may hold more */
    if (!mark || mark == o->metadata[i])
      return tn_fail(err, TN_ERR_ARGUMENT, "option metadata wants KEY=VALUE, got '%s'",
                     o->metadata[i]);
    pairs[i].key = tn_arena_strndup(arena, o->metadata[i], (size_t)(mark - o->metadata[i]));
    pairs[i].value = mark + 1;
    if (!pairs[i].key) return tn_fail_memory(err, "metadata", strlen(o->metadata[i]));
  }
  if (o->metadata_count == 0) return TN_OK;
  out->metadata = pairs;
  out->metadata_count = o->metadata_count;
  return TN_OK;
}

tn_status tn_table_parquet_write(tn_parquet_write_options *out, tn_arena *arena,
                                 const tn_table_write_options *options, tn_error *err) {
  *out = options->parquet;
  TN_TRY(choose_codec(options->codec ? options->codec : "zstd", &out->codec, err));
  if (options->profile) TN_TRY(choose_profile(options->profile, &out->profile, err));
  out->level = options->level;
  TN_TRY(fill_columns(out, arena, options, err));
  TN_TRY(fill_sort_keys(out, arena, options, err));
  TN_TRY(fill_metadata(out, arena, options, err));
  if (!options->key_file) return TN_OK;
  tn_parquet_encryption *encryption = tn_arena_alloc(arena, 1, sizeof *encryption);
  if (!encryption) return tn_fail_memory(err, "keys", sizeof *encryption);
  out->encryption = encryption;
  return tn_table_parquet_encryption(encryption, arena, options->key_file, err);
}

tn_status tn_table_parquet_int96(tn_parquet_int96 *out, const char *name, tn_error *err) {
  static const char *const names[] = {"auto", "ns", "us"};
  for (int i = 0; name && i < 3; i++) {
    if (strcmp(name, names[i]) != 0) continue;
    *out = (tn_parquet_int96)i;
    return TN_OK;
  }
  if (!name) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT, "int96 '%s' is not known; known are auto ns us", name);
}

/* ---- keys ---- */
static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The text of a key is never shown. */
static tn_status key_of(const tn_json *node, const char *what, tn_arena *arena, tn_str *out,
                        tn_error *err) {
  size_t digits = node->kind == TN_JSON_STRING ? node->text.length : 0;
  if (digits != 32 && digits != 48 && digits != 64)
    return tn_fail(err, TN_ERR_DATA, "key \"%s\": wants 32, 48 or 64 hexadecimal digits, has %zu",
                   what, digits);
  uint8_t *key = tn_arena_alloc(arena, digits / 2, 1);
  if (!key) return tn_fail_memory(err, "a key", digits / 2);
  for (size_t i = 0; i < digits / 2; i++) {
    int high = hex_digit(node->text.data[2 * i]), low = hex_digit(node->text.data[2 * i + 1]);
    if (high < 0 || low < 0)
      return tn_fail(err, TN_ERR_DATA, "key \"%s\": digit %zu is not hexadecimal", what, 2 * i);
    key[i] = (uint8_t)(high << 4 | low);
  }
  *out = (tn_str){(const char *)key, digits / 2};
  return TN_OK;
}

typedef struct keys_by_id {
  const tn_json *ids;
  tn_arena *arena;
} keys_by_id;

static tn_status find_by_id(void *context, const char *column, tn_str metadata, uint8_t key[32],
                            size_t *key_bytes, tn_error *err) {
  const keys_by_id *by = context;
  for (const tn_json *at = by->ids->first; at; at = at->next) {
    if (!tn_str_equal(at->key, metadata)) continue;
    tn_str found;
    TN_TRY(key_of(at, column ? column : "footer", by->arena, &found, err));
    memcpy(key, found.data, found.length);
    *key_bytes = found.length;
    return TN_OK;
  }
  return TN_END;
}

static tn_status read_columns(const tn_parquet_column_key **out, int32_t *out_count,
                              tn_arena *arena, const tn_json *columns, tn_error *err) {
  if (!columns || columns->kind != TN_JSON_OBJECT) return TN_OK;
  tn_parquet_column_key *keys = tn_arena_alloc(arena, (size_t)columns->count + 1, sizeof *keys);
  if (!keys) return tn_fail_memory(err, "keys", (size_t)columns->count * sizeof *keys);
  int32_t count = 0;
  for (const tn_json *at = columns->first; at; at = at->next, count++) {
    keys[count].column = tn_arena_strndup(arena, at->key.data, at->key.length);
    if (!keys[count].column) return tn_fail_memory(err, "keys", at->key.length);
    bool footer =
        at->kind == TN_JSON_STRING && at->text.length == 0; /* "": with the footer's key */
    if (!footer) TN_TRY(key_of(at, keys[count].column, arena, &keys[count].key, err));
  }
  *out = keys;
  *out_count = count;
  return TN_OK;
}

/* It stays in the arena: the tree of its keys points into it. */
static tn_status read_key_file(tn_str *out, tn_arena *arena, const char *key_file, tn_error *err) {
  tn_strbuf text = {0};
  TN_TRY(tn_file_read(key_file, KEY_FILE_BYTES_MAX, &text, err));
  char *kept = tn_arena_strndup(arena, text.data ? text.data : "", text.length);
  *out = (tn_str){kept, text.length};
  if (text.data) explicit_bzero(text.data, text.length);
  tn_strbuf_clear(&text);
  return kept ? TN_OK : tn_fail_memory(err, key_file, out->length);
}

static tn_status parse_keys(const tn_json **root, tn_arena *arena, tn_str text, tn_error *err) {
  tn_json *tree = NULL;
  TN_TRY(tn_json_parse(&tree, arena, text, &(tn_json_options){.unique_keys = true}, err));
  if (tree->kind != TN_JSON_OBJECT)
    return tn_fail(err, TN_ERR_DATA, "a key file is a JSON object, not %s",
                   tn_json_kind_name(tree->kind));
  *root = tree;
  return TN_OK;
}

static tn_status read_keys(tn_parquet_keys *out, tn_arena *arena, const tn_json *root,
                           tn_error *err) {
  const tn_json *footer = tn_json_get(root, "footer"), *ids = tn_json_get(root, "by_id");
  if (footer) TN_TRY(key_of(footer, "footer", arena, &out->footer, err));
  TN_TRY(read_columns(&out->columns, &out->column_count, arena, tn_json_get(root, "columns"), err));
  TN_TRY(tn_json_get_str(root, "aad_prefix", &out->aad_prefix, err));
  if (!ids || ids->kind != TN_JSON_OBJECT) return TN_OK;
  keys_by_id *by = tn_arena_alloc(arena, 1, sizeof *by);
  if (!by) return tn_fail_memory(err, "keys", sizeof *by);
  *by = (keys_by_id){ids, arena};
  out->find = find_by_id;
  out->context = by;
  return TN_OK;
}

tn_status tn_table_parquet_keys(tn_parquet_keys *out, tn_arena *arena, const char *key_file,
                                tn_error *err) {
  *out = (tn_parquet_keys){0};
  const tn_json *root = NULL;
  tn_str text;
  TN_TRY(read_key_file(&text, arena, key_file, err));
  tn_status status = parse_keys(&root, arena, text, err);
  if (status == TN_OK) status = read_keys(out, arena, root, err);
  return status == TN_OK ? TN_OK : tn_error_context(err, status, "%s", key_file);
}

/* Key metadata to store, by column; "" is the footer's. */
static tn_status take_ids(tn_parquet_encryption *out, tn_parquet_column_key *columns,
                          const tn_json *ids, tn_error *err) {
  for (const tn_json *at = ids ? ids->first : NULL; at; at = at->next) {
    bool found = at->key.length == 0;
    if (at->kind != TN_JSON_STRING)
      return tn_fail(err, TN_ERR_DATA, "ids are texts, not %s", tn_json_kind_name(at->kind));
    if (found) out->footer_key_metadata = at->text;
    for (int32_t i = 0; i < out->column_count; i++)
      if (tn_str_is(at->key, columns[i].column)) {
        columns[i].metadata = at->text;
        found = true;
      }
    if (!found)
      return tn_fail(err, TN_ERR_DATA, "an id for column \"%.*s\", which has no key",
                     TN_STR_ARG(at->key));
  }
  return TN_OK;
}

static tn_status read_encryption(tn_parquet_encryption *out, tn_arena *arena, const tn_json *root,
                                 tn_error *err) {
  const tn_json *footer = tn_json_get(root, "footer");
  tn_parquet_column_key *columns = NULL;
  if (!footer) return tn_fail(err, TN_ERR_DATA, "no key \"footer\", which writing wants");
  TN_TRY(key_of(footer, "footer", arena, &out->footer_key, err));
  TN_TRY(read_columns(&out->columns, &out->column_count, arena, tn_json_get(root, "columns"), err));
  memcpy(&columns, &out->columns, sizeof columns); /* made here, still ours to fill */
  TN_TRY(take_ids(out, columns, tn_json_get(root, "ids"), err));
  TN_TRY(tn_json_get_str(root, "aad_prefix", &out->aad_prefix, err));
  TN_TRY(tn_json_get_bool(root, "plain_footer", &out->plain_footer, err));
  TN_TRY(tn_json_get_bool(root, "ctr", &out->ctr_pages, err));
  return tn_json_get_bool(root, "hide_aad_prefix", &out->hide_aad_prefix, err);
}

tn_status tn_table_parquet_encryption(tn_parquet_encryption *out, tn_arena *arena,
                                      const char *key_file, tn_error *err) {
  *out = (tn_parquet_encryption){0};
  const tn_json *root = NULL;
  tn_str text;
  TN_TRY(read_key_file(&text, arena, key_file, err));
  tn_status status = parse_keys(&root, arena, text, err);
  if (status == TN_OK) status = read_encryption(out, arena, root, err);
  return status == TN_OK ? TN_OK : tn_error_context(err, status, "%s", key_file);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/table_options.h"

#include <stdio.h>

#define READ(field)  offsetof(tn_table_read_options, field)
#define WRITE(field) offsetof(tn_table_write_options, field)
/* What an option is for; 0: every format. */
enum {
  CSV = 1 << TN_TABLE_CSV | 1 << TN_TABLE_TSV,
  JSON = 1 << TN_TABLE_JSONL,
  TEXT = CSV | JSON,
  PARQUET = 1 << TN_TABLE_PARQUET,
  ARROW = 1 << TN_TABLE_ARROW | 1 << TN_TABLE_ARROW_STREAM,
};

static const tn_table_option read_options[] = {
    {"format", "NAME", "csv, tsv, parquet, arrow, arrows, jsonl (default: by the extension)",
     TN_TABLE_TEXT, READ(format), 0},
    {"columns", "A,B", "only these columns, in this order", TN_TABLE_LIST, READ(columns),
     READ(column_count), 0, 0, 0},
    {"batch_rows", "N", "CSV, JSON, Parquet: rows of a batch at most (default 65,536)",
     TN_TABLE_INT, READ(batch_rows), 0, TEXT | PARQUET, 1, 0},
    {"threads", "N", "threads that parse (default: all CPUs)", TN_TABLE_INT32, READ(threads), 0},
    {"hive", NULL, "columns too that are in the path, folder/country=DE/", TN_TABLE_FLAG,
     READ(hive), 0},
    {"schema", "TEXT", "CSV, JSON: types, 'id: int64, price: decimal(10, 2)' (default: inferred)",
     TN_TABLE_TEXT, READ(schema), 0, TEXT},
    {"schema_file", "FILE", "the same from a file", TN_TABLE_TEXT, READ(schema_file), 0, TEXT},
    {"on_error", "WHAT", "CSV, JSON: bad rows fail (default), skip or null", TN_TABLE_TEXT,
     READ(on_error), 0, TEXT},
    {"errors", "FILE", "CSV, JSON: bad rows, a JSON object each", TN_TABLE_TEXT, READ(errors), 0,
     TEXT},
    {"errors_max", "N", "CSV, JSON: more bad rows are an error (default: no limit)", TN_TABLE_INT,
     READ(errors_max), 0, TEXT, 1, 0},
    {"separator", "TEXT", "CSV: 1 to 8 bytes or 'tab' (default: detected)", TN_TABLE_TEXT,
     READ(csv.separator), 0, CSV},
    {"quote", "C", "CSV: one byte or 'none' (default: detected)", TN_TABLE_TEXT, READ(csv.quote), 0,
     CSV},
    {"escape", "C", "CSV: one byte or 'none' (default: detected)", TN_TABLE_TEXT, READ(csv.escape),
     0, CSV},
    {"comment", "C", "CSV: lines that begin with it are left out (default: detected)",
     TN_TABLE_TEXT, READ(csv.comment), 0, CSV},
    {"line_end", "NAME", "CSV: lf, crlf or cr (default: detected)", TN_TABLE_TEXT,
     READ(csv.line_end), 0, CSV},
    {"encoding", "NAME",
     "CSV: utf-8, utf-16le, utf-16be, latin-1 or windows-1252 (default: detected)", TN_TABLE_TEXT,
     READ(csv.encoding), 0, CSV},
    {"header", "YES|NO", "CSV: whether the first row names the columns (default: detected)",
     TN_TABLE_TEXT, READ(csv.header), 0, CSV},
    {"no_header", NULL, "CSV: the first line is data", TN_TABLE_FLAG, READ(csv.no_header), 0, CSV},
    {"header_rows", "N", "CSV: rows of the header, joined with a space (default: detected)",
     TN_TABLE_INT32, READ(csv.header_rows), 0, CSV},
    {"skip_lines", "N", "CSV: lines before the header; -1: none (default: detected)",
     TN_TABLE_INT32, READ(csv.skip_lines), 0, CSV, -1, 0},
    {"table", "N", "CSV: which of several tables in the file (default 1)", TN_TABLE_INT32,
     READ(csv.table), 0, CSV, 1, 0},
    {"union_by_name", NULL, "CSV, several files: by name, what a file lacks is null", TN_TABLE_FLAG,
     READ(csv.union_by_name), 0, CSV},
    {"exact_dialect", NULL, "CSV: detect nothing; defaults are , \" lf utf-8 and a header",
     TN_TABLE_FLAG, READ(csv.exact_dialect), 0, CSV},
    {"all_text", NULL, "CSV: columns that are not declared are text", TN_TABLE_FLAG,
     READ(csv.all_text), 0, CSV},
    {"infer_rows", "N", "CSV: rows looked at for types (default: a sample of about 5 MiB)",
     TN_TABLE_INT, READ(csv.infer_rows), 0, CSV, 1, 0},
    {"infer_all", NULL, "CSV: look at all rows for types, which reads the file twice",
     TN_TABLE_FLAG, READ(csv.infer_all), 0, CSV},
    {"block_bytes", "N", "CSV: text parsed as one piece (default 1 MiB)", TN_TABLE_INT,
     READ(csv.block_bytes), 0, CSV, 1, 0},
    {"field_bytes_max", "N", "CSV: a longer field is an error (default 64 MiB)", TN_TABLE_INT,
     READ(csv.field_bytes_max), 0, CSV, 1, 0},
    {"null_texts", "A,B", "CSV: texts that mean null, besides the empty field", TN_TABLE_LIST,
     READ(csv.null_texts), READ(csv.null_text_count), CSV},
    {"sample", NULL, "JSON: types from the first rows, one pass", TN_TABLE_FLAG, READ(jsonl.sample),
     0, JSON},
    {"sample_bytes", "N", "JSON: how much of a pipe is looked at for types (default 16 MiB)",
     TN_TABLE_INT, READ(jsonl.sample_bytes), 0, JSON, 1, 0},
    {"no_dates", NULL, "JSON: dates and times stay text", TN_TABLE_FLAG, READ(jsonl.no_dates), 0,
     JSON},
    {"rest_column", "NAME", "JSON: a column for the keys that the schema has not", TN_TABLE_TEXT,
     READ(jsonl.rest_column), 0, JSON},
    {"record_bytes_max", "N", "JSON: a longer object is an error (default 256 MiB)", TN_TABLE_INT,
     READ(jsonl.record_bytes_max), 0, JSON, 1, 0},
    {"depth_max", "N", "JSON: deeper nesting is an error (default 512)", TN_TABLE_INT32,
     READ(jsonl.depth_max), 0, JSON, 1, 0},
    {"batch_bytes_max", "N", "Arrow: a batch that decompresses to more is an error (default 4 GiB)",
     TN_TABLE_INT, READ(ipc.batch_bytes_max), 0, ARROW, 1, 0},
    {"skip_crc", NULL, "Parquet: do not verify page checksums", TN_TABLE_FLAG,
     READ(parquet.skip_crc), 0, PARQUET},
    {"key_file", "FILE", "Parquet, encrypted: a JSON object of keys (docs/formats.md)",
     TN_TABLE_TEXT, READ(key_file), 0, PARQUET},
    {"int96", "NAME",
     "Parquet: INT96 as ns, us (finer parts are cut) or auto (default: ns, Spark us)",
     TN_TABLE_TEXT, READ(int96), 0, PARQUET},
    {"variant_json", NULL, "Parquet: Variant columns as text in JSON", TN_TABLE_FLAG,
     READ(parquet.variant_json), 0, PARQUET},
    {"page_bytes_max", "N", "Parquet: a larger page is an error (default 1 GiB)", TN_TABLE_INT,
     READ(parquet.page_bytes_max), 0, PARQUET, 1, 0},
};

static const tn_table_option write_options[] = {
    {"format", "NAME", "csv, tsv, parquet, arrow, arrows, jsonl (default: by the extension)",
     TN_TABLE_TEXT, WRITE(format), 0},
    {"threads", "N", "threads that encode (default: all CPUs)", TN_TABLE_INT32, WRITE(threads), 0},
    {"codec", "NAME",
     "Parquet: zstd (default), snappy, gzip, brotli, lz4_raw; Arrow: lz4, zstd; uncompressed",
     TN_TABLE_TEXT, WRITE(codec), 0, PARQUET | ARROW},
    {"level", "N", "the codec's level (Parquet zstd: default 1)", TN_TABLE_INT32, WRITE(level), 0,
     PARQUET | ARROW, INT32_MIN, 0},
    {"row_group_rows", "N", "Parquet: rows of a row group (default 122,880)", TN_TABLE_INT,
     WRITE(parquet.row_group_rows), 0, PARQUET, 1, 0},
    {"page_bytes", "N", "Parquet: bytes of a page before compression (default 1 MiB)", TN_TABLE_INT,
     WRITE(parquet.page_bytes), 0, PARQUET, 1, 0},
    {"profile", "NAME", "Parquet: scan (default), training: single rows are read fast",
     TN_TABLE_TEXT, WRITE(profile), 0, PARQUET},
    {"row_group_bytes", "N", "Parquet: a row group of more bytes ends early (default 64 MiB)",
     TN_TABLE_INT, WRITE(parquet.row_group_bytes), 0, PARQUET, 1, 0},
    {"page_rows", "N", "Parquet: rows of every page (default: as page_bytes says)", TN_TABLE_INT,
     WRITE(parquet.page_rows), 0, PARQUET, 1, 0},
    {"data_page_version", "N", "Parquet: 1 (default) or 2", TN_TABLE_INT32,
     WRITE(parquet.data_page_version), 0, PARQUET, 1, 2},
    {"encodings", "A=NAME", "Parquet: encoding of columns, delta_byte_array ... (default: auto)",
     TN_TABLE_LIST, WRITE(encodings), WRITE(encoding_count), PARQUET},
    {"store_as", "A=NAME", "Parquet: text as enum, binary as bson, timestamps as int96",
     TN_TABLE_LIST, WRITE(store_as), WRITE(store_as_count), PARQUET},
    {"bloom", "A,B", "Parquet: columns that get a Bloom filter", TN_TABLE_LIST, WRITE(bloom),
     WRITE(bloom_count), PARQUET},
    {"key_file", "FILE", "Parquet: encrypt with these keys (docs/formats.md)", TN_TABLE_TEXT,
     WRITE(key_file), 0, PARQUET},
    {"sorted", "A,B", "Parquet: what rows are sorted by, 'a, b desc nulls first'", TN_TABLE_LIST,
     WRITE(sorted), WRITE(sorted_count), PARQUET},
    {"metadata", "K=V", "Parquet: key-value metadata", TN_TABLE_LIST, WRITE(metadata),
     WRITE(metadata_count), PARQUET},
    {"no_page_index", NULL, "Parquet: no page index", TN_TABLE_FLAG, WRITE(parquet.no_page_index),
     0, PARQUET},
    {"no_crc", NULL, "Parquet: no page checksums", TN_TABLE_FLAG, WRITE(parquet.no_crc), 0,
     PARQUET},
    {"no_arrow_schema", NULL, "Parquet: the Arrow schema is left out of the metadata",
     TN_TABLE_FLAG, WRITE(parquet.no_arrow_schema), 0, PARQUET},
    {"dictionary_bytes", "N", "Parquet: a larger dictionary is given up (default 1 MiB)",
     TN_TABLE_INT, WRITE(parquet.dictionary_bytes), 0, PARQUET, 1, 0},
    {"no_dictionary", NULL, "Parquet: no dictionary pages", TN_TABLE_FLAG,
     WRITE(parquet.no_dictionary), 0, PARQUET},
    {"compression_level", "N", "text in .gz (default 6) or .zst (default 3)", TN_TABLE_INT32,
     WRITE(compression_level), 0, TEXT, INT32_MIN, 0},
    {"separator", "C", "CSV: one byte or 'tab' (default ',')", TN_TABLE_TEXT, WRITE(csv.separator),
     0, CSV},
    {"quote", "C", "CSV: one byte (default '\"')", TN_TABLE_TEXT, WRITE(csv.quote), 0, CSV},
    {"line_end", "NAME", "CSV: lf (default), crlf or cr", TN_TABLE_TEXT, WRITE(csv.line_end), 0,
     CSV},
    {"no_header", NULL, "CSV: no row of names", TN_TABLE_FLAG, WRITE(csv.no_header), 0, CSV},
    {"null_text", "TEXT", "CSV: how null is written (default: nothing)", TN_TABLE_TEXT,
     WRITE(csv.null_text), 0, CSV},
    {"binary", "NAME", "CSV: binary columns as base64 (default), hex, or text: as they are",
     TN_TABLE_TEXT, WRITE(csv.binary), 0, CSV},
    {"quote_all", NULL, "CSV: quotes around every text", TN_TABLE_FLAG, WRITE(csv.quote_all), 0,
     CSV},
};

#define COUNT(list) ((int32_t)(sizeof(list) / sizeof(list)[0]))

const tn_table_option *tn_table_read_option_list(int32_t *count) {
  *count = COUNT(read_options);
  return read_options;
}

const tn_table_option *tn_table_write_option_list(int32_t *count) {
  *count = COUNT(write_options);
  return write_options;
}

/* ---- values ---- */
static bool parse_scaled(tn_str s, int64_t *out) {
  static const struct {
    const char *suffix;
    int64_t factor;
  } units[] = {{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"k", 1000},
               {"K", 1000},      {"M", 1000000},   {"G", 1000000000}};
  int64_t factor = 1, value;
  for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
    tn_str suffix = tn_str_of(units[i].suffix);
    if (!tn_str_ends(s, suffix)) continue;
    s.length -= suffix.length;
    factor = units[i].factor;
    break;
  }
  return tn_str_to_i64(s, &value) && !__builtin_mul_overflow(value, factor, out);
}

static tn_status keep_items(const tn_table_option *o, char *base, const char **items, int32_t count,
                            const tn_arena *arena, tn_error *err) {
  if (arena->failed) return tn_fail_memory(err, o->key, arena->used_bytes);
  memcpy(base + o->at, &items, sizeof items);
  memcpy(base + o->count_at, &count, sizeof count);
  return TN_OK;
}

static tn_status set_json_list(const tn_table_option *o, char *base, tn_arena *arena,
                               const char *value, tn_error *err) {
  tn_json *root;
  tn_status status = tn_json_parse(&root, arena, tn_str_of(value), NULL, err);
  if (status != TN_OK) return tn_error_context(err, status, "option %s", o->key);
  const char **items = tn_arena_alloc(arena, (size_t)root->count + 1, sizeof *items);
  int32_t count = 0;
  for (const tn_json *at = root->first; at && items; at = at->next) {
    if (at->kind != TN_JSON_STRING || memchr(at->text.data, 0, at->text.length))
      return tn_fail(err, TN_ERR_ARGUMENT, "option %s wants an array of strings, got %s", o->key,
                     value);
    items[count++] = tn_arena_strndup(arena, at->text.data, at->text.length);
  }
  return keep_items(o, base, items, count, arena, err);
}

static tn_status set_list(const tn_table_option *o, char *base, tn_arena *arena, const char *value,
                          tn_error *err) {
  if (value[0] == '[') return set_json_list(o, base, arena, value, err);
  size_t room = 2;
  for (const char *at = value; *at; at++) room += *at == ',';
  const char **items = tn_arena_alloc(arena, room, sizeof *items);
  int32_t count = 0;
  tn_str rest = tn_str_of(value);
  while (rest.data && items) {
    tn_str item = tn_str_cut(&rest, ',');
    items[count++] = tn_arena_strndup(arena, item.data, item.length);
  }
  return keep_items(o, base, items, count, arena, err);
}

static tn_status bad_value(const tn_table_option *o, const char *wants, const char *value,
                           tn_error *err) {
  return tn_fail(err, TN_ERR_ARGUMENT, "option %s wants %s, got '%s'", o->key, wants, value);
}

static tn_status set_number(const tn_table_option *o, const char *value, int64_t *out,
                            tn_error *err) {
  char wants[64] = "a number";
  if (o->most)
    snprintf(wants, sizeof wants, "%lld to %lld", (long long)o->least, (long long)o->most);
  else if (o->least > INT32_MIN)
    snprintf(wants, sizeof wants, "a number from %lld on", (long long)o->least);
  if (!parse_scaled(tn_str_of(value), out) || *out < o->least || (o->most && *out > o->most))
    return bad_value(o, wants, value, err);
  return TN_OK;
}

static tn_status set_value(const tn_table_option *o, char *base, tn_arena *arena, const char *value,
                           tn_error *err) {
  void *target = base + o->at;
  int64_t number;
  switch (o->kind) {
    case TN_TABLE_FLAG:
      if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        return bad_value(o, "true or false", value, err);
      *(bool *)target = value[0] == 't';
      return TN_OK;
    case TN_TABLE_TEXT:
      *(const char **)target = tn_arena_strndup(arena, value, strlen(value));
      return arena->failed ? tn_fail_memory(err, o->key, strlen(value)) : TN_OK;
    case TN_TABLE_INT:
      TN_TRY(set_number(o, value, &number, err));
      *(int64_t *)target = number;
      return TN_OK;
    case TN_TABLE_INT32:
      TN_TRY(set_number(o, value, &number, err));
      if (number != (int32_t)number) return bad_value(o, "a number below 2^31", value, err);
      *(int32_t *)target = (int32_t)number;
      return TN_OK;
    case TN_TABLE_LIST:
      return set_list(o, base, arena, value, err);
  }
  return bad_value(o, "another kind", value, err);
}

static tn_status set_by_key(const tn_table_option *list, int32_t count, const char *what,
                            void *base, tn_arena *arena, const char *key, const char *value,
                            tn_error *err) {
  for (int32_t i = 0; i < count; i++)
    if (strcmp(list[i].key, key) == 0) return set_value(&list[i], base, arena, value, err);
  tn_strbuf known = {0};
  for (int32_t i = 0; i < count; i++) tn_strbuf_addf(&known, "%s%s", i ? " " : "", list[i].key);
  tn_status status = tn_fail(err, TN_ERR_ARGUMENT, "%s has no option '%s'; known are %s", what, key,
                             known.data ? known.data : "");
  tn_strbuf_clear(&known);
  return status;
}

static void add_format_names(tn_strbuf *out, uint32_t formats) {
  static const struct {
    uint32_t bits;
    const char *name;
  } families[] = {{CSV, "CSV"}, {JSON, "JSON lines"}, {PARQUET, "Parquet"}, {ARROW, "Arrow"}};
  for (size_t i = 0; i < sizeof families / sizeof *families; i++)
    if (formats & families[i].bits)
      tn_strbuf_addf(out, "%s%s", out->length ? ", " : "", families[i].name);
}

tn_status tn_table_option_check(const tn_table_option *option, const char *name, uint32_t formats,
                                const char *path, tn_error *err) {
  if (!option->formats || (option->formats & formats)) return TN_OK;
  tn_strbuf of = {0}, is = {0};
  add_format_names(&of, option->formats);
  add_format_names(&is, formats);
  tn_status status = tn_fail(err, TN_ERR_ARGUMENT, "option %s is of %s; %s is %s", name,
                             of.data ? of.data : "", path, is.data ? is.data : "");
  tn_strbuf_clear(&of);
  tn_strbuf_clear(&is);
  return status;
}

tn_status tn_table_options_check(bool writing, const char *const *pairs, const char *path,
                                 const char *format_name, tn_error *err) {
  int32_t count = 0;
  tn_table_format format;
  const tn_table_option *list =
      writing ? tn_table_write_option_list(&count) : tn_table_read_option_list(&count);
  TN_TRY(tn_table_format_chosen(path, format_name, &format, err));
  for (; pairs && pairs[0]; pairs += 2)
    for (int32_t i = 0; i < count; i++)
      if (strcmp(list[i].key, pairs[0]) == 0)
        TN_TRY(tn_table_option_check(&list[i], pairs[0], 1u << format, path, err));
  return TN_OK;
}

tn_status tn_table_read_option(tn_table_read_options *options, tn_arena *arena, const char *key,
                               const char *value, tn_error *err) {
  return set_by_key(read_options, COUNT(read_options), "reading", options, arena, key, value, err);
}

tn_status tn_table_write_option(tn_table_write_options *options, tn_arena *arena, const char *key,
                                const char *value, tn_error *err) {
  return set_by_key(write_options, COUNT(write_options), "writing", options, arena, key, value,
                    err);
}

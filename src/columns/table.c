/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/table.h"

#include "columns/deflate.h"
#include "columns/table_parquet.h"

static const struct {
  const char *extension;
  tn_table_format format;
} extensions[] = {
    {".csv", TN_TABLE_CSV},
    {".tsv", TN_TABLE_TSV},
    {".parquet", TN_TABLE_PARQUET},
    {".arrow", TN_TABLE_ARROW},
    {".ipc", TN_TABLE_ARROW},
    {".feather", TN_TABLE_ARROW},
    {".arrows", TN_TABLE_ARROW_STREAM},
    {".stream", TN_TABLE_ARROW_STREAM},
    {".jsonl", TN_TABLE_JSONL},
    {".ndjson", TN_TABLE_JSONL},
    {".json", TN_TABLE_JSONL},
};

static const struct {
  const char *extension;
  tn_compression compression;
} compressions[] = {{".gz", TN_COMPRESSION_GZIP}, {".zst", TN_COMPRESSION_ZSTD}};

tn_compression tn_table_compression_of(const char *path) {
  for (size_t i = 0; i < sizeof compressions / sizeof compressions[0]; i++)
    if (tn_str_ends(tn_str_of(path), tn_str_of(compressions[i].extension)))
      return compressions[i].compression;
  return TN_COMPRESSION_NONE;
}

/* Without ".gz", ".zst". */
static tn_str plain_name(const char *path) {
  tn_str s = tn_str_of(path);
  for (size_t i = 0; i < sizeof compressions / sizeof compressions[0]; i++) {
    tn_str extension = tn_str_of(compressions[i].extension);
    if (!tn_str_ends(s, extension)) continue;
    s.length -= extension.length;
    break;
  }
  return s;
}

tn_status tn_table_format_of(const char *path, tn_table_format *out, tn_error *err) {
  tn_str s = plain_name(path);
  for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++) {
    if (!tn_str_ends(s, tn_str_of(extensions[i].extension))) continue;
    *out = extensions[i].format;
    return TN_OK;
  }
  tn_strbuf known = {0};
  for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++)
    tn_strbuf_addf(&known, " %s", extensions[i].extension);
  tn_status status =
      tn_fail(err, TN_ERR_UNSUPPORTED,
              "%s: the extension tells the format, or else the option `format`; known "
              "are%s, of text also with .gz or .zst behind it",
              path, known.data ? known.data : "");
  tn_strbuf_clear(&known);
  return status;
}

static const char *const format_names[] = {"csv", "tsv", "parquet", "arrow", "jsonl", "arrows"};

const char *tn_table_format_name(tn_table_format format) {
  return format_names[format];
}

const char *tn_table_format_extension(tn_table_format format) {
  for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++)
    if (extensions[i].format == format) return extensions[i].extension;
  return "";
}

tn_status tn_table_format_chosen(const char *path, const char *name, tn_table_format *out,
                                 tn_error *err) {
  if (!name && strcmp(path, "-") == 0)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "-: a stream has no extension that tells its format: name it with the option "
                   "format (csv, tsv, parquet, arrow, arrows, jsonl)");
  if (!name) return tn_table_format_of(path, out, err);
  for (size_t i = 0; i < sizeof format_names / sizeof format_names[0]; i++)
    if (strcmp(name, format_names[i]) == 0) {
      *out = (tn_table_format)i;
      return TN_OK;
    }
  return tn_fail(err, TN_ERR_ARGUMENT,
                 "%s: format '%s' is not known; known are csv, tsv, parquet, arrow, arrows, jsonl",
                 path, name);
}

/* ---- reading ---- */
/* One file, or several as one. */
static tn_status open_csv(ArrowArrayStream *out, tn_source *const *sources, int32_t count,
                          tn_table_format format, const tn_table_read_options *options,
                          tn_pool *pool, tn_error *err) {
  tn_csv_options csv = options->csv;
  csv.columns = options->columns;
  csv.column_count = options->column_count;
  if (options->batch_rows) csv.batch_rows = options->batch_rows;
  if (format == TN_TABLE_TSV && !csv.separator) csv.separator = "\t";
  csv.schema = options->declared;
  csv.bad_rows = options->bad;
  csv.pool = pool;
  csv.progress = options->progress;
  return count == 1 ? tn_csv_read(out, sources[0], &csv, err)
                    : tn_csv_read_many(out, sources, count, &csv, err);
}

static tn_status open_parquet(ArrowArrayStream *out, tn_source *source,
                              const tn_table_read_options *options, tn_pool *pool, tn_error *err) {
  tn_parquet_read_options parquet = options->parquet;
  parquet.columns = options->columns;
  parquet.column_count = options->column_count;
  if (options->batch_rows) parquet.batch_rows = options->batch_rows;
  parquet.pool = pool;
  tn_status known = tn_table_parquet_int96(&parquet.int96, options->int96, err);
  if (known != TN_OK) {
    tn_source_close(source);
    return known;
  }
  if (!options->key_file) return tn_parquet_read(out, source, &parquet, err);
  tn_arena arena = {0};
  tn_parquet_keys keys;
  tn_status status = tn_table_parquet_keys(&keys, &arena, options->key_file, err);
  parquet.keys = &keys;
  if (status == TN_OK)
    status = tn_parquet_read(out, source, &parquet, err);
  else
    tn_source_close(source);
  tn_arena_clear(&arena);
  return status;
}

/* File or stream: the first bytes tell. */
static tn_status open_arrow(ArrowArrayStream *out, tn_source *source,
                            const tn_table_read_options *options, tn_error *err) {
  tn_ipc_read_options ipc = options->ipc;
  ipc.columns = options->column_count > 0 ? options->columns : NULL;
  ipc.column_count = options->column_count;
  return tn_ipc_read_with(out, source, &ipc, err);
}

static tn_status open_jsonl(ArrowArrayStream *out, tn_source *source,
                            const tn_table_read_options *options, tn_pool *pool, tn_error *err) {
  tn_jsonl_options jsonl = options->jsonl;
  jsonl.columns = options->columns;
  jsonl.column_count = options->column_count;
  if (options->batch_rows) jsonl.batch_rows = options->batch_rows;
  jsonl.schema = options->declared;
  jsonl.bad = options->bad;
  jsonl.pool = pool;
  jsonl.progress = options->progress;
  return tn_jsonl_read(out, source, &jsonl, err);
}

/* Takes over `source`. */
static tn_status open_format(tn_table *out, tn_source *source, const tn_table_read_options *options,
                             tn_pool *pool, tn_error *err) {
  switch (out->format) {
    case TN_TABLE_PARQUET:
      return open_parquet(&out->stream, source, options, pool, err);
    case TN_TABLE_ARROW:
    case TN_TABLE_ARROW_STREAM:
      return open_arrow(&out->stream, source, options, err);
    case TN_TABLE_JSONL:
      return open_jsonl(&out->stream, source, options, pool, err);
    default:
      return open_csv(&out->stream, &source, 1, out->format, options, pool, err);
  }
}

/* The caller's pool, or one that lives as long as its owner; NULL for one thread. */
static tn_status choose_pool(tn_pool *given, int32_t threads, tn_pool **own, tn_error *err) {
  if (given || threads == 1 || (threads == 0 && tn_cpu_count() == 1)) return TN_OK;
  return tn_pool_new(own, threads, err);
}

tn_status tn_table_open(tn_table *out, const char *path, const tn_table_read_options *options,
                        tn_error *err) {
  static const tn_table_read_options defaults;
  *out = (tn_table){0};
  if (!options) options = &defaults;
  TN_TRY(tn_table_format_chosen(path, options->format, &out->format, err));
  tn_source *source;
  TN_TRY(tn_source_open_file(&source, path, err));
  tn_status status = choose_pool(options->pool, options->threads, &out->pool, err);
  if (status == TN_OK)
    status = open_format(out, source, options, options->pool ? options->pool : out->pool, err);
  else
    tn_source_close(source);
  if (status == TN_OK) {
    out->source = source;
    return TN_OK;
  }
  tn_pool_free(out->pool);
  out->pool = NULL;
  return status;
}

static void close_sources(tn_source **sources, int64_t count) {
  for (int64_t i = 0; i < count; i++) tn_source_close(sources[i]);
}

tn_status tn_table_open_csv_files(tn_table *out, const char *const *paths, int32_t count,
                                  const tn_table_read_options *options, tn_error *err) {
  *out = (tn_table){0};
  TN_TRY(tn_table_format_chosen(paths[0], options->format, &out->format, err));
  out->sources = tn_alloc((size_t)count, sizeof *out->sources);
  if (!out->sources) return tn_fail_memory(err, "CSV files", (size_t)count * sizeof *out->sources);
  tn_status status = TN_OK;
  for (int32_t i = 0; i < count && status == TN_OK; i++) {
    status = tn_source_open_file(&out->sources[i], paths[i], err);
    if (status == TN_OK) out->source_count++;
  }
  if (status == TN_OK) status = choose_pool(options->pool, options->threads, &out->pool, err);
  if (status == TN_OK) {
    status = open_csv(&out->stream, out->sources, count, out->format, options,
                      options->pool ? options->pool : out->pool, err);
    if (status != TN_OK) out->source_count = 0; /* taken over */
  } else {
    close_sources(out->sources, out->source_count);
    out->source_count = 0;
  }
  if (status != TN_OK) tn_table_close(out);
  return status;
}

int64_t tn_table_bytes(const tn_table *table) {
  int64_t bytes = table->source ? table->source->size_bytes : 0;
  for (int64_t i = 0; i < table->source_count && bytes >= 0; i++) {
    int64_t size = table->sources[i]->size_bytes;
    bytes = size < 0 ? -1 : bytes + size;
  }
  return bytes;
}

int64_t tn_table_bytes_read(const tn_table *table) {
  int64_t bytes = table->source ? table->source->bytes_read : 0;
  for (int64_t i = 0; i < table->source_count; i++) bytes += table->sources[i]->bytes_read;
  return bytes;
}

void tn_table_close(tn_table *table) {
  tn_stream_clear(&table->stream);
  tn_pool_free(table->pool);
  tn_free(table->sources);
  *table = (tn_table){0};
}

/* ---- writing ---- */
struct tn_table_writer {
  tn_sink *sink;
  const tn_sink *file; /* sink itself, or what it compresses into */
  tn_table_format format;
  tn_csv_writer *csv; /* exactly one of the four is set */
  tn_parquet_writer *parquet;
  tn_ipc_writer *arrow;
  tn_jsonl_writer *jsonl;
  tn_pool *pool;  /* its own, when options gave none */
  tn_arena arena; /* options that were text */
};

static tn_status open_arrow_writer(tn_table_writer *w, const ArrowSchema *schema,
                                   const tn_table_write_options *options, tn_error *err) {
  static const char *const names[] = {"uncompressed", "lz4", "zstd"};
  tn_ipc_write_options ipc = {.stream = w->format == TN_TABLE_ARROW_STREAM,
                              .level = options->level};
  const char *codec = options->codec ? options->codec : names[0];
  while (ipc.codec < TN_IPC_ZSTD && strcmp(codec, names[ipc.codec]) != 0) ipc.codec++;
  if (strcmp(codec, names[ipc.codec]) != 0)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "codec '%s' is not one of Arrow's; they are uncompressed, lz4, zstd", codec);
  if (options->level && ipc.codec == TN_IPC_PLAIN)
    return tn_fail(err, TN_ERR_ARGUMENT, "level %d without a codec: lz4 or zstd", options->level);
  return tn_ipc_writer_open(&w->arrow, w->sink, schema, &ipc, err);
}

static tn_status open_writer(tn_table_writer *w, const ArrowSchema *schema,
                             const tn_table_write_options *options, tn_error *err) {
  if (w->format == TN_TABLE_ARROW || w->format == TN_TABLE_ARROW_STREAM)
    return open_arrow_writer(w, schema, options, err);
  if (w->format == TN_TABLE_PARQUET) {
    tn_parquet_write_options parquet;
    TN_TRY(tn_table_parquet_write(&parquet, &w->arena, options, err));
    parquet.pool = options->pool ? options->pool : w->pool;
    return tn_parquet_writer_new(&w->parquet, w->sink, schema, &parquet, err);
  }
  if (w->format == TN_TABLE_JSONL) return tn_jsonl_writer_new(&w->jsonl, w->sink, schema, err);
  tn_csv_options csv = options->csv;
  if (!csv.separator) csv.separator = w->format == TN_TABLE_TSV ? "\t" : ",";
  return tn_csv_writer_new(&w->csv, w->sink, schema, &csv, err);
}

/* Text goes through a compressor when the name says so; Parquet and Arrow compress inside. */
static tn_status open_sink(tn_table_writer *w, const char *path,
                           const tn_table_write_options *options, tn_error *err) {
  tn_compression compression = tn_table_compression_of(path);
  bool text = w->format == TN_TABLE_CSV || w->format == TN_TABLE_TSV || w->format == TN_TABLE_JSONL;
  if (compression != TN_COMPRESSION_NONE && !text)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: %s is compressed inside, not as a whole file",
                   path, tn_table_format_name(w->format));
  if (options->compression_level && compression == TN_COMPRESSION_NONE)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "%s: compression level %d is of files that end in .gz or .zst", path,
                   options->compression_level);
  tn_sink *file;
  TN_TRY(tn_sink_open_file(&file, path, err));
  w->file = file;
  tn_status status = tn_deflate_open(&w->sink, file, compression, options->compression_level, err);
  if (status != TN_OK) w->file = NULL;
  return status;
}

tn_status tn_table_writer_new(tn_table_writer **out, const char *path, const ArrowSchema *schema,
                              const tn_table_write_options *options, tn_error *err) {
  static const tn_table_write_options defaults;
  if (!options) options = &defaults;
  *out = NULL;
  tn_table_format format = TN_TABLE_CSV;
  TN_TRY(tn_table_format_chosen(path, options->format, &format, err));
  tn_table_writer *w = tn_alloc(1, sizeof *w);
  if (!w) return tn_fail_memory(err, "table writer", sizeof *w);
  w->format = format;
  tn_status status = open_sink(w, path, options, err);
  if (status == TN_OK && format == TN_TABLE_PARQUET)
    status = choose_pool(options->pool, options->threads, &w->pool, err);
  if (status == TN_OK) status = open_writer(w, schema, options, err);
  if (status != TN_OK) {
    tn_table_writer_free(w);
    return status;
  }
  *out = w;
  return TN_OK;
}

tn_status tn_table_writer_batch(tn_table_writer *w, const ArrowArray *batch, tn_error *err) {
  if (w->jsonl) return tn_jsonl_writer_batch(w->jsonl, batch, err);
  if (w->csv) return tn_csv_writer_batch(w->csv, batch, err);
  if (w->parquet) return tn_parquet_writer_batch(w->parquet, batch, err);
  return tn_ipc_writer_batch(w->arrow, batch, err);
}

tn_status tn_table_writer_finish(tn_table_writer *w, tn_error *err) {
  tn_status status = w->csv       ? tn_csv_writer_finish(w->csv, err)
                     : w->jsonl   ? tn_jsonl_writer_finish(w->jsonl, err)
                     : w->parquet ? tn_parquet_writer_finish(w->parquet, err)
                                  : tn_ipc_writer_finish(w->arrow, err);
  TN_TRY(status);
  return tn_sink_commit(w->sink, err);
}

int64_t tn_table_writer_not_finite(const tn_table_writer *w) {
  return w->jsonl ? tn_jsonl_writer_not_finite(w->jsonl)
         : w->csv ? tn_csv_writer_not_finite(w->csv)
                  : 0;
}

int64_t tn_table_writer_nested_deltas(const tn_table_writer *w) {
  return w->arrow ? tn_ipc_writer_nested_deltas(w->arrow) : 0;
}

int64_t tn_table_writer_bytes(const tn_table_writer *w) {
  return w->file->bytes_written;
}

void tn_table_writer_free(tn_table_writer *w) {
  if (!w) return;
  tn_csv_writer_free(w->csv);
  tn_jsonl_writer_free(w->jsonl);
  tn_parquet_writer_free(w->parquet);
  tn_ipc_writer_free(w->arrow);
  tn_sink_close(w->sink);
  tn_pool_free(w->pool);
  tn_arena_clear(&w->arena);
  tn_free(w);
}

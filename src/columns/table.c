/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/table.h"

static const struct {
  const char *extension;
  tn_table_format format;
} extensions[] = {
    {".csv", TN_TABLE_CSV},      {".tsv", TN_TABLE_TSV},    {".parquet", TN_TABLE_PARQUET},
    {".arrow", TN_TABLE_ARROW},  {".ipc", TN_TABLE_ARROW},  {".jsonl", TN_TABLE_JSONL},
    {".ndjson", TN_TABLE_JSONL}, {".json", TN_TABLE_JSONL}, {".arrows", TN_TABLE_ARROW_STREAM},
};

tn_status tn_table_format_of(const char *path, tn_table_format *out, tn_error *err) {
  tn_str s = tn_str_of(path);
  for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++) {
    if (!tn_str_ends(s, tn_str_of(extensions[i].extension))) continue;
    *out = extensions[i].format;
    return TN_OK;
  }
  return tn_fail(err, TN_ERR_UNSUPPORTED,
                 "%s: the extension tells the format; known are .csv .tsv .parquet .arrow .ipc "
                 ".arrows .jsonl .ndjson .json",
                 path);
}

static const char *const format_names[] = {"csv", "tsv", "parquet", "arrow", "jsonl", "arrows"};

const char *tn_table_format_name(tn_table_format format) {
  return format_names[format];
}

/* The named format, or the extension's. */
static tn_status choose_format(const char *path, const char *name, tn_table_format *out,
                               tn_error *err) {
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
static tn_status open_csv(ArrowArrayStream *out, tn_source *source, tn_table_format format,
                          const tn_table_read_options *options, tn_error *err) {
  tn_csv_options csv = options->csv;
  csv.columns = options->columns;
  csv.column_count = options->column_count;
  if (options->batch_rows) csv.batch_rows = options->batch_rows;
  if (format == TN_TABLE_TSV && !csv.separator) csv.separator = '\t';
  return tn_csv_read(out, source, &csv, err);
}

static tn_status open_parquet(ArrowArrayStream *out, tn_source *source,
                              const tn_table_read_options *options, tn_error *err) {
  tn_parquet_read_options parquet = options->parquet;
  parquet.columns = options->columns;
  parquet.column_count = options->column_count;
  if (options->batch_rows) parquet.batch_rows = options->batch_rows;
  return tn_parquet_read(out, source, &parquet, err);
}

static tn_status open_arrow(ArrowArrayStream *out, tn_source *source,
                            const tn_table_read_options *options, tn_error *err) {
  const char *const *columns = options->column_count > 0 ? options->columns : NULL;
  return tn_ipc_read_columns(out, source, columns, options->column_count, err);
}

static tn_status open_jsonl(tn_table *out, tn_source *source, const tn_table_read_options *options,
                            tn_error *err) {
  tn_jsonl_options jsonl = options->jsonl;
  jsonl.columns = options->columns;
  jsonl.column_count = options->column_count;
  if (options->batch_rows) jsonl.batch_rows = options->batch_rows;
  if (!options->pool && options->threads != 1) {
    tn_status status = tn_pool_new(&out->pool, options->threads, err);
    if (status != TN_OK) {
      tn_source_close(source);
      return status;
    }
  }
  jsonl.pool = options->pool ? options->pool : out->pool;
  tn_status status = tn_jsonl_read(&out->stream, source, &jsonl, err);
  if (status != TN_OK) tn_pool_free(out->pool);
  if (status != TN_OK) out->pool = NULL;
  return status;
}

tn_status tn_table_open(tn_table *out, const char *path, const tn_table_read_options *options,
                        tn_error *err) {
  static const tn_table_read_options defaults;
  *out = (tn_table){0};
  if (!options) options = &defaults;
  tn_table_format format = TN_TABLE_CSV;
  TN_TRY(choose_format(path, options->format, &format, err));
  tn_source *source;
  TN_TRY(tn_source_open_file(&source, path, err));
  tn_status status;
  if (format == TN_TABLE_PARQUET)
    status = open_parquet(&out->stream, source, options, err);
  else if (format == TN_TABLE_ARROW || format == TN_TABLE_ARROW_STREAM)
    status = open_arrow(&out->stream, source, options, err);
  else if (format == TN_TABLE_JSONL)
    status = open_jsonl(out, source, options, err);
  else
    status = open_csv(&out->stream, source, format, options, err);
  if (status == TN_OK) out->source = source;
  return status;
}

void tn_table_close(tn_table *table) {
  tn_stream_clear(&table->stream);
  tn_pool_free(table->pool);
  table->pool = NULL;
  table->source = NULL;
}

/* ---- writing ---- */
struct tn_table_writer {
  tn_sink *sink;
  tn_table_format format;
  tn_csv_writer *csv; /* exactly one of the four is set */
  tn_parquet_writer *parquet;
  tn_ipc_writer *arrow;
  tn_jsonl_writer *jsonl;
};

static tn_status codec_of(const char *name, tn_parquet_codec *out, tn_error *err) {
#define X(id, code, text)        \
  if (strcmp(name, text) == 0) { \
    *out = id;                   \
    return TN_OK;                \
  }
  TN_PARQUET_CODEC_LIST(X)
#undef X
  return tn_fail(err, TN_ERR_ARGUMENT,
                 "codec '%s' is not known; known are uncompressed, snappy, gzip, zstd", name);
}

static tn_status open_arrow_writer(tn_table_writer *w, const ArrowSchema *schema,
                                   const tn_table_write_options *options, tn_error *err) {
  static const char *const codecs[] = {
      [TN_IPC_PLAIN] = "uncompressed", [TN_IPC_LZ4] = "lz4", [TN_IPC_ZSTD] = "zstd"};
  tn_ipc_write_options ipc = {.stream = w->format == TN_TABLE_ARROW_STREAM,
                              .level = options->parquet.level};
  const char *name = options->codec ? options->codec : codecs[TN_IPC_PLAIN];
  while (ipc.codec <= TN_IPC_ZSTD && strcmp(name, codecs[ipc.codec]) != 0) ipc.codec++;
  if (ipc.codec > TN_IPC_ZSTD)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "codec '%s' is not known for Arrow; known are uncompressed, lz4, zstd", name);
  return tn_ipc_writer_open(&w->arrow, w->sink, schema, &ipc, err);
}

static tn_status open_writer(tn_table_writer *w, const ArrowSchema *schema,
                             const tn_table_write_options *options, tn_error *err) {
  if (w->format == TN_TABLE_ARROW || w->format == TN_TABLE_ARROW_STREAM)
    return open_arrow_writer(w, schema, options, err);
  if (w->format == TN_TABLE_PARQUET) {
    tn_parquet_write_options parquet = options->parquet;
    TN_TRY(codec_of(options->codec ? options->codec : "zstd", &parquet.codec, err));
    return tn_parquet_writer_new(&w->parquet, w->sink, schema, &parquet, err);
  }
  if (w->format == TN_TABLE_JSONL) return tn_jsonl_writer_new(&w->jsonl, w->sink, schema, err);
  tn_csv_options csv = options->csv;
  if (!csv.separator) csv.separator = w->format == TN_TABLE_TSV ? '\t' : ',';
  return tn_csv_writer_new(&w->csv, w->sink, schema, &csv, err);
}

tn_status tn_table_writer_new(tn_table_writer **out, const char *path, const ArrowSchema *schema,
                              const tn_table_write_options *options, tn_error *err) {
  static const tn_table_write_options defaults;
  if (!options) options = &defaults;
  *out = NULL;
  tn_table_format format = TN_TABLE_CSV;
  TN_TRY(choose_format(path, options->format, &format, err));
  tn_table_writer *w = tn_alloc(1, sizeof *w);
  if (!w) return tn_fail_memory(err, "table writer", sizeof *w);
  w->format = format;
  tn_status status = tn_sink_open_file(&w->sink, path, err);
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

int64_t tn_table_writer_bytes(const tn_table_writer *w) {
  return w->sink->bytes_written;
}

void tn_table_writer_free(tn_table_writer *w) {
  if (!w) return;
  tn_csv_writer_free(w->csv);
  tn_jsonl_writer_free(w->jsonl);
  tn_parquet_writer_free(w->parquet);
  tn_ipc_writer_free(w->arrow);
  tn_sink_close(w->sink);
  tn_free(w);
}

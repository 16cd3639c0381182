/* table.h - tables in files, whatever their format: the extension decides, or `format` does.
 *
 *     .csv .tsv                 columns/csv.h        .parquet columns/parquet/parquet.h .arrow .ipc
 * .feather      columns/ipc.h        .jsonl .ndjson .json  columns/jsonl.h
 *
 * Text formats may be compressed as a whole: .csv.gz, .jsonl.zst.
 * Reading gives a stream of record batches, writing takes them; what is between (convert, head,
 * count) need not know the format.  table_options.h sets the structs below by name.
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_TABLE_H
#define TN_COLUMNS_TABLE_H
#include "base/thread.h"
#include "columns/bad_rows.h"
#include "columns/csv.h"
#include "columns/inflate.h"
#include "columns/ipc.h"
#include "columns/jsonl.h"
#include "columns/parquet/parquet.h"

typedef enum tn_table_format {
  TN_TABLE_CSV,
  TN_TABLE_TSV,
  TN_TABLE_PARQUET,
  TN_TABLE_ARROW,
  TN_TABLE_JSONL,
  TN_TABLE_ARROW_STREAM, /* the stream format */
} tn_table_format;

/* TN_ERR_UNSUPPORTED names the path and lists the extensions that are known. */
TN_NODISCARD tn_status tn_table_format_of(const char *path, tn_table_format *out, tn_error *err);
tn_compression tn_table_compression_of(const char *path); /* what ".gz" and ".zst" say */
/* The named format when `name` is not NULL, else the extension's. */
TN_NODISCARD tn_status tn_table_format_chosen(const char *path, const char *name,
                                              tn_table_format *out, tn_error *err);
const char *tn_table_format_name(tn_table_format format);      /* "csv" */
const char *tn_table_format_extension(tn_table_format format); /* ".csv" */

typedef struct tn_table_read_options { /* zero: the default */
  const char *format;                  /* a name of tn_table_format_name; NULL: the extension's */
  const char *const *columns;          /* projection; NULL: all */
  int32_t column_count;
  int64_t batch_rows;
  bool hive;                        /* columns of the path too (hive.h); for table_set.h */
  const char *schema, *schema_file; /* declared types as text (schema_text.h); for table_set.h */
  const char *on_error, *errors;    /* "fail", "skip", "null"; error file; for table_set.h */
  int64_t errors_max;               /* bad rows; 0: no limit */
  const ArrowSchema *declared;      /* text formats: instead of inference */
  tn_bad_rows *bad;                 /* text formats; NULL: fail */
  int32_t threads;                  /* 0: all CPUs; readers that can use them do */
  tn_pool *pool;                    /* borrowed, instead of `threads` */
  tn_csv_options csv;               /* its projection and batch_rows are set from above */
  const char *key_file;             /* Parquet, encrypted: table_parquet.h */
  const char *int96;                /* Parquet: "auto" (default), "ns", "us": tn_parquet_int96 */
  tn_parquet_read_options parquet;  /* likewise */
  tn_ipc_read_options ipc;          /* likewise */
  tn_jsonl_options jsonl;           /* likewise; its pool too */
  tn_progress *progress;            /* text formats: of a pass over a file for its types */
} tn_table_read_options;

typedef struct tn_table {
  ArrowArrayStream stream;
  tn_table_format format;
  tn_source *source;   /* borrowed from the stream: size_bytes and bytes_read tell how far it is */
  tn_pool *pool;       /* private: its own, when options gave none */
  tn_source **sources; /* private: of several CSV files, borrowed; then `source` is NULL */
  int64_t source_count;
} tn_table;

TN_NODISCARD tn_status tn_table_open(tn_table *out, const char *path,
                                     const tn_table_read_options *options, tn_error *err);
/* Several CSV files as one table: columns and types are what all of them need. */
TN_NODISCARD tn_status tn_table_open_csv_files(tn_table *out, const char *const *paths,
                                               int32_t count, const tn_table_read_options *options,
                                               tn_error *err);
void tn_table_close(tn_table *table);
int64_t tn_table_bytes(const tn_table *table);      /* of its files; -1: not known */
int64_t tn_table_bytes_read(const tn_table *table); /* so far */

typedef struct tn_table_write_options { /* zero: the default; parquet: zstd level 1 */
  const char *format;                   /* as for reading */
  int32_t threads;                      /* as for reading */
  tn_pool *pool;
  const char *codec;         /* Parquet: default "zstd"; Arrow: default "uncompressed" */
  int32_t level;             /* of the codec; 0: its usual one */
  int32_t compression_level; /* of a compressed text file; 0: gzip 6, zstd 3 */
  /* Parquet, as text: table_parquet.h */
  const char *profile;          /* "scan" (default), "training" */
  const char *const *encodings; /* "price=byte_stream_split" */
  const char *const *store_as;  /* "status=enum" */
  const char *const *sorted;    /* "a", "b desc nulls first": what the rows are sorted by */
  const char *const *metadata;  /* "key=value" */
  const char *const *bloom;     /* columns with Bloom filters */
  int32_t encoding_count, store_as_count, sorted_count, metadata_count, bloom_count;
  const char *key_file;             /* encrypts */
  tn_csv_options csv;               /* separator, quote */
  tn_parquet_write_options parquet; /* what is above is set from there */
} tn_table_write_options;

typedef struct tn_table_writer tn_table_writer;
/* Nothing is seen under `path` before finish. */
TN_NODISCARD tn_status tn_table_writer_new(tn_table_writer **out, const char *path,
                                           const ArrowSchema *schema,
                                           const tn_table_write_options *options, tn_error *err);
TN_NODISCARD tn_status tn_table_writer_batch(tn_table_writer *w, const ArrowArray *batch,
                                             tn_error *err);
TN_NODISCARD tn_status tn_table_writer_finish(tn_table_writer *w, tn_error *err);
/* Numbers that became null so far because JSON has them not: NaN and infinity. */
int64_t tn_table_writer_not_finite(const tn_table_writer *w);
int64_t tn_table_writer_nested_deltas(const tn_table_writer *w); /* ipc.h */
int64_t tn_table_writer_bytes(const tn_table_writer *w);         /* written so far */
void tn_table_writer_free(tn_table_writer *w); /* without a finish: leaves nothing */

#endif

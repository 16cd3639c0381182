/* parquet.h - Apache Parquet files (https://parquet.apache.org/docs/file-format).
 *
 *     "PAR1" | row group 0: column chunk (pages) ... | row group 1 ... | footer | its size | "PAR1"
 *
 * The reader verifies the CRC of every page that carries one, reads only the byte ranges of the
 * columns and rows asked for, and never trusts a count from the file without a limit.  It takes
 * every encoding (but ALP), codec (but LZO) and nesting of the format, old forms of lists and maps
 * too.  Types are those that Arrow's own libraries choose; where the file carries the Arrow schema
 * it was written from, that decides.  INT96 is timestamp[ns], or timestamp[us] in files of Spark,
 * whose years reach further.  Strings are handed on as stored, UTF-8 or not.
 *
 * The writer takes every Arrow type but unions, chooses encodings by trial, and writes statistics,
 * page index and a CRC for every page.
 *
 * Thread: one a reader or writer. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_PARQUET_H
#define TN_COLUMNS_PARQUET_PARQUET_H
#include "base/io.h"
#include "base/json.h"
#include "base/thread.h"
#include "columns/arrow.h"

#define TN_PARQUET_CODEC_LIST(X) /* id, code in the file, name */   \
  X(TN_PARQUET_UNCOMPRESSED, 0, "uncompressed")                     \
  X(TN_PARQUET_SNAPPY, 1, "snappy")                                 \
  X(TN_PARQUET_GZIP, 2, "gzip")                                     \
  X(TN_PARQUET_BROTLI, 4, "brotli")                                 \
  X(TN_PARQUET_LZ4, 5, "lz4") /* deprecated: lz4_raw is its heir */ \
  X(TN_PARQUET_ZSTD, 6, "zstd")                                     \
  X(TN_PARQUET_LZ4_RAW, 7, "lz4_raw")
typedef enum tn_parquet_codec {
#define X(id, code, name) id = code,
  TN_PARQUET_CODEC_LIST(X)
#undef X
} tn_parquet_codec;

/* ---- keys of modular encryption: 16, 24 or 32 bytes each --------------------------------------
 */

typedef struct tn_parquet_column_key {
  const char *column; /* dotted path of a leaf, or of a field above it */
  tn_str key;         /* writing: length 0 means the footer's key */
  tn_str metadata;    /* writing: stored with the column, so that a reader may find the key */
} tn_parquet_column_key;

/* For reading; needed only while a file is opened.  A column without its key cannot be read, the
 * others can. */
typedef struct tn_parquet_keys {
  tn_str footer;
  const tn_parquet_column_key *columns;
  int32_t column_count;
  /* Asked where none of the keys above fits; `column` NULL: for the footer's.  TN_END: not known.
   */
  tn_status (*find)(void *context, const char *column, tn_str metadata, uint8_t key[32],
                    size_t *key_bytes, tn_error *err);
  void *context;
  tn_str aad_prefix; /* where the file was written with one; must equal the one in the file */
} tn_parquet_keys;

/* What INT96 columns are read as.  64-bit nanoseconds hold the years 1677 to 2262: a value beyond
 * them is an error.  Microseconds hold 292,000 years on either side; what is finer is cut off. */
typedef enum tn_parquet_int96 {
  TN_PARQUET_INT96_AUTO, /* timestamp[us] in files of Spark, whose values are microseconds; else ns
                          */
  TN_PARQUET_INT96_AS_NS,
  TN_PARQUET_INT96_AS_US,
} tn_parquet_int96;

/* For writing. */
typedef struct tn_parquet_encryption {
  tn_str footer_key; /* encrypts the footer and every column that is not named below */
  tn_str footer_key_metadata;
  const tn_parquet_column_key *columns; /* none: every column is encrypted with the footer's key */
  int32_t column_count;                 /* some: the others stay plain */
  bool plain_footer;    /* signed instead of encrypted; other readers may use the plain columns */
  bool ctr_pages;       /* AES_GCM_CTR_V1: pages without a tag, faster on old machines */
  tn_str aad_prefix;    /* names the file or table that it belongs to */
  bool hide_aad_prefix; /* not stored: readers must know it */
} tn_parquet_encryption;

/* How the values of a column are encoded.  Automatic: a dictionary while it pays, then whatever is
 * smallest after compression on the first values of a row group. */
#define TN_PARQUET_ENCODE_LIST(X) /* id, name */                            \
  X(TN_PARQUET_ENCODE_AUTO, "auto")                                         \
  X(TN_PARQUET_ENCODE_PLAIN, "plain")                                       \
  X(TN_PARQUET_ENCODE_DICTIONARY, "dictionary") /* PLAIN when it is full */ \
  X(TN_PARQUET_ENCODE_RLE, "rle")               /* booleans */              \
  X(TN_PARQUET_ENCODE_DELTA, "delta_binary_packed")                         \
  X(TN_PARQUET_ENCODE_DELTA_LENGTH, "delta_length_byte_array")              \
  X(TN_PARQUET_ENCODE_DELTA_PREFIX, "delta_byte_array")                     \
  X(TN_PARQUET_ENCODE_SPLIT, "byte_stream_split")
typedef enum tn_parquet_encode {
#define X(id, name) id,
  TN_PARQUET_ENCODE_LIST(X)
#undef X
      TN_PARQUET_ENCODE_COUNT
} tn_parquet_encode;
const char *tn_parquet_encode_name(tn_parquet_encode encode); /* "plain" */

/* What a file is laid out for.
 *
 * Training: a loader fetches single rows.  Every column has pages of the same rows (page_rows of
 * them, row groups are multiples of it), small enough that a page of the widest column is some 8 to
 * 64 KiB, and the page index is there: row r of a column is one ranged read of the page that the
 * offset index names for it, which is decoded without its neighbours.  No dictionaries, unless
 * dictionary_bytes or a column's encoding asks for them: a dictionary page would be a second read.
 */
typedef enum tn_parquet_profile {
  TN_PARQUET_PROFILE_SCAN,
  TN_PARQUET_PROFILE_TRAINING,
} tn_parquet_profile;

/* What Arrow has no type for, and a column is written as when asked: text as ENUM, binary as BSON,
 * timestamps as INT96, an old form that some readers want. */
#define TN_PARQUET_STORE_AS_LIST(X) /* id, name */ \
  X(TN_PARQUET_STORE_AS_IT_IS, "")                 \
  X(TN_PARQUET_STORE_AS_ENUM, "enum")              \
  X(TN_PARQUET_STORE_AS_BSON, "bson")              \
  X(TN_PARQUET_STORE_AS_INT96, "int96")
/* The key of a field's metadata that says so of a column that was read: ENUM or BSON. */
#define TN_PARQUET_LOGICAL_KEY "PARQUET:logical_type"
typedef enum tn_parquet_store_as {
#define X(id, name) id,
  TN_PARQUET_STORE_AS_LIST(X)
#undef X
      TN_PARQUET_STORE_AS_COUNT
} tn_parquet_store_as;
const char *tn_parquet_store_as_name(tn_parquet_store_as as); /* "enum" */

typedef struct tn_parquet_column_options {
  const char *path; /* a column, or all below a struct, list or map: "a", "a.list.element" */
  tn_parquet_encode encoding;
  bool bloom;               /* a Bloom filter for every row group */
  double bloom_probability; /* of a false positive; default 0.01 */
  tn_parquet_store_as as;
} tn_parquet_column_options;

typedef struct tn_parquet_sort_key { /* a promise of the caller's; it is not checked */
  const char *path;                  /* of one leaf */
  bool descending, nulls_first;
} tn_parquet_sort_key;

typedef struct tn_parquet_key_value {
  const char *key, *value; /* value NULL: a key alone */
} tn_parquet_key_value;

enum { TN_PARQUET_WRITE_LEAVES_MAX = 1 << 20 };

typedef struct tn_parquet_write_options { /* zero: the default, but codec 0 is "uncompressed" */
  tn_parquet_codec codec;
  int32_t level; /* the codec's own; zstd: default 1 */
  tn_parquet_profile profile;
  int64_t row_group_rows;    /* default 122,880 */
  int64_t row_group_bytes;   /* closes a row group early; default 64 MiB waiting, compressed */
  int64_t page_bytes;        /* uncompressed, default 1 MiB */
  int64_t page_rows;         /* rows of every page; default 0: as page_bytes says */
  int32_t data_page_version; /* 1 (default) or 2 */
  int64_t dictionary_bytes;  /* limit before falling back; default 1 MiB */
  bool no_dictionary;
  bool no_page_index;
  bool no_crc;
  bool no_arrow_schema; /* leave the Arrow schema out of the metadata */
  const tn_parquet_column_options *columns;
  int32_t column_count;
  const tn_parquet_sort_key *sort_keys;
  int32_t sort_key_count;
  const tn_parquet_key_value *metadata; /* beside that of the schema */
  int32_t metadata_count;
  const tn_parquet_encryption *encryption; /* NULL: none */
  struct tn_pool *pool;          /* encodes columns and compresses pages; NULL: this thread */
  const char *created_by_suffix; /* appended to "tenon version x.y" */
} tn_parquet_write_options;

typedef struct tn_parquet_writer tn_parquet_writer;
/* Borrows `sink`; options are copied, what they point to must live until the writer is freed. */
TN_NODISCARD tn_status tn_parquet_writer_new(tn_parquet_writer **out, tn_sink *sink,
                                             const ArrowSchema *schema,
                                             const tn_parquet_write_options *options,
                                             tn_error *err);
TN_NODISCARD tn_status tn_parquet_writer_batch(tn_parquet_writer *w, const ArrowArray *batch,
                                               tn_error *err);
TN_NODISCARD tn_status tn_parquet_writer_finish(tn_parquet_writer *w, tn_error *err);
void tn_parquet_writer_free(tn_parquet_writer *w);

typedef struct tn_row_range {
  int64_t first_row, rows;
} tn_row_range;

typedef struct tn_parquet_read_options { /* zero: the default */
  const char *const *columns;            /* projection in this order; NULL: all */
  int32_t column_count;
  int64_t batch_rows;     /* at most; default 8,192 to 65,536, about 1 MiB of them */
  int64_t page_bytes_max; /* an uncompressed page beyond this is TN_ERR_LIMIT; default 1 GiB */
  bool skip_crc;          /* default: verify */
  bool variant_json;      /* VARIANT columns as text; default: binary, put together if shredded */
  const tn_parquet_keys *keys; /* tn_parquet_read alone: of an encrypted file */
  tn_parquet_int96 int96;      /* likewise */
  /* Only these rows of the file: ascending, apart; pages outside are not read where the file has an
   * offset index, and not decoded where it has none.  NULL: all. */
  const tn_row_range *ranges;
  int64_t range_count;
  /* Decodes columns, and small row groups, in parallel; NULL: this thread alone.  It must outlive
   * the scan.  The batches are the same. */
  tn_pool *pool;
} tn_parquet_read_options;

typedef struct tn_parquet_file tn_parquet_file;
/* Takes over `source`, reads and checks the footer. */
TN_NODISCARD tn_status tn_parquet_open(tn_parquet_file **out, tn_source *source, tn_error *err);
typedef struct tn_parquet_open_options { /* zero: the default */
  const tn_parquet_keys *keys;           /* of an encrypted file */
  tn_parquet_int96 int96;
} tn_parquet_open_options;
/* TN_ERR_NOT_FOUND: a key is missing; TN_ERR_CHECKSUM: it does not fit. */
TN_NODISCARD tn_status tn_parquet_open_with(tn_parquet_file **out, tn_source *source,
                                            const tn_parquet_open_options *options, tn_error *err);
void tn_parquet_close(tn_parquet_file *file);
const char *tn_parquet_name(const tn_parquet_file *file); /* of its source */
int64_t tn_parquet_rows(const tn_parquet_file *file);
int64_t tn_parquet_row_groups(const tn_parquet_file *file);
int64_t tn_parquet_bytes_read(const tn_parquet_file *file); /* so far, footer included */
TN_NODISCARD tn_status tn_parquet_schema(const tn_parquet_file *file, ArrowSchema *out,
                                         tn_error *err);
/* A stream over the file, which must outlive it. */
TN_NODISCARD tn_status tn_parquet_scan(tn_parquet_file *file,
                                       const tn_parquet_read_options *options,
                                       ArrowArrayStream *out, tn_error *err);
/* Opens and scans in one call; the stream owns everything.  Takes over `source`. */
TN_NODISCARD tn_status tn_parquet_read(ArrowArrayStream *out, tn_source *source,
                                       const tn_parquet_read_options *options, tn_error *err);

/* What `tenon data inspect` shows.  Strings live as long as the file. */
typedef struct tn_parquet_column_info {
  const char *name;
  const char *physical_type; /* "BYTE_ARRAY" */
  const char *logical_type;  /* "STRING", "" when none */
  const char *type;          /* the Arrow type's name, "string" */
  bool nullable;
} tn_parquet_column_info;
typedef struct tn_parquet_chunk_info {
  const char *codec;
  char encodings[96];    /* "PLAIN RLE RLE_DICTIONARY" */
  int64_t values, nulls; /* nulls -1: not recorded */
  int64_t offset, compressed_bytes, uncompressed_bytes;
  bool has_min_max;
  char min[64], max[64];      /* as text, cut with "..." */
  char geo[256];              /* "x 10 to 40, y 10 to 40; Point, LineString Z"; "" when none */
  int32_t column_index_bytes; /* 0: none */
  int32_t offset_index_bytes;
  bool has_bloom;
  int32_t bloom_bytes;      /* 0: not recorded */
  int64_t dictionary_bytes; /* of the dictionary page with its header; 0: none */
  bool encrypted, readable; /* readable: not encrypted, or its key is known */
} tn_parquet_chunk_info;
const char *tn_parquet_created_by(const tn_parquet_file *file);
int64_t tn_parquet_columns(const tn_parquet_file *file);
int64_t tn_parquet_group_rows(const tn_parquet_file *file, int64_t group);
/* "price desc, id": what the writer says that the rows of a group are sorted by; "" when nothing.
 */
void tn_parquet_group_sorting(const tn_parquet_file *file, int64_t group, tn_strbuf *out);
/* "none"; "footer and columns"; "columns, signed footer" ... */
void tn_parquet_encryption_text(const tn_parquet_file *file, tn_strbuf *out);
/* Key-value metadata of the footer; false behind the last.  A value may be missing (data NULL). */
bool tn_parquet_metadata(const tn_parquet_file *file, int64_t index, tn_str *key, tn_str *value);
/* Data pages of a chunk, by its offset index; -1 where it has none. */
TN_NODISCARD tn_status tn_parquet_page_count(tn_parquet_file *file, int64_t group, int64_t column,
                                             int64_t *pages, tn_error *err);
void tn_parquet_column(const tn_parquet_file *file, int64_t column, tn_parquet_column_info *out);
void tn_parquet_chunk(const tn_parquet_file *file, int64_t group, int64_t column,
                      tn_parquet_chunk_info *out);

#endif

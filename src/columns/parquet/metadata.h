/* metadata.h - what a Parquet footer and a page header say, as plain structs.
 *
 * The names and numbers are those of parquet.thrift (https://github.com/apache/parquet-format).
 * Parsing allocates in the caller's arena; tn_str values are views of the parsed bytes, which must
 * outlive the structs.  What parsing checks: Thrift form, required fields, sizes and counts not
 * negative.  What it leaves to its callers: whether offsets lie in the file, whether type numbers
 * are known. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_METADATA_H
#define TN_COLUMNS_PARQUET_METADATA_H
#include "base/mem.h"
#include "base/str.h"

#define TN_PARQUET_PHYSICAL_LIST(X)         \
  X(TN_PARQUET_BOOLEAN, 0, "BOOLEAN")       \
  X(TN_PARQUET_INT32, 1, "INT32")           \
  X(TN_PARQUET_INT64, 2, "INT64")           \
  X(TN_PARQUET_INT96, 3, "INT96")           \
  X(TN_PARQUET_FLOAT, 4, "FLOAT")           \
  X(TN_PARQUET_DOUBLE, 5, "DOUBLE")         \
  X(TN_PARQUET_BYTE_ARRAY, 6, "BYTE_ARRAY") \
  X(TN_PARQUET_FIXED_LEN_BYTE_ARRAY, 7, "FIXED_LEN_BYTE_ARRAY")

#define TN_PARQUET_ENCODING_LIST(X)                                   \
  X(TN_PARQUET_PLAIN, 0, "PLAIN")                                     \
  X(TN_PARQUET_PLAIN_DICTIONARY, 2, "PLAIN_DICTIONARY")               \
  X(TN_PARQUET_RLE, 3, "RLE")                                         \
  X(TN_PARQUET_BIT_PACKED, 4, "BIT_PACKED")                           \
  X(TN_PARQUET_DELTA_BINARY_PACKED, 5, "DELTA_BINARY_PACKED")         \
  X(TN_PARQUET_DELTA_LENGTH_BYTE_ARRAY, 6, "DELTA_LENGTH_BYTE_ARRAY") \
  X(TN_PARQUET_DELTA_BYTE_ARRAY, 7, "DELTA_BYTE_ARRAY")               \
  X(TN_PARQUET_RLE_DICTIONARY, 8, "RLE_DICTIONARY")                   \
  X(TN_PARQUET_BYTE_STREAM_SPLIT, 9, "BYTE_STREAM_SPLIT")             \
  X(TN_PARQUET_ALP, 10, "ALP")

enum {
#define X(id, code, name) id = code,
  TN_PARQUET_PHYSICAL_LIST(X) TN_PARQUET_ENCODING_LIST(X)
#undef X
};
const char *tn_parquet_physical_name(int32_t physical); /* "INT32"; NULL: unknown */
const char *tn_parquet_encoding_name(int32_t encoding); /* "RLE"; NULL: unknown */

enum { TN_PARQUET_REQUIRED = 0, TN_PARQUET_OPTIONAL = 1, TN_PARQUET_REPEATED = 2 };
enum {
  TN_PARQUET_PAGE_DATA = 0,
  TN_PARQUET_PAGE_INDEX,
  TN_PARQUET_PAGE_DICTIONARY,
  TN_PARQUET_PAGE_DATA_V2
};

#define TN_PARQUET_LOGICAL_LIST(X) /* the field number in the LogicalType union */ \
  X(TN_PARQUET_LOGICAL_NONE, 0, "")                                                \
  X(TN_PARQUET_LOGICAL_STRING, 1, "STRING")                                        \
  X(TN_PARQUET_LOGICAL_MAP, 2, "MAP")                                              \
  X(TN_PARQUET_LOGICAL_LIST_, 3, "LIST")                                           \
  X(TN_PARQUET_LOGICAL_ENUM, 4, "ENUM")                                            \
  X(TN_PARQUET_LOGICAL_DECIMAL, 5, "DECIMAL")                                      \
  X(TN_PARQUET_LOGICAL_DATE, 6, "DATE")                                            \
  X(TN_PARQUET_LOGICAL_TIME, 7, "TIME")                                            \
  X(TN_PARQUET_LOGICAL_TIMESTAMP, 8, "TIMESTAMP")                                  \
  X(TN_PARQUET_LOGICAL_INTEGER, 10, "INTEGER")                                     \
  X(TN_PARQUET_LOGICAL_UNKNOWN, 11, "UNKNOWN")                                     \
  X(TN_PARQUET_LOGICAL_JSON, 12, "JSON")                                           \
  X(TN_PARQUET_LOGICAL_BSON, 13, "BSON")                                           \
  X(TN_PARQUET_LOGICAL_UUID, 14, "UUID")                                           \
  X(TN_PARQUET_LOGICAL_FLOAT16, 15, "FLOAT16")                                     \
  X(TN_PARQUET_LOGICAL_VARIANT, 16, "VARIANT")                                     \
  X(TN_PARQUET_LOGICAL_GEOMETRY, 17, "GEOMETRY")                                   \
  X(TN_PARQUET_LOGICAL_GEOGRAPHY, 18, "GEOGRAPHY")                                 \
  X(TN_PARQUET_LOGICAL_INTERVAL, 100, "INTERVAL") /* a converted type only */
enum {
#define X(id, code, name) id = code,
  TN_PARQUET_LOGICAL_LIST(X)
#undef X
};
enum { TN_PARQUET_MILLIS = 1, TN_PARQUET_MICROS = 2, TN_PARQUET_NANOS = 3 };

typedef struct tn_parquet_logical {
  int16_t kind;   /* TN_PARQUET_LOGICAL_... */
  bool utc;       /* TIME, TIMESTAMP: isAdjustedToUTC */
  int8_t unit;    /* TIME, TIMESTAMP */
  int8_t bits;    /* INTEGER */
  bool is_signed; /* INTEGER */
  bool converted; /* derived from a ConvertedType, no LogicalType was there */
} tn_parquet_logical;

/* ConvertedType numbers that we write. */
enum {
  TN_PARQUET_CONVERTED_UTF8 = 0,
  TN_PARQUET_CONVERTED_DATE = 6,
  TN_PARQUET_CONVERTED_TIMESTAMP_MICROS = 10,
  TN_PARQUET_CONVERTED_UINT_8 = 11,
  TN_PARQUET_CONVERTED_INT_8 = 15
};

typedef struct tn_parquet_element { /* one node of the schema tree, in depth-first order */
  const char *name;
  int32_t physical;   /* -1: a group */
  int32_t length;     /* FIXED_LEN_BYTE_ARRAY: bytes a value */
  int32_t repetition; /* -1: none given (the root) */
  int32_t children;
  int32_t converted;          /* ConvertedType, -1: none */
  tn_parquet_logical logical; /* from LogicalType, else from ConvertedType */
} tn_parquet_element;

typedef struct tn_parquet_range { /* min and max of a chunk, PLAIN-encoded without a length */
  tn_str min, max;
  bool present;   /* both were given */
  bool old_order; /* by the deprecated fields: signed comparison whatever the type */
  bool min_exact, max_exact;
  int64_t nulls; /* -1: not recorded */
} tn_parquet_range;

typedef struct tn_parquet_chunk_meta {
  const char *name; /* writing only: the path's one part */
  int32_t physical, codec;
  uint32_t encodings; /* bit e: encoding e is used somewhere in the chunk */
  bool elsewhere;     /* in another file, or encrypted: no data here */
  int64_t values, uncompressed_bytes, compressed_bytes;
  int64_t data_offset, dictionary_offset; /* -1: no dictionary */
  tn_parquet_range range;
} tn_parquet_chunk_meta;

typedef struct tn_parquet_group_meta {
  tn_parquet_chunk_meta *chunks;
  int64_t chunk_count, rows, bytes;
} tn_parquet_group_meta;

typedef struct tn_parquet_footer {
  tn_parquet_element *elements; /* [0] is the root */
  int64_t element_count;
  tn_parquet_group_meta *groups;
  int64_t group_count, rows;
  const char *created_by; /* never NULL after parsing */
  bool encrypted;
  bool type_order; /* every column declares TypeDefinedOrder */
} tn_parquet_footer;

/* `base`: where the bytes start in the file, for messages. */
TN_NODISCARD tn_status tn_parquet_footer_parse(tn_parquet_footer *out, tn_arena *arena,
                                               const void *bytes, size_t count, int64_t base,
                                               tn_error *err);
/* Writes as version 2, every column in TypeDefinedOrder. */
void tn_parquet_footer_write(const tn_parquet_footer *footer, tn_strbuf *out);

typedef struct tn_parquet_page_header {
  int32_t type; /* TN_PARQUET_PAGE_... */
  int32_t uncompressed_bytes, compressed_bytes;
  bool has_crc;
  uint32_t crc;
  int32_t values, encoding;
  int32_t level_encoding;                      /* data page V1: of the definition levels */
  int32_t nulls, rows, level_bytes, rep_bytes; /* V2: level_bytes is the definition levels' */
  bool is_compressed;                          /* V2 */
} tn_parquet_page_header;

/* *used is the header's own length. */
TN_NODISCARD tn_status tn_parquet_page_header_parse(tn_parquet_page_header *out, const void *bytes,
                                                    size_t count, int64_t base, size_t *used,
                                                    tn_error *err);
/* A V1 data page or a dictionary page. */
void tn_parquet_page_header_write(const tn_parquet_page_header *header, tn_strbuf *out);

#endif

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
  X(TN_PARQUET_LOGICAL_FILE, 19, "FILE")                                           \
  X(TN_PARQUET_LOGICAL_OTHER, 99, "an unknown logical type")                       \
  X(TN_PARQUET_LOGICAL_INTERVAL, 100, "INTERVAL") /* a converted type only */
enum {
#define X(id, code, name) id = code,
  TN_PARQUET_LOGICAL_LIST(X)
#undef X
};
enum { TN_PARQUET_MILLIS = 1, TN_PARQUET_MICROS = 2, TN_PARQUET_NANOS = 3 };

enum { /* edges of GEOGRAPHY */
       TN_PARQUET_SPHERICAL,
       TN_PARQUET_VINCENTY,
       TN_PARQUET_THOMAS,
       TN_PARQUET_ANDOYER,
       TN_PARQUET_KARNEY
};

typedef struct tn_parquet_logical {
  int16_t kind;             /* TN_PARQUET_LOGICAL_... */
  bool utc;                 /* TIME, TIMESTAMP: isAdjustedToUTC */
  int8_t unit;              /* TIME, TIMESTAMP */
  int8_t bits;              /* INTEGER */
  bool is_signed;           /* INTEGER */
  bool converted;           /* derived from a ConvertedType, no LogicalType was there */
  int8_t version;           /* VARIANT: of its specification; 0: not given */
  int32_t precision, scale; /* DECIMAL */
  int32_t edges;            /* GEOGRAPHY */
  tn_str crs;               /* GEOMETRY, GEOGRAPHY; data NULL: not given, OGC:CRS84 */
} tn_parquet_logical;

enum { /* ConvertedType */
       TN_PARQUET_CONVERTED_UTF8 = 0,
       TN_PARQUET_CONVERTED_MAP = 1,
       TN_PARQUET_CONVERTED_MAP_KEY_VALUE = 2,
       TN_PARQUET_CONVERTED_LIST = 3,
       TN_PARQUET_CONVERTED_ENUM = 4,
       TN_PARQUET_CONVERTED_DECIMAL = 5,
       TN_PARQUET_CONVERTED_DATE = 6,
       TN_PARQUET_CONVERTED_TIME_MILLIS = 7,
       TN_PARQUET_CONVERTED_TIME_MICROS = 8,
       TN_PARQUET_CONVERTED_TIMESTAMP_MILLIS = 9,
       TN_PARQUET_CONVERTED_TIMESTAMP_MICROS = 10,
       TN_PARQUET_CONVERTED_UINT_8 = 11, /* 16, 32, 64 follow */
       TN_PARQUET_CONVERTED_INT_8 = 15,
       TN_PARQUET_CONVERTED_JSON = 19,
       TN_PARQUET_CONVERTED_BSON = 20,
       TN_PARQUET_CONVERTED_INTERVAL = 21
};

typedef struct tn_parquet_element { /* one node of the schema tree, in depth-first order */
  const char *name;
  int32_t physical;   /* -1: a group */
  int32_t length;     /* FIXED_LEN_BYTE_ARRAY: bytes a value */
  int32_t repetition; /* -1: none given (the root) */
  int32_t children;
  int32_t converted; /* ConvertedType, -1: none */
  int32_t field_id;  /* where has_field_id */
  bool has_field_id;
  tn_parquet_logical logical; /* from LogicalType, else from ConvertedType */
} tn_parquet_element;

/* Statistics of a chunk or a page; min and max are PLAIN-encoded without a length.  bounds.h says
 * what they mean.  A min without a max, or the other way round, does occur. */
typedef struct tn_parquet_range {
  tn_str min, max;
  bool has_min, has_max;
  bool present;              /* both were given */
  bool old_order;            /* the deprecated fields: signed comparison whatever the type */
  bool min_exact, max_exact; /* true where nothing is said */
  bool has_min_exact, has_max_exact; /* something was said */
  bool has_distinct, has_nans;
  int64_t nulls; /* -1: not recorded */
  int64_t distinct, nans;
} tn_parquet_range;

typedef struct tn_parquet_pair { /* key-value metadata */
  tn_str key, value;
  bool has_value;
} tn_parquet_pair;

typedef struct tn_parquet_encoding_stats {
  int32_t page_type, encoding, count;
} tn_parquet_encoding_stats;

typedef struct tn_parquet_sizes {     /* SizeStatistics */
  int64_t byte_array_bytes;           /* of the values without their lengths; -1: not recorded */
  int64_t *repetitions, *definitions; /* how often each level occurs; NULL: not recorded */
  uint32_t repetition_count, definition_count;
} tn_parquet_sizes;

typedef struct tn_parquet_geo { /* GeospatialStatistics */
  bool has_box, has_z, has_m;   /* xmin > xmax: the box crosses the antimeridian */
  double min[4], max[4];        /* x, y, z, m */
  int32_t *types;               /* WKB codes: 1 point ... 7 collection, + 1000 z, + 2000 m */
  uint32_t type_count;          /* 0: not known */
} tn_parquet_geo;

/* How a column chunk is encrypted (crypt.h). */
enum { TN_PARQUET_PLAINTEXT, TN_PARQUET_FOOTER_KEY, TN_PARQUET_COLUMN_KEY };

typedef struct tn_parquet_chunk_meta {
  const char *name; /* writing only: the path's one part, where path_count is 0 */
  tn_str *path;     /* names from below the root to the leaf */
  uint32_t path_count;
  int32_t physical, codec;
  uint32_t encodings; /* bit e: encoding e is used somewhere in the chunk */
  bool elsewhere;     /* in another file, or encrypted and not opened: no data here */
  bool has_meta;      /* parsing: the metadata below was there in plain */
  uint8_t encryption; /* TN_PARQUET_PLAINTEXT ... */
  bool plain_meta;    /* writing: with encrypted_meta, a plain form without statistics too */
  tn_str key_metadata, encrypted_meta;
  int64_t file_offset; /* deprecated */
  int64_t values, uncompressed_bytes, compressed_bytes;
  int64_t data_offset, dictionary_offset;                         /* -1: no dictionary */
  int64_t offset_index_offset, column_index_offset, bloom_offset; /* 0: none */
  int32_t offset_index_bytes, column_index_bytes;
  int32_t bloom_bytes; /* 0: not recorded, the filter's header tells */
  tn_parquet_range range;
  tn_parquet_pair *pairs;
  uint32_t pair_count, encoding_stats_count;
  tn_parquet_encoding_stats *encoding_stats;
  tn_parquet_sizes *sizes; /* NULL: none */
  tn_parquet_geo *geo;     /* NULL: none */
} tn_parquet_chunk_meta;

typedef struct tn_parquet_sorting {
  int32_t column; /* leaf number */
  bool descending, nulls_first;
} tn_parquet_sorting;

typedef struct tn_parquet_group_meta {
  tn_parquet_chunk_meta *chunks;
  int64_t chunk_count, rows, bytes;
  tn_parquet_sorting *sorting;
  uint32_t sorting_count;
  bool has_ordinal;
  int16_t ordinal;
  int64_t file_offset, compressed_bytes; /* parsing: 0 where absent; writing: worked out */
} tn_parquet_group_meta;

enum { /* ColumnOrder */
       TN_PARQUET_ORDER_UNDEFINED,
       TN_PARQUET_ORDER_TYPE,
       TN_PARQUET_ORDER_IEEE754,
       TN_PARQUET_ORDER_INT96
};

/* EncryptionAlgorithm: how every module of an encrypted file is encrypted. */
enum { TN_PARQUET_NO_CRYPT, TN_PARQUET_AES_GCM, TN_PARQUET_AES_GCM_CTR };
typedef struct tn_parquet_algorithm {
  int32_t kind;
  tn_str aad_prefix, aad_unique;
  bool supply_prefix; /* the prefix is not in the file, the reader must know it */
} tn_parquet_algorithm;

typedef struct tn_parquet_footer {
  int32_t version;              /* writing: 0 means 1 */
  tn_parquet_element *elements; /* [0] is the root */
  int64_t element_count;
  tn_parquet_group_meta *groups;
  int64_t group_count, rows;
  const char *created_by; /* never NULL after parsing */
  tn_parquet_pair *pairs;
  uint32_t pair_count;
  bool encrypted;
  bool type_order; /* every column declares TypeDefinedOrder */
  uint8_t *orders; /* one a leaf; NULL in writing: all TypeDefinedOrder */
  uint32_t order_count;
  tn_parquet_algorithm algorithm; /* columns are encrypted, this footer is plain and signed */
  bool has_signing_key;
  tn_str signing_key_metadata;
  size_t parsed_bytes; /* the footer's own; a signature may follow */
} tn_parquet_footer;

/* What a row group is counted as in encryption. */
int64_t tn_parquet_group_ordinal(const tn_parquet_footer *footer, int64_t group);

typedef struct tn_parquet_file_crypto { /* what stands before an encrypted footer */
  tn_parquet_algorithm algorithm;
  tn_str key_metadata;
  size_t parsed_bytes;
} tn_parquet_file_crypto;

/* `base`: where the bytes start in the file, for messages. */
TN_NODISCARD tn_status tn_parquet_footer_parse(tn_parquet_footer *out, tn_arena *arena,
                                               const void *bytes, size_t count, int64_t base,
                                               tn_error *err);
/* The metadata of one chunk alone, as an encrypted column has it. */
TN_NODISCARD tn_status tn_parquet_chunk_meta_parse(tn_parquet_chunk_meta *chunk, tn_arena *arena,
                                                   const void *bytes, size_t count, int64_t base,
                                                   tn_error *err);
TN_NODISCARD tn_status tn_parquet_file_crypto_parse(tn_parquet_file_crypto *out, const void *bytes,
                                                    size_t count, int64_t base, tn_error *err);
/* Statistics, counts and offsets that are absent by the comments above are not written. */
void tn_parquet_footer_write(const tn_parquet_footer *footer, tn_strbuf *out);
void tn_parquet_chunk_meta_write(const tn_parquet_chunk_meta *chunk, tn_strbuf *out);
void tn_parquet_file_crypto_write(const tn_parquet_file_crypto *crypto, tn_strbuf *out);

typedef struct tn_parquet_page_header {
  int32_t type; /* TN_PARQUET_PAGE_... */
  int32_t uncompressed_bytes, compressed_bytes;
  bool has_crc;
  uint32_t crc;
  int32_t values, encoding;
  int32_t level_encoding, rep_encoding; /* data page V1: of the definition, repetition levels */
  int32_t nulls, rows, level_bytes, rep_bytes; /* V2: level_bytes is the definition levels' */
  bool is_compressed;                          /* V2 */
  bool is_sorted;                              /* dictionary */
  bool has_range;
  tn_parquet_range range; /* data pages */
} tn_parquet_page_header;

/* *used is the header's own length. */
TN_NODISCARD tn_status tn_parquet_page_header_parse(tn_parquet_page_header *out, const void *bytes,
                                                    size_t count, int64_t base, size_t *used,
                                                    tn_error *err);
/* A data page V1 or V2 or a dictionary page.  V1's levels are said to be RLE. */
void tn_parquet_page_header_write(const tn_parquet_page_header *header, tn_strbuf *out);

#endif

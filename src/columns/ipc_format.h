/* ipc_format.h - numbers of Arrow's Schema.fbs, Message.fbs and File.fbs.
 *
 * Field slots of the tables and values of the enums (https://github.com/apache/arrow, format/), for
 * both directions, so that they stay each other's mirror; and the named limits of both. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_IPC_FORMAT_H
#define TN_COLUMNS_IPC_FORMAT_H
#include <stdint.h>

#define TN_IPC_MAGIC "ARROW1"
enum { TN_IPC_MAGIC_BYTES = 6, TN_IPC_ALIGN = 64 };
enum { TN_IPC_VERSION_4 = 3, TN_IPC_VERSION_5 = 4 };

#define TN_IPC_METADATA_BYTES_MAX  ((int64_t)256 << 20) /* of one message, or of the footer */
#define TN_IPC_ROWS_MAX            ((int64_t)1 << 48)   /* of one array */
#define TN_IPC_FREE_ROWS_MAX       ((int64_t)1 << 32)   /* of one whose rows take no bytes */
#define TN_IPC_PIPE_BODY_BYTES_MAX ((int64_t)8 << 30)   /* of one message that cannot be mapped */

enum { TN_IPC_HEADER_SCHEMA = 1, TN_IPC_HEADER_DICTIONARY = 2, TN_IPC_HEADER_BATCH = 3 };
enum {
  TN_IPC_MESSAGE_VERSION,
  TN_IPC_MESSAGE_HEADER_TYPE,
  TN_IPC_MESSAGE_HEADER,
  TN_IPC_MESSAGE_BODY_BYTES
};
enum {
  TN_IPC_BATCH_ROWS,
  TN_IPC_BATCH_NODES,   /* struct {int64 rows, nulls} */
  TN_IPC_BATCH_BUFFERS, /* struct {int64 offset, bytes} */
  TN_IPC_BATCH_COMPRESSION,
  TN_IPC_BATCH_VARIADIC /* int64: data buffers of each view array */
};
enum { TN_IPC_COMPRESSION_CODEC, TN_IPC_COMPRESSION_METHOD };
enum { TN_IPC_CODEC_LZ4_FRAME, TN_IPC_CODEC_ZSTD };
enum { TN_IPC_DICTIONARY_ID, TN_IPC_DICTIONARY_DATA, TN_IPC_DICTIONARY_IS_DELTA };
enum {
  TN_IPC_FOOTER_VERSION,
  TN_IPC_FOOTER_SCHEMA,
  TN_IPC_FOOTER_DICTIONARIES, /* blocks, as the next */
  TN_IPC_FOOTER_BATCHES, /* struct {int64 offset, int32 metadata bytes, padding, int64 body bytes}
                          */
  TN_IPC_FOOTER_METADATA
};
enum { TN_IPC_BLOCK_BYTES = 24, TN_IPC_PAIR_BYTES = 16 };

enum {
  TN_IPC_SCHEMA_ENDIANNESS,
  TN_IPC_SCHEMA_FIELDS,
  TN_IPC_SCHEMA_METADATA,
  TN_IPC_SCHEMA_FEATURES
};
enum { TN_IPC_FEATURE_LAST = 2 }; /* 1: dictionary replacement, 2: compressed bodies */
enum {
  TN_IPC_FIELD_NAME,
  TN_IPC_FIELD_NULLABLE,
  TN_IPC_FIELD_KIND, /* which table TYPE is */
  TN_IPC_FIELD_TYPE,
  TN_IPC_FIELD_DICTIONARY,
  TN_IPC_FIELD_CHILDREN,
  TN_IPC_FIELD_METADATA
};
enum { TN_IPC_ENCODING_ID, TN_IPC_ENCODING_INDEX, TN_IPC_ENCODING_ORDERED, TN_IPC_ENCODING_KIND };
enum { TN_IPC_PAIR_KEY, TN_IPC_PAIR_VALUE };
enum {
  TN_IPC_NULL = 1,
  TN_IPC_INT,      /* bits, signed */
  TN_IPC_FLOATING, /* 0 half, 1 single, 2 double */
  TN_IPC_BINARY,
  TN_IPC_UTF8,
  TN_IPC_BOOL,
  TN_IPC_DECIMAL,   /* precision, scale, bits (128) */
  TN_IPC_DATE,      /* 0 day, 1 millisecond (1) */
  TN_IPC_TIME,      /* unit (1), bits (32) */
  TN_IPC_TIMESTAMP, /* unit, time zone */
  TN_IPC_INTERVAL,  /* 0 months, 1 day and time, 2 month, day, nano */
  TN_IPC_LIST,
  TN_IPC_STRUCT,
  TN_IPC_UNION, /* 0 sparse, 1 dense; type codes */
  TN_IPC_FIXED_BINARY,
  TN_IPC_FIXED_LIST,
  TN_IPC_MAP,      /* keys sorted */
  TN_IPC_DURATION, /* unit (1) */
  TN_IPC_LARGE_BINARY,
  TN_IPC_LARGE_UTF8,
  TN_IPC_LARGE_LIST,
  TN_IPC_RUN_END,
  TN_IPC_BINARY_VIEW,
  TN_IPC_UTF8_VIEW,
  TN_IPC_LIST_VIEW,
  TN_IPC_LARGE_LIST_VIEW
};

#endif

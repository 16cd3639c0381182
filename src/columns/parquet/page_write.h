/* page_write.h - a finished page on its way to the file: encoded, then packed.
 *
 *     header (Thrift) | V1: compressed(levels, values)
 *                     | V2: repetition levels, definition levels, compressed(values)
 *
 * Encoding belongs to the column's own order of things; packing (compression, CRC) needs nothing
 * but the page, so pages of all columns may be packed at the same time.  The CRC covers the page's
 * bytes as stored. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_PAGE_WRITE_H
#define TN_COLUMNS_PARQUET_PAGE_WRITE_H
#include "columns/parquet/codec.h"
#include "columns/parquet/crypt.h"
#include "columns/parquet/stats.h"

typedef struct tn_parquet_new_page { /* all zero is valid for clear */
  tn_parquet_page_header header;     /* sizes and CRC are filled in by packing */
  tn_parquet_bytes body;             /* levels and encoded values; empty when packed */
  tn_parquet_bytes stored;           /* header and body as they go to the file */
  size_t header_bytes;               /* of `stored` */
  int64_t number;                    /* among the chunk's data pages */
  int64_t rows, nulls;               /* nulls: entries without a value */
  int64_t byte_array_bytes;          /* of its values, without their lengths */
  tn_parquet_stats stats;
} tn_parquet_new_page;

typedef struct tn_parquet_packer { /* what packing needs; one a thread */
  tn_parquet_codecs codecs;
  tn_parquet_bytes room, sealed;
} tn_parquet_packer;

typedef struct tn_parquet_packing { /* how the pages of a column are packed */
  int32_t codec, level;
  bool no_crc;
  tn_parquet_crypt *crypt; /* NULL: in plain */
  int64_t group, column;   /* the chunk's place in the file, which its ciphers cover */
} tn_parquet_packing;

/* The one place where modules are encrypted: page headers, pages, indexes, Bloom filters. Appends
 * to `out`; `page` counts data pages. */
TN_NODISCARD tn_status tn_parquet_seal(const tn_parquet_packing *how, int module, int64_t page,
                                       const void *bytes, size_t count, tn_parquet_bytes *out,
                                       tn_error *err);

TN_NODISCARD tn_status tn_parquet_page_pack(tn_parquet_new_page *page,
                                            const tn_parquet_packing *how,
                                            tn_parquet_packer *packer, tn_error *err);
void tn_parquet_page_clear(tn_parquet_new_page *page);
void tn_parquet_packer_clear(tn_parquet_packer *packer);

#endif

/* dictionary.h - a dictionary page, decoded once a column chunk, and values looked up in it.
 *
 * Fixed-width entries are kept as Arrow values, byte arrays as one run of bytes and the ends of the
 * entries.  Indices come from the file: every look-up checks them against `count`. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_DICTIONARY_H
#define TN_COLUMNS_PARQUET_DICTIONARY_H
#include "columns/parquet/page.h"
#include "columns/parquet/schema.h"

typedef struct tn_parquet_dictionary { /* all zero is valid and empty */
  int32_t width;                       /* bytes of an entry; 0: byte arrays */
  uint32_t count;
  bool loaded;
  tn_parquet_bytes values; /* fixed width: the entries; byte arrays: their bytes */
  tn_parquet_bytes ends;   /* byte arrays: count + 1 int32, the first is 0 */
  bool is_short;           /* byte arrays: no entry is longer than 16 bytes */
} tn_parquet_dictionary;

TN_NODISCARD tn_status tn_parquet_dictionary_load(tn_parquet_dictionary *dictionary,
                                                  const tn_parquet_leaf *leaf,
                                                  const tn_parquet_page *page, tn_error *err);
/* Forgets the entries, keeps the memory for the next chunk. */
void tn_parquet_dictionary_reset(tn_parquet_dictionary *dictionary);
void tn_parquet_dictionary_clear(tn_parquet_dictionary *dictionary);

/* out[i] = entry indices[i], fixed width. */
TN_NODISCARD tn_status tn_parquet_dictionary_fixed(const tn_parquet_dictionary *dictionary,
                                                   const uint32_t *indices, int64_t count,
                                                   void *out, tn_error *err);
/* Appends the entries' bytes to `data` and their ends to ends[0..count).  TN_FULL: they would be
 * more than int32 ends can count. */
TN_NODISCARD tn_status tn_parquet_dictionary_bytes(const tn_parquet_dictionary *dictionary,
                                                   const uint32_t *indices, int64_t count,
                                                   int32_t *ends, tn_parquet_bytes *data,
                                                   tn_error *err);

#endif

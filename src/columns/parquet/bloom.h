/* bloom.h - split-block Bloom filters: is a value surely not in a column chunk?
 *
 *     header (Thrift: bytes, algorithm, hash) | block 0 | block 1 | ...     a block: 8 words of 32
 *                                                                           bits, one bit each set
 *
 * A value is hashed (XXH64, seed 0) in its PLAIN form without a length, the upper half of the hash
 * chooses the block, the lower half one bit in each of its words.  Format and constants:
 * BloomFilter.md of parquet-format.
 *
 * A writer seldom knows how many distinct values will come: it builds a filter for all rows of a
 * row group and folds it, which gives exactly the filter that a smaller start would have given.
 *
 * Thread: one a filter while it is built; any number may probe. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_BLOOM_H
#define TN_COLUMNS_PARQUET_BLOOM_H
#include "base/buffer.h"
#include "columns/parquet/bytes.h"
#include "columns/parquet/parquet.h"

enum { TN_PARQUET_BLOOM_BLOCK = 32, TN_PARQUET_BLOOM_BYTES_MAX = 128 << 20 };

typedef struct tn_parquet_bloom { /* all zero is valid for clear */
  const uint8_t *bits;            /* blocks * TN_PARQUET_BLOOM_BLOCK bytes, little-endian words */
  int64_t blocks;
  uint8_t *own;      /* bits, while they are this filter's memory */
  tn_buffer *buffer; /* else what keeps them alive */
} tn_parquet_bloom;

/* Of a value in PLAIN form: 4 or 8 little-endian bytes, 12 of INT96, the bytes of a byte array. */
uint64_t tn_parquet_bloom_hash(const void *value, size_t bytes);
/* Size for so many distinct values at this probability of a false positive: a power of two from 32
 * bytes to TN_PARQUET_BLOOM_BYTES_MAX (other readers accept no other). */
int64_t tn_parquet_bloom_bytes(int64_t distinct, double probability);

/* An empty filter of `bytes`, a multiple of a block. */
TN_NODISCARD tn_status tn_parquet_bloom_init(tn_parquet_bloom *bloom, int64_t bytes, tn_error *err);
void tn_parquet_bloom_insert(tn_parquet_bloom *bloom, uint64_t hash);
/* false: no value of this hash was inserted. */
bool tn_parquet_bloom_probe(const tn_parquet_bloom *bloom, uint64_t hash);
/* Share of random hashes that would be found, from how full the words are. */
double tn_parquet_bloom_estimate(const tn_parquet_bloom *bloom);
/* Halves a filter that was built here as long as the estimate stays at or below `probability`. */
void tn_parquet_bloom_fold(tn_parquet_bloom *bloom, double probability);
void tn_parquet_bloom_clear(tn_parquet_bloom *bloom);

void tn_parquet_bloom_header_write(const tn_parquet_bloom *bloom, tn_strbuf *out);
/* *bytes of the bits that follow the header, which is *used long.  TN_ERR_UNSUPPORTED: another
 * algorithm, hash or compression. */
TN_NODISCARD tn_status tn_parquet_bloom_header_parse(const void *data, size_t count, int64_t base,
                                                     int64_t *bytes, size_t *used, tn_error *err);
/* A whole filter, header and bits, as a view of the caller's bytes. */
TN_NODISCARD tn_status tn_parquet_bloom_view(tn_parquet_bloom *out, const void *data, size_t count,
                                             int64_t base, tn_error *err);

/* The filter of a column chunk; the caller clears it.  TN_END: the chunk has none. */
TN_NODISCARD tn_status tn_parquet_bloom_read(tn_parquet_bloom *out, tn_parquet_file *file,
                                             int64_t group, int64_t column, tn_error *err);

#endif

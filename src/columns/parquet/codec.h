/* codec.h - compressed pages: none, snappy, gzip, brotli, lz4 in its three framings, zstd.
 *
 * One tn_parquet_codecs holds the working memory of every codec and is reused for all pages of a
 * reader or writer.  Sizes come from the page header, so decompression first asks whether the bytes
 * can grow that much at all; only then does the caller reserve memory.  LZO, the one codec of the
 * format without a library that is packaged, is TN_ERR_UNSUPPORTED by name.
 *
 * Thread: one at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_CODEC_H
#define TN_COLUMNS_PARQUET_CODEC_H
#include "columns/parquet/bytes.h"
#include "columns/parquet/parquet.h"

typedef struct tn_parquet_codecs { /* all zero is valid */
  void *zstd_compressor, *zstd_decompressor;
  void *gzip_compressor, *gzip_decompressor;
  void *lz4_decompressor; /* of frames */
} tn_parquet_codecs;
void tn_parquet_codecs_clear(tn_parquet_codecs *codecs);

const char *tn_parquet_codec_name(int32_t codec); /* also of those not supported; NULL: unknown */
/* TN_ERR_UNSUPPORTED or TN_ERR_DATA unless `codec` can be read and written here. */
TN_NODISCARD tn_status tn_parquet_codec_check(int32_t codec, tn_error *err);

/* TN_ERR_ARGUMENT when the codec has not this level; 0, the default, it has. */
TN_NODISCARD tn_status tn_parquet_level_check(int32_t codec, int32_t level, tn_error *err);

/* Appends the compressed form of `bytes` to `out`.  level 0: the codec's default here; of gzip
 * the first call's level stays. */
TN_NODISCARD tn_status tn_parquet_compress(tn_parquet_codecs *codecs, int32_t codec, int32_t level,
                                           const uint8_t *bytes, size_t count,
                                           tn_parquet_bytes *out, tn_error *err);
/* TN_ERR_DATA when `bytes` cannot become exactly `want` bytes. */
TN_NODISCARD tn_status tn_parquet_decompress_check(int32_t codec, const uint8_t *bytes,
                                                   size_t count, size_t want, tn_error *err);
/* Fills out[0..want) exactly. */
TN_NODISCARD tn_status tn_parquet_decompress(tn_parquet_codecs *codecs, int32_t codec,
                                             const uint8_t *bytes, size_t count, uint8_t *out,
                                             size_t want, tn_error *err);

#endif

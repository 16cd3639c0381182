/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/codec.h"

#include <libdeflate.h>
#include <snappy-c.h>
#include <zstd.h>

enum { ZSTD_LEVEL = 1, GZIP_LEVEL = 6, GZIP_GROWTH_MAX = 1032 };

void tn_parquet_codecs_clear(tn_parquet_codecs *codecs) {
  ZSTD_freeCCtx(codecs->zstd_compressor);
  ZSTD_freeDCtx(codecs->zstd_decompressor);
  libdeflate_free_compressor(codecs->gzip_compressor);
  libdeflate_free_decompressor(codecs->gzip_decompressor);
  *codecs = (tn_parquet_codecs){0};
}

const char *tn_parquet_codec_name(int32_t codec) {
  switch (codec) {
#define X(id, code, name) \
  case code:              \
    return name;
    TN_PARQUET_CODEC_LIST(X)
#undef X
    case 3:
      return "lzo";
    case 4:
      return "brotli";
    case 5:
      return "lz4";
    case 7:
      return "lz4_raw";
    default:
      return NULL;
  }
}

tn_status tn_parquet_codec_check(int32_t codec, tn_error *err) {
  switch (codec) {
#define X(id, code, name) \
  case code:              \
    return TN_OK;
    TN_PARQUET_CODEC_LIST(X)
#undef X
    default:
      break;
  }
  const char *name = tn_parquet_codec_name(codec);
  if (!name) return tn_fail(err, TN_ERR_DATA, "codec number %d is unknown", codec);
  return tn_fail(err, TN_ERR_UNSUPPORTED,
                 "codec %s is not supported (uncompressed, snappy, gzip, zstd are)", name);
}

/* ---- compression ----------------------------------------------------------------------------- */

static tn_status compress_zstd(tn_parquet_codecs *codecs, int32_t level, const uint8_t *bytes,
                               size_t count, tn_parquet_bytes *out, tn_error *err) {
  if (!codecs->zstd_compressor) codecs->zstd_compressor = ZSTD_createCCtx();
  if (!codecs->zstd_compressor) return tn_fail_memory(err, "a zstd compressor", 0);
  size_t bound = ZSTD_compressBound(count);
  TN_TRY(tn_parquet_bytes_reserve(out, bound, err));
  size_t got = ZSTD_compressCCtx(codecs->zstd_compressor, out->data + out->length, bound, bytes,
                                 count, level ? level : ZSTD_LEVEL);
  if (ZSTD_isError(got)) {
    return tn_fail(err, TN_ERR_MEMORY, "zstd cannot compress %zu bytes: %s", count,
                   ZSTD_getErrorName(got));
  }
  out->length += got;
  return TN_OK;
}

static tn_status compress_gzip(tn_parquet_codecs *codecs, const uint8_t *bytes, size_t count,
                               tn_parquet_bytes *out, tn_error *err) {
  if (!codecs->gzip_compressor) {
    codecs->gzip_compressor = libdeflate_alloc_compressor(GZIP_LEVEL);
  }
  if (!codecs->gzip_compressor) return tn_fail_memory(err, "a gzip compressor", 0);
  size_t bound = libdeflate_gzip_compress_bound(codecs->gzip_compressor, count);
  TN_TRY(tn_parquet_bytes_reserve(out, bound, err));
  size_t got = libdeflate_gzip_compress(codecs->gzip_compressor, bytes, count,
                                        out->data + out->length, bound);
  if (got == 0) return tn_fail(err, TN_ERR_MEMORY, "gzip cannot compress %zu bytes", count);
  out->length += got;
  return TN_OK;
}

static tn_status compress_snappy(const uint8_t *bytes, size_t count, tn_parquet_bytes *out,
                                 tn_error *err) {
  size_t got = snappy_max_compressed_length(count);
  TN_TRY(tn_parquet_bytes_reserve(out, got, err));
  snappy_status status =
      snappy_compress((const char *)bytes, count, (char *)out->data + out->length, &got);
  if (status != SNAPPY_OK) {
    return tn_fail(err, TN_ERR_MEMORY, "snappy cannot compress %zu bytes", count);
  }
  out->length += got;
  return TN_OK;
}

tn_status tn_parquet_compress(tn_parquet_codecs *codecs, int32_t codec, int32_t level,
                              const uint8_t *bytes, size_t count, tn_parquet_bytes *out,
                              tn_error *err) {
  switch (codec) {
    case TN_PARQUET_UNCOMPRESSED:
      return tn_parquet_bytes_append(out, bytes, count, err);
    case TN_PARQUET_SNAPPY:
      return compress_snappy(bytes, count, out, err);
    case TN_PARQUET_GZIP:
      return compress_gzip(codecs, bytes, count, out, err);
    case TN_PARQUET_ZSTD:
      return compress_zstd(codecs, level, bytes, count, out, err);
    default:
      return tn_parquet_codec_check(codec, err);
  }
}

/* ---- decompression --------------------------------------------------------------------------- */

static tn_status wrong_size(int32_t codec, size_t count, size_t want, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "%zu bytes of %s do not decompress to %zu bytes", count,
                 tn_parquet_codec_name(codec), want);
}

tn_status tn_parquet_decompress_check(int32_t codec, const uint8_t *bytes, size_t count,
                                      size_t want, tn_error *err) {
  TN_TRY(tn_parquet_codec_check(codec, err));
  unsigned long long declared = want;
  size_t length;
  switch (codec) {
    case TN_PARQUET_UNCOMPRESSED:
      declared = count;
      break;
    case TN_PARQUET_SNAPPY:
      if (snappy_uncompressed_length((const char *)bytes, count, &length) != SNAPPY_OK) {
        return wrong_size(codec, count, want, err);
      }
      /* Every 3 compressed bytes give at most 64; a larger claim is a lie. */
      declared = length <= count * 22 ? length : (unsigned long long)want + 1;
      break;
    case TN_PARQUET_GZIP:
      if (want / GZIP_GROWTH_MAX > count) return wrong_size(codec, count, want, err);
      break;
    default:
      declared = ZSTD_getFrameContentSize(bytes, count);
      if (declared == ZSTD_CONTENTSIZE_ERROR) return wrong_size(codec, count, want, err);
      /* Unknown, or the first of several frames: only decompression can tell. */
      if (declared == ZSTD_CONTENTSIZE_UNKNOWN || declared < want) declared = want;
  }
  return declared == want ? TN_OK : wrong_size(codec, count, want, err);
}

/* gzip allows several members one after the other. */
static bool decompress_gzip(void *decompressor, const uint8_t *bytes, size_t count, uint8_t *out,
                            size_t want) {
  size_t at = 0, done = 0;
  while (at < count) {
    size_t took = 0, gave = 0;
    enum libdeflate_result result = libdeflate_gzip_decompress_ex(
        decompressor, bytes + at, count - at, out + done, want - done, &took, &gave);
    if (result != LIBDEFLATE_SUCCESS || took == 0) return false;
    at += took;
    done += gave;
  }
  return done == want;
}

tn_status tn_parquet_decompress(tn_parquet_codecs *codecs, int32_t codec, const uint8_t *bytes,
                                size_t count, uint8_t *out, size_t want, tn_error *err) {
  bool good = false;
  size_t got = want;
  switch (codec) {
    case TN_PARQUET_UNCOMPRESSED:
      good = count == want;
      if (good && want) memcpy(out, bytes, want);
      break;
    case TN_PARQUET_SNAPPY:
      good = snappy_uncompress((const char *)bytes, count, (char *)out, &got) == SNAPPY_OK;
      break;
    case TN_PARQUET_GZIP:
      if (!codecs->gzip_decompressor) codecs->gzip_decompressor = libdeflate_alloc_decompressor();
      if (!codecs->gzip_decompressor) return tn_fail_memory(err, "a gzip decompressor", 0);
      good = decompress_gzip(codecs->gzip_decompressor, bytes, count, out, want);
      break;
    case TN_PARQUET_ZSTD:
      if (!codecs->zstd_decompressor) codecs->zstd_decompressor = ZSTD_createDCtx();
      if (!codecs->zstd_decompressor) return tn_fail_memory(err, "a zstd decompressor", 0);
      got = ZSTD_decompressDCtx(codecs->zstd_decompressor, out, want, bytes, count);
      good = !ZSTD_isError(got);
      break;
    default:
      return tn_parquet_codec_check(codec, err);
  }
  return good && got == want ? TN_OK : wrong_size(codec, count, want, err);
}

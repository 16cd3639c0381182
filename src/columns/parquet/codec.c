/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/codec.h"

#include <brotli/decode.h>
#include <brotli/encode.h>
#include <libdeflate.h>
#include <lz4.h>
#include <lz4frame.h>
#include <lz4hc.h>
#include <snappy-c.h>
#include <zstd.h>

enum { ZSTD_LEVEL = 1, GZIP_LEVEL = 6, GZIP_LEVEL_MAX = 12, BROTLI_LEVEL = 5, LZ4_FAST_LEVELS = 2 };

/* How many times larger the most generous block of each format is than its compressed form. */
enum {
  GZIP_GROWTH_MAX = 1032,
  LZ4_GROWTH_MAX = 255,
  ZSTD_GROWTH_MAX = 1 << 17, /* a repeated byte: 128 KiB in 4 bytes, with room to spare */
};
/* Brotli has no such bound: what claims more than this is decompressed once for the count alone. */
enum { BROTLI_GROWTH_TRUSTED = 1000, BROTLI_BYTES_TRUSTED = 16 << 20, BROTLI_STEP = 1 << 16 };

void tn_parquet_codecs_clear(tn_parquet_codecs *codecs) {
  ZSTD_freeCCtx(codecs->zstd_compressor);
  ZSTD_freeDCtx(codecs->zstd_decompressor);
  libdeflate_free_compressor(codecs->gzip_compressor);
  libdeflate_free_decompressor(codecs->gzip_decompressor);
  LZ4F_freeDecompressionContext(codecs->lz4_decompressor);
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
                 "codec %s is not supported (uncompressed, snappy, gzip, brotli, lz4, zstd, "
                 "lz4_raw are)",
                 name);
}

tn_status tn_parquet_level_check(int32_t codec, int32_t level, tn_error *err) {
  int32_t least = 1, most = 0;
  if (level == 0) return TN_OK;
  if (codec == TN_PARQUET_ZSTD) least = ZSTD_minCLevel(), most = ZSTD_maxCLevel();
  if (codec == TN_PARQUET_GZIP) most = GZIP_LEVEL_MAX;
  if (codec == TN_PARQUET_BROTLI) most = BROTLI_MAX_QUALITY;
  if (codec == TN_PARQUET_LZ4 || codec == TN_PARQUET_LZ4_RAW) most = LZ4HC_CLEVEL_MAX;
  const char *name = tn_parquet_codec_name(codec);
  if (most == 0)
    return tn_fail(err, TN_ERR_ARGUMENT, "level %d: codec %s has no levels", level, name);
  if (level >= least && level <= most) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT, "level %d: codec %s has levels %d to %d", level, name, least,
                 most);
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

static tn_status compress_gzip(tn_parquet_codecs *codecs, int32_t level, const uint8_t *bytes,
                               size_t count, tn_parquet_bytes *out, tn_error *err) {
  if (!codecs->gzip_compressor) {
    codecs->gzip_compressor = libdeflate_alloc_compressor(level ? level : GZIP_LEVEL);
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

static tn_status compress_brotli(int32_t level, const uint8_t *bytes, size_t count,
                                 tn_parquet_bytes *out, tn_error *err) {
  size_t got = BrotliEncoderMaxCompressedSize(count);
  if (got == 0) return tn_fail(err, TN_ERR_LIMIT, "brotli cannot take %zu bytes at once", count);
  TN_TRY(tn_parquet_bytes_reserve(out, got, err));
  if (!BrotliEncoderCompress(level ? level : BROTLI_LEVEL, BROTLI_DEFAULT_WINDOW,
                             BROTLI_MODE_GENERIC, count, bytes, &got, out->data + out->length)) {
    return tn_fail(err, TN_ERR_MEMORY, "brotli cannot compress %zu bytes", count);
  }
  out->length += got;
  return TN_OK;
}

static void store_big_u32(uint8_t *to, uint32_t v) {
  tn_store_u32(to, __builtin_bswap32(v));
}

/* `framed`: behind Hadoop's two big-endian sizes, uncompressed and compressed. */
static tn_status compress_lz4(bool framed, int32_t level, const uint8_t *bytes, size_t count,
                              tn_parquet_bytes *out, tn_error *err) {
  if (count > LZ4_MAX_INPUT_SIZE) {
    return tn_fail(err, TN_ERR_LIMIT, "lz4 cannot take %zu bytes at once, limit %d", count,
                   LZ4_MAX_INPUT_SIZE);
  }
  if (count == 0 && framed) return tn_parquet_bytes_append(out, "\0\0\0\0\0\0\0", 8, err);
  int bound = LZ4_compressBound((int)count);
  size_t head = framed ? 8 : 0;
  TN_TRY(tn_parquet_bytes_reserve(out, head + (size_t)bound, err));
  uint8_t *at = out->data + out->length;
  const char *from = (const char *)bytes;
  int got = level > LZ4_FAST_LEVELS
                ? LZ4_compress_HC(from, (char *)at + head, (int)count, bound, level)
                : LZ4_compress_default(from, (char *)at + head, (int)count, bound);
  if (got <= 0) return tn_fail(err, TN_ERR_MEMORY, "lz4 cannot compress %zu bytes", count);
  if (framed) {
    store_big_u32(at, (uint32_t)count);
    store_big_u32(at + 4, (uint32_t)got);
  }
  out->length += head + (size_t)got;
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
      return compress_gzip(codecs, level, bytes, count, out, err);
    case TN_PARQUET_ZSTD:
      return compress_zstd(codecs, level, bytes, count, out, err);
    case TN_PARQUET_BROTLI:
      return compress_brotli(level, bytes, count, out, err);
    case TN_PARQUET_LZ4:
    case TN_PARQUET_LZ4_RAW:
      return compress_lz4(codec == TN_PARQUET_LZ4, level, bytes, count, out, err);
    default:
      return tn_parquet_codec_check(codec, err);
  }
}

/* ---- decompression: is the size possible? ---------------------------------------------------- */

static tn_status wrong_size(int32_t codec, size_t count, size_t want, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "%zu bytes of %s do not decompress to %zu bytes", count,
                 tn_parquet_codec_name(codec), want);
}

/* How many bytes come out, at most `limit` + BROTLI_STEP; SIZE_MAX: malformed. */
static size_t count_brotli(const uint8_t *bytes, size_t count, size_t limit) {
  uint8_t step[BROTLI_STEP];
  size_t total = 0;
  BrotliDecoderState *state = BrotliDecoderCreateInstance(NULL, NULL, NULL);
  BrotliDecoderResult result = BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT;
  while (state && result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT && total <= limit) {
    size_t room = sizeof step;
    uint8_t *out = step;
    result = BrotliDecoderDecompressStream(state, &count, &bytes, &room, &out, NULL);
    total += sizeof step - room;
  }
  if (state) BrotliDecoderDestroyInstance(state);
  return result == BROTLI_DECODER_RESULT_SUCCESS ? total : SIZE_MAX;
}

static bool may_become(int32_t codec, const uint8_t *bytes, size_t count, size_t want) {
  unsigned long long declared;
  size_t length;
  switch (codec) {
    case TN_PARQUET_UNCOMPRESSED:
      return count == want;
    case TN_PARQUET_SNAPPY:
      /* Every 3 compressed bytes give at most 64; a larger claim is a lie. */
      return snappy_uncompressed_length((const char *)bytes, count, &length) == SNAPPY_OK &&
             length == want && length <= count * 22;
    case TN_PARQUET_GZIP:
      return want / GZIP_GROWTH_MAX <= count;
    case TN_PARQUET_LZ4:
    case TN_PARQUET_LZ4_RAW:
      return want / LZ4_GROWTH_MAX <= count;
    case TN_PARQUET_BROTLI:
      return want <= BROTLI_BYTES_TRUSTED || want / BROTLI_GROWTH_TRUSTED <= count ||
             count_brotli(bytes, count, want) == want;
    default:
      /* Unknown, or the first of several frames: only decompression can tell. */
      declared = ZSTD_getFrameContentSize(bytes, count);
      return declared != ZSTD_CONTENTSIZE_ERROR && want / ZSTD_GROWTH_MAX <= count &&
             (declared == ZSTD_CONTENTSIZE_UNKNOWN || declared <= want);
  }
}

tn_status tn_parquet_decompress_check(int32_t codec, const uint8_t *bytes, size_t count,
                                      size_t want, tn_error *err) {
  TN_TRY(tn_parquet_codec_check(codec, err));
  return may_become(codec, bytes, count, want) ? TN_OK : wrong_size(codec, count, want, err);
}

/* ---- decompression --------------------------------------------------------------------------- */

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

static bool decompress_lz4_block(const uint8_t *bytes, size_t count, uint8_t *out, size_t room,
                                 size_t *got) {
  if (count > INT32_MAX) return false;
  int limit = room > INT32_MAX ? INT32_MAX : (int)room;
  int n = LZ4_decompress_safe((const char *)bytes, (char *)out, (int)count, limit);
  if (n < 0) return false;
  *got = (size_t)n;
  return true;
}

static uint32_t load_big_u32(const uint8_t *p) {
  return __builtin_bswap32(tn_load_u32(p));
}

/* Hadoop's framing: blocks of one uncompressed size, then chunks, each behind its compressed size,
 * until that many bytes have come out. */
static bool decompress_hadoop(const uint8_t *bytes, size_t count, uint8_t *out, size_t want) {
  size_t at = 0, done = 0;
  while (count - at >= 4) {
    size_t block = load_big_u32(bytes + at), end = done + block;
    at += 4;
    if (block > want - done) return false;
    while (done < end) {
      if (count - at < 4) return false;
      size_t chunk = load_big_u32(bytes + at), got = 0;
      at += 4;
      if (chunk > count - at) return false;
      if (!decompress_lz4_block(bytes + at, chunk, out + done, end - done, &got) || got == 0) {
        return false;
      }
      at += chunk;
      done += got;
    }
  }
  return at == count && done == want;
}

static bool decompress_lz4_frame(void *context, const uint8_t *bytes, size_t count, uint8_t *out,
                                 size_t want) {
  size_t at = 0, done = 0, left = 1;
  LZ4F_resetDecompressionContext(context);
  while (at < count) {
    size_t took = count - at, gave = want - done;
    left = LZ4F_decompress(context, out + done, &gave, bytes + at, &took, NULL);
    if (LZ4F_isError(left) || (took == 0 && gave == 0)) return false;
    at += took;
    done += gave;
  }
  return left == 0 && done == want;
}

/* The deprecated codec never said which framing it means, so, as Arrow does: Hadoop's if it fits,
 * else a frame by its magic number, else a bare block. */
static bool decompress_lz4(tn_parquet_codecs *codecs, const uint8_t *bytes, size_t count,
                           uint8_t *out, size_t want) {
  size_t got = 0;
  if (decompress_hadoop(bytes, count, out, want)) return true;
  if (count >= 4 && tn_load_u32(bytes) == 0x184d2204) {
    return decompress_lz4_frame(codecs->lz4_decompressor, bytes, count, out, want);
  }
  return decompress_lz4_block(bytes, count, out, want, &got) && got == want;
}

/* The working memory that `codec` wants. */
static tn_status get_ready(tn_parquet_codecs *c, int32_t codec, tn_error *err) {
  LZ4F_dctx *lz4 = c->lz4_decompressor;
  bool good = true;
  switch (codec) {
    case TN_PARQUET_GZIP:
      if (!c->gzip_decompressor) c->gzip_decompressor = libdeflate_alloc_decompressor();
      good = c->gzip_decompressor != NULL;
      break;
    case TN_PARQUET_ZSTD:
      if (!c->zstd_decompressor) c->zstd_decompressor = ZSTD_createDCtx();
      good = c->zstd_decompressor != NULL;
      break;
    case TN_PARQUET_LZ4:
      good = lz4 || !LZ4F_isError(LZ4F_createDecompressionContext(&lz4, LZ4F_VERSION));
      if (good) c->lz4_decompressor = lz4;
      break;
    default:
      break;
  }
  return good ? TN_OK
              : tn_fail(err, TN_ERR_MEMORY, "no memory for a decompressor of %s",
                        tn_parquet_codec_name(codec));
}

tn_status tn_parquet_decompress(tn_parquet_codecs *codecs, int32_t codec, const uint8_t *bytes,
                                size_t count, uint8_t *out, size_t want, tn_error *err) {
  bool good = false;
  size_t got = want;
  TN_TRY(get_ready(codecs, codec, err));
  switch (codec) {
    case TN_PARQUET_UNCOMPRESSED:
      good = count == want;
      if (good && want) memcpy(out, bytes, want);
      break;
    case TN_PARQUET_SNAPPY:
      good = snappy_uncompress((const char *)bytes, count, (char *)out, &got) == SNAPPY_OK;
      break;
    case TN_PARQUET_GZIP:
      good = decompress_gzip(codecs->gzip_decompressor, bytes, count, out, want);
      break;
    case TN_PARQUET_BROTLI:
      good = BrotliDecoderDecompress(count, bytes, &got, out) == BROTLI_DECODER_RESULT_SUCCESS;
      break;
    case TN_PARQUET_LZ4:
      good = decompress_lz4(codecs, bytes, count, out, want);
      break;
    case TN_PARQUET_LZ4_RAW:
      good = decompress_lz4_block(bytes, count, out, want, &got);
      break;
    case TN_PARQUET_ZSTD:
      got = ZSTD_decompressDCtx(codecs->zstd_decompressor, out, want, bytes, count);
      good = !ZSTD_isError(got);
      break;
    default:
      return tn_parquet_codec_check(codec, err);
  }
  return good && got == want ? TN_OK : wrong_size(codec, count, want, err);
}

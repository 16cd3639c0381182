/* SPDX-License-Identifier: Apache-2.0 */
#include <lz4frame.h>
#include <string.h>
#include <zstd.h>

#include "base/mem.h"
#include "columns/ipc_buffer.h"
#include "columns/ipc_format.h"

enum { PREFIX_BYTES = 8 };
enum { LZ4_RATIO_MAX = 255, ZSTD_LEVEL_DEFAULT = 1 };

/* ---- in ---- */
static tn_status bad_data(const char *codec, const char *why, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "malformed %s data: %s", codec, why);
}

static tn_status lz4_into(const uint8_t *from, size_t count, uint8_t *to, size_t room,
                          tn_error *err) {
  LZ4F_dctx *context;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)))
    return tn_fail_memory(err, "an LZ4 decoder", 1 << 16);
  size_t done = 0, used = 0, hint = 1;
  while (hint != 0 && !LZ4F_isError(hint)) {
    size_t out = room - done, in = count - used;
    hint = LZ4F_decompress(context, to + done, &out, from + used, &in, NULL);
    done += out;
    used += in;
    if (in == 0 && out == 0) break;
  }
  LZ4F_freeDecompressionContext(context);
  if (LZ4F_isError(hint)) return bad_data("lz4", LZ4F_getErrorName(hint), err);
  if (hint != 0 || done != room) return bad_data("lz4", "not as many bytes as it says", err);
  return TN_OK;
}

static tn_status zstd_into(const uint8_t *from, size_t count, uint8_t *to, size_t room,
                           tn_error *err) {
  size_t got = ZSTD_decompress(to, room, from, count);
  if (ZSTD_isError(got)) return bad_data("zstd", ZSTD_getErrorName(got), err);
  return got == room ? TN_OK : bad_data("zstd", "not as many bytes as it says", err);
}

/* Sizes that the compressed bytes themselves give the lie are refused before memory is taken. */
static tn_status check_claim(const uint8_t *from, int64_t count, int64_t bytes, int32_t codec,
                             tn_error *err) {
  if (codec == TN_IPC_CODEC_LZ4_FRAME) {
    if (bytes / LZ4_RATIO_MAX > count) return bad_data("lz4", "a size that cannot be", err);
    return TN_OK;
  }
  unsigned long long known = ZSTD_getFrameContentSize(from, (size_t)count);
  if (known == ZSTD_CONTENTSIZE_ERROR) return bad_data("zstd", "no frame", err);
  if (known != ZSTD_CONTENTSIZE_UNKNOWN && known > (unsigned long long)bytes)
    return bad_data("zstd", "more bytes than it says", err);
  return TN_OK;
}

tn_status tn_ipc_decompress(tn_ipc_bytes *b, int32_t codec, int64_t *left, int64_t limit,
                            tn_error *err) {
  int64_t bytes;
  if (b->bytes == 0) return TN_OK;
  if (b->bytes < PREFIX_BYTES)
    return tn_fail(err, TN_ERR_DATA, "a compressed buffer of %lld bytes", (long long)b->bytes);
  memcpy(&bytes, b->data, PREFIX_BYTES);
  const uint8_t *from = b->data + PREFIX_BYTES;
  int64_t count = b->bytes - PREFIX_BYTES;
  if (bytes == -1) { /* stored as it is: still a view */
    b->data = from;
    b->bytes = count;
    return TN_OK;
  }
  if (bytes < 0)
    return tn_fail(err, TN_ERR_DATA, "a compressed buffer of %lld bytes", (long long)bytes);
  if (bytes > *left)
    return tn_fail(err, TN_ERR_LIMIT, "decompresses to more than the limit of %lld bytes a batch",
                   (long long)limit);
  TN_TRY(check_claim(from, count, bytes, codec, err));
  *left -= bytes;
  tn_buffer *whole;
  TN_TRY(tn_buffer_new(&whole, (size_t)bytes, err));
  tn_status status = codec == TN_IPC_CODEC_ZSTD
                         ? zstd_into(from, (size_t)count, whole->data, (size_t)bytes, err)
                         : lz4_into(from, (size_t)count, whole->data, (size_t)bytes, err);
  if (status != TN_OK) {
    tn_buffer_drop(whole);
    return status;
  }
  tn_ipc_bytes_clear(b);
  *b = (tn_ipc_bytes){whole, whole->data, bytes};
  return TN_OK;
}

/* ---- out ---- */
struct tn_ipc_compressor {
  int32_t codec, level;
  ZSTD_CCtx *zstd;
};

tn_status tn_ipc_compressor_new(tn_ipc_compressor **out, int32_t codec, int32_t level,
                                tn_error *err) {
  bool zstd = codec == TN_IPC_CODEC_ZSTD;
  int32_t least = zstd ? ZSTD_minCLevel() : 1;
  int32_t most = zstd ? ZSTD_maxCLevel() : LZ4F_compressionLevel_max();
  if (level && (level < least || level > most))
    return tn_fail(err, TN_ERR_ARGUMENT, "level %d: codec %s has levels %d to %d", level,
                   zstd ? "zstd" : "lz4", least, most);
  tn_ipc_compressor *c = tn_alloc(1, sizeof *c);
  if (!c) return tn_fail_memory(err, "a compressor", sizeof *c);
  c->codec = codec;
  c->level = level ? level : codec == TN_IPC_CODEC_ZSTD ? ZSTD_LEVEL_DEFAULT : 0;
  if (codec == TN_IPC_CODEC_ZSTD && !(c->zstd = ZSTD_createCCtx())) {
    tn_free(c);
    return tn_fail_memory(err, "a zstd compressor", 1 << 20);
  }
  *out = c;
  return TN_OK;
}

void tn_ipc_compressor_free(tn_ipc_compressor *c) {
  if (!c) return;
  ZSTD_freeCCtx(c->zstd);
  tn_free(c);
}

static size_t bound(const tn_ipc_compressor *c, size_t bytes) {
  return c->codec == TN_IPC_CODEC_ZSTD ? ZSTD_compressBound(bytes)
                                       : LZ4F_compressFrameBound(bytes, NULL);
}

/* Compressed bytes, or 0 where that failed (which storing as it is answers). */
static size_t squeeze(tn_ipc_compressor *c, void *to, size_t room, const void *from, size_t bytes) {
  size_t got;
  if (c->codec == TN_IPC_CODEC_ZSTD) {
    got = ZSTD_compressCCtx(c->zstd, to, room, from, bytes, c->level);
    return ZSTD_isError(got) ? 0 : got;
  }
  LZ4F_preferences_t how = {.frameInfo = {.contentSize = bytes}, .compressionLevel = c->level};
  got = LZ4F_compressFrame(to, room, from, bytes, &how);
  return LZ4F_isError(got) ? 0 : got;
}

tn_status tn_ipc_compress(tn_ipc_compressor *c, const void *data, int64_t bytes, void **out,
                          int64_t *out_bytes, tn_error *err) {
  size_t room = bound(c, (size_t)bytes);
  char *block = tn_alloc(room + PREFIX_BYTES, 1);
  if (!block) return tn_fail_memory(err, "a compressed buffer", room);
  size_t got = squeeze(c, block + PREFIX_BYTES, room, data, (size_t)bytes);
  int64_t prefix = bytes;
  if (got == 0 || got >= (size_t)bytes) {
    prefix = -1;
    got = (size_t)bytes;
    memcpy(block + PREFIX_BYTES, data, got);
  }
  memcpy(block, &prefix, PREFIX_BYTES);
  *out = block;
  *out_bytes = (int64_t)got + PREFIX_BYTES;
  return TN_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/deflate.h"

#include <zlib.h>
#include <zstd.h>

enum { OUTPUT_BYTES = 128 << 10, GZIP_WINDOW = 15 + 16 /* 16: with gzip's header */ };

typedef struct deflate_sink {
  tn_sink base;
  tn_sink *inner;
  tn_compression compression;
  z_stream gzip;
  bool gzip_ready, ended;
  ZSTD_CStream *zstd;
  uint8_t *output; /* OUTPUT_BYTES */
} deflate_sink;

static tn_status put_gzip(deflate_sink *s, const uint8_t *bytes, size_t count, bool last,
                          tn_error *err) {
  size_t done = 0;
  do {
    size_t part = count - done < (1u << 30) ? count - done : 1u << 30; /* avail_in is 32 bits */
    bool final = last && done + part == count;
    s->gzip.next_in = (Bytef *)(uintptr_t)(bytes + done);
    s->gzip.avail_in = (uInt)part;
    do {
      s->gzip.next_out = s->output;
      s->gzip.avail_out = OUTPUT_BYTES;
      if (deflate(&s->gzip, final ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_ERROR)
        return tn_fail(err, TN_ERR_IO, "%s: gzip cannot go on", s->base.name);
      size_t made = OUTPUT_BYTES - s->gzip.avail_out;
      if (made) TN_TRY(tn_sink_write(s->inner, s->output, made, err));
    } while (s->gzip.avail_out == 0);
    done += part;
  } while (done < count);
  return TN_OK;
}

static tn_status put_zstd(deflate_sink *s, const uint8_t *bytes, size_t count, bool last,
                          tn_error *err) {
  ZSTD_inBuffer in = {bytes, count, 0};
  for (;;) {
    ZSTD_outBuffer out = {s->output, OUTPUT_BYTES, 0};
    size_t left = ZSTD_compressStream2(s->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
    if (ZSTD_isError(left))
      return tn_fail(err, TN_ERR_IO, "%s: zstd: %s", s->base.name, ZSTD_getErrorName(left));
    if (out.pos) TN_TRY(tn_sink_write(s->inner, s->output, out.pos, err));
    if (last ? left == 0 : in.pos == in.size) return TN_OK;
  }
}

static tn_status put(deflate_sink *s, const void *bytes, size_t count, bool last, tn_error *err) {
  return s->compression == TN_COMPRESSION_GZIP ? put_gzip(s, bytes, count, last, err)
                                               : put_zstd(s, bytes, count, last, err);
}

static tn_status deflate_write(tn_sink *self, const void *bytes, size_t count, tn_error *err) {
  deflate_sink *s = (deflate_sink *)self;
  if (s->ended) return tn_fail(err, TN_ERR_ARGUMENT, "%s: is already committed", self->name);
  if (count == 0) return TN_OK;
  TN_TRY(put(s, bytes, count, false, err));
  self->bytes_written += (int64_t)count;
  return TN_OK;
}

static tn_status deflate_commit(tn_sink *self, tn_error *err) {
  deflate_sink *s = (deflate_sink *)self;
  if (!s->ended) TN_TRY(put(s, "", 0, true, err));
  s->ended = true;
  return tn_sink_commit(s->inner, err);
}

static void deflate_close(tn_sink *self) {
  deflate_sink *s = (deflate_sink *)self;
  if (s->gzip_ready) deflateEnd(&s->gzip);
  ZSTD_freeCStream(s->zstd);
  tn_free(s->output);
  tn_sink_close(s->inner);
  tn_free(s);
}

static tn_status begin(deflate_sink *s, int32_t level, tn_error *err) {
  s->output = tn_alloc(OUTPUT_BYTES, 1);
  if (!s->output) return tn_fail_memory(err, s->base.name, OUTPUT_BYTES);
  if (s->compression == TN_COMPRESSION_GZIP) {
    int code =
        deflateInit2(&s->gzip, level ? level : 6, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY);
    if (code == Z_MEM_ERROR) return tn_fail_memory(err, "a gzip compressor", 256 << 10);
    if (code != Z_OK)
      return tn_fail(err, TN_ERR_ARGUMENT, "%s: gzip has no level %d", s->base.name, level);
    s->gzip_ready = true;
    return TN_OK;
  }
  s->zstd = ZSTD_createCStream();
  if (!s->zstd) return tn_fail_memory(err, "a zstd compressor", 1 << 20);
  if (level && (level > ZSTD_maxCLevel() || level < ZSTD_minCLevel()))
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: zstd has no level %d", s->base.name, level);
  ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel, level ? level : 3);
  ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_checksumFlag, 1);
  return TN_OK;
}

tn_status tn_deflate_open(tn_sink **out, tn_sink *inner, tn_compression compression, int32_t level,
                          tn_error *err) {
  *out = NULL;
  if (compression == TN_COMPRESSION_NONE) {
    *out = inner;
    return TN_OK;
  }
  deflate_sink *s = tn_alloc(1, sizeof *s);
  if (!s) {
    tn_sink_close(inner);
    return tn_fail_memory(err, "compressing sink", sizeof *s);
  }
  s->base = (tn_sink){.name = inner->name,
                      .write = deflate_write,
                      .commit = deflate_commit,
                      .close = deflate_close};
  s->inner = inner;
  s->compression = compression;
  tn_status status = begin(s, level, err);
  if (status != TN_OK) {
    deflate_close(&s->base);
    return status;
  }
  *out = &s->base;
  return TN_OK;
}

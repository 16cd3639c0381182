/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/inflate.h"

#include <zlib.h>
#include <zstd.h>

enum { INPUT_BYTES = 256 << 10 };

typedef struct inflate_source {
  tn_source base;
  tn_source *inner;
  tn_compression compression;
  bool from_file;    /* inner knows its size: read_at, so that several readers can share it */
  int64_t taken;     /* bytes of inner that came in so far */
  uint8_t *input;    /* INPUT_BYTES */
  size_t at, filled; /* of input */
  bool input_ended;
  bool inside;  /* a member or frame has begun and not ended */
  bool started; /* the first member's magic is known to be right */
  z_stream gzip;
  bool gzip_ready;
  ZSTD_DStream *zstd;
} inflate_source;

tn_compression tn_compression_of(const uint8_t *p, size_t count) {
  if (count >= 2 && p[0] == 0x1f && p[1] == 0x8b) return TN_COMPRESSION_GZIP;
  if (count < 4) return TN_COMPRESSION_NONE;
  if (p[0] == 0x28 && p[1] == 0xb5 && p[2] == 0x2f && p[3] == 0xfd) return TN_COMPRESSION_ZSTD;
  bool skippable = (p[0] & 0xf0) == 0x50 && p[1] == 0x2a && p[2] == 0x4d && p[3] == 0x18;
  return skippable ? TN_COMPRESSION_ZSTD : TN_COMPRESSION_NONE;
}

const char *tn_compression_name(tn_compression compression) {
  static const char *const names[] = {"none", "gzip", "zstd"};
  return names[compression];
}

/* ---- input ---- */
/* Moves what is left to the front and reads behind it, once. */
static tn_status fill(inflate_source *s, tn_error *err) {
  memmove(s->input, s->input + s->at, s->filled - s->at);
  s->filled -= s->at;
  s->at = 0;
  size_t got = 0, room = INPUT_BYTES - s->filled;
  if (s->input_ended || room == 0) return TN_OK;
  if (s->from_file) {
    int64_t left = s->inner->size_bytes - s->taken;
    got = left < (int64_t)room ? (size_t)left : room;
    if (got > 0) TN_TRY(s->inner->read_at(s->inner, s->taken, s->input + s->filled, got, err));
  } else {
    TN_TRY(s->inner->read(s->inner, s->input + s->filled, room, &got, err));
  }
  s->taken += (int64_t)got;
  s->filled += got;
  s->input_ended = got == 0;
  return TN_OK;
}

static tn_status fill_at_least(inflate_source *s, size_t bytes, tn_error *err) {
  while (s->filled - s->at < bytes && !s->input_ended) TN_TRY(fill(s, err));
  return TN_OK;
}

static int64_t byte_of(const inflate_source *s) {
  return s->taken - (int64_t)(s->filled - s->at);
}

static tn_status damaged(const inflate_source *s, const char *what, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "%s: %s data is damaged near byte %lld: %s", s->base.name,
                 tn_compression_name(s->compression), (long long)byte_of(s), what);
}

static tn_status cut(const inflate_source *s, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "%s: ends at byte %lld inside a %s: is the file truncated?",
                 s->base.name, (long long)s->taken,
                 s->compression == TN_COMPRESSION_GZIP ? "gzip member" : "zstd frame");
}

/* ---- decompressors ---- */
static tn_status begin_gzip(inflate_source *s, tn_error *err) {
  enum { GZIP_ONLY = 16 + MAX_WBITS };
  int code = s->gzip_ready ? inflateReset2(&s->gzip, GZIP_ONLY) : inflateInit2(&s->gzip, GZIP_ONLY);
  if (code != Z_OK) return tn_fail_memory(err, "gzip window", (size_t)1 << MAX_WBITS);
  s->gzip_ready = true;
  return TN_OK;
}

static tn_status begin_zstd(inflate_source *s, tn_error *err) {
  if (!s->zstd) s->zstd = ZSTD_createDStream();
  if (!s->zstd) return tn_fail_memory(err, "zstd decompressor", (size_t)128 << 10);
  ZSTD_DCtx_reset(s->zstd, ZSTD_reset_session_only);
  ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, TN_INFLATE_WINDOW_LOG_MAX);
  return TN_OK;
}

static tn_status gunzip(inflate_source *s, uint8_t *to, size_t room, size_t *made, tn_error *err) {
  size_t have = s->filled - s->at;
  s->gzip.next_in = s->input + s->at;
  s->gzip.avail_in = (unsigned)have;
  s->gzip.next_out = to;
  s->gzip.avail_out = room > UINT32_MAX ? UINT32_MAX : (unsigned)room;
  unsigned before = s->gzip.avail_out;
  int code = inflate(&s->gzip, Z_NO_FLUSH);
  s->at += have - s->gzip.avail_in;
  *made = before - s->gzip.avail_out;
  if (code == Z_STREAM_END) s->inside = false;
  if (code == Z_MEM_ERROR) return tn_fail_memory(err, "gzip window", (size_t)1 << MAX_WBITS);
  if (code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR) return TN_OK;
  return damaged(s, s->gzip.msg ? s->gzip.msg : "no such block", err);
}

static tn_status unzstd(inflate_source *s, uint8_t *to, size_t room, size_t *made, tn_error *err) {
  ZSTD_inBuffer in = {s->input + s->at, s->filled - s->at, 0};
  ZSTD_outBuffer out = {to, room, 0};
  size_t left = ZSTD_decompressStream(s->zstd, &out, &in);
  s->at += in.pos;
  *made = out.pos;
  if (ZSTD_isError(left)) return damaged(s, ZSTD_getErrorName(left), err);
  if (left == 0) s->inside = false;
  return TN_OK;
}

/* At the start of a member or frame.  Zeros behind the last one are padding, as of a tape. */
static tn_status begin_next(inflate_source *s, bool *ended, tn_error *err) {
  TN_TRY(fill_at_least(s, TN_INFLATE_MAGIC_BYTES, err));
  const uint8_t *p = s->input + s->at;
  size_t have = s->filled - s->at;
  *ended = have == 0;
  if (*ended) return TN_OK;
  if (tn_compression_of(p, have) != s->compression) {
    while (have > 0 && *p == 0 && s->started) {
      s->at++;
      if (s->at == s->filled) TN_TRY(fill(s, err));
      p = s->input + s->at;
      have = s->filled - s->at;
    }
    *ended = have == 0;
    return *ended ? TN_OK : damaged(s, "neither another member nor the end of the file", err);
  }
  s->inside = s->started = true;
  return s->compression == TN_COMPRESSION_GZIP ? begin_gzip(s, err) : begin_zstd(s, err);
}

static tn_status read_plain(inflate_source *s, void *to, size_t bytes, size_t *got, tn_error *err) {
  if (s->at == s->filled) TN_TRY(fill(s, err));
  size_t have = s->filled - s->at;
  *got = have < bytes ? have : bytes;
  if (*got) memcpy(to, s->input + s->at, *got);
  s->at += *got;
  return TN_OK;
}

static tn_status inflate_read(tn_source *self, void *to, size_t bytes, size_t *got, tn_error *err) {
  inflate_source *s = (inflate_source *)self;
  *got = 0;
  if (s->compression == TN_COMPRESSION_NONE) {
    TN_TRY(read_plain(s, to, bytes, got, err));
  } else {
    while (*got == 0 && bytes > 0) {
      bool ended = false;
      if (!s->inside) TN_TRY(begin_next(s, &ended, err));
      if (ended) break;
      size_t before = s->filled - s->at;
      TN_TRY(s->compression == TN_COMPRESSION_GZIP ? gunzip(s, to, bytes, got, err)
                                                   : unzstd(s, to, bytes, got, err));
      bool stuck = *got == 0 && s->inside && s->filled - s->at == before;
      if (stuck && s->input_ended) return cut(s, err);
      if (s->at == s->filled || stuck) TN_TRY(fill(s, err));
      if (s->input_ended && s->inside && *got == 0 && s->at == s->filled) return cut(s, err);
    }
  }
  self->bytes_read += (int64_t)*got;
  return TN_OK;
}

static tn_status no_read_at(tn_source *self, int64_t offset, void *dst, size_t bytes,
                            tn_error *err) {
  return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: compressed data can only be read in order",
                 self->name);
}

static tn_status no_view_at(tn_source *self, int64_t offset, size_t bytes, tn_buffer **out,
                            const uint8_t **data, tn_error *err) {
  return no_read_at(self, offset, NULL, bytes, err);
}

static void inflate_close(tn_source *self) {
  inflate_source *s = (inflate_source *)self;
  if (s->gzip_ready) inflateEnd(&s->gzip);
  ZSTD_freeDStream(s->zstd);
  tn_source_close(s->inner);
  tn_free(s->input);
  tn_free(s);
}

/* A regular file is looked into without moving its read position. */
static tn_status is_plain_file(tn_source *inner, bool *plain, tn_error *err) {
  uint8_t magic[TN_INFLATE_MAGIC_BYTES];
  size_t count = inner->size_bytes < TN_INFLATE_MAGIC_BYTES ? (size_t)inner->size_bytes
                                                            : TN_INFLATE_MAGIC_BYTES;
  if (count > 0) TN_TRY(inner->read_at(inner, 0, magic, count, err));
  *plain = tn_compression_of(magic, count) == TN_COMPRESSION_NONE;
  return TN_OK;
}

tn_status tn_inflate_open(tn_source **out, tn_source *inner, tn_error *err) {
  bool plain = false;
  tn_status status = TN_OK;
  if (inner->size_bytes >= 0) status = is_plain_file(inner, &plain, err);
  if (status == TN_OK && plain) {
    *out = inner;
    return TN_OK;
  }
  inflate_source *s = status == TN_OK ? tn_alloc(1, sizeof *s) : NULL;
  if (!s) {
    tn_source_close(inner);
    return status == TN_OK ? tn_fail_memory(err, "decompressor", sizeof *s) : status;
  }
  s->inner = inner;
  s->from_file = inner->size_bytes >= 0;
  s->base = (tn_source){.name = inner->name,
                        .size_bytes = -1,
                        .read_at = no_read_at,
                        .view_at = no_view_at,
                        .read = inflate_read,
                        .close = inflate_close};
  s->input = tn_realloc(NULL, INPUT_BYTES, 1);
  status = s->input ? fill_at_least(s, TN_INFLATE_MAGIC_BYTES, err)
                    : tn_fail_memory(err, "decompressor", INPUT_BYTES);
  if (status != TN_OK) {
    inflate_close(&s->base);
    return status;
  }
  s->compression = tn_compression_of(s->input, s->filled);
  *out = &s->base;
  return TN_OK;
}

tn_status tn_inflate_rewind(tn_source *source, tn_error *err) {
  if (source->read != inflate_read) {
    if (source->size_bytes >= 0) return TN_OK;
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: a pipe can only be read once", source->name);
  }
  inflate_source *s = (inflate_source *)source;
  if (!s->from_file)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: a pipe can only be read once", source->name);
  s->taken = 0;
  s->at = s->filled = 0;
  s->input_ended = s->inside = s->started = false;
  return TN_OK;
}

bool tn_inflate_over_pipe(const tn_source *source) {
  if (source->read != inflate_read) return source->size_bytes < 0;
  return !((const inflate_source *)source)->from_file;
}

tn_compression tn_inflate_compression(const tn_source *source) {
  if (source->read != inflate_read) return TN_COMPRESSION_NONE;
  return ((const inflate_source *)source)->compression;
}

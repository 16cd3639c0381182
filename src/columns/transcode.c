/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/transcode.h"

#include "columns/inflate.h"

enum { INPUT_BYTES = 64 << 10 };

typedef struct transcoder {
  tn_source base;
  tn_source *inner;
  tn_encoding encoding;
  uint8_t *prefix;
  size_t prefix_at, prefix_bytes;
  uint8_t input[INPUT_BYTES];
  size_t at, filled;
  int64_t taken;   /* bytes of inner before input[at] */
  int64_t fetched; /* of a file: bytes of inner read so far */
  uint8_t rest[4]; /* of the last character, UTF-8 */
  size_t rest_at, rest_bytes;
  bool ended, begun;
} transcoder;

tn_status tn_encoding_of(const char *name, tn_encoding *out, tn_error *err) {
  static const struct {
    const char *name;
    tn_encoding encoding;
  } names[] = {{"utf-8", TN_ENCODING_UTF8},        {"utf8", TN_ENCODING_UTF8},
               {"ascii", TN_ENCODING_UTF8},        {"utf-16le", TN_ENCODING_UTF16LE},
               {"utf-16", TN_ENCODING_UTF16LE},    {"utf-16be", TN_ENCODING_UTF16BE},
               {"latin-1", TN_ENCODING_LATIN1},    {"latin1", TN_ENCODING_LATIN1},
               {"iso-8859-1", TN_ENCODING_LATIN1}, {"windows-1252", TN_ENCODING_WINDOWS1252},
               {"cp1252", TN_ENCODING_WINDOWS1252}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcasecmp(name, names[i].name) == 0) {
      *out = names[i].encoding;
      return TN_OK;
    }
  return tn_fail(err, TN_ERR_ARGUMENT,
                 "encoding '%s' is not known; known are utf-8, utf-16le, utf-16be, latin-1, "
                 "windows-1252",
                 name);
}

const char *tn_encoding_name(tn_encoding encoding) {
  static const char *const names[] = {"utf-8", "utf-16le", "utf-16be", "latin-1", "windows-1252"};
  return names[encoding];
}

/* ---- detection ---- */
/* UTF-8, but for a character that the sample's end may have cut; or mostly: where more characters
 * of several bytes are right than bytes are wrong, the text is UTF-8 with damage, not Latin-1. */
static bool is_utf8(const uint8_t *p, size_t bytes, bool whole) {
  size_t right = 0, wrong = 0;
  for (size_t i = 0; i < bytes;) {
    int length = tn_utf8_length(p + i, bytes - i);
    bool cut = length == 0 && !whole && bytes - i < 4;
    right += length > 1;
    wrong += length == 0 && !cut;
    i += length ? (size_t)length : 1;
  }
  return right >= wrong;
}

/* Text in Latin letters has a zero byte in most characters, always on the same side. */
static bool looks_utf16(const uint8_t *p, size_t bytes, bool *big) {
  size_t even = 0, odd = 0, pairs = bytes / 2;
  for (size_t i = 0; i < pairs; i++) {
    even += p[2 * i] == 0;
    odd += p[2 * i + 1] == 0;
  }
  *big = even > odd;
  size_t most = even > odd ? even : odd, least = even > odd ? odd : even;
  return pairs > 0 && most * 2 > pairs && least * 8 < most;
}

tn_encoding tn_encoding_detect(const uint8_t *p, size_t bytes, bool whole, size_t *bom_bytes) {
  *bom_bytes = 2;
  if (bytes >= 2 && p[0] == 0xff && p[1] == 0xfe) return TN_ENCODING_UTF16LE;
  if (bytes >= 2 && p[0] == 0xfe && p[1] == 0xff) return TN_ENCODING_UTF16BE;
  *bom_bytes = bytes >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
  bool big;
  if (*bom_bytes == 0 && looks_utf16(p, bytes, &big))
    return big ? TN_ENCODING_UTF16BE : TN_ENCODING_UTF16LE;
  if (*bom_bytes || is_utf8(p, bytes, whole)) return TN_ENCODING_UTF8;
  for (size_t i = 0; i < bytes; i++)
    if (p[i] >= 0x80 && p[i] < 0xa0) return TN_ENCODING_WINDOWS1252;
  return TN_ENCODING_LATIN1;
}

/* ---- conversion ---- */
static tn_status fill(transcoder *t, tn_error *err) {
  memmove(t->input, t->input + t->at, t->filled - t->at);
  t->filled -= t->at;
  t->at = 0;
  size_t got = t->prefix_bytes - t->prefix_at, room = INPUT_BYTES - t->filled;
  if (got > room) got = room;
  if (got > 0) {
    memcpy(t->input + t->filled, t->prefix + t->prefix_at, got);
    t->prefix_at += got;
  } else if (t->inner->size_bytes >= 0) {
    int64_t left = t->inner->size_bytes - t->fetched;
    got = left < (int64_t)room ? (size_t)left : room;
    if (got > 0) TN_TRY(t->inner->read_at(t->inner, t->fetched, t->input + t->filled, got, err));
    t->fetched += (int64_t)got;
    t->ended = got == 0;
  } else {
    TN_TRY(t->inner->read(t->inner, t->input + t->filled, room, &got, err));
    t->ended = got == 0;
  }
  t->filled += got;
  return TN_OK;
}

static uint32_t windows_1252(uint8_t byte) {
  static const uint16_t high[32] = {0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021,
                                    0x2c6,  0x2030, 0x160,  0x2039, 0x152,  0x8d,   0x17d,  0x8f,
                                    0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                    0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};
  return byte >= 0x80 && byte < 0xa0 ? high[byte - 0x80] : byte;
}

static uint32_t unit_at(const transcoder *t, size_t at) {
  const uint8_t *p = t->input + at;
  return t->encoding == TN_ENCODING_UTF16BE ? (uint32_t)(p[0] << 8 | p[1])
                                            : (uint32_t)(p[1] << 8 | p[0]);
}

static tn_status no_text(const transcoder *t, const char *what, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "%s: byte %lld is no %s text: %s", t->base.name,
                 (long long)t->taken, tn_encoding_name(t->encoding), what);
}

/* One character of UTF-16; *wants: how many bytes must be there for it. */
static tn_status next_utf16(transcoder *t, uint32_t *code, size_t *wants, tn_error *err) {
  size_t have = t->filled - t->at;
  *wants = 2;
  if (have < 2) return have == 1 && t->ended ? no_text(t, "half a character", err) : TN_OK;
  *code = unit_at(t, t->at);
  if (*code < 0xd800 || *code > 0xdfff) return TN_OK;
  *wants = 4;
  bool cut = have < 4;
  if (*code > 0xdbff || (cut && t->ended)) return no_text(t, "a lone surrogate", err);
  if (cut) return TN_OK;
  uint32_t low = unit_at(t, t->at + 2);
  if (low < 0xdc00 || low > 0xdfff) return no_text(t, "a lone surrogate", err);
  *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
  return TN_OK;
}

static tn_status next_code(transcoder *t, uint32_t *code, size_t *wants, tn_error *err) {
  if (t->encoding == TN_ENCODING_UTF16LE || t->encoding == TN_ENCODING_UTF16BE)
    return next_utf16(t, code, wants, err);
  *wants = 1;
  if (t->at == t->filled) return TN_OK;
  uint8_t byte = t->input[t->at];
  *code = t->encoding == TN_ENCODING_WINDOWS1252 ? windows_1252(byte) : byte;
  return TN_OK;
}

/* Hands out what is left of a character that did not fit whole. */
static void give_rest(transcoder *t, uint8_t *to, size_t bytes, size_t *got) {
  while (t->rest_at < t->rest_bytes && *got < bytes) to[(*got)++] = t->rest[t->rest_at++];
}

static tn_status transcode_read(tn_source *self, void *to, size_t bytes, size_t *got,
                                tn_error *err) {
  transcoder *t = (transcoder *)self;
  *got = 0;
  give_rest(t, to, bytes, got);
  while (*got < bytes) {
    uint32_t code = 0;
    size_t wants = 0;
    TN_TRY(next_code(t, &code, &wants, err));
    if (t->filled - t->at < wants) {
      if (t->ended || *got > 0) break; /* what there is, first */
      TN_TRY(fill(t, err));
      continue;
    }
    t->at += wants;
    t->taken += (int64_t)wants;
    bool mark = code == 0xfeff && !t->begun;
    t->begun = true;
    if (mark) continue;
    t->rest_at = 0;
    t->rest_bytes = (size_t)tn_utf8_encode(code, t->rest);
    give_rest(t, to, bytes, got);
  }
  self->bytes_read += (int64_t)*got;
  return TN_OK;
}

static tn_status no_read_at(tn_source *self, int64_t offset, void *dst, size_t bytes,
                            tn_error *err) {
  return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: text of another encoding can only be read in order",
                 self->name);
}

static tn_status no_view_at(tn_source *self, int64_t offset, size_t bytes, tn_buffer **out,
                            const uint8_t **data, tn_error *err) {
  return no_read_at(self, offset, NULL, bytes, err);
}

static void transcode_close(tn_source *self) {
  transcoder *t = (transcoder *)self;
  tn_source_close(t->inner);
  tn_free(t->prefix);
  tn_free(t);
}

tn_status tn_transcode_open(tn_source **out, tn_source *inner, tn_encoding encoding,
                            const uint8_t *prefix, size_t prefix_bytes, tn_error *err) {
  transcoder *t = tn_alloc(1, sizeof *t);
  if (!t) {
    tn_source_close(inner);
    return tn_fail_memory(err, "transcoder", sizeof *t);
  }
  t->inner = inner;
  t->encoding = encoding;
  t->base = (tn_source){.name = inner->name,
                        .size_bytes = -1,
                        .read_at = no_read_at,
                        .view_at = no_view_at,
                        .read = transcode_read,
                        .close = transcode_close};
  if (inner->size_bytes >= 0) prefix_bytes = 0; /* read from its start instead */
  t->prefix = tn_realloc(NULL, prefix_bytes + 1, 1);
  if (!t->prefix) {
    transcode_close(&t->base);
    return tn_fail_memory(err, "transcoder", prefix_bytes);
  }
  if (prefix_bytes) memcpy(t->prefix, prefix, prefix_bytes);
  t->prefix_bytes = prefix_bytes;
  *out = &t->base;
  return TN_OK;
}

tn_status tn_transcode_rewind(tn_source *source, tn_error *err) {
  transcoder *t = (transcoder *)source;
  TN_TRY(tn_inflate_rewind(t->inner, err));
  t->fetched = t->taken = 0;
  t->at = t->filled = t->rest_at = t->rest_bytes = 0;
  t->prefix_at = t->prefix_bytes = 0;
  t->ended = t->begun = false;
  return TN_OK;
}

bool tn_transcode_over_pipe(const tn_source *source) {
  return tn_inflate_over_pipe(((const transcoder *)source)->inner);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/text_stream.h"

/* Length of the longest start of a well-formed character at s, cut short by the end or by a wrong
 * byte: 1 to 3.  *may_go_on: the end cut it, so more bytes could complete it. */
static size_t partial_length(const uint8_t *s, size_t available, bool *may_go_on) {
  *may_go_on = false;
  size_t wanted = s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : 2;
  if (s[0] < 0xc2 || s[0] > 0xf4) return 1;
  uint8_t low = 0x80, high = 0xbf; /* of the second byte: no overlong forms, no surrogates */
  if (s[0] == 0xe0) low = 0xa0;
  if (s[0] == 0xed) high = 0x9f;
  if (s[0] == 0xf0) low = 0x90;
  if (s[0] == 0xf4) high = 0x8f;
  size_t i = 1;
  for (; i < wanted && i < available; i++) {
    if (s[i] < low || s[i] > high) return i;
    low = 0x80;
    high = 0xbf;
  }
  *may_go_on = i == available && i < wanted;
  return i;
}

void tn_utf8_append_repaired(tn_strbuf *out, tn_str bytes) {
  const uint8_t *s = (const uint8_t *)bytes.data;
  size_t i = 0, good = 0; /* [good, i) is valid and not yet appended */
  while (i < bytes.length) {
    int length = tn_utf8_length(s + i, bytes.length - i);
    if (length > 0) {
      i += (size_t)length;
      continue;
    }
    bool may_go_on;
    if (i > good) tn_strbuf_append(out, s + good, i - good);
    i += partial_length(s + i, bytes.length - i, &may_go_on);
    good = i;
    tn_strbuf_add(out, "\xef\xbf\xbd");
  }
  if (i > good) tn_strbuf_append(out, s + good, i - good);
}

/* Bytes at the end that are the start of a character. */
static size_t open_character(tn_str bytes) {
  const uint8_t *s = (const uint8_t *)bytes.data;
  for (size_t back = 1; back <= 3 && back <= bytes.length; back++) {
    const uint8_t *at = s + bytes.length - back;
    if ((*at & 0xc0) == 0x80) continue; /* a continuation byte: its start lies before */
    bool may_go_on = false;
    if (tn_utf8_length(at, back) == 0) partial_length(at, back, &may_go_on);
    return may_go_on ? back : 0;
  }
  return 0;
}

/* Longest end of `bytes` that is a proper start of `stop`. */
static size_t open_stop(tn_str bytes, tn_str stop) {
  size_t longest = stop.length - 1 < bytes.length ? stop.length - 1 : bytes.length;
  for (size_t n = longest; n > 0; n--) {
    if (memcmp(bytes.data + bytes.length - n, stop.data, n) == 0) return n;
  }
  return 0;
}

static int64_t first_stop(const tn_text_stream *s, tn_str bytes) {
  int64_t first = -1;
  for (int32_t i = 0; i < s->stop_count; i++) {
    int64_t at = tn_str_find(bytes, s->stops[i]);
    if (at >= 0 && (first < 0 || at < first)) first = at;
  }
  return first;
}

static void release(tn_text_stream *s, size_t count, tn_strbuf *out) {
  if (count == 0) return;
  tn_utf8_append_repaired(out, (tn_str){s->held.data, count});
  memmove(s->held.data, s->held.data + count, s->held.length - count);
  s->held.length -= count;
  s->held.data[s->held.length] = '\0';
}

tn_status tn_text_stream_feed(tn_text_stream *s, tn_str bytes, tn_strbuf *out, tn_error *err) {
  if (s->stopped || bytes.length == 0) return TN_OK;
  tn_strbuf_add_str(&s->held, bytes);
  TN_TRY(tn_strbuf_check(&s->held, err));
  tn_str held = tn_strbuf_view(&s->held);
  int64_t stop = first_stop(s, held);
  if (stop >= 0) {
    s->stopped = true;
    release(s, (size_t)stop, out);
    tn_strbuf_reset(&s->held);
    return tn_strbuf_check(out, err);
  }
  size_t keep = open_character(held);
  for (int32_t i = 0; i < s->stop_count; i++) {
    size_t n = open_stop(held, s->stops[i]);
    if (n > keep) keep = n;
  }
  /* Never cut inside a character either: the part before the held bytes must end with a whole one.
   */
  keep += open_character((tn_str){held.data, held.length - keep});
  release(s, held.length - keep, out);
  return tn_strbuf_check(out, err);
}

tn_status tn_text_stream_finish(tn_text_stream *s, tn_strbuf *out, tn_error *err) {
  if (!s->stopped && s->held.length > 0) release(s, s->held.length, out);
  return tn_strbuf_check(out, err);
}

void tn_text_stream_clear(tn_text_stream *s) {
  tn_strbuf_clear(&s->held);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/text_stream.h"

#include "base/utf8.h"

/* Bytes at the end that are the start of a character. */
static size_t open_character(tn_str bytes) {
  const uint8_t *s = (const uint8_t *)bytes.data;
  for (size_t back = 1; back <= 3 && back <= bytes.length; back++) {
    const uint8_t *at = s + bytes.length - back;
    if ((*at & 0xc0) == 0x80) continue; /* a continuation byte: its start lies before */
    bool may_go_on = false;
    if (tn_utf8_length(at, back) == 0) tn_utf8_part_length(at, back, &may_go_on);
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

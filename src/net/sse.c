/* SPDX-License-Identifier: Apache-2.0 */
#include "net/sse.h"

#include "base/mem.h"

static tn_status check_bytes(const tn_sse *sse, size_t bytes, const char *what, tn_error *err) {
  size_t limit = sse->bytes_max ? sse->bytes_max : 1 << 20;
  if (bytes <= limit) return TN_OK;
  return tn_fail(err, TN_ERR_LIMIT, "server-sent %s of %zu bytes, limit %zu", what, bytes, limit);
}

static tn_status take_line(tn_sse *sse, tn_sse_event on_event, void *context, tn_error *err) {
  tn_str line = tn_strbuf_view(&sse->line);
  if (line.length > 0 && line.data[line.length - 1] == '\r') line.length--;
  if (line.length == 0) {
    bool go_on = !sse->has_data || on_event(context, tn_strbuf_view(&sse->data));
    tn_strbuf_reset(&sse->data);
    sse->has_data = false;
    return go_on ? TN_OK : TN_END;
  }
  if (!tn_str_starts(line, TN_STR("data:"))) return TN_OK;
  line.data += 5;
  line.length -= 5;
  if (line.length > 0 && line.data[0] == ' ') {
    line.data++;
    line.length--;
  }
  TN_TRY(check_bytes(sse, sse->data.length + line.length, "event", err));
  if (sse->has_data) tn_strbuf_add_char(&sse->data, '\n');
  tn_strbuf_add_str(&sse->data, line);
  sse->has_data = true;
  return tn_strbuf_check(&sse->data, err);
}

tn_status tn_sse_feed(tn_sse *sse, tn_str bytes, tn_sse_event on_event, void *context,
                      tn_error *err) {
  while (bytes.length > 0) {
    const char *end = memchr(bytes.data, '\n', bytes.length);
    size_t count = end ? (size_t)(end - bytes.data) : bytes.length;
    TN_TRY(check_bytes(sse, sse->line.length + count, "line", err));
    tn_strbuf_append(&sse->line, bytes.data, count);
    TN_TRY(tn_strbuf_check(&sse->line, err));
    if (!end) return TN_OK;
    tn_status status = take_line(sse, on_event, context, err);
    tn_strbuf_reset(&sse->line);
    if (status != TN_OK) return status;
    bytes.data += count + 1;
    bytes.length -= count + 1;
  }
  return TN_OK;
}

void tn_sse_clear(tn_sse *sse) {
  tn_strbuf_clear(&sse->line);
  tn_strbuf_clear(&sse->data);
  sse->has_data = false;
}

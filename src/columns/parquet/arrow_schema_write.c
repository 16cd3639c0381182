/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/arrow_schema_write.h"

#include "columns/ipc.h"

enum { STREAM_END_BYTES = 8 }; /* 0xFFFFFFFF, 0 */

static void add_base64(tn_strbuf *out, const uint8_t *bytes, size_t count) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < count; i += 3) {
    size_t left = count - i;
    uint32_t word = (uint32_t)bytes[i] << 16;
    if (left > 1) word |= (uint32_t)bytes[i + 1] << 8;
    if (left > 2) word |= bytes[i + 2];
    char four[4] = {digits[word >> 18], digits[word >> 12 & 63],
                    left > 1 ? digits[word >> 6 & 63] : '=', left > 2 ? digits[word & 63] : '='};
    tn_strbuf_append(out, four, sizeof four);
  }
}

/* A stream without batches is the schema's message and the end. */
static tn_status write_stream(const ArrowSchema *schema, tn_strbuf *out, tn_error *err) {
  tn_sink *sink;
  tn_ipc_writer *w = NULL;
  TN_TRY(tn_sink_open_memory(&sink, "the Arrow schema", out, err));
  tn_ipc_write_options options = {.stream = true};
  tn_status status = tn_ipc_writer_open(&w, sink, schema, &options, err);
  if (status == TN_OK) status = tn_ipc_writer_finish(w, err);
  tn_ipc_writer_free(w);
  tn_sink_close(sink);
  return status;
}

tn_status tn_parquet_arrow_schema_write(const ArrowSchema *schema, tn_strbuf *out, tn_error *err) {
  tn_strbuf stream = {0};
  tn_status status = write_stream(schema, &stream, err);
  if (status == TN_OK && stream.length > STREAM_END_BYTES) {
    add_base64(out, (const uint8_t *)stream.data, stream.length - STREAM_END_BYTES);
    status = tn_strbuf_check(out, err);
  }
  tn_strbuf_clear(&stream);
  return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/gguf_write.h"

#include <assert.h>

#include "base/io.h"

enum { ALIGNED = 32, VERSION = 3 };

/* The numbers of the format. */
enum { KIND_U32 = 4, KIND_I32 = 5, KIND_F32 = 6, KIND_BOOL = 7, KIND_STRING = 8, KIND_ARRAY = 9 };

typedef struct tn_gguf_entry {
  const char *name;
  tn_tensor tensor;
  int64_t offset;
} tn_gguf_entry;

void tn_gguf_writer_clear(tn_gguf_writer *w) {
  tn_strbuf_clear(&w->values);
  tn_free(w->tensors);
  tn_arena_clear(&w->names);
  *w = (tn_gguf_writer){0};
}

/* ---- little-endian pieces ---- */

static void put_u32(tn_strbuf *out, uint32_t value) {
  const uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                            (uint8_t)(value >> 24)};
  tn_strbuf_append(out, bytes, sizeof bytes);
}

static void put_u64(tn_strbuf *out, uint64_t value) {
  put_u32(out, (uint32_t)value);
  put_u32(out, (uint32_t)(value >> 32));
}

static void put_f32(tn_strbuf *out, float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  put_u32(out, bits);
}

static void put_str(tn_strbuf *out, tn_str s) {
  put_u64(out, s.length);
  tn_strbuf_add_str(out, s);
}

/* ---- metadata ---- */

static tn_strbuf *begin_value(tn_gguf_writer *w, const char *key, uint32_t kind) {
  assert(w->items_left == 0);
  put_str(&w->values, tn_str_of(key));
  put_u32(&w->values, kind);
  w->value_count++;
  return &w->values;
}

void tn_gguf_put_u32(tn_gguf_writer *w, const char *key, uint32_t value) {
  put_u32(begin_value(w, key, KIND_U32), value);
}

void tn_gguf_put_f32(tn_gguf_writer *w, const char *key, float value) {
  put_f32(begin_value(w, key, KIND_F32), value);
}

void tn_gguf_put_bool(tn_gguf_writer *w, const char *key, bool value) {
  tn_strbuf_add_char(begin_value(w, key, KIND_BOOL), value ? 1 : 0);
}

void tn_gguf_put_str(tn_gguf_writer *w, const char *key, tn_str value) {
  put_str(begin_value(w, key, KIND_STRING), value);
}

static void begin_array(tn_gguf_writer *w, const char *key, uint32_t kind, int64_t count) {
  tn_strbuf *out = begin_value(w, key, KIND_ARRAY);
  put_u32(out, kind);
  put_u64(out, (uint64_t)count);
  w->items_left = count;
}

void tn_gguf_put_strs(tn_gguf_writer *w, const char *key, int64_t count) {
  begin_array(w, key, KIND_STRING, count);
}

void tn_gguf_put_f32s(tn_gguf_writer *w, const char *key, int64_t count) {
  begin_array(w, key, KIND_F32, count);
}

void tn_gguf_put_i32s(tn_gguf_writer *w, const char *key, int64_t count) {
  begin_array(w, key, KIND_I32, count);
}

static tn_strbuf *begin_item(tn_gguf_writer *w) {
  assert(w->items_left > 0);
  w->items_left--;
  return &w->values;
}

void tn_gguf_item_str(tn_gguf_writer *w, tn_str value) {
  put_str(begin_item(w), value);
}

void tn_gguf_item_f32(tn_gguf_writer *w, float value) {
  put_f32(begin_item(w), value);
}

void tn_gguf_item_i32(tn_gguf_writer *w, int32_t value) {
  put_u32(begin_item(w), (uint32_t)value);
}

/* ---- tensors ---- */

static int32_t type_number(tn_dtype dtype) {
  switch (dtype) {
    case TN_F32:
      return 0;
    case TN_F16:
      return 1;
    case TN_Q4_0:
      return 2;
    case TN_Q4_1:
      return 3;
    case TN_Q8_0:
      return 8;
    case TN_Q4_K:
      return 12;
    case TN_Q6_K:
      return 14;
    case TN_BF16:
      return 30;
    default:
      return -1;
  }
}

static int64_t round_up(int64_t bytes) {
  return (bytes + ALIGNED - 1) / ALIGNED * ALIGNED;
}

tn_status tn_gguf_add_tensor(tn_gguf_writer *w, const char *name, const tn_tensor *t,
                             tn_error *err) {
  if (type_number(t->dtype) < 0)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "tensor \"%s\": %s is not written to GGUF files", name,
                   tn_dtype_name(t->dtype));
  TN_TRY(tn_grow((void **)&w->tensors, &w->tensor_capacity, w->tensor_count + 1, sizeof *w->tensors,
                 err));
  const char *copy = tn_arena_strndup(&w->names, name, strlen(name));
  if (!copy) return tn_fail_memory(err, "a tensor's name", strlen(name));
  w->tensors[w->tensor_count++] = (tn_gguf_entry){copy, *t, w->data_bytes};
  w->data_bytes += round_up(tn_tensor_bytes(t));
  return TN_OK;
}

static void put_entry(tn_strbuf *out, const tn_gguf_entry *e) {
  put_str(out, tn_str_of(e->name));
  put_u32(out, (uint32_t)e->tensor.rank);
  for (int32_t d = e->tensor.rank - 1; d >= 0; d--) put_u64(out, (uint64_t)e->tensor.shape[d]);
  put_u32(out, (uint32_t)type_number(e->tensor.dtype));
  put_u64(out, (uint64_t)e->offset);
}

static void put_header(const tn_gguf_writer *w, tn_strbuf *out) {
  tn_strbuf_add(out, "GGUF");
  put_u32(out, VERSION);
  put_u64(out, w->tensor_count);
  put_u64(out, (uint64_t)w->value_count);
  tn_strbuf_add_str(out, tn_strbuf_view(&w->values));
  for (size_t i = 0; i < w->tensor_count; i++) put_entry(out, &w->tensors[i]);
  while (!out->failed && out->length % ALIGNED != 0) tn_strbuf_add_char(out, '\0');
}

static tn_status write_all(const tn_gguf_writer *w, tn_sink *sink, tn_str header, tn_error *err) {
  static const char zeros[ALIGNED] = {0};
  TN_TRY(tn_sink_write(sink, header.data, header.length, err));
  for (size_t i = 0; i < w->tensor_count; i++) {
    const tn_tensor *t = &w->tensors[i].tensor;
    int64_t bytes = tn_tensor_bytes(t);
    TN_TRY(tn_sink_write(sink, tn_tensor_data(t), (size_t)bytes, err));
    TN_TRY(tn_sink_write(sink, zeros, (size_t)(round_up(bytes) - bytes), err));
  }
  return tn_sink_commit(sink, err);
}

tn_status tn_gguf_finish(tn_gguf_writer *w, const char *path, tn_error *err) {
  tn_strbuf header = {0};
  tn_sink *sink = NULL;
  assert(w->items_left == 0);
  tn_status status = tn_strbuf_check(&w->values, err);
  if (status == TN_OK) {
    put_header(w, &header);
    status = tn_strbuf_check(&header, err);
  }
  if (status == TN_OK) status = tn_sink_open_file(&sink, path, err);
  if (status == TN_OK) status = write_all(w, sink, tn_strbuf_view(&header), err);
  tn_sink_close(sink);
  tn_strbuf_clear(&header);
  return status;
}

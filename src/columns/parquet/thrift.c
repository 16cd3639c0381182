/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/thrift.h"

#include <assert.h>
#include <stdio.h>

/* ---- reading --------------------------------------------------------------------------------- */

void tn_thrift_reader_init(tn_thrift_reader *r, const void *data, size_t size, int64_t base,
                           tn_error *err) {
  *r = (tn_thrift_reader){.data = data, .size = size, .base = base, .err = err};
}

void tn_thrift_fail(tn_thrift_reader *r, const char *what, int64_t value) {
  if (r->status != TN_OK) return;
  r->status = tn_fail(r->err, TN_ERR_DATA, "byte %lld: %s (%lld)",
                      (long long)(r->base + (int64_t)r->at), what, (long long)value);
  r->at = r->size;
}

static uint8_t read_u8(tn_thrift_reader *r) {
  if (r->at >= r->size) {
    tn_thrift_fail(r, "metadata ends in the middle, bytes in all", (int64_t)r->size);
    return 0;
  }
  return r->data[r->at++];
}

static uint64_t read_varint(tn_thrift_reader *r) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    uint8_t byte = read_u8(r);
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return value;
  }
  tn_thrift_fail(r, "a number takes more than 10 bytes, the last is", r->data[r->at - 1]);
  return 0;
}

static int64_t read_zigzag(tn_thrift_reader *r) {
  uint64_t v = read_varint(r);
  return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static int64_t read_integer(tn_thrift_reader *r, int64_t min, int64_t max) {
  int64_t v = read_zigzag(r);
  if (v >= min && v <= max) return v;
  tn_thrift_fail(r, "a number is out of range", v);
  return 0;
}

static bool expect(tn_thrift_reader *r, uint8_t found, uint8_t wanted) {
  if (r->status == TN_OK && found == wanted) return true;
  char what[80];
  snprintf(what, sizeof what, "metadata wants a value of Thrift type %d, found type", wanted);
  tn_thrift_fail(r, what, found);
  return false;
}

void tn_thrift_begin(tn_thrift_reader *r, tn_thrift_field *field) {
  *field = (tn_thrift_field){0};
  if (++r->depth > TN_THRIFT_DEPTH_MAX) {
    tn_thrift_fail(r, "metadata is nested deeper than the limit", TN_THRIFT_DEPTH_MAX);
  }
}

bool tn_thrift_next(tn_thrift_reader *r, tn_thrift_field *field) {
  if (r->status != TN_OK) return false;
  uint8_t head = read_u8(r);
  field->type = head & 15;
  if (field->type == TN_THRIFT_STOP) {
    if (head != 0) tn_thrift_fail(r, "a field has no type, its header is", head);
    r->depth--;
    return false;
  }
  int32_t id = head >> 4 ? field->id + (head >> 4) : (int32_t)read_integer(r, INT16_MIN, INT16_MAX);
  if (id < INT16_MIN || id > INT16_MAX) tn_thrift_fail(r, "a field number is out of range", id);
  field->id = (int16_t)id;
  return r->status == TN_OK;
}

bool tn_thrift_bool(tn_thrift_reader *r, const tn_thrift_field *field) {
  if (field->type == TN_THRIFT_TRUE) return r->status == TN_OK;
  expect(r, field->type, TN_THRIFT_FALSE);
  return false;
}

int8_t tn_thrift_byte(tn_thrift_reader *r, const tn_thrift_field *field) {
  return expect(r, field->type, TN_THRIFT_BYTE) ? (int8_t)read_u8(r) : 0;
}

int16_t tn_thrift_i16(tn_thrift_reader *r, const tn_thrift_field *field) {
  if (!expect(r, field->type, TN_THRIFT_I16)) return 0;
  return (int16_t)read_integer(r, INT16_MIN, INT16_MAX);
}

int32_t tn_thrift_i32(tn_thrift_reader *r, const tn_thrift_field *field) {
  return expect(r, field->type, TN_THRIFT_I32) ? tn_thrift_element_i32(r) : 0;
}

int64_t tn_thrift_i64(tn_thrift_reader *r, const tn_thrift_field *field) {
  return expect(r, field->type, TN_THRIFT_I64) ? read_zigzag(r) : 0;
}

int32_t tn_thrift_element_i32(tn_thrift_reader *r) {
  return (int32_t)read_integer(r, INT32_MIN, INT32_MAX);
}

int64_t tn_thrift_element_i64(tn_thrift_reader *r) {
  return read_zigzag(r);
}

/* 1 is true; for false writers disagree between the type's number, 2, and 0. */
bool tn_thrift_element_bool(tn_thrift_reader *r) {
  uint8_t byte = read_u8(r);
  if (byte > 2) tn_thrift_fail(r, "a boolean in a list is neither true nor false, byte", byte);
  return byte == 1;
}

double tn_thrift_double(tn_thrift_reader *r, const tn_thrift_field *field) {
  double value = 0;
  if (!expect(r, field->type, TN_THRIFT_DOUBLE)) return 0;
  if (r->size - r->at < sizeof value) {
    tn_thrift_fail(r, "metadata ends in the middle, bytes in all", (int64_t)r->size);
    return 0;
  }
  memcpy(&value, r->data + r->at, sizeof value);
  r->at += sizeof value;
  return value;
}

static tn_str read_binary(tn_thrift_reader *r) {
  uint64_t length = read_varint(r);
  if (length > r->size - r->at) {
    tn_thrift_fail(r, "a string is longer than the metadata, bytes", (int64_t)length);
    return (tn_str){0};
  }
  tn_str s = {(const char *)r->data + r->at, (size_t)length};
  r->at += (size_t)length;
  return s;
}

tn_str tn_thrift_binary(tn_thrift_reader *r, const tn_thrift_field *field) {
  return expect(r, field->type, TN_THRIFT_BINARY) ? read_binary(r) : (tn_str){0};
}

tn_str tn_thrift_element_binary(tn_thrift_reader *r) {
  return read_binary(r);
}

bool tn_thrift_is_struct(tn_thrift_reader *r, const tn_thrift_field *field) {
  return expect(r, field->type, TN_THRIFT_STRUCT);
}

/* Every element takes at least one byte, so a larger count is a lie. */
static uint32_t checked_count(tn_thrift_reader *r, uint64_t count) {
  if (count <= r->size - r->at && count <= UINT32_MAX) return (uint32_t)count;
  tn_thrift_fail(r, "a list is longer than the metadata, elements", (int64_t)count);
  return 0;
}

static uint32_t read_list(tn_thrift_reader *r, uint8_t *element_type) {
  uint8_t head = read_u8(r);
  *element_type = head & 15;
  uint32_t count = checked_count(r, head >> 4 == 15 ? read_varint(r) : head >> 4);
  return r->status == TN_OK ? count : 0;
}

uint32_t tn_thrift_list(tn_thrift_reader *r, const tn_thrift_field *field, uint8_t element_type) {
  if (!expect(r, field->type, TN_THRIFT_LIST)) return 0;
  uint8_t found;
  uint32_t count = read_list(r, &found);
  if (element_type == TN_THRIFT_TRUE && found == TN_THRIFT_FALSE) found = TN_THRIFT_TRUE;
  if (count > 0 && !expect(r, found, element_type)) return 0;
  return count;
}

static void skip_bytes(tn_thrift_reader *r, size_t count) {
  if (count > r->size - r->at) {
    tn_thrift_fail(r, "metadata ends in the middle, bytes in all", (int64_t)r->size);
  } else {
    r->at += count;
  }
}

static void skip_value(tn_thrift_reader *r, uint8_t type, bool in_list);

static void skip_elements(tn_thrift_reader *r, uint32_t count, uint8_t type) {
  if (++r->depth > TN_THRIFT_DEPTH_MAX) {
    tn_thrift_fail(r, "metadata is nested deeper than the limit", TN_THRIFT_DEPTH_MAX);
  }
  for (uint32_t i = 0; i < count && r->status == TN_OK; i++) skip_value(r, type, true);
  r->depth--;
}

static void skip_map(tn_thrift_reader *r) {
  uint32_t count = checked_count(r, read_varint(r));
  if (count == 0) return;
  uint8_t types = read_u8(r);
  if (++r->depth > TN_THRIFT_DEPTH_MAX) {
    tn_thrift_fail(r, "metadata is nested deeper than the limit", TN_THRIFT_DEPTH_MAX);
  }
  for (uint32_t i = 0; i < count && r->status == TN_OK; i++) {
    skip_value(r, types >> 4, true);
    skip_value(r, types & 15, true);
  }
  r->depth--;
}

static void skip_value(tn_thrift_reader *r, uint8_t type, bool in_list) {
  uint8_t element;
  uint32_t count;
  tn_thrift_field field;
  if (r->status != TN_OK) return;
  switch (type) {
    case TN_THRIFT_TRUE:
    case TN_THRIFT_FALSE:
      if (in_list) skip_bytes(r, 1); /* a field's boolean is its type; an element's is a byte */
      return;
    case TN_THRIFT_BYTE:
      skip_bytes(r, 1);
      return;
    case TN_THRIFT_I16:
    case TN_THRIFT_I32:
    case TN_THRIFT_I64:
      read_varint(r);
      return;
    case TN_THRIFT_DOUBLE:
      skip_bytes(r, 8);
      return;
    case TN_THRIFT_UUID:
      skip_bytes(r, 16);
      return;
    case TN_THRIFT_BINARY:
      read_binary(r);
      return;
    case TN_THRIFT_LIST:
    case TN_THRIFT_SET:
      count = read_list(r, &element);
      skip_elements(r, count, element);
      return;
    case TN_THRIFT_MAP:
      skip_map(r);
      return;
    case TN_THRIFT_STRUCT:
      tn_thrift_begin(r, &field);
      while (tn_thrift_next(r, &field)) skip_value(r, field.type, false);
      return;
    default:
      tn_thrift_fail(r, "metadata has a value of unknown Thrift type", type);
  }
}

void tn_thrift_skip(tn_thrift_reader *r, const tn_thrift_field *field) {
  skip_value(r, field->type, false);
}

/* ---- structs of plain members ---- */
void tn_thrift_take(tn_thrift_reader *r, const tn_thrift_field *field,
                    const tn_thrift_member *members, int32_t count, void *out) {
  for (int32_t i = 0; i < count; i++) {
    if (members[i].id != field->id) continue;
    void *to = (char *)out + members[i].at;
    if (members[i].type == TN_THRIFT_I32)
      *(int32_t *)to = tn_thrift_i32(r, field);
    else if (members[i].type == TN_THRIFT_I64)
      *(int64_t *)to = tn_thrift_i64(r, field);
    else
      *(bool *)to = tn_thrift_bool(r, field);
    return;
  }
  tn_thrift_skip(r, field);
}

void tn_thrift_take_all(tn_thrift_reader *r, const tn_thrift_member *members, int32_t count,
                        void *out) {
  tn_thrift_field f;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) tn_thrift_take(r, &f, members, count, out);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_varint(tn_thrift_writer *w, uint64_t v) {
  char bytes[10];
  size_t count = 0;
  for (; v >= 0x80; v >>= 7) bytes[count++] = (char)(v | 0x80);
  bytes[count++] = (char)v;
  tn_strbuf_append(w->out, bytes, count);
}

static void write_zigzag(tn_thrift_writer *w, int64_t v) {
  write_varint(w, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

static void write_field(tn_thrift_writer *w, int16_t id, uint8_t type) {
  int16_t *last = &w->last[w->depth - 1];
  int32_t delta = id - *last;
  if (delta > 0 && delta <= 15) {
    tn_strbuf_add_char(w->out, (char)(delta << 4 | type));
  } else {
    tn_strbuf_add_char(w->out, (char)type);
    write_zigzag(w, id);
  }
  *last = id;
}

void tn_thrift_write_begin(tn_thrift_writer *w) {
  assert(w->depth < TN_THRIFT_DEPTH_MAX); /* the depth is the caller's code, never data */
  w->last[w->depth++] = 0;
}

void tn_thrift_write_end(tn_thrift_writer *w) {
  tn_strbuf_add_char(w->out, 0);
  w->depth--;
}

void tn_thrift_write_bool(tn_thrift_writer *w, int16_t id, bool value) {
  write_field(w, id, value ? TN_THRIFT_TRUE : TN_THRIFT_FALSE);
}

void tn_thrift_write_byte(tn_thrift_writer *w, int16_t id, int8_t value) {
  write_field(w, id, TN_THRIFT_BYTE);
  tn_strbuf_add_char(w->out, (char)value);
}

void tn_thrift_write_i16(tn_thrift_writer *w, int16_t id, int16_t value) {
  write_field(w, id, TN_THRIFT_I16);
  write_zigzag(w, value);
}

void tn_thrift_write_i32(tn_thrift_writer *w, int16_t id, int32_t value) {
  write_field(w, id, TN_THRIFT_I32);
  write_zigzag(w, value);
}

void tn_thrift_write_i64(tn_thrift_writer *w, int16_t id, int64_t value) {
  write_field(w, id, TN_THRIFT_I64);
  write_zigzag(w, value);
}

void tn_thrift_write_double(tn_thrift_writer *w, int16_t id, double value) {
  write_field(w, id, TN_THRIFT_DOUBLE);
  tn_strbuf_append(w->out, &value, sizeof value);
}

void tn_thrift_write_binary(tn_thrift_writer *w, int16_t id, tn_str value) {
  write_field(w, id, TN_THRIFT_BINARY);
  tn_thrift_write_element_binary(w, value);
}

void tn_thrift_write_struct(tn_thrift_writer *w, int16_t id) {
  write_field(w, id, TN_THRIFT_STRUCT);
}

void tn_thrift_write_empty(tn_thrift_writer *w, int16_t id) {
  tn_thrift_write_struct(w, id);
  tn_thrift_write_begin(w);
  tn_thrift_write_end(w);
}

void tn_thrift_write_list(tn_thrift_writer *w, int16_t id, uint8_t element_type, uint32_t count) {
  write_field(w, id, TN_THRIFT_LIST);
  if (count < 15) {
    tn_strbuf_add_char(w->out, (char)(count << 4 | element_type));
  } else {
    tn_strbuf_add_char(w->out, (char)(0xf0 | element_type));
    write_varint(w, count);
  }
}

void tn_thrift_write_element_i32(tn_thrift_writer *w, int32_t value) {
  write_zigzag(w, value);
}

void tn_thrift_write_element_i64(tn_thrift_writer *w, int64_t value) {
  write_zigzag(w, value);
}

void tn_thrift_write_element_bool(tn_thrift_writer *w, bool value) {
  tn_strbuf_add_char(w->out, value ? 1 : 2);
}

void tn_thrift_write_element_binary(tn_thrift_writer *w, tn_str value) {
  write_varint(w, value.length);
  tn_strbuf_append(w->out, value.data, value.length);
}

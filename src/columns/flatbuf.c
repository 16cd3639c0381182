/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/flatbuf.h"

/* ---- writing ---- */
static void pad_to(tn_strbuf *b, size_t align, size_t ahead) {
  static const char zeros[64];
  tn_strbuf_append(b, zeros, (align - (b->length + ahead) % align) % align);
}

static void put(tn_strbuf *b, size_t at, const void *bytes, size_t count) {
  if (!b->failed) memcpy(b->data + at, bytes, count);
}

void tn_flat_begin(tn_strbuf *b) {
  tn_strbuf_reset(b);
  tn_strbuf_append(b, "\0\0\0\0", 4);
}

/* Lays the fields out behind the table's own 4 bytes; `at` becomes relative to the table. */
static size_t lay_out(tn_flat_field *fields, int32_t count, int32_t *slots, size_t *align) {
  size_t end = 4;
  *slots = 0;
  *align = 4;
  for (int32_t i = 0; i < count; i++) {
    size_t bytes = (size_t)fields[i].bytes;
    end = (end + bytes - 1) / bytes * bytes;
    fields[i].at = end;
    end += bytes;
    if (bytes > *align) *align = bytes;
    if (fields[i].slot >= *slots) *slots = fields[i].slot + 1;
  }
  return end;
}

size_t tn_flat_add_table(tn_strbuf *b, tn_flat_field *fields, int32_t count) {
  int32_t slots;
  size_t align, table_bytes = lay_out(fields, count, &slots, &align);
  uint16_t vtable_bytes = (uint16_t)(4 + 2 * slots), zero = 0, bytes = (uint16_t)table_bytes;
  pad_to(b, 2, 0);
  size_t vtable = b->length;
  tn_strbuf_append(b, &vtable_bytes, 2);
  tn_strbuf_append(b, &bytes, 2);
  for (int32_t i = 0; i < slots; i++) tn_strbuf_append(b, &zero, 2);
  pad_to(b, align, 0);
  size_t table = b->length;
  int32_t back = (int32_t)(table - vtable);
  tn_strbuf_append(b, &back, 4);
  for (size_t i = 4; i < table_bytes; i++) tn_strbuf_add_char(b, '\0');
  for (int32_t i = 0; i < count; i++) {
    uint16_t offset = (uint16_t)fields[i].at;
    put(b, vtable + 4 + 2 * (size_t)fields[i].slot, &offset, 2);
    fields[i].at += table;
    put(b, fields[i].at, &fields[i].value, (size_t)fields[i].bytes);
  }
  return table;
}

size_t tn_flat_add_str(tn_strbuf *b, tn_str text) {
  size_t at = tn_flat_add_vector(b, text.data, (uint32_t)text.length, 1, 1);
  tn_strbuf_add_char(b, '\0');
  return at;
}

size_t tn_flat_add_vector(tn_strbuf *b, const void *items, uint32_t count, size_t item_bytes,
                          size_t item_align) {
  pad_to(b, item_align < 4 ? 4 : item_align, 4);
  size_t at = b->length;
  tn_strbuf_append(b, &count, 4);
  if (items)
    tn_strbuf_append(b, items, count * item_bytes);
  else
    for (size_t i = 0; i < count * item_bytes; i++) tn_strbuf_add_char(b, '\0');
  return at;
}

void tn_flat_point(tn_strbuf *b, size_t at, size_t target) {
  uint32_t offset = (uint32_t)(target - at);
  put(b, at, &offset, 4);
}

/* ---- reading ---- */
static bool within(tn_flat_view *view, size_t at, size_t bytes) {
  if (at <= view->bytes && bytes <= view->bytes - at) return true;
  view->bad = true;
  return false;
}

static uint32_t load_u32(const tn_flat_view *view, size_t at) {
  uint32_t value;
  memcpy(&value, view->data + at, 4);
  return value;
}
static uint16_t load_u16(const tn_flat_view *view, size_t at) {
  uint16_t value;
  memcpy(&value, view->data + at, 2);
  return value;
}

static const tn_flat_table absent;

static tn_flat_table bad_table(tn_flat_view *view) {
  view->bad = true;
  return absent;
}

static tn_flat_table table_at(tn_flat_view *view, size_t at) {
  if (!within(view, at, 4)) return absent;
  int64_t vtable = (int64_t)at - (int32_t)load_u32(view, at);
  if (vtable < 0 || !within(view, (size_t)vtable, 4)) return bad_table(view);
  tn_flat_table t = {view, at, (size_t)vtable, load_u16(view, (size_t)vtable + 2),
                     load_u16(view, (size_t)vtable)};
  if (t.vtable_bytes < 4 || t.bytes < 4 || !within(view, t.vtable, t.vtable_bytes) ||
      !within(view, at, t.bytes))
    return bad_table(view);
  return t;
}

/* Position of a field of `bytes`, 0 when it is absent (nothing lies at 0 but the root offset). */
static size_t field_at(const tn_flat_table *t, int32_t slot, size_t bytes) {
  size_t entry = 4 + 2 * (size_t)slot;
  if (!t->view || entry + 2 > t->vtable_bytes) return 0;
  size_t offset = load_u16(t->view, t->vtable + entry);
  if (offset == 0) return 0;
  if (offset + bytes <= t->bytes) return t->at + offset;
  t->view->bad = true;
  return 0;
}

/* Where the offset stored in a field leads, 0 when absent or out of bounds. */
static size_t follow(tn_flat_view *view, size_t at) {
  size_t target = at + load_u32(view, at);
  return within(view, target, 4) ? target : 0;
}
static size_t field_target(const tn_flat_table *t, int32_t slot) {
  size_t at = field_at(t, slot, 4);
  return at ? follow(t->view, at) : 0;
}

tn_flat_table tn_flat_root(tn_flat_view *view) {
  if (!within(view, 0, 8)) return absent;
  return table_at(view, load_u32(view, 0));
}

bool tn_flat_has(const tn_flat_table *t, int32_t slot) {
  return field_at(t, slot, 1) != 0;
}

static int64_t load_int(const uint8_t *p, int32_t bytes) {
  uint64_t bits = 0;
  memcpy(&bits, p, (size_t)bytes);
  int32_t unused = 64 - 8 * bytes; /* shifting left and back spreads the sign */
  return (int64_t)(bits << unused) >> unused;
}

int64_t tn_flat_int(const tn_flat_table *t, int32_t slot, int32_t bytes, int64_t otherwise) {
  size_t at = field_at(t, slot, (size_t)bytes);
  return at ? load_int(t->view->data + at, bytes) : otherwise;
}

tn_flat_table tn_flat_get_table(const tn_flat_table *t, int32_t slot) {
  size_t at = field_target(t, slot);
  return at ? table_at(t->view, at) : absent;
}

tn_flat_vector tn_flat_get_vector(const tn_flat_table *t, int32_t slot, size_t item_bytes) {
  size_t at = field_target(t, slot);
  if (!at) return (tn_flat_vector){0};
  uint32_t count = load_u32(t->view, at);
  if (!within(t->view, at + 4, (size_t)count * item_bytes)) return (tn_flat_vector){0};
  return (tn_flat_vector){t->view, at + 4, count};
}

tn_str tn_flat_get_str(const tn_flat_table *t, int32_t slot) {
  tn_flat_vector v = tn_flat_get_vector(t, slot, 1);
  return v.view ? (tn_str){(const char *)v.view->data + v.at, v.count} : (tn_str){NULL, 0};
}

tn_flat_table tn_flat_item(const tn_flat_vector *v, uint32_t index) {
  size_t at = follow(v->view, v->at + (size_t)index * 4);
  return at ? table_at(v->view, at) : absent;
}

int64_t tn_flat_item_int(const tn_flat_vector *v, uint32_t index, size_t item_bytes, size_t offset,
                         int32_t bytes) {
  return load_int(v->view->data + v->at + index * item_bytes + offset, bytes);
}

/* flatbuf.h - as much of FlatBuffers as Arrow's metadata needs (https://flatbuffers.dev/internals).
 *
 *     root offset | vtable: its bytes, table bytes, field offsets ... | table: back to vtable,
 * fields ...
 *
 * Writing goes forward: a table first, then what it points to, so every offset is positive and
 * known when it is patched.  Reading trusts nothing: each position is checked against the bytes
 * that there are; what does not fit sets the view's sticky `bad` and reads as absent, so that a
 * parser may check once at the end.
 *
 * Thread: a view may be read by one thread at a time (it is small: make one each). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_FLATBUF_H
#define TN_COLUMNS_FLATBUF_H
#include "base/str.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "FlatBuffers and Arrow IPC as we do them");

/* ---- writing: positions are offsets into the tn_strbuf ------------------------------------------
 */
typedef struct tn_flat_field {
  int32_t slot;   /* number of the field in the format's schema */
  int32_t bytes;  /* 1, 2, 4, 8 */
  uint64_t value; /* of a scalar; 0 for an offset, which tn_flat_point sets later */
  size_t at;      /* result: where the field lies */
} tn_flat_field;

void tn_flat_begin(tn_strbuf *b); /* empties b; the root is set by tn_flat_point(b, 0, table) */
size_t tn_flat_add_table(tn_strbuf *b, tn_flat_field *fields, int32_t count);
size_t tn_flat_add_str(tn_strbuf *b, tn_str text);
/* items NULL: zeros, for offsets that are set later.  The items begin behind the 4 bytes of the
 * count, aligned to item_align. */
size_t tn_flat_add_vector(tn_strbuf *b, const void *items, uint32_t count, size_t item_bytes,
                          size_t item_align);
void tn_flat_point(tn_strbuf *b, size_t at, size_t target);

/* ---- reading ------------------------------------------------------------------------------------
 */
typedef struct tn_flat_view {
  const uint8_t *data;
  size_t bytes;
  bool bad; /* sticky: an offset or a size was out of bounds */
} tn_flat_view;

typedef struct tn_flat_table { /* view NULL: absent; all its fields then are absent too */
  tn_flat_view *view;
  size_t at, vtable;
  uint16_t bytes, vtable_bytes;
} tn_flat_table;

typedef struct tn_flat_vector {
  tn_flat_view *view;
  size_t at; /* of the first item */
  uint32_t count;
} tn_flat_vector;

tn_flat_table tn_flat_root(tn_flat_view *view);
bool tn_flat_has(const tn_flat_table *t, int32_t slot);
int64_t tn_flat_int(const tn_flat_table *t, int32_t slot, int32_t bytes,
                    int64_t otherwise); /* signed */
tn_flat_table tn_flat_get_table(const tn_flat_table *t, int32_t slot);
tn_str tn_flat_get_str(const tn_flat_table *t, int32_t slot); /* data NULL: absent */
/* All items are within the view. */
tn_flat_vector tn_flat_get_vector(const tn_flat_table *t, int32_t slot, size_t item_bytes);
tn_flat_table tn_flat_item(const tn_flat_vector *v, uint32_t index); /* of a vector of tables */
/* A number inside an item of a vector of structs. */
int64_t tn_flat_item_int(const tn_flat_vector *v, uint32_t index, size_t item_bytes, size_t offset,
                         int32_t bytes);

#endif

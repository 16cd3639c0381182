/* SPDX-License-Identifier: Apache-2.0 */
/* What a file's columns and chunks are, for people. */
#include <stdio.h>

#include "columns/parquet/bounds.h"
#include "columns/parquet/codec.h"
#include "columns/parquet/file.h"
#include "columns/parquet/form.h"
#include "columns/value.h"

enum { FIXED_BYTES_MAX = 64 };

void tn_parquet_column(const tn_parquet_file *file, int64_t column, tn_parquet_column_info *out) {
  const tn_parquet_leaf *leaf = &file->leaves[column];
  *out = (tn_parquet_column_info){
      .name = leaf->name,
      .physical_type = tn_parquet_physical_name(leaf->element->physical),
      .logical_type = tn_parquet_logical_text(&leaf->element->logical),
      .type = leaf->text,
      .nullable = leaf->nullable,
  };
}

/* ---- bounds ---------------------------------------------------------------------------------- */

/* A bound as an array of one Arrow value in the caller's memory, so that it is shown as any value
 * is. */
static bool bound_text(const tn_parquet_leaf *leaf, tn_str bound, tn_strbuf *out) {
  _Alignas(16) uint8_t value[FIXED_BYTES_MAX] = {0};
  int32_t offsets[2] = {0, (int32_t)bound.length};
  const void *buffers[3] = {NULL, value, bound.data};
  ArrowArray array = {.length = 1, .n_buffers = 2, .buffers = buffers};
  tn_field field = {.name = "", .type = leaf->type};
  const uint8_t *data = (const uint8_t *)bound.data;
  bool good = leaf->width <= FIXED_BYTES_MAX;
  switch (leaf->form) {
    case TN_PARQUET_FORM_NULL:
      return false;
    case TN_PARQUET_FORM_BITS:
      good = bound.length == 1;
      if (good) value[0] = data[0] & 1;
      break;
    case TN_PARQUET_FORM_BYTES: /* as plain text or binary, whatever the layout */
      buffers[1] = offsets;
      array.n_buffers = 3;
      good = tn_type_parse(tn_type_is_text(leaf->type.id) ? "u" : "z", &field.type, NULL) == TN_OK;
      break;
    case TN_PARQUET_FORM_BIG_BYTES:
      good = good && tn_parquet_big_to_little(data, bound.length, value, (size_t)leaf->width);
      break;
    default:
      good = good && bound.length == (size_t)leaf->stored &&
             tn_parquet_form_convert(leaf, data, 1, value, NULL) == TN_OK;
  }
  if (good && bound.data) tn_value_text(&field, &array, 0, out);
  return good && !out->failed;
}

/* At most `room` bytes with the NUL, cut at a character. */
static void cut_text(tn_str text, char *out, size_t room) {
  size_t length = text.length;
  if (length >= room) {
    length = room - 4;
    while (length > 0 && ((uint8_t)text.data[length] & 0xc0) == 0x80) length--;
  }
  if (length) memcpy(out, text.data, length);
  memcpy(out + length, length < text.length ? "..." : "", length < text.length ? 4 : 1);
}

static bool show_bound(const tn_parquet_leaf *leaf, tn_str bound, char *out, size_t room) {
  tn_strbuf text = {0};
  if (bound.length > 4 * room) bound.length = 4 * room; /* more would not be shown */
  bool good = bound_text(leaf, bound, &text);
  if (good) cut_text(tn_strbuf_view(&text), out, room);
  tn_strbuf_clear(&text);
  return good;
}

static void list_encodings(uint32_t mask, char *out, size_t room) {
  size_t used = 0;
  out[0] = '\0';
  for (int32_t e = 0; e < 32 && used < room - 1; e++) {
    const char *name = tn_parquet_encoding_name(e);
    if (!(mask >> e & 1) || !name) continue;
    used += (size_t)snprintf(out + used, room - used, "%s%s", used ? " " : "", name);
  }
}

void tn_parquet_chunk(const tn_parquet_file *file, int64_t group, int64_t column,
                      tn_parquet_chunk_info *out) {
  const tn_parquet_leaf *leaf = &file->leaves[column];
  const tn_parquet_chunk_meta *chunk = &file->footer.groups[group].chunks[column];
  const char *codec = tn_parquet_codec_name(chunk->codec);
  bool dictionary = chunk->dictionary_offset > 0 && chunk->dictionary_offset < chunk->data_offset;
  *out = (tn_parquet_chunk_info){
      .codec = codec ? codec : "unknown",
      .values = chunk->values,
      .nulls = chunk->range.nulls,
      .offset = dictionary ? chunk->dictionary_offset : chunk->data_offset,
      .compressed_bytes = chunk->compressed_bytes,
      .uncompressed_bytes = chunk->uncompressed_bytes,
  };
  list_encodings(chunk->encodings, out->encodings, sizeof out->encodings);
  tn_parquet_bounds bounds;
  tn_parquet_bounds_of_chunk(file, group, column, &bounds);
  out->has_min_max = bounds.has_min && bounds.has_max &&
                     show_bound(leaf, bounds.min, out->min, sizeof out->min) &&
                     show_bound(leaf, bounds.max, out->max, sizeof out->max);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What a file's columns and chunks are, for people. */
#include <stdio.h>

#include "columns/parquet/bounds.h"
#include "columns/parquet/geo.h"
#include "columns/parquet/codec.h"
#include "columns/parquet/file.h"
#include "columns/parquet/form.h"
#include "columns/parquet/index.h"
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

static void show_geo(const tn_parquet_geo *geo, char *out, size_t room) {
  tn_strbuf text = {0};
  if (geo) tn_parquet_geo_text(geo, &text);
  cut_text(text.failed ? (tn_str){0} : tn_strbuf_view(&text), out, room);
  tn_strbuf_clear(&text);
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
      .column_index_bytes = chunk->column_index_offset > 0 ? chunk->column_index_bytes : 0,
      .offset_index_bytes = chunk->offset_index_offset > 0 ? chunk->offset_index_bytes : 0,
      .has_bloom = chunk->bloom_offset > 0,
      .bloom_bytes = chunk->bloom_bytes,
      .dictionary_bytes = dictionary ? chunk->data_offset - chunk->dictionary_offset : 0,
      .encrypted = chunk->encryption != TN_PARQUET_PLAINTEXT,
      .readable = !chunk->elsewhere,
  };
  list_encodings(chunk->encodings, out->encodings, sizeof out->encodings);
  show_geo(chunk->geo, out->geo, sizeof out->geo);
  tn_parquet_bounds bounds;
  tn_parquet_bounds_of_chunk(file, group, column, &bounds);
  out->has_min_max = bounds.has_min && bounds.has_max &&
                     show_bound(leaf, bounds.min, out->min, sizeof out->min) &&
                     show_bound(leaf, bounds.max, out->max, sizeof out->max);
}

void tn_parquet_group_sorting(const tn_parquet_file *file, int64_t group, tn_strbuf *out) {
  const tn_parquet_group_meta *meta = &file->footer.groups[group];
  for (uint32_t i = 0; i < meta->sorting_count; i++) {
    const tn_parquet_sorting *key = &meta->sorting[i];
    bool known = key->column >= 0 && key->column < file->leaf_count;
    tn_strbuf_addf(out, "%s%s%s%s", i ? ", " : "", known ? file->leaves[key->column].name : "?",
                   key->descending ? " desc" : "", key->nulls_first ? " nulls first" : "");
  }
}

void tn_parquet_encryption_text(const tn_parquet_file *file, tn_strbuf *out) {
  if (!file->crypt && !file->footer.encrypted && !file->footer.has_signing_key) {
    bool any = false;
    for (int64_t c = 0; file->footer.group_count > 0 && c < file->leaf_count; c++)
      any = any || file->footer.groups[0].chunks[c].encryption != TN_PARQUET_PLAINTEXT;
    tn_strbuf_add(out, any ? "some columns, signed footer; no keys given" : "none");
    return;
  }
  tn_strbuf_add(out, file->footer.encrypted ? "footer and columns" : "columns, signed footer");
}

bool tn_parquet_metadata(const tn_parquet_file *file, int64_t index, tn_str *key, tn_str *value) {
  if (index < 0 || index >= (int64_t)file->footer.pair_count) return false;
  const tn_parquet_pair *pair = &file->footer.pairs[index];
  *key = pair->key;
  *value = pair->has_value ? pair->value : (tn_str){0};
  return true;
}

tn_status tn_parquet_page_count(tn_parquet_file *file, int64_t group, int64_t column,
                                int64_t *pages, tn_error *err) {
  tn_arena arena = {0};
  tn_parquet_offset_index index;
  tn_status status = tn_parquet_offset_index_read(&index, file, group, column, &arena, err);
  *pages = status == TN_OK ? (int64_t)index.page_count : -1;
  tn_arena_clear(&arena);
  return status == TN_END ? TN_OK : status;
}

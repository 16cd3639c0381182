/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/metadata_parts.h"

/* ---- schema ---------------------------------------------------------------------------------- */

static void write_element(tn_thrift_writer *w, const tn_parquet_element *e) {
  bool decimal = e->logical.kind == TN_PARQUET_LOGICAL_DECIMAL;
  tn_thrift_write_begin(w);
  if (e->physical >= 0) tn_thrift_write_i32(w, 1, e->physical);
  if (e->physical == TN_PARQUET_FIXED_LEN_BYTE_ARRAY) tn_thrift_write_i32(w, 2, e->length);
  if (e->repetition >= 0) tn_thrift_write_i32(w, 3, e->repetition);
  tn_thrift_write_binary(w, 4, tn_str_of(e->name));
  if (e->physical < 0) tn_thrift_write_i32(w, 5, e->children);
  if (e->converted >= 0) tn_thrift_write_i32(w, 6, e->converted);
  if (decimal) tn_thrift_write_i32(w, 7, e->logical.scale);
  if (decimal) tn_thrift_write_i32(w, 8, e->logical.precision);
  if (e->has_field_id) tn_thrift_write_i32(w, 9, e->field_id);
  if (!e->logical.converted) tn_parquet_logical_write(w, 10, &e->logical);
  tn_thrift_write_end(w);
}

/* ---- column chunks --------------------------------------------------------------------------- */

static void write_pairs(tn_thrift_writer *w, int16_t id, const tn_parquet_pair *pairs,
                        uint32_t count) {
  if (count == 0) return;
  tn_thrift_write_list(w, id, TN_THRIFT_STRUCT, count);
  for (uint32_t i = 0; i < count; i++) {
    tn_thrift_write_begin(w);
    tn_thrift_write_binary(w, 1, pairs[i].key);
    if (pairs[i].has_value) tn_thrift_write_binary(w, 2, pairs[i].value);
    tn_thrift_write_end(w);
  }
}

static void write_path(tn_thrift_writer *w, int16_t id, const tn_parquet_chunk_meta *c) {
  tn_thrift_write_list(w, id, TN_THRIFT_BINARY, c->path_count ? c->path_count : 1);
  for (uint32_t i = 0; i < c->path_count; i++) tn_thrift_write_element_binary(w, c->path[i]);
  if (c->path_count == 0) tn_thrift_write_element_binary(w, tn_str_of(c->name));
}

static void write_encoding_stats(tn_thrift_writer *w, const tn_parquet_chunk_meta *c) {
  if (c->encoding_stats_count == 0) return;
  tn_thrift_write_list(w, 13, TN_THRIFT_STRUCT, c->encoding_stats_count);
  for (uint32_t i = 0; i < c->encoding_stats_count; i++) {
    tn_thrift_write_begin(w);
    tn_thrift_write_i32(w, 1, c->encoding_stats[i].page_type);
    tn_thrift_write_i32(w, 2, c->encoding_stats[i].encoding);
    tn_thrift_write_i32(w, 3, c->encoding_stats[i].count);
    tn_thrift_write_end(w);
  }
}

static void write_sizes(tn_thrift_writer *w, const tn_parquet_sizes *s) {
  tn_thrift_write_struct(w, 16);
  tn_thrift_write_begin(w);
  if (s->byte_array_bytes >= 0) tn_thrift_write_i64(w, 1, s->byte_array_bytes);
  if (s->repetitions) tn_parquet_i64s_write(w, 2, s->repetitions, s->repetition_count);
  if (s->definitions) tn_parquet_i64s_write(w, 3, s->definitions, s->definition_count);
  tn_thrift_write_end(w);
}

static void write_geo(tn_thrift_writer *w, const tn_parquet_geo *g) {
  tn_thrift_write_struct(w, 17);
  tn_thrift_write_begin(w);
  if (g->has_box) {
    tn_thrift_write_struct(w, 1);
    tn_thrift_write_begin(w);
    for (int16_t axis = 0; axis < 4; axis++) {
      if ((axis == 2 && !g->has_z) || (axis == 3 && !g->has_m)) continue;
      tn_thrift_write_double(w, (int16_t)(2 * axis + 1), g->min[axis]);
      tn_thrift_write_double(w, (int16_t)(2 * axis + 2), g->max[axis]);
    }
    tn_thrift_write_end(w);
  }
  tn_thrift_write_list(w, 2, TN_THRIFT_I32, g->type_count);
  for (uint32_t i = 0; i < g->type_count; i++) tn_thrift_write_element_i32(w, g->types[i]);
  tn_thrift_write_end(w);
}

/* What tells something about the values. */
static void write_chunk_statistics(tn_thrift_writer *w, const tn_parquet_chunk_meta *c) {
  tn_parquet_range_write(w, 12, &c->range);
  write_encoding_stats(w, c);
  if (c->bloom_offset > 0) tn_thrift_write_i64(w, 14, c->bloom_offset);
  if (c->bloom_bytes > 0) tn_thrift_write_i32(w, 15, c->bloom_bytes);
  if (c->sizes) write_sizes(w, c->sizes);
  if (c->geo) write_geo(w, c->geo);
}

static void write_chunk_meta(tn_thrift_writer *w, const tn_parquet_chunk_meta *c, bool statistics) {
  tn_thrift_write_begin(w);
  tn_thrift_write_i32(w, 1, c->physical);
  tn_thrift_write_list(w, 2, TN_THRIFT_I32, (uint32_t)__builtin_popcount(c->encodings));
  for (int32_t e = 0; e < 32; e++) {
    if (c->encodings >> e & 1) tn_thrift_write_element_i32(w, e);
  }
  write_path(w, 3, c);
  tn_thrift_write_i32(w, 4, c->codec);
  tn_thrift_write_i64(w, 5, c->values);
  tn_thrift_write_i64(w, 6, c->uncompressed_bytes);
  tn_thrift_write_i64(w, 7, c->compressed_bytes);
  if (statistics) write_pairs(w, 8, c->pairs, c->pair_count);
  tn_thrift_write_i64(w, 9, c->data_offset);
  if (c->dictionary_offset >= 0) tn_thrift_write_i64(w, 11, c->dictionary_offset);
  if (statistics) write_chunk_statistics(w, c);
  tn_thrift_write_end(w);
}

void tn_parquet_chunk_meta_write(const tn_parquet_chunk_meta *chunk, tn_strbuf *out) {
  tn_thrift_writer writer = {.out = out};
  write_chunk_meta(&writer, chunk, true);
}

static void write_chunk_crypto(tn_thrift_writer *w, const tn_parquet_chunk_meta *c) {
  if (c->encryption == TN_PARQUET_PLAINTEXT) return;
  tn_thrift_write_struct(w, 8);
  tn_thrift_write_begin(w);
  if (c->encryption == TN_PARQUET_FOOTER_KEY) {
    tn_thrift_write_empty(w, 1);
  } else {
    tn_thrift_write_struct(w, 2);
    tn_thrift_write_begin(w);
    write_path(w, 1, c);
    if (c->key_metadata.data) tn_thrift_write_binary(w, 2, c->key_metadata);
    tn_thrift_write_end(w);
  }
  tn_thrift_write_end(w);
  if (c->encrypted_meta.data) tn_thrift_write_binary(w, 9, c->encrypted_meta);
}

static void write_chunk(tn_thrift_writer *w, const tn_parquet_chunk_meta *c) {
  bool whole = !c->encrypted_meta.data;
  tn_thrift_write_begin(w);
  tn_thrift_write_i64(w, 2, c->file_offset); /* 0 when the footer alone has the metadata */
  if (whole || c->plain_meta) {
    tn_thrift_write_struct(w, 3);
    write_chunk_meta(w, c, whole);
  }
  if (c->offset_index_offset > 0) {
    tn_thrift_write_i64(w, 4, c->offset_index_offset);
    tn_thrift_write_i32(w, 5, c->offset_index_bytes);
  }
  if (c->column_index_offset > 0) {
    tn_thrift_write_i64(w, 6, c->column_index_offset);
    tn_thrift_write_i32(w, 7, c->column_index_bytes);
  }
  write_chunk_crypto(w, c);
  tn_thrift_write_end(w);
}

/* ---- row groups ------------------------------------------------------------------------------ */

static void write_sorting(tn_thrift_writer *w, const tn_parquet_group_meta *g) {
  if (g->sorting_count == 0) return;
  tn_thrift_write_list(w, 4, TN_THRIFT_STRUCT, g->sorting_count);
  for (uint32_t i = 0; i < g->sorting_count; i++) {
    tn_thrift_write_begin(w);
    tn_thrift_write_i32(w, 1, g->sorting[i].column);
    tn_thrift_write_bool(w, 2, g->sorting[i].descending);
    tn_thrift_write_bool(w, 3, g->sorting[i].nulls_first);
    tn_thrift_write_end(w);
  }
}

static void write_group(tn_thrift_writer *w, const tn_parquet_group_meta *g) {
  int64_t compressed = 0, first = 0;
  for (int64_t i = 0; i < g->chunk_count; i++) {
    const tn_parquet_chunk_meta *c = &g->chunks[i];
    compressed += c->compressed_bytes;
    if (i == 0) first = c->dictionary_offset >= 0 ? c->dictionary_offset : c->data_offset;
  }
  tn_thrift_write_begin(w);
  tn_thrift_write_list(w, 1, TN_THRIFT_STRUCT, (uint32_t)g->chunk_count);
  for (int64_t i = 0; i < g->chunk_count; i++) write_chunk(w, &g->chunks[i]);
  tn_thrift_write_i64(w, 2, g->bytes);
  tn_thrift_write_i64(w, 3, g->rows);
  write_sorting(w, g);
  tn_thrift_write_i64(w, 5, first);
  tn_thrift_write_i64(w, 6, compressed);
  if (g->has_ordinal) tn_thrift_write_i16(w, 7, g->ordinal);
  tn_thrift_write_end(w);
}

/* ---- the file -------------------------------------------------------------------------------- */

static void write_orders(tn_thrift_writer *w, const tn_parquet_footer *footer) {
  uint32_t leaves = 0, at = 0;
  for (int64_t i = 0; i < footer->element_count; i++) leaves += footer->elements[i].physical >= 0;
  tn_thrift_write_list(w, 7, TN_THRIFT_STRUCT, leaves);
  for (; at < leaves; at++) {
    uint8_t order = at < footer->order_count ? footer->orders[at] : TN_PARQUET_ORDER_TYPE;
    tn_thrift_write_begin(w);
    tn_thrift_write_empty(w, order == TN_PARQUET_ORDER_UNDEFINED ? TN_PARQUET_ORDER_TYPE : order);
    tn_thrift_write_end(w);
  }
}

static void write_algorithm(tn_thrift_writer *w, int16_t id, const tn_parquet_algorithm *a) {
  tn_thrift_write_struct(w, id);
  tn_thrift_write_begin(w);
  tn_thrift_write_struct(w, (int16_t)a->kind);
  tn_thrift_write_begin(w);
  if (a->aad_prefix.data && !a->supply_prefix) tn_thrift_write_binary(w, 1, a->aad_prefix);
  tn_thrift_write_binary(w, 2, a->aad_unique);
  if (a->supply_prefix) tn_thrift_write_bool(w, 3, true);
  tn_thrift_write_end(w);
  tn_thrift_write_end(w);
}

void tn_parquet_footer_write(const tn_parquet_footer *footer, tn_strbuf *out) {
  tn_thrift_writer writer = {.out = out}, *w = &writer;
  tn_thrift_write_begin(w);
  tn_thrift_write_i32(w, 1, footer->version ? footer->version : 1);
  tn_thrift_write_list(w, 2, TN_THRIFT_STRUCT, (uint32_t)footer->element_count);
  for (int64_t i = 0; i < footer->element_count; i++) write_element(w, &footer->elements[i]);
  tn_thrift_write_i64(w, 3, footer->rows);
  tn_thrift_write_list(w, 4, TN_THRIFT_STRUCT, (uint32_t)footer->group_count);
  for (int64_t i = 0; i < footer->group_count; i++) write_group(w, &footer->groups[i]);
  write_pairs(w, 5, footer->pairs, footer->pair_count);
  tn_thrift_write_binary(w, 6, tn_str_of(footer->created_by));
  write_orders(w, footer);
  if (footer->algorithm.kind != TN_PARQUET_NO_CRYPT) {
    write_algorithm(w, 8, &footer->algorithm);
    if (footer->has_signing_key) tn_thrift_write_binary(w, 9, footer->signing_key_metadata);
  }
  tn_thrift_write_end(w);
}

void tn_parquet_file_crypto_write(const tn_parquet_file_crypto *crypto, tn_strbuf *out) {
  tn_thrift_writer writer = {.out = out}, *w = &writer;
  tn_thrift_write_begin(w);
  write_algorithm(w, 1, &crypto->algorithm);
  if (crypto->key_metadata.data) tn_thrift_write_binary(w, 2, crypto->key_metadata);
  tn_thrift_write_end(w);
}

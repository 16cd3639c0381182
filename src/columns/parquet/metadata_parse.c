/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/metadata_parts.h"

/* ---- schema ---------------------------------------------------------------------------------- */

/* A C string in the arena.  A NUL inside would cut the name and let two columns look alike. */
static const char *parse_name(tn_thrift_reader *r, const tn_thrift_field *f, tn_arena *arena) {
  tn_str s = tn_thrift_binary(r, f);
  if (s.length && memchr(s.data, 0, s.length)) tn_thrift_fail(r, "a name holds a NUL byte", 0);
  return tn_arena_strndup(arena, s.data ? s.data : "", s.length);
}

/* A decimal's numbers stand beside its converted type and once more in its logical type. */
typedef struct element_extra {
  bool has_logical;
  int32_t precision, scale;
} element_extra;

static void finish_element(tn_thrift_reader *r, tn_parquet_element *e, const element_extra *x) {
  if (!x->has_logical && e->converted >= 0) {
    e->logical = tn_parquet_logical_of_converted(e->converted);
    e->logical.precision = x->precision;
    e->logical.scale = x->scale;
  }
  if (!e->name) tn_thrift_fail(r, "a schema element has no name, type", e->physical);
  if (e->children < 0) tn_thrift_fail(r, "a group has a negative number of fields", e->children);
  if (e->length < 0) tn_thrift_fail(r, "a fixed-length column is negative long", e->length);
}

static void parse_element(tn_thrift_reader *r, tn_arena *arena, tn_parquet_element *e) {
  element_extra extra = {0};
  tn_thrift_field f;
  *e = (tn_parquet_element){.physical = -1, .repetition = -1, .converted = -1};
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        e->physical = tn_thrift_i32(r, &f);
        if (!tn_parquet_physical_name(e->physical)) {
          tn_thrift_fail(r, "a column has an unknown physical type", e->physical);
        }
        break;
      case 2:
        e->length = tn_thrift_i32(r, &f);
        break;
      case 3:
        e->repetition = tn_thrift_i32(r, &f);
        break;
      case 4:
        e->name = parse_name(r, &f, arena);
        break;
      case 5:
        e->children = tn_thrift_i32(r, &f);
        break;
      case 6:
        e->converted = tn_thrift_i32(r, &f);
        break;
      case 7:
        extra.scale = tn_thrift_i32(r, &f);
        break;
      case 8:
        extra.precision = tn_thrift_i32(r, &f);
        break;
      case 9:
        e->field_id = tn_thrift_i32(r, &f), e->has_field_id = true;
        break;
      case 10:
        if (!tn_thrift_is_struct(r, &f)) break;
        tn_parquet_logical_parse(r, &e->logical);
        extra.has_logical = true;
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
  finish_element(r, e, &extra);
}

static void parse_elements(tn_thrift_reader *r, const tn_thrift_field *f, tn_arena *arena,
                           tn_parquet_footer *out) {
  uint32_t count = tn_thrift_list(r, f, TN_THRIFT_STRUCT);
  out->elements = tn_arena_alloc(arena, count, sizeof *out->elements);
  if (!out->elements) return;
  for (uint32_t i = 0; i < count && r->status == TN_OK && !arena->failed; i++) {
    parse_element(r, arena, &out->elements[i]);
    out->element_count = i + 1;
  }
}

/* ---- column chunks --------------------------------------------------------------------------- */

static void parse_pair(tn_thrift_reader *r, tn_parquet_pair *out) {
  tn_thrift_field f;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        out->key = tn_thrift_binary(r, &f);
        break;
      case 2:
        out->value = tn_thrift_binary(r, &f), out->has_value = true;
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
}

static tn_parquet_pair *parse_pairs(tn_thrift_reader *r, const tn_thrift_field *f, tn_arena *arena,
                                    uint32_t *count) {
  uint32_t found = tn_thrift_list(r, f, TN_THRIFT_STRUCT);
  *count = 0;
  tn_parquet_pair *pairs = found ? tn_arena_alloc(arena, found, sizeof *pairs) : NULL;
  if (!pairs) return NULL;
  for (uint32_t i = 0; i < found && r->status == TN_OK; i++) parse_pair(r, &pairs[i]);
  *count = found;
  return pairs;
}

static tn_str *parse_strings(tn_thrift_reader *r, const tn_thrift_field *f, tn_arena *arena,
                             uint32_t *count) {
  uint32_t found = tn_thrift_list(r, f, TN_THRIFT_BINARY);
  *count = 0;
  tn_str *strings = found ? tn_arena_alloc(arena, found, sizeof *strings) : NULL;
  if (!strings) return NULL;
  for (uint32_t i = 0; i < found; i++) strings[i] = tn_thrift_element_binary(r);
  *count = found;
  return strings;
}

static uint32_t parse_encodings(tn_thrift_reader *r, const tn_thrift_field *f) {
  uint32_t mask = 0, count = tn_thrift_list(r, f, TN_THRIFT_I32);
  for (uint32_t i = 0; i < count && r->status == TN_OK; i++) {
    int32_t encoding = tn_thrift_element_i32(r);
    if (encoding >= 0 && encoding < 32) mask |= (uint32_t)1 << encoding;
  }
  return mask;
}

static void parse_encoding_stats(tn_thrift_reader *r, const tn_thrift_field *f, tn_arena *arena,
                                 tn_parquet_chunk_meta *out) {
  static const tn_thrift_member members[] = {
      {1, TN_THRIFT_I32, offsetof(tn_parquet_encoding_stats, page_type)},
      {2, TN_THRIFT_I32, offsetof(tn_parquet_encoding_stats, encoding)},
      {3, TN_THRIFT_I32, offsetof(tn_parquet_encoding_stats, count)}};
  uint32_t count = tn_thrift_list(r, f, TN_THRIFT_STRUCT);
  out->encoding_stats = count ? tn_arena_alloc(arena, count, sizeof *out->encoding_stats) : NULL;
  out->encoding_stats_count = out->encoding_stats ? count : 0;
  for (uint32_t i = 0; i < out->encoding_stats_count && r->status == TN_OK; i++) {
    tn_thrift_take_all(r, members, 3, &out->encoding_stats[i]);
  }
}

static tn_parquet_sizes *parse_sizes(tn_thrift_reader *r, const tn_thrift_field *field,
                                     tn_arena *arena) {
  tn_thrift_field f;
  tn_parquet_sizes *out = tn_arena_alloc(arena, 1, sizeof *out);
  if (!tn_thrift_is_struct(r, field) || !out) return NULL;
  out->byte_array_bytes = -1;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        out->byte_array_bytes = tn_thrift_i64(r, &f);
        break;
      case 2:
        out->repetitions = tn_parquet_i64s_parse(r, &f, arena, &out->repetition_count);
        break;
      case 3:
        out->definitions = tn_parquet_i64s_parse(r, &f, arena, &out->definition_count);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
  return out;
}

static void parse_box(tn_thrift_reader *r, tn_parquet_geo *out) {
  uint32_t seen = 0;
  tn_thrift_field f;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    if (f.id < 1 || f.id > 8) {
      tn_thrift_skip(r, &f);
      continue;
    }
    double *bounds = f.id & 1 ? out->min : out->max;
    bounds[(f.id - 1) / 2] = tn_thrift_double(r, &f);
    seen |= (uint32_t)1 << (f.id - 1);
  }
  out->has_box = (seen & 0x0f) == 0x0f;
  out->has_z = (seen & 0x30) == 0x30;
  out->has_m = (seen & 0xc0) == 0xc0;
}

static tn_parquet_geo *parse_geo(tn_thrift_reader *r, const tn_thrift_field *field,
                                 tn_arena *arena) {
  tn_thrift_field f;
  uint32_t count;
  tn_parquet_geo *out = tn_arena_alloc(arena, 1, sizeof *out);
  if (!tn_thrift_is_struct(r, field) || !out) return NULL;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        if (tn_thrift_is_struct(r, &f)) parse_box(r, out);
        break;
      case 2:
        count = tn_thrift_list(r, &f, TN_THRIFT_I32);
        out->types = count ? tn_arena_alloc(arena, count, sizeof *out->types) : NULL;
        out->type_count = out->types ? count : 0;
        for (uint32_t i = 0; i < out->type_count; i++) out->types[i] = tn_thrift_element_i32(r);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
  return out;
}

/* The statistics and all that is rarely there; false: not one of these fields. */
static bool parse_chunk_extra(tn_thrift_reader *r, const tn_thrift_field *f, tn_arena *arena,
                              tn_parquet_chunk_meta *out) {
  switch (f->id) {
    case 8:
      out->pairs = parse_pairs(r, f, arena, &out->pair_count);
      return true;
    case 12:
      if (tn_thrift_is_struct(r, f)) tn_parquet_range_parse(r, &out->range);
      return true;
    case 13:
      parse_encoding_stats(r, f, arena, out);
      return true;
    case 14:
      out->bloom_offset = tn_thrift_i64(r, f);
      return true;
    case 15: /* a writer of old had a list of its own here */
      if (f->type != TN_THRIFT_I32) return false;
      out->bloom_bytes = tn_thrift_i32(r, f);
      return true;
    case 16:
      out->sizes = parse_sizes(r, f, arena);
      return true;
    case 17:
      out->geo = parse_geo(r, f, arena);
      return true;
    default:
      return false;
  }
}

static void check_chunk_meta(tn_thrift_reader *r, const tn_parquet_chunk_meta *c, uint32_t seen) {
  const uint32_t required = 1u << 1 | 1u << 4 | 1u << 5 | 1u << 7 | 1u << 9;
  if ((seen & required) != required) {
    tn_thrift_fail(r, "a column chunk lacks a required field; fields seen", seen);
  }
  if (c->values < 0) tn_thrift_fail(r, "a column chunk has a negative value count", c->values);
  if (c->compressed_bytes < 0 || c->uncompressed_bytes < 0) {
    tn_thrift_fail(r, "a column chunk has a negative size", c->compressed_bytes);
  }
}

static void parse_chunk_meta(tn_thrift_reader *r, tn_arena *arena, tn_parquet_chunk_meta *out) {
  uint32_t seen = 0;
  tn_thrift_field f;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    if (f.id > 0 && f.id < 32) seen |= (uint32_t)1 << f.id;
    switch (f.id) {
      case 1:
        out->physical = tn_thrift_i32(r, &f);
        break;
      case 2:
        out->encodings = parse_encodings(r, &f);
        break;
      case 3:
        out->path = parse_strings(r, &f, arena, &out->path_count);
        break;
      case 4:
        out->codec = tn_thrift_i32(r, &f);
        break;
      case 5:
        out->values = tn_thrift_i64(r, &f);
        break;
      case 6:
        out->uncompressed_bytes = tn_thrift_i64(r, &f);
        break;
      case 7:
        out->compressed_bytes = tn_thrift_i64(r, &f);
        break;
      case 9:
        out->data_offset = tn_thrift_i64(r, &f);
        break;
      case 11:
        out->dictionary_offset = tn_thrift_i64(r, &f);
        break;
      default:
        if (!parse_chunk_extra(r, &f, arena, out)) tn_thrift_skip(r, &f);
    }
  }
  check_chunk_meta(r, out, seen);
}

static void parse_column_key(tn_thrift_reader *r, tn_arena *arena, tn_parquet_chunk_meta *out) {
  tn_thrift_field f;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        out->path = parse_strings(r, &f, arena, &out->path_count);
        break;
      case 2:
        out->key_metadata = tn_thrift_binary(r, &f);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
}

static void parse_chunk_crypto(tn_thrift_reader *r, const tn_thrift_field *field, tn_arena *arena,
                               tn_parquet_chunk_meta *out) {
  tn_thrift_field f;
  if (!tn_thrift_is_struct(r, field)) return;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    if (f.id == 1) {
      out->encryption = TN_PARQUET_FOOTER_KEY;
      tn_thrift_skip(r, &f);
    } else if (f.id == 2) {
      out->encryption = TN_PARQUET_COLUMN_KEY;
      if (tn_thrift_is_struct(r, &f)) parse_column_key(r, arena, out);
    } else {
      tn_thrift_fail(r, "a column is encrypted in an unknown way, number", f.id);
    }
  }
}

static void parse_chunk(tn_thrift_reader *r, tn_arena *arena, tn_parquet_chunk_meta *out) {
  tn_thrift_field f;
  *out = (tn_parquet_chunk_meta){.dictionary_offset = -1, .range = {.nulls = -1}};
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        out->elsewhere |= tn_thrift_binary(r, &f).length > 0;
        break;
      case 2:
        out->file_offset = tn_thrift_i64(r, &f);
        break;
      case 3:
        if (tn_thrift_is_struct(r, &f)) parse_chunk_meta(r, arena, out);
        out->has_meta = true;
        break;
      case 4:
        out->offset_index_offset = tn_thrift_i64(r, &f);
        break;
      case 5:
        out->offset_index_bytes = tn_thrift_i32(r, &f);
        break;
      case 6:
        out->column_index_offset = tn_thrift_i64(r, &f);
        break;
      case 7:
        out->column_index_bytes = tn_thrift_i32(r, &f);
        break;
      case 8:
        out->elsewhere = true;
        parse_chunk_crypto(r, &f, arena, out);
        break;
      case 9:
        out->encrypted_meta = tn_thrift_binary(r, &f);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
  if (!out->has_meta) out->elsewhere = true;
}

/* ---- row groups ------------------------------------------------------------------------------ */

static void parse_sorting(tn_thrift_reader *r, const tn_thrift_field *f, tn_arena *arena,
                          tn_parquet_group_meta *out) {
  static const tn_thrift_member members[] = {
      {1, TN_THRIFT_I32, offsetof(tn_parquet_sorting, column)},
      {2, TN_THRIFT_TRUE, offsetof(tn_parquet_sorting, descending)},
      {3, TN_THRIFT_TRUE, offsetof(tn_parquet_sorting, nulls_first)}};
  uint32_t count = tn_thrift_list(r, f, TN_THRIFT_STRUCT);
  out->sorting = count ? tn_arena_alloc(arena, count, sizeof *out->sorting) : NULL;
  out->sorting_count = out->sorting ? count : 0;
  for (uint32_t i = 0; i < out->sorting_count && r->status == TN_OK; i++) {
    tn_thrift_take_all(r, members, 3, &out->sorting[i]);
  }
}

static void parse_chunks(tn_thrift_reader *r, const tn_thrift_field *f, tn_arena *arena,
                         tn_parquet_group_meta *out) {
  uint32_t count = tn_thrift_list(r, f, TN_THRIFT_STRUCT);
  out->chunks = tn_arena_alloc(arena, count, sizeof *out->chunks);
  if (!out->chunks) return;
  out->chunk_count = count;
  for (uint32_t i = 0; i < count && r->status == TN_OK && !arena->failed; i++) {
    parse_chunk(r, arena, &out->chunks[i]);
  }
}

static void parse_group(tn_thrift_reader *r, tn_arena *arena, tn_parquet_group_meta *out) {
  bool has_rows = false;
  tn_thrift_field f;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f) && !arena->failed) {
    switch (f.id) {
      case 1:
        parse_chunks(r, &f, arena, out);
        break;
      case 2:
        out->bytes = tn_thrift_i64(r, &f);
        break;
      case 3:
        out->rows = tn_thrift_i64(r, &f), has_rows = true;
        break;
      case 4:
        parse_sorting(r, &f, arena, out);
        break;
      case 5:
        out->file_offset = tn_thrift_i64(r, &f);
        break;
      case 6:
        out->compressed_bytes = tn_thrift_i64(r, &f);
        break;
      case 7:
        out->ordinal = tn_thrift_i16(r, &f), out->has_ordinal = true;
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
  if (!has_rows || out->rows < 0) {
    tn_thrift_fail(r, "a row group has no or a negative row count", out->rows);
  }
}

static void parse_groups(tn_thrift_reader *r, const tn_thrift_field *f, tn_arena *arena,
                         tn_parquet_footer *out) {
  uint32_t count = tn_thrift_list(r, f, TN_THRIFT_STRUCT);
  out->groups = tn_arena_alloc(arena, count, sizeof *out->groups);
  if (!out->groups) return;
  out->group_count = count;
  for (uint32_t i = 0; i < count && r->status == TN_OK && !arena->failed; i++) {
    parse_group(r, arena, &out->groups[i]);
  }
}

/* ---- the file -------------------------------------------------------------------------------- */

static uint8_t parse_order(tn_thrift_reader *r) {
  uint8_t order = TN_PARQUET_ORDER_UNDEFINED;
  tn_thrift_field f;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    if (f.id >= TN_PARQUET_ORDER_TYPE && f.id <= TN_PARQUET_ORDER_INT96) order = (uint8_t)f.id;
    tn_thrift_skip(r, &f);
  }
  return order;
}

static void parse_orders(tn_thrift_reader *r, const tn_thrift_field *field, tn_arena *arena,
                         tn_parquet_footer *out) {
  uint32_t count = tn_thrift_list(r, field, TN_THRIFT_STRUCT);
  out->orders = count ? tn_arena_alloc(arena, count, sizeof *out->orders) : NULL;
  out->order_count = out->orders ? count : 0;
  out->type_order = true;
  for (uint32_t i = 0; i < out->order_count && r->status == TN_OK; i++) {
    out->orders[i] = parse_order(r);
    out->type_order &= out->orders[i] == TN_PARQUET_ORDER_TYPE;
  }
}

static void parse_algorithm(tn_thrift_reader *r, const tn_thrift_field *field,
                            tn_parquet_algorithm *out) {
  tn_thrift_field member, f;
  if (!tn_thrift_is_struct(r, field)) return;
  tn_thrift_begin(r, &member);
  while (tn_thrift_next(r, &member)) {
    if (member.id != TN_PARQUET_AES_GCM && member.id != TN_PARQUET_AES_GCM_CTR) {
      tn_thrift_fail(r, "an unknown encryption algorithm, number", member.id);
    }
    if (!tn_thrift_is_struct(r, &member)) return;
    *out = (tn_parquet_algorithm){.kind = member.id};
    tn_thrift_begin(r, &f);
    while (tn_thrift_next(r, &f)) {
      switch (f.id) {
        case 1:
          out->aad_prefix = tn_thrift_binary(r, &f);
          break;
        case 2:
          out->aad_unique = tn_thrift_binary(r, &f);
          break;
        case 3:
          out->supply_prefix = tn_thrift_bool(r, &f);
          break;
        default:
          tn_thrift_skip(r, &f);
      }
    }
  }
  if (out->kind == TN_PARQUET_NO_CRYPT) tn_thrift_fail(r, "no encryption algorithm is named", 0);
}

static void parse_file_field(tn_thrift_reader *r, const tn_thrift_field *f, tn_arena *arena,
                             tn_parquet_footer *out) {
  switch (f->id) {
    case 1:
      out->version = tn_thrift_i32(r, f);
      break;
    case 2:
      parse_elements(r, f, arena, out);
      break;
    case 3:
      out->rows = tn_thrift_i64(r, f);
      break;
    case 4:
      parse_groups(r, f, arena, out);
      break;
    case 5:
      out->pairs = parse_pairs(r, f, arena, &out->pair_count);
      break;
    case 6:
      out->created_by = parse_name(r, f, arena);
      break;
    case 7:
      parse_orders(r, f, arena, out);
      break;
    case 8:
      out->encrypted = true;
      parse_algorithm(r, f, &out->algorithm);
      break;
    case 9:
      out->signing_key_metadata = tn_thrift_binary(r, f), out->has_signing_key = true;
      break;
    default:
      tn_thrift_skip(r, f);
  }
}

tn_status tn_parquet_footer_parse(tn_parquet_footer *out, tn_arena *arena, const void *bytes,
                                  size_t count, int64_t base, tn_error *err) {
  tn_thrift_reader reader, *r = &reader;
  tn_thrift_field f;
  bool has_rows = false;
  *out = (tn_parquet_footer){.created_by = ""};
  tn_thrift_reader_init(r, bytes, count, base, err);
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f) && !arena->failed) {
    has_rows |= f.id == 3;
    parse_file_field(r, &f, arena, out);
  }
  if (arena->failed) return tn_fail_memory(err, "the footer's structs", arena->used_bytes);
  TN_TRY(r->status);
  out->parsed_bytes = r->at;
  if (!has_rows || out->rows < 0) {
    return tn_fail(err, TN_ERR_DATA, "the footer says %lld rows", (long long)out->rows);
  }
  if (out->element_count == 0) return tn_fail(err, TN_ERR_DATA, "the footer has no schema");
  return TN_OK;
}

tn_status tn_parquet_chunk_meta_parse(tn_parquet_chunk_meta *chunk, tn_arena *arena,
                                      const void *bytes, size_t count, int64_t base,
                                      tn_error *err) {
  tn_thrift_reader reader, *r = &reader;
  tn_thrift_reader_init(r, bytes, count, base, err);
  chunk->dictionary_offset = -1;
  parse_chunk_meta(r, arena, chunk);
  if (arena->failed) return tn_fail_memory(err, "a column chunk's metadata", arena->used_bytes);
  return r->status;
}

tn_status tn_parquet_file_crypto_parse(tn_parquet_file_crypto *out, const void *bytes, size_t count,
                                       int64_t base, tn_error *err) {
  tn_thrift_reader reader, *r = &reader;
  tn_thrift_field f;
  *out = (tn_parquet_file_crypto){0};
  tn_thrift_reader_init(r, bytes, count, base, err);
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        parse_algorithm(r, &f, &out->algorithm);
        break;
      case 2:
        out->key_metadata = tn_thrift_binary(r, &f);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
  if (out->algorithm.kind == TN_PARQUET_NO_CRYPT) {
    tn_thrift_fail(r, "an encrypted footer names no algorithm, bytes before it", (int64_t)r->at);
  }
  out->parsed_bytes = r->at;
  return r->status;
}

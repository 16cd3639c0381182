/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/metadata.h"

#include "columns/parquet/thrift.h"

const char *tn_parquet_physical_name(int32_t physical) {
  switch (physical) {
#define X(id, code, name) \
  case code:              \
    return name;
    TN_PARQUET_PHYSICAL_LIST(X)
#undef X
    default:
      return NULL;
  }
}

const char *tn_parquet_encoding_name(int32_t encoding) {
  switch (encoding) {
#define X(id, code, name) \
  case code:              \
    return name;
    TN_PARQUET_ENCODING_LIST(X)
#undef X
    default:
      return NULL;
  }
}

/* ---- parsing: schema ------------------------------------------------------------------------- */

/* What a ConvertedType means in the words of LogicalType. */
static tn_parquet_logical logical_of_converted(int32_t converted) {
  tn_parquet_logical l = {.converted = true, .utc = true};
  switch (converted) {
    case 0:
      l.kind = TN_PARQUET_LOGICAL_STRING;
      break;
    case 1:
    case 2:
      l.kind = TN_PARQUET_LOGICAL_MAP;
      break;
    case 3:
      l.kind = TN_PARQUET_LOGICAL_LIST_;
      break;
    case 4:
      l.kind = TN_PARQUET_LOGICAL_ENUM;
      break;
    case 5:
      l.kind = TN_PARQUET_LOGICAL_DECIMAL;
      break;
    case 6:
      l.kind = TN_PARQUET_LOGICAL_DATE;
      break;
    case 7:
      l.kind = TN_PARQUET_LOGICAL_TIME, l.unit = TN_PARQUET_MILLIS;
      break;
    case 8:
      l.kind = TN_PARQUET_LOGICAL_TIME, l.unit = TN_PARQUET_MICROS;
      break;
    case 9:
      l.kind = TN_PARQUET_LOGICAL_TIMESTAMP, l.unit = TN_PARQUET_MILLIS;
      break;
    case 10:
      l.kind = TN_PARQUET_LOGICAL_TIMESTAMP, l.unit = TN_PARQUET_MICROS;
      break;
    case 11:
    case 12:
    case 13:
    case 14:
      l.kind = TN_PARQUET_LOGICAL_INTEGER, l.bits = (int8_t)(8 << (converted - 11));
      break;
    case 15:
    case 16:
    case 17:
    case 18:
      l.kind = TN_PARQUET_LOGICAL_INTEGER, l.bits = (int8_t)(8 << (converted - 15));
      l.is_signed = true;
      break;
    case 19:
      l.kind = TN_PARQUET_LOGICAL_JSON;
      break;
    case 20:
      l.kind = TN_PARQUET_LOGICAL_BSON;
      break;
    case 21:
      l.kind = TN_PARQUET_LOGICAL_INTERVAL;
      break;
    default:
      break;
  }
  return l;
}

static int8_t parse_unit(tn_thrift_reader *r, const tn_thrift_field *field) {
  int8_t unit = 0;
  tn_thrift_field f;
  if (!tn_thrift_is_struct(r, field)) return 0;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    if (f.id >= TN_PARQUET_MILLIS && f.id <= TN_PARQUET_NANOS) unit = (int8_t)f.id;
    tn_thrift_skip(r, &f);
  }
  return unit;
}

static void parse_time(tn_thrift_reader *r, tn_parquet_logical *out) {
  tn_thrift_field f;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        out->utc = tn_thrift_bool(r, &f);
        break;
      case 2:
        out->unit = parse_unit(r, &f);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
}

static void parse_integer(tn_thrift_reader *r, tn_parquet_logical *out) {
  tn_thrift_field f;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        out->bits = tn_thrift_byte(r, &f);
        break;
      case 2:
        out->is_signed = tn_thrift_bool(r, &f);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
}

static void parse_logical(tn_thrift_reader *r, tn_parquet_logical *out) {
  tn_thrift_field f;
  *out = (tn_parquet_logical){0};
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    if (!tn_thrift_is_struct(r, &f)) return;
    out->kind = f.id;
    switch (f.id) {
      case TN_PARQUET_LOGICAL_TIME:
      case TN_PARQUET_LOGICAL_TIMESTAMP:
        parse_time(r, out);
        break;
      case TN_PARQUET_LOGICAL_INTEGER:
        parse_integer(r, out);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
}

/* A C string in the arena.  A NUL inside would cut the name and let two columns look alike. */
static const char *parse_name(tn_thrift_reader *r, const tn_thrift_field *f, tn_arena *arena) {
  tn_str s = tn_thrift_binary(r, f);
  if (s.length && memchr(s.data, 0, s.length)) tn_thrift_fail(r, "a name holds a NUL byte", 0);
  return tn_arena_strndup(arena, s.data ? s.data : "", s.length);
}

static void parse_element(tn_thrift_reader *r, tn_arena *arena, tn_parquet_element *e) {
  bool has_logical = false;
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
      case 10:
        if (!tn_thrift_is_struct(r, &f)) break;
        parse_logical(r, &e->logical);
        has_logical = true;
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
  if (!has_logical && e->converted >= 0) e->logical = logical_of_converted(e->converted);
  if (!e->name) tn_thrift_fail(r, "a schema element has no name, type", e->physical);
  if (e->children < 0) tn_thrift_fail(r, "a group has a negative number of fields", e->children);
  if (e->length < 0) tn_thrift_fail(r, "a fixed-length column is negative long", e->length);
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

/* ---- parsing: row groups --------------------------------------------------------------------- */

static void parse_range(tn_thrift_reader *r, tn_parquet_range *out) {
  tn_str old_min = {0}, old_max = {0};
  bool found[4] = {false};
  tn_thrift_field f;
  tn_thrift_begin(r, &f);
  *out = (tn_parquet_range){.nulls = -1, .min_exact = true, .max_exact = true};
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        old_max = tn_thrift_binary(r, &f), found[0] = true;
        break;
      case 2:
        old_min = tn_thrift_binary(r, &f), found[1] = true;
        break;
      case 3:
        out->nulls = tn_thrift_i64(r, &f);
        break;
      case 5:
        out->max = tn_thrift_binary(r, &f), found[2] = true;
        break;
      case 6:
        out->min = tn_thrift_binary(r, &f), found[3] = true;
        break;
      case 7:
        out->max_exact = tn_thrift_bool(r, &f);
        break;
      case 8:
        out->min_exact = tn_thrift_bool(r, &f);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
  out->present = found[2] && found[3];
  if (!out->present && found[0] && found[1]) {
    out->min = old_min, out->max = old_max;
    out->present = out->old_order = true;
  }
}

static uint32_t parse_encodings(tn_thrift_reader *r, const tn_thrift_field *f) {
  uint32_t mask = 0, count = tn_thrift_list(r, f, TN_THRIFT_I32);
  for (uint32_t i = 0; i < count && r->status == TN_OK; i++) {
    int32_t encoding = tn_thrift_element_i32(r);
    if (encoding >= 0 && encoding < 32) mask |= (uint32_t)1 << encoding;
  }
  return mask;
}

static void parse_chunk_meta(tn_thrift_reader *r, tn_parquet_chunk_meta *out) {
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
      case 12:
        if (tn_thrift_is_struct(r, &f)) parse_range(r, &out->range);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
  const uint32_t required = 1u << 1 | 1u << 4 | 1u << 5 | 1u << 7 | 1u << 9;
  if ((seen & required) != required) {
    tn_thrift_fail(r, "a column chunk lacks a required field; fields seen", seen);
  }
  if (out->values < 0) tn_thrift_fail(r, "a column chunk has a negative value count", out->values);
  if (out->compressed_bytes < 0 || out->uncompressed_bytes < 0) {
    tn_thrift_fail(r, "a column chunk has a negative size", out->compressed_bytes);
  }
}

static void parse_chunk(tn_thrift_reader *r, tn_parquet_chunk_meta *out) {
  bool has_meta = false;
  tn_thrift_field f;
  *out = (tn_parquet_chunk_meta){.dictionary_offset = -1, .range = {.nulls = -1}};
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        out->elsewhere |= tn_thrift_binary(r, &f).length > 0;
        break;
      case 3:
        if (tn_thrift_is_struct(r, &f)) parse_chunk_meta(r, out);
        has_meta = true;
        break;
      case 8:
        out->elsewhere = true;
        tn_thrift_skip(r, &f);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
  if (!has_meta) out->elsewhere = true;
}

static void parse_group(tn_thrift_reader *r, tn_arena *arena, tn_parquet_group_meta *out) {
  uint32_t count;
  bool has_rows = false;
  tn_thrift_field f;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        count = tn_thrift_list(r, &f, TN_THRIFT_STRUCT);
        out->chunks = tn_arena_alloc(arena, count, sizeof *out->chunks);
        if (!out->chunks) return;
        out->chunk_count = count;
        for (uint32_t i = 0; i < count && r->status == TN_OK; i++) parse_chunk(r, &out->chunks[i]);
        break;
      case 2:
        out->bytes = tn_thrift_i64(r, &f);
        break;
      case 3:
        out->rows = tn_thrift_i64(r, &f), has_rows = true;
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

static bool parse_orders(tn_thrift_reader *r, const tn_thrift_field *field) {
  uint32_t count = tn_thrift_list(r, field, TN_THRIFT_STRUCT);
  bool all = true;
  for (uint32_t i = 0; i < count && r->status == TN_OK; i++) {
    tn_thrift_field f;
    tn_thrift_begin(r, &f);
    while (tn_thrift_next(r, &f)) {
      all &= f.id == 1;
      tn_thrift_skip(r, &f);
    }
  }
  return all;
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
    switch (f.id) {
      case 2:
        parse_elements(r, &f, arena, out);
        break;
      case 3:
        out->rows = tn_thrift_i64(r, &f), has_rows = true;
        break;
      case 4:
        parse_groups(r, &f, arena, out);
        break;
      case 6:
        out->created_by = parse_name(r, &f, arena);
        break;
      case 7:
        out->type_order = parse_orders(r, &f);
        break;
      case 8:
        out->encrypted = true;
        tn_thrift_skip(r, &f);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
  if (arena->failed) return tn_fail_memory(err, "the footer's structs", arena->used_bytes);
  TN_TRY(r->status);
  if (!has_rows || out->rows < 0) {
    return tn_fail(err, TN_ERR_DATA, "the footer says %lld rows", (long long)out->rows);
  }
  if (out->element_count == 0) return tn_fail(err, TN_ERR_DATA, "the footer has no schema");
  return TN_OK;
}

/* ---- parsing: page headers ------------------------------------------------------------------- */

static void parse_dictionary_header(tn_thrift_reader *r, tn_parquet_page_header *out) {
  tn_thrift_field f;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        out->values = tn_thrift_i32(r, &f);
        break;
      case 2:
        out->encoding = tn_thrift_i32(r, &f);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
}

static void parse_data_header(tn_thrift_reader *r, tn_parquet_page_header *out) {
  tn_thrift_field f;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        out->values = tn_thrift_i32(r, &f);
        break;
      case 2:
        out->encoding = tn_thrift_i32(r, &f);
        break;
      case 3:
        out->level_encoding = tn_thrift_i32(r, &f);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
}

static void parse_data_header_v2(tn_thrift_reader *r, tn_parquet_page_header *out) {
  tn_thrift_field f;
  tn_thrift_begin(r, &f);
  out->is_compressed = true;
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        out->values = tn_thrift_i32(r, &f);
        break;
      case 2:
        out->nulls = tn_thrift_i32(r, &f);
        break;
      case 3:
        out->rows = tn_thrift_i32(r, &f);
        break;
      case 4:
        out->encoding = tn_thrift_i32(r, &f);
        break;
      case 5:
        out->level_bytes = tn_thrift_i32(r, &f);
        break;
      case 6:
        out->rep_bytes = tn_thrift_i32(r, &f);
        break;
      case 7:
        out->is_compressed = tn_thrift_bool(r, &f);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
}

static void check_page_header(tn_thrift_reader *r, const tn_parquet_page_header *h, bool body) {
  if (h->type < 0) tn_thrift_fail(r, "a page header has no type", h->type);
  if (h->compressed_bytes < 0) tn_thrift_fail(r, "a page has a bad size", h->compressed_bytes);
  if (h->uncompressed_bytes < 0) {
    tn_thrift_fail(r, "a page has a bad uncompressed size", h->uncompressed_bytes);
  }
  if (h->values < 0) tn_thrift_fail(r, "a page has a negative value count", h->values);
  if (h->level_bytes < 0 || h->rep_bytes < 0) {
    tn_thrift_fail(r, "a page has a negative size of levels", h->level_bytes);
  }
  bool wants_body = h->type == TN_PARQUET_PAGE_DATA || h->type >= TN_PARQUET_PAGE_DICTIONARY;
  if (wants_body && !body) tn_thrift_fail(r, "a page header lacks the part for its type", h->type);
}

tn_status tn_parquet_page_header_parse(tn_parquet_page_header *out, const void *bytes, size_t count,
                                       int64_t base, size_t *used, tn_error *err) {
  tn_thrift_reader reader, *r = &reader;
  tn_thrift_field f;
  int body = -1; /* the page type whose own part was there */
  *out = (tn_parquet_page_header){.type = -1, .uncompressed_bytes = -1, .compressed_bytes = -1};
  tn_thrift_reader_init(r, bytes, count, base, err);
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        out->type = tn_thrift_i32(r, &f);
        break;
      case 2:
        out->uncompressed_bytes = tn_thrift_i32(r, &f);
        break;
      case 3:
        out->compressed_bytes = tn_thrift_i32(r, &f);
        break;
      case 4:
        out->crc = (uint32_t)tn_thrift_i32(r, &f), out->has_crc = true;
        break;
      case 5:
        body = TN_PARQUET_PAGE_DATA;
        if (tn_thrift_is_struct(r, &f)) parse_data_header(r, out);
        break;
      case 7:
        body = TN_PARQUET_PAGE_DICTIONARY;
        if (tn_thrift_is_struct(r, &f)) parse_dictionary_header(r, out);
        break;
      case 8:
        body = TN_PARQUET_PAGE_DATA_V2;
        if (tn_thrift_is_struct(r, &f)) parse_data_header_v2(r, out);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
  if (r->status == TN_OK) check_page_header(r, out, body == out->type);
  *used = r->at;
  return r->status;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_empty_struct(tn_thrift_writer *w, int16_t id) {
  tn_thrift_write_struct(w, id);
  tn_thrift_write_begin(w);
  tn_thrift_write_end(w);
}

static void write_logical(tn_thrift_writer *w, const tn_parquet_logical *l) {
  tn_thrift_write_struct(w, 10);
  tn_thrift_write_begin(w);
  tn_thrift_write_struct(w, l->kind);
  tn_thrift_write_begin(w);
  if (l->kind == TN_PARQUET_LOGICAL_INTEGER) {
    tn_thrift_write_byte(w, 1, l->bits);
    tn_thrift_write_bool(w, 2, l->is_signed);
  } else if (l->kind == TN_PARQUET_LOGICAL_TIMESTAMP) {
    tn_thrift_write_bool(w, 1, l->utc);
    tn_thrift_write_struct(w, 2);
    tn_thrift_write_begin(w);
    write_empty_struct(w, l->unit);
    tn_thrift_write_end(w);
  }
  tn_thrift_write_end(w);
  tn_thrift_write_end(w);
}

static void write_element(tn_thrift_writer *w, const tn_parquet_element *e) {
  tn_thrift_write_begin(w);
  if (e->physical >= 0) tn_thrift_write_i32(w, 1, e->physical);
  if (e->repetition >= 0) tn_thrift_write_i32(w, 3, e->repetition);
  tn_thrift_write_binary(w, 4, tn_str_of(e->name));
  if (e->physical < 0) tn_thrift_write_i32(w, 5, e->children);
  if (e->converted >= 0) tn_thrift_write_i32(w, 6, e->converted);
  if (e->logical.kind != TN_PARQUET_LOGICAL_NONE) write_logical(w, &e->logical);
  tn_thrift_write_end(w);
}

static void write_range(tn_thrift_writer *w, const tn_parquet_range *range) {
  tn_thrift_write_struct(w, 12);
  tn_thrift_write_begin(w);
  tn_thrift_write_i64(w, 3, range->nulls);
  if (range->present) {
    tn_thrift_write_binary(w, 5, range->max);
    tn_thrift_write_binary(w, 6, range->min);
    tn_thrift_write_bool(w, 7, range->max_exact);
    tn_thrift_write_bool(w, 8, range->min_exact);
  }
  tn_thrift_write_end(w);
}

static void write_chunk(tn_thrift_writer *w, const tn_parquet_chunk_meta *c) {
  tn_thrift_write_begin(w);
  tn_thrift_write_i64(w, 2,
                      0); /* file_offset: deprecated, 0 when the footer alone has the metadata */
  tn_thrift_write_struct(w, 3);
  tn_thrift_write_begin(w);
  tn_thrift_write_i32(w, 1, c->physical);
  tn_thrift_write_list(w, 2, TN_THRIFT_I32, (uint32_t)__builtin_popcount(c->encodings));
  for (int32_t e = 0; e < 32; e++) {
    if (c->encodings >> e & 1) tn_thrift_write_element_i32(w, e);
  }
  tn_thrift_write_list(w, 3, TN_THRIFT_BINARY, 1);
  tn_thrift_write_element_binary(w, tn_str_of(c->name));
  tn_thrift_write_i32(w, 4, c->codec);
  tn_thrift_write_i64(w, 5, c->values);
  tn_thrift_write_i64(w, 6, c->uncompressed_bytes);
  tn_thrift_write_i64(w, 7, c->compressed_bytes);
  tn_thrift_write_i64(w, 9, c->data_offset);
  if (c->dictionary_offset >= 0) tn_thrift_write_i64(w, 11, c->dictionary_offset);
  write_range(w, &c->range);
  tn_thrift_write_end(w);
  tn_thrift_write_end(w);
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
  tn_thrift_write_i64(w, 5, first);
  tn_thrift_write_i64(w, 6, compressed);
  tn_thrift_write_end(w);
}

void tn_parquet_footer_write(const tn_parquet_footer *footer, tn_strbuf *out) {
  tn_thrift_writer writer = {.out = out}, *w = &writer;
  tn_thrift_write_begin(w);
  tn_thrift_write_i32(w, 1, 2);
  tn_thrift_write_list(w, 2, TN_THRIFT_STRUCT, (uint32_t)footer->element_count);
  for (int64_t i = 0; i < footer->element_count; i++) write_element(w, &footer->elements[i]);
  tn_thrift_write_i64(w, 3, footer->rows);
  tn_thrift_write_list(w, 4, TN_THRIFT_STRUCT, (uint32_t)footer->group_count);
  for (int64_t i = 0; i < footer->group_count; i++) write_group(w, &footer->groups[i]);
  tn_thrift_write_binary(w, 6, tn_str_of(footer->created_by));
  tn_thrift_write_list(w, 7, TN_THRIFT_STRUCT, (uint32_t)(footer->element_count - 1));
  for (int64_t i = 1; i < footer->element_count; i++) {
    tn_thrift_write_begin(w);
    write_empty_struct(w, 1);
    tn_thrift_write_end(w);
  }
  tn_thrift_write_end(w);
}

void tn_parquet_page_header_write(const tn_parquet_page_header *h, tn_strbuf *out) {
  tn_thrift_writer writer = {.out = out}, *w = &writer;
  tn_thrift_write_begin(w);
  tn_thrift_write_i32(w, 1, h->type);
  tn_thrift_write_i32(w, 2, h->uncompressed_bytes);
  tn_thrift_write_i32(w, 3, h->compressed_bytes);
  tn_thrift_write_i32(w, 4, (int32_t)h->crc);
  tn_thrift_write_struct(w, h->type == TN_PARQUET_PAGE_DICTIONARY ? 7 : 5);
  tn_thrift_write_begin(w);
  tn_thrift_write_i32(w, 1, h->values);
  tn_thrift_write_i32(w, 2, h->encoding);
  if (h->type == TN_PARQUET_PAGE_DATA) {
    tn_thrift_write_i32(w, 3, TN_PARQUET_RLE);
    tn_thrift_write_i32(w, 4, TN_PARQUET_RLE);
  }
  tn_thrift_write_end(w);
  tn_thrift_write_end(w);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/metadata_parts.h"

#define MEMBER(id, type, name) \
  { id, TN_THRIFT_##type, offsetof(tn_parquet_page_header, name) }
static const tn_thrift_member dictionary_members[] = {
    MEMBER(1, I32, values), MEMBER(2, I32, encoding), MEMBER(3, TRUE, is_sorted)};
static const tn_thrift_member data_members[] = {MEMBER(1, I32, values), MEMBER(2, I32, encoding),
                                                MEMBER(3, I32, level_encoding),
                                                MEMBER(4, I32, rep_encoding)};
static const tn_thrift_member data_v2_members[] = {
    MEMBER(1, I32, values),        MEMBER(2, I32, nulls),       MEMBER(3, I32, rows),
    MEMBER(4, I32, encoding),      MEMBER(5, I32, level_bytes), MEMBER(6, I32, rep_bytes),
    MEMBER(7, TRUE, is_compressed)};
#undef MEMBER
#define COUNT(list) ((int32_t)(sizeof(list) / sizeof(list)[0]))

/* The part of a data page of either version: its members, and statistics in field `range`. */
static void parse_data_part(tn_thrift_reader *r, const tn_thrift_member *members, int32_t count,
                            int16_t range, tn_parquet_page_header *out) {
  tn_thrift_field f;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    if (f.id != range) {
      tn_thrift_take(r, &f, members, count, out);
    } else if (tn_thrift_is_struct(r, &f)) {
      tn_parquet_range_parse(r, &out->range);
      out->has_range = true;
    }
  }
}

/* The part of the header that is of its type's own. */
static void parse_part(tn_thrift_reader *r, const tn_thrift_field *f, int type,
                       tn_parquet_page_header *out) {
  if (!tn_thrift_is_struct(r, f)) return;
  if (type == TN_PARQUET_PAGE_DICTIONARY) {
    tn_thrift_take_all(r, dictionary_members, COUNT(dictionary_members), out);
  } else if (type == TN_PARQUET_PAGE_DATA) {
    parse_data_part(r, data_members, COUNT(data_members), 5, out);
  } else {
    out->is_compressed = true;
    parse_data_part(r, data_v2_members, COUNT(data_v2_members), 8, out);
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
        parse_part(r, &f, body, out);
        break;
      case 7:
        body = TN_PARQUET_PAGE_DICTIONARY;
        parse_part(r, &f, body, out);
        break;
      case 8:
        body = TN_PARQUET_PAGE_DATA_V2;
        parse_part(r, &f, body, out);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
  if (r->status == TN_OK) check_page_header(r, out, body == out->type);
  *used = r->at;
  return r->status;
}

static void write_data_header_v2(tn_thrift_writer *w, const tn_parquet_page_header *h) {
  tn_thrift_write_i32(w, 1, h->values);
  tn_thrift_write_i32(w, 2, h->nulls);
  tn_thrift_write_i32(w, 3, h->rows);
  tn_thrift_write_i32(w, 4, h->encoding);
  tn_thrift_write_i32(w, 5, h->level_bytes);
  tn_thrift_write_i32(w, 6, h->rep_bytes);
  tn_thrift_write_bool(w, 7, h->is_compressed);
  if (h->has_range) tn_parquet_range_write(w, 8, &h->range);
}

static void write_data_header(tn_thrift_writer *w, const tn_parquet_page_header *h) {
  tn_thrift_write_i32(w, 1, h->values);
  tn_thrift_write_i32(w, 2, h->encoding);
  tn_thrift_write_i32(w, 3, TN_PARQUET_RLE);
  tn_thrift_write_i32(w, 4, TN_PARQUET_RLE);
  if (h->has_range) tn_parquet_range_write(w, 5, &h->range);
}

static void write_dictionary_header(tn_thrift_writer *w, const tn_parquet_page_header *h) {
  tn_thrift_write_i32(w, 1, h->values);
  tn_thrift_write_i32(w, 2, h->encoding);
  if (h->is_sorted) tn_thrift_write_bool(w, 3, true);
}

void tn_parquet_page_header_write(const tn_parquet_page_header *h, tn_strbuf *out) {
  tn_thrift_writer writer = {.out = out}, *w = &writer;
  tn_thrift_write_begin(w);
  tn_thrift_write_i32(w, 1, h->type);
  tn_thrift_write_i32(w, 2, h->uncompressed_bytes);
  tn_thrift_write_i32(w, 3, h->compressed_bytes);
  if (h->has_crc) tn_thrift_write_i32(w, 4, (int32_t)h->crc);
  bool v2 = h->type == TN_PARQUET_PAGE_DATA_V2, dictionary = h->type == TN_PARQUET_PAGE_DICTIONARY;
  tn_thrift_write_struct(w, v2 ? 8 : dictionary ? 7 : 5);
  tn_thrift_write_begin(w);
  if (v2) {
    write_data_header_v2(w, h);
  } else if (dictionary) {
    write_dictionary_header(w, h);
  } else {
    write_data_header(w, h);
  }
  tn_thrift_write_end(w);
  tn_thrift_write_end(w);
}

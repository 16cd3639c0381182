/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/metadata_parts.h"

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
      case 3:
        out->is_sorted = tn_thrift_bool(r, &f);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
}

static void parse_range(tn_thrift_reader *r, const tn_thrift_field *f,
                        tn_parquet_page_header *out) {
  if (!tn_thrift_is_struct(r, f)) return;
  tn_parquet_range_parse(r, &out->range);
  out->has_range = true;
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
      case 4:
        out->rep_encoding = tn_thrift_i32(r, &f);
        break;
      case 5:
        parse_range(r, &f, out);
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
      case 8:
        parse_range(r, &f, out);
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/index.h"

#include "columns/parquet/file.h"
#include "columns/parquet/metadata_parts.h"

/* ---- offset index ---------------------------------------------------------------------------- */

static void parse_location(tn_thrift_reader *r, tn_parquet_page_location *out) {
  static const tn_thrift_member members[] = {
      {1, TN_THRIFT_I64, offsetof(tn_parquet_page_location, offset)},
      {2, TN_THRIFT_I32, offsetof(tn_parquet_page_location, bytes)},
      {3, TN_THRIFT_I64, offsetof(tn_parquet_page_location, first_row)}};
  *out = (tn_parquet_page_location){.offset = -1, .first_row = -1, .bytes = -1};
  tn_thrift_take_all(r, members, 3, out);
  if (out->offset < 0) tn_thrift_fail(r, "a page location has a bad offset", out->offset);
  if (out->bytes < 0) tn_thrift_fail(r, "a page location has a bad size", out->bytes);
  if (out->first_row < 0) tn_thrift_fail(r, "a page location has a bad row", out->first_row);
}

static void parse_locations(tn_thrift_reader *r, const tn_thrift_field *f, tn_arena *arena,
                            tn_parquet_offset_index *out) {
  uint32_t count = tn_thrift_list(r, f, TN_THRIFT_STRUCT);
  out->pages = count ? tn_arena_alloc(arena, count, sizeof *out->pages) : NULL;
  out->page_count = out->pages ? count : 0;
  int64_t row = 0;
  for (uint32_t i = 0; i < out->page_count && r->status == TN_OK; i++) {
    parse_location(r, &out->pages[i]);
    if (out->pages[i].first_row < row || (i == 0 && out->pages[i].first_row != 0)) {
      tn_thrift_fail(r, "the rows of page locations do not ascend from 0, row",
                     out->pages[i].first_row);
    }
    row = out->pages[i].first_row;
  }
}

/* An index that was not there (NULL) is as good as one of the right length. */
static void check_length(tn_thrift_reader *r, const void *list, uint32_t length, uint32_t pages) {
  if (list && length != pages) {
    tn_thrift_fail(r, "a list of the page index is not as long as the others, elements", length);
  }
}

tn_status tn_parquet_offset_index_parse(tn_parquet_offset_index *out, tn_arena *arena,
                                        const void *bytes, size_t count, int64_t base,
                                        tn_error *err) {
  uint32_t sizes = 0;
  tn_thrift_reader reader, *r = &reader;
  tn_thrift_field f;
  *out = (tn_parquet_offset_index){0};
  tn_thrift_reader_init(r, bytes, count, base, err);
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        parse_locations(r, &f, arena, out);
        break;
      case 2:
        out->byte_array_bytes = tn_parquet_i64s_parse(r, &f, arena, &sizes);
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
  if (arena->failed) return tn_fail_memory(err, "an offset index", count);
  check_length(r, out->byte_array_bytes, sizes, out->page_count);
  return r->status;
}

void tn_parquet_offset_index_write(const tn_parquet_offset_index *index, tn_strbuf *out) {
  tn_thrift_writer writer = {.out = out}, *w = &writer;
  tn_thrift_write_begin(w);
  tn_thrift_write_list(w, 1, TN_THRIFT_STRUCT, index->page_count);
  for (uint32_t i = 0; i < index->page_count; i++) {
    tn_thrift_write_begin(w);
    tn_thrift_write_i64(w, 1, index->pages[i].offset);
    tn_thrift_write_i32(w, 2, index->pages[i].bytes);
    tn_thrift_write_i64(w, 3, index->pages[i].first_row);
    tn_thrift_write_end(w);
  }
  if (index->byte_array_bytes) {
    tn_parquet_i64s_write(w, 2, index->byte_array_bytes, index->page_count);
  }
  tn_thrift_write_end(w);
}

/* ---- column index ---------------------------------------------------------------------------- */

typedef struct list_lengths {
  uint32_t min, max, nulls, nans;
  bool has_null_pages, has_order;
} list_lengths;

static void parse_null_pages(tn_thrift_reader *r, const tn_thrift_field *f, tn_arena *arena,
                             tn_parquet_column_index *out) {
  uint32_t count = tn_thrift_list(r, f, TN_THRIFT_TRUE);
  out->null_pages = count ? tn_arena_alloc(arena, count, sizeof *out->null_pages) : NULL;
  out->page_count = out->null_pages ? count : 0;
  for (uint32_t i = 0; i < out->page_count; i++) out->null_pages[i] = tn_thrift_element_bool(r);
}

static tn_str *parse_values(tn_thrift_reader *r, const tn_thrift_field *f, tn_arena *arena,
                            uint32_t *count) {
  *count = tn_thrift_list(r, f, TN_THRIFT_BINARY);
  tn_str *values = tn_arena_alloc(arena, *count, sizeof *values);
  for (uint32_t i = 0; values && i < *count; i++) values[i] = tn_thrift_element_binary(r);
  return values;
}

static void parse_index_field(tn_thrift_reader *r, const tn_thrift_field *f, tn_arena *arena,
                              tn_parquet_column_index *out, list_lengths *lengths) {
  switch (f->id) {
    case 1:
      parse_null_pages(r, f, arena, out);
      lengths->has_null_pages = true;
      break;
    case 2:
      out->min = parse_values(r, f, arena, &lengths->min);
      break;
    case 3:
      out->max = parse_values(r, f, arena, &lengths->max);
      break;
    case 4:
      out->order = tn_thrift_i32(r, f);
      lengths->has_order = true;
      break;
    case 5:
      out->nulls = tn_parquet_i64s_parse(r, f, arena, &lengths->nulls);
      break;
    case 6:
      out->repetitions = tn_parquet_i64s_parse(r, f, arena, &out->repetition_count);
      break;
    case 7:
      out->definitions = tn_parquet_i64s_parse(r, f, arena, &out->definition_count);
      break;
    case 8:
      out->nans = tn_parquet_i64s_parse(r, f, arena, &lengths->nans);
      break;
    default:
      tn_thrift_skip(r, f);
  }
}

static void check_histogram(tn_thrift_reader *r, uint32_t length, uint32_t pages) {
  if (length && (pages == 0 || length % pages != 0)) {
    tn_thrift_fail(r, "a level histogram is not a whole number of pages, elements", length);
  }
}

tn_status tn_parquet_column_index_parse(tn_parquet_column_index *out, tn_arena *arena,
                                        const void *bytes, size_t count, int64_t base,
                                        tn_error *err) {
  list_lengths lengths = {0};
  tn_thrift_reader reader, *r = &reader;
  tn_thrift_field f;
  *out = (tn_parquet_column_index){0};
  tn_thrift_reader_init(r, bytes, count, base, err);
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f) && !arena->failed) parse_index_field(r, &f, arena, out, &lengths);
  if (arena->failed) return tn_fail_memory(err, "a column index", count);
  if (!lengths.has_null_pages || !out->min || !out->max || !lengths.has_order) {
    tn_thrift_fail(r, "a column index lacks a required list, pages", out->page_count);
  }
  check_length(r, out->min, lengths.min, out->page_count);
  check_length(r, out->max, lengths.max, out->page_count);
  check_length(r, out->nulls, lengths.nulls, out->page_count);
  check_length(r, out->nans, lengths.nans, out->page_count);
  check_histogram(r, out->repetition_count, out->page_count);
  check_histogram(r, out->definition_count, out->page_count);
  return r->status;
}

static void write_values(tn_thrift_writer *w, int16_t id, const tn_parquet_column_index *index,
                         const tn_str *values) {
  tn_thrift_write_list(w, id, TN_THRIFT_BINARY, index->page_count);
  for (uint32_t i = 0; i < index->page_count; i++) {
    tn_str value = index->null_pages[i] ? (tn_str){0} : values[i];
    tn_thrift_write_element_binary(w, value);
  }
}

void tn_parquet_column_index_write(const tn_parquet_column_index *index, tn_strbuf *out) {
  tn_thrift_writer writer = {.out = out}, *w = &writer;
  uint32_t pages = index->page_count;
  tn_thrift_write_begin(w);
  tn_thrift_write_list(w, 1, TN_THRIFT_TRUE, pages);
  for (uint32_t i = 0; i < pages; i++) tn_thrift_write_element_bool(w, index->null_pages[i]);
  write_values(w, 2, index, index->min);
  write_values(w, 3, index, index->max);
  tn_thrift_write_i32(w, 4, index->order);
  if (index->nulls) tn_parquet_i64s_write(w, 5, index->nulls, pages);
  if (index->repetitions) tn_parquet_i64s_write(w, 6, index->repetitions, index->repetition_count);
  if (index->definitions) tn_parquet_i64s_write(w, 7, index->definitions, index->definition_count);
  if (index->nans) tn_parquet_i64s_write(w, 8, index->nans, pages);
  tn_thrift_write_end(w);
}

/* ---- a file's -------------------------------------------------------------------------------- */

static tn_status decrypt(tn_parquet_file *file, int64_t group, int64_t column, int module,
                         const uint8_t *bytes, size_t count, tn_arena *arena, tn_str *out,
                         tn_error *err) {
  tn_parquet_cipher cipher = {0};
  tn_parquet_bytes plain = {0};
  size_t used;
  int64_t ordinal = tn_parquet_group_ordinal(&file->footer, group);
  tn_status status = tn_parquet_cipher_start(&cipher, file->crypt, ordinal, column, err);
  if (status == TN_OK) {
    status = tn_parquet_decrypt(&cipher, module, 0, bytes, count, &plain, &used, err);
  }
  if (status == TN_OK) {
    char *copy = tn_arena_strndup(arena, (const char *)plain.data, plain.length);
    *out = (tn_str){copy, plain.length};
    if (!copy) status = tn_fail_memory(err, "a page index", plain.length);
  }
  tn_parquet_bytes_clear(&plain);
  tn_parquet_cipher_clear(&cipher);
  return status;
}

/* Bytes [at, at + bytes) of the file, copied into the arena, decrypted if they are a module. */
static tn_status read_bytes(tn_parquet_file *file, int64_t group, int64_t column, int module,
                            int64_t at, int32_t bytes, tn_arena *arena, tn_str *out,
                            tn_error *err) {
  const uint8_t *data;
  tn_buffer *buffer = NULL;
  if (at < 4 || bytes <= 0 || at > file->data_end || bytes > file->data_end - at) {
    return tn_fail(err, TN_ERR_DATA, "%d bytes at byte %lld, but the file's data end at byte %lld",
                   bytes, (long long)at, (long long)file->data_end);
  }
  if (bytes > TN_PARQUET_INDEX_BYTES_MAX) {
    return tn_fail(err, TN_ERR_LIMIT, "%d bytes, limit %d", bytes, TN_PARQUET_INDEX_BYTES_MAX);
  }
  TN_TRY(file->source->view_at(file->source, at, (size_t)bytes, &buffer, &data, err));
  tn_status status = TN_OK;
  if (file->footer.groups[group].chunks[column].encryption != TN_PARQUET_PLAINTEXT) {
    status = decrypt(file, group, column, module, data, (size_t)bytes, arena, out, err);
  } else {
    char *copy = tn_arena_strndup(arena, (const char *)data, (size_t)bytes);
    *out = (tn_str){copy, (size_t)bytes};
    if (!copy) status = tn_fail_memory(err, "a page index", (unsigned long long)bytes);
  }
  tn_buffer_drop(buffer);
  return status;
}

static tn_status in_context(const tn_parquet_file *file, int64_t group, int64_t column,
                            const char *what, tn_status status, tn_error *err) {
  if (status == TN_OK) return TN_OK;
  return tn_error_context(err, status, "%s: row group %lld: column \"%s\": %s", file->source->name,
                          (long long)group, file->leaves[column].name, what);
}

static tn_status check_pages(const tn_parquet_file *file, int64_t rows,
                             const tn_parquet_offset_index *index, tn_error *err) {
  for (uint32_t i = 0; i < index->page_count; i++) {
    const tn_parquet_page_location *page = &index->pages[i];
    if (page->offset < 4 || page->offset > file->data_end ||
        page->bytes > file->data_end - page->offset) {
      return tn_fail(err, TN_ERR_DATA, "page %u of %d bytes at byte %lld, the data end at %lld", i,
                     page->bytes, (long long)page->offset, (long long)file->data_end);
    }
    if (page->first_row <= rows) continue;
    return tn_fail(err, TN_ERR_DATA, "page %u begins at row %lld of %lld", i,
                   (long long)page->first_row, (long long)rows);
  }
  return TN_OK;
}

static tn_status read_offsets(tn_parquet_offset_index *out, tn_parquet_file *file, int64_t group,
                              int64_t column, tn_arena *arena, tn_error *err) {
  const tn_parquet_group_meta *meta = &file->footer.groups[group];
  const tn_parquet_chunk_meta *chunk = &meta->chunks[column];
  tn_str bytes = {0};
  int64_t at = chunk->offset_index_offset;
  TN_TRY(read_bytes(file, group, column, TN_PARQUET_MODULE_OFFSET_INDEX, at,
                    chunk->offset_index_bytes, arena, &bytes, err));
  TN_TRY(tn_parquet_offset_index_parse(out, arena, bytes.data, bytes.length, at, err));
  return check_pages(file, meta->rows, out, err);
}

tn_status tn_parquet_offset_index_read(tn_parquet_offset_index *out, tn_parquet_file *file,
                                       int64_t group, int64_t column, tn_arena *arena,
                                       tn_error *err) {
  const tn_parquet_chunk_meta *chunk = &file->footer.groups[group].chunks[column];
  *out = (tn_parquet_offset_index){0};
  if (chunk->elsewhere || chunk->offset_index_offset == 0) return TN_END;
  tn_status status = read_offsets(out, file, group, column, arena, err);
  return in_context(file, group, column, "offset index", status, err);
}

/* ---- those that stay with the file ----------------------------------------------------------- */

static size_t slot_count(const tn_parquet_file *file) {
  size_t count;
  bool counts = tn_mul_size((size_t)file->footer.group_count, (size_t)file->leaf_count, &count);
  return counts && count <= TN_PARQUET_KEPT_BYTES / 2 / sizeof *file->kept ? count : 0;
}

/* NULL: the file has too many for a place of each. */
static tn_status find_slot(tn_parquet_file *file, int64_t group, int64_t column,
                           tn_parquet_offset_index **out, tn_error *err) {
  size_t count = slot_count(file), bytes = count * sizeof *file->kept;
  *out = NULL;
  if (count == 0) return TN_OK;
  if (!file->kept) {
    file->kept = tn_alloc(count, sizeof *file->kept);
    if (!file->kept) return tn_fail_memory(err, "offset indexes", bytes);
    file->kept_bytes = bytes;
  }
  *out = &file->kept[group * file->leaf_count + column];
  return TN_OK;
}

static tn_status keep(tn_parquet_file *file, tn_parquet_offset_index *slot,
                      const tn_parquet_offset_index *index, tn_error *err) {
  size_t bytes = (size_t)index->page_count * sizeof *index->pages;
  if (bytes == 0 || bytes > TN_PARQUET_KEPT_BYTES - file->kept_bytes) return TN_OK;
  slot->pages = tn_alloc(1, bytes);
  if (!slot->pages) return tn_fail_memory(err, "an offset index", bytes);
  memcpy(slot->pages, index->pages, bytes);
  slot->page_count = index->page_count;
  file->kept_bytes += bytes;
  return TN_OK;
}

tn_status tn_parquet_offset_index_get(tn_parquet_offset_index *out, tn_parquet_file *file,
                                      int64_t group, int64_t column, tn_arena *arena,
                                      tn_error *err) {
  tn_parquet_offset_index *slot;
  TN_TRY(find_slot(file, group, column, &slot, err));
  if (slot && slot->pages) {
    *out = *slot;
    return TN_OK;
  }
  TN_TRY(tn_parquet_offset_index_read(out, file, group, column, arena, err));
  out->byte_array_bytes = NULL;
  return slot ? keep(file, slot, out, err) : TN_OK;
}

void tn_parquet_offset_indexes_drop(tn_parquet_file *file) {
  size_t count = file->kept ? slot_count(file) : 0;
  for (size_t i = 0; i < count; i++) tn_free(file->kept[i].pages);
  tn_free(file->kept);
  file->kept = NULL;
  file->kept_bytes = 0;
}

static tn_status read_values(tn_parquet_column_index *out, tn_parquet_file *file, int64_t group,
                             int64_t column, tn_arena *arena, tn_error *err) {
  const tn_parquet_chunk_meta *chunk = &file->footer.groups[group].chunks[column];
  tn_str bytes = {0};
  int64_t at = chunk->column_index_offset;
  TN_TRY(read_bytes(file, group, column, TN_PARQUET_MODULE_COLUMN_INDEX, at,
                    chunk->column_index_bytes, arena, &bytes, err));
  return tn_parquet_column_index_parse(out, arena, bytes.data, bytes.length, at, err);
}

tn_status tn_parquet_column_index_read(tn_parquet_column_index *out, tn_parquet_file *file,
                                       int64_t group, int64_t column, tn_arena *arena,
                                       tn_error *err) {
  const tn_parquet_chunk_meta *chunk = &file->footer.groups[group].chunks[column];
  *out = (tn_parquet_column_index){0};
  if (chunk->elsewhere || chunk->column_index_offset == 0) return TN_END;
  tn_status status = read_values(out, file, group, column, arena, err);
  return in_context(file, group, column, "column index", status, err);
}

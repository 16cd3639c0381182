/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/chunk_meta.h"

#include "columns/parquet/index.h"

static tn_status no_memory(tn_error *err) {
  return tn_fail_memory(err, "a column chunk's metadata", sizeof(tn_parquet_chunk_meta));
}

/* ---- the footer ------------------------------------------------------------------------------ */

static tn_status set_range(const tn_parquet_column_writer *w, tn_arena *arena,
                           tn_parquet_range *out, tn_error *err) {
  char *room = tn_arena_alloc(arena, 2, TN_PARQUET_STATS_BYTES);
  if (!room) return no_memory(err);
  tn_parquet_stats_range(&w->stats, room, out);
  out->nulls = w->nulls;
  bool whole = w->has_dictionary && !w->overflowed;
  for (int64_t i = 1; i < w->page_count; i++) {
    whole = whole && w->pages[i].header.encoding == TN_PARQUET_RLE_DICTIONARY;
  }
  out->has_distinct = whole;
  out->distinct = whole ? w->interner.count : 0;
  return TN_OK;
}

static tn_status copy_counts(const int64_t *counts, uint8_t max, tn_arena *arena, int64_t **out,
                             uint32_t *count, tn_error *err) {
  if (!counts || max == 0) return TN_OK;
  *out = tn_arena_alloc(arena, (size_t)max + 1, sizeof **out);
  if (!*out) return no_memory(err);
  memcpy(*out, counts, ((size_t)max + 1) * sizeof **out);
  *count = (uint32_t)max + 1;
  return TN_OK;
}

static tn_status set_sizes(const tn_parquet_column_writer *w, tn_arena *arena,
                           tn_parquet_chunk_meta *out, tn_error *err) {
  const tn_parquet_write_leaf *leaf = w->leaf;
  tn_parquet_sizes *sizes = tn_arena_alloc(arena, 1, sizeof *sizes);
  if (!sizes) return no_memory(err);
  bool bytes = leaf->store.physical == TN_PARQUET_BYTE_ARRAY;
  sizes->byte_array_bytes = bytes ? w->byte_array_bytes : -1;
  int64_t flat[2] = {w->nulls, w->values};
  TN_TRY(copy_counts(w->def_counts ? w->def_counts : flat, leaf->max_def, arena,
                     &sizes->definitions, &sizes->definition_count, err));
  TN_TRY(copy_counts(w->rep_counts, leaf->max_rep, arena, &sizes->repetitions,
                     &sizes->repetition_count, err));
  out->sizes = sizes;
  return TN_OK;
}

static tn_status set_encoding_stats(const tn_parquet_column_writer *w, tn_arena *arena,
                                    tn_parquet_chunk_meta *out, tn_error *err) {
  enum { KINDS = 4 }; /* a dictionary page; data pages with it; data pages without */
  out->encoding_stats = tn_arena_alloc(arena, KINDS, sizeof *out->encoding_stats);
  if (!out->encoding_stats) return no_memory(err);
  for (int64_t i = 0; i < w->page_count; i++) {
    const tn_parquet_page_header *h = &w->pages[i].header;
    uint32_t k = 0;
    while (k < out->encoding_stats_count && (out->encoding_stats[k].page_type != h->type ||
                                             out->encoding_stats[k].encoding != h->encoding)) {
      k++;
    }
    if (k == KINDS) continue;
    if (k == out->encoding_stats_count) {
      out->encoding_stats[out->encoding_stats_count++] =
          (tn_parquet_encoding_stats){h->type, h->encoding, 0};
    }
    out->encoding_stats[k].count++;
  }
  return TN_OK;
}

tn_status tn_parquet_chunk_meta_of(const tn_parquet_column_writer *w, int64_t at, tn_arena *arena,
                                   tn_parquet_chunk_meta *out, tn_error *err) {
  *out = (tn_parquet_chunk_meta){.path = w->leaf->path,
                                 .path_count = w->leaf->path_count,
                                 .physical = w->leaf->store.physical,
                                 .codec = w->packing.codec,
                                 .encodings = w->encodings,
                                 .values = w->values + w->nulls,
                                 .data_offset = at,
                                 .dictionary_offset = w->has_dictionary ? at : -1};
  for (int64_t i = 0; i < w->page_count; i++) {
    const tn_parquet_new_page *page = &w->pages[i];
    out->uncompressed_bytes += (int64_t)page->header_bytes + page->header.uncompressed_bytes;
    out->compressed_bytes += (int64_t)page->stored.length;
  }
  if (w->has_dictionary) out->data_offset += (int64_t)w->pages[0].stored.length;
  TN_TRY(set_range(w, arena, &out->range, err));
  TN_TRY(set_encoding_stats(w, arena, out, err));
  return set_sizes(w, arena, out, err);
}

/* ---- the page index -------------------------------------------------------------------------- */

static tn_status keep(tn_strbuf *text, tn_arena *arena, tn_str *out, tn_error *err) {
  tn_status status = tn_strbuf_check(text, err);
  if (status == TN_OK) {
    out->data = tn_arena_strndup(arena, text->data, text->length);
    out->length = text->length;
    if (!out->data) status = no_memory(err);
  }
  tn_strbuf_clear(text);
  return status;
}

static tn_status offset_index(const tn_parquet_column_writer *w, int64_t at, int64_t first,
                              tn_arena *arena, tn_arena *scratch, tn_str *out, tn_error *err) {
  size_t count = (size_t)(w->page_count - first);
  tn_parquet_offset_index index = {.page_count = (uint32_t)count};
  index.pages = tn_arena_alloc(scratch, count, sizeof *index.pages);
  index.byte_array_bytes = tn_arena_alloc(scratch, count, sizeof *index.byte_array_bytes);
  if (!index.pages || !index.byte_array_bytes) return no_memory(err);
  int64_t row = 0;
  for (int64_t i = 0; i < w->page_count; i++) {
    const tn_parquet_new_page *page = &w->pages[i];
    if (i >= first) {
      index.pages[i - first] = (tn_parquet_page_location){at, row, (int32_t)page->stored.length};
      index.byte_array_bytes[i - first] = page->byte_array_bytes;
      row += page->rows;
    }
    at += (int64_t)page->stored.length;
  }
  if (w->leaf->store.physical != TN_PARQUET_BYTE_ARRAY) index.byte_array_bytes = NULL;
  tn_strbuf text = {0};
  tn_parquet_offset_index_write(&index, &text);
  return keep(&text, arena, out, err);
}

static int32_t order_of(const tn_parquet_new_page *pages, int64_t count) {
  const tn_parquet_stats *last = NULL;
  bool ascending = true, descending = true;
  for (int64_t i = 0; i < count; i++) {
    if (!pages[i].stats.seen) continue;
    if (last) {
      int min, max;
      tn_parquet_stats_compare(last, &pages[i].stats, &min, &max);
      ascending = ascending && min <= 0 && max <= 0;
      descending = descending && min >= 0 && max >= 0;
    }
    last = &pages[i].stats;
  }
  return ascending    ? TN_PARQUET_ASCENDING
         : descending ? TN_PARQUET_DESCENDING
                      : TN_PARQUET_UNORDERED;
}

/* TN_END: a page has values, but nothing can be said about them. */
static tn_status fill_page(const tn_parquet_new_page *page, uint32_t i, tn_arena *scratch,
                           tn_parquet_column_index *index, tn_error *err) {
  index->null_pages[i] = page->nulls == page->header.values;
  index->nulls[i] = page->nulls;
  if (index->null_pages[i]) return TN_OK;
  tn_parquet_range range = {0};
  char *room = tn_arena_alloc(scratch, 2, TN_PARQUET_STATS_BYTES);
  if (!room) return no_memory(err);
  tn_parquet_stats_range(&page->stats, room, &range);
  if (!range.present) return TN_END;
  index->min[i] = range.min;
  index->max[i] = range.max;
  return TN_OK;
}

static tn_status column_index(const tn_parquet_column_writer *w, int64_t first, tn_arena *arena,
                              tn_arena *scratch, tn_str *out, tn_error *err) {
  const tn_parquet_new_page *pages = w->pages ? w->pages + first : NULL;
  size_t count = (size_t)(w->page_count - first);
  tn_parquet_column_index index = {.page_count = (uint32_t)count};
  index.null_pages = tn_arena_alloc(scratch, count, sizeof *index.null_pages);
  index.min = tn_arena_alloc(scratch, count, sizeof *index.min);
  index.max = tn_arena_alloc(scratch, count, sizeof *index.max);
  index.nulls = tn_arena_alloc(scratch, count, sizeof *index.nulls);
  if (!index.null_pages || !index.min || !index.max || !index.nulls) return no_memory(err);
  for (uint32_t i = 0; i < count; i++) {
    tn_status status = fill_page(&pages[i], i, scratch, &index, err);
    if (status == TN_END) return TN_OK;
    TN_TRY(status);
  }
  index.order = order_of(pages, (int64_t)count);
  tn_strbuf text = {0};
  tn_parquet_column_index_write(&index, &text);
  return keep(&text, arena, out, err);
}

tn_status tn_parquet_page_index_of(const tn_parquet_column_writer *w, int64_t at, tn_arena *arena,
                                   tn_str *column, tn_str *offset, tn_error *err) {
  tn_arena scratch = {0};
  int64_t first = w->has_dictionary ? 1 : 0;
  *column = *offset = (tn_str){0};
  tn_status status = offset_index(w, at, first, arena, &scratch, offset, err);
  if (status == TN_OK) status = column_index(w, first, arena, &scratch, column, err);
  tn_arena_clear(&scratch);
  return status;
}

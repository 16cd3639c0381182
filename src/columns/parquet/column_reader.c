/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/column_reader.h"

#include "columns/parquet/bits.h"
#include "columns/parquet/level_masks.h"

enum { AHEAD = 4096, ENTRIES_MAX = 1 << 28, HINT_BYTES_MAX = 64 << 20 };
enum { LEND_SHARE = 4 }; /* of a page, at least, is lent */
enum { SPAN_BYTES_MAX = 4 << 20, HINT_BYTES_MORE = 4096 };

bool tn_parquet_leaf_is_flat(const tn_parquet_leaf *leaf) {
  return leaf->max_rep == 0 && leaf->max_def == (leaf->nullable || leaf->is_key ? 1 : 0);
}

void tn_parquet_part_clear(tn_parquet_part *part) {
  tn_parquet_slots_clear(&part->slots);
  tn_parquet_bytes_clear(&part->defs);
  tn_parquet_bytes_clear(&part->reps);
  *part = (tn_parquet_part){0};
}

void tn_parquet_column_reader_clear(tn_parquet_column_reader *r) {
  tn_parquet_pages_clear(&r->pages);
  tn_parquet_dictionary_clear(&r->dictionary);
  tn_parquet_values_clear(&r->values);
  tn_free(r->ahead_defs);
  tn_free(r->ahead_reps);
  *r = (tn_parquet_column_reader){0};
}

/* ---- pages ----------------------------------------------------------------------------------- */

static tn_status make_ahead(tn_parquet_column_reader *r, tn_error *err) {
  if (!r->ahead_defs) r->ahead_defs = tn_alloc(AHEAD, 1);
  if (!r->ahead_reps) r->ahead_reps = tn_alloc(AHEAD, 1);
  return r->ahead_defs && r->ahead_reps ? TN_OK : tn_fail_memory(err, "levels", AHEAD);
}

tn_status tn_parquet_column_reader_start(tn_parquet_column_reader *r,
                                         const tn_parquet_chunk_meta *chunk, int64_t rows,
                                         int64_t at, int64_t end,
                                         const tn_parquet_offset_index *index, tn_error *err) {
  TN_TRY(tn_parquet_codec_check(chunk->codec, err));
  if (!tn_parquet_leaf_is_flat(r->leaf)) TN_TRY(make_ahead(r, err));
  if (r->leaf->max_rep == 0 ? chunk->values != rows : chunk->values < rows) {
    return tn_fail(err, TN_ERR_DATA, "%lld values in a row group of %lld rows",
                   (long long)chunk->values, (long long)rows);
  }
  tn_parquet_dictionary_reset(&r->dictionary);
  r->pages.codec = chunk->codec;
  r->pages.max_def = r->leaf->max_def;
  r->pages.max_rep = r->leaf->max_rep;
  r->chunk_at = at;
  r->chunk_end = end;
  r->chunk_left = r->chunk_values = chunk->values;
  r->page_left = r->ahead_at = r->ahead_count = 0;
  r->row = 0;
  r->rows = rows;
  r->jumped = false;
  r->index = index && index->page_count > 0 ? index : NULL;
  r->index_page = 0;
  tn_parquet_pages_start(&r->pages, at, end);
  return TN_OK;
}

static tn_status load_dictionary(tn_parquet_column_reader *r, const tn_parquet_page *page,
                                 tn_error *err) {
  if (r->dictionary.loaded || r->chunk_left != r->chunk_values) {
    return tn_fail(err, TN_ERR_DATA, "a dictionary page that is not the chunk's first page");
  }
  return tn_parquet_dictionary_load(&r->dictionary, r->leaf, page, err);
}

static void start_levels(tn_parquet_levels *levels, const uint8_t *bytes, size_t count, uint8_t max,
                         int32_t encoding) {
  int32_t width = tn_parquet_level_width(max);
  if (encoding == TN_PARQUET_BIT_PACKED) {
    tn_parquet_levels_init_msb(levels, bytes, count, width);
  } else {
    tn_parquet_levels_init(levels, bytes, count, width);
  }
}

static tn_status check_page(const tn_parquet_column_reader *r, const tn_parquet_page_header *h,
                            tn_error *err) {
  bool v2 = h->type == TN_PARQUET_PAGE_DATA_V2;
  if (h->values > r->chunk_left) {
    return tn_fail(err, TN_ERR_DATA, "the page has %d values, its column chunk %lld more",
                   h->values, (long long)r->chunk_left);
  }
  if (r->leaf->max_def == 0 && v2 && h->nulls != 0) {
    return tn_fail(err, TN_ERR_DATA, "%d nulls in a required column", h->nulls);
  }
  if (v2 && (h->rows < 0 || h->rows > h->values || h->nulls > h->values)) {
    return tn_fail(err, TN_ERR_DATA, "%d rows and %d nulls in a page of %d values", h->rows,
                   h->nulls, h->values);
  }
  return TN_OK;
}

/* Rows of a data page by its header; -1: only its levels tell. */
static int64_t rows_of(const tn_parquet_column_reader *r, const tn_parquet_page_header *h) {
  if (r->leaf->max_rep == 0) return h->values;
  return h->type == TN_PARQUET_PAGE_DATA_V2 ? h->rows : -1;
}

/* By the index the page that comes next holds as many rows as lie between it and its neighbour. */
static tn_status check_index(tn_parquet_column_reader *r, const tn_parquet_page_header *h,
                             tn_error *err) {
  if (!r->jumped) return TN_OK;
  const tn_parquet_page_location *pages = r->index->pages;
  int64_t p = r->index_page++;
  if (p >= (int64_t)r->index->page_count) {
    return tn_fail(err, TN_ERR_DATA, "a page that the offset index does not have");
  }
  int64_t next = p + 1 < (int64_t)r->index->page_count ? pages[p + 1].first_row : r->rows;
  int64_t rows = rows_of(r, h);
  if (rows < 0 || rows == next - pages[p].first_row) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "the page has %lld rows, the offset index says %lld",
                 (long long)rows, (long long)(next - pages[p].first_row));
}

static tn_status start_data_page(tn_parquet_column_reader *r, const tn_parquet_page *page,
                                 tn_error *err) {
  const tn_parquet_page_header *h = &page->header;
  TN_TRY(check_page(r, h, err));
  TN_TRY(check_index(r, h, err));
  TN_TRY(tn_parquet_values_start(&r->values, r->leaf, &r->dictionary, page, err));
  if (r->leaf->max_def) {
    start_levels(&r->defs, page->defs, page->def_bytes, r->leaf->max_def, h->level_encoding);
  }
  if (r->leaf->max_rep) {
    start_levels(&r->reps, page->reps, page->rep_bytes, r->leaf->max_rep, h->rep_encoding);
  }
  r->whole_rows = h->type == TN_PARQUET_PAGE_DATA_V2 || r->index;
  r->page_left = r->page_values = h->values;
  r->chunk_left -= h->values;
  r->page_offset = page->offset;
  return TN_OK;
}

static tn_status in_page(const tn_parquet_column_reader *r, tn_status status, tn_error *err) {
  if (status == TN_OK || status == TN_FULL) return status;
  return tn_error_context(err, status, "page at byte %lld", (long long)r->page_offset);
}

static tn_status chunk_ends_early(const tn_parquet_column_reader *r, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "the column chunk ends after %lld of %lld values",
                 (long long)(r->chunk_values - r->chunk_left), (long long)r->chunk_values);
}

/* The body of the page whose header was read. */
static tn_status take_page(tn_parquet_column_reader *r, tn_parquet_page *page, tn_error *err) {
  TN_TRY(tn_parquet_pages_body(&r->pages, page, err));
  r->page_offset = page->offset;
  bool dictionary = page->header.type == TN_PARQUET_PAGE_DICTIONARY;
  return in_page(r, dictionary ? load_dictionary(r, page, err) : start_data_page(r, page, err),
                 err);
}

/* Until a data page with entries is there.  TN_END: the chunk is done. */
static tn_status next_data_page(tn_parquet_column_reader *r, tn_error *err) {
  tn_parquet_page page;
  while (r->page_left == 0) {
    if (r->chunk_left == 0) return TN_END;
    tn_status status = tn_parquet_pages_header(&r->pages, &page, err);
    if (status == TN_END) return r->jumped ? TN_END : chunk_ends_early(r, err);
    TN_TRY(status);
    TN_TRY(take_page(r, &page, err));
  }
  return TN_OK;
}

/* ---- flat columns ---------------------------------------------------------------------------- */

static tn_status levels_end_early(const char *what, int64_t want, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "%s levels end before their next %lld values", what,
                 (long long)want);
}

/* Values that lie in the page as they lie in an array, byte after byte, need not be copied.  Few of
 * them would hold the whole page's memory for too little. */
static tn_status borrow_page(tn_parquet_column_reader *r, const tn_parquet_slots *s, int64_t rows,
                             tn_error *err) {
  tn_parquet_values *v = &r->values;
  if (v->encoding != TN_PARQUET_DELTA_LENGTH_BYTE_ARRAY || s->data.length > 0) return TN_OK;
  if (rows < r->page_values / LEND_SHARE) return TN_OK;
  return tn_parquet_pages_lend(&r->pages, v->at, &v->delta_bytes.lender, err);
}

static tn_status read_flat_page(tn_parquet_column_reader *r, tn_parquet_slots *s, int64_t rows,
                                tn_error *err) {
  int64_t count = rows;
  TN_TRY(borrow_page(r, s, rows, err));
  TN_TRY(tn_parquet_slots_reserve(s, rows, err));
  if (r->leaf->max_def &&
      !tn_parquet_levels_read_bits(&r->defs, s->valid.data, s->count, rows, &count)) {
    return levels_end_early("definition", rows, err);
  }
  TN_TRY(tn_parquet_values_read(&r->values, s, count, err));
  tn_parquet_slots_add(s, rows, count);
  return TN_OK;
}

static tn_status skip_flat_page(tn_parquet_column_reader *r, int64_t rows, tn_error *err) {
  int64_t count = rows;
  if (r->leaf->max_def) {
    uint8_t bits[AHEAD / 8];
    int64_t ones;
    count = 0;
    for (int64_t left = rows; left > 0;) {
      int64_t n = left < AHEAD ? left : AHEAD;
      if (!tn_parquet_levels_read_bits(&r->defs, bits, 0, n, &ones)) {
        return levels_end_early("definition", n, err);
      }
      count += ones;
      left -= n;
    }
  }
  return tn_parquet_values_skip(&r->values, count, err);
}

/* `s` NULL: the rows are passed over. */
static tn_status flat_rows(tn_parquet_column_reader *r, int64_t rows, tn_parquet_slots *s,
                           tn_error *err) {
  while (rows > 0) {
    tn_status status = next_data_page(r, err);
    if (status == TN_END) return chunk_ends_early(r, err);
    TN_TRY(status);
    int64_t n = rows < r->page_left ? rows : r->page_left;
    TN_TRY(in_page(r, s ? read_flat_page(r, s, n, err) : skip_flat_page(r, n, err), err));
    r->page_left -= n;
    r->row += n;
    rows -= n;
  }
  return TN_OK;
}

/* ---- columns whose levels count -------------------------------------------------------------- */

static tn_status check_levels(const uint8_t *levels, int64_t count, uint8_t max, const char *what,
                              tn_error *err) {
  uint8_t most = 0;
  for (int64_t i = 0; i < count; i++) most = levels[i] > most ? levels[i] : most;
  if (most <= max) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "a %s level of %d, the schema has at most %d", what, most, max);
}

static tn_status decode_ahead(tn_parquet_column_reader *r, int64_t n, tn_error *err) {
  uint8_t max_def = r->leaf->max_def, max_rep = r->leaf->max_rep;
  if (max_rep) {
    if (!tn_parquet_levels_read_u8(&r->reps, r->ahead_reps, n)) {
      return levels_end_early("repetition", n, err);
    }
    TN_TRY(check_levels(r->ahead_reps, n, max_rep, "repetition", err));
  }
  if (max_def) {
    if (!tn_parquet_levels_read_u8(&r->defs, r->ahead_defs, n)) {
      return levels_end_early("definition", n, err);
    }
    TN_TRY(check_levels(r->ahead_defs, n, max_def, "definition", err));
  }
  r->ahead_at = 0;
  r->ahead_count = (int32_t)n;
  r->page_left -= n;
  return TN_OK;
}

/* Makes sure that some entries of the current page are decoded.  TN_END: none is left. */
static tn_status look_ahead(tn_parquet_column_reader *r, tn_error *err) {
  if (r->ahead_at < r->ahead_count) return TN_OK;
  TN_TRY(next_data_page(r, err));
  return in_page(r, decode_ahead(r, r->page_left < AHEAD ? r->page_left : AHEAD, err), err);
}

/* How many of the entries ahead belong to the present row and the `rows` behind it. */
static int64_t entries_of_rows(const tn_parquet_column_reader *r, int64_t *rows) {
  int64_t n = r->ahead_count - r->ahead_at, i = 0;
  const uint8_t *reps = r->ahead_reps + r->ahead_at;
  if (r->leaf->max_rep == 0) {
    if (n > *rows) n = *rows;
    *rows -= n;
    return n;
  }
  for (; i < n; i++) {
    if (reps[i]) continue;
    if (*rows == 0) break;
    --*rows;
  }
  return i;
}

/* How many of these entries have a slot, and how many a value. */
static void count_entries(const tn_parquet_leaf *leaf, const uint8_t *defs, int64_t n,
                          int64_t *slots, int64_t *values) {
  *values = tn_parquet_levels_count(defs, n, leaf->max_def);
  *slots = leaf->slot_def ? tn_parquet_levels_count(defs, n, leaf->slot_def) : n;
}

static void mark_valid(const tn_parquet_leaf *leaf, const uint8_t *defs, int64_t n,
                       tn_parquet_slots *s) {
  int64_t at = s->count;
  if (leaf->slot_def == 0) {
    tn_parquet_levels_mask(defs, n, leaf->max_def, s->valid.data, at);
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    if (defs[i] < leaf->slot_def) continue;
    tn_bit_put(s->valid.data, at++, defs[i] >= leaf->max_def);
  }
}

static tn_status read_entries(tn_parquet_column_reader *r, const uint8_t *defs, const uint8_t *reps,
                              int64_t n, tn_parquet_part *part, tn_error *err) {
  tn_parquet_slots *s = &part->slots;
  int64_t slots, values;
  count_entries(r->leaf, defs, n, &slots, &values);
  if (part->entries > ENTRIES_MAX - n) return TN_FULL;
  TN_TRY(tn_parquet_bytes_append(&part->defs, defs, (size_t)n, err));
  if (r->leaf->max_rep) TN_TRY(tn_parquet_bytes_append(&part->reps, reps, (size_t)n, err));
  part->entries += n;
  TN_TRY(tn_parquet_slots_reserve(s, slots, err));
  mark_valid(r->leaf, defs, n, s);
  TN_TRY(tn_parquet_values_read(&r->values, s, values, err));
  tn_parquet_slots_add(s, slots, values);
  return TN_OK;
}

static tn_status skip_entries(tn_parquet_column_reader *r, const uint8_t *defs, int64_t n,
                              tn_error *err) {
  int64_t slots, values;
  count_entries(r->leaf, defs, n, &slots, &values);
  return tn_parquet_values_skip(&r->values, values, err);
}

static tn_status rows_end_early(const tn_parquet_column_reader *r, int64_t rows, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "the column chunk ends %lld rows before the row group's %lld",
                 (long long)rows, (long long)r->rows);
}

/* `part` NULL: the rows are passed over. */
static tn_status deep_rows(tn_parquet_column_reader *r, int64_t rows, tn_parquet_part *part,
                           tn_error *err) {
  int64_t left = rows;
  bool inside = false; /* a row has begun */
  for (;;) {
    bool page_done = r->ahead_at == r->ahead_count && r->page_left == 0;
    if (left == 0 && (r->leaf->max_rep == 0 || (page_done && r->whole_rows && inside))) break;
    tn_status status = look_ahead(r, err);
    if (status == TN_END && left == 0) break;
    if (status == TN_END) return rows_end_early(r, left, err);
    TN_TRY(status);
    const uint8_t *defs = r->ahead_defs + r->ahead_at, *reps = r->ahead_reps + r->ahead_at;
    if (!inside && r->leaf->max_rep && reps[0] != 0) {
      return in_page(r, tn_fail(err, TN_ERR_DATA, "a row begins with repetition level %d", reps[0]),
                     err);
    }
    int64_t n = entries_of_rows(r, &left);
    if (n == 0) break; /* the next row begins here */
    TN_TRY(in_page(
        r, part ? read_entries(r, defs, reps, n, part, err) : skip_entries(r, defs, n, err), err));
    r->ahead_at += (int32_t)n;
    inside = true;
  }
  r->row += rows;
  return TN_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Behind the last row nothing may be left. */
static tn_status check_end(const tn_parquet_column_reader *r, tn_error *err) {
  int64_t left = r->ahead_count - r->ahead_at + r->page_left + (r->jumped ? 0 : r->chunk_left);
  if (r->row < r->rows || left == 0) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%lld values behind the row group's last row", (long long)left);
}

/* Room for about as many bytes as rows had before, so that a part seldom grows. */
static tn_status reserve_bytes(tn_parquet_column_reader *r, int64_t rows, tn_parquet_slots *s,
                               tn_error *err) {
  double want = r->bytes_a_row * (double)rows * 1.125;
  if (want < 1 || want > HINT_BYTES_MAX) return TN_OK;
  want += HINT_BYTES_MORE; /* decoders reserve ahead */
  tn_parquet_spare_take(s->spare, &s->data, (size_t)want);
  return tn_parquet_bytes_reserve(&s->data, (size_t)want, err);
}

tn_status tn_parquet_column_reader_read(tn_parquet_column_reader *r, int64_t rows,
                                        tn_parquet_part *part, tn_error *err) {
  tn_parquet_slots *s = &part->slots;
  if (!s->leaf) {
    tn_parquet_slots_start(s, r->leaf);
    s->spare = r->spare;
    s->interner = r->interner;
  }
  if (rows == 0) return TN_OK;
  if (rows > r->rows - r->row) return rows_end_early(r, rows - (r->rows - r->row), err);
  size_t before = s->data.length;
  bool borrows = r->values.encoding == TN_PARQUET_DELTA_LENGTH_BYTE_ARRAY; /* the page before did */
  if (tn_parquet_slots_are_bytes(r->leaf) && !borrows) TN_TRY(reserve_bytes(r, rows, s, err));
  TN_TRY(tn_parquet_leaf_is_flat(r->leaf) ? flat_rows(r, rows, &part->slots, err)
                                          : deep_rows(r, rows, part, err));
  r->bytes_a_row = (double)(s->data.length - before) / (double)rows;
  return check_end(r, err);
}

void tn_parquet_column_reader_look_ahead(tn_parquet_column_reader *r, int64_t rows,
                                         size_t bytes_max) {
  if (rows > r->rows - r->row) rows = r->rows - r->row;
  if (rows <= 0) return;
  double values = (double)rows * (double)r->chunk_values / (double)r->rows;
  int64_t at_hand = r->page_left + r->ahead_count - r->ahead_at;
  tn_parquet_pages_look_ahead(&r->pages, (int64_t)values + 1 - at_hand, bytes_max);
}

int64_t tn_parquet_column_reader_page_rows(const tn_parquet_column_reader *r, int64_t row) {
  int64_t end = r->row + r->page_left;
  if (r->leaf->max_rep > 0) return 0;
  for (int32_t i = r->pages.ahead_at; i < r->pages.ahead_count && end <= row; i++) {
    const tn_parquet_page_header *h = &r->pages.ahead[i].page.header;
    if (h->type != TN_PARQUET_PAGE_DICTIONARY) end += h->values;
  }
  return end > row && end <= r->rows ? end - row : 0;
}

/* ---- passing rows over ----------------------------------------------------------------------- */

/* The dictionary page lies before the first data page. */
static tn_status load_dictionary_first(tn_parquet_column_reader *r, tn_error *err) {
  tn_parquet_page page;
  int64_t first = r->index->pages[0].offset;
  if (r->dictionary.loaded || first <= r->chunk_at) return TN_OK;
  tn_parquet_pages_start(&r->pages, r->chunk_at, first < r->chunk_end ? first : r->chunk_end);
  tn_status status = tn_parquet_pages_header(&r->pages, &page, err);
  if (status == TN_END) return TN_OK;
  TN_TRY(status);
  if (page.header.type != TN_PARQUET_PAGE_DICTIONARY) return TN_OK;
  r->chunk_left = r->chunk_values;
  return take_page(r, &page, err);
}

static int64_t page_of_row(const tn_parquet_offset_index *index, int64_t row) {
  int64_t low = 0, high = (int64_t)index->page_count - 1;
  while (low < high) { /* the last page that begins at or before the row */
    int64_t middle = low + (high - low + 1) / 2;
    if (index->pages[middle].first_row <= row) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

/* Reads at once what lies between here and the end of the last page with one of `rows` rows from
 * `row` on, and nothing behind it. */
static void see_rows(tn_parquet_column_reader *r, int64_t row, int64_t rows) {
  const tn_parquet_page_location *last =
      &r->index->pages[page_of_row(r->index, row + (rows > 0 ? rows - 1 : 0))];
  if (last->offset < r->pages.at || last->offset >= r->chunk_end || last->bytes <= 0) return;
  int64_t bytes = last->offset - r->pages.at + last->bytes;
  r->pages.window_bytes = bytes < SPAN_BYTES_MAX ? bytes : SPAN_BYTES_MAX;
}

/* Goes to the page that holds `row`, when the index shows that it is one ahead of this one. */
static tn_status jump(tn_parquet_column_reader *r, int64_t row, tn_error *err) {
  int64_t p = page_of_row(r->index, row);
  const tn_parquet_page_location *page = &r->index->pages[p];
  if (page->first_row <= r->row) return TN_OK;
  if (page->offset < r->chunk_at || page->offset >= r->chunk_end) {
    return tn_fail(err, TN_ERR_DATA, "the offset index has a page at byte %lld, outside its chunk",
                   (long long)page->offset);
  }
  TN_TRY(load_dictionary_first(r, err));
  tn_parquet_pages_start(&r->pages, page->offset, r->chunk_end);
  r->page_left = r->ahead_at = r->ahead_count = 0;
  r->chunk_left = r->chunk_values;
  r->pages.ordinal = p;
  r->jumped = true;
  r->index_page = p;
  r->row = page->first_row;
  return TN_OK;
}

/* Passes over pages that end before `row`, as far as their headers tell how many rows they have. */
static tn_status pass_pages(tn_parquet_column_reader *r, int64_t row, tn_error *err) {
  tn_parquet_page page;
  bool between = r->page_left == 0 && r->ahead_at == r->ahead_count;
  while (between && r->chunk_left > 0 && r->row < row) {
    tn_status status = tn_parquet_pages_header(&r->pages, &page, err);
    if (status == TN_END) return chunk_ends_early(r, err);
    TN_TRY(status);
    bool data = page.header.type != TN_PARQUET_PAGE_DICTIONARY;
    int64_t rows = rows_of(r, &page.header);
    if (!data || rows < 0 || r->row + rows > row) {
      TN_TRY(take_page(r, &page, err));
      between = r->page_left == 0;
      continue;
    }
    TN_TRY(check_page(r, &page.header, err));
    TN_TRY(check_index(r, &page.header, err));
    tn_parquet_pages_pass(&r->pages, &page);
    r->chunk_left -= page.header.values;
    r->row += rows;
  }
  return TN_OK;
}

/* Rows of the current page that are certainly in it. */
static int64_t rows_at_hand(const tn_parquet_column_reader *r) {
  int64_t entries = r->page_left + r->ahead_count - r->ahead_at;
  return r->leaf->max_rep == 0 || entries == 0 ? entries : 1;
}

tn_status tn_parquet_column_reader_seek(tn_parquet_column_reader *r, int64_t row, int64_t rows,
                                        tn_error *err) {
  bool flat = tn_parquet_leaf_is_flat(r->leaf);
  if (row < r->row || row > r->rows) {
    return tn_fail(err, TN_ERR_ARGUMENT, "row %lld of a row group of %lld, behind row %lld",
                   (long long)row, (long long)r->rows, (long long)r->row);
  }
  if (row == r->rows) { /* nothing of this group is wanted any more */
    return TN_OK;
  }
  if (r->index && row > r->row) TN_TRY(jump(r, row, err));
  if (r->index) see_rows(r, row, rows);
  while (r->row < row) {
    TN_TRY(pass_pages(r, row, err));
    int64_t n = rows_at_hand(r);
    if (r->row == row) break;
    if (n == 0) n = 1;
    if (n > row - r->row) n = row - r->row;
    TN_TRY(flat ? flat_rows(r, n, NULL, err) : deep_rows(r, n, NULL, err));
  }
  return TN_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/column_reader.h"

#include "columns/parquet/bits.h"
#include "columns/parquet/plain.h"

enum { INDICES_AT_ONCE = 2048 };

/* The array under construction. */
typedef struct column_batch {
  tn_buffer *valid;  /* optional columns */
  tn_buffer *values; /* or offsets */
  tn_parquet_bytes data;
  int64_t nulls;
} column_batch;

/* ---- pages ----------------------------------------------------------------------------------- */

void tn_parquet_column_reader_clear(tn_parquet_column_reader *r) {
  tn_parquet_pages_clear(&r->pages);
  tn_parquet_dictionary_clear(&r->dictionary);
  *r = (tn_parquet_column_reader){0};
}

tn_status tn_parquet_column_reader_start(tn_parquet_column_reader *r,
                                         const tn_parquet_chunk_meta *chunk, int64_t at,
                                         int64_t end, tn_error *err) {
  TN_TRY(tn_parquet_codec_check(chunk->codec, err));
  tn_parquet_dictionary_reset(&r->dictionary);
  r->pages.codec = chunk->codec;
  r->pages.optional = r->leaf->nullable;
  r->page_left = 0;
  r->offsets = NULL;
  r->next_page = 0;
  r->chunk_left = r->chunk_values = chunk->values;
  tn_parquet_pages_start(&r->pages, at, end);
  return TN_OK;
}

static tn_status unsupported_encoding(const tn_parquet_column_reader *r, tn_error *err) {
  const char *name = tn_parquet_encoding_name(r->encoding);
  if (!name) return tn_fail(err, TN_ERR_DATA, "encoding number %d is unknown", r->encoding);
  return tn_fail(err, TN_ERR_UNSUPPORTED, "encoding %s of %s values is not supported", name,
                 tn_parquet_physical_name(r->leaf->element->physical));
}

static tn_status start_indices(tn_parquet_column_reader *r, const tn_parquet_page *page,
                               tn_error *err) {
  if (!r->dictionary.loaded) return tn_fail(err, TN_ERR_DATA, "no dictionary page came before");
  /* Without a byte there is no width; a page of nulls needs none. */
  int32_t width = page->value_bytes ? page->values[0] : 1;
  size_t skip = page->value_bytes ? 1 : 0;
  if (width > 32) return tn_fail(err, TN_ERR_DATA, "dictionary indices of %d bits", width);
  tn_parquet_levels_init(&r->indices, page->values + skip, page->value_bytes - skip, width);
  return TN_OK;
}

static tn_status start_rle(tn_parquet_column_reader *r, const tn_parquet_page *page,
                           tn_error *err) {
  size_t bytes = page->value_bytes < 4 ? 0 : tn_load_u32(page->values);
  size_t room = page->value_bytes < 4 ? 0 : page->value_bytes - 4;
  if (bytes > room || (page->value_bytes > 0 && page->value_bytes < 4)) {
    return tn_fail(err, TN_ERR_DATA, "booleans want %zu bytes of a page of %zu", bytes,
                   page->value_bytes);
  }
  tn_parquet_levels_init(&r->indices, page->values + (page->value_bytes ? 4 : 0), bytes, 1);
  return TN_OK;
}

static tn_status start_values(tn_parquet_column_reader *r, const tn_parquet_page *page,
                              tn_error *err) {
  bool bits = r->leaf->form == TN_PARQUET_FORM_BITS;
  r->encoding = page->header.encoding;
  if (r->encoding == TN_PARQUET_PLAIN_DICTIONARY) r->encoding = TN_PARQUET_RLE_DICTIONARY;
  r->at = page->values;
  r->end = page->values + page->value_bytes;
  r->bit_at = 0;
  if (r->encoding == TN_PARQUET_PLAIN) return TN_OK;
  if (r->encoding == TN_PARQUET_RLE_DICTIONARY && !bits) return start_indices(r, page, err);
  if (r->encoding == TN_PARQUET_RLE && bits) return start_rle(r, page, err);
  return unsupported_encoding(r, err);
}

static tn_status start_data_page(tn_parquet_column_reader *r, const tn_parquet_page *page,
                                 tn_error *err) {
  const tn_parquet_page_header *h = &page->header;
  if (h->values > r->chunk_left) {
    return tn_fail(err, TN_ERR_DATA, "the page has %d values, its column chunk %lld more",
                   h->values, (long long)r->chunk_left);
  }
  if (!r->leaf->nullable && h->nulls != 0) {
    return tn_fail(err, TN_ERR_DATA, "%d nulls in a required column", h->nulls);
  }
  TN_TRY(start_values(r, page, err));
  if (r->leaf->nullable) tn_parquet_levels_init(&r->levels, page->levels, page->level_bytes, 1);
  r->page_left = h->values;
  r->chunk_left -= h->values;
  r->page_offset = page->offset;
  return TN_OK;
}

/* Rows of page k by the offset index. */
static int64_t rows_of_page(const tn_parquet_column_reader *r, uint32_t k) {
  const tn_parquet_offset_index *o = r->offsets;
  int64_t end = k + 1 < o->page_count ? o->pages[k + 1].first_row : r->chunk_values;
  return end - o->pages[k].first_row;
}

/* Points the pages at the next one, and at nothing else; before the first: at the dictionary. */
static tn_status aim(tn_parquet_column_reader *r, tn_error *err) {
  const tn_parquet_offset_index *o = r->offsets;
  if (r->next_page == 0 && !r->dictionary.loaded && o->page_count > 0 &&
      r->pages.at < o->pages[0].offset) {
    r->pages.end = o->pages[0].offset;
    return TN_OK;
  }
  if (r->next_page >= o->page_count)
    return tn_fail(err, TN_ERR_DATA, "the offset index has %u pages, the column chunk more",
                   o->page_count);
  const tn_parquet_page_location *page = &o->pages[r->next_page];
  tn_parquet_pages_start(&r->pages, page->offset, page->offset + page->bytes);
  r->pages.ordinal = r->next_page;
  return TN_OK;
}

static tn_status check_page_rows(tn_parquet_column_reader *r, const tn_parquet_page *page,
                                 tn_error *err) {
  int64_t rows = rows_of_page(r, r->next_page++);
  if (page->header.values == rows) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "the page has %d rows, the offset index says %lld",
                 page->header.values, (long long)rows);
}

static tn_status next_data_page(tn_parquet_column_reader *r, tn_error *err) {
  tn_parquet_page page;
  if (r->offsets) TN_TRY(aim(r, err));
  tn_status status = tn_parquet_pages_next(&r->pages, &page, err);
  if (status == TN_END) {
    return tn_fail(err, TN_ERR_DATA, "the column chunk ends after %lld of %lld values",
                   (long long)(r->chunk_values - r->chunk_left), (long long)r->chunk_values);
  }
  TN_TRY(status);
  if (page.header.type == TN_PARQUET_PAGE_DICTIONARY) {
    if (r->dictionary.loaded || r->chunk_left != r->chunk_values) {
      status = tn_fail(err, TN_ERR_DATA, "a dictionary page that is not the chunk's first page");
    } else {
      status = tn_parquet_dictionary_load(&r->dictionary, r->leaf, &page, err);
    }
  } else {
    status = start_data_page(r, &page, err);
    if (status == TN_OK && r->offsets) status = check_page_rows(r, &page, err);
  }
  if (status == TN_OK) return TN_OK;
  return tn_error_context(err, status, "page at byte %lld", (long long)page.offset);
}

/* ---- values ---------------------------------------------------------------------------------- */

static tn_status values_end_early(int64_t want, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "the page ends before its next %lld values", (long long)want);
}

static tn_status read_plain(tn_parquet_column_reader *r, column_batch *b, int64_t row,
                            int64_t count, tn_error *err) {
  const tn_parquet_leaf *leaf = r->leaf;
  if (leaf->form == TN_PARQUET_FORM_BITS) {
    if (count > (r->end - r->at) * 8 - r->bit_at) return values_end_early(count, err);
    tn_bits_copy(b->values->data, row, r->at, r->bit_at, count);
    r->bit_at += count;
    return TN_OK;
  }
  if (leaf->form == TN_PARQUET_FORM_BYTES || leaf->form == TN_PARQUET_FORM_FIXED) {
    int32_t fixed = leaf->form == TN_PARQUET_FORM_FIXED ? leaf->element->length : -1;
    int32_t *offsets = (int32_t *)b->values->data + row + 1;
    return tn_parquet_plain_bytes(&r->at, r->end, fixed, count, offsets, &b->data, err);
  }
  int64_t stored = tn_parquet_form_stored(leaf->form), width = tn_parquet_form_arrow(leaf->form);
  if (count > (r->end - r->at) / stored) return values_end_early(count, err);
  const uint8_t *in = r->at;
  r->at += count * stored;
  return tn_parquet_plain_fixed(leaf->form, in, count, (uint8_t *)b->values->data + row * width,
                                err);
}

static tn_status read_indices(tn_parquet_column_reader *r, column_batch *b, int64_t row,
                              int64_t count, tn_error *err) {
  uint32_t indices[INDICES_AT_ONCE];
  int64_t width = tn_parquet_form_arrow(r->leaf->form);
  for (int64_t done = 0; done < count;) {
    int64_t n = count - done < INDICES_AT_ONCE ? count - done : INDICES_AT_ONCE;
    if (!tn_parquet_levels_read(&r->indices, indices, n)) return values_end_early(n, err);
    int64_t at = row + done;
    if (width > 0) {
      uint8_t *out = (uint8_t *)b->values->data + at * width;
      TN_TRY(tn_parquet_dictionary_fixed(&r->dictionary, indices, n, out, err));
    } else {
      int32_t *offsets = (int32_t *)b->values->data + at + 1;
      TN_TRY(tn_parquet_dictionary_bytes(&r->dictionary, indices, n, offsets, &b->data, err));
    }
    done += n;
  }
  return TN_OK;
}

static tn_status read_values(tn_parquet_column_reader *r, column_batch *b, int64_t row,
                             int64_t count, tn_error *err) {
  int64_t ones;
  if (r->encoding == TN_PARQUET_PLAIN) return read_plain(r, b, row, count, err);
  if (r->encoding == TN_PARQUET_RLE_DICTIONARY) return read_indices(r, b, row, count, err);
  if (tn_parquet_levels_read_bits(&r->indices, b->values->data, row, count, &ones)) return TN_OK;
  return values_end_early(count, err);
}

/* ---- nulls: the values stand densely at `row` and move to their rows, last first
 * ----------------- */

#define SPREAD(type)                                           \
  do {                                                         \
    type *to = (type *)b->values->data + row;                  \
    for (int64_t i = rows - 1, left = count; left <= i; i--) { \
      type bit = (type)tn_bit_get(valid, row + i);             \
      left -= (int64_t)bit;                                    \
      to[i] = (type)(to[left] & (type)(0 - bit));              \
    }                                                          \
  } while (0)

static void spread_bits(uint8_t *bits, const uint8_t *valid, int64_t row, int64_t rows,
                        int64_t count) {
  for (int64_t i = rows - 1; count <= i; i--) {
    bool is_valid = tn_bit_get(valid, row + i);
    if (is_valid) count--;
    tn_bit_put(bits, row + i, is_valid && tn_bit_get(bits, row + count));
  }
}

/* ends[0..count) are the dense values' ends, ends[-1] is where they start. */
static void spread_ends(int32_t *ends, const uint8_t *valid, int64_t row, int64_t rows,
                        int64_t count) {
  for (int64_t i = rows - 1; count <= i; i--) {
    ends[i] = ends[count - 1]; /* a null ends where the value before it ends */
    if (tn_bit_get(valid, row + i)) count--;
  }
}

static void spread(const tn_parquet_column_reader *r, column_batch *b, int64_t row, int64_t rows,
                   int64_t count) {
  const uint8_t *valid = b->valid->data;
  switch (tn_parquet_form_arrow(r->leaf->form)) {
    case 1:
      SPREAD(uint8_t);
      break;
    case 2:
      SPREAD(uint16_t);
      break;
    case 4:
      SPREAD(uint32_t);
      break;
    case 8:
      SPREAD(uint64_t);
      break;
    default:
      if (r->leaf->form == TN_PARQUET_FORM_BITS) {
        spread_bits(b->values->data, valid, row, rows, count);
      } else {
        spread_ends((int32_t *)b->values->data + row + 1, valid, row, rows, count);
      }
  }
}

/* ---- batches --------------------------------------------------------------------------------- */

static tn_status batch_init(const tn_parquet_column_reader *r, int64_t rows, column_batch *b,
                            tn_error *err) {
  size_t count = (size_t)rows, width = (size_t)tn_parquet_form_arrow(r->leaf->form);
  size_t bytes = tn_bits_bytes(rows);
  if (width) bytes = count * width;
  if (!width && r->leaf->form != TN_PARQUET_FORM_BITS) bytes = (count + 1) * sizeof(int32_t);
  if (r->leaf->nullable) TN_TRY(tn_buffer_new(&b->valid, tn_bits_bytes(rows), err));
  TN_TRY(tn_buffer_new(&b->values, bytes, err));
  return tn_parquet_bytes_reserve(&b->data, 0, err);
}

static void batch_clear(column_batch *b) {
  tn_buffer_drop(b->valid);
  tn_buffer_drop(b->values);
  tn_parquet_bytes_clear(&b->data);
}

static tn_status read_rows(tn_parquet_column_reader *r, column_batch *b, int64_t row, int64_t rows,
                           tn_error *err) {
  int64_t count = rows;
  if (r->leaf->nullable &&
      !tn_parquet_levels_read_bits(&r->levels, b->valid->data, row, rows, &count)) {
    return tn_fail(err, TN_ERR_DATA, "definition levels end before their next %lld values",
                   (long long)rows);
  }
  TN_TRY(read_values(r, b, row, count, err));
  if (count < rows) spread(r, b, row, rows, count);
  b->nulls += rows - count;
  return TN_OK;
}

static tn_status fill(tn_parquet_column_reader *r, column_batch *b, int64_t rows, tn_error *err) {
  for (int64_t row = 0; row < rows;) {
    if (r->page_left == 0) {
      TN_TRY(next_data_page(r, err));
      continue;
    }
    int64_t n = rows - row < r->page_left ? rows - row : r->page_left;
    tn_status status = read_rows(r, b, row, n, err);
    if (status != TN_OK) {
      return tn_error_context(err, status, "page at byte %lld", (long long)r->page_offset);
    }
    r->page_left -= n;
    row += n;
  }
  return TN_OK;
}

static void release_bytes(tn_buffer *buffer) {
  tn_free(buffer->data);
}

/* Hands the byte run over to a counted buffer; what was reserved in vain goes back. */
static tn_status wrap_data(column_batch *b, tn_buffer **out, tn_error *err) {
  if (b->data.capacity / 2 > b->data.length + 4096) {
    uint8_t *fit = tn_realloc(b->data.data, b->data.length + TN_PARQUET_SLACK, 1);
    if (fit) b->data.data = fit;
  }
  TN_TRY(tn_buffer_wrap(out, b->data.data, b->data.length, NULL, release_bytes, NULL, err));
  b->data = (tn_parquet_bytes){0};
  return TN_OK;
}

static tn_status finish(tn_parquet_column_reader *r, column_batch *b, int64_t rows, ArrowArray *out,
                        tn_error *err) {
  tn_parquet_form form = r->leaf->form;
  tn_buffer *data = NULL;
  if (form == TN_PARQUET_FORM_BYTES || form == TN_PARQUET_FORM_FIXED) {
    TN_TRY(wrap_data(b, &data, err));
  }
  tn_buffer *buffers[3] = {b->nulls ? b->valid : NULL, b->values, data};
  tn_status status = tn_array_wrap(out, r->leaf->type, rows, b->nulls, buffers, err);
  tn_buffer_drop(data);
  return status;
}

tn_status tn_parquet_column_reader_next(tn_parquet_column_reader *r, int64_t rows, ArrowArray *out,
                                        tn_error *err) {
  column_batch b = {0};
  tn_status status = batch_init(r, rows, &b, err);
  if (status == TN_OK) status = fill(r, &b, rows, err);
  if (status == TN_OK) status = finish(r, &b, rows, out, err);
  batch_clear(&b);
  return status;
}

/* Whole pages ahead that lie within `rows`; returns how many rows they have. */
static int64_t pass_pages(tn_parquet_column_reader *r, int64_t rows) {
  int64_t passed = 0;
  while (r->next_page < r->offsets->page_count) {
    int64_t in_page = rows_of_page(r, r->next_page);
    if (in_page > rows - passed) break;
    passed += in_page;
    r->next_page++;
  }
  r->chunk_left -= passed;
  return passed;
}

tn_status tn_parquet_column_reader_skip(tn_parquet_column_reader *r, int64_t rows, tn_error *err) {
  while (rows > 0) {
    /* The dictionary stands before the first page, and has to be read whatever is passed over. */
    bool before_first = r->offsets && r->next_page == 0 && !r->dictionary.loaded &&
                        r->offsets->page_count > 0 && r->pages.at < r->offsets->pages[0].offset;
    if (r->page_left == 0 && !before_first && r->offsets) rows -= pass_pages(r, rows);
    if (rows == 0) return TN_OK;
    if (r->page_left == 0) {
      TN_TRY(next_data_page(r, err));
      continue;
    }
    ArrowArray array;
    int64_t n = rows < r->page_left ? rows : r->page_left;
    TN_TRY(tn_parquet_column_reader_next(r, n, &array, err));
    tn_array_clear(&array);
    rows -= n;
  }
  return TN_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/column_writer.h"

#include "columns/parquet/bits.h"
#include "columns/parquet/levels.h"
#include "columns/parquet/plain.h"
#include "columns/parquet/schema.h"

enum {
  SLICE_ROWS = 2048,          /* added at once; bounds the scratch */
  TRIAL_VALUES = 16384,       /* then the dictionary must have shown repetition */
  PLAIN_GROUPS = 15,          /* how long a useless dictionary is not tried again */
  PAGE_BYTES_LIMIT = 1 << 30, /* what waits for a page never passes this by more than one value */
};

/* Non-null values of one slice, densely: exactly one of the three pointers is set. */
typedef struct value_slice {
  const void *fixed; /* stored form */
  const tn_str *bytes;
  const uint8_t *bits; /* booleans from bit 0 on */
  int64_t count;
  int64_t plain_bytes;
} value_slice;

void tn_parquet_column_writer_clear(tn_parquet_column_writer *w) {
  tn_parquet_interner_clear(&w->interner);
  tn_parquet_bytes_clear(&w->indices);
  tn_parquet_bytes_clear(&w->values);
  tn_parquet_bytes_clear(&w->rows.valid);
  tn_parquet_bytes_clear(&w->body);
  tn_parquet_bytes_clear(&w->scratch);
  tn_parquet_bytes_clear(&w->replay);
  tn_parquet_bytes_clear(&w->chunk);
}

static void rows_reset(tn_parquet_waiting *rows) {
  rows->valid.length = 0;
  rows->rows = rows->nulls = 0;
}

void tn_parquet_column_writer_start(tn_parquet_column_writer *w) {
  tn_parquet_element element;
  tn_parquet_element_for(w->type, w->name, w->nullable, &element);
  tn_parquet_interner_reset(&w->interner);
  w->interner.width = tn_parquet_stored_bytes(w->type);
  w->interner.bytes_max = (size_t)w->options->dictionary_bytes;
  w->indices.length = w->values.length = w->chunk.length = 0;
  rows_reset(&w->rows);
  w->plain_bytes = 0;
  w->in_dictionary = !w->options->no_dictionary && w->type != TN_COLUMN_BOOL;
  if (w->in_dictionary && w->plain_groups > 0) {
    w->plain_groups--;
    w->in_dictionary = false;
  }
  tn_parquet_stats_start(&w->stats, w->type);
  w->meta = (tn_parquet_chunk_meta){.name = w->name,
                                    .physical = element.physical,
                                    .codec = (int32_t)w->options->codec,
                                    .encodings = 1u << TN_PARQUET_RLE,
                                    .dictionary_offset = -1};
}

int64_t tn_parquet_column_writer_bytes(const tn_parquet_column_writer *w) {
  return (int64_t)(w->chunk.length + w->values.length + w->indices.length +
                   w->interner.values.length);
}

/* ---- pages ----------------------------------------------------------------------------------- */

static tn_status write_page(tn_parquet_column_writer *w, int32_t type, int32_t encoding,
                            int64_t values, const tn_parquet_bytes *body, tn_error *err) {
  int64_t uncompressed;
  tn_parquet_page_header header = {.type = type, .encoding = encoding, .values = (int32_t)values};
  TN_TRY(tn_parquet_page_write(&w->chunk, w->codecs, w->meta.codec, w->options->level, &header,
                               body, &uncompressed, err));
  w->meta.uncompressed_bytes += uncompressed;
  w->meta.encodings |= 1u << encoding;
  return TN_OK;
}

/* Starts `body` with the definition levels of `count` waiting rows from row `from` (a multiple of
 * 8). */
static tn_status put_levels(tn_parquet_column_writer *w, int64_t from, int64_t count,
                            tn_error *err) {
  w->body.length = 0;
  if (!w->nullable) return TN_OK;
  TN_TRY(tn_parquet_bytes_reserve(&w->body, 4, err));
  w->body.length = 4;
  TN_TRY(tn_parquet_levels_write_bits(&w->body, w->rows.valid.data + from / 8, count, err));
  tn_store_u32(w->body.data, (uint32_t)(w->body.length - 4));
  return TN_OK;
}

static tn_status flush_plain(tn_parquet_column_writer *w, tn_error *err) {
  if (w->rows.rows == 0) return TN_OK;
  TN_TRY(put_levels(w, 0, w->rows.rows, err));
  tn_parquet_bytes *body = &w->values; /* without levels the values are the page */
  if (w->nullable) {
    TN_TRY(tn_parquet_bytes_append(&w->body, w->values.data, w->values.length, err));
    body = &w->body;
  }
  TN_TRY(write_page(w, TN_PARQUET_PAGE_DATA, TN_PARQUET_PLAIN, w->rows.rows, body, err));
  w->values.length = 0;
  rows_reset(&w->rows);
  return TN_OK;
}

static int32_t index_width(uint32_t count) {
  return count <= 2 ? 1 : 32 - __builtin_clz(count - 1);
}

/* The dictionary page and the waiting indices, in pages of about page_bytes. */
static tn_status flush_dictionary(tn_parquet_column_writer *w, tn_error *err) {
  int32_t width = index_width(w->interner.count);
  int64_t page_rows = w->options->page_bytes * 8 / width / 64 * 64, rows = w->rows.rows;
  const uint32_t *indices = (const uint32_t *)(const void *)w->indices.data;
  if (page_rows < 64) page_rows = 64;
  w->meta.dictionary_offset = 0;
  TN_TRY(write_page(w, TN_PARQUET_PAGE_DICTIONARY, TN_PARQUET_PLAIN, w->interner.count,
                    &w->interner.values, err));
  w->meta.data_offset = (int64_t)w->chunk.length;
  for (int64_t from = 0; from < rows; from += page_rows) {
    int64_t n = rows - from < page_rows ? rows - from : page_rows, count = n;
    if (w->nullable) count = tn_bits_count(w->rows.valid.data, from, n);
    TN_TRY(put_levels(w, from, n, err));
    uint8_t width_byte = (uint8_t)width;
    TN_TRY(tn_parquet_bytes_append(&w->body, &width_byte, 1, err));
    TN_TRY(tn_parquet_levels_write(&w->body, indices, count, width, err));
    TN_TRY(write_page(w, TN_PARQUET_PAGE_DATA, TN_PARQUET_RLE_DICTIONARY, n, &w->body, err));
    indices += count;
  }
  w->indices.length = 0;
  rows_reset(&w->rows);
  return TN_OK;
}

/* ---- adding values --------------------------------------------------------------------------- */

static tn_status add_rows(tn_parquet_column_writer *w, const uint8_t *valid, int64_t from,
                          int64_t rows, int64_t count, tn_error *err) {
  if (w->nullable) {
    size_t bytes = tn_bits_bytes(w->rows.rows + rows);
    TN_TRY(tn_parquet_bytes_reserve(&w->rows.valid, bytes - w->rows.valid.length, err));
    w->rows.valid.length = bytes;
    if (count == rows) {
      tn_bits_fill(w->rows.valid.data, w->rows.rows, rows, true);
    } else {
      tn_bits_copy(w->rows.valid.data, w->rows.rows, valid, from, rows);
    }
  }
  w->rows.rows += rows;
  w->rows.nulls += rows - count;
  return TN_OK;
}

static tn_status append_plain(tn_parquet_column_writer *w, const value_slice *s, tn_error *err) {
  if (s->fixed) return tn_parquet_bytes_append(&w->values, s->fixed, (size_t)s->plain_bytes, err);
  if (s->bits) {
    int64_t at = w->rows.rows - w->rows.nulls; /* booleans waiting */
    size_t bytes = tn_bits_bytes(at + s->count);
    TN_TRY(tn_parquet_bytes_reserve(&w->values, bytes - w->values.length, err));
    if (bytes > w->values.length) w->values.data[bytes - 1] = 0; /* no rubbish in the padding */
    tn_bits_copy(w->values.data, at, s->bits, 0, s->count);
    w->values.length = bytes;
    return TN_OK;
  }
  TN_TRY(tn_parquet_bytes_reserve(&w->values, (size_t)s->plain_bytes, err));
  uint8_t *to = w->values.data + w->values.length;
  for (int64_t i = 0; i < s->count; i++) {
    size_t length = s->bytes[i].length;
    tn_store_u32(to, (uint32_t)length);
    if (length) memcpy(to + 4, s->bytes[i].data, length);
    to += 4 + length;
  }
  w->values.length += (size_t)s->plain_bytes;
  return TN_OK;
}

static void see(tn_parquet_column_writer *w, const value_slice *s) {
  if (s->bits) {
    int64_t trues = tn_bits_count(s->bits, 0, s->count);
    tn_parquet_stats_bools(&w->stats, s->count - trues, trues);
  } else if (s->bytes) {
    tn_parquet_stats_bytes(&w->stats, s->bytes, s->count);
  } else {
    tn_parquet_stats_fixed(&w->stats, s->fixed, s->count);
  }
}

static tn_status add_plain(tn_parquet_column_writer *w, const value_slice *s, const uint8_t *valid,
                           int64_t from, int64_t rows, tn_error *err) {
  if (w->values.length > 0 && (int64_t)w->values.length + s->plain_bytes > PAGE_BYTES_LIMIT) {
    TN_TRY(flush_plain(w, err));
  }
  see(w, s);
  TN_TRY(append_plain(w, s, err));
  TN_TRY(add_rows(w, valid, from, rows, s->count, err));
  return (int64_t)w->values.length >= w->options->page_bytes ? flush_plain(w, err) : TN_OK;
}

/* The strings of a run of indices. */
static void look_up_bytes(const tn_parquet_column_writer *w, const uint32_t *indices,
                          value_slice *s, tn_str *out) {
  for (int64_t i = 0; i < s->count; i++) {
    out[i] = tn_parquet_interner_str(&w->interner, indices[i]);
    s->plain_bytes += 4 + (int64_t)out[i].length;
  }
  s->bytes = out;
}

static void look_up_fixed(const tn_parquet_column_writer *w, const uint32_t *indices,
                          value_slice *s, uint8_t *out) {
  size_t width = (size_t)w->interner.width;
  for (int64_t i = 0; i < s->count; i++) {
    memcpy(out + (size_t)i * width, w->interner.values.data + indices[i] * width, width);
  }
  s->fixed = out;
  s->plain_bytes = s->count * (int64_t)width;
}

/* Turns the waiting indices back into values and adds them as PLAIN. */
static tn_status replay_plain(tn_parquet_column_writer *w, const tn_parquet_waiting *rows,
                              tn_error *err) {
  const uint32_t *indices = (const uint32_t *)(const void *)w->indices.data;
  TN_TRY(tn_parquet_bytes_reserve(&w->replay, SLICE_ROWS * sizeof(tn_str), err));
  for (int64_t from = 0; from < rows->rows; from += SLICE_ROWS) {
    int64_t n = rows->rows - from < SLICE_ROWS ? rows->rows - from : SLICE_ROWS;
    value_slice s = {.count = n};
    if (w->nullable) s.count = tn_bits_count(rows->valid.data, from, n);
    if (w->interner.width) {
      look_up_fixed(w, indices, &s, w->replay.data);
    } else {
      look_up_bytes(w, indices, &s, (tn_str *)(void *)w->replay.data);
    }
    indices += s.count;
    TN_TRY(add_plain(w, &s, rows->valid.data, from, n, err));
  }
  return TN_OK;
}

static tn_status replace_by_plain(tn_parquet_column_writer *w, tn_error *err) {
  tn_parquet_waiting rows = w->rows;
  w->rows = (tn_parquet_waiting){0};
  w->in_dictionary = false;
  tn_status status = replay_plain(w, &rows, err);
  w->indices.length = 0;
  tn_parquet_bytes_clear(&rows.valid);
  return status;
}

static int64_t dictionary_cost(const tn_parquet_column_writer *w) {
  int64_t count = (int64_t)(w->indices.length / sizeof(uint32_t));
  return (int64_t)w->interner.values.length + count * index_width(w->interner.count) / 8;
}

/* The range of a dictionary is the range of its values. */
static void see_dictionary(tn_parquet_column_writer *w) {
  int64_t count = w->interner.count;
  if (w->interner.width) {
    tn_parquet_stats_fixed(&w->stats, w->interner.values.data, count);
    return;
  }
  for (int64_t i = 0; i < count; i++) {
    tn_str value = tn_parquet_interner_str(&w->interner, (uint32_t)i);
    tn_parquet_stats_bytes(&w->stats, &value, 1);
  }
}

static tn_status keep_dictionary(tn_parquet_column_writer *w, tn_error *err) {
  w->in_dictionary = false;
  see_dictionary(w);
  return flush_dictionary(w, err);
}

static tn_status add_indices(tn_parquet_column_writer *w, const value_slice *s, tn_error *err) {
  if (s->count == 0) return TN_OK;
  size_t bytes = (size_t)s->count * sizeof(uint32_t);
  TN_TRY(tn_parquet_bytes_reserve(&w->indices, bytes, err));
  uint32_t *indices = (uint32_t *)(void *)(w->indices.data + w->indices.length);
  TN_TRY(s->bytes ? tn_parquet_intern_bytes(&w->interner, s->bytes, s->count, indices, err)
                  : tn_parquet_intern_fixed(&w->interner, s->fixed, s->count, indices, err));
  w->indices.length += bytes;
  w->plain_bytes += s->plain_bytes;
  return TN_OK;
}

static bool dictionary_is_useless(const tn_parquet_column_writer *w) {
  int64_t count = (int64_t)(w->indices.length / sizeof(uint32_t));
  return count >= TRIAL_VALUES && w->interner.count > count / 4 * 3;
}

static tn_status add_slice(tn_parquet_column_writer *w, const value_slice *s, const uint8_t *valid,
                           int64_t from, int64_t rows, tn_error *err) {
  w->meta.values += rows;
  w->meta.range.nulls += rows - s->count;
  if (!w->in_dictionary) return add_plain(w, s, valid, from, rows, err);
  tn_status status = add_indices(w, s, err);
  if (status == TN_FULL) {
    bool keep = w->rows.rows > 0 && dictionary_cost(w) < w->plain_bytes / 2;
    TN_TRY(keep ? keep_dictionary(w, err) : replace_by_plain(w, err));
    return add_plain(w, s, valid, from, rows, err);
  }
  TN_TRY(status);
  TN_TRY(add_rows(w, valid, from, rows, s->count, err));
  if (!dictionary_is_useless(w)) return TN_OK;
  w->plain_groups = PLAIN_GROUPS;
  return replace_by_plain(w, err);
}

/* ---- from Arrow ------------------------------------------------------------------------------ */

static void gather_bits(const uint8_t *bits, const uint8_t *valid, int64_t from, int64_t rows,
                        value_slice *s, uint8_t *out) {
  if (!valid) {
    tn_bits_copy(out, 0, bits, from, rows);
  } else {
    int64_t n = 0;
    for (int64_t i = 0; i < rows; i++) {
      if (tn_bit_get(valid, from + i)) tn_bit_put(out, n++, tn_bit_get(bits, from + i));
    }
  }
  s->bits = out;
}

static tn_status gather_bytes(const ArrowArray *a, const uint8_t *valid, int64_t from, int64_t rows,
                              value_slice *s, tn_str *out, tn_error *err) {
  const int32_t *offsets = (const int32_t *)a->buffers[1] + from;
  const char *data = a->buffers[2];
  int64_t n = 0;
  for (int64_t i = 0; i < rows; i++) {
    if (valid && !tn_bit_get(valid, from + i)) continue;
    int64_t length = (int64_t)offsets[i + 1] - offsets[i];
    if (length < 0 || offsets[i] < 0) {
      return tn_fail(err, TN_ERR_ARGUMENT, "row %lld: offsets of the array run backwards",
                     (long long)i);
    }
    out[n++] = (tn_str){length ? data + offsets[i] : "", (size_t)length};
    s->plain_bytes += 4 + length;
  }
  s->bytes = out;
  return TN_OK;
}

/* Fills s from rows [from, from + rows) of the array's buffers. */
static tn_status gather(tn_parquet_column_writer *w, const ArrowArray *a, const uint8_t *valid,
                        int64_t from, int64_t rows, value_slice *s, tn_error *err) {
  TN_TRY(tn_parquet_bytes_reserve(&w->scratch, SLICE_ROWS * sizeof(tn_str), err));
  int32_t stored = tn_parquet_stored_bytes(w->type);
  if (w->type == TN_COLUMN_BOOL) {
    gather_bits(a->buffers[1], valid, from, rows, s, w->scratch.data);
    s->plain_bytes = (int64_t)tn_bits_bytes(s->count);
    return TN_OK;
  }
  if (stored == 0) {
    return gather_bytes(a, valid, from, rows, s, (tn_str *)(void *)w->scratch.data, err);
  }
  s->plain_bytes = s->count * stored;
  if (!valid && tn_column_type_bits(w->type) == stored * 8) {
    s->fixed = (const uint8_t *)a->buffers[1] + from * stored;
    return TN_OK;
  }
  tn_parquet_plain_gather(w->type, a->buffers[1], from, rows, valid, from, w->scratch.data);
  s->fixed = w->scratch.data;
  return TN_OK;
}

/* Fewer rows where strings are long, so that a page passes its size by no more than about once. */
static int64_t slice_rows(const tn_parquet_column_writer *w, const ArrowArray *a, int64_t from,
                          int64_t left) {
  int64_t n = left < SLICE_ROWS ? left : SLICE_ROWS;
  if (w->type != TN_COLUMN_STRING && w->type != TN_COLUMN_BINARY) return n;
  const int32_t *offsets = (const int32_t *)a->buffers[1] + from;
  while (n > 1 && (int64_t)offsets[n] - offsets[0] > w->options->page_bytes) n /= 2;
  return n;
}

tn_status tn_parquet_column_writer_add(tn_parquet_column_writer *w, const ArrowArray *array,
                                       int64_t from, int64_t count, tn_error *err) {
  const uint8_t *all_valid = array->null_count == 0 ? NULL : array->buffers[0];
  int64_t at = array->offset + from, end = at + count;
  while (at < end) {
    int64_t n = slice_rows(w, array, at, end - at);
    value_slice s = {.count = n};
    const uint8_t *valid = all_valid;
    if (valid) s.count = tn_bits_count(valid, at, n);
    if (s.count == n) valid = NULL;
    if (valid && !w->nullable) {
      return tn_fail(err, TN_ERR_ARGUMENT, "%lld nulls in a column declared without nulls",
                     (long long)(n - s.count));
    }
    TN_TRY(gather(w, array, valid, at, n, &s, err));
    TN_TRY(add_slice(w, &s, valid, at, n, err));
    at += n;
  }
  return TN_OK;
}

/* ---- the end of a row group ------------------------------------------------------------------ */

tn_status tn_parquet_column_writer_finish(tn_parquet_column_writer *w, char *room, tn_error *err) {
  if (w->in_dictionary) {
    bool keep = w->interner.count > 0 && dictionary_cost(w) < w->plain_bytes;
    TN_TRY(keep ? keep_dictionary(w, err) : replace_by_plain(w, err));
  }
  TN_TRY(flush_plain(w, err));
  w->meta.compressed_bytes = (int64_t)w->chunk.length;
  tn_parquet_stats_range(&w->stats, room, &w->meta.range);
  return TN_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/waiting.h"

#include "columns/parquet/bits.h"
#include "columns/parquet/delta_write.h"
#include "columns/parquet/levels.h"

void tn_parquet_waiting_reset(tn_parquet_waiting *w) {
  w->def.length = w->rep.length = w->data.length = w->lengths.length = 0;
  w->rows = w->entries = w->values = w->data_values = 0;
}

void tn_parquet_waiting_clear(tn_parquet_waiting *w) {
  tn_parquet_bytes_clear(&w->def);
  tn_parquet_bytes_clear(&w->rep);
  tn_parquet_bytes_clear(&w->data);
  tn_parquet_bytes_clear(&w->lengths);
  *w = (tn_parquet_waiting){0};
}

/* ---- adding ---------------------------------------------------------------------------------- */

static bool is_nested(const tn_parquet_write_leaf *leaf) {
  return leaf->step_count > 0;
}

static tn_status add_validity(tn_parquet_waiting *w, const tn_parquet_level_run *run,
                              tn_error *err) {
  size_t bytes = tn_bits_bytes(w->rows + run->rows);
  TN_TRY(tn_parquet_bytes_reserve(&w->def, bytes - w->def.length, err));
  w->def.length = bytes;
  if (run->valid) {
    tn_bits_copy(w->def.data, w->rows, run->valid, run->from, run->rows);
  } else {
    tn_bits_fill(w->def.data, w->rows, run->rows, true);
  }
  return TN_OK;
}

tn_status tn_parquet_waiting_add_levels(tn_parquet_waiting *w, const tn_parquet_write_leaf *leaf,
                                        const tn_parquet_level_run *run, tn_error *err) {
  if (!is_nested(leaf) && leaf->optional) TN_TRY(add_validity(w, run, err));
  if (is_nested(leaf)) {
    TN_TRY(tn_parquet_bytes_append(&w->def, run->def, (size_t)run->entries, err));
    if (leaf->max_rep) {
      TN_TRY(tn_parquet_bytes_append(&w->rep, run->rep, (size_t)run->entries, err));
    }
  }
  w->rows += run->rows;
  w->entries += run->entries;
  w->values += run->values;
  return TN_OK;
}

static tn_status add_bits(tn_parquet_waiting *w, const tn_parquet_slice *s, tn_error *err) {
  size_t bytes = tn_bits_bytes(w->data_values + s->count);
  TN_TRY(tn_parquet_bytes_reserve(&w->data, bytes - w->data.length, err));
  if (bytes > w->data.length) w->data.data[bytes - 1] = 0; /* no rubbish in the padding */
  tn_bits_copy(w->data.data, w->data_values, s->bits, 0, s->count);
  w->data.length = bytes;
  return TN_OK;
}

static tn_status add_strings(tn_parquet_waiting *w, const tn_parquet_slice *s, tn_error *err) {
  TN_TRY(tn_parquet_bytes_reserve(&w->data, (size_t)s->plain_bytes, err));
  TN_TRY(tn_parquet_bytes_reserve(&w->lengths, (size_t)s->count * sizeof(uint32_t), err));
  uint32_t *lengths = (uint32_t *)(void *)(w->lengths.data + w->lengths.length);
  uint8_t *to = w->data.data + w->data.length;
  const char *start = s->count ? s->bytes[0].data : NULL, *at = start;
  bool one_run = true; /* values that lie behind one another are copied at once */
  for (int64_t i = 0; i < s->count; i++) {
    lengths[i] = (uint32_t)s->bytes[i].length;
    one_run &= s->bytes[i].data == at || lengths[i] == 0;
    at += lengths[i];
  }
  if (one_run) {
    size_t bytes = (size_t)(at - start);
    if (bytes) memcpy(to, start, bytes);
    to += bytes;
  } else {
    for (int64_t i = 0; i < s->count; i++) {
      if (lengths[i]) memcpy(to, s->bytes[i].data, lengths[i]);
      to += lengths[i];
    }
  }
  w->data.length = (size_t)(to - w->data.data);
  w->lengths.length += (size_t)s->count * sizeof(uint32_t);
  return TN_OK;
}

tn_status tn_parquet_waiting_add_values(tn_parquet_waiting *w, const tn_parquet_slice *s,
                                        tn_error *err) {
  if (s->bits) {
    TN_TRY(add_bits(w, s, err));
  } else if (s->bytes) {
    TN_TRY(add_strings(w, s, err));
  } else {
    TN_TRY(tn_parquet_bytes_append(&w->data, s->fixed, (size_t)s->plain_bytes, err));
  }
  w->data_values += s->count;
  return TN_OK;
}

/* ---- levels ---------------------------------------------------------------------------------- */

tn_parquet_level_run tn_parquet_waiting_cut(const tn_parquet_waiting *w,
                                            const tn_parquet_write_leaf *leaf, int64_t from,
                                            int64_t rows_max, int64_t entries_max) {
  int64_t left = w->entries - from;
  tn_parquet_level_run run = {0};
  if (!leaf->max_rep) {
    int64_t n = left < rows_max ? left : rows_max;
    if (n > entries_max) n = entries_max > 0 ? entries_max : 1;
    run.rows = run.entries = run.values = n;
    if (is_nested(leaf)) {
      run.def = w->def.data + from;
      run.values = 0;
      for (int64_t i = 0; i < n; i++) run.values += run.def[i] == leaf->max_def;
    } else if (leaf->optional) {
      run.valid = w->def.data;
      run.from = from;
      run.values = tn_bits_count(run.valid, from, n);
    }
    return run;
  }
  run.def = w->def.data + from;
  run.rep = w->rep.data + from;
  int64_t i = 0;
  for (; i < left; i++) {
    if (run.rep[i] == 0) {
      if (i > 0 && (run.rows == rows_max || i >= entries_max)) break;
      run.rows++;
    }
    run.values += run.def[i] == leaf->max_def;
  }
  run.entries = i;
  return run;
}

static int32_t level_width(uint8_t max) {
  return 32 - __builtin_clz(max);
}

/* Levels of one kind, a byte each. */
static tn_status put_bytes(const uint8_t *levels, int64_t count, uint8_t max,
                           tn_parquet_bytes *body, tn_parquet_bytes *room, tn_error *err) {
  room->length = 0;
  TN_TRY(tn_parquet_bytes_reserve(room, (size_t)count * sizeof(uint32_t), err));
  uint32_t *wide = (uint32_t *)(void *)room->data;
  for (int64_t i = 0; i < count; i++) wide[i] = levels[i];
  return tn_parquet_levels_write(body, wide, count, level_width(max), err);
}

static tn_status begin_levels(tn_parquet_bytes *body, bool v2, size_t *start, tn_error *err) {
  *start = body->length;
  if (v2) return TN_OK;
  TN_TRY(tn_parquet_bytes_reserve(body, 4, err));
  body->length += 4;
  return TN_OK;
}

static int32_t end_levels(tn_parquet_bytes *body, bool v2, size_t start) {
  size_t bytes = body->length - start - (v2 ? 0 : 4);
  if (!v2) tn_store_u32(body->data + start, (uint32_t)bytes);
  return (int32_t)bytes;
}

static tn_status put_validity(const tn_parquet_waiting *w, int64_t from, int64_t rows,
                              tn_parquet_bytes *body, tn_parquet_bytes *room, tn_error *err) {
  const uint8_t *bits = w->def.data + from / 8;
  if (from % 8) {
    room->length = 0;
    TN_TRY(tn_parquet_bytes_reserve(room, tn_bits_bytes(rows), err));
    tn_bits_copy(room->data, 0, w->def.data, from, rows);
    bits = room->data;
  }
  return tn_parquet_levels_write_bits(body, bits, rows, err);
}

tn_status tn_parquet_waiting_put_levels(const tn_parquet_waiting *w,
                                        const tn_parquet_write_leaf *leaf, int64_t from,
                                        int64_t entries, bool v2, tn_parquet_bytes *body,
                                        tn_parquet_bytes *room, int32_t *rep_bytes,
                                        int32_t *def_bytes, tn_error *err) {
  size_t start;
  *rep_bytes = *def_bytes = 0;
  if (leaf->max_rep) {
    TN_TRY(begin_levels(body, v2, &start, err));
    TN_TRY(put_bytes(w->rep.data + from, entries, leaf->max_rep, body, room, err));
    *rep_bytes = end_levels(body, v2, start);
  }
  if (!leaf->max_def) return TN_OK;
  TN_TRY(begin_levels(body, v2, &start, err));
  if (is_nested(leaf)) {
    TN_TRY(put_bytes(w->def.data + from, entries, leaf->max_def, body, room, err));
  } else {
    TN_TRY(put_validity(w, from, entries, body, room, err));
  }
  *def_bytes = end_levels(body, v2, start);
  return TN_OK;
}

/* ---- values ---------------------------------------------------------------------------------- */

bool tn_parquet_can_encode(int32_t physical, int32_t encoding) {
  switch (encoding) {
    case TN_PARQUET_PLAIN:
      return true;
    case TN_PARQUET_RLE:
      return physical == TN_PARQUET_BOOLEAN;
    case TN_PARQUET_DELTA_BINARY_PACKED:
      return physical == TN_PARQUET_INT32 || physical == TN_PARQUET_INT64;
    case TN_PARQUET_DELTA_LENGTH_BYTE_ARRAY:
      return physical == TN_PARQUET_BYTE_ARRAY;
    case TN_PARQUET_DELTA_BYTE_ARRAY:
      return physical == TN_PARQUET_BYTE_ARRAY || physical == TN_PARQUET_FIXED_LEN_BYTE_ARRAY;
    case TN_PARQUET_BYTE_STREAM_SPLIT:
      return physical != TN_PARQUET_BOOLEAN && physical != TN_PARQUET_BYTE_ARRAY &&
             physical != TN_PARQUET_INT96;
    default:
      return false;
  }
}

static tn_status encode_plain_strings(const tn_parquet_waiting *w, int64_t count,
                                      tn_parquet_bytes *body, tn_error *err) {
  const uint32_t *lengths = (const uint32_t *)(const void *)w->lengths.data;
  const uint8_t *from = w->data.data, *end = from + w->data.length;
  TN_TRY(tn_parquet_bytes_reserve(body, w->data.length + (size_t)count * 4, err));
  uint8_t *to = body->data + body->length;
  for (int64_t i = 0; i < count; i++) {
    size_t length = lengths[i];
    tn_store_u32(to, lengths[i]);
    tn_copy_short(to + 4, from, length, (size_t)(end - from));
    to += 4 + length;
    from += length;
  }
  body->length = (size_t)(to - body->data);
  return TN_OK;
}

static size_t strings_bytes(const tn_parquet_waiting *w, int64_t count) {
  if (count == w->data_values) return w->data.length;
  const uint32_t *lengths = (const uint32_t *)(const void *)w->lengths.data;
  size_t sum = 0;
  for (int64_t i = 0; i < count; i++) sum += lengths[i];
  return sum;
}

static tn_status encode_strings(const tn_parquet_waiting *w, int32_t encoding, int64_t count,
                                tn_parquet_bytes *body, tn_parquet_bytes *room, tn_error *err) {
  const uint32_t *lengths = (const uint32_t *)(const void *)w->lengths.data;
  switch (encoding) {
    case TN_PARQUET_DELTA_LENGTH_BYTE_ARRAY:
      return tn_parquet_delta_length_write(body, lengths, count, w->data.data,
                                           strings_bytes(w, count), err);
    case TN_PARQUET_DELTA_BYTE_ARRAY:
      return tn_parquet_delta_prefix_write(body, lengths, count, w->data.data, room, err);
    default:
      return encode_plain_strings(w, count, body, err);
  }
}

static tn_status encode_bits(const tn_parquet_waiting *w, int32_t encoding, int64_t count,
                             tn_parquet_bytes *body, tn_error *err) {
  if (encoding == TN_PARQUET_PLAIN) {
    size_t bytes = tn_bits_bytes(count);
    TN_TRY(tn_parquet_bytes_append(body, w->data.data, bytes, err));
    if (count % 8) body->data[body->length - 1] &= (uint8_t)((1u << (count % 8)) - 1);
    return TN_OK;
  }
  size_t start;
  TN_TRY(begin_levels(body, false, &start, err));
  TN_TRY(tn_parquet_levels_write_bits(body, w->data.data, count, err));
  end_levels(body, false, start);
  return TN_OK;
}

/* DELTA_BYTE_ARRAY of fixed-size values stores their lengths like any others. */
static tn_status encode_fixed_prefixes(const tn_parquet_waiting *w, int32_t width, int64_t count,
                                       tn_parquet_bytes *body, tn_parquet_bytes *room,
                                       tn_error *err) {
  uint32_t *lengths = tn_alloc((size_t)count + 1, sizeof *lengths);
  if (!lengths) return tn_fail_memory(err, "lengths of values", (size_t)count * sizeof *lengths);
  for (int64_t i = 0; i < count; i++) lengths[i] = (uint32_t)width;
  tn_status status = tn_parquet_delta_prefix_write(body, lengths, count, w->data.data, room, err);
  tn_free(lengths);
  return status;
}

tn_status tn_parquet_waiting_encode(const tn_parquet_waiting *w, const tn_parquet_store *store,
                                    int32_t encoding, int64_t count, tn_parquet_bytes *body,
                                    tn_parquet_bytes *room, tn_error *err) {
  if (store->physical == TN_PARQUET_BYTE_ARRAY) {
    return encode_strings(w, encoding, count, body, room, err);
  }
  if (store->physical == TN_PARQUET_BOOLEAN) return encode_bits(w, encoding, count, body, err);
  switch (encoding) {
    case TN_PARQUET_DELTA_BINARY_PACKED:
      return store->width == 4 ? tn_parquet_delta_write_32(body, w->data.data, count, err)
                               : tn_parquet_delta_write_64(body, w->data.data, count, err);
    case TN_PARQUET_DELTA_BYTE_ARRAY:
      return encode_fixed_prefixes(w, store->width, count, body, room, err);
    case TN_PARQUET_BYTE_STREAM_SPLIT:
      return tn_parquet_split_write(body, w->data.data, store->width, count, err);
    default:
      return tn_parquet_bytes_append(body, w->data.data, (size_t)count * (size_t)store->width, err);
  }
}

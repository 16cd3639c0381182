/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/values.h"

#include "columns/parquet/bits.h"
#include "columns/parquet/byte_stream_split.h"
#include "columns/parquet/form.h"
#include "columns/parquet/plain.h"

enum { INDICES_AT_ONCE = 2048, VALUES_AT_ONCE = 1024 };

void tn_parquet_values_clear(tn_parquet_values *v) {
  tn_parquet_delta_bytes_clear(&v->delta_bytes);
  tn_parquet_slots_clear(&v->spare);
  tn_parquet_bytes_clear(&v->scratch);
  *v = (tn_parquet_values){0};
}

/* ---- starting -------------------------------------------------------------------------------- */

static tn_status start_indices(tn_parquet_values *v, const tn_parquet_page *page, tn_error *err) {
  if (!v->dictionary->loaded) return tn_fail(err, TN_ERR_DATA, "no dictionary page came before");
  /* Without a byte there is no width; a page of nulls needs none. */
  int32_t width = page->value_bytes ? page->values[0] : 1;
  size_t skip = page->value_bytes ? 1 : 0;
  if (width > 32) return tn_fail(err, TN_ERR_DATA, "dictionary indices of %d bits", width);
  tn_parquet_levels_init(&v->indices, page->values + skip, page->value_bytes - skip, width);
  return TN_OK;
}

static tn_status start_rle(tn_parquet_values *v, const tn_parquet_page *page, tn_error *err) {
  size_t bytes = page->value_bytes < 4 ? 0 : tn_load_u32(page->values);
  size_t room = page->value_bytes < 4 ? 0 : page->value_bytes - 4;
  if (bytes > room || (page->value_bytes > 0 && page->value_bytes < 4)) {
    return tn_fail(err, TN_ERR_DATA, "booleans want %zu bytes of a page of %zu", bytes,
                   page->value_bytes);
  }
  tn_parquet_levels_init(&v->indices, page->values + (page->value_bytes ? 4 : 0), bytes, 1);
  return TN_OK;
}

static bool fits_type(int32_t encoding, int32_t physical) {
  bool fixed = physical == TN_PARQUET_FIXED_LEN_BYTE_ARRAY;
  bool integer = physical == TN_PARQUET_INT32 || physical == TN_PARQUET_INT64;
  switch (encoding) {
    case TN_PARQUET_PLAIN:
      return true;
    case TN_PARQUET_RLE_DICTIONARY:
      return physical != TN_PARQUET_BOOLEAN;
    case TN_PARQUET_RLE:
      return physical == TN_PARQUET_BOOLEAN;
    case TN_PARQUET_DELTA_BINARY_PACKED:
      return integer;
    case TN_PARQUET_DELTA_LENGTH_BYTE_ARRAY:
      return physical == TN_PARQUET_BYTE_ARRAY;
    case TN_PARQUET_DELTA_BYTE_ARRAY:
      return physical == TN_PARQUET_BYTE_ARRAY || fixed;
    case TN_PARQUET_BYTE_STREAM_SPLIT:
      return integer || fixed || physical == TN_PARQUET_FLOAT || physical == TN_PARQUET_DOUBLE;
    default:
      return false;
  }
}

static tn_status unsupported(const tn_parquet_values *v, tn_error *err) {
  const char *name = tn_parquet_encoding_name(v->encoding);
  if (!name) return tn_fail(err, TN_ERR_DATA, "encoding number %d is unknown", v->encoding);
  return tn_fail(err, TN_ERR_UNSUPPORTED, "encoding %s of %s values is not supported", name,
                 tn_parquet_physical_name(v->leaf->element->physical));
}

static tn_status start_split(tn_parquet_values *v, const tn_parquet_page *page, tn_error *err) {
  v->split_at = 0;
  v->split = (int64_t)page->value_bytes / v->leaf->stored;
  if ((int64_t)page->value_bytes == v->split * v->leaf->stored) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%zu bytes are not a number of values of %d bytes",
                 page->value_bytes, v->leaf->stored);
}

tn_status tn_parquet_values_start(tn_parquet_values *v, const tn_parquet_leaf *leaf,
                                  const tn_parquet_dictionary *dictionary,
                                  const tn_parquet_page *page, tn_error *err) {
  v->leaf = leaf;
  v->dictionary = dictionary;
  v->encoding = page->header.encoding;
  if (v->encoding == TN_PARQUET_PLAIN_DICTIONARY) v->encoding = TN_PARQUET_RLE_DICTIONARY;
  v->at = page->values;
  v->end = page->values + page->value_bytes;
  v->bit_at = 0;
  if (!fits_type(v->encoding, leaf->element->physical)) return unsupported(v, err);
  /* Delta headers are missing where every value is null. */
  bool empty = page->value_bytes == 0;
  switch (v->encoding) {
    case TN_PARQUET_RLE_DICTIONARY:
      return start_indices(v, page, err);
    case TN_PARQUET_RLE:
      return start_rle(v, page, err);
    case TN_PARQUET_DELTA_BINARY_PACKED:
      v->delta = (tn_parquet_delta){0};
      return empty ? TN_OK : tn_parquet_delta_init(&v->delta, v->at, page->value_bytes, err);
    case TN_PARQUET_DELTA_LENGTH_BYTE_ARRAY:
    case TN_PARQUET_DELTA_BYTE_ARRAY:
      v->delta_bytes.lengths.left = 0;
      if (empty) return TN_OK;
      return tn_parquet_delta_bytes_init(&v->delta_bytes, v->at, page->value_bytes,
                                         v->encoding == TN_PARQUET_DELTA_BYTE_ARRAY, err);
    case TN_PARQUET_BYTE_STREAM_SPLIT:
      return start_split(v, page, err);
    default:
      return TN_OK;
  }
}

/* ---- reading --------------------------------------------------------------------------------- */

static tn_status ends_early(int64_t want, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "the page ends before its next %lld values", (long long)want);
}

static tn_status read_plain(tn_parquet_values *v, tn_parquet_slots *s, int64_t count,
                            tn_error *err) {
  const tn_parquet_leaf *leaf = v->leaf;
  if (leaf->form == TN_PARQUET_FORM_BITS) {
    if (count > (v->end - v->at) * 8 - v->bit_at) return ends_early(count, err);
    tn_bits_copy(s->values.data, s->count, v->at, v->bit_at, count);
    v->bit_at += count;
    return TN_OK;
  }
  if (tn_parquet_slots_are_bytes(leaf)) {
    return tn_parquet_plain_bytes(&v->at, v->end, count, tn_parquet_slots_ends(s), &s->data, err);
  }
  if (count > (v->end - v->at) / leaf->stored) return ends_early(count, err);
  const uint8_t *in = v->at;
  v->at += count * leaf->stored;
  return tn_parquet_form_convert(leaf, in, count, tn_parquet_slots_fixed(s), err);
}

static tn_status read_indices(tn_parquet_values *v, tn_parquet_slots *s, int64_t count,
                              tn_error *err) {
  uint32_t indices[INDICES_AT_ONCE];
  bool bytes = tn_parquet_slots_are_bytes(v->leaf);
  uint8_t *fixed = bytes ? NULL : tn_parquet_slots_fixed(s);
  int32_t *ends = bytes ? tn_parquet_slots_ends(s) : NULL;
  for (int64_t done = 0; done < count;) {
    int64_t n = count - done < INDICES_AT_ONCE ? count - done : INDICES_AT_ONCE;
    if (!tn_parquet_levels_read(&v->indices, indices, n)) return ends_early(n, err);
    if (bytes) {
      TN_TRY(tn_parquet_dictionary_bytes(v->dictionary, indices, n, ends + done, &s->data, err));
    } else {
      uint8_t *out = fixed + done * v->leaf->width;
      TN_TRY(tn_parquet_dictionary_fixed(v->dictionary, indices, n, out, err));
    }
    done += n;
  }
  return TN_OK;
}

static tn_status read_bits(tn_parquet_values *v, tn_parquet_slots *s, int64_t count,
                           tn_error *err) {
  int64_t ones;
  bool good = tn_parquet_levels_read_bits(&v->indices, s->values.data, s->count, count, &ones);
  return good ? TN_OK : ends_early(count, err);
}

/* Stored values of a fixed width that have to be taken apart first. */
static bool unpack_fixed(tn_parquet_values *v, int64_t count, uint8_t *out) {
  int32_t stored = v->leaf->stored;
  if (v->encoding == TN_PARQUET_BYTE_STREAM_SPLIT) {
    if (count > v->split - v->split_at) return false;
    tn_parquet_bss_read(v->at, v->split, stored, v->split_at, count, out);
    v->split_at += count;
    return true;
  }
  if (stored == 4) return tn_parquet_delta_read_i32(&v->delta, (int32_t *)(void *)out, count);
  return tn_parquet_delta_read_i64(&v->delta, (int64_t *)(void *)out, count);
}

static tn_status read_unpacked(tn_parquet_values *v, tn_parquet_slots *s, int64_t count,
                               tn_error *err) {
  const tn_parquet_leaf *leaf = v->leaf;
  uint8_t *out = tn_parquet_slots_fixed(s);
  if (tn_parquet_form_is_same(leaf)) {
    return unpack_fixed(v, count, out) ? TN_OK : ends_early(count, err);
  }
  v->scratch.length = 0;
  TN_TRY(tn_parquet_bytes_reserve(&v->scratch, VALUES_AT_ONCE * (size_t)leaf->stored, err));
  for (int64_t done = 0; done < count;) {
    int64_t n = count - done < VALUES_AT_ONCE ? count - done : VALUES_AT_ONCE;
    if (!unpack_fixed(v, n, v->scratch.data)) return ends_early(n, err);
    TN_TRY(tn_parquet_form_convert(leaf, v->scratch.data, n, out + done * leaf->width, err));
    done += n;
  }
  return TN_OK;
}

/* DELTA_BYTE_ARRAY of FIXED_LEN_BYTE_ARRAY. */
static tn_status read_prefixed_fixed(tn_parquet_values *v, tn_parquet_slots *s, int64_t count,
                                     tn_error *err) {
  const tn_parquet_leaf *leaf = v->leaf;
  int32_t ends[VALUES_AT_ONCE];
  uint8_t *out = tn_parquet_slots_fixed(s);
  for (int64_t done = 0; done < count;) {
    int64_t n = count - done < VALUES_AT_ONCE ? count - done : VALUES_AT_ONCE;
    v->scratch.length = 0;
    TN_TRY(tn_parquet_delta_bytes_read(&v->delta_bytes, n, leaf->stored, ends, &v->scratch, err));
    TN_TRY(tn_parquet_form_convert(leaf, v->scratch.data, n, out + done * leaf->width, err));
    done += n;
  }
  return TN_OK;
}

tn_status tn_parquet_values_read(tn_parquet_values *v, tn_parquet_slots *s, int64_t count,
                                 tn_error *err) {
  if (count == 0) return TN_OK;
  if (v->leaf->form == TN_PARQUET_FORM_NULL) {
    return tn_fail(err, TN_ERR_DATA, "%lld values in a column that is always null",
                   (long long)count);
  }
  switch (v->encoding) {
    case TN_PARQUET_PLAIN:
      return read_plain(v, s, count, err);
    case TN_PARQUET_RLE_DICTIONARY:
      return read_indices(v, s, count, err);
    case TN_PARQUET_RLE:
      return read_bits(v, s, count, err);
    case TN_PARQUET_DELTA_LENGTH_BYTE_ARRAY:
    case TN_PARQUET_DELTA_BYTE_ARRAY:
      if (!tn_parquet_slots_are_bytes(v->leaf)) return read_prefixed_fixed(v, s, count, err);
      return tn_parquet_delta_bytes_read(&v->delta_bytes, count, 0, tn_parquet_slots_ends(s),
                                         &s->data, err);
    default:
      return read_unpacked(v, s, count, err);
  }
}

/* ---- passing over ---------------------------------------------------------------------------- */

static tn_status skip_plain(tn_parquet_values *v, int64_t count, tn_error *err) {
  if (v->leaf->form == TN_PARQUET_FORM_BITS) {
    if (count > (v->end - v->at) * 8 - v->bit_at) return ends_early(count, err);
    v->bit_at += count;
    return TN_OK;
  }
  if (v->leaf->stored > 0) {
    if (count > (v->end - v->at) / v->leaf->stored) return ends_early(count, err);
    v->at += count * v->leaf->stored;
    return TN_OK;
  }
  for (int64_t i = 0; i < count; i++) {
    size_t room = (size_t)(v->end - v->at);
    if (room < 4 || tn_load_u32(v->at) > room - 4) return ends_early(count - i, err);
    v->at += 4 + tn_load_u32(v->at);
  }
  return TN_OK;
}

/* Decodes into slots that nobody looks at. */
static tn_status skip_decoded(tn_parquet_values *v, int64_t count, tn_error *err) {
  while (count > 0) {
    int64_t n = count < VALUES_AT_ONCE ? count : VALUES_AT_ONCE;
    if (!v->spare.leaf) tn_parquet_slots_start(&v->spare, v->leaf);
    v->spare.count = 0;
    v->spare.data.length = 0;
    TN_TRY(tn_parquet_slots_reserve(&v->spare, n, err));
    tn_status status = tn_parquet_values_read(v, &v->spare, n, err);
    if (status == TN_FULL) {
      return tn_fail(err, TN_ERR_LIMIT, "%lld values of more than 2 GiB", (long long)n);
    }
    TN_TRY(status);
    count -= n;
  }
  return TN_OK;
}

tn_status tn_parquet_values_skip(tn_parquet_values *v, int64_t count, tn_error *err) {
  switch (v->encoding) {
    case TN_PARQUET_PLAIN:
      return skip_plain(v, count, err);
    case TN_PARQUET_RLE_DICTIONARY:
    case TN_PARQUET_RLE:
      return tn_parquet_levels_skip(&v->indices, count) ? TN_OK : ends_early(count, err);
    case TN_PARQUET_BYTE_STREAM_SPLIT:
      if (count > v->split - v->split_at) return ends_early(count, err);
      v->split_at += count;
      return TN_OK;
    default:
      return skip_decoded(v, count, err);
  }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/dictionary.h"

#include "columns/parquet/form.h"
#include "columns/parquet/plain.h"
#include "columns/parquet/slots.h"

enum { SHORT_BYTES = 16, AT_ONCE = 256 };

void tn_parquet_dictionary_reset(tn_parquet_dictionary *d) {
  d->count = 0;
  d->loaded = false;
  d->values.length = 0;
  d->ends.length = 0;
}

void tn_parquet_dictionary_clear(tn_parquet_dictionary *d) {
  tn_parquet_bytes_clear(&d->values);
  tn_parquet_bytes_clear(&d->ends);
  *d = (tn_parquet_dictionary){0};
}

static tn_status too_short(const tn_parquet_page *page, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "a dictionary of %d entries in %zu bytes", page->header.values,
                 page->value_bytes);
}

static tn_status load_bytes(tn_parquet_dictionary *d, const tn_parquet_page *page, tn_error *err) {
  size_t count = (size_t)page->header.values;
  if (count > page->value_bytes / 4) return too_short(page, err);
  TN_TRY(tn_parquet_bytes_reserve(&d->ends, (count + 1) * sizeof(int32_t), err));
  int32_t *ends = (int32_t *)(void *)d->ends.data;
  ends[0] = 0;
  const uint8_t *in = page->values;
  tn_status status = tn_parquet_plain_bytes(&in, page->values + page->value_bytes, (int64_t)count,
                                            ends + 1, &d->values, err);
  if (status == TN_FULL) return tn_fail(err, TN_ERR_LIMIT, "a dictionary of more than 2 GiB");
  TN_TRY(status);
  TN_TRY(tn_parquet_bytes_reserve(&d->values, 0, err)); /* its slack may be read */
  d->is_short = true;
  for (size_t i = 0; i < count; i++) d->is_short &= ends[i + 1] - ends[i] <= SHORT_BYTES;
  return TN_OK;
}

static tn_status load_fixed(tn_parquet_dictionary *d, const tn_parquet_leaf *leaf,
                            const tn_parquet_page *page, tn_error *err) {
  size_t count = (size_t)page->header.values, bytes;
  if (count > page->value_bytes / (size_t)leaf->stored) return too_short(page, err);
  if (!tn_mul_size(count, (size_t)leaf->width, &bytes)) return too_short(page, err);
  TN_TRY(tn_parquet_bytes_reserve(&d->values, bytes, err));
  return tn_parquet_form_convert(leaf, page->values, (int64_t)count, d->values.data, err);
}

tn_status tn_parquet_dictionary_load(tn_parquet_dictionary *d, const tn_parquet_leaf *leaf,
                                     const tn_parquet_page *page, tn_error *err) {
  int32_t encoding = page->header.encoding;
  tn_parquet_dictionary_reset(d);
  if (encoding != TN_PARQUET_PLAIN && encoding != TN_PARQUET_PLAIN_DICTIONARY) {
    const char *name = tn_parquet_encoding_name(encoding);
    return tn_fail(err, TN_ERR_UNSUPPORTED, "a dictionary in encoding %s (%d) is not supported",
                   name ? name : "unknown", encoding);
  }
  if (leaf->form == TN_PARQUET_FORM_BITS) {
    return tn_fail(err, TN_ERR_UNSUPPORTED, "a dictionary of booleans is not supported");
  }
  if (leaf->form == TN_PARQUET_FORM_NULL) { /* may be there; nothing looks into it */
    d->loaded = true;
    return TN_OK;
  }
  bool bytes = tn_parquet_slots_are_bytes(leaf);
  d->width = bytes ? 0 : leaf->width;
  TN_TRY(bytes ? load_bytes(d, page, err) : load_fixed(d, leaf, page, err));
  d->count = (uint32_t)page->header.values;
  d->loaded = true;
  return TN_OK;
}

static tn_status check_indices(const tn_parquet_dictionary *d, const uint32_t *indices,
                               int64_t count, tn_error *err) {
  uint32_t max = 0;
  for (int64_t i = 0; i < count; i++) max = indices[i] > max ? indices[i] : max;
  if (count == 0 || max < d->count) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "dictionary index %u, the dictionary has %u entries", max,
                 d->count);
}

#define LOOK_UP(type)                                                 \
  do {                                                                \
    const type *entries = (const type *)(const void *)d->values.data; \
    type *to = out;                                                   \
    for (int64_t i = 0; i < count; i++) to[i] = entries[indices[i]];  \
  } while (0)

static void look_up_wide(const tn_parquet_dictionary *d, const uint32_t *indices, int64_t count,
                         uint8_t *out) {
  size_t width = (size_t)d->width;
  for (int64_t i = 0; i < count; i++) {
    memcpy(out + (size_t)i * width, d->values.data + indices[i] * width, width);
  }
}

tn_status tn_parquet_dictionary_fixed(const tn_parquet_dictionary *d, const uint32_t *indices,
                                      int64_t count, void *out, tn_error *err) {
  TN_TRY(check_indices(d, indices, count, err));
  switch (d->width) {
    case 1:
      LOOK_UP(uint8_t);
      break;
    case 2:
      LOOK_UP(uint16_t);
      break;
    case 4:
      LOOK_UP(uint32_t);
      break;
    case 8:
      LOOK_UP(uint64_t);
      break;
    default:
      look_up_wide(d, indices, count, out);
  }
  return TN_OK;
}

/* Each entry as one word of 16 bytes: what is too much is overwritten by the next. */
static size_t copy_short(const tn_parquet_dictionary *d, const uint32_t *indices, int64_t count,
                         int32_t *out, uint8_t *to, size_t length) {
  const int32_t *ends = (const int32_t *)(const void *)d->ends.data;
  const uint8_t *from = d->values.data;
  for (int64_t i = 0; i < count; i++) {
    int64_t span; /* where the entry begins and ends */
    memcpy(&span, ends + indices[i], sizeof span);
    int32_t start = (int32_t)span, end = (int32_t)(span >> 32);
    memcpy(to + length, from + start, SHORT_BYTES);
    length += (size_t)(end - start);
    out[i] = (int32_t)length;
  }
  return length;
}

static tn_status add_short_entries(const tn_parquet_dictionary *d, const uint32_t *indices,
                                   int64_t count, int32_t *out, tn_parquet_bytes *data,
                                   tn_error *err) {
  for (int64_t i = 0; i < count; i += AT_ONCE) {
    int64_t n = count - i < AT_ONCE ? count - i : AT_ONCE;
    TN_TRY(tn_parquet_bytes_reserve(data, (size_t)n * SHORT_BYTES, err));
    data->length = copy_short(d, indices + i, n, out + i, data->data, data->length);
  }
  return TN_OK;
}

static void copy_entries(const tn_parquet_dictionary *d, const uint32_t *indices, int64_t count,
                         uint8_t *to) {
  const int32_t *ends = (const int32_t *)(const void *)d->ends.data;
  size_t room = d->values.length + TN_PARQUET_SLACK; /* the slack may be read as well */
  for (int64_t i = 0; i < count; i++) {
    size_t start = (size_t)ends[indices[i]], bytes = (size_t)ends[indices[i] + 1] - start;
    tn_copy_short(to, d->values.data + start, bytes, room - start);
    to += bytes;
  }
}

tn_status tn_parquet_dictionary_bytes(const tn_parquet_dictionary *d, const uint32_t *indices,
                                      int64_t count, int32_t *out, tn_parquet_bytes *data,
                                      tn_error *err) {
  TN_TRY(check_indices(d, indices, count, err));
  const int32_t *ends = (const int32_t *)(const void *)d->ends.data;
  uint64_t length = data->length; /* grows by at most count * 2 GiB: no overflow for a batch */
  bool room = length + (uint64_t)count * SHORT_BYTES <= INT32_MAX;
  if (d->is_short && room) return add_short_entries(d, indices, count, out, data, err);
  for (int64_t i = 0; i < count; i++) {
    length += (uint64_t)(ends[indices[i] + 1] - ends[indices[i]]);
    out[i] = (int32_t)length;
  }
  if (length > INT32_MAX) return TN_FULL;
  TN_TRY(tn_parquet_bytes_reserve(data, (size_t)length - data->length, err));
  copy_entries(d, indices, count, data->data + data->length);
  data->length = (size_t)length;
  return TN_OK;
}

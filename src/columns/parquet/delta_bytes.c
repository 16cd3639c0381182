/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/delta_bytes.h"

enum { AT_ONCE = 1024 };

void tn_parquet_delta_bytes_clear(tn_parquet_delta_bytes *d) {
  tn_parquet_bytes_clear(&d->last);
}

/* Where the bytes behind delta-packed values begin. */
static tn_status find_behind(const uint8_t *bytes, size_t count, const uint8_t **out,
                             tn_error *err) {
  tn_parquet_delta walk;
  TN_TRY(tn_parquet_delta_init(&walk, bytes, count, err));
  if (!tn_parquet_delta_finish(&walk)) {
    return tn_fail(err, TN_ERR_DATA, "delta-packed lengths end early");
  }
  *out = walk.at;
  return TN_OK;
}

tn_status tn_parquet_delta_bytes_init(tn_parquet_delta_bytes *d, const uint8_t *bytes, size_t count,
                                      bool prefixed, tn_error *err) {
  const uint8_t *end = bytes + count, *lengths = bytes;
  d->prefixed = prefixed;
  d->lender = NULL;
  d->last.length = 0;
  if (prefixed) {
    TN_TRY(tn_parquet_delta_init(&d->prefixes, bytes, count, err));
    TN_TRY(find_behind(bytes, count, &lengths, err));
  }
  TN_TRY(tn_parquet_delta_init(&d->lengths, lengths, (size_t)(end - lengths), err));
  d->end = end;
  return find_behind(lengths, (size_t)(end - lengths), &d->at, err);
}

static tn_status wrong_length(int32_t length, int32_t fixed, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "a value of %d bytes in a column of %d", length, fixed);
}

static tn_status ends_early(tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "delta-packed byte arrays end early");
}

/* The next bytes: borrowed, as long as nothing else came before. */
static tn_status take(tn_parquet_delta_bytes *d, size_t bytes, tn_parquet_bytes *data,
                      tn_error *err) {
  if (d->lender && data->length == 0) {
    tn_parquet_bytes_borrow(data, d->at, bytes, d->lender);
    return TN_OK;
  }
  if (d->lender && data->lender == d->lender && data->data + data->length == d->at) {
    data->length += bytes;
    return TN_OK;
  }
  return tn_parquet_bytes_append(data, d->at, bytes, err);
}

/* The ends of values whose bytes follow each other. */
static tn_status add_lengths(tn_parquet_delta_bytes *d, const int32_t *lengths, int64_t count,
                             int32_t fixed, int32_t *ends, tn_parquet_bytes *data, tn_error *err) {
  uint64_t length = data->length, room = (uint64_t)(d->end - d->at);
  for (int64_t i = 0; i < count; i++) {
    if (lengths[i] < 0) return tn_fail(err, TN_ERR_DATA, "a byte array of %d bytes", lengths[i]);
    if (fixed && lengths[i] != fixed) return wrong_length(lengths[i], fixed, err);
    length += (uint64_t)lengths[i];
    ends[i] = (int32_t)length;
  }
  if (length - data->length > room) return ends_early(err);
  if (length > INT32_MAX) return TN_FULL;
  size_t bytes = (size_t)length - data->length;
  TN_TRY(take(d, bytes, data, err));
  d->at += bytes;
  return TN_OK;
}

static tn_status add_prefixed(tn_parquet_delta_bytes *d, int32_t prefix, int32_t suffix,
                              const uint8_t *before, size_t before_length, tn_parquet_bytes *data,
                              tn_error *err) {
  if (prefix < 0 || suffix < 0 || (size_t)prefix > before_length) {
    return tn_fail(err, TN_ERR_DATA, "a prefix of %d bytes of a value of %zu", prefix,
                   before_length);
  }
  if (suffix > d->end - d->at) return ends_early(err);
  uint8_t *to = data->data + data->length;
  memcpy(to, before, (size_t)prefix);
  memcpy(to + prefix, d->at, (size_t)suffix);
  d->at += suffix;
  data->length += (size_t)prefix + (size_t)suffix;
  return TN_OK;
}

static tn_status add_all_prefixed(tn_parquet_delta_bytes *d, const int32_t *prefixes,
                                  const int32_t *suffixes, int64_t count, int32_t fixed,
                                  int32_t *ends, tn_parquet_bytes *data, tn_error *err) {
  size_t start = data->length, before_length = d->last.length;
  for (int64_t i = 0; i < count; i++) {
    uint64_t bytes = (uint64_t)(uint32_t)prefixes[i] + (uint32_t)suffixes[i];
    if (data->length + bytes > INT32_MAX) {
      bool sane = prefixes[i] >= 0 && suffixes[i] >= 0 && (size_t)prefixes[i] <= before_length;
      return sane && suffixes[i] <= d->end - d->at ? TN_FULL : ends_early(err);
    }
    if (fixed && bytes != (uint64_t)fixed) return wrong_length((int32_t)bytes, fixed, err);
    TN_TRY(tn_parquet_bytes_reserve(data, (size_t)bytes, err));
    const uint8_t *before = i ? data->data + start : d->last.data;
    size_t next = data->length;
    if (!before) before = data->data; /* nothing came before: only an empty prefix fits */
    TN_TRY(add_prefixed(d, prefixes[i], suffixes[i], before, before_length, data, err));
    start = next;
    before_length = data->length - next;
    ends[i] = (int32_t)data->length;
  }
  d->last.length = 0;
  return tn_parquet_bytes_append(&d->last, data->data + start, before_length, err);
}

tn_status tn_parquet_delta_bytes_read(tn_parquet_delta_bytes *d, int64_t count, int32_t fixed,
                                      int32_t *ends, tn_parquet_bytes *data, tn_error *err) {
  int32_t lengths[AT_ONCE], prefixes[AT_ONCE];
  while (count > 0) {
    int64_t n = count < AT_ONCE ? count : AT_ONCE;
    if (!tn_parquet_delta_read_i32(&d->lengths, lengths, n)) return ends_early(err);
    if (d->prefixed && !tn_parquet_delta_read_i32(&d->prefixes, prefixes, n)) {
      return ends_early(err);
    }
    TN_TRY(d->prefixed ? add_all_prefixed(d, prefixes, lengths, n, fixed, ends, data, err)
                       : add_lengths(d, lengths, n, fixed, ends, data, err));
    ends += n;
    count -= n;
  }
  return TN_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/builder.h"

#include <assert.h>
#include <string.h>

#define ROWS_MAX ((int64_t)1 << 40)

static int64_t values_bytes(const tn_builder *b, int64_t rows) {
  if (b->bits == 0) return (rows + 1) * 4; /* offsets */
  return b->bits == 1 ? (rows + 7) / 8 : rows * (b->bits / 8);
}

/* A zeroed aligned block with the first `used` bytes of `old`. */
static void *moved(const void *old, int64_t used, int64_t bytes) {
  void *fresh = tn_alloc_aligned((size_t)((bytes + 63) & ~(int64_t)63));
  if (fresh && old && used > 0) memcpy(fresh, old, (size_t)used);
  return fresh;
}

static int64_t max_of(int64_t a, int64_t b) {
  return a > b ? a : b;
}

static tn_status grow_rows(tn_builder *b, int64_t want, tn_error *err) {
  if (want > ROWS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "array of %lld rows, limit %lld", (long long)want,
                   (long long)ROWS_MAX);
  int64_t rows = max_of(max_of(want, b->row_hint), max_of(64, 2 * b->row_capacity));
  rows = (rows + 63) & ~(int64_t)63;
  int64_t bytes = values_bytes(b, rows);
  void *values = moved(b->values, b->values ? values_bytes(b, b->length) : 0, bytes);
  uint8_t *valid = b->valid ? moved(b->valid, (b->length + 7) / 8, rows / 8) : NULL;
  if (!values || (b->valid && !valid)) {
    tn_free(values);
    tn_free(valid);
    return tn_fail_memory(err, "column values", (unsigned long long)bytes);
  }
  tn_free(b->values);
  tn_free(b->valid);
  b->values = values;
  b->valid = valid;
  b->row_capacity = rows;
  return TN_OK;
}

static tn_status grow_bytes(tn_builder *b, int64_t want, tn_error *err) {
  if (want > INT32_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%lld bytes of text in one %s array, limit 2 GiB",
                   (long long)want, tn_column_type_name(b->type));
  int64_t bytes = max_of(max_of(want, b->bytes_hint), max_of(256, 2 * b->bytes_capacity));
  uint8_t *fresh = moved(b->bytes, b->bytes_length, bytes);
  if (!fresh) return tn_fail_memory(err, "column text", (unsigned long long)bytes);
  tn_free(b->bytes);
  b->bytes = fresh;
  b->bytes_capacity = bytes;
  return TN_OK;
}

tn_status tn_builder_reserve(tn_builder *b, int64_t rows, int64_t bytes, tn_error *err) {
  if (!b->values || b->length + rows > b->row_capacity) TN_TRY(grow_rows(b, b->length + rows, err));
  if (b->bits == 0 && (!b->bytes || b->bytes_length + bytes > b->bytes_capacity))
    TN_TRY(grow_bytes(b, b->bytes_length + bytes, err));
  return TN_OK;
}

tn_status tn_builder_new(tn_builder **out, tn_column_type type, tn_error *err) {
  tn_builder *b = tn_alloc(1, sizeof *b);
  if (!b) return tn_fail_memory(err, "array builder", sizeof *b);
  b->type = type;
  b->bits = tn_column_type_bits(type);
  *out = b;
  return TN_OK;
}

static void builder_reset(tn_builder *b) {
  b->row_hint = b->length;
  b->bytes_hint = b->bytes_length + b->bytes_length / 8;
  if (b->bytes_hint > INT32_MAX) b->bytes_hint = INT32_MAX;
  b->length = b->null_count = b->row_capacity = b->bytes_length = b->bytes_capacity = 0;
  b->valid = NULL;
  b->values = NULL;
  b->bytes = NULL;
}

void tn_builder_free(tn_builder *b) {
  if (!b) return;
  tn_free(b->valid);
  tn_free(b->values);
  tn_free(b->bytes);
  tn_free(b);
}

int64_t tn_builder_length(const tn_builder *b) {
  return b->length;
}

/* The first null: everything before it was valid. */
static tn_status start_validity(tn_builder *b, tn_error *err) {
  b->valid = tn_alloc_aligned((size_t)((b->row_capacity / 8 + 63) & ~(int64_t)63));
  if (!b->valid) return tn_fail_memory(err, "column validity", (size_t)b->row_capacity / 8);
  memset(b->valid, 0xff, (size_t)(b->length / 8));
  if (b->length % 8) b->valid[b->length / 8] = (uint8_t)((1u << (b->length % 8)) - 1);
  return TN_OK;
}

tn_status tn_builder_append_null(tn_builder *b, tn_error *err) {
  TN_TRY(tn_builder_reserve(b, 1, 0, err));
  if (!b->valid) TN_TRY(start_validity(b, err));
  if (b->bits == 0) ((int32_t *)b->values)[b->length + 1] = (int32_t)b->bytes_length;
  b->length++;
  b->null_count++;
  return TN_OK;
}

static bool fits(tn_column_type type, int64_t value) {
  switch (type) {
    case TN_COLUMN_BOOL:
      return value == 0 || value == 1;
    case TN_COLUMN_INT8:
      return value == (int8_t)value;
    case TN_COLUMN_UINT8:
      return value == (uint8_t)value;
    case TN_COLUMN_INT16:
      return value == (int16_t)value;
    case TN_COLUMN_UINT16:
      return value == (uint16_t)value;
    case TN_COLUMN_INT32:
    case TN_COLUMN_DATE32:
      return value == (int32_t)value;
    case TN_COLUMN_UINT32:
      return value == (uint32_t)value;
    default:
      return true; /* 64 bits; a uint64 travels as its bit pattern */
  }
}

static bool takes_i64(tn_column_type type) {
  return type != TN_COLUMN_FLOAT && type != TN_COLUMN_DOUBLE && type != TN_COLUMN_STRING &&
         type != TN_COLUMN_BINARY;
}

static tn_status wrong_kind(const tn_builder *b, const char *kind, tn_error *err) {
  return tn_fail(err, TN_ERR_ARGUMENT, "a %s column takes no %s", tn_column_type_name(b->type),
                 kind);
}

tn_status tn_builder_append_i64(tn_builder *b, int64_t value, tn_error *err) {
  if (!takes_i64(b->type)) return wrong_kind(b, "integer", err);
  assert(fits(b->type, value));
  TN_TRY(tn_builder_reserve(b, 1, 0, err));
  switch (b->bits) {
    case 1:
      tn_builder_put_bit(b, value != 0);
      return TN_OK;
    case 8:
      ((int8_t *)b->values)[b->length] = (int8_t)value;
      break;
    case 16:
      ((int16_t *)b->values)[b->length] = (int16_t)value;
      break;
    case 32:
      ((int32_t *)b->values)[b->length] = (int32_t)value;
      break;
    default:
      ((int64_t *)b->values)[b->length] = value;
      break;
  }
  tn_builder_mark_valid(b);
  return TN_OK;
}

tn_status tn_builder_append_f64(tn_builder *b, double value, tn_error *err) {
  if (b->type != TN_COLUMN_DOUBLE && b->type != TN_COLUMN_FLOAT)
    return wrong_kind(b, "floating-point number", err);
  TN_TRY(tn_builder_reserve(b, 1, 0, err));
  if (b->type == TN_COLUMN_DOUBLE)
    ((double *)b->values)[b->length] = value;
  else
    ((float *)b->values)[b->length] = (float)value;
  tn_builder_mark_valid(b);
  return TN_OK;
}

tn_status tn_builder_append_str(tn_builder *b, tn_str value, tn_error *err) {
  if (b->bits != 0) return wrong_kind(b, "text", err);
  if (value.length > INT32_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "text of %zu bytes, limit 2 GiB", value.length);
  TN_TRY(tn_builder_reserve(b, 1, (int64_t)value.length, err));
  if (value.length) memcpy(b->bytes + b->bytes_length, value.data, value.length);
  tn_builder_put_written(b, (int64_t)value.length);
  return TN_OK;
}

static void free_data(tn_buffer *buffer) {
  tn_free(buffer->data);
}

/* The buffer takes *memory over; on failure it is freed too. */
static tn_status to_buffer(tn_buffer **out, void **memory, int64_t bytes, tn_error *err) {
  if (!*memory) return TN_OK;
  tn_status status = tn_buffer_wrap(out, *memory, (size_t)bytes, NULL, free_data, NULL, err);
  if (status != TN_OK) tn_free(*memory);
  *memory = NULL;
  return status;
}

tn_status tn_builder_finish(tn_builder *b, ArrowArray *out, tn_error *err) {
  memset(out, 0, sizeof *out);
  tn_status status = tn_builder_reserve(b, 0, 0, err); /* an empty array has buffers too */
  if (status != TN_OK) return status;
  tn_buffer *buffers[3] = {0};
  void *memory[3] = {b->valid, b->values, b->bytes};
  int64_t bytes[3] = {(b->length + 7) / 8, values_bytes(b, b->length), b->bytes_length};
  for (int i = 0; i < 3; i++) {
    if (status == TN_OK)
      status = to_buffer(&buffers[i], &memory[i], bytes[i], err);
    else
      tn_free(memory[i]);
  }
  if (status == TN_OK) status = tn_array_wrap(out, b->type, b->length, b->null_count, buffers, err);
  for (int i = 0; i < 3; i++) tn_buffer_drop(buffers[i]);
  builder_reset(b);
  return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/csv_column.h"

#include "base/map.h"
#include "columns/array.h"
#include "columns/calendar.h"
#include "columns/csv_fast.h"
#include "columns/csv_value.h"
#include "columns/decimal.h"
#include "columns/half.h"
#include "columns/value.h"

enum { SLACK = 64 }; /* what vector copies may write or read too far */

typedef struct work {
  const tn_csv_column *how;
  tn_csv_rows *rows;
  const tn_csv_misfits *misfits;
  void *values;   /* by layout: values, bits, offsets */
  uint8_t *bytes; /* of text */
  int64_t bytes_length;
  uint8_t *valid; /* NULL: no null so far */
  int64_t null_count;
  uint8_t *scratch; /* for escaped fields */
  size_t scratch_bytes;
  bool stop; /* FAIL has its misfit */
  tn_status status;
  tn_error *err;
} work;

tn_status tn_csv_column_check(const tn_type *type, tn_error *err) {
  bool known =
      type->id == TN_TYPE_NULL || (type->id >= TN_TYPE_BOOL && type->id <= TN_TYPE_DURATION);
  if (known && type->layout != TN_LAYOUT_VIEW) return TN_OK;
  char format[TN_TYPE_FORMAT_BYTES];
  tn_type_format(type, format);
  return tn_fail(err, TN_ERR_UNSUPPORTED, "a CSV column cannot be read as %s (\"%s\")",
                 tn_type_name(type->id), format);
}

/* ---- nulls and misfits ---- */
static tn_status set_null(work *w, int64_t row) {
  if (!w->valid) {
    size_t bytes = (size_t)(w->rows->rows + 7) / 8;
    w->valid = tn_realloc(NULL, bytes + SLACK, 1);
    if (!w->valid) return tn_fail_memory(w->err, "CSV column", bytes);
    memset(w->valid, 0xff, bytes);
    if (w->rows->rows % 8) w->valid[bytes - 1] = (uint8_t)((1u << (w->rows->rows % 8)) - 1);
  }
  w->valid[row >> 3] &= (uint8_t) ~(1u << (row & 7));
  w->null_count++;
  return TN_OK;
}

/* The value at p, of row r of the segment, does not fit; it is null from now on. */
static void misfit(work *w, const tn_csv_segment *s, int64_t r, int64_t row, const uint8_t *p,
                   tn_csv_fault fault) {
  uint32_t record = tn_csv_rows_place(w->rows, s, r);
  uint32_t place = s->places ? record : (uint32_t)(p - w->rows->text);
  const tn_csv_misfits *m = w->misfits;
  tn_csv_flaw flaw = {fault, record, place, w->how->column, m->output, false, row};
  if (m->on_error == TN_ON_ERROR_FAIL) {
    *m->first = flaw;
    w->stop = true;
    return;
  }
  bool first = true;
  if (m->on_error == TN_ON_ERROR_SKIP) {
    uint8_t bit = (uint8_t)(1u << (row & 7));
    first = !(m->drop[row >> 3] & bit);
    m->drop[row >> 3] |= bit;
    flaw.skipped = true;
  }
  if (first) w->status = tn_csv_rows_add_flaw(w->rows, &flaw, w->err);
  if (w->status == TN_OK) w->status = set_null(w, row);
}

static bool is_null_text(const tn_csv_column *how, const uint8_t *p, size_t length) {
  for (int32_t i = 0; i < how->null_text_count; i++)
    if (how->null_texts[i].length == length && memcmp(how->null_texts[i].data, p, length) == 0)
      return true;
  return false;
}

/* ---- text of a field ---- */
/* Copies without the doubling of quotes. */
static size_t undouble(const uint8_t *p, size_t length, uint8_t quote, uint8_t *to) {
  const uint8_t *end = p + length;
  uint8_t *start = to;
  while (p < end) {
    const uint8_t *q = memchr(p, quote, (size_t)(end - p));
    size_t run = (size_t)((q ? q + 1 : end) - p); /* with the first of two quotes */
    memcpy(to, p, run);
    to += run;
    p += run + (q != NULL);
  }
  return (size_t)(to - start);
}

static bool scratch_text(work *w, const uint8_t *p, size_t length, tn_str *out) {
  if (length + SLACK > w->scratch_bytes) {
    uint8_t *grown = tn_realloc(w->scratch, length + SLACK, 1);
    if (!grown) {
      w->status = tn_fail_memory(w->err, "CSV field", length);
      return false;
    }
    w->scratch = grown;
    w->scratch_bytes = length + SLACK;
  }
  *out = (tn_str){(const char *)w->scratch, undouble(p, length, w->how->quote, w->scratch)};
  return true;
}

/* The field's text without quotes; one with doubled quotes is made in the scratch. */
static bool text_of(work *w, const uint8_t *p, const uint8_t *q, tn_str *out) {
  *out = (tn_str){(const char *)p, (size_t)(q - p)};
  if (p == q || *p != w->how->quote || !w->how->quote) return true;
  p++, q--;
  *out = (tn_str){(const char *)p, (size_t)(q - p)};
  if (!memchr(p, w->how->quote, out->length)) return true;
  return scratch_text(w, p, out->length, out);
}

/* ---- one value with care ---- */
static bool int_fits(tn_type_id id, int64_t v) {
  switch (id) {
    case TN_TYPE_INT8:
      return v == (int8_t)v;
    case TN_TYPE_UINT8:
      return v == (uint8_t)v;
    case TN_TYPE_INT16:
      return v == (int16_t)v;
    case TN_TYPE_UINT16:
      return v == (uint16_t)v;
    case TN_TYPE_INT32:
    case TN_TYPE_DATE32:
    case TN_TYPE_TIME32:
      return v == (int32_t)v;
    case TN_TYPE_UINT32:
      return v == (uint32_t)v;
    default:
      return true;
  }
}

static bool u64_value(tn_str text, int64_t *value) {
  uint64_t bits;
  if (text.length > 1 && text.data[0] == '+') text = (tn_str){text.data + 1, text.length - 1};
  while (text.length > 1 && text.data[0] == '0') text = (tn_str){text.data + 1, text.length - 1};
  if (!tn_str_to_u64(text, &bits)) return false;
  *value = (int64_t)bits;
  return true;
}

/* A column without a zone takes no text with one.  In a column with a zone a text without an offset
 * is a time in that zone when the column's type is declared and the zone is a fixed offset. */
static bool timestamp_value(const tn_csv_column *how, tn_str text, int64_t *value) {
  bool has_zone;
  int64_t per_second = tn_time_units_per_second(how->type.unit), offset;
  if (!tn_csv_to_time(text, per_second, value, &has_zone)) return false;
  if (how->type.timezone.length == 0) return !has_zone;
  if (has_zone) return true;
  return how->declared && tn_zone_offset(how->type.timezone, &offset) &&
         !__builtin_mul_overflow(offset, per_second, &offset) &&
         !__builtin_sub_overflow(*value, offset, value);
}

/* Every type whose values fit int64. */
static bool i64_value(const tn_csv_column *how, tn_str text, int64_t *value) {
  int64_t per_second = tn_time_units_per_second(how->type.unit);
  bool flag;
  switch (how->type.id) {
    case TN_TYPE_BOOL:
      if (!tn_csv_to_bool(text, &flag)) return false;
      *value = flag;
      return true;
    case TN_TYPE_UINT64:
      return u64_value(text, value);
    case TN_TYPE_DATE32:
      return tn_csv_to_date(text, value);
    case TN_TYPE_DATE64:
      if (!tn_csv_to_date(text, value)) return false;
      *value *= 86400000;
      return true;
    case TN_TYPE_TIME32:
    case TN_TYPE_TIME64:
      return tn_csv_to_clock(text, per_second, value);
    case TN_TYPE_TIMESTAMP:
      return timestamp_value(how, text, value);
    case TN_TYPE_DURATION:
      return tn_csv_to_duration(text, per_second, value) ||
             (how->declared && tn_csv_to_i64(text, true, value));
    default:
      return tn_csv_to_i64(text, how->declared, value) && int_fits(how->type.id, *value);
  }
}

static bool store_real(work *w, tn_str text, int64_t row) {
  double real;
  if (!tn_csv_to_f64(text, w->how->declared, &real)) return false;
  if (w->how->type.id == TN_TYPE_DOUBLE)
    ((double *)w->values)[row] = real;
  else if (w->how->type.id == TN_TYPE_FLOAT)
    ((float *)w->values)[row] = (float)real;
  else
    ((uint16_t *)w->values)[row] = tn_half_of_f64(real);
  return true;
}

static void store_i64(void *values, int32_t bits, int64_t row, int64_t value) {
  switch (bits) {
    case 1:
      ((uint8_t *)values)[row >> 3] |= (uint8_t)((value & 1) << (row & 7));
      return;
    case 8:
      ((int8_t *)values)[row] = (int8_t)value;
      return;
    case 16:
      ((int16_t *)values)[row] = (int16_t)value;
      return;
    case 32:
      ((int32_t *)values)[row] = (int32_t)value;
      return;
    default:
      ((int64_t *)values)[row] = value;
  }
}

/* Any type of fixed width. */
static bool store_value(work *w, tn_str text, int64_t row) {
  const tn_type *type = &w->how->type;
  if (tn_type_is_real(type->id)) return store_real(w, text, row);
  if (tn_type_is_decimal(type->id)) {
    tn_decimal_value value;
    return tn_decimal_parse(text, type->precision, type->scale, &value) &&
           tn_decimal_store(&value, type->bits, (uint8_t *)w->values + row * (type->bits / 8));
  }
  if (type->id == TN_TYPE_FIXED_BINARY) {
    if (text.length != (size_t)type->size) return false;
    if (text.length) memcpy((uint8_t *)w->values + row * type->size, text.data, text.length);
    return true;
  }
  int64_t value;
  if (!i64_value(w->how, text, &value)) return false;
  store_i64(w->values, type->bits, row, value);
  return true;
}

static void null_value(work *w, const tn_csv_segment *s, int64_t r, int64_t row, const uint8_t *p) {
  if (w->how->required)
    misfit(w, s, r, row, p, TN_CSV_BAD_VALUE);
  else
    w->status = set_null(w, row);
}

/* What a fast loop did not take.  false: the column ends here. */
static bool careful(work *w, const tn_csv_segment *s, int64_t r, int64_t row, const uint8_t *p,
                    const uint8_t *q) {
  tn_str text;
  if (w->how->type.id == TN_TYPE_NULL)
    misfit(w, s, r, row, p, TN_CSV_BAD_VALUE);
  else if (text_of(w, p, q, &text) && !store_value(w, text, row))
    misfit(w, s, r, row, p, TN_CSV_BAD_VALUE);
  return w->status == TN_OK && !w->stop;
}

/* ---- the loops ----
 * EACH_FIELD runs its body for each field that is not null: p to q is its text, `row` its row. */
#define EACH_FIELD(w)                                                                             \
  const tn_csv_column *const how = (w)->how;                                                      \
  const int64_t stride = (w)->rows->columns;                                                      \
  int64_t first_row = 0;                                                                          \
  for (size_t i = 0; i < (w)->rows->segment_count; first_row += (w)->rows->segments[i].rows, i++) \
    for (const tn_csv_segment *s = &(w)->rows->segments[i]; s; s = NULL)                          \
      for (int64_t r = 0, row = first_row; r < s->rows; r++, row++)

#define FIELD(w)                                                                   \
  const uint32_t *ends = s->ends + r * stride + how->column;                       \
  const uint8_t *p = s->base + (uint32_t)(ends[-1] + 1), *q = s->base + *ends;     \
  if (how->strip_cr && q > p && q[-1] == '\r') q--;                                \
  if (p == q || (how->null_text_count && is_null_text(how, p, (size_t)(q - p)))) { \
    null_value(w, s, r, row, p);                                                   \
    if ((w)->status != TN_OK || (w)->stop) return;                                 \
    continue;                                                                      \
  }

static void convert_i64(work *w) {
  int64_t *values = w->values;
  EACH_FIELD(w) {
    FIELD(w)
    if (!fast_i64(p, q, how->declared, &values[row]) && !careful(w, s, r, row, p, q)) return;
  }
}

static void convert_i32(work *w) {
  int32_t *values = w->values;
  EACH_FIELD(w) {
    FIELD(w)
    int64_t value;
    bool fits = fast_i64(p, q, how->declared, &value) && value == (int32_t)value;
    if (fits)
      values[row] = (int32_t)value;
    else if (!careful(w, s, r, row, p, q))
      return;
  }
}

static void convert_f64(work *w) {
  double *values = w->values;
  EACH_FIELD(w) {
    FIELD(w)
    if (!fast_f64(p, q, &values[row]) && !careful(w, s, r, row, p, q)) return;
  }
}

static void convert_date(work *w) {
  int32_t *values = w->values;
  last_date last = {0};
  EACH_FIELD(w) {
    FIELD(w)
    int64_t days;
    if (q - p == 10 && fast_date(p, &last, &days))
      values[row] = (int32_t)days;
    else if (!careful(w, s, r, row, p, q))
      return;
  }
}

static void convert_timestamp(work *w) {
  int64_t *values = w->values;
  const bool plain = w->how->type.timezone.length == 0 && w->how->type.unit <= TN_MICROS;
  const int64_t per_second = tn_time_units_per_second(w->how->type.unit);
  last_date last = {0};
  EACH_FIELD(w) {
    FIELD(w)
    int64_t days, seconds;
    if (plain && q - p == 19 && (p[10] == ' ' || p[10] == 'T') && fast_date(p, &last, &days) &&
        fast_clock(p + 11, &seconds))
      values[row] = (days * 86400 + seconds) * per_second;
    else if (!careful(w, s, r, row, p, q))
      return;
  }
}

static void convert_bool(work *w) {
  uint8_t *bits = w->values;
  const uint64_t is_true = load8((const uint8_t *)"true\0\0\0\0");
  const uint64_t is_false = load8((const uint8_t *)"false\0\0\0");
  EACH_FIELD(w) {
    FIELD(w)
    uint64_t word = load8(p);
    if (q - p == 4 && (word & 0xffffffff) == is_true)
      bits[row >> 3] |= (uint8_t)(1u << (row & 7));
    else if ((q - p != 5 || (word & 0xffffffffff) != is_false) && !careful(w, s, r, row, p, q))
      return;
  }
}

static void convert_other(work *w) {
  EACH_FIELD(w) {
    FIELD(w)
    if (!careful(w, s, r, row, p, q)) return;
  }
}

/* ---- text ---- */
/* 16 or 32 bytes at a time, up to 31 too many. */
static inline void copy_loosely(uint8_t *to, const uint8_t *from, size_t length) {
  if (length <= 16) {
    memcpy(to, from, 16);
    return;
  }
  if (length > 256) {
    memcpy(to, from, length);
    return;
  }
  for (size_t i = 0; i < length; i += 32) memcpy(to + i, from + i, 32);
}

static bool is_utf8(const tn_type *type, const uint8_t *p, size_t length) {
  return !tn_type_is_text(type->id) || tn_utf8_valid((tn_str){(const char *)p, length});
}

#define CONVERT_TEXT(name, offset_type)                    \
  static void name(work *w) {                              \
    offset_type *offsets = w->values;                      \
    uint8_t *to = w->bytes;                                \
    const bool plain = w->rows->plain_text;                \
    EACH_FIELD(w) {                                        \
      offsets[row] = (offset_type)(to - w->bytes);         \
      FIELD(w)                                             \
      size_t length = (size_t)(q - p);                     \
      if (*p == how->quote && how->quote) {                \
        p++, length -= 2;                                  \
        if (memchr(p, how->quote, length))                 \
          length = undouble(p, length, how->quote, to);    \
        else                                               \
          copy_loosely(to, p, length);                     \
      } else {                                             \
        copy_loosely(to, p, length);                       \
      }                                                    \
      if (!plain && !is_utf8(&how->type, to, length)) {    \
        misfit(w, s, r, row, p, TN_CSV_BAD_TEXT);          \
        if (w->status != TN_OK || w->stop) return;         \
        continue;                                          \
      }                                                    \
      to += length;                                        \
    }                                                      \
    w->bytes_length = to - w->bytes;                       \
    offsets[w->rows->rows] = (offset_type)w->bytes_length; \
  }
CONVERT_TEXT(convert_text, int32_t)
CONVERT_TEXT(convert_large_text, int64_t)

static int64_t text_bytes(const tn_csv_column *how, const tn_csv_rows *rows) {
  int64_t bytes = 0;
  for (size_t i = 0; i < rows->segment_count; i++) {
    const tn_csv_segment *s = &rows->segments[i];
    const uint32_t *e = s->ends + how->column;
    for (int64_t r = 0; r < s->rows; r++, e += rows->columns) bytes += (uint32_t)(e[0] - e[-1] - 1);
  }
  return bytes;
}

static void convert(work *w) {
  switch (w->how->type.id) {
    case TN_TYPE_INT64:
      convert_i64(w);
      return;
    case TN_TYPE_INT32:
      convert_i32(w);
      return;
    case TN_TYPE_DOUBLE:
      convert_f64(w);
      return;
    case TN_TYPE_DATE32:
      convert_date(w);
      return;
    case TN_TYPE_TIMESTAMP:
      convert_timestamp(w);
      return;
    case TN_TYPE_BOOL:
      convert_bool(w);
      return;
    case TN_TYPE_STRING:
    case TN_TYPE_BINARY:
      convert_text(w);
      return;
    case TN_TYPE_LARGE_STRING:
    case TN_TYPE_LARGE_BINARY:
      convert_large_text(w);
      return;
    default:
      convert_other(w);
  }
}

/* ---- buffers ---- */
static size_t values_bytes(const tn_type *type, int64_t rows) {
  if (type->layout == TN_LAYOUT_BYTES) return (size_t)(rows + 1) * 4;
  if (type->layout == TN_LAYOUT_LARGE_BYTES) return (size_t)(rows + 1) * 8;
  return ((size_t)rows * (size_t)type->bits + 7) / 8;
}

static tn_status allocate(work *w) {
  const tn_type *type = &w->how->type;
  size_t bytes = values_bytes(type, w->rows->rows);
  bool is_text = type->layout == TN_LAYOUT_BYTES || type->layout == TN_LAYOUT_LARGE_BYTES;
  int64_t text = is_text && w->how->column >= 0 ? text_bytes(w->how, w->rows) : 0;
  if (type->layout == TN_LAYOUT_BYTES && text > INT32_MAX)
    return tn_fail(w->err, TN_ERR_LIMIT, "%lld bytes of text in one %s array, limit 2 GiB",
                   (long long)text, tn_type_name(type->id));
  w->values = tn_realloc(NULL, bytes + SLACK, 1);
  if (is_text) w->bytes = tn_realloc(NULL, (size_t)text + SLACK, 1);
  if (!w->values || (is_text && !w->bytes))
    return tn_fail_memory(w->err, "CSV column", bytes + (size_t)text);
  if (type->bits == 1 || w->how->column < 0) memset(w->values, 0, bytes);
  return TN_OK;
}

static void free_data(tn_buffer *buffer) {
  tn_free(buffer->data);
}

/* The buffer takes *memory over; on failure it is freed too. */
static tn_status to_buffer(tn_buffer **out, void *memory, size_t bytes, tn_error *err) {
  tn_status status = tn_buffer_wrap(out, memory, bytes, NULL, free_data, NULL, err);
  if (status != TN_OK) tn_free(memory);
  return status;
}

/* Null slots hold zeros, so that the same file always gives the same bytes. */
static void zero_nulls(work *w) {
  const size_t bytes = (size_t)w->how->type.bits / 8;
  if (!w->valid || w->how->type.bits < 8) return;
  for (int64_t i = 0; i < w->rows->rows; i++)
    if (!(w->valid[i >> 3] >> (i & 7) & 1))
      memset((uint8_t *)w->values + (size_t)i * bytes, 0, bytes);
}

static tn_status finish(work *w, ArrowArray *out) {
  const tn_type *type = &w->how->type;
  const int64_t rows = w->rows->rows;
  zero_nulls(w);
  tn_buffer *buffers[3] = {0};
  void *memory[3] = {w->valid, w->values, w->bytes};
  size_t bytes[3] = {(size_t)(rows + 7) / 8, values_bytes(type, rows), (size_t)w->bytes_length};
  w->valid = w->bytes = NULL;
  w->values = NULL;
  tn_status status = TN_OK;
  for (int i = 0; i < 3; i++) {
    if (!memory[i]) continue;
    if (status == TN_OK)
      status = to_buffer(&buffers[i], memory[i], bytes[i], w->err);
    else
      tn_free(memory[i]);
  }
  if (status == TN_OK) {
    const tn_array_parts parts = {.length = rows,
                                  .null_count = type->id == TN_TYPE_NULL ? rows : w->null_count,
                                  .buffers = buffers,
                                  .buffer_count = tn_layout_buffers(type->layout)};
    status = tn_array_make(out, &parts, w->err);
  }
  for (int i = 0; i < 3; i++) tn_buffer_drop(buffers[i]);
  return status;
}

/* ---- dictionaries: one a batch ---- */
static tn_status index_text(const ArrowArray *plain, tn_map *seen, void *indices, int32_t bits,
                            tn_error *err) {
  const int32_t *offsets = plain->buffers[1];
  for (int64_t i = 0; i < plain->length; i++) {
    uint64_t index = 0;
    if (!tn_array_is_null(plain, i)) {
      tn_str text = {(const char *)plain->buffers[2] + offsets[i],
                     (size_t)(offsets[i + 1] - offsets[i])};
      if (!tn_map_get(seen, text, &index)) {
        index = seen->count;
        TN_TRY(tn_map_put(seen, text, index, err));
      }
      if (index >= (uint64_t)1 << (bits == 64 ? 62 : bits - 1))
        return tn_fail(err, TN_ERR_LIMIT,
                       "more different texts than %d-bit dictionary indices hold", bits);
    }
    store_i64(indices, bits, i, (int64_t)index);
  }
  return TN_OK;
}

static tn_status make_dictionary(const tn_map *seen, ArrowArray *out, tn_error *err) {
  int64_t bytes = 0;
  for (size_t i = 0; i < seen->count; i++) bytes += (int64_t)seen->entries[i].key.length;
  tn_buffer *buffers[3] = {0};
  TN_TRY(tn_buffer_new(&buffers[1], (seen->count + 1) * 4, err));
  tn_status status = tn_buffer_new(&buffers[2], (size_t)bytes + 1, err);
  if (status == TN_OK) {
    int32_t *offsets = buffers[1]->data, at = 0;
    for (size_t i = 0; i < seen->count; i++) {
      tn_str key = seen->entries[i].key;
      if (key.length) memcpy((uint8_t *)buffers[2]->data + at, key.data, key.length);
      offsets[i + 1] = at += (int32_t)key.length;
    }
    const tn_array_parts parts = {
        .length = (int64_t)seen->count, .buffers = buffers, .buffer_count = 3};
    status = tn_array_make(out, &parts, err);
  }
  tn_buffer_drop(buffers[1]);
  tn_buffer_drop(buffers[2]);
  return status;
}

/* Takes the place of the plain text array in *array. */
static tn_status encode_dictionary(const tn_csv_column *how, ArrowArray *array, tn_error *err) {
  tn_map seen = {0};
  ArrowArray dictionary = {0}, encoded = {0};
  tn_buffer *buffers[2] = {0};
  int32_t bits = how->index == TN_TYPE_INT8 || how->index == TN_TYPE_UINT8     ? 8
                 : how->index == TN_TYPE_INT16 || how->index == TN_TYPE_UINT16 ? 16
                 : how->index == TN_TYPE_INT64 || how->index == TN_TYPE_UINT64 ? 64
                                                                               : 32;
  tn_status status = tn_buffer_new(&buffers[1], (size_t)array->length * 8, err);
  if (status == TN_OK) status = index_text(array, &seen, buffers[1]->data, bits, err);
  if (status == TN_OK && array->buffers[0]) {
    size_t bytes = (size_t)(array->length + 7) / 8;
    status = tn_buffer_new(&buffers[0], bytes, err);
    if (status == TN_OK) memcpy(buffers[0]->data, array->buffers[0], bytes);
  }
  if (status == TN_OK) status = make_dictionary(&seen, &dictionary, err);
  if (status == TN_OK) {
    const tn_array_parts parts = {.length = array->length,
                                  .null_count = array->null_count,
                                  .buffers = buffers,
                                  .buffer_count = 2,
                                  .dictionary = &dictionary};
    status = tn_array_make(&encoded, &parts, err);
  }
  tn_buffer_drop(buffers[0]);
  tn_buffer_drop(buffers[1]);
  tn_map_clear(&seen);
  tn_array_clear(array);
  *array = encoded;
  return status;
}

/* A column that the file does not have. */
static void all_null(work *w) {
  for (int64_t row = 0; row < w->rows->rows && w->status == TN_OK; row++)
    w->status = set_null(w, row);
}

tn_status tn_csv_column_convert(const tn_csv_column *column, tn_csv_rows *rows,
                                const tn_csv_misfits *misfits, ArrowArray *out, tn_error *err) {
  memset(out, 0, sizeof *out);
  work w = {.how = column, .rows = rows, .misfits = misfits, .err = err};
  w.status = allocate(&w);
  if (w.status == TN_OK) column->column < 0 ? all_null(&w) : convert(&w);
  if (w.status == TN_OK && !w.stop) w.status = finish(&w, out);
  tn_free(w.values);
  tn_free(w.bytes);
  tn_free(w.valid);
  tn_free(w.scratch);
  if (w.status == TN_OK && out->release && column->index != TN_TYPE_NULL)
    w.status = encode_dictionary(column, out, err);
  return w.status;
}

/* ---- inference ---- */
static void look_at(tn_csv_kinds_seen *seen, tn_str text) {
  uint32_t kinds = tn_csv_kinds(text);
  seen->kinds &= kinds;
  seen->fraction |= (kinds & TN_CSV_FRACTION) != 0;
  seen->huge |= (kinds & TN_CSV_HUGE) != 0;
  seen->value = true;
}

tn_status tn_csv_column_look(const tn_csv_column *how, const tn_csv_rows *rows, int64_t rows_max,
                             tn_csv_kinds_seen *seen, tn_error *err) {
  if (!seen->value) seen->kinds = TN_CSV_ALL;
  for (size_t i = 0; i < rows->segment_count && seen->kinds != TN_CSV_TEXT; i++) {
    const tn_csv_segment *s = &rows->segments[i];
    const uint32_t *ends = s->ends + how->column;
    for (int64_t r = 0; r < s->rows && rows_max > 0; r++, rows_max--, ends += rows->columns) {
      const uint8_t *p = s->base + (uint32_t)(ends[-1] + 1), *q = s->base + *ends;
      if (how->strip_cr && q > p && q[-1] == '\r') q--;
      if (p == q || (how->null_text_count && is_null_text(how, p, (size_t)(q - p)))) continue;
      tn_str text = {(const char *)p, (size_t)(q - p)};
      if (how->quote && *p == how->quote) text = (tn_str){text.data + 1, text.length - 2};
      look_at(seen, text); /* one with a doubled quote is text either way */
      if (seen->kinds == TN_CSV_TEXT) return TN_OK;
    }
  }
  return TN_OK;
}

void tn_csv_kinds_merge(tn_csv_kinds_seen *into, const tn_csv_kinds_seen *from) {
  if (!from->value) return;
  into->kinds = into->value ? into->kinds & from->kinds : from->kinds;
  into->fraction |= from->fraction;
  into->huge |= from->huge;
  into->value = true;
}

const char *tn_csv_kinds_format(const tn_csv_kinds_seen *seen) {
  static const struct {
    uint32_t kind;
    const char *format;
  } order[] = {{TN_CSV_BOOL, "b"},   {TN_CSV_INT, "l"},     {TN_CSV_REAL, "g"},
               {TN_CSV_DATE, "tdD"}, {TN_CSV_TIME, "tsu:"}, {TN_CSV_TIME_UTC, "tsu:UTC"},
               {TN_CSV_CLOCK, "ttu"}};
  if (!seen->value) return "u";
  for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
    if (!(seen->kinds & order[i].kind)) continue;
    /* Integers of which some pass int64 are identifiers: as doubles they would be rounded. */
    bool rounds = order[i].kind == TN_CSV_REAL && seen->huge && !seen->fraction;
    return rounds ? "u" : order[i].format;
  }
  return "u";
}

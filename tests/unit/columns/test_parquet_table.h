/* test_parquet_table.h - random tables, written to memory, read back and compared.
 *
 * What the Parquet tests share.  A table is a pure function of its seed. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TESTS_PARQUET_TABLE_H
#define TN_TESTS_PARQUET_TABLE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "columns/builder.h"
#include "columns/parquet/parquet.h"
#include "columns/schema.h"
#include "columns/value.h"

/* id, Arrow format */
#define TABLE_TYPE_LIST(X) \
  X(TABLE_BOOL, "b")       \
  X(TABLE_INT8, "c")       \
  X(TABLE_UINT8, "C")      \
  X(TABLE_INT16, "s")      \
  X(TABLE_UINT16, "S")     \
  X(TABLE_INT32, "i")      \
  X(TABLE_UINT32, "I")     \
  X(TABLE_INT64, "l")      \
  X(TABLE_UINT64, "L")     \
  X(TABLE_FLOAT, "f")      \
  X(TABLE_DOUBLE, "g")     \
  X(TABLE_STRING, "u")     \
  X(TABLE_BINARY, "z")     \
  X(TABLE_DATE32, "tdD")   \
  X(TABLE_MILLIS, "tsm:")  \
  X(TABLE_MICROS, "tsu:")  \
  X(TABLE_NANOS, "tsn:")   \
  X(TABLE_UTC, "tsu:UTC")
typedef enum table_type {
#define X(id, format) id,
  TABLE_TYPE_LIST(X)
#undef X
      TABLE_TYPES
} table_type;
static const char *const table_formats[] = {
#define X(id, format) format,
    TABLE_TYPE_LIST(X)
#undef X
};

static inline tn_field table_field(table_type type) {
  tn_field field = {.name = ""};
  if (tn_type_parse(table_formats[type], &field.type, NULL) != TN_OK) abort();
  return field;
}

enum { TABLE_COLUMNS_MAX = 2 * TABLE_TYPES, TABLE_BATCHES_MAX = 16 };

typedef struct test_table {
  ArrowSchema schema;
  table_type types[TABLE_COLUMNS_MAX];
  int64_t columns, rows, batch_count;
  ArrowArray batches[TABLE_BATCHES_MAX];
} test_table;

typedef struct table_shape {
  uint64_t seed;
  int64_t batch_count, batch_rows;
  int64_t distinct; /* values to choose from; 0: all different */
  int64_t run;      /* a value stays for up to so many rows */
  int32_t null_percent;
  int64_t text_bytes; /* longest string */
} table_shape;

#define CHECK_OK(expr, err)                                             \
  do {                                                                  \
    tn_status check_status_ = (expr);                                   \
    if (check_status_ != TN_OK) fail_msg("%s: %s", #expr, (err)->text); \
  } while (0)

static inline void append_random(tn_builder *b, table_type type, uint64_t v, int64_t text_bytes,
                                 tn_error *err) {
  tn_type t = table_field(type).type;
  int32_t bits = t.bits;
  static const double odd[] = {0.0, -0.0, 1e300, -1e-300, __builtin_inf(), -__builtin_inf()};
  if (tn_type_is_bytes(t.id)) {
    char text[512];
    size_t length = text_bytes ? (size_t)(v % (uint64_t)(text_bytes + 1)) : 0;
    for (size_t i = 0; i < length; i++) {
      uint64_t byte = tn_random_u64(v, 5, i);
      text[i] = (char)(type == TABLE_STRING ? 'a' + byte % 26 : byte & 0xff);
    }
    CHECK_OK(tn_builder_append_str(b, (tn_str){text, length}, err), err);
  } else if (tn_type_is_real(t.id)) {
    double d = v % 7 == 0 ? odd[v / 7 % 6] : (double)(int64_t)v / 1e9;
    CHECK_OK(tn_builder_append_f64(b, type == TABLE_FLOAT ? (double)(float)d : d, err), err);
  } else {
    bool is_signed = !tn_type_is_integer(t.id) || tn_type_is_signed(t.id);
    int64_t x = (int64_t)v;
    if (bits < 64 && !is_signed) x = (int64_t)(v & (((uint64_t)1 << bits) - 1));
    if (bits < 64 && is_signed) x = (int64_t)(v << (64 - bits)) >> (64 - bits);
    if (bits == 1) x = (int64_t)(v >> 5 & 1);
    CHECK_OK(tn_builder_append_i64(b, x, err), err);
  }
}

static inline void fill_column(const table_shape *s, table_type type, bool nullable,
                               uint64_t stream, ArrowArray *out, tn_error *err) {
  tn_builder *b;
  CHECK_OK(tn_builder_new_format(&b, table_formats[type], err), err);
  for (int64_t i = 0; i < s->batch_rows; i++) {
    uint64_t place = (uint64_t)(s->run > 1 ? i / s->run : i);
    bool null =
        nullable && tn_random_below(s->seed, stream, 2 * place, 100) < (uint64_t)s->null_percent;
    uint64_t v = tn_random_u64(s->seed, stream, 2 * place + 1);
    if (s->distinct) v = tn_random_u64(s->seed, 77, v % (uint64_t)s->distinct);
    if (null) {
      CHECK_OK(tn_builder_append_null(b, err), err);
    } else {
      append_random(b, type, v, s->text_bytes, err);
    }
  }
  CHECK_OK(tn_builder_finish(b, out, err), err);
  tn_builder_free(b);
}

/* Every type twice: nullable, then required. */
static inline void table_make(test_table *t, const table_shape *s) {
  tn_error err = {0};
  char names[TABLE_COLUMNS_MAX][32];
  const char *pointers[TABLE_COLUMNS_MAX], *formats[TABLE_COLUMNS_MAX];
  memset(t, 0, sizeof *t);
  t->columns = TABLE_COLUMNS_MAX;
  for (int64_t c = 0; c < t->columns; c++) {
    t->types[c] = (table_type)(c / 2);
    formats[c] = table_formats[t->types[c]];
    snprintf(names[c], sizeof names[c], "%s %lld", formats[c], (long long)(c % 2));
    pointers[c] = names[c];
  }
  CHECK_OK(tn_schema_init_flat(&t->schema, pointers, formats, t->columns, &err), &err);
  for (int64_t c = 1; c < t->columns; c += 2) {
    t->schema.children[c]->flags &= ~(int64_t)ARROW_FLAG_NULLABLE;
  }
  for (int64_t k = 0; k < s->batch_count; k++) {
    ArrowArray children[TABLE_COLUMNS_MAX];
    for (int64_t c = 0; c < t->columns; c++) {
      fill_column(s, t->types[c], c % 2 == 0, (uint64_t)(k * 1000 + c), &children[c], &err);
    }
    CHECK_OK(tn_batch_new(&t->batches[k], children, t->columns, s->batch_rows, &err), &err);
    t->rows += s->batch_rows;
  }
  t->batch_count = s->batch_count;
}

static inline void table_clear(test_table *t) {
  tn_schema_clear(&t->schema);
  for (int64_t k = 0; k < t->batch_count; k++) tn_array_clear(&t->batches[k]);
}

static inline tn_status table_write(const test_table *t, const tn_parquet_write_options *options,
                                    tn_strbuf *out, tn_error *err) {
  tn_sink *sink;
  tn_parquet_writer *w = NULL;
  TN_TRY(tn_sink_open_memory(&sink, "memory", out, err));
  tn_status status = tn_parquet_writer_new(&w, sink, &t->schema, options, err);
  for (int64_t k = 0; k < t->batch_count && status == TN_OK; k++) {
    status = tn_parquet_writer_batch(w, &t->batches[k], err);
  }
  if (status == TN_OK) status = tn_parquet_writer_finish(w, err);
  tn_parquet_writer_free(w);
  tn_sink_close(sink);
  return status;
}

static inline bool same_value(table_type type, const ArrowArray *a, int64_t i, const ArrowArray *b,
                              int64_t j) {
  if (tn_array_is_null(a, i) || tn_array_is_null(b, j)) {
    return tn_array_is_null(a, i) && tn_array_is_null(b, j);
  }
  tn_field f = table_field(type);
  if (tn_type_is_bytes(f.type.id))
    return tn_str_equal(tn_value_bytes(&f, a, i), tn_value_bytes(&f, b, j));
  if (tn_type_is_real(f.type.id)) { /* bits: -0.0 is not 0.0 */
    double x = tn_value_f64(&f, a, i), y = tn_value_f64(&f, b, j);
    return memcmp(&x, &y, sizeof x) == 0;
  }
  return tn_value_i64(&f, a, i) == tn_value_i64(&f, b, j);
}

static inline tn_status open_memory(const tn_strbuf *bytes, const tn_parquet_read_options *options,
                                    ArrowArrayStream *out, tn_error *err) {
  tn_source *source;
  TN_TRY(tn_source_open_memory(&source, "memory", bytes->data, bytes->length, err));
  return tn_parquet_read(out, source, options, err);
}

/* Reads everything and throws it away: what hostile files are put through. */
static inline tn_status read_all_on(const tn_strbuf *bytes, tn_pool *pool, int64_t *rows,
                                    tn_error *err) {
  ArrowArrayStream stream = {0};
  ArrowArray batch = {0};
  tn_parquet_read_options options = {.pool = pool};
  *rows = 0;
  TN_TRY(open_memory(bytes, &options, &stream, err));
  tn_status status = TN_OK;
  while (status == TN_OK) {
    status = tn_stream_next(&stream, &batch, err);
    if (status == TN_OK) *rows += batch.length;
    tn_array_clear(&batch);
    memset(&batch, 0, sizeof batch);
  }
  tn_stream_clear(&stream);
  return status == TN_END ? TN_OK : status;
}

static inline tn_status read_all(const tn_strbuf *bytes, int64_t *rows, tn_error *err) {
  return read_all_on(bytes, NULL, rows, err);
}

static inline void table_check_batch(const test_table *t, const ArrowArray *batch, int64_t from) {
  for (int64_t c = 0; c < t->columns; c++) {
    const ArrowArray *got = batch->children[c];
    int64_t nulls = 0;
    for (int64_t i = 0; i < batch->length; i++) {
      int64_t row = from + i, each = t->batches[0].length;
      const ArrowArray *want = t->batches[row / each].children[c];
      nulls += tn_array_is_null(got, i);
      if (same_value(t->types[c], want, row % each, got, i)) continue;
      fail_msg("column %s, row %lld differs", t->schema.children[c]->name, (long long)row);
    }
    assert_int_equal(got->null_count, nulls);
  }
}

static inline void table_check_on(const test_table *t, const tn_strbuf *bytes, int64_t batch_rows,
                                  tn_pool *pool) {
  tn_error err = {0};
  tn_parquet_read_options options = {.batch_rows = batch_rows, .pool = pool};
  ArrowArrayStream stream = {0};
  ArrowSchema schema = {0};
  int64_t rows = 0;
  CHECK_OK(open_memory(bytes, &options, &stream, &err), &err);
  CHECK_OK(tn_stream_schema(&stream, &schema, &err), &err);
  assert_int_equal(schema.n_children, t->columns);
  for (int64_t c = 0; c < t->columns; c++) {
    assert_string_equal(schema.children[c]->name, t->schema.children[c]->name);
    assert_string_equal(schema.children[c]->format, t->schema.children[c]->format);
    assert_int_equal(schema.children[c]->flags, t->schema.children[c]->flags);
  }
  for (;;) {
    ArrowArray batch = {0};
    tn_status status = tn_stream_next(&stream, &batch, &err);
    if (status == TN_END) break;
    CHECK_OK(status, &err);
    assert_true(batch.length > 0 && batch.length <= batch_rows);
    assert_true(rows + batch.length <= t->rows);
    table_check_batch(t, &batch, rows);
    rows += batch.length;
    tn_array_clear(&batch);
  }
  assert_int_equal(rows, t->rows);
  tn_schema_clear(&schema);
  tn_stream_clear(&stream);
}

static inline void table_check(const test_table *t, const tn_strbuf *bytes, int64_t batch_rows) {
  table_check_on(t, bytes, batch_rows, NULL);
}

#endif

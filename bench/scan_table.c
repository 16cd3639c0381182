/* scan_table.c - reads a table of any format, all of it, and adds it up: what bench_columns.py runs
 * for our side of a scan.
 *
 *     scan_table [--KEY VALUE ...] FILE          options by their names in columns/table_options.h
 *
 * Every value is parsed into its typed column and then visited: numbers are summed, bytes of text
 * counted, true flags counted.  Prints one JSON line. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/json.h"
#include "columns/table_options.h"
#include "columns/type.h"

enum { COLUMNS_MAX = 256 };

typedef struct total {
  double sum;
  int64_t nulls;
} total;

static inline bool is_valid(const uint8_t *validity, int64_t i) {
  return validity[i >> 3] >> (i & 7) & 1;
}

/* Eight sums at a time: one alone would wait for itself.  Integers add up exactly, modulo 2^64. */
#define SUM_VALUES(name, type, wide)                                                       \
  static double sum_##name(const type *values, const ArrowArray *a, bool nulls) {          \
    const uint8_t *validity = a->buffers[0];                                               \
    int64_t i = a->offset, end = i + a->length;                                            \
    wide sums[8] = {0};                                                                    \
    for (; i < end && (i & 7); i++)                                                        \
      sums[0] += !nulls || is_valid(validity, i) ? (wide)values[i] : 0;                    \
    for (; i + 8 <= end; i += 8) {                                                         \
      if (!nulls || validity[i >> 3] == 0xff) {                                            \
        for (int k = 0; k < 8; k++) sums[k] += (wide)values[i + k];                        \
      } else {                                                                             \
        for (int k = 0; k < 8; k++)                                                        \
          sums[k] += is_valid(validity, i + k) ? (wide)values[i + k] : 0;                  \
      }                                                                                    \
    }                                                                                      \
    for (; i < end; i++) sums[0] += !nulls || is_valid(validity, i) ? (wide)values[i] : 0; \
    wide sum = 0;                                                                          \
    for (int k = 0; k < 8; k++) sum += sums[k];                                            \
    return sum_as_double_##wide(sum);                                                      \
  }
static double sum_as_double_uint64_t(uint64_t sum) {
  return (double)(int64_t)sum;
}
static double sum_as_double_double(double sum) {
  return sum;
}
SUM_VALUES(i32, int32_t, uint64_t)
SUM_VALUES(i64, int64_t, uint64_t)
SUM_VALUES(f32, float, double)
SUM_VALUES(f64, double, double)

static double count_flags(const uint8_t *bits, int64_t at, int64_t count) {
  int64_t flags = 0;
  for (; count > 0 && (at & 7); count--, at++) flags += bits[at >> 3] >> (at & 7) & 1;
  for (; count >= 64; count -= 64, at += 64) {
    uint64_t word;
    memcpy(&word, bits + (at >> 3), sizeof word);
    flags += __builtin_popcountll(word);
  }
  for (; count > 0; count--, at++) flags += bits[at >> 3] >> (at & 7) & 1;
  return (double)flags;
}

/* Text: bytes between the first and the last offset; nulls are empty. */
static double sum_column(const tn_type *type, const ArrowArray *a, int64_t nulls) {
  const void *values = a->n_buffers > 1 ? a->buffers[1] : NULL;
  const int32_t *offsets = values;
  if (a->length == 0) return 0;
  switch (type->layout) {
    case TN_LAYOUT_BITS:
      return count_flags(values, a->offset, a->length);
    case TN_LAYOUT_BYTES:
      return (double)offsets[a->offset + a->length] - (double)offsets[a->offset];
    case TN_LAYOUT_FIXED:
      if (type->id == TN_TYPE_DOUBLE) return sum_f64(values, a, nulls > 0);
      if (type->id == TN_TYPE_FLOAT) return sum_f32(values, a, nulls > 0);
      if (type->bits == 64) return sum_i64(values, a, nulls > 0);
      if (type->bits == 32) return sum_i32(values, a, nulls > 0);
      return 0;
    default:
      return 0;
  }
}

static tn_status scan(tn_table *in, total *totals, const tn_field *fields, int64_t *rows,
                      tn_error *err) {
  for (;;) {
    ArrowArray batch = {0};
    tn_status status = tn_stream_next(&in->stream, &batch, err);
    if (status == TN_END) return TN_OK;
    TN_TRY(status);
    *rows += batch.length;
    for (int64_t c = 0; c < batch.n_children; c++) {
      const ArrowArray *column = batch.children[c];
      const tn_field *field = &fields->children[c];
      int64_t nulls = tn_array_null_count(column);
      totals[c].nulls += nulls;
      const ArrowArray *values = field->dictionary ? column->dictionary : column;
      if (!field->dictionary) totals[c].sum += sum_column(&field->type, values, nulls);
    }
    tn_array_clear(&batch);
  }
}

static void print_totals(const ArrowSchema *schema, const total *totals, int64_t rows,
                         const tn_table *in, int64_t start_us) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  tn_strbuf text = {0};
  tn_json_writer w = {.out = &text};
  tn_json_begin_object(&w);
  tn_json_key(&w, "rows"), tn_json_i64(&w, rows);
  tn_json_key(&w, "bytes_read"), tn_json_i64(&w, tn_table_bytes_read(in));
  tn_json_key(&w, "wall"), tn_json_f64(&w, (double)(tn_time_us() - start_us) / 1e6);
  tn_json_key(&w, "cpu");
  tn_json_f64(&w, (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                      (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
  tn_json_key(&w, "columns"), tn_json_begin_object(&w);
  for (int64_t c = 0; c < schema->n_children; c++) {
    tn_json_key(&w, schema->children[c]->name), tn_json_begin_array(&w);
    tn_json_f64(&w, totals[c].sum), tn_json_i64(&w, totals[c].nulls);
    tn_json_end_array(&w);
  }
  tn_json_end_object(&w);
  tn_json_end_object(&w);
  if (!text.failed) puts(text.data);
  tn_strbuf_clear(&text);
}

int main(int argc, char **argv) {
  int64_t start_us = tn_time_us(), rows = 0;
  static total totals[COLUMNS_MAX];
  tn_arena arena = {0};
  tn_error err = {0};
  tn_table_read_options options = {0};
  tn_table in = {0};
  ArrowSchema schema = {0};
  tn_field *fields = NULL;
  tn_status status = TN_OK;
  int i = 1;
  for (; i + 2 < argc && strncmp(argv[i], "--", 2) == 0 && status == TN_OK; i += 2)
    status = tn_table_read_option(&options, &arena, argv[i] + 2, argv[i + 1], &err);
  if (status == TN_OK && i + 1 != argc)
    status = tn_fail(&err, TN_ERR_ARGUMENT, "usage: scan_table [--KEY VALUE ...] FILE");
  if (status == TN_OK) status = tn_table_open(&in, argv[i], &options, &err);
  if (status == TN_OK) status = tn_stream_schema(&in.stream, &schema, &err);
  if (status == TN_OK && schema.n_children > COLUMNS_MAX)
    status = tn_fail(&err, TN_ERR_LIMIT, "more than %d columns", COLUMNS_MAX);
  if (status == TN_OK) status = tn_field_tree(&fields, &arena, &schema, &err);
  if (status == TN_OK) status = scan(&in, totals, fields, &rows, &err);
  if (status == TN_OK)
    print_totals(&schema, totals, rows, &in, start_us);
  else
    fprintf(stderr, "error: %s\n", err.text);
  tn_schema_clear(&schema);
  tn_table_close(&in);
  tn_arena_clear(&arena);
  return status == TN_OK ? 0 : 1;
}

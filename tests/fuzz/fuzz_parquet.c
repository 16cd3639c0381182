/* fuzz_parquet.c - any bytes as a Parquet file: opened, with keys and without, described, its
 * indexes and filters read, every column read by itself. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "columns/parquet/bloom.h"
#include "columns/parquet/bounds.h"
#include "columns/parquet/file.h"
#include "columns/validate.h"
#include "columns/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS_SHOWN = 300, COLUMNS_MAX = 64, GROUPS_MAX = 8 };

static volatile uint64_t sink;

/* Shows values, so that a sanitizer sees what a consumer would see. */
static void touch(const ArrowArray *array, const tn_field *field) {
  tn_error err = {0};
  if (tn_array_validate(field, array, false, &err) != TN_OK) abort();
  for (int64_t i = 0; i < array->length && i < ROWS_SHOWN; i++) {
    tn_strbuf text = {0};
    tn_value_text(field, array, i, &text);
    sink += text.length;
    tn_strbuf_clear(&text);
  }
}

static void read_batches(ArrowArrayStream *stream) {
  tn_arena arena = {0};
  ArrowSchema schema = {0};
  ArrowArray batch;
  tn_field *field;
  int64_t batches = 0;
  if (tn_stream_schema(stream, &schema, NULL) == TN_OK &&
      tn_field_tree(&field, &arena, &schema, NULL) == TN_OK) {
    /* Runs of one value make billions of rows out of nothing: look at some. */
    while (batches++ < 20 && tn_stream_next(stream, &batch, NULL) == TN_OK) {
      touch(&batch, field);
      tn_array_clear(&batch);
    }
  }
  tn_schema_clear(&schema);
  tn_arena_clear(&arena);
}

static tn_pool *two_threads(void) {
  static tn_pool *pool;
  if (!pool && tn_pool_new(&pool, 2, NULL) != TN_OK) pool = NULL;
  return pool;
}

/* All of it, alone; some rows; all of it on two threads, which look for pages ahead. */
static void read_column(tn_parquet_file *file, const char *name, bool skip_crc) {
  ArrowArrayStream stream;
  tn_row_range range = {tn_parquet_rows(file) / 3, tn_parquet_rows(file) / 4};
  tn_parquet_read_options options = {.columns = &name,
                                     .column_count = 1,
                                     .batch_rows = 1000,
                                     .page_bytes_max = 1 << 22,
                                     .variant_json = skip_crc,
                                     .skip_crc = skip_crc};
  for (int how = 0; how < 3; how++) {
    options.ranges = how == 1 ? &range : NULL;
    options.range_count = how == 1;
    options.pool = how == 2 ? two_threads() : NULL;
    if (tn_parquet_scan(file, &options, &stream, NULL) != TN_OK) continue;
    read_batches(&stream);
    tn_stream_clear(&stream);
  }
}

/* What pruning asks. */
static void read_indexes(tn_parquet_file *file, int64_t group, int64_t column) {
  tn_arena arena = {.limit_bytes = 64 << 20};
  tn_parquet_offset_index offsets;
  tn_parquet_column_index values;
  tn_parquet_bounds bounds;
  tn_parquet_bloom bloom;
  tn_parquet_number number;
  const tn_parquet_element *element = file->leaves[column].element;
  uint8_t order = tn_parquet_column_order(&file->footer, column);
  tn_parquet_bounds_of_chunk(file, group, column, &bounds);
  if (bounds.has_min && tn_parquet_bound_number(bounds.compare, bounds.min, &number)) sink++;
  if (tn_parquet_offset_index_read(&offsets, file, group, column, &arena, NULL) == TN_OK) {
    sink += offsets.page_count;
  }
  if (tn_parquet_column_index_read(&values, file, group, column, &arena, NULL) == TN_OK) {
    for (uint32_t i = 0; i < values.page_count; i++) {
      tn_parquet_bounds_of_page(element, order, &values, i, &bounds);
      if (bounds.has_max && tn_parquet_bound_number(bounds.compare, bounds.max, &number)) sink++;
    }
  }
  if (tn_parquet_bloom_read(&bloom, file, group, column, NULL) == TN_OK) {
    for (uint64_t i = 0; i < 64; i++) sink += tn_parquet_bloom_probe(&bloom, i << 58 | i);
    tn_parquet_bloom_clear(&bloom);
  }
  tn_arena_clear(&arena);
}

static void read_file(tn_parquet_file *file) {
  tn_parquet_column_info column;
  tn_parquet_chunk_info chunk;
  for (int64_t c = 0; c < tn_parquet_columns(file) && c < COLUMNS_MAX; c++) {
    tn_parquet_column(file, c, &column);
    for (int64_t g = 0; g < tn_parquet_row_groups(file) && g < GROUPS_MAX; g++) {
      tn_parquet_chunk(file, g, c, &chunk);
      sink += strlen(chunk.min) + strlen(chunk.max) + strlen(chunk.encodings);
      read_indexes(file, g, c);
    }
    read_column(file, column.name, true); /* or the CRC would guard everything behind it */
    read_column(file, column.name, false);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const tn_parquet_keys keys = {.footer = {"0123456789abcdef", 16}};
  for (int keyed = 0; keyed < 2; keyed++) {
    tn_source *source;
    tn_parquet_file *file;
    if (tn_source_open_memory(&source, "fuzz", data, size, NULL) != TN_OK) return 0;
    if (tn_parquet_open_with(
            &file, source, &(tn_parquet_open_options){.keys = keyed ? &keys : NULL}, NULL) != TN_OK)
      continue;
    bool encrypted = file->crypt != NULL;
    if (encrypted == keyed) read_file(file);
    tn_parquet_close(file);
  }
  return 0;
}

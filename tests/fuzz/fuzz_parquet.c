/* fuzz_parquet.c - any bytes as a Parquet file: opened, described, every column read by itself. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/map.h"
#include "columns/parquet/parquet.h"
#include "columns/validate.h"
#include "columns/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Touches every value, so that a sanitizer sees what a consumer would see. */
static uint64_t touch(const ArrowArray *column, const tn_field *field) {
  tn_error err = {0};
  tn_strbuf text = {0};
  if (tn_array_validate(field, column, false, &err) != TN_OK) abort();
  uint64_t sum = 0;
  for (int64_t i = 0; i < column->length; i++) {
    tn_strbuf_reset(&text);
    tn_value_text(field, column, i, &text);
    if (text.length) sum += tn_hash_bytes(text.data, text.length, 0);
  }
  tn_strbuf_clear(&text);
  return sum;
}

static volatile uint64_t sink;

static void read_column(tn_parquet_file *file, const char *name, bool skip_crc) {
  ArrowArrayStream stream;
  ArrowSchema schema;
  ArrowArray batch;
  tn_arena arena = {0};
  tn_field *fields;
  int64_t batches = 0;
  tn_parquet_read_options options = {.columns = &name,
                                     .column_count = 1,
                                     .batch_rows = 1000,
                                     .page_bytes_max = 1 << 22,
                                     .skip_crc = skip_crc};
  if (tn_parquet_scan(file, &options, &stream, NULL) != TN_OK) return;
  if (tn_stream_schema(&stream, &schema, NULL) == TN_OK) {
    if (tn_field_tree(&fields, &arena, &schema, NULL) != TN_OK) abort();
    /* Runs of one value make billions of rows out of nothing: look at some. */
    while (batches++ < 20 && tn_stream_next(&stream, &batch, NULL) == TN_OK) {
      sink += touch(batch.children[0], &fields->children[0]);
      tn_array_clear(&batch);
    }
    tn_schema_clear(&schema);
  }
  tn_arena_clear(&arena);
  tn_stream_clear(&stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  tn_source *source;
  tn_parquet_file *file;
  tn_parquet_column_info column;
  tn_parquet_chunk_info chunk;
  if (tn_source_open_memory(&source, "fuzz", data, size, NULL) != TN_OK) return 0;
  if (tn_parquet_open(&file, source, NULL) != TN_OK) return 0;
  for (int64_t c = 0; c < tn_parquet_columns(file) && c < 64; c++) {
    tn_parquet_column(file, c, &column);
    for (int64_t g = 0; g < tn_parquet_row_groups(file) && g < 8; g++) {
      tn_parquet_chunk(file, g, c, &chunk);
      sink += strlen(chunk.min) + strlen(chunk.max) + strlen(chunk.encodings);
    }
    read_column(file, column.name, true); /* or the CRC would guard everything behind it */
    read_column(file, column.name, false);
  }
  tn_parquet_close(file);
  return 0;
}

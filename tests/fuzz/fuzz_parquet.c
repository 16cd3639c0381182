/* fuzz_parquet.c - any bytes as a Parquet file: opened, described, every column read by itself. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "columns/parquet/parquet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Touches every value, so that a sanitizer sees what a consumer would see. */
static uint64_t touch(const ArrowArray *column, const ArrowSchema *field) {
  tn_column_type type;
  uint64_t sum = 0;
  if (tn_column_type_of(field, &type, NULL) != TN_OK) abort();
  for (int64_t i = 0; i < column->length; i++) {
    if (tn_array_is_null(column, i)) continue;
    if (type == TN_COLUMN_STRING || type == TN_COLUMN_BINARY) {
      tn_str s = tn_array_str(column, i);
      for (size_t k = 0; k < s.length; k++) sum += (uint8_t)s.data[k];
    } else if (type == TN_COLUMN_FLOAT || type == TN_COLUMN_DOUBLE) {
      sum += tn_array_f64(column, type, i) > 0;
    } else {
      sum += (uint64_t)tn_array_i64(column, type, i);
    }
  }
  return sum;
}

static volatile uint64_t sink;

static void read_column(tn_parquet_file *file, const char *name, bool skip_crc) {
  ArrowArrayStream stream;
  ArrowSchema schema;
  ArrowArray batch;
  int64_t batches = 0;
  tn_parquet_read_options options = {.columns = &name,
                                     .column_count = 1,
                                     .batch_rows = 1000,
                                     .page_bytes_max = 1 << 22,
                                     .skip_crc = skip_crc};
  if (tn_parquet_scan(file, &options, &stream, NULL) != TN_OK) return;
  if (tn_stream_schema(&stream, &schema, NULL) == TN_OK) {
    /* Runs of one value make billions of rows out of nothing: look at some. */
    while (batches++ < 20 && tn_stream_next(&stream, &batch, NULL) == TN_OK) {
      sink += touch(batch.children[0], schema.children[0]);
      tn_array_clear(&batch);
    }
    tn_schema_clear(&schema);
  }
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

/* fuzz_thrift.c - any bytes as a Parquet footer and as a page header. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "columns/parquet/metadata.h"
#include "columns/parquet/schema.h"
#include "columns/parquet/thrift.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was understood, written again, must be understood to mean the same. */
static void write_again(const tn_parquet_page_header *header) {
  tn_strbuf text = {0};
  tn_parquet_page_header again;
  size_t used;
  tn_parquet_page_header_write(header, &text);
  if (tn_strbuf_check(&text, NULL) == TN_OK) {
    if (tn_parquet_page_header_parse(&again, text.data, text.length, 0, &used, NULL) != TN_OK ||
        used != text.length || again.values != header->values ||
        again.compressed_bytes != header->compressed_bytes || again.crc != header->crc) {
      abort();
    }
  }
  tn_strbuf_clear(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  tn_error err = {0};
  tn_arena arena = {.limit_bytes = 64 << 20};
  tn_parquet_footer footer;
  tn_parquet_tree tree;
  if (tn_parquet_footer_parse(&footer, &arena, data, size, 0, &err) == TN_OK) {
    if (tn_parquet_tree_new(&tree, &footer, TN_PARQUET_INT96_AUTO, &arena, &err) == TN_OK) {
      for (int64_t i = 0; i < tree.leaf_count; i++) {
        const tn_parquet_leaf *leaf = &tree.leaves[i];
        if (!leaf->name || !tn_parquet_logical_text(&leaf->element->logical)) abort();
      }
    }
  } else if (err.text[0] == '\0') {
    abort(); /* an error without words */
  }
  tn_arena_clear(&arena);
  tn_parquet_page_header header;
  size_t used;
  if (tn_parquet_page_header_parse(&header, data, size, 0, &used, &err) == TN_OK &&
      (header.type == TN_PARQUET_PAGE_DATA || header.type == TN_PARQUET_PAGE_DICTIONARY)) {
    write_again(&header);
  }
  return 0;
}

/* jsonl_blocks.h - a source of JSON text cut into blocks of whole records.
 *
 *     lines       behind a newline: found by one look from the end of the block
 *     documents   behind the bracket that closes a record, where records span lines
 *     array       the file is one array: behind a comma between its items
 *
 * Where the cuts are depends on the bytes and on block_bytes alone.  Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_JSONL_BLOCKS_H
#define TN_COLUMNS_JSONL_BLOCKS_H
#include "base/io.h"
#include "base/mem.h"

typedef enum tn_jsonl_mode { TN_JSONL_LINES, TN_JSONL_DOCUMENTS, TN_JSONL_ARRAY } tn_jsonl_mode;

typedef struct tn_jsonl_text { /* TN_JSONL_PADDING zero bytes follow */
  uint8_t *data;
  size_t bytes, capacity;
  int64_t byte;     /* of data[0] in the source */
  bool first, last; /* of the source */
} tn_jsonl_text;

typedef struct tn_jsonl_blocks {
  tn_source *source; /* borrowed; NULL: the prefix is all */
  bool by_offset;    /* read_at, so that a later pass can begin again */
  bool
      drop_tail; /* the prefix is a part of something: what is behind its last record is not ours */
  const uint8_t *prefix; /* comes before the source */
  size_t prefix_bytes, prefix_at;
  int64_t offset; /* by_offset: where to read next */
  tn_jsonl_mode mode;
  size_t block_bytes, record_bytes_max;
  tn_jsonl_text carry; /* read, behind the last cut */
  bool started, exhausted, finished;
  int32_t depth; /* documents, array: the state of the scan behind the carry */
  bool in_string, escaped;
} tn_jsonl_blocks;

/* The next block; TN_END behind the last.  The first call sees whether the text is an array, unless
 * the mode is already set to documents. */
TN_NODISCARD tn_status tn_jsonl_blocks_next(tn_jsonl_blocks *blocks, tn_jsonl_text *out,
                                            tn_error *err);
void tn_jsonl_text_clear(tn_jsonl_text *text);

#endif

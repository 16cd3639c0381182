/* data_rows.h - rows of a table on the screen, or as JSON.
 *
 *     data_rows_begin(&r, &schema, json, err);   json NULL: for people
 *     data_rows_batch(&r, &batch, count);        the first `count` rows of a batch, as often as
 * wanted data_rows_end(&r, true);
 *
 * For people: a line of names, a line of types, a line a row; numbers stand right, nested values
 * are JSON, null is "-".  Columns are as wide as the first batch wants, and cut at CELL_CHARS_MAX.
 * As JSON: "columns": [{"name", "type"}], "rows": [{...}] into an object that is open. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_DATA_ROWS_H
#define TN_CLI_DATA_ROWS_H
#include "cli/cli.h"
#include "columns/type.h"

typedef struct data_rows {
  tn_arena arena;
  tn_field *root;
  tn_json_writer *json;
  int32_t *widths; /* of the columns, in characters; 0 before the first batch */
  tn_strbuf text;
  bool has_widths;
} data_rows;

TN_NODISCARD tn_status data_rows_begin(data_rows *r, const ArrowSchema *schema,
                                       tn_json_writer *json, tn_error *err);
void data_rows_batch(data_rows *r, const ArrowArray *batch, int64_t count);
void data_note_not_finite(int64_t count);                      /* on stderr, when there are any */
void data_note_nested_deltas(const char *path, int64_t count); /* likewise */
void data_rows_end(data_rows *r, bool good); /* also after a failure of begin; good: it all came */

#endif

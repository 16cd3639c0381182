/* fuzz_expr.c - any bytes as a predicate over a table of every scalar type: never a crash; what
 * parses gives the three truth values, `not` turns them round, and a slice of the table agrees. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "columns/array.h"
#include "columns/expr.h"
#include "columns/jsonl.h"
#include "columns/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) abort();
}

static const char *const names[] = {"i",  "u",  "r",  "f", "t", "d", "day",
                                    "ts", "tz", "ok", "o", "n", "k"};
static const char *const formats[] = {"l",    "L",       "g", "f",  "u", "d:20,2", "tdD",
                                      "tsm:", "tsu:UTC", "b", "+s", "n", "c"};
enum { COLUMNS = sizeof names / sizeof *names, ROWS = 4 };
static const char lines[] =
    "{\"i\":1,\"u\":18446744073709551615,\"r\":0.5,\"f\":0.1,\"t\":\"apple\",\"d\":1.50,"
    "\"day\":\"2024-01-31\",\"ts\":\"2024-01-31T10:00:00.5\",\"tz\":\"2024-01-31T10:00:00Z\","
    "\"ok\":true,\"o\":{\"x\":1},\"k\":1}\n"
    "{\"i\":-9223372036854775808,\"u\":2,\"r\":-0.0,\"f\":2.5,\"t\":\"\",\"d\":-2,"
    "\"day\":\"1969-12-31\",\"ts\":\"1969-12-31T23:59:59.999\",\"tz\":\"2024-01-31\",\"ok\":false,"
    "\"o\":null,\"k\":-128}\n"
    "{\"i\":9223372036854775807,\"u\":0,\"r\":1e300,\"f\":3,\"t\":\"\\u00e9_%\","
    "\"d\":999999999999999999.99,\"day\":\"9999-12-31\",\"ts\":\"9999-12-31T23:59:59\","
    "\"tz\":\"9999-12-31\",\"ok\":null,\"o\":{\"x\":null},\"k\":127}\n"
    "{}\n";

static ArrowSchema schema;
static tn_shared_array *table;

static void make_table(void) {
  tn_error err;
  check(tn_schema_init(&schema, "+s", "", 0, &err) == TN_OK);
  check(tn_schema_add_children(&schema, COLUMNS, &err) == TN_OK);
  for (int c = 0; c < COLUMNS; c++) {
    ArrowSchema *child = schema.children[c];
    check(tn_schema_init(child, formats[c], names[c], ARROW_FLAG_NULLABLE, &err) == TN_OK);
    if (formats[c][0] != '+') continue;
    check(tn_schema_add_children(child, 1, &err) == TN_OK);
    check(tn_schema_init(child->children[0], "l", "x", ARROW_FLAG_NULLABLE, &err) == TN_OK);
  }
  tn_source *source;
  ArrowArrayStream stream;
  ArrowArray batch;
  tn_jsonl_options o = {.schema = &schema};
  check(tn_source_open_memory(&source, "t", lines, sizeof lines - 1, &err) == TN_OK);
  check(tn_jsonl_read(&stream, source, &o, &err) == TN_OK);
  check(tn_stream_next(&stream, &batch, &err) == TN_OK && batch.length == ROWS);
  tn_stream_clear(&stream);
  check(tn_shared_array_new(&table, &batch, &err) == TN_OK);
}

/* false: an overflow in one of the rows. */
static bool evaluate(tn_str predicate, int64_t from, int64_t rows, uint8_t *out) {
  tn_expr *e;
  tn_error err;
  ArrowArray batch;
  const uint8_t *bytes;
  check(tn_expr_new(&e, predicate, &schema, &err) == TN_OK);
  check(tn_shared_batch_view(table, from, rows, &batch, &err) == TN_OK);
  tn_status status = tn_expr_evaluate(e, &batch, &bytes, &err);
  check(status == TN_OK || (status == TN_ERR_ARGUMENT && err.text[0]));
  for (int64_t i = 0; status == TN_OK && i < rows; i++) {
    check(bytes[i] <= 2);
    out[i] = bytes[i];
  }
  int decided = tn_expr_decided(e);
  for (int64_t i = 0; status == TN_OK && decided >= 0 && i < rows; i++)
    check((bytes[i] == 2) == (decided == 1));
  tn_array_clear(&batch);
  tn_expr_free(e);
  return status == TN_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!table) make_table();
  int64_t live = tn_alloc_live();
  tn_str predicate = {(const char *)data, size};
  tn_expr *e;
  tn_error err = {0};
  tn_status status = tn_expr_new(&e, predicate, &schema, &err);
  if (status != TN_OK) {
    check(err.status == status && err.text[0]);
    check(tn_alloc_live() == live);
    return 0;
  }
  tn_expr_free(e);
  uint8_t all[ROWS], part[ROWS], turned[ROWS];
  bool whole = evaluate(predicate, 0, ROWS, all);
  bool slice = evaluate(predicate, 1, ROWS - 1, part);
  if (whole) check(slice && memcmp(all + 1, part, ROWS - 1) == 0);
  tn_strbuf not = {0};
  tn_strbuf_add(&not, "not (");
  tn_strbuf_add_str(&not, predicate);
  tn_strbuf_add(&not, "\n)");
  /* one level deeper may be too deep */
  if (tn_expr_new(&e, tn_strbuf_view(&not ), &schema, &err) == TN_OK) {
    tn_expr_free(e);
    check(evaluate(tn_strbuf_view(&not ), 0, ROWS, turned) == whole);
    for (int i = 0; whole && i < ROWS; i++) check(turned[i] == 2 - all[i]);
  }
  tn_strbuf_clear(&not );
  check(tn_alloc_live() == live);
  return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include "columns/array.h"
#include "columns/expr.h"
#include "columns/expr_tree.h"
#include "columns/jsonl.h"
#include "columns/schema.h"

/* One batch of every scalar type, made of JSON lines; the last row is all null. */
static const char *const names[] = {"i",        "u",     "r",       "f",   "t",          "d",
                                    "day",      "ts",    "tz",      "dec", "ok",         "o",
                                    "odd name", "price", "nothing", "l",   "dotted.name"};
static const char *const formats[] = {"l",   "L",    "g",       "f",          "u", "d:20,2",
                                      "tdD", "tsm:", "tsu:UTC", "d:60,5,256", "b", "+s",
                                      "c",   "S",    "n",       "+l",         "l"};
enum { COLUMNS = sizeof names / sizeof *names };
static const char lines[] =
    "{\"i\":1,\"u\":18446744073709551615,\"r\":0.5,\"f\":0.1,\"t\":\"apple\",\"d\":1.50,"
    "\"day\":\"2024-01-31\",\"ts\":\"2024-01-31T10:00:00.5\",\"tz\":\"2024-01-31T10:00:00Z\","
    "\"dec\":123456789012345678901234567890.5,\"ok\":true,\"o\":{\"x\":1,\"y\":\"in\"},\"odd "
    "name\":1,"
    "\"price\":10,\"l\":[1],\"dotted.name\":5}\n"
    "{\"i\":2,\"u\":2,\"r\":-0.0,\"f\":2.5,\"t\":\"Banana\",\"d\":-2,\"day\":\"1969-12-31\","
    "\"ts\":\"1969-12-31T23:59:59.999\",\"tz\":\"2024-01-31T12:00:00+02:00\",\"dec\":-1,\"ok\":"
    "false,"
    "\"o\":null,\"odd name\":-1,\"price\":20,\"l\":[],\"dotted.name\":6}\n"
    "{\"i\":-9223372036854775808,\"u\":0,\"r\":9007199254740992,\"f\":-1,\"t\":\"\",\"d\":0,"
    "\"day\":\"2000-02-29\",\"ts\":\"2000-02-29\",\"tz\":\"2000-02-29\",\"dec\":0,\"ok\":true,"
    "\"o\":{\"x\":null,\"y\":\"\"},\"odd name\":0,\"price\":65535,\"l\":null,\"dotted.name\":7}\n"
    "{\"i\":9007199254740993,\"u\":9007199254740993,\"r\":1e300,\"f\":3,\"t\":\"\\u00e9t\\u00e9 "
    "100%_\","
    "\"d\":999999999999999999.99,\"day\":\"9999-12-31\",\"ts\":\"9999-12-31T23:59:59\","
    "\"tz\":\"9999-12-31\",\"dec\":0.00001,\"ok\":null,\"o\":{\"x\":7,\"y\":\"z\"},\"odd "
    "name\":127,"
    "\"price\":0,\"l\":[2,3],\"dotted.name\":8}\n"
    "{}\n";

typedef struct table {
  ArrowSchema schema;
  ArrowArray batch;
} table;

static void make_table(table *t) {
  OK(tn_schema_init(&t->schema, "+s", "", 0, &problem));
  OK(tn_schema_add_children(&t->schema, COLUMNS, &problem));
  for (int c = 0; c < COLUMNS; c++) {
    ArrowSchema *child = t->schema.children[c];
    OK(tn_schema_init(child, formats[c], names[c], ARROW_FLAG_NULLABLE, &problem));
    if (formats[c][0] != '+') continue;
    bool is_struct = formats[c][1] == 's';
    OK(tn_schema_add_children(child, is_struct ? 2 : 1, &problem));
    OK(tn_schema_init(child->children[0], "l", is_struct ? "x" : "item", ARROW_FLAG_NULLABLE,
                      &problem));
    if (is_struct) OK(tn_schema_init(child->children[1], "u", "y", ARROW_FLAG_NULLABLE, &problem));
  }
  tn_source *source;
  ArrowArrayStream stream;
  tn_jsonl_options o = {.schema = &t->schema};
  OK(tn_source_open_memory(&source, "t", lines, sizeof lines - 1, &problem));
  OK(tn_jsonl_read(&stream, source, &o, &problem));
  OK(tn_stream_next(&stream, &t->batch, &problem));
  assert_int_equal(t->batch.length, 5);
  tn_stream_clear(&stream);
}

static table whole;

static int set_up(void **state) {
  make_table(&whole);
  return 0;
}
static int tear_down(void **state) {
  tn_array_clear(&whole.batch);
  tn_schema_clear(&whole.schema);
  return 0;
}

/* The rows of a predicate as text: "0 3"; unknown ones with a question mark when asked for. */
static void rows_of(const table *t, const char *predicate, bool unknown, char *out, size_t room) {
  tn_expr *e;
  const uint8_t *bytes;
  const int64_t *rows;
  int64_t count, listed = 0;
  size_t used = 0;
  tn_status status = tn_expr_new(&e, tn_str_of(predicate), &t->schema, &problem);
  if (status != TN_OK) print_error("%s: %s\n", predicate, problem.text);
  assert_int_equal(status, TN_OK);
  OK(tn_expr_select(e, &t->batch, &rows, &count, &problem));
  OK(tn_expr_evaluate(e, &t->batch, &bytes, &problem));
  out[0] = 0;
  for (int64_t i = 0; i < t->batch.length; i++) {
    if (bytes[i] == 2) assert_int_equal(rows[listed++], i);
    if (bytes[i] == 2 || (unknown && bytes[i] == 1))
      used += (size_t)snprintf(out + used, room - used, "%s%lld%s", used ? " " : "", (long long)i,
                               bytes[i] == 1 ? "?" : "");
  }
  assert_int_equal(listed, count);
  tn_expr_free(e);
}

static void selects(const char *predicate, const char *rows) {
  char found[100];
  rows_of(&whole, predicate, strchr(rows, '?') != NULL, found, sizeof found);
  if (strcmp(found, rows) != 0) print_error("%s: rows %s, expected %s\n", predicate, found, rows);
  assert_string_equal(found, rows);
}

static void refused(const char *predicate, const char *part) {
  tn_expr *e;
  tn_status status = tn_expr_new(&e, tn_str_of(predicate), &whole.schema, &problem);
  if (status == TN_OK) print_error("%s is accepted\n", predicate);
  assert_int_equal(status, TN_ERR_ARGUMENT);
  CONTAINS(problem.text, part);
}

static void numbers_compare_by_value(void **state) {
  selects("i = 1", "0");
  selects("i == 1", "0");
  selects("1 = i", "0");
  selects("i > 1", "1 3");
  selects("2 <= i", "1 3");
  selects("i <> 1", "1 2 3");
  selects("i != 1 ", "1 2 3");
  selects("i > 1.5", "1 3");
  selects("i < 1.5 and i > -.5", "0");
  selects("i = 1.5", "");
  selects("i <> 1.5", "0 1 2 3 4?");
  selects("i = 9007199254740993", "3");
  selects("i = 9007199254740992", "");
  selects("i >= -9223372036854775808", "0 1 2 3");
  selects("i > -9223372036854775809", "0 1 2 3");
  selects("i < 9223372036854775808 and i > 1e-300", "0 1 3");
  selects("i < 1e300", "0 1 2 3");
  selects("i > 1e300", "4?");
  selects("u = 18446744073709551615", "0");
  selects("u > 18446744073709551614.5", "0");
  selects("u < 18446744073709551616", "0 1 2 3");
  selects("u >= -1", "0 1 2 3");
  selects("u < 0", "");
  selects("r = 0.5", "0");
  selects("r = 0", "1");
  selects("r = 9007199254740993", "2"); /* rounded to double, as the column is */
  selects("f = 0.1", "0");              /* to float */
  selects("f > 0.1", "1 3");
  selects("d = 1.5", "0");
  selects("d = 1.505", "");
  selects("d > 1.495 and d < 1.505", "0");
  selects("d = 999999999999999999.99", "3");
  selects("d < 1e40", "0 1 2 3");
  selects("dec = 123456789012345678901234567890.5", "0");
  selects("dec > 123456789012345678901234567890.49999", "0");
  selects("dec > 0.000009", "0 3");
  selects("dec < -0.999999", "1");
  selects("`odd name` > 0 and price >= 10 and [odd name] < 2e0", "0");
  selects("price < 65535.5 and price > 65534.5", "2");
}

static void columns_compare_with_columns(void **state) {
  selects("i < u", "0 2");
  selects("i = u", "1 3");
  selects("i = r", ""); /* 9007199254740993 against 2^53 would round in double */
  selects("i < r", "2 3");
  selects("u > r", "0 1");
  selects("d > i", "0 2 3");
  selects("d = r", "");
  selects("dec < d", "3");
}

static void dates_and_times(void **state) {
  selects("day = '2024-01-31'", "0");
  selects("day > '2000-02-29'", "0 3");
  selects("day < '2024-01-31T00:00:00.001'", "0 1 2");
  selects("day = '2024-01-31 00:00'", "0");
  selects("day = '2024-01-31 00:01'", "");
  selects("ts = '2024-01-31 10:00:00.5'", "0");
  selects("ts < '1970-01-01'", "1");
  selects("ts > '1969-12-31T23:59:59.9989'", "0 1 2 3");
  selects("ts = '1969-12-31T23:59:59.9991'", "");
  selects("ts between '2000-01-01' and '2024-12-31'", "0 2");
  selects("tz = '2024-01-31T10:00:00Z'", "0 1");
  selects("tz = '2024-01-31T10:00:00'", "0 1");
  selects("tz = '2024-01-31T11:00+01:00'", "0 1");
  selects("ts > day", "0 1 3");
  selects("ts >= day", "0 1 2 3");
  refused("ts = '2024-01-31T10:00:00Z'", "time zone");
  refused("day = 'soon'", "'soon' is not a date");
  refused("day > 5", "a date cannot be compared with a number");
  refused("ts = tz", "one has a time zone");
}

static void texts(void **state) {
  selects("t = 'apple'", "0");
  selects("t = \"apple\"", "0");
  selects("t > 'B'", "0 1 3");
  selects("t < 'B'", "2");
  selects("t = ''", "2");
  selects("t like 'a%'", "0");
  selects("t like '%an%'", "1");
  selects("t like '%e'", "0");
  selects("t not like '%a%'", "2 3");
  selects("t like '_anan_'", "1");
  selects("t like '\xc3\xa9t_ %'", "3"); /* one character, two bytes */
  selects("t like '%!%!_' escape '!'", "3");
  selects("t like '%!%_' escape '!'", "3");
  selects("t ilike 'bANAN_'", "1");
  selects("t ilike 'APP%' or t ilike '%NANA'", "0 1");
  selects("t like '%'", "0 1 2 3");
  selects("t like '%a%a%a%'", "1");
  selects("t like '%a%a%a%a%'", "");
  selects("starts_with(t, 'Ban') or ends_with(t, '%_')", "1 3");
  selects("contains(t, 'pl')", "0");
  selects("t in ('apple', 'Banana', 'it''s')", "0 1");
  refused("t > 5", "texts go in quotes");
  refused("i like 'a'", "like is for texts");
  refused("i = '5'", "numbers go without quotes");
}

static void logic_knows_three_values(void **state) {
  selects("ok", "0 2");
  selects("not ok", "1");
  selects("ok = true", "0 2");
  selects("ok <> true", "1");
  selects("ok is null", "3 4");
  selects("ok is not null", "0 1 2");
  selects("not (i = 1)", "1 2 3");
  selects("not (i = 1) or i is null", "1 2 3 4");
  selects("ok or i > 1", "0 1 2 3 4?");
  selects("ok and i > 1", "3? 4?");
  selects("i in (1, 2, null)", "0 1 2? 3? 4?");
  selects("i not in (1, 2)", "2 3 4?");
  selects("i not in (1, null)", "1? 2? 3? 4?");
  selects("i in (1.5, 1e300)", "4?");
  selects("r in (0, 0.5)", "0 1");
  selects("d in (1.5, 0)", "0 2");
  selects("i not between 0 and 2", "2 3");
  selects("i between 2 and 0", "");
  selects("(i = 1) = ok", "0 1");
  selects("nothing is null", "0 1 2 3 4");
  selects("nothing = 5", "0? 1? 2? 3? 4?");
  selects("l is null", "2 4");
  selects("o is null", "1 4");
  refused("i = null", "write is null");
  refused("l = 1", "can only be tested with is null");
  refused("i", "expected a condition, found a whole number");
  refused("i and ok", "expected a condition");
  refused("ok + 1 > 2", "arithmetic is for numbers");
}

static void members_and_names(void **state) {
  selects("o.x = 1", "0");
  selects("o.x is null", "1 2 4");
  selects("o.y in ('', 'z')", "2 3");
  selects("dotted.name > 6", "2 3");
  selects("`dotted.name` > 6", "2 3");
  selects("\"price\" = 10", "0"); /* a column of that name */
  refused("t = \"price\"", "a text cannot be compared with a whole number");
  refused("o.z = 1", "no column \"z\"; did you mean \"x\"?");
  refused("prise = 1", "character 1: no column \"prise\"; did you mean \"price\"?");
  refused("i > 1 and \xc3\xa9 = 1", "character 11: no column");
  refused("i.x = 1", "only a struct has members");
}

static void arithmetic(void **state) {
  selects("i + 1 = 2", "0");
  selects("`odd name` * 2 - 1 > price / 20", "0 3");
  selects("-[odd name] = -1", "0");
  selects("price % 10 = 5", "2");
  selects("price / 0 is null", "0 1 2 3 4");
  selects("price % (`odd name` - 1) is null", "0 4");
  selects("r * 2 = 1", "0");
  selects("d + 0.5 = 2", "0");
  selects("i > 1 + 1 * 2 - 1", "3");
  selects("price > 2 * 10", "2");
  selects("i > (1 + 1) * 0.5", "1 3");
  tn_expr *e;
  const uint8_t *bytes;
  OK(tn_expr_new(&e, TN_STR("i - 1 < 0"), &whole.schema, &problem));
  assert_int_equal(tn_expr_evaluate(e, &whole.batch, &bytes, &problem), TN_ERR_ARGUMENT);
  CONTAINS(problem.text, "overflow int64");
  tn_expr_free(e);
  OK(tn_expr_new(&e, TN_STR("u + 1 > 0"), &whole.schema, &problem));
  assert_int_equal(tn_expr_evaluate(e, &whole.batch, &bytes, &problem), TN_ERR_ARGUMENT);
  CONTAINS(problem.text, "does not fit int64");
  tn_expr_free(e);
}

static void folds_to(const char *predicate, int value) {
  tn_expr *e;
  int64_t count;
  OK(tn_expr_new(&e, tn_str_of(predicate), &whole.schema, &problem));
  assert_int_equal(tn_expr_decided(e), value);
  tn_expr_columns(e, &count);
  if (value >= 0) assert_int_equal(count, 0);
  tn_expr_free(e);
}

static void constants_are_folded(void **state) {
  folds_to("1 < 2", 1);
  folds_to("0.1 + 0.2 = 0.3", 0); /* as in double */
  folds_to("1 + 2 = 3.0", 1);
  folds_to("'a' < 'b' and 2 * 3 = 6", 1);
  folds_to("true or i > 5", 1);
  folds_to("i > 5 and false", 0);
  folds_to("null", 0);
  folds_to("not null or i > 1", -1);
  folds_to("'abc' like 'a_c'", 1);
  folds_to("null is null", 1);
  folds_to("1 > 2 or i > 5", -1);
  folds_to("9007199254740993 = 9007199254740992", 0);
  tn_expr *e;
  OK(tn_expr_new(&e, TN_STR("r > 1 or i > 1 and i < 5 and true"), &whole.schema, &problem));
  int64_t count;
  const int64_t *columns = tn_expr_columns(e, &count);
  assert_int_equal(count, 2);
  assert_int_equal(columns[0], 0);
  assert_int_equal(columns[1], 2);
  tn_expr_free(e);
}

static void mistakes_are_named(void **state) {
  refused("", "expected a condition");
  refused("i >", "character 4: expected a column or a value, found the end");
  refused("i > > 1", "character 5: expected a column or a value, found >");
  refused("i > 1 price", "character 7: expected and, or, or the end, found price");
  refused("(i > 1", "expected ')', found the end");
  refused("i in 1", "expected '(' and a list, found 1");
  refused("i in (1 2)", "expected ',' or ')', found 2");
  refused("i in (price)", "a list holds plain values");
  refused("t = 'x", "character 5: the quote ' is not closed");
  refused("i between 1 or 2", "expected 'and' of between, found or");
  refused("i is 5", "expected 'null' or 'not null' behind is");
  refused("i not 5", "expected in, between, like or ilike behind not");
  refused("i > 1 & i < 5", "expected an operator, found &");
  refused("foo(i, 'x')", "expected starts_with, ends_with or contains");
  refused("t like 5", "expected a pattern in quotes");
  refused("t like 'a!' escape '!'", "ends in its escape");
  refused("i > 1e999", "beyond double");
  refused("and", "expected a column or a value, found and");
  tn_strbuf deep = {0};
  for (int i = 0; i < 1000; i++) tn_strbuf_add(&deep, "(");
  tn_expr *e;
  assert_int_equal(tn_expr_new(&e, tn_strbuf_view(&deep), &whole.schema, &problem), TN_ERR_LIMIT);
  tn_strbuf_reset(&deep);
  for (int i = 0; i < 1000; i++) tn_strbuf_add(&deep, "not ");
  assert_int_equal(tn_expr_new(&e, tn_strbuf_view(&deep), &whole.schema, &problem), TN_ERR_LIMIT);
  tn_strbuf_reset(&deep);
  for (int i = 0; i < 3000; i++) tn_strbuf_add(&deep, "ok or ");
  assert_int_equal(tn_expr_new(&e, tn_strbuf_view(&deep), &whole.schema, &problem), TN_ERR_LIMIT);
  tn_strbuf_clear(&deep);
}

/* The same answers for a slice of the batch, whose columns carry offsets. */
static void slices_keep_their_rows(void **state) {
  static const char *const predicates[] = {
      "i > 1", "ok",       "t like '%a%'", "o.x is null", "d < 1", "dec > 0", "day > '2000-01-01'",
      "f < 3", "l is null"};
  table copy;
  make_table(&copy);
  tn_shared_array *box;
  OK(tn_shared_array_new(&box, &copy.batch, &problem));
  for (size_t p = 0; p < sizeof predicates / sizeof *predicates; p++) {
    char all[100], part[100], shifted[100] = "";
    rows_of(&whole, predicates[p], false, all, sizeof all);
    table slice = {.schema = copy.schema};
    OK(tn_shared_batch_view(box, 1, 4, &slice.batch, &problem));
    rows_of(&slice, predicates[p], false, part, sizeof part);
    for (char *at = all; *at; at++)
      if (*at >= '1' && *at <= '9')
        snprintf(shifted + strlen(shifted), sizeof shifted - strlen(shifted), "%s%d",
                 *shifted ? " " : "", *at - '1');
    assert_string_equal(part, shifted);
    tn_array_clear(&slice.batch);
  }
  tn_shared_array_drop(box);
  tn_schema_clear(&copy.schema);
}

/* A dictionary over texts, a slice of it, and of a dictionary longer than the rows. */
static void dictionaries_compare_as_their_values(void **state) {
  ArrowSchema schema;
  OK(tn_schema_init(&schema, "+s", "", 0, &problem));
  OK(tn_schema_add_children(&schema, 1, &problem));
  OK(tn_schema_init(schema.children[0], "c", "c", ARROW_FLAG_NULLABLE, &problem));
  OK(tn_schema_add_dictionary(schema.children[0], &problem));
  OK(tn_schema_init(schema.children[0]->dictionary, "u", "", ARROW_FLAG_NULLABLE, &problem));
  for (int words = 3; words <= 30; words += 27) {
    tn_builder *values;
    OK(tn_builder_new_format(&values, "u", &problem));
    for (int i = 0; i < words; i++) {
      char text[20];
      snprintf(text, sizeof text, "w%d", i);
      if (i == 2)
        OK(tn_builder_append_null(values, &problem));
      else
        OK(tn_builder_append_str(values, tn_str_of(text), &problem));
    }
    ArrowArray dictionary, column, batch;
    OK(tn_builder_finish(values, &dictionary, &problem));
    tn_builder_free(values);
    static int8_t indices[] = {0, 1, 2, 0, 1};
    static uint8_t valid[] = {0x0f}; /* the last is null */
    tn_buffer *buffers[2];
    OK(tn_buffer_wrap(&buffers[0], valid, 1, NULL, NULL, NULL, &problem));
    OK(tn_buffer_wrap(&buffers[1], indices, 5, NULL, NULL, NULL, &problem));
    tn_array_parts parts = {.length = 5,
                            .null_count = 1,
                            .buffers = buffers,
                            .buffer_count = 2,
                            .dictionary = &dictionary};
    OK(tn_array_make(&column, &parts, &problem));
    tn_buffer_drop(buffers[0]);
    tn_buffer_drop(buffers[1]);
    OK(tn_batch_new(&batch, &column, 1, 5, &problem));
    table t = {schema, batch};
    char found[100];
    rows_of(&t, "c = 'w0'", true, found, sizeof found);
    assert_string_equal(found, "0 2? 3 4?");
    rows_of(&t, "c is null", true, found, sizeof found);
    assert_string_equal(found, "2 4");
    rows_of(&t, "c like '%1' or c in ('w0')", true, found, sizeof found);
    assert_string_equal(found, "0 1 2? 3 4?");
    tn_array_clear(&batch);
  }
  tn_schema_clear(&schema);
}

/* More rows than one slice of the evaluation. */
static void many_rows(void **state) {
  tn_builder *b;
  ArrowArray column, batch;
  ArrowSchema schema;
  tn_expr *e;
  const int64_t *rows;
  int64_t count;
  OK(tn_builder_new_format(&b, "l", &problem));
  for (int64_t i = 0; i < 50000; i++) OK(tn_builder_append_i64(b, i, &problem));
  OK(tn_builder_finish(b, &column, &problem));
  tn_builder_free(b);
  OK(tn_batch_new(&batch, &column, 1, 50000, &problem));
  OK(tn_schema_init_flat(&schema, (const char *const[]){"x"}, (const char *const[]){"l"}, 1,
                         &problem));
  OK(tn_expr_new(&e, TN_STR("x % 1000 = 999"), &schema, &problem));
  OK(tn_expr_select(e, &batch, &rows, &count, &problem));
  assert_int_equal(count, 50);
  for (int64_t i = 0; i < count; i++) assert_int_equal(rows[i], i * 1000 + 999);
  tn_expr_free(e);
  tn_array_clear(&batch);
  tn_schema_clear(&schema);
}

static tn_status select_again(void *context, tn_error *err) {
  tn_expr *e;
  const int64_t *rows;
  int64_t count;
  TN_TRY(tn_expr_new(&e,
                     TN_STR("i + 1 > 2 and t like '%a%' or o.x in (1, 2, null) and not ok "
                            "or dec > d or f < 0.5 or day = '2024-01-31'"),
                     &whole.schema, err));
  tn_status status = tn_expr_select(e, &whole.batch, &rows, &count, err);
  tn_expr_free(e);
  return status;
}

static void every_allocation_may_fail(void **state) {
  assert_true(fail_each_allocation(select_again, NULL) > 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_compare_by_value),
                                     cmocka_unit_test(columns_compare_with_columns),
                                     cmocka_unit_test(dates_and_times),
                                     cmocka_unit_test(texts),
                                     cmocka_unit_test(logic_knows_three_values),
                                     cmocka_unit_test(members_and_names),
                                     cmocka_unit_test(arithmetic),
                                     cmocka_unit_test(constants_are_folded),
                                     cmocka_unit_test(mistakes_are_named),
                                     cmocka_unit_test(slices_keep_their_rows),
                                     cmocka_unit_test(dictionaries_compare_as_their_values),
                                     cmocka_unit_test(many_rows),
                                     cmocka_unit_test(every_allocation_may_fail)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}

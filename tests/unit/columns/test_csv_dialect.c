/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include "columns/csv.h"
#include "columns/csv_split.h"

/* What a dialect says, on one line: "sep ; quote " escape " lines lf skip 0 header 1 columns 2 ..."
 */
static void dialect_text(const tn_csv_dialect *d, tn_strbuf *out) {
  tn_strbuf_addf(out, "sep '%s'", d->separator);
  if (d->quote != '"') tn_strbuf_addf(out, " quote %c", d->quote);
  if (d->escape != d->quote) tn_strbuf_addf(out, " escape %c", d->escape);
  if (d->comment) tn_strbuf_addf(out, " comment %c", d->comment);
  if (strcmp(d->line_end, "\n") != 0) tn_strbuf_add(out, d->line_end[1] ? " crlf" : " cr");
  if (d->skip_lines) tn_strbuf_addf(out, " skip %d", d->skip_lines);
  if (d->header_rows != 1) tn_strbuf_addf(out, " header %d", d->header_rows);
  tn_strbuf_addf(out, " columns %d", d->columns);
  if (d->tables != 1) tn_strbuf_addf(out, " tables %d", d->tables);
  if (d->end_byte >= 0) tn_strbuf_addf(out, " end %d", (int)d->end_byte);
}

static void detects(const char *text, const char *expected) {
  tn_csv_dialect d;
  tn_strbuf padded = {0}, seen = {0};
  size_t length = strlen(text);
  tn_strbuf_append(&padded, text, length);
  for (int i = 0; i < TN_CSV_PADDING; i++) tn_strbuf_add_char(&padded, 0);
  OK(tn_csv_detect(&d, "t.csv", (const uint8_t *)padded.data, length, true, NULL, &problem));
  dialect_text(&d, &seen);
  if (strcmp(seen.data, expected) != 0) print_error("of \"%s\"\n", text);
  assert_string_equal(seen.data, expected);
  tn_strbuf_clear(&padded);
  tn_strbuf_clear(&seen);
}

static void separators(void **state) {
  detects("a,b\n1,2\n", "sep ',' columns 2");
  detects("a;b\n1,5;2\n2,5;3\n", "sep ';' columns 2");
  detects("a\tb\tc\nx y\tz, w\t3\n", "sep '\t' columns 3");
  detects("a|b\n1|2\n3|4\n", "sep '|' columns 2");
  detects("a, b, c\n1, \"x, y\", 3\n4, \"z\", 6\n", "sep ', ' columns 3");
  detects("a||b||c\n1||2||3\n", "sep '||' columns 3");
  detects("a::b\n1::2\n", "sep '::' columns 2");
  detects("a b c\n1 2 3\n4 5 6\n", "sep ' ' columns 3");
  detects("a:b\nx:y\nz:w\n", "sep ':' columns 2");
  /* Times and sentences are not cut; a file may have one column. */
  detects("at\n12:30:00\n12:31:00\n", "sep ',' columns 1");
  detects("at\n2024-01-01 12:30:00\n2024-01-02 12:30:00\n", "sep ',' columns 1");
  detects("said\nhello there you\nand good bye\nyes\n", "sep ',' columns 1");
  detects("", "sep ',' columns 0");
  detects("\n\n", "sep ',' columns 0");
  detects("x", "sep ',' columns 1");
}

static void quotes_and_escapes(void **state) {
  detects("a,b\n'x, y',2\n'z, w',3\n", "sep ',' quote ' columns 2");
  detects("a,b\nit's,2\nshe's,3\n", "sep ',' columns 2");
  detects("a,b\n\"x\\\"y, z\",2\n\"u\",3\n", "sep ',' escape \\ columns 2");
  detects("a,b\n\"C:\\\\\",2\n\"x\"\"y, z\",3\n", "sep ',' columns 2");
  detects("a,b\r\n1,2\r\n", "sep ',' crlf columns 2");
  detects("a,b\r1,2\r3,4\r", "sep ',' cr columns 2");
  detects("a,b\n\"1\r2\",2\n3,4\n", "sep ',' columns 2");
}

static void headers(void **state) {
  detects("1,2\n3,4\n", "sep ',' header 0 columns 2");
  detects("x,2\ny,4\n", "sep ',' header 0 columns 2");
  detects("name,2019,2020\nx,1.5,2.5\ny,3,4\n", "sep ',' columns 3"); /* years */
  detects("name,when\nx,2020-01-01\n", "sep ',' columns 2");
  detects("u,v\nx,y\n", "sep ',' columns 2");
  detects("c0,c1\nw955,w7\nw12,w13\n", "sep ',' columns 2");
  detects("a,b\na,b\n1,2\n", "sep ',' header 2 columns 2");
  detects("a,b", "sep ',' columns 2");
}

static void what_surrounds_the_table(void **state) {
  detects("Report of 2024\n\na,b,c\n1,2,3\n4,5,6\n", "sep ',' skip 2 columns 3");
  detects("TITLE,,\n,,\na,b,c\n1,2,3\n", "sep ',' skip 2 columns 3");
  detects("# made by us\na,b\n1,2\n3,4\n", "sep ',' skip 1 columns 2");
  detects("a,b\n1,2\n# between\n3,4\n", "sep ',' comment # columns 2");
  detects("a,b,c\n1,2,3\n4,5,6\n7,8,9\nSource: the office\n", "sep ',' columns 3 end 24");
  detects("a,b,c\n1,2,3\n4,5,6\n4\n", "sep ',' columns 3"); /* a cut row is no footnote */
  detects("a,b,c\n1,2,3\n4,5,6\na,b,c\n7,8,9\n1,2,3\n", "sep ',' columns 3 tables 2 end 18");
  detects("a,b,c\n1,2,3\n4,5,6\na,b\n7,8\n1,2\n", "sep ',' columns 3 tables 2 end 18");
  detects("a,b,c\n1,2,3\n4,5,6\n\nx,y\nq,8\nr,2\n", "sep ',' columns 3 tables 2 end 19");
}

static void options_override_what_is_seen(void **state) {
  tn_csv_dialect d;
  char text[200] = "a;b,c\n1;2,3\n";
  const uint8_t *bytes = (const uint8_t *)text;
  tn_csv_options o = {.separator = ",", .header = "no", .skip_lines = -1};
  OK(tn_csv_detect(&d, "t", bytes, 12, true, &o, &problem));
  assert_string_equal(d.separator, ",");
  assert_int_equal(d.header_rows, 0);
  o = (tn_csv_options){.separator = "tab", .quote = "none", .header_rows = 2};
  OK(tn_csv_detect(&d, "t", bytes, 12, true, &o, &problem));
  assert_string_equal(d.separator, "\t");
  assert_int_equal(d.quote, 0);
  assert_int_equal(d.header_rows, 2);
  const tn_csv_options bad[] = {{.separator = ""},     {.separator = "123456789"},
                                {.separator = "\n"},   {.separator = "5"},
                                {.quote = "ab"},       {.escape = "\n"},
                                {.line_end = "unix"},  {.encoding = "ebcdic"},
                                {.header = "perhaps"}, {.separator = "\"", .quote = "\""}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(tn_csv_detect(&d, "t", bytes, 12, true, &bad[i], &problem), TN_ERR_ARGUMENT);
  o = (tn_csv_options){.table = 3};
  assert_int_equal(tn_csv_detect(&d, "t", bytes, 12, true, &o, &problem), TN_ERR_NOT_FOUND);
  CONTAINS(problem.text, "table 3 is asked for, found 1");
}

/* The careful splitter. */
static void splits(const tn_csv_format *f, const char *text, tn_csv_outcome outcome,
                   const char *expected) {
  tn_csv_record r = {0};
  tn_strbuf padded = {0}, seen = {0};
  size_t length = strlen(text);
  tn_strbuf_append(&padded, text, length);
  for (int i = 0; i < TN_CSV_PADDING; i++) tn_strbuf_add_char(&padded, 0);
  const uint8_t *at = (const uint8_t *)padded.data;
  assert_int_equal(tn_csv_split(f, at, at + length, true, &r), outcome);
  tn_strbuf_add(&seen, "");
  for (int32_t c = 0; c < r.count; c++) {
    uint8_t plain[100];
    uint32_t n = tn_csv_unescape(f, &r.fields[c], plain);
    tn_strbuf_addf(&seen, "[%.*s]", (int)n, (const char *)plain);
  }
  if (outcome == TN_CSV_RECORD) assert_string_equal(seen.data, expected);
  tn_csv_record_clear(&r);
  tn_strbuf_clear(&padded);
  tn_strbuf_clear(&seen);
}

static void the_careful_splitter(void **state) {
  tn_csv_format f = {.separator = ",",
                     .separator_bytes = 1,
                     .quote = '"',
                     .escape = '"',
                     .comment = '#',
                     .newline = '\n',
                     .field_bytes_max = 100};
  splits(&f, "a,\"b\"\"c\",\n", TN_CSV_RECORD, "[a][b\"c][]");
  splits(&f, "a\r\nb", TN_CSV_RECORD, "[a]");
  splits(&f, "\"a\"\r\nb", TN_CSV_RECORD, "[a]");
  splits(&f, "\"x\ny\",z", TN_CSV_RECORD, "[x\ny][z]");
  splits(&f, "# a,b\n", TN_CSV_NOTHING, "");
  splits(&f, "\n", TN_CSV_NOTHING, "");
  splits(&f, "\"a\"b\n", TN_CSV_BROKEN, "");
  splits(&f, "\"a", TN_CSV_BROKEN, "");
  f.escape = '\\';
  splits(&f, "\"a\\\"b\\\\\",c\\n\n", TN_CSV_RECORD, "[a\"b\\][c\\n]");
  f = (tn_csv_format){.separator = "||",
                      .separator_bytes = 2,
                      .quote = '\'',
                      .escape = '\'',
                      .newline = '\r',
                      .field_bytes_max = 100};
  splits(&f, "a|b||'c||''d'||\r1", TN_CSV_RECORD, "[a|b][c||'d][]");
}

static void lines_are_repaired(void **state) {
  tn_csv_format f = {.separator = ",",
                     .separator_bytes = 1,
                     .quote = '"',
                     .escape = '"',
                     .newline = '\n',
                     .columns = 3,
                     .field_bytes_max = 1000};
  static const struct {
    const char *line, *fields;
  } cases[] = {{"1,\"two,3\n", "[1][\"two][3]"},
               {"\"1,\"two, 2\",3\n", "[\"1][two, 2][3]"},
               {"1,\"\"two, 2\",3\n", "[1][\"two, 2][3]"},
               {"1,2,\"\n", "[1][2][\"]"},
               {"\"a \"b\" c\",2,\"x\"\n", "[a \"b\" c][2][x]"},
               {"\"1,\"2,3\n", "[\"1][\"2][3]"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tn_csv_record r = {0};
    tn_strbuf seen = {0};
    const uint8_t *at = (const uint8_t *)cases[i].line;
    assert_true(tn_csv_repair(&f, at, at + strlen(cases[i].line), &r));
    for (int32_t c = 0; c < r.count; c++)
      tn_strbuf_addf(&seen, "[%.*s]", (int)r.fields[c].length, (const char *)r.fields[c].data);
    assert_string_equal(seen.data, cases[i].fields);
    tn_csv_record_clear(&r);
    tn_strbuf_clear(&seen);
  }
}

static tn_status detect_one(void *context, tn_error *err) {
  tn_csv_dialect d;
  return tn_csv_detect(&d, "t", context, 60, true, NULL, err);
}

static void every_allocation_may_fail(void **state) {
  char text[200] = "a;b;c\n1;2;3\n4;5;6\na;b\n1;2\n3;4\n5;6\n7;8\n9;9\n1;1\n2;2\n3;3\n";
  assert_true(fail_each_allocation(detect_one, text) > 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(separators),
      cmocka_unit_test(quotes_and_escapes),
      cmocka_unit_test(headers),
      cmocka_unit_test(what_surrounds_the_table),
      cmocka_unit_test(options_override_what_is_seen),
      cmocka_unit_test(the_careful_splitter),
      cmocka_unit_test(lines_are_repaired),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests_name("csv dialect", tests, NULL, NULL);
}

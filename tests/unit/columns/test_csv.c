/* SPDX-License-Identifier: Apache-2.0 */
#include "csv_test.h"

#include <time.h>

#include "base/random.h"
#include "columns/csv_value.h"

static void reads_as(const char *text, const char *types, const char *written) {
  result r = read_bytes(text, strlen(text), NULL);
  if (r.status != TN_OK) print_error("%s\n", r.err.text);
  assert_int_equal(r.status, TN_OK);
  assert_string_equal(r.types.data, types);
  assert_string_equal(r.text.data, written);
  clear(&r);
}

static void fails_with(const char *text, tn_status status, const char *part, const char *more) {
  result r = read_bytes(text, strlen(text), NULL);
  assert_int_equal(r.status, status);
  CONTAINS(r.err.text, "t.csv");
  CONTAINS(r.err.text, part);
  CONTAINS(r.err.text, more);
  clear(&r);
}

static void types_are_inferred(void **state) {
  reads_as(
      "b,i,r,d,t,z,s\n"
      "true,1,1.5,2024-02-29,2024-02-29T12:30,2024-02-29T12:30:00Z,x\n"
      ",,,,,,\n"
      "false,-20,3,1969-12-31,2024-02-29 12:30:01.25,2024-02-29T12:30:00+02:00,y\n",
      "b:bool i:int64 r:double d:date32[day] t:timestamp[us] z:timestamp[us, tz=UTC] s:string",
      "b,i,r,d,t,z,s\n"
      "true,1,1.5,2024-02-29,2024-02-29T12:30:00,2024-02-29T12:30:00Z,x\n"
      ",,,,,,\n"
      "false,-20,3.0,1969-12-31,2024-02-29T12:30:01.250000,2024-02-29T10:30:00Z,y\n");
}

static void inference_loses_nothing(void **state) {
  reads_as("zip\n01234\n5\n", "zip:string", "zip\n01234\n5\n");
  reads_as("phone\n+4917\n", "phone:string", "phone\n+4917\n");
  reads_as("id\n9223372036854775808\n1\n", "id:string", "id\n9223372036854775808\n1\n");
  reads_as("id\n-9223372036854775808\n", "id:int64", "id\n-9223372036854775808\n");
  reads_as("r\n9223372036854775808\n1.5\n", "r:double", "r\n9.223372036854776e+18\n1.5\n");
  reads_as("r\n1e999\n", "r:string", "r\n1e999\n");
  reads_as("t\n2024-02-30\n", "t:string", "t\n2024-02-30\n");
  reads_as("t\n2024-01-01T00:00:00.1234567\n", "t:string", "t\n2024-01-01T00:00:00.1234567\n");
  reads_as("t\n2024-01-01\n2024-01-01T01:00\n", "t:timestamp[us]",
           "t\n2024-01-01T00:00:00\n2024-01-01T01:00:00\n");
  reads_as("t\n2024-01-01T01:00\n2024-01-01T01:00Z\n", "t:string",
           "t\n2024-01-01T01:00\n2024-01-01T01:00Z\n");
  reads_as("x\nnan\n1\n-inf\n", "x:double", "x\nnan\n1.0\n-inf\n");
  reads_as("x\n\n\n", "x:string", "x\n\n\n");
  reads_as("x,y\n-0,1\n", "x:double y:int64", "x,y\n-0.0,1\n");
}

static void quotes_newlines_and_line_ends(void **state) {
  reads_as("a,b\r\n\"x,\"\"y\"\"\r\nz\",\"\"\r\n,\"q\"", "a:string b:string",
           "a,b\n\"x,\"\"y\"\"\r\nz\",\"\"\n,q\n");
  reads_as("\xef\xbb\xbf\"a \"\"1\"\"\",b\n1,2", "a \"1\":int64 b:int64",
           "\"a \"\"1\"\"\",b\n1,2\n");
  reads_as("a,b\n\n1,2\n\n\n", "a:int64 b:int64", "a,b\n1,2\n"); /* blank lines are nothing */
  reads_as("a\n1\n\n3\n", "a:int64", "a\n1\n\n3\n");             /* in one column: a null */
  reads_as("a,b\nit's 5\" long,2\n", "a:string b:int64",         /* a quote inside plain text */
           "a,b\n\"it's 5\"\" long\",2\n");
  reads_as("a,b\n1,\n", "a:int64 b:string", "a,b\n1,\n");
  reads_as("a,b\n1,", "a:int64 b:string", "a,b\n1,\n");
  reads_as("a,b", "a:string b:string", "a,b\n");
  reads_as("\"a\",b\n\"12\",\"2\"\"3\"\n", "a:int64 b:string", "a,b\n12,\"2\"\"3\"\n");
}

static void malformed_rows_are_named(void **state) {
  fails_with("a,city\n1,2\n3\n", TN_ERR_DATA, "line 3 (byte 11): 1 fields, expected 2", "city");
  fails_with("a,b\n1,2,3,4\n", TN_ERR_DATA, "4 fields, expected 2", "line 2");
  fails_with("a,b\n1,2\n3", TN_ERR_DATA, "1 fields, expected 2", "truncated");
  fails_with("a,b\n1,\"x\ny\n", TN_ERR_DATA, "opened at line 2", "column 2 \"b\" (byte 6)");
  fails_with("a,b\n\"x\"y,2\n", TN_ERR_DATA, "after a closing quote", "line 2, column 1");
  fails_with("", TN_ERR_DATA, "empty", "");
  fails_with("a,\xff\xc3\xa9\n1,2\n", TN_ERR_DATA, "not UTF-8", "line 1");
  fails_with("a,\xc3\xa9\n1,x\n\n2,\xe9\n", TN_ERR_DATA, "not UTF-8",
             "line 4, column 2 \"\xc3\xa9\" (byte 12)");
}

static void a_broken_type_says_what_would_help(void **state) {
  const char *text = "a,b\n1,2\n3,4\n5,N/A\n";
  tn_csv_options options = {.infer_rows = 2};
  result r = read_bytes(text, strlen(text), &options);
  assert_int_equal(r.status, TN_ERR_DATA);
  CONTAINS(r.err.text, "line 4, column 2 \"b\" (byte 14): \"N/A\" is no int64");
  CONTAINS(r.err.text, "first 2 rows");
  CONTAINS(r.err.text, "infer_rows");
  clear(&r);
  const char *nulls[] = {"N/A"};
  options = (tn_csv_options){.null_texts = nulls, .null_text_count = 1};
  r = read_bytes(text, strlen(text), &options);
  assert_string_equal(r.types.data, "a:int64 b:int64");
  assert_string_equal(r.text.data, "a,b\n1,2\n3,4\n5,\n");
  clear(&r);
}

static void a_reader_that_failed_stays_failed(void **state) {
  const char *text = "a\n1\nx\n2\n";
  tn_csv_options options = {.infer_rows = 1};
  tn_source *source;
  ArrowArrayStream stream;
  ArrowArray batch;
  OK(tn_source_open_memory(&source, "t.csv", text, strlen(text), &problem));
  OK(tn_csv_read(&stream, source, &options, &problem));
  for (int i = 0; i < 3; i++) {
    tn_error err = {0};
    assert_int_equal(tn_stream_next(&stream, &batch, &err), TN_ERR_DATA);
    CONTAINS(err.text, "\"x\" is no int64");
    assert_null(batch.release);
  }
  tn_stream_clear(&stream);
}

static void declared_types_are_taken(void **state) {
  const char *text =
      "c,C,L,f,z,ms,ns,u,s\n"
      "-128,0255,18446744073709551615,+0.5,\xff,2024-01-01T00:00:00.5,"
      "2024-01-01T00:00:00.123456789,2024-01-01,7\n";
  tn_csv_options options = {
      .encoding = "utf-8",
      .schema_text =
          "c: int8, C: uint8, L: uint64, f: float, z: binary, ms: timestamp[ms], "
          "ns: timestamp[ns], u: timestamp[us, tz=UTC], s: string"};
  result r = read_bytes(text, strlen(text), &options);
  if (r.status) print_error("%s\n", r.err.text);
  assert_int_equal(r.status, TN_OK);
  assert_string_equal(strchr(r.text.data, '\n') + 1,
                      "-128,255,18446744073709551615,0.5,/w==,2024-01-01T00:00:00.500,"
                      "2024-01-01T00:00:00.123456789,2024-01-01T00:00:00Z,7\n");
  clear(&r);
  options.schema_text = "c: int8, nope: string";
  r = read_bytes(text, strlen(text), &options);
  assert_int_equal(r.status, TN_ERR_NOT_FOUND);
  CONTAINS(r.err.text, "\"nope\" among 9");
  clear(&r);
  options = (tn_csv_options){.schema_text = "a: int8"};
  r = read_bytes("a\n128\n", 6, &options);
  assert_int_equal(r.status, TN_ERR_DATA);
  CONTAINS(r.err.text, "\"128\" is no int8, the declared type");
  clear(&r);
  options = (tn_csv_options){.schema_text = "a: list<item: int8>"};
  r = read_bytes("a\n1\n", 4, &options);
  assert_int_equal(r.status, TN_ERR_UNSUPPORTED);
  CONTAINS(r.err.text, "column \"a\": a CSV column cannot be read as list");
  clear(&r);
}

static void projection_takes_only_what_is_asked(void **state) {
  const char *text = "a,b,c\n1,\xff,x\n2,,y\n"; /* b is not UTF-8, but nobody asks */
  const char *names[] = {"c", "a"};
  tn_csv_options options = {.columns = names, .column_count = 2};
  result r = read_bytes(text, strlen(text), &options);
  assert_int_equal(r.status, TN_OK);
  assert_string_equal(r.types.data, "c:string a:int64");
  assert_string_equal(r.text.data, "c,a\nx,1\ny,2\n");
  clear(&r);
  names[1] = "nope";
  r = read_bytes(text, strlen(text), &options);
  assert_int_equal(r.status, TN_ERR_NOT_FOUND);
  CONTAINS(r.err.text, "\"nope\" among 3: a, b, c");
  clear(&r);
}

static void other_dialects(void **state) {
  const char *text = "1;'a;''b'\n2;c\n";
  tn_csv_options options = {.separator = ";", .quote = "'", .no_header = true};
  result r = read_bytes(text, strlen(text), &options);
  assert_int_equal(r.status, TN_OK);
  assert_string_equal(r.types.data, "f0:int64 f1:string");
  assert_string_equal(r.text.data, "f0,f1\n1,a;'b\n2,c\n");
  clear(&r);
  options.quote = ";";
  r = read_bytes(text, strlen(text), &options);
  assert_int_equal(r.status, TN_ERR_ARGUMENT);
}

static void fields_have_a_limit(void **state) {
  tn_strbuf text = {0};
  tn_strbuf_add(&text, "a,b\n1,\"");
  for (int i = 0; i < 5000; i++) tn_strbuf_add(&text, "0123456789");
  tn_csv_options options = {.field_bytes_max = 40000};
  result r = read_bytes(text.data, text.length, &options);
  assert_int_equal(r.status, TN_ERR_LIMIT);
  CONTAINS(r.err.text, "more than 40000 bytes");
  CONTAINS(r.err.text, "quote");
  clear(&r);
  tn_strbuf_clear(&text);
}

/* A source that hands out a few bytes a call, as a pipe may. */
typedef struct dripping {
  tn_source source;
  tn_str rest;
  uint64_t seed, calls;
} dripping;

static tn_status drip(tn_source *self, void *dst, size_t bytes, size_t *got, tn_error *err) {
  dripping *d = (dripping *)self;
  size_t n = 1 + tn_random_below(d->seed, 1, d->calls++, 7);
  if (n > d->rest.length) n = d->rest.length;
  if (n > bytes) n = bytes;
  if (n) memcpy(dst, d->rest.data, n);
  d->rest = (tn_str){d->rest.data + n, d->rest.length - n};
  *got = n;
  return TN_OK;
}
static void drip_close(tn_source *self) {}

/* Random tables survive writing and reading, whole, in small batches and drop by drop. */
static void random_text(tn_strbuf *out, uint64_t seed) {
  static const char *const pieces[] = {"a", ",", "\"", "\n", "\r\n", "\xc3\xa9", " ", "7", ""};
  int64_t columns = 1 + (int64_t)tn_random_below(seed, 2, 0, 4);
  uint64_t k = 0;
  for (int64_t c = 0; c < columns; c++) tn_strbuf_addf(out, "%sc%d", c ? "," : "", (int)c);
  tn_strbuf_add(out, "\n");
  int64_t rows = 1 + (int64_t)tn_random_below(seed, 3, 0, 60);
  for (int64_t row = 0; row < rows; row++) {
    for (int64_t c = 0; c < columns; c++) {
      if (c) tn_strbuf_add(out, ",");
      uint64_t kind = tn_random_below(seed, 4, k++, 3);
      if (kind == 0) continue; /* null */
      if (kind == 1) {
        tn_strbuf_addf(out, "w%d", (int)tn_random_below(seed, 5, k++, 1000));
        continue;
      }
      tn_strbuf_add(out, "\"");
      for (uint64_t n = tn_random_below(seed, 6, k++, 6); n > 0; n--) {
        const char *piece = pieces[tn_random_below(seed, 7, k++, 9)];
        tn_strbuf_add(out, piece);
        if (*piece == '"') tn_strbuf_add(out, piece);
      }
      tn_strbuf_add(out, "\"");
    }
    tn_strbuf_add(out, "\n");
  }
}

static void random_tables_survive(void **state) {
  uint64_t seed = (uint64_t)time(NULL);
  print_message("seed %llu\n", (unsigned long long)seed);
  for (uint64_t i = 0; i < 400; i++) {
    tn_strbuf text = {0};
    random_text(&text, seed + i);
    result whole = read_bytes(text.data, text.length, NULL);
    assert_int_equal(whole.status, TN_OK);
    result again = read_bytes(whole.text.data, whole.text.length, NULL);
    assert_string_equal(again.text.data, whole.text.data);
    assert_int_equal(again.rows, whole.rows);
    tn_csv_options options = {.batch_rows = 3};
    dripping d = {{.name = "pipe", .size_bytes = -1, .read = drip, .close = drip_close},
                  tn_strbuf_view(&text),
                  seed + i,
                  0};
    result drops = read_sources(&(tn_source *){&d.source}, 1, &options);
    assert_int_equal(drops.status, TN_OK);
    assert_string_equal(drops.text.data, whole.text.data);
    assert_int_equal(drops.batches, (whole.rows + 2) / 3);
    clear(&whole);
    clear(&again);
    clear(&drops);
    tn_strbuf_clear(&text);
  }
}

/* What broken text says of its types and of its first flaw does not depend on where it comes from.
 */
static void rows_before_a_flaw_tell_types_everywhere(void **state) {
  static const char text[] = "a\n6\n7\nlate\n1234567890\n";
  for (int64_t block_bytes = 0; block_bytes < 12; block_bytes++)
    for (int piped = 0; piped < 2; piped++) {
      tn_csv_options options = {.infer_rows = 2, .field_bytes_max = 8, .block_bytes = block_bytes};
      dripping d = {{.name = "pipe", .size_bytes = -1, .read = drip, .close = drip_close},
                    {text, sizeof text - 1},
                    7,
                    0};
      result r = piped ? read_sources(&(tn_source *){&d.source}, 1, &options)
                       : read_bytes(text, sizeof text - 1, &options);
      assert_int_equal(r.status, TN_ERR_DATA);
      assert_string_equal(r.types.data, "a:int64");
      CONTAINS(r.err.text, "\"late\" is no int64");
      clear(&r);
    }
}

/* Lines, bytes and batches stay right when the file is many blocks long. */
static void long_files_stream(void **state) {
  tn_strbuf text = {0};
  tn_strbuf_add(&text, "n,s\n");
  for (int i = 0; i < 300000; i++) tn_strbuf_addf(&text, "%d,\"row\n%d\"\n", i, i);
  int64_t at = (int64_t)text.length;
  tn_strbuf_add(&text, "oops,x\n");
  tn_csv_options options = {.infer_rows = 10};
  result r = read_bytes(text.data, text.length, &options);
  assert_int_equal(r.status, TN_ERR_DATA);
  assert_true(r.batches > 3); /* those before the broken block */
  char expected[80];
  snprintf(expected, sizeof expected, "line 600002, column 1 \"n\" (byte %lld)", (long long)at);
  CONTAINS(r.err.text, expected);
  clear(&r);
  r = read_bytes(text.data, (size_t)at, &options);
  assert_int_equal(r.status, TN_OK);
  assert_int_equal(r.rows, 300000);
  assert_int_equal(r.text.length, (size_t)at);
  assert_memory_equal(r.text.data, text.data, (size_t)at);
  clear(&r);
  tn_strbuf_clear(&text);
}

static void every_double_survives(void **state) {
  uint64_t seed = (uint64_t)time(NULL);
  print_message("seed %llu\n", (unsigned long long)seed);
  for (uint64_t i = 0; i < 20000; i++) {
    uint64_t bits = tn_random_u64(seed, 8, i);
    double value, back, ours;
    memcpy(&value, &bits, 8);
    if (i % 2) value = (double)(int64_t)(bits % 2000000000) / 1000.0; /* as prices look */
    if (value != value || value - value != 0) continue;
    char text[40 + 16] = {0};
    snprintf(text, 40, "%.*g", 1 + (int)(bits % 17), value);
    value = strtod(text, NULL);
    if (value - value != 0) continue;
    assert_true(tn_csv_to_f64(tn_str_of(text), true, &ours));
    assert_true(tn_str_to_f64(tn_str_of(text), &back));
    assert_memory_equal(&ours, &value, 8);
    assert_memory_equal(&back, &value, 8);
  }
}

static tn_status round_trip(void *context, tn_error *err) {
  tn_source *source;
  const char *text = context;
  TN_TRY(tn_source_open_memory(&source, "t.csv", text, strlen(text), err));
  result r = read_sources(&source, 1, NULL);
  if (err) *err = r.err;
  clear(&r);
  return r.status;
}

static void every_allocation_may_fail(void **state) {
  assert_true(fail_each_allocation(round_trip, "a,b,c\n1,x,\"y\"\"z\"\n2,,3\n,w,4\n") > 20);
}

static void the_writer_refuses_what_it_cannot_say(void **state) {
  tn_error err = {0};
  tn_strbuf text = {0};
  tn_sink *sink;
  tn_csv_writer *w;
  ArrowSchema child = {.format = "l", .name = "n", .release = NULL}, *children = &child;
  ArrowSchema schema = {.format = "+s", .name = "", .n_children = 1, .children = &children};
  OK(tn_sink_open_memory(&sink, "out", &text, &problem));
  tn_csv_options options = {.separator = "5"};
  assert_int_equal(tn_csv_writer_new(&w, sink, &schema, &options, &err), TN_ERR_ARGUMENT);
  tn_sink_close(sink);
  tn_strbuf_clear(&text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(types_are_inferred),
      cmocka_unit_test(inference_loses_nothing),
      cmocka_unit_test(quotes_newlines_and_line_ends),
      cmocka_unit_test(malformed_rows_are_named),
      cmocka_unit_test(a_broken_type_says_what_would_help),
      cmocka_unit_test(a_reader_that_failed_stays_failed),
      cmocka_unit_test(declared_types_are_taken),
      cmocka_unit_test(projection_takes_only_what_is_asked),
      cmocka_unit_test(other_dialects),
      cmocka_unit_test(fields_have_a_limit),
      cmocka_unit_test(random_tables_survive),
      cmocka_unit_test(rows_before_a_flaw_tell_types_everywhere),
      cmocka_unit_test(long_files_stream),
      cmocka_unit_test(every_double_survives),
      cmocka_unit_test(every_allocation_may_fail),
      cmocka_unit_test(the_writer_refuses_what_it_cannot_say),
  };
  return cmocka_run_group_tests_name("csv", tests, NULL, NULL);
}

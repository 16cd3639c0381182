/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include "base/random.h"
#include "columns/jsonl.h"
#include "columns/jsonl_parse.h"
#include "columns/schema.h"
#include "columns/value.h"
#include "columns/type.h"

typedef struct dice {
  uint64_t seed, index;
} dice;

static uint64_t roll(dice *d, uint64_t n) {
  return tn_random_below(d->seed, 0, d->index++, n);
}

/* ---- a table as text: the schema, then each row as a list of values by the raw buffers ---- */
typedef struct result {
  tn_strbuf types, rows;
  int64_t batches, row_count, longest;
  tn_status status;
  tn_error err;
} result;

static void clear(result *r) {
  tn_strbuf_clear(&r->types);
  tn_strbuf_clear(&r->rows);
}

static void add_value(tn_strbuf *out, const tn_field *field, const ArrowArray *a, int64_t row) {
  int64_t i = a->offset + row;
  const void *values = a->n_buffers > 1 ? a->buffers[1] : NULL;
  if (field->type.id == TN_TYPE_NULL || tn_array_is_null(a, row)) {
    tn_strbuf_add(out, "null");
    return;
  }
  switch (field->type.id) {
    case TN_TYPE_BOOL:
      tn_strbuf_add(out, ((const uint8_t *)values)[i >> 3] >> (i & 7) & 1 ? "true" : "false");
      return;
    case TN_TYPE_STRING: {
      tn_str text = tn_value_bytes(field, a, row);
      tn_strbuf_addf(out, "'%.*s'", TN_STR_ARG(text));
      return;
    }
    case TN_TYPE_DOUBLE:
      tn_strbuf_addf(out, "%.17g", ((const double *)values)[i]);
      return;
    case TN_TYPE_FLOAT:
      tn_strbuf_addf(out, "%.9g", (double)((const float *)values)[i]);
      return;
    case TN_TYPE_UINT64:
      tn_strbuf_addf(out, "%llu", (unsigned long long)((const uint64_t *)values)[i]);
      return;
    case TN_TYPE_LIST: {
      const int32_t *offsets = (const int32_t *)values + i;
      tn_strbuf_add(out, "[");
      for (int32_t k = offsets[0]; k < offsets[1]; k++) {
        if (k > offsets[0]) tn_strbuf_add(out, " ");
        add_value(out, &field->children[0], a->children[0], k);
      }
      tn_strbuf_add(out, "]");
      return;
    }
    case TN_TYPE_STRUCT:
      tn_strbuf_add(out, "{");
      for (int64_t c = 0; c < field->child_count; c++) {
        tn_strbuf_addf(out, "%s%s=", c ? " " : "", field->children[c].name);
        add_value(out, &field->children[c], a->children[c], i);
      }
      tn_strbuf_add(out, "}");
      return;
    default:
      break;
  }
  int64_t value = field->type.bits == 8    ? ((const int8_t *)values)[i]
                  : field->type.bits == 16 ? ((const int16_t *)values)[i]
                  : field->type.bits == 32 ? ((const int32_t *)values)[i]
                  : field->type.bits == 64 ? ((const int64_t *)values)[i]
                                           : ((const int64_t *)values)[2 * i];
  tn_strbuf_addf(out, "%lld", (long long)value);
}

static void check_nulls(const ArrowArray *a) {
  int64_t nulls = 0;
  for (int64_t i = 0; i < a->length; i++) nulls += tn_array_is_null(a, i);
  if (a->n_buffers > 0 && a->null_count >= 0) assert_int_equal(nulls, a->null_count);
  for (int64_t i = 0; i < a->n_children; i++) check_nulls(a->children[i]);
}

static tn_status drain(ArrowArrayStream *stream, result *r, tn_error *err) {
  ArrowSchema schema;
  ArrowArray batch;
  tn_arena arena = {0};
  tn_field *root = NULL;
  TN_TRY(tn_stream_schema(stream, &schema, err));
  tn_status status = tn_field_tree(&root, &arena, &schema, err);
  for (int64_t c = 0; status == TN_OK && c < root->child_count; c++) {
    tn_strbuf_addf(&r->types, "%s%s:", c ? " " : "", root->children[c].name);
    tn_field_text(&root->children[c], &r->types);
  }
  while (status == TN_OK) {
    status = tn_stream_next(stream, &batch, err);
    if (status != TN_OK) break;
    r->batches++;
    r->row_count += batch.length;
    if (batch.length > r->longest) r->longest = batch.length;
    check_nulls(&batch);
    for (int64_t i = 0; i < batch.length; i++) {
      for (int64_t c = 0; c < root->child_count; c++) {
        if (c) tn_strbuf_add(&r->rows, ",");
        add_value(&r->rows, &root->children[c], batch.children[c], i);
      }
      tn_strbuf_add(&r->rows, ";");
    }
    tn_array_clear(&batch);
  }
  tn_arena_clear(&arena);
  tn_schema_clear(&schema);
  if (status != TN_END) return status;
  TN_TRY(tn_strbuf_check(&r->types, err));
  return tn_strbuf_check(&r->rows, err);
}

static result read_source(tn_source *source, const tn_jsonl_options *options) {
  result r = {0};
  ArrowArrayStream stream;
  r.status = tn_jsonl_read(&stream, source, options, &r.err);
  if (r.status != TN_OK) return r;
  r.status = drain(&stream, &r, &r.err);
  tn_stream_clear(&stream);
  return r;
}

static result read_bytes(const char *text, size_t length, const tn_jsonl_options *options) {
  tn_source *source;
  OK(tn_source_open_memory(&source, "t.jsonl", text, length, &problem));
  return read_source(source, options);
}

/* A source that cannot be read again, in pieces of 7 bytes. */
typedef struct pipe_source {
  tn_source base;
  const char *at;
  size_t left;
} pipe_source;

static tn_status pipe_read(tn_source *self, void *dst, size_t bytes, size_t *got, tn_error *err) {
  pipe_source *p = (pipe_source *)self;
  *got = p->left < 7 ? p->left : 7;
  if (*got > bytes) *got = bytes;
  if (*got) memcpy(dst, p->at, *got);
  p->at += *got;
  p->left -= *got;
  return TN_OK;
}
static void pipe_close(tn_source *self) {}

static result read_pipe(const char *text, const tn_jsonl_options *options) {
  pipe_source p = {{.name = "t.jsonl", .size_bytes = -1, .read = pipe_read, .close = pipe_close},
                   text,
                   strlen(text)};
  return read_source(&p.base, options);
}

static void expect(result r, const char *types, const char *rows) {
  if (r.status != TN_OK) print_error("%s\n", r.err.text);
  assert_int_equal(r.status, TN_OK);
  assert_string_equal(r.types.data ? r.types.data : "", types);
  assert_string_equal(r.rows.data ? r.rows.data : "", rows);
  clear(&r);
}

static void reads_as(const char *text, const char *types, const char *rows) {
  expect(read_bytes(text, strlen(text), NULL), types, rows);
  expect(read_pipe(text, NULL), types, rows); /* small: the sample is all of it */
}

static void fails(result r, tn_status status, const char *part) {
  assert_int_equal(r.status, status);
  CONTAINS(r.err.text, "t.jsonl");
  CONTAINS(r.err.text, part);
  clear(&r);
}

static void fails_with(const char *text, tn_status status, const char *part) {
  fails(read_bytes(text, strlen(text), NULL), status, part);
}

/* ---- tests ---- */
static void types_are_found(void **state) {
  reads_as(
      "{\"b\":true,\"i\":1,\"r\":1.5,\"s\":\"x\",\"d\":\"2024-02-29\",\"t\":\"2024-02-29 "
      "12:30:00\","
      "\"z\":\"2024-02-29T12:30:00Z\",\"n\":null}\n"
      "{\"b\":null,\"i\":-20,\"r\":3,\"s\":\"\",\"d\":null,\"t\":\"1970-01-02\",\"z\":null,\"n\":"
      "null}",
      "b:bool i:int64 r:double s:string d:date32[day] t:timestamp[us] z:timestamp[us, tz=UTC] "
      "n:null",
      "true,1,1.5,'x',19782,1709209800000000,1709209800000000,null;"
      "null,-20,3,'',null,86400000000,null,null;");
  reads_as("{\"a\":9223372036854775807}\n{\"a\":-9223372036854775808}\n", "a:int64",
           "9223372036854775807;-9223372036854775808;");
  reads_as("{\"a\":18446744073709551615}\n{\"a\":1}\n", "a:uint64", "18446744073709551615;1;");
  reads_as("{\"a\":18446744073709551615}\n{\"a\":-1}\n", "a:string",
           "'18446744073709551615';'-1';");
  reads_as("{\"a\":18446744073709551616}\n{\"a\":1}\n", "a:string", "'18446744073709551616';'1';");
  reads_as("{\"a\":18446744073709551616}\n{\"a\":0.5}\n", "a:double",
           "1.8446744073709552e+19;0.5;");
  reads_as("{\"a\":1e999}\n{\"a\":1}\n", "a:string", "'1e999';'1';");
  reads_as("{\"a\":-0}\n{\"a\":1}\n", "a:double", "-0;1;");
  reads_as("{\"a\":0.1}{\"a\":1E-2}\n{\"a\":123456789012345678901234567890.5}\n", "a:double",
           "0.10000000000000001;0.01;1.2345678901234568e+29;");
  reads_as("{\"a\":0.30000000000000004}\n{\"a\":9007199254740993.0}", "a:double",
           "0.30000000000000004;9007199254740992;");
}

static void kinds_that_do_not_go_together(void **state) {
  reads_as("{\"a\":1}\n{\"a\":\"x\\n\"}\n{\"a\":true}\n{\"a\":1.50}", "a:string",
           "'1';'x\n';'true';'1.50';");
  reads_as("{\"a\":\"2024-01-01\"}\n{\"a\":\"soon\"}", "a:string", "'2024-01-01';'soon';");
  reads_as("{\"a\":1}\n{\"a\":{ \"b\" : [1, \"x y\"] }}\n{\"a\":\"q\\\"\"}\n{\"a\":null}",
           "a:string", "'1';'{\"b\":[1,\"x y\"]}';'\"q\\\"\"';null;");
  reads_as("{\"a\":[1]}\n{\"a\":{}}", "a:string", "'[1]';'{}';");
}

static void nested_values(void **state) {
  reads_as(
      "{\"a\":{\"x\":1,\"y\":[{\"p\":null},{\"p\":\"q\"}]}}\n{\"a\":null}\n{\"a\":{\"y\":[]}}\n"
      "{\"a\":{\"x\":2,\"y\":null,\"z\":[[1],[],null,[2.5]]}}\n",
      "a:struct<x: int64, y: list<item: struct<p: string>>, z: list<item: list<item: double>>>",
      "{x=1 y=[{p=null} {p='q'}] z=null};null;{x=null y=[] z=null};"
      "{x=2 y=null z=[[1] [] null [2.5]]};");
  reads_as("{\"a\":[]}\n{\"a\":null}\n", "a:list<item: null>", "[];null;");
  reads_as("{\"a\":[null,null]}\n", "a:list<item: null>", "[null null];");
  reads_as("{\"a\":{}}\n{}\n", "a:struct<>", "{};null;");
}

static void keys_come_and_go(void **state) {
  reads_as("{\"a\":1}\n{\"b\":\"x\",\"a\":2}\n{}\n{ \"b\" : \"y\" }\r\n\n{\"c\":true,\"a\":3}",
           "a:int64 b:string c:bool",
           "1,null,null;2,'x',null;null,null,null;null,'y',null;3,null,true;");
  /* the last value of a repeated key counts, of any kind */
  reads_as(
      "{\"a\":1,\"a\":2,\"s\":\"abc\",\"s\":\"d\",\"l\":[1,2],\"l\":[3],\"o\":{\"x\":1},\"o\":{"
      "\"y\":2}}\n"
      "{\"b\":true,\"b\":false,\"a\":5,\"a\":null}\n{\"b\":true}",
      "a:int64 s:string l:list<item: int64> o:struct<x: int64, y: int64> b:bool",
      "2,'d',[3],{x=null y=2},null;null,null,null,null,false;null,null,null,null,true;");
  reads_as("{\"\\u0061\":1,\"b\\\"\":2}\n{\"a\":3,\"b\\u0022\":4}", "a:int64 b\":int64",
           "1,2;3,4;");
  reads_as("", "", "");
  reads_as(" \n\n", "", "");
}

static void strings(void **state) {
  reads_as("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"}", "a:string",
           "'\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80';");
  reads_as(
      "{\"a\":\"0123456789012345678901234567890\"}\n{\"a\":\"01234567890123456789012345678901\"}\n"
      "{\"a\":\"012345678901234567890123456789\xc3\xa9 and some more text behind it \\\\\"}\n",
      "a:string",
      "'0123456789012345678901234567890';'01234567890123456789012345678901';"
      "'012345678901234567890123456789\xc3\xa9 and some more text behind it \\';");
  fails_with("{\"a\":\"\xff\"}", TN_ERR_DATA, "not UTF-8");
  fails_with("{\"a\":\"x\",\"b\":[\"\xed\xa0\x80\"]}", TN_ERR_DATA, "not UTF-8");
  fails_with("{\"a\":\"\\ud800\"}", TN_ERR_DATA, "high surrogate");
  fails_with("{\"a\":\"\\udc00\"}", TN_ERR_DATA, "low surrogate");
  fails_with("{\"a\":\"\\x\"}", TN_ERR_DATA, "expected an escape");
  fails_with("{\"a\":\"\\u12g4\"}", TN_ERR_DATA, "four hexadecimal digits, found 'g'");
  fails_with("{\"a\":\"x\ty\"}", TN_ERR_DATA, "closing quote");
}

static void malformed_text_is_named(void **state) {
  fails_with("{\"a\":1}\n{\"a\":2,}\n", TN_ERR_DATA,
             "line 2 (byte 15): expected a key in quotes, found '}'");
  fails_with("{\"a\":1}\n{\"a\" 2}\n", TN_ERR_DATA, "line 2 (byte 13): expected ':', found '2'");
  fails_with("{\"a\":01}", TN_ERR_DATA, "expected ',' or '}', found '1'");
  fails_with("{\"a\":1.}", TN_ERR_DATA, "expected a digit, found '}'");
  fails_with("{\"a\":-}", TN_ERR_DATA, "expected a digit");
  fails_with("{\"a\":1e+}", TN_ERR_DATA, "expected a digit");
  fails_with("{\"a\":tru}", TN_ERR_DATA, "expected a value");
  fails_with("{\"a\":[1 2]}", TN_ERR_DATA, "expected ',' or ']', found '2'");
  fails_with("{\"a\":NaN}", TN_ERR_DATA, "expected a value");
  fails_with("{\"a\":1", TN_ERR_DATA, "is the file truncated?");
  fails_with("{\"a\":\"x", TN_ERR_DATA, "is the file truncated?");
  fails_with("[1,2]", TN_ERR_DATA, "a row is a JSON object");
  fails_with("1\n", TN_ERR_DATA,
             "line 1 (byte 0): expected '{': a row is a JSON object, found '1'");
  fails_with("\xff\xfe{\0", TN_ERR_UNSUPPORTED, "UTF-16");
  char nul[] = "{\"a\":1}\n\0{\"a\":1}\n";
  fails(read_bytes(nul, sizeof nul - 1, NULL), TN_ERR_DATA, "found byte 0x00");
}

static void arrays_and_records_over_lines(void **state) {
  reads_as("\xef\xbb\xbf [ {\"a\":1}, {\"a\":\n2} ]\n", "a:int64", "1;2;");
  reads_as("[]", "", "");
  fails_with("[{\"a\":1},]", TN_ERR_DATA, "a row is a JSON object");
  fails_with("[{\"a\":1}", TN_ERR_DATA, "truncated");
  fails_with("[{\"a\":1} {\"a\":1}]", TN_ERR_DATA, "',' or ']' behind a row");
  fails_with("[{\"a\":1}] x", TN_ERR_DATA, "the end behind ']'");
  reads_as("{\n \"a\": 1\n}\n{\n \"a\": 2,\n \"b\": [\n1\n]\n}", "a:int64 b:list<item: int64>",
           "1,null;2,[1];");
}

/* ---- blocks: any size of them, any number of threads, the same table ---- */
static void random_table(tn_strbuf *out, uint64_t seed, int64_t rows, const char *separator,
                         bool wrapped) {
  dice random = {seed, 0};
  tn_strbuf_add(out, wrapped ? "[" : "");
  for (int64_t i = 0; i < rows; i++) {
    if (i) tn_strbuf_add(out, separator);
    tn_strbuf_addf(out, "{\"id\":%lld", (long long)i);
    if (roll(&random, 3)) tn_strbuf_addf(out, ", \"r\": %.3f", (double)i / 7);
    if (roll(&random, 3))
      tn_strbuf_addf(out, ",\"s\":\"%.*s\\n\"", 8 + (int)roll(&random, 50),
                     "}{][,,\xc3\xa9 the quick brown fox jumps over the lazy dog again and again");
    if (roll(&random, 3) == 0)
      tn_strbuf_addf(out, ",\"o\":{\"k%d\":[%d,null]}", (int)roll(&random, 3), (int)i);
    tn_strbuf_add(out, "}");
  }
  tn_strbuf_add(out, wrapped ? "]" : separator);
}

static void blocks_and_threads_change_nothing(void **state) {
  static const struct {
    const char *separator;
    bool wrapped;
  } forms[] = {{"\n", false}, {"", false}, {" \n ,\n", true}};
  static const int64_t sizes[] = {1, 40, 333, 5000, 1 << 20};
  tn_pool *pool;
  OK(tn_pool_new(&pool, 3, &problem));
  for (size_t f = 0; f < 3; f++) {
    tn_strbuf text = {0};
    random_table(&text, 7 + f, 300, forms[f].separator, forms[f].wrapped);
    result whole = read_bytes(text.data, text.length, NULL);
    assert_int_equal(whole.status, TN_OK);
    assert_int_equal(whole.row_count, 300);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      int64_t batches = -1;
      for (int threads = 1; threads <= 3; threads += 2) {
        tn_jsonl_options o = {.block_bytes = sizes[i], .pool = threads > 1 ? pool : NULL};
        result r = read_bytes(text.data, text.length, &o);
        if (batches >= 0) assert_int_equal(r.batches, batches);
        batches = r.batches;
        expect(r, whole.types.data, whole.rows.data);
        o.batch_rows = 11;
        r = read_bytes(text.data, text.length, &o);
        assert_true(r.longest <= 11);
        expect(r, whole.types.data, whole.rows.data);
      }
    }
    clear(&whole);
    tn_strbuf_clear(&text);
  }
  tn_pool_free(pool);
}

/* A declared schema is not inferred: that records span lines is seen only on the way. */
static void records_over_lines_with_a_declared_schema(void **state) {
  ArrowSchema schema;
  OK(tn_schema_init_flat(&schema, (const char *const[]){"id"}, (const char *const[]){"i"}, 1,
                         &problem));
  tn_strbuf text = {0}, rows = {0};
  for (int i = 0; i < 200; i++) {
    tn_strbuf_addf(&text, i < 50 ? "{\"id\":%d}\n" : "{\n\"id\"\n:\n%d\n,\"x\":\n{}}", i);
    tn_strbuf_addf(&rows, "%d;", i);
  }
  tn_pool *pool;
  OK(tn_pool_new(&pool, 2, &problem));
  for (int64_t bytes = 1; bytes < 3000; bytes += 83) {
    int64_t batches = -1;
    for (int threads = 1; threads <= 2; threads++) {
      tn_jsonl_options o = {
          .block_bytes = bytes, .schema = &schema, .pool = threads > 1 ? pool : NULL};
      result r = read_bytes(text.data, text.length, &o);
      if (batches >= 0) assert_int_equal(r.batches, batches);
      batches = r.batches;
      expect(r, "id:int32", rows.data);
      expect(read_pipe(text.data, &o), "id:int32", rows.data);
    }
  }
  tn_pool_free(pool);
  tn_schema_clear(&schema);
  tn_strbuf_clear(&text);
  tn_strbuf_clear(&rows);
}

/* ---- options ---- */
static void projection(void **state) {
  const char *text =
      "{\"a\":1,\"b\":{\"x\":[1]},\"c\":\"z\"}\n{\"c\":\"y\",\"b\":{\"x\":[]},\"a\":2}\n";
  const char *const names[] = {"c", "a"}, *const wrong[] = {"c", "d"}, *const twice[] = {"c", "c"};
  tn_jsonl_options o = {.columns = names, .column_count = 2};
  expect(read_bytes(text, strlen(text), &o), "c:string a:int64", "'z',1;'y',2;");
  o.columns = wrong;
  fails(read_bytes(text, strlen(text), &o), TN_ERR_NOT_FOUND, "no column \"d\" among 3: a, b, c");
  o.columns = twice;
  fails(read_bytes(text, strlen(text), &o), TN_ERR_ARGUMENT, "asked for twice");
  o.columns = names; /* what is skipped is checked all the same */
  const char *bad = "{\"a\":1,\"b\":[1,],\"c\":\"x\"}\n";
  fails(read_bytes(bad, strlen(bad), &o), TN_ERR_DATA, "expected a value");
}

static void declare(ArrowSchema *schema, const char *const *names, const char *const *formats,
                    int64_t count) {
  OK(tn_schema_init(schema, "+s", "", 0, &problem));
  OK(tn_schema_add_children(schema, count, &problem));
  for (int64_t i = 0; i < count; i++)
    OK(tn_schema_init(schema->children[i], formats[i], names[i], ARROW_FLAG_NULLABLE, &problem));
}

static void declared_types(void **state) {
  ArrowSchema schema;
  const char *const names[] = {"i", "u", "f", "t", "d", "s", "x"};
  const char *const formats[] = {"c", "S", "f", "tsm:UTC", "d:10,2", "u", "l"};
  declare(&schema, names, formats, 7);
  tn_jsonl_options o = {.schema = &schema};
  const char *text =
      "{\"i\":-128,\"u\":65535,\"f\":0.1,\"t\":\"1970-01-01T00:00:01.5\",\"d\":1.5,"
      "\"s\":\"2024-01-01\",\"other\":[1,{}]}\n"
      "{\"d\":\"-12345678.90\",\"t\":\"1970-01-01 01:00:00+01:00\",\"s\":12}\n"
      "{\"d\":2e3}\n";
  expect(read_bytes(text, strlen(text), &o),
         "i:int8 u:uint16 f:float t:timestamp[ms, tz=UTC] d:decimal128(10, 2) s:string x:int64",
         "-128,-1,0.100000001,1500,150,'2024-01-01',null;"
         "null,null,null,0,-1234567890,'12',null;null,null,null,null,200000,null,null;");
  const char *const bad[] = {"{\"i\":128}",   "{\"u\":-1}",   "{\"i\":1.0}",  "{\"d\":1.505}",
                             "{\"d\":1e9}",   "{\"t\":5}",    "{\"f\":1e60}", "{\"s\":{}}",
                             "{\"i\":\"1\"}", "{\"x\":true}", "{\"i\":[1]}",  "{\"t\":\"x\"}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    fails(read_bytes(bad[i], strlen(bad[i]), &o), TN_ERR_DATA, "the declared type");
  tn_schema_clear(&schema);
  declare(&schema, names, (const char *const[]){"+vl"}, 1);
  OK(tn_schema_add_children(schema.children[0], 1, &problem));
  OK(tn_schema_init(schema.children[0]->children[0], "l", "item", 2, &problem));
  fails(read_bytes(text, strlen(text), &o), TN_ERR_UNSUPPORTED, "JSON is not read as list_view");
  tn_schema_clear(&schema);
}

static void a_pipe_is_sampled(void **state) {
  const char *text =
      "{\"a\":1}\n{\"a\":2}\n{\"a\":3,\"late\":\"x\"}\n{\"a\":4,\"more\":[1, 2],\"late\":0}\n";
  tn_jsonl_options o = {.sample_bytes = 20};
  fails(read_pipe(text, &o), TN_ERR_DATA, "key \"late\" was not in the sample");
  o.rest_column = "rest";
  expect(read_pipe(text, &o), "a:int64 rest:string",
         "1,null;2,null;3,'{\"late\":\"x\"}';4,'{\"more\":[1,2],\"late\":0}';");
  o = (tn_jsonl_options){.sample = true, .sample_bytes = 20};
  fails(read_bytes(text, strlen(text), &o), TN_ERR_DATA, "line 3 (byte 23): key \"late\"");
  const char *wider = "{\"a\":1}\n{\"a\":2}\n{\"a\":2.5}\n";
  fails(read_pipe(wider, &(tn_jsonl_options){.sample_bytes = 20}), TN_ERR_DATA,
        "line 3, column \"a\" (byte 21): 2.5 is no int64, the inferred type");
}

static void bad_rows_are_left_out(void **state) {
  const char *text =
      "{\"a\":1,\"o\":{\"b\":[1,2]}}\n{\"a\":2,\"o\":{\"b\":[3,\n{\"a\":3,\"new\":1,oops}\n"
      "{\"a\":4} trash\n{\"a\":5}\n";
  tn_strbuf log = {0};
  tn_bad_rows bad = {.on_error = TN_ON_ERROR_SKIP};
  OK(tn_sink_open_memory(&bad.sink, "bad", &log, &problem));
  tn_jsonl_options o = {.bad = &bad};
  expect(read_bytes(text, strlen(text), &o), "a:int64 o:struct<b: list<item: int64>>",
         "1,{b=[1 2]};4,null;5,null;");
  assert_int_equal(bad.skipped, 3);
  CONTAINS(log.data,
           "\"line\":2,\"byte\":24,\"column\":null,\"reason\":\"a record that is not closed on its "
           "line\"");
  CONTAINS(log.data, "\"row\":\"{\\\"a\\\":3,\\\"new\\\":1,oops}\"");
  CONTAINS(log.data, "\"line\":4,\"byte\":73");
  tn_sink_close(bad.sink);
  tn_strbuf_clear(&log);

  ArrowSchema schema;
  declare(&schema, (const char *const[]){"a", "s"}, (const char *const[]){"l", "u"}, 2);
  const char *values =
      "{\"a\":1,\"s\":\"x\"}\n{\"a\":\"bad\",\"s\":\"y\"}\n{\"s\":\"z\",\"a\":[{}]} {\"a\":4}\n";
  bad = (tn_bad_rows){.on_error = TN_ON_ERROR_SKIP};
  o = (tn_jsonl_options){.bad = &bad, .schema = &schema};
  expect(read_bytes(values, strlen(values), &o), "a:int64 s:string", "1,'x';4,null;");
  assert_int_equal(bad.skipped, 2);
  bad = (tn_bad_rows){.on_error = TN_ON_ERROR_NULL};
  expect(read_bytes(values, strlen(values), &o), "a:int64 s:string",
         "1,'x';null,'y';null,'z';4,null;");
  assert_int_equal(bad.nulled, 2);
  assert_int_equal(bad.skipped, 0);
  bad = (tn_bad_rows){.on_error = TN_ON_ERROR_SKIP, .rows_max = 1};
  fails(read_bytes(values, strlen(values), &o), TN_ERR_LIMIT, "more than 1 bad rows");
  tn_schema_clear(&schema);
}

static void limits_are_named(void **state) {
  tn_strbuf text = {0};
  tn_strbuf_add(&text, "{\"a\":");
  for (int i = 0; i < 600; i++) tn_strbuf_add(&text, "[");
  for (int i = 0; i < 600; i++) tn_strbuf_add(&text, "]");
  tn_strbuf_add(&text, "}");
  fails(read_bytes(text.data, text.length, NULL), TN_ERR_LIMIT, "the limit of 512 levels");
  /* deep, but within the limit: JSON text from where a schema cannot follow */
  tn_strbuf_reset(&text);
  tn_strbuf_add(&text, "{\"a\":");
  for (int i = 0; i < 100; i++) tn_strbuf_add(&text, "[");
  for (int i = 0; i < 100; i++) tn_strbuf_add(&text, "]");
  tn_strbuf_add(&text, "}");
  result r = read_bytes(text.data, text.length, NULL);
  assert_int_equal(r.status, TN_OK);
  CONTAINS(r.types.data, "list<item: string>");
  CONTAINS(r.rows.data, "['[[[[");
  clear(&r);
  tn_jsonl_options o = {.record_bytes_max = 50, .block_bytes = 10};
  fails(read_bytes(text.data, text.length, &o), TN_ERR_LIMIT, "more than 50 bytes");
  /* an object with very many keys is no struct */
  tn_strbuf_reset(&text);
  for (int i = 0; i < TN_JSONL_KEYS_MAX + 100; i++)
    tn_strbuf_addf(&text, "{\"m\":{\"key%d\":%d}}\n", i, i);
  o = (tn_jsonl_options){.block_bytes = 1000};
  r = read_bytes(text.data, text.length, &o);
  assert_int_equal(r.status, TN_OK);
  assert_string_equal(r.types.data, "m:string");
  CONTAINS(r.rows.data, "'{\"key1050\":1050}'");
  clear(&r);
  tn_strbuf_clear(&text);
}

/* ---- both engines ---- */
static void engines_agree_on_strings(void **state) {
  const tn_jsonl_engine *best = tn_jsonl_engine_best();
  dice random = {11, 0};
  for (int round = 0; round < 20000; round++) {
    uint8_t bytes[32], a[32], b[32];
    for (int i = 0; i < 32; i++)
      bytes[i] = roll(&random, 4) ? (uint8_t)roll(&random, 256)
                                  : (uint8_t) "\"\\\x1f\x20\x7f\x80\xff\x00"[roll(&random, 8)];
    uint32_t high_a, high_b, expected = 0;
    for (int i = 0; i < 32; i++)
      expected |= (uint32_t)(bytes[i] < 0x20 || bytes[i] == '"' || bytes[i] == '\\') << i;
    assert_int_equal(tn_jsonl_plain.look(bytes, a, &high_a), expected);
    assert_int_equal(best->look(bytes, b, &high_b), expected);
    assert_int_equal(high_a, high_b);
    assert_memory_equal(a, bytes, 32);
    assert_memory_equal(b, bytes, 32);
  }
}

static bool parses(const tn_jsonl_engine *engine, const char *text, char *reason) {
  uint8_t block[256 + TN_JSONL_PADDING] = {0};
  size_t length = strlen(text);
  memcpy(block, text, length);
  tn_arena arena = {0};
  tn_jsonl_walk w = {.begin = block,
                     .at = block,
                     .end = block + length,
                     .depth_max = 512,
                     .arena = &arena,
                     .shape = tn_jsonl_shape_new(&arena, true)};
  bool ok = engine->infer(&w);
  memcpy(reason, w.fault.reason, TN_JSONL_REASON_BYTES);
  tn_jsonl_walk_clear(&w);
  tn_arena_clear(&arena);
  return ok;
}

static void engines_agree_on_faults(void **state) {
  const tn_jsonl_engine *best = tn_jsonl_engine_best();
  dice random = {12, 0};
  int good = 0;
  for (int round = 0; round < 20000; round++) {
    char text[] = "{\"a\":[1,-2.5e3,true],\"b\":{\"c\":\"x\\u0041 y\"}}",
         reason[2][TN_JSONL_REASON_BYTES];
    for (uint64_t n = roll(&random, 3); n > 0; n--)
      text[roll(&random, sizeof text - 1)] = "{}[]\",:1.e\\ \n-tu"[roll(&random, 16)];
    bool a = parses(&tn_jsonl_plain, text, reason[0]), b = parses(best, text, reason[1]);
    assert_int_equal(a, b);
    assert_string_equal(reason[0], reason[1]);
    good += a;
  }
  assert_true(good > 1000);
}

/* ---- writing ---- */
static tn_status rewrite(tn_source *source, tn_strbuf *out, const tn_jsonl_options *o,
                         tn_error *err) {
  ArrowArrayStream stream;
  ArrowSchema schema = {0};
  ArrowArray batch;
  tn_jsonl_writer *w = NULL;
  tn_sink *sink = NULL;
  TN_TRY(tn_jsonl_read(&stream, source, o, err));
  tn_status status = tn_sink_open_memory(&sink, "out", out, err);
  if (status == TN_OK) status = tn_stream_schema(&stream, &schema, err);
  if (status == TN_OK) status = tn_jsonl_writer_new(&w, sink, &schema, err);
  while (status == TN_OK) {
    status = tn_stream_next(&stream, &batch, err);
    if (status == TN_OK) status = tn_jsonl_writer_batch(w, &batch, err);
    tn_array_clear(&batch);
  }
  if (status == TN_END) status = tn_jsonl_writer_finish(w, err);
  tn_jsonl_writer_free(w);
  tn_sink_close(sink);
  tn_schema_clear(&schema);
  tn_stream_clear(&stream);
  return status;
}

static void writes_as(const char *text, const char *written) {
  tn_source *source;
  tn_strbuf out = {0};
  OK(tn_source_open_memory(&source, "t.jsonl", text, strlen(text), &problem));
  OK(rewrite(source, &out, NULL, &problem));
  assert_string_equal(out.data ? out.data : "", written);
  tn_strbuf_clear(&out);
}

static void what_is_read_is_written(void **state) {
  writes_as("{\"i\":1,\"s\":\"a\\u0022\\n\\u00e9\\\\ long enough for two words\"}\n{}\n",
            "{\"i\":1,\"s\":\"a\\\"\\n\xc3\xa9\\\\ long enough for two words\"}\n"
            "{\"i\":null,\"s\":null}\n");
  writes_as("{\"i\":-9223372036854775808,\"r\":1,\"b\":true}\n{\"i\":0,\"r\":1e300,\"b\":null}",
            "{\"i\":-9223372036854775808,\"r\":1.0,\"b\":true}\n"
            "{\"i\":0,\"r\":1e+300,\"b\":null}\n");
  writes_as(
      "{\"o\":{\"l\":[1,null]},\"t\":\"2024-01-01 10:00:00\",\"quote\\\"\":18446744073709551615}",
      "{\"o\":{\"l\":[1,null]},\"t\":\"2024-01-01T10:00:00\",\"quote\\\"\":"
      "18446744073709551615}\n");
  /* mixed kinds are JSON text, and come out as what they were */
  writes_as("{\"m\":{\"a\": [1, \"x y\"]}}\n{\"m\":\"s\"}\n{\"m\":2}\n{\"m\":null}\n",
            "{\"m\":{\"a\":[1,\"x y\"]}}\n{\"m\":\"s\"}\n{\"m\":2}\n{\"m\":null}\n");
  writes_as("{}\n{}\n", "{}\n{}\n");
}

static tn_status write_again(void *context, tn_error *err) {
  static const char text[] = "{\"a\":[1],\"m\":1,\"s\":\"\\n\"}\n{\"m\":{\"x\": 1}}\n";
  tn_source *source;
  tn_strbuf out = {0};
  TN_TRY(tn_source_open_memory(&source, "t.jsonl", text, sizeof text - 1, err));
  tn_status status = rewrite(source, &out, NULL, err);
  tn_strbuf_clear(&out);
  return status;
}

/* ---- failing allocations ---- */
static tn_status read_twice(void *context, tn_error *err) {
  static const char text[] =
      "{\"a\":1,\"b\":{\"c\":[\"x\",null]},\"d\":\"2024-01-01\"}\n{\"e\\n\":true,\"a\":null}\n"
      "{\"a\":7,\"b\":[]}\n{\"a\":[1,2]}\n";
  tn_source *source;
  TN_TRY(tn_source_open_memory(&source, "t.jsonl", text, sizeof text - 1, err));
  tn_bad_rows bad = {.on_error = TN_ON_ERROR_SKIP};
  tn_jsonl_options o = {.block_bytes = 40, .bad = &bad};
  result r = read_source(source, &o);
  clear(&r);
  if (r.status != TN_OK) *err = r.err;
  return r.status;
}

static void every_allocation_may_fail(void **state) {
  assert_true(fail_each_allocation(read_twice, NULL) > 30);
  assert_true(fail_each_allocation(write_again, NULL) > 30);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(types_are_found),
                                     cmocka_unit_test(kinds_that_do_not_go_together),
                                     cmocka_unit_test(nested_values),
                                     cmocka_unit_test(keys_come_and_go),
                                     cmocka_unit_test(strings),
                                     cmocka_unit_test(malformed_text_is_named),
                                     cmocka_unit_test(arrays_and_records_over_lines),
                                     cmocka_unit_test(blocks_and_threads_change_nothing),
                                     cmocka_unit_test(records_over_lines_with_a_declared_schema),
                                     cmocka_unit_test(projection),
                                     cmocka_unit_test(declared_types),
                                     cmocka_unit_test(a_pipe_is_sampled),
                                     cmocka_unit_test(bad_rows_are_left_out),
                                     cmocka_unit_test(limits_are_named),
                                     cmocka_unit_test(engines_agree_on_strings),
                                     cmocka_unit_test(engines_agree_on_faults),
                                     cmocka_unit_test(what_is_read_is_written),
                                     cmocka_unit_test(every_allocation_may_fail)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* CSV as files are: other encodings, compressed, several, broken; and the same for any threads and
 * blocks. */
#include "csv_test.h"

#include <time.h>

#include "base/random.h"
#include "columns/csv_split.h"
#include "columns/deflate.h"

static void reads(const void *text, size_t length, const tn_csv_options *options, const char *types,
                  const char *written) {
  result r = read_bytes(text, length, options);
  if (r.status != TN_OK) print_error("%s\n", r.err.text);
  assert_int_equal(r.status, TN_OK);
  if (types) assert_string_equal(r.types.data, types);
  assert_string_equal(r.text.data, written);
  clear(&r);
}

#define READS(text, options, types, written) reads(text, sizeof(text) - 1, options, types, written)

/* ---- encodings ---- */
static void add_utf16(tn_strbuf *out, const char *text, bool big) {
  for (const uint8_t *p = (const uint8_t *)text; *p;) {
    uint32_t code = 0, units[2], count = 1;
    p += tn_utf8_decode(p, strlen((const char *)p), &code);
    units[0] = code;
    if (code >= 0x10000) {
      units[0] = 0xd800 + ((code - 0x10000) >> 10);
      units[1] = 0xdc00 + ((code - 0x10000) & 0x3ff);
      count = 2;
    }
    for (uint32_t i = 0; i < count; i++) {
      char bytes[2] = {(char)(units[i] & 0xff), (char)(units[i] >> 8)};
      tn_strbuf_add_char(out, bytes[big]);
      tn_strbuf_add_char(out, bytes[!big]);
    }
  }
}

static void other_encodings(void **state) {
  const char *text = "name,n\nzo\xc3\xa9,1\n\xe2\x82\xac \xf0\x9f\x98\x80,2\n";
  for (int kind = 0; kind < 4; kind++) {
    tn_strbuf bytes = {0};
    tn_encoding expected = kind & 1 ? TN_ENCODING_UTF16BE : TN_ENCODING_UTF16LE;
    if (kind & 2) add_utf16(&bytes, "\xef\xbb\xbf", kind & 1);
    add_utf16(&bytes, text, kind & 1);
    tn_csv_dialect d;
    tn_csv_options o = {.dialect = &d};
    reads(bytes.data, bytes.length, &o, "name:string n:int64", text);
    assert_int_equal(d.encoding, expected);
    assert_int_equal(d.bom, (kind & 2) != 0);
    result r = read_bytes(bytes.data, bytes.length - 1, NULL); /* half a character */
    assert_int_equal(r.status, TN_ERR_DATA);
    clear(&r);
    tn_strbuf_clear(&bytes);
  }
  READS("a,b\nz\xe9,1\n", NULL, "a:string b:int64", "a,b\nz\xc3\xa9,1\n");
  READS("a,b\n\x80 \xe9,1\n", NULL, "a:string b:int64", "a,b\n\xe2\x82\xac \xc3\xa9,1\n");
  tn_csv_options latin = {.encoding = "latin-1"};
  READS("a\n\x80\n", &latin, "a:string", "a\n\xc2\x80\n");
  READS(
      "\xef\xbb\xbf"
      "a,b\n1,2\n",
      NULL, "a:int64 b:int64", "a,b\n1,2\n");
  tn_csv_options utf8 = {.encoding = "utf-8"};
  result r = read_bytes("a\n\xe9\n", 4, &utf8);
  assert_int_equal(r.status, TN_ERR_DATA);
  CONTAINS(r.err.text, "line 2");
  CONTAINS(r.err.text, "not UTF-8");
  clear(&r);
}

/* ---- dialects through the reader ---- */
static void other_dialects(void **state) {
  READS("a;b\n\"x;\"\"y\";1,5\n", NULL, "a:string b:string", "a,b\n\"x;\"\"y\",\"1,5\"\n");
  READS("a||b\n1||'x'\n2||'y'\n", NULL, "a:int64 b:string", "a,b\n1,'x'\n2,'y'\n");
  READS("a,b\r1,2\r3,4\r", NULL, "a:int64 b:int64", "a,b\n1,2\n3,4\n");
  READS("a,b\n\"x\\\"y, z\",2\n\"u\\\\\",3\n", NULL, "a:string b:int64",
        "a,b\n\"x\"\"y, z\",2\nu\\,3\n");
  READS("a,b\n1,2\n# nothing here\n3,4\n", NULL, "a:int64 b:int64", "a,b\n1,2\n3,4\n");
  READS("Title\n\na,b,c\n1,2,3\n4,5,6\n\nSource: a b\n", NULL, "a:int64 b:int64 c:int64",
        "a,b,c\n1,2,3\n4,5,6\n");
  READS("a,b,c\n1,2,3\n4,5,6\na,b\n7,x\n1,y\n", NULL, "a:int64 b:int64 c:int64",
        "a,b,c\n1,2,3\n4,5,6\n");
  tn_csv_options second = {.table = 2};
  READS("a,b,c\n1,2,3\n4,5,6\na,b\n7,x\n1,y\n", &second, "a:int64 b:string", "a,b\n7,x\n1,y\n");
  tn_csv_options two = {.header_rows = 2};
  READS("a,b\n[s],\n1,2\n", &two, "a [s]:int64 b:int64", "a [s],b\n1,2\n");
  tn_csv_options no_quote = {.quote = "none"};
  READS("a,b\n\"1,2\"\n", &no_quote, "a:string b:string", "a,b\n\"\"\"1\",\"2\"\"\"\n");
  READS("t\n12:30:00\n01:02:03.5\n", NULL, "t:time64[us]", "t\n12:30:00\n01:02:03.500000\n");
  tn_csv_options text = {.all_text = true};
  READS("a,b\n1,2.50\n", &text, "a:string b:string", "a,b\n1,2.50\n");
}

static void every_declared_type(void **state) {
  tn_csv_options o = {
      .schema_text =
          "d: decimal128(10, 2), h: halffloat, d64: date64[ms], t: time32[s], "
          "z: timestamp[ms, tz=+02:00], u: duration[ms], l: large_string, "
          "w: dictionary<values=string, indices=int8>, i: int16, b: bool, x: decimal256(50, 3)"};
  READS(
      "d,h,d64,t,z,u,l,w,i,b,x\n"
      "1.5,0.5,2024-02-29,12:30:01,2024-01-01T00:00:00,PT1.5S,x,aa,-7,true,-12345678901234567890."
      "125\n"
      ",,,,,,,,,,\n"
      "-2,1,1960-01-01,00:00,2024-01-01T00:00:00Z,-PT1M,y,aa,+08,FALSE,1\n",
      &o, NULL,
      "d,h,d64,t,z,u,l,w,i,b,x\n"
      "1.50,0.5,2024-02-29,12:30:01,2024-01-01T00:00:00+02:00,PT1.5S,x,aa,-7,true,"
      "-12345678901234567890.125\n"
      ",,,,,,,,,,\n"
      "-2.00,1.0,1960-01-01,00:00:00,2024-01-01T02:00:00+02:00,PT-60S,y,aa,8,false,1.000\n");
}

/* ---- bad rows ---- */
static void bad_rows_are_said_and_left_out(void **state) {
  static const char text[] = "a,b,c\n1,2,3\n4,5\n6,7,8,9\nx,1,2\n3,\"q\"r,4\n5,6,7\n";
  for (int mode = TN_ON_ERROR_FAIL; mode <= TN_ON_ERROR_NULL; mode++) {
    tn_strbuf said = {0};
    tn_sink *sink;
    OK(tn_sink_open_memory(&sink, "bad", &said, &problem));
    tn_bad_rows bad = {.on_error = (tn_on_error)mode, .sink = sink};
    tn_csv_options o = {.bad_rows = &bad, .schema_text = "a: int64"};
    result r = read_bytes(text, sizeof text - 1, &o);
    if (mode == TN_ON_ERROR_FAIL) {
      assert_int_equal(r.status, TN_ERR_DATA);
      CONTAINS(r.err.text, "line 3 (byte 12): 2 fields, expected 3");
    } else if (mode == TN_ON_ERROR_SKIP) {
      assert_int_equal(r.status, TN_OK);
      assert_string_equal(r.text.data, "a,b,c\n1,2,3\n5,6,7\n");
      assert_int_equal(bad.skipped, 4);
      assert_int_equal(bad.nulled, 0);
      CONTAINS(said.data, "{\"file\":\"t.csv\",\"line\":3,\"byte\":12,");
      CONTAINS(said.data,
               "\"line\":5,\"byte\":24,\"column\":\"a\",\"reason\":\"\\\"x\\\" is no int64");
      CONTAINS(said.data, "\"row\":\"3,\\\"q\\\"r,4\"");
    } else {
      assert_int_equal(r.status, TN_OK);
      assert_string_equal(r.text.data,
                          "a,b,c\n1,2,3\n4,5,\n6,7,8\n,1,2\n3,\"\"\"q\"\"r\",4\n5,6,7\n");
      assert_int_equal(bad.skipped, 0);
      assert_int_equal(bad.nulled, 4);
    }
    clear(&r);
    tn_sink_close(sink);
    tn_strbuf_clear(&said);
  }
  tn_bad_rows one = {.on_error = TN_ON_ERROR_SKIP, .rows_max = 2};
  tn_csv_options o = {.bad_rows = &one};
  result r = read_bytes(text, sizeof text - 1, &o);
  assert_int_equal(r.status, TN_ERR_LIMIT);
  clear(&r);
}

static void a_late_value_asks_for_a_wider_type(void **state) {
  tn_strbuf text = {0};
  tn_strbuf_add(&text, "n,m\n");
  for (int i = 0; i < 1000; i++) tn_strbuf_addf(&text, "%d,%d\n", i, i);
  tn_strbuf_add(&text, "1.5,2\n");
  bool wider = true;
  tn_csv_options o = {.infer_rows = 100, .needs_wider = &wider};
  result r = read_bytes(text.data, text.length, &o);
  assert_int_equal(r.status, TN_ERR_DATA);
  CONTAINS(r.err.text, "line 1002, column 1 \"n\"");
  assert_true(wider);
  clear(&r);
  o.infer_all = true;
  r = read_bytes(text.data, text.length, &o);
  assert_int_equal(r.status, TN_OK);
  assert_false(wider);
  assert_string_equal(r.types.data, "n:double m:int64");
  clear(&r);
  tn_strbuf_clear(&text);
}

/* Wherever the odd value lies, and however many threads look: in blocks that a later round makes
 * too.
 */
static void threads_look_at_every_row(void **state) {
  tn_pool *pool;
  OK(tn_pool_new(&pool, 3, &problem));
  for (int32_t odd = 0; odd < 100; odd++) {
    tn_strbuf text = {0};
    tn_strbuf_add(&text, "n\n");
    for (int32_t i = 0; i < 100; i++) tn_strbuf_add(&text, i == odd ? "1.5\n" : "1\n");
    for (int32_t all = 0; all < 2; all++) {
      tn_csv_options o = {.infer_all = all, .infer_rows = odd + 1, .block_bytes = 8, .pool = pool};
      result r = read_bytes(text.data, text.length, &o);
      assert_int_equal(r.status, TN_OK);
      assert_string_equal(r.types.data, "n:double");
      assert_int_equal(r.rows, 100);
      clear(&r);
    }
    tn_strbuf_clear(&text);
  }
  tn_pool_free(pool);
}

/* ---- several files ---- */
static void several_files(void **state) {
  static const char first[] = "a,b\n1,2\n", second[] = "a;b\n1.5;x\n", third[] = "b,c\n7,8\n";
  tn_source *sources[3];
  OK(tn_source_open_memory(&sources[0], "1.csv", first, sizeof first - 1, &problem));
  OK(tn_source_open_memory(&sources[1], "2.csv", second, sizeof second - 1, &problem));
  result r = read_sources(sources, 2, NULL);
  assert_int_equal(r.status, TN_OK);
  assert_string_equal(r.types.data, "a:double b:string");
  assert_string_equal(r.text.data, "a,b\n1.0,2\n1.5,x\n");
  clear(&r);
  OK(tn_source_open_memory(&sources[0], "1.csv", first, sizeof first - 1, &problem));
  OK(tn_source_open_memory(&sources[1], "3.csv", third, sizeof third - 1, &problem));
  tn_csv_options by_name = {.union_by_name = true};
  r = read_sources(sources, 2, &by_name);
  assert_int_equal(r.status, TN_OK);
  assert_string_equal(r.text.data, "a,b,c\n1,2,\n,7,8\n");
  clear(&r);
  static const char wide[] = "a,b,c\n1,2,3\n";
  OK(tn_source_open_memory(&sources[0], "1.csv", first, sizeof first - 1, &problem));
  OK(tn_source_open_memory(&sources[1], "4.csv", wide, sizeof wide - 1, &problem));
  r = read_sources(sources, 2, NULL);
  assert_int_equal(r.status, TN_ERR_DATA);
  CONTAINS(r.err.text, "4.csv: 3 columns, but 1.csv has 2");
  clear(&r);
}

/* ---- compressed ---- */
static void compressed_files(void **state) {
  for (tn_compression c = TN_COMPRESSION_GZIP; c <= TN_COMPRESSION_ZSTD; c++) {
    tn_strbuf packed = {0}, plain = {0};
    tn_sink *sink;
    OK(tn_sink_open_memory(&sink, "z", &packed, &problem));
    OK(tn_deflate_open(&sink, sink, c, 0, &problem));
    tn_strbuf_add(&plain, "n,s\n");
    for (int i = 0; i < 200000; i++) tn_strbuf_addf(&plain, "%d,w%d\n", i, i % 10);
    OK(tn_sink_write(sink, plain.data, plain.length, &problem));
    OK(tn_sink_commit(sink, &problem));
    tn_sink_close(sink);
    tn_csv_dialect d;
    tn_csv_options o = {.infer_all = true, .dialect = &d}; /* read twice */
    reads(packed.data, packed.length, &o, "n:int64 s:string", plain.data);
    assert_int_equal(d.compression, c);
    reads(packed.data, packed.length, NULL, "n:int64 s:string", plain.data);
    tn_strbuf_clear(&packed);
    tn_strbuf_clear(&plain);
  }
}

/* ---- the same for any number of threads, any blocks ---- */
static void random_csv(tn_strbuf *out, uint64_t seed, bool broken) {
  static const char *const pieces[] = {"a",        ",", "\"\"", "\n",   "\r\n",
                                       "\xc3\xa9", " ", "7",    "x,1\n"};
  uint64_t k = 0, rows = 1 + tn_random_below(seed, 1, 0, 400);
  tn_strbuf_add(out, "n,s,r\n");
  for (uint64_t row = 0; row < rows; row++) {
    tn_strbuf_addf(out, "%d,", (int)tn_random_below(seed, 2, k++, 100000));
    uint64_t kind = tn_random_below(seed, 3, k++, broken ? 12 : 8);
    if (kind < 3) {
      tn_strbuf_add(out, "\"");
      for (uint64_t n = tn_random_below(seed, 4, k++, 30); n > 0; n--)
        tn_strbuf_add(out, pieces[tn_random_below(seed, 5, k++, 9)]);
      tn_strbuf_add(out, "\"");
    } else if (kind == 3) {
      tn_strbuf_add(out, "it's 5\" long"); /* a quote inside plain text */
    } else if (kind < 8) {
      tn_strbuf_addf(out, "plain %d", (int)row);
    } else if (kind == 8) {
      tn_strbuf_add(out, "\"open");
    } else if (kind == 9) {
      tn_strbuf_add(out, "too,many");
    } else if (kind == 10) {
      tn_strbuf_add(out, "\n,\"a\"b");
    }
    tn_strbuf_addf(out, ",%d.%d%s", (int)row, (int)row % 7, kind == 5 ? "\r\n" : "\n");
    if (kind == 6) tn_strbuf_add(out, "\n");
  }
}

static void same(const result *a, const result *b, bool batches) {
  assert_int_equal(a->status, b->status);
  if (a->status != TN_OK) assert_string_equal(a->err.text, b->err.text);
  assert_int_equal(a->rows, b->rows);
  if (batches) assert_int_equal(a->batches, b->batches);
  assert_int_equal(a->text.length, b->text.length);
  if (a->text.length) assert_memory_equal(a->text.data, b->text.data, a->text.length);
}

static void threads_and_blocks_do_not_matter(void **state) {
  uint64_t seed = (uint64_t)time(NULL);
  print_message("seed %llu\n", (unsigned long long)seed);
  tn_pool *pool;
  OK(tn_pool_new(&pool, 3, &problem));
  for (uint64_t i = 0; i < 120; i++) {
    tn_strbuf text = {0};
    random_csv(&text, seed + i, i % 2);
    tn_on_error mode =
        i % 2 ? (i % 4 == 1 ? TN_ON_ERROR_SKIP : TN_ON_ERROR_NULL) : TN_ON_ERROR_FAIL;
    if (i % 10 == 9) mode = TN_ON_ERROR_FAIL;
    tn_strbuf said[3] = {{0}};
    result whole = {0};
    /* Small blocks: as many borders as there are bytes. */
    static const int64_t sizes[] = {0, 1, 2, 3, 5, 17, 64, 65, 333, 5000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
      result one = {0};
      for (int threads = 0; threads < 2; threads++) {
        tn_sink *sink;
        tn_strbuf_reset(&said[1 + threads]);
        OK(tn_sink_open_memory(&sink, "bad", &said[1 + threads], &problem));
        tn_bad_rows bad = {.on_error = mode, .sink = sink};
        tn_csv_options o = {.exact_dialect = true,
                            .schema_text = "n: int64, r: double",
                            .bad_rows = &bad,
                            .block_bytes = sizes[s],
                            .pool = threads ? pool : NULL};
        result r = read_bytes(text.data, text.length, &o);
        tn_sink_close(sink);
        if (threads) {
          same(&one, &r, true);
          clear(&r);
        } else {
          one = r;
        }
      }
      tn_str a = tn_strbuf_view(&said[1]), b = tn_strbuf_view(&said[2]);
      assert_true(tn_str_equal(a, b));
      if (s == 0) {
        whole = one;
        tn_strbuf_append(&said[0], a.data, a.length);
        continue;
      }
      /* After a failure how many rows came before depends on the blocks. */
      if (whole.status == TN_OK) {
        same(&whole, &one, false);
        assert_true(tn_str_equal(tn_strbuf_view(&said[0]), a));
      } else {
        assert_string_equal(whole.err.text, one.err.text);
      }
      clear(&one);
    }
    clear(&whole);
    for (int k = 0; k < 3; k++) tn_strbuf_clear(&said[k]);
    tn_strbuf_clear(&text);
  }
  tn_pool_free(pool);
}

/* ---- memory ---- */
static tn_status read_odd(void *context, tn_error *err) {
  tn_source *source;
  tn_strbuf said = {0};
  tn_sink *sink = NULL;
  const char *text = context;
  TN_TRY(tn_source_open_memory(&source, "t.csv", text, strlen(text), err));
  tn_status status = tn_sink_open_memory(&sink, "bad", &said, err);
  if (status != TN_OK) {
    tn_source_close(source);
    return status;
  }
  tn_bad_rows bad = {.on_error = TN_ON_ERROR_NULL, .sink = sink};
  tn_csv_options o = {.bad_rows = &bad,
                      .schema_text = "w: dictionary<values=string, indices=int8>, n: int64"};
  result r = read_sources(&source, 1, &o);
  status = r.status;
  if (status != TN_OK && err) *err = r.err;
  if (status == TN_OK) status = tn_strbuf_check(&r.text, err);
  clear(&r);
  tn_sink_close(sink);
  tn_strbuf_clear(&said);
  return status;
}

static void every_allocation_may_fail(void **state) {
  char text[] = "n;w;z\xe9\n1;a;2\nx;\"b\"c;3\n4;c\n5;\"d\"\"\";6;7\n";
  assert_true(fail_each_allocation(read_odd, text) > 40);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(other_encodings),
      cmocka_unit_test(other_dialects),
      cmocka_unit_test(every_declared_type),
      cmocka_unit_test(bad_rows_are_said_and_left_out),
      cmocka_unit_test(a_late_value_asks_for_a_wider_type),
      cmocka_unit_test(threads_look_at_every_row),
      cmocka_unit_test(several_files),
      cmocka_unit_test(compressed_files),
      cmocka_unit_test(threads_and_blocks_do_not_matter),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests_name("csv read", tests, NULL, NULL);
}

/* The Thrift compact protocol: what is written is read, and hostile bytes end in an error. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/random.h"
#include "columns/parquet/metadata.h"
#include "columns/parquet/thrift.h"

static const int64_t numbers[] = {
    0,   1,   -1,        63,        64,        -64,       -65,
    127, 128, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 1234567890123456789};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

static void write_sample(tn_strbuf *out) {
  tn_thrift_writer writer = {.out = out}, *w = &writer;
  tn_thrift_write_begin(w);
  tn_thrift_write_bool(w, 1, true);
  tn_thrift_write_bool(w, 2, false);
  tn_thrift_write_byte(w, 3, -7);
  tn_thrift_write_i16(w, 4, -300);
  tn_thrift_write_i32(w, 5, INT32_MIN);
  for (int i = 0; i < NUMBERS; i++) tn_thrift_write_i64(w, (int16_t)(100 + i * 20), numbers[i]);
  tn_thrift_write_binary(w, 1000, TN_STR("hello"));
  tn_thrift_write_binary(w, 1001, TN_STR(""));
  tn_thrift_write_list(w, 1002, TN_THRIFT_I32, 20);
  for (int i = 0; i < 20; i++) tn_thrift_write_element_i32(w, i * i * (i % 2 ? 1 : -1));
  tn_thrift_write_list(w, 1003, TN_THRIFT_BINARY, 2);
  tn_thrift_write_element_binary(w, TN_STR("a"));
  tn_thrift_write_element_binary(w, TN_STR("bc"));
  tn_thrift_write_struct(w, 30000);
  tn_thrift_write_begin(w);
  tn_thrift_write_i32(w, 1, 42);
  tn_thrift_write_end(w);
  tn_thrift_write_i32(w, 30001, 43);
  tn_thrift_write_end(w);
}

static void read_number(tn_thrift_reader *r, const tn_thrift_field *f, int *seen) {
  int index = (f->id - 100) / 20;
  assert_in_range(index, 0, NUMBERS - 1);
  assert_true(tn_thrift_i64(r, f) == numbers[index]);
  ++*seen;
}

static void round_trip(void **state) {
  tn_strbuf bytes = {0};
  tn_error err = {0};
  tn_thrift_reader reader, *r = &reader;
  tn_thrift_field f, inner;
  int seen = 0;
  write_sample(&bytes);
  tn_thrift_reader_init(r, bytes.data, bytes.length, 0, &err);
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        assert_true(tn_thrift_bool(r, &f));
        break;
      case 2:
        assert_false(tn_thrift_bool(r, &f));
        break;
      case 3:
        assert_int_equal(tn_thrift_byte(r, &f), -7);
        break;
      case 5:
        assert_int_equal(tn_thrift_i32(r, &f), INT32_MIN);
        break;
      case 1000:
        assert_true(tn_str_is(tn_thrift_binary(r, &f), "hello"));
        break;
      case 1001:
        assert_int_equal(tn_thrift_binary(r, &f).length, 0);
        break;
      case 1002:
        assert_int_equal(tn_thrift_list(r, &f, TN_THRIFT_I32), 20);
        for (int i = 0; i < 20; i++) {
          assert_int_equal(tn_thrift_element_i32(r), i * i * (i % 2 ? 1 : -1));
        }
        break;
      case 4:
      case 1003:
        tn_thrift_skip(r, &f);
        break;
      case 30000:
        assert_true(tn_thrift_is_struct(r, &f));
        tn_thrift_begin(r, &inner);
        assert_true(tn_thrift_next(r, &inner));
        assert_int_equal(tn_thrift_i32(r, &inner), 42);
        assert_false(tn_thrift_next(r, &inner));
        break;
      case 30001:
        assert_int_equal(tn_thrift_i32(r, &f), 43);
        break;
      default:
        read_number(r, &f, &seen);
        continue;
    }
    seen++;
  }
  assert_int_equal(r->status, TN_OK);
  assert_int_equal(r->at, bytes.length);
  assert_int_equal(seen, 11 + NUMBERS);
  tn_strbuf_clear(&bytes);
}

static tn_status skip_all(const void *bytes, size_t count, tn_error *err) {
  tn_thrift_reader r;
  tn_thrift_reader_init(&r, bytes, count, 1000, err);
  tn_thrift_skip(&r, &(tn_thrift_field){.id = 1, .type = TN_THRIFT_STRUCT});
  return r.status;
}

static void every_cut_is_an_error(void **state) {
  tn_strbuf bytes = {0};
  write_sample(&bytes);
  for (size_t n = 0; n < bytes.length; n++) {
    tn_error err = {0};
    char *copy = tn_strndup(bytes.data, n);
    assert_int_equal(skip_all(copy, n, &err), TN_ERR_DATA);
    assert_non_null(strstr(err.text, "byte 1"));
    tn_free(copy);
  }
  assert_int_equal(skip_all(bytes.data, bytes.length, NULL), TN_OK);
  tn_strbuf_clear(&bytes);
}

static void wants_error(const char *bytes, size_t count, const char *text) {
  tn_error err = {0};
  assert_int_equal(skip_all(bytes, count, &err), TN_ERR_DATA);
  if (!strstr(err.text, text)) fail_msg("\"%s\" lacks \"%s\"", err.text, text);
}

static void hostile(void **state) {
  char deep[4096];
  memset(deep, 0x1c, sizeof deep); /* field 1 of type struct, again and again */
  wants_error(deep, sizeof deep, "nested deeper");
  memset(deep, 0x19, sizeof deep); /* lists of one list */
  wants_error(deep, sizeof deep, "nested deeper");
  wants_error("\x19\xfc\xff\xff\xff\xff\x0f", 7, "longer than the metadata"); /* 2^32-1 structs */
  wants_error("\x18\xff\xff\xff\xff\x07", 6, "longer than the metadata");     /* a 2 GiB string */
  wants_error("\x1b\xff\xff\xff\xff\x07\x55", 7, "longer than the metadata"); /* a huge map */
  wants_error("\x16\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, "more than 10 bytes");
  wants_error("\x1e", 1, "unknown Thrift type");
  wants_error("\x10", 1, "no type");
  wants_error("", 0, "ends in the middle");
}

static void wrong_types(void **state) {
  tn_error err = {0};
  tn_thrift_reader r;
  tn_thrift_field f;
  const char bytes[] = {0x15, 0x02, 0x00}; /* field 1: i32 1 */
  for (int kind = 0; kind < 6; kind++) {
    tn_thrift_reader_init(&r, bytes, sizeof bytes, 0, &err);
    tn_thrift_begin(&r, &f);
    assert_true(tn_thrift_next(&r, &f));
    switch (kind) {
      case 0:
        assert_int_equal(tn_thrift_i64(&r, &f), 0);
        break;
      case 1:
        assert_int_equal(tn_thrift_bool(&r, &f), 0);
        break;
      case 2:
        assert_int_equal(tn_thrift_byte(&r, &f), 0);
        break;
      case 3:
        assert_int_equal(tn_thrift_binary(&r, &f).length, 0);
        break;
      case 4:
        assert_int_equal(tn_thrift_list(&r, &f, TN_THRIFT_I32), 0);
        break;
      default:
        assert_false(tn_thrift_is_struct(&r, &f));
    }
    assert_int_equal(r.status, TN_ERR_DATA);
    assert_false(tn_thrift_next(&r, &f));
  }
}

static void random_bytes(void **state) {
  uint64_t seed = (uint64_t)time(NULL);
  print_message("seed %llu\n", (unsigned long long)seed);
  int refused = 0;
  for (uint64_t i = 0; i < 20000; i++) {
    uint8_t bytes[64];
    size_t count = tn_random_below(seed, i, 0, sizeof bytes + 1), used;
    for (size_t k = 0; k < count; k++) bytes[k] = (uint8_t)tn_random_u64(seed, i, k + 1);
    tn_parquet_page_header header;
    tn_arena arena = {0};
    tn_parquet_footer footer;
    refused += tn_parquet_page_header_parse(&header, bytes, count, 0, &used, NULL) != TN_OK;
    assert_true(used <= count);
    refused += tn_parquet_footer_parse(&footer, &arena, bytes, count, 0, NULL) != TN_OK;
    tn_arena_clear(&arena);
  }
  assert_true(refused > 39000);
}

static void page_headers(void **state) {
  tn_parquet_page_header in = {.type = TN_PARQUET_PAGE_DATA,
                               .uncompressed_bytes = 100000,
                               .compressed_bytes = 999,
                               .has_crc = true,
                               .crc = 0xdeadbeef,
                               .values = 1234,
                               .encoding = TN_PARQUET_RLE_DICTIONARY};
  for (int i = 0; i < 2; i++) {
    tn_strbuf bytes = {0};
    tn_parquet_page_header out;
    size_t used;
    if (i) in.type = TN_PARQUET_PAGE_DICTIONARY;
    tn_parquet_page_header_write(&in, &bytes);
    assert_int_equal(tn_parquet_page_header_parse(&out, bytes.data, bytes.length, 0, &used, NULL),
                     TN_OK);
    assert_int_equal(used, bytes.length);
    assert_int_equal(out.type, in.type);
    assert_int_equal(out.uncompressed_bytes, in.uncompressed_bytes);
    assert_int_equal(out.compressed_bytes, in.compressed_bytes);
    assert_true(out.has_crc && out.crc == in.crc);
    assert_int_equal(out.values, in.values);
    assert_int_equal(out.encoding, in.encoding);
    tn_strbuf_clear(&bytes);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(round_trip),   cmocka_unit_test(every_cut_is_an_error),
      cmocka_unit_test(hostile),      cmocka_unit_test(wrong_types),
      cmocka_unit_test(random_bytes), cmocka_unit_test(page_headers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* GGUF: every kind of value, tensors of every type, every truncation, hostile counts, duplicates,
 * failing allocations.  Files that the Python package writes are read in tests/peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/gguf.h"

static char folder[] = "/tmp/tenon_gguf_XXXXXX";
static char path[64];

static int set_up(void **state) {
  if (!mkdtemp(folder)) return -1;
  snprintf(path, sizeof path, "%s/a.gguf", folder);
  return 0;
}

static int tear_down(void **state) {
  tn_error err;
  return tn_dir_remove(folder, &err) == TN_OK ? 0 : -1;
}

static void must(tn_status status, const tn_error *err) {
  if (status != TN_OK) fail_msg("%s: %s", tn_status_text(status), err->text);
}

/* ---- a file, byte by byte ---- */

typedef struct file {
  uint8_t bytes[4096];
  size_t n;
} file;

static void put(file *f, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) f->bytes[f->n++] = (uint8_t)(value >> (8 * i));
}

static void put_text(file *f, const char *text) {
  put(f, strlen(text), 8);
  memcpy(f->bytes + f->n, text, strlen(text));
  f->n += strlen(text);
}

static void put_key(file *f, const char *key, tn_gguf_kind kind) {
  put_text(f, key);
  put(f, kind, 4);
}

static void put_array(file *f, tn_gguf_kind kind, uint64_t count) {
  put(f, kind, 4);
  put(f, count, 8);
}

static void put_f32(file *f, float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  put(f, bits, 4);
}

static void put_f64(file *f, double x) {
  uint64_t bits;
  memcpy(&bits, &x, 8);
  put(f, bits, 8);
}

static file start(uint32_t version, uint64_t tensors, uint64_t values) {
  file f = {0};
  memcpy(f.bytes, "GGUF", 4);
  f.n = 4;
  put(&f, version, 4);
  put(&f, tensors, 8);
  put(&f, values, 8);
  return f;
}

static void put_tensor(file *f, const char *name, uint32_t type, uint32_t rank,
                       const uint64_t *inner_first, uint64_t offset) {
  put_text(f, name);
  put(f, rank, 4);
  for (uint32_t d = 0; d < rank; d++) put(f, inner_first[d], 8);
  put(f, type, 4);
  put(f, offset, 8);
}

static void put_data(file *f, size_t alignment, size_t bytes) {
  while (f->n % alignment) f->bytes[f->n++] = 0;
  for (size_t i = 0; i < bytes; i++) f->bytes[f->n++] = (uint8_t)(i * 7 + 3);
}

static tn_status open_file(const file *f, tn_gguf **out, tn_error *err) {
  FILE *out_file = fopen(path, "wb");
  assert_non_null(out_file);
  assert_int_equal(fwrite(f->bytes, 1, f->n, out_file), f->n);
  assert_int_equal(fclose(out_file), 0);
  *out = NULL;
  err->text[0] = 0;
  return tn_gguf_open(out, path, err);
}

/* ---- what a good file holds ---- */

static file every_kind(uint32_t version) {
  file f = start(version, 0, 17);
  put_key(&f, "u8", TN_GGUF_U8), put(&f, 200, 1);
  put_key(&f, "i8", TN_GGUF_I8), put(&f, (uint64_t)-100, 1);
  put_key(&f, "u16", TN_GGUF_U16), put(&f, 60000, 2);
  put_key(&f, "i16", TN_GGUF_I16), put(&f, (uint64_t)-30000, 2);
  put_key(&f, "u32", TN_GGUF_U32), put(&f, 4000000000u, 4);
  put_key(&f, "i32", TN_GGUF_I32), put(&f, (uint64_t)-2000000000, 4);
  put_key(&f, "f32", TN_GGUF_F32), put_f32(&f, 1.5f);
  put_key(&f, "yes", TN_GGUF_BOOL), put(&f, 1, 1);
  put_key(&f, "text", TN_GGUF_STRING), put_text(&f, "h\xc3\xa9");
  put_key(&f, "u64", TN_GGUF_U64), put(&f, 1ull << 62, 8);
  put_key(&f, "i64", TN_GGUF_I64), put(&f, (uint64_t)INT64_MIN, 8);
  put_key(&f, "f64", TN_GGUF_F64), put_f64(&f, 0.1);
  put_key(&f, "huge", TN_GGUF_U64), put(&f, 1ull << 63, 8);
  put_key(&f, "words", TN_GGUF_ARRAY), put_array(&f, TN_GGUF_STRING, 3);
  put_text(&f, "a"), put_text(&f, ""), put_text(&f, "ccc");
  put_key(&f, "scores", TN_GGUF_ARRAY), put_array(&f, TN_GGUF_F32, 2);
  put_f32(&f, -1.0f), put_f32(&f, 2.25f);
  put_key(&f, "nested", TN_GGUF_ARRAY), put_array(&f, TN_GGUF_ARRAY, 2);
  put_array(&f, TN_GGUF_I16, 2), put(&f, 7, 2), put(&f, (uint64_t)-7, 2);
  put_array(&f, TN_GGUF_STRING, 1), put_text(&f, "deep");
  put_key(&f, "none", TN_GGUF_ARRAY), put_array(&f, TN_GGUF_I32, 0);
  return f;
}

static void check_integers(const tn_gguf *g) {
  static const struct {
    const char *key;
    int64_t value;
  } cases[] = {{"u8", 200},         {"i8", -100},         {"u16", 60000},     {"i16", -30000},
               {"u32", 4000000000}, {"i32", -2000000000}, {"u64", 1ll << 62}, {"i64", INT64_MIN}};
  tn_error err;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int64_t got = 1;
    double number = 1;
    must(tn_gguf_get_i64(g, cases[i].key, INT64_MIN, INT64_MAX, &got, &err), &err);
    assert_int_equal(got, cases[i].value);
    must(tn_gguf_get_f64(g, cases[i].key, &number, &err), &err);
    assert_true(number == (double)cases[i].value);
  }
}

static void check_arrays(const tn_gguf *g) {
  tn_error err;
  const tn_gguf_value *v;
  int64_t whole;
  double number;
  must(tn_gguf_get_array(g, "words", TN_GGUF_STRING, &v, &err), &err);
  assert_int_equal(v->count, 3);
  assert_true(tn_str_is(v->strings[0], "a") && tn_str_is(v->strings[2], "ccc"));
  assert_int_equal(v->strings[1].length, 0);
  must(tn_gguf_get_array(g, "scores", TN_GGUF_F64, &v, &err), &err);
  assert_true(tn_gguf_item_f64(v, 1, &number) && number == 2.25);
  assert_false(tn_gguf_item_f64(v, 2, &number) || tn_gguf_item_f64(v, -1, &number));
  assert_int_equal(tn_gguf_get_array(g, "scores", TN_GGUF_I64, &v, &err), TN_ERR_DATA);
  must(tn_gguf_get_array(g, "none", TN_GGUF_I64, &v, &err), &err);
  assert_int_equal(v->count, 0);
  must(tn_gguf_get_array(g, "absent", TN_GGUF_I64, &v, &err), &err);
  assert_null(v);
  v = tn_gguf_find(g, "nested");
  assert_true(v && v->kind == TN_GGUF_ARRAY && v->count == 2);
  assert_true(tn_gguf_item_i64(&v->arrays[0], 1, &whole) && whole == -7);
  assert_true(tn_str_is(v->arrays[1].strings[0], "deep"));
}

static void check_typed(const tn_gguf *g) {
  tn_error err;
  int64_t whole = 5;
  double number = 5;
  bool flag = false;
  tn_str text = {0};
  must(tn_gguf_get_f64(g, "f32", &number, &err), &err);
  assert_true(number == 1.5);
  must(tn_gguf_get_f64(g, "f64", &number, &err), &err);
  assert_true(number == 0.1);
  must(tn_gguf_get_bool(g, "yes", &flag, &err), &err);
  assert_true(flag);
  must(tn_gguf_get_str(g, "text", &text, &err), &err);
  assert_true(tn_str_is(text, "h\xc3\xa9"));
  must(tn_gguf_get_i64(g, "absent", 0, 9, &whole, &err), &err);
  assert_int_equal(whole, 5);
  assert_int_equal(tn_gguf_get_i64(g, "u8", 0, 9, &whole, &err), TN_ERR_DATA);
  assert_non_null(strstr(err.text, "\"u8\" is 200, must be 0 to 9"));
  assert_int_equal(tn_gguf_get_i64(g, "huge", 0, INT64_MAX, &whole, &err), TN_ERR_DATA);
  assert_int_equal(tn_gguf_get_i64(g, "yes", 0, 9, &whole, &err), TN_ERR_DATA);
  assert_int_equal(tn_gguf_get_i64(g, "f32", 0, 9, &whole, &err), TN_ERR_DATA);
  assert_int_equal(tn_gguf_get_f64(g, "words", &number, &err), TN_ERR_DATA);
  assert_int_equal(tn_gguf_get_bool(g, "u8", &flag, &err), TN_ERR_DATA);
  assert_int_equal(tn_gguf_get_str(g, "words", &text, &err), TN_ERR_DATA);
  assert_non_null(strstr(err.text, "an array of string, must be a string"));
  assert_non_null(strstr(err.text, path));
}

static void test_every_kind(void **state) {
  tn_error err;
  for (uint32_t version = 2; version <= 3; version++) {
    file f = every_kind(version);
    tn_gguf *g;
    must(open_file(&f, &g, &err), &err);
    assert_int_equal(tn_gguf_value_count(g), 17);
    assert_true(tn_str_is(tn_gguf_value_at(g, 16)->key, "none"));
    assert_int_equal(tn_gguf_count(g), 0);
    assert_true(tn_gguf_is_file(path));
    check_integers(g);
    check_arrays(g);
    check_typed(g);
    tn_gguf_close(g);
  }
}

static file some_tensors(void) {
  file f = start(3, 3, 1);
  put_key(&f, "general.alignment", TN_GGUF_U32), put(&f, 64, 4);
  put_tensor(&f, "blk.0.weight", 8, 2, (const uint64_t[]){64, 3}, 64); /* Q8_0: 204 bytes */
  put_tensor(&f, "norm", 0, 1, (const uint64_t[]){5}, 0);
  put_tensor(&f, "half", 30, 3, (const uint64_t[]){2, 3, 1}, 320);
  put_data(&f, 64, 332);
  return f;
}

static void test_tensors(void **state) {
  tn_error err;
  file f = some_tensors();
  tn_gguf *g;
  must(open_file(&f, &g, &err), &err);
  assert_int_equal(tn_gguf_count(g), 3);
  tn_tensor t;
  tn_str name;
  tn_gguf_at(g, 0, &name, &t);
  assert_string_equal(name.data, "blk.0.weight");
  assert_int_equal(t.dtype, TN_Q8_0);
  assert_int_equal(t.rank, 2);
  assert_true(t.shape[0] == 3 && t.shape[1] == 64);
  assert_int_equal(tn_tensor_bytes(&t), 6 * 34);
  assert_int_equal(t.offset_bytes % 64, 0);
  assert_int_equal(*(uint8_t *)tn_tensor_data(&t), (uint8_t)(64 * 7 + 3));
  must(tn_gguf_get(g, "half", &t, &err), &err);
  assert_int_equal(t.dtype, TN_BF16);
  assert_true(t.shape[0] == 1 && t.shape[1] == 3 && t.shape[2] == 2);
  assert_true(tn_gguf_has(g, "norm") && !tn_gguf_has(g, "nor"));
  assert_int_equal(tn_gguf_get(g, "absent", &t, &err), TN_ERR_NOT_FOUND);
  assert_non_null(strstr(err.text, "absent"));
  tn_gguf_close(g);
}

/* ---- what no file may do ---- */

static void test_every_truncation(void **state) {
  tn_error err;
  file whole[] = {every_kind(3), some_tensors()};
  for (size_t i = 0; i < 2; i++)
    for (size_t n = 0; n < whole[i].n; n++) {
      file f = whole[i];
      f.n = n;
      tn_gguf *g;
      tn_status status = open_file(&f, &g, &err);
      if (status != TN_ERR_DATA)
        fail_msg("%zu of %zu bytes: %s", n, whole[i].n, tn_status_text(status));
      if (!strstr(err.text, path)) fail_msg("%zu bytes: no file in \"%s\"", n, err.text);
    }
}

/* Any answer is fine, but no crash and no view outside of the file. */
static void test_every_flipped_byte(void **state) {
  static const uint8_t flips[] = {0x01, 0x80, 0xff};
  tn_error err;
  file whole[] = {every_kind(3), some_tensors()};
  int refused = 0;
  for (size_t i = 0; i < 2; i++)
    for (size_t at = 0; at < whole[i].n; at++)
      for (size_t k = 0; k < sizeof flips; k++) {
        file f = whole[i];
        f.bytes[at] ^= flips[k];
        tn_gguf *g;
        if (open_file(&f, &g, &err) != TN_OK) refused++;
        for (int64_t t = 0; g && t < tn_gguf_count(g); t++) {
          tn_str name;
          tn_tensor tensor;
          tn_gguf_at(g, t, &name, &tensor);
          assert_true(tensor.offset_bytes + tn_tensor_bytes(&tensor) <= (int64_t)f.n);
        }
        tn_gguf_close(g);
      }
  assert_true(refused > 500);
}

static void expect(const file *f, tn_status wanted, const char *word) {
  tn_error err;
  tn_gguf *g;
  tn_status status = open_file(f, &g, &err);
  if (status != wanted || !strstr(err.text, word) || !strstr(err.text, path))
    fail_msg("wanted %s with \"%s\": %s: %s", tn_status_text(wanted), word, tn_status_text(status),
             err.text);
}

static void test_hostile_starts(void **state) {
  file f = start(3, 0, 0);
  f.bytes[0] = 'g';
  expect(&f, TN_ERR_DATA, "not a GGUF file");
  f = start(1, 0, 0);
  expect(&f, TN_ERR_UNSUPPORTED, "version 1");
  f = start(0x03000000, 0, 0);
  expect(&f, TN_ERR_UNSUPPORTED, "big-endian");
  f = start(3, UINT64_MAX, 0);
  expect(&f, TN_ERR_DATA, "18446744073709551615 tensors");
  f = start(3, 0, 1ull << 60);
  expect(&f, TN_ERR_DATA, "metadata values do not fit");
}

static void test_hostile_values(void **state) {
  file f = start(3, 0, 1);
  put_key(&f, "k", 13);
  expect(&f, TN_ERR_DATA, "kind 13");
  f = start(3, 0, 1);
  put_key(&f, "", TN_GGUF_U8), put(&f, 1, 1);
  expect(&f, TN_ERR_DATA, "empty");
  f = start(3, 0, 1);
  put_key(&f, "k", TN_GGUF_BOOL), put(&f, 2, 1);
  expect(&f, TN_ERR_DATA, "bool");
  f = start(3, 0, 1);
  put_key(&f, "k", TN_GGUF_STRING), put(&f, UINT64_MAX, 8);
  expect(&f, TN_ERR_DATA, "wants 18446744073709551615 bytes");
  f = start(3, 0, 1);
  put_key(&f, "k", TN_GGUF_ARRAY), put_array(&f, TN_GGUF_F64, 1ull << 61);
  expect(&f, TN_ERR_DATA, "items do not fit");
  f = start(3, 0, 1);
  put_key(&f, "k", TN_GGUF_ARRAY), put_array(&f, TN_GGUF_F64, 3), put(&f, 0, 8);
  expect(&f, TN_ERR_DATA, "wants 24 bytes");
  f = start(3, 0, 2);
  for (int i = 0; i < 2; i++) put_key(&f, "same", TN_GGUF_U8), put(&f, 1, 1);
  expect(&f, TN_ERR_DATA, "twice");
  f = start(3, 0, 1);
  put_key(&f, "k", TN_GGUF_ARRAY);
  for (int i = 0; i < 40; i++) put_array(&f, TN_GGUF_ARRAY, 1);
  expect(&f, TN_ERR_LIMIT, "too deep");
  f = start(3, 0, 1);
  put_key(&f, "general.alignment", TN_GGUF_U32), put(&f, 48, 4);
  expect(&f, TN_ERR_DATA, "power of two");
  f = start(3, 0, 1);
  put_key(&f, "general.alignment", TN_GGUF_U32), put(&f, 0, 4);
  expect(&f, TN_ERR_DATA, "must be 1");
}

static file one_tensor(uint32_t type, uint32_t rank, const uint64_t *shape, uint64_t offset,
                       size_t data_bytes) {
  file f = start(3, 1, 0);
  put_tensor(&f, "w", type, rank, shape, offset);
  put_data(&f, 32, data_bytes);
  return f;
}

static void test_hostile_tensors(void **state) {
  file f = one_tensor(23, 1, (const uint64_t[]){256}, 0, 200);
  expect(&f, TN_ERR_UNSUPPORTED, "IQ4_XS");
  f = one_tensor(999, 1, (const uint64_t[]){256}, 0, 200);
  expect(&f, TN_ERR_UNSUPPORTED, "type 999");
  f = one_tensor(0, 5, (const uint64_t[]){1, 1, 1, 1, 1}, 0, 4);
  expect(&f, TN_ERR_DATA, "5 dimensions");
  f = one_tensor(0, 1, (const uint64_t[]){UINT64_MAX}, 0, 4);
  expect(&f, TN_ERR_DATA, "a dimension of 18446744073709551615");
  f = one_tensor(0, 2, (const uint64_t[]){1ull << 40, 1ull << 40}, 0, 4);
  expect(&f, TN_ERR_DATA, "overflow");
  f = one_tensor(0, 1, (const uint64_t[]){8}, 0, 31);
  expect(&f, TN_ERR_DATA, "truncated");
  f = one_tensor(0, 1, (const uint64_t[]){1}, 4, 64);
  expect(&f, TN_ERR_DATA, "multiple of 32");
  f = one_tensor(0, 1, (const uint64_t[]){1}, INT64_MAX - 31, 64);
  expect(&f, TN_ERR_DATA, "\"w\"");
  f = one_tensor(2, 1, (const uint64_t[]){33}, 0, 64); /* Q4_0: blocks of 32 */
  expect(&f, TN_ERR_DATA, "multiple of 32");
  f = start(3, 2, 0);
  put_tensor(&f, "a", 0, 1, (const uint64_t[]){9}, 0);
  put_tensor(&f, "b", 0, 1, (const uint64_t[]){9}, 32);
  put_data(&f, 32, 128);
  expect(&f, TN_ERR_DATA, "\"a\" ends at");
  f = start(3, 2, 0);
  for (int i = 0; i < 2; i++) put_tensor(&f, "a", 0, 1, (const uint64_t[]){1}, 32 * (uint64_t)i);
  put_data(&f, 32, 64);
  expect(&f, TN_ERR_DATA, "\"a\" is there twice");
}

static void test_failing_allocations(void **state) {
  tn_error err;
  file whole[] = {every_kind(3), some_tensors()};
  int64_t live = tn_alloc_live();
  int failures = 0;
  for (size_t i = 0; i < 2; i++)
    for (int64_t n = 1;; n++) {
      tn_gguf *g;
      tn_alloc_fail_at(n);
      tn_status status = open_file(&whole[i], &g, &err);
      tn_alloc_fail_at(0);
      tn_gguf_close(g);
      assert_int_equal(tn_alloc_live(), live);
      if (status == TN_OK) break;
      assert_int_equal(status, TN_ERR_MEMORY);
      failures++;
    }
  assert_true(failures > 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_kind),       cmocka_unit_test(test_tensors),
      cmocka_unit_test(test_every_truncation), cmocka_unit_test(test_every_flipped_byte),
      cmocka_unit_test(test_hostile_starts),   cmocka_unit_test(test_hostile_values),
      cmocka_unit_test(test_hostile_tensors),  cmocka_unit_test(test_failing_allocations),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}

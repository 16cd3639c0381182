/* SPDX-License-Identifier: Apache-2.0 */
/* Safetensors: round trip, every flipped byte, every truncation, strictness, failing allocations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/safetensors.h"

static char folder[] = "/tmp/tenon_st_XXXXXX";
static char path[64];

static int set_up(void **state) {
  if (!mkdtemp(folder)) return -1;
  snprintf(path, sizeof path, "%s/a.safetensors", folder);
  return 0;
}

static int tear_down(void **state) {
  tn_error err;
  return tn_dir_remove(folder, &err) == TN_OK ? 0 : -1;
}

static void must(tn_status status, const tn_error *err) {
  if (status != TN_OK) fail_msg("%s: %s", tn_status_text(status), err->text);
}

static void put_file(const void *bytes, size_t count) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, count, f), count);
  assert_int_equal(fclose(f), 0);
}

static size_t get_file(uint8_t **bytes) {
  tn_error err;
  tn_strbuf text = {0};
  must(tn_file_read(path, 0, &text, &err), &err);
  *bytes = (uint8_t *)text.data;
  return text.length;
}

/* Header text and data into a file, with its length before it. */
static void put_header(const char *header, size_t data_bytes) {
  uint8_t all[4096] = {0};
  size_t n = strlen(header);
  assert_true(8 + n + data_bytes <= sizeof all);
  for (int i = 0; i < 8; i++) all[i] = (uint8_t)(n >> (8 * i));
  memcpy(all + 8, header, n);
  put_file(all, 8 + n + data_bytes);
}

typedef struct sample {
  tn_buffer *buffer;
  tn_named_tensor tensors[4];
} sample;

static void make_sample(sample *s) {
  tn_error err;
  must(tn_buffer_new(&s->buffer, 256, &err), &err);
  for (size_t i = 0; i < 256; i++) ((uint8_t *)s->buffer->data)[i] = (uint8_t)(i * 37 + 11);
  float values[6] = {1.0f, -2.5f, 3.14159f, 0.0f, -0.0f, 1e-3f};
  memcpy(s->buffer->data, values, sizeof values);
  s->tensors[0].name = "bytes \"quoted\" \xc3\xa9";
  must(tn_tensor_view(&s->tensors[0].tensor, s->buffer, 100, TN_U8, 1, (int64_t[]){3}, &err), &err);
  s->tensors[1].name = "w";
  must(tn_tensor_view(&s->tensors[1].tensor, s->buffer, 0, TN_F32, 2, (int64_t[]){2, 3}, &err),
       &err);
  s->tensors[2].name = "empty";
  must(tn_tensor_view(&s->tensors[2].tensor, s->buffer, 0, TN_BF16, 2, (int64_t[]){0, 3}, &err),
       &err);
  s->tensors[3].name = "step";
  must(tn_tensor_view(&s->tensors[3].tensor, s->buffer, 128, TN_I64, 0, NULL, &err), &err);
}

static void write_sample(void) {
  tn_error err;
  sample s;
  make_sample(&s);
  const char *metadata[] = {"format", "pt"};
  must(tn_safetensors_write(path, s.tensors, 4, metadata, 1, &err), &err);
  tn_buffer_drop(s.buffer);
}

static void test_round_trip(void **state) {
  tn_error err;
  sample s;
  write_sample();
  make_sample(&s);
  tn_safetensors *f;
  must(tn_safetensors_open(&f, path, &err), &err);
  assert_int_equal(tn_safetensors_count(f), 4);
  assert_true(tn_str_is(tn_safetensors_metadata(f, "format"), "pt"));
  assert_null(tn_safetensors_metadata(f, "nothing").data);
  for (int i = 0; i < 4; i++) {
    tn_tensor t;
    const tn_tensor *wrote = &s.tensors[i].tensor;
    must(tn_safetensors_get(f, s.tensors[i].name, &t, &err), &err);
    assert_int_equal(t.dtype, wrote->dtype);
    assert_int_equal(t.rank, wrote->rank);
    for (int d = 0; d < t.rank; d++) assert_int_equal(t.shape[d], wrote->shape[d]);
    assert_memory_equal(tn_tensor_data(&t), tn_tensor_data(wrote), tn_tensor_bytes(&t));
    assert_int_equal((uintptr_t)tn_tensor_data(&t) % (size_t)tn_dtype_bytes(t.dtype), 0);
  }
  tn_str name;
  tn_tensor first;
  tn_safetensors_at(f, 0, &name, &first);
  assert_true(tn_str_is(name, "step")); /* the widest comes first */
  assert_int_equal(first.offset_bytes % 64, 0);
  must(tn_safetensors_verify(f, &err), &err);
  assert_int_equal(tn_safetensors_get(f, "absent", &first, &err), TN_ERR_NOT_FOUND);
  assert_non_null(strstr(err.text, "absent"));
  assert_non_null(strstr(err.text, path));
  tn_safetensors_close(f);
  tn_buffer_drop(s.buffer);
}

static void test_write_as_rounds(void **state) {
  tn_error err;
  sample s;
  make_sample(&s);
  must(tn_safetensors_write_as(path, s.tensors, 4, TN_BF16, NULL, 0, &err), &err);
  tn_safetensors *f;
  must(tn_safetensors_open(&f, path, &err), &err);
  must(tn_safetensors_verify(f, &err), &err);
  tn_tensor t;
  must(tn_safetensors_get(f, "w", &t, &err), &err);
  assert_int_equal(t.dtype, TN_BF16);
  const uint16_t *got = tn_tensor_data(&t);
  const float *wrote = s.buffer->data;
  for (int i = 0; i < 6; i++) assert_int_equal(got[i], tn_f32_to_bf16(wrote[i]));
  must(tn_safetensors_get(f, "step", &t, &err), &err);
  assert_int_equal(t.dtype, TN_I64); /* integers stay what they are */
  tn_safetensors_close(f);
  tn_buffer_drop(s.buffer);
}

static tn_status open_and_verify(tn_error *err) {
  tn_safetensors *f = NULL;
  tn_status status = tn_safetensors_open(&f, path, err);
  if (status == TN_OK) status = tn_safetensors_verify(f, err);
  tn_safetensors_close(f);
  return status;
}

static void test_every_flipped_byte(void **state) {
  tn_error err;
  write_sample();
  uint8_t *bytes;
  size_t count = get_file(&bytes);
  static const uint8_t flips[] = {0x01, 0x20, 0x80, 0xff};
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < sizeof flips; k++) {
      bytes[i] ^= flips[k];
      put_file(bytes, count);
      err.text[0] = 0;
      tn_status status = open_and_verify(&err);
      if (status == TN_OK) fail_msg("byte %zu xor %#x goes unnoticed", i, flips[k]);
      if (!strstr(err.text, path)) fail_msg("byte %zu: no file in \"%s\"", i, err.text);
      bytes[i] ^= flips[k];
    }
  bytes[count - 1] ^= 0x10; /* in the data: names file and tensor */
  put_file(bytes, count);
  assert_int_equal(open_and_verify(&err), TN_ERR_CHECKSUM);
  assert_non_null(strstr(err.text, "quoted"));
  tn_free(bytes);
}

static void test_every_truncation(void **state) {
  tn_error err;
  write_sample();
  uint8_t *bytes;
  size_t count = get_file(&bytes);
  for (size_t n = 0; n < count; n++) {
    put_file(bytes, n);
    tn_status status = open_and_verify(&err);
    if (status != TN_ERR_DATA) fail_msg("%zu of %zu bytes: %s", n, count, tn_status_text(status));
    assert_non_null(strstr(err.text, path));
  }
  bytes = tn_realloc(bytes, count + 1, 1);
  bytes[count] = 0;
  put_file(bytes, count + 1);
  assert_int_equal(open_and_verify(&err), TN_ERR_DATA);
  tn_free(bytes);
}

static void test_strict(void **state) {
  static const struct {
    const char *header;
    size_t data_bytes;
    tn_status status;
    const char *word;
  } cases[] = {
      {"{}", 0, TN_OK, ""},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}  ", 8, TN_OK, ""},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9, TN_ERR_DATA, "end"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, TN_ERR_DATA, "12"},
      {"{\"a\":{\"dtype\":\"F99\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TN_ERR_UNSUPPORTED,
       "F99"},
      {"{\"a\":{\"dtype\":\"\",\"shape\":[32],\"data_offsets\":[0,18]}}", 18, TN_ERR_UNSUPPORTED,
       "dtype"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, TN_ERR_DATA,
       "shape"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8, TN_ERR_DATA,
       "shape"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0,
       TN_ERR_DATA, "overflow"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807],\"data_offsets\":[0,8]}}", 8,
       TN_ERR_DATA, "a"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
       TN_ERR_UNSUPPORTED, "7 dimensions"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, TN_ERR_DATA,
       "data_offsets"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-4,4]}}", 8, TN_ERR_DATA,
       "data_offsets"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, TN_ERR_DATA,
       "data_offsets"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, TN_ERR_DATA, "members"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8, TN_ERR_DATA,
       "members"},
      {"{\"a\":[]}", 0, TN_ERR_DATA, "object"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
       "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
       3, TN_ERR_DATA, "\"b\""},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
       "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]}}",
       5, TN_ERR_DATA, "hole"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
       "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}",
       4, TN_ERR_DATA, "twice"},
      {"{\"__metadata__\":{\"x\":1}}", 0, TN_ERR_DATA, "string"},
      {"{\"__metadata__\":[]}", 0, TN_ERR_DATA, "object"},
      {" {}", 0, TN_ERR_DATA, "'{'"},
      {"[]", 0, TN_ERR_DATA, "'{'"},
      {"{\"a\":}", 0, TN_ERR_DATA, "header"},
  };
  tn_error err;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    put_header(cases[i].header, cases[i].data_bytes);
    err.text[0] = 0;
    tn_status status = open_and_verify(&err);
    if (status != cases[i].status || !strstr(err.text, cases[i].word))
      fail_msg("%s: %s: %s", cases[i].header, tn_status_text(status), err.text);
  }
  put_file("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
  assert_int_equal(open_and_verify(&err), TN_ERR_LIMIT);
}

static void test_refuses_to_write(void **state) {
  tn_error err;
  sample s;
  make_sample(&s);
  s.tensors[2].name = s.tensors[1].name;
  assert_int_equal(tn_safetensors_write(path, s.tensors, 4, NULL, 0, &err), TN_ERR_ARGUMENT);
  s.tensors[2].name = "__metadata__";
  assert_int_equal(tn_safetensors_write(path, s.tensors, 4, NULL, 0, &err), TN_ERR_ARGUMENT);
  s.tensors[2].name = "ok";
  const char *metadata[] = {"xxh64:w", "0"};
  assert_int_equal(tn_safetensors_write(path, s.tensors, 4, metadata, 1, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_safetensors_write_as(path, s.tensors, 4, TN_I8, NULL, 0, &err),
                   TN_ERR_ARGUMENT);
  s.tensors[1].tensor.strides[0] = 7;
  assert_int_equal(tn_safetensors_write(path, s.tensors, 4, NULL, 0, &err), TN_ERR_ARGUMENT);
  tn_buffer_drop(s.buffer);
}

static void test_failing_allocations(void **state) {
  tn_error err;
  sample s;
  make_sample(&s);
  const char *metadata[] = {"format", "pt"};
  int64_t live = tn_alloc_live();
  int failures = 0;
  for (int64_t n = 1;; n++) {
    tn_alloc_fail_at(n);
    tn_status status = tn_safetensors_write_as(path, s.tensors, 4, TN_F32, metadata, 1, &err);
    if (status == TN_OK) status = open_and_verify(&err);
    tn_alloc_fail_at(0);
    assert_int_equal(tn_alloc_live(), live);
    if (status == TN_OK) break;
    assert_int_equal(status, TN_ERR_MEMORY);
    failures++;
  }
  assert_true(failures > 15);
  tn_buffer_drop(s.buffer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_write_as_rounds),
      cmocka_unit_test(test_every_flipped_byte),
      cmocka_unit_test(test_every_truncation),
      cmocka_unit_test(test_strict),
      cmocka_unit_test(test_refuses_to_write),
      cmocka_unit_test(test_failing_allocations),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "tensor/dtype.h"

__extension__ typedef _Float16 half;

static void names_and_sizes(void **state) {
  assert_string_equal(tn_dtype_name(TN_BF16), "bfloat16");
  assert_string_equal(tn_dtype_safetensors_name(TN_BF16), "BF16");
  assert_int_equal(tn_dtype_bytes(TN_F64), 8);
  assert_int_equal(tn_dtype_bytes(TN_BOOL), 1);
  for (int32_t i = 0; i < TN_DTYPE_COUNT; i++) {
    tn_dtype found;
    assert_true(tn_dtype_of_name(tn_str_of(tn_dtype_name((tn_dtype)i)), &found));
    assert_int_equal(found, i);
    const char *stored = tn_dtype_safetensors_name((tn_dtype)i);
    assert_true((stored == NULL) == (tn_dtype_block((tn_dtype)i) > 1));
    if (stored) assert_true(tn_dtype_of_name(tn_str_of(stored), &found));
    assert_int_equal(found, i);
  }
  tn_dtype untouched = TN_I8;
  assert_false(tn_dtype_of_name(TN_STR("float33"), &untouched));
  assert_false(tn_dtype_of_name(TN_STR(""), &untouched));
  assert_int_equal(untouched, TN_I8);
  assert_true(tn_dtype_is_real(TN_F16) && !tn_dtype_is_real(TN_I32));
}

typedef float (*read_f8)(uint8_t);
typedef uint8_t (*write_f8)(float);

/* Every float8 comes back; what lies between two goes to the nearer one, a tie to the even one. */
static void check_f8(read_f8 read, write_f8 write, uint32_t finite) {
  for (uint32_t bits = 0; bits < 256; bits++) {
    float x = read((uint8_t)bits);
    if (isnan(x))
      assert_true(isnan(read(write(x))));
    else
      assert_int_equal(write(x), bits);
  }
  for (uint32_t bits = 0; bits + 1 < finite; bits++) {
    float low = read((uint8_t)bits), high = read((uint8_t)(bits + 1)), middle = (low + high) / 2;
    assert_true(low < high);
    assert_int_equal(write(nextafterf(middle, low)), bits);
    assert_int_equal(write(nextafterf(middle, high)), bits + 1);
    assert_int_equal(write(middle), bits + (bits & 1));
    assert_int_equal(write(-middle), 0x80 | (bits + (bits & 1)));
  }
}

static void float8_rounds_to_nearest(void **state) {
  check_f8(tn_f8_e4m3_to_f32, tn_f32_to_f8_e4m3, 0x7f);
  check_f8(tn_f8_e5m2_to_f32, tn_f32_to_f8_e5m2, 0x7c);
  assert_true(tn_f8_e4m3_to_f32(0x7e) == 448.0f && tn_f8_e5m2_to_f32(0x7b) == 57344.0f);
  assert_int_equal(tn_f32_to_f8_e4m3(1e9f), 0x7e);
  assert_int_equal(tn_f32_to_f8_e4m3(-INFINITY), 0xfe);
  assert_true(isinf(tn_f8_e5m2_to_f32(tn_f32_to_f8_e5m2(61440.0f))));
  assert_true(tn_f8_e5m2_to_f32(tn_f32_to_f8_e5m2(61439.0f)) == 57344.0f);
}

/* The compiler's own half type is the peer. */
static void every_half_is_read_and_written_back(void **state) {
  for (uint32_t bits = 0; bits <= 0xffff; bits++) {
    uint16_t stored = (uint16_t)bits;
    half peer;
    memcpy(&peer, &stored, 2);
    float x = tn_f16_to_f32(stored), want = (float)peer;
    if (isnan(want)) {
      assert_true(isnan(x));
      assert_true(isnan(tn_f16_to_f32(tn_f32_to_f16(x))));
      continue;
    }
    assert_memory_equal(&x, &want, 4);
    assert_int_equal(tn_f32_to_f16(x), stored);
  }
}

static void floats_round_to_the_nearest_half(void **state) {
  for (uint64_t i = 0; i < 0x100000000u; i += 4999) { /* a prime: all exponents and roundings */
    uint32_t bits = (uint32_t)i;
    float x;
    memcpy(&x, &bits, 4);
    if (isnan(x)) continue;
    half peer = (half)x;
    uint16_t want;
    memcpy(&want, &peer, 2);
    if (tn_f32_to_f16(x) != want) fail_msg("%a: %04x, want %04x", x, tn_f32_to_f16(x), want);
  }
}

static void brain_floats_round_to_even(void **state) {
  static const struct {
    uint32_t in;
    uint16_t out;
  } cases[] = {{0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f818000, 0x3f82},
               {0x3f808001, 0x3f81}, {0x7f7fffff, 0x7f80}, {0x80000000, 0x8000},
               {0x7f800001, 0x7fc0}, {0xff800000, 0xff80}, {0x00008000, 0x0000}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    float x;
    memcpy(&x, &cases[i].in, 4);
    assert_int_equal(tn_f32_to_bf16(x), cases[i].out);
  }
  for (uint32_t bits = 0; bits <= 0xffff; bits++) {
    float x = tn_bf16_to_f32((uint16_t)bits);
    if (!isnan(x)) assert_int_equal(tn_f32_to_bf16(x), bits);
  }
}

/* A double must not be rounded twice: just above the middle of two halves, but the middle itself as
 * a float. */
static void doubles_round_once(void **state) {
  uint16_t data[2];
  tn_element_set(data, TN_F16, 0, 1.0 + 0x1p-11 + 0x1p-40);
  tn_element_set(data, TN_BF16, 1, 1.0 + 0x1p-8 + 0x1p-40);
  assert_int_equal(data[0], 0x3c01);
  assert_int_equal(data[1], 0x3f81);
  tn_element_set(data, TN_F16, 0, 1.0 + 0x1p-11 - 0x1p-40);
  tn_element_set(data, TN_BF16, 1, -(1.0 + 0x1p-8 - 0x1p-40));
  assert_int_equal(data[0], 0x3c00);
  assert_int_equal(data[1], 0xbf80);
}

static double round_trip(tn_dtype dtype, double x) {
  char data[16] = {0};
  tn_element_set(data, dtype, 1, x);
  return tn_element_get(data, dtype, 1);
}

static void integers_saturate(void **state) {
  assert_true(round_trip(TN_I8, 1000) == 127 && round_trip(TN_I8, -1000) == -128);
  assert_true(round_trip(TN_U8, -3) == 0 && round_trip(TN_U8, 255.4) == 255);
  assert_true(round_trip(TN_I16, 1e9) == 32767 && round_trip(TN_U16, 1e9) == 65535);
  assert_true(round_trip(TN_I32, -1e12) == INT32_MIN && round_trip(TN_I32, 2.5) == 2);
  assert_true(round_trip(TN_I64, 1e30) == (double)INT64_MAX);
  assert_true(round_trip(TN_I64, -1e30) == (double)INT64_MIN);
  assert_true(round_trip(TN_I32, NAN) == 0 && round_trip(TN_BOOL, 0.5) == 1);
  assert_true(round_trip(TN_F32, 0.1) == (double)0.1f && round_trip(TN_F64, 0.1) == 0.1);
  assert_true(isinf(round_trip(TN_F16, 1e6)) && isnan(round_trip(TN_BF16, NAN)));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_and_sizes),
      cmocka_unit_test(float8_rounds_to_nearest),
      cmocka_unit_test(every_half_is_read_and_written_back),
      cmocka_unit_test(floats_round_to_the_nearest_half),
      cmocka_unit_test(brain_floats_round_to_even),
      cmocka_unit_test(doubles_round_once),
      cmocka_unit_test(integers_saturate),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

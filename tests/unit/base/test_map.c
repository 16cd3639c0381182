/* SPDX-License-Identifier: Apache-2.0 */
#include "base_test.h"

#include "base/map.h"

static tn_str key_of(int i, char text[32]) {
  return (tn_str){text, (size_t)snprintf(text, 32, "key-%d%s", i, i % 3 ? "" : "-and-a-long-tail")};
}

static void puts_gets_and_keeps_order(void **state) {
  enum { COUNT = 20000 };
  tn_map map = {0};
  char text[32];
  assert_false(tn_map_get(&map, TN_STR("x"), NULL));
  for (int i = 0; i < COUNT; i++) assert_ok(tn_map_put(&map, key_of(i, text), (uint64_t)i, NULL));
  for (int i = 0; i < COUNT; i += 2)
    assert_ok(tn_map_put(&map, key_of(i, text), (uint64_t)i + 7, NULL));
  assert_int_equal(map.count, COUNT);
  for (int i = 0; i < COUNT; i++) {
    uint64_t value = 0;
    assert_true(tn_map_get(&map, key_of(i, text), &value));
    assert_int_equal(value, i % 2 ? i : i + 7);
    assert_true(tn_str_equal(map.entries[i].key, key_of(i, text)));
  }
  assert_false(tn_map_get(&map, key_of(COUNT, text), NULL));
  tn_map_clear(&map);
  assert_int_equal(map.count, 0);
}

static void keys_may_be_empty_or_hold_nul(void **state) {
  tn_map map = {0};
  assert_ok(tn_map_put(&map, (tn_str){0}, 1, NULL));
  assert_ok(tn_map_put(&map, TN_STR("\0"), 2, NULL));
  assert_ok(tn_map_put(&map, TN_STR("\0\0"), 3, NULL));
  uint64_t value = 0;
  assert_true(tn_map_get(&map, TN_STR(""), &value) && value == 1);
  assert_true(tn_map_get(&map, TN_STR("\0"), &value) && value == 2);
  assert_true(tn_map_get(&map, TN_STR("\0\0"), &value) && value == 3);
  assert_int_equal(map.count, 3);
  tn_map_clear(&map);
}

/* A put that fails leaves all that was there, and the same put works afterwards. */
static void many_are_got_at_once(void **state) {
  enum { KEYS = 5000, PUT = 3000 };
  static char texts[KEYS][32];
  static tn_str keys[KEYS];
  static uint64_t values[KEYS];
  tn_map map = {0};
  tn_error err = {0};
  for (int i = 0; i < KEYS; i++) keys[i] = key_of(i, texts[i]);
  tn_map_get_many(&map, keys, KEYS, values);
  for (int i = 0; i < KEYS; i++) assert_true(values[i] == TN_MAP_NONE);
  for (int i = 0; i < PUT; i++) assert_int_equal(tn_map_put(&map, keys[i], (uint64_t)i, &err), 0);
  for (size_t count = 0; count < KEYS; count += count < 200 ? 1 : 997) {
    values[count] = 42;
    tn_map_get_many(&map, keys + KEYS - count, count, values);
    for (size_t i = 0; i < count; i++) {
      size_t key = KEYS - count + i;
      assert_true(values[i] == (key < PUT ? key : TN_MAP_NONE));
    }
    assert_int_equal(values[count], 42);
  }
  tn_map_clear(&map);
}

static void failed_put_changes_nothing(void **state) {
  int64_t live = tn_alloc_live();
  tn_map map = {0};
  char text[32];
  int failures = 0;
  for (int i = 0; i < 500; i++) {
    for (int n = 1; n <= 4; n++) {
      tn_error err = {0};
      tn_alloc_fail_at(n);
      tn_status status = tn_map_put(&map, key_of(i, text), (uint64_t)i, &err);
      tn_alloc_fail_at(0);
      if (status == TN_OK) break;
      failures++;
      assert_int_equal(status, TN_ERR_MEMORY);
      assert_int_equal(map.count, i);
      assert_false(tn_map_get(&map, key_of(i, text), NULL));
      for (int j = 0; j < i; j++) assert_true(tn_map_get(&map, key_of(j, text), NULL));
    }
    assert_int_equal(map.count, i + 1);
  }
  assert_true(failures >= 10);
  tn_map_clear(&map);
  assert_int_equal(tn_alloc_live(), live);
}

/* Flipping one bit of the input flips each bit of the hash about half of the time, and different
 * lengths, seeds and single bits never collide here (any collision among 2^12 would have a chance
 * of 2^-41). */
static void hash_spreads(void **state) {
  uint8_t bytes[40] = {0};
  int flips[64] = {0}, total = 0;
  for (size_t length = 1; length <= sizeof bytes; length++) {
    uint64_t base = tn_hash_bytes(bytes, length, 1);
    assert_true(base != tn_hash_bytes(bytes, length - 1, 1));
    assert_true(base != tn_hash_bytes(bytes, length, 2));
    for (size_t bit = 0; bit < length * 8; bit++, total++) {
      bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
      uint64_t changed = base ^ tn_hash_bytes(bytes, length, 1);
      bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
      assert_true(changed != 0);
      for (int b = 0; b < 64; b++) flips[b] += changed >> b & 1;
    }
  }
  for (int b = 0; b < 64; b++) assert_in_range(flips[b], total * 45 / 100, total * 55 / 100);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(puts_gets_and_keeps_order),
      cmocka_unit_test(keys_may_be_empty_or_hold_nul),
      cmocka_unit_test(many_are_got_at_once),
      cmocka_unit_test(failed_put_changes_nothing),
      cmocka_unit_test(hash_spreads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The encodings one by one: what the encoders write, what plain loops say, hostile bytes, and the
 * SIMD paths beside the plain ones. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "base/random.h"
#include "columns/parquet/bits.h"
#include "columns/parquet/byte_stream_split.h"
#include "columns/parquet/delta_bytes.h"
#include "columns/parquet/delta_write.h"
#include "columns/parquet/form.h"
#include "columns/parquet/level_masks.h"
#include "columns/parquet/levels.h"
#include "columns/parquet/simd.h"
#include "columns_test.h"

static uint64_t seed_now(void) {
  uint64_t seed = (uint64_t)time(NULL);
  print_message("seed %llu\n", (unsigned long long)seed);
  return seed;
}

/* A copy of the exact size, so that ASan sees a byte too far. */
static uint8_t *exact_copy(const void *bytes, size_t count) {
  uint8_t *copy = malloc(count ? count : 1);
  assert_non_null(copy);
  if (count) memcpy(copy, bytes, count);
  return copy;
}

/* ---- DELTA_BINARY_PACKED --------------------------------------------------------------------- */

/* Runs whose differences need from 0 to 64 bits. */
static int64_t random_integers(uint64_t seed, uint64_t stream, int64_t *out, int64_t most) {
  int64_t count = (int64_t)tn_random_below(seed, stream, 0, (uint64_t)most);
  uint64_t bits = tn_random_below(seed, stream, 1, 65), value = tn_random_u64(seed, stream, 2);
  for (int64_t i = 0; i < count; i++) {
    uint64_t step = bits ? tn_random_u64(seed, stream, (uint64_t)i + 3) >> (64 - bits) : 0;
    if (i % 128 == 0) bits = tn_random_below(seed, stream, (uint64_t)i + 70000, 65);
    out[i] = (int64_t)(value += step);
  }
  return count;
}

static void delta_of_every_width(void **state) {
  static int64_t values[2000], got[2000];
  static int32_t narrow[2000], got_narrow[2000];
  uint64_t seed = seed_now();
  for (uint64_t i = 0; i < 400; i++) {
    tn_parquet_bytes packed = {0};
    tn_parquet_delta d;
    int64_t count = random_integers(seed, i, values, 2000);
    bool wide = i % 2;
    for (int64_t k = 0; k < count; k++) narrow[k] = (int32_t)values[k];
    OK(wide ? tn_parquet_delta_write_64(&packed, values, count, &problem)
            : tn_parquet_delta_write_32(&packed, narrow, count, &problem));
    uint8_t *copy = exact_copy(packed.data, packed.length);
    OK(tn_parquet_delta_init(&d, copy, packed.length, &problem));
    for (int64_t at = 0, k = 0; at < count; k++) { /* in pieces of odd sizes */
      int64_t n = 1 + (int64_t)tn_random_below(seed, i, 90000 + (uint64_t)k, 100);
      if (n > count - at) n = count - at;
      assert_true(wide ? tn_parquet_delta_read_i64(&d, got + at, n)
                       : tn_parquet_delta_read_i32(&d, got_narrow + at, n));
      at += n;
    }
    if (wide) assert_memory_equal(got, values, (size_t)count * 8);
    if (!wide) assert_memory_equal(got_narrow, narrow, (size_t)count * 4);
    assert_false(tn_parquet_delta_read_i64(&d, got, 1)); /* there are no more */
    OK(tn_parquet_delta_init(&d, copy, packed.length, &problem));
    assert_true(tn_parquet_delta_finish(&d));
    assert_ptr_equal(d.at, copy + packed.length);
    free(copy);
    for (size_t cut = 0; cut < packed.length; cut += 1 + cut / 4) { /* ends early: never beyond */
      copy = exact_copy(packed.data, cut);
      if (tn_parquet_delta_init(&d, copy, cut, NULL) == TN_OK) {
        (void)!tn_parquet_delta_read_i64(&d, got, count);
      }
      free(copy);
    }
    tn_parquet_bytes_clear(&packed);
  }
}

/* The example of Encodings.md: 7, 5, 3, 1, 2, 3, 4, 5 have the differences -2, -2, -2, 1 ... */
static void delta_by_hand(void **state) {
  const uint8_t bytes[] = {0x80, 1, 1, 8, 14, 3, 2, 0xC0, 0x3F, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                           0,    0, 0, 0, 0,  0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  const int64_t want[] = {7, 5, 3, 1, 2, 3, 4, 5};
  int64_t got[8];
  tn_parquet_delta d;
  OK(tn_parquet_delta_init(&d, bytes, sizeof bytes, &problem));
  assert_true(tn_parquet_delta_read_i64(&d, got, 8));
  assert_memory_equal(got, want, sizeof want);
}

static void delta_hostile(void **state) {
  tn_parquet_delta d;
  int64_t got[64];
  const uint8_t no_blocks[] = {0, 4, 8, 0}, uneven[] = {0x80, 1, 3, 8, 0},
                narrow[] = {0x80, 1, 8, 8, 0}, endless[] = {0xff, 0xff, 0xff, 0xff, 0xff},
                huge[] = {0x80, 0x80, 0x80, 0x80, 1, 1, 8, 0},
                wide[] = {0x80, 1, 1, 8, 14, 3, 65, 0, 0, 0, 0};
  assert_int_equal(tn_parquet_delta_init(&d, no_blocks, sizeof no_blocks, NULL), TN_ERR_DATA);
  assert_int_equal(tn_parquet_delta_init(&d, uneven, sizeof uneven, NULL), TN_ERR_DATA);
  assert_int_equal(tn_parquet_delta_init(&d, narrow, sizeof narrow, NULL), TN_ERR_DATA);
  assert_int_equal(tn_parquet_delta_init(&d, endless, sizeof endless, NULL), TN_ERR_DATA);
  assert_int_equal(tn_parquet_delta_init(&d, huge, sizeof huge, NULL), TN_ERR_LIMIT);
  OK(tn_parquet_delta_init(&d, wide, sizeof wide, &problem));
  assert_false(tn_parquet_delta_read_i64(&d, got, 8));
}

/* ---- delta byte arrays ----------------------------------------------------------------------- */

typedef struct texts {
  uint8_t bytes[200000];
  uint32_t lengths[2000];
  int64_t count;
  size_t byte_count;
} texts;

/* Many share a beginning with the one before. */
static void random_texts(uint64_t seed, uint64_t stream, uint32_t fixed, texts *t) {
  uint32_t before = 0;
  t->count = (int64_t)tn_random_below(seed, stream, 0, 2000);
  t->byte_count = 0;
  for (int64_t i = 0; i < t->count; i++) {
    uint64_t at = (uint64_t)i * 3 + 1;
    uint32_t length = fixed ? fixed : (uint32_t)tn_random_below(seed, stream, at, 60);
    uint32_t shared = (uint32_t)tn_random_below(seed, stream, at + 1, 50);
    uint8_t *to = t->bytes + t->byte_count;
    for (uint32_t k = 0; k < length; k++) {
      to[k] = k < shared && k < before ? to[(int64_t)k - before]
                                       : (uint8_t)tn_random_u64(seed, stream, at * 100 + k);
    }
    t->lengths[i] = before = length;
    t->byte_count += length;
  }
}

static void check_texts(const texts *t, const tn_parquet_bytes *packed, bool prefixed,
                        int32_t fixed, uint64_t seed) {
  static int32_t ends[2000];
  tn_parquet_delta_bytes d = {0};
  tn_parquet_bytes data = {0};
  uint8_t *copy = exact_copy(packed->data, packed->length);
  OK(tn_parquet_delta_bytes_init(&d, copy, packed->length, prefixed, &problem));
  for (int64_t at = 0, k = 0; at < t->count; k++) {
    int64_t n = 1 + (int64_t)tn_random_below(seed, 7, (uint64_t)k, 900);
    if (n > t->count - at) n = t->count - at;
    OK(tn_parquet_delta_bytes_read(&d, n, fixed, ends + at, &data, &problem));
    at += n;
  }
  assert_int_equal(data.length, t->byte_count);
  if (t->byte_count) assert_memory_equal(data.data, t->bytes, t->byte_count);
  int32_t end = 0;
  for (int64_t i = 0; i < t->count; i++) assert_int_equal(ends[i], end += (int32_t)t->lengths[i]);
  assert_int_equal(tn_parquet_delta_bytes_read(&d, 1, 0, ends, &data, NULL), TN_ERR_DATA);
  if (t->count) { /* all of another length than asked for */
    OK(tn_parquet_delta_bytes_init(&d, copy, packed->length, prefixed, &problem));
    assert_int_equal(tn_parquet_delta_bytes_read(&d, 1, 100, ends, &data, NULL), TN_ERR_DATA);
  }
  free(copy);
  tn_parquet_delta_bytes_clear(&d);
  tn_parquet_bytes_clear(&data);
}

static void delta_byte_arrays(void **state) {
  static texts t;
  uint64_t seed = seed_now();
  for (uint64_t i = 0; i < 120; i++) {
    tn_parquet_bytes packed = {0}, room = {0};
    int32_t fixed = i % 3 == 0 ? 1 + (int32_t)(i % 40) : 0;
    random_texts(seed, i, (uint32_t)fixed, &t);
    OK(tn_parquet_delta_length_write(&packed, t.lengths, t.count, t.bytes, t.byte_count, &problem));
    check_texts(&t, &packed, false, fixed, seed + i);
    packed.length = 0;
    OK(tn_parquet_delta_prefix_write(&packed, t.lengths, t.count, t.bytes, &room, &problem));
    check_texts(&t, &packed, true, fixed, seed + i);
    for (size_t at = 0; at < packed.length; at += 1 + packed.length / 50) { /* damaged */
      static int32_t ends[2000];
      tn_parquet_delta_bytes d = {0};
      tn_parquet_bytes data = {0};
      uint8_t *copy = exact_copy(packed.data, packed.length);
      copy[at] ^= (uint8_t)(1 + tn_random_below(seed, i, at, 255));
      if (tn_parquet_delta_bytes_init(&d, copy, packed.length, true, NULL) == TN_OK) {
        (void)!tn_parquet_delta_bytes_read(&d, t.count, 0, ends, &data, NULL);
      }
      free(copy);
      tn_parquet_delta_bytes_clear(&d);
      tn_parquet_bytes_clear(&data);
    }
    tn_parquet_bytes_clear(&packed);
    tn_parquet_bytes_clear(&room);
  }
}

/* ---- BYTE_STREAM_SPLIT ----------------------------------------------------------------------- */

static void split_bytes(void **state) {
  static uint8_t values[200 * 20], got[200 * 20], plain[200 * 20];
  uint64_t seed = seed_now();
  for (int32_t width = 1; width <= 20; width++) {
    for (uint64_t i = 0; i < 40; i++) {
      tn_parquet_bytes split = {0};
      int64_t total = (int64_t)tn_random_below(seed, i, 1, 200);
      for (int64_t k = 0; k < total * width; k++) {
        values[k] = (uint8_t)tn_random_u64(seed, i, (uint64_t)k);
      }
      OK(tn_parquet_split_write(&split, values, width, total, &problem));
      uint8_t *copy = exact_copy(split.data, split.length);
      int64_t from = (int64_t)tn_random_below(seed, i, 2, (uint64_t)total + 1);
      int64_t count = (int64_t)tn_random_below(seed, i, 3, (uint64_t)(total - from) + 1);
      tn_parquet_bss_read(copy, total, width, from, count, got);
      if (count) assert_memory_equal(got, values + from * width, (size_t)(count * width));
      tn_parquet_bss_read_plain(copy, total, width, from, count, plain);
      if (count) assert_memory_equal(got, plain, (size_t)(count * width));
      if ((width == 4 || width == 8) && tn_parquet_has_avx2()) {
        memset(got, 0, sizeof got);
        tn_parquet_bss_read_avx2(copy, total, width, from, count, got);
        if (count) assert_memory_equal(got, plain, (size_t)(count * width));
      }
      free(copy);
      tn_parquet_bytes_clear(&split);
    }
  }
}

/* ---- levels ---------------------------------------------------------------------------------- */

static void bytes_of_the_hybrid(void **state) {
  static uint32_t values[3000];
  static uint8_t got[3000];
  uint64_t seed = seed_now();
  for (int32_t width = 0; width <= 8; width++) {
    for (uint64_t i = 0; i < 60; i++) {
      tn_parquet_bytes bytes = {0};
      tn_parquet_levels l;
      int64_t count = (int64_t)tn_random_below(seed, i, 0, 3000), skip = count / 3;
      uint64_t run = 1 + tn_random_below(seed, i, 1, 30);
      for (int64_t k = 0; k < count; k++) {
        values[k] =
            (uint32_t)tn_random_below(seed, i, 100 + (uint64_t)k / run, (uint64_t)1 << width);
      }
      OK(tn_parquet_levels_write(&bytes, values, count, width, &problem));
      uint8_t *copy = exact_copy(bytes.data, bytes.length);
      tn_parquet_levels_init(&l, copy, bytes.length, width);
      assert_true(tn_parquet_levels_skip(&l, skip));
      for (int64_t at = skip, k = 0; at < count; k++) {
        int64_t n = 1 + (int64_t)tn_random_below(seed, i, 9000 + (uint64_t)k, 700);
        if (n > count - at) n = count - at;
        assert_true(tn_parquet_levels_read_u8(&l, got + at, n));
        at += n;
      }
      for (int64_t k = skip; k < count; k++) assert_int_equal(got[k], values[k]);
      free(copy);
      tn_parquet_bytes_clear(&bytes);
    }
  }
}

/* The numbers 0 to 7 in 3 bits each, as Encodings.md shows them. */
static void bit_packed_by_hand(void **state) {
  const uint8_t bytes[] = {0x05, 0x39, 0x77};
  tn_parquet_levels l;
  uint8_t small[8];
  uint32_t wide[8];
  tn_parquet_levels_init_msb(&l, bytes, sizeof bytes, 3);
  assert_true(tn_parquet_levels_read_u8(&l, small, 8));
  for (int i = 0; i < 8; i++) assert_int_equal(small[i], i);
  assert_false(tn_parquet_levels_read_u8(&l, small, 1));
  tn_parquet_levels_init_msb(&l, bytes, sizeof bytes, 3);
  assert_true(tn_parquet_levels_skip(&l, 3));
  assert_true(tn_parquet_levels_read(&l, wide, 5));
  for (int i = 0; i < 5; i++) assert_int_equal(wide[i], i + 3);
  uint8_t bits[4] = {0};
  int64_t ones;
  tn_parquet_levels_init_msb(&l, bytes, sizeof bytes, 1);
  assert_true(tn_parquet_levels_read_bits(&l, bits, 3, 24, &ones));
  assert_int_equal(ones, 12);
  for (int i = 0; i < 24; i++) {
    assert_int_equal(tn_bit_get(bits, 3 + i), bytes[i / 8] >> (7 - i % 8) & 1);
  }
}

static void masks_of_levels(void **state) {
  uint64_t seed = seed_now();
  for (uint64_t i = 0; i < 3000; i++) {
    uint8_t levels[300], got[64], plain[64];
    int64_t count = (int64_t)tn_random_below(seed, i, 0, 300), ones = 0;
    int64_t at = (int64_t)tn_random_below(seed, i, 1, 40);
    uint8_t min = (uint8_t)tn_random_below(seed, i, 2, 6);
    for (size_t k = 0; k < sizeof got; k++) got[k] = plain[k] = (uint8_t)tn_random_u64(seed, i, k);
    for (int64_t k = 0; k < count; k++) {
      levels[k] = (uint8_t)tn_random_below(seed, i, 500 + (uint64_t)k, 7);
      ones += levels[k] >= min;
    }
    uint8_t *copy = exact_copy(levels, (size_t)count);
    tn_parquet_levels_mask(copy, count, min, got, at);
    tn_parquet_levels_mask_plain(copy, count, min, plain, at);
    assert_memory_equal(got, plain, sizeof got);
    assert_int_equal(tn_parquet_levels_count(copy, count, min), ones);
    assert_int_equal(tn_bits_count(got, at, count), ones);
    if (tn_parquet_has_avx2()) {
      tn_parquet_levels_mask_avx2(copy, count, min, plain, at);
      assert_memory_equal(got, plain, sizeof got);
    }
    free(copy);
  }
}

/* ---- forms ----------------------------------------------------------------------------------- */

static void big_endian_numbers(void **state) {
  const uint8_t minus_two[] = {0xff, 0xff, 0xfe}, large[] = {0x00, 0x80},
                wide[] = {0x01, 0x00, 0x00};
  uint8_t out[16];
  assert_true(tn_parquet_big_to_little(minus_two, 3, out, 16));
  for (int i = 0; i < 16; i++) assert_int_equal(out[i], i ? 0xff : 0xfe);
  assert_true(tn_parquet_big_to_little(minus_two, 3, out, 1)); /* the rest is its sign */
  assert_int_equal(out[0], 0xfe);
  assert_false(tn_parquet_big_to_little(large, 2, out, 1)); /* 128 would become -128 */
  assert_false(tn_parquet_big_to_little(wide, 3, out, 2));
  assert_true(tn_parquet_big_to_little(NULL, 0, out, 2));
  assert_int_equal(out[0] | out[1], 0);
}

static void int96_by_hand(void **state) {
  tn_parquet_leaf leaf = {.form = TN_PARQUET_FORM_INT96_NS, .stored = 12, .width = 8, .text = "t"};
  int32_t days[] = {2440588, 2440587, 2440588 + 106751, 2440588 + 106752, -105862232};
  int64_t nanos[] = {1001, 86399999999999, 0, 86399999999999, -32509551616000}, got;
  uint8_t stored[12];
  int64_t want[] = {1001, -1, 106751 * (int64_t)86400 * 1000000000};
  for (int i = 0; i < 5; i++) {
    memcpy(stored, &nanos[i], 8);
    memcpy(stored + 8, &days[i], 4);
    tn_status status = tn_parquet_form_convert(&leaf, stored, 1, &got, &problem);
    assert_int_equal(status, i < 3 ? TN_OK : TN_ERR_DATA);
    if (i < 3) assert_int_equal(got, want[i]);
  }
  leaf.form = TN_PARQUET_FORM_INT96_US; /* the year 290000, as Spark wraps it */
  OK(tn_parquet_form_convert(&leaf, stored, 1, &got, &problem));
  assert_int_equal(got, 9089380393200000000);
  memcpy(stored, &nanos[0], 8); /* not whole microseconds */
  assert_int_equal(tn_parquet_form_convert(&leaf, stored, 1, &got, NULL), TN_ERR_DATA);
  leaf.form = TN_PARQUET_FORM_INT96_CUT; /* rounded down, a time of day may be any number */
  int32_t odd_days[] = {2440588, 2440588, 3, 2440588 + 106751990, INT32_MAX, INT32_MIN};
  int64_t odd_nanos[] = {1999, -1, ((int64_t)2 << 32) + 1, 0, 0, 0};
  int64_t odd[] = {1, -1, (3 - 2440588) * (int64_t)86400000000 + 8589934, 9223371936000000000};
  for (int i = 0; i < 6; i++) {
    memcpy(stored, &odd_nanos[i], 8);
    memcpy(stored + 8, &odd_days[i], 4);
    tn_status status = tn_parquet_form_convert(&leaf, stored, 1, &got, &problem);
    assert_int_equal(status, i < 4 ? TN_OK : TN_ERR_DATA);
    if (i < 4) assert_int_equal(got, odd[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(delta_of_every_width), cmocka_unit_test(delta_by_hand),
      cmocka_unit_test(delta_hostile),        cmocka_unit_test(delta_byte_arrays),
      cmocka_unit_test(split_bytes),          cmocka_unit_test(bytes_of_the_hybrid),
      cmocka_unit_test(bit_packed_by_hand),   cmocka_unit_test(masks_of_levels),
      cmocka_unit_test(big_endian_numbers),   cmocka_unit_test(int96_by_hand),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

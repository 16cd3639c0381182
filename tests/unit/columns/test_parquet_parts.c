/* The parts below pages: bit runs, the RLE hybrid, codecs, the interner, statistics of long
 * strings. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "test_parquet_table.h"

#include <lz4frame.h>
#include <stdlib.h>
#include <time.h>

#include "columns/parquet/bits.h"
#include "columns/parquet/codec.h"
#include "columns/parquet/interner.h"
#include "columns/parquet/levels.h"
#include "columns/parquet/spare.h"
#include "columns/parquet/stats.h"

static uint64_t seed_now(void) {
  uint64_t seed = (uint64_t)time(NULL);
  print_message("seed %llu\n", (unsigned long long)seed);
  return seed;
}

static void bit_runs(void **state) {
  uint64_t seed = seed_now();
  for (uint64_t i = 0; i < 3000; i++) {
    uint8_t from[64], to[64], want[64];
    for (size_t k = 0; k < sizeof from; k++) {
      from[k] = (uint8_t)tn_random_u64(seed, i, k);
      to[k] = want[k] = (uint8_t)tn_random_u64(seed, i, 100 + k);
    }
    int64_t from_at = (int64_t)tn_random_below(seed, i, 200, 200);
    int64_t to_at = (int64_t)tn_random_below(seed, i, 201, 200);
    int64_t count = (int64_t)tn_random_below(seed, i, 202, 310), ones = 0;
    for (int64_t k = 0; k < count; k++) {
      tn_bit_put(want, to_at + k, tn_bit_get(from, from_at + k));
      ones += tn_bit_get(from, from_at + k);
    }
    /* An exact-size copy, so that ASan sees a load too far. */
    uint8_t *exact = malloc(tn_bits_bytes(from_at + count) + 1);
    assert_non_null(exact);
    memcpy(exact, from, tn_bits_bytes(from_at + count));
    tn_bits_copy(to, to_at, exact, from_at, count);
    assert_memory_equal(to, want, sizeof to);
    assert_int_equal(tn_bits_count(exact, from_at, count), ones);
    free(exact);
    tn_bits_fill(to, to_at, count, i & 1);
    for (int64_t k = 0; k < count; k++) tn_bit_put(want, to_at + k, i & 1);
    assert_memory_equal(to, want, sizeof to);
  }
}

/* ---- the hybrid ------------------------------------------------------------------------------ */

static int64_t random_runs(uint64_t seed, uint64_t stream, int32_t width, uint32_t *out) {
  int64_t count = (int64_t)tn_random_below(seed, stream, 0, 3000), n = 0;
  uint64_t limit = (uint64_t)1 << width;
  for (uint64_t k = 1; n < count; k += 3) {
    int64_t run = (int64_t)tn_random_below(seed, stream, k, 4) == 0
                      ? (int64_t)tn_random_below(seed, stream, k + 1, 200)
                      : 1;
    uint32_t value = (uint32_t)tn_random_below(seed, stream, k + 2, limit);
    for (; run-- > 0 && n < count;) out[n++] = value;
  }
  return count;
}

static void hybrid_of_every_width(void **state) {
  static uint32_t values[3000], got[3000];
  uint64_t seed = seed_now();
  tn_error err = {0};
  for (int32_t width = 0; width <= 32; width++) {
    for (uint64_t i = 0; i < 40; i++) {
      int64_t count = random_runs(seed, (uint64_t)width * 1000 + i, width, values);
      tn_parquet_bytes bytes = {0};
      CHECK_OK(tn_parquet_levels_write(&bytes, values, count, width, &err), &err);
      uint8_t *exact = malloc(bytes.length + 1);
      assert_non_null(exact);
      if (bytes.length) memcpy(exact, bytes.data, bytes.length);
      tn_parquet_levels l;
      tn_parquet_levels_init(&l, exact, bytes.length, width);
      for (int64_t at = 0, k = 0; at < count; k++) { /* in pieces of odd sizes */
        int64_t n = 1 + (int64_t)tn_random_below(seed, i, 9000 + (uint64_t)k, 300);
        if (n > count - at) n = count - at;
        assert_true(tn_parquet_levels_read(&l, got + at, n));
        at += n;
      }
      if (count) assert_memory_equal(got, values, (size_t)count * sizeof *got);
      for (size_t cut = 0; width && cut < bytes.length; cut += 1 + cut / 3) {
        tn_parquet_levels_init(&l, exact, cut, width);
        if (!tn_parquet_levels_read(&l, got, count)) continue;
        /* Only padding of the last group was cut, which some writers do not store either. */
        assert_true(bytes.length - cut < (size_t)width);
        assert_memory_equal(got, values, (size_t)count * sizeof *got);
      }
      free(exact);
      tn_parquet_bytes_clear(&bytes);
    }
  }
}

static void hybrid_of_bits(void **state) {
  static uint32_t values[3000];
  uint64_t seed = seed_now();
  tn_error err = {0};
  for (uint64_t i = 0; i < 300; i++) {
    uint8_t bits[400] = {0}, got[400] = {0};
    int64_t count = random_runs(seed, i, 1, values), ones, at = (int64_t)(i % 13);
    for (int64_t k = 0; k < count; k++) tn_bit_put(bits, k, values[k]);
    tn_parquet_bytes bytes = {0};
    CHECK_OK(tn_parquet_levels_write_bits(&bytes, bits, count, &err), &err);
    tn_parquet_levels l;
    tn_parquet_levels_init(&l, bytes.data, bytes.length, 1);
    assert_true(tn_parquet_levels_read_bits(&l, got, at, count, &ones));
    assert_int_equal(ones, tn_bits_count(bits, 0, count));
    for (int64_t k = 0; k < count; k++) {
      assert_int_equal(tn_bit_get(got, at + k), tn_bit_get(bits, k));
    }
    tn_parquet_bytes_clear(&bytes);
  }
}

static void hybrid_hostile(void **state) {
  uint32_t out[64];
  tn_parquet_levels l;
  const uint8_t no_value[] = {0x10}, too_large[] = {0x10, 0x04},
                endless[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  tn_parquet_levels_init(&l, no_value, 1, 1);
  assert_false(tn_parquet_levels_read(&l, out, 8));
  tn_parquet_levels_init(&l, too_large, 2, 2); /* 4 does not fit 2 bits */
  assert_false(tn_parquet_levels_read(&l, out, 8));
  tn_parquet_levels_init(&l, endless, 6, 7);
  assert_false(tn_parquet_levels_read(&l, out, 8));
  tn_parquet_levels_init(&l, NULL, 0, 3);
  assert_false(tn_parquet_levels_read(&l, out, 1));
  tn_parquet_levels_init(&l, NULL, 0, 0); /* width 0 needs no bytes */
  assert_true(tn_parquet_levels_read(&l, out, 64));
  assert_int_equal(out[63], 0);
}

/* ---- codecs ---------------------------------------------------------------------------------- */

static void codecs_round_trip(void **state) {
  const int32_t codecs[] = {0, 1, 2, 4, 5, 6, 7};
  uint64_t seed = seed_now();
  tn_error err = {0};
  tn_parquet_codecs memory = {0};
  for (size_t c = 0; c < sizeof codecs / sizeof *codecs; c++) {
    for (size_t size = 0; size < 100000; size = size * 3 + 1) {
      uint8_t *in = malloc(size + 1), *out = malloc(size + 1);
      assert_true(in && out);
      for (size_t i = 0; i < size; i++) in[i] = (uint8_t)(tn_random_u64(seed, c, i / 5) % 7);
      tn_parquet_bytes packed = {0};
      CHECK_OK(tn_parquet_compress(&memory, codecs[c], 0, in, size, &packed, &err), &err);
      CHECK_OK(tn_parquet_decompress_check(codecs[c], packed.data, packed.length, size, &err),
               &err);
      CHECK_OK(
          tn_parquet_decompress(&memory, codecs[c], packed.data, packed.length, out, size, &err),
          &err);
      assert_memory_equal(in, out, size);
      tn_status wrong =
          tn_parquet_decompress_check(codecs[c], packed.data, packed.length, size + 1, &err);
      if (wrong == TN_OK) {
        uint8_t *more = malloc(size + 1);
        wrong = tn_parquet_decompress(&memory, codecs[c], packed.data, packed.length, more,
                                      size + 1, &err);
        free(more);
      }
      assert_int_equal(wrong, TN_ERR_DATA);
      free(in);
      free(out);
      tn_parquet_bytes_clear(&packed);
    }
  }
  assert_int_equal(tn_parquet_codec_check(3, &err), TN_ERR_UNSUPPORTED);
  assert_non_null(strstr(err.text, "lzo"));
  assert_int_equal(tn_parquet_codec_check(55, &err), TN_ERR_DATA);
  tn_parquet_codecs_clear(&memory);
}

/* The deprecated LZ4 codec in the framings that writers have used for it. */
static void old_lz4_framings(void **state) {
  tn_error err = {0};
  tn_parquet_codecs memory = {0};
  tn_parquet_bytes block = {0}, chunks = {0};
  uint8_t in[5000], out[5000], frame[6000];
  for (size_t i = 0; i < sizeof in; i++) in[i] = (uint8_t)(i / 9);
  CHECK_OK(tn_parquet_compress(&memory, 7, 0, in, sizeof in, &block, &err), &err);
  CHECK_OK(tn_parquet_decompress(&memory, 5, block.data, block.length, out, sizeof out, &err),
           &err); /* a bare block */
  assert_memory_equal(in, out, sizeof in);
  memset(out, 0, sizeof out);
  size_t got = LZ4F_compressFrame(frame, sizeof frame, in, sizeof in, NULL);
  assert_false(LZ4F_isError(got));
  CHECK_OK(tn_parquet_decompress(&memory, 5, frame, got, out, sizeof out, &err), &err);
  assert_memory_equal(in, out, sizeof in);
  assert_int_equal(tn_parquet_decompress(&memory, 5, frame, got - 5, out, sizeof out, &err),
                   TN_ERR_DATA);
  /* Hadoop: one block of two chunks, then one block of one. */
  const size_t parts[] = {2000, 1000, 2000};
  uint32_t whole = __builtin_bswap32(3000);
  CHECK_OK(tn_parquet_bytes_append(&chunks, &whole, 4, &err), &err);
  for (size_t i = 0, at = 0; i < 3; at += parts[i++]) {
    tn_parquet_bytes one = {0};
    CHECK_OK(tn_parquet_compress(&memory, 5, 0, in + at, parts[i], &one, &err), &err);
    size_t skip = i < 2 ? 4 : 0; /* its own block size */
    CHECK_OK(tn_parquet_bytes_append(&chunks, one.data + skip, one.length - skip, &err), &err);
    tn_parquet_bytes_clear(&one);
  }
  memset(out, 0, sizeof out);
  CHECK_OK(tn_parquet_decompress(&memory, 5, chunks.data, chunks.length, out, sizeof out, &err),
           &err);
  assert_memory_equal(in, out, sizeof in);
  for (size_t cut = 0; cut < chunks.length; cut += 7) {
    assert_int_equal(tn_parquet_decompress(&memory, 5, chunks.data, cut, out, sizeof out, &err),
                     TN_ERR_DATA);
  }
  tn_parquet_bytes_clear(&block);
  tn_parquet_bytes_clear(&chunks);
  tn_parquet_codecs_clear(&memory);
}

/* A few bytes that claim to be gigabytes are refused before any memory is reserved. */
static void bombs(void **state) {
  tn_error err = {0};
  const uint8_t snappy[] = {0xff, 0xff, 0xff, 0xff, 0x07, 0x00};
  const size_t huge = INT32_MAX;
  for (int32_t codec = 4; codec <= 7; codec++) {
    assert_int_equal(tn_parquet_decompress_check(codec, snappy, sizeof snappy, huge, &err),
                     TN_ERR_DATA);
  }
  assert_int_equal(tn_parquet_decompress_check(1, snappy, sizeof snappy, huge, &err), TN_ERR_DATA);
  assert_int_equal(tn_parquet_decompress_check(2, snappy, sizeof snappy, huge, &err), TN_ERR_DATA);
  assert_int_equal(tn_parquet_decompress_check(6, snappy, sizeof snappy, huge, &err), TN_ERR_DATA);
  assert_int_equal(tn_parquet_decompress_check(0, snappy, sizeof snappy, huge, &err), TN_ERR_DATA);
}

/* ---- the interner ---------------------------------------------------------------------------- */

static void interner_numbers_in_order(void **state) {
  tn_error err = {0};
  for (int32_t width = 0; width <= 8; width += 4) {
    tn_parquet_interner in = {.width = width, .bytes_max = 1 << 20};
    for (int round = 0; round < 2; round++) {
      for (uint32_t i = 0; i < 20000; i++) {
        uint32_t index = 0, key = i % 5000 * 2654435761u;
        uint64_t wide = (uint64_t)key << 17;
        char text[32];
        snprintf(text, sizeof text, "%.*s%u", (int)(key % 20), "abcdefghijklmnopqrstuvwxyz", key);
        tn_str s = tn_str_of(text);
        const void *value = width == 4 ? (const void *)&key : &wide;
        CHECK_OK(width ? tn_parquet_intern_fixed(&in, value, 1, &index, &err)
                       : tn_parquet_intern_bytes(&in, &s, 1, &index, &err),
                 &err);
        assert_int_equal(index, i % 5000);
        if (!width) assert_true(tn_str_equal(tn_parquet_interner_str(&in, index), s));
      }
      assert_int_equal(in.count, 5000);
      tn_parquet_interner_reset(&in);
    }
    uint64_t many[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    tn_str texts[2] = {TN_STR("12345678"), TN_STR("12345679")};
    uint32_t index[10];
    in.bytes_max = 12; /* exactly one string behind its length */
    assert_int_equal(width ? tn_parquet_intern_fixed(&in, many, 10, index, &err)
                           : tn_parquet_intern_bytes(&in, texts, 2, index, &err),
                     TN_FULL);
    tn_parquet_interner_clear(&in);
  }
}

/* ---- statistics of long strings -------------------------------------------------------------- */

static void range_of(tn_parquet_order order, const char *data, size_t length, char *room,
                     tn_parquet_range *range) {
  tn_parquet_stats stats = {0};
  tn_str value = {data, length};
  tn_parquet_stats_start(&stats, &(tn_parquet_store){.order = order});
  tn_parquet_stats_see(&stats, &(tn_parquet_slice){.bytes = &value, .count = 1});
  tn_parquet_stats_range(&stats, room, range);
}

static void long_strings_are_cut(void **state) {
  char text[200], room[2 * TN_PARQUET_STATS_BYTES];
  tn_parquet_range r = {0};
  memset(text, 'x', sizeof text);
  range_of(TN_PARQUET_BY_TEXT, text, 64, room, &r); /* just fits */
  assert_true(r.present && r.min_exact && r.max_exact && r.min.length == 64);
  assert_true(tn_str_equal(r.min, r.max));
  range_of(TN_PARQUET_BY_TEXT, text, 65, room, &r);
  assert_true(r.present && !r.min_exact && !r.max_exact);
  assert_int_equal(r.min.length, 64);
  assert_int_equal(r.max.length, 64);
  assert_int_equal(r.max.data[63], 'y');
  memset(text, 0xff, sizeof text);
  range_of(TN_PARQUET_BY_BYTES, text, 100, room, &r); /* nothing above it in 64 bytes */
  assert_false(r.present);
  text[10] = 5;
  range_of(TN_PARQUET_BY_BYTES, text, 100, room, &r);
  assert_int_equal(r.max.length, 11);
  assert_int_equal(r.max.data[10], 6);
}

static void long_text_stays_text(void **state) {
  char text[200], room[2 * TN_PARQUET_STATS_BYTES];
  tn_parquet_range r = {0};
  for (size_t lead = 0; lead < 4; lead++) { /* a character across the cut */
    memset(text, 'x', lead);
    for (size_t i = lead; i + 3 <= sizeof text; i += 3) memcpy(text + i, "\xe2\x82\xac", 3);
    range_of(TN_PARQUET_BY_TEXT, text, 180, room, &r);
    assert_true(r.present && !r.max_exact);
    assert_true(tn_utf8_valid(r.min) && tn_utf8_valid(r.max));
    assert_true(r.min.length >= 62 && r.max.length >= 62);
    assert_true(memcmp(r.max.data, text, r.max.length) > 0);
    assert_memory_equal(r.min.data, text, r.min.length);
  }
  for (size_t i = 0; i + 4 <= sizeof text; i += 4) memcpy(text + i, "\xf4\x8f\xbf\xbf", 4);
  range_of(TN_PARQUET_BY_TEXT, text, 180, room, &r); /* U+10FFFF has no successor */
  assert_false(r.present);
  memcpy(text, "a", 1);
  memset(text + 1, 'z', 62);
  memcpy(text + 61, "\xed\x9f\xbf", 3); /* U+D7FF: its successor is U+E000 */
  range_of(TN_PARQUET_BY_TEXT, text, 180, room, &r);
  assert_true(r.present && tn_utf8_valid(r.max));
  assert_memory_equal(r.max.data + 61, "\xee\x80\x80", 3);
}

/* The smallest and largest of many values that share their first 64 bytes. */
static void cut_ranges_hold_every_value(void **state) {
  uint64_t seed = seed_now();
  for (uint64_t round = 0; round < 200; round++) {
    char text[20][90], room[2 * TN_PARQUET_STATS_BYTES];
    tn_parquet_stats stats = {0};
    tn_parquet_range r = {0};
    tn_str values[20];
    tn_parquet_stats_start(&stats, &(tn_parquet_store){.order = TN_PARQUET_BY_BYTES});
    for (uint64_t i = 0; i < 20; i++) {
      size_t length = 60 + tn_random_below(seed, round, i, 31);
      memset(text[i], 'q', sizeof text[i]);
      for (size_t k = 58; k < length; k++) {
        text[i][k] = (char)(tn_random_below(seed, round, i * 100 + k, 2) ? 0xff : 0);
      }
      values[i] = (tn_str){text[i], length};
    }
    tn_parquet_stats_see(&stats, &(tn_parquet_slice){.bytes = values, .count = 20});
    tn_parquet_stats_range(&stats, room, &r);
    assert_true(r.present);
    for (int i = 0; i < 20; i++) {
      size_t low = values[i].length < r.min.length ? values[i].length : r.min.length;
      size_t high = values[i].length < r.max.length ? values[i].length : r.max.length;
      int below = memcmp(values[i].data, r.min.data, low);
      int above = memcmp(values[i].data, r.max.data, high);
      assert_true(below > 0 || (below == 0 && values[i].length >= r.min.length));
      assert_true(above < 0 || (above == 0 && values[i].length <= r.max.length));
    }
  }
}

/* ---- spare memory ---- */
static tn_buffer *filled(tn_parquet_spare *spare, size_t bytes, uint8_t **block) {
  tn_error err = {0};
  tn_parquet_bytes run = {0};
  tn_buffer *buffer;
  tn_parquet_spare_take(spare, &run, bytes);
  CHECK_OK(tn_parquet_bytes_reserve(&run, bytes, &err), &err);
  *block = run.data;
  run.length = bytes;
  CHECK_OK(tn_parquet_spare_wrap(spare, &run, &buffer, &err), &err);
  assert_null(run.data);
  return buffer;
}

static void memory_comes_again(void **state) {
  tn_error err = {0};
  tn_parquet_spare *spare;
  uint8_t *first, *second, *third;
  CHECK_OK(tn_parquet_spare_open(&spare, 1 << 20, &err), &err);
  tn_buffer *a = filled(spare, 100000, &first), *b = filled(spare, 50000, &second);
  assert_ptr_not_equal(first, second);
  tn_buffer_drop(a);
  tn_buffer_drop(b);
  a = filled(spare, 40000, &third); /* the smaller one of the two that fit */
  assert_ptr_equal(third, second);
  b = filled(spare, 90000, &third);
  assert_ptr_equal(third, first);
  tn_buffer_drop(b);
  tn_parquet_bytes run = {0};
  tn_parquet_spare_take(spare, &run, 20000); /* 100,000 bytes would be a waste */
  assert_null(run.data);
  tn_parquet_spare_take(NULL, &run, 20000);
  assert_null(run.data);
  tn_parquet_spare_close(spare);
  memset(a->data, 1, a->bytes); /* a buffer outlives the store */
  tn_buffer_drop(a);
}

static void spare_memory_has_a_limit(void **state) {
  tn_error err = {0};
  tn_parquet_spare *spare;
  uint8_t *blocks[10], *again;
  tn_buffer *buffers[10];
  CHECK_OK(tn_parquet_spare_open(&spare, 300000, &err), &err);
  for (int i = 0; i < 10; i++) buffers[i] = filled(spare, 100000 - (size_t)i, &blocks[i]);
  for (int i = 0; i < 10; i++) tn_buffer_drop(buffers[i]);
  int64_t live = tn_alloc_live();
  tn_parquet_spare_close(spare);
  assert_int_equal(live - tn_alloc_live(), 3); /* two blocks of 100,000 bytes, and the store */
  CHECK_OK(tn_parquet_spare_open(&spare, 1000, &err), &err);
  tn_buffer_drop(filled(spare, 100000, &again));
  tn_parquet_bytes run = {0};
  tn_parquet_spare_take(spare, &run, 100000);
  assert_null(run.data);
  tn_parquet_spare_close(spare);
}

static void borrowed_bytes(void **state) {
  tn_error err = {0};
  tn_buffer *lender = NULL, *kept = NULL;
  tn_parquet_bytes bytes = {0};
  int64_t live = tn_alloc_live();
  CHECK_OK(tn_buffer_new(&lender, 100, &err), &err);
  memcpy(lender->data, "0123456789", 10);
  CHECK_OK(tn_parquet_bytes_append(&bytes, "own", 3, &err), &err); /* is given up */
  tn_parquet_bytes_borrow(&bytes, (const uint8_t *)lender->data + 2, 5, lender);
  assert_ptr_equal(bytes.data, (uint8_t *)lender->data + 2);
  tn_parquet_bytes_borrow(&bytes, (const uint8_t *)lender->data + 3, 5, lender); /* of the same */
  /* wrapped as they lie; the lender lives as long as they do */
  CHECK_OK(tn_parquet_spare_wrap(NULL, &bytes, &kept, &err), &err);
  assert_null(bytes.data);
  tn_parquet_bytes_borrow(&bytes, lender->data, 4, lender);
  tn_buffer_drop(lender);
  assert_memory_equal(kept->data, "34567", 5);
  /* more bytes: what was borrowed is copied, the lender is not written to */
  CHECK_OK(tn_parquet_bytes_append(&bytes, "abc", 3, &err), &err);
  assert_null(bytes.lender);
  assert_int_equal(bytes.length, 7);
  assert_memory_equal(bytes.data, "0123abc", 7);
  assert_memory_equal(kept->data, "34567", 5);
  tn_parquet_bytes_clear(&bytes);
  tn_buffer_drop(kept);
  assert_int_equal(tn_alloc_live(), live);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bit_runs),
      cmocka_unit_test(hybrid_of_every_width),
      cmocka_unit_test(hybrid_of_bits),
      cmocka_unit_test(hybrid_hostile),
      cmocka_unit_test(codecs_round_trip),
      cmocka_unit_test(old_lz4_framings),
      cmocka_unit_test(bombs),
      cmocka_unit_test(interner_numbers_in_order),
      cmocka_unit_test(long_strings_are_cut),
      cmocka_unit_test(long_text_stays_text),
      cmocka_unit_test(cut_ranges_hold_every_value),
      cmocka_unit_test(borrowed_bytes),
      cmocka_unit_test(memory_comes_again),
      cmocka_unit_test(spare_memory_has_a_limit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The page index and Bloom filters: what is written is read, cut and random bytes are refused. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include <time.h>

#include "base/random.h"
#include "columns/parquet/bloom.h"
#include "columns/parquet/index.h"

enum { PAGES = 40 };

static uint64_t seed_now(void) {
  uint64_t seed = (uint64_t)time(NULL);
  print_message("seed %llu\n", (unsigned long long)seed);
  return seed;
}

/* ---- the page index -------------------------------------------------------------------------- */

typedef struct sample {
  tn_parquet_page_location locations[PAGES];
  bool null_pages[PAGES];
  tn_str min[PAGES], max[PAGES];
  int64_t nulls[PAGES], nans[PAGES], sizes[PAGES], repetitions[2 * PAGES], definitions[3 * PAGES];
  char text[PAGES][8];
  tn_parquet_offset_index offsets;
  tn_parquet_column_index values;
} sample;

static void make_sample(sample *s, uint64_t seed) {
  int64_t offset = 4, row = 0;
  for (uint32_t i = 0; i < PAGES; i++) {
    int32_t bytes = (int32_t)tn_random_below(seed, i, 0, 1 << 30);
    s->locations[i] = (tn_parquet_page_location){offset, row, bytes};
    offset += bytes;
    row += (int64_t)tn_random_below(seed, i, 1, 100000);
    s->null_pages[i] = tn_random_below(seed, i, 2, 4) == 0;
    snprintf(s->text[i], sizeof s->text[i], "%c%u", 'a' + (int)tn_random_below(seed, i, 3, 26), i);
    s->min[i] = s->max[i] = s->null_pages[i] ? (tn_str){0} : tn_str_of(s->text[i]);
    s->nulls[i] = (int64_t)tn_random_below(seed, i, 4, 1000);
    s->nans[i] = (int64_t)tn_random_below(seed, i, 5, 1000);
    s->sizes[i] = (int64_t)tn_random_u64(seed, i, 6) & INT64_MAX;
    for (uint32_t k = 0; k < 3; k++) s->definitions[3 * i + k] = (int64_t)k * i;
    for (uint32_t k = 0; k < 2; k++) s->repetitions[2 * i + k] = (int64_t)k + i;
  }
  s->offsets = (tn_parquet_offset_index){s->locations, PAGES, s->sizes};
  s->values = (tn_parquet_column_index){.page_count = PAGES,
                                        .null_pages = s->null_pages,
                                        .min = s->min,
                                        .max = s->max,
                                        .order = TN_PARQUET_DESCENDING,
                                        .nulls = s->nulls,
                                        .nans = s->nans,
                                        .repetitions = s->repetitions,
                                        .definitions = s->definitions,
                                        .repetition_count = 2 * PAGES,
                                        .definition_count = 3 * PAGES};
}

static void offset_index_round_trip(void **state) {
  static sample s;
  tn_strbuf bytes = {0};
  tn_arena arena = {0};
  tn_parquet_offset_index out;
  make_sample(&s, seed_now());
  tn_parquet_offset_index_write(&s.offsets, &bytes);
  OK(tn_parquet_offset_index_parse(&out, &arena, bytes.data, bytes.length, 0, &problem));
  assert_int_equal(out.page_count, PAGES);
  for (uint32_t i = 0; i < PAGES; i++) {
    assert_true(out.pages[i].offset == s.locations[i].offset);
    assert_true(out.pages[i].first_row == s.locations[i].first_row);
    assert_int_equal(out.pages[i].bytes, s.locations[i].bytes);
  }
  assert_memory_equal(out.byte_array_bytes, s.sizes, sizeof s.sizes);
  for (size_t cut = 0; cut < bytes.length; cut++) {
    char *exact = malloc(cut + 1);
    assert_non_null(exact);
    memcpy(exact, bytes.data, cut);
    assert_int_equal(tn_parquet_offset_index_parse(&out, &arena, exact, cut, 0, NULL), TN_ERR_DATA);
    free(exact);
  }
  tn_arena_clear(&arena);
  tn_strbuf_clear(&bytes);
}

static void column_index_round_trip(void **state) {
  static sample s;
  tn_strbuf bytes = {0};
  tn_arena arena = {0};
  tn_parquet_column_index out;
  make_sample(&s, seed_now());
  tn_parquet_column_index_write(&s.values, &bytes);
  OK(tn_parquet_column_index_parse(&out, &arena, bytes.data, bytes.length, 0, &problem));
  assert_int_equal(out.page_count, PAGES);
  assert_int_equal(out.order, TN_PARQUET_DESCENDING);
  for (uint32_t i = 0; i < PAGES; i++) {
    assert_int_equal(out.null_pages[i], s.null_pages[i]);
    assert_true(tn_str_equal(out.min[i], s.min[i]) && tn_str_equal(out.max[i], s.max[i]));
  }
  assert_memory_equal(out.nulls, s.nulls, sizeof s.nulls);
  assert_memory_equal(out.nans, s.nans, sizeof s.nans);
  assert_int_equal(out.repetition_count, 2 * PAGES);
  assert_memory_equal(out.repetitions, s.repetitions, sizeof s.repetitions);
  assert_memory_equal(out.definitions, s.definitions, sizeof s.definitions);
  for (size_t cut = 0; cut < bytes.length; cut++) {
    char *exact = malloc(cut + 1);
    assert_non_null(exact);
    memcpy(exact, bytes.data, cut);
    assert_int_equal(tn_parquet_column_index_parse(&out, &arena, exact, cut, 0, NULL), TN_ERR_DATA);
    free(exact);
  }
  tn_arena_clear(&arena);
  tn_strbuf_clear(&bytes);
}

static void broken_indices(void **state) {
  static sample s;
  tn_strbuf bytes = {0};
  tn_arena arena = {0};
  tn_parquet_column_index values;
  tn_parquet_offset_index offsets;
  make_sample(&s, 1);
  s.values.definition_count = 3 * PAGES - 1;
  tn_parquet_column_index_write(&s.values, &bytes);
  assert_int_equal(
      tn_parquet_column_index_parse(&values, &arena, bytes.data, bytes.length, 0, &problem),
      TN_ERR_DATA);
  CONTAINS(problem.text, "whole number of pages");
  tn_strbuf_reset(&bytes);
  s.locations[7].first_row = s.locations[6].first_row - 1;
  tn_parquet_offset_index_write(&s.offsets, &bytes);
  assert_int_equal(
      tn_parquet_offset_index_parse(&offsets, &arena, bytes.data, bytes.length, 0, &problem),
      TN_ERR_DATA);
  CONTAINS(problem.text, "do not ascend");
  tn_arena_clear(&arena);
  tn_strbuf_clear(&bytes);
}

static tn_status parse_both(void *context, tn_error *err) {
  const tn_str *texts = context;
  tn_arena arena = {0};
  tn_parquet_column_index values;
  tn_parquet_offset_index offsets;
  tn_status status =
      tn_parquet_column_index_parse(&values, &arena, texts[0].data, texts[0].length, 0, err);
  if (status == TN_OK) {
    status =
        tn_parquet_offset_index_parse(&offsets, &arena, texts[1].data, texts[1].length, 0, err);
  }
  tn_arena_clear(&arena);
  return status;
}

static void index_without_memory(void **state) {
  static sample s;
  tn_strbuf bytes[2] = {{0}};
  make_sample(&s, 2);
  tn_parquet_column_index_write(&s.values, &bytes[0]);
  tn_parquet_offset_index_write(&s.offsets, &bytes[1]);
  tn_str texts[2] = {tn_strbuf_view(&bytes[0]), tn_strbuf_view(&bytes[1])};
  assert_true(fail_each_allocation(parse_both, texts) > 0);
  tn_strbuf_clear(&bytes[0]);
  tn_strbuf_clear(&bytes[1]);
}

static void random_bytes(void **state) {
  uint64_t seed = seed_now();
  for (uint64_t i = 0; i < 20000; i++) {
    uint8_t bytes[80];
    size_t count = tn_random_below(seed, i, 0, sizeof bytes + 1), used;
    for (size_t k = 0; k < count; k++) bytes[k] = (uint8_t)tn_random_u64(seed, i, k + 1);
    tn_arena arena = {.limit_bytes = 1 << 20};
    tn_parquet_column_index values;
    tn_parquet_offset_index offsets;
    int64_t bits;
    tn_error err = {0};
    if (tn_parquet_column_index_parse(&values, &arena, bytes, count, 0, &err) != TN_OK) {
      assert_true(err.text[0]);
    }
    if (tn_parquet_offset_index_parse(&offsets, &arena, bytes, count, 0, NULL) == TN_OK) {
      assert_true(offsets.page_count <= count);
    }
    if (tn_parquet_bloom_header_parse(bytes, count, 0, &bits, &used, NULL) == TN_OK) {
      assert_true(bits > 0 && used <= count);
    }
    tn_arena_clear(&arena);
  }
}

/* ---- Bloom filters --------------------------------------------------------------------------- */

static uint64_t hash_of(uint64_t value) {
  return tn_parquet_bloom_hash(&value, sizeof value);
}

/* The specification's own figures: 1024 blocks, 26,214 values, about 1.26 % false positives. */
static void bloom_finds_all_and_little_else(void **state) {
  tn_parquet_bloom bloom = {0};
  uint64_t seed = seed_now();
  int found = 0;
  OK(tn_parquet_bloom_init(&bloom, 1024 * 32, &problem));
  for (uint64_t i = 0; i < 26214; i++) {
    tn_parquet_bloom_insert(&bloom, hash_of(tn_random_u64(seed, 1, i)));
  }
  for (uint64_t i = 0; i < 26214; i++) {
    assert_true(tn_parquet_bloom_probe(&bloom, hash_of(tn_random_u64(seed, 1, i))));
  }
  for (uint64_t i = 0; i < 100000; i++) {
    found += tn_parquet_bloom_probe(&bloom, hash_of(tn_random_u64(seed, 2, i)));
  }
  assert_in_range(found, 1000, 1550);
  double estimate = tn_parquet_bloom_estimate(&bloom);
  assert_true(estimate > 0.010 && estimate < 0.0155);
  tn_parquet_bloom_clear(&bloom);
}

static void bloom_hashes_known_values(void **state) {
  /* XXH64's published test values. */
  assert_true(tn_parquet_bloom_hash("", 0) == 0xef46db3751d8e999u);
  assert_true(tn_parquet_bloom_hash("abc", 3) == 0x44bc2cf5ad770999u);
}

static void bloom_folds_to_what_a_small_one_is(void **state) {
  tn_parquet_bloom large = {0}, small = {0};
  uint64_t seed = seed_now();
  OK(tn_parquet_bloom_init(&large, tn_parquet_bloom_bytes(1000000, 0.01), &problem));
  for (uint64_t i = 0; i < 3000; i++) {
    tn_parquet_bloom_insert(&large, hash_of(tn_random_u64(seed, 1, i)));
  }
  tn_parquet_bloom_fold(&large, 0.01);
  int64_t bytes = large.blocks * TN_PARQUET_BLOOM_BLOCK;
  assert_in_range(bytes, 2048, 8192);
  assert_true(tn_parquet_bloom_estimate(&large) <= 0.0101);
  OK(tn_parquet_bloom_init(&small, bytes, &problem));
  for (uint64_t i = 0; i < 3000; i++) {
    tn_parquet_bloom_insert(&small, hash_of(tn_random_u64(seed, 1, i)));
  }
  assert_memory_equal(large.bits, small.bits, (size_t)bytes);
  tn_parquet_bloom_clear(&large);
  tn_parquet_bloom_clear(&small);
}

static void bloom_sizes(void **state) {
  assert_int_equal(tn_parquet_bloom_bytes(0, 0.01), 32);
  assert_int_equal(tn_parquet_bloom_bytes(1, 2), 32);
  assert_int_equal(tn_parquet_bloom_bytes(100000, 0.01), 128 << 10); /* 9.7 bits a value, up */
  assert_int_equal(tn_parquet_bloom_bytes(INT64_MAX, 0.0), TN_PARQUET_BLOOM_BYTES_MAX);
}

static void bloom_written_and_cut(void **state) {
  tn_parquet_bloom bloom = {0}, view = {0};
  tn_strbuf bytes = {0};
  OK(tn_parquet_bloom_init(&bloom, 256, &problem));
  for (uint64_t i = 0; i < 20; i++) tn_parquet_bloom_insert(&bloom, hash_of(i));
  tn_parquet_bloom_header_write(&bloom, &bytes);
  tn_strbuf_append(&bytes, bloom.bits, 256);
  OK(tn_parquet_bloom_view(&view, bytes.data, bytes.length, 0, &problem));
  assert_int_equal(view.blocks, 8);
  for (uint64_t i = 0; i < 20; i++) assert_true(tn_parquet_bloom_probe(&view, hash_of(i)));
  for (size_t cut = 0; cut < bytes.length; cut++) {
    assert_int_equal(tn_parquet_bloom_view(&view, bytes.data, cut, 0, NULL), TN_ERR_DATA);
  }
  tn_strbuf_clear(&bytes);
  tn_parquet_bloom_clear(&bloom);
  assert_int_equal(tn_parquet_bloom_init(&bloom, 33, &problem), TN_ERR_ARGUMENT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(offset_index_round_trip),
      cmocka_unit_test(column_index_round_trip),
      cmocka_unit_test(broken_indices),
      cmocka_unit_test(index_without_memory),
      cmocka_unit_test(random_bytes),
      cmocka_unit_test(bloom_finds_all_and_little_else),
      cmocka_unit_test(bloom_hashes_known_values),
      cmocka_unit_test(bloom_folds_to_what_a_small_one_is),
      cmocka_unit_test(bloom_sizes),
      cmocka_unit_test(bloom_written_and_cut),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What the compressing sink writes is read back by the decompressing source. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include "base/random.h"
#include "columns/deflate.h"

typedef struct shape {
  tn_compression compression;
  size_t bytes, step;
  int32_t level;
} shape;

static uint8_t content[700000];

static tn_status pack(const shape *s, tn_strbuf *into, tn_error *err) {
  tn_sink *memory, *sink;
  TN_TRY(tn_sink_open_memory(&memory, "packed", into, err));
  TN_TRY(tn_deflate_open(&sink, memory, s->compression, s->level, err));
  tn_status status = TN_OK;
  for (size_t at = 0; at < s->bytes && status == TN_OK; at += s->step) {
    size_t part = s->bytes - at < s->step ? s->bytes - at : s->step;
    status = tn_sink_write(sink, content + at, part, err);
  }
  if (status == TN_OK) status = tn_sink_commit(sink, err);
  if (status == TN_OK) assert_int_equal(sink->bytes_written, s->bytes);
  tn_sink_close(sink);
  return status;
}

static void reads_back(const tn_strbuf *packed, const shape *s) {
  tn_source *memory, *source;
  static uint8_t got[sizeof content + 1];
  size_t have = 0;
  OK(tn_source_open_memory(&memory, "packed", packed->data, packed->length, &problem));
  OK(tn_inflate_open(&source, memory, &problem));
  assert_int_equal(tn_inflate_compression(source), s->compression);
  for (size_t step = 1; step;) {
    OK(source->read(source, got + have, sizeof got - have, &step, &problem));
    have += step;
  }
  assert_int_equal(have, s->bytes);
  assert_memory_equal(got, content, have);
  tn_source_close(source);
}

static void test_round_trips(void **state) {
  for (size_t i = 0; i < sizeof content; i++)
    content[i] = (uint8_t)(i < 300000 ? i % 251 : tn_random_u64(7, 0, i));
  static const size_t sizes[] = {0, 1, 1000, sizeof content}, steps[] = {1000, 77, sizeof content};
  for (tn_compression c = TN_COMPRESSION_GZIP; c <= TN_COMPRESSION_ZSTD; c++)
    for (size_t i = 0; i < 4; i++)
      for (size_t j = 0; j < 3; j++) {
        tn_strbuf packed = {0};
        shape s = {c, sizes[i], steps[j], (int32_t)j};
        OK(pack(&s, &packed, &problem));
        reads_back(&packed, &s);
        tn_strbuf_clear(&packed);
      }
}

static void test_no_compression_is_the_sink_itself(void **state) {
  tn_strbuf packed = {0};
  shape s = {TN_COMPRESSION_NONE, 1000, 100, 0};
  OK(pack(&s, &packed, &problem));
  assert_int_equal(packed.length, 1000);
  tn_strbuf_clear(&packed);
}

static void test_wrong_levels(void **state) {
  tn_strbuf packed = {0};
  assert_int_equal(pack(&(shape){TN_COMPRESSION_GZIP, 1, 1, 12}, &packed, &problem),
                   TN_ERR_ARGUMENT);
  CONTAINS(problem.text, "level 12");
  assert_int_equal(pack(&(shape){TN_COMPRESSION_ZSTD, 1, 1, 99}, &packed, &problem),
                   TN_ERR_ARGUMENT);
  tn_strbuf_clear(&packed);
}

static tn_status pack_gzip(void *context, tn_error *err) {
  tn_strbuf packed = {0};
  tn_status status = pack(&(shape){TN_COMPRESSION_GZIP, 1000, 100, 0}, &packed, err);
  tn_strbuf_clear(&packed);
  return status;
}
static tn_status pack_zstd(void *context, tn_error *err) {
  tn_strbuf packed = {0};
  tn_status status = pack(&(shape){TN_COMPRESSION_ZSTD, 1000, 100, 0}, &packed, err);
  tn_strbuf_clear(&packed);
  return status;
}

static void test_out_of_memory(void **state) {
  fail_each_allocation(pack_gzip, NULL);
  fail_each_allocation(pack_zstd, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trips),
      cmocka_unit_test(test_no_compression_is_the_sink_itself),
      cmocka_unit_test(test_wrong_levels),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

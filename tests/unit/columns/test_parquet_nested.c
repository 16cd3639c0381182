/* Nested files: every shape, written in pages of odd sizes and read back in batches, ranges and
 * threads of any number; damaged ones; allocations that fail. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "any_array.h"
#include "base/thread.h"
#include "columns/equal.h"
#include "columns/gather.h"
#include "columns/parquet/parquet.h"

static const char *const shapes[] = {
    "+s{a=l;b!=u;c!=i;d=b}",
    "+s{s=+s{a=l;b!=u;c=+s{d=i;e!=+s{f!=g}}}}",
    "+s{s!=+s{a!=l;b=u}}",
    "+s{l=+l{item=i}}",
    "+s{l!=+l{item!=u};i=i}",
    "+s{l=+l{item=+l{item!=+l{item=z}}}}",
    "+s{l=+l{item=+s{a=i;b=+l{item!=+s{c=u;d!=l}}}};x=l}",
    "+s{s=+s{l=+l{item=b};m!=+l{item!=+s{n=n}}}}",
    "+s{m=+m{entries!=+s{key!=u;value=l}}}",
    "+s{m!=+m{entries!=+s{key!=i;value=+m{entries!=+s{key!=z;value!=+l{item=g}}}}}}",
    "+s{l=+L{item=U};v=+vl{item=vu};w=+vL{item=vz};f=+w:2{item=s};g!=+w:3{item!=+s{a=i}}}",
    "+s{d=i@{u};l=+l{item=i@{z}}}",
    "+s{b=b;i8=c;u8=C;i16=s;u16=S;i32=i;u32=I;i64!=l;u64=L;f16=e;f32=f;f64=g;str=u;bin=z;lstr=U;"
    "lbin=Z;vstr=vu;vbin=vz;fix=w:3;d32=d:7,2,32;d64=d:17,3,64;d128=d:30,5;d256=d:70,10,256;"
    "date32=tdD;tm=ttm;tu=ttu;tn=ttn;sm=tsm:UTC;su=tsu:+02:30;sn=tsn:Europe/Berlin;su_=tsu:;n=n;"
    "Ds=tDs;Dm=tDm;Du=tDu;Dn=tDn}",

};
enum { SHAPES = sizeof shapes / sizeof *shapes };

typedef struct nested_file {
  any_array type;
  ArrowArray batch;
  tn_strbuf bytes;
} nested_file;

static uint64_t seed_now(void) {
  uint64_t seed = (uint64_t)time(NULL);
  print_message("seed %llu\n", (unsigned long long)seed);
  return seed;
}

static tn_status write_file(const nested_file *f, const tn_parquet_write_options *options,
                            tn_strbuf *out, tn_error *err) {
  tn_sink *sink;
  tn_parquet_writer *w = NULL;
  TN_TRY(tn_sink_open_memory(&sink, "memory", out, err));
  tn_status status = tn_parquet_writer_new(&w, sink, &f->type.schema, options, err);
  if (status == TN_OK) status = tn_parquet_writer_batch(w, &f->batch, err);
  if (status == TN_OK) status = tn_parquet_writer_finish(w, err);
  tn_parquet_writer_free(w);
  tn_sink_close(sink);
  return status;
}

static void open_file(nested_file *f, const char *shape, any_random *r, int64_t rows,
                      const tn_parquet_write_options *options) {
  memset(f, 0, sizeof *f);
  any_open(&f->type, shape);
  OK(any_make(&f->batch, f->type.field, r, rows, &problem));
  OK(write_file(f, options, &f->bytes, &problem));
}

static void close_file(nested_file *f) {
  tn_array_clear(&f->batch);
  any_close(&f->type);
  tn_strbuf_clear(&f->bytes);
}

static tn_status open_scan(const tn_strbuf *bytes, const tn_parquet_read_options *o,
                           ArrowArrayStream *out, tn_error *err) {
  tn_source *source;
  TN_TRY(tn_source_open_memory(&source, "memory", bytes->data, bytes->length, err));
  return tn_parquet_read(out, source, o, err);
}

enum { BATCHES_MAX = 4096 };

/* Everything a scan gives, as one array; its own type in *type. */
static tn_status read_whole(const tn_strbuf *bytes, const tn_parquet_read_options *o,
                            any_array *type, ArrowArray *out, tn_error *err) {
  static ArrowArray batches[BATCHES_MAX];
  static const ArrowArray *pointers[BATCHES_MAX];
  ArrowArrayStream stream = {0};
  int64_t count = 0;
  memset(type, 0, sizeof *type);
  memset(out, 0, sizeof *out);
  TN_TRY(open_scan(bytes, o, &stream, err));
  tn_status status = tn_stream_schema(&stream, &type->schema, err);
  if (status == TN_OK) status = tn_field_tree(&type->field, &type->arena, &type->schema, err);
  while (status == TN_OK && count < BATCHES_MAX) {
    memset(&batches[count], 0, sizeof *batches);
    status = tn_stream_next(&stream, &batches[count], err);
    if (status == TN_OK && o && o->batch_rows) assert_true(batches[count].length <= o->batch_rows);
    pointers[count] = &batches[count];
    count += status == TN_OK;
  }
  if (status == TN_END) status = tn_array_concat(out, type->field, pointers, count, err);
  for (int64_t i = 0; i < count; i++) tn_array_clear(&batches[i]);
  tn_stream_clear(&stream);
  if (status != TN_OK) any_close(type);
  return status;
}

/* The rows of the ranges, taken from what was written. */
static void expected_rows(const nested_file *f, const tn_parquet_read_options *o, ArrowArray *out) {
  int64_t count = 0, at = 0;
  for (int64_t i = 0; i < o->range_count; i++) count += o->ranges[i].rows;
  int64_t *rows = malloc(((size_t)count + 1) * sizeof *rows);
  assert_non_null(rows);
  for (int64_t i = 0; i < o->range_count; i++) {
    for (int64_t k = 0; k < o->ranges[i].rows; k++) rows[at++] = o->ranges[i].first_row + k;
  }
  OK(tn_array_gather(out, f->type.field, &f->batch, rows, count, &problem));
  free(rows);
}

static void check_read(const nested_file *f, const tn_parquet_read_options *o, const char *shape) {
  any_array type;
  ArrowArray got, want = {0};
  tn_error err = {0};
  tn_status status = read_whole(&f->bytes, o, &type, &got, &err);
  if (status != TN_OK) fail_msg("%s: %s", shape, err.text);
  if (o->ranges) expected_rows(f, o, &want);
  const ArrowArray *expected = o->ranges ? &want : &f->batch;
  assert_int_equal(got.length, expected->length);
  for (int64_t i = 0; i < expected->n_children; i++) {
    const tn_field *a = &f->type.field->children[i], *b = &type.field->children[i];
    if (tn_array_equal(a, expected->children[i], b, got.children[i])) continue;
    fail_msg("%s: column %s differs", shape, a->name);
  }
  tn_array_clear(&got);
  tn_array_clear(&want);
  any_close(&type);
}

/* Sorted and apart, of any size, possibly none. */
static int64_t random_ranges(any_random *r, int64_t rows, tn_row_range *out, int64_t most) {
  int64_t at = 0, count = 0;
  while (count < most && at < rows) {
    int64_t first = any_in(r, at, rows), n = any_in(r, 0, (rows - first) / 2 + 1);
    if (n > rows - first) n = rows - first;
    out[count++] = (tn_row_range){first, n};
    at = first + n;
  }
  return count;
}

static void random_options(any_random *r, tn_parquet_write_options *o) {
  static const tn_parquet_codec codecs[] = {TN_PARQUET_UNCOMPRESSED, TN_PARQUET_SNAPPY,
                                            TN_PARQUET_ZSTD, TN_PARQUET_LZ4_RAW};
  *o = (tn_parquet_write_options){.codec = codecs[any_below(r, 4)]};
  o->row_group_rows = any_in(r, 1, 900);
  if (any_below(r, 2)) o->page_rows = any_in(r, 1, 100);
  if (any_below(r, 2)) o->page_bytes = any_in(r, 1, 1000);
  o->data_page_version = (int32_t)any_in(r, 1, 2);
  o->no_dictionary = any_below(r, 3) == 0;
  o->dictionary_bytes = any_below(r, 2) ? 64 : 0;
  o->no_page_index = any_below(r, 2);
}

static void every_shape_comes_back(void **state) {
  uint64_t seed = seed_now();
  tn_pool *pool;
  OK(tn_pool_new(&pool, 3, &problem));
  for (uint64_t i = 0; i < 12 * SHAPES; i++) {
    nested_file f;
    tn_parquet_write_options o;
    tn_row_range ranges[8];
    any_random r = {.seed = seed + i, .null_percent = (int32_t)(i % 3 * 25), .list_max = 4};
    int64_t rows = any_in(&r, 0, 1500);
    random_options(&r, &o);
    open_file(&f, shapes[i % SHAPES], &r, rows, &o);
    tn_parquet_read_options read = {.batch_rows = any_in(&r, 1 + rows / 1000, 700)};
    check_read(&f, &read, shapes[i % SHAPES]);
    read.pool = pool;
    check_read(&f, &read, shapes[i % SHAPES]);
    read.ranges = ranges;
    for (int k = 0; k < 3; k++) {
      read.range_count = random_ranges(&r, rows, ranges, 8);
      check_read(&f, &read, shapes[i % SHAPES]);
      read.pool = NULL;
    }
    close_file(&f);
  }
  tn_pool_free(pool);
}

/* One row at a time, of all. */
static void every_row_alone(void **state) {
  for (uint64_t i = 0; i < SHAPES; i++) {
    nested_file f;
    any_random r = {.seed = i, .null_percent = 20, .list_max = 3};
    tn_parquet_write_options o = {.codec = TN_PARQUET_ZSTD, .page_rows = 7, .row_group_rows = 50};
    o.no_page_index = i % 2;
    o.data_page_version = 1 + (int32_t)(i / 2 % 2);
    open_file(&f, shapes[i], &r, 120, &o);
    for (int64_t row = 0; row < 120; row++) {
      tn_row_range range = {row, 1};
      tn_parquet_read_options read = {.ranges = &range, .range_count = 1};
      check_read(&f, &read, shapes[i]);
    }
    close_file(&f);
  }
}

/* With the offset index only the page of the row is read. */
static void a_row_costs_its_page(void **state) {
  nested_file f;
  any_random r = {.seed = 5, .null_percent = 0, .list_max = 3};
  tn_parquet_write_options o = {.page_rows = 10, .row_group_rows = 10000, .no_dictionary = true};
  tn_row_range range = {7777, 1};
  tn_parquet_read_options read = {.ranges = &range, .range_count = 1};
  tn_source *source;
  tn_parquet_file *file;
  ArrowArrayStream stream;
  ArrowArray batch;
  open_file(&f, "+s{a=l;l=+l{item=l}}", &r, 20000, &o);
  OK(tn_source_open_memory(&source, "memory", f.bytes.data, f.bytes.length, &problem));
  OK(tn_parquet_open(&file, source, &problem));
  OK(tn_parquet_scan(file, &read, &stream, &problem));
  OK(tn_stream_next(&stream, &batch, &problem));
  assert_int_equal(batch.length, 1);
  tn_array_clear(&batch);
  assert_int_equal(tn_stream_next(&stream, &batch, &problem), TN_END);
  tn_stream_clear(&stream);
  tn_parquet_close(file);
  close_file(&f);
}

/* Bytes that reading one row takes; the row must be `want`'s. */
static int64_t bytes_of_row(tn_parquet_file *file, int64_t row, const ArrowArray *want) {
  tn_row_range range = {row, 1};
  tn_parquet_read_options read = {.ranges = &range, .range_count = 1};
  int64_t before = tn_parquet_bytes_read(file);
  ArrowArrayStream stream;
  ArrowArray batch;
  OK(tn_parquet_scan(file, &read, &stream, &problem));
  OK(tn_stream_next(&stream, &batch, &problem));
  assert_int_equal(batch.length, 1);
  const ArrowArray *got = batch.children[0];
  assert_int_equal(((const int64_t *)got->buffers[1])[got->offset],
                   ((const int64_t *)want->children[0]->buffers[1])[row]);
  tn_array_clear(&batch);
  tn_stream_clear(&stream);
  return tn_parquet_bytes_read(file) - before;
}

static void an_index_is_read_once(void **state) {
  nested_file f;
  any_random r = {.seed = 5, .null_percent = 0, .list_max = 3};
  tn_parquet_write_options o = {.page_rows = 10, .row_group_rows = 1000, .no_dictionary = true};
  tn_source *source;
  tn_parquet_file *file;
  open_file(&f, "+s{a=l;b=l}", &r, 3000, &o);
  OK(tn_source_open_memory(&source, "memory", f.bytes.data, f.bytes.length, &problem));
  OK(tn_parquet_open(&file, source, &problem));
  int64_t first = bytes_of_row(file, 1234, &f.batch), second = bytes_of_row(file, 1234, &f.batch);
  assert_true(second < first / 4);
  assert_true(bytes_of_row(file, 1777, &f.batch) < first / 4); /* the same row group */
  assert_true(bytes_of_row(file, 5, &f.batch) > second * 2);   /* another one */
  assert_int_equal(bytes_of_row(file, 1234, &f.batch), second);
  tn_parquet_close(file);
  close_file(&f);
}

static void bad_ranges(void **state) {
  nested_file f;
  any_random r = {.seed = 5, .null_percent = 0, .list_max = 3};
  tn_parquet_write_options o = {0};
  const tn_row_range bad[][2] = {{{0, 101}, {100, 0}}, {{50, 1}, {20, 1}}, {{-1, 1}, {5, 1}},
                                 {{0, -1}, {5, 1}},    {{5, 10}, {14, 1}}, {{101, 0}, {102, 0}}};
  open_file(&f, "+s{a=l}", &r, 100, &o);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    ArrowArrayStream stream;
    tn_parquet_read_options read = {.ranges = bad[i], .range_count = 2};
    assert_int_equal(open_scan(&f.bytes, &read, &stream, &problem), TN_ERR_ARGUMENT);
    CONTAINS(problem.text, "100 rows");
  }
  close_file(&f);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void every_flipped_byte_is_survived(void **state) {
  const char *const some[] = {shapes[1], shapes[6], shapes[9], shapes[10], shapes[11]};
  for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
    nested_file f;
    any_random r = {.seed = 77 + i, .null_percent = 20, .list_max = 3};
    tn_parquet_write_options o = {.page_rows = 5, .data_page_version = 1 + (int32_t)(i % 2)};
    open_file(&f, some[i], &r, 12, &o);
    int64_t live = tn_alloc_live();
    for (size_t at = 0; at < f.bytes.length; at++) {
      any_array type;
      ArrowArray got;
      tn_parquet_read_options read = {.skip_crc = true, .page_bytes_max = 1 << 20};
      f.bytes.data[at] ^= (char)(1 << at % 8);
      if (read_whole(&f.bytes, &read, &type, &got, NULL) == TN_OK) {
        tn_array_clear(&got);
        any_close(&type);
      }
      f.bytes.data[at] ^= (char)(1 << at % 8);
      assert_int_equal(tn_alloc_live(), live);
    }
    close_file(&f);
  }
}

static tn_status read_for_allocations(void *context, tn_error *err) {
  const nested_file *f = context;
  any_array type;
  ArrowArray got;
  tn_row_range range = {3, 4};
  tn_parquet_read_options read = {.ranges = &range, .range_count = 1, .batch_rows = 3};
  TN_TRY(read_whole(&f->bytes, &read, &type, &got, err));
  tn_array_clear(&got);
  any_close(&type);
  return TN_OK;
}

static void every_allocation_may_fail(void **state) {
  const char *const some[] = {shapes[6], shapes[8], shapes[10], shapes[11]};
  for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
    nested_file f;
    any_random r = {.seed = 9, .null_percent = 20, .list_max = 3};
    tn_parquet_write_options o = {.codec = TN_PARQUET_ZSTD, .page_rows = 5};
    open_file(&f, some[i], &r, 12, &o);
    assert_true(fail_each_allocation(read_for_allocations, &f) > 30);
    close_file(&f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_shape_comes_back),
      cmocka_unit_test(every_row_alone),
      cmocka_unit_test(a_row_costs_its_page),
      cmocka_unit_test(an_index_is_read_once),
      cmocka_unit_test(bad_ranges),
      cmocka_unit_test(every_flipped_byte_is_survived),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

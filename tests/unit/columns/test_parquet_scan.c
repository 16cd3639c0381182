/* Scans in rounds: text that batches borrow from pages, rounds ahead on other threads, and scans
 * that are left, or fail, while a round is ahead. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "test_parquet_table.h"

#include "base/thread.h"

enum { BATCHES_MAX = 4096, THREADS_MAX = 4 };

typedef struct written {
  test_table table;
  tn_strbuf bytes;
} written;

/* Texts as DELTA_LENGTH_BYTE_ARRAY, several rounds of them. */
static void write_file(written *w, int64_t page_bytes, int64_t group_rows, int32_t version) {
  tn_error err = {0};
  *w = (written){0};
  table_make(&w->table, &(table_shape){31, 5, 4000, 0, 1, 10, 400});
  const tn_parquet_column_options texts[] = {{"u 0", TN_PARQUET_ENCODE_DELTA_LENGTH},
                                             {"u 1", TN_PARQUET_ENCODE_DELTA_LENGTH},
                                             {"z 0", TN_PARQUET_ENCODE_DELTA_LENGTH}};
  tn_parquet_write_options o = {.codec = TN_PARQUET_ZSTD,
                                .columns = texts,
                                .column_count = 3,
                                .page_bytes = page_bytes,
                                .row_group_rows = group_rows,
                                .data_page_version = version};
  CHECK_OK(table_write(&w->table, &o, &w->bytes, &err), &err);
}

static void clear_file(written *w) {
  table_clear(&w->table);
  tn_strbuf_clear(&w->bytes);
}

static void open_scan(const written *w, tn_pool *pool, ArrowArrayStream *out) {
  tn_error err = {0};
  tn_parquet_read_options options = {.pool = pool};
  CHECK_OK(open_memory(&w->bytes, &options, out, &err), &err);
}

/* Everything, kept until the scan is gone; then checked and given back, the last one first. */
static void check_kept_batches(const written *w, tn_pool *pool, int64_t *lengths) {
  static ArrowArray batches[BATCHES_MAX];
  tn_error err = {0};
  ArrowArrayStream stream = {0};
  int64_t count = 0, rows = w->table.rows, live = tn_alloc_live();
  open_scan(w, pool, &stream);
  for (;;) {
    assert_true(count < BATCHES_MAX);
    memset(&batches[count], 0, sizeof batches[count]);
    tn_status status = tn_stream_next(&stream, &batches[count], &err);
    if (status == TN_END) break;
    CHECK_OK(status, &err);
    lengths[count] = batches[count].length;
    count++;
  }
  lengths[count] = 0;
  tn_stream_clear(&stream);
  while (count-- > 0) {
    rows -= batches[count].length;
    table_check_batch(&w->table, &batches[count], rows);
    tn_array_clear(&batches[count]);
  }
  assert_int_equal(rows, 0);
  assert_int_equal(tn_alloc_live(), live);
}

static void batches_are_the_same_and_outlive_the_scan(void **state) {
  static const struct {
    int64_t page_bytes, group_rows;
    int32_t version;
  } cases[] = {{1 << 20, 9000, 1}, {200000, 20000, 2}, {30000, 3000, 1}, {8 << 20, 20000, 1}};
  static int64_t alone[BATCHES_MAX], together[BATCHES_MAX];
  tn_error err = {0};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    written w;
    write_file(&w, cases[i].page_bytes, cases[i].group_rows, cases[i].version);
    check_kept_batches(&w, NULL, alone);
    for (int32_t threads = 2; threads <= THREADS_MAX; threads++) {
      tn_pool *pool;
      CHECK_OK(tn_pool_new(&pool, threads, &err), &err);
      check_kept_batches(&w, pool, together);
      for (int64_t k = 0; k == 0 || alone[k - 1]; k++) assert_int_equal(alone[k], together[k]);
      tn_pool_free(pool);
    }
    clear_file(&w);
  }
}

/* A page of text whose batch is all of it is not copied. */
static void text_is_borrowed(void **state) {
  tn_error err = {0};
  written w;
  write_file(&w, 1 << 20, 20000, 1);
  ArrowArrayStream stream = {0};
  ArrowArray batch = {0};
  open_scan(&w, NULL, &stream);
  int64_t borrowed = 0, batches = 0;
  for (;; batches++) {
    tn_status status = tn_stream_next(&stream, &batch, &err);
    if (status == TN_END) break;
    CHECK_OK(status, &err);
    bool inside = false; /* own memory is aligned, bytes of a page lie behind levels and lengths */
    for (int64_t c = 0; c < w.table.columns; c++) {
      bool text = w.table.types[c] == TABLE_STRING || w.table.types[c] == TABLE_BINARY;
      inside |= text && ((uintptr_t)batch.children[c]->buffers[2] & 15) != 0;
    }
    borrowed += inside;
    tn_array_clear(&batch);
    memset(&batch, 0, sizeof batch);
  }
  assert_true(batches > 2);
  assert_true(borrowed > batches / 2);
  tn_stream_clear(&stream);
  clear_file(&w);
}

static void a_scan_may_be_left_at_any_batch(void **state) {
  tn_error err = {0};
  written w;
  tn_pool *pool;
  write_file(&w, 100000, 4000, 1);
  CHECK_OK(tn_pool_new(&pool, 3, &err), &err);
  int64_t live = tn_alloc_live();
  bool end = false;
  for (int64_t count = 0; !end; count += 1 + count / 8) {
    ArrowArrayStream stream = {0};
    open_scan(&w, pool, &stream);
    for (int64_t k = 0; k < count && !end; k++) {
      ArrowArray batch = {0};
      tn_status status = tn_stream_next(&stream, &batch, &err);
      end = status == TN_END;
      if (!end) CHECK_OK(status, &err);
      tn_array_clear(&batch);
    }
    tn_stream_clear(&stream);
    assert_int_equal(tn_alloc_live(), live);
  }
  tn_pool_free(pool);
  clear_file(&w);
}

/* Rows of two scans in turn, and other work, on one pool. */
static void count_item(void *context, int64_t item, int32_t worker) {
  __atomic_fetch_add((int64_t *)context, item, __ATOMIC_RELAXED);
}

static void scans_and_others_share_a_pool(void **state) {
  tn_error err = {0};
  written w;
  tn_pool *pool;
  ArrowArrayStream streams[2] = {0};
  int64_t rows[2] = {0};
  bool end[2] = {0};
  write_file(&w, 100000, 4000, 2);
  CHECK_OK(tn_pool_new(&pool, 3, &err), &err);
  for (int s = 0; s < 2; s++) open_scan(&w, pool, &streams[s]);
  for (int64_t turn = 0; !end[0] || !end[1]; turn++) {
    int s = turn % 3 == 0;
    ArrowArray batch = {0};
    tn_status status = tn_stream_next(&streams[s], &batch, &err);
    end[s] = status == TN_END;
    if (!end[s]) {
      CHECK_OK(status, &err);
      table_check_batch(&w.table, &batch, rows[s]);
      rows[s] += batch.length;
    }
    tn_array_clear(&batch);
    int64_t sum = 0;
    tn_pool_run(pool, 100, count_item, &sum);
    assert_int_equal(sum, 4950);
  }
  for (int s = 0; s < 2; s++) {
    assert_int_equal(rows[s], w.table.rows);
    tn_stream_clear(&streams[s]);
  }
  tn_pool_free(pool);
  clear_file(&w);
}

/* What is wrong with a round ahead is said when its batch is due, and again when asked again. */
static void damage_comes_after_the_good_rows(void **state) {
  tn_error err = {0};
  written w;
  tn_pool *pool;
  write_file(&w, 100000, 4000, 1);
  CHECK_OK(tn_pool_new(&pool, 3, &err), &err);
  int64_t live = tn_alloc_live(), late = 0;
  for (int part = 1; part < 10; part++) {
    tn_error alone = {0}, together = {0};
    int64_t want = 0, got = 0;
    size_t at = w.bytes.length / 10 * (size_t)part;
    w.bytes.data[at] ^= 0x11;
    tn_status status = read_all_on(&w.bytes, NULL, &want, &alone);
    assert_int_equal(read_all_on(&w.bytes, pool, &got, &together), status);
    assert_string_equal(together.text, alone.text);
    assert_int_equal(got, want);
    late += status != TN_OK && want > 0;
    w.bytes.data[at] ^= 0x11;
    assert_int_equal(tn_alloc_live(), live);
  }
  assert_true(late > 4);
  tn_pool_free(pool);
  clear_file(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(batches_are_the_same_and_outlive_the_scan),
      cmocka_unit_test(text_is_borrowed),
      cmocka_unit_test(a_scan_may_be_left_at_any_batch),
      cmocka_unit_test(scans_and_others_share_a_pool),
      cmocka_unit_test(damage_comes_after_the_good_rows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

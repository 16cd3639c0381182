/* SPDX-License-Identifier: Apache-2.0 */
#include "base_test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/mapped.h"
#include "base/thread.h"

static int released;
static void count_release(tn_buffer *self) {
  released++;
  assert_int_equal(*(int *)self->owner, 42);
}

static void new_is_zeroed_and_aligned(void **state) {
  tn_buffer *buffer;
  assert_ok(tn_buffer_new(&buffer, 1000, NULL));
  assert_int_equal((uintptr_t)buffer->data % 64, 0);
  assert_int_equal(buffer->bytes, 1000);
  for (int i = 0; i < 1000; i++) assert_int_equal(((char *)buffer->data)[i], 0);
  tn_buffer_drop(buffer);
  assert_ok(tn_buffer_new(&buffer, 0, NULL));
  tn_buffer_drop(buffer);
  tn_buffer_drop(NULL);
}

static void last_drop_releases_once(void **state) {
  int owner = 42;
  char bytes[3] = "ab";
  tn_buffer *buffer;
  released = 0;
  assert_ok(tn_buffer_wrap(&buffer, bytes, 2, NULL, count_release, &owner, NULL));
  assert_ptr_equal(buffer->data, bytes);
  assert_ptr_equal(tn_buffer_share(buffer), buffer);
  tn_buffer_drop(buffer);
  assert_int_equal(released, 0);
  tn_buffer_drop(buffer);
  assert_int_equal(released, 1);
}

static void share_and_drop(void *context, int64_t item, int32_t worker) {
  for (int i = 0; i < 200; i++) tn_buffer_drop(tn_buffer_share(context));
}

static void counting_is_atomic(void **state) {
  int owner = 42;
  tn_buffer *buffer;
  tn_pool *pool;
  released = 0;
  assert_ok(tn_buffer_wrap(&buffer, NULL, 0, NULL, count_release, &owner, NULL));
  assert_ok(tn_pool_new(&pool, 4, NULL));
  tn_pool_run(pool, 100, share_and_drop, buffer);
  tn_pool_free(pool);
  assert_int_equal(released, 0);
  tn_buffer_drop(buffer);
  assert_int_equal(released, 1);
}

static void map_shows_the_file(void **state) {
  char path[] = "/tmp/tn-test-buffer-XXXXXX";
  int fd = mkstemp(path);
  tn_buffer *buffer;
  assert_ok(tn_buffer_map(&buffer, path, NULL));
  assert_int_equal(buffer->bytes, 0);
  tn_buffer_drop(buffer);
  assert_int_equal(write(fd, "tenon", 5), 5);
  close(fd);
  assert_ok(tn_buffer_map(&buffer, path, NULL));
  unlink(path); /* the mapping outlives the name */
  assert_int_equal(buffer->bytes, 5);
  assert_memory_equal(buffer->data, "tenon", 5);
  tn_buffer_drop(buffer);
  tn_error err;
  assert_int_equal(tn_buffer_map(&buffer, path, &err), TN_ERR_NOT_FOUND);
  assert_holds(err.text, path);
  assert_int_equal(tn_buffer_map(&buffer, "/tmp", &err), TN_ERR_UNSUPPORTED);
}

static tn_status make_and_drop(void *context, tn_error *err) {
  tn_buffer *buffer;
  TN_TRY(tn_buffer_new(&buffer, 100, err));
  tn_buffer_drop(buffer);
  TN_TRY(tn_buffer_map(&buffer, "/etc/passwd", err));
  tn_buffer_drop(buffer);
  return TN_OK;
}

static void allocation_failures(void **state) {
  assert_int_equal(fail_each_allocation(make_and_drop, NULL), 3);
}

static void a_fifo_is_refused_at_once(void **state) {
  char folder[] = "/tmp/tn-test-fifo-XXXXXX", path[64];
  tn_buffer *buffer;
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/fifo", folder);
  assert_int_equal(mkfifo(path, 0600), 0);
  assert_int_equal(tn_buffer_map(&buffer, path, NULL), TN_ERR_UNSUPPORTED);
  unlink(path);
  rmdir(folder);
}

static void mapped_files_are_known_by_name(void **state) {
  char path[] = "/tmp/tn-test-map-XXXXXX";
  tn_buffer *buffer;
  int fd = mkstemp(path);
  assert_int_equal(write(fd, "0123456789", 10), 10);
  close(fd);
  assert_ok(tn_buffer_map(&buffer, path, NULL));
  const char *bytes = buffer->data;
  assert_string_equal(tn_mapped_path(bytes), path);
  assert_string_equal(tn_mapped_path(bytes + 9), path);
  assert_null(tn_mapped_path(bytes + 10));
  assert_null(tn_mapped_path(path));
  tn_buffer_drop(buffer);
  assert_null(tn_mapped_path(bytes));
  unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(new_is_zeroed_and_aligned),
      cmocka_unit_test(last_drop_releases_once),
      cmocka_unit_test(counting_is_atomic),
      cmocka_unit_test(map_shows_the_file),
      cmocka_unit_test(allocation_failures),
      cmocka_unit_test(a_fifo_is_refused_at_once),
      cmocka_unit_test(mapped_files_are_known_by_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/thread.h"

static char folder[64];

static int make_folder(void **state) {
  snprintf(folder, sizeof folder, "/tmp/tn-test-io-XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
  return tn_dir_remove(folder, NULL) == TN_OK ? 0 : -1;
}

static const char *in_folder(const char *name) {
  static char paths[4][256];
  static int turn;
  char *path = paths[turn++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

static int files_in(const char *path) {
  DIR *dir = opendir(path);
  assert_non_null(dir);
  int count = 0;
  for (struct dirent *e; (e = readdir(dir));)
    count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
  closedir(dir);
  return count;
}

static void assert_content(const char *path, const char *want) {
  tn_strbuf text = {0};
  tn_error err = {0};
  if (tn_file_read(path, 0, &text, &err) != TN_OK) fail_msg("%s", err.text);
  assert_string_equal(text.data ? text.data : "", want);
  tn_strbuf_clear(&text);
}

/* ---- sources ---- */

static void check_ranges(tn_source *source, const char *bytes, size_t count) {
  tn_error err = {0};
  char dst[64];
  assert_int_equal(source->size_bytes, count);
  assert_ok(source->read_at(source, 2, dst, 3, &err));
  assert_memory_equal(dst, bytes + 2, 3);
  assert_ok(source->read_at(source, (int64_t)count, dst, 0, &err));
  assert_int_equal(source->read_at(source, 1, dst, count, &err), TN_ERR_DATA);
  assert_holds(err.text, source->name);
  assert_holds(err.text, "at byte 1");
  assert_int_equal(source->read_at(source, -1, dst, 1, &err), TN_ERR_DATA);
  assert_int_equal(source->read_at(source, INT64_MAX, dst, SIZE_MAX, &err), TN_ERR_DATA);
  tn_buffer *buffer;
  const uint8_t *data;
  assert_ok(source->view_at(source, 4, 5, &buffer, &data, &err));
  assert_memory_equal(data, bytes + 4, 5);
  assert_int_equal(source->view_at(source, 4, count, &buffer, &data, &err), TN_ERR_DATA);
  tn_source_close(source); /* a view outlives its source */
  assert_memory_equal(data, bytes + 4, 5);
  tn_buffer_drop(buffer);
}

static void ranged_reads_and_views(void **state) {
  const char bytes[] = "the quick brown fox";
  size_t count = sizeof bytes - 1;
  tn_source *source;
  assert_ok(tn_file_write_atomic(in_folder("fox"), TN_STR("the quick brown fox"), NULL));
  assert_ok(tn_source_open_file(&source, in_folder("fox"), NULL));
  check_ranges(source, bytes, count);
  assert_ok(tn_source_open_memory(&source, "a fox", bytes, count, NULL));
  check_ranges(source, bytes, count);
}

static void sequential_reads(void **state) {
  const char bytes[] = "0123456789";
  for (int kind = 0; kind < 2; kind++) {
    tn_source *source;
    assert_ok(tn_file_write_atomic(in_folder("digits"), TN_STR("0123456789"), NULL));
    if (kind == 0)
      assert_ok(tn_source_open_file(&source, in_folder("digits"), NULL));
    else
      assert_ok(tn_source_open_memory(&source, "digits", bytes, 10, NULL));
    char all[16] = "", dst[4];
    size_t got = 1, total = 0;
    while (got) {
      assert_ok(source->read(source, dst, 4, &got, NULL));
      memcpy(all + total, dst, got);
      total += got;
    }
    assert_string_equal(all, bytes);
    assert_int_equal(source->bytes_read, 10);
    assert_ok(source->read_at(source, 0, dst, 2, NULL));
    assert_int_equal(source->bytes_read, 12);
    tn_source_close(source);
  }
  tn_source_close(NULL);
}

static void empty_sources(void **state) {
  tn_source *source;
  tn_buffer *buffer;
  const uint8_t *data;
  size_t got = 9;
  char byte;
  assert_ok(tn_file_write_atomic(in_folder("empty"), (tn_str){0}, NULL));
  for (int kind = 0; kind < 2; kind++) {
    if (kind == 0)
      assert_ok(tn_source_open_file(&source, in_folder("empty"), NULL));
    else
      assert_ok(tn_source_open_memory(&source, "nothing", NULL, 0, NULL));
    assert_int_equal(source->size_bytes, 0);
    assert_ok(source->read(source, &byte, 1, &got, NULL));
    assert_int_equal(got, 0);
    assert_ok(source->read_at(source, 0, &byte, 0, NULL));
    assert_int_equal(source->read_at(source, 0, &byte, 1, NULL), TN_ERR_DATA);
    assert_ok(source->view_at(source, 0, 0, &buffer, &data, NULL));
    tn_buffer_drop(buffer);
    tn_source_close(source);
  }
}

static void a_pipe_is_read_in_order(void **state) {
  tn_error err = {0};
  assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
  pid_t child = fork();
  if (child == 0) {
    int fd = -1;
    FILE *out = fopen(in_folder("pipe"), "w");
    if (out) fd = fputs("through the pipe", out) < 0 || fclose(out) != 0;
    _exit(fd);
  }
  tn_source *source;
  assert_ok(tn_source_open_file(&source, in_folder("pipe"), &err));
  assert_int_equal(source->size_bytes, -1);
  char dst[64] = "";
  size_t got = 1, total = 0;
  assert_int_equal(source->read_at(source, 0, dst, 1, &err), TN_ERR_UNSUPPORTED);
  while (got) {
    assert_ok(source->read(source, dst + total, sizeof dst - total, &got, &err));
    total += got;
  }
  assert_string_equal(dst, "through the pipe");
  tn_source_close(source);
  int status;
  waitpid(child, &status, 0);
  assert_int_equal(status, 0);
}

static void standard_input_and_output(void **state) {
  int in[2], out[2];
  assert_int_equal(pipe(in) | pipe(out), 0);
  pid_t child = fork();
  if (child == 0) { /* copies standard input to standard output */
    dup2(in[0], 0);
    dup2(out[1], 1);
    close(in[1]);
    tn_source *source;
    tn_sink *sink;
    char dst[16];
    size_t got = 0;
    if (tn_source_open_file(&source, "-", NULL) || tn_sink_open_file(&sink, "-", NULL)) _exit(1);
    while (source->read(source, dst, sizeof dst, &got, NULL) == TN_OK && got)
      if (tn_sink_write(sink, dst, got, NULL)) _exit(2);
    int rc = (int)tn_sink_commit(sink, NULL);
    tn_sink_close(sink);
    tn_source_close(source);
    _exit(rc);
  }
  close(in[0]);
  close(out[1]);
  assert_int_equal(write(in[1], "a longer text than one step", 27), 27);
  close(in[1]);
  char text[64] = "";
  assert_int_equal(read(out[0], text, sizeof text), 27);
  assert_string_equal(text, "a longer text than one step");
  close(out[0]);
  int status;
  waitpid(child, &status, 0);
  assert_int_equal(status, 0);
}

static void open_errors_name_the_file(void **state) {
  tn_source *source;
  tn_error err = {0};
  assert_int_equal(tn_source_open_file(&source, in_folder("absent"), &err), TN_ERR_NOT_FOUND);
  assert_holds(err.text, "/absent: cannot open");
  assert_int_equal(tn_source_open_file(&source, folder, &err), TN_ERR_IO);
  assert_holds(err.text, "Is a directory");
}

static void a_file_cut_while_open(void **state) {
  tn_source *source;
  tn_error err = {0};
  char dst[100];
  assert_ok(tn_file_write_atomic(in_folder("cut"), TN_STR("0123456789"), NULL));
  assert_ok(tn_source_open_file(&source, in_folder("cut"), NULL));
  assert_int_equal(truncate(in_folder("cut"), 4), 0);
  assert_int_equal(source->read_at(source, 0, dst, 10, &err), TN_ERR_IO);
  assert_holds(err.text, "was cut to 4 bytes");
  tn_source_close(source);
}

typedef struct shared_read {
  tn_source *source;
  int64_t wrong;
} shared_read;

static void read_some(void *context, int64_t item, int32_t worker) {
  shared_read *s = context;
  uint32_t value = 0;
  tn_status status = s->source->read_at(s->source, item * 4, &value, 4, NULL);
  if (status != TN_OK || value != (uint32_t)item)
    __atomic_fetch_add(&s->wrong, 1, __ATOMIC_RELAXED);
}

static void any_thread_may_read(void **state) {
  uint32_t numbers[2000];
  for (uint32_t i = 0; i < 2000; i++) numbers[i] = i;
  tn_str bytes = {(const char *)numbers, sizeof numbers};
  assert_ok(tn_file_write_atomic(in_folder("numbers"), bytes, NULL));
  shared_read s = {0};
  tn_pool *pool;
  assert_ok(tn_source_open_file(&s.source, in_folder("numbers"), NULL));
  assert_ok(tn_pool_new(&pool, 4, NULL));
  tn_pool_run(pool, 2000, read_some, &s);
  tn_pool_free(pool);
  assert_int_equal(s.wrong, 0);
  assert_int_equal(s.source->bytes_read, sizeof numbers);
  tn_source_close(s.source);
}

/* ---- sinks ---- */

static void nothing_is_seen_before_commit(void **state) {
  tn_sink *sink;
  const char *path = in_folder("out");
  int before = files_in(folder);
  assert_ok(tn_sink_open_file(&sink, path, NULL));
  assert_ok(tn_sink_write(sink, "hello", 5, NULL));
  assert_false(tn_file_exists(path));
  assert_ok(tn_sink_commit(sink, NULL));
  assert_content(path, "hello");
  assert_int_equal(sink->bytes_written, 5);
  assert_int_equal(tn_sink_write(sink, "x", 1, NULL), TN_ERR_ARGUMENT);
  assert_int_equal(tn_sink_commit(sink, NULL), TN_ERR_ARGUMENT);
  tn_sink_close(sink);
  assert_content(path, "hello");
  assert_int_equal(files_in(folder), before + 1);
  tn_sink_close(NULL);
}

static void close_without_commit_leaves_the_old_file(void **state) {
  tn_sink *sink;
  char block[300000];
  memset(block, 'x', sizeof block);
  assert_ok(tn_file_write_atomic(in_folder("old"), TN_STR("old content"), NULL));
  int before = files_in(folder);
  assert_ok(tn_sink_open_file(&sink, in_folder("old"), NULL));
  assert_ok(tn_sink_write(sink, block, sizeof block, NULL));
  tn_sink_close(sink);
  assert_content(in_folder("old"), "old content");
  assert_int_equal(files_in(folder), before);
}

/* Writes of every size, so that each way through the sink's own memory is taken. */
static void writes_of_many_sizes(void **state) {
  tn_sink *sink;
  tn_strbuf want = {0};
  char block[300000];
  for (size_t i = 0; i < sizeof block; i++) block[i] = (char)('a' + i % 26);
  const size_t sizes[] = {1, 7, 0, 4096, 131071, 1, 131072, 131073, 5, 300000, 262144, 3};
  assert_ok(tn_sink_open_file(&sink, in_folder("sizes"), NULL));
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    assert_ok(tn_sink_write(sink, block + i, sizes[i] - (sizes[i] > i ? i : 0), NULL));
    tn_strbuf_append(&want, block + i, sizes[i] - (sizes[i] > i ? i : 0));
  }
  assert_int_equal(sink->bytes_written, want.length);
  assert_ok(tn_sink_commit(sink, NULL));
  tn_sink_close(sink);
  assert_content(in_folder("sizes"), want.data);
  tn_strbuf_clear(&want);
}

/* A process that is killed at any point leaves the old file or, after commit, the new one. */
static void kill_leaves_old_or_new(void **state) {
  int seen_old = 0, seen_new = 0;
  const char *path = in_folder("killed");
  int nameless = open(folder, O_WRONLY | O_TMPFILE, 0600), before = files_in(folder);
  for (int round = 0; round < 12; round++) {
    assert_ok(tn_file_write_atomic(path, TN_STR("old"), NULL));
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
      tn_sink *sink;
      if (tn_sink_open_file(&sink, path, NULL)) _exit(1);
      for (int i = 0; i < 400; i++) {
        if (tn_sink_write(sink, "new", 3, NULL)) _exit(1);
        if (i == round * 30 && write(ready[1], "x", 1) != 1) _exit(1);
        if (i == round * 30 && round < 6) pause();
      }
      if (tn_sink_commit(sink, NULL) || write(ready[1], "y", 1) != 1) _exit(1);
      pause();
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    if (round >= 6) assert_int_equal(read(ready[0], &byte, 1), 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    tn_strbuf text = {0};
    assert_ok(tn_file_read(path, 0, &text, NULL));
    if (text.length == 3 && strcmp(text.data, "old") == 0)
      seen_old++;
    else if (text.length == 1200)
      seen_new++;
    else
      fail_msg("%zu bytes", text.length);
    tn_strbuf_clear(&text);
  }
  assert_int_equal(seen_old, 6);
  assert_int_equal(seen_new, 6);
  if (nameless >= 0) assert_int_equal(files_in(folder), before + 1); /* nothing half written */
  if (nameless >= 0) close(nameless);
}

static void a_full_disk_is_one_clear_error(void **state) {
  if (access("/dev/full", W_OK) != 0) skip();
  tn_sink *sink;
  tn_error err = {0};
  static char block[200000];
  assert_ok(tn_sink_open_file(&sink, "/dev/full", &err)); /* a large write fails at once */
  assert_int_equal(tn_sink_write(sink, block, sizeof block, &err), TN_ERR_IO);
  assert_string_equal(err.text,
                      "/dev/full: cannot write 200000 bytes at byte 0: No space left on device");
  assert_int_equal(tn_sink_write(sink, block, 1, &err), TN_ERR_IO);
  assert_int_equal(tn_sink_commit(sink, &err), TN_ERR_IO);
  tn_sink_close(sink);
  assert_ok(tn_sink_open_file(&sink, "/dev/full", &err)); /* a small one at commit */
  assert_ok(tn_sink_write(sink, block, 10, &err));
  assert_int_equal(tn_sink_commit(sink, &err), TN_ERR_IO);
  assert_holds(err.text, "/dev/full: cannot write 10 bytes");
  assert_int_equal(tn_sink_commit(sink, &err), TN_ERR_IO); /* and never succeeds later */
  tn_sink_close(sink);
  struct stat info;
  assert_int_equal(stat("/dev/full", &info), 0);
  assert_true(S_ISCHR(info.st_mode)); /* still the device, not renamed over */
}

static void links_and_modes_are_kept(void **state) {
  struct stat info;
  assert_ok(tn_file_write_atomic(in_folder("target"), TN_STR("1"), NULL));
  assert_int_equal(stat(in_folder("target"), &info), 0);
  mode_t mask = umask(0);
  umask(mask);
  assert_int_equal(info.st_mode & 0777, 0666 & ~mask);
  assert_int_equal(chmod(in_folder("target"), 0640), 0);
  assert_int_equal(symlink("target", in_folder("link")), 0);
  assert_ok(tn_file_write_atomic(in_folder("link"), TN_STR("2"), NULL));
  assert_content(in_folder("target"), "2");
  assert_int_equal(lstat(in_folder("link"), &info), 0);
  assert_true(S_ISLNK(info.st_mode));
  assert_int_equal(stat(in_folder("target"), &info), 0);
  assert_int_equal(info.st_mode & 0777, 0640);
}

static void sink_errors(void **state) {
  tn_sink *sink;
  tn_error err = {0};
  assert_int_equal(tn_sink_open_file(&sink, in_folder("no/such/dir"), &err), TN_ERR_NOT_FOUND);
  assert_holds(err.text, "no/such/dir: the folder ");
  assert_holds(err.text, "no/such does not exist");
  assert_ok(tn_file_write_atomic(in_folder("plain"), TN_STR("1"), NULL));
  assert_true(tn_sink_open_file(&sink, in_folder("plain/file"), &err) != TN_OK);
  assert_holds(err.text, "plain/file: cannot create a file beside it");
  assert_int_equal(tn_sink_open_file(&sink, folder, &err), TN_ERR_IO);
  assert_int_equal(tn_sink_open_file(&sink, "", &err), TN_ERR_ARGUMENT);
}

static void memory_sink(void **state) {
  tn_sink *sink;
  tn_strbuf into = {0};
  tn_strbuf_add(&into, "head ");
  assert_ok(tn_sink_open_memory(&sink, "body", &into, NULL));
  assert_ok(tn_sink_write(sink, "a", 1, NULL));
  assert_ok(tn_sink_write(sink, "bc", 2, NULL));
  assert_int_equal(sink->bytes_written, 3);
  assert_ok(tn_sink_commit(sink, NULL));
  tn_sink_close(sink);
  assert_string_equal(into.data, "head abc");
  tn_strbuf_clear(&into);
}

/* ---- files and directories ---- */

static void whole_files_and_their_limit(void **state) {
  tn_strbuf text = {0};
  tn_error err = {0};
  assert_ok(tn_file_write_atomic(in_folder("ten"), TN_STR("0123456789"), NULL));
  assert_ok(tn_file_read(in_folder("ten"), 10, &text, &err));
  assert_int_equal(text.length, 10);
  assert_ok(tn_file_read(in_folder("ten"), 0, &text, &err)); /* replaces, not appends */
  assert_int_equal(text.length, 10);
  assert_int_equal(tn_file_read(in_folder("ten"), 9, &text, &err), TN_ERR_LIMIT);
  assert_holds(err.text, "limit of 9 bytes");
  assert_int_equal(tn_file_read("/dev/zero", 100000, &text, &err), TN_ERR_LIMIT);
  assert_int_equal(tn_file_read(in_folder("none"), 9, &text, &err), TN_ERR_NOT_FOUND);
  tn_strbuf_clear(&text);
}

static void directories(void **state) {
  tn_error err = {0};
  assert_ok(tn_dir_make(in_folder("a//b/c/"), &err));
  assert_ok(tn_dir_make(in_folder("a/b/c"), &err));
  assert_true(tn_dir_exists(in_folder("a/b/c")));
  assert_false(tn_file_exists(in_folder("a/b/c")));
  assert_ok(tn_file_write_atomic(in_folder("a/b/file"), TN_STR("x"), &err));
  assert_true(tn_file_exists(in_folder("a/b/file")));
  assert_false(tn_dir_exists(in_folder("a/b/file")));
  assert_int_equal(tn_dir_make(in_folder("a/b/file"), &err), TN_ERR_IO);
  assert_int_equal(tn_dir_make(in_folder("a/b/file/d"), &err), TN_ERR_IO);
  assert_ok(tn_dir_sync(in_folder("a"), &err));
  assert_int_equal(tn_dir_sync(in_folder("absent"), &err), TN_ERR_NOT_FOUND);
  assert_ok(tn_dir_make(in_folder("kept"), &err));
  assert_ok(tn_file_write_atomic(in_folder("kept/file"), TN_STR("x"), &err));
  assert_int_equal(symlink("../../kept", in_folder("a/b/link")), 0);
  assert_ok(tn_dir_remove(in_folder("a"), &err));
  assert_false(tn_dir_exists(in_folder("a")));
  assert_content(in_folder("kept/file"), "x"); /* the link went, what it showed stayed */
  assert_int_equal(tn_dir_remove(in_folder("a"), &err), TN_ERR_NOT_FOUND);
}

static void folders_are_unmade(void **state) {
  tn_error err = {0};
  tn_strbuf made = {0};
  assert_ok(tn_dir_make(in_folder("was"), &err));
  assert_ok(tn_dir_make_new(in_folder("was//new/deep/"), &made, &err));
  assert_true(tn_dir_exists(in_folder("was/new/deep")));
  tn_dir_unmake(in_folder("was//new/deep/"), &made);
  assert_false(tn_dir_exists(in_folder("was/new")));
  assert_true(tn_dir_exists(in_folder("was")));
  assert_ok(tn_dir_make_new(in_folder("was"), &made, &err)); /* it was there: it stays */
  assert_int_equal(made.length, 0);
  tn_dir_unmake(in_folder("was"), &made);
  assert_true(tn_dir_exists(in_folder("was")));
  assert_ok(tn_dir_make_new(in_folder("was/a/b"), &made, &err));
  assert_ok(tn_file_write_atomic(in_folder("was/a/file"), TN_STR("x"), &err));
  tn_dir_unmake(in_folder("was/a/b"), &made); /* only what is empty goes */
  assert_false(tn_dir_exists(in_folder("was/a/b")));
  assert_content(in_folder("was/a/file"), "x");
  assert_int_equal(tn_dir_make_new(in_folder("was/a/file/d"), &made, &err), TN_ERR_IO);
  tn_dir_unmake(in_folder("was/a/file/d"), &made);
  assert_content(in_folder("was/a/file"), "x");
  tn_strbuf_clear(&made);
  assert_ok(tn_dir_remove(in_folder("was"), &err));
}

static tn_status use_everything(void *context, tn_error *err) {
  const char *path = in_folder("again");
  TN_TRY(tn_file_write_atomic(path, TN_STR("content"), err));
  tn_strbuf text = {0};
  tn_status status = tn_file_read(path, 0, &text, err);
  tn_strbuf_clear(&text);
  TN_TRY(status);
  tn_source *source;
  TN_TRY(tn_source_open_memory(&source, "m", "abc", 3, err));
  tn_source_close(source);
  tn_sink *sink;
  TN_TRY(tn_sink_open_memory(&sink, "m", &text, err));
  status = tn_sink_write(sink, "abc", 3, err);
  tn_sink_close(sink);
  tn_strbuf_clear(&text);
  TN_TRY(status);
  tn_strbuf made = {0};
  status = tn_dir_make_new(in_folder("again-dir"), &made, err);
  if (status != TN_OK) tn_dir_unmake(in_folder("again-dir"), &made);
  tn_strbuf_clear(&made);
  TN_TRY(status);
  return tn_dir_remove(in_folder("again-dir"), err);
}

static void allocation_failures(void **state) {
  int before = files_in(folder);
  assert_true(fail_each_allocation(use_everything, NULL) >= 12);
  assert_int_equal(files_in(folder), before + 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ranged_reads_and_views),
      cmocka_unit_test(sequential_reads),
      cmocka_unit_test(empty_sources),
      cmocka_unit_test(a_pipe_is_read_in_order),
      cmocka_unit_test(standard_input_and_output),
      cmocka_unit_test(open_errors_name_the_file),
      cmocka_unit_test(a_file_cut_while_open),
      cmocka_unit_test(any_thread_may_read),
      cmocka_unit_test(nothing_is_seen_before_commit),
      cmocka_unit_test(close_without_commit_leaves_the_old_file),
      cmocka_unit_test(writes_of_many_sizes),
      cmocka_unit_test(kill_leaves_old_or_new),
      cmocka_unit_test(a_full_disk_is_one_clear_error),
      cmocka_unit_test(links_and_modes_are_kept),
      cmocka_unit_test(sink_errors),
      cmocka_unit_test(memory_sink),
      cmocka_unit_test(whole_files_and_their_limit),
      cmocka_unit_test(directories),
      cmocka_unit_test(folders_are_unmade),
      cmocka_unit_test(allocation_failures),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

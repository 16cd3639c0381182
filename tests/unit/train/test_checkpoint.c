/* SPDX-License-Identifier: Apache-2.0 */
#include "train_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/random.h"
#include "train/trainer.h"

static tn_run_config config;
static tn_trainer *trainer;

static int set_up(void **state) {
  if (enter_folder(state) != 0) return -1;
  tn_error err = {0};
  write_text("text.txt");
  tiny_config(&config, NULL);
  assert_ok(tn_trainer_new(&trainer, &config, NULL, NULL, &err));
  return 0;
}
static int tear_down(void **state) {
  tn_trainer_free(trainer);
  tn_run_config_clear(&config);
  return leave_folder(state);
}

static int empty_run(void **state) {
  return tn_dir_exists("run") ? (int)tn_dir_remove("run", NULL) : 0;
}

static tn_status save_as(int64_t step, tn_error *err) {
  tn_checkpoint c = tn_trainer_checkpoint(trainer);
  c.state.step = step;
  return tn_checkpoint_save("run", &c, err);
}

static int64_t count_entries(const char *path, const char *prefix) {
  DIR *folder = opendir(path);
  int64_t count = 0;
  for (struct dirent *e = folder ? readdir(folder) : NULL; e; e = readdir(folder))
    count += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
  if (folder) closedir(folder);
  return count;
}

static void assert_latest(const char *target) {
  char link[128] = "";
  assert_true(readlink("run/latest", link, sizeof link - 1) > 0);
  assert_string_equal(link, target);
}

static void saves_and_loads(void **state) {
  tn_error err = {0};
  tn_trainer *other;
  tn_step_record record;
  for (int i = 0; i < 3; i++) assert_ok(tn_trainer_step(trainer, &record, &err));
  assert_ok(save_as(3, &err));
  assert_latest("checkpoints/step-000003");
  assert_true(tn_file_exists("run/latest/tokenizer.json"));
  assert_true(tn_file_exists("run/latest/config.json"));
  assert_ok(tn_trainer_new(&other, &config, NULL, "run/checkpoints/step-000003", &err));
  assert_memory_equal(tn_trainer_state(other), tn_trainer_state(trainer), sizeof(tn_train_state));
  tn_tensor a = tn_model_flat(tn_trainer_model(trainer)),
            b = tn_model_flat(tn_trainer_model(other));
  assert_memory_equal(tn_tensor_data(&a), tn_tensor_data(&b), (size_t)tn_tensor_bytes(&a));
  tn_checkpoint x = tn_trainer_checkpoint(trainer), y = tn_trainer_checkpoint(other);
  tn_tensor m = tn_optimizer_m(x.optimizer), n = tn_optimizer_m(y.optimizer);
  assert_memory_equal(tn_tensor_data(&m), tn_tensor_data(&n), (size_t)tn_tensor_bytes(&m));
  assert_int_equal(save_as(3, &err), TN_ERR_EXISTS);
  assert_int_equal(count_entries("run/checkpoints", "."), 2); /* . and .. */
  tn_trainer_free(other);
}

/* One bit of any byte of any file: loading fails and names the file, for a tensor the tensor too.
 */
static void flip(const char *path, int64_t at, int bit) {
  int fd = open(path, O_RDWR);
  uint8_t byte;
  assert_true(fd >= 0 && pread(fd, &byte, 1, at) == 1);
  byte ^= (uint8_t)(1 << bit);
  assert_int_equal(pwrite(fd, &byte, 1, at), 1);
  close(fd);
}

static void check_flip(const char *name, int64_t at, int bit, int64_t bytes) {
  char path[128];
  snprintf(path, sizeof path, "run/checkpoints/step-000001/%s", name);
  flip(path, at, bit);
  tn_error err = {0};
  tn_trainer *broken;
  tn_status status = tn_trainer_new(&broken, &config, NULL, "run/checkpoints/step-000001", &err);
  if (status == TN_OK) fail_msg("%s: bit %d of byte %lld went unnoticed", name, bit, (long long)at);
  if (!strstr(err.text, name) && !strstr(err.text, "config"))
    fail_msg("%s byte %lld: %s", name, (long long)at, err.text);
  if (strcmp(name, "model.safetensors") == 0 && at > bytes - 1000)
    assert_non_null(strstr(err.text, "model."));
  assert_true(tn_checkpoint_verify("run/checkpoints/step-000001", NULL) != TN_OK);
  flip(path, at, bit);
}

static void every_flipped_byte_is_noticed(void **state) {
  uint64_t seed = (uint64_t)time(NULL);
  printf("seed %llu\n", (unsigned long long)seed);
  static const char *const names[] = {"state.json",     "model.safetensors",
                                      "config.json",    "optimizer.safetensors",
                                      "tokenizer.json", "generation_config.json"};
  tn_error err = {0};
  assert_ok(save_as(1, &err));
  for (size_t f = 0; f < sizeof names / sizeof names[0]; f++) {
    char path[128];
    struct stat info;
    snprintf(path, sizeof path, "run/checkpoints/step-000001/%s", names[f]);
    assert_int_equal(stat(path, &info), 0);
    for (uint64_t i = 0; i < 60; i++)
      check_flip(names[f], (int64_t)tn_random_below(seed, f, i, (uint64_t)info.st_size),
                 (int)tn_random_below(seed, 100 + f, i, 8), info.st_size);
    check_flip(names[f], info.st_size - 1, 0, info.st_size);
    check_flip(names[f], 0, 1, info.st_size);
  }
  assert_ok(tn_checkpoint_verify("run/checkpoints/step-000001", &err));
}

static void a_missing_or_cut_file_is_noticed(void **state) {
  tn_error err = {0};
  assert_ok(save_as(1, &err));
  assert_int_equal(truncate("run/checkpoints/step-000001/tokenizer.json", 10), 0);
  assert_int_equal(tn_checkpoint_verify("run/checkpoints/step-000001", &err), TN_ERR_CHECKSUM);
  assert_non_null(strstr(err.text, "10 bytes"));
  assert_int_equal(unlink("run/checkpoints/step-000001/tokenizer.json"), 0);
  assert_int_equal(tn_checkpoint_verify("run/checkpoints/step-000001", &err), TN_ERR_NOT_FOUND);
  assert_int_equal(unlink("run/checkpoints/step-000001/state.json"), 0);
  assert_int_equal(tn_checkpoint_verify("run/checkpoints/step-000001", &err), TN_ERR_NOT_FOUND);
}

static void every_allocation_of_a_save_may_fail(void **state) {
  tn_error err = {0};
  assert_ok(save_as(1, &err));
  int64_t before = tn_alloc_live();
  for (int64_t n = 1;; n++) {
    tn_alloc_fail_at(n);
    tn_status status = save_as(2, &err);
    tn_alloc_fail_at(0);
    assert_int_equal(tn_alloc_live(), before);
    if (status == TN_OK) {
      printf("%lld allocations\n", (long long)n - 1);
      break;
    }
    assert_int_equal(status, TN_ERR_MEMORY);
    assert_ok(tn_checkpoint_verify("run/checkpoints/step-000001", &err));
    assert_int_equal(count_entries("run/checkpoints", "."), 2);
    /* A failure behind the rename (of the link, say) leaves a whole new one. */
    if (tn_dir_exists("run/checkpoints/step-000002")) {
      assert_ok(tn_checkpoint_verify("run/checkpoints/step-000002", &err));
      assert_ok(tn_dir_remove("run/checkpoints/step-000002", &err));
    }
    assert_true(n < 10000);
  }
  assert_ok(tn_checkpoint_verify("run/checkpoints/step-000002", &err));
  assert_latest("checkpoints/step-000002"); /* the last allocation is that of the link */
}

static void every_allocation_of_a_load_may_fail(void **state) {
  tn_error err = {0};
  assert_ok(save_as(1, &err));
  int64_t before = tn_alloc_live();
  for (int64_t n = 1;; n++) {
    tn_trainer *t;
    tn_alloc_fail_at(n);
    tn_status status = tn_trainer_new(&t, &config, NULL, "run/checkpoints/step-000001", &err);
    tn_alloc_fail_at(0);
    tn_trainer_free(t);
    assert_int_equal(tn_alloc_live(), before);
    if (status == TN_OK) break;
    assert_int_equal(status, TN_ERR_MEMORY);
    assert_true(n < 10000);
  }
}

/* A child saves one checkpoint after another and is killed at a random moment, again and again. */
static void a_kill_leaves_only_whole_ones(void **state) {
  uint64_t seed = (uint64_t)time(NULL);
  printf("seed %llu\n", (unsigned long long)seed);
  int64_t newest = 0, torn = 0;
  for (uint64_t round = 0; round < 40; round++) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
      for (int64_t step = newest + 1;; step++)
        if (save_as(step, NULL) != TN_OK || tn_checkpoint_prune("run", 3, NULL) != TN_OK) _exit(1);
    }
    usleep((useconds_t)(2000 + tn_random_below(seed, 0, round, 120000)));
    kill(child, SIGKILL);
    int exit_status;
    waitpid(child, &exit_status, 0);
    assert_true(WIFSIGNALED(exit_status));
    torn += count_entries("run/checkpoints", ".saving") > 0;
    tn_checkpoint_list list;
    tn_error err = {0};
    assert_ok(tn_checkpoint_list_read(&list, "run", &err));
    for (size_t i = 0; i < list.count; i++) {
      tn_strbuf path = {0};
      assert_ok(tn_checkpoint_path(&path, "run", list.steps[i], &err));
      assert_ok(tn_checkpoint_verify(path.data, &err));
      tn_strbuf_clear(&path);
    }
    if (list.count) {
      assert_true(list.steps[list.count - 1] >= newest);
      newest = list.steps[list.count - 1];
    } else {
      assert_true(newest == 0);
    }
    tn_checkpoint_list_clear(&list);
    assert_ok(tn_checkpoint_prune("run", 3, &err));
    assert_int_equal(count_entries("run/checkpoints", ".saving"), 0);
    assert_true(newest == 0 || tn_file_exists("run/latest/config.json"));
  }
  printf("40 kills, %lld of them amid a save, %lld checkpoints\n", (long long)torn,
         (long long)newest);
  assert_true(newest > 0 && torn > 0);
}

static void goes_back_and_prunes(void **state) {
  tn_error err = {0};
  int64_t step;
  assert_int_equal(tn_checkpoint_latest("run", &step, &err), TN_END);
  for (int64_t i = 1; i <= 5; i++) assert_ok(save_as(i * 100, &err));
  assert_ok(tn_checkpoint_latest("run", &step, &err));
  assert_int_equal(step, 500);
  flip("run/checkpoints/step-000400/model.safetensors", 2000, 3);
  assert_ok(tn_checkpoint_newest_whole("run", 500, &step, &err));
  assert_int_equal(step, 300);
  assert_ok(tn_checkpoint_go_back("run", 200, &err));
  assert_latest("checkpoints/step-000200");
  assert_ok(tn_checkpoint_latest("run", &step, &err));
  assert_int_equal(step, 200);
  assert_int_equal(count_entries("run/checkpoints", "step-"), 5);
  assert_true(tn_dir_exists("run/checkpoints/step-000400.set-aside"));
  assert_ok(save_as(300, &err));
  assert_ok(tn_checkpoint_go_back("run", 200, &err));
  assert_true(tn_dir_exists("run/checkpoints/step-000300.set-aside-1"));
  assert_ok(tn_checkpoint_prune("run", 1, &err));
  assert_false(tn_dir_exists("run/checkpoints/step-000100"));
  assert_true(tn_dir_exists("run/checkpoints/step-000200"));
}

static void names(void **state) {
  assert_int_equal(tn_checkpoint_step("step-000200"), 200);
  assert_int_equal(tn_checkpoint_step("step-12345678"), 12345678);
  const char *const wrong[] = {"step-200", "step-000200.set-aside", "step-00020x",
                               "step-",    ".saving-step-000200",   "step-99999999999999999999999"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
    assert_int_equal(tn_checkpoint_step(wrong[i]), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(saves_and_loads, empty_run),
      cmocka_unit_test_setup(every_flipped_byte_is_noticed, empty_run),
      cmocka_unit_test_setup(a_missing_or_cut_file_is_noticed, empty_run),
      cmocka_unit_test_setup(every_allocation_of_a_save_may_fail, empty_run),
      cmocka_unit_test_setup(every_allocation_of_a_load_may_fail, empty_run),
      cmocka_unit_test_setup(a_kill_leaves_only_whole_ones, empty_run),
      cmocka_unit_test_setup(goes_back_and_prunes, empty_run),
      cmocka_unit_test(names),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}

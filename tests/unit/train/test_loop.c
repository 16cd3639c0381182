/* SPDX-License-Identifier: Apache-2.0 */
#include "train_test.h"

#include <math.h>

#include "train/loop.h"
#include "train/run_folder.h"
#include "train/trainer.h"

typedef struct witness {
  int64_t stop_at, begun_at, steps, validations, saves, notes;
  double last_loss;
} witness;

static bool stop(void *context) {
  witness *w = context;
  return w->stop_at >= 0 && w->steps >= w->stop_at;
}
static void begun(void *context, int64_t step, int64_t parameters) {
  ((witness *)context)->begun_at = step;
}
static void stepped(void *context, const tn_step_record *record) {
  witness *w = context;
  w->steps++;
  w->last_loss = record->loss;
}
static void validated(void *context, int64_t step, double loss) {
  ((witness *)context)->validations++;
}
static void saved(void *context, int64_t step, const char *folder, double seconds) {
  ((witness *)context)->saves++;
}

static void noted(void *context, const char *text) {
  ((witness *)context)->notes++;
}

static tn_status run_with(const char *set, int64_t stop_at, tn_train_options options, witness *w,
                          tn_train_result *result, tn_error *err) {
  tn_run_config c;
  tiny_config(&c, set);
  *w = (witness){.stop_at = stop_at, .begun_at = -1};
  options.watch = (tn_train_watch){stop, begun, stepped, validated, saved, NULL, w};
  tn_status status = tn_train_run(&c, &options, result, err);
  tn_run_config_clear(&c);
  return status;
}

static void read_weights(const char *run, int64_t step, tn_strbuf *out) {
  tn_error err = {0};
  tn_strbuf path = {0};
  assert_ok(tn_checkpoint_path(&path, run, step, &err));
  tn_strbuf_add(&path, "/model.safetensors");
  assert_ok(tn_file_read(path.data, 0, out, &err));
  tn_strbuf_clear(&path);
}

static void assert_same_weights(const char *a, const char *b, int64_t step) {
  tn_strbuf x = {0}, y = {0};
  read_weights(a, step, &x);
  read_weights(b, step, &y);
  assert_int_equal(x.length, y.length);
  assert_memory_equal(x.data, y.data, x.length);
  tn_strbuf_clear(&x);
  tn_strbuf_clear(&y);
}

static int begin(void **state) {
  write_text("text.txt");
  static const char *const runs[] = {"run", "other", "third"};
  for (size_t i = 0; i < 3; i++)
    if (tn_dir_exists(runs[i]) && tn_dir_remove(runs[i], NULL) != TN_OK) return -1;
  return 0;
}

static void runs_to_the_end(void **state) {
  witness w;
  tn_train_result r;
  tn_error err = {0};
  assert_ok(run_with(NULL, -1, (tn_train_options){0}, &w, &r, &err));
  assert_int_equal(w.begun_at, 0);
  assert_int_equal(w.steps, 12);
  assert_int_equal(w.validations, 3); /* 4, 8, 12 */
  assert_int_equal(w.saves, 3);       /* 5, 10, 12 */
  assert_int_equal(r.step, 12);
  assert_int_equal(r.saved_step, 12);
  assert_int_equal(r.tokens, 12 * 3 * 8 * 2);
  assert_true(r.loss < 2.3 && r.validation_loss > 0);
  assert_true(tn_file_exists("run/loss.svg") && tn_file_exists("run/config.yaml"));
  /* The same command again has nothing left to do and changes nothing. */
  assert_ok(run_with(NULL, -1, (tn_train_options){0}, &w, &r, &err));
  assert_int_equal(w.steps + w.saves + w.validations, 0);
  assert_true(isfinite(r.validation_loss) && isnan(r.loss));
}

static void stopped_and_resumed_is_the_same(void **state) {
  witness w;
  tn_train_result r;
  tn_error err = {0};
  assert_ok(run_with("run=other", -1, (tn_train_options){0}, &w, &r, &err));
  for (int64_t at = 1; at <= 3; at++)
    assert_int_equal(run_with(NULL, at, (tn_train_options){0}, &w, &r, &err), TN_ERR_INTERRUPTED);
  assert_int_equal(r.saved_step, 6);
  assert_ok(run_with(NULL, -1, (tn_train_options){0}, &w, &r, &err));
  assert_int_equal(w.begun_at, 6);
  assert_same_weights("run", "other", 12);
}

static void threads_do_not_change_the_weights(void **state) {
  witness w;
  tn_train_result r;
  tn_error err = {0};
  tn_pool *pool;
  assert_ok(run_with(NULL, -1, (tn_train_options){0}, &w, &r, &err));
  for (int32_t threads = 2; threads <= 3; threads++) {
    assert_ok(tn_pool_new(&pool, threads, &err));
    const char *set = threads == 2 ? "run=other" : "run=third";
    assert_ok(run_with(set, -1, (tn_train_options){.pool = pool}, &w, &r, &err));
    assert_same_weights("run", set + 4, 12);
    tn_pool_free(pool);
  }
}

static void goes_back_to_a_checkpoint(void **state) {
  witness w;
  tn_train_result r;
  tn_error err = {0};
  assert_ok(run_with(NULL, -1, (tn_train_options){0}, &w, &r, &err));
  assert_int_equal(run_with(NULL, -1, (tn_train_options){.from = "step-000007"}, &w, &r, &err),
                   TN_ERR_NOT_FOUND);
  assert_non_null(strstr(err.text, "step-000005, step-000010, step-000012"));
  assert_ok(
      run_with(NULL, -1, (tn_train_options){.from = "run/checkpoints/step-000005/"}, &w, &r, &err));
  assert_int_equal(w.begun_at, 5);
  assert_true(tn_dir_exists("run/checkpoints/step-000012.set-aside"));
  tn_strbuf x = {0}, y = {0};
  read_weights("run", 12, &x);
  assert_ok(tn_file_read("run/checkpoints/step-000012.set-aside/model.safetensors", 0, &y, &err));
  assert_true(x.length == y.length && memcmp(x.data, y.data, x.length) == 0);
  tn_strbuf_clear(&x);
  tn_strbuf_clear(&y);
}

static void refuses_other_maths_and_other_data(void **state) {
  witness w;
  tn_train_result r;
  tn_error err = {0};
  assert_ok(run_with(NULL, -1, (tn_train_options){0}, &w, &r, &err));
  static const char *const sets[] = {"seed=2", "model.layers=1", "batch.sequences=4",
                                     "optimizer.beta1=0.8"};
  for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
    assert_int_equal(run_with(sets[i], -1, (tn_train_options){0}, &w, &r, &err), TN_ERR_ARGUMENT);
  tn_strbuf text = {0};
  assert_ok(tn_file_read("text.txt", 0, &text, &err));
  text.data[1999] = 'a';
  text.data[1998] = 'b';
  assert_ok(tn_file_write_atomic("text.txt", tn_strbuf_view(&text), &err));
  tn_strbuf_clear(&text);
  assert_int_equal(run_with("steps=20", -1, (tn_train_options){0}, &w, &r, &err), TN_ERR_ARGUMENT);
  assert_non_null(strstr(err.text, "other tokens"));
  /* --fresh takes what was refused, and more steps are no change. */
  assert_ok(run_with("seed=2", -1, (tn_train_options){.fresh = true}, &w, &r, &err));
  assert_int_equal(w.begun_at, 0);
}

static void more_steps_go_on(void **state) {
  witness w;
  tn_train_result r;
  tn_error err = {0};
  assert_ok(run_with(NULL, -1, (tn_train_options){0}, &w, &r, &err));
  assert_ok(run_with("steps=15", -1, (tn_train_options){0}, &w, &r, &err));
  assert_int_equal(w.begun_at, 12);
  assert_int_equal(w.steps, 3);
}

/* A run killed between its last save and the tidying behind it: the next start tidies. */
static void old_checkpoints_go_at_the_next_start(void **state) {
  witness w;
  tn_train_result r;
  tn_error err = {0};
  assert_ok(run_with("checkpoint.keep=0", -1, (tn_train_options){0}, &w, &r, &err));
  assert_true(tn_dir_exists("run/checkpoints/step-000005"));
  assert_ok(run_with("checkpoint.keep=2", -1, (tn_train_options){0}, &w, &r, &err));
  assert_false(tn_dir_exists("run/checkpoints/step-000005"));
  assert_true(tn_dir_exists("run/checkpoints/step-000010"));
  assert_true(tn_file_exists("run/latest/config.json"));
}

static void one_process_a_folder(void **state) {
  witness w;
  tn_train_result r;
  tn_error err = {0};
  tn_run_folder folder;
  assert_ok(tn_run_folder_open(&folder, "run", &err));
  assert_int_equal(run_with(NULL, -1, (tn_train_options){0}, &w, &r, &err), TN_ERR_EXISTS);
  tn_run_folder_close(&folder);
  assert_ok(run_with(NULL, -1, (tn_train_options){0}, &w, &r, &err));
}

static void a_validation_cut_short_is_made_up(void **state) {
  witness w;
  tn_train_result r;
  tn_error err = {0};
  assert_int_equal(run_with(NULL, 12, (tn_train_options){0}, &w, &r, &err), TN_ERR_INTERRUPTED);
  assert_int_equal(r.saved_step, 12);
  assert_int_equal(w.validations, 2);
  assert_ok(run_with(NULL, -1, (tn_train_options){0}, &w, &r, &err));
  assert_int_equal(w.steps, 0);
  assert_int_equal(w.validations, 1);
}

/* A learning rate that blows the weights up ends with an error, and the last checkpoint is whole.
 */
static void divergence_is_an_error(void **state) {
  witness w;
  tn_train_result r;
  tn_error err = {0};
  tn_run_config c;
  const char *sets[] = {"optimizer.lr=10", "optimizer.clip=0", "optimizer.warmup_steps=0",
                        "optimizer.weight_decay=1", "steps=400"};
  assert_ok(tn_run_config_parse(&c, "tiny.yaml", tn_str_of(tiny_yaml), sets, 5, &err));
  w = (witness){.stop_at = -1};
  tn_train_options options = {.watch = {.stepped = stepped, .context = &w}};
  tn_status status = tn_train_run(&c, &options, &r, &err);
  tn_run_config_clear(&c);
  if (status != TN_ERR_DATA)
    fail_msg("status %d after %lld steps, loss %g", status, (long long)w.steps, w.last_loss);
  assert_non_null(strstr(err.text, "step "));
  tn_strbuf path = {0};
  if (r.saved_step >= 0) {
    assert_ok(tn_checkpoint_path(&path, "run", r.saved_step, &err));
    assert_ok(tn_checkpoint_verify(path.data, &err));
  }
  tn_strbuf_clear(&path);
}

static void every_allocation_may_fail(void **state) {
  int64_t before = tn_alloc_live();
  for (int64_t n = 1;; n++) {
    witness w = {.stop_at = -1};
    tn_train_result r;
    tn_error err = {0};
    tn_run_config c;
    tiny_config(&c, "steps=2");
    tn_train_options options = {.watch = {.noted = noted, .context = &w}};
    tn_alloc_fail_at(n);
    tn_status status = tn_train_run(&c, &options, &r, &err);
    tn_alloc_fail_at(0);
    tn_run_config_clear(&c);
    assert_int_equal(tn_alloc_live(), before);
    if (status == TN_OK && w.notes == 0) break;
    assert_true(status == TN_ERR_MEMORY || w.notes == 1); /* only the picture was missed */
    if (tn_dir_exists("run")) assert_ok(tn_dir_remove("run", &err));
    assert_true(n < 20000);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(runs_to_the_end, begin),
      cmocka_unit_test_setup(stopped_and_resumed_is_the_same, begin),
      cmocka_unit_test_setup(threads_do_not_change_the_weights, begin),
      cmocka_unit_test_setup(goes_back_to_a_checkpoint, begin),
      cmocka_unit_test_setup(refuses_other_maths_and_other_data, begin),
      cmocka_unit_test_setup(more_steps_go_on, begin),
      cmocka_unit_test_setup(old_checkpoints_go_at_the_next_start, begin),
      cmocka_unit_test_setup(one_process_a_folder, begin),
      cmocka_unit_test_setup(a_validation_cut_short_is_made_up, begin),
      cmocka_unit_test_setup(divergence_is_an_error, begin),
      cmocka_unit_test_setup(every_allocation_may_fail, begin),
  };
  return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "train/run_config.h"

static const char good[] =
    "run: runs/x\n"                                                          /* 1 */
    "seed: 7\n"                                                              /* 2 */
    "steps: 200\n"                                                           /* 3 */
    "model: {hidden_size: 32, layers: 2, heads: 4, intermediate_size: 64}\n" /* 4 */
    "data:\n"                                                                /* 5 */
    "  text: a.txt\n"                                                        /* 6 */
    "  order: random\n"                                                      /* 7 */
    "batch: {sequences: 4, tokens: 16}\n"                                    /* 8 */
    "optimizer:\n"                                                           /* 9 */
    "  lr: 2e-3\n"                                                           /* 10 */
    "  schedule: linear\n";                                                  /* 11 */

static tn_status parse(tn_run_config *c, const char *text, const char *set, tn_error *err) {
  return tn_run_config_parse(c, "x.yaml", tn_str_of(text), &set, set ? 1 : 0, err);
}

/* The good text plus `more` must fail with a message that holds both texts. */
static void assert_refused(const char *more, const char *set, const char *place, const char *what) {
  tn_strbuf text = {0};
  tn_strbuf_add(&text, good);
  tn_strbuf_add(&text, more);
  tn_run_config c;
  tn_error err = {0};
  tn_status status = parse(&c, text.data, set, &err);
  tn_strbuf_clear(&text);
  if (status != TN_ERR_DATA || !strstr(err.text, place) || !strstr(err.text, what))
    fail_msg("status %d, \"%s\" wants \"%s\" and \"%s\"", status, err.text, place, what);
}

static void reads_values_and_defaults(void **state) {
  tn_run_config c;
  tn_error err = {0};
  assert_int_equal(parse(&c, good, NULL, &err), TN_OK);
  assert_string_equal(c.run, "runs/x");
  assert_string_equal(c.data.text, "a.txt");
  assert_null(c.data.tokens);
  assert_int_equal(c.seed, 7);
  assert_int_equal(c.model.kv_heads, 4);
  assert_int_equal(c.model.positions_max, 16);
  assert_true(c.model.tied);
  assert_int_equal(c.data.order, TN_SAMPLES_RANDOM);
  assert_int_equal(c.optimizer.schedule, TN_SCHEDULE_LINEAR);
  assert_true(c.optimizer.lr == 2e-3);
  assert_true(c.optimizer.beta2 == 0.95);
  assert_int_equal(c.batch.accumulate, 1);
  tn_run_config_clear(&c);
}

static void set_overrides_the_file(void **state) {
  tn_run_config c;
  tn_error err = {0};
  assert_int_equal(parse(&c, good, "optimizer.lr=0.5", &err), TN_OK);
  assert_true(c.optimizer.lr == 0.5);
  tn_run_config_clear(&c);
}

static void errors_name_file_line_and_key(void **state) {
  assert_refused("evaluate: {evry: 3}\n", NULL, "x.yaml:12: evaluate.evry", "evaluate.every");
  assert_refused("  learning_rate: 3\n", NULL, "x.yaml:12: optimizer.learning_rate",
                 "optimizer has lr, lr_min");
  assert_refused("stepps: 3\n", NULL, "x.yaml:12: stepps", "nearest is steps");
  assert_refused("  beta1: 1.5\n", NULL, "x.yaml:12: optimizer.beta1: 1.5", "0 to 0.999999");
  assert_refused("  beta1: .nan\n", NULL, "x.yaml:12: optimizer.beta1", "wants a number");
  assert_refused("  beta1: nan\n", NULL, "x.yaml:12: optimizer.beta1", "limits");
  assert_refused("threads: -1\n", NULL, "x.yaml:12: threads: -1", "0 to 1024");
  assert_refused("threads: 1.5\n", NULL, "x.yaml:12: threads", "wants a whole number, has 1.5");
  assert_refused("threads: \"2\"\n", NULL, "x.yaml:12: threads", "has \"2\"");
  assert_refused("threads: 99999999999999999999\n", NULL, "x.yaml:12: threads", "whole number");
  assert_refused("threads:\n", NULL, "x.yaml:12: threads", "no value");
  assert_refused("threads: [1, 2]\n", NULL, "x.yaml:12: threads", "list");
  assert_refused("threads: {a: 1}\n", NULL, "x.yaml:12: threads.a", "no such key");
  assert_refused("precision: bf16\n", NULL, "x.yaml:12: precision: wants one of fp32", "bf16");
  assert_refused("seed: 8\n", NULL, "x.yaml:12: seed: written twice", "line 2");
  assert_refused("init: some/folder\n", NULL, "x.yaml:4: model.hidden_size", "init already");
  assert_refused("  lr_min: 1\n", NULL, "x.yaml:12: optimizer.lr_min", "above optimizer.lr");
}

static void errors_of_set_name_it(void **state) {
  assert_refused("", "optimizer.lrr=1", "--set optimizer.lrr", "optimizer.lr");
  assert_refused("", "optimizer.lr=x", "--set optimizer.lr: wants a number", "x");
  assert_refused("", "optimizer.lr", "--set optimizer.lr", "key.path=value");
  assert_refused("", "batch.tokens=0", "--set batch.tokens: 0", "1 to");
  assert_refused("", "data.tokens=shards", "data.text", "one of the two");
  assert_refused("", "model.positions_max=8", "x.yaml:8: batch.tokens", "model.positions_max = 8");
  assert_refused("", "model.heads=5", "x.yaml: model", "multiple");
}

static void broken_yaml(void **state) {
  static const struct {
    const char *text, *place;
  } cases[] = {
      {"run: x\n  - y: [\n", "x.yaml:2"},
      {"run: [1, 2\n", "x.yaml:"},
      {"", "x.yaml: is empty"},
      {"just words\n", "x.yaml:1"},
      {"- a\n- b\n", "x.yaml:1"},
      {"run: x\n---\nrun: y\n", "x.yaml:1: run"},
      {"run: \"\\x00\"\n", "x.yaml:1: run"},
      {"[a, b]: 1\n", "x.yaml:1: a key"},
      {"a: {a: {a: {a: {a: {a: {a: {a: {a: 1}}}}}}}}}\n", "x.yaml:1"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    tn_run_config c;
    tn_error err = {0};
    if (parse(&c, cases[i].text, NULL, &err) == TN_OK) fail_msg("case %zu was taken", i);
    if (!strstr(err.text, "x.yaml")) fail_msg("case %zu: %s", i, err.text);
    if (i != 5 && !strstr(err.text, cases[i].place)) fail_msg("case %zu: %s", i, err.text);
  }
}

static void missing_keys_are_named(void **state) {
  tn_run_config c;
  tn_error err = {0};
  assert_int_equal(parse(&c, "run: x\nsteps: 1\nbatch: {sequences: 1}\n", NULL, &err), TN_ERR_DATA);
  assert_string_equal(err.text, "x.yaml: batch.tokens is missing");
}

/* What is written out reads back to the same text and the same hash. */
static void writes_what_it_reads(void **state) {
  tn_run_config c, again;
  tn_error err = {0};
  tn_strbuf first = {0}, second = {0};
  assert_int_equal(parse(&c, good, "data.text=it's \"odd\": # text", &err), TN_OK);
  tn_run_config_write(&c, &first);
  assert_int_equal(tn_run_config_parse(&again, "y.yaml", tn_strbuf_view(&first), NULL, 0, &err),
                   TN_OK);
  assert_string_equal(again.data.text, "it's \"odd\": # text");
  tn_run_config_write(&again, &second);
  assert_string_equal(first.data, second.data);
  uint64_t before = 0, after = 1;
  assert_int_equal(tn_run_config_hash(&c, &before, &err), TN_OK);
  assert_int_equal(tn_run_config_hash(&again, &after, &err), TN_OK);
  assert_true(before == after);
  tn_run_config_clear(&c);
  tn_run_config_clear(&again);
  tn_strbuf_clear(&first);
  tn_strbuf_clear(&second);
}

static void compare_one(const tn_json *maths, const char *set, const char *want) {
  tn_run_config c;
  tn_error err = {0};
  assert_int_equal(parse(&c, good, set, &err), TN_OK);
  tn_status status = tn_run_config_compare(&c, maths, &err);
  assert_int_equal(status, want ? TN_ERR_ARGUMENT : TN_OK);
  if (want && !strstr(err.text, want)) fail_msg("%s", err.text);
  tn_run_config_clear(&c);
}

static void only_maths_must_stay(void **state) {
  tn_run_config c;
  tn_error err = {0};
  tn_strbuf text = {0};
  tn_arena arena = {0};
  tn_json *maths;
  assert_int_equal(parse(&c, good, NULL, &err), TN_OK);
  tn_run_config_write_maths(&c, &(tn_json_writer){.out = &text});
  assert_int_equal(tn_json_parse(&maths, &arena, tn_strbuf_view(&text), NULL, &err), TN_OK);
  compare_one(maths, NULL, NULL);
  compare_one(maths, "steps=5", NULL);
  compare_one(maths, "evaluate.every=5", NULL);
  compare_one(maths, "threads=3", NULL);
  compare_one(maths, "seed=8", "seed is 8 now and was 7");
  compare_one(maths, "model.hidden_size=64", "model.hidden_size is 64 now and was 32");
  compare_one(maths, "optimizer.lr=0.004", "optimizer.lr is 0.004 now and was 0.002");
  compare_one(maths, "model.head_dim=16", "model.head_dim is 16 now and was absent");
  tn_run_config_clear(&c);
  tn_strbuf_clear(&text);
  tn_arena_clear(&arena);
}

static void every_allocation_may_fail(void **state) {
  int64_t before = tn_alloc_live();
  for (int64_t n = 1;; n++) {
    tn_run_config c;
    tn_error err = {0};
    tn_alloc_fail_at(n);
    tn_status status = parse(&c, good, "optimizer.lr=0.5", &err);
    tn_alloc_fail_at(0);
    tn_run_config_clear(&c);
    assert_int_equal(tn_alloc_live(), before);
    if (status == TN_OK) break;
    assert_int_equal(status, TN_ERR_MEMORY);
    assert_true(n < 1000);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_values_and_defaults),
      cmocka_unit_test(set_overrides_the_file),
      cmocka_unit_test(errors_name_file_line_and_key),
      cmocka_unit_test(errors_of_set_name_it),
      cmocka_unit_test(broken_yaml),
      cmocka_unit_test(missing_keys_are_named),
      cmocka_unit_test(writes_what_it_reads),
      cmocka_unit_test(only_maths_must_stay),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

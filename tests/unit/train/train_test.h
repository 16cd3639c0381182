/* train_test.h - a temporary folder and a tiny run, for the tests of this room. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TESTS_TRAIN_TEST_H
#define TN_TESTS_TRAIN_TEST_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "train/run_config.h"

#define assert_ok(expr)                                                      \
  do {                                                                       \
    tn_status got_ = (expr);                                                 \
    if (got_ != TN_OK) fail_msg("%s: status %d: %s", #expr, got_, err.text); \
  } while (0)

/* Becomes the current folder for the whole test program; removed by leave_folder. */
static char test_folder[64];
static inline int enter_folder(void **state) {
  (void)state;
  snprintf(test_folder, sizeof test_folder, "/tmp/tenon-train-XXXXXX");
  return mkdtemp(test_folder) && chdir(test_folder) == 0 ? 0 : -1;
}
static inline int leave_folder(void **state) {
  (void)state;
  return chdir("/") == 0 && tn_dir_remove(test_folder, NULL) == TN_OK ? 0 : -1;
}

/* 2,000 letters with some order in them. */
static inline void write_text(const char *path) {
  tn_strbuf text = {0};
  for (int i = 0; i < 2000; i++) tn_strbuf_add_char(&text, "abcdefgh \n"[(i * i / 7 + i / 3) % 10]);
  tn_error err = {0};
  assert_ok(tn_file_write_atomic(path, tn_strbuf_view(&text), &err));
  tn_strbuf_clear(&text);
}

static const char tiny_yaml[] =
    "run: run\nsteps: 12\nmodel: {hidden_size: 16, layers: 2, heads: 2, intermediate_size: 24}\n"
    "data: {text: text.txt, validation_share: 0.1}\nbatch: {sequences: 3, tokens: 8, accumulate: "
    "2}\n"
    "optimizer: {lr: 0.01, warmup_steps: 3}\nevaluate: {every: 4}\ncheckpoint: {every: 5}\n";

static inline void tiny_config(tn_run_config *c, const char *set) {
  tn_error err = {0};
  assert_ok(tn_run_config_parse(c, "tiny.yaml", tn_str_of(tiny_yaml), &set, set ? 1 : 0, &err));
}
#endif

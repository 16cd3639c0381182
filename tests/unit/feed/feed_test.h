/* feed_test.h - what this room's tests share. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_FEED_TEST_H
#define TN_FEED_TEST_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/io.h"

static inline void check_ok(tn_status status, const tn_error *err) {
  if (status != TN_OK) fail_msg("%s: %s", tn_status_text(status), err->text);
}

/* A fresh folder for each test, removed behind it; *state is its path. */
static inline int make_folder(void **state) {
  char *folder = strdup("/tmp/tn-test-feed-XXXXXX");
  *state = folder;
  return folder && mkdtemp(folder) ? 0 : -1;
}
static inline int remove_folder(void **state) {
  tn_status status = tn_dir_remove(*state, NULL);
  free(*state);
  return status == TN_OK ? 0 : -1;
}

#endif

/* fuzz_jinja.c - any bytes as a chat template; where it compiles, it is rendered under tight
 * limits. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "model/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) abort();
}

static const char variables[] =
    "{\"messages\":[{\"role\":\"user\",\"content\":\" h\\u00e9 'q' \\\"d\\\"\\n\"},"
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\","
    "\"arguments\":{\"a\":1.5,\"b\":[true,null,-7]}}}]}],\"tools\":null,\"bos_token\":\"<s>\","
    "\"n\":3,\"add_generation_prompt\":true}";

static void render(const tn_jinja *jinja) {
  tn_arena arena = {0};
  tn_json *root = NULL;
  tn_error err = {0};
  check(tn_json_parse(&root, &arena, TN_STR(variables), NULL, &err) == TN_OK);
  tn_jinja_options options = {
      .steps_max = 20000, .output_bytes_max = 1 << 16, .memory_bytes_max = 1 << 22, .time_us = 1};
  tn_strbuf out = {0};
  tn_status status = tn_jinja_render(jinja, root, &options, &out, &err);
  check(status == TN_OK || (err.status == status && err.text[0]));
  tn_strbuf_clear(&out);
  tn_arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int64_t live = tn_alloc_live();
  tn_error err = {0};
  tn_jinja *jinja;
  tn_status status = tn_jinja_compile(&jinja, "fuzz", (tn_str){(const char *)data, size}, &err);
  if (status == TN_OK) {
    render(jinja);
    tn_jinja_free(jinja);
  } else {
    check(err.status == status && err.text[0]);
  }
  check(tn_alloc_live() == live);
  return 0;
}

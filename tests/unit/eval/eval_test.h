/* eval_test.h - a tiny random model and a tokenizer of single bytes, for the tests of eval. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TESTS_EVAL_TEST_H
#define TN_TESTS_EVAL_TEST_H
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
#include "base/random.h"
#include "model/tokenizer.h"
#include "model/transformer.h"

static inline void must_at(int line, tn_status status, const tn_error *err) {
  if (status != TN_OK) fail_msg("line %d: %s: %s", line, tn_status_text(status), err->text);
}
#define must(expr) must_at(__LINE__, (expr), &err)

/* Weights large enough that every token matters. */
static inline tn_model *tiny_model(int64_t vocab, int64_t positions) {
  const tn_model_config c = {.vocab_size = vocab,
                             .hidden_size = 24,
                             .intermediate_size = 40,
                             .layers = 2,
                             .heads = 4,
                             .kv_heads = 2,
                             .head_dim = 6,
                             .positions_max = positions,
                             .bos_id = -1,
                             .eos_id = -1};
  tn_error err;
  tn_model *m;
  must(tn_model_new(&m, &c, tn_device_cpu(), &err));
  tn_model_init(m, 42);
  tn_tensor flat = tn_model_flat(m);
  float *x = tn_tensor_data(&flat);
  for (int64_t i = 0; i < tn_tensor_count(&flat); i++)
    if (x[i] != 1.0f) x[i] *= 8;
  return m;
}

static inline void random_ids(int32_t *ids, int64_t count, int64_t vocab) {
  for (int64_t i = 0; i < count; i++)
    ids[i] = (int32_t)tn_random_below(42, 7, (uint64_t)i, (uint64_t)vocab);
}

/* A token a byte: 'a' to 'z', space, and the end of text. */
static inline tn_tokenizer *letter_tokenizer(void) {
  tn_error err;
  tn_tokenizer *t;
  tn_strbuf json = {0};
  tn_strbuf_add(
      &json,
      "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"normalizer\":null,"
      "\"post_processor\":null,\"added_tokens\":[{\"id\":27,\"content\":\"<|endoftext|>\","
      "\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
      "\"special\":true}],\"pre_tokenizer\":{\"type\":\"ByteLevel\","
      "\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true},\"decoder\":"
      "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,"
      "\"use_regex\":true},\"model\":{\"type\":\"BPE\",\"vocab\":{\"\xC4\xA0\":26");
  for (int c = 'a'; c <= 'z'; c++) tn_strbuf_addf(&json, ",\"%c\":%d", c, c - 'a');
  tn_strbuf_add(&json, "},\"merges\":[]}}");
  must(tn_tokenizer_parse(&t, "letters", tn_strbuf_view(&json), &err));
  tn_strbuf_clear(&json);
  return t;
}

#endif

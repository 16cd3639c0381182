/* SPDX-License-Identifier: Apache-2.0 */
/* config.json: what is read, what is refused and in which words, and the way back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "model/config.h"

#define SIZES                                                                              \
  "\"vocab_size\":97,\"hidden_size\":32,\"intermediate_size\":48,\"num_hidden_layers\":2," \
  "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"rms_norm_eps\":1e-5"
#define LLAMA "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\","

static tn_status parse(const char *text, tn_model_config *out, tn_error *err) {
  memset(err, 0, sizeof *err);
  return tn_model_config_parse(out, tn_str_of(text), "config.json", true, err);
}

static void expect(const char *text, tn_status status, const char *word) {
  tn_model_config c;
  tn_error err;
  tn_status got = parse(text, &c, &err);
  if (got != status || !strstr(err.text, word))
    fail_msg("%s\n  gives %s: %s\n  wanted %s with \"%s\"", text, tn_status_text(got), err.text,
             tn_status_text(status), word);
  if (status != TN_OK && !strstr(err.text, "config.json")) fail_msg("no file name in %s", err.text);
}

static void test_reads(void **state) {
  tn_model_config c;
  tn_error err;
  assert_int_equal(
      parse(LLAMA SIZES ",\"rope_parameters\":{\"rope_type\":\"default\","
                        "\"rope_theta\":500000.0},\"tie_word_embeddings\":true,"
                        "\"eos_token_id\":[5,6,7],\"bos_token_id\":null,\"head_dim\":16}",
            &c, &err),
      TN_OK);
  assert_int_equal(c.vocab_size, 97);
  assert_int_equal(c.hidden_size, 32);
  assert_int_equal(c.intermediate_size, 48);
  assert_int_equal(c.layers, 2);
  assert_int_equal(c.heads, 4);
  assert_int_equal(c.kv_heads, 2);
  assert_int_equal(c.head_dim, 16);
  assert_int_equal(c.positions_max, 2048);
  assert_true(c.rope_theta == 500000.0 && c.norm_eps == 1e-5 && c.tied);
  assert_int_equal(c.bos_id, -1);
  assert_int_equal(c.eos_id, 5);
  assert_int_equal(c.eos_more_count, 2);
  assert_int_equal(c.eos_more[1], 7);
  /* 97 x 32 shared, 2 layers of (32 x 16 x (8 + 4) + 3 x 32 x 48 + 64), final norm */
  assert_int_equal(tn_model_config_parameters(&c), 3104 + 2 * (6144 + 4608 + 64) + 32);
}

static void test_older_forms_and_defaults(void **state) {
  tn_model_config c;
  tn_error err;
  assert_int_equal(parse("{\"model_type\":\"llama\",\"vocab_size\":10,\"hidden_size\":8,"
                         "\"intermediate_size\":8,\"num_hidden_layers\":1,"
                         "\"num_attention_heads\":2,\"rope_theta\":1234,\"rope_scaling\":null,"
                         "\"num_key_value_heads\":null,\"eos_token_id\":2}",
                         &c, &err),
                   TN_OK);
  assert_int_equal(c.kv_heads, 2);
  assert_int_equal(c.head_dim, 4);
  assert_true(c.rope_theta == 1234 && c.norm_eps == 1e-6 && !c.tied);
  assert_int_equal(c.eos_id, 2);
  tn_model_config plain = {.vocab_size = 10,
                           .hidden_size = 8,
                           .intermediate_size = 8,
                           .layers = 1,
                           .heads = 2,
                           .positions_max = 16};
  assert_int_equal(tn_model_config_check(&plain, &err), TN_OK);
  assert_true(plain.rope_theta == 10000 && plain.norm_eps == 1e-5);
  assert_int_equal(plain.kv_heads, 2);
}

#define AS(class) "{\"architectures\":[\"" class "\"]," SIZES

static void test_unsupported(void **state) {
  expect(AS("BloomForCausalLM") "}", TN_ERR_UNSUPPORTED,
         "architecture BloomForCausalLM is not "
         "supported, only LlamaForCausalLM, ");
  expect("{\"architectures\":[]," SIZES "}", TN_ERR_UNSUPPORTED, "empty");
  expect("{\"model_type\":\"bloom\"," SIZES "}", TN_ERR_UNSUPPORTED, "model_type bloom");
  expect(AS("LlamaForCausalLM") ",\"model_type\":\"mistral\"}", TN_ERR_UNSUPPORTED, "mistral");
  expect(AS("GPT2LMHeadModel") "}", TN_ERR_DATA, "\"hidden_size\" is not a key of a gpt2");
  expect("{" SIZES "}", TN_ERR_DATA, "model_type");
  expect(LLAMA SIZES ",\"hidden_act\":\"mish\"}", TN_ERR_UNSUPPORTED, "hidden_act mish");
  expect(LLAMA SIZES ",\"rope_scaling\":{\"type\":\"mrope\",\"factor\":2}}", TN_ERR_UNSUPPORTED,
         "mrope");
  expect(LLAMA SIZES ",\"sliding_window\":5}", TN_ERR_DATA, "sliding_window");
  expect(AS("GemmaForCausalLM") ",\"use_bidirectional_attention\":true}", TN_ERR_UNSUPPORTED,
         "use_bidirectional_attention");
  expect(
      "{\"architectures\":[\"GPT2LMHeadModel\"],\"vocab_size\":9,\"n_embd\":8,\"n_layer\":1,"
      "\"n_head\":2,\"add_cross_attention\":true}",
      TN_ERR_UNSUPPORTED, "add_cross_attention");
  expect(
      "{\"model_type\":\"bert\",\"vocab_size\":9,\"hidden_size\":8,\"num_hidden_layers\":1,"
      "\"intermediate_size\":8,\"num_attention_heads\":2,\"position_embedding_type\":"
      "\"relative_key\"}",
      TN_ERR_UNSUPPORTED, "relative_key");
}

static void test_rope_scalings(void **state) {
  tn_model_config c;
  tn_error err;
  assert_int_equal(parse(LLAMA SIZES ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,"
                                     "\"low_freq_factor\":1,\"high_freq_factor\":4,"
                                     "\"original_max_position_embeddings\":64}}",
                         &c, &err),
                   TN_OK);
  assert_int_equal(c.rope.kind, TN_ROPE_LLAMA3);
  assert_true(c.rope.factor == 8 && c.rope.low_frequency == 1 && c.rope.high_frequency == 4);
  assert_int_equal(c.rope.original_positions, 64);
  assert_int_equal(
      parse(LLAMA SIZES ",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":3}}", &c, &err), TN_OK);
  assert_int_equal(c.rope.original_positions, 2048);
  assert_int_equal(c.positions_max, 3 * 2048);
  assert_int_equal(parse(LLAMA SIZES ",\"partial_rotary_factor\":0.5}", &c, &err), TN_OK);
  assert_int_equal(c.rotary_dim, 4);
#define ROPE(text) LLAMA SIZES ",\"rope_parameters\":{" text "}}"
  expect(ROPE("\"rope_type\":\"linear\""), TN_ERR_DATA, "factor is 0");
  expect(ROPE("\"rope_type\":\"linear\",\"factor\":-1"), TN_ERR_DATA, "factor is -1");
  expect(ROPE("\"rope_type\":\"dynamic\",\"factor\":0.5"), TN_ERR_DATA, "factor is 0.5");
#define LLAMA3 "\"rope_type\":\"llama3\",\"original_max_position_embeddings\":64,"
  expect(ROPE(LLAMA3 "\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":4"), TN_ERR_DATA,
         "high_freq_factor is 4");
  expect(ROPE(LLAMA3 "\"factor\":8,\"low_freq_factor\":1"), TN_ERR_DATA,
         "rope_parameters: llama3 wants high_freq_factor");
  expect(ROPE(LLAMA3 "\"factor\":8,\"low_freq_factor\":null,\"high_freq_factor\":4"), TN_ERR_DATA,
         "llama3 wants low_freq_factor");
  expect(ROPE(LLAMA3 "\"low_freq_factor\":1,\"high_freq_factor\":4"), TN_ERR_DATA,
         "llama3 wants factor");
  expect(ROPE("\"rope_type\":\"yarn\",\"factor\":8,\"original_max_position_embeddings\":-4"),
         TN_ERR_DATA, "original_max_position_embeddings is -4");
  expect(ROPE("\"rope_type\":\"yarn\",\"factor\":8,\"attention_factor\":1e300"), TN_ERR_DATA,
         "attention_factor is 1e+300");
  expect(ROPE("\"rope_type\":\"yarn\",\"factor\":8,\"mscale\":1e300"), TN_ERR_DATA, "mscale");
  expect(ROPE("\"rope_type\":\"longrope\",\"factor\":8"), TN_ERR_DATA, "short_factor");
  expect(ROPE("\"rope_type\":\"longrope\",\"factor\":8,\"short_factor\":[1,1],\"long_factor\":"
              "[1]"),
         TN_ERR_DATA, "2 entries, long_factor 1");
  expect(ROPE("\"rope_type\":\"longrope\",\"factor\":8,\"short_factor\":[1,1],\"long_factor\":"
              "[1,1]"),
         TN_ERR_DATA, "must have 4");
  expect(ROPE("\"rope_type\":\"longrope\",\"factor\":8,\"short_factor\":[1,1e90],\"long_factor\":"
              "[1,1]"),
         TN_ERR_DATA, "short_factor: entry 1 is 1e+90");
  expect(ROPE("\"partial_rotary_factor\":0.01"), TN_ERR_DATA, "partial_rotary_factor 0.01");
  expect(ROPE("\"partial_rotary_factor\":2"), TN_ERR_DATA, "partial_rotary_factor is 2");
}

static void test_impossible_shapes(void **state) {
#define WITH(text) LLAMA SIZES "," text "}" /* a later key wins */
  expect(WITH("\"num_key_value_heads\":3"), TN_ERR_DATA,
         "num_attention_heads is 4, must be a multiple of num_key_value_heads 3");
  expect(WITH("\"head_dim\":15"), TN_ERR_DATA, "head_dim is 15, must be even");
  expect(WITH("\"head_dim\":0"), TN_ERR_DATA, "head_dim is 0");
  expect(WITH("\"hidden_size\":33"), TN_ERR_DATA, "hidden_size is 33, must be a multiple of");
  expect(WITH("\"hidden_size\":12"), TN_ERR_DATA, "head_dim is 3");
  expect(WITH("\"vocab_size\":0"), TN_ERR_DATA, "vocab_size is 0");
  expect(WITH("\"vocab_size\":-5"), TN_ERR_DATA, "vocab_size is -5");
  expect(WITH("\"num_hidden_layers\":0"), TN_ERR_DATA, "num_hidden_layers is 0");
  expect(WITH("\"num_key_value_heads\":0"), TN_ERR_DATA, "num_key_value_heads is 0");
  expect(WITH("\"intermediate_size\":9223372036854775807"), TN_ERR_DATA, "intermediate_size");
  expect(WITH("\"max_position_embeddings\":0"), TN_ERR_DATA, "max_position_embeddings is 0");
  expect(WITH("\"hidden_size\":\"32\""), TN_ERR_DATA, "hidden_size");
  expect(WITH("\"hidden_size\":32.5"), TN_ERR_DATA, "hidden_size");
  expect(WITH("\"rope_theta\":-1"), TN_ERR_DATA, "rope_theta is -1");
  expect(WITH("\"rope_theta\":0"), TN_ERR_DATA, "rope_theta is 0");
  expect(WITH("\"rms_norm_eps\":0"), TN_ERR_DATA, "rms_norm_eps is 0");
  expect(WITH("\"rms_norm_eps\":2"), TN_ERR_DATA, "rms_norm_eps is 2");
  expect(WITH("\"eos_token_id\":-2"), TN_ERR_DATA, "eos_token_id is -2");
  expect(WITH("\"eos_token_id\":[1,\"x\"]"), TN_ERR_DATA, "entry 1");
  expect(WITH("\"eos_token_id\":[1,2,3,4,5,6,7,8,9]"), TN_ERR_LIMIT, "9 entries");
  expect(WITH("\"hiden_size\":1"), TN_ERR_DATA, "hiden_size");
  expect(LLAMA "\"vocab_size\":97}", TN_ERR_DATA, "hidden_size is missing");
  expect(LLAMA
         "\"vocab_size\":16777216,\"hidden_size\":1048576,\"intermediate_size\":4194304,"
         "\"num_hidden_layers\":4096,\"num_attention_heads\":65536,\"head_dim\":4096}",
         TN_ERR_LIMIT, "parameters");
  expect("[1]", TN_ERR_DATA, "array");
  expect("{\"a\":", TN_ERR_DATA, "line 1");
  expect("", TN_ERR_DATA, "config.json");
}

static int warnings;
static void count_warning(void *context, tn_log_level level, const char *room, const char *text) {
  if (level == TN_LOG_WARN && strstr(text, "my_own_key")) warnings++;
}

static void test_unknown_key_of_others_is_a_warning(void **state) {
  tn_model_config c;
  tn_error err;
  tn_log_to(count_warning, NULL, TN_LOG_WARN);
  tn_status status = tn_model_config_parse(&c, TN_STR(LLAMA SIZES ",\"my_own_key\":1}"),
                                           "config.json", false, &err);
  tn_log_to(NULL, NULL, TN_LOG_WARN);
  assert_int_equal(status, TN_OK);
  assert_int_equal(warnings, 1);
}

static void test_write_reads_back(void **state) {
  tn_model_config c, back;
  tn_error err;
  assert_int_equal(
      parse(LLAMA SIZES ",\"rope_theta\":31415.9,\"eos_token_id\":[5,6],"
                        "\"bos_token_id\":3,\"head_dim\":10,\"tie_word_embeddings\":true}",
            &c, &err),
      TN_OK);
  tn_strbuf text = {0};
  tn_model_config_write_as(&c, "bfloat16", &text);
  assert_int_equal(tn_strbuf_check(&text, &err), TN_OK);
  if (parse(text.data, &back, &err) != TN_OK) fail_msg("%s", err.text);
  assert_true(back.rope_theta == c.rope_theta && back.norm_eps == c.norm_eps);
  assert_true(back.tied == c.tied);
  assert_memory_equal(&back.vocab_size, &c.vocab_size, 8 * sizeof(int64_t));
  assert_int_equal(back.bos_id, 3);
  assert_int_equal(back.eos_id, 5);
  assert_int_equal(back.eos_more_count, 1);
  assert_int_equal(back.eos_more[0], 6);
  tn_strbuf_clear(&text);
}

static void test_failing_allocations(void **state) {
  tn_model_config c;
  tn_error err;
  int64_t live = tn_alloc_live();
  int failures = 0;
  for (int64_t n = 1;; n++) {
    tn_alloc_fail_at(n);
    tn_status status = parse(LLAMA SIZES ",\"eos_token_id\":[5,6]}", &c, &err);
    tn_alloc_fail_at(0);
    assert_int_equal(tn_alloc_live(), live);
    if (status == TN_OK) break;
    assert_int_equal(status, TN_ERR_MEMORY);
    failures++;
  }
  assert_true(failures >= 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reads),
      cmocka_unit_test(test_older_forms_and_defaults),
      cmocka_unit_test(test_unsupported),
      cmocka_unit_test(test_rope_scalings),
      cmocka_unit_test(test_impossible_shapes),
      cmocka_unit_test(test_unknown_key_of_others_is_a_warning),
      cmocka_unit_test(test_write_reads_back),
      cmocka_unit_test(test_failing_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

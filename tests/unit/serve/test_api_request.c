/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/chat_prompt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/random.h"

static bool read_body(const char *body, bool chat, tn_api_request *r, tn_arena *arena,
                      tn_api_problem *problem) {
  return tn_api_request_read(r, arena, tn_str_of(body), chat, problem);
}

static void everything_is_read(void **state) {
  (void)state;
  tn_arena arena = {0};
  tn_api_request r;
  tn_api_problem p;
  assert_true(
      read_body("{\"model\":\"m\",\"prompt\":[\"a\",[1,2]],\"max_tokens\":7,\"temperature\":0.5,"
                "\"top_p\":0.9,\"top_k\":-1,\"min_p\":0.1,\"seed\":-3,\"stop\":[\"x\",\"y\"],"
                "\"stream\":true,\"stream_options\":{\"include_usage\":true},\"echo\":false,"
                "\"logprobs\":2,\"presence_penalty\":1,\"frequency_penalty\":-1,"
                "\"ignore_eos\":true,\"user\":\"u\"}",
                false, &r, &arena, &p));
  assert_true(tn_str_is(r.model, "m"));
  assert_int_equal(r.prompt_count, 2);
  assert_true(tn_str_is(r.prompts[0].text, "a"));
  assert_int_equal(r.prompts[1].ids->count, 2);
  assert_int_equal(r.tokens_max, 7);
  assert_true(r.sampling.temperature == 0.5 && r.sampling.top_p == 0.9 && r.sampling.min_p == 0.1);
  assert_int_equal(r.sampling.top_k, 0);
  assert_true(r.seeded && r.sampling.seed == (uint64_t)-3);
  assert_int_equal(r.stop_count, 2);
  assert_true(r.stream && r.include_usage && r.ignore_eos && !r.echo);
  assert_true(r.sampling.logprobs);
  assert_int_equal(r.sampling.top_logprobs, 2);
  assert_true(r.sampling.presence_penalty == 1 && r.sampling.frequency_penalty == -1);
  tn_arena_clear(&arena);
}

static void refused(const char *body, const char *param, const char *text) {
  tn_arena arena = {0};
  tn_api_request r;
  tn_api_problem p;
  assert_false(read_body(body, false, &r, &arena, &p));
  assert_int_equal(p.status, 400);
  assert_string_equal(p.param, param);
  if (!strstr(p.error.text, text)) fail_msg("'%s' lacks '%s'", p.error.text, text);
  tn_arena_clear(&arena);
}

static void choices_and_biases(void **state) {
  (void)state;
  tn_arena arena = {0};
  tn_api_request r;
  tn_api_problem p;
  assert_true(
      read_body("{\"prompt\":[\"a\",\"b\"],\"n\":3,\"best_of\":3,"
                "\"logit_bias\":{\"5\":-100,\"17\":2.5}}",
                false, &r, &arena, &p));
  assert_int_equal(r.choices, 3);
  assert_int_equal(r.sampling.bias_count, 2);
  assert_int_equal(r.sampling.biases[1].id, 17);
  assert_true(r.sampling.biases[0].bias == -100 && r.sampling.biases[1].bias == 2.5f);
  tn_arena_clear(&arena);
  refused("{\"prompt\":\"a\",\"n\":0}", "n", "0");
  refused("{\"prompt\":\"a\",\"n\":129}", "n", "129");
  refused("{\"prompt\":[\"a\",\"b\"],\"n\":65}", "n", "limit 128 answers");
  refused("{\"prompt\":\"a\",\"n\":2,\"best_of\":3}", "best_of", "'best_of' is 3 and 'n' 2");
  refused("{\"prompt\":\"a\",\"logit_bias\":[1]}", "logit_bias", "wants an object");
  refused("{\"prompt\":\"a\",\"logit_bias\":{\"fox\":1}}", "logit_bias", "for 'fox'");
  refused("{\"prompt\":\"a\",\"logit_bias\":{\"-1\":1}}", "logit_bias", "for '-1'");
  refused("{\"prompt\":\"a\",\"logit_bias\":{\"1\":2,\"7\":1,\"07\":2}}", "logit_bias",
          "id 7 twice");
  refused("{\"prompt\":\"a\",\"logit_bias\":{\"1\":\"x\"}}", "logit_bias", "string for '1'");
  refused("{\"prompt\":\"a\",\"logit_bias\":{\"7\":100.5}}", "logit_bias",
          "token 7 is 100.5, wants -100 to 100");
}

static void formats(void **state) {
  (void)state;
  tn_arena arena = {0};
  tn_api_request r;
  tn_api_problem p;
  assert_true(read_body("{\"prompt\":\"a\",\"response_format\":{\"type\":\"json_object\"}}", false,
                        &r, &arena, &p));
  assert_true(r.json);
  assert_true(read_body("{\"prompt\":\"a\",\"response_format\":{\"type\":\"text\"}}", false, &r,
                        &arena, &p));
  assert_false(r.json);
  tn_arena_clear(&arena);
  refused("{\"prompt\":\"a\",\"response_format\":{}}", "response_format", "wants an object");
  refused("{\"prompt\":\"a\",\"response_format\":[]}", "response_format", "wants an object");
  refused("{\"prompt\":\"a\",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}}",
          "response_format", "type 'json_schema' is not supported");
}

static void defaults_are_openais(void **state) {
  (void)state;
  tn_arena arena = {0};
  tn_api_request r;
  tn_api_problem p;
  assert_true(read_body("{\"prompt\":\"a\",\"stop\":null,\"n\":1}", false, &r, &arena, &p));
  assert_true(r.sampling.temperature == 1 && r.sampling.top_p == 1);
  assert_true(r.tokens_max == -1 && !r.seeded && !r.stream && r.stop_count == 0 && !r.model.data);
  tn_arena_clear(&arena);
}

static void problems_have_openais_form(void **state) {
  (void)state;
  tn_arena arena = {0};
  tn_api_request r;
  tn_api_problem p;
  tn_strbuf text = {0};
  assert_false(read_body("{\"prompt\":\"a\",\"suffix\":\"b\"}", false, &r, &arena, &p));
  tn_api_problem_write(&p, &text);
  assert_string_equal(
      text.data,
      "{\"error\":{\"message\":\"'suffix' is not supported here with this value; leave it "
      "out\",\"type\":\"invalid_request_error\",\"param\":\"suffix\",\"code\":"
      "\"unsupported_parameter\"}}");
  tn_strbuf_reset(&text);
  assert_false(read_body("{\"prompt\" \"a\"}", false, &r, &arena, &p));
  tn_api_problem_write(&p, &text);
  assert_non_null(strstr(text.data, "line 1, column 11"));
  assert_non_null(strstr(text.data, "\"param\":null"));
  /* A key that is long, or breaks out of quotes, still makes one valid JSON text. */
  assert_false(
      read_body("{\"\\\"<script>xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\":1}",
                false, &r, &arena, &p));
  tn_strbuf_reset(&text);
  tn_api_problem_write(&p, &text);
  tn_json *root;
  assert_int_equal(tn_json_parse(&root, &arena, tn_strbuf_view(&text), NULL, NULL), TN_OK);
  tn_strbuf_clear(&text);
  tn_arena_clear(&arena);
}

static void chats_are_rendered_as_documented(void **state) {
  (void)state;
  tn_arena arena = {0};
  tn_api_request r;
  tn_api_problem p;
  tn_strbuf text = {0};
  assert_true(
      read_body("{\"messages\":[{\"role\":\"developer\",\"content\":\"S\"},"
                "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
                "{\"type\":\"text\",\"text\":\"b\"}]},"
                "{\"role\":\"assistant\",\"content\":\"c\",\"refusal\":null,\"tool_calls\":[]},"
                "{\"role\":\"user\",\"content\":\"d\"}],\"max_completion_tokens\":3}",
                true, &r, &arena, &p));
  assert_int_equal(r.tokens_max, 3);
  assert_true(tn_chat_prompt_render(NULL, r.messages, NULL, &text, &p));
  assert_string_equal(text.data, "System: S\nUser: ab\nAssistant: c\nUser: d\nAssistant:");
  tn_strbuf_clear(&text);
  tn_arena_clear(&arena);
}

/* Whatever a client sends is read or refused with a 4xx that names something. */
static void mutated_bodies_are_read_or_refused(void **state) {
  (void)state;
  static const char *const seeds[2] = {
      "{\"model\":\"m\",\"prompt\":[\"a\",[1,2]],\"max_tokens\":7,\"temperature\":0.5,\"seed\":-3,"
      "\"stop\":[\"x\"],\"stream\":true,\"stream_options\":{\"include_usage\":true},\"logit_bias\":"
      "{\"12\":-3.5}}",
      "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}],"
      "\"response_format\":{\"type\":\"text\"},\"tools\":[],\"n\":3,\"top_p\":1}"};
  int read = 0;
  for (uint64_t seed = 1; seed <= 20000; seed++) {
    char body[512];
    bool chat = seed % 2;
    size_t length = strlen(seeds[chat]);
    memcpy(body, seeds[chat], length);
    for (uint64_t k = 0; k <= tn_random_below(seed, 0, 0, 3); k++) {
      size_t at = (size_t)tn_random_below(seed, 1, k, length);
      size_t from = (size_t)tn_random_below(seed, 2, k, length);
      body[at] =
          tn_random_below(seed, 3, k, 2) ? body[from] : (char)tn_random_below(seed, 4, k, 256);
    }
    tn_arena arena = {0};
    tn_api_request r;
    tn_api_problem p = {0};
    tn_strbuf text = {0};
    if (tn_api_request_read(&r, &arena, (tn_str){body, length}, chat, &p) &&
        (!chat || tn_chat_prompt_render(NULL, r.messages, NULL, &text, &p))) {
      read++;
      assert_true(chat || r.prompt_count > 0);
    } else if (p.status != 400 || !p.error.text[0]) {
      fail_msg("seed %llu: status %d, '%s'", (unsigned long long)seed, p.status, p.error.text);
    }
    tn_strbuf_clear(&text);
    tn_arena_clear(&arena);
  }
  assert_in_range(read, 100, 19000);
}

static void failed_allocations(void **state) {
  (void)state;
  static const char body[] =
      "{\"messages\":[{\"role\":\"user\",\"content\":\"a\\nb\"}],\"seed\":1,"
      "\"logit_bias\":{\"1\":1}}";
  int64_t live = tn_alloc_live();
  bool done = false;
  int64_t n = 1;
  for (; n < 50 && !done; n++) {
    tn_arena arena = {0};
    tn_api_request r;
    tn_api_problem p = {0};
    tn_strbuf text = {0};
    tn_alloc_fail_at(n);
    done = read_body(body, true, &r, &arena, &p) &&
           tn_chat_prompt_render(NULL, r.messages, NULL, &text, &p);
    tn_alloc_fail_at(0);
    if (!done) assert_int_equal(p.status, 500);
    tn_strbuf_clear(&text);
    tn_arena_clear(&arena);
    assert_int_equal(tn_alloc_live(), live);
  }
  assert_true(done && n > 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(everything_is_read),
      cmocka_unit_test(choices_and_biases),
      cmocka_unit_test(formats),
      cmocka_unit_test(defaults_are_openais),
      cmocka_unit_test(problems_have_openais_form),
      cmocka_unit_test(chats_are_rendered_as_documented),
      cmocka_unit_test(mutated_bodies_are_read_or_refused),
      cmocka_unit_test(failed_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

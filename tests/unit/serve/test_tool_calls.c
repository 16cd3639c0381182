/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/tool_calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/io.h"
#include "base/random.h"
#include "serve/chat_prompt.h"

typedef struct sample {
  tn_tool_form form;
  const char *text;
  const char *left;  /* outside of the calls */
  const char *calls; /* "name arguments;" of each */
} sample;

static const sample samples[] = {
    {TN_TOOL_MARKED, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1.50}}\n</tool_call>",
     "", "f {\"x\":1.50};"},
    {TN_TOOL_MARKED,
     "I look. "
     "\n<tool_call>{\"arguments\":{},\"name\":\"a\"}</tool_call>\n\n<tool_call>\n{\"name\": "
     "\"b\", \"arguments\": {\"s\": \"</b> \\u00e9\"}}</tool_call> \n",
     "I look.", "a {};b {\"s\":\"</b> é\"};"},
    {TN_TOOL_MARKED, "a < b <tool > <tool_cal l>", "a < b <tool > <tool_cal l>", ""},
    {TN_TOOL_MARKED, " text \n", " text \n", ""},
    {TN_TOOL_MARKED, "", "", ""},
    {TN_TOOL_MARKED, "x <tool_call>\n{\"name\": \"f\", \"arg",
     "x <tool_call>\n{\"name\": \"f\", \"arg", ""},
    {TN_TOOL_MARKED, "So:\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call> and more \n",
     "So:\n and more", "f {};"},
    {TN_TOOL_MARKED,
     "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n<tool_call>{\"name\": \"g\", \"arg",
     "\n<tool_call>{\"name\": \"g\", \"arg", "f {};"},
    {TN_TOOL_MARKED,
     "<tool_call>{\"name\":}</tool_call><tool_call>{\"name\":\"g\",\"arguments\":{}}</tool_call>",
     "<tool_call>{\"name\":}</tool_call>", "g {};"},
    {TN_TOOL_MARKED, "<tool_call>{\"na <tool_call>{\"name\":\"g\",\"arguments\":{}}</tool_call>x",
     "<tool_call>{\"na x", "g {};"},
    {TN_TOOL_MARKED, /* a call in a string of another is none */
     "<tool_call>{\"name\":\"f\",\"arguments\":{\"s\":\"<tool_call>{\\\"name\\\":\\\"g\\\","
     "\\\"arguments\\\":{}}\"}}</tool_call>",
     "", "f {\"s\":\"<tool_call>{\\\"name\\\":\\\"g\\\",\\\"arguments\\\":{}}\"};"},
    {TN_TOOL_MARKED,
     "<tool_call>{\"name\":\"z\",\"arguments\":{}}</tool_call>"
     "<tool_call>{\"name\":\"b\",\"arguments\":{}}</tool_call>",
     "<tool_call>{\"name\":\"z\",\"arguments\":{}}</tool_call>", "b {};"},
    {TN_TOOL_MARKED, "<tool_call>{\"name\":\"f\",\"arguments\":\"x\"}</tool_call>",
     "<tool_call>{\"name\":\"f\",\"arguments\":\"x\"}</tool_call>", ""},
    {TN_TOOL_MARKED, "<tool_call>{\"name\":\"\",\"arguments\":{}}</tool_call>",
     "<tool_call>{\"name\":\"\",\"arguments\":{}}</tool_call>", ""},
    {TN_TOOL_MARKED, "<tool_call>[]</tool_call>", "<tool_call>[]</tool_call>", ""},
    {TN_TOOL_BARE, "\n{\"name\": \"f\", \"parameters\": {\"x\": [1, null]}}\n", "",
     "f {\"x\":[1,null]};"},
    {TN_TOOL_BARE, "{\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}", "", "f {};"},
    {TN_TOOL_BARE, "{\"name\": \"f\", \"arguments\": {}}", "", "f {};"},
    {TN_TOOL_BARE, "{\"name\": \"f\", \"parameters\": {\"s\": \"}\\\"\"}} I hope so.\n",
     " I hope so.", "f {\"s\":\"}\\\"\"};"},
    {TN_TOOL_BARE,
     "{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {\"x\": 1}}\n", "",
     "f {};g {\"x\":1};"},
    {TN_TOOL_BARE, "{\"name\": \"f\", \"parameters\": 1}\n{\"name\": \"g\", \"parameters\": {}}",
     "{\"name\": \"f\", \"parameters\": 1}", "g {};"},
    {TN_TOOL_BARE, "{\"name\": \"f\", \"parameters\": {}} {\"name\": \"g\", ", " {\"name\": \"g\",",
     "f {};"},
    {TN_TOOL_BARE, "{\"name\": \"z\", \"parameters\": {}}", "{\"name\": \"z\", \"parameters\": {}}",
     ""},
    {TN_TOOL_BARE, "{\"name\": \"Ann\", \"age\": 3}", "{\"name\": \"Ann\", \"age\": 3}", ""},
    {TN_TOOL_BARE, "{\"name\": \"f\", \"parameters\": {}, \"more\": 1}",
     "{\"name\": \"f\", \"parameters\": {}, \"more\": 1}", ""},
    {TN_TOOL_BARE, "{\"name\": \"f\", \"parame", "{\"name\": \"f\", \"parame", ""},
    {TN_TOOL_BARE, "It is {\"name\": \"f\", \"parameters\": {}}",
     "It is {\"name\": \"f\", \"parameters\": {}}", ""},
    {TN_TOOL_NONE, "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>",
     "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>", ""},
};

static tn_str told[] = {{"a", 1}, {"b", 1}, {"f", 1}, {"g", 1}};
static const tn_tool_names names = {told, 4};

static void spell(const tn_tool_answer *a, tn_strbuf *out) {
  tn_strbuf_reset(out);
  tn_strbuf_add(out, "");
  for (int32_t i = 0; i < a->count; i++)
    tn_strbuf_addf(out, "%.*s %.*s;", TN_STR_ARG(a->calls[i].name),
                   TN_STR_ARG(a->calls[i].arguments));
}

static void check(const sample *s, tn_str text, tn_strbuf *left) {
  tn_arena arena = {0};
  tn_tool_answer answer;
  tn_strbuf calls = {0};
  assert_int_equal(tn_tool_answer_read(&answer, &arena, s->form, &names, text, NULL), TN_OK);
  spell(&answer, &calls);
  tn_strbuf_add_str(left, answer.text);
  if (!tn_str_is(tn_strbuf_view(left), s->left))
    fail_msg("%s: text is '%.*s'", s->text, TN_STR_ARG(tn_strbuf_view(left)));
  if (!tn_str_is(tn_strbuf_view(&calls), s->calls))
    fail_msg("%s: calls are '%.*s'", s->text, TN_STR_ARG(tn_strbuf_view(&calls)));
  tn_strbuf_clear(&calls);
  tn_arena_clear(&arena);
}

/* Read as a whole, and as it comes, byte by byte: what went out before the end was text. */
static void answers_are_read(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
    const sample *s = &samples[i];
    tn_strbuf left = {0}, held = {0};
    check(s, tn_str_of(s->text), &left);
    tn_strbuf_reset(&left);
    for (const char *c = s->text; *c; c++) {
      tn_strbuf_add_char(&held, *c);
      size_t certain = tn_tool_text_certain(s->form, tn_strbuf_view(&held), left.length > 0);
      assert_true(certain <= held.length);
      tn_strbuf_add_str(&left, (tn_str){held.data, certain});
      memmove(held.data, held.data + certain, held.length - certain);
      held.length -= certain;
    }
    check(s, tn_strbuf_view(&held), &left);
    tn_strbuf_clear(&left);
    tn_strbuf_clear(&held);
  }
}

static void text_goes_out_at_once(void **state) {
  (void)state;
  assert_int_equal(tn_tool_text_certain(TN_TOOL_MARKED, TN_STR("so <b> it"), false), 9);
  assert_int_equal(tn_tool_text_certain(TN_TOOL_MARKED, TN_STR("so <tool"), false), 2);
  assert_int_equal(tn_tool_text_certain(TN_TOOL_BARE, TN_STR("so {"), false), 4);
  assert_int_equal(tn_tool_text_certain(TN_TOOL_BARE, TN_STR(" {so"), false), 0);
  assert_int_equal(tn_tool_text_certain(TN_TOOL_BARE, TN_STR("{so"), true), 3);
  assert_int_equal(tn_tool_text_certain(TN_TOOL_NONE, TN_STR("<tool_call>"), false), 11);
}

static void too_many_calls_are_text(void **state) {
  (void)state;
  tn_strbuf text = {0};
  for (int i = 0; i <= TN_TOOL_CALLS_MAX; i++) {
    tn_arena arena = {0};
    tn_tool_answer answer;
    tn_strbuf_add(&text, "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>");
    assert_int_equal(
        tn_tool_answer_read(&answer, &arena, TN_TOOL_MARKED, NULL, tn_strbuf_view(&text), NULL),
        TN_OK);
    assert_int_equal(answer.count, i < TN_TOOL_CALLS_MAX ? i + 1 : TN_TOOL_CALLS_MAX);
    assert_int_equal(answer.text.length, i < TN_TOOL_CALLS_MAX ? 0 : text.length / ((size_t)i + 1));
    tn_arena_clear(&arena);
  }
  tn_strbuf_clear(&text);
}

static tn_chat_template *template_of(const char *text) {
  char path[] = "/tmp/tenon-tools-XXXXXX.jinja";
  tn_chat_template *t = NULL;
  int fd = mkstemps(path, 6);
  assert_true(fd >= 0);
  close(fd);
  assert_int_equal(tn_file_write_atomic(path, tn_str_of(text), NULL), TN_OK);
  assert_int_equal(tn_chat_template_open(&t, path, NULL), TN_OK);
  unlink(path);
  return t;
}

#define CALLS "{% for m in messages %}{% for c in m.tool_calls or [] %}"
#define ENDS  "{% endfor %}{% endfor %}"

static void forms_of_templates(void **state) {
  (void)state;
  static const struct {
    const char *text;
    tn_tool_form form;
  } templates[] = {
      {"{{ tools | tojson }} as <tool_call>{\"name\": <name>}</tool_call> " CALLS
       "<tool_call>\n{\"name\": \"{{ c.function.name }}\", \"arguments\": "
       "{{ c.function.arguments | tojson }}}\n</tool_call>" ENDS,
       TN_TOOL_MARKED},
      {CALLS
       "{\"name\": \"{{ c.function.name }}\", \"parameters\": {{ c.function.arguments | tojson "
       "}}}" ENDS,
       TN_TOOL_BARE},
      {"<tool_call>{\"name\": <name>}</tool_call>", TN_TOOL_NONE},
      {"{% for m in messages %}{{ m.content }}{% endfor %}", TN_TOOL_NONE},
      {"{{ raise_exception('no tools') }}", TN_TOOL_NONE},
      {CALLS "<function={{ c.function.name }}>{{ c.function.arguments | tojson }}</function>" ENDS,
       TN_TOOL_NONE},
  };
  tn_tool_form form = TN_TOOL_BARE;
  assert_int_equal(tn_tool_form_of(&form, NULL, NULL), TN_OK);
  assert_int_equal(form, TN_TOOL_NONE);
  for (size_t i = 0; i < sizeof templates / sizeof templates[0]; i++) {
    tn_chat_template *t = template_of(templates[i].text);
    assert_int_equal(tn_tool_form_of(&form, t, NULL), TN_OK);
    if (form != templates[i].form) fail_msg("%s: form %d", templates[i].text, form);
    tn_chat_template_free(t);
  }
}

static const char template_text[] =
    "{% for t in tools or [] %}[{{ t.function.name }}]{% endfor %}{% for m in messages %}"
    "{{ m.role }}:{{ m.content }}{% for c in m.tool_calls or [] %}<{{ c.id }} {{ c.function.name "
    "}} "
    "{{ c.function.arguments | tojson }}>{% endfor %}"
    "{% if m.tool_call_id %}({{ m.tool_call_id }} {{ m.name }}){% endif %};{% endfor %}";

static const char with_tools[] =
    "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f-1\"}}],\"messages\":["
    "{\"role\":\"user\",\"content\":\"q\"},"
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\","
    "\"function\":{\"name\":\"f-1\",\"arguments\":\"{\\\"x\\\": [1]}\"}},"
    "{\"function\":{\"name\":\"g\",\"arguments\":\"{bro\"}}]},"
    "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"name\":\"f-1\",\"content\":\"r\"}]}";

static bool render(const tn_chat_template *t, tn_str body, tn_strbuf *out, tn_api_problem *p) {
  tn_arena arena = {0};
  tn_api_request r;
  bool good = tn_api_request_read(&r, &arena, body, true, p) &&
              tn_chat_prompt_render(t, r.messages, r.tools, out, p);
  tn_arena_clear(&arena);
  return good;
}

static void templates_see_calls_and_results(void **state) {
  (void)state;
  tn_chat_template *t = template_of(template_text);
  tn_strbuf out = {0};
  tn_api_problem p;
  assert_true(render(t, tn_str_of(with_tools), &out, &p));
  assert_string_equal(out.data,
                      "[f-1]user:q;assistant:<c1 f-1 {\"x\": [1]}>< g \"{bro\">;tool:r(c1 f-1);");
  assert_false(render(NULL, tn_str_of(with_tools), &out, &p)); /* plain text knows no calls */
  assert_string_equal(p.error.text, "messages[1]: 'tool_calls' is not supported");
  tn_strbuf_clear(&out);
  tn_chat_template_free(t);
}

#define MESSAGE(role, content) "{\"role\":\"" role "\",\"content\":\"" content "\"}"
#define SAID                   MESSAGE("user", "q") "," MESSAGE("assistant", "a")

/* Which roles a template uses; the prompt, or NULL and what the refusal says. */
static void no_message_is_passed_over(void **state) {
  (void)state;
  const char *system =
      "{% for m in messages %}{% if m.role == 'system' or m.role == 'user' or "
      "m.role == 'assistant' %}{{ m.role }}:{{ m.content | trim }};{% endif %}"
      "{% endfor %}";
  const char *any = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}";
  const char *first =
      "{% if messages[0].role == 'developer' %}{{ messages[0].content }};{% endif %}"
      "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}"
      "{% endfor %}";
  const char *strict =
      "{% for m in messages %}{% if m.content|length > 3 %}"
      "{{ raise_exception('long') }}{% endif %}{{ m.content }}{% endfor %}";
  const struct {
    const char *template, *messages, *prompt, *says;
  } cases[] = {
      {system, SAID "," MESSAGE("system", ""), "user:q;assistant:a;system:;", NULL},
      {system, MESSAGE("developer", "s"), "system:s;", NULL},
      {any, MESSAGE("developer", "s") "," MESSAGE("wizard", "w"), "system:s;wizard:w;", NULL},
      {first, MESSAGE("developer", "s") "," SAID, "s;q", NULL},
      {strict, MESSAGE("system", "s"), "s", NULL},
      {system, SAID "," MESSAGE("wizard", "q"), NULL,
       "messages[2]: the model's chat template "
       "leaves a message of role 'wizard' out"},
      {first, SAID "," MESSAGE("developer", "s"), NULL, "role 'developer' out"},
      {first, MESSAGE("system", "s"), NULL, "role 'system' out"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    tn_chat_template *t = template_of(cases[i].template);
    tn_strbuf body = {0}, out = {0};
    tn_api_problem p = {0};
    tn_strbuf_addf(&body, "{\"messages\":[%s]}", cases[i].messages);
    bool good = render(t, tn_strbuf_view(&body), &out, &p);
    if (good != (cases[i].prompt != NULL)) fail_msg("case %zu: '%s'", i, p.error.text);
    if (good) assert_string_equal(out.data, cases[i].prompt);
    if (!good) assert_int_equal(p.status, 400);
    if (!good && !strstr(p.error.text, cases[i].says)) fail_msg("case %zu: %s", i, p.error.text);
    tn_strbuf_clear(&body);
    tn_strbuf_clear(&out);
    tn_chat_template_free(t);
  }
}

/* Whatever a client sends of tools is rendered, or refused by name. */
static void mutated_tools_are_rendered_or_refused(void **state) {
  (void)state;
  tn_chat_template *t = template_of(template_text);
  int rendered = 0;
  for (uint64_t seed = 1; seed <= 10000; seed++) {
    char body[sizeof with_tools];
    size_t length = sizeof with_tools - 1;
    memcpy(body, with_tools, length);
    for (uint64_t k = 0; k <= tn_random_below(seed, 0, 0, 3); k++) {
      size_t at = (size_t)tn_random_below(seed, 1, k, length);
      body[at] = body[tn_random_below(seed, 2, k, length)];
    }
    tn_strbuf out = {0};
    tn_api_problem p = {0};
    if (render(t, (tn_str){body, length}, &out, &p))
      rendered++;
    else if (p.status != 400 || !p.error.text[0])
      fail_msg("seed %llu: status %d, '%s'", (unsigned long long)seed, p.status, p.error.text);
    tn_strbuf_clear(&out);
  }
  assert_in_range(rendered, 100, 9000);
  tn_chat_template_free(t);
}

static void failed_allocations_of_a_prompt(void **state) {
  (void)state;
  tn_chat_template *t = template_of(template_text);
  int64_t live = tn_alloc_live(), n = 1;
  for (bool done = false; !done && n < 500; n++) {
    tn_strbuf out = {0};
    tn_api_problem p = {0};
    tn_alloc_fail_at(n);
    done = render(t, tn_str_of(with_tools), &out, &p);
    tn_alloc_fail_at(0);
    /* A template's memory has a limit, and does not tell which of the two it met. */
    if (!done && p.status != 500) assert_non_null(strstr(p.error.text, "bytes of memory"));
    tn_strbuf_clear(&out);
    assert_int_equal(tn_alloc_live(), live);
  }
  assert_in_range(n, 5, 499);
  tn_chat_template_free(t);
}

static void failed_allocations(void **state) {
  (void)state;
  int64_t live = tn_alloc_live(), n = 1;
  for (bool done = false; !done && n < 100; n++) {
    tn_arena arena = {0};
    tn_tool_answer answer;
    tn_alloc_fail_at(n);
    tn_status status = tn_tool_answer_read(&answer, &arena, TN_TOOL_MARKED, &names,
                                           tn_str_of(samples[1].text), NULL);
    tn_alloc_fail_at(0);
    done = status == TN_OK;
    if (!done) assert_int_equal(status, TN_ERR_MEMORY);
    tn_arena_clear(&arena);
    assert_int_equal(tn_alloc_live(), live);
  }
  assert_in_range(n, 3, 99);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(answers_are_read),
      cmocka_unit_test(text_goes_out_at_once),
      cmocka_unit_test(too_many_calls_are_text),
      cmocka_unit_test(forms_of_templates),
      cmocka_unit_test(templates_see_calls_and_results),
      cmocka_unit_test(no_message_is_passed_over),
      cmocka_unit_test(mutated_tools_are_rendered_or_refused),
      cmocka_unit_test(failed_allocations_of_a_prompt),
      cmocka_unit_test(failed_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Chat templates: memory, limits and messages; what they print is compared with jinja2 in
 * tests/peers/test_template.py. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/jinja.h"

static const char variables[] =
    "{\"m\":[{\"role\":\"user\",\"content\":\" hi \"},{\"role\":\"tool\"}],\"n\":3}";

static tn_status render(const char *source, const tn_jinja_options *options, tn_strbuf *out,
                        tn_error *err) {
  tn_arena arena = {0};
  tn_json *root;
  tn_jinja *jinja = NULL;
  tn_status status = tn_json_parse(&root, &arena, TN_STR(variables), NULL, err);
  if (status == TN_OK) status = tn_jinja_compile(&jinja, "t", tn_str_of(source), err);
  if (status == TN_OK) status = tn_jinja_render(jinja, root, options, out, err);
  tn_jinja_free(jinja);
  tn_arena_clear(&arena);
  return status;
}

static void test_renders(void **state) {
  tn_strbuf out = {0};
  tn_error err;
  assert_int_equal(
      render("{% for x in m %}{{ x.role ~ x.content | trim }};{% endfor %}", NULL, &out, &err),
      TN_OK);
  assert_string_equal(out.data, "userhi;tool;");
  tn_strbuf_clear(&out);
}

static void test_messages_name_the_line(void **state) {
  static const struct {
    const char *source;
    tn_status status;
    const char *text;
  } cases[] = {
      {"a\nb\n{{ 1 + }}", TN_ERR_DATA, "t: line 3: expected a value, found }}"},
      {"{{ x|nosuch }}", TN_ERR_DATA, "t: line 1: no filter named 'nosuch'"},
      {"\n{% include 'x' %}", TN_ERR_UNSUPPORTED,
       "t: line 2: the tag 'include' is not supported in a chat template"},
      {"\n\n{{ m.x.y }}", TN_ERR_DATA, "t: line 3: 'x' is undefined"},
      {"{{ raise_exception('stop ' ~ n) }}", TN_ERR_ARGUMENT, "t: line 1: stop 3"},
      {"{{ 9223372036854775807 + 1 }}", TN_ERR_LIMIT, "t: line 1: an integer beyond 64 bits"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    tn_strbuf out = {0};
    tn_error err;
    assert_int_equal(render(cases[i].source, NULL, &out, &err), cases[i].status);
    assert_string_equal(err.text, cases[i].text);
    assert_int_equal(out.length, 0);
  }
}

static void test_limits(void **state) {
  tn_jinja_options steps = {.steps_max = 100}, output = {.output_bytes_max = 100},
                   memory = {.memory_bytes_max = 1 << 16};
  const char *many = "{% for i in range(1000) %}x{% endfor %}";
  const char *large =
      "{% set s = 'aaaaaaaaaaaaaaaa' %}{% for i in range(20) %}{% set t = s * 999 "
      "%}{% endfor %}";
  tn_strbuf out = {0};
  tn_error err;
  assert_int_equal(render(many, &steps, &out, &err), TN_ERR_LIMIT);
  assert_int_equal(render("{% for i in range(30) %}12345{% endfor %}", &output, &out, &err),
                   TN_ERR_LIMIT);
  assert_int_equal(render(large, &memory, &out, &err), TN_ERR_LIMIT);
  assert_int_equal(render(large, NULL, &out, &err), TN_OK);
  tn_strbuf_clear(&out);
  /* work over long texts counts by their length, not by the calls */
  const char *long_texts[] = {
      "{% set s = ' ' * 1000000 %}{% for i in range(100) %}{% if s.strip() %}{% endif %}{% endfor "
      "%}",
      "{% set s = ' ' * 1000000 %}{% for i in range(100) %}{% if s|trim %}{% endif %}{% endfor %}",
      "{% set s = ' ' * 1000000 %}{% set t = ' ' * 1000000 %}{% for i in range(100) %}"
      "{% if s == t %}{% endif %}{% endfor %}",
      "{% set s = ' ' * 1000000 %}{% set t = ' ' * 1000000 %}{% for i in range(100) %}"
      "{% if s < t %}{% endif %}{% endfor %}",
      "{% set s = ' ' * 1000000 %}{% set d = {' ' * 1000000: 1} %}{% for i in range(100) %}"
      "{% if d[s] %}{% endif %}{% endfor %}",
  };
  tn_jinja_options million = {.steps_max = 1000000};
  for (size_t i = 0; i < sizeof long_texts / sizeof long_texts[0]; i++)
    assert_int_equal(render(long_texts[i], &million, &out, &err), TN_ERR_LIMIT);
}

static void test_every_allocation_may_fail(void **state) {
  const char *source =
      "{% macro f(a) %}{{ a|upper }}{% endmacro %}{% set v %}{{ f('x') }}{% endset %}"
      "{{ m|tojson(indent=1) }}{{ v ~ [1, {'a': 'b'.split('x')}]|string }}{{ '%s' % m[0].content "
      "}}";
  int64_t live = tn_alloc_live();
  bool done = false;
  for (int64_t n = 1; !done && n < 1000; n++) {
    tn_strbuf out = {0};
    tn_error err = {0};
    tn_alloc_fail_at(n);
    done = render(source, NULL, &out, &err) == TN_OK;
    tn_alloc_fail_at(0);
    if (!done) assert_true(err.text[0] != '\0');
    tn_strbuf_clear(&out);
    assert_int_equal(tn_alloc_live(), live);
  }
  assert_true(done);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_renders),
      cmocka_unit_test(test_messages_name_the_line),
      cmocka_unit_test(test_limits),
      cmocka_unit_test(test_every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

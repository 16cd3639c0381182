/* SPDX-License-Identifier: Apache-2.0 */
/* Multiple choice: what is scored, which rule picks what, and what a wrong file says. */
#include <math.h>

#include "eval_test.h"

#include "eval/choices.h"

enum { VOCAB = 28, POSITIONS = 40, EOS = 27 };

typedef struct seen {
  int32_t items;
  tn_choice_item item;
  tn_choice_score scores[8];
} seen;

static tn_status note_item(void *context, const tn_choice_item *item, tn_error *err) {
  seen *s = context;
  s->items++;
  s->item = *item;
  for (int32_t i = 0; i < item->count && i < 8; i++) s->scores[i] = item->scores[i];
  return TN_OK;
}

typedef struct fixture {
  char path[64];
  tn_model *model;
  tn_tokenizer *tokenizer;
  tn_scorer *scorer;
} fixture;

static int set_up(void **state) {
  static fixture f;
  tn_error err;
  f = (fixture){.path = "/tmp/tenon-choices-XXXXXX"};
  int fd = mkstemp(f.path);
  assert_true(fd >= 0);
  close(fd);
  f.model = tiny_model(VOCAB, POSITIONS);
  f.tokenizer = letter_tokenizer();
  must(tn_scorer_new(&f.scorer, f.model, TN_F32, NULL, POSITIONS + 1, &err));
  *state = &f;
  return 0;
}

static int tear_down(void **state) {
  fixture *f = *state;
  unlink(f->path);
  tn_scorer_free(f->scorer);
  tn_tokenizer_free(f->tokenizer);
  tn_model_free(f->model);
  return 0;
}

static tn_status run(const fixture *f, const char *text, seen *s, tn_choices *out, tn_error *err) {
  const tn_choices_options o = {.bos_id = -1, .eos_id = EOS, .each = note_item, .context = s};
  TN_TRY(tn_file_write_atomic(f->path, tn_str_of(text), err));
  return tn_choices_run(out, f->scorer, f->tokenizer, f->path, &o, NULL, err);
}

/* Sum of the scores of `text` from its token `from` on; letters and spaces, cut to the model. */
static double sum_of(const fixture *f, const char *text, int64_t from) {
  tn_error err;
  tn_ids ids = {0};
  tn_token_score scores[256];
  must(tn_tokenizer_encode(f->tokenizer, tn_str_of(text), true, &ids, &err));
  int64_t count = (int64_t)ids.count, cut = count > POSITIONS + 1 ? count - POSITIONS - 1 : 0;
  must(tn_scorer_run(f->scorer, ids.items + cut, count - cut, from - cut, scores, &err));
  double sum = 0;
  for (int64_t i = 0; i < count - from; i++) sum += scores[i].log_probability;
  tn_ids_clear(&ids);
  return sum;
}

static void sums_are_those_of_the_continuation(void **state) {
  const fixture *f = *state;
  tn_error err;
  seen s = {0};
  tn_choices c;
  must(run(f, "{\"context\": \"the sky is\", \"choices\": [\"blue\", \"a\"], \"answer\": 1}\n\n",
           &s, &c, &err));
  assert_int_equal(s.item.line, 1);
  assert_true(fabs(s.scores[0].log_likelihood - sum_of(f, "the sky is blue", 10)) < 1e-9);
  assert_true(fabs(s.scores[1].log_likelihood - sum_of(f, "the sky is a", 10)) < 1e-9);
  assert_int_equal(s.scores[0].tokens, 5);
  assert_int_equal(s.scores[0].characters, 4);
  assert_int_equal(c.scored, 7);
  /* White space at the context's end belongs to the choice. */
  must(run(f, "{\"context\": \"ab \", \"choices\": [\"c\", \"dd\"], \"answer\": 0}", &s, &c, &err));
  assert_true(fabs(s.scores[0].log_likelihood - sum_of(f, "ab  c", 2)) < 1e-9);
  assert_int_equal(s.scores[1].tokens, 4);
  /* No context: the end-of-text token stands there. */
  must(run(f, "{\"context\": \"\", \"choices\": [\"c\", \"d\"], \"answer\": 0}", &s, &c, &err));
  assert_true(fabs(s.scores[1].log_likelihood - sum_of(f, "<|endoftext|> d", 1)) < 1e-9);
  /* A special token that is written in a text is one. */
  must(run(f, "{\"context\": \"ab<|endoftext|>c\", \"choices\": [\"d\", \"e\"], \"answer\": 0}", &s,
           &c, &err));
  assert_true(fabs(s.scores[0].log_likelihood - sum_of(f, "ab<|endoftext|>c d", 4)) < 1e-9);
  /* Too long: the beginning goes. */
  const char *words = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
  char line[256], text[128];
  snprintf(line, sizeof line, "{\"context\": \"%s\", \"choices\": [\"xy\", \"z\"], \"answer\": 0}",
           words);
  snprintf(text, sizeof text, "%s xy", words);
  must(run(f, line, &s, &c, &err));
  assert_true(fabs(s.scores[0].log_likelihood - sum_of(f, text, 52)) < 1e-9);
}

static void rules_pick_and_count(void **state) {
  const fixture *f = *state;
  tn_error err;
  tn_strbuf text = {0};
  int32_t right[3] = {0};
  tn_choices c;
  seen s = {0};
  /* Letters that the tokenizer knows; choices of many lengths, so that the rules differ. */
  for (int32_t i = 0; i < 40; i++) {
    char line[128], words[3][12];
    for (int32_t k = 0; k < 3; k++) {
      int32_t length = 1 + (i * 7 + k * 5) % 9;
      for (int32_t j = 0; j < length; j++)
        words[k][j] = (char)('a' + tn_random_below(1, (uint64_t)(i * 3 + k), (uint64_t)j, 26));
      words[k][length] = '\0';
    }
    snprintf(line, sizeof line,
             "{\"context\": \"q%c\", \"choices\": [\"%s\", \"%s\", \"%s\"], \"answer\": %d}\n",
             'a' + i % 26, words[0], words[1], words[2], i % 3);
    tn_strbuf_add(&text, line);
    seen one = {0};
    must(run(f, line, &one, &c, &err));
    int32_t best = 0, best_norm = 0;
    for (int32_t k = 1; k < 3; k++) {
      if (one.scores[k].log_likelihood > one.scores[best].log_likelihood) best = k;
      if (one.scores[k].log_likelihood / (double)strlen(words[k]) >
          one.scores[best_norm].log_likelihood / (double)strlen(words[best_norm]))
        best_norm = k;
    }
    assert_int_equal(one.item.picked, best);
    assert_int_equal(one.item.picked_characters, best_norm);
    assert_int_equal(one.item.picked_bytes, best_norm);
    right[0] += best == i % 3;
    right[1] += best_norm == i % 3;
    right[2] += best != best_norm;
  }
  assert_true(right[2] > 3); /* the rules are told apart */
  must(run(f, text.data, &s, &c, &err));
  assert_int_equal(c.items, 40);
  assert_true(fabs(c.acc - right[0] / 40.0) < 1e-12);
  assert_true(fabs(c.acc_norm - right[1] / 40.0) < 1e-12);
  assert_true(fabs(c.acc_error - sqrt(c.acc * (1 - c.acc) / 39)) < 1e-12);
  tn_strbuf_clear(&text);
}

static void wrong_lines_are_named(void **state) {
  static const struct {
    const char *text, *says;
    tn_status status;
  } cases[] = {
      {"", "no items", TN_ERR_DATA},
      {"[]", "line 1: a JSON array", TN_ERR_DATA},
      {"{\"context\": \"a\", \"choices\": [\"a\", \"b\"], \"answer\": 0}\n{\"context\": ", "line 2",
       TN_ERR_DATA},
      {"{\"context\": \"a\", \"choices\": [\"a\"], \"answer\": 0}", "1 choices", TN_ERR_DATA},
      {"{\"context\": \"a\", \"choices\": [\"a\", 3], \"answer\": 0}", "choice 1", TN_ERR_DATA},
      {"{\"context\": \"a\", \"choices\": [\"a\", \"\"], \"answer\": 0}", "choice 1", TN_ERR_DATA},
      {"{\"context\": \"a\", \"choices\": [\"a\", \"b\"]}", "no \"answer\"", TN_ERR_DATA},
      {"{\"context\": \"a\", \"choices\": [\"a\", \"b\"], \"answer\": 2}", "answer", TN_ERR_DATA},
      {"{\"context\": 5, \"choices\": [\"a\", \"b\"], \"answer\": 1}", "context", TN_ERR_DATA},
      {"{\"context\": \"a\", \"choices\": [\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv\", "
       "\"b\"], \"answer\": 1}",
       "49 tokens", TN_ERR_LIMIT},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tn_error err;
    seen s = {0};
    tn_choices c;
    assert_int_equal(run(*state, cases[i].text, &s, &c, &err), cases[i].status);
    if (!strstr(err.text, cases[i].says)) fail_msg("case %zu: %s", i, err.text);
  }
}

static void out_of_memory_is_reported(void **state) {
  const fixture *f = *state;
  tn_error err;
  seen s = {0};
  tn_choices c;
  int64_t live = tn_alloc_live();
  must(tn_file_write_atomic(
      f->path, TN_STR("{\"context\": \"ab\", \"choices\": [\"c\", \"d\"], \"answer\": 0}"), &err));
  for (int64_t n = 1;; n++) {
    const tn_choices_options o = {.bos_id = -1, .eos_id = EOS, .each = note_item, .context = &s};
    tn_alloc_fail_at(n);
    tn_status status = tn_choices_run(&c, f->scorer, f->tokenizer, f->path, &o, NULL, &err);
    tn_alloc_fail_at(0);
    assert_int_equal(tn_alloc_live(), live);
    if (status == TN_OK) {
      assert_true(n > 5);
      break;
    }
    assert_int_equal(status, TN_ERR_MEMORY);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sums_are_those_of_the_continuation),
      cmocka_unit_test(rules_pick_and_count),
      cmocka_unit_test(wrong_lines_are_named),
      cmocka_unit_test(out_of_memory_is_reported),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Scores and windows against logits of the serving pass, taken one sequence at a time. */
#include <math.h>

#include "eval_test.h"

#include "eval/perplexity.h"

enum { VOCAB = 61, TEXT = 50, POSITIONS = 40 };

/* log p(ids[at] | ids[0 .. at - 1]) from one plain forward pass. */
static double plain_score(tn_model *m, const int32_t *ids, int64_t at) {
  tn_error err;
  tn_stream *stream;
  tn_kv_cache *kv;
  tn_forward *f;
  must(tn_stream_open(tn_device_cpu(), NULL, &stream, &err));
  must(tn_kv_cache_new(&kv, m, TN_F32, 1, 64, &err));
  must(tn_forward_new(&f, m, stream, at, 1, 1, 1, &err));
  int32_t places[64], zeros[64] = {0}, last = (int32_t)at - 1;
  for (int32_t i = 0; i < 64; i++) places[i] = i;
  const tn_forward_batch b = {.rows = at,
                              .ids = ids,
                              .positions = places,
                              .sequences = zeros,
                              .slots = places,
                              .sequence_count = 1,
                              .blocks_per_sequence = 1,
                              .block_table = zeros,
                              .logit_rows = 1,
                              .logit_indices = &last};
  const float *logits;
  must(tn_forward_run(f, kv, &b, &logits, &err));
  double sum = 0;
  for (int64_t i = 0; i < VOCAB; i++) sum += exp((double)logits[i]);
  double score = (double)logits[ids[at]] - log(sum);
  tn_forward_free(f);
  tn_kv_cache_free(kv);
  tn_stream_close(stream);
  return score;
}

static void scores_are_the_logits_and_reuse_changes_no_bit(void **state) {
  tn_error err;
  int32_t ids[TEXT];
  tn_token_score first[TEXT], again[TEXT];
  tn_model *m = tiny_model(VOCAB, POSITIONS);
  random_ids(ids, TEXT, VOCAB);
  tn_scorer *s;
  must(tn_scorer_new(&s, m, TN_F32, NULL, POSITIONS, &err));
  must(tn_scorer_run(s, ids, 30, 3, first, &err));
  for (int64_t at = 3; at < 30; at++)
    assert_true(fabs(first[at - 3].log_probability - plain_score(m, ids, at)) < 1e-5);
  int64_t rows = tn_scorer_rows_run(s);
  assert_int_equal(rows, 29); /* the last token is never fed */
  must(tn_scorer_run(s, ids, 30, 20, again, &err));
  assert_int_equal(tn_scorer_rows_run(s) - rows, 10);
  for (int64_t i = 20; i < 30; i++)
    assert_true(again[i - 20].log_probability == first[i - 3].log_probability);
  ids[10] = (ids[10] + 1) % VOCAB; /* another sequence: nothing stale is taken */
  must(tn_scorer_run(s, ids, 30, 20, again, &err));
  assert_true(fabs(again[5].log_probability - plain_score(m, ids, 25)) < 1e-5);
  assert_true(again[5].log_probability != first[22].log_probability);
  tn_scorer_free(s);
  tn_model_free(m);
}

/* By the definition: every token once, in the first window that holds it. */
static double nats_by_definition(tn_model *m, const int32_t *text, int64_t count, int64_t window,
                                 int64_t stride, int64_t bos, int64_t *scored) {
  double nats = 0;
  int64_t room = window - (bos >= 0), begin = 0;
  *scored = 0;
  for (int64_t i = 0; i < count; i++) {
    while (i >= begin + room) begin += stride;
    int32_t sequence[64];
    int64_t n = 0;
    if (bos >= 0) sequence[n++] = (int32_t)bos;
    for (int64_t k = begin; k <= i; k++) sequence[n++] = text[k];
    if (n < 2) continue;
    nats -= plain_score(m, sequence, n - 1);
    ++*scored;
  }
  return nats;
}

static void windows_score_every_token_once(void **state) {
  static const struct {
    int64_t count, window, stride, bos;
  } cases[] = {{50, 0, 0, -1}, {50, 16, 16, -1}, {50, 16, 5, -1},  {50, 16, 1, -1},
               {50, 16, 0, 3}, {50, 16, 7, 3},   {49, 16, 16, -1}, {7, 16, 4, -1},
               {2, 40, 0, -1}, {33, 16, 16, -1}};
  tn_error err;
  int32_t ids[TEXT];
  tn_model *m = tiny_model(VOCAB, POSITIONS);
  random_ids(ids, TEXT, VOCAB);
  tn_scorer *s;
  must(tn_scorer_new(&s, m, TN_F32, NULL, POSITIONS, &err));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const tn_perplexity_options o = {cases[i].window, cases[i].stride, cases[i].bos};
    tn_perplexity p;
    int64_t scored;
    must(tn_perplexity_run(&p, s, ids, cases[i].count, &o, NULL, &err));
    double nats =
        nats_by_definition(m, ids, cases[i].count, p.window, p.stride, cases[i].bos, &scored);
    assert_int_equal(p.scored, scored);
    assert_true(fabs(p.nats - nats) < 1e-4 * nats);
    assert_true(fabs(p.perplexity - exp(nats / (double)scored)) < 1e-3 * p.perplexity);
  }
  tn_scorer_free(s);
  tn_model_free(m);
}

static void mistakes_are_named(void **state) {
  tn_error err;
  int32_t ids[TEXT];
  tn_token_score out[TEXT];
  tn_model *m = tiny_model(VOCAB, POSITIONS);
  random_ids(ids, TEXT, VOCAB);
  tn_scorer *s;
  tn_perplexity p;
  assert_int_equal(tn_scorer_new(&s, m, TN_F32, NULL, POSITIONS + 2, &err), TN_ERR_ARGUMENT);
  assert_non_null(strstr(err.text, "42 tokens"));
  assert_int_equal(tn_scorer_new(&s, m, TN_F32, NULL, 1, &err), TN_ERR_ARGUMENT);
  must(tn_scorer_new(&s, m, TN_F32, NULL, POSITIONS, &err));
  assert_int_equal(tn_scorer_run(s, ids, 5, 0, out, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_scorer_run(s, ids, 5, 5, out, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_scorer_run(s, ids, POSITIONS + 1, 1, out, &err), TN_ERR_ARGUMENT);
  ids[4] = VOCAB; /* the last token indexes the logits */
  assert_int_equal(tn_scorer_run(s, ids, 5, 1, out, &err), TN_ERR_ARGUMENT);
  assert_non_null(strstr(err.text, "token 61"));
  ids[4] = 1;
  ids[2] = -1;
  assert_int_equal(tn_scorer_run(s, ids, 5, 1, out, &err), TN_ERR_ARGUMENT);
  const tn_perplexity_options wide = {POSITIONS + 1, 0, -1}, sparse = {16, 17, -1};
  const tn_perplexity_options bos = {16, 16, 2}, fine = {16, 16, -1};
  assert_int_equal(tn_perplexity_run(&p, s, ids, 40, &wide, NULL, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_perplexity_run(&p, s, ids, 40, &sparse, NULL, &err), TN_ERR_ARGUMENT);
  assert_non_null(strstr(err.text, "stride of 17"));
  assert_int_equal(tn_perplexity_run(&p, s, ids, 40, &bos, NULL, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_perplexity_run(&p, s, ids, 1, &fine, NULL, &err), TN_ERR_DATA);
  tn_scorer_free(s);
  tn_model_free(m);
}

static void out_of_memory_is_reported(void **state) {
  tn_error err;
  int32_t ids[TEXT];
  tn_model *m = tiny_model(VOCAB, POSITIONS);
  random_ids(ids, TEXT, VOCAB);
  const tn_perplexity_options o = {16, 8, -1};
  int64_t live = tn_alloc_live();
  for (int64_t n = 1;; n++) {
    tn_scorer *s = NULL;
    tn_perplexity p;
    tn_alloc_fail_at(n);
    tn_status status = tn_scorer_new(&s, m, TN_F32, NULL, POSITIONS, &err);
    if (status == TN_OK) status = tn_perplexity_run(&p, s, ids, 30, &o, NULL, &err);
    tn_alloc_fail_at(0);
    tn_scorer_free(s);
    assert_int_equal(tn_alloc_live(), live);
    if (status == TN_OK) {
      assert_true(n > 10);
      break;
    }
    assert_int_equal(status, TN_ERR_MEMORY);
  }
  tn_model_free(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(scores_are_the_logits_and_reuse_changes_no_bit),
      cmocka_unit_test(windows_score_every_token_once),
      cmocka_unit_test(mistakes_are_named),
      cmocka_unit_test(out_of_memory_is_reported),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The engine with a tiny random model: what a request gets must not depend on who else is there. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/engine.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"

enum { TOKENS_MAX = 64, EVERYONE = 16, VOCAB = 300 };

typedef struct answer {
  int32_t ids[TOKENS_MAX];
  float logprobs[TOKENS_MAX];
  int count;
  int32_t prompt[TOKENS_MAX];
  float prompt_logprobs[TOKENS_MAX];
  int prompt_count;
  tn_finish finish;
  char error[200];
  atomic_bool done;
  atomic_bool unwanted;
} answer;

static tn_model *model_of(uint64_t seed) {
  tn_model_config config = {.vocab_size = VOCAB,
                            .hidden_size = 32,
                            .intermediate_size = 64,
                            .layers = 2,
                            .heads = 4,
                            .kv_heads = 2,
                            .positions_max = 256,
                            .bos_id = -1,
                            .eos_id = -1};
  tn_model *model = NULL;
  tn_error err;
  if (tn_model_config_check(&config, &err) != TN_OK) fail_msg("%s", err.text);
  if (tn_model_new(&model, &config, tn_device_cpu(), &err) != TN_OK) fail_msg("%s", err.text);
  tn_model_init(model, seed);
  /* Deviation 0.02 gives nearly flat logits; a livelier model tells differences apart. */
  tn_tensor flat = tn_model_flat(model);
  float *values = tn_tensor_data(&flat);
  for (int64_t i = 0; i < tn_tensor_count(&flat); i++) {
    if (values[i] != 1.0f) values[i] *= 8;
  }
  return model;
}

static tn_engine *engine_of(tn_model *model, tn_engine_options options) {
  tn_engine *e = NULL;
  tn_error err;
  if (tn_engine_new(&e, model, &options, &err) != TN_OK) fail_msg("%s", err.text);
  return e;
}

static void on_event(void *context, const tn_engine_event *event) {
  answer *a = context;
  assert_false(atomic_load(&a->done));
  if (event->of_prompt) {
    assert_true(a->prompt_count < TOKENS_MAX && a->count == 0 && event->sampled == 0);
    assert_true(event->finish == TN_FINISH_NONE && event->text.length == 0);
    a->prompt[a->prompt_count] = event->sample->id;
    a->prompt_logprobs[a->prompt_count++] = event->sample->logprob;
    return;
  }
  if (event->sample) {
    assert_true(a->count < TOKENS_MAX);
    a->ids[a->count] = event->sample->id;
    a->logprobs[a->count++] = event->sample->logprob;
    assert_int_equal(event->sampled, a->count);
  }
  a->finish = event->finish;
  if (event->error) snprintf(a->error, sizeof a->error, "%s", event->error);
  if (event->finish != TN_FINISH_NONE) atomic_store(&a->done, true);
}

static bool still_wanted(void *context) {
  return !atomic_load(&((answer *)context)->unwanted);
}

static void wait_for(answer *a) {
  for (int i = 0; i < 6000 && !atomic_load(&a->done); i++) usleep(5000);
  assert_true(atomic_load(&a->done));
}

/* The i-th of many different requests; every third wants its prompt's logprobs too. */
static tn_generation request_of(int i, int32_t *ids, answer *a) {
  tn_generation g = {.ids = ids,
                     .count = 3 + (i * 7) % 40,
                     .tokens_max = 8 + i % 24,
                     .event = on_event,
                     .wanted = still_wanted,
                     .context = a,
                     .sampling = {.logprobs = true}};
  g.prompt_logprobs = i % 3 == 0;
  if (i % 2) {
    g.sampling.temperature = 1;
    g.sampling.top_k = 50;
    g.sampling.seed = (uint64_t)i;
  }
  for (int64_t k = 0; k < g.count; k++)
    ids[k] = (int32_t)tn_random_below(7, (uint64_t)i, (uint64_t)k, VOCAB);
  return g;
}

static void ask_alone(tn_engine *e, int i, answer *a) {
  int32_t ids[64];
  tn_generation g = request_of(i, ids, a);
  tn_error err;
  if (tn_engine_submit(e, &g, 1, &err) != TN_OK) fail_msg("%s", err.text);
  wait_for(a);
}

static void ask_together(tn_engine *e, answer *answers) {
  int32_t ids[EVERYONE][64];
  tn_generation g[EVERYONE];
  tn_error err;
  for (int i = 0; i < EVERYONE; i++) g[i] = request_of(i, ids[i], &answers[i]);
  if (tn_engine_submit(e, g, EVERYONE, &err) != TN_OK) fail_msg("%s", err.text);
  for (int i = 0; i < EVERYONE; i++) wait_for(&answers[i]);
}

/* The first has none, and is NaN. */
static void same_prompts(const answer *a, const answer *b, int i, const char *what) {
  assert_int_equal(a->prompt_count, i % 3 == 0 ? 3 + (i * 7) % 40 : 0);
  assert_int_equal(a->prompt_count, b->prompt_count);
  for (int k = 0; k < a->prompt_count; k++) {
    assert_int_equal(a->prompt[k], b->prompt[k]);
    assert_int_equal(a->prompt[k], tn_random_below(7, (uint64_t)i, (uint64_t)k, VOCAB));
    assert_true(k == 0 ? isnan(a->prompt_logprobs[0]) : a->prompt_logprobs[k] < 0);
    if (k > 0 && memcmp(&a->prompt_logprobs[k], &b->prompt_logprobs[k], sizeof(float)) != 0)
      fail_msg("%s: request %d, token %d of the prompt: logprob %.9g and %.9g", what, i, k,
               a->prompt_logprobs[k], b->prompt_logprobs[k]);
  }
}

static void same_answers(const answer *a, const answer *b, const char *what) {
  for (int i = 0; i < EVERYONE; i++) {
    assert_int_equal(a[i].finish, TN_FINISH_LENGTH);
    assert_int_equal(b[i].finish, TN_FINISH_LENGTH);
    assert_int_equal(a[i].count, b[i].count);
    same_prompts(&a[i], &b[i], i, what);
    for (int k = 0; k < a[i].count; k++) {
      if (a[i].ids[k] != b[i].ids[k]) fail_msg("%s: request %d token %d", what, i, k);
      if (memcmp(&a[i].logprobs[k], &b[i].logprobs[k], sizeof(float)) != 0) {
        fail_msg("%s: request %d token %d: logprob %.9g and %.9g", what, i, k, a[i].logprobs[k],
                 b[i].logprobs[k]);
      }
    }
  }
}

/* Alone; among 15 others; in chunks of a few tokens; with so few blocks that the young are pushed
 * out again and again; with two kernel threads.  Every token and every logprob bit must agree. */
static void check_company(tn_dtype kv) {
  static answer alone[EVERYONE], together[EVERYONE], chunked[EVERYONE], tight[EVERYONE],
      threaded[EVERYONE];
  memset(alone, 0, sizeof alone);
  memset(together, 0, sizeof together);
  memset(chunked, 0, sizeof chunked);
  memset(tight, 0, sizeof tight);
  memset(threaded, 0, sizeof threaded);
  tn_model *model = model_of(3);
  tn_engine *e = engine_of(model, (tn_engine_options){.block_tokens = 4, .kv_dtype = kv});
  for (int i = 0; i < EVERYONE; i++) ask_alone(e, i, &alone[i]);
  int different = 0;
  for (int k = 1; k < alone[0].count; k++) different += alone[0].ids[k] != alone[0].ids[k - 1];
  assert_true(different > 2); /* a model that repeats itself would prove nothing */
  ask_together(e, together);
  tn_engine_free(e);
  same_answers(alone, together, "together");

  e = engine_of(model, (tn_engine_options){
                           .block_tokens = 4, .kv_dtype = kv, .running_max = 5, .step_tokens = 7});
  ask_together(e, chunked);
  tn_engine_free(e);
  same_answers(alone, chunked, "chunked");

  int64_t block_bytes = tn_kv_cache_block_bytes(tn_model_config_of(model), kv, 4);
  e = engine_of(
      model, (tn_engine_options){.block_tokens = 4, .kv_dtype = kv, .kv_bytes = 24 * block_bytes});
  ask_together(e, tight);
  tn_engine_stats look = tn_engine_look(e);
  assert_true(look.preemptions > 0);
  tn_engine_drain(e);
  assert_true(tn_engine_wait(e, 5000000));
  assert_int_equal(tn_engine_look(e).blocks_free, 24);
  tn_engine_free(e);
  same_answers(alone, tight, "tight");

  tn_pool *pool;
  assert_int_equal(tn_pool_new(&pool, 2, NULL), TN_OK);
  e = engine_of(model, (tn_engine_options){.block_tokens = 4, .kv_dtype = kv, .pool = pool});
  ask_together(e, threaded);
  tn_engine_free(e);
  tn_pool_free(pool);
  same_answers(alone, threaded, "threaded");
  tn_model_free(model);
}

static void answers_do_not_depend_on_company(void **state) {
  (void)state;
  static const tn_dtype types[] = {TN_F32, TN_F16, TN_BF16, TN_I8, TN_F8_E4M3};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) check_company(types[i]);
}

static void limits_are_answers(void **state) {
  (void)state;
  static answer a[4];
  tn_model *model = model_of(4);
  tn_engine *e =
      engine_of(model, (tn_engine_options){.running_max = 1, .queue_max = 2, .context = 100});
  int32_t ids[128] = {0};
  tn_error err;
  tn_generation g = {
      .ids = ids, .count = 60, .tokens_max = 41, .event = on_event, .context = &a[0]};
  assert_int_equal(tn_engine_submit(e, &g, 1, &err), TN_ERR_LIMIT);
  assert_string_equal(
      err.text, "the prompt has 60 tokens and up to 41 are to follow, limit 100 tokens in all");
  g.count = 101;
  assert_int_equal(tn_engine_submit(e, &g, 1, &err), TN_ERR_LIMIT);
  g.count = 0;
  assert_int_equal(tn_engine_submit(e, &g, 1, &err), TN_ERR_ARGUMENT);
  tn_generation three[3];
  for (int i = 0; i < 3; i++) {
    three[i] = (tn_generation){
        .ids = ids, .count = 4, .tokens_max = 4, .event = on_event, .context = &a[i]};
  }
  assert_int_equal(tn_engine_submit(e, three, 3, &err), TN_ERR_LIMIT);
  assert_int_equal(tn_engine_submit(e, three, 2, &err), TN_OK);
  for (int i = 0; i < 2; i++) wait_for(&a[i]);
  tn_engine_drain(e);
  assert_int_equal(tn_engine_submit(e, &three[2], 1, &err), TN_END);
  assert_true(tn_engine_wait(e, 5000000));
  tn_engine_free(e);
  tn_model_free(model);
}

static void a_full_queue_refuses(void **state) {
  (void)state;
  static answer a[40];
  tn_model *model = model_of(5);
  tn_engine *e = engine_of(model, (tn_engine_options){.running_max = 1, .queue_max = 3});
  int32_t ids[4] = {1, 2, 3, 4};
  tn_error err;
  int accepted = 0, refused = 0;
  for (int i = 0; i < 40; i++) {
    tn_generation g = {.ids = ids,
                       .count = 4,
                       .tokens_max = 60,
                       .event = on_event,
                       .wanted = still_wanted,
                       .context = &a[i]};
    tn_status status = tn_engine_submit(e, &g, 1, &err);
    assert_true(status == TN_OK || status == TN_FULL);
    if (status == TN_OK) {
      accepted++;
    } else {
      refused++;
      atomic_store(&a[i].done, true);
    }
  }
  assert_true(accepted >= 3 && refused > 0);
  for (int i = 0; i < 40; i++) wait_for(&a[i]);
  tn_engine_free(e);
  tn_model_free(model);
}

static void unwanted_requests_free_their_blocks(void **state) {
  (void)state;
  static answer a[2];
  tn_model *model = model_of(6);
  tn_engine *e = engine_of(model, (tn_engine_options){0});
  int64_t all_blocks = tn_engine_look(e).blocks_total;
  int32_t ids[4] = {1, 2, 3, 4};
  atomic_store(&a[0].unwanted, true);
  for (int i = 0; i < 2; i++) {
    tn_generation g = {.ids = ids,
                       .count = 4,
                       .tokens_max = 50,
                       .event = on_event,
                       .wanted = still_wanted,
                       .context = &a[i]};
    assert_int_equal(tn_engine_submit(e, &g, 1, NULL), TN_OK);
  }
  wait_for(&a[0]);
  wait_for(&a[1]);
  assert_int_equal(a[0].finish, TN_FINISH_GONE);
  assert_int_equal(a[1].finish, TN_FINISH_LENGTH);
  for (int i = 0; i < 500 && tn_engine_look(e).blocks_free != all_blocks; i++) usleep(2000);
  assert_int_equal(tn_engine_look(e).blocks_free, all_blocks);
  /* A cancel in the middle ends everything. */
  static answer rest[EVERYONE];
  int32_t many[EVERYONE][64];
  for (int i = 0; i < EVERYONE; i++) {
    tn_generation g = request_of(i, many[i], &rest[i]);
    assert_int_equal(tn_engine_submit(e, &g, 1, NULL), TN_OK);
  }
  tn_engine_cancel(e);
  assert_true(tn_engine_wait(e, 5000000));
  for (int i = 0; i < EVERYONE; i++) assert_true(atomic_load(&rest[i].done));
  assert_int_equal(tn_engine_look(e).blocks_free, all_blocks);
  tn_engine_free(e);
  tn_model_free(model);
}

static void eos_ends_with_stop(void **state) {
  (void)state;
  static answer free_run, stopped, ignored;
  tn_model *model = model_of(3);
  tn_engine *e = engine_of(model, (tn_engine_options){0});
  ask_alone(e, 2, &free_run);
  tn_engine_free(e);
  int at = 3;
  for (int i = 0; i < at; i++) {
    if (free_run.ids[i] == free_run.ids[at]) at = i;
  }
  e = engine_of(model, (tn_engine_options){.eos_ids = &free_run.ids[at], .eos_count = 1});
  ask_alone(e, 2, &stopped);
  assert_int_equal(stopped.finish, TN_FINISH_STOP);
  assert_int_equal(stopped.count, at + 1);
  int32_t ids[64];
  tn_generation g = request_of(2, ids, &ignored);
  g.ignore_eos = true;
  assert_int_equal(tn_engine_submit(e, &g, 1, NULL), TN_OK);
  wait_for(&ignored);
  assert_int_equal(ignored.finish, TN_FINISH_LENGTH);
  assert_int_equal(ignored.count, free_run.count);
  tn_engine_free(e);
  tn_model_free(model);
}

static void biases_are_copied_and_checked(void **state) {
  (void)state;
  static answer plain, biased;
  tn_model *model = model_of(3);
  tn_engine *e = engine_of(model, (tn_engine_options){0});
  ask_alone(e, 2, &plain);
  int32_t ids[64];
  tn_error err;
  tn_logit_bias bias[1] = {{VOCAB, 100}};
  tn_generation g = request_of(2, ids, &biased);
  g.sampling.biases = bias, g.sampling.bias_count = 1;
  assert_int_equal(tn_engine_submit(e, &g, 1, &err), TN_ERR_ARGUMENT);
  assert_string_equal(err.text, "a bias of token 300, wants 0 to 299");
  bias[0] = (tn_logit_bias){plain.ids[0], -100};
  assert_int_equal(tn_engine_submit(e, &g, 1, &err), TN_OK);
  bias[0].id = VOCAB - 1; /* the engine has its own by now */
  wait_for(&biased);
  assert_int_equal(biased.finish, TN_FINISH_LENGTH);
  for (int i = 0; i < biased.count; i++) assert_int_not_equal(biased.ids[i], plain.ids[0]);
  tn_engine_free(e);
  tn_model_free(model);
}

typedef struct scores_of_events {
  tn_sample samples[256];
  int count;
  tn_finish finish;
} scores_of_events;

static void keep_scores(void *context, const tn_engine_event *event) {
  scores_of_events *s = context;
  s->finish = event->finish;
  if (event->finish != TN_FINISH_NONE) return;
  assert_true(event->of_prompt && s->count < 256);
  s->samples[s->count++] = *event->sample;
}

/* What the model itself says of the tokens of a prompt, and of nothing else. */
static void prompts_are_scored_alone(void **state) {
  (void)state;
  enum { T = 200, BLOCK = 16, BLOCKS = 16 };
  int32_t ids[T], positions[T], sequences[T] = {0}, table[BLOCKS];
  tn_error err;
  tn_model *model = model_of(3);
  for (int i = 0; i < T; i++) {
    positions[i] = i;
    ids[i] = (int32_t)tn_random_below(9, 1, (uint64_t)i, VOCAB);
  }
  for (int i = 0; i < BLOCKS; i++) table[i] = i;
  tn_stream *stream;
  tn_kv_cache *kv;
  tn_forward *forward;
  const float *logits;
  assert_int_equal(tn_stream_open(tn_device_cpu(), NULL, &stream, &err), TN_OK);
  assert_int_equal(tn_kv_cache_new(&kv, model, TN_F32, BLOCKS, BLOCK, &err), TN_OK);
  assert_int_equal(tn_forward_new(&forward, model, stream, T, T, 1, BLOCKS, &err), TN_OK);
  const tn_forward_batch b = {.rows = T,
                              .ids = ids,
                              .positions = positions,
                              .sequences = sequences,
                              .slots = positions,
                              .sequence_count = 1,
                              .blocks_per_sequence = BLOCKS,
                              .block_table = table,
                              .logit_rows = T,
                              .logit_indices = positions};
  assert_int_equal(tn_forward_run(forward, kv, &b, &logits, &err), TN_OK);
  for (int count = 1; count <= T; count += count == 1 ? 60 : T - 61) {
    for (int steps = 0; steps < 2; steps++) { /* in one step, and in many short ones */
      tn_engine *e = engine_of(
          model,
          (tn_engine_options){.running_max = 2, .step_tokens = steps ? 5 : T, .kv_dtype = TN_F32});
      scores_of_events seen = {0};
      tn_generation g = {.ids = ids,
                         .count = count,
                         .prompt_logprobs = true,
                         .sampling = {.top_logprobs = 3},
                         .event = keep_scores,
                         .context = &seen};
      assert_int_equal(tn_engine_submit(e, &g, 1, &err), TN_OK);
      tn_engine_drain(e);
      assert_true(tn_engine_wait(e, 20000000));
      assert_int_equal(seen.finish, TN_FINISH_LENGTH);
      assert_int_equal(seen.count, count);
      for (int k = 1; k < count; k++) {
        tn_sample want;
        assert_true(tn_sample_score(logits + (k - 1) * VOCAB, VOCAB, ids[k], 3, &want));
        assert_memory_equal(&seen.samples[k].logprob, &want.logprob, sizeof(float));
        assert_memory_equal(seen.samples[k].top, want.top, sizeof want.top);
      }
      tn_engine_free(e);
    }
  }
  tn_forward_free(forward);
  tn_kv_cache_free(kv);
  tn_stream_close(stream);
  tn_model_free(model);
}

static void metrics_count(void **state) {
  (void)state;
  static answer a;
  tn_metrics *m;
  assert_int_equal(tn_metrics_new(&m, NULL), TN_OK);
  tn_model *model = model_of(3);
  tn_engine *e = engine_of(model, (tn_engine_options){.metrics = m});
  ask_alone(e, 0, &a);
  tn_engine_drain(e);
  assert_true(tn_engine_wait(e, 5000000));
  tn_strbuf text = {0};
  tn_metrics_write_prometheus(m, &text);
  assert_non_null(strstr(text.data, "\ntenon_generated_tokens_total 8\n"));
  assert_non_null(strstr(text.data, "\ntenon_prompt_tokens_total 3\n"));
  assert_non_null(strstr(text.data, "\ntenon_time_to_first_token_seconds_count 1\n"));
  assert_non_null(strstr(text.data, "\ntenon_inter_token_seconds_count 7\n"));
  assert_non_null(strstr(text.data, "\ntenon_steps_total 8\n"));
  tn_strbuf_clear(&text);
  tn_engine_free(e);
  tn_model_free(model);
  tn_metrics_free(m);
}

static void failed_allocations(void **state) {
  (void)state;
  int64_t live = tn_alloc_live(), n = 1;
  tn_model *model = model_of(1);
  int64_t with_model = tn_alloc_live();
  for (; n < 500; n++) {
    tn_engine *e = NULL;
    tn_alloc_fail_at(n);
    tn_status status = tn_engine_new(&e, model, &(tn_engine_options){0}, NULL);
    tn_alloc_fail_at(0);
    tn_engine_free(e);
    assert_int_equal(tn_alloc_live(), with_model);
    if (status == TN_OK) break;
    assert_int_equal(status, TN_ERR_MEMORY);
  }
  assert_in_range(n, 10, 499);
  tn_engine *e = engine_of(model, (tn_engine_options){0});
  int64_t with_engine = tn_alloc_live();
  for (n = 1; n < 6; n++) { /* list, job, stop strings, sequence: all before the engine sees it */
    int32_t ids[64];
    static answer a;
    tn_generation g = request_of(1, ids, &a);
    tn_alloc_fail_at(n);
    assert_int_equal(tn_engine_submit(e, &g, 1, NULL), TN_ERR_MEMORY);
    tn_alloc_fail_at(0);
    assert_int_equal(tn_alloc_live(), with_engine);
  }
  tn_engine_free(e);
  tn_model_free(model);
  assert_int_equal(tn_alloc_live(), live);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(answers_do_not_depend_on_company),
      cmocka_unit_test(limits_are_answers),
      cmocka_unit_test(a_full_queue_refuses),
      cmocka_unit_test(unwanted_requests_free_their_blocks),
      cmocka_unit_test(eos_ends_with_stop),
      cmocka_unit_test(biases_are_copied_and_checked),
      cmocka_unit_test(prompts_are_scored_alone),
      cmocka_unit_test(metrics_count),
      cmocka_unit_test(failed_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

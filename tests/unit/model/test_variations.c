/* SPDX-License-Identifier: Apache-2.0 */
/* Every architecture: the same bits however it is batched, the same model after a save, and clean
 * failures.  Whether the numbers are right is for tests/peers to say. */
#include <math.h>
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
#include "model/encoder.h"
#include "model/transformer.h"

enum { SEED = 7, VOCAB = 53, BLOCK = 4, BLOCKS = 24, PER_SEQUENCE = 6, ROWS_MAX = 40, T = 17 };

static void must_at(int line, tn_status status, const tn_error *err) {
  if (status != TN_OK) fail_msg("line %d: %s: %s", line, tn_status_text(status), err->text);
}
#define must(expr) must_at(__LINE__, (expr), &err)

#define SIZES                                                                              \
  "\"vocab_size\":53,\"hidden_size\":24,\"intermediate_size\":36,\"num_hidden_layers\":3," \
  "\"num_attention_heads\":4,\"max_position_embeddings\":64,\"bos_token_id\":null"
#define DECODER          SIZES ",\"num_key_value_heads\":2"
#define TYPE(name, more) "{\"model_type\":\"" name "\"," more "}"

static const char *const decoders[] = {
    TYPE("llama", DECODER ",\"attention_bias\":true,\"mlp_bias\":true,\"rope_parameters\":{"
                          "\"rope_type\":\"yarn\",\"factor\":4,"
                          "\"original_max_position_embeddings\":16}"),
    TYPE("mistral", DECODER ",\"sliding_window\":5"),
    TYPE("mixtral", DECODER ",\"num_local_experts\":5,\"num_experts_per_tok\":3"),
    TYPE("qwen2", DECODER ",\"tie_word_embeddings\":true"),
    TYPE("qwen3", DECODER ",\"head_dim\":10"),
    TYPE("qwen3_moe", DECODER ",\"num_experts\":4,\"num_experts_per_tok\":2,"
                              "\"moe_intermediate_size\":20,\"mlp_only_layers\":[1],"
                              "\"norm_topk_prob\":false"),
    TYPE("gemma", DECODER ",\"head_dim\":10"),
    TYPE("gemma2", DECODER ",\"head_dim\":10,\"sliding_window\":5,\"query_pre_attn_scalar\":13"),
    TYPE("gemma3_text", DECODER ",\"head_dim\":10,\"sliding_window\":5,"
                                "\"sliding_window_pattern\":2"),
    TYPE("phi3", DECODER ",\"original_max_position_embeddings\":16,\"rope_parameters\":{"
                         "\"rope_type\":\"longrope\",\"short_factor\":[1,1.5,2],"
                         "\"long_factor\":[1,3,9]}"),
    TYPE("olmo2", DECODER),
    TYPE("gpt2", "\"vocab_size\":53,\"n_embd\":24,\"n_layer\":3,\"n_head\":4,\"n_positions\":64"),
    TYPE("gpt_neox", SIZES ",\"rope_parameters\":{\"partial_rotary_factor\":0.34}"),
    TYPE("gpt_neox", SIZES ",\"use_parallel_residual\":false,\"rotary_pct\":1.0"),
};
enum { DECODERS = sizeof decoders / sizeof *decoders };

static const char *const encoders[] = {
    TYPE("bert", SIZES ",\"type_vocab_size\":2"),
    TYPE("roberta", SIZES ",\"type_vocab_size\":1,\"pad_token_id\":3"),
};
static const char *const classifier =
    "{\"architectures\":[\"BertForSequenceClassification\"],\"num_labels\":3," SIZES "}";

static tn_model_config config_of(const char *json) {
  tn_error err;
  tn_model_config c;
  must(tn_model_config_parse(&c, tn_str_of(json), "config.json", true, &err));
  return c;
}

/* Weights large enough for every part to matter. */
static tn_model *new_model(const char *json) {
  tn_error err;
  tn_model *m;
  tn_model_config c = config_of(json);
  must(tn_model_new(&m, &c, tn_device_cpu(), &err));
  int64_t count;
  const tn_parameter *p = tn_model_parameters(m, &count);
  for (int64_t i = 0; i < count; i++) {
    float *x = tn_tensor_data(&p[i].tensor);
    for (int64_t k = 0; k < tn_tensor_count(&p[i].tensor); k++) {
      double normal = tn_random_normal(SEED, (uint64_t)i, (uint64_t)k);
      x[k] = (float)(p[i].decays ? 0.25 * normal : 0.8 + 0.2 * normal);
    }
  }
  return m;
}

/* ---- decoders ---- */

typedef struct server {
  tn_stream *stream;
  tn_kv_cache *kv;
  tn_forward *forward;
  int32_t table[4 * PER_SEQUENCE];
} server;

static void start_server(server *s, tn_model *m, tn_pool *pool) {
  tn_error err;
  must(tn_stream_open(tn_device_cpu(), pool, &s->stream, &err));
  must(tn_kv_cache_new(&s->kv, m, TN_F32, BLOCKS, BLOCK, &err));
  must(tn_forward_new(&s->forward, m, s->stream, ROWS_MAX, ROWS_MAX, 4, PER_SEQUENCE, &err));
  for (int i = 0; i < 4 * PER_SEQUENCE; i++)
    s->table[i] = (int32_t)tn_random_permute(SEED, 3, (uint64_t)i, BLOCKS);
}

static void stop_server(server *s) {
  tn_forward_free(s->forward);
  tn_kv_cache_free(s->kv);
  tn_stream_close(s->stream);
}

typedef struct rows {
  int64_t count;
  int32_t ids[ROWS_MAX], positions[ROWS_MAX], sequences[ROWS_MAX], slots[ROWS_MAX];
  int32_t wanted[ROWS_MAX];
} rows;

static void add_rows(const server *s, rows *r, int32_t sequence, uint64_t text, int from, int to) {
  for (int p = from; p < to; p++) {
    int64_t i = r->count++;
    r->ids[i] = (int32_t)tn_random_below(SEED, 100 + text, (uint64_t)p, VOCAB);
    r->positions[i] = p;
    r->sequences[i] = sequence;
    r->slots[i] = s->table[sequence * PER_SEQUENCE + p / BLOCK] * BLOCK + p % BLOCK;
    r->wanted[i] = (int32_t)i;
  }
}

static tn_forward_batch batch_of(const server *s, const rows *r) {
  return (tn_forward_batch){.rows = r->count,
                            .ids = r->ids,
                            .positions = r->positions,
                            .sequences = r->sequences,
                            .slots = r->slots,
                            .sequence_count = 4,
                            .blocks_per_sequence = PER_SEQUENCE,
                            .block_table = s->table,
                            .logit_rows = r->count,
                            .logit_indices = r->wanted};
}

static const float *run_rows(server *s, const rows *r) {
  tn_error err;
  const float *logits = NULL;
  tn_forward_batch b = batch_of(s, r);
  must(tn_forward_run(s->forward, s->kv, &b, &logits, &err));
  return logits;
}

static void whole_logits(tn_model *m, tn_pool *pool, float *out) {
  server s;
  rows r = {0};
  start_server(&s, m, pool);
  add_rows(&s, &r, 0, 1, 0, T);
  memcpy(out, run_rows(&s, &r), T * VOCAB * sizeof *out);
  stop_server(&s);
}

/* In chunks of 5 beside another sequence, then token by token beside a growing one. */
static void check_batching(tn_model *m, tn_pool *pool, const float *want, const char *json) {
  server s;
  start_server(&s, m, pool);
  for (int at = 0; at < T; at += 5) {
    rows r = {0};
    int end = at + 5 < T ? at + 5 : T;
    add_rows(&s, &r, 3, 2, at, at + 3);
    add_rows(&s, &r, 1, 1, at, end);
    const float *got = run_rows(&s, &r) + 3 * VOCAB;
    if (memcmp(got, want + at * VOCAB, (size_t)(end - at) * VOCAB * 4) != 0)
      fail_msg("%s: other bits in a chunk at %d", json, at);
  }
  for (int at = 0; at < T; at++) {
    rows r = {0};
    if (at % 2) add_rows(&s, &r, 3, 2, 0, at);
    int64_t place = r.count;
    add_rows(&s, &r, 2, 1, at, at + 1);
    if (memcmp(run_rows(&s, &r) + place * VOCAB, want + at * VOCAB, VOCAB * 4) != 0)
      fail_msg("%s: other bits when token %d is decoded", json, at);
  }
  stop_server(&s);
}

static void test_bit_equal_however_batched(void **state) {
  tn_error err;
  float want[T * VOCAB], again[T * VOCAB];
  for (int i = 0; i < DECODERS; i++) {
    tn_model *m = new_model(decoders[i]);
    for (int threads = 1; threads <= 3; threads += 2) {
      tn_pool *pool;
      must(tn_pool_new(&pool, threads, &err));
      whole_logits(m, pool, threads == 1 ? want : again);
      if (threads > 1) assert_memory_equal(want, again, sizeof want);
      check_batching(m, pool, want, decoders[i]);
      tn_pool_free(pool);
    }
    float largest = 0;
    for (int k = 0; k < T * VOCAB; k++) largest = fmaxf(largest, fabsf(want[k]));
    assert_true(largest > 0.5f && isfinite(largest));
    tn_model_free(m);
  }
}

/* ---- folders ---- */

static char folder[] = "/tmp/tenon_variations_XXXXXX";

static int make_folder(void **state) {
  return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
  tn_error err;
  return tn_dir_remove(folder, &err) == TN_OK ? 0 : -1;
}

static void compare(const tn_model *a, const tn_model *b, const char *json) {
  int64_t count, other;
  const tn_parameter *x = tn_model_parameters(a, &count), *y = tn_model_parameters(b, &other);
  assert_int_equal(count, other);
  for (int64_t i = 0; i < count; i++) {
    assert_string_equal(x[i].name, y[i].name);
    size_t bytes = (size_t)tn_tensor_bytes(&x[i].tensor);
    if (memcmp(tn_tensor_data(&x[i].tensor), tn_tensor_data(&y[i].tensor), bytes) != 0)
      fail_msg("%s: %s is not what was saved", json, x[i].name);
  }
  assert_int_equal(tn_model_config_parameters(tn_model_config_of(a)),
                   tn_model_config_parameters(tn_model_config_of(b)));
}

static void check_save(const char *json) {
  tn_error err;
  tn_model *m = new_model(json), *opened, *trainable;
  must(tn_model_save(m, folder, TN_F32, &err));
  must(tn_model_open(&opened, folder, tn_device_cpu(), &err));
  compare(m, opened, json);
  must(tn_model_open_trainable(&trainable, folder, tn_device_cpu(), &err));
  compare(m, trainable, json);
  if (tn_model_config_of(m)->task == TN_TASK_GENERATE) {
    float before[T * VOCAB], after[T * VOCAB]; /* the config came back too */
    whole_logits(m, NULL, before);
    whole_logits(opened, NULL, after);
    assert_memory_equal(before, after, sizeof before);
  }
  must(tn_model_save(opened, folder, TN_BF16, &err));
  tn_model_free(trainable);
  tn_model_free(opened);
  must(tn_model_open(&opened, folder, tn_device_cpu(), &err));
  tn_model_free(opened);
  tn_model_free(m);
}

static void test_saved_and_opened(void **state) {
  for (int i = 0; i < DECODERS; i++) check_save(decoders[i]);
  for (size_t i = 0; i < sizeof encoders / sizeof *encoders; i++) check_save(encoders[i]);
  check_save(classifier);
}

static void check_failing_open(const char *json) {
  tn_error err;
  tn_model *m = new_model(json), *opened;
  must(tn_model_save(m, folder, TN_F32, &err));
  int64_t live = tn_alloc_live();
  int failures = 0;
  for (int64_t n = 1;; n++) {
    tn_alloc_fail_at(n);
    tn_status status = tn_model_open(&opened, folder, tn_device_cpu(), &err);
    tn_alloc_fail_at(0);
    if (status == TN_OK) break;
    assert_int_equal(status, TN_ERR_MEMORY);
    assert_int_equal(tn_alloc_live(), live);
    failures++;
  }
  assert_true(failures > 20);
  tn_model_free(opened);
  for (int64_t n = 1;; n++) {
    tn_alloc_fail_at(n);
    tn_status status = tn_model_save(m, folder, TN_F32, &err);
    tn_alloc_fail_at(0);
    assert_int_equal(tn_alloc_live(), live);
    if (status == TN_OK) break;
    assert_int_equal(status, TN_ERR_MEMORY);
  }
  tn_model_free(m);
}

static void test_failing_allocations(void **state) {
  check_failing_open(decoders[11]); /* GPT-2: fused and transposed */
  check_failing_open(decoders[12]); /* GPT-NeoX: by head */
  check_failing_open(decoders[5]);  /* experts */
}

/* ---- encoders ---- */

enum { INPUTS = 70, TOKENS = 40 };

typedef struct inputs {
  int32_t ids[INPUTS][TOKENS], types[INPUTS][TOKENS];
  tn_encoder_input list[INPUTS];
} inputs;

static void fill_inputs(inputs *in, int64_t types) {
  for (int i = 0; i < INPUTS; i++) {
    int count = 1 + (i * 13) % TOKENS;
    for (int t = 0; t < count; t++) {
      in->ids[i][t] = (int32_t)tn_random_below(SEED, (uint64_t)i, (uint64_t)t, VOCAB);
      in->types[i][t] = (int32_t)(t % types);
    }
    in->list[i] = (tn_encoder_input){in->ids[i], in->types[i], count};
  }
}

static void check_encoder(const char *json, tn_pooling pooling) {
  tn_error err;
  enum { WIDTH = 24 };
  tn_model *m = new_model(json);
  must(tn_model_save(m, folder, TN_F32, &err));
  const tn_encoder_form form = {.pooling = pooling, .normalised = true};
  tn_encoder *e;
  must(tn_encoder_open(&e, folder, &form, NULL, &err));
  inputs *in = tn_alloc(1, sizeof *in);
  fill_inputs(in, tn_model_config_of(m)->token_types);
  float *all = tn_alloc(INPUTS * WIDTH, sizeof *all), one[WIDTH];
  must(tn_encoder_embed(e, in->list, INPUTS, all, &err));
  for (int i = 0; i < INPUTS; i++) {
    double squares = 0;
    for (int c = 0; c < WIDTH; c++) squares += (double)all[i * WIDTH + c] * all[i * WIDTH + c];
    assert_true(fabs(squares - 1) < 1e-5);
    must(tn_encoder_embed(e, &in->list[i], 1, one, &err));
    assert_memory_equal(one, all + i * WIDTH, sizeof one);
  }
  tn_encoder_input bad = in->list[0];
  bad.count = 0;
  assert_int_equal(tn_encoder_embed(e, &bad, 1, one, &err), TN_ERR_ARGUMENT);
  bad.count = 65;
  assert_int_equal(tn_encoder_embed(e, &bad, 1, one, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_encoder_classify(e, in->list, 1, one, &err), TN_ERR_UNSUPPORTED);
  tn_free(all);
  tn_free(in);
  tn_encoder_free(e);
  tn_model_free(m);
}

static void test_encoders(void **state) {
  for (int pooling = 0; pooling < TN_POOLING_COUNT; pooling++)
    check_encoder(encoders[pooling % 2], (tn_pooling)pooling);
}

static void test_classifier(void **state) {
  tn_error err;
  tn_model *m = new_model(classifier);
  must(tn_model_save(m, folder, TN_F32, &err));
  tn_encoder *e;
  must(tn_encoder_open(&e, folder, NULL, NULL, &err));
  inputs *in = tn_alloc(1, sizeof *in);
  fill_inputs(in, 2);
  float all[INPUTS * 3], one[3];
  must(tn_encoder_classify(e, in->list, INPUTS, all, &err));
  for (int i = 0; i < INPUTS; i++) {
    must(tn_encoder_classify(e, &in->list[i], 1, one, &err));
    assert_memory_equal(one, all + i * 3, sizeof one);
  }
  tn_free(in);
  tn_encoder_free(e);
  int64_t live = tn_alloc_live();
  for (int64_t n = 1;; n++) {
    tn_alloc_fail_at(n);
    tn_status status = tn_encoder_open(&e, folder, NULL, NULL, &err);
    tn_alloc_fail_at(0);
    if (status == TN_OK) break;
    assert_int_equal(status, TN_ERR_MEMORY);
    assert_int_equal(tn_alloc_live(), live);
  }
  tn_encoder_free(e);
  tn_model_free(m);
}

/* An encoder's tokens see what comes behind them, so it takes no part of a sequence. */
static void test_encoder_wants_whole_sequences(void **state) {
  tn_error err = {0};
  tn_model *m = new_model(classifier);
  server s;
  rows r = {0};
  const float *logits;
  start_server(&s, m, NULL);
  add_rows(&s, &r, 1, 1, 2, 7);
  tn_forward_batch b = batch_of(&s, &r);
  assert_int_equal(tn_forward_run(s.forward, s.kv, &b, &logits, &err), TN_ERR_ARGUMENT);
  assert_non_null(strstr(err.text, "sequence 1 has 5 rows up to position 6"));
  r.count = 0;
  add_rows(&s, &r, 1, 1, 0, 7);
  static const int32_t types[7] = {0, 1, 1, 1, 2, 0, 0};
  b = batch_of(&s, &r);
  b.types = types;
  assert_int_equal(tn_forward_run(s.forward, s.kv, &b, &logits, &err), TN_ERR_ARGUMENT);
  assert_non_null(strstr(err.text, "row 4: token type 2"));
  stop_server(&s);
  tn_model_free(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bit_equal_however_batched),
      cmocka_unit_test(test_saved_and_opened),
      cmocka_unit_test(test_failing_allocations),
      cmocka_unit_test(test_encoders),
      cmocka_unit_test(test_classifier),
      cmocka_unit_test(test_encoder_wants_whole_sequences),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

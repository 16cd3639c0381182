/* SPDX-License-Identifier: Apache-2.0 */
/* A quantization that is stopped: after each layer, by a kill at any moment, out of memory; what it
 * is resumed with, and with what not. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/random.h"
#include "quant/unfinished.h"

enum { VOCAB = 61, TOKENS = 16, SAMPLES = 3, IDS = TOKENS * SAMPLES, LAYERS = 4, MODELS = 2 };

static void must_at(int line, tn_status status, const tn_error *err) {
  if (status != TN_OK) fail_msg("line %d: %s: %s", line, tn_status_text(status), err->text);
}
#define must(expr) must_at(__LINE__, (expr), &err)

static char root[64], models[MODELS][96], kept[96];
static int32_t ids[IDS];
static const tn_calibration_text text = {ids, SAMPLES, TOKENS};

static void make_model(const char *folder, const tn_model_config *config, uint64_t seed) {
  tn_error err;
  tn_model *m;
  must(tn_dir_make(folder, &err));
  must(tn_model_new(&m, config, tn_device_cpu(), &err));
  tn_model_init(m, seed);
  tn_tensor flat = tn_model_flat(m);
  float *x = tn_tensor_data(&flat);
  for (int64_t i = 0; i < tn_tensor_count(&flat); i++)
    x[i] = x[i] == 1.0f ? (i % 11 == 0 ? 6.0f : 0.7f) : x[i] * 6;
  must(tn_model_save(m, folder, TN_F32, &err));
  tn_model_free(m);
}

/* The second model has experts. */
static int set_up(void **state) {
  (void)state;
  tn_model_config c = {.vocab_size = VOCAB,
                       .hidden_size = 32,
                       .intermediate_size = 64,
                       .layers = LAYERS,
                       .heads = 2,
                       .kv_heads = 1,
                       .head_dim = 16,
                       .positions_max = 32,
                       .bos_id = -1,
                       .eos_id = -1};
  snprintf(root, sizeof root, "/tmp/tenon-unfinished-XXXXXX");
  assert_non_null(mkdtemp(root));
  for (int i = 0; i < MODELS; i++) snprintf(models[i], sizeof models[i], "%s/model%d", root, i);
  snprintf(kept, sizeof kept, "%s/deep/out.unfinished", root);
  make_model(models[0], &c, 42);
  c.arch = TN_ARCH_MIXTRAL;
  c.experts = 3;
  c.experts_per_token = 2;
  c.expert_size = 64;
  make_model(models[1], &c, 43);
  for (int64_t i = 0; i < IDS; i++) ids[i] = (int32_t)tn_random_below(4, 1, (uint64_t)i, VOCAB);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  return tn_dir_remove(root, NULL) == TN_OK ? 0 : -1;
}

static const tn_quantize_options ways[] = {
    {.grid = {.bits = 4, .group = 32}, .method = TN_QUANTIZE_AWQ},
    {.grid = {.bits = 4, .symmetric = true, .group = 32},
     .method = TN_QUANTIZE_GPTQ,
     .gptq = {.damping = 0.01, .by_activation = true, .search = true, .passes = 2},
     .aim = true,
     .half_scales = true},
    {.grid = {.bits = 8, .symmetric = true},
     .method = TN_QUANTIZE_GPTQ,
     .gptq = {.damping = 0.01},
     .smooth = true,
     .aim = true},
    {.grid = {.bits = 8, .is_float = true, .symmetric = true}, .smooth = true, .kv_scales = true},
};
enum { WAYS = sizeof ways / sizeof *ways };

typedef struct opened {
  tn_model *model;
  tn_weight_source *source;
} opened;

static tn_status open_model(opened *o, int model, tn_error *err) {
  *o = (opened){0};
  TN_TRY(tn_model_open(&o->model, models[model], tn_device_cpu(), err));
  return tn_weight_source_open(&o->source, models[model], NULL, err);
}

static void close_model(opened *o) {
  tn_weight_source_close(o->source);
  tn_model_free(o->model);
}

static tn_status open_kept(tn_unfinished **out, const opened *o, const tn_quantize_options *way,
                           const tn_calibration_text *samples, bool resume, tn_error *err) {
  tn_strbuf about = {0};
  tn_status status = tn_unfinished_describe(&about, way, o->source, samples, err);
  if (status == TN_OK) status = tn_unfinished_open(out, kept, tn_strbuf_view(&about), resume, err);
  tn_strbuf_clear(&about);
  return status;
}

/* One run as the command does it; `remove`: what is kept goes when it is whole.  *resumed may be
 * NULL. */
static tn_status run(tn_quantized *q, opened *o, int model, const tn_quantize_options *way,
                     bool resume, bool remove, tn_progress *progress, int64_t *resumed,
                     tn_error *err) {
  tn_quantize_options with = *way;
  *q = (tn_quantized){0};
  tn_status status = open_model(o, model, err);
  if (status == TN_OK) status = open_kept(&with.unfinished, o, way, &text, resume, err);
  if (status != TN_OK) return status;
  if (resumed) *resumed = tn_unfinished_resumed(with.unfinished);
  status = tn_quantize(q, o->model, o->source, &text, &with, NULL, progress, err);
  if (status == TN_OK && remove) status = tn_unfinished_remove(with.unfinished, err);
  tn_unfinished_close(with.unfinished);
  return status;
}

static tn_status run_kept(tn_quantized *q, opened *o, int model, const tn_quantize_options *way,
                          bool resume, tn_progress *progress, int64_t *resumed, tn_error *err) {
  return run(q, o, model, way, resume, true, progress, resumed, err);
}

static void check_same(const tn_quantized *a, const tn_quantized *b) {
  assert_int_equal(a->count, b->count);
  assert_int_equal(a->quantized, b->quantized);
  for (int64_t i = 0; i < a->count; i++) {
    const tn_quantized_tensor *x = &a->tensors[i], *y = &b->tensors[i];
    assert_int_equal(x->is_quantized, y->is_quantized);
    assert_int_equal(x->is_changed, y->is_changed);
    assert_int_equal(x->file_dtype, y->file_dtype);
    if (x->values) assert_memory_equal(x->values->data, y->values->data, x->values->bytes);
    if (!x->is_quantized) continue;
    const tn_grid_matrix *m = &x->matrix, *n = &y->matrix;
    assert_memory_equal(&m->grid, &n->grid, sizeof m->grid);
    assert_memory_equal(m->codes, n->codes, (size_t)(m->rows * m->columns));
    assert_memory_equal(m->scales, n->scales, (size_t)(m->rows * m->groups) * sizeof *m->scales);
  }
  for (int64_t i = 0; a->k_max && i < LAYERS; i++)
    assert_true(a->k_max[i] == b->k_max[i] && a->v_max[i] == b->v_max[i] && a->k_max[i] > 0);
}

static int64_t layers_there(void) {
  int64_t layers = 0;
  for (char path[160];; layers++) {
    snprintf(path, sizeof path, "%s/layer-%lld.safetensors", kept, (long long)layers);
    if (!tn_file_exists(path)) return layers;
  }
}

/* ---- stopped after each layer ---- */

typedef struct stop {
  int64_t layers; /* says stop, or kills, when so many are there */
  bool kill;
} stop;

static bool until_layers(void *context, const tn_progress *p, bool last) {
  const stop *s = context;
  (void)p;
  if (last || layers_there() < s->layers) return true;
  if (s->kill) raise(SIGKILL);
  return false;
}

static void stop_at(int model, const tn_quantize_options *way, int64_t layers, bool resume) {
  tn_error err;
  stop s = {.layers = layers};
  tn_progress progress = {.show = until_layers, .context = &s, .every_us = 1};
  opened o;
  tn_quantized q;
  assert_int_equal(run_kept(&q, &o, model, way, resume, &progress, NULL, &err), TN_ERR_INTERRUPTED);
  close_model(&o);
  assert_int_equal(layers_there(), layers);
}

static void kill_at(int model, const tn_quantize_options *way, int64_t layers, bool resume) {
  int exit_status;
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    tn_error err;
    stop s = {.layers = layers, .kill = true};
    tn_progress progress = {.show = until_layers, .context = &s, .every_us = 1};
    opened o;
    tn_quantized q;
    (void)!run_kept(&q, &o, model, way, resume, &progress, NULL, &err);
    _exit(1);
  }
  waitpid(child, &exit_status, 0);
  assert_true(WIFSIGNALED(exit_status) && WTERMSIG(exit_status) == SIGKILL);
  assert_int_equal(layers_there(), layers);
}

static void finish_as(const tn_quantized *whole, int model, const tn_quantize_options *way,
                      int64_t layers) {
  tn_error err;
  opened o;
  tn_quantized q;
  int64_t resumed;
  must(run_kept(&q, &o, model, way, true, NULL, &resumed, &err));
  assert_int_equal(resumed, layers);
  check_same(whole, &q);
  assert_false(tn_dir_exists(kept));
  tn_quantized_clear(&q);
  close_model(&o);
}

/* Each way, once stopped after each layer by itself and once killed after every one in turn. */
static void every_layer_may_be_the_last(void **state) {
  (void)state;
  tn_error err;
  for (int model = 0; model < MODELS; model++)
    for (size_t i = 0; i < WAYS; i++) {
      opened o;
      tn_quantized whole;
      must(open_model(&o, model, &err));
      must(tn_quantize(&whole, o.model, o.source, &text, &ways[i], NULL, NULL, &err));
      for (int64_t layers = 1; layers <= LAYERS; layers++) {
        stop_at(model, &ways[i], layers, false);
        finish_as(&whole, model, &ways[i], layers);
      }
      for (int64_t layers = 1; layers <= LAYERS; layers++)
        kill_at(model, &ways[i], layers, layers > 1);
      finish_as(&whole, model, &ways[i], LAYERS);
      tn_quantized_clear(&whole);
      close_model(&o);
    }
}

/* ---- killed at any moment ---- */

/* 0: the run came to its end. */
static int kill_within(int64_t us) {
  int exit_status;
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    tn_error err;
    opened o;
    tn_quantized q;
    _exit(run(&q, &o, 0, &ways[1], true, false, NULL, NULL, &err) == TN_OK ? 0 : 1);
  }
  usleep((useconds_t)us);
  kill(child, SIGKILL);
  waitpid(child, &exit_status, 0);
  assert_true(WIFSIGNALED(exit_status) || exit_status == 0);
  return WIFSIGNALED(exit_status);
}

static void a_kill_costs_no_finished_layer(void **state) {
  (void)state;
  uint64_t seed = (uint64_t)time(NULL);
  tn_error err;
  opened o;
  tn_quantized whole;
  int64_t kills = 0, amid = 0, before = 0;
  printf("seed %llu\n", (unsigned long long)seed);
  must(open_model(&o, 0, &err));
  must(tn_quantize(&whole, o.model, o.source, &text, &ways[1], NULL, NULL, &err));
  for (uint64_t round = 0; round < 80; round++) {
    bool killed = kill_within((int64_t)tn_random_below(seed, 0, round, 40000));
    int64_t now = layers_there();
    assert_true(now >= before);
    kills += killed;
    amid += killed && now > 0;
    before = now;
    if (killed && round < 79) continue;
    finish_as(&whole, 0, &ways[1], now);
    before = 0;
  }
  printf("%lld kills, %lld of them behind a layer\n", (long long)kills, (long long)amid);
  assert_true(kills > 0);
  tn_quantized_clear(&whole);
  close_model(&o);
}

/* ---- what is refused ---- */

static void refused(const tn_quantize_options *way, int model, const tn_calibration_text *samples,
                    tn_status wanted, const char *words) {
  tn_error err = {0};
  opened o;
  tn_unfinished *u = NULL;
  must(open_model(&o, model, &err));
  assert_int_equal(open_kept(&u, &o, way, samples, true, &err), wanted);
  if (!strstr(err.text, words)) fail_msg("\"%s\" has no \"%s\"", err.text, words);
  close_model(&o);
}

static void other_runs_are_refused(void **state) {
  (void)state;
  static const char *const ignore[] = {"down"};
  tn_error err;
  stop_at(0, &ways[1], 2, false);
  assert_int_equal(tn_unfinished_check(kept, &err), TN_ERR_EXISTS);
  assert_non_null(strstr(err.text, "out.unfinished holds 2 finished layers"));
  tn_quantize_options other[9];
  static const char *const words[9] = {"method was \"gptq\" when it was begun, now it is \"awq\"",
                                       "codes was \"int4\"",
                                       "zero points",
                                       "group",
                                       "scales",
                                       "damping was",
                                       "passes was \"2\"",
                                       "ignore 1",
                                       "aim"};
  for (int i = 0; i < 9; i++) other[i] = ways[1];
  other[0].method = TN_QUANTIZE_AWQ;
  other[1].grid.bits = 8;
  other[2].grid.symmetric = false;
  other[3].grid.group = 16;
  other[4].half_scales = false;
  other[5].gptq.damping = 0.02;
  other[6].gptq.passes = 3;
  other[7].ignore = ignore;
  other[7].ignore_count = 1;
  other[8].aim = false;
  for (int i = 0; i < 9; i++) refused(&other[i], 0, &text, TN_ERR_ARGUMENT, words[i]);
  refused(&ways[1], 1, &text, TN_ERR_ARGUMENT, "model was");
  const tn_calibration_text fewer = {ids, SAMPLES - 1, TOKENS};
  refused(&ways[1], 0, &fewer, TN_ERR_ARGUMENT, "samples was \"3 of 16 tokens\"");
  ids[5] ^= 1;
  refused(&ways[1], 0, &text, TN_ERR_ARGUMENT, "text was");
  ids[5] ^= 1;
  opened o;
  tn_unfinished *u, *v;
  must(open_model(&o, 0, &err));
  assert_int_equal(open_kept(&u, &o, &ways[1], &text, false, &err), TN_ERR_EXISTS);
  must(open_kept(&u, &o, &ways[1], &text, true, &err));
  assert_int_equal(open_kept(&v, &o, &ways[1], &text, true, &err), TN_ERR_EXISTS);
  assert_non_null(strstr(err.text, "another process"));
  tn_unfinished_close(u);
  assert_int_equal(layers_there(), 2); /* none of them was touched */
  char path[160];
  snprintf(path, sizeof path, "%s/thesis.txt", kept);
  must(tn_file_write_atomic(path, TN_STR("precious"), &err));
  refused(&ways[1], 0, &text, TN_ERR_DATA, "thesis.txt is no part");
  assert_int_equal(remove(path), 0);
  snprintf(path, sizeof path, "%s/run.json", kept);
  must(tn_file_write_atomic(path, TN_STR("[]"), &err));
  refused(&ways[1], 0, &text, TN_ERR_DATA, "run.json: not a JSON object");
  assert_int_equal(remove(path), 0);
  refused(&ways[1], 0, &text, TN_ERR_DATA, "no run.json");
  assert_int_equal(layers_there(), 2);
  must(tn_dir_remove(kept, &err));
  close_model(&o);
}

/* A run that fails before its first layer is done leaves nothing, its own parents neither. */
static void nothing_stays_of_nothing(void **state) {
  (void)state;
  tn_error err;
  opened o;
  tn_unfinished *u;
  char parent[96];
  snprintf(parent, sizeof parent, "%s/deep", root);
  if (tn_dir_exists(parent)) must(tn_dir_remove(parent, &err));
  must(open_model(&o, 0, &err));
  must(open_kept(&u, &o, &ways[1], &text, false, &err));
  assert_true(tn_dir_exists(kept));
  tn_unfinished_close(u);
  assert_false(tn_dir_exists(parent));
  close_model(&o);
}

/* ---- damaged files ---- */

static tn_status resume_again(tn_error *err) {
  opened o;
  tn_quantized q;
  tn_status status = run_kept(&q, &o, 0, &ways[1], true, NULL, NULL, err);
  tn_quantized_clear(&q);
  close_model(&o);
  return status;
}

static void damage_is_noticed(void **state) {
  (void)state;
  tn_error err;
  tn_strbuf was = {0}, now = {0};
  char path[160], other[160];
  stop_at(0, &ways[1], 2, false);
  snprintf(path, sizeof path, "%s/layer-0.safetensors", kept);
  snprintf(other, sizeof other, "%s/layer-1.safetensors", kept);
  must(tn_file_read(path, 0, &was, &err));
  for (size_t i = 0; i < 120; i++) {
    tn_strbuf_reset(&now);
    tn_strbuf_add_str(&now, tn_strbuf_view(&was));
    size_t at = i < 40 ? i : (size_t)tn_random_below(9, 0, i, (int64_t)was.length);
    now.data[at] ^= (char)(1 << i % 8);
    if (i >= 100) now.length = at;
    must(tn_file_write_atomic(path, tn_strbuf_view(&now), &err));
    tn_status status = resume_again(&err);
    if (status == TN_OK) fail_msg("byte %zu", at);
    assert_non_null(strstr(err.text, "layer-0.safetensors"));
    assert_int_equal(layers_there(), 2);
  }
  must(tn_file_read(other, 0, &now, &err)); /* whole, but of another layer */
  must(tn_file_write_atomic(path, tn_strbuf_view(&now), &err));
  assert_int_equal(resume_again(&err), TN_ERR_DATA);
  assert_non_null(strstr(err.text, "is of layer \"1\", not \"0\""));
  must(tn_file_write_atomic(path, tn_strbuf_view(&was), &err));
  must(resume_again(&err));
  tn_strbuf_clear(&was);
  tn_strbuf_clear(&now);
}

/* ---- memory runs out ---- */

static void out_of_memory_costs_no_finished_layer(void **state) {
  (void)state;
  tn_error err;
  for (size_t i = 0; i < WAYS; i++) {
    stop_at(0, &ways[i], 2, false);
    int64_t live = tn_alloc_live(), n = 0, least = 2;
    for (tn_status status = TN_ERR_MEMORY; status != TN_OK;) {
      opened o;
      tn_quantized q;
      n += n < 200 ? 1 : 7;
      tn_alloc_fail_at(n);
      status = run(&q, &o, 0, &ways[i], true, false, NULL, NULL, &err);
      tn_alloc_fail_at(0);
      tn_quantized_clear(&q);
      close_model(&o);
      assert_int_equal(tn_alloc_live(), live);
      if (status != TN_OK && status != TN_ERR_MEMORY)
        fail_msg("call %lld: %s", (long long)n, err.text);
      assert_true(layers_there() >= least);
      least = layers_there();
    }
    assert_int_equal(least, LAYERS);
    assert_true(n > 100);
    must(tn_dir_remove(kept, &err));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_layer_may_be_the_last),
      cmocka_unit_test(a_kill_costs_no_finished_layer),
      cmocka_unit_test(other_runs_are_refused),
      cmocka_unit_test(nothing_stays_of_nothing),
      cmocka_unit_test(damage_is_noticed),
      cmocka_unit_test(out_of_memory_costs_no_finished_layer),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Whole models: what calibration sees, what every method leaves in the model, what is refused, and
 * memory running out anywhere. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/random.h"
#include "eval/perplexity.h"
#include "quant/activations.h"
#include "quant/calibration.h"
#include "quant/compressed.h"

enum { EXPERTS = 5, VOCAB = 61, TOKENS = 24, SAMPLES = 4, IDS = TOKENS * SAMPLES };

static void must_at(int line, tn_status status, const tn_error *err) {
  if (status != TN_OK) fail_msg("line %d: %s: %s", line, tn_status_text(status), err->text);
}
#define must(expr) must_at(__LINE__, (expr), &err)

typedef struct fixture {
  char folder[64], out[96], routed[96], neox[96];
  int32_t ids[IDS];
} fixture;

/* Weights and biases large enough to matter. */
static void make_model(const char *folder, const tn_model_config *config) {
  static const float bias[4] = {0.5f, -0.25f, 0.125f, -0.5f};
  tn_error err;
  tn_model *m;
  must(tn_model_new(&m, config, tn_device_cpu(), &err));
  tn_model_init(m, 42);
  tn_tensor flat = tn_model_flat(m);
  float *x = tn_tensor_data(&flat);
  for (int64_t i = 0; i < tn_tensor_count(&flat); i++)
    x[i] = x[i] == 1.0f ? (i % 11 == 0 ? 6.0f : 0.7f) : x[i] == 0 ? bias[i % 4] : x[i] * 6;
  must(tn_model_save(m, folder, TN_F32, &err));
  tn_model_free(m);
}

/* Two query heads read one key and value head; the second model has experts, of which two run; the
 * third has biases everywhere, q, k and v of a head together, and no gate. */
static int set_up(void **state) {
  static fixture f;
  tn_model_config c = {.vocab_size = VOCAB,
                       .hidden_size = 64,
                       .intermediate_size = 96,
                       .layers = 2,
                       .heads = 4,
                       .kv_heads = 2,
                       .head_dim = 16,
                       .positions_max = 32,
                       .bos_id = -1,
                       .eos_id = -1};
  tn_error err;
  f = (fixture){.folder = "/tmp/tenon-quantize-XXXXXX"};
  assert_non_null(mkdtemp(f.folder));
  snprintf(f.out, sizeof f.out, "%s/out", f.folder);
  snprintf(f.routed, sizeof f.routed, "%s/routed", f.folder);
  make_model(f.folder, &c);
  c.arch = TN_ARCH_MIXTRAL;
  c.experts = EXPERTS;
  c.experts_per_token = 2;
  c.expert_size = 96;
  must(tn_dir_make(f.routed, &err));
  make_model(f.routed, &c);
  c.arch = TN_ARCH_GPT_NEOX;
  c.experts = c.experts_per_token = c.expert_size = 0;
  c.kv_heads = c.heads;
  c.norm = TN_NORM_LAYER;
  c.activation = TN_ACT_GELU_ERF;
  c.ungated = c.qkv_bias = c.o_bias = c.feed_forward_bias = c.parallel = true;
  snprintf(f.neox, sizeof f.neox, "%s/neox", f.folder);
  must(tn_dir_make(f.neox, &err));
  make_model(f.neox, &c);
  for (int64_t i = 0; i < IDS; i++) f.ids[i] = (int32_t)tn_random_below(4, 1, (uint64_t)i, VOCAB);
  *state = &f;
  return 0;
}

static int tear_down(void **state) {
  return tn_dir_remove(((fixture *)*state)->folder, NULL) == TN_OK ? 0 : -1;
}

typedef struct opened {
  tn_model *model;
  tn_weight_source *source;
} opened;

static tn_status open_folder(opened *o, const char *folder, tn_error *err) {
  *o = (opened){0};
  TN_TRY(tn_model_open(&o->model, folder, tn_device_cpu(), err));
  return tn_weight_source_open(&o->source, folder, NULL, err);
}

static tn_status open_all(opened *o, const fixture *f, tn_error *err) {
  return open_folder(o, f->folder, err);
}

static void close_all(opened *o) {
  tn_weight_source_close(o->source);
  tn_model_free(o->model);
}

static const tn_quantize_options ways[] = {
    {.grid = {.bits = 4, .symmetric = true, .group = 32}, .method = TN_QUANTIZE_RTN},
    {.grid = {.bits = 4, .group = 32}, .method = TN_QUANTIZE_AWQ},
    {.grid = {.bits = 4, .symmetric = true, .group = 32},
     .method = TN_QUANTIZE_GPTQ,
     .gptq = {.by_activation = true, .search = true, .passes = 2},
     .aim = true},
    {.grid = {.bits = 8, .symmetric = true}, .method = TN_QUANTIZE_GPTQ, .smooth = true},
    {.grid = {.bits = 8, .is_float = true, .symmetric = true},
     .method = TN_QUANTIZE_RTN,
     .smooth = true,
     .kv_scales = true},
};
enum { WAYS = sizeof ways / sizeof *ways };

static double nats(tn_model *m, const fixture *f, tn_activations *activations) {
  tn_error err;
  tn_scorer *s;
  tn_perplexity p;
  const tn_perplexity_options o = {.window = TOKENS, .bos_id = -1};
  must(tn_scorer_new(&s, m, TN_F32, NULL, TOKENS, &err));
  if (activations) tn_forward_set_watch(tn_scorer_forward(s), tn_activations_round, activations);
  must(tn_perplexity_run(&p, s, f->ids, IDS, &o, NULL, &err));
  tn_scorer_free(s);
  return p.nats / (double)p.scored;
}

/* ---- what calibration sees ---- */

typedef struct noted {
  int64_t calls;
} noted;

static tn_status note(void *context, tn_error *err) {
  ((noted *)context)->calls++;
  return TN_OK;
}

static void sites_are_the_inputs_of_the_linears(void **state) {
  static const int32_t weights[4] = {3, 1, 2, 1};
  static const int64_t columns[4] = {64, 64, 64, 96};
  const fixture *f = *state;
  tn_error err;
  opened o;
  tn_calibration *c;
  const tn_site *sites;
  int32_t count;
  noted n = {0};
  must(open_all(&o, f, &err));
  must(tn_calibration_new(&c, o.model, NULL, f->ids, SAMPLES, TOKENS, &err));
  must(tn_calibration_measure(c, 0, true, -1, note, &n, &sites, &count, &err));
  assert_int_equal(n.calls, SAMPLES);
  assert_int_equal(count, 4);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(sites[i].weight_count, weights[i]);
    assert_int_equal(sites[i].columns, columns[i]);
    assert_int_equal(sites[i].rows, IDS);
    double trace = 0, most = 0;
    for (int64_t k = 0; k < columns[i]; k++) {
      trace += (double)sites[i].gram[k * (columns[i] + 1)];
      most = fmax(most, (double)sites[i].abs_max[k]);
      assert_true(sites[i].abs_sum[k] / IDS <= (double)sites[i].abs_max[k]);
    }
    assert_true(trace > most * most);
  }
  int64_t up = sites[2].weights[1], gate = sites[2].weights[0];
  float corner = sites[2].gram[1];
  must(tn_calibration_measure(c, 0, true, gate, NULL, NULL, &sites, &count, &err));
  assert_int_equal(count, 1); /* one site alone, the same figures */
  assert_int_equal(sites[0].weights[0], gate);
  assert_int_equal(sites[0].weight_count, 2);
  assert_int_equal(sites[0].weights[1], up);
  assert_true(sites[0].gram[1] == corner);
  float k_max, v_max;
  must(tn_calibration_advance(c, 0, &k_max, &v_max, NULL, NULL, &err));
  assert_true(k_max > 0 && v_max > 0);
  must(tn_calibration_measure(c, 1, true, gate, NULL, NULL, &sites, &count, &err));
  assert_int_equal(count, 0); /* that weight is in another layer */
  tn_calibration_free(c);
  assert_int_equal(tn_calibration_new(&c, o.model, NULL, f->ids, 1, 33, &err), TN_ERR_ARGUMENT);
  close_all(&o);
}

/* X^T X of one input, summed in double from what the whole pass shows. */
typedef struct plain_gram {
  int64_t weight;
  double sums[96 * 96];
} plain_gram;

static tn_status add_plainly(void *context, int64_t weight, tn_tensor *x, tn_error *err) {
  plain_gram *g = context;
  if (weight != g->weight) return TN_OK;
  const float *row = tn_tensor_data(x);
  int64_t columns = x->shape[1];
  for (int64_t r = 0; r < x->shape[0]; r++, row += columns)
    for (int64_t i = 0; i < columns; i++)
      for (int64_t k = 0; k < columns; k++) g->sums[i * columns + k] += (double)row[i] * row[k];
  return TN_OK;
}

static void grams_are_those_of_the_whole_pass(void **state) {
  static plain_gram g;
  const fixture *f = *state;
  tn_error err;
  opened o;
  tn_calibration *c;
  const tn_site *sites;
  int32_t count;
  must(open_all(&o, f, &err));
  must(tn_calibration_new(&c, o.model, NULL, f->ids, SAMPLES, TOKENS, &err));
  must(tn_calibration_advance(c, 0, NULL, NULL, NULL, NULL, &err));
  must(tn_calibration_measure(c, 1, true, -1, NULL, NULL, &sites, &count, &err));
  for (int32_t i = 0; i < count; i++) {
    tn_scorer *s;
    tn_token_score scores[TOKENS + 1];
    memset(&g, 0, sizeof g);
    g.weight = sites[i].weights[0];
    must(tn_scorer_new(&s, o.model, TN_F32, NULL, TOKENS + 1, &err));
    tn_forward_set_watch(tn_scorer_forward(s), add_plainly, &g);
    for (int64_t k = 0; k < SAMPLES; k++) { /* the last token of a sequence is not fed */
      int32_t ids[TOKENS + 1] = {0};
      memcpy(ids, f->ids + k * TOKENS, TOKENS * sizeof *ids);
      if (k > 0) assert_true(ids[0] != f->ids[(k - 1) * TOKENS]); /* nothing is taken over */
      must(tn_scorer_run(s, ids, TOKENS + 1, 1, scores, &err));
    }
    double most = 0;
    int64_t n = sites[i].columns;
    for (int64_t k = 0; k < n * n; k++) most = fmax(most, fabs(g.sums[k]));
    for (int64_t k = 0; k < n * n; k++)
      if (fabs(g.sums[k] - (double)sites[i].gram[k]) > 1e-4 * most)
        fail_msg("site %d: %lld: %g, expected %g", i, (long long)k, (double)sites[i].gram[k],
                 g.sums[k]);
    tn_scorer_free(s);
  }
  tn_calibration_free(c);
  close_all(&o);
}

/* ---- what it knows of the model as it was ---- */

typedef struct halving { /* one linear of layer 0 */
  tn_model *model;
  int64_t place;
  tn_tensor whole, half;
} halving;

static void use_half(void *context, bool as_they_were) {
  halving *h = context;
  tn_model_set_parameter(h->model, h->place, as_they_were ? &h->whole : &h->half);
}

static int64_t place_of(const tn_model *m, const char *name) {
  int64_t count;
  const tn_parameter *p = tn_model_parameters(m, &count);
  for (int64_t i = 0; i < count; i++)
    if (strcmp(p[i].name, name) == 0) return i;
  fail_msg("no parameter %s", name);
  return -1;
}

/* o_proj of layer 0 at half its size: what that adds to the stream halves, what layer 0 read before
 * it stays, and what comes behind has drifted. */
static void drift_is_the_distance_from_the_reference(void **state) {
  const fixture *f = *state;
  tn_error err;
  opened o;
  tn_calibration *c;
  const tn_site *site;
  must(open_all(&o, f, &err));
  halving h = {.model = o.model,
               .place = place_of(o.model, "model.layers.0.self_attn.o_proj.weight")};
  const tn_parameter *p = tn_model_parameters(o.model, NULL);
  h.whole = h.half = p[h.place].tensor;
  must(tn_buffer_new(&h.half.buffer, 64 * 64 * sizeof(float), &err));
  h.half.offset_bytes = 0;
  float *half = h.half.buffer->data;
  for (int64_t i = 0; i < 64 * 64; i++) half[i] = 0.5f * ((float *)tn_tensor_data(&h.whole))[i];
  must(tn_calibration_new(&c, o.model, NULL, f->ids, SAMPLES, TOKENS, &err));
  must(tn_calibration_keep_reference(c, &err));
  must(tn_calibration_compare(c, 0, h.place, true, use_half, NULL, &h, &site, &err));
  assert_int_equal(site->rows, IDS);
  for (int64_t i = 0; i < 64 * 64; i++)
    assert_true(site->gram[i] != 0 && site->drift[i] == 0 && site->residual_drift[i] == 0);
  int64_t gate = place_of(o.model, "model.layers.0.mlp.gate_proj.weight");
  must(tn_calibration_compare(c, 0, gate, true, use_half, NULL, &h, &site, &err));
  assert_int_equal(site->weight_count, 2);
  double drift = 0;
  for (int64_t i = 0; i < 64 * 64; i++) drift += fabs((double)site->drift[i]);
  assert_true(drift > 1);
  assert_true(p[h.place].tensor.buffer == h.half.buffer); /* as the weights have become */
  use_half(&h, true);
  must(tn_calibration_advance_reference(c, 0, NULL, NULL, &err));
  use_half(&h, false);
  must(tn_calibration_advance(c, 0, NULL, NULL, NULL, NULL, &err));
  int64_t down = place_of(o.model, "model.layers.1.mlp.down_proj.weight");
  must(tn_calibration_compare(c, 1, down, true, use_half, NULL, &h, &site, &err));
  assert_int_equal(site->weights[0], down);
  tn_calibration_free(c);
  tn_buffer_drop(h.half.buffer);
  close_all(&o);
}

/* What reaches the last linear, for all samples. */
typedef struct last_inputs {
  int64_t weight, count;
  float x[IDS * 96];
} last_inputs;

static tn_status keep_last(void *context, int64_t weight, tn_tensor *x, tn_error *err) {
  last_inputs *last = context;
  if (weight != last->weight) return TN_OK;
  int64_t count = tn_tensor_count(x);
  assert_true(last->count + count <= IDS * 96);
  memcpy(last->x + last->count, tn_tensor_data(x), (size_t)count * sizeof *last->x);
  last->count += count;
  return TN_OK;
}

static void run_through(tn_model *m, const fixture *f, last_inputs *last) {
  tn_error err;
  tn_scorer *s;
  tn_token_score scores[TOKENS];
  *last = (last_inputs){.weight = place_of(m, "model.layers.1.mlp.down_proj.weight")};
  must(tn_scorer_new(&s, m, TN_F32, NULL, TOKENS, &err));
  tn_forward_set_watch(tn_scorer_forward(s), keep_last, last);
  for (int64_t k = 0; k < SAMPLES; k++)
    must(tn_scorer_run(s, f->ids + k * TOKENS, TOKENS, 1, scores, &err));
  tn_scorer_free(s);
}

/* The weights of both layers make up for what those before have lost. */
static void an_aimed_model_stays_nearer(void **state) {
  static last_inputs want, got;
  const fixture *f = *state;
  const tn_calibration_text text = {f->ids, SAMPLES, TOKENS};
  tn_error err;
  double distance[2] = {0};
  for (int aim = 0; aim < 2; aim++) {
    opened o;
    tn_quantized q;
    tn_quantize_options way = ways[2];
    way.aim = aim;
    must(open_all(&o, f, &err));
    run_through(o.model, f, &want);
    must(tn_quantize(&q, o.model, o.source, &text, &way, NULL, NULL, &err));
    run_through(o.model, f, &got);
    assert_int_equal(got.count, want.count);
    for (int64_t i = 0; i < want.count; i++) {
      double d = (double)got.x[i] - (double)want.x[i];
      distance[aim] += d * d;
    }
    tn_quantized_clear(&q);
    close_all(&o);
  }
  if (!(distance[1] < 0.8 * distance[0]))
    fail_msg("aimed %g, not aimed %g", distance[1], distance[0]);
}

/* ---- methods ---- */

static void every_way_leaves_a_model_like_the_first(void **state) {
  const fixture *f = *state;
  tn_error err;
  for (size_t i = 0; i < WAYS; i++) {
    opened o;
    tn_quantized q;
    const tn_calibration_text text = {f->ids, SAMPLES, TOKENS};
    must(open_all(&o, f, &err));
    double before = nats(o.model, f, NULL);
    must(tn_quantize(&q, o.model, o.source, &text, &ways[i], NULL, NULL, &err));
    assert_int_equal(q.quantized, 14);
    double after = nats(o.model, f, NULL);
    assert_true(after != before);
    if (fabs(after - before) > 0.1 * before) fail_msg("way %zu: %g, before %g", i, after, before);
    tn_activations a = {.quantized = &q, .is_float = ways[i].grid.is_float};
    double rounded = nats(o.model, f, &a);
    assert_true(rounded != after && fabs(rounded - after) < 0.05 * after);
    tn_activations_clear(&a);
    for (int64_t layer = 0; ways[i].kv_scales && layer < 2; layer++)
      assert_true(q.k_max[layer] > 0 && q.v_max[layer] > 0);
    tn_quantized_clear(&q);
    close_all(&o);
  }
}

/* GPT-NeoX: the norms before both branches take scales with their biases, nothing else can. */
static void fused_heads_are_quantized(void **state) {
  const fixture *f = *state;
  tn_error err;
  for (size_t i = 0; i < WAYS; i++) {
    opened o;
    tn_quantized q;
    const tn_calibration_text text = {f->ids, SAMPLES, TOKENS};
    const tn_quantize_options *way = &ways[i];
    tn_quantize_options fine = *way; /* what is left is what folding did */
    int64_t changed = 0;
    for (int k = 0; k < 2; k++) {
      must(open_folder(&o, f->neox, &err));
      double before = nats(o.model, f, NULL);
      must(tn_quantize(&q, o.model, o.source, &text, k ? &fine : way, NULL, NULL, &err));
      assert_int_equal(q.quantized, 2 * 6);
      double after = nats(o.model, f, NULL), limit = (k ? 0.005 : 0.1) * before;
      assert_true(after != before);
      if (fabs(after - before) > limit) fail_msg("way %zu: %g, before %g", i, after, before);
      changed = 0;
      for (int64_t p = 0; p < q.count; p++) changed += q.tensors[p].is_changed;
      assert_int_equal(changed, way->smooth || way->method == TN_QUANTIZE_AWQ ? 2 * 4 : 0);
      tn_quantized_clear(&q);
      close_all(&o);
      fine.grid = (tn_grid){.bits = 8, .symmetric = true, .group = 32};
    }
  }
}

/* Each expert with its own inputs, and as it is where no token came to it. */
static void experts_are_quantized(void **state) {
  const fixture *f = *state;
  tn_error err;
  for (size_t i = 0; i < WAYS; i++)
    for (int64_t tokens = 1; tokens <= TOKENS; tokens += TOKENS - 1) {
      opened o;
      tn_quantized q;
      const tn_calibration_text text = {f->ids, tokens == 1 ? 1 : SAMPLES, tokens};
      must(open_folder(&o, f->routed, &err));
      double before = nats(o.model, f, NULL);
      must(tn_quantize(&q, o.model, o.source, &text, &ways[i], NULL, NULL, &err));
      assert_int_equal(q.quantized, 2 * (4 + 3 * EXPERTS));
      double after = nats(o.model, f, NULL);
      assert_true(after != before);
      if (fabs(after - before) > 0.1 * before) fail_msg("way %zu: %g, before %g", i, after, before);
      tn_quantized_clear(&q);
      close_all(&o);
    }
}

/* What an expert reads is measured as the whole pass gives it. */
static void experts_are_sites(void **state) {
  const fixture *f = *state;
  tn_error err;
  opened o;
  tn_calibration *c;
  const tn_site *sites;
  int32_t count;
  int64_t rows = 0;
  must(open_folder(&o, f->routed, &err));
  must(tn_calibration_new(&c, o.model, NULL, f->ids, SAMPLES, TOKENS, &err));
  must(tn_calibration_measure(c, 0, true, -1, NULL, NULL, &sites, &count, &err));
  assert_int_equal(count, 3 + 2 * EXPERTS); /* q k v, o, the router; gate and up, down of each */
  for (int32_t i = 3; i < count; i++) {
    if (sites[i].weight_count == 2) rows += sites[i].rows;
    assert_int_equal(sites[i].columns, sites[i].weight_count == 2 ? 64 : 96);
  }
  assert_int_equal(rows, 2 * IDS); /* two experts a token */
  tn_calibration_free(c);
  close_all(&o);
}

/* With 8 bits and fine groups the rounding is small: what is left is what folding did. */
static void folding_changes_no_function(void **state) {
  const fixture *f = *state;
  tn_error err;
  const tn_calibration_text text = {f->ids, SAMPLES, TOKENS};
  const tn_quantize_options o8[2] = {{.grid = {.bits = 8, .group = 32}, .method = TN_QUANTIZE_AWQ},
                                     {.grid = {.bits = 8, .symmetric = true, .group = 32},
                                      .method = TN_QUANTIZE_RTN,
                                      .smooth = true}};
  for (int i = 0; i < 2; i++) {
    opened o;
    tn_quantized q;
    int64_t changed = 0;
    must(open_all(&o, f, &err));
    double before = nats(o.model, f, NULL);
    must(tn_quantize(&q, o.model, o.source, &text, &o8[i], NULL, NULL, &err));
    assert_true(fabs(nats(o.model, f, NULL) - before) < 0.005 * before);
    for (int64_t p = 0; p < q.count; p++) changed += q.tensors[p].is_changed;
    assert_int_equal(changed, 4); /* both norms of both layers */
    tn_quantized_clear(&q);
    close_all(&o);
  }
}

static void threads_change_nothing(void **state) {
  const fixture *f = *state;
  tn_error err;
  tn_pool *pool;
  must(tn_pool_new(&pool, 3, &err));
  const tn_calibration_text text = {f->ids, SAMPLES, TOKENS};
  for (size_t i = 1; i <= 2; i++) {
    opened one, more;
    tn_quantized a, b;
    must(open_all(&one, f, &err));
    must(open_all(&more, f, &err));
    must(tn_quantize(&a, one.model, one.source, &text, &ways[i], NULL, NULL, &err));
    must(tn_quantize(&b, more.model, more.source, &text, &ways[i], pool, NULL, &err));
    for (int64_t p = 0; p < a.count; p++) {
      const tn_grid_matrix *x = &a.tensors[p].matrix, *y = &b.tensors[p].matrix;
      if (!a.tensors[p].is_quantized) continue;
      assert_memory_equal(x->codes, y->codes, (size_t)(x->rows * x->columns));
    }
    tn_quantized_clear(&a);
    tn_quantized_clear(&b);
    close_all(&one);
    close_all(&more);
  }
  tn_pool_free(pool);
}

static void mistakes_are_named(void **state) {
  const fixture *f = *state;
  tn_error err;
  opened o;
  tn_quantized q;
  const tn_calibration_text none = {0}, text = {f->ids, SAMPLES, TOKENS};
  must(open_all(&o, f, &err));
  double before = nats(o.model, f, NULL);
  assert_int_equal(tn_quantize(&q, o.model, o.source, &none, &ways[1], NULL, NULL, &err),
                   TN_ERR_ARGUMENT);
  tn_quantize_options wide = ways[1];
  wide.grid.group = 64; /* down_proj has 96 columns */
  assert_int_equal(tn_quantize(&q, o.model, o.source, &text, &wide, NULL, NULL, &err),
                   TN_ERR_UNSUPPORTED);
  assert_non_null(strstr(err.text, "model.layers.0.mlp.down_proj.weight: 96 columns"));
  assert_true(nats(o.model, f, NULL) == before); /* the model is as it was */
  static const char *const everything[] = {"proj"};
  tn_quantize_options nothing = ways[0];
  nothing.ignore = everything;
  nothing.ignore_count = 1;
  assert_int_equal(tn_quantize(&q, o.model, o.source, &none, &nothing, NULL, NULL, &err),
                   TN_ERR_ARGUMENT);
  assert_non_null(strstr(err.text, "all linears of all 2 layers are ignored"));
  close_all(&o);
}

/* q, k and v read the same: without q the others still find codes that lose less than the nearest
 * ones. */
static void the_rest_of_a_site_is_quantized(void **state) {
  const fixture *f = *state;
  static const char *const names[] = {"q_proj"};
  const tn_calibration_text text = {f->ids, SAMPLES, TOKENS};
  tn_error err;
  opened one, other;
  tn_quantized nearest, better;
  tn_quantize_options way = ways[2];
  way.ignore = names;
  way.ignore_count = 1;
  must(open_all(&one, f, &err));
  must(open_all(&other, f, &err));
  must(tn_quantize(&better, one.model, one.source, &text, &way, NULL, NULL, &err));
  way.method = TN_QUANTIZE_RTN;
  must(tn_quantize(&nearest, other.model, other.source, &text, &way, NULL, NULL, &err));
  const tn_parameter *p = tn_model_parameters(one.model, NULL);
  for (int64_t i = 0; i < better.count; i++) {
    const tn_grid_matrix *m = &better.tensors[i].matrix;
    if (strstr(p[i].name, "q_proj")) assert_false(better.tensors[i].is_quantized);
    if (!better.tensors[i].is_quantized) continue;
    assert_memory_not_equal(m->codes, nearest.tensors[i].matrix.codes,
                            (size_t)(m->rows * m->columns));
  }
  tn_quantized_clear(&better);
  tn_quantized_clear(&nearest);
  close_all(&one);
  close_all(&other);
}

/* What reads it is not made smaller at its cost. */
static void an_ignored_linear_takes_no_scales(void **state) {
  const fixture *f = *state;
  static const char *const names[] = {"v_proj", "up_proj"};
  const tn_calibration_text text = {f->ids, SAMPLES, TOKENS};
  for (size_t i = 0; i < WAYS; i++) {
    tn_error err;
    opened o;
    tn_quantized q;
    tn_quantize_options way = ways[i];
    way.ignore = names;
    way.ignore_count = 2;
    must(open_all(&o, f, &err));
    must(tn_quantize(&q, o.model, o.source, &text, &way, NULL, NULL, &err));
    const tn_parameter *p = tn_model_parameters(o.model, NULL);
    for (int64_t k = 0; k < q.count; k++)
      if (strstr(p[k].name, "v_proj") || strstr(p[k].name, "up_proj"))
        assert_false(q.tensors[k].is_quantized || q.tensors[k].is_changed);
    tn_quantized_clear(&q);
    close_all(&o);
  }
}

/* Either layer, in every way, and what the other becomes is on the grid. */
static void an_ignored_layer_stays(void **state) {
  const fixture *f = *state;
  static const char *const names[] = {"layers.0.", "layers.1."};
  const tn_calibration_text text = {f->ids, SAMPLES, TOKENS};
  for (size_t i = 0; i < 2 * WAYS; i++) {
    tn_error err;
    opened o;
    tn_quantized q;
    int64_t of_layer[2] = {0};
    tn_quantize_options way = ways[i / 2];
    way.ignore = &names[i % 2];
    way.ignore_count = 1;
    must(open_all(&o, f, &err));
    must(tn_quantize(&q, o.model, o.source, &text, &way, NULL, NULL, &err));
    const tn_parameter *p = tn_model_parameters(o.model, NULL);
    for (int64_t k = 0; k < q.count; k++) {
      if (strstr(p[k].name, names[i % 2])) {
        assert_false(q.tensors[k].is_quantized || q.tensors[k].is_changed);
        continue;
      }
      of_layer[strstr(p[k].name, names[1]) != NULL] += q.tensors[k].is_quantized;
    }
    assert_int_equal(of_layer[i % 2], 0);
    assert_int_equal(of_layer[1 - i % 2], 7);
    assert_true(isfinite(nats(o.model, f, NULL)));
    tn_quantized_clear(&q);
    close_all(&o);
  }
}

/* ---- memory runs out ---- */

static tn_status quantize_and_write(const fixture *f, const char *folder,
                                    const tn_quantize_options *way, tn_error *err) {
  opened o;
  tn_quantized q = {0};
  const tn_calibration_text text = {f->ids, 1, 8};
  const tn_compressed_options c = {.quantize = way, .kv_is_float = true, .version = "test"};
  tn_status status = open_folder(&o, folder, err);
  if (status == TN_OK) status = tn_quantize(&q, o.model, o.source, &text, way, NULL, NULL, err);
  if (status == TN_OK) status = tn_dir_make(f->out, err);
  if (status == TN_OK) status = tn_compressed_write(f->out, &q, o.source, folder, &c, err);
  tn_quantized_clear(&q);
  close_all(&o);
  return status;
}

static void out_of_memory_is_reported(void **state) {
  const fixture *f = *state;
  tn_error err;
  int64_t live = tn_alloc_live();
  const char *const folders[3] = {f->folder, f->routed, f->neox};
  for (size_t i = 0; i < WAYS + 2; i++) {
    size_t other = i < WAYS ? 0 : i - WAYS + 1; /* by GPTQ */
    int64_t n = 0;
    for (tn_status status = TN_ERR_MEMORY; status != TN_OK;) {
      n += other ? 41 : n < 40 ? 1 : 7; /* every one of the first, then some of the many alike */
      tn_alloc_fail_at(n);
      status = quantize_and_write(f, folders[other], &ways[other ? 2 : i], &err);
      tn_alloc_fail_at(0);
      assert_int_equal(tn_alloc_live(), live);
      if (status != TN_OK && status != TN_ERR_MEMORY)
        fail_msg("call %lld: %s", (long long)n, err.text);
    }
    assert_true(n > 100);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sites_are_the_inputs_of_the_linears),
      cmocka_unit_test(grams_are_those_of_the_whole_pass),
      cmocka_unit_test(drift_is_the_distance_from_the_reference),
      cmocka_unit_test(an_aimed_model_stays_nearer),
      cmocka_unit_test(every_way_leaves_a_model_like_the_first),
      cmocka_unit_test(fused_heads_are_quantized),
      cmocka_unit_test(experts_are_quantized),
      cmocka_unit_test(experts_are_sites),
      cmocka_unit_test(folding_changes_no_function),
      cmocka_unit_test(threads_change_nothing),
      cmocka_unit_test(mistakes_are_named),
      cmocka_unit_test(an_ignored_layer_stays),
      cmocka_unit_test(the_rest_of_a_site_is_quantized),
      cmocka_unit_test(an_ignored_linear_takes_no_scales),
      cmocka_unit_test(out_of_memory_is_reported),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/gguf_export.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "model/gguf_arch.h"
#include "quant/gguf_tokens.h"
#include "quant/gguf_write.h"
#include "quant/k_quant.h"

enum { GROUP = 32, KEY_BYTES = 64 };

typedef struct exporter {
  const tn_model *model;
  const tn_model_config *config;
  const tn_gguf_arch *arch;
  const tn_quantized *q;
  tn_weight_source *source;
  tn_dtype plain;
  tn_pool *pool;
  tn_gguf_writer w;
  tn_buffer **made;
  size_t made_count, made_capacity;
  tn_progress *progress;
} exporter;

/* ---- which models ---- */

static const tn_gguf_arch *arch_of(const tn_model_config *c) {
  switch (c->arch) {
    case TN_ARCH_LLAMA:
    case TN_ARCH_MISTRAL:
      return tn_gguf_arch_for(TN_STR("llama"));
    case TN_ARCH_QWEN2:
      return tn_gguf_arch_for(TN_STR("qwen2"));
    case TN_ARCH_QWEN3:
      return tn_gguf_arch_for(TN_STR("qwen3"));
    default:
      return NULL;
  }
}

tn_status tn_gguf_export_check(const tn_model *model, tn_error *err) {
  const tn_model_config *c = tn_model_config_of(model);
  if (!arch_of(c) || c->task != TN_TASK_GENERATE)
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "GGUF files are written of Llama, Mistral, Qwen 2 and Qwen 3 only");
  if (c->window > 0)
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "a sliding window of %" PRId64 " tokens has no place in such a GGUF file",
                   c->window);
  if (c->rope.kind == TN_ROPE_PLAIN || c->rope.kind == TN_ROPE_LINEAR ||
      c->rope.kind == TN_ROPE_LLAMA3 || c->rope.kind == TN_ROPE_YARN)
    return TN_OK;
  return tn_fail(err, TN_ERR_UNSUPPORTED,
                 "dynamic and longrope scaling are not written to GGUF files; linear, yarn and "
                 "llama3 are");
}

/* ---- metadata ---- */

static const char *key_of(const exporter *e, const char *key, char out[KEY_BYTES]) {
  snprintf(out, KEY_BYTES, "%s.%s", e->arch->name, key);
  return out;
}

static void put_size(exporter *e, const char *key, int64_t value) {
  char whole[KEY_BYTES];
  tn_gguf_put_u32(&e->w, key_of(e, key, whole), (uint32_t)value);
}

static void put_real(exporter *e, const char *key, double value) {
  char whole[KEY_BYTES];
  tn_gguf_put_f32(&e->w, key_of(e, key, whole), (float)value);
}

/* The number that llama.cpp prints as the kind of file. */
static uint32_t file_type(const exporter *e) {
  for (int64_t i = 0; i < e->q->count; i++) {
    const tn_grid *g = &e->q->tensors[i].matrix.grid;
    if (e->q->tensors[i].is_quantized) return g->bits == 8 ? 7 : g->symmetric ? 2 : 3;
  }
  switch (e->plain) {
    case TN_F32:
      return 0;
    case TN_F16:
      return 1;
    case TN_Q4_K:
      return 15; /* "Q4_K - Medium" */
    case TN_Q6_K:
      return 18;
    default:
      return 32;
  }
}

static void put_scaling(exporter *e) {
  const tn_rope_scaling *r = &e->config->rope;
  char whole[KEY_BYTES];
  if (r->kind != TN_ROPE_LINEAR && r->kind != TN_ROPE_YARN) return;
  bool yarn = r->kind == TN_ROPE_YARN;
  tn_gguf_put_str(&e->w, key_of(e, "rope.scaling.type", whole),
                  yarn ? TN_STR("yarn") : TN_STR("linear"));
  put_real(e, "rope.scaling.factor", r->factor);
  if (yarn && r->original_positions > 0)
    put_size(e, "rope.scaling.original_context_length", r->original_positions);
}

static void put_shape(exporter *e) {
  const tn_model_config *c = e->config;
  put_size(e, "vocab_size", c->vocab_size);
  put_size(e, "context_length", c->positions_max);
  put_size(e, "embedding_length", c->hidden_size);
  put_size(e, "block_count", c->layers);
  put_size(e, "feed_forward_length", c->intermediate_size);
  put_size(e, "attention.head_count", c->heads);
  put_size(e, "attention.head_count_kv", c->kv_heads);
  put_size(e, "attention.key_length", c->head_dim);
  put_size(e, "attention.value_length", c->head_dim);
  put_size(e, "rope.dimension_count", c->rotary_dim > 0 ? c->rotary_dim : c->head_dim);
  put_real(e, "rope.freq_base", c->rope_theta);
  put_real(e, "attention.layer_norm_rms_epsilon", c->norm_eps);
  put_scaling(e);
}

static tn_status put_metadata(exporter *e, const char *folder, tn_error *err) {
  tn_gguf_put_str(&e->w, "general.architecture", tn_str_of(e->arch->name));
  tn_gguf_put_str(&e->w, "general.type", TN_STR("model"));
  tn_gguf_put_u32(&e->w, "general.file_type", file_type(e));
  tn_gguf_put_u32(&e->w, "general.quantization_version", 2);
  put_shape(e);
  return tn_gguf_put_tokens(&e->w, folder, e->config, err);
}

/* ---- tensors ---- */

static tn_status new_tensor(exporter *e, tn_dtype dtype, int32_t rank, const int64_t *shape,
                            tn_tensor *out, tn_error *err) {
  int64_t count = 1;
  tn_buffer *buffer;
  for (int32_t d = 0; d < rank; d++) count *= shape[d];
  TN_TRY(tn_grow((void **)&e->made, &e->made_capacity, e->made_count + 1, sizeof *e->made, err));
  TN_TRY(tn_buffer_new(&buffer, (size_t)tn_dtype_bytes_of(dtype, count), err));
  e->made[e->made_count++] = buffer;
  return tn_tensor_view(out, buffer, 0, dtype, rank, shape, err);
}

/* Where row r of a q or k of Llama goes: the halves of a head interleaved. */
static int64_t row_place(int64_t row, int64_t head_dim) {
  int64_t inside = row % head_dim, half = head_dim / 2;
  return row - inside + (inside < half ? 2 * inside : 2 * (inside - half) + 1);
}

static bool is_interleaved(const exporter *e, const char *name) {
  return e->arch->rows_interleaved && (strstr(name, ".q_proj.") || strstr(name, ".k_proj."));
}

static void put_half(uint8_t *out, float x) {
  uint16_t half = tn_f32_to_f16(x);
  out[0] = (uint8_t)half;
  out[1] = (uint8_t)(half >> 8);
}

/* One group of 32 as a block of q4_0, q4_1 or q8_0. */
static void put_block(uint8_t *out, tn_dtype dtype, tn_grid_scale s, const int8_t *codes) {
  put_half(out, s.scale);
  if (dtype == TN_Q8_0) {
    memcpy(out + 2, codes, GROUP);
    return;
  }
  uint8_t *nibbles = out + 2;
  if (dtype == TN_Q4_1) {
    put_half(out + 2, -s.scale * (float)(8 + s.zero));
    nibbles += 2;
  }
  for (int i = 0; i < GROUP / 2; i++)
    nibbles[i] = (uint8_t)((codes[i] + 8) | (codes[i + GROUP / 2] + 8) << 4);
}

static tn_dtype block_type(const tn_grid *g) {
  return g->bits == 8 ? TN_Q8_0 : g->symmetric ? TN_Q4_0 : TN_Q4_1;
}

static tn_status check_grid(const tn_grid *g, tn_error *err) {
  if (g->group == GROUP && !g->is_float && g->scale_dtype == TN_F16 &&
      (g->bits == 4 || g->symmetric))
    return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT, "GGUF holds groups of %d with float16 scales", GROUP);
}

static tn_status make_quantized(exporter *e, const char *name, const tn_grid_matrix *m,
                                tn_tensor *out, tn_error *err) {
  TN_TRY(check_grid(&m->grid, err));
  tn_dtype dtype = block_type(&m->grid);
  const int64_t shape[2] = {m->rows, m->columns};
  TN_TRY(new_tensor(e, dtype, 2, shape, out, err));
  bool turned = is_interleaved(e, name);
  int64_t bytes = tn_dtype_bytes(dtype);
  for (int64_t r = 0; r < m->rows; r++) {
    int64_t to = turned ? row_place(r, e->config->head_dim) : r;
    uint8_t *at = (uint8_t *)tn_tensor_data(out) + to * m->groups * bytes;
    for (int64_t g = 0; g < m->groups; g++)
      put_block(at + g * bytes, dtype, m->scales[r * m->groups + g],
                m->codes + r * m->columns + g * GROUP);
  }
  return TN_OK;
}

static bool is_k_type(tn_dtype dtype) {
  return dtype == TN_Q4_K || dtype == TN_Q6_K;
}

/* Larger ones would become infinity. */
static tn_status check_range(const char *name, tn_dtype dtype, const float *x, int64_t count,
                             tn_error *err) {
  static const float too_large = 65520;
  for (int64_t i = 0; i < count && dtype == TN_F16; i++)
    if (fabsf(x[i]) >= too_large)
      return tn_fail(err, TN_ERR_DATA, "\"%s\" holds %g, float16 goes up to 65504", name,
                     (double)x[i]);
  return TN_OK;
}

/* Floats of one row into the type of the file. */
static void put_row(void *out, tn_dtype dtype, const float *x, int64_t count) {
  if (is_k_type(dtype)) {
    uint8_t *at = out;
    for (int64_t i = 0; i < count; i += TN_K_BLOCK, at += tn_dtype_bytes(dtype))
      (dtype == TN_Q4_K ? tn_q4_k_put : tn_q6_k_put)(at, x + i);
    return;
  }
  if (dtype != TN_Q8_0) {
    for (int64_t i = 0; i < count; i++) tn_element_set(out, dtype, i, (double)x[i]);
    return;
  }
  static const tn_grid grid = {.bits = 8, .symmetric = true, .group = GROUP, .scale_dtype = TN_F16};
  for (int64_t i = 0; i < count; i += GROUP) {
    int8_t codes[GROUP];
    tn_grid_scale s = tn_grid_fit_weights(&grid, x + i, GROUP);
    for (int k = 0; k < GROUP; k++) codes[k] = tn_grid_code(&grid, s, x[i + k]);
    put_block((uint8_t *)out + i / GROUP * tn_dtype_bytes(dtype), dtype, s, codes);
  }
}

/* The layers whose v and down have 6 bits beside 4: the first and last eighth, and every third. */
static bool has_more_bits(int64_t layer, int64_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

static bool wants_6_bits(const exporter *e, const char *name) {
  int64_t layer;
  if (strcmp(name, e->config->tied ? "model.embed_tokens.weight" : "lm_head.weight") == 0)
    return true;
  return (strstr(name, ".v_proj.") || strstr(name, ".down_proj.")) &&
         sscanf(name, "model.layers.%" SCNd64, &layer) == 1 &&
         has_more_bits(layer, e->config->layers);
}

static bool is_ignored(const exporter *e, const char *name) {
  for (int32_t i = 0; i < e->q->ignore_count; i++)
    if (strstr(name, e->q->ignore[i])) return true;
  return false;
}

/* Matrices that are not quantized become q8_0 beside those that are, but for ignored ones. */
static tn_dtype plain_type(const exporter *e, const tn_parameter *p, tn_dtype source) {
  const tn_tensor *t = &p->tensor;
  if (t->rank == 1) return TN_F32;
  if (is_ignored(e, p->name)) return source == TN_F16 || source == TN_BF16 ? source : TN_F32;
  bool is_k = is_k_type(e->plain);
  if (e->q->quantized == 0 && !is_k) return e->plain;
  if (is_k && t->shape[1] % TN_K_BLOCK == 0) return wants_6_bits(e, p->name) ? TN_Q6_K : e->plain;
  return t->shape[1] % GROUP == 0 ? TN_Q8_0 : TN_F16;
}

typedef struct row_job { /* floats [rows, columns] into a tensor of the file */
  const float *x;
  const tn_tensor *out;
  int64_t columns, head_dim;
  bool turned;
} row_job;

static void run_row(void *context, int64_t r, int32_t worker) {
  const row_job *j = context;
  (void)worker;
  int64_t to = j->turned ? row_place(r, j->head_dim) : r;
  char *at = (char *)tn_tensor_data(j->out) + tn_dtype_bytes_of(j->out->dtype, j->columns) * to;
  put_row(at, j->out->dtype, j->x + r * j->columns, j->columns);
}

/* source: the type that x had. */
static tn_status make_plain(exporter *e, const tn_parameter *p, const float *x, tn_dtype source,
                            tn_tensor *out, tn_error *err) {
  const tn_tensor *t = &p->tensor;
  tn_dtype dtype = plain_type(e, p, source);
  TN_TRY(check_range(p->name, dtype, x, tn_tensor_count(t), err));
  TN_TRY(new_tensor(e, dtype, t->rank, t->shape, out, err));
  row_job j = {.x = x,
               .out = out,
               .columns = t->rank == 1 ? 1 : t->shape[1],
               .head_dim = e->config->head_dim,
               .turned = is_interleaved(e, p->name)};
  tn_pool_run(e->pool, t->shape[0], run_row, &j);
  return TN_OK;
}

static tn_status make_from_file(exporter *e, const tn_parameter *p, tn_tensor *out, tn_error *err) {
  tn_weight weight;
  TN_TRY(tn_weight_source_find(e->source, p->name, &weight, err));
  size_t count = (size_t)tn_tensor_count(&p->tensor);
  float *x = tn_alloc(count, sizeof *x);
  tn_status status = x ? TN_OK : tn_fail_memory(err, p->name, count * sizeof *x);
  if (status == TN_OK && tn_tensor_count(&weight.tensor) != (int64_t)count)
    status = tn_fail(err, TN_ERR_UNSUPPORTED, "\"%s\" is a part of a tensor of the file", p->name);
  if (status == TN_OK) {
    tn_weight_to_f32(&weight, x);
    status = make_plain(e, p, x, weight.tensor.dtype, out, err);
  }
  tn_free(x);
  tn_weight_clear(&weight);
  return status;
}

static tn_status add_parameter(exporter *e, int64_t place, const tn_parameter *p, tn_error *err) {
  char name[TN_GGUF_NAME_BYTES];
  int64_t expert;
  tn_tensor t;
  if (!tn_gguf_arch_name(e->arch, tn_str_of(p->name), name, &expert) || expert >= 0)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "\"%s\" has no name in GGUF files", p->name);
  const tn_quantized_tensor *q = place < e->q->count ? &e->q->tensors[place] : NULL;
  if (q && q->is_quantized)
    TN_TRY(make_quantized(e, p->name, &q->matrix, &t, err));
  else if (q && q->is_changed)
    TN_TRY(make_plain(e, p, q->values->data, q->file_dtype, &t, err));
  else
    TN_TRY(make_from_file(e, p, &t, err));
  return tn_gguf_add_tensor(&e->w, name, &t, err);
}

/* Llama 3's scaling: a divisor for every frequency. */
static tn_status add_frequencies(exporter *e, tn_error *err) {
  const tn_model_config *c = e->config;
  if (c->rope.kind != TN_ROPE_LLAMA3) return TN_OK;
  tn_tensor t;
  const int64_t half = c->head_dim / 2;
  TN_TRY(new_tensor(e, TN_F32, 1, &half, &t, err));
  double original = (double)c->rope.original_positions;
  for (int64_t i = 0; i < half; i++) {
    double wave = 2 * M_PI * pow(c->rope_theta, 2.0 * (double)i / (double)c->head_dim);
    double turns = original / wave, low = c->rope.low_frequency, high = c->rope.high_frequency;
    double smooth = (turns - low) / (high - low), factor = 1;
    if (turns < low) factor = c->rope.factor;
    if (turns >= low && turns <= high) factor = 1 / ((1 - smooth) / c->rope.factor + smooth);
    ((float *)tn_tensor_data(&t))[i] = (float)factor;
  }
  return tn_gguf_add_tensor(&e->w, "rope_freqs.weight", &t, err);
}

static tn_status add_all(exporter *e, tn_error *err) {
  int64_t count;
  const tn_parameter *p = tn_model_parameters(e->model, &count);
  tn_progress_begin(e->progress, "write", "tensors", count);
  for (int64_t i = 0; i < count; i++) {
    TN_TRY(add_parameter(e, i, &p[i], err));
    TN_TRY(tn_progress_at(e->progress, i + 1, err));
  }
  tn_progress_end(e->progress);
  return add_frequencies(e, err);
}

tn_status tn_gguf_export(const char *path, const tn_model *model, const tn_quantized *q,
                         tn_dtype plain, tn_weight_source *source, const char *folder,
                         tn_pool *pool, tn_progress *progress, tn_error *err) {
  TN_TRY(tn_gguf_export_check(model, err));
  exporter e = {.model = model,
                .config = tn_model_config_of(model),
                .arch = arch_of(tn_model_config_of(model)),
                .q = q,
                .source = source,
                .plain = plain,
                .pool = pool,
                .progress = progress};
  tn_status status = put_metadata(&e, folder, err);
  if (status == TN_OK) status = add_all(&e, err);
  if (status == TN_OK) status = tn_gguf_finish(&e.w, path, err);
  tn_gguf_writer_clear(&e.w);
  for (size_t i = 0; i < e.made_count; i++) tn_buffer_drop(e.made[i]);
  tn_free(e.made);
  return status;
}

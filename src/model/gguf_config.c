/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata of a GGUF file as the config.json that Hugging Face has for the same model. */
#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "model/gguf_arch.h"

#define SIZE_MAX_METADATA ((int64_t)1 << 40) /* what the sizes mean is checked by config.h */

enum { KEY_BYTES_MAX = 96, FACTORS_MAX = 1 << 12 };

typedef struct writer {
  const tn_gguf_arch *arch;
  const tn_weight_files *files;
  const tn_gguf *file;
  tn_json_writer w;
  tn_error *err;
} writer;

/* ---- reading ---- */

static const char *key_of(const tn_gguf_arch *arch, const char *key, char out[KEY_BYTES_MAX]) {
  snprintf(out, KEY_BYTES_MAX, "%s.%s", arch->name, key);
  return out;
}

static tn_status one_for_all(const tn_gguf *file, const tn_gguf_value *v, int64_t *out,
                             tn_error *err) {
  int64_t first = 0, value;
  for (int64_t i = 0; i < v->count; i++) {
    if (!tn_gguf_item_i64(v, i, &value) || value < 0 || value > SIZE_MAX_METADATA)
      return tn_fail(err, TN_ERR_DATA, "%s: metadata \"%.*s\": item %" PRId64 " is no size",
                     tn_gguf_path(file), TN_STR_ARG(v->key), i);
    if (i == 0) first = value;
    if (value != first)
      return tn_fail(err, TN_ERR_UNSUPPORTED,
                     "%s: metadata \"%.*s\" differs from layer to layer (%" PRId64 ", %" PRId64
                     "), only one size for all layers is supported",
                     tn_gguf_path(file), TN_STR_ARG(v->key), first, value);
  }
  if (v->count > 0) *out = first;
  return TN_OK;
}

tn_status tn_gguf_arch_i64(const tn_gguf_arch *arch, const tn_gguf *file, const char *key,
                           int64_t *out, tn_error *err) {
  char whole[KEY_BYTES_MAX];
  const tn_gguf_value *v = tn_gguf_find(file, key_of(arch, key, whole));
  if (v && v->is_array) return one_for_all(file, v, out, err);
  return tn_gguf_get_i64(file, whole, 0, SIZE_MAX_METADATA, out, err);
}

static tn_status require(const writer *c, const char *key, int64_t *out) {
  *out = -1;
  TN_TRY(tn_gguf_arch_i64(c->arch, c->file, key, out, c->err));
  if (*out >= 0) return TN_OK;
  return tn_fail(c->err, TN_ERR_DATA, "%s: has no metadata \"%s.%s\"", tn_gguf_path(c->file),
                 c->arch->name, key);
}

static tn_status read_f64(const writer *c, const char *key, double *out) {
  char whole[KEY_BYTES_MAX];
  return tn_gguf_get_f64(c->file, key_of(c->arch, key, whole), out, c->err);
}

static bool has_tensor(const writer *c, const char *name) {
  return tn_weight_files_find(c->files, tn_str_of(name)) != NULL;
}

static bool is_arch(const writer *c, const char *name) {
  return strcmp(c->arch->name, name) == 0;
}

/* ---- writing ---- */

static void put_i64(writer *c, const char *key, int64_t value) {
  tn_json_key(&c->w, key);
  tn_json_i64(&c->w, value);
}

static void put_f64(writer *c, const char *key, double value) {
  tn_json_key(&c->w, key);
  tn_json_f64(&c->w, value);
}

static void put_bool(writer *c, const char *key, bool value) {
  tn_json_key(&c->w, key);
  tn_json_bool(&c->w, value);
}

static void put_text(writer *c, const char *key, const char *value) {
  tn_json_key(&c->w, key);
  tn_json_cstr(&c->w, value);
}

/* The size under `from` in the file as `to`; absent: `otherwise`, or nothing when that is below 0.
 */
static tn_status copy_size(writer *c, const char *from, const char *to, int64_t otherwise) {
  int64_t value = otherwise;
  TN_TRY(tn_gguf_arch_i64(c->arch, c->file, from, &value, c->err));
  if (value >= 0) put_i64(c, to, value);
  return TN_OK;
}

static tn_status copy_f64(writer *c, const char *from, const char *to) {
  double value = -1;
  TN_TRY(read_f64(c, from, &value));
  if (value >= 0) put_f64(c, to, value);
  return TN_OK;
}

/* ---- tokens ---- */

static tn_status put_end_tokens(writer *c) {
  static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                     "tokenizer.ggml.eom_token_id"};
  int64_t ids[3], count = 0;
  for (int i = 0; i < 3; i++) {
    int64_t id = -1;
    bool known = false;
    TN_TRY(tn_gguf_get_i64(c->file, keys[i], 0, UINT32_MAX, &id, c->err));
    for (int64_t k = 0; k < count; k++) known |= ids[k] == id;
    if (id >= 0 && id <= INT32_MAX && !known) ids[count++] = id;
  }
  tn_json_key(&c->w, "eos_token_id");
  if (count == 0) {
    tn_json_null(&c->w);
    return TN_OK;
  }
  if (count > 1) tn_json_begin_array(&c->w);
  for (int64_t k = 0; k < count; k++) tn_json_i64(&c->w, ids[k]);
  if (count > 1) tn_json_end_array(&c->w);
  return TN_OK;
}

static tn_status put_tokens(writer *c) {
  int64_t bos = -1;
  TN_TRY(tn_gguf_get_i64(c->file, "tokenizer.ggml.bos_token_id", 0, UINT32_MAX, &bos, c->err));
  tn_json_key(&c->w, "bos_token_id");
  if (bos >= 0 && bos <= INT32_MAX)
    tn_json_i64(&c->w, bos);
  else
    tn_json_null(&c->w);
  return put_end_tokens(c);
}

/* ---- rotary embedding ---- */

static tn_status put_factors(writer *c, const char *key, tn_file_tensor *t) {
  int64_t count = tn_tensor_count(&t->tensor);
  if (t->tensor.dtype != TN_F32 || count > FACTORS_MAX)
    return tn_fail(c->err, TN_ERR_DATA,
                   "%s: tensor \"%.*s\" must be at most %d float32, one a frequency", t->path,
                   TN_STR_ARG(t->name), FACTORS_MAX);
  t->used = true;
  tn_json_key(&c->w, key);
  tn_json_begin_array(&c->w);
  for (int64_t i = 0; i < count; i++)
    tn_json_f64(&c->w, tn_element_get(tn_tensor_data(&t->tensor), TN_F32, i));
  tn_json_end_array(&c->w);
  return TN_OK;
}

/* A factor for each frequency: Llama 3.1 has one list (rope_freqs), Phi-3 one for short and one for
 * long contexts. */
static tn_status put_factor_lists(writer *c, tn_file_tensor *brief, tn_file_tensor *far,
                                  bool by_length) {
  int64_t context = 0, original = 0;
  double attention = by_length ? 0 : 1;
  TN_TRY(require(c, "context_length", &context));
  original = context;
  TN_TRY(tn_gguf_arch_i64(c->arch, c->file, "rope.scaling.original_context_length", &original,
                          c->err));
  TN_TRY(read_f64(c, "rope.scaling.attn_factor", &attention));
  tn_json_key(&c->w, "rope_scaling");
  tn_json_begin_object(&c->w);
  put_text(c, "rope_type", "longrope");
  if (!by_length) put_f64(c, "factor", 1);
  if (attention > 0) put_f64(c, "attention_factor", attention);
  put_i64(c, "original_max_position_embeddings", original);
  TN_TRY(put_factors(c, "short_factor", brief));
  TN_TRY(put_factors(c, "long_factor", far));
  tn_json_end_object(&c->w);
  if (by_length) put_i64(c, "original_max_position_embeddings", original);
  return TN_OK;
}

static tn_status put_yarn(writer *c, double factor) {
  double fast = 0, slow = 0;
  put_text(c, "rope_type", "yarn");
  put_f64(c, "factor", factor);
  TN_TRY(read_f64(c, "rope.scaling.yarn_beta_fast", &fast));
  TN_TRY(read_f64(c, "rope.scaling.yarn_beta_slow", &slow));
  if (fast > 0) put_f64(c, "beta_fast", fast);
  if (slow > 0) put_f64(c, "beta_slow", slow);
  return copy_size(c, "rope.scaling.original_context_length", "original_max_position_embeddings",
                   -1);
}

static tn_status put_scaling(writer *c) {
  tn_file_tensor *all = tn_weight_files_find(c->files, TN_STR("rope_freqs.weight"));
  tn_file_tensor *brief = tn_weight_files_find(c->files, TN_STR("rope_factors_short.weight"));
  tn_file_tensor *far = tn_weight_files_find(c->files, TN_STR("rope_factors_long.weight"));
  if (brief && far) return put_factor_lists(c, brief, far, true);
  if (all) return put_factor_lists(c, all, all, false);
  char key[KEY_BYTES_MAX];
  tn_str type = TN_STR("none");
  double factor = 1;
  TN_TRY(tn_gguf_get_str(c->file, key_of(c->arch, "rope.scaling.type", key), &type, c->err));
  TN_TRY(read_f64(c, "rope.scale_linear", &factor)); /* its older name */
  TN_TRY(read_f64(c, "rope.scaling.factor", &factor));
  bool yarn = tn_str_is(type, "yarn"), linear = tn_str_is(type, "linear");
  bool none = tn_str_is(type, "none") || tn_str_is(type, "longrope"); /* that one is its tensors */
  if (!yarn && !linear && !none)
    return tn_fail(c->err, TN_ERR_UNSUPPORTED,
                   "%s: metadata \"%s\" is \"%.*s\"; none, linear, yarn and longrope are supported",
                   tn_gguf_path(c->file), key, TN_STR_ARG(type));
  if (factor == 1 || (none && tn_str_is(type, "longrope"))) return TN_OK;
  tn_json_key(&c->w, "rope_scaling");
  tn_json_begin_object(&c->w);
  if (yarn)
    TN_TRY(put_yarn(c, factor));
  else
    put_text(c, "rope_type", "linear"), put_f64(c, "factor", factor);
  tn_json_end_object(&c->w);
  return TN_OK;
}

static tn_status put_rotary(writer *c, int64_t head_dim) {
  int64_t turned = head_dim;
  double theta = 10000;
  TN_TRY(read_f64(c, "rope.freq_base", &theta));
  TN_TRY(tn_gguf_arch_i64(c->arch, c->file, "rope.dimension_count", &turned, c->err));
  bool neox = is_arch(c, "gptneox");
  put_f64(c, neox ? "rotary_emb_base" : "rope_theta", theta);
  if (neox)
    put_f64(c, "rotary_pct", (double)turned / (double)head_dim);
  else if (turned != head_dim)
    put_f64(c, "partial_rotary_factor", (double)turned / (double)head_dim);
  return put_scaling(c);
}

/* ---- families ---- */

typedef struct sizes {
  int64_t hidden, layers, heads, head_dim, context, feed_forward;
} sizes;

static tn_status read_sizes(writer *c, sizes *s) {
  TN_TRY(require(c, "embedding_length", &s->hidden));
  TN_TRY(require(c, "block_count", &s->layers));
  TN_TRY(require(c, "attention.head_count", &s->heads));
  TN_TRY(require(c, "context_length", &s->context));
  TN_TRY(require(c, "feed_forward_length", &s->feed_forward));
  if (s->heads < 1)
    return tn_fail(c->err, TN_ERR_DATA, "%s: metadata \"%s.attention.head_count\" is 0",
                   tn_gguf_path(c->file), c->arch->name);
  s->head_dim = s->hidden / s->heads;
  return tn_gguf_arch_i64(c->arch, c->file, "attention.key_length", &s->head_dim, c->err);
}

static tn_status put_vocabulary(writer *c) {
  const tn_file_tensor *table = tn_weight_files_find(c->files, TN_STR("token_embd.weight"));
  if (!table || table->tensor.rank != 2)
    return tn_fail(c->err, TN_ERR_DATA, "%s: has no matrix \"token_embd.weight\"",
                   tn_gguf_path(c->file));
  put_i64(c, "vocab_size", table->tensor.shape[0]);
  return TN_OK;
}

static tn_status put_experts(writer *c, int64_t experts) {
  bool qwen = is_arch(c, "qwen3moe");
  put_i64(c, qwen ? "num_experts" : "num_local_experts", experts);
  TN_TRY(copy_size(c, "expert_used_count", "num_experts_per_tok", 2));
  if (!qwen) return TN_OK;
  put_bool(c, "norm_topk_prob", true); /* what llama.cpp does */
  put_i64(c, "decoder_sparse_step", 1);
  return copy_size(c, "expert_feed_forward_length", "moe_intermediate_size", -1);
}

/* Gemma's scale of attention is not in its files; the largest of 2 and 3 have their own. */
static tn_status put_gemma(writer *c, const sizes *s) {
  bool own = (is_arch(c, "gemma2") && s->layers == 46) || (is_arch(c, "gemma3") && s->layers == 62);
  put_text(c, "hidden_activation", "gelu_pytorch_tanh");
  if (is_arch(c, "gemma")) return TN_OK;
  put_i64(c, "query_pre_attn_scalar", own ? s->hidden / s->heads : s->head_dim);
  TN_TRY(copy_size(c, "attention.sliding_window", "sliding_window", -1));
  if (is_arch(c, "gemma3")) return TN_OK;
  TN_TRY(copy_f64(c, "attn_logit_softcapping", "attn_logit_softcapping"));
  return copy_f64(c, "final_logit_softcapping", "final_logit_softcapping");
}

static tn_status put_variations(writer *c, const sizes *s) {
  bool gemma = c->arch->norms_plus_one;
  if (gemma) return put_gemma(c, s);
  put_text(c, "hidden_act", "silu");
  if (is_arch(c, "qwen2")) return TN_OK;
  if (is_arch(c, "phi3")) return copy_size(c, "attention.sliding_window", "sliding_window", -1);
  int64_t experts = 0;
  TN_TRY(tn_gguf_arch_i64(c->arch, c->file, "expert_count", &experts, c->err));
  if (experts > 0) return put_experts(c, experts);
  put_bool(c, "attention_bias", has_tensor(c, "blk.0.attn_q.bias"));
  if (is_arch(c, "llama")) put_bool(c, "mlp_bias", has_tensor(c, "blk.0.ffn_up.bias"));
  return TN_OK;
}

static tn_status put_llama(writer *c, const sizes *s) {
  put_i64(c, "hidden_size", s->hidden);
  put_i64(c, "intermediate_size", s->feed_forward);
  put_i64(c, "num_hidden_layers", s->layers);
  put_i64(c, "num_attention_heads", s->heads);
  TN_TRY(copy_size(c, "attention.head_count_kv", "num_key_value_heads", s->heads));
  put_i64(c, "head_dim", s->head_dim);
  put_i64(c, "max_position_embeddings", s->context);
  TN_TRY(copy_f64(c, "attention.layer_norm_rms_epsilon", "rms_norm_eps"));
  TN_TRY(put_rotary(c, s->head_dim));
  return put_variations(c, s);
}

static tn_status put_gpt2(writer *c, const sizes *s) {
  put_i64(c, "n_embd", s->hidden);
  put_i64(c, "n_inner", s->feed_forward);
  put_i64(c, "n_layer", s->layers);
  put_i64(c, "n_head", s->heads);
  put_i64(c, "n_positions", s->context);
  put_text(c, "activation_function", "gelu_new");
  return copy_f64(c, "attention.layer_norm_epsilon", "layer_norm_epsilon");
}

static tn_status put_classic(writer *c, const sizes *s) {
  put_i64(c, "hidden_size", s->hidden);
  put_i64(c, "intermediate_size", s->feed_forward);
  put_i64(c, "num_hidden_layers", s->layers);
  put_i64(c, "num_attention_heads", s->heads);
  put_text(c, "hidden_act", "gelu");
  return copy_f64(c, "attention.layer_norm_epsilon", "layer_norm_eps");
}

static tn_status put_neox(writer *c, const sizes *s) {
  bool parallel = true;
  char key[KEY_BYTES_MAX];
  TN_TRY(
      tn_gguf_get_bool(c->file, key_of(c->arch, "use_parallel_residual", key), &parallel, c->err));
  TN_TRY(put_classic(c, s));
  put_i64(c, "max_position_embeddings", s->context);
  put_bool(c, "use_parallel_residual", parallel);
  return put_rotary(c, s->head_dim);
}

/* RoBERTa's files have lost the rows below its first position, so that they are BERT's. */
static tn_status put_bert(writer *c, const sizes *s) {
  const tn_file_tensor *types = tn_weight_files_find(c->files, TN_STR("token_types.weight"));
  const tn_file_tensor *positions = tn_weight_files_find(c->files, TN_STR("position_embd.weight"));
  if (!types || types->tensor.rank != 2 || !positions || positions->tensor.rank != 2)
    return tn_fail(c->err, TN_ERR_DATA,
                   "%s: has no matrix \"token_types.weight\" or \"position_embd.weight\"",
                   tn_gguf_path(c->file));
  put_i64(c, "max_position_embeddings", positions->tensor.shape[0]);
  put_i64(c, "type_vocab_size", types->tensor.shape[0]);
  return put_classic(c, s);
}

static tn_status put_sizes(writer *c) {
  sizes s;
  TN_TRY(read_sizes(c, &s));
  TN_TRY(put_vocabulary(c));
  if (is_arch(c, "gpt2")) return put_gpt2(c, &s);
  if (is_arch(c, "gptneox")) return put_neox(c, &s);
  if (is_arch(c, "bert")) return put_bert(c, &s);
  return put_llama(c, &s);
}

static tn_status put_class(writer *c) {
  int64_t experts = 0;
  TN_TRY(tn_gguf_arch_i64(c->arch, c->file, "expert_count", &experts, c->err));
  bool mixtral = is_arch(c, "llama") && experts > 0;
  tn_json_key(&c->w, "architectures");
  tn_json_begin_array(&c->w);
  tn_json_cstr(&c->w, mixtral ? "MixtralForCausalLM" : c->arch->class_name);
  tn_json_end_array(&c->w);
  put_text(c, "model_type", mixtral ? "mixtral" : c->arch->model_type);
  put_bool(c, "tie_word_embeddings", !has_tensor(c, "output.weight"));
  return TN_OK;
}

tn_status tn_gguf_arch_config(const tn_gguf_arch *arch, const tn_weight_files *files,
                              tn_strbuf *out, tn_error *err) {
  writer c = {arch, files, files->gguf, {.out = out, .indent = 2}, err};
  tn_json_begin_object(&c.w);
  TN_TRY(put_class(&c));
  TN_TRY(put_sizes(&c));
  TN_TRY(put_tokens(&c));
  tn_json_end_object(&c.w);
  return tn_strbuf_check(out, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "model/gguf_arch.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- names ---- */

#define LLAMA_GLOBALS                                                    \
  {"model.embed_tokens", "token_embd"}, {"model.norm", "output_norm"}, { \
    "lm_head", "output"                                                  \
  }
#define LLAMA_ATTENTION                                           \
  {"model.layers.#.input_layernorm", "blk.#.attn_norm"},          \
      {"model.layers.#.self_attn.q_proj", "blk.#.attn_q"},        \
      {"model.layers.#.self_attn.k_proj", "blk.#.attn_k"},        \
      {"model.layers.#.self_attn.v_proj", "blk.#.attn_v"},        \
      {"model.layers.#.self_attn.o_proj", "blk.#.attn_output"},   \
      {"model.layers.#.self_attn.q_norm", "blk.#.attn_q_norm"}, { \
    "model.layers.#.self_attn.k_norm", "blk.#.attn_k_norm"        \
  }
#define LLAMA_FEED_FORWARD                              \
  {"model.layers.#.mlp.gate_proj", "blk.#.ffn_gate"},   \
      {"model.layers.#.mlp.up_proj", "blk.#.ffn_up"}, { \
    "model.layers.#.mlp.down_proj", "blk.#.ffn_down"    \
  }

static const tn_gguf_name LLAMA[] = {
    LLAMA_GLOBALS,
    LLAMA_ATTENTION,
    {"model.layers.#.post_attention_layernorm", "blk.#.ffn_norm"},
    LLAMA_FEED_FORWARD,
    {"model.layers.#.block_sparse_moe.gate", "blk.#.ffn_gate_inp"},
    {"model.layers.#.block_sparse_moe.experts.*.w1", "blk.#.ffn_gate_exps"},
    {"model.layers.#.block_sparse_moe.experts.*.w2", "blk.#.ffn_down_exps"},
    {"model.layers.#.block_sparse_moe.experts.*.w3", "blk.#.ffn_up_exps"},
    {"model.layers.#.mlp.gate", "blk.#.ffn_gate_inp"},
    {"model.layers.#.mlp.experts.*.gate_proj", "blk.#.ffn_gate_exps"},
    {"model.layers.#.mlp.experts.*.down_proj", "blk.#.ffn_down_exps"},
    {"model.layers.#.mlp.experts.*.up_proj", "blk.#.ffn_up_exps"},
    {0}};

static const tn_gguf_name GEMMA2[] = {
    LLAMA_GLOBALS,
    LLAMA_ATTENTION,
    {"model.layers.#.post_attention_layernorm", "blk.#.post_attention_norm"},
    {"model.layers.#.pre_feedforward_layernorm", "blk.#.ffn_norm"},
    {"model.layers.#.post_feedforward_layernorm", "blk.#.post_ffw_norm"},
    LLAMA_FEED_FORWARD,
    {0}};

static const tn_gguf_name PHI3[] = {LLAMA_GLOBALS,
                                    {"model.layers.#.input_layernorm", "blk.#.attn_norm"},
                                    {"model.layers.#.self_attn.qkv_proj", "blk.#.attn_qkv"},
                                    {"model.layers.#.self_attn.o_proj", "blk.#.attn_output"},
                                    {"model.layers.#.post_attention_layernorm", "blk.#.ffn_norm"},
                                    {"model.layers.#.mlp.gate_up_proj", "blk.#.ffn_up"},
                                    {"model.layers.#.mlp.down_proj", "blk.#.ffn_down"},
                                    {0}};

static const tn_gguf_name GPT2[] = {{"wte", "token_embd"},
                                    {"wpe", "position_embd"},
                                    {"ln_f", "output_norm"},
                                    {"lm_head", "output"},
                                    {"h.#.ln_1", "blk.#.attn_norm"},
                                    {"h.#.attn.c_attn", "blk.#.attn_qkv"},
                                    {"h.#.attn.c_proj", "blk.#.attn_output"},
                                    {"h.#.ln_2", "blk.#.ffn_norm"},
                                    {"h.#.mlp.c_fc", "blk.#.ffn_up"},
                                    {"h.#.mlp.c_proj", "blk.#.ffn_down"},
                                    {0}};

static const tn_gguf_name NEOX[] = {{"embed_in", "token_embd"},
                                    {"final_layer_norm", "output_norm"},
                                    {"embed_out", "output"},
                                    {"layers.#.input_layernorm", "blk.#.attn_norm"},
                                    {"layers.#.attention.query_key_value", "blk.#.attn_qkv"},
                                    {"layers.#.attention.dense", "blk.#.attn_output"},
                                    {"layers.#.post_attention_layernorm", "blk.#.ffn_norm"},
                                    {"layers.#.mlp.dense_h_to_4h", "blk.#.ffn_up"},
                                    {"layers.#.mlp.dense_4h_to_h", "blk.#.ffn_down"},
                                    {0}};

static const tn_gguf_name BERT[] = {
    {"embeddings.word_embeddings", "token_embd"},
    {"embeddings.position_embeddings", "position_embd"},
    {"embeddings.token_type_embeddings", "token_types"},
    {"embeddings.LayerNorm", "token_embd_norm"},
    {"encoder.layer.#.attention.self.query", "blk.#.attn_q"},
    {"encoder.layer.#.attention.self.key", "blk.#.attn_k"},
    {"encoder.layer.#.attention.self.value", "blk.#.attn_v"},
    {"encoder.layer.#.attention.output.dense", "blk.#.attn_output"},
    {"encoder.layer.#.attention.output.LayerNorm", "blk.#.attn_output_norm"},
    {"encoder.layer.#.intermediate.dense", "blk.#.ffn_up"},
    {"encoder.layer.#.output.dense", "blk.#.ffn_down"},
    {"encoder.layer.#.output.LayerNorm", "blk.#.layer_output_norm"},
    {0}};

static const tn_gguf_arch ARCHS[] = {
    {"llama", "llama", "LlamaForCausalLM", NULL, LLAMA, .rows_interleaved = true},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", NULL, LLAMA},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", NULL, LLAMA},
    {"qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM", NULL, LLAMA},
    {"gemma", "gemma", "GemmaForCausalLM", NULL, LLAMA, .norms_plus_one = true},
    {"gemma2", "gemma2", "Gemma2ForCausalLM", NULL, GEMMA2, .norms_plus_one = true},
    {"gemma3", "gemma3_text", "Gemma3ForCausalLM", NULL, GEMMA2, .norms_plus_one = true},
    {"phi3", "phi3", "Phi3ForCausalLM", NULL, PHI3},
    {"olmo2", "olmo2", "Olmo2ForCausalLM", NULL, GEMMA2},
    {"gpt2", "gpt2", "GPT2LMHeadModel", "transformer.", GPT2},
    {"gptneox", "gpt_neox", "GPTNeoXForCausalLM", "gpt_neox.", NEOX},
    {"bert", "bert", "BertModel", "bert.", BERT},
};
enum { ARCH_COUNT = sizeof ARCHS / sizeof *ARCHS };

tn_status tn_gguf_arch_of(const tn_gguf_arch **out, const tn_gguf *file, tn_error *err) {
  tn_str name = {0};
  TN_TRY(tn_gguf_get_str(file, "general.architecture", &name, err));
  if (!name.data)
    return tn_fail(err, TN_ERR_DATA, "%s: has no metadata \"general.architecture\"",
                   tn_gguf_path(file));
  for (size_t i = 0; i < ARCH_COUNT; i++)
    if (tn_str_is(name, ARCHS[i].name)) {
      *out = &ARCHS[i];
      return TN_OK;
    }
  tn_strbuf list = {0};
  for (size_t i = 0; i < ARCH_COUNT; i++)
    tn_strbuf_addf(&list, "%s%s", i == 0 ? "" : ", ", ARCHS[i].name);
  tn_status status = tn_strbuf_check(&list, err);
  if (status == TN_OK)
    status = tn_fail(err, TN_ERR_UNSUPPORTED,
                     "%s: architecture \"%.*s\" is not supported; of GGUF files these are: %s",
                     tn_gguf_path(file), TN_STR_ARG(name), list.data);
  tn_strbuf_clear(&list);
  return status;
}

const tn_gguf_arch *tn_gguf_arch_for(tn_str model_type) {
  for (size_t i = 0; i < ARCH_COUNT; i++)
    if (tn_str_is(model_type, ARCHS[i].model_type)) return &ARCHS[i];
  return NULL;
}

/* Reads digits at s[*at]; at most 6, so that no layer overflows. */
static bool take_number(tn_str s, size_t *at, int64_t *out) {
  size_t start = *at;
  *out = 0;
  while (*at < s.length && s.data[*at] >= '0' && s.data[*at] <= '9' && *at - start < 6)
    *out = *out * 10 + (s.data[(*at)++] - '0');
  return *at > start;
}

static bool matches(const char *pattern, tn_str name, int64_t *layer, int64_t *expert) {
  size_t at = 0;
  for (; *pattern; pattern++) {
    if (*pattern == '#' || *pattern == '*') {
      if (!take_number(name, &at, *pattern == '#' ? layer : expert)) return false;
    } else if (at == name.length || name.data[at++] != *pattern) {
      return false;
    }
  }
  return at == name.length;
}

static bool put_name(const char *pattern, int64_t layer, const char *kind, char *out) {
  const char *hash = strchr(pattern, '#');
  int length = hash ? snprintf(out, TN_GGUF_NAME_BYTES, "%.*s%" PRId64 "%s%s",
                               (int)(hash - pattern), pattern, layer, hash + 1, kind)
                    : snprintf(out, TN_GGUF_NAME_BYTES, "%s%s", pattern, kind);
  return length > 0 && length < TN_GGUF_NAME_BYTES;
}

bool tn_gguf_arch_name(const tn_gguf_arch *arch, tn_str hf, char out[TN_GGUF_NAME_BYTES],
                       int64_t *expert) {
  bool bias = tn_str_ends(hf, TN_STR(".bias"));
  if (!bias && !tn_str_ends(hf, TN_STR(".weight"))) return false;
  const char *kind = bias ? ".bias" : ".weight";
  hf.length -= strlen(kind);
  tn_str prefix = tn_str_of(arch->prefix);
  if (arch->prefix && tn_str_starts(hf, prefix))
    hf = (tn_str){hf.data + prefix.length, hf.length - prefix.length};
  for (const tn_gguf_name *n = arch->names; n->hf; n++) {
    int64_t layer = 0;
    *expert = -1;
    if (matches(n->hf, hf, &layer, expert)) return put_name(n->gguf, layer, kind, out);
  }
  return false;
}

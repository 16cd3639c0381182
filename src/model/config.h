/* config.h - the shape of a model and its variations, read from and written to Hugging Face
 * config.json.
 *
 * One transformer runs every architecture: what tells Llama from GPT-2 or BERT is a value below,
 * and what its files call things is a row of architecture.h.  All variations zero: Llama.  Whatever
 * would change the arithmetic and is not here (another architecture, biased experts, ...) is
 * refused by name, never ignored.  A config that tn_model_config_check has passed has no impossible
 * shape, and none of the sizes made from it overflows int64.
 *
 * Thread: plain values and pure functions. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_CONFIG_H
#define TN_MODEL_CONFIG_H
#include "base/json.h"
#include "base/str.h"
#include "kernels/ops.h"

#define TN_EOS_MORE_MAX     7
#define TN_MODEL_LAYERS_MAX 4096
#define TN_ROPE_FACTORS_MAX 128

typedef enum tn_arch_id { /* rows of architecture.c */
                          TN_ARCH_LLAMA,
                          TN_ARCH_MISTRAL,
                          TN_ARCH_MIXTRAL,
                          TN_ARCH_QWEN2,
                          TN_ARCH_QWEN3,
                          TN_ARCH_QWEN3_MOE,
                          TN_ARCH_GEMMA,
                          TN_ARCH_GEMMA2,
                          TN_ARCH_GEMMA3,
                          TN_ARCH_PHI3,
                          TN_ARCH_OLMO2,
                          TN_ARCH_GPT2,
                          TN_ARCH_GPT_NEOX,
                          TN_ARCH_BERT,
                          TN_ARCH_ROBERTA,
                          TN_ARCH_XLM_ROBERTA,
                          TN_ARCH_COUNT
} tn_arch_id;

typedef enum tn_task {                   /* what comes behind the last layer */
                       TN_TASK_GENERATE, /* logits over the vocabulary */
                       TN_TASK_EMBED,    /* nothing: hidden states */
                       TN_TASK_CLASSIFY  /* dense, tanh and a head of `labels` over the first token:
                                            rerankers */
} tn_task;

typedef enum tn_norm_kind { TN_NORM_RMS, TN_NORM_LAYER } tn_norm_kind;

typedef enum tn_norm_place {                 /* around a branch f: attention or feed-forward */
                             TN_NORM_BEFORE, /* x += f(norm(x)) */
                             TN_NORM_BEHIND, /* x += norm(f(x)): OLMo 2 */
                             TN_NORM_AROUND, /* x += norm(f(norm(x))): Gemma 2 and 3 */
                             TN_NORM_OF_SUM  /* x = norm(x + f(x)): BERT */
} tn_norm_place;

typedef enum tn_qk_norm {
  TN_QK_NORM_NONE,
  TN_QK_NORM_HEAD, /* each head by itself: Qwen 3, Gemma 3 */
  TN_QK_NORM_ROW   /* all heads together: OLMo 2 */
} tn_qk_norm;

typedef enum tn_rope_kind { /* rope_table.h says what each does */
                            TN_ROPE_PLAIN,
                            TN_ROPE_LINEAR,
                            TN_ROPE_DYNAMIC,
                            TN_ROPE_YARN,
                            TN_ROPE_LLAMA3,
                            TN_ROPE_LONGROPE,
                            TN_ROPE_KIND_COUNT
} tn_rope_kind;

typedef struct tn_rope_scaling { /* all zero: none */
  tn_rope_kind kind;
  double factor;
  int64_t original_positions;                          /* yarn, llama3, longrope, dynamic */
  double attention_factor;                             /* 0: from the others */
  double beta_fast, beta_slow, mscale, mscale_all_dim; /* yarn; 0: not given */
  bool untruncated;                                    /* yarn: the ramp ends between dimensions */
  double low_frequency, high_frequency;                /* llama3 */
  int64_t factor_count;                                /* longrope */
  float short_factors[TN_ROPE_FACTORS_MAX], long_factors[TN_ROPE_FACTORS_MAX];
} tn_rope_scaling;

typedef struct tn_layer_set { /* a set of layer numbers */
  uint64_t bits[TN_MODEL_LAYERS_MAX / 64];
} tn_layer_set;

typedef struct tn_model_config {
  int64_t vocab_size;
  int64_t hidden_size;
  int64_t intermediate_size;
  int64_t layers;
  int64_t heads;
  int64_t kv_heads;                  /* 0: heads */
  int64_t head_dim;                  /* 0: hidden_size / heads */
  int64_t positions_max;             /* tokens that a sequence may have */
  double rope_theta;                 /* 0: 10000 */
  double norm_eps;                   /* 0: 1e-5 */
  bool tied;                         /* the head is the embedding table */
  int64_t bos_id, eos_id;            /* -1: none */
  int64_t eos_more[TN_EOS_MORE_MAX]; /* further end tokens, where the file has a list */
  int64_t eos_more_count;
  bool has_pad; /* a padding token, which nothing here needs: kept for those who read the export */
  int64_t pad_id;

  tn_arch_id arch;
  tn_task task;
  bool encoder; /* every token sees the whole sequence */
  int64_t labels;

  tn_norm_kind norm;
  tn_norm_place norm_place;
  bool norm_adds_one;       /* the weight in the file is what is missing to 1 */
  bool parallel;            /* x += attention(norm(x)) + feed_forward(norm(x)): GPT-NeoX */
  tn_activation activation; /* 0: SiLU */
  bool ungated;             /* down(act(up(x))), not down(act(gate(x)) up(x)) */
  bool qkv_bias, o_bias, feed_forward_bias;
  tn_qk_norm qk_norm;
  double attention_scale; /* 0: 1 / sqrt(head_dim) */
  bool scale_by_layer;    /* divided by the layer's number, from 1: GPT-2's option */
  double attention_softcap, logit_softcap; /* 0: none */
  bool embedding_scaled;                   /* times sqrt(hidden_size): Gemma */
  bool embedding_norm;                     /* BERT */

  bool learned_positions;  /* a table added to the embedding, instead of rotary embedding */
  int64_t position_offset; /* of its rows: RoBERTa begins behind its padding token */
  int64_t token_types;     /* rows of the table of token types; 0: none */
  int64_t rotary_dim;      /* 0: head_dim; the first of a head's dimensions that turn */
  tn_rope_scaling rope;
  double rope_theta_local; /* of the layers in `sliding`, without scaling; 0: like the others */

  int64_t window; /* tokens that a layer of `sliding` sees, itself included; 0: all */
  tn_layer_set sliding;

  int64_t experts; /* 0: one feed-forward a layer */
  int64_t experts_per_token;
  int64_t expert_size;       /* their intermediate_size */
  bool experts_unnormalised; /* their weights are a softmax over all experts, not over the chosen */
  tn_layer_set dense;        /* layers without experts */
  bool pooler; /* BERT: keeps the dense layer behind an encoder, which embed ignores */
} tn_model_config;

/* Fills in the defaults and refuses impossible shapes (TN_ERR_DATA), naming field, number and rule.
 */
TN_NODISCARD tn_status tn_model_config_check(tn_model_config *config, tn_error *err);
/* Architectures that have no row, rope scalings, activations and quantizations that are not here:
 * TN_ERR_UNSUPPORTED.  An unknown key is logged as a warning: the files of others carry many.  The
 * result is checked. */
TN_NODISCARD tn_status tn_model_config_read(tn_model_config *out, const char *path, tn_error *err);
/* The same from text; `name` is for messages.  strict: an unknown key is TN_ERR_DATA, for files
 * that a person writes for a new model, where it is a slip of the pen. */
TN_NODISCARD tn_status tn_model_config_parse(tn_model_config *out, tn_str json, const char *name,
                                             bool strict, tn_error *err);
/* The end tokens of a generation_config.json, which come before those of config.json. */
TN_NODISCARD tn_status tn_model_config_parse_generation(tn_model_config *config, tn_str json,
                                                        const char *name, tn_error *err);
/* Appends config.json text that transformers loads.  dtype: "float32", "bfloat16", NULL: left out.
 */
void tn_model_config_write_as(const tn_model_config *config, const char *dtype, tn_strbuf *json);
void tn_model_config_write(const tn_model_config *config, tn_strbuf *json);
int64_t tn_model_config_parameters(const tn_model_config *config); /* of a checked config */

/* "LlamaForCausalLM": what config.json says under architectures. */
const char *tn_model_config_class(const tn_model_config *config);
const char *tn_rope_kind_name(tn_rope_kind kind); /* "llama3", as config.json says it */

static inline bool tn_layer_set_has(const tn_layer_set *set, int64_t layer) {
  return set->bits[layer / 64] >> (layer % 64) & 1;
}
static inline void tn_layer_set_add(tn_layer_set *set, int64_t layer) {
  set->bits[layer / 64] |= (uint64_t)1 << (layer % 64);
}
/* 0: the layer sees everything before it */
static inline int64_t tn_model_config_window(const tn_model_config *c, int64_t layer) {
  return tn_layer_set_has(&c->sliding, layer) ? c->window : 0;
}
static inline bool tn_model_config_routes(const tn_model_config *c, int64_t layer) {
  return c->experts > 0 && !tn_layer_set_has(&c->dense, layer);
}

#endif

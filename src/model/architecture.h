/* architecture.h - the table of architectures: for each, what Hugging Face calls it, its tensors
 * and the sizes in its config.json, and the variations that it starts from.
 *
 * A weight has one place and one form inside Tenon (matrices are [out features, in features]; q, k
 * and v, gate and up apart); `form` says how the file has it otherwise.  Weights of one layer that
 * share a file name are parts of one tensor, in the order of their ids.
 *
 * Thread: constant tables, pure functions. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_ARCHITECTURE_H
#define TN_MODEL_ARCHITECTURE_H
#include "model/config.h"

typedef enum tn_layer_weight_id { /* in the order of the parameter list; a layer has some of them */
                                  TN_W_INPUT_NORM, /* in front of attention */
                                  TN_W_INPUT_NORM_BIAS,
                                  TN_W_Q,
                                  TN_W_K,
                                  TN_W_V,
                                  TN_W_Q_BIAS,
                                  TN_W_K_BIAS,
                                  TN_W_V_BIAS,
                                  TN_W_Q_NORM,
                                  TN_W_K_NORM,
                                  TN_W_O,
                                  TN_W_O_BIAS,
                                  TN_W_ATTENTION_OUT_NORM, /* behind attention, or of the sum with
                                                              it */
                                  TN_W_ATTENTION_OUT_NORM_BIAS,
                                  TN_W_POST_NORM, /* in front of the feed-forward; Llama calls it
                                                     post_attention_layernorm */
                                  TN_W_POST_NORM_BIAS,
                                  TN_W_ROUTER, /* its experts' weights follow the layer:
                                                  tn_expert_weight_id */
                                  TN_W_GATE,
                                  TN_W_UP,
                                  TN_W_GATE_BIAS,
                                  TN_W_UP_BIAS,
                                  TN_W_DOWN,
                                  TN_W_DOWN_BIAS,
                                  TN_W_FEED_FORWARD_OUT_NORM,
                                  TN_W_FEED_FORWARD_OUT_NORM_BIAS,
                                  TN_LAYER_WEIGHTS
} tn_layer_weight_id;

typedef enum tn_expert_weight_id {
  TN_E_GATE,
  TN_E_UP,
  TN_E_DOWN,
  TN_EXPERT_WEIGHTS
} tn_expert_weight_id;

typedef enum tn_global_weight_id {
  TN_G_EMBED,
  TN_G_POSITIONS,
  TN_G_TYPES,
  TN_G_EMBED_NORM,
  TN_G_EMBED_NORM_BIAS, /* the last in front of the layers */
  TN_G_FINAL_NORM,
  TN_G_FINAL_NORM_BIAS,
  TN_G_HEAD, /* absent when tied */
  TN_G_POOLER,
  TN_G_POOLER_BIAS,
  TN_G_LABELS,
  TN_G_LABELS_BIAS,
  TN_GLOBAL_WEIGHTS
} tn_global_weight_id;

typedef struct tn_weight_shape { /* rank 0: this model has no such weight; 1: a vector of columns */
  int32_t rank;
  int64_t rows, columns;
} tn_weight_shape;
tn_weight_shape tn_global_weight_shape(const tn_model_config *config, tn_global_weight_id id);
tn_weight_shape tn_layer_weight_shape(const tn_model_config *config, int64_t layer,
                                      tn_layer_weight_id id);
tn_weight_shape tn_expert_weight_shape(const tn_model_config *config, tn_expert_weight_id id);

typedef enum tn_weight_form {
  TN_FORM_PLAIN,      /* parts follow each other by rows */
  TN_FORM_TRANSPOSED, /* [in, out]: GPT-2's Conv1D */
  TN_FORM_BY_HEAD     /* q, k, v of head 0, of head 1, ...: GPT-NeoX */
} tn_weight_form;

typedef struct tn_weight_name { /* an array of these ends with name NULL */
  int32_t id;
  const char *name; /* below the prefix (and the layer); with '/' in front: below neither */
  tn_weight_form form;
} tn_weight_name;

typedef enum tn_config_keys { /* groups of config.json keys that an architecture reads */
                              TN_KEYS_ROTARY = 1,
                              TN_KEYS_ROTARY_BY_LAYER =
                                  2, /* Gemma 3: a second theta for sliding layers */
                              TN_KEYS_ROTARY_NEOX = 4, /* rotary_pct, rotary_emb_base */
                              TN_KEYS_ATTENTION_BIAS = 8,
                              TN_KEYS_FEED_FORWARD_BIAS = 16,
                              TN_KEYS_WINDOW = 32,        /* sliding_window, of every layer */
                              TN_KEYS_WINDOW_SWITCH = 64, /* and use_sliding_window */
                              TN_KEYS_WINDOW_LAYERS =
                                  128, /* and max_window_layers or layer_types */
                              TN_KEYS_WINDOW_PATTERN =
                                  256, /* sliding_window and layer_types or a pattern */
                              TN_KEYS_SOFTCAP = 512,
                              TN_KEYS_EXPERTS = 1024,
                              TN_KEYS_EXPERTS_SPARSE = 2048, /* Qwen's: some layers dense */
                              TN_KEYS_GPT2 = 4096,
                              TN_KEYS_PARALLEL = 8192,
                              TN_KEYS_ENCODER = 16384,
                              TN_KEYS_BIDIRECTIONAL = 32768, /* refused */
} tn_config_keys;

typedef struct tn_size_keys { /* NULL: no such key */
  const char *hidden, *intermediate, *layers, *heads, *kv_heads, *head_dim, *positions, *eps, *act;
} tn_size_keys;

typedef struct tn_architecture {
  const char *model_type;
  const char *nested_type;                   /* of a file whose text_config this is; NULL: none */
  const char *classes[TN_TASK_CLASSIFY + 1]; /* by task; NULL: it has no such */
  const char *other_classes[2];              /* read as another task says, never written */
  tn_task other_tasks[2];
  const char *prefixes[5]; /* of tensor names, as found in files; the first is written */
  const char *layer;       /* "layers.": number and '.' follow */
  const tn_weight_name *globals, *layer_weights;
  const char *experts; /* "mlp.experts.": number and '.' follow */
  const char *expert_weights[TN_EXPERT_WEIGHTS];
  const char *ignored[6]; /* tensors that change nothing here: names begin so */
  const tn_size_keys *sizes;
  uint32_t keys;            /* of tn_config_keys */
  tn_model_config defaults; /* where config.json says nothing */
} tn_architecture;

const tn_architecture *tn_architecture_of(tn_arch_id id);
/* The prefix of tensor names that a model is written with. */
const char *tn_architecture_prefix(const tn_model_config *config);
/* NULL: it has no weight of that id. */
const tn_weight_name *tn_weight_name_of(const tn_weight_name *list, int32_t id);
/* "LlamaForCausalLM, MistralForCausalLM, ...": what there is, for messages. */
void tn_architecture_list(tn_strbuf *out);

#endif

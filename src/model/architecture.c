/* SPDX-License-Identifier: Apache-2.0 */
#include "model/architecture.h"

/* ---- names of tensors ---- */

static const tn_weight_name LLAMA_GLOBALS[] = {{TN_G_EMBED, "embed_tokens.weight", TN_FORM_PLAIN},
                                               {TN_G_FINAL_NORM, "norm.weight", TN_FORM_PLAIN},
                                               {TN_G_HEAD, "/lm_head.weight", TN_FORM_PLAIN},
                                               {0}};

#define LLAMA_ATTENTION                                        \
  {TN_W_Q, "self_attn.q_proj.weight", TN_FORM_PLAIN},          \
      {TN_W_K, "self_attn.k_proj.weight", TN_FORM_PLAIN},      \
      {TN_W_V, "self_attn.v_proj.weight", TN_FORM_PLAIN},      \
      {TN_W_Q_BIAS, "self_attn.q_proj.bias", TN_FORM_PLAIN},   \
      {TN_W_K_BIAS, "self_attn.k_proj.bias", TN_FORM_PLAIN},   \
      {TN_W_V_BIAS, "self_attn.v_proj.bias", TN_FORM_PLAIN},   \
      {TN_W_Q_NORM, "self_attn.q_norm.weight", TN_FORM_PLAIN}, \
      {TN_W_K_NORM, "self_attn.k_norm.weight", TN_FORM_PLAIN}, \
      {TN_W_O, "self_attn.o_proj.weight", TN_FORM_PLAIN}, {    \
    TN_W_O_BIAS, "self_attn.o_proj.bias", TN_FORM_PLAIN        \
  }
#define LLAMA_FEED_FORWARD                                   \
  {TN_W_GATE, "mlp.gate_proj.weight", TN_FORM_PLAIN},        \
      {TN_W_UP, "mlp.up_proj.weight", TN_FORM_PLAIN},        \
      {TN_W_GATE_BIAS, "mlp.gate_proj.bias", TN_FORM_PLAIN}, \
      {TN_W_UP_BIAS, "mlp.up_proj.bias", TN_FORM_PLAIN},     \
      {TN_W_DOWN, "mlp.down_proj.weight", TN_FORM_PLAIN}, {  \
    TN_W_DOWN_BIAS, "mlp.down_proj.bias", TN_FORM_PLAIN      \
  }

static const tn_weight_name LLAMA_LAYER[] = {
    {TN_W_INPUT_NORM, "input_layernorm.weight", TN_FORM_PLAIN},
    LLAMA_ATTENTION,
    {TN_W_POST_NORM, "post_attention_layernorm.weight", TN_FORM_PLAIN},
    {TN_W_ROUTER, "mlp.gate.weight", TN_FORM_PLAIN},
    LLAMA_FEED_FORWARD,
    {0}};

static const tn_weight_name MIXTRAL_LAYER[] = {
    {TN_W_INPUT_NORM, "input_layernorm.weight", TN_FORM_PLAIN},
    LLAMA_ATTENTION,
    {TN_W_POST_NORM, "post_attention_layernorm.weight", TN_FORM_PLAIN},
    {TN_W_ROUTER, "block_sparse_moe.gate.weight", TN_FORM_PLAIN},
    {0}};

/* Gemma 2 and 3 have all four norms, OLMo 2 the two behind. */
static const tn_weight_name GEMMA2_LAYER[] = {
    {TN_W_INPUT_NORM, "input_layernorm.weight", TN_FORM_PLAIN},
    LLAMA_ATTENTION,
    {TN_W_ATTENTION_OUT_NORM, "post_attention_layernorm.weight", TN_FORM_PLAIN},
    {TN_W_POST_NORM, "pre_feedforward_layernorm.weight", TN_FORM_PLAIN},
    LLAMA_FEED_FORWARD,
    {TN_W_FEED_FORWARD_OUT_NORM, "post_feedforward_layernorm.weight", TN_FORM_PLAIN},
    {0}};

static const tn_weight_name PHI3_LAYER[] = {
    {TN_W_INPUT_NORM, "input_layernorm.weight", TN_FORM_PLAIN},
    {TN_W_Q, "self_attn.qkv_proj.weight", TN_FORM_PLAIN},
    {TN_W_K, "self_attn.qkv_proj.weight", TN_FORM_PLAIN},
    {TN_W_V, "self_attn.qkv_proj.weight", TN_FORM_PLAIN},
    {TN_W_O, "self_attn.o_proj.weight", TN_FORM_PLAIN},
    {TN_W_POST_NORM, "post_attention_layernorm.weight", TN_FORM_PLAIN},
    {TN_W_GATE, "mlp.gate_up_proj.weight", TN_FORM_PLAIN},
    {TN_W_UP, "mlp.gate_up_proj.weight", TN_FORM_PLAIN},
    {TN_W_DOWN, "mlp.down_proj.weight", TN_FORM_PLAIN},
    {0}};

static const tn_weight_name GPT2_GLOBALS[] = {{TN_G_EMBED, "wte.weight", TN_FORM_PLAIN},
                                              {TN_G_POSITIONS, "wpe.weight", TN_FORM_PLAIN},
                                              {TN_G_FINAL_NORM, "ln_f.weight", TN_FORM_PLAIN},
                                              {TN_G_FINAL_NORM_BIAS, "ln_f.bias", TN_FORM_PLAIN},
                                              {TN_G_HEAD, "/lm_head.weight", TN_FORM_PLAIN},
                                              {0}};
static const tn_weight_name GPT2_LAYER[] = {{TN_W_INPUT_NORM, "ln_1.weight", TN_FORM_PLAIN},
                                            {TN_W_INPUT_NORM_BIAS, "ln_1.bias", TN_FORM_PLAIN},
                                            {TN_W_Q, "attn.c_attn.weight", TN_FORM_TRANSPOSED},
                                            {TN_W_K, "attn.c_attn.weight", TN_FORM_TRANSPOSED},
                                            {TN_W_V, "attn.c_attn.weight", TN_FORM_TRANSPOSED},
                                            {TN_W_Q_BIAS, "attn.c_attn.bias", TN_FORM_PLAIN},
                                            {TN_W_K_BIAS, "attn.c_attn.bias", TN_FORM_PLAIN},
                                            {TN_W_V_BIAS, "attn.c_attn.bias", TN_FORM_PLAIN},
                                            {TN_W_O, "attn.c_proj.weight", TN_FORM_TRANSPOSED},
                                            {TN_W_O_BIAS, "attn.c_proj.bias", TN_FORM_PLAIN},
                                            {TN_W_POST_NORM, "ln_2.weight", TN_FORM_PLAIN},
                                            {TN_W_POST_NORM_BIAS, "ln_2.bias", TN_FORM_PLAIN},
                                            {TN_W_UP, "mlp.c_fc.weight", TN_FORM_TRANSPOSED},
                                            {TN_W_UP_BIAS, "mlp.c_fc.bias", TN_FORM_PLAIN},
                                            {TN_W_DOWN, "mlp.c_proj.weight", TN_FORM_TRANSPOSED},
                                            {TN_W_DOWN_BIAS, "mlp.c_proj.bias", TN_FORM_PLAIN},
                                            {0}};

static const tn_weight_name NEOX_GLOBALS[] = {
    {TN_G_EMBED, "embed_in.weight", TN_FORM_PLAIN},
    {TN_G_FINAL_NORM, "final_layer_norm.weight", TN_FORM_PLAIN},
    {TN_G_FINAL_NORM_BIAS, "final_layer_norm.bias", TN_FORM_PLAIN},
    {TN_G_HEAD, "/embed_out.weight", TN_FORM_PLAIN},
    {0}};
static const tn_weight_name NEOX_LAYER[] = {
    {TN_W_INPUT_NORM, "input_layernorm.weight", TN_FORM_PLAIN},
    {TN_W_INPUT_NORM_BIAS, "input_layernorm.bias", TN_FORM_PLAIN},
    {TN_W_Q, "attention.query_key_value.weight", TN_FORM_BY_HEAD},
    {TN_W_K, "attention.query_key_value.weight", TN_FORM_BY_HEAD},
    {TN_W_V, "attention.query_key_value.weight", TN_FORM_BY_HEAD},
    {TN_W_Q_BIAS, "attention.query_key_value.bias", TN_FORM_BY_HEAD},
    {TN_W_K_BIAS, "attention.query_key_value.bias", TN_FORM_BY_HEAD},
    {TN_W_V_BIAS, "attention.query_key_value.bias", TN_FORM_BY_HEAD},
    {TN_W_O, "attention.dense.weight", TN_FORM_PLAIN},
    {TN_W_O_BIAS, "attention.dense.bias", TN_FORM_PLAIN},
    {TN_W_POST_NORM, "post_attention_layernorm.weight", TN_FORM_PLAIN},
    {TN_W_POST_NORM_BIAS, "post_attention_layernorm.bias", TN_FORM_PLAIN},
    {TN_W_UP, "mlp.dense_h_to_4h.weight", TN_FORM_PLAIN},
    {TN_W_UP_BIAS, "mlp.dense_h_to_4h.bias", TN_FORM_PLAIN},
    {TN_W_DOWN, "mlp.dense_4h_to_h.weight", TN_FORM_PLAIN},
    {TN_W_DOWN_BIAS, "mlp.dense_4h_to_h.bias", TN_FORM_PLAIN},
    {0}};

#define BERT_EMBEDDINGS                                                         \
  {TN_G_EMBED, "embeddings.word_embeddings.weight", TN_FORM_PLAIN},             \
      {TN_G_POSITIONS, "embeddings.position_embeddings.weight", TN_FORM_PLAIN}, \
      {TN_G_TYPES, "embeddings.token_type_embeddings.weight", TN_FORM_PLAIN},   \
      {TN_G_EMBED_NORM, "embeddings.LayerNorm.weight", TN_FORM_PLAIN}, {        \
    TN_G_EMBED_NORM_BIAS, "embeddings.LayerNorm.bias", TN_FORM_PLAIN            \
  }
static const tn_weight_name BERT_GLOBALS[] = {
    BERT_EMBEDDINGS,
    {TN_G_POOLER, "pooler.dense.weight", TN_FORM_PLAIN},
    {TN_G_POOLER_BIAS, "pooler.dense.bias", TN_FORM_PLAIN},
    {TN_G_LABELS, "/classifier.weight", TN_FORM_PLAIN},
    {TN_G_LABELS_BIAS, "/classifier.bias", TN_FORM_PLAIN},
    {0}};
/* The dense layer of a classifier lies with the head here, not with the encoder. */
static const tn_weight_name ROBERTA_GLOBALS[] = {
    BERT_EMBEDDINGS,
    {TN_G_POOLER, "/classifier.dense.weight", TN_FORM_PLAIN},
    {TN_G_POOLER_BIAS, "/classifier.dense.bias", TN_FORM_PLAIN},
    {TN_G_LABELS, "/classifier.out_proj.weight", TN_FORM_PLAIN},
    {TN_G_LABELS_BIAS, "/classifier.out_proj.bias", TN_FORM_PLAIN},
    {0}};
static const tn_weight_name BERT_LAYER[] = {
    {TN_W_Q, "attention.self.query.weight", TN_FORM_PLAIN},
    {TN_W_K, "attention.self.key.weight", TN_FORM_PLAIN},
    {TN_W_V, "attention.self.value.weight", TN_FORM_PLAIN},
    {TN_W_Q_BIAS, "attention.self.query.bias", TN_FORM_PLAIN},
    {TN_W_K_BIAS, "attention.self.key.bias", TN_FORM_PLAIN},
    {TN_W_V_BIAS, "attention.self.value.bias", TN_FORM_PLAIN},
    {TN_W_O, "attention.output.dense.weight", TN_FORM_PLAIN},
    {TN_W_O_BIAS, "attention.output.dense.bias", TN_FORM_PLAIN},
    {TN_W_ATTENTION_OUT_NORM, "attention.output.LayerNorm.weight", TN_FORM_PLAIN},
    {TN_W_ATTENTION_OUT_NORM_BIAS, "attention.output.LayerNorm.bias", TN_FORM_PLAIN},
    {TN_W_UP, "intermediate.dense.weight", TN_FORM_PLAIN},
    {TN_W_UP_BIAS, "intermediate.dense.bias", TN_FORM_PLAIN},
    {TN_W_DOWN, "output.dense.weight", TN_FORM_PLAIN},
    {TN_W_DOWN_BIAS, "output.dense.bias", TN_FORM_PLAIN},
    {TN_W_FEED_FORWARD_OUT_NORM, "output.LayerNorm.weight", TN_FORM_PLAIN},
    {TN_W_FEED_FORWARD_OUT_NORM_BIAS, "output.LayerNorm.bias", TN_FORM_PLAIN},
    {0}};

/* ---- names of sizes ---- */

#define HF_SIZES                                                                               \
  .hidden = "hidden_size", .intermediate = "intermediate_size", .layers = "num_hidden_layers", \
  .heads = "num_attention_heads", .positions = "max_position_embeddings"

static const tn_size_keys LLAMA_SIZES = {HF_SIZES, .kv_heads = "num_key_value_heads",
                                         .head_dim = "head_dim", .eps = "rms_norm_eps",
                                         .act = "hidden_act"};
static const tn_size_keys GEMMA2_SIZES = {HF_SIZES, .kv_heads = "num_key_value_heads",
                                          .head_dim = "head_dim", .eps = "rms_norm_eps",
                                          .act = "hidden_activation"};
static const tn_size_keys GPT2_SIZES = {.hidden = "n_embd",
                                        .intermediate = "n_inner",
                                        .layers = "n_layer",
                                        .heads = "n_head",
                                        .positions = "n_positions",
                                        .eps = "layer_norm_epsilon",
                                        .act = "activation_function"};
static const tn_size_keys BERT_SIZES = {HF_SIZES, .eps = "layer_norm_eps", .act = "hidden_act"};

/* ---- the architectures ---- */

/* names as Llama's, but for those of a layer's weights and of sizes */
#define LIKE_LLAMA(layer_names, size_keys)                                  \
  .prefixes = {"model.", ""}, .layer = "layers.", .globals = LLAMA_GLOBALS, \
  .layer_weights = layer_names, .sizes = &size_keys
#define LLAMA_NAMES LIKE_LLAMA(LLAMA_LAYER, LLAMA_SIZES)
#define BERT_DEFAULTS                                                                      \
  .encoder = true, .norm = TN_NORM_LAYER, .norm_place = TN_NORM_OF_SUM, .norm_eps = 1e-12, \
  .activation = TN_ACT_GELU_ERF, .ungated = true, .qkv_bias = true, .o_bias = true,        \
  .feed_forward_bias = true, .embedding_norm = true, .learned_positions = true,            \
  .positions_max = 512, .token_types = 2, .tied = true, .labels = 2

static const tn_architecture TABLE[TN_ARCH_COUNT] = {
    [TN_ARCH_LLAMA] = {.model_type = "llama",
                       .classes = {"LlamaForCausalLM", "LlamaModel"},
                       LLAMA_NAMES,
                       .keys = TN_KEYS_ROTARY | TN_KEYS_ATTENTION_BIAS | TN_KEYS_FEED_FORWARD_BIAS,
                       .defaults = {.positions_max = 2048, .norm_eps = 1e-6}},
    [TN_ARCH_MISTRAL] =
        {.model_type = "mistral",
         .classes = {"MistralForCausalLM", "MistralModel"},
         LLAMA_NAMES,
         .keys = TN_KEYS_ROTARY | TN_KEYS_WINDOW,
         .defaults = {.positions_max = 131072, .norm_eps = 1e-6, .kv_heads = 8, .window = 4096}},
    [TN_ARCH_MIXTRAL] = {.model_type = "mixtral",
                         .classes = {"MixtralForCausalLM", "MixtralModel"},
                         LIKE_LLAMA(MIXTRAL_LAYER, LLAMA_SIZES),
                         .experts = "block_sparse_moe.experts.",
                         .expert_weights = {"w1.weight", "w3.weight", "w2.weight"},
                         .keys = TN_KEYS_ROTARY | TN_KEYS_WINDOW | TN_KEYS_EXPERTS,
                         .defaults = {.positions_max = 131072,
                                      .norm_eps = 1e-5,
                                      .kv_heads = 8,
                                      .rope_theta = 1e6,
                                      .experts = 8,
                                      .experts_per_token = 2}},
    [TN_ARCH_QWEN2] = {.model_type = "qwen2",
                       .classes = {"Qwen2ForCausalLM", "Qwen2Model"},
                       LLAMA_NAMES,
                       .keys = TN_KEYS_ROTARY | TN_KEYS_WINDOW_SWITCH | TN_KEYS_WINDOW_LAYERS,
                       .defaults = {.positions_max = 32768,
                                    .norm_eps = 1e-6,
                                    .kv_heads = 32,
                                    .qkv_bias = true,
                                    .window = 4096}},
    [TN_ARCH_QWEN3] = {.model_type = "qwen3",
                       .classes = {"Qwen3ForCausalLM", "Qwen3Model"},
                       LLAMA_NAMES,
                       .keys = TN_KEYS_ROTARY | TN_KEYS_ATTENTION_BIAS | TN_KEYS_WINDOW_SWITCH |
                               TN_KEYS_WINDOW_LAYERS,
                       .defaults = {.positions_max = 32768,
                                    .norm_eps = 1e-6,
                                    .kv_heads = 32,
                                    .head_dim = 128,
                                    .qk_norm = TN_QK_NORM_HEAD,
                                    .window = 4096}},
    [TN_ARCH_QWEN3_MOE] = {.model_type = "qwen3_moe",
                           .classes = {"Qwen3MoeForCausalLM", "Qwen3MoeModel"},
                           LLAMA_NAMES,
                           .experts = "mlp.experts.",
                           .expert_weights = {"gate_proj.weight", "up_proj.weight",
                                              "down_proj.weight"},
                           .keys = TN_KEYS_ROTARY | TN_KEYS_ATTENTION_BIAS | TN_KEYS_WINDOW_SWITCH |
                                   TN_KEYS_EXPERTS | TN_KEYS_EXPERTS_SPARSE,
                           .defaults = {.positions_max = 32768,
                                        .norm_eps = 1e-6,
                                        .kv_heads = 4,
                                        .qk_norm = TN_QK_NORM_HEAD,
                                        .window = 4096,
                                        .experts = 128,
                                        .experts_per_token = 8,
                                        .expert_size = 768,
                                        .experts_unnormalised = true}},
    [TN_ARCH_GEMMA] = {.model_type = "gemma",
                       .classes = {"GemmaForCausalLM", "GemmaModel"},
                       LLAMA_NAMES,
                       .keys = TN_KEYS_ROTARY | TN_KEYS_ATTENTION_BIAS | TN_KEYS_BIDIRECTIONAL,
                       .defaults = {.positions_max = 8192,
                                    .norm_eps = 1e-6,
                                    .kv_heads = 16,
                                    .head_dim = 256,
                                    .activation = TN_ACT_GELU_TANH,
                                    .norm_adds_one = true,
                                    .embedding_scaled = true,
                                    .tied = true}},
    [TN_ARCH_GEMMA2] = {.model_type = "gemma2",
                        .classes = {"Gemma2ForCausalLM", "Gemma2Model"},
                        LIKE_LLAMA(GEMMA2_LAYER, GEMMA2_SIZES),
                        .keys = TN_KEYS_ROTARY | TN_KEYS_ATTENTION_BIAS | TN_KEYS_WINDOW_PATTERN |
                                TN_KEYS_SOFTCAP | TN_KEYS_BIDIRECTIONAL,
                        .defaults = {.positions_max = 8192,
                                     .norm_eps = 1e-6,
                                     .kv_heads = 4,
                                     .head_dim = 256,
                                     .activation = TN_ACT_GELU_TANH,
                                     .norm_place = TN_NORM_AROUND,
                                     .norm_adds_one = true,
                                     .embedding_scaled = true,
                                     .attention_scale = 0.0625,
                                     .attention_softcap = 50,
                                     .logit_softcap = 30,
                                     .window = 4096,
                                     .tied = true}},
    [TN_ARCH_GEMMA3] =
        {.model_type = "gemma3_text",
         .nested_type = "gemma3",
         .classes = {"Gemma3ForCausalLM", "Gemma3TextModel"},
         .other_classes = {"Gemma3ForConditionalGeneration"},
         .prefixes = {"model.", "", "language_model.model.", "model.language_model."},
         .layer = "layers.",
         .globals = LLAMA_GLOBALS,
         .layer_weights = GEMMA2_LAYER,
         .ignored = {"vision_tower.", "multi_modal_projector.", "model.vision_tower.",
                     "model.multi_modal_projector."},
         .sizes = &GEMMA2_SIZES,
         .keys = TN_KEYS_ROTARY | TN_KEYS_ROTARY_BY_LAYER | TN_KEYS_ATTENTION_BIAS |
                 TN_KEYS_WINDOW_PATTERN | TN_KEYS_SOFTCAP | TN_KEYS_BIDIRECTIONAL,
         .defaults = {.positions_max = 131072,
                      .norm_eps = 1e-6,
                      .heads = 8,
                      .kv_heads = 4,
                      .head_dim = 256,
                      .vocab_size = 262208,
                      .activation = TN_ACT_GELU_TANH,
                      .norm_place = TN_NORM_AROUND,
                      .norm_adds_one = true,
                      .qk_norm = TN_QK_NORM_HEAD,
                      .embedding_scaled = true,
                      .attention_scale = 0.0625,
                      .rope_theta = 1e6,
                      .rope_theta_local = 1e4,
                      .window = 4096,
                      .tied = true}},
    [TN_ARCH_PHI3] = {.model_type = "phi3",
                      .classes = {"Phi3ForCausalLM", "Phi3Model"},
                      LIKE_LLAMA(PHI3_LAYER, LLAMA_SIZES),
                      .keys = TN_KEYS_ROTARY | TN_KEYS_WINDOW,
                      .defaults = {.positions_max = 4096, .norm_eps = 1e-5}},
    [TN_ARCH_OLMO2] = {.model_type = "olmo2",
                       .classes = {"Olmo2ForCausalLM", "Olmo2Model"},
                       LIKE_LLAMA(GEMMA2_LAYER, LLAMA_SIZES),
                       .keys = TN_KEYS_ROTARY | TN_KEYS_ATTENTION_BIAS,
                       .defaults = {.positions_max = 2048,
                                    .norm_eps = 1e-5,
                                    .norm_place = TN_NORM_BEHIND,
                                    .qk_norm = TN_QK_NORM_ROW}},
    [TN_ARCH_GPT2] = {.model_type = "gpt2",
                      .classes = {"GPT2LMHeadModel", "GPT2Model"},
                      .prefixes = {"transformer.", ""},
                      .layer = "h.",
                      .globals = GPT2_GLOBALS,
                      .layer_weights = GPT2_LAYER,
                      .sizes = &GPT2_SIZES,
                      .keys = TN_KEYS_GPT2,
                      .defaults = {.positions_max = 1024,
                                   .norm_eps = 1e-5,
                                   .norm = TN_NORM_LAYER,
                                   .activation = TN_ACT_GELU_TANH,
                                   .ungated = true,
                                   .qkv_bias = true,
                                   .o_bias = true,
                                   .feed_forward_bias = true,
                                   .learned_positions = true,
                                   .tied = true}},
    [TN_ARCH_GPT_NEOX] = {.model_type = "gpt_neox",
                          .classes = {"GPTNeoXForCausalLM", "GPTNeoXModel"},
                          .prefixes = {"gpt_neox.", ""},
                          .layer = "layers.",
                          .globals = NEOX_GLOBALS,
                          .layer_weights = NEOX_LAYER,
                          .sizes = &BERT_SIZES,
                          .keys = TN_KEYS_ROTARY | TN_KEYS_ROTARY_NEOX | TN_KEYS_ATTENTION_BIAS |
                                  TN_KEYS_PARALLEL,
                          .defaults = {.positions_max = 2048,
                                       .norm_eps = 1e-5,
                                       .norm = TN_NORM_LAYER,
                                       .activation = TN_ACT_GELU_ERF,
                                       .ungated = true,
                                       .qkv_bias = true,
                                       .o_bias = true,
                                       .feed_forward_bias = true,
                                       .parallel = true}},
    [TN_ARCH_BERT] = {.model_type = "bert",
                      .classes = {NULL, "BertModel", "BertForSequenceClassification"},
                      .other_classes = {"BertForMaskedLM", "BertForPreTraining"},
                      .other_tasks = {TN_TASK_EMBED, TN_TASK_EMBED},
                      .prefixes = {"bert.", ""},
                      .layer = "encoder.layer.",
                      .globals = BERT_GLOBALS,
                      .layer_weights = BERT_LAYER,
                      .ignored = {"cls.", "embeddings.position_ids",
                                  "bert.embeddings.position_ids"},
                      .sizes = &BERT_SIZES,
                      .keys = TN_KEYS_ENCODER,
                      .defaults = {BERT_DEFAULTS}},
    [TN_ARCH_ROBERTA] = {.model_type = "roberta",
                         .classes = {NULL, "RobertaModel", "RobertaForSequenceClassification"},
                         .other_classes = {"RobertaForMaskedLM"},
                         .other_tasks = {TN_TASK_EMBED},
                         .prefixes = {"roberta.", ""},
                         .layer = "encoder.layer.",
                         .globals = ROBERTA_GLOBALS,
                         .layer_weights = BERT_LAYER,
                         .ignored = {"lm_head.", "pooler.dense.", "roberta.pooler.dense.",
                                     "embeddings.position_ids", "roberta.embeddings.position_ids"},
                         .sizes = &BERT_SIZES,
                         .keys = TN_KEYS_ENCODER,
                         .defaults = {BERT_DEFAULTS, .position_offset = 2}},
    [TN_ARCH_XLM_ROBERTA] = {.model_type = "xlm-roberta",
                             .classes = {NULL, "XLMRobertaModel",
                                         "XLMRobertaForSequenceClassification"},
                             .other_classes = {"XLMRobertaForMaskedLM"},
                             .other_tasks = {TN_TASK_EMBED},
                             .prefixes = {"roberta.", ""},
                             .layer = "encoder.layer.",
                             .globals = ROBERTA_GLOBALS,
                             .layer_weights = BERT_LAYER,
                             .ignored = {"lm_head.", "pooler.dense.", "roberta.pooler.dense.",
                                         "embeddings.position_ids",
                                         "roberta.embeddings.position_ids"},
                             .sizes = &BERT_SIZES,
                             .keys = TN_KEYS_ENCODER,
                             .defaults = {BERT_DEFAULTS, .position_offset = 2}},
};

const tn_architecture *tn_architecture_of(tn_arch_id id) {
  return &TABLE[id];
}

const char *tn_architecture_prefix(const tn_model_config *config) {
  return config->task == TN_TASK_EMBED ? "" : TABLE[config->arch].prefixes[0];
}

const char *tn_model_config_class(const tn_model_config *config) {
  return TABLE[config->arch].classes[config->task];
}

const tn_weight_name *tn_weight_name_of(const tn_weight_name *list, int32_t id) {
  for (; list->name; list++)
    if (list->id == id) return list;
  return NULL;
}

void tn_architecture_list(tn_strbuf *out) {
  for (int i = 0; i < TN_ARCH_COUNT; i++)
    for (int task = 0; task <= TN_TASK_CLASSIFY; task++) {
      if (!TABLE[i].classes[task] || (task == TN_TASK_EMBED && TABLE[i].classes[0])) continue;
      tn_strbuf_addf(out, out->length ? ", %s" : "%s", TABLE[i].classes[task]);
    }
}

/* ---- shapes ---- */

static tn_weight_shape matrix(int64_t rows, int64_t columns) {
  return (tn_weight_shape){2, rows, columns};
}

static tn_weight_shape vector_if(bool there, int64_t columns) {
  return (tn_weight_shape){there ? 1 : 0, 0, columns};
}

static tn_weight_shape matrix_if(bool there, int64_t rows, int64_t columns) {
  return there ? matrix(rows, columns) : (tn_weight_shape){0};
}

tn_weight_shape tn_global_weight_shape(const tn_model_config *c, tn_global_weight_id id) {
  int64_t C = c->hidden_size, V = c->vocab_size;
  bool classifies = c->task == TN_TASK_CLASSIFY, biased = c->norm == TN_NORM_LAYER;
  bool final = c->norm_place != TN_NORM_OF_SUM;
  switch (id) {
    case TN_G_EMBED:
      return matrix(V, C);
    case TN_G_POSITIONS:
      return matrix_if(c->learned_positions, c->positions_max + c->position_offset, C);
    case TN_G_TYPES:
      return matrix_if(c->token_types > 0, c->token_types, C);
    case TN_G_EMBED_NORM:
      return vector_if(c->embedding_norm, C);
    case TN_G_EMBED_NORM_BIAS:
      return vector_if(c->embedding_norm && biased, C);
    case TN_G_FINAL_NORM:
      return vector_if(final, C);
    case TN_G_FINAL_NORM_BIAS:
      return vector_if(final && biased, C);
    case TN_G_HEAD:
      return matrix_if(c->task == TN_TASK_GENERATE && !c->tied, V, C);
    case TN_G_POOLER:
      return matrix_if(classifies || c->pooler, C, C);
    case TN_G_POOLER_BIAS:
      return vector_if(classifies || c->pooler, C);
    case TN_G_LABELS:
      return matrix_if(classifies, c->labels, C);
    case TN_G_LABELS_BIAS:
      return vector_if(classifies, c->labels);
    default:
      return (tn_weight_shape){0};
  }
}

static tn_weight_shape norm_shape(const tn_model_config *c, tn_layer_weight_id id) {
  bool biased = c->norm == TN_NORM_LAYER;
  bool front = c->norm_place == TN_NORM_BEFORE || c->norm_place == TN_NORM_AROUND;
  bool behind = c->norm_place != TN_NORM_BEFORE;
  int64_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
  bool whole = c->qk_norm == TN_QK_NORM_ROW;
  switch (id) {
    case TN_W_INPUT_NORM:
    case TN_W_POST_NORM:
      return vector_if(front, c->hidden_size);
    case TN_W_INPUT_NORM_BIAS:
    case TN_W_POST_NORM_BIAS:
      return vector_if(front && biased, c->hidden_size);
    case TN_W_ATTENTION_OUT_NORM:
    case TN_W_FEED_FORWARD_OUT_NORM:
      return vector_if(behind, c->hidden_size);
    case TN_W_ATTENTION_OUT_NORM_BIAS:
    case TN_W_FEED_FORWARD_OUT_NORM_BIAS:
      return vector_if(behind && biased, c->hidden_size);
    case TN_W_Q_NORM:
      return vector_if(c->qk_norm != TN_QK_NORM_NONE, whole ? q : c->head_dim);
    case TN_W_K_NORM:
      return vector_if(c->qk_norm != TN_QK_NORM_NONE, whole ? kv : c->head_dim);
    default:
      return (tn_weight_shape){0};
  }
}

tn_weight_shape tn_layer_weight_shape(const tn_model_config *c, int64_t layer,
                                      tn_layer_weight_id id) {
  int64_t C = c->hidden_size, F = c->intermediate_size;
  int64_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
  bool routes = tn_model_config_routes(c, layer);
  switch (id) {
    case TN_W_Q:
      return matrix(q, C);
    case TN_W_K:
    case TN_W_V:
      return matrix(kv, C);
    case TN_W_O:
      return matrix(C, q);
    case TN_W_Q_BIAS:
      return vector_if(c->qkv_bias, q);
    case TN_W_K_BIAS:
    case TN_W_V_BIAS:
      return vector_if(c->qkv_bias, kv);
    case TN_W_O_BIAS:
      return vector_if(c->o_bias, C);
    case TN_W_ROUTER:
      return matrix_if(routes, c->experts, C);
    case TN_W_GATE:
      return matrix_if(!routes && !c->ungated, F, C);
    case TN_W_UP:
      return matrix_if(!routes, F, C);
    case TN_W_DOWN:
      return matrix_if(!routes, C, F);
    case TN_W_GATE_BIAS:
      return vector_if(!routes && !c->ungated && c->feed_forward_bias, F);
    case TN_W_UP_BIAS:
      return vector_if(!routes && c->feed_forward_bias, F);
    case TN_W_DOWN_BIAS:
      return vector_if(!routes && c->feed_forward_bias, C);
    default:
      return norm_shape(c, id);
  }
}

tn_weight_shape tn_expert_weight_shape(const tn_model_config *c, tn_expert_weight_id id) {
  return id == TN_E_DOWN ? matrix(c->hidden_size, c->expert_size)
                         : matrix(c->expert_size, c->hidden_size);
}

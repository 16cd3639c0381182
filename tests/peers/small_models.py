# SPDX-License-Identifier: Apache-2.0
"""Small random models of every architecture that Tenon opens, made by transformers."""
import torch
import transformers as hf

DECODER = dict(vocab_size=120, hidden_size=48, intermediate_size=80, num_hidden_layers=3,
               num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
               initializer_range=0.12)
ENCODER = dict(vocab_size=120, hidden_size=48, intermediate_size=80, num_hidden_layers=3,
               num_attention_heads=4, max_position_embeddings=96, initializer_range=0.12)
GPT2 = dict(vocab_size=120, n_embd=48, n_layer=3, n_head=4, n_positions=96, initializer_range=0.12)
NEOX = dict(vocab_size=120, hidden_size=64, intermediate_size=80, num_hidden_layers=3,
            num_attention_heads=4, max_position_embeddings=96, initializer_range=0.12)
MOE = dict(num_experts_per_tok=2, moe_intermediate_size=40, head_dim=16)
ROPE = dict(rope_theta=10000.0)


def rope(kind, **more):
    return dict(rope_parameters={"rope_type": kind, **ROPE, **more})


def longrope(half, **more):
    return {"rope_type": "longrope", **ROPE, "short_factor": [1.0 + 0.01 * i for i in range(half)],
            "long_factor": [1.0 + 0.3 * i for i in range(half)], **more}


# name -> (transformers' prefix of Config and class, class suffix, settings)
DECODERS = {
    "llama": ("Llama", DECODER),
    "llama-biased": ("Llama", {**DECODER, "attention_bias": True, "mlp_bias": True}),
    "llama-linear": ("Llama", {**DECODER, **rope("linear", factor=4.0)}),
    "llama-dynamic": ("Llama", {**DECODER, **rope("dynamic", factor=2.0)}),
    "llama-3": ("Llama", {**DECODER, "head_dim": 32, **rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=32)}),
    "llama-yarn": ("Llama", {**DECODER, "head_dim": 32, **rope(
        "yarn", factor=4.0, original_max_position_embeddings=32)}),
    "llama-yarn-betas": ("Llama", {**DECODER, "head_dim": 32, **rope(
        "yarn", factor=4.0, original_max_position_embeddings=32, beta_fast=16.0, beta_slow=2.0,
        mscale=1.0, mscale_all_dim=0.7, truncate=False)}),
    "llama-yarn-factor": ("Llama", {**DECODER, **rope(
        "yarn", factor=4.0, original_max_position_embeddings=32, attention_factor=1.2)}),
    "llama-gelu": ("Llama", {**DECODER, "hidden_act": "gelu"}),
    "mistral": ("Mistral", {**DECODER, "sliding_window": None, "head_dim": 20}),
    "mistral-window": ("Mistral", {**DECODER, "sliding_window": 11}),
    "mixtral": ("Mixtral", {**DECODER, "num_local_experts": 5, "num_experts_per_tok": 2}),
    "mixtral-window": ("Mixtral", {**DECODER, "num_local_experts": 3, "num_experts_per_tok": 1,
                                   "sliding_window": 9}),
    "qwen2": ("Qwen2", {**DECODER, "tie_word_embeddings": True}),
    "qwen2-window": ("Qwen2", {**DECODER, "use_sliding_window": True, "sliding_window": 13,
                               "max_window_layers": 1}),
    "qwen3": ("Qwen3", {**DECODER, "head_dim": 20}),
    "qwen3-biased-window": ("Qwen3", {**DECODER, "head_dim": 20, "attention_bias": True,
                                      "use_sliding_window": True, "sliding_window": 13,
                                      "max_window_layers": 2}),
    "qwen3-moe": ("Qwen3Moe", {**DECODER, **MOE, "num_experts": 6, "norm_topk_prob": True}),
    "qwen3-moe-mixed": ("Qwen3Moe", {**DECODER, **MOE, "num_experts": 4, "norm_topk_prob": False,
                                     "mlp_only_layers": [1]}),
    "gemma": ("Gemma", {**DECODER, "head_dim": 20, "num_key_value_heads": 1}),
    "gemma2": ("Gemma2", {**DECODER, "head_dim": 20, "sliding_window": 7,
                          "query_pre_attn_scalar": 24, "attn_logit_softcapping": 5.0,
                          "final_logit_softcapping": 3.0}),
    "gemma2-uncapped": ("Gemma2", {**DECODER, "head_dim": 20, "sliding_window": 7,
                                   "attn_logit_softcapping": None,
                                   "final_logit_softcapping": None}),
    "gemma3": ("Gemma3Text", {**DECODER, "head_dim": 20, "sliding_window": 9,
                              "query_pre_attn_scalar": 24, "num_hidden_layers": 7}),
    "gemma3-linear": ("Gemma3Text", {
        **DECODER, "head_dim": 20, "sliding_window": 9, "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}}),
    "phi3": ("Phi3", {**DECODER, "pad_token_id": 0, "sliding_window": 17}),
    "phi3-partial": ("Phi3", {**DECODER, "pad_token_id": 0, "tie_word_embeddings": True,
                              "rope_parameters": {"rope_type": "default", **ROPE,
                                                  "partial_rotary_factor": 0.5}}),
    "phi3-short": ("Phi3", {**DECODER, "pad_token_id": 0, "original_max_position_embeddings": 112,
                            "rope_parameters": longrope(6, partial_rotary_factor=1.0)}),
    "phi3-long": ("Phi3", {**DECODER, "pad_token_id": 0, "original_max_position_embeddings": 32,
                           "rope_parameters": longrope(6, partial_rotary_factor=1.0)}),
    "phi3-long-partial": ("Phi3", {**DECODER, "pad_token_id": 0, "num_attention_heads": 2,
                                   "original_max_position_embeddings": 32,
                                   "rope_parameters": longrope(6, partial_rotary_factor=0.5)}),
    "olmo2": ("Olmo2", DECODER),
    "olmo2-biased": ("Olmo2", {**DECODER, "attention_bias": True}),
    "gpt2": ("GPT2", GPT2),
    "gpt2-scaled": ("GPT2", {**GPT2, "n_inner": 60, "scale_attn_by_inverse_layer_idx": True,
                             "activation_function": "relu"}),
    "gpt2-unscaled": ("GPT2", {**GPT2, "scale_attn_weights": False, "initializer_range": 0.05,
                               "tie_word_embeddings": False}),
    "neox": ("GPTNeoX", NEOX),
    "neox-sequential": ("GPTNeoX", {**NEOX, "use_parallel_residual": False,
                                    "attention_bias": False, "hidden_act": "gelu_new",
                                    "rope_parameters": {"rope_type": "default", **ROPE,
                                                        "partial_rotary_factor": 0.5}}),
}

BASES = {"bert": ("Bert", {**ENCODER, "type_vocab_size": 3}),
         "roberta": ("Roberta", {**ENCODER, "type_vocab_size": 1}),
         "roberta-padding": ("Roberta", {**ENCODER, "type_vocab_size": 2, "pad_token_id": 4}),
         "xlm-roberta": ("XLMRoberta", {**ENCODER, "type_vocab_size": 1})}


def settle(model):
    """Vectors start as zeros and ones: make each of them matter."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                start = 0.0 if p.abs().max() == 0 else 1.0
                p.uniform_(start - 0.4, start + 0.4)
    return model.eval()


def decoder(name, seed=1):
    prefix, settings = DECODERS[name]
    config = getattr(hf, f"{prefix}Config")(**settings)
    config._attn_implementation = "eager"
    kind = {"GPT2": "GPT2LMHeadModel", "Gemma3Text": "Gemma3ForCausalLM"}.get(
        prefix, f"{prefix}ForCausalLM")
    torch.manual_seed(seed)
    return settle(getattr(hf, kind)(config))


def encoder(name, kind="Model", seed=1, **more):
    prefix, settings = BASES[name]
    config = getattr(hf, f"{prefix}Config")(**settings, **more)
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    return settle(getattr(hf, f"{prefix}{kind}")(config))
